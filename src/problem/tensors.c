/* tensors.c -- the tensors of a problem: which there are, their axes, strides and sizes.  Only init in problem.c knows
 * the descriptor that they come from. */
#include "problem/tensors.h"
#include <string.h>
#include "base/checked.h"
#include "base/half.h"

const char *const ca_slot_name[CA_SLOTS] = {
    [CA_Q] = "q", [CA_K] = "k", [CA_V] = "v", [CA_OUT] = "out", [CA_LSE] = "lse", [CA_QOFF] = "q_offset",
    [CA_LENS] = "kv_lens", [CA_SLOPES] = "alibi_slopes", [CA_SINKS] = "sinks", [CA_BIAS] = "bias", [CA_MASK] = "mask",
    [CA_CUQ] = "cu_seqlens_q", [CA_CUK] = "cu_seqlens_k", [CA_TABLE] = "block_table",
    [CA_KNEW] = "k_new", [CA_VNEW] = "v_new", [CA_WEIGHTS] = "weights",
    [CA_KSCALE] = "k_scale", [CA_VSCALE] = "v_scale", [CA_KZERO] = "k_zero", [CA_VZERO] = "v_zero",
    [CA_QCOS] = "q_rope_cos", [CA_QSIN] = "q_rope_sin", [CA_KCOS] = "k_rope_cos", [CA_KSIN] = "k_rope_sin",
    [CA_SCOREW] = "score_w", [CA_LEAKS] = "leaks",
    [CA_PATTERN] = "the pattern", [CA_PREFIX_LENS] = "prefix", [CA_DOCS] = "doc_ids", [CA_LAYOUT] = "block_layout",
    [CA_ROWS] = "row_ptr", [CA_COLUMNS] = "col_idx", [CA_EDGES] = "edge_bias", [CA_KV_BLOCKS] = "kv_num_blocks", [CA_KV_INDICES] = "kv_indices",
    [CA_FULL_BLOCKS] = "full_kv_num_blocks", [CA_FULL_INDICES] = "full_kv_indices", [CA_ROTATIONS] = "rotations", [CA_SPANS] = "span", [CA_SPENT] = "spent",
    [CA_MOD] = "mods[0]", [CA_MOD + 1] = "mods[1]", [CA_MOD + 2] = "mods[2]", [CA_MOD + 3] = "mods[3]",
};

const char *ca_slot_unwanted(const struct problem *p, enum ca_slot s)
{
    if (s >= CA_MOD && s < CA_MOD + CA_MODS) return p->mod_lengths[s - CA_MOD] ? NULL : "the plan's mod_buffers names fewer";
    switch (s) {
    case CA_QOFF: return p->has_qoff ? NULL : "the plan's align is not CLATTN_OFFSET";
    case CA_LENS: return p->lens ? NULL : "the plan's kv_lens is 0";
    case CA_SLOPES: return p->has_alibi ? NULL : "the plan's alibi is CLATTN_NO_ALIBI";
    case CA_SINKS: return p->has_sinks ? NULL : "the plan's sinks is 0";
    case CA_BIAS: return p->bias.on ? NULL : "the plan's bias has no shape";
    case CA_MASK: return p->mask.on ? NULL : "the plan's mask has no shape";
    case CA_CUQ: return p->ragged ? NULL : "the plan's layout is not CLATTN_THD";
    case CA_CUK: return !p->ragged ? "the plan's layout is not CLATTN_THD" : p->page_size ? "the plan's keys are paged" : NULL;
    case CA_TABLE: return p->page_size ? NULL : "the plan's page_size is 0";
    case CA_KNEW:
    case CA_VNEW: return p->new_len ? NULL : "the plan's new_len is 0";
    case CA_SCOREW: return p->score == CLATTN_GENERAL || p->score_ws ? NULL : "the plan's score has none";
    case CA_LEAKS: return p->score == CLATTN_GAT ? NULL : "the plan's score is not CLATTN_GAT";
    case CA_KSCALE: return p->k_scale ? NULL : "the plan's k_scale is CLATTN_NO_SCALE";
    case CA_VSCALE: return p->v_scale ? NULL : "the plan's v_scale is CLATTN_NO_SCALE";
    case CA_KZERO: return p->k_zero ? NULL : "the plan's k_zero is CLATTN_NO_SCALE";
    case CA_VZERO: return p->v_zero ? NULL : "the plan's v_zero is CLATTN_NO_SCALE";
    case CA_QCOS:
    case CA_QSIN: return p->q_rot ? NULL : "the plan's q_rope is 0";
    case CA_KCOS:
    case CA_KSIN: return p->k_rot ? NULL : "the plan's k_rope is 0";
    case CA_PATTERN: return "the plan's executions make it";
    case CA_PREFIX_LENS: return p->pattern.prefix ? NULL : "the plan's pattern is not CLATTN_PREFIX";
    case CA_DOCS: return p->pattern.documents ? NULL : "the plan's pattern is not CLATTN_DOCUMENT";
    case CA_LAYOUT: return p->pattern.layout[0] ? NULL : "the plan's pattern is not CLATTN_BLOCK_SPARSE";
    case CA_ROWS:
    case CA_COLUMNS: return p->pattern.row_heads ? NULL : "the plan's pattern is not CLATTN_CSR";
    case CA_EDGES: return p->pattern.edge_heads ? NULL : "the plan's pattern has no edge_heads";
    case CA_KV_BLOCKS:
    case CA_KV_INDICES: return ca_has_pattern(p, CA_BLOCK_MASK) ? NULL : "the plan's pattern is not CLATTN_BLOCK_MASK";
    case CA_FULL_BLOCKS:
    case CA_FULL_INDICES: return p->pattern.full ? NULL : "the plan's pattern is not CLATTN_BLOCK_MASK with max_full_blocks";
    case CA_ROTATIONS: return p->pattern.rounds ? NULL : "the plan's pattern is not CLATTN_LSH";
    case CA_SPANS: return ca_has_pattern(p, CA_ADAPTIVE_SPAN) ? NULL : "the plan's pattern is not CLATTN_ADAPTIVE_SPAN";
    case CA_SPENT: return ca_has_pattern(p, CA_TOP_P) ? NULL : "the plan's pattern is not CLATTN_TOP_P";
    case CA_WEIGHTS: return p->weights ? NULL : "the plan's weights is CLATTN_NO_WEIGHTS";
    default: return NULL;
    }
}

static const struct { const char *name; size_t size; } dtypes[] = {
    [CLATTN_F32] = { "f32", 4 }, [CLATTN_F16] = { "f16", 2 }, [CLATTN_BF16] = { "bf16", 2 },
};
#define NUM_DTYPES ((int)(sizeof dtypes / sizeof dtypes[0]))
static bool dtype_known(clattn_dtype t) { return (int)t >= 0 && (int)t < NUM_DTYPES; }
size_t ca_dtype_size(clattn_dtype t) { return dtype_known(t) ? dtypes[t].size : 0; }
float ca_element(clattn_dtype type, const void *x, int64_t i)
{
    if (type == CLATTN_F32) return ((const float *)x)[i];
    const uint16_t u = ((const uint16_t *)x)[i];
    return type == CLATTN_F16 ? ca_f16_to_f32(u) : ca_bf16_to_f32(u);
}
const char *ca_dtype_name(clattn_dtype t) { return dtype_known(t) ? dtypes[t].name : "?"; }

static struct axes broadcast_axes(const struct problem *p, const struct ca_broadcast *t)
{
    return (struct axes){ { t->on ? t->b ? p->B : ca_min(p->B, 1) : 0, t->h ? p->Hq : 1, t->i ? p->Nq : ca_min(p->Nq, 1),
                            t->j ? t->cols : ca_min(p->Nk, 1) } };
}

/* Elements that DIM dims of a key take: bytes where they are quantised. */
static int64_t stored_dims(const struct problem *p, int64_t dim)
{
    return p->kv_format >= CLATTN_KV_Q8_0 ? dim / 32 * CA_BLOCK_BYTES(p->kv_format) : dim;
}

static struct axes scale_axes(const struct problem *p, clattn_scale kind, int64_t dim)
{
    switch (kind) {
    case CLATTN_SCALE_BY_KEY:
        return p->page_size ? (struct axes){ { p->pages, p->page_size, p->Hkv, 1 } } : (struct axes){ { p->B, p->Hkv, p->Nk, 1 } };
    case CLATTN_SCALE_BY_DIM: return (struct axes){ { 1, p->Hkv, dim, 1 } };
    case CLATTN_SCALE_BY_HEAD: return (struct axes){ { 1, p->Hkv, 1, 1 } };
    default: return (struct axes){ { 0, 1, 1, 1 } };
    }
}

static struct axes kv_axes(const struct problem *p, int64_t dim)
{
    dim = stored_dims(p, dim);
    return p->page_size ? (struct axes){ { p->pages, p->Hkv, p->page_size, dim } }
         : p->ragged ? (struct axes){ { 1, p->Hkv, p->Tk, dim } } : (struct axes){ { p->B, p->Hkv, p->Nk, dim } };
}

static struct axes list_axes(const struct problem *p, int64_t length)
{
    return (struct axes){ { p->pattern.lists[0], p->pattern.lists[1], p->pattern.lists[2], length } };
}

struct axes ca_slot_axes(const struct problem *p, enum ca_slot s)
{
    if (s >= CA_MOD && s < CA_MOD + CA_MODS) return (struct axes){ { 1, 1, 1, p->mod_lengths[s - CA_MOD] } };
    switch (s) {
    case CA_BIAS: return broadcast_axes(p, &p->bias);
    case CA_MASK: return broadcast_axes(p, &p->mask);
    case CA_SINKS: return (struct axes){ { p->has_sinks, p->Hq, 1, 1 } };
    case CA_SLOPES: return (struct axes){ { p->has_alibi ? p->slopes_b ? p->B : ca_min(p->B, 1) : 0, p->Hq, 1, 1 } };
    case CA_LENS: return (struct axes){ { p->lens ? p->B : 0, 1, 1, 1 } };
    case CA_CUQ: return (struct axes){ { p->ragged ? p->B + 1 : 0, 1, 1, 1 } };
    case CA_CUK: return (struct axes){ { p->ragged && !p->page_size ? p->B + 1 : 0, 1, 1, 1 } };
    case CA_TABLE: return (struct axes){ { p->page_size ? p->B : 0, p->page_size ? p->Nk / p->page_size : 0, 1, 1 } };
    case CA_SCOREW: return (struct axes){ { 1, 1, p->score == CLATTN_GENERAL ? p->Dq : 1, p->score == CLATTN_GENERAL ? p->Dk : p->score_ws } };
    case CA_LEAKS: return (struct axes){ { p->score == CLATTN_GAT, p->Hq, 1, 1 } };
    case CA_KSCALE: return scale_axes(p, p->k_scale, p->Dk);
    case CA_VSCALE: return scale_axes(p, p->v_scale, p->Dv);
    case CA_KZERO: return scale_axes(p, p->k_zero, p->Dk);
    case CA_VZERO: return scale_axes(p, p->v_zero, p->Dv);
    case CA_QCOS:
    case CA_QSIN: return (struct axes){ { 1, 1, p->Nq, p->q_rot / 2 } };
    case CA_KCOS:
    case CA_KSIN: return (struct axes){ { 1, 1, p->new_len ? p->new_len : p->Nk, p->k_rot / 2 } };
    case CA_PREFIX_LENS: return (struct axes){ { p->pattern.prefix ? p->B : 0, 1, 1, 1 } };
    case CA_DOCS: return (struct axes){ { p->pattern.documents ? p->B : 0, 1, 1, p->Nk } };
    case CA_LAYOUT: return (struct axes){ { 1, p->pattern.layout[0], p->pattern.layout[1], p->pattern.layout[2] } };
    case CA_ROWS: return (struct axes){ { 1, 1, p->pattern.row_heads, p->Nq + 1 } };
    case CA_COLUMNS: return (struct axes){ { 1, 1, 1, p->pattern.edges } };
    case CA_EDGES: return (struct axes){ { 1, 1, p->pattern.edge_heads, p->pattern.edges } };
    case CA_KV_BLOCKS: return list_axes(p, 1);
    case CA_KV_INDICES: return list_axes(p, p->pattern.listed);
    case CA_FULL_BLOCKS: return list_axes(p, p->pattern.full ? 1 : 0);
    case CA_FULL_INDICES: return list_axes(p, p->pattern.full);
    case CA_ROTATIONS: return (struct axes){ { 1, p->pattern.rounds, p->Dk, p->pattern.buckets / 2 } };
    case CA_SPANS: return (struct axes){ { ca_has_pattern(p, CA_ADAPTIVE_SPAN), 1, 1, p->Hq } };
    case CA_SPENT: return (struct axes){ { ca_has_pattern(p, CA_TOP_P) ? p->B : 0, 1, p->Hq, p->Nq } };
    case CA_PATTERN: return (struct axes){ { 0, 1, 1, 1 } }; /* the library's own */
    case CA_KNEW: return (struct axes){ { p->B, p->Hkv, p->new_len, p->Dk } };
    case CA_VNEW: return (struct axes){ { p->B, p->Hkv, p->new_len, p->Dv } };
    case CA_WEIGHTS: return (struct axes){ { p->weights ? p->B : 0, p->Hq, p->Nq, p->Nk } };
    case CA_Q: return (struct axes){ { ca_out_batch(p), p->Hq, ca_out_rows(p), p->Dq } };
    case CA_K: return kv_axes(p, p->Dk);
    case CA_V: return kv_axes(p, p->Dv);
    case CA_OUT: return (struct axes){ { ca_out_batch(p), p->Hq, ca_out_rows(p), p->Dv } };
    case CA_LSE: return (struct axes){ { ca_out_batch(p), p->Hq, ca_out_rows(p), 1 } };
    default: return (struct axes){ { p->B, 1, 1, 1 } };
    }
}

/* The stride of each axis of a tensor that is packed in this order; false when one does not fit. */
bool ca_axes_packed(const struct axes *x, clattn_layout layout, int64_t stride[4])
{
    static const int order[3][4] = { [CLATTN_BHSD] = { 3, 2, 1, 0 }, [CLATTN_BSHD] = { 3, 1, 2, 0 }, [CLATTN_THD] = { 3, 1, 2, 0 } };
    int64_t next = 1;
    bool fits = true;
    for (int i = 0; i < 4; i++) {
        int axis = order[layout][i];
        stride[axis] = next;
        fits = fits && (i == 3 || ca_mul64(next, ca_max(x->n[axis], 1), &next));
    }
    return fits;
}

bool ca_axes_empty(const struct axes *x)
{
    return x->n[0] == 0 || x->n[1] == 0 || x->n[2] == 0 || x->n[3] == 0;
}

/* 1 + the largest distance between two elements; false when that does not fit. */
bool ca_axes_extent(const struct axes *x, const int64_t stride[4], int64_t *elements)
{
    int64_t sum = 1, part;
    for (int i = 0; i < 4; i++)
        if (!ca_mul64(x->n[i] - 1, stride[i], &part) || !ca_add64(sum, part, &sum)) return false;
    *elements = sum;
    return true;
}

/* Do the axes nest, each stride stepping over all that the smaller ones reach?  Then no two elements share a
 * place.  (Some exotic interleavings are refused although they would be sound.) */
bool ca_axes_nest(const struct axes *x, const int64_t stride[4])
{
    int64_t reach = 0;
    bool used[4] = { false, false, false, false };
    for (int round = 0; round < 4; round++) {
        int least = -1;
        for (int i = 0; i < 4; i++)
            if (!used[i] && x->n[i] > 1 && (least < 0 || stride[i] < stride[least])) least = i;
        if (least < 0) return true;
        if (stride[least] <= reach) return false;
        used[least] = true;
        reach += (x->n[least] - 1) * stride[least];
    }
    return true;
}

/* An axis of one element has no stride that matters: it gets the packed one, so that equal problems are equal. */
void ca_axes_canonical(const struct axes *x, int64_t stride[4])
{
    int64_t packed[4];
    bool fits = ca_axes_packed(x, CLATTN_BHSD, packed);
    for (int i = 0; i < 4; i++)
        if (x->n[i] <= 1 || ca_axes_empty(x)) stride[i] = fits || i > 0 ? packed[i] : 1;
}

bool ca_packed_strides(const struct problem *p, enum ca_slot s, clattn_layout layout, struct ca_strides *out)
{
    struct axes x = ca_slot_axes(p, s);
    int64_t stride[4];
    bool fits = ca_axes_packed(&x, layout, stride);
    ca_axes_canonical(&x, stride);
    *out = (struct ca_strides){ stride[0], stride[1], stride[2], stride[3] };
    return fits || ca_axes_empty(&x);
}

void ca_slot_strides(const struct problem *p, enum ca_slot s, const struct axes *x, int64_t stride[4])
{
    const struct ca_strides *const given[CA_SLOTS] = {
        [CA_Q] = &p->q, [CA_K] = &p->k, [CA_V] = &p->v, [CA_OUT] = &p->o, [CA_KNEW] = &p->kn, [CA_VNEW] = &p->vn,
    };
    const struct ca_broadcast *t = s == CA_BIAS ? &p->bias : s == CA_MASK ? &p->mask : NULL;
    if (t) {
        int64_t g[4] = { t->b, t->h, t->i, t->j };
        memcpy(stride, g, sizeof g);
    } else if (given[s]) {
        int64_t g[4] = { given[s]->b, given[s]->h, given[s]->s, given[s]->d };
        memcpy(stride, g, sizeof g);
    } else {
        (void)ca_axes_packed(x, CLATTN_BHSD, stride); /* never larger than out, which was checked */
    }
}

size_t ca_slot_elements(const struct problem *p, enum ca_slot s)
{
    struct axes x = ca_slot_axes(p, s);
    int64_t stride[4], elements = 0;
    ca_slot_strides(p, s, &x, stride);
    return ca_axes_empty(&x) || !ca_axes_extent(&x, stride, &elements) ? 0 : (size_t)elements;
}

size_t ca_slot_size(const struct problem *p, enum ca_slot s)
{
    if (p->kv_format && (s == CA_K || s == CA_V)) return 1;
    return s <= CA_OUT || s == CA_KNEW || s == CA_VNEW ? ca_dtype_size(p->dtype) : s == CA_MASK || s == CA_LAYOUT ? 1 : 4;
}

bool ca_slot_has_gaps(const struct problem *p, enum ca_slot s)
{
    struct axes x = ca_slot_axes(p, s);
    int64_t stride[4];
    double distinct = 1; /* an axis of stride 0 repeats elements */
    ca_slot_strides(p, s, &x, stride);
    for (int i = 0; i < 4; i++) distinct *= stride[i] ? (double)x.n[i] : 1;
    return (double)ca_slot_elements(p, s) > distinct;
}
