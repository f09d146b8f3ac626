/* linear.h -- problem strings of linear attention, "linear f32 b1 h8/2 n65536 d64/128 rule=gated_delta map=favor:256 chunk=64":
 *
 *     rule=linear|gated|delta|gated_delta   map=identity|elu1|relu|exp|square|taylor2|favor:M|cos|softmax   chunk=N   normalize
 *     l2norm_qk   causal=false   gate=dim (decays by key dim)   u      and TYPE bB hHq/Hkv nT dK/V layout= scale=
 *
 * The state goes in and out, in place, where there is one to begin with. */
#ifndef CA_CLI_LINEAR_H
#define CA_CLI_LINEAR_H

#include "cli/sample.h"
#include "ops/ops.h"

/* Is this the string of a linear attention? */
bool ca_is_linear(const char *text);

struct linear_sample {
    clattn_context *ctx;
    struct ca_call call;
    char problem[256];                 /* its string */
    void *host[CA_OPERANDS];
    cl_mem mem[CA_OPERANDS];
};
/* Reads TEXT and draws its tensors; with CTX NULL only describes them. */
clattn_status ca_linear_sample_create(clattn_context *ctx, const char *text, uint64_t seed, struct linear_sample *s);
clattn_status ca_linear_sample_time(const struct linear_sample *s, double seconds, struct timing *t);
void ca_linear_sample_free(struct linear_sample *s);

#endif
