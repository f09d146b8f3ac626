/* storage.h -- how elements lie in memory: every load and store of a tensor goes through here, and
 * everything between them is f32.
 *
 *   STORAGE 0  f32
 *   STORAGE 1  f16, by vload_half and vstore_half: the device need not have cl_khr_fp16
 *   STORAGE 2  bf16, the upper half of an f32; rounded to nearest even, NaN stays NaN
 *
 * load_as and store_as take a clattn_dtype that is known when they run.
 */
#ifndef CA_STORAGE_H
#define CA_STORAGE_H

#include "op.h"

#ifndef STORAGE
#define STORAGE 0
#endif

static inline ushort bf16_bits(float x)
{
    uint u = as_uint(x);
    return (ushort)(((u & 0x7fffffffu) > 0x7f800000u ? u | 0x400000u : u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static inline float load_as(__global const void *t, int type, ca_long i)
{
    if (type == TYPE_F32) return ((__global const float *)t)[i];
    if (type == TYPE_F16) return vload_half(i, (__global const half *)t);
    return type == TYPE_BF16 ? as_float((uint)((__global const ushort *)t)[i] << 16) : 0.f;
}
static inline void store_as(__global void *t, int type, ca_long i, float x)
{
    if (type == TYPE_F32) ((__global float *)t)[i] = x;
    else if (type == TYPE_F16) vstore_half_rte(x, i, (__global half *)t);
    else if (type == TYPE_BF16) ((__global ushort *)t)[i] = bf16_bits(x);
}

#if STORAGE == 0
typedef float stored;
static inline float load_at(__global const stored *p, long i) { return p[i]; }
static inline void store_at(__global stored *p, long i, float x) { p[i] = x; }
/* Four neighbours from p[i]: p + i needs the alignment of one element, or of all four. */
static inline float4 load4_at(__global const stored *p, long i) { return vload4(0, p + i); }
static inline float4 load4_aligned(__global const stored *p, long i) { return *(__global const float4 *)(p + i); }

#elif STORAGE == 1
typedef ushort stored; /* a half is only ever behind a pointer */
static inline float load_at(__global const stored *p, long i) { return vload_half(0, (__global const half *)(p + i)); }
static inline void store_at(__global stored *p, long i, float x) { vstore_half_rte(x, 0, (__global half *)(p + i)); }
static inline float4 load4_at(__global const stored *p, long i)
{
    return vload_half4(0, (__global const half *)(p + i));
}
static inline float4 load4_aligned(__global const stored *p, long i)
{
    return vloada_half4(0, (__global const half *)(p + i));
}

#else
typedef ushort stored;
static inline float load_at(__global const stored *p, long i) { return as_float((uint)p[i] << 16); }
static inline void store_at(__global stored *p, long i, float x) { p[i] = bf16_bits(x); }
static inline float4 load4_at(__global const stored *p, long i)
{
    return as_float4(convert_uint4(vload4(0, p + i)) << 16);
}
static inline float4 load4_aligned(__global const stored *p, long i)
{
    uint2 u = *(__global const uint2 *)(p + i); /* two elements each, the first in the lower half */
    return as_float4((uint4)(u.x << 16, u.x & 0xffff0000u, u.y << 16, u.y & 0xffff0000u));
}
#endif

#endif
