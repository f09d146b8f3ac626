/* test_wisdom.c -- records of measurements: which of them a plan takes up, and that nothing in a file of them does harm.  Needs no device. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "plan/plan.h"
#include "plan/wisdom.h"
#include "suite.h"

static char scratch[128], path[256];
static struct device here;

static void setup(void)
{
    strcpy(scratch, "/tmp/clattn-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    setenv("CLATTN_CACHE_DIR", scratch, 1);
    unsetenv("CLATTN_CACHE");
    snprintf(path, sizeof path, "%s/wisdom.jsonl", scratch);
    here = (struct device){ .kind = CLATTN_CLASS_CPU, .vector_width = 16, .platform_name = "P", .name = "D", .driver = "1" };
}

static void teardown(void)
{
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    ck_assert_int_eq(system(command), 0);
}

static struct problem problem(const char *text)
{
    clattn_attention a;
    struct problem p;
    ck_assert_int_eq(ca_problem_parse(text, &a), CLATTN_OK);
    ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_OK);
    return p;
}

static void add(const char *device, const char *driver, const char *text, const char *params, double ms)
{
    struct wisdom w = { .kind = "cpu-ocl", .vector = 16, .platform = "P", .algorithm = "lanes", .ms = ms };
    snprintf(w.device, sizeof w.device, "%s", device);
    snprintf(w.driver, sizeof w.driver, "%s", driver);
    snprintf(w.problem, sizeof w.problem, "%s", text);
    snprintf(w.params, sizeof w.params, "%s", params);
    if (ms < 0) {
        strcpy(w.fails, "signal 11");
        w.crashes = ms == -1;
        w.ms = 0;
    }
    ck_assert_int_eq(ca_wisdom_add(&w), CLATTN_OK);
}

static void finds(const char *text, const char *params, double ms)
{
    struct problem p = problem(text);
    struct wisdom w;
    bool found = ca_wisdom_find(&p, &here, "lanes", NULL, NULL, &w);
    ck_assert_msg(found == (params != NULL), "%s: %s", text, found ? w.params : "none");
    if (!params) return;
    ck_assert_str_eq(w.params, params);
    ck_assert_msg(fabs(w.ms - ms) <= 1e-9 * fabs(ms), "%s: %g ms, not %g", text, w.ms, ms);
}

START_TEST(nearness)
{
    add("D", "1", "f32 b1 h8 q1024 k1024 d64", "qv=1", 8);
    add("D", "1", "f32 b1 h8 q1024 k1024 d64", "qv=2", 4);
    add("D", "1", "f32 b1 h8 q1024 k1024 d64", "qv=3", 6);
    add("D", "1", "f32 b1 h8 q64 k1024 d64", "qv=4", 1);
    finds("f32 b1 h8 q1024 k1024 d64", "qv=2", 4);
    finds("f32 b1 h8 q2048 k1024 d64", "qv=2", 8);
    finds("f32 b2 h8 q1024 k1024 d64 scale=3", "qv=2", 8);
    finds("f32 b1 h8 q128 k1024 d64", "qv=4", 2);
    finds("f32 b1 h8 q8192 k2048 d64", NULL, 0);    /* four octaves */
    finds("f16 b1 h8 q1024 k1024 d64", NULL, 0);    /* other kinds */
    finds("f32 b1 h8 q1024 k1024 d64 causal", NULL, 0);
    finds("f32 b1 h8/2 q1024 k1024 d64", NULL, 0);
    finds("f32 b1 h8 q1024 k1024 d64/32", NULL, 0);
    finds("f32 b1 h8 q1024 k1024 d64 win=9,9", NULL, 0);
}
END_TEST

START_TEST(devices)
{
    add("E", "7", "f32 b1 h8 q1024 k1024 d64", "qv=1", 1);
    finds("f32 b1 h8 q1024 k1024 d64", "qv=1", 0); /* alike: its time is not ours */
    add("D", "0", "f32 b1 h8 q1024 k1024 d64", "qv=2", 5);
    finds("f32 b1 h8 q1024 k1024 d64", "qv=2", 5); /* another driver */
    add("D", "1", "f32 b1 h8 q4096 k1024 d64", "qv=3", 40);
    finds("f32 b1 h8 q1024 k1024 d64", "qv=3", 10);
    here.vector_width = 8;
    strcpy(here.name, "F");
    finds("f32 b1 h8 q1024 k1024 d64", NULL, 0);
}
END_TEST

START_TEST(failures)
{
    struct wisdom w;
    add("D", "1", "f32 b1 h8 q1024 k1024 d64", "qv=1", -1);
    add("D", "0", "f32 b1 h8 q1024 k1024 d64", "qv=2", -1);
    add("D", "1", "f32 b1 h8 q1024 k1024 d64", "qv=3", -2);
    finds("f32 b1 h8 q1024 k1024 d64", NULL, 0);
    ck_assert(!ca_wisdom_poisoned(&here, "lanes", "qv=3")); /* a failure of this problem alone */
    ck_assert(ca_wisdom_exact(&here, "f32 b1 h8 q1024 k1024 d64", "lanes", "qv=3", &w) && w.fails[0] && !w.crashes);
    ck_assert(ca_wisdom_poisoned(&here, "lanes", "qv=1"));
    ck_assert(!ca_wisdom_poisoned(&here, "lanes", "qv=2")); /* of another driver */
    ck_assert(!ca_wisdom_poisoned(&here, "tiled", "qv=1"));
    ck_assert(ca_wisdom_exact(&here, "f32 b1 h8 q1024 k1024 d64", "lanes", "qv=1", &w));
    ck_assert_str_eq(w.fails, "signal 11");
    ck_assert(!ca_wisdom_exact(&here, "f32 b1 h8 q1024 k1024 d64", "lanes", "qv=2", &w));
}
END_TEST

#define LINE(device, ms) "{\"platform\": \"P\", \"device\": \"" device "\", \"driver\": \"1\", \"class\": \"cpu-ocl\", \"vector\": 16, " \
                         "\"problem\": \"f32 b1 h8 q1024 k1024 d64\", \"algorithm\": \"lanes\", \"params\": \"qv=4\"" ms "}\n"

START_TEST(bad_lines)
{
    static const char *const bad[] = {
        "", "\n\n", "{}\n", "[1, 2]\n", "x", LINE("D", ""), LINE("D", ", \"ms\": 0"), LINE("D", ", \"ms\": -1"), LINE("D", ", \"ms\": \"1\""),
        LINE("D", ", \"ms\": 1e999"), LINE("D", ", \"ms\": 1, \"ms\": 2"), LINE("D", ", \"ms\": 1, \"fails\": \"x\""), LINE("D", ", \"fails\": \"\""),
        LINE("D\\u0007", ", \"ms\": 1"), LINE("D\\u0000", ", \"ms\": 1"),
        LINE("DDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDD", ", \"ms\": 1"),
    };
    size_t records;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        ck_assert_int_eq(ca_wisdom_import(bad[k], &records), CLATTN_OK);
        ck_assert_msg(records == 0, "%s is taken", bad[k]);
    }
    char *text = malloc(100000);
    size_t n = (size_t)sprintf(text, "nonsense\n" LINE("D", ", \"ms\": 3") "{\"platform\": \"");
    memset(text + n, 'x', 90000);
    strcpy(text + n + 90000, "\"}\n" LINE("E", ", \"ms\": 4, \"more\": [1]"));
    ck_assert_int_eq(ca_wisdom_import(text, &records), CLATTN_OK);
    ck_assert_uint_eq(records, 2);
    finds("f32 b1 h8 q1024 k1024 d64", "qv=4", 3);
    free(text);
}
END_TEST

START_TEST(file)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs("\1\2\nnonsense\n" LINE("D", ", \"ms\": 3"), f); /* and a torn last line */
    fputs("{\"platform\": \"P\", \"dev", f);
    fclose(f);
    ck_assert_int_eq(chmod(path, 0600), 0);
    finds("f32 b1 h8 q1024 k1024 d64", "qv=4", 3);

    f = fopen(path, "w"); /* what another process has written meanwhile stays */
    fputs(LINE("E", ", \"ms\": 5"), f);
    fclose(f);
    add("D", "1", "f32 b1 h8 q1024 k1024 d64", "qv=1", 2);
    ca_wisdom_save();
    char *text, out[4096];
    size_t size;
    ck_assert(ca_cache_read("wisdom.jsonl", 1 << 20, &text, &size));
    ck_assert_ptr_nonnull(strstr(text, "\"E\""));
    ck_assert_ptr_nonnull(strstr(text, "qv=4"));
    free(text);
    size = ca_wisdom_export(out, sizeof out);
    ck_assert_uint_eq(size, strlen(out));
    ck_assert_uint_eq(ca_wisdom_export(NULL, 0), size);
    ck_assert_ptr_nonnull(strstr(out, "qv=1")); /* the best of D alone, */
    ck_assert_ptr_null(strstr(strstr(out, "\"D\""), "qv=4}"));
    ck_assert_int_eq(strstr(out, "\"D\"") != NULL && strstr(strstr(out, "\"D\"") + 1, "\"D\"") == NULL, 1); /* once */
    size_t records;
    ck_assert_int_eq(ca_wisdom_import(out, &records), CLATTN_OK);
    ck_assert_uint_eq(records, 2);
}
END_TEST

/* What the planner makes of PARAMS for the host. */
static struct candidate planned(const char *params)
{
    struct candidate c[CA_MAX_CANDIDATES];
    struct problem p = problem("f32 b1 h8 q256 k256 d64");
    struct wisdom w = { .ms = 0.125, .algorithm = "host", .problem = "f32 b1 h8 q256 k512 d64" };
    ca_device_host(&here);
    ca_wisdom_device(&w, &here);
    snprintf(w.params, sizeof w.params, "%s", params);
    ck_assert_int_eq(ca_wisdom_add(&w), CLATTN_OK);
    ck_assert_uint_gt(ca_ladder(&p, &here, NULL, c), 0);
    ck_assert_str_eq(c[0].algo->name, "host");
    return c[0];
}

START_TEST(planner)
{
    struct candidate c = planned("form=9 part=256"); /* illegal */
    ck_assert_str_eq(c.source, "default");
    c = planned("form=1 part=256 vl=3");             /* unknown */
    ck_assert_str_eq(c.source, "default");
    ck_assert_str_eq(c.origin, "");
    c = planned("form=1 part=512");
    ck_assert_str_eq(c.source, "wisdom");
    ck_assert_int_eq(c.params.v[0], 1);
    ck_assert_int_eq(c.params.v[1], 512);
    ck_assert_msg(fabs(c.cost_ms - 0.0625) < 1e-12, "%g ms", c.cost_ms);
    ck_assert_ptr_nonnull(strstr(c.origin, "k512"));
}
END_TEST

/* A time that was measured, with all that a guess leaves out, does not make what was only guessed the faster one. */
START_TEST(guesses_are_levelled)
{
    struct candidate before[CA_MAX_CANDIDATES], after[CA_MAX_CANDIDATES];
    struct problem p = problem("f32 b1 h8 q256 k256 d64");
    struct wisdom w = { .problem = "f32 b1 h8 q256 k256 d64" };
    here = (struct device){ .id = (cl_device_id)&here, .kind = CLATTN_CLASS_DGPU, .platform_name = "P", .name = "D", .driver = "1", .compute_units = 32,
                            .vector_width = 1, .max_group = 256, .max_items = { 256, 256, 256 }, .local_bytes = 65536, .max_alloc = 1 << 30 };
    ck_assert_uint_gt(ca_ladder(&p, &here, NULL, before), 1);
    ck_assert(before[0].legal && before[1].legal && !before[0].measured);
    ca_wisdom_device(&w, &here);
    w.ms = 1000 * before[0].cost_ms;
    snprintf(w.algorithm, sizeof w.algorithm, "%s", before[0].algo->name);
    ca_params_print(before[0].algo, &before[0].params, w.params, sizeof w.params);
    ck_assert_int_eq(ca_wisdom_add(&w), CLATTN_OK);
    ca_ladder(&p, &here, NULL, after);
    for (int k = 0; k < 2; k++) {
        ck_assert_ptr_eq(after[k].algo, before[k].algo);
        ck_assert_msg(fabs(after[k].cost_ms / before[k].cost_ms - 1000) < 1e-6, "%g ms, %g before", after[k].cost_ms, before[k].cost_ms);
    }
    ck_assert(after[0].measured && !after[1].measured);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wisdom");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, nearness);
    tcase_add_test(all, devices);
    tcase_add_test(all, failures);
    tcase_add_test(all, bad_lines);
    tcase_add_test(all, file);
    tcase_add_test(all, planner);
    tcase_add_test(all, guesses_are_levelled);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
