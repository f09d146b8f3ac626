/* gemm.h -- how the unfused path lays out its workspace: one struct shared by gemm.c and gemm.cl.
 *
 * A unit is one (batch, KV head); a chunk is `units` of them from `unit0` on, and of their query
 * rows `rows` from `row0` on.  The query heads of a KV head are stacked, so that one product
 * serves them all.  All parts are f32, packed, at these positions of the workspace (in floats):
 *
 *   q [units][group][rows][D]     s [units][group][rows][Nk]   scores, then weights before division
 *   k [units][Nk][D]              o [units][group][rows][Dv]   before division
 *   v [units][Nk][Dv]             l [units][group][rows]       factors that make o the output
 *   flag [units], as int: 1 where v holds a NaN or an infinity (0 in the packed copy)
 */
#ifndef CA_GEMM_H
#define CA_GEMM_H

#include "args.h"

typedef struct ca_gemm {
    ca_long base;              /* of the workspace in its buffer, in floats */
    ca_int unit0, units, row0, rows;
    ca_int q, k, v, s, o, l, flag;
    ca_int unused;             /* instead of padding: see args.h */
} ca_gemm;

#endif
