/* clock.h -- seconds on the monotonic clock. */
#ifndef CA_CLOCK_H
#define CA_CLOCK_H
#include <time.h>
static inline double ca_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#endif
