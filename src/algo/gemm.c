/* gemm.c -- the unfused reference path: S = scale Q K^T and O = P V by CLBlast, a softmax over whole rows
 * between them.  Everything is packed to f32 in the workspace first, so any storage type and any strides do;
 * cl/gemm.h shows the parts.  The workspace is bounded: the work goes in chunks of (batch, KV head) units and
 * of query rows.  (CLBlast takes about as much again where its own kernels want padded matrices.)
 *
 * CLBlast enqueues its own kernels, the one exception to launch.c.  It takes no wait list: an in-order queue needs
 * none (packing always comes first), on another a barrier that waits for the chain stands before each product.
 * Its kernels index with 32 bits, which the bound on the workspace keeps them within. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include <stddef.h>
#include <string.h>
#include "algo/algo.h"
#include "gemm.h"
#ifdef HAVE_CLBLAST
#include <clblast_c.h>
#endif

enum { WG };                           /* params */
enum { PARTS = 7, ALIGN = 64 };        /* of the workspace; floats */
#define BUDGET ((size_t)256 << 20)

_Static_assert(offsetof(ca_gemm, unused) + sizeof(ca_int) == sizeof(ca_gemm), "no padding at the end");

/* The sizes of a chunk that fits the budget; units 0 when not even one row does. */
struct chunk { int64_t units, rows; ca_gemm at; size_t floats; };

static int64_t unit_floats(const struct problem *p) { return p->Nk * (p->D + p->Dv) + 1; }
static int64_t row_floats(const struct problem *p) { return p->Hq / p->Hkv * (p->D + p->Nk + p->Dv + 1); }

static struct chunk chunk_of(const struct problem *p, const struct device *dev)
{
    struct chunk c = { 0, 0, { 0 }, 0 };
    int64_t budget = ca_min(BUDGET, (int64_t)(dev->max_alloc / 4)) / (int64_t)sizeof(float) - PARTS * ALIGN;
    int64_t left = budget - unit_floats(p), group = p->Hq / p->Hkv;
    if (left < row_floats(p)) return c;
    c.rows = ca_min(p->Nq, left / row_floats(p));
    c.units = ca_min(p->B * p->Hkv, budget / (unit_floats(p) + c.rows * row_floats(p)));

    int64_t m = c.units * group * c.rows;
    const int64_t size[PARTS] = { m * p->D, c.units * p->Nk * p->D, c.units * p->Nk * p->Dv, m * p->Nk, m * p->Dv, m,
                                  c.units };
    ca_int *at[PARTS] = { &c.at.q, &c.at.k, &c.at.v, &c.at.s, &c.at.o, &c.at.l, &c.at.flag };
    int64_t next = 0;
    for (int i = 0; i < PARTS; i++) {
        *at[i] = (ca_int)next;
        next += ca_round_up(size[i], ALIGN);
    }
    c.floats = (size_t)next;
    return c;
}

static const char *legal(const struct problem *p, const struct device *dev, char why[128])
{
#ifndef HAVE_CLBLAST
    (void)p, (void)dev, (void)why;
    return "built without CLBlast";
#else
    if (ca_is_host(dev)) return "needs an OpenCL device";
    if (ca_problem_empty(p)) return "nothing to multiply";
    if (ca_problem_special(p)) return "its elements are loaded as they are: no quantised keys, rotary embedding or other scores";
    if (p->ragged || p->page_size) return "ragged and paged keys are no matrices";
    if (chunk_of(p, dev).units) return NULL;
    snprintf(why, 128, "one head's keys and values do not fit a workspace of %zu MiB",
             (size_t)ca_min(BUDGET, (int64_t)(dev->max_alloc / 4)) >> 20);
    return why;
#endif
}

static void defaults(const struct problem *p, const struct device *dev, struct params *t)
{
    size_t most = ca_is_cpu_like(dev) ? 16 : 128, n = 1;
    if (most > dev->max_group) most = dev->max_group;
    if (most > dev->max_items[0]) most = dev->max_items[0];
    while (2 * n <= most && (int64_t)n < p->Nk) n *= 2;
    t->v[WG] = (int)n;
}

static const char *check(const struct problem *p, const struct device *dev, const struct params *t, char why[128])
{
    (void)p;
    int n = t->v[WG];
    if (n >= 1 && (n & (n - 1)) == 0 && (size_t)n <= dev->max_group && (size_t)n <= dev->max_items[0] &&
        (size_t)n * sizeof(float) <= dev->local_bytes)
        return NULL;
    snprintf(why, 128, "wg=%d is no power of two up to the device's %zu", n, dev->max_group);
    return why;
}

/* CLBlast's generic kernels: a block of registers for each step of the inner dimension. */
static double rounds(const struct problem *p, const struct params *t)
{
    (void)t;
    return 80 * (double)ca_max(p->Nk, p->D);
}

/* All pairs are computed, masked or not, and the scores go through memory four times; CLBlast is known to be
 * good on discrete GPUs only. */
static double cost(const struct problem *p, const struct device *dev, const struct params *t)
{
    (void)t;
    /* The scores go through memory three times; the library's generic GEMM rarely beats a fused kernel. */
    double score_bytes = 3 * 4.0 * (double)(p->B * p->Hq) * (double)p->Nq * (double)p->Nk;
    return ca_flops_ms(p, dev) / ca_pattern_share(p, 1) * (ca_is_cpu_like(dev) ? 60 : 15) + score_bytes / 20e6 + 0.5;
}

static void options(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size)
{
    (void)dev;
    int n = ca_feature_options(p, text, size);
    snprintf(text + n, size - (size_t)n, " -DWG=%d", t->v[WG]);
}

static size_t workspace(const struct problem *p, const struct device *dev, const struct params *t)
{
    (void)t;
    return chunk_of(p, dev).floats * sizeof(float);
}

/* ---------------------------------------------------------------- one execution */

#ifdef HAVE_CLBLAST

struct run {
    const struct clattn_plan *plan;
    const struct io *io;
    struct chain *chain;
    cl_mem work;
    ca_args a;
    ca_gemm g;
};

/* Enqueues KERNEL over ROWS rows of WIDTH elements; MEM are its buffers, before the two structs. */
static clattn_status launch(const struct run *r, const char *kernel, const cl_mem *mem, cl_uint mems, int64_t width,
                            size_t local, int64_t rows)
{
    struct launch_arg args[CA_MAX_ARGS];
    for (cl_uint i = 0; i < mems; i++) args[i] = (struct launch_arg){ sizeof(cl_mem), &mem[i] };
    args[mems] = (struct launch_arg){ sizeof r->a, &r->a };
    args[mems + 1] = (struct launch_arg){ sizeof r->g, &r->g };
    struct launch l = { .program = r->plan->program, .kernel = kernel, .dims = 2,
                        .global = { (size_t)ca_round_up(width, (int64_t)local), (size_t)rows, 1 },
                        .local = { local, 1, 1 },
                        .flops = 10.0 * (double)rows * (double)ca_max(width, r->a.Nk), .args = args,
                        .num_args = mems + 2 };
    return ca_launch(r->plan->ctx, &l, r->chain);
}

/* Holds back what comes next until the chain is done, where the queue does not do so by itself. */
static clattn_status hold_back(struct chain *c)
{
    cl_command_queue_properties order = 0;
    cl_event event;
    clattn_status st;
    CA_TRY(CA_CL(GetCommandQueueInfo, c->queue, CL_QUEUE_PROPERTIES, sizeof order, &order, NULL));
    if (!(order & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)) return CLATTN_OK;
    CA_TRY(CA_CL(EnqueueBarrierWithWaitList, c->queue, ca_chain_count(c), ca_chain_list(c), &event));
    ca_chain_advance(c, event);
done:
    return st;
}

/* C [m][n] = alpha A [m][k] B, for each unit; B is [n][k], transposed, or [k][n].  A, B, C are positions in the
 * workspace. */
static clattn_status product(const struct run *r, CLBlastTranspose b_order, int64_t m, int64_t n, int64_t k,
                             float alpha, int a, int b, int c)
{
    struct chain *ch = r->chain;
    cl_event event = NULL;
    CA_REQUIRE(r->g.base < INT32_MAX - (ca_long)(BUDGET / sizeof(float)), CLATTN_E_TOO_LARGE,
               "workspace.offset %lld is more than CLBlast can count", (long long)r->g.base * (long long)sizeof(float));
    clattn_status st = hold_back(ch);
    if (st) return st;

    size_t at = (size_t)r->g.base, ldb = (size_t)(b_order == CLBlastTransposeYes ? k : n);
    CLBlastStatusCode code = CLBlastSgemmStridedBatched(
        CLBlastLayoutRowMajor, CLBlastTransposeNo, b_order, (size_t)m, (size_t)n, (size_t)k, alpha,
        r->work, at + (size_t)a, (size_t)k, (size_t)(m * k), r->work, at + (size_t)b, ldb, (size_t)(n * k), 0.f,
        r->work, at + (size_t)c, (size_t)n, (size_t)(m * n), (size_t)r->g.units, &ch->queue, &event);
    if (code != CLBlastSuccess) {
        if (code > -1000) return ca_cl_fail((cl_int)code, "CLBlastSgemmStridedBatched", NULL);
        return ca_fail(CLATTN_E_UNSUPPORTED, "CLBlastSgemmStridedBatched failed with %d (m %lld, n %lld, k %lld)",
                       (int)code, (long long)m, (long long)n, (long long)k);
    }
    ca_chain_advance(ch, event);
    return CLATTN_OK;
}

/* The query rows of the chunk: its keys and values are packed already. */
static clattn_status do_rows(const struct run *r)
{
    const struct problem *p = &r->plan->p;
    const struct device *dev = &r->plan->ctx->dev;
    const struct tensor *t = r->io->t;
    int64_t per_unit = (int64_t)r->a.group * r->g.rows, m = per_unit * r->g.units;
    clattn_status st;
    const cl_mem pack[] = { t[CA_Q].mem, r->work };
    const cl_mem finish[] = { r->work, t[CA_V].mem, t[CA_OUT].mem };
    cl_mem soft[2 + CA_OPTIONAL_END - CA_QOFF] = { r->work, t[CA_LSE].mem };
    const int end = ca_optional_end(p);
    for (int s = CA_QOFF; s < end; s++) soft[2 + s - CA_QOFF] = t[s].mem;

    CA_TRY(launch(r, "gemm_pack_q", pack, 2, p->D, ca_group_for(dev, p->D), m));
    CA_TRY(product(r, CLBlastTransposeYes, per_unit, p->Nk, p->D, p->scale, r->g.q, r->g.k, r->g.s));
    CA_TRY(launch(r, "gemm_softmax", soft, (cl_uint)(2 + end - CA_QOFF), r->plan->params.v[WG], (size_t)r->plan->params.v[WG], m));
    CA_TRY(product(r, CLBlastTransposeNo, per_unit, p->Dv, p->Nk, 1.f, r->g.s, r->g.v, r->g.o));
    CA_TRY(launch(r, "gemm_finish", finish, 3, p->Dv, ca_group_for(dev, p->Dv), m));
done:
    return st;
}

static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    const struct problem *p = &plan->p;
    const struct device *dev = &plan->ctx->dev;
    struct chunk chunk = chunk_of(p, dev);
    struct run r = { plan, io, c, io->workspace.mem, { 0 }, chunk.at };
    clattn_status st = CLATTN_OK;
    const cl_mem pack_k[] = { io->t[CA_K].mem, r.work }, pack_v[] = { io->t[CA_V].mem, r.work };

    ca_io_args(p, io, &r.a);
    r.g.base = (ca_long)(io->workspace.offset / sizeof(float));
    for (int64_t unit = 0; unit < p->B * p->Hkv; unit += chunk.units) {
        r.g.unit0 = (ca_int)unit;
        r.g.units = (ca_int)ca_min(chunk.units, p->B * p->Hkv - unit);
        CA_TRY(launch(&r, "gemm_pack_k", pack_k, 2, p->D, ca_group_for(dev, p->D), r.g.units * p->Nk));
        CA_TRY(launch(&r, "gemm_pack_v", pack_v, 2, p->Dv, ca_group_for(dev, p->Dv), r.g.units * p->Nk));
        for (int64_t row = 0; row < p->Nq; row += chunk.rows) {
            r.g.row0 = (ca_int)row;
            r.g.rows = (ca_int)ca_min(chunk.rows, p->Nq - row);
            CA_TRY(do_rows(&r));
        }
    }
done:
    return st;
}
#else
static clattn_status enqueue(const struct clattn_plan *plan, const struct io *io, struct chain *c)
{
    (void)plan, (void)io, (void)c;
    return ca_fail(CLATTN_E_UNSUPPORTED, "built without CLBlast");
}
#endif

const struct algo ca_algo_gemm = {
    .name = "gemm", .source = "gemm", .params = { PARAM("wg", "work-items of the softmax's group", 1, 2, 4, 8, 16, 32, 64, 128, 256) }, .legal = legal, .defaults = defaults, .check = check,
    .rounds = rounds, .cost = cost, .options = options, .workspace = workspace, .enqueue = enqueue,
};
