/* api.h -- fixture of tests of the public interface: a small problem, and a context and a plan for it on the host or
 * on a device.  Check forks for each test, and the parent never touches OpenCL. */
#ifndef TEST_API_H
#define TEST_API_H

#include "small.h"
#include "suite.h"

static struct small s;
static clattn_context *ctx;
static clattn_plan *plan;

/* Loop number 0 is the host, 1 the first OpenCL device; false when there is none. */
static inline bool open_context(int which)
{
    struct device dev;
    small_init(&s);
    if (which == 0) ck_assert_int_eq(clattn_context_create("host", &ctx), CLATTN_OK);
    else if (!small_device(&dev)) return false;
    else ck_assert_int_eq(ca_context_open(&dev, &ctx), CLATTN_OK);
    return true;
}

static inline bool open_plan(int which)
{
    if (!open_context(which)) return false;
    ck_assert_msg(clattn_plan_create(ctx, &s.a, NULL, &plan) == CLATTN_OK, "%s", clattn_last_message());
    return true;
}

static inline void close_all(void)
{
    clattn_plan_destroy(plan);
    clattn_context_destroy(ctx);
    plan = NULL;
    ctx = NULL;
}

/* CALL fails with STATUS, its message holds WORD, and no output was touched. */
#define FAILS(call, status, word) do { \
    small_canaries(&s); \
    clattn_status got_ = (call); \
    ck_assert_msg(got_ == (status), "%s: %s %s", #call, clattn_status_name(got_), clattn_last_message()); \
    ck_assert_msg(strstr(clattn_last_message(), (word)) != NULL, "\"%s\" lacks \"%s\"", clattn_last_message(), (word)); \
    ck_assert_msg(small_untouched(&s), "%s wrote into outputs", #call); \
} while (0)

#define WORKS(call) ck_assert_msg((call) == CLATTN_OK, "%s: %s", #call, clattn_last_message())

static inline void runs(void)
{
    small_canaries(&s);
    WORKS(clattn_execute_host(plan, &s.p));
    ck_assert_str_eq(clattn_last_message(), "");
    ck_assert(small_done(&s));
}

static inline int run_api(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *t = tcase_create(name);
    suite_add_tcase(suite, t);
    tcase_set_timeout(t, 600); /* a first look at a slow machine takes minutes */
    add(t);
    return run_suite(suite);
}

#endif
