/* test_oracle.c -- the judge is judged first: numbers worked out by hand, and a bound that lets through
 * what is right and nothing that is wrong. */
#include <math.h>
#include "attend.h"
#include "suite.h"

START_TEST(test_rounding)
{
    ck_assert(oracle_round(ORACLE_F16, 1 + 0x1p-11) == 1);            /* half way goes to the even one */
    ck_assert(oracle_round(ORACLE_F16, 1 + 0x1.8p-10) == 1 + 0x1p-9);
    ck_assert(oracle_round(ORACLE_F16, 65519) == 65504);
    ck_assert(isinf(oracle_round(ORACLE_F16, 65520)));
    ck_assert(oracle_round(ORACLE_F16, 0x1.8p-24) == 0x1p-23);        /* subnormal */
    ck_assert(oracle_round(ORACLE_F16, 0x1p-25) == 0);
    ck_assert(oracle_round(ORACLE_BF16, 1 + 0x1p-8) == 1);
    ck_assert(oracle_round(ORACLE_BF16, -1 - 0x1.8p-8) == -1 - 0x1p-7);
    ck_assert(oracle_round(ORACLE_F32, 0.1) == 0.1f);
    ck_assert(oracle_ulp(ORACLE_F32, 1) == 0x1p-23);
    ck_assert(oracle_ulp(ORACLE_F32, 0.999) == 0x1p-24);
    ck_assert(oracle_ulp(ORACLE_F16, 0) == 0x1p-24);
}
END_TEST

/* Two keys with scores 0 and ln 3: weights 1/4 and 3/4, row sum 4. */
START_TEST(test_by_hand)
{
    const float ln3 = 1.09861228866810969f, q[] = { 1, 1 }, k[] = { 0, 0, ln3, 0 }, v[] = { 8, 4, 16, -4 };
    const int32_t offset[] = { 0 };
    struct oracle o = { .B = 1, .Hq = 1, .Hkv = 1, .Nq = 1, .Nk = 2, .D = 2, .Dv = 2, .scale = 1, .left = -1,
                        .right = -1, .offset = offset };
    ck_assert(oracle_run(&o, q, k, v));
    ck_assert_double_eq_tol(o.out[0], 14, 1e-6);
    ck_assert_double_eq_tol(o.out[1], -2, 1e-6);
    ck_assert_double_eq_tol(o.lse[0], log(4), 1e-7);
    oracle_free(&o);
    o.dropout = 0.75; /* the first two numbers of seed 0 are 0.4 and 0.88 */
    ck_assert(oracle_run(&o, q, k, v));
    ck_assert_double_eq_tol(o.out[0], 4 * 12, 1e-5);
    ck_assert_double_eq_tol(o.out[1], 4 * -3, 1e-5);
    ck_assert_double_eq_tol(o.lse[0], log(4), 1e-7);
    oracle_free(&o);
    o.dropout = 0;
    o.causal = true; /* the query stands at 0 and sees the first key alone */
    ck_assert(oracle_run(&o, q, k, v));
    ck_assert(o.out[0] == 8 && o.out[1] == 4 && o.lse[0] == 0);
    oracle_free(&o);
    o.left = 0, o.right = 0, o.causal = false;
    o.offset = (const int32_t[]){ 5 };
    ck_assert(oracle_run(&o, q, k, v)); /* a window that no key is in */
    ck_assert(o.out[0] == 0 && o.out[1] == 0 && o.lse[0] == -INFINITY);
    oracle_free(&o);
}
END_TEST

/* Known answers of Random123 (kat_vectors). */
START_TEST(test_random_numbers)
{
    static const uint32_t zero[4] = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
                          pi[4] = { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 };
    for (int w = 0; w < 4; w++) {
        ck_assert(oracle_uniform(0, 0, 0, w) == (zero[w] >> 8) * 0x1p-24);
        ck_assert(oracle_uniform(UINT64_C(0x299f31d0a4093822), UINT64_C(0x0370734413198a2e), UINT64_C(0x85a308d3243f6a88), w) ==
                  (pi[w] >> 8) * 0x1p-24);
    }
}
END_TEST

/* Which keys a query sees, written as pictures. */
START_TEST(test_masks)
{
    static const struct { bool causal; long left, right; int32_t offset; const char *rows[3]; } masks[] = {
        { true, -1, -1, 0, { "x....", "xx...", "xxx.." } },   { true, -1, -1, 2, { "xxx..", "xxxx.", "xxxxx" } },
        { true, -1, -1, -1, { ".....", "x....", "xx..." } },  { true, 1, -1, 2, { ".xx..", "..xx.", "...xx" } },
        { false, 0, 1, 0, { "xx...", ".xx..", "..xx." } },    { false, -1, 0, 3, { "xxxx.", "xxxxx", "xxxxx" } },
        { false, 1, -1, 3, { "..xxx", "...xx", "....x" } },   { false, -1, -1, 9, { "xxxxx", "xxxxx", "xxxxx" } },
        { true, -1, 2, 0, { "x....", "xx...", "xxx.." } },
    };
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        struct oracle o = { .Nq = 3, .Nk = 5, .causal = masks[m].causal, .left = masks[m].left, .right = masks[m].right,
                            .offset = &masks[m].offset };
        for (long i = 0; i < 3; i++)
            for (long j = 0; j < 5; j++)
                ck_assert_msg(oracle_visible(&o, 0, 0, i, j) == (masks[m].rows[i][j] == 'x'),
                              "mask %zu, query %ld, key %ld", m, i, j);
    }
}
END_TEST

/* Patterns as pictures: the queries at positions 0 ... of as many keys as a line has.  Worked out by hand. */
#define GRID(n0, n1) .axes = 2, .grid = { n0, n1 }
static const int32_t two_documents[] = { 7, 7, 3, 3, 7, 3 }, a_prefix[] = { 2 }, edges[] = { 1, 1, 4, 0, 2, 5, 3 }, edge_rows[] = { 0, 3, 3, 5, 6, 7, 7 };
static const float blocks[] = { 1, 0, 0, 1 };
static const int32_t counts[] = { 1, 2 }, full_counts[] = { 0, 1 }, listed_blocks[] = { 1, 9, 2, 2 }, full_blocks[] = { 2, 0 };
static const struct { const struct oracle_pattern *t; int32_t offset; bool causal; int32_t keys; const char *rows[6]; } pictures[] = {
    { LEAF(STRIDED, .stride = 3), 0, true, 6, { "x.....", "xx....", "xxx...", "xxxx..", ".xxxx.", "..xxxx" } },
    { LEAF(STRIDED, .stride = 4), 3, true, 6, { "xxxx..", "xxxxx.", ".xxxxx", "..xxxx", "...xxx", "x...xx" } },
    { LEAF(FIXED, .stride = 3, .summary = 1), 0, false, 6, { "xxx..x", "xxx..x", "xxx..x", "..xxxx", "..xxxx", "..xxxx" } },
    { LEAF(FIXED, .stride = 3), -1, false, 6, { "......", "xxx...", "xxx...", "xxx...", "...xxx", "...xxx" } },
    { LEAF(DILATED, .width = 2, .dilation = { 2 }), 0, false, 6, { "x.x...", ".x.x..", "x.x.x.", ".x.x.x", "..x.x.", "...x.x" } },
    { LEAF(GLOBAL, .num_tokens = 2, .tokens = { 4, 1 }), 0, false, 6, { ".x..x.", "xxxxxx", ".x..x.", ".x..x.", "xxxxxx", ".x..x." } },
    { LEAF(LONGFORMER, .radius = 1, .num_tokens = 1, .tokens = { 0 }), 0, true, 6, { "x.....", "xx....", "xxx...", "x.xx..", "x..xx.", "x...xx" } },
    { LEAF(SINK_WINDOW, .window = 2, .sinks = 1), 0, true, 6, { "x.....", "xx....", "xxx...", "x.xx..", "x..xx.", "x...xx" } },
    { LEAF(SINK_WINDOW, .window = 2), 2, false, 6, { ".xxxxx", "..xxxx", "...xxx", "....xx", ".....x", "......" } },
    { LEAF(PREFIX), 0, false, 6, { "xx....", "xx....", "xxx...", "xxxx..", "xxxxx.", "xxxxxx" } },
    { LEAF(CHUNKED, .chunk = 4), -2, false, 6, { "......", "......", "xxxx..", "xxxx..", "xxxx..", "xxxx.." } },
    { LEAF(DOCUMENT), 1, true, 6, { "xx....", "..x...", "..xx..", "xx..x.", "..xx.x", "......" } },
    { LEAF(NEIGHBORHOOD, .axes = 1, .grid = { 6 }, .kernel = { 3 }), 0, false, 6, { "xxx...", "xxx...", ".xxx..", "..xxx.", "...xxx", "...xxx" } },
    { LEAF(NEIGHBORHOOD, .axes = 1, .grid = { 6 }, .kernel = { 3 }, .dilation = { 2 }), 0, false, 6, { "x.x.x.", ".x.x.x", "x.x.x.", ".x.x.x", "x.x.x.", ".x.x.x" } },
    { LEAF(NEIGHBORHOOD, .axes = 1, .grid = { 6 }, .kernel = { 3 }, .causal = { 1 }), 0, false, 6, { "x.....", "xx....", "xxx...", ".xxx..", "..xxx.", "...xxx" } },
    { LEAF(NEIGHBORHOOD, GRID(2, 3), .kernel = { 1, 3 }), 0, false, 6, { "xxx...", "xxx...", "xxx...", "...xxx", "...xxx", "...xxx" } },
    { LEAF(NEIGHBORHOOD, GRID(3, 2), .kernel = { 3, 1 }, .causal = { 1, 0 }), 0, false, 6, { "x.....", ".x....", "x.x...", ".x.x..", "x.x.x.", ".x.x.x" } },
    { LEAF(WINDOW2D, GRID(2, 3), .kernel = { 1, 3 }), -1, false, 6, { "......", "xxx...", "xxx...", "xxx...", "...xxx", "...xxx" } },
    { LEAF(WINDOW2D, GRID(1, 6), .kernel = { 1, 3 }, .shift = { 0, 1 }), 0, false, 6, { "x.....", ".xxx..", ".xxx..", ".xxx..", "....xx", "....xx" } },
    { LEAF(WINDOW2D, GRID(1, 6), .kernel = { 1, 2 }, .shift = { 0, -5 }), 0, false, 6, { "x.....", ".xx...", ".xx...", "...xx.", "...xx.", ".....x" } },
    { LEAF(BLOCK_SPARSE, .block = 3), 0, false, 6, { "xxx...", "xxx...", "xxx...", "...xxx", "...xxx", "...xxx" } },
    { LEAF(BLOCK_SPARSE, .block = 2, .layout = { 1, 2, 2 }), 1, false, 6, { "xx....", "..xx..", "..xx..", "......", "......", "......" } },
    { LEAF(CSR), 9, false, 6, { ".x..x.", "......", "x.x...", ".....x", "...x..", "......" } }, /* rows are no positions; a key is listed twice */
    { LEAF(BLOCK_MASK, .block_size = { 4, 2 }, .longest = { 2, 1 }), 9, false, 6, { "..xx..", "..xx..", "..xx..", "..xx..", "xx..xx", "xx..xx" } },
    { LEAF(BIGBIRD, .block = 1, .globals = 1), 0, false, 6, { "xxxxxx", "xxx...", "xxxx..", "x.xxx.", "x..xxx", "x...xx" } },
    { LEAF(BIGBIRD, .block = 2), 0, true, 6, { "x.....", "xx....", "xxx...", "xxxx..", "..xxx.", "..xxxx" } },
    { LEAF(BIGBIRD, .block = 1, .random = 9), 0, false, 6, { "xxxxxx", "xxxxxx", "xxxxxx", "xxxxxx", "xxxxxx", "xxxxxx" } },
    { LEAF(RANDOM, .count = 9), 0, true, 4, { "x...", "xx..", "xxx.", "xxxx", "xxxx", "xxxx" } },
    { LEAF(RANDOM), 0, false, 4, { "....", "....", "....", "....", "....", "...." } },
    /* Seed 0 begins with 0.40, 0.88, 0.74, 0.61 (row 0), that is keys 2 and 5 of 6 (test_random_numbers). */
    { LEAF(RANDOM, .count = 2), 0, false, 6, { "..x..x", NULL } },
    { LEAF(RANDOM, .count = 3), 0, false, 6, { "..x.xx", NULL } },
    { LEAF(TOP_K, .k = 2), 0, false, 6, { "....xx", "....xx", "....xx", "....xx", "....xx", "....xx" } },
    { LEAF(TOP_K, .k = 2), 0, true, 6, { "x.....", "xx....", ".xx...", "..xx..", "...xx.", "....xx" } },
    { LEAF(BLOCK_TOP_K, .block = 2, .count = 1), 0, true, 6, { "......", "......", "xx....", "xx....", "..xx..", "..xx.." } },
    { LEAF(BLOCK_TOP_K, .block = 2, .count = 2, .own = 1), 0, true, 6, { "x.....", "xx....", "xxx...", "xxxx..", "..xxx.", "..xxxx" } },
    { LEAF(BLOCK_TOP_K, .block = 4, .count = 1), 0, false, 6, { "....xx", "....xx", "....xx", "....xx", "....xx", "....xx" } }, /* the mean is of two */
    /* Scores are 0 ... 5: of 6 keys the last has 0.63 of the weight, the last two 0.86. */
    { LEAF(TOP_P, .p = 0.6), 0, false, 6, { ".....x", ".....x", ".....x", ".....x", ".....x", ".....x" } },
    { LEAF(TOP_P, .p = 0.7), 0, false, 6, { "....xx", "....xx", "....xx", "....xx", "....xx", "....xx" } },
    { LEAF(TOP_P, .p = 0.99, .max = 3), 0, true, 6, { "x.....", "xx....", "xxx...", ".xxx..", "..xxx.", "...xxx" } },
    { LEAF(LSH, .rounds = 1, .buckets = 2), 0, false, 6, { "xxxxxx", "xxxxxx", "xxxxxx", "xxxxxx", "xxxxxx", "xxxxxx" } },
    { LEAF(UNION, .of = { LEAF(CHUNKED, .chunk = 2), LEAF(PREFIX) }), 0, false, 6, { "xx....", "xx....", "xxxx..", "xxxx..", "xxxxxx", "xxxxxx" } },
    { LEAF(INTERSECT, .of = { LEAF(STRIDED, .stride = 2), LEAF(CHUNKED, .chunk = 4), LEAF(GLOBAL, .num_tokens = 1, .tokens = { 1 }) }), 0, true, 6,
      { "......", "xx....", ".x....", ".x....", "......", "......" } },
};

START_TEST(test_patterns)
{
    static const float q[] = { 1, 1, 1, 1, 1, 1 }, k[] = { 0.125f, 1, 2, 3, 4, 5 }, rotations[] = { 1 };
    struct oracle o = { .B = 1, .Hq = 1, .Hkv = 1, .Nq = 6, .Nk = 6, .D = 1, .Dv = 1, .scale = 1, .causal = pictures[_i].causal, .left = -1, .right = -1,
                        .offset = &pictures[_i].offset, .lens = &pictures[_i].keys, .q = q, .k = k, .pattern = pictures[_i].t,
                        .lists = { a_prefix, two_documents, edge_rows, edges, blocks, rotations, NULL, NULL,
                                   { counts, full_counts }, { listed_blocks, full_blocks } } };
    ck_assert(oracle_list(&o));
    for (long i = 0; i < 6 && pictures[_i].rows[i]; i++)
        for (long j = 0; j < pictures[_i].keys; j++)
            ck_assert_msg(oracle_visible(&o, 0, 0, i, j) == (pictures[_i].rows[i][j] == 'x'), "%s (%d): query %ld, key %ld",
                          oracle_pattern_name(pictures[_i].t->type), _i, i, j);
    ck_assert(oracle_all_decided(&o));
    oracle_free_list(&o);
}
END_TEST

/* What rounding could change is undecided, an exact tie of equal keys is not; a span weighs, a block is one key, and an
 * edge has a bias. */
START_TEST(test_choices)
{
    float q[] = { 1, 1 }, k[] = { 1, 0, 1, 1e-8f, 0, 1, 0, 0 }, span[] = { 2 }, v[] = { 1, 2, 3, 4 };
    const int32_t offset[] = { 3 };
    struct oracle o = { .B = 1, .Hq = 1, .Hkv = 1, .Nq = 1, .Nk = 4, .D = 2, .Dv = 1, .scale = 1, .left = -1, .right = -1, .offset = offset, .q = q, .k = k,
                        .pattern = LEAF(TOP_K, .k = 1), .lists.span = span };
    ck_assert(oracle_list(&o) && !oracle_all_decided(&o)); /* 1 and 1 + 1e-8 */
    oracle_free_list(&o);
    k[3] = 0; /* now the first key twice, and another of the same score */
    k[4] = 1, k[5] = 0;
    ck_assert(oracle_list(&o) && oracle_all_decided(&o) && o.listed[0] && !o.listed[1] && !o.listed[2] && !o.listed[3]);
    oracle_free_list(&o);
    o.pattern = LEAF(TOP_P, .p = 0.90625); /* e / (3 e + 1) three times is 0.8908 */
    ck_assert(oracle_list(&o) && oracle_all_decided(&o) && o.spent[0] == 4);
    oracle_free_list(&o);
    o.pattern = LEAF(TOP_P, .p = 2 * 2.718281828459045 / (3 * 2.718281828459045 + 1)); /* two of them are just as much */
    ck_assert(oracle_list(&o) && !oracle_all_decided(&o));
    oracle_free_list(&o);
    o.pattern = LEAF(ADAPTIVE_SPAN, .ramp = 2); /* the query is at 3: distances 3, 2, 1, 0, weights 1/2, 1, 1, 1 */
    q[0] = q[1] = 0;
    ck_assert(oracle_run(&o, q, k, v));
    ck_assert_double_eq_tol(o.out[0], (0.5 + 2 + 3 + 4) / 3.5, 1e-12);
    ck_assert_double_eq_tol(o.lse[0], log(3.5), 1e-12);
    oracle_free(&o);
    o.pattern = LEAF(CSR, .degree = 4, .edge_heads = 1); /* weights 3 and 1; an edge's second bias does not count, and one of -inf masks */
    o.lists.row_ptr = (const int32_t[]){ 0, 4 };
    o.lists.col_idx = (const int32_t[]){ 1, 2, 2, 3 };
    o.lists.edge_bias = (const float[]){ 1.0986123f, 0, 7, -INFINITY };
    ck_assert(oracle_run(&o, q, k, v));
    ck_assert_double_eq_tol(o.out[0], (3 * 2 + 3) / 4., 1e-6);
    ck_assert_double_eq_tol(o.lse[0], log(4), 1e-6);
    oracle_free(&o);
    o.pattern = LEAF(HIERARCHICAL, .block = 3); /* the own block is the last key's; the mean of three keys is one of score 0 and value 2 */
    ck_assert(oracle_run(&o, q, k, v));
    ck_assert_double_eq_tol(o.out[0], (2 + 4) / 2., 1e-12);
    ck_assert_double_eq_tol(o.lse[0], log(2), 1e-12);
    oracle_free(&o);
}
END_TEST

/* The bound has teeth: one key of 300 left out, or one ulp of the type added twice, is found; the plain
 * computation itself is not. */
START_TEST(test_bound)
{
    static const clattn_dtype dtypes[] = { CLATTN_F32, CLATTN_F16, CLATTN_BF16 };
    struct shape s = shape_full((struct shape){ .dtype = dtypes[_i], .Hq = 2, .Nq = 5, .Nk = 300, .D = 64 });
    struct shape less = s;
    struct data d;
    struct oracle o, cut;
    ck_assert(data_draw(&s, 1, &d));
    ck_assert(attend_oracle(&s, &d, &o));
    ck_assert_double_lt(o.rho, 2e-6);
    ck_assert_double_gt(o.rho, 1e-8);
    ck_assert_double_lt(o.lse_room, 4e-6);
    less.window = 1, less.right = 298, less.left = -1, less.align = CLATTN_TOP_LEFT; /* row 0 misses the last key */
    ck_assert(attend_oracle(&less, &d, &cut));
    double found = 0, right = 0;
    for (int e = 0; e < 64; e++) {
        found = fmax(found, oracle_out_excess(&o, 0, e, (float)oracle_round(o.type, cut.out[e])));
        right = fmax(right, oracle_out_excess(&o, 0, e, (float)oracle_round(o.type, o.out[e])));
    }
    ck_assert_double_gt(found, 1);
    ck_assert_double_gt(oracle_lse_excess(&o, 0, (float)cut.lse[0]), 1);
    ck_assert_double_le(right, 1);
    ck_assert_double_gt(oracle_out_excess(&o, 0, 0, NAN), 1);
    ck_assert_double_gt(oracle_out_excess(&o, 0, 0, INFINITY), 1);
    oracle_free(&o);
    oracle_free(&cut);
    data_free(&d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("oracle");
    TCase *all = tcase_create("oracle");
    tcase_add_test(all, test_rounding);
    tcase_add_test(all, test_by_hand);
    tcase_add_test(all, test_random_numbers);
    tcase_add_test(all, test_masks);
    tcase_add_loop_test(all, test_patterns, 0, sizeof pictures / sizeof *pictures);
    tcase_add_test(all, test_choices);
    tcase_add_loop_test(all, test_bound, 0, 3);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
