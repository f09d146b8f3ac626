/* trees.c -- the trees of cl/pattern.h on the host: one copy, whatever the instruction set. */
#define CA_PATTERN_TREES
#include "optional.h"
