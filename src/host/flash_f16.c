/* flash_f16.c -- the host's kernels for f16 storage; see kernels.h. */
#define STORAGE 1
#define TYPE f16
#include "host/kernels.h"
