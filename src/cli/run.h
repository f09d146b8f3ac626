/* run.h -- running cases: what all cases of a process share, and the operations that can be run. */
#ifndef CA_CLI_RUN_H
#define CA_CLI_RUN_H

#include <stdbool.h>
#include "cli/case.h"
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

/* pattern.c: the case's pattern, if it has one, as T and A->pattern. */
clattn_status ca_case_pattern(const struct case_file *c, struct ca_tree *t, clattn_attention *a);
/* Sorts the columns of each row of a graph, of which cases say nothing, and the edges' biases with them, if there are any; rows that are none are
 * left to the library. */
clattn_status ca_sort_columns(const struct ca_npy *row_ptr, struct ca_npy *col_idx, struct ca_npy *bias);

/* around.c: the operations around attention */
bool ca_around_check(struct case_file *c);
int ca_around_run(struct runner *r, struct case_file *c);

/* compare.c */
struct difference { double absolute, relative; size_t wrong, total; };
/* Compares with the expected data; true when every element is within the tolerance. */
bool ca_compare(const struct ca_npy *a, const struct ca_npy *want, double rtol, double atol, struct difference *d);
/* Element I as a number; <u2 is bf16. */
double ca_npy_get(const struct ca_npy *a, size_t i);
/* A copy in another floating type. */
clattn_status ca_npy_convert(const struct ca_npy *a, enum ca_npy_type type, struct ca_npy *copy);

#endif
