/* lanemath.h -- what both forms of the lane dialect build on it. */
#ifndef CA_LANEMATH_H
#define CA_LANEMATH_H

#include "dropout.h"

#define LOG2E 1.44269504088896341f
#define LN2 0.69314718055994531f

#if VL == 16
#define LOWER 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define UPPER 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VL == 8
#define LOWER 0, 8, 1, 9, 2, 10, 3, 11
#define UPPER 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOWER 0, 4, 1, 5
#define UPPER 2, 6, 3, 7
#endif
/* Lanes l of a where the bit of l is not set, of b where it is; and those a bit further, to meet them. */
#if VL == 16
#define STAY8 0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31
#define MOVE8 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23
#define STAY4 0, 1, 2, 3, 20, 21, 22, 23, 8, 9, 10, 11, 28, 29, 30, 31
#define MOVE4 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 24, 25, 26, 27
#define STAY2 0, 1, 18, 19, 4, 5, 22, 23, 8, 9, 26, 27, 12, 13, 30, 31
#define MOVE2 2, 3, 16, 17, 6, 7, 20, 21, 10, 11, 24, 25, 14, 15, 28, 29
#define STAY1 0, 17, 2, 19, 4, 21, 6, 23, 8, 25, 10, 27, 12, 29, 14, 31
#define MOVE1 1, 16, 3, 18, 5, 20, 7, 22, 9, 24, 11, 26, 13, 28, 15, 30
#elif VL == 8
#define STAY4 0, 1, 2, 3, 12, 13, 14, 15
#define MOVE4 4, 5, 6, 7, 8, 9, 10, 11
#define STAY2 0, 1, 10, 11, 4, 5, 14, 15
#define MOVE2 2, 3, 8, 9, 6, 7, 12, 13
#define STAY1 0, 9, 2, 11, 4, 13, 6, 15
#define MOVE1 1, 8, 3, 10, 5, 12, 7, 14
#else
#define STAY2 0, 1, 6, 7
#define MOVE2 2, 3, 4, 5
#define STAY1 0, 5, 2, 7
#define MOVE1 1, 4, 3, 6
#endif
/* Built from elements, a vector is what Intel's CPU compiler looks through: it made 300 shuffles of a transpose's 64. */
#ifdef __has_builtin
#define HAS_SHUFFLE __has_builtin(__builtin_shufflevector)
#endif
#if HAS_SHUFFLE
#define ILO(a, b) __builtin_shufflevector(a, b, LOWER)
#define IHI(a, b) __builtin_shufflevector(a, b, UPPER)
#define PAIR_SUM(a, b, bit) __builtin_shufflevector(a, b, STAY##bit) + __builtin_shufflevector(a, b, MOVE##bit)
#else /* OpenCL C's own */
#define ILO(a, b) shuffle2(a, b, (vu)(LOWER))
#define IHI(a, b) shuffle2(a, b, (vu)(UPPER))
#define PAIR_SUM(a, b, bit) shuffle2(a, b, (vu)(STAY##bit)) + shuffle2(a, b, (vu)(MOVE##bit))
#endif

/* The largest lane, in all of them. */
INLINE vf vtop(vf v)
{
    UNROLL for (int n = 1; n < VL; n *= 2) v = VMAX(ILO(v, v), IHI(v, v));
    return v;
}

/* By the bits: some compilers (Mesa's) take x * 0 for 0 and x - x too. */
INLINE vi NOT_FINITE(vf v) { return (AS_VI(v) & SPLATI(0x7f800000)) == SPLATI(0x7f800000); }

/* e^x for x <= 0, as 2^(n - 1) 2 e^f with n = round(x / ln 2).  x log2(e) + 1.5 2^23 + 126 leaves n + 126 in the low bits, which
 * shifted by 23 are the float 2^(n - 1); from n = -126 on that is 0, so a masked score (-inf) weighs exactly 0, and what is
 * not 0 is a normal number: subnormal ones cost a processor a hundred cycles.  A NaN stays one, and e^0 is exactly 1.  The
 * relative error is below 2^-23 where the weight matters (x > -20). */
INLINE vf vexp(vf x)
{
    x = VMAX(SPLAT(-87.5f), x);
    vf r = VFMA(x, SPLAT(LOG2E), SPLAT(12583038.f)), n = r - SPLAT(12583038.f), f = VFMA(n, SPLAT(-LN2), x);
    vf p = SPLAT(2 * 1.3814599e-3f);
    p = VFMA(p, f, SPLAT(2 * 8.3687170e-3f));
    p = VFMA(p, f, SPLAT(2 * 4.1668390e-2f));
    p = VFMA(p, f, SPLAT(2 * 1.6666521e-1f));
    p = VFMA(p, f, SPLAT(2 * 4.9999994e-1f));
    p = VFMA(p, f, SPLAT(2.0f));
    p = VFMA(p, f, SPLAT(2.0f));
    return p * AS_VF(AS_VI(r) << 23);
}

/* CAP tanh(x / CAP) of N vectors, STRIDE apart, within 2^-21.4 of itself: with z = (x / CAP)^2 it is x P(z) / Q(z), the fraction whose largest
 * relative error up to 8.3, 2^-26.6, is least; beyond, the tangent is 1 - 2^-22 at least.  Four vectors go in step: each operation waits for the
 * one before, and one vector's chain fills the scheduler.  A NaN stays one. */
INLINE void vtanhs(vf *x, int stride, float cap, const int n)
{
    const vf end = SPLAT(8.3f * cap), by = SPLAT(1.f / cap);
    vf z[4], p[4], q[4];
#define EACH UNROLL for (int i = 0; i < n; i++)
    EACH x[i * stride] = VMIN(end, VMAX(-end, x[i * stride]));
    EACH z[i] = x[i * stride] * by;
    EACH z[i] = z[i] * z[i];
    EACH p[i] = VFMA(SPLAT(1.4646390e-8f), z[i], SPLAT(2.1507296e-5f));
    EACH q[i] = VFMA(SPLAT(8.2943899e-7f), z[i], SPLAT(3.3738358e-4f));
    EACH p[i] = VFMA(p[i], z[i], SPLAT(3.5491013e-3f));
    EACH q[i] = VFMA(q[i], z[i], SPLAT(2.6079696e-2f));
    EACH p[i] = VFMA(p[i], z[i], SPLAT(0.13425815f));
    EACH q[i] = VFMA(q[i], z[i], SPLAT(0.46759141f));
    EACH p[i] = VFMA(p[i], z[i], SPLAT(1.f));
    EACH q[i] = VFMA(q[i], z[i], SPLAT(1.f));
    EACH x[i * stride] = VQUOT(x[i * stride] * p[i], q[i]);
#undef EACH
}

INLINE vf vtanh(vf x, float cap)
{
    vtanhs(&x, 1, cap, 1);
    return x;
}

/* Softcap of N vectors, STRIDE apart. */
INLINE void vcap(vf *x, int stride, int n, float cap)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) vtanhs(x + i * stride, stride, cap, 4);
    for (; i < n; i++) vtanhs(x + i * stride, stride, cap, 1);
}

INLINE vf VABS(vf x) { return AS_VF(AS_VI(x) & SPLATI(0x7fffffff)); }

/* FIRST, FIRST + 1, ... */
INLINE vf vcount(float first)
{
    float x[VL];
    for (int i = 0; i < VL; i++) x[i] = first + (float)i;
    return VLOAD(x);
}

INLINE vi vcounti(int first)
{
    int x[VL];
    for (int i = 0; i < VL; i++) x[i] = first + i;
    return VLOADI(x);
}

INLINE vi IS_ABSENT(vf w) { return AS_VI(w) == SPLATI((int)0x80000000); }
INLINE vf MASKED_WHERE(vi mask, vf s) { return VSEL(mask, SPLAT(-CA_INFINITY), s); }
INLINE vi IS_MASKED(vf s) { return s == SPLAT(-CA_INFINITY); }

/* Lane by lane a user's score_mod, the pattern and mask_mod, or the edges' biases: lane l is query i + l di, which stands at p + l di, and key
 * KEY + l DK.  Lanes from N on, where no such query or key is, may be anything. */
enum { SCORE_OF, MASK_OF, EDGE_OF };
APART vf user_mod(const ca_args *A, const ca_optional *X, int b, int h, vf x, int i, ca_long p, int di, int key, int dk, int n, int what)
{
    float y[VL];
    if (n <= 0) return x;
    VSTORE(x, y);
    EACH_LANE(l, n) {
        int at = l < n ? l : n - 1;
        (void)at; /* where neither is compiled */
        if (IS_ON(EDGES, X->edges) && what == EDGE_OF) y[l] = ca_edge_score(A, X, h, i + at * di, key + at * dk, y[l]);
        else if (what == MASK_OF) y[l] = ca_lets(A, X, b, h, i + at * di, p + at * di, key + at * dk) ? y[l] : -CA_INFINITY;
        else y[l] = CALL_SCORE_MOD(A, X, y[l], b, h, (int)p + at * di, key + at * dk);
    }
    return VLOAD(y);
}

/* The scores X with what an adaptive span makes of them, in the same lanes. */
APART vf span_lanes(const ca_args *A, const ca_optional *X, int h, vf x, ca_long p, int di, int key, int dk)
{
    float y[VL];
    for (int l = 0; l < VL; l++) {
        float share = ca_span_share(A, X, h, p + l * di, key + l * dk);
        y[l] = share >= 1.f ? 0.f : share > 0.f ? LOG(share) : -CA_INFINITY;
    }
    return MASKED_WHERE(IS_MASKED(VLOAD(y)), x + VLOAD(y));
}

/* VL bytes of a mask: whether they are 0. */
#define VMASK(p) VFLOAT(VLOADS8(p))

/* A row of so many dims in whole vectors. */
#define WHOLE(dims) (((dims) + VL - 1) / VL * VL)

/* Which weights dropout takes: masks for the four neighbours of each lane's block of random numbers (HI, LO). */
INLINE void drop_masks(const ca_args *A, vu lo, vu hi, vi *m)
{
    vu c2 = SPLATU((ca_uint)A->drop_offset), c3 = SPLATU((ca_uint)(A->drop_offset >> 32));
    ca_uint k0 = (ca_uint)A->seed, k1 = (ca_uint)(A->seed >> 32);
    CA_PHILOX_ROUNDS(vu, VMULHI, lo, hi, c2, c3, k0, k1)
    const vi below = SPLATI((int)A->drop_below);
    m[0] = AS_VI(lo >> 8) < below;
    m[1] = AS_VI(hi >> 8) < below;
    m[2] = AS_VI(c2 >> 8) < below;
    m[3] = AS_VI(c3 >> 8) < below;
}

/* Do a row's DIMS, STRIDE apart, lie as whole vectors?  Then a branch a load can be saved. */
INLINE int are_vectors(int stride, int dims) { return NEIGHBOURS(stride) && dims % VL == 0; }

/* VL dims of a row from D on, STRIDE apart; past DIMS 0. */
INLINE vf load_lanes(GLOBAL const stored *row, int stride, int d, int dims)
{
    if (NEIGHBOURS(stride) && (dims % VL == 0 || d + VL <= dims)) return load_vec(row + d);
    float x[VL];
    for (int i = 0; i < VL; i++) x[i] = d + i < dims ? load_at(row, (ca_long)(d + i) * stride) : 0.f;
    return VLOAD(x);
}

/* Turns a matrix of VL rows and N columns, N vectors with row after row, into N rows of VL, by log2(VL) perfect shuffles. */
INLINE void transpose(vf *x, const int n)
{
    vf y[VL];
    if (n == 1) return;
    UNROLL for (int step = 1; step < VL; step *= 2) {
        UNROLL for (int i = 0; i < n / 2; i++) {
            y[2 * i] = ILO(x[i], x[i + n / 2]);
            y[2 * i + 1] = IHI(x[i], x[i + n / 2]);
        }
        UNROLL for (int i = 0; i < n; i++) x[i] = y[i];
    }
}

#endif
