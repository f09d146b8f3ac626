/* trial.c -- judges a device: every algorithm must give the known answer on a few small problems with ragged sizes, and
 * a larger one is timed.  The answers come from plain loops in f64, which share nothing with the algorithms. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/half.h"
#include "base/text.h"
#include "philox.h"
#include "plan/plan.h"
#include "runtime/inventory.h"

#define MAX_KEYS 512         /* of a problem below */
#define BENCH "f32 b1 h8 q512 k512 d64"
#define MAX_PROBLEMS 8
#define WISE 2               /* what costs so many times the cheapest is not planned: it is not tried either */
#define NOMINAL_GFLOPS 10    /* of a compute unit: a guess, on which costs of algorithms can be compared */
#define BENCH_SECONDS 0.03   /* repeated at least 3 times, and for so long */

/* Ragged tails in every size; grouped heads; keys that nobody sees (they hold NaN); rows without a key; strides;
 * few queries; no key at all; weights that may be rounded, which matrix engines want.  Builds take most of the time, a program
 * per storage type and D: the first shares its with BENCH.  Heads are many where a GPU shall take to tiles by itself (WISE). */
static const char *const usual[] = {
    "f32 h4/2 q60 k37 d64", "f32 h4/1 q1 k300 d64", "f16 b2 h2 q60 k65 d40/24 causal align=top_left",
    "f16 h4/2 q2 k70 d40/24", "bf16 h3 q60 k24 d40/24 win=7,2 layout=bshd", "f32 h2 q3 k0 d64",
    "f16 h32 q60 k65 d40/24 causal align=top_left rounded", "bf16 h32/16 q60 k24 d40/24 win=7,2 layout=bshd rounded", NULL,
};
/* For simulators, which take a second for a million instructions. */
static const char *const small[] = {
    "f32 h2/1 q5 k9 d6/4", "f16 h2 q6 k11 d8 causal align=top_left", "bf16 h1 q9 k5 d4 win=2,1 layout=bshd",
    "f32 h4/1 q1 k300 d64", "f32 h1 q2 k0 d4", NULL,
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

enum verdict { GOOD, BAD, NOT_LEGAL };

static enum verdict try_problem(clattn_context *ctx, const struct algo *algo, struct sample *s, char why[128])
{
    struct clattn_plan *plan = NULL;
    enum verdict verdict = BAD;
    clattn_status st = ca_plan_create(ctx, &s->p, algo->name, NULL, &plan);
    memset(s->data[CA_OUT], 0xff, ca_slot_bytes(&s->p, CA_OUT)); /* NaN in all three types */
    memset(s->data[CA_LSE], 0xff, ca_slot_bytes(&s->p, CA_LSE));
    if (st == CLATTN_OK) st = run(plan, s);
    if (st == CLATTN_E_UNSUPPORTED) verdict = NOT_LEGAL;
    else if (st) snprintf(why, 128, "%.127s", ca_message());
    else if (compare(s, why)) verdict = GOOD;
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
    const char *const *problems;
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

/* Tries algorithm I on the problems of the bit set WANTED, in a context of its own, since it may lose that. */
static void try_algorithm(struct test *x, int i, unsigned wanted)
{
    clattn_context *ctx = NULL;
    const char *name = ca_algos[i]->name;
    char why[128] = "";
    unsigned good = 0;
    bool bad = ca_context_open(&x->dev, &ctx) != CLATTN_OK;
    if (bad) blame(x->t, name, "opening the device", ca_message());
    ca_message_clear();
    x->tried[i] |= wanted;
    for (int k = 0; k < x->count && !bad; k++) {
        if (!(wanted >> k & 1)) continue;
        report(x->t, i, name, x->problems[k]);
        enum verdict v = try_problem(ctx, ca_algos[i], &x->sample[k], why);
        if (v == GOOD) good |= 1u << k;
        if (v != BAD) continue;
        blame(x->t, name, x->problems[k], why);
        bad = true;
    }
    ca_context_close(ctx);
    if (bad) x->dev.bad_algos = x->t->bad_algos |= 1u << i;
    else x->good |= good;
}

/* Those that the planner might take: legal, and not out of the question by cost. */
static void try_wise(struct test *x)
{
    unsigned wanted[32] = {0};
    for (int k = 0; k < x->count; k++) {
        struct candidate c[CA_MAX_CANDIDATES];
        size_t n = ca_ladder(&x->sample[k].p, &x->dev, NULL, c);
        for (size_t i = 0; i < n && c[i].legal; i++)
            if (i == 0 || x->t->thorough || c[i].cost_ms < WISE * c[0].cost_ms) wanted[number_of(c[i].algo)] |= 1u << k;
    }
    for (int i = 0; ca_algos[i] && i < 32; i++)
        if (wanted[i]) try_algorithm(x, i, wanted[i]);
}

/* Where all those failed: the others, cheapest first, until one is good. */
static void try_rest(struct test *x, int k)
{
    struct candidate c[CA_MAX_CANDIDATES];
    size_t n = ca_ladder(&x->sample[k].p, &x->dev, NULL, c);
    for (size_t i = 0; i < n && c[i].legal && !(x->good >> k & 1); i++)
        if (!(x->tried[number_of(c[i].algo)] >> k & 1)) try_algorithm(x, number_of(c[i].algo), 1u << k);
}

/* An algorithm that turns out to be bad late takes back what it was good for. */
static bool still_good(const struct test *x, int k)
{
    for (int i = 0; i < 32; i++)
        if (x->tried[i] >> k & 1 && !(x->dev.bad_algos >> i & 1)) return true;
    return false;
}

/* True when every problem has an algorithm that is good. */
static bool self_test(const struct device *dev, struct trial *t)
{
    struct test *x = calloc(1, sizeof *x);
    bool good = x != NULL;
    if (!x) return false;
    x->dev = *dev;
    x->dev.bad_algos = t->bad_algos;
    x->problems = dev->quirks & CA_QUIRK_SLOW ? small : usual;
    x->t = t;
    for (; good && x->problems[x->count]; x->count++)
        good = !make_sample(x->problems[x->count], &x->sample[x->count]) && !make_answer(&x->sample[x->count]);
    if (!good) blame(t, "self-test", "preparing it", ca_message());
    if (good) try_wise(x);
    for (int k = 0; k < x->count; k++) {
        if (good && !(x->good >> k & 1)) try_rest(x, k);
    }
    for (int k = 0; k < x->count; k++) {
        if (good && !still_good(x, k)) {
            if (!t->words[0]) blame(t, "self-test", x->problems[k], "no algorithm");
            good = false;
        }
        free_sample(&x->sample[k]);
    }
    ca_message_clear();
    free(x);
    return good;
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

static void measure(const struct device *dev, struct trial *t)
{
    struct device good = *dev;
    clattn_context *ctx = NULL;
    struct clattn_plan *plan = NULL;
    struct sample s;
    clattn_status st;
    good.bad_algos |= t->bad_algos;
    CA_TRY(make_sample(BENCH, &s));
    CA_TRY(ca_context_open(&good, &ctx));
    report(t, -1, "measuring", BENCH);
    CA_TRY(ca_plan_create(ctx, &s.p, NULL, NULL, &plan));
    report(t, number_of(plan->algo), "measuring", BENCH);
    CA_TRY(time_plan(plan, &s, &t->gflops));
done:
    if (st) blame(t, "measuring", BENCH, ca_message());
    ca_message_clear();
    ca_plan_destroy(plan);
    ca_context_close(ctx);
    free_sample(&s);
}

void ca_plan_trial(const struct device *dev, struct trial *t)
{
    struct device plain = *dev;
    plain.bad_algos = 0; /* algorithms that are bad are not tried; the others must not be hidden */
    plain.gflops = NOMINAL_GFLOPS * dev->compute_units;
    plain.quirks |= CA_QUIRK_NO_BINARY; /* nobody asks for such programs again, and PoCL compiles once more for a binary */
    t->words[0] = 0;
    t->gflops = 0;
    t->passed = self_test(&plain, t);
    if (t->passed && !(dev->quirks & CA_QUIRK_SLOW)) measure(&plain, t);
}
