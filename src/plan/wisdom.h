/* wisdom.h -- what was measured on which device: a parameter choice for each problem that was tuned, kept from one process to the next.
 *
 *     tune.c ─► a record each try ─► memory and $cache/wisdom.jsonl ─► planner.c, for that problem and those near it
 *                                          ▲                  │
 *     src/plan/shipped.jsonl, in the library ┘                └─► clattn_wisdom_export, and back by clattn_wisdom_import
 *
 * A record is a line, a JSON object:
 *
 *     {"platform": ..., "device": ..., "driver": ..., "class": "cpu", "vector": 16, "problem": "f32 b1 h8 q2048 k2048 d64 causal",
 *      "algorithm": "lanes", "params": "vl=16 qv=4 kb=6 db=4 bk=96 mad=0", "ms": 43.1}
 *
 * or in the place of "ms" with "fails": why, or with "crashes": how, of what ended the process.  Whoever wrote it, it chooses among what the algorithm's check allows: it can be slow, not wrong.
 *
 * Nearness: the device itself, by name; else one of the same platform, class and vector width, whose times are not taken over.  The problem's
 * kind, that is all but its lengths, must be the same; batch and heads, queries and keys may each differ, by eight times in all. */
#ifndef CA_WISDOM_H
#define CA_WISDOM_H

#include "problem/problem.h"
#include "runtime/device.h"

#define CA_WISDOM_LINE 2048 /* bytes of a record, at most */

/* Of one try; MS is not positive where it FAILS. */
struct wisdom {
    char platform[128], device[128], driver[128], kind[24];
    int vector;
    char problem[512], algorithm[16], params[256], fails[128];
    double ms;
    bool crashes, shipped;
};

/* How long P takes by ALGORITHM on DEV, or how it should be run: the best of the nearest records whose parameters FIT, which may be NULL.  MS becomes
 * the time for P itself, 0 when it is not known for this device.  False: there is none. */
typedef bool ca_fit_fn(void *user, const char *params);
bool ca_wisdom_find(const struct problem *p, const struct device *dev, const char *algorithm, ca_fit_fn *fit, void *user, struct wisdom *found);
/* The record of just these, on the device and with the driver that it has; false: there is none. */
bool ca_wisdom_exact(const struct device *dev, const char *problem, const char *algorithm, const char *params, struct wisdom *found);
/* Did these parameters crash or hang DEV with the driver that it has, whatever the problem? */
bool ca_wisdom_poisoned(const struct device *dev, const char *algorithm, const char *params);

/* A record's device. */
void ca_wisdom_device(struct wisdom *w, const struct device *dev);
/* Adds it, or replaces the one of the same device, driver, problem, algorithm and parameters. */
clattn_status ca_wisdom_add(const struct wisdom *w);
/* Writes all to the cache, what others have written there meanwhile included; without a cache they last as long as the process. */
void ca_wisdom_save(void);

/* The records that are best of their device, driver, problem and algorithm, shipped ones left out: a line each.  As snprintf: returns how long. */
size_t ca_wisdom_export(char *text, size_t size);
/* Adds the lines of TEXT that are records, and says how many. */
clattn_status ca_wisdom_import(const char *text, size_t *records);

#endif
