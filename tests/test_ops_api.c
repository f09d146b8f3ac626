/* test_ops_api.c -- the operations around attention with arguments that are wrong: each is refused with its name and
 * the numbers, and nothing is written. */
#define CLATTN_NONNULL(...) /* NULL is passed on purpose */
#include "scene.h"

static float room[64];
static int32_t ids[64];

static clattn_tensor on_host(clattn_dtype type, int rank, const int64_t *shape, void *host)
{
    clattn_tensor t = { .size = sizeof t, .dtype = type, .rank = rank, .host = host };
    if (rank) memcpy(t.shape, shape, (size_t)rank * sizeof *shape);
    return t;
}
#define HOST(host, ...) on_host(CLATTN_F32, SHAPE(__VA_ARGS__), host)
#define INDICES(...) on_host(CLATTN_INT32, SHAPE(__VA_ARGS__), ids)

/* CALL fails with STATUS and WORDS, and writes nothing. */
#define FAILS(status, words, call) do { \
    for (int i_ = 0; i_ < 64; i_++) room[i_] = 77; \
    clattn_status got_ = (call); \
    if (got_ != (status) || !strstr(clattn_last_message(), words)) \
        wrong("%s: %s: \"%s\" lacks \"%s\"", #call, clattn_status_name(got_), clattn_last_message(), words); \
    for (int i_ = 0; i_ < 64; i_++) if (room[i_] != 77) wrong("%s: wrote an output", #call); } while (0)
#define BAD(words, call) FAILS(CLATTN_E_ARGUMENT, words, call)

START_TEST(test_bad_tensors)
{
    clattn_context *ctx = attend_context();
    float in[64] = { 0 };
    clattn_tensor x = HOST(in, 2, 3), out = HOST(room, 2, 3), t;
    BAD("x is NULL", clattn_softmax(ctx, NULL, 0, &out, NULL));
    BAD("out is NULL", clattn_softmax(ctx, &x, 0, NULL, NULL));
    BAD("axis is 2, x of rank 2 has -2 ... 1", clattn_softmax(ctx, &x, 2, &out, NULL));
    BAD("axis is -3", clattn_log_softmax(ctx, &x, -3, &out, NULL));
    t = out, t.shape[1] = 4;
    BAD("out: shape[1] is 4, must be 3", clattn_softmax(ctx, &x, 0, &t, NULL));
    t = out, t.rank = 1;
    BAD("out has rank 1, must have 2", clattn_softmax(ctx, &x, 0, &t, NULL));
    t = x, t.rank = 9;
    BAD("x: rank 9", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.rank = -1;
    BAD("x: rank -1", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.shape[0] = -5;
    BAD("x: shape[0] is -5", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.shape[0] = t.shape[1] = (int64_t)1 << 40;
    FAILS(CLATTN_E_TOO_LARGE, "x: the axes up to shape[1] = 1099511627776", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.size = 8;
    BAD("size of x is 8", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.dtype = CLATTN_INT32;
    BAD("x: dtype 3", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.dtype = (clattn_dtype)-1;
    BAD("x: dtype -1", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.host = NULL;
    BAD("x has neither host nor mem, needs 24 bytes", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.host = (char *)in + 2;
    BAD("is not a multiple of its element's 4 bytes", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.mem = (cl_mem)&x;
    BAD("x has host and mem", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.host = room + 1;
    BAD("out overlaps x", clattn_softmax(ctx, &t, 0, &out, NULL));
    t = x, t.mem = (cl_mem)&x, t.host = NULL;
    BAD("x is in device memory, but ctx is NULL", clattn_softmax(NULL, &t, 0, &out, NULL));
    if (attend_is_host()) FAILS(CLATTN_E_UNSUPPORTED, "x is in device memory", clattn_softmax(ctx, &t, 0, &out, NULL));
    BAD("activation 9", clattn_activate(ctx, (clattn_activation)9, &x, &out, NULL));
    clattn_launch l = { .size = sizeof l, .num_events = 1 };
    BAD("num_events is 1, but wait_list is NULL", clattn_softmax(ctx, &x, 0, &out, &l));
    l = (clattn_launch){ .size = 3 };
    BAD("size of clattn_launch is 3", clattn_softmax(ctx, &x, 0, &out, &l));
    cl_event event = NULL;
    l = (clattn_launch){ .size = sizeof l, .event = &event };
    if (attend_is_host()) FAILS(CLATTN_E_UNSUPPORTED, "no queue", clattn_softmax(ctx, &x, 0, &out, &l));
    finish();
}
END_TEST

START_TEST(test_bad_calls)
{
    clattn_context *ctx = attend_context();
    float in[64] = { 0 };
    clattn_tensor x = HOST(in, 2, 3), out = HOST(room, 2, 3), a, b, c;
    BAD("out is NULL", clattn_layer_norm(ctx, &x, NULL, NULL, 1, 0, NULL, NULL, NULL, NULL));
    a = HOST(in, 2);
    BAD("weight: shape[0] is 2, its shape must be the end of x's",
        clattn_rms_norm(ctx, &x, &a, NULL, 1, 0, &out, NULL, NULL));
    BAD("mean has rank 1", clattn_layer_norm(ctx, &x, NULL, NULL, 1, 0, &out, &a, NULL, NULL));

    clattn_tensor q = HOST(in, 1, 2, 3, 4), r = HOST(room, 1, 2, 3, 4), cos = HOST(in, 5, 2), sin = HOST(in, 5, 2);
    ids[0] = 0, ids[1] = 1, ids[2] = 5;
    a = INDICES(1, 3);
    BAD("position_ids[0][2] is 5, cos and sin have 5 rows",
        clattn_rope(ctx, &q, &cos, &sin, &a, CLATTN_BHSD, 0, &r, NULL));
    ids[1] = -1;
    BAD("position_ids[0][1] is -1", clattn_rope(ctx, &q, &cos, &sin, &a, CLATTN_BHSD, 0, &r, NULL));
    BAD("position_ids: shape[1] is 3, must be 2", clattn_rope(ctx, &q, &cos, &sin, &a, CLATTN_BSHD, 0, &r, NULL));
    BAD("layout 5", clattn_rope(ctx, &q, &cos, &sin, NULL, (clattn_layout)5, 0, &r, NULL));
    b = HOST(in, 2, 2), c = HOST(in, 5, 3);
    BAD("x has 3 positions, cos and sin have 2 rows", clattn_rope(ctx, &q, &b, &b, NULL, CLATTN_BHSD, 0, &r, NULL));
    BAD("cos has 3 pairs, rows of x have 4 elements", clattn_rope(ctx, &q, &c, &c, NULL, CLATTN_BHSD, 0, &r, NULL));
    BAD("sin: shape[1] is 3, must be 2: as cos", clattn_rope(ctx, &q, &cos, &c, NULL, CLATTN_BHSD, 0, &r, NULL));

    clattn_rope_params p;
    clattn_rope_params_init(&p);
    p.dim = 8, a = HOST(room, 3, 4);
    p.type = (clattn_rope_type)7;
    BAD("type 7", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    p.type = CLATTN_ROPE_LINEAR;
    BAD("factor 0, must be above 0", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    p.factor = 2, p.type = CLATTN_ROPE_YARN;
    BAD("original_max_position_embeddings 0", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    p.original_max_position_embeddings = 64, p.type = CLATTN_ROPE_LLAMA3;
    BAD("low_freq_factor 0", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    p.type = CLATTN_ROPE_LONGROPE;
    BAD("short_factor is NULL", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    const double list[3] = { 1, 1, 1 };
    p.short_factor = p.long_factor = list, p.num_factors = 3;
    BAD("short_factor has 3 numbers, must have 4", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    p.start = 100;
    BAD("long_factor has 3 numbers", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    p.dim = 7;
    BAD("dim 7 times partial_rotary_factor 1 are 7, must be even", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    p.dim = 10;
    BAD("cos: shape[1] is 4, must be 5", clattn_rope_tables(ctx, &p, NULL, &a, NULL, NULL));
    BAD("rope is NULL", clattn_rope_tables(ctx, NULL, NULL, &a, NULL, NULL));

    a = HOST(in, 2, 4), b = HOST(room, 2, 2, 2);
    BAD("table has 4 columns, must have 2 N - 1", clattn_relative_bias(ctx, &a, &b, NULL));
    BAD("bias: shape[0] is 2, must be 4", clattn_t5_bias(ctx, &a, 0, 128, &b, NULL));
    a = HOST(in, 8, 2);
    BAD("max_distance 4, must be above the 4 exact distances", clattn_t5_bias(ctx, &a, 0, 4, &b, NULL));
    a = HOST(in, 3, 2);
    BAD("table has 3 buckets, needs at least 4", clattn_t5_bias(ctx, &a, 1, 128, &b, NULL));

    clattn_tensor cache = HOST(in, 2, 5, 3), after = HOST(room, 2, 5, 3), news = HOST(in, 2, 2, 3), at = INDICES(2);
    ids[0] = 3, ids[1] = 4;
    BAD("write_indices[1] is 4: 2 elements do not fit there into a cache of 5",
        clattn_cache_scatter(ctx, &cache, &news, &at, 1, 0, &after, NULL));
    ids[1] = -1;
    BAD("write_indices[1] is -1", clattn_cache_scatter(ctx, &cache, &news, &at, -2, 0, &after, NULL));
    BAD("axis is 0", clattn_cache_scatter(ctx, &cache, &news, &at, 0, 0, &after, NULL));
    BAD("axis is 3", clattn_cache_scatter(ctx, &cache, &news, &at, 3, 0, &after, NULL));
    a = HOST(in, 2, 6, 3), b = HOST(in, 2, 2, 4);
    BAD("update: shape[1] is 6, past_cache has only 5",
        clattn_cache_scatter(ctx, &cache, &a, NULL, 1, 1, &after, NULL));
    BAD("update: shape[2] is 4, must be 3", clattn_cache_scatter(ctx, &cache, &b, NULL, 1, 0, &after, NULL));

    clattn_tensor w = HOST(in, 5, 1, 3), w0 = HOST(in, 5, 1, 0), state = HOST(in, 2, 5, 3);
    BAD("out is NULL", clattn_causal_conv(ctx, &cache, &w, NULL, NULL, CLATTN_ACTIVATION_NONE, NULL, NULL, NULL));
    BAD("weight: shape[2] is 0",
        clattn_causal_conv(ctx, &cache, &w0, NULL, NULL, CLATTN_ACTIVATION_NONE, &after, NULL, NULL));
    BAD("past_state: shape[2] is 3, must be 2",
        clattn_causal_conv(ctx, &cache, &w, NULL, &state, CLATTN_ACTIVATION_NONE, &after, NULL, NULL));
    a = after, a.host = in;
    BAD("out overlaps input", clattn_causal_conv(ctx, &cache, &w, NULL, NULL, CLATTN_ACTIVATION_NONE, &a, NULL, NULL));

    a = HOST(in, 2, 5), b = HOST(room, 5, 3);
    BAD("lses: shape[1] is 3, must be 5", clattn_merge(ctx, &cache, &x, &b, NULL, NULL));
    BAD("out is NULL", clattn_merge(ctx, &cache, &a, NULL, NULL, NULL));
    a = HOST(room, 7);
    BAD("out has rank 1, must have at least 2", clattn_initialise(ctx, CLATTN_HE_NORMAL, 0, 1, 0, &a, NULL));
    BAD("initialiser 4", clattn_initialise(ctx, (clattn_initialiser)4, 0, 1, 0, &out, NULL));
    finish();
}
END_TEST

START_TEST(test_bad_buffers)
{
    clattn_context *ctx = attend_context();
    float in[64] = { 0 };
    clattn_tensor x = HOST(in, 2, 3), out = HOST(room, 2, 3), t = x;
    cl_int code;
    if (attend_is_host()) return;
    t.host = NULL, t.mem = ca_cl.CreateBuffer(ctx->context, CL_MEM_READ_WRITE, 32, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    t.offset = 12;
    BAD("x needs 24 bytes at offset 12, its buffer has 32", clattn_softmax(ctx, &t, 0, &out, NULL));
    t.offset = 40;
    BAD("x needs 24 bytes at offset 40", clattn_softmax(ctx, &t, 0, &out, NULL));
    t.offset = 6;
    BAD("x at offset 6 is not a multiple of its element's 4 bytes", clattn_softmax(ctx, &t, 0, &out, NULL));
    t.offset = 0;
    clattn_tensor u = t;
    u.offset = 8;
    BAD("out overlaps x", clattn_softmax(ctx, &t, 0, &u, NULL));
    u = t, u.rank = 1, u.shape[0] = 2;
    BAD("inv_std has rank 1", clattn_rms_norm(ctx, &t, NULL, NULL, 1, 0, &out, &u, NULL));
    ca_cl.ReleaseMemObject(t.mem);
    finish();
}
END_TEST

/* Without a context the device is the one that the process keeps open. */
START_TEST(test_session)
{
    float in[6] = { 1, 2, 3, 3, 2, 1 };
    clattn_tensor x = HOST(in, 2, 3), out = HOST(room, 2, 3);
    for (int i = 0; i < 2; i++) {
        memset(room, 0, sizeof room);
        if (clattn_softmax(NULL, &x, -1, &out, NULL) != CLATTN_OK)
            wrong("without a context: %s", clattn_last_message());
        if (!near(room[2], 1 / (1 + exp(-1) + exp(-2)), 1e-6) || room[3] != room[2])
            wrong("without a context: %g", room[2]);
    }
    finish();
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        { "session", test_session, 1 },
        { "bad_tensors", test_bad_tensors, 1 }, { "bad_calls", test_bad_calls, 1 },
        { "bad_buffers", test_bad_buffers, 1 }, { NULL, NULL, 0 },
    };
    return run_tests("ops_api", tests);
}
