/* linhost.h -- linear attention on the host, at one instruction-set level. */
#ifndef CA_HOST_LINEAR_H
#define CA_HOST_LINEAR_H

#include <stdint.h>
#include "linargs.h"

struct host_linear {
    int lanes, wide;     /* floats per vector; columns that a product takes at once */
    /* Unit N of cl/linear.h, with its STATE and a worker's SCRATCH, 64-byte aligned. */
    void (*unit)(const ca_linear *a, void *const t[LIN_TENSORS], int64_t n, float *state, float *scratch);
};

#endif
