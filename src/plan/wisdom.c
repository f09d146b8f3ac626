/* wisdom.c -- see wisdom.h. */
#include "plan/wisdom.h"
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/text.h"

#define FILE_NAME "wisdom.jsonl"
#define MAX_RECORDS 8192
#define MAX_BYTES (4 << 20)
#define MAX_OCTAVES 3         /* by which a problem may differ in all */

extern const char *const ca_shipped[]; /* lines of shipped.jsonl, ends with NULL */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct wisdom *all;
static size_t count;
static bool loaded;

/* ------------------------------------------------------------------ records */

void ca_wisdom_device(struct wisdom *w, const struct device *dev)
{
    snprintf(w->platform, sizeof w->platform, "%s", dev->platform_name);
    snprintf(w->device, sizeof w->device, "%s", dev->name);
    snprintf(w->driver, sizeof w->driver, "%s", dev->driver);
    snprintf(w->kind, sizeof w->kind, "%s", ca_class_name(dev->kind));
    w->vector = (int)dev->vector_width;
}

#define TEXTS(each) each(platform, "platform") each(device, "device") each(driver, "driver") each(kind, "class") each(problem, "problem") \
                    each(algorithm, "algorithm") each(params, "params")

/* Text of JSON into SIZE bytes; false when it does not fit or is none. */
static bool take(const json_t *object, const char *key, char *to, size_t size)
{
    const json_t *j = json_object_get(object, key);
    if (!json_is_string(j) || json_string_length(j) >= size || strlen(json_string_value(j)) != json_string_length(j)) return false;
    memcpy(to, json_string_value(j), json_string_length(j) + 1);
    for (const char *s = to; *s; s++)
        if (!isprint((unsigned char)*s)) return false;
    return true;
}

static bool from_json(const json_t *j, struct wisdom *w)
{
    const json_t *ms = json_object_get(j, "ms"), *vector = json_object_get(j, "vector");
    memset(w, 0, sizeof *w);
#define TAKE(field, key) if (!take(j, key, w->field, sizeof w->field)) return false;
    TEXTS(TAKE)
#undef TAKE
    if (!json_is_integer(vector) || json_integer_value(vector) < 1 || json_integer_value(vector) > 1024) return false;
    w->vector = (int)json_integer_value(vector);
    w->crashes = take(j, "crashes", w->fails, sizeof w->fails);
    if (w->crashes || take(j, "fails", w->fails, sizeof w->fails)) return w->fails[0] && !ms;
    w->ms = json_number_value(ms);
    return isfinite(w->ms) && w->ms > 0;
}

/* LENGTH bytes at LINE; what is not a record is passed over. */
static bool parse(const char *line, size_t length, struct wisdom *w)
{
    json_t *j = length < CA_WISDOM_LINE ? json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
    bool good = j && from_json(j, w);
    json_decref(j);
    return good;
}

/* A line, to be freed; NULL without memory. */
static char *print(const struct wisdom *w)
{
    json_t *j = json_object();
#define PUT(field, key) json_object_set_new(j, key, json_string(w->field));
    TEXTS(PUT)
#undef PUT
    json_object_set_new(j, "vector", json_integer(w->vector));
    if (w->fails[0]) json_object_set_new(j, w->crashes ? "crashes" : "fails", json_string(w->fails));
    else json_object_set_new(j, "ms", json_real(w->ms));
    char *line = json_dumps(j, JSON_REAL_PRECISION(5));
    json_decref(j);
    return line;
}

/* ----------------------------------------------------------------- the store, locked */

static bool same_device(const struct wisdom *a, const struct wisdom *b) { return !strcmp(a->platform, b->platform) && !strcmp(a->device, b->device); }

static bool same_try(const struct wisdom *a, const struct wisdom *b)
{
    return same_device(a, b) && !strcmp(a->driver, b->driver) && !strcmp(a->problem, b->problem) && !strcmp(a->algorithm, b->algorithm) &&
           !strcmp(a->params, b->params);
}

/* What is OLD does not take the place of what there is. */
static clattn_status put(const struct wisdom *w, bool old)
{
    for (size_t k = 0; k < count; k++)
        if (same_try(&all[k], w)) {
            if (!old) all[k] = *w;
            return CLATTN_OK;
        }
    if (count >= MAX_RECORDS) return ca_fail(CLATTN_E_TOO_LARGE, "there are %d records of measurements already", MAX_RECORDS);
    if (count % 64 == 0) {
        struct wisdom *more = realloc(all, (count + 64) * sizeof *more);
        if (!more) return ca_no_memory((count + 64) * sizeof *more, "records of measurements");
        all = more;
    }
    all[count++] = *w;
    return CLATTN_OK;
}

/* Puts each record of TEXT; returns how many there are. */
static size_t put_lines(const char *text, bool old)
{
    struct wisdom w;
    size_t good = 0;
    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = text + strcspn(text, "\n");
        if (parse(text, (size_t)(end - text), &w) && put(&w, old) == CLATTN_OK) good++;
    }
    return good;
}

static void load_file(bool old)
{
    char *text;
    size_t size;
    if (!ca_cache_read(FILE_NAME, MAX_BYTES, &text, &size)) return;
    put_lines(text, old);
    free(text);
}

static void load(void)
{
    struct wisdom w;
    if (loaded) return;
    loaded = true;
    load_file(false);
    for (size_t k = 0; ca_shipped[k]; k++)
        if (parse(ca_shipped[k], strlen(ca_shipped[k]), &w)) {
            w.shipped = true;
            put(&w, true);
        }
    ca_message_clear();
}

clattn_status ca_wisdom_add(const struct wisdom *w)
{
    pthread_mutex_lock(&lock);
    load();
    clattn_status st = put(w, false);
    pthread_mutex_unlock(&lock);
    return st;
}

void ca_wisdom_save(void)
{
    struct ca_text t = { NULL, 0, 0 };
    pthread_mutex_lock(&lock);
    load();
    load_file(true);
    char *text = malloc(count * CA_WISDOM_LINE + 1);
    if (text) {
        t = (struct ca_text){ text, count * CA_WISDOM_LINE + 1, 0 };
        for (size_t k = 0; k < count; k++) {
            char *line = all[k].shipped ? NULL : print(&all[k]);
            if (line) ca_text_put(&t, "%s\n", line);
            free(line);
        }
        ca_cache_write(FILE_NAME, text, t.length);
        free(text);
    }
    pthread_mutex_unlock(&lock);
}

/* ------------------------------------------------------------------ nearness */

/* A problem: all but its lengths, and these. */
struct shape { char kind[512]; double units, q, k; };

/* Is it LETTER and a number? */
static bool is_length(const char *token, char letter) { return token[0] == letter && isdigit((unsigned char)token[1]); }

static void shape_of(const char *problem, struct shape *s)
{
    struct ca_text t = { s->kind, sizeof s->kind, 0 };
    *s = (struct shape){ .units = 1, .q = 1, .k = 1 };
    for (const char *at = problem; *at;) {
        const int length = (int)strcspn(at, " ");
        if (is_length(at, 'b')) s->units *= strtod(at + 1, NULL);
        else if (is_length(at, 'h')) {
            char *end;
            const double heads = strtod(at + 1, &end);
            s->units *= heads;
            ca_text_put(&t, " g%g", *end == '/' ? heads / fmax(strtod(end + 1, NULL), 1) : 1);
        } else if (is_length(at, 'q')) s->q = strtod(at + 1, NULL);
        else if (is_length(at, 'k')) s->k = strtod(at + 1, NULL);
        else if (!strncmp(at, "pattern=", 8) || !strncmp(at, "win=", 4)) ca_text_put(&t, " %.*s", (int)(int)(strcspn(at, ":,") < (size_t)length ? strcspn(at, ":,") : (size_t)length), at);
        else if (strncmp(at, "scale=", 6) != 0) ca_text_put(&t, " %.*s", length, at);
        at += length;
        at += strspn(at, " ");
    }
}

static double octaves(double a, double b) { return fabs(log2(fmax(a, 1) / fmax(b, 1))); }
static double work(const struct shape *s) { return fmax(s->units, 1) * fmax(s->q, 1) * fmax(s->k, 1); }

/* How far record W is from problem S on the device of HERE: negative, too far. */
static double distance(const struct wisdom *w, const struct shape *s, const struct wisdom *here, struct shape *other)
{
    const bool same = same_device(w, here), alike = !strcmp(w->platform, here->platform) && !strcmp(w->kind, here->kind) && w->vector == here->vector;
    if (!same && !alike) return -1;
    shape_of(w->problem, other);
    if (strcmp(s->kind, other->kind) != 0) return -1;
    const double far = octaves(s->units, other->units) + octaves(s->q, other->q) + octaves(s->k, other->k);
    return far > MAX_OCTAVES ? -1 : (same ? 0 : 200) + (strcmp(w->driver, here->driver) ? 100 : 0) + far;
}

bool ca_wisdom_find(const struct problem *p, const struct device *dev, const char *algorithm, ca_fit_fn *fit, void *user, struct wisdom *found)
{
    struct wisdom here;
    struct shape s, other;
    char problem[512];
    double nearest = INFINITY;
    pthread_mutex_lock(&lock);
    load();
    const bool fits = count > 0 && ca_problem_print(p, problem, sizeof problem) < sizeof problem;
    ca_wisdom_device(&here, dev);
    if (fits) shape_of(problem, &s);
    for (size_t k = 0; fits && k < count; k++) {
        if (all[k].fails[0] || strcmp(all[k].algorithm, algorithm) != 0) continue;
        const double far = distance(&all[k], &s, &here, &other);
        if (far < 0 || far > nearest) continue;
        const double ms = all[k].ms * work(&s) / work(&other);
        if (far == nearest && ms >= found->ms) continue;
        if (fit && !fit(user, all[k].params)) continue;
        nearest = far;
        *found = all[k];
        found->ms = ms;
    }
    pthread_mutex_unlock(&lock);
    if (nearest == INFINITY) return false;
    if (nearest >= 200) found->ms = 0;
    return true;
}

bool ca_wisdom_exact(const struct device *dev, const char *problem, const char *algorithm, const char *params, struct wisdom *found)
{
    struct wisdom wanted = { .ms = 0 };
    bool there = false;
    ca_wisdom_device(&wanted, dev);
    snprintf(wanted.problem, sizeof wanted.problem, "%s", problem);
    snprintf(wanted.algorithm, sizeof wanted.algorithm, "%s", algorithm);
    snprintf(wanted.params, sizeof wanted.params, "%s", params);
    pthread_mutex_lock(&lock);
    load();
    for (size_t k = 0; k < count && !there; k++)
        if ((there = !all[k].shipped && same_try(&all[k], &wanted))) *found = all[k];
    pthread_mutex_unlock(&lock);
    return there;
}

bool ca_wisdom_poisoned(const struct device *dev, const char *algorithm, const char *params)
{
    struct wisdom here;
    bool poisoned = false;
    ca_wisdom_device(&here, dev);
    pthread_mutex_lock(&lock);
    load();
    for (size_t k = 0; k < count && !poisoned; k++)
        poisoned = all[k].crashes && same_device(&all[k], &here) && !strcmp(all[k].driver, here.driver) && !strcmp(all[k].algorithm, algorithm) &&
                   !strcmp(all[k].params, params);
    pthread_mutex_unlock(&lock);
    return poisoned;
}

/* ---------------------------------------------------------------- public API */

/* Is there a faster one of the same device, driver, problem and algorithm? */
static bool is_beaten(size_t k)
{
    for (size_t e = 0; e < count; e++) {
        if (all[e].fails[0] || !same_device(&all[e], &all[k]) || strcmp(all[e].driver, all[k].driver) || strcmp(all[e].problem, all[k].problem) ||
            strcmp(all[e].algorithm, all[k].algorithm))
            continue;
        if (all[e].ms < all[k].ms || (all[e].ms == all[k].ms && e < k)) return true;
    }
    return false;
}

size_t ca_wisdom_export(char *text, size_t size)
{
    struct ca_text t = { text, size, 0 };
    if (size) text[0] = 0;
    pthread_mutex_lock(&lock);
    load();
    for (size_t k = 0; k < count; k++) {
        char *line = all[k].shipped || all[k].fails[0] || is_beaten(k) ? NULL : print(&all[k]);
        if (line) ca_text_put(&t, "%s\n", line);
        free(line);
    }
    pthread_mutex_unlock(&lock);
    return t.length;
}

clattn_status ca_wisdom_import(const char *text, size_t *records)
{
    pthread_mutex_lock(&lock);
    load();
    *records = put_lines(text, false);
    pthread_mutex_unlock(&lock);
    ca_message_clear();
    ca_wisdom_save();
    return CLATTN_OK;
}
