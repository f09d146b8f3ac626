/* test_group.c -- one attention on several devices: the host and the device of the matrix.  All that one device computes, the two compute (attend.h,
 * on-device group); here: what is split and how, devices that fail, shares that follow the speed. */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "api.h"
#include "plan/group.h"

static char words[8192];

/* The device of the environment with the host; false, said aloud, where there is none. */
static bool open_both(const char *host, const char *other)
{
    char selector[512];
    const char *device = getenv("CLATTN_DEVICES");
    small_init(&s);
    if (!device || !strcmp(device, "host")) return puts("skipped: the host is alone"), false;
    snprintf(selector, sizeof selector, "host@%s,%s@%s", host, device, other);
    WORKS(clattn_context_create(selector, &ctx));
    ck_assert_int_eq(ctx->members, 2);
    return true;
}

static void plan_it(void)
{
    WORKS(clattn_plan_create(ctx, &s.a, NULL, &plan));
    clattn_plan_explain(plan, words, sizeof words);
}

/* ---- what is split */

START_TEST(by_weight)
{
    static const struct { const char *host, *other, *share; } rows[] = {
        {"1", "1", " 50.0 % of the work"}, {"3", "1", " 75.0 % of the work"}, {"1", "0.001", " 99.9 % of the work"}, {"0.001", "1", " 0.1 % of the work"},
    };
    if (!open_both(rows[_i].host, rows[_i].other)) return;
    plan_it();
    ck_assert_ptr_nonnull(plan->group);
    ck_assert_msg(strstr(words, rows[_i].share) && strstr(words, ", by weight"), "%s", words);
    for (int n = 0; n < 3; n++) runs();
    close_all();
}
END_TEST

/* What is small stays together where there are no weights; and all that has to. */
START_TEST(on_one_alone)
{
    clattn_pattern top_p;
    static const char *const reasons[] = { "it is small", "the pattern counts", "dropout numbers", "keys are shared", "with split_len" };
    if (!open_both(_i ? "1" : "", _i ? "1" : "")) return;
    clattn_pattern_init(&top_p, CLATTN_TOP_P);
    top_p.p = 0.5;
    top_p.max = 4;
    if (_i == 1) s.a.pattern = &top_p;
    if (_i == 2) s.a.dropout_p = 0.5;
    if (_i == 3) s.a.shared_len = 2;
    if (_i == 4) s.a.split_len = 16;
    plan_it();
    ck_assert_ptr_null(plan->group);
    ck_assert_msg(strstr(words, ": on one alone, since ") && strstr(words, reasons[_i]), "%s", words);
    if (_i == 0 || _i == 4) runs();
    close_all();
}
END_TEST

/* ---- devices that fail */

static __typeof__(ca_cl.EnqueueNDRangeKernel) launch;
static __typeof__(ca_cl.EnqueueMapBuffer) map;
static atomic_int calls, fails_at = INT_MAX, slow_ms;

static cl_int CL_API_CALL bad_launch(cl_command_queue queue, cl_kernel kernel, cl_uint dim, const size_t *offset, const size_t *global, const size_t *local,
                                     cl_uint waits, const cl_event *wait, cl_event *event)
{
    if (atomic_fetch_add(&calls, 1) >= fails_at) return CL_OUT_OF_RESOURCES;
    if (slow_ms) nanosleep(&(struct timespec){ .tv_nsec = 1000000l * slow_ms }, NULL);
    return launch(queue, kernel, dim, offset, global, local, waits, wait, event);
}

static void *CL_API_CALL bad_map(cl_command_queue queue, cl_mem mem, cl_bool blocking, cl_map_flags flags, size_t offset, size_t size, cl_uint waits,
                                 const cl_event *wait, cl_event *event, cl_int *code)
{
    if (atomic_fetch_add(&calls, 1) >= fails_at) return *code = CL_MEM_OBJECT_ALLOCATION_FAILURE, NULL;
    return map(queue, mem, blocking, flags, offset, size, waits, wait, event, code);
}

static void make_bad(bool maps)
{
    launch = ca_cl.EnqueueNDRangeKernel;
    map = ca_cl.EnqueueMapBuffer;
    if (maps) ca_cl.EnqueueMapBuffer = bad_map;
    else ca_cl.EnqueueNDRangeKernel = bad_launch;
}

/* _i 0 to 3: at the first, second ... call; 4 to 7: of those that map.  The result is complete, the caller can see who was dropped, and is not
 * asked to wait for it again. */
START_TEST(one_fails)
{
    clattn_device_info info[4] = { { .size = sizeof *info }, { .size = sizeof *info }, { .size = sizeof *info }, { .size = sizeof *info } };
    size_t count = 4;
    if (!open_both("1", "1")) return;
    make_bad(_i >= 4);
    plan_it();
    runs();
    calls = 0;
    fails_at = _i % 4;
    for (int n = 0; n < 4; n++) runs();
    WORKS(clattn_context_members(ctx, info, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert(info[0].usable && !info[1].usable && strstr(info[1].reason, _i < 4 ? "clEnqueueNDRangeKernel" : "clEnqueueMapBuffer"));
    const int seen = calls;
    runs();
    ck_assert_int_eq(calls, seen);
    clattn_plan_destroy(plan);
    plan_it(); /* another plan does without it, too */
    ck_assert_msg(strstr(words, "dropped: "), "%s", words);
    runs();
    ck_assert_int_eq(calls, seen);
    close_all();
}
END_TEST

/* Both are OpenCL devices, the same one twice: then nobody is left, the call fails and says why, and nothing was written. */
START_TEST(all_fail)
{
    struct device dev;
    if (!small_device(&dev)) return;
    small_init(&s);
    WORKS(ca_context_open(&dev, &ctx));
    ctx->member[0] = ctx;
    ctx->weight[0] = ctx->weight[1] = 1;
    WORKS(ca_context_open(&dev, &ctx->member[1]));
    ctx->members = 2;
    make_bad(_i % 2);
    plan_it();
    runs();
    calls = 0;
    fails_at = _i / 2; /* 1: one has its share by then, and fails at the other's */
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_NO_DEVICE, _i % 2 ? "clEnqueueMapBuffer" : "clEnqueueNDRangeKernel");
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_NO_DEVICE, "none of the 2 devices is left");
    close_all();
}
END_TEST

static void *run_often(void *at)
{
    struct small *mine = at;
    for (int n = 0; n < 50; n++) {
        small_canaries(mine);
        if (clattn_execute_host(plan, &mine->p) != CLATTN_OK || !small_done(mine)) return NULL;
    }
    return at;
}

START_TEST(from_many_threads)
{
    static struct small own[4];
    pthread_t thread[4];
    void *good;
    if (!open_both("1", "1")) return;
    make_bad(false);
    plan_it();
    runs();
    calls = 0;
    fails_at = _i ? 60 : INT_MAX;
    for (int t = 0; t < 4; t++) {
        small_init(&own[t]);
        ck_assert_int_eq(pthread_create(&thread[t], NULL, run_often, &own[t]), 0);
    }
    for (int t = 0; t < 4; t++) {
        pthread_join(thread[t], &good);
        ck_assert_ptr_nonnull(good);
    }
    ck_assert(ca_context_dropped(ctx->member[1]) == (_i > 0));
    close_all();
}
END_TEST

/* ---- shares follow the speed */

enum { N = 2048, H = 2, D = 64, ALL = H * N * D };

static void same(const float *got, const float *wanted, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) ck_assert_msg(fabsf(got[i] - wanted[i]) < 1e-5f, "%s, element %zu: %g, one device has %g", what, i, got[i], wanted[i]);
}

/* One of the two becomes slow: its share shrinks until both are done about at once.  The results are one device's all the while. */
START_TEST(shares_follow_speed)
{
    clattn_attention a;
    float *q = malloc(5 * ALL * sizeof *q), *out = q + 3 * ALL, *wanted = out + ALL, lse[2][H * N];
    clattn_pointers p = { .size = sizeof p, .q = q, .k = q + ALL, .v = q + 2 * ALL, .out = wanted, .lse = lse[0] };
    ck_assert_ptr_nonnull(q);
    for (int i = 0; i < 3 * ALL; i++) q[i] = (float)(i * 2654435761u % 1000) / 1000 - 0.5f;
    clattn_attention_init(&a);
    a.q_heads = H;
    a.kv_heads = _i / 2 ? 1 : H; /* then rows of both heads are in a box: lse's do not lie together */
    a.q_len = a.kv_len = N;
    a.head_dim = D;
    a.causal = _i % 2;
    WORKS(clattn_context_create("host", &ctx));
    WORKS(clattn_plan_create(ctx, &a, NULL, &plan));
    WORKS(clattn_execute_host(plan, &p));
    close_all();

    if (!open_both("", "")) return free(q);
    make_bad(false);
    WORKS(clattn_plan_create(ctx, &a, NULL, &plan));
    ck_assert_ptr_nonnull(plan->group);
    const double before = ca_group_share(plan, 1);
    p.out = out;
    p.lse = lse[1];
    for (int n = 0; n < 4; n++) {
        slow_ms = n ? 300 : 0;
        WORKS(clattn_execute_host(plan, &p));
        same(out, wanted, ALL, "out");
        same(lse[1], lse[0], H * N, "lse");
    }
    const double after = ca_group_share(plan, 1);
    ck_assert_msg(after < before / 2, "share of the slow device: %g before, %g after", before, after);
    close_all();
    free(q);
}
END_TEST

/* Few heads and rows, many keys: those are divided, and what they give is merged.  _i 1: causal; 2: and nobody sees the second
 * part's keys; 3: lse is not wanted; 4, 5: a NaN in a key of the first part, of the second, is seen in all. */
START_TEST(by_keys)
{
    enum { KEYS = 1000, ROWS = 3, HEADS = 2, DIM = 8 };
    static float q[HEADS * ROWS * DIM], k[KEYS * DIM], v[KEYS * DIM], out[2][HEADS * ROWS * DIM], lse[2][HEADS * ROWS];
    clattn_pointers p = { .size = sizeof p, .q = q, .k = k, .v = v };
    for (int i = 0; i < HEADS * ROWS * DIM; i++) q[i] = (float)(i * 2654435761u % 1000) / 100 - 5;
    for (int i = 0; i < KEYS * DIM; i++) k[i] = (float)(i * 2246822519u % 1000) / 500 - 1, v[i] = (float)(i * 3266489917u % 1000) / 500 - 1;
    if (_i > 3) k[(_i - 4) * 900 * DIM] = NAN;
    for (int both = 0; both < 2; both++) {
        small_init(&s);
        if (!both) WORKS(clattn_context_create("host", &ctx));
        else if (!open_both("1", "2")) return;
        s.a.batch = 1;
        s.a.q_heads = HEADS;
        s.a.kv_heads = 1;
        s.a.q_len = ROWS;
        s.a.kv_len = KEYS;
        s.a.head_dim = DIM;
        s.a.causal = _i > 0 && _i < 4;
        s.a.align = _i == 2 ? CLATTN_TOP_LEFT : CLATTN_BOTTOM_RIGHT;
        p.out = out[both];
        p.lse = both && _i == 3 ? NULL : lse[both];
        plan_it();
        if (both) ck_assert_msg(strstr(words, "keys 0-319: ") && strstr(words, "keys 320-999: "), "%s", words);
        WORKS(clattn_execute_host(plan, &p));
        close_all();
    }
    if (_i < 4) same(out[1], out[0], HEADS * ROWS * DIM, "out");
    for (int i = 0; i < HEADS * ROWS * DIM && _i > 3; i++) ck_assert(isnan(out[0][i]) && isnan(out[1][i]) && isnan(lse[1][i / DIM]));
    for (int i = 0; i < HEADS * ROWS && _i < 3; i++) ck_assert(lse[1][i] == lse[0][i] || fabsf(lse[1][i] - lse[0][i]) < 1e-5f);
}
END_TEST

static void add(TCase *t)
{
    tcase_add_loop_test(t, by_weight, 0, 4);
    tcase_add_loop_test(t, on_one_alone, 0, 5);
    tcase_add_loop_test(t, one_fails, 0, 8);
    tcase_add_loop_test(t, all_fail, 0, 4);
    tcase_add_loop_test(t, from_many_threads, 0, 2);
    tcase_add_loop_test(t, by_keys, 0, 6);
    tcase_add_loop_test(t, shares_follow_speed, 0, 4);
}

int main(void) { return run_api("group", add); }
