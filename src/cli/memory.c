/* memory.c */
#define _GNU_SOURCE
#include "cli/memory.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define LINE ((size_t)64)
#define LARGE_PAGE ((size_t)2 << 20)

void *ca_large_alloc(size_t bytes)
{
    const size_t room = (bytes + 2 * LINE - 1) / LINE * LINE;
    char *p = room > bytes ? aligned_alloc(LINE, room) : NULL;
    if (!p) return NULL;
    char *first = p + (LARGE_PAGE - (uintptr_t)p % LARGE_PAGE) % LARGE_PAGE;
    if (first < p + room && (size_t)(p + room - first) >= LARGE_PAGE)
        (void)madvise(first, (size_t)(p + room - first) / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE); /* only a wish */
    return p;
}
