/* inventory.c -- the process's one inventory: from the cache while nothing on the machine has changed, else
 * examined anew; and the way from an entry to a live device. */
#define _GNU_SOURCE
#include "runtime/inventory.h"
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"
#include "runtime/probe.h"

#define MAX_CACHE ((size_t)1 << 20)
#define MAX_FACTS 65536
#define MAX_ICDS 32

/* All that were handed out stay, since callers point into them; the first is the newest. */
struct kept { struct inventory inv; struct kept *older; };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept *newest;
static ca_trial_fn *how_to_try;

/* ---- the fingerprint: what an inventory depends on, as far as it can be seen without loading a driver */

static const char *const variables[] = {
    "OCL_ICD_VENDORS",
    "OPENCL_VENDOR_PATH",
    "OCL_ICD_FILENAMES",
    "OCL_ICD_PLATFORM_SORT",
    "OPENCL_LAYERS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "CLATTN_PROBE",
    "CLATTN_QUIRKS",
    "CLATTN_ISA",
    "CLATTN_THREADS",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "RUSTICL_ENABLE",
    "RUSTICL_DEVICE_TYPE",
    "RUSTICL_FEATURES",
    "GALLIUM_DRIVER",
    "LP_NUM_THREADS",
    "POCL_DEVICES",
    "POCL_MAX_PTHREAD_COUNT",
    "POCL_AFFINITY",
    "POCL_KERNEL_CACHE",
    "CL_CONFIG_DEVICES",
    "CL_CONFIG_CPU_TARGET_ARCH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK",
    "NEOReadDebugKeys",
    "OCLGRIND_NUM_THREADS",
};

static void put_file(struct ca_text *t, const char *path)
{
    struct stat s;
    if (stat(path, &s)) ca_text_put(t, "%s -\n", path);
    else
        ca_text_put(t, "%s %lld %lld.%09ld\n", path, (long long)s.st_size, (long long)s.st_mtim.tv_sec,
                    s.st_mtim.tv_nsec);
}

static int is_device_node(const struct dirent *d)
{
    return !strncmp(d->d_name, "render", 6) || !strncmp(d->d_name, "nvidia", 6) || !strncmp(d->d_name, "kfd", 3) ||
           !strncmp(d->d_name, "mali", 4) || !strncmp(d->d_name, "kgsl", 4) || !strncmp(d->d_name, "xclmgmt", 7);
}

static void put_nodes(struct ca_text *t, const char *folder)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, is_device_node, alphasort);
    for (int i = 0; i < n; i++) {
        ca_text_put(t, "%s/%s\n", folder, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static void put_drivers(struct ca_text *t)
{
    char (*icd)[256] = calloc(MAX_ICDS, sizeof *icd), library[256];
    size_t count = icd ? ca_icd_files(icd, MAX_ICDS) : 0;
    for (size_t i = 0; i < count; i++) {
        put_file(t, icd[i]);
        ca_file_peek(icd[i], library, sizeof library);
        library[strcspn(library, "\r\n")] = 0;
        if (library[0]) put_file(t, library);
    }
    free(icd);
}

static void put_self(struct ca_text *t)
{
    Dl_info self;
    ca_text_put(t, "clattn %s\n", clattn_version());
    if (dladdr(&lock, &self) && self.dli_fname) put_file(t, self.dli_fname);
    put_file(t, CA_PROBE_PATH);
}

static void put_cpu(struct ca_text *t)
{
    struct device host;
    cpu_set_t set;
    ca_device_host(&host);
    ca_text_put(t, "%s %u %llu\n", host.name, host.vector_width, (unsigned long long)host.global_bytes);
    if (sched_getaffinity(0, sizeof set, &set) == 0) ca_text_put(t, "cpus %d\n", CPU_COUNT(&set));
}

static clattn_status fingerprint(char hex[65])
{
    struct ca_text t = {malloc(MAX_FACTS), MAX_FACTS, 0};
    if (!t.start) return ca_no_memory(MAX_FACTS, "the machine's fingerprint");
    put_self(&t);
    put_cpu(&t);
    put_drivers(&t);
    put_nodes(&t, "/dev");
    put_nodes(&t, "/dev/dri");
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i]);
        if (value) ca_text_put(&t, "%s=%.4096s\n", variables[i], value);
    }
    ca_sha256_hex(t.start, t.length < t.size ? t.length : t.size - 1, hex);
    free(t.start);
    return CLATTN_OK;
}

/* Machines that share a home, or environments that differ, have one file each. */
static void cache_name(const char *print, char name[64]) { snprintf(name, 64, "inventory-%.24s.json", print); }

/* ---- load, save */

static bool load(const char *print, struct inventory *inv)
{
    char name[64], *text;
    size_t size;
    json_error_t error;
    cache_name(print, name);
    if (!ca_cache_read(name, MAX_CACHE, &text, &size)) return false;
    json_t *j = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    bool good = j && ca_inventory_from_json(j, print, inv);
    json_decref(j);
    free(text);
    ca_message_clear();
    if (!good) {
        ca_log(1, "cache file %s is damaged: removed", name);
        ca_cache_remove(name);
        return false;
    }
    inv->cached = true;
    if (!inv->expires || inv->expires > (int64_t)time(NULL)) return true;
    free(inv->entry);
    return false;
}

static void save(const char *print, const struct inventory *inv)
{
    char name[64];
    json_t *j = ca_inventory_to_json(inv, print);
    char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
    cache_name(print, name);
    if (text) ca_cache_write(name, text, strlen(text));
    free(text);
    json_decref(j);
}

/* ---- the process's one */

static clattn_status make(bool refresh, struct inventory *inv)
{
    char print[65];
    clattn_status st = fingerprint(print);
    if (st) return st;
    if (refresh || !load(print, inv)) {
        ca_log(1, "looking for the devices of this machine");
        st = ca_examine(inv);
        if (st) {
            free(inv->entry);
            return st;
        }
        save(print, inv);
    }
    ca_inventory_rank(inv);
    return CLATTN_OK;
}

static void publish(struct kept *k)
{
    k->older = newest;
    newest = k;
}

static clattn_status get_locked(ca_trial_fn *trial, bool refresh)
{
    how_to_try = trial;
    if (newest && !refresh) return CLATTN_OK;
    struct kept *k = calloc(1, sizeof *k);
    clattn_status st = k ? make(refresh, &k->inv) : ca_no_memory(sizeof *k, "the inventory");
    if (st == CLATTN_OK) publish(k);
    else free(k);
    return st;
}

clattn_status ca_inventory_get(ca_trial_fn *trial, bool refresh, const struct inventory **inv)
{
    pthread_mutex_lock(&lock);
    clattn_status st = get_locked(trial, refresh);
    if (st == CLATTN_OK) *inv = &newest->inv;
    pthread_mutex_unlock(&lock);
    return st;
}

const struct inventory_entry *ca_inventory_find(const struct inventory *inv, const struct device *dev)
{
    struct device tidy = *dev;
    char key[65];
    ca_device_tidy(&tidy);
    ca_device_key(&tidy, key);
    for (size_t i = 0; i < inv->count; i++)
        if (!strcmp(inv->entry[i].key, key)) return &inv->entry[i];
    return NULL;
}

/* ---- what is found out later: in a copy of the newest inventory, which then is the newest */

static clattn_status begin_change(struct kept **k)
{
    const struct inventory *from = &newest->inv;
    *k = calloc(1, sizeof **k);
    struct inventory_entry *entry = *k ? malloc(from->count * sizeof *entry) : NULL;
    if (!entry) {
        free(*k);
        return ca_no_memory(from->count * sizeof *entry, "the inventory");
    }
    (*k)->inv = *from;
    (*k)->inv.entry = memcpy(entry, from->entry, from->count * sizeof *entry);
    return CLATTN_OK;
}

static void end_change(struct kept *k)
{
    char print[65];
    if (fingerprint(print) == CLATTN_OK) save(print, &k->inv);
    ca_message_clear();
    ca_inventory_rank(&k->inv);
    publish(k);
}

static bool is_unknown(const struct inventory_entry *e)
{
    return e->selftest < 0 && !(e->dev.quirks & CA_QUIRK_REFUSE) && (e->dev.kind == CLATTN_CLASS_HOST || !ca_device_refusal(&e->dev));
}

clattn_status ca_inventory_all(ca_trial_fn *trial, bool refresh, const struct inventory **inv)
{
    struct kept *k = NULL;
    clattn_status st;
    pthread_mutex_lock(&lock);
    CA_TRY(get_locked(trial, refresh));
    for (size_t i = 0; i < newest->inv.count; i++) {
        const struct inventory_entry *e = &newest->inv.entry[i];
        if (!is_unknown(e) || e->dev.kind == CLATTN_CLASS_SIMULATED) continue;
        if (!k) CA_TRY(begin_change(&k));
        ca_examine_entry(how_to_try, &k->inv, &k->inv.entry[i]);
    }
    if (k) end_change(k);
    *inv = &newest->inv;
done:
    pthread_mutex_unlock(&lock);
    return st;
}

/* Somebody else may have changed it meanwhile. */
static const struct inventory_entry *successor(const struct inventory_entry *e)
{
    for (size_t i = 0; i < newest->inv.count; i++)
        if (!strcmp(newest->inv.entry[i].selector, e->selector)) return &newest->inv.entry[i];
    return NULL;
}

clattn_status ca_inventory_look(const struct inventory_entry **e, const struct inventory **inv)
{
    struct kept *k;
    clattn_status st = CLATTN_OK;
    pthread_mutex_lock(&lock);
    const struct inventory_entry *now = successor(*e);
    if (now && is_unknown(now)) {
        CA_TRY(begin_change(&k));
        ca_log(1, "examining %s, which is used for the first time", now->selector);
        ca_examine_entry(how_to_try, &k->inv, &k->inv.entry[now - newest->inv.entry]);
        end_change(k);
        now = successor(*e);
    }
    if (now) *e = now;
    else st = ca_fail(CLATTN_E_NO_DEVICE, "%s is gone", (*e)->selector);
    *inv = &newest->inv;
done:
    pthread_mutex_unlock(&lock);
    return st;
}

static bool is_told(const struct device *dev, unsigned algo, clattn_dtype type) { return (dev->bad_algos | dev->tested[type]) >> algo & 1; }

static void ask_here(struct device *dev, unsigned algo, clattn_dtype type, const char *ask)
{
    struct trial t = { .ask = ask, .bad_algos = dev->bad_algos };
    how_to_try(dev, &t);
    if (t.passed == 1) dev->tested[type] |= 1u << algo;
    else if (t.passed == 0) dev->bad_algos |= 1u << algo;
    if (t.words[0]) ca_log(1, "%s: %s", dev->name, t.words);
}

static void learn(struct device *to, const struct device *from, clattn_dtype type)
{
    to->bad_algos |= from->bad_algos;
    to->tested[type] |= from->tested[type];
}

/* The helper, then, where that cannot tell (a device that only one process may open), this process. */
void ca_inventory_ask(ca_trial_fn *trial, struct device *dev, unsigned algo, clattn_dtype type, const char *ask)
{
    const struct inventory_entry *e = NULL;
    struct inventory_entry *mine = NULL;
    struct kept *k = NULL;
    pthread_mutex_lock(&lock);
    if (get_locked(trial, false) == CLATTN_OK) e = ca_inventory_find(&newest->inv, dev);
    if (e) learn(dev, &e->dev, type); /* what others asked meanwhile */
    if (e && !is_told(dev, algo, type) && begin_change(&k) == CLATTN_OK) {
        mine = &k->inv.entry[e - newest->inv.entry];
        ca_examine_ask(&k->inv, mine, algo, type, ask);
        learn(dev, &mine->dev, type);
    }
    if (!is_told(dev, algo, type)) ask_here(dev, algo, type, ask);
    if (mine) {
        learn(&mine->dev, dev, type);
        end_change(k);
    }
    ca_message_clear();
    pthread_mutex_unlock(&lock);
}

/* ---- from an entry to a live device */

/* 2: the very one; 1: by its names, with another driver or so. */
static int likeness(const struct inventory_entry *e, const struct device *live)
{
    char key[65];
    ca_device_key(live, key);
    if (!strcmp(key, e->key)) return 2;
    return !strcmp(e->dev.platform_name, live->platform_name) && !strcmp(e->dev.name, live->name);
}

/* First where it was; then anywhere, since platforms move when another one comes or goes. */
static int find_live(const struct inventory_entry *e, struct device *dev)
{
    struct device live;
    int best = 0;
    for (int p = -1; p < CA_MAX_DEVICES && best < 2; p++)
        for (int n = -1; n < CA_MAX_DEVICES && best < 2; n++) {
            int platform = p < 0 ? e->dev.platform_index : p, device = n < 0 ? e->dev.device_index : n;
            if (ca_probe_device(platform, device, &live)) {
                if (n >= 0) break;
                continue;
            }
            int like = likeness(e, &live);
            if (like > best) {
                best = like;
                *dev = live;
            }
        }
    ca_message_clear();
    return best;
}

/* Drivers that crash together are loaded alone.  The loader has only the environment for that, and reads it
 * at the first OpenCL call of the process. */
static int find_live_with(const struct inventory_entry *e, struct device *dev)
{
    static const char name[] = "OCL_ICD_VENDORS";
    char *before = NULL;
    if (!e->icd[0]) return find_live(e, dev);
    if (getenv(name) && !(before = strdup(getenv(name)))) return 0;
    setenv(name, e->icd, 1);
    int like = find_live(e, dev);
    if (before) setenv(name, before, 1);
    else unsetenv(name);
    free(before);
    return like;
}

static void measured(const struct inventory_entry *e, struct device *dev)
{
    dev->gflops = e->dev.gflops;
    dev->bad_algos = ca_quirks_off() ? 0 : e->dev.bad_algos;
    memcpy(dev->tested, e->dev.tested, sizeof dev->tested);
}

/* The driver was replaced since E was examined. */
static clattn_status examine_again(const struct inventory_entry *e, struct device *dev)
{
    const struct inventory *inv;
    ca_log(1, "%s has another driver than it had (%s, now %s): examined again", e->selector, e->dev.driver,
           dev->driver);
    clattn_status st = ca_inventory_get(how_to_try, true, &inv);
    if (st) return st;
    const struct inventory_entry *now = ca_inventory_find(inv, dev);
    CA_REQUIRE(now, CLATTN_E_NO_DEVICE, "%s is gone", e->selector);
    st = ca_inventory_look(&now, &inv);
    if (st) return st;
    CA_REQUIRE(now->usable, CLATTN_E_NO_DEVICE, "%s has another driver than it had (%s, now %s), and is %s",
               e->selector, e->dev.driver, dev->driver, now->reason);
    measured(now, dev);
    return CLATTN_OK;
}

clattn_status ca_inventory_open(const struct inventory_entry *e, struct device *dev)
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER; /* find_live_with changes the environment */
    char print[65], name[64];
    if (e->dev.kind == CLATTN_CLASS_HOST) {
        ca_device_host(dev);
        measured(e, dev);
        return CLATTN_OK;
    }
    pthread_mutex_lock(&one);
    int like = find_live_with(e, dev);
    pthread_mutex_unlock(&one);
    if (like == 2) measured(e, dev);
    if (like) return like == 2 ? CLATTN_OK : examine_again(e, dev);
    if (!e->icd[0] && fingerprint(print) == CLATTN_OK) { /* the next process looks again */
        cache_name(print, name);
        ca_cache_remove(name);
    }
    return ca_fail(CLATTN_E_NO_DEVICE, "%s (%s) is not there any more%s%s", e->selector, e->dev.name,
                   e->icd[0] ? ", or cannot be loaded beside the drivers that are; it needs OCL_ICD_VENDORS=" : "",
                   e->icd);
}
