/* pattern.c -- sparsity patterns: from the tree that a user describes to the list of nodes that kernels and host walk (cl/pattern.h),
 * with one REQUIRE per rule of clattn.h, and its text for OpenCL,
 *
 *     #define PATTERN 1
 *     #define NODE_0 1,0,64,0,0,...
 *     #define NODE_1 5,0,2,0,0,...
 *     #define PATTERN_TREE(LEAF, UNITE, MEET) UNITE(LEAF(0), LEAF(1))
 */
#include "problem/problem.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/sized.h"
#include "base/text.h"

_Static_assert((int)CA_UNION == (int)CLATTN_UNION && (int)CA_LSH == (int)CLATTN_LSH && (int)CA_DOCUMENT == (int)CLATTN_DOCUMENT,
               "the kernels' numbers are the header's");

#define CA_MAX_DRAWN 4096
#define CA_FARTHEST 0x3fffffff /* no distance between a query and a key is larger */

void ca_pattern_defaults(clattn_pattern *t, clattn_pattern_type type)
{
    *t = (clattn_pattern){ .size = sizeof *t, .type = type, .dilation = { 1, 1, 1 }, .row_heads = 1, .list_batch = 1, .list_heads = 1, .max = -1 };
}

/* What is filled: the problem, its new node, which is number K, and what the user said of it. */
struct leaf { struct problem *p; struct pattern *to; ca_node *n; const clattn_pattern *t; const char *name; const clattn_attention *a; };

/* A number that the kernels see, within LEAST ... MOST; what is farther than all keys is as far as can be. */
static clattn_status number(const struct leaf *l, int place, const char *field, int64_t value, int64_t least, int64_t most)
{
    CA_REQUIRE(value >= least && value <= most, CLATTN_E_ARGUMENT, "pattern %s: %s %" PRId64 " is not in %" PRId64 " ... %" PRId64, l->name, field,
               value, least, most);
    l->n->n[place] = (ca_int)ca_min(value, CA_FARTHEST);
    return CLATTN_OK;
}

/* Room for so many words of the pattern's buffer; where it begins goes to AT. */
static clattn_status reserve(const struct leaf *l, int64_t words, ca_int *at)
{
    int64_t end;
    CA_REQUIRE(words >= 0 && ca_add64(l->to->words, words, &end) && end <= INT32_MAX / 2, CLATTN_E_TOO_LARGE,
               "pattern %s needs %" PRId64 " words beside %" PRId64 ", more than %d", l->name, words, l->to->words, INT32_MAX / 2);
    *at = (ca_int)l->to->words;
    l->to->words = end;
    return CLATTN_OK;
}

/* The product of three sizes as words, or too many. */
static int64_t words3(int64_t a, int64_t b, int64_t c)
{
    int64_t n;
    return ca_mul64(a, b, &n) && ca_mul64(n, c, &n) ? n : INT32_MAX;
}

static clattn_status fill_strided(const struct leaf *l) { return number(l, 0, "stride", l->t->stride, 1, INT64_MAX); }

static clattn_status fill_fixed(const struct leaf *l)
{
    clattn_status st = number(l, 0, "stride", l->t->stride, 1, INT64_MAX);
    return st == CLATTN_OK ? number(l, 1, "summary", l->t->summary, 0, l->t->stride) : st;
}

static clattn_status fill_dilated(const struct leaf *l)
{
    int64_t reach;
    clattn_status st;
    CA_TRY(number(l, 1, "dilation[0]", l->t->dilation[0], 1, INT64_MAX));
    CA_TRY(number(l, 0, "width", l->t->width, 0, INT64_MAX));
    l->n->n[0] = (ca_int)(ca_mul64(l->t->width, l->t->dilation[0], &reach) ? ca_min(reach, CA_FARTHEST) : CA_FARTHEST);
done:
    return st;
}

static clattn_status fill_random(const struct leaf *l)
{
    clattn_status st = number(l, 0, "count", l->t->count, 0, CA_MAX_DRAWN);
    l->n->n[1] = l->a->causal != 0;
    return st == CLATTN_OK ? reserve(l, words3(l->p->B, l->p->Nq, l->t->count), &l->n->at) : st;
}

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static clattn_status fill_tokens(const struct leaf *l)
{
    struct pattern *to = l->to;
    int32_t *t = to->tokens + to->num_tokens;
    size_t n = 0;
    clattn_status st;
    CA_REQUIRE(l->t->num_tokens <= (size_t)(CLATTN_MAX_TOKENS - to->num_tokens), CLATTN_E_TOO_LARGE,
               "pattern %s: %zu tokens beside %d are more than %d", l->name, l->t->num_tokens, to->num_tokens, CLATTN_MAX_TOKENS);
    CA_REQUIRE(l->t->tokens || !l->t->num_tokens, CLATTN_E_ARGUMENT, "pattern %s: tokens is NULL, num_tokens %zu", l->name, l->t->num_tokens);
    for (size_t i = 0; i < l->t->num_tokens; i++) {
        int64_t token = l->t->tokens[i];
        CA_REQUIRE(token >= 0 && token < CA_MAX_LEN, CLATTN_E_ARGUMENT, "pattern %s: tokens[%zu] is %" PRId64 ", not in 0 ... %d", l->name, i,
                   token, CA_MAX_LEN - 1);
        t[i] = (int32_t)token;
    }
    qsort(t, l->t->num_tokens, sizeof *t, ascending);
    for (size_t i = 0; i < l->t->num_tokens; i++)
        if (n == 0 || t[i] != t[n - 1]) t[n++] = t[i];
    memset(t + n, 0, (l->t->num_tokens - n) * sizeof *t); /* equal lists make equal problems */
    to->num_tokens += (int32_t)n;
    l->n->n[0] = (ca_int)n;
    if (l->t->type == CLATTN_LONGFORMER) CA_TRY(number(l, 1, "radius", l->t->radius, 0, INT64_MAX));
    CA_TRY(reserve(l, (int64_t)n, &l->n->at));
done:
    return st;
}

static clattn_status fill_bigbird(const struct leaf *l)
{
    clattn_status st;
    CA_TRY(number(l, 0, "block", l->t->block, 1, INT64_MAX));
    CA_TRY(number(l, 1, "random", l->t->random, 0, CA_MAX_DRAWN));
    CA_TRY(number(l, 2, "globals", l->t->globals, 0, INT64_MAX));
    l->n->n[3] = (ca_int)ca_ceil_div(l->p->Nk, l->n->n[0]);
    CA_TRY(reserve(l, words3(1, l->n->n[3], l->t->random), &l->n->at));
done:
    return st;
}

static clattn_status fill_sink_window(const struct leaf *l)
{
    clattn_status st = number(l, 0, "window", l->t->window, 0, INT64_MAX);
    return st == CLATTN_OK ? number(l, 1, "sinks", l->t->sinks, 0, INT64_MAX) : st;
}

static clattn_status fill_prefix(const struct leaf *l)
{
    l->to->prefix = true;
    return reserve(l, l->p->B, &l->n->at);
}

static clattn_status fill_chunked(const struct leaf *l) { return number(l, 0, "chunk", l->t->chunk, 1, INT64_MAX); }

static clattn_status fill_document(const struct leaf *l)
{
    l->to->documents = true;
    return reserve(l, words3(1, l->p->B, l->p->Nk), &l->n->at);
}

static clattn_status check_grid(const struct leaf *l, int axes)
{
    int64_t area = 1;
    for (int i = 0; i < axes; i++)
        CA_REQUIRE(l->t->grid[i] >= 1 && ca_mul64(area, l->t->grid[i], &area), CLATTN_E_ARGUMENT, "pattern %s: grid[%d] is %" PRId64, l->name, i,
                   l->t->grid[i]);
    CA_REQUIRE(area == l->p->Nk, CLATTN_E_ARGUMENT, "pattern %s: the grid has %" PRId64 " places, kv_len is %" PRId64, l->name, area, l->p->Nk);
    return CLATTN_OK;
}

static clattn_status fill_neighborhood(const struct leaf *l)
{
    const clattn_pattern *t = l->t;
    clattn_status st;
    CA_REQUIRE(t->axes >= 1 && t->axes <= 3, CLATTN_E_ARGUMENT, "pattern %s: axes is %d, not in 1 ... 3", l->name, t->axes);
    CA_TRY(check_grid(l, t->axes));
    for (int i = 0; i < 3; i++) {
        int from = i - (3 - t->axes); /* unused axes in front have one place */
        int64_t side = from < 0 ? 1 : t->grid[from], kernel = from < 0 ? 1 : t->kernel[from], dilation = from < 0 ? 1 : t->dilation[from];
        CA_REQUIRE(kernel >= 1 && kernel % 2 == 1, CLATTN_E_ARGUMENT, "pattern %s: kernel[%d] is %" PRId64 ", must be odd", l->name, from, kernel);
        CA_REQUIRE(dilation >= 1 && kernel <= side && dilation <= side && kernel * dilation <= side, CLATTN_E_ARGUMENT,
                   "pattern %s: kernel[%d] %" PRId64 " with dilation %" PRId64 " does not fit grid[%d] %" PRId64, l->name, from, kernel, dilation,
                   from, side);
        l->n->n[i] = (ca_int)side;
        l->n->n[3 + i] = (ca_int)kernel;
        l->n->n[6 + i] = (ca_int)dilation;
        l->n->n[9 + i] = from >= 0 && t->causal[from] != 0;
    }
done:
    return st;
}

static clattn_status fill_window2d(const struct leaf *l)
{
    const clattn_pattern *t = l->t;
    clattn_status st;
    CA_REQUIRE(t->axes == 2, CLATTN_E_ARGUMENT, "pattern %s: axes is %d, must be 2", l->name, t->axes);
    CA_TRY(check_grid(l, 2));
    for (int i = 0; i < 2; i++) {
        CA_REQUIRE(t->kernel[i] >= 1 && t->grid[i] % t->kernel[i] == 0, CLATTN_E_ARGUMENT,
                   "pattern %s: kernel[%d] %" PRId64 " does not divide grid[%d] %" PRId64, l->name, i, t->kernel[i], i, t->grid[i]);
        l->n->n[i] = (ca_int)t->grid[i];
        l->n->n[2 + i] = (ca_int)t->kernel[i];
        l->n->n[4 + i] = (ca_int)((t->shift[i] % t->grid[i] + t->grid[i]) % t->grid[i]);
    }
done:
    return st;
}

static clattn_status fill_block_sparse(const struct leaf *l)
{
    const int64_t *n = l->t->layout;
    int64_t bytes;
    clattn_status st;
    CA_TRY(number(l, 0, "block", l->t->block, 1, INT64_MAX));
    CA_REQUIRE(n[0] == 1 || n[0] == l->p->Hq, CLATTN_E_ARGUMENT, "pattern %s: layout[0] is %" PRId64 ", neither 1 nor q_heads %" PRId64, l->name,
               n[0], l->p->Hq);
    CA_REQUIRE(n[1] >= 1 && n[2] >= 1, CLATTN_E_ARGUMENT, "pattern %s: layout [%" PRId64 "][%" PRId64 "][%" PRId64 "] has an axis below 1", l->name,
               n[0], n[1], n[2]);
    bytes = words3(n[0], n[1], n[2]);
    CA_TRY(reserve(l, ca_ceil_div(bytes, 4), &l->n->at));
    for (int i = 0; i < 3; i++) l->n->n[1 + i] = (ca_int)n[i];
    memcpy(l->to->layout, n, sizeof l->to->layout);
done:
    return st;
}

static clattn_status fill_csr(const struct leaf *l)
{
    const clattn_pattern *t = l->t;
    clattn_status st;
    CA_REQUIRE(t->row_heads == 1 || t->row_heads == l->p->Hq, CLATTN_E_ARGUMENT, "pattern %s: row_heads is %" PRId64
               ", neither 1 nor q_heads %" PRId64, l->name, t->row_heads, l->p->Hq);
    l->n->n[0] = (ca_int)t->row_heads;
    CA_TRY(number(l, 1, "edges", t->edges, 0, CA_MAX_LEN));
    CA_TRY(reserve(l, words3(1, t->row_heads, l->p->Nq + 1), &l->n->at));
    CA_TRY(reserve(l, t->edges, &l->n->n[2]));
    l->to->row_heads = t->row_heads;
    l->to->edges = t->edges;
    CA_REQUIRE(t->edge_heads == 0 || t->edge_heads == 1 || (t->edge_heads == l->p->Hq && t->row_heads == 1), CLATTN_E_ARGUMENT, "pattern %s: edge_heads is %"
               PRId64 ", neither 0 nor 1 nor, with row_heads 1, q_heads %" PRId64, l->name, t->edge_heads, l->p->Hq);
    l->to->edge_heads = t->edge_heads;
    l->n->n[4] = (ca_int)t->edge_heads;
    if (t->edge_heads) CA_TRY(reserve(l, words3(1, t->edge_heads, t->edges), &l->n->n[3]));
done:
    return st;
}

static clattn_status fill_lsh(const struct leaf *l)
{
    const clattn_pattern *t = l->t;
    clattn_status st;
    CA_TRY(number(l, 0, "rounds", t->rounds, 1, 1024));
    CA_TRY(number(l, 3, "buckets", t->buckets, 2, 1 << 20));
    CA_REQUIRE(t->buckets % 2 == 0, CLATTN_E_ARGUMENT, "pattern %s: buckets %" PRId64 " is odd", l->name, t->buckets);
    CA_REQUIRE(!ca_problem_special(l->p), CLATTN_E_UNSUPPORTED, "pattern %s of quantised or turned keys, or of another score than q.k, is not supported",
               l->name);
    CA_TRY(reserve(l, words3(t->rounds, l->p->Dk, t->buckets / 2), &l->n->n[2]));
    CA_TRY(reserve(l, words3(l->p->B * l->p->Hq, l->p->Nq, t->rounds), &l->n->at));
    CA_TRY(reserve(l, words3(l->p->B * l->p->Hkv, l->p->Nk, t->rounds), &l->n->n[1]));
    CA_TRY(reserve(l, words3(l->p->B * l->p->Hkv, l->p->Nk, t->rounds), &l->n->n[4])); /* the keys by their buckets */
    CA_TRY(reserve(l, words3(l->p->B * l->p->Hkv, t->buckets + 1, t->rounds), &l->n->n[5])); /* and where each begins */
    l->to->rounds = t->rounds;
    l->to->buckets = t->buckets;
done:
    return st;
}

static clattn_status fill_block_top_k(const struct leaf *l)
{
    const struct problem *p = l->p;
    int64_t blocks;
    clattn_status st;
    CA_TRY(number(l, 0, "block", l->t->block, 1, INT64_MAX));
    CA_TRY(number(l, 3, "count", l->t->count, 0, INT64_MAX));
    CA_REQUIRE(p->score == CLATTN_DOT, CLATTN_E_UNSUPPORTED, "pattern %s with another score than q.k is not supported", l->name);
    blocks = ca_ceil_div(p->Nk, l->n->n[0]);
    l->n->n[1] = (ca_int)ca_ceil_div(blocks, 32);
    l->n->n[4] = (l->t->own != 0) + 2 * (l->a->causal != 0);
    CA_TRY(reserve(l, words3(p->B * p->Hkv, blocks, p->D), &l->n->n[2])); /* the means */
    CA_TRY(reserve(l, words3(p->B * p->Hq, p->Nq, l->n->n[1]), &l->n->at));
    /* The scores of all blocks, of as many rows as make 8 MiB; of whole packs, as the host takes them. */
    l->n->n[6] = (ca_int)ca_round_up(ca_min(p->B * p->Hq * p->Nq, ((int64_t)2 << 20) / ca_max(blocks, 1) + 1), 64);
    CA_TRY(reserve(l, words3(1, l->n->n[6], blocks), &l->n->n[5]));
done:
    return st;
}

static clattn_status fill_adaptive_span(const struct leaf *l)
{
    CA_REQUIRE(l->t->ramp > 0 && isnormal((float)l->t->ramp), CLATTN_E_ARGUMENT, "pattern %s: ramp %g is not a number above 0", l->name, l->t->ramp);
    l->to->ramp = (float)l->t->ramp;
    return reserve(l, 1 + l->p->Hq, &l->n->at);
}

static clattn_status fill_top_k(const struct leaf *l)
{
    clattn_status st = number(l, 0, "k", l->t->k, 0, l->p->Nk);
    l->to->most = l->n->n[0];
    return st;
}

static clattn_status fill_top_p(const struct leaf *l)
{
    CA_REQUIRE(l->t->p >= 0 && l->t->p <= 1, CLATTN_E_ARGUMENT, "pattern %s: p %g is not in 0 ... 1", l->name, l->t->p);
    CA_REQUIRE(l->t->max >= -1, CLATTN_E_ARGUMENT, "pattern %s: max %" PRId64 " is less than -1", l->name, l->t->max);
    l->to->share = (float)l->t->p;
    l->to->most = (ca_int)ca_min(l->t->max, CA_FARTHEST);
    return CLATTN_OK;
}

/* One key and one value more for each block, which no bias, mask or function knows. */
static clattn_status fill_hierarchical(const struct leaf *l)
{
    const struct problem *p = l->p;
    int64_t blocks;
    clattn_status st;
    CA_TRY(number(l, 0, "block", l->t->block, 1, INT64_MAX));
    CA_REQUIRE(p->score == CLATTN_DOT && !p->has_alibi && !p->bias.on && !p->mask.on && !p->mods[0] && !p->score_callback && !p->mask_callback &&
               p->dropout == 0 && p->weights <= CLATTN_WEIGHTS_CAPPED, CLATTN_E_UNSUPPORTED, "pattern %s with another score than q.k, ALiBi, a bias or a "
               "mask, functions of the user, dropout or weights after softcap is not supported: a block's mean is no key of the tensor", l->name);
    CA_REQUIRE(l->a->window_left == -1 && l->a->window_right == -1, CLATTN_E_UNSUPPORTED, "pattern %s with a window, %" PRId64 " to the left and %" PRId64
               " to the right, is not supported: a block's mean has no place in it", l->name, l->a->window_left, l->a->window_right);
    blocks = ca_ceil_div(p->Nk, l->n->n[0]);
    l->n->n[1] = (ca_int)blocks;
    l->n->n[3] = l->a->causal != 0;
    CA_TRY(reserve(l, words3(p->B * p->Hkv, blocks, p->D), &l->n->n[2])); /* the means of the keys, and of the values */
    CA_TRY(reserve(l, words3(p->B * p->Hkv, blocks, p->Dv), &l->n->at));
done:
    return st;
}

static clattn_status fill_block_mask(const struct leaf *l)
{
    const clattn_pattern *t = l->t;
    const struct problem *p = l->p;
    int64_t rows;
    clattn_status st;
    CA_TRY(number(l, 6, "block_size[0]", t->block_size[0], 1, INT64_MAX));
    CA_TRY(number(l, 0, "block_size[1]", t->block_size[1], 1, INT64_MAX));
    CA_REQUIRE(t->list_batch == 1 || t->list_batch == p->B, CLATTN_E_ARGUMENT, "pattern %s: list_batch is %" PRId64 ", neither 1 nor batch %" PRId64,
               l->name, t->list_batch, p->B);
    CA_REQUIRE(t->list_heads == 1 || t->list_heads == p->Hq, CLATTN_E_ARGUMENT, "pattern %s: list_heads is %" PRId64 ", neither 1 nor q_heads %" PRId64,
               l->name, t->list_heads, p->Hq);
    CA_REQUIRE(!p->tile_class && !p->tile_callback, CLATTN_E_UNSUPPORTED, "pattern %s with tile_class is not supported: the lists say what it would",
               l->name);
    CA_TRY(number(l, 3, "max_blocks", t->max_blocks, 0, CA_MAX_LEN));
    CA_TRY(number(l, 4, "max_full_blocks", t->max_full_blocks, 0, CA_MAX_LEN));
    l->n->n[1] = (ca_int)ca_ceil_div(p->Nk, l->n->n[0]);
    l->n->n[5] = (ca_int)ca_ceil_div(p->Nq, l->n->n[6]);
    l->n->n[7] = (ca_int)t->list_heads;
    l->n->n[8] = (ca_int)t->list_batch;
    rows = words3(t->list_batch, t->list_heads, l->n->n[5]);
    CA_TRY(reserve(l, ca_ceil_div(words3(1, rows, l->n->n[1]), 4), &l->n->at));
    CA_TRY(reserve(l, words3(1, rows, 1 + t->max_blocks), &l->n->n[2])); /* where prepare.c finds them */
    if (t->max_full_blocks) CA_TRY(reserve(l, words3(1, rows, 1 + t->max_full_blocks), &l->n->n[2]));
    l->n->n[2] = (ca_int)rows;
    for (int i = 0; i < 3; i++) l->to->lists[i] = l->n->n[(const int[]){ 8, 7, 5 }[i]];
    l->to->listed = t->max_blocks;
    l->to->full = t->max_full_blocks;
done:
    return st;
}

static const struct type { const char *name; clattn_status (*fill)(const struct leaf *l); enum { MANY, ONCE, ALONE } times; } types[] = {
    [CLATTN_STRIDED] = { "strided", fill_strided, MANY }, [CLATTN_FIXED] = { "fixed", fill_fixed, MANY },
    [CLATTN_DILATED] = { "dilated", fill_dilated, MANY }, [CLATTN_RANDOM] = { "random", fill_random, MANY },
    [CLATTN_GLOBAL] = { "global", fill_tokens, MANY }, [CLATTN_BIGBIRD] = { "bigbird", fill_bigbird, MANY },
    [CLATTN_LONGFORMER] = { "longformer", fill_tokens, MANY }, [CLATTN_SINK_WINDOW] = { "sink_window", fill_sink_window, MANY },
    [CLATTN_PREFIX] = { "prefix", fill_prefix, ONCE }, [CLATTN_CHUNKED] = { "chunked", fill_chunked, MANY },
    [CLATTN_DOCUMENT] = { "document", fill_document, ONCE }, [CLATTN_NEIGHBORHOOD] = { "neighborhood", fill_neighborhood, MANY },
    [CLATTN_WINDOW2D] = { "window2d", fill_window2d, MANY }, [CLATTN_BLOCK_SPARSE] = { "block_sparse", fill_block_sparse, ONCE },
    [CLATTN_CSR] = { "csr", fill_csr, ONCE }, [CLATTN_LSH] = { "lsh", fill_lsh, ONCE }, [CLATTN_TOP_K] = { "top_k", fill_top_k, ALONE },
    [CLATTN_BLOCK_TOP_K] = { "block_top_k", fill_block_top_k, ONCE }, [CLATTN_TOP_P] = { "top_p", fill_top_p, ALONE },
    [CLATTN_ADAPTIVE_SPAN] = { "adaptive_span", fill_adaptive_span, ALONE }, [CLATTN_HIERARCHICAL] = { "hierarchical", fill_hierarchical, ALONE },
    [CLATTN_BLOCK_MASK] = { "block_mask", fill_block_mask, ALONE },
    [CLATTN_UNION] = { "union", NULL, MANY }, [CLATTN_INTERSECT] = { "intersect", NULL, MANY },
};
#define NUM_TYPES ((int)(sizeof types / sizeof types[0]))

const char *ca_pattern_name(int type) { return types[type].name; }

/* Adds T, after its children, to the attention A; ALONE: nothing is above it.  EXPRESSION gets its macro. */
static clattn_status add(struct problem *p, const clattn_pattern *t, const clattn_attention *a, bool alone, int depth, struct ca_text *expression)
{
    struct pattern *to = &p->pattern;
    clattn_status st = CLATTN_OK;
    CA_REQUIRE(t, CLATTN_E_ARGUMENT, "pattern: one of its parts is NULL");
    CA_TRY(ca_check_size(t, t->size, sizeof *t, "clattn_pattern"));
    CA_REQUIRE((int)t->type >= 1 && (int)t->type < NUM_TYPES, CLATTN_E_ARGUMENT, "pattern: type %d is not a clattn_pattern_type", (int)t->type);
    const struct type *type = &types[t->type];
    CA_REQUIRE(alone || type->times != ALONE, CLATTN_E_UNSUPPORTED, "pattern %s within a union or an intersection is not supported", type->name);
    CA_REQUIRE(to->num_nodes < CA_MAX_NODES && depth < CA_MAX_NODES, CLATTN_E_TOO_LARGE, "pattern: more than %d in one", CA_MAX_NODES);
    if (type->fill) {
        int k = to->num_nodes++;
        for (int i = 0; i < k; i++) /* their tensors have one name each */
            CA_REQUIRE(to->node[i].type != (ca_int)t->type || type->times == MANY, CLATTN_E_UNSUPPORTED,
                       "pattern: %s twice is not supported", type->name);
        to->node[k].type = (ca_int)t->type;
        to->seed[k] = t->type == CLATTN_RANDOM || t->type == CLATTN_BIGBIRD ? t->seed : 0;
        CA_TRY(type->fill(&(struct leaf){ p, to, &to->node[k], t, type->name, a }));
        ca_text_put(expression, "LEAF(%d)", k);
        goto done;
    }
    CA_REQUIRE(t->num_of >= 1 && t->of, CLATTN_E_ARGUMENT, "pattern %s: of is %s, num_of %zu", type->name, t->of ? "given" : "NULL", t->num_of);
    CA_REQUIRE(t->num_of <= CA_MAX_NODES, CLATTN_E_TOO_LARGE, "pattern %s: num_of %zu exceeds %d", type->name, t->num_of, CA_MAX_NODES);
    for (size_t i = 0; i + 1 < t->num_of; i++) ca_text_put(expression, "%s(", t->type == CLATTN_UNION ? "UNITE" : "MEET");
    for (size_t i = 0; i < t->num_of; i++) {
        if (i) ca_text_put(expression, ", ");
        CA_TRY(add(p, t->of[i], a, false, depth + 1, expression));
        if (i) ca_text_put(expression, ")");
    }
    CA_REQUIRE(to->num_nodes < CA_MAX_NODES, CLATTN_E_TOO_LARGE, "pattern: more than %d in one", CA_MAX_NODES);
    to->node[to->num_nodes++] = (ca_node){ .type = (ca_int)t->type, .kids = (ca_int)t->num_of };
done:
    return st;
}

/* One leaf, and plain attention but for it. */
static bool is_plain(const struct problem *p)
{
    return p->pattern.num_nodes == 1 && !ca_problem_special(p) && !p->has_alibi && !p->bias.on && !p->mask.on && !p->score_mod && !p->score_callback &&
           !p->mask_mod && !p->mask_callback && p->dropout <= 0;
}

/* Passes of cl/order.h, 0: it is not for this problem.  What is not plain attention counts on rows being neighbours. */
static int passes_of(const struct problem *p)
{
    const ca_node *n = p->pattern.node;
    if (!is_plain(p) || p->ragged) return 0;
    switch (n->type) { /* classes of a few queries would leave tiles empty */
    case CA_STRIDED: return n->n[0] > 1 && n->n[0] <= p->Nq / 8 ? 2 : 0;
    case CA_DILATED: return n->n[1] > 1 && n->n[1] <= p->Nq / 8;
    case CA_TOKENS: case CA_LONGFORMER: return n->n[0] > 0;
    case CA_NEIGHBORHOOD: case CA_WINDOW2D: return p->Nq == p->Nk && p->offset == 0 && !p->has_qoff && !p->lens;
    default: return 0;
    }
}

clattn_status ca_problem_pattern(struct problem *p, const clattn_attention *a)
{
    char tree[1024] = "";
    struct ca_text expression = { tree, sizeof tree, 0 }, t = { p->mods, sizeof p->mods, strlen(p->mods) };
    clattn_status st;
    p->pattern.most = -1;
    p->pattern.share = -1;
    if (!a->pattern) return CLATTN_OK;
    CA_TRY(add(p, a->pattern, a, true, 0, &expression));
    ca_text_put(&t, "\n#define PATTERN 1\n#define PATTERN_TREE(LEAF, UNITE, MEET) %s\n", tree);
    if (p->pattern.num_nodes == 1) ca_text_put(&t, "#define SOLE %d\n", p->pattern.node->type);
    if (p->pattern.most >= 0 || p->pattern.share >= 0) {
        locale_t before = ca_enter_c_locale();
        ca_text_put(&t, "#define TAKES 1\n#define TAKE_MOST %d\n#define TAKE_SHARE %.9ef\n", p->pattern.most, p->pattern.share);
        uselocale(before);
    }
    const ca_node *first = p->pattern.node;
    if (first->type == CA_HIERARCHICAL)
        ca_text_put(&t, "#define MEAN_NUMBERS %d,%d,%d,%d,%d\n", first->n[0], first->n[1], first->n[3], first->n[2], first->at);
    for (int k = 0; k < p->pattern.num_nodes; k++) {
        const ca_node *n = &p->pattern.node[k];
        if (n->type == CA_CSR && p->pattern.edge_heads) ca_text_put(&t, "#define EDGES 1\n#define EDGE_NUMBERS %d,%d,%d,%d,%d,%d\n", n->at, n->n[0], n->n[1], n->n[2], n->n[3],
                                                                    n->n[4]);
        ca_text_put(&t, "#define NODE_%d %d,%d", k, n->type, n->at);
        for (int i = 0; i < CA_NODE_NUMBERS; i++) ca_text_put(&t, ",%d", n->n[i]);
        ca_text_put(&t, "\n");
    }
    CA_REQUIRE(t.length < t.size && expression.length < expression.size, CLATTN_E_TOO_LARGE, "the pattern makes a text of %zu characters, at most %zu fit",
               t.length, t.size - 1);
done:
    return st;
}

void ca_problem_order(struct problem *p)
{
    struct ca_text t = { p->mods, sizeof p->mods, strlen(p->mods) };
    const size_t before = t.length;
    const ca_node *n = p->pattern.node;
    p->pattern.grouped = is_plain(p) && (n->type == CA_LSH || n->type == CA_BLOCK_TOP_K);
    p->pattern.passes = passes_of(p);
    if (p->pattern.grouped) ca_text_put(&t, "#define ORDERED 1\n#define GROUPED %d\n", n->type == CA_LSH ? n->n[0] : 1);
    if (p->pattern.passes) ca_text_put(&t, "#define ORDERED 1\n#define PASSES %d\n", p->pattern.passes > 1 ? p->pattern.passes : 0);
    if (t.length < t.size) return;
    p->pattern.passes = 0; /* no room for it: then in the tensors' order */
    p->pattern.grouped = false;
    p->mods[before] = 0;
}
