/* checked.h -- sizes multiply and add through here, so that they cannot wrap. */
#ifndef CA_CHECKED_H
#define CA_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool ca_mul(size_t a, size_t b, size_t *product) { return !__builtin_mul_overflow(a, b, product); }
static inline bool ca_add(size_t a, size_t b, size_t *sum) { return !__builtin_add_overflow(a, b, sum); }
static inline bool ca_mul64(int64_t a, int64_t b, int64_t *product) { return !__builtin_mul_overflow(a, b, product); }
static inline bool ca_add64(int64_t a, int64_t b, int64_t *sum) { return !__builtin_add_overflow(a, b, sum); }
static inline int64_t ca_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t ca_round_up(int64_t a, int64_t b) { return ca_ceil_div(a, b) * b; }
static inline int64_t ca_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ca_max(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
