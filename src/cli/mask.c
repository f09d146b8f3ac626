/* mask.c -- which keys each query of a problem sees: the scores behind all masks, on sample data, are -inf where it does not. */
#include <inttypes.h>
#include <math.h>
#include "base/checked.h"
#include "cli/layer.h"
#include "cli/sample.h"

/* A query's own block is seen key by key, of another one its mean alone: a share of each key. */
static void add_means(const struct problem *p, bool causal, int64_t block, float *seen)
{
    for (int64_t n = 0; n < p->B * p->Hq * p->Nq; n++)
        for (int64_t j = 0; j < p->Nk; j++) {
            const int64_t own = (n % p->Nq + p->offset) / block, other = j / block;
            if (own == other) continue;
            seen[n * p->Nk + j] = !causal || other < own ? 1 / (float)(ca_min((other + 1) * block, p->Nk) - other * block) : 0;
        }
}

clattn_status ca_layer_of_mask(struct runner *r, const char *text, struct ca_layer *l)
{
    struct cli_problem problem;
    struct sample s = {.plan = NULL};
    clattn_status st;
    int64_t block = 0;
    ca_message_clear();
    CA_TRY(ca_cli_problem(text, &problem));
    clattn_attention *a = &problem.a;
    a->weights = CLATTN_WEIGHTS_BIASED;
    if (a->layout == CLATTN_THD) CA_TRY(ca_fail(CLATTN_E_UNSUPPORTED, "%s: the mask of a ragged batch is not drawn", text));
    if (a->pattern && a->pattern->type == CLATTN_HIERARCHICAL) { /* has no such weights: drawn without it, and its means are added */
        struct problem with;
        a->weights = CLATTN_NO_WEIGHTS;
        CA_TRY(ca_problem_init(&with, a));
        if (with.lens || with.left != CA_UNLIMITED) CA_TRY(ca_fail(CLATTN_E_UNSUPPORTED, "%s: hierarchical with lengths or a window is not drawn", text));
        a->weights = CLATTN_WEIGHTS_BIASED;
        block = a->pattern->block;
        a->pattern = NULL;
    }
    CA_TRY(ca_runner_open(r));
    CA_TRY(ca_sample_create(r->ctx, a, &problem.lengths, &(clattn_plan_options){.size = sizeof(clattn_plan_options)}, NULL, 1, &s));
    l->B = s.p->B, l->H = s.p->Hq, l->Nq = s.p->Nq, l->Nk = s.p->Nk;
    if (l->B * l->H * l->Nq * l->Nk == 0) CA_TRY(ca_fail(CLATTN_E_ARGUMENT, "%s: has no query or no key", text));
    CA_TRY(ca_npy_alloc(&l->w, CA_NPY_F4, 4, (const int64_t[]){l->B, l->H, l->Nq, l->Nk}));
    CA_TRY(ca_sample_run(&s, true));
    CA_TRY(ca_sample_read(&s, CA_WEIGHTS, l->w.data));
    for (size_t n = 0; n < l->w.count; n++) ((float *)l->w.data)[n] = ((float *)l->w.data)[n] > -INFINITY;
    if (block) add_means(s.p, a->causal, block, l->w.data);
done:
    ca_sample_free(&s);
    ca_cli_problem_free(&problem);
    return st;
}
