/* norm.cl -- what needs a whole row before it can write any of it: softmax, layer norm, RMS norm.  OpenCL C 1.2, and C
 * for the host (item.h).  A lane reads and writes only its own elements, so that out may be x itself. */
#include "item.h"

/* A NaN in y leaves x alone; the built-in function is a call on the host. */
INLINE float larger(float x, float y) { return y > x ? y : x; }

#define EACH(i) (ca_long i = LANE; i < n; i += LANES)

/* Softmax along an axis whose neighbours lie INNER apart; flag 0: its logarithm.  A row whose largest is not finite
 * has no softmax, and gives NaN, as the definition does.
 * operands x, out; sizes length of the axis, inner. */
KERNEL(softmax)
{
    ROW_MEMORY
    ca_long row = INDEX, n = a.n[0], inner = a.n[1], at = row / inner * inner * n + row % inner;
    if (BEYOND) return;
    float top = -INFINITY;
    for EACH(i) top = larger(top, LOAD(0, at + i * inner));
    top = row_max(top);
    wide sum = 0;
    for EACH(i) sum += exp(LOAD(0, at + i * inner) - top);
    sum = row_sum(sum);
    float log_sum = log(sum);
    for EACH(i) {
        float s = LOAD(0, at + i * inner) - top;
        STORE(1, at + i * inner, a.flag[0] ? s - log_sum : (float)(exp(s) / sum));
    }
}

/* The power of two that brings M near 1. */
INLINE float scale_for(float m)
{
    uint e = as_uint(m) >> 23 & 255u;
    return as_float((254u - (e < 1u ? 1u : e > 253u ? 253u : e)) << 23);
}

/* (x - mean) / sqrt(variance + eps) * weight + bias, with a mean of 0 unless flag 0.  The row is scaled by a power of
 * two, which rounds nothing, so that squares neither overflow nor vanish.
 * operands x, weight, bias, out, mean, inv_std; sizes row, weight, bias (the latter repeat). */
KERNEL(norm)
{
    ROW_MEMORY
    ca_long row = INDEX, n = a.n[0], at = row * n;
    if (BEYOND) return;
    float top = sqrt(fabs(a.eps));
    for EACH(i) top = larger(top, fabs(LOAD(0, at + i)));
    float s = scale_for(row_max(top));
    wide mean = 0, square = 0;
    if (a.flag[0]) {
        for EACH(i) mean += LOAD(0, at + i) * s;
        mean = row_sum(mean) / (wide)n;
    }
    for EACH(i) {
        wide y = LOAD(0, at + i) * s - mean;
        square += y * y;
    }
    square = row_sum(square) / (wide)n;
    wide inv = 1 / sqrt(square + (wide)(a.eps * s * s));
    for EACH(i) {
        float y = (float)((LOAD(0, at + i) * s - mean) * inv);
        if (GIVEN(1)) y *= LOAD(1, a.n[1] == n ? i : (at + i) % a.n[1]);
        if (GIVEN(2)) y += LOAD(2, a.n[2] == n ? i : (at + i) % a.n[2]);
        STORE(3, at + i, y);
    }
    if (LANE == 0) {
        STORE(4, row, (float)mean / s);
        STORE(5, row, (float)inv * s);
    }
}
