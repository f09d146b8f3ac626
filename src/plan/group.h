/* group.h -- plans on several devices at once. */
#ifndef CA_GROUP_H
#define CA_GROUP_H

#include "plan/plan.h"
#include "plan/run.h"

struct group;
/* Plans P on CTX, which has several members: on all of them, or, where P cannot be divided or is not worth it, on the fastest alone. */
clattn_status ca_group_plan(clattn_context *ctx, const struct problem *p, const char *algorithm, const char *params, struct clattn_plan **plan);
void ca_group_destroy(struct group *g);
/* Executes PLAN, which has a group, on ordinary memory, whose values were checked. */
clattn_status ca_group_run(const struct clattn_plan *plan, const struct io *io);
/* "PROBLEM on A + B", then the shares that they have now, boxes and algorithms. */
struct ca_text;
void ca_group_explain(const struct clattn_plan *plan, struct ca_text *t);
/* The share of all work that member K has now. */
double ca_group_share(const struct clattn_plan *plan, int k);

#endif
