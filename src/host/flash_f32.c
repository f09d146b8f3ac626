/* flash_f32.c -- the host's kernels for f32 storage; see kernels.h. */
#define STORAGE 0
#define TYPE f32
#include "host/kernels.h"
