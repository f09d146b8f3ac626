/* dialect.h -- the lane dialect of cl/dialect.h in GNU C vectors (gcc and clang), one compilation per
 * instruction-set level and storage type (STORAGE). */
#ifndef CA_HOST_DIALECT_H
#define CA_HOST_DIALECT_H

#include "base/half.h"
#include "optional.h"
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef uint32_t vu __attribute__((vector_size(VL * 4)));
typedef uint64_t vpair __attribute__((vector_size(VL * 4)));
typedef uint16_t vh __attribute__((vector_size(VL * 2)));
typedef uint8_t vb __attribute__((vector_size(VL)));
#define GLOBAL
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLL4 _Pragma("GCC unroll 4")
#endif
#define SPLAT(x) ((float)(x) - (vf){0})
#define SPLATI(x) ((int32_t)(x) - (vi){0})
#define SPLATU(x) ((uint32_t)(x) - (vu){0})
#define VFMA(a, b, c) ((a) * (b) + (c)) /* -ffp-contract=fast */
#define VSEL(mask, a, b) ((vf)(((vi)(a) & (vi)(mask)) | ((vi)(b) & ~(vi)(mask))))
#if defined(__AVX512F__) && VL == 16
#include <immintrin.h>
/* The instruction is a > b ? a : b, NaN included, but gcc makes a compare and a blend of it. */
INLINE vf VMAX(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
/* Likewise: of a product of numbers below 2^32 gcc makes one of any 64 bits. */
INLINE vpair MUL_LOW(vpair x, uint32_t m) { return (vpair)_mm512_mul_epu32((__m512i)x, (__m512i)(m - (vpair){0})); }
#else
INLINE vf VMAX(vf a, vf b) { return VSEL(a > b, a, b); }
INLINE vpair MUL_LOW(vpair x, uint32_t m) { return (x & 0xffffffffu) * (uint64_t)m; }
#endif
#define AS_VI(x) ((vi)(x))
#define AS_VF(x) ((vf)(x))
#define AS_VU(x) ((vu)(x))
/* Pairs of lanes are products of 64 bits, the lower lanes' and the upper lanes'. */
INLINE vu VMULHI(vu x, uint32_t m)
{
    vpair low = MUL_LOW((vpair)x, m), high = MUL_LOW((vpair)x >> 32, m);
    return (vu)(low >> 32 | (high & ~(uint64_t)0xffffffffu));
}
INLINE void VSTORE(vf v, float *p) { memcpy(p, &v, sizeof v); }
INLINE int VANY(vi mask)
{
    int any = 0;
    for (int i = 0; i < VL; i++) any |= mask[i];
    return any;
}
INLINE vi VLOADI(const int *p) { vi v; memcpy(&v, p, sizeof v); return v; }
INLINE vf VLOAD(const float *p) { vf v; memcpy(&v, p, sizeof v); return v; }
INLINE vf VLOADU8(const uint8_t *p) { vb v; memcpy(&v, p, sizeof v); return __builtin_convertvector(v, vf); }
#define LOG(x) logf(x)
#define PREFETCH(p) __builtin_prefetch(p)
#define NEIGHBOURS(stride) ((stride) == 1)
#define CA_INFINITY INFINITY
#define CA_LOWEST (-FLT_MAX)

/* storage.h, for the host. */
#if STORAGE == 0
typedef float stored;
INLINE float load_at(const stored *p, ca_long i) { return p[i]; }
INLINE void store_at(stored *p, ca_long i, float x) { p[i] = x; }
INLINE vf load_vec(const stored *p) { return VLOAD(p); }
INLINE void store_vec(stored *p, vf v) { VSTORE(v, p); }
#else
typedef uint16_t stored;
#if STORAGE == 1
INLINE float load_at(const stored *p, ca_long i) { return ca_f16_to_f32(p[i]); }
INLINE void store_at(stored *p, ca_long i, float x) { p[i] = ca_f32_to_f16(x); }
#else
INLINE float load_at(const stored *p, ca_long i) { return ca_bf16_to_f32(p[i]); }
INLINE void store_at(stored *p, ca_long i, float x) { p[i] = ca_f32_to_bf16(x); }
#endif
INLINE vf load_vec(const stored *p)
{
    vh h;
    memcpy(&h, p, sizeof h);
    vi u = __builtin_convertvector(h, vi);
#if STORAGE == 1
    vi rest = u & 0x7fff, special = rest >= 0x7c00;
    vf normal = AS_VF(rest << 13) * SPLAT(0x1p112f); /* moves the exponent, subnormals too */
    return AS_VF(((AS_VI(normal) & ~special) | ((0x7f800000 | (rest & 0x3ff) << 13) & special)) | (u & 0x8000) << 16);
#else
    return AS_VF(u << 16);
#endif
}
INLINE void store_vec(stored *p, vf v)
{
    for (int i = 0; i < VL; i++) store_at(p, i, v[i]);
}
#endif

#if VL == 16
typedef float vf8 __attribute__((vector_size(32)));
#endif
typedef float vf4 __attribute__((vector_size(16)));
INLINE float VSUM(vf v)
{
#if VL == 16
    vf8 a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    vf4 b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
#elif VL == 8
    vf4 b = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#else
    vf4 b = v;
#endif
    return b[0] + b[1] + (b[2] + b[3]);
}
#if VL == 16
#define ILO(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define IHI(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VL == 8
#define ILO(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define IHI(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define ILO(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define IHI(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

#include "lanemath.h"
INLINE float AS_FLOAT(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
#include "elements.h"
#endif
