/* pattern_string.c -- sparsity patterns as text, TYPE:FIELD,FIELD..., with the fields in the order of the table below, which is that of a
 * case's attributes.  Those at the end that have a default may be left out:
 *
 *     strided:64                            fixed:64,8                     neighborhood:64x64,7x7,2x2,0x1     grid, kernel, dilation, causal
 *     global:0+5+9                          longformer:128,0+5             window2d:64x64,8x8,4x4             grid, window, shift
 *     block_sparse:64,0.1,8x32x32           a random layout with this share of blocks, of this shape; by default 0.1, and one for all heads
 *     csr:16,8 csr:1000e,1,8                edges a row or (e) in all, which a benchmark draws, how many heads have lists of their own, and for
 *                                           how many heads the edges have biases, 0 by default
 *     lsh:2,16                              rounds, buckets; by default as many as have 64 keys each
 *     lsh:buckets=16,rounds=2               any but csr and the shape of block_sparse by the names of the fields
 *     block_mask:64x32,0.1,1x8x4x4          queries and keys of a block; random lists with this share of blocks, for 1 batch row and 8 heads, the longest
 *                                           partial and the longest full one; by default 0.1, 1x1, and as long as can be
 *     union(strided:64;global:0)            of patterns; intersect( ) likewise */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/status.h"
#include "base/text.h"
#include "problem/problem.h"

#define OF(kind, name, member, ...) { name, kind, offsetof(clattn_pattern, member), __VA_ARGS__ }
static const struct ca_field none[] = { { NULL, 0, 0, false } };
#define FIELDS(...) ((const struct ca_field[]){ __VA_ARGS__, { NULL, 0, 0, false } })
static const struct ca_field *const rows[] = {
    [CLATTN_STRIDED] = FIELDS(OF(CA_FIELD_WHOLE, "stride", stride, false)),
    [CLATTN_FIXED] = FIELDS(OF(CA_FIELD_WHOLE, "stride", stride, false), OF(CA_FIELD_WHOLE, "summary", summary, false)),
    [CLATTN_DILATED] = FIELDS(OF(CA_FIELD_WHOLE, "width", width, false), OF(CA_FIELD_WHOLE, "dilation", dilation, false)),
    [CLATTN_RANDOM] = FIELDS(OF(CA_FIELD_WHOLE, "count", count, false), OF(CA_FIELD_SEED, "seed", seed, true)),
    [CLATTN_GLOBAL] = FIELDS(OF(CA_FIELD_TOKENS, "tokens", tokens, true)),
    [CLATTN_BIGBIRD] = FIELDS(OF(CA_FIELD_WHOLE, "block", block, false), OF(CA_FIELD_WHOLE, "random", random, false), OF(CA_FIELD_SEED, "seed", seed, true),
                              OF(CA_FIELD_WHOLE, "globals", globals, true)),
    [CLATTN_LONGFORMER] = FIELDS(OF(CA_FIELD_WHOLE, "radius", radius, false), OF(CA_FIELD_TOKENS, "tokens", tokens, true)),
    [CLATTN_SINK_WINDOW] = FIELDS(OF(CA_FIELD_WHOLE, "window", window, false), OF(CA_FIELD_WHOLE, "sinks", sinks, false)),
    [CLATTN_PREFIX] = none,
    [CLATTN_CHUNKED] = FIELDS(OF(CA_FIELD_WHOLE, "chunk", chunk, false)),
    [CLATTN_DOCUMENT] = none,
    [CLATTN_NEIGHBORHOOD] = FIELDS(OF(CA_FIELD_SIZES, "grid", grid, false), OF(CA_FIELD_SIZES, "kernel", kernel, false), OF(CA_FIELD_SIZES, "dilation", dilation, true),
                                   OF(CA_FIELD_FLAGS, "causal", causal, true)),
    [CLATTN_WINDOW2D] = FIELDS(OF(CA_FIELD_SIZES, "grid", grid, false), OF(CA_FIELD_SIZES, "window", kernel, false), OF(CA_FIELD_SIZES, "shift", shift, true)),
    [CLATTN_BLOCK_SPARSE] = FIELDS(OF(CA_FIELD_WHOLE, "block", block, false)),
    [CLATTN_CSR] = none,
    [CLATTN_LSH] = FIELDS(OF(CA_FIELD_WHOLE, "rounds", rounds, false), OF(CA_FIELD_WHOLE, "buckets", buckets, true)),
    [CLATTN_TOP_K] = FIELDS(OF(CA_FIELD_WHOLE, "k", k, false)),
    [CLATTN_BLOCK_TOP_K] = FIELDS(OF(CA_FIELD_WHOLE, "block", block, false), OF(CA_FIELD_WHOLE, "count", count, false), OF(CA_FIELD_FLAG, "own", own, true)),
    [CLATTN_TOP_P] = FIELDS(OF(CA_FIELD_REAL, "p", p, false), OF(CA_FIELD_WHOLE, "max", max, true)),
    [CLATTN_ADAPTIVE_SPAN] = FIELDS(OF(CA_FIELD_REAL, "ramp", ramp, false)),
    [CLATTN_HIERARCHICAL] = FIELDS(OF(CA_FIELD_WHOLE, "block", block, false)),
    [CLATTN_BLOCK_MASK] = FIELDS(OF(CA_FIELD_SIZES, "block_size", block_size, false)),
    [CLATTN_UNION] = none, [CLATTN_INTERSECT] = none,
};
#define NUM_ROWS ((int)(sizeof rows / sizeof rows[0]))

const struct ca_field *ca_pattern_fields(clattn_pattern_type type) { return rows[type]; }

clattn_pattern_type ca_pattern_type(const char *name, size_t length)
{
    for (int type = 1; type < NUM_ROWS; type++)
        if (strlen(ca_pattern_name(type)) == length && memcmp(ca_pattern_name(type), name, length) == 0) return (clattn_pattern_type)type;
    return CLATTN_NO_PATTERN;
}

clattn_status ca_tree_add(struct ca_tree *t, const char *name, size_t length, clattn_pattern **node)
{
    clattn_pattern_type type = ca_pattern_type(name, length);
    CA_REQUIRE(type, CLATTN_E_ARGUMENT, "\"%.*s\" is no type of pattern", (int)ca_min((int64_t)length, 64), name);
    CA_REQUIRE(t->nodes < CLATTN_MAX_PATTERNS, CLATTN_E_UNSUPPORTED, "more than %d patterns in one are not supported", CLATTN_MAX_PATTERNS);
    *node = &t->node[t->nodes++];
    ca_pattern_defaults(*node, type);
    return CLATTN_OK;
}

clattn_status ca_tree_token(struct ca_tree *t, clattn_pattern *node, int64_t token)
{
    CA_REQUIRE(t->tokens < CLATTN_MAX_TOKENS, CLATTN_E_UNSUPPORTED, "more than %d tokens in patterns are not supported", CLATTN_MAX_TOKENS);
    if (!node->num_tokens) node->tokens = t->token + t->tokens;
    t->token[t->tokens++] = token;
    node->num_tokens++;
    return CLATTN_OK;
}

clattn_status ca_tree_sizes(clattn_pattern *node, const struct ca_field *f, const int64_t *value, int count)
{
    bool grid = f->at == offsetof(clattn_pattern, grid), pair = f->at == offsetof(clattn_pattern, block_size);
    CA_REQUIRE(count >= 1 && count <= 3 && (grid || count == (pair ? 2 : node->axes)), CLATTN_E_ARGUMENT, "pattern %s: %s has %d numbers, %s",
               ca_pattern_name((int)node->type), f->name, count, grid ? "not 1 to 3" : pair ? "not 2" : "the grid others");
    if (grid) node->axes = count;
    for (int i = 0; i < count; i++) {
        if (f->kind == CA_FIELD_FLAGS) node->causal[i] = value[i] != 0;
        else ((int64_t *)((char *)node + f->at))[i] = value[i];
    }
    return CLATTN_OK;
}

/* The places of a union's parts, in one row: they are known before any of them is read. */
clattn_status ca_tree_parts(struct ca_tree *t, clattn_pattern *node, size_t count)
{
    CA_REQUIRE(count <= (size_t)(CLATTN_MAX_PATTERNS - t->parts), CLATTN_E_UNSUPPORTED, "more than %d patterns in one are not supported", CLATTN_MAX_PATTERNS);
    node->of = t->part + t->parts;
    node->num_of = count;
    t->parts += (int)count;
    return CLATTN_OK;
}

/* ---------------------------------------------------------------- parsing */

static bool read_real(const char **s, double *value)
{
    char *end;
    if (!isdigit((unsigned char)**s) && **s != '-' && **s != '.') return false;
    *value = strtod(*s, &end);
    bool read = end != *s && isfinite(*value);
    *s = end;
    return read;
}

#define MAX_SIZES 4
static bool read_sizes(const char **s, int64_t value[MAX_SIZES], int *count)
{
    *count = 0;
    do {
        if (*count == MAX_SIZES || !ca_read_int(s, &value[(*count)++])) return false;
    } while (**s == 'x' && (*s)++);
    return true;
}

static clattn_status read_field(const char **s, struct ca_tree *t, clattn_pattern *node, const struct ca_field *f)
{
    void *at = (char *)node + f->at;
    int64_t value[MAX_SIZES];
    int count;
    bool good = true;
    switch (f->kind) {
    case CA_FIELD_WHOLE: good = ca_read_int(s, at); break;
    case CA_FIELD_SEED: good = ca_read_unsigned(s, at); break;
    case CA_FIELD_REAL: good = read_real(s, at); break;
    case CA_FIELD_FLAG:
        good = ca_read_int(s, value);
        if (good) *(int *)at = value[0] != 0;
        break;
    case CA_FIELD_SIZES:
    case CA_FIELD_FLAGS:
        good = read_sizes(s, value, &count);
        if (good) return ca_tree_sizes(node, f, value, count);
        break;
    case CA_FIELD_TOKENS:
        do {
            good = ca_read_int(s, value);
            clattn_status st = good ? ca_tree_token(t, node, value[0]) : CLATTN_OK;
            if (st != CLATTN_OK) return st;
        } while (good && **s == '+' && (*s)++);
        break;
    }
    CA_REQUIRE(good, CLATTN_E_ARGUMENT, "pattern %s: %s is not a %s at \"%.40s\"", ca_pattern_name((int)node->type), f->name,
               f->kind == CA_FIELD_SIZES || f->kind == CA_FIELD_FLAGS || f->kind == CA_FIELD_TOKENS ? "list of numbers" : "number", *s);
    return CLATTN_OK;
}

/* FIELD=VALUE,... in any order, but for a grid, which comes before what has as many axes. */
static clattn_status read_named(const char **s, struct ca_tree *t, clattn_pattern *node)
{
    const struct ca_field *f = rows[node->type];
    unsigned seen = 0;
    clattn_status st = CLATTN_OK;
    do {
        const char *word = *s + 1;
        size_t i = 0, length = strcspn(word, "=,;)");
        while (f[i].name && (strlen(f[i].name) != length || memcmp(f[i].name, word, length) != 0)) i++;
        CA_REQUIRE(f[i].name && word[length] == '=' && !(seen & 1u << i), CLATTN_E_ARGUMENT, "pattern %s: \"%.*s\" is none of its fields, or there twice",
                   ca_pattern_name((int)node->type), (int)ca_min((int64_t)length, 64), word);
        seen |= 1u << i;
        *s = word + length + 1;
        CA_TRY(read_field(s, t, node, &f[i]));
    } while (**s == ',');
    for (size_t i = 0; f[i].name; i++)
        CA_REQUIRE(f[i].optional || seen & 1u << i, CLATTN_E_ARGUMENT, "pattern %s: %s is missing", ca_pattern_name((int)node->type), f[i].name);
done:
    return st;
}

/* What no case has as an attribute, since it is a tensor's shape there. */
static bool read_shape(const char **s, struct ca_tree *t, clattn_pattern *node)
{
    int count = 0;
    bool shared = false, lists = node->type == CLATTN_BLOCK_MASK;
    int64_t value[MAX_SIZES] = { 0 };
    switch (node->type) {
    case CLATTN_BLOCK_SPARSE:
    case CLATTN_BLOCK_MASK:
        for (int i = 0; i < 2 && **s == ','; i++) { /* a share, sizes, or both */
            const char *field = ++*s;
            if (strcspn(field, "x") < strcspn(field, ",;)")) {
                if (!read_sizes(s, value, &count) || count != (lists ? 4 : 3)) return false;
            } else if (shared || !read_real(s, &t->share) || !(t->share >= 0 && t->share <= 1)) return false;
            else shared = true;
        }
        if (!lists) memcpy(node->layout, value, sizeof node->layout);
        else if (count == 0) node->list_batch = -1; /* until the sizes are known */
        else node->list_batch = value[0], node->list_heads = value[1], node->max_blocks = value[2], node->max_full_blocks = value[3];
        return true;
    case CLATTN_CSR:
        if (*(*s)++ != ':' || !ca_read_int(s, &node->edges)) return false;
        if (**s == 'e') (*s)++;
        else t->a_row = node;
        return (**s != ',' || ((*s)++, ca_read_int(s, &node->row_heads))) && (**s != ',' || ((*s)++, ca_read_int(s, &node->edge_heads)));
    default: return true;
    }
}

/* The pattern at *S, which it moves behind it. */
static clattn_status parse(const char **s, struct ca_tree *t, clattn_pattern **node)
{
    const char *begin = *s;
    size_t length = strcspn(*s, ":;()");
    clattn_status st;
    CA_TRY(ca_tree_add(t, *s, length, node));
    *s += length;
    const bool named = **s == ':' && (*s)[1 + strspn(*s + 1, "abcdefghijklmnopqrstuvwxyz")] == '=';
    if (named) CA_TRY(read_named(s, t, *node));
    for (const struct ca_field *f = rows[(*node)->type]; f->name && !named; f++) {
        bool first = f == rows[(*node)->type];
        if (f->optional && **s != (first ? ':' : ',')) break;
        CA_REQUIRE(**s == (first ? ':' : ','), CLATTN_E_ARGUMENT, "pattern %s: %s is missing", ca_pattern_name((int)(*node)->type), f->name);
        (*s)++;
        CA_TRY(read_field(s, t, *node, f));
    }
    CA_REQUIRE(read_shape(s, t, *node), CLATTN_E_ARGUMENT, "pattern \"%.60s\": its %s", begin, (*node)->type == CLATTN_CSR ? "edges are missing or no number"
               : (*node)->type == CLATTN_BLOCK_MASK ? "share or lists are not right" : "share or layout is not right");
    if ((*node)->type == CLATTN_UNION || (*node)->type == CLATTN_INTERSECT) {
        size_t count = 1;
        int depth = 0;
        CA_REQUIRE(**s == '(', CLATTN_E_ARGUMENT, "pattern %s: (PATTERN;...) is missing", ca_pattern_name((int)(*node)->type));
        for (const char *c = *s; *c && (depth += (*c == '(') - (*c == ')')) > 0; c++) count += *c == ';' && depth == 1;
        CA_TRY(ca_tree_parts(t, *node, count));
        for (size_t i = 0; i < count; i++) {
            clattn_pattern *part;
            (*s)++;
            CA_TRY(parse(s, t, &part));
            ((const clattn_pattern **)(*node)->of)[i] = part;
            CA_REQUIRE(**s == (i + 1 < count ? ';' : ')'), CLATTN_E_ARGUMENT, "pattern: \"%.40s\" instead of %s", *s, i + 1 < count ? ";" : ")");
        }
        (*s)++;
    }
done:
    return st;
}

clattn_status ca_pattern_parse(const char *text, struct ca_tree *t)
{
    clattn_pattern *root;
    const char *s = text;
    clattn_status st;
    memset(t, 0, sizeof *t);
    t->share = CA_USUAL_SHARE;
    CA_TRY(parse(&s, t, &root));
    CA_REQUIRE(*s == 0, CLATTN_E_ARGUMENT, "pattern: \"%.40s\" is one number, or more, too many", s);
done:
    return st;
}

void ca_tree_complete(struct ca_tree *t, clattn_attention *a)
{
    for (int k = 0; k < t->nodes; k++) {
        clattn_pattern *n = &t->node[k];
        if (n->type == CLATTN_BLOCK_SPARSE && !n->layout[0]) {
            int64_t blocks = n->block > 0 ? ca_max(ca_ceil_div(a->kv_len, n->block), 1) : 1;
            for (int i = 0; i < 3; i++) n->layout[i] = i ? blocks : 1;
        }
        if (n->type == CLATTN_LSH && !n->buckets) n->buckets = 2 * ca_max(ca_ceil_div(a->kv_len, 128), 1);
        if (n->type == CLATTN_BLOCK_MASK && n->list_batch < 0) {
            n->list_batch = n->list_heads = 1;
            n->max_blocks = n->max_full_blocks = n->block_size[1] > 0 ? ca_ceil_div(a->kv_len, n->block_size[1]) : 0;
        }
        if (n == t->a_row && !ca_mul64(n->edges, n->row_heads, &n->edges)) n->edges = INT64_MAX;
        if (n == t->a_row && !ca_mul64(n->edges, a->q_len, &n->edges)) n->edges = INT64_MAX;
    }
    a->pattern = &t->node[0];
}

/* --------------------------------------------------------------- printing */

static void put_sizes(struct ca_text *t, const ca_int *n, int from)
{
    for (int i = from; i < 3; i++) ca_text_put(t, "%s%d", i > from ? "x" : "", n[i]);
}

static void put_tokens(struct ca_text *t, const int32_t *tokens, int count, const char *before)
{
    for (int i = 0; i < count; i++) ca_text_put(t, "%s%d", i ? "+" : before, tokens[i]);
}

/* The shortest that is read back as this number. */
static void put_real(struct ca_text *t, float x)
{
    char number[32];
    snprintf(number, sizeof number, "%.6g", (double)x);
    ca_text_put(t, (float)strtod(number, NULL) == x ? "%.6g" : "%.9g", (double)x);
}

/* Leaf K, whose tokens are those from TOKENS on. */
static void put_leaf(struct ca_text *t, const struct problem *p, int k, const int32_t *tokens)
{
    const ca_int *n = p->pattern.node[k].n;
    const int type = p->pattern.node[k].type;
    int from = 0, blocks;
    ca_text_put(t, "%s", ca_pattern_name(type));
    switch (type) {
    case CLATTN_STRIDED:
    case CLATTN_CHUNKED:
    case CLATTN_TOP_K:
    case CLATTN_HIERARCHICAL: ca_text_put(t, ":%d", n[0]); break;
    case CLATTN_FIXED:
    case CLATTN_SINK_WINDOW: ca_text_put(t, ":%d,%d", n[0], n[1]); break;
    case CLATTN_DILATED: ca_text_put(t, ":%d,%d", (n[0] + n[1] - 1) / n[1], n[1]); break;
    case CLATTN_RANDOM: ca_text_put(t, ":%d,%" PRIu64, n[0], p->pattern.seed[k]); break;
    case CLATTN_GLOBAL: put_tokens(t, tokens, n[0], ":"); break;
    case CLATTN_BIGBIRD: ca_text_put(t, ":%d,%d,%" PRIu64 ",%d", n[0], n[1], p->pattern.seed[k], n[2]); break;
    case CLATTN_LONGFORMER:
        ca_text_put(t, ":%d", n[1]);
        put_tokens(t, tokens, n[0], ",");
        break;
    case CLATTN_NEIGHBORHOOD:
        while (from < 2 && n[from] == 1 && !n[9 + from]) from++;
        for (int i = 0; i < 4; i++) {
            ca_text_put(t, i ? "," : ":");
            put_sizes(t, n + 3 * i, from);
        }
        break;
    case CLATTN_WINDOW2D: ca_text_put(t, ":%dx%d,%dx%d,%dx%d", n[0], n[1], n[2], n[3], n[4], n[5]); break;
    case CLATTN_BLOCK_SPARSE:
        blocks = (int)ca_max(ca_ceil_div(p->Nk, n[0]), 1);
        ca_text_put(t, ":%d", n[0]);
        if (n[1] != 1 || n[2] != blocks || n[3] != blocks) ca_text_put(t, ",%dx%dx%d", n[1], n[2], n[3]);
        break;
    case CLATTN_BLOCK_MASK:
        ca_text_put(t, ":%dx%d", n[6], n[0]);
        if (n[8] != 1 || n[7] != 1 || n[3] != n[1] || n[4] != n[1]) ca_text_put(t, ",%dx%dx%dx%d", n[8], n[7], n[3], n[4]);
        break;
    case CLATTN_CSR:
        ca_text_put(t, n[1] && n[1] % (p->Nq * n[0]) == 0 ? ":%" PRId64 : ":%" PRId64 "e",
                    n[1] && n[1] % (p->Nq * n[0]) == 0 ? n[1] / (p->Nq * n[0]) : (int64_t)n[1]);
        if (n[0] != 1 || n[4]) ca_text_put(t, ",%d", n[0]);
        if (n[4]) ca_text_put(t, ",%d", n[4]);
        break;
    case CLATTN_LSH: ca_text_put(t, ":%d,%d", n[0], n[3]); break;
    case CLATTN_BLOCK_TOP_K: ca_text_put(t, ":%d,%d,%d", n[0], n[3], n[4] & 1); break;
    case CLATTN_TOP_P:
        ca_text_put(t, ":");
        put_real(t, p->pattern.share);
        if (p->pattern.most >= 0) ca_text_put(t, ",%d", p->pattern.most);
        break;
    case CLATTN_ADAPTIVE_SPAN:
        ca_text_put(t, ":");
        put_real(t, p->pattern.ramp);
        break;
    default: break;
    }
}

/* The tree that ends with node K; returns the node before it. */
static int put_tree(struct ca_text *t, const struct problem *p, int k)
{
    const struct pattern *x = &p->pattern;
    int first = k, start[CA_MAX_NODES], kids = x->node[k].kids, at = 0;
    if (kids == 0) {
        for (int i = 0; i < k; i++)
            if (x->node[i].type == CLATTN_GLOBAL || x->node[i].type == CLATTN_LONGFORMER) at += x->node[i].n[0];
        put_leaf(t, p, k, x->tokens + at);
        return k - 1;
    }
    struct ca_text nothing = { NULL, 0, 0 };
    ca_text_put(t, "%s", ca_pattern_name(x->node[k].type));
    first--;
    for (int i = kids - 1; i >= 0; i--) { /* each one's end, from the last on */
        start[i] = first;
        first = put_tree(&nothing, p, first);
    }
    for (int i = 0; i < kids; i++) {
        ca_text_put(t, i ? ";" : "(");
        put_tree(t, p, start[i]);
    }
    ca_text_put(t, ")");
    return first;
}

int ca_pattern_causality(const struct problem *p)
{
    for (int k = 0; k < p->pattern.num_nodes; k++) {
        const ca_node *n = &p->pattern.node[k];
        switch (n->type) {
        case CLATTN_RANDOM: return n->n[1] ? 1 : -1;
        case CLATTN_BLOCK_TOP_K: return n->n[4] & 2 ? 1 : -1;
        case CLATTN_HIERARCHICAL: return n->n[3] ? 1 : -1;
        default: break;
        }
    }
    return 0;
}

void ca_pattern_print(const struct problem *p, struct ca_text *t)
{
    if (!p->pattern.num_nodes) return;
    ca_text_put(t, " pattern=");
    put_tree(t, p, p->pattern.num_nodes - 1);
}
