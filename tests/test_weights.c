/* test_weights.c -- statistics of attention weights against values by hand; what is read and computed as a layer. */
#define _GNU_SOURCE
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/half.h"
#include "cli/layer.h"
#include "cli/weights_stats.h"
#include "suite.h"

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-6)
#define SCAN(Nq, Nk, k, distance, ...) scan((const float[]){__VA_ARGS__}, Nq, Nk, k, distance)

static struct ca_weights_stats scan(const float *w, int64_t Nq, int64_t Nk, int64_t k, int64_t distance)
{
    struct ca_weights_stats s = {0};
    ca_weights_add(&s, w, Nq, Nk, k, distance);
    return s;
}

/* --------------------------------------------------------------- statistics */

START_TEST(uniform)
{
    float w[16];
    for (int i = 0; i < 16; i++) w[i] = 0.25f;
    struct ca_weights_stats s = scan(w, 4, 4, 2, 1);
    ck_assert(s.rows == 4 && s.keyed == 4 && s.uniform == 4 && s.collapsed == 0 && s.off == 0);
    NEAR(s.sum, 4);
    NEAR(s.entropy, 4 * log(4));
    NEAR(s.share, 4);
    NEAR(s.top1, 1);
    NEAR(s.topk, 2);
    NEAR(s.diagonal, 1);
    NEAR(s.first, 1);
    NEAR(s.beyond, 1.5); /* keys 2, 3; 3; 0; 0, 1 */
}
END_TEST

/* Three queries at positions 1, 2 and 3, all looking at key 0. */
START_TEST(one_hot)
{
    struct ca_weights_stats s = SCAN(3, 4, 5, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0);
    ck_assert(s.keyed == 3 && s.collapsed == 3 && s.uniform == 0);
    NEAR(s.entropy, 0);
    NEAR(s.share, 0);
    NEAR(s.top1, 3);
    NEAR(s.topk, 3);
    NEAR(s.diagonal, 0);
    NEAR(s.first, 3);
    NEAR(s.beyond, 2);
}
END_TEST

START_TEST(diagonal)
{
    struct ca_weights_stats s = SCAN(2, 4, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1);
    NEAR(s.diagonal, 2);
    NEAR(s.beyond, 0);
    s = SCAN(3, 2, 1, 0, 1, 0, 1, 0, 0, 1); /* the first of three queries stands before both keys */
    NEAR(s.diagonal, 2);
    NEAR(s.beyond, 1);
}
END_TEST

START_TEST(causal_uniform)
{
    struct ca_weights_stats s =
        SCAN(4, 4, 2, 2, 1, 0, 0, 0, 0.5f, 0.5f, 0, 0, 1 / 3.f, 1 / 3.f, 1 / 3.f, 0, 0.25f, 0.25f, 0.25f, 0.25f);
    ck_assert(s.uniform == 3 && s.collapsed == 1); /* a key alone is no choice */
    NEAR(s.entropy, log(24));
    NEAR(s.share, 3);
    NEAR(s.top1, 25 / 12.);
    NEAR(s.topk, 2 + 2 / 3. + 0.5);
    NEAR(s.diagonal, 25 / 12.);
    NEAR(s.first, 25 / 12.);
    NEAR(s.beyond, 0.25);
}
END_TEST

/* A row without a key, one that a sink left the half, one that is nearly whole. */
START_TEST(other_rows)
{
    struct ca_weights_stats s = SCAN(3, 2, 1, 0, 0, 0, 0.3f, 0.2f, 0.495f, 0.5f), twice = s;
    ck_assert(s.rows == 3 && s.keyed == 2 && s.off == 1 && s.uniform == 1);
    NEAR(s.sum, 1.495);
    NEAR(s.top1, 0.6 + 0.5 / 0.995);
    NEAR(s.first, 0.6 + 0.495 / 0.995);
    NEAR(s.entropy, -0.6 * log(0.6) - 0.4 * log(0.4) - 99 / 199. * log(99 / 199.) - 100 / 199. * log(100 / 199.));
    ck_assert(SCAN(1, 2, 1, 0, 0.515f, 0.5f).off == 1);
    ck_assert(SCAN(1, 2, 1, 0, 0.985f, 0.015f).collapsed == 0 && SCAN(1, 2, 1, 0, 0.995f, 0.005f).collapsed == 1);
    ck_assert(SCAN(1, 2, 1, 0, 0.4975f, 0.0025f).collapsed == 1);
    ck_assert(SCAN(0, 2, 1, 0, 0).rows == 0 && SCAN(2, 0, 1, 0, 0).keyed == 0);
    ca_weights_merge(&twice, &s);
    ck_assert(twice.rows == 6 && twice.keyed == 4 && twice.off == 2 && twice.uniform == 2 && twice.collapsed == 0);
    for (const double *a = &s.sum, *b = &twice.sum; a <= &s.beyond; a++, b++) NEAR(2 * *a, *b);
}
END_TEST

START_TEST(heaviest_in_any_order)
{
    struct ca_weights_stats s = SCAN(1, 5, 3, 9, 0.1f, 0.3f, 0.05f, 0.35f, 0.2f);
    NEAR(s.top1, 0.35);
    NEAR(s.topk, 0.85);
    int64_t index[8];
    ck_assert(ca_top((const double[]){1, 3, 2, 3, 0}, 5, 3, index) == 3);
    ck_assert(index[0] == 1 && index[1] == 3 && index[2] == 2);
    ck_assert(ca_top((const double[]){1, 3}, 2, 8, index) == 2 && index[0] == 1 && index[1] == 0);
}
END_TEST

START_TEST(rollout_by_hand)
{
    static const float first[] = {1, 0, 0.5f, 0.5f}, a[] = {0, 1, 1, 0}, b[] = {0, 1, 0, 1}, part[] = {0, 0, 0, 0.5f};
    double r[4];
    ck_assert(ca_rollout_step(r, (const float *[]){first}, 1, 2, true)); /* 1 0, 1/4 3/4 */
    NEAR(r[0], 1);
    NEAR(r[2], 0.25);
    NEAR(r[3], 0.75);
    /* The mean is 0 1, 1/2 1/2; with the identity 1/2 1/2, 1/4 3/4. */
    ck_assert(ca_rollout_step(r, (const float *[]){a, b}, 2, 2, false));
    NEAR(r[0], 0.625);
    NEAR(r[1], 0.375);
    NEAR(r[2], 0.4375);
    NEAR(r[3], 0.5625);
    /* Rows without a key, or with less than 1, pass on what came. */
    ck_assert(ca_rollout_step(r, (const float *[]){part}, 1, 2, false));
    NEAR(r[0], 0.625);
    NEAR(r[3], 0.5625);
}
END_TEST

/* ------------------------------------------------------------------- layers */

static char folder[64], path[128];
static struct runner runner;
static struct ca_layer layer;

static void make_folder(void)
{
    strcpy(folder, "/tmp/clattn-weights-XXXXXX");
    ck_assert(mkdtemp(folder) != NULL);
    setenv("CLATTN_CACHE", "off", 1);
    setenv("CLATTN_PROBE", "inprocess", 1);
    setenv("OCL_ICD_VENDORS", folder, 1);
    runner.selector = "host";
}

static int delete_one(const char *name, const struct stat *s, int flag, struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(name);
}

static void remove_folder(void)
{
    ca_layer_free(&layer);
    ca_runner_close(&runner);
    nftw(folder, delete_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* folder/NAME.npy, whose element n is f(n), or 0 without f. */
static const char *put(const char *name, enum ca_npy_type type, int rank, const int64_t *shape, double (*f)(size_t))
{
    struct ca_npy a;
    ck_assert(ca_npy_alloc(&a, type, rank, shape) == CLATTN_OK);
    for (size_t n = 0; f && n < a.count; n++) {
        if (type == CA_NPY_F4) ((float *)a.data)[n] = (float)f(n);
        if (type == CA_NPY_F8) ((double *)a.data)[n] = f(n);
        if (type == CA_NPY_F2) ((uint16_t *)a.data)[n] = ca_f32_to_f16((float)f(n));
    }
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    ck_assert(ca_npy_write(path, &a) == CLATTN_OK);
    ca_npy_free(&a);
    return path;
}
#define PUT(name, type, f, ...) put(name, type, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__}, f)

static double eighths(size_t n) { return (double)n / 8; }
static double with_nan(size_t n) { return n == 5 ? NAN : 0; }
static double with_minus(size_t n) { return n == 5 ? -0.5 : 0; }
static double too_large(size_t n) { return n == 5 ? 1e300 : 0; }

static const struct { enum ca_npy_type type; int rank; int64_t shape[5], B, H; } good[] = {
    {CA_NPY_F4, 4, {2, 3, 4, 5}, 2, 3}, {CA_NPY_F8, 3, {3, 4, 5}, 1, 3}, {CA_NPY_F2, 2, {4, 5}, 1, 1}};

START_TEST(reads)
{
    put("w", good[_i].type, good[_i].rank, good[_i].shape, eighths);
    ck_assert_msg(ca_layer_read(&runner, path, false, &layer) == CLATTN_OK, "%s", clattn_last_message());
    ck_assert(layer.B == good[_i].B && layer.H == good[_i].H && layer.Nq == 4 && layer.Nk == 5);
    ck_assert(layer.w.type == CA_NPY_F4);
    for (size_t n = 0; n < layer.w.count; n++) ck_assert(((float *)layer.w.data)[n] == (float)n / 8);
}
END_TEST

static const struct {
    enum ca_npy_type type;
    int rank;
    int64_t shape[5];
    double (*f)(size_t);
    const char *words;
} bad[] = {
    {CA_NPY_F4, 1, {4}, NULL, "rank 1, must be 2, 3 or 4"},
    {CA_NPY_F4, 5, {1, 1, 1, 1, 1}, NULL, "rank 5"},
    {CA_NPY_F4, 4, {1000000, 1000000, 0, 5}, NULL, "shape (1000000, 1000000, 0, 5) holds none"},
    {CA_NPY_I4, 2, {2, 2}, NULL, "type <i4"},
    {CA_NPY_F4, 2, {2, 3}, with_nan, "element (1, 2) is nan"},
    {CA_NPY_F2, 3, {2, 1, 3}, with_minus, "element (1, 0, 2) is -0.5"},
    {CA_NPY_F8, 2, {3, 2}, too_large, "element (2, 1) is 1e+300"},
};

START_TEST(refuses)
{
    put("w", bad[_i].type, bad[_i].rank, bad[_i].shape, bad[_i].f);
    ck_assert(ca_layer_read(&runner, path, false, &layer) == CLATTN_E_ARGUMENT);
    ck_assert_msg(strstr(clattn_last_message(), path) && strstr(clattn_last_message(), "weights: ") &&
                      strstr(clattn_last_message(), bad[_i].words), "%s", clattn_last_message());
}
END_TEST

static void write_json(const char *attrs, const char *outputs)
{
    char file[128];
    snprintf(file, sizeof file, "%s/case.json", folder);
    FILE *f = fopen(file, "w");
    ck_assert(f && fprintf(f, "{\"format\": 1, \"op\": \"attention\", \"attrs\": {%s}, \"inputs\": {\"q\": \"q.npy\", "
                              "\"k\": \"k.npy\", \"v\": \"v.npy\"}, \"outputs\": {%s}}", attrs, outputs) > 0);
    ck_assert(fclose(f) == 0);
}

/* 2 batch rows, 4 and 2 heads, 3 queries, 700 keys (more than v may have columns), 2 dims; in three layouts, of
 * which q and k have the same numbers in another order. */
enum { B = 2, HQ = 4, HKV = 2, NQ = 3, NK = 700, D = 2 };
static double wave(int64_t n) { return ca_f16_to_f32(ca_f32_to_f16((float)sin(1.7 * (double)n))); }
static double q_at(int b, int h, int i, int d) { return wave(((b * HQ + h) * NQ + i) * D + d); }
static double k_at(int b, int h, int j, int d) { return 2 * wave(((b * HKV + h) * NK + j) * D + d + 1000); }
static double q_bhsd(size_t n) { return q_at((int)n / D / NQ / HQ, (int)n / D / NQ % HQ, (int)n / D % NQ, (int)n % D); }
static double q_bshd(size_t n) { return q_at((int)n / D / HQ / NQ, (int)n / D % HQ, (int)n / D / HQ % NQ, (int)n % D); }
static double k_bhsd(size_t n)
{
    return k_at((int)n / D / NK / HKV, (int)n / D / NK % HKV, (int)n / D % NK, (int)n % D);
}
static double k_bshd(size_t n)
{
    return k_at((int)n / D / HKV / NK, (int)n / D % HKV, (int)n / D / HKV % NK, (int)n % D);
}

static void put_case(int layout)
{
    static const char *const attrs[] = {"\"causal\": true", "\"causal\": true, \"layout\": \"BSHD\"",
                                        "\"causal\": true, \"layout\": \"BSHD\", \"q_heads\": 4, \"kv_heads\": 2"};
    const int64_t q[3][4] = {{B, HQ, NQ, D}, {B, NQ, HQ, D}, {B, NQ, HQ * D}};
    const int64_t k[3][4] = {{B, HKV, NK, D}, {B, NK, HKV, D}, {B, NK, HKV * D}};
    int rank = layout == 2 ? 3 : 4;
    put("q", CA_NPY_F2, rank, q[layout], layout ? q_bshd : q_bhsd);
    put("k", CA_NPY_F8, rank, k[layout], layout ? k_bshd : k_bhsd);
    put("v", CA_NPY_F4, rank, k[layout], NULL);
    write_json(attrs[layout], "\"lse\": \"absent.npy\"");
}

START_TEST(computes)
{
    double s[NK];
    put_case(_i);
    ck_assert_msg(ca_layer_read(&runner, folder, false, &layer) == CLATTN_OK, "%s", clattn_last_message());
    ck_assert(layer.B == B && layer.H == HQ && layer.Nq == NQ && layer.Nk == NK);
    const float *w = layer.w.data;
    for (int row = 0; row < B * HQ * NQ; row++) {
        int b = row / NQ / HQ, h = row / NQ % HQ, i = row % NQ, keys = i + NK - NQ + 1;
        double sum = 0;
        for (int j = 0; j < keys; j++) {
            double dot = q_at(b, h, i, 0) * k_at(b, h / 2, j, 0) + q_at(b, h, i, 1) * k_at(b, h / 2, j, 1);
            sum += s[j] = exp(dot / sqrt(D));
        }
        for (int j = 0; j < NK; j++, w++) ck_assert_double_eq_tol(*w, j < keys ? s[j] / sum : 0, 1e-7);
    }
}
END_TEST

START_TEST(expected)
{
    PUT("q", CA_NPY_F4, NULL, 1, 1, 2, 1);
    PUT("k", CA_NPY_F4, NULL, 1, 1, 2, 1);
    PUT("v", CA_NPY_F4, NULL, 1, 1, 2, 1);
    PUT("w", CA_NPY_F4, eighths, 1, 1, 2, 2);
    write_json("", "\"weights\": \"w.npy\"");
    ck_assert_msg(ca_layer_read(&runner, folder, true, &layer) == CLATTN_OK, "%s", clattn_last_message());
    ck_assert(((float *)layer.w.data)[3] == 0.375f);
    ca_layer_free(&layer);
    ck_assert(ca_layer_read(&runner, folder, false, &layer) == CLATTN_OK);
    ck_assert(((float *)layer.w.data)[3] == 0.5f); /* computed */
    ca_layer_free(&layer);
    write_json("\"weights_stage\": \"raw\"", "\"weights\": \"w.npy\"");
    ck_assert(ca_layer_read(&runner, folder, true, &layer) == CLATTN_E_ARGUMENT);
    ck_assert(strstr(clattn_last_message(), "attrs.weights_stage") != NULL);
    write_json("", "\"out\": \"v.npy\"");
    ck_assert(ca_layer_read(&runner, folder, true, &layer) == CLATTN_E_ARGUMENT);
    ck_assert(strstr(clattn_last_message(), "outputs.weights") != NULL);
}
END_TEST

START_TEST(not_computed)
{
    put_case(0);
    write_json("\"dropout_p\": 0.5, \"seed\": 1", "\"out\": \"absent.npy\"");
    ck_assert_msg(ca_layer_read(&runner, folder, false, &layer) == CLATTN_OK, "%s", clattn_last_message());
    ca_layer_free(&layer);
    write_json("\"score_mod\": \"return score;\", \"score_mod_grad\": \"return 1;\"", "\"out\": \"absent.npy\"");
    ck_assert(ca_layer_read(&runner, folder, false, &layer) == CLATTN_E_UNSUPPORTED);
    ck_assert(strstr(clattn_last_message(), "case.json: attribute score_mod_grad") != NULL);
    write_json("", "\"out\": \"absent.npy\"");
    ca_runner_close(&runner);
    runner.selector = "no such device";
    ck_assert(ca_layer_read(&runner, folder, false, &layer) == CLATTN_E_NO_DEVICE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("weights");
    TCase *t = tcase_create("statistics"), *l = tcase_create("layers");
    tcase_add_test(t, uniform);
    tcase_add_test(t, one_hot);
    tcase_add_test(t, diagonal);
    tcase_add_test(t, causal_uniform);
    tcase_add_test(t, other_rows);
    tcase_add_test(t, heaviest_in_any_order);
    tcase_add_test(t, rollout_by_hand);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(l, make_folder, remove_folder);
    tcase_add_loop_test(l, reads, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(l, refuses, 0, sizeof bad / sizeof bad[0]);
    tcase_add_loop_test(l, computes, 0, 3);
    tcase_add_test(l, expected);
    tcase_add_test(l, not_computed);
    tcase_set_timeout(l, 30);
    suite_add_tcase(s, l);
    return run_suite(s);
}
