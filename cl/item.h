/* item.h -- the work-item dialect: the operations around attention are written once, as OpenCL C and as C for the
 * host (src/ops/item_host.h has the other half).
 *
 *   KERNEL(name) { ... }     one unit of work: an element, or a row that LANES work-items share
 *   INDEX, BEYOND            which one; there are a.units of them, what a launch has beyond these must return at once
 *   LANE, LANES              this item among the row's; the host and short rows have one lane
 *   ROW_MEMORY               first in a kernel that calls row_sum or row_max, which all lanes of the row call together
 *   LOAD(k, i), STORE(k, i, x)  element I of operand K as f32; LOAD_INT for indices; GIVEN(k): is it there?
 *   wide                     what sums over a row are kept in: each lane's own here, f64 on the host with its one lane
 *
 * Operands have any storage type each, looked up when they are read: one build serves all mixtures. */
#ifndef CA_ITEM_H
#define CA_ITEM_H

#include "op.h"

#define LOAD(k, i) LOAD_(k, i)
#define LOAD_(k, i) load_as(t##k, a.type[k], a.at[k] + (i))
#define STORE(k, i, x) STORE_(k, i, x)
#define STORE_(k, i, x) store_as(t##k, a.type[k], a.at[k] + (i), x)
#define LOAD_INT(k, i) LOAD_INT_(k, i)
#define LOAD_INT_(k, i) load_int(t##k, a.at[k] + (i))
#define GIVEN(k) (a.type[k] >= 0)

#ifdef __OPENCL_C_VERSION__
#include "storage.h"

#ifndef LANES
#define LANES 1
#endif
typedef float wide;
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunused-parameter" /* all kernels take all operands */
#endif
#define INLINE static inline
#define KERNEL(name) __kernel void op_##name(__global ushort *t0, __global ushort *t1, __global ushort *t2, \
                                             __global ushort *t3, __global ushort *t4, __global ushort *t5, ca_op a)
#define INDEX ((ca_long)(get_global_id(0) / LANES))
#define BEYOND (LANES == 1 && INDEX >= a.units) /* PoCL 3.1 goes wrong behind a return that comes before barriers */
#define LANE (LANES > 1 ? (int)get_local_id(0) : 0)
#define ROW_MEMORY __local float scratch[LANES];

INLINE int load_int(__global const ushort *t, ca_long i) { return ((__global const int *)t)[i]; }

/* LANES is a power of two. */
#define ROW_REDUCE(name, op) \
    INLINE float name(float x, __local float *s) \
    { \
        int i = LANE; \
        if (LANES == 1) return x; \
        barrier(CLK_LOCAL_MEM_FENCE); /* the last use of s is over */ \
        s[i] = x; \
        for (int k = LANES / 2; k > 0; k /= 2) { \
            barrier(CLK_LOCAL_MEM_FENCE); \
            if (i < k) s[i] = op(s[i], s[i + k]); \
        } \
        barrier(CLK_LOCAL_MEM_FENCE); \
        return s[0]; \
    }
#define ADD(x, y) ((x) + (y))
ROW_REDUCE(reduce_sum, ADD)
ROW_REDUCE(reduce_max, fmax)
#define row_sum(x) reduce_sum(x, scratch)
#define row_max(x) reduce_max(x, scratch)

#else
#include <ops/item_host.h>
#endif

#endif
