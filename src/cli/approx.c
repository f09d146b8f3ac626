/* approx.c -- see approx.h.  Softmax attentions, the exact one and patterns, are samples (sample.h); the others are in approx_ops.c. */
#define _GNU_SOURCE
#include "cli/approx_ops.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "algo/algo.h"
#include "base/checked.h"
#include "base/half.h"
#include "base/text.h"
#include "ops/ops.h"

enum { RUNS = 8 };

clattn_status ca_approx_floats(int64_t rows, int64_t columns, const char *what, float **to)
{
    int64_t n;
    size_t bytes;
    CA_REQUIRE(ca_mul64(rows, columns, &n) && ca_mul((size_t)ca_max(n, 1), sizeof **to, &bytes), CLATTN_E_TOO_LARGE, "%s: %" PRId64 " rows of %" PRId64
               " are too many", what, rows, columns);
    *to = calloc(1, bytes);
    return *to ? CLATTN_OK : ca_no_memory(bytes, what);
}

/* ------------------------------------------------------------------ the target */

clattn_status ca_target_init(struct target *t, clattn_context *ctx, const clattn_attention *a, const struct ca_lengths *l, const void *const *given,
                             int64_t rows, uint64_t seed)
{
    struct sample s = {.plan = NULL};
    clattn_status st;
    memset(t, 0, sizeof *t);
    t->ctx = ctx;
    t->a = *a;
    t->a.weights = CLATTN_NO_WEIGHTS;
    t->seed = seed;
    CA_TRY(ca_sample_create(ctx, &t->a, l, NULL, given, seed, &s));
    t->p = *s.p;
    for (int slot = 0; slot < CA_SLOTS; slot++) {
        if ((!s.host[slot] && !s.mem[slot]) || ca_slot_is_output((enum ca_slot)slot)) continue;
        t->data[slot] = calloc(1, ca_slot_bytes(s.p, (enum ca_slot)slot) + 64);
        if (!t->data[slot]) st = ca_no_memory(ca_slot_bytes(s.p, (enum ca_slot)slot), ca_slot_name[slot]);
        CA_TRY(st == CLATTN_OK ? ca_sample_read(&s, slot, t->data[slot]) : st);
    }
    const int64_t N = t->p.Nq;
    t->runs = rows >= N ? N > 0 : ca_min(rows, RUNS);
    t->run = rows >= N ? N : rows / ca_max(t->runs, 1);
    t->rows = t->runs * t->run;
done:
    ca_sample_free(&s);
    return st;
}

void ca_target_free(struct target *t)
{
    for (int slot = 0; slot < CA_SLOTS; slot++) free(t->data[slot]);
}

int64_t ca_approx_row(const struct target *t, int64_t run) { return t->runs > 1 ? run * (t->p.Nq - t->run) / (t->runs - 1) : 0; }

/* ---------------------------------------------------------- softmax attentions */

/* The output in canonical order, whatever its strides. */
static clattn_status read_output(const struct sample *s, float **out)
{
    const struct problem *p = s->p;
    const int64_t B = ca_out_batch(p), N = ca_out_rows(p);
    void *raw = malloc(ca_slot_bytes(p, CA_OUT) + 64);
    clattn_status st = raw ? ca_approx_floats(B * p->Hq * N, p->Dv, "an output", out) : ca_no_memory(ca_slot_bytes(p, CA_OUT), "an output");
    if (st == CLATTN_OK) st = ca_sample_read(s, CA_OUT, raw);
    for (int64_t n = 0; st == CLATTN_OK && n < B * p->Hq * N; n++)
        for (int64_t e = 0; e < p->Dv; e++)
            (*out)[n * p->Dv + e] = ca_load_as(raw, (int)p->dtype, n / N / p->Hq * p->o.b + n / N % p->Hq * p->o.h + n % N * p->o.s + e * p->o.d);
    free(raw);
    return st;
}

/* Where query 0 of batch row B stands. */
static int64_t offset_of(const struct target *t, int64_t b)
{
    const clattn_attention *a = &t->a;
    const int32_t *given = t->data[CA_QOFF], *lens = t->data[CA_LENS];
    if (a->align == CLATTN_TOP_LEFT) return 0;
    if (a->align == CLATTN_OFFSET) return given ? given[b] : a->q_offset;
    return (lens ? ca_min(lens[b] + a->new_len, a->kv_len) : a->kv_len) - a->q_len;
}

/* A, with the queries FROM ... FROM + run alone: where they stand is then said, and their rows of a bias or a mask. */
static void narrow(const struct target *t, const clattn_attention *from, int64_t first, clattn_attention *a)
{
    const struct problem *p = &t->p;
    const struct ca_broadcast *views[2] = {&p->bias, &p->mask};
    *a = *from;
    clattn_broadcast *to[2] = {&a->bias, &a->mask};
    a->q_len = t->run;
    a->align = CLATTN_OFFSET;
    a->q_offset = offset_of(t, 0) + first;
    a->q = (clattn_strides){p->q.b, p->q.h, p->q.s, p->q.d};
    a->out = (clattn_strides){0};
    a->weights = CLATTN_WEIGHTS_PROBS;
    a->dropout_p = 0; /* weights are before it */
    a->shared_len = a->split_len = 0;
    for (int i = 0; i < 2; i++) {
        if (!views[i]->i) continue;
        to[i]->shape[2] = t->run;
        memcpy(to[i]->stride, (const int64_t[]){views[i]->b, views[i]->h, views[i]->i, views[i]->j}, sizeof to[i]->stride);
    }
}

/* DATA as the queries from FIRST on have it. */
static void move(const struct target *t, int64_t first, const void *const *data, struct io *io)
{
    const struct problem *p = &t->p;
    const struct { int slot; int64_t elements; size_t size; } rows[] = {
        {CA_Q, p->q.s, ca_dtype_size(p->dtype)}, {CA_BIAS, p->bias.i, sizeof(float)}, {CA_MASK, p->mask.i, 1},
        {CA_QCOS, p->q_rot / 2, sizeof(float)}, {CA_QSIN, p->q_rot / 2, sizeof(float)}, {CA_ROWS, 1, sizeof(int32_t)}};
    for (int slot = 0; slot < CA_SLOTS; slot++) io->t[slot].host = (void *)(uintptr_t)data[slot];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (data[rows[i].slot]) io->t[rows[i].slot].host = (char *)(uintptr_t)data[rows[i].slot] + first * rows[i].elements * (int64_t)rows[i].size;
}

/* The weights of run NTH, [batch][q_heads][run][kv_len]. */
static clattn_status run_weights(const struct target *t, const clattn_attention *from, const void *const *data, int64_t nth, float *weights)
{
    clattn_attention a;
    clattn_plan *plan = NULL;
    struct io io = {.workspace.mem = NULL};
    clattn_status st;
    const int64_t first = ca_approx_row(t, nth);
    int32_t *offsets = calloc((size_t)t->p.B + 1, sizeof *offsets);
    void *out = NULL;
    if (!offsets) return ca_no_memory((size_t)t->p.B * sizeof *offsets, "offsets");
    narrow(t, from, first, &a);
    for (int64_t b = 0; b < t->p.B; b++) offsets[b] = (int32_t)(offset_of(t, b) + first);
    CA_TRY(clattn_plan_create(t->ctx, &a, NULL, &plan));
    out = malloc(ca_slot_bytes(&plan->p, CA_OUT) + 64);
    if (!out) st = ca_no_memory(ca_slot_bytes(&plan->p, CA_OUT), "an output");
    move(t, first, data, &io);
    io.t[CA_QOFF].host = ca_slot_unwanted(&plan->p, CA_QOFF) ? NULL : offsets;
    io.t[CA_OUT].host = out;
    io.t[CA_WEIGHTS].host = weights;
    if (st == CLATTN_OK) st = ca_plan_run_host(plan, &io);
done:
    clattn_plan_destroy(plan);
    free(out);
    free(offsets);
    return st;
}

/* Run by run, so that nothing but the rows that are looked at needs memory. */
static clattn_status softmax_weights(const struct target *t, const clattn_attention *a, int64_t graphs, const void *const *data, float **weights)
{
    const struct problem *p = &t->p;
    const int64_t heads = p->B * p->Hq;
    float *one = NULL;
    clattn_status st;
    CA_REQUIRE(!p->ragged, CLATTN_E_UNSUPPORTED, "the batch is ragged");
    CA_REQUIRE(graphs <= 1, CLATTN_E_UNSUPPORTED, "each head has a graph of its own");
    CA_TRY(ca_approx_floats(heads * t->rows, p->Nk, "weights", weights));
    CA_TRY(ca_approx_floats(heads * t->run, p->Nk, "weights", &one));
    for (int64_t nth = 0; nth < t->runs; nth++) {
        CA_TRY(run_weights(t, a, data, nth, one));
        for (int64_t n = 0; n < heads; n++)
            memcpy(*weights + (n * t->rows + nth * t->run) * p->Nk, one + n * t->run * p->Nk, (size_t)(t->run * p->Nk) * sizeof *one);
    }
done:
    free(one);
    if (st != CLATTN_OK) free(*weights), *weights = NULL;
    return st;
}

void ca_approx_weightless(struct approx *x)
{
    snprintf(x->no_weights, sizeof x->no_weights, "%s", ca_message());
    ca_message_clear();
}

/* What the pattern in A needs beyond the target's tensors is drawn as for `clattn bench`. */
static clattn_status attend(const struct target *t, const clattn_attention *a, const struct ca_lengths *l, struct approx *x)
{
    struct sample s = {.plan = NULL};
    const void *data[CA_SLOTS];
    void *own[CA_SLOTS] = {NULL};
    clattn_status st;
    memcpy(data, t->data, sizeof data);
    CA_TRY(ca_sample_create(t->ctx, a, l, NULL, data, t->seed, &s));
    CA_TRY(ca_sample_time(&s, t->seconds, &x->time));
    CA_TRY(read_output(&s, &x->out));
    x->memory = s.plan->workspace + (ca_is_host(&t->ctx->dev) ? ca_prepare_bytes(s.p) : 0);
    for (int slot = 0; slot < CA_SLOTS; slot++) {
        size_t bytes = ca_slot_bytes(s.p, (enum ca_slot)slot);
        if (data[slot] || (!s.host[slot] && !s.mem[slot]) || ca_slot_is_output((enum ca_slot)slot)) continue;
        x->memory += bytes;
        if (!(own[slot] = malloc(bytes + 64))) st = ca_no_memory(bytes, ca_slot_name[slot]);
        CA_TRY(st == CLATTN_OK ? ca_sample_read(&s, slot, own[slot]) : st);
        data[slot] = own[slot];
    }
    if (softmax_weights(t, a, s.p->pattern.row_heads, data, &x->weights) != CLATTN_OK) ca_approx_weightless(x);
done:
    for (int slot = 0; slot < CA_SLOTS; slot++) free(own[slot]);
    ca_sample_free(&s);
    return st;
}

/* -------------------------------------------------------------- the notation */

/* Fields in order, each with its default; NULL: it has none. */
struct field { const char *name, *fallback; };
enum { FIELDS = 2 };
struct values { char text[FIELDS][32]; };

static clattn_status read_fields(const char *text, const struct field *f, struct values *v)
{
    bool seen[FIELDS] = {false}, more = *text != 0;
    for (int next = 0; more; next++) {
        const size_t length = strcspn(text, ","), equals = strcspn(text, "=,"), skip = text[equals] == '=' ? equals + 1 : 0;
        int at = skip ? 0 : next;
        while (skip && at < FIELDS && f[at].name && (strlen(f[at].name) != equals || memcmp(f[at].name, text, equals) != 0)) at++;
        CA_REQUIRE(at < FIELDS && f[at].name && !seen[at] && length > skip && length - skip < sizeof v->text[at], CLATTN_E_ARGUMENT,
                   "\"%.*s\" is none of its fields, there twice or empty", (int)ca_min((int64_t)length, 64), text);
        snprintf(v->text[at], sizeof v->text[at], "%.*s", (int)(length - skip), text + skip);
        seen[at] = true;
        more = text[length] == ',';
        text += length + more;
    }
    for (int at = 0; at < FIELDS && f[at].name; at++) {
        CA_REQUIRE(seen[at] || f[at].fallback, CLATTN_E_ARGUMENT, "%s is missing", f[at].name);
        if (!seen[at]) snprintf(v->text[at], sizeof v->text[at], "%s", f[at].fallback);
    }
    return CLATTN_OK;
}

static clattn_status whole(const char *field, const char *text, int64_t least, int64_t most, int64_t *value)
{
    const char *s = text;
    CA_REQUIRE(ca_read_int(&s, value) && !*s && *value >= least && *value <= most, CLATTN_E_ARGUMENT, "%s %s is no number within %" PRId64
               " ... %" PRId64, field, text, least, most);
    return CLATTN_OK;
}

/* The narrower of two reaches, -1 being unlimited. */
static int64_t narrower(int64_t a, int64_t b) { return a < 0 ? b : b < 0 ? a : ca_min(a, b); }

static clattn_status run_window(const struct target *t, const struct values *v, struct approx *x)
{
    clattn_attention a = t->a;
    int64_t left, right;
    clattn_status st;
    CA_TRY(whole("left", v->text[0], -1, INT32_MAX, &left));
    CA_TRY(whole("right", v->text[1], -1, INT32_MAX, &right));
    a.window_left = narrower(a.window_left, left);
    a.window_right = narrower(a.window_right, right);
    CA_TRY(attend(t, &a, NULL, x));
done:
    return st;
}

static clattn_status run_favor(const struct target *t, const struct values *v, struct approx *x)
{
    int64_t m;
    clattn_status st = whole("m", v->text[0], 1, 1 << 16, &m);
    return st == CLATTN_OK ? ca_approx_linear(t, CLATTN_MAP_FAVOR, m, x) : st;
}

static clattn_status run_linear(const struct target *t, const struct values *v, struct approx *x)
{
    int map = 0;
    while (ca_linear_map_name(map) && strcmp(ca_linear_map_name(map), v->text[0]) != 0) map++;
    CA_REQUIRE(ca_linear_map_name(map), CLATTN_E_ARGUMENT, "\"%s\" is no feature map", v->text[0]);
    CA_REQUIRE(map != CLATTN_MAP_FAVOR, CLATTN_E_ARGUMENT, "map favor is written favor:M");
    return ca_approx_linear(t, (clattn_feature_map)map, 0, x);
}

static clattn_status run_cosformer(const struct target *t, const struct values *v, struct approx *x)
{
    (void)v;
    return ca_approx_linear(t, CLATTN_MAP_COS, 0, x);
}

static clattn_status run_linformer(const struct target *t, const struct values *v, struct approx *x)
{
    int64_t p;
    const bool random = !strcmp(v->text[1], "random");
    clattn_status st = whole("p", v->text[0], 1, ca_max(t->p.Nk, 1), &p);
    CA_REQUIRE(random || !strcmp(v->text[1], "mean"), CLATTN_E_ARGUMENT, "e %s is neither mean nor random", v->text[1]);
    return st == CLATTN_OK ? ca_approx_few(t, p, false, random, x) : st;
}

static clattn_status run_nystrom(const struct target *t, const struct values *v, struct approx *x)
{
    int64_t landmarks;
    clattn_status st = whole("landmarks", v->text[0], 1, 1024, &landmarks);
    return st == CLATTN_OK ? ca_approx_few(t, landmarks, true, false, x) : st;
}

static const struct kind {
    const char *name;
    struct field field[FIELDS];
    clattn_status (*run)(const struct target *t, const struct values *v, struct approx *x);
} kinds[] = {
    {"window", {{"left", NULL}, {"right", NULL}}, run_window}, {"favor", {{"m", "256"}}, run_favor}, {"linear", {{"map", "elu1"}}, run_linear},
    {"cosformer", {{NULL, NULL}}, run_cosformer}, {"linformer", {{"p", "256"}, {"e", "mean"}}, run_linformer},
    {"nystrom", {{"landmarks", "64"}}, run_nystrom},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* "pattern=" is that of problem strings, "window=512,0" as good as "window:512,0". */
static const char *trimmed(const char *text) { return strncmp(text, "pattern=", 8) ? text : text + 8; }
static size_t name_length(const char *text) { return strcspn(text, ":=("); }

static const struct kind *find(const char *text)
{
    for (int i = 0; i < KINDS; i++)
        if (strlen(kinds[i].name) == name_length(text) && !strncmp(kinds[i].name, text, name_length(text))) return &kinds[i];
    return NULL;
}

const char *ca_approx_names(void)
{
    static char list[512];
    struct ca_text t = {list, sizeof list, 0};
    for (int i = 0; i < KINDS; i++) ca_text_put(&t, "%s, ", kinds[i].name);
    for (int type = CLATTN_STRIDED; type <= CLATTN_INTERSECT; type++)
        ca_text_put(&t, "%s%s", ca_pattern_name(type), type < CLATTN_INTERSECT ? ", " : "");
    return list;
}

clattn_status ca_approx_known(const char *text)
{
    text = trimmed(text);
    CA_REQUIRE(find(text) || ca_pattern_type(text, name_length(text)), CLATTN_E_ARGUMENT, "there is no approximation \"%.*s\"; there are %s",
               (int)ca_min((int64_t)name_length(text), 64), text, ca_approx_names());
    return CLATTN_OK;
}

clattn_status ca_approx_run(const struct target *t, const char *text, struct approx *x)
{
    clattn_attention a = t->a;
    struct ca_tree tree;
    clattn_status st;
    memset(x, 0, sizeof *x);
    if (!text) return attend(t, &a, NULL, x);
    CA_TRY(ca_approx_known(text));
    text = trimmed(text);
    const struct kind *kind = find(text);
    if (kind) {
        struct values v;
        const char *fields = text + name_length(text);
        CA_TRY(read_fields(fields + (*fields != 0), kind->field, &v));
        CA_TRY(kind->run(t, &v, x));
    } else {
        CA_TRY(ca_pattern_parse(text, &tree));
        ca_tree_complete(&tree, &a);
        CA_TRY(attend(t, &a, &(struct ca_lengths){.tree = &tree}, x));
    }
done:
    return st;
}

void ca_approx_free(struct approx *x)
{
    free(x->out);
    free(x->weights);
    memset(x, 0, sizeof *x);
}

/* ------------------------------------------------------------------- errors */

struct approx_error ca_approx_error(const struct target *t, const struct approx *exact, const struct approx *x)
{
    const struct problem *p = &t->p;
    const int64_t count = ca_out_batch(p) * p->Hq * ca_out_rows(p) * p->Dv, rows = p->B * p->Hq * t->rows;
    struct approx_error e = {0, 0, NAN};
    double squares = 0, norm = 0, sum = 0;
    for (int64_t n = 0; n < count; n++) {
        double d = (double)x->out[n] - (double)exact->out[n];
        squares += d * d;
        norm += (double)exact->out[n] * (double)exact->out[n];
        if (isnan(d) || fabs(d) > e.most) e.most = fabs(d);
    }
    e.relative = squares == 0 ? 0 : fabs(sqrt(squares / norm));
    if (!exact->weights || !x->weights) return e;
    for (int64_t n = 0; n < rows * p->Nk; n++) sum += fabs((double)x->weights[n] - (double)exact->weights[n]);
    e.weights = rows ? sum / 2 / (double)rows : 0;
    return e;
}
