/* run.h -- running cases: what all cases of a process share, and the operations that can be run. */
#ifndef CA_CLI_RUN_H
#define CA_CLI_RUN_H

#include <stdbool.h>
#include "cli/case.h"
#include "cli/mods.h"
#include "problem/problem.h"
#include "clattn.h"

/* How a case ended; the words are in the library's message, or in runner.reason when it was skipped. */
enum outcome { CASE_DONE, CASE_FAILED, CASE_BAD, CASE_SKIPPED };

struct kept_plan { struct problem p; clattn_plan *plan; };

struct runner {
    const char *selector, *algorithm;   /* NULL: automatic */
    clattn_context *ctx;                /* opened when the first case needs it */
    clattn_device_info device;
    struct kept_plan *plans;            /* a problem is planned once */
    size_t num_plans;
    char reason[1024];
};

clattn_status ca_runner_open(struct runner *r);
void ca_runner_close(struct runner *r);
/* The plan for A, made or kept; it stays the runner's. */
clattn_status ca_runner_plan(struct runner *r, const clattn_attention *a, clattn_plan **plan);
/* What a failed call of the library means for a case; moves the message to the reason when it is skipped. */
int ca_runner_outcome(struct runner *r, clattn_status st);

/* attention.c */
bool ca_attention_check(struct case_file *c);
int ca_attention_run(struct runner *r, struct case_file *c);
/* A case as the library takes it: its tensors by slot, which are C's or were converted. */
struct attention_case {
    clattn_attention a;
    struct mod_texts texts;     /* what A points to */
    struct ca_tree tree;
    const void *data[CA_SLOTS];
    struct ca_npy in[CA_SLOTS]; /* what had to be converted */
};
/* An outcome; R gets the reason.  C outlives W, and W is not moved. */
int ca_attention_take(struct runner *r, const struct case_file *c, struct attention_case *w);
void ca_attention_free(struct attention_case *w);

/* pattern.c: the case's pattern, if it has one, as T and A->pattern. */
clattn_status ca_case_pattern(const struct case_file *c, struct ca_tree *t, clattn_attention *a);

/* around.c: the operations around attention */
bool ca_around_check(struct case_file *c);
int ca_around_run(struct runner *r, struct case_file *c);

/* elements.c */
struct difference { double absolute, relative; size_t wrong, total; };
/* Compares with the expected data; true when every element is within the tolerance. */
bool ca_compare(const struct ca_npy *a, const struct ca_npy *want, double rtol, double atol, struct difference *d);
/* Element I as a number; <u2 is bf16. */
double ca_npy_get(const struct ca_npy *a, size_t i);
/* A copy in another floating type. */
clattn_status ca_npy_convert(const struct ca_npy *a, enum ca_npy_type type, struct ca_npy *copy);

#endif
