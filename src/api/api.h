/* api.h -- the exported layer: check the handle and the arguments, call, hand back the status.  It is included first:
 * here the promises of nonnull are left out of the public header, so that the tests for NULL are compiled. */
#ifndef CA_API_H
#define CA_API_H

#define CLATTN_NONNULL(...)
#include "clattn.h"

#include "base/sized.h"
#include "base/status.h"
#include "plan/plan.h"
#include "runtime/inventory.h"

/* Each exported call begins with this: the message is then this call's. */
#define CA_ENTER() ca_message_clear()
#define CA_GIVEN(argument) CA_REQUIRE((argument) != NULL, CLATTN_E_ARGUMENT, #argument " is NULL")

/* Opens what SELECTOR (NULL: the environment, else automatic) chooses. */
clattn_status ca_open_selected(const char *selector, clattn_context **ctx);

/* Runs PLAN on the caller's POINTERS, which are checked. */
clattn_status ca_run_pointers(const clattn_plan *plan, const clattn_pointers *pointers);

/* tune.c: tunes for P, where the helper process can. */
clattn_status ca_tune_for(clattn_context *ctx, const struct problem *p, const clattn_tune_options *o, int starts, clattn_tune_result *result);

/* The device that calls without a context use, opened by the first one.  Leave with the call's status: after a lost
 * device the next one opens another. */
struct session;
clattn_status ca_session_enter(struct session **session, clattn_context **ctx);
void ca_session_leave(struct session *session, clattn_status st);

/* Fills INFO, whose size field is checked, from an inventory entry, and from a device that has none. */
void ca_info_from_entry(const struct inventory_entry *e, clattn_device_info *info);
void ca_info_from_device(const struct device *d, clattn_device_info *info);

#endif
