/* launch.h -- the only place that enqueues kernels.  A launch is cut into pieces that each stay
 * within a time budget (watchdogs kill long kernels); pieces are chained by events, so that
 * in-order and out-of-order queues both serve. */
#ifndef CA_LAUNCH_H
#define CA_LAUNCH_H

#include "runtime/program.h"

/* The events of one execution: what to wait for, then the last command's event. */
struct chain {
    cl_command_queue queue;
    cl_uint num_wait;          /* the user's list, until the first command is enqueued */
    const cl_event *wait;
    cl_event last;             /* NULL before the first command; owned */
};
void ca_chain_advance(struct chain *c, cl_event e); /* takes E, drops the one before */
void ca_chain_release(struct chain *c);
/* The wait list to hand to the next command. */
static inline cl_uint ca_chain_count(const struct chain *c) { return c->last ? 1 : c->num_wait; }
static inline const cl_event *ca_chain_list(const struct chain *c)
{
    return c->last ? &c->last : c->num_wait ? c->wait : NULL;
}

struct launch_arg { size_t size; const void *value; };

struct launch {
    struct program *program;
    const char *kernel;
    cl_uint dims;
    size_t global[3], local[3]; /* global is a multiple of local; local[0] = 0: the device chooses */
    double flops;               /* of the whole launch, for the time budget */
    const struct launch_arg *args;
    cl_uint num_args;
};

/* Kernels must number their tiles by get_global_id(k) / get_local_size(k): group numbers restart
 * in every piece. */
clattn_status ca_launch(clattn_context *ctx, const struct launch *l, struct chain *c);

/* Blocks until the chain is done, with a deadline (CLATTN_TIMEOUT_MS, default 120 s beyond the
 * estimate): E_TIMEOUT or E_DEVICE_LOST mark the context as lost. */
clattn_status ca_chain_wait(clattn_context *ctx, struct chain *c, double flops);

/* A cautious guess of how long FLOPS take. */
double ca_seconds_expected(const struct device *d, double flops);
/* Seconds from an environment variable in milliseconds; OTHERWISE when it is not set or not a number. */
double ca_seconds_from(const char *variable, double otherwise);

#endif
