/* philox.h -- Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011):
 * random numbers as a pure function of (seed, offset, element), so that every device and every
 * order of evaluation draws the same ones.  The convention is CASES.md's:
 *
 *     key     = (low, high word of seed)
 *     counter = (low, high word of element / 4, low, high word of offset)
 *     element e takes word e mod 4 of the block
 */
#ifndef CA_PHILOX_H
#define CA_PHILOX_H

#include <math.h>
#include <stdint.h>

static inline void ca_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The four words of block BLOCK = element / 4. */
static inline void ca_philox_block(uint64_t seed, uint64_t offset, uint64_t block, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)offset, (uint32_t)(offset >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    ca_philox4x32(counter, key, out);
}

/* In [0, 1), a multiple of 2^-24: exact in f32. */
static inline float ca_philox_unit(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

static inline float ca_philox_uniform(uint64_t seed, uint64_t offset, uint64_t element)
{
    uint32_t w[4];
    ca_philox_block(seed, offset, element / 4, w);
    return ca_philox_unit(w[element % 4]);
}

/* Box-Muller on two uniforms.  1 - u lies in (0, 1], so that the logarithm is finite. */
static inline float ca_box_muller(float u, float v)
{
    return (float)(sqrt(-2.0 * log(1.0 - (double)u)) * cos(6.283185307179586477 * (double)v));
}

/* Normal number E is made of the uniform elements 2E and 2E + 1. */
static inline float ca_philox_normal(uint64_t seed, uint64_t offset, uint64_t element)
{
    uint32_t w[4];
    ca_philox_block(seed, offset, element / 2, w);
    unsigned i = element % 2 * 2;
    return ca_box_muller(ca_philox_unit(w[i]), ca_philox_unit(w[i + 1]));
}

#endif
