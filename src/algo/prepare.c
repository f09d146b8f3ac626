/* prepare.c -- a pattern's words (cl/pattern.h).  Those that are the same for all executions, tokens and what is drawn, the plan makes, on the host; an
 * execution copies them and the user's tensors, and computes what depends on the others (cl/prepare.h).
 *
 *     tokens, draw ─► plan's words ──┐
 *     user's tensors ────────────────┼─► copies ─► words in the workspace ─► bucket, mean, choose ─► the algorithm
 *     q, k ──────────────────────────┘
 *
 * Where there are no others, the plan's words are the algorithm's. */
#include "algo/algo.h"
#include <stdlib.h>
#include <string.h>
#include "host/host.h"
#include "plan/staging.h"

/* A stretch of the words that is copied: from a tensor, or (slot CA_SLOTS) from the plan's own constants. */
struct piece { enum ca_slot slot; ca_int at; size_t from, bytes; };
#define MAX_PIECES (4 * CA_MAX_NODES)

/* Words of a leaf, from its first on, that no execution changes: what is drawn among the keys that there are depends on how many. */
static int64_t fixed(const struct problem *p, const ca_node *n)
{
    switch (n->type) {
    case CA_TOKENS: case CA_LONGFORMER: return n->n[0];
    case CA_ADAPTIVE_SPAN: return 1;
    case CA_BIGBIRD: return (int64_t)n->n[1] * n->n[3];
    case CA_RANDOM: return p->ragged || p->lens || p->has_qoff ? 0 : p->B * p->Nq * n->n[0];
    default: return 0;
    }
}

static int64_t all_fixed(const struct problem *p)
{
    int64_t sum = 0;
    for (int k = 0; k < p->pattern.num_nodes; k++) sum += fixed(p, &p->pattern.node[k]);
    return sum;
}

/* Then each leaf has its place among the plan's words as among all. */
static bool is_all_fixed(const struct problem *p) { return all_fixed(p) == p->pattern.words; }

static int pieces(const struct problem *p, struct piece piece[MAX_PIECES])
{
    int count = 0;
    size_t from = 0;
    for (int k = 0; k < p->pattern.num_nodes; k++) {
        const ca_node *n = &p->pattern.node[k];
        const int64_t rows = n->n[2], lists = n->at + ca_ceil_div(rows * n->n[1], 4), full = lists + rows * (1 + (int64_t)n->n[3]); /* of CA_BLOCK_MASK */
        const struct { int type; enum ca_slot slot; int64_t at; } tensors[] = {
            { CA_PREFIX, CA_PREFIX_LENS, n->at }, { CA_DOCUMENT, CA_DOCS, n->at }, { CA_BLOCK_SPARSE, CA_LAYOUT, n->at },
            { CA_CSR, CA_ROWS, n->at }, { CA_CSR, CA_COLUMNS, n->n[2] }, { CA_CSR, CA_EDGES, n->n[3] },
            { CA_LSH, CA_ROTATIONS, n->n[2] }, { CA_ADAPTIVE_SPAN, CA_SPANS, n->at + 1 },
            { CA_BLOCK_MASK, CA_KV_BLOCKS, lists }, { CA_BLOCK_MASK, CA_KV_INDICES, lists + rows },
            { CA_BLOCK_MASK, CA_FULL_BLOCKS, full }, { CA_BLOCK_MASK, CA_FULL_INDICES, full + rows },
        };
        for (size_t t = 0; t < sizeof tensors / sizeof tensors[0]; t++)
            if (n->type == tensors[t].type)
                piece[count++] = (struct piece){ tensors[t].slot, (ca_int)tensors[t].at, 0, ca_slot_bytes(p, tensors[t].slot) };
        size_t own = (size_t)fixed(p, n) * sizeof(int32_t);
        if (own) piece[count++] = (struct piece){ CA_SLOTS, n->at, from, own };
        from += own;
    }
    return count;
}

/* What is computed for leaf K, in this order: WHAT of the host, the kernel, the tensor that it reads, and for how many rows. */
struct work { enum host_prepare what; enum ca_slot from; int64_t rows; double rounds; };
static int works(const struct problem *p, const ca_node *n, struct work w[CA_PATTERN_WORKS])
{
    const int64_t queries = p->Nk ? p->B * p->Hq * p->Nq : 0, blocks = ca_ceil_div(p->Nk, ca_max(n->n[0], 1));
    switch (n->type) {
    case CA_RANDOM:
        w[0] = (struct work){ HOST_DRAW, CA_Q, n->n[0] ? p->B * p->Nq : 0, 24.0 * n->n[0] * n->n[0] };
        return fixed(p, n) == 0;
    case CA_LSH:
        for (int k = 0; k < 2; k++)
            w[k] = (struct work){ k ? HOST_BUCKET_K : HOST_BUCKET_Q, k ? CA_K : CA_Q,
                                  k ? p->B * p->Hkv * p->Nk : queries, (double)n->n[0] * (double)(n->n[3] / 2 + 16) * ((double)p->D + 16) / 4 };
        w[2] = (struct work){ HOST_SORT, CA_K, p->B * p->Hkv * n->n[0], 2.0 * (double)(p->Nk + n->n[3]) };
        return 3;
    case CA_BLOCK_TOP_K:
        w[0] = (struct work){ HOST_MEAN_K, CA_K, p->B * p->Hkv * blocks, (double)n->n[0] * (double)p->D };
        w[1] = (struct work){ HOST_CHOOSE, CA_Q, queries, (double)blocks * ((double)p->D / 4 + 24) }; /* selecting passes over them up to 18 times */
        return 2;
    case CA_HIERARCHICAL:
        for (int k = 0; k < 2; k++)
            w[k] = (struct work){ k ? HOST_MEAN_K : HOST_MEAN_V, k ? CA_K : CA_V, p->B * p->Hkv * blocks,
                                  (double)n->n[0] * (double)(p->D + p->Dv) };
        return 2;
    case CA_BLOCK_MASK: w[0] = (struct work){ HOST_LIST, CA_Q, n->n[2], (double)n->n[1] + n->n[3] + n->n[4] }; return 1;
    default: return 0;
    }
}

/* How many of its rows at a time: there is memory for so many rows' scores. */
static int64_t at_a_time(const struct work *w, const ca_leaf *leaf) { return w->what == HOST_CHOOSE ? leaf->n[6] : w->rows; }

static ca_leaf leaf_of(const struct pattern *t, int k)
{
    ca_leaf l = { .seed = t->seed[k], .type = t->node[k].type, .at = t->node[k].at };
    memcpy(l.n, t->node[k].n, sizeof l.n);
    return l;
}

/* The plan's words, leaf after leaf, and on a device a buffer of them. */
static clattn_status make_fixed(struct clattn_plan *plan)
{
    const struct problem *p = &plan->p;
    const struct host_kernels *k = ca_host_isa()->type[p->dtype];
    const int threads = ca_host_threads();
    const size_t size = (size_t)all_fixed(p) * sizeof(int32_t);
    const int32_t *tokens = p->pattern.tokens;
    const struct io none = { .workspace = { .mem = NULL } };
    ca_args a;
    ca_optional x;
    if (!size) return CLATTN_OK;
    int32_t *to = plan->words = malloc(size);
    if (!to) return ca_no_memory(size, "the pattern");
    ca_io_args(p, &none, &a);
    ca_optional_host(p, &none, &x);
    for (int node = 0; node < p->pattern.num_nodes; node++) {
        const ca_node *n = &p->pattern.node[node];
        const int64_t words = fixed(p, n), copies = n->type == CA_RANDOM ? p->B : 1; /* the same for every batch row */
        if (!words) continue;
        if (n->type == CA_ADAPTIVE_SPAN) memcpy(to, &p->pattern.ramp, sizeof p->pattern.ramp);
        else if (n->type != CA_BIGBIRD && n->type != CA_RANDOM) {
            memcpy(to, tokens, (size_t)words * sizeof *to);
            tokens += words;
        } else {
            const int64_t rows = n->type == CA_BIGBIRD ? n->n[3] : p->Nq, once = words / copies;
            ca_leaf leaf = leaf_of(&p->pattern, node);
            leaf.at = 0;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
            for (int64_t row = 0; row < rows; row++) k->prepare(&a, &x, &leaf, HOST_DRAW, to, NULL, (int)row, 1);
            for (int64_t b = 1; b < copies; b++) memcpy(to + b * once, to, (size_t)once * sizeof *to);
        }
        to += words;
    }
    if (ca_is_host(&plan->ctx->dev)) return CLATTN_OK;
    return ca_buffer_create(plan->ctx, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, size, plan->words, "the pattern", &plan->constants);
}

void ca_prepare_options(const struct problem *p, const struct device *dev, int what, char *text, size_t size)
{
    int n = ca_common_options(p, dev, text, size);
    snprintf(text + n, size - (size_t)n, " -DVL=%d -DWHAT=%d", dev->vector_width >= 16 ? 16 : dev->vector_width >= 8 ? 8 : 4, what);
}

/* The program of one of them: a plan has few of the kernels, and its first execution should not wait for others. */
static clattn_status build(const struct clattn_plan *plan, enum host_prepare what, struct program **program)
{
    char options[1024];
    ca_prepare_options(&plan->p, &plan->ctx->dev, (int)what, options, sizeof options);
    return ca_program_get_with(plan->ctx, "prepare", plan->p.mods, options, program);
}

clattn_status ca_prepare_build(struct clattn_plan *plan)
{
    const struct problem *p = &plan->p;
    const struct device *dev = &plan->ctx->dev;
    clattn_status st = CLATTN_OK;
    struct work w[CA_PATTERN_WORKS];
    for (int k = 0; k < p->pattern.num_nodes && !ca_is_host(dev); k++)
        for (int e = 0, n = works(p, &p->pattern.node[k], w); e < n; e++) {
            CA_REQUIRE(!(dev->quirks & CA_QUIRK_ROUNDS) || w[e].rounds <= CA_MAX_ROUNDS, CLATTN_E_UNSUPPORTED,
                       "for a row of the pattern a work-item may take %.0f rounds of its loops, the device ends it after %d", w[e].rounds, CA_MAX_ROUNDS);
            if (w[e].rows) CA_TRY(build(plan, w[e].what, &plan->prepare[k][e]));
        }
    CA_TRY(make_fixed(plan));
done:
    return st;
}

size_t ca_prepare_bytes(const struct problem *p) { return is_all_fixed(p) ? 0 : (size_t)p->pattern.words * sizeof(int32_t); }

static void prepare_on_host(const struct clattn_plan *plan, const struct io *io, int32_t *words)
{
    const struct problem *p = &plan->p;
    struct piece piece[MAX_PIECES];
    struct work w[CA_PATTERN_WORKS];
    ca_args a;
    ca_optional x;
    const struct host_kernels *k = ca_host_isa()->type[p->dtype];
    int threads = ca_host_threads();
    for (int i = 0, n = pieces(p, piece); i < n; i++)
        if (piece[i].bytes)
            memcpy(words + piece[i].at, (const char *)(piece[i].slot == CA_SLOTS ? plan->words : io->t[piece[i].slot].host) + piece[i].from, piece[i].bytes);
    ca_io_args(p, io, &a);
    ca_optional_host(p, io, &x);
    for (int node = 0; node < p->pattern.num_nodes; node++) {
        const ca_leaf leaf = leaf_of(&p->pattern, node);
        for (int e = 0, n = works(p, &p->pattern.node[node], w); e < n; e++)
            for (int64_t first = 0, end; first < w[e].rows; first = end) {
                enum { TOGETHER = 16 };
                end = ca_min(first + at_a_time(&w[e], &leaf), w[e].rows);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
                for (int64_t row = first; row < end; row += TOGETHER)
                    k->prepare(&a, &x, &leaf, w[e].what, words, io->t[w[e].from].host, (int)row, (int)ca_min(TOGETHER, end - row));
            }
    }
}

static clattn_status copy(const struct clattn_plan *plan, const struct piece *piece, const struct io *io, struct chain *c)
{
    const struct tensor own = { .mem = plan->constants }, *from = piece->slot == CA_SLOTS ? &own : &io->t[piece->slot], *to = &io->t[CA_PATTERN];
    cl_event e;
    if (!piece->bytes) return CLATTN_OK;
    cl_int code = ca_cl.EnqueueCopyBuffer(c->queue, from->mem, to->mem, from->offset + piece->from, to->offset + (size_t)piece->at * sizeof(int32_t),
                                          piece->bytes, ca_chain_count(c), ca_chain_list(c), &e);
    if (code != CL_SUCCESS) return ca_context_fail(plan->ctx, code, "clEnqueueCopyBuffer", "the pattern");
    ca_chain_advance(c, e);
    return CLATTN_OK;
}

static clattn_status compute(const struct clattn_plan *plan, const struct work *w, struct program *program, const ca_leaf *leaf, const struct io *io,
                             struct chain *c)
{
    const struct tensor *const tensors[] = { &io->t[CA_PATTERN], &io->t[w->from] };
    struct launch_arg args[CA_MAX_ARGS];
    ca_args a;
    clattn_status st = CLATTN_OK;
    ca_io_args(&plan->p, io, &a);
    for (int64_t first = 0, rows; first < w->rows; first += rows) {
        rows = ca_min(at_a_time(w, leaf), w->rows - first);
        a.first_part = (ca_int)first;
        cl_uint n = ca_kernel_args(&plan->p, io, &a, tensors, 2, args);
        args[n++] = (struct launch_arg){ sizeof *leaf, leaf };
        struct launch l = {
            .program = program, .kernel = "attn_prepare", .dims = 1, .local = { 1 }, .global = { (size_t)rows },
            .flops = (double)rows * w->rounds, .args = args, .num_args = n,
        };
        CA_TRY(ca_launch(plan->ctx, &l, c));
    }
done:
    return st;
}

clattn_status ca_prepare(const struct clattn_plan *plan, struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    struct piece piece[MAX_PIECES];
    struct work w[CA_PATTERN_WORKS];
    clattn_status st = CLATTN_OK;
    if (!p->pattern.words) return CLATTN_OK; /* without a key there are weights to fill */
    if (ca_is_host(&plan->ctx->dev)) {
        int32_t *words = is_all_fixed(p) ? plan->words : ca_spare_take(plan->spare_words, ca_prepare_bytes(p));
        if (!words) return ca_no_memory(ca_prepare_bytes(p), "the pattern");
        io->t[CA_PATTERN].host = words;
        if (words != plan->words) prepare_on_host(plan, io, words);
        return CLATTN_OK;
    }
    if (is_all_fixed(p)) {
        io->t[CA_PATTERN] = (struct tensor){ .mem = plan->constants };
        return CLATTN_OK;
    }
    io->t[CA_PATTERN] = (struct tensor){ .mem = io->workspace.mem, .offset = io->workspace.offset + plan->pattern_at };
    for (int i = 0, n = pieces(p, piece); i < n; i++) CA_TRY(copy(plan, &piece[i], io, c));
    for (int node = 0; node < p->pattern.num_nodes; node++) {
        const ca_leaf leaf = leaf_of(&p->pattern, node);
        for (int e = 0, n = works(p, &p->pattern.node[node], w); e < n; e++) CA_TRY(compute(plan, &w[e], plan->prepare[node][e], &leaf, io, c));
    }
done:
    return st;
}
