/* weights_stats.c -- statistics of attention weights, and attention rollout. */
#include "cli/weights_stats.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARP 0.99    /* of the weight on one key: collapsed; of the greatest entropy: uniform */
#define SUM_TOLERANCE 0.01

/* Keeps the K largest in top[], largest first. */
static void keep(float *top, int64_t k, float x)
{
    if (x <= top[k - 1]) return;
    int64_t n = k - 1;
    for (; n > 0 && top[n - 1] < x; n--) top[n] = top[n - 1];
    top[n] = x;
}

static void add_row(struct ca_weights_stats *s, const float *w, int64_t Nk, int64_t p, int64_t k, int64_t distance)
{
    float top[CA_WEIGHTS_MAX_TOP] = {0};
    double sum = 0, logs = 0, beyond = 0, topk = 0;
    int64_t keys = 0;
    for (int64_t j = 0; j < Nk; j++) {
        if (!(w[j] > 0)) continue;
        keys++;
        sum += w[j];
        logs += w[j] * log(w[j]);
        if (llabs(p - j) > distance) beyond += w[j];
        keep(top, k, w[j]);
    }
    s->rows++;
    if (!keys) return;
    for (int64_t n = 0; n < k; n++) topk += top[n];
    /* Of w / sum.  Rounding may leave a trace below 0, or above the greatest there can be. */
    double entropy = fmax(log(sum) - logs / sum, 0), share = keys > 1 ? fmin(entropy / log((double)keys), 1) : 0;
    s->keyed++;
    s->collapsed += top[0] / sum > SHARP;
    s->uniform += share > SHARP;
    s->off += fabs(sum - 1) > SUM_TOLERANCE;
    s->sum += sum;
    s->entropy += entropy;
    s->share += share;
    s->top1 += top[0] / sum;
    s->topk += topk / sum;
    s->diagonal += p >= 0 && p < Nk ? w[p] / sum : 0;
    s->first += w[0] / sum;
    s->beyond += beyond / sum;
}

void ca_weights_add(struct ca_weights_stats *s, const float *w, int64_t Nq, int64_t Nk, int64_t k, int64_t distance)
{
    for (int64_t i = 0; i < Nq; i++) add_row(s, w + i * Nk, Nk, i + Nk - Nq, k, distance);
}

void ca_weights_merge(struct ca_weights_stats *to, const struct ca_weights_stats *from)
{
    to->rows += from->rows;
    to->keyed += from->keyed;
    to->collapsed += from->collapsed;
    to->uniform += from->uniform;
    to->off += from->off;
    to->sum += from->sum;
    to->entropy += from->entropy;
    to->share += from->share;
    to->top1 += from->top1;
    to->topk += from->topk;
    to->diagonal += from->diagonal;
    to->first += from->first;
    to->beyond += from->beyond;
}

/* ------------------------------------------------------------------ rollout */

bool ca_rollout_step(double *roll, const float *const *heads, int64_t H, int64_t N, bool first)
{
    size_t bytes = (size_t)N * (size_t)N * sizeof(double);
    double *next = calloc(1, bytes);
    if (!next) return false;
#pragma omp parallel for if (N > 128)
    for (int64_t i = 0; i < N; i++) {
        double total = 1; /* of row i of the mean, plus the identity */
        for (int64_t h = 0; h < H; h++)
            for (int64_t m = 0; m < N; m++) total += heads[h][i * N + m] / (double)H;
        for (int64_t m = 0; m < N; m++) {
            double a = m == i;
            for (int64_t h = 0; h < H; h++) a += heads[h][i * N + m] / (double)H;
            a /= total;
            if (first) next[i * N + m] = a;
            else if (a > 0)
                for (int64_t j = 0; j < N; j++) next[i * N + j] += a * roll[m * N + j];
        }
    }
    memcpy(roll, next, bytes);
    free(next);
    return true;
}

int64_t ca_top(const double *x, int64_t n, int64_t k, int64_t *index)
{
    int64_t count = 0;
    for (int64_t j = 0; j < n; j++) {
        int64_t at = count;
        while (at > 0 && x[index[at - 1]] < x[j]) at--;
        if (at == k) continue;
        if (count < k) count++;
        memmove(index + at + 1, index + at, (size_t)(count - 1 - at) * sizeof *index);
        index[at] = j;
    }
    return count;
}
