/* linear.cl -- the OpenCL entry of linear.h: a work-group is a worker, and works through each WORKERS-th unit.
 * Options: VL lanes per vector, MR and NV a product's tile, ITEMS work-items of a group, and LINEAR_field for each field of ca_linear that
 * the text asks by HAS; USE_MAD where fma() is slow. */
#ifndef VL
#define VL 4
#endif
#ifndef MR
#define MR 4
#endif
#ifndef NV
#define NV 2
#endif
#ifndef ITEMS
#define ITEMS 1
#endif
#ifndef LINEAR_map
#define LINEAR_map 0
#define LINEAR_gate 0
#define LINEAR_delta 0
#define LINEAR_bonus 0
#define LINEAR_normalize 0
#define LINEAR_l2norm 0
#define LINEAR_ssd 0
#define LINEAR_recurrent 0
#endif
#ifndef UNIT
#define UNIT 1
#endif
#ifdef __clang__
#pragma clang diagnostic ignored "-Wconstant-logical-operand" /* what is asked by HAS is a constant here */
#endif
#include "dialect.h"
#define HAS(what) LINEAR_##what
#if ITEMS > 1
#define ITEM ((int)get_local_id(0))
#define SYNC barrier(CLK_GLOBAL_MEM_FENCE)
#define LINEAR_APART INLINE
#define LINEAR_KERNEL __kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
#else
#define ITEM 0
#define SYNC ((void)0)
#define LINEAR_APART static __attribute__((noinline))
#define LINEAR_KERNEL LANE_KERNEL
#endif
#define ONE_TILE /* other shapes take compilers more time than they save */
#include "linear.h"

LINEAR_KERNEL void linear_attention(GLOBAL void *q, GLOBAL void *k, GLOBAL void *v, GLOBAL void *g, GLOBAL void *beta, GLOBAL void *u,
                                    GLOBAL void *projection, GLOBAL void *state, GLOBAL void *z, GLOBAL void *out, GLOBAL void *lse,
                                    GLOBAL void *final_state, GLOBAL void *final_z, GLOBAL float *states, GLOBAL float *scratch, ca_linear a)
{
    const struct lin_io x = { { q, k, v, g, beta, u, projection, state, z, out, lse, final_state, final_z } };
    ca_long worker = (ca_long)get_global_id(0) / ITEMS;
    for (ca_long unit = worker; unit < a.units; unit += a.workers) {
        linear_unit(&a, &x, unit, states + unit * a.state, scratch + worker * a.scratch);
        SYNC;
    }
}
