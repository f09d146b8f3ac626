/* split.c -- few queries, long KV (decoding): the keys are cut into parts that run in parallel, all query heads
 * of a KV head share one read of K and V, and a second kernel merges the parts.  Limited by memory bandwidth. */
#include "algo/algo.h"

enum { FORM, VECTOR, ROWS, TILE, TX, TY, KI, PART };
enum { LANES, GROUP };

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
    (void)why;
    if (p->score == CLATTN_ADDITIVE && !ca_is_cpu_like(dev)) return "additive scores take too many registers: see algorithm rows";
    return ca_is_host(dev) ? "the device is the host: see algorithm host" : NULL;
}

/* Rows that share a KV head: those of a batch row, and those that also share the first keys (cl/optional.h). */
static int64_t pack_rows(const struct problem *p) { return p->Nq * (p->Hq / ca_max(p->Hkv, 1)); }
static int64_t most_rows(const struct problem *p) { return p->shared_len ? p->B * pack_rows(p) : pack_rows(p); }

static int heads(const struct problem *p, const struct params *t) { return t->v[FORM] == LANES ? ca_pack_heads(p, t->v[ROWS]) : 1; }

static int64_t local_bytes(const struct problem *p, const struct params *t)
{
    int64_t tile = t->v[TY] * t->v[KI], dims = ca_round_up(p->D, 4 * t->v[TX]);
    return 4 * t->v[ROWS] * (dims + tile * (t->v[TX] + 2) + 3);
}

/* Output dims per item of a group; the kernel repeats its text so often. */
static int64_t item_dims(const struct problem *p, const struct params *t) { return ca_ceil_div(p->Dv, t->v[TX] * t->v[TY]); }
#define MAX_ITEM_DIMS 9
#define MAX_GROUP_ROWS 8

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    int w = dev->vector_width >= 16 ? 16 : dev->vector_width >= 8 ? 8 : 4, rows = 1;
    bool crowded = p->Dv > 64 && (p->bias.on || p->mask.on || p->mods[0]); /* 8 rows spill on some GPUs, then even 4 (perf/gpu-table) */
    int most = ca_is_cpu_like(dev) ? 16 : crowded ? 2 : 4;
    int keys = p->Dv > 64 && p->dtype != CLATTN_F32 ? 1 : 2; /* two of 16 bits spill on Intel's */
    int64_t pack = p->split_len ? p->Hq / ca_max(p->Hkv, 1) : most_rows(p); /* fixed parts: whatever else is in the batch */
    if (ca_is_cpu_like(dev)) pack *= ca_pack_heads(p, most);
    while (rows < most && rows < pack) rows *= 2;
    *t = (struct params){ { ca_is_cpu_like(dev) ? LANES : GROUP, w, rows, 64, 8, 8, keys, 0 } };
    while (t->v[TY] > 1 && (size_t)(t->v[TX] * t->v[TY]) > dev->max_group) t->v[TY] /= 2;
    while (t->v[TX] > 1 && (size_t)t->v[TX] > dev->max_group) t->v[TX] /= 2;
    while (t->v[ROWS] > 1 && t->v[FORM] == GROUP && local_bytes(p, t) > (int64_t)dev->local_bytes) t->v[ROWS] /= 2;
    if (t->v[FORM] == GROUP && item_dims(p, t) > MAX_ITEM_DIMS) t->v[FORM] = LANES; /* right everywhere, if slow */
    int64_t units = (p->shared_len ? 1 : p->B) * p->Hkv / heads(p, t) * ca_ceil_div(most_rows(p), t->v[ROWS]);
    t->v[PART] = ca_part_len(p, units, 4 * (int64_t)dev->compute_units); /* occupies each a few times */
}

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    int w = t->v[VECTOR], group = t->v[TX] * t->v[TY];
    if (t->v[FORM] != LANES && t->v[FORM] != GROUP) return "form is 0 (lanes) or 1 (group)";
    if (w != 4 && w != 8 && w != 16) return "vl is 4, 8 or 16";
    if (t->v[ROWS] < 1 || t->v[ROWS] > 64) return "rb is between 1 and 64";
    if (t->v[TILE] < 16 || t->v[TILE] > 1024 || t->v[TILE] % 16) return "dk is a multiple of 16 up to 1024";
    if (t->v[TX] < 1 || t->v[TY] < 1 || t->v[KI] < 1 || t->v[KI] > 8) return "tx and ty are at least 1, ki between 1 and 8";
    if (t->v[PART] < 1) return "part is at least 1";
    if (p->split_len && t->v[PART] != p->split_len) return "part is split_len";
    if (t->v[FORM] == LANES) return NULL;
    if (p->score == CLATTN_ADDITIVE) return "form is 0 for additive scores";
    if (t->v[ROWS] > MAX_GROUP_ROWS) return "rb is at most 8 in groups";
    if (item_dims(p, t) > MAX_ITEM_DIMS) {
        snprintf(why, 128, "%d work-items for %d output dims are too few", group, (int)p->Dv);
        return why;
    }
    if ((size_t)group > dev->max_group || (size_t)group > dev->max_items[0]) {
        snprintf(why, 128, "%d work-items in a group are more than %zu", group, dev->max_group);
        return why;
    }
    if (local_bytes(p, t) <= (int64_t)dev->local_bytes) return NULL;
    snprintf(why, 128, "%lld bytes of local memory are more than %llu", (long long)local_bytes(p, t), (unsigned long long)dev->local_bytes);
    return why;
}

static bool uses(const struct params *t, int i)
{
    return t->v[FORM] == LANES ? i != TX && i != TY && i != KI : i != VECTOR && i != TILE;
}

/* Each loop of n takes n + 1; the keys may be passed twice (a NaN behind a mask). */
static double rounds(const struct problem *p, const struct params *t)
{
    double keys = (double)ca_min(p->Nk, t->v[PART]), rb = t->v[ROWS], merge = 2 * (double)ca_ceil_div(p->Nk, t->v[PART]);
    double drop = p->dropout > 0 ? rb * (CA_PHILOX_LOOP + 1) : 0;
    if (t->v[FORM] == GROUP) return keys * (16 + drop) + (double)p->D * 2 + merge;
    double dc = (double)ca_ceil_div(p->D, t->v[VECTOR]), ec = (double)ca_ceil_div(p->Dv, t->v[VECTOR]);
    double four = (rb / 2 + 1) * (18 * dc + 51) + ec * (6 * rb + 7) + (double)p->D + 50; /* keys */
    if (ca_problem_special(p)) four += 4 * 2 * (double)(p->D + p->Dv) + (p->score ? 8 * rb * dc : 0);
    return 2 * (keys * (four / 4 + 2 * rb + drop) + rb * (dc + ec) * 8) + merge;
}

static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    const bool cpu = ca_is_cpu_like(dev);
    double reads = (double)ca_ceil_div(pack_rows(p), t->v[ROWS]); /* each pack of rows reads K and V again */
    double idle = (double)dev->compute_units / ((double)(p->B * p->Hkv) * reads * (double)ca_parts(p, t->v[PART]));
    /* On CPUs lanes that hold rows are 1.4 times as fast as lanes that hold dims, where most of them have a row, and more with few keys (perf/crossings).
     * Long packs are the tile kernels' domain: their rows share registers, here only the cache. */
    double share = cpu ? 1.4 + 40.0 / (double)ca_max(p->Nk, 1) : 0.3;
    if (pack_rows(p) > (cpu ? 4 : 2) * t->v[ROWS]) share = 2 + reads / 8;
    return ca_flops_ms(p, dev) * ca_tiles_waste(p, 1) * share * (cpu ? fmax(1, idle) : 1);
}

static size_t workspace(const struct problem *p, const struct device *dev, const struct params *t)
{
    (void)dev;
    return ca_states_bytes(p, ca_parts(p, t->v[PART]));
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    if (t->v[FORM] == LANES)
        snprintf(text + n, size - (size_t)n, " -DFORM=0 -DVL=%d -DRB=%d -DDK=%d -DHEADS=%d", t->v[VECTOR], t->v[ROWS], t->v[TILE], heads(p, t));
    else
        snprintf(text + n, size - (size_t)n, " -DFORM=1 -DVL=4 -DRB=%d -DTX=%d -DTY=%d -DKI=%d -DEI=%d", t->v[ROWS], t->v[TX],
                 t->v[TY], t->v[KI], (int)item_dims(p, t));
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const struct params *t = &plan->params;
    clattn_status st = CLATTN_OK;
    ca_args a;
    ca_io_args(p, io, &a);
    a.split_len = t->v[PART];
    int64_t shared = ca_shared_parts(p, t->v[PART]);
    ca_states_args(p, io, ca_parts(p, t->v[PART]), &a);
    const struct tensor *const parts_of[] = { &io->t[CA_Q], &io->t[CA_K], &io->t[CA_V], &io->workspace };
    struct launch_arg first[CA_MAX_ARGS];
    cl_uint num_first = ca_kernel_args(p, io, &a, parts_of, 4, first);
    size_t group = t->v[FORM] == GROUP ? (size_t)(t->v[TX] * t->v[TY]) : 1;
    struct launch parts_launch = {
        .program = plan->program, .kernel = t->v[FORM] == GROUP ? "attn_split_group" : "attn_split_lanes", .dims = 3,
        .global = { (size_t)(p->B * p->Hkv / heads(p, t)) * group, (size_t)ca_ceil_div(pack_rows(p), t->v[ROWS]), (size_t)(a.splits - shared) },
        .local = { group, 1, 1 }, .flops = ca_problem_flops(p), .args = first, .num_args = num_first,
    };
    if (shared) { /* the rows of all batch rows at once */
        struct launch together = parts_launch;
        together.global[0] = (size_t)p->Hkv * group;
        together.global[1] = (size_t)ca_ceil_div(most_rows(p), t->v[ROWS]);
        together.global[2] = (size_t)shared;
        CA_TRY(ca_launch(plan->ctx, &together, c));
        a.first_part = (ca_int)shared;
    }
    if (a.splits > shared) CA_TRY(ca_launch(plan->ctx, &parts_launch, c));
    CA_TRY(ca_merge(plan, io, &a, c));
done:
    return st;
}

const struct algo ca_algo_split = {
    .name = "split", .cuts_keys = true, .source = "split", .params = {
        PARAM("form", "0: a work-item a part, 1: a group a part", 0, 1), PARAM("vl", "floats of a vector, a dim each, in form 0", 4, 8, 16),
        PARAM("rb", "query rows that share one reading of the keys", 1, 2, 4, 8, 16, 32), PARAM("dk", "keys of a tile, in form 0", 16, 32, 64, 128, 256),
        PARAM("tx", "work-items that share a key, in form 1", 1, 2, 4, 8, 16, 32), PARAM("ty", "keys at once, in form 1", 1, 2, 4, 8, 16, 32),
        PARAM("ki", "keys of a work-item, in form 1", 1, 2, 4, 8), PARAM("part", "keys of a part", 256, 512, 1024, 2048, 4096, 8192, 16384) }, .legal = legal,
    .defaults = defaults, .check = check, .uses = uses, .rounds = rounds, .cost = cost, .options = options, .workspace = workspace, .enqueue = enqueue,
};
