/* linrows.h -- the rows that a unit of linear attention (linear.h) works with: its scratch, queries and keys through the feature map, in
 * blocks where that makes pairs of dims, keys turned, and the steps' decays. */
struct lin {
    const ca_linear *A;
    const struct lin_io *X;
    int b, h, e0, ne, nv;          /* the state's batch row and head, its first column, how many, in vectors */
    int X_, C_, E_, P_;            /* lengths of rows in scratch, whose parts these are (linargs.h): */
    GLOBAL float *xq, *xk, *xt, *kT, *att, *mat, *u, *o, *a, *all, *rest, *beta, *e, *den, *ga, *decay, *wT;
    GLOBAL float *S, *z;           /* [F][E], [F] */
    struct rows k, v;              /* chunked: the chunk's keys, mapped; what is added to the state */
    GLOBAL float *in, *out;        /* recurrent: the caller's states, [F][V] from column e0 on; NULL: they pass through S */
};

#define PAIRED (HAS(map) == LIN_SQUARE || HAS(map) == LIN_TAYLOR2)

INLINE void take_scratch(struct lin *l, GLOBAL float *scratch)
{
    ca_lin_room r;
    ca_lin_layout(l->A, VL, &r);
    l->X_ = r.X, l->C_ = r.C, l->E_ = r.E, l->P_ = r.P;
    l->xq = scratch + r.at[LIN_XQ], l->xk = scratch + r.at[LIN_XK], l->xt = scratch + r.at[LIN_XT], l->kT = scratch + r.at[LIN_KT];
    l->att = scratch + r.at[LIN_ATT], l->mat = scratch + r.at[LIN_MAT], l->u = scratch + r.at[LIN_U_], l->o = scratch + r.at[LIN_O_];
    l->a = scratch + r.at[LIN_A], l->all = scratch + r.at[LIN_ALL], l->rest = scratch + r.at[LIN_REST], l->beta = scratch + r.at[LIN_BETA_];
    l->e = scratch + r.at[LIN_FADE], l->den = scratch + r.at[LIN_DEN], l->ga = scratch + r.at[LIN_GA], l->decay = scratch + r.at[LIN_DECAY];
    l->wT = scratch + r.at[LIN_WT];
}

/* ----------------------------------------------------------------- feature maps */

/* Rows t0 ... t0 + n - 1 of head h of q or k to x [n][X], mapped by what leaves as many numbers, and zeros behind: a row is one item's. */
LINEAR_APART void load_raw(const struct lin *l, int k, const ca_lin_strides *s, int h, ca_long t0, int n, GLOBAL float *x, int ld)
{
    const ca_linear *A = l->A;
    const int K = A->K;
    EACH_MINE(i, n) {
        GLOBAL float *row = x + i * ld;
        load_row(A, l->X, k, l->b * s->b + h * s->h + (t0 + i) * s->t, K, t0 + 2 * n <= A->T ? n * s->t : 0, row);
        if (HAS(l2norm)) {
            const vf by = SPLAT(SQRT(dot(row, row, K) + 1e-6f));
            for (int d = 0; d < K; d += VL) VSTORE(VLOAD(row + d) / by, row + d);
        }
        if (HAS(map) == LIN_SOFTMAX) {
            vf top = SPLAT(-CA_INFINITY), sum = SPLAT(0.f);
            float most[VL];
            for (int d = 0; d < K; d += VL) top = VMAX(top, VSEL(lanes_below(d, K), VLOAD(row + d), top));
            VSTORE(top, most);
            for (int n = 1; n < VL; n++) most[0] = most[n] > most[0] ? most[n] : most[0];
            for (int d = 0; d < K; d += VL) {
                const vf y = VSEL(lanes_below(d, K), exp_any(VLOAD(row + d) - SPLAT(most[0])), SPLAT(0.f));
                sum += y;
                VSTORE(y, row + d);
            }
            const vf inv = SPLAT(VSUM(sum));
            for (int d = 0; d < K; d += VL) VSTORE(VLOAD(row + d) / inv, row + d);
        } else if (HAS(map) == LIN_ELU1 || HAS(map) == LIN_EXP || HAS(map) == LIN_RELU) {
            for (int d = 0; d < K; d += VL) {
                vf y = VLOAD(row + d);
                const vf grown = HAS(map) == LIN_RELU ? SPLAT(0.f) : exp_any(y);
                y = HAS(map) == LIN_EXP ? grown : VSEL(y <= SPLAT(0.f), grown, HAS(map) == LIN_ELU1 ? y + SPLAT(1.f) : y);
                VSTORE(VSEL(lanes_below(d, K), y, SPLAT(0.f)), row + d);
            }
        }
    }
}

/* The rows as features, but for pairs, which stay as they are.  Ends in SYNC. */
LINEAR_APART void load_x(const struct lin *l, int k, const ca_lin_strides *s, int h, ca_long t0, int n, GLOBAL float *x)
{
    const ca_linear *A = l->A;
    const int K = A->K;
    if (HAS(map) == LIN_COS) { /* relu(x) times the cosine, then times the sine */
        load_raw(l, k, s, h, t0, n, l->xt, l->P_);
        EACH_MINE(i, n) {
            const float angle = 1.57079632679f * (float)(t0 + i) / A->max_len, c = COSINE(angle), w = SINE(angle);
            GLOBAL float *row = x + i * l->X_;
            for (int d = 0; d < K; d += VL) {
                const vf y = VLOAD(l->xt + i * l->P_ + d), r = VSEL(y <= SPLAT(0.f), SPLAT(0.f), y);
                VSTORE(r * SPLAT(c), row + d);
            }
            for (int d = 0; d < K; d += VL) {
                const vf y = VLOAD(l->xt + i * l->P_ + d), r = VSEL(y <= SPLAT(0.f), SPLAT(0.f), y);
                put_lanes(row + K + d, r * SPLAT(w), l->X_ - K - d);
            }
        }
    } else if (HAS(map) == LIN_FAVOR) { /* e^(w.y - y.y / 2) / sqrt(M), y = K^(-1/4) x */
        const vf shrink = SPLAT(1.f / SQRT(SQRT((float)K)));
        load_raw(l, k, s, h, t0, n, l->xt, l->P_);
        EACH_MINE(i, n) {
            vf sum = SPLAT(0.f);
            for (int d = 0; d < K; d += VL) {
                const vf y = shrink * VLOAD(l->xt + i * l->P_ + d);
                sum = VFMA(y, y, sum);
                VSTORE(y, l->xt + i * l->P_ + d);
            }
            l->den[i] = 0.5f * VSUM(sum);
        }
        SYNC;
        const struct product p = { .c = x, .a = l->xt, .b = l->wT, .ldc = l->X_, .a_row = l->P_, .a_col = 1, .ldb = l->X_, .m = n,
                                   .nv = l->X_ / VL, .k = K, .by = 1.f };
        product(&p);
        SYNC;
        EACH_MINE(i, n) {
            for (int f = 0; f < l->X_; f += VL) {
                const vf y = exp_any(VLOAD(x + i * l->X_ + f) - SPLAT(l->den[i])) * SPLAT(A->rows);
                VSTORE(VSEL(lanes_below(f, A->F), y, SPLAT(0.f)), x + i * l->X_ + f);
            }
        }
    } else load_raw(l, k, s, h, t0, n, x, l->X_);
    SYNC;
}

/* Are the rows of tensor k, of DIMS numbers and STEP apart, f32 in whole vectors? */
INLINE int in_vectors(const ca_linear *A, int k, int dims, ca_long step) { return A->type[k] == TYPE_F32 && dims % VL == 0 && step < 1 << 20; }

/* load_x, or where nothing is to be made of them the rows where they lie.  (A struct that an inlined function returns Oclgrind cannot do.) */
INLINE void features_of(const struct lin *l, int k, const ca_lin_strides *s, int h, ca_long t0, int n, GLOBAL float *x, struct rows *to)
{
    const ca_linear *A = l->A;
    struct rows rows = { x, l->X_, 0, A->K };
    if (HAS(map) == LIN_IDENTITY && !HAS(l2norm) && in_vectors(A, k, A->K, s->t)) {
        rows.at = (GLOBAL const float *)l->X->t[k] + A->at[k] + l->b * s->b + h * s->h + t0 * s->t;
        rows.ld = (int)s->t;
        rows.n = t0 + 2 * n <= A->T ? n : 0;
    } else load_x(l, k, s, h, t0, n, x);
    *to = rows;
}

/* Features come in blocks: all of them, or of pairs about 256; FIRST and the return value count features. */
struct block { int first, count, a0; };
INLINE int next_block(const ca_linear *A, struct block *b)
{
    if (b->first + b->count >= A->F) return 0;
    b->first += b->count;
    if (!PAIRED) b->count = A->F;
    else if (HAS(map) == LIN_TAYLOR2 && b->first == 0) b->count = 1 + A->K;
    else {
        b->a0 = (b->first - (HAS(map) == LIN_TAYLOR2 ? 1 + A->K : 0)) / A->K;
        b->count = (A->K - b->a0 < ca_lin_block(A) ? A->K - b->a0 : ca_lin_block(A)) * A->K;
    }
    return 1;
}
#define FIRST_BLOCK { 0, 0, 0 }

/* That block of n rows x; pairs are made in TO [n][ld], where rows have room for VL more. */
LINEAR_APART void make_pairs(const struct lin *l, const struct block *b, struct rows x, int n, GLOBAL float *to, int ld)
{
    const ca_linear *A = l->A;
    const int K = A->K, linear = HAS(map) == LIN_TAYLOR2 && b->first == 0; /* 1, x */
    const float part = HAS(map) == LIN_TAYLOR2 ? 0.70710678118654752f : 1.f;
    EACH_MINE(i, n) {
        GLOBAL const float *row = x.at + i * x.ld;
        GLOBAL float *y = to + (ca_long)i * ld;
        if (linear) *y++ = 1.f;
        for (int a = 0; a < (linear ? 1 : b->count / K); a++) {
            const vf f = SPLAT(linear ? 1.f : part * row[b->a0 + a]);
            for (int d = 0; d < K; d += VL) VSTORE(f * VLOAD(row + d), y + d);
            y += K;
        }
    }
}

/* A score q.k of raw rows as that of their features. */
INLINE vf paired_score(const ca_linear *A, vf s)
{
    (void)A;
    return HAS(map) == LIN_SQUARE ? s * s : VFMA(SPLAT(0.5f) * s, s, s + SPLAT(1.f));
}

/* ----------------------------------------------------------------------- gates */

/* e^g, beta and e of n tokens. */
INLINE void load_gates(const struct lin *l, ca_long t0, int n)
{
    const ca_linear *A = l->A;
    (void)A; /* where nothing asks */
    if (HAS(delta))
        EACH_MINE(i, n) l->beta[i] = element(A, l->X, LIN_BETA, l->b * A->beta.b + l->h * A->beta.h + (t0 + i) * A->beta.t);
    EACH_MINE(v, l->C_ / VL) {
        float x[VL];
        for (int i = 0; i < VL; i++) {
            const int t = v * VL + i < n ? v * VL + i : n - 1;
            x[i] = HAS(gate) == LIN_BY_HEAD ? element(A, l->X, LIN_G, l->b * A->g.b + l->h * A->g.h + (t0 + t) * A->g.t) : 0.f;
        }
        vf g = VLOAD(x);
        if (HAS(ssd)) {
            const vf rate = exp_any(SPLAT(element(A, l->X, LIN_BETA, l->h)));
            VSTORE(g, l->beta + v * VL); /* dt */
            g = -rate * g;
        }
        VSTORE(exp_any(g), l->a + v * VL);
        VSTORE(SPLAT(1.f), l->rest + v * VL);
    }
    if (HAS(gate) == LIN_BY_DIM)
        EACH_MINE(i, n)
            for (int d = 0; d < A->K; d += VL)
                VSTORE(exp_any(lanes_of(A, l->X, LIN_G, l->b * A->g.b + l->h * A->g.h + (t0 + i) * A->g.t, d, A->K)), l->ga + i * l->X_ + d);
    SYNC;
    if (ITEM == 0) {
        float e = 1.f;
        for (int i = 0; i < n; i++) {
            if (HAS(bonus)) l->e[i] = e; /* the state is read before */
            e *= l->a[i];
            if (!HAS(bonus)) l->e[i] = e;
        }
        l->all[0] = e;
    }
    SYNC;
}

/* The keys turned; behind token n - 1 zeros. */
INLINE void turn_keys(const struct lin *l, int n)
{
    const int across = l->X_ / VL, down = l->C_ / VL;
    EACH_MINE(t, across * down) {
        const int f = t % across * VL, j = t / across * VL;
        vf x[VL];
        UNROLL for (int i = 0; i < VL; i++) x[i] = j + i < n ? VLOAD(l->k.at + (j + i) * l->k.ld + f) : SPLAT(0.f);
        transpose(x, VL);
        UNROLL for (int i = 0; i < VL; i++) VSTORE(x[i], l->kT + (f + i) * l->C_ + j);
    }
    SYNC;
}
