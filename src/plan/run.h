/* run.h -- an execution on ordinary memory in its three steps, so that several can be in flight. */
#ifndef CA_RUN_H
#define CA_RUN_H

#include "plan/staging.h"

/* Where inputs are used in place, ranges that meet (q, k, v packed in one tensor; k that is also v) must be one
 * buffer: OpenCL leaves it undefined what two buffers on the same memory do. */
struct span { uintptr_t from, to; cl_mem mem; };

struct ca_run {
    const struct clattn_plan *plan;
    struct io host;            /* the caller's memory */
    struct io dev;
    struct chain c;
    struct stage *stage;
    struct span span[CA_SLOTS];
    void *mapped[CA_SLOTS];
    bool done;                 /* the outputs are there */
};

/* Enqueues all; on the host, nothing.  Whatever it returns, ca_run_end must follow. */
clattn_status ca_run_begin(const struct clattn_plan *plan, const struct io *io, struct ca_run *r);
/* Waits; on the host, computes, straight into the outputs. */
clattn_status ca_run_wait(struct ca_run *r);
/* With COMMIT, after a wait that succeeded, copies the outputs to the caller's memory; gives everything back. */
void ca_run_end(struct ca_run *r, bool commit);

#endif
