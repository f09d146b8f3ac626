/* gather.c -- each query row by itself, to exactly the keys that its pattern lists (cl/gather.h), on the host and on OpenCL.  For patterns whose
 * rows have little in common, and the only one for those that take keys by their scores or have keys that no tensor holds. */
#include "algo/algo.h"
#include <stdlib.h>
#include "host/host.h"

enum { VECTOR };

static bool takes(const struct problem *p) { return p->pattern.most >= 0 || p->pattern.share >= 0; }
static bool has_lists(const struct problem *p)
{
    return p->pattern.num_nodes == 1 && (ca_has_pattern(p, CA_RANDOM) || ca_has_pattern(p, CA_CSR)); /* ca_own_list */
}

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
    return ca_flops_ms(p, dev) * (ca_is_cpu_like(dev) || ca_is_host(dev) ? 8 : 60);
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

/* Chunks of a head's rows that threads take one by one: COUNT in all, of ROWS rows. */
struct chunks { int64_t rows, of_head, count; };

static struct chunks cut(const struct problem *p, int64_t rows)
{
    struct chunks c = { .rows = ca_max(1, ca_min(rows, p->Nq)) };
    c.of_head = ca_ceil_div(p->Nq, c.rows);
    c.count = p->B * p->Hq * c.of_head;
    return c;
}

/* Keys of a band, whose K and V, 1 MiB, stay in a core's second-level cache while rows with lists of their own go through it.  A row's sums come
 * and go with each: it has to find 32 keys there (on a Xeon, h8 n16384 d64: random:1024 0.73 of the time, random:256 0.76, random:64 with 8
 * a band 1.38). */
static int64_t band_keys(const struct problem *p)
{
    const int64_t own = has_lists(p) ? (int64_t)(ca_pattern_share(p, 1) * (double)p->Nk) : 0;
    const int64_t bytes = p->Nk * (p->D + p->Dv) * (int64_t)ca_dtype_size(p->dtype), bands = ca_ceil_div(bytes, (int64_t)1 << 20);
    return bands > 1 && own >= 32 * bands ? ca_ceil_div(p->Nk, bands) : p->Nk;
}

static clattn_status on_host(const struct problem *p, const struct io *io, const ca_args *a, struct spare *spare)
{
    const struct host_kernels *k = ca_host_isa()->type[p->dtype];
    const int64_t band = band_keys(p);
    const struct chunks c = cut(p, band < p->Nk ? ca_chunk_rows(p, 8 * ca_host_threads()) : takes(p) ? k->pack_rows : 16);
    const int threads = ca_host_threads();
    ca_optional x;
    ca_optional_host(p, io, &x);
    const size_t each = (size_t)ca_round_up((int64_t)k->gather_bytes(a, &x, (int)c.rows, (int)band), 64);
    char *memory = ca_spare_take(spare, (size_t)threads * each);
    if (!memory) return ca_no_memory((size_t)threads * each, "the threads' sums or scores");
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t n = 0; n < c.count; n++) {
        char *mine = memory + (size_t)ca_host_thread() * each;
        const int64_t i = n % c.of_head * c.rows, head = n / c.of_head;
        const int b = (int)(head / p->Hq), h = (int)(head % p->Hq), rows = (int)ca_min(c.rows, p->Nq - i);
        k->gather(a, &x, io->t[CA_Q].host, io->t[CA_K].host, io->t[CA_V].host, io->t[CA_OUT].host, io->t[CA_LSE].host, io->t[CA_SPENT].host, b, h, (int)i,
                  rows, (int)band, mine);
    }
    ca_spare_give(spare, memory);
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
    if (ca_is_host(&plan->ctx->dev)) return on_host(p, io, &a, plan->spare);
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
    .name = "gather", .source = "gather", .params = { PARAM("vl", "floats of a vector, a dim each", 4, 8, 16) }, .lists_keys = true, .legal = legal,
    .defaults = defaults, .check = check, .rounds = rounds, .cost = cost, .options = options, .workspace = workspace, .enqueue = enqueue,
};
