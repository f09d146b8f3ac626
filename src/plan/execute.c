/* execute.c -- runs a plan: on device memory (enqueue and return), or on ordinary memory to the end.
 *
 *     ordinary memory ──► inputs in place, or copied ──► algorithm ──► device buffer ──► mapped, copied to out, lse
 *
 * Outputs are copied only when all has succeeded, and only their elements: what fails leaves them untouched, and
 * memory between the rows of a strided output is never written. */
#include <stdlib.h>
#include <string.h>
#include "plan/group.h"

/* ----------------------------------------------------------------- checks */

static bool given(const struct tensor *t) { return t->mem || t->host; }
static uintptr_t start(const struct tensor *t) { return t->mem ? t->offset : (uintptr_t)t->host; }

static bool meet(uintptr_t a, size_t a_bytes, uintptr_t b, size_t b_bytes)
{
    return a_bytes && b_bytes && a < b + b_bytes && b < a + a_bytes;
}

/* With new keys the caches are written; that the two are one (values that are a part of the keys) is fine even then. */
static bool is_cache(int s) { return s == CA_K || s == CA_V; }
/* And scales by key, with zero points, are made for new keys. */
static bool is_written(const struct problem *p, enum ca_slot s)
{
    bool by_key = (s == CA_KSCALE && p->k_scale == CLATTN_SCALE_BY_KEY) || (s == CA_VSCALE && p->v_scale == CLATTN_SCALE_BY_KEY) ||
                  (s == CA_KZERO && p->k_zero == CLATTN_SCALE_BY_KEY) || (s == CA_VZERO && p->v_zero == CLATTN_SCALE_BY_KEY);
    return ca_slot_is_output(s) || (p->new_len && (is_cache((int)s) || by_key));
}

/* What holds for device memory and pointers alike. */
static clattn_status check_tensor(const struct problem *p, const struct io *io, enum ca_slot s)
{
    const struct tensor *t = &io->t[s];
    const char *name = ca_slot_name[s];
    size_t bytes = ca_slot_bytes(p, s), element = ca_slot_size(p, s);

    CA_REQUIRE(given(t) || ca_slot_is_optional(s) || bytes == 0, CLATTN_E_ARGUMENT, "%s is NULL, needs %zu bytes", name,
               bytes);
    if (!given(t)) return CLATTN_OK;
    CA_REQUIRE(!ca_slot_unwanted(p, s), CLATTN_E_ARGUMENT, "%s is given, but %s", name, ca_slot_unwanted(p, s));
    CA_REQUIRE(start(t) % element == 0, CLATTN_E_ARGUMENT, "%s at %s %zu is not a multiple of its element's %zu bytes",
               name, t->mem ? "offset" : "address", (size_t)start(t), element);
    if (!is_written(p, s)) return CLATTN_OK;
    for (int o = 0; o < CA_SLOTS; o++) /* with gaps, tensors may be interleaved */
        CA_REQUIRE(o == (int)s || (is_cache((int)s) && is_cache(o)) || !given(&io->t[o]) || io->t[o].mem != t->mem ||
                   !meet(start(t), bytes, start(&io->t[o]), ca_slot_bytes(p, (enum ca_slot)o)) ||
                   ca_slot_has_gaps(p, s) || ca_slot_has_gaps(p, (enum ca_slot)o),
                   CLATTN_E_ARGUMENT, "%s overlaps %s", name, ca_slot_name[o]);
    return CLATTN_OK;
}

static clattn_status check_tensors(const struct problem *p, const struct io *io)
{
    clattn_status st = CLATTN_OK;
    for (int s = 0; s < CA_SLOTS && st == CLATTN_OK; s++) st = check_tensor(p, io, (enum ca_slot)s);
    return st;
}

/* Sequences behind one another in TOTAL rows, none longer than MOST. */
static clattn_status check_cu(const int32_t *cu, int64_t count, int64_t total, int64_t most, const char *name)
{
    if (!cu) return CLATTN_OK;
    CA_REQUIRE(cu[0] >= 0, CLATTN_E_ARGUMENT, "%s[0] is %d, below 0", name, (int)cu[0]);
    for (int64_t b = 0; b < count; b++) {
        CA_REQUIRE(cu[b + 1] >= cu[b], CLATTN_E_ARGUMENT, "%s[%lld] is %d, below %d before it", name, (long long)b + 1,
                   (int)cu[b + 1], (int)cu[b]);
        CA_REQUIRE((int64_t)cu[b + 1] - cu[b] <= most, CLATTN_E_ARGUMENT, "%s[%lld] is %d, %d behind the one before; the longest length is %lld",
                   name, (long long)b + 1, (int)cu[b + 1], (int)(cu[b + 1] - cu[b]), (long long)most);
    }
    CA_REQUIRE(cu[count] <= total, CLATTN_E_ARGUMENT, "%s[%lld] is %d, beyond the %lld rows", name, (long long)count, (int)cu[count],
               (long long)total);
    return CLATTN_OK;
}

static clattn_status check_table(const struct problem *p, const int32_t *table, const int32_t *lens)
{
    int64_t width = table ? p->Nk / p->page_size : 0;
    for (int64_t b = 0; table && b < p->B; b++)
        for (int64_t n = 0; n < width; n++) {
            int32_t page = table[b * width + n];
            bool needed = n * p->page_size < ca_max(lens ? lens[b] + p->new_len : p->Nk, b == 0 ? p->shared_len : 0);
            CA_REQUIRE(page < p->pages && page >= (needed ? 0 : -1), CLATTN_E_ARGUMENT,
                       "block_table[%lld][%lld] is %d%s; there are %lld pages", (long long)b, (long long)n, (int)page,
                       page == -1 ? ", but is needed" : "", (long long)p->pages);
        }
    return CLATTN_OK;
}

/* The rows of a graph: each begins where the one before ends, and ascends. */
static clattn_status check_csr(const struct problem *p, const int32_t *ptr, const int32_t *columns)
{
    for (int64_t r = 0, width = p->Nq + 1; ptr && r < p->pattern.row_heads * width; r++) {
        CA_REQUIRE(ptr[r] >= 0 && ptr[r] <= p->pattern.edges, CLATTN_E_ARGUMENT, "row_ptr[%lld] is %d, not in 0 ... %lld", (long long)r, (int)ptr[r],
                   (long long)p->pattern.edges);
        if (r % width == 0) continue;
        CA_REQUIRE(ptr[r] >= ptr[r - 1], CLATTN_E_ARGUMENT, "row_ptr[%lld] is %d, below %d before it", (long long)r, (int)ptr[r], (int)ptr[r - 1]);
        for (int64_t e = ptr[r - 1]; e < ptr[r]; e++) {
            CA_REQUIRE(columns[e] >= 0 && columns[e] < p->Nk, CLATTN_E_ARGUMENT, "col_idx[%lld] is %d, not in 0 ... %lld", (long long)e,
                       (int)columns[e], (long long)p->Nk - 1);
            CA_REQUIRE(e == ptr[r - 1] || columns[e] >= columns[e - 1], CLATTN_E_ARGUMENT, "col_idx[%lld] is %d, below %d before it in its row",
                       (long long)e, (int)columns[e], (int)columns[e - 1]);
        }
    }
    return CLATTN_OK;
}

/* Lists of a block mask: of so many of MOST there are, each a block. */
static clattn_status check_blocks(const struct problem *p, const struct io *io, enum ca_slot counts, enum ca_slot indices, int64_t most)
{
    const int32_t *count = io->t[counts].host, *list = io->t[indices].host;
    const int64_t *n = p->pattern.lists, blocks = p->pattern.node[0].n[1];
    for (int64_t r = 0; count && r < n[0] * n[1] * n[2]; r++) {
        CA_REQUIRE(count[r] >= 0 && count[r] <= most, CLATTN_E_ARGUMENT, "%s[%lld] is %d, not in 0 ... %lld", ca_slot_name[counts], (long long)r,
                   (int)count[r], (long long)most);
        for (int64_t e = r * most; e < r * most + count[r]; e++)
            CA_REQUIRE(list[e] >= 0 && list[e] < blocks, CLATTN_E_ARGUMENT, "%s[%lld] is %d, not in 0 ... %lld", ca_slot_name[indices], (long long)e,
                       (int)list[e], (long long)blocks - 1);
    }
    return CLATTN_OK;
}

/* What the kernels would keep within bounds: on the host it can be told. */
static clattn_status check_values(const struct problem *p, const struct io *io)
{
    const int32_t *lens = io->t[CA_LENS].host;
    clattn_status st;
    for (int64_t b = 0; lens && b < p->B; b++)
        CA_REQUIRE(lens[b] >= 0 && lens[b] <= p->Nk - p->new_len, CLATTN_E_ARGUMENT, "kv_lens[%lld] is %d, not in 0 ... %lld", (long long)b,
                   (int)lens[b], (long long)(p->Nk - p->new_len));
    CA_TRY(check_cu(io->t[CA_CUQ].host, p->B, p->Tq, p->Nq, "cu_seqlens_q"));
    CA_TRY(check_cu(io->t[CA_CUK].host, p->B, p->Tk, p->Nk, "cu_seqlens_k"));
    CA_TRY(check_table(p, io->t[CA_TABLE].host, lens));
    CA_TRY(check_csr(p, io->t[CA_ROWS].host, io->t[CA_COLUMNS].host));
    CA_TRY(check_blocks(p, io, CA_KV_BLOCKS, CA_KV_INDICES, p->pattern.listed));
    CA_TRY(check_blocks(p, io, CA_FULL_BLOCKS, CA_FULL_INDICES, p->pattern.full));
done:
    return st;
}

static clattn_status check_buffers(const struct clattn_plan *plan, const struct io *io)
{
    clattn_status st;
    CA_TRY(check_tensors(&plan->p, io));
    for (int s = 0; s < CA_SLOTS; s++)
        CA_TRY(ca_buffer_holds(plan->ctx, io->t[s].mem, io->t[s].offset, ca_slot_bytes(&plan->p, (enum ca_slot)s),
                               ca_slot_name[s]));
    CA_REQUIRE(!io->workspace.mem || io->workspace.offset % 256 == 0, CLATTN_E_ARGUMENT,
               "workspace at offset %zu is not aligned to 256", io->workspace.offset);
    CA_TRY(ca_buffer_holds(plan->ctx, io->workspace.mem, io->workspace.offset, plan->workspace, "workspace"));
done:
    return st;
}

/* ----------------------------------------------------------- device memory */

/* New keys into the cache, the pattern, the algorithm, the weights. */
static clattn_status all_steps(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    struct io all = *io;
    clattn_status st = CLATTN_OK;
    if (given(&io->t[CA_KNEW])) CA_TRY(ca_append(plan, io, c));
    CA_TRY(ca_prepare(plan, &all, c));
    CA_TRY(plan->algo->enqueue(plan, &all, c));
    CA_TRY(ca_weights(plan, &all, c));
done:
    if (all.t[CA_PATTERN].host != plan->words) ca_spare_give(plan->spare_words, all.t[CA_PATTERN].host);
    return st;
}

/* The commands; at least a marker, so that there always is an event. */
static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    cl_event marker;
    clattn_status st = all_steps(plan, io, c);
    if (st != CLATTN_OK || c->last) return st;
    cl_int code = ca_cl.EnqueueMarkerWithWaitList(c->queue, ca_chain_count(c), ca_chain_list(c), &marker);
    if (code != CL_SUCCESS) return ca_context_fail(plan->ctx, code, "clEnqueueMarkerWithWaitList", NULL);
    ca_chain_advance(c, marker);
    return CLATTN_OK;
}

clattn_status ca_plan_enqueue(const struct clattn_plan *plan, struct io *io, struct chain *c)
{
    clattn_context *ctx = plan->ctx;
    cl_mem workspace = NULL;
    clattn_status st;

    CA_TRY(ca_context_alive(ctx));
    CA_REQUIRE(!ca_is_host(&ctx->dev), CLATTN_E_UNSUPPORTED,
               "the plan is for the host and takes pointers: use clattn_execute_host");
    CA_TRY(ca_context_check_queue(ctx, c->queue));
    CA_TRY(check_buffers(plan, io));
    if (plan->workspace && !io->workspace.mem) {
        CA_TRY(ca_buffer_create(ctx, CL_MEM_READ_WRITE, plan->workspace, NULL, "workspace", &workspace));
        io->workspace = (struct tensor){ .mem = workspace };
    }
    bool own_queue = !c->queue;
    if (own_queue) c->queue = ctx->queue;
    CA_TRY(enqueue(plan, io, c));
    if (own_queue) ca_cl.Flush(ctx->queue); /* nobody else can; a dead queue shows in the event */
done:
    if (workspace) {
        io->workspace.mem = NULL;
        ca_buffer_release(ctx, workspace); /* lives on until the commands that use it are done */
    }
    return st;
}

/* --------------------------------------------------------- ordinary memory */

static void join_spans(struct span span[], int group[], int n)
{
    for (int i = 0; i < n; i++) group[i] = i;
    for (int again = 1; again;) {
        again = 0;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                struct span *a = &span[group[i]], *b = &span[group[j]];
                if (group[i] >= group[j] || !meet(a->from, a->to - a->from, b->from, b->to - b->from)) continue;
                if (b->from < a->from) a->from = b->from;
                if (b->to > a->to) a->to = b->to;
                for (int k = 0, old = group[j]; k < n; k++)
                    if (group[k] == old) group[k] = group[i];
                again = 1;
            }
    }
}

/* What the device reads.  New keys are in the caches by then: those are the caller's memory, which is at hand. */
static bool goes_to_device(int s)
{
    return !ca_slot_is_output((enum ca_slot)s) && s != CA_KNEW && s != CA_VNEW;
}

/* Wraps the inputs in place; SPAN's buffers are the caller's to release. */
static clattn_status use_in_place(const struct clattn_plan *plan, const struct io *host, struct io *dev,
                                  struct span span[CA_SLOTS])
{
    int group[CA_SLOTS];
    clattn_status st = CLATTN_OK;
    for (int s = 0; s < CA_SLOTS; s++) {
        if (!goes_to_device(s) || !host->t[s].host) continue;
        span[s].from = (uintptr_t)host->t[s].host;
        span[s].to = span[s].from + ca_slot_bytes(&plan->p, (enum ca_slot)s);
    }
    join_spans(span, group, CA_SLOTS);
    for (int s = 0; s < CA_SLOTS; s++) {
        struct span *g = &span[group[s]];
        if (g->from == g->to || !host->t[s].host || !goes_to_device(s)) continue;
        if (!g->mem) CA_TRY(ca_buffer_create(plan->ctx, CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR, g->to - g->from,
                                             (const void *)g->from, ca_slot_name[s], &g->mem));
        dev->t[s] = (struct tensor){ .mem = g->mem, .offset = (uintptr_t)host->t[s].host - g->from };
    }
done:
    return st;
}

/* Copies input S. */
static clattn_status upload(const struct clattn_plan *plan, struct stage *stage, enum ca_slot s, const void *from,
                            struct io *dev, struct chain *c)
{
    size_t bytes = ca_slot_bytes(&plan->p, s);
    cl_event e;
    if (!from || !bytes) return CLATTN_OK;
    clattn_status st = ca_stage_buffer(plan, stage, &stage->mem[s], CL_MEM_READ_ONLY, bytes, ca_slot_name[s]);
    if (st != CLATTN_OK) return st;
    dev->t[s].mem = stage->mem[s];
    cl_int code = ca_cl.EnqueueWriteBuffer(c->queue, stage->mem[s], CL_FALSE, 0, bytes, from, ca_chain_count(c),
                                           ca_chain_list(c), &e);
    if (code != CL_SUCCESS) return ca_context_fail(plan->ctx, code, "clEnqueueWriteBuffer", ca_slot_name[s]);
    ca_chain_advance(c, e);
    return CLATTN_OK;
}

/* Device buffers for the outputs that are wanted, and the workspace. */
static clattn_status stage_outputs(const struct clattn_plan *plan, struct stage *stage, const struct io *host,
                                   struct io *dev)
{
    cl_mem_flags flags = CL_MEM_READ_WRITE | (plan->ctx->dev.unified ? CL_MEM_ALLOC_HOST_PTR : 0);
    clattn_status st = CLATTN_OK;
    for (int s = 0; s < CA_SLOTS; s++) {
        size_t bytes = ca_slot_bytes(&plan->p, (enum ca_slot)s);
        if (!ca_slot_is_output((enum ca_slot)s) || !host->t[s].host || !bytes) continue;
        CA_TRY(ca_stage_buffer(plan, stage, &stage->mem[s], flags, bytes, ca_slot_name[s]));
        dev->t[s].mem = stage->mem[s];
    }
    if (plan->workspace) {
        CA_TRY(ca_stage_buffer(plan, stage, &stage->workspace, CL_MEM_READ_WRITE, plan->workspace, "workspace"));
        dev->workspace.mem = stage->workspace;
    }
done:
    return st;
}

static clattn_status map_outputs(const struct clattn_plan *plan, const struct io *dev, struct chain *c,
                                 void *mapped[CA_SLOTS])
{
    for (int s = 0; s < CA_SLOTS; s++) {
        cl_event e;
        cl_int code;
        if (!ca_slot_is_output((enum ca_slot)s) || !dev->t[s].mem) continue;
        mapped[s] = ca_cl.EnqueueMapBuffer(c->queue, dev->t[s].mem, CL_FALSE, CL_MAP_READ, 0,
                                           ca_slot_bytes(&plan->p, (enum ca_slot)s), ca_chain_count(c),
                                           ca_chain_list(c), &e, &code);
        if (!mapped[s]) return ca_context_fail(plan->ctx, code, "clEnqueueMapBuffer", ca_slot_name[s]);
        ca_chain_advance(c, e);
    }
    return CLATTN_OK;
}

/* The unmapping's events end in C, for the next user of the buffers; a failure costs only the stage. */
static bool unmap_outputs(const struct io *dev, struct chain *c, void *const mapped[CA_SLOTS])
{
    bool good = true;
    for (int s = 0; s < CA_SLOTS; s++) {
        cl_event e;
        if (!mapped[s]) continue;
        cl_int code = ca_cl.EnqueueUnmapMemObject(c->queue, dev->t[s].mem, mapped[s], ca_chain_count(c),
                                                  ca_chain_list(c), &e);
        if (code == CL_SUCCESS) ca_chain_advance(c, e);
        else good = false;
    }
    return good;
}

/* Copies the elements of out in the rows [FIRST, END) of each head, and nothing between them. */
static void copy_strided(const struct problem *p, char *to, const char *from, int64_t first, int64_t end)
{
    size_t size = ca_dtype_size(p->dtype);
    for (int64_t b = 0; b < ca_out_batch(p); b++)
        for (int64_t h = 0; h < p->Hq; h++)
            for (int64_t i = first; i < end; i++) {
                size_t row = (size_t)(b * p->o.b + h * p->o.h + i * p->o.s) * size;
                if (p->o.d == 1) memcpy(to + row, from + row, (size_t)p->Dv * size);
                else for (int64_t d = 0; d < p->Dv; d++) {
                    size_t at = row + (size_t)(d * p->o.d) * size;
                    memcpy(to + at, from + at, size);
                }
            }
}

/* What a ragged batch has between FIRST and END belongs to some sequence, the rest is left alone. */
static void copy_outputs(const struct problem *p, const struct io *host, void *const mapped[CA_SLOTS])
{
    const int32_t *cu = host->t[CA_CUQ].host;
    int64_t N = ca_out_rows(p), first = cu ? cu[0] : 0, end = cu ? cu[p->B] : N;
    bool all = first == 0 && end == N;
    const float *lse = mapped[CA_LSE];
    if (mapped[CA_OUT] && (!all || ca_slot_has_gaps(p, CA_OUT))) copy_strided(p, host->t[CA_OUT].host, mapped[CA_OUT], first, end);
    else if (mapped[CA_OUT]) memcpy(host->t[CA_OUT].host, mapped[CA_OUT], ca_slot_bytes(p, CA_OUT));
    for (int64_t h = 0; lse && h < ca_out_batch(p) * p->Hq; h++)
        memcpy((float *)host->t[CA_LSE].host + h * N + first, lse + h * N + first, (size_t)(end - first) * sizeof *lse);
    if (mapped[CA_SPENT]) memcpy(host->t[CA_SPENT].host, mapped[CA_SPENT], ca_slot_bytes(p, CA_SPENT));
    if (mapped[CA_WEIGHTS]) memcpy(host->t[CA_WEIGHTS].host, mapped[CA_WEIGHTS], ca_slot_bytes(p, CA_WEIGHTS));
}

clattn_status ca_run_begin(const struct clattn_plan *plan, const struct io *io, struct ca_run *r)
{
    clattn_context *ctx = plan->ctx;
    clattn_status st;
    *r = (struct ca_run){ .plan = plan, .host = *io, .c = { .queue = ctx->queue } };
    CA_TRY(ca_context_alive(ctx));
    if (ca_is_host(&ctx->dev)) goto done;
    CA_TRY(ca_stage_take(plan, &r->stage));
    if (r->stage->ready) {
        r->c.num_wait = 1;
        r->c.wait = &r->stage->ready;
    }
    CA_TRY(stage_outputs(plan, r->stage, io, &r->dev));
    CA_TRY(ca_append(plan, io, &r->c));
    if (ctx->dev.unified && !(ctx->dev.quirks & CA_QUIRK_COPY)) CA_TRY(use_in_place(plan, io, &r->dev, r->span));
    else for (int s = 0; s < CA_SLOTS; s++)
        if (goes_to_device(s)) CA_TRY(upload(plan, r->stage, (enum ca_slot)s, io->t[s].host, &r->dev, &r->c));
    CA_TRY(enqueue(plan, &r->dev, &r->c));
    CA_TRY(map_outputs(plan, &r->dev, &r->c, r->mapped));
done:
    return st;
}

clattn_status ca_run_wait(struct ca_run *r)
{
    struct chain none = { 0 };
    clattn_context *ctx = r->plan->ctx;
    clattn_status st = ca_is_host(&ctx->dev) ? all_steps(r->plan, &r->host, &none) : ca_chain_wait(ctx, &r->c, ca_problem_flops(&r->plan->p));
    r->done = st == CLATTN_OK;
    return st;
}

void ca_run_end(struct ca_run *r, bool commit)
{
    clattn_context *ctx = r->plan->ctx;
    bool keep = r->done;
    if (ca_is_host(&ctx->dev)) return;
    if (r->done && commit) copy_outputs(&r->plan->p, &r->host, r->mapped);
    /* Commands that failed half-way may still read the caller's memory: see them off. */
    if (!r->done && r->c.last && !atomic_load(&ctx->lost)) (void)!ca_chain_wait(ctx, &r->c, ca_problem_flops(&r->plan->p));
    if (ca_may_touch(ctx)) keep = unmap_outputs(&r->dev, &r->c, r->mapped) && keep;
    for (int s = 0; s < CA_SLOTS; s++) ca_buffer_release(ctx, r->span[s].mem);
    if (keep) {
        if (r->stage->ready) ca_cl.ReleaseEvent(r->stage->ready);
        r->stage->ready = r->c.last;
        r->c.last = NULL;
    }
    ca_stage_give(r->plan, r->stage, keep);
    ca_chain_release(&r->c);
}

clattn_status ca_plan_run_host(const struct clattn_plan *plan, struct io *io)
{
    struct ca_run run;
    clattn_status st;
    if (!plan->group) CA_TRY(ca_context_alive(plan->ctx));
    CA_TRY(check_tensors(&plan->p, io));
    CA_TRY(check_values(&plan->p, io));
    if (plan->group) return ca_group_run(plan, io);
    st = ca_run_begin(plan, io, &run);
    if (st == CLATTN_OK) st = ca_run_wait(&run);
    ca_run_end(&run, true);
done:
    return st;
}
