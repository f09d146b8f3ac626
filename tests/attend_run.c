/* attend_run.c -- the part of attend.h that runs something: on host pointers, and on cl_mem. */
#include "attend_tensors.h"
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------- the device */

static clattn_context *context;

static bool is_oclgrind(void)
{
    const char *selected = getenv("CLATTN_DEVICES");
    return selected && strstr(selected, "Oclgrind");
}

/* Oclgrind numbers buffers and uses a released one's number again, but its shadow of what is initialised keeps the
 * size of the first (Uninitialized.cpp, kernelBegin): what lies beyond, however often written, is reported as
 * uninitialised.  So there no buffer is given back before the end. */
static cl_int keep(cl_mem m) { return m ? CL_SUCCESS : CL_INVALID_MEM_OBJECT; }

/* And of a buffer that is copied into in part it forgets the rest, what is written there later too: so the whole is written, which it then
 * takes for initialised; other buffers stay watched. */
static cl_int copy_whole(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_at, size_t to_at, size_t bytes, cl_uint waits,
                         const cl_event *wait, cl_event *event)
{
    size_t size;
    char *all = NULL;
    cl_int code = waits ? clWaitForEvents(waits, wait) : CL_SUCCESS;
    if (code == CL_SUCCESS) code = clGetMemObjectInfo(to, CL_MEM_SIZE, sizeof size, &size, NULL);
    if (code == CL_SUCCESS && !(all = malloc(size))) code = CL_OUT_OF_HOST_MEMORY;
    if (code == CL_SUCCESS) code = clEnqueueReadBuffer(queue, to, CL_TRUE, 0, size, all, 0, NULL, NULL);
    if (code == CL_SUCCESS) code = clEnqueueReadBuffer(queue, from, CL_TRUE, from_at, bytes, all + to_at, 0, NULL, NULL);
    if (code == CL_SUCCESS) code = clEnqueueWriteBuffer(queue, to, CL_TRUE, 0, size, all, 0, NULL, event);
    free(all);
    return code;
}

clattn_context *attend_context(void)
{
    if (context) return context;
    if (is_oclgrind()) ca_cl.ReleaseMemObject = keep, ca_cl.EnqueueCopyBuffer = copy_whole;
    clattn_status st = clattn_context_create(NULL, &context);
    if (st) {
        printf("no device: %s: %s\n", clattn_status_name(st), clattn_last_message());
        exit(EXIT_FAILURE);
    }
    /* PoCL, asked for a binary, compiles each of our many programs once more; it has a cache of its own. */
    for (int k = 0; k == 0 || k < context->members; k++) {
        struct device *dev = &(k ? context->member[k] : context)->dev;
        if (strstr(dev->platform_name, "Portable")) dev->quirks |= CA_QUIRK_NO_BINARY;
    }
    context->self_tests &= !is_oclgrind(); /* they give buffers back, and here all is looked at more closely */
    printf("on %s (%s)%s\n", context->dev.name, context->dev.platform_name,
           attend_is_slow() ? ", small shapes only" : "");
    return context;
}

bool attend_is_slow(void) { return attend_context()->dev.quirks & CA_QUIRK_SLOW; }

bool attend_is_host(void) { return ca_is_host(&attend_context()->dev); }

bool attend_wants(const struct shape *s)
{
    if (attend_is_host()) return true;
    if (is_oclgrind()) return s->reach == TINY;
    return attend_is_slow() ? s->reach == EVERYWHERE : s->reach <= EVERYWHERE;
}

void attend_close(void)
{
    clattn_context_destroy(context);
    context = NULL;
}

const char *attend_small(const char *name)
{
    static const char *const small[] = { "tiled rm=2 rn=2 tx=4 ty=2 dc=4 vc=4", "split form=1 rb=2 tx=4 ty=2 ki=1 part=16", "rows w=8" };
    for (size_t i = 0; is_oclgrind() && i < sizeof small / sizeof *small; i++) {
        size_t n = strcspn(small[i], " ");
        if (strlen(name) == n && !strncmp(small[i], name, n)) return small[i];
    }
    return name;
}

size_t attend_algos(const struct shape *s, const char *names[CA_MAX_CANDIDATES])
{
    struct tensors t = { 0 };
    struct data none = { .q = NULL };
    struct problem p;
    struct candidate c[CA_MAX_CANDIDATES];
    size_t n = 0, legal = 0;
    if (tensors_make(&t, s, &none)) {
        if (ca_problem_init(&p, &t.a) == CLATTN_OK) n = ca_ladder(&p, &attend_context()->dev, NULL, c);
        else wrong("not a problem: %s", ca_message());
    }
    const char *only = getenv("CLATTN_ALGO"); /* to look at one algorithm alone */
    if (n && attend_context()->members > 1 && !s->algo) { /* each device plans what it likes */
        names[legal++] = "";
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!c[i].legal || (only && strcmp(only, c[i].algo->name)) || (s->algo && strcmp(s->algo, c[i].algo->name))) continue;
        if (s->params && strstr(s->params, "shuffle=1") && !attend_context()->dev.shuffle) continue; /* Intel's runtime has it */
        names[legal++] = c[i].algo->name;
        if (!s->algo && !strcmp(c[i].algo->name, "host") && c[i].params.v[0] != 3 && p.dtype == CLATTN_BF16 && !ca_problem_special(&p) && !p.split_len) {
            names[legal++] = "host form=0"; /* forms 4 and 5 are the planner's where the processor has the instruction */
            names[legal++] = "host form=4";
            names[legal++] = "host form=5";
        }
        bool twins = !attend_context()->dev.matrix_f16 && !attend_context()->dev.matrix_bf16;
        if (!s->algo && !strcmp(c[i].algo->name, "matrix") && twins && !attend_is_slow()) { /* each vendor's fragments */
            names[legal++] = "matrix layout=2 gx=1 gy=2";
            names[legal++] = "matrix layout=3 gx=4 gy=3";
            names[legal++] = "matrix layout=4 gx=1 gy=1 bn=48";
            names[legal++] = "matrix layout=5 gx=2 gy=1";
        }
        if (s->algo || strcmp(c[i].algo->name, "split") || legal == CA_MAX_CANDIDATES) continue;
        bool lanes = c[i].params.v[0] == 0, few = p.score != CLATTN_ADDITIVE && (p.Nq * p.Hq <= 8 * p.Hkv || ca_problem_special(&p));
        if (lanes && !attend_is_slow() && few) names[legal++] = "split form=1 rb=4"; /* what GPUs run */
        if (!lanes && is_oclgrind()) names[legal++] = "split form=0";                /* what CPUs run, watched */
    }
    if (!legal && !only && !s->algo) {
        char text[SHAPE_TEXT];
        shape_print(s, text);
        wrong("%s: no algorithm is legal", text);
    }
    tensors_free(&t);
    return legal;
}

/* ------------------------------------------------------------------- execution */

static bool call_ok(clattn_status st, const char *call, const char *what)
{
    if (st) wrong("%s: %s: %s: %s", what, call, clattn_status_name(st), clattn_last_message());
    if (st == CLATTN_E_TIMEOUT || st == CLATTN_E_DEVICE_LOST) exit(EXIT_FAILURE); /* nothing would work any more */
    return st == CLATTN_OK;
}

static clattn_plan *make_plan(const struct tensors *t, const char *algo, const char *params, const char *what)
{
    clattn_plan *plan = NULL;
    char name[32] = "";
    const char *blank = algo ? strchr(algo, ' ') : NULL;
    if (algo && !*algo) algo = NULL;
    if (blank) algo = memcpy(name, algo, (size_t)(blank - algo)), params = blank + 1;
    clattn_plan_options o = { .size = sizeof o, .algorithm = algo, .params = params };
    return call_ok(clattn_plan_create(attend_context(), &t->a, &o, &plan), "clattn_plan_create", what) ? plan : NULL;
}

static void *start_of(const struct tensors *t, int slot) { return t->m[slot].bytes ? image_start(&t->m[slot]) : NULL; }
static bool is_input(const struct tensors *t, int slot) { return t->m[slot].bytes && !ca_slot_is_output((enum ca_slot)slot); }
static bool must_stay(const struct tensors *t, int slot)
{
    return is_input(t, slot) && !(t->a.new_len && (slot == CA_K || slot == CA_V || (slot >= CA_KSCALE && slot <= CA_VZERO)));
}

/* One execution on host pointers: T's outputs are filled; its inputs must stay as they are. */
static bool run_host(clattn_plan *plan, struct tensors *t, const char *what)
{
    clattn_pointers p = { sizeof p, start_of(t, CA_Q), start_of(t, CA_K), start_of(t, CA_V), start_of(t, CA_OUT),
                          start_of(t, CA_LSE), start_of(t, CA_QOFF), start_of(t, CA_LENS), start_of(t, CA_SLOPES),
                          start_of(t, CA_SINKS), start_of(t, CA_BIAS), start_of(t, CA_MASK), start_of(t, CA_CUQ),
                          start_of(t, CA_CUK), start_of(t, CA_TABLE), start_of(t, CA_KNEW), start_of(t, CA_VNEW),
                          start_of(t, CA_WEIGHTS), start_of(t, CA_KSCALE), start_of(t, CA_VSCALE), start_of(t, CA_KZERO),
                          start_of(t, CA_VZERO), start_of(t, CA_QCOS), start_of(t, CA_QSIN), start_of(t, CA_KCOS), start_of(t, CA_KSIN),
                          start_of(t, CA_SCOREW), start_of(t, CA_LEAKS), { start_of(t, CA_MOD) },
                          start_of(t, CA_PREFIX_LENS), start_of(t, CA_DOCS), start_of(t, CA_LAYOUT), start_of(t, CA_ROWS), start_of(t, CA_COLUMNS),
                          start_of(t, CA_EDGES), start_of(t, CA_KV_BLOCKS), start_of(t, CA_KV_INDICES), start_of(t, CA_FULL_BLOCKS), start_of(t, CA_FULL_INDICES),
                          start_of(t, CA_ROTATIONS), start_of(t, CA_SPANS), start_of(t, CA_SPENT) };
    unsigned char *before[CA_SLOTS] = { NULL };
    for (int i = 0; i < CA_SLOTS; i++)
        if (is_input(t, i) && (before[i] = malloc(image_bytes(&t->m[i])))) memcpy(before[i], t->m[i].bytes, image_bytes(&t->m[i]));
    bool ok = call_ok(clattn_execute_host(plan, &p), "clattn_execute_host", what);
    for (int i = 0; i < CA_SLOTS; i++) {
        if (must_stay(t, i) && (!before[i] || memcmp(before[i], t->m[i].bytes, image_bytes(&t->m[i]))))
            wrong("%s: the input %s was changed", what, ca_slot_name[i]);
        free(before[i]);
    }
    return ok;
}

static bool read_result(const struct shape *s, const struct data *d, const struct tensors *t, const char *what, struct result *r)
{
    r->out = tensors_unpack(s, image_read(&t->m[CA_OUT], "out", what), s->Dv);
    r->lse = tensors_unpack(s, image_read(&t->m[CA_LSE], "lse", what), 1);
    r->weights = s->weights ? image_read(&t->m[CA_WEIGHTS], "weights", what) : NULL;
    r->spent = t->m[CA_SPENT].bytes ? image_read(&t->m[CA_SPENT], "spent", what) : NULL;
    tensors_check_caches(t, s, d, what);
    return r->out && r->lse && (r->weights || !s->weights);
}

char attend_problem[WHAT_TEXT];

static void name_it(const struct shape *s, const char *algo, char what[WHAT_TEXT])
{
    char text[SHAPE_TEXT];
    shape_print(s, text);
    snprintf(what, WHAT_TEXT, "%s: %s", text, algo ? algo : "chosen");
    memcpy(attend_problem, what, WHAT_TEXT);
}

bool attend(const struct shape *s, const char *algo, const struct data *d, struct result *r)
{
    char what[WHAT_TEXT];
    struct tensors t;
    clattn_plan *plan = NULL;
    *r = (struct result){ .out = NULL };
    name_it(s, algo, what);
    bool ok = tensors_make(&t, s, d) && (plan = make_plan(&t, algo, s->params, what)) && run_host(plan, &t, what) &&
              read_result(s, d, &t, what, r);
    if (!ok) result_free(r);
    clattn_plan_destroy(plan);
    tensors_free(&t);
    return ok;
}

/* ------------------------------------------------------------------- on cl_mem */

static bool same_bits(const struct tensors *a, const struct tensors *b, const char *which, const char *what)
{
    bool same = true;
    for (int i = 0; i < CA_SLOTS; i++) {
        if (!ca_slot_is_output((enum ca_slot)i) || !a->m[i].bytes || !memcmp(a->m[i].bytes, b->m[i].bytes, image_bytes(&a->m[i]))) continue;
        wrong("%s: %s: other bits in %s", what, which, ca_slot_name[i]);
        same = false;
    }
    return same;
}

static bool cl_ok(cl_int code, const char *call, const char *what)
{
    if (code) wrong("%s: %s: %d", what, call, code);
    return code == CL_SUCCESS;
}

/* Buffers, queues and events of one execution on cl_mem.  Two queues: the plan works on one, which is
 * out of order where the device has that, the test moves data on the other. */
struct cl_run {
    cl_command_queue work, move;
    cl_mem mem[CA_SLOTS], workspace;
    cl_event gate, done, written[CA_SLOTS];
    cl_uint num_written;
    size_t workspace_bytes;
};

enum { WORKSPACE_OFFSET = 256, WORKSPACE_GUARD = 1024 };
static size_t workspace_offset(const struct tensors *t) { return t->tight ? 0 : WORKSPACE_OFFSET; }

/* The part of an image that is on the device. */
static size_t held_from(const struct tensors *t, int slot) { return t->tight ? image_offset(&t->m[slot]) : 0; }
static size_t held_bytes(const struct tensors *t, int slot) { return image_bytes(&t->m[slot]) - 2 * held_from(t, slot); }

/* A buffer of BYTES filled with canaries of type T. */
static cl_mem make_buffer(struct cl_run *r, int t, size_t bytes, const char *what)
{
    cl_int code;
    uint32_t *fill = malloc(bytes + 4), word = image_canary_word(t);
    cl_mem mem = NULL;
    for (size_t i = 0; fill && i < bytes / 4 + 1; i++) fill[i] = word;
    if (fill) {
        mem = clCreateBuffer(attend_context()->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
        if (mem) code = clEnqueueWriteBuffer(r->move, mem, CL_TRUE, 0, bytes, fill, 0, NULL, NULL);
        cl_ok(code, "clCreateBuffer", what);
    }
    free(fill);
    return mem;
}

static bool cl_prepare(struct cl_run *r, const struct tensors *t, const clattn_plan *plan,
                       const char *what)
{
    clattn_context *c = attend_context();
    cl_command_queue_properties can = 0;
    cl_int code;
    clGetDeviceInfo(c->dev.id, CL_DEVICE_QUEUE_PROPERTIES, sizeof can, &can, NULL);
    r->work = clCreateCommandQueue(c->context, c->dev.id, can & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    if (!cl_ok(code, "clCreateCommandQueue", what)) return false;
    r->move = clCreateCommandQueue(c->context, c->dev.id, 0, &code);
    if (!cl_ok(code, "clCreateCommandQueue", what)) return false;
    r->gate = clCreateUserEvent(c->context, &code);
    if (!cl_ok(code, "clCreateUserEvent", what)) return false;
    for (int i = 0; i < CA_SLOTS; i++)
        if (t->m[i].bytes && !(r->mem[i] = make_buffer(r, t->m[i].dtype, held_bytes(t, i), what))) return false;
    r->workspace_bytes = clattn_plan_workspace(plan);
    if (r->workspace_bytes)
        r->workspace = make_buffer(r, CLATTN_F32, r->workspace_bytes + (t->tight ? 0 : WORKSPACE_OFFSET + WORKSPACE_GUARD), what);
    return !r->workspace_bytes || r->workspace;
}

static void cl_release(struct cl_run *r)
{
    for (int i = 0; i < CA_SLOTS; i++)
        if (r->mem[i]) ca_cl.ReleaseMemObject(r->mem[i]);
    if (r->workspace) ca_cl.ReleaseMemObject(r->workspace);
    if (r->gate) clReleaseEvent(r->gate);
    if (r->done) clReleaseEvent(r->done);
    for (cl_uint i = 0; i < r->num_written; i++) clReleaseEvent(r->written[i]);
    /* Intel's CPU runtime deadlocks when an out-of-order queue is released while its last command, whose event is
     * complete, is being cleared away by a worker. */
    if (r->work) clFinish(r->work);
    if (r->work) clReleaseCommandQueue(r->work);
    if (r->move) clReleaseCommandQueue(r->move);
}

/* Enqueues the writing of the inputs behind the gate; their events are what the plan waits for.  (Whole buffers: Oclgrind
 * forgets what a partial write leaves out.) */
static bool cl_write_inputs(struct cl_run *r, const struct tensors *t, const char *what)
{
    for (int i = 0; i < CA_SLOTS; i++)
        if (is_input(t, i) &&
            (!cl_ok(clEnqueueWriteBuffer(r->move, r->mem[i], CL_FALSE, 0, held_bytes(t, i), t->m[i].bytes + held_from(t, i), 1,
                                         &r->gate, &r->written[r->num_written]), "clEnqueueWriteBuffer", what) || !++r->num_written))
            return false;
    return true;
}

/* What lies before and behind the workspace must stay. */
static void check_workspace(struct cl_run *r, const char *what)
{
    size_t n = r->workspace_bytes, all = WORKSPACE_OFFSET + n + WORKSPACE_GUARD, stray = 0;
    uint32_t *back = malloc(all), want = image_canary(CLATTN_F32);
    if (!back || !cl_ok(clEnqueueReadBuffer(r->move, r->workspace, CL_TRUE, 0, all, back, 0, NULL, NULL), "read", what))
        goto done;
    for (size_t e = 0; e < all; e++)
        if (e < WORKSPACE_OFFSET || e >= WORKSPACE_OFFSET + n)
            stray += ((unsigned char *)back)[e] != ((unsigned char *)&want)[e % 4];
    if (stray) wrong("%s: %zu bytes around the workspace were written", what, stray);
done:
    free(back);
}

/* Executes PLAN behind the writing of its inputs behind a closed gate, opens it, waits for the plan's event alone. */
static bool run_cl(const clattn_plan *plan, struct tensors *t, bool own_workspace,
                   const char *what)
{
    struct cl_run r = { 0 };
    clattn_buffers b = { .size = sizeof b };
    clattn_buffer *slot[CA_SLOTS] = {
        [CA_Q] = &b.q, [CA_K] = &b.k, [CA_V] = &b.v, [CA_OUT] = &b.out, [CA_LSE] = &b.lse, [CA_QOFF] = &b.q_offset,
        [CA_LENS] = &b.kv_lens, [CA_SLOPES] = &b.alibi_slopes, [CA_SINKS] = &b.sinks, [CA_BIAS] = &b.bias, [CA_MASK] = &b.mask,
        [CA_CUQ] = &b.cu_seqlens_q, [CA_CUK] = &b.cu_seqlens_k, [CA_TABLE] = &b.block_table, [CA_KSCALE] = &b.k_scale,
        [CA_VSCALE] = &b.v_scale, [CA_KZERO] = &b.k_zero, [CA_VZERO] = &b.v_zero, [CA_QCOS] = &b.q_rope_cos,
        [CA_QSIN] = &b.q_rope_sin, [CA_KCOS] = &b.k_rope_cos, [CA_KSIN] = &b.k_rope_sin, [CA_SCOREW] = &b.score_w,
        [CA_LEAKS] = &b.leaks, [CA_MOD] = &b.mods[0], [CA_MOD + 1] = &b.mods[1], [CA_MOD + 2] = &b.mods[2], [CA_MOD + 3] = &b.mods[3], [CA_KNEW] = &b.k_new,
        [CA_VNEW] = &b.v_new, [CA_WEIGHTS] = &b.weights, [CA_PREFIX_LENS] = &b.prefix, [CA_DOCS] = &b.doc_ids, [CA_LAYOUT] = &b.block_layout,
        [CA_ROWS] = &b.row_ptr, [CA_COLUMNS] = &b.col_idx, [CA_EDGES] = &b.edge_bias, [CA_KV_BLOCKS] = &b.kv_num_blocks, [CA_KV_INDICES] = &b.kv_indices,
        [CA_FULL_BLOCKS] = &b.full_kv_num_blocks, [CA_FULL_INDICES] = &b.full_kv_indices, [CA_ROTATIONS] = &b.rotations, [CA_SPANS] = &b.span, [CA_SPENT] = &b.spent,
    };
    cl_int state = CL_COMPLETE;
    bool ok = false, open = is_oclgrind(); /* where clFlush waits for what was enqueued, a closed gate is for ever */
    if (!cl_prepare(&r, t, plan, what)) goto done;
    for (int i = 0; i < CA_SLOTS; i++)
        if (r.mem[i]) *slot[i] = (clattn_buffer){ r.mem[i], image_offset(&t->m[i]) - held_from(t, i) };
    if (own_workspace) b.workspace = (clattn_buffer){ r.workspace, workspace_offset(t) };
    if (!cl_write_inputs(&r, t, what)) goto done;
    if (open && !cl_ok(clSetUserEventStatus(r.gate, CL_COMPLETE), "clSetUserEventStatus", what)) goto done;
    if (!call_ok(clattn_execute(plan, r.work, &b, r.num_written, r.written, &r.done), "clattn_execute", what)) goto done;
    if (!r.done) {
        wrong("%s: clattn_execute gave no event", what);
        goto done;
    }
    clGetEventInfo(r.done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
    if (state == CL_COMPLETE && !open) wrong("%s: the event was complete before what it has to wait for", what);
    clFlush(r.move);
    clFlush(r.work);
    if ((!open && !cl_ok(clSetUserEventStatus(r.gate, CL_COMPLETE), "clSetUserEventStatus", what)) ||
        !cl_ok(clWaitForEvents(1, &r.done), "clWaitForEvents", what)) goto done;
    for (int i = 0; i < CA_SLOTS; i++) { /* the inputs' images take what is there now: they must stay too */
        unsigned char *held = t->m[i].bytes + held_from(t, i), *back = t->m[i].bytes ? malloc(held_bytes(t, i)) : NULL;
        if (!t->m[i].bytes) continue;
        if (!back || !cl_ok(clEnqueueReadBuffer(r.move, r.mem[i], CL_TRUE, 0, held_bytes(t, i), back, 0, NULL, NULL),
                            "clEnqueueReadBuffer", what)) {
            free(back);
            goto done;
        }
        if (must_stay(t, i) && memcmp(back, held, held_bytes(t, i)))
            wrong("%s: the input %s was changed", what, ca_slot_name[i]);
        memcpy(held, back, held_bytes(t, i));
        free(back);
    }
    if (own_workspace && r.workspace && !t->tight) check_workspace(&r, what);
    ok = true;
done:
    if (!ok && r.gate && !open) clSetUserEventStatus(r.gate, -1);
    if (r.move) clFinish(r.move);
    cl_release(&r);
    return ok;
}

bool attend_thoroughly(const struct shape *s, const char *algo, const struct data *d, struct result *r)
{
    char what[WHAT_TEXT];
    struct tensors first, again = { 0 };
    clattn_plan *plan = NULL;
    bool ok = false;
    *r = (struct result){ .out = NULL };
    name_it(s, algo, what);
    if (!tensors_make(&first, s, d) || !(plan = make_plan(&first, algo, s->params, what)) || !run_host(plan, &first, what) ||
        !read_result(s, d, &first, what, r)) goto done;
    if (!is_oclgrind()) { /* there a minute is dear, and once more the same is seen on cl_mem */
        if (!tensors_make(&again, s, d) || !run_host(plan, &again, what)) goto done;
        same_bits(&first, &again, "a second execution", what);
    }
    for (int own_workspace = 0; own_workspace < 2 && !attend_is_host(); own_workspace++) {
        if (own_workspace && !clattn_plan_workspace(plan)) break;
        tensors_free(&again);
        if (!tensors_make(&again, s, d) || !run_cl(plan, &again, own_workspace, what)) goto done;
        same_bits(&first, &again, "on cl_mem", what);
    }
    ok = true;
done:
    if (!ok) result_free(r);
    clattn_plan_destroy(plan);
    tensors_free(&first);
    tensors_free(&again);
    return ok;
}

/* ------------------------------------------------------------------- garbage */

static int32_t garbage(uint64_t *state, int round)
{
    static const int32_t extreme[] = { INT32_MIN, INT32_MIN + 1, -1, 0, INT32_MAX - 1, INT32_MAX, 1 << 30, -(1 << 30) };
    int kind = round % 4 == 0 ? 0 : draw_below(state, 6); /* now and then nothing that makes sense */
    return kind == 0 ? (int32_t)draw_bits(state) : kind == 1 ? extreme[draw_below(state, 8)] : draw_below(state, 16) - 2;
}

static void put_garbage(struct tensors *t, uint64_t *state, int round)
{
    static const int slots[] = { CA_QOFF, CA_LENS, CA_CUQ, CA_CUK, CA_TABLE, CA_PREFIX_LENS, CA_DOCS, CA_ROWS, CA_COLUMNS };
    for (size_t n = 0; n < sizeof slots / sizeof slots[0]; n++) {
        struct image *m = &t->m[slots[n]];
        int32_t *x = m->bytes ? image_start(m) : NULL; /* of so many elements, side by side */
        for (size_t e = 0; x && e < m->elements - 2 * GUARD; e++) x[e] = garbage(state, round);
    }
}

void attend_garbage(const struct shape *s, const char *algo, const char *params, const struct data *d, uint64_t seed,
                    int times)
{
    char what[WHAT_TEXT + 100];
    struct tensors t = { .tight = false };
    clattn_plan *plan = NULL;
    name_it(s, algo, what);
    snprintf(what + strlen(what), 100, " %s", params ? params : "");
    for (int round = 0; round < times; round++) {
        if (!tensors_make(&t, s, d)) break;
        if (!plan && !(plan = make_plan(&t, algo, params, what))) break;
        put_garbage(&t, &seed, round);
        t.tight = is_oclgrind() || round % 2 == 1;
        if (!run_cl(plan, &t, true, what)) break;
        for (int i = 0; i < CA_SLOTS; i++)
            if (t.m[i].bytes && image_strays(&t.m[i]))
                wrong("%s, garbage %d: %zu places around %s were written", what, round, image_strays(&t.m[i]), ca_slot_name[i]);
        tensors_free(&t);
    }
    clattn_plan_destroy(plan);
    tensors_free(&t);
}
