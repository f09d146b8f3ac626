/* select.h -- the scores of a whole row, and which keys of it a pattern takes by them (top k, top p), in the lane dialect.
 *
 * A row is selected in place: what is not taken becomes -inf.  The threshold is found bit by bit, as the largest number that enough
 * keys, or enough weight, are not below: 32 passes over the row, no sorting and no memory of its own. */

/* Floats as ints of the same order. */
INLINE vi rank_lanes(vf x)
{
    vi i = AS_VI(x);
    return i ^ ((i >> 31) & SPLATI(0x7fffffff));
}

/* VL scores from J on; behind the N-th there are none. */
INLINE vf scores_at(GLOBAL const float *s, int j, int n)
{
    float x[VL];
    if (j + VL <= n) return VLOAD(s + j);
    for (int e = 0; e < VL; e++) x[e] = j + e < n ? s[j + e] : -CA_INFINITY;
    return VLOAD(x);
}

/* How many of N scores rank at LEAST or above or, with M, how much weight e^(s - m) they have. */
INLINE float ranked(GLOBAL const float *s, int n, int least, int weigh, float m)
{
    vf sum = SPLAT(0.f);
    for (int j = 0; j < n; j += VL) {
        vf x = scores_at(s, j, n), one = weigh ? vexp(x - SPLAT(m)) : SPLAT(1.f);
        sum += VSEL((rank_lanes(x) >= SPLATI(least)) & ~IS_MASKED(x), one, SPLAT(0.f));
    }
    return VSUM(sum);
}

/* Keeps the K best of N scores, of equal ones the first. */
INLINE void take_best(GLOBAL float *s, int n, int k)
{
    ca_uint t = 0; /* ranks count from the lowest int up */
    for (ca_uint bit = 0x80000000u; bit; bit >>= 1)
        if (ranked(s, n, (int)((t + bit) ^ 0x80000000u), 0, 0.f) >= (float)k) t += bit;
    const int least = (int)(t ^ 0x80000000u);
    int equal = k - (least == 0x7fffffff ? 0 : (int)ranked(s, n, least + 1, 0, 0.f));
    for (int j = 0; j < n; j++) {
        int i = (int)AS_UINT(s[j]), rank = i ^ ((i >> 31) & 0x7fffffff);
        if (rank < least || (rank == least && equal-- <= 0)) s[j] = -CA_INFINITY;
    }
}

/* How many of the best it takes for their weights to have the share P. */
INLINE int count_for(GLOBAL const float *s, int n, float p)
{
    vf top = SPLAT(CA_LOWEST);
    float x[VL], m = CA_LOWEST;
    for (int j = 0; j < n; j += VL) top = VMAX(top, scores_at(s, j, n));
    VSTORE(top, x);
    for (int e = 0; e < VL; e++) m = x[e] > m ? x[e] : m;
    const float wanted = p * ranked(s, n, (int)0x80000000, 1, m);
    ca_uint t = 0;
    if (!(wanted > 0.f)) return 0;
    for (ca_uint bit = 0x80000000u; bit; bit >>= 1)
        if (ranked(s, n, (int)((t + bit) ^ 0x80000000u), 1, m) >= wanted) t += bit;
    const int least = (int)(t ^ 0x80000000u), above = least == 0x7fffffff ? 0 : (int)ranked(s, n, least + 1, 0, 0.f);
    const int equal = (int)ranked(s, n, least, 0, 0.f) - above;
    const float rest = wanted - (above ? ranked(s, n, least + 1, 1, m) : 0.f), each = (ranked(s, n, least, 1, m) - (wanted - rest)) / (float)(equal > 0 ? equal : 1);
    int more = 1;
    while (more < equal && (float)more * each < rest) more++;
    return above + more;
}

/* What the pattern takes of a row of N scores; returns how many. */
INLINE int take(const ca_optional *X, GLOBAL float *s, int n)
{
    int there = (int)ranked(s, n, (int)0x80000000, 0, 0.f), k = there;
    if (ca_take_share(X) >= 0.f) k = count_for(s, n, ca_take_share(X));
    if (ca_take_most(X) >= 0) k = ca_least(k, ca_take_most(X));
    if (k < there) take_best(s, n, k);
    return k;
}

/* Do a head's rows of DIMS lie as whole vectors, S elements apart?  Then a branch a load is saved. */
INLINE int are_whole(const ca_args *A, int d, int dims) { return !IS_ON(PAGED, A->page_size) && NEIGHBOURS(d) && dims % VL == 0; }
INLINE GLOBAL const stored *row_of(const ca_args *A, const ca_optional *X, int b, GLOBAL const stored *from, int j, ca_long page, int s, const int whole)
{
    return from + (whole ? (ca_long)j * s : ca_key_at(A, X, b, j, page, s));
}
INLINE vf vector_of(GLOBAL const stored *row, int d, int c, int dims, const int whole)
{
    return whole ? load_vec(row + c * VL) : load_lanes(row, d, c * VL, dims);
}

#define EIGHT (VL < 8 ? VL : 8)

/* The scores S of VL keys, by their numbers, simply loaded: their products with the query are summed by halves. */
INLINE void score_keys_as(const ca_args *A, const ca_optional *X, int b, GLOBAL const stored *k, const int *number, const vf *qv, int D, float *s,
                          const int whole)
{
    vf sums[VL];
    for (int first = 0; first < VL; first += EIGHT) { /* as many rows as there are registers for their addresses */
        GLOBAL const stored *row[EIGHT];
        vf sum[EIGHT];
        UNROLL for (int i = 0; i < EIGHT; i++) {
            row[i] = row_of(A, X, b, k, number[first + i], A->k_b, A->k_s, whole);
            sum[i] = SPLAT(0.f);
        }
        ROLL for (int c = 0; c < WHOLE(D) / VL; c++) UNROLL for (int i = 0; i < EIGHT; i++) sum[i] = VFMA(qv[c], vector_of(row[i], A->k_d, c, D, whole), sum[i]);
        UNROLL for (int i = 0; i < EIGHT; i++) sums[first + i] = sum[i];
    }
    VSTORE(decode_sums(sums) * SPLAT(A->scale), s);
}
INLINE void score_keys(const ca_args *A, const ca_optional *X, int b, GLOBAL const stored *k, const int *number, const vf *qv, int D, float *s)
{
    if (are_whole(A, A->k_d, D)) score_keys_as(A, X, b, k, number, qv, D, s, 1);
    else score_keys_as(A, X, b, k, number, qv, D, s, 0);
}

/* The scores of row i of head h of batch row b, at STAGE, into TO[Nk].  Scratch: qv, one row; s, DK floats; key, one row of floats. */
INLINE void score_row(const ca_args *A, const ca_optional *X, const ca_seq *seq, GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL float *to,
                      int stage, int D, int b, int h, int i, vf *qv, float *s, float *key)
{
    const struct packed w = { b, h, i, i + seq->p0 };
    int lo = ca_key_lo(w.p, A->left, seq->Nk), hi = ca_key_hi(w.p, A->right, seq->Nk);
    q += A->q_0 + b * A->q_b + h * A->q_h + (ca_long)(seq->q_row + i) * A->q_s;
    k = kv_from(A, k, ca_head_at(A, seq, b, h / A->group, A->k_0, A->k_b, A->k_h, A->k_s));
    decode_query(A, X, qv, q, i, D, key);
    for (int k0 = 0; k0 < A->Nk; k0 += DK) {
        const int n = ca_least(A->Nk - k0, DK);
        int there = n; /* where a ragged batch or a table ends there is nothing behind the last key */
        if (IS_ON(RAGGED, X->cu_q) || IS_ON(PAGED, A->page_size)) there = ca_least(n, ca_most(seq->Nk - k0, 0));
        for (int j = there; j < DK; j++) s[j] = 0.f; /* whole vectors are modified */
        for (int j = 0; IS_SPECIAL(A) && j < there; j++) {
            const struct decode_from x = { k, A->k_s, A->k_d, D, key };
            key_row(A, X, key, k, b, h / A->group, k0 + j, D);
            decode_keys(A, X, &x, qv, WHOLE(D) / VL, s + j, 1, MADE, 1);
        }
        for (int j = 0; !IS_SPECIAL(A) && j < there; j += VL) {
            int number[VL];
            for (int e = 0; e < VL; e++) number[e] = k0 + ca_least(j + e, there - 1);
            score_keys(A, X, b, k, number, qv, D, s + j);
        }
        if (stage < CA_BIASED && IS_ON(SCORE, X->leaks) && A->score == CA_GAT) {
            const float leak = X->leaks[A->leaks_0 + h];
            for (int j = 0; j < n; j++) s[j] = s[j] > 0.f ? s[j] : s[j] * leak;
        }
        if (stage == CA_CAPPED && IS_ON(SOFTCAP, A->softcap))
            for (int j = 0; j < DK; j += VL) VSTORE(vtanh(VLOAD(s + j), A->softcap), s + j);
        if (stage >= CA_BIASED) {
            if (IS_ON(SCORED, A->scored)) decode_modify(A, X, &w, s, n, k0, ca_tile_class(A, X, b, h, i, w.p, 1, k0, n));
            for (int j = 0; j < n; j++)
                if (k0 + j < lo || k0 + j >= hi) s[j] = -CA_INFINITY;
        }
        for (int j = 0; j < n; j++) to[k0 + j] = s[j];
    }
}
