/* weights_stats.h -- what attention weights tell: how sharply the rows of a matrix look, and where.  Pure functions
 * of weights that are finite and not negative. */
#ifndef CA_CLI_WEIGHTS_STATS_H
#define CA_CLI_WEIGHTS_STATS_H

#include <stdbool.h>
#include <stdint.h>

#define CA_WEIGHTS_MAX_TOP 64

/* Each row is divided by its sum before it is measured, for with a sink, or after dropout, that is not 1.  The real
 * numbers are sums over the rows that have a key, a weight above 0; so those of several matrices add up. */
struct ca_weights_stats {
    int64_t rows, keyed;
    int64_t collapsed;   /* one key has more than 0.99 of the weight */
    int64_t uniform;     /* entropy above 0.99 of what it can be */
    int64_t off;         /* the sum differs from 1 by more than 0.01 */
    double sum;          /* of the weights, before the division */
    double entropy;      /* in nats */
    double share;        /* entropy / log(keys with a weight above 0); 0 where that is one key */
    double top1, topk;   /* the weight of the heaviest key, and of the heaviest k */
    double diagonal;     /* of key j = p, where p = i + Nk - Nq is the position of query i */
    double first;        /* of key 0 */
    double beyond;       /* of the keys with |p - j| > distance */
};

/* Adds the rows of w [Nq][Nk] to S; 1 <= K <= CA_WEIGHTS_MAX_TOP. */
void ca_weights_add(struct ca_weights_stats *s, const float *w, int64_t Nq, int64_t Nk, int64_t k, int64_t distance);
/* Adds what TO and FROM count. */
void ca_weights_merge(struct ca_weights_stats *to, const struct ca_weights_stats *from);

/* One layer of attention rollout (Abnar & Zuidema 2020): ROLL becomes A ROLL, where A is the mean of the H matrices
 * heads[h] [N][N], plus the identity, its rows divided by their sums.  With FIRST, ROLL becomes A.
 * False: no memory. */
bool ca_rollout_step(double *roll, const float *const *heads, int64_t H, int64_t N, bool first);

/* The indices of the K largest of x[n], largest first, the lower of equal ones first; returns how many: at most n. */
int64_t ca_top(const double *x, int64_t n, int64_t k, int64_t *index);

#endif
