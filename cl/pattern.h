/* pattern.h -- sparsity patterns: which keys a query sees, and where a tile of queries finds them.  clattn.h defines each type.
 *
 *                       j = next          edge = next of edge
 *     keys   . . . . . . [#######] . . . . [#]         a leaf, that is one pattern, is four functions of the queries
 *                                                      i ... i + rows - 1, at positions p on:
 *     ca_sees    one query, one key                    does it see it?  ALL_KEYS: whatever mask_mod says
 *     ca_class   rows x keys                           NO_KEY, SOME_KEYS, ALL_KEYS
 *     ca_next    from key j on                         the first key that any of the rows may see
 *     ca_edge    behind key j                          where what they say of the keys may change
 *
 * class may say SOME_KEYS, next j and edge CA_NO_MORE where the truth is not worth its price.  A union or intersection combines them: or, and;
 * the larger or smaller class; the nearer or farther next; the nearer edge.  In OpenCL C that is an expression, PATTERN_TREE, whose
 * leaves are the numbers NODE_0 ..., all literal (src/problem/pattern.c); the host goes through the nodes.
 *
 * What a leaf has beyond numbers lies in the pattern's buffer, 32-bit words from AT on: tokens, sorted; lists of drawn keys or blocks, a
 * row sorted and filled up with CA_NO_MORE; the user's tensors; buckets; bits of chosen blocks (src/algo/prepare.c).  Nobody has
 * looked at the words that come from device memory: every index is kept within bounds. */
#ifndef CA_PATTERN_H
#define CA_PATTERN_H

enum { CA_STRIDED = 1, CA_FIXED, CA_DILATED, CA_RANDOM, CA_TOKENS, CA_BIGBIRD, CA_LONGFORMER, CA_SINK_WINDOW, CA_PREFIX, CA_CHUNKED,
       CA_DOCUMENT, CA_NEIGHBORHOOD, CA_WINDOW2D, CA_BLOCK_SPARSE, CA_CSR, CA_LSH, CA_TOP_K, CA_BLOCK_TOP_K, CA_TOP_P, CA_ADAPTIVE_SPAN,
       CA_HIERARCHICAL, CA_BLOCK_MASK, CA_UNION, CA_INTERSECT }; /* clattn_pattern_type; CA_TOKENS is GLOBAL */

#define CA_NO_MORE 0x7fffffff
#define CA_NODE_NUMBERS 12
/* A leaf by itself, for what makes its words (prepare.h). */
typedef struct ca_leaf { ca_ulong seed; ca_int type, at, n[8]; } ca_leaf;
#ifndef __OPENCL_C_VERSION__
typedef struct ca_node { ca_int type, kids, at, n[CA_NODE_NUMBERS]; } ca_node; /* kids: of a union or intersection */
#endif

/* A leaf's numbers, N0 ... as the comment of its case names them. */
#define NODE_PARAMS ca_int type, ca_int at, ca_int n0, ca_int n1, ca_int n2, ca_int n3, ca_int n4, ca_int n5, ca_int n6, ca_int n7, \
                    ca_int n8, ca_int n9, ca_int n10, ca_int n11
#define NODE_UNUSED (void)type, (void)at, (void)n0, (void)n1, (void)n2, (void)n3, (void)n4, (void)n5, (void)n6, (void)n7, (void)n8, (void)n9, \
                    (void)n10, (void)n11 /* some of them */
#define NODE_ARGS type, at, n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11

/* Queries: ROWS of head h of batch row b from row i on, the first at position p. */
#define QUERY_PARAMS const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_int p, ca_int rows
#define QUERY_ARGS a, x, b, h, i, p, rows

static inline ca_int ca_div(ca_int p, ca_int n) { return p >= 0 ? p / n : -((n - 1 - p) / n); } /* rounds down */
static inline ca_int ca_mod(ca_int p, ca_int n) { return p - ca_div(p, n) * n; }
static inline ca_int ca_least(ca_int x, ca_int y) { return x < y ? x : y; }
static inline ca_int ca_most(ca_int x, ca_int y) { return x > y ? x : y; }
static inline ca_int ca_far(ca_int x, ca_int y) { return x > y ? x - y : y - x; }
/* A position of which no sum with a leaf's number overflows; those that are far from all keys may be anywhere. */
static inline ca_int ca_position(ca_long p) { return p < -0x40000000 ? -0x40000000 : p > 0x40000000 ? 0x40000000 : (ca_int)p; }

static inline CA_GLOBAL const ca_int *ca_words(const ca_args *a, const ca_optional *x, ca_int at) { return x->pattern + a->pattern_0 * (ca_long)64 + at; }

/* The place of the first of N sorted words that is not below KEY. */
static inline ca_int ca_place(CA_GLOBAL const ca_int *t, ca_int n, ca_int key)
{
    ca_int lo = 0;
    while (n > 0) {
        ca_int step = n / 2;
        if (t[lo + step] < key) { lo += step + 1; n -= step + 1; }
        else n = step;
    }
    return lo;
}
static inline int ca_listed(CA_GLOBAL const ca_int *t, ca_int n, ca_int key)
{
    ca_int place = ca_place(t, n, key);
    return place < n && t[place] == key;
}
/* Are any of the words from LO to HI - 1 listed? */
static inline int ca_any_listed(CA_GLOBAL const ca_int *t, ca_int n, ca_int lo, ca_int hi)
{
    ca_int place = ca_place(t, n, lo);
    return place < n && t[place] < hi;
}
static inline ca_int ca_next_listed(CA_GLOBAL const ca_int *t, ca_int n, ca_int j)
{
    ca_int place = ca_place(t, n, j);
    return place < n ? t[place] : CA_NO_MORE;
}

/* Is there a multiple of N in LO ... HI? */
static inline int ca_multiple(ca_int lo, ca_int hi, ca_int n) { return lo <= hi && ca_div(hi, n) * n >= lo; }

/* ------------------------------------------------------------- the types' own */

/* BigBird: does block row R see block C? */
static inline int ca_bigbird_sees(const ca_args *a, const ca_optional *x, ca_int r, ca_int c, ca_int at, ca_int random, ca_int globals, ca_int block_rows)
{
    if (c < globals || (r >= 0 && r < globals) || ca_far(r, c) <= 1) return 1;
    return r >= 0 && r < block_rows && ca_listed(ca_words(a, x, at) + r * random, random, c);
}

/* The window [start, end) of place X along an axis, in steps of DILATION from the class X is of: never less than KERNEL places unless
 * CAUSAL. */
static inline void ca_neighbors(ca_int place, ca_int side, ca_int kernel_, ca_int dilation, ca_int causal, ca_int *start, ca_int *end)
{
    ca_int rest = place % dilation, n = place / dilation, count = (side - rest + dilation - 1) / dilation;
    ca_int first = causal ? n - kernel_ + 1 : ca_least(n - kernel_ / 2, count - kernel_);
    first = ca_most(first, 0);
    *start = first * dilation + rest;
    *end = causal ? place + 1 : (first + kernel_ - 1) * dilation + rest + 1;
}
static inline int ca_neighbor(ca_int place, ca_int key, ca_int side, ca_int kernel_, ca_int dilation, ca_int causal)
{
    ca_int start, end;
    ca_neighbors(place, side, kernel_, dilation, causal, &start, &end);
    return key >= start && key < end && (key - place) % dilation == 0;
}

/* Which window of W along an axis of SIDE a place is in after rolling it by -SHIFT, what has wrapped around apart. */
static inline ca_int ca_window_of(ca_int place, ca_int side, ca_int w, ca_int shift)
{
    ca_int rolled = place >= shift ? place - shift : place - shift + side;
    return rolled / w * 2 + (rolled >= side - shift);
}

/* CSR: the row of head h and query i: where it begins among N2 edges, and how many there are. */
static inline CA_GLOBAL const ca_int *ca_edges_of(const ca_args *a, const ca_optional *x, ca_int h, ca_int i, ca_int at, ca_int columns, ca_int heads,
                                                  ca_int edges, ca_int *n)
{
    CA_GLOBAL const ca_int *ptr = ca_words(a, x, at) + (heads > 1 ? h : 0) * (a->Nq + 1) + i;
    ca_int first = ca_within(ptr[0], 0, edges);
    *n = ca_within(ptr[1], first, edges) - first;
    return ca_words(a, x, columns) + first;
}

/* What its edge to key j, the first of equal ones, adds to the score; 0 where there is none.  The biases begin at BIASES, of each head or of all. */
static inline float ca_edge_bias(const ca_args *a, const ca_optional *x, ca_int h, ca_int i, ca_int j, ca_int at, ca_int heads, ca_int edges,
                                 ca_int columns, ca_int biases, ca_int bias_heads)
{
    ca_int n;
    CA_GLOBAL const ca_int *row = ca_edges_of(a, x, h, i, at, columns, heads, edges, &n);
    CA_GLOBAL const float *bias = (CA_GLOBAL const float *)ca_words(a, x, biases) + (bias_heads > 1 ? (ca_long)h * edges : 0);
    const ca_int place = ca_place(row, n, j);
    return place < n && row[place] == j ? bias[row - ca_words(a, x, columns) + place] : 0.f;
}

/* The sorted list of all keys that query I of head H sees, and how long it is: of a random pattern or CSR. */
static inline CA_GLOBAL const ca_int *ca_own_list(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_int *n, NODE_PARAMS)
{
    NODE_UNUSED;
    if (type == CA_CSR) return ca_edges_of(a, x, h, i, at, n2, n0, n1, n);
    *n = n0;
    return ca_words(a, x, at) + ((ca_long)b * a->Nq + i) * n0;
}

/* LSH: the keys of bucket C of a round, N of them, ascending, for head h of batch row b. */
static inline CA_GLOBAL const ca_int *ca_bucket_keys(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int round, ca_int c, ca_int *n, NODE_PARAMS)
{
    const ca_long list = ((ca_long)b * a->Hkv + h / a->group) * n0 + round;
    CA_GLOBAL const ca_int *begin = ca_words(a, x, n5) + list * (n3 + 1) + c;
    NODE_UNUSED;
    *n = begin[1] - begin[0];
    return ca_words(a, x, n4) + list * a->Nk + begin[0];
}

/* LSH and BLOCK_TOP_K: groups of keys, how many of them a row picks in a round, and the words that a chunk of ROWS rows takes to go through them
 * (grouped.h), with sums of DIMS floats each. */
static inline ca_int ca_groups(ca_int Nk, NODE_PARAMS) { NODE_UNUSED; return type == CA_LSH ? n3 : Nk / n0 + (Nk % n0 != 0); }
static inline ca_int ca_picks(ca_int Nk, NODE_PARAMS) { return type == CA_LSH ? 1 : ca_least(n3, ca_groups(Nk, NODE_ARGS)); }
static inline ca_long ca_chunk_words(ca_long rows, ca_int dims, ca_int Nk, NODE_PARAMS)
{
    return rows * (dims + 2 + ca_picks(Nk, NODE_ARGS)) + ca_groups(Nk, NODE_ARGS) + 1;
}

/* Block mask: for query I, the class of each block of keys (list_blocks in prepare.h). */
static inline CA_GLOBAL const ca_byte *ca_block_row(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_int at, ca_int columns,
                                                    ca_int block_rows, ca_int block, ca_int heads, ca_int batches)
{
    const ca_long row = ((ca_long)(batches > 1 ? b : 0) * heads + (heads > 1 ? h : 0)) * block_rows + ca_least(i / block, block_rows - 1);
    return (CA_GLOBAL const ca_byte *)ca_words(a, x, at) + row * columns;
}

/* --------------------------------------------------------------- the four */

static inline int ca_sees(const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_int p, ca_int j, NODE_PARAMS)
{
    switch (type) {
    case CA_STRIDED: return p - j < n0 || (p - j) % n0 == 0; /* stride */
    case CA_FIXED: return ca_div(p, n0) == j / n0 || j % n0 >= n0 - n1; /* stride, summary */
    case CA_DILATED: return ca_far(p, j) < n0 && (p - j) % n1 == 0; /* width dilation, dilation */
    case CA_RANDOM: return ca_listed(ca_words(a, x, at) + ((ca_long)b * a->Nq + i) * n0, n0, j); /* count */
    case CA_LONGFORMER: /* tokens, radius */
        if (ca_far(p, j) <= n1) return 1;
        return ca_listed(ca_words(a, x, at), n0, j) || ca_listed(ca_words(a, x, at), n0, p);
    case CA_TOKENS: return ca_listed(ca_words(a, x, at), n0, j) || ca_listed(ca_words(a, x, at), n0, p); /* tokens */
    case CA_BIGBIRD: return ca_bigbird_sees(a, x, ca_div(p, n0), j / n0, at, n1, n2, n3); /* block, random, globals, block rows */
    case CA_SINK_WINDOW: return p - j < n0 || j < n1; /* window, sinks */
    case CA_PREFIX: return j <= p || j < ca_words(a, x, at)[b];
    case CA_HIERARCHICAL: /* block; the other blocks are not keys */
    case CA_CHUNKED: return ca_div(p, n0) == j / n0; /* chunk */
    case CA_DOCUMENT: return p >= 0 && p < a->Nk && ca_words(a, x, at)[(ca_long)b * a->Nk + p] == ca_words(a, x, at)[(ca_long)b * a->Nk + j];
    case CA_NEIGHBORHOOD: { /* sides, kernels, dilations, causal, each three, the last axis last; unused ones in front have side 1 */
        ca_int area = n1 * n2, y = p % area, v = j % area;
        if (p < 0 || p / area >= n0) return 0;
        return ca_neighbor(p / area, j / area, n0, n3, n6, n9) && ca_neighbor(y / n2, v / n2, n1, n4, n7, n10) &&
               ca_neighbor(y % n2, v % n2, n2, n5, n8, n11);
    }
    case CA_WINDOW2D: /* sides, windows, shifts, each two */
        return p >= 0 && p < n0 * n1 && ca_window_of(p / n1, n0, n2, n4) == ca_window_of(j / n1, n0, n2, n4) &&
               ca_window_of(p % n1, n1, n3, n5) == ca_window_of(j % n1, n1, n3, n5);
    case CA_BLOCK_SPARSE: { /* block, heads, block rows, block columns */
        ca_int r = ca_div(p, n0), c = j / n0;
        if (r < 0 || r >= n2 || c >= n3) return 0;
        return ((CA_GLOBAL const ca_byte *)ca_words(a, x, at))[((ca_long)(n1 > 1 ? h : 0) * n2 + r) * n3 + c] != 0;
    }
    case CA_BLOCK_MASK: /* block of keys, block columns, rows of all lists, their lengths, block rows, block of queries, heads, batches */
        return ca_block_row(a, x, b, h, i, at, n1, n5, n6, n7, n8)[j / n0];
    case CA_CSR: { /* heads, edges, where the columns are, where the edges' biases are, heads of these or 0 */
        ca_int n;
        CA_GLOBAL const ca_int *edges = ca_edges_of(a, x, h, i, at, n2, n0, n1, &n);
        return ca_listed(edges, n, j);
    }
    case CA_LSH: { /* rounds, where the keys' buckets are; then what ca_bucket_keys looks at */
        CA_GLOBAL const ca_int *q = ca_words(a, x, at) + (((ca_long)b * a->Hq + h) * a->Nq + i) * n0;
        CA_GLOBAL const ca_int *k = ca_words(a, x, n1) + (((ca_long)b * a->Hkv + h / a->group) * a->Nk + j) * n0;
        for (ca_int r = 0; r < n0; r++)
            if (q[r] == k[r]) return 1;
        return 0;
    }
    case CA_BLOCK_TOP_K: { /* block, words of a row's bits */
        ca_int c = j / n0;
        return (ca_words(a, x, at)[(((ca_long)b * a->Hq + h) * a->Nq + i) * n1 + c / 32] >> c % 32) & 1;
    }
    default: return 1;
    }
}

static inline ca_int ca_class(QUERY_PARAMS, ca_int j, ca_int keys, NODE_PARAMS)
{
    const ca_int p1 = p + rows - 1, j1 = j + keys - 1, near = p - j1, far = p1 - j; /* the differences i - j */
    switch (type) {
    case CA_STRIDED: return far < n0 || n0 == 1 ? ALL_KEYS : near >= n0 && !ca_multiple(near, far, n0) ? NO_KEY : SOME_KEYS;
    case CA_FIXED: {
        ca_int r0 = ca_div(p, n0), r1 = ca_div(p1, n0), c0 = j / n0, c1 = j1 / n0;
        if ((c0 == c1 && ((r0 == r1 && r0 == c0) || j % n0 >= n0 - n1)) || n0 == n1) return ALL_KEYS;
        return (r1 < c0 || r0 > c1) && c0 == c1 && j1 % n0 < n0 - n1 ? NO_KEY : SOME_KEYS;
    }
    case CA_DILATED:
        if (near >= n0 || far <= -n0 || !ca_multiple(ca_most(near, 1 - n0), ca_least(far, n0 - 1), n1)) return NO_KEY;
        return n1 == 1 && far < n0 && near > -n0 ? ALL_KEYS : SOME_KEYS;
    case CA_RANDOM:
        if (rows > 1) return n0 ? SOME_KEYS : NO_KEY;
        return ca_any_listed(ca_words(a, x, at) + ((ca_long)b * a->Nq + i) * n0, n0, j, j1 + 1) ? SOME_KEYS : NO_KEY;
    case CA_LONGFORMER:
    case CA_TOKENS: {
        CA_GLOBAL const ca_int *t = ca_words(a, x, at);
        if (type == CA_LONGFORMER && far <= n1 && near >= -n1) return ALL_KEYS;
        if (type == CA_LONGFORMER && near <= n1 && far >= -n1) return SOME_KEYS;
        ca_int r = ca_place(t, n0, p1 + 1) - ca_place(t, n0, p), c = ca_place(t, n0, j1 + 1) - ca_place(t, n0, j);
        return r == rows || c == keys ? ALL_KEYS : r || c ? SOME_KEYS : NO_KEY;
    }
    case CA_SINK_WINDOW: return far < n0 || j1 < n1 ? ALL_KEYS : near >= n0 && j >= n1 ? NO_KEY : SOME_KEYS;
    case CA_PREFIX: {
        ca_int prefix = ca_words(a, x, at)[b];
        return j1 <= p || j1 < prefix ? ALL_KEYS : j > p1 && j >= prefix ? NO_KEY : SOME_KEYS;
    }
    case CA_HIERARCHICAL:
    case CA_CHUNKED: {
        ca_int r0 = ca_div(p, n0), r1 = ca_div(p1, n0), c0 = j / n0, c1 = j1 / n0;
        return r1 < c0 || r0 > c1 ? NO_KEY : r0 == r1 && c0 == c1 ? ALL_KEYS : SOME_KEYS;
    }
    case CA_DOCUMENT: {
        CA_GLOBAL const ca_int *doc = ca_words(a, x, at) + (ca_long)b * a->Nk;
        ca_int least = CA_NO_MORE, most = -CA_NO_MORE - 1, low = least, high = most;
        for (ca_int c = j; c <= j1; c++) { least = ca_least(least, doc[c]); most = ca_most(most, doc[c]); }
        if (p < 0 || p1 >= a->Nk) return SOME_KEYS;
        for (ca_int r = p; r <= p1; r++) { low = ca_least(low, doc[r]); high = ca_most(high, doc[r]); }
        return low > most || high < least ? NO_KEY : low == high && least == most ? ALL_KEYS : SOME_KEYS;
    }
    case CA_NEIGHBORHOOD: { /* by the first axis along which it is more than one place */
        ca_int area = n1 * n2, start, end, unused;
        if (p < 0 || p1 / area >= n0) return p1 < 0 || p / area >= n0 ? NO_KEY : SOME_KEYS;
        ca_neighbors(p / area, n0, n3, n6, n9, &start, &unused);
        ca_neighbors(p1 / area, n0, n3, n6, n9, &unused, &end);
        if (n6 > 1) { start = ca_most(0, start - n6 + 1); end += n6 - 1; }
        if (j1 / area < start || j / area >= end) return NO_KEY;
        if (p / area != p1 / area || j / area != j1 / area) return SOME_KEYS;
        if (!ca_neighbor(p / area, j / area, n0, n3, n6, n9)) return NO_KEY;
        p %= area; /* now along the second */
        ca_neighbors(p / n2, n1, n4, n7, n10, &start, &unused);
        ca_neighbors((p + rows - 1) / n2, n1, n4, n7, n10, &unused, &end);
        if (n7 > 1) { start = ca_most(0, start - n7 + 1); end += n7 - 1; }
        return j1 % area / n2 < start || j % area / n2 >= end ? NO_KEY : SOME_KEYS;
    }
    case CA_WINDOW2D: {
        if (p < 0 || p1 >= n0 * n1) return SOME_KEYS;
        int any = 0;
        if ((p1 / n1 - p / n1) * (j1 / n1 - j / n1) > 64) return SOME_KEYS;
        for (ca_int r = p / n1; r <= p1 / n1; r++)
            for (ca_int c = j / n1; c <= j1 / n1; c++) any |= ca_window_of(r, n0, n2, n4) == ca_window_of(c, n0, n2, n4);
        return any ? SOME_KEYS : NO_KEY;
    }
    case CA_BIGBIRD:
    case CA_BLOCK_SPARSE:
    case CA_BLOCK_TOP_K: {
        int any = 0, all = 1, by_row = type == CA_BLOCK_TOP_K;
        ca_int r0 = by_row ? 0 : ca_div(p, n0), r1 = by_row ? rows - 1 : ca_div(p1, n0);
        if ((r1 - r0) * (j1 / n0 - j / n0) > 256) return SOME_KEYS;
        for (ca_int r = r0; r <= r1; r++)
            for (ca_int c = j / n0; c <= j1 / n0; c++) {
                int seen = ca_sees(a, x, b, h, by_row ? i + r : i, by_row ? p + r : r * n0, c * n0, NODE_ARGS);
                any |= seen;
                all &= seen;
            }
        return !any ? NO_KEY : all ? ALL_KEYS : SOME_KEYS;
    }
    case CA_BLOCK_MASK: {
        ca_int least = ALL_KEYS, most = NO_KEY;
        if ((rows / n6 + 1) * (j1 / n0 - j / n0) > 256) return SOME_KEYS;
        for (ca_int r = i; r < i + rows; r += n6 - r % n6)
            for (ca_int c = j / n0; c <= j1 / n0; c++) {
                ca_int said = ca_block_row(a, x, b, h, r, at, n1, n5, n6, n7, n8)[c];
                least = ca_least(least, said);
                most = ca_most(most, said);
            }
        return least == most ? least : SOME_KEYS;
    }
    case CA_CSR:
        for (ca_int r = 0; r < rows; r++) {
            ca_int n;
            CA_GLOBAL const ca_int *edges = ca_edges_of(a, x, h, i + r, at, n2, n0, n1, &n);
            if (ca_any_listed(edges, n, j, j1 + 1)) return SOME_KEYS;
        }
        return NO_KEY;
    case CA_ADAPTIVE_SPAN: { /* ramp: what is multiplied is not hidden by the pattern, but what is multiplied by 0 need not be read */
        CA_GLOBAL const float *span = (CA_GLOBAL const float *)ca_words(a, x, at);
        return (float)near >= span[0] + span[1 + h] ? NO_KEY : ALL_KEYS;
    }
    case CA_LSH: return SOME_KEYS;
    default: return ALL_KEYS; /* what is taken by scores is taken later */
    }
}

static inline ca_int ca_next(QUERY_PARAMS, ca_int j, NODE_PARAMS)
{
    const ca_int p1 = p + rows - 1;
    switch (type) {
    case CA_STRIDED: {
        ca_int rest = j < p - n0 ? ca_mod(j - p, n0) : 0; /* behind a key that one of the rows has in its column */
        return rest < rows ? j : ca_least(j + n0 - rest, p - n0 + 1);
    }
    case CA_FIXED: {
        ca_int own = ca_div(p1, n0) < j / n0 ? CA_NO_MORE : ca_most(j, ca_div(p, n0) * n0);
        return n1 ? ca_least(own, j % n0 >= n0 - n1 ? j : j / n0 * n0 + n0 - n1) : own;
    }
    case CA_DILATED: {
        j = ca_most(j, p - n0 + 1);
        ca_int rest = ca_mod(j - p, n1);
        if (rest >= rows) j += n1 - rest;
        return j - p1 < n0 ? j : CA_NO_MORE;
    }
    case CA_RANDOM: return rows > 1 ? j : ca_next_listed(ca_words(a, x, at) + ((ca_long)b * a->Nq + i) * n0, n0, j);
    case CA_TOKENS:
    case CA_LONGFORMER: {
        CA_GLOBAL const ca_int *t = ca_words(a, x, at);
        if (ca_any_listed(t, n0, p, p1 + 1)) return j;
        ca_int next = ca_next_listed(t, n0, j);
        return type == CA_TOKENS || j - p1 > n1 ? next : ca_least(next, ca_most(j, p - n1));
    }
    case CA_SINK_WINDOW: return j < n1 ? j : ca_most(j, p - n0 + 1);
    case CA_PREFIX: return j <= p1 || j < ca_words(a, x, at)[b] ? j : CA_NO_MORE;
    case CA_HIERARCHICAL:
    case CA_CHUNKED: return ca_div(p1, n0) < j / n0 ? CA_NO_MORE : ca_most(j, ca_div(p, n0) * n0);
    case CA_NEIGHBORHOOD: {
        ca_int area = n1 * n2, start, end, unused;
        if (p < 0 || p1 / area >= n0) return j;
        ca_neighbors(p / area, n0, n3, n6, n9, &start, &unused);
        ca_neighbors(p1 / area, n0, n3, n6, n9, &unused, &end);
        start = ca_most(0, start - n6 + 1) * area;
        end += n6 - 1;
        return j / area >= end ? CA_NO_MORE : ca_most(j, start);
    }
    case CA_BIGBIRD: {
        ca_int r0 = ca_div(p, n0), r1 = ca_div(p1, n0), c = j / n0, next = c <= r1 + 1 ? ca_most(c, r0 - 1) : CA_NO_MORE;
        if (c < n2 || (r1 >= 0 && r0 < n2)) return j;
        for (ca_int r = ca_most(r0, 0); r <= ca_least(r1, n3 - 1); r++)
            next = ca_least(next, ca_next_listed(ca_words(a, x, at) + r * n1, n1, c));
        return next == CA_NO_MORE ? next : ca_most(j, next * n0);
    }
    case CA_BLOCK_SPARSE:
    case CA_BLOCK_TOP_K: {
        int by_row = type == CA_BLOCK_TOP_K;
        ca_int r0 = by_row ? 0 : ca_div(p, n0), r1 = by_row ? rows - 1 : ca_div(p1, n0), end = by_row ? n1 * 32 : n3;
        for (ca_int c = j / n0; c < end; c++)
            for (ca_int r = r0; r <= r1; r++)
                if (ca_sees(a, x, b, h, by_row ? i + r : i, by_row ? p + r : r * n0, c * n0, NODE_ARGS)) return ca_most(j, c * n0);
        return CA_NO_MORE;
    }
    case CA_BLOCK_MASK:
        for (ca_int c = j / n0; c < n1; c++)
            for (ca_int r = i; r < i + rows; r += n6 - r % n6)
                if (ca_block_row(a, x, b, h, r, at, n1, n5, n6, n7, n8)[c]) return ca_most(j, c * n0);
        return CA_NO_MORE;
    case CA_CSR: {
        ca_int next = CA_NO_MORE, n;
        for (ca_int r = 0; r < rows && next > j; r++) {
            CA_GLOBAL const ca_int *edges = ca_edges_of(a, x, h, i + r, at, n2, n0, n1, &n);
            next = ca_least(next, ca_next_listed(edges, n, j));
        }
        return next;
    }
    case CA_ADAPTIVE_SPAN: {
        CA_GLOBAL const float *span = (CA_GLOBAL const float *)ca_words(a, x, at);
        float least = (float)p - span[0] - span[1 + h]; /* a key there, or before, has none of the rows */
        return least > (float)j ? least < 0x1p30f ? ca_most(j, (ca_int)least) : CA_NO_MORE : j;
    }
    default: return j;
    }
}

static inline ca_int ca_edge(QUERY_PARAMS, ca_int j, NODE_PARAMS)
{
    const ca_int p1 = p + rows - 1;
    switch (type) {
    case CA_FIXED: {
        ca_int column = n1 && n1 < n0 ? j / n0 * n0 + (j % n0 < n0 - n1 ? n0 - n1 : n0) : CA_NO_MORE, end = (ca_div(p1, n0) + 1) * n0;
        ca_int begin = ca_div(p, n0) * n0;
        return begin > j ? ca_least(begin, column) : end > j ? end : column;
    }
    case CA_HIERARCHICAL:
    case CA_CHUNKED: {
        ca_int begin = ca_div(p, n0) * n0, end = (ca_div(p1, n0) + 1) * n0;
        return begin > j ? begin : end > j ? end : CA_NO_MORE;
    }
    case CA_LONGFORMER:
    case CA_TOKENS: { /* a token, or the key behind it */
        CA_GLOBAL const ca_int *t = ca_words(a, x, at);
        ca_int next = ca_next_listed(t, n0, j), edge = next == j ? j + 1 : next;
        if (next == j)
            for (ca_int place = ca_place(t, n0, j) + 1; place < n0 && t[place] == edge; place++) edge++;
        if (type == CA_TOKENS) return edge;
        return p - n1 > j ? ca_least(edge, p - n1) : p1 + n1 >= j ? p1 + n1 + 1 : edge;
    }
    case CA_SINK_WINDOW: return j < n1 ? n1 : p - n0 + 1 > j ? p - n0 + 1 : CA_NO_MORE;
    case CA_DILATED: return p1 + n0 > j ? p1 + n0 : CA_NO_MORE;
    case CA_NEIGHBORHOOD: {
        ca_int area = n1 * n2, start, end;
        if (p < 0 || p1 / area >= n0) return CA_NO_MORE;
        ca_neighbors(p1 / area, n0, n3, n6, n9, &start, &end);
        end = (end + n6 - 1) * area;
        return end > j ? end : CA_NO_MORE;
    }
    case CA_BIGBIRD:
    case CA_BLOCK_SPARSE:
    case CA_BLOCK_MASK:
    case CA_BLOCK_TOP_K: { /* where the next block has another class */
        ca_int said = ca_class(QUERY_ARGS, j, 1, NODE_ARGS), c = j / n0 + 1;
        for (ca_int n = 0; n < 8 && c * n0 < a->Nk && ca_class(QUERY_ARGS, c * n0, 1, NODE_ARGS) == said; n++) c++;
        return c * n0;
    }
    default: return CA_NO_MORE;
    }
}

/* ---------------------------------------------------------------- the whole */

#ifndef __OPENCL_C_VERSION__
#define NODE(k) (k)->type, (k)->at, (k)->n[0], (k)->n[1], (k)->n[2], (k)->n[3], (k)->n[4], (k)->n[5], (k)->n[6], (k)->n[7], (k)->n[8], (k)->n[9], \
                (k)->n[10], (k)->n[11]
#define FIRST_NODE(x) NODE((x)->nodes)
#else
#define NODE(k) NODE_##k
#if !PATTERN
#define NODE_0 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#endif
#define FIRST_NODE(x) NODE_0
#endif

/* A tree of nodes, on the host: children stand before their parent.  LEAF is an expression, UNITE and MEET combine X and Y. */
#ifdef __OPENCL_C_VERSION__
#ifdef __x86_64__ /* PoCL: what is inlined for each of 16 lanes takes it ten seconds */
#define CA_TREE_FUNCTION static __attribute__((noinline))
#else
#define CA_TREE_FUNCTION static inline
#endif
#define CA_TREE(name, PARAMS, LEAF, UNITE, MEET) \
    CA_TREE_FUNCTION ca_int name PARAMS { return PATTERN_TREE(LEAF, UNITE, MEET); }
#elif !defined(CA_PATTERN_TREES) /* src/host/trees.c has them */
#define CA_TREE(name, PARAMS, LEAF, UNITE, MEET) ca_int name PARAMS;
#else
#define CA_TREE(name, PARAMS, LEAF, UNITE, MEET) \
    ca_int name PARAMS; \
    ca_int name PARAMS \
    { \
        ca_int stack[CA_MAX_NODES] = { 0 }, top = 0; \
        for (const ca_node *n = x->nodes; n < x->nodes + x->num_nodes; n++) { \
            if (n->type < CA_UNION) { stack[top++] = LEAF(n); continue; } \
            for (ca_int kid = 1; kid < n->kids; kid++, top--) { \
                const ca_int first = stack[top - 2], second = stack[top - 1]; \
                stack[top - 2] = n->type == CA_UNION ? UNITE(first, second) : MEET(first, second); \
            } \
        } \
        return stack[0]; \
    }
#endif
#define CA_EITHER(x, y) ((x) | (y))
#define CA_BOTH(x, y) ((x) & (y))

#if !defined(__OPENCL_C_VERSION__) || PATTERN
#define LEAF_SEES(k) ca_sees(a, x, b, h, i, p, j, NODE(k))
CA_TREE(ca_pattern_sees, (const ca_args *a, const ca_optional *x, ca_int b, ca_int h, ca_int i, ca_int p, ca_int j), LEAF_SEES, CA_EITHER, CA_BOTH)
#define LEAF_CLASS(k) ca_class(QUERY_ARGS, j, keys, NODE(k))
CA_TREE(ca_pattern_class, (QUERY_PARAMS, ca_int j, ca_int keys), LEAF_CLASS, ca_most, ca_least)
#define LEAF_NEXT(k) ca_next(QUERY_ARGS, j, NODE(k))
CA_TREE(ca_pattern_next, (QUERY_PARAMS, ca_int j), LEAF_NEXT, ca_least, ca_most)
#define LEAF_EDGE(k) ca_edge(QUERY_ARGS, j, NODE(k))
CA_TREE(ca_pattern_edge, (QUERY_PARAMS, ca_int j), LEAF_EDGE, ca_least, ca_least)
#else
#define ca_pattern_sees(a, x, b, h, i, p, j) 1
#define ca_pattern_class(a, x, b, h, i, p, rows, j, keys) ALL_KEYS
#define ca_pattern_next(a, x, b, h, i, p, rows, j) (j)
#define ca_pattern_edge(a, x, b, h, i, p, rows, j) CA_NO_MORE
#endif

#endif
