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
    return isnan(s->scale) ? 0 : s->scale == 0 ? 1 / sqrt(s->D) : s->scale;
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

void shape_print(const struct shape *s, char text[200])
{
    static const char *const memory[] = { "packed", "swapped", "gapped", "spread", "turned", "shared" };
    static const char *const dtype[] = { "f32", "f16", "bf16" };
    static const char *const align[] = { "bottom_right", "top_left", "offset" };
    int n = snprintf(text, 200, "%s b%d h%d/%d q%d k%d d%d/%d %s scale %g", dtype[s->dtype], s->B, s->Hq, s->Hkv, s->Nq,
                     s->Nk, s->D, s->Dv, memory[s->memory], shape_scale(s));
    if (s->softcap != 0) n += snprintf(text + n, 200 - (size_t)n, " softcap %g", s->softcap);
    if (s->bias) n += snprintf(text + n, 200 - (size_t)n, " bias=%s", s->bias);
    if (s->mask) n += snprintf(text + n, 200 - (size_t)n, " mask=%s", s->mask);
    if (s->shorter) n += snprintf(text + n, 200 - (size_t)n, " (%d shorter)", s->shorter);
    n += snprintf(text + n, 200 - (size_t)n, "%s%s%s", s->alibi ? s->alibi == CLATTN_ALIBI_HEAD ? " alibi" : " alibi [B,H]" : "",
                  s->sinks ? " sinks" : "", s->lens ? " kv_lens" : "");
    if (s->q_lens) n += snprintf(text + n, 200 - (size_t)n, " ragged");
    if (s->new_len) n += snprintf(text + n, 200 - (size_t)n, " new%d", s->new_len);
    if (s->weights) n += snprintf(text + n, 200 - (size_t)n, " weights%d", (int)s->weights);
    if (s->page) n += snprintf(text + n, 200 - (size_t)n, " paged%d", s->page);
    snprintf(text + n, 200 - (size_t)n, "%s win=%d,%d %s:%d%s", s->causal ? " causal" : "", s->left, s->right,
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
static double draw_normal(uint64_t *state)
{
    uint64_t z = draw_bits(state);
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)(z >> 16 * i & 0xffff) / 65536 - 0.5;
    return sum * 1.7320508;
}

static float *draw_tensor(const struct shape *s, int heads, int rows, int dim, bool shared, uint64_t *state)
{
    size_t each = (size_t)heads * (size_t)rows * (size_t)dim, n = each * (size_t)s->B;
    float *x = malloc(n * sizeof *x + 4);
    for (size_t e = 0; x && e < n; e++)
        x[e] = shared && e >= each ? x[e - each] : (float)oracle_round((enum oracle_type)s->dtype, draw_normal(state));
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

bool data_draw(const struct shape *s, uint64_t seed, struct data *d)
{
    bool shared = s->memory == SHARED;
    *d = (struct data){ .q = draw_tensor(s, s->Hq, s->Nq, s->D, false, &seed) };
    d->k = draw_tensor(s, s->Hkv, s->Nk, s->D, shared, &seed);
    d->v = draw_tensor(s, s->Hkv, s->Nk, s->Dv, shared, &seed);
    if (s->alibi) d->slopes = draw_heads(s, s->alibi == CLATTN_ALIBI_BATCH_HEAD ? s->B : 1, 0.1f, &seed);
    if (s->sinks) d->sinks = draw_heads(s, 1, 2, &seed);
    if (s->bias) d->bias = draw_broadcast(s, s->bias, BIAS, &seed);
    if (s->mask) d->mask = draw_broadcast(s, s->mask, MASK, &seed);
    if (d->q && d->k && d->v && (d->slopes || !s->alibi) && (d->sinks || !s->sinks) && (d->bias || !s->bias) &&
        (d->mask || !s->mask)) return true;
    wrong("no memory");
    data_free(d);
    return false;
}

void data_free(struct data *d)
{
    float *all[] = { d->q, d->k, d->v, d->slopes, d->sinks, d->bias, d->mask };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    *d = (struct data){ .q = NULL };
}

void result_free(struct result *r)
{
    free(r->out);
    free(r->lse);
    free(r->weights);
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

bool attend_oracle(const struct shape *s, const struct data *d, struct oracle *o)
{
    int32_t *offset = malloc(((size_t)s->B + 1) * sizeof *offset);
    *o = (struct oracle){ .type = (enum oracle_type)s->dtype, .B = s->B, .Hq = s->Hq, .Hkv = s->Hkv, .Nq = s->Nq,
                          .Nk = s->Nk, .D = s->D, .Dv = s->Dv, .scale = shape_scale(s), .softcap = s->softcap,
                          .causal = s->causal != 0, .left = s->left, .right = s->right, .offset = offset, .lens = s->lens,
                          .bias.x = d->bias, .mask.x = d->mask,
                          .slopes = { d->slopes, { s->alibi == CLATTN_ALIBI_BATCH_HEAD ? s->B : 1, s->Hq, 1, 1 } },
                          .sinks = { d->sinks, { 1, s->Hq, 1, 1 } } };
    if (s->bias) shape_broadcast(s, s->bias, o->bias.n);
    if (s->mask) shape_broadcast(s, s->mask, o->mask.n);
    for (int b = 0; offset && b < s->B; b++) offset[b] = shape_offset(s, b);
    bool ok = offset && oracle_run(o, d->q, d->k, d->v);
    if (!ok) wrong("no memory");
    o->own_offset = offset;
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

double attend_judge(const struct shape *s, const char *algo, const struct oracle *o, const struct result *r)
{
    char text[200];
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
    if (r->weights) {
        char what[260];
        snprintf(what, sizeof what, "%s: %s", text, algo);
        judge_weights(s, what, o, r->weights);
    }
    if (worst > 1)
        wrong("%s: %s: out [b %zu, h %zu, i %zu, d %d] is %.9g, exactly %.9g: %.3g times the bound (rho %.2g)", text,
             algo, row / n / h, row / n % h, row % n, dim, r->out[at], o->out[at], worst, o->rho);
    if (worst_lse > 1)
        wrong("%s: %s: lse [b %zu, h %zu, i %zu] is %.9g, exactly %.9g: %.3g times the bound", text, algo,
             row_lse / n / h, row_lse / n % h, row_lse % n, r->lse[row_lse], o->lse[row_lse], worst_lse);
    return fmax(worst, worst_lse);
}
