/* attrs.c -- the attributes of a case: each is known, of its row's type and within its row's limits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/case.h"

bool ca_word_in(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; p && *p; p += strcspn(p, " |"), p += strspn(p, " |"))
        if (strcspn(p, " |") == n && !strncmp(p, word, n)) return true;
    return false;
}

bool ca_json_number(const json_t *value, double *number)
{
    static const struct { const char *name; double value; } names[] = {
        {"inf", INFINITY}, {"-inf", -INFINITY}, {"nan", NAN}};
    *number = 0;
    if (json_is_number(value)) {
        *number = json_number_value(value);
        return true;
    }
    for (unsigned i = 0; json_is_string(value) && i < 3; i++)
        if (!strcmp(json_string_value(value), names[i].name)) {
            *number = names[i].value;
            return true;
        }
    return false;
}

/* -------------------------------------------------------------------- types */

static bool all_are(const json_t *list, bool (*is)(const json_t *))
{
    size_t i;
    json_t *value;
    if (!json_is_array(list)) return false;
    json_array_foreach(list, i, value)
        if (!is(value)) return false;
    return true;
}

static bool is_number(const json_t *value)
{
    double number;
    return ca_json_number(value, &number);
}
static bool is_int(const json_t *value) { return json_is_integer(value); }
static bool is_int_or_bool(const json_t *value) { return json_is_integer(value) || json_is_boolean(value); }
static bool is_text(const json_t *value) { return json_is_string(value); }

static bool is_window(const json_t *value)
{
    return all_are(value, is_int) && json_array_size(value) == 2 &&
           json_integer_value(json_array_get(value, 0)) >= -1 && json_integer_value(json_array_get(value, 1)) >= -1;
}

static bool is_scalars(const json_t *value)
{
    const char *key;
    json_t *member;
    if (!json_is_object(value)) return false;
    json_object_foreach((json_t *)value, key, member)
        if (!is_number(member)) return false;
    return true;
}

static bool fields_valid(const struct case_file *c, const char *field, const json_t *object,
                         const struct attr_row *const *tables, unsigned num_tables, bool pattern);

/* A pattern, or (of union and intersect) a list of patterns. */
static bool pattern_valid(const struct case_file *c, const char *field, const json_t *value, int depth)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    const struct pattern_row *row = type ? ca_menu_pattern(type) : NULL;
    size_t i;
    json_t *part;
    if (depth > 16) return ca_case_bad(c, field, "patterns nest deeper than 16");
    if (!json_is_object(value) || !type) return ca_case_bad(c, field, "must be an object with a type");
    if (!row) return ca_case_bad(c, field, "unknown pattern type %s", type);
    if (!fields_valid(c, field, value, &row->fields, 1, true)) return false;
    json_t *parts = json_object_get(value, "of");
    if (parts && !json_is_array(parts)) return ca_case_bad(c, field, "of must be a list of patterns");
    json_array_foreach(parts, i, part)
        if (!pattern_valid(c, field, part, depth + 1)) return false;
    return true;
}

static bool number_valid(const struct case_file *c, const char *field, const struct attr_row *row, const json_t *value)
{
    double number;
    ca_json_number(value, &number);
    if (row->words && !(number >= strtod(row->words, NULL)))
        return ca_case_bad(c, field, "%.17g is less than %s", number, row->words);
    return true;
}

static bool value_valid(const struct case_file *c, const char *field, const struct attr_row *row, const json_t *value)
{
    bool ok = true;
    const char *wanted = "";
    if (json_is_null(value) && !row->required) return true;
    switch (row->type) {
    case V_BOOL: ok = json_is_boolean(value), wanted = "true or false"; break;
    case V_INT: ok = json_is_integer(value), wanted = "an integer"; break;
    case V_NUMBER: ok = is_number(value), wanted = "a number"; break;
    case V_WORD:
        ok = json_is_string(value) && ca_word_in(row->words, json_string_value(value)), wanted = row->words;
        break;
    case V_TEXT: ok = json_is_string(value), wanted = "text"; break;
    case V_INTS: ok = all_are(value, is_int_or_bool), wanted = "a list of integers"; break;
    case V_NUMBERS: ok = is_number(value) || all_are(value, is_number), wanted = "a number or a list of numbers"; break;
    case V_NAMES: ok = all_are(value, is_text), wanted = "a list of names"; break;
    case V_SCALARS: ok = is_scalars(value), wanted = "an object of numbers"; break;
    case V_WINDOW: ok = is_window(value), wanted = "[left, right], integers of at least -1"; break;
    case V_PATTERN: /* the parts of a union are looked at by pattern_valid */
        return (json_is_array(value) && !strcmp(row->name, "of")) || pattern_valid(c, field, value, 0);
    }
    if (!ok) return ca_case_bad(c, field, "must be %s%s", row->type == V_WORD ? "one of " : "", wanted);
    return (row->type != V_INT && row->type != V_NUMBER) || number_valid(c, field, row, value);
}

static const struct attr_row *find(const struct attr_row *const *tables, unsigned num_tables, const char *name)
{
    for (unsigned t = 0; t < num_tables; t++)
        for (const struct attr_row *row = tables[t]; row && row->name; row++)
            if (!strcmp(row->name, name)) return row;
    return NULL;
}

static bool fields_valid(const struct case_file *c, const char *field, const json_t *object,
                         const struct attr_row *const *tables, unsigned num_tables, bool pattern)
{
    const char *key;
    json_t *value;
    char inner[256];
    json_object_foreach((json_t *)object, key, value) {
        const struct attr_row *row = find(tables, num_tables, key);
        snprintf(inner, sizeof inner, "%s.%s", field, key);
        if (!row && pattern && !strcmp(key, "type")) continue;
        if (!row) return ca_case_bad(c, inner, "unknown %s of %s", pattern ? "field" : "attribute",
                                     pattern ? json_string_value(json_object_get(object, "type")) : c->op->name);
        if (!value_valid(c, inner, row, value)) return false;
    }
    for (unsigned t = 0; t < num_tables; t++)
        for (const struct attr_row *row = tables[t]; row && row->name; row++)
            if (row->required && !json_object_get(object, row->name))
                return ca_case_bad(c, field, "%s is missing", row->name);
    return true;
}

bool ca_case_attrs_valid(const struct case_file *c)
{
    return fields_valid(c, "attrs", c->attrs, c->op->attrs, 2, false);
}

/* ------------------------------------------------------------------- values */

static json_t *get(const struct case_file *c, const char *attr)
{
    json_t *value = json_object_get(c->attrs, attr);
    return json_is_null(value) ? NULL : value;
}

bool ca_case_has(const struct case_file *c, const char *attr) { return get(c, attr) != NULL; }
bool ca_case_flag(const struct case_file *c, const char *attr) { return json_is_true(get(c, attr)); }

int64_t ca_case_int(const struct case_file *c, const char *attr, int64_t fallback)
{
    json_t *value = get(c, attr);
    return value ? json_integer_value(value) : fallback;
}

double ca_case_number(const struct case_file *c, const char *attr, double fallback)
{
    json_t *value = get(c, attr);
    double number;
    return value && ca_json_number(value, &number) ? number : fallback;
}

const char *ca_case_word(const struct case_file *c, const char *attr, const char *fallback)
{
    json_t *value = get(c, attr);
    return value ? json_string_value(value) : fallback;
}

const struct attr_row *ca_attr_row(const struct op_row *op, const char *name) { return find(op->attrs, 2, name); }

bool ca_attr_works(const struct attr_row *row, const json_t *value)
{
    double number;
    if (!row->works || json_is_null(value)) return true;
    if (json_is_array(value) && json_array_size(value) == 0) return true;
    if (json_is_object(value) && json_object_size(value) == 0) return true;
    if (json_is_boolean(value)) return ca_word_in(row->works, json_is_true(value) ? "true" : "false");
    if (row->type != V_WORD && ca_json_number(value, &number)) return *row->works && number == strtod(row->works, NULL);
    return json_is_string(value) && ca_word_in(row->works, json_string_value(value));
}

static bool pattern_has(const json_t *pattern, const char *types)
{
    const char *type = json_string_value(json_object_get(pattern, "type"));
    size_t i;
    json_t *part;
    if (type && ca_word_in(types, type)) return true;
    json_array_foreach(json_object_get(pattern, "of"), i, part)
        if (pattern_has(part, types)) return true;
    return false;
}

bool ca_case_has_pattern(const struct case_file *c, const char *types) { return pattern_has(get(c, "pattern"), types); }
