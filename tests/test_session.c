/* test_session.c -- the public interface from several threads, across fork(), and in one call, which keeps a session
 * of its own; and what memory a long sequence takes. */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "api.h"

/* ------------------------------------------------------- threads and forks */

static void *thread_runs(void *argument)
{
    struct small *mine = argument;
    for (int n = 0; n < 25; n++) {
        small_canaries(mine);
        if (clattn_execute_host(plan, &mine->p) != CLATTN_OK || !small_done(mine)) return mine;
    }
    return NULL;
}

static void in_threads(void *(*work)(void *))
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    struct small *each = calloc(THREADS, sizeof *each);
    for (int t = 0; t < THREADS; t++) {
        small_init(&each[t]);
        ck_assert_int_eq(pthread_create(&thread[t], NULL, work, &each[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        void *bad;
        pthread_join(thread[t], &bad);
        ck_assert_ptr_null(bad);
    }
    free(each);
}

START_TEST(threads_share_a_plan)
{
    if (!open_plan(_i)) return;
    in_threads(thread_runs);
    close_all();
}
END_TEST

/* What CHECK returns in a child: 0 is good. */
static int in_a_child(int (*check)(void))
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) _exit(check());
    ck_assert(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int inherited_handles(void)
{
    clattn_plan *other;
    small_canaries(&s);
    if (clattn_execute_host(plan, &s.p) != CLATTN_E_FORKED) return 1;
    if (!small_untouched(&s)) return 2;
    if (clattn_plan_create(ctx, &s.a, NULL, &other) != CLATTN_E_FORKED) return 3;
    close_all(); /* must not hang or crash */
    return 0;
}

START_TEST(a_forked_child_is_told)
{
    if (!open_plan(_i)) return;
    runs();
    ck_assert_int_eq(in_a_child(inherited_handles), 0);
    runs();
    close_all();
}
END_TEST

/* ------------------------------------------------------------- in one call */

static void *thread_calls(void *argument)
{
    struct small *mine = argument;
    for (int n = 0; n < 30; n++) {
        small_canaries(mine);
        mine->a.scale = n % 3 ? NAN : 0.1 * n; /* more problems than plans are kept */
        if (clattn_attention_host(&mine->a, &mine->p) != CLATTN_OK) return mine;
        if (n % 3 && !small_done(mine)) return mine;
    }
    return NULL;
}

static int inherited_session(void)
{
    small_canaries(&s);
    return clattn_attention_host(&s.a, &s.p) == CLATTN_E_FORKED && small_untouched(&s) ? 0 : 1;
}

static int own_session(void) { return clattn_attention_host(&s.a, &s.p) == CLATTN_OK && small_done(&s) ? 0 : 1; }

START_TEST(in_one_call)
{
    setenv("CLATTN_DEVICES", "host", 1);
    small_init(&s);
    ck_assert_int_eq(in_a_child(own_session), 0);
    for (int n = 0; n < 3; n++) {
        small_canaries(&s);
        WORKS(clattn_attention_host(&s.a, &s.p));
        ck_assert(small_done(&s));
    }
    in_threads(thread_calls);
    ck_assert_int_eq(in_a_child(inherited_session), 0);
    s.p.q = NULL;
    FAILS(clattn_attention_host(&s.a, &s.p), CLATTN_E_ARGUMENT, "q is NULL");
}
END_TEST

/* ------------------------------------------------------------------ memory */

static size_t peak(void)
{
    struct rusage usage;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return (size_t)usage.ru_maxrss * 1024;
}

/* A window over a long sequence takes 64 MiB at most beyond its tensors: of a device's memory, and on the host of all. */
START_TEST(a_long_window_takes_little)
{
    enum { LENGTH = 131072, DIM = 64 };
    const size_t count = (size_t)LENGTH * DIM, most = 64 << 20;
    if (!open_context(_i)) return;
    float *x = malloc(4 * count * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < 4 * count; i++) x[i] = (float)(i % 7) - 3;
    clattn_attention a;
    clattn_attention_init(&a);
    a.q_heads = 1;
    a.q_len = a.kv_len = LENGTH;
    a.head_dim = DIM;
    a.causal = 1;
    a.window_left = 511;
    WORKS(clattn_plan_create(ctx, &a, NULL, &plan));
    ck_assert_uint_le(clattn_plan_workspace(plan), most);
    if (_i == 0) {
        const clattn_pointers p = { .size = sizeof p, .q = x, .k = x + count, .v = x + 2 * count, .out = x + 3 * count };
        const size_t before = peak();
        WORKS(clattn_execute_host(plan, &p));
        ck_assert_uint_le(peak() - before, most);
        for (size_t d = 0; d < DIM; d++) ck_assert(x[3 * count + d] == x[2 * count + d]); /* the first row sees but itself */
    }
    free(x);
    close_all();
}
END_TEST

static void add(TCase *t)
{
    tcase_add_loop_test(t, a_long_window_takes_little, 0, 2);
    tcase_add_loop_test(t, threads_share_a_plan, 0, 2);
    tcase_add_loop_test(t, a_forked_child_is_told, 0, 2);
    tcase_add_test(t, in_one_call);
}

int main(void) { return run_api("session", add); }
