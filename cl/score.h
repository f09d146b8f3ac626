/* score.h -- from q.k to the score that softmax sees, in the kernels that work score by score (flash.h and decode.h do
 * the same in lanes): a leak, softcap, the user's score_mod, then bias and ALiBi, then mask and
 * mask_mod.  Features are constants: what is off is not compiled.
 * A score of -INFINITY is that of a key that is not there. */
#ifndef CA_SCORE_H
#define CA_SCORE_H

#include "optional.h"
#include "tanh.h"

/* A NaN stays one. */
static inline float lean_tanh(float x)
{
    x = x > TANH_END ? TANH_END : x < -TANH_END ? -TANH_END : x;
#define FIRST(a, b) float z = x * x, p = a, q = b;
#define STEP(a, b) p = fma(p, z, a); q = fma(q, z, b);
    TANH_FIRST(FIRST)
    TANH_OTHERS(STEP)
#undef FIRST
#undef STEP
    return x * p / q;
}

/* S is scale q.k of head h's query i, which stands at p, and key j, of a tile of which mask_mod lets CLASS through. */
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
    if (MASK && !(j < a->mask_cols && ca_mask_row(a, x, b, h, i)[(ca_long)j * a->mask_j])) s = -INFINITY;
    if (MASK_MOD && class == SOME_KEYS)
        if (!CALL_MASK_MOD(a, x, b, h, (int)p, j)) s = -INFINITY;
    if (TILE_CLASS && class == NO_KEY) s = -INFINITY;
    return s;
}

#endif
