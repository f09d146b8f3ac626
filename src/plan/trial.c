/* trial.c -- judges a device: its algorithms must give known answers on a few small problems with ragged sizes, and a larger one is timed:
 *
 *     a first look    the algorithm that BENCH takes, in f32, then BENCH's time
 *     an ask          one algorithm on problems of one type: when it is planned for the first time
 *     thorough        all of them on all problems (the host, where nothing is built, and `clattn selftest`)
 *
 * Builds take most of the time, on some devices seconds: so what is tried has the dims and parameters that were planned, which makes it the very
 * program that is used next.  The answers come from plain loops in f64, which share nothing with the algorithms. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/half.h"
#include "base/text.h"
#include "philox.h"
#include "plan/plan.h"
#include "runtime/context.h"
#include "runtime/inventory.h"

#define MAX_KEYS 512         /* of a problem below */
#define BENCH_TYPE "f32"
#define BENCH_DIMS "d64"
#define BENCH BENCH_TYPE " b1 h8 q512 k512 " BENCH_DIMS
#define MAX_PROBLEMS 8
#define WISE 2               /* what costs so many times the cheapest is not planned: it is not tried on such a problem */
#define NOMINAL_GFLOPS 10    /* of a compute unit: a guess, on which costs of algorithms can be compared */
#define BENCH_SECONDS 0.03   /* repeated at least 3 times, and for so long */

/* Ragged tails in every size; grouped heads; keys that nobody sees (they hold NaN); rows without a key; strides;
 * few queries; no key at all; weights that may be rounded, which matrix engines want.  Heads are many where a GPU shall take to tiles by itself. */
struct row { const char *type, *dims, *rest; };
static const struct row usual[] = {
    {"f32", "d64", "h4/2 q60 k37"}, {"f32", "d64", "h4/1 q1 k300"}, {"f16", "d40/24", "b2 h2 q60 k65 causal align=top_left"},
    {"f16", "d40/24", "h4/2 q2 k70"}, {"bf16", "d40/24", "h3 q60 k24 win=7,2 layout=bshd"}, {"f32", "d64", "h2 q3 k0"},
    {"f16", "d40/24", "h32 q60 k65 causal align=top_left rounded"}, {"bf16", "d40/24", "h32/16 q60 k24 win=7,2 layout=bshd rounded"}, {0},
};
/* For simulators, which take a second for a million instructions. */
static const struct row small[] = {
    {"f32", "d6/4", "h2/1 q5 k9"}, {"f16", "d8", "h2 q6 k11 causal align=top_left"}, {"bf16", "d4", "h1 q9 k5 win=2,1 layout=bshd"},
    {"f32", "d64", "h4/1 q1 k300"}, {"f32", "d4", "h1 q2 k0"}, {0},
};

/* A problem with its data and its answer. */
struct sample {
    struct problem p;
    void *data[CA_SLOTS];
    double *out, *lse;       /* the answer, [b][h][i][e] and [b][h][i] */
    double bound;            /* on the error of out */
};

/* ---- data */

static double load(clattn_dtype type, const void *x, int64_t i) { return ca_element(type, x, i); }

static void store(clattn_dtype type, void *x, int64_t i, float v)
{
    if (type == CLATTN_F32) ((float *)x)[i] = v;
    else ((uint16_t *)x)[i] = type == CLATTN_F16 ? ca_f32_to_f16(v) : ca_f32_to_bf16(v);
}

static double rounded(clattn_dtype type, double v)
{
    float one;
    store(type, &one, 0, (float)v);
    return load(type, &one, 0);
}

static int64_t at(const struct ca_strides *s, int64_t b, int64_t h, int64_t row, int64_t d)
{
    return b * s->b + h * s->h + row * s->s + d * s->d;
}

static void keys_of(const struct problem *p, int64_t i, int *lo, int *hi)
{
    *lo = ca_key_lo(i + p->offset, p->left, (ca_int)p->Nk);
    *hi = ca_key_hi(i + p->offset, p->right, (ca_int)p->Nk);
}

static bool is_seen(const struct problem *p, int64_t j)
{
    int lo, hi;
    for (int64_t i = 0; i < p->Nq; i++) {
        keys_of(p, i, &lo, &hi);
        if (lo <= j && j < hi) return true;
    }
    return false;
}

static void fill(struct sample *s, enum ca_slot slot)
{
    const struct problem *p = &s->p;
    const struct ca_strides *t = slot == CA_Q ? &p->q : slot == CA_K ? &p->k : &p->v;
    int64_t heads = slot == CA_Q ? p->Hq : p->Hkv, rows = slot == CA_Q ? p->Nq : p->Nk,
            dims = slot == CA_V ? p->Dv : p->D;
    uint64_t n = 0;
    for (int64_t b = 0; b < p->B; b++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 0; i < rows; i++)
                for (int64_t d = 0; d < dims; d++, n++) {
                    float x = 4 * ca_philox_uniform(1, slot, n) - 2;
                    store(p->dtype, s->data[slot], at(t, b, h, i, d), slot != CA_Q && !is_seen(p, i) ? NAN : x);
                }
}

/* ---- answer */

/* One row, exactly; *PLAIN gets the largest error of the same computation done in f32 with weights and result
 * rounded to the storage type. */
static void answer_row(const struct sample *s, int64_t b, int64_t h, int64_t i, double *out, double *lse, double *plain)
{
    const struct problem *p = &s->p;
    int64_t kv = h / (p->Hq / p->Hkv);
    double w[MAX_KEYS], max = -INFINITY, sum = 0;
    float wf[MAX_KEYS], maxf = -INFINITY, sumf = 0;
    int lo, hi;
    keys_of(p, i, &lo, &hi);
    for (int j = lo; j < hi; j++) {
        double dot = 0;
        float dotf = 0;
        for (int64_t d = 0; d < p->D; d++) {
            double x = load(p->dtype, s->data[CA_Q], at(&p->q, b, h, i, d));
            double y = load(p->dtype, s->data[CA_K], at(&p->k, b, kv, j, d));
            dot += x * y;
            dotf += (float)x * (float)y;
        }
        w[j] = p->scale * dot;
        wf[j] = p->scale * dotf;
        max = fmax(max, w[j]);
        maxf = fmaxf(maxf, wf[j]);
    }
    for (int j = lo; j < hi; j++) {
        sum += w[j] = exp(w[j] - max);
        sumf += wf[j] = expf(wf[j] - maxf);
    }
    *lse = lo < hi ? max + log(sum) : -INFINITY;
    for (int64_t e = 0; e < p->Dv; e++) {
        double o = 0;
        float of = 0;
        for (int j = lo; j < hi; j++) {
            double y = load(p->dtype, s->data[CA_V], at(&p->v, b, kv, j, e));
            o += w[j] / sum * y;
            of += (float)rounded(p->dtype, wf[j] / sumf) * (float)y;
        }
        out[e] = o;
        *plain = fmax(*plain, fabs(rounded(p->dtype, of) - o));
    }
}

/* Twice the plain error and one unit in the last place of the largest value. */
static void answer(struct sample *s)
{
    const struct problem *p = &s->p;
    double plain = 0, largest = 0;
    for (int64_t row = 0; row < p->B * p->Hq * p->Nq; row++)
        answer_row(s, row / p->Nq / p->Hq, row / p->Nq % p->Hq, row % p->Nq, s->out + row * p->Dv, s->lse + row,
                   &plain);
    for (int64_t n = 0; n < p->B * p->Hq * p->Nq * p->Dv; n++) largest = fmax(largest, fabs(s->out[n]));
    double ulp = p->dtype == CLATTN_F32 ? 0x1p-23 : p->dtype == CLATTN_F16 ? 0x1p-10 : 0x1p-7;
    s->bound = 2 * plain + largest * ulp;
}

/* ---- samples */

static void free_sample(struct sample *s)
{
    for (int i = 0; i < CA_SLOTS; i++) free(s->data[i]);
    free(s->out);
    free(s->lse);
}

static clattn_status make_sample(const char *text, struct sample *s)
{
    clattn_attention a;
    clattn_status st;
    memset(s, 0, sizeof *s);
    CA_TRY(ca_problem_parse(text, &a));
    CA_TRY(ca_problem_init(&s->p, &a));
    for (int i = CA_Q; i <= CA_LSE; i++) {
        size_t bytes = ca_slot_bytes(&s->p, (enum ca_slot)i);
        s->data[i] = malloc(bytes ? bytes : 1);
        if (!s->data[i]) return ca_no_memory(bytes, "a self-test");
    }
    for (int i = CA_Q; i <= CA_V; i++) fill(s, (enum ca_slot)i);
done:
    return st;
}

static clattn_status make_answer(struct sample *s)
{
    size_t rows = (size_t)(s->p.B * s->p.Hq * s->p.Nq);
    s->out = calloc(rows * (size_t)s->p.Dv, sizeof *s->out);
    s->lse = calloc(rows, sizeof *s->lse);
    if (!s->out || !s->lse) return ca_no_memory(rows * (size_t)s->p.Dv * sizeof *s->out, "a self-test's answer");
    answer(s);
    return CLATTN_OK;
}

static clattn_status run(const struct clattn_plan *plan, struct sample *s)
{
    struct io io = {0};
    for (int i = CA_Q; i <= CA_LSE; i++) io.t[i].host = s->data[i];
    return ca_plan_run_host(plan, &io);
}

/* NaN counts as infinitely far, and what should be infinite must be. */
static double distance(double got, double wanted)
{
    double d = got == wanted ? 0 : fabs(got - wanted);
    return d <= INFINITY ? d : INFINITY;
}

/* True, or what is wrong is written to WHY. */
static bool compare(const struct sample *s, char why[128])
{
    const struct problem *p = &s->p;
    double worst = 0, worst_lse = 0;
    for (int64_t row = 0; row < p->B * p->Hq * p->Nq; row++) {
        double lse = s->lse[row], size = isinf(lse) ? 1 : 1 + fabs(lse);
        worst_lse = fmax(worst_lse, distance(((const float *)s->data[CA_LSE])[row], lse) / size);
        for (int64_t e = 0; e < p->Dv; e++) {
            int64_t where = at(&p->o, row / p->Nq / p->Hq, row / p->Nq % p->Hq, row % p->Nq, e);
            worst = fmax(worst, distance(load(p->dtype, s->data[CA_OUT], where), s->out[row * p->Dv + e]));
        }
    }
    if (worst > s->bound) snprintf(why, 128, "error %.2g exceeds %.2g", worst, s->bound);
    else if (worst_lse > 1e-5) snprintf(why, 128, "error of lse %.2g exceeds %.2g", worst_lse, 1e-5);
    else return true;
    return false;
}

/* ---- the self-test */

enum verdict { GOOD, BAD, NOT_LEGAL, NO_RESULT };

/* PARAMS as far as they suit the sample, else the default. */
static enum verdict try_problem(clattn_context *ctx, const struct algo *algo, const char *params, struct sample *s, char why[128])
{
    struct clattn_plan *plan = NULL;
    enum verdict verdict = NO_RESULT;
    clattn_status st = s->out ? CLATTN_OK : make_answer(s);
    if (st == CLATTN_OK) st = ca_plan_create(ctx, &s->p, algo->name, params, &plan);
    if (st == CLATTN_E_UNSUPPORTED) st = ca_plan_create(ctx, &s->p, algo->name, NULL, &plan);
    memset(s->data[CA_OUT], 0xff, ca_slot_bytes(&s->p, CA_OUT)); /* NaN in all three types */
    memset(s->data[CA_LSE], 0xff, ca_slot_bytes(&s->p, CA_LSE));
    if (st == CLATTN_OK) st = run(plan, s);
    if (st == CLATTN_E_UNSUPPORTED) verdict = NOT_LEGAL;
    else if (st) snprintf(why, 128, "%.127s", ca_message());
    else verdict = compare(s, why) ? GOOD : BAD;
    ca_plan_destroy(plan);
    ca_message_clear();
    return verdict;
}

static void report(struct trial *t, int algo, const char *name, const char *what)
{
    char words[160];
    snprintf(words, sizeof words, "%s: %s", name, what);
    if (t->progress) t->progress(t->user, algo, words);
}

static void blame(struct trial *t, const char *algo, const char *problem, const char *why)
{
    size_t n = strlen(t->words);
    snprintf(t->words + n, sizeof t->words - n, "%s%s: %s: %s", n ? "; " : "", algo, problem, why);
}

/* What the self-test knows so far. */
struct test {
    struct device dev;               /* its bad_algos as T's */
    clattn_context *ctx;             /* closed when an algorithm was bad, which may have harmed it; then opened anew */
    char problem[MAX_PROBLEMS][96];
    struct sample sample[MAX_PROBLEMS];
    int count;
    unsigned tried[32];              /* bit k of [i]: algorithm i was tried on problem k */
    unsigned good;                   /* bit k: problem k has an algorithm that gives the right answer */
    struct trial *t;
};

static int number_of(const struct algo *algo)
{
    for (int i = 0; ca_algos[i]; i++)
        if (ca_algos[i] == algo) return i;
    return 31; /* the table is shorter than that */
}

static void end_test(struct test *x)
{
    if (!x) return;
    for (int k = 0; k < x->count; k++) free_sample(&x->sample[k]);
    ca_context_close(x->ctx);
    free(x);
}

/* A test of DEV on all problems, or, where TYPE is given, those of that type, with DIMS; NULL, and said in T's words, when it cannot be made. */
static struct test *begin_test(const struct device *dev, struct trial *t, const char *type, const char *dims)
{
    struct test *x = calloc(1, sizeof *x);
    bool good = x || ca_no_memory(sizeof *x, "a self-test") == CLATTN_OK;
    for (const struct row *r = dev->quirks & CA_QUIRK_SLOW ? small : usual; good && r->type; r++) {
        if (type && strcmp(type, r->type)) continue;
        snprintf(x->problem[x->count], sizeof *x->problem, "%s %s %s", r->type, r->rest, dims ? dims : r->dims);
        good = make_sample(x->problem[x->count], &x->sample[x->count]) == CLATTN_OK;
        x->count++;
    }
    if (good) {
        x->dev = *dev;
        x->dev.bad_algos = t->bad_algos;
        x->t = t;
        return x;
    }
    blame(t, "self-test", "preparing it", ca_message());
    ca_message_clear();
    end_test(x);
    return NULL;
}

/* Tries algorithm I on the problems of the bit set WANTED.  In an ask what fails with an error gives NO_RESULT: it may be for want of something, and a
 * plan that fails has its own message. */
static enum verdict try_algorithm(struct test *x, int i, unsigned wanted, const char *params)
{
    const char *name = ca_algos[i]->name;
    char why[128] = "";
    unsigned good = 0;
    enum verdict all = GOOD;
    if (!x->ctx && ca_context_open(&x->dev, &x->ctx) != CLATTN_OK) {
        blame(x->t, name, "opening the device", ca_message());
        all = NO_RESULT;
    }
    ca_message_clear();
    x->tried[i] |= wanted;
    for (int k = 0; k < x->count && all == GOOD; k++) {
        if (!(wanted >> k & 1)) continue;
        report(x->t, i, name, x->problem[k]);
        enum verdict v = try_problem(x->ctx, ca_algos[i], params, &x->sample[k], why);
        if (v == GOOD) good |= 1u << k;
        if (v == GOOD || v == NOT_LEGAL) continue;
        blame(x->t, name, x->problem[k], why);
        all = v;
    }
    if (all == NO_RESULT && !x->t->ask) all = BAD;
    if (all == GOOD) {
        x->good |= good;
    } else {
        ca_context_close(x->ctx);
        x->ctx = NULL;
    }
    if (all == BAD) x->dev.bad_algos = x->t->bad_algos |= 1u << i;
    return all;
}

/* The problems for which algorithm I might be planned: where it is legal, and not out of the question by cost; where there is none of these, a legal one. */
static unsigned wise_for(const struct test *x, int i)
{
    unsigned wise = 0, legal = 0;
    for (int k = 0; k < x->count; k++) {
        struct candidate c[CA_MAX_CANDIDATES];
        size_t n = ca_ladder(&x->sample[k].p, &x->dev, NULL, c), place = 0;
        while (place < n && c[place].algo != ca_algos[i]) place++;
        if (place == n || !c[place].legal) continue;
        if (!legal) legal = 1u << k;
        if (place == 0 || x->t->thorough || c[place].cost_ms < WISE * c[0].cost_ms) wise |= 1u << k;
    }
    return wise ? wise : legal;
}

/* Where those all failed: the others, cheapest first, until one is good. */
static void try_rest(struct test *x, int k)
{
    struct candidate c[CA_MAX_CANDIDATES];
    size_t n = ca_ladder(&x->sample[k].p, &x->dev, NULL, c);
    for (size_t i = 0; i < n && c[i].legal && !(x->good >> k & 1); i++)
        if (!(x->tried[number_of(c[i].algo)] >> k & 1)) try_algorithm(x, number_of(c[i].algo), 1u << k, NULL);
}

/* An algorithm that turns out to be bad late takes back what it was good for. */
static bool still_good(const struct test *x, int k)
{
    for (int i = 0; i < 32; i++)
        if (x->tried[i] >> k & 1 && !(x->dev.bad_algos >> i & 1)) return true;
    return false;
}

/* ---- the micro-benchmark */

/* Best of several runs, transfers included, after one that warms up. */
static clattn_status time_plan(const struct clattn_plan *plan, struct sample *s, double *gflops)
{
    double best = INFINITY, total = 0;
    clattn_status st;
    CA_TRY(run(plan, s));
    for (int n = 0; n < 3 || total < BENCH_SECONDS; n++) {
        double start = ca_now();
        CA_TRY(run(plan, s));
        double seconds = fmax(ca_now() - start, 1e-9);
        total += seconds;
        best = fmin(best, seconds);
    }
    *gflops = ca_problem_flops(&s->p) / best * 1e-9;
done:
    return st;
}

static void measure(struct test *x)
{
    struct trial *t = x->t;
    struct clattn_plan *plan = NULL;
    struct sample s;
    clattn_status st;
    if (x->dev.quirks & CA_QUIRK_SLOW) return;
    CA_TRY(make_sample(BENCH, &s));
    if (!x->ctx) CA_TRY(ca_context_open(&x->dev, &x->ctx));
    report(t, -1, "measuring", BENCH);
    CA_TRY(ca_plan_create(x->ctx, &s.p, NULL, NULL, &plan));
    report(t, number_of(plan->algo), "measuring", BENCH);
    CA_TRY(time_plan(plan, &s, &t->gflops));
done:
    if (st) blame(t, "measuring", BENCH, ca_message());
    ca_message_clear();
    ca_plan_destroy(plan);
    free_sample(&s);
}

/* ---- what is judged: the device, with all or with one algorithm, or one algorithm */

/* True when every problem has an algorithm that is good. */
static bool test_all(const struct device *dev, struct trial *t)
{
    bool good = true;
    struct test *x = begin_test(dev, t, NULL, NULL);
    if (!x) return false;
    for (int i = 0; ca_algos[i] && i < 32; i++)
        if (wise_for(x, i)) try_algorithm(x, i, wise_for(x, i), NULL);
    for (int k = 0; k < x->count; k++)
        if (!(x->good >> k & 1)) try_rest(x, k);
    for (int k = 0; k < x->count && good; k++) {
        good = still_good(x, k);
        if (!good && !t->words[0]) blame(t, "self-test", x->problem[k], "no algorithm");
    }
    for (int type = 0; type < CA_TYPES; type++) t->tested[type] = ~t->bad_algos;
    if (good) measure(x);
    end_test(x);
    return good;
}

/* True when there is an algorithm for BENCH that is good: the cheapest is tested. */
static bool test_first(const struct device *dev, struct trial *t)
{
    struct candidate c[CA_MAX_CANDIDATES];
    struct sample bench;
    bool good = false;
    struct test *x = begin_test(dev, t, BENCH_TYPE, BENCH_DIMS);
    if (!x) return false;
    size_t n = make_sample(BENCH, &bench) == CLATTN_OK ? ca_ladder(&bench.p, &x->dev, NULL, c) : 0;
    for (size_t place = 0; place < n && c[place].legal && !good; place++) {
        const int i = number_of(c[place].algo);
        char params[256];
        ca_params_print(c[place].algo, &c[place].params, params, sizeof params);
        good = try_algorithm(x, i, wise_for(x, i), params) == GOOD;
        if (good) t->tested[CLATTN_F32] |= 1u << i;
    }
    if (good) measure(x);
    else if (!t->words[0]) blame(t, "self-test", BENCH, "no algorithm");
    ca_message_clear();
    free_sample(&bench);
    end_test(x);
    return good;
}

/* ASK is "TYPE DIMS ALGORITHM PARAMS". */
static int answer_ask(const struct device *dev, struct trial *t)
{
    char type[8] = "", dims[32] = "", name[32] = "";
    int i = 0, end = 0;
    enum verdict v = NO_RESULT;
    sscanf(t->ask, "%7s %31s %31s %n", type, dims, name, &end);
    while (ca_algos[i] && strcmp(ca_algos[i]->name, name)) i++;
    if (!ca_algos[i] || !end) {
        blame(t, "self-test", t->ask, "not understood");
        return -1;
    }
    struct test *x = begin_test(dev, t, type, dims);
    if (x) v = try_algorithm(x, i, wise_for(x, i), t->ask + end);
    end_test(x);
    return v == GOOD ? 1 : v == BAD ? 0 : -1;
}

bool ca_trial_vouches(clattn_context *ctx, const struct problem *p, const struct candidate *c)
{
    static const char *const types[CA_TYPES] = {"f32", "f16", "bf16"};
    const unsigned i = (unsigned)number_of(c->algo);
    char ask[256];
    struct ca_text t = {ask, sizeof ask, 0};
    struct device dev;
    pthread_mutex_lock(&ctx->lock);
    dev = ctx->dev;
    pthread_mutex_unlock(&ctx->lock);
    if (!ctx->self_tests || (dev.bad_algos | dev.tested[p->dtype]) >> i & 1) return !(dev.bad_algos >> i & 1);

    ca_text_put(&t, "%s d%lld/%lld %s ", types[p->dtype], (long long)p->D, (long long)p->Dv, c->algo->name);
    ca_params_print(c->algo, &c->params, ask + t.length, sizeof ask - t.length);
    ca_inventory_ask(ca_plan_trial, &dev, i, p->dtype, ask);
    pthread_mutex_lock(&ctx->lock);
    ctx->dev.bad_algos |= dev.bad_algos;
    ctx->dev.tested[p->dtype] |= dev.tested[p->dtype];
    pthread_mutex_unlock(&ctx->lock);
    return !(dev.bad_algos >> i & 1);
}

void ca_plan_trial(const struct device *dev, struct trial *t)
{
    struct device plain = *dev;
    const bool all = t->thorough || ca_is_host(dev);
    plain.bad_algos = 0; /* algorithms that are bad are not tried; the others must not be hidden */
    plain.gflops = NOMINAL_GFLOPS * dev->compute_units;
    /* Programs of a thorough test nobody asks for again; a binary that takes long would be waited for. */
    if (all || dev->quirks & CA_QUIRK_LATE_BINARY) plain.quirks |= CA_QUIRK_NO_BINARY;
    t->words[0] = 0;
    t->gflops = 0;
    memset(t->tested, 0, sizeof t->tested);
    t->passed = t->ask ? answer_ask(&plain, t) : all ? test_all(&plain, t) : test_first(&plain, t);
}
