/* args.h -- what every attention kernel is told, by value: one struct shared by
 * the host compiler and OpenCL C, so that the two cannot disagree. */
#ifndef CA_ARGS_H
#define CA_ARGS_H

#ifdef __OPENCL_C_VERSION__
typedef long ca_long;
typedef int ca_int;
typedef uint ca_uint;
typedef ulong ca_ulong;
typedef ushort ca_ushort;
typedef uchar ca_byte;
typedef char ca_signed_byte;
#else
#include <stdint.h>
typedef int64_t ca_long;
typedef int32_t ca_int;
typedef uint32_t ca_uint;
typedef uint64_t ca_ulong;
typedef uint16_t ca_ushort;
typedef uint8_t ca_byte;
typedef int8_t ca_signed_byte;
#endif

#define CA_MAX_NODES 12     /* patterns in one */
#define CA_MODS 4           /* buffers that a user's score_mod, mask_mod and tile_class may have */

/* Element (b, h, row, d) of tensor t lies at t_0 + b t_b + h t_h + row t_s + d t_d elements.
 * Bases per (batch, head) are 64-bit; a tile's rows times its row stride fit 31 bits.
 * Ragged: q, k, v, out and lse have one batch row, in which sequence b begins at row cu_q[b] or cu_k[b].
 * Paged: k and v have pages instead of batch rows; keys page_size n ... of batch row b are page table[b][n]. */
typedef struct ca_args {
    ca_long q_0, q_b, q_h;
    ca_long k_0, k_b, k_h;
    ca_long v_0, v_b, v_h;
    ca_long o_0, o_b, o_h;
    ca_long lse_0, lse_b, lse_h; /* lse is f32 [B][Hq][Nq], or [Hq][Tq] */
    ca_long qoff_0, lens_0, sinks_0;               /* int32 [B], int32 [B], f32 [Hq] */
    ca_long cu_q_0, cu_k_0, table_0, table_b;      /* int32 [B + 1] twice, [B][pages of a batch row] */
    ca_long slopes_0, slopes_b;                    /* f32 [B or 1][Hq] */
    ca_long bias_0, bias_b, bias_h, bias_i;        /* f32, element (b, h, i, j); a stride of 0 broadcasts */
    ca_long mask_0, mask_b, mask_h, mask_i;        /* bytes, likewise */
    ca_long k_scale_0, v_scale_0, k_zero_0, v_zero_0, q_cos_0, q_sin_0, k_cos_0, k_sin_0;
    ca_long score_w_0, leaks_0;
    ca_long mod_0[CA_MODS];
    ca_long kn_0, kn_b, kn_h, vn_0, vn_b, vn_h;    /* k_new and v_new */
    ca_long w_0;                                   /* weights, f32 [B][Hq][Nq][Nk] */
    ca_long ws_po, ws_pml;  /* split: where the parts' o and (m, l) lie in the workspace, in floats; gather, grouped.h: ws_po, the scores or states */
    ca_int q_s, q_d, k_s, k_d, v_s, v_d, o_s, o_d, kn_s, kn_d, vn_s, vn_d;
    ca_int pattern_0;       /* where the words of the pattern are (cl/pattern.h), in units of 64 */
    ca_int new_len;         /* keys that were appended: there are kv_lens[b] + new_len */
    ca_int stage;           /* of the weights */
    ca_int kv_format;       /* CA_INT8 ...: strides of k and v count bytes */
    ca_int k_scale, v_scale, k_zero, v_zero; /* CA_BY_...; 0: none */
    ca_int q_rot, k_rot, new_rot; /* dims that are turned, 0: none; of k_new alone where there is one */
    ca_int score;           /* CA_ADDITIVE ...; q has Dq dims, which only CA_GENERAL has other than D */
    ca_int Dq, score_ws;    /* numbers in score_w: D, 1, or 0 for ones */
    float score_scale;      /* CA_ADDITIVE: within tanh */
    ca_ulong seed, drop_offset; /* of dropout's random numbers; together: on Intel's GPUs parameters take registers */
    ca_uint drop_below;     /* dropout: a weight goes whose random 24 bits are below this; 0: off */
    float keep_scale;       /* and out is multiplied by this */
    ca_int rope_pairs;      /* pairs (2i, 2i + 1), else (i, i + rot / 2) */
    ca_int B, Hq, Hkv, group; /* group = Hq / Hkv */
    ca_int Nq, Nk, D, Dv;   /* of ragged ones the longest lengths */
    ca_int Tq, Tk;          /* rows of the packed tensors: ragged only */
    ca_int page_size, pages; /* 0: not paged */
    ca_uint left, right;    /* window about p, CA_UNLIMITED when open; causal is right = 0 */
    ca_int offset;          /* p = i + offset, unless has_qoff */
    ca_int bottom_right;    /* the last query stands at the last key: offset moves with the batch row's length */
    ca_int bias_j, bias_cols, mask_j, mask_cols; /* keys from cols on are masked */
    ca_int has_qoff, has_lse;
    ca_int scored;          /* between q.k and softmax there is more than scale, causality and window: CA_MASKED ... */
    float scale, softcap;   /* a score is scale q.k, or softcap tanh(scale q.k / softcap) unless that is 0 */
    ca_int split_len;       /* keys per part (split only, as are those below); grouped.h: rows per chunk */
    ca_int splits;          /* parts of a row */
    ca_int shared_len;      /* the first so many keys are the same for all batch rows: parts of their own */
    ca_int first_part;      /* of a launch: 0, or the first behind the shared ones; gather, prepare: the first row, grouped.h: chunk */
} ca_args; /* without padding at the end, which rusticl does not count */

enum { CA_INT8 = 1, CA_FP8, CA_Q8_0, CA_Q4_0 };   /* clattn_kv_format */
#define CA_BLOCK_BYTES(format) ((int)(format) == CA_Q8_0 ? 34 : 18) /* of 32 dims: an f16, and a byte or half of one for each */
enum { CA_ADDITIVE = 1, CA_GENERAL, CA_GAT };     /* clattn_score */
enum { CA_MASKED = 1, CA_MODIFIED };              /* only keys that are hidden, or scores that change too */
enum { CA_BY_KEY = 1, CA_BY_DIM, CA_BY_HEAD };    /* clattn_scale */
enum { CA_NO_WEIGHTS, CA_RAW, CA_CAPPED, CA_BIASED, CA_PROBS }; /* clattn_weights */

#define CA_UNLIMITED 0xffffffffu /* further than any position is from any key */

/* The keys [lo, hi) that the query at position p may see: the whole mask of a dense,
 * causal or windowed attention.  Positions are 64-bit here: p + right may pass 2^31. */
static inline ca_int ca_key_lo(ca_long p, ca_uint left, ca_int Nk)
{
    ca_long lo = p - (ca_long)left;
    return lo < 0 ? 0 : lo > Nk ? Nk : (ca_int)lo;
}
static inline ca_int ca_key_hi(ca_long p, ca_uint right, ca_int Nk)
{
    ca_long hi = p + (ca_long)right + 1;
    return hi < 0 ? 0 : hi > Nk ? Nk : (ca_int)hi;
}

#endif
