/* host.c -- the kernels of cl/norm.cl and cl/element.cl, compiled for the host. */
#pragma GCC diagnostic ignored "-Wunused-parameter" /* all kernels take all operands */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"       /* OpenCL C's conversions */
#include "item.h"
#include "norm.cl"
#include "element.cl"

#define KERNEL_OF(source, name, shared) \
    const struct ca_kernel ca_k_##name = { #source, "op_" #name, shared, ca_item_##name };
KERNEL_OF(norm, softmax, true)
KERNEL_OF(norm, norm, true)
KERNEL_OF(element, activate, false)
KERNEL_OF(element, convert, false)
KERNEL_OF(element, rope, false)
KERNEL_OF(element, relative_bias, false)
KERNEL_OF(element, scatter, false)
KERNEL_OF(element, causal_conv, false)
KERNEL_OF(element, merge, false)
