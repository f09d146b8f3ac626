/* elements.h -- elements of q, k and v that are not simply loaded: turned by a rotary embedding, dequantised, or made so
 * that another score becomes a product,
 *
 *   general    q W k           q becomes q W
 *   gat        leaky(q + k)    (q, 1) (1, k), of two dims; the leak comes after (score.h)
 *
 *   int8       (byte - zero) scale            scale by key, by dim of a KV head, or none
 *   fp8_e4m3   s eeee mmm, bias 7, no infinity; S.1111.111 is NaN        scale by KV head
 *   q8_0       blocks of 32 dims: f16 scale, 32 signed bytes             GGML
 *   q4_0       blocks of 32 dims: f16 scale, 16 bytes; dim d < 16 is the lower half of byte d, d + 16 the upper, minus 8
 *
 * Needs: stored, load_at; GLOBAL, INLINE; AS_FLOAT(bits). */
#ifndef CA_ELEMENTS_H
#define CA_ELEMENTS_H

#include "optional.h"

/* An f16 by its bits, as f32. */
INLINE float half_value(ca_uint u)
{
    ca_uint rest = u & 0x7fff, sign = (u & 0x8000) << 16;
    if (rest >= 0x7c00) return AS_FLOAT(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    float x = rest < 0x400 ? (float)rest * 0x1p-24f : AS_FLOAT((rest << 13) + (112u << 23)); /* devices may flush an f32's subnormals */
    return sign ? -x : x;
}

INLINE float fp8_value(ca_uint u)
{
    ca_uint rest = u & 0x7f, sign = (u & 0x80) << 24;
    if (rest == 0x7f) return AS_FLOAT(0x7fc00000 | sign);
    float x = rest < 8 ? (float)rest * 0x1p-9f : AS_FLOAT((rest << 20) + (120u << 23));
    return sign ? -x : x;
}

/* Dim d of the row of bytes at AT; N numbers its scale by key, hk its KV head of DIMS dims. */
INLINE float dequantised(const ca_args *A, GLOBAL const ca_byte *at, GLOBAL const float *scale, ca_long scale_0, int kind,
                         GLOBAL const float *zero, ca_long zero_0, int zero_kind, ca_long n, int hk, int dims, int d, int d_stride)
{
    if (QUANT_FORMAT(A) == CA_Q8_0) {
        GLOBAL const ca_byte *block = at + d / 32 * CA_BLOCK_BYTES(CA_Q8_0);
        return half_value(block[0] | (ca_uint)block[1] << 8) * (float)(ca_signed_byte)block[2 + d % 32];
    }
    if (QUANT_FORMAT(A) == CA_Q4_0) {
        GLOBAL const ca_byte *block = at + d / 32 * CA_BLOCK_BYTES(CA_Q4_0);
        int byte = block[2 + d % 16];
        return half_value(block[0] | (ca_uint)block[1] << 8) * (float)((d % 32 < 16 ? byte & 15 : byte >> 4) - 8);
    }
    ca_byte byte = at[(ca_long)d * d_stride];
    float x = QUANT_FORMAT(A) == CA_FP8 ? fp8_value(byte) : (float)(ca_signed_byte)byte;
    if (zero_kind) x -= zero[zero_0 + (zero_kind == CA_BY_KEY ? n : (ca_long)hk * dims + d)];
    if (kind) x *= scale[scale_0 + (kind == CA_BY_KEY ? n : kind == CA_BY_DIM ? (ca_long)hk * dims + d : hk)];
    return x;
}

/* Dim d of D of the row X(d), turned by the tables' row at COS and SIN, ROT dims of it: pairs (2i, 2i + 1), or (i, i + rot / 2). */
#define TURNED(X, COS, SIN, ROT, PAIRS) \
    int half_ = (ROT) / 2, odd_ = (PAIRS) ? d % 2 : d >= half_, i_ = (PAIRS) ? d / 2 : d % half_, other_ = (PAIRS) ? d ^ 1 : (d + half_) % (ROT); \
    float x_ = X(d), y_ = X(other_); \
    return odd_ ? x_ * (COS)[i_] + y_ * (SIN)[i_] : x_ * (COS)[i_] - y_ * (SIN)[i_];

/* Dim d of query i, whose row begins at ROW. */
INLINE float query_dim(const ca_args *A, const ca_optional *X, GLOBAL const stored *row, int i, int d)
{
#define PLAIN(e) load_at(row, (ca_long)(e) * A->q_d)
    if (IS_ON(ROPE, A->q_rot) && d < A->q_rot) {
        GLOBAL const float *c = X->q_cos + A->q_cos_0 + (ca_long)i * (A->q_rot / 2), *s = X->q_sin + A->q_sin_0 + (ca_long)i * (A->q_rot / 2);
        TURNED(PLAIN, c, s, A->q_rot, A->rope_pairs)
    }
    if (IS_ON(SCORE, A->score) && A->score == CA_GAT) return d == 0 ? PLAIN(0) : 1.f;
    if (IS_ON(SCORE, A->score) && A->score == CA_GENERAL) {
        float sum = 0.f;
        for (int e = 0; e < A->Dq; e++) sum += PLAIN(e) * X->score_w[A->score_w_0 + (ca_long)e * A->D + d];
        return sum;
    }
    return PLAIN(d);
#undef PLAIN
}

/* Dims that a key has in memory, of the D that the kernels see. */
INLINE int dims_of_key(const ca_args *A, int D) { return IS_ON(SCORE, A->score) && A->score == CA_GAT ? 1 : D; }

/* What an additive score multiplies the tanh of dim d by. */
INLINE float score_weight(const ca_args *A, const ca_optional *X, int d)
{
    return A->score_ws == 0 ? 1.f : X->score_w[A->score_w_0 + (A->score_ws == 1 ? 0 : d)];
}

/* Where head hk's first key or value is: OFFSET counts elements, or bytes of a quantised cache. */
INLINE GLOBAL const stored *kv_from(const ca_args *A, GLOBAL const stored *t, ca_long offset)
{
    return IS_ON(QUANT, A->kv_format) ? (GLOBAL const stored *)((GLOBAL const ca_byte *)t + offset) : t + offset;
}

/* Dim d of key j, and of value j, of KV head hk of batch row b, which begins at K, at V. */
INLINE float key_plain(const ca_args *A, const ca_optional *X, GLOBAL const stored *k, int b, int hk, int j, int d)
{
    ca_long at = ca_key_at(A, X, b, j, A->k_b, A->k_s);
    if (!IS_ON(QUANT, A->kv_format)) return load_at(k, at + (ca_long)d * A->k_d);
    return dequantised(A, (GLOBAL const ca_byte *)k + at, X->k_scale, A->k_scale_0, A->k_scale, X->k_zero, A->k_zero_0, A->k_zero,
                       ca_key_number(A, X, b, hk, j), hk, dims_of_key(A, A->D), d, A->k_d);
}

INLINE float key_dim(const ca_args *A, const ca_optional *X, GLOBAL const stored *k, int b, int hk, int j, int d)
{
#define PLAIN(e) key_plain(A, X, k, b, hk, j, e)
    if (IS_ON(SCORE, A->score) && A->score == CA_GAT) return d == 0 ? 1.f : PLAIN(0);
    if (IS_ON(ROPE, A->k_rot) && d < A->k_rot) {
        GLOBAL const float *c = X->k_cos + A->k_cos_0 + (ca_long)j * (A->k_rot / 2), *s = X->k_sin + A->k_sin_0 + (ca_long)j * (A->k_rot / 2);
        TURNED(PLAIN, c, s, A->k_rot, A->rope_pairs)
    }
    return PLAIN(d);
#undef PLAIN
}

INLINE float value_dim(const ca_args *A, const ca_optional *X, GLOBAL const stored *v, int b, int hk, int j, int d)
{
    ca_long at = ca_key_at(A, X, b, j, A->v_b, A->v_s);
    if (!IS_ON(QUANT, A->kv_format)) return load_at(v, at + (ca_long)d * A->v_d);
    return dequantised(A, (GLOBAL const ca_byte *)v + at, X->v_scale, A->v_scale_0, A->v_scale, X->v_zero, A->v_zero_0, A->v_zero,
                       ca_key_number(A, X, b, hk, j), hk, A->Dv, d, A->v_d);
}

#ifdef __OPENCL_C_VERSION__
/* Dims d ... d + 3 of a row of DIMS; behind it 0. */
#define FOUR(dim) \
    float4 t = (float4)(0.f); \
    if (d < dims) t.x = dim(d); \
    if (d + 1 < dims) t.y = dim(d + 1); \
    if (d + 2 < dims) t.z = dim(d + 2); \
    if (d + 3 < dims) t.w = dim(d + 3); \
    return t;
INLINE float4 query_dims(const ca_args *A, const ca_optional *X, GLOBAL const stored *row, int i, int d, int dims)
{
#define DIM(e) query_dim(A, X, row, i, e)
    FOUR(DIM)
#undef DIM
}
INLINE float4 key_dims(const ca_args *A, const ca_optional *X, GLOBAL const stored *k, int b, int hk, int j, int d, int dims)
{
#define DIM(e) key_dim(A, X, k, b, hk, j, e)
    FOUR(DIM)
#undef DIM
}
INLINE float4 value_dims(const ca_args *A, const ca_optional *X, GLOBAL const stored *v, int b, int hk, int j, int d, int dims)
{
#define DIM(e) value_dim(A, X, v, b, hk, j, e)
    FOUR(DIM)
#undef DIM
}
#undef FOUR

/* s + q k over four dims. */
INLINE float dot_add(float4 q, float4 k, float s)
{
    return fma(k.x, q.x, fma(k.y, q.y, fma(k.z, q.z, fma(k.w, q.w, s))));
}
#endif

#endif
