/* test_case.c -- the case reader: what CASES.md allows is known, whether it is computed yet or not; anything
 * else is refused with the file's and the field's name.  And the comparison of --check. */
#define _GNU_SOURCE
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/half.h"
#include "cli/mods.h"
#include "cli/run.h"
#include "cli/sample.h"
#include "suite.h"

static char folder[64];
static struct case_file c;

static void put(const char *name, enum ca_npy_type type, int rank, const int64_t *shape)
{
    struct ca_npy a;
    char path[256];
    ck_assert(ca_npy_alloc(&a, type, rank, shape) == CLATTN_OK);
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    ck_assert(ca_npy_write(path, &a) == CLATTN_OK);
    ca_npy_free(&a);
}
#define PUT(name, type, ...) put(name, type, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})

/* q [2,4,5,8], k [2,2,7,8], v [2,2,7,3] and the outputs that go with them, and some others. */
static void make_folder(void)
{
    strcpy(folder, "/tmp/clattn-case-XXXXXX");
    ck_assert(mkdtemp(folder) != NULL);
    PUT("q", CA_NPY_F4, 2, 4, 5, 8);
    PUT("k", CA_NPY_F4, 2, 2, 7, 8);
    PUT("v", CA_NPY_F4, 2, 2, 7, 3);
    PUT("out", CA_NPY_F4, 2, 4, 5, 3);
    PUT("lse", CA_NPY_F4, 2, 4, 5);
    PUT("q3", CA_NPY_F4, 2, 5, 32);
    PUT("k3", CA_NPY_F4, 2, 7, 16);
    PUT("v3", CA_NPY_F4, 2, 7, 6);
    PUT("out3", CA_NPY_F4, 2, 5, 12);
    PUT("k9", CA_NPY_F4, 2, 2, 7, 9);
    PUT("v6", CA_NPY_F4, 2, 2, 6, 3);
    PUT("kh3", CA_NPY_F4, 2, 3, 7, 8);
    PUT("vh3", CA_NPY_F4, 2, 3, 7, 3);
    PUT("two", CA_NPY_I4, 2);
    PUT("three", CA_NPY_I4, 3);
    PUT("twof", CA_NPY_F4, 2);
    PUT("cos", CA_NPY_F4, 0, 4);
    PUT("ids", CA_NPY_I8, 2, 4);
    PUT("ints", CA_NPY_I4, 2, 4, 5, 8);
    PUT("bits", CA_NPY_U2, 2, 4, 5, 8);
    PUT("mask", CA_NPY_B1, 5, 7);
    PUT("mask4", CA_NPY_B1, 5, 4);
    PUT("mask8", CA_NPY_B1, 5, 8);
    PUT("dout", CA_NPY_F4, 2, 4, 5, 3);
}

static int delete_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(path);
}

static void remove_folder(void)
{
    ca_case_free(&c);
    nftw(folder, delete_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_json(const char *json)
{
    char path[128];
    snprintf(path, sizeof path, "%s/case.json", folder);
    FILE *f = fopen(path, "w");
    ck_assert(f && fputs(json, f) >= 0 && fclose(f) == 0);
}

#define QKV "\"q\": \"q.npy\", \"k\": \"k.npy\", \"v\": \"v.npy\""
#define CASE(op, attrs, inputs, outputs, more) "{\"format\": 1, \"name\": \"it\", \"op\": \"" op "\", \"attrs\": {" attrs \
    "}, \"inputs\": {" inputs "}, \"outputs\": {" outputs "}" more "}"
#define ATTENTION(attrs) CASE("attention", attrs, QKV, "\"out\": \"out.npy\"", "")
#define OUT "\"out\": \"out.npy\""

/* --------------------------------------------------------------------- good */

/* A case that is read, and why it is not computed yet (NULL: it is). */
static const struct good { const char *json, *reason; } good[] = {
    {ATTENTION(""), NULL},
    {ATTENTION("\"scale\": null, \"causal\": false, \"softcap\": 0, \"score\": \"dot\", \"pattern\": null, \"dropout_p\": 0.0"), NULL},
    {ATTENTION("\"scale\": 0.5, \"causal\": true, \"align\": \"top_left\", \"window\": [3, -1]"), NULL},
    {ATTENTION("\"align\": \"offset\", \"q_offset\": 4"), NULL},
    {ATTENTION("\"q_heads\": 4, \"kv_heads\": 2"), NULL},
    {CASE("attention", "\"align\": \"offset\"", QKV ", \"q_offset\": \"two.npy\"", OUT ", \"lse\": \"lse.npy\"", ""), NULL},
    {CASE("attention", "\"layout\": \"BSHD\", \"q_heads\": 4, \"kv_heads\": 2",
          "\"q\": \"q3.npy\", \"k\": \"k3.npy\", \"v\": \"v3.npy\"", "\"out\": \"out3.npy\"", ""), NULL},
    {CASE("attention", "", "\"q\": \"bits.npy\", \"k\": \"k.npy\", \"v\": \"v.npy\"", OUT, ", \"dtypes\": {\"q\": \"bf16\"}"), NULL},
    {CASE("attention", "", QKV, OUT, ", \"rtol\": 1, \"atol\": 1e-3, \"tol\": {\"out\": [0, 0.5]}, \"source\": \"x\""), NULL},
    {ATTENTION("\"softcap\": 30.0"), NULL},
    {ATTENTION("\"score\": \"additive\""), NULL},
    {ATTENTION("\"pattern\": {\"type\": \"strided\", \"stride\": 4}"), NULL},
    {ATTENTION("\"pattern\": {\"type\": \"union\", \"of\": [{\"type\": \"chunked\", \"chunk\": 4}]}"), NULL},
    {ATTENTION("\"score_mod\": \"return score;\", \"mod_buffers\": []"), NULL},
    {CASE("attention", "", QKV ", \"mask\": \"mask.npy\"", OUT, ""), NULL},
    {CASE("attention", "", QKV ", \"mask\": \"mask4.npy\"", OUT, ""), NULL},
    {CASE("attention", "", QKV ", \"dout\": \"dout.npy\"", "\"dq\": \"q.npy\"", ""), "input dout, output dq"},
    {CASE("attention", "\"score_mod\": \"x\", \"mod_buffers\": [\"t\"]", QKV ", \"t\": \"twof.npy\"", OUT, ""), NULL},
    {CASE("nystrom", "\"landmarks\": 2", QKV, OUT, ""), NULL},
    {CASE("silu", "", "\"x\": \"q.npy\"", "\"out\": \"q.npy\"", ""), NULL},
    {CASE("silu", "", "\"x\": \"q.npy\", \"dout\": \"q.npy\"", "\"out\": \"q.npy\"", ""), "input dout"},
    {CASE("layer_norm", "\"axis\": -1, \"eps\": 1e-5", "\"x\": \"q.npy\"", "\"out\": \"q.npy\"", ""), NULL},
    {CASE("rope_tables", "\"dim\": 8, \"length\": 2", "", "\"cos\": \"k9.npy\"", ""), NULL}, /* wrong rank, only seen by --check */
};

START_TEST(knows)
{
    char why[512];
    write_json(good[_i].json);
    bool expected = strstr(good[_i].json, "rope_tables") == NULL;
    ck_assert_msg(ca_case_read(folder, expected, &c) == CLATTN_OK, "%s", ca_message());
    ck_assert_str_eq(c.name, "it");
    ck_assert_str_eq(c.folder, strrchr(folder, '/') + 1);
    const char *reason = ca_case_unsupported(&c, why, sizeof why);
    if (!expected) return;
    if (!good[_i].reason) ck_assert_msg(reason == NULL, "%s", reason);
    else ck_assert_msg(reason && strstr(reason, good[_i].reason), "%s", reason);
}
END_TEST

/* ---------------------------------------------------------------------- bad */

/* A case that is refused, and what the message must hold besides the path. */
static const struct bad { const char *json, *field, *words; } bad[] = {
    {"{", "line 1", ""},
    {"[]", "case.json", "object"},
    {"{\"format\": 1, \"format\": 1}", "line 1", "duplicate"},
    {CASE("attention", "", QKV, OUT, ", \"outptus\": {}"), "outptus", "unknown"},
    {CASE("attention", "", QKV, OUT, ", \"source\": 3"), "source", "string"},
    {"{\"format\": 2, \"op\": \"attention\", \"inputs\": {}, \"outputs\": {}}", "format", "2"},
    {"{\"format\": 1, \"inputs\": {}, \"outputs\": {}}", "op", "missing"},
    {CASE("atention", "", QKV, OUT, ""), "op", "atention"},
    {ATTENTION("\"casual\": true"), "attrs.casual", "unknown"},
    {ATTENTION("\"causal\": 1"), "attrs.causal", "true or false"},
    {ATTENTION("\"scale\": \"big\""), "attrs.scale", "number"},
    {ATTENTION("\"softcap\": -1"), "attrs.softcap", "less than 0"},
    {ATTENTION("\"softcap\": \"nan\""), "attrs.softcap", "less than 0"},
    {ATTENTION("\"window\": [3]"), "attrs.window", "[left, right]"},
    {ATTENTION("\"window\": [3, -2]"), "attrs.window", "-1"},
    {ATTENTION("\"align\": \"left\""), "attrs.align", "top_left"},
    {ATTENTION("\"align\": \"top\""), "attrs.align", "one of"},
    {ATTENTION("\"align\": \"offset\""), "attrs.align", "q_offset"},
    {ATTENTION("\"q_offset\": 3"), "attrs.q_offset", "align=offset"},
    {ATTENTION("\"q_heads\": 2"), "inputs.q", "Hq is 4 here and 2 in attrs.q_heads"},
    {ATTENTION("\"q_heads\": 0"), "attrs.q_heads", "less than 1"},
    {ATTENTION("\"seed\": 1.5"), "attrs.seed", "integer"},
    {ATTENTION("\"page_size\": 16"), "attrs.page_size", "block_table"},
    {ATTENTION("\"layout\": \"THD\""), "inputs.q", "rank 4, must be 3"},
    {ATTENTION("\"pattern\": {\"type\": \"stride\"}"), "attrs.pattern", "stride"},
    {ATTENTION("\"pattern\": {\"type\": \"strided\"}"), "attrs.pattern", "stride is missing"},
    {ATTENTION("\"pattern\": {\"type\": \"strided\", \"stride\": 0}"), "attrs.pattern.stride", "less than 1"},
    {ATTENTION("\"pattern\": {\"type\": \"chunked\", \"chunk\": 2, \"x\": 1}"), "attrs.pattern.x", "unknown field"},
    {ATTENTION("\"pattern\": [{\"type\": \"chunked\", \"chunk\": 2}]"), "attrs.pattern", "object"},
    {ATTENTION("\"pattern\": {\"type\": \"union\", \"of\": [3]}"), "attrs.pattern", "object"},
    {ATTENTION("\"pattern\": {\"type\": \"csr\"}"), "attrs.pattern", "row_ptr"},
    {ATTENTION("\"pattern\": {\"type\": \"block_mask\", \"block_size\": [2, 2]}"), "attrs.pattern", "kv_num_blocks"},
    {ATTENTION("\"pattern\": {\"type\": \"block_mask\"}"), "attrs.pattern", "block_size is missing"},
    {CASE("attention", "", QKV ", \"keys\": \"k.npy\"", OUT, ""), "inputs.keys", "unknown input"},
    {CASE("attention", "", "\"q\": \"q.npy\", \"k\": \"k.npy\"", OUT, ""), "inputs.v", "missing"},
    {CASE("attention", "", "\"q\": \"q3.npy\", \"k\": \"k.npy\", \"v\": \"v.npy\"", OUT, ""), "inputs.q", "rank 3, must be 4"},
    {CASE("attention", "\"layout\": \"BSHD\"", "\"q\": \"q3.npy\", \"k\": \"k3.npy\", \"v\": \"v3.npy\"", OUT, ""),
     "attrs.q_heads", "missing"},
    {CASE("attention", "\"layout\": \"BSHD\", \"q_heads\": 5, \"kv_heads\": 1",
          "\"q\": \"q3.npy\", \"k\": \"k3.npy\", \"v\": \"v3.npy\"", OUT, ""), "inputs.q", "not a multiple of the 5 heads"},
    {CASE("attention", "", "\"q\": \"q.npy\", \"k\": \"k9.npy\", \"v\": \"v.npy\"", OUT, ""), "inputs.k", "9"},
    {CASE("attention", "", "\"q\": \"q.npy\", \"k\": \"k.npy\", \"v\": \"v6.npy\"", OUT, ""), "inputs.v", "Nk is 6 here and 7 in k"},
    {CASE("attention", "", "\"q\": \"q.npy\", \"k\": \"kh3.npy\", \"v\": \"vh3.npy\"", OUT, ""), "inputs.k", "multiple of 3"},
    {CASE("attention", "", "\"q\": \"ints.npy\", \"k\": \"k.npy\", \"v\": \"v.npy\"", OUT, ""), "inputs.q", "<i4"},
    {CASE("attention", "", "\"q\": \"bits.npy\", \"k\": \"k.npy\", \"v\": \"v.npy\"", OUT, ""), "inputs.q", "bf16"},
    {CASE("attention", "", QKV, OUT, ", \"dtypes\": {\"q\": \"bf16\"}"), "inputs.q", "<f4"},
    {CASE("attention", "", QKV, OUT, ", \"dtypes\": {\"q\": \"f8\"}"), "dtypes.q", "one of"},
    {CASE("attention", "", QKV, OUT, ", \"dtypes\": {\"x\": \"f32\"}"), "dtypes.x", "no tensor"},
    {CASE("attention", "\"align\": \"offset\"", QKV ", \"q_offset\": \"three.npy\"", OUT, ""), "inputs.q_offset", "B is 3"},
    {CASE("attention", "\"align\": \"offset\"", QKV ", \"q_offset\": \"twof.npy\"", OUT, ""), "inputs.q_offset", "<i4 or <i8"},
    {CASE("attention", "\"align\": \"top_left\"", QKV ", \"q_offset\": \"two.npy\"", OUT, ""), "inputs.q_offset", "needs align=offset"},
    {CASE("attention", "", QKV ", \"mask\": \"mask8.npy\"", OUT, ""), "inputs.mask", "Nk = 7"},
    {CASE("attention", "", QKV ", \"mask\": \"two.npy\"", OUT, ""), "inputs.mask", "|b1"},
    {CASE("attention", "", QKV ", \"k_new\": \"k.npy\"", OUT, ""), "inputs.k_new", "v_new"},
    {CASE("attention", "", QKV, "\"outt\": \"out.npy\"", ""), "outputs.outt", "unknown output"},
    {CASE("attention", "", QKV, "\"dq\": \"q.npy\"", ""), "outputs.dq", "needs dout"},
    {CASE("attention", "", QKV, "", ""), "outputs", "no output"},
    {CASE("attention", "", QKV, "\"out\": \"q.npy\"", ""), "outputs.out", "does not fit"},
    {CASE("attention", "", QKV, "\"out\": \"absent.npy\"", ""), "outputs.out", "No such file"},
    {CASE("attention", "", QKV, "\"out\": 3", ""), "outputs.out", "file"},
    {CASE("attention", "", "\"q\": \"../q.npy\", \"k\": \"k.npy\", \"v\": \"v.npy\"", OUT, ""), "inputs.q", "inside"},
    {CASE("attention", "", "\"q\": \"/etc/passwd\", \"k\": \"k.npy\", \"v\": \"v.npy\"", OUT, ""), "inputs.q", "inside"},
    {CASE("attention", "", QKV, OUT, ", \"tol\": {\"lse\": [1, 1]}"), "tol.lse", "no output"},
    {CASE("attention", "", QKV, OUT, ", \"tol\": {\"out\": [1]}"), "tol.out", "[rtol, atol]"},
    {CASE("attention", "", QKV, OUT, ", \"rtol\": -1"), "rtol", "negative"},
    {CASE("silu", "\"axis\": 1", "\"x\": \"q.npy\"", OUT, ""), "attrs.axis", "unknown attribute of silu"},
    {CASE("silu", "", "\"x\": \"q.npy\"", "\"out\": \"k.npy\"", ""), "outputs.out", "shape of x"},
    {CASE("nystrom", "", QKV, OUT, ""), "attrs", "landmarks is missing"},
    {CASE("softmax", "\"axis\": 4", "\"x\": \"q.npy\"", "\"out\": \"q.npy\"", ""), "softmax", "axis is 4, x of rank 4 has -4 ... 3"},
    {CASE("softmax", "\"axis\": 9000000000", "\"x\": \"q.npy\", \"dout\": \"q.npy\"", "\"out\": \"q.npy\"", ""), "softmax", "axis is 2147483647"},
    {CASE("rms_norm", "", "\"x\": \"q.npy\", \"weight\": \"twof.npy\"", "\"out\": \"q.npy\"", ""), "rms_norm", "weight: shape[0] is 2"},
    {CASE("rope", "\"rotary_dim\": 4", "\"x\": \"q.npy\", \"cos\": \"cos.npy\", \"sin\": \"cos.npy\"", "\"out\": \"q.npy\"", ""), "rope",
     "rotary_dim is 4, cos has 4 columns"},
    {CASE("rope", "\"layout\": \"BSHD\"", "\"x\": \"q.npy\", \"cos\": \"cos.npy\", \"sin\": \"cos.npy\", \"position_ids\": \"ids.npy\"",
          "\"out\": \"q.npy\"", ""), "rope", "position_ids[0][0] is 0, cos and sin have 0 rows"},
    {CASE("rope_tables", "\"dim\": 8, \"length\": 2, \"type\": \"longrope\", \"factor\": 2, \"max_position_embeddings\": 8, "
          "\"short_factor\": [1, 2], \"long_factor\": [1]", "", "\"cos\": \"q.npy\"", ""), "rope_tables", "long_factor has 1 numbers, short_factor 2"},
    {CASE("relative_bias", "\"type\": \"t5\"", "\"table\": \"cos.npy\"", "\"bias\": \"q.npy\"", ""), "relative_bias", "q_len is missing"},
    {CASE("relative_bias", "\"max_distance\": 9", "\"table\": \"cos.npy\"", "\"bias\": \"q.npy\"", ""), "relative_bias", "need type t5"},
    {CASE("cache_scatter", "", "\"past_cache\": \"k.npy\", \"update\": \"v.npy\"", "\"out\": \"k.npy\"", ""), "cache_scatter", "update: shape[3] is 3"},
};

START_TEST(refuses)
{
    write_json(bad[_i].json);
    ck_assert_msg(ca_case_read(folder, true, &c) != CLATTN_OK, "accepted: %s", bad[_i].json);
    ck_assert_msg(strstr(ca_message(), folder) && strstr(ca_message(), bad[_i].field) && strstr(ca_message(), bad[_i].words),
                  "\"%s\" lacks \"%s\" or \"%s\"", ca_message(), bad[_i].field, bad[_i].words);
    ck_assert(strchr(ca_message(), '\n') == NULL);
}
END_TEST

START_TEST(no_folder)
{
    ck_assert(ca_case_read("/nonexistent", true, &c) != CLATTN_OK);
    ck_assert(strstr(ca_message(), "/nonexistent/case.json") != NULL);
    ca_case_free(&c);
    ck_assert(ca_case_read(folder, true, &c) != CLATTN_OK); /* no case.json */
}
END_TEST

/* The folder's own name, which --out uses, never leads elsewhere. */
START_TEST(folder_names)
{
    char path[256];
    write_json(ATTENTION(""));
    static const char *const ends[] = {"/", "//", "/.", "/./"};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", folder, ends[i]);
        ck_assert_msg(ca_case_read(path, true, &c) == CLATTN_OK, "%s", ca_message());
        ck_assert_str_eq(c.folder, strrchr(folder, '/') + 1);
        ca_case_free(&c);
    }
}
END_TEST

/* ------------------------------------------------------------------ compare */

static struct ca_npy numbers(const float *x, size_t n)
{
    struct ca_npy a;
    ck_assert(ca_npy_alloc(&a, CA_NPY_F4, 1, (const int64_t[]){(int64_t)n}) == CLATTN_OK);
    memcpy(a.data, x, n * sizeof *x);
    return a;
}

START_TEST(compares)
{
    static const struct { float a, b; double rtol, atol; bool same; } rows[] = {
        {1, 1, 0, 0, true},           {1, 1.01f, 0, 0, false},         {1.01f, 1, 0.02, 0, true},
        {1.01f, 1, 0, 0.02, true},    {0, 1e-7f, 0, 1e-6, true},       {INFINITY, INFINITY, 0, 0, true},
        {INFINITY, -INFINITY, 1, 1, false}, {INFINITY, 1, 1, 1, false}, {1, INFINITY, 1, 1, false},
        {NAN, NAN, 1, 1, false},      {NAN, 0, INFINITY, INFINITY, false}, {0, NAN, 1, 1, false}, {0, -0.0f, 0, 0, true},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ca_npy a = numbers(&rows[i].a, 1), b = numbers(&rows[i].b, 1);
        struct difference d;
        ck_assert_msg(ca_compare(&a, &b, rows[i].rtol, rows[i].atol, &d) == rows[i].same, "row %u", i);
        ck_assert(d.wrong == !rows[i].same && d.total == 1);
        ca_npy_free(&a);
        ca_npy_free(&b);
    }
}
END_TEST

START_TEST(converts)
{
    const float x[] = {0, 1, -2.5f, 65504, 1e-7f, INFINITY, -INFINITY, 0.1f};
    static const enum ca_npy_type types[] = {CA_NPY_F4, CA_NPY_F2, CA_NPY_F8, CA_NPY_U2};
    struct ca_npy a = numbers(x, 8);
    for (int t = 0; t < 4; t++) {
        struct ca_npy b;
        ck_assert(ca_npy_convert(&a, types[t], &b) == CLATTN_OK);
        for (size_t i = 0; i < 8; i++) {
            float wanted = types[t] == CA_NPY_F2 ? ca_f16_to_f32(ca_f32_to_f16(x[i]))
                         : types[t] == CA_NPY_U2 ? ca_bf16_to_f32(ca_f32_to_bf16(x[i])) : x[i];
            ck_assert(ca_npy_get(&b, i) == (double)wanted);
        }
        ca_npy_free(&b);
    }
    ca_npy_free(&a);
}
END_TEST

/* A graph of a problem string: what a sample of it holds, sorted. */
static const struct { const char *text; int32_t rows[4], count, columns[7]; } graphs[] = {
    { "# three\n1 3\n\n0\t2 \r\n1 0\n% 9 9\n1 3\n", { 0, 1, 4, 4 }, 4, { 2, 0, 3, 3 } },
    { "2 0", { 0, 0, 0, 1 }, 1, { 0 } },
    { "", { 0, 0, 0, 0 }, 0, { 0 } },
    { "%%MatrixMarket matrix coordinate pattern general\n% x\n3 4 2\n3 4\n1 1\n", { 0, 1, 1, 2 }, 2, { 0, 3 } },
    { "%%MatrixMarket Matrix Coordinate Pattern Symmetric\n3 3 3\n2 1\n3 3\n3 2\n", { 0, 1, 3, 5 }, 5, { 1, 0, 2, 1, 2 } },
};

START_TEST(reads_graphs)
{
    char path[256], text[512];
    struct cli_problem p;
    struct sample s;
    clattn_context *ctx = NULL;
    snprintf(path, sizeof path, "%s/1.edges", folder);
    FILE *f = fopen(path, "w");
    ck_assert(f && fputs(graphs[_i].text, f) >= 0 && fclose(f) == 0);
    snprintf(text, sizeof text, "f32 q3 k4 d4 pattern=union(chunked:2;csr:%s)", path);
    ck_assert_msg(ca_cli_problem(text, &p) == CLATTN_OK, "%s", ca_message());
    ck_assert(clattn_context_create("host", &ctx) == CLATTN_OK);
    ck_assert_msg(ca_sample_create(ctx, &p.a, &p.lengths, NULL, NULL, 1, &s) == CLATTN_OK, "%s", ca_message());
    ck_assert(ca_slot_elements(s.p, CA_ROWS) == 4 && ca_slot_elements(s.p, CA_COLUMNS) == (size_t)graphs[_i].count);
    ck_assert(!memcmp(s.host[CA_ROWS], graphs[_i].rows, sizeof graphs[_i].rows));
    ck_assert(!memcmp(s.host[CA_COLUMNS], graphs[_i].columns, (size_t)graphs[_i].count * sizeof(int32_t)));
    ca_sample_free(&s);
    ca_cli_problem_free(&p);
    clattn_context_destroy(ctx);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("case");
    TCase *t = tcase_create("case");
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_loop_test(t, knows, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(t, refuses, 0, sizeof bad / sizeof bad[0]);
    tcase_add_loop_test(t, reads_graphs, 0, sizeof graphs / sizeof graphs[0]);
    tcase_add_test(t, no_folder);
    tcase_add_test(t, folder_names);
    tcase_add_test(t, compares);
    tcase_add_test(t, converts);
    suite_add_tcase(s, t);
    return run_suite(s);
}
