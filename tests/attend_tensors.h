/* attend_tensors.h -- the tensors of a shape in memory, as the library is given them, and the way back. */
#ifndef ATTEND_TENSORS_H
#define ATTEND_TENSORS_H

#include "attend.h"
#include "image.h"

/* One image a slot of the library's; a tensor that the shape has not has no bytes.  TIGHT: on cl_mem without the guards. */
struct tensors {
    struct image m[CA_SLOTS];
    clattn_attention a;
    struct pattern_room { /* what a.pattern points into */
        clattn_pattern node[CLATTN_MAX_PATTERNS];
        const clattn_pattern *of[CLATTN_MAX_PATTERNS];
        int64_t tokens[ORACLE_TOKENS * CLATTN_MAX_PATTERNS];
        int nodes, parts, num_tokens;
    } room;
    bool tight;
};
const clattn_pattern *pattern_describe(const struct shape *s, const struct oracle_pattern *t, struct pattern_room *room);

/* From values packed [B][H][N][D]; false, with a failure counted, without memory.  Free by tensors_free, in any case. */
bool tensors_make(struct tensors *t, const struct shape *s, const struct data *d);
void tensors_free(struct tensors *t);
/* New keys are in their places, and all else in the caches is as it was. */
void tensors_check_caches(const struct tensors *t, const struct shape *s, const struct data *d, const char *what);
/* Rows of out or lse, which are X's, as [B][H][Nq][dim]: rows that no sequence has are NaN. */
float *tensors_unpack(const struct shape *s, float *x, int dim);

#endif
