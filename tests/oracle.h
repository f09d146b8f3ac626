/* oracle.h -- attention written down as its definition, in f64, and the error that a plain f32
 * computation of it makes.  It shares no line with the library, on purpose: not its headers,
 * not its conversions, not its masks.
 *
 * The bound that every algorithm has to keep, for element d of row i:
 *
 *     |got - exact| <= 2 rho c_i + ulp(exact) + lost_i    c_i = max over d of sum over j of p_ij |v_jd|
 *
 * rho is the largest error of the plain computation, in units of c_i, over all rows of the tensor:
 * inputs rounded to the storage type, f32 arithmetic in naive order.  c_i is what any summation's error is
 * relative to, so that a row of large values does not buy room for a row of small ones.  The
 * ulp is that of the output type and pays for the final rounding; lost_i is the part of c_i
 * whose weights or products are below the normal f32, which OpenCL allows to be 0 (a sink may take all else).  One row may be lucky and come
 * out exact, so a tensor with few rows is looked at again with inputs moved by up to 1/16
 * until enough rows were seen; the factor 2 is never touched.
 *
 * For the log-sum-exp, f32 in every type: |got - exact| <= 2 max|plain - exact| + ulp(exact). */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "oracle_pattern.h"

enum oracle_type { ORACLE_F32, ORACLE_F16, ORACLE_BF16 };

/* A tensor [B][Hq][Nq][Nk] that is packed and broadcasts along the axes of size 1; X NULL: there is none. */
struct oracle_tensor { const float *x; long n[4]; };

struct oracle {
    enum oracle_type type;
    long B, Hq, Hkv, Nq, Nk, D, Dv;
    double scale, softcap;     /* softcap 0: off */
    bool rounded;              /* weights may be rounded to TYPE: what is done plainly does so */
    bool causal;               /* only keys j <= p, p = i + offset of the batch row */
    long left, right;          /* p - left <= j <= p + right; -1 = unlimited */
    const int32_t *offset;     /* [B] */
    const int32_t *lens;       /* [B], keys that exist; NULL = all */
    struct oracle_tensor bias; /* -inf masks, as does a last axis that is too short */
    struct oracle_tensor mask; /* nonzero = attend */
    struct oracle_tensor slopes; /* [B or 1][Hq][1][1]: - slope |p - j| */
    struct oracle_tensor sinks;  /* [1][Hq][1][1] */
    int score;                   /* 0 q.k; 1 additive, w of w_count numbers (0: ones); 2 q W k, W [Dq][D]; 3 leaky(q + k), w [Hq] */
    const float *w;
    long w_count, Dq;            /* Dq 0 = D */
    double score_scale;
    double dropout;              /* weights whose uniform number is below are 0, the others scaled by 1 / (1 - dropout) */
    uint64_t seed, drop_offset;
    const float *table;          /* of 7: score + (p - j) / 8 + table[j % 7]; NULL: none */
    enum { ORACLE_ALL, ORACLE_FOURTHS, ORACLE_TILES, ORACLE_NONE } seen; /* only keys with (p + j) % 4 != 0; those that
                                    oracle_in_tiles says; none */
    const struct oracle_pattern *pattern; /* NULL: none; HIERARCHICAL goes with causal and lens alone */
    struct oracle_lists lists;
    /* Filled by oracle_list, that is by oracle_run, for a pattern: [B][Hq][Nq][Nk], [B][Hq][Nq], [B][Hkv][Nk], [B][Hq][Nq]. */
    unsigned char *listed, *undecided, *undecided_keys;
    int32_t *spent;
    /* Filled by oracle_run; packed [B][Hq][Nq][Dv] and [B][Hq][Nq]. */
    double *out, *lse, *room, *lost; /* room, lost [B][Hq][Nq]: 2 rho c_i + lost_i, lost_i */
    double rho, lse_room;
    const float *q, *k;        /* as given */
    int32_t *own_offset;       /* freed with the rest; the caller may have put offset here */
};

/* Inputs are packed [B][H][N][D] and hold values that the storage type has.  False: no memory. */
bool oracle_run(struct oracle *o, const float *q, const float *k, const float *v);
void oracle_free(struct oracle *o);

/* The score or weight of key J in ROW, and what f32 arithmetic may be off by. */
enum oracle_stage { ORACLE_RAW = 1, ORACLE_CAPPED, ORACLE_BIASED, ORACLE_PROBS };
double oracle_weight(const struct oracle *o, enum oracle_stage stage, size_t row, long j, double *room);

/* X rounded to the type (nearest even), and the distance of its neighbours there. */
double oracle_round(enum oracle_type t, double x);
double oracle_ulp(enum oracle_type t, double x);

/* Is key J there for query I of head H of batch row B? */
bool oracle_visible(const struct oracle *o, long b, long h, long i, long j);

/* Number WORD of 4 of a block of Philox4x32-10, in [0, 1); what dropout multiplies key J's weight in ROW by. */
double oracle_uniform(uint64_t seed, uint64_t offset, uint64_t block, int word);
double oracle_keep(const struct oracle *o, size_t row, long j);
/* A mask of rectangles: all keys in one third of them, none in another, and in the last those with (p + j) % 4 != 0. */
bool oracle_in_tiles(long p, long j);
/* How much of it there is in the queries at p0 ... p1 - 1 and the keys j0 ... j1 - 1: 0 nothing, 2 all, 1 some. */
int oracle_tile_class(long p0, long p1, long j0, long j1);

/* How far beyond the bound GOT is: <= 1 is right.  NaN is wanted where the exact value is NaN. */
double oracle_out_excess(const struct oracle *o, size_t row, long d, float got);
double oracle_lse_excess(const struct oracle *o, size_t row, float got);

#endif
