/* rank.c -- from facts and measurements to an order: which entries are usable, which are the same hardware
 * twice, which is best, why, and by what text each can be selected.  A pure function of the inventory. */
#define _GNU_SOURCE
#include "runtime/probe.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

/* Noise must not flip the choice from run to run: a GPU is preferred to what is up to this much faster. */
#define HYSTERESIS 1.3

static bool is_host(const struct inventory_entry *e) { return e->dev.kind == CLATTN_CLASS_HOST; }
static bool is_simulated(const struct inventory_entry *e) { return e->dev.kind == CLATTN_CLASS_SIMULATED; }

/* What may be fast goes before what is known, so that it is examined before that is chosen. */
static double rate(const struct inventory_entry *e) { return e->selftest < 0 && !is_simulated(e) ? INFINITY : e->dev.gflops; }

static int class_preference(clattn_class c)
{
    return c == CLATTN_CLASS_DGPU ? 2 : c == CLATTN_CLASS_IGPU ? 1 : 0;
}

static void say(struct inventory_entry *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct inventory_entry *e, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->reason, sizeof e->reason, format, ap);
    va_end(ap);
}

/* ---- usable? */

static void judge(struct inventory_entry *e)
{
    const char *refusal = is_host(e) ? NULL : ca_device_refusal(&e->dev);
    e->usable = e->duplicate = e->chosen = false;
    e->reason[0] = 0;
    if (refusal)
        say(e, "refused: %.200s", refusal);
    else if (e->dev.quirks & CA_QUIRK_REFUSE)
        say(e, "refused: %.200s", e->dev.quirk_reason);
    else if (e->selftest == 0)
        say(e, "refused: self-test: %.200s", e->verdict);
    else
        e->usable = true;
}

/* ---- the same hardware through two drivers */

/* Lower-case letters and digits of the name, without the tail that Mesa adds: "AMD Radeon RX 6800
 * (navi21, LLVM 15.0.6, DRM 3.49, 6.1.0)". */
static void canonical_name(const struct device *d, char *name)
{
    const char *llvm = strstr(d->name, "LLVM "), *end = d->name + strlen(d->name);
    if (llvm)
        for (end = llvm; end > d->name && *end != '('; end--) {}
    for (const char *s = d->name; s < end; s++)
        if (isalnum((unsigned char)*s)) *name++ = (char)tolower((unsigned char)*s);
    *name = 0;
}

static bool same_hardware(const struct device *a, const struct device *b)
{
    char x[sizeof a->name], y[sizeof b->name];
    if (a->uuid[0] && b->uuid[0]) return !strcmp(a->uuid, b->uuid);
    if (a->pci[0] && b->pci[0]) return !strcmp(a->pci, b->pci);
    if (a->kind != b->kind || a->type != b->type || a->compute_units != b->compute_units ||
        a->global_bytes != b->global_bytes)
        return false;
    canonical_name(a, x);
    canonical_name(b, y);
    return x[0] && !strcmp(x, y);
}

/* Two equal cards of one platform are two cards.  Platforms are told apart by their place, since the same
 * driver can be registered twice; a driver that was looked at alone has its own places. */
static bool same_platform(const struct inventory_entry *a, const struct inventory_entry *b)
{
    return a->dev.platform_index == b->dev.platform_index && !strcmp(a->icd, b->icd);
}

/* A is kept of two entries for the same hardware: usable, measured faster, newer, made by the vendor. */
static bool better_twin(const struct inventory_entry *a, const struct inventory_entry *b)
{
    if (a->usable != b->usable) return a->usable;
    if (rate(a) > rate(b) * 1.05) return true;
    if (rate(b) > rate(a) * 1.05) return false;
    int newer = strncmp(a->dev.version, b->dev.version, sizeof "OpenCL 3.0" - 1);
    if (newer) return newer > 0;
    bool native_a = strcasestr(a->dev.platform_name, a->dev.vendor) != NULL;
    bool native_b = strcasestr(b->dev.platform_name, b->dev.vendor) != NULL;
    return native_a > native_b;
}

static void find_duplicates(struct inventory *inv)
{
    for (size_t i = 0; i < inv->count; i++)
        for (size_t k = 0; k < inv->count; k++) {
            struct inventory_entry *a = &inv->entry[i], *b = &inv->entry[k];
            if (i == k || is_host(a) || is_host(b) || a->duplicate || b->duplicate || same_platform(a, b)) continue;
            if (!b->usable || !same_hardware(&a->dev, &b->dev) || !(better_twin(a, b) || (i < k && !better_twin(b, a))))
                continue;
            b->duplicate = true;
            say(b, "duplicate of %.180s", a->selector);
        }
}

/* ---- the order */

/* 0: for automatic choice; then in the order in which they are of use. */
static int group(const struct inventory_entry *e)
{
    return !e->usable ? 3 : is_simulated(e) ? 2 : e->duplicate ? 1 : 0;
}

/* Of entries FROM ... of one group: the best class within the hysteresis of the fastest, there the fastest. */
static size_t best_of(const struct inventory *inv, size_t from)
{
    int g = 4, preference = -1;
    double fastest = 0;
    size_t best = from;
    for (size_t i = from; i < inv->count; i++)
        if (group(&inv->entry[i]) < g) g = group(&inv->entry[i]);
    for (size_t i = from; i < inv->count; i++)
        if (group(&inv->entry[i]) == g && rate(&inv->entry[i]) > fastest) fastest = rate(&inv->entry[i]);
    for (size_t i = from; i < inv->count; i++) {
        const struct inventory_entry *e = &inv->entry[i];
        int p = class_preference(e->dev.kind);
        if (group(e) != g || rate(e) * HYSTERESIS < fastest) continue;
        if (p > preference || (p == preference && rate(e) > rate(&inv->entry[best]))) {
            preference = p;
            best = i;
        }
    }
    return best;
}

static void sort(struct inventory *inv)
{
    for (size_t i = 0; i < inv->count; i++) {
        size_t best = best_of(inv, i);
        struct inventory_entry e = inv->entry[best];
        memmove(&inv->entry[i + 1], &inv->entry[i], (best - i) * sizeof e);
        inv->entry[i] = e;
        inv->entry[i].rank = (int)i;
    }
}

/* ---- the text that selects exactly this entry */

/* What the grammar gives a meaning to is written as "?", which matches any one character. */
static void put_name(struct ca_text *t, const char *name, bool last)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++) {
        bool plain = name[i] != '?' && (isalnum((unsigned char)name[i]) || strchr(" ()[]_-./+#&=", name[i]));
        ca_text_put(t, "%c", plain ? name[i] : last && i + 1 == n ? '*' : '?');
    }
}

static bool selects(const struct inventory *inv, size_t i, const char *text)
{
    int first;
    return ca_select_count(inv, text, &first) == 1 && first == (int)i;
}

static void make_selector(struct inventory *inv, size_t i)
{
    struct inventory_entry *e = &inv->entry[i];
    const struct device *d = &e->dev;
    char names[300];
    if (is_host(e)) {
        strcpy(e->selector, "host");
        return;
    }
    for (int form = 0; form < 3; form++) {
        struct ca_text t = {names, sizeof names, 0};
        if (form < 2) put_name(&t, d->platform_name, false);
        else ca_text_put(&t, "%d", d->platform_index);
        ca_text_put(&t, ":");
        if (form < 1) put_name(&t, d->name, true);
        else ca_text_put(&t, "%d", d->device_index);
        if (t.length >= sizeof e->selector) continue;
        memcpy(e->selector, names, t.length + 1);
        if (selects(inv, i, e->selector)) return;
    }
}

/* ---- reasons */

/* Digits after the point: 5000, 214, 31.5, 2.25. */
static int digits(double x) { return x >= 99.5 ? 0 : x >= 9.95 ? 1 : 2; }
#define RATE(e) digits((e)->dev.gflops), (e)->dev.gflops

static const struct inventory_entry *chosen_entry(const struct inventory *inv)
{
    return inv->count && group(&inv->entry[0]) == 0 ? &inv->entry[0] : NULL;
}

/* Who lost against the chosen one only because a GPU is preferred? */
static const struct inventory_entry *outrun(const struct inventory *inv, const struct inventory_entry *best)
{
    const struct inventory_entry *other = NULL;
    for (size_t i = 0; i < inv->count; i++) {
        const struct inventory_entry *e = &inv->entry[i];
        if (group(e) == 0 && e->dev.gflops > best->dev.gflops && (!other || e->dev.gflops > other->dev.gflops))
            other = e;
    }
    return other;
}

static void explain_chosen(const struct inventory *inv, struct inventory_entry *e)
{
    const struct inventory_entry *other = outrun(inv, e);
    if (e->selftest < 0)
        say(e, "not examined yet");
    else if (other)
        say(e, "chosen: %s, preferred within a factor of %g (%.*f against %.*f GFLOP/s of %.100s)",
            ca_class_name(e->dev.kind), HYSTERESIS, RATE(e), RATE(other), other->selector);
    else if (e->dev.gflops > 0)
        say(e, "chosen: fastest measured, %.*f GFLOP/s", RATE(e));
    else
        say(e, "chosen: nothing faster was found");
}

static void explain_other(struct inventory_entry *e, const struct inventory_entry *best)
{
    if (is_simulated(e))
        say(e, "simulated: used only when named");
    else if (e->selftest < 0)
        say(e, "not examined yet");
    else if (e->dev.gflops <= 0)
        say(e, "not measured; %.100s is (%.*f GFLOP/s)", best->selector, RATE(best));
    else if (e->dev.gflops > best->dev.gflops)
        say(e, "%.100s is preferred as a %s (%.*f against %.*f GFLOP/s)", best->selector, ca_class_name(best->dev.kind),
            RATE(best), RATE(e));
    else
        say(e, "slower than %.100s (%.*f against %.*f GFLOP/s)", best->selector, RATE(e), RATE(best));
}

static void explain(struct inventory *inv)
{
    const struct inventory_entry *best = chosen_entry(inv);
    for (size_t i = 0; i < inv->count; i++) {
        struct inventory_entry *e = &inv->entry[i];
        if (!e->usable || e->duplicate) continue; /* said where it was found out */
        e->chosen = e == best;
        if (e->chosen) explain_chosen(inv, e);
        else explain_other(e, best ? best : e);
        size_t n = strlen(e->reason);
        if (e->verdict[0]) snprintf(e->reason + n, sizeof e->reason - n, "; self-test: %.200s", e->verdict);
    }
}

void ca_inventory_rank(struct inventory *inv)
{
    for (size_t i = 0; i < inv->count; i++) {
        judge(&inv->entry[i]);
        ca_device_key(&inv->entry[i].dev, inv->entry[i].key);
    }
    for (size_t i = 0; i < inv->count; i++) make_selector(inv, i);
    find_duplicates(inv);
    sort(inv);
    explain(inv);
}
