/* select.h -- the scores of a whole row, and which keys of it a pattern takes by them (top k, top p), in the lane dialect.
 *
 * A row is selected in place: what is not taken becomes -inf.  The threshold is found two bits at a time, as the largest
 * number that enough keys, or enough weight, are not below: 16 passes over the row at most, no sorting and no memory of its own. */

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

/* What N scores that rank at LEAST or above count or, weighed, what weight e^(s - m) they have; -inf is none. */
#define NONE ((int)0x807fffff) /* the rank of -inf */
INLINE vf counted(vf x, int least, vf each) { return VSEL(rank_lanes(x) >= SPLATI(ca_most(least, NONE + 1)), each, SPLAT(0.f)); }
INLINE float ranked(GLOBAL const float *s, int n, int least, int weigh, float m)
{
    vf sum = SPLAT(0.f);
    for (int j = 0; j < n; j += VL) {
        vf x = scores_at(s, j, n);
        sum += counted(x, least, weigh ? vexp(x - SPLAT(m)) : SPLAT(1.f));
    }
    return VSUM(sum);
}

/* The highest rank that at least WANTED of them have or exceed: by two bits a pass, up from the lowest int.  Unweighed, any rank that just
 * WANTED have or exceed. */
INLINE int threshold(GLOBAL const float *s, int n, float wanted, int weigh, float m)
{
    ca_uint t = 0;
    for (int bits = 30; bits >= 0; bits -= 2) {
        const int first = (int)((t + (1u << bits)) ^ 0x80000000u), second = (int)((t + (2u << bits)) ^ 0x80000000u),
                  third = (int)((t + (3u << bits)) ^ 0x80000000u);
        vf a = SPLAT(0.f), b = SPLAT(0.f), c = SPLAT(0.f);
        for (int j = 0; j < n; j += VL) {
            vf x = scores_at(s, j, n), each = weigh ? vexp(x - SPLAT(m)) : SPLAT(1.f);
            a += counted(x, first, each);
            b += counted(x, second, each);
            c += counted(x, third, each);
        }
        const float lower = VSUM(a), middle = VSUM(b), upper = VSUM(c);
        t += (upper >= wanted ? 3u : middle >= wanted ? 2u : lower >= wanted ? 1u : 0u) << bits;
        if (!weigh && (lower == wanted || middle == wanted || upper == wanted)) break;
    }
    return (int)(t ^ 0x80000000u);
}

/* Keeps the K best of N scores, of equal ones the first. */
INLINE void take_best(GLOBAL float *s, int n, int k)
{
    const int least = threshold(s, n, (float)k, 0, 0.f);
    int equal = k - (least == 0x7fffffff ? 0 : (int)ranked(s, n, least + 1, 0, 0.f));
    for (int j = 0; j < n; j += VL) {
        if (j + VL <= n) {
            vf x = VLOAD(s + j);
            vi rank = rank_lanes(x);
            if (!VANY(rank == SPLATI(least))) {
                VSTORE(VSEL(rank > SPLATI(least), x, SPLAT(-CA_INFINITY)), s + j);
                continue;
            }
        }
        for (int e = j; e < j + VL && e < n; e++) {
            int i = (int)AS_UINT(s[e]), rank = i ^ ((i >> 31) & 0x7fffffff);
            if (rank < least || (rank == least && equal-- <= 0)) s[e] = -CA_INFINITY;
        }
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
    const float wanted = p * ranked(s, n, NONE, 1, m);
    if (!(wanted > 0.f)) return 0;
    const int least = threshold(s, n, wanted, 1, m), above = least == 0x7fffffff ? 0 : (int)ranked(s, n, least + 1, 0, 0.f);
    const int equal = (int)ranked(s, n, least, 0, 0.f) - above;
    const float rest = wanted - (above ? ranked(s, n, least + 1, 1, m) : 0.f), each = (ranked(s, n, least, 1, m) - (wanted - rest)) / (float)(equal > 0 ? equal : 1);
    int more = 1;
    while (more < equal && (float)more * each < rest) more++;
    return above + more;
}

/* What the pattern takes of a row of N scores; returns how many. */
INLINE int take(const ca_optional *X, GLOBAL float *s, int n)
{
    int there = (int)ranked(s, n, NONE, 0, 0.f), k = there;
    if (ca_take_share(X) >= 0.f) k = count_for(s, n, ca_take_share(X));
    if (ca_take_most(X) >= 0) k = ca_least(k, ca_take_most(X));
    if (k < there) take_best(s, n, k);
    return k;
}

/* Do a head's rows of DIMS lie as whole vectors, all as far apart? */
INLINE int are_whole(const ca_args *A, int d, int dims) { return !IS_ON(PAGED, A->page_size) && are_vectors(d, dims); }
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

/* The scores of ROWS rows of head h of batch row b from row i on, at STAGE, into TO[Nk] each.  From CA_BIASED on only keys between the
 * first and the last that any of them may see are read.  Scratch: qv, so many rows; s, DK floats of each; key, one row of floats. */
INLINE void score_rows(const ca_args *A, const ca_optional *X, const ca_seq *seq, GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL float *to,
                       int stage, int D, int b, int h, int i, int rows, vf *qv, float *s, float *key)
{
    const int DC = WHOLE(D) / VL, whole = are_whole(A, A->k_d, D);
    int from = 0, end = A->Nk;
    if (stage >= CA_BIASED) { /* the window moves with the rows */
        from = ca_key_lo(i + seq->p0, A->left, seq->Nk) / DK * DK;
        end = ca_key_hi(i + rows - 1 + seq->p0, A->right, seq->Nk);
        for (int r = 0; r < rows; r++) {
            for (int j = 0; j < from; j++) to[(ca_long)r * A->Nk + j] = -CA_INFINITY;
            for (int j = end; j < A->Nk; j++) to[(ca_long)r * A->Nk + j] = -CA_INFINITY;
        }
    }
    q += A->q_0 + b * A->q_b + h * A->q_h + (ca_long)(seq->q_row + i) * A->q_s;
    k = kv_from(A, k, ca_head_at(A, seq, b, h / A->group, A->k_0, A->k_b, A->k_h, A->k_s));
    for (int r = 0; r < rows; r++) decode_query(A, X, qv + r * DC, q + (ca_long)r * A->q_s, i + r, D, key);
    for (int tile = from; tile < end; tile += DK) {
        const int k0 = ca_most(ca_least(tile, end - DK), from), n = ca_least(end - k0, DK); /* the last tiles may overlap */
        int there = n; /* where a ragged batch or a table ends there is nothing behind the last key */
        if (IS_ON(RAGGED, X->cu_q) || IS_ON(PAGED, A->page_size)) there = ca_least(n, ca_most(seq->Nk - k0, 0));
        for (int r = 0; r < rows; r++)
            for (int j = there; j < DK; j++) s[r * DK + j] = 0.f; /* whole vectors are modified */
        if (IS_SPECIAL(A))
            for (int j = 0; j < there; j++) {
                const struct decode_from x = { k, A->k_s, A->k_d, D, key, k };
                key_row(A, X, key, k, b, h / A->group, k0 + j, D);
                decode_keys(A, X, &x, qv, DC, s + j, rows, MADE, 1);
            }
        else if (PACK > 1 && rows > 1 && whole) /* a key is read once for all rows, and all are summed in one way: equal keys have equal scores */
            for (int j = 0, few = there < 4 ? 1 : 4; j < there; j += few) {
                const int at = ca_least(j, there - few);
                GLOBAL const stored *row = k + (ca_long)(k0 + at) * A->k_s;
                const struct decode_from x = { row, A->k_s, A->k_d, D, key, row };
                if (few == 4) decode_keys(A, X, &x, qv, DC, s + at, rows, VECTORS, 4);
                else decode_keys(A, X, &x, qv, DC, s + at, rows, VECTORS, 1);
            }
        else
            for (int j = 0; j < there; j += VL) {
                int number[VL];
                for (int e = 0; e < VL; e++) number[e] = k0 + ca_least(j + e, there - 1);
                for (int r = 0; r < rows; r++) score_keys(A, X, b, k, number, qv + r * DC, D, s + r * DK + j);
            }
        for (int r = 0; r < rows; r++) {
            const struct packed w = { b, h, i + r, i + r + seq->p0 };
            float *row = s + r * DK;
            if (stage < CA_BIASED && IS_ON(SCORE, X->leaks) && A->score == CA_GAT) {
                const float leak = X->leaks[A->leaks_0 + h];
                for (int e = 0; e < n; e++) row[e] = row[e] > 0.f ? row[e] : row[e] * leak;
            }
            if (stage == CA_CAPPED && IS_ON(SOFTCAP, A->softcap))
                for (int e = 0; e < DK; e += VL) VSTORE(vtanh(VLOAD(row + e), A->softcap), row + e);
            if (stage >= CA_BIASED) {
                const int lo = ca_key_lo(w.p, A->left, seq->Nk) - k0, hi = ca_key_hi(w.p, A->right, seq->Nk) - k0;
                if (IS_ON(SCORED, A->scored)) decode_modify(A, X, &w, row, n, k0, ca_tile_class(A, X, b, h, w.i, w.p, 1, k0, n));
                for (int e = 0; (lo > 0 || hi < n) && e < n; e++)
                    if (e < lo || e >= hi) row[e] = -CA_INFINITY;
            }
            for (int e = 0; e < n; e++) to[(ca_long)r * A->Nk + k0 + e] = row[e];
        }
    }
}
