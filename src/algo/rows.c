/* rows.c -- cl/rows.cl: one work-group per query row.  The simplest algorithm: right on every OpenCL device, down
 * to work-groups of one item; worth it where a GPU has too few queries to fill it with tiles. */
#include "algo/algo.h"

enum { W };

/* q, o, s and p of the kernel. */
static int64_t local_bytes(const struct problem *p, int w) { return 4 * (p->D + p->Dv + 2 * (int64_t)w); }

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    int w = t->v[W];
    if (w < 1 || (size_t)w > dev->max_group || (size_t)w > dev->max_items[0]) {
        snprintf(why, 128, "%d work-items in a group; the device has up to %zu", w, dev->max_group);
        return why;
    }
    if ((cl_ulong)local_bytes(p, w) <= dev->local_bytes) return NULL;
    snprintf(why, 128, "needs %lld bytes of local memory; the device has %llu", (long long)local_bytes(p, w),
             (unsigned long long)dev->local_bytes);
    return why;
}

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    static const struct params least = { { 1 } };
    if (ca_is_host(dev)) return "the device is the host: see algorithm host";
    if (ca_problem_empty(p)) return "the problem is empty: see algorithm nop";
    return check(p, dev, &least, why);
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    char why[128];
    for (t->v[W] = 64; t->v[W] > 1 && check(p, dev, t, why); t->v[W] /= 2) continue;
}

static double rounds(const struct problem *p, const struct params *t)
{
    double w = t->v[W], per_tile = (double)p->D + 3 * w + ((double)p->Dv / w + 1) * (w + 2) + 8;
    if (p->dropout > 0) per_tile += CA_PHILOX_LOOP;
    return (double)ca_ceil_div(p->Nk, t->v[W]) * per_tile + 2 * (double)(p->D + p->Dv);
}

/* An item fetches a key all alone and nothing is used twice from registers; on a CPU barriers come on top. */
static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    (void)t;
    double idle = (double)dev->compute_units / (double)(p->Nq * p->B * p->Hq);
    return ca_flops_ms(p, dev) * fmax(1, idle) * (ca_is_cpu_like(dev) ? 40 : 20);
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    snprintf(text + n, size - (size_t)n, " -DW=%d", t->v[W]);
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    size_t w = (size_t)plan->params.v[W];
    return ca_launch_attention(plan, io, c, "attn_rows", (size_t[]){ (size_t)ca_tiles(p, 1) * w, (size_t)(ca_out_batch(p) * p->Hq) }, (size_t[]){ w, 1 });
}

const struct algo ca_algo_rows = {
    .name = "rows", .source = "rows", .params = { PARAM("w", "work-items of a group, which has one query row", 1, 2, 4, 8, 16, 32, 64, 128, 256) }, .legal = legal,
    .defaults = defaults, .check = check, .rounds = rounds, .cost = cost, .options = options, .enqueue = enqueue,
};
