/* case.c -- reads a case: case.json, then the tensors that it names, by the rows of menu.c. */
#define _GNU_SOURCE
#include "cli/case.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/text.h"

#define MAX_JSON (16 << 20)

bool ca_case_bad(const struct case_file *c, const char *field, const char *format, ...)
{
    char why[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof why, format, ap);
    va_end(ap);
    ca_fail(CLATTN_E_ARGUMENT, "%s: %s: %s", c->file, field, why);
    return false;
}

static struct case_tensor *find(const struct case_tensor *list, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(list[i].name, name)) return (struct case_tensor *)&list[i];
    return NULL;
}
struct case_tensor *ca_case_input(const struct case_file *c, const char *name) { return find(c->in, c->num_in, name); }
struct case_tensor *ca_case_output(const struct case_file *c, const char *name)
{
    return find(c->out, c->num_out, name);
}

/* ---------------------------------------------------------------- case.json */

/* Only a regular file of sensible size is read. */
json_t *ca_json_load(const char *path)
{
    struct stat s;
    json_error_t e;
    json_t *root = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &s) != 0) {
        ca_fail(CLATTN_E_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(s.st_mode) || s.st_size > MAX_JSON) {
        ca_fail(CLATTN_E_ARGUMENT, "%s: is not a regular file of at most %d bytes", path, MAX_JSON);
    } else {
        root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &e);
        if (!root) ca_fail(CLATTN_E_ARGUMENT, "%s: line %d: %s", path, e.line, e.text);
    }
    if (fd >= 0) close(fd);
    return root;
}

/* The members that a case may have, with their JSON types. */
static bool members_valid(const struct case_file *c)
{
    static const struct { const char *name; json_type type; bool required; } members[] = {
        {"format", JSON_INTEGER, true},  {"name", JSON_STRING, false},    {"op", JSON_STRING, true},
        {"attrs", JSON_OBJECT, false},   {"inputs", JSON_OBJECT, true},   {"outputs", JSON_OBJECT, true},
        {"dtypes", JSON_OBJECT, false},  {"rtol", JSON_REAL, false},      {"atol", JSON_REAL, false},
        {"tol", JSON_OBJECT, false},     {"source", JSON_STRING, false},
    };
    static const char *const kinds[] = {"an object", "a list", "a string", "an integer", "a number"};
    const unsigned count = sizeof members / sizeof members[0];
    const char *key;
    json_t *value;
    if (!json_is_object(c->root)) return ca_case_bad(c, "case.json", "must be an object");
    json_object_foreach(c->root, key, value) {
        unsigned i = 0;
        while (i < count && strcmp(members[i].name, key) != 0) i++;
        if (i == count) return ca_case_bad(c, key, "unknown member");
        if (json_typeof(value) != members[i].type && !(members[i].type == JSON_REAL && json_is_integer(value)))
            return ca_case_bad(c, key, "must be %s", kinds[members[i].type]);
    }
    for (unsigned i = 0; i < count; i++)
        if (members[i].required && !json_object_get(c->root, members[i].name))
            return ca_case_bad(c, members[i].name, "is missing");
    if (json_integer_value(json_object_get(c->root, "format")) != 1)
        return ca_case_bad(c, "format", "is %lld; only 1 is known",
                           (long long)json_integer_value(json_object_get(c->root, "format")));
    return true;
}

static bool header_valid(struct case_file *c)
{
    if (!members_valid(c)) return false;
    const char *name = json_string_value(json_object_get(c->root, "name"));
    const char *op = json_string_value(json_object_get(c->root, "op"));
    if (name && *name) c->name = name;
    c->attrs = json_object_get(c->root, "attrs");
    c->op = ca_menu_op(op);
    if (!c->op) return ca_case_bad(c, "op", "unknown operation %s", op);
    return ca_case_attrs_valid(c);
}

/* ------------------------------------------------------------------- the case */

static void set_names(struct case_file *c, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    snprintf(c->path, sizeof c->path, "%.*s", (int)n, path);
    snprintf(c->file, sizeof c->file, "%s/case.json", c->path);
    const char *last = strrchr(c->path, '/'), *base = last ? last + 1 : c->path;
    char *real = NULL;
    if (!*base || !strcmp(base, ".") || !strcmp(base, "..")) { /* no name of its own */
        real = realpath(c->path, NULL);
        base = real ? strrchr(real, '/') + 1 : "";
    }
    c->folder = strdup(*base ? base : "case");
    free(real);
    c->name = c->folder ? c->folder : "case";
}

clattn_status ca_case_read(const char *path, bool expected, struct case_file *c)
{
    memset(c, 0, sizeof *c);
    ca_message_clear();
    CA_REQUIRE(strlen(path) < sizeof c->path - 1, CLATTN_E_ARGUMENT, "a path of %zu bytes is too long", strlen(path));
    set_names(c, path);
    if (!c->folder) return ca_no_memory(strlen(path), "a case's name");
    c->root = ca_json_load(c->file);
    if (!c->root) return CLATTN_E_ARGUMENT;
    bool ok = header_valid(c) && ca_case_inputs_read(c) && ca_case_outputs_listed(c) &&
              (!c->op->check || c->op->check(c)) && ca_case_outputs_read(c, expected);
    return ok ? CLATTN_OK : CLATTN_E_ARGUMENT;
}

void ca_case_free(struct case_file *c)
{
    for (unsigned i = 0; i < c->num_in; i++) {
        ca_npy_free(&c->in[i].a);
        free(c->in[i].path);
    }
    for (unsigned i = 0; i < c->num_out; i++) {
        ca_npy_free(&c->out[i].a);
        ca_npy_free(&c->out[i].want);
        free(c->out[i].path);
    }
    free(c->folder);
    json_decref(c->root);
    memset(c, 0, sizeof *c);
}

const char *ca_case_unsupported(const struct case_file *c, char *why, size_t size)
{
    struct ca_text t = {why, size, 0};
    const char *key;
    json_t *value;
    if (!c->op->run) {
        snprintf(why, size, "operation %s is not supported yet", c->op->name);
        return why;
    }
    json_object_foreach(c->attrs, key, value)
        if (!ca_attr_works(ca_attr_row(c->op, key), value))
            ca_text_put(&t, "%sattribute %s", t.length ? ", " : "", key);
    for (unsigned i = 0; i < c->num_in; i++)
        if (!c->in[i].row->works) ca_text_put(&t, "%sinput %s", t.length ? ", " : "", c->in[i].name);
    for (unsigned i = 0; i < c->num_out; i++)
        if (!c->out[i].row->works) ca_text_put(&t, "%soutput %s", t.length ? ", " : "", c->out[i].name);
    if (!t.length) return NULL;
    ca_text_put(&t, ": not supported yet");
    return why;
}

enum ca_npy_type ca_case_storage(const struct case_file *c)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(c->root, "inputs"), key, value) {
        const struct case_tensor *t = ca_case_input(c, key);
        if (!t) continue;
        if (t->a.type == CA_NPY_F2 || t->a.type == CA_NPY_U2) return t->a.type;
        if (t->a.type == CA_NPY_F4 || t->a.type == CA_NPY_F8) return CA_NPY_F4;
    }
    return CA_NPY_F4;
}
