/* tensors.c -- the inputs and outputs of a case: each is known, comes from a file inside the folder, and has a
 * type and a shape that its row allows. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include "cli/case.h"

static const struct slot_row *find_row(const struct case_file *c, const struct slot_row *const *tables,
                                       const char *name)
{
    for (unsigned t = 0; t < 2; t++)
        for (const struct slot_row *row = tables[t]; row && row->name; row++)
            if (!strcmp(row->name, name) && (row->when & c->form) == row->when) return row;
    return NULL;
}

/* A file inside the case's folder: no absolute path, no way up. */
static bool path_valid(const char *file)
{
    if (!*file || *file == '/') return false;
    for (const char *p = file; p; p = strchr(p, '/'), p = p ? p + 1 : NULL)
        if (!strncmp(p, "..", 2) && (p[2] == '/' || !p[2])) return false;
    return true;
}

static bool dtype_of(const struct case_file *c, struct case_tensor *t)
{
    json_t *value = json_object_get(json_object_get(c->root, "dtypes"), t->name);
    const char *type = json_string_value(value);
    char field[128];
    snprintf(field, sizeof field, "dtypes.%s", t->name);
    if (value && (!type || !ca_word_in("f32 f16 bf16 f64", type)))
        return ca_case_bad(c, field, "must be one of f32 f16 bf16 f64");
    t->bf16 = type && !strcmp(type, "bf16");
    return true;
}

static bool add_tensor(struct case_file *c, struct case_tensor *list, unsigned *count, const char *field,
                       const char *name, const json_t *file, const struct slot_row *row)
{
    struct case_tensor *t = &list[*count];
    if (*count == CA_CASE_MAX_TENSORS) return ca_case_bad(c, field, "more than %d tensors", CA_CASE_MAX_TENSORS);
    if (!json_is_string(file) || !path_valid(json_string_value(file)))
        return ca_case_bad(c, field, "must name a file inside the case's folder");
    ++*count;
    t->name = name;
    t->row = row;
    if (asprintf(&t->path, "%s/%s", c->path, json_string_value(file)) < 0) {
        t->path = NULL;
        ca_no_memory(4096, field);
        return false;
    }
    return dtype_of(c, t);
}

/* Is NAME listed by attribute mod_buffers? */
static bool is_mod_buffer(const struct case_file *c, const char *name)
{
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(c->attrs, "mod_buffers"), i, value)
        if (!strcmp(json_string_value(value), name)) return true;
    return false;
}

/* The rows of inputs, in table order; buffers of score_mod come last. */
static bool list_inputs(struct case_file *c)
{
    static const struct slot_row buffer = {"mod_buffers", 'f', 0, "...", NULL, false, true};
    json_t *inputs = json_object_get(c->root, "inputs"), *value;
    const char *key;
    char field[128];
    for (unsigned t = 0; t < 2; t++)
        for (const struct slot_row *row = c->op->inputs[t]; row && row->name; row++) {
            snprintf(field, sizeof field, "inputs.%s", row->name);
            value = json_object_get(inputs, row->name);
            if (!value && row->required) return ca_case_bad(c, field, "is missing");
            if (!value || ca_case_input(c, row->name)) continue;
            if (!add_tensor(c, c->in, &c->num_in, field, row->name, value, row)) return false;
        }
    json_object_foreach(inputs, key, value) {
        snprintf(field, sizeof field, "inputs.%s", key);
        if (ca_case_input(c, key)) continue;
        if (!is_mod_buffer(c, key)) return ca_case_bad(c, field, "unknown input of %s", c->op->name);
        if (!add_tensor(c, c->in, &c->num_in, field, key, value, &buffer)) return false;
    }
    return true;
}

/* Row of the output: the op's own, or dx of a floating input x; NULL with a message. */
static const struct slot_row *output_row(const struct case_file *c, const char *name, const char *field)
{
    static const struct slot_row gradient = {"gradient", 'f', 0, "=", "+dout", false, false};
    const struct slot_row *row = find_row(c, c->op->outputs, name);
    const struct case_tensor *x = name[0] == 'd' ? ca_case_input(c, name + 1) : NULL;
    if (row) return row;
    if (x && (x->row->kind == 'f' || x->row->kind == 'c') && strcmp(name + 1, "out") != 0 &&
        (c->op->gradients[0] == '*' || ca_word_in(c->op->gradients, name + 1)))
        return &gradient;
    ca_case_bad(c, field, "unknown output of %s", c->op->name);
    return NULL;
}

static bool list_outputs(struct case_file *c)
{
    json_t *outputs = json_object_get(c->root, "outputs"), *value;
    const char *key;
    char field[128];
    if (json_object_size(outputs) == 0) return ca_case_bad(c, "outputs", "names no output");
    json_object_foreach(outputs, key, value) {
        snprintf(field, sizeof field, "outputs.%s", key);
        const struct slot_row *row = output_row(c, key, field);
        if (!row || !add_tensor(c, c->out, &c->num_out, field, key, value, row)) return false;
    }
    return true;
}

static bool type_valid(const struct case_file *c, struct case_tensor *t, const char *field, const struct ca_npy *a)
{
    bool floating = a->type == CA_NPY_F4 || a->type == CA_NPY_F2 || a->type == CA_NPY_F8;
    bool integer = a->type == CA_NPY_I4 || a->type == CA_NPY_I8, bytes = a->type == CA_NPY_I1 || a->type == CA_NPY_U1;
    const char *wanted = "floating";
    bool ok = floating;
    if (a->type == CA_NPY_U2) ok = t->bf16 && t->row->kind != 'm' && t->row->kind != 'i';
    else if (t->bf16)
        return ca_case_bad(c, field, "%s: dtypes says bf16, which is stored as <u2, not %s", t->path,
                           ca_npy_name(a->type));
    if (t->row->kind == 'i') ok = integer, wanted = "<i4 or <i8";
    if (t->row->kind == 'm') ok = a->type == CA_NPY_B1 || a->type == CA_NPY_U1, wanted = "|b1 or |u1";
    if (t->row->kind == 'c' && c->form & W_QUANT) ok = bytes, wanted = "|i1 or |u1";
    if (a->type == CA_NPY_U2 && !ok) wanted = "floating (bf16 must be named in dtypes)";
    return ok || ca_case_bad(c, field, "%s: type %s, must be %s", t->path, ca_npy_name(a->type), wanted);
}

static bool read_inputs(struct case_file *c)
{
    char field[128];
    for (unsigned i = 0; i < c->num_in; i++) {
        snprintf(field, sizeof field, "inputs.%s", c->in[i].name);
        if (ca_npy_read(c->in[i].path, field, &c->in[i].a) != CLATTN_OK) return false;
    }
    return true;
}

/* Which of the rows' forms this case has. */
static void set_form(struct case_file *c)
{
    const char *layout = ca_case_word(c, "layout", "BHSD");
    const struct case_tensor *q = ca_case_input(c, "q");
    if (!strcmp(layout, "BSHD")) c->form |= W_BSHD | (q && q->a.rank == 3 ? W_FLAT : 0);
    if (!strcmp(layout, "THD")) c->form |= W_THD;
    if (ca_case_input(c, "block_table")) c->form |= W_PAGED;
    if (ca_case_has(c, "kv_format")) c->form |= W_QUANT;
    for (unsigned i = 0; i < c->num_in; i++) {
        const struct slot_row *row = find_row(c, c->op->inputs, c->in[i].name);
        if (row) c->in[i].row = row;
    }
}

static bool set_heads(struct case_file *c)
{
    if (c->form & W_FLAT && !ca_case_has(c, "q_heads"))
        return ca_case_bad(c, "attrs.q_heads", "is missing: tensors of rank 3 need it");
    if (ca_case_has(c, "q_heads")) ca_size_set(c, "Hq", ca_case_int(c, "q_heads", 0), "attrs.q_heads");
    if (ca_case_has(c, "kv_heads")) ca_size_set(c, "Hkv", ca_case_int(c, "kv_heads", 0), "attrs.kv_heads");
    else if (c->form & W_FLAT) ca_size_set(c, "Hkv", ca_case_int(c, "q_heads", 0), "attrs.q_heads");
    return true;
}

/* Does the case have what the row needs? */
static bool needs_met(const struct case_file *c, const char *needs)
{
    const char *equal = needs ? strchr(needs, '=') : NULL;
    char attr[32];
    if (!needs) return true;
    if (*needs == '+') return ca_case_input(c, needs + 1) != NULL;
    if (!equal)
        return ca_case_has(c, needs) && (!json_is_boolean(json_object_get(c->attrs, needs)) || ca_case_flag(c, needs));
    snprintf(attr, sizeof attr, "%.*s", (int)(equal - needs), needs);
    if (!strcmp(attr, "pattern")) return ca_case_has_pattern(c, equal + 1);
    return ca_word_in(equal + 1, ca_case_word(c, attr, ""));
}

static bool inputs_valid(struct case_file *c)
{
    char field[128];
    for (unsigned i = 0; i < c->num_in; i++) {
        struct case_tensor *t = &c->in[i];
        snprintf(field, sizeof field, "inputs.%s", t->name);
        if (!needs_met(c, t->row->needs))
            return ca_case_bad(c, field, "needs %s", t->row->needs + (*t->row->needs == '+'));
        if (!type_valid(c, t, field, &t->a) || !ca_shape_fits(c, t, field, &t->a)) return false;
    }
    return true;
}

/* Gradients have the shape of their input; they are no row of a table. */
static bool expected_fits(struct case_file *c, struct case_tensor *t, const char *field)
{
    if (t->want.type == CA_NPY_U2) t->bf16 = true; /* an output's storage type follows from the inputs */
    if (!type_valid(c, t, field, &t->want)) return false;
    if (strcmp(t->row->shape, "=") != 0) return ca_shape_fits(c, t, field, &t->want);
    char shape[64];
    struct slot_row row = *t->row;
    struct case_tensor as = *t;
    snprintf(shape, sizeof shape, "=%s", t->name + 1);
    row.shape = shape;
    as.row = &row;
    return ca_shape_fits(c, &as, field, &t->want);
}

static bool tolerance(const struct case_file *c, struct case_tensor *t)
{
    json_t *pair = json_object_get(json_object_get(c->root, "tol"), t->name);
    json_t *r = json_object_get(c->root, "rtol"), *a = json_object_get(c->root, "atol");
    char field[128];
    snprintf(field, sizeof field, "tol.%s", t->name);
    if (pair && (!json_is_array(pair) || json_array_size(pair) != 2 || !json_is_number(json_array_get(pair, 0)) ||
                 !json_is_number(json_array_get(pair, 1))))
        return ca_case_bad(c, field, "must be [rtol, atol]");
    t->rtol = pair ? json_number_value(json_array_get(pair, 0)) : r ? json_number_value(r) : 1e-5;
    t->atol = pair ? json_number_value(json_array_get(pair, 1)) : a ? json_number_value(a) : 1e-6;
    if (t->rtol < 0 || t->atol < 0)
        return ca_case_bad(c,
                           pair          ? field
                           : t->rtol < 0 ? "rtol"
                                         : "atol",
                           "%g is negative", t->rtol < 0 ? t->rtol : t->atol);
    return true;
}

bool ca_case_outputs_read(struct case_file *c, bool expected)
{
    char field[128];
    for (unsigned i = 0; i < c->num_out; i++) {
        struct case_tensor *t = &c->out[i];
        snprintf(field, sizeof field, "outputs.%s", t->name);
        if (!needs_met(c, t->row->needs))
            return ca_case_bad(c, field, "needs %s", t->row->needs + (*t->row->needs == '+'));
        if (!tolerance(c, t)) return false;
        if (!expected) continue;
        if (ca_npy_read(t->path, field, &t->want) != CLATTN_OK || !expected_fits(c, t, field)) return false;
    }
    return true;
}

/* dtypes and tol may name only tensors that exist. */
static bool names_known(const struct case_file *c, const char *member, bool inputs)
{
    const char *key;
    json_t *value;
    char field[128];
    json_object_foreach(json_object_get(c->root, member), key, value) {
        snprintf(field, sizeof field, "%s.%s", member, key);
        if (!ca_case_output(c, key) && !(inputs && ca_case_input(c, key)))
            return ca_case_bad(c, field, "is no %s of this case", inputs ? "tensor" : "output");
    }
    return true;
}

/* -------------------------------------------------------------------- entries */

bool ca_case_inputs_read(struct case_file *c)
{
    if (!list_inputs(c) || !read_inputs(c)) return false;
    set_form(c);
    return set_heads(c) && inputs_valid(c);
}

bool ca_case_outputs_listed(struct case_file *c)
{
    return list_outputs(c) && names_known(c, "dtypes", true) && names_known(c, "tol", false);
}

