/* lanemath.h -- what both forms of the lane dialect build on it. */
#ifndef CA_LANEMATH_H
#define CA_LANEMATH_H

#include "dropout.h"

#define LOG2E 1.44269504088896341f
#define LN2 0.69314718055994531f

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

/* Within 2^-22 of itself: a polynomial near 0, where 1 - 2 e^-2x / (1 + e^-2x) would cancel. */
INLINE vf vtanh(vf x)
{
    vi sign = AS_VI(x) & SPLATI((int)0x80000000);
    vf a = AS_VF(AS_VI(x) ^ sign), z = a * a, t = vexp(a * SPLAT(-2.f));
    vf p = SPLAT(-5.70498872745e-3f);
    p = VFMA(p, z, SPLAT(2.06390887954e-2f));
    p = VFMA(p, z, SPLAT(-5.37397155531e-2f));
    p = VFMA(p, z, SPLAT(1.33314422036e-1f));
    p = VFMA(p, z, SPLAT(-3.33332819422e-1f));
    vf y = VSEL(a < SPLAT(0.625f), VFMA(p * z, a, a), SPLAT(1.f) - (t + t) / (SPLAT(1.f) + t));
    return AS_VF(AS_VI(y) | sign);
}

INLINE vf vcap(vf x, float cap) { return SPLAT(cap) * vtanh(x * SPLAT(1.f / cap)); }

INLINE vf VABS(vf x) { return AS_VF(AS_VI(x) & SPLATI(0x7fffffff)); }

/* FIRST, FIRST + 1, ... */
INLINE vf vcount(float first)
{
    float x[VL];
    for (int i = 0; i < VL; i++) x[i] = first + (float)i;
    return VLOAD(x);
}

INLINE vi IS_ABSENT(vf w) { return AS_VI(w) == SPLATI((int)0x80000000); }
INLINE vf MASKED_WHERE(vi mask, vf s) { return VSEL(mask, SPLAT(-CA_INFINITY), s); }
INLINE vi IS_MASKED(vf s) { return s == SPLAT(-CA_INFINITY); }

/* A user's score_mod, or mask_mod, lane by lane: lane l is the query at position i + l di and key KEY + l DK.  Lanes from N on,
 * where no such query or key is, may be anything. */
APART vf user_mod(const ca_args *A, const ca_optional *X, int b, int h, vf x, ca_long i, int di, int key, int dk, int n, int mask)
{
    float y[VL];
    if (n <= 0) return x;
    VSTORE(x, y);
    EACH_LANE(l, n) {
        int at = l < n ? l : n - 1;
        (void)at; /* where neither is compiled */
        if (mask) y[l] = CALL_MASK_MOD(A, X, b, h, (int)i + at * di, key + at * dk) ? y[l] : -CA_INFINITY;
        else y[l] = CALL_SCORE_MOD(A, X, y[l], b, h, (int)i + at * di, key + at * dk);
    }
    return VLOAD(y);
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

/* VL dims of a row from D on, STRIDE apart; past DIMS 0. */
INLINE vf load_lanes(GLOBAL const stored *row, int stride, int d, int dims)
{
    if (NEIGHBOURS(stride) && (dims % VL == 0 || d + VL <= dims)) return load_vec(row + d);
    float x[VL];
    for (int i = 0; i < VL; i++) x[i] = d + i < dims ? load_at(row, (ca_long)(d + i) * stride) : 0.f;
    return VLOAD(x);
}

/* Turns VL vectors of VL lanes: x[i] lane j <-> x[j] lane i, by log2(VL) perfect shuffles. */
INLINE void transpose(vf *x)
{
    vf y[VL];
    UNROLL for (int step = 1; step < VL; step *= 2) {
        UNROLL for (int i = 0; i < VL / 2; i++) {
            y[2 * i] = ILO(x[i], x[i + VL / 2]);
            y[2 * i + 1] = IHI(x[i], x[i + VL / 2]);
        }
        UNROLL for (int i = 0; i < VL; i++) x[i] = y[i];
    }
}

#endif
