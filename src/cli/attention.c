/* attention.c -- operation "attention": from a case to a descriptor and plan, and back to its outputs.
 *
 * Tensors of one type are handed over as they are.  Mixed types, and f64, are computed in f32: f16 and
 * bf16 widen exactly, and what is narrowed to the storage type is only the result. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "cli/mods.h"
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
        {"csr", "col_idx"}, {"block_mask", "kv_num_blocks"}, {"block_mask", "kv_indices"}, {"lsh", "rotations"}, {"adaptive_span", "span"}};
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

/* New keys are [B,Hkv,Nnew,D]; where the layout is BSHD and only that fits, [B,Nnew,Hkv,D]. */
static bool new_is_bshd(const struct case_file *c, const struct ca_npy *k)
{
    return c->form & W_BSHD && !(c->form & W_PAGED) && k->shape[1] != ca_size(c, "Hkv", 0);
}

static bool new_fits(const struct case_file *c)
{
    static const char *const names[2] = {"k_new", "v_new"};
    for (int i = 0; i < 2; i++) {
        const struct case_tensor *t = ca_case_input(c, names[i]), *k = ca_case_input(c, "k_new");
        if (!t) return true;
        bool bshd = new_is_bshd(c, &t->a);
        const int64_t want[4] = {ca_size(c, "B", 0), ca_size(c, "Hkv", 0), k->a.shape[new_is_bshd(c, &k->a) ? 1 : 2],
                                 ca_size(c, i ? "Dv" : "Dk", 0)};
        const int64_t *n = t->a.shape, got[4] = {n[0], n[bshd ? 2 : 1], n[bshd ? 1 : 2], n[3]};
        for (int axis = 0; axis < 4; axis++)
            if (got[axis] != want[axis])
                return ca_case_bad(c, i ? "inputs.v_new" : "inputs.k_new", "is for %" PRId64 " batch rows, %" PRId64
                                   " heads, %" PRId64 " keys of %" PRId64 ", not %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64,
                                   got[0], got[1], got[2], got[3], want[0], want[1], want[2], want[3]);
    }
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
    json_t *slope = json_object_get(c->attrs, "negative_slope");
    if (json_is_array(slope) && (int64_t)json_array_size(slope) != ca_size(c, "Hq", 0))
        return ca_case_bad(c, "attrs.negative_slope", "lists %zu numbers for %" PRId64 " query heads", json_array_size(slope),
                           ca_size(c, "Hq", 0));
    if (!strcmp(score, "general") && !ca_case_input(c, "score_w"))
        return ca_case_bad(c, "attrs.score", "general needs input score_w");
    return heads_fit(c) && positions_fit(c) && companions_fit(c) && modifiers_fit(c) && new_fits(c);
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

/* The axes of an input that broadcasts over [B,Hq,Nq,Nk], right-aligned; none when the case has no such input. */
static void describe_broadcast(const struct case_file *c, const char *name, clattn_broadcast *b)
{
    const struct case_tensor *t = ca_case_input(c, name);
    if (!t) return;
    for (int i = 0; i < 4; i++) b->shape[i] = i + t->a.rank < 4 ? 1 : t->a.shape[i + t->a.rank - 4];
}

/* The longest of a ragged batch's sequences; what is wrong with them the library says. */
static int64_t longest(const struct case_file *c, const char *name)
{
    const struct ca_npy *cu = &ca_case_input(c, name)->a;
    int64_t most = 0;
    for (size_t i = 0; i + 1 < cu->count; i++) {
        int64_t n = cu->type == CA_NPY_I8 ? ((int64_t *)cu->data)[i + 1] - ((int64_t *)cu->data)[i]
                                          : (int64_t)((int32_t *)cu->data)[i + 1] - ((int32_t *)cu->data)[i];
        if (n > most) most = n;
    }
    return most;
}

static clattn_weights weights_stage(const struct case_file *c)
{
    static const char *const stages[] = {"", "raw", "capped", "biased", "probs"};
    for (int i = CLATTN_WEIGHTS_RAW; i < CLATTN_WEIGHTS_PROBS; i++)
        if (!strcmp(ca_case_word(c, "weights_stage", "probs"), stages[i])) return (clattn_weights)i;
    return CLATTN_WEIGHTS_PROBS;
}

static void describe_new(const struct case_file *c, clattn_attention *a)
{
    clattn_strides *strides[2] = {&a->k_new, &a->v_new};
    static const char *const names[2] = {"k_new", "v_new"};
    for (int i = 0; i < 2; i++) {
        const struct case_tensor *t = ca_case_input(c, names[i]);
        if (!t) return;
        const int64_t *n = t->a.shape;
        bool bshd = new_is_bshd(c, &t->a);
        a->new_len = n[bshd ? 1 : 2];
        *strides[i] = bshd ? (clattn_strides){n[1] * n[2] * n[3], n[3], n[2] * n[3], 1}
                           : (clattn_strides){n[1] * n[2] * n[3], n[2] * n[3], n[3], 1};
    }
}

/* What the shape of a scale or zero point says that it is for. */
static clattn_scale scale_kind(const struct case_file *c, const char *name)
{
    const struct case_tensor *t = ca_case_input(c, name);
    return !t ? CLATTN_NO_SCALE : t->a.rank == 3 ? CLATTN_SCALE_BY_KEY : t->a.rank == 2 ? CLATTN_SCALE_BY_DIM : CLATTN_SCALE_BY_HEAD;
}

static int64_t rope_dims(const struct case_file *c, const char *name)
{
    const struct case_tensor *t = ca_case_input(c, name);
    return t ? 2 * t->a.shape[1] : 0;
}

/* Dims of values that are quantised: the last axis counts bytes, in the flat form of all heads. */
static int64_t value_dims(const struct case_file *c, clattn_kv_format format, int64_t heads)
{
    const struct ca_npy *v = &ca_case_input(c, "v")->a;
    int64_t bytes = v->shape[v->rank - 1];
    if (c->form & W_FLAT && heads > 0) bytes /= heads;
    return format >= CLATTN_KV_Q8_0 ? bytes / CA_BLOCK_BYTES(format) * 32 : bytes;
}

static void describe_elements(const struct case_file *c, clattn_attention *a)
{
    static const char *const formats[] = {"", "int8", "fp8_e4m3", "q8_0", "q4_0"};
    for (int i = CLATTN_KV_INT8; i <= CLATTN_KV_Q4_0; i++)
        if (!strcmp(ca_case_word(c, "kv_format", ""), formats[i])) a->kv_format = (clattn_kv_format)i;
    if (a->kv_format) a->v_dim = value_dims(c, a->kv_format, a->kv_heads);
    static const char *const scores[] = {"dot", "additive", "general", "gat"};
    for (int i = CLATTN_DOT; i <= CLATTN_GAT; i++)
        if (!strcmp(ca_case_word(c, "score", "dot"), scores[i])) a->score = (clattn_score)i;
    const struct case_tensor *w = ca_case_input(c, "score_w");
    if (a->score == CLATTN_ADDITIVE) {
        a->score_scale = ca_case_number(c, "score_scale", 1);
        a->score_ws = w ? (int64_t)w->a.count : 0;
    }
    if (a->score == CLATTN_GENERAL) {
        a->q_dim = a->head_dim;
        a->head_dim = ca_size(c, "Dk", a->head_dim);
    }
    a->k_scale = scale_kind(c, "k_scale");
    a->v_scale = scale_kind(c, "v_scale");
    a->k_zero = scale_kind(c, "k_zero");
    a->v_zero = scale_kind(c, "v_zero");
    a->q_rope = rope_dims(c, "q_rope_cos");
    a->k_rope = rope_dims(c, "k_rope_cos");
    a->rope_interleaved = ca_case_flag(c, "rope_interleaved");
}

/* The inputs whose shapes no row of the menu ties to others hold what the library will read. */
static bool sizes_fit(const struct case_file *c, const struct problem *p)
{
    static const struct { const char *name; enum ca_slot slot; } rows[] = {
        {"k", CA_K}, {"v", CA_V}, {"k_scale", CA_KSCALE}, {"v_scale", CA_VSCALE}, {"k_zero", CA_KZERO}, {"v_zero", CA_VZERO},
        {"q_rope_cos", CA_QCOS}, {"q_rope_sin", CA_QSIN}, {"k_rope_cos", CA_KCOS}, {"k_rope_sin", CA_KSIN},
        {"score_w", CA_SCOREW}, {"doc_ids", CA_DOCS}, {"row_ptr", CA_ROWS}, {"edge_bias", CA_EDGES}, {"kv_num_blocks", CA_KV_BLOCKS}, {"kv_indices", CA_KV_INDICES},
        {"full_kv_num_blocks", CA_FULL_BLOCKS}, {"full_kv_indices", CA_FULL_INDICES}, {"rotations", CA_ROTATIONS}};
    char field[32];
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct case_tensor *t = ca_case_input(c, rows[i].name);
        bool table = rows[i].slot >= CA_QCOS && rows[i].slot <= CA_KSIN; /* may have more rows than are used */
        size_t want = t ? ca_slot_elements(p, rows[i].slot) : 0;
        if (!t || ca_slot_unwanted(p, rows[i].slot) || (table ? t->a.count >= want : t->a.count == want)) continue;
        snprintf(field, sizeof field, "inputs.%s", rows[i].name);
        return ca_case_bad(c, field, "has %zu elements, needs %zu", t->a.count, want);
    }
    return true;
}

static void describe(const struct case_file *c, enum ca_npy_type type, clattn_attention *a)
{
    const struct case_tensor *slopes = ca_case_input(c, "alibi_slopes");
    clattn_attention_init(a);
    a->dtype = dtype_of(type);
    a->layout = c->form & W_THD ? CLATTN_THD : c->form & W_BSHD ? CLATTN_BSHD : CLATTN_BHSD;
    a->batch = ca_size(c, "B", 0);
    a->q_heads = ca_size(c, "Hq", 0);
    a->kv_heads = ca_size(c, "Hkv", 0);
    a->q_len = c->form & W_THD ? longest(c, "cu_seqlens_q") : ca_size(c, "Nq", 0);
    a->kv_len = c->form & W_THD ? longest(c, "cu_seqlens_k") : ca_size(c, "Nk", 0);
    a->q_total = c->form & W_THD ? ca_size(c, "Tq", 0) : 0;
    a->kv_total = c->form & W_THD ? ca_size(c, "Tk", 0) : 0;
    if (c->form & W_PAGED) {
        a->page_size = ca_case_int(c, "page_size", 1);
        a->pages = ca_size(c, "Pages", 0);
        a->kv_len = a->page_size * ca_case_input(c, "block_table")->a.shape[1];
        a->kv_total = 0;
    }
    a->head_dim = ca_size(c, "D", 0);
    a->v_dim = ca_size(c, "Dv", 0);
    a->scale = ca_case_number(c, "scale", NAN);
    a->softcap = ca_case_number(c, "softcap", 0);
    a->alibi = !slopes ? CLATTN_NO_ALIBI : slopes->a.rank == 1 ? CLATTN_ALIBI_HEAD : CLATTN_ALIBI_BATCH_HEAD;
    a->sinks = ca_case_input(c, "sinks") != NULL;
    a->dropout_p = ca_case_number(c, "dropout_p", 0);
    a->seed = (uint64_t)ca_case_int(c, "seed", 0);
    a->offset = (uint64_t)ca_case_int(c, "offset", 0);
    if (ca_case_input(c, "kv_lens")) a->kv_lens = a->kv_len;
    describe_new(c, a);
    describe_elements(c, a);
    a->weights = ca_case_output(c, "weights") ? weights_stage(c) : CLATTN_NO_WEIGHTS;
    describe_broadcast(c, "bias", &a->bias);
    describe_broadcast(c, "mask", &a->mask);
    describe_positions(c, a);
}

/* The user's functions; TEXTS holds what A points to. */
static void describe_mods(const struct case_file *c, struct mod_texts *texts, clattn_attention *a)
{
    size_t i;
    json_t *value;
    ca_mods_describe(c->attrs, texts, a);
    json_array_foreach(json_object_get(c->attrs, "mod_buffers"), i, value)
        if (i < CLATTN_MAX_MODS) a->mod_lengths[i] = (int64_t)ca_case_input(c, json_string_value(value))->a.count;
}

/* CASES.md allows more than the library takes: CASE_DONE, or CASE_SKIPPED with the reason. */
static int within_limits(struct runner *r, const struct case_file *c, const clattn_attention *a)
{
    if (a->head_dim > CA_MAX_DIM) return skip(r, "head dimension %" PRId64 " is larger than 576", a->head_dim);
    if (a->v_dim > CA_MAX_DIM) return skip(r, "value dimension %" PRId64 " is larger than 576", a->v_dim);
    if (a->v_dim < 1) return skip(r, "value dimension %" PRId64 " is not supported", a->v_dim);
    if (ca_case_has(c, "scale") && !isfinite((float)a->scale))
        return skip(r, "a scale that is not finite in f32 is not supported", 0);
    if (json_array_size(json_object_get(c->attrs, "mod_buffers")) > CLATTN_MAX_MODS)
        return skip(r, "more than %" PRId64 " mod_buffers are not supported", CLATTN_MAX_MODS);
    if (a->softcap != 0 && !CA_SOFTCAP_FITS(a->softcap))
        return skip(r, "a softcap outside of 1e-37 ... 1e37 is not supported", 0);
    return CASE_DONE;
}

/* ------------------------------------------------------------------ tensors */

/* The one type to compute in: that of q, k and v if they agree, else f32. */
static enum ca_npy_type compute_type(const struct case_file *c)
{
    enum ca_npy_type q = ca_case_input(c, "q")->a.type;
    if (c->form & W_QUANT) return q != CA_NPY_F8 ? q : CA_NPY_F4;
    bool same = ca_case_input(c, "k")->a.type == q && ca_case_input(c, "v")->a.type == q;
    return same && q != CA_NPY_F8 ? q : CA_NPY_F4;
}

/* The inputs by slot, and how the library wants them. */
enum form { AS_Q, F32, I32, BYTES };
static const struct { const char *name; enum form form; } inputs[CA_SLOTS] = {
    [CA_Q] = {"q", AS_Q}, [CA_K] = {"k", AS_Q}, [CA_V] = {"v", AS_Q}, [CA_QOFF] = {"q_offset", I32},
    [CA_LENS] = {"kv_lens", I32}, [CA_SLOPES] = {"alibi_slopes", F32}, [CA_SINKS] = {"sinks", F32},
    [CA_BIAS] = {"bias", F32}, [CA_MASK] = {"mask", BYTES}, [CA_CUQ] = {"cu_seqlens_q", I32},
    [CA_CUK] = {"cu_seqlens_k", I32}, [CA_TABLE] = {"block_table", I32}, [CA_KNEW] = {"k_new", AS_Q}, [CA_VNEW] = {"v_new", AS_Q},
    [CA_KSCALE] = {"k_scale", F32}, [CA_VSCALE] = {"v_scale", F32}, [CA_KZERO] = {"k_zero", F32}, [CA_VZERO] = {"v_zero", F32},
    [CA_QCOS] = {"q_rope_cos", F32}, [CA_QSIN] = {"q_rope_sin", F32}, [CA_KCOS] = {"k_rope_cos", F32}, [CA_KSIN] = {"k_rope_sin", F32}, [CA_SCOREW] = {"score_w", F32},
    [CA_PREFIX_LENS] = {"prefix", I32}, [CA_DOCS] = {"doc_ids", I32}, [CA_LAYOUT] = {"block_layout", BYTES}, [CA_ROWS] = {"row_ptr", I32},
    [CA_COLUMNS] = {"col_idx", I32}, [CA_EDGES] = {"edge_bias", F32}, [CA_KV_BLOCKS] = {"kv_num_blocks", I32}, [CA_KV_INDICES] = {"kv_indices", I32},
    [CA_FULL_BLOCKS] = {"full_kv_num_blocks", I32}, [CA_FULL_INDICES] = {"full_kv_indices", I32}, [CA_ROTATIONS] = {"rotations", F32}, [CA_SPANS] = {"span", F32}};

struct outputs { struct ca_npy out, lse, weights, spent; }; /* out in the compute type */

static void outputs_free(struct outputs *o)
{
    ca_npy_free(&o->out);
    ca_npy_free(&o->lse);
    ca_npy_free(&o->weights);
    ca_npy_free(&o->spent);
}

void ca_attention_free(struct attention_case *w)
{
    for (int i = 0; i < CA_SLOTS; i++) ca_npy_free(&w->in[i]);
}

/* A copy as int32. */
static clattn_status narrow(const struct case_file *c, const char *name, const struct ca_npy *a, struct ca_npy *copy)
{
    clattn_status st = ca_npy_alloc(copy, CA_NPY_I4, a->rank, a->shape);
    for (size_t i = 0; st == CLATTN_OK && i < a->count; i++) {
        int64_t x = a->type == CA_NPY_I8 ? ((int64_t *)a->data)[i] : ((int32_t *)a->data)[i];
        if (x != (int32_t)x)
            return ca_fail(CLATTN_E_UNSUPPORTED, "%s: inputs.%s[%zu] is %" PRId64 ", which does not fit 32 bits", c->name, name, i, x);
        ((int32_t *)copy->data)[i] = (int32_t)x;
    }
    return st;
}

/* A cache that the execution writes: the case's own stays as it was read. */
static bool is_cache(const struct case_file *c, int slot)
{
    return (slot == CA_K || slot == CA_V || (slot >= CA_KSCALE && slot <= CA_VZERO)) && ca_case_input(c, "k_new");
}

static clattn_status take_input(const struct case_file *c, enum ca_npy_type type, struct attention_case *w, int slot)
{
    const struct case_tensor *t = inputs[slot].name ? ca_case_input(c, inputs[slot].name) : NULL;
    clattn_status st = CLATTN_OK;
    enum ca_npy_type want = inputs[slot].form == AS_Q ? type : CA_NPY_F4;
    if (!t) return CLATTN_OK;
    if (c->form & W_QUANT && (slot == CA_K || slot == CA_V)) st = is_cache(c, slot) ? ca_npy_convert(&t->a, t->a.type, &w->in[slot]) : CLATTN_OK;
    else if (inputs[slot].form == I32) st = narrow(c, t->name, &t->a, &w->in[slot]);
    else if (inputs[slot].form != BYTES && (t->a.type != want || is_cache(c, slot))) st = ca_npy_convert(&t->a, want, &w->in[slot]);
    w->data[slot] = w->in[slot].data ? w->in[slot].data : t->a.data;
    return st;
}

static clattn_status alloc_outputs(const struct case_file *c, enum ca_npy_type type, const clattn_attention *a,
                                   struct outputs *w)
{
    int64_t B = a->batch, H = a->q_heads, N = a->q_len, Dv = a->v_dim;
    const int64_t flat[3] = {B, N, H * Dv}, bshd[4] = {B, N, H, Dv}, bhsd[4] = {B, H, N, Dv};
    const int64_t thd[3] = {a->q_total, H, Dv}, ht[2] = {H, a->q_total};
    const int64_t *shape = c->form & W_THD ? thd : c->form & W_FLAT ? flat : c->form & W_BSHD ? bshd : bhsd;
    clattn_status st = ca_npy_alloc(&w->out, type, c->form & (W_THD | W_FLAT) ? 3 : 4, shape);
    if (st == CLATTN_OK && a->weights)
        st = ca_npy_alloc(&w->weights, CA_NPY_F4, 4, (const int64_t[4]){B, H, N, a->kv_len});
    if (st == CLATTN_OK && ca_case_output(c, "spent")) st = ca_npy_alloc(&w->spent, CA_NPY_I4, 3, (const int64_t[3]){B, H, N});
    if (st != CLATTN_OK) return st;
    return c->form & W_THD ? ca_npy_alloc(&w->lse, CA_NPY_F4, 2, ht) : ca_npy_alloc(&w->lse, CA_NPY_F4, 3, bhsd);
}

/* attrs.negative_slope, a number or a list, for each head. */
static clattn_status make_leaks(const struct case_file *c, int64_t heads, struct attention_case *w)
{
    json_t *value = json_object_get(c->attrs, "negative_slope");
    clattn_status st = ca_npy_alloc(&w->in[CA_LEAKS], CA_NPY_F4, 1, &heads);
    for (int64_t h = 0; st == CLATTN_OK && h < heads; h++) {
        double x = 0.2;
        if (json_is_array(value)) ca_json_number(json_array_get(value, (size_t)h), &x);
        else if (value && !json_is_null(value)) ca_json_number(value, &x);
        ((float *)w->in[CA_LEAKS].data)[h] = (float)x;
    }
    w->data[CA_LEAKS] = w->in[CA_LEAKS].data;
    return st;
}

static clattn_status take_inputs(const struct case_file *c, enum ca_npy_type type, struct attention_case *w)
{
    const clattn_attention *a = &w->a;
    clattn_status st = CLATTN_OK;
    for (int i = 0; st == CLATTN_OK && i < CA_SLOTS; i++) st = take_input(c, type, w, i);
    size_t k;
    json_t *name;
    json_array_foreach(json_object_get(c->attrs, "mod_buffers"), k, name) {
        const struct ca_npy *t = &ca_case_input(c, json_string_value(name))->a;
        if (st == CLATTN_OK && t->type != CA_NPY_F4) st = ca_npy_convert(t, CA_NPY_F4, &w->in[CA_MOD + k]);
        w->data[CA_MOD + k] = w->in[CA_MOD + k].data ? w->in[CA_MOD + k].data : t->data;
    }
    if (st == CLATTN_OK && a->score == CLATTN_GAT) st = make_leaks(c, a->q_heads, w);
    if (!a->kv_lens) w->data[CA_LENS] = NULL; /* there are no keys, anyhow */
    if (a->pattern && !a->pattern->max_full_blocks) w->data[CA_FULL_BLOCKS] = w->data[CA_FULL_INDICES] = NULL; /* of none */
    return st;
}

static clattn_status execute(struct runner *r, const struct case_file *c, const struct attention_case *w, struct outputs *o)
{
    const clattn_attention *a = &w->a;
    clattn_plan *plan;
    clattn_status st = ca_runner_plan(r, a, &plan);
    if (st != CLATTN_OK) return st;
    const clattn_pointers p = {
        .size = sizeof p, .q = w->data[CA_Q], .k = w->data[CA_K], .v = w->data[CA_V], .out = o->out.data,
        .lse = ca_case_output(c, "lse") ? o->lse.data : NULL, .q_offset = w->data[CA_QOFF], .kv_lens = w->data[CA_LENS],
        .alibi_slopes = w->data[CA_SLOPES], .sinks = w->data[CA_SINKS], .bias = w->data[CA_BIAS], .mask = w->data[CA_MASK],
        .cu_seqlens_q = w->data[CA_CUQ], .cu_seqlens_k = a->kv_total || !a->page_size ? w->data[CA_CUK] : NULL,
        .block_table = w->data[CA_TABLE], .k_new = w->data[CA_KNEW], .v_new = w->data[CA_VNEW], .weights = o->weights.data,
        .k_scale = w->data[CA_KSCALE], .v_scale = w->data[CA_VSCALE], .k_zero = w->data[CA_KZERO], .v_zero = w->data[CA_VZERO],
        .q_rope_cos = w->data[CA_QCOS], .q_rope_sin = w->data[CA_QSIN], .k_rope_cos = w->data[CA_KCOS],
        .k_rope_sin = w->data[CA_KSIN], .score_w = w->data[CA_SCOREW], .leaks = w->data[CA_LEAKS],
        .mods = {w->data[CA_MOD], w->data[CA_MOD + 1], w->data[CA_MOD + 2], w->data[CA_MOD + 3]},
        .prefix = w->data[CA_PREFIX_LENS], .doc_ids = w->data[CA_DOCS], .block_layout = w->data[CA_LAYOUT], .row_ptr = w->data[CA_ROWS],
        .col_idx = w->data[CA_COLUMNS], .edge_bias = w->data[CA_EDGES], .kv_num_blocks = w->data[CA_KV_BLOCKS], .kv_indices = w->data[CA_KV_INDICES],
        .full_kv_num_blocks = w->data[CA_FULL_BLOCKS], .full_kv_indices = w->data[CA_FULL_INDICES], .rotations = w->data[CA_ROTATIONS], .span = w->data[CA_SPANS], .spent = o->spent.data,
    };
    return clattn_execute_host(plan, &p);
}

/* Hands the results over to the case, out in the storage type of the first input. */
static clattn_status deliver(const struct case_file *c, const struct attention_case *w, struct outputs *o)
{
    const struct { struct case_tensor *to; struct ca_npy *from; } whole[] = {{ca_case_output(c, "lse"), &o->lse},
        {ca_case_output(c, "weights"), &o->weights}, {ca_case_output(c, "spent"), &o->spent}};
    struct case_tensor *out = ca_case_output(c, "out"), *caches[2] = {ca_case_output(c, "k_cache"), ca_case_output(c, "v_cache")};
    for (unsigned i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        if (!whole[i].to) continue;
        whole[i].to->a = *whole[i].from;
        memset(whole[i].from, 0, sizeof *whole[i].from);
    }
    clattn_status st = out ? ca_npy_convert(&o->out, ca_case_storage(c), &out->a) : CLATTN_OK;
    for (int i = 0; i < 2 && st == CLATTN_OK; i++)
        if (caches[i]) st = ca_npy_convert(&w->in[CA_K + i], ca_case_input(c, i ? "v" : "k")->a.type == CA_NPY_F8 ? CA_NPY_F4
                                           : ca_case_input(c, i ? "v" : "k")->a.type, &caches[i]->a);
    return st;
}

int ca_attention_take(struct runner *r, const struct case_file *c, struct attention_case *w)
{
    clattn_status st = CLATTN_OK;
    enum ca_npy_type type = compute_type(c);
    memset(w, 0, sizeof *w);
    describe(c, type, &w->a);
    describe_mods(c, &w->texts, &w->a);
    int end = within_limits(r, c, &w->a);
    struct problem p;
    if (end == CASE_DONE) st = ca_case_pattern(c, &w->tree, &w->a);
    if (end == CASE_DONE && st == CLATTN_OK && w->a.q_heads > 0) st = ca_problem_init(&p, &w->a);
    if (end == CASE_DONE && w->a.q_heads > 0 && st == CLATTN_OK && !sizes_fit(c, &p)) end = CASE_BAD;
    if (end == CASE_DONE && st == CLATTN_OK) st = take_inputs(c, type, w);
    return st == CLATTN_OK ? end : ca_runner_outcome(r, st);
}

int ca_attention_run(struct runner *r, struct case_file *c)
{
    struct attention_case w;
    struct outputs o;
    clattn_status st = CLATTN_OK;
    memset(&o, 0, sizeof o);
    int end = ca_attention_take(r, c, &w);
    if (end == CASE_DONE) st = alloc_outputs(c, compute_type(c), &w.a, &o);
    /* Without heads there is nothing to compute, and the library takes no such problem. */
    if (end == CASE_DONE && st == CLATTN_OK && w.a.q_heads > 0) st = execute(r, c, &w, &o);
    if (end == CASE_DONE && st == CLATTN_OK) st = deliver(c, &w, &o);
    if (st != CLATTN_OK) end = ca_runner_outcome(r, st);
    ca_attention_free(&w);
    outputs_free(&o);
    return end;
}
