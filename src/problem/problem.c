/* problem.c -- from the descriptor that a user fills to the problem that everything below works on: each rule of
 * clattn.h is one CA_REQUIRE, in the order of that header; then defaults, strides, and the canonical form. */
#include "problem/tensors.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "base/checked.h"
#include "base/sized.h"

static const char *const axis_name[4] = { "batch", "head", "row", "dim" };

/* Fills OUT from what the user gave for tensor S, or from the layout. */
static clattn_status init_strides(const struct problem *p, enum ca_slot s, const clattn_strides *given,
                                  clattn_layout layout, struct ca_strides *out)
{
    struct axes x = ca_slot_axes(p, s);
    int64_t stride[4] = { given->batch, given->head, given->row, given->dim }, elements, bytes;
    const char *name = ca_slot_name[s];

    for (int i = 0; i < 4; i++)
        CA_REQUIRE(stride[i] >= 0, CLATTN_E_ARGUMENT, "%s.%s stride %" PRId64 " is negative", name, axis_name[i],
                   stride[i]);
    if (!(stride[0] | stride[1] | stride[2] | stride[3]) && !ca_axes_packed(&x, layout, stride) && !ca_axes_empty(&x))
        return ca_fail(CLATTN_E_TOO_LARGE, "%s [%" PRId64 "][%" PRId64 "][%" PRId64 "][%" PRId64 "] overflows", name,
                       x.n[0], x.n[1], x.n[2], x.n[3]);
    ca_axes_canonical(&x, stride);
    if (ca_axes_empty(&x)) goto fill;
    CA_REQUIRE(ca_axes_extent(&x, stride, &elements) && ca_mul64(elements, (int64_t)ca_slot_size(p, s), &bytes) &&
               (uint64_t)bytes <= SIZE_MAX / 2, CLATTN_E_TOO_LARGE,
               "%s: batch %" PRId64 " x %" PRId64 ", head %" PRId64 " x %" PRId64 ", row %" PRId64 " x %" PRId64
               ", dim %" PRId64 " x %" PRId64 " (size x stride) overflows", name, x.n[0], stride[0], x.n[1],
               stride[1], x.n[2], stride[2], x.n[3], stride[3]);
    CA_REQUIRE(stride[2] <= CA_MAX_ROW_STRIDE, CLATTN_E_TOO_LARGE, "%s.row stride %" PRId64 " exceeds %d", name,
               stride[2], CA_MAX_ROW_STRIDE);
    CA_REQUIRE((x.n[3] - 1) * stride[3] <= CA_MAX_ROW_SPAN, CLATTN_E_TOO_LARGE,
               "%s.dim stride %" PRId64 " times %" PRId64 " exceeds %d", name, stride[3], x.n[3] - 1,
               CA_MAX_ROW_SPAN);
    CA_REQUIRE(!ca_slot_is_output(s) || ca_axes_nest(&x, stride), CLATTN_E_ARGUMENT,
               "%s strides batch %" PRId64 ", head %" PRId64 ", row %" PRId64 ", dim %" PRId64
               " make elements overlap (sizes %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ")", name, stride[0],
               stride[1], stride[2], stride[3], x.n[0], x.n[1], x.n[2], x.n[3]);
fill:
    *out = (struct ca_strides){ stride[0], stride[1], stride[2], stride[3] };
    return CLATTN_OK;
}

/* The sizes: from dtype to v_dim. */
static clattn_status init_sizes(struct problem *p, const clattn_attention *a)
{
    CA_REQUIRE(ca_dtype_size(a->dtype) > 0, CLATTN_E_ARGUMENT, "dtype %d is not f32, f16 or bf16", (int)a->dtype);
    CA_REQUIRE(a->layout == CLATTN_BHSD || a->layout == CLATTN_BSHD || a->layout == CLATTN_THD, CLATTN_E_ARGUMENT,
               "layout %d is not a clattn_layout", (int)a->layout);
    CA_REQUIRE(a->batch >= 0, CLATTN_E_ARGUMENT, "batch %" PRId64 " is negative", a->batch);
    CA_REQUIRE(a->batch <= INT32_MAX, CLATTN_E_TOO_LARGE, "batch %" PRId64 " exceeds %d", a->batch, INT32_MAX);
    CA_REQUIRE(a->q_heads >= 1, CLATTN_E_ARGUMENT, "q_heads %" PRId64 " is less than 1", a->q_heads);
    CA_REQUIRE(a->q_heads <= INT32_MAX, CLATTN_E_TOO_LARGE, "q_heads %" PRId64 " exceeds %d", a->q_heads, INT32_MAX);
    CA_REQUIRE(a->batch * a->q_heads <= INT32_MAX, CLATTN_E_TOO_LARGE,
               "batch %" PRId64 " times q_heads %" PRId64 " exceeds %d", a->batch, a->q_heads, INT32_MAX);
    CA_REQUIRE(a->kv_heads >= 0, CLATTN_E_ARGUMENT, "kv_heads %" PRId64 " is negative", a->kv_heads);
    CA_REQUIRE(a->kv_heads == 0 || a->q_heads % a->kv_heads == 0, CLATTN_E_ARGUMENT,
               "q_heads %" PRId64 " is not a multiple of kv_heads %" PRId64, a->q_heads, a->kv_heads);
    CA_REQUIRE(a->q_len >= 0, CLATTN_E_ARGUMENT, "q_len %" PRId64 " is negative", a->q_len);
    CA_REQUIRE(a->q_len <= CA_MAX_LEN, CLATTN_E_TOO_LARGE, "q_len %" PRId64 " exceeds %d", a->q_len, CA_MAX_LEN);
    CA_REQUIRE(a->kv_len >= 0, CLATTN_E_ARGUMENT, "kv_len %" PRId64 " is negative", a->kv_len);
    CA_REQUIRE(a->kv_len <= CA_MAX_LEN, CLATTN_E_TOO_LARGE, "kv_len %" PRId64 " exceeds %d", a->kv_len, CA_MAX_LEN);
    CA_REQUIRE(a->head_dim >= 1 && a->head_dim <= CA_MAX_DIM, CLATTN_E_ARGUMENT,
               "head_dim %" PRId64 " is not in 1 ... %d", a->head_dim, CA_MAX_DIM);
    CA_REQUIRE(a->v_dim >= 0 && a->v_dim <= CA_MAX_DIM, CLATTN_E_ARGUMENT,
               "v_dim %" PRId64 " is not in 1 ... %d (or 0 = head_dim)", a->v_dim, CA_MAX_DIM);
    p->dtype = a->dtype;
    p->B = a->batch;
    p->Hq = a->q_heads;
    p->Hkv = a->kv_heads ? a->kv_heads : a->q_heads;
    p->Nq = a->q_len;
    p->Nk = a->kv_len;
    p->D = p->Dk = p->Dq = a->head_dim;
    p->Dv = a->v_dim ? a->v_dim : a->head_dim;
    return CLATTN_OK;
}

/* Ragged or paged. */
static clattn_status init_storage(struct problem *p, const clattn_attention *a)
{
    p->ragged = a->layout == CLATTN_THD;
    CA_REQUIRE(p->ragged || (a->q_total == 0 && a->kv_total == 0), CLATTN_E_ARGUMENT,
               "q_total %" PRId64 ", kv_total %" PRId64 " are given, but layout %d is not CLATTN_THD", a->q_total, a->kv_total,
               (int)a->layout);
    CA_REQUIRE(a->q_total >= 0 && a->q_total <= CA_MAX_LEN, CLATTN_E_ARGUMENT, "q_total %" PRId64 " is not in 0 ... %d", a->q_total,
               CA_MAX_LEN);
    CA_REQUIRE(a->kv_total >= 0 && a->kv_total <= CA_MAX_LEN, CLATTN_E_ARGUMENT, "kv_total %" PRId64 " is not in 0 ... %d",
               a->kv_total, CA_MAX_LEN);
    CA_REQUIRE(!p->ragged || a->batch + a->q_total <= INT32_MAX, CLATTN_E_TOO_LARGE,
               "batch %" PRId64 " and q_total %" PRId64 " exceed %d together", a->batch, a->q_total, INT32_MAX);
    CA_REQUIRE(a->page_size >= 0 && a->page_size <= CA_MAX_LEN, CLATTN_E_ARGUMENT, "page_size %" PRId64 " is not in 0 ... %d",
               a->page_size, CA_MAX_LEN);
    CA_REQUIRE(a->page_size || !a->pages, CLATTN_E_ARGUMENT, "pages %" PRId64 " is given without page_size", a->pages);
    CA_REQUIRE(!a->page_size || (a->pages >= 1 && a->pages <= INT32_MAX), CLATTN_E_ARGUMENT, "pages %" PRId64 " is not in 1 ... %d",
               a->pages, INT32_MAX);
    CA_REQUIRE(!a->page_size || a->kv_len % a->page_size == 0, CLATTN_E_ARGUMENT,
               "kv_len %" PRId64 " is no multiple of page_size %" PRId64, a->kv_len, a->page_size);
    CA_REQUIRE(!a->page_size || !a->kv_total, CLATTN_E_ARGUMENT, "kv_total %" PRId64 " is given, but the keys are paged", a->kv_total);
    p->Tq = a->q_total;
    p->Tk = a->kv_total;
    p->page_size = a->page_size;
    p->pages = a->pages;
    CA_REQUIRE(a->new_len >= 0 && a->new_len <= a->kv_len, CLATTN_E_ARGUMENT, "new_len %" PRId64 " is not in 0 ... kv_len %" PRId64,
               a->new_len, a->kv_len);
    CA_REQUIRE(!a->new_len || a->kv_lens, CLATTN_E_ARGUMENT, "new_len %" PRId64 " is given, but kv_lens is 0", a->new_len);
    CA_REQUIRE(!a->new_len || !p->ragged || a->page_size, CLATTN_E_ARGUMENT, "new_len %" PRId64
               " is given, but the keys are ragged and leave no room", a->new_len);
    p->new_len = a->new_len;
    CA_REQUIRE(a->shared_len >= 0 && a->shared_len <= a->kv_len - a->new_len, CLATTN_E_ARGUMENT, "shared_len %" PRId64 " is not in 0 ... %" PRId64
               ", the keys that are there", a->shared_len, a->kv_len - a->new_len);
    CA_REQUIRE(!a->shared_len || !p->ragged, CLATTN_E_UNSUPPORTED, "shared_len %" PRId64 " with a ragged batch is not supported", a->shared_len);
    CA_REQUIRE(a->split_len == 0 || (a->split_len >= 16 && a->split_len <= CA_MAX_LEN), CLATTN_E_ARGUMENT,
               "split_len %" PRId64 " is neither 0 nor in 16 ... %d", a->split_len, CA_MAX_LEN);
    CA_REQUIRE(!a->split_len || !a->shared_len, CLATTN_E_ARGUMENT, "split_len %" PRId64 " and shared_len %" PRId64
               ": what is read once for all batch rows depends on them", a->split_len, a->shared_len);
    p->shared_len = p->B > 1 ? a->shared_len : 0;
    p->split_len = a->split_len;
    return CLATTN_OK;
}

/* What a score is made of. */
static clattn_status init_product(struct problem *p, const clattn_attention *a)
{
    CA_REQUIRE((int)a->score >= CLATTN_DOT && (int)a->score <= CLATTN_GAT, CLATTN_E_ARGUMENT, "score %d is not a clattn_score", (int)a->score);
    bool additive = a->score == CLATTN_ADDITIVE, general = a->score == CLATTN_GENERAL;
    CA_REQUIRE(a->score_ws == 0 || (additive && (a->score_ws == 1 || a->score_ws == p->D)), CLATTN_E_ARGUMENT,
               "score_ws %" PRId64 " is neither 0, 1 nor head_dim %" PRId64 ", or score %d has none", a->score_ws, p->D, (int)a->score);
    CA_REQUIRE(a->q_dim == 0 || (general && a->q_dim >= 1 && a->q_dim <= CA_MAX_DIM) || a->q_dim == p->D, CLATTN_E_ARGUMENT,
               "q_dim %" PRId64 " is not in 1 ... %d, or score %d wants head_dim", a->q_dim, CA_MAX_DIM, (int)a->score);
    CA_REQUIRE(a->score != CLATTN_GAT || p->D == 1, CLATTN_E_ARGUMENT, "head_dim is %" PRId64 ", CLATTN_GAT needs 1", p->D);
    CA_REQUIRE(isfinite((float)a->score_scale), CLATTN_E_ARGUMENT, "score_scale %g does not fit an f32", a->score_scale);
    CA_REQUIRE(!a->score || (!a->q_rope && !a->k_rope), CLATTN_E_UNSUPPORTED, "score %d with rotary embedding is not supported", (int)a->score);
    p->score = a->score;
    p->score_ws = a->score_ws;
    p->score_scale = additive ? (float)a->score_scale : 1;
    if (general && a->q_dim) p->Dq = a->q_dim;
    if (a->score == CLATTN_GAT) p->D = 2;
    return CLATTN_OK;
}

/* Quantised keys and values, rotary embedding: how elements become numbers. */
static clattn_status init_elements(struct problem *p, const clattn_attention *a)
{
    const struct { const char *name; clattn_scale kind; bool zero; } rows[] = {
        { "k_scale", a->k_scale, false }, { "v_scale", a->v_scale, false }, { "k_zero", a->k_zero, true }, { "v_zero", a->v_zero, true },
    };
    const struct { const char *name; int64_t rot; } ropes[] = { { "q_rope", a->q_rope }, { "k_rope", a->k_rope } };

    CA_REQUIRE((int)a->kv_format >= CLATTN_KV_PLAIN && (int)a->kv_format <= CLATTN_KV_Q4_0, CLATTN_E_ARGUMENT,
               "kv_format %d is not a clattn_kv_format", (int)a->kv_format);
    for (int i = 0; i < 4; i++) {
        clattn_scale kind = rows[i].kind;
        CA_REQUIRE((int)kind >= CLATTN_NO_SCALE && (int)kind <= CLATTN_SCALE_BY_HEAD, CLATTN_E_ARGUMENT,
                   "%s %d is not a clattn_scale", rows[i].name, (int)kind);
        bool fits = kind == CLATTN_NO_SCALE || (a->kv_format == CLATTN_KV_INT8 && kind != CLATTN_SCALE_BY_HEAD) ||
                    (a->kv_format == CLATTN_KV_FP8 && kind == CLATTN_SCALE_BY_HEAD && !rows[i].zero);
        CA_REQUIRE(fits, CLATTN_E_ARGUMENT, "%s %d does not go with kv_format %d", rows[i].name, (int)kind, (int)a->kv_format);
        CA_REQUIRE(kind != CLATTN_SCALE_BY_KEY || !p->ragged || p->page_size, CLATTN_E_UNSUPPORTED,
                   "%s by key is not supported for ragged keys", rows[i].name);
    }
    CA_REQUIRE(a->kv_format < CLATTN_KV_Q8_0 || (p->D % 32 == 0 && p->Dv % 32 == 0), CLATTN_E_ARGUMENT,
               "head_dim %" PRId64 " and v_dim %" PRId64 " are not multiples of the 32 dims of a block", p->D, p->Dv);
    CA_REQUIRE(a->kv_format < CLATTN_KV_Q8_0 || ((a->k.dim | a->v.dim | 1) == 1), CLATTN_E_ARGUMENT,
               "k.dim stride %" PRId64 ", v.dim stride %" PRId64 ": blocks have their dims side by side", a->k.dim, a->v.dim);
    for (int i = 0; i < 2; i++)
        CA_REQUIRE(ropes[i].rot >= 0 && ropes[i].rot <= p->D && ropes[i].rot % 2 == 0, CLATTN_E_ARGUMENT,
                   "%s %" PRId64 " is not an even number in 0 ... head_dim %" PRId64, ropes[i].name, ropes[i].rot, p->D);
    p->kv_format = a->kv_format;
    p->k_scale = a->k_scale;
    p->v_scale = a->v_scale;
    p->k_zero = a->k_zero;
    p->v_zero = a->v_zero;
    p->q_rot = a->q_rope;
    p->k_rot = a->k_rope;
    p->rope_pairs = a->rope_interleaved && (p->q_rot || p->k_rot);
    return CLATTN_OK;
}

/* The weights have no strides, but a size. */
static clattn_status init_weights(struct problem *p, const clattn_attention *a)
{
    CA_REQUIRE((int)a->weights >= CLATTN_NO_WEIGHTS && (int)a->weights <= CLATTN_WEIGHTS_PROBS, CLATTN_E_ARGUMENT,
               "weights %d is not a clattn_weights", (int)a->weights);
    p->weights = a->weights;
    struct axes x = ca_slot_axes(p, CA_WEIGHTS);
    int64_t stride[4], elements, bytes;
    CA_REQUIRE(ca_axes_empty(&x) || (ca_axes_packed(&x, CLATTN_BHSD, stride) && ca_axes_extent(&x, stride, &elements) &&
               ca_mul64(elements, (int64_t)sizeof(float), &bytes) && (uint64_t)bytes <= SIZE_MAX / 2), CLATTN_E_TOO_LARGE,
               "weights [%" PRId64 "][%" PRId64 "][%" PRId64 "][%" PRId64 "] overflow", x.n[0], x.n[1], x.n[2], x.n[3]);
    return CLATTN_OK;
}

/* A window's side as the kernels see it.  WIDE is the least width that leaves nothing out. */
static uint32_t canonical_window(int64_t window, int64_t wide)
{
    return window < 0 || window >= wide ? CA_UNLIMITED : (uint32_t)window; /* wide is below 2^32 */
}

/* BIAS or MASK: which axes it has, and its strides. */
static clattn_status init_broadcast(const struct problem *p, const clattn_broadcast *given, const char *name,
                                    struct ca_broadcast *out)
{
    static const char *const axis[4] = { "batch", "head", "row", "key" };
    const int64_t full[4] = { p->B, p->Hq, p->Nq, p->Nk }, *n = given->shape;
    struct axes x = { { n[0], n[1], n[2], n[3] } };
    int64_t stride[4] = { given->stride[0], given->stride[1], given->stride[2], given->stride[3] }, elements, bytes;

    if (!(n[0] | n[1] | n[2] | n[3] | stride[0] | stride[1] | stride[2] | stride[3])) return CLATTN_OK;
    for (int i = 0; i < 4; i++) {
        CA_REQUIRE(n[i] == 1 || n[i] == full[i] || (i == 3 && n[i] > 1 && n[i] < full[i]), CLATTN_E_ARGUMENT,
                   "%s.shape[%d] (%s) is %" PRId64 ", neither 1 nor %" PRId64 "%s", name, i, axis[i], n[i], full[i],
                   i == 3 ? " nor between" : "");
        CA_REQUIRE(stride[i] >= 0, CLATTN_E_ARGUMENT, "%s.stride[%d] (%s) %" PRId64 " is negative", name, i, axis[i], stride[i]);
    }
    bool packed = !(stride[0] | stride[1] | stride[2] | stride[3]);
    CA_REQUIRE(!packed || ca_axes_packed(&x, CLATTN_BHSD, stride), CLATTN_E_TOO_LARGE, "%s overflows", name);
    for (int i = 0; i < 4; i++)
        if (n[i] == 1) stride[i] = 0;
    CA_REQUIRE(ca_axes_empty(&x) || (ca_axes_extent(&x, stride, &elements) && ca_mul64(elements, (int64_t)sizeof(float), &bytes) &&
               (uint64_t)bytes <= SIZE_MAX / 2), CLATTN_E_TOO_LARGE,
               "%s [%" PRId64 "][%" PRId64 "][%" PRId64 "][%" PRId64 "] with strides %" PRId64 ", %" PRId64 ", %" PRId64
               ", %" PRId64 " overflows", name, n[0], n[1], n[2], n[3], stride[0], stride[1], stride[2], stride[3]);
    CA_REQUIRE(stride[3] > 0 || n[3] == 1 || n[3] == p->Nk, CLATTN_E_ARGUMENT, "%s.stride[3] (key) is 0, but shape[3] %" PRId64
               " is neither 1 nor %" PRId64, name, n[3], p->Nk);
    CA_REQUIRE(stride[3] <= INT32_MAX, CLATTN_E_TOO_LARGE, "%s.stride[3] (key) %" PRId64 " exceeds %d", name, stride[3], INT32_MAX);
    *out = (struct ca_broadcast){ stride[0], stride[1], stride[2], stride[3], n[3] == 1 ? p->Nk : n[3], true };
    return CLATTN_OK;
}

/* From q.k to the score. */
static clattn_status init_score(struct problem *p, const clattn_attention *a)
{
    p->scale = (float)(!isnan(a->scale) ? a->scale : p->score ? 1 : 1 / sqrt((double)p->D));
    CA_REQUIRE(isfinite(p->scale), CLATTN_E_ARGUMENT, "scale %g does not fit an f32", a->scale);
    p->round_weights = a->round_weights && a->dtype != CLATTN_F32;
    p->softcap = (float)a->softcap;
    CA_REQUIRE(a->softcap == 0 || CA_SOFTCAP_FITS(a->softcap), CLATTN_E_ARGUMENT,
               "softcap %g is neither 0 nor in 1e-37 ... 1e37", a->softcap);
    CA_REQUIRE(a->alibi == CLATTN_NO_ALIBI || a->alibi == CLATTN_ALIBI_HEAD || a->alibi == CLATTN_ALIBI_BATCH_HEAD,
               CLATTN_E_ARGUMENT, "alibi %d is not a clattn_alibi", (int)a->alibi);
    p->has_alibi = a->alibi != CLATTN_NO_ALIBI;
    p->slopes_b = a->alibi == CLATTN_ALIBI_BATCH_HEAD && p->B > 1 ? p->Hq : 0;
    p->has_sinks = a->sinks != 0;
    CA_REQUIRE(a->dropout_p >= 0 && a->dropout_p <= 1, CLATTN_E_ARGUMENT, "dropout_p %g is not in 0 ... 1", a->dropout_p);
    if (a->dropout_p > 0 && !ca_problem_empty(p)) {
        p->dropout = a->dropout_p;
        p->seed = a->seed;
        p->drop_offset = a->offset;
    }
    clattn_status st;
    CA_TRY(init_broadcast(p, &a->bias, "bias", &p->bias));
    CA_TRY(init_broadcast(p, &a->mask, "mask", &p->mask));
done:
    return st;
}

/* Positions: offset, window and causality. */
static clattn_status init_mask(struct problem *p, const clattn_attention *a)
{
    CA_REQUIRE(a->align == CLATTN_BOTTOM_RIGHT || a->align == CLATTN_TOP_LEFT || a->align == CLATTN_OFFSET,
               CLATTN_E_ARGUMENT, "align %d is not a clattn_align", (int)a->align);
    CA_REQUIRE(a->q_offset == 0 || a->align == CLATTN_OFFSET, CLATTN_E_ARGUMENT,
               "q_offset %" PRId64 " is given, but align %d is not CLATTN_OFFSET", a->q_offset, (int)a->align);
    CA_REQUIRE(a->q_offset >= INT32_MIN && a->q_offset <= INT32_MAX, CLATTN_E_TOO_LARGE,
               "q_offset %" PRId64 " does not fit 32 bits", a->q_offset);
    CA_REQUIRE(a->window_left >= -1, CLATTN_E_ARGUMENT, "window_left %" PRId64 " is less than -1", a->window_left);
    CA_REQUIRE(a->window_right >= -1, CLATTN_E_ARGUMENT, "window_right %" PRId64 " is less than -1", a->window_right);

    p->has_qoff = a->align == CLATTN_OFFSET;
    CA_REQUIRE(a->kv_lens >= 0 && a->kv_lens <= p->Nk, CLATTN_E_ARGUMENT, "kv_lens %" PRId64 " is not in 0 ... kv_len %" PRId64,
               a->kv_lens, p->Nk);
    p->lens = a->kv_lens;
    p->bottom_right = (p->lens || p->ragged) && a->align == CLATTN_BOTTOM_RIGHT;
    p->offset = (int32_t)(a->align == CLATTN_BOTTOM_RIGHT ? p->Nk - p->Nq : a->q_offset);
    if (ca_problem_empty(p)) { /* nothing is masked: one form for all of them */
        p->left = p->right = CA_UNLIMITED;
        p->offset = 0;
        p->bottom_right = false;
        return CLATTN_OK;
    }
    int64_t right = a->causal ? 0 : a->window_right; /* query 0 stands between least and most */
    int64_t most = p->has_qoff ? INT32_MAX : p->offset, least = p->has_qoff ? INT32_MIN : p->bottom_right ? -p->Nq : p->offset;
    p->left = canonical_window(a->window_left, ca_max(most + p->Nq - 1, 0));
    p->right = canonical_window(right, ca_max(p->Nk - 1 - least, 0));
    if (p->left == CA_UNLIMITED && p->right == CA_UNLIMITED && !p->has_alibi && !p->mods[0] && !p->score_callback && !p->mask_callback &&
        !p->pattern.num_nodes) { /* positions do not matter */
        p->offset = 0;
        p->bottom_right = false;
    }
    return CLATTN_OK;
}

void ca_attention_defaults(clattn_attention *a)
{
    *a = (clattn_attention){
        .size = sizeof *a, .batch = 1, .q_heads = 1, .scale = NAN, .score_scale = 1, .window_left = -1, .window_right = -1,
    };
}

clattn_status ca_problem_init(struct problem *p, const clattn_attention *a)
{
    struct problem fresh;
    clattn_status st;
    memset(&fresh, 0, sizeof fresh); /* padding too: problems may be compared as bytes */

    CA_TRY(ca_check_size(a, a->size, sizeof *a, "clattn_attention"));
    CA_TRY(init_sizes(&fresh, a));
    clattn_layout kv_layout = a->page_size ? CLATTN_BSHD : a->layout;
    CA_TRY(init_storage(&fresh, a));
    CA_TRY(init_product(&fresh, a));
    CA_TRY(init_elements(&fresh, a));
    CA_TRY(ca_problem_mods(&fresh, a));
    CA_TRY(init_strides(&fresh, CA_Q, &a->q, a->layout, &fresh.q));
    CA_TRY(init_strides(&fresh, CA_K, &a->k, kv_layout, &fresh.k));
    CA_TRY(init_strides(&fresh, CA_V, &a->v, kv_layout, &fresh.v));
    CA_TRY(init_strides(&fresh, CA_OUT, &a->out, a->layout, &fresh.o));
    CA_TRY(init_strides(&fresh, CA_KNEW, &a->k_new, a->layout, &fresh.kn));
    CA_TRY(init_strides(&fresh, CA_VNEW, &a->v_new, a->layout, &fresh.vn));
    CA_TRY(init_weights(&fresh, a));
    CA_TRY(init_score(&fresh, a));
    CA_TRY(ca_problem_pattern(&fresh, a));
    CA_TRY(init_mask(&fresh, a));
    ca_problem_order(&fresh);
    memcpy(p, &fresh, sizeof *p);
done:
    return st;
}

bool ca_problem_empty(const struct problem *p)
{
    return p->B == 0 || p->Nq == 0 || p->Nk == 0 || (p->ragged && (p->Tq == 0 || (p->Tk == 0 && !p->page_size)));
}

/* The sum of min(max(x, 0), MOST) over the COUNT integers that start at FIRST. */
static double sum_clamped(int64_t first, int64_t count, int64_t most)
{
    int64_t lo = ca_max(first, 0), hi = ca_min(first + count - 1, most);
    double sum = lo <= hi ? 0.5 * (double)(lo + hi) * (double)(hi - lo + 1) : 0;
    int64_t above = ca_min(count, first + count - 1 - most);
    return sum + (above > 0 ? (double)above * (double)most : 0);
}

double ca_problem_visible(const struct problem *p)
{
    if (ca_problem_empty(p)) return 0;
    int64_t offset = p->offset;
    double pairs = sum_clamped(offset + p->right + 1, p->Nq, p->Nk) - sum_clamped(offset - p->left, p->Nq, p->Nk);
    return p->ragged ? pairs * (double)p->Tq / ((double)p->Nq * (double)p->B) : pairs; /* as if all were of the longest length */
}

double ca_problem_pairs(const struct problem *p) { return ca_problem_visible(p) * ca_pattern_share(p, 1); }

double ca_problem_flops(const struct problem *p)
{
    return 2 * ca_problem_pairs(p) * (double)(p->D + p->Dv) * (double)p->B * (double)p->Hq;
}

double ca_problem_bytes(const struct problem *p)
{
    if (ca_problem_empty(p)) return (double)p->B * (double)p->Hq * (double)p->Nq * (double)p->Dv *
                                    (double)ca_dtype_size(p->dtype);
    ca_int lo = ca_key_lo(p->offset, p->left, (ca_int)p->Nk); /* keys outside of all windows are never read */
    ca_int hi = ca_key_hi(p->offset + p->Nq - 1, p->right, (ca_int)p->Nk);
    double rows = (double)p->Hq * (double)p->Nq + (double)p->Hkv * (double)(hi - lo);
    if (p->ragged) rows = (double)p->Hq * (double)p->Tq / (double)p->B + (double)p->Hkv * (double)p->Tk / (double)p->B;
    return rows * (double)(p->D + p->Dv) * (double)p->B * (double)ca_dtype_size(p->dtype);
}

struct problem ca_problem_expected(const struct problem *p)
{
    struct problem e = *p;
    if (p->lens) e.Nk = p->lens;
    if (p->bottom_right) e.offset -= (int32_t)(p->Nk - e.Nk);
    return e;
}

void ca_problem_args(const struct problem *p, ca_args *a)
{
    *a = (ca_args){
        .q_b = p->ragged ? 0 : p->q.b, .q_h = p->q.h, .k_b = p->ragged && !p->page_size ? 0 : p->k.b, .k_h = p->k.h,
        .v_b = p->ragged && !p->page_size ? 0 : p->v.b, .v_h = p->v.h, .o_b = p->ragged ? 0 : p->o.b, .o_h = p->o.h,
        .lse_b = p->ragged ? 0 : p->Hq * p->Nq, .lse_h = ca_out_rows(p), .Tq = (ca_int)p->Tq, .Tk = (ca_int)p->Tk,
        .page_size = (ca_int)p->page_size, .pages = (ca_int)p->pages, .table_b = p->page_size ? p->Nk / p->page_size : 0,
        .q_s = (ca_int)p->q.s, .q_d = (ca_int)p->q.d, .k_s = (ca_int)p->k.s, .k_d = (ca_int)p->k.d,
        .v_s = (ca_int)p->v.s, .v_d = (ca_int)p->v.d, .o_s = (ca_int)p->o.s, .o_d = (ca_int)p->o.d,
        .B = (ca_int)p->B, .Hq = (ca_int)p->Hq, .Hkv = (ca_int)p->Hkv, .group = (ca_int)(p->Hq / p->Hkv),
        .Nq = (ca_int)p->Nq, .Nk = (ca_int)p->Nk, .D = (ca_int)p->D, .Dv = (ca_int)p->Dv,
        .kn_b = p->kn.b, .kn_h = p->kn.h, .kn_s = (ca_int)p->kn.s, .kn_d = (ca_int)p->kn.d, .vn_b = p->vn.b, .vn_h = p->vn.h,
        .vn_s = (ca_int)p->vn.s, .vn_d = (ca_int)p->vn.d, .new_len = (ca_int)p->new_len, .stage = (ca_int)p->weights,
        .score = (ca_int)p->score, .score_ws = (ca_int)p->score_ws, .score_scale = p->score_scale, .Dq = (ca_int)p->Dq,
        .kv_format = (ca_int)p->kv_format, .k_scale = (ca_int)p->k_scale, .v_scale = (ca_int)p->v_scale, .k_zero = (ca_int)p->k_zero,
        .v_zero = (ca_int)p->v_zero, .q_rot = (ca_int)p->q_rot, .k_rot = (ca_int)(p->new_len ? 0 : p->k_rot),
        .new_rot = (ca_int)(p->new_len ? p->k_rot : 0), .rope_pairs = p->rope_pairs,
        .seed = p->seed, .drop_offset = p->drop_offset, .drop_below = (ca_uint)ceil(p->dropout * 0x1p24), /* exact: u has 24 bits */
        .keep_scale = p->dropout < 1 ? (float)(1 / (1 - p->dropout)) : 0,
        .left = p->left, .right = p->right, .offset = p->offset, .scale = p->scale,
        .softcap = p->softcap, .bottom_right = p->bottom_right, .slopes_b = p->slopes_b,
        .bias_b = p->bias.b, .bias_h = p->bias.h, .bias_i = p->bias.i, .bias_j = (ca_int)p->bias.j, .bias_cols = (ca_int)p->bias.cols,
        .mask_b = p->mask.b, .mask_h = p->mask.h, .mask_i = p->mask.i, .mask_j = (ca_int)p->mask.j, .mask_cols = (ca_int)p->mask.cols,
        .scored = ca_problem_modifies(p) ? CA_MODIFIED : p->mask.on || p->mask_mod || p->mask_callback || p->pattern.num_nodes ? CA_MASKED : 0,
        .shared_len = (ca_int)p->shared_len, .split_len = (ca_int)p->Nk, .splits = 1,
    };
}
