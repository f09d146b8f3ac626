/* linear.c -- see linear.h. */
#define _GNU_SOURCE
#include "cli/linear.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/half.h"
#include "cli/memory.h"
#include "linargs.h"
#include "problem/problem.h"
#include "runtime/context.h"

static const char blank[] = " \t\r\n";

bool ca_is_linear(const char *text)
{
    for (text += strspn(text, blank); *text; text += strspn(text, blank)) {
        size_t n = strcspn(text, blank);
        if ((n == 6 && !strncmp(text, "linear", 6)) || (n == 16 && !strncmp(text, "linear_attention", 16))) return true;
        text += n;
    }
    return false;
}

/* ------------------------------------------------------------------- parsing */

struct parsed {
    clattn_linear l;
    clattn_attention a;        /* type, sizes and layout */
    int64_t M;                 /* features of favor */
    bool by_dim, u;
};

static bool number(const char *s, int64_t least, int64_t most, int64_t *value)
{
    char *end;
    *value = strtoll(s, &end, 10);
    return end != s && *end == 0 && *value >= least && *value <= most;
}

static int index_of(const char *word, const char *(*name)(int))
{
    int i = 0;
    while (name(i) && strcmp(name(i), word) != 0) i++;
    return name(i) ? i : -1;
}

static bool set_rule(struct parsed *p, const char *value)
{
    int i = index_of(value, ca_linear_rule_name);
    p->l.rule = (clattn_update_rule)i;
    return i >= 0;
}
static bool set_map(struct parsed *p, const char *value)
{
    const char *colon = strchrnul(value, ':');
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)(colon - value), value);
    int i = index_of(word, ca_linear_map_name);
    p->l.map = (clattn_feature_map)i;
    if (i == CLATTN_MAP_FAVOR) return *colon && number(colon + 1, 1, 1 << 16, &p->M);
    return i >= 0 && !*colon;
}
static bool set_chunk(struct parsed *p, const char *value) { return number(value, 0, INT32_MAX, &p->l.chunk); }
static bool set_causal(struct parsed *p, const char *value)
{
    p->l.bidirectional = !strcmp(value, "false");
    return p->l.bidirectional || !*value || !strcmp(value, "true");
}
static bool set_gate(struct parsed *p, const char *value)
{
    p->by_dim = !strcmp(value, "dim");
    return p->by_dim || !strcmp(value, "head");
}
static bool set_normalize(struct parsed *p, const char *value) { return p->l.normalize = 1, !*value; }
static bool set_l2norm(struct parsed *p, const char *value) { return p->l.l2norm_qk = 1, !*value; }
static bool set_u(struct parsed *p, const char *value) { return p->u = true, !*value; }
static bool set_op(struct parsed *p, const char *value) { return (void)p, !*value; }

static const struct { const char *name; bool (*set)(struct parsed *p, const char *value); } tokens[] = {
    {"linear", set_op}, {"linear_attention", set_op}, {"rule", set_rule}, {"map", set_map}, {"chunk", set_chunk}, {"causal", set_causal},
    {"gate", set_gate}, {"normalize", set_normalize}, {"l2norm_qk", set_l2norm}, {"u", set_u},
};
enum { TOKENS = sizeof tokens / sizeof tokens[0] };

/* What the grammar of all problems reads. */
static bool is_common(const char *token)
{
    static const char *const words[] = {"f32", "f16", "bf16"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(token, words[i])) return true;
    return (strchr("bhnd", token[0]) && token[1] >= '0' && token[1] <= '9') || !strncmp(token, "layout=", 7) || !strncmp(token, "scale=", 6);
}

static clattn_status parse(const char *text, struct parsed *p)
{
    char *copy = strdup(text), *common = calloc(1, strlen(text) + 2), *rest = NULL;
    clattn_status st = copy && common ? CLATTN_OK : ca_no_memory(strlen(text), "the problem");
    memset(p, 0, sizeof *p);
    clattn_linear_init(&p->l);
    for (char *token = copy ? strtok_r(copy, blank, &rest) : NULL; token && st == CLATTN_OK; token = strtok_r(NULL, blank, &rest)) {
        char *value = strchrnul(token, '=');
        size_t n = (size_t)(value - token);
        int i = 0;
        if (is_common(token)) {
            strcat(strcat(common, " "), token);
            continue;
        }
        while (i < TOKENS && (strlen(tokens[i].name) != n || strncmp(tokens[i].name, token, n))) i++;
        if (i == TOKENS) st = ca_fail(CLATTN_E_ARGUMENT, "problem string: \"%s\" is no token of a linear attention", token);
        else if (!tokens[i].set(p, value + (*value == '=')))
            st = ca_fail(CLATTN_E_ARGUMENT, "problem string: the value of \"%s\" is wrong, or not known to this version", token);
    }
    if (st == CLATTN_OK) st = ca_problem_parse(common, &p->a);
    p->l.layout = p->a.layout;
    p->l.scale = p->a.scale;
    free(copy);
    free(common);
    return st;
}

static void print(const struct parsed *p, int64_t Hkv, int64_t V, char *text, size_t size)
{
    const clattn_attention *a = &p->a;
    int n = snprintf(text, size, "linear %s b%" PRId64 " h%" PRId64, ca_dtype_name(a->dtype), a->batch, a->q_heads);
#define MORE(when, ...) if ((when) && (size_t)n < size) n += snprintf(text + n, size - (size_t)n, __VA_ARGS__)
    MORE(Hkv != a->q_heads, "/%" PRId64, Hkv);
    MORE(true, " n%" PRId64 " d%" PRId64, a->q_len, a->head_dim);
    MORE(V != a->head_dim, "/%" PRId64, V);
    MORE(p->l.rule, " rule=%s", ca_linear_rule_name((int)p->l.rule));
    MORE(p->l.map, " map=%s", ca_linear_map_name((int)p->l.map));
    MORE(p->M, ":%" PRId64, p->M);
    MORE(p->by_dim, " gate=dim");
    MORE(p->u, " u");
    MORE(p->l.normalize, " normalize");
    MORE(p->l.l2norm_qk, " l2norm_qk");
    MORE(p->l.bidirectional, " causal=false");
    MORE(p->l.chunk, " chunk=%" PRId64, p->l.chunk);
    MORE(a->layout == CLATTN_BSHD, " layout=bshd");
    MORE(!isnan(a->scale), " scale=%.9g", a->scale);
#undef MORE
}

/* ---------------------------------------------------------------------- data */

/* Keys of length near 1, decays from 0.7 to 1, beta between 0 and 1: no rule lets its state grow without end. */
static void fill(int k, clattn_dtype type, void *data, size_t count, int64_t K, uint64_t seed)
{
    ca_draw(data, type, count, seed, (uint64_t)k);
    if (k == LIN_Q || k == LIN_V) return;
    float root = 1 / sqrtf((float)K);
    for (size_t e = 0; e < count; e++) {
        float x = ca_load_as(data, (int)type, (int64_t)e);
        ca_store_as(data, (int)type, (int64_t)e, k == LIN_G ? -0.1f * fabsf(x) : k == LIN_BETA ? 1 / (1 + expf(-x)) : x * root);
    }
}

static clattn_status make(struct linear_sample *s, clattn_tensor *t, int k, int64_t K, uint64_t seed)
{
    size_t count = 1, bytes;
    for (int i = 0; i < t->rank; i++)
        if (!ca_mul(count, (size_t)t->shape[i], &count)) return ca_fail(CLATTN_E_TOO_LARGE, "tensor %d is too large", k);
    if (!ca_mul(count, ca_dtype_size(t->dtype), &bytes)) return ca_fail(CLATTN_E_TOO_LARGE, "tensor %d is too large", k);
    s->host[k] = ca_large_alloc(bytes);
    if (!s->host[k]) return ca_no_memory(bytes, "a tensor");
    if (s->ctx) fill(k, t->dtype, s->host[k], count, K, seed);
    t->host = s->host[k];
    if (!s->ctx || ca_is_host(&s->ctx->dev)) return CLATTN_OK;
    cl_int code;
    s->mem[k] = ca_cl.CreateBuffer(s->ctx->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, bytes ? bytes : 64, s->host[k], &code);
    if (code != CL_SUCCESS) return ca_cl_fail(code, "clCreateBuffer", "a tensor");
    t->host = NULL;
    t->mem = s->mem[k];
    return CLATTN_OK;
}

clattn_status ca_linear_sample_create(clattn_context *ctx, const char *text, uint64_t seed, struct linear_sample *s)
{
    struct parsed p;
    clattn_tensor t[LIN_TENSORS];
    clattn_status st;
    memset(s, 0, sizeof *s);
    s->ctx = ctx;
    CA_TRY(parse(text, &p));
    const bool bshd = p.a.layout == CLATTN_BSHD, gated = p.l.rule == CLATTN_RULE_GATED || p.l.rule == CLATTN_RULE_GATED_DELTA;
    const int64_t B = p.a.batch, H = p.a.q_heads, Hkv = p.a.kv_heads ? p.a.kv_heads : H, T = p.a.q_len, K = p.a.head_dim;
    const int64_t V = p.a.v_dim ? p.a.v_dim : K, F = ca_linear_features((int)p.l.map, K, p.M);
    print(&p, Hkv, V, s->problem, sizeof s->problem);
#define ROWS(heads, dim) { B, bshd ? T : (heads), bshd ? (heads) : T, dim }
    const struct { bool there; int rank; int64_t shape[4]; } rows[LIN_TENSORS] = {
        [LIN_Q] = {true, 4, ROWS(H, K)}, [LIN_K] = {true, 4, ROWS(Hkv, K)}, [LIN_V] = {true, 4, ROWS(Hkv, V)},
        [LIN_G] = {gated, p.by_dim ? 4 : 3, ROWS(Hkv, K)}, [LIN_BETA] = {p.l.rule >= CLATTN_RULE_DELTA, 3, ROWS(Hkv, 0)},
        [LIN_U] = {p.u, 2, {Hkv, K}}, [LIN_PROJECTION] = {p.M > 0, 2, {p.M, K}}, [LIN_STATE] = {!p.l.bidirectional, 4, {B, Hkv, F, V}},
        [LIN_OUT] = {true, 4, ROWS(H, V)},
    };
#undef ROWS
    const clattn_tensor *given[LIN_TENSORS] = {NULL};
    for (int k = 0; k < LIN_TENSORS; k++) {
        if (!rows[k].there) continue;
        t[k] = (clattn_tensor){.size = sizeof t[k], .dtype = k >= LIN_STATE && k != LIN_OUT ? CLATTN_F32 : p.a.dtype, .rank = rows[k].rank};
        memcpy(t[k].shape, rows[k].shape, sizeof rows[k].shape);
        CA_TRY(make(s, &t[k], k, K, seed));
        given[k] = &t[k];
    }
    const clattn_linear_tensors list = {
        .size = sizeof list, .q = given[LIN_Q], .k = given[LIN_K], .v = given[LIN_V], .g = given[LIN_G], .beta = given[LIN_BETA],
        .u = given[LIN_U], .projection = given[LIN_PROJECTION], .initial_state = given[LIN_STATE], .out = given[LIN_OUT],
        .final_state = given[LIN_STATE],
    };
    CA_TRY(ca_op_linear(&s->call, &p.l, &list));
done:
    return st;
}

static clattn_status run_once(const void *x, bool bounded)
{
    const struct linear_sample *s = x;
    (void)bounded;
    return ca_call_run(s->ctx, (struct ca_call *)(uintptr_t)&s->call, NULL);
}

clattn_status ca_linear_sample_time(const struct linear_sample *s, double seconds, struct timing *t)
{
    return ca_time_runs(run_once, s, seconds, t);
}

void ca_linear_sample_free(struct linear_sample *s)
{
    for (int k = 0; k < CA_OPERANDS; k++) {
        if (s->mem[k]) ca_cl.ReleaseMemObject(s->mem[k]);
        free(s->host[k]);
    }
    ca_call_free(&s->call);
}
