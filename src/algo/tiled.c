/* tiled.c -- cl/tiled.cl: tiles of keys in local memory, micro-tiles in registers.  The choice for GPUs with many
 * queries; right on any device whose local memory and work-groups suffice. */
#include "algo/algo.h"

enum { BM, BN, TX, TY, DC, VC, KEEPQ };

/* The default parameters: the first row whose limits hold and that the device can run.  Each row compiles
 * without spills and without scratch for AMD, Intel and NVIDIA (perf/gpu-table); its local memory is that of the
 * largest dims it serves. */
static const struct row { int64_t D, Dv; struct params t; } rows[] = {
    /*  D   Dv     bm  bn  tx  ty  dc  vc keepq        KiB local, items */
    {  64,  64, { { 64, 64, 16, 16, 32, 32, 1 } } }, /* 48.6  256 */
    {  64,  64, { { 64, 64, 16,  8, 16, 16, 1 } } }, /* 44.6  128 */
    {  64,  64, { { 32, 64, 16,  8, 32, 32, 1 } } }, /* 28.8  128 */
    { 128, 128, { { 32, 64, 16,  8, 32, 16, 1 } } }, /* 36.8  128 */
    { 128, 128, { { 32, 64, 16,  8, 32, 16, 0 } } }, /* 24.8  128 */
    { 576, 256, { { 16, 64, 16,  8, 32,  8, 0 } } }, /* 16.9  128 */
    { 576, 576, { { 16, 64, 16,  8, 32,  4, 0 } } }, /* 16.9  128 */
    { 576, 128, { { 16, 32,  8,  8, 32,  8, 0 } } }, /*  9.9   64 */
    { 576, 576, { {  8, 32,  8,  8, 16,  4, 0 } } }, /* 11.1   64 */
    { 576, 576, { {  4, 16,  4,  4, 16,  4, 0 } } }, /*  9.9   16 */
};

static int at_most(int a, int64_t b) { return b < a ? (int)b : a; }

/* As the arrays of the kernel: float4 are 16 bytes. */
static int64_t local_bytes(const struct problem *p, const struct params *t)
{
    int d4 = (int)ca_ceil_div(p->D, 4), dc4 = at_most(t->v[DC] / 4, d4), q_pitch = (t->v[KEEPQ] ? d4 : dc4) | 1;
    int64_t k = t->v[BN] * (dc4 | 1), v = t->v[VC] * ca_round_up(ca_ceil_div(p->Dv, 4), t->v[TX]);
    int64_t rows = q_pitch + (t->v[BN] / 4 | 1) + (t->v[TX] / 4 | 1);
    return 16 * (t->v[BM] * rows + ca_max(k, v)) + 4 * (2 * t->v[BM] + 1);
}

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    static const char *const names[] = { "bm", "bn", "tx", "ty", "dc", "vc" };
    static const int multiple[] = { 1, 4, 4, 1, 4, 4 };
    for (int i = BM; i <= VC; i++)
        if (t->v[i] < 1 || t->v[i] > 1024 || t->v[i] % multiple[i]) {
            snprintf(why, 128, "%s=%d is no multiple of %d from 1 to 1024", names[i], t->v[i], multiple[i]);
            return why;
        }
    if (t->v[KEEPQ] != 0 && t->v[KEEPQ] != 1) return "keepq is 0 or 1";
    if (t->v[BM] % t->v[TY] || t->v[BN] % t->v[TX]) {
        snprintf(why, 128, "ty=%d does not divide bm=%d, or tx=%d does not divide bn=%d", t->v[TY], t->v[BM], t->v[TX],
                 t->v[BN]);
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
    return find(p, dev, why) ? NULL : why;
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    char why[128];
    const struct row *r = find(p, dev, why);
    if (r) *t = r->t;
}

static int64_t tiles(const struct problem *p, const struct params *t) { return ca_ceil_div(p->Nq, t->v[BM]); }

/* Query tiles are computed whole; too few of them leave compute units idle; CPUs pay for each barrier. */
static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    double padded = (double)(tiles(p, t) * t->v[BM]) / (double)p->Nq;
    double idle = (double)dev->compute_units / (double)(tiles(p, t) * p->B * p->Hq);
    return ca_flops_ms(p, dev) * padded * fmax(1, idle) * (ca_is_cpu_like(dev) ? 20 : 1);
}

/* Are rows, heads and batches multiples of four elements apart? */
static bool aligned(const struct ca_strides *s) { return (s->b | s->h | s->s) % 4 == 0; }

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    snprintf(text + n, size - (size_t)n, " -DALIGNED=%d -DBM=%d -DBN=%d -DTX=%d -DTY=%d -DDC=%d -DVC=%d -DKEEPQ=%d",
             aligned(&p->q) && aligned(&p->k) && aligned(&p->v), t->v[BM], t->v[BN], t->v[TX], t->v[TY], t->v[DC],
             t->v[VC], t->v[KEEPQ]);
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const struct params *t = &plan->params;
    size_t tx = (size_t)t->v[TX], ty = (size_t)t->v[TY];
    ca_args a;
    ca_io_args(p, io, &a);
    const struct launch_arg args[] = {
        { sizeof(cl_mem), &io->t[CA_Q].mem }, { sizeof(cl_mem), &io->t[CA_K].mem },
        { sizeof(cl_mem), &io->t[CA_V].mem }, { sizeof(cl_mem), &io->t[CA_OUT].mem },
        { sizeof(cl_mem), &io->t[CA_LSE].mem }, { sizeof(cl_mem), &io->t[CA_QOFF].mem }, { sizeof a, &a },
    };
    struct launch l = {
        .program = plan->program, .kernel = "attn_tiled", .dims = 2,
        .global = { (size_t)tiles(p, t) * tx, (size_t)(p->B * p->Hq) * ty }, .local = { tx, ty },
        .flops = ca_problem_flops(p), .args = args, .num_args = sizeof args / sizeof args[0],
    };
    return ca_launch(plan->ctx, &l, c);
}

const struct algo ca_algo_tiled = {
    .name = "tiled", .source = "tiled", .params = { "bm", "bn", "tx", "ty", "dc", "vc", "keepq" }, .legal = legal,
    .defaults = defaults, .check = check, .cost = cost, .options = options, .enqueue = enqueue,
};
