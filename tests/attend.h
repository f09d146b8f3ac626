/* attend.h -- what the attention tests share: a problem in a few words, its tensors in memory of any
 * shape with canaries around and between, and running one algorithm on them through the public
 * interface, on host pointers and on cl_mem.
 *
 * The device is the one that the environment names (CLATTN_DEVICES); one context serves the process. */
#ifndef ATTEND_H
#define ATTEND_H

#include "oracle.h"
#include "plan/plan.h"

/* How the tensors lie in memory. */
enum memory {
    PACKED,  /* BHSD, strides from the layout */
    SWAPPED, /* BSHD, strides from the layout */
    GAPPED,  /* gaps behind rows, heads and batches */
    SPREAD,  /* a gap behind every element */
    TURNED,  /* rows are neighbours: [B][H][D][N] */
    SHARED,  /* all batch rows use the same keys and values (batch stride 0) */
    MEMORIES
};

struct shape {
    clattn_dtype dtype;
    enum memory memory;
    int B, Hq, Hkv, Nq, Nk, D, Dv; /* B, Hq: 0 = 1, -1 = 0; Hkv 0 = Hq; Dv 0 = D */
    double scale;                  /* 0 = default; NAN = zero */
    double softcap;
    int causal;
    clattn_align align;
    int q_offset;
    const int32_t *offsets;        /* [B], with CLATTN_OFFSET */
    int window, left, right;       /* left and right count when window is set */
    const int32_t *lens;           /* [B] keys that exist; NULL = all */
    const char *bias, *mask;       /* the axes that they have, of "bhqk"; "" = one element; NULL = none */
    int shorter;                   /* so many keys are missing at the end of both */
    clattn_alibi alibi;
    int sinks;
    int rounded;                   /* weights may be */
    double dropout;                /* with this seed and offset */
    uint64_t seed, drop_offset;
    const int32_t *q_lens;         /* [B] ragged: Nq and Nk are the longest, LENS the lengths of the keys */
    int new_len;                   /* the last so many of each batch row's LENS keys are appended by the execution */
    clattn_weights weights;
    clattn_kv_format kv_format;    /* with scales, and zero points where there are, of this kind */
    clattn_scale scale_kind;
    int zeroless;                  /* int8 with scales, but without zero points */
    clattn_score score;
    int score_ws, q_dim;           /* of an additive score; dims of q for a general one, 0 = D */
    int mod;                       /* with a score_mod, that of the oracle's table, and a mask_mod, each fourth key */
    enum tiles {                   /* with a mask_mod of tiles instead, and with a tile_class that says */
        NO_TILES,
        TILES,                     /* what is true */
        TILES_UNTOLD,              /* nothing: there is none */
        TILES_SOME,                /* 1 of each tile */
        TILES_NONE, TILES_ALL      /* 0, or 2, of each: a lie, that all algorithms but gemm believe */
    } tiles;
    int rope, rope_pairs;          /* dims that are turned, by quarters of a circle */
    int shared, split;             /* shared_len: so many keys are the same for all batch rows; split_len */
    const struct oracle_pattern *pattern; /* NULL: none */
    int repeats;                   /* above 0: keys, not their values, come again after so many */
    int page;                      /* keys of a page, a divisor of Nk; 0 = not paged */
    const char *algo, *params;     /* for this algorithm alone, with these parameters */
    enum reach {
        DEVICES,                   /* not on slow devices */
        EVERYWHERE,                /* on them too */
        HOST,                      /* only where nothing has to be built */
        TINY                       /* as HOST, and under a simulator that runs nothing else */
    } reach;
};

/* Of a shape: PATTERN(STRIDED, .stride = 7), PATTERN(UNION, .of = { LEAF(PREFIX), LEAF(CHUNKED, .chunk = 4) }). */
#define LEAF(name, ...) &(const struct oracle_pattern){ .type = ORACLE_##name, __VA_ARGS__ }
#define PATTERN(...) .pattern = LEAF(__VA_ARGS__)

/* Values, packed [B][H][N][D], that the storage type has; what the shape has not is NULL. */
struct data {
    float *q, *k, *v, *slopes, *sinks, *bias, *mask;
    float *k_bytes, *v_bytes, *k_scale, *v_scale, *k_zero, *v_zero; /* what k and v are quantised as */
    float *k_raw, *v_raw;                                           /* what rounds to that, where keys are appended */
    float *score_w, *leaks, *table;
    float *q_cos, *q_sin, *k_cos, *k_sin, *q_before, *k_before;     /* what q and k were before they were turned */
    int32_t *prefix, *doc_ids, *row_ptr, *col_idx;                  /* of the pattern */
    float *layout, *rotations, *span, *edge_bias;
    int32_t *count[2], *blocks[2];
};
/* What came out, packed likewise. */
struct result { float *out, *lse, *weights, *spent; }; /* the last two NULL where the shape has none */

struct shape shape_full(struct shape s);           /* no field left to default */
size_t shape_rows(const struct shape *s);          /* B Hq Nq */
enum { SHAPE_TEXT = 600, WHAT_TEXT = SHAPE_TEXT + 40 }; /* with the name of an algorithm */
void shape_print(const struct shape *s, char text[SHAPE_TEXT]);
/* Bytes of a quantised row of DIMS dims; and the sizes of its scales, product of N. */
int shape_row_bytes(const struct shape *s, int dims);
void shape_scales(const struct shape *s, int dims, long n[4]);
/* Position of query 0 of batch row B. */
int shape_offset(const struct shape *s, int b);
/* The sizes of bias or mask, which has the axes AXES. */
void shape_broadcast(const struct shape *s, const char *axes, long n[4]);
double shape_scale(const struct shape *s);

clattn_context *attend_context(void);
bool attend_is_slow(void);
bool attend_is_host(void);
/* Is S for this device? */
bool attend_wants(const struct shape *s);
void attend_close(void);

/* The problem that ran last, in words: what a crash was in. */
extern char attend_problem[WHAT_TEXT];

/* Names of the algorithms that are legal for S on this device, parameters that matter behind them; returns how many. */
size_t attend_algos(const struct shape *s, const char *names[CA_MAX_CANDIDATES]);

/* Oclgrind takes its time for each work-item, also for those that have nothing to do: NAME with small groups and tiles there, so that few items
 * make several tiles; else NAME. */
const char *attend_small(const char *name);

/* Normal-like values; the same seed gives the same data. */
bool data_draw(const struct shape *s, uint64_t seed, struct data *d);
void data_free(struct data *d);
uint64_t draw_bits(uint64_t *state);
int draw_below(uint64_t *state, int n);
double draw_normal(uint64_t *state);
float draw_value(const struct shape *s, uint64_t *state);
/* Turns query ROW by row I of the tables. */
void data_turn(const struct shape *s, float *row, const float *cosine, const float *sine, int i);

/* A pattern in words, and its tensors.  pattern_decide draws rows anew until no choice of the pattern's depends on how f32 rounds. */
int pattern_print(const struct oracle_pattern *t, char *text, size_t size);
bool pattern_draw(const struct shape *s, uint64_t *seed, struct data *d);
struct oracle_lists pattern_lists(const struct data *d);
bool pattern_decide(const struct shape *s, uint64_t seed, struct data *d);

/* Counts and prints a failure; the tests assert that none was counted. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
int failures(void); /* since the last call */

/* Runs ALGO (NULL: the planner's choice) on host pointers.  Canaries, gaps and inputs are checked.
 * False, with a failure counted, when a call failed.  R is allocated; free it by result_free. */
bool attend(const struct shape *s, const char *algo, const struct data *d, struct result *r);
/* The same with everything that can be asked of an execution: twice with the same bits, and on
 * cl_mem with offsets, a wait list and an event, again with the same bits. */
bool attend_thoroughly(const struct shape *s, const char *algo, const struct data *d, struct result *r);
void result_free(struct result *r);
/* Runs ALGO with PARAMS (NULL: the device's) on cl_mem TIMES times, with numbers of all sizes in kv_lens, q_offset,
 * cu_seqlens and block_table.  The results may be anything, but nothing else may be written; every second time the
 * buffers are no larger than their tensors, for those who watch their bounds. */
void attend_garbage(const struct shape *s, const char *algo, const char *params, const struct data *d, uint64_t seed,
                    int times);

/* S on D as the oracle is asked. */
bool attend_describe(const struct shape *s, const struct data *d, struct oracle *o);
/* The exact result of S on D; false: no memory (counted).  A row whose pattern is undecided is a failure. */
bool attend_oracle(const struct shape *s, const struct data *d, struct oracle *o);
/* Counts a failure when R leaves the bound; returns the largest excess (<= 1 is right). */
double attend_judge(const struct shape *s, const char *algo, const struct oracle *o, const struct result *r);

#endif
