/* gather.c -- each query row by itself, to exactly the keys that its pattern lists (cl/gather.h), on the host and on OpenCL.  For patterns whose
 * rows have little in common, and the only one for those that take keys by their scores or have keys that no tensor holds. */
#include "algo/algo.h"
#include <stdlib.h>
#include "host/host.h"

enum { VECTOR };

static bool takes(const struct problem *p) { return p->pattern.most >= 0 || p->pattern.share >= 0; }

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    (void)dev, (void)why;
    return p->pattern.num_nodes ? NULL : "there is no pattern";
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    (void)p;
    t->v[VECTOR] = ca_is_host(dev) ? ca_host_isa()->type[p->dtype]->lanes : dev->vector_width >= 16 ? 16 : dev->vector_width >= 8 ? 8 : 4;
}

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    int w = t->v[VECTOR];
    if (ca_is_host(dev) && w != ca_host_isa()->type[p->dtype]->lanes) {
        snprintf(why, 128, "vl is %d on this host", ca_host_isa()->type[p->dtype]->lanes);
        return why;
    }
    return w == 4 || w == 8 || w == 16 ? NULL : "vl is 4, 8 or 16";
}

/* Takes as many rounds as there are keys, 40 passes more to select some, and two to list them. */
static double rounds(const struct problem *p, const struct params *t)
{
    double w = t->v[VECTOR], dims = ceil((double)p->D / w) + ceil((double)p->Dv / w);
    return (double)p->Nk * (2 * dims + 40 + (takes(p) ? 88 / w : 0));
}

/* A row shares nothing with others: K and V come from the caches for each anew. */
static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    (void)t;
    return ca_flops_ms(p, dev) * (ca_is_host(dev) && p->pattern.grouped ? 2 : ca_is_cpu_like(dev) || ca_is_host(dev) ? 8 : 60);
}

/* Rows of a pack, whose scores are computed together: a key is read once for all of them (on a Xeon's host, h2 n4096 d64 top_k:64, 266 ms
 * before and 214 with packs of 16).  A GPU's work-items have not the registers, and where rounds are counted each row's count. */
static int64_t pack(const struct problem *p, const struct device *dev)
{
    return !takes(p) ? 1 : ca_is_host(dev) ? ca_host_isa()->type[p->dtype]->pack_rows : ca_is_cpu_like(dev) && !(dev->quirks & CA_QUIRK_ROUNDS) ? 16 : 1;
}

static int64_t all_packs(const struct problem *p, int64_t rows) { return p->B * p->Hq * ca_ceil_div(p->Nq, rows); }

/* Packs of a launch: of scores, 64 MiB at most. */
static int64_t packs_at_once(const struct problem *p, int64_t rows)
{
    int64_t packs = all_packs(p, rows);
    return takes(p) ? ca_max(1, ca_min(packs, ((int64_t)64 << 20) / (rows * ca_max(p->Nk, 1) * (int64_t)sizeof(float)))) : packs;
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    snprintf(text + n, size - (size_t)n, " -DVL=%d -DPACK=%d", t->v[VECTOR], (int)pack(p, dev));
}

static size_t workspace(const struct problem *p, const struct device *dev, const struct params *t)
{
    const int64_t rows = pack(p, dev);
    (void)t;
    return !takes(p) || ca_is_host(dev) ? 0 : (size_t)(packs_at_once(p, rows) * rows * p->Nk) * sizeof(float);
}

/* By groups, chunks of a head's rows side by side: as long as can be, up to 8 MiB of their sums, for a group's keys are fetched for each. */
static clattn_status by_groups(const struct problem *p, const struct io *io, const ca_args *a, struct spare *spare)
{
    const struct host_kernels *k = ca_host_isa()->type[p->dtype];
    const int threads = ca_host_threads();
    const int64_t heads = p->B * p->Hq, most = ((int64_t)8 << 20) / (int64_t)sizeof(float) / (p->Dv + 2),
                  rows = ca_min(ca_max(most, 1), ca_ceil_div(p->Nq, ca_ceil_div(threads, heads))), chunks = ca_ceil_div(p->Nq, rows);
    ca_optional x;
    ca_optional_host(p, io, &x);
    const size_t each = (size_t)ca_round_up((int64_t)k->grouped_bytes(a, &x, (int)rows), 64);
    char *memory = ca_spare_take(spare, (size_t)threads * each);
    if (!memory) return ca_no_memory((size_t)threads * each, "the threads' sums");
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t n = 0; n < heads * chunks; n++)
        k->grouped(a, &x, io->t[CA_Q].host, io->t[CA_K].host, io->t[CA_V].host, io->t[CA_OUT].host, io->t[CA_LSE].host, (int)(n / chunks / p->Hq),
                   (int)(n / chunks % p->Hq), (int)(n % chunks * rows), (int)ca_min(rows, p->Nq - n % chunks * rows),
                   memory + (size_t)ca_host_thread() * each);
    ca_spare_give(spare, memory);
    return CLATTN_OK;
}

static clattn_status on_host(const struct problem *p, const struct io *io, const ca_args *a)
{
    const struct host_kernels *k = ca_host_isa()->type[p->dtype];
    const int64_t rows = takes(p) ? k->pack_rows : 1, packs = all_packs(p, rows), of_head = ca_ceil_div(p->Nq, rows);
    const int threads = ca_host_threads();
    const size_t each = (size_t)(rows * p->Nk);
    float *scores = NULL;
    ca_optional x;
    ca_optional_host(p, io, &x);
    if (takes(p) && !(scores = malloc((size_t)threads * each * sizeof *scores)))
        return ca_no_memory((size_t)threads * each * sizeof *scores, "the threads' scores");
#pragma omp parallel for num_threads(threads) schedule(dynamic, takes(p) ? 1 : 16)
    for (int64_t n = 0; n < packs; n++) {
        const int64_t i = n % of_head * rows;
        k->gather(a, &x, io->t[CA_Q].host, io->t[CA_K].host, io->t[CA_V].host, io->t[CA_OUT].host, io->t[CA_LSE].host,
                  scores ? scores + (size_t)ca_host_thread() * each : NULL, io->t[CA_SPENT].host, (int)(n / of_head / p->Hq),
                  (int)(n / of_head % p->Hq), (int)i, (int)ca_min(rows, p->Nq - i));
    }
    free(scores);
    return CLATTN_OK;
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const int64_t rows = pack(p, &plan->ctx->dev), packs = all_packs(p, rows);
    const ca_int has_spent = io->t[CA_SPENT].mem != NULL;
    const ca_long spent_0 = (ca_long)(io->t[CA_SPENT].offset / sizeof(int32_t));
    struct launch_arg args[CA_MAX_ARGS];
    ca_args a;
    clattn_status st = CLATTN_OK;
    ca_io_args(p, io, &a);
    if (ca_is_host(&plan->ctx->dev)) return p->pattern.grouped ? by_groups(p, io, &a, plan->spare) : on_host(p, io, &a);
    const struct tensor *const tensors[] = { &io->t[CA_Q], &io->t[CA_K], &io->t[CA_V], &io->t[CA_OUT], &io->t[CA_LSE], &io->workspace,
                                             &io->t[CA_SPENT] };
    for (int64_t first = 0, n; first < packs; first += n) {
        n = ca_min(packs - first, packs_at_once(p, rows));
        a.first_part = (ca_int)first;
        a.ws_po = (ca_long)(io->workspace.offset / sizeof(float)); /* where the scores lie */
        cl_uint count = ca_kernel_args(p, io, &a, tensors, 7, args);
        args[count++] = (struct launch_arg){ sizeof has_spent, &has_spent };
        args[count++] = (struct launch_arg){ sizeof spent_0, &spent_0 };
        struct launch l = {
            .program = plan->program, .kernel = "attn_gather", .dims = 1, .global = { (size_t)n }, .local = { 1 },
            .flops = ca_problem_flops(p) * (double)n / (double)packs, .args = args, .num_args = count,
        };
        CA_TRY(ca_launch(plan->ctx, &l, c));
    }
done:
    return st;
}

const struct algo ca_algo_gather = {
    .name = "gather", .source = "gather", .params = { "vl" }, .lists_keys = true, .legal = legal, .defaults = defaults, .check = check, .rounds = rounds,
    .cost = cost, .options = options, .workspace = workspace, .enqueue = enqueue,
};
