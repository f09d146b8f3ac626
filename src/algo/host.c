/* host.c -- the native back end as an algorithm.  Ways to cut the work among threads:
 *
 *   wide    a unit is a tile of query rows of one head             long queries
 *   narrow  the same with fewer rows                               queries shorter than half a wide tile
 *   parts   a unit is a part of the keys for all query rows of a KV head or several, merged after (decode); heads come first, as in split.cl
 *   pairs   wide and narrow, with products of pairs of bf16 for the scores, and for the output where weights may be rounded to that
 *   groups  a unit is a chunk of query rows, to the groups of keys that they picked (cl/grouped.h)
 */
#include "algo/algo.h"
#include <float.h>
#include <stdlib.h>
#include <string.h>
#include "base/half.h"
#include "host/host.h"

enum { FORM, PART };              /* parameters: one of these; keys per part */
enum { WIDE, NARROW, PARTS, GROUPS, WIDE_PAIRS, NARROW_PAIRS };

static const struct host_kernels *kernels(const struct problem *p, int form, bool *slow)
{
    bool fast = true;
    const struct host_kernels *k = form < WIDE_PAIRS ? ca_host_isa()->type[p->dtype] : ca_host_pairs(&fast);
    if (slow) *slow = !fast;
    return k;
}
static bool is_wide(int form) { return form == WIDE || form == WIDE_PAIRS; }
static bool fits_pairs(const struct problem *p) { return p->dtype == CLATTN_BF16 && !ca_problem_special(p); }

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    (void)p, (void)why;
    return ca_is_host(dev) ? NULL : "the device is reached through OpenCL; select \"host\"";
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    (void)dev;
    const struct host_kernels *k = ca_host_isa()->type[p->dtype];
    int64_t rows = p->Nq * (p->Hq / ca_max(p->Hkv, 1));
    bool short_queries = p->Nq <= k->wide_rows / 2, less = 1.08 * ca_lane_waste(p, k->narrow_rows) < ca_lane_waste(p, k->wide_rows); /* as measured, dense */
    /* Lanes that hold rows are 1.4 times as fast as lanes that hold dims (perf/crossings), where most have a row and all threads a tile. */
    int64_t tiles = ca_ceil_div(p->Nq, k->narrow_rows);
    bool filled = 1.4 * (double)p->Nq >= (double)(tiles * k->narrow_rows) && (p->B * p->Hq * tiles >= ca_host_threads() || p->Nk < 512);
    t->v[FORM] = p->pattern.grouped && !p->split_len ? GROUPS : p->split_len || (rows <= 4 * k->pack_rows && !filled) ? PARTS
               : short_queries || less ? NARROW : WIDE;
    bool slow;
    kernels(p, WIDE_PAIRS, &slow);
    if (t->v[FORM] <= NARROW && fits_pairs(p) && !slow) t->v[FORM] += WIDE_PAIRS - WIDE;
    int64_t units = (p->shared_len ? ca_ceil_div(p->B * rows, k->pack_rows) : p->B) * p->Hkv / ca_pack_heads(p, k->pack_rows);
    t->v[PART] = ca_part_len(p, units, 8 * ca_host_threads()); /* levels the threads' load */
}

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    (void)dev, (void)why;
    if (p->split_len && (t->v[FORM] != PARTS || t->v[PART] != p->split_len)) return "form is 2 (parts) and part is split_len";
    if (t->v[FORM] < WIDE || t->v[FORM] > NARROW_PAIRS) return "form is 0 (wide), 1 (narrow), 2 (parts), 3 (groups), or 4 or 5 (wide or narrow, in pairs)";
    if (t->v[FORM] >= WIDE_PAIRS && !fits_pairs(p)) return "forms 4 and 5 (pairs) are for bf16 whose elements are loaded as they are, with scores q.k";
    if (t->v[FORM] == GROUPS && !p->pattern.grouped) return "form 3 (groups) is for rows that pick groups of keys";
    if (t->v[PART] < 1) return "part is at least 1";
    return NULL;
}

static bool uses(const struct params *t, int i) { return i != PART || t->v[FORM] == PARTS; }

static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    bool slow;
    const struct host_kernels *k = kernels(p, (int)t->v[FORM], &slow);
    return ca_flops_ms(p, dev) * (slow ? 16 : t->v[FORM] < WIDE_PAIRS ? 1 : p->round_weights ? 0.6 : 0.8) * (t->v[FORM] == GROUPS ? CA_GROUPS_WASTE : t->v[FORM] == PARTS ? ca_tiles_waste(p, 1) : ca_lane_waste(p, is_wide((int)t->v[FORM]) ? k->wide_rows : k->narrow_rows));
}

struct job {
    const struct host_kernels *k;
    ca_args a;
    const void *q, *key, *v;
    void *o;
    float *lse, *po, *pml;
    ca_optional x;
    int form;
    int heads;                     /* KV heads whose rows are done together */
    int64_t blocks;                /* tiles or chunks of a head, or packs of a KV head */
    int64_t chunk;                 /* rows of a chunk */
    int64_t shared, shared_blocks; /* parts that all batch rows share, and packs of their rows of a KV head */
};

static void unit(const struct job *j, int64_t n, void *scratch)
{
    if (j->form == PARTS) {
        int64_t before = j->shared * j->shared_blocks * j->a.Hkv; /* units of shared parts come first */
        bool shared = n < before;
        int64_t blocks = shared ? j->shared_blocks : j->blocks, heads = (int64_t)(shared ? 1 : j->a.B) * j->a.Hkv / j->heads;
        if (!shared) n -= before;
        int hb = (int)(n % heads) * j->heads, pack = (int)(n / heads % blocks), part = (int)(n / heads / blocks + (shared ? 0 : j->shared));
        j->k->part(&j->a, &j->x, j->q, j->key, j->v, j->po, j->pml, part, pack * j->k->pack_rows, hb % j->a.Hkv, j->heads, hb / j->a.Hkv, scratch);
        return;
    }
    int hb = (int)(n / j->blocks), tile = (int)(j->blocks - 1 - n % j->blocks); /* the longest tiles of a causal head first */
    if (j->form == GROUPS) {
        const int64_t i = tile * j->chunk;
        j->k->grouped(&j->a, &j->x, j->q, j->key, j->v, j->o, j->lse, hb / j->a.Hq, hb % j->a.Hq, (int)i, (int)ca_min(j->chunk, j->a.Nq - i), scratch);
        return;
    }
    (is_wide(j->form) ? j->k->wide : j->k->narrow)(&j->a, &j->x, j->q, j->key, j->v, j->o, j->lse, j->po, j->pml, tile, hb % j->a.Hq, hb / j->a.Hq, scratch);
}

static void store(clattn_dtype type, void *o, int64_t i, float x)
{
    if (type == CLATTN_F32) ((float *)o)[i] = x;
    else ((uint16_t *)o)[i] = type == CLATTN_F16 ? ca_f32_to_f16(x) : ca_f32_to_bf16(x);
}

/* One row's parts become one state (m, l, o), by the monoid's merge, and are finished.
 * A part without a key (l = 0) is the identity and is never read. */
static void merge(const struct job *j, clattn_dtype type, int64_t row)
{
    const ca_args *a = &j->a;
    const float *ml = j->pml + row * a->splits * 2, *po = j->po + row * a->splits * a->Dv;
    int64_t N = a->lse_h, i = row % N, h = row / N % a->Hq, b = row / N / a->Hq, at = b * a->o_b + h * a->o_h + i * a->o_s;
    float m = -FLT_MAX, l = 0, o[CA_MAX_DIM];
    if (j->x.cu_q && (i < j->x.cu_q[0] || i >= j->x.cu_q[a->B])) return; /* of no sequence */
    memset(o, 0, (size_t)a->Dv * sizeof *o);
    for (int s = 0; s < a->splits; s++)
        if (ml[2 * s + 1] != 0 && !(ml[2 * s] <= m)) m = ml[2 * s];
    for (int s = 0; s < a->splits; s++) {
        if (ml[2 * s + 1] == 0) continue;
        float w = expf(ml[2 * s] - m);
        l += w * ml[2 * s + 1];
        for (int e = 0; e < a->Dv; e++) o[e] += w * po[(int64_t)s * a->Dv + e];
    }
    if (a->drop_below)
        for (int e = 0; e < a->Dv; e++) o[e] *= a->keep_scale;
    if (j->x.sinks) { /* one more score, without a value */
        float sink = j->x.sinks[h], top = sink > m || isnan(sink) ? sink : m, alpha = expf(m - top);
        l = l * alpha + expf(sink - top);
        for (int e = 0; e < a->Dv; e++) o[e] *= alpha;
        m = top;
    }
    for (int e = 0; e < a->Dv; e++) store(type, j->o, at + (int64_t)e * a->o_d, l == 0 ? 0 : o[e] / l);
    if (j->lse) j->lse[row] = l == 0 ? -INFINITY : m + logf(l);
}

static size_t workspace(const struct problem *p, const struct device *dev, const struct params *t)
{
    (void)dev;
    return t->v[FORM] == PARTS ? ca_states_bytes(p, ca_parts(p, t->v[PART])) : ca_passes_bytes(p);
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    (void)c;
    const struct problem *p = &plan->p;
    struct job j = {
        .k = kernels(p, (int)plan->params.v[FORM], NULL), .q = io->t[CA_Q].host, .key = io->t[CA_K].host, .v = io->t[CA_V].host,
        .o = io->t[CA_OUT].host, .lse = io->t[CA_LSE].host, .form = plan->params.v[FORM],
    };
    char *scratch;
    int threads = ca_host_threads();
    size_t each;
    int64_t units = j.form == PARTS ? p->B * p->Hkv : (j.form == GROUPS ? p->B : ca_out_batch(p)) * p->Hq, rows = ca_all_rows(p);

    ca_io_args(p, io, &j.a);
    ca_optional_host(p, io, &j.x);
    j.a.split_len = plan->params.v[PART];
    j.a.splits = j.form == PARTS ? (int)ca_parts(p, j.a.split_len) : (int)ca_max(p->pattern.passes, 1);
    j.shared = j.form == PARTS ? ca_shared_parts(p, j.a.split_len) : 0;
    if (j.form == PARTS) j.shared_blocks = ca_ceil_div(p->B * p->Nq * j.a.group, j.k->pack_rows);
    j.chunk = ca_group_rows(p, threads);
    j.x.ordered |= j.form == GROUPS; /* rows and keys are anywhere */
    j.blocks = j.form == GROUPS ? ca_ceil_div(p->Nq, j.chunk) : j.form == PARTS ? ca_ceil_div(p->Nq * j.a.group, j.k->pack_rows)
                               : ca_lane_tiles(p, is_wide(j.form) ? j.k->wide_rows : j.k->narrow_rows);
    j.heads = j.form == PARTS ? ca_pack_heads(p, j.k->pack_rows) : 1;
    units *= j.blocks;
    if (j.form == PARTS) units = units / j.heads * (j.a.splits - j.shared);
    units += j.shared * j.shared_blocks * p->Hkv;
    if (threads > units) threads = (int)units;
    each = (size_t)ca_round_up((int64_t)(j.form == GROUPS ? j.k->grouped_bytes(&j.a, &j.x, (int)j.chunk) : j.k->scratch(&j.a)), 64);
    const size_t both = plan->workspace > SIZE_MAX / 2 ? SIZE_MAX : each * (size_t)threads + plan->workspace;
    if (!(scratch = ca_spare_take(plan->spare, both))) return ca_no_memory(both, "the threads' scratch and partial results");
    if (plan->workspace) {
        j.po = (float *)(scratch + each * (size_t)threads);
        j.pml = j.po + rows * j.a.splits * p->Dv;
    }
#pragma omp parallel num_threads(threads)
    {
        char *mine = scratch + each * (size_t)ca_host_thread();
#pragma omp for schedule(dynamic, 1)
        for (int64_t n = 0; n < units; n++) unit(&j, n, mine);
        if (j.a.splits > 1 || j.form == PARTS) {
#pragma omp for schedule(static)
            for (int64_t r = 0; r < rows; r++) merge(&j, p->dtype, r);
        }
    }
    ca_spare_give(plan->spare, scratch);
    return CLATTN_OK;
}

const struct algo ca_algo_host = {
    .name = "host", .cuts_keys = true, .params = {
        PARAM("form", "0: wide tiles of query rows, 1: narrow ones, 2: parts of the keys, 3: groups of them, 4 and 5: 0 and 1 in pairs of bf16", 0, 1, 2, 3, 4, 5),
        PARAM("part", "keys of a part, in form 2", 256, 512, 1024, 2048, 4096, 8192, 16384) }, .legal = legal, .defaults = defaults, .check = check, .uses = uses, .cost = cost,
    .workspace = workspace, .enqueue = enqueue,
};
