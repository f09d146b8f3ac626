/* mods.c -- see mods.h. */
#include "cli/mods.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/status.h"
#include "cli/case.h"
#include "cli/graph.h"
#include "problem/problem.h"

/* NAME and what FORMAT makes of NUMBER behind the N characters that are there; returns how many there are then. */
static size_t put(char *text, size_t size, size_t n, const char *format, const char *name, double number)
{
    return n < size ? n + (size_t)snprintf(text + n, size - n, format, name, number) : n;
}

void ca_mods_describe(const json_t *attrs, struct mod_texts *t, clattn_attention *a)
{
    json_t *buffers = json_object_get(attrs, "mod_buffers"), *value;
    size_t i, n = 0;
    const char *name;
    memset(t, 0, sizeof *t);
    a->score_mod = json_string_value(json_object_get(attrs, "score_mod"));
    a->mask_mod = json_string_value(json_object_get(attrs, "mask_mod"));
    a->tile_class = json_string_value(json_object_get(attrs, "tile_class"));
    a->mod_buffers = t->buffers;
    a->mod_scalars = t->scalars;
    json_array_foreach(buffers, i, value) n = put(t->buffers, sizeof t->buffers, n, "%s ", json_string_value(value), 0);
    json_object_foreach(buffers, name, value) n = put(t->buffers, sizeof t->buffers, n, "%s ", name, 0);
    n = 0;
    json_object_foreach(json_object_get(attrs, "mod_scalars"), name, value) {
        double x = 0;
        ca_json_number(value, &x);
        n = put(t->scalars, sizeof t->scalars, n, "%s=%.17g ", name, x);
    }
}

/* ------------------------------------------------------------------ mod=FILE */

static bool numbers(const json_t *object, bool whole)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object)) return false;
    json_object_foreach((json_t *)object, name, value) {
        double x;
        if (whole ? !json_is_integer(value) : !ca_json_number(value, &x)) return false;
    }
    return true;
}

static clattn_status check(const char *path, const json_t *root)
{
    const char *name;
    json_t *value;
    CA_REQUIRE(json_is_object(root), CLATTN_E_ARGUMENT, "%s: must be an object", path);
    json_object_foreach((json_t *)root, name, value) {
        bool text = ca_word_in("score_mod mask_mod tile_class", name), buffers = !strcmp(name, "mod_buffers");
        CA_REQUIRE(text || buffers || !strcmp(name, "mod_scalars"), CLATTN_E_ARGUMENT, "%s: %s: unknown member", path, name);
        CA_REQUIRE(text ? json_is_string(value) : numbers(value, buffers), CLATTN_E_ARGUMENT, "%s: %s: must be %s", path, name,
                   text ? "text" : buffers ? "an object of numbers of elements" : "an object of numbers");
    }
    CA_REQUIRE(json_object_get(root, "score_mod") || json_object_get(root, "mask_mod"), CLATTN_E_ARGUMENT,
               "%s: score_mod or mask_mod is missing", path);
    return CLATTN_OK;
}

static clattn_status read_mods(const char *path, struct cli_problem *p)
{
    const char *name;
    json_t *value;
    size_t i = 0;
    clattn_status st;
    p->mods = ca_json_load(path);
    if (!p->mods) return CLATTN_E_ARGUMENT;
    CA_TRY(check(path, p->mods));
    ca_mods_describe(p->mods, &p->texts, &p->a);
    json_object_foreach(json_object_get(p->mods, "mod_buffers"), name, value)
        if (i < CLATTN_MAX_MODS) p->a.mod_lengths[i++] = json_integer_value(value);
done:
    return st;
}

/* ---------------------------------------------------------- pattern=csr:FILE */

/* Where FILE begins in TEXT, and its length; NULL when there are numbers, or no such pattern. */
static char *find_graph(char *text, size_t *length)
{
    for (char *s = text; (s = strstr(s, "csr:"));) {
        bool begins = s > text && strchr("=(;", s[-1]);
        s += 4;
        size_t digits = strspn(s, "0123456789");
        *length = strcspn(s, " \t\r\n,;)");
        if (begins && *length && *length != digits + (s[digits] == 'e')) return s;
    }
    return NULL;
}

/* Reads the graph, and puts into *TEXT its number of edges for the file. */
static clattn_status read_graph(char **text, char **path, struct ca_graph *g)
{
    size_t length, room = strlen(*text) + 32;
    char *file = find_graph(*text, &length), *with;
    clattn_status st = CLATTN_OK;
    if (!file) return st;
    if (!(*path = strndup(file, length)) || !(with = malloc(room))) return ca_no_memory(room, "the problem");
    st = ca_graph_read(*path, g);
    snprintf(with, room, "%.*s%" PRId64 "e%s", (int)(file - *text), *text, g->edges, file + length);
    free(*text);
    *text = with;
    return st;
}

clattn_status ca_cli_problem(const char *text, struct cli_problem *p)
{
    static const char blank[] = " \t\r\n";
    char *rest = strdup(text), *path = NULL, *graph_path = NULL;
    struct ca_graph graph = {.path = NULL};
    clattn_status st = CLATTN_OK;
    memset(p, 0, sizeof *p);
    if (!rest) return ca_no_memory(strlen(text), "the problem");
    for (char *s = rest + strspn(rest, blank), *end; *s && !path; s = end + strspn(end, blank)) {
        end = s + strcspn(s, blank);
        if (strncmp(s, "mod=", 4)) continue;
        path = strndup(s + 4, (size_t)(end - s) - 4);
        memset(s, ' ', (size_t)(end - s)); /* a second one is refused as what it then is: a word too many */
        if (!path) st = ca_no_memory((size_t)(end - s), "the problem");
    }
    if (st == CLATTN_OK) st = read_graph(&rest, &graph_path, &graph);
    if (st == CLATTN_OK) st = ca_problem_parse_lengths(rest, &p->a, &p->lengths);
    if (st == CLATTN_OK && graph.path && p->lengths.tree) st = ca_graph_rows(&graph, p->a.q_len, p->a.kv_len, p->lengths.tree);
    if (st == CLATTN_OK && path) st = read_mods(path, p);
    ca_graph_free(&graph);
    free(graph_path);
    free(path);
    free(rest);
    return st;
}

void ca_cli_problem_free(struct cli_problem *p)
{
    json_decref(p->mods);
    ca_lengths_free(&p->lengths);
}
