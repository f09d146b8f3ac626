/* launch.c -- sets arguments, cuts launches into pieces that respect the time budget, and enqueues them.
 *
 *     global size, in work-groups         pieces, each one NDRange with an offset
 *     . . . . . . . .                     [. . . . . . . .]   last dimension first: it is
 *     . . . . . . . .          -->        [. . . . . . . .]   usually batch and head
 *     . . . . . . . .                     [. . . . . . . .]
 */
#include "runtime/launch.h"
#include <math.h>
#include <stdio.h>

/* ------------------------------------------------------------------ budget */

/* How long one piece may run: watchdogs kill GPU kernels after seconds, and desktops freeze before. */
static double launch_budget(const struct device *d)
{
    double usual = ca_is_cpu_like(d) ? 2.0 : d->kernel_timeout ? 0.050 : 0.250;
    return ca_seconds_from("CLATTN_MAX_LAUNCH_MS", usual);
}

/* ------------------------------------------------------------------ pieces */

/* Dimension d consists of UNITS[d] indivisible units of WIDTH[d] work-items, STEP[d] units to a piece. */
struct cut { size_t width[3], units[3], step[3]; };

static void find_units(const struct launch *l, struct cut *cut)
{
    for (cl_uint d = 0; d < 3; d++) {
        size_t global = d < l->dims ? l->global[d] : 1;
        size_t local = d < l->dims && l->local[0] ? l->local[d] : 1;
        /* A device that chooses the group size itself needs something to choose from. */
        if (!l->local[0] && d == 0) local = global % 256 == 0 ? 256 : global % 64 == 0 ? 64 : global;
        cut->width[d] = local;
        cut->units[d] = cut->step[d] = global / local;
    }
}

/* Last dimensions first; pieces get as even as whole units allow. */
static void find_steps(const struct device *dev, double seconds, double budget, struct cut *cut)
{
    double groups = (double)cut->units[0] * (double)cut->units[1] * (double)cut->units[2];
    /* Fewer groups than the device works on at once are not done sooner. */
    double wanted = fmin(seconds / fmax(budget, 1e-6), groups / dev->compute_units);
    for (int d = 2; d >= 0 && wanted > 1; d--) {
        size_t units = cut->units[d];
        size_t most = (size_t)fmax(1, (double)units / wanted);   /* units that fit the budget, rounded down */
        size_t parts = (units + most - 1) / most;
        cut->step[d] = (units + parts - 1) / parts;
        wanted /= (double)parts;
    }
}

/* ----------------------------------------------------------------- enqueue */

static bool is_out_of_memory(cl_int code)
{
    return code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES ||
           code == CL_OUT_OF_HOST_MEMORY || code == CL_INVALID_BUFFER_SIZE;
}

/* Waits until everything on the queue is done (by all threads), with the usual deadline. */
static clattn_status drain(clattn_context *ctx, cl_command_queue queue)
{
    struct chain c = { .queue = queue };
    cl_event marker;
    cl_int code = ca_cl.EnqueueMarkerWithWaitList(queue, 0, NULL, &marker);
    if (code != CL_SUCCESS) return ca_context_fail(ctx, code, "clEnqueueMarkerWithWaitList", NULL);
    ca_chain_advance(&c, marker);
    clattn_status st = ca_chain_wait(ctx, &c, 0);
    ca_chain_release(&c);
    return st;
}

/* The user's events and queue may be at fault for what otherwise tells of a lost device. */
static clattn_status enqueue_failed(clattn_context *ctx, const struct launch *l, const struct chain *c, cl_int code)
{
    char what[256];
    clattn_status st = ca_context_check_queue(ctx, c->queue);
    if (st != CLATTN_OK) return st;
    snprintf(what, sizeof what, "%s, global %zux%zux%zu, local %zux%zux%zu", l->kernel, l->global[0],
             l->dims > 1 ? l->global[1] : 1, l->dims > 2 ? l->global[2] : 1, l->local[0],
             l->dims > 1 ? l->local[1] : 1, l->dims > 2 ? l->local[2] : 1);
    if (!c->last && c->num_wait) return ca_cl_fail(code, "clEnqueueNDRangeKernel", what);
    return ca_context_fail(ctx, code, "clEnqueueNDRangeKernel", what);
}

static clattn_status enqueue_piece(clattn_context *ctx, const struct launch *l, cl_kernel kernel,
                                   const size_t offset[3], const size_t size[3], struct chain *c)
{
    const size_t *local = l->local[0] ? l->local : NULL;
    cl_event event = NULL;
    cl_int code = CL_SUCCESS;
    for (int attempt = 0; attempt < 2; attempt++) {
        code = ca_cl.EnqueueNDRangeKernel(c->queue, kernel, l->dims, offset, size, local, ca_chain_count(c),
                                          ca_chain_list(c), &event);
        if (code == CL_SUCCESS) {
            ca_chain_advance(c, event);
            return CLATTN_OK;
        }
        /* Buffers are often placed only now: what runs on the queue may hold what is missing. */
        if (attempt || !is_out_of_memory(code)) break;
        ca_log(1, "%s: code %d from the device, trying again when its queue is empty", l->kernel, (int)code);
        clattn_status st = drain(ctx, c->queue);
        if (st != CLATTN_OK) return st;
    }
    return enqueue_failed(ctx, l, c, code);
}

static clattn_status enqueue_pieces(clattn_context *ctx, const struct launch *l, cl_kernel kernel,
                                    const struct cut *cut, struct chain *c)
{
    size_t at[3], offset[3], size[3];
    unsigned pieces = 0;
    clattn_status st = CLATTN_OK;
    for (at[2] = 0; at[2] < cut->units[2]; at[2] += cut->step[2])
        for (at[1] = 0; at[1] < cut->units[1]; at[1] += cut->step[1])
            for (at[0] = 0; at[0] < cut->units[0]; at[0] += cut->step[0]) {
                for (int d = 0; d < 3; d++) {
                    size_t left = cut->units[d] - at[d];
                    offset[d] = at[d] * cut->width[d];
                    size[d] = (left < cut->step[d] ? left : cut->step[d]) * cut->width[d];
                }
                CA_TRY(enqueue_piece(ctx, l, kernel, offset, size, c));
                /* The device starts while we enqueue the rest. */
                if (pieces++ == 0) ca_cl.Flush(c->queue);
            }
done:
    ca_log(4, "%s: %zux%zux%zu units in %u pieces", l->kernel, cut->units[0], cut->units[1], cut->units[2], pieces);
    return st;
}

static clattn_status set_args(clattn_context *ctx, const struct launch *l, cl_kernel kernel)
{
    char what[128];
    for (cl_uint i = 0; i < l->num_args; i++) {
        cl_int code = ca_cl.SetKernelArg(kernel, i, l->args[i].size, l->args[i].value);
        if (code == CL_SUCCESS) continue;
        snprintf(what, sizeof what, "%s, argument %u of %zu bytes", l->kernel, i, l->args[i].size);
        return ca_context_fail(ctx, code, "clSetKernelArg", what);
    }
    return CLATTN_OK;
}

clattn_status ca_launch(clattn_context *ctx, const struct launch *l, struct chain *c)
{
    cl_kernel kernel = NULL;
    struct cut cut;
    clattn_status st;

    CA_TRY(ca_context_alive(ctx));
    find_units(l, &cut);
    for (cl_uint d = 0; d < l->dims; d++) {
        CA_REQUIRE(cut.units[d] * cut.width[d] == l->global[d], CLATTN_E_INTERNAL,
                   "%s: global size %zu is no multiple of %zu in dimension %u", l->kernel, l->global[d],
                   cut.width[d], d);
        if (cut.units[d] == 0) return CLATTN_OK; /* nothing to do */
    }
    double budget = launch_budget(&ctx->dev);
    if (budget > 0) find_steps(&ctx->dev, ca_seconds_expected(&ctx->dev, l->flops), budget, &cut);
    CA_TRY(ca_kernel_take(ctx, l->program, l->kernel, &kernel));
    CA_TRY(set_args(ctx, l, kernel));
    CA_TRY(enqueue_pieces(ctx, l, kernel, &cut, c));
done:
    ca_kernel_give(ctx, l->program, l->kernel, kernel);
    return st;
}
