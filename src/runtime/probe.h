/* probe.h -- between the files that make an inventory:
 *
 *     inventory.c   cache, process-wide state       probe.c    looks at OpenCL: in the helper process,
 *        |                                                     or in this one
 *        +-- examine.c  what to look at, crashes    records.c  what they tell each other: JSON
 *        |      +-- helper.c  one helper process    rank.c     duplicates, order, reasons, selectors
 */
#ifndef CA_PROBE_H
#define CA_PROBE_H

#include <jansson.h>
#include "runtime/inventory.h"

/* ---- probe.c.  A finding is told by records, one JSON object each:
 *
 *     {"hello": version}                              first, when it is a helper process
 *     {"platforms": number}                           clGetPlatformIDs returned
 *     {"platform": index, "name": text}               its devices come next
 *     {"remark": text}                                for the inventory's note
 *     {"device": {...}}                               one device
 *     {"step": algorithm, "words": text}              the trial is about to do this
 *     {"trial": {"passed", "words", "gflops", "bad_algos", "tested"}}
 *     {"done": true}                                  last
 */
typedef void ca_emit_fn(void *user, const json_t *record);
/* SKIP: bit i set leaves out platform i. */
clattn_status ca_probe_enumerate(unsigned long skip, ca_emit_fn *emit, void *user);
/* Reads the device anew by its place; PLATFORM < 0 is the host. */
clattn_status ca_probe_device(int platform, int device, struct device *d);

/* ---- helper.c */
enum ca_outcome {
    CA_RAN,      /* to its end */
    CA_MISSING,  /* there is no helper, or CLATTN_PROBE=inprocess */
    CA_BROKEN,   /* something ran that is not the helper of this version */
    CA_CRASHED,
    CA_HUNG
};
#define CA_RECORD_BYTES 16384 /* longest record */

/* Runs the helper with ARGS (ended by NULL, without its name); ICD, if not NULL, is the only driver file.  STEP_MS
 * is the time allowed between two signs of progress.  HOW tells in words how it ended. */
enum ca_outcome ca_helper_run(const char *const *args, const char *icd, int step_ms, ca_emit_fn *emit, void *user,
                              char how[128]);

/* The same on a device: WHAT, its place, and up to two arguments more, which may be NULL. */
struct inventory_entry;
enum ca_outcome ca_helper_on(const struct inventory_entry *e, const char *what, const char *first, const char *second, int step_ms, ca_emit_fn *emit,
                             void *user, char how[128]);

/* ---- examine.c: fills entry[] (facts), note, in_process, expires. */
clattn_status ca_examine(struct inventory *inv);
/* A first look at one entry: its selftest, verdict, gflops, bad_algos, tested. */
void ca_examine_entry(ca_trial_fn *trial, struct inventory *inv, struct inventory_entry *e);
/* Has the helper try one algorithm: bad_algos or tested, verdict; nothing where it comes to no result. */
void ca_examine_ask(struct inventory *inv, struct inventory_entry *e, unsigned algo, clattn_dtype type, const char *ask);
/* The driver files that the OpenCL loader will read; returns how many, at most MAX. */
size_t ca_icd_files(char (*path)[256], size_t max);
/* Adds to the note, once. */
void ca_inventory_note(struct inventory *inv, const char *format, ...) __attribute__((format(printf, 2, 3)));
clattn_status ca_inventory_add(struct inventory *inv, const struct device *dev, const char *icd);

/* ---- records.c */
json_t *ca_json_text(const char *text); /* whatever a driver wrote, as printable ASCII */
json_t *ca_device_to_json(const struct device *d);
bool ca_device_from_json(const json_t *j, struct device *d);
json_t *ca_trial_to_json(const struct trial *t);
bool ca_trial_from_json(const json_t *j, struct trial *t);
/* What the cache holds; FINGERPRINT tells on which machine state it is true. */
json_t *ca_inventory_to_json(const struct inventory *inv, const char *fingerprint);
/* False, with INV empty, when it is damaged or of another fingerprint. */
bool ca_inventory_from_json(const json_t *j, const char *fingerprint, struct inventory *inv);
/* Makes texts printable ASCII, so that they survive JSON and compare equal afterwards. */
void ca_device_tidy(struct device *d);
void ca_device_key(const struct device *d, char key[65]);

/* ---- rank.c: from facts to usable, duplicate, rank (sorts entry[]), chosen, reason, selector, key. */
void ca_inventory_rank(struct inventory *inv);

#endif
