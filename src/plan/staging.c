/* staging.c -- the free list behind staging.h.  New memory costs page faults and driver calls, for small problems
 * more than the attention itself; so a plan keeps what it has used, within a limit. */
#include "plan/staging.h"
#include <stdlib.h>
#include <unistd.h>

#define CA_KEEP_BYTES ((size_t)64 << 20) /* idle device memory per plan */

struct staging {
    pthread_mutex_t lock;
    struct stage *idle;
    size_t idle_bytes;
};

bool ca_may_touch(const clattn_context *ctx) { return ctx->pid == getpid() && !atomic_load(&ctx->hung); }

clattn_status ca_buffer_create(clattn_context *ctx, cl_mem_flags flags, size_t bytes, const void *host,
                               const char *what, cl_mem *mem)
{
    cl_int code;
    CA_REQUIRE(!ctx->dev.max_alloc || bytes <= ctx->dev.max_alloc, CLATTN_E_TOO_LARGE,
               "%s of %zu bytes exceeds the largest buffer of %s, %llu", what, bytes, ctx->dev.name,
               (unsigned long long)ctx->dev.max_alloc);
    *mem = ca_cl.CreateBuffer(ctx->context, flags, bytes, (void *)(uintptr_t)host, &code);
    return *mem ? CLATTN_OK : ca_context_fail(ctx, code, "clCreateBuffer", what);
}

clattn_status ca_buffer_holds(clattn_context *ctx, cl_mem mem, size_t offset, size_t bytes, const char *name)
{
    size_t size = 0;
    if (!mem) return CLATTN_OK;
    cl_int code = ca_cl.GetMemObjectInfo(mem, CL_MEM_SIZE, sizeof size, &size, NULL);
    if (code != CL_SUCCESS) return ca_context_fail(ctx, code, "clGetMemObjectInfo", name);
    CA_REQUIRE(offset <= size && bytes <= size - offset, CLATTN_E_ARGUMENT,
               "%s needs %zu bytes at offset %zu, its buffer has %zu", name, bytes, offset, size);
    return CLATTN_OK;
}

void ca_buffer_release(clattn_context *ctx, cl_mem mem)
{
    if (mem && ca_may_touch(ctx)) ca_cl.ReleaseMemObject(mem);
}

static void free_stage(clattn_context *ctx, struct stage *s)
{
    if (!s) return;
    struct chain last = { .queue = ctx->queue, .last = s->ready };
    /* Intel's CPU runtime does not survive a queue that is released while its last command ends. */
    if (s->ready && ca_may_touch(ctx) && !atomic_load(&ctx->lost)) (void)!ca_chain_wait(ctx, &last, 0);
    for (int i = 0; i < CA_SLOTS; i++) ca_buffer_release(ctx, s->mem[i]);
    ca_buffer_release(ctx, s->workspace);
    if (s->ready && ca_may_touch(ctx)) ca_cl.ReleaseEvent(s->ready);
    free(s);
}

clattn_status ca_staging_create(struct staging **staging)
{
    struct staging *g = calloc(1, sizeof *g);
    if (!g) return ca_no_memory(sizeof *g, "staging buffers");
    if (pthread_mutex_init(&g->lock, NULL)) {
        free(g);
        return ca_fail(CLATTN_E_MEMORY, "no memory for a lock");
    }
    *staging = g;
    return CLATTN_OK;
}

void ca_staging_destroy(clattn_context *ctx, struct staging *staging)
{
    if (!staging) return;
    while (staging->idle) {
        struct stage *s = staging->idle;
        staging->idle = s->next;
        free_stage(ctx, s);
    }
    pthread_mutex_destroy(&staging->lock);
    free(staging);
}

clattn_status ca_stage_take(const struct clattn_plan *plan, struct stage **s)
{
    struct staging *g = plan->staging;
    pthread_mutex_lock(&g->lock);
    *s = g->idle;
    if (*s) {
        g->idle = (*s)->next;
        g->idle_bytes -= (*s)->bytes;
    }
    pthread_mutex_unlock(&g->lock);
    if (!*s) *s = calloc(1, sizeof **s);
    return *s ? CLATTN_OK : ca_no_memory(sizeof **s, "staging buffers");
}

void ca_stage_give(const struct clattn_plan *plan, struct stage *s, bool keep)
{
    struct staging *g = plan->staging;
    if (!s) return;
    pthread_mutex_lock(&g->lock);
    keep = keep && s->bytes <= CA_KEEP_BYTES - g->idle_bytes;
    if (keep) {
        s->next = g->idle;
        g->idle = s;
        g->idle_bytes += s->bytes;
    }
    pthread_mutex_unlock(&g->lock);
    if (!keep) free_stage(plan->ctx, s);
}

clattn_status ca_stage_buffer(const struct clattn_plan *plan, struct stage *s, cl_mem *mem, cl_mem_flags flags,
                              size_t bytes, const char *what)
{
    if (*mem) return CLATTN_OK;
    clattn_status st = ca_buffer_create(plan->ctx, flags, bytes, NULL, what, mem);
    if (st == CLATTN_OK) s->bytes += bytes;
    return st;
}
