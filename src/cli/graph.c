/* graph.c -- see graph.h. */
#include "cli/graph.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/status.h"
#include "cli/case.h"

static clattn_status add(struct ca_graph *g, int64_t query, int64_t key, long line)
{
    if (g->edges == g->room) {
        int64_t room = g->room ? 2 * g->room : 1024;
        struct ca_edge *more = realloc(g->edge, (size_t)room * sizeof *more);
        if (!more) return ca_no_memory((size_t)room * sizeof *more, "the graph");
        g->edge = more;
        g->room = room;
    }
    CA_REQUIRE(g->edges < CA_MAX_LEN, CLATTN_E_TOO_LARGE, "%s:%ld: more than %d edges", g->path, line, CA_MAX_LEN);
    g->edge[g->edges++] = (struct ca_edge){ query, key, line };
    return CLATTN_OK;
}

/* COUNT numbers from 0 on that make up the whole line. */
static bool numbers(const char *s, int64_t *value, int count)
{
    for (int n = 0; n < count; n++) {
        const char *before = s;
        s += strspn(s, " \t");
        if ((n && s == before) || !ca_read_int(&s, &value[n]) || value[n] < 0) return false;
    }
    return s[strspn(s, " \t\r\n")] == 0;
}

/* The first line of a Matrix Market file, whose words may be in capitals. */
static clattn_status read_banner(const struct ca_graph *g, char *text, bool *symmetric)
{
    for (char *c = text; *c; c++) *c = isspace((unsigned char)*c) ? ' ' : (char)tolower((unsigned char)*c);
    *symmetric = ca_word_in(text, "symmetric");
    CA_REQUIRE(ca_word_in(text, "coordinate") && ca_word_in(text, "pattern") && (*symmetric || ca_word_in(text, "general")), CLATTN_E_ARGUMENT,
               "%s:1: only \"matrix coordinate pattern\", general or symmetric, is read", g->path);
    return CLATTN_OK;
}

static clattn_status read_lines(FILE *f, struct ca_graph *g, char **text)
{
    int64_t n[3], entries = -1, seen = 0;
    bool market = false, symmetric = false;
    size_t room = 0;
    clattn_status st = CLATTN_OK;
    errno = 0;
    for (long line = 1; getline(text, &room, f) >= 0; line++) {
        const char *s = *text + strspn(*text, " \t\r\n");
        if (line == 1 && !strncasecmp(s, "%%MatrixMarket", 14)) {
            market = true;
            CA_TRY(read_banner(g, *text, &symmetric));
        }
        if (!*s || *s == '#' || *s == '%') continue;
        if (market && entries < 0) {
            CA_REQUIRE(numbers(s, n, 3), CLATTN_E_ARGUMENT, "%s:%ld: \"%.*s\" is not \"ROWS COLUMNS ENTRIES\"", g->path, line, (int)strcspn(s, "\r\n"), s);
            entries = n[2];
            continue;
        }
        CA_REQUIRE(numbers(s, n, 2) && (!market || (n[0] && n[1])), CLATTN_E_ARGUMENT, "%s:%ld: \"%.*s\" is not two numbers from %d on, \"QUERY KEY\"",
                   g->path, line, (int)(strcspn(s, "\r\n") < 60 ? strcspn(s, "\r\n") : 60), s, market);
        n[0] -= market;
        n[1] -= market;
        seen++;
        CA_TRY(add(g, n[0], n[1], line));
        if (symmetric && n[0] != n[1]) CA_TRY(add(g, n[1], n[0], line));
    }
    CA_REQUIRE(feof(f), CLATTN_E_ARGUMENT, "%s: cannot be read: %s", g->path, strerror(errno));
    CA_REQUIRE(!market || seen == entries, CLATTN_E_ARGUMENT, "%s: has %" PRId64 " entries, not %" PRId64 " as it says", g->path, seen, entries);
done:
    return st;
}

clattn_status ca_graph_read(const char *path, struct ca_graph *g)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    *g = (struct ca_graph){ .path = path };
    CA_REQUIRE(f, CLATTN_E_ARGUMENT, "%s: cannot be opened: %s", path, strerror(errno));
    clattn_status st = read_lines(f, g, &text);
    free(text);
    fclose(f);
    return st;
}

static int ascending(const void *a, const void *b)
{
    const struct ca_edge *x = a, *y = b;
    return x->query != y->query ? (x->query > y->query) - (x->query < y->query) : (x->key > y->key) - (x->key < y->key);
}

clattn_status ca_graph_rows(const struct ca_graph *g, int64_t q, int64_t k, struct ca_tree *t)
{
    if (q < 0 || q > CA_MAX_LEN) return CLATTN_OK; /* ca_problem_init refuses it */
    for (int n = 0; n < t->nodes; n++)
        CA_REQUIRE(t->node[n].type != CLATTN_CSR || t->node[n].row_heads == 1, CLATTN_E_ARGUMENT, "%s: its edges are those of all heads, not of each of %"
                   PRId64, g->path, t->node[n].row_heads);
    for (int64_t e = 0; e < g->edges; e++) {
        const struct ca_edge *x = &g->edge[e];
        CA_REQUIRE(x->query < q, CLATTN_E_ARGUMENT, "%s:%ld: query is %" PRId64 ", not in 0 ... %" PRId64, g->path, x->line, x->query, q - 1);
        CA_REQUIRE(x->key < k, CLATTN_E_ARGUMENT, "%s:%ld: key is %" PRId64 ", not in 0 ... %" PRId64, g->path, x->line, x->key, k - 1);
    }
    t->row_ptr = calloc((size_t)q + 1, sizeof *t->row_ptr);
    t->col_idx = calloc((size_t)g->edges + 1, sizeof *t->col_idx);
    if (!t->row_ptr || !t->col_idx) return ca_no_memory(((size_t)q + (size_t)g->edges + 2) * sizeof *t->row_ptr, "the graph");
    if (g->edges) qsort(g->edge, (size_t)g->edges, sizeof *g->edge, ascending);
    for (int64_t e = 0; e < g->edges; e++) {
        t->row_ptr[g->edge[e].query + 1]++;
        t->col_idx[e] = (int32_t)g->edge[e].key;
    }
    for (int64_t i = 0; i < q; i++) t->row_ptr[i + 1] += t->row_ptr[i];
    return CLATTN_OK;
}

void ca_graph_free(struct ca_graph *g) { free(g->edge); }
