/* optional.h -- the tensors that an attention may have besides q, k and v, as kernels and the host's functions take
 * them, and what they say about one batch row.  Which ones there are is constant when OpenCL kernels are compiled; the
 * host looks at the pointers. */
#ifndef CA_OPTIONAL_H
#define CA_OPTIONAL_H

#include "args.h"

#ifdef __OPENCL_C_VERSION__
#define CA_GLOBAL __global
#define IS_ON(feature, x) feature
#ifndef HAS_QOFF
#define HAS_QOFF 0
#endif
#ifndef LENS
#define LENS 0
#endif
#ifndef ALIBI
#define ALIBI 0
#endif
#ifndef SINKS
#define SINKS 0
#endif
#ifndef BIAS
#define BIAS 0
#endif
#ifndef MASK
#define MASK 0
#endif
#ifndef SOFTCAP
#define SOFTCAP 0
#endif
#define SCORED (SOFTCAP || BIAS || ALIBI || MASK)
#else
#define CA_GLOBAL
#define IS_ON(feature, x) ((x) != 0)
#endif

/* In the order of the slots (src/problem/problem.h), as launches set them. */
typedef struct ca_optional {
    CA_GLOBAL const ca_int *qoff, *lens;
    CA_GLOBAL const float *slopes, *sinks, *bias;
    CA_GLOBAL const ca_byte *mask;
} ca_optional;
#define OPTIONAL_PARAMS \
    CA_GLOBAL const ca_int *qoff, CA_GLOBAL const ca_int *lens, CA_GLOBAL const float *slopes, \
    CA_GLOBAL const float *sinks, CA_GLOBAL const float *bias, CA_GLOBAL const ca_byte *mask
#define OPTIONAL { qoff, lens, slopes, sinks, bias, mask }

/* The weight of a key that is not there: nothing in sums, and told from a weight that is too small for an f32. */
#define ABSENT -0.f

/* How much of a tile a mask lets through. */
enum { NO_KEY, SOME_KEYS, ALL_KEYS };

/* Batch row b: its keys, and where query 0 stands among them. */
typedef struct ca_seq { ca_int Nk; ca_long p0; } ca_seq;

static inline ca_seq ca_seq_of(const ca_args *a, const ca_optional *x, ca_int b)
{
    ca_seq s = { a->Nk, a->offset };
    if (IS_ON(LENS, x->lens)) {
        ca_int n = x->lens[a->lens_0 + b];
        s.Nk = n < 0 ? 0 : n > a->Nk ? a->Nk : n; /* in device memory nobody has looked at it */
        if (a->bottom_right) s.p0 -= a->Nk - s.Nk;
    }
    if (IS_ON(HAS_QOFF, x->qoff) && a->has_qoff) s.p0 = x->qoff[a->qoff_0 + b];
    return s;
}

#endif
