/* flash_bf16.c -- the host's kernels for bf16 storage; see kernels.h. */
#define STORAGE 2
#define TYPE bf16
#include "host/kernels.h"
