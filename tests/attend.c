/* attend.c -- shapes, data, verdicts: the part of attend.h that does not run anything. */
#include "attend.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------- shapes */

static int defaulted(int n, int value) { return n < 0 ? 0 : n ? n : value; }

struct shape shape_full(struct shape s)
{
    s.B = defaulted(s.B, 1);
    s.Hq = defaulted(s.Hq, 1);
    s.Hkv = defaulted(s.Hkv, s.Hq);
    s.Dv = defaulted(s.Dv, s.D);
    if (!s.window) s.left = s.right = -1;
    return s;
}

size_t shape_rows(const struct shape *s) { return (size_t)s->B * (size_t)s->Hq * (size_t)s->Nq; }

double shape_scale(const struct shape *s)
{
    return isnan(s->scale) ? 0 : s->scale != 0 ? s->scale : s->score ? 1 : 1 / sqrt(s->D);
}

int shape_offset(const struct shape *s, int b)
{
    return s->align == CLATTN_TOP_LEFT ? 0 : s->align == CLATTN_OFFSET ? s->offsets ? s->offsets[b] : s->q_offset
         : (s->lens ? s->lens[b] : s->Nk) - (s->q_lens ? s->q_lens[b] : s->Nq);
}

void shape_broadcast(const struct shape *s, const char *axes, long n[4])
{
    const long full[4] = { s->B, s->Hq, s->Nq, s->Nk - s->shorter };
    for (int i = 0; i < 4; i++) n[i] = strchr(axes, "bhqk"[i]) ? full[i] : 1;
}

void shape_print(const struct shape *s, char text[SHAPE_TEXT])
{
    static const char *const memory[] = { "packed", "swapped", "gapped", "spread", "turned", "shared" };
    static const char *const dtype[] = { "f32", "f16", "bf16" };
    static const char *const align[] = { "bottom_right", "top_left", "offset" };
    int n = snprintf(text, SHAPE_TEXT, "%s b%d h%d/%d q%d k%d d%d/%d %s scale %g", dtype[s->dtype], s->B, s->Hq, s->Hkv, s->Nq,
                     s->Nk, s->D, s->Dv, memory[s->memory], shape_scale(s));
    if (s->softcap != 0) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " softcap %g", s->softcap);
    if (s->rounded) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " rounded");
    if (s->bias) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " bias=%s", s->bias);
    if (s->mask) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " mask=%s", s->mask);
    if (s->shorter) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " (%d shorter)", s->shorter);
    n += snprintf(text + n, SHAPE_TEXT - (size_t)n, "%s%s%s", s->alibi ? s->alibi == CLATTN_ALIBI_HEAD ? " alibi" : " alibi [B,H]" : "",
                  s->sinks ? " sinks" : "", s->lens ? " kv_lens" : "");
    if (s->dropout != 0) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " dropout %g seed %llx", s->dropout, (unsigned long long)s->seed);
    if (s->q_lens) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " ragged");
    if (s->new_len) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " new%d", s->new_len);
    if (s->weights) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " weights%d", (int)s->weights);
    if (s->kv_format) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " kv_format%d by%d%s", (int)s->kv_format, (int)s->scale_kind, s->zeroless ? " zeroless" : "");
    if (s->mod) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " mod");
    if (s->tiles) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " tiles%d", (int)s->tiles);
    if (s->score) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " score%d", (int)s->score);
    if (s->rope) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " rope%d%s", s->rope, s->rope_pairs ? "p" : "");
    if (s->page) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " paged%d", s->page);
    if (s->shared) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " shared%d", s->shared);
    if (s->split) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " split%d", s->split);
    if (s->repeats) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " repeats%d", s->repeats);
    if (s->pattern) pattern_print(s->pattern, text + n, SHAPE_TEXT - 100 - (size_t)n), n += (int)strlen(text + n);
    if (s->params) n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " %s", s->params);
    snprintf(text + n, SHAPE_TEXT - (size_t)n, "%s win=%d,%d %s:%d%s", s->causal ? " causal" : "", s->left, s->right,
             align[s->align], s->q_offset, s->offsets ? " per batch" : "");
}

/* ---------------------------------------------------------------------- data */

uint64_t draw_bits(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

int draw_below(uint64_t *state, int n) { return (int)(draw_bits(state) >> 33) % n; }

/* Mean 0, deviation near 1: the sum of four uniforms. */
double draw_normal(uint64_t *state)
{
    uint64_t z = draw_bits(state);
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)(z >> 16 * i & 0xffff) / 65536 - 0.5;
    return sum * 1.7320508;
}

float draw_value(const struct shape *s, uint64_t *state) { return (float)oracle_round((enum oracle_type)s->dtype, draw_normal(state)); }

static float *draw_tensor(const struct shape *s, int heads, int rows, int dim, bool shared, uint64_t *state)
{
    size_t each = (size_t)heads * (size_t)rows * (size_t)dim, n = each * (size_t)s->B;
    float *x = malloc(n * sizeof *x + 4);
    for (size_t e = 0; x && e < n; e++)
        x[e] = (shared || (rows == s->Nk && (int)(e / (size_t)dim % (size_t)rows) < s->shared)) && e >= each ? x[e - each] : draw_value(s, state);
    return x;
}

enum { BIAS, MASK };

/* Biases are near 1, one in eight -inf; a mask lets half through, in runs, so that tiles of all kinds come up. */
static float *draw_broadcast(const struct shape *s, const char *axes, int what, uint64_t *state)
{
    long n[4];
    shape_broadcast(s, axes, n);
    size_t count = (size_t)(n[0] * n[1] * n[2] * n[3]);
    float *x = malloc((count + 1) * sizeof *x);
    bool on = true;
    for (size_t e = 0; x && e < count; e++) {
        if (draw_below(state, e % 7 ? 40 : 4) == 0) on = !on;
        x[e] = what == MASK ? (float)on : draw_below(state, 8) ? (float)draw_normal(state) : -INFINITY;
    }
    return x;
}

static float *draw_heads(const struct shape *s, int rows, float scale, uint64_t *state)
{
    size_t n = (size_t)rows * (size_t)s->Hq;
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t e = 0; x && e < n; e++) x[e] = scale * (float)draw_normal(state);
    return x;
}

/* ---------------------------------------------------- quantised, and turned */

int shape_row_bytes(const struct shape *s, int dims)
{
    return s->kv_format == CLATTN_KV_Q8_0 ? dims / 32 * 34 : s->kv_format == CLATTN_KV_Q4_0 ? dims / 32 * 18 : dims;
}

void shape_scales(const struct shape *s, int dims, long n[4])
{
    const long by_key[4] = { s->B, s->Hkv, s->Nk, 1 }, by_dim[4] = { 1, s->Hkv, dims, 1 }, by_head[4] = { 1, s->Hkv, 1, 1 };
    memcpy(n, s->scale_kind == CLATTN_SCALE_BY_KEY ? by_key : s->scale_kind == CLATTN_SCALE_BY_DIM ? by_dim : by_head, sizeof by_key);
}

/* A byte drawn at random.  Where keys are appended each row, or block, has one that its scale comes from. */
static int draw_byte(const struct shape *s, int d, uint64_t *state)
{
    int byte = draw_below(state, 256), block = s->kv_format >= CLATTN_KV_Q8_0 ? 32 : d + 1;
    if (!s->new_len || s->kv_format == CLATTN_KV_FP8) return byte;
    if (s->kv_format == CLATTN_KV_Q4_0) return d % block == 0 ? 0 : byte;
    return d == 0 || d % block == 0 ? 127 : byte == 128 ? 129 : byte;
}

/* A value that rounds to X = CODE STEP, and lies as far from it as may be: ties are to even, or away from 0. */
static float nudged(const struct shape *s, float x, int code, float step, uint64_t *state)
{
    float sign = draw_below(state, 2) ? 1.f : -1.f;
    if (s->kv_format == CLATTN_KV_FP8 || code == 127 || code == -127) return x;
    if (s->kv_format == CLATTN_KV_Q4_0) return code == -8 ? x : x + sign * 0.25f * step;
    if (s->kv_format == CLATTN_KV_Q8_0) return code == 0 ? x : x - (code > 0 ? 0.5f : -0.5f) * step;
    return x + sign * (code % 2 ? 0.25f : 0.5f) * step;
}

/* Bytes drawn at random, and what they stand for, exactly: scales are powers of two.  X is [B][Hkv][Nk][DIMS]; RAW gets what becomes
 * the same bytes. */
static bool quantise(const struct shape *s, float *x, int dims, float **bytes, float **scale, float **zero, float **raw, uint64_t *state)
{
    size_t keys = (size_t)(s->B * s->Hkv * s->Nk), width = (size_t)shape_row_bytes(s, dims);
    bool made = s->new_len && s->scale_kind == CLATTN_SCALE_BY_KEY; /* scales are, by the execution */
    long n[4];
    shape_scales(s, dims, n);
    *bytes = calloc(keys * width + 1, sizeof **bytes);
    *scale = calloc((size_t)(n[0] * n[1] * n[2]) + 1, sizeof **scale);
    *zero = calloc((size_t)(n[0] * n[1] * n[2]) + 1, sizeof **zero);
    *raw = calloc(keys * (size_t)dims + 1, sizeof **raw);
    if (!*bytes || !*scale || !*zero || !*raw) return false;
    for (long e = 0; e < n[0] * n[1] * n[2]; e++) {
        (*scale)[e] = s->kv_format == CLATTN_KV_FP8 ? (float)(1 << draw_below(state, 2)) : 0x1p-6f * (float)(1 << draw_below(state, 2));
        (*zero)[e] = made || s->zeroless ? 0 : (float)(draw_below(state, 9) - 4);
    }
    for (size_t key = 0; key < keys; key++)
        for (int d = 0; d < dims; d++) {
            size_t head = key / (size_t)s->Nk % (size_t)s->Hkv;
            size_t at = s->scale_kind == CLATTN_SCALE_BY_KEY ? key : s->scale_kind == CLATTN_SCALE_BY_DIM ? head * (size_t)dims + (size_t)d : head;
            float *row = *bytes + key * width, *to = x + key * (size_t)dims + d, step = 0;
            int byte = draw_byte(s, d, state), code = byte < 128 ? byte : byte - 256;
            if (s->kv_format == CLATTN_KV_INT8) {
                row[d] = (float)byte;
                step = s->scale_kind ? (*scale)[at] : 1;
                *to = ((float)code - (s->scale_kind ? (*zero)[at] : 0)) * step;
            } else if (s->kv_format == CLATTN_KV_FP8) {
                int exponent = draw_below(state, 9), mantissa = byte & 7;
                row[d] = (float)((byte & 128) | exponent << 3 | mantissa);
                *to = (byte & 128 ? -1.f : 1.f) * (float)ldexp(exponent ? 8 + mantissa : mantissa, (exponent ? exponent : 1) - 10) *
                      (s->scale_kind ? (*scale)[at] : 1);
            } else if (s->kv_format == CLATTN_KV_Q8_0) {
                float *block = row + d / 32 * 34;
                block[1] = 0x24; /* f16 2^-6 */
                block[2 + d % 32] = (float)byte;
                *to = (step = 0x1p-6f) * (float)code;
            } else {
                float *block = row + d / 32 * 18;
                block[1] = 0x34; /* f16 2^-2 */
                block[2 + d % 16] += (float)(d % 32 < 16 ? byte & 15 : (byte & 15) << 4);
                code = (byte & 15) - 8;
                *to = (step = 0x1p-2f) * (float)code;
            }
            (*raw)[key * (size_t)dims + (size_t)d] = nudged(s, *to, code, step, state);
        }
    return true;
}

void data_turn(const struct shape *s, float *row, const float *cosine, const float *sine, int r)
{
    const int pairs = s->rope / 2;
    for (int i = 0; i < pairs; i++) {
        float c = cosine[r * pairs + i], z = sine[r * pairs + i];
        float *a = row + (s->rope_pairs ? 2 * i : i), *b = row + (s->rope_pairs ? 2 * i + 1 : i + pairs), first = *a;
        *a = first * c - *b * z;
        *b = *b * c + first * z;
    }
}

/* Turns the first s->rope dims of each row of X [B][heads][rows][dims] by a number of quarters; BEFORE gets what was.  NEW: of
 * keys only those that the execution appends, the first of them by the tables' first row. */
static bool turn(const struct shape *s, float *x, int heads, int rows, int dims, int new, float **before, float **cosine, float **sine, uint64_t *state)
{
    static const float cosines[4] = { 1, 0, -1, 0 }, sines[4] = { 0, 1, 0, -1 };
    int pairs = s->rope / 2, turns = new ? new : rows;
    size_t n = (size_t)(s->B * heads) * (size_t)rows * (size_t)dims;
    *before = malloc((n + 1) * sizeof **before);
    *cosine = malloc(((size_t)(turns * pairs) + 1) * sizeof **cosine);
    *sine = malloc(((size_t)(turns * pairs) + 1) * sizeof **sine);
    if (!*before || !*cosine || !*sine) return false;
    memcpy(*before, x, n * sizeof *x);
    for (int e = 0; e < turns * pairs; e++) {
        int quarter = draw_below(state, 4);
        (*cosine)[e] = cosines[quarter];
        (*sine)[e] = sines[quarter];
    }
    for (int m = 0; m < s->B * heads; m++)
        for (int r = 0; r < turns; r++) {
            int place = new ? s->lens[m / heads] - new + r : r;
            data_turn(s, x + ((size_t)m * (size_t)rows + (size_t)place) * (size_t)dims, *cosine, *sine, r);
        }
    return true;
}

bool data_draw(const struct shape *s, uint64_t seed, struct data *d)
{
    bool shared = s->memory == SHARED;
    *d = (struct data){ .q = draw_tensor(s, s->Hq, s->Nq, s->q_dim ? s->q_dim : s->D, false, &seed) };
    d->k = draw_tensor(s, s->Hkv, s->Nk, s->D, shared, &seed);
    d->v = draw_tensor(s, s->Hkv, s->Nk, s->Dv, shared, &seed);
    for (int e = 0; s->repeats && d->k && e < s->B * s->Hkv * s->Nk; e++)
        if (e % s->Nk >= s->repeats) memcpy(d->k + e * s->D, d->k + (e - s->repeats) * s->D, (size_t)s->D * sizeof *d->k);
    if (s->alibi) d->slopes = draw_heads(s, s->alibi == CLATTN_ALIBI_BATCH_HEAD ? s->B : 1, 0.1f, &seed);
    int dq = s->q_dim ? s->q_dim : s->D, ws = s->score == CLATTN_GENERAL ? dq * s->D : s->score_ws;
    struct shape w = { .Hq = ws }, seven = { .Hq = 7 };
    if (s->mod) d->table = draw_heads(&seven, 1, 1, &seed);
    if (ws) d->score_w = draw_heads(&w, 1, 0.5f, &seed);
    if (s->score == CLATTN_GAT) d->leaks = draw_heads(s, 1, 0.3f, &seed);
    if (s->sinks) d->sinks = draw_heads(s, 1, 2, &seed);
    if (s->bias) d->bias = draw_broadcast(s, s->bias, BIAS, &seed);
    if (s->mask) d->mask = draw_broadcast(s, s->mask, MASK, &seed);
    bool good = d->q && d->k && d->v;
    if (s->kv_format)
        good = good && quantise(s, d->k, s->D, &d->k_bytes, &d->k_scale, &d->k_zero, &d->k_raw, &seed) &&
               quantise(s, d->v, s->Dv, &d->v_bytes, &d->v_scale, &d->v_zero, &d->v_raw, &seed);
    if (s->rope)
        good = good && turn(s, d->q, s->Hq, s->Nq, s->D, 0, &d->q_before, &d->q_cos, &d->q_sin, &seed) &&
               turn(s, d->k, s->Hkv, s->Nk, s->D, s->new_len, &d->k_before, &d->k_cos, &d->k_sin, &seed);
    good = good && pattern_draw(s, &seed, d) && (!s->pattern || pattern_decide(s, seed, d));
    if (good && (d->slopes || !s->alibi) && (d->sinks || !s->sinks) && (d->bias || !s->bias) &&
        (d->mask || !s->mask)) return true;
    wrong("no memory");
    data_free(d);
    return false;
}

void data_free(struct data *d)
{
    float *all[] = { d->q, d->k, d->v, d->slopes, d->sinks, d->bias, d->mask, d->k_bytes, d->v_bytes, d->k_scale, d->v_scale,
                     d->k_zero, d->v_zero, d->k_raw, d->v_raw, d->q_cos, d->q_sin, d->k_cos, d->k_sin, d->q_before, d->k_before, d->score_w, d->leaks, d->table, d->layout, d->rotations, d->span, d->edge_bias };
    int32_t *lists[] = { d->prefix, d->doc_ids, d->row_ptr, d->col_idx, d->count[0], d->count[1], d->blocks[0], d->blocks[1] };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) free(lists[i]);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    *d = (struct data){ .q = NULL };
}

void result_free(struct result *r)
{
    free(r->out);
    free(r->lse);
    free(r->weights);
    free(r->spent);
    *r = (struct result){ .out = NULL };
}

/* ------------------------------------------------------------------- verdicts */

static int failed;

void wrong(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    if (failed++ < 20) { /* per test; the first few tell the story */
        vfprintf(stdout, format, ap);
        fputc('\n', stdout);
        fflush(stdout);
    }
    va_end(ap);
}

int failures(void)
{
    int n = failed;
    failed = 0;
    return n;
}

static int seen_keys(const struct shape *s)
{
    if (s->tiles) return s->tiles == TILES_NONE ? ORACLE_NONE : s->tiles == TILES_ALL ? ORACLE_ALL : ORACLE_TILES;
    return s->mod ? ORACLE_FOURTHS : ORACLE_ALL;
}

bool attend_describe(const struct shape *s, const struct data *d, struct oracle *o)
{
    int32_t *offset = malloc(((size_t)s->B + 1) * sizeof *offset);
    *o = (struct oracle){ .type = (enum oracle_type)s->dtype, .B = s->B, .Hq = s->Hq, .Hkv = s->Hkv, .Nq = s->Nq,
                          .Nk = s->Nk, .D = s->D, .Dv = s->Dv, .scale = shape_scale(s), .softcap = s->softcap, .rounded = s->rounded != 0,
                          .causal = s->causal != 0, .left = s->left, .right = s->right, .offset = offset, .lens = s->lens,
                          .score = (int)s->score, .w = s->score == CLATTN_GAT ? d->leaks : d->score_w, .w_count = s->score_ws,
                          .Dq = s->q_dim, .score_scale = 0.75, .dropout = s->dropout, .seed = s->seed, .drop_offset = s->drop_offset, .table = d->table, .seen = seen_keys(s), .bias.x = d->bias, .mask.x = d->mask,
                          .slopes = { d->slopes, { s->alibi == CLATTN_ALIBI_BATCH_HEAD ? s->B : 1, s->Hq, 1, 1 } },
                          .sinks = { d->sinks, { 1, s->Hq, 1, 1 } } };
    if (s->bias) shape_broadcast(s, s->bias, o->bias.n);
    if (s->mask) shape_broadcast(s, s->mask, o->mask.n);
    for (int b = 0; offset && b < s->B; b++) offset[b] = shape_offset(s, b);
    o->pattern = s->pattern, o->lists = pattern_lists(d), o->q = d->q, o->k = d->k;
    o->own_offset = offset;
    return offset;
}

bool attend_oracle(const struct shape *s, const struct data *d, struct oracle *o)
{
    char text[SHAPE_TEXT];
    bool ok = attend_describe(s, d, o) && oracle_run(o, d->q, d->k, d->v);
    if (!ok) wrong("no memory");
    shape_print(s, text);
    if (ok && o->pattern && !oracle_all_decided(o)) wrong("%s: rounding could make another choice of keys", text);
    return ok;
}

/* A weight is a score, or e to one: what a sum of D products in f32 may be off by is the room. */
static void judge_weights(const struct shape *s, const char *what, const struct oracle *o, const float *got)
{
    for (size_t n = 0; n < shape_rows(s) * (size_t)s->Nk; n++) {
        size_t row = n / (size_t)s->Nk, j = n % (size_t)s->Nk, i = row % (size_t)s->Nq, b = row / (size_t)s->Nq / (size_t)s->Hq;
        double room, want = oracle_weight(o, (enum oracle_stage)s->weights, row, (long)j, &room);
        bool there = !s->q_lens || (int)i < s->q_lens[b];
        if (s->weights < CLATTN_WEIGHTS_BIASED && s->lens && (int)j >= s->lens[b]) continue; /* of a key that is not there */
        if (!there) want = 0;
        if (got[n] == (float)want || fabs(got[n] - want) <= room) continue;
        wrong("%s: weights [row %zu, key %zu] is %.9g, exactly %.9g, room %.2g", what, row, j, got[n], want, room);
        return;
    }
}

/* Rows that no sequence has spend nothing. */
static void judge_spent(const struct shape *s, const char *what, const struct oracle *o, const float *got)
{
    for (size_t row = 0; row < shape_rows(s); row++) {
        bool there = !s->q_lens || (int)(row % (size_t)s->Nq) < s->q_lens[row / (size_t)s->Nq / (size_t)s->Hq];
        if (got[row] == (float)(there ? o->spent[row] : 0)) continue;
        wrong("%s: spent [row %zu] is %g, exactly %d", what, row, got[row], there ? (int)o->spent[row] : 0);
        return;
    }
}

double attend_judge(const struct shape *s, const char *algo, const struct oracle *o, const struct result *r)
{
    char text[SHAPE_TEXT];
    double worst = 0, worst_lse = 0;
    size_t row = 0, row_lse = 0;
    int dim = 0;
    for (size_t e = 0; e < shape_rows(s); e++) {
        if (s->q_lens && (int)(e % (size_t)s->Nq) >= s->q_lens[e / (size_t)s->Nq / (size_t)s->Hq]) continue;
        double x = oracle_lse_excess(o, e, r->lse[e]);
        if (x > worst_lse) worst_lse = x, row_lse = e;
        for (int d = 0; d < s->Dv; d++) {
            x = oracle_out_excess(o, e, d, r->out[e * (size_t)s->Dv + (size_t)d]);
            if (x > worst) worst = x, row = e, dim = d;
        }
    }
    shape_print(s, text);
    size_t at = row * (size_t)s->Dv + (size_t)dim, n = (size_t)(s->Nq ? s->Nq : 1), h = (size_t)(s->Hq ? s->Hq : 1);
    char what[WHAT_TEXT];
    snprintf(what, sizeof what, "%s: %s", text, algo);
    if (r->weights) judge_weights(s, what, o, r->weights);
    if (r->spent) judge_spent(s, what, o, r->spent);
    if (worst > 1)
        wrong("%s: %s: out [b %zu, h %zu, i %zu, d %d] is %.9g, exactly %.9g: %.3g times the bound (rho %.2g)", text,
             algo, row / n / h, row / n % h, row % n, dim, r->out[at], o->out[at], worst, o->rho);
    if (worst_lse > 1)
        wrong("%s: %s: lse [b %zu, h %zu, i %zu] is %.9g, exactly %.9g: %.3g times the bound", text, algo,
             row_lse / n / h, row_lse / n % h, row_lse % n, r->lse[row_lse], o->lse[row_lse], worst_lse);
    return fmax(worst, worst_lse);
}
