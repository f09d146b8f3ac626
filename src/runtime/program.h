/* program.h -- the only place that builds programs.  A program is found in memory, else on disk,
 * else compiled from the embedded text; kernels come from a free list, since two threads must
 * never share a cl_kernel between setting its arguments and enqueuing it. */
#ifndef CA_PROGRAM_H
#define CA_PROGRAM_H

#include "runtime/context.h"

/* The embedded texts of cl/, includes resolved; made by src/embed.sh. */
struct ca_source { const char *name; const char *text; size_t length; };
extern const struct ca_source ca_sources[];   /* ends with name NULL */

/* Finds or builds SOURCE ("lanes" for cl/lanes.cl) with OPTIONS; owned by the context.
 * On failure nothing is kept, and the message holds the end of the compiler's log. */
clattn_status ca_program_get(clattn_context *ctx, const char *source, const char *options, struct program **program);

/* The same with a USER's text before it ("": none), which is part of what the program is found by. */
clattn_status ca_program_get_with(clattn_context *ctx, const char *source, const char *user, const char *options,
                                  struct program **program);

/* Borrows a kernel object; give it back after the enqueue. */
clattn_status ca_kernel_take(clattn_context *ctx, struct program *program, const char *name, cl_kernel *kernel);
void ca_kernel_give(clattn_context *ctx, struct program *program, const char *name, cl_kernel kernel);

/* Largest work-group that the device can run this kernel with (it may be less than the device's own). */
clattn_status ca_kernel_max_group(clattn_context *ctx, struct program *program, const char *name, size_t *size);

/* Frees the programs; RELEASE false forgets their OpenCL objects without touching them. */
void ca_programs_free(clattn_context *ctx, bool release);

/* cache.c: binaries on disk.  An entry is only used when all that its bytes depend on is stored in it and equal.
 * The caller removes what turns out not to build. */
struct ca_cache_key { char *text; size_t length; char name[80]; };
clattn_status ca_cache_key_make(const struct device *dev, const struct ca_source *source, const char *options,
                                struct ca_cache_key *key);
void ca_cache_key_free(struct ca_cache_key *key);
bool ca_cache_load(const struct ca_cache_key *key, unsigned char **binary, size_t *size);
bool ca_cache_save(const struct ca_cache_key *key, const unsigned char *binary, size_t size);

#endif
