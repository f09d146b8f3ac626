/* steps.cl -- the OpenCL entries of steps.h, one work-item a row: NDRange {new_len, B Hkv} and {Nq, B Hq}. */
#include "row.h"
#include "select.h"
#include "steps.h"

LANE_KERNEL void attn_append(GLOBAL const stored *k_new, GLOBAL const stored *v_new, GLOBAL stored *k, GLOBAL stored *v,
                             OPTIONAL_PARAMS, ca_args a)
{
    const ca_optional x = OPTIONAL;
    float row[WHOLE(LONGER)];
    int hb = get_global_id(1);
    append(&a, &x, k_new, v_new, k, v, DQK, DV, hb / a.Hkv, hb % a.Hkv, get_global_id(0), row);
}

LANE_KERNEL void attn_weights(GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL float *weights, OPTIONAL_PARAMS, ca_args a)
{
    const ca_optional x = OPTIONAL;
    vf qv[WHOLE(DQK) / VL];
    float s[DK], key[WHOLE(DQK)];
    int hb = get_global_id(1);
    weights_row(&a, &x, q, k, weights, DQK, hb / a.Hq, hb % a.Hq, get_global_id(0), qv, s, key);
}
