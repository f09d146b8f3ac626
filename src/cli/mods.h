/* mods.h -- the user's functions as the command reads them: attributes of a case, and mod=FILE in a problem string. */
#ifndef CA_CLI_MODS_H
#define CA_CLI_MODS_H

#include <jansson.h>
#include "problem/problem.h"

/* What a descriptor points to. */
struct mod_texts { char buffers[512], scalars[1024]; };
/* score_mod, mask_mod, tile_class, mod_scalars and the names in mod_buffers (a list, or an object's keys) of ATTRS, whose texts A
 * then shares; the caller knows the lengths. */
void ca_mods_describe(const json_t *attrs, struct mod_texts *t, clattn_attention *a);

/* A problem string's descriptor, with the functions of the file that mod=FILE names: an object with a case's attributes
 * score_mod, mask_mod, tile_class and mod_scalars, and mod_buffers as an object, name: number of elements.  And with the graph that
 * pattern=csr:FILE names (graph.h), in lengths.tree. */
struct cli_problem { clattn_attention a; struct ca_lengths lengths; struct mod_texts texts; json_t *mods; };
clattn_status ca_cli_problem(const char *text, struct cli_problem *p);
void ca_cli_problem_free(struct cli_problem *p);

#endif
