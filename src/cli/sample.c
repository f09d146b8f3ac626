/* sample.c -- random data for `clattn bench`, in ordinary memory for the host and in buffers for OpenCL, so
 * that what is timed is the execution and not the transfer. */
#include "cli/sample.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/clock.h"
#include "base/half.h"
#include "base/normal.h"
#include "cli/memory.h"

#define MAX_RUNS 10000
#define MIN_RUNS 5

void ca_draw(void *data, clattn_dtype type, size_t count, uint64_t seed, uint64_t offset)
{
    uint32_t *f32 = data;
    uint16_t *f16 = data;
#pragma omp parallel for
    for (size_t e = 0; e < count; e++) {
        float x = ca_philox_normal(seed, offset, e);
        if (type == CLATTN_F32) f32[e] = ca_f32_bits(x);
        if (type == CLATTN_F16) f16[e] = ca_f32_to_f16(x);
        if (type == CLATTN_BF16) f16[e] = ca_f32_to_bf16(x);
    }
}

/* Random bytes of quantised keys and values; the scale of GGML's blocks is 2^-6. */
static void draw_bytes(const struct problem *p, int slot, uint8_t *byte, size_t count, uint64_t seed)
{
    size_t block = p->kv_format >= CLATTN_KV_Q8_0 ? (size_t)CA_BLOCK_BYTES(p->kv_format) : 0;
    for (size_t e = 0; e < count; e++) {
        byte[e] = (uint8_t)(255 * ca_philox_uniform(seed, (uint64_t)slot, e)); /* never fp8's NaN, 255 */
        if (byte[e] == 127) byte[e] = 0;
        if (block && e % block < 2) byte[e] = e % block ? 0x24 : 0;
    }
}

/* Length of sequence B, of its queries or its keys: as they were given, else all share what there is evenly. */
static int64_t length_of(const struct sample *s, bool keys, int64_t b)
{
    const struct problem *p = s->p;
    int64_t total = keys ? p->Tk : p->Tq;
    if (s->lengths) return keys ? s->lengths->k[b] : s->lengths->q[b];
    if (keys && p->page_size) return p->lens ? p->lens : p->Nk;
    return total * (b + 1) / p->B - total * b / p->B;
}

/* Sequences behind one another; pages from the last on. */
static void draw_places(const struct sample *s, int slot, int32_t *i32, size_t count)
{
    int64_t at = 0;
    for (size_t e = 0; e < count; e++) {
        i32[e] = slot == CA_TABLE ? (int32_t)((size_t)s->p->pages - 1 - e % (size_t)s->p->pages) : (int32_t)at;
        if (slot != CA_TABLE && e + 1 < count) at += length_of(s, slot == CA_CUK, (int64_t)e);
    }
}

/* A graph: each row has as many edges as the next, spread over all keys. */
static void draw_graph(const struct problem *p, int32_t *rows, int32_t *columns, uint64_t seed)
{
    const int64_t edges = p->pattern.edges, all = p->pattern.row_heads * p->Nq;
    for (int64_t r = 0; r < all; r++) {
        int64_t from = r * edges / all, to = (r + 1) * edges / all;
        if (rows) rows[r / p->Nq * (p->Nq + 1) + r % p->Nq] = (int32_t)from;
        if (rows && (r + 1) % p->Nq == 0) rows[r / p->Nq * (p->Nq + 1) + p->Nq] = (int32_t)to;
        for (int64_t e = from; columns && e < to; e++)
            columns[e] = (int32_t)(((double)(e - from) + (double)ca_philox_uniform(seed, CA_COLUMNS, (uint64_t)e)) * (double)p->Nk / (double)(to - from));
    }
}

/* Lists of a block mask, with this SHARE of its blocks: each other one is full, where there are such lists. */
static void draw_blocks(const struct sample *s, int slot, int32_t *i32, double share)
{
    const struct pattern *t = &s->p->pattern;
    const bool full = slot == CA_FULL_BLOCKS || slot == CA_FULL_INDICES, counts = slot == CA_KV_BLOCKS || slot == CA_FULL_BLOCKS;
    const int64_t columns = t->node[0].n[1], most = full ? t->full : t->listed;
    for (int64_t r = 0; r < t->lists[0] * t->lists[1] * t->lists[2]; r++) {
        int32_t n = 0;
        for (int64_t c = 0; c < columns && n < most; c++) {
            double u = (double)ca_philox_uniform(s->layout_seed, CA_LAYOUT, (uint64_t)(r * columns + c));
            if (u >= share || (t->full && (u < share / 2) != full)) continue;
            if (!counts) i32[r * most + n] = (int32_t)c;
            n++;
        }
        if (counts) i32[r] = n;
        else for (; n < most; n++) i32[r * most + n] = 0;
    }
}

/* What a pattern needs: half of the keys as a prefix, eight documents, a random layout, a span of a quarter. */
static void draw_pattern(const struct sample *s, int slot, void *data, size_t count, uint64_t seed)
{
    const struct problem *p = s->p;
    const double share = s->tree ? s->tree->share : CA_USUAL_SHARE;
    if (slot == CA_ROWS && s->tree && s->tree->row_ptr) memcpy(data, s->tree->row_ptr, count * sizeof(int32_t));
    else if (slot == CA_COLUMNS && s->tree && s->tree->col_idx) memcpy(data, s->tree->col_idx, count * sizeof(int32_t));
    else if (slot == CA_ROWS || slot == CA_COLUMNS) draw_graph(p, slot == CA_ROWS ? data : NULL, slot == CA_ROWS ? NULL : data, seed);
    else if (slot >= CA_KV_BLOCKS && slot <= CA_FULL_INDICES) draw_blocks(s, slot, data, share);
    else if (slot == CA_ROTATIONS || slot == CA_EDGES) ca_draw(data, CLATTN_F32, count, seed, (uint64_t)slot);
    else for (size_t e = 0; e < count; e++) {
        if (slot == CA_PREFIX_LENS) ((int32_t *)data)[e] = (int32_t)(p->Nk / 2);
        if (slot == CA_DOCS) ((int32_t *)data)[e] = (int32_t)((int64_t)e % p->Nk * 8 / p->Nk);
        if (slot == CA_LAYOUT) ((uint8_t *)data)[e] = (double)ca_philox_uniform(s->layout_seed, (uint64_t)slot, e) < share;
        if (slot == CA_SPANS) ((float *)data)[e] = (float)p->Nk / 4;
    }
}

/* The numbers of an optional tensor: slopes as in the ALiBi paper, a mask with one key in ten away. */
static void draw_optional(const struct sample *s, int slot, void *data, size_t count, uint64_t seed)
{
    const struct problem *p = s->p;
    float *f32 = data;
    int32_t *i32 = data;
    uint8_t *byte = data;
    if (slot >= CA_PREFIX_LENS && slot <= CA_SPANS) draw_pattern(s, slot, data, count, seed);
    else if (slot == CA_CUQ || slot == CA_CUK || slot == CA_TABLE) draw_places(s, slot, i32, count);
    else if (slot == CA_KNEW || slot == CA_VNEW) ca_draw(data, p->dtype, count, seed, (uint64_t)slot);
    else if (slot != CA_SLOPES && slot != CA_LENS && slot != CA_MASK) ca_draw(data, CLATTN_F32, count, seed, (uint64_t)slot);
    else for (size_t e = 0; e < count; e++) {
        if (slot == CA_SLOPES) f32[e] = exp2f(-8.f * (float)(e % (size_t)p->Hq + 1) / (float)p->Hq);
        if (slot == CA_LENS && s->lengths) i32[e] = (int32_t)ca_max(s->lengths->k[e] - p->new_len, 0); /* before they grow */
        else if (slot == CA_LENS) i32[e] = (int32_t)ca_min(p->lens, p->Nk - p->new_len);
        if (slot == CA_MASK) byte[e] = ca_philox_uniform(seed, (uint64_t)slot, e) >= 0.1f;
    }
}

/* Several devices take it from there. */
static bool on_host(const struct sample *s) { return s->plan->group || ca_is_host(&s->plan->ctx->dev); }

/* Moves tensor S to the device; its copy on the host is not kept. */
static clattn_status upload(struct sample *s, int slot, size_t bytes)
{
    clattn_context *ctx = s->plan->ctx;
    cl_int code;
    bool out = ca_slot_is_output((enum ca_slot)slot);
    cl_mem_flags flags = out ? CL_MEM_READ_WRITE : CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR;
    s->mem[slot] = ca_cl.CreateBuffer(ctx->context, flags, bytes ? bytes : 64, out ? NULL : s->host[slot], &code);
    if (code != CL_SUCCESS) return ca_cl_fail(code, "clCreateBuffer", ca_slot_name[slot]);
    free(s->host[slot]);
    s->host[slot] = NULL;
    return CLATTN_OK;
}

static clattn_status make_tensor(struct sample *s, int slot, uint64_t seed)
{
    size_t bytes = ca_slot_bytes(s->p, (enum ca_slot)slot);
    s->host[slot] = ca_large_alloc(bytes);
    if (!s->host[slot]) return ca_no_memory(bytes, ca_slot_name[slot]);
    if (ca_slot_is_output((enum ca_slot)slot)) memset(s->host[slot], 0, bytes);
    else if (s->given && s->given[slot]) memcpy(s->host[slot], s->given[slot], bytes);
    else if (slot > CA_OUT) draw_optional(s, slot, s->host[slot], ca_slot_elements(s->p, (enum ca_slot)slot), seed);
    else if (s->p->kv_format && (slot == CA_K || slot == CA_V))
        draw_bytes(s->p, slot, s->host[slot], ca_slot_elements(s->p, (enum ca_slot)slot), seed);
    else ca_draw(s->host[slot], s->p->dtype, ca_slot_elements(s->p, (enum ca_slot)slot), seed, (uint64_t)slot);
    return on_host(s) ? CLATTN_OK : upload(s, slot, bytes);
}

static clattn_status make_plan(struct sample *s, clattn_context *ctx, const clattn_attention *a, const clattn_plan_options *options)
{
    clattn_status st;
    cl_int code;
    CA_TRY(clattn_plan_create(ctx, a, options, &s->plan));
    s->p = &s->plan->p;
    if (on_host(s) || !s->plan->workspace) goto done;
    s->workspace = ca_cl.CreateBuffer(s->plan->ctx->context, CL_MEM_READ_WRITE, s->plan->workspace, NULL, &code);
    if (code != CL_SUCCESS) st = ca_cl_fail(code, "clCreateBuffer", "workspace");
done:
    return st;
}

clattn_status ca_sample_replan(const struct sample *s, const clattn_attention *a, const clattn_plan_options *options, struct sample *to)
{
    *to = *s;
    to->plan = NULL;
    to->workspace = NULL;
    return make_plan(to, s->plan->ctx, a, options);
}

clattn_status ca_sample_create(clattn_context *ctx, const clattn_attention *a, const struct ca_lengths *l,
                               const clattn_plan_options *options, const void *const *given, uint64_t seed, struct sample *s)
{
    clattn_status st;
    memset(s, 0, sizeof *s);
    CA_TRY(make_plan(s, ctx, a, options));
    s->given = given;
    s->lengths = l && l->count ? l : NULL;
    s->tree = l ? l->tree : NULL;
    s->layout_seed = a->seed ? a->seed : seed;
    for (int slot = 0; slot < CA_SLOTS; slot++)
        if ((!ca_slot_is_optional((enum ca_slot)slot) || (given && given[slot])) && !ca_slot_unwanted(s->p, (enum ca_slot)slot))
            CA_TRY(make_tensor(s, slot, seed));
done:
    return st;
}

static clattn_status run_on_device(const struct sample *s, bool bounded)
{
    struct chain c = {.queue = NULL}; /* the context's own, which is flushed */
    struct io io = {.workspace.mem = s->workspace};
    for (int slot = 0; slot < CA_SLOTS; slot++) io.t[slot].mem = s->mem[slot];
    io.t[CA_OUT].offset = s->out_offset;
    clattn_status st = ca_plan_enqueue(s->plan, &io, &c);
    if (st != CLATTN_OK) return st;
    if (bounded) st = ca_chain_wait(s->plan->ctx, &c, ca_problem_flops(s->p));
    else st = CA_CL(WaitForEvents, 1, &c.last);
    ca_chain_release(&c);
    return st;
}

clattn_status ca_sample_run(const struct sample *s, bool bounded)
{
    if (!on_host(s)) return run_on_device(s, bounded);
    struct io io = {.workspace.mem = NULL};
    for (int slot = 0; slot < CA_SLOTS; slot++) io.t[slot].host = s->host[slot];
    return ca_plan_run_host(s->plan, &io);
}

clattn_status ca_sample_read(const struct sample *s, int slot, void *to)
{
    size_t bytes = ca_slot_bytes(s->p, (enum ca_slot)slot);
    if (s->host[slot]) memcpy(to, s->host[slot], bytes);
    else if (bytes) return CA_CL(EnqueueReadBuffer, s->plan->ctx->queue, s->mem[slot], CL_TRUE, 0, bytes, to, 0, NULL, NULL);
    return CLATTN_OK;
}

double ca_sample_flops(const struct sample *s)
{
    double flops = 0;
    struct problem one = ca_problem_expected(s->p);
    if (!one.ragged) return ca_problem_flops(&one);
    one.ragged = false;
    one.B = 1;
    for (int64_t b = 0; b < s->p->B; b++) {
        one.Nq = length_of(s, false, b);
        one.Nk = length_of(s, true, b);
        one.offset = one.bottom_right ? (int32_t)(one.Nk - one.Nq) : s->p->offset;
        flops += ca_problem_flops(&one);
    }
    return flops;
}

/* ------------------------------------------------------------------- timing */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

clattn_status ca_time_runs(clattn_status (*run_once)(const void *x, bool bounded), const void *x, double seconds, struct timing *t)
{
    double *run = malloc(MAX_RUNS * sizeof *run);
    clattn_status st;
    if (!run) return ca_no_memory(MAX_RUNS * sizeof *run, "timings");
    CA_TRY(run_once(x, true)); /* builds, places memory, wakes threads */
    CA_TRY(run_once(x, false));
    double start = ca_now();
    for (t->runs = 0; t->runs < MAX_RUNS && (t->runs < MIN_RUNS || ca_now() - start < seconds); t->runs++) {
        double begin = ca_now();
        CA_TRY(run_once(x, false));
        run[t->runs] = ca_now() - begin;
    }
    qsort(run, (size_t)t->runs, sizeof *run, ascending);
    t->median = run[t->runs / 2];
    t->least = run[0];
done:
    free(run);
    return st;
}

static clattn_status run_sample(const void *s, bool bounded) { return ca_sample_run(s, bounded); }

clattn_status ca_sample_time(const struct sample *s, double seconds, struct timing *t)
{
    return ca_time_runs(run_sample, s, seconds, t);
}

void ca_sample_free(struct sample *s)
{
    for (int slot = 0; slot < CA_SLOTS; slot++) {
        if (s->mem[slot]) ca_cl.ReleaseMemObject(s->mem[slot]);
        free(s->host[slot]);
    }
    if (s->workspace) ca_cl.ReleaseMemObject(s->workspace);
    clattn_plan_destroy(s->plan);
    memset(s, 0, sizeof *s);
}
