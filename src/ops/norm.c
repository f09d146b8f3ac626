/* norm.c -- softmax, norms and activations. */
#include "ops/ops.h"
#include <string.h>

clattn_status ca_op_softmax(struct ca_call *c, const clattn_tensor *x, int axis, bool logarithm,
                            const clattn_tensor *out)
{
    clattn_status st;
    ca_call_begin(c, &ca_k_softmax);
    CA_TRY(ca_operand(c, 0, "x", x, CA_FLOAT));
    CA_TRY(ca_operand(c, 1, "out", out, CA_OUTPUT));
    CA_TRY(ca_axis(x, axis, &axis));
    CA_TRY(ca_shape_is(c, 1, x->rank, x->shape, "as x"));
    c->in_place = true;
    c->row = ca_elements(x, axis, axis + 1);
    c->apart = ca_elements(x, axis + 1, x->rank);
    c->a.n[0] = c->row;
    c->a.n[1] = c->apart;
    c->a.units = c->o[0].count ? c->o[0].count / c->row : 0;
    c->a.flag[0] = logarithm;
done:
    return st;
}

/* Operand K repeats along x: its shape is the end of x's, apart from axes of 1 in front. */
static clattn_status check_repeats(const struct ca_call *c, int k)
{
    const clattn_tensor *x = &c->o[0].t, *t = &c->o[k].t;
    int ones = 0;
    while (ones < t->rank && t->shape[ones] == 1) ones++;
    int n = t->rank - ones, from = x->rank - n;
    for (int i = 0; c->o[k].name && i < n; i++)
        CA_REQUIRE(from >= 0 && t->shape[ones + i] == x->shape[from + i], CLATTN_E_ARGUMENT,
                   "%s: shape[%d] is %lld, its shape must be the end of x's", c->o[k].name, ones + i,
                   (long long)t->shape[ones + i]);
    return CLATTN_OK;
}

clattn_status ca_op_norm(struct ca_call *c, const clattn_tensor *x, const clattn_tensor *weight,
                         const clattn_tensor *bias, int axis, double eps, bool centred, const clattn_tensor *out,
                         const clattn_tensor *mean, const clattn_tensor *inv_std)
{
    int64_t rows[8];
    clattn_status st;
    ca_call_begin(c, &ca_k_norm);
    CA_TRY(ca_operand(c, 0, "x", x, CA_FLOAT));
    CA_TRY(ca_operand(c, 1, "weight", weight, CA_OPTIONAL));
    CA_TRY(ca_operand(c, 2, "bias", bias, CA_OPTIONAL));
    CA_TRY(ca_operand(c, 3, "out", out, CA_OUTPUT | (mean || inv_std ? CA_OPTIONAL : 0)));
    CA_TRY(ca_operand(c, 4, "mean", mean, CA_OUTPUT | CA_OPTIONAL));
    CA_TRY(ca_operand(c, 5, "inv_std", inv_std, CA_OUTPUT | CA_OPTIONAL));
    CA_TRY(ca_axis(x, axis, &axis));
    CA_TRY(check_repeats(c, 1));
    CA_TRY(check_repeats(c, 2));
    CA_TRY(ca_shape_is(c, 3, x->rank, x->shape, "as x"));
    for (int i = 0; i < x->rank; i++) rows[i] = i < axis ? x->shape[i] : 1;
    CA_TRY(ca_shape_is(c, 4, x->rank, rows, "as x, but 1 from axis on"));
    CA_TRY(ca_shape_is(c, 5, x->rank, rows, "as x, but 1 from axis on"));
    c->in_place = true;
    c->row = ca_elements(x, axis, x->rank);
    c->a.n[0] = c->row;
    for (int k = 1; k <= 2; k++) c->a.n[k] = c->o[k].count;
    c->a.units = ca_elements(x, 0, axis);
    c->a.flag[0] = centred;
    c->a.eps = (float)eps;
done:
    return st;
}

_Static_assert((int)ACT_NONE == (int)CLATTN_ACTIVATION_NONE && (int)ACT_SILU == (int)CLATTN_ACTIVATION_SILU &&
                   (int)ACT_GELU == (int)CLATTN_ACTIVATION_GELU &&
                   (int)ACT_GELU_TANH == (int)CLATTN_ACTIVATION_GELU_TANH && (int)TYPE_F32 == (int)CLATTN_F32 &&
                   (int)TYPE_F16 == (int)CLATTN_F16 && (int)TYPE_BF16 == (int)CLATTN_BF16,
               "the kernels' numbers are the header's");

clattn_status ca_activation_known(clattn_activation activation)
{
    CA_REQUIRE((int)activation >= CLATTN_ACTIVATION_NONE && activation <= CLATTN_ACTIVATION_GELU_TANH,
               CLATTN_E_ARGUMENT, "activation %d is not a clattn_activation", (int)activation);
    return CLATTN_OK;
}

clattn_status ca_op_activate(struct ca_call *c, clattn_activation how, const clattn_tensor *x, const clattn_tensor *out)
{
    clattn_status st;
    ca_call_begin(c, &ca_k_activate);
    CA_TRY(ca_activation_known(how));
    CA_TRY(ca_operand(c, 0, "x", x, CA_FLOAT));
    CA_TRY(ca_operand(c, 1, "out", out, CA_OUTPUT));
    CA_TRY(ca_shape_is(c, 1, x->rank, x->shape, "as x"));
    c->in_place = true;
    c->a.units = c->o[0].count;
    c->a.flag[0] = (ca_int)how;
done:
    return st;
}
