/* item_host.h -- the host's half of cl/item.h: a kernel becomes a loop over its units, divided among threads. */
#ifndef CA_ITEM_HOST_H
#define CA_ITEM_HOST_H

#include <tgmath.h>
#include "base/half.h"
#include "ops/ops.h"

typedef unsigned uint;
typedef double wide;
#define INLINE static inline __attribute__((always_inline))
#define LANES 1
#define LANE 0
#define INDEX unit
#define BEYOND 0
#define ROW_MEMORY
#define row_sum(x) (x)
#define row_max(x) (x)
#define as_uint ca_f32_bits
#define as_float ca_bits_f32

#define TENSORS void *t0, void *t1, void *t2, void *t3, void *t4, void *t5, const ca_op a
/* All f32 (indices apart), which the compiler then knows, or any types. */
#define UNITS(name, a) \
    _Pragma("omp parallel for num_threads(threads) schedule(static)") \
    for (ca_long unit = 0; unit < (a).units; unit++) name##_unit(t[0], t[1], t[2], t[3], t[4], t[5], a, unit);
#define KERNEL(name) \
    INLINE void name##_unit(TENSORS, ca_long unit); \
    void ca_item_##name(void *const t[CA_OPERANDS], const ca_op *a, int threads) \
    { \
        ca_op f32 = *a; \
        if (all_f32(&f32)) { UNITS(name, f32) } else { UNITS(name, *a) } \
    } \
    INLINE void name##_unit(TENSORS, ca_long unit)

INLINE bool all_f32(ca_op *a)
{
    bool all = true;
    for (int k = 0; k < CA_OPERANDS; k++) {
        all = all && a->type[k] != TYPE_F16 && a->type[k] != TYPE_BF16;
        a->type[k] = a->type[k] < 0 ? -1 : TYPE_F32;
    }
    return all;
}

#define load_as ca_load_as
#define store_as ca_store_as
INLINE int load_int(const void *t, ca_long i) { return ((const int32_t *)t)[i]; }

#endif
