/* decode.h -- few queries, long KV, in the lane dialect: here a lane holds one of VL neighbouring dims, so that
 * K and V are read once, in order, by whole vectors; the limit is memory bandwidth.
 *
 * One call does one part of the keys for up to RB rows that share a KV head: row r of the pack is query
 * r % Nq of head r / Nq of the group.  What it leaves is the monoid's state per row: o unnormalised, m, l,
 * to be merged with the other parts.
 *
 * Scratch: q RB DC vectors, o RB EC vectors, s RB DK floats, where DC = ceil(D / VL), EC = ceil(Dv / VL).
 * Needs VL and dialect.h; RB rows at once, DK keys per tile (a multiple of VL and of 4). */
#define AHEAD 16 /* keys between asking for a row and using it; on a Xeon 8, 32 and 64 gave less */

/* Asks for 4 rows before they are needed: one thread's loads alone do not keep the memory busy. */
INLINE void decode_prefetch(GLOBAL const stored *row, int stride, int D, int j, int last)
{
    if (j + 4 > last) return;
    UNROLL for (int i = 0; i < 4; i++)
        for (int d = 0; d < D; d += 64 / (int)sizeof(stored)) PREFETCH(row + (ca_long)i * stride + d);
}

/* s[r][j] = q_r . k_j for 4 keys from K on and ROWS rows. */
INLINE void decode_scores(const vf *q, GLOBAL const stored *k, int ks, int kd, int D, int DC, float scale, float *s,
                          const int rows, const int keys)
{
    vf acc[4][2];
    UNROLL for (int i = 0; i < keys; i++) UNROLL for (int r = 0; r < rows; r++) acc[i][r] = SPLAT(0.f);
    for (int c = 0; c < DC; c++) {
        UNROLL for (int i = 0; i < keys; i++) {
            vf x = load_lanes(k + (ca_long)i * ks, kd, c * VL, D);
            UNROLL for (int r = 0; r < rows; r++) acc[i][r] = VFMA(x, q[r * DC + c], acc[i][r]);
        }
    }
    UNROLL for (int i = 0; i < keys; i++) UNROLL for (int r = 0; r < rows; r++) s[r * DK + i] = VSUM(acc[i][r]) * scale;
}

/* o_r += p[r][j] v_j for KEYS keys. */
INLINE void decode_values(vf *o, GLOBAL const stored *v, int vs, int vd, int Dv, int EC, const float *p, int rows,
                          const int keys)
{
    for (int c = 0; c < EC; c++) {
        vf x[4];
        UNROLL for (int i = 0; i < keys; i++) x[i] = load_lanes(v + (ca_long)i * vs, vd, c * VL, Dv);
        for (int r = 0; r < rows; r++) {
            vf acc = o[r * EC + c];
            UNROLL for (int i = 0; i < keys; i++) acc = VFMA(x[i], SPLAT(p[r * DK + i]), acc);
            o[r * EC + c] = acc;
        }
    }
}

/* The same, key by key, leaving out the weights marked ABSENT (a masked NaN in V must not matter). */
INLINE void decode_values_guarded(vf *o, GLOBAL const stored *v, int vd, int Dv, int EC, const float *p, int rows)
{
    for (int r = 0; r < rows; r++) {
        if (1.f / p[r * DK] < 0.f) continue; /* ABSENT is -0 */
        for (int c = 0; c < EC; c++) o[r * EC + c] = VFMA(load_lanes(v, vd, c * VL, Dv), SPLAT(p[r * DK]), o[r * EC + c]);
    }
}

/* VL neighbouring keys from J on of a tensor's row at AT; from key COLS on, OUTSIDE. */
#define KEYS(name, type, LOAD, OUTSIDE) \
    INLINE vf name(GLOBAL const type *at, int key, int cols, int j) \
    { \
        float x[VL]; \
        if (key == 1 && j + VL <= cols) return LOAD(at + j); \
        for (int i = 0; i < VL; i++) x[i] = j + i < cols ? (float)at[(ca_long)(j + i) * key] : OUTSIDE; \
        return VLOAD(x); \
    }
KEYS(bias_keys, float, VLOAD, -CA_INFINITY)
KEYS(mask_keys, ca_byte, VLOADU8, 0.f)
#undef KEYS

/* Row r of a pack: query i, which stands at p, of head h of batch row b. */
struct packed { int b, h, i; ca_long p; };

/* What becomes of one row's scores of a tile of N keys from K0 on, beyond scale: as cl/score.h, VL keys at a time. */
APART void decode_modify(const ca_args *A, const ca_optional *X, const struct packed *w, float *s, int n, int k0)
{
    const float slope = IS_ON(ALIBI, X->slopes) ? ca_slope(A, X, w->b, w->h) : 0.f;
    for (int j = 0; j < n; j += VL) {
        vf x = VLOAD(s + j);
        if (IS_ON(SCORE, X->leaks) && A->score == CA_GAT) x = VSEL(x > SPLAT(0.f), x, x * SPLAT(X->leaks[A->leaks_0 + w->h]));
        if (IS_ON(SOFTCAP, A->softcap)) x = vcap(x, A->softcap);
        if (IS_ON(SCORE_MOD, X->score_mod)) x = user_mod(A, X, w->b, w->h, x, w->p, 0, k0 + j, 1, n - j, 0);
        if (IS_ON(BIAS, X->bias)) {
            vf bias = bias_keys(ca_bias_row(A, X, w->b, w->h, w->i), A->bias_j, A->bias_cols, k0 + j);
            x = MASKED_WHERE(IS_MASKED(bias), x + bias);
        }
        if (IS_ON(ALIBI, X->slopes)) x = VFMA(SPLAT(-slope), VABS(vcount((float)(k0 + j - w->p))), x);
        if (IS_ON(MASK, X->mask)) {
            vf seen = mask_keys(ca_mask_row(A, X, w->b, w->h, w->i), A->mask_j, A->mask_cols, k0 + j);
            x = MASKED_WHERE(seen == SPLAT(0.f), x);
        }
        if (IS_ON(MASK_MOD, X->mask_mod)) x = user_mod(A, X, w->b, w->h, x, w->p, 0, k0 + j, 1, n - j, 1);
        VSTORE(x, s + j);
    }
}

/* Softmax of one row of a tile of N keys from K0: new maximum, weights in place, l; returns the factor for o. */
INLINE float decode_softmax(float *s, int n, int k0, int lo, int hi, float *m, float *l, int guarded)
{
    for (int j = 0; j < DK; j++)
        if (j >= n || k0 + j < lo || k0 + j >= hi) s[j] = -CA_INFINITY;
    vf top = SPLAT(*m), sum = SPLAT(0.f);
    for (int j = 0; j < DK; j += VL) top = VMAX(top, VLOAD(s + j));
    float t[VL], alpha[VL], best = *m;
    VSTORE(top, t);
    for (int i = 0; i < VL; i++) best = t[i] > best ? t[i] : best;
    VSTORE(vexp(SPLAT(*m - best)), alpha);
    for (int j = 0; j < DK; j += VL) {
        vf x = VLOAD(s + j), w = vexp(x - SPLAT(best));
        sum += w;
        if (guarded) w = VSEL(IS_MASKED(x), SPLAT(ABSENT), w);
        VSTORE(w, s + j);
    }
    *l = *l * alpha[0] + VSUM(sum);
    *m = best;
    return alpha[0];
}

/* Dropout of the N weights S of row W from key K0 on: here a lane holds a block of random numbers, for four neighbours. */
APART void decode_drop(const ca_args *A, const struct packed *w, float *s, int n, int k0)
{
    ca_ulong first = ca_weight_number(A, w->b, w->h, w->i, k0), block = first / 4;
    for (int j = -(int)(first % 4); j < n; j += 4 * VL, block += VL) {
        int low[VL], high[VL];
        float kept[4][VL];
        vi m[4];
        for (int i = 0; i < VL; i++) {
            low[i] = (int)(block + (ca_ulong)i);
            high[i] = (int)((block + (ca_ulong)i) >> 32);
        }
        drop_masks(A, AS_VU(VLOADI(low)), AS_VU(VLOADI(high)), m);
        for (int c = 0; c < 4; c++) VSTORE(VSEL(m[c], SPLAT(0.f), SPLAT(1.f)), kept[c]);
        for (int e = 0; e < 4 * VL; e++)
            if (j + e >= 0 && j + e < n) s[j + e] *= kept[e % 4][e / 4]; /* ABSENT, -0, stays so */
    }
}

/* One part of the keys [first, last) for ROWS rows; true when o is finite. */
INLINE int decode_part(const ca_args *A, const ca_optional *X, const struct packed *w, GLOBAL const stored *k,
                       GLOBAL const stored *v, int D, int Dv, int rows, const int *lo, const int *hi, int first, int last,
                       const vf *q, vf *o, float *s, float *m, float *l, int guarded)
{
    const int DC = (D + VL - 1) / VL, EC = (Dv + VL - 1) / VL;
    for (int r = 0; r < rows; r++) { m[r] = CA_LOWEST; l[r] = 0.f; }
    for (int c = 0; c < rows * EC; c++) o[c] = SPLAT(0.f);
    for (int k0 = first; k0 < last; k0 += DK) {
        int n = last - k0 < DK ? last - k0 : DK;
        for (int j = 0, end; j < n; j = end) { /* keys that lie behind one another: all of them, or a page */
            GLOBAL const stored *kt = k + ca_key_at(A, X, w->b, k0 + j, A->k_b, A->k_s) - (ca_long)j * A->k_s;
            end = j + ca_key_run(A, k0 + j, n - j);
            for (; j + 4 <= end; j += 4) {
                int r = 0;
                decode_prefetch(kt + (ca_long)(j + AHEAD) * A->k_s, A->k_s, D, k0 + j + AHEAD, last);
                for (; r + 2 <= rows; r += 2)
                    decode_scores(q + r * DC, kt + j * A->k_s, A->k_s, A->k_d, D, DC, A->scale, s + r * DK + j, 2, 4);
                for (; r < rows; r++)
                    decode_scores(q + r * DC, kt + j * A->k_s, A->k_s, A->k_d, D, DC, A->scale, s + r * DK + j, 1, 4);
            }
            for (; j < end; j++)
                for (int r = 0; r < rows; r++)
                    decode_scores(q + r * DC, kt + j * A->k_s, A->k_s, A->k_d, D, DC, A->scale, s + r * DK + j, 1, 1);
        }
        for (int r = 0; r < rows; r++) {
            if (IS_ON(SCORED, A->scored)) decode_modify(A, X, w + r, s + r * DK, n, k0);
            float alpha = decode_softmax(s + r * DK, n, k0, lo[r], hi[r], m + r, l + r, guarded);
            if (IS_ON(DROPOUT, A->drop_below)) decode_drop(A, w + r, s + r * DK, n, k0);
            if (alpha != 1.f)
                for (int c = 0; c < EC; c++) o[r * EC + c] *= SPLAT(alpha);
        }
        for (int j = 0, end; j < n; j = end) {
            GLOBAL const stored *vt = v + ca_key_at(A, X, w->b, k0 + j, A->v_b, A->v_s) - (ca_long)j * A->v_s;
            end = j + ca_key_run(A, k0 + j, n - j);
            if (guarded)
                for (; j < end; j++) decode_values_guarded(o, vt + j * A->v_s, A->v_d, Dv, EC, s + j, rows);
            for (; j + 4 <= end; j += 4) {
                decode_prefetch(vt + (ca_long)(j + AHEAD) * A->v_s, A->v_s, Dv, k0 + j + AHEAD, last);
                decode_values(o, vt + j * A->v_s, A->v_s, A->v_d, Dv, EC, s + j, rows, 4);
            }
            for (; j < end; j++) decode_values(o, vt + j * A->v_s, A->v_s, A->v_d, Dv, EC, s + j, rows, 1);
        }
    }
    vi odd = SPLATI(0);
    for (int c = 0; c < rows * EC; c++) odd |= NOT_FINITE(o[c]);
    return !VANY(odd);
}

/* Rows r0 ... of the pack of KV head HK, part number PART: leaves their states in
 * po [row][splits][Dv] and pml [row][splits][2], where rows are numbered as those of lse. */
INLINE void decode(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k,
                   GLOBAL const stored *v, GLOBAL float *po, GLOBAL float *pml, int D, int Dv, int part, int r0, int hk,
                   int b, vf *qv, vf *ov, float *s)
{
    const int DC = (D + VL - 1) / VL, EC = (Dv + VL - 1) / VL;
    const ca_seq seq = ca_seq_of(A, X, b);
    struct packed w[RB];
    int lo[RB], hi[RB], first = seq.Nk, last = 0, rows = A->group * seq.Nq - r0 < RB ? A->group * seq.Nq - r0 : RB;
    float m[RB], l[RB];
    int begin = part * A->split_len, end = begin + A->split_len < seq.Nk ? begin + A->split_len : seq.Nk;
    for (int r = 0; r < rows; r++) {
        int h = hk * A->group + (r0 + r) / seq.Nq, i = (r0 + r) % seq.Nq;
        GLOBAL const stored *row = q + A->q_0 + b * A->q_b + h * A->q_h + (ca_long)(seq.q_row + i) * A->q_s;
        w[r].b = b;
        w[r].h = h;
        w[r].i = i;
        w[r].p = i + seq.p0;
        for (int c = 0; c < DC; c++) qv[r * DC + c] = load_lanes(row, A->q_d, c * VL, D);
        lo[r] = ca_key_lo(w[r].p, A->left, seq.Nk);
        hi[r] = ca_key_hi(w[r].p, A->right, seq.Nk);
        if (lo[r] < first) first = lo[r];
        if (hi[r] > last) last = hi[r];
    }
    if (first < begin) first = begin;
    if (last > end) last = end;
    k += ca_head_at(A, &seq, b, hk, A->k_0, A->k_b, A->k_h, A->k_s);
    v += ca_head_at(A, &seq, b, hk, A->v_0, A->v_b, A->v_h, A->v_s);
    for (int guarded = 0; guarded < 2; guarded++) /* a loop, for one copy of all that is inlined */
        if (decode_part(A, X, w, k, v, D, Dv, rows, lo, hi, first, last, qv, ov, s, m, l, guarded)) break;
    for (int r = 0; r < rows; r++) {
        ca_long at = (b * A->lse_b + w[r].h * A->lse_h + seq.q_row + w[r].i) * A->splits + part;
        pml[2 * at] = m[r];
        pml[2 * at + 1] = l[r];
        for (int c = 0; c < EC; c++) {
            float x[VL];
            VSTORE(ov[r * EC + c], x);
            for (int e = 0; e < VL && c * VL + e < Dv; e++) po[at * Dv + c * VL + e] = x[e];
        }
    }
}
