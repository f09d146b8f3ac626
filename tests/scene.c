/* scene.c -- see scene.h. */
#include "scene.h"
#include "base/half.h"

enum { CANARY = 0xa5 };

static size_t size_of(const struct arg *a) { return a->type == CLATTN_F32 || a->type == CLATTN_INT32 ? 4 : 2; }
size_t count_of(const struct arg *a)
{
    size_t n = 1;
    for (int i = 0; i < a->rank; i++) n *= (size_t)a->shape[i];
    return n;
}
double *numbers(size_t n)
{
    double *v = calloc(n + 1, sizeof *v);
    ck_assert_ptr_nonnull(v);
    return v;
}

struct arg *add(struct scene *s, int k, const char *name, clattn_dtype type, bool output, int rank,
                const int64_t *shape)
{
    struct arg *a = &s->a[k];
    *a = (struct arg){ .name = name, .type = type, .rank = rank, .output = output };
    if (rank) memcpy(a->shape, shape, (size_t)rank * sizeof *shape);
    a->v = numbers(count_of(a));
    a->raw = malloc(count_of(a) * size_of(a) + 2 * SCENE_GUARD);
    ck_assert_ptr_nonnull(a->raw);
    return a;
}

double rounded(clattn_dtype type, double x)
{
    return type == CLATTN_INT32 ? x : oracle_round((enum oracle_type)type, x);
}

void draw(struct arg *a, uint64_t seed, double mean, double deviation)
{
    for (size_t e = 0; e < count_of(a); e++) {
        double sum = 0;
        for (int i = 0; i < 4; i++) sum += (double)draw_below(&seed, 65536) / 65536 - 0.5;
        a->v[e] = rounded(a->type, mean + deviation * sum * 1.7320508);
    }
}

void free_scene(struct scene *s)
{
    for (int k = 0; k < SCENE_ARGS; k++) {
        free(s->a[k].v);
        free(s->a[k].raw);
        if (s->a[k].mem) ca_cl.ReleaseMemObject(s->a[k].mem);
    }
}

static double get(const struct arg *a, const char *from, size_t e)
{
    const void *p = from + e * size_of(a);
    float f;
    int32_t i;
    uint16_t h;
    memcpy(&h, p, sizeof h);
    if (a->type == CLATTN_F16) return ca_f16_to_f32(h);
    if (a->type == CLATTN_BF16) return ca_bf16_to_f32(h);
    memcpy(&i, p, sizeof i);
    memcpy(&f, p, sizeof f);
    return a->type == CLATTN_INT32 ? i : f;
}

static void read_numbers(struct arg *a)
{
    for (size_t e = 0; a->output && e < count_of(a); e++) a->v[e] = get(a, a->raw + SCENE_GUARD, e);
}

static void put(const struct arg *a, char *to, size_t e)
{
    float f = (float)a->v[e];
    int32_t i = a->type == CLATTN_INT32 ? (int32_t)a->v[e] : 0;
    uint16_t h = a->type == CLATTN_F16 ? ca_f32_to_f16(f) : ca_f32_to_bf16(f);
    if (size_of(a) == 2) memcpy(to + 2 * e, &h, 2);
    else memcpy(to + 4 * e, a->type == CLATTN_INT32 ? (void *)&i : &f, 4);
}

static void fill_raw(struct arg *a)
{
    memset(a->raw, CANARY, count_of(a) * size_of(a) + 2 * SCENE_GUARD);
    if (!a->output)
        for (size_t e = 0; e < count_of(a); e++) put(a, a->raw + SCENE_GUARD, e);
}

/* Guards are as they were, and inputs too. */
static void check_raw(const struct scene *s, const struct arg *a, const char *how)
{
    size_t bytes = count_of(a) * size_of(a);
    bool right = true;
    for (size_t i = 0; i < SCENE_GUARD; i++)
        right = right && (unsigned char)a->raw[i] == CANARY && (unsigned char)a->raw[SCENE_GUARD + bytes + i] == CANARY;
    if (!right) wrong("%s, %s: wrote around %s", s->what, how, a->name);
    char *bits = malloc(bytes + 4);
    for (size_t e = 0; bits && !a->output && e < count_of(a); e++) put(a, bits, e);
    if (!a->output && memcmp(bits, a->raw + SCENE_GUARD, bytes))
        wrong("%s, %s: changed input %s", s->what, how, a->name);
    free(bits);
}

static void describe(const struct scene *s, clattn_tensor t[SCENE_ARGS], const clattn_tensor *list[SCENE_ARGS],
                     bool mem)
{
    for (int k = 0; k < SCENE_ARGS; k++) {
        const struct arg *a = &s->a[k];
        t[k] = (clattn_tensor){ .size = sizeof t[k], .dtype = a->type, .rank = a->rank };
        memcpy(t[k].shape, a->shape, sizeof a->shape);
        if (mem) t[k].mem = a->mem, t[k].offset = SCENE_GUARD;
        else t[k].host = a->raw + SCENE_GUARD;
        list[k] = a->name ? &t[k] : NULL;
    }
}

static bool ok(const struct scene *s, const char *how, clattn_status st)
{
    if (st != CLATTN_OK) wrong("%s, %s: %s: %s", s->what, how, clattn_status_name(st), clattn_last_message());
    return st == CLATTN_OK;
}

/* What came out has the bits of ALL, the outputs one behind the other. */
static void check_bits(const struct scene *s, const char *how, const char *all)
{
    for (int k = 0; k < SCENE_ARGS; k++) {
        size_t bytes = s->a[k].name ? count_of(&s->a[k]) * size_of(&s->a[k]) : 0;
        if (!s->a[k].output) continue;
        if (memcmp(all, s->a[k].raw + SCENE_GUARD, bytes))
            wrong("%s, %s: other bits in %s", s->what, how, s->a[k].name);
        all += bytes;
    }
}

void run_mem(struct scene *s, const char *how)
{
    clattn_context *ctx = attend_context();
    clattn_tensor t[SCENE_ARGS];
    const clattn_tensor *list[SCENE_ARGS];
    cl_event before = NULL, after = NULL;
    cl_int code = CL_SUCCESS;
    for (int k = 0; k < SCENE_ARGS && code == CL_SUCCESS; k++) {
        struct arg *a = &s->a[k];
        if (!a->name) continue;
        size_t bytes = count_of(a) * size_of(a) + 2 * SCENE_GUARD;
        if (!a->mem) a->mem = ca_cl.CreateBuffer(ctx->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
        fill_raw(a);
        if (before) ca_cl.ReleaseEvent(before);
        if (code == CL_SUCCESS)
            code = ca_cl.EnqueueWriteBuffer(ctx->queue, a->mem, CL_TRUE, 0, bytes, a->raw, 0, NULL, &before);
    }
    describe(s, t, list, true);
    bool here = s->in_place && !strcmp(how, "in place");
    if (here) t[s->in_place] = t[0];
    const clattn_launch launch = { .size = sizeof launch, .queue = here ? NULL : ctx->queue, .num_events = 1,
                                   .wait_list = &before, .event = &after };
    if (code != CL_SUCCESS) wrong("%s: the test's own buffers: %d", s->what, (int)code);
    else if (ok(s, how, s->call(s, ctx, list, &launch))) {
        for (int k = 0; k < SCENE_ARGS; k++) {
            struct arg *a = &s->a[k], *at = here && k == s->in_place ? &s->a[0] : a;
            if (!a->name) continue;
            code = ca_cl.EnqueueReadBuffer(ctx->queue, at->mem, CL_TRUE, 0, count_of(a) * size_of(a) + 2 * SCENE_GUARD,
                                           a->raw, 1, &after, NULL);
            if (code != CL_SUCCESS) wrong("%s: reading back: %d", s->what, (int)code);
            if (!here || k != 0) check_raw(s, a, how);
            read_numbers(a);
        }
        ca_cl.ReleaseEvent(after);
    }
    if (before) ca_cl.ReleaseEvent(before);
}

static void run_in_place(struct scene *s)
{
    clattn_tensor t[SCENE_ARGS];
    const clattn_tensor *list[SCENE_ARGS];
    struct arg *from = &s->a[0], *to = &s->a[s->in_place];
    if (from->type != to->type) return;
    if (!attend_is_host()) {
        run_mem(s, "in place");
        return;
    }
    for (int k = 0; k < SCENE_ARGS; k++)
        if (s->a[k].name) fill_raw(&s->a[k]);
    describe(s, t, list, false);
    t[s->in_place].host = t[0].host;
    ok(s, "in place", s->call(s, attend_context(), list, NULL));
    memcpy(to->raw, from->raw, count_of(to) * size_of(to) + 2 * SCENE_GUARD);
}

bool run(struct scene *s)
{
    clattn_tensor t[SCENE_ARGS];
    const clattn_tensor *list[SCENE_ARGS];
    size_t bytes = 0, at = 0;
    for (int k = 0; k < SCENE_ARGS; k++) {
        if (s->a[k].name) fill_raw(&s->a[k]);
        if (s->a[k].output) bytes += count_of(&s->a[k]) * size_of(&s->a[k]);
    }
    describe(s, t, list, false);
    if (!ok(s, "on pointers", s->call(s, attend_context(), list, NULL))) return false;
    char *all = malloc(bytes + 1);
    ck_assert_ptr_nonnull(all);
    for (int k = 0; k < SCENE_ARGS; k++) {
        struct arg *a = &s->a[k];
        if (!a->name) continue;
        check_raw(s, a, "on pointers");
        read_numbers(a);
        if (a->output) memcpy(all + at, a->raw + SCENE_GUARD, count_of(a) * size_of(a)), at += count_of(a) * size_of(a);
    }
    if (!attend_is_host()) {
        run_mem(s, "in device memory");
        check_bits(s, "in device memory", all);
    }
    if (s->in_place && s->a[0].type == s->a[s->in_place].type) {
        run_in_place(s);
        check_bits(s, "in place", all);
    }
    free(all);
    return true;
}

/* ---------------------------------------------------------------------- bound */

double rho_of(size_t count, const double *exact, const double *plain, const double *unit)
{
    double rho = 0;
    for (size_t e = 0; e < count; e++)
        if (isfinite(exact[e]) && isfinite(plain[e]) && unit[e] > 0)
            rho = fmax(rho, fabs(plain[e] - exact[e]) / unit[e]);
    return rho;
}

void judge_with(double rho, const struct scene *s, int k, const double *exact, const double *unit)
{
    const struct arg *a = &s->a[k];
    double worst = 0;
    size_t at = 0;
    for (size_t e = 0; e < count_of(a); e++) {
        double want = rounded(a->type, exact[e]), got = a->v[e], excess;
        if (isnan(want)) excess = isnan(got) ? 0 : INFINITY;
        else if (isinf(want)) excess = got == want ? 0 : INFINITY;
        else excess = fabs(got - exact[e]) / (2 * rho * unit[e] + oracle_ulp((enum oracle_type)a->type, exact[e]));
        if (!(excess <= worst)) worst = excess, at = e;
    }
    if (!(worst <= 1))
        wrong("%s: %s[%zu] is %.9g, should be %.9g: %.3g times the bound", s->what, a->name, at, a->v[at], exact[at],
              worst);
}

void judge(const struct scene *s, int k, const double *exact, const double *plain, const double *unit)
{
    judge_with(rho_of(count_of(&s->a[k]), exact, plain, unit), s, k, exact, unit);
}

void judge_same(const struct scene *s, int k, const double *exact)
{
    const struct arg *a = &s->a[k];
    for (size_t e = 0; e < count_of(a); e++)
        if (a->v[e] != rounded(a->type, exact[e]))
            wrong("%s: %s[%zu] is %.9g, should be %.9g", s->what, a->name, e, a->v[e], rounded(a->type, exact[e]));
}
