/* status.h -- how errors travel: a code up the call chain, and one message per
 * thread.  The first message wins: it is set where the fault is known best. */
#ifndef CA_STATUS_H
#define CA_STATUS_H

#include "clattn.h"

/* Records the message (unless one is recorded already) and returns ST, so that
 * "return ca_fail(CLATTN_E_ARGUMENT, ...)" is one line. */
clattn_status ca_fail(clattn_status st, const char *format, ...) __attribute__((format(printf, 2, 3)));
clattn_status ca_no_memory(size_t bytes, const char *what);

void ca_message_clear(void);      /* at the entry of every public call, and where a failure was dealt with */
const char *ca_message(void);

/* The only two control-flow macros.  CA_TRY needs a local "st" and a label "done". */
#define CA_TRY(call) do { if ((st = (call)) != CLATTN_OK) goto done; } while (0)
#define CA_REQUIRE(cond, status, ...) do { if (!(cond)) return ca_fail(status, __VA_ARGS__); } while (0)

/* Messages about what went on, to standard error, only if the user asked by
 * CLATTN_LOG=1 (warnings), 2 (decisions), 3 (builds), 4 (launches). */
void ca_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* secure_getenv; "" counts as unset. */
const char *ca_getenv(const char *name);

#endif
