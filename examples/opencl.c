/* opencl.c -- attention inside a program that has its own OpenCL queue and buffers.  Nothing is copied and
 * nothing waits: the attention is one more command, ordered by events.
 *
 *     cc opencl.c $(pkg-config --cflags --libs clattn OpenCL) -o opencl
 */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl.h>
#include <clattn.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADS 8
#define LENGTH 512
#define DIM 64
#define COUNT ((size_t)HEADS * LENGTH * DIM)

/* The program's own part of OpenCL: a device, a queue and a buffer of random numbers. */
static cl_command_queue make_queue(cl_context *context)
{
    cl_platform_id platform[16];
    cl_device_id device;
    cl_uint count = 0;
    if (clGetPlatformIDs(16, platform, &count) != CL_SUCCESS) return NULL;
    for (cl_uint i = 0; i < count && i < 16; i++) {
        if (clGetDeviceIDs(platform[i], CL_DEVICE_TYPE_ALL, 1, &device, NULL) != CL_SUCCESS) continue;
        *context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
        return *context ? clCreateCommandQueue(*context, device, 0, NULL) : NULL;
    }
    return NULL;
}

static cl_mem make_buffer(cl_context context)
{
    float *data = malloc(COUNT * sizeof *data);
    cl_mem mem = NULL;
    for (size_t i = 0; data && i < COUNT; i++) data[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    if (data) mem = clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, COUNT * sizeof *data, data, NULL);
    free(data);
    return mem;
}

static int check(const char *what, int code)
{
    if (code == 0) return 1;
    fprintf(stderr, "%s: %s: %s\n", what, clattn_status_name(code), clattn_last_message());
    return 0;
}

/* The attention: plan once, execute as often as wanted. */
static int attend(cl_command_queue queue, const clattn_buffers *b, cl_event *done)
{
    clattn_context *ctx = NULL;
    clattn_plan *plan = NULL;
    clattn_attention a;
    clattn_attention_init(&a);
    a.q_heads = HEADS;
    a.q_len = a.kv_len = LENGTH;
    a.head_dim = DIM;
    a.causal = 1;
    int ok = check("context", clattn_context_create_from_queue(queue, &ctx)) &&
             check("plan", clattn_plan_create(ctx, &a, NULL, &plan)) &&
             check("execute", clattn_execute(plan, queue, b, 0, NULL, done));
    if (ok) ok = check("wait", clWaitForEvents(1, done)); /* before the plan goes */
    clattn_plan_destroy(plan);
    clattn_context_destroy(ctx);
    return ok;
}

int main(void)
{
    cl_context context = NULL;
    cl_command_queue queue = make_queue(&context);
    cl_event done = NULL;
    cl_int state = CL_QUEUED;
    float out = 0, v = 1;
    if (!queue) {
        fprintf(stderr, "there is no OpenCL device\n");
        return 77;
    }
    const clattn_buffers b = {
        .size = sizeof b,
        .q = {make_buffer(context), 0}, .k = {make_buffer(context), 0}, .v = {make_buffer(context), 0},
        .out = {make_buffer(context), 0}};
    int ok = b.q.mem && b.k.mem && b.v.mem && b.out.mem && attend(queue, &b, &done);

    /* The event is an ordinary one: its state tells whether the kernels succeeded, and it can be waited for. */
    ok = ok && check("event", clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL)) &&
         state == CL_COMPLETE &&
         check("read", clEnqueueReadBuffer(queue, b.out.mem, CL_TRUE, 0, sizeof out, &out, 1, &done, NULL)) &&
         check("read", clEnqueueReadBuffer(queue, b.v.mem, CL_TRUE, 0, sizeof v, &v, 0, NULL, NULL));
    if (ok) printf("out[0] = %g, v[0] = %g\n", out, v);

    if (done) clReleaseEvent(done);
    const cl_mem mem[] = {b.q.mem, b.k.mem, b.v.mem, b.out.mem};
    for (int i = 0; i < 4; i++)
        if (mem[i]) clReleaseMemObject(mem[i]);
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
    return ok ? 0 : 1;
}
