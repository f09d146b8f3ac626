/* lanerows.h -- the elements of elements.h by whole rows, in lanes: a query, a key or a value as f32, contiguous; behind the last
 * dim 0 up to a whole number of vectors.  And a row of the output. */
#ifndef CA_LANEROWS_H
#define CA_LANEROWS_H

/* What a row of bytes is scaled by, or its zero point: each dim by AT[d], or all by X. */
struct quant { GLOBAL const float *at; float x; };

/* Not returned: of a struct returned and inlined Clang makes llvm.experimental.noalias.scope.decl, where Oclgrind 21.10 gives up. */
INLINE void find_quant(struct quant *to, GLOBAL const float *t, ca_long t_0, int kind, float none, ca_long n, int hk, int dims)
{
    to->at = kind == CA_BY_DIM ? t + t_0 + (ca_long)hk * dims : 0;
    to->x = kind == CA_BY_KEY ? t[t_0 + n] : kind == CA_BY_HEAD ? t[t_0 + hk] : none;
}

INLINE vf fp8_lanes(vi u)
{
    vi sign = (u & SPLATI(0x80)) << 24, rest = u & SPLATI(0x7f);
    vf x = VSEL(rest < SPLATI(8), VFLOAT(rest) * SPLAT(0x1p-9f), AS_VF((rest << 20) + SPLATI(120 << 23)));
    return AS_VF(AS_VI(VSEL(rest == SPLATI(0x7f), AS_VF(SPLATI(0x7fc00000)), x)) | sign);
}

/* VL signed bytes of a row from dim D on, STRIDE apart; past DIMS 0. */
INLINE vi byte_lanes(GLOBAL const ca_byte *row, int stride, int d, int dims)
{
    if (NEIGHBOURS(stride) && (dims % VL == 0 || d + VL <= dims)) return VLOADS8(row + d);
    int x[VL];
    for (int i = 0; i < VL; i++) x[i] = d + i < dims ? (ca_signed_byte)row[(ca_long)(d + i) * stride] : 0;
    return VLOADI(x);
}

/* VL floats from T[d] on; from T[dims] on 0. */
INLINE vf load_floats(GLOBAL const float *t, int d, int dims)
{
    if (dims % VL == 0 || d + VL <= dims) return VLOAD(t + d);
    float x[VL];
    for (int i = 0; i < VL; i++) x[i] = d + i < dims ? t[d + i] : 0.f;
    return VLOAD(x);
}

/* And back: none from T[dims] on. */
INLINE void store_floats(vf v, GLOBAL float *t, int d, int dims)
{
    if (dims % VL == 0 || d + VL <= dims) { VSTORE(v, t + d); return; }
    float x[VL];
    VSTORE(v, x);
    for (int i = 0; d + i < dims; i++) t[d + i] = x[i];
}

/* VL dims from E on of a block of 32 of q8_0 or q4_0. */
INLINE vf block_lanes(GLOBAL const ca_byte *block, int e, const int format)
{
    return HALVES_AT(block) * (format == CA_Q8_0 ? VFLOAT(VLOADS8(block + 2 + e)) : VNIBBLE(VLOADS8(block + 2 + e % 16) >> (e < 16 ? 0 : 4)));
}

/* All of it.  All is made before anything is stored: for all the compiler knows, TO may be BLOCK, to be read again. */
INLINE void dequantise_block(float *to, GLOBAL const ca_byte *block, const int format)
{
    vf x[32 / VL];
    UNROLL for (int e = 0; e < 32; e += VL) x[e / VL] = block_lanes(block, e, format);
    UNROLL for (int e = 0; e < 32; e += VL) VSTORE(x[e / VL], to + e);
}

/* A row of bytes: (byte - zero) scale.  Literal: by dim or the same for all, and whether the dims are neighbours in whole vectors. */
INLINE void dequantise_bytes(float *to, GLOBAL const ca_byte *row, int stride, int dims, struct quant scale, struct quant zero,
                             const int fp8, const int scale_by_dim, const int zero_by_dim, const int whole)
{
    const vf scale_x = SPLAT(scale.x), zero_x = SPLAT(zero.x);
    for (int d = 0; d < dims; d += VL) {
        vi bytes = whole ? VLOADS8(row + d) : byte_lanes(row, stride, d, dims);
        vf x = fp8 ? fp8_lanes(bytes) : VFLOAT(bytes);
        x -= !zero_by_dim ? zero_x : whole ? VLOAD(zero.at + d) : load_floats(zero.at, d, dims);
        x *= !scale_by_dim ? scale_x : whole ? VLOAD(scale.at + d) : load_floats(scale.at, d, dims);
        VSTORE(x, to + d);
    }
    for (int d = dims; !whole && d < WHOLE(dims); d++) to[d] = 0.f; /* additive scores look at them */
}

APART void dequantise_row(const ca_args *A, float *to, GLOBAL const ca_byte *row, int stride, int dims, struct quant scale, struct quant zero)
{
    if (QUANT_FORMAT(A) == CA_Q8_0)
        for (int d = 0; d < dims; d += 32, row += CA_BLOCK_BYTES(CA_Q8_0)) dequantise_block(to + d, row, CA_Q8_0);
    else if (QUANT_FORMAT(A) == CA_Q4_0)
        for (int d = 0; d < dims; d += 32, row += CA_BLOCK_BYTES(CA_Q4_0)) dequantise_block(to + d, row, CA_Q4_0);
    else if (QUANT_FORMAT(A) == CA_FP8) dequantise_bytes(to, row, stride, dims, scale, zero, 1, 0, 0, 0);
#define BYTES(s, z, whole) dequantise_bytes(to, row, stride, dims, scale, zero, 0, s, z, whole)
    else if (are_vectors(stride, dims)) {
        if (!scale.at) { if (!zero.at) BYTES(0, 0, 1); else BYTES(0, 1, 1); }
        else { if (!zero.at) BYTES(1, 0, 1); else BYTES(1, 1, 1); }
    } else if (!scale.at) { if (!zero.at) BYTES(0, 0, 0); else BYTES(0, 1, 0); }
    else { if (!zero.at) BYTES(1, 0, 0); else BYTES(1, 1, 0); }
#undef BYTES
}

/* Turns the first ROT dims of X by the tables' rows C and S: pairs (2i, 2i + 1), or (i, i + rot / 2). */
INLINE void turn_row(float *x, GLOBAL const float *c, GLOBAL const float *s, int rot, int pairs)
{
    int pair = rot / 2, i = 0;
    if (!pairs)
        for (; i + VL <= pair; i += VL) {
            vf a = VLOAD(x + i), b = VLOAD(x + pair + i), cosine = VLOAD(c + i), sine = VLOAD(s + i);
            VSTORE(a * cosine - b * sine, x + i);
            VSTORE(b * cosine + a * sine, x + pair + i);
        }
    for (; i < pair; i++) {
        int at = pairs ? 2 * i : i, other = pairs ? at + 1 : at + pair;
        float a = x[at], b = x[other];
        x[at] = a * c[i] - b * s[i];
        x[other] = b * c[i] + a * s[i];
    }
}

INLINE void plain_row(float *to, GLOBAL const stored *row, int stride, int dims)
{
    if (are_vectors(stride, dims))
        for (int d = 0; d < dims; d += VL) VSTORE(load_vec(row + d), to + d);
    else
        for (int d = 0; d < dims; d += VL) VSTORE(load_lanes(row, stride, d, dims), to + d);
}

/* The first two dims of a row, the others 0. */
INLINE void two_dims(float *to, float first, float second)
{
    VSTORE(SPLAT(0.f), to);
    to[0] = first;
    to[1] = second;
}

/* Query i of D dims, whose row begins at ROW. */
INLINE void query_row(const ca_args *A, const ca_optional *X, float *to, GLOBAL const stored *row, int i, int D)
{
    if (IS_ON(SCORE, A->score) && A->score == CA_GAT) {
        two_dims(to, load_at(row, 0), 1.f);
    } else if (IS_ON(SCORE, A->score) && A->score == CA_GENERAL) {
        for (int d = 0; d < D; d += VL) {
            vf sum = SPLAT(0.f), part = sum; /* by eights: fewer roundings of a large sum */
            for (int e = 0; e < A->Dq; e++) {
                part = VFMA(SPLAT(load_at(row, (ca_long)e * A->q_d)), load_floats(X->score_w + A->score_w_0 + (ca_long)e * D, d, D), part);
                if (e % 8 < 7 && e + 1 < A->Dq) continue;
                sum += part;
                part = SPLAT(0.f);
            }
            VSTORE(sum, to + d);
        }
    } else plain_row(to, row, A->q_d, D);
    if (IS_ON(ROPE, A->q_rot))
        turn_row(to, X->q_cos + A->q_cos_0 + (ca_long)i * (A->q_rot / 2), X->q_sin + A->q_sin_0 + (ca_long)i * (A->q_rot / 2), A->q_rot, A->rope_pairs);
}

/* Key j, and value j, of KV head hk of batch row b, which begins at K, at V. */
INLINE void key_row(const ca_args *A, const ca_optional *X, float *to, GLOBAL const stored *k, int b, int hk, int j, int D)
{
    ca_long at = ca_key_at(A, X, b, j, A->k_b, A->k_s);
    if (IS_ON(SCORE, A->score) && A->score == CA_GAT) {
        two_dims(to, 1.f, key_plain(A, X, k, b, hk, j, 0));
        return;
    }
    if (IS_ON(QUANT, A->kv_format)) {
        ca_long n = ca_key_number(A, X, b, hk, j);
        struct quant scale, zero;
        find_quant(&scale, X->k_scale, A->k_scale_0, A->k_scale, 1.f, n, hk, D);
        find_quant(&zero, X->k_zero, A->k_zero_0, A->k_zero, 0.f, n, hk, D);
        dequantise_row(A, to, (GLOBAL const ca_byte *)k + at, A->k_d, D, scale, zero);
    } else plain_row(to, k + at, A->k_d, D);
    if (IS_ON(ROPE, A->k_rot))
        turn_row(to, X->k_cos + A->k_cos_0 + (ca_long)j * (A->k_rot / 2), X->k_sin + A->k_sin_0 + (ca_long)j * (A->k_rot / 2), A->k_rot, A->rope_pairs);
}

INLINE void value_row(const ca_args *A, const ca_optional *X, float *to, GLOBAL const stored *v, int b, int hk, int j, int Dv)
{
    ca_long at = ca_key_at(A, X, b, j, A->v_b, A->v_s);
    if (IS_ON(QUANT, A->kv_format)) {
        ca_long n = ca_key_number(A, X, b, hk, j);
        struct quant scale, zero;
        find_quant(&scale, X->v_scale, A->v_scale_0, A->v_scale, 1.f, n, hk, Dv);
        find_quant(&zero, X->v_zero, A->v_zero_0, A->v_zero, 0.f, n, hk, Dv);
        dequantise_row(A, to, (GLOBAL const ca_byte *)v + at, A->v_d, Dv, scale, zero);
    } else plain_row(to, v + at, A->v_d, Dv);
}

/* Leaves a row's output, SUMS divided by the sum L of their weights e^(s - M) and of the sink's.  MADE is scratch for a row. */
INLINE void leave_row(const ca_args *A, const ca_optional *X, const ca_seq *seq, GLOBAL stored *o, GLOBAL float *lse, int Dv, int b, int h, int i, float m,
                      float l, const vf *sums, float *made)
{
    float f = 1.f;
    if (IS_ON(SINKS, X->sinks)) { /* one more score, without a value */
        float sink = X->sinks[A->sinks_0 + h], top = sink <= m ? m : sink, x[VL], y[VL];
        VSTORE(vexp(SPLAT(m - top)), x);
        VSTORE(vexp(SPLAT(sink - top)), y);
        f = x[0];
        l = l * f + y[0];
        m = top;
    }
    if (IS_ON(DROPOUT, A->drop_below)) f *= A->keep_scale;
    f = l == 0.f ? 0.f : f / l;
    o += A->o_0 + b * A->o_b + h * A->o_h + (ca_long)(seq->q_row + i) * A->o_s;
    for (int c = 0; c < WHOLE(Dv) / VL; c++) {
        VSTORE(sums[c] * SPLAT(f), made);
        for (int e = 0; e < VL && c * VL + e < Dv; e++) store_at(o, (ca_long)(c * VL + e) * A->o_d, made[e]);
    }
    if (A->has_lse) lse[A->lse_0 + b * A->lse_b + h * A->lse_h + seq->q_row + i] = l == 0.f ? -CA_INFINITY : m + LOG(l);
}

#endif
