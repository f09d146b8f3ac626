/* gather.cl -- the OpenCL entry of gather.h: one work-item PACK query rows of a head, NDRange {packs}.  Where the pattern takes keys by their
 * scores, a launch does as many packs as there is memory for, from a.first_part on.
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
    vf qv[PACK * WHOLE(DQK) / VL], ov[WHOLE(DV) / VL];
    float made[WHOLE(LONGER)];
    struct row_state r;
    r.o = ov;
    int packs = (a.Nq + PACK - 1) / PACK, n = a.first_part + (int)get_global_id(0), i = n % packs * PACK, h = n / packs % a.Hq, b = n / packs / a.Hq;
    gather_rows(&a, &x, q, k, v, o, lse, scores + a.ws_po + (ca_long)get_global_id(0) * PACK * a.Nk, has_spent ? spent + spent_0 : 0, DQK, DV, b, h, i,
                PACK < a.Nq - i ? PACK : a.Nq - i, a.Nk, &r, qv, made);
}
