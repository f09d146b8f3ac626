/* lanes.c -- the lane kernel (cl/flash.h) on OpenCL: one work-item per query tile, a lane per query row.
 * The choice for devices whose work-item is a thread with wide vectors; right on any device. */
#include "algo/algo.h"

enum { VECTOR, ROWS, KEYS, DIMS, TILE, MAD };

/* Private memory of one work-item: qT, oT, p and the unpacked tiles; and what the picks are. */
static int64_t private_bytes(const struct problem *p, const struct params *t)
{
    int64_t picks = p->pattern.grouped ? ca_max(p->pattern.rounds, 1) * (t->v[TILE] + t->v[ROWS] * t->v[VECTOR]) : 0;
    int64_t rows = (int64_t)t->v[ROWS] * t->v[VECTOR];
    int64_t unpacked = ca_round_up(p->D, t->v[VECTOR]) + ca_round_up(p->Dv, t->v[VECTOR]);
    return 4 * ((p->D + p->Dv + t->v[TILE]) * rows + t->v[TILE] * unpacked + picks);
}

/* What a work-item may take: CPU runtimes give threads megabytes of stack, software GPUs far less. */
#define PRIVATE_LIMIT (1 << 20)

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    (void)p, (void)why;
    return ca_is_host(dev) ? "the device is the host: see algorithm host" : NULL;
}

/* Where rows pick groups of keys (cl/grouped.h): the rows of a chunk, its bytes, and the chunks of a launch: two a core or 4 MiB of them. */
static int64_t chunk_rows(const struct problem *p, const struct device *dev) { return ca_group_rows(p, dev->compute_units); }
static int64_t all_chunks(const struct problem *p, const struct device *dev) { return p->B * p->Hq * ca_ceil_div(p->Nq, chunk_rows(p, dev)); }
static int64_t chunk_bytes(const struct problem *p, const struct device *dev, int vector)
{
    return 4 * ca_chunk_words(chunk_rows(p, dev), (ca_int)ca_round_up(p->Dv, vector), (ca_int)p->Nk, NODE(p->pattern.node));
}
static int64_t chunks_at_once(const struct problem *p, const struct device *dev, int vector)
{
    return ca_min(all_chunks(p, dev), ca_max(2 * (int64_t)dev->compute_units, ((int64_t)4 << 20) / chunk_bytes(p, dev, vector)));
}

/* Rows that may share a tile. */
static int64_t tile_rows(const struct problem *p, const struct device *dev)
{
    const ca_int keys = (ca_int)p->Nk, groups = p->pattern.grouped ? ca_groups(keys, NODE(p->pattern.node)) : 0;
    return groups ? chunk_rows(p, dev) * ca_picks(keys, NODE(p->pattern.node)) / groups : p->Nq;
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    int w = dev->vector_width >= 16 ? 16 : dev->vector_width >= 8 ? 8 : 4;
    *t = (struct params){ { w, w == 8 ? 2 : 4, w == 8 ? 6 : w == 16 ? 6 : 4, 4, 96, 0 } };
    if (w == 4) t->v[ROWS] = 2;
    while (t->v[ROWS] > 1 && tile_rows(p, dev) <= t->v[VECTOR] * t->v[ROWS] / 2) t->v[ROWS] /= 2;
    if (p->D > 96) t->v[TILE] = 48;
    if (!ca_is_cpu_like(dev)) *t = (struct params){ { 4, 1, 4, 4, 16, 0 } };
}

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    (void)dev;
    int w = t->v[VECTOR];
    if (w != 4 && w != 8 && w != 16) return "vl is 4, 8 or 16";
    for (int i = ROWS; i <= TILE; i++)
        if (t->v[i] < 1 || t->v[i] > 1024) return "qv, kb, db and bk are between 1 and 1024";
    if (t->v[ROWS] > 8 || t->v[KEYS] > 16 || t->v[DIMS] > 16) return "qv is at most 8, kb and db at most 16";
    if (ca_problem_special(p) && t->v[TILE] < w) return "bk is at least vl where elements are not simply loaded";
    if (private_bytes(p, t) <= PRIVATE_LIMIT) return NULL;
    snprintf(why, 128, "%lld bytes of private memory are more than %d", (long long)private_bytes(p, t), PRIVATE_LIMIT);
    return why;
}

/* Each loop of n takes n + 1; the keys may be passed twice (a NaN behind a mask). */
static double rounds(const struct problem *p, const struct params *t)
{
    double qv = t->v[ROWS], per_dim = qv + 2 + 2.0 / fmin(t->v[KEYS], t->v[DIMS]);
    double drop = p->dropout > 0 ? 2 * qv * (CA_PHILOX_LOOP + 11) / 4 : 0; /* four keys share a block; one more per tile */
    double tiles = p->pattern.grouped ? (double)p->Nq : 1; /* no two rows alike */
    return 2 * tiles * ((double)p->Nk * ((double)(p->D + p->Dv) * per_dim + 4 * qv + 16 + drop) + 16 * qv * (double)(p->D + p->Dv));
}

static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    if (p->pattern.grouped) return ca_flops_ms(p, dev) * (ca_is_cpu_like(dev) ? CA_GROUPS_WASTE : 200); /* few, long work-items */
    double padded = (double)ca_round_up(p->Nq, t->v[VECTOR] * t->v[ROWS]) / (double)ca_max(p->Nq, 1);
    double idle = (double)dev->compute_units / (double)(ca_lane_tiles(p, t->v[VECTOR] * t->v[ROWS]) * ca_out_batch(p) * p->Hq);
    /* On a GPU each work-item would be alone with its private arrays. */
    return ca_flops_ms(p, dev) * ca_lane_waste(p, t->v[VECTOR] * t->v[ROWS]) * padded * fmax(1, idle) * (ca_is_cpu_like(dev) ? 1 : 50);
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    snprintf(text + n, size - (size_t)n, " -DVL=%d -DQV=%d -DKB=%d -DDB=%d -DBK=%d%s", t->v[VECTOR], t->v[ROWS],
             t->v[KEYS], t->v[DIMS], t->v[TILE], t->v[MAD] ? " -DUSE_MAD" : "");
}

static size_t workspace(const struct problem *p, const struct device *dev, const struct params *t)
{
    const int vector = t->v[VECTOR];
    return p->pattern.grouped ? (size_t)(chunks_at_once(p, dev, vector) * chunk_bytes(p, dev, vector)) : ca_passes_bytes(p);
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const struct device *dev = &plan->ctx->dev;
    const bool grouped = p->pattern.grouped, merges = p->pattern.passes > 1;
    const int64_t units = grouped ? all_chunks(p, dev) : ca_lane_tiles(p, plan->params.v[VECTOR] * plan->params.v[ROWS]);
    const int64_t at_once = grouped ? chunks_at_once(p, dev, plan->params.v[VECTOR]) : units;
    clattn_status st = CLATTN_OK;
    ca_args a;
    ca_io_args(p, io, &a);
    if (merges) ca_states_args(p, io, p->pattern.passes, &a);
    if (grouped) {
        a.split_len = (ca_int)chunk_rows(p, dev);
        a.ws_po = (ca_long)(io->workspace.offset / sizeof(float)); /* where the states lie */
    }
    const struct tensor *const tensors[] = { &io->t[CA_Q], &io->t[CA_K], &io->t[CA_V], &io->t[CA_OUT], &io->t[CA_LSE], &io->workspace };
    for (int64_t first = 0, n; first < units; first += n) {
        struct launch_arg args[CA_MAX_ARGS];
        n = ca_min(units - first, at_once);
        a.first_part = (ca_int)first;
        cl_uint num_args = ca_kernel_args(p, io, &a, tensors, merges || grouped ? 6 : 5, args);
        struct launch l = {
            .program = plan->program, .kernel = "attn_lanes", .dims = 2,
            .global = { (size_t)n, grouped ? 1 : (size_t)(ca_out_batch(p) * p->Hq) }, .local = { 1, 1 },
            .flops = ca_problem_flops(p) * (double)n / (double)units, .args = args, .num_args = num_args,
        };
        CA_TRY(ca_launch(plan->ctx, &l, c));
    }
    if (merges) CA_TRY(ca_merge(plan, io, &a, c));
done:
    return st;
}

const struct algo ca_algo_lanes = {
    .name = "lanes", .source = "lanes", .params = {
        PARAM("vl", "floats of a vector, a query row each", 4, 8, 16), PARAM("qv", "vectors of query rows in a tile", 1, 2, 3, 4, 6, 8),
        PARAM("kb", "keys whose scores are in registers at once", 1, 2, 3, 4, 6, 8, 12, 16),
        PARAM("db", "output dims that are in registers at once", 1, 2, 3, 4, 6, 8, 12, 16), PARAM("bk", "keys of a tile", 16, 32, 48, 64, 96, 128, 192),
        PARAM("mad", "1: mad() for fma()", 0, 1) }, .legal = legal,
    .defaults = defaults, .check = check, .rounds = rounds, .cost = cost, .options = options, .workspace = workspace, .enqueue = enqueue,
};
