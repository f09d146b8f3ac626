/* linargs.h -- what the kernels of linear attention (linear.h) are told, by value: one struct shared by the host compiler
 * and OpenCL C, so that the two cannot disagree. */
#ifndef CA_LINARGS_H
#define CA_LINARGS_H

#include "op.h"

/* The tensors, in the order in which kernels take them.  Of mamba2_ssd: C, B, x, dt, A_log, D. */
enum { LIN_Q, LIN_K, LIN_V, LIN_G, LIN_BETA, LIN_U, LIN_PROJECTION, LIN_STATE, LIN_Z, LIN_OUT, LIN_LSE, LIN_FINAL, LIN_FINAL_Z, LIN_TENSORS };

enum { LIN_IDENTITY, LIN_ELU1, LIN_RELU, LIN_EXP, LIN_SQUARE, LIN_TAYLOR2, LIN_FAVOR, LIN_COS, LIN_SOFTMAX };
enum { LIN_NO_GATE, LIN_BY_HEAD, LIN_BY_DIM };          /* what a decay is for */
enum { LIN_STREAM, LIN_SUMS, LIN_OUTPUTS };             /* a pass over time: causal; of both directions first the sums, then what reads them */

/* Element (b, h, t) of a tensor begins AT + b b + h h + t t. */
typedef struct ca_lin_strides { ca_long b, h, t; } ca_lin_strides;

/* A unit is one head's state, or VBLOCK columns of it: what it holds of a state are S [F][pitch] and z [F], at its place among
 * the states; SCRATCH floats besides are each worker's. */
typedef struct ca_linear {
    ca_long at[LIN_TENSORS];
    ca_lin_strides q, k, v, g, beta, o;
    ca_long T, from, to;            /* steps from ... to - 1 are done; the state is begun at 0 and handed over at T */
    ca_long units, workers, scratch, state; /* floats of a worker, floats of a state */
    ca_int type[LIN_TENSORS];       /* a clattn_dtype; -1: not given */
    ca_int B, H, group, share;      /* H states; a state has GROUP heads of q and out; SHARE states have one head of k */
    ca_int K, V, F;                 /* F features of the K dims */
    ca_int width;                   /* numbers that a row of q or k is kept as: the features, or the dims of pairs of them */
    ca_int map, gate, delta, bonus, normalize, l2norm, ssd, recurrent;
    ca_int chunk, vblock, vblocks, pass; /* chunk 1 if recurrent */
    ca_int late;                    /* rows of out before those of the T steps, which AT says of q, out and lse: they read nothing */
    float scale, eps, max_len, rows; /* rows: 1 / sqrt(features) of favor */
} ca_linear; /* without padding at the end */

/* Dims of the first of a pair that one block of pairs has, with all dims of the second: about 256 features. */
static inline ca_int ca_lin_block(const ca_linear *a) { return a->K < 256 ? 256 / a->K : 1; }

/* Where the parts of a worker's scratch begin, in floats, and the lengths of their rows, for vectors of VL floats:
 *
 *   XQ, XK [C][X]  rows of q and k, mapped, unless they are pairs, which are made block by block
 *   XT     [C][P]  such a block; or q or k with their decays; or what is yet to be projected
 *   KT     [X][C]  k turned
 *   ATT, MAT [C][C]  U, O [C][E]    O: recurrent, a row for each head of q
 *   A, ALL, REST, BETA, FADE, DEN [C]  e^g_i; e_C [1]; D_Ci; beta_i, or dt_i; e_i; out's divisor
 *   GA, DECAY  by dim: [C][X] e^g_i[f]; [X] e_C[f]
 *   WT     [K][X]  the projection turned */
enum { LIN_XQ, LIN_XK, LIN_XT, LIN_KT, LIN_ATT, LIN_MAT, LIN_U_, LIN_O_, LIN_A, LIN_ALL, LIN_REST, LIN_BETA_, LIN_FADE, LIN_DEN, LIN_GA,
       LIN_DECAY, LIN_WT, LIN_PARTS };
typedef struct ca_lin_room { ca_long at[LIN_PARTS], floats; ca_int X, C, E, P; } ca_lin_room;

static inline void ca_lin_layout(const ca_linear *a, ca_int vl, ca_lin_room *r)
{
#define UP(n) ((ca_long)((n) + vl - 1) / vl * vl)
    const ca_long C = a->chunk, rows = a->recurrent ? a->group : C, chunked = !a->recurrent, by_dim = a->gate == LIN_BY_DIM;
    const ca_long paired = a->map == LIN_SQUARE || a->map == LIN_TAYLOR2, block = UP(ca_lin_block(a) * a->K) + vl;
    r->X = (ca_int)UP(a->recurrent ? a->F : a->width);
    r->C = (ca_int)UP(C);
    r->E = (ca_int)UP(a->vblock);
    r->P = (ca_int)UP(a->width > a->K ? a->width : a->K);
    if (paired && block > r->P) r->P = (ca_int)block;
    const ca_long floats[LIN_PARTS] = {
        rows * r->X + vl, C * r->X + vl, C * r->P + vl, chunked * r->X * r->C, chunked * C * r->C, chunked * a->delta * C * r->C,
        C * r->E, rows * r->E, r->C, 1, r->C, r->C, r->C, UP(rows), by_dim * C * r->X, by_dim * r->X, (a->map == LIN_FAVOR) * a->K * r->X,
    };
    r->floats = 0;
    for (int k = 0; k < LIN_PARTS; k++) {
        r->at[k] = r->floats;
        r->floats += UP(floats[k]);
    }
#undef UP
}

#endif
