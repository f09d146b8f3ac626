/* layer.h -- attention weights to look at: of a .npy file, or of a case, whose weights are computed. */
#ifndef CA_CLI_LAYER_H
#define CA_CLI_LAYER_H

#include "cli/run.h"

struct ca_layer {
    struct ca_npy w;      /* f4 [B][H][Nq][Nk], not empty, finite, not negative */
    int64_t B, H, Nq, Nk;
};

/* PATH is a folder with a case, or a .npy file with [B,H,Nq,Nk], [H,Nq,Nk] or [Nq,Nk].  EXPECTED: takes a case's
 * expected output `weights` as it is.  Whatever it returns, L needs ca_layer_free.
 * Errors: E_ARGUMENT (the message names the file and its field), E_UNSUPPORTED (the case cannot be computed),
 * E_MEMORY, those of devices. */
clattn_status ca_layer_read(struct runner *r, const char *path, bool expected, struct ca_layer *l);
/* mask.c: 1 where a query of the problem TEXT sees a key, else 0, computed on sample data; of a hierarchical pattern's blocks, of which
 * it sees the mean, 1 / keys. */
clattn_status ca_layer_of_mask(struct runner *r, const char *text, struct ca_layer *l);
void ca_layer_free(struct ca_layer *l);

#endif
