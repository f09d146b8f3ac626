/* around.c -- the operations around attention: from a case to a call of the library.  A case is described twice: when
 * it is read, to find what is wrong with it, and when it is run. */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "cli/run.h"
#include "ops/ops.h"

/* The case's tensors as the library's; the first thing that goes wrong. */
struct work {
    struct case_file *c;
    clattn_tensor t[CA_OPERANDS];
    int count;
    clattn_status st;
    double *list[2];          /* short_factor, long_factor */
};

/* ------------------------------------------------------------------- tensors */

static clattn_dtype dtype_of(enum ca_npy_type type)
{
    return type == CA_NPY_F2   ? CLATTN_F16
           : type == CA_NPY_U2 ? CLATTN_BF16
           : type == CA_NPY_I4 ? CLATTN_INT32
                               : CLATTN_F32;
}

static const clattn_tensor *tensor(struct work *w, const struct ca_npy *a)
{
    clattn_tensor *t = &w->t[w->count++];
    *t = (clattn_tensor){.size = sizeof *t, .dtype = dtype_of(a->type), .rank = a->rank, .host = a->data};
    memcpy(t->shape, a->shape, (size_t)a->rank * sizeof a->shape[0]);
    return t;
}

/* NULL when the case has no such input. */
static const clattn_tensor *in(struct work *w, const char *name)
{
    const struct case_tensor *t = ca_case_input(w->c, name);
    return t ? tensor(w, &t->a) : NULL;
}

/* NULL when the case does not want it.  STATISTIC: f32, else the type of the first input. */
static const clattn_tensor *out(struct work *w, const char *name, bool statistic, int rank, const int64_t *shape)
{
    struct case_tensor *t = ca_case_output(w->c, name);
    if (!t || w->st != CLATTN_OK) return NULL;
    if (!t->a.data) w->st = ca_npy_alloc(&t->a, statistic ? CA_NPY_F4 : ca_case_storage(w->c), rank, shape);
    return w->st == CLATTN_OK ? tensor(w, &t->a) : NULL;
}

static const clattn_tensor *out_as(struct work *w, const char *name, const clattn_tensor *x)
{
    return out(w, name, false, x->rank, x->shape);
}

/* The library takes no f64 and no 64-bit indices. */
static clattn_status narrow(struct ca_npy *a, const char *name)
{
    struct ca_npy copy;
    clattn_status st = CLATTN_OK;
    if (a->type == CA_NPY_F8) st = ca_npy_convert(a, CA_NPY_F4, &copy);
    else if (a->type == CA_NPY_I8) st = ca_npy_alloc(&copy, CA_NPY_I4, a->rank, a->shape);
    else return CLATTN_OK;
    if (st != CLATTN_OK) return st;
    for (size_t i = 0; a->type == CA_NPY_I8 && i < a->count; i++) {
        int64_t x = ((int64_t *)a->data)[i];
        if (x != (int32_t)x) st = ca_fail(CLATTN_E_ARGUMENT, "%s: %lld does not fit 32 bits", name, (long long)x);
        ((int32_t *)copy.data)[i] = (int32_t)x;
    }
    ca_npy_free(a);
    *a = copy;
    return st;
}

/* ---------------------------------------------------------------- operations */

static int axis_of(const struct work *w, int otherwise)
{
    int64_t axis = ca_case_int(w->c, "axis", otherwise);
    return axis < INT_MIN ? INT_MIN : axis > INT_MAX ? INT_MAX : (int)axis;
}

static bool is_op(const struct work *w, const char *name) { return !strcmp(w->c->op->name, name); }

static clattn_status softmax(struct work *w, struct ca_call *call)
{
    const clattn_tensor *x = in(w, "x");
    return ca_op_softmax(call, x, axis_of(w, -1), is_op(w, "log_softmax"), out_as(w, "out", x));
}

static clattn_status norm(struct work *w, struct ca_call *call)
{
    const clattn_tensor *x = in(w, "x");
    int64_t axis = axis_of(w, -1), rows[8];
    bool layer = is_op(w, "layer_norm");
    CA_REQUIRE(layer || !ca_case_output(w->c, "mean"), CLATTN_E_UNSUPPORTED, "rms_norm has no mean");
    for (int i = 0; i < x->rank; i++) rows[i] = i < (axis < 0 ? axis + x->rank : axis) ? x->shape[i] : 1;
    return ca_op_norm(call, x, in(w, "weight"), in(w, "bias"), (int)axis, ca_case_number(w->c, "eps", 1e-5), layer,
                      out_as(w, "out", x), out(w, "mean", true, x->rank, rows), out(w, "inv_std", true, x->rank, rows));
}

static clattn_activation activation_of(const struct work *w)
{
    if (is_op(w, "silu") || !strcmp(ca_case_word(w->c, "activation", "none"), "silu")) return CLATTN_ACTIVATION_SILU;
    if (!is_op(w, "gelu")) return CLATTN_ACTIVATION_NONE;
    return !strcmp(ca_case_word(w->c, "approximate", "none"), "tanh") ? CLATTN_ACTIVATION_GELU_TANH
                                                                      : CLATTN_ACTIVATION_GELU;
}

static clattn_status activate(struct work *w, struct ca_call *call)
{
    const clattn_tensor *x = in(w, "x");
    return ca_op_activate(call, activation_of(w), x, out_as(w, "out", x));
}

static clattn_status rope(struct work *w, struct ca_call *call)
{
    const clattn_tensor *x = in(w, "x"), *cos = in(w, "cos");
    int64_t dims = ca_case_int(w->c, "rotary_dim", 0);
    CA_REQUIRE(dims == 0 || dims == 2 * cos->shape[1], CLATTN_E_ARGUMENT, "rotary_dim is %lld, cos has %lld columns",
               (long long)dims, (long long)cos->shape[1]);
    return ca_op_rope(call, x, cos, in(w, "sin"), in(w, "position_ids"),
                      w->c->form & W_BSHD ? CLATTN_BSHD : CLATTN_BHSD, ca_case_flag(w->c, "interleaved"),
                      out_as(w, "out", x));
}

/* A number or a list of them as numbers, in W->LIST[WHICH]. */
static clattn_status read_list(struct work *w, int which, const char *attr, const double **numbers, size_t *count)
{
    json_t *value = json_object_get(w->c->attrs, attr);
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    if (!ca_case_has(w->c, attr)) return CLATTN_OK;
    double *list = w->list[which] = calloc(n + 1, sizeof *list);
    if (!list) return ca_no_memory((n + 1) * sizeof *list, attr);
    for (size_t i = 0; i < n; i++)
        (void)ca_json_number(json_is_array(value) ? json_array_get(value, i) : value, &list[i]);
    CA_REQUIRE(!*numbers || *count == n, CLATTN_E_ARGUMENT, "%s has %zu numbers, short_factor %zu", attr, n, *count);
    *numbers = list;
    *count = n;
    return CLATTN_OK;
}

static clattn_status rope_tables(struct work *w, struct ca_call *call)
{
    static const char *const types[] = {"default", "linear", "dynamic", "yarn", "llama3", "longrope"};
#define NUMBER(name) {#name, offsetof(clattn_rope_params, name)}
    static const struct { const char *name; size_t at; } numbers[] = {
        NUMBER(theta), NUMBER(partial_rotary_factor), NUMBER(factor), NUMBER(attention_factor), NUMBER(beta_fast),
        NUMBER(beta_slow), NUMBER(mscale), NUMBER(mscale_all_dim), NUMBER(low_freq_factor), NUMBER(high_freq_factor)};
#undef NUMBER
    const struct case_file *c = w->c;
    clattn_rope_params p;
    clattn_status st;
    clattn_rope_params_init(&p);
    while (strcmp(types[p.type], ca_case_word(c, "type", "default")) != 0) p.type++;
    p.dim = ca_case_int(c, "dim", 0);
    p.start = ca_case_int(c, "start", 0);
    p.max_position_embeddings = ca_case_int(c, "max_position_embeddings", 0);
    p.original_max_position_embeddings = ca_case_int(c, "original_max_position_embeddings", 0);
    p.no_truncate = ca_case_has(c, "truncate") && !ca_case_flag(c, "truncate");
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        *(double *)(void *)((char *)&p + numbers[i].at) = ca_case_number(c, numbers[i].name, 0);
    CA_TRY(read_list(w, 0, "short_factor", &p.short_factor, &p.num_factors));
    const double *number = p.short_factor;
    CA_TRY(read_list(w, 1, "long_factor", &number, &p.num_factors));
    p.long_factor = w->list[1];
    const int64_t P = ca_rope_pairs(&p), table[2] = {ca_case_int(c, "length", 0), P};
    const clattn_tensor *inv_freq = out(w, "inv_freq", true, 1, &P), *cos = out(w, "cos", true, 2, table);
    st = ca_op_rope_tables(call, &p, inv_freq, cos, out(w, "sin", true, 2, table));
done:
    return st;
}

static clattn_status sinusoidal(struct work *w, struct ca_call *call)
{
    const int64_t shape[2] = {ca_case_int(w->c, "length", 0), ca_case_int(w->c, "dim", 0)};
    return ca_op_sinusoidal(call, out(w, "table", true, 2, shape));
}

static clattn_status relative_bias(struct work *w, struct ca_call *call)
{
    const clattn_tensor *table = in(w, "table");
    bool t5 = ca_case_has(w->c, "type");
    int64_t N = (table->shape[1] + 1) / 2;
    int64_t q = ca_case_int(w->c, "q_len", t5 ? -1 : N), k = ca_case_int(w->c, "k_len", q);
    CA_REQUIRE(q >= 0, CLATTN_E_ARGUMENT, "q_len is missing: type t5 needs it");
    CA_REQUIRE(t5 || (!ca_case_has(w->c, "bidirectional") && !ca_case_has(w->c, "max_distance")), CLATTN_E_ARGUMENT,
               "bidirectional and max_distance need type t5");
    const clattn_tensor *bias = out(w, "bias", false, 3, (const int64_t[]){table->shape[t5 ? 1 : 0], q, k});
    if (!t5) return ca_op_relative_bias(call, table, bias);
    bool both = !ca_case_has(w->c, "bidirectional") || ca_case_flag(w->c, "bidirectional");
    return ca_op_t5_bias(call, table, both, ca_case_int(w->c, "max_distance", 128), bias);
}

static clattn_status cache_scatter(struct work *w, struct ca_call *call)
{
    const clattn_tensor *past = in(w, "past_cache");
    return ca_op_cache_scatter(call, past, in(w, "update"), in(w, "write_indices"), axis_of(w, -2),
                               !strcmp(ca_case_word(w->c, "mode", "linear"), "circular"), out_as(w, "out", past));
}

static clattn_status causal_conv(struct work *w, struct ca_call *call)
{
    const clattn_tensor *input = in(w, "input"), *weight = in(w, "weight");
    const int64_t state[3] = {input->shape[0], input->shape[1], weight->shape[2] > 0 ? weight->shape[2] - 1 : 0};
    return ca_op_causal_conv(call, input, weight, in(w, "bias"), in(w, "past_state"), activation_of(w),
                             out_as(w, "out", input), out(w, "present_state", false, 3, state));
}

static clattn_status merge(struct work *w, struct ca_call *call)
{
    const clattn_tensor *outs = in(w, "outs"), *lses = in(w, "lses");
    const clattn_tensor *o = out(w, "out", false, outs->rank - 1, outs->shape + 1);
    return ca_op_merge(call, outs, lses, o, out(w, "lse", true, outs->rank - 2, outs->shape + 1));
}

static int name_index(const struct work *w, const char *attr, const char *(*name)(int), const char *otherwise)
{
    const char *word = ca_case_word(w->c, attr, otherwise);
    int i = 0;
    while (name(i) && strcmp(name(i), word) != 0) i++;
    return i;
}

static clattn_status linear(struct work *w, struct ca_call *call)
{
    clattn_linear l;
    ca_linear_defaults(&l);
    l.layout = w->c->form & W_BSHD ? CLATTN_BSHD : CLATTN_BHSD;
    l.rule = (clattn_update_rule)name_index(w, "update_rule", ca_linear_rule_name, "linear");
    l.map = (clattn_feature_map)name_index(w, "feature_map", ca_linear_map_name, "identity");
    l.scale = ca_case_number(w->c, "scale", NAN);
    l.normalize = ca_case_flag(w->c, "normalize");
    l.eps = ca_case_number(w->c, "eps", 0);
    l.bidirectional = ca_case_has(w->c, "causal") && !ca_case_flag(w->c, "causal");
    l.l2norm_qk = ca_case_flag(w->c, "l2norm_qk");
    l.max_len = ca_case_int(w->c, "max_len", 0);
    clattn_linear_tensors t = {.size = sizeof t, .q = in(w, "q"), .k = in(w, "k"), .v = in(w, "v"), .g = in(w, "g"), .beta = in(w, "beta"),
                               .u = in(w, "u"), .projection = in(w, "projection"), .initial_state = in(w, "initial_state"),
                               .initial_z = in(w, "initial_z")};
    int64_t o[4] = {t.q->shape[0], t.q->shape[1], t.q->shape[2], t.v->shape[3]}, K = t.q->shape[3];
    int64_t F = ca_linear_features((int)l.map, K, t.projection ? t.projection->shape[0] : 0);
    const int64_t state[4] = {o[0], t.k->shape[l.layout == CLATTN_BSHD ? 2 : 1], F, o[3]};
    t.out = out(w, "out", false, 4, o);
    t.final_state = out(w, "final_state", false, 4, state);
    t.final_z = out(w, "final_z", false, 3, state);
    return ca_op_linear(call, &l, &t);
}

static clattn_status mamba2_ssd(struct work *w, struct ca_call *call)
{
    const clattn_tensor *x = in(w, "x"), *B = in(w, "B");
    const int64_t state[4] = {x->shape[0], x->shape[2], B->shape[3], x->shape[3]};
    const clattn_linear_tensors t = {.q = in(w, "C"), .k = B, .v = x, .g = in(w, "dt"), .beta = in(w, "A_log"), .u = in(w, "D"),
                                     .out = out_as(w, "out", x), .final_state = out(w, "final_state", false, 4, state)};
    return ca_op_mamba2_ssd(call, &t, 0);
}

/* Of attention's attributes it has layout and scale; what else is asked for is not supported. */
static clattn_status few_keys(struct work *w, struct ca_call *call)
{
    static const char *const known[] = {"layout", "scale", "landmarks"};
    const char *attr;
    json_t *value;
    json_object_foreach(w->c->attrs, attr, value) {
        bool taken = json_is_null(value) || json_is_false(value);
        for (unsigned i = 0; i < 3; i++) taken = taken || !strcmp(attr, known[i]);
        CA_REQUIRE(taken, CLATTN_E_UNSUPPORTED, "attribute %s of %s is not supported yet", attr, w->c->op->name);
    }
    for (unsigned i = 0; i < w->c->num_in; i++)
        CA_REQUIRE(strlen(w->c->in[i].name) == 1, CLATTN_E_UNSUPPORTED, "input %s of %s is not supported yet", w->c->in[i].name, w->c->op->name);
    CA_REQUIRE(!ca_case_output(w->c, "lse") && !ca_case_output(w->c, "weights") && !(w->c->form & W_FLAT), CLATTN_E_UNSUPPORTED,
               "of the outputs of %s only out is supported yet, and tensors of rank 4", w->c->op->name);
    const clattn_tensor *q = in(w, "q"), *k = in(w, "k"), *v = in(w, "v"), *e = in(w, "e"), *f = in(w, "f");
    const int64_t o[4] = {q->shape[0], q->shape[1], q->shape[2], v->shape[3]};
    const clattn_tensor *to = out(w, "out", false, 4, o);
    clattn_layout layout = w->c->form & W_BSHD ? CLATTN_BSHD : CLATTN_BHSD;
    double scale = ca_case_number(w->c, "scale", NAN);
    return e ? ca_op_linformer(call, q, k, v, e, f, layout, scale, to)
             : ca_op_nystrom(call, q, k, v, ca_case_int(w->c, "landmarks", 0), layout, scale, to);
}

static const struct { const char *name; clattn_status (*describe)(struct work *, struct ca_call *); } ops[] = {
    {"softmax", softmax}, {"log_softmax", softmax}, {"layer_norm", norm}, {"rms_norm", norm}, {"gelu", activate},
    {"silu", activate}, {"rope", rope}, {"rope_tables", rope_tables}, {"sinusoidal", sinusoidal},
    {"relative_bias", relative_bias}, {"cache_scatter", cache_scatter}, {"causal_conv", causal_conv}, {"merge", merge},
    {"linear_attention", linear}, {"mamba2_ssd", mamba2_ssd}, {"linformer", few_keys}, {"nystrom", few_keys},
};

/* Fills CALL, which the caller frees, from the case. */
static clattn_status describe(struct case_file *c, struct ca_call *call)
{
    struct work w = {.c = c};
    memset(call, 0, sizeof *call);
    for (unsigned i = 0; w.st == CLATTN_OK && i < c->num_in; i++) w.st = narrow(&c->in[i].a, c->in[i].name);
    clattn_status st = w.st;
    for (unsigned i = 0; st == CLATTN_OK && i < sizeof ops / sizeof ops[0]; i++)
        if (is_op(&w, ops[i].name)) st = ops[i].describe(&w, call);
    for (int i = 0; i < 2; i++) free(w.list[i]);
    return w.st != CLATTN_OK ? w.st : st;
}

/* The same message, with the file's name before it. */
static bool bad(const struct case_file *c)
{
    char why[900];
    snprintf(why, sizeof why, "%s", ca_message());
    ca_message_clear();
    return ca_case_bad(c, c->op->name, "%s", why);
}

/* What is only unsupported, or lacks memory, is said when the case is run. */
bool ca_around_check(struct case_file *c)
{
    struct ca_call call;
    clattn_status st = describe(c, &call);
    ca_call_free(&call);
    if (st == CLATTN_E_ARGUMENT) return bad(c);
    ca_message_clear();
    return true;
}

/* Expected outputs whose shape no row could tell; axes of 1 may be left out. */
static clattn_status check_expected(const struct case_file *c)
{
    char is[128], must[128];
    for (unsigned i = 0; i < c->num_out; i++) {
        const struct ca_npy *a = &c->out[i].a, *want = &c->out[i].want;
        int k = 0, n = 0;
        while (want->data && (k < a->rank || n < want->rank)) {
            if (k < a->rank && n < want->rank && a->shape[k] == want->shape[n]) k++, n++;
            else if (k < a->rank && a->shape[k] == 1) k++;
            else if (n < want->rank && want->shape[n] == 1) n++;
            else
                return ca_fail(CLATTN_E_ARGUMENT, "outputs.%s: %s: shape %s, must be %s", c->out[i].name,
                               c->out[i].path, ca_npy_shape(want, is, sizeof is), ca_npy_shape(a, must, sizeof must));
        }
    }
    return CLATTN_OK;
}

int ca_around_run(struct runner *r, struct case_file *c)
{
    struct ca_call call;
    clattn_status st = describe(c, &call);
    if (st == CLATTN_OK) st = check_expected(c);
    if (st == CLATTN_OK) st = ca_runner_open(r);
    if (st == CLATTN_OK) st = ca_call_run(r->ctx, &call, NULL);
    ca_call_free(&call);
    return ca_runner_outcome(r, st);
}
