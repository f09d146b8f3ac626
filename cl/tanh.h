/* tanh.h -- tanh x = x P(x^2) / Q(x^2) up to TANH_END, where it is within 2^-23 of 1: a minimax fit of tanh(x) / x, with roundings
 * within 2^-21 of itself and far shorter than the built-in one.  score.h and lanemath.h go through the coefficients, STEP(p, q),
 * from the highest power down. */
#ifndef CA_TANH_H
#define CA_TANH_H

#define TANH_END 8.5f
#define TANH_FIRST(STEP) STEP(1.42692569e-8f, 8.14513498e-7f)
#define TANH_OTHERS(STEP) STEP(2.1251064e-5f, 3.34886689e-4f) STEP(3.53402807e-3f, 2.60227565e-2f) STEP(0.134132475f, 0.467465699f) STEP(1.f, 1.f)

#endif
