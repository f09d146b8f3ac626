/* approx.h -- attention and what approximates it, on the same q, k and v: outputs, weights of some rows, time and memory.
 *
 *     window:LEFT,RIGHT               a sliding window
 *     TYPE:FIELD,...                  a sparsity pattern, as in problem strings
 *     linear:MAP  favor:M  cosformer  linear attention, normalised, with this feature map
 *     linformer:P,HOW                 keys and values projected to P, HOW "mean" or "random"
 *     nystrom:LANDMARKS
 *
 * Fields may be named, favor:m=256, in any order.  q and k go to favor and taylor2 multiplied so that their features' products stand
 * for e^(scale q.k), to the other maps as they are.  All but windows and patterns know nothing of attention but the scale and, the
 * feature maps, causality; shared heads of k and v are repeated for them. */
#ifndef CA_CLI_APPROX_H
#define CA_CLI_APPROX_H

#include "cli/sample.h"

/* What is approximated. */
struct target {
    clattn_context *ctx;
    clattn_attention a;
    struct problem p;
    void *data[CA_SLOTS];         /* its tensors, in ordinary memory */
    uint64_t seed;
    double seconds;               /* of repetitions */
    int64_t rows;                 /* rows of each head whose weights are looked at: RUNS times RUN in a row */
    int64_t runs, run;
};

/* Takes the tensors GIVEN by slot, or draws them as `clattn bench` does where that is NULL. */
clattn_status ca_target_init(struct target *t, clattn_context *ctx, const clattn_attention *a, const struct ca_lengths *l, const void *const *given,
                             int64_t rows, uint64_t seed);
void ca_target_free(struct target *t);

struct approx {
    float *out;                   /* as rows of v_dim numbers */
    float *weights;               /* [batch][q_heads][rows][kv_len]; NULL: it has none, and NO_WEIGHTS says why */
    char no_weights[256];
    struct timing time;
    size_t memory;                /* workspace, and tensors that the target has not */
};

/* "window, favor, ...": what there is. */
const char *ca_approx_names(void);
/* Fails with the list of names unless TEXT's is one of them. */
clattn_status ca_approx_known(const char *text);
/* TEXT NULL: the target itself.  On failure, too, X needs only ca_approx_free. */
clattn_status ca_approx_run(const struct target *t, const char *text, struct approx *x);
void ca_approx_free(struct approx *x);

/* How far X is from EXACT: |difference| / |exact| in the Euclidean norm and the largest difference of the outputs, and of the weights
 * the mean over rows of half the sum of absolute differences (total variation; NaN without weights). */
struct approx_error { double relative, most, weights; };
struct approx_error ca_approx_error(const struct target *t, const struct approx *exact, const struct approx *x);

#endif
