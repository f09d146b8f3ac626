/* decode.h -- few queries, long KV, in the lane dialect: here a lane holds one of VL neighbouring dims, so that
 * K and V are read once, in order, by whole vectors; the limit is memory bandwidth.
 *
 * One call does one part of the keys for up to RB rows that share a KV head: row r of the pack is query
 * r % Nq of head r / Nq of the group.  Where the keys of several heads lie between one another, the rows of those go together, so that
 * memory is still read in order:
 *
 *     key 0:  head 0 | head 1 | head 2    a pack of one head reads every third piece,
 *     key 1:  head 0 | head 1 | head 2    a pack of three all of them
 *
 * What it leaves is the monoid's state per row, o unnormalised, m, l, to be merged with the other parts.
 *
 * Scratch: q RB DC vectors, o RB EC vectors, s RB DK floats, where DC = ceil(D / VL), EC = ceil(Dv / VL); and where elements are not
 * simply loaded kv, FEW keys or values: FEW max(DC, EC) VL floats.
 * Needs VL and dialect.h; RB rows at once, DK keys per tile (a multiple of VL and of 4). */
#include "repeat.h"

#define FEW 8     /* keys or values that are made at once */
#define VALUES 16 /* values at once: what the sums are loaded and stored for */
#define AHEAD 24  /* keys between asking for a row and using it; on an EPYC 8, 16 and 40 give a few percent less */

/* How keys and values come: loaded as they are, and where rows lie as whole vectors as those; made before, f32 in scratch memory
 * (lanerows.h); or quantised (ca_is_fused): the form is their format then.  Blocks are unpacked where they are used; the scales of int8,
 * by key at most, go to the scores and the weights. */
enum { LOADED, MADE = -1, VECTORS = -2 };
#define TOGETHER(form) ((form) >= CA_Q8_0 ? 32 / VL : 1) /* vectors of dims that are loaded in one go: a block's */

/* Keys or values at AT, S elements apart, their dims D apart: bytes, of quantised ones.  MADE ones lie in scratch memory.  AHEAD are those to ask for
 * meanwhile. */
struct decode_from { GLOBAL const stored *at; int s, d, dims; const float *made; GLOBAL const stored *ahead; };

/* N rows further. */
INLINE GLOBAL const stored *decode_row(const struct decode_from *x, GLOBAL const stored *from, ca_long n, const int form)
{
    return form > LOADED ? (GLOBAL const stored *)((GLOBAL const ca_byte *)from + n * x->s) : from + n * x->s;
}

/* Where to ask for rows while N of X are used, keys J ... of those before LAST: the row that many keys further on; where there is none, or nobody
 * asks, where they are.  One thread's loads alone do not keep the memory busy, nor do requests to the first-level cache, which has few
 * outstanding; and requests in one go stall what comes after: on an EPYC one by one, as rows are used, is up to 1.5 times as fast. */
INLINE GLOBAL const stored *decode_ahead(const ca_args *A, const ca_optional *X, const struct decode_from *x, GLOBAL const stored *from,
                                         ca_long page, int b, int n, int j, int last, const int form)
{
    if (form == MADE || j + AHEAD + n > last) return x->at;
    return IS_ON(PAGED, A->page_size) ? kv_from(A, from, ca_key_at(A, X, b, j + AHEAD, page, x->s)) : decode_row(x, x->at, AHEAD, form);
}

/* Asks for what begins at vector C of row I, once a cache line. */
INLINE void decode_ask(const struct decode_from *x, int i, int c, const int form)
{
    const int at = form >= CA_Q8_0 ? c * VL / 32 * CA_BLOCK_BYTES(form) : c * VL * (form > LOADED ? 1 : (int)sizeof(stored));
    if (form != MADE && (form >= CA_Q8_0 || at % 64 == 0)) PREFETCH_FAR((GLOBAL const ca_byte *)decode_row(x, x->ahead, i, form) + at);
}

/* Vector c + e of the i-th of them.  Of blocks c is even: where VL is 16 it begins one. */
INLINE vf decode_lanes(const struct decode_from *x, int i, int c, int e, const int form)
{
    GLOBAL const stored *at = decode_row(x, x->at, i, form);
    GLOBAL const ca_byte *row = (GLOBAL const ca_byte *)at;
    int d = (c + e) * VL;
    if (form == MADE) return VLOAD(x->made + i * WHOLE(x->dims) + d);
    if (form == CA_INT8) return VFLOAT(VLOADS8(row + d));
    if (form >= CA_Q8_0) /* literal as far as can be, so that a block's vectors share its loads */
        return block_lanes(row + c * VL / 32 * CA_BLOCK_BYTES(form), (VL == 16 ? 0 : c * VL % 32) + e * VL, form);
    return form == VECTORS ? load_vec(at + d) : load_lanes(at, x->d, d, x->dims);
}

/* The lanes of x[l], summed, in lane l: half as many vectors each time, of which one lane in two stays (a blend) and one moves (a shuffle).  Indices are
 * literal, or gcc would keep x in memory. */
INLINE vf decode_sums(vf *x)
{
#define MEET(n, m, bit) x[n] = PAIR_SUM(x[n], x[m], bit);
#if VL == 16
    MEET(0, 8, 8) MEET(1, 9, 8) MEET(2, 10, 8) MEET(3, 11, 8) MEET(4, 12, 8) MEET(5, 13, 8) MEET(6, 14, 8) MEET(7, 15, 8)
#endif
#if VL >= 8
    MEET(0, 4, 4) MEET(1, 5, 4) MEET(2, 6, 4) MEET(3, 7, 4)
#endif
    MEET(0, 2, 2) MEET(1, 3, 2) MEET(0, 1, 1)
#undef MEET
    return x[0];
}

/* s[r][j] = q_r . k_j for KEYS keys and ROWS rows, VL sums in all. */
INLINE void decode_dots(const vf *q, const struct decode_from *k, int DC, float scale, float *s, const int form, const int rows, const int keys)
{
#define NONE(n) acc[n] = SPLAT(0.f);
#define ADD(n) acc[n] = VFMA(decode_lanes(k, n % keys, c, 0, form), q[n / keys * DC + c], acc[n]);
    vf acc[VL];
    float sums[VL];
    REPEAT(VL, NONE)
    for (int c = 0; c < DC; c++) {
        UNROLL for (int i = 0; i < keys; i++) decode_ask(k, i, c, form);
        REPEAT(VL, ADD)
    }
    VSTORE(decode_sums(acc) * SPLAT(scale), sums);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int i = 0; i < keys; i++) s[r * DK + i] = sums[r * keys + i];
#undef NONE
#undef ADD
}

/* The same for any KEYS and ROWS, and for blocks; VL sums are added in one order in both, since blocks are made again where some are not finite. */
INLINE void decode_scores(const vf *q, const struct decode_from *k, int DC, float scale, float *s, const int form, const int rows, const int keys)
{
    float sums[VL];
    vf acc[16];
    UNROLL for (int i = 0; i < rows * keys; i++) acc[i] = SPLAT(0.f);
    for (int c = 0; c < DC; c += TOGETHER(form)) {
        UNROLL for (int i = 0; i < keys; i++) {
            decode_ask(k, i, c, form);
            UNROLL for (int e = 0; e < 32 / VL; e++) {
                if (e >= TOGETHER(form)) break;
                vf x = decode_lanes(k, i, c, e, form);
                UNROLL for (int r = 0; r < rows; r++) acc[r * keys + i] = VFMA(x, q[r * DC + c + e], acc[r * keys + i]);
            }
        }
    }
    if (rows * keys == VL) VSTORE(decode_sums(acc) * SPLAT(scale), sums);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int i = 0; i < keys; i++) s[r * DK + i] = rows * keys == VL ? sums[r * keys + i] : VSUM(acc[r * keys + i]) * scale;
}

/* The same for additive scores, w tanh(a (q + k)). */
APART void decode_additive(const ca_args *A, const ca_optional *X, const vf *q, const float *k, int D, float *s)
{
    vf sum = SPLAT(0.f);
    for (int d = 0; d < D; d += VL) {
        vf w = A->score_ws > 1 ? load_floats(X->score_w + A->score_w_0, d, D) : SPLAT(A->score_ws ? X->score_w[A->score_w_0] : 1.f);
        sum = VFMA(w, vtanh(SPLAT(A->score_scale) * (q[d / VL] + VLOAD(k + d)), 1.f), sum);
    }
    *s = VSUM(sum) * A->scale;
}

/* o_r += p[r][j] v_j for KEYS keys, ROWS rows and NC vectors of dims from vector C on. */
INLINE void decode_sum(vf *o, const struct decode_from *v, int EC, int c, const float *p, int keys, const int form, const int rows, const int nc)
{
    vf acc[16];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int e = 0; e < nc; e++) acc[r * nc + e] = o[r * EC + c + e];
    for (int i = 0; i < keys; i++) {
        UNROLL for (int e = 0; e < nc; e++) {
            vf x = decode_lanes(v, i, c, e, form);
            decode_ask(v, i, c + e, form);
            UNROLL for (int r = 0; r < rows; r++) acc[r * nc + e] = VFMA(x, SPLAT(p[r * DK + i]), acc[r * nc + e]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int e = 0; e < nc; e++) o[r * EC + c + e] = acc[r * nc + e];
}

/* The same for all rows and dims. */
INLINE void decode_values(vf *o, const struct decode_from *v, int EC, const float *p, int rows, int keys, const int form)
{
    int r = 0;
    for (; r + 4 <= rows; r += 4) {
        int c = 0;
        if (VL == 16 && form < CA_Q8_0) /* 32 registers; of blocks one at a time */
            for (; c + 4 <= EC; c += 4) decode_sum(o + r * EC, v, EC, c, p + r * DK, keys, form, 4, 4);
        for (; c + 2 <= EC; c += 2) decode_sum(o + r * EC, v, EC, c, p + r * DK, keys, form, 4, 2);
        for (; c < EC; c++) decode_sum(o + r * EC, v, EC, c, p + r * DK, keys, form, 4, 1);
    }
    for (; r < rows; r++) {
        int c = 0;
        if (VL == 16 && form < CA_Q8_0) /* whole values, as they lie: memory is read in order */
            for (; c + 8 <= EC; c += 8) decode_sum(o + r * EC, v, EC, c, p + r * DK, keys, form, 1, 8);
        for (; c + 2 <= EC; c += 2) decode_sum(o + r * EC, v, EC, c, p + r * DK, keys, form, 1, 2);
        for (; c < EC; c++) decode_sum(o + r * EC, v, EC, c, p + r * DK, keys, form, 1, 1);
    }
}

/* The same of one key, leaving out the weights marked ABSENT (a masked NaN in V must not matter). */
INLINE void decode_values_guarded(vf *o, const struct decode_from *v, int EC, const float *p, int rows, const int form)
{
    for (int r = 0; r < rows; r++) {
        if (1.f / p[r * DK] < 0.f) continue; /* ABSENT is -0 */
        for (int c = 0; c < EC; c++) o[r * EC + c] = VFMA(decode_lanes(v, 0, c, 0, form), SPLAT(p[r * DK]), o[r * EC + c]);
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
KEYS(mask_keys, ca_byte, VMASK, 0.f)
#undef KEYS

/* Row r of a pack: query i, which stands at p, of head h of batch row b. */
struct packed { int b, h, i; ca_long p; };

/* What becomes of one row's scores of a tile of N keys from K0 on, beyond scale: as cl/score.h, VL keys at a time. */
APART void decode_modify(const ca_args *A, const ca_optional *X, const struct packed *w, float *s, int n, int k0, int class)
{
    const float slope = IS_ON(ALIBI, X->slopes) ? ca_slope(A, X, w->b, w->h) : 0.f;
    for (int j = n; j < WHOLE(n); j++) s[j] = 0.f; /* whole vectors are computed: of what somebody wrote */
    for (int j = 0; j < n; j += VL) {
        vf x = VLOAD(s + j);
        if (IS_ON(SCORE, X->leaks) && A->score == CA_GAT) x = VSEL(x > SPLAT(0.f), x, x * SPLAT(X->leaks[A->leaks_0 + w->h]));
        if (IS_ON(SOFTCAP, A->softcap)) x = vtanh(x, A->softcap);
        if (IS_ON(SCORE_MOD, X->score_mod)) x = user_mod(A, X, w->b, w->h, x, w->i, w->p, 0, k0 + j, 1, n - j, SCORE_OF);
        if (IS_ON(BIAS, X->bias)) {
            vf bias = bias_keys(ca_bias_row(A, X, w->b, w->h, w->i), A->bias_j, A->bias_cols, k0 + j);
            x = MASKED_WHERE(IS_MASKED(bias), x + bias);
        }
        if (IS_ON(ALIBI, X->slopes)) x = VFMA(SPLAT(-slope), VABS(vcount((float)(k0 + j - w->p))), x);
        if (ca_sole(X) == CA_ADAPTIVE_SPAN) x = span_lanes(A, X, w->h, x, w->p, 0, k0 + j, 1);
        if (IS_ON(EDGES, X->edges)) x = user_mod(A, X, w->b, w->h, x, w->i, w->p, 0, k0 + j, 1, n - j, EDGE_OF);
        if (IS_ON(MASK, X->mask)) {
            vf seen = mask_keys(ca_mask_row(A, X, w->b, w->h, w->i), A->mask_j, A->mask_cols, k0 + j);
            x = MASKED_WHERE(seen == SPLAT(0.f), x);
        }
        if (IS_ON(HIDING, ca_hides(X)) && class == SOME_KEYS) x = user_mod(A, X, w->b, w->h, x, w->i, w->p, 0, k0 + j, 1, n - j, MASK_OF);
        if (class == NO_KEY) x = SPLAT(-CA_INFINITY);
        VSTORE(x, s + j);
    }
}

/* Softmax of one row of a tile of N keys from K0: new maximum, weights in place, l; returns the factor for o. */
INLINE float decode_softmax(float *s, int n, int k0, int lo, int hi, float *m, float *l, int guarded)
{
    if (k0 < lo || k0 + n > hi || n % VL)
        for (int j = 0; j < WHOLE(n); j++)
            if (j >= n || k0 + j < lo || k0 + j >= hi) s[j] = -CA_INFINITY;
    vf top = SPLAT(*m), sum = SPLAT(0.f);
    float alpha[VL], best[VL];
    for (int j = 0; j < n; j += VL) top = VMAX(top, VLOAD(s + j));
    top = vtop(top);
    VSTORE(top, best);
    VSTORE(vexp(SPLAT(*m) - top), alpha);
    for (int j = 0; j < n; j += VL) {
        vf x = VLOAD(s + j), w = vexp(x - top);
        sum += w;
        if (guarded) w = VSEL(IS_MASKED(x), SPLAT(ABSENT), w);
        VSTORE(w, s + j);
    }
    *l = *l * alpha[0] + VSUM(sum);
    *m = best[0];
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

/* Keys of K whose scores for EACH rows are computed at once: VL sums in all, as far as can be. */
INLINE int decode_few(int each, const int form) { return form == MADE || form >= CA_Q8_0 || each > 2 ? 4 : each == 1 ? VL : VL > 8 ? VL / 2 : 4; }

/* Scores of KEYS keys of K for all rows. */
INLINE void decode_keys(const ca_args *A, const ca_optional *X, const struct decode_from *k, const vf *q, int DC, float *s, int rows,
                        const int form, const int keys)
{
#define ROWS_OF(n) \
    if (n * keys == VL && form < CA_Q8_0) decode_dots(q + r * DC, k, DC, A->scale, s + r * DK, form, n, keys); \
    else decode_scores(q + r * DC, k, DC, A->scale, s + r * DK, form, n, keys);
    int r = 0;
    if (form == MADE && IS_ON(SCORE, A->score) && A->score == CA_ADDITIVE) {
        for (; r < rows; r++)
            for (int i = 0; i < keys; i++) decode_additive(A, X, q + r * DC, k->made + i * WHOLE(k->dims), k->dims, s + r * DK + i);
    }
    if (VL == 16 && keys <= 4)
        for (; r + 4 <= rows; r += 4) { ROWS_OF(4) }
    if (keys <= 8)
        for (; r + 2 <= rows; r += 2) { ROWS_OF(2) }
    for (; r < rows; r++) { ROWS_OF(1) }
#undef ROWS_OF
}

/* Multiplies the scores or weights S of N keys from K0 on, EACH rows of each of HEADS KV heads from HK on, by the keys' scales. */
INLINE void decode_scale(const ca_args *A, const ca_optional *X, GLOBAL const float *scale, int b, int hk, int heads, int k0, int n, float *s, int each)
{
    float by[DK];
    const int step = IS_ON(PAGED, A->page_size) ? A->Hkv : 1;
    for (int j = n; j < WHOLE(n); j++) by[j] = 0.f;
    for (int h = 0; h < heads; h++) {
        for (int j = 0, end; j < n; j = end) { /* a page, or all */
            GLOBAL const float *from = scale + ca_key_number(A, X, b, hk + h, k0 + j);
            end = j + ca_key_run(A, k0 + j, n - j);
            for (int i = j; i < end; i++) by[i] = from[(i - j) * step];
        }
        for (int r = 0; r < each; r++, s += DK)
            for (int j = 0; j < n; j += VL) VSTORE(VLOAD(s + j) * VLOAD(by + j), s + j);
    }
}

/* One part of the keys [first, last) for ROWS rows, as many of each KV head from HK on, of batch row b's keys; true when o is finite.
 * KV is scratch for FEW keys or values. */
INLINE int decode_part(const ca_args *A, const ca_optional *X, const struct packed *w, int b, int hk, GLOBAL const stored *k,
                       GLOBAL const stored *v, int D, int Dv, int rows, const int *lo, const int *hi, int first, int last,
                       const vf *q, vf *o, float *s, float *kv, float *m, float *l, int heads, int guarded, const int form)
{
    const int DC = WHOLE(D) / VL, EC = WHOLE(Dv) / VL, each = rows / heads;
    for (int r = 0; r < rows; r++) { m[r] = CA_LOWEST; l[r] = 0.f; }
    for (int c = 0; c < rows * EC; c++) o[c] = SPLAT(0.f);
    for (int k0 = first, n; k0 < last; k0 += n) {
        int class[RB], any = 0;
        n = last - k0 < DK ? last - k0 : DK;
        if (IS_ON(PATTERN, X->num_nodes)) { /* what any of the rows sees */
            int next = CA_NO_MORE;
            for (int r = 0; r < rows; r++) next = ca_least(next, ca_next_key(A, X, w[r].b, w[r].h, w[r].i, w[r].p, 1, k0));
            if (next >= last) break;
            k0 = ca_most(k0, next);
            n = last - k0 < DK ? last - k0 : DK;
            for (int r = 0; r < rows; r++) n = ca_tile_keys(A, X, w[r].b, w[r].h, w[r].i, w[r].p, 1, k0, n);
        }
        for (int r = 0; r < rows; r++) any |= class[r] = ca_tile_class(A, X, w[r].b, w[r].h, w[r].i, w[r].p, 1, k0, n);
        if (!any) continue;
        for (int j = 0, end; j < n; j = end) { /* keys that lie behind one another: all of them, or a page */
            struct decode_from x = { kv_from(A, k, ca_key_at(A, X, b, k0 + j, A->k_b, A->k_s)), A->k_s, A->k_d, D, kv, 0 };
            end = form == MADE ? n : j + ca_key_run(A, k0 + j, n - j);
            for (int few; j < end; j += few, x.at = decode_row(&x, x.at, few, form)) {
                few = decode_few(each, form);
                if (end - j < few) few = end - j < 4 ? 1 : 4;
                struct decode_from y = x;
                GLOBAL const stored *ahead = decode_ahead(A, X, &x, k, A->k_b, b, few, k0 + j, last, form);
                for (int h = 0, r = 0; h < heads; h++, r += each, y.at = kv_from(A, y.at, A->k_h)) {
                    if (form == MADE)
                        for (int i = 0; i < few; i++) key_row(A, X, kv + i * WHOLE(D), kv_from(A, k, h * A->k_h), b, hk + h, k0 + j + i, D);
                    y.ahead = kv_from(A, ahead, h * A->k_h);
                    if (few == 4) decode_keys(A, X, &y, q + r * DC, DC, s + r * DK + j, each, form, 4);
                    else if (few == VL) decode_keys(A, X, &y, q + r * DC, DC, s + r * DK + j, 1, form, VL);
                    else if (few == VL / 2) decode_keys(A, X, &y, q + r * DC, DC, s + r * DK + j, 2, form, VL / 2);
                    else decode_keys(A, X, &y, q + r * DC, DC, s + r * DK + j, each, form, 1);
                }
            }
        }
        if (form == CA_INT8 && A->k_scale) decode_scale(A, X, X->k_scale + A->k_scale_0, b, hk, heads, k0, n, s, each);
        for (int r = 0; r < rows; r++) {
            if (IS_ON(SCORED, A->scored)) decode_modify(A, X, w + r, s + r * DK, n, k0, class[r]);
            float alpha = decode_softmax(s + r * DK, n, k0, lo[r], hi[r], m + r, l + r, guarded);
            if (IS_ON(DROPOUT, A->drop_below)) decode_drop(A, w + r, s + r * DK, n, k0);
            if (alpha != 1.f)
                for (int c = 0; c < EC; c++) o[r * EC + c] *= SPLAT(alpha);
        }
        if (form == CA_INT8 && A->v_scale) decode_scale(A, X, X->v_scale + A->v_scale_0, b, hk, heads, k0, n, s, each);
        for (int j = 0, end; j < n; j = end) {
            struct decode_from x = { kv_from(A, v, ca_key_at(A, X, b, k0 + j, A->v_b, A->v_s)), A->v_s, A->v_d, Dv, kv, 0 };
            end = form == MADE ? n : j + ca_key_run(A, k0 + j, n - j);
            for (int few; j < end; j += few, x.at = decode_row(&x, x.at, few, form)) {
                few = guarded ? 1 : ca_least(end - j, form == MADE ? FEW : VALUES);
                struct decode_from y = x;
                GLOBAL const stored *ahead = decode_ahead(A, X, &x, v, A->v_b, b, few, k0 + j, last, form);
                for (int h = 0, r = 0; h < heads; h++, r += each, y.at = kv_from(A, y.at, A->v_h)) {
                    if (form == MADE)
                        for (int i = 0; i < few; i++) value_row(A, X, kv + i * WHOLE(Dv), kv_from(A, v, h * A->v_h), b, hk + h, k0 + j + i, Dv);
                    y.ahead = kv_from(A, ahead, h * A->v_h);
                    if (guarded) decode_values_guarded(o + r * EC, &y, EC, s + r * DK + j, each, form);
                    else decode_values(o + r * EC, &y, EC, s + r * DK + j, each, few, form);
                }
            }
        }
    }
    vi odd = SPLATI(0);
    for (int c = 0; c < rows * EC; c++) odd |= NOT_FINITE(o[c]);
    return !VANY(odd);
}

/* Query i, whose row begins at ROW, in whole vectors. */
INLINE void decode_query(const ca_args *A, const ca_optional *X, vf *qv, GLOBAL const stored *row, int i, int D, float *scratch)
{
    if (IS_SPECIAL(A)) query_row(A, X, scratch, row, i, D);
    for (int c = 0; c < WHOLE(D) / VL; c++)
        qv[c] = IS_SPECIAL(A) ? VLOAD(scratch + c * VL) : load_lanes(row, A->q_d, c * VL, D);
}

/* Rows r0 ... of those of HEADS KV heads from HK on, all of them where these are several, part number PART: leaves their states in
 * po [row][splits][Dv] and pml [row][splits][2], where rows are numbered as those of lse. */
INLINE void decode(const ca_args *A, const ca_optional *X, GLOBAL const stored *q, GLOBAL const stored *k,
                   GLOBAL const stored *v, GLOBAL float *po, GLOBAL float *pml, int D, int Dv, int part, int r0, int hk, int heads,
                   int b, vf *qv, vf *ov, float *s, float *kv)
{
    const int DC = WHOLE(D) / VL, EC = WHOLE(Dv) / VL, shared = ca_is_shared(A, part);
    const ca_seq seq = ca_seq_of(A, X, b);
    const int left = heads * ca_rows(A, &seq, shared) - r0, rows = left < RB ? left : RB;
    const int in_vectors = are_vectors(A->k_d, D) && are_vectors(A->v_d, Dv);
    struct packed w[RB];
    GLOBAL const stored *row[RB];
    ca_long at[RB];
    int lo[RB], hi[RB], first = A->Nk, last = 0, begin, end;
    float m[RB], l[RB];
    for (int r = 0; r < rows; r++) {
        const ca_row t = ca_row_of(A, X, &seq, b, hk, r0 + r, shared);
        row[r] = q + A->q_0 + t.b * A->q_b + t.h * A->q_h + (ca_long)(t.seq.q_row + t.i) * A->q_s;
        w[r].b = t.b;
        w[r].h = t.h;
        w[r].i = t.i;
        w[r].p = t.i + t.seq.p0;
        at[r] = (t.b * A->lse_b + t.h * A->lse_h + t.seq.q_row + t.i) * A->splits + part;
        lo[r] = ca_key_lo(w[r].p, A->left, t.seq.Nk);
        hi[r] = ca_key_hi(w[r].p, A->right, t.seq.Nk);
        if (lo[r] < first) first = lo[r];
        if (hi[r] > last) last = hi[r];
    }
    ca_part_keys(A, part, &begin, &end);
    if (first < begin) first = begin;
    if (last > end) last = end;
    if (first >= last) { /* no key, and what is never read is not written: a batch of short rows has many such parts */
        for (int r = 0; r < rows; r++) { pml[2 * at[r]] = CA_LOWEST; pml[2 * at[r] + 1] = 0.f; }
        return;
    }
    for (int r = 0; r < rows; r++) decode_query(A, X, qv + r * DC, row[r], w[r].i, D, kv);
    k = kv_from(A, k, ca_head_at(A, &seq, b, hk, A->k_0, A->k_b, A->k_h, A->k_s));
    v = kv_from(A, v, ca_head_at(A, &seq, b, hk, A->v_0, A->v_b, A->v_h, A->v_s));
#define PART(guarded, form) decode_part(A, X, w, b, hk, k, v, D, Dv, rows, lo, hi, first, last, qv, ov, s, kv, m, l, heads, guarded, form)
    if (IS_FUSED(A)) {
        int finite = QUANT_FORMAT(A) == CA_INT8 ? PART(0, CA_INT8) : QUANT_FORMAT(A) == CA_Q8_0 ? PART(0, CA_Q8_0) : PART(0, CA_Q4_0);
        if (!finite) PART(1, MADE);
    } else for (int guarded = 0; guarded < 2; guarded++) /* a loop, for one copy of all that is inlined */
        if (IS_SPECIAL(A) ? PART(guarded, MADE) : in_vectors ? PART(guarded, VECTORS) : PART(guarded, LOADED)) break;
#undef PART
    for (int r = 0; r < rows; r++) {
        pml[2 * at[r]] = m[r];
        pml[2 * at[r] + 1] = l[r];
        for (int c = 0; c < EC; c++) store_floats(ov[r * EC + c], po + at[r] * Dv, c * VL, Dv);
    }
}
