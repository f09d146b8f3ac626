/* flash.h -- attention of one query tile in the lane dialect: a lane holds one query row.
 *
 *            lanes = rows
 *   qT [D ] x x x x ...      Q is transposed once per tile; K and V are only broadcast, so the two products
 *   p  [BK] x x x x ...      need no packing, no shuffles and no barriers, and softmax is element-wise.
 *   oT [Dv] x x x x ...      Each row of the picture is QV vectors of VL lanes: BQ = QV VL query rows.
 *
 * Keys come in tiles of BK.  A tile that no row sees is never visited; one that all rows see (FULL) runs no
 * predicate; the others (PARTIAL) compare each key with the rows' intervals [lo, hi).
 *
 * What lies behind a mask must not matter, even a NaN in V, though 0 * NaN is NaN.  Instead of paying for that
 * in each tile, a tile whose output is not finite is computed again, guarded: the weights of keys that are not there are
 * marked ABSENT and skipped.  So a NaN that is seen stays, and one that is masked is gone.
 *
 * PAIRS: where the processor multiplies pairs of bf16 and adds both products to an f32, each element of the picture is two: of qT and of a row of K
 * those of dims 2d and 2d + 1, so K is read where it lies.  These products are exact.  Where the weights may be rounded to bf16, of p those of keys 2j
 * and 2j + 1, and so rows of V come in twos, dim by dim.
 *
 * Needs: VL and dialect.h; QV, KB (keys at once), DB (output dims at once), BK; FN(name) for several copies in one file.
 */
#define BQ (QV * VL)

/* K and V are read where they are, or unpacked to f32 in private memory first; in OpenCL these are two address spaces. */
#ifdef __OPENCL_C_VERSION__
#define LISTED_ROWS (ORDERED ? BQ : 1)
#define LISTED_KEYS (ORDERED ? BK : 1)
#define UNPACKED (STORAGE != 0 || !UNIT || PAGED || SPECIAL || ORDERED)
#if UNPACKED
#define KV
#else
#define KV GLOBAL
#endif
#else
#define LISTED_ROWS BQ
#define LISTED_KEYS BK
#define UNPACKED 1
#define KV
#endif

#ifndef PAIRS
#define PAIRS 0
#define PAIR_PRODUCT(b, x, c) (c)
#endif

#ifndef CA_FLASH_AT
#define CA_FLASH_AT
/* The rows of K or of V at hand: on the host each anywhere, in OpenCL STRIDE apart.  FROM: N of them from E on, whose I-th is FROM_AT; pointers to
 * each would cost PoCL, which keeps them in memory, two thirds of the time more. */
#ifdef __OPENCL_C_VERSION__
struct at { KV const float *row; int stride; };
#define ROW(t, j) ((t)->row + (j) * (t)->stride)
#define FROM(name, t, e, n) KV const float *name = ROW(t, e); const int name##_stride = (t)->stride
#define FROM_AT(name, i) (name + (i) * name##_stride)
#else
struct at { const float *row[BK]; };
#define ROW(t, j) ((t)->row[j])
#define FROM(name, t, e, n) const float *name[KB]; UNROLL for (int i = 0; i < n; i++) name[i] = ROW(t, e + i)
#define FROM_AT(name, i) (name[i])
#endif

/* Asks for N of the COUNT rows from E on: hardware does not foresee short runs. */
INLINE void ask_rows(const struct at *t, int e, int count, const int n, int dims)
{
#ifndef __OPENCL_C_VERSION__ /* there they have been copied */
    for (int end = ca_least(e + n, count); e < end; e++)
        for (int d = 0; d < dims; d += 16) PREFETCH(ROW(t, e) + d);
#endif
}

/* T becomes where N keys, or values, of KV head HK are, which begins at FROM: those that NUMBER lists, or with none those from K0 on.  They are left
 * where they lie, or UNPACKED: from 16-bit storage, dims that are not neighbours, elements that are not simply loaded; and, unless THERE,
 * where they lie in steps, which would all be in the same sets of a cache. */
INLINE void find_rows(const ca_args *A, const ca_optional *X, struct at *t, float *unpacked, GLOBAL const stored *from, const int is_k, int b, int hk,
                      const int *number, int k0, int n, int D, int there)
{
    (void)X, (void)b, (void)hk, (void)number, (void)unpacked, (void)n, (void)D, (void)there;
#ifndef __OPENCL_C_VERSION__
    if (there && STORAGE == 0 && (is_k ? A->k_d : A->v_d) == 1 && !IS_SPECIAL(A)) {
        const float *begin = (const float *)from;
        const ca_int stride = is_k ? A->k_s : A->v_s;
        if (number || A->page_size)
            for (int j = 0; j < n; j++) t->row[j] = begin + ca_key_at(A, X, b, number ? number[j] : k0 + j, is_k ? A->k_b : A->v_b, stride);
        else
            for (int j = 0; j < n; j++) t->row[j] = begin + (ca_long)(k0 + j) * stride;
        return;
    }
    for (int j = 0; j < n; j++) t->row[j] = unpacked + j * WHOLE(D);
#elif UNPACKED
    t->row = unpacked;
    t->stride = WHOLE(D);
#else
    t->stride = is_k ? A->k_s : A->v_s;
    t->row = from + (ca_long)k0 * t->stride;
#endif
#if UNPACKED
    for (int j = 0; j < n; j++) {
        if (is_k) key_row(A, X, unpacked + j * WHOLE(D), from, b, hk, number ? number[j] : k0 + j, D);
        else value_row(A, X, unpacked + j * WHOLE(D), from, b, hk, number ? number[j] : k0 + j, D);
    }
#endif
}

#if PAIRS
/* Two bf16, of neighbouring dims or keys; the second may not be. */
INLINE void put_pair(float *to, const stored *first, const stored *second)
{
    const ca_uint bits = *first | (second ? (ca_uint)*second << 16 : 0);
    *to = AS_FLOAT(bits);
}

/* find_rows for keys in pairs of dims. */
INLINE void find_keys_paired(const ca_args *A, const ca_optional *X, struct at *t, float *unpacked, const stored *k, int b, const int *number, int k0, int n,
                             int D, int there)
{
    for (int j = 0; j < n; j++) {
        const stored *row = k + ca_key_at(A, X, b, number ? number[j] : k0 + j, A->k_b, A->k_s);
        if (there && A->k_d == 1 && D % 2 == 0 && (uintptr_t)row % sizeof(float) == 0) {
            t->row[j] = (const float *)(const void *)row;
            continue;
        }
        float *to = unpacked + j * WHOLE(D);
        for (int d = 0; d < D; d += 2)
            put_pair(to + d / 2, row + (ca_long)d * A->k_d, d + 1 < D ? row + (ca_long)(d + 1) * A->k_d : 0);
        t->row[j] = to;
    }
}

/* And for pairs of values. */
INLINE void find_values_paired(const ca_args *A, const ca_optional *X, struct at *t, float *unpacked, const stored *v, int b, const int *number, int k0,
                               int n, int Dv)
{
    for (int j = 0; j < n; j += 2, unpacked += WHOLE(Dv)) {
        const stored *even = v + ca_key_at(A, X, b, number ? number[j] : k0 + j, A->v_b, A->v_s);
        const stored *odd = j + 1 < n ? v + ca_key_at(A, X, b, number ? number[j + 1] : k0 + j + 1, A->v_b, A->v_s) : 0;
        t->row[j / 2] = unpacked;
        if (odd && are_vectors(A->v_d, Dv))
            for (int e = 0; e < Dv; e += VL) VSTORE(AS_VF(AS_VU(load_vec(even + e)) >> 16 | AS_VU(load_vec(odd + e))), unpacked + e);
        else
            for (int e = 0; e < Dv; e++) put_pair(unpacked + e, even + (ca_long)e * A->v_d, odd ? odd + (ca_long)e * A->v_d : 0);
    }
}
#endif
#endif

/* The rows' softmax state and intervals. */
struct FN(rows) {
    vf m[QV], l[QV];
    vi lo[QV], hi[QV];
};

/* Scores of the NK keys at hand from the E-th on, numbers J and on, NK * QV accumulators in registers; keeps the running maximum. */
INLINE void FN(scores)(const vf *qT, const struct at *k, int e, int D, float scale, int partial, int j,
                       const struct FN(rows) *r, vf *top, vf *s, const int nk)
{
    vf acc[KB][QV];
    FROM(row, k, e, nk);
    UNROLL for (int i = 0; i < nk; i++) UNROLL for (int a = 0; a < QV; a++) acc[i][a] = SPLAT(0.f);
    const int products = PAIRS ? (D + 1) / 2 : D;
    UNROLL4 for (int d = 0; d < products; d++) {
        UNROLL for (int i = 0; i < nk; i++) {
            vf b = SPLAT(FROM_AT(row, i)[d]);
            UNROLL for (int a = 0; a < QV; a++) acc[i][a] = PAIRS ? PAIR_PRODUCT(b, qT[d * QV + a], acc[i][a]) : VFMA(b, qT[d * QV + a], acc[i][a]);
        }
    }
    UNROLL for (int i = 0; i < nk; i++) UNROLL for (int a = 0; a < QV; a++) acc[i][a] *= SPLAT(scale);
    if (partial)
        UNROLL for (int i = 0; i < nk; i++) UNROLL for (int a = 0; a < QV; a++)
            acc[i][a] = VSEL((r->lo[a] <= SPLATI(j + i)) & (r->hi[a] > SPLATI(j + i)), acc[i][a], SPLAT(-CA_INFINITY));
    UNROLL for (int i = 0; i < nk; i++) UNROLL for (int a = 0; a < QV; a++) {
        top[a] = VMAX(top[a], acc[i][a]);
        s[i * QV + a] = acc[i][a];
    }
}

/* Whose scores a tile holds: ROWS queries of head h of batch row b from i0 on, the first at position p0; or, ordered, the
 * queries that TILE and ROW say, with the keys between LO and HI of each axis, all of them with those between INNER.  What is of another tile has
 * its row's complement. */
struct FN(where) {
    int b, h, i0, rows;
    ca_long p0;
    ca_tile tile;
    int row[LISTED_ROWS], inner[3][2];
    vi lo[3][QV], hi[3][QV];
};
INLINE int FN(query)(const ca_optional *X, const struct FN(where) *w, int r)
{
    r = r < w->rows ? r : w->rows - 1;
    return !IS_ON(ORDERED, X->ordered) ? w->i0 + r : w->row[r] < 0 ? ~w->row[r] : w->row[r];
}
INLINE int FN(is_here)(const ca_optional *X, const struct FN(where) *w, int r)
{
    if (IS_ON(ORDERED, X->ordered)) return r < w->rows && w->row[r] >= 0;
    return r < w->rows;
}

/* Keys that are not neighbours: their numbers, and their places on the grid; whether every row sees each, and whether that is so for all.  A row that
 * PICKED the same bucket as a key, in a round BEFORE, has that key already (batch.h). */
struct FN(keys) {
    int number[LISTED_KEYS], place[3][LISTED_KEYS], seen[LISTED_KEYS], inner;
    int rounds;
    const ca_int *before;
    const vi *picked;
};

/* TAKE from ROWS rows, the last one again where there are fewer than VL. */
#define EACH_ROW(take) \
    UNROLL for (int i = 0; i < VL; i++) { \
        take; \
        if (i + 1 < rows) from += row; \
    }
INLINE void FN(turned_floats)(vf *x, GLOBAL const float *from, ca_long row, int rows)
{
    EACH_ROW(x[i] = VLOAD(from))
    transpose(x, VL);
}
/* Four bytes are turned as one float, and then taken apart. */
INLINE void FN(turned_bytes)(vf *x, GLOBAL const ca_byte *from, ca_long row, int rows)
{
    float fours[VL * VL / 4];
    vf y[VL / 4];
    EACH_ROW(COPY8(fours + i * VL / 4, from))
    UNROLL for (int i = 0; i < VL / 4; i++) y[i] = VLOAD(fours + i * VL);
    transpose(y, VL / 4);
    UNROLL for (int e = 0; e < VL; e++) x[e] = AS_VF(AS_VI(y[e / 4]) & SPLATI((int)(255u << e % 4 * 8)));
}
#undef EACH_ROW

/* Turns a block of a tensor [b][h][i][j] on end: X[e] holds, row by row, what belongs to vector A of rows and key J + e,
 * OUTSIDE from key COLS on; a byte has bits set or none.  AT is the first row's key 0. */
#define BLOCK(name, type, turned, OUTSIDE) \
    INLINE void FN(name)(vf *x, GLOBAL const type *at, ca_long row, int key, int cols, int rows, int a, int j) \
    { \
        if (row != 0 && key == 1 && j + VL <= cols) { \
            FN(turned)(x, at + (a * VL < rows ? a * VL : rows - 1) * row + j, row, rows - a * VL); \
            return; \
        } \
        for (int e = 0; e < VL; e++) { \
            float y[VL]; \
            int n = row == 0 ? 1 : VL; /* else the rows share it */ \
            for (int i = 0; i < n; i++) \
                y[i] = j + e < cols ? (float)at[(a * VL + i < rows ? a * VL + i : rows - 1) * row + (ca_long)(j + e) * key] : OUTSIDE; \
            for (int i = n; i < VL; i++) y[i] = y[0]; \
            x[e] = VLOAD(y); \
        } \
    }
BLOCK(bias_block, float, turned_floats, -CA_INFINITY)
BLOCK(mask_block, ca_byte, turned_bytes, 0.f)
#undef BLOCK

/* Which of the tile's N keys from K0 on does the mask let through? */
APART int FN(mask_class)(const ca_args *A, const ca_optional *X, const struct FN(where) *w, int k0, int n)
{
    GLOBAL const ca_byte *mask = ca_mask_row(A, X, w->b, w->h, w->i0);
    int seen = 0, rows = A->mask_i == 0 ? 1 : w->rows, cols = A->mask_cols - k0 < n ? A->mask_cols - k0 : n;
    for (int i = 0; i < rows; i++) {
        GLOBAL const ca_byte *row = mask + i * A->mask_i + (ca_long)k0 * A->mask_j;
        if (A->mask_j == 1)
            for (int j = 0; j < cols; j++) seen += row[j] != 0;
        else
            for (int j = 0; j < cols; j++) seen += row[(ca_long)j * A->mask_j] != 0;
        if (seen != 0 && seen != (i + 1) * n) return SOME_KEYS; /* more rows will not change that */
    }
    return seen == 0 ? NO_KEY : seen == rows * n ? ALL_KEYS : SOME_KEYS;
}

/* What a tile_class says of a block of a tile that holds some keys: VL rows from vector A on, N keys from J on.  A tile on the edge of a
 * mask is mostly blocks beside the edge. */
INLINE int FN(block_class)(const ca_args *A, const ca_optional *X, const struct FN(where) *w, int a, int j, int n)
{
    int rows = w->rows - a * VL;
    if (rows <= 0) return ALL_KEYS; /* no query */
    return ca_tile_class(A, X, w->b, w->h, w->i0 + a * VL, w->p0 + a * VL, rows < VL ? rows : VL, j, n < VL ? n : VL);
}

/* What is beyond scale of an ordered tile: softcap, and which of the box's keys each row sees. */
APART void FN(modify_ordered)(const ca_args *A, const ca_optional *X, const struct FN(where) *w, const struct FN(keys) *keys, vf *s, int n, int asked,
                              int partial, const struct FN(rows) *r, vf *top)
{
    vi near[QV];
    int line = -1; /* the key whose line of the grid NEAR is about */
    (void)X;
    UNROLL for (int a = 0; a < QV; a++) { top[a] = r->m[a]; near[a] = SPLATI(0); }
    for (int j = 0; j < n; j++, s += QV) {
        if (IS_ON(SOFTCAP, A->softcap)) vcap(s, 1, QV, A->softcap);
        if (asked && !keys->seen[j]) {
            const vi x = SPLATI(keys->place[2][j]);
            if (line < 0 || keys->place[1][j] != keys->place[1][line] || keys->place[0][j] != keys->place[0][line]) {
                const vi z = SPLATI(keys->place[0][j]), y = SPLATI(keys->place[1][j]);
                UNROLL for (int a = 0; a < QV; a++) near[a] = (w->lo[0][a] <= z) & (w->hi[0][a] > z) & (w->lo[1][a] <= y) & (w->hi[1][a] > y);
                line = j;
            }
            UNROLL for (int a = 0; a < QV; a++) s[a] = VSEL(near[a] & (w->lo[2][a] <= x) & (w->hi[2][a] > x), s[a], SPLAT(-CA_INFINITY));
        }
        if (partial) {
            const vi number = SPLATI(keys->number[j]);
            UNROLL for (int a = 0; a < QV; a++) {
                s[a] = VSEL((r->lo[a] <= number) & (r->hi[a] > number), s[a], SPLAT(-CA_INFINITY));
                for (int c = 0; IS_ON(GROUPED, 1) && c < keys->rounds; c++)
                    s[a] = MASKED_WHERE(keys->picked[c * QV + a] == SPLATI(keys->before[c * BK + j]), s[a]);
            }
        }
        UNROLL for (int a = 0; a < QV; a++) top[a] = VMAX(top[a], s[a]);
    }
}

/* All that becomes of the scores S of a tile of N keys from K0 on before softmax, beyond scale: what cl/score.h does, in
 * lanes; then the rows' intervals.  TOP becomes the new maximum.  MASKED, ASKED: the mask, or pattern and mask_mod, let only some keys through. */
APART void FN(modify)(const ca_args *A, const ca_optional *X, const struct FN(where) *w, vf *s, int k0, int n, int masked, int asked,
                      int partial, const struct FN(rows) *r, vf *top)
{
    UNROLL for (int a = 0; a < QV; a++) top[a] = r->m[a];
    for (int j = 0; j < n; j += VL) {
        for (int a = 0; a < QV; a++) {
            vf bias[VL], seen[VL];
            const int class = asked ? FN(block_class)(A, X, w, a, k0 + j, n - j) : ALL_KEYS;
            if (class == NO_KEY) {
                for (int e = 0; e < VL && j + e < n; e++) s[(j + e) * QV + a] = SPLAT(-CA_INFINITY);
                continue;
            }
            if (IS_ON(BIAS, X->bias))
                FN(bias_block)(bias, ca_bias_row(A, X, w->b, w->h, w->i0), A->bias_i, A->bias_j, A->bias_cols, w->rows, a, k0 + j);
            if (IS_ON(MASK, masked))
                FN(mask_block)(seen, ca_mask_row(A, X, w->b, w->h, w->i0), A->mask_i, A->mask_j, A->mask_cols, w->rows, a, k0 + j);
            /* Feature by feature: what is off costs one question a block. */
            const int keys = n - j < VL ? n - j : VL;
            vf *x = s + j * QV + a;
#define EACH(score) for (int e = 0; e < keys; e++) x[e * QV] = score;
            if (IS_ON(SCORE, X->leaks) && A->score == CA_GAT) {
                const vf leak = SPLAT(X->leaks[A->leaks_0 + w->h]);
                EACH(VSEL(x[e * QV] > SPLAT(0.f), x[e * QV], x[e * QV] * leak))
            }
            if (IS_ON(SOFTCAP, A->softcap)) vcap(x, QV, keys, A->softcap);
            if (IS_ON(SCORE_MOD, X->score_mod))
                EACH(user_mod(A, X, w->b, w->h, x[e * QV], w->i0 + a * VL, w->p0 + a * VL, 1, k0 + j + e, 0, w->rows - a * VL, SCORE_OF))
            if (IS_ON(BIAS, X->bias)) EACH(MASKED_WHERE(IS_MASKED(bias[e]), x[e * QV] + bias[e]))
            if (IS_ON(ALIBI, X->slopes)) {
                const vf down = SPLAT(-ca_slope(A, X, w->b, w->h)), from = SPLAT((float)(w->p0 - k0 - j)) + vcount((float)(a * VL));
                float key = 0.f;
                for (int e = 0; e < keys; e++, key += 1.f) x[e * QV] = VFMA(down, VABS(from - SPLAT(key)), x[e * QV]);
            }
            if (ca_sole(X) == CA_ADAPTIVE_SPAN) EACH(span_lanes(A, X, w->h, x[e * QV], w->p0 + a * VL, 1, k0 + j + e, 0))
            if (IS_ON(EDGES, X->edges))
                EACH(user_mod(A, X, w->b, w->h, x[e * QV], w->i0 + a * VL, w->p0 + a * VL, 1, k0 + j + e, 0, w->rows - a * VL, EDGE_OF))
            if (IS_ON(MASK, masked)) EACH(MASKED_WHERE(AS_VI(seen[e]) == SPLATI(0), x[e * QV]))
            if (class == SOME_KEYS)
                EACH(user_mod(A, X, w->b, w->h, x[e * QV], w->i0 + a * VL, w->p0 + a * VL, 1, k0 + j + e, 0, w->rows - a * VL, MASK_OF))
            if (partial) EACH(VSEL((r->lo[a] <= SPLATI(k0 + j + e)) & (r->hi[a] > SPLATI(k0 + j + e)), x[e * QV], SPLAT(-CA_INFINITY)))
            vf even = top[a], odd = x[0]; /* one alone would wait for itself */
            for (int e = 0; e < keys; e += 2) {
                even = VMAX(even, x[e * QV]);
                odd = VMAX(odd, x[(e + 1 < keys ? e + 1 : e) * QV]);
            }
            top[a] = VMAX(even, odd);
#undef EACH
        }
    }
}

/* oT = alpha oT + p v for ND output dims from D on at once; oT is the first one's. */
INLINE void FN(accumulate)(vf *oT, const vf *alpha, const vf *p, const struct at *v, int d, int n, const int nd, const int paired)
{
    vf acc[DB][QV];
    UNROLL for (int e = 0; e < nd; e++) UNROLL for (int a = 0; a < QV; a++) acc[e][a] = oT[e * QV + a] * alpha[a];
    const int products = paired ? (n + 1) / 2 : n;
    UNROLL4 for (int j = 0; j < products; j++) {
        KV const float *row = ROW(v, j) + d;
        UNROLL for (int e = 0; e < nd; e++) {
            vf b = SPLAT(row[e]);
            UNROLL for (int a = 0; a < QV; a++) acc[e][a] = paired ? PAIR_PRODUCT(b, p[j * QV + a], acc[e][a]) : VFMA(b, p[j * QV + a], acc[e][a]);
        }
    }
    UNROLL for (int e = 0; e < nd; e++) UNROLL for (int a = 0; a < QV; a++) oT[e * QV + a] = acc[e][a];
}

/* The same where a weight marked ABSENT takes no value. */
INLINE void FN(accumulate_guarded)(vf *oT, const vf *alpha, const vf *p, const struct at *v, int d, int n)
{
    for (int a = 0; a < QV; a++) {
        vf acc = oT[a] * alpha[a];
        for (int j = 0; j < n; j++) {
            vf w = p[j * QV + a];
            acc = VSEL(IS_ABSENT(w), acc, VFMA(SPLAT(ROW(v, j)[d]), w, acc));
        }
        oT[a] = acc;
    }
}

/* Additive scores, w tanh(a (q + k)), of one key: D hyperbolic tangents each. */
APART void FN(additive_scores)(const ca_args *A, const ca_optional *X, const vf *qT, KV const float *k, int D, vf *s)
{
    for (int a = 0; a < QV; a++) s[a] = SPLAT(0.f);
    for (int d = 0; d < D; d++) {
        vf key = SPLAT(k[d]), weight = SPLAT(score_weight(A, X, d) * A->scale);
        for (int a = 0; a < QV; a++) s[a] = VFMA(weight, vtanh(SPLAT(A->score_scale) * (qT[d * QV + a] + key), 1.f), s[a]);
    }
}

/* Dropout of the weights P of a tile of N keys from K0.  A block of random numbers is for four neighbouring keys, but begins
 * elsewhere in each lane: the mask of key j is there, FIRST behind the one that is j % 4-th of this block and the next. */
APART void FN(drop)(const ca_args *A, const struct FN(where) *w, vf *p, int k0, int n)
{
    for (int a = 0; a < QV; a++) {
        int low[VL], high[VL], rest[VL];
        for (int i = 0; i < VL; i++) {
            ca_ulong number = ca_weight_number(A, w->b, w->h, w->i0 + a * VL + i, k0);
            low[i] = (int)(number / 4);
            high[i] = (int)(number / 4 >> 32);
            rest[i] = (int)(number % 4);
        }
        vu lo = AS_VU(VLOADI(low)), hi = AS_VU(VLOADI(high));
        vi first = VLOADI(rest), m[8];
        drop_masks(A, lo, hi, m + 4);
        for (int j = 0; j < n; j += 4) {
            for (int c = 0; c < 4; c++) m[c] = m[c + 4];
            lo += SPLATU(1);
            hi -= AS_VU(lo == SPLATU(0));
            drop_masks(A, lo, hi, m + 4);
            for (int c = 0; c < 4 && j + c < n; c++) {
                vf x = p[(j + c) * QV + a];
                vi gone = ~IS_ABSENT(x) & (((first == SPLATI(0)) & m[c]) | ((first == SPLATI(1)) & m[c + 1]) |
                                           ((first == SPLATI(2)) & m[c + 2]) | ((first == SPLATI(3)) & m[c + 3]));
                p[(j + c) * QV + a] = VSEL(gone, SPLAT(0.f), x);
            }
        }
    }
}

/* Asks for a share of a tile's part of a tensor, BYTES of each of ROWS rows from AT on: as much of it as keys J to J + KB are of the tile's N.
 * Hardware does not foresee so short a piece of so many rows, and all at once would keep the loads waiting. */
INLINE void FN(ask)(GLOBAL const ca_byte *at, ca_long row, int bytes, int rows, int j, int n)
{
    for (int i = rows * j / n; i < rows * (j + KB < n ? j + KB : n) / n; i++)
        for (int c = 0; c < bytes; c += 64) PREFETCH(at + i * row + c);
}

/* One tile of N keys from K0, or of listed ones: scores, new maximum, weights, weighted sum. */
INLINE void FN(tile)(const ca_args *A, const ca_optional *X, const struct FN(where) *w, const vf *qT, vf *oT, vf *p,
                     struct FN(rows) *r, const struct at *k, const struct at *v, int k0, const struct FN(keys) *listed, int n, int D, int Dv,
                     int masked, int asked, int partial, int guarded)
{
    const int bounded = IS_ON(ORDERED, X->ordered) ? 0 : partial; /* as the products come: keys from K0 on have their numbers by their places */
    vf top[QV], alpha[QV];
    UNROLL for (int a = 0; a < QV; a++) top[a] = r->m[a];
    int j = 0;
    if (IS_ON(SCORE, A->score) && A->score == CA_ADDITIVE) {
        for (; j < n; j++) {
            vf s[QV];
            FN(additive_scores)(A, X, qT, ROW(k, j), D, s);
            UNROLL for (int a = 0; a < QV; a++) {
                if (bounded) s[a] = VSEL((r->lo[a] <= SPLATI(k0 + j)) & (r->hi[a] > SPLATI(k0 + j)), s[a], SPLAT(-CA_INFINITY));
                top[a] = VMAX(top[a], s[a]);
                p[j * QV + a] = s[a];
            }
        }
    }
    for (; j < n && n >= KB; j += KB) {
        const int at = j + KB <= n ? j : n - KB; /* the last ones: some again */
        FN(scores)(qT, k, at, D, A->scale, bounded, k0 + at, r, top, p + at * QV, KB);
        if (IS_ON(ORDERED, X->ordered)) {
            ask_rows(k, at + KB, n, KB, D);
            if (!PAIRS) ask_rows(v, at, n, KB, Dv); /* those have been copied */
        }
        if (IS_ON(BIAS, X->bias) && A->bias_i != 0 && A->bias_j == 1)
            FN(ask)((GLOBAL const ca_byte *)(ca_bias_row(A, X, w->b, w->h, w->i0) + k0), A->bias_i * 4, n * 4, w->rows, j, n);
        if (masked && A->mask_i != 0 && A->mask_j == 1) /* whose class is known before */
            FN(ask)(ca_mask_row(A, X, w->b, w->h, w->i0) + k0 + BK, A->mask_i, BK, w->rows, j, n);
    }
    for (; j < n; j++) FN(scores)(qT, k, j, D, A->scale, bounded, k0 + j, r, top, p + j * QV, 1);
    int modified = IS_ON(MODIFIED, A->scored == CA_MODIFIED) || masked || asked;
    if (IS_ON(ORDERED, X->ordered)) modified |= partial;
    if (modified) {
        const struct FN(rows) same = *r; /* no address of what is to stay in registers */
        vf new_top[QV];
        if (IS_ON(ORDERED, X->ordered)) FN(modify_ordered)(A, X, w, listed, p, n, asked, partial, &same, new_top);
        else FN(modify)(A, X, w, p, k0, n, masked, asked, partial, &same, new_top);
        UNROLL for (int a = 0; a < QV; a++) top[a] = new_top[a];
    }
    UNROLL for (int a = 0; a < QV; a++) {
        alpha[a] = vexp(r->m[a] - top[a]);
        r->m[a] = top[a];
        r->l[a] = r->l[a] * alpha[a];
    }
    int e = 0;
    if (guarded) {
        for (j = 0; j < n; j++)
            for (int a = 0; a < QV; a++) {
                vf s = p[j * QV + a], x = vexp(s - top[a]);
                r->l[a] += x;
                p[j * QV + a] = VSEL(IS_MASKED(s), SPLAT(ABSENT), x);
            }
        if (IS_ON(DROPOUT, A->drop_below)) FN(drop)(A, w, p, k0, n);
        for (; e < Dv; e++) FN(accumulate_guarded)(oT + e * QV, alpha, p, v, e, n);
        return;
    }
    for (j = 0; j < n; j++) {
        UNROLL for (int a = 0; a < QV; a++) {
            vf s = p[j * QV + a], x = vexp(s - top[a]);
            r->l[a] += x;
            p[j * QV + a] = x;
        }
    }
    if (IS_ON(DROPOUT, A->drop_below)) FN(drop)(A, w, p, k0, n);
#if PAIRS
    if (X->rounded) {
        for (j = 0; j < n; j += 2)
            UNROLL for (int a = 0; a < QV; a++) p[j / 2 * QV + a] = PAIR(p[j * QV + a], j + 1 < n ? p[(j + 1) * QV + a] : SPLAT(0.f));
        for (; e + DB <= Dv; e += DB) FN(accumulate)(oT + e * QV, alpha, p, v, e, n, DB, 1);
        for (; e < Dv; e++) FN(accumulate)(oT + e * QV, alpha, p, v, e, n, 1, 1);
    }
#endif
    for (; e + DB <= Dv; e += DB) FN(accumulate)(oT + e * QV, alpha, p, v, e, n, DB, 0);
    for (; e < Dv; e++) FN(accumulate)(oT + e * QV, alpha, p, v, e, n, 1, 0);
}

/* Reads the tile's query rows, of those from Q on, into lanes.  Rows past the end repeat the last one.  MADE is scratch for rows
 * that are not simply loaded. */
INLINE void FN(load_queries)(const ca_args *A, const ca_optional *X, const struct FN(where) *w, vf *qT, GLOBAL const stored *q, int D, float *made)
{
    for (int a = 0; a < QV; a++) {
        if (IS_SPECIAL(A))
            for (int i = 0; i < VL; i++) {
                int row = FN(query)(X, w, a * VL + i);
                query_row(A, X, made + i * WHOLE(D), q + (ca_long)row * A->q_s, row, D);
            }
        for (int d = 0; d < D; d += VL) {
            vf x[VL];
            for (int i = 0; i < VL; i++) {
                int row = FN(query)(X, w, a * VL + i);
                x[i] = IS_SPECIAL(A) ? VLOAD(made + i * WHOLE(D) + d) : load_lanes(q + (ca_long)row * A->q_s, A->q_d, d, D);
            }
            transpose(x, VL);
#if PAIRS
            for (int e = 0; e < VL && d + e < D; e += 2) qT[(d + e) / 2 * QV + a] = PAIR(x[e], x[e + 1]);
#else
            for (int e = 0; e < VL && d + e < D; e++) qT[(d + e) * QV + a] = x[e];
#endif
        }
    }
}

/* Dims D ... D + VL of vector A of rows, row by row, each times BY's lane; BY 0: as they are. */
INLINE void FN(turned_output)(vf *x, const vf *oT, const vf *by, int a, int d, int Dv)
{
    for (int e = 0; e < VL; e++) x[e] = d + e < Dv ? oT[(d + e) * QV + a] : SPLAT(0.f);
    for (int e = 0; by && e < VL; e++) x[e] *= by[a];
    transpose(x, VL);
}

/* Writes oT / l, back in rows, of those from O on. */
INLINE void FN(store_output)(const ca_optional *X, const struct FN(where) *w, const vf *oT, const vf *inv, GLOBAL stored *o, int os, int od, int Dv)
{
    for (int a = 0; a < QV; a++) {
        for (int d = 0; d < Dv; d += VL) {
            vf x[VL];
            FN(turned_output)(x, oT, inv, a, d, Dv);
            for (int i = 0; i < VL; i++) {
                if (!FN(is_here)(X, w, a * VL + i)) continue;
                GLOBAL stored *row = o + (ca_long)FN(query)(X, w, a * VL + i) * os;
                if (NEIGHBOURS(od) && (Dv % VL == 0 || d + VL <= Dv)) {
                    store_vec(row + d, x[i]);
                } else {
                    float y[VL];
                    VSTORE(x[i], y);
                    for (int e = 0; e < VL && d + e < Dv; e++) store_at(row, (ca_long)(d + e) * od, y[e]);
                }
            }
        }
    }
}

/* Writes a pass's oT as f32, to row after row of the tile's, STATES states each, from PO on. */
INLINE void FN(store_states)(const ca_optional *X, const struct FN(where) *w, const vf *oT, GLOBAL float *po, int states, int Dv)
{
    for (int a = 0; a < QV; a++)
        for (int d = 0; d < Dv; d += VL) {
            vf x[VL];
            FN(turned_output)(x, oT, 0, a, d, Dv);
            for (int i = 0; i < VL && a * VL + i < w->rows; i++)
                store_floats(x[i], po + ((ca_long)FN(query)(X, w, a * VL + i) * states + w->tile.pass) * Dv, d, Dv);
        }
}

/* Up to BK keys of an ordered tile, of those from FIRST to LAST: first its tokens that are not in its box, then its box; NEXT moves on through
 * both.  Those of a list ascend.  0: there are no more. */
INLINE int FN(list)(const ca_optional *X, const struct FN(where) *w, struct FN(keys) *to, int *next, int first, int last)
{
    const ca_box *k = &w->tile.k;
    GLOBAL const ca_int *tokens = w->tile.tokens;
    const int apart = w->tile.of_tokens ? 0 : w->tile.n, places = ca_box_places(k);
    int n = 0, at[3];
    to->inner = 1;
    for (; *next < apart && n < BK; (*next)++) {
        const int number = tokens[*next];
        if (number < first || number >= last || (number >= k->from[2] && number < k->to[2])) continue;
        to->number[n] = number;
        to->seen[n++] = 1;
    }
    if (n > 0 || *next - apart >= places) return n;
    ca_box_place(k, *next - apart, at);
    while (*next - apart < places && n < BK) { /* run by run along the last axis */
        const int step = k->step[2], start = ca_place_number(at, FIRST_NODE(X)), run = ca_least(ca_up(k->to[2] - at[2], step), BK - n), begin = n;
        const int inner = at[0] >= w->inner[0][0] && at[0] < w->inner[0][1] && at[1] >= w->inner[1][0] && at[1] < w->inner[1][1];
        const int from = first > start ? ca_up(first - start, step) : 0, end = last > start ? ca_least(run, ca_up(last - start, step)) : 0;
        for (int i = 0; i < end - from; i++) { /* N does not count along: Intel's compiler (2026.2) then made stores that crashed */
            const int place = at[2] + (from + i) * step;
            to->number[begin + i] = start + (from + i) * step;
            to->place[0][begin + i] = at[0];
            to->place[1][begin + i] = at[1];
            to->place[2][begin + i] = place;
            to->seen[begin + i] = inner & (place >= w->inner[2][0]) & (place < w->inner[2][1]);
        }
        n += ca_most(end - from, 0);
        for (int token = apart && n > begin ? ca_place(tokens, apart, to->number[begin]) : apart; token < apart && tokens[token] <= to->number[n - 1]; token++)
            to->seen[begin + tokens[token] - to->number[begin]] = 1;
        for (int e = begin; e < n; e++) to->inner &= to->seen[e];
        *next += run;
        at[2] += (run - 1) * step;
        ca_box_next(k, at);
    }
    return n;
}

/* The rows of an ordered tile, the first query of the tensor standing at P0, and which places each sees: axis by axis the same for all rows of a
 * place. */
INLINE void FN(list_rows)(const ca_optional *X, struct FN(where) *w, int p0)
{
    const ca_box *q = &w->tile.q;
    const int asks = ca_order_asks(FIRST_NODE(X)) && !w->tile.of_tokens;
    int lo[3][BQ], hi[3][BQ], at[3];
    for (int a = 0; a < 3; a++) {
        w->inner[a][0] = -CA_NO_MORE;
        w->inner[a][1] = CA_NO_MORE;
        for (int i = 0; asks && i < ca_box_side(q, a); i++) {
            const int place = q->from[a] + i * q->step[a];
            ca_sees_places(a == 2 ? ca_position((ca_long)place + p0) : place, a, lo[a] + i, hi[a] + i, FIRST_NODE(X));
            w->inner[a][0] = ca_most(w->inner[a][0], lo[a][i]);
            w->inner[a][1] = ca_least(w->inner[a][1], hi[a][i]);
        }
    }
    ca_box_place(q, w->tile.first, at);
    for (int r = 0; r < w->rows; r++, ca_box_next(q, at)) {
        if (w->tile.of_tokens) {
            w->row[r] = w->tile.tokens[at[2]] - p0;
            continue;
        }
        w->row[r] = ca_place_number(at, FIRST_NODE(X));
        if (w->tile.n && ca_listed(w->tile.tokens, w->tile.n, w->row[r] + p0)) w->row[r] = ~w->row[r];
    }
    for (int e = 0; asks && e < 3; e++)
        for (int a = 0; a < QV; a++) {
            int from[VL], to[VL], stride = e == 2 ? 1 : e == 1 ? ca_box_side(q, 2) : ca_box_side(q, 1) * ca_box_side(q, 2), side = ca_box_side(q, e);
            for (int i = 0; i < VL; i++) {
                const int r = a * VL + i < w->rows ? a * VL + i : w->rows - 1, place = r / stride % side;
                from[i] = lo[e][place];
                to[i] = hi[e][place];
            }
            w->lo[e][a] = VLOADI(from);
            w->hi[e][a] = VLOADI(to);
        }
}

/* All keys for one query tile; true when every output is finite. */
INLINE int FN(attend)(const ca_args *A, const ca_optional *X, const struct FN(where) *w, GLOBAL const stored *k,
                      GLOBAL const stored *v, const vf *qT, vf *oT, vf *p, float *unpacked, struct FN(rows) *r, int D, int Dv,
                      int first, int last, int full_lo, int full_hi, int guarded)
{
    UNROLL for (int a = 0; a < QV; a++) { r->m[a] = SPLAT(CA_LOWEST); r->l[a] = SPLAT(0.f); }
    for (int e = 0; e < Dv * QV; e++) oT[e] = SPLAT(0.f);
    struct FN(keys) listed;
    int next = 0;
    listed.rounds = 0;
    for (int k0 = first, n; IS_ON(ORDERED, X->ordered) || k0 < last; k0 += n) {
        int partial, asked, masked = 0;
        if (IS_ON(ORDERED, X->ordered)) {
            n = FN(list)(X, w, &listed, &next, first, last);
            if (n == 0) break;
            partial = listed.number[0] < full_lo || listed.number[n - 1] >= full_hi;
            asked = ca_order_asks(FIRST_NODE(X)) && !listed.inner;
        } else {
            k0 = ca_next_key(A, X, w->b, w->h, w->i0, w->p0, w->rows, k0);
            if (k0 >= last) break;
            n = ca_tile_keys(A, X, w->b, w->h, w->i0, w->p0, w->rows, k0, last - k0 < BK ? last - k0 : BK);
            partial = k0 < full_lo || k0 + n > full_hi;
            const int class = ca_tile_class(A, X, w->b, w->h, w->i0, w->p0, w->rows, k0, n);
            if (class == NO_KEY) continue;
            asked = class == SOME_KEYS;
            if (IS_ON(MASK, X->mask)) {
                const int masks = FN(mask_class)(A, X, w, k0, n);
                if (masks == NO_KEY) continue;
                masked = masks == SOME_KEYS;
            }
        }
        struct at keys, values;
        const int *number = IS_ON(ORDERED, X->ordered) ? listed.number : 0;
        const int there = !IS_ON(ORDERED, X->ordered) || w->tile.k.step[2] == 1;
#if PAIRS
        find_keys_paired(A, X, &keys, unpacked, k, w->b, number, k0, n, D, there);
        if (X->rounded && !guarded) find_values_paired(A, X, &values, unpacked + BK * WHOLE(D), v, w->b, number, k0, n, Dv);
        else
#else
        find_rows(A, X, &keys, unpacked, k, 1, w->b, w->h / A->group, number, k0, n, D, there);
#endif
        find_rows(A, X, &values, unpacked + BK * WHOLE(D), v, 0, w->b, w->h / A->group, number, k0, n, Dv, there);
        FN(tile)(A, X, w, qT, oT, p, r, &keys, &values, k0, &listed, n, D, Dv, masked, asked, partial, guarded);
    }
    vi odd = SPLATI(0);
    for (int e = 0; e < Dv * QV; e++) odd |= NOT_FINITE(oT[e]);
    return !VANY(odd);
}

/* Query tile number TILE of head h of batch row b, ragged: number TILE of all.  Where A->splits are more than one, the tile's pass leaves its state, in
 * po [row][splits][Dv] and pml [row][splits][2], rows as those of lse.
 * Scratch: qT D QV, oT Dv QV, p BK QV vectors; unpacked BK (WHOLE(D) + WHOLE(Dv)) floats. */
INLINE void FN(flash)(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k,
                      GLOBAL const stored *v, GLOBAL stored *o, GLOBAL float *lse, GLOBAL float *po, GLOBAL float *pml, int D, int Dv, int tile, int h,
                      int b, vf *qT, vf *oT, vf *p, float *unpacked)
{
    struct FN(rows) r;
    struct FN(where) w;
    vf inv[QV];
    if (IS_ON(RAGGED, X->cu_q)) b = ca_seq_of_tile(A, X, tile, BQ, &tile);
    const ca_seq seq = ca_seq_of(A, X, b);
    const int hk = h / A->group;
    w.b = b;
    w.h = h;
    w.i0 = tile * BQ;
    w.rows = seq.Nq - w.i0 < BQ ? seq.Nq - w.i0 : BQ;
    w.p0 = w.i0 + seq.p0;
    if (IS_ON(RAGGED, X->cu_q) && (tile < 0 || w.rows <= 0)) return;
    if (IS_ON(ORDERED, X->ordered)) {
        ca_order_tile(A, X, &w.tile, tile, BQ, seq.Nq, seq.Nk, ca_position(seq.p0), FIRST_NODE(X));
        w.rows = w.tile.rows;
        if (w.rows <= 0) return;
        FN(list_rows)(X, &w, ca_position(seq.p0));
    }
    q += A->q_0 + b * A->q_b + h * A->q_h + (ca_long)seq.q_row * A->q_s;
    k = kv_from(A, k, ca_head_at(A, &seq, b, hk, A->k_0, A->k_b, A->k_h, A->k_s));
    v = kv_from(A, v, ca_head_at(A, &seq, b, hk, A->v_0, A->v_b, A->v_h, A->v_s));
    o += A->o_0 + b * A->o_b + h * A->o_h + (ca_long)seq.q_row * A->o_s;

    int lo[VL], hi[VL], first = seq.Nk, last = 0, full_lo = 0, full_hi = seq.Nk;
    for (int a = 0; a < QV; a++) {
        UNROLL for (int i = 0; i < VL; i++) {
            const ca_long at = seq.p0 + FN(query)(X, &w, a * VL + i);
            lo[i] = ca_key_lo(at, A->left, seq.Nk);
            hi[i] = ca_key_hi(at, A->right, seq.Nk);
            if (IS_ON(ORDERED, X->ordered)) {
                lo[i] = ca_most(lo[i], ca_key_lo(at, (ca_uint)w.tile.less, seq.Nk));
                if (w.tile.more != CA_NO_MORE) hi[i] = ca_least(hi[i], ca_key_hi(at + w.tile.more, 0, seq.Nk));
            }
            first = ca_least(first, lo[i]);
            last = ca_most(last, hi[i]);
            full_lo = ca_most(full_lo, lo[i]);
            full_hi = ca_least(full_hi, hi[i]);
        }
        r.lo[a] = VLOADI(lo);
        r.hi[a] = VLOADI(hi);
    }
    if (IS_ON(ORDERED, X->ordered)) ca_order_from(&w.tile, first, last);

    FN(load_queries)(A, X, &w, qT, q, D, unpacked);
    for (int guarded = 0; guarded < 2; guarded++) /* a loop, for one copy of all that is inlined */
        if (FN(attend)(A, X, &w, k, v, qT, oT, p, unpacked, &r, D, Dv, first, last, full_lo, full_hi, guarded)) break;

    const ca_long row0 = b * A->lse_b + h * A->lse_h + seq.q_row;
    float m[VL], l[VL];
    if (IS_ON(PASSES, A->splits > 1)) {
        FN(store_states)(X, &w, oT, po + row0 * A->splits * Dv, A->splits, Dv);
        for (int a = 0; a < QV; a++) {
            VSTORE(r.m[a], m);
            VSTORE(r.l[a], l);
            for (int i = 0; i < VL && a * VL + i < w.rows; i++) {
                GLOBAL float *to = pml + ((row0 + FN(query)(X, &w, a * VL + i)) * A->splits + w.tile.pass) * 2;
                to[0] = m[i];
                to[1] = l[i];
            }
        }
        return;
    }
    UNROLL for (int a = 0; a < QV; a++) {
        vf alpha = SPLAT(1.f);
        if (IS_ON(SINKS, X->sinks)) { /* one more score, without a value */
            vf sink = SPLAT(X->sinks[A->sinks_0 + h]), top = VMAX(r.m[a], sink);
            alpha = vexp(r.m[a] - top);
            r.l[a] = VFMA(r.l[a], alpha, vexp(sink - top));
            r.m[a] = top;
        }
        if (IS_ON(DROPOUT, A->drop_below)) alpha *= SPLAT(A->keep_scale);
        inv[a] = VSEL(r.l[a] == SPLAT(0.f), SPLAT(0.f), alpha / r.l[a]);
    }
    FN(store_output)(X, &w, oT, inv, o, A->o_s, A->o_d, Dv);
    if (A->has_lse)
        for (int a = 0; a < QV; a++) {
            VSTORE(r.m[a], m);
            VSTORE(r.l[a], l);
            for (int i = 0; i < VL; i++) {
                if (!FN(is_here)(X, &w, a * VL + i)) continue;
                lse[A->lse_0 + row0 + FN(query)(X, &w, a * VL + i)] = l[i] == 0.f ? -CA_INFINITY : m[i] + LOG(l[i]);
            }
        }
}
#undef LISTED_ROWS
#undef LISTED_KEYS
#undef BQ
#undef KV
#undef UNPACKED
