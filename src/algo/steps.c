/* steps.c -- what a plan does before and after its algorithm: new keys and values go into the cache before, weights are written
 * after (cl/steps.h). */
#include "algo/algo.h"
#include "host/host.h"

#define CA_WEIGHTS_ROUNDS(p) ((double)(p)->Nk * ((double)(p)->D + 24))

clattn_status ca_steps_build(struct clattn_plan *plan)
{
    const struct problem *p = &plan->p;
    const struct device *dev = &plan->ctx->dev;
    char options[1024];
    if (ca_is_host(dev) || (!p->new_len && !p->weights)) return CLATTN_OK;
    CA_REQUIRE(!(dev->quirks & CA_QUIRK_ROUNDS) || !p->weights || CA_WEIGHTS_ROUNDS(p) <= CA_MAX_ROUNDS, CLATTN_E_UNSUPPORTED,
               "for a row of the weights a work-item may take %.0f rounds of its loops, the device ends it after %d",
               CA_WEIGHTS_ROUNDS(p), CA_MAX_ROUNDS);
    int n = ca_common_options(p, dev, options, sizeof options);
    snprintf(options + n, sizeof options - (size_t)n, " -DVL=%d", dev->vector_width >= 16 ? 16 : dev->vector_width >= 8 ? 8 : 4);
    return ca_program_get_with(plan->ctx, "steps", p->mods, options, &plan->steps);
}

clattn_status ca_append(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const struct tensor *t = io->t;
    ca_args a;
    if (!p->new_len || p->B == 0) return CLATTN_OK;
    ca_io_args(p, io, &a);
    if (t[CA_K].host) { /* of device memory too, where the caller's is at hand */
        ca_optional x;
        ca_optional_host(p, io, &x);
        for (int64_t n = 0; n < p->B * p->Hkv * p->new_len; n++)
            ca_host_isa()->type[p->dtype]->append(&a, &x, t[CA_KNEW].host, t[CA_VNEW].host, t[CA_K].host, t[CA_V].host,
                                                  (int)(n / p->new_len / p->Hkv), (int)(n / p->new_len % p->Hkv), (int)(n % p->new_len));
        return CLATTN_OK;
    }
    const struct tensor *const tensors[] = { &t[CA_KNEW], &t[CA_VNEW], &t[CA_K], &t[CA_V] };
    struct launch_arg args[CA_MAX_ARGS];
    struct launch l = {
        .program = plan->steps, .kernel = "attn_append", .dims = 2, .local = { 1, 1 },
        .global = { (size_t)p->new_len, (size_t)(p->B * p->Hkv) }, .args = args, .num_args = ca_kernel_args(p, io, &a, tensors, 4, args),
    };
    return ca_launch(plan->ctx, &l, c);
}

static void weights_on_host(const struct problem *p, const struct io *io, const ca_args *a)
{
    const struct host_kernels *k = ca_host_isa()->type[p->dtype];
    ca_optional x;
    int threads = ca_host_threads();
    ca_optional_host(p, io, &x);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (int64_t n = 0; n < p->B * p->Hq * p->Nq; n++)
        k->weights(a, &x, io->t[CA_Q].host, io->t[CA_K].host, io->t[CA_WEIGHTS].host, (int)(n / p->Nq / p->Hq),
                   (int)(n / p->Nq % p->Hq), (int)(n % p->Nq));
}

clattn_status ca_weights(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    ca_args a;
    if (!p->weights || ca_slot_bytes(p, CA_WEIGHTS) == 0) return CLATTN_OK;
    ca_io_args(p, io, &a);
    if (ca_is_host(&plan->ctx->dev)) {
        weights_on_host(p, io, &a);
        return CLATTN_OK;
    }
    const struct tensor *const tensors[] = { &io->t[CA_Q], &io->t[CA_K], &io->t[CA_WEIGHTS] };
    struct launch_arg args[CA_MAX_ARGS];
    struct launch l = {
        .program = plan->steps, .kernel = "attn_weights", .dims = 2, .local = { 1, 1 },
        .global = { (size_t)p->Nq, (size_t)(p->B * p->Hq) }, .flops = 4 * ca_problem_flops(p),
        .args = args, .num_args = ca_kernel_args(p, io, &a, tensors, 3, args),
    };
    return ca_launch(plan->ctx, &l, c);
}
