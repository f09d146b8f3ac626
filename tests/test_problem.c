/* test_problem.c -- the validation ladder rule by rule, the canonical form, and the counts that the cost model rests on.
 * Problem strings are test_string.c. */
#include "problems.h"
#include "suite.h"
#include <inttypes.h>
#include <math.h>

#define BIG (INT64_C(1) << 40)

static clattn_attention simple(void)
{
    clattn_attention a;
    ca_attention_defaults(&a);
    a.batch = 2;
    a.q_heads = 6;
    a.kv_heads = 3;
    a.q_len = 5;
    a.kv_len = 7;
    a.head_dim = 4;
    return a;
}

/* ----------------------------------------------------------------- ladder */

/* A field of clattn_attention set to a value that a rule refuses; the message must hold all of WORDS. */
static const struct rule {
    size_t field, bytes;
    int64_t value;
    clattn_status status;
    const char *words[2];
} rules[] = {
#define SET(f, v, s, a, b) { offsetof(clattn_attention, f), sizeof ((clattn_attention *)0)->f, v, CLATTN_E_##s, { a, b } }
    SET(size, 8, ARGUMENT, "size of clattn_attention is 8", "sizeof"),
    SET(size, 1 << 20, ARGUMENT, "size", "1048576"),
    SET(dtype, 7, ARGUMENT, "dtype", "7"),
    SET(layout, 9, ARGUMENT, "layout", "9"),
    SET(batch, -3, ARGUMENT, "batch", "-3"),
    SET(batch, BIG, TOO_LARGE, "batch", "1099511627776"),
    SET(batch, INT32_MAX, TOO_LARGE, "batch 2147483647", "q_heads 6"),
    SET(q_heads, 0, ARGUMENT, "q_heads", "0"),
    SET(q_heads, BIG, TOO_LARGE, "q_heads", "1099511627776"),
    SET(q_heads, 7, ARGUMENT, "q_heads 7", "kv_heads 3"),
    SET(kv_heads, -1, ARGUMENT, "kv_heads", "-1"),
    SET(kv_heads, 12, ARGUMENT, "q_heads 6", "kv_heads 12"),
    SET(q_len, -2, ARGUMENT, "q_len", "-2"),
    SET(q_len, BIG, TOO_LARGE, "q_len", "1099511627776"),
    SET(kv_len, -2, ARGUMENT, "kv_len", "-2"),
    SET(kv_len, (1 << 30) + 1, TOO_LARGE, "kv_len", "1073741825"),
    SET(head_dim, 0, ARGUMENT, "head_dim", "0"),
    SET(head_dim, 577, ARGUMENT, "head_dim", "577"),
    SET(v_dim, -1, ARGUMENT, "v_dim", "-1"),
    SET(v_dim, 600, ARGUMENT, "v_dim", "600"),
    SET(q.batch, -5, ARGUMENT, "q.batch", "-5"),
    SET(k.head, -6, ARGUMENT, "k.head", "-6"),
    SET(v.row, -7, ARGUMENT, "v.row", "-7"),
    SET(out.dim, -8, ARGUMENT, "out.dim", "-8"),
    SET(q.batch, INT64_MAX, TOO_LARGE, "q", "9223372036854775807"),
    SET(k.row, 1 << 23, TOO_LARGE, "k.row", "8388608"),
    SET(v.dim, 1 << 30, TOO_LARGE, "v.dim", "1073741824"),
    SET(out.dim, 1, ARGUMENT, "out strides", "overlap"),
    SET(align, 3, ARGUMENT, "align", "3"),
    SET(q_offset, 4, ARGUMENT, "q_offset 4", "align"),
    SET(window_left, -2, ARGUMENT, "window_left", "-2"),
    SET(window_right, -9, ARGUMENT, "window_right", "-9"),
    SET(kv_lens, -1, ARGUMENT, "kv_lens", "-1"),
    SET(q_total, 3, ARGUMENT, "q_total 3", "CLATTN_THD"),
    SET(page_size, -2, ARGUMENT, "page_size", "-2"),
    SET(page_size, 1, ARGUMENT, "pages 0", "1 ..."),
    SET(pages, 3, ARGUMENT, "pages 3", "page_size"),
    SET(new_len, 2, ARGUMENT, "new_len 2", "kv_lens is 0"),
    SET(new_len, -2, ARGUMENT, "new_len", "-2"),
    SET(shared_len, -1, ARGUMENT, "shared_len", "-1"), SET(shared_len, 1 << 20, ARGUMENT, "shared_len", "1048576"),
    SET(split_len, 15, ARGUMENT, "split_len", "15"), SET(split_len, -16, ARGUMENT, "split_len", "-16"),
    SET(weights, 9, ARGUMENT, "weights", "9"),
    SET(kv_lens, 100, ARGUMENT, "kv_lens 100", "kv_len"),
    SET(alibi, 3, ARGUMENT, "alibi", "3"),
    SET(bias.shape[1], 4, ARGUMENT, "bias.shape[1] (head) is 4", "6"),
    SET(bias.shape[0], -1, ARGUMENT, "bias.shape[0]", "-1"),
    SET(mask.shape[3], 99, ARGUMENT, "mask.shape[3] (key) is 99", "neither 1 nor"),
    SET(mask.stride[2], -4, ARGUMENT, "mask.stride[2] (row)", "-4"),
    SET(mask.stride[0], INT64_MAX, TOO_LARGE, "mask", "9223372036854775807"),
    SET(bias.stride[3], BIG, TOO_LARGE, "bias.stride[3]", "1099511627776"),
};

START_TEST(ladder)
{
    const struct rule *r = &rules[_i];
    clattn_attention a = simple();
    struct problem p, before;
    char *field = (char *)&a + r->field;
    memset(&p, 0x5a, sizeof p);
    before = p;
    if (r->field >= offsetof(clattn_attention, bias)) /* one field alone would make no shape */
        a.bias = a.mask = (clattn_broadcast){ .shape = { 2, 6, 5, a.kv_len } };
    memcpy(field, &r->value, r->bytes); /* little-endian: the low bytes of the value */
    ca_message_clear();
    ck_assert_int_eq(ca_problem_init(&p, &a), r->status);
    for (int w = 0; w < 2; w++)
        ck_assert_msg(strstr(ca_message(), r->words[w]) != NULL, "\"%s\" lacks \"%s\"", ca_message(), r->words[w]);
    ck_assert_msg(same(&p, &before), "a failed call changed the problem");
}
END_TEST

/* Ragged or paged, with everything that goes with it. */
enum form { THD, PAGES };
static clattn_attention formed(enum form form)
{
    clattn_attention a = simple();
    a.batch = 3, a.q_heads = 4, a.kv_heads = 2, a.kv_len = 8, a.kv_lens = 8;
    a.bias = a.mask = (clattn_broadcast){ .shape = { 3, 4, 5, 8 } };
    if (form == THD) {
        a.layout = CLATTN_THD, a.q_total = 12, a.kv_total = 20;
        a.out = (clattn_strides){ 1, 4, 16, 1 };
    } else {
        a.page_size = 4, a.pages = 5, a.new_len = 2;
        a.k = (clattn_strides){ 32, 4, 8, 1 };
        a.k_new = a.v_new = (clattn_strides){ 16, 8, 4, 1 };
    }
    return a;
}

/* Rules about fields that go together: one of them changed. */
static const struct { enum form form; size_t field; int64_t value; clattn_status status; const char *words[2]; } together[] = {
#define WITH(t, f, v, s, a, b) { t, offsetof(clattn_attention, f), v, CLATTN_E_##s, { a, b } }
    WITH(THD, batch, -1, ARGUMENT, "batch -1", "negative"),
    WITH(THD, q_total, -1, ARGUMENT, "q_total -1", "1073741824"),
    WITH(THD, q_total, (1 << 30) + 1, ARGUMENT, "q_total 1073741825", "1073741824"),
    WITH(THD, kv_total, -7, ARGUMENT, "kv_total -7", "1073741824"),
    WITH(THD, kv_total, BIG, ARGUMENT, "kv_total 1099511627776", "1073741824"),
    WITH(THD, q_len, BIG, TOO_LARGE, "q_len", "1099511627776"),
    WITH(THD, new_len, 2, ARGUMENT, "new_len 2", "ragged and leave no room"),
    WITH(THD, shared_len, 2, UNSUPPORTED, "shared_len 2", "ragged"),
    WITH(THD, bias.shape[2], 4, ARGUMENT, "bias.shape[2] (row) is 4", "neither 1 nor 5"), /* the longest length */
    WITH(THD, mask.shape[2], 12, ARGUMENT, "mask.shape[2] (row) is 12", "neither 1 nor 5"), /* not the total */
    WITH(THD, bias.shape[3], 9, ARGUMENT, "bias.shape[3] (key) is 9", "neither 1 nor 8"),
    WITH(THD, mask.shape[0], 1 + 1, ARGUMENT, "mask.shape[0] (batch) is 2", "neither 1 nor 3"),
    WITH(THD, out.row, 3, ARGUMENT, "out strides", "overlap"),
    WITH(PAGES, q_total, 5, ARGUMENT, "q_total 5", "CLATTN_THD"),
    WITH(PAGES, kv_total, 5, ARGUMENT, "kv_total 5", "CLATTN_THD"),
    WITH(PAGES, kv_len, 9, ARGUMENT, "kv_len 9", "page_size 4"),
    WITH(PAGES, page_size, 3, ARGUMENT, "kv_len 8", "page_size 3"),
    WITH(PAGES, page_size, BIG, ARGUMENT, "page_size 1099511627776", "1073741824"),
    WITH(PAGES, page_size, 0, ARGUMENT, "pages 5", "without page_size"),
    WITH(PAGES, pages, 0, ARGUMENT, "pages 0", "1 ... 2147483647"),
    WITH(PAGES, pages, -1, ARGUMENT, "pages -1", "1 ... 2147483647"),
    WITH(PAGES, pages, BIG, ARGUMENT, "pages 1099511627776", "1 ... 2147483647"),
    WITH(PAGES, new_len, 9, ARGUMENT, "new_len 9", "kv_len 8"),
    WITH(PAGES, k.batch, INT64_MAX / 4, TOO_LARGE, "k: batch 5 x 2305843009213693951", "overflows"),
    WITH(PAGES, k_new.head, -1, ARGUMENT, "k_new.head stride -1", "negative"),
    WITH(PAGES, v_new.row, 1 << 23, TOO_LARGE, "v_new.row stride 8388608", "4194304"),
};

START_TEST(ladder_of_fields_together)
{
    clattn_attention a = formed(together[_i].form);
    struct problem p;
    made(&a);
    *(int64_t *)((char *)&a + together[_i].field) = together[_i].value;
    ca_message_clear();
    ck_assert_int_eq(ca_problem_init(&p, &a), together[_i].status);
    for (int w = 0; w < 2; w++)
        ck_assert_msg(strstr(ca_message(), together[_i].words[w]) != NULL, "\"%s\" lacks \"%s\"", ca_message(), together[_i].words[w]);
}
END_TEST

/* Patterns that a rule refuses, of simple() with 6 heads, 5 queries and 24 keys; the message must hold both WORDS. */
#define FIELDS(name, ...) { .size = sizeof(clattn_pattern), .type = CLATTN_##name, .row_heads = 1, .max = -1, __VA_ARGS__ }
#define MASK(...) { .size = sizeof(clattn_pattern), .type = CLATTN_BLOCK_MASK, __VA_ARGS__ }
#define LEAF(name, ...) &(const clattn_pattern)FIELDS(name, __VA_ARGS__)
#define GRID(axes_, ...) .axes = axes_, .grid = { __VA_ARGS__ }, .dilation = { 1, 1, 1 }
static const int64_t wrong_tokens[] = { 3, -4 }, many_tokens[CLATTN_MAX_TOKENS + 1], far_tokens[] = { INT64_C(1) << 31 };
static const clattn_pattern *const stale[] = { LEAF(STRIDED, .stride = 0) }, *const null_part[] = { NULL }, *const pair_of_rows[] = { LEAF(CSR), LEAF(CSR) },
    *const choosing[] = { LEAF(TOP_K, .k = 3) }, *const spans[] = { LEAF(PREFIX), LEAF(ADAPTIVE_SPAN, .ramp = 1) },
    *const weighing[] = { LEAF(TOP_P, .p = 0.5) }, *const blocks[] = { LEAF(HIERARCHICAL, .block = 4) }, *const prefix[] = { LEAF(PREFIX) },
    *const lists[] = { &(const clattn_pattern)MASK(.list_batch = 1, .list_heads = 1, .block_size = { 4, 4 }) },
    *const many[] = { LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1),
                      LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1),
                      LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1), LEAF(CHUNKED, .chunk = 1) };
#define OF(list) .of = list, .num_of = sizeof list / sizeof *list
static const struct { clattn_pattern pattern; clattn_status status; const char *words[2]; } pattern_rules[] = {
    { FIELDS(STRIDED, .stride = 0), CLATTN_E_ARGUMENT, { "strided: stride", "0" } },
    { FIELDS(STRIDED, .stride = -7), CLATTN_E_ARGUMENT, { "strided: stride", "-7" } },
    { { .size = 8, .type = CLATTN_STRIDED, .stride = 3 }, CLATTN_E_ARGUMENT, { "size of clattn_pattern is 8", "sizeof" } },
    { { .size = sizeof(clattn_pattern), .type = (clattn_pattern_type)77 }, CLATTN_E_ARGUMENT, { "type", "77" } },
    { { .size = sizeof(clattn_pattern), .type = CLATTN_NO_PATTERN }, CLATTN_E_ARGUMENT, { "type", "0" } },
    { FIELDS(FIXED, .stride = 0, .summary = 0), CLATTN_E_ARGUMENT, { "fixed: stride", "0" } },
    { FIELDS(FIXED, .stride = 4, .summary = 5), CLATTN_E_ARGUMENT, { "fixed: summary 5", "4" } },
    { FIELDS(FIXED, .stride = 4, .summary = -1), CLATTN_E_ARGUMENT, { "fixed: summary", "-1" } },
    { FIELDS(DILATED, .width = -2, .dilation = { 1 }), CLATTN_E_ARGUMENT, { "dilated: width", "-2" } },
    { FIELDS(DILATED, .width = 2), CLATTN_E_ARGUMENT, { "dilated: dilation", "0" } },
    { FIELDS(RANDOM, .count = -1), CLATTN_E_ARGUMENT, { "random: count", "-1" } },
    { FIELDS(RANDOM, .count = 4097), CLATTN_E_ARGUMENT, { "random: count", "4097" } },
    { FIELDS(GLOBAL, .tokens = wrong_tokens, .num_tokens = 2), CLATTN_E_ARGUMENT, { "global: tokens[1]", "-4" } },
    { FIELDS(GLOBAL, .tokens = far_tokens, .num_tokens = 1), CLATTN_E_ARGUMENT, { "global: tokens[0]", "2147483648" } },
    { FIELDS(GLOBAL, .num_tokens = 2), CLATTN_E_ARGUMENT, { "global: tokens is NULL", "2" } },
    { FIELDS(GLOBAL, .tokens = many_tokens, .num_tokens = CLATTN_MAX_TOKENS + 1), CLATTN_E_TOO_LARGE, { "global: 513 tokens", "512" } },
    { FIELDS(BIGBIRD, .block = 0), CLATTN_E_ARGUMENT, { "bigbird: block", "0" } },
    { FIELDS(BIGBIRD, .block = 2, .random = 5000), CLATTN_E_ARGUMENT, { "bigbird: random", "5000" } },
    { FIELDS(BIGBIRD, .block = 2, .globals = -1), CLATTN_E_ARGUMENT, { "bigbird: globals", "-1" } },
    { FIELDS(LONGFORMER, .radius = -1), CLATTN_E_ARGUMENT, { "longformer: radius", "-1" } },
    { FIELDS(SINK_WINDOW, .window = -3), CLATTN_E_ARGUMENT, { "sink_window: window", "-3" } },
    { FIELDS(SINK_WINDOW, .sinks = -3), CLATTN_E_ARGUMENT, { "sink_window: sinks", "-3" } },
    { FIELDS(CHUNKED, .chunk = 0), CLATTN_E_ARGUMENT, { "chunked: chunk", "0" } },
    { FIELDS(NEIGHBORHOOD, .axes = 4), CLATTN_E_ARGUMENT, { "neighborhood: axes", "4" } },
    { FIELDS(NEIGHBORHOOD, .axes = 0), CLATTN_E_ARGUMENT, { "neighborhood: axes", "0" } },
    { FIELDS(NEIGHBORHOOD, GRID(2, 4, 5), .kernel = { 3, 3 }), CLATTN_E_ARGUMENT, { "the grid has 20 places", "24" } },
    { FIELDS(NEIGHBORHOOD, GRID(2, 4, -6), .kernel = { 3, 3 }), CLATTN_E_ARGUMENT, { "grid[1]", "-6" } },
    { FIELDS(NEIGHBORHOOD, GRID(3, INT64_MAX, 3, 3), .kernel = { 3, 3, 3 }), CLATTN_E_ARGUMENT, { "grid[1]", "3" } },
    { FIELDS(NEIGHBORHOOD, GRID(2, 4, 6), .kernel = { 3, 4 }), CLATTN_E_ARGUMENT, { "kernel[1] is 4", "odd" } },
    { FIELDS(NEIGHBORHOOD, GRID(2, 4, 6), .kernel = { 5, 3 }), CLATTN_E_ARGUMENT, { "kernel[0] 5", "grid[0] 4" } },
    { FIELDS(NEIGHBORHOOD, .axes = 2, .grid = { 4, 6 }, .kernel = { 3, 3 }, .dilation = { 1, 3 }), CLATTN_E_ARGUMENT, { "kernel[1] 3 with dilation 3", "grid[1] 6" } },
    { FIELDS(NEIGHBORHOOD, .axes = 1, .grid = { 24 }, .kernel = { 3 }), CLATTN_E_ARGUMENT, { "dilation 0", "grid[0] 24" } },
    { FIELDS(WINDOW2D, GRID(1, 24), .kernel = { 3 }), CLATTN_E_ARGUMENT, { "window2d: axes is 1", "2" } },
    { FIELDS(WINDOW2D, GRID(2, 4, 6), .kernel = { 3, 3 }), CLATTN_E_ARGUMENT, { "kernel[0] 3", "grid[0] 4" } },
    { FIELDS(WINDOW2D, GRID(2, 4, 6)), CLATTN_E_ARGUMENT, { "kernel[0] 0", "grid[0] 4" } },
    { FIELDS(BLOCK_SPARSE, .block = 0, .layout = { 1, 2, 2 }), CLATTN_E_ARGUMENT, { "block_sparse: block", "0" } },
    { FIELDS(BLOCK_SPARSE, .block = 4, .layout = { 2, 2, 2 }), CLATTN_E_ARGUMENT, { "layout[0] is 2", "6" } },
    { FIELDS(BLOCK_SPARSE, .block = 4, .layout = { 1, 0, 2 }), CLATTN_E_ARGUMENT, { "layout [1][0][2]", "below 1" } },
    { FIELDS(BLOCK_SPARSE, .block = 4, .layout = { 1, 1 << 20, 1 << 20 }), CLATTN_E_TOO_LARGE, { "block_sparse", "words" } },
    { MASK(.list_batch = 1, .list_heads = 1, .block_size = { 0, 4 }), CLATTN_E_ARGUMENT, { "block_mask: block_size[0] 0", "1" } },
    { MASK(.list_batch = 1, .list_heads = 1, .block_size = { 4, -2 }), CLATTN_E_ARGUMENT, { "block_mask: block_size[1] -2", "1" } },
    { MASK(.list_batch = 5, .list_heads = 1, .block_size = { 4, 4 }), CLATTN_E_ARGUMENT, { "block_mask: list_batch is 5", "batch 2" } },
    { MASK(.list_batch = 1, .list_heads = 3, .block_size = { 4, 4 }), CLATTN_E_ARGUMENT, { "block_mask: list_heads is 3", "q_heads 6" } },
    { MASK(.list_batch = 1, .list_heads = 1, .block_size = { 4, 4 }, .max_blocks = -1), CLATTN_E_ARGUMENT, { "block_mask: max_blocks", "-1" } },
    { MASK(.list_batch = 1, .list_heads = 1, .block_size = { 4, 4 }, .max_full_blocks = INT64_MAX), CLATTN_E_ARGUMENT,
      { "block_mask: max_full_blocks 9223372036854775807", "1073741824" } },
    { MASK(.list_batch = 1, .list_heads = 6, .block_size = { 1, 4 }, .max_blocks = 1 << 30), CLATTN_E_TOO_LARGE, { "block_mask", "words" } },
    { FIELDS(UNION, OF(lists)), CLATTN_E_UNSUPPORTED, { "block_mask within", "union" } },
    { FIELDS(CSR, .edges = -1), CLATTN_E_ARGUMENT, { "csr: edges", "-1" } },
    { FIELDS(CSR, .edges = (1 << 30) + 1), CLATTN_E_ARGUMENT, { "csr: edges", "1073741825" } },
    { { .size = sizeof(clattn_pattern), .type = CLATTN_CSR, .row_heads = 3 }, CLATTN_E_ARGUMENT, { "row_heads is 3", "6" } },
    { { .size = sizeof(clattn_pattern), .type = CLATTN_CSR, .row_heads = 1, .edge_heads = 2 }, CLATTN_E_ARGUMENT, { "edge_heads is 2", "6" } },
    { { .size = sizeof(clattn_pattern), .type = CLATTN_CSR, .row_heads = 6, .edge_heads = 6 }, CLATTN_E_ARGUMENT, { "edge_heads is 6", "row_heads 1" } },
    { FIELDS(LSH, .rounds = 0, .buckets = 2), CLATTN_E_ARGUMENT, { "lsh: rounds", "0" } },
    { FIELDS(LSH, .rounds = 1, .buckets = 7), CLATTN_E_ARGUMENT, { "lsh: buckets 7", "odd" } },
    { FIELDS(LSH, .rounds = 1, .buckets = 0), CLATTN_E_ARGUMENT, { "lsh: buckets", "0" } },
    { FIELDS(TOP_K, .k = 25), CLATTN_E_ARGUMENT, { "top_k: k 25", "24" } },
    { FIELDS(TOP_K, .k = -1), CLATTN_E_ARGUMENT, { "top_k: k", "-1" } },
    { FIELDS(BLOCK_TOP_K, .block = 0), CLATTN_E_ARGUMENT, { "block_top_k: block", "0" } },
    { FIELDS(BLOCK_TOP_K, .block = 2, .count = -5), CLATTN_E_ARGUMENT, { "block_top_k: count", "-5" } },
    { FIELDS(TOP_P, .p = 1.5), CLATTN_E_ARGUMENT, { "top_p: p", "1.5" } },
    { FIELDS(TOP_P, .p = NAN), CLATTN_E_ARGUMENT, { "top_p: p", "nan" } },
    { { .size = sizeof(clattn_pattern), .type = CLATTN_TOP_P, .p = 0.5, .max = -2 }, CLATTN_E_ARGUMENT, { "top_p: max", "-2" } },
    { FIELDS(ADAPTIVE_SPAN, .ramp = 0), CLATTN_E_ARGUMENT, { "adaptive_span: ramp", "0" } },
    { FIELDS(ADAPTIVE_SPAN, .ramp = INFINITY), CLATTN_E_ARGUMENT, { "adaptive_span: ramp", "inf" } },
    { FIELDS(HIERARCHICAL, .block = 0), CLATTN_E_ARGUMENT, { "hierarchical: block", "0" } },
    { FIELDS(UNION, .of = NULL, .num_of = 2), CLATTN_E_ARGUMENT, { "union: of is NULL", "2" } },
    { FIELDS(UNION, .of = prefix, .num_of = 0), CLATTN_E_ARGUMENT, { "union: of is given", "0" } },
    { FIELDS(INTERSECT, OF(null_part)), CLATTN_E_ARGUMENT, { "pattern", "NULL" } },
    { FIELDS(INTERSECT, OF(stale)), CLATTN_E_ARGUMENT, { "strided: stride", "0" } },
    { FIELDS(UNION, OF(many)), CLATTN_E_TOO_LARGE, { "pattern", "12" } },
    { FIELDS(UNION, OF(pair_of_rows)), CLATTN_E_UNSUPPORTED, { "csr", "twice" } },
    { FIELDS(UNION, OF(choosing)), CLATTN_E_UNSUPPORTED, { "top_k within", "union" } },
    { FIELDS(INTERSECT, OF(weighing)), CLATTN_E_UNSUPPORTED, { "top_p within", "intersection" } },
    { FIELDS(UNION, OF(spans)), CLATTN_E_UNSUPPORTED, { "adaptive_span within", "union" } },
    { FIELDS(UNION, OF(blocks)), CLATTN_E_UNSUPPORTED, { "hierarchical within", "union" } },
};

START_TEST(ladder_of_patterns)
{
    clattn_attention a = simple();
    struct problem p, before;
    memset(&p, 0x5a, sizeof p);
    before = p;
    a.kv_len = 24, a.pattern = &pattern_rules[_i].pattern;
    ca_message_clear();
    ck_assert_msg(ca_problem_init(&p, &a) == pattern_rules[_i].status, "%s", ca_message());
    for (int w = 0; w < 2; w++)
        ck_assert_msg(strstr(ca_message(), pattern_rules[_i].words[w]) != NULL, "\"%s\" lacks \"%s\"", ca_message(), pattern_rules[_i].words[w]);
    ck_assert(same(&p, &before));
}
END_TEST

/* What a pattern does not go with. */
START_TEST(patterns_alone)
{
    static const clattn_pattern means = FIELDS(HIERARCHICAL, .block = 4), mask = MASK(.list_batch = 1, .list_heads = 1, .block_size = { 4, 4 });
    static const struct { const clattn_pattern *pattern; int64_t left, right; const char *tile_class, *words[2]; } pairs[] = {
        { &means, 3, -1, NULL, { "hierarchical with a window", "3 to the left and -1" } },
        { &means, -1, 0, NULL, { "hierarchical with a window", "-1 to the left and 0" } },
        { &mask, -1, -1, "return 1;", { "block_mask with tile_class", "not supported" } },
    };
    for (size_t n = 0; n < sizeof pairs / sizeof *pairs; n++)
        for (int causal = 0; causal < 2; causal++) {
            clattn_attention a = simple();
            struct problem p;
            a.kv_len = 24, a.pattern = pairs[n].pattern, a.causal = causal;
            made(&a);
            a.window_left = pairs[n].left, a.window_right = pairs[n].right, a.tile_class = pairs[n].tile_class;
            if (a.tile_class) a.mask_mod = "return 1;";
            ca_message_clear();
            ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_UNSUPPORTED);
            for (int w = 0; w < 2; w++)
                ck_assert_msg(strstr(ca_message(), pairs[n].words[w]) != NULL, "\"%s\" lacks \"%s\"", ca_message(), pairs[n].words[w]);
        }
}
END_TEST

/* A pattern is copied with all that it points to, and equal ones make equal problems. */
START_TEST(patterns_are_copied)
{
    int64_t tokens[] = { 9, 2, 9 };
    clattn_pattern leaf = FIELDS(GLOBAL, .tokens = tokens, .num_tokens = 3);
    const clattn_pattern *parts[] = { &leaf };
    clattn_pattern root = FIELDS(UNION, .of = parts, .num_of = 1);
    clattn_attention a = simple();
    a.pattern = &root;
    struct problem p = made(&a), again;
    tokens[0] = 2, tokens[1] = 9, leaf.num_tokens = 2;
    again = made(&a);
    ck_assert(same(&p, &again));
    tokens[0] = 3;
    again = made(&a);
    ck_assert(!same(&p, &again));
    ck_assert_int_eq(p.pattern.num_tokens, 2);
    ck_assert(p.pattern.tokens[0] == 2 && p.pattern.tokens[1] == 9);
}
END_TEST

/* The numbers of a ragged batch's tiles fit 32 bits. */
START_TEST(too_many_sequences)
{
    clattn_attention a = simple();
    struct problem p;
    a.layout = CLATTN_THD, a.q_heads = a.kv_heads = 1;
    a.q_total = 1 << 30, a.batch = (1 << 30) - 1;
    made(&a);
    a.batch++;
    ca_message_clear();
    ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_TOO_LARGE);
    ck_assert_msg(strstr(ca_message(), "batch 1073741824 and q_total 1073741824 exceed 2147483647") != NULL, "%s", ca_message());
}
END_TEST

/* The weights are the only tensor that has both lengths. */
START_TEST(weights_too_large)
{
    clattn_attention a = simple();
    struct problem p;
    a.batch = 1, a.q_heads = a.kv_heads = 4;
    a.q_len = a.kv_len = 1 << 30;
    made(&a);
    a.weights = CLATTN_WEIGHTS_PROBS;
    ca_message_clear();
    ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_TOO_LARGE);
    ck_assert_msg(strstr(ca_message(), "weights [1][4][1073741824][1073741824]") != NULL, "%s", ca_message());
    a.kv_len = 0; /* none at all */
    p = made(&a);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_WEIGHTS), 0);
}
END_TEST

/* What each optional tensor must hold: the sizes that executions demand. */
START_TEST(sizes_of_lists)
{
    clattn_attention a = simple();
    a.batch = 3, a.kv_len = 8, a.layout = CLATTN_THD, a.q_total = 12, a.kv_total = 20;
    struct problem p = made(&a);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_CUQ), 4 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_CUK), 4 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_LSE), 6 * 12 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_K), 20 * 3 * 4 * 4);
    a.kv_total = 0, a.page_size = 4, a.pages = 5, a.kv_lens = 8, a.new_len = 2;
    p = made(&a);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_CUQ), 4 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_CUK), 0);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_TABLE), 3 * 2 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_K), 5 * 4 * 3 * 4 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_KNEW), 3 * 3 * 2 * 4 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_LENS), 3 * 4);
    a.batch = 0, a.q_total = 0; /* even then there is a first beginning */
    p = made(&a);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_CUQ), 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_TABLE), 0);
}
END_TEST

START_TEST(size_field_grows)
{
    struct { clattn_attention a; char more[16]; } longer = { simple(), { 0 } };
    struct problem p;
    longer.a.size = sizeof longer;
    ca_message_clear();
    ck_assert_int_eq(ca_problem_init(&p, &longer.a), CLATTN_OK);
    longer.more[3] = 1;
    ck_assert_int_eq(ca_problem_init(&p, &longer.a), CLATTN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(ca_message(), "uses byte"));
}
END_TEST

START_TEST(scale_and_offset_ranges)
{
    clattn_attention a = simple();
    struct problem p;
    ck_assert(made(&a).scale == 0.5f);
    a.scale = -3;
    ck_assert(made(&a).scale == -3.0f);
    for (double bad = 1e300; bad != 0; bad = bad == INFINITY ? 0 : INFINITY) {
        a.scale = bad;
        ca_message_clear();
        ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(ca_message(), "scale"));
    }
    a = simple();
    a.align = CLATTN_OFFSET;
    a.q_offset = INT64_C(1) << 31;
    ca_message_clear();
    ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(ca_message(), "2147483648"));
}
END_TEST

START_TEST(softcap_range)
{
    static const double bad[] = { -1, NAN, INFINITY, 1e300, 1e-42, 1e-300 };
    clattn_attention a = simple();
    struct problem p;
    ck_assert(made(&a).softcap == 0);
    a.softcap = 30;
    ck_assert(made(&a).softcap == 30.0f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        a.softcap = bad[i];
        ca_message_clear();
        ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(ca_message(), "softcap"));
    }
}
END_TEST

START_TEST(dropout_range)
{
    static const double bad[] = { -1e-9, 1 + 1e-9, NAN, INFINITY, 1e300 };
    static const struct { double p; uint32_t below; float scale; } good[] = {
        { 1e-300, 1, 1 }, { 0.25, 1 << 22, 4.f / 3 }, { 0.7, 11744052, 1 / 0.3 }, /* 0.7 2^24 = 11744051.2 */
        { 0x1.fffffep-1, 0xffffff, 0x1p24 }, { 1, 1 << 24, 0 },
    };
    clattn_attention a = simple();
    struct problem p;
    ca_args args;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        a.dropout_p = bad[i];
        ca_message_clear();
        ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_ARGUMENT);
        ck_assert_msg(strstr(ca_message(), "dropout_p") && strstr(ca_message(), "0 ... 1"), "%s", ca_message());
    }
    a.seed = UINT64_MAX, a.offset = 7;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        a.dropout_p = good[i].p;
        p = made(&a);
        ca_problem_args(&p, &args);
        ck_assert_uint_eq(args.drop_below, good[i].below);
        ck_assert(args.keep_scale == good[i].scale && args.seed == UINT64_MAX && args.drop_offset == 7);
    }
    a.dropout_p = 0;
    p = made(&a);
    ca_problem_args(&p, &args);
    ck_assert(args.drop_below == 0);
}
END_TEST

START_TEST(sizes_that_overflow)
{
    clattn_attention a = simple();
    struct problem p;
    a.batch = 1 << 15;
    a.q_heads = a.kv_heads = 1 << 15;
    a.q_len = a.kv_len = 1 << 30;
    a.head_dim = 576;
    ca_message_clear();
    ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_TOO_LARGE);
    ck_assert_msg(strstr(ca_message(), "overflows") != NULL, "%s", ca_message());
    a.q_len = a.kv_len = 0; /* nothing to store: any of the other sizes will do */
    ck_assert(ca_problem_empty(&(struct problem){ .B = 0 }));
    p = made(&a);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_OUT), 0);
}
END_TEST

/* ---------------------------------------------------------- canonical form */

START_TEST(strides_from_layout)
{
    clattn_attention a = simple();
    struct problem p = made(&a);
    ck_assert(p.q.b == 6 * 5 * 4 && p.q.h == 5 * 4 && p.q.s == 4 && p.q.d == 1);
    ck_assert(p.k.b == 3 * 7 * 4 && p.k.h == 7 * 4 && p.v.s == 4 && p.o.h == 20);
    a.layout = CLATTN_BSHD;
    p = made(&a);
    ck_assert(p.q.b == 6 * 5 * 4 && p.q.h == 4 && p.q.s == 24 && p.q.d == 1);
    ck_assert(p.k.s == 12 && p.o.s == 24);
}
END_TEST

/* Pairs of strings that mean the same problem. */
static const char *const twins[][2] = {
    { "f32 b1 h2 q4 k4 d8 causal", "attention d8 h2 n4 win=-1,0" },
    { "f32 b1 h2 q4 k4 d8 causal", "f32 h2 n4 d8 causal win=-1,5 align=top_left" },
    { "f32 b1 h2 q4 k4 d8", "f32 h2/2 n4 d8/8 win=3,3 scale=0.353553391" },
    { "f32 b1 h2 q1 k9 d8", "f32 b1 h2 q1 k9 d8 causal" },
    { "f32 b1 h2/1 q1 k9 d8", "f32 b1 h2/1 q1 k9 d8 layout=bshd" },
    { "f32 b3 h1 q5 k9 d8", "f32 b3 h1 q5 k9 d8 layout=bshd" },
    { "f32 b3 h1 q5 k9 d8", "f32 b3 h1 q5 k9 d8 qstride=40,77,8,1" },
    { "f32 b3 h1 q5 k9 d8", "f32 b3 h1 q5 k9 d8 align=top_left" },
    { "f16 b1 h4 q0 k9 d8", "f16 b1 h4 q0 k9 d8 causal win=2,0" },
    { "bf16 b1 h1 q9 k0 d8", "bf16 b1 h1 q9 k0 d8 causal" },
    { "f32 b1 h1 q4 k2 d1 win=1,1", "f32 b1 h1 q4 k2 d1 win=1,1 align=bottom_right" },
    { "f32 b1 h1 q4 k9 d1", "f32 b1 h1 q4 k9 d1 dropout=0 seed=5 offset=3" },
    { "f32 b1 h1 q4 k0 d1", "f32 b1 h1 q4 k0 d1 dropout=0.5 seed=5" },
    { "f32 b1 h1 q4 k9 d1 align=offset:3", "f32 b1 h1 q4 k9 d1 align=offset:3 win=4000000000,-1" },
};

START_TEST(same_meaning_same_problem)
{
    struct problem a = parsed(twins[_i][0]), b = parsed(twins[_i][1]);
    ck_assert_msg(same(&a, &b), "%s | %s prints %s", twins[_i][0], twins[_i][1], printed(&b));
    char text[512];
    strcpy(text, printed(&a));
    ck_assert_str_eq(text, printed(&b));
}
END_TEST

START_TEST(output_strides_may_not_overlap)
{
    static const struct { clattn_strides s; bool good; } list[] = { /* of batch 2, head 6, row 5, dim 4 */
        { { 120, 20, 4, 1 }, true }, { { 120, 4, 24, 1 }, true }, { { 1, 2, 12, 60 }, true },
        { { 1000, 100, 10, 2 }, true }, { { 119, 20, 4, 1 }, false }, { { 120, 20, 3, 1 }, false },
        { { 120, 0, 4, 1 }, false }, { { 120, 19, 4, 1 }, false }, { { 120, 20, 4, 4 }, false },
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        clattn_attention a = simple();
        struct problem p;
        a.out = list[i].s;
        ca_message_clear();
        ck_assert_int_eq(ca_problem_init(&p, &a), list[i].good ? CLATTN_OK : CLATTN_E_ARGUMENT);
        a = simple();
        a.k = (clattn_strides){ 0, 0, 4, 1 }; /* inputs may: one head's keys for all */
        made(&a);
    }
}
END_TEST

START_TEST(elements_and_gaps)
{
    clattn_attention a = simple();
    struct problem p = made(&a);
    ck_assert_uint_eq(ca_slot_elements(&p, CA_OUT), 2 * 6 * 5 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_LSE), 2 * 6 * 5 * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_QOFF), 8);
    ck_assert(!ca_slot_has_gaps(&p, CA_OUT));
    a.out = (clattn_strides){ 240, 40, 8, 1 };
    a.dtype = CLATTN_BF16;
    p = made(&a);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_OUT), 2 * (240 + 200 + 32 + 3 + 1));
    ck_assert(ca_slot_has_gaps(&p, CA_OUT));
}
END_TEST

/* Equal tensors are equal problems; sizes follow from what is there. */
START_TEST(broadcast_tensors)
{
    clattn_attention a = simple(), b = simple();
    a.bias = (clattn_broadcast){ .shape = { 1, 6, 5, a.kv_len } };
    struct problem p = made(&a), q;
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_BIAS), (size_t)(6 * 5 * a.kv_len) * 4);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_MASK), 0);
    ck_assert_ptr_null(ca_slot_unwanted(&p, CA_BIAS));
    ck_assert_ptr_nonnull(ca_slot_unwanted(&p, CA_MASK));
    b.bias = (clattn_broadcast){ .shape = { 1, 6, 5, b.kv_len }, .stride = { 77, 5 * b.kv_len, b.kv_len, 1 } };
    q = made(&b);
    ck_assert(same(&p, &q));
    a.bias = (clattn_broadcast){ 0 };
    a.mask = (clattn_broadcast){ .shape = { 2, 1, 1, a.kv_len - 1 }, .stride = { 40, 0, 0, 3 } };
    p = made(&a);
    ck_assert_int_eq(p.mask.cols, a.kv_len - 1);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_MASK), (size_t)(40 + 3 * (a.kv_len - 2) + 1));
    a.mask.stride[3] = 0; /* would repeat a key and end before the last */
    ck_assert_int_eq(ca_problem_init(&p, &a), CLATTN_E_ARGUMENT);
    a.mask = (clattn_broadcast){ .shape = { 1, 1, 1, 1 } };
    p = made(&a);
    ck_assert_uint_eq(ca_slot_bytes(&p, CA_MASK), 1);
}
END_TEST

/* ------------------------------------------------------------------ counts */

static double pairs_one_by_one(const struct problem *p)
{
    double pairs = 0;
    for (int64_t i = 0; i < p->Nq; i++)
        for (int64_t j = 0; j < p->Nk; j++) {
            int64_t at = i + p->offset;
            pairs += (p->left == CA_UNLIMITED || j >= at - p->left) && (p->right == CA_UNLIMITED || j <= at + p->right);
        }
    return pairs;
}

START_TEST(pairs_agree_with_counting)
{
    srand(1);
    for (int n = 0; n < 5000; n++) {
        clattn_attention a = random_attention();
        struct problem p = made(&a);
        if (p.ragged) continue; /* there it is an estimate */
        ck_assert_msg(ca_problem_pairs(&p) == (p.B ? pairs_one_by_one(&p) : 0), "%s: %g", printed(&p),
                      ca_problem_pairs(&p));
    }
}
END_TEST

/* The canonical mask lets through what the descriptor describes. */
START_TEST(canonical_mask_means_the_same)
{
    srand(2);
    for (int n = 0; n < 5000; n++) {
        clattn_attention a = random_attention();
        struct problem p = made(&a);
        if (p.ragged) continue; /* offsets are not known before execution */
        int64_t length = p.lens ? draw(0, p.Nk) : p.Nk, moved = p.bottom_right ? p.Nk - length : 0;
        int64_t offset = a.align == CLATTN_TOP_LEFT ? 0 : a.align == CLATTN_OFFSET ? a.q_offset : length - a.q_len;
        if (p.has_alibi && p.B && p.Nq && p.Nk) ck_assert_int_eq(p.offset - moved, offset);
        for (int64_t i = 0; i < p.Nq && p.B; i++)
            for (int64_t j = 0; j < length; j++) {
                int64_t at = i + offset;
                bool want = (!a.causal || j <= at) && (a.window_left < 0 || j >= at - a.window_left) &&
                            (a.window_right < 0 || j <= at + a.window_right);
                bool have = j >= ca_key_lo(i + p.offset - moved, p.left, (ca_int)length) &&
                            j < ca_key_hi(i + p.offset - moved, p.right, (ca_int)length);
                ck_assert_msg(want == have, "%s: query %d key %d", printed(&p), (int)i, (int)j);
            }
    }
}
END_TEST

/* The widest windows about the farthest positions. */
START_TEST(extreme_windows)
{
    clattn_attention a;
    ca_attention_defaults(&a);
    a.head_dim = 1;
    a.q_len = 8, a.kv_len = 1 << 30;
    a.align = CLATTN_OFFSET, a.q_offset = INT32_MAX;
    a.window_left = INT32_MAX - 5;
    struct problem p = made(&a);
    ck_assert_int_eq(ca_key_lo(p.offset, p.left, (ca_int)p.Nk), 5);
    a.window_left = INT32_MAX;
    p = made(&a);
    ck_assert_int_eq(ca_key_lo((ca_long)p.offset + 7, p.left, (ca_int)p.Nk), 7);
    a.window_left = INT64_MAX;
    p = made(&a);
    ck_assert_int_eq(ca_key_lo((ca_long)p.offset + (1 << 30), p.left, (ca_int)p.Nk), 0);
    a.q_offset = INT32_MIN;
    a.window_right = INT64_C(0x80000000) + 3;
    p = made(&a);
    ck_assert_int_eq(ca_key_hi(p.offset, p.right, (ca_int)p.Nk), 4);
    a.window_right = INT64_MAX;
    p = made(&a);
    ck_assert_int_eq(ca_key_hi(p.offset, p.right, (ca_int)p.Nk), 1 << 30);
}
END_TEST

START_TEST(flops_and_bytes)
{
    struct problem p = parsed("f16 b2 h8/2 q1 k4096 d128 causal");
    ck_assert(ca_problem_flops(&p) == 2.0 * 4096 * 256 * 16);
    ck_assert(ca_problem_bytes(&p) == 2.0 * 2 * 256 * (8 + 2 * 4096));
    p = parsed("f32 b1 h1 q1 k4096 d64 causal win=99,0");
    ck_assert(ca_problem_pairs(&p) == 100);
    ck_assert(ca_problem_bytes(&p) == 4.0 * 128 * (1 + 100));
    p = parsed("f32 n1073741824 d1 causal");
    ck_assert(ca_problem_pairs(&p) == 0x1p29 * (0x1p30 + 1));
}
END_TEST

START_TEST(kernel_arguments)
{
    struct problem p = parsed("f32 b2 h6/3 q5 k7 d4/3 causal win=2,0 layout=bshd");
    ca_args a;
    ca_problem_args(&p, &a);
    ck_assert(a.q_0 == 0 && a.q_b == 120 && a.q_h == 4 && a.q_s == 24 && a.q_d == 1 && a.o_s == 18);
    ck_assert(a.B == 2 && a.Hq == 6 && a.Hkv == 3 && a.group == 2 && a.Nq == 5 && a.Nk == 7 && a.D == 4 && a.Dv == 3);
    ck_assert(a.left == 2 && a.right == 0 && a.offset == 2 && a.scale == 0.5f && a.splits == 1);
}
END_TEST

#define COUNT(table) ((int)(sizeof table / sizeof table[0]))

int main(void)
{
    Suite *s = suite_create("problem");
    TCase *t = tcase_create("problem");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, ladder, 0, COUNT(rules));
    tcase_add_loop_test(t, ladder_of_fields_together, 0, COUNT(together));
    tcase_add_loop_test(t, ladder_of_patterns, 0, COUNT(pattern_rules));
    tcase_add_test(t, patterns_alone);
    tcase_add_test(t, patterns_are_copied);
    tcase_add_test(t, too_many_sequences);
    tcase_add_test(t, weights_too_large);
    tcase_add_test(t, sizes_of_lists);
    tcase_add_test(t, size_field_grows);
    tcase_add_test(t, scale_and_offset_ranges);
    tcase_add_test(t, softcap_range);
    tcase_add_test(t, dropout_range);
    tcase_add_test(t, sizes_that_overflow);
    tcase_add_test(t, strides_from_layout);
    tcase_add_loop_test(t, same_meaning_same_problem, 0, COUNT(twins));
    tcase_add_test(t, output_strides_may_not_overlap);
    tcase_add_test(t, elements_and_gaps);
    tcase_add_test(t, broadcast_tensors);
    tcase_add_test(t, pairs_agree_with_counting);
    tcase_add_test(t, canonical_mask_means_the_same);
    tcase_add_test(t, extreme_windows);
    tcase_add_test(t, flops_and_bytes);
    tcase_add_test(t, kernel_arguments);
    return run_suite(s);
}
