/* context.h -- an opened device: the struct behind clattn_context. */
#ifndef CA_CONTEXT_H
#define CA_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include "runtime/device.h"

struct program;

struct clattn_context {
    struct device dev;         /* bad_algos and tested change, under the lock */
    bool self_tests;           /* an algorithm that was not tested on the device is before it is planned */
    cl_context context;        /* NULL on the host, as is the queue */
    cl_command_queue queue;    /* our own, or the program's (retained) */
    pthread_mutex_t lock;      /* guards programs, bad_algos and tested */
    struct program *programs;  /* built so far, newest first */
    atomic_bool lost;          /* the device died: every call answers E_DEVICE_LOST */
    atomic_bool hung;          /* lost because it did not answer: not even a release is tried */
    pid_t pid;                 /* of the process that made it */
    char reason[256];          /* why this device */
    struct clattn_context *member[CA_MAX_MEMBERS]; /* of several devices: all of them, this one too; owned */
    double weight[CA_MAX_MEMBERS]; /* their shares' ratios, or 0: by speed */
    int members;               /* 0: one device */
    atomic_bool is_dropped;    /* it failed in the midst of others: not used any more */
    char dropped[256];         /* why */
    atomic_uint builds, cache_hits; /* programs compiled, and loaded from disk; for tests and the log */
};

/* Opens DEV (a device of the host, or of OpenCL with a new context and queue). */
clattn_status ca_context_open(const struct device *dev, clattn_context **ctx);
/* The same around existing objects, which are retained.  QUEUE may be NULL: a new one is made;
 * CONTEXT and ID may be NULL when there is a queue: they are the queue's. */
clattn_status ca_context_wrap(cl_context context, cl_device_id id, cl_command_queue queue, clattn_context **ctx);
void ca_context_close(clattn_context *ctx);
/* One of several that failed. */
void ca_context_drop(clattn_context *ctx, const char *why);
static inline bool ca_context_dropped(const clattn_context *ctx) { return atomic_load(&ctx->is_dropped); }
/* OK, or E_FORKED / E_DEVICE_LOST with a message. */
clattn_status ca_context_alive(const clattn_context *ctx);
/* OK when QUEUE is NULL or belongs to the context and its device, else E_ARGUMENT. */
clattn_status ca_context_check_queue(const clattn_context *ctx, cl_command_queue queue);
/* ca_cl_fail for calls whose failure may tell that the device died: then the context is marked as lost. */
clattn_status ca_context_fail(clattn_context *ctx, cl_int code, const char *call, const char *what);

#endif
