/* tensors.h -- axes and strides, which tensors.c and problem.c share; what others need of them is in problem.h. */
#ifndef CA_PROBLEM_TENSORS_H
#define CA_PROBLEM_TENSORS_H

#include "problem/problem.h"

/* The sizes of a tensor's axes, in the order of struct ca_strides. */
struct axes { int64_t n[4]; };

struct axes ca_slot_axes(const struct problem *p, enum ca_slot s);
void ca_slot_strides(const struct problem *p, enum ca_slot s, const struct axes *x, int64_t stride[4]); /* X: its axes */
bool ca_axes_empty(const struct axes *x);
/* The stride of each axis of a tensor that is packed in this order; false when one does not fit. */
bool ca_axes_packed(const struct axes *x, clattn_layout layout, int64_t stride[4]);
/* 1 + the largest distance between two elements; false when that does not fit. */
bool ca_axes_extent(const struct axes *x, const int64_t stride[4], int64_t *elements);
/* Do the axes nest, so that no two elements share a place? */
bool ca_axes_nest(const struct axes *x, const int64_t stride[4]);
/* An axis of one element has no stride that matters: it gets the packed one, so that equal problems are equal. */
void ca_axes_canonical(const struct axes *x, int64_t stride[4]);

#endif
