/* pattern.c -- a case's sparsity pattern: from JSON to clattn_pattern, by the fields that its text has too (problem/pattern_string.c). */
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/status.h"
#include "cli/run.h"

static int64_t whole(const json_t *value) { return json_is_boolean(value) ? json_is_true(value) : json_integer_value(value); }

static clattn_status read_field(const json_t *value, struct ca_tree *t, clattn_pattern *node, const struct ca_field *f)
{
    void *at = (char *)node + f->at;
    size_t i, count = json_array_size(value);
    int64_t sizes[3];
    json_t *element;
    clattn_status st = CLATTN_OK;
    switch (f->kind) {
    case CA_FIELD_WHOLE: *(int64_t *)at = whole(value); break;
    case CA_FIELD_SEED: *(uint64_t *)at = (uint64_t)whole(value); break;
    case CA_FIELD_REAL: ca_json_number(value, at); break;
    case CA_FIELD_FLAG: *(int *)at = whole(value) != 0; break;
    case CA_FIELD_SIZES:
    case CA_FIELD_FLAGS:
        json_array_foreach(value, i, element) if (i < 3) sizes[i] = whole(element);
        return ca_tree_sizes(node, f, sizes, count > 3 ? 4 : (int)count);
    case CA_FIELD_TOKENS:
        json_array_foreach(value, i, element) CA_TRY(ca_tree_token(t, node, whole(element)));
        break;
    }
done:
    return st;
}

/* What a tensor's shape tells, and numbers beyond which there is nothing more to choose. */
static void read_shapes(const struct case_file *c, const clattn_attention *a, clattn_pattern *node)
{
    const struct case_tensor *layout = ca_case_input(c, "block_layout"), *rows = ca_case_input(c, "row_ptr"), *columns = ca_case_input(c, "col_idx"),
                             *rotations = ca_case_input(c, "rotations"), *lists = ca_case_input(c, "kv_indices"),
                             *full = ca_case_input(c, "full_kv_indices"), *bias = ca_case_input(c, "edge_bias");
    for (int i = 0; layout && i < 3; i++) node->layout[i] = layout->a.shape[i];
    if (rows && rows->a.rank == 2) node->row_heads = rows->a.shape[0];
    if (bias) node->edge_heads = bias->a.rank == 2 ? bias->a.shape[0] : 1;
    if (columns) node->edges = (int64_t)columns->a.count;
    if (lists) node->list_batch = lists->a.shape[0], node->list_heads = lists->a.shape[1], node->max_blocks = lists->a.shape[3];
    if (full) node->max_full_blocks = full->a.shape[3];
    if (rotations) node->buckets = 2 * rotations->a.shape[2];
    node->count = ca_min(node->count, a->kv_len);
    node->random = ca_min(node->random, a->kv_len);
}

static clattn_status read_pattern(const struct case_file *c, const json_t *value, const clattn_attention *a, struct ca_tree *t, clattn_pattern **to)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    const json_t *parts = json_object_get(value, "of");
    size_t i;
    json_t *part;
    clattn_status st;
    CA_TRY(ca_tree_add(t, type, strlen(type), to));
    for (const struct ca_field *f = ca_pattern_fields((*to)->type); f->name; f++) {
        const json_t *field = json_object_get(value, f->name);
        if (field && !json_is_null(field)) CA_TRY(read_field(field, t, *to, f));
    }
    read_shapes(c, a, *to);
    if (parts) CA_TRY(ca_tree_parts(t, *to, json_array_size(parts)));
    json_array_foreach(parts, i, part) {
        clattn_pattern *made;
        CA_TRY(read_pattern(c, part, a, t, &made));
        ((const clattn_pattern **)(*to)->of)[i] = made;
    }
done:
    return st;
}

clattn_status ca_case_pattern(const struct case_file *c, struct ca_tree *t, clattn_attention *a)
{
    clattn_pattern *root;
    const json_t *value = json_object_get(c->attrs, "pattern");
    if (!value || json_is_null(value)) return CLATTN_OK;
    memset(t, 0, sizeof *t);
    clattn_status st = read_pattern(c, value, a, t, &root);
    if (st == CLATTN_OK) a->pattern = root;
    return st;
}
