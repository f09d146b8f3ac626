/* text.h -- text that grows piece by piece into a buffer of fixed size.  The length counts on when the buffer
 * is full or absent, so that one function both measures and fills. */
#ifndef CA_TEXT_H
#define CA_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct ca_text { char *start; size_t size, length; };

static inline void ca_text_put(struct ca_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void ca_text_put(struct ca_text *t, const char *format, ...)
{
    size_t room = t->length < t->size ? t->size - t->length : 0;
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(room ? t->start + t->length : NULL, room, format, ap);
    va_end(ap);
    if (n > 0) t->length += (size_t)n;
}

#endif
