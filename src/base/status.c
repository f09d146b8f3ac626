/* status.c -- one message per thread, the log, and the environment. */
#define _GNU_SOURCE
#include "base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local char message[8192];

clattn_status ca_fail(clattn_status st, const char *format, ...)
{
    if (!message[0]) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(message, sizeof message, format, ap);
        va_end(ap);
        ca_log(2, "%s", message);
    }
    return st;
}

clattn_status ca_no_memory(size_t bytes, const char *what)
{
    return ca_fail(CLATTN_E_MEMORY, "no memory: %zu bytes for %s", bytes, what);
}

void ca_message_clear(void) { message[0] = 0; }
const char *ca_message(void) { return message; }

const char *ca_getenv(const char *name)
{
    const char *value = secure_getenv(name);
    return value && value[0] ? value : NULL;
}

void ca_log(int level, const char *format, ...)
{
    const char *wanted = ca_getenv("CLATTN_LOG");
    if (!wanted || atoi(wanted) < level) return;
    char line[8192];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    fprintf(stderr, "clattn: %s\n", line);
}
