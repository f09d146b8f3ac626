/* scene.h -- one call of an operation around attention, and the ways in which it is run: on pointers, on device memory
 * behind an event and with one, in place.  Every way has to give the same bits, and to leave alone what is around the
 * outputs, and the inputs. */
#ifndef SCENE_H
#define SCENE_H

#include "property.h"

enum { SCENE_ARGS = 13, SCENE_GUARD = 64 };

/* One tensor: its numbers, and their form in memory between guards. */
struct arg {
    const char *name;          /* NULL: none */
    clattn_dtype type;
    int rank;
    int64_t shape[8];
    bool output;
    double *v;
    char *raw;
    cl_mem mem;
};

struct scene {
    char what[160];
    struct arg a[SCENE_ARGS];
    int in_place;              /* this output may lie in argument 0's memory; 0: none */
    int k[4];
    double eps;
    clattn_status (*call)(const struct scene *, clattn_context *, const clattn_tensor *const t[SCENE_ARGS],
                          const clattn_launch *);
};
/* What a scene's call is. */
#define CALL(name) \
    static clattn_status name(const struct scene *s, clattn_context *ctx, const clattn_tensor *const t[SCENE_ARGS], \
                              const clattn_launch *l)

#define SHAPE(...) (int)(sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (const int64_t[]){ __VA_ARGS__ }
struct arg *add(struct scene *s, int k, const char *name, clattn_dtype type, bool output, int rank,
                const int64_t *shape);
size_t count_of(const struct arg *a);
double *numbers(size_t n);         /* zeros */
double rounded(clattn_dtype type, double x);
/* Numbers of mean MEAN and deviation DEVIATION, as the type has them. */
void draw(struct arg *a, uint64_t seed, double mean, double deviation);
void free_scene(struct scene *s);

/* Runs S in all ways; the numbers of its outputs are then in v.  False, with a failure counted, when a call failed. */
bool run(struct scene *s);
/* The same in device memory alone, where indices are not looked at before; HOW is for messages. */
void run_mem(struct scene *s, const char *how);

/* The bound, for every element of argument K: |got - exact| <= 2 rho c + ulp(exact).  UNIT is c, what the element's
 * rounding errors are relative to; rho is the largest error, in units of c, of the same computation done plainly in
 * f32. */
void judge(const struct scene *s, int k, const double *exact, const double *plain, const double *unit);
double rho_of(size_t count, const double *exact, const double *plain, const double *unit);
/* RHO: as seen with other numbers, where these are few: the plain computation may be lucky. */
void judge_with(double rho, const struct scene *s, int k, const double *exact, const double *unit);
void judge_same(const struct scene *s, int k, const double *exact); /* exactly these, rounded to the type */

#endif
