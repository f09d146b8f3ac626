/* elements.c -- elements as numbers: conversion between storage types, and the comparison of --check,
 * |a - b| <= atol + rtol |b|. */
#include <math.h>
#include <string.h>
#include "base/half.h"
#include "cli/run.h"

double ca_npy_get(const struct ca_npy *a, size_t i)
{
    switch (a->type) {
    case CA_NPY_F4: return ((const float *)a->data)[i];
    case CA_NPY_F8: return ((const double *)a->data)[i];
    case CA_NPY_F2: return ca_f16_to_f32(((const uint16_t *)a->data)[i]);
    case CA_NPY_U2: return ca_bf16_to_f32(((const uint16_t *)a->data)[i]);
    case CA_NPY_I4: return ((const int32_t *)a->data)[i];
    case CA_NPY_I8: return (double)((const int64_t *)a->data)[i];
    case CA_NPY_I1: return ((const int8_t *)a->data)[i];
    case CA_NPY_U1: case CA_NPY_B1: return ((const uint8_t *)a->data)[i];
    }
    return NAN;
}

static void put(struct ca_npy *a, size_t i, double x)
{
    if (a->type == CA_NPY_F4) ((float *)a->data)[i] = (float)x;
    if (a->type == CA_NPY_F8) ((double *)a->data)[i] = x;
    if (a->type == CA_NPY_F2) ((uint16_t *)a->data)[i] = ca_f32_to_f16((float)x);
    if (a->type == CA_NPY_U2) ((uint16_t *)a->data)[i] = ca_f32_to_bf16((float)x);
}

clattn_status ca_npy_convert(const struct ca_npy *a, enum ca_npy_type type, struct ca_npy *copy)
{
    clattn_status st = ca_npy_alloc(copy, type, a->rank, a->shape);
    if (st != CLATTN_OK) return st;
    if (type == a->type) memcpy(copy->data, a->data, a->bytes);
    else for (size_t i = 0; i < a->count; i++) put(copy, i, ca_npy_get(a, i));
    return CLATTN_OK;
}

bool ca_compare(const struct ca_npy *a, const struct ca_npy *want, double rtol, double atol, struct difference *d)
{
    *d = (struct difference){.total = want->count};
    for (size_t i = 0; i < want->count; i++) {
        double x = ca_npy_get(a, i), y = ca_npy_get(want, i), error = fabs(x - y);
        if (x == y) continue; /* equal infinities too */
        if (isnan(x) || isnan(y) || isinf(x) || isinf(y)) {
            d->absolute = d->relative = INFINITY;
            d->wrong++;
            continue;
        }
        d->absolute = fmax(d->absolute, error);
        d->relative = fmax(d->relative, error / fabs(y));
        if (!(error <= atol + rtol * fabs(y))) d->wrong++;
    }
    return d->wrong == 0;
}
