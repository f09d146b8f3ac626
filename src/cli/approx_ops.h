/* approx_ops.h -- what the two files of approx.h share. */
#ifndef CA_CLI_APPROX_OPS_H
#define CA_CLI_APPROX_OPS_H

#include "cli/approx.h"

/* Linear attention with this feature map, of favor M features; attention through COUNT keys, Nystrom's or, projected by means or at RANDOM, Linformer's. */
clattn_status ca_approx_linear(const struct target *t, clattn_feature_map map, int64_t M, struct approx *x);
clattn_status ca_approx_few(const struct target *t, int64_t count, bool nystrom, bool random, struct approx *x);

/* ROWS rows of COLUMNS zeros, the caller's to free; WHAT names them. */
clattn_status ca_approx_floats(int64_t rows, int64_t columns, const char *what, float **to);
/* The first row of a run: from the first to the last row, evenly. */
int64_t ca_approx_row(const struct target *t, int64_t run);
/* X has no weights, for the reason that is the message. */
void ca_approx_weightless(struct approx *x);

#endif
