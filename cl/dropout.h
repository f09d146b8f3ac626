/* dropout.h -- which weights are dropped (Srivastava et al., "Dropout", 2014): weight (b, h, i, j) stays where uniform number
 * ((b Hq + h) Nq + i) Nk + j of Philox is not below p.  So every kernel drops the same.  l, and with it lse, is summed before;
 * the factor 1 / (1 - p) of those that stay is left to the division by l (A->keep_scale).
 * A dropped weight is 0, not ABSENT: its key is there, and a NaN in its value counts. */
#ifndef CA_DROPOUT_H
#define CA_DROPOUT_H

#include "philox.h"

static inline ca_ulong ca_weight_number(const ca_args *a, ca_int b, ca_int h, ca_int i, ca_int j)
{
    return (((ca_ulong)b * (ca_ulong)a->Hq + (ca_ulong)h) * (ca_ulong)a->Nq + (ca_ulong)i) * (ca_ulong)a->Nk + (ca_ulong)j;
}

/* Does a weight go with this random WORD?  u < p is a comparison of 24-bit integers. */
static inline int ca_drops(const ca_args *a, ca_uint word) { return word >> 8 < a->drop_below; }

static inline int ca_is_dropped(const ca_args *a, ca_int b, ca_int h, ca_int i, ca_int j)
{
    return ca_drops(a, ca_philox_word(a->seed, a->drop_offset, ca_weight_number(a, b, h, i, j)));
}

#endif
