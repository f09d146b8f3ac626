/* nop.cl -- the answer when there is no key: out 0, lse -inf, or the sink; one work-item per query row,
 * rounded up to whole groups. */
#ifndef DV
#define DV 64
#endif
#include "optional.h"
#include "storage.h"

__kernel void attn_nop(__global stored *o, __global float *lse, OPTIONAL_PARAMS, ca_args a)
{
    int i = get_global_id(0), hb = get_global_id(1), h = hb % a.Hq, b = hb / a.Hq;
    if (RAGGED) { /* all rows are one batch row's */
        b = 0;
        if (i < cu_q[a.cu_q_0] || i >= cu_q[a.cu_q_0 + a.B]) return;
    }
    if (i >= a.lse_h) return;
    __global stored *row = o + a.o_0 + b * a.o_b + h * a.o_h + (ca_long)i * a.o_s;
    for (int e = 0; e < DV; e++) store_at(row, (ca_long)e * a.o_d, 0.f);
    if (a.has_lse) lse[a.lse_0 + b * a.lse_b + h * a.lse_h + i] = SINKS ? sinks[a.sinks_0 + h] : -INFINITY;
}
