/* tiled.cl -- attention for GPUs.  One work-group owns BM = RM TY queries of one head; tiles of BN = RN TX keys
 * pass through local memory; each of the TX x TY work-items keeps a micro-tile of scores and of the output in
 * registers.
 *
 *                    K, chunks of DC dims       V, chunks of VC keys
 *                  +---- BN keys ----+        +----- DV dims -----+
 *              D   |                 |     BN |                   |
 *                  +-----------------+        +-------------------+
 *   Q +-- D --+    +-----------------+        +-------------------+
 *     |       | BM | s, P:  RM x RN  |        | o:  RM x 4 RD     |
 *     +-------+    +--- an item -----+        +------ an item ----+
 *
 *   item (x, y):   rows r TY + y,   keys c TX + x,   dims 4 (c TX + x) ... + 3
 *
 * Tiles that no row of the group sees are never visited, tiles that all rows see whole run no predicate.
 * OpenCL C 1.2; NDRange {query tiles TX, B Hq TY}, pieces with an offset allowed. */
#include "args.h"
#include "storage.h"
#include "score.h"
#include "softmax.h"
#include "dropout.h"
#include "repeat.h"

#define GLOBAL __global
#define INLINE static inline __attribute__((always_inline))
#define AS_FLOAT(bits) as_float(bits)
#include "elements.h"

#ifndef DQK
#define DQK 64    /* dims of q and k */
#endif
#ifndef DV
#define DV 64     /* dims of v and out */
#endif
#ifndef UNIT
#define UNIT 1    /* neighbours along the dims are neighbours in memory, in q, k, v and out */
#endif
#ifndef ALIGNED
#define ALIGNED 0 /* and rows, heads, batches are multiples of four elements apart */
#endif
#ifndef TX
#define TX 16     /* work-items of a group, a multiple of 4 */
#endif
#ifndef TY
#define TY 8
#endif
#ifndef RM
#define RM 4      /* queries of an item, a plain number up to 18 as are RN and RD */
#endif
#ifndef RN
#define RN 4      /* keys of an item */
#endif
#ifndef RD
#define RD 1      /* dims of an item, in float4: DV / 4 / TX, rounded up */
#endif
#ifndef DC
#define DC 32     /* dims of K in local memory at a time, a multiple of 4 */
#endif
#ifndef VC
#define VC 32     /* keys of V in local memory at a time, a multiple of 4 */
#endif
#ifndef KEEPQ
#define KEEPQ 1   /* all of Q stays in local memory; else it comes again, chunk by chunk, with each tile of K */
#endif
#ifndef AHEAD
#define AHEAD 0   /* float4 of the tile's next chunk that an item fetches while it works on one; 0: chunks come when they are wanted */
#endif
#ifndef SHUFFLE
#define SHUFFLE 0 /* how the TX items of a row, neighbours in a sub-group, exchange floats: 1 Intel's way, 2 NVIDIA's, 3 AMD's; 0: through local memory */
#endif

#define BM (RM * TY)
#define BN (RN * TX)
#define DQ4 ((DQK + 3) / 4)
#define DC4 (DC / 4 < DQ4 ? DC / 4 : DQ4)
/* Pitches in float4; odd ones keep rows on different banks. */
#define QP ((KEEPQ ? DQ4 : DC4) | 1)
#define KP (DC4 | 1)
#define VP (RD * TX)
#define PP (BN / 4 | 1)
#define RP (TX / 4 | 1)
#define KV (BN * KP > VC * VP ? BN * KP : VC * VP)
#define ITEMS (TX * TY)

#define LOOP _Pragma("unroll 1") /* unrolled, these loops take more registers than they save time */
#define ROW(r) ((r) * TY + y)

#if !SPECIAL
/* Four dims from dim D of a row; those from DIM on are 0. */
INLINE float4 load_dims(__global const stored *row, int d, int dim, int dim_stride, int aligned)
{
    float4 t = (float4)(0.f);
    if (UNIT && d + 4 <= dim) return ALIGNED && aligned ? load4_aligned(row, d) : load4_at(row, d);
    if (d < dim) t.x = load_at(row, d * dim_stride);
    if (d + 1 < dim) t.y = load_at(row, (d + 1) * dim_stride);
    if (d + 2 < dim) t.z = load_at(row, (d + 2) * dim_stride);
    if (d + 3 < dim) t.w = load_at(row, (d + 3) * dim_stride);
    return t;
}

/* Copies ROWS x WIDTH float4 from dim D0 on to local memory; what lies beyond row N or dim DIM becomes 0. */
INLINE void stage(__local float4 *to, int pitch, int rows, int width, __global const stored *from, int n,
                  int row_stride, int dim_stride, int d0, int dim, int id)
{
    int aligned = ((ulong)from & (4 * sizeof(stored) - 1)) == 0;
    for (int i = id; i < rows * width; i += ITEMS) {
        int row = i / width, d = i - row * width;
        float4 t = (float4)(0.f);
        if (row < n) t = load_dims(from + row * row_stride, d0 + 4 * d, dim, dim_stride, aligned);
        to[row * pitch + d] = t;
    }
}
#endif

/* The same of Q, the first row of which is query I0. */
INLINE void stage_queries(__local float4 *to, int pitch, int width, __global const stored *q, const ca_args *a, const ca_optional *x,
                          int i0, int n, int dim_stride, int d0, int id)
{
#if SPECIAL
    for (int i = id; i < BM * width; i += ITEMS) {
        int row = i / width, d = i - row * width;
        float4 t = (float4)(0.f);
        if (row < n) t = query_dims(a, x, q + row * a->q_s, i0 + row, d0 + 4 * d, DQK);
        to[row * pitch + d] = t;
    }
#else
    stage(to, pitch, BM, width, q, n, a->q_s, dim_stride, d0, DQK, id);
#endif
}

/* Keys K0 ... of K or V of KV head HK, likewise; only N of them are there. */
INLINE void stage_keys(__local float4 *to, int pitch, int rows, int width, __global const stored *from, const ca_args *a,
                       const ca_optional *x, int b, int hk, int is_k, int k0, int n, long page, int row_stride, int dim_stride, int d0,
                       int dim, int id)
{
#if SPECIAL
    for (int i = id; i < rows * width; i += ITEMS) {
        int row = i / width, d = i - row * width;
        float4 t = (float4)(0.f);
        if (row < n) t = is_k ? key_dims(a, x, from, b, hk, k0 + row, d0 + 4 * d, dim) : value_dims(a, x, from, b, hk, k0 + row, d0 + 4 * d, dim);
        to[row * pitch + d] = t;
    }
#elif PAGED
    for (int i = id; i < rows * width; i += ITEMS) {
        int row = i / width, d = i - row * width;
        float4 t = (float4)(0.f);
        if (row < n) t = load_dims(from + ca_key_at(a, x, b, k0 + row, page, row_stride), d0 + 4 * d, dim, dim_stride, 0);
        to[row * pitch + d] = t;
    }
#else
    stage(to, pitch, rows, width, from + (long)k0 * row_stride, n, row_stride, dim_stride, d0, dim, id);
#endif
}

/* Is one of the elements that this item staged not finite?  By the bits: some compilers take x * 0 for 0. */
INLINE int is_odd(float4 t) { return any((as_int4(t) & 0x7f800000) == 0x7f800000); }
INLINE int any_odd(__local const float4 *from, int count, int id)
{
    int odd = 0;
    for (int i = id; i < count; i += ITEMS) odd |= is_odd(from[i]);
    return odd;
}

#if AHEAD
/* Float4 number I of the rows of WIDTH that stage_keys would copy. */
INLINE float4 key_part(__global const stored *from, const ca_args *a, const ca_optional *x, int b, int hk, int is_k, int width, int k0, int n, int d0, int i)
{
    int row = i / width, d = d0 + 4 * (i - row * width);
    if (row >= n) return (float4)(0.f);
#if SPECIAL
    return is_k ? key_dims(a, x, from, b, hk, k0 + row, d, DQK) : value_dims(a, x, from, b, hk, k0 + row, d, DV);
#else
    int stride = is_k ? a->k_s : a->v_s, dim_stride = UNIT ? 1 : is_k ? a->k_d : a->v_d, aligned = ((ulong)from & (4 * sizeof(stored) - 1)) == 0;
    from += PAGED ? ca_key_at(a, x, b, k0 + row, is_k ? a->k_b : a->v_b, stride) : (long)k0 * stride + row * stride;
    return load_dims(from, d, is_k ? DQK : DV, dim_stride, !PAGED && aligned);
#endif
}
#endif

/* Does the mask let one of the keys through that this item looks at? */
INLINE int any_key(const ca_args *a, const ca_optional *x, int b, int h, int q0, int nq, int k0, int nk, int id)
{
    int any = 0, n = min(nk, a->mask_cols - k0), rows = a->mask_i ? nq : 1;
    __global const uchar *mask = ca_mask_row(a, x, b, h, q0);
    for (int e = id; e < rows * n; e += ITEMS) any |= mask[e / n * a->mask_i + (long)(k0 + e % n) * a->mask_j];
    return any;
}

/* A row's TX items, each with a part T of it: all get what OP makes of the parts. */
#if SHUFFLE
#if SHUFFLE == 1
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#define SHUFFLED(t, mask) intel_sub_group_shuffle_xor(t, mask)
#elif SHUFFLE == 2
INLINE float shuffled(float t, int mask)
{
    __asm__ volatile("shfl.sync.bfly.b32 %0, %0, %1, 0x1f, 0xffffffff;" : "+f"(t) : "r"(mask));
    return t;
}
#define SHUFFLED(t, mask) shuffled(t, mask)
#else
#define SHUFFLED(t, mask) as_float(__builtin_amdgcn_ds_swizzle(as_int(t), (mask) << 10 | 0x1f))
#endif
#define MEET_AT(t, OP, mask) if (TX > mask) t = OP(t, SHUFFLED(t, mask));
#define MEET(t, OP) MEET_AT(t, OP, 1) MEET_AT(t, OP, 2) MEET_AT(t, OP, 4) MEET_AT(t, OP, 8) MEET_AT(t, OP, 16)
#endif

/* The same through local memory, in two steps with a barrier between: what they leave for each other, and what is made of it. */
INLINE void row_part(__local float4 *red, int row, int x, float part)
{
    ((__local float *)red)[row * RP * 4 + x] = part;
}

INLINE float row_max(__local const float4 *red)
{
    float4 t = red[0];
    LOOP for (int i = 1; i < TX / 4; i++) t = fmax(t, red[i]);
    return fmax(fmax(t.x, t.y), fmax(t.z, t.w));
}

INLINE float row_sum(__local const float4 *red)
{
    float4 t = red[0];
    LOOP for (int i = 1; i < TX / 4; i++) t += red[i];
    return t.x + t.y + (t.z + t.w);
}

/* Dropout of the weights P of a row's BN keys, from weight number FIRST on, that share block T of random numbers. */
#define DROP_BLOCKS (BN / 4 + 1)
INLINE void drop_block(const ca_args *a, ca_ulong first, int t, __local float *p)
{
    ca_uint word[4];
    int at = 4 * t - (int)(first % 4);
    ca_philox_block(a->seed, a->drop_offset, first / 4 + t, word);
#define DROP(c) if (at + c >= 0 && at + c < BN && !is_absent(p[at + c]) && ca_drops(a, word[c])) p[at + c] = 0.f;
    REPEAT(4, DROP)
}

INLINE void store_dims(__global stored *row, int d, int dim_stride, float4 t)
{
    if (d < DV) store_at(row, d * dim_stride, t.x);
    if (d + 1 < DV) store_at(row, (d + 1) * dim_stride, t.y);
    if (d + 2 < DV) store_at(row, (d + 2) * dim_stride, t.z);
    if (d + 3 < DV) store_at(row, (d + 3) * dim_stride, t.w);
}

/* With AHEAD, chunks of K and V on their way: number N of an item's parts of the next one is fetched, and put into the other buffer. */
#define K_PART(d, i) key_part(k, &a, &optional, b, hk, 1, DC4, k0, nk, 4 * (d), i)
#define V_PART(j, i) key_part(v, &a, &optional, b, hk, 0, VP, k0 + (j), nk - (j), 0, i)
#define K_PLACE(i) (i) / DC4 * KP + (i) % DC4
#define FETCH_K(n) if (id + n * ITEMS < BN * DC4) next[n] = K_PART(d + DC4, id + n * ITEMS);
#define FETCH_V(n) if (id + n * ITEMS < VC * VP) next[n] = V_PART(later, id + n * ITEMS);
#define PUT_K(n) if (id + n * ITEMS < BN * DC4) (kv + KV - now)[K_PLACE(id + n * ITEMS)] = next[n];
#define PUT_V(n) if (id + n * ITEMS < VC * VP) { (kv + KV - now)[id + n * ITEMS] = next[n]; strange |= is_odd(next[n]); }

/* The steps of the kernel, each for one row R, key C or group of four dims C of this item. */
#define CLEAR_DIMS(r, c) o[r][c] = (float4)(0.f);
#define CLEAR(r) m[r] = LOWEST; l[r] = 0.f; AGAIN(RD, CLEAR_DIMS, r)
#define NO_SCORE_KEY(r, c) s[r][c] = 0.f;
#define NO_SCORE(r) AGAIN(RN, NO_SCORE_KEY, r)
#define LOAD_K(c) kd[c] = kv[now + (c * TX + x) * KP + i];
#define DOT_KEY(r, c) s[r][c] = dot_add(qd, kd[c], s[r][c]);
#define DOTS(r) { float4 qd = qs[ROW(r) * QP + (KEEPQ ? d : 0) + i]; AGAIN(RN, DOT_KEY, r) }
#define SCALE_KEY(r, c) s[r][c] *= scale;
#define SCALE(r) AGAIN(RN, SCALE_KEY, r)
#define MY_SCORE(r, c) ((__local float *)ps)[ROW(r) * PP * 4 + (c) * TX + x]
#define PUT_KEY(r, c) MY_SCORE(r, c) = s[r][c];
#define PUT(r) AGAIN(RN, PUT_KEY, r)
#define GET_KEY(r, c) s[r][c] = MY_SCORE(r, c);
#define GET(r) AGAIN(RN, GET_KEY, r)
#define HIDE_KEY(r, c) if (k0 + c * TX + x < first_key || k0 + c * TX + x >= end_key) s[r][c] = -INFINITY;
#define HIDE(r) { int first_key = lo[ROW(r)], end_key = hi[ROW(r)]; AGAIN(RN, HIDE_KEY, r) }
#define TOP_KEY(r, c) top = fmax(top, s[r][c]);
#if SHUFFLE
#define TOP(r) { float top = s[r][0]; AGAIN(RN, TOP_KEY, r) MEET(top, fmax) tops[r] = top; }
#define ROW_TOP(r) tops[r]
#define SUM(r) MEET(l[r], PLUS)
#define ROW_SUM(r) l[r]
#define PLUS(a, b) ((a) + (b))
#else
#define TOP(r) { float top = s[r][0]; AGAIN(RN, TOP_KEY, r) row_part(red, ROW(r), x, top); }
#define ROW_TOP(r) row_max(red + ROW(r) * RP)
#define SUM(r) row_part(red, ROW(r), x, l[r]);
#define ROW_SUM(r) row_sum(red + ROW(r) * RP)
#endif
#define WEIGH_KEY(r, c) \
    s[r][c] = guarded && s[r][c] == -INFINITY ? ABSENT : weight(s[r][c], top); \
    sum += s[r][c]; \
    MY_SCORE(r, c) = s[r][c];
#define WEIGH_DIMS(r, c) o[r][c] *= alpha;
#define WEIGH(r) { \
    float top = fmax(m[r], ROW_TOP(r)), alpha = weight(m[r], top), sum = 0.f; \
    m[r] = top; \
    AGAIN(RN, WEIGH_KEY, r) \
    AGAIN(RD, WEIGH_DIMS, r) \
    l[r] = fma(l[r], alpha, sum); /* this item's part of the row */ \
}
#define LOAD_P(r) p[r] = ps[ROW(r) * PP + (j + i) / 4];
#define PICK(part, r) w[r] = p[r].part;
#define ADD_ROW(c, r) o[r][c] = fma((float4)(w[r]), vd, o[r][c]);
#define ADD_DIMS(c) { float4 vd = kv[now + key * VP + c * TX + x]; AGAIN(RM, ADD_ROW, c) }
#define ADD(number, part) { int key = number; AGAIN(RM, PICK, part) REPEAT(RD, ADD_DIMS) }
#define ADD_SEEN_DIMS(r, c) o[r][c] = fma(p, kv[now + i * VP + c * TX + x], o[r][c]);
#define ADD_SEEN(r) { \
    float4 p = (float4)(((__local float *)ps)[ROW(r) * PP * 4 + j + i]); \
    if (!is_absent(p.x)) { AGAIN(RD, ADD_SEEN_DIMS, r) } \
}
#define FINISH_DIMS(r, c) store_dims(row, 4 * (c * TX + x), o_d, o[r][c] * f);
#define FINISH(r) if (ROW(r) < nq) { \
    float sum = ROW_SUM(r), sunk = SINKS ? add_sink(sinks[a.sinks_0 + h], &m[r], &sum) : 1.f; \
    float f = row_factor(&a, sum) * sunk; \
    __global stored *row = out + ROW(r) * o_s; \
    AGAIN(RD, FINISH_DIMS, r) \
    if (a.has_lse && x == 0) lse[a.lse_0 + b * a.lse_b + h * a.lse_h + seq.q_row + q0 + ROW(r)] = row_lse(m[r], sum); \
}

__kernel __attribute__((reqd_work_group_size(TX, TY, 1)))
#if SHUFFLE == 1
__attribute__((intel_reqd_sub_group_size(TX)))
#elif defined SUBGROUP
__attribute__((intel_reqd_sub_group_size(SUBGROUP)))
#endif
void attn_tiled(__global const stored *restrict q, __global const stored *restrict k,
                __global const stored *restrict v, __global stored *restrict out,
                __global float *restrict lse, OPTIONAL_PARAMS, ca_args a)
{
    const ca_optional optional = OPTIONAL;
    __local float4 qs[BM * QP], kv[AHEAD ? 2 * KV : KV], ps[BM * PP], red[SHUFFLE ? 1 : BM * RP];
    __local int lo[BM], hi[BM], odd[2], seen, class;
    int x = get_local_id(0), y = get_local_id(1), id = y * TX + x;
    int t = get_global_id(0) / TX, bh = get_global_id(1) / TY, b = bh / a.Hq, h = bh - b * a.Hq, hk = h / a.group;
    int q_s = a.q_s, k_s = a.k_s, v_s = a.v_s, o_s = a.o_s, now = 0; /* where in kv the chunk is that is worked on */
    int q_d = UNIT ? 1 : a.q_d, k_d = UNIT ? 1 : a.k_d, v_d = UNIT ? 1 : a.v_d, o_d = UNIT ? 1 : a.o_d;

    /* Causal: late queries see more keys and go first. */
    if (a.right != CA_UNLIMITED) t = (RAGGED ? a.Tq / BM + a.B : (a.Nq + BM - 1) / BM) - 1 - t;
    if (RAGGED) b = ca_seq_of_tile(&a, &optional, t, BM, &t);
    const ca_seq seq = ca_seq_of(&a, &optional, b);
    int q0 = t * BM, nq = min(BM, seq.Nq - q0), there = !RAGGED || (t >= 0 && nq > 0);
    if (!there) nq = 0; /* no return: PoCL 3.1 does not bear one before a barrier */
    q += a.q_0 + b * a.q_b + h * a.q_h + (long)(seq.q_row + q0) * q_s;
    k = kv_from(&a, k, ca_head_at(&a, &seq, b, hk, a.k_0, a.k_b, a.k_h, k_s));
    v = kv_from(&a, v, ca_head_at(&a, &seq, b, hk, a.v_0, a.v_b, a.v_h, v_s));
    out += a.o_0 + b * a.o_b + h * a.o_h + (long)(seq.q_row + q0) * o_s;

    /* The keys that some row sees, and those that all rows see. */
    long first = q0 + seq.p0, last = first + nq - 1;
    int begin = ca_key_lo(first, a.left, seq.Nk), end = there ? ca_key_hi(last, a.right, seq.Nk) : 0;
    int full_begin = ca_key_lo(last, a.left, seq.Nk), full_end = ca_key_hi(first, a.right, seq.Nk);
    for (int i = id; i < BM; i += ITEMS) {
        lo[i] = ca_key_lo(first + i, a.left, seq.Nk);
        hi[i] = ca_key_hi(first + i, a.right, seq.Nk);
    }

    float scale = a.scale, m[RM], l[RM];
    float4 o[RM][RD];
    REPEAT(RM, CLEAR)
    if (KEEPQ) stage_queries(qs, QP, DQ4, q, &a, &optional, q0, nq, q_d, 0, id);

    for (int k0 = begin; k0 < end; k0 += BN) {
        if (PATTERN) {
            k0 = ca_next_key(&a, &optional, b, h, q0, first, nq, k0);
            if (k0 >= end) break;
        }
        int nk = min(BN, end - k0), partial = k0 < full_begin || k0 + BN > full_end;
        int scored = SCORED;
        float s[RM][RN];
        if (CLASSED) {
            barrier(CLK_LOCAL_MEM_FENCE); /* the last tile's class is read */
            if (id == 0) class = ca_tile_class(&a, &optional, b, h, q0, first, nq, k0, nk);
            barrier(CLK_LOCAL_MEM_FENCE);
            if (class == NO_KEY) continue;
            if (class == ALL_KEYS) scored = MODIFIED || MASK;
        }
        int guarded = partial || scored; /* some score may be that of a key that is not there */
        if (MASK) { /* a tile of which the mask lets nothing through is left out */
            barrier(CLK_LOCAL_MEM_FENCE); /* the last tile's answer is read */
            if (id == 0) seen = 0;
            barrier(CLK_LOCAL_MEM_FENCE);
            if (any_key(&a, &optional, b, h, q0, nq, k0, nk, id)) atomic_or(&seen, 1);
            barrier(CLK_LOCAL_MEM_FENCE);
            if (!seen) continue;
        }
        REPEAT(RM, NO_SCORE)
        for (int d = 0; d < DQ4; d += DC4) {
            if (!AHEAD || d == 0) {
                barrier(CLK_LOCAL_MEM_FENCE); /* P and V, or the last chunk, are used up */
                if (id == 0) odd[0] = odd[1] = 0;
                if (!KEEPQ) stage_queries(qs, QP, DC4, q, &a, &optional, q0, nq, q_d, 4 * d, id);
                stage_keys(kv + now, KP, BN, DC4, k, &a, &optional, b, hk, 1, k0, nk, a.k_b, k_s, k_d, 4 * d, DQK, id);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
#if AHEAD
            float4 next[AHEAD];
            int more = d + DC4 < DQ4, later = 0, strange = 0;
            if (more) {
                REPEAT(AHEAD, FETCH_K)
            } else {
                REPEAT(AHEAD, FETCH_V)
            }
#endif
            LOOP for (int i = 0; i < min(DC4, DQ4 - d); i++) {
                float4 kd[RN];
                REPEAT(RN, LOAD_K)
                REPEAT(RM, DOTS)
            }
#if AHEAD
            if (more) {
                REPEAT(AHEAD, PUT_K)
            } else {
                REPEAT(AHEAD, PUT_V)
                if (guarded && strange) atomic_or(&odd[!now], 1);
            }
            now = KV - now;
#endif
        }
        REPEAT(RM, SCALE)
        if (scored) { /* one by one, from where P will be: all of a micro-tile at once is more than the registers hold */
            REPEAT(RM, PUT)
            LOOP for (int n = 0; n < RM * RN; n++) {
                int r = n / RN, c = n % RN, i = min(q0 + ROW(r), seq.Nq - 1), j = min(k0 + c * TX + x, seq.Nk - 1);
                MY_SCORE(r, c) = modified(&a, &optional, MY_SCORE(r, c), b, h, i, i + seq.p0, j, CLASSED ? class : SOME_KEYS);
            }
            REPEAT(RM, GET)
        }
        if (partial) {
            REPEAT(RM, HIDE)
        }
#if SHUFFLE
        float tops[RM];
#endif
        REPEAT(RM, TOP)
#if !SHUFFLE || !AHEAD
        barrier(CLK_LOCAL_MEM_FENCE); /* also: K is used up, where V will be */
#endif
        REPEAT(RM, WEIGH)
        if (DROPOUT) {
            barrier(CLK_LOCAL_MEM_FENCE); /* an item takes others' weights */
            LOOP for (int i = id; i < BM * DROP_BLOCKS; i += ITEMS) {
                int r = i / DROP_BLOCKS;
                drop_block(&a, ca_weight_number(&a, b, h, q0 + r, k0), i % DROP_BLOCKS, (__local float *)(ps + r * PP));
            }
        }

        for (int j = 0; j < BN; j += VC) {
            int n = min(VC, BN - j);
#if AHEAD
            float4 next[AHEAD];
            int later = j + VC, strange = 0;
            barrier(CLK_LOCAL_MEM_FENCE);
            if (later < BN) {
                REPEAT(AHEAD, FETCH_V)
            }
#else
            if (j > 0) barrier(CLK_LOCAL_MEM_FENCE);
            stage_keys(kv, VP, VC, VP, v, &a, &optional, b, hk, 0, k0 + j, nk - j, a.v_b, v_s, v_d, 0, DV, id);
            if (guarded && any_odd(kv, VC * VP, id)) atomic_or(&odd[0], 1);
            barrier(CLK_LOCAL_MEM_FENCE);
#endif
            if (guarded && odd[now > 0]) { /* a row takes only the keys that it sees */
                LOOP for (int i = 0; i < n; i++) {
                    REPEAT(RM, ADD_SEEN)
                }
            } else {
                LOOP for (int i = 0; i < n; i += 4) {
                    float4 p[RM];
                    float w[RM];
                    REPEAT(RM, LOAD_P)
                    ADD(i, x)
                    ADD(i + 1, y)
                    ADD(i + 2, z)
                    ADD(i + 3, w)
                }
            }
#if AHEAD
            if (later < BN) {
                REPEAT(AHEAD, PUT_V)
                if (guarded && strange) atomic_or(&odd[!now], 1);
            }
            now = KV - now;
#endif
        }
    }

    /* The parts of each row's sum meet; then out = o / l. */
    barrier(CLK_LOCAL_MEM_FENCE);
    REPEAT(RM, SUM)
    barrier(CLK_LOCAL_MEM_FENCE);
    REPEAT(RM, FINISH)
}
