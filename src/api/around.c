/* around.c -- the operations around attention. */
#include "api/api.h"
#include "ops/ops.h"

/* Runs the call, if describing it succeeded. */
static clattn_status run(clattn_context *ctx, struct ca_call *c, clattn_status described, const clattn_launch *launch)
{
    struct session *session = NULL;
    clattn_status st;
    CA_TRY(described);
    if (!ctx) {
        for (int k = 0; k < CA_OPERANDS; k++)
            if (c->o[k].t.mem)
                CA_TRY(ca_fail(CLATTN_E_ARGUMENT, "%s is in device memory, but ctx is NULL", c->o[k].name));
        CA_TRY(ca_session_enter(&session, &ctx));
    }
    CA_TRY(ca_call_run(ctx, c, launch));
done:
    ca_call_free(c);
    ca_session_leave(session, st);
    return st;
}

clattn_status clattn_softmax(clattn_context *ctx, const clattn_tensor *x, int axis, const clattn_tensor *out,
                             const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_softmax(&c, x, axis, false, out), launch);
}

clattn_status clattn_log_softmax(clattn_context *ctx, const clattn_tensor *x, int axis, const clattn_tensor *out,
                                 const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_softmax(&c, x, axis, true, out), launch);
}

clattn_status clattn_layer_norm(clattn_context *ctx, const clattn_tensor *x, const clattn_tensor *weight,
                                const clattn_tensor *bias, int axis, double eps, const clattn_tensor *out,
                                const clattn_tensor *mean, const clattn_tensor *inv_std, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_norm(&c, x, weight, bias, axis, eps, true, out, mean, inv_std), launch);
}

clattn_status clattn_rms_norm(clattn_context *ctx, const clattn_tensor *x, const clattn_tensor *weight,
                              const clattn_tensor *bias, int axis, double eps, const clattn_tensor *out,
                              const clattn_tensor *inv_std, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_norm(&c, x, weight, bias, axis, eps, false, out, NULL, inv_std), launch);
}

clattn_status clattn_activate(clattn_context *ctx, clattn_activation activation, const clattn_tensor *x,
                              const clattn_tensor *out, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_activate(&c, activation, x, out), launch);
}

clattn_status clattn_rope(clattn_context *ctx, const clattn_tensor *x, const clattn_tensor *cos,
                          const clattn_tensor *sin, const clattn_tensor *position_ids, clattn_layout layout,
                          int interleaved, const clattn_tensor *out, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_rope(&c, x, cos, sin, position_ids, layout, interleaved != 0, out), launch);
}

void clattn_rope_params_init(clattn_rope_params *rope)
{
    if (rope) ca_rope_defaults(rope);
}

clattn_status clattn_rope_tables(clattn_context *ctx, const clattn_rope_params *rope, const clattn_tensor *inv_freq,
                                 const clattn_tensor *cos, const clattn_tensor *sin, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_rope_tables(&c, rope, inv_freq, cos, sin), launch);
}

clattn_status clattn_sinusoidal(clattn_context *ctx, const clattn_tensor *table, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_sinusoidal(&c, table), launch);
}

clattn_status clattn_relative_bias(clattn_context *ctx, const clattn_tensor *table, const clattn_tensor *bias,
                                   const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_relative_bias(&c, table, bias), launch);
}

clattn_status clattn_t5_bias(clattn_context *ctx, const clattn_tensor *table, int bidirectional, int64_t max_distance,
                             const clattn_tensor *bias, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_t5_bias(&c, table, bidirectional != 0, max_distance, bias), launch);
}

clattn_status clattn_cache_scatter(clattn_context *ctx, const clattn_tensor *past_cache, const clattn_tensor *update,
                                   const clattn_tensor *write_indices, int axis, int circular, const clattn_tensor *out,
                                   const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_cache_scatter(&c, past_cache, update, write_indices, axis, circular != 0, out), launch);
}

clattn_status clattn_causal_conv(clattn_context *ctx, const clattn_tensor *input, const clattn_tensor *weight,
                                 const clattn_tensor *bias, const clattn_tensor *past_state,
                                 clattn_activation activation, const clattn_tensor *out,
                                 const clattn_tensor *present_state, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_causal_conv(&c, input, weight, bias, past_state, activation, out, present_state), launch);
}

clattn_status clattn_merge(clattn_context *ctx, const clattn_tensor *outs, const clattn_tensor *lses,
                           const clattn_tensor *out, const clattn_tensor *lse, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_merge(&c, outs, lses, out, lse), launch);
}

clattn_status clattn_initialise(clattn_context *ctx, clattn_initialiser how, double gain, uint64_t seed,
                                uint64_t offset, const clattn_tensor *out, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_initialise(&c, how, gain, seed, offset, out), launch);
}

void clattn_linear_init(clattn_linear *linear)
{
    if (linear) ca_linear_defaults(linear);
}

clattn_status clattn_linear_attention(clattn_context *ctx, const clattn_linear *linear,
                                      const clattn_linear_tensors *tensors, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_linear(&c, linear, tensors), launch);
}

clattn_status clattn_mamba2_ssd(clattn_context *ctx, const clattn_tensor *x, const clattn_tensor *dt,
                                const clattn_tensor *A_log, const clattn_tensor *B, const clattn_tensor *C,
                                const clattn_tensor *D, const clattn_tensor *initial_state, int64_t chunk,
                                const clattn_tensor *out, const clattn_tensor *final_state, const clattn_launch *launch)
{
    const clattn_linear_tensors t = { .size = sizeof t, .q = C, .k = B, .v = x, .g = dt, .beta = A_log, .u = D,
                                      .initial_state = initial_state, .out = out, .final_state = final_state };
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_mamba2_ssd(&c, &t, chunk), launch);
}

clattn_status clattn_linformer(clattn_context *ctx, const clattn_tensor *q, const clattn_tensor *k, const clattn_tensor *v,
                               const clattn_tensor *e, const clattn_tensor *f, clattn_layout layout, double scale,
                               const clattn_tensor *out, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_linformer(&c, q, k, v, e, f, layout, scale, out), launch);
}

clattn_status clattn_nystrom(clattn_context *ctx, const clattn_tensor *q, const clattn_tensor *k, const clattn_tensor *v,
                             int64_t landmarks, clattn_layout layout, double scale, const clattn_tensor *out,
                             const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_nystrom(&c, q, k, v, landmarks, layout, scale, out), launch);
}

clattn_status clattn_favor_projection(clattn_context *ctx, uint64_t seed, uint64_t offset,
                                      const clattn_tensor *projection, const clattn_launch *launch)
{
    struct ca_call c;
    CA_ENTER();
    return run(ctx, &c, ca_op_favor_projection(&c, seed, offset, projection), launch);
}
