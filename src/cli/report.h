/* report.h -- how `clattn inspect` prints what it finds: a table, or one JSON object a line. */
#ifndef CA_CLI_REPORT_H
#define CA_CLI_REPORT_H

#include "cli/layer.h"
#include "cli/weights_stats.h"

/* A line; that of a layer's mean has batch and head -1. */
struct ca_report {
    int layer;
    const char *name;
    int64_t batch, head, k, distance;
    struct ca_weights_stats s;
};

void ca_report_header(const struct ca_report *r, const struct ca_layer *l);
clattn_status ca_report_line(bool json, const struct ca_report *r);

/* The K tokens of the input that weigh most in a row [N] of attention rollout. */
clattn_status ca_report_rollout(bool json, int layers, int64_t batch, const double *row, int64_t N, int64_t k);

#endif
