/* test_faults.c -- what if the n-th OpenCL call fails, or the n-th allocation?  For every n: a status, outputs untouched
 * or right, nothing leaked, and the next call works.
 *
 * OpenCL calls are intercepted in the table ca_cl; allocations by the linker (--wrap=malloc and so on), in our own
 * code only. */
#include <stdatomic.h>
#include "property.h"
#include "small.h"
#include "suite.h"

/* ------------------------------------------------------------- the n-th one */

static atomic_int countdown;   /* the call that brings it to 0 fails; 0: no call will */
static cl_int fault_code;
static atomic_int live;        /* OpenCL objects made and not released */

static bool fails_now(atomic_int *count) { return atomic_load(count) > 0 && atomic_fetch_sub(count, 1) == 1; }

static struct ca_opencl real;

/* A call that returns a code; one that returns an object; one that makes an event; one that releases. */
#define CODE(name, params, args) \
    static cl_int CL_API_CALL fault_##name params { return fails_now(&countdown) ? fault_code : real.name args; }
#define OBJECT(name, type, params, args) \
    static type CL_API_CALL fault_##name params \
    { \
        if (fails_now(&countdown)) { \
            *err = fault_code; \
            return NULL; \
        } \
        type made = real.name args; \
        if (made) atomic_fetch_add(&live, 1); \
        return made; \
    }
#define ENQUEUE(name, params, args) \
    static cl_int CL_API_CALL fault_##name params \
    { \
        cl_int code = fails_now(&countdown) ? fault_code : real.name args; \
        if (code == CL_SUCCESS && e) atomic_fetch_add(&live, 1); \
        return code; \
    }
#define RELEASE(name, type) \
    static cl_int CL_API_CALL fault_##name(type x) { atomic_fetch_sub(&live, 1); return real.name(x); }

#define WAIT cl_uint n, const cl_event *w, cl_event *e
OBJECT(CreateContext, cl_context, (const cl_context_properties *p, cl_uint n, const cl_device_id *d,
       void (CL_CALLBACK *f)(const char *, const void *, size_t, void *), void *u, cl_int *err), (p, n, d, f, u, err))
OBJECT(CreateCommandQueue, cl_command_queue, (cl_context c, cl_device_id d, cl_command_queue_properties p, cl_int *err),
       (c, d, p, err))
OBJECT(CreateBuffer, cl_mem, (cl_context c, cl_mem_flags f, size_t s, void *h, cl_int *err), (c, f, s, h, err))
OBJECT(CreateProgramWithSource, cl_program, (cl_context c, cl_uint n, const char **s, const size_t *l, cl_int *err),
       (c, n, s, l, err))
OBJECT(CreateProgramWithBinary, cl_program, (cl_context c, cl_uint n, const cl_device_id *d, const size_t *l,
       const unsigned char **b, cl_int *s, cl_int *err), (c, n, d, l, b, s, err))
OBJECT(CreateKernel, cl_kernel, (cl_program p, const char *name, cl_int *err), (p, name, err))
CODE(BuildProgram, (cl_program p, cl_uint n, const cl_device_id *d, const char *o,
     void (CL_CALLBACK *f)(cl_program, void *), void *u), (p, n, d, o, f, u))
CODE(GetProgramBuildInfo, (cl_program p, cl_device_id d, cl_program_build_info i, size_t s, void *v, size_t *r),
     (p, d, i, s, v, r))
CODE(GetProgramInfo, (cl_program p, cl_program_info i, size_t s, void *v, size_t *r), (p, i, s, v, r))
CODE(SetKernelArg, (cl_kernel k, cl_uint i, size_t s, const void *v), (k, i, s, v))
CODE(GetKernelWorkGroupInfo, (cl_kernel k, cl_device_id d, cl_kernel_work_group_info i, size_t s, void *v, size_t *r),
     (k, d, i, s, v, r))
ENQUEUE(EnqueueNDRangeKernel, (cl_command_queue q, cl_kernel k, cl_uint d, const size_t *o, const size_t *g,
     const size_t *l, WAIT), (q, k, d, o, g, l, n, w, e))
ENQUEUE(EnqueueWriteBuffer, (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, WAIT),
     (q, m, b, o, s, p, n, w, e))
ENQUEUE(EnqueueReadBuffer, (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void *p, WAIT),
     (q, m, b, o, s, p, n, w, e))
ENQUEUE(EnqueueCopyBuffer, (cl_command_queue q, cl_mem m, cl_mem to, size_t o, size_t t, size_t s, WAIT), (q, m, to, o, t, s, n, w, e))
ENQUEUE(EnqueueMarkerWithWaitList, (cl_command_queue q, WAIT), (q, n, w, e))
CODE(GetMemObjectInfo, (cl_mem m, cl_mem_info i, size_t s, void *v, size_t *r), (m, i, s, v, r))
CODE(GetEventInfo, (cl_event x, cl_event_info i, size_t s, void *v, size_t *r), (x, i, s, v, r))
CODE(GetCommandQueueInfo, (cl_command_queue q, cl_command_queue_info i, size_t s, void *v, size_t *r), (q, i, s, v, r))
CODE(WaitForEvents, (cl_uint n, const cl_event *e), (n, e))
CODE(Flush, (cl_command_queue q), (q))
CODE(Finish, (cl_command_queue q), (q))
RELEASE(ReleaseContext, cl_context)
RELEASE(ReleaseCommandQueue, cl_command_queue)
RELEASE(ReleaseMemObject, cl_mem)
RELEASE(ReleaseProgram, cl_program)
RELEASE(ReleaseKernel, cl_kernel)
RELEASE(ReleaseEvent, cl_event)

static cl_int CL_API_CALL fault_RetainEvent(cl_event x)
{
    cl_int code = fails_now(&countdown) ? fault_code : real.RetainEvent(x);
    if (code == CL_SUCCESS) atomic_fetch_add(&live, 1);
    return code;
}

/* A mapping counts as an object, until it is attempted to undo it. */
static void *CL_API_CALL fault_EnqueueMapBuffer(cl_command_queue q, cl_mem m, cl_bool b, cl_map_flags f, size_t o,
                                                size_t s, WAIT, cl_int *err)
{
    if (fails_now(&countdown)) {
        *err = fault_code;
        return NULL;
    }
    void *p = real.EnqueueMapBuffer(q, m, b, f, o, s, n, w, e, err);
    if (p) atomic_fetch_add(&live, e ? 2 : 1);
    return p;
}

static cl_int CL_API_CALL fault_EnqueueUnmapMemObject(cl_command_queue q, cl_mem m, void *p, WAIT)
{
    cl_int code = fails_now(&countdown) ? fault_code : real.EnqueueUnmapMemObject(q, m, p, n, w, e);
    if (code != CL_SUCCESS || !e) atomic_fetch_sub(&live, 1);
    return code; /* else the event takes the mapping's place */
}

static void intercept(void)
{
    real = ca_cl;
#define SET(name) ca_cl.name = fault_##name;
    SET(CreateContext) SET(CreateCommandQueue) SET(CreateBuffer) SET(CreateProgramWithSource)
    SET(CreateProgramWithBinary) SET(CreateKernel) SET(EnqueueMapBuffer) SET(BuildProgram) SET(GetProgramBuildInfo)
    SET(GetProgramInfo) SET(SetKernelArg) SET(GetKernelWorkGroupInfo) SET(EnqueueNDRangeKernel) SET(EnqueueWriteBuffer)
    SET(EnqueueReadBuffer) SET(EnqueueMarkerWithWaitList) SET(GetMemObjectInfo) SET(GetEventInfo)
    SET(GetCommandQueueInfo) SET(WaitForEvents) SET(RetainEvent) SET(Flush) SET(Finish) SET(ReleaseContext)
    SET(ReleaseCommandQueue) SET(ReleaseMemObject) SET(ReleaseProgram) SET(ReleaseKernel) SET(ReleaseEvent)
    SET(EnqueueUnmapMemObject) SET(EnqueueCopyBuffer)
#undef SET
}

/* -------------------------------------------------------------- allocations */

static atomic_int alloc_countdown;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *s);
void *__wrap_malloc(size_t size) { return fails_now(&alloc_countdown) ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return fails_now(&alloc_countdown) ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size) { return fails_now(&alloc_countdown) ? NULL : __real_realloc(p, size); }
void *__wrap_aligned_alloc(size_t a, size_t size)
{
    return fails_now(&alloc_countdown) ? NULL : __real_aligned_alloc(a, size);
}
char *__wrap_strdup(const char *s) { return fails_now(&alloc_countdown) ? NULL : __real_strdup(s); }

/* ----------------------------------------------------------------- scenarios */

static struct device dev;
static struct small s;

/* With steps before and after the algorithm: the last keys come from k_new, and the weights are wanted too. */
enum { NEW = 2, WEIGHTS = SMALL_ROWS * SMALL_NK };
static float cache[2][SMALL_KV], new_keys[2][SMALL_B * SMALL_HKV * NEW * SMALL_D], weights[WEIGHTS];
static const int32_t lens[SMALL_B] = { SMALL_NK - NEW, SMALL_NK - NEW };

static void add_steps(void)
{
    for (int t = 0; t < 2; t++) {
        const float *all = t ? s.v : s.k;
        for (int e = 0; e < SMALL_KV; e++) { /* the cache, and what is missing there */
            int row = e / SMALL_D, j = row % SMALL_NK, at = (row / SMALL_NK * NEW + j - (SMALL_NK - NEW)) * SMALL_D + e % SMALL_D;
            cache[t][e] = j < SMALL_NK - NEW ? all[e] : NAN;
            if (j >= SMALL_NK - NEW) new_keys[t][at] = all[e];
        }
    }
    s.a.kv_lens = SMALL_NK, s.a.new_len = NEW, s.a.weights = CLATTN_WEIGHTS_PROBS;
    s.p.k = cache[0], s.p.v = cache[1], s.p.kv_lens = lens, s.p.k_new = new_keys[0], s.p.v_new = new_keys[1];
    s.p.weights = weights;
}

static void canaries(void)
{
    small_canaries(&s);
    for (int e = 0; e < WEIGHTS; e++) weights[e] = SMALL_CANARY;
    for (int e = 0; e < SMALL_KV; e++) /* what an execution before has appended */
        if (e / SMALL_D % SMALL_NK >= SMALL_NK - NEW) cache[0][e] = cache[1][e] = NAN;
}

static bool untouched(void)
{
    for (int e = 0; e < WEIGHTS; e++) if (weights[e] != SMALL_CANARY) return false;
    return small_untouched(&s);
}

/* Each row of the weights adds up to 1. */
static bool weights_done(void)
{
    for (int row = 0; row < SMALL_ROWS && s.a.weights; row++) {
        float sum = 0;
        for (int j = 0; j < SMALL_NK; j++) sum += weights[row * SMALL_NK + j];
        if (!(fabsf(sum - 1) < 1e-5f)) return false;
    }
    return true;
}

/* The answer, from keys that are all there. */
static bool attention_done(void)
{
    const clattn_pointers p = s.p;
    s.p.k = s.k, s.p.v = s.v;
    bool right = small_done(&s);
    s.p = p;
    return right && weights_done();
}

/* Patterns that list every key, so that the answer stays: one if all that it needs is copied, drawn and chosen before; the other takes the keys
 * by their scores, which are kept somewhere. */
static const char *algorithm;
static clattn_pattern pattern, leaf[4];
static const clattn_pattern *const leaves[] = { &leaf[0], &leaf[1], &leaf[2], &leaf[3] };
static const uint8_t layout[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };

static void add_pattern(clattn_pattern_type type)
{
    static const int64_t tokens[SMALL_NK] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    const clattn_pattern_type types[4] = { CLATTN_RANDOM, CLATTN_BLOCK_SPARSE, CLATTN_BLOCK_TOP_K, CLATTN_GLOBAL };
    for (int n = 0; n < 4; n++) clattn_pattern_init(&leaf[n], types[n]);
    clattn_pattern_init(&pattern, type);
    leaf[0].count = leaf[2].count = SMALL_NK, leaf[2].own = 1, leaf[1].block = leaf[2].block = 4;
    leaf[1].layout[0] = 1, leaf[1].layout[1] = leaf[1].layout[2] = 3;
    leaf[3].tokens = tokens, leaf[3].num_tokens = SMALL_NK;
    pattern.k = SMALL_NK, pattern.of = leaves, pattern.num_of = 4;
    s.a.pattern = &pattern, s.p.block_layout = type == CLATTN_INTERSECT ? layout : NULL;
    algorithm = "gather";
}

/* An operation around attention in its place: with a table of the library's own, or linear attention. */
static enum { ATTENTION, TABLE, LINEAR } call;
static clattn_status use_around(clattn_context *ctx, float *to)
{
    const clattn_tensor table = { .size = sizeof table, .rank = 2, .shape = { 8, 4 }, .host = s.q };
    const clattn_tensor bias = { .size = sizeof bias, .rank = 3, .shape = { 4, 8, SMALL_Q / 32 }, .host = to };
    const clattn_tensor x = { .size = sizeof x, .rank = 4, .shape = { SMALL_B, SMALL_HQ, SMALL_NQ, SMALL_D }, .host = s.q };
    clattn_tensor out = x;
    out.host = to;
    const clattn_linear_tensors t = { .size = sizeof t, .q = &x, .k = &x, .v = &x, .out = &out };
    clattn_linear l;
    clattn_linear_init(&l);
    return call == TABLE ? clattn_t5_bias(ctx, &table, 1, 16, &bias, NULL) : clattn_linear_attention(ctx, &l, &t, NULL);
}

/* The answer is that of the host, and the guards are as they were. */
static bool done(void)
{
    if (call == ATTENTION) return attention_done();
    bool near = true;
    static float wanted[SMALL_Q];
    clattn_context *host = NULL;
    if (wanted[0] == 0 && (clattn_context_create("host", &host) || use_around(host, wanted))) return false;
    clattn_context_destroy(host);
    for (int e = 0; e < SMALL_Q; e++) near = near && fabsf(wanted[e] - s.out[SMALL_GUARD + e]) <= (call == TABLE ? 0 : 1e-5f);
    return near && s.out[SMALL_GUARD - 1] == SMALL_CANARY &&
           s.out[SMALL_GUARD + SMALL_Q] == SMALL_CANARY;
}

static bool all_right; /* what said that it was done was; told later, for here it may be Check's memory that fails */

/* Plan and execute on CTX, twice; the second answer must not hide that there was no first. */
static clattn_status use(clattn_context *ctx)
{
    clattn_plan *plan = NULL;
    if (call) return use_around(ctx, s.out + SMALL_GUARD);
    const clattn_plan_options how = { .size = sizeof how, .algorithm = algorithm };
    clattn_status st = clattn_plan_create(ctx, &s.a, &how, &plan);
    for (int n = 0; n < 2 && st == CLATTN_OK; n++) {
        canaries();
        st = clattn_execute_host(plan, &s.p);
        all_right &= st != CLATTN_OK || done();
    }
    clattn_plan_destroy(plan);
    return st;
}

/* One fault in open + plan + execute twice.  *AGAIN: the fault did happen. */
static void scenario(atomic_int *count, int n, const char *what, bool *again)
{
    clattn_context *ctx = NULL;
    canaries();
    ca_message_clear();
    all_right = true;
    atomic_store(count, n);
    clattn_status st = ca_context_open(&dev, &ctx);
    if (st == CLATTN_OK) st = use(ctx);
    *again = atomic_exchange(count, 0) <= 0;
    ck_assert_msg(all_right, "%s %d: an execution said that it is done, and is not", what, n);

    if (st == CLATTN_OK) {
        ck_assert_msg(done(), "%s %d: wrong result", what, n);
    } else {
        ck_assert_msg(untouched(), "%s %d: outputs are written", what, n);
        ck_assert_msg(clattn_last_message()[0] != 0, "%s %d: no message for %s", what, n, clattn_status_name(st));
    }
    if (ctx && !atomic_load(&ctx->lost)) {
        canaries();
        st = use(ctx);
        ck_assert_msg(st == CLATTN_OK, "%s %d: afterwards %s", what, n, clattn_last_message());
        ck_assert_msg(all_right && done(), "%s %d: wrong result afterwards", what, n);
    } else if (ctx) {
        ck_assert_int_eq(use(ctx), CLATTN_E_DEVICE_LOST);
    }
    clattn_context_destroy(ctx);
    ck_assert_msg(atomic_load(&live) == 0, "%s %d: %d OpenCL objects leaked", what, n, atomic_load(&live));
}

static const cl_int codes[] = {
    CL_OUT_OF_RESOURCES, CL_OUT_OF_HOST_MEMORY, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_INVALID_COMMAND_QUEUE,
};

enum { CODES = sizeof codes / sizeof codes[0] };

/* What is used: the first ones with each code at each call; the others, whose calls are the same ones, by turns: each call that fails does so
 * with the next code.  So do all where the compiler is slow. */
enum { PLAIN, STEPS, WITH_TABLE, EACH_CODE, MADE = EACH_CODE, TAKEN, OF_TOKENS, USES };
static bool by_turns(int kind) { return kind >= EACH_CODE || getenv("CLATTN_TURNS"); }

static void walk(atomic_int *count, const char *what, int kind)
{
    bool again = true;
    if (kind == STEPS) add_steps();
    if (kind == MADE || kind == TAKEN) add_pattern(kind == MADE ? CLATTN_INTERSECT : CLATTN_TOP_K);
    call = kind == WITH_TABLE ? TABLE : kind == OF_TOKENS ? LINEAR : ATTENTION;
    for (int n = 1; again; n++) {
        if (by_turns(kind)) fault_code = codes[n % CODES];
        scenario(count, n, what, &again);
    }
}

START_TEST(opencl_call_fails)
{
    char what[64];
    int kind = _i < USES ? _i : (_i - USES) % EACH_CODE; /* first all of them */
    if (!in_share((unsigned)_i)) return;
    small_init(&s);
    if (!small_device(&dev)) return;
    fault_code = codes[_i < USES ? 0 : 1 + (_i - USES) / EACH_CODE];
    snprintf(what, sizeof what, "%d: %s from call", kind, by_turns(kind) ? "a code" : clattn_status_name(fault_code));
    intercept();
    walk(&countdown, what, kind);
}
END_TEST

START_TEST(allocation_fails)
{
    char what[64];
    if (!in_share((unsigned)_i)) return;
    small_init(&s);
    if (_i < USES) ca_device_host(&dev);
    else if (!small_device(&dev)) return;
    else intercept();
    snprintf(what, sizeof what, "%d: no memory at allocation", _i % USES);
    walk(&alloc_countdown, what, _i % USES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *t = tcase_create("faults");
    suite_add_tcase(suite, t);
    tcase_set_timeout(t, 240);
    tcase_add_loop_test(t, opencl_call_fails, 0, by_turns(PLAIN) ? USES : USES + (CODES - 1) * EACH_CODE);
    tcase_add_loop_test(t, allocation_fails, 0, 2 * USES);
    return run_suite(suite);
}
