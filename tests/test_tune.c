/* test_tune.c -- tuning on the device of the environment, through the helper process: what it finds, tells, keeps and refuses. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "api.h"
#include "base/file.h"
#include "plan/plan.h"
#include "runtime/probe.h"
#include "suite.h"

static clattn_context *ctx;
static clattn_attention a;

static void setup(void)
{
    ca_cache_remove("wisdom.jsonl"); /* the devices that are known stay */
    ck_assert_msg(clattn_context_create(NULL, &ctx) == CLATTN_OK, "%s", clattn_last_message());
    clattn_attention_init(&a);
    a.batch = 1;
    a.q_heads = a.kv_heads = 2;
    a.q_len = 40;
    a.kv_len = 72;
    a.head_dim = 32;
}

static void teardown(void)
{
    clattn_context_destroy(ctx);
    ca_cache_remove("wisdom.jsonl");
}

struct steps { int count, best; double least; };

static void hear(void *user, const clattn_tune_step *step)
{
    struct steps *s = user;
    s->count++;
    ck_assert_int_eq(step->tries, s->count);
    ck_assert_ptr_nonnull(strstr(step->problem, "q40 k72 d32"));
    ck_assert(step->tried[0] && step->ms > 0);
    s->best += step->best[0] != 0;
    if (step->ms < s->least) s->least = step->ms;
    ck_assert_msg(step->best_ms <= s->least, "best %g ms, though there were %g", step->best_ms, s->least);
}

START_TEST(finds)
{
    struct steps s = { .least = INFINITY };
    clattn_tune_options o = { .size = sizeof o, .seconds = 0.1, .progress = hear, .user = &s };
    clattn_tune_result r = { .size = sizeof r }, again = r;
    clattn_plan *plan;
    char words[64], text[4096], *known;
    ck_assert_msg(clattn_tune(ctx, &a, &o, &r) == CLATTN_OK, "%s", clattn_last_message());
    ck_assert_int_ge(r.tries, 1);
    ck_assert_int_eq(r.tries, s.count);
    ck_assert_int_eq(r.measured, s.count);
    ck_assert_int_ge(s.best, 1);
    ck_assert(r.ms > 0 && r.ms <= r.default_ms);

    ck_assert_int_eq(clattn_plan_create(ctx, &a, NULL, &plan), CLATTN_OK); /* it is taken */
    ck_assert_str_eq(plan->algo->name, r.algorithm);
    ca_params_print(plan->algo, &plan->params, text, sizeof text);
    ck_assert_str_eq(text, r.params);
    clattn_plan_explain(plan, text, sizeof text);
    snprintf(words, sizeof words, "(wisdom: f32 b1 h2 q40 k72 d32 on ");
    ck_assert_msg(strstr(text, words) != NULL, "%s", text);
    clattn_plan_destroy(plan);

    size_t records, length = clattn_wisdom_export(NULL, 0); /* and kept */
    known = malloc(length + 1);
    ck_assert_uint_eq(clattn_wisdom_export(known, length + 1), length);
    ck_assert_ptr_nonnull(strstr(known, r.params));
    ck_assert_int_eq(clattn_wisdom_import(known, &records), CLATTN_OK);
    ck_assert_uint_ge(records, 1);
    free(known);

    o.progress = NULL; /* and not measured again */
    ck_assert_int_eq(clattn_tune(ctx, &a, &o, &again), CLATTN_OK);
    ck_assert_int_lt(again.measured, again.tries);
}
END_TEST

START_TEST(measures_in_planning)
{
    const clattn_plan_options how = { .size = sizeof how, .measure = 1 };
    clattn_plan *plan;
    char text[4096];
    ck_assert_msg(clattn_plan_create(ctx, &a, &how, &plan) == CLATTN_OK, "%s", clattn_last_message());
    clattn_plan_explain(plan, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "(wisdom"));
    clattn_plan_destroy(plan);
}
END_TEST

/* Times that scatter between 1 and 2 ms: the least is a lucky one, and no next one may be on top of it. */
START_TEST(luck_does_not_add_up)
{
    char path[] = "/tmp/clattn-helper-XXXXXX", *before = strdup(getenv("CLATTN_PROBE"));
    clattn_tune_options o = { .size = sizeof o, .seconds = 1, .exhaustive = 1 };
    clattn_tune_result r = { .size = sizeof r };
    clattn_device_info info = { .size = sizeof info };
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *f = fdopen(fd, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fprintf(f, "#!/bin/sh\n[ \"$1\" = tune ] || exec '%s' \"$@\"\necho '{\"hello\": \"%s\"}'\n"
                     "echo \"$5\" | tr ';' '\\n' | awk -v seed=$$ '{ seed = (seed * 69069 + 1) %% 65536; printf \"{\\\"timed\\\": %%d, \\\"ms\\\": %%.3f}\\n\", NR - 1, 1 + seed / 65536 }'\n"
                     "echo '{\"done\": true}'\n", before, clattn_version()), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, 0700), 0);
    setenv("CLATTN_PROBE", path, 1);
    const clattn_status st = clattn_tune(ctx, &a, &o, &r);
    setenv("CLATTN_PROBE", before, 1);
    unlink(path);
    free(before);
    ck_assert_int_eq(clattn_context_device(ctx, &info), CLATTN_OK);
    ck_assert_msg(st == CLATTN_OK, "%s", clattn_last_message());
    ck_assert_int_ge(r.measured, info.device_class == CLATTN_CLASS_HOST ? 9 : 64); /* the host has few */
    ck_assert_msg(r.ms >= 0.5, "%g ms", r.ms);
}
END_TEST

static void hear_fixed(void *user, const clattn_tune_step *step)
{
    (*(int *)user)++;
    ck_assert_msg(strstr(step->tried, "part=512") != NULL, "%s", step->tried);
}

START_TEST(keeps_what_is_given)
{
    int steps = 0;
    clattn_device_info info = { .size = sizeof info };
    clattn_tune_options o = { .size = sizeof o, .seconds = 0.1, .progress = hear_fixed, .user = &steps, .params = "part=512" };
    clattn_tune_result r = { .size = sizeof r };
    ck_assert_int_eq(clattn_context_device(ctx, &info), CLATTN_OK);
    o.algorithm = info.device_class == CLATTN_CLASS_HOST ? "host" : "split";
    a.q_len = 1;
    ck_assert_msg(clattn_tune(ctx, &a, &o, &r) == CLATTN_OK, "%s", clattn_last_message());
    ck_assert_int_ge(steps, 1);
    ck_assert_str_eq(r.algorithm, o.algorithm);
    o.params = "part";
    ck_assert_int_eq(clattn_tune(ctx, &a, &o, &r), CLATTN_E_ARGUMENT);
    o.params = "parts=1";
    ck_assert_int_eq(clattn_tune(ctx, &a, &o, &r), CLATTN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(clattn_last_message(), o.algorithm));
}
END_TEST

static void count(void *user, const json_t *record) { *(int *)user += json_is_object(record); }

START_TEST(says_little)
{
    static const char *const tries[] = { "nothing;nothing", "host;host vl=16" }; /* none is good, and all are over in no time */
    for (int k = 0; k < 2; k++) {
        char how[128];
        int records = 0;
        const enum ca_outcome outcome = ca_helper_run((const char *[]){ "tune", "-1", "-1", "b1 h1 q1 k1 d8", tries[k], NULL }, NULL, 60000, count, &records, how);
        ck_assert_msg(outcome == CA_RAN, "%s", how);
        ck_assert_int_lt(records, 16);
    }
}
END_TEST

static float twice(void *data, float score, int b, int h, int i, int j)
{
    (void)data, (void)b, (void)h, (void)i, (void)j;
    return 2 * score;
}

START_TEST(refuses)
{
    clattn_device_info info = { .size = sizeof info };
    ck_assert_int_eq(clattn_context_device(ctx, &info), CLATTN_OK);
    if (info.device_class == CLATTN_CLASS_HOST) a.score_callback = twice;
    else a.score_mod = "return 2 * score;";
    ck_assert_int_eq(clattn_tune(ctx, &a, NULL, NULL), CLATTN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(clattn_last_message(), "functions of the user's"));
    a.score_callback = NULL;
    a.score_mod = NULL;
    setenv("CLATTN_PROBE", "inprocess", 1);
    ck_assert_int_eq(clattn_tune(ctx, &a, NULL, NULL), CLATTN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(clattn_last_message(), "helper process"));
    a.kv_len = -1;
    ck_assert_int_eq(clattn_tune(ctx, &a, NULL, NULL), CLATTN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(clattn_last_message(), "-1"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tune");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, finds);
    tcase_add_test(all, measures_in_planning);
    tcase_add_test(all, luck_does_not_add_up);
    tcase_add_test(all, keeps_what_is_given);
    tcase_add_test(all, says_little);
    tcase_add_test(all, refuses);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
