/* linear.c -- the host's kernel of linear attention, cl/linear.h: the build compiles it once per instruction-set level. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the dialect has what attention needs */
#include "host/linhost.h"

/* Vector width, and rows and vectors of a product's tile: 16 to 24 accumulators and what they are made of fit the registers. */
#if defined(__AVX512F__)
#define VL 16
#define MR 4
#define NV 4
#elif defined(__AVX2__)
#define VL 8
#define MR 6
#define NV 2
#elif defined(__aarch64__)
#define VL 4
#define MR 6
#define NV 4
#else
#define VL 4
#define MR 3
#define NV 4
#endif
#define STORAGE 0
#include "host/dialect.h"

#define ITEMS 1
#define ITEM 0
#define SYNC ((void)0)
#define HAS(what) (A->what)
#define LINEAR_APART static __attribute__((noinline))
#include "linear.h"

static void unit(const ca_linear *a, void *const t[LIN_TENSORS], int64_t n, float *state, float *mine)
{
    struct lin_io x;
    memcpy(x.t, t, sizeof x.t);
    linear_unit(a, &x, n, state, mine);
}

#define SYMBOL_(isa) ca_host_##isa##_linear
#define SYMBOL(isa) SYMBOL_(isa)
extern const struct host_linear SYMBOL(ISA);
const struct host_linear SYMBOL(ISA) = { .lanes = VL, .wide = NV * VL, .unit = unit };
