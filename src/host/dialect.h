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
typedef int8_t vb __attribute__((vector_size(VL)));
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
#define ROLL
#define SPLAT(x) ((float)(x) - (vf){0})
#define SPLATI(x) ((int32_t)(x) - (vi){0})
#define SPLATU(x) ((uint32_t)(x) - (vu){0})
#define VFMA(a, b, c) ((a) * (b) + (c)) /* -ffp-contract=fast */
#define VSEL(mask, a, b) ((vf)(((vi)(a) & (vi)(mask)) | ((vi)(b) & ~(vi)(mask))))
#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__) && VL == 16
/* The instruction is a > b ? a : b, NaN included, but gcc makes a compare and a blend of it. */
INLINE vf VMAX(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf VMIN(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf VQUOT(vf a, vf b) /* a division takes as long as 20 products */
{
    const vf near = (vf)_mm512_rcp14_ps((__m512)b), q = a * near;
    return VFMA(VFMA(-q, b, a), near, q);
}
/* Likewise: of a product of numbers below 2^32 gcc makes one of any 64 bits. */
INLINE vpair MUL_LOW(vpair x, uint32_t m) { return (vpair)_mm512_mul_epu32((__m512i)x, (__m512i)(m - (vpair){0})); }
#else
INLINE vf VMAX(vf a, vf b) { return VSEL(a > b, a, b); }
INLINE vf VMIN(vf a, vf b) { return VSEL(a < b, a, b); }
#define VQUOT(a, b) ((a) / (b))
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
#if defined(__AVX512F__) && VL == 16
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask);
#else
    int any = 0;
    for (int i = 0; i < VL; i++) any |= mask[i];
    return any;
#endif
}
INLINE vi VLOADI(const int *p) { vi v; memcpy(&v, p, sizeof v); return v; }
INLINE vf VLOAD(const float *p) { vf v; memcpy(&v, p, sizeof v); return v; }
INLINE vi VLOADS8(const uint8_t *p)
{
    vb v;
    memcpy(&v, p, sizeof v);
#if defined(__AVX512F__) && VL == 16
    return (vi)_mm512_cvtepi8_epi32((__m128i)v); /* gcc takes the conversion below element by element */
#elif defined(__AVX2__) && VL == 8
    int64_t eight;
    memcpy(&eight, p, sizeof eight);
    return (vi)_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(eight));
#else
    return __builtin_convertvector(v, vi);
#endif
}
#define COPY8(to, p) memcpy(to, p, VL)
#define VFLOAT(i) __builtin_convertvector(i, vf)
#if defined(__AVX512F__) && VL == 16
INLINE vf VNIBBLE(vi i) /* a table of 16 floats, of which the instruction looks at four bits alone */
{
    return (vf)_mm512_permutexvar_ps((__m512i)i, _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7));
}
#else
#define VNIBBLE(i) VFLOAT(((i) & 15) - 8)
#endif
#define LOG(x) logf(x)
#define SQRT(x) sqrtf(x)
#define COSINE(x) cosf(x)
#define SINE(x) sinf(x)
#define load_as ca_load_as
#define store_as ca_store_as
#define PREFETCH(p) __builtin_prefetch(p)
#define PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2)
#define NEIGHBOURS(stride) ((stride) == 1)
#define EACH_LANE(l, n) for (int l = 0; l < VL && l < (n); l++) /* each is a call */
#define CA_INFINITY INFINITY
#define CA_LOWEST (-FLT_MAX)

/* storage.h, for the host. */
INLINE vf f16_vec(const uint16_t *p)
{
    vh h;
    memcpy(&h, p, sizeof h);
#if defined(__AVX512F__) && VL == 16
    return (vf)_mm512_cvtph_ps((__m256i)h);
#elif defined(__F16C__) && VL == 8
    return (vf)_mm256_cvtph_ps((__m128i)h);
#else
    vi u = __builtin_convertvector(h, vi), rest = u & 0x7fff, special = rest >= 0x7c00;
    vf normal = AS_VF(rest << 13) * SPLAT(0x1p112f); /* moves the exponent, subnormals too */
    return AS_VF(((AS_VI(normal) & ~special) | ((0x7f800000 | (rest & 0x3ff) << 13) & special)) | (u & 0x8000) << 16);
#endif
}
INLINE vf bf16_vec(const uint16_t *p)
{
    vh h;
    memcpy(&h, p, sizeof h);
#if defined(__AVX512F__) && VL == 16
    return AS_VF((vi)_mm512_cvtepu16_epi32((__m256i)h) << 16); /* the conversion below takes gcc two halves */
#else
    return AS_VF(__builtin_convertvector(h, vi) << 16);
#endif
}
/* Rounded to nearest, ties to even, as ca_f32_to_f16 and ca_f32_to_bf16 do. */
INLINE void store_f16(uint16_t *p, vf v)
{
#if defined(__AVX512F__) && VL == 16
    const __m256i h = _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT);
    memcpy(p, &h, sizeof h);
#elif defined(__F16C__) && VL == 8
    const __m128i h = _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
    memcpy(p, &h, sizeof h);
#else
    for (int i = 0; i < VL; i++) p[i] = ca_f32_to_f16(v[i]);
#endif
}
INLINE vu bf16_bits(vf v) { return AS_VU(VSEL(v == v, AS_VF(AS_VU(v) + 0x7fff + (AS_VU(v) >> 16 & 1)), AS_VF(AS_VU(v) | 0x400000))) >> 16; }
INLINE void store_bf16(uint16_t *p, vf v)
{
#if defined(__AVX512F__) && VL == 16
    const __m256i h = _mm512_cvtepi32_epi16((__m512i)bf16_bits(v));
#else
    const vh h = __builtin_convertvector(bf16_bits(v), vh);
#endif
    memcpy(p, &h, sizeof h);
}
#ifdef PAIRS
/* EVEN and ODD rounded, lane by lane side by side; and such pairs multiplied, both added to C.  The instruction takes subnormals as 0. */
#ifdef __AVX512BF16__
INLINE vf PAIR(vf even, vf odd)
{
    static const uint16_t order[32] = { 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };
    return (vf)_mm512_permutexvar_epi16(_mm512_loadu_si512(order), (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even));
}
INLINE vf PAIR_PRODUCT(vf b, vf x, vf c) { return (vf)_mm512_dpbf16_ps((__m512)c, (__m512bh)b, (__m512bh)x); }
#else
INLINE vf PAIR(vf even, vf odd) { return AS_VF(bf16_bits(even) | bf16_bits(odd) << 16); }
INLINE vf PAIR_PRODUCT(vf b, vf x, vf c)
{
    const vu odd = SPLATU(0xffff0000u);
    return VFMA(AS_VF(AS_VU(b) << 16), AS_VF(AS_VU(x) << 16), VFMA(AS_VF(AS_VU(b) & odd), AS_VF(AS_VU(x) & odd), c));
}
#endif
#endif
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
INLINE vf load_vec(const stored *p) { return f16_vec(p); }
INLINE void store_vec(stored *p, vf v) { store_f16(p, v); }
#else
INLINE float load_at(const stored *p, ca_long i) { return ca_bf16_to_f32(p[i]); }
INLINE void store_at(stored *p, ca_long i, float x) { p[i] = ca_f32_to_bf16(x); }
INLINE vf load_vec(const stored *p) { return bf16_vec(p); }
INLINE void store_vec(stored *p, vf v) { store_bf16(p, v); }
#endif
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
#include "lanemath.h"
#define AS_FLOAT(bits) ca_bits_f32(bits)
#define AS_UINT(x) ca_f32_bits(x)
#define HALF_OF(x) ca_f32_to_f16(x)
#define LOWEST_BIT(u) __builtin_ctz(u)
#define EVEN(x) rintf(x)
#define AWAY(x) roundf(x)
#define ABS(x) fabsf(x)
#if defined(__AVX512F__) && VL == 16
INLINE vf HALVES_AT(const uint8_t *p) /* _cvtsh_ss would wait for the register that it fills up */
{
    int16_t h;
    memcpy(&h, p, sizeof h);
    return (vf)_mm512_cvtph_ps(_mm256_set1_epi16(h));
}
#elif defined(__F16C__)
INLINE vf HALVES_AT(const uint8_t *p) { uint16_t h; memcpy(&h, p, sizeof h); return SPLAT(_cvtsh_ss(h)); }
#else
#define HALVES_AT(p) SPLAT(half_value((p)[0] | (ca_uint)(p)[1] << 8))
#endif
#include "elements.h"
#include "lanerows.h"
#endif
