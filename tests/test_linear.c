/* test_linear.c -- linear attention on the environment's device, against its recurrence in f64 (linear_plain.h), in all rules,
 * maps and both forms; and what must hold without an oracle.  CLATTN_SEED draws other random combinations. */
#define CLATTN_NONNULL(...) /* NULL is passed on purpose */
#include <tgmath.h>
#include "scene.h"

enum { L_Q, L_K, L_V, L_G, L_BETA, L_U, L_PROJECTION, L_STATE, L_Z, L_OUT, L_FINAL, L_FINAL_Z, L_LSE };

/* A linear attention in a few words. */
struct linear_case {
    clattn_update_rule rule;
    clattn_feature_map map;
    int B, H, Hkv, T, K, V;
    int M, max_len, chunk, lag;
    int by_dim, u, normalize, l2norm, bidirectional, bshd, states; /* states: there are initial ones */
    int mixed;                                                     /* each tensor of another type */
    double scale, eps, gate;                                       /* NAN: the default; decays are e^-gate or so */
};

static int linear_features(const struct linear_case *c)
{
    const int K = c->K;
    return c->map == CLATTN_MAP_SQUARE ? K * K : c->map == CLATTN_MAP_TAYLOR2 ? 1 + K + K * K : c->map == CLATTN_MAP_COS ? 2 * K
         : c->map == CLATTN_MAP_FAVOR ? c->M : K;
}
/* The number of the row of token t of head h of HEADS. */
static size_t linear_row(const struct linear_case *c, int b, int h, int t, int heads)
{
    return c->bshd ? ((size_t)b * (size_t)c->T + (size_t)t) * (size_t)heads + (size_t)h
                   : ((size_t)b * (size_t)heads + (size_t)h) * (size_t)c->T + (size_t)t;
}

#define REAL double
#define NAME(x) x##_exact
#include "linear_plain.h"
#undef REAL
#undef NAME
#define REAL float
#define NAME(x) x##_plain
#include "linear_plain.h"

static const char *const rules[] = { "linear", "gated", "delta", "gated_delta" };
static const char *const map_names[] = { "identity", "elu1", "relu", "exp", "square", "taylor2", "favor", "cos", "softmax" };

static clattn_linear now; /* of the scene */
CALL(call_linear)
{
    const clattn_linear_tensors list = {
        .size = sizeof list, .q = t[L_Q], .k = t[L_K], .v = t[L_V], .g = t[L_G], .beta = t[L_BETA], .u = t[L_U], .projection = t[L_PROJECTION],
        .initial_state = t[L_STATE], .initial_z = t[L_Z], .out = t[L_OUT], .final_state = t[L_FINAL], .final_z = t[L_FINAL_Z],
        .lse = t[L_LSE],
    };
    (void)s;
    return clattn_linear_attention(ctx, &now, &list, l);
}

static clattn_dtype type_of(const struct linear_case *c, int k)
{
    static const clattn_dtype types[] = { CLATTN_F32, CLATTN_F16, CLATTN_BF16 };
    return c->mixed ? types[(k + c->mixed) % 3] : CLATTN_F32;
}

static void make(const struct linear_case *c, struct scene *s)
{
    const int F = linear_features(c);
    const bool gated = c->rule == CLATTN_RULE_GATED || c->rule == CLATTN_RULE_GATED_DELTA;
#define BY_LAYOUT(rank, heads, ...) rank, (const int64_t[]){ c->B, c->bshd ? c->T : (heads), c->bshd ? (heads) : c->T, __VA_ARGS__ }
#define TENSOR(k, name, output, ...) add(s, k, name, type_of(c, k), output, __VA_ARGS__)
    *s = (struct scene){ .call = call_linear };
    snprintf(s->what, sizeof s->what, "%s %s%s%s%s%s%s%s%s b%d h%d/%d t%d d%d/%d m%d chunk %d lag %d types %d gate %g", rules[c->rule], map_names[c->map],
             c->by_dim ? " by dim" : "", c->u ? " u" : "", c->normalize ? " normalize" : "", c->l2norm ? " l2norm" : "",
             c->bidirectional ? " bidirectional" : "", c->bshd ? " bshd" : "", c->states ? " states" : "", c->B, c->H, c->Hkv, c->T, c->K, c->V,
             c->M, c->chunk, c->lag, c->mixed, c->gate);
    TENSOR(L_Q, "q", false, BY_LAYOUT(4, c->H, c->K));
    TENSOR(L_K, "k", false, BY_LAYOUT(4, c->Hkv, c->K));
    TENSOR(L_V, "v", false, BY_LAYOUT(4, c->Hkv, c->V));
    if (gated) TENSOR(L_G, "g", false, BY_LAYOUT(c->by_dim ? 4 : 3, c->Hkv, c->K));
    if (c->rule >= CLATTN_RULE_DELTA) TENSOR(L_BETA, "beta", false, BY_LAYOUT(3, c->Hkv, 0));
    if (c->u) TENSOR(L_U, "u", false, SHAPE(c->Hkv, c->K));
    if (c->map == CLATTN_MAP_FAVOR) TENSOR(L_PROJECTION, "projection", false, SHAPE(c->M, c->K));
    if (c->states) TENSOR(L_STATE, "initial_state", false, SHAPE(c->B, c->Hkv, F, c->V));
    if (c->states && c->normalize) TENSOR(L_Z, "initial_z", false, SHAPE(c->B, c->Hkv, F));
    TENSOR(L_OUT, "out", true, BY_LAYOUT(4, c->H, c->V));
    TENSOR(L_FINAL, "final_state", true, SHAPE(c->B, c->Hkv, F, c->V));
    if (c->normalize) TENSOR(L_FINAL_Z, "final_z", true, SHAPE(c->B, c->Hkv, F));
    if (c->normalize) TENSOR(L_LSE, "lse", true, SHAPE(c->B, c->H, c->T));
#undef TENSOR
#undef BY_LAYOUT
    clattn_linear_init(&now);
    now.layout = c->bshd ? CLATTN_BSHD : CLATTN_BHSD;
    now.rule = c->rule, now.map = c->map, now.scale = c->scale, now.normalize = c->normalize, now.eps = c->eps;
    now.bidirectional = c->bidirectional, now.l2norm_qk = c->l2norm, now.max_len = c->max_len, now.chunk = c->chunk, now.lag = c->lag;
}

/* Keys are short, so that the delta rules stay stable; decays run from none to strong. */
static void fill_scene(const struct linear_case *c, struct scene *s, uint64_t seed)
{
    const double stable = c->map == CLATTN_MAP_ELU1 || c->map == CLATTN_MAP_EXP ? 0.5 / c->K /* of keys' squares */
                        : c->map == CLATTN_MAP_TAYLOR2 || c->map == CLATTN_MAP_FAVOR ? 0.3 : 1;
    static const double deviation[] = { [L_Q] = 1, [L_V] = 1, [L_U] = 0.5, [L_PROJECTION] = 1, [L_STATE] = 1 };
    for (int k = L_Q; k < L_OUT; k++) {
        struct arg *a = &s->a[k];
        if (!a->name) continue;
        draw(a, seed * 16 + (uint64_t)k, 0, k == L_K ? 1 / sqrt((double)c->K) : k == L_G || k == L_BETA || k == L_Z ? 1 : deviation[k]);
        for (size_t e = 0; e < count_of(a); e++) {
            if (k == L_G) a->v[e] = rounded(a->type, -c->gate * fabs(a->v[e]));
            if (k == L_BETA) a->v[e] = rounded(a->type, stable / (1 + exp(-a->v[e])));
            if (k == L_Z) a->v[e] = rounded(a->type, 1 + fabs(a->v[e]));
        }
    }
}

/* What an element's errors are relative to: the largest sum of sizes of its head so far; of a state, its largest number. */
static void units_of(const struct linear_case *c, const double *terms, const double *S, const double *z, double *unit[4])
{
    const size_t F = (size_t)linear_features(c), V = (size_t)c->V;
    for (int b = 0; b < c->B; b++)
        for (int h = 0; h < c->H; h++) {
            double most = 0;
            for (int t = 0; t < c->T; t++) {
                const size_t at = linear_row(c, b, h, t, c->H) * V;
                for (size_t e = 0; e < V; e++) most = fmax(most, terms[at + e]);
                for (size_t e = 0; e < V; e++) unit[0][at + e] = most;
            }
        }
    for (size_t e = 0; e < (size_t)(c->B * c->H * c->T); e++) unit[3][e] = 1;
    for (size_t n = 0; n < (size_t)(c->B * c->Hkv); n++) {
        double most = 0, most_z = 0;
        for (size_t i = 0; i < F * V; i++) most = fmax(most, fabs(S[n * F * V + i]));
        for (size_t i = 0; i < F * V; i++) unit[1][n * F * V + i] = most;
        for (size_t i = 0; i < F; i++) most_z = fmax(most_z, fabs(z[n * F + i]));
        for (size_t i = 0; i < F; i++) unit[2][n * F + i] = most_z;
    }
}

enum { SEEDS = 6 };
static const int slots[4] = { L_OUT, L_FINAL, L_FINAL_Z, L_LSE };

/* Rows that read nothing have the logarithm -inf, which errors cannot be relative to. */
static void check_nothing(struct arg *lse, double *exact)
{
    for (size_t e = 0; lse->name && e < count_of(lse); e++) {
        if (exact[e] != -INFINITY) continue;
        if (lse->v[e] != -INFINITY) wrong("lse %zu is %g, should be -inf", e, lse->v[e]);
        lse->v[e] = exact[e] = 0;
    }
}

static void linear_on(struct linear_case c, uint64_t seed)
{
    struct scene s;
    double *exact[4], *plain[4], *unit[4], *terms, rho[4] = { 0 };
    make(&c, &s);
    const size_t F = (size_t)linear_features(&c), states = (size_t)(c.B * c.Hkv) * F;
    const size_t count[4] = { count_of(&s.a[L_OUT]), states * (size_t)c.V, states, (size_t)(c.B * c.H * c.T) };
    for (int i = 0; i < 4; i++) exact[i] = numbers(count[i]), plain[i] = numbers(count[i]), unit[i] = numbers(count[i]);
    terms = numbers(count[0]);
    for (int n = count[1] < 400 ? 8 * SEEDS : SEEDS; n > 0; n--) { /* the last numbers are the library's: the plain computation may be lucky with some */
        const double *v[SCENE_ARGS];
        fill_scene(&c, &s, seed * 8 * SEEDS + (uint64_t)n);
        for (int k = 0; k < SCENE_ARGS; k++) v[k] = s.a[k].name ? s.a[k].v : NULL;
        linear_plain(&c, v, plain[0], terms, plain[1], plain[2], plain[3]);
        linear_exact(&c, v, exact[0], terms, exact[1], exact[2], exact[3]);
        units_of(&c, terms, exact[1], exact[2], unit);
        for (int i = 0; i < 4; i++) rho[i] = fmax(rho[i], rho_of(count[i], exact[i], plain[i], unit[i]));
    }
    if (run(&s)) {
        check_nothing(&s.a[L_LSE], exact[3]);
        for (int i = 0; i < 4; i++)
            if (s.a[slots[i]].name) judge_with(rho[i], &s, slots[i], exact[i], unit[i]);
    }
    for (int i = 0; i < 4; i++) free(exact[i]), free(plain[i]), free(unit[i]);
    free(terms);
    free_scene(&s);
}

/* ---------------------------------------------------------- against the oracle */

#define USUAL .scale = NAN, .gate = 0.1
/* Each is a kernel of its own on OpenCL; together all rules, maps and features. */
static const struct linear_case shapes[] = {
    { .rule = CLATTN_RULE_GATED_DELTA, .B = 1, .H = 2, .Hkv = 1, .T = 21, .K = 8, .V = 6, .chunk = 8, .states = 1, .l2norm = 1, USUAL },
    { .rule = CLATTN_RULE_GATED, .map = CLATTN_MAP_ELU1, .B = 1, .H = 1, .Hkv = 1, .T = 9, .K = 5, .V = 3, .chunk = 1, .normalize = 1,
      .states = 1, .lag = 3, USUAL },
    { .B = 2, .H = 4, .Hkv = 2, .T = 70, .K = 24, .V = 40, .states = 1, .bshd = 1, USUAL },
    { .rule = CLATTN_RULE_GATED, .by_dim = 1, .u = 1, .B = 1, .H = 2, .Hkv = 1, .T = 37, .K = 16, .V = 20, .mixed = 1, .states = 1, USUAL },
    { .map = CLATTN_MAP_TAYLOR2, .normalize = 1, .eps = 0.01, .B = 1, .H = 2, .Hkv = 2, .T = 40, .K = 7, .V = 9, .chunk = 16, .states = 1,
      .lag = 5, USUAL },
    { .rule = CLATTN_RULE_DELTA, .map = CLATTN_MAP_SQUARE, .B = 1, .H = 2, .Hkv = 2, .T = 33, .K = 6, .V = 17, .chunk = 16, .l2norm = 1, USUAL },
    { .rule = CLATTN_RULE_GATED_DELTA, .by_dim = 1, .B = 1, .H = 2, .Hkv = 2, .T = 20, .K = 12, .V = 16, .bshd = 1, .states = 1, USUAL },
    { .map = CLATTN_MAP_COS, .normalize = 1, .eps = 1e-3, .bidirectional = 1, .B = 1, .H = 2, .Hkv = 1, .T = 50, .K = 8, .V = 8, .mixed = 2,
      .max_len = 64, USUAL },
    { .rule = CLATTN_RULE_GATED, .map = CLATTN_MAP_FAVOR, .normalize = 1, .B = 1, .H = 1, .Hkv = 1, .T = 40, .K = 8, .V = 8, .M = 19, .chunk = 16, USUAL },
    { .map = CLATTN_MAP_SOFTMAX, .normalize = 1, .B = 1, .H = 3, .Hkv = 3, .T = 18, .K = 9, .V = 33, .chunk = 1, .mixed = 1, USUAL },
    { .map = CLATTN_MAP_TAYLOR2, .u = 0, .B = 1, .H = 2, .Hkv = 1, .T = 5, .K = 6, .V = 16, .chunk = 1, .states = 1, USUAL },
    { .map = CLATTN_MAP_RELU, .normalize = 1, .eps = 0.1, .bidirectional = 1, .B = 1, .H = 1, .Hkv = 1, .T = 30, .K = 8, .V = 8, USUAL },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(test_shapes)
{
    /* Devices share them; one that compiles or computes slowly gets the first ones. */
    if (attend_is_slow() ? _i < 2 : in_share((unsigned)_i)) linear_on(shapes[_i], (uint64_t)_i + 1);
    finish();
}
END_TEST

/* On the host nothing is built: each rule with each map and feature, in both forms and several chunks. */
START_TEST(test_all)
{
    static const int chunks[] = { 0, 1, 5, 16, 33, 64 };
    const clattn_update_rule rule = (clattn_update_rule)(_i % 4);
    const clattn_feature_map map = (clattn_feature_map)(_i / 4);
    if (!attend_is_host()) return;
    for (int n = 0; n < 6; n++)
        for (int with = 0; with < 4; with++) {
            bool gated = rule == CLATTN_RULE_GATED || rule == CLATTN_RULE_GATED_DELTA, delta = rule >= CLATTN_RULE_DELTA;
            bool keeps = map < CLATTN_MAP_SQUARE || map == CLATTN_MAP_SOFTMAX;
            bool positive = map != CLATTN_MAP_IDENTITY && map != CLATTN_MAP_SQUARE && map != CLATTN_MAP_RELU;
            struct linear_case c = { .rule = rule, .map = map, .B = 1 + with % 2, .H = 2, .Hkv = 1 + (with + n) % 2, .T = n == 1 ? 19 : 69, .K = 10,
                                     .V = with < 2 ? 17 : 32, .M = 21, .chunk = chunks[n], .l2norm = delta, .states = with > 0, USUAL };
            if (with == 1) c.by_dim = gated && keeps, c.bshd = 1;
            if (with == 2 && !delta) c.u = keeps, c.by_dim = gated && keeps && n % 2;
            if (with == 3) c.normalize = positive && !delta, c.mixed = n % 3;
            if (with == 3 && map != CLATTN_MAP_COS) c.lag = n == 1 ? 30 : 7 * n;
            if (with == 0 && rule == CLATTN_RULE_LINEAR && n != 1) c.bidirectional = 1, c.normalize = positive;
            linear_on(c, (uint64_t)(100 + _i * 24 + n * 4 + with));
        }
    finish();
}
END_TEST

/* Lengths around chunks, vectors and tiles; dims that are large, or 1; nothing at all. */
START_TEST(test_sizes)
{
    static const int lengths[] = { 0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 200 }, dims[] = { 1, 3, 16, 17, 64 };
    if (!attend_is_host()) return;
    for (int i = 0; i < 11; i++)
        for (int j = 0; j < 5; j++)
            linear_on((struct linear_case){ .rule = (clattn_update_rule)((i + j) % 4), .B = 1, .H = 1, .Hkv = 1, .T = lengths[i], .K = dims[j],
                                            .V = dims[(i + j) % 5], .states = i % 2, .l2norm = 1, USUAL }, (uint64_t)(2000 + i * 8 + j));
    linear_on((struct linear_case){ .B = 0, .H = 2, .Hkv = 1, .T = 4, .K = 4, .V = 4, USUAL }, 1);
    linear_on((struct linear_case){ .B = 1, .H = 2, .Hkv = 1, .T = 4, .K = 4, .V = 0, USUAL }, 1);
    linear_on((struct linear_case){ .B = 1, .H = 0, .Hkv = 0, .T = 4, .K = 4, .V = 4, USUAL }, 1);
    linear_on((struct linear_case){ .B = 1, .H = 1, .Hkv = 1, .T = 300, .K = 20, .V = 40, .map = CLATTN_MAP_TAYLOR2, .normalize = 1, USUAL }, 2);
    finish();
}
END_TEST

/* Gates that forget within a step, or keep nearly all, or forget all: no overflow, no difference that cancels. */
START_TEST(test_gates)
{
    static const double gates[] = { 1e-4, 3, 30, 1e3 };
    if (!attend_is_host() && _i) return;
    for (int i = 0; i < (attend_is_host() ? 4 : attend_is_slow() ? 0 : 1); i++) {
        linear_on((struct linear_case){ .rule = CLATTN_RULE_GATED, .B = 1, .H = 2, .Hkv = 2, .T = 130, .K = 16, .V = 16, .scale = NAN,
                                        .gate = attend_is_host() ? gates[i] : 1e3, .by_dim = _i }, (uint64_t)(3000 + i));
        linear_on((struct linear_case){ .rule = CLATTN_RULE_GATED_DELTA, .l2norm = 1, .B = 1, .H = 1, .Hkv = 1, .T = 130, .K = 16, .V = 16,
                                        .scale = 1, .gate = attend_is_host() ? gates[i] : 1e3, .by_dim = _i, .states = 1 }, (uint64_t)(3100 + i));
    }
    finish();
}
END_TEST

/* Of everything some, on the host. */
START_TEST(test_random)
{
    const char *text = getenv("CLATTN_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 1;
    if (!attend_is_host()) return;
    printf("random combinations of linear attention: CLATTN_SEED=%llu\n", (unsigned long long)seed);
    for (int n = 0; n < 150; n++) {
        uint64_t x = seed * 1000 + (uint64_t)n;
#define PICK(...) ((const int[]){ __VA_ARGS__ })[draw_below(&x, (int)(sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int)))]
        struct linear_case c = { .rule = (clattn_update_rule)draw_below(&x, 4), .map = (clattn_feature_map)draw_below(&x, 9), .B = PICK(1, 1, 2, 3),
                                 .Hkv = PICK(1, 2, 3), .T = draw_below(&x, 160), .K = 1 + draw_below(&x, 20), .V = 1 + draw_below(&x, 70),
                                 .M = 1 + draw_below(&x, 40), .chunk = PICK(0, 0, 1, 2, 7, 16, 32, 48, 100), .bshd = PICK(0, 1), .states = PICK(0, 1),
                                 .mixed = draw_below(&x, 4), .scale = PICK(0, 1) ? NAN : 0.3, .gate = PICK(0, 1, 5) * 0.1 };
        bool delta = c.rule >= CLATTN_RULE_DELTA, keeps = c.map < CLATTN_MAP_SQUARE || c.map == CLATTN_MAP_SOFTMAX;
        c.H = c.Hkv * PICK(1, 1, 2, 3);
        c.l2norm = delta || PICK(0, 0, 1);
        c.by_dim = c.rule % 2 && keeps && PICK(0, 1);
        if (!delta && c.map != CLATTN_MAP_IDENTITY && c.map != CLATTN_MAP_SQUARE && c.map != CLATTN_MAP_RELU) c.normalize = PICK(0, 1);
        if (c.rule == CLATTN_RULE_LINEAR && c.chunk != 1) c.bidirectional = PICK(0, 0, 1);
        if (!c.bidirectional && c.map != CLATTN_MAP_COS) c.lag = PICK(0, 0, 0, 1, 20, 200);
        if (c.bidirectional) c.states = 0;
        else if (!delta && keeps && !c.normalize && !c.lag) c.u = PICK(0, 1);
        if (c.map == CLATTN_MAP_COS) c.max_len = 200;
        linear_on(c, x);
    }
    finish();
}
END_TEST

/* ----------------------------------------------------------------- properties */

/* Runs C on numbers of its own. */
static bool solve_linear(const struct linear_case *c, struct scene *s, uint64_t seed)
{
    make(c, s);
    fill_scene(c, s, seed);
    return run(s);
}

/* A sequence in two parts, the state carried over, is the sequence. */
START_TEST(test_parts)
{
    const struct linear_case whole = { .rule = CLATTN_RULE_GATED_DELTA, .l2norm = 1, .B = 1, .H = 2, .Hkv = 1, .T = 40, .K = 8, .V = 16, .states = 1,
                                       .chunk = 16, USUAL };
    struct scene a, part[2];
    const int cut = 23, H = 2, V = 16, K = 8;
    bool right = solve_linear(&whole, &a, 7);
    for (int p = 0; p < 2; p++) {
        struct linear_case c = whole;
        c.T = p ? whole.T - cut : cut;
        make(&c, &part[p]);
        for (int k = L_Q; k < L_OUT; k++) {
            struct arg *to = &part[p].a[k];
            if (!to->name) continue;
            const bool state = k == L_STATE;
            const int heads = k == L_Q ? H : 1, row = k == L_Q || k == L_K ? K : k == L_V ? V : 1;
            if (state) memcpy(to->v, p ? part[0].a[L_FINAL].v : a.a[k].v, count_of(to) * sizeof(double));
            else
                for (int h = 0; h < heads; h++)
                    memcpy(to->v + h * c.T * row, a.a[k].v + (h * whole.T + (p ? cut : 0)) * row, (size_t)(c.T * row) * sizeof(double));
        }
        right = right && run(&part[p]);
    }
    for (int h = 0; right && h < H; h++)
        for (int t = 0; t < whole.T; t++)
            for (int e = 0; e < V; e++) {
                const int p = t >= cut, T = p ? whole.T - cut : cut;
                double got = part[p].a[L_OUT].v[(h * T + t - (p ? cut : 0)) * V + e], want = a.a[L_OUT].v[(h * whole.T + t) * V + e];
                if (!near(got, want, 1e-5)) wrong("in parts: token %d is %g, should be %g", t, got, want);
            }
    for (size_t i = 0; right && i < count_of(&a.a[L_FINAL]); i++)
        if (!near(part[1].a[L_FINAL].v[i], a.a[L_FINAL].v[i], 1e-5)) wrong("in parts: state %zu", i);
    free_scene(&a), free_scene(&part[0]), free_scene(&part[1]);
    finish();
}
END_TEST

/* A token that is not a number is heard of from its own place on, not before; nor in other heads. */
START_TEST(test_causal)
{
    for (int what = L_K; what <= L_V; what++) {
        const struct linear_case c = { .rule = CLATTN_RULE_GATED_DELTA, .l2norm = 1, .B = 1, .H = 2, .Hkv = 1, .T = 40, .K = 8, .V = 16, .states = 1,
                                       .chunk = 16, USUAL };
        struct scene s;
        make(&c, &s);
        fill_scene(&c, &s, 8);
        const int at = 21, row = what == L_K ? 8 : 16;
        for (int d = 0; d < row; d++) s.a[what].v[at * row + d] = NAN;
        if (run(&s))
            for (int h = 0; h < 2; h++)
                for (int t = 0; t < 40; t++)
                    if (isnan(s.a[L_OUT].v[(h * 40 + t) * 16 + 3]) != (t >= at)) wrong("%s: NaN at token %d: token %d", s.what, at, t);
        free_scene(&s);
    }
    finish();
}
END_TEST

/* Heads stand for themselves, and a head of q reads the state of its own. */
START_TEST(test_heads)
{
    const struct linear_case c = { .rule = CLATTN_RULE_GATED, .B = 1, .H = 4, .Hkv = 2, .T = 20, .K = 8, .V = 16, .chunk = 16, USUAL };
    struct scene a, b;
    if (attend_is_slow()) return;
    bool right = solve_linear(&c, &a, 9);
    make(&c, &b);
    for (int k = L_Q; k <= L_G; k++) { /* the two halves in each other's place */
        const size_t half = count_of(&a.a[k]) / 2;
        memcpy(b.a[k].v, a.a[k].v + half, half * sizeof(double));
        memcpy(b.a[k].v + half, a.a[k].v, half * sizeof(double));
    }
    const size_t half = count_of(&a.a[L_OUT]) / 2;
    if (right && run(&b) && (memcmp(b.a[L_OUT].v, a.a[L_OUT].v + half, half * sizeof(double)) ||
                             memcmp(b.a[L_OUT].v + half, a.a[L_OUT].v, half * sizeof(double))))
        wrong("heads that change places give other bits");
    free_scene(&a), free_scene(&b);
    finish();
}
END_TEST

/* Softmax over a window and linear attention of what is before it, by the calls that clattn.h names, and as it is defined. */
START_TEST(test_hybrid)
{
    enum { H = 2, T = 40, D = 8, V = 8, W = 9 };
    static float q[H * T * D], k[H * T * D], v[H * T * V], outs[2][H * T * V], lses[2][H * T], out[H * T * V];
    uint64_t seed = 6;
    clattn_plan *plan = NULL;
    clattn_attention a;
    clattn_linear l;
    if (attend_is_slow()) return;
    for (int i = 0; i < H * T * D; i++)
        q[i] = (float)draw_below(&seed, 2000) / 500 - 2, k[i] = (float)draw_below(&seed, 2000) / 500 - 2, v[i] = (float)draw_below(&seed, 2000) / 1000 - 1;
    clattn_attention_init(&a);
    a.q_heads = H, a.q_len = a.kv_len = T, a.head_dim = D, a.causal = 1, a.window_left = W - 1;
    clattn_pointers p = { .size = sizeof p, .q = q, .k = k, .v = v, .out = outs[0], .lse = lses[0] };
    clattn_linear_init(&l);
    l.map = CLATTN_MAP_ELU1, l.normalize = 1, l.scale = 1, l.lag = W;
#define AT(p, ...) { .size = sizeof(clattn_tensor), .rank = sizeof((int64_t[]){ __VA_ARGS__ }) / 8, .shape = { __VA_ARGS__ }, .host = p }
    const clattn_tensor tq = AT(q, 1, H, T, D), tk = AT(k, 1, H, T, D), tv = AT(v, 1, H, T, V), rest = AT(outs[1], 1, H, T, V);
    const clattn_tensor lse = AT(lses[1], 1, H, T), both = AT(outs, 2, 1, H, T, V), logs = AT(lses, 2, 1, H, T), to = AT(out, 1, H, T, V);
#undef AT
    const clattn_linear_tensors t = { .size = sizeof t, .q = &tq, .k = &tk, .v = &tv, .out = &rest, .lse = &lse };
    if (clattn_plan_create(attend_context(), &a, NULL, &plan) != CLATTN_OK || clattn_execute_host(plan, &p) != CLATTN_OK ||
        clattn_linear_attention(attend_context(), &l, &t, NULL) != CLATTN_OK || clattn_merge(attend_context(), &both, &logs, &to, NULL, NULL) != CLATTN_OK)
        wrong("hybrid: %s", clattn_last_message());
    clattn_plan_destroy(plan);
    for (int h = 0; h < H; h++)
        for (int i = 0; i < T; i++) {
            double sum[V] = { 0 }, by = 0;
            for (int j = 0; j <= i; j++) {
                double s = 0, f = 0;
                for (int d = 0; d < D; d++) {
                    const double x = q[(h * T + i) * D + d], y = k[(h * T + j) * D + d];
                    s += x * y / sqrt((double)D);
                    f += (x > 0 ? x + 1 : exp(x)) * (y > 0 ? y + 1 : exp(y));
                }
                const double w = j > i - W ? exp(s) : f;
                by += w;
                for (int e = 0; e < V; e++) sum[e] += w * v[(h * T + j) * V + e];
            }
            for (int e = 0; e < V; e++)
                if (!near(out[(h * T + i) * V + e], sum[e] / by, 1e-5)) wrong("hybrid: head %d, token %d: %g, should be %g", h, i, out[(h * T + i) * V + e], sum[e] / by);
        }
    finish();
}
END_TEST

/* The final state in the place of the initial one, in both forms. */
START_TEST(test_in_place)
{
    enum { T = 20, K = 4, V = 16, B = 2 };
    float q[B * T * K], k[B * T * K], v[B * T * V], state[B * K * V], first[B * K * V], out[2][B * T * V];
    clattn_linear l;
    uint64_t seed = 5;
    clattn_linear_init(&l);
    for (int i = 0; i < B * T * V; i++) {
        v[i] = (float)draw_below(&seed, 1000) / 1000 - 0.5f;
        if (i < B * T * K) q[i] = v[i] + 0.1f, k[i] = 0.3f - v[i];
        if (i < B * K * V) first[i] = v[i];
    }
#define AT(p, ...) { .size = sizeof(clattn_tensor), .rank = 4, .shape = { __VA_ARGS__ }, .host = p }
    for (int chunk = 1; chunk < 17; chunk += 15)
        for (int here = 0; here < 2; here++) {
            float apart[B * K * V];
            memcpy(state, first, sizeof state);
            const clattn_tensor tq = AT(q, B, 1, T, K), tk = AT(k, B, 1, T, K), tv = AT(v, B, 1, T, V), to = AT(out[here], B, 1, T, V);
            const clattn_tensor from = AT(state, B, 1, K, V), other = AT(apart, B, 1, K, V);
            const clattn_linear_tensors t = { .size = sizeof t, .q = &tq, .k = &tk, .v = &tv, .out = &to, .initial_state = &from,
                                              .final_state = here ? &from : &other };
            l.chunk = chunk;
            if (attend_is_slow()) continue;
            if (clattn_linear_attention(attend_context(), &l, &t, NULL) != CLATTN_OK) wrong("in place: %s", clattn_last_message());
            else if (here && memcmp(out[0], out[1], sizeof out[0])) wrong("in place, chunk %d: other bits", chunk);
            else if (!here && memcmp(state, first, sizeof state)) wrong("chunk %d: the initial state was written", chunk);
        }
#undef AT
    finish();
}
END_TEST

/* -------------------------------------------------------------------- mamba 2 */

enum { S_X, S_DT, S_A, S_B, S_C, S_D, S_OUT, S_FINAL };
CALL(call_mamba) { return clattn_mamba2_ssd(ctx, t[S_X], t[S_DT], t[S_A], t[S_B], t[S_C], t[S_D], NULL, s->k[0], t[S_OUT], t[S_FINAL], l); }

#define SSD(REAL, name) \
    static void ssd_##name(const struct scene *s, int T, int H, int P, int G, int N, double *out, double *last) \
    { \
        for (int h = 0; h < H; h++) { \
            REAL S[64 * 16] = { 0 }, rate = exp((REAL)s->a[S_A].v[h]); \
            for (int t = 0; t < T; t++) { \
                REAL dt = (REAL)s->a[S_DT].v[t * H + h], a = exp(-rate * dt); \
                const double *x = s->a[S_X].v + (t * H + h) * P, *k = s->a[S_B].v + (t * G + h / (H / G)) * N; \
                const double *q = s->a[S_C].v + (t * G + h / (H / G)) * N; \
                for (int p = 0; p < P; p++) { \
                    REAL o = 0; \
                    for (int n = 0; n < N; n++) { \
                        S[n * P + p] = a * S[n * P + p] + (REAL)k[n] * (dt * (REAL)x[p]); \
                        o += S[n * P + p] * (REAL)q[n]; \
                    } \
                    out[(t * H + h) * P + p] = o + (REAL)s->a[S_D].v[h] * (REAL)x[p]; \
                } \
            } \
            for (int i = 0; i < N * P; i++) last[h * N * P + i] = S[i]; \
        } \
    }
SSD(double, exact)
SSD(float, plain)

START_TEST(test_mamba)
{
    enum { T = 45, H = 4, P = 10, G = 2, N = 12 };
    static const clattn_dtype types[] = { CLATTN_F32, CLATTN_F16 };
    for (int i = 0; i < (attend_is_slow() ? 0 : attend_is_host() ? 4 : 1); i++) {
        struct scene s = { .call = call_mamba, .k = { i < 2 ? 0 : 1 } };
        clattn_dtype type = types[i % 2];
        snprintf(s.what, sizeof s.what, "mamba2_ssd, chunk %d, type %d", s.k[0], (int)type);
        draw(add(&s, S_X, "x", type, false, SHAPE(1, T, H, P)), 1, 0, 1);
        struct arg *dt = add(&s, S_DT, "dt", CLATTN_F32, false, SHAPE(1, T, H));
        draw(dt, 2, 0, 0.3);
        for (size_t e = 0; e < count_of(dt); e++) dt->v[e] = rounded(CLATTN_F32, fabs(dt->v[e]));
        draw(add(&s, S_A, "A_log", CLATTN_F32, false, SHAPE(H)), 3, 0, 1);
        draw(add(&s, S_B, "B", type, false, SHAPE(1, T, G, N)), 4, 0, 1);
        draw(add(&s, S_C, "C", type, false, SHAPE(1, T, G, N)), 5, 0, 1);
        draw(add(&s, S_D, "D", CLATTN_F32, false, SHAPE(H)), 6, 0, 1);
        add(&s, S_OUT, "out", type, true, SHAPE(1, T, H, P));
        add(&s, S_FINAL, "final_state", CLATTN_F32, true, SHAPE(1, H, N, P));
        double e[2][T * H * P], p[2][T * H * P], unit[T * H * P];
        ssd_exact(&s, T, H, P, G, N, e[0], e[1]);
        ssd_plain(&s, T, H, P, G, N, p[0], p[1]);
        for (int n = 0; n < T * H * P; n++) unit[n] = 1;
        if (run(&s)) judge(&s, S_OUT, e[0], p[0], unit), judge(&s, S_FINAL, e[1], p[1], unit);
        free_scene(&s);
    }
    finish();
}
END_TEST

/* ------------------------------------------------------------------- few keys */

enum { W_Q, W_K, W_V, W_E, W_F, W_OUT };
static clattn_layout order(const struct scene *s) { return s->k[0] ? CLATTN_BSHD : CLATTN_BHSD; }
CALL(call_linformer) { return clattn_linformer(ctx, t[W_Q], t[W_K], t[W_V], t[W_E], t[W_F], order(s), NAN, t[W_OUT], l); }
CALL(call_nystrom) { return clattn_nystrom(ctx, t[W_Q], t[W_K], t[W_V], s->k[1], order(s), NAN, t[W_OUT], l); }

enum { FB = 2, FH = 2, FQ = 20, FK = 33, FD = 8, FV = 6, FP = 5 };

/* Of one head, in REAL: c = a b with a [M][K], b [K][N], or [N][K] turned; and the softmax of rows. */
#define FEW(REAL, as) \
    static void multiply_##as(const REAL *a, const REAL *b, REAL *c, int M, int N, int K, bool turned, REAL x) \
    { \
        for (int i = 0; i < M; i++) \
            for (int j = 0; j < N; j++) { \
                REAL sum = 0; \
                for (int k = 0; k < K; k++) sum += a[i * K + k] * (turned ? b[j * K + k] : b[k * N + j]); \
                c[i * N + j] = x * sum; \
            } \
    } \
    static void normal_##as(REAL *a, int M, int N) \
    { \
        for (int i = 0; i < M; i++) { \
            REAL top = -INFINITY, sum = 0; \
            for (int j = 0; j < N; j++) top = a[i * N + j] > top ? a[i * N + j] : top; \
            for (int j = 0; j < N; j++) sum += a[i * N + j] = exp(a[i * N + j] - top); \
            for (int j = 0; j < N; j++) a[i * N + j] /= sum; \
        } \
    } \
    static void head_of_##as(const struct arg *x, bool bshd, int b, int h, int N, int D, REAL *to) \
    { \
        for (int i = 0; i < N; i++) \
            for (int d = 0; d < D; d++) to[i * D + d] = (REAL)x->v[((bshd ? b * N + i : b * FH + h) * (bshd ? FH : N) + (bshd ? h : i)) * D + d]; \
    } \
    static void means_##as(const REAL *x, int N, REAL *to) \
    { \
        for (int s = 0; s < FP; s++) \
            for (int d = 0; d < FD; d++) { \
                REAL sum = 0; \
                for (int i = s * N / FP; i < (s + 1) * N / FP; i++) sum += x[i * FD + d]; \
                to[s * FD + d] = sum / (REAL)((s + 1) * N / FP - s * N / FP); \
            } \
    } \
    static void few_##as(const struct scene *s, double *out) \
    { \
        const bool bshd = s->k[0], nystrom = s->call == call_nystrom; \
        const REAL scale = 1 / sqrt((REAL)FD); \
        for (int b = 0; b < FB; b++) \
            for (int h = 0; h < FH; h++) { \
                REAL q[FQ * FD], k[FK * FD], v[FK * FV], kp[FP * FD], vp[FP * FV], w[FQ * FP], o[FQ * FV], e[FP * FK]; \
                head_of_##as(&s->a[W_Q], bshd, b, h, FQ, FD, q); \
                head_of_##as(&s->a[W_K], bshd, b, h, FK, FD, k); \
                head_of_##as(&s->a[W_V], bshd, b, h, FK, FV, v); \
                if (!nystrom) { \
                    for (int i = 0; i < FP * FK; i++) e[i] = (REAL)s->a[W_E].v[(s->k[1] ? h * FP * FK : 0) + i]; \
                    multiply_##as(e, k, kp, FP, FD, FK, false, 1); \
                    for (int i = 0; i < FP * FK; i++) e[i] = (REAL)(s->a[W_F].name ? s->a[W_F].v[i] : s->a[W_E].v[(s->k[1] ? h * FP * FK : 0) + i]); \
                    multiply_##as(e, v, vp, FP, FV, FK, false, 1); \
                } else { \
                    REAL qm[FP * FD], a[FP * FP], z[FP * FP], az[FP * FP], x[FP * FP], y[FP * FP], seen[FP * FV], most = 0, wide = 0; \
                    means_##as(q, FQ, qm), means_##as(k, FK, kp); \
                    multiply_##as(qm, kp, a, FP, FP, FD, true, scale), normal_##as(a, FP, FP); \
                    for (int i = 0; i < FP; i++) { \
                        REAL r = 0, c = 0; \
                        for (int j = 0; j < FP; j++) r += a[i * FP + j], c += a[j * FP + i]; \
                        most = r > most ? r : most, wide = c > wide ? c : wide; \
                    } \
                    for (int i = 0; i < FP * FP; i++) z[i % FP * FP + i / FP] = a[i] / (most * wide); \
                    for (int n = 0; n < 6; n++) { \
                        multiply_##as(a, z, az, FP, FP, FP, false, 1); \
                        for (int i = 0; i < FP * FP; i++) x[i] = (i % (FP + 1) ? 0 : 7) - az[i]; \
                        multiply_##as(az, x, y, FP, FP, FP, false, 1); \
                        for (int i = 0; i < FP * FP; i++) x[i] = (i % (FP + 1) ? 0 : 15) - y[i]; \
                        multiply_##as(az, x, y, FP, FP, FP, false, 1); \
                        for (int i = 0; i < FP * FP; i++) x[i] = (i % (FP + 1) ? 0 : 13) - y[i]; \
                        multiply_##as(z, x, y, FP, FP, FP, false, (REAL)0.25); \
                        memcpy(z, y, sizeof z); \
                    } \
                    multiply_##as(qm, k, e, FP, FK, FD, true, scale), normal_##as(e, FP, FK); \
                    multiply_##as(e, v, seen, FP, FV, FK, false, 1); \
                    multiply_##as(z, seen, vp, FP, FV, FP, false, 1); \
                } \
                multiply_##as(q, kp, w, FQ, FP, FD, true, scale), normal_##as(w, FQ, FP); \
                multiply_##as(w, vp, o, FQ, FV, FP, false, 1); \
                for (int i = 0; i < FQ; i++) \
                    for (int d = 0; d < FV; d++) \
                        out[((bshd ? b * FQ + i : b * FH + h) * (bshd ? FH : FQ) + (bshd ? h : i)) * FV + d] = o[i * FV + d]; \
            } \
    }
FEW(double, exact)
FEW(float, plain)

START_TEST(test_few_keys)
{
    static const clattn_dtype types[] = { CLATTN_F32, CLATTN_F16, CLATTN_BF16 };
    for (int n = 0; n < (attend_is_slow() ? 0 : attend_is_host() ? 6 : 2); n++) {
        const bool nystrom = n % 2, bshd = n % 3 == 1;
        enum { COUNT = FB * FH * FQ * FV };
        struct scene s = { .call = nystrom ? call_nystrom : call_linformer, .k = { bshd, nystrom ? FP : n == 2 } };
        clattn_dtype type = types[n / 2];
        double exact[COUNT], plain[COUNT], unit[COUNT], rho = 0;
        snprintf(s.what, sizeof s.what, "%s, type %d%s", nystrom ? "nystrom" : "linformer", (int)type, bshd ? ", BSHD" : "");
#define ROWS(N, dim) 4, (const int64_t[]){ FB, bshd ? N : FH, bshd ? FH : N, dim }
        add(&s, W_Q, "q", type, false, ROWS(FQ, FD));
        add(&s, W_K, "k", type, false, ROWS(FK, FD));
        add(&s, W_V, "v", CLATTN_F32, false, ROWS(FK, FV));
        if (!nystrom) add(&s, W_E, "e", CLATTN_F32, false, SHAPE(s.k[1] ? FH : 1, FP, FK));
        if (n == 0) add(&s, W_F, "f", CLATTN_F32, false, SHAPE(1, FP, FK));
        add(&s, W_OUT, "out", type, true, ROWS(FQ, FV));
#undef ROWS
        for (uint64_t seed = 12; seed > 0; seed--) { /* the last numbers are the library's */
            for (int k = W_Q; k <= W_F; k++)
                if (s.a[k].name) draw(&s.a[k], seed * 8 + (uint64_t)k, 0, k >= W_E ? 0.3 : 1);
            few_exact(&s, exact), few_plain(&s, plain);
            double most = 0;
            for (int e = 0; e < COUNT; e++) most = fmax(most, fabs(exact[e]));
            for (int e = 0; e < COUNT; e++) unit[e] = most;
            rho = fmax(rho, rho_of(COUNT, exact, plain, unit));
        }
        if (run(&s)) judge_with(rho, &s, W_OUT, exact, unit);
        free_scene(&s);
    }
    finish();
}
END_TEST

/* ----------------------------------------------------------------- projections */

START_TEST(test_projection)
{
    enum { M = 40, K = 16 };
    float w[M * K], again[M * K];
    clattn_tensor t = { .size = sizeof t, .rank = 2, .shape = { M, K }, .host = w };
    if (clattn_favor_projection(attend_context(), 42, 7, &t, NULL) != CLATTN_OK) wrong("projection: %s", clattn_last_message());
    t.host = again;
    if (clattn_favor_projection(attend_context(), 42, 7, &t, NULL) != CLATTN_OK || memcmp(w, again, sizeof w)) wrong("projection: other bits");
    double squares = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j <= i; j++) {
            double dot = 0, a = 0, b = 0;
            for (int d = 0; d < K; d++)
                dot += (double)w[i * K + d] * w[j * K + d], a += (double)w[i * K + d] * w[i * K + d], b += (double)w[j * K + d] * w[j * K + d];
            if (i / K == j / K && i != j && fabs(dot) > 1e-6 * sqrt(a * b)) wrong("projection: rows %d and %d: %g", i, j, dot);
            if (i == j) squares += a;
        }
    if (!near(squares / (M * K), 1, 0.15)) wrong("projection: mean square %g", squares / (M * K));
    finish();
}
END_TEST

/* ------------------------------------------------------------- wrong arguments */

static float room[256];
#define FAILS(status, words, call) do { \
    for (int i_ = 0; i_ < 256; i_++) room[i_] = 77; \
    clattn_status got_ = (call); \
    if (got_ != (status) || !strstr(clattn_last_message(), words)) \
        wrong("%s: %s: \"%s\" lacks \"%s\"", #call, clattn_status_name(got_), clattn_last_message(), words); \
    for (int i_ = 0; i_ < 256; i_++) if (room[i_] != 77) wrong("%s: wrote an output", #call); } while (0)
#define BAD(words, change) do { \
    clattn_linear l = fine; \
    clattn_linear_tensors t = all; \
    change; \
    FAILS(CLATTN_E_ARGUMENT, words, clattn_linear_attention(attend_context(), &l, &t, NULL)); } while (0)

START_TEST(test_bad)
{
    static float in[256];
#define HOST(p, ...) { .size = sizeof(clattn_tensor), .rank = sizeof((int64_t[]){ __VA_ARGS__ }) / 8, .shape = { __VA_ARGS__ }, .host = p }
    const clattn_tensor q = HOST(in, 1, 4, 3, 2), k = HOST(in, 1, 2, 3, 2), v = HOST(in, 1, 2, 3, 5), g = HOST(in, 1, 2, 3), out = HOST(room, 1, 4, 3, 5);
    const clattn_tensor gd = HOST(in, 1, 2, 3, 2), w = HOST(in, 7, 2), state = HOST(in, 1, 2, 2, 5), z = HOST(in, 1, 2, 2), u = HOST(in, 2, 2);
    const clattn_tensor three = HOST(in, 1, 3, 3, 2), other = HOST(in, 1, 2, 4, 5), one = HOST(in, 6);
    const clattn_tensor lse = HOST(in, 1, 4, 3), k3 = HOST(in, 1, 2, 3);
    const clattn_linear_tensors all = { .size = sizeof all, .q = &q, .k = &k, .v = &v, .out = &out };
    clattn_linear fine;
    clattn_linear_init(&fine);
    BAD("q is NULL", t.q = NULL);
    BAD("out is NULL", t.out = NULL);
    BAD("q has rank 1, must have 4", t.q = &one);
    BAD("q has 4 heads, no multiple of the 3 of k", t.k = &three);
    BAD("v: shape[2] is 4, must be 3", t.v = &other);
    BAD("rule 9 is not", l.rule = (clattn_update_rule)9);
    BAD("map -1 is not", l.map = (clattn_feature_map)-1);
    BAD("layout 2", l.layout = CLATTN_THD);
    BAD("chunk is 1025, must be 0 ... 1024", l.chunk = 1025);
    BAD("chunk is -1", l.chunk = -1);
    BAD("size of clattn_linear is 3", l.size = 3);
    BAD("size of clattn_linear_tensors is 0", t.size = 0);
    BAD("g is missing: rule gated needs it", l.rule = CLATTN_RULE_GATED);
    BAD("g is given: rule linear takes none", t.g = &g);
    BAD("beta is missing: rule delta needs it", l.rule = CLATTN_RULE_DELTA);
    BAD("projection is missing: map favor needs it", l.map = CLATTN_MAP_FAVOR);
    BAD("projection is given: map identity takes none", t.projection = &w);
    BAD("g is by key dim: map square has other features than dims", (l.rule = CLATTN_RULE_GATED, l.map = CLATTN_MAP_SQUARE, t.g = &gd));
    BAD("g: shape[2] is 4, must be 3", (l.rule = CLATTN_RULE_GATED, t.g = &other));
    BAD("initial_z needs normalize", t.initial_z = &z);
    BAD("lse is given: without normalize", t.lse = &lse);
    BAD("lse: shape[1] is 2, must be 4", (l.normalize = 1, t.lse = &k3));
    BAD("lag is -1, must be", l.lag = -1);
    BAD("u is given: lag 2 takes none", (l.lag = 2, t.u = &u));
    BAD("max_len is 5, which map identity does not take", l.max_len = 5);
    BAD("bidirectional (causal false) needs rule linear, not gated", (l.bidirectional = 1, l.rule = CLATTN_RULE_GATED, t.g = &g));
    BAD("initial_state: bidirectional (causal false) takes none", (l.bidirectional = 1, t.initial_state = &state));
    BAD("initial_state: shape[2] is 2, must be 4", (l.map = CLATTN_MAP_SQUARE, t.initial_state = &state));
    BAD("u is given: rule delta takes none", (l.rule = CLATTN_RULE_DELTA, t.beta = &g, t.u = &u));
    BAD("u is given: normalize takes none", (l.normalize = 1, t.u = &u));
    clattn_tensor inside = out;
    inside.host = in;
    BAD("out overlaps q", t.out = &inside);
    clattn_linear l = fine;
    l.normalize = 1, l.rule = CLATTN_RULE_DELTA;
    clattn_linear_tensors t = all;
    t.beta = &g;
    FAILS(CLATTN_E_UNSUPPORTED, "normalize with rule delta", clattn_linear_attention(attend_context(), &l, &t, NULL));
    l = fine, l.bidirectional = 1, l.chunk = 1;
    FAILS(CLATTN_E_UNSUPPORTED, "chunk 1, the recurrent form, is causal", clattn_linear_attention(attend_context(), &l, &all, NULL));
    l = fine, l.map = CLATTN_MAP_COS, l.lag = 1;
    FAILS(CLATTN_E_UNSUPPORTED, "lag 1 with map cos", clattn_linear_attention(attend_context(), &l, &all, NULL));
    l = fine;
    FAILS(CLATTN_E_ARGUMENT, "linear is NULL", clattn_linear_attention(attend_context(), NULL, &all, NULL));
    FAILS(CLATTN_E_ARGUMENT, "tensors is NULL", clattn_linear_attention(attend_context(), &l, NULL, NULL));
    FAILS(CLATTN_E_ARGUMENT, "projection has rank 1, must have 2", clattn_favor_projection(attend_context(), 1, 0, &one, NULL));
    const clattn_tensor e = HOST(in, 3, 2, 3), y4 = HOST(room, 1, 4, 3, 2), n4 = HOST(in, 1, 4, 3, 2);
    FAILS(CLATTN_E_UNSUPPORTED, "k has 2 heads and q 4", clattn_linformer(attend_context(), &q, &k, &k, &e, NULL, CLATTN_BHSD, NAN, &y4, NULL));
    FAILS(CLATTN_E_ARGUMENT, "e: shape[0] is 3, must be 4", clattn_linformer(attend_context(), &q, &n4, &n4, &e, NULL, CLATTN_BHSD, NAN, &y4, NULL));
    FAILS(CLATTN_E_ARGUMENT, "landmarks is 4, q has 3 rows", clattn_nystrom(attend_context(), &q, &n4, &n4, 4, CLATTN_BHSD, NAN, &y4, NULL));
    FAILS(CLATTN_E_ARGUMENT, "landmarks is 0, must be 1 ... 1024", clattn_nystrom(attend_context(), &q, &n4, &n4, 0, CLATTN_BHSD, NAN, &y4, NULL));
    const clattn_tensor x = HOST(in, 1, 3, 4, 2), dt = HOST(in, 1, 3, 4), A = HOST(in, 4), B = HOST(in, 1, 3, 3, 2), y = HOST(room, 1, 3, 4, 2);
    FAILS(CLATTN_E_ARGUMENT, "x has 4 heads, no multiple of the 3 groups of B",
          clattn_mamba2_ssd(attend_context(), &x, &dt, &A, &B, &B, NULL, NULL, 0, &y, NULL, NULL));
    FAILS(CLATTN_E_ARGUMENT, "A_log: shape[0] is 6, must be 4",
          clattn_mamba2_ssd(attend_context(), &x, &dt, &one, &x, &x, NULL, NULL, 0, &y, NULL, NULL));
    finish();
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        { "shapes", test_shapes, SHAPES }, { "all", test_all, 36 }, { "sizes", test_sizes, 1 }, { "gates", test_gates, 2 },
        { "random", test_random, 1 }, { "parts", test_parts, 1 }, { "causal", test_causal, 1 }, { "heads", test_heads, 1 },
        { "hybrid", test_hybrid, 1 }, { "in_place", test_in_place, 1 }, { "mamba", test_mamba, 1 }, { "few_keys", test_few_keys, 1 }, { "projection", test_projection, 1 }, { "bad", test_bad, 1 },
        { NULL, NULL, 0 },
    };
    return run_tests("linear", tests);
}
