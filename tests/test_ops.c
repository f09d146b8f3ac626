/* test_ops.c -- the operations around attention on the environment's device, against their definitions in f64
 * (ops_plain.h); scene.h has the ways in which each is run, and the bound. */
#include <tgmath.h>
#include "base/normal.h"
#include "scene.h"
#define REAL double
#define NAME(x) x##_exact
#include "ops_plain.h"
#undef REAL
#undef NAME
#define REAL float
#define NAME(x) x##_plain
#include "ops_plain.h"

static const clattn_dtype types[] = { CLATTN_F32, CLATTN_F16, CLATTN_BF16 };
static const char *const type_names[] = { "f32", "f16", "bf16", "int32" };
static clattn_dtype other(int i) { return types[(i + 1) % 3]; } /* another type, for mixtures */

/* -------------------------------------------------------------------- softmax */

CALL(call_softmax)
{
    return s->k[1] ? clattn_log_softmax(ctx, t[0], s->k[0], t[1], l) : clattn_softmax(ctx, t[0], s->k[0], t[1], l);
}

static void softmax_on(clattn_dtype type, clattn_dtype to, int rank, const int64_t *shape, int axis, bool logarithm,
                       double deviation)
{
    struct scene s = { .call = call_softmax, .k = { axis, logarithm }, .in_place = 1 };
    struct arg *x = add(&s, 0, "x", type, false, rank, shape), *out = add(&s, 1, "out", to, true, rank, shape);
    int64_t n = 1, inner = 1;
    int from = axis < 0 && rank ? axis + rank : axis < 0 ? 0 : axis;
    for (int i = from; i < rank; i++) *(i == from ? &n : &inner) *= shape[i];
    size_t count = count_of(out);
    double *exact = numbers(count), *plain = numbers(count), *unit = numbers(count);
    snprintf(s.what, sizeof s.what, "%ssoftmax %s to %s, rank %d, rows of %d, %d apart, deviation %g",
             logarithm ? "log_" : "", type_names[type], type_names[to], rank, (int)n, (int)inner, deviation);
    draw(x, 1, 0, deviation);
    if (deviation > 10 && count > 3) x->v[1] = x->v[count / 2] = -INFINITY;
    if (deviation > 100 && count > 3) x->v[count - 1] = NAN;
    if (run(&s)) {
        int64_t outer = count > 0 ? (int64_t)count / (n * inner) : 0;
        softmax_exact(x->v, exact, outer, n, inner, logarithm);
        softmax_plain(x->v, plain, outer, n, inner, logarithm);
        for (size_t e = 0; e < count; e++) unit[e] = logarithm ? 1 + fabs(exact[e]) : exact[e];
        judge(&s, 1, exact, plain, unit);
    }
    free(exact), free(plain), free(unit);
    free_scene(&s);
}

START_TEST(test_softmax)
{
    clattn_dtype type = types[_i];
    int wide = small_or(80, 1000);
    for (int logarithm = 0; logarithm < 2; logarithm++) {
        softmax_on(type, type, SHAPE(5, 3, 7), -1, logarithm, 1);
        softmax_on(type, other(_i), SHAPE(3, wide), 1, logarithm, 4);     /* a row per group */
        if (attend_is_slow() && _i) continue;
        softmax_on(type, type, SHAPE(5, 3, 7), 0, logarithm, 1);
        softmax_on(type, type, SHAPE(5, 3, 7), 1, logarithm, 50);
        softmax_on(type, type, SHAPE(2, 17, 5), 1, logarithm, 1);
        softmax_on(type, type, SHAPE(2, 20, 70), 1, logarithm, 1);        /* a row per item */
        softmax_on(type, type, SHAPE(2, 3, 33), -1, logarithm, 200);      /* with -inf and NaN */
        softmax_on(type, type, SHAPE(9), 0, logarithm, 1);
        softmax_on(type, type, SHAPE(2, 0, 3), 1, logarithm, 1);
        softmax_on(type, type, SHAPE(2, 3, 0), 1, logarithm, 1);
        softmax_on(type, type, 0, NULL, -1, logarithm, 1);
    }
    finish();
}
END_TEST

/* ---------------------------------------------------------------------- norms */

enum { N_X, N_WEIGHT, N_BIAS, N_OUT, N_MEAN, N_INV };
CALL(call_norm)
{
    return s->k[1] ? clattn_layer_norm(ctx, t[N_X], t[N_WEIGHT], t[N_BIAS], s->k[0], s->eps, t[N_OUT], t[N_MEAN],
                                       t[N_INV], l)
                   : clattn_rms_norm(ctx, t[N_X], t[N_WEIGHT], t[N_BIAS], s->k[0], s->eps, t[N_OUT], t[N_INV], l);
}

enum { WEIGHTED = 1, STATISTICS = 2 };
static void norm_on(clattn_dtype type, clattn_dtype to, int rank, const int64_t *shape, int axis, bool layer, int with,
                    double mean, double deviation, double eps)
{
    struct scene s = { .call = call_norm, .k = { axis, layer }, .eps = eps, .in_place = N_OUT };
    int64_t rows = 1, n = 1, kept[8];
    int from = axis < 0 ? axis + rank : axis;
    for (int i = 0; i < rank; i++) {
        *(i < from ? &rows : &n) *= shape[i];
        kept[i] = i < from ? shape[i] : 1;
    }
    struct arg *x = add(&s, N_X, "x", type, false, rank, shape), *out = add(&s, N_OUT, "out", to, true, rank, shape);
    if (with & WEIGHTED) {
        draw(add(&s, N_WEIGHT, "weight", other((int)type), false, rank - from, shape + from), 2, 1, 0.5);
        draw(add(&s, N_BIAS, "bias", type, false, 1, shape + rank - 1), 3, 0, 0.5); /* repeats along the other axes */
    }
    if (with & STATISTICS && layer) add(&s, N_MEAN, "mean", CLATTN_F32, true, rank, kept);
    if (with & STATISTICS) add(&s, N_INV, "inv_std", CLATTN_F32, true, rank, kept);
    size_t count = count_of(out), nb = count_of(&s.a[N_BIAS]), nw = count_of(&s.a[N_WEIGHT]);
    double *e[3] = { numbers(count), numbers((size_t)rows), numbers((size_t)rows) };
    double *p[3] = { numbers(count), numbers((size_t)rows), numbers((size_t)rows) };
    double *unit[3] = { numbers(count), numbers((size_t)rows), numbers((size_t)rows) };
    snprintf(s.what, sizeof s.what, "%s_norm %s to %s, %d rows of %d, mean %g, deviation %g, eps %g",
             layer ? "layer" : "rms", type_names[type], type_names[to], (int)rows, (int)n, mean, deviation, eps);
    const double *w = s.a[N_WEIGHT].v, *b = s.a[N_BIAS].v;
    const int slot[3] = { N_OUT, N_MEAN, N_INV };
    double rho[3] = { 0 };
    for (uint64_t seed = 40; seed > 32; seed--) { /* the last ones are the library's */
        draw(x, seed, mean, deviation);
        norm_exact(x->v, w, (int64_t)nw, b, (int64_t)nb, rows, n, eps, layer, e[0], e[1], e[2]);
        norm_plain(x->v, w, (int64_t)nw, b, (int64_t)nb, rows, n, eps, layer, p[0], p[1], p[2]);
        for (size_t i = 0; i < count; i++) {
            size_t r = i / (size_t)n;
            unit[0][i] =
                (fabs(x->v[i]) + fabs(e[1][r])) * e[2][r] * (w ? fabs(w[i % nw]) : 1) + (b ? fabs(b[i % nb]) : 0);
        }
        for (int64_t r = 0; r < rows; r++) unit[1][r] = fabs(mean) + deviation, unit[2][r] = e[2][r];
        for (int i = 0; i < 3; i++) rho[i] = fmax(rho[i], rho_of(i ? (size_t)rows : count, e[i], p[i], unit[i]));
    }
    if (run(&s))
        for (int i = 0; i < 3; i++)
            if (s.a[slot[i]].name) judge_with(rho[i], &s, slot[i], e[i], unit[i]);
    for (int i = 0; i < 3; i++) free(e[i]), free(p[i]), free(unit[i]);
    free_scene(&s);
}

START_TEST(test_norm)
{
    clattn_dtype type = types[_i];
    int wide = small_or(80, 1000), both = WEIGHTED | STATISTICS;
    for (int layer = 0; layer < 2; layer++) {
        norm_on(type, type, SHAPE(7, 3, 5), -1, layer, both, 0.5, 1, 1e-5);
        norm_on(type, other(_i), SHAPE(5, wide), 1, layer, both, 0, 1, 1e-5);
        if (attend_is_slow() && _i) continue;
        norm_on(type, type, SHAPE(2, 3, 5), 0, layer, both, 0, 1, 0.1);
        norm_on(type, type, SHAPE(2, 3, 5, 7), 2, layer, WEIGHTED, 3, 1, 1e-6);
        norm_on(type, type, SHAPE(4, 100), -1, layer, STATISTICS, 100, 1, 1e-5); /* the mean cancels */
        norm_on(type, type, SHAPE(4, 100), -1, layer, 0, 0, 1, -0.25);
        norm_on(type, type, SHAPE(6), 0, layer, both, 0, 1, 1e-5);
        norm_on(type, type, SHAPE(3, 0), 1, layer, STATISTICS, 0, 1, 1e-5);
        norm_on(type, type, SHAPE(0, 3), 1, layer, both, 0, 1, 1e-5);
    }
    finish();
}
END_TEST

/* A power of two in x changes nothing but the statistics, be squares far beyond f32. */
START_TEST(test_norm_range)
{
    static const int powers[] = { 0, 100, -100, 60 };
    float first[2][40] = { { 0 } };
    for (int i = 0; i < 4; i++)
        for (int layer = 0; layer < 2; layer++) {
            struct scene s = { .call = call_norm, .k = { 1, layer }, .in_place = N_OUT };
            struct arg *x = add(&s, N_X, "x", CLATTN_F32, false, SHAPE(2, 20));
            struct arg *out = add(&s, N_OUT, "out", CLATTN_F32, true, SHAPE(2, 20));
            struct arg *inv = add(&s, N_INV, "inv_std", CLATTN_F32, true, SHAPE(2, 1));
            snprintf(s.what, sizeof s.what, "%s_norm of numbers near 2^%d", layer ? "layer" : "rms", powers[i]);
            draw(x, 5, 0.5, 1);
            for (int e = 0; e < 40; e++) x->v[e] = ldexp(x->v[e], powers[i]);
            if (run(&s)) {
                for (int e = 0; e < 40; e++) {
                    if (i == 0) first[layer][e] = (float)out->v[e];
                    else if (first[layer][e] != (float)out->v[e]) wrong("%s: differs from that near 1", s.what);
                }
                if (!(inv->v[0] > ldexp(0.1, -powers[i]) && inv->v[0] < ldexp(10, -powers[i])))
                    wrong("%s: inv_std is %g", s.what, inv->v[0]);
            }
            free_scene(&s);
        }
    finish();
}
END_TEST

/* ---------------------------------------------------------------- activations */

CALL(call_activate)
{
    return clattn_activate(ctx, (clattn_activation)s->k[0], t[0], t[1], l);
}

START_TEST(test_activations)
{
    static const double special[] = { 0, 1e4, -1e4, 6e4, -6e4, 88, -88, 1e-6, -1e-6, NAN, INFINITY };
    enum { COUNT = 130, SPECIAL = sizeof special / sizeof *special };
    for (int how = CLATTN_ACTIVATION_NONE; how <= CLATTN_ACTIVATION_GELU_TANH; how++) {
        struct scene s = { .call = call_activate, .k = { how }, .in_place = 1 };
        struct arg *x = add(&s, 0, "x", types[_i], false, SHAPE(2, COUNT / 2));
        add(&s, 1, "out", types[_i], true, SHAPE(2, COUNT / 2));
        double exact[COUNT], plain[COUNT], unit[COUNT];
        snprintf(s.what, sizeof s.what, "activation %d, %s", how, type_names[types[_i]]);
        draw(x, 6, 0, 3);
        for (int e = 0; e < SPECIAL; e++) x->v[3 * e] = rounded(types[_i], special[e]);
        if (run(&s)) {
            for (int e = 0; e < COUNT; e++) {
                exact[e] = activated_exact(x->v[e], how);
                plain[e] = activated_plain((float)x->v[e], how);
                unit[e] = isfinite(x->v[e]) ? fmin(fabs(x->v[e]), 10) : 1;
            }
            judge(&s, 1, exact, plain, unit);
        }
        free_scene(&s);
    }
    finish();
}
END_TEST

/* ----------------------------------------------------------------------- rope */

enum { R_X, R_COS, R_SIN, R_IDS, R_OUT };
CALL(call_rope)
{
    return clattn_rope(ctx, t[R_X], t[R_COS], t[R_SIN], t[R_IDS], s->k[0] ? CLATTN_BSHD : CLATTN_BHSD, s->k[1],
                       t[R_OUT], l);
}

static void make_rope(struct scene *s, clattn_dtype type, clattn_dtype tables, int64_t D, int64_t P, bool bshd,
                      bool interleaved, bool ids)
{
    enum { B = 2, H = 3, N = 5, ROWS = 9 };
    const int64_t x[4] = { B, bshd ? N : H, bshd ? H : N, D }, rows = ROWS;
    uint64_t seed = 7;
    *s = (struct scene){ .call = call_rope, .k = { bshd, interleaved }, .in_place = R_OUT };
    snprintf(s->what, sizeof s->what, "rope %s, tables %s, D %d, %d pairs%s%s%s", type_names[type], type_names[tables],
             (int)D, (int)P, bshd ? ", BSHD" : "", interleaved ? ", interleaved" : "", ids ? ", position_ids" : "");
    draw(add(s, R_X, "x", type, false, 4, x), 8, 0, 1);
    struct arg *c = add(s, R_COS, "cos", tables, false, SHAPE(rows, P)),
               *n = add(s, R_SIN, "sin", tables, false, SHAPE(rows, P));
    for (int64_t e = 0; e < rows * P; e++) {
        c->v[e] = rounded(tables, cos((double)e));
        n->v[e] = rounded(tables, sin((double)e));
    }
    add(s, R_OUT, "out", type, true, 4, x);
    if (!ids) return;
    struct arg *p = add(s, R_IDS, "position_ids", CLATTN_INT32, false, SHAPE(B, N));
    for (int e = 0; e < B * N; e++) p->v[e] = draw_below(&seed, ROWS);
}

static void rope_on(clattn_dtype type, clattn_dtype tables, int64_t D, int64_t P, bool bshd, bool interleaved, bool ids)
{
    struct scene s;
    make_rope(&s, type, tables, D, P, bshd, interleaved, ids);
    const double *x = s.a[R_X].v;
    size_t count = count_of(&s.a[R_OUT]);
    double *exact = numbers(count), *plain = numbers(count), *unit = numbers(count);
    if (run(&s)) {
        const double *c = s.a[R_COS].v, *n = s.a[R_SIN].v, *p = s.a[R_IDS].v;
        rope_exact(x, c, n, p, 2, 3, 5, D, P, bshd, interleaved, exact);
        rope_plain(x, c, n, p, 2, 3, 5, D, P, bshd, interleaved, plain);
        for (size_t e = 0; e < count; e++) unit[e] = 2; /* of numbers near 1 */
        judge(&s, R_OUT, exact, plain, unit);
    }
    free(exact), free(plain), free(unit);
    free_scene(&s);
}

START_TEST(test_rope)
{
    clattn_dtype type = types[_i];
    for (int form = 0; form < (attend_is_slow() && _i ? 1 : 8); form++) {
        bool bshd = form & 1, interleaved = form & 2, ids = form & 4;
        rope_on(type, CLATTN_F32, 8, 4, bshd, interleaved, ids);
        rope_on(type, other(_i), 7, 2, bshd, interleaved, ids); /* the rest is copied */
    }
    rope_on(type, type, 5, 0, false, false, true);
    finish();
}
END_TEST

/* In device memory nobody looks at positions before the kernel does: those outside of the tables give NaN. */
START_TEST(test_rope_outside)
{
    struct scene s;
    make_rope(&s, CLATTN_F32, CLATTN_F32, 6, 2, false, false, true);
    s.a[R_IDS].v[1] = 9;
    s.a[R_IDS].v[7] = -1;
    if (!attend_is_host()) {
        run_mem(&s, "in device memory");
        for (size_t e = 0; e < count_of(&s.a[R_OUT]); e++) {
            int n = (int)(e / 6 % 5), b = (int)(e / 90);
            bool outside = (b * 5 + n == 1 || b * 5 + n == 7) && e % 6 < 4;
            if (isnan(s.a[R_OUT].v[e]) != outside) wrong("%s: element %zu", s.what, e);
        }
    }
    free_scene(&s);
    finish();
}
END_TEST

/* --------------------------------------------------------------------- tables */

static clattn_rope_params rope; /* of the scene */
CALL(call_tables)
{
    (void)s;
    return clattn_rope_tables(ctx, &rope, t[0], t[1], t[2], l);
}

/* The frequencies by the definitions of the papers, in f64. */
static double frequency(int64_t i, int64_t dim, int64_t reached)
{
    double theta = rope.theta, f, original = (double)rope.original_max_position_embeddings;
    double factor = rope.factor > 0 ? rope.factor : (double)rope.max_position_embeddings / original;
    if (rope.type == CLATTN_ROPE_DYNAMIC) {
        double L = (double)rope.max_position_embeddings, n = fmax((double)reached, L);
        theta *= pow(factor * n / L - (factor - 1), (double)dim / ((double)dim - 2));
    }
    f = pow(theta, -2.0 * (double)i / (double)dim);
    double turns = original * f / (2 * M_PI); /* within the original length */
    switch (rope.type) {
    case CLATTN_ROPE_LINEAR: return f / factor;
    case CLATTN_ROPE_YARN: {
        double at = (double)dim / (2 * log(theta)), fast = at * log(original / (2 * M_PI * 32));
        double slow = at * log(original / (2 * M_PI)), low = fmax(floor(fast), 0),
               high = fmin(ceil(slow), (double)dim - 1);
        double keep = 1 - fmin(fmax(((double)i - low) / (high - low), 0), 1);
        return f * keep + f / factor * (1 - keep);
    }
    case CLATTN_ROPE_LLAMA3: {
        double smooth = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
        smooth = fmin(fmax(smooth, 0), 1);
        return (1 - smooth) * f / factor + smooth * f;
    }
    case CLATTN_ROPE_LONGROPE: return f / ((double)reached > original ? rope.long_factor : rope.short_factor)[i];
    default: return f;
    }
}

static void tables_on(int64_t dim, int64_t length, double attention)
{
    int64_t P = dim / 2;
    struct scene s = { .call = call_tables };
    struct arg *f = add(&s, 0, "inv_freq", CLATTN_F32, true, SHAPE(P)),
               *c = add(&s, 1, "cos", CLATTN_F32, true, SHAPE(length, P)),
               *n = add(&s, 2, "sin", CLATTN_F16, true, SHAPE(length, P));
    snprintf(s.what, sizeof s.what, "rope_tables type %d, dim %d, rows %d", (int)rope.type, (int)dim, (int)length);
    if (run(&s))
        for (int64_t e = 0; e < length * P; e++) {
            double exact = frequency(e % P, dim, rope.start + length), angle = (double)(rope.start + e / P) * exact;
            double room = 1e-6 * (1 + angle);
            if (!near(f->v[e % P] / exact, 1, 1e-6) || !(fabs(c->v[e] - attention * cos(angle)) < room) ||
                !(fabs(n->v[e] - attention * sin(angle)) < room + 0x1p-10))
                wrong("%s: element %d is %g, %.9g, %.9g; frequency should be %g, cosine %.9g", s.what, (int)e,
                      f->v[e % P], c->v[e], n->v[e], exact, attention * cos(angle));
        }
    free_scene(&s);
}

START_TEST(test_rope_tables)
{
    const double shorts[4] = { 1, 1.1, 1.2, 1.3 }, longs[4] = { 1, 2, 3, 4 };
    clattn_rope_params_init(&rope);
    rope.dim = 8, rope.theta = 1e4, rope.factor = 4, rope.original_max_position_embeddings = 64;
    rope.max_position_embeddings = 256, rope.low_freq_factor = 1, rope.high_freq_factor = 4;
    rope.short_factor = shorts, rope.long_factor = longs, rope.num_factors = 4;
    for (int type = CLATTN_ROPE_DEFAULT; type <= CLATTN_ROPE_LONGROPE; type++)
        for (int start = 0; start < 600; start += 300) {
            rope.type = (clattn_rope_type)type, rope.start = start;
            tables_on(8, 11, type == CLATTN_ROPE_YARN       ? 0.1 * log(4) + 1
                             : type == CLATTN_ROPE_LONGROPE ? sqrt(1 + log(4) / log(64))
                                                            : 1);
        }
    rope.type = CLATTN_ROPE_YARN, rope.mscale = 0.7, rope.mscale_all_dim = 1.2;
    tables_on(8, 3, (0.07 * log(4) + 1) / (0.12 * log(4) + 1));
    rope.attention_factor = 1.5, rope.start = 0, rope.partial_rotary_factor = 0.5, rope.dim = 16, rope.factor = 0;
    tables_on(8, 3, 1.5);
    rope.type = CLATTN_ROPE_DEFAULT, rope.partial_rotary_factor = 0, rope.dim = 2;
    tables_on(2, 5, 1);
    tables_on(2, 0, 1);
    finish();
}
END_TEST

CALL(call_sinusoidal)
{
    (void)s;
    return clattn_sinusoidal(ctx, t[0], l);
}

START_TEST(test_sinusoidal)
{
    for (int64_t dim = 0; dim < 8; dim++) {
        struct scene s = { .what = "sinusoidal", .call = call_sinusoidal };
        struct arg *t = add(&s, 0, "table", types[dim % 3], true, SHAPE(20, dim));
        double *exact = numbers(count_of(t));
        for (int64_t e = 0; e < 20 * dim; e++) {
            double angle = (double)(e / dim) / pow(1e4, (double)(e % dim / 2 * 2) / (double)dim);
            exact[e] = e % dim % 2 ? cos(angle) : sin(angle);
        }
        if (run(&s)) judge_with(0, &s, 0, exact, exact);
        free(exact);
        free_scene(&s);
    }
    finish();
}
END_TEST

/* --------------------------------------------------------------------- biases */

CALL(call_bias)
{
    return s->k[0] ? clattn_t5_bias(ctx, t[0], s->k[0] == 2, s->k[1], t[1], l)
                   : clattn_relative_bias(ctx, t[0], t[1], l);
}

/* Where T5's buckets begin, as transformers' code gives them for its 32 buckets up to distance 128. */
static int t5_bucket(int64_t ahead, bool both)
{
    static const int two[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91 };
    static const int one[] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                               16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113 };
    int64_t distance = both ? (ahead < 0 ? -ahead : ahead) : ahead < 0 ? -ahead : 0;
    int n = both ? 16 : 32, bucket = 0;
    for (int i = 0; i < n; i++)
        if (distance >= (both ? two : one)[i]) bucket = i;
    return bucket + (both && ahead > 0 ? 16 : 0);
}

START_TEST(test_biases)
{
    clattn_dtype type = types[_i];
    for (int form = 0; form < 3; form++) {
        int64_t Q = form ? small_or(7, 150) : 6, K = form ? small_or(60, 140) : 6, H = 3;
        struct scene s = { .call = call_bias, .k = { form, 128 } };
        struct arg *t = form ? add(&s, 0, "table", type, false, SHAPE(32, H))
                             : add(&s, 0, "table", type, false, SHAPE(H, 2 * Q - 1));
        struct arg *bias = add(&s, 1, "bias", type, true, SHAPE(H, Q, K));
        double *exact = numbers(count_of(bias));
        snprintf(s.what, sizeof s.what, "relative_bias, form %d, %s", form, type_names[type]);
        draw(t, 9, 0, 1);
        for (int64_t e = 0; e < H * Q * K; e++) {
            int64_t j = e % K, i = e / K % Q, h = e / K / Q;
            exact[e] = form ? t->v[t5_bucket(j - i, form == 2) * H + h] : t->v[h * (2 * Q - 1) + i - j + Q - 1];
        }
        if (run(&s)) judge_same(&s, 1, exact);
        free(exact);
        free_scene(&s);
    }
    finish();
}
END_TEST

/* --------------------------------------------------------------------- caches */

enum { C_PAST, C_UPDATE, C_WHERE, C_OUT };
CALL(call_scatter)
{
    return clattn_cache_scatter(ctx, t[C_PAST], t[C_UPDATE], t[C_WHERE], s->k[0], s->k[1], t[C_OUT], l);
}

/* [B,2,M,3] with the axis last but one, or [B,M,3] with axis 1. */
static void make_scatter(struct scene *s, clattn_dtype type, clattn_dtype of_update, int L, const int where[3],
                         bool circular, bool three)
{
    enum { B = 3, M = 5 };
    const int64_t rank = three ? 3 : 4, past[4] = { B, three ? M : 2, three ? 3 : M, 3 };
    int64_t update[4] = { B, three ? L : 2, three ? 3 : L, 3 };
    *s = (struct scene){ .call = call_scatter, .k = { three ? 1 : -2, circular }, .in_place = C_OUT };
    snprintf(s->what, sizeof s->what, "cache_scatter %s, update %s of %d, rank %d%s", type_names[type],
             type_names[of_update], L, (int)rank, circular ? ", circular" : "");
    draw(add(s, C_PAST, "past_cache", type, false, (int)rank, past), 10, 0, 1);
    draw(add(s, C_UPDATE, "update", of_update, false, (int)rank, update), 11, 0, 1);
    add(s, C_OUT, "out", type, true, (int)rank, past);
    if (!where) return;
    struct arg *w = add(s, C_WHERE, "write_indices", CLATTN_INT32, false, SHAPE(B));
    for (int b = 0; b < B; b++) w->v[b] = where[b];
}

static void check_scatter(struct scene *s)
{
    const double *past = s->a[C_PAST].v, *update = s->a[C_UPDATE].v, *w = s->a[C_WHERE].v;
    int per = s->a[C_PAST].rank == 3 ? 1 : 2, M = 5, L = (int)s->a[C_UPDATE].shape[s->a[C_PAST].rank - 2];
    double *exact = numbers(count_of(&s->a[C_OUT]));
    memcpy(exact, past, count_of(&s->a[C_OUT]) * sizeof *exact);
    for (int o = 0; o < 3 * per; o++)
        for (int l = 0; l < L; l++) {
            int to = (w ? (int)w[o / per] : 0) + l;
            if (s->k[1]) to = ((to % M) + M) % M;
            for (int i = 0; i < 3 && to >= 0 && to < M; i++) exact[(o * M + to) * 3 + i] = update[(o * L + l) * 3 + i];
        }
    judge_same(s, C_OUT, exact);
    free(exact);
}

static void scatter_on(clattn_dtype type, clattn_dtype of_update, int L, const int where[3], bool circular, bool three)
{
    struct scene s;
    make_scatter(&s, type, of_update, L, where, circular, three);
    if (run(&s)) check_scatter(&s);
    free_scene(&s);
}

START_TEST(test_scatter)
{
    const int inside[3] = { 0, 3, 1 }, around[3] = { 4, -1, 12 }, outside[3] = { 4, -1, 2 };
    clattn_dtype type = types[_i];
    for (int three = 0; three < 2; three++) {
        scatter_on(type, type, 2, inside, false, three);
        scatter_on(type, types[(_i + 2) % 3], 2, around, true, three); /* f32 is rounded to f16, f16 to bf16 */
        scatter_on(type, type, 5, NULL, false, three);
        scatter_on(type, type, 5, around, true, three);
        scatter_on(type, type, 0, inside, false, three);
    }
    if (!attend_is_host()) { /* what does not fit is not written */
        struct scene s;
        make_scatter(&s, type, type, 2, outside, false, false);
        run_mem(&s, "in device memory");
        check_scatter(&s);
        free_scene(&s);
    }
    finish();
}
END_TEST

/* ---------------------------------------------------------------- convolution */

enum { V_INPUT, V_WEIGHT, V_BIAS, V_PAST, V_OUT, V_PRESENT };
CALL(call_conv)
{
    return clattn_causal_conv(ctx, t[V_INPUT], t[V_WEIGHT], t[V_BIAS], t[V_PAST], (clattn_activation)s->k[0], t[V_OUT],
                              t[V_PRESENT], l);
}

static void conv_on(clattn_dtype type, int64_t T, int64_t W, bool extras, clattn_activation how)
{
    enum { B = 2, C = 3 };
    struct scene s = { .call = call_conv, .k = { (int)how } };
    struct arg *x = add(&s, V_INPUT, "input", type, false, SHAPE(B, C, T)),
               *out = add(&s, V_OUT, "out", type, true, SHAPE(B, C, T));
    struct arg *w = add(&s, V_WEIGHT, "weight", other((int)type), false, SHAPE(C, 1, W));
    draw(x, 12, 0, 1);
    draw(w, 13, 0, 0.7);
    if (extras) draw(add(&s, V_BIAS, "bias", type, false, SHAPE(C)), 14, 0, 1);
    if (extras) draw(add(&s, V_PAST, "past_state", type, false, SHAPE(B, C, W - 1)), 15, 0, 1);
    struct arg *present = add(&s, V_PRESENT, "present_state", type, true, SHAPE(B, C, W - 1));
    double *e[2] = { numbers(count_of(out)), numbers(count_of(present)) };
    double *p[2] = { numbers(count_of(out)), numbers(count_of(present)) }, *unit = numbers(count_of(out));
    snprintf(s.what, sizeof s.what, "causal_conv %s, length %d, width %d, activation %d", type_names[type], (int)T,
             (int)W, how);
    if (run(&s)) {
        causal_conv_exact(x->v, w->v, s.a[V_BIAS].v, s.a[V_PAST].v, B, C, T, W, how, e[0], e[1]);
        causal_conv_plain(x->v, w->v, s.a[V_BIAS].v, s.a[V_PAST].v, B, C, T, W, how, p[0], p[1]);
        for (size_t i = 0; i < count_of(out); i++) unit[i] = (double)W;
        judge(&s, V_OUT, e[0], p[0], unit);
        judge_same(&s, V_PRESENT, e[1]);
    }
    for (int i = 0; i < 2; i++) free(e[i]), free(p[i]);
    free(unit);
    free_scene(&s);
}

START_TEST(test_conv)
{
    clattn_dtype type = types[_i];
    for (int extras = 0; extras < 2; extras++) {
        conv_on(type, 20, 4, extras, CLATTN_ACTIVATION_NONE);
        conv_on(type, 20, 4, extras, CLATTN_ACTIVATION_SILU);
        conv_on(type, 2, 5, extras, CLATTN_ACTIVATION_NONE); /* the state keeps some of the past */
        conv_on(type, 7, 1, extras, CLATTN_ACTIVATION_NONE); /* and is empty */
        conv_on(type, 0, 3, extras, CLATTN_ACTIVATION_NONE);
    }
    finish();
}
END_TEST

/* ---------------------------------------------------------------------- merge */

CALL(call_merge)
{
    (void)s;
    return clattn_merge(ctx, t[0], t[1], t[2], t[3], l);
}

static void merge_on(clattn_dtype type, int64_t S, int64_t D, double far)
{
    struct scene s = { .call = call_merge };
    struct arg *outs = add(&s, 0, "outs", type, false, SHAPE(S, 4, 5, D)),
               *lses = add(&s, 1, "lses", CLATTN_F32, false, SHAPE(S, 4, 5));
    struct arg *out = add(&s, 2, "out", type, true, SHAPE(4, 5, D));
    add(&s, 3, "lse", CLATTN_F32, true, SHAPE(4, 5));
    double *e[2] = { numbers(count_of(out)), numbers(20) }, *p[2] = { numbers(count_of(out)), numbers(20) };
    double *unit = numbers(count_of(out) + 20);
    snprintf(s.what, sizeof s.what, "merge %s, %d parts, Dv %d, lse up to %g", type_names[type], (int)S, (int)D, far);
    draw(outs, 16, 0, 1);
    draw(lses, 17, far, far);
    for (int64_t i = 0; i < S; i++)
        for (int64_t r = 0; r < 20; r++) {
            if (r != 3 && (r != 7 || i != 1)) continue; /* row 3 has no part, row 7 lacks part 1 */
            lses->v[i * 20 + r] = -INFINITY;
            for (int64_t d = 0; d < D; d++) outs->v[(i * 20 + r) * D + d] = NAN;
        }
    if (S) lses->v[11] = NAN; /* is never lost */
    if (run(&s)) {
        merge_exact(outs->v, lses->v, S, 20, D, e[0], e[1]);
        merge_plain(outs->v, lses->v, S, 20, D, p[0], p[1]);
        for (size_t i = 0; i < count_of(out) + 20; i++) unit[i] = 1;
        judge(&s, 2, e[0], p[0], unit);
        for (size_t i = 0; i < 20; i++) unit[i] = 1 + fabs(e[1][i]);
        judge(&s, 3, e[1], p[1], unit);
    }
    for (int i = 0; i < 2; i++) free(e[i]), free(p[i]);
    free(unit);
    free_scene(&s);
}

START_TEST(test_merge)
{
    merge_on(types[_i], 3, 8, 1);
    merge_on(types[_i], 2, 5, 1000);
    merge_on(types[_i], 0, 2, 1);
    merge_on(types[_i], 3, 0, 1);
    finish();
}
END_TEST

/* --------------------------------------------------------------- initialisers */

CALL(call_initialise)
{
    return clattn_initialise(ctx, (clattn_initialiser)s->k[0], s->eps, 42, 7, t[0], l);
}

START_TEST(test_initialise)
{
    for (int how = CLATTN_XAVIER_UNIFORM; how <= CLATTN_HE_NORMAL; how++)
        for (int i = 0; i < 3; i++) {
            struct scene s = { .call = call_initialise, .k = { how }, .eps = i == 1 ? 0.5 : 0 };
            struct arg *w = add(&s, 0, "out", types[i], true, SHAPE(30, 10, 2));
            bool he = how >= CLATTN_HE_UNIFORM;
            double fan = he ? 20 : 40, gain = i == 1 ? 0.5 : he ? M_SQRT2 : 1;
            double deviation = gain / sqrt(fan), square = 0, sum = 0, most = 0, exact[600];
            snprintf(s.what, sizeof s.what, "initialiser %d, %s", how, type_names[types[i]]);
            if (!run(&s)) continue;
            for (int e = 0; e < 600; e++) {
                double u = ca_philox_uniform(42, 7, (uint64_t)e);
                exact[e] =
                    how % 2 ? deviation * ca_philox_normal(42, 7, (uint64_t)e) : deviation * sqrt(3) * (2 * u - 1);
                sum += w->v[e], square += w->v[e] * w->v[e], most = fmax(most, fabs(w->v[e]));
                if (!near(w->v[e] / deviation, exact[e] / deviation, types[i] == CLATTN_F32 ? 1e-6 : 0x1p-7))
                    wrong("%s: element %d is %g, should be %g", s.what, e, w->v[e], exact[e]);
            }
            if (!near(sqrt(square / 600) / deviation, 1, 0.1) || !near(sum / 600 / deviation, 0, 0.15) ||
                (how % 2 == 0 && most > deviation * sqrt(3) * 1.01))
                wrong("%s: deviation %g, mean %g, largest %g", s.what, sqrt(square / 600), sum / 600, most);
            free_scene(&s);
        }
    finish();
}
END_TEST

/* A device that ends a work-item after so many rounds of its loops is not asked for more. */
START_TEST(test_rounds)
{
    enum { WIDTH = CA_MAX_ROUNDS };
    clattn_context *ctx = attend_context();
    float *w = calloc(WIDTH, sizeof *w), in = 1, out = 77;
    const clattn_tensor x = { .size = sizeof x, .rank = 3, .shape = { 1, 1, 1 }, .host = &in };
    clattn_tensor weight = x, y = x;
    weight.shape[2] = WIDTH, weight.host = w, y.host = &out;
    ck_assert_ptr_nonnull(w);
    bool refuses = ctx->dev.quirks & CA_QUIRK_ROUNDS;
    clattn_status st = clattn_causal_conv(ctx, &x, &weight, NULL, NULL, CLATTN_ACTIVATION_NONE, &y, NULL, NULL);
    if (st != (refuses ? CLATTN_E_UNSUPPORTED : CLATTN_OK) || out != (refuses ? 77 : 0))
        wrong("rounds: %s: %s, out %g", clattn_status_name(st), clattn_last_message(), out);
    free(w);
    finish();
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        { "softmax", test_softmax, 3 }, { "norm", test_norm, 3 }, { "norm_range", test_norm_range, 1 },
        { "activations", test_activations, 3 }, { "rope", test_rope, 3 }, { "rope_outside", test_rope_outside, 1 },
        { "rope_tables", test_rope_tables, 1 }, { "sinusoidal", test_sinusoidal, 1 }, { "biases", test_biases, 3 },
        { "scatter", test_scatter, 3 }, { "conv", test_conv, 3 }, { "merge", test_merge, 3 },
        { "initialise", test_initialise, 1 }, { "rounds", test_rounds, 1 }, { NULL, NULL, 0 },
    };
    return run_tests("ops", tests);
}
