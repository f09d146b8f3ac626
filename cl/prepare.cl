/* prepare.cl -- the OpenCL entries of prepare.h, one work-item a row: NDRange {rows} from a.first_part on.  WHAT is the one that is built. */
#ifndef WHAT
#define WHAT 0
#endif
#include "row.h"
#include "select.h"
#include "prepare.h"

#define ROW(dims) (WHOLE(dims) / VL)
LANE_KERNEL void attn_prepare(GLOBAL ca_int *words, GLOBAL const stored *from, OPTIONAL_PARAMS, ca_args a, ca_leaf leaf)
{
    const ca_optional x = OPTIONAL;
    int n = a.first_part + (int)get_global_id(0);
    words += a.pattern_0 * (ca_long)64;
#if WHAT == 0
    (void)from;
    draw(&a, &x, &leaf, words, n);
#elif WHAT == 1 || WHAT == 2
    bucket(&a, &x, &leaf, words, from, WHAT == 2, DQK, n, 1);
#elif WHAT == 6
    (void)from;
    sort(&a, &x, &leaf, words, n);
#elif WHAT == 7
    (void)from;
    list_blocks(&x, &leaf, words, n);
#else
    vf qv[ROW(LONGER)];
    float row[WHOLE(LONGER)];
#if WHAT == 5
    choose(&a, &x, &leaf, words, from, DQK, n, qv, row, 1);
#else
    mean(&a, &x, &leaf, words, from, WHAT == 3, WHAT == 3 ? DQK : DV, n, (float *)qv, row);
#endif
#endif
}
