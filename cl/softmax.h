/* softmax.h -- the running state of one query row in the kernels that work score by score.
 *
 *   m  largest score so far, in units of log2; starts at -MAXFLOAT, which no masked score reaches
 *   l  sum of 2^(s - m)                        o  sum of 2^(s - m) v
 *
 * Masked scores are -INFINITY, so that 2^(s - m) is exactly 0 for them and never a NaN, and a row of
 * nothing but masked scores keeps l = 0.  A NaN score makes l and o NaN: fmax leaves m alone. */
#ifndef CA_SOFTMAX_H
#define CA_SOFTMAX_H

#define LOG2E 1.44269504088896341f
#define LN2 0.69314718055994531f
#define LOWEST (-MAXFLOAT)

static inline float row_lse(float m, float l) { return l == 0.f ? -INFINITY : fma(m, LN2, log(l)); }
static inline float row_factor(float l) { return l == 0.f ? 0.f : 1.f / l; }

#endif
