/* linear.h -- linear attention: a state S [F][V] that each token updates and each query reads, in the lane dialect.
 *
 *     S = e^g S + k u^T,   u = v,  or of the delta rules  u = beta (v - (e^g S)^T k);    out = scale S^T q
 *
 * Lanes are columns of the state (and of v and out), which never meet: blocks of columns are units of work.
 *
 * Chunked form.  Let D_ij = e^(g_j+1 + ... + g_i), and e_i = e^(g_0 + ... + g_i) within the chunk.  Then
 *
 *     att = D (q k^T), j <= i                 [C][C]     a small masked attention
 *     (1 + beta D (k k^T), j < i) u = beta (v - e k S)   the delta rules' u by forward substitution
 *     out = e q S + att u                     [C][V]     what was before the chunk, and what is in it
 *     S = e_C S + (D_C k)^T u                 [F][V]
 *
 * five products of one kernel, `product`.  Decays are products of e^g over just the steps that they span, as in the recurrence: no
 * e^-(sum) that overflows and no difference of sums that cancels.  Per head a row of D is the row above times e^g_i; per key dim, where D
 * is a matrix for each f, the keys themselves, turned so that lanes are tokens, are multiplied by e^g_i[f] as i goes on.
 *
 * What is read of a matrix with j <= i is never a product with 0: a NaN of a later token does not come back to an earlier one.
 *
 * Recurrent form: each step reads and writes the state once, in the caller's memory where that is f32 in whole vectors.
 *
 * A unit is the work of a group of ITEMS work-items: they share out tiles, rows or columns of each step and meet in SYNC.  On CPUs a
 * group is one item, and on the host there is nothing but it.
 *
 * Needs: VL and dialect.h; MR rows and NV vectors of a product at once; ONE_TILE: and never fewer; ITEMS, ITEM, SYNC; HAS(what), which asks a field of ca_linear that
 * is constant where kernels are compiled for it.  X->t[k]: the tensors.
 */
#include "linproduct.h"
#include "linrows.h"

/* ---------------------------------------------------------------------- scores */

/* att [n][C], of rows x and all keys, becomes D att, where keys are asked for -beta D att; rest the last row of D.  A vector of columns
 * goes down its rows. */
INLINE void decay_scores(const struct lin *l, GLOBAL float *att, int n, int keys)
{
    const ca_linear *A = l->A;
    EACH_MINE(v, (n + VL - 1) / VL) {
        const vf lane = vcount((float)(v * VL));
        vf d = SPLAT(0.f);
        for (int i = v * VL; i < n; i++) {
            GLOBAL float *at = att + i * l->C_ + v * VL;
            vf x = VLOAD(at), before = d;
            if (PAIRED) x = paired_score(A, x);
            if (HAS(gate) == LIN_BY_HEAD) d = d * SPLAT(l->a[i]);
            d = VSEL(d < SPLAT(1.17549435e-38f), SPLAT(0.f), d);
            d = VSEL(lane == SPLAT((float)i), SPLAT(1.f), d);
            x = x * (HAS(bonus) ? before : d);
            VSTORE(keys ? SPLAT(-l->beta[i]) * x : x, at);
        }
        if (!keys) VSTORE(d, l->rest + v * VL);
    }
    SYNC;
}

/* By dim: the keys are multiplied as the tokens go on; in the end kT is D_C k.  Then xt = e x. */
INLINE void scores_by_dim(const struct lin *l, struct rows x, GLOBAL float *att, int n, int keys)
{
    const ca_linear *A = l->A;
    (void)A;
    turn_keys(l, n);
    EACH_MINE(v, (n + VL - 1) / VL) {
        for (int i = v * VL; i < n; i++) {
            const vi before = lanes_below(v * VL, i);
            GLOBAL const float *row = x.at + i * x.ld, *ga = l->ga + i * l->X_;
            vf acc[4] = { SPLAT(0.f), SPLAT(0.f), SPLAT(0.f), SPLAT(0.f) };
            for (int f = 0; f < l->X_; f += 4)
                UNROLL for (int c = 0; c < 4; c++) {
                    GLOBAL float *at = l->kT + (f + c) * l->C_ + v * VL;
                    const vf k = VLOAD(at), faded = VSEL(before, k * SPLAT(ga[f + c]), k);
                    VSTORE(faded, at);
                    acc[c] = VFMA(SPLAT(row[f + c]), HAS(bonus) ? k : faded, acc[c]);
                }
            const vf s = (acc[0] + acc[1]) + (acc[2] + acc[3]);
            VSTORE(keys ? SPLAT(-l->beta[i]) * s : s, att + i * l->C_ + v * VL);
        }
    }
    EACH_MINE(v, l->X_ / VL) {
        vf e = SPLAT(1.f);
        for (int i = 0; i < n; i++) {
            const vf a = VLOAD(l->ga + i * l->X_ + v * VL), y = VLOAD(x.at + i * x.ld + v * VL);
            if (!HAS(bonus)) e = e * a;
            VSTORE(y * e, l->xt + i * l->P_ + v * VL);
            if (HAS(bonus)) e = e * a;
        }
        VSTORE(e, l->decay + v * VL);
    }
    SYNC;
}

/* q.(u k) of row x and token i's key. */
INLINE float bonus_score(const struct lin *l, GLOBAL const float *x, GLOBAL const float *k)
{
    vf sum = SPLAT(0.f);
    for (int d = 0; d < l->A->K; d += VL)
        sum = VFMA(VLOAD(x + d) * lanes_of(l->A, l->X, LIN_U, (ca_long)l->h * l->A->K, d, l->A->K), VLOAD(k + d), sum);
    return VSUM(sum);
}

/* att = D (x k^T), of keys -beta D (x k^T). */
LINEAR_APART void scores(const struct lin *l, struct rows x, GLOBAL float *att, int n, int keys)
{
    const ca_linear *A = l->A;
    if (HAS(gate) == LIN_BY_DIM) scores_by_dim(l, x, att, n, keys);
    else {
        const struct product p = { .c = att, .a = x.at, .b = l->kT, .ldc = l->C_, .a_row = x.ld, .a_col = 1, .ldb = l->C_, .m = n,
                                   .nv = (n + VL - 1) / VL, .k = A->width, .by = 1.f, .ahead = x, .tail = TAIL_TO_DIAGONAL };
        product(&p);
        SYNC;
        if (HAS(gate) || PAIRED || HAS(bonus) || keys) decay_scores(l, att, n, keys);
    }
    if (HAS(bonus)) {
        EACH_MINE(i, n) att[i * l->C_ + i] = bonus_score(l, x.at + i * x.ld, l->k.at + i * l->k.ld);
        SYNC;
    }
}

/* --------------------------------------------------------------- with the state */

/* o = x S, of n rows; with DIVISOR den = x z. */
LINEAR_APART void through_state(const struct lin *l, struct rows x, int n, int divisor)
{
    const ca_linear *A = l->A;
    struct block b = FIRST_BLOCK;
    while (next_block(A, &b)) {
        const int made = PAIRED || HAS(gate) == LIN_BY_DIM;
        GLOBAL const float *rows = made ? l->xt : x.at;
        const int ld = made ? l->P_ : x.ld;
        if (PAIRED) {
            make_pairs(l, &b, x, n, l->xt, l->P_);
            SYNC;
        }
        const struct product p = { .c = l->o, .a = rows, .b = l->S + (ca_long)b.first * l->E_, .ldc = l->E_, .a_row = ld, .a_col = 1,
                                   .ldb = l->E_, .m = n, .nv = l->nv, .k = b.count, .keeps = b.first > 0, .old = { l->o, l->E_, 0, 0 }, .by = 1.f, .ahead = l->k };
        product(&p);
        if (divisor) EACH_MINE(i, n) l->den[i] = (b.first > 0 ? l->den[i] : 0.f) + dot(rows + i * ld, l->z + b.first, b.count);
        SYNC;
    }
}

/* S = e_C S + (D_C k)^T u, and so z. */
INLINE void update_state(const struct lin *l, int n)
{
    const ca_linear *A = l->A;
    struct block b = FIRST_BLOCK;
    struct rows u = l->v;
    if (HAS(gate) == LIN_BY_HEAD) {
        EACH_MINE(i, n) for (int c = 0; c < l->nv; c++)
            VSTORE(SPLAT(l->rest[i]) * VLOAD(u.at + i * u.ld + c * VL), l->u + i * l->E_ + c * VL);
        u.at = l->u, u.ld = l->E_;
        SYNC;
    }
    while (next_block(A, &b)) {
        if (PAIRED) {
            make_pairs(l, &b, l->k, n, l->xt, l->P_);
            SYNC;
        }
        const struct product p = { .c = l->S + (ca_long)b.first * l->E_, .a = PAIRED ? l->xt : l->kT, .b = u.at, .ldc = l->E_,
                                   .a_row = PAIRED ? 1 : l->C_, .a_col = PAIRED ? l->P_ : 1, .ldb = u.ld, .m = b.count, .nv = l->nv,
                                   .k = n, .keeps = HAS(gate) ? 2 : 1, .old = { l->S + (ca_long)b.first * l->E_, l->E_, 0, 0 }, .by = 1.f, .keep = HAS(gate) == LIN_BY_DIM ? l->decay : l->all,
                                   .keep_step = HAS(gate) == LIN_BY_DIM };
        product(&p);
        if (HAS(normalize) && HAS(gate) == LIN_BY_DIM)
            EACH_MINE(f, A->F) {
                vf sum = SPLAT(0.f);
                for (int j = 0; j < n; j += VL) sum += VLOAD(l->kT + f * l->C_ + j);
                l->z[f] = l->z[f] * l->decay[f] + VSUM(sum);
            }
        else if (HAS(normalize))
            EACH_MINE(v, (b.count + VL - 1) / VL) {
                GLOBAL const float *rows = PAIRED ? l->xt : l->k.at;
                vf z = VLOAD(l->z + b.first + v * VL) * SPLAT(HAS(gate) ? l->all[0] : 1.f);
                for (int j = 0; j < n; j++) z = VFMA(SPLAT(HAS(gate) ? l->rest[j] : 1.f), VLOAD(rows + j * (PAIRED ? l->P_ : l->k.ld) + v * VL), z);
                put_lanes(l->z + b.first + v * VL, z, b.count - v * VL);
            }
        SYNC;
    }
}

/* Values to u. */
INLINE void load_values(const struct lin *l, ca_long t0, int n)
{
    const ca_linear *A = l->A;
    EACH_MINE(i, n) {
        load_row(A, l->X, LIN_V, l->b * A->v.b + l->h * A->v.h + (t0 + i) * A->v.t + l->e0, l->ne, t0 + 2 * n <= A->T ? n * A->v.t : 0,
                 l->u + i * l->E_);
        for (int c = 0; HAS(ssd) && c < l->nv; c++) VSTORE(VLOAD(l->u + i * l->E_ + c * VL) * SPLAT(l->beta[i]), l->u + i * l->E_ + c * VL);
    }
}

/* The values of n tokens in u, or where they lie. */
INLINE void values_of(const struct lin *l, ca_long t0, int n, struct rows *to)
{
    const ca_linear *A = l->A;
    struct rows rows = { l->u, l->E_, 0, l->ne };
    if (!HAS(ssd) && in_vectors(A, LIN_V, A->V, A->v.t)) {
        rows.at = (GLOBAL const float *)l->X->t[LIN_V] + A->at[LIN_V] + l->b * A->v.b + l->h * A->v.h + t0 * A->v.t + l->e0;
        rows.ld = (int)A->v.t;
        rows.n = t0 + 2 * n <= A->T ? n : 0;
    } else load_values(l, t0, n);
    *to = rows;
}

INLINE ca_long lse_at(const struct lin *l, int h)
{
    return ((ca_long)l->b * l->A->H * l->A->group + h) * (l->A->T + l->A->late);
}

/* n rows of o, scaled and divided, to head h of out; of mamba2_ssd D x is added. */
LINEAR_APART void put_rows(const struct lin *l, int h, ca_long t0, int n, GLOBAL const float *o)
{
    const ca_linear *A = l->A;
    EACH_MINE(i, n) {
        const ca_long to = l->b * A->o.b + h * A->o.h + (t0 + i) * A->o.t + l->e0;
        const vf by = SPLAT(HAS(normalize) ? A->scale * l->den[i] + A->eps : 1.f), skip = SPLAT(HAS(ssd) ? element(A, l->X, LIN_U, l->h) : 0.f);
        for (int c = 0; c < l->nv; c++) {
            vf x = SPLAT(A->scale) * VLOAD(o + i * l->E_ + c * VL);
            if (HAS(normalize)) x = x / by;
            if (HAS(ssd) && is_given(A, LIN_U))
                x = VFMA(skip, lanes_of(A, l->X, LIN_V, l->b * A->v.b + l->h * A->v.h + (t0 + i) * A->v.t + l->e0, c * VL, l->ne), x);
            put(A, l->X, LIN_OUT, to + c * VL, x, l->ne - c * VL);
        }
        if (HAS(normalize) && is_given(A, LIN_LSE) && l->e0 == 0)
            store_as(l->X->t[LIN_LSE], A->type[LIN_LSE], A->at[LIN_LSE] + lse_at(l, h) + t0 + i, LOG(A->scale * l->den[i] + A->eps));
    }
    SYNC;
}

/* ----------------------------------------------------------------- chunked form */

INLINE void chunk(struct lin *l, ca_long t0, int n)
{
    const ca_linear *A = l->A;
    const int reads = A->pass != LIN_SUMS, writes = A->pass != LIN_OUTPUTS, inside = A->pass == LIN_STREAM;
    if (writes) {
        if (HAS(gate) || HAS(delta)) load_gates(l, t0, n);
        values_of(l, t0, n, &l->v);
        features_of(l, LIN_K, &A->k, l->h / A->share, t0, n, l->xk, &l->k);
        if (HAS(gate) != LIN_BY_DIM) turn_keys(l, n);
    }
    if (HAS(delta)) {
        scores(l, l->k, l->mat, n, 1);
        through_state(l, l->k, n, 0);
        EACH_MINE(i, n) for (int c = 0; c < l->nv; c++) {
            const vf seen = SPLAT(HAS(gate) == LIN_BY_HEAD ? l->e[i] : 1.f) * VLOAD(l->o + i * l->E_ + c * VL);
            VSTORE(SPLAT(l->beta[i]) * (VLOAD(l->v.at + i * l->v.ld + c * VL) - seen), l->u + i * l->E_ + c * VL);
        }
        const struct rows u = { l->u, l->E_, 0, 0 };
        l->v = u;
        SYNC;
        const struct product p = { .c = l->u, .a = l->mat, .b = l->u, .ldc = l->E_, .a_row = l->C_, .a_col = 1, .ldb = l->E_, .m = n,
                                   .nv = l->nv, .keeps = 1, .old = l->v, .by = 1.f, .tail = TAIL_SOLVE };
        product(&p);
        SYNC;
    }
    for (int g = 0; reads && g < A->group; g++) {
        const int h = l->h * A->group + g, there = inside && !HAS(normalize) && !HAS(ssd) && in_vectors(A, LIN_OUT, A->V, A->o.t);
        struct rows q;
        features_of(l, LIN_Q, &A->q, h / A->share, t0, n, l->xq, &q);
        if (inside) scores(l, q, l->att, n, 0);
        through_state(l, q, n, HAS(normalize));
        if (inside) {
            const int fades = HAS(gate) == LIN_BY_HEAD;
            struct product p = { .c = l->o, .a = l->att, .b = l->v.at, .ldc = l->E_, .a_row = l->C_, .a_col = 1, .ldb = l->v.ld, .m = n,
                                 .nv = l->nv, .keeps = fades ? 2 : 1, .old = { l->o, l->E_, 0, 0 }, .keep = l->e, .keep_step = 1, .by = 1.f,
                                 .ahead = l->v, .tail = TAIL_THROUGH };
            if (there) { /* into the tensor itself */
                p.c = (GLOBAL float *)l->X->t[LIN_OUT] + A->at[LIN_OUT] + l->b * A->o.b + h * A->o.h + t0 * A->o.t + l->e0;
                p.ldc = (int)A->o.t;
                p.by = A->scale;
            }
            product(&p);
            if (HAS(normalize)) EACH_MINE(i, n) {
                vf sum = SPLAT(0.f);
                for (int j = 0; j <= i; j += VL) sum += VSEL(lanes_below(j, i + 1), VLOAD(l->att + i * l->C_ + j), SPLAT(0.f));
                l->den[i] = (fades ? l->e[i] : 1.f) * l->den[i] + VSUM(sum);
            }
            SYNC;
        }
        if (!there) put_rows(l, h, t0, n, l->o);
    }
    if (writes) update_state(l, n);
}

/* --------------------------------------------------------------- recurrent form */

struct states { GLOBAL const float *from; GLOBAL float *to; int from_ld, to_ld; };

/* A row of columns in shapes of NV and 1 vectors: calls STEP(first, count). */
#define EACH_COLUMNS(l, STEP) do { \
        const int wide_ = (l)->nv / NV, across_ = wide_ + (l)->nv % NV; \
        EACH_MINE(x_, across_) { \
            if (x_ < wide_) STEP(x_ * NV, NV); \
            else STEP(wide_ * NV + x_ - wide_, 1); \
        } } while (0)

/* Of arrays of NV vectors the first COUNT, a constant where this is inlined: unrolled before, or GPU compilers leave the arrays in memory. */
#ifdef ROLLED
#define EACH_VECTOR(n, count) UNROLL for (int n = 0; n < (count); n++)
#else
#define EACH_VECTOR(n, count) UNROLL for (int n = 0; n < NV; n++) if (n < (count))
#endif

/* o_g = q_g S for the columns c ... c + nc vectors. */
INLINE void read_columns(const struct lin *l, int g, GLOBAL const float *S, int ld, int c, const int nc)
{
    vf o[NV];
    GLOBAL const float *q = l->xq + g * l->X_;
    EACH_VECTOR(n, nc) o[n] = SPLAT(0.f);
    for (int f = 0; f < l->A->F; f++) EACH_VECTOR(n, nc) o[n] = VFMA(SPLAT(q[f]), VLOAD(S + (ca_long)f * ld + (c + n) * VL), o[n]);
    EACH_VECTOR(n, nc) VSTORE(o[n], l->o + g * l->E_ + (c + n) * VL);
}

/* Row f of S is read for the first time: the row that is so many further on, of the next state at last, is asked for. */
#define AHEAD_OF(f, n) PREFETCH(S + (ca_long)((f) + 16) * s->from_ld + (n) * VL)

INLINE void step_columns(const struct lin *l, const struct states *s, int c, const int nc)
{
    const ca_linear *A = l->A;
    const int by_dim = HAS(gate) == LIN_BY_DIM, bonus = HAS(bonus), F = A->F;
    const float a = HAS(gate) == LIN_BY_HEAD ? l->a[0] : 1.f;
    GLOBAL const float *S = s->from + c * VL, *k = l->xk, *q = l->xq, *ga = l->ga;
    GLOBAL float *to = s->to + c * VL;
    vf u[NV], o[NV];
    EACH_VECTOR(n, nc) {
        u[n] = VLOAD(l->u + (c + n) * VL);
        o[n] = SPLAT(0.f);
    }
    if (HAS(delta)) {
        for (int f = 0; f < F; f++) {
            const vf x = SPLAT(by_dim ? ga[f] * k[f] : k[f]);
            EACH_VECTOR(n, nc) {
                AHEAD_OF(f, n);
                o[n] = VFMA(x, VLOAD(S + (ca_long)f * s->from_ld + n * VL), o[n]);
            }
        }
        EACH_VECTOR(n, nc) {
            u[n] = SPLAT(l->beta[0]) * (u[n] - SPLAT(a) * o[n]);
            o[n] = SPLAT(0.f);
        }
    }
    for (int g = 1; bonus && g < A->group; g++) read_columns(l, g, s->from, s->from_ld, c, nc);
    for (int f = 0; f < F; f++) {
        const vf fade = SPLAT(by_dim ? ga[f] : a), kf = SPLAT(k[f]), qf = SPLAT(q[f]);
        EACH_VECTOR(n, nc) {
            if (!HAS(delta)) AHEAD_OF(f, n);
            const vf old = VLOAD(S + (ca_long)f * s->from_ld + n * VL), x = VFMA(kf, u[n], HAS(gate) ? fade * old : old);
            o[n] = VFMA(qf, bonus ? old : x, o[n]);
            VSTORE(x, to + (ca_long)f * s->to_ld + n * VL);
        }
    }
    EACH_VECTOR(n, nc) VSTORE(o[n], l->o + (c + n) * VL);
    for (int g = 1; !bonus && g < A->group; g++) read_columns(l, g, s->to, s->to_ld, c, nc);
}

/* The row's features; pairs too. */
INLINE void load_features(const struct lin *l, int k, const ca_lin_strides *s, int h, ca_long t, GLOBAL float *x)
{
    const ca_linear *A = l->A;
    struct block b = FIRST_BLOCK;
    load_x(l, k, s, h, t, 1, PAIRED ? l->xt : x);
    const struct rows row = { l->xt, 0, 0, 0 };
    while (PAIRED && next_block(A, &b)) make_pairs(l, &b, row, 1, x + b.first, 0);
}

INLINE void steps(const struct lin *l)
{
    const ca_linear *A = l->A;
    struct states s = { l->S, l->S, l->E_, l->E_ };
    if (l->out) s.to = l->out, s.to_ld = A->V;
    if (A->from > 0) s.from = s.to, s.from_ld = s.to_ld;
    else if (l->in) s.from = l->in, s.from_ld = A->V;
    for (ca_long t = A->from; t < A->to; t++) {
        if (HAS(gate) || HAS(delta)) load_gates(l, t, 1);
        load_values(l, t, 1);
        load_features(l, LIN_K, &A->k, l->h / A->share, t, l->xk);
        for (int g = 0; g < A->group; g++) load_features(l, LIN_Q, &A->q, (l->h * A->group + g) / A->share, t, l->xq + g * l->X_);
        SYNC;
#define STEP(c, nc) step_columns(l, &s, c, nc)
        EACH_COLUMNS(l, STEP);
#undef STEP
        if (HAS(normalize)) {
            EACH_MINE(v, (A->F + VL - 1) / VL) {
                const vf fade = HAS(gate) == LIN_BY_DIM ? VLOAD(l->ga + v * VL) : SPLAT(HAS(gate) ? l->a[0] : 1.f);
                put_lanes(l->z + v * VL, VFMA(fade, VLOAD(l->z + v * VL), VLOAD(l->xk + v * VL)), A->F - v * VL);
            }
            SYNC;
        }
        SYNC;
        for (int g = 0; g < A->group; g++) {
            if (HAS(bonus)) {
                const vf score = SPLAT(bonus_score(l, l->xq + g * l->X_, l->xk));
                EACH_MINE(c, l->nv)
                    VSTORE(VFMA(score, VLOAD(l->u + c * VL), VLOAD(l->o + g * l->E_ + c * VL)), l->o + g * l->E_ + c * VL);
                SYNC;
            }
            if (HAS(normalize)) {
                if (ITEM == 0) l->den[0] = dot(l->xq + g * l->X_, l->z, A->F);
                SYNC;
            }
            put_rows(l, l->h * A->group + g, t, 1, l->o + g * l->E_);
        }
        s.from = s.to, s.from_ld = s.to_ld;
    }
}

/* ------------------------------------------------------------------------ a unit */

INLINE void begin_state(const struct lin *l)
{
    const ca_linear *A = l->A;
    const ca_long head = (ca_long)l->b * A->H + l->h;
    EACH_MINE(f, l->in ? 0 : A->F)
        for (int c = 0; c < l->nv; c++)
            VSTORE(is_given(A, LIN_STATE) ? lanes_of(A, l->X, LIN_STATE, (head * A->F + f) * A->V + l->e0, c * VL, l->ne) : SPLAT(0.f),
                   l->S + (ca_long)f * l->E_ + c * VL);
    EACH_MINE(v, (A->F + VL - 1) / VL)
        VSTORE(is_given(A, LIN_Z) ? lanes_of(A, l->X, LIN_Z, head * A->F, v * VL, A->F) : SPLAT(0.f), l->z + v * VL);
    SYNC;
}

INLINE void end_state(const struct lin *l)
{
    const ca_linear *A = l->A;
    const ca_long head = (ca_long)l->b * A->H + l->h;
    if (is_given(A, LIN_FINAL) && !l->out)
        EACH_MINE(f, A->F)
            for (int c = 0; c < l->nv; c++)
                put(A, l->X, LIN_FINAL, (head * A->F + f) * A->V + l->e0 + c * VL, VLOAD(l->S + (ca_long)f * l->E_ + c * VL), l->ne - c * VL);
    if (is_given(A, LIN_FINAL_Z) && l->e0 == 0)
        EACH_MINE(v, (A->F + VL - 1) / VL) put(A, l->X, LIN_FINAL_Z, head * A->F + v * VL, VLOAD(l->z + v * VL), A->F - v * VL);
}

/* The rows of out before the first: they have no key, and lie before what AT says. */
INLINE void put_late(const struct lin *l)
{
    const ca_linear *A = l->A;
    for (int g = 0; g < A->group; g++) {
        const int h = l->h * A->group + g;
        EACH_MINE(i, A->late) {
            for (int c = 0; c < l->nv; c++)
                put(A, l->X, LIN_OUT, l->b * A->o.b + h * A->o.h + (i - A->late) * A->o.t + l->e0 + c * VL, SPLAT(0.f), l->ne - c * VL);
            if (is_given(A, LIN_LSE) && l->e0 == 0)
                store_as(l->X->t[LIN_LSE], A->type[LIN_LSE], A->at[LIN_LSE] + lse_at(l, h) + i - A->late, -CA_INFINITY);
        }
    }
}

/* The unit's own memory of a state tensor, when steps can work in it. */
INLINE GLOBAL float *state_in_place(const struct lin *l, int k)
{
    const ca_linear *A = l->A;
    if (!HAS(recurrent) || A->T == 0 || A->type[k] != TYPE_F32 || A->V % VL != 0) return 0;
    return (GLOBAL float *)l->X->t[k] + A->at[k] + ((ca_long)l->b * A->H + l->h) * A->F * A->V + l->e0;
}

/* Unit UNIT, whose state is at STATE from one launch to the next. */
INLINE void linear_unit(const ca_linear *A, const struct lin_io *X, ca_long unit, GLOBAL float *state, GLOBAL float *scratch)
{
    struct lin l;
    l.A = A, l.X = X;
    take_scratch(&l, scratch);
    l.e0 = (int)(unit % A->vblocks) * A->vblock;
    l.h = (int)(unit / A->vblocks % A->H);
    l.b = (int)(unit / A->vblocks / A->H);
    l.ne = A->V - l.e0 < A->vblock ? A->V - l.e0 : A->vblock;
    l.nv = (l.ne + VL - 1) / VL;
    l.S = state, l.z = state + (ca_long)A->F * l.E_;
    l.in = state_in_place(&l, LIN_STATE), l.out = state_in_place(&l, LIN_FINAL);
    if (HAS(map) == LIN_FAVOR)
        EACH_MINE(d, A->K)
            for (int f = 0; f < l.X_; f++) l.wT[d * l.X_ + f] = f < A->F ? element(A, X, LIN_PROJECTION, (ca_long)f * A->K + d) : 0.f;
    if (A->from == 0 && A->pass != LIN_OUTPUTS) {
        begin_state(&l);
        put_late(&l);
    }
    SYNC;
    if (HAS(recurrent)) steps(&l);
    else for (ca_long t = A->from; t < A->to; t += A->chunk) chunk(&l, t, A->to - t < A->chunk ? (int)(A->to - t) : A->chunk);
    if (A->to == A->T && A->pass != LIN_OUTPUTS) end_state(&l);
}
