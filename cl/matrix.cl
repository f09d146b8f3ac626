/* matrix.cl -- attention for GPUs with matrix engines, where softmax's weights may be rounded to the storage type: both products are made of
 * fragments (fragment.h).  One work-group owns BM = GY FM queries of one head; GX x GY gangs share the work on a tile of BN keys.
 *
 *                       K, as it lies                V, turned: a dim is a row
 *                  +------- BN keys ------+     +------ DVR dims -----+
 *              D   | gang gx:  fragments  |  BN | gang gx: fragments  |
 *                  | gx, gx + GX, ...     |     | gx, gx + GX, ...    |
 *                  +----------------------+     +---------------------+
 *   Q +-- D --+    +----------------------+     +---------------------+
 *     |       | BM | s, then P: gang gy   |     | o                   |
 *     |       |    | has rows gy FM ...   |     |                     |
 *     +-------+    +----------------------+     +---------------------+
 *
 * Elements stay as they are stored; s, o and all of softmax are f32.  Weights go through local memory, from the fragments of a result to those
 * of an operand, which are held otherwise.
 *
 * Tiles that no row of the group sees are never visited, tiles that all rows see whole run no predicate.
 * OpenCL C 1.2 but for the engine; NDRange {query tiles GANG GX GY, B Hq}, pieces with an offset allowed. */
#ifndef STORAGE
#define STORAGE 2 /* 1: f16, 2: bf16 */
#endif
#include "args.h"
#include "storage.h"
#include "score.h"
#include "softmax.h"
#include "repeat.h"

#define INLINE static inline __attribute__((always_inline))
#include "fragment.h"

#ifndef DQK
#define DQK 64     /* dims of q and k */
#endif
#ifndef DV
#define DV 64      /* dims of v and out */
#endif
#ifndef UNIT
#define UNIT 1     /* neighbours along the dims are neighbours in memory, in q, k, v and out */
#endif
#ifndef ALIGNED
#define ALIGNED 0  /* and rows, heads, batches are multiples of four elements apart */
#endif
#ifndef GX
#define GX 1       /* gangs that share a row */
#endif
#ifndef GY
#define GY 4       /* gangs one below the other */
#endif
#ifndef BN
#define BN 32      /* keys of a tile: a multiple of 16 and of GX FN */
#endif
#ifndef DSTEPS
#define DSTEPS 4   /* products along the dims of q and k: DQK / 16, rounded up, a plain number */
#endif
#ifndef SC
#define SC 4       /* fragments of scores of an item: BN / FN / GX, a plain number */
#endif
#ifndef OC
#define OC 8       /* fragments of its output: DV / FN / GX, rounded up, a plain number */
#endif
#ifndef KEEPQ
#define KEEPQ 1    /* Q's fragments stay in registers; else they are loaded with each tile of K */
#endif

#define BM (GY * FM)
#define ITEMS (GANG * GX * GY)
#define DVR (OC * FN * GX)
/* Pitches in words of two elements: four more than a multiple of eight spreads rows over the banks. */
#define KP (8 * DSTEPS + 4)
#define VP (BN / 2 + 4)
/* K and V, and before them Q; or Q behind them. */
#define KV (BN * KP + DVR * VP)
#define STAGED (KEEPQ ? (KV > BM * KP ? KV : BM * KP) : KV + BM * KP)
#define RP (C_SHARES * GX + 1)
/* f16 weights are kept 2^14 times as large, so that small ones are no subnormals. */
#define MAGNIFIED (STORAGE == 1 ? 16384.f : 1.f)
#define ODD_BITS (STORAGE == 1 ? 0x7c00u : 0x7f80u)

#define LOOP _Pragma("unroll 1")
/* Private arrays need literal indices on GPUs; in the twin's products are barriers, for which loops are kinder to compilers. */
#if ENGINE
#define EACH(n, X) REPEAT(n, X)
#define EACH_AGAIN(n, X, a) AGAIN(n, X, a)
#else
#define EACH(n, X) LOOP for (int index = 0; index < n; index++) { X(index) }
#define EACH_AGAIN(n, X, a) LOOP for (int again = 0; again < n; again++) { X(a, again) }
#endif

/* Four elements from dim D of a row; those from DIM on are 0. */
INLINE uint2 load_four(__global const ushort *row, int d, int dim, int dim_stride, int aligned)
{
    uint2 t = (uint2)(0);
    if (UNIT && ALIGNED && aligned && d + 4 <= dim) return *(__global const uint2 *)(row + d);
    if (d < dim) t.x = row[d * dim_stride];
    if (d + 1 < dim) t.x |= (uint)row[(d + 1) * dim_stride] << 16;
    if (d + 2 < dim) t.y = row[(d + 2) * dim_stride];
    if (d + 3 < dim) t.y |= (uint)row[(d + 3) * dim_stride] << 16;
    return t;
}
INLINE int is_aligned(__global const ushort *t) { return ((ulong)t & 7) == 0; }

/* Copies ROWS rows of Q or K to local memory, zeros for what lies beyond row N. */
INLINE void stage_queries(__local uint *to, __global const ushort *q, const ca_args *a, int n, int dim_stride, int id)
{
    int aligned = is_aligned(q);
    for (int i = id; i < BM * 4 * DSTEPS; i += ITEMS) {
        int row = i / (4 * DSTEPS), d = i % (4 * DSTEPS);
        uint2 t = (uint2)(0);
        if (row < n) t = load_four(q + row * a->q_s, 4 * d, DQK, dim_stride, aligned);
        *(__local uint2 *)(to + row * KP + 2 * d) = t;
    }
}
INLINE void stage_keys(__local uint *to, __global const ushort *k, const ca_args *a, const ca_optional *x, int b, int k0, int n, int dim_stride,
                       int id)
{
    int aligned = is_aligned(k);
    for (int i = id; i < BN * 4 * DSTEPS; i += ITEMS) {
        int row = i / (4 * DSTEPS), d = i % (4 * DSTEPS);
        uint2 t = (uint2)(0);
        if (row < n) t = load_four(k + ca_key_at(a, x, b, k0 + row, a->k_b, a->k_s), 4 * d, DQK, dim_stride, aligned);
        *(__local uint2 *)(to + row * KP + 2 * d) = t;
    }
}

/* The bits of those elements of a word that are not finite; is Y? */
INLINE uint odd_part(uint word)
{
    return ((word & ODD_BITS) == ODD_BITS ? 0xffff : 0) | ((word >> 16 & ODD_BITS) == ODD_BITS ? 0xffff0000 : 0);
}
INLINE int is_odd(float y) { return (as_int(y) & 0x7f800000) == 0x7f800000; }

/* V turned: four dims of two keys become four rows' words.  Eight neighbouring items have eight pairs of keys, whose words will be neighbours,
 * and the next ones read what lies behind: few banks are asked twice, and memory in order.  Are some not finite? */
INLINE int stage_values(__local uint *to, __global const ushort *v, const ca_args *a, const ca_optional *x, int b, int k0, int n, int dim_stride,
                        int id)
{
    int aligned = is_aligned(v), odd = 0;
    for (int i = id; i < BN / 2 * (DVR / 4); i += ITEMS) {
        int pair = i / (2 * DVR) * 8 + i % 8, d = i / 8 % (DVR / 4) * 4;
        uint2 even = (uint2)(0), next = (uint2)(0);
        if (2 * pair < n) even = load_four(v + ca_key_at(a, x, b, k0 + 2 * pair, a->v_b, a->v_s), d, DV, dim_stride, aligned);
        if (2 * pair + 1 < n) next = load_four(v + ca_key_at(a, x, b, k0 + 2 * pair + 1, a->v_b, a->v_s), d, DV, dim_stride, aligned);
        odd |= any((uint4)(odd_part(even.x), odd_part(even.y), odd_part(next.x), odd_part(next.y)) != 0);
        __local uint *at = to + d * VP + pair;
        at[0] = (even.x & 0xffff) | next.x << 16;
        at[VP] = even.x >> 16 | (next.x & 0xffff0000);
        at[2 * VP] = (even.y & 0xffff) | next.y << 16;
        at[3 * VP] = even.y >> 16 | (next.y & 0xffff0000);
    }
    return odd;
}

INLINE void put_weight(__local ushort *to, int i, float w)
{
#if STORAGE == 1
    vstore_half_rte(w * MAGNIFIED, i, (__local half *)to);
#else
    to[i] = bf16_bits(w);
#endif
}

/* The steps of the kernel, each for fragment C of this item, element E of it, or row R of those that it has elements of. */
#define ROW(r) (gy * FM + C_ROW(item, r))
#define FRAGMENT(c) (((c) * GX + gx) * FN)
#define KEY(c, e) (FRAGMENT(c) + C_COL(item, e))
#define LOAD_Q(d) q_kept[d] = frag_load_a(qs + gy * FM * KP + (d) * 8, KP, item);
#define CLEAR_O(c) o[c] = (frag_c)(0.f);
#define CLEAR_L(r) l[r] = 0.f;
#define NO_SCORE(c) s[c] = (frag_c)(0.f);
#define DOT(d, c) s[c] = frag_mma(qd, frag_load_b(ks + FRAGMENT(c) * KP + (d) * 8, KP, item), s[c], item TWIN);
#if KEEPQ
#define DOTS(d) { frag_a qd = q_kept[d]; EACH_AGAIN(SC, DOT, d) }
#else
#define DOTS(d) { frag_a qd = frag_load_a(qs + gy * FM * KP + (d) * 8, KP, item); EACH_AGAIN(SC, DOT, d) }
#endif
#define SCALE(c) s[c] *= scale;
#define MODIFY_AT(c, e) { \
    int i = min(q0 + ROW(SLOT(e)), seq.Nq - 1), j = min(k0 + KEY(c, e), seq.Nk - 1); \
    s[c].s##e = modified(&a, &optional, s[c].s##e, b, h, i, i + seq.p0, j, SOME_KEYS); \
}
#define MODIFY(c) AGAIN(C_COUNT, MODIFY_AT, c)
#define LIMIT(r) first_key[r] = lo[ROW(r)] - k0; end_key[r] = hi[ROW(r)] - k0;
#define HIDE_AT(c, e) if (KEY(c, e) < first_key[SLOT(e)] || KEY(c, e) >= end_key[SLOT(e)]) s[c].s##e = -INFINITY;
#define HIDE(c) AGAIN(C_COUNT, HIDE_AT, c)
#define NO_TOP(r) t[r] = -INFINITY;
#define TOP_AT(c, e) t[SLOT(e)] = fmax(t[SLOT(e)], s[c].s##e);
#define TOP(c) AGAIN(C_COUNT, TOP_AT, c)
#define MY_PART(r) red[ROW(r) * RP + gx * C_SHARES + C_SHARE(item)]
#define PUT_TOP(r) MY_PART(r) = t[r];
#define PUT_SUM(r) MY_PART(r) = l[r];
#define GET_TOP(r) t[r] = top[ROW(r)]; f[r] = factor[ROW(r)]; l[r] *= f[r];
#define WEIGH_AT(c, e) { \
    float w = guarded && s[c].s##e == -INFINITY ? ABSENT : weight(s[c].s##e, t[SLOT(e)]); \
    l[SLOT(e)] += w; /* this item's part of the row */ \
    put_weight((__local ushort *)ps, ROW(SLOT(e)) * 2 * VP + KEY(c, e), w); \
}
#define WEIGH(c) AGAIN(C_COUNT, WEIGH_AT, c)
#define SCALE_O_AT(c, e) o[c].s##e *= f[SLOT(e)];
#define SCALE_O(c) AGAIN(C_COUNT, SCALE_O_AT, c)
#define ADD(c) o[c] = frag_mma(p, frag_load_b(vs + FRAGMENT(c) * VP + 8 * n, VP, item), o[c], item TWIN);
#define GET_SEEN(r) p[r] = value_of((__local const ushort *)ps, ROW(r) * 2 * VP + j);
#define ADD_ODD_AT(c, e) { \
    float y = value_of((__local const ushort *)vs, KEY(c, e) * 2 * VP + j); \
    if (is_odd(y) && !is_absent(p[SLOT(e)])) o[c].s##e = fma(p[SLOT(e)], y, o[c].s##e); \
}
#define ADD_ODD(c) AGAIN(C_COUNT, ADD_ODD_AT, c)
#define GET_FACTOR(r) f[r] = factor[ROW(r)];
#define STORE_AT(c, e) \
    if (ROW(SLOT(e)) < nq && KEY(c, e) < DV) store_at(out + ROW(SLOT(e)) * a.o_s, KEY(c, e) * o_d, o[c].s##e * f[SLOT(e)]);
#define STORE(c) AGAIN(C_COUNT, STORE_AT, c)

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
#ifdef SUBGROUP
__attribute__((intel_reqd_sub_group_size(SUBGROUP)))
#endif
void attn_matrix(__global const stored *restrict q, __global const stored *restrict k,
                 __global const stored *restrict v, __global stored *restrict out,
                 __global float *restrict lse, OPTIONAL_PARAMS, ca_args a)
{
    const ca_optional optional = OPTIONAL;
    __local uint4 staged[STAGED / 4], weights[BM * VP / 4];
    __local float red[BM * RP], top[BM], factor[BM];
    __local int lo[BM], hi[BM], odd;
    __local uint *ks = (__local uint *)staged, *vs = ks + BN * KP, *qs = KEEPQ ? ks : ks + KV, *ps = (__local uint *)weights;
    int id = get_local_id(0), item = id % GANG, gx = id / GANG % GX, gy = id / (GANG * GX);
    int t0 = get_global_id(0) / ITEMS, bh = get_global_id(1), b = bh / a.Hq, h = bh - b * a.Hq, hk = h / a.group;
    int q_d = UNIT ? 1 : a.q_d, k_d = UNIT ? 1 : a.k_d, v_d = UNIT ? 1 : a.v_d, o_d = UNIT ? 1 : a.o_d;
#if !ENGINE
    __local uint4 twins[GX * GY * TWIN_WORDS / 4];
    __local uint *twin = (__local uint *)twins + id / GANG * TWIN_WORDS;
#endif

    /* Causal: late queries see more keys and go first. */
    if (a.right != CA_UNLIMITED) t0 = (RAGGED ? a.Tq / BM + a.B : (a.Nq + BM - 1) / BM) - 1 - t0;
    if (RAGGED) b = ca_seq_of_tile(&a, &optional, t0, BM, &t0);
    const ca_seq seq = ca_seq_of(&a, &optional, b);
    int q0 = t0 * BM, nq = min(BM, seq.Nq - q0), there = !RAGGED || (t0 >= 0 && nq > 0);
    if (!there) nq = 0; /* no return: PoCL 3.1 does not bear one before a barrier */
    q += a.q_0 + b * a.q_b + h * a.q_h + (long)(seq.q_row + q0) * a.q_s;
    k += ca_head_at(&a, &seq, b, hk, a.k_0, a.k_b, a.k_h, a.k_s);
    v += ca_head_at(&a, &seq, b, hk, a.v_0, a.v_b, a.v_h, a.v_s);
    out += a.o_0 + b * a.o_b + h * a.o_h + (long)(seq.q_row + q0) * a.o_s;

    /* The keys that some row sees, and those that all rows see. */
    long first = q0 + seq.p0, last = first + nq - 1;
    int begin = ca_key_lo(first, a.left, seq.Nk), end = there ? ca_key_hi(last, a.right, seq.Nk) : 0;
    int full_begin = ca_key_lo(last, a.left, seq.Nk), full_end = ca_key_hi(first, a.right, seq.Nk);
    for (int i = id; i < BM; i += ITEMS) {
        lo[i] = ca_key_lo(first + i, a.left, seq.Nk);
        hi[i] = ca_key_hi(first + i, a.right, seq.Nk);
        top[i] = LOWEST;
    }
    if (id == 0) odd = 0;

    float scale = a.scale, l[C_ROWS], t[C_ROWS], f[C_ROWS];
    frag_c o[OC];
    EACH(OC, CLEAR_O)
    REPEAT(C_ROWS, CLEAR_L)
    stage_queries(qs, q, &a, nq, q_d, id);
#if KEEPQ
    frag_a q_kept[DSTEPS];
    barrier(CLK_LOCAL_MEM_FENCE);
    EACH(DSTEPS, LOAD_Q)
#endif

    for (int k0 = begin; k0 < end; k0 += BN) {
        int nk = min(BN, end - k0), partial = k0 < full_begin || k0 + BN > full_end;
        int guarded = partial || SCORED; /* some score may be that of a key that is not there */
        frag_c s[SC];
        barrier(CLK_LOCAL_MEM_FENCE); /* Q, or P and the last tile, are used up */
        stage_keys(ks, k, &a, &optional, b, k0, nk, k_d, id);
        if (stage_values(vs, v, &a, &optional, b, k0, nk, v_d, id) && guarded) atomic_or(&odd, 1);
        barrier(CLK_LOCAL_MEM_FENCE);
        int some_odd = odd;
        EACH(SC, NO_SCORE)
        EACH(DSTEPS, DOTS)
        EACH(SC, SCALE)
        if (SCORED) {
            EACH(SC, MODIFY)
        }
        if (partial) {
            int first_key[C_ROWS], end_key[C_ROWS];
            REPEAT(C_ROWS, LIMIT)
            EACH(SC, HIDE)
        }
        REPEAT(C_ROWS, NO_TOP)
        EACH(SC, TOP)
        REPEAT(C_ROWS, PUT_TOP)
        barrier(CLK_LOCAL_MEM_FENCE);
        if (id == 0) odd = 0; /* all have seen it */
        for (int i = id; i < BM; i += ITEMS) { /* the parts of a row meet */
            float most = top[i];
            for (int n = 0; n < RP - 1; n++) most = fmax(most, red[i * RP + n]);
            factor[i] = weight(top[i], most);
            top[i] = most;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        REPEAT(C_ROWS, GET_TOP)
        EACH(SC, WEIGH)
        EACH(OC, SCALE_O)
        barrier(CLK_LOCAL_MEM_FENCE);
        if (guarded && some_odd) { /* 0 NaN is NaN: one by one, for rows that see them; what other rows get keeps its bits */
            LOOP for (int j = 0; j < BN; j++) {
                float p[C_ROWS];
                REPEAT(C_ROWS, GET_SEEN)
                EACH(OC, ADD_ODD)
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int i = id; i < DVR * (BN / 2); i += ITEMS) {
                __local uint *word = vs + i / (BN / 2) * VP + i % (BN / 2);
                *word &= ~odd_part(*word);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        LOOP for (int n = 0; n < BN / 16; n++) {
            frag_a p = frag_load_a(ps + gy * FM * VP + 8 * n, VP, item);
            EACH(OC, ADD)
        }
    }

    /* The parts of each row's sum meet; then out = o / l. */
    barrier(CLK_LOCAL_MEM_FENCE);
    REPEAT(C_ROWS, PUT_SUM)
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = id; i < BM; i += ITEMS) {
        float most = top[i], sum = 0.f;
        for (int n = 0; n < RP - 1; n++) sum += red[i * RP + n];
        float sunk = SINKS ? add_sink(optional.sinks[a.sinks_0 + h], &most, &sum) : 1.f;
        factor[i] = row_factor(&a, sum) * sunk * (1.f / MAGNIFIED);
        if (i < nq && a.has_lse) lse[a.lse_0 + b * a.lse_b + h * a.lse_h + seq.q_row + q0 + i] = row_lse(most, sum);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    REPEAT(C_ROWS, GET_FACTOR)
    EACH(OC, STORE)
}
