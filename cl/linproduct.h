/* linproduct.h -- what linear attention (linear.h) is made of: elements of its tensors, one by one and in vectors, and `product`, a matrix
 * product of a group's items with a tail for triangles. */
#include "linargs.h"

struct lin_io { GLOBAL void *t[LIN_TENSORS]; };

/* Items' shares of n things. */
#define EACH_MINE(i, n) for (int i = ITEM; i < (n); i += ITEMS)

/* ------------------------------------------------------------------ elements */

/* e^x for any x, to less than an ulp; 0 below -87, where results are subnormal, which cost a processor a hundred cycles. */
INLINE vf exp_any(vf x)
{
    const vf low = SPLAT(-87.f);
    vf y = VMIN(SPLAT(89.f), VMAX(low, x));
    vf r = VFMA(y, SPLAT(LOG2E), SPLAT(12583038.f)), n = r - SPLAT(12583038.f); /* 1.5 2^23 + 126 */
    vf f = VFMA(n, SPLAT(2.12194440e-4f), VFMA(n, SPLAT(-0.693359375f), y)), p = SPLAT(1.98412698e-4f);
    p = VFMA(p, f, SPLAT(1.38888889e-3f));
    p = VFMA(p, f, SPLAT(8.33333333e-3f));
    p = VFMA(p, f, SPLAT(4.16666667e-2f));
    p = VFMA(p, f, SPLAT(1.66666667e-1f));
    p = VFMA(p, f, SPLAT(0.5f));
    p = SPLAT(1.f) + VFMA(p, f * f, f);
    return VSEL(x < low, SPLAT(0.f), (p + p) * AS_VF(AS_VI(r) << 23));
}

INLINE int is_given(const ca_linear *A, int k) { return A->type[k] >= 0; }

INLINE float element(const ca_linear *A, const struct lin_io *X, int k, ca_long i) { return load_as(X->t[k], A->type[k], A->at[k] + i); }

/* Unrolled, or GPU compilers leave an array in memory; ROLLED for those that take minutes then (rusticl). */
#ifdef ROLLED
#define EACH_OF_VL(l) for (int l = 0; l < VL; l++)
#else
#define EACH_OF_VL(l) UNROLL for (int l = 0; l < VL; l++)
#endif

/* VL numbers of tensor k from element i + d on, 0 from i + dims on. */
INLINE vf lanes_of(const ca_linear *A, const struct lin_io *X, int k, ca_long i, int d, int dims)
{
    const int type = A->type[k];
    i += A->at[k] + d;
    if (d + VL <= dims) {
        if (type == TYPE_F32) return VLOAD((GLOBAL const float *)X->t[k] + i);
        return type == TYPE_F16 ? f16_vec((GLOBAL const ca_ushort *)X->t[k] + i) : bf16_vec((GLOBAL const ca_ushort *)X->t[k] + i);
    }
    float x[VL];
    EACH_OF_VL(l) x[l] = d + l < dims ? load_as(X->t[k], type, i + l) : 0.f;
    return VLOAD(x);
}

/* dims numbers of tensor k from element i on, zeros behind them to a whole vector.  The row AHEAD elements further on is asked for: it is
 * the next chunk's, and hardware does not look so far. */
INLINE void load_row(const ca_linear *A, const struct lin_io *X, int k, ca_long i, int dims, ca_long ahead, GLOBAL float *row)
{
    int d = 0;
    if (A->type[k] == TYPE_F32) {
        GLOBAL const float *from = (GLOBAL const float *)X->t[k] + A->at[k] + i;
        if (ahead) for (int c = 0; c < dims; c += 16) PREFETCH_FAR(from + ahead + c);
        for (; d + VL <= dims; d += VL) VSTORE(VLOAD(from + d), row + d);
    }
    for (; d < dims; d += VL) VSTORE(lanes_of(A, X, k, i, d, dims), row + d);
}

/* The first n lanes of x to row + d. */
INLINE void put_lanes(GLOBAL float *to, vf x, int n)
{
    float y[VL];
    if (n >= VL) {
        VSTORE(x, to);
        return;
    }
    VSTORE(x, y);
    EACH_OF_VL(l) if (l < n) to[l] = y[l];
}
INLINE void put(const ca_linear *A, const struct lin_io *X, int k, ca_long i, vf x, int n)
{
    float y[VL];
    i += A->at[k];
    if (A->type[k] == TYPE_F32) {
        put_lanes((GLOBAL float *)X->t[k] + i, x, n);
        return;
    }
    VSTORE(x, y);
    EACH_OF_VL(l)
        if (l < n) store_as(X->t[k], A->type[k], i + l, y[l]);
}

INLINE float dot(GLOBAL const float *x, GLOBAL const float *y, int n)
{
    vf sum = SPLAT(0.f);
    int f = 0;
    for (; f + VL <= n; f += VL) sum = VFMA(VLOAD(x + f), VLOAD(y + f), sum);
    if (f < n) {
        float rest[VL];
        for (int i = 0; i < VL; i++) rest[i] = f + i < n ? x[f + i] * y[f + i] : 0.f;
        sum += VLOAD(rest);
    }
    return VSUM(sum);
}

/* Lane l of the vector that holds element first + l: is it below n? */
INLINE vi lanes_below(int first, int n) { return vcount((float)first) < SPLAT((float)n); }

/* ------------------------------------------------------------------- product */

/* Rows of scratch, or of a tensor, of which the next chunk's, DIMS numbers each, are N further on: hardware does not look so far.  N 0: none. */
struct rows { GLOBAL const float *at; int ld, n, dims; };

/* c [m][nv vectors] = by (keep old + a b), a [m][k] being anywhere, b [k] rows of vectors. */
enum { TAIL_NONE, TAIL_TO_DIAGONAL, TAIL_THROUGH, TAIL_SOLVE };
struct product {
    GLOBAL float *c;
    GLOBAL const float *a, *b;
    int ldc, a_row, a_col, ldb, m, nv, k;
    int keeps;                     /* 0: no old; 1: old as it is; 2: times keep[row keep_step] */
    struct rows old;
    GLOBAL const float *keep;
    int keep_step;
    float by;
    struct rows ahead;             /* whose next rows are asked for on the way, as many as c has */
    int tail;                      /* TO_DIAGONAL: of c only vectors that hold some column j <= row i
                                      THROUGH: only the k <= i of row i
                                      SOLVE: only the k < i, b being c: forward substitution */
};

/* Rows i0 ... i0 + MR - 1 and nc vectors from v0 on, of which LEFT are there.  Rows past the end are the last one again, and are not
 * stored; vectors past the end are the last one again, and are stored again. */
INLINE void product_tile(const struct product *p, int i0, int v0, const int nc, const int left)
{
#define AT(n) (((n) < left ? (n) : left - 1) * VL)
    vf acc[MR][NV];
    GLOBAL const float *a[MR], *b = p->b + v0 * VL;
    GLOBAL float *c = p->c + v0 * VL;
    const int triangle = p->tail >= TAIL_THROUGH, k = triangle ? i0 : p->k, step = p->a_col, ldb = p->ldb;
    UNROLL for (int r = 0; r < MR; r++) {
        const int row = i0 + r < p->m ? i0 + r : p->m - 1;
        a[r] = p->a + row * p->a_row;
        const float keep = p->keeps == 2 ? p->keep[row * p->keep_step] : 1.f;
        UNROLL for (int n = 0; n < nc; n++)
            acc[r][n] = p->keeps ? SPLAT(keep) * VLOAD(p->old.at + row * p->old.ld + v0 * VL + AT(n)) : SPLAT(0.f);
    }
    for (int j = 0; j < k; j++) {
        vf x[NV];
        UNROLL for (int n = 0; n < nc; n++) x[n] = VLOAD(b + AT(n));
        b += ldb;
        UNROLL for (int r = 0; r < MR; r++) {
            const vf y = SPLAT(a[r][j * step]);
            UNROLL for (int n = 0; n < nc; n++) acc[r][n] = VFMA(y, x[n], acc[r][n]);
        }
    }
    if (triangle)
        UNROLL for (int j = 0; j < MR; j++)
            if (i0 + j < p->m) UNROLL for (int n = 0; n < nc; n++) {
                const vf x = p->tail == TAIL_SOLVE ? acc[j][n] : VLOAD(b + j * ldb + AT(n));
                if (p->tail == TAIL_THROUGH) acc[j][n] = VFMA(SPLAT(a[j][(i0 + j) * step]), x, acc[j][n]);
                UNROLL for (int r = j + 1; r < MR; r++) acc[r][n] = VFMA(SPLAT(a[r][(i0 + j) * step]), x, acc[r][n]);
            }
    UNROLL for (int r = 0; r < MR; r++)
        if (i0 + r < p->m)
            UNROLL for (int n = 0; n < nc; n++) VSTORE(SPLAT(p->by) * acc[r][n], c + (i0 + r) * p->ldc + AT(n));
#undef AT
}

LINEAR_APART void product(const struct product *p)
{
    const int across = (p->nv + NV - 1) / NV, down = (p->m + MR - 1) / MR;
    const int columns = p->tail == TAIL_SOLVE; /* a column of tiles is one item's */
    EACH_MINE(t, columns ? across : across * down) {
        const int x = columns ? t : t % across, y = columns ? 0 : t / across;
        for (int i = y; i < (columns ? down : y + 1); i++) {
            const int i0 = i * MR, needed = p->tail == TAIL_TO_DIAGONAL ? (i0 + MR - 1) / VL + 1 : p->nv;
            const int end = needed < p->nv ? needed : p->nv;
            const int v = x * NV, left = end - v;
            if (p->ahead.n > 0 && x == 0)
                for (int r = i0; r < i0 + MR; r++)
                    for (int d = 0; d < p->ahead.dims; d += 16) PREFETCH_FAR(p->ahead.at + (p->ahead.n + r) * p->ahead.ld + d);
            if (left <= 0) continue;
#ifdef ONE_TILE
            product_tile(p, i0, v, NV, left);
#else
            if (left >= NV) product_tile(p, i0, v, NV, NV);
            else { /* NV is 2 or 4 */
                if (left & 2) product_tile(p, i0, v, 2, 2);
                if (left & 1) product_tile(p, i0, v + left - 1, 1, 1);
            }
#endif
        }
    }
}
