/* oracle.c -- see oracle.h.  Plain loops; nothing here is meant to be fast. */
#include "oracle.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ENOUGH_ROWS = 64, SAMPLED_ROWS = 256, SMALL_WORK = 1 << 20, VARIANTS = 8 };

/* ------------------------------------------------------------ number formats */

static const struct { int digits, emin; double max; } format[] = {
    [ORACLE_F32] = { 24, -125, 0x1.fffffep127 }, /* emin as frexp counts: the smallest normal is 2^(emin - 1) */
    [ORACLE_F16] = { 11, -13, 65504 },
    [ORACLE_BF16] = { 8, -125, 0x1.fep127 },
};

double oracle_ulp(enum oracle_type t, double x)
{
    int e = format[t].emin;
    if (x != 0 && isfinite(x)) frexp(x, &e);
    if (e < format[t].emin) e = format[t].emin;
    return ldexp(1, e - format[t].digits);
}

double oracle_round(enum oracle_type t, double x)
{
    if (!isfinite(x)) return x;
    double unit = oracle_ulp(t, x), y = nearbyint(x / unit) * unit;
    return fabs(y) > format[t].max ? copysign(INFINITY, y) : y;
}

/* ---------------------------------------------------------------- one row */

/* Element [b][h][i][j], OUTSIDE where the last axis ends too soon. */
static float at(const struct oracle_tensor *t, long b, long h, long i, long j, float outside)
{
    long place[4] = { b, h, i, j }, e = 0;
    for (int axis = 0; axis < 4; axis++) {
        if (t->n[axis] == 1) place[axis] = 0;
        if (place[axis] >= t->n[axis]) return outside;
        e = e * t->n[axis] + place[axis];
    }
    return t->x[e];
}

/* Which third the rectangle is of: 64 queries by 200 keys, so that there are whole tiles of any kernel in them. */
static long third(long row, long column) { return (row + column) % 3; }
static long row_of_tiles(long p) { return (p + 64000) / 64; } /* p may be negative */

bool oracle_in_tiles(long p, long j)
{
    long n = third(row_of_tiles(p), j / 200);
    return n == 2 || (n == 1 && ((p + j) & 3) != 0);
}

int oracle_tile_class(long p0, long p1, long j0, long j1)
{
    bool any = false, all = true;
    for (long row = row_of_tiles(p0); row <= row_of_tiles(p1 - 1); row++)
        for (long column = j0 / 200; column <= (j1 - 1) / 200; column++) {
            any = any || third(row, column) != 0;
            all = all && third(row, column) == 2;
        }
    return !any ? 0 : all ? 2 : 1;
}

bool oracle_visible(const struct oracle *o, long b, long h, long i, long j)
{
    long p = i + o->offset[b];
    const int listed = o->listed ? o->listed[((b * o->Hq + h) * o->Nq + i) * o->Nk + j] : 1;
    const bool asked = listed < 2; /* is the user's mask? */
    if (!listed) return false;
    if (o->lens && j >= o->lens[b]) return false;
    if (o->causal && j > p) return false;
    if (o->left >= 0 && j < p - o->left) return false;
    if (o->right >= 0 && j > p + o->right) return false;
    if (asked && o->seen == ORACLE_NONE) return false;
    if (asked && o->seen == ORACLE_FOURTHS && ((p + j) & 3) == 0) return false;
    if (asked && o->seen == ORACLE_TILES && !oracle_in_tiles(p, j)) return false;
    if (o->mask.x && at(&o->mask, b, h, i, j, 0) == 0) return false;
    if (o->bias.x && at(&o->bias, b, h, i, j, -INFINITY) == -INFINITY) return false;
    if (oracle_edge(o, h, i, j) == -INFINITY) return false;
    return true;
}

struct row { long b, h, i; };

static struct row row_of(const struct oracle *o, size_t index)
{
    long n = (long)index;
    return (struct row){ .b = n / o->Nq / o->Hq, .h = n / o->Nq % o->Hq, .i = n % o->Nq };
}

static size_t rows(const struct oracle *o) { return (size_t)(o->B * o->Hq * o->Nq); }

/* As the paper has it: ten times (L0, R0, L1, R1) -> (high(M1 L1) ^ R0 ^ k0, low(M1 L1), high(M0 L0) ^ R1 ^ k1, low(M0 L0)). */
double oracle_uniform(uint64_t seed, uint64_t offset, uint64_t block, int word)
{
    uint64_t x[4] = { block % 0x100000000, block / 0x100000000, offset % 0x100000000, offset / 0x100000000 };
    uint64_t key[2] = { seed % 0x100000000, seed / 0x100000000 };
    for (uint64_t round = 0; round < 10; round++) {
        uint64_t a = x[0] * 3528531795, b = x[2] * 3449720151;
        uint64_t k0 = (key[0] + round * 2654435769) % 0x100000000, k1 = (key[1] + round * 3144134277) % 0x100000000;
        x[0] = b / 0x100000000 ^ x[1] ^ k0;
        x[1] = b % 0x100000000;
        x[2] = a / 0x100000000 ^ x[3] ^ k1;
        x[3] = a % 0x100000000;
    }
    return (double)(x[word] / 256) / 16777216;
}

double oracle_keep(const struct oracle *o, size_t row, long j)
{
    if (o->dropout == 0) return 1;
    uint64_t element = (uint64_t)row * (uint64_t)o->Nk + (uint64_t)j;
    double u = oracle_uniform(o->seed, o->drop_offset, element / 4, (int)(element % 4));
    return u >= o->dropout ? 1 / (1 - o->dropout) : 0;
}

static size_t number_of(const struct oracle *o, struct row r) { return (size_t)((r.b * o->Hq + r.h) * o->Nq + r.i); }

struct inputs { const float *q, *k, *v; };

static long query_dims(const struct oracle *o) { return o->Dq ? o->Dq : o->D; }

/* The three matrices that row R needs. */
static struct inputs row_inputs(const struct oracle *o, struct row r, const struct inputs *in)
{
    long kv = r.b * o->Hkv + r.h / (o->Hq / o->Hkv);
    return (struct inputs){ in->q + ((r.b * o->Hq + r.h) * o->Nq + r.i) * query_dims(o),
                            in->k + kv * o->Nk * o->D, in->v + kv * o->Nk * o->Dv };
}

/* scale q.k of key J, after softcap, after bias and ALiBi; MAGNITUDE becomes the size of what was added up. */
static double exact_score(const struct oracle *o, struct row r, const struct inputs *in, long j, enum oracle_stage stage, double *magnitude)
{
    double s = 0;
    *magnitude = 0;
    for (long d = 0; d < o->D; d++) {
        double k = in->k[j * o->D + d], q = in->q[o->score == 2 ? 0 : d], x = q * k;
        if (o->score == 1) x = (o->w_count == 0 ? 1 : o->w[o->w_count == 1 ? 0 : d]) * tanh(o->score_scale * (q + k));
        if (o->score == 3) x = q + k;
        if (o->score == 2) {
            x = 0;
            for (long e = 0; e < query_dims(o); e++) {
                double part = (double)in->q[e] * o->w[e * o->D + d] * k;
                x += part;
                *magnitude += fabs(part * o->scale);
            }
        } else *magnitude += fabs(x * o->scale);
        s += x * o->scale;
    }
    if (o->score == 3 && s < 0) s *= o->w[r.h];
    if (stage >= ORACLE_CAPPED && o->softcap != 0) s = o->softcap * tanh(s / o->softcap);
    if (stage < ORACLE_BIASED) return s;
    double distance = (double)(r.i + o->offset[r.b] - j), gain = o->table ? distance / 8 : 0, table = o->table ? o->table[j % 7] : 0;
    double bias = o->bias.x ? at(&o->bias, r.b, r.h, r.i, j, 0) : 0;
    double edge = oracle_edge(o, r.h, r.i, j);
    double alibi = o->slopes.x ? at(&o->slopes, r.b, r.h, 0, 0, 0) * fabs(distance) : 0;
    *magnitude += fabs(s);
    s += gain + table + bias + edge - alibi;
    *magnitude += fabs(gain) + fabs(table) + fabs(bias) + fabs(edge) + fabs(alibi);
    if (o->pattern && o->pattern->type == ORACLE_ADAPTIVE_SPAN) { /* a factor of the weight */
        double span = log(oracle_span(o, r.h, r.i + o->offset[r.b] - j));
        s += span;
        *magnitude += fabs(span);
    }
    return s;
}

/* For how many keys of row R key J stands: itself, or, in a pattern's other blocks, the first key for all that exist and the rest for
 * none. */
static long stands_for(const struct oracle *o, struct row r, long j)
{
    if (!o->pattern || o->pattern->type != ORACLE_HIERARCHICAL) return 1;
    const long block = o->pattern->block, p = r.i + o->offset[r.b], keys = o->lens ? o->lens[r.b] : o->Nk, left = keys - j;
    if (p >= j / block * block && p < (j / block + 1) * block) return 1;
    return j % block ? 0 : left < block ? left : block;
}

/* The score of a key that stands for N is that of their mean, the mean of theirs before softcap. */
static double mean_score(const struct oracle *o, struct row r, const struct inputs *in, long j, long n)
{
    double s = 0, unused;
    if (n == 1) return exact_score(o, r, in, j, ORACLE_BIASED, &unused);
    for (long e = j; e < j + n; e++) s += exact_score(o, r, in, e, ORACLE_RAW, &unused) / (double)n;
    return o->softcap != 0 ? o->softcap * tanh(s / o->softcap) : s;
}

double oracle_weight(const struct oracle *o, enum oracle_stage stage, size_t row, long j, double *room)
{
    struct row r = row_of(o, row);
    struct inputs in = row_inputs(o, r, &(struct inputs){ o->q, o->k, o->k });
    double magnitude, s = exact_score(o, r, &in, j, stage, &magnitude);
    *room = (double)(o->D + (o->score == 2 ? query_dims(o) : 0) + 8) * 0x1p-24 * magnitude + 0x1p-140;
    if (stage >= ORACLE_BIASED && !oracle_visible(o, r.b, r.h, r.i, j)) return stage == ORACLE_BIASED ? -INFINITY : 0;
    if (stage < ORACLE_PROBS) return s;
    double p = exp(s - o->lse[row]);
    *room = p * (*room + 2 * o->lse_room + 0x1p-20) + 0x1p-125; /* what would soon be subnormal may be 0 */
    return p;
}

/* The exact row, in f64.  C becomes c_i, LOST the part of it that is below the normal f32.  S is scratch for Nk scores. */
static void exact_row(const struct oracle *o, struct row r, const struct inputs *all, double *s, double *out,
                      double *lse, double *c, double *lost)
{
    struct inputs in = row_inputs(o, r, all);
    double m = -INFINITY, l = 0;
    bool any = false;
    long copies = 1; /* each key of a block that is one has its share of the weight */
    for (long j = 0, n; j < o->Nk; j++) {
        if (!oracle_visible(o, r.b, r.h, r.i, j)) continue;
        s[j] = (n = stands_for(o, r, j)) ? mean_score(o, r, &in, j, n) : s[j - 1];
        any = true;
        if (s[j] > m || isnan(s[j])) m = s[j];
        if (isnan(m)) break;
    }
    const double sink = o->sinks.x ? at(&o->sinks, 0, r.h, 0, 0, 0) : -INFINITY;
    *c = *lost = 0;
    *lse = any ? m : sink;
    for (long d = 0; d < o->Dv; d++) out[d] = isnan(m) ? NAN : 0;
    if (!any || isnan(m)) return;
    if (sink > m) m = sink;
    l = exp(sink - m);
    for (long j = 0, n; j < o->Nk; j++)
        if (oracle_visible(o, r.b, r.h, r.i, j)) {
            if ((n = stands_for(o, r, j))) copies = n;
            l += s[j] = exp(s[j] - m) / (double)copies;
            s[j] *= oracle_keep(o, number_of(o, r), j);
        }
    *lse = m + log(l);
    for (long d = 0; d < o->Dv; d++) {
        double sum = 0, size = 0, small = 0;
        for (long j = 0; j < o->Nk; j++) {
            if (!oracle_visible(o, r.b, r.h, r.i, j)) continue;
            double x = s[j] / l * in.v[j * o->Dv + d];
            sum += x;
            size += fabs(x);
            if (s[j] < 0x1p-120 || fabs(s[j] * in.v[j * o->Dv + d]) < 0x1p-120) small += fabs(x);
        }
        out[d] = sum;
        if (size > *c) *c = size;
        if (small > *lost) *lost = small;
    }
}

/* q (W k), or (q W) k; BACK: with sums that run backwards. */
static float plain_general(const struct oracle *o, const float *q, const float *k, bool keys_first, bool back)
{
    long outer = keys_first ? query_dims(o) : o->D, inner = keys_first ? o->D : query_dims(o);
    float sum = 0;
    for (long n = 0; n < outer; n++) {
        float projected = 0;
        long x = back ? outer - 1 - n : n;
        for (long m = 0; m < inner; m++) {
            long y = back ? inner - 1 - m : m;
            projected += keys_first ? o->w[x * o->D + y] * k[y] : q[y] * o->w[y * o->D + x];
        }
        sum += projected * (keys_first ? q[x] : k[x]);
    }
    return sum;
}

/* The mean of N rows of D numbers from X on, or X itself. */
static const float *plain_mean(const float *x, long n, long D, float *mean)
{
    if (n == 1) return x;
    for (long d = 0; d < D; d++) {
        mean[d] = 0;
        for (long e = 0; e < n; e++) mean[d] += x[e * D + d];
        mean[d] /= (float)n;
    }
    return mean;
}

static float plain_span(const struct oracle *o, struct row r, long j)
{
    if (!o->pattern || o->pattern->type != ORACLE_ADAPTIVE_SPAN || r.i + o->offset[r.b] < j) return 1;
    const float ramp = (float)o->pattern->ramp;
    return fminf((ramp + o->lists.span[r.h] - (float)(r.i + o->offset[r.b] - j)) / ramp, 1);
}

/* The same, plainly, in f32, but for weights that may be rounded.  VARIANT says which of the equally plain ways:
 * bit 0: scale multiplies q, not the score, q W k is q (W k), and a span multiplies a weight, not adds its logarithm to the score; bit 1: sums run backwards; bit 2: powers of 2, not of e, the scale
 * having taken log2 e.  (With short mantissas and a scale of 1/8 many a sum is exact, and a row's one order would
 * promise more than f32 keeps.) */
static void plain_row(const struct oracle *o, struct row r, const struct inputs *all, int variant, float *s,
                      float *mean, float *out, float *lse)
{
    struct inputs in = row_inputs(o, r, all);
    bool back = variant & 2, base2 = variant & 4;
    const float log2e = 1.44269504088896341f, cap = (float)o->softcap;
    const float sink = o->sinks.x ? at(&o->sinks, 0, r.h, 0, 0, 0) * (base2 ? log2e : 1) : -INFINITY;
    float scale = (float)o->scale, m = sink, l = 0;
    if (base2 && cap == 0) scale *= log2e;
    for (long j = 0; j < o->Nk; j++) {
        long keys = stands_for(o, r, j);
        if (!keys || !oracle_visible(o, r.b, r.h, r.i, j)) continue;
        const float *key = plain_mean(in.k + j * o->D, keys, o->D, mean);
        float sum = o->score == 2 ? plain_general(o, in.q, key, variant & 1, back) : 0;
        for (long n = 0; n < o->D && o->score != 2; n++) {
            long d = back ? o->D - 1 - n : n;
            float k = key[d], q = in.q[d];
            if (o->score == 1) sum += (o->w_count == 0 ? 1 : o->w[o->w_count == 1 ? 0 : d]) * tanhf((float)o->score_scale * (q + k));
            else if (o->score == 3) sum += q + k;
            else sum += (variant & 1 ? q * scale : q) * k;
        }
        s[j] = variant & 1 && !o->score ? sum : sum * scale;
        if (o->score == 3 && s[j] < 0) s[j] *= o->w[r.h];
        if (cap != 0) s[j] = (base2 ? cap * log2e : cap) * tanhf(s[j] / cap);
        if (o->table) s[j] += ((float)(r.i + o->offset[r.b] - j) * 0.125f + o->table[j % 7]) * (base2 ? log2e : 1);
        if (o->bias.x) s[j] += at(&o->bias, r.b, r.h, r.i, j, 0) * (base2 ? log2e : 1);
        if (o->slopes.x)
            s[j] -= at(&o->slopes, r.b, r.h, 0, 0, 0) * (base2 ? log2e : 1) * fabsf((float)(r.i + o->offset[r.b] - j));
        if (o->pattern) s[j] += oracle_edge(o, r.h, r.i, j) * (base2 ? log2e : 1);
        if (!(variant & 1) && o->pattern) s[j] += logf(plain_span(o, r, j)) * (base2 ? log2e : 1);
        m = fmaxf(m, s[j]);
    }
    for (long d = 0; d < o->Dv; d++) out[d] = 0;
    for (long n = 0; n < o->Nk; n++) {
        long j = back ? o->Nk - 1 - n : n, keys = stands_for(o, r, j);
        if (!keys || !oracle_visible(o, r.b, r.h, r.i, j)) continue;
        const float *value = plain_mean(in.v + j * o->Dv, keys, o->Dv, mean);
        float p = base2 ? exp2f(s[j] - m) : expf(s[j] - m);
        if (variant & 1) p *= plain_span(o, r, j);
        l += p;
        p *= (float)oracle_keep(o, number_of(o, r), j);
        if (o->rounded) p = (float)oracle_round(o->type, p);
        for (long d = 0; d < o->Dv; d++) out[d] += p * value[d];
    }
    if (o->sinks.x) l += base2 ? exp2f(sink - m) : expf(sink - m);
    for (long d = 0; d < o->Dv; d++) out[d] /= l;
    *lse = base2 ? (m + log2f(l)) * 0.69314718055994531f : m + logf(l);
}

/* ------------------------------------------------------------- the whole tensor */

struct scratch { double *s64, *out64; float *s32, *mean, *out32; };

/* Adds the plain computation's errors on row R of IN, done in so many ways, to O->rho and O->lse_room. */
static bool measure_row(struct oracle *o, struct row r, const struct inputs *in, const struct scratch *w, int variants)
{
    double lse, c, lost;
    exact_row(o, r, in, w->s64, w->out64, &lse, &c, &lost);
    if (!isfinite(lse) || !isfinite(c)) return false;
    for (int variant = 0; variant < variants; variant++) {
        float plain_lse;
        plain_row(o, r, in, variant, w->s32, w->mean, w->out32, &plain_lse);
        o->lse_room = fmax(o->lse_room, 2 * fabs(plain_lse - lse));
        for (long d = 0; d < o->Dv && c > 0; d++)
            o->rho = fmax(o->rho, fabs(w->out32[d] - w->out64[d]) / c);
    }
    return true;
}

static uint64_t draw(uint64_t *state) /* xorshift64* */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

/* A copy of N values, each moved by up to 1/16 of itself and rounded to the storage type. */
static float *moved(const struct oracle *o, const float *from, size_t n, uint64_t *state)
{
    float *to = malloc((n + 1) * sizeof *to);
    for (size_t e = 0; to && e < n; e++) {
        double u = (double)(draw(state) >> 11) * 0x1p-52 - 1;
        to[e] = (float)oracle_round(o->type, from[e] * (1 + u / 16));
    }
    return to;
}

/* A step that visits all of N places, near and far in turn. */
static size_t scatter(size_t n)
{
    for (size_t step = (size_t)(0.618034 * (double)n) | 1;; step += 2) {
        size_t a = n, b = step;
        while (b) {
            size_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a <= 1) return step;
    }
}

/* Multiplications that the keys take which rows see; no more are counted than make it much. */
static bool is_little_work(const struct oracle *o)
{
    size_t products = 0;
    for (size_t e = 0; e < rows(o) && products <= SMALL_WORK; e++) {
        struct row r = row_of(o, e);
        for (long j = 0; j < o->Nk; j++) products += oracle_visible(o, r.b, r.h, r.i, j) ? (size_t)(o->D + o->Dv) : 0;
    }
    return products <= SMALL_WORK;
}

/* Measures the plain computation: all rows, the first SAMPLED_ROWS that see a key in every way, and where that is little work all; then
 * moved copies until there are enough.  (A sample alone promises more than f32 keeps: one sensitive row of hundreds, whose scores are
 * large but near each other, is easily missed.) */
static bool measure(struct oracle *o, const struct inputs *in, const struct scratch *w)
{
    size_t n = rows(o), step = scatter(n), seen = 0;
    uint64_t state = 0x9e3779b97f4a7c15ull;
    const bool small = is_little_work(o);
    for (size_t e = 0; e < n; e++)
        seen += measure_row(o, row_of(o, e * step % n), in, w, small || seen < SAMPLED_ROWS ? VARIANTS : 1);
    for (int round = 0; seen && seen < ENOUGH_ROWS && round < ENOUGH_ROWS; round++) {
        float *q = moved(o, in->q, n * (size_t)query_dims(o), &state);
        float *k = moved(o, in->k, (size_t)(o->B * o->Hkv * o->Nk * o->D), &state);
        float *v = moved(o, in->v, (size_t)(o->B * o->Hkv * o->Nk * o->Dv), &state);
        struct inputs again = { q, k, v };
        bool ok = q && k && v;
        for (size_t e = 0; ok && e < n && seen < ENOUGH_ROWS; e++) seen += measure_row(o, row_of(o, e), &again, w, VARIANTS);
        free(q);
        free(k);
        free(v);
        if (!ok) return false;
    }
    return true;
}

bool oracle_run(struct oracle *o, const float *q, const float *k, const float *v)
{
    size_t n = rows(o), nk = (size_t)o->Nk + 1, dv = (size_t)o->Dv;
    struct inputs in = { q, k, v };
    o->q = q;
    o->k = k;
    struct scratch w = { malloc(nk * 8), malloc(dv * 8), malloc(nk * 4), malloc((dv + (size_t)o->D) * 4), malloc(dv * 4) };
    o->out = malloc(n * dv * 8 + 8);
    o->lse = malloc(n * 8 + 8);
    o->room = malloc(n * 8 + 8);
    o->lost = malloc(n * 8 + 8);
    o->rho = o->lse_room = 0;
    bool ok = w.s64 && w.out64 && w.s32 && w.mean && w.out32 && o->out && o->lse && o->room && o->lost && (!o->pattern || oracle_list(o));
    for (size_t e = 0; ok && e < n; e++)
        exact_row(o, row_of(o, e), &in, w.s64, o->out + e * dv, o->lse + e, o->room + e, o->lost + e);
    ok = ok && measure(o, &in, &w);
    for (size_t e = 0; ok && e < n; e++) o->room[e] = 2 * o->rho * o->room[e] + o->lost[e];
    free(w.s64);
    free(w.out64);
    free(w.s32);
    free(w.mean);
    free(w.out32);
    if (!ok) oracle_free(o);
    return ok;
}

void oracle_free(struct oracle *o)
{
    free(o->out);
    free(o->lse);
    free(o->room);
    free(o->lost);
    free(o->own_offset);
    oracle_free_list(o);
    o->own_offset = NULL;
    o->out = o->lse = o->room = o->lost = NULL;
}

/* -------------------------------------------------------------------- verdict */

static double excess(double want, double got, double bound)
{
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if (want == got) return 0;
    double e = fabs(got - want) / bound;
    return isnan(e) ? INFINITY : e;
}

double oracle_out_excess(const struct oracle *o, size_t row, long d, float got)
{
    double want = o->out[row * (size_t)o->Dv + (size_t)d];
    return excess(want, got, o->room[row] + oracle_ulp(o->type, want));
}

double oracle_lse_excess(const struct oracle *o, size_t row, float got)
{
    return excess(o->lse[row], got, o->lse_room + oracle_ulp(ORACLE_F32, o->lse[row]));
}
