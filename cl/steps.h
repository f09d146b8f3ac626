/* steps.h -- what is done around the attention proper, in the lane dialect: new keys are written into the cache before,
 * weights are written after.  Nothing here is on the path of an attention without them. */

/* The fp8 e4m3 nearest to x, ties to even; what is too large becomes 448. */
INLINE ca_uint fp8_of(float x)
{
    ca_uint u = AS_UINT(x), sign = u >> 24 & 0x80;
    u &= 0x7fffffff;
    if (u > 0x7f800000) return sign | 0x7f;
    x = AS_FLOAT(u);
    if (x >= 448.f) return sign | 0x7e;
    if (x < 0x1p-6f) return sign | (ca_uint)EVEN(x * 512.f);
    return sign | (((u + 0x7ffff + (u >> 20 & 1)) >> 20) - (120 << 3));
}

/* x without its fraction as a signed byte; a NaN becomes -128. */
INLINE ca_byte byte_of(float x) { return (ca_byte)(ca_signed_byte)(x > 127.f ? 127.f : x > -128.f ? x : -128.f); }

/* 32 dims X of q8_0 or q4_0, as GGML's quantize_row_q8_0_ref and quantize_row_q4_0_ref make them. */
INLINE void quantise_block(GLOBAL ca_byte *block, const float *x, int format)
{
    float most = 0.f;
    for (int d = 0; d < 32; d++)
        if (ABS(x[d]) > ABS(most)) most = x[d];
    float scale = format == CA_Q8_0 ? ABS(most) / 127.f : most / -8.f, inverse = scale != 0.f ? 1.f / scale : 0.f;
    ca_uint half_bits = HALF_OF(scale);
    block[0] = (ca_byte)half_bits;
    block[1] = (ca_byte)(half_bits >> 8);
    for (int d = 0; format == CA_Q8_0 && d < 32; d++) block[2 + d] = byte_of(AWAY(x[d] * inverse));
    for (int d = 0; format == CA_Q4_0 && d < 16; d++) {
        int low = byte_of(x[d] * inverse + 8.5f), high = byte_of(x[16 + d] * inverse + 8.5f);
        block[2 + d] = (ca_byte)((low < 15 ? low : 15) | (high < 15 ? high : 15) << 4);
    }
}

/* The row X becomes row TO of a quantised cache.  By key the scale is made, largest / 127, and the zero point 0: N is their place. */
INLINE void quantise_row(const ca_args *A, GLOBAL ca_byte *to, int to_d, const float *x, int dims, GLOBAL const float *scale, int kind,
                         GLOBAL const float *zero, int zero_kind, ca_long n, int hk)
{
    if (QUANT_FORMAT(A) >= CA_Q8_0) {
        for (int d = 0; d < dims; d += 32, to += CA_BLOCK_BYTES(QUANT_FORMAT(A))) quantise_block(to, x + d, QUANT_FORMAT(A));
        return;
    }
    float most = 0.f;
    for (int d = 0; d < dims; d++) most = ABS(x[d]) > most ? ABS(x[d]) : most;
    if (kind == CA_BY_KEY) ((GLOBAL float *)scale)[n] = most / 127.f;
    if (zero_kind == CA_BY_KEY) ((GLOBAL float *)zero)[n] = 0.f;
    for (int d = 0; d < dims; d++) {
        float by = kind == CA_BY_KEY ? most / 127.f : kind ? scale[(ca_long)hk * (kind == CA_BY_DIM ? dims : 1) + (kind == CA_BY_DIM ? d : 0)] : 1.f;
        float y = x[d] != 0.f ? x[d] / by : x[d]; /* a scale of 0 has only such */
        if (zero_kind == CA_BY_DIM) y += zero[(ca_long)hk * dims + d];
        to[(ca_long)d * to_d] = QUANT_FORMAT(A) == CA_FP8 ? (ca_byte)fp8_of(y) : byte_of(EVEN(y));
    }
}

/* Row R of new keys or values FROM [B][Hkv][new_len][dims] becomes key kv_lens[b] + r of the cache TO.  ROW is scratch. */
INLINE void append_row(const ca_args *A, const ca_optional *X, int is_k, GLOBAL const stored *from, int from_d, GLOBAL stored *to,
                       ca_long page, int to_s, int to_d, int dims, int b, int hk, int r, float *row)
{
    int j = ca_within(X->lens[A->lens_0 + b], 0, A->Nk) + r, rot = is_k ? A->new_rot : 0;
    if (j >= A->Nk) return;
    if (IS_ON(PAGED, A->page_size)) { /* a page that is none would be someone else's */
        int n = X->table[A->table_0 + b * A->table_b + j / A->page_size];
        if (n < 0 || n >= A->pages) return;
    }
    plain_row(row, from, from_d, dims);
    if (rot) turn_row(row, X->k_cos + A->k_cos_0 + (ca_long)r * (rot / 2), X->k_sin + A->k_sin_0 + (ca_long)r * (rot / 2), rot, A->rope_pairs);
    ca_long at = ca_key_at(A, X, b, j, page, to_s), n = ca_key_number(A, X, b, hk, j);
    if (!IS_ON(QUANT, A->kv_format))
        for (int d = 0; d < dims; d++) store_at(to + at, (ca_long)d * to_d, row[d]);
    else if (is_k)
        quantise_row(A, (GLOBAL ca_byte *)to + at, to_d, row, dims, X->k_scale + A->k_scale_0, A->k_scale, X->k_zero + A->k_zero_0, A->k_zero, n, hk);
    else
        quantise_row(A, (GLOBAL ca_byte *)to + at, to_d, row, dims, X->v_scale + A->v_scale_0, A->v_scale, X->v_zero + A->v_zero_0, A->v_zero, n, hk);
}

INLINE void append(const ca_args *A, const ca_optional *X, GLOBAL const stored *k_new, GLOBAL const stored *v_new,
                   GLOBAL stored *k, GLOBAL stored *v, int D, int Dv, int b, int hk, int r, float *row)
{
    const ca_seq none = { 0, 0, 0, 0, 0 };
    append_row(A, X, 1, k_new + A->kn_0 + b * A->kn_b + hk * A->kn_h + (ca_long)r * A->kn_s, A->kn_d,
               (GLOBAL stored *)kv_from(A, k, ca_head_at(A, &none, b, hk, A->k_0, A->k_b, A->k_h, A->k_s)), A->k_b, A->k_s, A->k_d, dims_of_key(A, D), b, hk, r, row);
    append_row(A, X, 0, v_new + A->vn_0 + b * A->vn_b + hk * A->vn_h + (ca_long)r * A->vn_s, A->vn_d,
               (GLOBAL stored *)kv_from(A, v, ca_head_at(A, &none, b, hk, A->v_0, A->v_b, A->v_h, A->v_s)), A->v_b, A->v_s, A->v_d, Dv, b, hk, r, row);
}

/* Row i of head h of batch row b of the weights [B][Hq][Nq][Nk], at the stage that A names.  The scores go there first and become
 * weights in place.  Scratch as score_rows'. */
INLINE void weights_row(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL float *weights,
                        int D, int b, int h, int i, vf *qv, float *s, float *key)
{
    const ca_seq seq = ca_seq_of(A, X, b);
    float m = CA_LOWEST, l = 0.f;
    weights += A->w_0 + (((ca_long)b * A->Hq + h) * A->Nq + i) * A->Nk;
    if (i >= seq.Nq) { /* a ragged row that is not there */
        for (int j = 0; j < A->Nk; j++) weights[j] = 0.f;
        return;
    }
    score_rows(A, X, &seq, q, k, weights, A->stage, D, b, h, i, 1, qv, s, key);
    if (IS_ON(TAKES, ca_takes(X)) && A->stage >= CA_BIASED) take(X, weights, A->Nk);
    if (A->stage != CA_PROBS) return;
    for (int j = 0; j < A->Nk; j++) m = weights[j] > m ? weights[j] : m;
    if (IS_ON(SINKS, X->sinks)) { /* takes its share, which is not shown */
        float sink = X->sinks[A->sinks_0 + h];
        m = sink > m ? sink : m;
        s[0] = sink - m;
        for (int e = 1; e < VL; e++) s[e] = -CA_INFINITY;
        l = VSUM(vexp(VLOAD(s)));
    }
    for (int j = 0; j < A->Nk; j += VL) {
        for (int e = 0; e < VL; e++) s[e] = j + e < A->Nk ? weights[j + e] - m : -CA_INFINITY;
        vf p = vexp(VLOAD(s));
        l += VSUM(p);
        VSTORE(p, s);
        for (int e = 0; e < VL && j + e < A->Nk; e++) weights[j + e] = s[e];
    }
    for (int j = 0; j < A->Nk; j++) weights[j] = l == 0.f ? 0.f : weights[j] / l;
}
