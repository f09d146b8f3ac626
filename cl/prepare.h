/* prepare.h -- what a pattern's words are made of before the attention, in the lane dialect (cl/pattern.h reads them):
 *
 *     draw      a row's list of random keys, or a block row's of random blocks
 *     bucket    LSH: the buckets of a query or a key
 *     sort      the keys of a round by their buckets
 *     mean      the mean key, or value, of a block
 *     choose    the bits of the blocks that a query takes
 *     list      the class of each block of a block mask
 *
 * A work-item does one row, the host some at once where they share what they are multiplied by.  WORDS are those of the pattern. */
#ifdef __OPENCL_C_VERSION__
#define AT_ONCE 1
#else
#define AT_ONCE (VL == 16 ? 4 : 2) /* registers for as many rows' sums */
#endif

/* COUNT numbers below N for row R, drawn one after the other, into LIST, sorted and filled up with CA_NO_MORE.  Those below TAKEN and
 * those from NEAR to NEAR_END are none of them. */
INLINE void draw_numbers(GLOBAL ca_int *list, int count, int n, ca_long r, ca_ulong seed, int taken, int near, int near_end)
{
    taken = ca_within(taken, 0, n);
    near = ca_within(near, taken, n);
    near_end = ca_within(near_end, near, n);
    int there = 0, rest = ca_least(n - taken - (near_end - near), count);
    for (ca_ulong t = 0; there < rest; t++) {
        ca_uint word = ca_philox_word(seed, 0, ((ca_ulong)r << 32) + t);
        int x = (int)((ca_ulong)(word >> 8) * (ca_ulong)n >> 24), place = ca_place(list, there, x);
        if (x < taken || (x >= near && x < near_end) || (place < there && list[place] == x)) continue;
        for (int e = there++; e > place; e--) list[e] = list[e - 1];
        list[place] = x;
    }
    for (; there < count; there++) list[there] = CA_NO_MORE;
}

/* Row N of CA_RANDOM, query by query, or of CA_BIGBIRD, block row by block row. */
INLINE void draw(const ca_args *A, const ca_optional *X, const ca_leaf *leaf, GLOBAL ca_int *words, int n)
{
    GLOBAL ca_int *at = words + leaf->at;
    if (leaf->type == CA_BIGBIRD) {
        draw_numbers(at + n * leaf->n[1], leaf->n[1], leaf->n[3], n, leaf->seed, leaf->n[2], n - 1, n + 2);
        return;
    }
    const int b = n / A->Nq, i = n % A->Nq;
    const ca_seq seq = ca_seq_of(A, X, b);
    const ca_long p = i + seq.p0;
    int keys = leaf->n[1] && p + 1 < seq.Nk ? p + 1 > 0 ? (int)p + 1 : 0 : seq.Nk;
    draw_numbers(at + (ca_long)n * leaf->n[0], leaf->n[0], keys, p, leaf->seed, 0, 0, 0);
}

/* The largest and the smallest number of each lane, and the first places where they were. */
struct extremes { vf high, low; vi high_at, low_at; };

/* Adds FEW vectors of x R from column C on, for ROWS rows that are STRIDE apart; R has HALF columns, whole vectors of them where WHOLE. */
INLINE void turn_lanes(GLOBAL const float *rotation, int half_, GLOBAL const stored *row, ca_long stride, int dim_stride, int D, int c, struct extremes *t,
                       const int few, const int whole, const int rows)
{
    vf sum[AT_ONCE][4];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int i = 0; i < few; i++) sum[r][i] = SPLAT(0.f);
    for (int d = 0; d < D; d++) {
        GLOBAL const float *columns = rotation + (ca_long)d * half_;
        vf turned[4];
        UNROLL for (int i = 0; i < few; i++) turned[i] = whole ? VLOAD(columns + c + i * VL) : load_floats(columns, c + i * VL, half_);
        UNROLL for (int r = 0; r < rows; r++) {
            const vf x = SPLAT(load_at(row, r * stride + (ca_long)d * dim_stride));
            UNROLL for (int i = 0; i < few; i++) sum[r][i] = VFMA(x, turned[i], sum[r][i]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++, t++) UNROLL for (int i = 0; i < few; i++) {
        const vf x = sum[r][i];
        const vi at = vcounti(c + i * VL), there = at < SPLATI(half_), more = there & (x > t->high), less = there & (x < t->low);
        t->high = VSEL(more, x, t->high);
        t->high_at = AS_VI(VSEL(more, AS_VF(at), AS_VF(t->high_at)));
        t->low = VSEL(less, x, t->low);
        t->low_at = AS_VI(VSEL(less, AS_VF(at), AS_VF(t->low_at)));
    }
}

/* Of lanes the first place of the largest number; X becomes that. */
INLINE int first_of(vf number, vi at, float *x)
{
    float numbers[VL], places[VL];
    int place = 0;
    VSTORE(number, numbers);
    VSTORE(AS_VF(at), places);
    *x = -CA_INFINITY;
    UNROLL for (int e = 0; e < VL; e++) {
        const int here = (int)AS_UINT(places[e]);
        if (numbers[e] > *x || (numbers[e] == *x && here < place)) {
            *x = numbers[e];
            place = here;
        }
    }
    return place;
}

/* The buckets of ROWS rows from ROW on: for each hash the place of the largest of x R and, behind those, of - x R. */
INLINE void bucket_rows(const ca_leaf *leaf, GLOBAL ca_int *words, GLOBAL ca_int *to, GLOBAL const stored *row, ca_long stride, int dim_stride, int D,
                        const int rows)
{
    const int rounds = leaf->n[0], half_ = leaf->n[3] / 2;
    for (int n = 0; n < rounds; n++) {
        GLOBAL const float *rotation = (GLOBAL const float *)(words + leaf->n[2]) + (ca_long)n * D * half_;
        struct extremes t[AT_ONCE];
        float most, least;
        int c = 0;
        UNROLL for (int r = 0; r < rows; r++) {
            t[r].high = SPLAT(-CA_INFINITY);
            t[r].low = SPLAT(CA_INFINITY);
            t[r].high_at = t[r].low_at = SPLATI(0);
        }
        for (; c + 4 * VL <= half_; c += 4 * VL) turn_lanes(rotation, half_, row, stride, dim_stride, D, c, t, 4, 1, rows);
        for (; c < half_; c += VL) turn_lanes(rotation, half_, row, stride, dim_stride, D, c, t, 1, 0, rows);
        for (int r = 0; r < rows; r++) {
            const int high = first_of(t[r].high, t[r].high_at, &most), low = first_of(-t[r].low, t[r].low_at, &least);
            to[(ca_long)r * rounds + n] = most >= least ? high : half_ + low;
        }
    }
}

/* Row N of the queries, [B][Hq][Nq], or of the keys, [B][Hkv][Nk]; or AT_ONCE rows of one head from there on, which lie in steps.  False: they do not. */
INLINE int bucket(const ca_args *A, const ca_optional *X, const ca_leaf *leaf, GLOBAL ca_int *words, GLOBAL const stored *from, int is_k, int D, int n,
                  const int count)
{
    const int heads = is_k ? A->Hkv : A->Hq, rows = is_k ? A->Nk : A->Nq, b = n / rows / heads, h = n / rows % heads, i = n % rows;
    const ca_seq seq = ca_seq_of(A, X, b);
    GLOBAL ca_int *to = words + (is_k ? leaf->n[1] : leaf->at) + (ca_long)n * leaf->n[0];
    if (count > 1 && (i + count > (is_k ? seq.Nk : seq.Nq) || (is_k && IS_ON(PAGED, A->page_size)))) return 0;
    if (i >= (is_k ? seq.Nk : seq.Nq)) return 1; /* it is not there */
    if (is_k) from += ca_head_at(A, &seq, b, h, A->k_0, A->k_b, A->k_h, A->k_s) + ca_key_at(A, X, b, i, A->k_b, A->k_s);
    else from += A->q_0 + b * A->q_b + h * A->q_h + (ca_long)(seq.q_row + i) * A->q_s;
    bucket_rows(leaf, words, to, from, is_k ? A->k_s : A->q_s, is_k ? A->k_d : A->q_d, D, count);
    return 1;
}

/* The keys of list N of [B][Hkv][rounds] by their buckets, and where each bucket begins. */
INLINE void sort(const ca_args *A, const ca_optional *X, const ca_leaf *leaf, GLOBAL ca_int *words, int n)
{
    const int rounds = leaf->n[0], buckets = leaf->n[3], list = n / rounds, keys = ca_seq_of(A, X, list / A->Hkv).Nk;
    GLOBAL const ca_int *bucket = words + leaf->n[1] + (ca_long)list * A->Nk * rounds + n % rounds;
    GLOBAL ca_int *to = words + leaf->n[4] + (ca_long)n * A->Nk, *begin = words + leaf->n[5] + (ca_long)n * (buckets + 1);
    for (int c = 0; c <= buckets; c++) begin[c] = 0;
    for (int j = 0; j < keys; j++) begin[bucket[(ca_long)j * rounds]]++;
    for (int c = 0, sum = 0; c <= buckets; c++) { sum += begin[c]; begin[c] = sum; } /* where each ends */
    for (int j = keys - 1; j >= 0; j--) to[--begin[bucket[(ca_long)j * rounds]]] = j;
}

/* The mean of the keys, or values, that there are of block N of [B][Hkv][blocks].  SUM and KEY are scratch for a row each. */
INLINE void mean(const ca_args *A, const ca_optional *X, const ca_leaf *leaf, GLOBAL ca_int *words, GLOBAL const stored *k, int is_k, int D, int n,
                 float *sum, float *key)
{
    const int block = leaf->n[0], blocks = (A->Nk - 1) / block + 1, b = n / blocks / A->Hkv, h = n / blocks % A->Hkv, first = n % blocks * block;
    const ca_seq seq = ca_seq_of(A, X, b);
    const int end = seq.Nk - first < block ? seq.Nk : first + block;
    GLOBAL float *to = (GLOBAL float *)(words + (is_k ? leaf->n[2] : leaf->at)) + (ca_long)n * D;
    k = kv_from(A, k, is_k ? ca_head_at(A, &seq, b, h, A->k_0, A->k_b, A->k_h, A->k_s) : ca_head_at(A, &seq, b, h, A->v_0, A->v_b, A->v_h, A->v_s));
    for (int d = 0; d < D; d += VL) VSTORE(SPLAT(0.f), sum + d);
    for (int j = first; j < end; j++) {
        if (is_k) key_row(A, X, key, k, b, h, j, D);
        else value_row(A, X, key, k, b, h, j, D);
        for (int d = 0; d < D; d += VL) VSTORE(VLOAD(sum + d) + VLOAD(key + d), sum + d);
    }
    for (int d = 0; d < D; d += VL) store_floats(VLOAD(sum + d) / SPLAT(end > first ? (float)(end - first) : 1.f), to, d, D);
}

/* Sets the bits of the COUNT best of N scores, of equal ones the first, then of the first that are -inf; SCORE is not the same after. */
INLINE void choose_best(GLOBAL float *score, int n, int count, GLOBAL ca_int *bits)
{
    float bit[VL];
    if (count <= 0) return;
    const int there = (int)ranked(score, n, NONE, 0, 0.f);
    for (int e = 0; e < VL; e++) bit[e] = (float)(1u << e);
    if (count < there) take_best(score, n, count);
    for (int c = 0; c < n; c += VL) /* a sum of bits is exact */
        bits[c / 32] |= (ca_int)((ca_uint)VSUM(VSEL(rank_lanes(scores_at(score, c, n)) > SPLATI(NONE), VLOAD(bit), SPLAT(0.f))) << c % 32);
    for (int c = 0, rest = count - there; rest > 0 && c < n; c++) {
        if (bits[c / 32] >> c % 32 & 1) continue;
        bits[c / 32] |= (ca_int)(1u << c % 32);
        rest--;
    }
}

/* The scores of END blocks, SCORE[blocks] a row, for ROWS rows QV, STRIDE vectors apart. */
INLINE void score_blocks(const ca_args *A, GLOBAL float *score, int blocks, GLOBAL const float *means, int end, int D, const vf *qv, int stride, const int rows)
{
    for (int c = 0; VL == 4 && c < end; c++) { /* on a GPU, whose compiler then unrolls this and keeps q in registers */
        UNROLL for (int r = 0; r < rows; r++) {
            vf sum = SPLAT(0.f);
            for (int d = 0; d < D; d += VL) sum = VFMA(qv[r * stride + d / VL], load_floats(means + (ca_long)c * D, d, D), sum);
            score[(ca_long)r * blocks + c] = VSUM(sum) * A->scale;
        }
    }
    const int few = rows > 1 ? 4 : EIGHT; /* as many blocks as there are registers for sums */
    for (int c = 0; VL > 4 && c < end; c += VL) {
        vf sums[AT_ONCE][VL];
        for (int first = 0; first < VL; first += few) {
            vf sum[AT_ONCE][EIGHT];
            UNROLL for (int r = 0; r < rows; r++) UNROLL for (int e = 0; e < few; e++) sum[r][e] = SPLAT(0.f);
            for (int d = 0; d < D; d += VL)
                UNROLL for (int e = 0; e < few; e++) {
                    const vf x = load_floats(means + (ca_long)ca_least(c + first + e, end - 1) * D, d, D);
                    UNROLL for (int r = 0; r < rows; r++) sum[r][e] = VFMA(qv[r * stride + d / VL], x, sum[r][e]);
                }
            UNROLL for (int r = 0; r < rows; r++) UNROLL for (int e = 0; e < few; e++) sums[r][first + e] = sum[r][e];
        }
        for (int r = 0; r < rows; r++) {
            float x[VL];
            VSTORE(decode_sums(sums[r]) * SPLAT(A->scale), x);
            UNROLL for (int e = 0; e < VL; e++)
                if (c + e < end) score[(ca_long)r * blocks + c + e] = x[e];
        }
    }
}

/* The blocks that query N of [B][Hq][Nq] takes; or AT_ONCE queries of one sequence's head from there on.  False: they are not.  QV is scratch for
 * COUNT rows, ROW for one. */
INLINE int choose(const ca_args *A, const ca_optional *X, const ca_leaf *leaf, GLOBAL ca_int *words, GLOBAL const stored *q, int D, int n,
                  vf *qv, float *row, const int count)
{
    const int block = leaf->n[0], blocks = ca_up(A->Nk, block), b = n / A->Nq / A->Hq, h = n / A->Nq % A->Hq, i = n % A->Nq, DC = WHOLE(D) / VL;
    const ca_seq seq = ca_seq_of(A, X, b);
    const int there = ca_up(seq.Nk, block), before = leaf->n[4] & 2;
    GLOBAL ca_int *bits = words + leaf->at + (ca_long)n * leaf->n[1];
    GLOBAL float *score = (GLOBAL float *)(words + leaf->n[5]) + (ca_long)(n % leaf->n[6]) * blocks; /* of as many rows as are computed at a time */
    GLOBAL const float *means = (GLOBAL const float *)(words + leaf->n[2]) + ((ca_long)b * A->Hkv + h / A->group) * blocks * D;
    if (count > 1 && i + count > seq.Nq) return 0;
    for (int e = 0; e < count * leaf->n[1]; e++) bits[e] = 0;
    if (i >= seq.Nq) return 1; /* it is not there */
    q += A->q_0 + b * A->q_b + h * A->q_h + (ca_long)(seq.q_row + i) * A->q_s;
    for (int r = 0; r < count; r++) decode_query(A, X, qv + r * DC, q + (ca_long)r * A->q_s, i + r, D, row);
    for (int r = count - 1; r >= 0; r--) { /* the last row looks at the most blocks: it has all scored */
        const int own = ca_div(ca_position(i + r + seq.p0), block), keeps = leaf->n[4] & 1 && own >= 0 && own < there;
        const int end = before ? ca_within(own, 0, there) : there;
        GLOBAL ca_int *take = bits + r * leaf->n[1];
        GLOBAL float *from = score + (ca_long)r * blocks;
        if (r == count - 1) score_blocks(A, score, blocks, means, end, D, qv, DC, count);
        if (keeps) {
            take[own / 32] |= (ca_int)(1u << own % 32);
            if (own < end) from[own] = -CA_INFINITY;
        }
        choose_best(from, end, leaf->n[3] - keeps, take);
    }
    return 1;
}

/* Row N of a block mask, from its lists, which lie behind it: kv_num_blocks, kv_indices and, perhaps, the same of the full blocks.  A block that is
 * full and partial is full; without a mask_mod to ask, all are. */
INLINE void list_blocks(const ca_optional *X, const ca_leaf *leaf, GLOBAL ca_int *words, int n)
{
    const int columns = leaf->n[1], rows = leaf->n[2];
    GLOBAL ca_byte *to = (GLOBAL ca_byte *)(words + leaf->at) + (ca_long)n * columns;
    GLOBAL const ca_int *counts = words + leaf->at + ((ca_long)rows * columns + 3) / 4;
    int class = ALL_KEYS;
    (void)X;
    if (IS_ON(MASK_MOD, X->mask_mod)) class = SOME_KEYS;
    for (int c = 0; c < columns; c++) to[c] = NO_KEY;
    for (int full = 0; full < (leaf->n[4] ? 2 : 1); full++) {
        const int most = leaf->n[3 + full], count = ca_within(counts[n], 0, most);
        GLOBAL const ca_int *list = counts + rows + (ca_long)n * most;
        for (int e = 0; e < count; e++)
            if (list[e] >= 0 && list[e] < columns) to[list[e]] = (ca_byte)(full ? ALL_KEYS : class);
        counts += rows + (ca_long)rows * most;
    }
}
