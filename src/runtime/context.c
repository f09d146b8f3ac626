/* context.c -- opens and closes a device; knows whether it is still of use. */
#include "runtime/context.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/program.h"

/* ------------------------------------------------------------------- open */

static clattn_status new_context(const struct device *dev, clattn_context **ctx)
{
    clattn_context *c = calloc(1, sizeof *c);
    if (!c) return ca_no_memory(sizeof *c, "a context");
    if (pthread_mutex_init(&c->lock, NULL)) {
        free(c);
        return ca_fail(CLATTN_E_MEMORY, "no memory for a lock");
    }
    c->dev = *dev;
    c->pid = getpid();
    *ctx = c;
    return CLATTN_OK;
}

static clattn_status open_queue(clattn_context *c)
{
    cl_int code;
    c->queue = ca_cl.CreateCommandQueue(c->context, c->dev.id, 0, &code);
    return c->queue ? CLATTN_OK : ca_cl_fail(code, "clCreateCommandQueue", c->dev.name);
}

static clattn_status require_usable(const struct device *dev)
{
    const char *why = ca_device_refusal(dev);
    CA_REQUIRE(!why, CLATTN_E_NO_DEVICE, "%s (%s) is not used: %s%s", dev->name, dev->platform_name, why,
               dev->quirks & CA_QUIRK_REFUSE ? " (CLATTN_QUIRKS=off overrides)" : "");
    return CLATTN_OK;
}

clattn_status ca_context_open(const struct device *dev, clattn_context **ctx)
{
    cl_context_properties properties[] = { CL_CONTEXT_PLATFORM, (cl_context_properties)dev->platform, 0 };
    clattn_context *c = NULL;
    clattn_status st;
    cl_int code;

    *ctx = NULL;
    CA_TRY(require_usable(dev));
    CA_TRY(new_context(dev, &c));
    if (!ca_is_host(dev)) {
        c->context = ca_cl.CreateContext(properties, 1, &dev->id, NULL, NULL, &code);
        if (!c->context) {
            st = ca_cl_fail(code, "clCreateContext", dev->name);
            goto done;
        }
        CA_TRY(open_queue(c));
    }
    *ctx = c;
    c = NULL;
done:
    ca_context_close(c);
    return st;
}

/* ------------------------------------------------------------------- wrap */

static clattn_status queue_owner(cl_command_queue queue, cl_context *context, cl_device_id *id)
{
    cl_int code = ca_cl.GetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof *context, context, NULL);
    if (code == CL_SUCCESS) code = ca_cl.GetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof *id, id, NULL);
    return code == CL_SUCCESS ? CLATTN_OK : ca_cl_fail(code, "clGetCommandQueueInfo", "queue");
}

static clattn_status require_member(cl_context context, cl_device_id id)
{
    cl_device_id members[64];
    size_t bytes = 0;
    cl_int code = ca_cl.GetContextInfo(context, CL_CONTEXT_DEVICES, sizeof members, members, &bytes);
    if (code != CL_SUCCESS) return ca_cl_fail(code, "clGetContextInfo", "context");
    for (size_t i = 0; i < bytes / sizeof *members; i++)
        if (members[i] == id) return CLATTN_OK;
    return ca_fail(CLATTN_E_ARGUMENT, "device is not one of the context's %zu devices", bytes / sizeof *members);
}

clattn_status ca_context_wrap(cl_context context, cl_device_id id, cl_command_queue queue, clattn_context **ctx)
{
    struct device dev;
    clattn_context *c = NULL;
    cl_context queue_context = context;
    cl_device_id queue_device = id;
    clattn_status st;

    *ctx = NULL;
    if (queue) CA_TRY(queue_owner(queue, &queue_context, &queue_device));
    if (!context) context = queue_context;
    if (!id) id = queue_device;
    CA_REQUIRE(context && id, CLATTN_E_ARGUMENT, "context and device, or queue, must not be NULL");
    CA_REQUIRE(context == queue_context && id == queue_device, CLATTN_E_ARGUMENT,
               "queue belongs to another context or device");
    CA_TRY(require_member(context, id));
    CA_TRY(ca_device_query(NULL, id, &dev));
    CA_TRY(require_usable(&dev));
    CA_TRY(new_context(&dev, &c));
    CA_TRY(CA_CL(RetainContext, context));
    c->context = context;
    if (queue) {
        CA_TRY(CA_CL(RetainCommandQueue, queue));
        c->queue = queue;
    } else {
        CA_TRY(open_queue(c));
    }
    *ctx = c;
    c = NULL;
done:
    ca_context_close(c);
    return st;
}

/* ------------------------------------------------------------ alive, close */

void ca_context_close(clattn_context *ctx)
{
    if (!ctx) return;
    for (int k = 0; k < ctx->members; k++)
        if (ctx->member[k] != ctx) ca_context_close(ctx->member[k]);
    /* In a forked child OpenCL's objects are the parent's; on a hung device a release may never return. */
    bool forget = ctx->pid != getpid() || atomic_load(&ctx->hung);
    if (forget) ca_log(2, "the OpenCL objects of %s are left alone", ctx->dev.name);
    ca_programs_free(ctx, !forget);
    if (!forget && ctx->queue) ca_cl.ReleaseCommandQueue(ctx->queue);
    if (!forget && ctx->context) ca_cl.ReleaseContext(ctx->context);
    pthread_mutex_destroy(&ctx->lock);
    free(ctx);
}

/* The first one's reason counts. */
void ca_context_drop(clattn_context *ctx, const char *why)
{
    pthread_mutex_lock(&ctx->lock);
    if (!ca_context_dropped(ctx)) {
        snprintf(ctx->dropped, sizeof ctx->dropped, "%s", why);
        atomic_store(&ctx->is_dropped, true);
        ca_log(1, "%s is dropped: %s", ctx->dev.name, why);
    }
    pthread_mutex_unlock(&ctx->lock);
}

clattn_status ca_context_alive(const clattn_context *ctx)
{
    CA_REQUIRE(ctx->pid == getpid(), CLATTN_E_FORKED, "the context was made by process %ld before fork()",
               (long)ctx->pid);
    CA_REQUIRE(!atomic_load(&ctx->lost), CLATTN_E_DEVICE_LOST, "%s was lost in an earlier call", ctx->dev.name);
    return CLATTN_OK;
}

clattn_status ca_context_check_queue(const clattn_context *ctx, cl_command_queue queue)
{
    cl_context context;
    cl_device_id id;
    if (!queue || queue == ctx->queue) return CLATTN_OK;
    clattn_status st = queue_owner(queue, &context, &id);
    if (st != CLATTN_OK) return st;
    CA_REQUIRE(context == ctx->context && id == ctx->dev.id, CLATTN_E_ARGUMENT,
               "queue belongs to another context or device than %s", ctx->dev.name);
    return CLATTN_OK;
}

clattn_status ca_context_fail(clattn_context *ctx, cl_int code, const char *call, const char *what)
{
    clattn_status st = ca_cl_fail(code, call, what);
    if (!ca_cl_code_is_lost(code)) return st;
    atomic_store(&ctx->lost, true);
    ca_log(1, "%s was lost: %s", ctx->dev.name, ca_message());
    return CLATTN_E_DEVICE_LOST;
}
