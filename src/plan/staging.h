/* staging.h -- device buffers for executions on ordinary memory, kept by the plan from one to the next. */
#ifndef CA_STAGING_H
#define CA_STAGING_H

#include "plan/plan.h"

/* The buffers of one execution in flight. */
struct stage {
    cl_mem mem[CA_SLOTS], workspace;
    cl_event ready;            /* of the last command that used them, or NULL */
    size_t bytes;
    struct stage *next;
};

clattn_status ca_staging_create(struct staging **staging);
void ca_staging_destroy(clattn_context *ctx, struct staging *staging);

/* Takes a stage that is not in use, or a new one without buffers. */
clattn_status ca_stage_take(const struct clattn_plan *plan, struct stage **s);
/* Gives it back; without KEEP (after a failure) its buffers are released. */
void ca_stage_give(const struct clattn_plan *plan, struct stage *s, bool keep);
/* Sees to it that *MEM, a field of S, is a buffer of BYTES; WHAT names it in messages. */
clattn_status ca_stage_buffer(const struct clattn_plan *plan, struct stage *s, cl_mem *mem, cl_mem_flags flags,
                              size_t bytes, const char *what);

/* A buffer, or E_TOO_LARGE when the device says that it cannot be. */
clattn_status ca_buffer_create(clattn_context *ctx, cl_mem_flags flags, size_t bytes, const void *host,
                               const char *what, cl_mem *mem);
/* E_ARGUMENT unless MEM, if not NULL, has BYTES at OFFSET. */
clattn_status ca_buffer_holds(clattn_context *ctx, cl_mem mem, size_t offset, size_t bytes, const char *name);
/* False where a call into OpenCL may never return: a hung device, a forked child. */
bool ca_may_touch(const clattn_context *ctx);
/* NULL-safe; where OpenCL may not be touched, without effect. */
void ca_buffer_release(clattn_context *ctx, cl_mem mem);

#endif
