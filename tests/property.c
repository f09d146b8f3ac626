/* property.c -- see property.h. */
#define _GNU_SOURCE /* REG_RIP */
#include "property.h"
#include <execinfo.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

const struct kind kinds[KINDS] = { { CLATTN_F32, 64 }, { CLATTN_F16, 40 }, { CLATTN_BF16, 64 } };

int small_or(int small, int usual) { return attend_is_slow() ? small : usual; }

struct shape base(int kind)
{
    return shape_full((struct shape){ .dtype = kinds[kind].dtype, .D = kinds[kind].D, .B = 2, .Hq = 4, .Hkv = 2,
                                      .Nq = small_or(17, 65), .Nk = small_or(33, 129) });
}

bool solve(const struct shape *s, const char *algo, const struct data *d, struct result *r)
{
    return attend(s, s->Nk == 0 || shape_rows(s) == 0 ? NULL : algo, d, r);
}

size_t out_count(const struct shape *s) { return shape_rows(s) * (size_t)s->Dv; }

double tolerance(const struct shape *s)
{
    return s->dtype == CLATTN_F32 ? 0x1p-18 : s->dtype == CLATTN_F16 ? 0x1p-8 : 0x1p-5;
}

void expect(bool right, const struct shape *s, const char *algo, const char *what)
{
    char text[SHAPE_TEXT];
    shape_print(s, text);
    if (!right) wrong("%s: %s: %s", text, algo, what);
}

bool near(double a, double b, double tol) { return a == b || fabs(a - b) <= tol * fmax(1, fabs(b)); }

bool all_near(const float *a, const float *b, size_t n, double tol)
{
    for (size_t e = 0; e < n; e++)
        if (!near(a[e], b[e], tol)) return false; /* NaN is near nothing */
    return true;
}

/* A and B are equal in exact arithmetic. */
void expect_close(const struct shape *s, const char *algo, const struct result *a, const struct result *b,
                         const char *what)
{
    expect(all_near(a->out, b->out, out_count(s), tolerance(s)), s, algo, what);
    expect(all_near(a->lse, b->lse, shape_rows(s), 0x1p-19), s, algo, what);
}

void expect_same(const struct shape *s, const char *algo, const struct result *a, const struct result *b,
                        const char *what)
{
    expect(!memcmp(a->out, b->out, out_count(s) * sizeof(float)), s, algo, what);
    expect(!memcmp(a->lse, b->lse, shape_rows(s) * sizeof(float)), s, algo, what);
}

void make_eighths(float *x, size_t n, uint64_t seed)
{
    for (size_t e = 0; e < n; e++) x[e] = (float)(draw_below(&seed, 31) - 15) / 8;
}

size_t k_count(const struct shape *s) { return (size_t)(s->B * s->Hkv * s->Nk) * (size_t)s->D; }
size_t v_count(const struct shape *s) { return (size_t)(s->B * s->Hkv * s->Nk) * (size_t)s->Dv; }

float *row_of(float *x, int m, int rows, int width, int j)
{
    return x + ((size_t)m * (size_t)rows + (size_t)j) * (size_t)width;
}

int kv_head(const struct shape *s, size_t row)
{
    int h = (int)(row / (size_t)s->Nq); /* counts through the batch, as does the result */
    return h / s->Hq * s->Hkv + h % s->Hq / (s->Hq / s->Hkv);
}

void fill(float *x, size_t n, float value)
{
    for (size_t e = 0; e < n; e++) x[e] = value;
}

bool in_share(unsigned n)
{
    const char *share = getenv("CLATTN_SHARE");
    unsigned first = 0, every = 1;
    if (share) ck_assert_msg(sscanf(share, "%u/%u", &first, &every) == 2 && first < every, "CLATTN_SHARE=%s", share);
    return n % every == first;
}

/* A number of the kernels that ALGO runs S with, the same on each device and for all properties; 0 for those of plain f32. */
static unsigned kernels_of(const struct shape *s, const char *algo)
{
    char text[SHAPE_TEXT + 64] = "";
    unsigned hash = 0;
    if (s->pattern) pattern_print(s->pattern, text, SHAPE_TEXT);
    const int n = (int)strlen(text), on = s->dtype || s->mask || s->bias || s->lens || s->softcap || s->dropout || s->shared || s->kv_format || s->score;
    snprintf(text + n, 64, " %d%d%d%d%d%d%d%d%d", s->dtype, s->mask != NULL, s->bias != NULL, s->lens != NULL, s->softcap != 0, s->dropout != 0,
             s->shared != 0, s->kv_format, s->score);
    for (const char *c = text; *c; c++) hash = hash * 31 + (unsigned char)*c;
    for (const char *c = algo; *c; c++) hash = hash * 31 + (unsigned char)*c;
    return on || s->pattern ? hash : 0;
}

void on_every_algo(struct shape s, property *f)
{
    const char *names[CA_MAX_CANDIDATES];
    size_t n = attend_algos(&s, names);
    for (size_t i = 0; i < n; i++) {
        struct data d;
        unsigned number = kernels_of(&s, names[i]);
        if (number && !in_share(number)) continue;
        if (!data_draw(&s, 7, &d)) return;
        f(&s, names[i], &d);
        data_free(&d);
    }
}

void finish(void)
{
    int bad = failures();
    ck_assert_msg(bad == 0, "%d failures", bad);
}

/* Where a driver or what it compiled crashes, this is all there is to look at.  (Sanitizers have reports of their own.) */
static void tell_crash(int signal_number, siginfo_t *info, void *at)
{
    void *calls[32];
    printf("signal %d at %p, in the problem \"%s\"; instruction and calls:\n", signal_number, info->si_addr, attend_problem);
#ifdef REG_RIP
    const unsigned char *code = (const unsigned char *)((ucontext_t *)at)->uc_mcontext.gregs[REG_RIP];
    for (int i = 0; code != info->si_addr && i < 16; i++) printf("%02x%s", code[i], i < 15 ? " " : "\n");
#else
    (void)at;
#endif
    backtrace_symbols_fd(calls, backtrace(calls, 32), STDOUT_FILENO);
    raise(signal_number);
}

static void catch_crashes(void)
{
#ifndef __SANITIZE_ADDRESS__
    struct sigaction act = { .sa_sigaction = tell_crash, .sa_flags = SA_SIGINFO | SA_RESETHAND };
    const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &act, NULL);
#endif
}

int run_tests(const char *name, const struct test *tests)
{
    const char *only = getenv("CLATTN_TEST");
    setvbuf(stdout, NULL, _IOLBF, 0);
    catch_crashes();
    alarm(1800); /* a device that hangs must not hold up everything */
    Suite *suite = suite_create(name);
    for (const struct test *t = tests; t->name; t++) {
        if (only && strcmp(only, t->name)) continue;
        TCase *tc = tcase_create(t->name);
        tcase_add_loop_test(tc, t->test, 0, t->times);
        suite_add_tcase(suite, tc);
    }
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* OpenCL does not survive fork */
    srunner_run_all(runner, CK_ENV);
    int bad = srunner_ntests_failed(runner), ran = srunner_ntests_run(runner);
    srunner_free(runner);
    attend_close();
    if (!ran) printf("no test ran; CLATTN_TEST is %s\n", only ? only : "not set");
    return bad != 0 || ran == 0;
}
