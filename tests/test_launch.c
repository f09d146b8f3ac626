/* test_launch.c -- launches, cut and whole, waiting, and devices that fail at it. */
#define _GNU_SOURCE
#include "one_device.h"
#include "base/clock.h"

/* ---------------------------------------------------------------- launches */

static unsigned enqueues;
static cl_int next_code[3]; /* what the next calls answer instead of doing their work */

static cl_int counting_enqueue(cl_command_queue q, cl_kernel k, cl_uint dims, const size_t *offset,
                               const size_t *global, const size_t *local, cl_uint n, const cl_event *list,
                               cl_event *event)
{
    unsigned i = enqueues++;
    if (i < 3 && next_code[i]) return next_code[i];
    return real.EnqueueNDRangeKernel(q, k, dims, offset, global, local, n, list, event);
}

struct run { cl_mem mem; cl_int width, height; struct launch_arg args[3]; struct launch l; };

static void prepare(struct run *r, cl_uint dims, const size_t global[3], const size_t local[3])
{
    size_t items = 1;
    cl_int code;
    memset(r, 0, sizeof *r);
    for (cl_uint d = 0; d < dims; d++) items *= r->l.global[d] = global[d];
    for (cl_uint d = 0; d < dims; d++) r->l.local[d] = local[d];
    OK(ca_program_get(ctx, "count", OPTIONS, &r->l.program));
    int *zero = calloc(items, sizeof *zero);
    r->mem = ca_cl.CreateBuffer(ctx->context, CL_MEM_COPY_HOST_PTR, items * sizeof *zero, zero, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    free(zero);
    r->width = (cl_int)global[0];
    r->height = dims > 1 ? (cl_int)global[1] : 1;
    r->args[0] = (struct launch_arg){ sizeof r->mem, &r->mem };
    r->args[1] = (struct launch_arg){ sizeof r->width, &r->width };
    r->args[2] = (struct launch_arg){ sizeof r->height, &r->height };
    r->l.kernel = "count";
    r->l.dims = dims;
    r->l.args = r->args;
    r->l.num_args = 3;
    enqueues = 0;
    memset(next_code, 0, sizeof next_code);
    ca_cl.EnqueueNDRangeKernel = counting_enqueue;
}

static void expect_hits(struct run *r, int hits)
{
    size_t items = 1;
    for (cl_uint d = 0; d < r->l.dims; d++) items *= r->l.global[d];
    int *got = malloc(items * sizeof *got);
    OK(CA_CL(EnqueueReadBuffer, ctx->queue, r->mem, CL_TRUE, 0, items * sizeof *got, got, 0, NULL, NULL));
    for (size_t i = 0; i < items; i++) ck_assert_msg(got[i] == hits, "item %zu was hit %d times", i, got[i]);
    free(got);
    ca_cl.ReleaseMemObject(r->mem);
}

/* The same work in one piece and in many: each item exactly once. */
START_TEST(pieces_cover_everything_once)
{
    static const struct { size_t global[3], local[3]; cl_uint dims; } shapes[] = {
        { { 7, 5, 3 }, { 1, 1, 1 }, 3 }, { { 24, 5, 1 }, { 8, 1, 1 }, 3 }, { { 13, 1, 1 }, { 1, 1, 1 }, 1 },
        { { 64, 6, 1 }, { 16, 2, 1 }, 2 }, { { 1, 1, 31 }, { 1, 1, 1 }, 3 }, { { 1024, 3, 1 }, { 0, 0, 0 }, 2 },
        { { 17, 2, 1 }, { 0, 0, 0 }, 2 }, { { 1, 1, 1 }, { 1, 1, 1 }, 1 },
    };
    static const double wanted[] = { 0, 1.5, 2, 3.7, 10, 1e9 };
    ctx->dev.compute_units = 1;
    ctx->dev.gflops = 4; /* at 1 GFLOP/s expected, 1 ms is 1e6 flops */
    setenv("CLATTN_MAX_LAUNCH_MS", "1", 1);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++) {
            struct run r;
            struct chain c = { .queue = ctx->queue };
            prepare(&r, shapes[i].dims, shapes[i].global, shapes[i].local);
            size_t units = 1;
            for (cl_uint d = 0; d < r.l.dims; d++) units *= r.l.global[d] / (r.l.local[d] ? r.l.local[d] : 1);
            r.l.flops = wanted[w] * 1e6;
            OK(ca_launch(ctx, &r.l, &c));
            OK(ca_chain_wait(ctx, &c, r.l.flops));
            ca_chain_release(&c);
            if (wanted[w] <= 1) ck_assert_uint_eq(enqueues, 1);
            if (wanted[w] == 1e9 && r.l.local[0]) ck_assert_uint_eq(enqueues, units);
            if (r.l.local[0]) ck_assert(enqueues >= wanted[w] || enqueues == units);
            expect_hits(&r, 1);
        }
}
END_TEST

/* Pieces smaller than the device is wide would only make it wait. */
START_TEST(pieces_fill_the_device)
{
    struct run r;
    struct chain c = { .queue = ctx->queue };
    setenv("CLATTN_MAX_LAUNCH_MS", "1", 1);
    ctx->dev.compute_units = 8;
    prepare(&r, 1, (size_t[3]){ 32 }, (size_t[3]){ 1 });
    r.l.flops = 1e15;
    OK(ca_launch(ctx, &r.l, &c));
    OK(ca_chain_wait(ctx, &c, 0));
    ck_assert_uint_eq(enqueues, 4);
    ca_chain_release(&c);
    expect_hits(&r, 1);
    prepare(&r, 1, (size_t[3]){ 32 }, (size_t[3]){ 1 });
    setenv("CLATTN_MAX_LAUNCH_MS", "0", 1); /* never cut */
    r.l.flops = 1e15;
    OK(ca_launch(ctx, &r.l, &c));
    OK(ca_chain_wait(ctx, &c, 0));
    ck_assert_uint_eq(enqueues, 1);
    ca_chain_release(&c);
    expect_hits(&r, 1);
}
END_TEST

static clattn_status launch_small(struct run *r)
{
    struct chain c = { .queue = ctx->queue };
    clattn_status st = ca_launch(ctx, &r->l, &c);
    if (st == CLATTN_OK) st = ca_chain_wait(ctx, &c, 0);
    ca_chain_release(&c);
    return st;
}

START_TEST(short_of_memory_once)
{
    static const cl_int codes[] = { CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES, CL_OUT_OF_HOST_MEMORY,
                                    CL_INVALID_BUFFER_SIZE };
    for (int i = 0; i < 4; i++) {
        struct run r;
        prepare(&r, 1, (size_t[3]){ 5 }, (size_t[3]){ 1 });
        next_code[0] = codes[i];
        OK(launch_small(&r));
        ck_assert_uint_eq(enqueues, 2);
        expect_hits(&r, 1);
        prepare(&r, 1, (size_t[3]){ 5 }, (size_t[3]){ 1 });
        next_code[0] = next_code[1] = codes[i];
        FAILS(launch_small(&r), codes[i], "clEnqueueNDRangeKernel (count");
        ck_assert_uint_eq(enqueues, 2);
        OK(ca_context_alive(ctx));
        expect_hits(&r, 0);
    }
}
END_TEST

START_TEST(lost_device)
{
    struct run r;
    prepare(&r, 1, (size_t[3]){ 5 }, (size_t[3]){ 1 });
    next_code[0] = CL_INVALID_COMMAND_QUEUE;
    FAILS(launch_small(&r), CLATTN_E_DEVICE_LOST, "CL_INVALID_COMMAND_QUEUE (-36)");
    FAILS(launch_small(&r), CLATTN_E_DEVICE_LOST, "lost");
    struct program *p;
    FAILS(ca_program_get(ctx, "count", OPTIONS, &p), CLATTN_E_DEVICE_LOST, "lost");
    ck_assert_uint_eq(enqueues, 1);
    ca_cl.ReleaseMemObject(r.mem);
}
END_TEST

static cl_int never_done(cl_event e, cl_event_info what, size_t size, void *value, size_t *got)
{
    cl_int code = real.GetEventInfo(e, what, size, value, got);
    if (what == CL_EVENT_COMMAND_EXECUTION_STATUS && value) *(cl_int *)value = CL_RUNNING;
    return code;
}

static cl_int endless_wait(cl_uint n, const cl_event *list)
{
    (void)n, (void)list;
    while (pause()) continue;
    return CL_SUCCESS;
}

START_TEST(hung_device)
{
    struct run r;
    double start = ca_now();
    setenv("CLATTN_TIMEOUT_MS", "100", 1);
    prepare(&r, 1, (size_t[3]){ 5 }, (size_t[3]){ 1 });
    ca_cl.GetEventInfo = never_done;
    if (_i) ca_cl.WaitForEvents = endless_wait;
    FAILS(launch_small(&r), CLATTN_E_TIMEOUT, "did not finish within 0.1 s");
    ck_assert(ca_now() - start < 5);
    FAILS(ca_context_alive(ctx), CLATTN_E_DEVICE_LOST, "lost");
    ca_cl.ReleaseContext = (void *)must_not_be_called; /* it might never return */
    ca_cl.ReleaseCommandQueue = (void *)must_not_be_called;
}
END_TEST

START_TEST(failed_event)
{
    struct run r;
    struct chain c = { .queue = ctx->queue };
    if (dev.quirks & CA_QUIRK_SIMULATED) return; /* their user events are not all they should be */
    cl_int code;
    cl_event user = clCreateUserEvent(ctx->context, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    prepare(&r, 1, (size_t[3]){ 5 }, (size_t[3]){ 1 });
    c.num_wait = 1;
    c.wait = &user;
    OK(ca_launch(ctx, &r.l, &c));
    ck_assert_int_eq(clSetUserEventStatus(user, CL_COMPLETE), CL_SUCCESS);
    OK(ca_chain_wait(ctx, &c, 0));
    ca_chain_release(&c);
    clReleaseEvent(user);
    expect_hits(&r, 1);
}
END_TEST

/* A queue of another context gives the codes of a lost device, but is the caller's mistake. */
START_TEST(foreign_queue)
{
    struct run r;
    clattn_context *second;
    OK(ca_context_open(&dev, &second));
    prepare(&r, 1, (size_t[3]){ 5 }, (size_t[3]){ 1 });
    struct chain c = { .queue = second->queue };
    next_code[0] = CL_INVALID_CONTEXT;
    FAILS(ca_launch(ctx, &r.l, &c), CLATTN_E_ARGUMENT, "queue belongs to another context");
    OK(ca_context_alive(ctx));
    ca_context_close(second);
    OK(launch_small(&r));
    expect_hits(&r, 1);
}
END_TEST

/* ---------------------------------------------------------- all that fails */

static cl_int refuse(void) { return CL_OUT_OF_HOST_MEMORY; }

/* The calls that return their code, each made to fail always: an error or not, but nothing worse. */
#define RETURN_CODES(X) \
    X(GetDeviceInfo) X(GetPlatformInfo) X(GetContextInfo) X(GetCommandQueueInfo) X(BuildProgram) \
    X(GetProgramBuildInfo) X(GetProgramInfo) X(SetKernelArg) X(GetKernelWorkGroupInfo) X(EnqueueNDRangeKernel) \
    X(EnqueueMarkerWithWaitList) X(GetEventInfo) X(WaitForEvents) X(Flush) X(Finish) X(RetainContext) \
    X(RetainCommandQueue) X(RetainEvent)

START_TEST(every_call_fails)
{
    int index = 0;
    struct run r;
    struct device d;
    clattn_context *second = NULL, *whole = ctx;
    prepare(&r, 1, (size_t[3]){ 5 }, (size_t[3]){ 1 });
#define X(name) if (index++ == _i) ca_cl.name = (void *)refuse;
    RETURN_CODES(X)
#undef X
    ca_message_clear();
    clattn_status st = ca_device_query(dev.platform, dev.id, &d);
    if (st == CLATTN_OK) st = ca_context_open(&dev, &second);
    struct program *p = NULL;
    char options[32];
    snprintf(options, sizeof options, "-DSTEP=%d", 100 + _i);
    if (st == CLATTN_OK) st = ca_program_get(second, "count", options, &p);
    size_t group;
    if (st == CLATTN_OK) st = ca_kernel_max_group(second, p, "second", &group);
    if (st == CLATTN_OK) st = launch_small(&r);
    ck_assert(st == CLATTN_OK || ca_message()[0]);
    ca_message_clear();
    st = ca_context_wrap(NULL, NULL, ctx->queue, &ctx);
    ck_assert(st == CLATTN_OK || ca_message()[0]);
    ca_context_close(ctx);
    ca_context_close(second);
    ctx = whole;
    ca_cl = real;
    ca_message_clear();
    OK(ca_context_alive(ctx));
    OK(launch_small(&r));
    ca_cl.ReleaseMemObject(r.mem);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("launch");
    tcase_add_test(t, pieces_cover_everything_once);
    tcase_add_test(t, pieces_fill_the_device);
    tcase_add_test(t, short_of_memory_once);
    tcase_add_test(t, lost_device);
    tcase_add_loop_test(t, hung_device, 0, 2);
    tcase_add_test(t, failed_event);
    tcase_add_test(t, foreign_queue);
#define X(name) +1
    tcase_add_loop_test(t, every_call_fails, 0, RETURN_CODES(X));
#undef X
    return run_on_device("launch", t);
}
