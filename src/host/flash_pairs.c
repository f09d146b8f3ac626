/* flash_pairs.c -- the host's tiles for bf16 storage whose products are of pairs of bf16 (cl/flash.h): by the processor's instruction where ISA is bf16,
 * else by its twin, which anything can run and so tests. */
#define STORAGE 2
#define PAIRS 1
#include "host/tiles.h"

extern const struct host_kernels SYMBOL(ISA, pairs);
const struct host_kernels SYMBOL(ISA, pairs) = { .lanes = VL, .wide_rows = WIDE * VL, .narrow_rows = VL, .scratch = tile_scratch, .wide = wide, .narrow = narrow };
