/* test_properties.c -- what must hold for attention whatever the numbers are, on every legal algorithm of the
 * environment's device; no reference result is needed (in the way of FFTW's verify). */
#include "property.h"

/* ------------------------------------------------------------------- weights */

/* Weights sum to 1: constant V comes out constant; a row without keys is 0 with lse -inf. */
static void constant_v(const struct shape *s, const char *algo, struct data *d)
{
    struct result r;
    fill(d->v, v_count(s), 1.5f);
    if (!solve(s, algo, d, &r)) return;
    bool right = true;
    for (size_t row = 0; row < shape_rows(s); row++)
        for (int e = 0; e < s->Dv; e++) {
            float x = r.out[row * (size_t)s->Dv + (size_t)e];
            right = right && (r.lse[row] == -INFINITY ? x == 0 : near(x, 1.5, tolerance(s) / 4));
        }
    expect(right, s, algo, "constant V does not come out constant");
    for (int i = 0; s->causal && i < s->Nq - s->Nk; i++)
        expect(r.lse[i] == -INFINITY, s, algo, "lse of a row without keys is not -inf");
    result_free(&r);
}

START_TEST(test_constant_v)
{
    struct shape s = base(_i), t = s;
    on_every_algo(s, constant_v);
    t.causal = 1, t.Nq = s.Nk, t.Nk = s.Nq; /* more queries than keys: the first rows see nothing */
    on_every_algo(t, constant_v);
    s.window = 1, s.left = 3, s.right = 2;
    on_every_algo(s, constant_v);
    finish();
}
END_TEST

/* V = identity: out is the weights themselves: exp(score - lse), zero exactly where masked. */
static void basis_v(const struct shape *s, const char *algo, struct data *d)
{
    struct result r;
    fill(d->v, v_count(s), 0);
    for (int m = 0; m < s->B * s->Hkv; m++)
        for (int j = 0; j < s->Nk; j++) d->v[(m * s->Nk + j) * s->Dv + j] = 1;
    if (!solve(s, algo, d, &r)) return;
    bool sums = true, signs = true, zeros = true, weights = true;
    for (int row = 0; row < (int)shape_rows(s); row++) {
        const float *w = r.out + row * s->Dv, *q = d->q + row * s->D;
        int i = row % s->Nq, kv = kv_head(s, (size_t)row);
        double sum = 0;
        for (int j = 0; j < s->Nk; j++) {
            const float *k = d->k + (kv * s->Nk + j) * s->D;
            double score = 0;
            for (int e = 0; e < s->D; e++) score += (double)q[e] * k[e];
            bool seen = j <= i + s->Nk - s->Nq;
            sum += w[j];
            signs = signs && w[j] >= 0;
            zeros = zeros && (seen || w[j] == 0);
            weights = weights && (!seen || near(w[j], exp(score * shape_scale(s) - r.lse[row]), tolerance(s)));
        }
        sums = sums && near(sum, 1, tolerance(s));
    }
    expect(sums, s, algo, "weights do not sum to 1");
    expect(signs, s, algo, "a weight is negative");
    expect(zeros, s, algo, "a masked key has weight");
    expect(weights, s, algo, "weights are not exp(score - lse)");
    result_free(&r);
}

START_TEST(test_basis_v)
{
    struct shape s = base(_i);
    s.Nk = s.Dv, s.causal = 1;
    s.Nq = s.Nk - 7;
    on_every_algo(s, basis_v);
    finish();
}
END_TEST

/* V = identity again, beside the same without dropout: gone are the weights that the definition names (oracle.h), on every device
 * and algorithm the same, and the others are scaled.  Where nothing is dropped, a seed changes no bit. */
static void dropped(const struct shape *s, const char *algo, struct data *d)
{
    struct shape none = *s, seedless = *s;
    struct result with = { 0 }, off = { 0 }, plain = { 0 };
    const struct oracle o = { .Nk = s->Nk, .dropout = s->dropout, .seed = s->seed, .drop_offset = s->drop_offset };
    none.dropout = seedless.dropout = 0, seedless.seed = seedless.drop_offset = 0;
    fill(d->v, v_count(s), 0);
    for (int m = 0; m < s->B * s->Hkv; m++)
        for (int j = 0; j < s->Nk; j++) d->v[(m * s->Nk + j) * s->Dv + j] = 1;
    if (!solve(s, algo, d, &with) || !solve(&none, algo, d, &off) || !solve(&seedless, algo, d, &plain)) goto done;
    bool same = true, scaled = true;
    for (size_t e = 0; e < shape_rows(s) * (size_t)s->Nk; e++) {
        size_t row = e / (size_t)s->Nk, j = e % (size_t)s->Nk, at = row * (size_t)s->Dv + j;
        double keep = oracle_keep(&o, row, (long)j);
        same = same && (with.out[at] == 0) == (keep == 0);
        scaled = scaled && near(with.out[at], plain.out[at] * keep, tolerance(s));
    }
    expect(same, s, algo, "other weights are dropped");
    expect(scaled, s, algo, "weights that are kept are not scaled by 1 / (1 - p)");
    expect(all_near(with.lse, plain.lse, shape_rows(s), 0x1p-19), s, algo, "dropout changes lse"); /* another kernel: another order */
    expect_same(s, algo, &off, &plain, "dropout of 0 changes the result");
done:
    result_free(&with);
    result_free(&off);
    result_free(&plain);
}

START_TEST(test_dropped)
{
    struct shape s = base(_i);
    s.dropout = 0.3, s.seed = 0xfedcba987654321, s.drop_offset = 0x123456789abcdef;
    s.Nk = s.Dv - 1; /* 63 or 39: rows begin anywhere in a block of random numbers */
    on_every_algo(s, dropped);
    s.Nk = s.Dv, s.Nq = 2; /* few queries, split's */
    on_every_algo(s, dropped);
    finish();
}
END_TEST

/* Elements have 64-bit numbers: of the second sequence of a ragged batch whose longest could be 2^30 by 2^30 - 1, row 1 is
 * numbered from 2^60 - 1 on, so that within it all words of a block's number change.  (split would make parts of 2^30 keys.) */
START_TEST(test_far_elements)
{
    enum { ROWS = 3, KEYS = 8 };
    static const char *const algos[] = { "host", "lanes", "tiled", "rows" };
    static const int32_t cu_q[] = { 0, 0, ROWS }, cu_k[] = { 0, 0, KEYS };
    float q[ROWS * KEYS] = { 0 }, k[KEYS * KEYS] = { 0 }, v[KEYS * KEYS] = { 0 }, out[ROWS * KEYS];
    const clattn_pointers p = { .size = sizeof p, .q = q, .k = k, .v = v, .out = out, .cu_seqlens_q = cu_q, .cu_seqlens_k = cu_k };
    clattn_attention a;
    int ran = 0;
    for (int j = 0; j < KEYS; j++) v[j * KEYS + j] = 1;
    clattn_attention_init(&a);
    a.layout = CLATTN_THD, a.batch = 2, a.head_dim = KEYS;
    a.q_len = 1 << 30, a.kv_len = (1 << 30) - 1, a.q_total = ROWS, a.kv_total = KEYS;
    a.dropout_p = 0.5, a.seed = 5, a.offset = 6;
    const struct oracle o = { .Nk = a.kv_len, .dropout = 0.5, .seed = 5, .drop_offset = 6 };
    for (size_t n = 0; n < sizeof algos / sizeof *algos; n++) {
        const clattn_plan_options how = { .size = sizeof how, .algorithm = algos[n] };
        clattn_plan *plan = NULL;
        if (clattn_plan_create(attend_context(), &a, &how, &plan) == CLATTN_E_UNSUPPORTED) continue;
        ck_assert_msg(plan && clattn_execute_host(plan, &p) == CLATTN_OK, "%s: %s", algos[n], clattn_last_message());
        clattn_plan_destroy(plan);
        ran++;
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < KEYS; j++)
                ck_assert_msg((float)oracle_keep(&o, ((size_t)1 << 30) + (size_t)i, j) / KEYS == out[i * KEYS + j],
                              "%s: row %d, key %d: %g", algos[n], i, j, out[i * KEYS + j]);
    }
    ck_assert_msg(ran || attend_is_slow(), "no algorithm took it");
}
END_TEST

/* Out lies inside the hull of V, and is linear in V; a power of two passes through exactly. */
static void linear_in_v(const struct shape *s, const char *algo, struct data *d)
{
    size_t nv = v_count(s), no = out_count(s);
    float *v1 = malloc(nv * sizeof *v1), *v2 = malloc(nv * sizeof *v2);
    struct result r1 = { 0 }, r2 = { 0 }, sum = { 0 }, twice = { 0 };
    if (!v1 || !v2) goto done;
    make_eighths(v1, nv, 1);
    make_eighths(v2, nv, 2);
    memcpy(d->v, v1, nv * sizeof *v1);
    if (!solve(s, algo, d, &r1)) goto done;
    for (size_t e = 0; e < nv; e++) d->v[e] = -2 * v1[e];
    if (!solve(s, algo, d, &twice)) goto done;
    memcpy(d->v, v2, nv * sizeof *v2);
    if (!solve(s, algo, d, &r2)) goto done;
    for (size_t e = 0; e < nv; e++) d->v[e] = v1[e] - v2[e] / 2;
    if (!solve(s, algo, d, &sum)) goto done;
    bool hull = true, linear = true, exact = true;
    for (size_t e = 0; e < no; e++) {
        hull = hull && fabsf(r1.out[e]) <= 1.875f * (1 + 0x1p-20f);
        linear = linear && near(sum.out[e], r1.out[e] - r2.out[e] / 2, 2 * tolerance(s));
        exact = exact && (twice.out[e] == -2 * r1.out[e] || (s->dtype == CLATTN_F16 && fabsf(r1.out[e]) < 0x1p-13f));
    }
    expect(hull, s, algo, "out leaves the hull of V");
    expect(linear, s, algo, "not linear in V");
    expect(exact, s, algo, "-2 V does not give -2 out exactly");
done:
    free(v1);
    free(v2);
    result_free(&r1);
    result_free(&r2);
    result_free(&sum);
    result_free(&twice);
}

START_TEST(test_linear_in_v)
{
    struct shape s = base(_i);
    on_every_algo(s, linear_in_v);
    s.causal = 1;
    on_every_algo(s, linear_in_v);
    finish();
}
END_TEST

/* ------------------------------------------------------------------ symmetries */

static void swap_rows(float *x, int a, int b, int width)
{
    for (int e = 0; e < width; e++) {
        float t = x[a * width + e];
        x[a * width + e] = x[b * width + e];
        x[b * width + e] = t;
    }
}

/* The order of keys is of no account; the order of queries is the order of rows. */
static void permutations(const struct shape *s, const char *algo, struct data *d)
{
    struct result plain, keys = { 0 }, queries = { 0 };
    uint64_t seed = 3;
    if (!solve(s, algo, d, &plain)) return;
    for (int m = 0; m < s->B * s->Hkv; m++)
        for (int j = s->Nk - 1; j > 0; j--) {
            int other = draw_below(&seed, j + 1);
            swap_rows(d->k + m * s->Nk * s->D, j, other, s->D);
            swap_rows(d->v + m * s->Nk * s->Dv, j, other, s->Dv);
        }
    if (!solve(s, algo, d, &keys)) goto done;
    expect_close(s, algo, &keys, &plain, "permuting the keys changes the result");
    for (int m = 0; m < s->B * s->Hq; m++)
        for (int i = 0; i < s->Nq / 2; i++) swap_rows(d->q + m * s->Nq * s->D, i, s->Nq - 1 - i, s->D);
    if (!solve(s, algo, d, &queries)) goto done;
    for (int m = 0; m < s->B * s->Hq; m++)
        for (int i = 0; i < s->Nq / 2; i++) {
            swap_rows(queries.out + m * s->Nq * s->Dv, i, s->Nq - 1 - i, s->Dv);
            swap_rows(queries.lse + m * s->Nq, i, s->Nq - 1 - i, 1);
        }
    expect_close(s, algo, &queries, &keys, "permuting the queries does not permute the rows");
done:
    result_free(&plain);
    result_free(&keys);
    result_free(&queries);
}

START_TEST(test_permutations)
{
    on_every_algo(base(_i), permutations);
    finish();
}
END_TEST

/* The same vector added to all keys moves every score of a row alike: out stays, lse moves along. */
static void shifted_keys(const struct shape *s, const char *algo, struct data *d)
{
    struct result plain, moved = { 0 };
    float *c = malloc((size_t)s->D * sizeof *c);
    make_eighths(d->q, shape_rows(s) * (size_t)s->D, 4);
    make_eighths(d->k, k_count(s), 5);
    if (!c || !solve(s, algo, d, &plain)) goto done;
    make_eighths(c, (size_t)s->D, 6);
    for (size_t e = 0; e < k_count(s); e++) d->k[e] += c[e % (size_t)s->D];
    if (solve(s, algo, d, &moved)) {
        bool right = true;
        for (size_t row = 0; row < shape_rows(s); row++) {
            double by = 0;
            for (int e = 0; e < s->D; e++) by += (double)d->q[row * (size_t)s->D + (size_t)e] * c[e];
            right = right && near(moved.lse[row], plain.lse[row] + by * shape_scale(s), 0x1p-18);
        }
        expect(right, s, algo, "a shift of the keys does not shift lse");
        expect(all_near(moved.out, plain.out, out_count(s), 4 * tolerance(s)), s, algo,
               "a shift of the keys changes out");
    }
    result_free(&moved);
    result_free(&plain);
done:
    free(c);
}

START_TEST(test_shifted_keys)
{
    struct shape s = base(_i);
    on_every_algo(s, shifted_keys);
    s.causal = 1;
    on_every_algo(s, shifted_keys);
    finish();
}
END_TEST

/* ---------------------------------------------------------------- parts and whole */

/* The rows [from, to) of each of N matrices of ROWS rows. */
static float *cut_rows(const float *x, int n, int rows, int width, int from, int to)
{
    size_t each = (size_t)(to - from) * (size_t)width;
    float *y = malloc((size_t)n * each * sizeof *y + 4);
    for (int m = 0; y && m < n; m++)
        memcpy(y + (size_t)m * each, x + ((size_t)m * (size_t)rows + (size_t)from) * (size_t)width, each * sizeof *y);
    return y;
}

/* The problem on the keys [from, to) and the queries [0, rows). */
static bool solve_part(const struct shape *s, const char *algo, const struct data *d, int rows, int from, int to,
                       struct result *r)
{
    struct shape part = *s;
    struct data cut = { .q = cut_rows(d->q, s->B * s->Hq, s->Nq, s->D, 0, rows),
                        .k = cut_rows(d->k, s->B * s->Hkv, s->Nk, s->D, from, to),
                        .v = cut_rows(d->v, s->B * s->Hkv, s->Nk, s->Dv, from, to) };
    part.Nq = rows, part.Nk = to - from;
    bool ok = cut.q && cut.k && cut.v && solve(&part, algo, &cut, r);
    data_free(&cut);
    return ok;
}

/* Keys split by hand and merged by lse are the whole, also when a part is empty. */
static void split_and_merge(const struct shape *s, const char *algo, struct data *d)
{
    const int at[] = { 0, 1, s->Nk / 2 + 1, s->Nk - 1, s->Nk };
    struct result whole, a, b;
    if (!solve(s, algo, d, &whole)) return;
    for (size_t n = 0; n < sizeof at / sizeof *at; n++) {
        bool right = true;
        if (!solve_part(s, algo, d, s->Nq, 0, at[n], &a)) break;
        if (!solve_part(s, algo, d, s->Nq, at[n], s->Nk, &b)) {
            result_free(&a);
            break;
        }
        for (size_t row = 0; row < shape_rows(s); row++) {
            double m = fmax(a.lse[row], b.lse[row]), wa = exp(a.lse[row] - m), wb = exp(b.lse[row] - m);
            right = right && near(m + log(wa + wb), whole.lse[row], 0x1p-19);
            for (size_t e = row * (size_t)s->Dv; e < (row + 1) * (size_t)s->Dv; e++)
                right = right && near((wa * a.out[e] + wb * b.out[e]) / (wa + wb), whole.out[e], tolerance(s));
        }
        expect(right, s, algo, "two merged parts are not the whole");
        result_free(&a);
        result_free(&b);
    }
    result_free(&whole);
}

START_TEST(test_split_and_merge)
{
    on_every_algo(base(_i), split_and_merge);
    finish();
}
END_TEST

/* Causal from the top left: the first rows know nothing of what comes behind. */
static void causal_prefix(const struct shape *s, const char *algo, struct data *d)
{
    const int lengths[] = { 1, 2, s->Nq / 2 + 1, s->Nq - 1 };
    struct result whole, part;
    if (!solve(s, algo, d, &whole)) return;
    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
        int t = lengths[n];
        struct shape first = *s;
        first.Nq = t;
        struct result cut = { .out = cut_rows(whole.out, s->B * s->Hq, s->Nq, s->Dv, 0, t),
                              .lse = cut_rows(whole.lse, s->B * s->Hq, s->Nq, 1, 0, t) };
        if (cut.out && cut.lse && solve_part(s, algo, d, t, 0, t, &part)) {
            expect_close(&first, algo, &part, &cut, "a causal prefix differs from the shorter problem");
            result_free(&part);
        }
        result_free(&cut);
    }
    result_free(&whole);
}

START_TEST(test_causal_prefix)
{
    struct shape s = base(_i);
    s.causal = 1, s.align = CLATTN_TOP_LEFT, s.Nq = s.Nk;
    on_every_algo(s, causal_prefix);
    finish();
}
END_TEST

/* A batch is a loop of singles. */
static void batch_of_singles(const struct shape *s, const char *algo, struct data *d)
{
    struct shape one = *s;
    struct result all, r;
    one.B = 1;
    if (!solve(s, algo, d, &all)) return;
    for (int b = 0; b < s->B; b++) {
        struct data part = { .q = d->q + b * s->Hq * s->Nq * s->D, .k = d->k + b * s->Hkv * s->Nk * s->D,
                             .v = d->v + b * s->Hkv * s->Nk * s->Dv };
        struct result row = { .out = all.out + (size_t)b * out_count(&one), .lse = all.lse + (size_t)b * shape_rows(&one) };
        if (!solve(&one, algo, &part, &r)) break;
        expect_close(&one, algo, &r, &row, "a batch row differs from the single problem");
        result_free(&r);
    }
    result_free(&all);
}

START_TEST(test_batch_of_singles)
{
    struct shape s = base(_i);
    s.B = 3, s.causal = 1;
    on_every_algo(s, batch_of_singles);
    s.Nq = 1;
    on_every_algo(s, batch_of_singles);
    finish();
}
END_TEST

static float *repeat_heads(const float *x, const struct shape *s, int width)
{
    size_t each = (size_t)s->Nk * (size_t)width;
    int group = s->Hq / s->Hkv;
    float *y = malloc((size_t)(s->B * s->Hq) * each * sizeof *y);
    for (int h = 0; y && h < s->B * s->Hq; h++)
        memcpy(y + (size_t)h * each, x + (size_t)(h / group) * each, each * sizeof *y);
    return y;
}

/* Grouped queries are the same as repeated keys and values. */
static void repeated_heads(const struct shape *s, const char *algo, struct data *d)
{
    struct shape full = *s;
    struct result grouped, repeated;
    struct data r = { .q = d->q, .k = repeat_heads(d->k, s, s->D), .v = repeat_heads(d->v, s, s->Dv) };
    full.Hkv = s->Hq;
    if (r.k && r.v && solve(s, algo, d, &grouped)) {
        if (solve(&full, algo, &r, &repeated)) {
            expect_close(s, algo, &grouped, &repeated, "grouped heads differ from repeated keys and values");
            result_free(&repeated);
        }
        result_free(&grouped);
    }
    free(r.k);
    free(r.v);
}

START_TEST(test_repeated_heads)
{
    struct shape s = base(_i);
    s.Hq = 6, s.causal = 1;
    on_every_algo(s, repeated_heads);
    s.Nq = 1;
    on_every_algo(s, repeated_heads);
    finish();
}
END_TEST

/* Memory layout is of no account. */
static void any_memory(const struct shape *s, const char *algo, struct data *d)
{
    struct shape t = *s;
    struct result packed, other;
    if (!solve(s, algo, d, &packed)) return;
    for (int m = PACKED + 1; m < MEMORIES; m++) {
        if (m == SHARED || (attend_is_slow() && m == TURNED)) continue;
        t.memory = (enum memory)m;
        if (!solve(&t, algo, d, &other)) break;
        expect_close(&t, algo, &other, &packed, "another memory layout gives another result");
        result_free(&other);
    }
    result_free(&packed);
}

START_TEST(test_any_memory)
{
    struct shape s = base(_i);
    s.causal = 1;
    on_every_algo(s, any_memory);
    finish();
}
END_TEST

/* A window that holds everything is no window; the last of causal queries sees all. */
static void wide_window(const struct shape *s, const char *algo, struct data *d)
{
    struct shape windowed = *s, causal = *s;
    struct result plain, other;
    if (!solve(s, algo, d, &plain)) return;
    windowed.window = 1, windowed.left = s->Nq + s->Nk, windowed.right = s->Nq + s->Nk;
    if (solve(&windowed, algo, d, &other)) {
        expect_same(s, algo, &other, &plain, "a window wider than everything changes bits");
        result_free(&other);
    }
    causal.causal = 1;
    if (s->Nq == 1 && solve(&causal, algo, d, &other)) {
        expect_close(s, algo, &other, &plain, "a single causal query at the end does not see everything");
        result_free(&other);
    }
    result_free(&plain);
}

START_TEST(test_wide_window)
{
    struct shape s = base(_i);
    on_every_algo(s, wide_window);
    s.Nq = 1;
    on_every_algo(s, wide_window);
    finish();
}
END_TEST

/* Batch row b of X [B][heads][rows][dim], its first KEPT rows. */
static float *row_alone(const float *x, int heads, int rows, int dim, int b, int kept)
{
    float *to = malloc((size_t)(heads * kept * dim + 1) * sizeof *to);
    for (int h = 0; to && h < heads; h++)
        memcpy(to + h * kept * dim, x + (b * heads + h) * rows * dim, (size_t)(kept * dim) * sizeof *to);
    return to;
}

/* With split_len the bits of a batch row's result do not depend on the others, or on the longest. */
static void alone(const struct shape *s, const char *algo, struct data *d)
{
    struct result all, r;
    if (!solve(s, algo, d, &all)) return;
    for (int b = 0; b < s->B; b++) {
        struct shape one = *s;
        int32_t len = s->lens[b], rows = s->Hq * s->Nq;
        one.B = 1, one.Nk = len, one.lens = &len;
        struct data part = { .q = row_alone(d->q, s->Hq, s->Nq, s->D, b, s->Nq), .k = row_alone(d->k, s->Hkv, s->Nk, s->D, b, len),
                             .v = row_alone(d->v, s->Hkv, s->Nk, s->Dv, b, len) };
        if (part.q && part.k && part.v && solve(&one, algo, &part, &r)) {
            expect(!memcmp(r.out, all.out + b * rows * s->Dv, (size_t)(rows * s->Dv) * sizeof(float)), &one, algo, "other bits alone than in a batch");
            expect(!memcmp(r.lse, all.lse + b * rows, (size_t)rows * sizeof(float)), &one, algo, "another lse alone than in a batch");
            result_free(&r);
        }
        data_free(&part);
    }
    result_free(&all);
}

START_TEST(test_alone)
{
    static const int32_t lens[] = { 300, 65, 129 };
    struct shape s = base(_i);
    s.B = 3, s.Hkv = 2, s.Hq = 6, s.Nq = 2, s.Nk = 300, s.lens = lens, s.split = 64;
    on_every_algo(s, alone);
    finish();
}
END_TEST

/* Shared keys are read once: from batch row 0 by what cuts the keys. */
static void read_once(const struct shape *s, const char *algo, struct data *d)
{
    struct result with, without;
    bool cuts = !strncmp(algo, "split", 5) || !strcmp(algo, "host");
    if (!cuts || !solve(s, algo, d, &with)) return;
    for (int m = s->Hkv; m < s->B * s->Hkv; m++)
        for (int e = 0; e < s->shared * s->D; e++) row_of(d->k, m, s->Nk, s->D, 0)[e] = row_of(d->v, m, s->Nk, s->D, 0)[e] = NAN;
    if (solve(s, algo, d, &without)) {
        expect_same(s, algo, &without, &with, "more than batch row 0's shared keys is read");
        result_free(&without);
    }
    result_free(&with);
}

START_TEST(test_read_once)
{
    struct shape s = base(_i);
    s.B = 9, s.Hkv = 2, s.Hq = 8, s.Nq = 1, s.Nk = 300, s.shared = 200; /* more rows than are done at once */
    on_every_algo(s, read_once);
    s.page = 20;
    on_every_algo(s, read_once);
    finish();
}
END_TEST

/* ------------------------------------------------------------------ patterns */

/* What lists every key is no pattern, whatever it is made of. */
static void everything(const struct shape *s, const char *algo, struct data *d)
{
    struct shape plain = *s;
    struct result dense, r;
    plain.pattern = NULL;
    if (!solve(s, algo, d, &r)) return;
    if (solve(&plain, NULL, d, &dense)) {
        expect_close(s, algo, &r, &dense, "a pattern of all keys is not dense");
        result_free(&dense);
    }
    result_free(&r);
}

START_TEST(test_everything)
{
    const struct shape usual = base(0);
    const struct oracle_pattern *const all[] = {
        LEAF(STRIDED, .stride = 1), LEAF(CHUNKED, .chunk = 1000), LEAF(TOP_K, .k = usual.Nk), LEAF(BIGBIRD, .block = 16, .random = 99),
        LEAF(RANDOM, .count = 1000), LEAF(UNION, .of = { LEAF(CSR, .degree = 4), LEAF(DILATED, .width = 1000) }),
        LEAF(INTERSECT, .of = { LEAF(SINK_WINDOW, .sinks = 1000), LEAF(LONGFORMER, .radius = 1000) }),
        LEAF(BLOCK_TOP_K, .block = 8, .count = 1000), LEAF(NEIGHBORHOOD, .axes = 1, .grid = { usual.Nk }, .kernel = { usual.Nk }),
    };
    for (size_t n = 0; n < (attend_is_host() ? sizeof all / sizeof *all : 2); n++) {
        struct shape s = usual;
        s.pattern = all[n];
        on_every_algo(s, everything);
    }
    finish();
}
END_TEST

/* The order of a union's parts is of no account, nor are parts that say nothing new. */
static const struct oracle_pattern *const equals[][4] = {
    { LEAF(UNION, .of = { LEAF(FIXED, .stride = 12, .summary = 1), LEAF(BLOCK_SPARSE, .block = 9), LEAF(RANDOM, .count = 5, .seed = 2) }),
      LEAF(UNION, .of = { LEAF(RANDOM, .count = 5, .seed = 2), LEAF(FIXED, .stride = 12, .summary = 1), LEAF(BLOCK_SPARSE, .block = 9) }),
      LEAF(UNION, .of = { LEAF(UNION, .of = { LEAF(BLOCK_SPARSE, .block = 9) }), LEAF(FIXED, .stride = 12, .summary = 1), LEAF(DILATED),
                          LEAF(RANDOM, .count = 5, .seed = 2) }) },
    { LEAF(INTERSECT, .of = { LEAF(CHUNKED, .chunk = 40), LEAF(STRIDED, .stride = 3), LEAF(STRIDED, .stride = 1) }),
      LEAF(INTERSECT, .of = { LEAF(STRIDED, .stride = 3), LEAF(CHUNKED, .chunk = 40) }),
      LEAF(UNION, .of = { LEAF(INTERSECT, .of = { LEAF(STRIDED, .stride = 3), LEAF(CHUNKED, .chunk = 40) }), LEAF(GLOBAL) }) },
    { LEAF(LONGFORMER, .radius = 9, .num_tokens = 2, .tokens = { 3, 100 }),
      LEAF(UNION, .of = { LEAF(GLOBAL, .num_tokens = 3, .tokens = { 100, 3, 100 }), LEAF(DILATED, .width = 10) }) },
};
static int pair;
static void equal_patterns(const struct shape *s, const char *algo, struct data *d)
{
    struct shape other = *s;
    struct result first, r;
    if (!solve(s, algo, d, &first)) return;
    for (int n = 1; equals[pair][n]; n++) {
        other.pattern = equals[pair][n];
        if (!solve(&other, algo, d, &r)) break;
        expect_close(&other, algo, &r, &first, "an equal pattern gives another result");
        result_free(&r);
    }
    result_free(&first);
}

START_TEST(test_equal_patterns)
{
    struct shape s = base(0);
    for (pair = 0; pair < (attend_is_host() ? (int)(sizeof equals / sizeof *equals) : 1); pair++) {
        s.causal = pair == 1, s.pattern = equals[pair][0];
        on_every_algo(s, equal_patterns);
    }
    finish();
}
END_TEST

/* A key and value that are NaN are nothing to queries that the pattern hides them from. */
static void hidden_nan(const struct shape *s, const char *algo, struct data *d)
{
    const int chunk = (int)s->pattern->chunk, key = s->Nk - 2;
    struct result before, after;
    bool same = true, seen = true;
    if (!solve(s, algo, d, &before)) return;
    for (int m = 0; m < s->B * s->Hkv; m++) {
        fill(row_of(d->k, m, s->Nk, s->D, key), (size_t)s->D, NAN);
        fill(row_of(d->v, m, s->Nk, s->Dv, key), (size_t)s->Dv, NAN);
    }
    if (solve(s, algo, d, &after)) {
        for (size_t e = 0; e < out_count(s); e++) {
            int p = (int)(e / (size_t)s->Dv % (size_t)s->Nq) + shape_offset(s, 0);
            if (p / chunk == key / chunk && (p >= key || !s->causal)) seen = seen && isnan(after.out[e]);
            else same = same && after.out[e] == before.out[e];
        }
        expect(same, s, algo, "NaN that a pattern hides leaks");
        expect(seen, s, algo, "NaN that a pattern shows is lost");
        result_free(&after);
    }
    result_free(&before);
}

START_TEST(test_hidden_nan)
{
    struct shape s = base(_i);
    s.pattern = LEAF(CHUNKED, .chunk = 10);
    on_every_algo(s, hidden_nan);
    s.causal = 1;
    if (attend_is_host()) on_every_algo(s, hidden_nan);
    finish();
}
END_TEST

/* Heads are nothing to a pattern that has no lists of its own for each. */
static void turned_heads(const struct shape *s, const char *algo, struct data *d)
{
    struct result plain, turned;
    if (!solve(s, algo, d, &plain)) return;
    for (int b = 0; b < s->B; b++)
        for (int h = 0; h < s->Hq / 2; h++) {
            int a = b * s->Hq + h, z = b * s->Hq + s->Hq - 1 - h;
            swap_rows(d->q, a, z, s->Nq * s->D);
            swap_rows(d->k, a, z, s->Nk * s->D);
            swap_rows(d->v, a, z, s->Nk * s->Dv);
            swap_rows(plain.out, a, z, s->Nq * s->Dv);
            swap_rows(plain.lse, a, z, s->Nq);
        }
    if (solve(s, algo, d, &turned)) {
        expect_close(s, algo, &turned, &plain, "permuting the heads does not permute the result");
        result_free(&turned);
    }
    result_free(&plain);
}

START_TEST(test_turned_heads)
{
    struct shape s = base(0);
    s.Hkv = s.Hq;
    s.pattern = LEAF(UNION, .of = { LEAF(RANDOM, .count = 7, .seed = 4), LEAF(BLOCK_SPARSE, .block = 6), LEAF(BLOCK_TOP_K, .block = 5, .count = 2) });
    on_every_algo(s, turned_heads);
    finish();
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        { "constant_v", test_constant_v, KINDS }, { "basis_v", test_basis_v, KINDS },
        { "dropped", test_dropped, KINDS }, { "far_elements", test_far_elements, 1 },
        { "linear_in_v", test_linear_in_v, KINDS }, { "permutations", test_permutations, KINDS },
        { "shifted_keys", test_shifted_keys, KINDS }, { "split_and_merge", test_split_and_merge, KINDS },
        { "causal_prefix", test_causal_prefix, KINDS }, { "batch_of_singles", test_batch_of_singles, KINDS },
        { "repeated_heads", test_repeated_heads, KINDS }, { "any_memory", test_any_memory, 1 },
        { "wide_window", test_wide_window, KINDS }, { "alone", test_alone, KINDS }, { "read_once", test_read_once, KINDS },
        { "everything", test_everything, 1 }, { "equal_patterns", test_equal_patterns, 1 }, { "hidden_nan", test_hidden_nan, KINDS },
        { "turned_heads", test_turned_heads, 1 },
        { NULL, NULL, 0 },
    };
    return run_tests("properties", tests);
}
