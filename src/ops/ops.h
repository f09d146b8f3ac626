/* ops.h -- the operations around attention.  Each is described first (ca_op_NAME checks the arguments and fills a
 * call), then run, on any device:
 *
 *     tensors ─► ca_op_NAME ─► call ─► ca_call_run ─► a loop of the host (host.c)
 *                                                 └─► buffers for what is on the host, cl/norm.cl, cl/element.cl,
 *                                                     outputs copied back
 */
#ifndef CA_OPS_H
#define CA_OPS_H

#include "op.h"
#include "plan/plan.h"

/* A kernel of cl/: its name there, and the same text compiled for the host. */
struct ca_kernel {
    const char *source, *name;
    bool shared;               /* lanes share a row */
    void (*host)(void *const t[CA_OPERANDS], const ca_op *a, int threads);
};
extern const struct ca_kernel ca_k_softmax, ca_k_norm, ca_k_activate, ca_k_convert, ca_k_rope, ca_k_relative_bias,
    ca_k_scatter, ca_k_causal_conv, ca_k_merge, ca_k_matmul, ca_k_landmarks, ca_k_inverse_start;
extern const struct ca_kernel *const ca_op_kernels[]; /* all of them, ends with NULL */

struct ca_operand {
    const char *name;          /* NULL: not given */
    clattn_tensor t;
    int64_t count;             /* elements */
    size_t bytes;
    bool output;
};

/* What is more than one kernel: on tensors T in ordinary memory, and enqueued on those in MEM. */
struct ca_call;
struct ca_work {
    clattn_status (*host)(clattn_context *ctx, const struct ca_call *c, void *const t[CA_OPERANDS]);
    clattn_status (*enqueue)(clattn_context *ctx, const struct ca_call *c, const cl_mem mem[CA_OPERANDS], struct chain *chain);
};

struct ca_call {
    const struct ca_work *work;             /* in place of kernels, or NULL */
    const struct ca_kernel *first, *kernel; /* first: convert, which fills operand 3 from operand 0 before; or NULL */
    struct ca_operand o[CA_OPERANDS];
    ca_op a;
    int64_t row, apart;        /* elements that a unit works through, and how far apart in memory */
    bool in_place;             /* an output may be operand 0 itself */
    int reuse, reusable;       /* an output may be the operand so many before it, from REUSABLE on; 0: none */
    void *owned;               /* a table made for this call */
};

/* A call of KERNEL without operands. */
void ca_call_begin(struct ca_call *c, const struct ca_kernel *kernel);
enum { CA_FLOAT = 0, CA_INDICES = 1, CA_OUTPUT = 2, CA_OPTIONAL = 4 };
/* Makes T operand K of C, under NAME in messages; checks all that can be checked of it alone. */
clattn_status ca_operand(struct ca_call *c, int k, const char *name, const clattn_tensor *t, unsigned what);
/* E_ARGUMENT unless operand K, if given, has this shape; WHY says where it comes from. */
clattn_status ca_shape_is(const struct ca_call *c, int k, int rank, const int64_t *shape, const char *why);
/* Operand K, an input, from COUNT elements of 4 bytes of the library's own. */
void ca_operand_own(struct ca_call *c, int k, clattn_dtype dtype, void *data, int64_t count);
/* An axis counted from the end when negative, 0 ... RANK - 1. */
clattn_status ca_axis(const clattn_tensor *x, int axis, int *from_start);

/* Runs C on CTX and frees what it owns.  LAUNCH as in clattn.h. */
clattn_status ca_call_run(clattn_context *ctx, struct ca_call *c, const clattn_launch *launch);
void ca_call_free(struct ca_call *c);

/* The operations; arguments as the functions of clattn.h. */
clattn_status ca_op_softmax(struct ca_call *c, const clattn_tensor *x, int axis, bool logarithm,
                            const clattn_tensor *out);
clattn_status ca_op_norm(struct ca_call *c, const clattn_tensor *x, const clattn_tensor *weight,
                         const clattn_tensor *bias, int axis, double eps, bool centred, const clattn_tensor *out,
                         const clattn_tensor *mean, const clattn_tensor *inv_std);
clattn_status ca_op_activate(struct ca_call *c, clattn_activation how, const clattn_tensor *x,
                             const clattn_tensor *out);
clattn_status ca_op_rope(struct ca_call *c, const clattn_tensor *x, const clattn_tensor *cos, const clattn_tensor *sin,
                         const clattn_tensor *position_ids, clattn_layout layout, bool interleaved,
                         const clattn_tensor *out);
clattn_status ca_op_rope_tables(struct ca_call *c, const clattn_rope_params *rope, const clattn_tensor *inv_freq,
                                const clattn_tensor *cos, const clattn_tensor *sin);
void ca_rope_defaults(clattn_rope_params *r);
int64_t ca_rope_pairs(const clattn_rope_params *r); /* columns of the tables */
clattn_status ca_op_sinusoidal(struct ca_call *c, const clattn_tensor *table);
clattn_status ca_op_relative_bias(struct ca_call *c, const clattn_tensor *table, const clattn_tensor *bias);
clattn_status ca_op_t5_bias(struct ca_call *c, const clattn_tensor *table, bool bidirectional, int64_t max_distance,
                            const clattn_tensor *bias);
clattn_status ca_op_cache_scatter(struct ca_call *c, const clattn_tensor *past_cache, const clattn_tensor *update,
                                  const clattn_tensor *write_indices, int axis, bool circular,
                                  const clattn_tensor *out);
clattn_status ca_op_causal_conv(struct ca_call *c, const clattn_tensor *input, const clattn_tensor *weight,
                                const clattn_tensor *bias, const clattn_tensor *past_state,
                                clattn_activation activation, const clattn_tensor *out,
                                const clattn_tensor *present_state);
clattn_status ca_op_merge(struct ca_call *c, const clattn_tensor *outs, const clattn_tensor *lses,
                          const clattn_tensor *out, const clattn_tensor *lse);
clattn_status ca_op_initialise(struct ca_call *c, clattn_initialiser how, double gain, uint64_t seed, uint64_t offset,
                               const clattn_tensor *out);
/* Enqueues KERNEL of C, or runs it on the host; UNITS of it, on what MEM or T holds. */
clattn_status ca_call_enqueue(clattn_context *ctx, const struct ca_call *c, const struct ca_kernel *kernel, int64_t units,
                              const cl_mem mem[CA_OPERANDS], struct chain *chain);
int ca_call_threads(const struct ca_call *c);
/* landmark.c: attention through few keys */
clattn_status ca_op_linformer(struct ca_call *c, const clattn_tensor *q, const clattn_tensor *k, const clattn_tensor *v, const clattn_tensor *e,
                              const clattn_tensor *f, clattn_layout layout, double scale, const clattn_tensor *out);
clattn_status ca_op_nystrom(struct ca_call *c, const clattn_tensor *q, const clattn_tensor *k, const clattn_tensor *v, int64_t landmarks,
                            clattn_layout layout, double scale, const clattn_tensor *out);
size_t ca_landmark_bytes(const struct ca_call *c); /* beyond the tensors, of one of these two that was run */

/* linear.c */
void ca_linear_defaults(clattn_linear *l);
const char *ca_linear_rule_name(int rule); /* NULL after the last */
const char *ca_linear_map_name(int map);
int64_t ca_linear_features(int map, int64_t K, int64_t M); /* M: rows of favor's projection */
clattn_status ca_op_linear(struct ca_call *c, const clattn_linear *linear, const clattn_linear_tensors *t);
clattn_status ca_op_mamba2_ssd(struct ca_call *c, const clattn_linear_tensors *t, int64_t chunk);
/* How C, one of these two, is computed on DEV, or would be with this CHUNK (0: as it says); E_... when it could not. */
struct ca_linear_form {
    const char *name;          /* "recurrent", "chunked" */
    char params[64], options[256]; /* of the kernel */
    const char *reason;
    double cost_ms;
    size_t workspace;          /* bytes */
};
clattn_status ca_linear_plan(const struct ca_call *c, const struct device *dev, int64_t chunk, struct ca_linear_form *form);
double ca_linear_flops(const struct ca_call *c); /* of reading and updating the states, token by token */
double ca_linear_bytes(const struct ca_call *c); /* of the tensors */
clattn_status ca_op_favor_projection(struct ca_call *c, uint64_t seed, uint64_t offset, const clattn_tensor *projection);
/* Elements in the axes FROM ... TO - 1; a tensor's own are known to multiply without overflow. */
int64_t ca_elements(const clattn_tensor *t, int from, int to);
/* E_ARGUMENT when there is no such activation. */
clattn_status ca_activation_known(clattn_activation activation);

#endif
