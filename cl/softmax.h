/* softmax.h -- the running state of one query row in the kernels that work score by score.
 *
 *   m  largest score so far; starts at -MAXFLOAT, above every masked score
 *   l  sum of e^(s - m)                        o  sum of e^(s - m) v
 *
 * Masked scores are -INFINITY, so that e^(s - m) is exactly 0 for them and never a NaN, and a row of
 * nothing but masked scores keeps l = 0.  A NaN score makes l and o NaN: fmax leaves m alone.
 * Scores are scaled after the product and turned to base 2 after m is subtracted: done earlier, the rounding
 * of a factor would be magnified by large scores. */
#ifndef CA_SOFTMAX_H
#define CA_SOFTMAX_H

#include "optional.h"

#define LOG2E 1.44269504088896341f
#define LOWEST (-MAXFLOAT)

static inline float weight(float s, float m) { return exp2((s - m) * LOG2E); }
static inline int is_absent(float w) { return as_int(w) == (int)0x80000000; }

/* The sink is one more score, without a value: (m, l) with it; o is to be multiplied by what is returned. */
static inline float add_sink(float sink, float *m, float *l)
{
    float top = sink > *m || isnan(sink) ? sink : *m, alpha = weight(*m, top);
    *l = fma(*l, alpha, weight(sink, top));
    *m = top;
    return alpha;
}

static inline float row_lse(float m, float l) { return l == 0.f ? -INFINITY : m + log(l); }
/* What o lacks: the division by l, and what dropout leaves to it. */
static inline float row_factor(const ca_args *a, float l) { return l == 0.f ? 0.f : (DROPOUT ? a->keep_scale : 1.f) / l; }

#endif
