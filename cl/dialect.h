/* dialect.h -- the lane dialect: one small vocabulary that OpenCL C (here) and GNU C vectors
 * (src/host/dialect.h) both define, so that the lane kernels are written once and run on OpenCL
 * devices and on the host.
 *
 *   vf, vi, vu           VL floats, ints, uints        VFMA(a,b,c)   a*b + c, fused
 *   SPLAT, SPLATI, SPLATU(x)   the same in each lane   VMAX(a,b)     a > b ? a : b (NaN in b stays)
 *   VMIN(a,b)            a < b ? a : b (likewise)      VQUOT(a,b)    a / b, nearly, where 1 / b is a normal number
 *   VSEL(mask, a, b)     mask ? a : b, lane by lane    AS_VI, AS_VF, AS_VU  bits
 *   VLOAD(p), VSTORE(v,p)      scratch memory          VSUM(v)       sum of the lanes
 *   NOT_FINITE(v)        a mask, by lanemath.h         VANY(mask)    in any lane
 *   load_vec(p), store_vec(p,v)  tensors of any storage type, VL neighbours
 *   load_at(p,i), store_at(p,i,x)  one element (OpenCL: storage.h)
 *   f16_vec(p), bf16_vec(p), load_as(p,type,i), store_as(p,type,i,x)   the same of a type that is told
 *   ILO(a,b), IHI(a,b)   lower / upper half of a0 b0 a1 b1 a2 b2 ...
 *   NEIGHBOURS(stride)   dims that are a stride apart are a vector's lanes
 *   VLOADS8(p)           VL signed bytes as ints       VFLOAT(i)     ints as floats
 *   COPY8(to, p)         VL bytes at p into scratch memory, VL / 4 floats
 *   VNIBBLE(i)           the lower four bits of ints, minus 8, as floats
 *   HALVES_AT(p)         the f16 in the two bytes at p, at any address, in each lane     HALF_OF(x)    the bits of the f16 nearest to x
 *   AS_FLOAT(u), AS_UINT(x)  bits                      EVEN(x), AWAY(x)  the nearest whole number, ties to even or away from 0
 *   LOWEST_BIT(u)        of a uint other than 0, its number
 *   VMULHI(x, m)         upper halves of the products of VL uints with the uint m
 *   PREFETCH(p)          asks for the cache line at p   PREFETCH_FAR(p)  the same, into the second-level cache
 *   EACH_LANE(l, n) { }  goes through the lanes one by one where n are there
 *   APART                a function of a feature that is seldom on (host: a call, to keep it out of the common path)
 *   GLOBAL, INLINE, LANE_KERNEL, UNROLL (all of a loop), UNROLL4 (four rounds), ROLL (no round, on a GPU)
 */
#ifndef CA_DIALECT_H
#define CA_DIALECT_H

#ifndef VL
#define VL 4
#endif
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)

#include "score.h"
#include "storage.h"
typedef CAT(float, VL) vf;
typedef CAT(int, VL) vi;
typedef CAT(uint, VL) vu;
#define GLOBAL __global
#define INLINE static inline __attribute__((always_inline))
#define APART INLINE
#define UNROLL _Pragma("unroll")
#define UNROLL4 _Pragma("unroll 4")
#if VL == 4 /* a GPU: unrolled, a loop's arrays are taken into registers, and spilled */
#define ROLL _Pragma("unroll 1")
#else
#define ROLL
#endif
#ifdef __clang__ /* where a remainder of the loop is unrolled already, PoCL's compiler says so, aloud */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif
#define SPLAT(x) ((vf)(x))
#define SPLATI(x) ((vi)(x))
#define SPLATU(x) ((vu)(x))
#ifndef USE_MAD /* the host decides per device how a*b+c is one instruction */
#define VFMA(a, b, c) fma(a, b, c)
#else
#define VFMA(a, b, c) mad(a, b, c)
#endif
#define VSEL(mask, a, b) select(b, a, mask)
INLINE vf VMAX(vf a, vf b) { return a > b ? a : b; }
INLINE vf VMIN(vf a, vf b) { return a < b ? a : b; }
#define VQUOT(a, b) ((a) / (b))
#define AS_VI(x) CAT(as_int, VL)(x)
#define AS_VF(x) CAT(as_float, VL)(x)
#define AS_VU(x) CAT(as_uint, VL)(x)
#define VMULHI(x, m) mul_hi(x, (vu)(m))
#define VLOAD(p) CAT(vload, VL)(0, p)
#define VLOADI(p) CAT(vload, VL)(0, p)
#define VLOADS8(p) CAT(convert_int, VL)(CAT(vload, VL)(0, (GLOBAL const ca_signed_byte *)(p)))
#define VFLOAT(i) CAT(convert_float, VL)(i)
#define VNIBBLE(i) VFLOAT(((i) & 15) - 8)
#define VSTORE(v, p) CAT(vstore, VL)(v, 0, p)
#define VANY(mask) any(mask)
#define LOG(x) log(x)
#define SQRT(x) sqrt(x)
#define COSINE(x) cos(x)
#define SINE(x) sin(x)
/* PoCL's prefetch() does nothing, and Intel's for CPUs is a call, around which all registers are saved: the instruction itself, in CPUs' kernels. */
#if defined(__has_builtin) && (VL > 4 || defined(__x86_64__) || defined(__aarch64__))
#define HAS_PREFETCH __has_builtin(__builtin_prefetch)
#endif
#if HAS_PREFETCH
#define PREFETCH(p) __builtin_prefetch((const void *)(size_t)(p))
#define PREFETCH_FAR(p) __builtin_prefetch((const void *)(size_t)(p), 0, 2)
#else
#define PREFETCH(p) prefetch(p, 1)
#define PREFETCH_FAR(p) prefetch(p, 1)
#endif
#define NEIGHBOURS(stride) UNIT
#define EACH_LANE(l, n) UNROLL for (int l = 0; l < VL; l++) /* unrolled, the user's code becomes vectors */
#define CA_INFINITY INFINITY
#define CA_LOWEST (-MAXFLOAT)

/* A kernel's head: one work-item is one work-group, and it computes in vectors.  The hint keeps Intel's CPU compiler from
 * vectorising over work-items as well, which takes it up to ten times as long; PoCL splits 512-bit vectors in two when
 * it is not told their width. */
#if defined(__has_attribute)
#if __has_attribute(min_vector_width)
#define WIDE_VECTORS __attribute__((min_vector_width(512)))
#endif
#endif
#ifndef WIDE_VECTORS
#define WIDE_VECTORS
#endif
#define LANE_KERNEL __kernel WIDE_VECTORS __attribute__((vec_type_hint(vf))) __attribute__((reqd_work_group_size(1, 1, 1)))

INLINE vf f16_vec(__global const ushort *p) { return CAT(vload_half, VL)(0, (__global const half *)p); }
INLINE vf bf16_vec(__global const ushort *p) { return AS_VF(CAT(convert_int, VL)(CAT(vload, VL)(0, p)) << 16); }
#if STORAGE == 0
INLINE vf load_vec(__global const stored *p) { return VLOAD(p); }
INLINE void store_vec(__global stored *p, vf v) { VSTORE(v, p); }
#elif STORAGE == 1
INLINE vf load_vec(__global const stored *p) { return f16_vec(p); }
INLINE void store_vec(__global stored *p, vf v) { CAT(CAT(vstore_half, VL), _rte)(v, 0, (__global half *)p); }
#else
INLINE vf load_vec(__global const stored *p) { return bf16_vec(p); }
INLINE void store_vec(__global stored *p, vf v)
{
    float x[VL];
    VSTORE(v, x);
    for (int i = 0; i < VL; i++) store_at(p, i, x[i]);
}
#endif

#if VL == 16
INLINE float VSUM(vf v)
{
    float8 a = v.lo + v.hi;
    float4 b = a.lo + a.hi;
    return b.x + b.y + (b.z + b.w);
}
#define COPY8(to, p) vstore4(as_float4(vload16(0, p)), 0, to)
#elif VL == 8
INLINE float VSUM(vf v)
{
    float4 b = v.lo + v.hi;
    return b.x + b.y + (b.z + b.w);
}
#define COPY8(to, p) vstore2(as_float2(vload8(0, p)), 0, to)
#else
INLINE float VSUM(vf v) { return v.x + v.y + (v.z + v.w); }
#define COPY8(to, p) (*(to) = as_float(vload4(0, p)))
#endif

#include "lanemath.h"
#define AS_FLOAT(bits) as_float(bits)
#define AS_UINT(x) as_uint(x)
#define LOWEST_BIT(u) (31 - (int)clz((u) & -(u)))
#define EVEN(x) rint(x)
#define AWAY(x) round(x)
#define ABS(x) fabs(x)
INLINE vf HALVES_AT(GLOBAL const ca_byte *p) /* a vector's vload_half: PoCL has an instruction for that alone */
{
    CAT(ushort, VL) u = (CAT(ushort, VL))(p[0] | (ushort)p[1] << 8);
    return CAT(vload_half, VL)(0, (const half *)&u);
}
INLINE ca_uint HALF_OF(float x)
{
    ushort u;
    vstore_half_rte(x, 0, (half *)&u);
    return u;
}
#include "elements.h"
#include "lanerows.h"
#endif
