/* part.c -- a part of a problem is a problem of its own on the same tensors: some batch rows, KV heads, query rows or keys of it. */
#include "base/checked.h"
#include "problem/tensors.h"

/* The patterns whose tensors or lists are some head's or batch row's. */
static const char *pattern_indivisible(const struct problem *p)
{
    const struct pattern *t = &p->pattern;
    if (t->layout[0] > 1 || t->row_heads > 1 || t->edge_heads > 1 || t->lists[0] > 1 || t->lists[1] > 1) return "the pattern has tensors by head";
    if (ca_has_pattern(p, CA_RANDOM) && p->B > 1) return "a random pattern numbers the batch rows of the whole";
    if (ca_has_pattern(p, CA_ADAPTIVE_SPAN)) return "the pattern has spans by head";
    if (ca_has_pattern(p, CA_TOP_P)) return "the pattern counts what it spent in one tensor";
    return NULL;
}

const char *ca_problem_indivisible(const struct problem *p)
{
    if (p->score_mod || p->mask_mod || p->tile_class || p->score_callback || p->mask_callback || p->tile_callback)
        return "score_mod and mask_mod number heads and rows by their places in the whole";
    if (p->dropout > 0) return "dropout numbers the weights of the whole";
    if (p->weights) return "the weights are one tensor";
    if (p->new_len) return "keys are appended";
    if (p->shared_len) return "keys are shared by all batch rows";
    if (p->split_len) return "with split_len the bits are the same whatever else there is";
    return p->pattern.num_nodes ? pattern_indivisible(p) : NULL;
}

bool ca_problem_cuts_rows(const struct problem *p)
{
    return !p->ragged && !p->has_qoff && !(p->lens && p->bottom_right) && !p->pattern.num_nodes;
}

bool ca_problem_cuts_heads(const struct problem *p)
{
    const clattn_scale scale[] = { p->k_scale, p->v_scale, p->k_zero, p->v_zero };
    for (int i = 0; i < 4; i++)
        if (p->page_size && scale[i] == CLATTN_SCALE_BY_KEY) return false; /* the heads of a key are neighbours there */
    return true;
}

/* In 16 bits the parts' outputs would be rounded before they are merged. */
bool ca_problem_cuts_keys(const struct problem *p)
{
    return ca_problem_cuts_rows(p) && !p->page_size && !p->lens && !p->has_sinks && p->dtype == CLATTN_F32 && (!p->bias.on || p->bias.cols >= p->Nk) &&
           (!p->mask.on || p->mask.cols >= p->Nk);
}

/* What a part's numbers follow from. */
static void canonical(struct problem *part, enum ca_slot s, struct ca_strides *at)
{
    const struct axes x = ca_slot_axes(part, s);
    int64_t stride[4] = { at->b, at->h, at->s, at->d };
    ca_axes_canonical(&x, stride);
    *at = (struct ca_strides){ stride[0], stride[1], stride[2], stride[3] };
}

void ca_problem_part(const struct problem *p, const struct ca_part *r, struct problem *part)
{
    *part = *p;
    part->B = r->b[1] - r->b[0];
    part->Hkv = r->h[1] - r->h[0];
    part->Hq = part->Hkv * (p->Hkv ? p->Hq / p->Hkv : 0);
    part->Nq = r->i[1] - r->i[0];
    part->Nk = r->j[1] - r->j[0];
    part->offset += (int32_t)(r->i[0] - r->j[0]); /* positions count from the part's first key */
    part->bias.cols = ca_min(p->bias.cols, part->Nk);
    part->mask.cols = ca_min(p->mask.cols, part->Nk);
    canonical(part, CA_Q, &part->q); /* equal parts are equal problems */
    canonical(part, CA_K, &part->k);
    canonical(part, CA_V, &part->v);
    canonical(part, CA_OUT, &part->o);
    ca_packed_strides(part, CA_KNEW, CLATTN_BHSD, &part->kn); /* there are none */
    ca_packed_strides(part, CA_VNEW, CLATTN_BHSD, &part->vn);
}

static bool has_rows_of_keys(enum ca_slot s)
{
    return s == CA_K || s == CA_V || s == CA_KSCALE || s == CA_VSCALE || s == CA_KZERO || s == CA_VZERO || s == CA_KCOS || s == CA_KSIN;
}

/* An axis of the part that is shorter than the whole's begins where the part does. */
size_t ca_part_offset(const struct problem *p, const struct problem *part, const struct ca_part *r, enum ca_slot s)
{
    const struct axes whole = ca_slot_axes(p, s), some = ca_slot_axes(part, s);
    const int64_t from[4] = { r->b[0], whole.n[1] == p->Hq ? r->h[0] * (p->Hq / p->Hkv) : r->h[0], has_rows_of_keys(s) ? r->j[0] : r->i[0], r->j[0] };
    int64_t stride[4], at = 0;
    ca_slot_strides(p, s, &whole, stride);
    for (int k = 0; k < 4; k++)
        if (some.n[k] != whole.n[k]) at += from[k] * stride[k];
    return (size_t)at * ca_slot_size(p, s);
}

bool ca_part_is_slice(const struct problem *p, const struct problem *part, enum ca_slot s)
{
    const struct axes whole = ca_slot_axes(p, s), some = ca_slot_axes(part, s);
    int64_t mine[4], theirs[4];
    ca_slot_strides(p, s, &whole, theirs);
    ca_slot_strides(part, s, &some, mine);
    for (int k = 0; k < 4; k++)
        if (some.n[k] > 1 && mine[k] != theirs[k]) return false;
    return true;
}
