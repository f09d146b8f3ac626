/* call.c -- checks the operands of an operation and runs it: on the host in place; on a device with buffers for what
 * lies on the host, whose outputs are copied back when all has succeeded, so that what fails leaves them untouched. */
#include "ops/ops.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/sized.h"
#include "host/host.h"
#include "plan/staging.h"

_Static_assert(offsetof(ca_op, eps) + sizeof(float) == sizeof(ca_op), "no padding at the end");

/* ----------------------------------------------------------------- operands */

static clattn_status check_shape(const char *name, const clattn_tensor *t, int64_t *count)
{
    CA_REQUIRE(t->rank >= 0 && t->rank <= 8, CLATTN_E_ARGUMENT, "%s: rank %d is not within 0 ... 8", name, t->rank);
    *count = 1;
    int64_t product = 1; /* of the axes that are not 0: any part of them can then be multiplied */
    for (int i = 0; i < t->rank; i++) {
        int64_t n = t->shape[i];
        CA_REQUIRE(n >= 0, CLATTN_E_ARGUMENT, "%s: shape[%d] is %lld", name, i, (long long)n);
        CA_REQUIRE(n == 0 || (ca_mul64(product, n, &product) && product <= PTRDIFF_MAX / 4), CLATTN_E_TOO_LARGE,
                   "%s: the axes up to shape[%d] = %lld have more elements than memory can hold", name, i,
                   (long long)n);
        *count *= n != 0;
    }
    *count *= product;
    return CLATTN_OK;
}

void ca_call_begin(struct ca_call *c, const struct ca_kernel *kernel)
{
    *c = (struct ca_call){ .kernel = kernel, .row = 1, .apart = 1 };
    for (int k = 0; k < CA_OPERANDS; k++) c->a.type[k] = -1;
}

clattn_status ca_operand(struct ca_call *c, int k, const char *name, const clattn_tensor *t, unsigned what)
{
    struct ca_operand *o = &c->o[k];
    clattn_status st;
    CA_REQUIRE(t || what & CA_OPTIONAL, CLATTN_E_ARGUMENT, "%s is NULL", name);
    if (!t) return CLATTN_OK;
    CA_TRY(ca_check_size(t, t->size, sizeof *t, name));
    bool right = what & CA_INDICES ? t->dtype == CLATTN_INT32 : (int)t->dtype >= CLATTN_F32 && t->dtype <= CLATTN_BF16;
    CA_REQUIRE(right, CLATTN_E_ARGUMENT, "%s: dtype %d, must be %s", name, (int)t->dtype,
               what & CA_INDICES ? "CLATTN_INT32" : "CLATTN_F32, CLATTN_F16 or CLATTN_BF16");
    int64_t count = 0;
    CA_TRY(check_shape(name, t, &count));
    size_t element = t->dtype == CLATTN_F32 || t->dtype == CLATTN_INT32 ? 4 : 2;
    uintptr_t at = t->mem ? t->offset : (uintptr_t)t->host;
    CA_REQUIRE(!t->host || !t->mem, CLATTN_E_ARGUMENT, "%s has host and mem, must have one of them", name);
    CA_REQUIRE(t->host || t->mem || count == 0, CLATTN_E_ARGUMENT, "%s has neither host nor mem, needs %zu bytes", name,
               (size_t)count * element);
    CA_REQUIRE(at % element == 0, CLATTN_E_ARGUMENT, "%s at %s %zu is not a multiple of its element's %zu bytes", name,
               t->mem ? "offset" : "address", (size_t)at, element);
    *o = (struct ca_operand){ .name = name, .count = count, .bytes = (size_t)count * element,
                              .output = (what & CA_OUTPUT) != 0 };
    memcpy(&o->t, t, sizeof o->t); /* the caller's may be of a later version, and longer */
    c->a.type[k] = (ca_int)t->dtype;
    c->a.at[k] = t->mem ? (ca_long)(t->offset / element) : 0;
done:
    return st;
}

void ca_operand_own(struct ca_call *c, int k, clattn_dtype dtype, void *data, int64_t count)
{
    c->o[k] = (struct ca_operand){ .name = "a table", .count = count, .bytes = (size_t)count * 4,
                                   .t = { .dtype = dtype, .rank = 1, .shape = { count }, .host = data } };
    c->a.type[k] = (ca_int)dtype;
}

clattn_status ca_shape_is(const struct ca_call *c, int k, int rank, const int64_t *shape, const char *why)
{
    const struct ca_operand *o = &c->o[k];
    if (!o->name) return CLATTN_OK;
    CA_REQUIRE(o->t.rank == rank, CLATTN_E_ARGUMENT, "%s has rank %d, must have %d: %s", o->name, o->t.rank, rank, why);
    for (int i = 0; i < rank; i++)
        CA_REQUIRE(o->t.shape[i] == shape[i], CLATTN_E_ARGUMENT, "%s: shape[%d] is %lld, must be %lld: %s", o->name, i,
                   (long long)o->t.shape[i], (long long)shape[i], why);
    return CLATTN_OK;
}

clattn_status ca_axis(const clattn_tensor *x, int axis, int *from_start)
{
    int rank = x->rank ? x->rank : 1; /* a scalar has the axis that it would have as a list of one */
    CA_REQUIRE(axis >= -rank && axis < rank, CLATTN_E_ARGUMENT, "axis is %d, x of rank %d has %d ... %d", axis, x->rank,
               -rank, rank - 1);
    *from_start = axis < 0 ? axis + rank : axis;
    return CLATTN_OK;
}

int64_t ca_elements(const clattn_tensor *t, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to && i < t->rank; i++) n *= t->shape[i];
    return n;
}

/* -------------------------------------------------------------------- checks */

static bool meet(const struct ca_operand *a, const struct ca_operand *b)
{
    if (!a->bytes || !b->bytes || a->t.mem != b->t.mem) return false;
    uintptr_t p = a->t.mem ? a->t.offset : (uintptr_t)a->t.host, q = b->t.mem ? b->t.offset : (uintptr_t)b->t.host;
    return p < q + b->bytes && q < p + a->bytes;
}

static bool same(const struct ca_operand *a, const struct ca_operand *b)
{
    return a->t.host == b->t.host && a->t.mem == b->t.mem && a->t.offset == b->t.offset && a->t.dtype == b->t.dtype;
}

static clattn_status check_overlaps(const struct ca_call *c)
{
    for (int i = 0; i < CA_OPERANDS; i++)
        for (int j = 0; j < CA_OPERANDS; j++) {
            const struct ca_operand *o = &c->o[i], *p = &c->o[j];
            if (i == j || !o->name || !p->name || !o->output) continue;
            bool here = (c->in_place && j == 0) || (c->reuse && i - j == c->reuse && j >= c->reusable);
            CA_REQUIRE(!meet(o, p) || (here && same(o, p)), CLATTN_E_ARGUMENT, "%s overlaps %s", o->name, p->name);
        }
    return CLATTN_OK;
}

static clattn_status check_memory(clattn_context *ctx, const struct ca_call *c, const clattn_launch *launch)
{
    clattn_status st = CLATTN_OK;
    bool host = ca_is_host(&ctx->dev);
    CA_REQUIRE(!launch || !launch->num_events == !launch->wait_list, CLATTN_E_ARGUMENT,
               "num_events is %u, but wait_list is %s", (unsigned)launch->num_events,
               launch->wait_list ? "not NULL" : "NULL");
    CA_REQUIRE(!launch || !host || (!launch->queue && !launch->num_events && !launch->event), CLATTN_E_UNSUPPORTED,
               "the context is the host's, it has no queue and no events");
    for (int k = 0; k < CA_OPERANDS; k++) {
        const struct ca_operand *o = &c->o[k];
        if (!o->name || !o->t.mem) continue;
        CA_REQUIRE(!host, CLATTN_E_UNSUPPORTED, "%s is in device memory, the context is the host's", o->name);
        CA_TRY(ca_buffer_holds(ctx, o->t.mem, o->t.offset, o->bytes, o->name));
    }
done:
    return st;
}

/* ---------------------------------------------------------------------- host */

int ca_call_threads(const struct ca_call *c)
{
    double work = (double)c->a.units * (double)c->row;
    return work < 32768 ? 1 : ca_host_threads(); /* less is done sooner than threads are woken */
}

static clattn_status run_host(clattn_context *ctx, const struct ca_call *c)
{
    void *t[CA_OPERANDS];
    for (int k = 0; k < CA_OPERANDS; k++) t[k] = c->o[k].t.host;
    if (c->work) return c->work->host(ctx, c, t);
    if (c->first && t[0] != t[3]) {
        ca_op a = c->a;
        a.units = a.n[5];
        c->first->host(t, &a, ca_call_threads(c));
    }
    c->kernel->host(t, &c->a, ca_call_threads(c));
    return CLATTN_OK;
}

/* -------------------------------------------------------------------- device */

/* Work-items that share a row: one where rows are short, or lie side by side in memory as the items then do. */
static int lanes_for(const struct device *dev, const struct ca_call *c)
{
    size_t group = ca_group_for(dev, 64);
    return c->row <= 16 || (c->apart >= (int64_t)group && c->row <= 1024) ? 1 : (int)group;
}

clattn_status ca_call_enqueue(clattn_context *ctx, const struct ca_call *c, const struct ca_kernel *kernel,
                              int64_t units, const cl_mem mem[CA_OPERANDS], struct chain *chain)
{
    int lanes = kernel->shared ? lanes_for(&ctx->dev, c) : 1;
    size_t group = lanes > 1 ? (size_t)lanes : ca_group_for(&ctx->dev, 64), items;
    double rounds = 4 * ((double)c->row / lanes + 1) + 32; /* norm's: four loops, and halving in its reductions */
    struct program *program;
    char options[32];
    ca_op a = c->a;
    clattn_status st = CLATTN_OK;

    if (units == 0) return CLATTN_OK;
    a.units = units;
    CA_REQUIRE(!(ctx->dev.quirks & CA_QUIRK_ROUNDS) || rounds <= CA_MAX_ROUNDS, CLATTN_E_UNSUPPORTED,
               "%s ends a work-item after %d rounds of its loops, rows of %lld take %.0f", ctx->dev.name, CA_MAX_ROUNDS,
               (long long)c->row, rounds);
    CA_REQUIRE((uint64_t)units <= SIZE_MAX && ca_mul((size_t)units, (size_t)lanes, &items) &&
                   ca_add(items, group - 1, &items),
               CLATTN_E_TOO_LARGE, "%lld units of %d work-items are too many", (long long)units, lanes);
    snprintf(options, sizeof options, "-DLANES=%d", lanes);
    CA_TRY(ca_program_get(ctx, kernel->source, options, &program));
    struct launch_arg args[CA_ITEM_OPERANDS + 1];
    for (int k = 0; k < CA_ITEM_OPERANDS; k++) args[k] = (struct launch_arg){ sizeof(cl_mem), &mem[k] };
    args[CA_ITEM_OPERANDS] = (struct launch_arg){ sizeof a, &a };
    const struct launch l = {
        .program = program, .kernel = kernel->name, .dims = 1, .global = { items - items % group }, .local = { group },
        .flops = 16 * (double)units * (double)c->row, .args = args, .num_args = CA_ITEM_OPERANDS + 1,
    };
    CA_TRY(ca_launch(ctx, &l, chain));
done:
    return st;
}

/* The operands' buffers: the caller's, or new ones, in OWN, of what lies on the host. */
static clattn_status stage(clattn_context *ctx, const struct ca_call *c, cl_mem mem[CA_OPERANDS],
                           cl_mem own[CA_OPERANDS])
{
    clattn_status st = CLATTN_OK;
    for (int k = 0; k < CA_OPERANDS; k++) {
        const struct ca_operand *o = &c->o[k];
        mem[k] = o->t.mem;
        if (!o->name || mem[k] || !o->bytes) continue;
        cl_mem_flags flags = o->output ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR;
        CA_TRY(ca_buffer_create(ctx, flags, o->bytes, o->output ? NULL : o->t.host, o->name, &own[k]));
        mem[k] = own[k];
    }
done:
    return st;
}

static clattn_status run_kernels(clattn_context *ctx, const struct ca_call *c, const cl_mem mem[CA_OPERANDS],
                                 struct chain *chain)
{
    cl_event marker;
    clattn_status st = CLATTN_OK;
    if (c->first && !(c->o[0].t.mem && same(&c->o[0], &c->o[3])))
        CA_TRY(ca_call_enqueue(ctx, c, c->first, c->a.n[5], mem, chain));
    if (c->work) CA_TRY(c->work->enqueue(ctx, c, mem, chain));
    else CA_TRY(ca_call_enqueue(ctx, c, c->kernel, c->a.units, mem, chain));
    if (chain->last) return CLATTN_OK;
    cl_int code = ca_cl.EnqueueMarkerWithWaitList(chain->queue, ca_chain_count(chain), ca_chain_list(chain), &marker);
    if (code != CL_SUCCESS) return ca_context_fail(ctx, code, "clEnqueueMarkerWithWaitList", NULL);
    ca_chain_advance(chain, marker);
done:
    return st;
}

static clattn_status map_outputs(clattn_context *ctx, const struct ca_call *c, const cl_mem own[CA_OPERANDS],
                                 void *mapped[CA_OPERANDS], struct chain *chain)
{
    for (int k = 0; k < CA_OPERANDS; k++) {
        cl_event e;
        cl_int code;
        if (!own[k] || !c->o[k].output) continue;
        mapped[k] = ca_cl.EnqueueMapBuffer(chain->queue, own[k], CL_FALSE, CL_MAP_READ, 0, c->o[k].bytes,
                                           ca_chain_count(chain), ca_chain_list(chain), &e, &code);
        if (!mapped[k]) return ca_context_fail(ctx, code, "clEnqueueMapBuffer", c->o[k].name);
        ca_chain_advance(chain, e);
    }
    return CLATTN_OK;
}

/* Waits for the unmapping too: Intel's CPU runtime does not survive a queue that is released before. */
static void unmap_outputs(clattn_context *ctx, const cl_mem own[CA_OPERANDS], void *const mapped[CA_OPERANDS],
                          struct chain *chain)
{
    cl_event e;
    bool any = false;
    for (int k = 0; k < CA_OPERANDS; k++) {
        if (!mapped[k]) continue;
        cl_int code = ca_cl.EnqueueUnmapMemObject(chain->queue, own[k], mapped[k], ca_chain_count(chain),
                                                  ca_chain_list(chain), &e);
        if (code == CL_SUCCESS) ca_chain_advance(chain, e);
        any = any || code == CL_SUCCESS;
    }
    if (any) (void)!ca_chain_wait(ctx, chain, 0);
}

static clattn_status run_device(clattn_context *ctx, const struct ca_call *c, const clattn_launch *launch)
{
    struct chain chain = { 0 };
    cl_mem mem[CA_OPERANDS], own[CA_OPERANDS] = { NULL };
    void *mapped[CA_OPERANDS] = { NULL };
    bool wait = !launch;
    clattn_status st;

    if (launch)
        chain = (struct chain){ .queue = launch->queue, .num_wait = launch->num_events, .wait = launch->wait_list };
    CA_TRY(ca_context_check_queue(ctx, chain.queue));
    bool own_queue = !chain.queue;
    if (own_queue) chain.queue = ctx->queue;
    CA_TRY(stage(ctx, c, mem, own));
    CA_TRY(run_kernels(ctx, c, mem, &chain));
    for (int k = 0; k < CA_OPERANDS; k++) wait = wait || (own[k] && c->o[k].output);
    if (wait) {
        CA_TRY(map_outputs(ctx, c, own, mapped, &chain));
        CA_TRY(ca_chain_wait(ctx, &chain, 16 * (double)c->a.units * (double)c->row));
        for (int k = 0; k < CA_OPERANDS; k++)
            if (mapped[k]) memcpy(c->o[k].t.host, mapped[k], c->o[k].bytes);
    } else if (own_queue) {
        ca_cl.Flush(chain.queue);
    }
done:
    if (ca_may_touch(ctx)) unmap_outputs(ctx, own, mapped, &chain);
    if (st == CLATTN_OK && launch && launch->event) { /* the caller's from now on */
        *launch->event = chain.last;
        chain.last = NULL;
    }
    for (int k = 0; k < CA_OPERANDS; k++) ca_buffer_release(ctx, own[k]); /* lives on until its last command is done */
    ca_chain_release(&chain);
    return st;
}

/* ----------------------------------------------------------------------- run */

clattn_status ca_call_run(clattn_context *ctx, struct ca_call *c, const clattn_launch *launch)
{
    clattn_status st;
    CA_TRY(ca_context_alive(ctx));
    if (launch) CA_TRY(ca_check_size(launch, launch->size, sizeof *launch, "clattn_launch"));
    CA_TRY(check_overlaps(c));
    CA_TRY(check_memory(ctx, c, launch));
    CA_TRY(ca_is_host(&ctx->dev) ? run_host(ctx, c) : run_device(ctx, c, launch));
done:
    return st;
}

void ca_call_free(struct ca_call *c)
{
    free(c->owned);
    c->owned = NULL;
}
