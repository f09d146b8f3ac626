/* property.h -- tools of the tests that need no reference result: a few small problems on every legal
 * algorithm, and ways to say that two results agree.
 *
 * Two results that are equal in exact arithmetic but were summed in different orders are `close`; where the
 * same sums are done in the same order the bits must be equal. */
#ifndef PROPERTY_H
#define PROPERTY_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "attend.h"

/* The kernels that the properties are built from: few, since building takes longest. */
enum { KINDS = 3 };
extern const struct kind { clattn_dtype dtype; int D; } kinds[KINDS];

int small_or(int small, int usual);                /* the first on a device that is slow */
struct shape base(int kind);
size_t out_count(const struct shape *s);
size_t k_count(const struct shape *s);
size_t v_count(const struct shape *s);
float *row_of(float *x, int m, int rows, int width, int j); /* row J of matrix M */
int kv_head(const struct shape *s, size_t row);    /* the matrix of K and V that an output row uses */
void fill(float *x, size_t n, float value);
/* Multiples of 1/8 below 2 in size: sums of two and small multiples stay exact in every type. */
void make_eighths(float *x, size_t n, uint64_t seed);

/* A property of S on ALGO with the data D, which it may change. */
typedef void property(const struct shape *s, const char *algo, struct data *d);
/* PROPERTY on every legal algorithm, each time with fresh data; of features and 16-bit types a device with a share (below) takes its own
 * kernels alone. */
void on_every_algo(struct shape s, property *f);
/* Devices whose compilers are slow share work: with CLATTN_SHARE=K/N a device takes what has the number K, K + N, ...; else all. */
bool in_share(unsigned n);
/* Runs ALGO; a derived problem that is empty goes to what the planner chooses. */
bool solve(const struct shape *s, const char *algo, const struct data *d, struct result *r);

double tolerance(const struct shape *s);           /* a few roundings of values below 4 */
bool near(double a, double b, double tol);         /* relative beyond 1; NaN is near nothing */
bool all_near(const float *a, const float *b, size_t n, double tol);
void expect(bool right, const struct shape *s, const char *algo, const char *what);
void expect_close(const struct shape *s, const char *algo, const struct result *a, const struct result *b,
                  const char *what);
void expect_same(const struct shape *s, const char *algo, const struct result *a, const struct result *b,
                 const char *what);
void finish(void);                                 /* fails the running test when a failure was counted */

struct test { const char *name; const TTest *test; int times; }; /* ends with name NULL */
/* Runs the tests, or the one that CLATTN_TEST names; returns what main does. */
int run_tests(const char *suite, const struct test *tests);

#endif
