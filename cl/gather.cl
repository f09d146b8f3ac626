/* gather.cl -- the OpenCL entry of gather.h: one work-item a query row, NDRange {rows}.  Where the pattern takes keys by their scores, a launch
 * does as many rows as there is memory for, from a.first_part on.
 * Options: as row.h. */
#include "row.h"
#include "select.h"
#include "gather.h"

#ifdef SUBGROUP
__attribute__((intel_reqd_sub_group_size(SUBGROUP)))
#endif
LANE_KERNEL void attn_gather(GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL const stored *v, GLOBAL stored *o, GLOBAL float *lse,
                             GLOBAL float *scores, GLOBAL ca_int *spent, OPTIONAL_PARAMS, ca_args a, int has_spent, ca_long spent_0)
{
    const ca_optional x = OPTIONAL;
    vf qv[WHOLE(DQK) / VL], ov[WHOLE(DV) / VL];
    float made[WHOLE(LONGER)];
    int n = a.first_part + (int)get_global_id(0), i = n % a.Nq, h = n / a.Nq % a.Hq, b = n / a.Nq / a.Hq;
    gather(&a, &x, q, k, v, o, lse, scores + a.ws_po + (ca_long)get_global_id(0) * a.Nk, has_spent ? spent + spent_0 : 0, DQK, DV, b, h, i, qv, ov, made);
}
