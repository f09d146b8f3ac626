/* test_philox.c -- Philox4x32-10 against the known answers that its authors publish with Random123
 * (kat_vectors), and the conventions of CASES.md about elements. */
#include <math.h>
#include <stdlib.h>
#include "base/normal.h"
#include "suite.h"

static const struct known { uint32_t counter[4], key[2], out[4]; } known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(known_answers)
{
    const struct known *k = &known[_i];
    uint32_t out[4];
    const uint32_t *c = k->counter;
    ca_philox_block(k->key[0] | (uint64_t)k->key[1] << 32, c[2] | (uint64_t)c[3] << 32, c[0] | (uint64_t)c[1] << 32, out);
    for (int w = 0; w < 4; w++) ck_assert_uint_eq(out[w], k->out[w]);
}
END_TEST

/* seed, element / 4 and offset lie in key and counter as CASES.md says. */
START_TEST(places)
{
    const struct known *k = &known[2];
    uint32_t out[4];
    ca_philox_block(UINT64_C(0x299f31d0a4093822), UINT64_C(0x0370734413198a2e), UINT64_C(0x85a308d3243f6a88), out);
    for (int w = 0; w < 4; w++) ck_assert_uint_eq(out[w], k->out[w]);
}
END_TEST

START_TEST(elements)
{
    for (uint64_t e = 0; e < 64; e++) {
        uint32_t out[4];
        ca_philox_block(7, 1, e / 4, out);
        ck_assert(ca_philox_uniform(7, 1, e) == (float)(out[e % 4] >> 8) / 16777216.0f);
    }
    /* The index has 64 bits. */
    ck_assert(ca_philox_uniform(7, 1, 3) != ca_philox_uniform(7, 1, 3 + (UINT64_C(1) << 34)));
}
END_TEST

START_TEST(normals)
{
    double sum = 0, squares = 0, pairs = 0, last = 0;
    const int n = 100000;
    for (int e = 0; e < n; e++) {
        double x = ca_philox_normal(3, 0, (uint64_t)e);
        double u = ca_philox_uniform(3, 0, 2 * (uint64_t)e), v = ca_philox_uniform(3, 0, 2 * (uint64_t)e + 1);
        ck_assert(fabs(x - sqrt(-2 * log(1 - u)) * cos(2 * acos(-1) * v)) < 1e-6);
        sum += x;
        squares += x * x;
        pairs += x * last;
        last = x;
    }
    ck_assert(fabs(sum / n) < 0.015);
    ck_assert(fabs(squares / n - 1) < 0.02);
    ck_assert(fabs(pairs / n) < 0.015);
    ck_assert(ca_box_muller(0, 0) == 0); /* the smallest and the largest uniform stay finite */
    ck_assert(isfinite(ca_box_muller(1 - 0x1p-24f, 0)));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("philox");
    TCase *t = tcase_create("philox");
    tcase_add_loop_test(t, known_answers, 0, sizeof known / sizeof known[0]);
    tcase_add_test(t, places);
    tcase_add_test(t, elements);
    tcase_add_test(t, normals);
    suite_add_tcase(s, t);
    return run_suite(s);
}
