/* menu.c -- CASES.md in rows.  The order within a table is the order in which shapes are matched: a row
 * may use the sizes that rows above it name. */
#include "cli/menu.h"
#include <string.h>
#include "cli/run.h"

/* Rows name only what differs from nothing. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define REQ .required = true
#define OK .works = true
#define END {.name = NULL}

/* ---------------------------------------------------------------- attention */

static const struct attr_row attention_attrs[] = {
    {"scale", V_NUMBER},
    {"causal", V_BOOL},
    {"align", V_WORD, "top_left bottom_right offset"},
    {"q_offset", V_INT},
    {"window", V_WINDOW},
    {"layout", V_WORD, "BHSD BSHD THD"},
    {"q_heads", V_INT, "1"},
    {"kv_heads", V_INT, "1"},
    {"softcap", V_NUMBER, "0"},
    {"score", V_WORD, "dot additive general gat"},
    {"score_scale", V_NUMBER},
    {"negative_slope", V_NUMBERS},
    {"pattern", V_PATTERN},
    {"score_mod", V_TEXT},
    {"score_mod_grad", V_TEXT, NULL, ""},
    {"mask_mod", V_TEXT},
    {"tile_class", V_TEXT},
    {"mod_buffers", V_NAMES},
    {"mod_scalars", V_SCALARS},
    {"weights_stage", V_WORD, "raw capped biased probs"},
    {"dropout_p", V_NUMBER, "0"},
    {"seed", V_INT},
    {"offset", V_INT, "0"},
    {"page_size", V_INT, "1"},
    {"kv_format", V_WORD, "int8 fp8_e4m3 q8_0 q4_0"},
    {"rope_interleaved", V_BOOL},
    END};

#define QKV_INPUTS \
    {"q", 'f', W_THD, "Tq Hq D", REQ, OK}, \
    {"q", 'f', W_BSHD | W_FLAT, "B Nq Hq*D", REQ, OK}, \
    {"q", 'f', W_BSHD, "B Nq Hq D", REQ, OK}, \
    {"q", 'f', 0, "B Hq Nq D", REQ, OK}, \
    {"k", 'c', W_PAGED | W_QUANT, "Pages Page Hkv _", REQ, OK}, \
    {"k", 'c', W_PAGED, "Pages Page Hkv Dk", REQ, OK}, \
    {"k", 'c', W_THD | W_QUANT, "Tk Hkv _", REQ, OK}, \
    {"k", 'c', W_THD, "Tk Hkv Dk", REQ, OK}, \
    {"k", 'c', W_BSHD | W_QUANT, "B Nk Hkv _ | B Nk _", REQ, OK}, \
    {"k", 'c', W_BSHD | W_FLAT, "B Nk Hkv*Dk", REQ, OK}, \
    {"k", 'c', W_BSHD, "B Nk Hkv Dk", REQ, OK}, \
    {"k", 'c', W_QUANT, "B Hkv Nk _", REQ, OK}, \
    {"k", 'c', 0, "B Hkv Nk Dk", REQ, OK}, \
    {"v", 'c', W_PAGED | W_QUANT, "Pages Page Hkv _", REQ, OK}, \
    {"v", 'c', W_PAGED, "Pages Page Hkv Dv", REQ, OK}, \
    {"v", 'c', W_THD | W_QUANT, "Tk Hkv _", REQ, OK}, \
    {"v", 'c', W_THD, "Tk Hkv Dv", REQ, OK}, \
    {"v", 'c', W_BSHD | W_QUANT, "B Nk Hkv _ | B Nk _", REQ, OK}, \
    {"v", 'c', W_BSHD | W_FLAT, "B Nk Hkv*Dv", REQ, OK}, \
    {"v", 'c', W_BSHD, "B Nk Hkv Dv", REQ, OK}, \
    {"v", 'c', W_QUANT, "B Hkv Nk _", REQ, OK}, \
    {"v", 'c', 0, "B Hkv Nk Dv", REQ, OK}

#define SCORE_INPUTS /* what attention takes besides q, k, v */ \
    {"cu_seqlens_q", 'i', 0, "B+1", "layout=THD", OK}, \
    {"cu_seqlens_k", 'i', 0, "B+1", "layout=THD", OK}, \
    {"block_table", 'i', 0, "B _", "page_size", OK}, \
    {"kv_lens", 'i', 0, "B", NULL, OK}, \
    {"q_offset", 'i', 0, "B", "align=offset", OK}, \
    {"bias", 'f', 0, "~B Hq Nq Nk", NULL, OK}, \
    {"mask", 'm', 0, "~B Hq Nq Nk", NULL, OK}, \
    {"alibi_slopes", 'f', 0, "Hq | B Hq", NULL, OK}, \
    {"sinks", 'f', 0, "Hq", NULL, OK}, \
    {"q_rope_cos", 'f', 0, "_ _", "+q_rope_sin", OK}, \
    {"q_rope_sin", 'f', 0, "_ _", "+q_rope_cos", OK}, \
    {"k_rope_cos", 'f', 0, "_ _", "+k_rope_sin", OK}, \
    {"k_rope_sin", 'f', 0, "_ _", "+k_rope_cos", OK}, \
    {"k_new", 'f', 0, "_ _ _ _", "+v_new", OK}, \
    {"v_new", 'f', 0, "_ _ _ _", "+k_new", OK}, \
    {"k_scale", 'f', 0, "_ | _ _ | _ _ _", "kv_format", OK}, \
    {"v_scale", 'f', 0, "_ | _ _ | _ _ _", "kv_format", OK}, \
    {"k_zero", 'f', 0, "_ _ | _ _ _", "kv_format", OK}, \
    {"v_zero", 'f', 0, "_ _ | _ _ _", "kv_format", OK}, \
    {"score_w", 'f', 0, "_ | _ _", "score=additive|general", OK}, \
    {"prefix", 'i', 0, "B", "pattern=prefix", OK}, \
    {"doc_ids", 'i', 0, "B Nk", "pattern=document", OK}, \
    {"block_layout", 'm', 0, "_ _ _", "pattern=block_sparse", OK}, \
    {"row_ptr", 'i', 0, "_ | Hq _", "pattern=csr", OK}, \
    {"col_idx", 'i', 0, "_", "pattern=csr", OK}, \
    {"edge_bias", 'f', 0, "_ | Hq _", "pattern=csr", OK}, \
    {"kv_num_blocks", 'i', 0, "_ _ _", "pattern=block_mask", OK}, \
    {"kv_indices", 'i', 0, "_ _ _ _", "+kv_num_blocks", OK}, \
    {"full_kv_num_blocks", 'i', 0, "_ _ _", "+full_kv_indices", OK}, \
    {"full_kv_indices", 'i', 0, "_ _ _ _", "+full_kv_num_blocks", OK}, \
    {"rotations", 'f', 0, "_ D _", "pattern=lsh", OK}, \
    {"span", 'f', 0, "Hq", "pattern=adaptive_span", OK}

static const struct slot_row attention_inputs[] = {
    QKV_INPUTS,
    SCORE_INPUTS,
    {"dout", 'f', W_THD, "Tq Hq Dv", NULL},
    {"dout", 'f', W_BSHD | W_FLAT, "B Nq Hq*Dv", NULL},
    {"dout", 'f', W_BSHD, "B Nq Hq Dv", NULL},
    {"dout", 'f', 0, "B Hq Nq Dv", NULL},
    {"dlse", 'f', W_THD, "Hq Tq", "+dout"},
    {"dlse", 'f', 0, "B Hq Nq", "+dout"},
    END};

static const struct slot_row attention_outputs[] = {
    {"out", 'f', W_THD, "Tq Hq Dv", NULL, OK},
    {"out", 'f', W_BSHD | W_FLAT, "B Nq Hq*Dv", NULL, OK},
    {"out", 'f', W_BSHD, "B Nq Hq Dv", NULL, OK},
    {"out", 'f', 0, "B Hq Nq Dv", NULL, OK},
    {"lse", 's', W_THD, "Hq Tq", NULL, OK},
    {"lse", 's', 0, "B Hq Nq", NULL, OK},
    {"weights", 's', W_THD, "_ _ _ _ | _ _ _", NULL, OK},
    {"weights", 's', 0, "B Hq Nq _", NULL, OK},
    {"k_cache", 'c', 0, "=k", "+k_new", OK},
    {"v_cache", 'c', 0, "=v", "+v_new", OK},
    {"spent", 'i', 0, "_ _ _", "pattern=top_p", OK},
    END};

/* ---------------------------------------------------------------- patterns */

#define FIELDS(...) ((const struct attr_row[]){__VA_ARGS__, END})
#define INT(name_, least) {name_, V_INT, least, .required = true}
static const struct pattern_row patterns[] = {
    {"strided", FIELDS(INT("stride", "1"))},
    {"fixed", FIELDS(INT("stride", "1"), INT("summary", "0"))},
    {"dilated", FIELDS(INT("width", "0"), INT("dilation", "1"))},
    {"random", FIELDS(INT("count", "0"), INT("seed", NULL))},
    {"global", FIELDS({"tokens", V_INTS, REQ})},
    {"bigbird", FIELDS(INT("block", "1"), INT("random", "0"), INT("seed", NULL), INT("globals", "0"))},
    {"longformer", FIELDS(INT("radius", "0"), {"tokens", V_INTS, REQ})},
    {"sink_window", FIELDS(INT("window", "0"), INT("sinks", "0"))},
    {"prefix", FIELDS(END)},
    {"chunked", FIELDS(INT("chunk", "1"))},
    {"document", FIELDS(END)},
    {"neighborhood", FIELDS({"grid", V_INTS, REQ}, {"kernel", V_INTS, REQ}, {"dilation", V_INTS}, {"causal", V_INTS})},
    {"window2d", FIELDS({"grid", V_INTS, REQ}, {"window", V_INTS, REQ}, {"shift", V_INTS})},
    {"block_sparse", FIELDS(INT("block", "1"))},
    {"csr", FIELDS(END)},
    {"lsh", FIELDS(INT("rounds", "1"))},
    {"top_k", FIELDS(INT("k", "0"))},
    {"block_top_k", FIELDS(INT("block", "1"), INT("count", "0"), {"own", V_BOOL})},
    {"top_p", FIELDS({"p", V_NUMBER, "0", REQ}, {"max", V_INT, "0"})},
    {"adaptive_span", FIELDS({"ramp", V_NUMBER, "0", REQ})},
    {"hierarchical", FIELDS(INT("block", "1"))},
    {"block_mask", FIELDS({"block_size", V_INTS, REQ})},
    {"union", FIELDS({"of", V_PATTERN, REQ})},
    {"intersect", FIELDS({"of", V_PATTERN, REQ})},
};

/* ------------------------------------------------------------ linear family */

static const struct attr_row linear_attrs[] = {
    {"layout", V_WORD, "BHSD BSHD"},
    {"update_rule", V_WORD, "linear gated delta gated_delta"},
    {"scale", V_NUMBER},
    {"feature_map", V_WORD, "identity elu1 relu exp square taylor2 favor cos softmax"},
    {"max_len", V_INT, "1"},
    {"normalize", V_BOOL},
    {"eps", V_NUMBER},
    {"causal", V_BOOL},
    {"l2norm_qk", V_BOOL},
    END};
static const struct slot_row linear_inputs[] = {
    {"q", 'f', W_BSHD, "B T H K", REQ, OK},
    {"q", 'f', 0, "B H T K", REQ, OK},
    {"k", 'f', W_BSHD, "B T Hkv K", REQ, OK},
    {"k", 'f', 0, "B Hkv T K", REQ, OK},
    {"v", 'f', W_BSHD, "B T Hkv V", REQ, OK},
    {"v", 'f', 0, "B Hkv T V", REQ, OK},
    {"g", 'f', W_BSHD, "B T Hkv | B T Hkv K", NULL, OK},
    {"g", 'f', 0, "B Hkv T | B Hkv T K", NULL, OK},
    {"beta", 'f', W_BSHD, "B T Hkv", NULL, OK},
    {"beta", 'f', 0, "B Hkv T", NULL, OK},
    {"initial_state", 'f', 0, "B Hkv _ V", NULL, OK},
    {"initial_z", 'f', 0, "B Hkv _", NULL, OK},
    {"u", 'f', 0, "Hkv K", NULL, OK},
    {"projection", 'f', 0, "_ K", "feature_map=favor", OK},
    {"dout", 'f', W_BSHD, "B T H V"},
    {"dout", 'f', 0, "B H T V"},
    {"dfinal_state", 'f', 0, "B Hkv _ V", "+dout"},
    END};
static const struct slot_row linear_outputs[] = {
    {"out", 'f', W_BSHD, "B T H V", NULL, OK},
    {"out", 'f', 0, "B H T V", NULL, OK},
    {"final_state", 'f', 0, "B Hkv _ V", NULL, OK},
    {"final_z", 'f', 0, "B Hkv _", "normalize", OK},
    END};

static const struct slot_row linformer_inputs[] = {
    QKV_INPUTS,
    {"e", 'f', 0, "Hkv/1 P Nk", REQ, OK},
    {"f", 'f', 0, "Hkv/1 P Nk", NULL, OK},
    {"dout", 'f', W_BSHD, "B Nq Hq Dv"},
    {"dout", 'f', 0, "B Hq Nq Dv"},
    END};
static const struct attr_row nystrom_attrs[] = {
    {"landmarks", V_INT, "1", REQ}, {"scale", V_NUMBER}, {"layout", V_WORD, "BHSD BSHD"}, END};
static const struct slot_row nystrom_inputs[] = {
    QKV_INPUTS,
    {"dout", 'f', W_BSHD, "B Nq Hq Dv"},
    {"dout", 'f', 0, "B Hq Nq Dv"},
    END};

static const struct slot_row mamba_inputs[] = {
    {"x", 'f', 0, "B T H P", REQ, OK}, {"dt", 'f', 0, "B T H", REQ, OK}, {"A_log", 'f', 0, "H", REQ, OK},
    {"B", 'f', 0, "B T G N", REQ, OK}, {"C", 'f', 0, "B T G N", REQ, OK}, {"D", 'f', 0, "H", NULL, OK},
    {"dout", 'f', 0, "B T H P"}, {"dfinal_state", 'f', 0, "B H N P", "+dout"}, END};
static const struct slot_row mamba_outputs[] = {
    {"out", 'f', 0, "B T H P", NULL, OK}, {"final_state", 'f', 0, "B H N P", NULL, OK}, END};

/* ------------------------------------------------------------------- others */

static const struct attr_row no_attrs[] = {END};
static const struct slot_row no_inputs[] = {END};
static const struct slot_row x_inputs[] = {{"x", 'f', 0, "...", REQ, OK}, {"dout", 'f', 0, "=x"}, END};
static const struct slot_row x_outputs[] = {{"out", 'f', 0, "=x", OK}, END};

static const struct attr_row rope_attrs[] = {
    {"layout", V_WORD, "BHSD BSHD"}, {"interleaved", V_BOOL}, {"rotary_dim", V_INT, "0"}, END};
static const struct slot_row rope_inputs[] = {
    {"x", 'f', W_BSHD, "B N H D", REQ, OK}, {"x", 'f', 0, "B H N D", REQ, OK},
    {"cos", 'f', 0, "Rows Half", REQ, OK},  {"sin", 'f', 0, "Rows Half", REQ, OK},
    {"position_ids", 'i', 0, "B N", OK},    {"dout", 'f', 0, "=x"},
    END};
static const struct attr_row rope_tables_attrs[] = {
    {"type", V_WORD, "default linear dynamic yarn llama3 longrope"},
    {"dim", V_INT, "0", REQ},
    {"theta", V_NUMBER, "0"},
    {"length", V_INT, "0", REQ},
    {"start", V_INT, "0"},
    {"factor", V_NUMBER},
    {"max_position_embeddings", V_INT, "1"},
    {"original_max_position_embeddings", V_INT, "1"},
    {"attention_factor", V_NUMBER},
    {"beta_fast", V_NUMBER},
    {"beta_slow", V_NUMBER},
    {"mscale", V_NUMBER},
    {"mscale_all_dim", V_NUMBER},
    {"truncate", V_BOOL},
    {"low_freq_factor", V_NUMBER},
    {"high_freq_factor", V_NUMBER},
    {"short_factor", V_NUMBERS},
    {"long_factor", V_NUMBERS},
    {"partial_rotary_factor", V_NUMBER},
    END};
static const struct slot_row rope_tables_outputs[] = {
    {"inv_freq", 's', 0, "_", OK}, {"cos", 's', 0, "_ _", OK}, {"sin", 's', 0, "_ _", OK}, END};

static const struct attr_row norm_attrs[] = {{"axis", V_INT}, {"eps", V_NUMBER}, END};
static const struct slot_row norm_inputs[] = {
    {"x", 'f', 0, "...", REQ, OK}, {"weight", 'f', 0, "...", OK}, {"bias", 'f', 0, "...", OK}, {"dout", 'f', 0, "=x"}, END};
static const struct slot_row norm_outputs[] = {
    {"out", 'f', 0, "=x", OK}, {"mean", 's', 0, "...", OK}, {"inv_std", 's', 0, "...", OK}, END};
static const struct attr_row axis_attrs[] = {{"axis", V_INT}, END};
static const struct attr_row gelu_attrs[] = {{"approximate", V_WORD, "none tanh"}, END};

static const struct attr_row sinusoidal_attrs[] = {{"length", V_INT, "0", REQ}, {"dim", V_INT, "0", REQ}, END};
static const struct slot_row sinusoidal_outputs[] = {{"table", 's', 0, "_ _", OK}, END};
static const struct attr_row relative_attrs[] = {
    {"type", V_WORD, "t5"}, {"bidirectional", V_BOOL}, {"max_distance", V_INT, "1"},
    {"q_len", V_INT, "0"},  {"k_len", V_INT, "0"},     END};
static const struct slot_row relative_inputs[] = {
    {"table", 'f', 0, "_ _", REQ, OK}, {"dout", 'f', 0, "_ _ _"}, END};
static const struct slot_row relative_outputs[] = {{"bias", 'f', 0, "_ _ _", OK}, END};

static const struct attr_row scatter_attrs[] = {{"mode", V_WORD, "linear circular"}, {"axis", V_INT}, END};
static const struct slot_row scatter_inputs[] = {
    {"past_cache", 'f', 0, "...", REQ, OK}, {"update", 'f', 0, "...", REQ, OK}, {"write_indices", 'i', 0, "_", OK},
    {"dout", 'f', 0, "=past_cache"}, END};
static const struct slot_row scatter_outputs[] = {{"out", 'f', 0, "=past_cache", OK}, END};

static const struct attr_row conv_attrs[] = {{"activation", V_WORD, "none silu"}, END};
static const struct slot_row conv_inputs[] = {
    {"input", 'f', 0, "B C T", REQ, OK}, {"weight", 'f', 0, "C 1 W", REQ, OK}, {"bias", 'f', 0, "C", OK},
    {"past_state", 'f', 0, "B C _", OK}, {"dout", 'f', 0, "B C T"}, END};
static const struct slot_row conv_outputs[] = {{"out", 'f', 0, "B C T", OK}, {"present_state", 'f', 0, "B C _", OK}, END};

static const struct slot_row merge_inputs[] = {
    {"outs", 'f', 0, "S ... Dv", REQ, OK}, {"lses", 'f', 0, "S ...", REQ, OK},
    {"dout", 'f', 0, "... Dv"}, {"dlse", 'f', 0, "...", "+dout"}, END};
static const struct slot_row merge_outputs[] = {{"out", 'f', 0, "... Dv", OK}, {"lse", 's', 0, "...", OK}, END};

static const struct attr_row mha_attrs[] = {
    {"q_heads", V_INT, "1", REQ}, {"kv_heads", V_INT, "1"}, {"add_zero_attn", V_BOOL}, END};
static const struct slot_row mha_inputs[] = {
    {"query", 'f', 0, "B Nq Eq", REQ},
    {"key", 'f', 0, "B Nk Ek", REQ},
    {"value", 'f', 0, "B Nk Ev", REQ},
    {"in_proj_weight", 'f', 0, "_ Eq"},
    {"q_proj_weight", 'f', 0, "_ Eq"},
    {"k_proj_weight", 'f', 0, "_ Ek"},
    {"v_proj_weight", 'f', 0, "_ Ev"},
    {"in_proj_bias", 'f', 0, "_"},
    {"bias_k", 'f', 0, "_", "+bias_v"},
    {"bias_v", 'f', 0, "_", "+bias_k"},
    {"out_proj.weight", 'f', 0, "_ _"},
    {"out_proj.bias", 'f', 0, "_"},
    {"dout", 'f', 0, "B Nq _"},
    END};
static const struct slot_row score_inputs[] = {SCORE_INPUTS, END};
static const struct slot_row mha_outputs[] = {
    {"out", 'f', 0, "B Nq _"}, {"weights", 's', 0, "B Hq Nq _"}, {"lse", 's', 0, "B Hq Nq"}, END};

static const struct attr_row layer_attrs[] = {
    {"form", V_WORD, "encoder decoder", REQ},
    {"q_heads", V_INT, "1", REQ},
    {"norm_first", V_BOOL},
    {"activation", V_WORD, "relu gelu gelu_tanh silu"},
    {"norm", V_WORD, "layer rms"},
    {"eps", V_NUMBER},
    END};
#define WEIGHT_AND_BIAS(name) {name ".weight", 'f', 0, "_ | _ _"}, {name ".bias", 'f', 0, "_"}
#define TORCH_ATTENTION(name) \
    {name ".in_proj_weight", 'f', 0, "_ _"}, {name ".in_proj_bias", 'f', 0, "_"}, WEIGHT_AND_BIAS(name ".out_proj")
static const struct slot_row layer_inputs[] = {
    {"src", 'f', 0, "B Nq E", "form=encoder"},
    {"tgt", 'f', 0, "B Nq E", "form=decoder"},
    {"memory", 'f', 0, "B Nm _", "form=decoder"},
    {"mask", 'm', 0, "..."},
    {"memory_mask", 'm', 0, "...", "form=decoder"},
    TORCH_ATTENTION("self_attn"),
    TORCH_ATTENTION("multihead_attn"),
    WEIGHT_AND_BIAS("linear1"),
    WEIGHT_AND_BIAS("linear2"),
    WEIGHT_AND_BIAS("norm1"),
    WEIGHT_AND_BIAS("norm2"),
    WEIGHT_AND_BIAS("norm3"),
    {"dout", 'f', 0, "B Nq E"},
    END};
static const struct slot_row layer_outputs[] = {{"out", 'f', 0, "B Nq E"}, END};

/* ----------------------------------------------------------------- the menu */

#define AROUND ca_around_check, ca_around_run
static const struct op_row ops[] = {
    {"attention", {attention_attrs}, {attention_inputs}, {attention_outputs},
     "q k v bias sinks alibi_slopes score_w span", ca_attention_check, ca_attention_run},
    {"linear_attention", {linear_attrs}, {linear_inputs}, {linear_outputs}, "q k v g beta initial_state u", AROUND},
    {"linformer", {attention_attrs}, {linformer_inputs, score_inputs}, {attention_outputs}, "*", AROUND},
    {"nystrom", {nystrom_attrs}, {nystrom_inputs}, {attention_outputs}, "*", AROUND},
    {"mamba2_ssd", {no_attrs}, {mamba_inputs}, {mamba_outputs}, "x dt A_log B C D", AROUND},
    {"rope", {rope_attrs}, {rope_inputs}, {x_outputs}, "*", AROUND},
    {"rope_tables", {rope_tables_attrs}, {no_inputs}, {rope_tables_outputs}, "", AROUND},
    {"layer_norm", {norm_attrs}, {norm_inputs}, {norm_outputs}, "*", AROUND},
    {"rms_norm", {norm_attrs}, {norm_inputs}, {norm_outputs}, "*", AROUND},
    {"softmax", {axis_attrs}, {x_inputs}, {x_outputs}, "*", AROUND},
    {"log_softmax", {axis_attrs}, {x_inputs}, {x_outputs}, "*", AROUND},
    {"gelu", {gelu_attrs}, {x_inputs}, {x_outputs}, "*", AROUND},
    {"silu", {no_attrs}, {x_inputs}, {x_outputs}, "*", AROUND},
    {"sinusoidal", {sinusoidal_attrs}, {no_inputs}, {sinusoidal_outputs}, "", AROUND},
    {"relative_bias", {relative_attrs}, {relative_inputs}, {relative_outputs}, "*", AROUND},
    {"cache_scatter", {scatter_attrs}, {scatter_inputs}, {scatter_outputs}, "*", AROUND},
    {"causal_conv", {conv_attrs}, {conv_inputs}, {conv_outputs}, "*", AROUND},
    {"merge", {no_attrs}, {merge_inputs}, {merge_outputs}, "*", AROUND},
    {"multi_head_attention", {mha_attrs, attention_attrs}, {mha_inputs, score_inputs}, {mha_outputs}, "*", NULL, NULL},
    {"transformer_layer", {layer_attrs}, {layer_inputs}, {layer_outputs}, "*", NULL, NULL},
};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

const struct op_row *ca_menu_op(const char *name)
{
    for (unsigned i = 0; i < COUNT(ops); i++)
        if (!strcmp(ops[i].name, name)) return &ops[i];
    return NULL;
}

const char *ca_menu_op_name(unsigned i) { return i < COUNT(ops) ? ops[i].name : NULL; }

const struct pattern_row *ca_menu_pattern(const char *name)
{
    for (unsigned i = 0; i < COUNT(patterns); i++)
        if (!strcmp(patterns[i].name, name)) return &patterns[i];
    return NULL;
}
