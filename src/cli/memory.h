/* memory.h -- memory for what is measured. */
#ifndef CA_CLI_MEMORY_H
#define CA_CLI_MEMORY_H

#include <stddef.h>

/* BYTES for tensors, on cache lines, and from there in large pages where the system grants them: with pages of 4 KiB, keys that lie
 * apart cost a look into the page table each, and reading in order is slower too.  Freed by free(). */
void *ca_large_alloc(size_t bytes);

#endif
