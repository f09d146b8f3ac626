/* score.h -- from q.k to the score that softmax sees, in the kernels that work score by score (flash.h and decode.h do
 * the same in lanes): a leak, softcap, the user's score_mod, then bias and ALiBi, then mask and
 * mask_mod.  Features are constants: what is off is not compiled.
 * A score of -INFINITY is that of a key that is not there. */
#ifndef CA_SCORE_H
#define CA_SCORE_H

#include "optional.h"

/* A polynomial near 0, where 1 - 2 e^-2x / (1 + e^-2x) would cancel: far shorter than the built-in tanh. */
static inline float lean_tanh(float x)
{
    float a = fabs(x), z = a * a, t = exp2(a * -2.88539008f);
    float p = fma(fma(fma(fma(-5.70498872745e-3f, z, 2.06390887954e-2f), z, -5.37397155531e-2f), z, 1.33314422036e-1f), z,
                  -3.33332819422e-1f);
    return copysign(a < 0.625f ? fma(p * z, a, a) : 1.f - (t + t) / (1.f + t), x);
}

/* S is scale q.k of head h's query i, which stands at p, and key j, of a tile of which the pattern and mask_mod let CLASS through. */
static inline float modified(const ca_args *a, const ca_optional *x, float s, int b, int h, int i, ca_long p, int j, int class)
{
    if (SCORE == CA_GAT) s = s > 0.f ? s : s * x->leaks[a->leaks_0 + h];
    if (SOFTCAP) s = a->softcap * lean_tanh(s * (1.f / a->softcap));
    if (SCORE_MOD) s = CALL_SCORE_MOD(a, x, s, b, h, (int)p, j);
    if (BIAS) {
        float t = j < a->bias_cols ? ca_bias_row(a, x, b, h, i)[(ca_long)j * a->bias_j] : -INFINITY;
        s = t == -INFINITY ? t : s + t; /* even where s is a NaN */
    }
    if (ALIBI) s = fma(-ca_slope(a, x, b, h), fabs((float)(p - j)), s);
    if (SOLE == CA_ADAPTIVE_SPAN) {
        float share = ca_span_share(a, x, h, p, j);
        if (share < 1.f) s = share > 0.f ? s + log(share) : -INFINITY;
    }
    if (EDGES) s = ca_edge_score(a, x, h, i, j, s);
    if (MASK && !(j < a->mask_cols && ca_mask_row(a, x, b, h, i)[(ca_long)j * a->mask_j])) s = -INFINITY;
    if (HIDING && class == SOME_KEYS)
        if (!ca_lets(a, x, b, h, i, p, j)) s = -INFINITY;
    if (CLASSED && class == NO_KEY) s = -INFINITY;
    return s;
}

#endif
