/* measure.h -- the helper's part of a tuning. */
#ifndef CA_PROBE_MEASURE_H
#define CA_PROBE_MEASURE_H

#include "runtime/probe.h"

/* clattn-probe tune PLATFORM DEVICE PROBLEM "ALGORITHM PARAMS;ALGORITHM PARAMS;...": builds each, checks its result against the host's, times those
 * that are right in turn.  Told are, with the number of the try each,
 *
 *     {"step": k}  it begins      {"failed": k, "words": why}      {"timed": k, "ms": milliseconds}
 *
 * or {"cannot": why}, where there is no data or no reference for any.
 */
void ca_measure(const struct device *dev, const char *problem, const char *tries, ca_emit_fn *emit, void *user);

#endif
