/* host.h -- the native back end: the lane kernels of cl/, compiled by the C compiler once per
 * instruction-set level and storage type, chosen at run time. */
#ifndef CA_HOST_H
#define CA_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include "clattn.h"
#include "optional.h"

#define HOST_TILE_ARGS const ca_args *a, const ca_optional *x, const void *q, const void *k, const void *v, void *o, \
                       float *lse, float *po, float *pml, int tile, int h, int b, void *scratch
#define HOST_PART_ARGS const ca_args *a, const ca_optional *x, const void *q, const void *k, const void *v, float *po, \
                       float *pml, int part, int r0, int hk, int heads, int b, void *scratch

enum host_prepare { HOST_DRAW, HOST_BUCKET_Q, HOST_BUCKET_K, HOST_MEAN_K, HOST_MEAN_V, HOST_CHOOSE, HOST_SORT, HOST_LIST }; /* WHAT in cl/prepare.cl */

struct host_kernels {
    int lanes;                              /* floats per vector */
    int wide_rows, narrow_rows;             /* query rows per tile */
    int pack_rows;                          /* rows per call of part, and of gather at most */
    size_t (*scratch)(const ca_args *a);    /* bytes per thread, 64-byte aligned */
    void (*wide)(HOST_TILE_ARGS);           /* query tile number TILE of head H of batch B */
    void (*narrow)(HOST_TILE_ARGS);         /* the same with fewer rows per tile */
    /* cl/steps.h: row R of the new keys and values; row i of the weights */
    void (*append)(const ca_args *a, const ca_optional *x, const void *k_new, const void *v_new, void *k, void *v, int b, int hk, int r);
    void (*weights)(const ca_args *a, const ca_optional *x, const void *q, const void *k, float *weights, int b, int h, int i);
    /* cl/prepare.h: ROWS rows from N on of a pattern's WORDS, from q or k */
    void (*prepare)(const ca_args *a, const ca_optional *x, const ca_leaf *leaf, enum host_prepare what, ca_int *words, const void *from, int n,
                    int rows);
    /* cl/gather.h: ROWS rows from row I on by bands of BAND keys, with MEMORY of as many bytes as those take, 64-byte aligned; SPENT may be NULL */
    size_t (*gather_bytes)(const ca_args *a, const ca_optional *x, int rows, int band);
    void (*gather)(const ca_args *a, const ca_optional *x, const void *q, const void *k, const void *v, void *o, float *lse, ca_int *spent,
                   int b, int h, int i, int rows, int band, void *memory);
    /* cl/grouped.h: ROWS rows from row I on, with MEMORY of as many bytes as those take, 64-byte aligned */
    size_t (*grouped_bytes)(const ca_args *a, const ca_optional *x, int rows);
    void (*grouped)(const ca_args *a, const ca_optional *x, const void *q, const void *k, const void *v, void *o, float *lse, int b, int h, int i, int rows,
                    void *memory);
    void (*part)(HOST_PART_ARGS);           /* cl/decode.h: part PART of the keys for rows R0... of HEADS KV heads from HK on */
};

struct host_isa {
    const char *name;                       /* "x86-64-v4", "x86-64-v3", "generic" */
    const struct host_kernels *type[3];     /* by clattn_dtype */
    const struct host_linear *linear;       /* linhost.h */
};
/* The best level that this CPU has; CLATTN_ISA=name asks for a lower one, and ca_host_check says when it names none. */
const struct host_isa *ca_host_isa(void);
clattn_status ca_host_check(void);
/* Tiles, and nothing else, whose products are of pairs of bf16 (flash_pairs.c).  FAST: by an instruction, else by its twin. */
const struct host_kernels *ca_host_pairs(bool *fast);
int ca_host_threads(void);
int ca_host_thread(void); /* within a parallel region: which one this is */

#endif
