/* split.cl -- few queries, long KV.  The keys are cut into parts that run in parallel; all query heads of a
 * KV head share one read of K and V; the parts' states (m, l, o) are merged after.  Heads come first, then packs of rows, then
 * parts: between two keys of a head there may be those of the others, in pages always.
 *
 *   attn_split_lanes   one work-item per part, a lane per dim (cl/decode.h): CPU-like devices
 *   attn_split_group   one work-group per part: GPUs; no sub-groups needed
 *   attn_split_merge   merge.h
 *
 * Workspace: po f32 [rows][splits][DV], then pml f32 [rows][splits][2]; rows as those of lse. */
#ifndef DQK
#define DQK 64
#endif
#ifndef DV
#define DV DQK
#endif
#ifndef STORAGE
#define STORAGE 0
#endif
#ifndef VL
#define VL 4       /* lanes: floats per vector */
#endif
#ifndef RB
#define RB 4       /* query rows at once */
#endif
#ifndef DK
#define DK 64      /* lanes: keys per tile */
#endif
#ifndef HEADS
#define HEADS 1    /* lanes: KV heads at once */
#endif
#ifndef TX
#define TX 8       /* group: items that share one key's dot product */
#endif
#ifndef TY
#define TY 8       /* group: keys side by side */
#endif
#ifndef KI
#define KI 2       /* group: keys per item; a tile has TY * KI keys */
#endif
#ifndef UNIT
#define UNIT 1     /* 1: every dim stride is 1 */
#endif
#ifndef FORM
#define FORM 0     /* 0 lanes, 1 group */
#endif
#ifndef EI
#define EI 1       /* group: output dims per item, a number: DV / (TX * TY) rounded up */
#endif
#include "args.h"
#include "dialect.h"
#include "repeat.h"
#include "softmax.h"
#include "dropout.h"

#if FORM == 0
#include "decode.h"

LANE_KERNEL void attn_split_lanes(GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL const stored *v, GLOBAL float *ws,
                      OPTIONAL_PARAMS, ca_args a)
{
    const ca_optional x = OPTIONAL;
    vf qv[RB * (WHOLE(DQK) / VL)], ov[RB * (WHOLE(DV) / VL)];
    float s[RB * DK], kv[SPECIAL ? FEW * WHOLE(DQK > DV ? DQK : DV) : 1];
    int hb = HEADS * (int)get_global_id(0), pack = get_global_id(1), part = a.first_part + (int)get_global_id(2);
    decode(&a, &x, q, k, v, ws + a.ws_po, ws + a.ws_pml, DQK, DV, part, pack * RB, hb % a.Hkv, HEADS, hb / a.Hkv, qv, ov, s, kv);
}

#else
#define BN (TY * KI)
#define WG (TX * TY)
#define DC (4 * TX)             /* dims that the TX items read side by side */

/* Four dims of a row, 0 past the end. */
INLINE float4 load_dims(GLOBAL const stored *row, int stride, int d)
{
#if UNIT && DQK % 4 == 0
    (void)stride;
    return d < DQK ? load4_at(row, d) : (float4)(0.f);
#else
    return (float4)(d < DQK ? load_at(row, (ca_long)d * stride) : 0.f, d + 1 < DQK ? load_at(row, (ca_long)(d + 1) * stride) : 0.f,
                    d + 2 < DQK ? load_at(row, (ca_long)(d + 2) * stride) : 0.f, d + 3 < DQK ? load_at(row, (ca_long)(d + 3) * stride) : 0.f);
#endif
}

/* A tile of BN keys: item (x, y) adds up the dims 4x, 4x + DC, ... of keys y, y + TY, ...; the TX shares of a
 * score meet in local memory.  Then the items own output dims id, id + WG, ... and read V side by side.
 * The steps are text, for literal indices (repeat.h): row r, key t of the item, output dim e of the item. */
#define QI ((DQK + DC - 1) / DC) /* four-dim pieces of a row per item */
#define CLEAR(r, e) o[r][e] = 0.f;
#define CLEAR_ROW(r) AGAIN(EI, CLEAR, r)
#define NO_SCORE(r, t) acc[r][t] = 0.f;
#define NO_SCORES(r) AGAIN(KI, NO_SCORE, r)
#define DOT(t, r) { \
    float4 qq = qs[(r * QI + c) * TX + x]; \
    acc[r][t] = dot_add(qq, kk, acc[r][t]); }
#define SCORE_KEY(t) { \
    int key = min(k0 + t * TY + y, last - 1); \
    ca_long at_k = SPECIAL ? 0 : ca_key_at(&a, &optional, b, key, a.k_b, a.k_s); \
    for (int c = 0; c < QI; c++) { \
        int d = c * DC + 4 * x; \
        float4 kk = SPECIAL ? key_dims(&a, &optional, k, b, hk, key, d, DQK) : load_dims(k + at_k, a.k_d, d); \
        AGAIN(RB, DOT, t) \
    } }
#define SHARE(r, t) share[(r * BN + t * TY + y) * (TX + 1) + x] = acc[r][t];
#define SHARE_ROW(r) AGAIN(KI, SHARE, r)
#define SCALE(r, e) o[r][e] *= alpha;
#define SCALE_ROW(r) { float alpha = state[3 * r + 2]; AGAIN(EI, SCALE, r) }
#define VALUE(e) { \
    int d = id + e * WG; \
    value[e] = d >= DV ? 0.f : SPECIAL ? value_dim(&a, &optional, v, b, hk, k0 + j, d) : load_at(v, at_v + (ca_long)d * a.v_d); }
#define ADD(r, e) o[r][e] = is_absent(w) ? o[r][e] : fma(w, value[e], o[r][e]);
#define ADD_ROW(r) { float w = p[r * BN + j]; AGAIN(EI, ADD, r) }
#define ROW(r) ca_row_of(&a, &optional, &seq, b, hk, r0 + (r), shared)
#define STORE(r, e) if (id + e * WG < DV) po[at * DV + id + e * WG] = o[r][e];
#define STORE_ROW(r) if (r < rows) { \
    const ca_row t = ROW(r); \
    ca_long at = (t.b * a.lse_b + t.h * a.lse_h + t.seq.q_row + t.i) * a.splits + part; \
    if (id == 0) { pml[2 * at] = state[3 * r]; pml[2 * at + 1] = state[3 * r + 1]; } \
    AGAIN(EI, STORE, r) }

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
#ifdef SUBGROUP
__attribute__((intel_reqd_sub_group_size(SUBGROUP)))
#endif
void attn_split_group(GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL const stored *v, GLOBAL float *ws,
                      OPTIONAL_PARAMS, ca_args a)
{
    const ca_optional optional = OPTIONAL;
    __local float4 qs[RB * (QI * TX)];
    __local float share[RB * BN * (TX + 1)], p[RB * BN], state[RB * 3]; /* state: m, l, alpha */
    __local int class[RB];
    int id = get_local_id(0), x = id % TX, y = id / TX;
    int hb = (int)get_global_id(0) / WG, pack = get_global_id(1), part = a.first_part + (int)get_global_id(2), hk = hb % a.Hkv, b = hb / a.Hkv;
    const ca_seq seq = ca_seq_of(&a, &optional, b);
    int shared = ca_is_shared(&a, part), r0 = pack * RB, rows = min(ca_rows(&a, &seq, shared) - r0, RB);
    int begin, end, first = a.Nk, last = 0;

    ca_part_keys(&a, part, &begin, &end);
    for (int r = 0; r < rows; r++) {
        const ca_row t = ROW(r);
        first = min(first, ca_key_lo(t.i + t.seq.p0, a.left, t.seq.Nk));
        last = max(last, ca_key_hi(t.i + t.seq.p0, a.right, t.seq.Nk));
    }
    first = max(first, begin);
    last = min(last, end);
    for (int c = id; c < RB * QI * TX; c += WG) {
        int r = c / (QI * TX), d = c % (QI * TX) * 4;
        float4 value = (float4)(0.f);
        if (r < rows) {
            const ca_row t = ROW(r);
            GLOBAL const stored *row = q + a.q_0 + t.b * a.q_b + t.h * a.q_h + (ca_long)(t.seq.q_row + t.i) * a.q_s;
            value = SPECIAL ? query_dims(&a, &optional, row, t.i, d, DQK) : load_dims(row, a.q_d, d);
        }
        qs[c] = value;
    }
    for (int r = id; r < RB; r += WG) { state[3 * r] = CA_LOWEST; state[3 * r + 1] = 0.f; }
    k = kv_from(&a, k, ca_head_at(&a, &seq, b, hk, a.k_0, a.k_b, a.k_h, a.k_s));
    v = kv_from(&a, v, ca_head_at(&a, &seq, b, hk, a.v_0, a.v_b, a.v_h, a.v_s));

    float o[RB][EI];
    REPEAT(RB, CLEAR_ROW)
    for (int k0 = first; k0 < last; k0 += BN) {
        if (PATTERN) {
            int next = CA_NO_MORE;
            for (int r = 0; r < rows; r++) {
                const ca_row t = ROW(r);
                next = min(next, ca_next_key(&a, &optional, t.b, t.h, t.i, t.i + t.seq.p0, 1, k0));
            }
            if (next >= last) break;
            k0 = max(k0, next);
        }
        float acc[RB][KI];
        REPEAT(RB, NO_SCORES)
        barrier(CLK_LOCAL_MEM_FENCE); /* qs is there; the last tile's p and state are used up */
        if (CLASSED) {
            int any = 0;
            for (int r = id; r < rows; r += WG) {
                const ca_row t = ROW(r);
                class[r] = ca_tile_class(&a, &optional, t.b, t.h, t.i, t.i + t.seq.p0, 1, k0, min(BN, last - k0));
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int r = 0; r < rows; r++) any |= class[r];
            if (!any) continue;
        }
        REPEAT(KI, SCORE_KEY)
        REPEAT(RB, SHARE_ROW)
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int c = id; c < RB * BN; c += WG) {
            int r = c / BN, j = k0 + c % BN;
            float s = 0.f;
            for (int e = 0; e < TX; e++) s += share[c * (TX + 1) + e];
            p[c] = -INFINITY;
            if (r < rows && j < last) {
                const ca_row t = ROW(r);
                ca_long at = t.i + t.seq.p0;
                if (j >= ca_key_lo(at, a.left, t.seq.Nk) && j < ca_key_hi(at, a.right, t.seq.Nk))
                    p[c] = modified(&a, &optional, s * a.scale, t.b, t.h, t.i, at, j, CLASSED ? class[r] : SOME_KEYS);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int r = id; r < RB; r += WG) {
            float m = state[3 * r], t = m;
            for (int j = 0; j < BN; j++) t = t > p[r * BN + j] ? t : p[r * BN + j];
            state[3 * r] = t;
            state[3 * r + 2] = exp2((m - t) * LOG2E);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        /* A key behind the mask: its value is left out even if it is a NaN. */
        for (int c = id; c < RB * BN; c += WG) p[c] = p[c] == -INFINITY ? ABSENT : weight(p[c], state[3 * (c / BN)]);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int r = id; r < RB; r += WG) {
            float l = state[3 * r + 1] * state[3 * r + 2];
            for (int j = 0; j < BN; j++) l += p[r * BN + j];
            state[3 * r + 1] = l;
        }
        if (DROPOUT) {
            barrier(CLK_LOCAL_MEM_FENCE); /* l is summed */
            for (int c = id; c < RB * BN; c += WG) {
                const ca_row t = ROW(c / BN);
                if (!is_absent(p[c]) && ca_is_dropped(&a, t.b, t.h, t.i, k0 + c % BN)) p[c] = 0.f;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        REPEAT(RB, SCALE_ROW)
        int n = min(BN, last - k0);
        for (int j = 0; j < n; j++) {
            float value[EI];
            ca_long at_v = SPECIAL ? 0 : ca_key_at(&a, &optional, b, k0 + j, a.v_b, a.v_s);
            REPEAT(EI, VALUE)
            REPEAT(RB, ADD_ROW)
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    GLOBAL float *po = ws + a.ws_po, *pml = ws + a.ws_pml;
    REPEAT(RB, STORE_ROW)
}
#endif

#include "merge.h"
