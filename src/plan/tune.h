/* tune.h -- measures its way to good parameters; what it finds is wisdom (wisdom.h) for the planner. */
#ifndef CA_TUNE_H
#define CA_TUNE_H

#include "problem/problem.h"
#include "runtime/inventory.h"

/* As clattn_tune; the sizes of O and RESULT, which may be NULL, are not looked at.  ENTRY is DEV's in the inventory.  STARTS above 0: no search,
 * only so many of the cheapest algorithms as the planner would have them, however long that takes. */
clattn_status ca_tune(const struct device *dev, const struct inventory_entry *entry, const struct problem *p, const clattn_tune_options *o, int starts,
                      clattn_tune_result *result);

#endif
