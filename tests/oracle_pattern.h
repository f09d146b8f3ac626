/* oracle_pattern.h -- sparsity patterns, each written down as its definition, a query and a key at a time; no line shared with the
 * library.  oracle.h judges with them.
 *
 * Four types choose by scores or by hashes: LSH, TOP_K, BLOCK_TOP_K, TOP_P.  What f32 arithmetic may be off by is then part of the
 * definition: a row whose choice it could make otherwise is `undecided`, and so is a key whose hash it could.  Nothing is judged with
 * a row like that: who draws the data draws such rows again (data_draw in attend.c), and one that is left is a failure. */
#ifndef ORACLE_PATTERN_H
#define ORACLE_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

enum oracle_pattern_type { ORACLE_STRIDED = 1, ORACLE_FIXED, ORACLE_DILATED, ORACLE_RANDOM, ORACLE_GLOBAL, ORACLE_BIGBIRD, ORACLE_LONGFORMER,
                           ORACLE_SINK_WINDOW, ORACLE_PREFIX, ORACLE_CHUNKED, ORACLE_DOCUMENT, ORACLE_NEIGHBORHOOD, ORACLE_WINDOW2D,
                           ORACLE_BLOCK_SPARSE, ORACLE_CSR, ORACLE_LSH, ORACLE_TOP_K, ORACLE_BLOCK_TOP_K, ORACLE_TOP_P, ORACLE_ADAPTIVE_SPAN,
                           ORACLE_HIERARCHICAL, ORACLE_BLOCK_MASK, ORACLE_UNION, ORACLE_INTERSECT, ORACLE_PATTERNS };

enum { ORACLE_TOKENS = 6, ORACLE_PARTS = 4 };
struct oracle_pattern {
    enum oracle_pattern_type type;
    long stride, summary, width, count, seed, block, random, globals, radius, window, sinks, chunk, rounds, buckets, k, max, own; /* max 0: none */
    double p, ramp;
    int axes;
    long grid[3], kernel[3], dilation[3], causal[3], shift[3]; /* dilation 0 = 1 */
    long num_tokens, tokens[ORACLE_TOKENS];
    long layout[3];  /* of BLOCK_SPARSE; 0 = 1 head, as many blocks as the keys have */
    long row_heads;  /* of CSR; 0 = 1 */
    long degree;     /* edges of a CSR row on the average */
    long edge_heads; /* of CSR: 1, or more for all heads, have biases of edges */
    long block_size[2], list_batch, list_heads, longest[2]; /* of BLOCK_MASK; lists for one or all, of the partial and the full blocks: so long at most,
                        0 = as many as the keys have, -1 = there are none */
    const struct oracle_pattern *of[ORACLE_PARTS];
};

/* The tensors that patterns come with, packed as clattn.h says. */
struct oracle_lists {
    const int32_t *prefix, *doc_ids, *row_ptr, *col_idx;
    const float *layout, *rotations, *span, *edge_bias;
    const int32_t *count[2], *blocks[2]; /* of BLOCK_MASK, partial and full */
};

struct oracle;
/* Fills O->listed, O->undecided, O->undecided_keys and O->spent for O->pattern; false: no memory. */
bool oracle_list(struct oracle *o);
void oracle_free_list(struct oracle *o);
bool oracle_all_decided(const struct oracle *o);
/* What ADAPTIVE_SPAN multiplies the weight of a key by that lies DISTANCE behind the query. */
double oracle_span(const struct oracle *o, long h, long distance);
/* What CSR's edge adds to a score: 0 where there is no such edge, or no bias. */
float oracle_edge(const struct oracle *o, long h, long i, long j);
/* Does T hold a pattern of this type?  NULL holds none. */
const struct oracle_pattern *oracle_find(const struct oracle_pattern *t, enum oracle_pattern_type type);
const char *oracle_pattern_name(enum oracle_pattern_type type);
/* The sizes of BLOCK_SPARSE's layout, and the edges of CSR. */
void oracle_layout(const struct oracle_pattern *t, long Hq, long Nk, long n[3]);
/* Of BLOCK_MASK's lists: batch rows, heads, blocks of queries, and both longest. */
void oracle_block_lists(const struct oracle_pattern *t, long B, long Hq, long Nq, long Nk, long n[5]);
long oracle_edges(const struct oracle_pattern *t, long Hq, long Nq);

#endif
