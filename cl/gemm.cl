/* gemm.cl -- what stands around the two matrix products of the unfused path (src/algo/gemm.c):
 * packing to f32, softmax over whole rows of scores, and the last division.
 *
 * What lies behind a mask never matters.  A score of a masked key is not read.  A weight of 0
 * would not keep a NaN of V out of the product, so V is packed with 0 in place of what is not
 * finite, and gemm_finish adds those elements to the rows that do see them. */
#include "gemm.h"
#include "score.h"
#include "softmax.h"
#include "dropout.h"
#include "storage.h"

#ifndef WG
#define WG 64 /* work-items per row of the softmax, a power of two */
#endif

/* Row r of the chunk belongs to query i of head h of batch b. */
typedef struct where { int b, kv, h, i; } where;

static inline where where_is(ca_args a, ca_gemm c, int r)
{
    where w;
    int unit = c.unit0 + r / (a.group * c.rows), rest = r % (a.group * c.rows);
    w.b = unit / a.Hkv;
    w.kv = unit % a.Hkv;
    w.h = w.kv * a.group + rest / c.rows;
    w.i = c.row0 + rest % c.rows;
    return w;
}

__kernel void gemm_pack_q(__global const stored *q, __global float *work, ca_args a, ca_gemm c)
{
    int e = get_global_id(0), r = get_global_id(1);
    work += c.base;
    if (e >= a.D) return;
    where w = where_is(a, c, r);
    work[c.q + (ca_long)r * a.D + e] =
        load_at(q, a.q_0 + w.b * a.q_b + w.h * a.q_h + (ca_long)w.i * a.q_s + (ca_long)e * a.q_d);
}

__kernel void gemm_pack_k(__global const stored *k, __global float *work, ca_args a, ca_gemm c)
{
    int e = get_global_id(0), r = get_global_id(1);
    work += c.base;
    if (e >= a.D) return;
    int unit = c.unit0 + r / a.Nk, j = r % a.Nk;
    if (j == 0 && e == 0) ((__global int *)work)[c.flag + r / a.Nk] = 0; /* gemm_pack_v comes behind */
    k += a.k_0 + unit / a.Hkv * a.k_b + unit % a.Hkv * a.k_h;
    work[c.k + (ca_long)r * a.D + e] = load_at(k, (ca_long)j * a.k_s + (ca_long)e * a.k_d);
}

__kernel void gemm_pack_v(__global const stored *v, __global float *work, ca_args a, ca_gemm c)
{
    int e = get_global_id(0), r = get_global_id(1);
    work += c.base;
    if (e >= a.Dv) return;
    int unit = c.unit0 + r / a.Nk, j = r % a.Nk;
    v += a.v_0 + unit / a.Hkv * a.v_b + unit % a.Hkv * a.v_h;
    float x = load_at(v, (ca_long)j * a.v_s + (ca_long)e * a.v_d);
    if (!isfinite(x)) {
        ((__global int *)work)[c.flag + r / a.Nk] = 1;
        x = 0.f;
    }
    work[c.v + (ca_long)r * a.Dv + e] = x;
}

/* The items of a work-group reduce X; every one gets the result. */
static inline float group_max(float x, __local float *red)
{
    int t = get_local_id(0);
    red[t] = x;
    for (int n = WG / 2; n > 0; n /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (t < n) red[t] = fmax(red[t], red[t + n]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    x = red[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return x;
}

static inline float group_sum(float x, __local float *red)
{
    int t = get_local_id(0);
    red[t] = x;
    for (int n = WG / 2; n > 0; n /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (t < n) red[t] += red[t + n];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return red[0];
}

/* One work-group, WG x 1 items, per row: scores become exp(score - max), ABSENT where masked; the factor that the row of
 * the second product lacks goes to l. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void gemm_softmax(__global float *work, __global float *lse, OPTIONAL_PARAMS, ca_args a, ca_gemm c)
{
    __local float red[WG];
    const ca_optional optional = OPTIONAL;
    int t = get_local_id(0), r = get_global_id(1);
    where w = where_is(a, c, r);
    const ca_seq seq = ca_seq_of(&a, &optional, w.b);
    ca_long p = w.i + seq.p0;
    int lo = ca_key_lo(p, a.left, seq.Nk), hi = ca_key_hi(p, a.right, seq.Nk);
    work += c.base;
    __global float *s = work + c.s + (ca_long)r * a.Nk;

    float m = LOWEST, l = 0.f;
    for (int j = t; j < hi; j += WG) /* from t, not lo + t: an item writes below only what it read here */
        if (j >= lo) {
            float x = s[j];
            if (SCORED) s[j] = x = modified(&a, &optional, x, w.b, w.h, w.i, p, j);
            m = fmax(m, x); /* fmax passes over a NaN; exp does not */
        }
    m = group_max(m, red);
    for (int j = t; j < a.Nk; j += WG) {
        float x = j >= lo && j < hi && s[j] != -INFINITY ? exp(s[j] - m) : ABSENT;
        s[j] = DROPOUT && !is_absent(x) && ca_is_dropped(&a, w.b, w.h, w.i, j) ? 0.f : x;
        l += x;
    }
    l = group_sum(l, red);
    if (t > 0) return;
    float sunk = SINKS ? add_sink(sinks[a.sinks_0 + w.h], &m, &l) : 1.f;
    work[c.l + r] = row_factor(&a, l) * sunk;
    if (a.has_lse) lse[a.lse_0 + ((ca_long)w.b * a.Hq + w.h) * a.Nq + w.i] = row_lse(m, l);
}

__kernel void gemm_finish(__global const float *work, __global const stored *v, __global stored *out, ca_args a, ca_gemm c)
{
    int e = get_global_id(0), r = get_global_id(1), u = r / (a.group * c.rows);
    work += c.base;
    if (e >= a.Dv) return;
    where w = where_is(a, c, r);
    float o = work[c.o + (ca_long)r * a.Dv + e];
    if (((__global const int *)work)[c.flag + u]) {
        v += a.v_0 + w.b * a.v_b + w.kv * a.v_h + (ca_long)e * a.v_d;
        for (int j = 0; j < a.Nk; j++) {
            float x = load_at(v, (ca_long)j * a.v_s), p = work[c.s + (ca_long)r * a.Nk + j];
            if (!isfinite(x) && !is_absent(p)) o += p * x;
        }
    }
    store_at(out, a.o_0 + w.b * a.o_b + w.h * a.o_h + (ca_long)w.i * a.o_s + (ca_long)e * a.o_d, o * work[c.l + r]);
}
