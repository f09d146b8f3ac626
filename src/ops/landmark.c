/* landmark.c -- attention that goes through few keys: linformer projects the sequence of keys to P of them; nystrom makes m landmarks
 * of q and of k and joins three small attentions:
 *
 *     out = softmax(q k'^T) Z softmax(q' k^T) v      Z = the inverse of softmax(q' k'^T), by six steps of iteration
 *
 * Both are sequences of steps: kernels of element.cl and norm.cl, and plans of ordinary attention, all in f32 between the tensors. */
#include "ops/ops.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "plan/staging.h"

enum { Q, K, V, E, F, OUT, MOST_TEMPORARIES = 13, STEPS = 6 };

/* What a call is, kept in its `owned`. */
struct landmark { int64_t B, H, Nq, Nk, D, Dv, m; bool bshd, shared_f; float scale; int64_t heads[2]; /* of e, f */ size_t bytes; /* of the last run */ };

/* Where a tensor's numbers are. */
struct place { cl_mem mem; void *host; ca_long at; clattn_dtype type; };

struct machine {
    clattn_context *ctx;
    const struct ca_call *c;
    struct chain *chain;            /* NULL on the host */
    struct place operand[CA_OPERANDS], temporary[MOST_TEMPORARIES];
    int count;
    size_t bytes;                   /* of what is made on the way */
};

static clattn_status temporary(struct machine *m, int64_t count, struct place **p)
{
    *p = &m->temporary[m->count];
    **p = (struct place){ .type = CLATTN_F32 };
    m->count++;
    size_t bytes = (size_t)(count > 0 ? count : 1) * sizeof(float);
    m->bytes += bytes;
    if (m->chain) return ca_buffer_create(m->ctx, CL_MEM_READ_WRITE, bytes, NULL, "an intermediate result", &(*p)->mem);
    (*p)->host = malloc(bytes);
    return (*p)->host ? CLATTN_OK : ca_no_memory(bytes, "an intermediate result");
}

/* UNITS of KERNEL, each of ROW numbers, on the places p, with the sizes and flags of A. */
static clattn_status step(struct machine *m, const struct ca_kernel *kernel, int64_t units, int64_t row, const ca_op *sizes,
                          const struct place *const p[CA_ITEM_OPERANDS])
{
    struct ca_call c = { .kernel = kernel, .a = *sizes, .row = row, .apart = 1 };
    cl_mem mem[CA_OPERANDS] = { NULL };
    void *t[CA_OPERANDS] = { NULL };
    c.a.units = units;
    for (int k = 0; k < CA_OPERANDS; k++) c.a.type[k] = -1;
    for (int k = 0; k < CA_ITEM_OPERANDS; k++) {
        if (!p[k]) continue;
        c.a.type[k] = (ca_int)p[k]->type, c.a.at[k] = p[k]->at;
        mem[k] = p[k]->mem, t[k] = p[k]->host;
    }
    if (m->chain) return ca_call_enqueue(m->ctx, &c, kernel, units, mem, m->chain);
    kernel->host(t, &c.a, ca_call_threads(&c));
    return CLATTN_OK;
}

static clattn_status convert(struct machine *m, const struct place *from, const struct place *to, int64_t count)
{
    return step(m, &ca_k_convert, count, 1, &(ca_op){ .n[5] = count }, (const struct place *const[CA_ITEM_OPERANDS]){ from, [3] = to });
}

static clattn_status as_f32(struct machine *m, int k, int64_t count, struct place **p)
{
    clattn_status st = temporary(m, count, p);
    return st == CLATTN_OK ? convert(m, &m->operand[k], *p, count) : st;
}

/* How far a batch row, a head and a row of [B,H,N,D] or [B,N,H,D] are apart. */
static clattn_strides strides_of(const struct landmark *l, bool bshd, int64_t N, int64_t D)
{
    return (clattn_strides){ l->H * N * D, bshd ? D : N * D, bshd ? l->H * D : D, 1 };
}
static void put_strides(const struct landmark *l, bool bshd, int64_t N, int64_t D, ca_long n[3])
{
    const clattn_strides s = strides_of(l, bshd, N, D);
    n[0] = s.batch, n[1] = s.head, n[2] = s.row;
}

/* out = c I + x a b, of rows M, columns N, inner K; a's repeat after each A of them. */
struct product { int64_t M, N, K, A; ca_long b[3]; int c, turned; float x; };
static clattn_status multiply(struct machine *m, const struct landmark *l, struct product s, const struct place *a, const struct place *b,
                              const struct place *out)
{
    const ca_op op = { .n = { s.M, s.N, s.K, s.A, l->H, s.b[0], s.b[1], s.b[2] }, .flag = { s.c, s.turned }, .eps = s.x };
    return step(m, &ca_k_matmul, l->B * l->H * s.M * s.N, s.K, &op, (const struct place *const[CA_ITEM_OPERANDS]){ a, b, out });
}

/* An attention of packed heads, of q and out perhaps [B,N,H,D]. */
static clattn_status attend(struct machine *m, const struct landmark *l, int64_t Nq, bool q_bshd, int64_t Nk, bool kv_bshd, const struct place *q,
                            const struct place *k, const struct place *v, const struct place *out)
{
    clattn_attention a;
    struct problem p;
    struct clattn_plan *plan = NULL;
    clattn_status st;
    ca_attention_defaults(&a);
    a.batch = l->B, a.q_heads = l->H, a.q_len = Nq, a.kv_len = Nk, a.head_dim = l->D, a.v_dim = l->Dv, a.scale = l->scale;
    a.q = strides_of(l, q_bshd, Nq, l->D), a.k = strides_of(l, kv_bshd, Nk, l->D), a.v = strides_of(l, kv_bshd, Nk, l->Dv);
    a.out = strides_of(l, q_bshd, Nq, l->Dv);
    CA_TRY(ca_problem_init(&p, &a));
    CA_TRY(ca_plan_create(m->ctx, &p, NULL, NULL, &plan));
    m->bytes += plan->workspace;
    struct io io = { .workspace.mem = NULL };
    const struct place *const places[] = { [CA_Q] = q, [CA_K] = k, [CA_V] = v, [CA_OUT] = out };
    for (int s = CA_Q; s <= CA_OUT; s++) io.t[s] = (struct tensor){ .mem = places[s]->mem, .host = places[s]->host };
    st = m->chain ? ca_plan_enqueue(plan, &io, m->chain) : ca_plan_run_host(plan, &io);
done:
    ca_plan_destroy(plan);
    return st;
}

/* ------------------------------------------------------------------- linformer */

static clattn_status linformer(struct machine *m, const struct landmark *l)
{
    const int64_t P = l->m, heads = l->B * l->H;
    struct place *q, *k, *v, *out;
    struct product s = { P, l->D, l->Nk, l->heads[0], .x = 1 };
    clattn_status st;
    CA_TRY(as_f32(m, Q, heads * l->Nq * l->D, &q));
    CA_TRY(temporary(m, heads * P * l->D, &k));
    CA_TRY(temporary(m, heads * P * l->Dv, &v));
    CA_TRY(temporary(m, heads * l->Nq * l->Dv, &out));
    put_strides(l, l->bshd, l->Nk, l->D, s.b);
    CA_TRY(multiply(m, l, s, &m->operand[E], &m->operand[K], k));
    s.N = l->Dv, s.A = l->heads[l->shared_f ? 0 : 1];
    put_strides(l, l->bshd, l->Nk, l->Dv, s.b);
    CA_TRY(multiply(m, l, s, &m->operand[l->shared_f ? E : F], &m->operand[V], v));
    CA_TRY(attend(m, l, l->Nq, l->bshd, P, false, q, k, v, out));
    CA_TRY(convert(m, out, &m->operand[OUT], heads * l->Nq * l->Dv));
done:
    return st;
}

/* --------------------------------------------------------------------- nystrom */

static clattn_status landmarks_of(struct machine *m, const struct landmark *l, int k, int64_t N, struct place **p)
{
    ca_op op = { .n = { l->m, l->D, N, l->H } };
    clattn_status st = temporary(m, l->B * l->H * l->m * l->D, p);
    put_strides(l, l->bshd, N, l->D, &op.n[5]);
    if (st != CLATTN_OK) return st;
    return step(m, &ca_k_landmarks, l->B * l->H * l->m * l->D, N / l->m + 1, &op, (const struct place *const[CA_ITEM_OPERANDS]){ &m->operand[k], *p });
}

/* Z (13 - a Z (15 - a Z (7 - a Z))) / 4, step by step (Razavi et al., 2014): Z comes near the inverse of a. */
static clattn_status invert(struct machine *m, const struct landmark *l, const struct place *a, struct place **inverse)
{
    enum { A, Z, AZ, X, Y, MATRICES };
    static const struct { int left, right, to, c; float x; } products[] = {
        { A, Z, AZ, 0, 1 }, { A, Z, X, 7, -1 }, { AZ, X, Y, 15, -1 }, { AZ, Y, X, 13, -1 }, { Z, X, Y, 0, 0.25f },
    };
    const int64_t M = l->m, heads = l->B * l->H;
    struct place *at[MATRICES];
    struct product s = { M, M, M, heads, .x = 1 };
    clattn_status st;
    put_strides(l, false, M, M, s.b);
    for (int i = Z; i < MATRICES; i++) CA_TRY(temporary(m, heads * M * M, &at[i]));
    CA_TRY(step(m, &ca_k_inverse_start, heads, M * M, &(ca_op){ .n[0] = M }, (const struct place *const[CA_ITEM_OPERANDS]){ a, at[Z] }));
    for (int n = 0; n < STEPS; n++) {
        for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
            s.c = products[i].c, s.x = products[i].x;
            CA_TRY(multiply(m, l, s, products[i].left == A ? a : at[products[i].left], at[products[i].right], at[products[i].to]));
        }
        struct place *next = at[Y];
        at[Y] = at[Z], at[Z] = next;
    }
    *inverse = at[Z];
done:
    return st;
}

static clattn_status nystrom(struct machine *m, const struct landmark *l)
{
    const int64_t M = l->m, heads = l->B * l->H;
    struct place *q, *k, *v, *q_marks, *k_marks, *a, *z, *seen, *values, *out;
    struct product s = { M, M, l->D, heads, .turned = 1, .x = l->scale };
    clattn_status st;
    CA_TRY(as_f32(m, Q, heads * l->Nq * l->D, &q));
    CA_TRY(as_f32(m, K, heads * l->Nk * l->D, &k));
    CA_TRY(as_f32(m, V, heads * l->Nk * l->Dv, &v));
    CA_TRY(landmarks_of(m, l, Q, l->Nq, &q_marks));
    CA_TRY(landmarks_of(m, l, K, l->Nk, &k_marks));
    CA_TRY(temporary(m, heads * M * M, &a));
    put_strides(l, false, M, l->D, s.b);
    CA_TRY(multiply(m, l, s, q_marks, k_marks, a));
    CA_TRY(step(m, &ca_k_softmax, heads * M, M, &(ca_op){ .n = { M, 1 } }, (const struct place *const[CA_ITEM_OPERANDS]){ a, a }));
    CA_TRY(invert(m, l, a, &z));
    CA_TRY(temporary(m, heads * M * l->Dv, &seen));
    CA_TRY(attend(m, l, M, false, l->Nk, l->bshd, q_marks, k, v, seen));
    CA_TRY(temporary(m, heads * M * l->Dv, &values));
    s = (struct product){ M, l->Dv, M, heads, .x = 1 };
    put_strides(l, false, M, l->Dv, s.b);
    CA_TRY(multiply(m, l, s, z, seen, values));
    CA_TRY(temporary(m, heads * l->Nq * l->Dv, &out));
    CA_TRY(attend(m, l, l->Nq, l->bshd, M, false, q, k_marks, values, out));
    CA_TRY(convert(m, out, &m->operand[OUT], heads * l->Nq * l->Dv));
done:
    return st;
}

/* ------------------------------------------------------------------------- runs */

static clattn_status run(clattn_context *ctx, const struct ca_call *c, struct chain *chain, const cl_mem *mem, void *const *t)
{
    struct landmark *l = c->owned;
    struct machine m = { .ctx = ctx, .c = c, .chain = chain };
    for (int k = 0; k < CA_OPERANDS; k++)
        m.operand[k] = (struct place){ mem ? mem[k] : NULL, t ? t[k] : NULL, c->a.at[k], (clattn_dtype)c->a.type[k] };
    clattn_status st = c->o[OUT].count == 0 ? CLATTN_OK : l->heads[0] ? linformer(&m, l) : nystrom(&m, l);
    for (int i = 0; i < m.count; i++) {
        free(m.temporary[i].host);
        ca_buffer_release(ctx, m.temporary[i].mem); /* lives on until its last command is done */
    }
    l->bytes = m.bytes;
    return st;
}

static clattn_status run_host(clattn_context *ctx, const struct ca_call *c, void *const t[CA_OPERANDS]) { return run(ctx, c, NULL, NULL, t); }
static clattn_status run_device(clattn_context *ctx, const struct ca_call *c, const cl_mem mem[CA_OPERANDS], struct chain *chain)
{
    return run(ctx, c, chain, mem, NULL);
}
static const struct ca_work work = { run_host, run_device };

size_t ca_landmark_bytes(const struct ca_call *c) { return ((const struct landmark *)c->owned)->bytes; }

/* ------------------------------------------------------------------- arguments */

static clattn_status describe(struct ca_call *c, const clattn_tensor *q, const clattn_tensor *k, const clattn_tensor *v, clattn_layout layout,
                              double scale, const clattn_tensor *out, struct landmark **kept)
{
    struct landmark *l;
    clattn_status st;
    ca_call_begin(c, NULL);
    c->work = &work;
    CA_REQUIRE(layout == CLATTN_BHSD || layout == CLATTN_BSHD, CLATTN_E_ARGUMENT, "layout %d, must be CLATTN_BHSD or CLATTN_BSHD", (int)layout);
    const clattn_tensor *const tensors[] = { q, k, v, out };
    static const char *const names[] = { "q", "k", "v", "out" };
    static const int slots[] = { Q, K, V, OUT };
    for (int i = 0; i < 4; i++) {
        CA_TRY(ca_operand(c, slots[i], names[i], tensors[i], i == 3 ? CA_OUTPUT : CA_FLOAT));
        CA_REQUIRE(tensors[i]->rank == 4, CLATTN_E_ARGUMENT, "%s has rank %d, must have 4", names[i], tensors[i]->rank);
    }
    *kept = l = c->owned = calloc(1, sizeof *l);
    if (!l) return ca_no_memory(sizeof *l, "a call");
    const bool bshd = l->bshd = layout == CLATTN_BSHD;
    l->B = q->shape[0], l->H = q->shape[bshd ? 2 : 1], l->Nq = q->shape[bshd ? 1 : 2], l->Nk = k->shape[bshd ? 1 : 2];
    l->D = q->shape[3], l->Dv = v->shape[3];
    l->scale = (float)(isnan(scale) ? 1 / sqrt((double)l->D) : scale);
    CA_REQUIRE(k->rank != 4 || k->shape[bshd ? 2 : 1] == l->H, CLATTN_E_UNSUPPORTED, "k has %" PRId64 " heads and q %" PRId64
               ": fewer heads of k and v are not supported here", k->shape[bshd ? 2 : 1], l->H);
#define BY_LAYOUT(N, D) (const int64_t[]){ l->B, bshd ? (N) : l->H, bshd ? l->H : (N), D }
    CA_TRY(ca_shape_is(c, K, 4, BY_LAYOUT(l->Nk, l->D), "batch, heads and dims of q"));
    CA_TRY(ca_shape_is(c, V, 4, BY_LAYOUT(l->Nk, l->Dv), "batch, heads and length of k"));
    CA_TRY(ca_shape_is(c, OUT, 4, BY_LAYOUT(l->Nq, l->Dv), "as q, with the dims of v"));
#undef BY_LAYOUT
    c->a.units = ca_max(c->o[OUT].count, 1);
done:
    return st;
}

clattn_status ca_op_linformer(struct ca_call *c, const clattn_tensor *q, const clattn_tensor *k, const clattn_tensor *v, const clattn_tensor *e,
                              const clattn_tensor *f, clattn_layout layout, double scale, const clattn_tensor *out)
{
    struct landmark *l;
    clattn_status st;
    CA_TRY(describe(c, q, k, v, layout, scale, out, &l));
    CA_TRY(ca_operand(c, E, "e", e, CA_FLOAT));
    CA_TRY(ca_operand(c, F, "f", f, CA_OPTIONAL));
    CA_REQUIRE(e->rank == 3, CLATTN_E_ARGUMENT, "e has rank %d, must have 3", e->rank);
    l->m = e->shape[1];
    for (int i = 0; i < 2; i++) {
        const struct ca_operand *o = &c->o[E + i];
        l->heads[i] = o->name && o->t.rank == 3 && o->t.shape[0] == 1 ? 1 : l->H;
        CA_TRY(ca_shape_is(c, E + i, 3, (const int64_t[]){ l->heads[i], l->m, l->Nk }, i ? "1 or the heads, as e" : "1 or the heads, any number, length of k"));
    }
    l->shared_f = f == NULL;
    CA_REQUIRE(l->heads[0] > 0 || c->o[OUT].count == 0, CLATTN_E_ARGUMENT, "e: shape[0] is 0");
    c->row = l->Nk / 8 + l->m + 1;
done:
    return st;
}

clattn_status ca_op_nystrom(struct ca_call *c, const clattn_tensor *q, const clattn_tensor *k, const clattn_tensor *v, int64_t landmarks,
                            clattn_layout layout, double scale, const clattn_tensor *out)
{
    struct landmark *l;
    clattn_status st;
    CA_TRY(describe(c, q, k, v, layout, scale, out, &l));
    CA_REQUIRE(landmarks >= 1 && landmarks <= 1024, CLATTN_E_ARGUMENT, "landmarks is %" PRId64 ", must be 1 ... 1024", landmarks);
    CA_REQUIRE(c->o[OUT].count == 0 || (landmarks <= l->Nq && landmarks <= l->Nk), CLATTN_E_ARGUMENT,
               "landmarks is %" PRId64 ", q has %" PRId64 " rows and k %" PRId64 ": each segment needs one", landmarks, l->Nq, l->Nk);
    l->m = landmarks;
    c->row = l->Nk / 8 + l->m * l->m + 1;
done:
    return st;
}
