/* normal.h -- normal numbers made of the uniform ones of Philox (cl/philox.h). */
#ifndef CA_NORMAL_H
#define CA_NORMAL_H

#include <math.h>
#include "philox.h"

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
