/* inventory.h -- all devices of this machine, examined once: found in a helper process (a driver may
 * abort), self-tested, measured, ranked; kept in the cache until drivers change. */
#ifndef CA_INVENTORY_H
#define CA_INVENTORY_H

#include <jansson.h>
#include <stdint.h>
#include "runtime/device.h"

struct inventory_entry {
    struct device dev;         /* without live handles: see ca_inventory_open */
    char selector[192];
    char key[65];              /* SHA-256 of the facts that identify device and driver */
    char icd[256];             /* the only driver file that may be loaded with it, "" = all */
    int selftest;              /* 1 passed, 0 failed, -1 not yet examined */
    char verdict[256];         /* the self-test's words about what failed, "" when all passed */
    bool usable;
    bool duplicate;            /* the same hardware as a better entry */
    int rank;                  /* 0 = best; automatic choice is the first usable, not simulated */
    bool chosen;
    char reason[256];
};

struct inventory {
    struct inventory_entry *entry; /* in the order of their ranks */
    size_t count;
    bool in_process;           /* the helper was not used */
    bool cached;
    int64_t expires;           /* seconds since 1970 at which to look again, 0 = never: something timed out */
    char note[512];            /* what went wrong while looking (a driver that crashed, ...), or "" */
};

#define CA_MAX_DEVICES 64

/* What the layers above do to judge a device. */
struct trial {
    const char *ask;           /* NULL: a first look, which measures it with an algorithm that gives known answers; else, in the words of the layers
                                * above, one algorithm that shall give them */
    bool thorough;             /* instead of a first look: every algorithm, everything */
    int passed;                /* 1, 0, or, where an ask comes to no result, -1 */
    char words[256];           /* about what failed, or "" */
    double gflops;
    unsigned bad_algos;        /* set by the caller: those that are known to crash and are not tried */
    unsigned tested[CA_TYPES]; /* those that gave known answers */
    void (*progress)(void *user, int algo, const char *words); /* before each step; may be NULL */
    void *user;
};
typedef void ca_trial_fn(const struct device *dev, struct trial *t);

/* Loads the inventory from the cache or lists the machine's devices; those that were not examined yet (selftest < 0) are when they are needed:
 * ca_inventory_look, ca_inventory_all.  Lives until the process ends; thread-safe; REFRESH forgets what was known. */
clattn_status ca_inventory_get(ca_trial_fn *trial, bool refresh, const struct inventory **inv);
/* The inventory with *E, the entry of an inventory, examined; *E becomes its successor there. */
clattn_status ca_inventory_look(const struct inventory_entry **e, const struct inventory **inv);
/* With all examined that might be used; not the simulated ones, which take their time and are hardly ever wanted. */
clattn_status ca_inventory_all(ca_trial_fn *trial, bool refresh, const struct inventory **inv);

/* Does algorithm ALGO give known answers for TYPE on DEV?  Where that is not known yet it is tried now, as ASK (struct trial) says; the answer goes
 * to DEV's bad_algos or tested, and is kept for other processes.  Neither bit is set where a trial comes to no result. */
void ca_inventory_ask(ca_trial_fn *trial, struct device *dev, unsigned algo, clattn_dtype type, const char *ask);

/* The helper process: examines, or measures for a tuning (src/probe/measure.h), and prints JSON on standard output. */
typedef void ca_measure_fn(const struct device *dev, const char *problem, const char *tries, void (*emit)(void *user, const json_t *record), void *user);
int ca_probe_main(ca_trial_fn *trial, ca_measure_fn *measure, int argc, char **argv);

/* Resolves an entry to live OpenCL ids in this process (enumerates the one platform).  If the driver is another
 * than the one examined, the machine is examined anew. */
clattn_status ca_inventory_open(const struct inventory_entry *e, struct device *dev);

/* The entry that describes the live device DEV, NULL when there is none. */
const struct inventory_entry *ca_inventory_find(const struct inventory *inv, const struct device *dev);

/* What a selector chooses: one entry, or those whose items have "@", which work together. */
struct ca_choice {
    const struct inventory_entry *entry[CA_MAX_MEMBERS];
    double weight[CA_MAX_MEMBERS]; /* 0: none was given */
    int count;
    char reason[256];
};
/* select.c: applies a selector (grammar in clattn.h; NULL = CLATTN_DEVICES, else "auto") to the inventory: what wins, and why. */
clattn_status ca_select(const struct inventory *inv, const char *selector, struct ca_choice *c);
/* How many entries WHAT (an item's text without "!" and "?") names; *FIRST is the best of them, -1 when none. */
size_t ca_select_count(const struct inventory *inv, const char *what, int *first);

#endif
