/* score.h -- from q.k to the score that softmax sees, in the kernels that work score by score (flash.h and decode.h do
 * the same in lanes).  Features are constants: what is off is not compiled. */
#ifndef CA_SCORE_H
#define CA_SCORE_H

#ifndef SOFTCAP
#define SOFTCAP 0
#endif

/* As vtanh in lanemath.h: far shorter than the built-in tanh. */
static inline float lean_tanh(float x)
{
    float a = fabs(x), z = a * a, t = exp2(a * -2.88539008f);
    float p = fma(fma(fma(fma(-5.70498872745e-3f, z, 2.06390887954e-2f), z, -5.37397155531e-2f), z, 1.33314422036e-1f), z,
                  -3.33332819422e-1f);
    return copysign(a < 0.625f ? fma(p * z, a, a) : (1.f - t) / (1.f + t), x);
}

/* S is scale q.k. */
static inline float capped(float s, float cap) { return SOFTCAP ? cap * lean_tanh(s * (1.f / cap)) : s; }

#endif
