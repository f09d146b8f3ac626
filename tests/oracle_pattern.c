/* oracle_pattern.c -- see oracle_pattern.h.  Plain loops. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "oracle.h"

/* A query: its place, its position, its row of all. */
struct query { long b, h, i, p; size_t row; };

static long keys_of(const struct oracle *o, long b) { return o->lens ? o->lens[b] : o->Nk; }

/* The whole part, towards minus infinity. */
static long whole(long x, long n)
{
    long q = x / n;
    return q * n > x ? q - 1 : q;
}

/* -------------------------------------------------- by place alone: does the query see key J? */

typedef bool sees(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j);

static bool strided(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)o;
    return q.p - j < t->stride || (q.p - j) % t->stride == 0;
}

static bool fixed(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)o;
    return whole(q.p, t->stride) == j / t->stride || j % t->stride >= t->stride - t->summary;
}

static long dilation_of(const struct oracle_pattern *t, int axis) { return t->dilation[axis] ? t->dilation[axis] : 1; }

static bool dilated(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)o;
    return (q.p - j) % dilation_of(t, 0) == 0 && labs(q.p - j) < t->width * dilation_of(t, 0);
}

static bool is_token(const struct oracle_pattern *t, long place)
{
    for (long n = 0; n < t->num_tokens; n++)
        if (t->tokens[n] == place) return true;
    return false;
}

static bool global(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)o;
    return is_token(t, q.p) || is_token(t, j);
}

static bool longformer(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    return labs(q.p - j) <= t->radius || global(o, t, q, j);
}

static bool sink_window(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)o;
    return q.p - j < t->window || j < t->sinks;
}

static bool prefix(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)t;
    return j < o->lists.prefix[q.b] || j <= q.p;
}

static bool chunked(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)o;
    return whole(q.p, t->chunk) == whole(j, t->chunk);
}

static bool is_place(const struct oracle *o, long p) { return p >= 0 && p < o->Nk; }

static bool document(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)t;
    const int32_t *ids = o->lists.doc_ids + q.b * o->Nk;
    return is_place(o, q.p) && ids[q.p] == ids[j];
}

/* NATTEN along one axis: of the places that are a multiple of the dilation away, KERNEL neighbours, moved inwards at the ends. */
static bool is_neighbour(const struct oracle_pattern *t, int axis, long place, long key)
{
    long step = dilation_of(t, axis), kernel = t->kernel[axis], before = place / step, behind = (t->grid[axis] - 1 - place) / step;
    if ((key - place) % step != 0) return false;
    long steps = (key - place) / step;
    if (t->causal[axis]) return steps <= 0 && -steps < kernel;
    long left = kernel / 2; /* of its neighbours are on this side */
    if (behind < kernel / 2) left = kernel - 1 - behind;
    if (before < left) left = before;
    return steps >= -left && steps < kernel - left;
}

/* Coordinate AXIS of place X of the grid, row by row. */
static long coordinate(const struct oracle_pattern *t, long x, int axis)
{
    for (int last = t->axes - 1; last > axis; last--) x /= t->grid[last];
    return x % t->grid[axis];
}

static bool neighborhood(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    bool seen = is_place(o, q.p);
    for (int axis = 0; axis < t->axes && seen; axis++) seen = is_neighbour(t, axis, coordinate(t, q.p, axis), coordinate(t, j, axis));
    return seen;
}

/* Of the grid after the roll: the window, and did it wrap around? */
static void rolled(const struct oracle_pattern *t, int axis, long x, long *window, bool *wrapped)
{
    long side = t->grid[axis], shift = t->shift[axis] - whole(t->shift[axis], side) * side;
    *wrapped = x < shift;
    *window = (x - shift + (*wrapped ? side : 0)) / t->kernel[axis];
}

static bool window2d(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    bool seen = is_place(o, q.p);
    for (int axis = 0; axis < 2 && seen; axis++) {
        long w[2];
        bool wrapped[2];
        rolled(t, axis, coordinate(t, q.p, axis), &w[0], &wrapped[0]);
        rolled(t, axis, coordinate(t, j, axis), &w[1], &wrapped[1]);
        seen = w[0] == w[1] && wrapped[0] == wrapped[1];
    }
    return seen;
}

void oracle_layout(const struct oracle_pattern *t, long Hq, long Nk, long n[3])
{
    long blocks = (Nk + t->block - 1) / t->block;
    n[0] = t->layout[0] > 1 ? Hq : 1;
    for (int i = 1; i < 3; i++) n[i] = t->layout[i] ? t->layout[i] : blocks > 0 ? blocks : 1;
}

static bool block_sparse(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    long n[3], r = whole(q.p, t->block), c = j / t->block;
    oracle_layout(t, o->Hq, o->Nk, n);
    return r >= 0 && r < n[1] && c < n[2] && o->lists.layout[((n[0] > 1 ? q.h : 0) * n[1] + r) * n[2] + c] != 0;
}

void oracle_block_lists(const struct oracle_pattern *t, long B, long Hq, long Nq, long Nk, long n[5])
{
    n[0] = t->list_batch > 1 ? B : 1;
    n[1] = t->list_heads > 1 ? Hq : 1;
    n[2] = (Nq + t->block_size[0] - 1) / t->block_size[0];
    for (int full = 0; full < 2; full++)
        n[3 + full] = t->longest[full] < 0 ? 0 : t->longest[full] ? t->longest[full] : (Nk + t->block_size[1] - 1) / t->block_size[1];
}

long oracle_edges(const struct oracle_pattern *t, long Hq, long Nq) { return (t->row_heads > 1 ? Hq : 1) * Nq * t->degree; }

static bool csr(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    const int32_t *row = o->lists.row_ptr + (t->row_heads > 1 ? q.h : 0) * (o->Nq + 1) + q.i;
    for (int32_t e = row[0]; e < row[1]; e++)
        if (o->lists.col_idx[e] == j) return true;
    return false;
}

float oracle_edge(const struct oracle *o, long h, long i, long j)
{
    const struct oracle_pattern *t = oracle_find(o->pattern, ORACLE_CSR);
    if (!t || !t->edge_heads) return 0;
    const int32_t *row = o->lists.row_ptr + (t->row_heads > 1 ? h : 0) * (o->Nq + 1) + i;
    for (int32_t e = row[0]; e < row[1]; e++)
        if (o->lists.col_idx[e] == j) return o->lists.edge_bias[(t->edge_heads > 1 ? h : 0) * oracle_edges(t, o->Hq, o->Nq) + e];
    return 0;
}

double oracle_span(const struct oracle *o, long h, long distance)
{
    double m = (o->pattern->ramp + o->lists.span[h] - (double)distance) / o->pattern->ramp;
    return distance < 0 || m > 1 ? 1 : m > 0 ? m : 0;
}

static bool adaptive_span(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j)
{
    (void)t;
    return oracle_span(o, q.h, q.p - j) > 0;
}

static bool all_keys(const struct oracle *o, const struct oracle_pattern *t, struct query q, long j) /* oracle.c weighs those of other blocks */
{
    (void)o, (void)t, (void)q, (void)j;
    return true;
}

/* -------------------------------------------------------------- by drawing, hashing, choosing */

/* What rows share: scores of a row, what f32 may be off by, and places; buckets of all keys. */
struct listing { struct oracle *o; double *score, *room; long *order, *key_bucket; unsigned char *taken; };

typedef void choose(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to);

/* Marks up to COUNT of N, beyond those that are marked, by the numbers of row R. */
static void draw_marks(unsigned char *marks, long n, long count, uint64_t seed, long r)
{
    long left = 0;
    for (long x = 0; x < n; x++) left += !marks[x];
    if (left > count) left = count;
    for (uint64_t t = 0; left > 0; t++) {
        uint64_t element = (uint64_t)r * 0x100000000 + t;
        long x = (long)(oracle_uniform(seed, 0, element / 4, (int)(element % 4)) * (double)n);
        left -= !marks[x];
        marks[x] = 1;
    }
}

static void random_keys(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to)
{
    long n = keys_of(l->o, q.b);
    if (l->o->causal && q.p + 1 < n) n = q.p + 1;
    draw_marks(to, n, t->count, (uint64_t)t->seed, q.p);
}

static void bigbird(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to)
{
    const long blocks = (l->o->Nk + t->block - 1) / t->block, r = whole(q.p, t->block);
    memset(l->taken, 0, (size_t)blocks);
    for (long c = 0; c < blocks; c++) l->taken[c] = c < t->globals || labs(r - c) <= 1;
    if (r >= 0 && r < blocks) draw_marks(l->taken, blocks, t->random, (uint64_t)t->seed, r);
    for (long j = 0; j < l->o->Nk; j++) to[j] = l->taken[j / t->block] || (r >= 0 && r < t->globals);
}

/* 2: the user's mask does not count. */
static void block_mask(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to)
{
    long n[5];
    oracle_block_lists(t, l->o->B, l->o->Hq, l->o->Nq, l->o->Nk, n);
    const long list = ((n[0] > 1 ? q.b : 0) * n[1] + (n[1] > 1 ? q.h : 0)) * n[2] + q.i / t->block_size[0];
    for (int full = 0; full < 2; full++)
        for (long e = 0; n[3 + full] && e < l->o->lists.count[full][list]; e++)
            for (long j = 0; j < l->o->Nk; j++)
                if (j / t->block_size[1] == l->o->lists.blocks[full][list * n[3 + full] + e]) to[j] = (unsigned char)(1 + full);
}

/* Marks the first COUNT of the N places in l->order; those that could as well be others make ROW undecided.  TWINS: equal scores of
 * equal keys are equal in f32 too. */
static void take_best(struct listing *l, size_t row, long n, long count, bool (*twins)(const struct listing *l, size_t row, long a, long b))
{
    double least_in = INFINITY, most_out = -INFINITY;
    for (long e = 0; e < n; e++) {
        long x = l->order[e];
        l->taken[x] = e < count;
        if (e < count) least_in = fmin(least_in, l->score[x] - l->room[x]);
        else most_out = fmax(most_out, l->score[x] + l->room[x]);
    }
    if (least_in > most_out) return;
    for (long in = 0; in < count && in < n; in++)
        for (long out = count; out < n; out++) {
            long a = l->order[in], b = l->order[out];
            if (l->score[a] - l->room[a] <= l->score[b] + l->room[b] && !(twins && twins(l, row, a, b))) l->o->undecided[row] = 1;
        }
}

/* Sorts the N places of l->order: descending scores, of equal ones the lower place. */
static void sort_places(const struct listing *l, long n)
{
    for (long e = 1; e < n; e++) {
        long x = l->order[e], at = e;
        for (; at > 0 && (l->score[x] > l->score[l->order[at - 1]] || (l->score[x] == l->score[l->order[at - 1]] && x < l->order[at - 1])); at--)
            l->order[at] = l->order[at - 1];
        l->order[at] = x;
    }
}

/* The keys still allowed, best first; returns how many. */
static long rank_keys(struct listing *l, struct query q)
{
    long n = 0;
    memset(l->taken, 0, (size_t)l->o->Nk);
    for (long j = 0; j < l->o->Nk; j++) {
        if (!oracle_visible(l->o, q.b, q.h, q.i, j)) continue;
        l->score[j] = oracle_weight(l->o, ORACLE_BIASED, q.row, j, &l->room[j]);
        l->order[n++] = j;
    }
    sort_places(l, n);
    return n;
}

static bool equal_keys(const struct listing *l, size_t row, long a, long b)
{
    const struct oracle *o = l->o;
    long m = (long)row / o->Nq, kv = m / o->Hq * o->Hkv + m % o->Hq / (o->Hq / o->Hkv);
    const float *k = o->k + kv * o->Nk * o->D;
    return !o->bias.x && !o->slopes.x && !o->table && !memcmp(k + a * o->D, k + b * o->D, (size_t)o->D * sizeof *k);
}

static void top_k(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to)
{
    long n = rank_keys(l, q);
    take_best(l, q.row, n, t->k, equal_keys);
    memcpy(to, l->taken, (size_t)l->o->Nk);
}

static void top_p(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to)
{
    long n = rank_keys(l, q), count = 0;
    double sum = 0, all = 0, most = n ? l->score[l->order[0]] : 0, off = 0;
    for (long e = 0; e < n; e++) all += exp(l->score[l->order[e]] - most), off = fmax(off, l->room[l->order[e]]);
    off = 4 * off + (double)(n + 8) * 0x1p-23; /* both of a weight's exponents, and the sum */
    for (; count < n && sum < t->p && (!t->max || count < t->max); count++) {
        if (sum > t->p - off) l->o->undecided[q.row] = 1;
        sum += exp(l->score[l->order[count]] - most) / all;
    }
    if (count > 0 && count < n && sum < t->p + off && count != t->max) l->o->undecided[q.row] = 1;
    take_best(l, q.row, n, count, equal_keys);
    memcpy(to, l->taken, (size_t)l->o->Nk);
    l->o->spent[q.row] = (int32_t)count;
}

/* A block's score is linear in its keys: the mean of theirs. */
static void block_top_k(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to)
{
    const struct oracle *o = l->o;
    const long keys = keys_of(o, q.b), blocks = (keys + t->block - 1) / t->block, own = whole(q.p, t->block);
    const bool keeps = t->own && own >= 0 && own < blocks;
    long n = 0;
    memset(l->taken, 0, (size_t)blocks);
    for (long c = 0; c < blocks; c++) {
        long end = (c + 1) * t->block < keys ? (c + 1) * t->block : keys, size = end - c * t->block;
        if ((keeps && c == own) || (o->causal && c >= own)) continue;
        l->score[c] = l->room[c] = 0;
        for (long j = c * t->block; j < end; j++) {
            double room;
            l->score[c] += oracle_weight(o, ORACLE_RAW, q.row, j, &room) / (double)size;
            l->room[c] += room / (double)size * (double)(o->D + 8 + t->block) / (double)(o->D + 8);
        }
        l->order[n++] = c;
    }
    sort_places(l, n);
    take_best(l, q.row, n, t->count - keeps > 0 ? t->count - keeps : 0, NULL);
    if (keeps) l->taken[own] = 1;
    for (long j = 0; j < keys; j++) to[j] = l->taken[j / t->block];
}

/* The bucket of X [D] in a round; undecided where another one's number is as near as f32 may be off. */
static long bucket(const struct oracle *o, const struct oracle_pattern *t, const float *x, long round, unsigned char *undecided)
{
    const long half = t->buckets / 2;
    double best = -INFINITY, second = -INFINITY;
    long place = 0;
    double most_room = 0;
    for (long c = 0; c < t->buckets; c++) {
        double sum = 0, size = 0;
        for (long d = 0; d < o->D; d++) {
            double part = (double)x[d] * o->lists.rotations[(round * o->D + d) * half + c % half] * (c < half ? 1 : -1);
            sum += part;
            size += fabs(part);
        }
        most_room = fmax(most_room, (double)(o->D + 8) * 0x1p-24 * size);
        if (sum > best) second = best, best = sum, place = c;
        else second = fmax(second, sum);
    }
    if (best - second <= 2 * most_room && most_room > 0) *undecided = 1;
    return place;
}

static void lsh(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to)
{
    const struct oracle *o = l->o;
    const long *k = l->key_bucket + (q.b * o->Hkv + q.h / (o->Hq / o->Hkv)) * o->Nk * t->rounds;
    for (long r = 0; r < t->rounds; r++) {
        long own = bucket(o, t, o->q + (long)q.row * o->D, r, &o->undecided[q.row]);
        for (long j = 0; j < o->Nk; j++) to[j] = to[j] || k[j * t->rounds + r] == own;
    }
}

/* ------------------------------------------------------------------------------- all of them */

static const struct { const char *name; sees *sees; choose *choose; } types[ORACLE_PATTERNS] = {
    [ORACLE_STRIDED] = { "strided", strided, NULL }, [ORACLE_FIXED] = { "fixed", fixed, NULL }, [ORACLE_DILATED] = { "dilated", dilated, NULL },
    [ORACLE_RANDOM] = { "random", NULL, random_keys }, [ORACLE_GLOBAL] = { "global", global, NULL }, [ORACLE_BIGBIRD] = { "bigbird", NULL, bigbird },
    [ORACLE_LONGFORMER] = { "longformer", longformer, NULL }, [ORACLE_SINK_WINDOW] = { "sink_window", sink_window, NULL },
    [ORACLE_PREFIX] = { "prefix", prefix, NULL }, [ORACLE_CHUNKED] = { "chunked", chunked, NULL }, [ORACLE_DOCUMENT] = { "document", document, NULL },
    [ORACLE_NEIGHBORHOOD] = { "neighborhood", neighborhood, NULL }, [ORACLE_WINDOW2D] = { "window2d", window2d, NULL },
    [ORACLE_BLOCK_SPARSE] = { "block_sparse", block_sparse, NULL }, [ORACLE_CSR] = { "csr", csr, NULL }, [ORACLE_LSH] = { "lsh", NULL, lsh },
    [ORACLE_TOP_K] = { "top_k", NULL, top_k }, [ORACLE_BLOCK_TOP_K] = { "block_top_k", NULL, block_top_k }, [ORACLE_TOP_P] = { "top_p", NULL, top_p },
    [ORACLE_ADAPTIVE_SPAN] = { "adaptive_span", adaptive_span, NULL }, [ORACLE_HIERARCHICAL] = { "hierarchical", all_keys, NULL },
    [ORACLE_BLOCK_MASK] = { "block_mask", NULL, block_mask },
    [ORACLE_UNION] = { "union", NULL, NULL }, [ORACLE_INTERSECT] = { "intersect", NULL, NULL },
};

const char *oracle_pattern_name(enum oracle_pattern_type type) { return types[type].name; }

const struct oracle_pattern *oracle_find(const struct oracle_pattern *t, enum oracle_pattern_type type)
{
    const struct oracle_pattern *found = t && t->type == type ? t : NULL;
    for (int n = 0; t && n < ORACLE_PARTS && !found; n++) found = oracle_find(t->of[n], type);
    return found;
}

/* Marks in TO what T lists for Q. */
static bool list_row(struct listing *l, const struct oracle_pattern *t, struct query q, unsigned char *to)
{
    const size_t n = (size_t)l->o->Nk;
    memset(to, t->type == ORACLE_INTERSECT, n);
    if (types[t->type].choose) types[t->type].choose(l, t, q, to);
    for (long j = 0; types[t->type].sees && j < l->o->Nk; j++) to[j] = types[t->type].sees(l->o, t, q, j);
    unsigned char *part = malloc(n + 1);
    bool ok = part != NULL;
    for (int k = 0; k < ORACLE_PARTS && t->of[k] && ok; k++) {
        ok = list_row(l, t->of[k], q, part);
        for (size_t j = 0; j < n; j++) to[j] = t->type == ORACLE_UNION ? to[j] || part[j] : to[j] && part[j];
    }
    free(part);
    return ok;
}

static bool hash_keys(struct listing *l)
{
    const struct oracle *o = l->o;
    const struct oracle_pattern *t = oracle_find(o->pattern, ORACLE_LSH);
    const long keys = o->B * o->Hkv * o->Nk;
    if (!t) return true;
    l->key_bucket = malloc((size_t)(keys * t->rounds + 1) * sizeof *l->key_bucket);
    for (long n = 0; l->key_bucket && n < keys * t->rounds; n++)
        l->key_bucket[n] = bucket(o, t, o->k + n / t->rounds * o->D, n % t->rounds, &o->undecided_keys[n / t->rounds]);
    return l->key_bucket;
}

bool oracle_list(struct oracle *o)
{
    const size_t rows = (size_t)(o->B * o->Hq * o->Nq), n = (size_t)o->Nk, keys = (size_t)(o->B * o->Hkv * o->Nk);
    unsigned char *listed = malloc(rows * n + 1);
    struct listing l = { o, malloc((n + 1) * sizeof(double)), malloc((n + 1) * sizeof(double)), malloc((n + 1) * sizeof(long)), NULL, malloc(n + 1) };
    o->listed = NULL; /* until it is complete: what chooses asks which keys are still allowed */
    o->undecided = calloc(rows + 1, 1);
    o->undecided_keys = calloc(keys + 1, 1);
    o->spent = calloc(rows + 1, sizeof *o->spent);
    bool ok = listed && l.score && l.room && l.order && l.taken && o->undecided && o->undecided_keys && o->spent && hash_keys(&l);
    for (size_t row = 0; row < rows && ok; row++) {
        struct query q = { .row = row, .i = (long)row % o->Nq, .h = (long)row / o->Nq % o->Hq, .b = (long)row / o->Nq / o->Hq };
        q.p = q.i + o->offset[q.b];
        ok = list_row(&l, o->pattern, q, listed + row * n);
    }
    o->listed = listed;
    free(l.score);
    free(l.room);
    free(l.order);
    free(l.key_bucket);
    free(l.taken);
    return ok;
}

void oracle_free_list(struct oracle *o)
{
    free(o->listed);
    free(o->undecided);
    free(o->undecided_keys);
    free(o->spent);
    o->listed = o->undecided = o->undecided_keys = NULL;
    o->spent = NULL;
}

bool oracle_all_decided(const struct oracle *o)
{
    for (long n = 0; n < o->B * o->Hq * o->Nq; n++)
        if (o->undecided[n]) return false;
    for (long n = 0; n < o->B * o->Hkv * o->Nk; n++)
        if (o->undecided_keys[n]) return false;
    return true;
}
