/* lanes.c -- the lane kernel (cl/flash.h) on OpenCL: one work-item per query tile, a lane per query row.
 * The choice for devices whose work-item is a thread with wide vectors; right on any device. */
#include "algo/algo.h"

enum { VECTOR, ROWS, KEYS, DIMS, TILE, MAD };

/* Private memory of one work-item: qT, oT, p and the unpacked tiles. */
static int64_t private_bytes(const struct problem *p, const struct params *t)
{
    int64_t rows = (int64_t)t->v[ROWS] * t->v[VECTOR];
    int64_t unpacked = ca_round_up(p->D, t->v[VECTOR]) + ca_round_up(p->Dv, t->v[VECTOR]);
    return 4 * ((p->D + p->Dv + t->v[TILE]) * rows + t->v[TILE] * unpacked);
}

/* What a work-item may take: CPU runtimes give threads megabytes of stack, software GPUs far less. */
#define PRIVATE_LIMIT (1 << 20)

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    (void)p, (void)why;
    return ca_is_host(dev) ? "the device is the host: see algorithm host" : NULL;
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    int w = dev->vector_width >= 16 ? 16 : dev->vector_width >= 8 ? 8 : 4;
    *t = (struct params){ { w, w == 8 ? 2 : 4, w == 8 ? 6 : w == 16 ? 6 : 4, 4, 96, 0 } };
    if (w == 4) t->v[ROWS] = 2;
    while (t->v[ROWS] > 1 && p->Nq <= t->v[VECTOR] * t->v[ROWS] / 2) t->v[ROWS] /= 2;
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
    return 2 * ((double)p->Nk * ((double)(p->D + p->Dv) * per_dim + 4 * qv + 16 + drop) + 16 * qv * (double)(p->D + p->Dv));
}

static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    double padded = (double)ca_round_up(p->Nq, t->v[VECTOR] * t->v[ROWS]) / (double)ca_max(p->Nq, 1);
    /* On a GPU each work-item would be alone with its private arrays. */
    return ca_flops_ms(p, dev) * ca_lane_waste(p, t->v[VECTOR] * t->v[ROWS]) * padded * (ca_is_cpu_like(dev) ? 1 : 50);
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    snprintf(text + n, size - (size_t)n, " -DVL=%d -DQV=%d -DKB=%d -DDB=%d -DBK=%d%s", t->v[VECTOR], t->v[ROWS],
             t->v[KEYS], t->v[DIMS], t->v[TILE], t->v[MAD] ? " -DUSE_MAD" : "");
}

static size_t workspace(const struct problem *p, const struct device *dev, const struct params *t)
{
    (void)dev, (void)t;
    return ca_passes_bytes(p);
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const bool merges = p->pattern.passes > 1;
    clattn_status st;
    ca_args a;
    ca_io_args(p, io, &a);
    if (merges) ca_states_args(p, io, p->pattern.passes, &a);
    const struct tensor *const tensors[] = { &io->t[CA_Q], &io->t[CA_K], &io->t[CA_V], &io->t[CA_OUT], &io->t[CA_LSE], &io->workspace };
    struct launch_arg args[CA_MAX_ARGS];
    cl_uint num_args = ca_kernel_args(p, io, &a, tensors, merges ? 6 : 5, args);
    int64_t tiles = ca_lane_tiles(p, plan->params.v[VECTOR] * plan->params.v[ROWS]);
    struct launch l = {
        .program = plan->program, .kernel = "attn_lanes", .dims = 2,
        .global = { (size_t)tiles, (size_t)(ca_out_batch(p) * p->Hq) }, .local = { 1, 1 },
        .flops = ca_problem_flops(p), .args = args, .num_args = num_args,
    };
    st = ca_launch(plan->ctx, &l, c);
    return st == CLATTN_OK && merges ? ca_merge(plan, io, &a, c) : st;
}

const struct algo ca_algo_lanes = {
    .name = "lanes", .source = "lanes", .params = {
        PARAM("vl", "floats of a vector, a query row each", 4, 8, 16), PARAM("qv", "vectors of query rows in a tile", 1, 2, 3, 4, 6, 8),
        PARAM("kb", "keys whose scores are in registers at once", 1, 2, 3, 4, 6, 8, 12, 16),
        PARAM("db", "output dims that are in registers at once", 1, 2, 3, 4, 6, 8, 12, 16), PARAM("bk", "keys of a tile", 16, 32, 48, 64, 96, 128, 192),
        PARAM("mad", "1: mad() for fma()", 0, 1) }, .legal = legal,
    .defaults = defaults, .check = check, .rounds = rounds, .cost = cost, .options = options, .workspace = workspace, .enqueue = enqueue,
};
