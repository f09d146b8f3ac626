/* small.h -- one small attention with canaries around its outputs, for tests of the interface: are the calls right,
 * are outputs untouched after a failure?  How exact the numbers are is tested elsewhere. */
#ifndef SMALL_H
#define SMALL_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "plan/plan.h"
#include "runtime/context.h"

enum { SMALL_B = 2, SMALL_HQ = 4, SMALL_HKV = 2, SMALL_NQ = 5, SMALL_NK = 9, SMALL_D = 8, SMALL_GUARD = 16,
       SMALL_Q = SMALL_B * SMALL_HQ * SMALL_NQ * SMALL_D, SMALL_KV = SMALL_B * SMALL_HKV * SMALL_NK * SMALL_D,
       SMALL_ROWS = SMALL_B * SMALL_HQ * SMALL_NQ };
#define SMALL_CANARY (-7777.0f)

struct small {
    clattn_attention a;
    clattn_pointers p;         /* to what follows; out and lse between guards */
    float q[SMALL_Q], k[SMALL_KV], v[SMALL_KV];
    float out[SMALL_Q + 2 * SMALL_GUARD], lse[SMALL_ROWS + 2 * SMALL_GUARD];
};

static inline void small_canaries(struct small *s)
{
    for (size_t i = 0; i < sizeof s->out / sizeof s->out[0]; i++) s->out[i] = SMALL_CANARY;
    for (size_t i = 0; i < sizeof s->lse / sizeof s->lse[0]; i++) s->lse[i] = SMALL_CANARY;
}

static inline void small_init(struct small *s)
{
    unsigned x = 1;
    float *const list[3] = { s->q, s->k, s->v };
    const size_t count[3] = { SMALL_Q, SMALL_KV, SMALL_KV };
    for (int t = 0; t < 3; t++)
        for (size_t i = 0; i < count[t]; i++) list[t][i] = (float)((x = x * 1664525u + 1013904223u) >> 16) / 32768 - 1;
    small_canaries(s);
    clattn_attention_init(&s->a);
    s->a.batch = SMALL_B;
    s->a.q_heads = SMALL_HQ;
    s->a.kv_heads = SMALL_HKV;
    s->a.q_len = SMALL_NQ;
    s->a.kv_len = SMALL_NK;
    s->a.head_dim = SMALL_D;
    s->a.causal = 1;
    s->p = (clattn_pointers){ .size = sizeof s->p, .q = s->q, .k = s->k, .v = s->v, .out = s->out + SMALL_GUARD,
                              .lse = s->lse + SMALL_GUARD };
}

/* Nothing was written, guards included. */
static inline bool small_untouched(const struct small *s)
{
    for (size_t i = 0; i < sizeof s->out / sizeof s->out[0]; i++) if (s->out[i] != SMALL_CANARY) return false;
    for (size_t i = 0; i < sizeof s->lse / sizeof s->lse[0]; i++) if (s->lse[i] != SMALL_CANARY) return false;
    return true;
}

/* One output element by the definition; *LSE likewise.  Packed BHSD, causal, bottom right. */
static inline double small_exact(const float *q, const float *k, const float *v, int b, int h, int i, int d, double *lse)
{
    double sum = 0, value = 0;
    int hk = h / (SMALL_HQ / SMALL_HKV);
    q += ((b * SMALL_HQ + h) * SMALL_NQ + i) * SMALL_D;
    k += (b * SMALL_HKV + hk) * SMALL_NK * SMALL_D;
    v += (b * SMALL_HKV + hk) * SMALL_NK * SMALL_D;
    for (int j = 0; j <= i + SMALL_NK - SMALL_NQ; j++) {
        double s = 0;
        for (int e = 0; e < SMALL_D; e++) s += (double)q[e] * k[j * SMALL_D + e];
        s = exp(s / sqrt(SMALL_D));
        sum += s;
        value += s * v[j * SMALL_D + d];
    }
    *lse = log(sum);
    return value / sum;
}

/* OUT at these strides, and LSE unless it is NULL, hold the answer. */
static inline bool small_right(const struct small *s, const float *out, const clattn_strides *at, const float *lse)
{
    for (int b = 0; b < SMALL_B; b++)
        for (int h = 0; h < SMALL_HQ; h++)
            for (int i = 0; i < SMALL_NQ; i++)
                for (int d = 0; d < SMALL_D; d++) {
                    double l, x = small_exact(s->p.q, s->p.k, s->p.v, b, h, i, d, &l);
                    if (!(fabs(x - out[b * at->batch + h * at->head + i * at->row + d * at->dim]) < 1e-5)) return false;
                    if (lse && !(fabs(l - lse[(b * SMALL_HQ + h) * SMALL_NQ + i]) < 1e-5)) return false;
                }
    return true;
}

static const clattn_strides small_packed = { SMALL_HQ * SMALL_NQ * SMALL_D, SMALL_NQ * SMALL_D, SMALL_D, 1 };

/* The answer is where it should be, and the guards are as they were. */
static inline bool small_done(const struct small *s)
{
    const float *ends[4] = { s->out, s->out + SMALL_GUARD + SMALL_Q, s->lse, s->lse + SMALL_GUARD + SMALL_ROWS };
    for (int e = 0; e < 4; e++)
        for (int i = 0; i < SMALL_GUARD; i++) if (ends[e][i] != SMALL_CANARY) return false;
    return small_right(s, s->out + SMALL_GUARD, &small_packed, s->lse + SMALL_GUARD);
}

/* The first OpenCL device that can be used at all, past the inventory: quick, and in this process. */
static inline bool small_device(struct device *dev)
{
    cl_platform_id platform[16];
    cl_device_id id[16];
    cl_uint platforms = 0, ids = 0;
    if (ca_cl.GetPlatformIDs(16, platform, &platforms) != CL_SUCCESS) return false;
    for (cl_uint p = 0; p < platforms && p < 16; p++) {
        if (ca_cl.GetDeviceIDs(platform[p], CL_DEVICE_TYPE_ALL, 16, id, &ids) != CL_SUCCESS) continue;
        for (cl_uint d = 0; d < ids && d < 16; d++)
            if (ca_device_query(platform[p], id[d], dev) == CLATTN_OK && !ca_device_refusal(dev)) return true;
    }
    ca_message_clear();
    puts("skipped: no OpenCL device here");
    return false;
}

#endif
