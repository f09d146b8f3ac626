/* records.c -- devices, trials and inventories as JSON and back: what the helper process prints and
 * what the cache holds.  Reading trusts nothing: every field must be there, with its type and in range. */
#include "runtime/probe.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/sha256.h"
#include "base/text.h"

#define FORMAT 2

enum type { TEXT, INT, UINT, SIZE, ULONG, BOOL, REAL };
struct field { const char *name; enum type type; size_t offset, size; };
#define FIELD(type, name) {#name, type, offsetof(struct device, name), sizeof(((struct device *)0)->name)}
#define PART(type, name, i) {#name #i, type, offsetof(struct device, name[i]), sizeof(((struct device *)0)->name[i])}

/* What lists, ranks and names a device; when it is opened, all is asked anew. */
static const struct field fields[] = {
    FIELD(UINT, kind),
    FIELD(INT, platform_index),
    FIELD(INT, device_index),
    FIELD(TEXT, platform_name),
    FIELD(TEXT, platform_version),
    FIELD(TEXT, name),
    FIELD(TEXT, vendor),
    FIELD(TEXT, driver),
    FIELD(TEXT, version),
    FIELD(TEXT, c_version),
    FIELD(ULONG, type),
    FIELD(UINT, compute_units),
    FIELD(UINT, clock_mhz),
    FIELD(UINT, address_bits),
    FIELD(UINT, vector_width),
    FIELD(UINT, subgroup_min),
    FIELD(UINT, shuffle),
    FIELD(UINT, matrix_f16),
    FIELD(UINT, matrix_bf16),
    FIELD(SIZE, max_group),
    PART(SIZE, max_items, 0),
    PART(SIZE, max_items, 1),
    PART(SIZE, max_items, 2),
    FIELD(ULONG, local_bytes),
    FIELD(ULONG, global_bytes),
    FIELD(ULONG, max_alloc),
    FIELD(ULONG, cache_bytes),
    FIELD(BOOL, local_is_real),
    FIELD(BOOL, unified),
    FIELD(BOOL, has_fp16),
    FIELD(BOOL, has_subgroups),
    FIELD(BOOL, embedded),
    FIELD(BOOL, little_endian),
    FIELD(BOOL, available),
    FIELD(BOOL, has_compiler),
    FIELD(BOOL, kernel_timeout),
    FIELD(SIZE, timer_ns),
    FIELD(UINT, quirks),
    FIELD(TEXT, quirk_reason),
    FIELD(TEXT, uuid),
    FIELD(TEXT, pci),
    FIELD(REAL, gflops),
    FIELD(UINT, bad_algos),
    PART(UINT, tested, 0),
    PART(UINT, tested, 1),
    PART(UINT, tested, 2),
};
#define NUM_FIELDS (sizeof fields / sizeof *fields)

_Static_assert(CA_TYPES == 3, "each has its field");
_Static_assert(sizeof(cl_uint) == sizeof(unsigned) && sizeof(clattn_class) == sizeof(unsigned), "UINT fits them");
_Static_assert(sizeof(cl_ulong) == 8 && sizeof(cl_device_type) == 8, "ULONG fits them");

/* JSON's integers are signed; larger values (a size_t of all ones means "no limit") become the largest. */
static json_t *integer(uint64_t v) { return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v); }

static json_t *field_to_json(const struct field *f, const void *at)
{
    switch (f->type) {
    case TEXT: return json_string(at);
    case INT: return json_integer(*(const int *)at);
    case UINT: return json_integer(*(const unsigned *)at);
    case SIZE: return integer(*(const size_t *)at);
    case ULONG: return integer(*(const cl_ulong *)at);
    case BOOL: return json_boolean(*(const bool *)at);
    case REAL: return json_real(*(const double *)at);
    }
    return NULL;
}

static bool copy_text(const json_t *j, char *text, size_t size)
{
    if (!json_is_string(j) || json_string_length(j) >= size) return false;
    memset(text, 0, size);
    memcpy(text, json_string_value(j), json_string_length(j));
    return true;
}

static bool copy_integer(const json_t *j, json_int_t min, json_int_t max, json_int_t *v)
{
    if (!json_is_integer(j)) return false;
    *v = json_integer_value(j);
    return *v >= min && *v <= max;
}

static bool copy_real(const json_t *j, double max, double *v)
{
    if (!json_is_number(j)) return false;
    *v = json_number_value(j);
    return *v >= 0 && *v <= max;
}

static bool field_from_json(const struct field *f, const json_t *j, void *at)
{
    json_int_t v;
    switch (f->type) {
    case TEXT: return copy_text(j, at, f->size);
    case INT: return copy_integer(j, INT_MIN, INT_MAX, &v) && (*(int *)at = (int)v, true);
    case UINT: return copy_integer(j, 0, UINT_MAX, &v) && (*(unsigned *)at = (unsigned)v, true);
    case SIZE: return copy_integer(j, 0, INT64_MAX, &v) && (*(size_t *)at = (size_t)v, true);
    case ULONG: return copy_integer(j, 0, INT64_MAX, &v) && (*(cl_ulong *)at = (cl_ulong)v, true);
    case BOOL: return json_is_boolean(j) && (*(bool *)at = json_is_true(j), true);
    case REAL: return copy_real(j, 1e9, at);
    }
    return false;
}

json_t *ca_device_to_json(const struct device *d)
{
    json_t *j = json_object();
    for (size_t i = 0; j && i < NUM_FIELDS; i++)
        if (json_object_set_new(j, fields[i].name, field_to_json(&fields[i], (const char *)d + fields[i].offset))) {
            json_decref(j);
            j = NULL;
        }
    return j;
}

bool ca_device_from_json(const json_t *j, struct device *d)
{
    memset(d, 0, sizeof *d);
    for (size_t i = 0; i < NUM_FIELDS; i++)
        if (!field_from_json(&fields[i], json_object_get(j, fields[i].name), (char *)d + fields[i].offset))
            return false;
    return d->kind <= CLATTN_CLASS_SIMULATED && d->vector_width >= 1;
}

static void tidy(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~') *text = '?';
}

json_t *ca_json_text(const char *text)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", text);
    tidy(copy);
    return json_string(copy);
}

json_t *ca_trial_to_json(const struct trial *t)
{
    return json_pack("{s:i, s:o, s:f, s:I, s:[I, I, I]}", "passed", t->passed, "words", ca_json_text(t->words), "gflops", t->gflops, "bad_algos",
                     (json_int_t)t->bad_algos, "tested", (json_int_t)t->tested[0], (json_int_t)t->tested[1], (json_int_t)t->tested[2]);
}

bool ca_trial_from_json(const json_t *j, struct trial *t)
{
    json_int_t passed, bad, tested;
    const json_t *list = json_object_get(j, "tested");
    if (!copy_integer(json_object_get(j, "passed"), -1, 1, &passed) || !copy_text(json_object_get(j, "words"), t->words, sizeof t->words) ||
        !copy_real(json_object_get(j, "gflops"), 1e9, &t->gflops) ||
        !copy_integer(json_object_get(j, "bad_algos"), 0, UINT_MAX, &bad))
        return false;
    for (size_t i = 0; i < CA_TYPES; i++) {
        if (!copy_integer(json_array_get(list, i), 0, UINT_MAX, &tested)) return false;
        t->tested[i] = (unsigned)tested;
    }
    t->passed = (int)passed;
    t->bad_algos = (unsigned)bad;
    return true;
}

/* ---- the inventory in the cache */

static json_t *entry_to_json(const struct inventory_entry *e)
{
    return json_pack("{s:o, s:s, s:i, s:o}", "device", ca_device_to_json(&e->dev), "icd", e->icd, "selftest",
                     e->selftest, "verdict", ca_json_text(e->verdict));
}

static bool entry_from_json(const json_t *j, struct inventory_entry *e)
{
    json_int_t selftest;
    memset(e, 0, sizeof *e);
    if (!ca_device_from_json(json_object_get(j, "device"), &e->dev) ||
        !copy_text(json_object_get(j, "icd"), e->icd, sizeof e->icd) ||
        !copy_text(json_object_get(j, "verdict"), e->verdict, sizeof e->verdict) ||
        !copy_integer(json_object_get(j, "selftest"), -1, 1, &selftest))
        return false;
    e->selftest = (int)selftest;
    return true;
}

json_t *ca_inventory_to_json(const struct inventory *inv, const char *fingerprint)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < inv->count; i++)
        if (json_array_append_new(list, entry_to_json(&inv->entry[i]))) {
            json_decref(list);
            list = NULL;
        }
    return json_pack("{s:i, s:s, s:I, s:b, s:o, s:o}", "format", FORMAT, "fingerprint", fingerprint, "expires",
                     (json_int_t)inv->expires, "in_process", inv->in_process, "note", ca_json_text(inv->note),
                     "devices", list);
}

static bool inventory_from_json(const json_t *j, const char *fingerprint, struct inventory *inv)
{
    json_int_t n;
    const json_t *list = json_object_get(j, "devices"), *in_process = json_object_get(j, "in_process");
    const char *print = json_string_value(json_object_get(j, "fingerprint"));
    if (!copy_integer(json_object_get(j, "format"), FORMAT, FORMAT, &n) || !print || strcmp(print, fingerprint))
        return false;
    if (!copy_integer(json_object_get(j, "expires"), 0, INT64_MAX, &n) || !json_is_boolean(in_process)) return false;
    inv->expires = n;
    inv->in_process = json_is_true(in_process);
    if (!copy_text(json_object_get(j, "note"), inv->note, sizeof inv->note)) return false;

    unsigned hosts = 0;
    if (!json_is_array(list) || json_array_size(list) > CA_MAX_DEVICES) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct inventory_entry e;
        if (!entry_from_json(json_array_get(list, i), &e)) return false;
        if (ca_inventory_add(inv, &e.dev, e.icd) != CLATTN_OK) return false;
        inv->entry[i].selftest = e.selftest;
        memcpy(inv->entry[i].verdict, e.verdict, sizeof e.verdict);
        hosts += e.dev.kind == CLATTN_CLASS_HOST;
    }
    return hosts == 1;
}

bool ca_inventory_from_json(const json_t *j, const char *fingerprint, struct inventory *inv)
{
    memset(inv, 0, sizeof *inv);
    if (inventory_from_json(j, fingerprint, inv)) return true;
    free(inv->entry);
    memset(inv, 0, sizeof *inv);
    return false;
}

/* ---- identity */

void ca_device_tidy(struct device *d)
{
    for (size_t i = 0; i < NUM_FIELDS; i++) {
        if (fields[i].type != TEXT) continue;
        char *text = (char *)d + fields[i].offset;
        text[fields[i].size - 1] = 0;
        tidy(text);
    }
}

void ca_device_key(const struct device *d, char key[65])
{
    char facts[1024];
    struct ca_text t = {facts, sizeof facts, 0};
    ca_text_put(&t, "%s\n%s\n%s\n%s\n%s\n%s\n%llu\n%u\n", d->platform_name, d->platform_version, d->name,
                d->driver, d->version, d->uuid, (unsigned long long)d->type, d->compute_units);
    ca_sha256_hex(facts, t.length < sizeof facts ? t.length : sizeof facts - 1, key);
}
