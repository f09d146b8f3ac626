/* wait.c -- the chain of events of one execution, and waiting for its end with a deadline: on a hung GPU
 * clFinish never returns. */
#define _GNU_SOURCE
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"
#include "runtime/launch.h"

#define SPIN_SECONDS 100e-6        /* watch closely at first: small problems take microseconds */
#define SPIN_SECONDS_CPU 20e-6     /* where watching takes a core from the kernel */
#define HELPER_STACK (8ul << 20)   /* kernels may run on it */

/* A kernel may be this much slower than the device's measured rate: that was the best kernel at its best. */
#define CAUTION 4.0

/* --------------------------------------------------------------- durations */

double ca_seconds_expected(const struct device *d, double flops)
{
    /* When nothing was measured: GFLOP/s slower than any device of the class that we know of. */
    static const double cautious[] = {
        [CLATTN_CLASS_HOST] = 1, [CLATTN_CLASS_CPU] = 1, [CLATTN_CLASS_IGPU] = 10, [CLATTN_CLASS_DGPU] = 50,
        [CLATTN_CLASS_ACC] = 1, [CLATTN_CLASS_SIMULATED] = 0.001,
    };
    double rate = d->gflops > 0 ? d->gflops / CAUTION : cautious[d->kind];
    return flops > 0 ? flops / (1e9 * rate) : 0;
}

double ca_seconds_from(const char *variable, double otherwise)
{
    const char *text = ca_getenv(variable);
    char *end;
    double ms = text ? strtod(text, &end) : -1;
    return text && end != text && *end == 0 && ms >= 0 ? 1e-3 * ms : otherwise;
}

/* ------------------------------------------------------------------- chain */

void ca_chain_advance(struct chain *c, cl_event e)
{
    if (c->last) ca_cl.ReleaseEvent(c->last);
    c->last = e;
}

void ca_chain_release(struct chain *c)
{
    if (c->last) ca_cl.ReleaseEvent(c->last);
    c->last = NULL;
}

/* ------------------------------------------------------------------ helper */

/* A thread that sits in clWaitForEvents for us, so that we can give up at the deadline.  On CPU devices this
 * beats looking again and again: Intel's runtime works on kernels in the thread that waits, and with 2 cores
 * is half as fast without it; and nobody takes a core from the kernel.  Costs about 30 us. */
struct helper {
    cl_event event;         /* retained */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;              /* under the lock */
};

static void *help(void *argument)
{
    struct helper *h = argument;
    ca_cl.WaitForEvents(1, &h->event); /* how it ended is asked of the event */
    pthread_mutex_lock(&h->lock);
    h->done = true;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* The application's signals are none of our thread's business. */
static bool start_helper(struct helper *h)
{
    sigset_t all, before;
    pthread_attr_t attr;
    if (pthread_attr_init(&attr)) return false;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool ok = pthread_attr_setstacksize(&attr, HELPER_STACK) == 0 && pthread_create(&h->thread, &attr, help, h) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return ok;
}

static struct helper *new_helper(cl_event event)
{
    struct helper *h = calloc(1, sizeof *h);
    pthread_condattr_t attr;
    if (!h || pthread_condattr_init(&attr)) {
        free(h);
        return NULL;
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, &attr);
    pthread_condattr_destroy(&attr);
    h->event = event;
    if (ca_cl.RetainEvent(event) != CL_SUCCESS) event = NULL;
    if (event && start_helper(h)) return h;
    if (event) ca_cl.ReleaseEvent(event);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
    return NULL;
}

/* Waits for EVENT, SECONDS at most.  A helper that does not come back is abandoned, with its memory. */
static void wait_by_helper(cl_event event, double seconds)
{
    double end = ca_now() + seconds;
    struct timespec t = { (time_t)end, (long)(1e9 * (end - floor(end))) };
    struct helper *h = new_helper(event);
    int late = 0;
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    while (!h->done && !late) late = pthread_cond_timedwait(&h->changed, &h->lock, &t);
    bool done = h->done;
    pthread_mutex_unlock(&h->lock);
    if (!done) {
        pthread_detach(h->thread);
        return;
    }
    pthread_join(h->thread, NULL);
    ca_cl.ReleaseEvent(h->event);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* -------------------------------------------------------------------- wait */

/* Does the kernel run on this process's own cores? */
static bool runs_here(const struct device *d)
{
    return d->kind == CLATTN_CLASS_CPU || d->kind == CLATTN_CLASS_SIMULATED;
}

/* The pause grows with what has passed: it adds little to any duration. */
static void nap(double waited)
{
    struct timespec t = { 0, (long)(1e9 * fmin(fmax(waited / 16, 20e-6), 1e-3)) };
    nanosleep(&t, NULL);
}

clattn_status ca_chain_wait(clattn_context *ctx, struct chain *c, double flops)
{
    double start = ca_now();
    double patience = ca_seconds_from("CLATTN_TIMEOUT_MS", 120) + ca_seconds_expected(&ctx->dev, flops);
    bool here = runs_here(&ctx->dev), helped = false;
    cl_int state = CL_QUEUED, code;

    if (!c->last) return CLATTN_OK;
    code = ca_cl.Flush(c->queue);
    if (code != CL_SUCCESS) return ca_context_fail(ctx, code, "clFlush", NULL);
    for (;;) {
        code = ca_cl.GetEventInfo(c->last, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
        if (code != CL_SUCCESS) return ca_context_fail(ctx, code, "clGetEventInfo", NULL);
        if (state == CL_COMPLETE) return CLATTN_OK;
        if (state < 0) return ca_context_fail(ctx, state, "execution of a kernel", ctx->dev.name);
        double waited = ca_now() - start;
        if (waited > patience) break;
        if (waited < (here ? SPIN_SECONDS_CPU : SPIN_SECONDS)) sched_yield();
        else if (here && !helped) wait_by_helper(c->last, patience - waited);
        else nap(waited);
        helped = waited >= SPIN_SECONDS_CPU;
    }
    atomic_store(&ctx->lost, true);
    atomic_store(&ctx->hung, true);
    return ca_fail(CLATTN_E_TIMEOUT, "%s did not finish within %.1f s (CLATTN_TIMEOUT_MS)", ctx->dev.name, patience);
}
