/* linear.c -- linear attention: what its arguments must be, in which form it is computed, and running it.
 *
 *     form          the host's, or an OpenCL device's vectors, tiles and work-group
 *     chunk         1 recurrent: few tokens; else as many as make the products inside a chunk worth it
 *     columns       of the state that make a unit: all, or fewer where heads do not keep all cores busy
 *
 * On a device a launch does some of the steps for all units, since they are done one after the other: the states wait in the
 * workspace for the next. */
#include "ops/ops.h"
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/half.h"
#include "base/normal.h"
#include "base/sized.h"
#include "host/host.h"
#include "host/linhost.h"
#include "linargs.h"
#include "plan/staging.h"

_Static_assert(offsetof(ca_linear, rows) + sizeof(float) == sizeof(ca_linear), "no padding at the end");
_Static_assert((int)LIN_TENSORS <= CA_OPERANDS, "all tensors are operands");

enum { MAX_DIM = 4096, MAX_CHUNK = 1024, CHUNK = 64, MIDDLE = 32, SHORT = 16, FEW = 16 };

/* ----------------------------------------------------------------- arguments */

static const char *const rule_names[] = { "linear", "gated", "delta", "gated_delta" };
static const struct { const char *name; bool paired, keeps; } maps[] = { /* keeps: as many features as dims */
    [CLATTN_MAP_IDENTITY] = { "identity", false, true }, [CLATTN_MAP_ELU1] = { "elu1", false, true },
    [CLATTN_MAP_RELU] = { "relu", false, true },         [CLATTN_MAP_EXP] = { "exp", false, true },
    [CLATTN_MAP_SQUARE] = { "square", true, false },     [CLATTN_MAP_TAYLOR2] = { "taylor2", true, false },
    [CLATTN_MAP_FAVOR] = { "favor", false, false },      [CLATTN_MAP_COS] = { "cos", false, false },
    [CLATTN_MAP_SOFTMAX] = { "softmax", false, true },
};
enum { RULES = sizeof rule_names / sizeof rule_names[0], MAPS = sizeof maps / sizeof maps[0] };
_Static_assert((int)LIN_SOFTMAX == (int)CLATTN_MAP_SOFTMAX && (int)LIN_SQUARE == (int)CLATTN_MAP_SQUARE, "the kernels' maps are the header's");

const char *ca_linear_rule_name(int rule) { return rule >= 0 && rule < (int)RULES ? rule_names[rule] : NULL; }
const char *ca_linear_map_name(int map) { return map >= 0 && map < (int)MAPS ? maps[map].name : NULL; }

void ca_linear_defaults(clattn_linear *l) { *l = (clattn_linear){ .size = sizeof *l, .scale = NAN }; }

static ca_linear *args_of(const struct ca_call *c) { return c->owned; }

/* Where element (b, h, t) of [B,H,T,ROW] or [B,T,H,ROW] lies. */
static ca_lin_strides strides_of(bool bshd, int64_t H, int64_t T, int64_t row)
{
    return bshd ? (ca_lin_strides){ H * T * row, row, H * row } : (ca_lin_strides){ H * T * row, T * row, row };
}

static clattn_status check_linear(const clattn_linear *l)
{
    clattn_status st;
    CA_REQUIRE(l, CLATTN_E_ARGUMENT, "linear is NULL");
    CA_TRY(ca_check_size(l, l->size, sizeof *l, "clattn_linear"));
    CA_REQUIRE(l->layout == CLATTN_BHSD || l->layout == CLATTN_BSHD, CLATTN_E_ARGUMENT, "layout %d, must be CLATTN_BHSD or CLATTN_BSHD",
               (int)l->layout);
    CA_REQUIRE((unsigned)l->rule < RULES, CLATTN_E_ARGUMENT, "rule %d is not a clattn_update_rule", (int)l->rule);
    CA_REQUIRE((unsigned)l->map < MAPS, CLATTN_E_ARGUMENT, "map %d is not a clattn_feature_map", (int)l->map);
    CA_REQUIRE(l->chunk >= 0 && l->chunk <= MAX_CHUNK, CLATTN_E_ARGUMENT, "chunk is %" PRId64 ", must be 0 ... %d", l->chunk, MAX_CHUNK);
    CA_REQUIRE(l->max_len >= 0, CLATTN_E_ARGUMENT, "max_len is %" PRId64, l->max_len);
    CA_REQUIRE(l->max_len == 0 || l->map == CLATTN_MAP_COS, CLATTN_E_ARGUMENT, "max_len is %" PRId64 ", which map %s does not take",
               l->max_len, maps[l->map].name);
    CA_REQUIRE(l->lag >= 0 && l->lag <= INT32_MAX, CLATTN_E_ARGUMENT, "lag is %" PRId64 ", must be 0 ... %d", l->lag, INT32_MAX);
    CA_REQUIRE(l->lag == 0 || (l->map != CLATTN_MAP_COS && !l->bidirectional), CLATTN_E_UNSUPPORTED, "lag %" PRId64 " with %s is not supported",
               l->lag, l->bidirectional ? "bidirectional (causal false)" : "map cos");
    CA_REQUIRE(!isinf(l->scale) && !isnan(l->eps), CLATTN_E_ARGUMENT, "scale %g, eps %g: must be numbers", l->scale, l->eps);
    if (l->bidirectional) {
        CA_REQUIRE(l->rule == CLATTN_RULE_LINEAR, CLATTN_E_ARGUMENT, "bidirectional (causal false) needs rule linear, not %s",
                   rule_names[l->rule]);
        CA_REQUIRE(l->chunk != 1, CLATTN_E_UNSUPPORTED, "chunk 1, the recurrent form, is causal");
    }
    CA_REQUIRE(!l->normalize || l->rule < CLATTN_RULE_DELTA, CLATTN_E_UNSUPPORTED, "normalize with rule %s is not defined: its values are not "
               "weighted sums", rule_names[l->rule]);
done:
    return st;
}

/* NAME is there if, and only if, WANTED; WHY says what asks for it. */
static clattn_status check_given(const clattn_tensor *t, const char *name, bool wanted, const char *why, const char *which)
{
    CA_REQUIRE(t || !wanted, CLATTN_E_ARGUMENT, "%s is missing: %s %s needs it", name, why, which);
    CA_REQUIRE(!t || wanted, CLATTN_E_ARGUMENT, "%s is given: %s %s takes none", name, why, which);
    return CLATTN_OK;
}

static clattn_status check_tensors(const clattn_linear *l, const clattn_linear_tensors *t)
{
    bool gated = l->rule == CLATTN_RULE_GATED || l->rule == CLATTN_RULE_GATED_DELTA;
    clattn_status st;
    CA_REQUIRE(t, CLATTN_E_ARGUMENT, "tensors is NULL");
    CA_TRY(ca_check_size(t, t->size, sizeof *t, "clattn_linear_tensors"));
    CA_TRY(check_given(t->g, "g", gated, "rule", rule_names[l->rule]));
    CA_TRY(check_given(t->beta, "beta", l->rule >= CLATTN_RULE_DELTA, "rule", rule_names[l->rule]));
    CA_TRY(check_given(t->projection, "projection", l->map == CLATTN_MAP_FAVOR, "map", maps[l->map].name));
    CA_REQUIRE(l->normalize || (!t->initial_z && !t->final_z), CLATTN_E_ARGUMENT, "%s needs normalize", t->initial_z ? "initial_z" : "final_z");
    CA_REQUIRE(l->normalize || !t->lse, CLATTN_E_ARGUMENT, "lse is given: without normalize rows have no divisor");
    CA_REQUIRE(!l->lag || !t->u, CLATTN_E_ARGUMENT, "u is given: lag %" PRId64 " takes none", l->lag);
    CA_REQUIRE(!l->bidirectional || (!t->initial_state && !t->initial_z), CLATTN_E_ARGUMENT, "%s: bidirectional (causal false) takes none",
               t->initial_state ? "initial_state" : "initial_z");
    if (t->u) {
        CA_REQUIRE(l->rule < CLATTN_RULE_DELTA, CLATTN_E_ARGUMENT, "u is given: rule %s takes none", rule_names[l->rule]);
        CA_REQUIRE(!l->bidirectional && !l->normalize, CLATTN_E_ARGUMENT, "u is given: %s takes none",
                   l->normalize ? "normalize" : "bidirectional (causal false)");
        CA_REQUIRE(maps[l->map].keeps, CLATTN_E_ARGUMENT, "u is given: map %s has other features than dims", maps[l->map].name);
    }
done:
    return st;
}

static clattn_status take_operands(struct ca_call *c, const clattn_linear_tensors *t)
{
    static const struct { const char *name; size_t at; unsigned what; } rows[LIN_TENSORS] = {
#define TENSOR(name, what) { #name, offsetof(clattn_linear_tensors, name), what }
        [LIN_Q] = TENSOR(q, 0), [LIN_K] = TENSOR(k, 0), [LIN_V] = TENSOR(v, 0), [LIN_G] = TENSOR(g, CA_OPTIONAL),
        [LIN_BETA] = TENSOR(beta, CA_OPTIONAL), [LIN_U] = TENSOR(u, CA_OPTIONAL), [LIN_PROJECTION] = TENSOR(projection, CA_OPTIONAL),
        [LIN_STATE] = TENSOR(initial_state, CA_OPTIONAL), [LIN_Z] = TENSOR(initial_z, CA_OPTIONAL), [LIN_OUT] = TENSOR(out, CA_OUTPUT),
        [LIN_LSE] = TENSOR(lse, CA_OUTPUT | CA_OPTIONAL),
        [LIN_FINAL] = TENSOR(final_state, CA_OUTPUT | CA_OPTIONAL), [LIN_FINAL_Z] = TENSOR(final_z, CA_OUTPUT | CA_OPTIONAL),
#undef TENSOR
    };
    clattn_status st = CLATTN_OK;
    for (int k = 0; k < LIN_TENSORS; k++)
        CA_TRY(ca_operand(c, k, rows[k].name, *(const clattn_tensor *const *)(const void *)((const char *)t + rows[k].at), rows[k].what));
done:
    return st;
}

int64_t ca_linear_features(int map, int64_t K, int64_t M)
{
    return map == LIN_SQUARE ? K * K : map == LIN_TAYLOR2 ? 1 + K + K * K : map == LIN_COS ? 2 * K : map == LIN_FAVOR ? M : K;
}

/* What the operands' numbers, types and places are, once they are known; how much there is to do, for threads and deadlines. */
static void finish(struct ca_call *c, const ca_linear *from)
{
    ca_linear *a = args_of(c);
    *a = *from;
    a->width = maps[a->map].paired ? a->K : a->F;
    a->rows = 1 / sqrtf((float)a->F);
    for (int k = 0; k < LIN_TENSORS; k++) a->type[k] = c->a.type[k], a->at[k] = c->a.at[k];
    c->reuse = LIN_FINAL - LIN_STATE, c->reusable = LIN_STATE;
    a->T -= a->late;
    a->at[LIN_Q] += a->late * a->q.t, a->at[LIN_OUT] += a->late * a->o.t, a->at[LIN_LSE] += a->late;
    c->a.units = ca_max(c->o[LIN_OUT].count, 1);
    c->row = (int64_t)(ca_linear_flops(c) / 16 / (double)c->a.units) + 1;
}

static clattn_status begin(struct ca_call *c, const struct ca_work *work)
{
    ca_call_begin(c, NULL);
    c->work = work;
    c->owned = calloc(1, sizeof(ca_linear));
    return c->owned ? CLATTN_OK : ca_no_memory(sizeof(ca_linear), "a call");
}

static const struct ca_work linear_work;

clattn_status ca_op_linear(struct ca_call *c, const clattn_linear *l, const clattn_linear_tensors *t)
{
    clattn_status st;
    CA_TRY(begin(c, &linear_work));
    CA_TRY(check_linear(l));
    CA_TRY(check_tensors(l, t));
    CA_TRY(take_operands(c, t));
    const clattn_tensor *q = &c->o[LIN_Q].t, *k = &c->o[LIN_K].t, *v = &c->o[LIN_V].t, *g = t->g ? &c->o[LIN_G].t : NULL;
    const bool bshd = l->layout == CLATTN_BSHD;
    for (int i = LIN_Q; i <= LIN_V; i++)
        CA_REQUIRE(c->o[i].t.rank == 4, CLATTN_E_ARGUMENT, "%s has rank %d, must have 4", c->o[i].name, c->o[i].t.rank);
    const int64_t B = q->shape[0], H = q->shape[bshd ? 2 : 1], T = q->shape[bshd ? 1 : 2], K = q->shape[3], V = v->shape[3];
    const int64_t Hkv = k->shape[bshd ? 2 : 1], M = t->projection && t->projection->rank == 2 ? t->projection->shape[0] : 0;
    const int64_t F = ca_linear_features((int)l->map, K, M);
    CA_REQUIRE(K >= 1 && K <= MAX_DIM, CLATTN_E_ARGUMENT, "q: shape[3] is %" PRId64 ", must be 1 ... %d", K, MAX_DIM);
    CA_REQUIRE(Hkv == 0 ? H == 0 : H % Hkv == 0, CLATTN_E_ARGUMENT, "q has %" PRId64 " heads, no multiple of the %" PRId64 " of k", H, Hkv);
    CA_REQUIRE(H <= INT32_MAX / 2 && B <= INT32_MAX / 2 && V <= 1 << 20, CLATTN_E_TOO_LARGE,
               "%" PRId64 " batch rows, %" PRId64 " heads, %" PRId64 " dims of v are too many", B, H, V);
#define BY_LAYOUT(heads, ...) (const int64_t[]){ B, bshd ? T : (heads), bshd ? (heads) : T, __VA_ARGS__ }
    CA_TRY(ca_shape_is(c, LIN_K, 4, BY_LAYOUT(Hkv, K), "batch, length and dims of q"));
    CA_TRY(ca_shape_is(c, LIN_V, 4, BY_LAYOUT(Hkv, V), "batch, heads and length of k"));
    CA_TRY(ca_shape_is(c, LIN_OUT, 4, BY_LAYOUT(H, V), "as q, with the dims of v"));
    CA_TRY(ca_shape_is(c, LIN_LSE, 3, (const int64_t[]){ B, H, T }, "batch, heads and length of q"));
    if (g) {
        CA_REQUIRE(g->rank == 3 || g->rank == 4, CLATTN_E_ARGUMENT, "g has rank %d, must have 3 (by head) or 4 (by key dim)", g->rank);
        CA_TRY(ca_shape_is(c, LIN_G, g->rank, BY_LAYOUT(Hkv, K), "batch, heads and length of k, perhaps its dims"));
        CA_REQUIRE(g->rank == 3 || maps[l->map].keeps, CLATTN_E_ARGUMENT, "g is by key dim: map %s has other features than dims",
                   maps[l->map].name);
    }
    CA_TRY(ca_shape_is(c, LIN_BETA, 3, BY_LAYOUT(Hkv, 0), "batch, heads and length of k"));
    CA_TRY(ca_shape_is(c, LIN_U, 2, (const int64_t[]){ Hkv, K }, "heads and dims of k"));
    CA_TRY(ca_shape_is(c, LIN_PROJECTION, 2, (const int64_t[]){ M, K }, "features, dims of q"));
    CA_REQUIRE(F >= 1 && F <= INT32_MAX / 4, CLATTN_E_ARGUMENT, "map %s has %" PRId64 " features, must have at least 1", maps[l->map].name, F);
    for (int i = LIN_STATE; i <= LIN_FINAL; i += LIN_FINAL - LIN_STATE) {
        CA_TRY(ca_shape_is(c, i, 4, (const int64_t[]){ B, Hkv, F, V }, "batch, heads of k, features, dims of v"));
        CA_TRY(ca_shape_is(c, i + 1, 3, (const int64_t[]){ B, Hkv, F }, "batch, heads of k, features"));
    }
    const bool by_dim = g && g->rank == 4;
    const ca_linear a = {
        .q = strides_of(bshd, H, T, K), .k = strides_of(bshd, Hkv, T, K), .v = strides_of(bshd, Hkv, T, V),
        .g = strides_of(bshd, Hkv, T, by_dim ? K : 1), .beta = strides_of(bshd, Hkv, T, 1), .o = strides_of(bshd, H, T, V),
        .T = T, .late = (ca_int)ca_min(l->lag, T), .B = (ca_int)B, .H = (ca_int)Hkv, .group = (ca_int)(Hkv ? H / Hkv : 1), .share = 1, .K = (ca_int)K, .V = (ca_int)V, .F = (ca_int)F,
        .map = (ca_int)l->map, .gate = by_dim ? LIN_BY_DIM : g ? LIN_BY_HEAD : LIN_NO_GATE, .delta = l->rule >= CLATTN_RULE_DELTA,
        .bonus = t->u != NULL, .normalize = l->normalize != 0, .l2norm = l->l2norm_qk != 0, .chunk = (ca_int)l->chunk,
        .pass = l->bidirectional ? LIN_SUMS : LIN_STREAM, .scale = (float)(isnan(l->scale) ? 1 / sqrt((double)K) : l->scale),
        .eps = (float)l->eps, .max_len = (float)(l->max_len ? l->max_len : T),
    };
    finish(c, &a);
done:
    return st;
}

/* x, dt, A_log, B, C, D are v, g, beta, k, q, u. */
clattn_status ca_op_mamba2_ssd(struct ca_call *c, const clattn_linear_tensors *t, int64_t chunk)
{
    clattn_status st;
    CA_TRY(begin(c, &linear_work));
    CA_REQUIRE(chunk >= 0 && chunk <= MAX_CHUNK, CLATTN_E_ARGUMENT, "chunk is %" PRId64 ", must be 0 ... %d", chunk, MAX_CHUNK);
    CA_TRY(ca_operand(c, LIN_V, "x", t->v, CA_FLOAT));
    CA_TRY(ca_operand(c, LIN_G, "dt", t->g, CA_FLOAT));
    CA_TRY(ca_operand(c, LIN_BETA, "A_log", t->beta, CA_FLOAT));
    CA_TRY(ca_operand(c, LIN_K, "B", t->k, CA_FLOAT));
    CA_TRY(ca_operand(c, LIN_Q, "C", t->q, CA_FLOAT));
    CA_TRY(ca_operand(c, LIN_U, "D", t->u, CA_OPTIONAL));
    CA_TRY(ca_operand(c, LIN_STATE, "initial_state", t->initial_state, CA_OPTIONAL));
    CA_TRY(ca_operand(c, LIN_OUT, "out", t->out, CA_OUTPUT));
    CA_TRY(ca_operand(c, LIN_FINAL, "final_state", t->final_state, CA_OUTPUT | CA_OPTIONAL));
    const clattn_tensor *x = &c->o[LIN_V].t, *k = &c->o[LIN_K].t;
    CA_REQUIRE(x->rank == 4, CLATTN_E_ARGUMENT, "x has rank %d, must have 4", x->rank);
    CA_REQUIRE(k->rank == 4, CLATTN_E_ARGUMENT, "B has rank %d, must have 4", k->rank);
    const int64_t B = x->shape[0], T = x->shape[1], H = x->shape[2], P = x->shape[3], G = k->shape[2], N = k->shape[3];
    CA_REQUIRE(N >= 1 && N <= MAX_DIM, CLATTN_E_ARGUMENT, "B: shape[3] is %" PRId64 ", must be 1 ... %d", N, MAX_DIM);
    CA_REQUIRE(G == 0 ? H == 0 : H % G == 0, CLATTN_E_ARGUMENT, "x has %" PRId64 " heads, no multiple of the %" PRId64 " groups of B", H, G);
    CA_REQUIRE(H <= INT32_MAX / 2 && B <= INT32_MAX / 2 && P <= 1 << 20, CLATTN_E_TOO_LARGE,
               "%" PRId64 " batch rows, %" PRId64 " heads, %" PRId64 " dims of x are too many", B, H, P);
    CA_TRY(ca_shape_is(c, LIN_G, 3, x->shape, "batch, length and heads of x"));
    CA_TRY(ca_shape_is(c, LIN_BETA, 1, &H, "heads of x"));
    CA_TRY(ca_shape_is(c, LIN_U, 1, &H, "heads of x"));
    CA_TRY(ca_shape_is(c, LIN_K, 4, (const int64_t[]){ B, T, G, N }, "batch and length of x, groups, state's dims"));
    CA_TRY(ca_shape_is(c, LIN_Q, 4, (const int64_t[]){ B, T, G, N }, "as B"));
    CA_TRY(ca_shape_is(c, LIN_OUT, 4, x->shape, "as x"));
    CA_TRY(ca_shape_is(c, LIN_STATE, 4, (const int64_t[]){ B, H, N, P }, "batch and heads of x, dims of B, of x"));
    CA_TRY(ca_shape_is(c, LIN_FINAL, 4, (const int64_t[]){ B, H, N, P }, "batch and heads of x, dims of B, of x"));
    const ca_linear a = {
        .q = strides_of(true, G, T, N), .k = strides_of(true, G, T, N), .v = strides_of(true, H, T, P), .g = strides_of(true, H, T, 1),
        .o = strides_of(true, H, T, P), .T = T, .B = (ca_int)B, .H = (ca_int)H, .group = 1, .share = (ca_int)(G ? H / G : 1), .K = (ca_int)N,
        .V = (ca_int)P, .F = (ca_int)N, .gate = LIN_BY_HEAD, .ssd = 1, .chunk = (ca_int)chunk, .pass = LIN_STREAM, .scale = 1,
    };
    finish(c, &a);
done:
    return st;
}

/* --------------------------------------------------------------- projections */

/* Rows are made orthogonal twice: once leaves the rounding errors of the first time, K of them. */
static void draw_block(double *w, int64_t first, int64_t rows, int64_t K, uint64_t seed, uint64_t offset)
{
    for (int64_t r = 0; r < rows; r++) {
        double *row = w + r * K, norm = 0;
        for (int64_t d = 0; d < K; d++) row[d] = ca_philox_normal(seed, offset, (uint64_t)((first + r) * K + d));
        for (int64_t i = 0; i < 2 * r; i++) {
            const double *other = w + i % r * K;
            double dot = 0;
            for (int64_t d = 0; d < K; d++) dot += row[d] * other[d];
            for (int64_t d = 0; d < K; d++) row[d] -= dot * other[d];
        }
        for (int64_t d = 0; d < K; d++) norm += row[d] * row[d];
        for (int64_t d = 0; d < K; d++) row[d] = norm > 0 ? row[d] / sqrt(norm) : d == r;
    }
}

clattn_status ca_op_favor_projection(struct ca_call *c, uint64_t seed, uint64_t offset, const clattn_tensor *projection)
{
    double *block = NULL;
    clattn_status st;
    ca_call_begin(c, &ca_k_convert);
    CA_TRY(ca_operand(c, 3, "projection", projection, CA_OUTPUT));
    CA_REQUIRE(projection->rank == 2, CLATTN_E_ARGUMENT, "projection has rank %d, must have 2: features, dims", projection->rank);
    const int64_t M = projection->shape[0], K = projection->shape[1], count = c->o[3].count;
    CA_REQUIRE(K <= MAX_DIM, CLATTN_E_ARGUMENT, "projection: shape[1] is %" PRId64 ", must be at most %d", K, MAX_DIM);
    float *w = c->owned = malloc(count ? (size_t)count * sizeof *w : 1);
    block = malloc((size_t)(K * K + 1) * sizeof *block);
    if (!w || !block) { st = ca_no_memory((size_t)(K * K) * sizeof *block, "a projection"); goto done; }
    for (int64_t first = 0; K > 0 && first < M; first += K) {
        const int64_t rows = ca_min(K, M - first);
        draw_block(block, first, rows, K, seed, offset);
        for (int64_t r = 0; r < rows; r++) {
            double square = 0;
            for (int64_t d = 0; d < K; d++) {
                double x = ca_philox_normal(seed, offset, (uint64_t)((M + first + r) * K + d));
                square += x * x;
            }
            for (int64_t d = 0; d < K; d++) w[(first + r) * K + d] = (float)(sqrt(square) * block[r * K + d]);
        }
    }
    ca_operand_own(c, 0, CLATTN_F32, w, count);
    c->a.units = c->a.n[5] = count;
done:
    free(block);
    return st;
}

/* ------------------------------------------------------------------- figures */

double ca_linear_flops(const struct ca_call *c)
{
    const ca_linear *a = args_of(c);
    return 2.0 * a->B * a->H * (double)a->T * a->F * a->V * (1 + a->delta + a->group);
}

double ca_linear_bytes(const struct ca_call *c)
{
    double bytes = 0;
    for (int k = 0; k < LIN_TENSORS; k++) bytes += (double)c->o[k].bytes;
    return bytes;
}

/* -------------------------------------------------------------------- a plan */

struct form { int vl, mr, nv, items, workers; const char *reason; };

/* The form for DEV, completed in A. */
static clattn_status plan(const struct device *dev, ca_linear *a, struct form *f)
{
    const struct host_linear *host = ca_host_isa()->linear;
    if (ca_is_host(dev)) *f = (struct form){ host->lanes, 0, host->wide / host->lanes, 1, ca_host_threads(), NULL };
    else if (!ca_is_cpu_like(dev) || dev->quirks & CA_QUIRK_ROUNDS) *f = (struct form){ 4, 4, 2, (int)ca_group_for(dev, 64), 0, NULL };
    else {
        int w = dev->vector_width >= 16 ? 16 : dev->vector_width >= 8 ? 8 : 4;
        *f = (struct form){ w, w == 4 ? 3 : 6, w == 8 ? 2 : 4, 1, 0, NULL };
    }
    int64_t cores = ca_is_host(dev) ? f->workers : f->items > 1 ? 2 * (int64_t)dev->compute_units : dev->compute_units;
    int64_t heads = (int64_t)a->B * a->H, block = f->vl * f->nv;
    /* Within a chunk what a delta rule takes out of the state stands beside it, as a sum of products, until the chunk ends: what the
     * recurrence has cancelled already is still there to be rounded. */
    const ca_int most = a->map ? SHORT : MIDDLE;
    if (a->delta && a->chunk > most) a->chunk = most, f->reason = "substitution within longer chunks adds rounding errors";
    else if (a->chunk) f->reason = "as asked";
    else if (a->pass == LIN_STREAM && a->T <= FEW) a->chunk = 1, f->reason = "few tokens read and write the state once each";
    else if (a->gate == LIN_BY_DIM) a->chunk = SHORT, f->reason = "decays by key dim are a matrix for each dim within a chunk";
    else if (a->delta) a->chunk = most, f->reason = "substitution within longer chunks adds rounding errors";
    else a->chunk = f->items == 1 && a->F < 128 ? MIDDLE : CHUNK, f->reason = "long: products within chunks, the state between them";
    a->recurrent = a->chunk == 1;
    a->chunk = (ca_int)ca_min(a->chunk, ca_max(a->T, 1));
    a->vblock = a->V;
    if (heads < cores * 2 && a->V > block) a->vblock = (ca_int)ca_min(a->V, ca_round_up(ca_ceil_div(a->V * heads, cores * 2), block));
    if (heads < cores && a->V > f->vl) a->vblock = (ca_int)ca_min(a->vblock, ca_round_up(ca_ceil_div(a->V * heads, cores), f->vl));
    a->vblock = (ca_int)ca_max(a->vblock, 1);
    a->vblocks = (ca_int)ca_ceil_div(a->V, a->vblock);
    f->nv = (int)ca_min(f->nv, ca_ceil_div(a->vblock, f->vl));
    ca_lin_room room;
    ca_lin_layout(a, f->vl, &room);
    a->units = heads * a->vblocks;
    a->scratch = ca_round_up(room.floats, 16);
    a->state = ca_round_up((int64_t)a->F * room.E + a->F + f->vl, 16);
    if (!ca_is_host(dev)) f->workers = (int)ca_min(a->units, dev->quirks & CA_QUIRK_ROUNDS ? a->units : 4 * cores);
    f->workers = (int)ca_max(ca_min(f->workers, a->units), 1);
    a->workers = f->workers;
    CA_REQUIRE(room.floats < INT32_MAX / 4, CLATTN_E_TOO_LARGE, "chunk %d of %d features needs %lld floats", a->chunk, a->F, (long long)room.floats);
    return CLATTN_OK;
}

/* Bytes beyond the tensors: where the states wait, and the workers' scratch. */
static bool workspace_of(const struct device *dev, const ca_linear *a, size_t *states, size_t *scratch)
{
    size_t n = (size_t)(ca_is_host(dev) ? a->workers : a->units);
    return ca_mul(n, (size_t)a->state * sizeof(float), states) && ca_mul((size_t)a->workers, (size_t)a->scratch * sizeof(float), scratch);
}

/* Milliseconds: the states' products, and within a chunk half a square of scores.  The recurrence waits for its loads. */
static double cost_of(const struct device *dev, const ca_linear *a, double flops)
{
    double inside = (double)a->B * a->H * (double)a->T * a->chunk * (a->width + a->V) * (a->delta + a->group);
    double rate = 1e6 * (dev->gflops > 0 ? dev->gflops : 20);
    return a->recurrent ? 3 * flops / rate : (flops + inside + (a->gate == LIN_BY_DIM ? 4 * inside : 0)) / rate;
}

static void put_options(const struct device *dev, const ca_linear *a, const struct form *f, char *text, size_t size)
{
    snprintf(text, size,
             "-DVL=%d -DMR=%d -DNV=%d -DITEMS=%d -DLINEAR_map=%d -DLINEAR_gate=%d -DLINEAR_delta=%d -DLINEAR_bonus=%d -DLINEAR_normalize=%d "
             "-DLINEAR_l2norm=%d -DLINEAR_ssd=%d -DLINEAR_recurrent=%d%s", f->vl, f->mr, f->nv, f->items, a->map, a->gate, a->delta, a->bonus,
             a->normalize, a->l2norm, a->ssd, a->recurrent, dev->quirks & CA_QUIRK_ROUNDS ? " -DROLLED" : "" /* rusticl's compiler */);
}

clattn_status ca_linear_plan(const struct ca_call *c, const struct device *dev, int64_t chunk, struct ca_linear_form *form)
{
    ca_linear a = *args_of(c);
    struct form f;
    size_t states, scratch;
    clattn_status st;
    if (chunk) a.chunk = (ca_int)chunk;
    CA_REQUIRE(a.chunk != 1 || a.pass == LIN_STREAM, CLATTN_E_UNSUPPORTED, "the recurrent form is causal");
    CA_TRY(plan(dev, &a, &f));
    CA_REQUIRE(workspace_of(dev, &a, &states, &scratch) && ca_add(states, scratch, &form->workspace), CLATTN_E_TOO_LARGE,
               "%lld states of %lld floats are too large", (long long)a.units, (long long)a.state);
    form->name = a.recurrent ? "recurrent" : "chunked";
    form->reason = f.reason;
    form->cost_ms = cost_of(dev, &a, ca_linear_flops(c));
    int n = a.recurrent ? 0 : snprintf(form->params, sizeof form->params, "chunk=%d ", a.chunk);
    snprintf(form->params + n, sizeof form->params - (size_t)n, "columns=%d units=%lld", a.vblock, (long long)a.units);
    put_options(dev, &a, &f, form->options, sizeof form->options);
done:
    return st;
}

/* -------------------------------------------------------------------- on the host */

static clattn_status run_host(clattn_context *ctx, const struct ca_call *c, void *const t[CA_OPERANDS])
{
    const struct host_linear *k = ca_host_isa()->linear;
    ca_linear a = *args_of(c);
    struct form f;
    char *room = NULL;
    size_t states, scratch, bytes;
    clattn_status st;
    CA_TRY(plan(&ctx->dev, &a, &f));
    if (a.units == 0) return CLATTN_OK;
    CA_REQUIRE(workspace_of(&ctx->dev, &a, &states, &scratch) && ca_add(states, scratch, &bytes) && ca_add(bytes, 64, &bytes), CLATTN_E_TOO_LARGE,
               "states of %lld floats are too large", (long long)a.state);
    room = aligned_alloc(64, (size_t)ca_round_up((int64_t)bytes, 64));
    if (!room) { st = ca_no_memory(bytes, "states and the threads' scratch"); goto done; }
    int threads = ca_linear_flops(c) < 65536 ? 1 : f.workers;
    a.to = a.T;
#pragma omp parallel num_threads(threads)
    {
        float *state = (float *)(void *)room + (size_t)ca_host_thread() * (size_t)(a.state + a.scratch);
#pragma omp for schedule(dynamic, 1)
        for (int64_t u = 0; u < a.units; u++)
            for (ca_linear mine = a;; mine.pass = LIN_OUTPUTS) {
                k->unit(&mine, t, u, state, state + a.state);
                if (mine.pass != LIN_SUMS) break;
            }
    }
done:
    free(room);
    return st;
}

/* -------------------------------------------------------------------- on a device */

/* Rounds of all loops that a work-item takes for one chunk, or step, of one unit, roughly from above. */
static double rounds_of(const ca_linear *a, const struct form *f)
{
    ca_lin_room r;
    ca_lin_layout(a, f->vl, &r);
    const double items = f->items, X = r.X / f->vl, C = a->chunk, E = r.E / f->vl, tile = f->mr * f->nv, F = a->F;
#define TILES(rows, vectors, k) (ceil(((rows) / f->mr + 1) * ((vectors) / f->nv + 1) / items) * ((k) + 8 + tile / 4))
    if (a->recurrent) return ceil((E / f->nv + 1) / items) * F * (2 + a->delta + a->group) + 4 * (1 + a->group) * (X + F / f->vl) + 64;
    const double rows = ceil(C / items), blocks = F / (ca_lin_block(a) * a->K) + 2;
    double n = (1 + a->group) * (rows * 8 * (X + 2) + TILES(C, X, a->K)) + 4 * rows * E + 64; /* loads, maps */
    n += (a->delta + a->group) * (TILES(C, C / f->vl, a->width) + TILES(C, E, F) + (C / f->mr + 1) * TILES(f->mr, E, C) + rows * (blocks * (X + 16) + X + C));
    n += TILES(F, E, C) + blocks * rows * (X + 16) + ceil(F / f->vl / items) * C;
    n += (a->gate == LIN_BY_DIM ? (a->delta + a->group) * C * (X * 4 + 2) : 2 * C) * ceil(r.C / f->vl / items) + C;
#undef TILES
    return n;
}

static clattn_status build(clattn_context *ctx, const ca_linear *a, const struct form *f, struct program **program)
{
    char options[256];
    put_options(&ctx->dev, a, f, options, sizeof options);
    return ca_program_get(ctx, "linear", options, program);
}

/* Steps in pieces that a device's watchdog, and its patience with one work-item, let pass. */
static clattn_status piece_of(clattn_context *ctx, const ca_linear *a, const struct form *f, double flops, int64_t *piece)
{
    const struct device *dev = &ctx->dev;
    double steps = ceil((double)a->T / a->chunk), rounds = rounds_of(a, f);
    double most = steps / fmax(ca_seconds_expected(dev, flops) / (ca_is_cpu_like(dev) ? 2.0 : 0.1), 1e-9);
    if (dev->quirks & CA_QUIRK_ROUNDS) {
        double first = (double)a->F * ((double)a->vblock / f->vl + 1) * 2 / f->items + (a->map == LIN_FAVOR ? (double)a->K * a->F / f->items : 0);
        CA_REQUIRE(first + rounds <= CA_MAX_ROUNDS, CLATTN_E_UNSUPPORTED,
                   "%s ends a work-item after %d rounds of its loops, a chunk of %d with a state of %d x %d takes %.0f", dev->name, CA_MAX_ROUNDS,
                   a->chunk, a->F, a->vblock, first + rounds);
        most = fmin(most, (CA_MAX_ROUNDS - first) / rounds);
    }
    *piece = (int64_t)fmax(1, fmin(floor(most), steps)) * a->chunk;
    return CLATTN_OK;
}

static clattn_status run_device(clattn_context *ctx, const struct ca_call *c, const cl_mem mem[CA_OPERANDS], struct chain *chain)
{
    ca_linear a = *args_of(c);
    struct form f;
    struct program *program;
    cl_mem states = NULL, scratch = NULL;
    size_t bytes[2];
    int64_t piece = 0;
    clattn_status st;
    CA_TRY(plan(&ctx->dev, &a, &f));
    if (a.units == 0) return CLATTN_OK;
    CA_REQUIRE(workspace_of(&ctx->dev, &a, &bytes[0], &bytes[1]), CLATTN_E_TOO_LARGE, "%lld states of %lld floats are too large",
               (long long)a.units, (long long)a.state);
    CA_TRY(piece_of(ctx, &a, &f, ca_linear_flops(c), &piece));
    CA_TRY(build(ctx, &a, &f, &program));
    CA_TRY(ca_buffer_create(ctx, CL_MEM_READ_WRITE, bytes[0], NULL, "states", &states));
    CA_TRY(ca_buffer_create(ctx, CL_MEM_READ_WRITE, bytes[1], NULL, "scratch", &scratch));
    struct launch_arg args[LIN_TENSORS + 3];
    for (int k = 0; k < LIN_TENSORS; k++) args[k] = (struct launch_arg){ sizeof(cl_mem), &mem[k] };
    args[LIN_TENSORS] = (struct launch_arg){ sizeof(cl_mem), &states };
    args[LIN_TENSORS + 1] = (struct launch_arg){ sizeof(cl_mem), &scratch };
    args[LIN_TENSORS + 2] = (struct launch_arg){ sizeof a, &a };
    for (bool more = true; more; a.pass = LIN_OUTPUTS) {
        more = a.pass == LIN_SUMS;
        a.from = 0;
        do {
            a.to = ca_min(a.from + piece, a.T);
            const struct launch l = {
                .program = program, .kernel = "linear_attention", .dims = 1, .global = { (size_t)f.workers * (size_t)f.items },
                .local = { (size_t)f.items }, .args = args, .num_args = LIN_TENSORS + 3,
                .flops = ca_linear_flops(c) * (double)(a.to - a.from) / (double)ca_max(a.T, 1),
            };
            CA_TRY(ca_launch(ctx, &l, chain));
            a.from = a.to;
        } while (a.from < a.T);
    }
done:
    ca_buffer_release(ctx, states); /* live on until the last command is done */
    ca_buffer_release(ctx, scratch);
    return st;
}

static const struct ca_work linear_work = { run_host, run_device };
