/* state.c -- what decoding carries along, and what joins its parts: caches, convolution states, merging. */
#include "ops/ops.h"
#include <string.h>

/* --------------------------------------------------------------------- caches */

/* Those that are on the host can be looked at. */
static clattn_status check_indices(const struct ca_operand *at, int64_t L, int64_t M)
{
    const int32_t *p = at->t.host;
    for (int64_t b = 0; p && b < at->count; b++)
        CA_REQUIRE(p[b] >= 0 && p[b] <= M - L, CLATTN_E_ARGUMENT,
                   "write_indices[%lld] is %d: %lld elements do not fit there into a cache of %lld", (long long)b,
                   (int)p[b], (long long)L, (long long)M);
    return CLATTN_OK;
}

clattn_status ca_op_cache_scatter(struct ca_call *c, const clattn_tensor *past_cache, const clattn_tensor *update,
                                  const clattn_tensor *write_indices, int axis, bool circular, const clattn_tensor *out)
{
    clattn_status st;
    ca_call_begin(c, &ca_k_scatter);
    CA_TRY(ca_operand(c, 0, "past_cache", past_cache, CA_FLOAT));
    CA_TRY(ca_operand(c, 1, "update", update, CA_FLOAT));
    CA_TRY(ca_operand(c, 2, "write_indices", write_indices, CA_INDICES | CA_OPTIONAL));
    CA_TRY(ca_operand(c, 3, "out", out, CA_OUTPUT));
    int rank = past_cache->rank, from = axis < 0 ? axis + rank : axis;
    CA_REQUIRE(from >= 1 && from < rank, CLATTN_E_ARGUMENT,
               "axis is %d, past_cache of rank %d has 1 ... %d (the first is the batch)", axis, rank, rank - 1);
    CA_TRY(ca_shape_is(c, 3, rank, past_cache->shape, "as past_cache"));
    int64_t shape[8], M = past_cache->shape[from], L = update->rank == rank ? update->shape[from] : 0;
    memcpy(shape, past_cache->shape, sizeof shape);
    shape[from] = L;
    CA_TRY(ca_shape_is(c, 1, rank, shape, "as past_cache but for axis"));
    CA_REQUIRE(L <= M, CLATTN_E_ARGUMENT, "update: shape[%d] is %lld, past_cache has only %lld", from, (long long)L,
               (long long)M);
    CA_TRY(ca_shape_is(c, 2, 1, past_cache->shape, "the batch of past_cache"));
    if (!circular) CA_TRY(check_indices(&c->o[2], L, M));
    c->in_place = true;
    c->first = &ca_k_convert;
    c->a.units = c->o[1].count;
    c->a.n[0] = L;
    c->a.n[1] = ca_elements(past_cache, from + 1, rank);
    c->a.n[2] = M;
    c->a.n[3] = ca_elements(past_cache, 1, from);
    c->a.n[5] = c->o[0].count;
    c->a.flag[0] = circular;
done:
    return st;
}

/* ---------------------------------------------------------------- convolution */

clattn_status ca_op_causal_conv(struct ca_call *c, const clattn_tensor *input, const clattn_tensor *weight,
                                const clattn_tensor *bias, const clattn_tensor *past_state,
                                clattn_activation activation, const clattn_tensor *out,
                                const clattn_tensor *present_state)
{
    clattn_status st;
    ca_call_begin(c, &ca_k_causal_conv);
    CA_TRY(ca_activation_known(activation));
    CA_TRY(ca_operand(c, 0, "input", input, CA_FLOAT));
    CA_TRY(ca_operand(c, 1, "weight", weight, CA_FLOAT));
    CA_TRY(ca_operand(c, 2, "bias", bias, CA_OPTIONAL));
    CA_TRY(ca_operand(c, 3, "past_state", past_state, CA_OPTIONAL));
    CA_TRY(ca_operand(c, 4, "out", out, CA_OUTPUT | (present_state ? CA_OPTIONAL : 0)));
    CA_TRY(ca_operand(c, 5, "present_state", present_state, CA_OUTPUT | CA_OPTIONAL));
    CA_REQUIRE(input->rank == 3, CLATTN_E_ARGUMENT, "input has rank %d, must have 3", input->rank);
    CA_REQUIRE(weight->rank == 3, CLATTN_E_ARGUMENT, "weight has rank %d, must have 3", weight->rank);
    int64_t B = input->shape[0], C = input->shape[1], T = input->shape[2], W = weight->shape[2], length;
    CA_TRY(ca_shape_is(c, 1, 3, (const int64_t[]){ C, 1, W }, "channels of input, 1, width"));
    CA_REQUIRE(W >= 1, CLATTN_E_ARGUMENT, "weight: shape[2] is 0, must be at least 1");
    CA_TRY(ca_shape_is(c, 2, 1, &C, "channels of input"));
    CA_TRY(ca_shape_is(c, 3, 3, (const int64_t[]){ B, C, W - 1 }, "batch and channels of input, width - 1"));
    CA_TRY(ca_shape_is(c, 4, 3, input->shape, "as input"));
    CA_TRY(ca_shape_is(c, 5, 3, (const int64_t[]){ B, C, W - 1 }, "batch and channels of input, width - 1"));
    CA_REQUIRE(ca_add64(T, W - 1, &length) && ca_mul64(B * C, length, &c->a.units), CLATTN_E_TOO_LARGE,
               "%lld states of %lld elements are too many", (long long)(B * C), (long long)length);
    c->row = W;
    memcpy(c->a.n, (const ca_long[]){ T, W, C }, 3 * sizeof(ca_long));
    c->a.flag[0] = (ca_int)activation;
done:
    return st;
}

/* ---------------------------------------------------------------------- merge */

clattn_status ca_op_merge(struct ca_call *c, const clattn_tensor *outs, const clattn_tensor *lses,
                          const clattn_tensor *out, const clattn_tensor *lse)
{
    clattn_status st;
    ca_call_begin(c, &ca_k_merge);
    CA_TRY(ca_operand(c, 0, "outs", outs, CA_FLOAT));
    CA_TRY(ca_operand(c, 1, "lses", lses, CA_FLOAT));
    CA_TRY(ca_operand(c, 2, "out", out, CA_OUTPUT | (lse ? CA_OPTIONAL : 0)));
    CA_TRY(ca_operand(c, 3, "lse", lse, CA_OUTPUT | CA_OPTIONAL));
    int rank = outs->rank;
    CA_REQUIRE(rank >= 2, CLATTN_E_ARGUMENT, "outs has rank %d, must have at least 2", rank);
    CA_TRY(ca_shape_is(c, 1, rank - 1, outs->shape, "as outs without its last axis"));
    CA_TRY(ca_shape_is(c, 2, rank - 1, outs->shape + 1, "as outs without its first axis"));
    CA_TRY(ca_shape_is(c, 3, rank - 2, outs->shape + 1, "as lses without its first axis"));
    int64_t rows = ca_elements(outs, 1, rank - 1), D = outs->shape[rank - 1];
    c->row = outs->shape[0];
    c->a.units = rows * ca_max(D, 1);
    memcpy(c->a.n, (const ca_long[]){ outs->shape[0], rows, D }, 3 * sizeof(ca_long));
done:
    return st;
}
