/* select.c -- which device the user means.  The selector's grammar:
 *
 *     selector = item { "," item }
 *     item     = ["!"] what ["@" [weight]] ["?"]
 *     what     = "auto" | "host" | "gpu" | "dgpu" | "igpu" | "cpu" | "acc"
 *              | "uuid=" hex | "pci=" dddd:bb:dd.f | platform ":" device | device
 *
 * Platform and device are an index, a part of the name without regard to case, or with * and ? a pattern
 * for the whole name.  Where some names are equal to what is written, names of which it is only a part do not count.
 *
 * Items are tried in order and the first that names a usable device wins, with its best device; "!" excludes
 * from all items.  What was named is never replaced: if no item gives a device, that is an error, unless every
 * item may be missing ("?").  Items with "@" are one among them: the devices of all of these work together. */
#define _GNU_SOURCE
#include "runtime/inventory.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/text.h"

#define MAX_ITEMS 32
#define MAX_LENGTH 2048

struct part { const char *text; int length; long index; }; /* index < 0: a name */

enum what { AUTO, CLASSES, UUID, PCI, NAMES };
struct item {
    enum what what;
    bool exclude, optional, together;
    double weight;                 /* 0: by speed */
    unsigned classes;              /* bit per clattn_class */
    struct part platform, device;  /* platform.text NULL: any */
    const char *text;              /* of what, for messages */
    int length;
};

static const struct { const char *word; enum what what; unsigned classes; } words[] = {
    {"auto", AUTO, 0},
    {"host", CLASSES, 1 << CLATTN_CLASS_HOST},
    {"gpu", CLASSES, 1 << CLATTN_CLASS_DGPU | 1 << CLATTN_CLASS_IGPU},
    {"dgpu", CLASSES, 1 << CLATTN_CLASS_DGPU},
    {"igpu", CLASSES, 1 << CLATTN_CLASS_IGPU},
    {"cpu", CLASSES, 1 << CLATTN_CLASS_CPU},
    {"acc", CLASSES, 1 << CLATTN_CLASS_ACC},
};

/* ---- reading */

struct reader { const char *origin, *start; };

/* AT is in the text; people count from 1. */
static clattn_status bad(const struct reader *r, const char *at, const char *why)
{
    return ca_fail(CLATTN_E_ARGUMENT, "%s \"%s\", position %d: %s", r->origin, r->start, (int)(at - r->start) + 1, why);
}

static void trim(const char **s, const char **end)
{
    while (*s < *end && isspace((unsigned char)**s)) ++*s;
    while (*s < *end && isspace((unsigned char)(*end)[-1])) --*end;
}

static clattn_status read_part(const struct reader *r, const char *s, const char *end, const char *missing,
                               struct part *p)
{
    const char *at = s;
    trim(&s, &end);
    if (s == end) return bad(r, at, missing);
    *p = (struct part){s, (int)(end - s), -1};
    if (strspn(s, "0123456789") >= (size_t)p->length && p->length <= 6) p->index = strtol(s, NULL, 10);
    return CLATTN_OK;
}

static clattn_status read_weight(const struct reader *r, const char *s, const char **end, struct item *it)
{
    const char *at = memchr(s, '@', (size_t)(*end - s)), *digit;
    int digits = 0, dots = 0, nonzero = 0;
    if (!at) return CLATTN_OK;
    for (digit = at + 1; digit < *end && (isdigit((unsigned char)*digit) || *digit == '.'); digit++) {
        digits += *digit != '.';
        dots += *digit == '.';
        nonzero += *digit > '0';
    }
    if (digit != *end || digits > 9 || dots > 1 || (digit > at + 1 && !nonzero))
        return bad(r, at, "after @ comes a weight above 0, as 2 or 0.5, or nothing (in a name write ? for the sign)");
    it->together = true;
    for (double unit = 0; ++at < *end;) { /* by hand: strtod would heed the locale */
        if (*at == '.') unit = 1;
        else it->weight = unit > 0 ? it->weight + (*at - '0') * (unit /= 10) : 10 * it->weight + (*at - '0');
    }
    *end = memchr(s, '@', (size_t)(*end - s));
    return CLATTN_OK;
}

static bool starts(const char *s, const char *end, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(end - s) >= n && !strncasecmp(s, word, n);
}

/* "uuid=" and "pci=" take the rest; so may a device's name hold what it likes after its colon, but no second one. */
static clattn_status read_what(const struct reader *r, const char *s, const char *end, struct item *it)
{
    const char *colon = memchr(s, ':', (size_t)(end - s));
    it->text = s;
    it->length = (int)(end - s);
    if (starts(s, end, "uuid=") || starts(s, end, "pci=")) {
        it->what = starts(s, end, "pci=") ? PCI : UUID;
        return read_part(r, strchr(s, '=') + 1, end, "the value is missing", &it->device);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (starts(s, end, words[i].word) && strlen(words[i].word) == (size_t)it->length) {
            it->what = words[i].what;
            it->classes = words[i].classes;
            return it->exclude && it->what == AUTO ? bad(r, s, "\"!auto\" would exclude everything") : CLATTN_OK;
        }
    it->what = NAMES;
    if (!colon) return read_part(r, s, end, "a device is missing", &it->device);
    if (memchr(colon + 1, ':', (size_t)(end - colon - 1)))
        return bad(r, memchr(colon + 1, ':', (size_t)(end - colon - 1)), "a second colon (in a name write ? for it)");
    clattn_status st = read_part(r, s, colon, "a platform is missing before the colon (* for any)", &it->platform);
    return st ? st : read_part(r, colon + 1, end, "a device is missing after the colon (* for any)", &it->device);
}

static clattn_status read_item(const struct reader *r, const char *s, const char *end, struct item *it)
{
    const char *at = s;
    memset(it, 0, sizeof *it);
    trim(&s, &end);
    if (s == end) return bad(r, at, "an item is missing");
    if (*s == '!') {
        it->exclude = true;
        s++;
        trim(&s, &end);
    }
    if (s < end && end[-1] == '?') {
        it->optional = true;
        end--;
        trim(&s, &end);
    }
    clattn_status st = read_weight(r, s, &end, it);
    if (st) return st;
    trim(&s, &end);
    return s == end ? bad(r, s, "a device is missing") : read_what(r, s, end, it);
}

static clattn_status read_selector(const struct reader *r, struct item *items, int *count)
{
    *count = 0;
    CA_REQUIRE(strlen(r->start) <= MAX_LENGTH, CLATTN_E_ARGUMENT, "%s has %zu characters, at most %d are read",
               r->origin, strlen(r->start), MAX_LENGTH);
    for (const char *s = r->start;; s++) {
        const char *end = s + strcspn(s, ",");
        if (*count == MAX_ITEMS) return bad(r, s, "more than 32 items");
        clattn_status st = read_item(r, s, end, &items[*count]);
        if (st) return st;
        ++*count;
        s = end;
        if (!*s) return CLATTN_OK;
    }
}

/* ---- matching: 0 not, 1 in part, 2 wholly */

static bool same_letter(char a, char b) { return tolower((unsigned char)a) == tolower((unsigned char)b); }

/* After a mismatch only the last star is tried again, further on: linear in practice, never exponential. */
static bool glob(const char *p, const char *p_end, const char *s)
{
    const char *star = NULL, *retry = NULL;
    for (; *s; ) {
        if (p < p_end && *p == '*') {
            star = ++p;
            retry = s;
        } else if (p < p_end && (*p == '?' || same_letter(*p, *s))) {
            p++;
            s++;
        } else if (star) {
            p = star;
            s = ++retry;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*') p++;
    return p == p_end;
}

static int match_name(const struct part *p, const char *name)
{
    const char *end = p->text + p->length;
    size_t length = strlen(name);
    if (memchr(p->text, '*', (size_t)p->length)) return glob(p->text, end, name);
    if (memchr(p->text, '?', (size_t)p->length)) return glob(p->text, end, name) ? 2 : 0;
    for (size_t i = 0; i + (size_t)p->length <= length; i++)
        if (!strncasecmp(name + i, p->text, (size_t)p->length)) return length == (size_t)p->length ? 2 : 1;
    return 0;
}

static int match_part(const struct part *p, const char *name, int index)
{
    if (!p->text) return 2;
    return p->index >= 0 ? (p->index == index) * 2 : match_name(p, name);
}

/* Hex digits without dashes; a PCI address as it is. */
static int match_id(const struct part *p, const char *id)
{
    int i = 0;
    for (; i < p->length && *id; i++) {
        if (p->text[i] == '-') continue;
        if (!same_letter(p->text[i], *id++)) return 0;
    }
    return i == p->length && !*id ? 2 : 0;
}

static int match(const struct item *it, const struct inventory_entry *e)
{
    const struct device *d = &e->dev;
    bool host = d->kind == CLATTN_CLASS_HOST;
    if (it->what == AUTO) return e->usable && !e->duplicate && d->kind != CLATTN_CLASS_SIMULATED;
    if (it->what == CLASSES) return it->classes >> d->kind & 1;
    if (it->what == UUID) return d->uuid[0] ? match_id(&it->device, d->uuid) : 0;
    if (it->what == PCI) return d->pci[0] ? match_id(&it->device, d->pci) : 0;
    int p = match_part(&it->platform, d->platform_name, host ? -1 : d->platform_index);
    int n = match_part(&it->device, d->name, host ? -1 : d->device_index);
    return p < n ? p : n;
}

static int strongest(const struct item *it, const struct inventory *inv)
{
    int best = 0;
    for (size_t i = 0; i < inv->count; i++) {
        int m = match(it, &inv->entry[i]);
        if (m > best) best = m;
    }
    return best;
}

static bool names(const struct item *it, const struct inventory *inv, const struct inventory_entry *e)
{
    int m = match(it, e);
    return m && m == strongest(it, inv);
}

size_t ca_select_count(const struct inventory *inv, const char *what, int *first)
{
    struct reader r = {"selector", what};
    struct item it;
    size_t count = 0;
    *first = -1;
    if (read_item(&r, what, what + strlen(what), &it) != CLATTN_OK) {
        ca_message_clear();
        return 0;
    }
    for (size_t i = 0; i < inv->count; i++)
        if (names(&it, inv, &inv->entry[i]) && count++ == 0) *first = (int)i;
    return count;
}

/* ---- choosing */

/* A failed self-test can be overruled by someone who names the device and means it. */
static bool forced(const struct item *it, const struct inventory_entry *e)
{
    return it->what != AUTO && !e->usable && e->selftest == 0 && !(e->dev.quirks & CA_QUIRK_REFUSE) &&
           (e->dev.kind == CLATTN_CLASS_HOST || !ca_device_refusal(&e->dev)) && ca_quirks_off();
}

static bool excluded(const struct inventory *inv, const struct item *items, int count, const struct inventory_entry *e)
{
    for (int i = 0; i < count; i++)
        if (items[i].exclude && names(&items[i], inv, e)) return true;
    return false;
}

static bool is_taken(const struct ca_choice *c, const struct inventory_entry *e)
{
    for (int k = 0; k < c->count; k++)
        if (c->entry[k] == e) return true;
    return false;
}

/* The best usable entry of IT that C has not got yet; *REFUSED is the best one that it names but cannot be used. */
static const struct inventory_entry *find(const struct inventory *inv, const struct item *items, int count, const struct item *it,
                                          const struct ca_choice *c, const struct inventory_entry **refused)
{
    for (size_t i = 0; i < inv->count; i++) {
        const struct inventory_entry *e = &inv->entry[i];
        if (!names(it, inv, e) || excluded(inv, items, count, e) || is_taken(c, e)) continue;
        if (e->usable || forced(it, e)) return e;
        if (!*refused) *refused = e;
    }
    return NULL;
}

static void list_devices(const struct inventory *inv, char *text, size_t size)
{
    struct ca_text t = {text, size, 0};
    for (size_t i = 0; i < inv->count; i++)
        ca_text_put(&t, "\n  %s  (%s)", inv->entry[i].selector,
                    inv->entry[i].usable ? ca_class_name(inv->entry[i].dev.kind) : inv->entry[i].reason);
}

static bool any_known(const struct inventory *inv, enum what what)
{
    for (size_t i = 0; i < inv->count; i++)
        if (what == UUID ? inv->entry[i].dev.uuid[0] : inv->entry[i].dev.pci[0]) return true;
    return false;
}

static clattn_status nothing(const struct inventory *inv, const struct reader *r, const struct item *items, int count,
                             const struct inventory_entry *refused)
{
    char list[4096] = "";
    if (refused)
        return ca_fail(CLATTN_E_NO_DEVICE, "%s \"%s\" names %s, which is not used: %s%s", r->origin, r->start,
                       refused->selector, refused->reason,
                       refused->selftest == 0 || refused->dev.quirks & CA_QUIRK_REFUSE
                           ? " (CLATTN_QUIRKS=off overrides that, at your own risk)" : "");
    list_devices(inv, list, sizeof list);
    for (int i = 0; i < count; i++)
        if ((items[i].what == UUID || items[i].what == PCI) && !any_known(inv, items[i].what))
            return ca_fail(CLATTN_E_NO_DEVICE, "%s \"%s\": no device here tells its %s; there are:%s", r->origin,
                           r->start, items[i].what == UUID ? "UUID" : "PCI address", list);
    return ca_fail(CLATTN_E_NO_DEVICE, "%s \"%s\" matches no usable device; there are:%s%s", r->origin, r->start, list,
                   inv->note[0] ? "\n  (see the note of \"clattn devices\")" : "");
}

static void tell(const struct reader *r, const struct item *it, const struct inventory_entry *e,
                 const struct inventory_entry *refused, char *reason)
{
    struct ca_text t = {reason, 256, 0};
    if (it->what == AUTO && e->chosen) ca_text_put(&t, "%s", e->reason);
    else if (it->what == AUTO) ca_text_put(&t, "best of what %s \"%.80s\" leaves", r->origin, r->start);
    else ca_text_put(&t, "named by %s \"%.*s\"", r->origin, it->length < 80 ? it->length : 80, it->text);
    if (!e->usable) ca_text_put(&t, ", although %s", e->reason);
    if (refused) ca_text_put(&t, " (passed over: %s, %s)", refused->selector, refused->reason);
}

/* The items of SELECTOR, or of the environment. */
static clattn_status read(const char *selector, struct reader *r, struct item items[MAX_ITEMS + 1], int *count)
{
    static const struct item automatic = {.what = AUTO, .text = "auto", .length = 4};
    const char *env = ca_getenv("CLATTN_DEVICES");
    int needed = 0;
    *r = (struct reader){"selector", selector};
    if (!selector || !selector[0]) {
        r->origin = env ? "CLATTN_DEVICES" : "selector";
        r->start = env ? env : "auto";
    }
    clattn_status st = read_selector(r, items, count);
    if (st) return st;
    for (int i = 0; i < *count; i++) needed += !items[i].exclude && !items[i].optional;
    if (!needed) items[(*count)++] = automatic; /* only exclusions, or all may be missing */
    return CLATTN_OK;
}

/* All items with "@", each another device. */
static clattn_status take_together(const struct inventory *inv, const struct reader *r, const struct item *items, int count, struct ca_choice *c)
{
    int weighted = 0;
    for (int i = 0; i < count; i++) {
        const struct inventory_entry *refused = NULL, *e;
        if (!items[i].together || items[i].exclude) continue;
        e = find(inv, items, count, &items[i], c, &refused);
        if (!e && items[i].optional) continue;
        if (!e) return nothing(inv, r, &items[i], 1, refused);
        CA_REQUIRE(c->count < CA_MAX_MEMBERS, CLATTN_E_ARGUMENT, "%s \"%s\" names more than %d devices that work together", r->origin, r->start,
                   CA_MAX_MEMBERS);
        weighted += items[i].weight > 0;
        c->weight[c->count] = items[i].weight;
        c->entry[c->count++] = e;
    }
    CA_REQUIRE(!weighted || weighted == c->count, CLATTN_E_ARGUMENT, "%s \"%s\" gives some of the devices a weight and not others", r->origin, r->start);
    return CLATTN_OK;
}

clattn_status ca_select(const struct inventory *inv, const char *selector, struct ca_choice *c)
{
    struct item items[MAX_ITEMS + 1];
    const struct inventory_entry *refused = NULL;
    struct reader r;
    int count;
    clattn_status st = read(selector, &r, items, &count);
    c->count = 0;
    for (int i = 0; i < count && !st; i++) {
        if (items[i].exclude) continue;
        if (items[i].together) {
            st = take_together(inv, &r, items, count, c);
        } else if ((c->entry[0] = find(inv, items, count, &items[i], c, &refused))) {
            c->weight[0] = 0;
            c->count = 1;
        }
        if (st || !c->count) continue;
        tell(&r, &items[i], c->entry[0], refused, c->reason);
        if (c->count > 1) snprintf(c->reason, sizeof c->reason, "works together with others: %s \"%.100s\"", r.origin, r.start);
        return CLATTN_OK;
    }
    return st ? st : nothing(inv, &r, items, count, refused);
}
