/* host.c -- the kernels of cl/norm.cl and cl/element.cl, compiled for the host. */
#pragma GCC diagnostic ignored "-Wunused-parameter" /* all kernels take all operands */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"       /* OpenCL C's conversions */
#include "item.h"
#include "norm.cl"
#include "element.cl"

/* X(file, kernel, lanes share a row) */
#define KERNELS(X) \
    X(norm, softmax, true) X(norm, norm, true) X(element, activate, false) X(element, convert, false) \
    X(element, rope, false) X(element, relative_bias, false) X(element, scatter, false) X(element, causal_conv, false) \
    X(element, merge, false) X(element, matmul, false) X(element, landmarks, false) X(element, inverse_start, false)
#define DEFINE(source, name, shared) \
    const struct ca_kernel ca_k_##name = { #source, "op_" #name, shared, ca_item_##name };
KERNELS(DEFINE)
#define ADDRESS(source, name, shared) &ca_k_##name,
const struct ca_kernel *const ca_op_kernels[] = { KERNELS(ADDRESS) NULL };
