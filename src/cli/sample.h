/* sample.h -- a problem with random data where its device wants it, ready to be executed again and again. */
#ifndef CA_CLI_SAMPLE_H
#define CA_CLI_SAMPLE_H

#include "plan/plan.h"

/* COUNT standard normal numbers of Philox. */
void ca_draw(void *data, clattn_dtype type, size_t count, uint64_t seed, uint64_t offset);

struct sample {
    clattn_plan *plan;
    const struct problem *p;   /* the plan's */
    void *host[CA_SLOTS];      /* on the host */
    cl_mem mem[CA_SLOTS];      /* on an OpenCL device */
    size_t out_offset;         /* of the output in its buffer, bytes */
    cl_mem workspace;
    const void *const *given;
    const struct ca_lengths *lengths; /* NULL: shared evenly */
    const struct ca_tree *tree;       /* NULL: as usual */
    uint64_t layout_seed;
};

/* Plans A on CTX and draws standard normal q, k and v by Philox (offset 0, 1, 2 for the three).  Sequences of a ragged batch
 * have the lengths L, or share evenly what there is; a layout of blocks has L's share of them, a graph L's edges.  A slot's tensor that is GIVEN,
 * in ordinary memory, is copied instead of drawn; GIVEN may be NULL. */
clattn_status ca_sample_create(clattn_context *ctx, const clattn_attention *a, const struct ca_lengths *l,
                               const clattn_plan_options *options, const void *const *given, uint64_t seed, struct sample *s);
/* TO becomes another plan of A on the tensors of S, which still owns them. */
clattn_status ca_sample_replan(const struct sample *s, const clattn_attention *a, const clattn_plan_options *options, struct sample *to);
/* Copies a tensor that the sample has to ordinary memory. */
clattn_status ca_sample_read(const struct sample *s, int slot, void *to);
/* Of one execution: with the lengths that the sequences have. */
double ca_sample_flops(const struct sample *s);
/* Executes once, from data on the device to the result on the device, and waits.  BOUNDED: with the usual deadline,
 * at the price of looking at the clock; for the first execution. */
clattn_status ca_sample_run(const struct sample *s, bool bounded);
struct timing { double median, least; int runs; };   /* seconds */
/* Repeats RUN_ONCE(X, ...) for SECONDS, after a warm-up, which alone is BOUNDED by the usual deadline. */
clattn_status ca_time_runs(clattn_status (*run_once)(const void *x, bool bounded), const void *x, double seconds, struct timing *t);
clattn_status ca_sample_time(const struct sample *s, double seconds, struct timing *t);
void ca_sample_free(struct sample *s);

#endif
