/* attention.c -- operation "attention": from a case to a descriptor and plan, and back to its outputs.
 *
 * Tensors of one type are handed over as they are.  Mixed types, and f64, are computed in f32: f16 and
 * bf16 widen exactly, and what is narrowed to the storage type is only the result. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "cli/run.h"
#include "problem/problem.h"

/* ------------------------------------------------------------------- rules */

static bool heads_fit(const struct case_file *c)
{
    int64_t Hq = ca_size(c, "Hq", 0), Hkv = ca_size(c, "Hkv", 0);
    if (Hkv == 0 ? Hq == 0 : Hq % Hkv == 0) return true;
    return ca_case_bad(c, "inputs.k", "%" PRId64 " query heads are no multiple of %" PRId64 " key heads", Hq, Hkv);
}

static bool positions_fit(const struct case_file *c)
{
    bool input = ca_case_input(c, "q_offset") != NULL, attr = ca_case_has(c, "q_offset");
    bool offset = !strcmp(ca_case_word(c, "align", ""), "offset");
    if (attr && !offset) return ca_case_bad(c, "attrs.q_offset", "needs align=offset");
    if (attr && input) return ca_case_bad(c, "attrs.q_offset", "is given as an input too");
    if (offset && !attr && !input) return ca_case_bad(c, "attrs.align", "offset needs q_offset");
    return true;
}

/* Inputs that come only together with others. */
static bool companions_fit(const struct case_file *c)
{
    static const char *const with_pattern[][2] = {
        {"prefix", "prefix"}, {"document", "doc_ids"}, {"block_sparse", "block_layout"}, {"csr", "row_ptr"},
        {"csr", "col_idx"}, {"lsh", "rotations"}, {"adaptive_span", "span"}};
    for (unsigned i = 0; i < sizeof with_pattern / sizeof with_pattern[0]; i++)
        if (ca_case_has_pattern(c, with_pattern[i][0]) && !ca_case_input(c, with_pattern[i][1]))
            return ca_case_bad(c, "attrs.pattern", "%s needs input %s", with_pattern[i][0], with_pattern[i][1]);
    if (c->form & W_THD && (!ca_case_input(c, "cu_seqlens_q") || !ca_case_input(c, "cu_seqlens_k")))
        return ca_case_bad(c, "attrs.layout", "THD needs inputs cu_seqlens_q and cu_seqlens_k");
    if (ca_case_has(c, "page_size") && !ca_case_input(c, "block_table"))
        return ca_case_bad(c, "attrs.page_size", "needs input block_table");
    if (ca_case_input(c, "k_new") && !ca_case_input(c, "kv_lens"))
        return ca_case_bad(c, "inputs.k_new", "needs kv_lens");
    return true;
}

static bool modifiers_fit(const struct case_file *c)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(c->attrs, "mod_buffers"), i, name)
        if (!ca_case_input(c, json_string_value(name)))
            return ca_case_bad(c, "attrs.mod_buffers", "%s is no input", json_string_value(name));
    return true;
}

bool ca_attention_check(struct case_file *c)
{
    const char *score = ca_case_word(c, "score", "dot");
    int64_t D = ca_size(c, "D", 1), Dk = ca_size(c, "Dk", D);
    if (D < 1) return ca_case_bad(c, "inputs.q", "the last axis is 0");
    if (D != Dk && strcmp(score, "general") != 0)
        return ca_case_bad(c, "inputs.k", "the last axis is %" PRId64 ", that of q is %" PRId64, Dk, D);
    if (!strcmp(score, "gat") && D != 1)
        return ca_case_bad(c, "inputs.q", "gat needs a last axis of 1, not %" PRId64, D);
    if (!strcmp(score, "general") && !ca_case_input(c, "score_w"))
        return ca_case_bad(c, "attrs.score", "general needs input score_w");
    return heads_fit(c) && positions_fit(c) && companions_fit(c) && modifiers_fit(c);
}

/* ------------------------------------------------------------- description */

static int skip(struct runner *r, const char *format, int64_t number)
{
    snprintf(r->reason, sizeof r->reason, format, number);
    return CASE_SKIPPED;
}

static void describe_positions(const struct case_file *c, clattn_attention *a)
{
    const char *align = ca_case_word(c, "align", "bottom_right");
    a->align = !strcmp(align, "offset")     ? CLATTN_OFFSET
               : !strcmp(align, "top_left") ? CLATTN_TOP_LEFT
                                            : CLATTN_BOTTOM_RIGHT;
    a->q_offset = ca_case_int(c, "q_offset", 0);
    a->causal = ca_case_flag(c, "causal");
    json_t *window = json_object_get(c->attrs, "window");
    if (!json_is_array(window)) return;
    a->window_left = json_integer_value(json_array_get(window, 0));
    a->window_right = json_integer_value(json_array_get(window, 1));
}

static clattn_dtype dtype_of(enum ca_npy_type type)
{
    return type == CA_NPY_F2 ? CLATTN_F16 : type == CA_NPY_U2 ? CLATTN_BF16 : CLATTN_F32;
}

static void describe(const struct case_file *c, enum ca_npy_type type, clattn_attention *a)
{
    clattn_attention_init(a);
    a->dtype = dtype_of(type);
    a->layout = c->form & W_BSHD ? CLATTN_BSHD : CLATTN_BHSD;
    a->batch = ca_size(c, "B", 0);
    a->q_heads = ca_size(c, "Hq", 0);
    a->kv_heads = ca_size(c, "Hkv", 0);
    a->q_len = ca_size(c, "Nq", 0);
    a->kv_len = ca_size(c, "Nk", 0);
    a->head_dim = ca_size(c, "D", 0);
    a->v_dim = ca_size(c, "Dv", 0);
    a->scale = ca_case_number(c, "scale", NAN);
    a->softcap = ca_case_number(c, "softcap", 0);
    describe_positions(c, a);
}

/* CASES.md allows more than the library takes: CASE_DONE, or CASE_SKIPPED with the reason. */
static int within_limits(struct runner *r, const struct case_file *c, const clattn_attention *a)
{
    if (a->head_dim > CA_MAX_DIM) return skip(r, "head dimension %" PRId64 " is larger than 576", a->head_dim);
    if (a->v_dim > CA_MAX_DIM) return skip(r, "value dimension %" PRId64 " is larger than 576", a->v_dim);
    if (a->v_dim < 1) return skip(r, "value dimension %" PRId64 " is not supported", a->v_dim);
    if (ca_case_has(c, "scale") && !isfinite((float)a->scale))
        return skip(r, "a scale that is not finite in f32 is not supported", 0);
    if (a->softcap != 0 && !CA_SOFTCAP_FITS(a->softcap))
        return skip(r, "a softcap outside of 1e-37 ... 1e37 is not supported", 0);
    return CASE_DONE;
}

/* ------------------------------------------------------------------ tensors */

/* The one type to compute in: that of q, k and v if they agree, else f32. */
static enum ca_npy_type compute_type(const struct case_file *c)
{
    enum ca_npy_type q = ca_case_input(c, "q")->a.type;
    bool same = ca_case_input(c, "k")->a.type == q && ca_case_input(c, "v")->a.type == q;
    return same && q != CA_NPY_F8 ? q : CA_NPY_F4;
}

struct work { struct ca_npy in[3], qoff, out, lse; }; /* converted inputs, and outputs in the compute type */

static void work_free(struct work *w)
{
    for (int i = 0; i < 3; i++) ca_npy_free(&w->in[i]);
    ca_npy_free(&w->qoff);
    ca_npy_free(&w->out);
    ca_npy_free(&w->lse);
}

/* q_offset as int32; CASE_SKIPPED when it does not fit. */
static int narrow_offsets(struct runner *r, const struct case_file *c, struct work *w, clattn_status *st)
{
    const struct case_tensor *t = ca_case_input(c, "q_offset");
    if (!t) return CASE_DONE;
    *st = ca_npy_alloc(&w->qoff, CA_NPY_I4, t->a.rank, t->a.shape);
    for (size_t i = 0; *st == CLATTN_OK && i < t->a.count; i++) {
        int64_t x = t->a.type == CA_NPY_I8 ? ((int64_t *)t->a.data)[i] : ((int32_t *)t->a.data)[i];
        if (x != (int32_t)x) return skip(r, "q_offset %" PRId64 " does not fit 32 bits", x);
        ((int32_t *)w->qoff.data)[i] = (int32_t)x;
    }
    return CASE_DONE;
}

static clattn_status alloc_outputs(const struct case_file *c, enum ca_npy_type type, const clattn_attention *a,
                                   struct work *w)
{
    int64_t B = a->batch, H = a->q_heads, N = a->q_len, Dv = a->v_dim;
    const int64_t flat[3] = {B, N, H * Dv}, bshd[4] = {B, N, H, Dv}, bhsd[4] = {B, H, N, Dv};
    const int64_t *shape = c->form & W_FLAT ? flat : c->form & W_BSHD ? bshd : bhsd;
    clattn_status st = ca_npy_alloc(&w->out, type, c->form & W_FLAT ? 3 : 4, shape);
    return st == CLATTN_OK ? ca_npy_alloc(&w->lse, CA_NPY_F4, 3, bhsd) : st;
}

static clattn_status prepare(const struct case_file *c, enum ca_npy_type type, const clattn_attention *a,
                             struct work *w)
{
    static const char *const names[3] = {"q", "k", "v"};
    clattn_status st = CLATTN_OK;
    for (int i = 0; st == CLATTN_OK && i < 3; i++) {
        const struct ca_npy *t = &ca_case_input(c, names[i])->a;
        if (t->type != type) st = ca_npy_convert(t, type, &w->in[i]);
    }
    return st == CLATTN_OK ? alloc_outputs(c, type, a, w) : st;
}

static clattn_status execute(struct runner *r, const struct case_file *c, const clattn_attention *a, struct work *w)
{
    clattn_plan *plan;
    clattn_status st = ca_runner_plan(r, a, &plan);
    if (st != CLATTN_OK) return st;
    const clattn_pointers p = {
        .size = sizeof p,
        .q = w->in[0].data ? w->in[0].data : ca_case_input(c, "q")->a.data,
        .k = w->in[1].data ? w->in[1].data : ca_case_input(c, "k")->a.data,
        .v = w->in[2].data ? w->in[2].data : ca_case_input(c, "v")->a.data,
        .out = w->out.data,
        .lse = ca_case_output(c, "lse") ? w->lse.data : NULL,
        .q_offset = w->qoff.data,
    };
    return clattn_execute_host(plan, &p);
}

/* Hands the results over to the case, out in the storage type of the first input. */
static clattn_status deliver(const struct case_file *c, struct work *w)
{
    struct case_tensor *out = ca_case_output(c, "out"), *lse = ca_case_output(c, "lse");
    if (lse) {
        lse->a = w->lse;
        memset(&w->lse, 0, sizeof w->lse);
    }
    return out ? ca_npy_convert(&w->out, ca_case_storage(c), &out->a) : CLATTN_OK;
}

int ca_attention_run(struct runner *r, struct case_file *c)
{
    struct work w;
    clattn_attention a;
    clattn_status st = CLATTN_OK;
    enum ca_npy_type type = compute_type(c);
    memset(&w, 0, sizeof w);
    describe(c, type, &a);
    int end = within_limits(r, c, &a);
    if (end == CASE_DONE) end = narrow_offsets(r, c, &w, &st);
    if (end == CASE_DONE && st == CLATTN_OK) st = prepare(c, type, &a, &w);
    /* Without heads there is nothing to compute, and the library takes no such problem. */
    if (end == CASE_DONE && st == CLATTN_OK && a.q_heads > 0) st = execute(r, c, &a, &w);
    if (end == CASE_DONE && st == CLATTN_OK) st = deliver(c, &w);
    if (st != CLATTN_OK) end = ca_runner_outcome(r, st);
    work_free(&w);
    return end;
}
