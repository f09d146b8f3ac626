/* sized.h -- the size field that public structs begin with.  It tells which version of the header the caller
 * was compiled with.  A larger struct than ours is understood as long as what it adds is left zero. */
#ifndef CA_SIZED_H
#define CA_SIZED_H

#include "base/status.h"

#define CA_MAX_STRUCT 4096 /* larger "sizes" are rather memory that nobody initialised */

static inline clattn_status ca_check_size(const void *s, size_t size, size_t known, const char *name)
{
    CA_REQUIRE(size >= known, CLATTN_E_ARGUMENT, "size of %s is %zu, should be sizeof(%s) = %zu", name, size, name,
               known);
    CA_REQUIRE(size <= CA_MAX_STRUCT, CLATTN_E_ARGUMENT, "size of %s is %zu, more than any version has", name, size);
    for (size_t i = known; i < size; i++)
        CA_REQUIRE(((const unsigned char *)s)[i] == 0, CLATTN_E_UNSUPPORTED,
                   "%s of size %zu uses byte %zu, this library knows the first %zu", name, size, i, known);
    return CLATTN_OK;
}

#endif
