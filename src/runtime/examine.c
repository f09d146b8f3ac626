/* examine.c -- makes a fresh inventory: has the helper list the devices and try each one, in processes of their own,
 * and finds out who is guilty when one crashes or hangs:
 *
 *     in clGetPlatformIDs           one of the drivers: each is loaded alone, and named if it crashes alone
 *     while a platform is listed    that platform is left out
 *     in a step of the self-test    that algorithm is not used on that device
 */
#define _GNU_SOURCE
#include "runtime/probe.h"
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "base/file.h"

#define LIST_MS 10000        /* between two signs of progress; CLATTN_PROBE_MS sets another */
#define TRY_FACTOR 12        /* a step of a trial builds a kernel, which takes some a minute */
#define MAX_ICDS 32
#define MAX_CRASHES 4        /* of one device, before it is given up */
#define LOOK_AGAIN 3600      /* seconds until what hung is looked at again */
#define DEFAULT_VENDORS "/etc/OpenCL/vendors"

static int list_ms(void)
{
    const char *text = ca_getenv("CLATTN_PROBE_MS");
    long ms = text ? strtol(text, NULL, 10) : 0;
    return ms > 0 && ms <= 600000 ? (int)ms : LIST_MS;
}

/* ---- the inventory under construction */

void ca_inventory_note(struct inventory *inv, const char *format, ...)
{
    char line[300];
    size_t n = strlen(inv->note);
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    ca_log(1, "%s", line);
    if (!strstr(inv->note, line)) snprintf(inv->note + n, sizeof inv->note - n, "%s%s", n ? "; " : "", line);
}

clattn_status ca_inventory_add(struct inventory *inv, const struct device *dev, const char *icd)
{
    if (inv->count >= CA_MAX_DEVICES) return CLATTN_OK; /* the rest is not looked at */
    struct inventory_entry *more = realloc(inv->entry, (inv->count + 1) * sizeof *more);
    if (!more) return ca_no_memory((inv->count + 1) * sizeof *more, "the list of devices");
    inv->entry = more;
    struct inventory_entry *e = &inv->entry[inv->count++];
    memset(e, 0, sizeof *e);
    e->dev = *dev;
    e->dev.platform = NULL;
    e->dev.id = NULL;
    e->selftest = -1;
    snprintf(e->icd, sizeof e->icd, "%s", icd ? icd : "");
    return CLATTN_OK;
}

static void look_again(struct inventory *inv) { inv->expires = (int64_t)time(NULL) + LOOK_AGAIN; }

/* ---- driver files */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && !strcmp(s + n - m, end);
}

static int is_icd(const struct dirent *d) { return ends_with(d->d_name, ".icd"); }

/* As the loaders read them: a folder, or one file.  They use getenv, so it must be asked, too. */
size_t ca_icd_files(char (*path)[256], size_t max)
{
    const char *where = getenv("OCL_ICD_VENDORS");
    struct dirent **names = NULL;
    size_t count = 0;
    struct stat s;
    if (!where || !where[0]) where = getenv("OPENCL_VENDOR_PATH");
    if (!where || !where[0]) where = DEFAULT_VENDORS;
    if (stat(where, &s) || !S_ISDIR(s.st_mode)) return max > 0 && snprintf(path[0], 256, "%s", where) < 256;
    int n = scandir(where, &names, is_icd, alphasort);
    for (int i = 0; i < n; i++) {
        if (count < max && snprintf(path[count], 256, "%s/%s", where, names[i]->d_name) < 256) count++;
        free(names[i]);
    }
    free(names);
    return count;
}

/* ---- listing */

struct listing {
    struct inventory *inv;
    const char *icd;
    int platforms, platform; /* how many; which one is being listed; -1 = not yet */
    char name[128];          /* of that one */
    clattn_status status;
};

static void hear_listing(void *user, const json_t *record)
{
    struct listing *l = user;
    const json_t *platforms = json_object_get(record, "platforms"), *platform = json_object_get(record, "platform");
    const json_t *device = json_object_get(record, "device"), *remark = json_object_get(record, "remark");
    struct device d;
    if (json_is_integer(platforms)) l->platforms = json_integer_value(platforms) > 0 ? 1 : 0;
    if (json_is_integer(platform)) {
        json_int_t p = json_integer_value(platform);
        const char *name = json_string_value(json_object_get(record, "name"));
        l->platform = p >= 0 && p < 64 ? (int)p : 63;
        snprintf(l->name, sizeof l->name, "%s", name ? name : "?");
    }
    if (json_is_string(remark)) ca_inventory_note(l->inv, "%.250s", json_string_value(remark));
    if (device && ca_device_from_json(device, &d) && d.kind != CLATTN_CLASS_HOST && !l->status)
        l->status = ca_inventory_add(l->inv, &d, l->icd);
}

static void forget_platform(struct inventory *inv, const char *icd, int platform)
{
    while (inv->count && inv->entry[inv->count - 1].dev.platform_index == platform &&
           !strcmp(inv->entry[inv->count - 1].icd, icd ? icd : ""))
        inv->count--;
}

/* Lists all platforms, or those of one driver file.  Platforms that crash are left out; a crash before any
 * platform was seen is the caller's to look into. */
static enum ca_outcome list_devices(struct inventory *inv, const char *icd, char how[128], clattn_status *st)
{
    enum ca_outcome outcome;
    unsigned long skip = 0;
    for (;;) {
        char text[32];
        struct listing l = {inv, icd, -1, -1, "", CLATTN_OK};
        snprintf(text, sizeof text, "%lu", skip);
        outcome = ca_helper_run((const char *[]){"list", text, NULL}, icd, list_ms(), hear_listing, &l, how);
        if (outcome == CA_MISSING) {
            inv->in_process = true;
            ca_probe_enumerate(0, hear_listing, &l);
        }
        *st = l.status;
        if (outcome == CA_HUNG) look_again(inv);
        if ((outcome != CA_CRASHED && outcome != CA_HUNG) || l.platform < 0 || l.status) break;
        ca_inventory_note(inv, "platform %s is left out, since listing its devices fails: %s", l.name, how);
        forget_platform(inv, icd, l.platform);
        skip |= (2ul << l.platform) - 1; /* those before it are listed already */
    }
    return outcome;
}

static void blame(struct inventory *inv, const char *icd, const char *how)
{
    char library[200];
    ca_file_peek(icd, library, sizeof library);
    library[strcspn(library, "\r\n")] = 0;
    ca_inventory_note(inv, "driver %s (%s) is left out, since it cannot be loaded: %s", icd, library, how);
}

/* Loading all drivers fails: HOW.  Which one is it? */
static clattn_status list_one_by_one(struct inventory *inv, const char *how)
{
    char (*icd)[256] = calloc(MAX_ICDS, sizeof *icd), each[128];
    clattn_status st = CLATTN_OK;
    if (!icd) return ca_no_memory(MAX_ICDS * sizeof *icd, "the names of the drivers");
    size_t guilty = 0, count = ca_icd_files(icd, MAX_ICDS);
    for (size_t i = 0; i < count && !st; i++) {
        enum ca_outcome outcome = list_devices(inv, icd[i], each, &st);
        if (outcome != CA_CRASHED && outcome != CA_HUNG) continue;
        blame(inv, icd[i], each);
        guilty++;
    }
    if (!guilty) ca_inventory_note(inv, "the OpenCL drivers fail when loaded together (%s): each is loaded alone", how);
    free(icd);
    return st;
}

/* ---- trying */

struct trying { struct trial trial; bool told; int algo; char words[128]; };

static void hear_trial(void *user, const json_t *record)
{
    struct trying *t = user;
    const json_t *step = json_object_get(record, "step"), *trial = json_object_get(record, "trial");
    if (json_is_integer(step)) {
        const char *words = json_string_value(json_object_get(record, "words"));
        t->algo = json_integer_value(step) >= 0 && json_integer_value(step) < 32 ? (int)json_integer_value(step) : -1;
        snprintf(t->words, sizeof t->words, "%s", words ? words : "?");
    }
    if (trial) t->told = ca_trial_from_json(trial, &t->trial);
}

static void try_here(ca_trial_fn *trial, const struct device *dev, struct trial *t)
{
    struct device live;
    ca_message_clear();
    if (ca_probe_device(dev->kind == CLATTN_CLASS_HOST ? -1 : dev->platform_index, dev->device_index, &live))
        snprintf(t->words, sizeof t->words, "%.250s", ca_message());
    else
        trial(&live, t);
    ca_message_clear();
}

static enum ca_outcome try_there(const struct inventory_entry *e, unsigned bad, const char *ask, struct trying *t, char how[128])
{
    char algos[32];
    snprintf(algos, sizeof algos, "%u", bad);
    *t = (struct trying){.algo = -1, .words = "starting"};
    enum ca_outcome o = ca_helper_on(e, "try", algos, ask, list_ms() * TRY_FACTOR, hear_trial, t, how);
    if (o == CA_RAN && !t->told) {
        o = CA_BROKEN;
        snprintf(how, 128, "it told no verdict");
    }
    return o;
}

static void keep(struct inventory_entry *e, const struct trial *t, const char *crashes)
{
    e->selftest = t->passed == 1;
    e->dev.gflops = t->gflops;
    e->dev.bad_algos = t->bad_algos;
    memcpy(e->dev.tested, t->tested, sizeof e->dev.tested);
    snprintf(e->verdict, sizeof e->verdict, "%.120s%s%.120s", crashes, crashes[0] && t->words[0] ? "; " : "", t->words);
    ca_log(2, "%s: %.3g GFLOP/s %s", e->dev.name, t->gflops, e->verdict);
}

void ca_examine_entry(ca_trial_fn *trial, struct inventory *inv, struct inventory_entry *e)
{
    char how[128], crashes[128] = "";
    struct trying t = {.algo = -1};
    unsigned bad = 0;
    for (int i = 0; i < MAX_CRASHES && !inv->in_process; i++) {
        enum ca_outcome outcome = try_there(e, bad, NULL, &t, how);
        if (outcome == CA_RAN) {
            t.trial.bad_algos |= bad;
            keep(e, &t.trial, crashes);
            return;
        }
        if (outcome == CA_MISSING || outcome == CA_BROKEN) break;
        if (outcome == CA_HUNG) look_again(inv);
        snprintf(crashes, sizeof crashes, "%.70s: %.50s", t.words, how);
        if (t.algo < 0) break;
        bad |= 1u << t.algo;
    }
    t.trial = (struct trial){.passed = 0, .bad_algos = bad};
    if (crashes[0]) {
        keep(e, &t.trial, crashes);
        return;
    }
    /* No helper.  Our own code may run here; drivers only where the user, or a missing helper, has it so. */
    if (inv->in_process || e->dev.kind == CLATTN_CLASS_HOST) try_here(trial, &e->dev, &t.trial);
    else snprintf(t.trial.words, sizeof t.trial.words, "the helper process failed: %s", how);
    keep(e, &t.trial, "");
}

void ca_examine_ask(struct inventory *inv, struct inventory_entry *e, unsigned algo, clattn_dtype type, const char *ask)
{
    struct trying t = {.algo = -1};
    char how[128] = "";
    const enum ca_outcome outcome = inv->in_process ? CA_MISSING : try_there(e, e->dev.bad_algos, ask, &t, how);
    const bool died = (outcome == CA_CRASHED || outcome == CA_HUNG) && t.algo >= 0; /* else it did not come so far */
    if (outcome == CA_HUNG) look_again(inv);
    if (outcome == CA_RAN && t.trial.passed == 1) e->dev.tested[type] |= 1u << algo;
    if (died || (outcome == CA_RAN && t.trial.passed == 0)) {
        size_t n = strlen(e->verdict);
        e->dev.bad_algos |= 1u << algo;
        if (died) snprintf(t.trial.words, sizeof t.trial.words, "%.100s: %.100s", t.words, how);
        snprintf(e->verdict + n, sizeof e->verdict - n, "%s%.120s", n ? "; " : "", t.trial.words);
    }
    if (outcome != CA_RAN || t.trial.words[0]) ca_log(1, "%s: %s: %s", e->dev.name, ask, outcome == CA_RAN || died ? t.trial.words : how);
}

/* ---- all */

clattn_status ca_examine(struct inventory *inv)
{
    struct device host;
    char how[128];
    memset(inv, 0, sizeof *inv);
    ca_device_host(&host);
    ca_device_tidy(&host);
    clattn_status st = ca_inventory_add(inv, &host, NULL);
    if (st) return st;

    switch (list_devices(inv, NULL, how, &st)) {
    case CA_MISSING:
        ca_inventory_note(inv, "devices were examined in this process, without the helper (%s)", how);
        break;
    case CA_BROKEN:
        ca_inventory_note(inv, "no OpenCL device was looked for, since the helper process failed: %s", how);
        inv->count = 1;
        look_again(inv);
        break;
    case CA_CRASHED:
    case CA_HUNG:
        if (!st) st = list_one_by_one(inv, how);
        break;
    case CA_RAN:
        break;
    }
    return st;
}
