/* algo.h -- what an algorithm is.  Each file of this folder has the same parts in the same order:
 * legal, params, cost, options, enqueue, and the const struct that table.c lists. */
#ifndef CA_ALGO_H
#define CA_ALGO_H

#include <math.h>
#include "base/checked.h"
#include "optional.h"
#include "problem/problem.h"
#include "runtime/launch.h"

#define CA_MAX_PARAMS 9
#define CA_GROUPS_WASTE 2.3  /* of cl/grouped.h, to dense attention's time for as many pairs: measured 2.0 to 2.6 */
#define CA_PHILOX_LOOP 11    /* rounds of the loop that draws a block of random numbers */
struct params { int v[CA_MAX_PARAMS]; };

/* A tunable parameter: what it is, and the values that are worth a try; others may be legal too (check). */
struct param { const char *name, *meaning; const int *values; size_t count; };
#define PARAM(name, meaning, ...) { name, meaning, (const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int) }

/* A tensor at execution: device memory with a byte offset, or a host pointer. */
struct tensor { cl_mem mem; size_t offset; void *host; };
struct io {
    struct tensor t[CA_SLOTS];
    struct tensor workspace;
};

#define CA_PATTERN_WORKS 3 /* kernels that make a leaf's words, at most */

struct algo;
struct group;
struct staging; /* device buffers of ca_plan_run_host, kept between executions */
struct clattn_plan {
    clattn_context *ctx;
    struct problem p;
    const struct algo *algo;
    struct params params;
    struct program *program;
    struct program *steps;     /* cl/steps.cl, where new keys or weights are wanted */
    size_t workspace;          /* bytes */
    size_t pattern_at;         /* where in it the pattern's words are, on an OpenCL device */
    int32_t *words;            /* of the pattern, those that no execution changes (prepare.c), */
    cl_mem constants;          /* the same on the device, and the programs that make the others, leaf by leaf */
    struct program *prepare[CA_MAX_NODES][CA_PATTERN_WORKS];
    const char *source;        /* where the params come from: default, shipped, user */
    double cost_ms;            /* as the planner has it */
    struct group *group;       /* NULL: one device; else the rest is the fastest one's, for all of it */
    char *explain;
    struct staging *staging;   /* NULL on the host */
    struct spare *spare, *spare_words; /* on the host: memory.c; the second for the pattern's */
};

struct algo {
    const char *name;
    const char *source;                    /* the text in cl/, NULL when it needs none */
    struct param params[CA_MAX_PARAMS + 1]; /* ends with one without a name */
    bool lists_keys;                       /* takes keys that are chosen by their scores, or that no tensor holds */
    bool cuts_keys;                        /* can compute parts of split_len keys and merge them */

    /* Would the result be right?  NULL, else why not (may be written to WHY). */
    const char *(*legal)(const struct problem *p, const struct device *dev, char why[128]);
    /* Parameters that are right for this problem on this device, and expected to be good. */
    void (*defaults)(const struct problem *p, const struct device *dev, struct params *t);
    /* NULL, or why these parameters cannot be used (limits of the device). */
    const char *(*check)(const struct problem *p, const struct device *dev, const struct params *t, char why[128]);
    /* Has parameter I an effect beside the others' values?  NULL: each has. */
    bool (*uses)(const struct params *t, int i);
    /* Rounds of all loops together that a work-item may take, roughly from above, as if nothing were unrolled: there are
     * devices (CA_QUIRK_ROUNDS) that end it silently after so many.  NULL: few. */
    double (*rounds)(const struct problem *p, const struct params *t);
    /* Predicted milliseconds: is it wise?  Only the order matters. */
    double (*cost)(const struct problem *p, const struct device *dev, const struct params *t);
    /* The build options; NULL when source is NULL. */
    void (*options)(const struct problem *p, const struct device *dev, const struct params *t, char *text, size_t size);
    /* Device memory per execution. */
    size_t (*workspace)(const struct problem *p, const struct device *dev, const struct params *t);
    clattn_status (*enqueue)(const struct clattn_plan *plan, const struct io *io, struct chain *c);
};

/* Parts into which PART keys each cut those of P (cl/optional.h), and those of them that are shared; the bytes of the states that all rows
 * leave, each so many of them: o, m, l. */
int64_t ca_parts(const struct problem *p, int64_t part);
int64_t ca_shared_parts(const struct problem *p, int64_t part);
size_t ca_states_bytes(const struct problem *p, int64_t states);
/* How long to make them: enough for all of WANTED units of work, where each part is UNITS, but none shorter than what pays for its
 * merge; split_len, where that is given. */
int ca_part_len(const struct problem *p, int64_t units, int64_t wanted);
/* How many KV heads' rows a CPU does together, at most ROWS rows: where other heads' keys lie between one head's, in pages always, memory
 * is then read in order.  Not with split_len, whose results do not depend on what else there is, nor where heads' rows share keys. */
int ca_pack_heads(const struct problem *p, int64_t rows);

/* Rows of chunks whose states are kept while keys are gone through: as many as can be, up to 8 MiB of states, since keys are fetched for each chunk
 * anew, but CHUNKS of them for all heads.  The same for groups of keys (cl/grouped.h): a chunk a worker, or a long and a short one. */
int64_t ca_chunk_rows(const struct problem *p, int64_t chunks);
int64_t ca_group_rows(const struct problem *p, int64_t workers);

/* steps.c: the steps before and after the algorithm, and what they need built (NULL: nothing). */
clattn_status ca_steps_build(struct clattn_plan *plan);
/* prepare.c: a pattern's words, and what their making needs. */
clattn_status ca_prepare_build(struct clattn_plan *plan);
/* The options of the kernel that does WHAT, a host_prepare. */
void ca_prepare_options(const struct problem *p, const struct device *dev, int what, char *text, size_t size);
size_t ca_prepare_bytes(const struct problem *p);
/* Makes them; io->t[CA_PATTERN] is where, on the host memory for the caller to give back to the plan's spare_words, unless it is
 * the plan's own. */
clattn_status ca_prepare(const struct clattn_plan *plan, struct io *io, struct chain *c);
clattn_status ca_append(const struct clattn_plan *plan, const struct io *io, struct chain *c);
clattn_status ca_weights(const struct clattn_plan *plan, const struct io *io, struct chain *c);

extern const struct algo *const ca_algos[]; /* the whole menu, ends with NULL */
const struct algo *ca_algo_find(const char *name);

/* Options that every kernel takes: storage type, and which features there are (cl/optional.h). */
int ca_feature_options(const struct problem *p, char *text, size_t size);
/* Those, the dims, whether rows are contiguous, the sub-group. */
int ca_common_options(const struct problem *p, const struct device *dev, char *text, size_t size);
bool ca_is_aligned(const struct problem *p); /* rows, heads and batches of q, k and v are multiples of four elements apart */
/* Launches the KERNEL of (q, k, v, out, lse, ...) that is all of an algorithm, over GLOBAL work-items in groups of LOCAL, in two dimensions. */
clattn_status ca_launch_attention(const struct clattn_plan *plan, const struct io *io, struct chain *c, const char *kernel, const size_t global[2],
                                  const size_t local[2]);
/* Milliseconds for the problem's arithmetic at the device's rate: the unit of every cost. */
double ca_flops_ms(const struct problem *p, const struct device *dev);
/* How many times the listed pairs' work tiles of ROWS neighbouring queries make of a pattern; 1 without one. */
double ca_tiles_waste(const struct problem *p, double rows);
/* The same of the lane kernels: tiles in a pattern's order hold little that a row does not see. */
double ca_lane_waste(const struct problem *p, double rows);
/* Work-items of a group where each has its own of WIDTH elements side by side: as many as that keeps busy, 64 at most.
 * Never the device's choice: PoCL builds a kernel anew for each size that it chooses. */
size_t ca_group_for(const struct device *dev, int64_t width);
/* Tiles of ROWS query rows that one head has; ragged: over all batch rows (ca_seq_of_tile in cl/optional.h numbers them). */
static inline int64_t ca_tiles(const struct problem *p, int64_t rows)
{
    return p->ragged ? p->Tq / rows + p->B : ca_ceil_div(p->Nq, rows);
}

/* memory.c: memory of an execution on the host, at least BYTES of it, on a line of a cache; the plan keeps the last for the next one, since fresh pages
 * take as long as a short attention.  NULL: there is none. */
clattn_status ca_spare_create(struct spare **spare);
void *ca_spare_take(struct spare *spare, size_t bytes);
void ca_spare_give(struct spare *spare, void *memory);
void ca_spare_destroy(struct spare *spare);

/* Those of the lane kernels, which go through some patterns in an order of their own (cl/order.h), and the bytes of what rows leave where
 * that takes several passes. */
int64_t ca_lane_tiles(const struct problem *p, int64_t rows);
static inline size_t ca_passes_bytes(const struct problem *p) { return p->pattern.passes > 1 ? ca_states_bytes(p, p->pattern.passes) : 0; }

/* The kernels' arguments for this execution: the problem's numbers plus the buffers' offsets. */
void ca_io_args(const struct problem *p, const struct io *io, ca_args *a);
/* The optional tensors as the host's kernels take them. */
void ca_optional_host(const struct problem *p, const struct io *io, ca_optional *x);
/* What a kernel takes: the COUNT tensors FIRST, the optional ones (OPTIONAL_PARAMS in cl/optional.h), then A. */
/* The end of the optional tensors that kernels of P take: a pattern's words come last. */
static inline int ca_optional_end(const struct problem *p) { return p->pattern.num_nodes ? CA_OPTIONAL_END : CA_PATTERN; }
#define CA_MAX_ARGS 48
cl_uint ca_kernel_args(const struct problem *p, const struct io *io, const ca_args *a, const struct tensor *const *first, cl_uint count,
                       struct launch_arg args[CA_MAX_ARGS]);
/* Where a row's states lie in the workspace, STATES of them: po first, then pml; and merges them (cl/merge.h). */
void ca_states_args(const struct problem *p, const struct io *io, int64_t states, ca_args *a);
clattn_status ca_merge(const struct clattn_plan *plan, const struct io *io, const ca_args *a, struct chain *c);

#endif
