/* tune.h -- measures its way to good parameters; what it finds is wisdom (wisdom.h) for the planner. */
#ifndef CA_TUNE_H
#define CA_TUNE_H

#include "problem/problem.h"
#include "runtime/inventory.h"

struct ca_tune_options {
    double seconds; /* about: what was begun is finished */
    bool exhaustive; /* before the search all combinations of the fastest start's algorithm, while there is time: for those who judge the search */
    int starts;     /* above 0: no search, only so many of the cheapest algorithms as the planner would have them */
    void (*progress)(void *user, const clattn_tune_step *step); /* may be NULL */
    void *user;
};

struct ca_tuned {
    int tries, measured;          /* what was looked at, and what of it is new */
    char algorithm[16], params[256];
    double ms, default_ms;        /* default_ms: as the planner would have had it without any measurement */
};

/* ENTRY is DEV's in the inventory. */
clattn_status ca_tune(const struct device *dev, const struct inventory_entry *entry, const struct problem *p, const struct ca_tune_options *o,
                      struct ca_tuned *result);

#endif
