/* approx_ops.c -- approximations that are calls of ops.h: linear attention by its feature maps, Linformer, Nystrom.  They take packed tensors. */
#define _GNU_SOURCE
#include "cli/approx_ops.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/half.h"
#include "ops/ops.h"
#include "runtime/opencl.h"

/* A tensor where the device wants it. */
struct held { clattn_tensor t; void *own; };

static clattn_status hold(const struct target *t, clattn_dtype type, int rank, const int64_t *shape, void *data, struct held *h)
{
    size_t bytes = ca_dtype_size(type);
    cl_int code;
    h->t = (clattn_tensor){.size = sizeof h->t, .dtype = type, .rank = rank, .host = data};
    for (int i = 0; i < rank; i++) {
        h->t.shape[i] = shape[i];
        CA_REQUIRE(ca_mul(bytes, (size_t)shape[i], &bytes), CLATTN_E_TOO_LARGE, "a tensor is too large");
    }
    if (!data) h->t.host = h->own = calloc(1, bytes + 64);
    if (!h->t.host) return ca_no_memory(bytes, "a tensor");
    if (ca_is_host(&t->ctx->dev)) return CLATTN_OK;
    h->t.mem = ca_cl.CreateBuffer(t->ctx->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, bytes ? bytes : 64, h->t.host, &code);
    if (code != CL_SUCCESS) return ca_cl_fail(code, "clCreateBuffer", "a tensor");
    h->t.host = NULL;
    return CLATTN_OK;
}

static void release(struct held *h)
{
    if (h->t.mem) ca_cl.ReleaseMemObject(h->t.mem);
    free(h->own);
}

/* Element E of what a tensor holds, once it has been read back to its own memory. */
static clattn_status read_back(const struct target *t, struct held *h, size_t bytes)
{
    if (!h->t.mem) return CLATTN_OK;
    return CA_CL(EnqueueReadBuffer, t->ctx->queue, h->t.mem, CL_TRUE, 0, bytes, h->own, 0, NULL, NULL);
}

/* q, k or v of the target as packed [batch][q_heads][N][dim], times FACTOR; heads that share keys get copies. */
static clattn_status pack(const struct target *t, int slot, float factor, struct held *h)
{
    const struct problem *p = &t->p;
    const struct ca_strides *s = slot == CA_Q ? &p->q : slot == CA_K ? &p->k : &p->v;
    const int64_t N = slot == CA_Q ? p->Nq : p->Nk, D = slot == CA_V ? p->Dv : p->D, group = slot == CA_Q ? 1 : p->Hq / p->Hkv;
    void *data = malloc((size_t)(p->B * p->Hq * N * D) * ca_dtype_size(p->dtype) + 64);
    if (!data) return ca_no_memory((size_t)(p->B * p->Hq * N * D) * ca_dtype_size(p->dtype), "a tensor");
    for (int64_t n = 0; n < p->B * p->Hq * N; n++)
        for (int64_t d = 0; d < D; d++) {
            float value = ca_load_as(t->data[slot], (int)p->dtype, n / N / p->Hq * s->b + n / N % p->Hq / group * s->h + n % N * s->s + d * s->d);
            ca_store_as(data, (int)p->dtype, n * D + d, factor * value);
        }
    clattn_status st = hold(t, p->dtype, 4, (const int64_t[]){p->B, p->Hq, N, D}, data, h);
    h->own = data;
    return st;
}

enum { Q, K, V, OUT, MORE, TENSORS }; /* more: projection, e */
struct calling { const struct target *t; struct ca_call call; struct held h[TENSORS]; };

static clattn_status call_once(const void *x, bool bounded)
{
    const struct calling *c = x;
    (void)bounded;
    return ca_call_run(c->t->ctx, (struct ca_call *)(uintptr_t)&c->call, NULL);
}

/* Is the target nothing but softmax(scale q.k) v, causal or not? */
static clattn_status check_plain(const struct target *t, bool causal, bool square)
{
    const struct problem *p = &t->p;
    struct problem plain;
    clattn_attention a;
    ca_attention_defaults(&a);
    a.dtype = p->dtype, a.batch = p->B, a.q_heads = p->Hq, a.kv_heads = p->Hkv, a.q_len = p->Nq, a.kv_len = p->Nk, a.head_dim = p->D, a.v_dim = p->Dv;
    a.q = (clattn_strides){p->q.b, p->q.h, p->q.s, p->q.d}, a.k = (clattn_strides){p->k.b, p->k.h, p->k.s, p->k.d};
    a.v = (clattn_strides){p->v.b, p->v.h, p->v.s, p->v.d}, a.out = (clattn_strides){p->o.b, p->o.h, p->o.s, p->o.d};
    a.scale = (double)p->scale, a.causal = t->a.causal, a.align = t->a.align, a.q_offset = t->a.q_offset;
    clattn_status st = ca_problem_init(&plain, &a);
    if (st != CLATTN_OK) return st;
    CA_REQUIRE(memcmp(&plain, p, sizeof plain) == 0, CLATTN_E_UNSUPPORTED, "it knows only q, k, v, a scale%s: the problem has more",
               causal ? " and causality" : "");
    CA_REQUIRE(causal || p->right != 0, CLATTN_E_UNSUPPORTED, "it is not causal, the problem is");
    CA_REQUIRE(!square || (p->Nq == p->Nk && (p->right != 0 || p->offset == 0)), CLATTN_E_UNSUPPORTED, "it needs a query at each key: there are %" PRId64
               " queries from position %" PRId32 " on and %" PRId64 " keys", p->Nq, p->offset, p->Nk);
    return CLATTN_OK;
}

/* Packs q, k (times FACTOR), v and a place for the output. */
static clattn_status prepare(struct calling *c, const struct target *t, double factor)
{
    const struct problem *p = &t->p;
    clattn_status st;
    c->t = t;
    CA_TRY(pack(t, CA_Q, (float)factor, &c->h[Q]));
    CA_TRY(pack(t, CA_K, (float)factor, &c->h[K]));
    CA_TRY(pack(t, CA_V, 1, &c->h[V]));
    CA_TRY(hold(t, p->dtype, 4, (const int64_t[]){p->B, p->Hq, p->Nq, p->Dv}, NULL, &c->h[OUT]));
done:
    return st;
}

/* Times the call and reads its output. */
static clattn_status finish(struct calling *c, struct approx *x)
{
    const struct problem *p = &c->t->p;
    const int64_t count = p->B * p->Hq * p->Nq * p->Dv;
    clattn_status st;
    CA_TRY(ca_time_runs(call_once, c, c->t->seconds, &x->time));
    CA_TRY(read_back(c->t, &c->h[OUT], (size_t)count * ca_dtype_size(p->dtype)));
    CA_TRY(ca_approx_floats(count, 1, "an output", &x->out));
    for (int64_t n = 0; n < count; n++) x->out[n] = ca_load_as(c->h[OUT].own, (int)p->dtype, n);
done:
    return st;
}

static void forget(struct calling *c)
{
    for (int i = 0; i < TENSORS; i++) release(&c->h[i]);
    ca_call_free(&c->call);
}

/* ------------------------------------------------------------- linear attention */

/* A feature map stands for the kernel phi(q).phi(k), whose values are the weights once a row is divided by its sum.  With q and k in each
 * other's places, and a value 1 of each row that is looked at, one call gives them: out[j][r] = phi(k_j).phi(q_row(r)). */
static clattn_status map_weights(const struct target *t, const clattn_linear *linear, const clattn_linear_tensors *given, float **weights)
{
    const struct problem *p = &t->p;
    const int64_t heads = p->B * p->Hq, N = p->Nk, R = t->rows;
    clattn_linear l = *linear;
    clattn_linear_tensors all = *given;
    struct held one = {.own = NULL}, out = {.own = NULL};
    struct ca_call call = {.owned = NULL};
    float *pick = NULL;
    clattn_status st;
    CA_TRY(ca_approx_floats(heads * N, R, "rows", &pick));
    for (int64_t n = 0; n < heads; n++)
        for (int64_t r = 0; r < R; r++) pick[(n * N + ca_approx_row(t, r / t->run) + r % t->run) * R + r] = 1;
    CA_TRY(hold(t, CLATTN_F32, 4, (const int64_t[]){p->B, p->Hq, N, R}, pick, &one));
    CA_TRY(hold(t, CLATTN_F32, 4, (const int64_t[]){p->B, p->Hq, N, R}, NULL, &out));
    l.bidirectional = 1;
    l.normalize = 0;
    all.q = given->k, all.k = given->q, all.v = &one.t, all.out = &out.t;
    CA_TRY(ca_op_linear(&call, &l, &all));
    CA_TRY(ca_call_run(t->ctx, &call, NULL));
    CA_TRY(read_back(t, &out, (size_t)(heads * N * R) * sizeof(float)));
    CA_TRY(ca_approx_floats(heads * R, N, "weights", weights));
    const float *seen = out.own;
    for (int64_t n = 0; n < heads * R; n++) {
        const int64_t r = n % R, row = ca_approx_row(t, r / t->run) + r % t->run, keys = p->right == 0 ? row + 1 : N;
        float *w = *weights + n * N;
        double sum = 0;
        for (int64_t j = 0; j < keys; j++) sum += w[j] = seen[(n / R * N + j) * R + r];
        for (int64_t j = 0; j < keys; j++) w[j] = sum == 0 ? 0 : (float)(w[j] / sum);
    }
done:
    ca_call_free(&call);
    release(&one);
    release(&out);
    free(pick);
    return st;
}

clattn_status ca_approx_linear(const struct target *t, clattn_feature_map map, int64_t M, struct approx *x)
{
    const struct problem *p = &t->p;
    struct calling c = {.t = t};
    struct ca_linear_form form;
    struct held projection = {.own = NULL};
    clattn_linear l;
    clattn_status st;
    const double scale = (double)p->scale;
    ca_linear_defaults(&l);
    l.map = map;
    l.normalize = 1;
    l.eps = map == CLATTN_MAP_RELU || map == CLATTN_MAP_COS ? 1e-6 : 0; /* all features of a row may be 0 */
    l.bidirectional = p->right != 0;
    CA_TRY(check_plain(t, true, true));
    if ((map == CLATTN_MAP_FAVOR || map == CLATTN_MAP_TAYLOR2) && !(scale > 0))
        CA_TRY(ca_fail(CLATTN_E_UNSUPPORTED, "it needs a scale above 0, not %g", scale));
    CA_TRY(prepare(&c, t, map == CLATTN_MAP_FAVOR ? sqrt(scale * sqrt((double)p->D)) : map == CLATTN_MAP_TAYLOR2 ? sqrt(scale) : 1));
    if (map == CLATTN_MAP_FAVOR) {
        CA_TRY(ca_approx_floats(M, p->D, "projection", (float **)&projection.own));
        projection.t = (clattn_tensor){.size = sizeof projection.t, .rank = 2, .shape = {M, p->D}, .host = projection.own};
        CA_TRY(clattn_favor_projection(t->ctx, t->seed, 0, &projection.t, NULL));
        CA_TRY(hold(t, CLATTN_F32, 2, projection.t.shape, projection.own, &c.h[MORE]));
    }
    const clattn_linear_tensors tensors = {.size = sizeof tensors, .q = &c.h[Q].t, .k = &c.h[K].t, .v = &c.h[V].t, .out = &c.h[OUT].t,
                                           .projection = map == CLATTN_MAP_FAVOR ? &c.h[MORE].t : NULL};
    CA_TRY(ca_op_linear(&c.call, &l, &tensors));
    CA_TRY(ca_linear_plan(&c.call, &t->ctx->dev, 0, &form));
    CA_TRY(finish(&c, x));
    x->memory = form.workspace + (size_t)(M * p->D) * sizeof(float);
    if (map_weights(t, &l, &tensors, &x->weights) != CLATTN_OK) ca_approx_weightless(x);
done:
    forget(&c);
    release(&projection);
    return st;
}

/* --------------------------------------------------------- through few keys */

/* e [1][P][N]: means of segments as even as can be, or normal numbers of variance 1 / P. */
static clattn_status draw_projection(const struct target *t, int64_t P, bool random, struct held *h)
{
    const int64_t N = t->p.Nk;
    float *e;
    clattn_status st = ca_approx_floats(P, N, "e", &e);
    if (st != CLATTN_OK) return st;
    h->own = e;
    if (random) ca_draw(e, CLATTN_F32, (size_t)(P * N), t->seed, CA_SLOTS);
    for (int64_t s = 0; s < P; s++) {
        const int64_t from = s * N / P, to = (s + 1) * N / P;
        for (int64_t j = 0; j < N; j++) e[s * N + j] = random ? e[s * N + j] / sqrtf((float)P) : j >= from && j < to ? 1 / (float)(to - from) : 0;
    }
    st = hold(t, CLATTN_F32, 3, (const int64_t[]){1, P, N}, e, h);
    return st;
}

clattn_status ca_approx_few(const struct target *t, int64_t count, bool nystrom, bool random, struct approx *x)
{
    struct calling c = {.t = t};
    const struct held *h = c.h;
    clattn_status st;
    CA_TRY(check_plain(t, false, false));
    CA_TRY(prepare(&c, t, 1));
    if (!nystrom) CA_TRY(draw_projection(t, count, random, &c.h[MORE]));
    if (nystrom) CA_TRY(ca_op_nystrom(&c.call, &h[Q].t, &h[K].t, &h[V].t, count, CLATTN_BHSD, (double)t->p.scale, &h[OUT].t));
    else CA_TRY(ca_op_linformer(&c.call, &h[Q].t, &h[K].t, &h[V].t, &h[MORE].t, NULL, CLATTN_BHSD, (double)t->p.scale, &h[OUT].t));
    CA_TRY(finish(&c, x));
    x->memory = ca_landmark_bytes(&c.call) + (nystrom ? 0 : (size_t)(count * t->p.Nk) * sizeof(float));
    snprintf(x->no_weights, sizeof x->no_weights, "its keys are mixtures");
done:
    forget(&c);
    return st;
}
