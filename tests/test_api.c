/* test_api.c -- the public interface as a user meets it: wrong use is told in words and harms nothing; right use gives
 * the answer on the host and, where there is a device, through OpenCL. */
#define CLATTN_NONNULL(...) /* NULL is passed on purpose */
#include <limits.h>
#include "api.h"

/* ---------------------------------------------------------------- misuse */

START_TEST(names_and_version)
{
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", CLATTN_VERSION_MAJOR, CLATTN_VERSION_MINOR, CLATTN_VERSION_PATCH);
    ck_assert_str_eq(clattn_version(), version);
    ck_assert_str_eq(clattn_status_name(CLATTN_OK), "CLATTN_OK");
    ck_assert_str_eq(clattn_status_name(CLATTN_E_BUILD), "CLATTN_E_BUILD");
    ck_assert_str_eq(clattn_status_name(-5), "CL_OUT_OF_RESOURCES");
    ck_assert_ptr_nonnull(clattn_status_name(12345));
}
END_TEST

START_TEST(null_is_an_argument_error)
{
    clattn_device_info info = { .size = sizeof info };
    clattn_buffers b = { .size = sizeof b };
    char text[8] = "x";
    ck_assert(open_plan(0));
    FAILS(clattn_devices(NULL, NULL), CLATTN_E_ARGUMENT, "count");
    FAILS(clattn_context_create("host", NULL), CLATTN_E_ARGUMENT, "ctx");
    FAILS(clattn_context_create_from_queue(NULL, &ctx), CLATTN_E_ARGUMENT, "queue");
    FAILS(clattn_context_create_from_context(NULL, NULL, &ctx), CLATTN_E_ARGUMENT, "context");
    FAILS(clattn_context_device(NULL, &info), CLATTN_E_ARGUMENT, "ctx");
    FAILS(clattn_context_device(ctx, NULL), CLATTN_E_ARGUMENT, "info");
    FAILS(clattn_plan_create(NULL, &s.a, NULL, &plan), CLATTN_E_ARGUMENT, "ctx");
    FAILS(clattn_plan_create(ctx, NULL, NULL, &plan), CLATTN_E_ARGUMENT, "a is NULL");
    FAILS(clattn_plan_create(ctx, &s.a, NULL, NULL), CLATTN_E_ARGUMENT, "plan");
    FAILS(clattn_tune(NULL, &s.a, NULL, NULL), CLATTN_E_ARGUMENT, "ctx");
    FAILS(clattn_tune(ctx, NULL, NULL, NULL), CLATTN_E_ARGUMENT, "a is NULL");
    FAILS(clattn_wisdom_import(NULL, NULL), CLATTN_E_ARGUMENT, "text");
    FAILS(clattn_execute(NULL, NULL, &b, 0, NULL, NULL), CLATTN_E_ARGUMENT, "plan");
    FAILS(clattn_execute(plan, NULL, NULL, 0, NULL, NULL), CLATTN_E_ARGUMENT, "buffers");
    FAILS(clattn_execute_host(NULL, &s.p), CLATTN_E_ARGUMENT, "plan");
    FAILS(clattn_execute_host(plan, NULL), CLATTN_E_ARGUMENT, "pointers");
    FAILS(clattn_attention_host(NULL, &s.p), CLATTN_E_ARGUMENT, "a is NULL");
    FAILS(clattn_attention_host(&s.a, NULL), CLATTN_E_ARGUMENT, "pointers");
    ck_assert_uint_eq(clattn_plan_explain(NULL, text, sizeof text), 0);
    ck_assert_str_eq(text, "");
    ck_assert_uint_eq(clattn_plan_workspace(NULL), 0);
    clattn_attention_init(NULL);
    clattn_plan_destroy(NULL);
    clattn_context_destroy(NULL);
    runs();
    close_all();
}
END_TEST

START_TEST(size_fields)
{
    clattn_plan_options o = { .size = 3 };
    clattn_device_info info = { .size = 1 };
    clattn_buffers b = { .size = 9 };
    clattn_plan *other = NULL;
    ck_assert(open_plan(0));
    FAILS(clattn_plan_create(ctx, &s.a, &o, &other), CLATTN_E_ARGUMENT, "clattn_plan_options is 3");
    FAILS(clattn_context_device(ctx, &info), CLATTN_E_ARGUMENT, "clattn_device_info is 1");
    FAILS(clattn_execute(plan, NULL, &b, 0, NULL, NULL), CLATTN_E_ARGUMENT, "clattn_buffers is 9");
    clattn_tune_options tuning = { .size = 3 };
    clattn_tune_result tuned = { .size = 5 };
    FAILS(clattn_tune(ctx, &s.a, &tuning, NULL), CLATTN_E_ARGUMENT, "clattn_tune_options is 3");
    FAILS(clattn_tune(ctx, &s.a, NULL, &tuned), CLATTN_E_ARGUMENT, "clattn_tune_result is 5");
    tuning = (clattn_tune_options){ .size = sizeof tuning, .seconds = -1 };
    FAILS(clattn_tune(ctx, &s.a, &tuning, NULL), CLATTN_E_ARGUMENT, "-1");
    s.p.size = 0;
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_ARGUMENT, "clattn_pointers is 0");
    s.p.size = sizeof s.p;
    s.a.size = 1;
    FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_ARGUMENT, "clattn_attention is 1");
    FAILS(clattn_attention_host(&s.a, &s.p), CLATTN_E_ARGUMENT, "clattn_attention is 1");
    ck_assert_ptr_null(other);
    runs();
    close_all();
}
END_TEST

START_TEST(planning)
{
    if (!open_plan(_i)) return;
    clattn_plan_options o = { .size = sizeof o, .algorithm = "wishful" };
    clattn_plan *other = NULL;
    char text[4096], first[10];
    FAILS(clattn_plan_create(ctx, &s.a, &o, &other), CLATTN_E_ARGUMENT, "wishful");
    o.algorithm = "nop";
    FAILS(clattn_plan_create(ctx, &s.a, &o, &other), CLATTN_E_UNSUPPORTED, "not empty");
    o = (clattn_plan_options){ .size = sizeof o, .params = "bm" };
    FAILS(clattn_plan_create(ctx, &s.a, &o, &other), CLATTN_E_ARGUMENT, "name=integer");
    o.params = "nobody=3";
    FAILS(clattn_plan_create(ctx, &s.a, &o, &other), CLATTN_E_UNSUPPORTED, "no parameter nobody");
    s.a.q_heads = 5;
    FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_ARGUMENT, "q_heads 5");
    s.a.q_heads = SMALL_HQ;
    ck_assert_ptr_null(other);

    size_t length = clattn_plan_explain(plan, text, sizeof text);
    ck_assert_uint_eq(length, strlen(text));
    ck_assert(strncmp(text, "f32 b2 h4/2 q5 k9 d8 causal on ", 31) == 0);
    ck_assert_ptr_nonnull(strstr(text, "not empty"));
    ck_assert_uint_eq(clattn_plan_explain(plan, first, sizeof first), length);
    ck_assert(strlen(first) == 9 && strncmp(first, text, 9) == 0);
    ck_assert_uint_eq(clattn_plan_explain(plan, NULL, 0), length);

    o = (clattn_plan_options){ .size = sizeof o, .algorithm = plan->algo->name }; /* by its name, once more */
    WORKS(clattn_plan_create(ctx, &s.a, &o, &other));
    clattn_plan_destroy(other);
    runs();
    close_all();
}
END_TEST

START_TEST(pointers)
{
    if (!open_plan(_i)) return;
    const clattn_pointers good = s.p;
    int32_t offsets[SMALL_B] = { 0 };
    s.p.k = NULL;
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_ARGUMENT, "k is NULL");
    s.p = good;
    s.p.out = NULL;
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_ARGUMENT, "out is NULL");
    s.p = good;
    s.p.v = (const char *)s.v + 2;
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_ARGUMENT, "v at address");
    s.p = good;
    s.p.out = s.q;
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_ARGUMENT, "out overlaps q");
    s.p = good;
    s.p.lse = s.out + SMALL_GUARD + 3;
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_ARGUMENT, "overlaps");
    s.p = good;
    s.p.q_offset = offsets;
    FAILS(clattn_execute_host(plan, &s.p), CLATTN_E_ARGUMENT, "q_offset");
    s.p = good;
    runs();
    close_all();
}
END_TEST

START_TEST(device_memory_on_a_host_context)
{
    clattn_buffers b = { .size = sizeof b };
    cl_event event = NULL;
    ck_assert(open_plan(0));
    FAILS(clattn_execute(plan, NULL, &b, 0, NULL, &event), CLATTN_E_UNSUPPORTED, "clattn_execute_host");
    FAILS(clattn_execute(plan, NULL, &b, 2, NULL, &event), CLATTN_E_ARGUMENT, "num_events is 2");
    ck_assert_ptr_null(event);
    runs();
    close_all();
}
END_TEST

START_TEST(the_host_needs_no_opencl)
{
    memset(&ca_cl, 0, sizeof ca_cl); /* any call would crash */
    ck_assert(open_plan(0));
    clattn_device_info info = { .size = sizeof info };
    WORKS(clattn_context_device(ctx, &info));
    ck_assert_str_eq(info.selector, "host");
    ck_assert_int_eq(info.device_class, CLATTN_CLASS_HOST);
    ck_assert_int_eq(info.chosen, 1);
    runs();
    close_all();
}
END_TEST

/* ----------------------------------------------------------- device memory */

static cl_mem buffer(size_t bytes, const void *from)
{
    cl_int code;
    cl_mem m = ca_cl.CreateBuffer(ctx->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    ck_assert_int_eq(ca_cl.EnqueueWriteBuffer(ctx->queue, m, CL_TRUE, 0, bytes, from, 0, NULL, NULL), CL_SUCCESS);
    return m;
}

static void fetch(cl_mem m, size_t bytes, void *to, cl_event after)
{
    ck_assert_int_eq(ca_cl.EnqueueReadBuffer(ctx->queue, m, CL_TRUE, 0, bytes, to, after ? 1 : 0, after ? &after : NULL,
                                             NULL), CL_SUCCESS);
}

static clattn_buffers upload_all(void)
{
    return (clattn_buffers){
        .size = sizeof(clattn_buffers),
        .q = { buffer(sizeof s.q, s.q), 0 }, .k = { buffer(sizeof s.k, s.k), 0 }, .v = { buffer(sizeof s.v, s.v), 0 },
        .out = { buffer(sizeof s.out, s.out), SMALL_GUARD * sizeof(float) },
        .lse = { buffer(sizeof s.lse, s.lse), SMALL_GUARD * sizeof(float) },
    };
}

static void release_all(const clattn_buffers *b)
{
    cl_mem list[] = { b->q.mem, b->k.mem, b->v.mem, b->out.mem, b->lse.mem, b->workspace.mem };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) if (list[i]) ca_cl.ReleaseMemObject(list[i]);
}

static void fetch_all(const clattn_buffers *b, cl_event after)
{
    fetch(b->out.mem, sizeof s.out, s.out, after);
    fetch(b->lse.mem, sizeof s.lse, s.lse, after);
}

/* As FAILS, for what lies on the device. */
#define REFUSED(word) do { \
    clattn_status got_ = clattn_execute(plan, NULL, &b, 0, NULL, &event); \
    ck_assert_msg(got_ == CLATTN_E_ARGUMENT, "%s %s", clattn_status_name(got_), clattn_last_message()); \
    ck_assert_msg(strstr(clattn_last_message(), (word)) != NULL, "\"%s\" lacks \"%s\"", clattn_last_message(), (word)); \
    ck_assert_ptr_null(event); \
    b = good; \
} while (0)

START_TEST(buffers)
{
    cl_event event = NULL;
    if (!open_plan(1)) return;
    clattn_buffers b = upload_all();
    const clattn_buffers good = b;
    b.q.mem = NULL;
    REFUSED("q is NULL");
    b.k.offset = 4;
    REFUSED("k needs 1152 bytes at offset 4, its buffer has 1152");
    b.v.offset = 2;
    REFUSED("v at offset 2");
    b.out.offset = SIZE_MAX - 3;
    REFUSED("out needs");
    b.out = b.q;
    REFUSED("out overlaps q");
    b.q_offset = b.q;
    REFUSED("q_offset");
    b.workspace = (clattn_buffer){ b.out.mem, 128 };
    REFUSED("workspace at offset 128");
    fetch_all(&good, NULL);
    ck_assert(small_untouched(&s));
    WORKS(clattn_execute(plan, NULL, &b, 0, NULL, &event));
    ck_assert_ptr_nonnull(event);
    fetch_all(&good, event);
    ck_assert(small_done(&s));
    ca_cl.ReleaseEvent(event);
    release_all(&good);
    close_all();
}
END_TEST

/* On another queue of the same context, after an event, with a workspace of the program's own; and on a
 * queue that does not belong to the context. */
START_TEST(queues_and_events)
{
    cl_event first = NULL, second = NULL;
    clattn_context *other;
    cl_int code;
    if (!open_plan(1)) return;
    clattn_buffers b = upload_all();
    cl_command_queue queue = ca_cl.CreateCommandQueue(ctx->context, ctx->dev.id, 0, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    size_t bytes = clattn_plan_workspace(plan);
    if (bytes) {
        char *zeros = calloc(1, bytes);
        b.workspace.mem = buffer(bytes, zeros);
        free(zeros);
    }
    WORKS(clattn_execute(plan, NULL, &b, 0, NULL, &first));
    WORKS(clattn_execute(plan, queue, &b, 1, &first, &second));
    ca_cl.Flush(queue);
    fetch_all(&b, second);
    ck_assert(small_done(&s));
    WORKS(ca_context_open(&ctx->dev, &other));
    cl_event none = NULL;
    ck_assert_int_eq(clattn_execute(plan, other->queue, &b, 0, NULL, &none), CLATTN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(clattn_last_message(), "queue"));
    ck_assert_ptr_null(none);
    ca_context_close(other);
    ca_cl.ReleaseEvent(first);
    ca_cl.ReleaseEvent(second);
    ca_cl.ReleaseCommandQueue(queue);
    release_all(&b);
    close_all();
}
END_TEST

START_TEST(on_a_programs_own_objects)
{
    clattn_context *mine = NULL;
    clattn_device_info info = { .size = sizeof info };
    if (!open_context(1)) return;
    clattn_context *theirs = ctx; /* plays the program */
    for (int from_queue = 0; from_queue < 2; from_queue++) {
        if (from_queue) WORKS(clattn_context_create_from_queue(theirs->queue, &mine));
        else WORKS(clattn_context_create_from_context(theirs->context, theirs->dev.id, &mine));
        WORKS(clattn_context_device(mine, &info));
        ck_assert_str_eq(info.name, theirs->dev.name);
        ck_assert_str_eq(info.reason, "given by the program");
        WORKS(clattn_plan_create(mine, &s.a, NULL, &plan));
        runs();
        clattn_plan_destroy(plan);
        clattn_context_destroy(mine);
    }
    plan = NULL;
    close_all();
}
END_TEST

/* ------------------------------------------------------------- self-tests */

static __typeof__(ca_cl.EnqueueNDRangeKernel) launch;
static int launches, wrong_until;

/* Computes nothing, which is a wrong result, the first WRONG_UNTIL times. */
static cl_int CL_API_CALL wrong_at_first(cl_command_queue queue, cl_kernel kernel, cl_uint dim, const size_t *offset, const size_t *global, const size_t *local,
                                         cl_uint waits, const cl_event *wait, cl_event *event)
{
    if (launches++ < wrong_until) return clEnqueueMarkerWithWaitList(queue, waits, wait, event);
    return launch(queue, kernel, dim, offset, global, local, waits, wait, event);
}

/* An algorithm is tested before it is planned for the first time: _i 0, 1: all are right; 2: the first is not; 3: none is. */
START_TEST(tested_before_use)
{
    char words[4096];
    setenv("CLATTN_PROBE", "inprocess", 1);
    setenv("CLATTN_CACHE", "off", 1);
    if (!open_context(1)) return;
    launch = ca_cl.EnqueueNDRangeKernel;
    ca_cl.EnqueueNDRangeKernel = wrong_at_first;
    wrong_until = _i == 2 ? 1 : _i == 3 ? INT_MAX : 0;
    ctx->self_tests = _i > 0;
    clattn_status st = clattn_plan_create(ctx, &s.a, NULL, &plan);
    ck_assert_int_eq(st, _i == 3 ? CLATTN_E_UNSUPPORTED : CLATTN_OK);
    snprintf(words, sizeof words, "%s", clattn_last_message());
    if (plan) clattn_plan_explain(plan, words, sizeof words);
    ck_assert_msg((strstr(words, "failed its self-test") != NULL) == (_i >= 2), "%s", words);
    ck_assert((launches > 0) == (_i > 0) && (ctx->dev.bad_algos != 0) == (_i >= 2) && (ctx->dev.tested[CLATTN_F32] != 0) == (_i == 1 || _i == 2));
    const int tested = launches;
    if (plan) runs();
    clattn_plan_destroy(plan);
    plan = NULL;
    launches = 0;
    st = clattn_plan_create(ctx, &s.a, NULL, &plan); /* what is known is not tested again */
    ck_assert(launches == 0 && (tested > 0) == (_i > 0) && st == (_i == 3 ? CLATTN_E_UNSUPPORTED : CLATTN_OK));
    close_all();
}
END_TEST

/* --------------------------------------------------------------- right use */

START_TEST(executes)
{
    if (!open_plan(_i)) return;
    for (int n = 0; n < 3; n++) runs();
    float *lse = s.p.lse;
    s.p.lse = NULL;
    small_canaries(&s);
    WORKS(clattn_execute_host(plan, &s.p));
    ck_assert(small_right(&s, s.p.out, &small_packed, NULL));
    for (int i = 0; i < SMALL_ROWS; i++) ck_assert(lse[i] == SMALL_CANARY);
    close_all();
}
END_TEST

/* Between the rows of a strided output lies somebody else's memory. */
START_TEST(gaps_are_left_alone)
{
    enum { ROW = 2 * SMALL_D + 3, TOTAL = SMALL_ROWS * ROW };
    static float out[TOTAL];
    if (!open_context(_i)) return;
    s.a.out = (clattn_strides){ SMALL_HQ * SMALL_NQ * ROW, ROW, SMALL_HQ * ROW, 2 };
    s.p.out = out;
    WORKS(clattn_plan_create(ctx, &s.a, NULL, &plan));
    for (int i = 0; i < TOTAL; i++) out[i] = SMALL_CANARY;
    WORKS(clattn_execute_host(plan, &s.p));
    ck_assert(small_right(&s, out, &s.a.out, s.p.lse));
    for (int i = 0; i < TOTAL; i++) {
        bool element = i % ROW < 2 * SMALL_D && i % ROW % 2 == 0;
        ck_assert_msg(element == (out[i] != SMALL_CANARY), "place %d holds %g", i, (double)out[i]);
    }
    close_all();
}
END_TEST

/* q, k and v in one allocation, k and v even the same memory: one buffer underneath. */
START_TEST(inputs_may_share_memory)
{
    static float all[SMALL_Q + SMALL_KV];
    if (!open_plan(_i)) return;
    memcpy(all, s.q, sizeof s.q);
    memcpy(all + SMALL_Q, s.k, sizeof s.k);
    s.p.q = all;
    s.p.k = s.p.v = all + SMALL_Q;
    runs();
    s.a.q = s.a.k = (clattn_strides){ 1, 2, 3, 4 }; /* ranges that run through each other */
    s.p.k = all + 1;
    clattn_plan *crossed;
    WORKS(clattn_plan_create(ctx, &s.a, NULL, &crossed));
    WORKS(clattn_execute_host(crossed, &s.p));
    clattn_plan_destroy(crossed);
    close_all();
}
END_TEST

START_TEST(empty_problems)
{
    if (!open_context(_i)) return;
    s.a.kv_len = 0;
    WORKS(clattn_plan_create(ctx, &s.a, NULL, &plan));
    s.p.k = s.p.v = NULL; /* nothing to point to */
    WORKS(clattn_execute_host(plan, &s.p));
    for (int i = 0; i < SMALL_Q; i++) ck_assert(((float *)s.p.out)[i] == 0);
    for (int i = 0; i < SMALL_ROWS; i++) ck_assert(s.p.lse[i] == -INFINITY);
    ck_assert(s.out[SMALL_GUARD - 1] == SMALL_CANARY && s.out[SMALL_GUARD + SMALL_Q] == SMALL_CANARY);
    clattn_plan_destroy(plan);
    for (int which = 0; which < 2; which++) {
        s.a.kv_len = SMALL_NK;
        s.a.batch = which ? 0 : SMALL_B;
        s.a.q_len = which ? SMALL_NQ : 0;
        s.p = (clattn_pointers){ .size = sizeof s.p, .k = s.k, .v = s.v };
        small_canaries(&s);
        WORKS(clattn_plan_create(ctx, &s.a, NULL, &plan));
        WORKS(clattn_execute_host(plan, &s.p));
        ck_assert(small_untouched(&s));
        if (_i == 1) { /* the event exists all the same */
            clattn_buffers b = { .size = sizeof b, .k.mem = buffer(sizeof s.k, s.k), .v.mem = buffer(sizeof s.v, s.v) };
            cl_event event = NULL;
            WORKS(clattn_execute(plan, NULL, &b, 0, NULL, &event));
            ck_assert_int_eq(ca_cl.WaitForEvents(1, &event), CL_SUCCESS);
            ca_cl.ReleaseEvent(event);
            release_all(&b);
        }
        clattn_plan_destroy(plan);
    }
    plan = NULL;
    close_all();
}
END_TEST

START_TEST(offsets_per_batch_row)
{
    if (!open_context(_i)) return;
    int32_t offsets[SMALL_B] = { SMALL_NK - SMALL_NQ, SMALL_NK - SMALL_NQ };
    s.a.align = CLATTN_OFFSET;
    s.a.q_offset = -1000; /* what the tensor replaces */
    WORKS(clattn_plan_create(ctx, &s.a, NULL, &plan));
    s.p.q_offset = offsets;
    runs();
    s.p.q_offset = NULL;
    WORKS(clattn_execute_host(plan, &s.p));
    for (int i = 0; i < SMALL_ROWS; i++) ck_assert(s.p.lse[i] == -INFINITY);
    close_all();
}
END_TEST

/* -------------------------------------------------------------- devices */

START_TEST(no_such_device)
{
    FAILS(clattn_context_create("abacus:0", &ctx), CLATTN_E_NO_DEVICE, "host"); /* lists what there is */
    FAILS(clattn_context_create("host,,", &ctx), CLATTN_E_ARGUMENT, "");
    ck_assert_ptr_null(ctx);
}
END_TEST

START_TEST(device_list)
{
    struct longer { clattn_device_info info; char more[24]; } list[65] = { { .info.size = 0 } };
    size_t count = 0, again = 1;
    WORKS(clattn_devices(NULL, &count));
    ck_assert_uint_ge(count, 1);
    ck_assert_uint_le(count, 64);
    FAILS(clattn_devices(&list[0].info, &again), CLATTN_E_ARGUMENT, "clattn_device_info is 0");
    for (size_t i = 0; i <= count; i++) list[i].info.size = sizeof list[0];
    again = count;
    WORKS(clattn_devices(&list[0].info, &again));
    ck_assert_uint_eq(again, count);
    int chosen = 0, host = 0;
    for (size_t i = 0; i < count; i++) {
        chosen += list[i].info.chosen;
        host += list[i].info.device_class == CLATTN_CLASS_HOST;
        ck_assert(list[i].info.size == sizeof list[0] && list[i].info.name[0] && list[i].info.selector[0]);
    }
    ck_assert_int_eq(chosen, 1);
    ck_assert_int_eq(host, 1);
    ck_assert(list[count].info.name[0] == 0);
}
END_TEST

static int all(void *data, int b, int h, int i, int j)
{
    (void)data, (void)b, (void)h, (void)i, (void)j;
    return 1;
}
static int every(void *data, int b, int h, int i0, int i1, int j0, int j1)
{
    (void)data, (void)b, (void)h, (void)i0, (void)i1, (void)j0, (void)j1;
    return 2;
}

/* The compiler's log comes with the lines of the user's text, and all works after. */
START_TEST(user_texts)
{
    clattn_plan *other = NULL;
    if (!open_context(_i)) return;
    s.a.score_mod = "return score;";
    if (_i == 0) {
        FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_UNSUPPORTED, "score_mod needs score_callback");
        s.a.score_mod = NULL;
        s.a.mask_mod = "return 1;", s.a.tile_class = "return 2;", s.a.mask_callback = all;
        FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_UNSUPPORTED, "tile_class needs tile_callback");
    } else {
        s.a.score_mod = "\nreturn score + no_such_name;";
        FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_BUILD, "score_mod:2");
        ck_assert_msg(strstr(clattn_last_message(), "no_such_name") != NULL, "%s", clattn_last_message());
        s.a.score_mod = "return score + table[j];"; /* a name that was not passed */
        FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_BUILD, "table");
        s.a.score_mod = NULL;
        s.a.mask_mod = "return 1;", s.a.tile_class = "\n\nreturn i;"; /* it is i0 and i1 */
        FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_BUILD, "tile_class:3");
        s.a.tile_class = NULL, s.a.mask_callback = all, s.a.tile_callback = every;
        FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_UNSUPPORTED, "tile_callback needs tile_class");
    }
    s.a.mask_mod = NULL, s.a.mask_callback = NULL, s.a.tile_callback = NULL;
    s.a.tile_class = "return 1;";
    FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_ARGUMENT, "tile_class needs mask_mod");
    s.a.tile_class = NULL, s.a.tile_callback = every;
    FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_ARGUMENT, "tile_callback needs mask_callback");
    s.a.tile_callback = NULL;
    s.a.score_mod = "return score;";
    s.a.mod_buffers = "j1";
    FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_ARGUMENT, "\"j1\" is an argument already");
    s.a.mod_buffers = "score";
    FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_ARGUMENT, "\"score\" is an argument already");
    s.a.mod_buffers = "table";
    FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_ARGUMENT, "mod_lengths[0] 0");
    s.a.mod_buffers = NULL;
    s.a.mod_scalars = "cap=";
    FAILS(clattn_plan_create(ctx, &s.a, NULL, &other), CLATTN_E_ARGUMENT, "cap=");
    s.a.mod_scalars = s.a.score_mod = NULL;
    WORKS(clattn_plan_create(ctx, &s.a, NULL, &plan));
    runs();
    close_all();
}
END_TEST

static void add(TCase *t)
{
    tcase_add_test(t, names_and_version);
    tcase_add_test(t, null_is_an_argument_error);
    tcase_add_test(t, size_fields);
    tcase_add_test(t, device_memory_on_a_host_context);
    tcase_add_test(t, the_host_needs_no_opencl);
    tcase_add_test(t, buffers);
    tcase_add_test(t, queues_and_events);
    tcase_add_test(t, on_a_programs_own_objects);
    tcase_add_loop_test(t, tested_before_use, 0, 4);
    tcase_add_loop_test(t, planning, 0, 2);
    tcase_add_loop_test(t, pointers, 0, 2);
    tcase_add_loop_test(t, executes, 0, 2);
    tcase_add_loop_test(t, gaps_are_left_alone, 0, 2);
    tcase_add_loop_test(t, inputs_may_share_memory, 0, 2);
    tcase_add_loop_test(t, empty_problems, 0, 2);
    tcase_add_loop_test(t, offsets_per_batch_row, 0, 2);
    tcase_add_loop_test(t, user_texts, 0, 2);
    tcase_add_test(t, no_such_device);
    tcase_add_test(t, device_list);
}

int main(void) { return run_api("api", add); }
