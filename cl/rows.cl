/* rows.cl -- one work-group per query row: the simplest kernel, for any device, down to work-groups of one item.
 *
 *   for each W keys that the row sees:   item x scores key k0 + x   ->  s[W]
 *                                        item x weighs key k0 + x   ->  p[W]
 *                                        item x sums dims x, x + W, ... of o = alpha o + p v
 *
 * Only keys between the first and the last that the row sees are ever touched, and of V only those that it sees.
 * OpenCL C 1.2; NDRange {Nq W, B Hq}, pieces with an offset allowed. */
#include "args.h"
#include "storage.h"
#include "score.h"
#include "softmax.h"
#include "dropout.h"

#define GLOBAL __global
#define INLINE static inline
#define AS_FLOAT(bits) as_float(bits)
#include "elements.h"

#ifndef DQK
#define DQK 64 /* dims of q and k */
#endif
#ifndef DV
#define DV 64  /* dims of v and out */
#endif
#ifndef UNIT
#define UNIT 1 /* neighbours along the dims are neighbours in memory, in q, k, v and out */
#endif
#ifndef W
#define W 64   /* work-items of a group, and keys at a time */
#endif

__kernel __attribute__((reqd_work_group_size(W, 1, 1)))
#ifdef SUBGROUP
__attribute__((intel_reqd_sub_group_size(SUBGROUP)))
#endif
void attn_rows(__global const stored *restrict q, __global const stored *restrict k,
               __global const stored *restrict v, __global stored *restrict out,
               __global float *restrict lse, OPTIONAL_PARAMS, ca_args a)
{
    const ca_optional optional = OPTIONAL;
    __local float qs[DQK], o[DV], s[W], p[W];
    __local int class;
    int x = get_local_id(0), i = get_global_id(0) / W, bh = get_global_id(1), b = bh / a.Hq, h = bh - b * a.Hq, hk = h / a.group;
    if (RAGGED) b = ca_seq_of_tile(&a, &optional, i, 1, &i);
    const ca_seq seq = ca_seq_of(&a, &optional, b);
    int there = !RAGGED || (i >= 0 && i < seq.Nq); /* no return: PoCL 3.1 does not bear one before a barrier */
    int o_d = UNIT ? 1 : a.o_d;
    if (UNIT) a.q_d = a.k_d = a.v_d = 1; /* constants then */
    q += a.q_0 + b * a.q_b + h * a.q_h + (long)(seq.q_row + i) * a.q_s;
    k = kv_from(&a, k, ca_head_at(&a, &seq, b, hk, a.k_0, a.k_b, a.k_h, a.k_s));
    v = kv_from(&a, v, ca_head_at(&a, &seq, b, hk, a.v_0, a.v_b, a.v_h, a.v_s));
    out += a.o_0 + b * a.o_b + h * a.o_h + (long)(seq.q_row + i) * a.o_s;
    long at = i + seq.p0;
    int begin = ca_key_lo(at, a.left, seq.Nk), end = there ? ca_key_hi(at, a.right, seq.Nk) : 0;

    for (int d = x; d < DQK; d += W) qs[d] = there ? query_dim(&a, &optional, q, i, d) : 0.f;
    for (int d = x; d < DV; d += W) o[d] = 0.f; /* an item touches only its own dims of o */
    float m = LOWEST, l = 0.f;
    for (int k0 = begin, n; k0 < end; k0 += n) {
        k0 = ca_next_key(&a, &optional, b, h, i, at, 1, k0);
        if (k0 >= end) break;
        n = ca_tile_keys(&a, &optional, b, h, i, at, 1, k0, min(W, end - k0));
        float score = -INFINITY;
        barrier(CLK_LOCAL_MEM_FENCE); /* the last s and p are used up */
        if (CLASSED) {
            if (x == 0) class = ca_tile_class(&a, &optional, b, h, i, at, 1, k0, n);
            barrier(CLK_LOCAL_MEM_FENCE);
            if (class == NO_KEY) continue;
        }
        if (x < n) {
            score = 0.f;
            for (int d = 0; d < DQK; d++) {
                float key = key_dim(&a, &optional, k, b, hk, k0 + x, d);
                if (SCORE == CA_ADDITIVE) score = fma(score_weight(&a, &optional, d), lean_tanh(a.score_scale * (qs[d] + key)), score);
                else score = fma(qs[d], key, score);
            }
            score = modified(&a, &optional, score * a.scale, b, h, i, at, k0 + x, CLASSED ? class : SOME_KEYS);
        }
        s[x] = score;
        barrier(CLK_LOCAL_MEM_FENCE);
        float top = m;
        for (int j = 0; j < n; j++) top = fmax(top, s[j]);
        p[x] = score == -INFINITY ? ABSENT : weight(score, top);
        barrier(CLK_LOCAL_MEM_FENCE);
        float alpha = weight(m, top), sum = 0.f;
        m = top;
        for (int j = 0; j < n; j++) sum += p[j];
        l = fma(l, alpha, sum);
        if (DROPOUT) {
            barrier(CLK_LOCAL_MEM_FENCE); /* all have summed */
            if (x < n && !is_absent(p[x]) && ca_is_dropped(&a, b, h, i, k0 + x)) p[x] = 0.f;
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        for (int d = x; d < DV; d += W) {
            float t = o[d] * alpha;
            for (int j = 0; j < n; j++)
                if (!is_absent(p[j])) t = fma(p[j], value_dim(&a, &optional, v, b, hk, k0 + j, d), t);
            o[d] = t;
        }
    }
    float sunk = SINKS ? add_sink(sinks[a.sinks_0 + h], &m, &l) : 1.f, f = row_factor(&a, l) * sunk;
    for (int d = x; d < DV && there; d += W) store_at(out, d * o_d, o[d] * f);
    if (a.has_lse && x == 0 && there) lse[a.lse_0 + b * a.lse_b + h * a.lse_h + seq.q_row + i] = row_lse(m, l);
}
