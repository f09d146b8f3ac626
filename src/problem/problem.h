/* problem.h -- what to compute: immutable, canonical, printable.  Two calls
 * that mean the same give the same problem and the same string. */
#ifndef CA_PROBLEM_H
#define CA_PROBLEM_H

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include "optional.h"
#include "clattn.h"

struct ca_strides { int64_t b, h, s, d; };
/* A tensor [b][h][i][j] that broadcasts along the axes whose stride is 0; keys from COLS on are masked. */
struct ca_broadcast { int64_t b, h, i, j, cols; bool on; };

#define CA_MAX_MOD_TEXT 6144

/* A sparsity pattern as the kernels see it (cl/pattern.h), its tree as a list in which children stand before their parent, and what
 * has to be done before: SOURCE[k] of leaf K is copied or computed into the pattern's words. */
struct pattern {
    int32_t num_nodes;       /* 0: none */
    ca_node node[CA_MAX_NODES];
    int32_t num_tokens, tokens[CLATTN_MAX_TOKENS]; /* of all leaves, each leaf's sorted */
    int64_t words;           /* of its buffer */
    uint64_t seed[CA_MAX_NODES];
    float ramp;              /* ADAPTIVE_SPAN */
    int32_t most;            /* TOP_K, TOP_P: keys taken of a row, -1: all */
    float share;             /* TOP_P: p; -1: there is none */
    int64_t layout[3], row_heads, edges, edge_heads, rounds, buckets; /* shapes of its tensors; 0: there are none */
    int64_t lists[3], listed, full; /* BLOCK_MASK: [batches][heads][block rows] lists, so long; full 0: none of those */
    bool prefix, documents;
    int32_t passes;          /* over tiles of cl/order.h, in the lane kernels; 0: queries and keys in the tensors' order */
    bool grouped;            /* its rows pick groups of keys, and nothing else changes or hides scores: cl/grouped.h will do */
};

struct problem {
    clattn_dtype dtype;
    int64_t B, Hq, Hkv, Nq, Nk, D, Dv;
    bool ragged;             /* q, out, lse have one batch row of Tq rows, and k, v one of Tk unless they are paged */
    int64_t Tq, Tk;
    int64_t page_size, pages; /* 0: not paged; else k and v have pages for batch rows */
    struct ca_strides q, k, v, o;
    float scale, softcap;    /* softcap 0: off */
    double dropout;          /* probability; 0: off, and then so are the next two */
    uint64_t seed, drop_offset;
    uint32_t left, right;    /* CA_UNLIMITED when open; causal is right = 0 */
    int32_t offset;          /* position of query 0; 0 when nothing is masked */
    bool has_qoff;           /* align = offset: q_offset[b] may replace it at execution */
    bool bottom_right;       /* kv_lens moves offset with the length */
    bool has_alibi, has_sinks;
    int64_t lens;            /* 0: all keys of each batch row exist; else kv_lens tells, and this is the length to expect */
    int64_t slopes_b;        /* elements from one batch row's slopes to the next's */
    struct ca_broadcast bias, mask;
    int64_t new_len;         /* keys appended before */
    int64_t shared_len;      /* keys that are the same for all batch rows */
    int64_t split_len;       /* 0: the algorithm cuts the keys as it likes */
    struct ca_strides kn, vn;
    clattn_weights weights;
    bool round_weights;      /* to the storage type, before they multiply values, where that is faster */
    clattn_score score;
    float score_scale;
    int64_t score_ws;        /* numbers in score_w of an additive score */
    int64_t Dq;              /* dims of q: D but for CLATTN_GENERAL and CLATTN_GAT, whose kernels have two dims */
    int64_t Dk;              /* dims of k */
    clattn_kv_format kv_format;
    clattn_scale k_scale, v_scale, k_zero, v_zero;
    int64_t q_rot, k_rot;
    bool rope_pairs;
    char mods[CA_MAX_MOD_TEXT]; /* the user's functions (mods.c) and the pattern (pattern.c) as they stand before a kernel; "" none */
    bool score_mod, mask_mod, tile_class; /* which of them there are */
    int64_t mod_lengths[CA_MODS];
    clattn_score_callback score_callback;
    clattn_mask_callback mask_callback;
    clattn_tile_callback tile_callback;
    void *callback_data;
    struct pattern pattern;
};

#define CA_MAX_DIM 576
#define CA_SOFTCAP_FITS(c) ((c) >= 1e-37 && (c) <= 1e37) /* it and its inverse are normal f32 */
#define CA_MAX_LEN (1 << 30)
#define CA_MAX_ROW_STRIDE (1 << 22) /* elements: a tile of up to 256 rows stays within 30 bits, */
#define CA_MAX_ROW_SPAN (1 << 30)   /* as does one row, so that their sum fits 31 */

/* The tensors of a problem; every table about tensors is indexed by this.  From CA_QOFF to
 * CA_OPTIONAL_END: the order of cl/optional.h. */
enum ca_slot { CA_Q, CA_K, CA_V, CA_OUT, CA_LSE, CA_QOFF, CA_LENS, CA_SLOPES, CA_SINKS, CA_BIAS, CA_MASK,
               CA_CUQ, CA_CUK, CA_TABLE, CA_KSCALE, CA_VSCALE, CA_KZERO, CA_VZERO, CA_QCOS, CA_QSIN, CA_KCOS, CA_KSIN,
               CA_SCOREW, CA_LEAKS, CA_MOD, CA_PATTERN = CA_MOD + CA_MODS, /* which is made from the next twelve */
               CA_PREFIX_LENS, CA_DOCS, CA_LAYOUT, CA_ROWS, CA_COLUMNS, CA_EDGES, CA_KV_BLOCKS, CA_KV_INDICES, CA_FULL_BLOCKS, CA_FULL_INDICES,
               CA_ROTATIONS, CA_SPANS, CA_KNEW, CA_VNEW, CA_WEIGHTS, CA_SPENT, CA_SLOTS };
#define CA_OPTIONAL_END (CA_PATTERN + 1)
extern const char *const ca_slot_name[CA_SLOTS];
static inline bool ca_slot_is_output(enum ca_slot s) { return s == CA_OUT || s == CA_LSE || s == CA_WEIGHTS || s == CA_SPENT; }
static inline bool ca_slot_is_optional(enum ca_slot s) { return s == CA_LSE || s == CA_QOFF || s == CA_SPENT; }
/* NULL, or why P takes no such tensor. */
const char *ca_slot_unwanted(const struct problem *p, enum ca_slot s);

/* What clattn_attention_init does. */
void ca_attention_defaults(clattn_attention *a);
/* Descriptor -> problem: defaults, strides, overflow, one REQUIRE per rule. */
clattn_status ca_problem_init(struct problem *p, const clattn_attention *a);

/* mods.c: checks A's user functions and makes the text of P->mods. */
clattn_status ca_problem_mods(struct problem *p, const clattn_attention *a);

void ca_pattern_defaults(clattn_pattern *t, clattn_pattern_type type);
const char *ca_pattern_name(int type); /* "strided" */
/* pattern.c: checks A's pattern, makes P->pattern and its text, behind the user's functions. */
clattn_status ca_problem_pattern(struct problem *p, const clattn_attention *a);
/* Once all else of P is known: whether, and in how many passes, its lane kernels go through the pattern in an order of their own; and whether
 * by groups. */
void ca_problem_order(struct problem *p);
static inline bool ca_has_pattern(const struct problem *p, int type)
{
    for (int k = 0; k < p->pattern.num_nodes; k++)
        if (p->pattern.node[k].type == type) return true;
    return false;
}

/* block_mask.c: the lists, partial and full, of P's block mask, by its mask_callback. */
clattn_status ca_block_mask_lists(const struct problem *p, int32_t *const count[2], int32_t *const indices[2]);

/* Is the pattern more than a mask? */
static inline bool ca_problem_lists(const struct problem *p)
{
    return p->pattern.num_nodes && (p->pattern.most >= 0 || p->pattern.share >= 0 || p->pattern.node[0].type == CA_HIERARCHICAL);
}

/* Problem string <-> descriptor: "f16 b2 h32/8 q1 k4096 d128 causal win=1024,0".
 * Unknown tokens are refused by name. */
clattn_status ca_problem_parse(const char *text, clattn_attention *a); /* refuses "pattern=", which needs memory */
/* What a clattn_pattern that was read from text points to; the root is the first. */
struct ca_tree {
    clattn_pattern node[CLATTN_MAX_PATTERNS], *a_row; /* the node whose edges are still those of a row */
    const clattn_pattern *part[CLATTN_MAX_PATTERNS];
    int64_t token[CLATTN_MAX_TOKENS];
    int nodes, parts, tokens;
    double share;            /* of the blocks that a random layout takes */
    int32_t *row_ptr, *col_idx; /* of a graph that was read from a file; NULL: one is drawn */
};
#define CA_USUAL_SHARE 0.1
/* pattern_string.c.  A type's fields in the order of its text; a case has them as attributes. */
struct ca_field { const char *name; enum { CA_FIELD_WHOLE, CA_FIELD_SEED, CA_FIELD_REAL, CA_FIELD_FLAG, CA_FIELD_SIZES, CA_FIELD_FLAGS, CA_FIELD_TOKENS } kind; size_t at; bool optional; };
const struct ca_field *ca_pattern_fields(clattn_pattern_type type); /* ends with name NULL */
clattn_pattern_type ca_pattern_type(const char *name, size_t length); /* 0: unknown */
/* The steps of making a tree: a node, a token or list of its, the places of its parts. */
clattn_status ca_tree_add(struct ca_tree *t, const char *name, size_t length, clattn_pattern **node);
clattn_status ca_tree_token(struct ca_tree *t, clattn_pattern *node, int64_t token);
clattn_status ca_tree_sizes(clattn_pattern *node, const struct ca_field *f, const int64_t *value, int count);
clattn_status ca_tree_parts(struct ca_tree *t, clattn_pattern *node, size_t count);
/* "strided:64" -> T; then, once A's sizes are known, what follows from them, and A->pattern. */
clattn_status ca_pattern_parse(const char *text, struct ca_tree *t);
void ca_tree_complete(struct ca_tree *t, clattn_attention *a);
struct ca_text;
void ca_pattern_print(const struct problem *p, struct ca_text *t); /* " pattern=..." */
int ca_pattern_causality(const struct problem *p); /* 1: .causal means more than hidden keys; -1: so does its absence; 0: no */

/* The same, with the lengths of a ragged batch that "var=" draws or lists: COUNT of queries and of keys, or NULL without it.
 * TEXT, behind the printed problem, makes a string with the same lengths.  And with what A->pattern is, or NULL. */
struct ca_lengths { int64_t count; int32_t *q, *k; char text[288]; struct ca_tree *tree; };
clattn_status ca_problem_parse_lengths(const char *text, clattn_attention *a, struct ca_lengths *l);
void ca_lengths_free(struct ca_lengths *l);
size_t ca_problem_print(const struct problem *p, char *text, size_t size);

/* A decimal integer at *S, which they move behind it; false when there is none or it does not fit. */
bool ca_read_int(const char **s, int64_t *value);
bool ca_read_unsigned(const char **s, uint64_t *value);

/* Numbers are read and written as in C, whatever locale a program has set: hand what is returned to uselocale after. */
locale_t ca_enter_c_locale(void);

size_t ca_dtype_size(clattn_dtype t);
float ca_element(clattn_dtype type, const void *x, int64_t i); /* element I of X */
const char *ca_dtype_name(clattn_dtype t);

/* The canonical strides of tensor S, packed in this order; false when they overflow. */
bool ca_packed_strides(const struct problem *p, enum ca_slot s, clattn_layout layout, struct ca_strides *out);

/* Elements from a tensor's first to its last, 0 when it is empty; and the size of one. */
size_t ca_slot_elements(const struct problem *p, enum ca_slot s);
size_t ca_slot_size(const struct problem *p, enum ca_slot s);
static inline size_t ca_slot_bytes(const struct problem *p, enum ca_slot s)
{
    return ca_slot_elements(p, s) * ca_slot_size(p, s);
}

/* Does memory that belongs to the user lie between the elements of this tensor? */
bool ca_slot_has_gaps(const struct problem *p, enum ca_slot s);

/* Batch rows, and query rows of each, as out and lse have them. */
static inline int64_t ca_out_batch(const struct problem *p) { return p->ragged ? 1 : p->B; }
static inline int64_t ca_out_rows(const struct problem *p) { return p->ragged ? p->Tq : p->Nq; }
/* Rows of lse: all there are. */
static inline int64_t ca_all_rows(const struct problem *p) { return ca_out_batch(p) * p->Hq * ca_out_rows(p); }

/* Does anything change scores, other than hiding keys? */
static inline bool ca_problem_modifies(const struct problem *p)
{
    return p->score == CLATTN_GAT || p->softcap != 0 || p->has_alibi || p->bias.on || p->score_mod || p->score_callback ||
           ca_has_pattern(p, CA_ADAPTIVE_SPAN) || p->pattern.edge_heads;
}

/* Are elements of q, k or v more than loads (cl/elements.h)? */
static inline bool ca_problem_special(const struct problem *p) { return p->score || p->kv_format || p->q_rot || (p->k_rot && !p->new_len); }

bool ca_problem_empty(const struct problem *p);  /* no output element, or no key at all */
double ca_problem_visible(const struct problem *p); /* (query, key) pairs per head and batch that causality and window leave */
double ca_problem_pairs(const struct problem *p); /* and those of them that the pattern lists, about */
/* share.c: the share of the visible pairs which tiles of ROWS neighbouring queries have to visit, about; of one row, those listed. */
double ca_pattern_share(const struct problem *p, double rows);
/* P with as many keys as kv_lens is expected to tell: for the figures of benchmarks. */
struct problem ca_problem_expected(const struct problem *p);
/* With kv_lens these three count kv_len keys a batch row, the most that there can be. */
double ca_problem_flops(const struct problem *p); /* 2 pairs (D + Dv) B Hq */
double ca_problem_bytes(const struct problem *p); /* q, k, v read once, out written once */

/* part.c: a box of P, from and to: batch rows, KV heads, query rows, keys.  Those of some keys are to be merged. */
struct ca_part { int64_t b[2], h[2], i[2], j[2]; };
const char *ca_problem_indivisible(const struct problem *p); /* NULL, or why there are no such parts of it; */
bool ca_problem_cuts_rows(const struct problem *p);          /* else, may a part have some rows only, */
bool ca_problem_cuts_heads(const struct problem *p);         /* or some heads, */
bool ca_problem_cuts_keys(const struct problem *p);          /* or some keys? */
/* R as PART, a problem of its own: its tensors begin so many bytes behind P's. */
void ca_problem_part(const struct problem *p, const struct ca_part *r, struct problem *part);
size_t ca_part_offset(const struct problem *p, const struct problem *part, const struct ca_part *r, enum ca_slot s);
/* Do its elements lie there as the part has them?  Else in rows of lse apart (lse has no strides). */
bool ca_part_is_slice(const struct problem *p, const struct problem *part, enum ca_slot s);

/* The kernels' view of P (offsets 0). */
void ca_problem_args(const struct problem *p, ca_args *a);

#endif
