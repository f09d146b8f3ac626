/* nop.c -- the empty problem: no output at all, or no key to attend to (out 0, lse -inf or the sink).
 * That it is an algorithm saves every other one from special cases. */
#include "algo/algo.h"
#include <string.h>

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    (void)dev, (void)why;
    return ca_problem_empty(p) ? NULL : "the problem is not empty";
}

static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    (void)p, (void)dev, (void)t;
    return 0;
}

/* Row by row, so that gaps between strided rows keep their bytes. */
static void fill_host(const struct problem *p, const struct io *io)
{
    size_t size = ca_dtype_size(p->dtype);
    float *lse = io->t[CA_LSE].host;
    const float *sinks = io->t[CA_SINKS].host;
    const int32_t *cu = io->t[CA_CUQ].host;
    int64_t N = ca_out_rows(p), first = cu ? cu[0] : 0, end = cu ? cu[p->B] : N;
    for (int64_t b = 0; b < ca_out_batch(p); b++)
        for (int64_t h = 0; h < p->Hq; h++)
            for (int64_t i = first; i < end; i++) {
                char *row = (char *)io->t[CA_OUT].host + size * (size_t)(b * p->o.b + h * p->o.h + i * p->o.s);
                for (int64_t d = 0; d < p->Dv; d++) memset(row + size * (size_t)(d * p->o.d), 0, size);
                if (lse) lse[(b * p->Hq + h) * N + i] = sinks ? sinks[h] : -INFINITY;
            }
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    (void)t;
    ca_common_options(p, dev, text, size);
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    if (p->B == 0 || ca_all_rows(p) == 0) return CLATTN_OK;
    if (ca_is_host(&plan->ctx->dev)) {
        fill_host(p, io);
        return CLATTN_OK;
    }
    ca_args a;
    ca_io_args(p, io, &a);
    const struct tensor *const tensors[] = { &io->t[CA_OUT], &io->t[CA_LSE] };
    struct launch_arg args[CA_MAX_ARGS];
    cl_uint num_args = ca_kernel_args(p, io, &a, tensors, 2, args);
    size_t group = ca_group_for(&plan->ctx->dev, 64); /* one size for every Nq: one build */
    struct launch l = {
        .program = plan->program, .kernel = "attn_nop", .dims = 2, .local = { group, 1 },
        .global = { (size_t)ca_round_up(ca_out_rows(p), (int64_t)group), (size_t)(ca_out_batch(p) * p->Hq) }, .args = args, .num_args = num_args,
    };
    return ca_launch(plan->ctx, &l, c);
}

const struct algo ca_algo_nop = {
    .name = "nop", .cuts_keys = true, .source = "nop", .legal = legal, .cost = cost, .options = options, .enqueue = enqueue,
};
