/* memory.c -- what executions on the host need beside their tensors.  Of all the threads that execute a plan at once, one at a time has its spare
 * block; the others' are their own. */
#include "algo/algo.h"
#include <stdatomic.h>
#include <stdlib.h>
#include "base/status.h"

struct spare { _Atomic(void *) block; };
#define HEAD 64 /* before a block: its size */

clattn_status ca_spare_create(struct spare **spare)
{
    *spare = calloc(1, sizeof **spare);
    return *spare ? CLATTN_OK : ca_no_memory(sizeof **spare, "a plan");
}

void *ca_spare_take(struct spare *spare, size_t bytes)
{
    char *block = atomic_exchange(&spare->block, NULL);
    if (block && *(size_t *)block >= bytes) return block + HEAD;
    free(block);
    if (bytes > SIZE_MAX / 2) return NULL;
    block = aligned_alloc(HEAD, (bytes + 2 * HEAD - 1) / HEAD * HEAD);
    if (!block) return NULL;
    *(size_t *)block = bytes;
    return block + HEAD;
}

void ca_spare_give(struct spare *spare, void *memory)
{
    if (memory) free(atomic_exchange(&spare->block, (char *)memory - HEAD));
}

void ca_spare_destroy(struct spare *spare)
{
    if (spare) free(atomic_load(&spare->block));
    free(spare);
}
