/* attend_pattern.c -- sparsity patterns of shapes: in words, their tensors, data for which every choice is certain, and as the
 * library is given them. */
#include "attend_tensors.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ in words */

static const struct { const char *name; size_t at; int count; } fields[] = {
#define FIELD(name, count) { #name, offsetof(struct oracle_pattern, name), count }
    FIELD(stride, 1), FIELD(summary, 1), FIELD(width, 1), FIELD(count, 1), FIELD(seed, 1), FIELD(block, 1), FIELD(random, 1), FIELD(globals, 1),
    FIELD(radius, 1), FIELD(window, 1), FIELD(sinks, 1), FIELD(chunk, 1), FIELD(rounds, 1), FIELD(buckets, 1), FIELD(k, 1), FIELD(max, 1),
    FIELD(own, 1), FIELD(grid, 3), FIELD(kernel, 3), FIELD(dilation, 3), FIELD(causal, 3), FIELD(shift, 3), FIELD(layout, 3),
    FIELD(row_heads, 1), FIELD(degree, 1), FIELD(edge_heads, 1), FIELD(tokens, ORACLE_TOKENS), FIELD(block_size, 2), FIELD(list_batch, 1), FIELD(list_heads, 1),
    FIELD(longest, 2),
};

/* The type and what is not 0. */
int pattern_print(const struct oracle_pattern *t, char *text, size_t size)
{
    int n = snprintf(text, size, " %s", oracle_pattern_name(t->type));
#define ROOM (size > (size_t)n ? size - (size_t)n : 0)
#define BEHIND (text + (size > (size_t)n ? n : (int)size - 1))
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
        const long *x = (const long *)((const char *)t + fields[f].at);
        int last = fields[f].count;
        while (last && !x[last - 1]) last--;
        for (int i = 0; i < last; i++) n += i ? snprintf(BEHIND, ROOM, ",%ld", x[i]) : snprintf(BEHIND, ROOM, " %s %ld", fields[f].name, x[i]);
    }
    if (t->p != 0 || t->ramp != 0) n += snprintf(BEHIND, ROOM, " %s %g", t->p != 0 ? "p" : "ramp", t->p != 0 ? t->p : t->ramp);
    for (int i = 0; i < ORACLE_PARTS && t->of[i]; i++) {
        n += snprintf(BEHIND, ROOM, i ? "," : " (");
        n += pattern_print(t->of[i], BEHIND, ROOM ? ROOM : 1);
    }
    if (t->of[0]) n += snprintf(BEHIND, ROOM, ")");
    return n;
}

/* ------------------------------------------------------------------ tensors */

/* Documents lie in runs, and one may go on after another. */
static int32_t *draw_documents(const struct shape *s, uint64_t *state)
{
    int32_t *x = malloc(((size_t)(s->B * s->Nk) + 1) * sizeof *x);
    for (int e = 0; x && e < s->B * s->Nk; e++) x[e] = e == 0 || draw_below(state, 20) == 0 ? draw_below(state, 5) - 1 : x[e - 1];
    return x;
}

/* Two rows share 2 T->degree edges as it comes: some rows have none.  Now and then a key is listed twice. */
static bool draw_graph(const struct shape *s, const struct oracle_pattern *t, uint64_t *state, struct data *d)
{
    const int rows = (t->row_heads > 1 ? s->Hq : 1), width = s->Nq + 1, edges = (int)oracle_edges(t, s->Hq, s->Nq);
    int32_t at = 0;
    d->row_ptr = malloc((size_t)(rows * width) * sizeof *d->row_ptr);
    d->col_idx = malloc(((size_t)edges + 1) * sizeof *d->col_idx);
    if (!d->row_ptr || !d->col_idx) return false;
    for (int h = 0; h < rows; h++) {
        for (int i = 0, n = 0; i < s->Nq; i++) {
            n = i % 2 ? 2 * (int)t->degree - n : i + 1 == s->Nq ? (int)t->degree : draw_below(state, 4) ? draw_below(state, 2 * (int)t->degree + 1) : 0;
            d->row_ptr[h * width + i] = at;
            for (int e = 0; e < n; e++) { /* ascending */
                int32_t j = draw_below(state, s->Nk), *row = d->col_idx + at;
                int place = e;
                for (; place > 0 && row[place - 1] > j; place--) row[place] = row[place - 1];
                row[place] = j;
            }
            at += n;
        }
        d->row_ptr[h * width + s->Nq] = at;
    }
    return at == edges;
}

/* Lists in any order; some blocks come twice, or in both, some lists are empty, and behind their ends there is anything. */
static bool draw_blocks(const struct shape *s, const struct oracle_pattern *t, uint64_t *state, struct data *d)
{
    const long blocks = (s->Nk + t->block_size[1] - 1) / t->block_size[1];
    long n[5];
    oracle_block_lists(t, s->B, s->Hq, s->Nq, s->Nk, n);
    for (int full = 0; full < 2; full++) {
        const long most = n[3 + full], lists = n[0] * n[1] * n[2];
        if (full && !most) continue;
        d->count[full] = malloc((size_t)(lists + 1) * sizeof(int32_t));
        d->blocks[full] = malloc((size_t)(lists * most + 1) * sizeof(int32_t));
        if (!d->count[full] || !d->blocks[full]) return false;
        for (long r = 0; r < lists; r++) {
            int32_t *list = d->blocks[full] + r * most, count = 0;
            for (long e = 0; e < most; e++) list[e] = draw_below(state, 2) ? -7 : INT32_MAX;
            for (long c = 0, some = draw_below(state, 6); c < blocks && some; c++) {
                if (count >= most || draw_below(state, 3)) continue;
                int place = draw_below(state, ++count);
                list[count - 1] = list[place];
                list[place] = (int32_t)c;
            }
            if (count && count < most && draw_below(state, 2)) list[count] = list[0], count++;
            d->count[full][r] = count;
        }
    }
    return true;
}

static float *draw_numbers(size_t count, uint64_t *state, float (*draw)(uint64_t *state))
{
    float *x = malloc((count + 1) * sizeof *x);
    for (size_t e = 0; x && e < count; e++) x[e] = draw(state);
    return x;
}
static float draw_flag(uint64_t *state) { return (float)(draw_below(state, 5) < 2); }
static float draw_rotation(uint64_t *state) { return (float)draw_normal(state); }
static float draw_edge(uint64_t *state) { return draw_below(state, 8) ? (float)draw_normal(state) : -INFINITY; } /* which masks */
static float draw_span(uint64_t *state) { return (float)draw_below(state, 200) / 8; } /* no rounding decides what is listed */

bool pattern_draw(const struct shape *s, uint64_t *seed, struct data *d)
{
    const struct oracle_pattern *layout = oracle_find(s->pattern, ORACLE_BLOCK_SPARSE), *csr = oracle_find(s->pattern, ORACLE_CSR),
                                *lsh = oracle_find(s->pattern, ORACLE_LSH);
    bool ok = true;
    if (oracle_find(s->pattern, ORACLE_PREFIX)) {
        ok = (d->prefix = malloc(((size_t)s->B + 1) * sizeof *d->prefix));
        for (int b = 0; ok && b < s->B; b++) d->prefix[b] = draw_below(seed, 4) ? draw_below(seed, s->Nk + 1) : -3;
    }
    if (oracle_find(s->pattern, ORACLE_DOCUMENT)) ok = ok && (d->doc_ids = draw_documents(s, seed));
    if (layout) {
        long n[3];
        oracle_layout(layout, s->Hq, s->Nk, n);
        ok = ok && (d->layout = draw_numbers((size_t)(n[0] * n[1] * n[2]), seed, draw_flag));
    }
    if (csr) ok = ok && draw_graph(s, csr, seed, d);
    if (csr && csr->edge_heads)
        ok = ok && (d->edge_bias = draw_numbers((size_t)((csr->edge_heads > 1 ? s->Hq : 1) * oracle_edges(csr, s->Hq, s->Nq)), seed, draw_edge));
    if (oracle_find(s->pattern, ORACLE_BLOCK_MASK)) ok = ok && draw_blocks(s, s->pattern, seed, d);
    if (lsh) ok = ok && (d->rotations = draw_numbers((size_t)(lsh->rounds * s->D * (lsh->buckets / 2)), seed, draw_rotation));
    if (oracle_find(s->pattern, ORACLE_ADAPTIVE_SPAN)) ok = ok && (d->span = draw_numbers((size_t)s->Hq, seed, draw_span));
    return ok;
}

struct oracle_lists pattern_lists(const struct data *d)
{
    return (struct oracle_lists){ d->prefix, d->doc_ids, d->row_ptr, d->col_idx, d->layout, d->rotations, d->span, d->edge_bias,
                                  { d->count[0], d->count[1] }, { d->blocks[0], d->blocks[1] } };
}

/* ------------------------------------------------------------------ certainty */

static void redraw(const struct shape *s, float *x, int dims, uint64_t *seed)
{
    for (int e = 0; e < dims; e++) x[e] = draw_value(s, seed);
}

/* Query ROW anew. */
static void redraw_query(const struct shape *s, size_t row, uint64_t *seed, struct data *d)
{
    const int dims = s->q_dim ? s->q_dim : s->D;
    float *q = d->q + row * (size_t)dims;
    redraw(s, q, dims, seed);
    if (!s->rope) return;
    memcpy(d->q_before + row * (size_t)dims, q, (size_t)dims * sizeof *q);
    data_turn(s, q, d->q_cos, d->q_sin, (int)(row % (size_t)s->Nq));
}

/* Key N of all anew, for each batch row that has it. */
static void redraw_key(const struct shape *s, size_t n, uint64_t *seed, struct data *d)
{
    const size_t each = (size_t)(s->Hkv * s->Nk);
    bool shared = s->memory == SHARED || (int)(n % (size_t)s->Nk) < s->shared;
    redraw(s, d->k + n * (size_t)s->D, s->D, seed);
    for (size_t b = 0; shared && b < (size_t)s->B; b++)
        memmove(d->k + (b * each + n % each) * (size_t)s->D, d->k + n * (size_t)s->D, (size_t)s->D * sizeof *d->k);
}

bool pattern_decide(const struct shape *s, uint64_t seed, struct data *d)
{
    static const enum oracle_pattern_type choosing[] = { ORACLE_LSH, ORACLE_TOP_K, ORACLE_BLOCK_TOP_K, ORACLE_TOP_P };
    bool chooses = false, decided = false, ok = true;
    for (size_t n = 0; n < sizeof choosing / sizeof *choosing; n++) chooses = chooses || oracle_find(s->pattern, choosing[n]);
    for (int round = 0; chooses && !decided && ok && round < 50; round++) {
        struct oracle o;
        ok = attend_describe(s, d, &o) && oracle_list(&o);
        decided = ok && oracle_all_decided(&o);
        for (size_t n = 0; ok && n < shape_rows(s); n++)
            if (o.undecided[n]) redraw_query(s, n, &seed, d);
        for (size_t n = 0; ok && n < (size_t)(s->B * s->Hkv * s->Nk); n++)
            if (o.undecided_keys[n]) redraw_key(s, n, &seed, d);
        oracle_free(&o);
    }
    return ok;
}

/* ------------------------------------------------------------------ for the library */

static void copy(int64_t to[3], const long from[3])
{
    for (int i = 0; i < 3; i++) to[i] = from[i];
}

const clattn_pattern *pattern_describe(const struct shape *s, const struct oracle_pattern *t, struct pattern_room *room)
{
    clattn_pattern *to = &room->node[room->nodes++];
    clattn_pattern_init(to, (clattn_pattern_type)t->type);
    to->stride = t->stride, to->summary = t->summary, to->width = t->width, to->count = t->count, to->seed = (uint64_t)t->seed;
    to->block = t->block, to->random = t->random, to->globals = t->globals, to->radius = t->radius, to->window = t->window, to->sinks = t->sinks;
    to->chunk = t->chunk, to->rounds = t->rounds, to->buckets = t->buckets, to->k = t->k, to->own = (int)t->own, to->p = t->p, to->ramp = t->ramp;
    to->axes = t->axes, to->num_tokens = (size_t)t->num_tokens, to->tokens = room->tokens + room->num_tokens;
    if (t->max) to->max = t->max;
    copy(to->grid, t->grid), copy(to->kernel, t->kernel), copy(to->shift, t->shift);
    for (int i = 0; i < 3; i++) {
        if (t->dilation[i]) to->dilation[i] = t->dilation[i];
        to->causal[i] = t->causal[i] != 0;
    }
    for (long n = 0; n < t->num_tokens; n++) room->tokens[room->num_tokens++] = t->tokens[n];
    if (t->type == ORACLE_BLOCK_SPARSE) {
        long n[3];
        oracle_layout(t, s->Hq, s->Nk, n);
        copy(to->layout, n);
    }
    if (t->type == ORACLE_CSR)
        to->row_heads = t->row_heads > 1 ? s->Hq : 1, to->edge_heads = t->edge_heads > 1 ? s->Hq : t->edge_heads, to->edges = oracle_edges(t, s->Hq, s->Nq);
    if (t->type == ORACLE_BLOCK_MASK) {
        long n[5];
        oracle_block_lists(t, s->B, s->Hq, s->Nq, s->Nk, n);
        to->list_batch = n[0], to->list_heads = n[1], to->max_blocks = n[3], to->max_full_blocks = n[4];
        to->block_size[0] = t->block_size[0], to->block_size[1] = t->block_size[1];
    }
    const clattn_pattern **of = room->of + room->parts;
    while (to->num_of < ORACLE_PARTS && t->of[to->num_of]) to->num_of++;
    room->parts += (int)to->num_of;
    for (size_t n = 0; n < to->num_of; n++) of[n] = pattern_describe(s, t->of[n], room);
    if (to->num_of) to->of = of;
    return to;
}
