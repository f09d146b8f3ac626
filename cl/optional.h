/* optional.h -- the tensors that an attention may have besides q, k and v, as kernels and the host's functions take
 * them, and what they say about one batch row.  Which ones there are is constant when OpenCL kernels are compiled; the
 * host looks at the pointers. */
#ifndef CA_OPTIONAL_H
#define CA_OPTIONAL_H

#include "args.h"

#ifdef __OPENCL_C_VERSION__
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunused-parameter" /* every function takes what some feature needs */
#endif
#define CA_GLOBAL __global
#define IS_ON(feature, x) feature
#define QUANT_FORMAT(A) QUANT
#ifndef HAS_QOFF
#define HAS_QOFF 0
#endif
#ifndef LENS
#define LENS 0
#endif
#ifndef ALIBI
#define ALIBI 0
#endif
#ifndef SINKS
#define SINKS 0
#endif
#ifndef BIAS
#define BIAS 0
#endif
#ifndef MASK
#define MASK 0
#endif
#ifndef SOFTCAP
#define SOFTCAP 0
#endif
#ifndef RAGGED
#define RAGGED 0
#endif
#ifndef PAGED
#define PAGED 0
#endif
#ifndef QUANT
#define QUANT 0
#endif
#ifndef ROPE
#define ROPE 0
#endif
#ifndef SCORE
#define SCORE 0
#endif
#ifndef SCORE_MOD
#define SCORE_MOD 0
#endif
#ifndef MASK_MOD
#define MASK_MOD 0
#endif
#ifndef DROPOUT
#define DROPOUT 0
#endif
#ifndef FUSED
#define FUSED 0
#endif
#ifndef SHARED
#define SHARED 0
#endif
#ifndef TILE_CLASS
#define TILE_CLASS 0
#endif
#ifndef PATTERN
#define PATTERN 0
#endif
#ifndef SOLE
#define SOLE 0
#endif
#ifndef ORDERED
#define ORDERED 0
#endif
#ifndef PASSES
#define PASSES 0
#endif
#ifndef EDGES
#define EDGES 0
#define EDGE_NUMBERS 0, 1, 0, 0, 0, 0
#endif
#ifndef TAKES
#define TAKES 0
#define TAKE_MOST -1
#define TAKE_SHARE -1.f
#endif
#ifndef MEAN_NUMBERS
#define MEAN_NUMBERS 1, 0, 0, 0, 0
#endif
#ifndef GROUPED
#define GROUPED 0 /* rounds in which rows pick groups of keys (grouped.h) */
#endif
#define HIDING (PATTERN || MASK_MOD) /* keys are hidden one by one */
#define CLASSED (PATTERN || TILE_CLASS) /* and a tile is asked for before */
#define SPECIAL (QUANT || ROPE || SCORE)
#define IS_FUSED(A) FUSED
#define IS_SPECIAL(A) SPECIAL /* elements are not simply loaded (elements.h) */
#define MODIFIED (SCORE == CA_GAT || SOFTCAP || BIAS || ALIBI || SCORE_MOD || SOLE == CA_ADAPTIVE_SPAN || EDGES)
#define SCORED (MODIFIED || MASK || HIDING)
#else
#define CA_GLOBAL
#define IS_ON(feature, x) ((x) != 0)
#define QUANT_FORMAT(A) ((A)->kv_format)
#define IS_FUSED(A) ca_is_fused(A)
#define IS_SPECIAL(A) ((A)->kv_format != 0 || (A)->q_rot != 0 || (A)->k_rot != 0 || (A)->score != 0)
#endif

/* In the order of the slots (src/problem/problem.h), as launches set them. */
typedef struct ca_optional {
    CA_GLOBAL const ca_int *qoff, *lens;
    CA_GLOBAL const float *slopes, *sinks, *bias;
    CA_GLOBAL const ca_byte *mask;
    CA_GLOBAL const ca_int *cu_q, *cu_k, *table;
    CA_GLOBAL const float *k_scale, *v_scale, *k_zero, *v_zero, *q_cos, *q_sin, *k_cos, *k_sin;
    CA_GLOBAL const float *score_w, *leaks;
    CA_GLOBAL const float *mod[CA_MODS];
    CA_GLOBAL const ca_int *pattern;
#ifndef __OPENCL_C_VERSION__
    float (*score_mod)(void *data, float score, int b, int h, int i, int j);
    int (*mask_mod)(void *data, int b, int h, int i, int j);
    int (*tile_class)(void *data, int b, int h, int i0, int i1, int j0, int j1);
    void *mod_data;
    const struct ca_node *nodes;
    int num_nodes, take_most, ordered; /* cl/order.h */
    float take_share;
    const struct ca_node *edges; /* the node whose edges have biases, NULL: none */
    int rounded;                 /* weights may be (cl/flash.h, PAIRS) */
#endif
} ca_optional;
#define OPTIONAL_PARAMS \
    CA_GLOBAL const ca_int *qoff, CA_GLOBAL const ca_int *lens, CA_GLOBAL const float *slopes, \
    CA_GLOBAL const float *sinks, CA_GLOBAL const float *bias, CA_GLOBAL const ca_byte *mask, \
    CA_GLOBAL const ca_int *cu_q, CA_GLOBAL const ca_int *cu_k, CA_GLOBAL const ca_int *table, \
    CA_GLOBAL const float *k_scale, CA_GLOBAL const float *v_scale, CA_GLOBAL const float *k_zero, \
    CA_GLOBAL const float *v_zero, CA_GLOBAL const float *q_cos, CA_GLOBAL const float *q_sin, \
    CA_GLOBAL const float *k_cos, CA_GLOBAL const float *k_sin, \
    CA_GLOBAL const float *score_w, CA_GLOBAL const float *leaks, \
    CA_GLOBAL const float *mod0, CA_GLOBAL const float *mod1, CA_GLOBAL const float *mod2, CA_GLOBAL const float *mod3 PATTERN_PARAM
#if PATTERN /* without it no register for the pointer: one more was too many for an attention with everything on Gen9 */
#define PATTERN_PARAM , CA_GLOBAL const ca_int *pattern
#define PATTERN_WORDS pattern
#else
#define PATTERN_PARAM
#define PATTERN_WORDS 0
#endif
#define OPTIONAL { qoff, lens, slopes, sinks, bias, mask, cu_q, cu_k, table, k_scale, v_scale, k_zero, v_zero, \
                   q_cos, q_sin, k_cos, k_sin, score_w, leaks, { mod0, mod1, mod2, mod3 }, PATTERN_WORDS }

/* The user's functions; in OpenCL C they stand before the kernel's text (src/problem/mods.c). */
#ifndef __OPENCL_C_VERSION__
#define CALL_SCORE_MOD(A, X, s, b, h, i, j) ((void)(A), (X)->score_mod((X)->mod_data, s, b, h, i, j))
#define CALL_MASK_MOD(A, X, b, h, i, j) ((void)(A), (X)->mask_mod((X)->mod_data, b, h, i, j))
#define CALL_TILE_CLASS(A, X, b, h, i0, i1, j0, j1) ((void)(A), (X)->tile_class((X)->mod_data, b, h, i0, i1, j0, j1))
#else
#if SCORE_MOD
#define CALL_SCORE_MOD(A, X, s, b, h, i, j) user_score_mod(s, b, h, i, j MOD_ARGS(A, X))
#else
#define CALL_SCORE_MOD(A, X, s, b, h, i, j) (s)
#endif
#if MASK_MOD
#define CALL_MASK_MOD(A, X, b, h, i, j) user_mask_mod(b, h, i, j MOD_ARGS(A, X))
#else
#define CALL_MASK_MOD(A, X, b, h, i, j) 1
#endif
#if TILE_CLASS
#define CALL_TILE_CLASS(A, X, b, h, i0, i1, j0, j1) user_tile_class(b, h, i0, i1, j0, j1 MOD_ARGS(A, X))
#else
#define CALL_TILE_CLASS(A, X, b, h, i0, i1, j0, j1) SOME_KEYS
#endif
#endif

/* The weight of a key that is not there: nothing in sums, and told from a weight that is too small for an f32. */
#define ABSENT -0.f

/* Are keys and values blocks, or bytes that are scaled by key at most, and nothing else?  cl/decode.h reads them as they are then. */
static inline int ca_is_fused(const ca_args *a)
{
    const int bytes = a->k_d == 1 && a->v_d == 1 && a->D % 16 == 0 && a->Dv % 16 == 0 && !a->k_zero && !a->v_zero &&
                      a->k_scale <= CA_BY_KEY && a->v_scale <= CA_BY_KEY;
    return !a->score && !a->k_rot && (a->kv_format >= CA_Q8_0 || (a->kv_format == CA_INT8 && bytes));
}

/* How much of a tile a mask lets through: the numbers that a user's tile_class returns. */
enum { NO_KEY, SOME_KEYS, ALL_KEYS };

/* What is in device memory nobody has looked at before: it is kept within bounds. */
static inline ca_int ca_within(ca_int x, ca_int least, ca_int most) { return x < least ? least : x > most ? most : x; }

#include "pattern.h"
#include "order.h"

/* The type of the pattern where it is one leaf, else 0: such a pattern may do more than hide keys, or be walked in a way of its own. */
#ifdef __OPENCL_C_VERSION__
#define ca_sole(x) SOLE
#else
static inline int ca_sole(const ca_optional *x) { return x->num_nodes == 1 ? x->nodes->type : 0; }
#endif

/* How much the pattern and the user's mask_mod let through of ROWS queries from row i on, which stand at p on, and KEYS keys from j on. */
static inline ca_int ca_tile_class(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_long p, ca_int rows, ca_int j,
                                   ca_int keys)
{
    ca_int said = ALL_KEYS;
    if (IS_ON(PATTERN, x->num_nodes)) said = ca_pattern_class(a, x, b, h, i, ca_position(p), rows, j, keys);
    if (said == NO_KEY) return said;
    if (!IS_ON(MASK_MOD, x->mask_mod)) return said;
    if (ca_sole(x) == CA_BLOCK_MASK) return said; /* it has said itself in which of its blocks mask_mod is asked */
    if (!IS_ON(TILE_CLASS, x->tile_class)) return SOME_KEYS;
    ca_int user = CALL_TILE_CLASS(a, x, b, h, (ca_int)p, (ca_int)p + rows, j, j + keys);
    return user == NO_KEY ? NO_KEY : user == ALL_KEYS ? said : SOME_KEYS;
}

/* The first key from j on that these queries may see, and how many of N keys from there on are best looked at together. */
static inline ca_int ca_next_key(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_long p, ca_int rows, ca_int j)
{
    return IS_ON(PATTERN, x->num_nodes) ? ca_pattern_next(a, x, b, h, i, ca_position(p), rows, j) : j;
}
static inline ca_int ca_tile_keys(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_long p, ca_int rows, ca_int j,
                                  ca_int n)
{
    return IS_ON(PATTERN, x->num_nodes) ? ca_least(n, ca_pattern_edge(a, x, b, h, i, ca_position(p), rows, j) - j) : n;
}

/* What an adaptive span multiplies the weight of key J by for the query at P of head H; 1 and more, by 1. */
static inline float ca_span_share(const ca_args *a, const ca_optional *x, ca_int h, ca_long p, ca_int j)
{
    CA_GLOBAL const float *span = (CA_GLOBAL const float *)(x->pattern + a->pattern_0 * (ca_long)64); /* ramp, then the heads' */
    return p < j ? 1.f : (span[0] + span[1 + h] - (float)(p - j)) / span[0];
}

/* The score S of query i and key j with the bias of the edge between them; -INFINITY takes the key away, even if s is a NaN. */
static inline float ca_edge_score(const ca_args *a, const ca_optional *x, ca_int h, ca_int i, ca_int j, float s)
{
#ifdef __OPENCL_C_VERSION__
    const float t = ca_edge_bias(a, x, h, i, j, EDGE_NUMBERS);
#else
    const ca_int *n = x->edges->n;
    const float t = ca_edge_bias(a, x, h, i, j, x->edges->at, n[0], n[1], n[2], n[3], n[4]);
#endif
    return t < -0x1.fffffep127f ? t : s + t;
}

/* Keys that the pattern takes of a row by their scores (cl/select.h): at most so many, -1: all, and as few as have this share of the
 * weight, -1: all. */
#ifdef __OPENCL_C_VERSION__
#define ca_take_most(x) ((ca_int)TAKE_MOST)
#define ca_take_share(x) ((float)TAKE_SHARE)
#else
#define ca_take_most(x) ((x)->take_most)
#define ca_take_share(x) ((x)->take_share)
static inline int ca_takes(const ca_optional *x) { return x->take_most >= 0 || x->take_share >= 0.f; }
#endif

/* Of a hierarchical pattern: keys of a block, how many there are, whether only those before the own one count, and where the blocks' mean keys and
 * values are among the pattern's words. */
enum { MEAN_BLOCK, MEAN_BLOCKS, MEAN_BEFORE, MEAN_KEYS, MEAN_VALUES };
#ifdef __OPENCL_C_VERSION__
static inline ca_int ca_means(const ca_optional *x, ca_int which)
{
    const ca_int n[] = { MEAN_NUMBERS };
    return n[which];
}
#else
static inline ca_int ca_means(const ca_optional *x, ca_int which)
{
    static const signed char place[] = { 0, 1, 3, 2 };
    return ca_sole(x) != CA_HIERARCHICAL ? which == MEAN_BLOCK : which == MEAN_VALUES ? x->nodes->at : x->nodes->n[place[which]];
}
static inline int ca_hides(const ca_optional *x) { return x->num_nodes || x->mask_mod; }
#endif

/* Do the pattern and mask_mod let query i, which stands at p, see key j? */
static inline int ca_lets(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_long p, ca_int j)
{
    if (IS_ON(PATTERN, x->num_nodes)) {
        const ca_int seen = ca_pattern_sees(a, x, b, h, i, ca_position(p), j);
        if (seen != SOME_KEYS) return seen;
    }
    return IS_ON(MASK_MOD, x->mask_mod) ? CALL_MASK_MOD(a, x, b, h, (ca_int)p, j) : 1;
}

/* Batch row b: where its rows begin, how many there are, and where query 0 stands among the keys. */
typedef struct ca_seq { ca_int q_row, k_row, Nq, Nk; ca_long p0; } ca_seq;

static inline ca_seq ca_seq_of(const ca_args *a, const ca_optional *x, ca_int b)
{
    ca_seq s = { 0, 0, a->Nq, a->Nk, a->offset };
    if (IS_ON(RAGGED, x->cu_q)) {
        s.q_row = ca_within(x->cu_q[a->cu_q_0 + b], 0, a->Tq);
        s.Nq = ca_within(x->cu_q[a->cu_q_0 + b + 1], s.q_row, a->Tq) - s.q_row;
        if (s.Nq > a->Nq) s.Nq = a->Nq;
        if (!IS_ON(PAGED, a->page_size)) {
            s.k_row = ca_within(x->cu_k[a->cu_k_0 + b], 0, a->Tk);
            s.Nk = ca_within(x->cu_k[a->cu_k_0 + b + 1], s.k_row, a->Tk) - s.k_row;
            if (s.Nk > a->Nk) s.Nk = a->Nk;
        }
    }
    if (IS_ON(LENS, x->lens)) s.Nk = ca_within(ca_within(x->lens[a->lens_0 + b], 0, a->Nk - a->new_len) + a->new_len, 0, s.Nk);
    if (a->bottom_right) s.p0 = (ca_long)s.Nk - s.Nq;
    if (IS_ON(HAS_QOFF, x->qoff) && a->has_qoff) s.p0 = x->qoff[a->qoff_0 + b];
    return s;
}

/* Ragged work without a list of it: tile t of sequence b, tiles being of ROWS rows, has number cu_q[b] / ROWS + b + t.  That
 * leaves each sequence as many numbers as it has tiles, or one more, since
 * floor((s + n) / ROWS) + 1 - floor(s / ROWS) >= ceil(n / ROWS).  Returns b, the last that begins at NUMBER or before, and
 * -1 in TILE for what cannot be one (where cu_q falls it might be so large that its rows overflow). */
static inline ca_int ca_seq_of_tile(const ca_args *a, const ca_optional *x, ca_int number, ca_int rows, ca_int *tile)
{
    ca_int first = 0, count = a->B;
    while (count > 1) { /* b is among COUNT from FIRST on */
        ca_int upper = count / 2;
        if (ca_within(x->cu_q[a->cu_q_0 + first + upper], 0, a->Tq) / rows + first + upper <= number) {
            first += upper;
            count -= upper;
        } else count = upper;
    }
    ca_int t = number - ca_within(x->cu_q[a->cu_q_0 + first], 0, a->Tq) / rows - first;
    *tile = t > a->Tq / rows ? -1 : t < -1 ? -1 : t;
    return first;
}

/* Key j of batch row b, from the first key of its head, in elements; PAGE and ROW are the strides of k or v. */
static inline ca_long ca_key_at(const ca_args *a, const ca_optional *x, ca_int b, ca_int j, ca_long page, ca_int row)
{
    if (!IS_ON(PAGED, a->page_size)) return (ca_long)j * row;
    ca_int n = x->table[a->table_0 + b * a->table_b + j / a->page_size];
    return ca_within(n, 0, a->pages - 1) * page + (ca_long)(j % a->page_size) * row;
}

/* Which page and slot, or batch row and key, key j of batch row b is: what scales are numbered by. */
static inline ca_long ca_key_number(const ca_args *a, const ca_optional *x, ca_int b, ca_int hk, ca_int j)
{
    if (!IS_ON(PAGED, a->page_size)) return ((ca_long)b * a->Hkv + hk) * a->Nk + j;
    ca_int n = ca_within(x->table[a->table_0 + b * a->table_b + j / a->page_size], 0, a->pages - 1);
    return ((ca_long)n * a->page_size + j % a->page_size) * a->Hkv + hk;
}

/* Keys in parts: first those that all batch rows share, then the others.
 *
 *        shared_len                                   Nk
 *     |---+---+-|---+---+---+- ... -+---+---+---+-|     split_len each, the last of either kind less
 *
 * A part that is shared is computed for the queries of all batch rows at once, with the keys of batch row 0. */
static inline ca_int ca_is_shared(const ca_args *a, ca_int part)
{
    return IS_ON(SHARED, a->shared_len) && (ca_long)part * a->split_len < a->shared_len;
}
static inline void ca_part_keys(const ca_args *a, ca_int part, ca_int *begin, ca_int *end)
{
    ca_long first = (ca_long)part * a->split_len, last = a->Nk;
    if (ca_is_shared(a, part)) last = a->shared_len;
    else if (IS_ON(SHARED, a->shared_len)) first += a->shared_len - (a->shared_len + (ca_long)a->split_len - 1) / a->split_len * a->split_len;
    if (last > first + a->split_len) last = first + a->split_len;
    *begin = (ca_int)(first < a->Nk ? first : a->Nk);
    *end = (ca_int)last;
}

/* Rows that share KV head hk: heads, queries, and in a shared part batch rows.  Row r of them; OWN is batch row b's. */
typedef struct ca_row { ca_int b, h, i; ca_seq seq; } ca_row;
static inline ca_int ca_rows(const ca_args *a, const ca_seq *own, ca_int shared)
{
    return a->group * (shared ? a->B * a->Nq : own->Nq);
}
static inline ca_row ca_row_of(const ca_args *a, const ca_optional *x, const ca_seq *own, ca_int b, ca_int hk, ca_int r, ca_int shared)
{
    ca_row t;
    t.seq = *own;
    if (shared) {
        b = r / (a->group * a->Nq);
        r %= a->group * a->Nq;
        t.seq = ca_seq_of(a, x, b);
    }
    ca_int n = t.seq.Nq > 0 ? t.seq.Nq : 1;
    t.b = b;
    t.h = hk * a->group + r / n;
    t.i = r % n;
    return t;
}

/* Where the bias and the mask of query i of head h begin; the head's slope. */
static inline CA_GLOBAL const float *ca_bias_row(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i)
{
    return x->bias + a->bias_0 + b * a->bias_b + h * a->bias_h + i * a->bias_i;
}
static inline CA_GLOBAL const ca_byte *ca_mask_row(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i)
{
    return x->mask + a->mask_0 + b * a->mask_b + h * a->mask_h + i * a->mask_i;
}
static inline float ca_slope(const ca_args *a, const ca_optional *x, ca_int b, ca_int h)
{
    return x->slopes[a->slopes_0 + b * a->slopes_b + h];
}

/* How many of N keys from j on lie behind one another. */
static inline ca_int ca_key_run(const ca_args *a, ca_int j, ca_int n)
{
    if (!IS_ON(PAGED, a->page_size)) return n;
    ca_int rest = a->page_size - j % a->page_size;
    return rest < n ? rest : n;
}

/* The first key of head hk of batch row b, for which there is sequence s: k and v alike. */
static inline ca_long ca_head_at(const ca_args *a, const ca_seq *s, ca_int b, ca_int hk, ca_long t_0, ca_long t_b, ca_long t_h,
                                 ca_int t_s)
{
    return t_0 + (IS_ON(PAGED, a->page_size) ? 0 : b * t_b) + hk * t_h + (ca_long)s->k_row * t_s;
}

#endif
