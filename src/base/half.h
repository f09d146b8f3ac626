/* half.h -- scalar conversions between f32 and the two 16-bit storage types;
 * round to nearest even, NaN stays NaN. */
#ifndef CA_HALF_H
#define CA_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t ca_f32_bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline float ca_bits_f32(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

static inline float ca_bf16_to_f32(uint16_t h) { return ca_bits_f32((uint32_t)h << 16); }

static inline uint16_t ca_f32_to_bf16(float x)
{
    uint32_t u = ca_f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float ca_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) return ca_bits_f32(sign | 0x7f800000u | (rest & 0x3ff) << 13);
    /* Exponents are moved by a multiplication, which also treats subnormals. */
    return ca_bits_f32(sign | ca_f32_bits(ca_bits_f32(rest << 13) * 0x1p112f));
}

static inline uint16_t ca_f32_to_f16(float x)
{
    uint32_t u = ca_f32_bits(x), sign = u >> 16 & 0x8000;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (u >> 13 & 0x3ff));
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00); /* 65520 and above */
    if (u < 0x38800000u) /* subnormal: let the FPU round at bit 2^-24 */
        return (uint16_t)(sign | (ca_f32_bits(ca_bits_f32(u) + 0.5f) - 0x3f000000u));
    return (uint16_t)(sign | ((u + 0xfff + (u >> 13 & 1) - 0x38000000u) >> 13));
}

/* Element I of T as an f32, and back; TYPE is a clattn_dtype: f32, f16, bf16, or none of them (0, and not stored). */
static inline __attribute__((always_inline)) float ca_load_as(const void *t, int type, int64_t i)
{
    if (type == 0) return ((const float *)t)[i];
    if (type == 1) return ca_f16_to_f32(((const uint16_t *)t)[i]);
    return type == 2 ? ca_bf16_to_f32(((const uint16_t *)t)[i]) : 0;
}
static inline __attribute__((always_inline)) void ca_store_as(void *t, int type, int64_t i, float x)
{
    if (type == 0) ((float *)t)[i] = x;
    else if (type == 1) ((uint16_t *)t)[i] = ca_f32_to_f16(x);
    else if (type == 2) ((uint16_t *)t)[i] = ca_f32_to_bf16(x);
}

#endif
