/* matrix.c -- cl/matrix.cl: both products by the GPU's matrix engine, where softmax's weights may be rounded to the storage type.  On other devices
 * a twin of an engine's fragments computes the same, slowly: for tests, and for whoever asks for it by name. */
#include "algo/algo.h"

enum { LAYOUT, GX, GY, BN };
enum { NVIDIA = 1, AMD, INTEL_8, INTEL_16, AMD_32, NUM_LAYOUTS };
enum { STEP = 16, MOST_DIMS = 128, MOST_FRAGMENTS = 16 };

/* As cl/fragment.h has them: rows and columns of a fragment, items of a gang, how many of those hold a row together. */
static const struct layout { int fm, fn, gang, shares; } layouts[NUM_LAYOUTS] = {
    [NVIDIA] = { 16, 8, 32, 4 }, [AMD] = { 16, 16, 64, 16 }, [INTEL_8] = { 8, 8, 8, 8 }, [INTEL_16] = { 8, 16, 16, 16 },
    [AMD_32] = { 16, 16, 32, 16 },
};

/* The default parameters: the first row of the layout for so many dims, fewer where scores go through softcap or ALiBi, that the device can run.
 * perf/gpu-table shows that none spills: Intel's files of 128 registers hold two fragments of the output. */
static const struct row { int64_t dims, modified; struct params t; } rows[] = {
    /*        layout    gx gy  bn       local bytes, items of D = Dv = 128 */
    { 128,  64, { { NVIDIA,   1, 4, 64 } } }, /* 47392  128 */
    { 128, 128, { { NVIDIA,   1, 4, 32 } } }, /* 26400  128 */
    { 128, 128, { { NVIDIA,   1, 2, 32 } } }, /* 22688   64 */
    { 128, 128, { { AMD,      1, 4, 32 } } }, /* 29472  256 */
    {  64,  64, { { AMD_32,   1, 4, 32 } } }, /* 29472  128, of 64 */
    { 128, 128, { { AMD_32,   2, 4, 32 } } }, /* 50976  256 */
    { 128, 128, { { AMD_32,   2, 1, 32 } } }, /* 28000   64 */
    {  64,  64, { { INTEL_8,  4, 8, 32 } } }, /* 33568  256, of 64 */
    { 128, 128, { { INTEL_8,  8, 4, 64 } } }, /* 58016  256 */
    {  64,  64, { { INTEL_16, 2, 8, 64 } } }, /* 46368  256, of 64 */
    { 128, 128, { { INTEL_16, 4, 8, 64 } } }, /* 80160  512 */
    { 128, 128, { { INTEL_16, 4, 4, 64 } } }, /* 58016  256 */
};
/* Of a twin: what suits every layout. */
static const struct params twin = { { NVIDIA, 2, 2, 32 } };

/* The engine that takes P's fragments, by its layout; 0: none. */
static int engine(const struct problem *p, const struct device *dev)
{
    return (int)(p->dtype == CLATTN_F16 ? dev->matrix_f16 : dev->matrix_bf16);
}
static bool is_twin(const struct problem *p, const struct device *dev, const struct params *t) { return t->v[LAYOUT] != engine(p, dev); }

static int64_t queries(const struct params *t) { return layouts[t->v[LAYOUT]].fm * t->v[GY]; }
static int64_t items(const struct params *t) { return layouts[t->v[LAYOUT]].gang * t->v[GX] * t->v[GY]; }
static int64_t steps(const struct problem *p) { return ca_ceil_div(p->D, STEP); }
static int64_t score_fragments(const struct params *t) { return t->v[BN] / layouts[t->v[LAYOUT]].fn / t->v[GX]; }
static int64_t out_fragments(const struct problem *p, const struct params *t)
{
    return ca_ceil_div(p->Dv, layouts[t->v[LAYOUT]].fn * t->v[GX]);
}

/* Intel's files of 128 registers have no room for Q besides; of AMD_32's fragments two items hold the same, which takes twice as many. */
static bool keeps_q(const struct params *t) { return t->v[LAYOUT] < INTEL_8; }

/* As the arrays of the kernel, of words. */
static int64_t local_bytes(const struct problem *p, const struct device *dev, const struct params *t)
{
    const struct layout *f = &layouts[t->v[LAYOUT]];
    int64_t kp = 8 * steps(p) + 4, vp = t->v[BN] / 2 + 4, q = queries(t) * kp;
    int64_t kv = t->v[BN] * kp + out_fragments(p, t) * f->fn * t->v[GX] * vp;
    int64_t words = (keeps_q(t) ? ca_max(kv, q) : kv + q) + queries(t) * (vp + f->shares * t->v[GX] + 5) + 8; /* what alignment adds, too */
    if (is_twin(p, dev, t)) words += t->v[GX] * t->v[GY] * 8 * (f->fm + f->fn);
    return 4 * words;
}

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    if (t->v[LAYOUT] < 1 || t->v[LAYOUT] >= NUM_LAYOUTS) return "layout is between 1 and 5";
    if (engine(p, dev) && is_twin(p, dev, t)) {
        snprintf(why, 128, "layout is %d, that of the device's engine", engine(p, dev));
        return why;
    }
    if (t->v[GX] < 1 || t->v[GX] > 16 || t->v[GY] < 1 || t->v[GY] > 64) return "gx is between 1 and 16, gy between 1 and 64";
    int columns = layouts[t->v[LAYOUT]].fn * t->v[GX];
    if (t->v[BN] < STEP || t->v[BN] > 1024 || t->v[BN] % STEP || t->v[BN] % columns) {
        snprintf(why, 128, "bn=%d is no multiple of %d and of %d, the columns of gx=%d fragments", t->v[BN], STEP, columns, t->v[GX]);
        return why;
    }
    if (score_fragments(t) > MOST_FRAGMENTS || out_fragments(p, t) > MOST_FRAGMENTS) {
        snprintf(why, 128, "an item would have more than %d fragments of scores or of the output", MOST_FRAGMENTS);
        return why;
    }
    if ((size_t)items(t) > dev->max_group || (size_t)items(t) > dev->max_items[0]) {
        snprintf(why, 128, "%d work-items in a group are more than %zu", (int)items(t), dev->max_group);
        return why;
    }
    if ((cl_ulong)local_bytes(p, dev, t) <= dev->local_bytes) return NULL;
    snprintf(why, 128, "needs %lld bytes of local memory; the device has %llu", (long long)local_bytes(p, dev, t),
             (unsigned long long)dev->local_bytes);
    return why;
}

/* The first row for P on DEV, or the twin's; NULL, and in WHY what the last one lacks, when there is none. */
static const struct params *find(const struct problem *p, const struct device *dev, char why[128])
{
    int layout = engine(p, dev);
    int64_t dims = ca_max(p->D, p->Dv);
    for (const struct row *r = rows; r < rows + sizeof rows / sizeof *rows; r++)
        if (r->t.v[LAYOUT] == layout && dims <= (p->softcap != 0 || p->has_alibi ? r->modified : r->dims) && !check(p, dev, &r->t, why)) return &r->t;
    return layout || check(p, dev, &twin, why) ? NULL : &twin;
}

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    if (ca_is_host(dev)) return "the device is the host: see algorithm host";
    if (ca_problem_empty(p)) return "the problem is empty: see algorithm nop";
    if (p->dtype == CLATTN_F32) return "its fragments are f16 or bf16";
    if (!p->round_weights) return "it rounds softmax's weights, which round_weights does not allow";
    if (ca_problem_special(p)) return "its fragments are loaded as they are: no quantised keys, no rotation, no score but the product";
    if (p->pattern.num_nodes || p->mods[0] || p->mask.on || p->bias.on) return "it knows no pattern, mask, bias or function of the user's";
    if (p->dropout > 0) return "it drops no weights";
    if (p->D > MOST_DIMS || p->Dv > MOST_DIMS) return "it takes up to 128 dims";
    return find(p, dev, why) ? NULL : why;
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    char why[128];
    const struct params *found = find(p, dev, why);
    if (found) *t = *found;
}

static int64_t tiles(const struct problem *p, const struct params *t) { return ca_tiles(p, queries(t)); }

static double rounds(const struct problem *p, const struct params *t)
{
    double group = (double)items(t), rows = (double)queries(t), dims = (double)(p->D + p->Dv), bn = t->v[BN];
    double sc = (double)score_fragments(t) + 1, oc = (double)out_fragments(p, t) + 1;
    double meet = (rows / group + 1) * (layouts[t->v[LAYOUT]].shares * t->v[GX] + 2);
    double products = (double)(steps(p) + 1) * sc + (bn / STEP + 1) * oc;
    double per_tile = products * (STEP + 2) + bn * oc + bn * (dims + 32) / group + 8 * (sc + oc) + meet;
    return (double)ca_ceil_div(p->Nk, t->v[BN]) * per_tile + rows * (dims + 16) / group + 2 * meet + 64;
}

/* Query tiles are computed whole; too few of them leave compute units idle.  An engine takes a fraction of the time, a twin is for tests. */
static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    double padded = (double)(tiles(p, t) * queries(t)) / (double)ca_out_rows(p);
    double idle = (double)dev->compute_units / (double)(tiles(p, t) * ca_out_batch(p) * p->Hq);
    return ca_flops_ms(p, dev) * padded * fmax(1, idle) * (is_twin(p, dev, t) ? 1e4 : 0.3);
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    snprintf(text + n, size - (size_t)n, " -DALIGNED=%d -DLAYOUT=%d -DENGINE=%d -DGX=%d -DGY=%d -DBN=%d -DDSTEPS=%d -DSC=%d -DOC=%d -DKEEPQ=%d",
             ca_is_aligned(p), t->v[LAYOUT], !is_twin(p, dev, t), t->v[GX], t->v[GY], t->v[BN], (int)steps(p),
             (int)score_fragments(t), (int)out_fragments(p, t), keeps_q(t));
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const struct params *t = &plan->params;
    size_t group = (size_t)items(t);
    return ca_launch_attention(plan, io, c, "attn_matrix", (size_t[]){ (size_t)tiles(p, t) * group, (size_t)(ca_out_batch(p) * p->Hq) },
                               (size_t[]){ group, 1 });
}

const struct algo ca_algo_matrix = {
    .name = "matrix", .source = "matrix", .params = {
        PARAM("layout", "of fragments: 1 NVIDIA's, 2, 5 AMD's, 3, 4 Intel's; that of the device's engine, without one any, for a twin", 1, 2, 3, 4, 5),
        PARAM("gx", "gangs that share a query row", 1, 2, 4), PARAM("gy", "gangs one below the other, a fragment's rows each", 1, 2, 4, 8),
        PARAM("bn", "keys of a tile", 16, 32, 64, 128) },
    .legal = legal,
    .defaults = defaults, .check = check, .rounds = rounds, .cost = cost, .options = options, .enqueue = enqueue,
};
