/* shape.c -- do the tensors fit each other?  A row's shape is a list of names of sizes; the first tensor that
 * has a name sets it, every later one must agree.  The language is described in menu.h. */
#include <string.h>
#include "cli/case.h"

static struct case_size *lookup(const struct case_file *c, const char *name, size_t n)
{
    for (unsigned i = 0; i < c->num_sizes; i++)
        if (strlen(c->size[i].name) == n && !strncmp(c->size[i].name, name, n)) return (struct case_size *)&c->size[i];
    return NULL;
}

int64_t ca_size(const struct case_file *c, const char *name, int64_t fallback)
{
    const struct case_size *s = lookup(c, name, strlen(name));
    return s ? s->value : fallback;
}

bool ca_size_set(struct case_file *c, const char *name, int64_t value, const char *from)
{
    if (c->num_sizes == sizeof c->size / sizeof c->size[0] || strlen(name) >= sizeof c->size[0].name) return false;
    struct case_size *s = &c->size[c->num_sizes++];
    strcpy(s->name, name);
    s->value = value;
    s->from = from;
    return true;
}

/* The size must be VALUE: sets it when it is new.  WHO has it now. */
static bool agree(struct case_file *c, const char *name, size_t n, int64_t value, const char *who, char why[256])
{
    char text[8];
    struct case_size *s = lookup(c, name, n);
    if (!s) {
        snprintf(text, sizeof text, "%.*s", (int)n, name);
        return ca_size_set(c, text, value, who);
    }
    if (s->value == value) return true;
    snprintf(why, 256, "%.*s is %lld here and %lld in %s", (int)n, name, (long long)value, (long long)s->value,
             s->from);
    return false;
}

/* One axis against one word: Nq, 1, _, N+1, H/1, Hq*D. */
static bool axis_fits(struct case_file *c, const char *word, size_t n, int64_t value, const char *who, char why[256])
{
    size_t name = strcspn(word, " |+/*");
    if (*word == '_') return true;
    if (*word >= '0' && *word <= '9') {
        if (value == *word - '0') return true;
        snprintf(why, 256, "an axis is %lld, must be %c", (long long)value, *word);
        return false;
    }
    if (name >= n) return agree(c, word, n, value, who, why);
    if (word[name] == '+') return agree(c, word, name, value - 1, who, why);
    if (word[name] == '/') return value == 1 || agree(c, word, name, value, who, why);
    int64_t factor = ca_size(c, (char[8]){word[0], word[1], name > 2 ? word[2] : 0, 0}, 0);
    if (factor < 1 || value % factor) {
        snprintf(why, 256, "the last axis, %lld, is not a multiple of the %lld heads", (long long)value,
                 (long long)factor);
        return false;
    }
    return agree(c, word + name + 1, n - name - 1, value / factor, who, why);
}

#define MAX_WORDS 12
struct words { const char *at[MAX_WORDS]; size_t length[MAX_WORDS]; int count, dots; /* dots: index of ..., or -1 */ };

/* Cuts the alternative at TEXT into words; returns what follows its |, or NULL. */
static const char *cut(const char *text, struct words *w)
{
    w->count = 0;
    w->dots = -1;
    for (;;) {
        text += strspn(text, " ~");
        if (!*text) return NULL;
        if (*text == '|') return text + 1;
        w->at[w->count] = text;
        w->length[w->count] = strcspn(text, " |");
        if (*text == '.') w->dots = w->count;
        text += w->length[w->count++];
    }
}

static bool list_fits(struct case_file *c, const struct words *w, const struct ca_npy *a, const char *who,
                      char why[256])
{
    int named = w->count - (w->dots >= 0);
    if (w->dots < 0 ? a->rank != w->count : a->rank < named) {
        snprintf(why, 256, "rank %d, must be %s%d", a->rank, w->dots < 0 ? "" : "at least ", named);
        return false;
    }
    for (int i = 0; i < w->count; i++) {
        int axis = w->dots >= 0 && i > w->dots ? a->rank - (w->count - i) : i;
        if (i != w->dots && !axis_fits(c, w->at[i], w->length[i], a->shape[axis], who, why)) return false;
    }
    return true;
}

/* Right-aligned; an axis is 1 or the size; the last one may be shorter (what lies behind it is masked). */
static bool broadcasts(struct case_file *c, const struct words *w, const struct ca_npy *a, char why[256])
{
    if (a->rank > w->count) {
        snprintf(why, 256, "rank %d, must be at most %d", a->rank, w->count);
        return false;
    }
    for (int i = 0; i < a->rank; i++) {
        int word = w->count - a->rank + i;
        const struct case_size *s = lookup(c, w->at[word], w->length[word]);
        int64_t n = a->shape[i];
        if (!s || n == 1 || n == s->value || (i == a->rank - 1 && n > 0 && n < s->value)) continue;
        snprintf(why, 256, "axis %d is %lld, must be 1 or %s = %lld", i, (long long)n, s->name, (long long)s->value);
        return false;
    }
    return true;
}

static bool same_as(const struct case_file *c, const char *input, const struct ca_npy *a, char why[256])
{
    const struct case_tensor *t = ca_case_input(c, input);
    char shape[128];
    if (!t || (t->a.rank == a->rank && !memcmp(t->a.shape, a->shape, (size_t)a->rank * sizeof a->shape[0])))
        return true;
    snprintf(why, 256, "must have the shape of %s, %s", input, ca_npy_shape(&t->a, shape, sizeof shape));
    return false;
}

bool ca_shape_fits(struct case_file *c, const struct case_tensor *t, const char *field, const struct ca_npy *a)
{
    char why[256] = "", shape[128];
    bool ok = false;
    if (t->row->shape[0] == '=') ok = same_as(c, t->row->shape + 1, a, why);
    for (const char *next = t->row->shape; !ok && next && *next != '=';) {
        struct words w;
        bool broadcast = *next == '~';
        unsigned known = c->num_sizes;
        char reason[256] = "";
        next = cut(next, &w);
        ok = broadcast ? broadcasts(c, &w, a, reason) : list_fits(c, &w, a, t->name, reason);
        if (ok) break;
        c->num_sizes = known;
        /* Of several alternatives the one of the right rank has the telling reason. */
        if (!why[0] || strncmp(reason, "rank", 4) != 0) memcpy(why, reason, sizeof why);
    }
    return ok ||
           ca_case_bad(c, field, "%s: shape %s does not fit: %s", t->path, ca_npy_shape(a, shape, sizeof shape), why);
}
