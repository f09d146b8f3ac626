/* plan.h -- the planner: for each algorithm of the table, legal?  parameters?  cost?  then the
 * cheapest that builds.  It names no algorithm. */
#ifndef CA_PLAN_H
#define CA_PLAN_H

#include "algo/algo.h"

/* One row of the ladder. */
struct candidate {
    const struct algo *algo;
    bool legal;
    bool no_param;             /* not legal because the user named a parameter that it lacks */
    char reason[256];          /* when not legal, or when its build failed */
    struct params params;
    const char *source;
    char origin[700];          /* of wisdom: which record's */
    double cost_ms, guess_ms;  /* as measured, or as guessed; as guessed */
    bool measured;
};
#define CA_MAX_CANDIDATES 16
/* Fills the ladder, cheapest legal first; returns its length.  PARAMS as of ca_plan_create, NULL: none. */
size_t ca_ladder(const struct problem *p, const struct device *dev, const char *params, struct candidate c[CA_MAX_CANDIDATES]);

/* Would C, which is legal, also run with VALUE for parameter number PARAM? */
bool ca_can_try(const struct candidate *c, int param, int value, const struct problem *p, const struct device *dev);

/* The cheapest algorithm that builds, or ALGORITHM alone.  PARAMS ("rm=4 rn=4") sets some or all of its parameters;
 * both may be NULL.  Why the others were passed over is kept in the plan's explanation. */
clattn_status ca_plan_create(clattn_context *ctx, const struct problem *p, const char *algorithm, const char *params,
                             struct clattn_plan **plan);
/* The same on CTX's own device, whatever other members it has. */
clattn_status ca_plan_create_alone(clattn_context *ctx, const struct problem *p, const char *algorithm, const char *params, struct clattn_plan **plan);
void ca_plan_destroy(struct clattn_plan *plan);

/* "rm=4 rn=4" of ALGO's parameters. */
size_t ca_params_print(const struct algo *algo, const struct params *t, char *text, size_t size);
clattn_status ca_params_check(const char *params); /* is it such a text? */
bool ca_params_name(const char *params, const struct algo *algo, int param); /* does it set this one? */

/* Checks the io, which holds device memory, and enqueues on C->queue after C's wait list; C->last is then the
 * event of the last command.  Without io->workspace one is made for this execution. */
clattn_status ca_plan_enqueue(const struct clattn_plan *plan, struct io *io, struct chain *c);
/* Runs to the end on ordinary memory (t[].host set): host back end, or through staging buffers. */
clattn_status ca_plan_run_host(const struct clattn_plan *plan, struct io *io);

/* trial.c: judges a device, or one algorithm on it (struct trial). */
struct trial;
void ca_plan_trial(const struct device *dev, struct trial *t);
/* False when C gave wrong answers on CTX's device, or ended the process; where it was not tried yet on problems of P's kind, it is now. */
bool ca_trial_vouches(clattn_context *ctx, const struct problem *p, const struct candidate *c);

#endif
