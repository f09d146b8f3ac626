/* dropout.h -- which weights are dropped (Srivastava et al., "Dropout", 2014): weight (b, h, i, j) stays where uniform number
 * ((b Hq + h) Nq + i) Nk + j of Philox is not below p, and is then scaled by 1 / (1 - p).  So every kernel drops the same.
 * l, and with it lse, is summed before.  A dropped weight is 0, not ABSENT: its key is there, and a NaN in its value counts. */
#ifndef CA_DROPOUT_H
#define CA_DROPOUT_H

#include "philox.h"

static inline ca_ulong ca_weight_number(const ca_args *a, ca_int b, ca_int h, ca_int i, ca_int j)
{
    return (((ca_ulong)b * (ca_ulong)a->Hq + (ca_ulong)h) * (ca_ulong)a->Nq + (ca_ulong)i) * (ca_ulong)a->Nk + (ca_ulong)j;
}

/* What weight W becomes by its random WORD: u < p is a comparison of 24-bit integers. */
static inline float ca_after_dropout(const ca_args *a, ca_uint word, float w)
{
    return word >> 8 < a->drop_below ? 0.f : w * a->keep_scale;
}

static inline float ca_dropout(const ca_args *a, ca_int b, ca_int h, ca_int i, ca_int j, float w)
{
    return ca_after_dropout(a, ca_philox_word(a->seed, a->drop_offset, ca_weight_number(a, b, h, i, j)), w);
}

#endif
