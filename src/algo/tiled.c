/* tiled.c -- cl/tiled.cl: tiles of keys in local memory, micro-tiles in registers.  The choice for GPUs with many
 * queries; right on any device whose local memory and work-groups suffice. */
#include "algo/algo.h"

enum { RM, RN, TX, TY, DC, VC, KEEPQ, AHEAD, SHUFFLE };
enum { MAX_REPEAT = 18 }; /* of cl/repeat.h */

/* The default parameters: the first row whose dims suffice and that the device can run.  perf/gpu-table shows that
 * none spills or uses private memory on the GPUs that get it.  4 x 8 is for NVIDIA's 48 KiB: by perf/gpu-report it has as
 * many multiply-adds to a load from local memory as 8 x 4 and 16 x 8 items, in fewer registers (168 of sm_80, not 255, so that it holds three
 * groups, not two), and its chunks of K and V are twice as long between barriers. */
static const struct row { int64_t D, Dv; struct params t; } rows[] = {
    /*  D   Dv     rm rn  tx  ty  dc  vc keepq     local bytes, items */
    {  64,  64, { { 4, 4, 16, 16, 32, 32, 1 } } }, /* 49672  256 */
    {  64,  64, { { 4, 8,  8, 16, 32, 32, 1 } } }, /* 47624  128 */
    {  64,  64, { { 4, 4, 16,  8, 32, 32, 1 } } }, /* 29448  128 */
    { 128, 128, { { 4, 4, 16,  8, 32, 16, 1 } } }, /* 37640  128 */
    { 128, 128, { { 4, 4, 16,  8, 32, 16, 0 } } }, /* 25352  128 */
    { 576, 256, { { 2, 4, 16,  8, 32,  8, 0 } } }, /* 17288  128 */
    { 576, 576, { { 2, 2, 32,  8, 32,  4, 0 } } }, /* 19336  256 */
    { 576, 512, { { 2, 2, 16,  8, 32,  4, 0 } } }, /* 14216  128 */
    { 576, 128, { { 2, 4,  8,  8, 32,  8, 0 } } }, /* 10120   64 */
    { 576, 576, { { 1, 2, 32,  2, 16,  4, 0 } } }, /* 11256   64 */
    { 576, 576, { { 1, 2, 16,  1, 16,  4, 0 } } }, /*  9536   16 */
};

/* Queries and keys of a tile; float4 of the output that an item owns (RD of the kernel). */
static int64_t queries(const struct params *t) { return t->v[RM] * t->v[TY]; }
static int64_t keys(const struct params *t) { return t->v[RN] * t->v[TX]; }
static int64_t dims(const struct problem *p, const struct params *t)
{
    return ca_ceil_div(ca_ceil_div(p->Dv, 4), t->v[TX]);
}

static int at_most(int a, int64_t b) { return b < a ? (int)b : a; }

/* Float4 of a chunk of K or V that an item fetches ahead. */
static int64_t fetches(const struct problem *p, const struct params *t)
{
    int64_t k = keys(t) * at_most(t->v[DC] / 4, ca_ceil_div(p->D, 4)), v = t->v[VC] * dims(p, t) * t->v[TX];
    return t->v[AHEAD] ? ca_ceil_div(ca_max(k, v), (int64_t)t->v[TX] * t->v[TY]) : 0;
}

/* As the arrays of the kernel: float4 are 16 bytes. */
static int64_t local_bytes(const struct problem *p, const struct params *t)
{
    int d4 = (int)ca_ceil_div(p->D, 4), dc4 = at_most(t->v[DC] / 4, d4), q_pitch = (t->v[KEEPQ] ? d4 : dc4) | 1;
    int64_t k = keys(t) * (dc4 | 1), v = t->v[VC] * dims(p, t) * t->v[TX], buffers = t->v[AHEAD] ? 2 : 1;
    int64_t row = q_pitch + (keys(t) / 4 | 1) + (t->v[SHUFFLE] ? 0 : t->v[TX] / 4 | 1);
    return 16 * (queries(t) * row + buffers * ca_max(k, v)) + 4 * (2 * queries(t) + 4);
}

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    static const struct { const char *name; int multiple, most; } rule[] = {
        { "rm", 1, MAX_REPEAT }, { "rn", 1, MAX_REPEAT }, { "tx", 4, 1024 }, { "ty", 1, 1024 }, { "dc", 4, 1024 },
        { "vc", 4, 1024 }, { "keepq", 1, 1 }, { "ahead", 1, 1 }, { "shuffle", 1, 1 },
    };
    for (int i = RM; i <= SHUFFLE; i++)
        if (t->v[i] < (i < KEEPQ) || t->v[i] > rule[i].most || t->v[i] % rule[i].multiple) {
            snprintf(why, 128, "%s=%d is no multiple of %d from %d to %d", rule[i].name, t->v[i], rule[i].multiple,
                     i >= KEEPQ ? 0 : rule[i].multiple, rule[i].most);
            return why;
        }
    if (dims(p, t) > MAX_REPEAT) {
        snprintf(why, 128, "tx=%d leaves an item %lld float4 of v_dim %lld; at most %d", t->v[TX],
                 (long long)dims(p, t), (long long)p->Dv, MAX_REPEAT);
        return why;
    }
    if (t->v[AHEAD] && !t->v[KEEPQ]) return "ahead=1 fetches chunks of K and V alone, for keepq=1";
    if (fetches(p, t) > MAX_REPEAT) {
        snprintf(why, 128, "an item would fetch %lld float4 ahead; at most %d", (long long)fetches(p, t), MAX_REPEAT);
        return why;
    }
    if (t->v[SHUFFLE] && !dev->shuffle) return "shuffle=1: it is not known how items of a sub-group of the device exchange floats";
    if (t->v[SHUFFLE] && (t->v[TX] > 32 || t->v[TX] & (t->v[TX] - 1) || (cl_uint)t->v[TX] < dev->subgroup_min)) {
        snprintf(why, 128, "shuffle=1: tx=%d is no power of two from %u to 32", t->v[TX], dev->subgroup_min);
        return why;
    }
    size_t tx = (size_t)t->v[TX], ty = (size_t)t->v[TY];
    if (tx * ty > dev->max_group || tx > dev->max_items[0] || ty > dev->max_items[1]) {
        snprintf(why, 128, "%zu x %zu work-items in a group; the device has up to %zu, %zu x %zu", tx, ty,
                 dev->max_group, dev->max_items[0], dev->max_items[1]);
        return why;
    }
    if ((cl_ulong)local_bytes(p, t) <= dev->local_bytes) return NULL;
    snprintf(why, 128, "needs %lld bytes of local memory; the device has %llu", (long long)local_bytes(p, t),
             (unsigned long long)dev->local_bytes);
    return why;
}

/* The first row for P on DEV; NULL, and in WHY what the last one lacks, when there is none. */
static const struct row *find(const struct problem *p, const struct device *dev, char why[128])
{
    for (const struct row *r = rows; r < rows + sizeof rows / sizeof *rows; r++)
        if (p->D <= r->D && p->Dv <= r->Dv && !check(p, dev, &r->t, why)) return r;
    return NULL;
}

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    if (ca_is_host(dev)) return "the device is the host: see algorithm host";
    if (ca_problem_empty(p)) return "the problem is empty: see algorithm nop";
    if (p->score == CLATTN_ADDITIVE || p->score == CLATTN_GENERAL) return "additive and general scores take too many registers: see algorithm rows";
    return find(p, dev, why) ? NULL : why;
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    char why[128];
    const struct row *r = find(p, dev, why);
    if (r) *t = r->t;
}

static int64_t tiles(const struct problem *p, const struct params *t) { return ca_tiles(p, queries(t)); }

static double rounds(const struct problem *p, const struct params *t)
{
    double bn = t->v[RN] * t->v[TX], items = t->v[TX] * t->v[TY], dims = (double)(p->D + p->Dv);
    double per_tile = dims + 2 * bn + 2 * (bn + (double)queries(t)) * dims / items + t->v[RM] * t->v[TX] + 64;
    if (p->dropout > 0) per_tile += ((double)queries(t) * (bn / 4 + 1) / items + 1) * (CA_PHILOX_LOOP + 1);
    return (double)ca_ceil_div(p->Nk, (int64_t)bn) * per_tile + 4 * dims;
}

/* Query tiles are computed whole; too few of them leave compute units idle; CPUs pay for each barrier. */
static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    double padded = (double)(tiles(p, t) * queries(t)) / (double)ca_out_rows(p);
    double idle = (double)dev->compute_units / (double)(tiles(p, t) * ca_out_batch(p) * p->Hq);
    return ca_flops_ms(p, dev) * ca_tiles_waste(p, queries(t)) * padded * fmax(1, idle) * (ca_is_cpu_like(dev) ? 20 : 1);
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    snprintf(text + n, size - (size_t)n,
             " -DALIGNED=%d -DRM=%d -DRN=%d -DRD=%d -DTX=%d -DTY=%d -DDC=%d -DVC=%d -DKEEPQ=%d -DAHEAD=%d -DSHUFFLE=%u",
             ca_is_aligned(p), t->v[RM], t->v[RN], (int)dims(p, t), t->v[TX],
             t->v[TY], t->v[DC], t->v[VC], t->v[KEEPQ], (int)fetches(p, t), t->v[SHUFFLE] ? dev->shuffle : 0);
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const struct params *t = &plan->params;
    size_t tx = (size_t)t->v[TX], ty = (size_t)t->v[TY];
    return ca_launch_attention(plan, io, c, "attn_tiled", (size_t[]){ (size_t)tiles(p, t) * tx, (size_t)(ca_out_batch(p) * p->Hq) * ty },
                               (size_t[]){ tx, ty });
}

const struct algo ca_algo_tiled = {
    .name = "tiled", .source = "tiled", .params = {
        PARAM("rm", "query rows of an item's scores", 1, 2, 4, 8), PARAM("rn", "keys of an item's scores", 1, 2, 4, 8),
        PARAM("tx", "items of a group side by side, along the keys and the output dims", 4, 8, 16, 32),
        PARAM("ty", "items of a group along the query rows", 1, 2, 4, 8, 16, 32), PARAM("dc", "dims of Q and K in local memory at once", 8, 16, 32, 64),
        PARAM("vc", "keys whose values are in local memory at once", 4, 8, 16, 32), PARAM("keepq", "1: all dims of Q stay in local memory", 0, 1),
        PARAM("ahead", "1: the next chunk of K or V is fetched while one is worked on, to a second buffer", 0, 1),
        PARAM("shuffle", "1: the items of a row take its maximum from each other's registers, not through local memory", 0, 1) },
    .legal = legal,
    .defaults = defaults, .check = check, .rounds = rounds, .cost = cost, .options = options, .enqueue = enqueue,
};
