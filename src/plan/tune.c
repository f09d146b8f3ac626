/* tune.c -- finds parameters for a problem on a device by measuring:
 *
 *     starts: each algorithm that may be wise, as its guess and as what is known of problems near it have it
 *        │
 *        ▼      one parameter after the other, all its values against the best so far, until none helps
 *     climb, the fastest start; then the second, if it is near; then from random places, until the time is over
 *        │
 *        ▼
 *     the three best once more, in turn
 *
 * The tries run in the helper process (src/probe/measure.c), some at a time, interleaved, so that a drift of the clock meets all: what counts is
 * a try's ratio to the first that ran, which is always among them.  (To the best so far it must not be: that one was lucky, and each next one would
 * be on top of it.)  A try that crashes or hangs ends the helper, not us: it is remembered and not made
 * again with that driver.  Each result is a record (wisdom.h), so that a tuning that was broken off goes on where it was. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/text.h"
#include "philox.h"
#include "plan/plan.h"
#include "plan/tune.h"
#include "plan/wisdom.h"
#include "runtime/probe.h"

#define USUAL_SECONDS 60
#define BATCH 8            /* tries of one helper process */
#define MAX_TRIES 2048
#define WISE 8             /* what is thought to cost so many times the cheapest is not tried */
#define NEAR 1.5           /* a second algorithm that starts so near is worth a climb */
#define BETTER 0.98        /* smaller gains are noise */
#define HANGS_MS 60000     /* between two signs of progress: a build takes some devices a while */

struct try { struct candidate c; double ms; bool confirmed; }; /* INFINITY: it failed */

struct tuning {
    const struct device *dev;
    const struct inventory_entry *entry;
    const struct problem *p;
    char problem[512];
    double end;
    struct try tried[MAX_TRIES];
    int count, best, first, new_tries;     /* the best's number and that of the first that ran, -1 before there is one */
    const clattn_tune_options *o;
    int starts;                            /* above 0: no search, only so many of the cheapest algorithms */
    char how[128];                         /* why no helper answers */
};

/* ------------------------------------------------------------- measuring */

struct hearing { double ms[BATCH + 1]; char fails[BATCH + 1][128], cannot[128]; int step, crashed; }; /* the numbers of tries, -1: none */

static void hear(void *user, const json_t *record)
{
    struct hearing *h = user;
    const json_t *step = json_object_get(record, "step"), *timed = json_object_get(record, "timed"), *failed = json_object_get(record, "failed");
    const char *words = json_string_value(json_object_get(record, "words"));
    const json_int_t k = json_integer_value(step ? step : timed ? timed : failed);
    const double ms = json_number_value(json_object_get(record, "ms"));
    if (json_is_string(json_object_get(record, "cannot"))) snprintf(h->cannot, sizeof h->cannot, "%.127s", json_string_value(json_object_get(record, "cannot")));
    if ((!step && !timed && !failed) || k < 0 || k > BATCH) return;
    h->step = (int)k;
    if (timed && ms > 0 && isfinite(ms)) h->ms[k] = ms;
    if (failed) snprintf(h->fails[k], sizeof h->fails[k], "%.127s", words && words[0] ? words : "it failed");
}

static void remember(const struct tuning *t, const struct candidate *c, double ms, const char *fails, bool crashes)
{
    struct wisdom w = { .ms = ms, .crashes = crashes };
    ca_wisdom_device(&w, t->dev);
    snprintf(w.problem, sizeof w.problem, "%s", t->problem);
    snprintf(w.algorithm, sizeof w.algorithm, "%s", c->algo->name);
    ca_params_print(c->algo, &c->params, w.params, sizeof w.params);
    snprintf(w.fails, sizeof w.fails, "%s", fails);
    ca_wisdom_add(&w);
}

static void put_name(const struct candidate *c, char text[300])
{
    const int n = snprintf(text, 300, "%s ", c->algo->name);
    ca_params_print(c->algo, &c->params, text + n, 300 - (size_t)n);
}

/* Has the helper make the N tries whose numbers are WHICH, at most BATCH + 1.  What ends it is a failure of the try that it was at. */
static enum ca_outcome run_helper(struct tuning *t, const int *which, int n, struct hearing *h)
{
    char list[(BATCH + 1) * 300] = "", name[300], how[128];
    struct ca_text text = { list, sizeof list, 0 };
    for (int k = 0; k < n; k++) {
        put_name(&t->tried[which[k]].c, name);
        ca_text_put(&text, "%s%s", k ? ";" : "", name);
    }
    *h = (struct hearing){ .step = -1, .crashed = -1 };
    const enum ca_outcome outcome = ca_helper_on(t->entry, "tune", t->problem, list, HANGS_MS, hear, h, how);
    if (outcome != CA_RAN) snprintf(t->how, sizeof t->how, "%s", how);
    if ((outcome == CA_CRASHED || outcome == CA_HUNG) && h->step >= 0 && h->step < n) {
        h->crashed = h->step;
        snprintf(h->fails[h->step], sizeof h->fails[h->step], "%s", how);
    }
    return outcome;
}

static bool is_same(const struct candidate *a, const struct candidate *b) { return a->algo == b->algo && !memcmp(&a->params, &b->params, sizeof a->params); }

/* Gives what has no effect the values of FROM. */
static void settle(struct candidate *c, const struct params *from, const char *named)
{
    const struct params t = c->params;
    for (int i = 0; c->algo->uses && c->algo->params[i].name; i++)
        if (!c->algo->uses(&t, i) && !ca_params_name(named, c->algo, i)) c->params.v[i] = from->v[i];
}

static bool is_over(const struct tuning *t) { return ca_now() > t->end || t->count >= MAX_TRIES; }

static void tell(const struct tuning *t, int k)
{
    char tried[300], best[300] = "";
    if (!t->o->progress) return;
    put_name(&t->tried[k].c, tried);
    if (t->best >= 0) put_name(&t->tried[t->best].c, best);
    t->o->progress(t->o->user, &(clattn_tune_step){ t->problem, tried, best, k + 1, t->tried[k].ms, t->best >= 0 ? t->tried[t->best].ms : INFINITY });
}

/* Adds N tries to those that were made, and measures them against the first that ran. */
static clattn_status measure(struct tuning *t, const struct candidate *c, int n)
{
    const int from = t->count;
    struct hearing h;
    for (int k = 0; k < n && t->count < MAX_TRIES; k++) {
        struct try *new = &t->tried[t->count];
        struct wisdom w;
        struct candidate one = c[k];
        struct params usual = { { 0 } };
        char params[256];
        bool known = false;
        if (one.algo->defaults) one.algo->defaults(t->p, t->dev, &usual);
        settle(&one, &usual, t->o->params);
        for (int e = 0; e < t->count && !known; e++) known = is_same(&t->tried[e].c, &one);
        if (known) continue;
        *new = (struct try){ one, -1, false };
        ca_params_print(one.algo, &one.params, params, sizeof params);
        if (ca_wisdom_poisoned(t->dev, one.algo->name, params)) new->ms = INFINITY;
        else if (ca_wisdom_exact(t->dev, t->problem, one.algo->name, params, &w)) new->ms = w.fails[0] ? INFINITY : w.ms;
        t->count++;
    }
    for (int crashes = 0; crashes < 3;) {
        int which[BATCH + 1], number = 0;
        if (t->first >= 0) which[number++] = t->first;
        const int begin = number;
        for (int k = from; k < t->count && number <= BATCH; k++)
            if (t->tried[k].ms < 0) which[number++] = k;
        if (number == begin) break;
        const enum ca_outcome outcome = run_helper(t, which, number, &h);
        CA_REQUIRE(outcome != CA_MISSING && outcome != CA_BROKEN, CLATTN_E_UNSUPPORTED, "tuning needs the helper process: %s", t->how);
        CA_REQUIRE(!h.cannot[0], CLATTN_E_UNSUPPORTED, "%s cannot be tried on %s: %s", t->problem, t->dev->name, h.cannot);
        if (outcome != CA_RAN) crashes++;
        const double drift = begin && h.ms[0] > 0 ? t->tried[t->first].ms / h.ms[0] : 1;
        for (int k = begin; k < number; k++) {
            struct try *x = &t->tried[which[k]];
            if (h.fails[k][0]) x->ms = INFINITY;
            else if (h.ms[k] > 0) x->ms = h.ms[k] * drift;
            else if (outcome == CA_RAN) x->ms = INFINITY;
            else continue; /* it comes again */
            t->new_tries++;
            if (h.fails[k][0] || x->ms < INFINITY) remember(t, &x->c, x->ms < INFINITY ? x->ms : 0, h.fails[k], h.crashed == k);
        }
    }
    for (int k = from; k < t->count; k++) {
        if (t->tried[k].ms < 0) t->tried[k].ms = INFINITY;
        if (t->tried[k].ms < INFINITY && t->first < 0) t->first = k;
        if (t->tried[k].ms < INFINITY && (t->best < 0 || t->tried[k].ms < t->tried[t->best].ms)) t->best = k;
        tell(t, k);
    }
    ca_wisdom_save();
    return CLATTN_OK;
}

/* -------------------------------------------------------------- searching */

/* From C on, one parameter after the other. */
static clattn_status climb(struct tuning *t, struct candidate c)
{
    clattn_status st = CLATTN_OK;
    double ms = INFINITY;
    for (bool gained = true; gained && !is_over(t);) {
        gained = false;
        for (int i = 0; c.algo->params[i].name && !is_over(t); i++) {
            const struct param *param = &c.algo->params[i];
            struct candidate batch[BATCH];
            size_t e = 0;
            do {
                int n = 0;
                for (; e < param->count && n < BATCH; e++) {
                    if (param->values[e] == c.params.v[i] || ca_params_name(t->o->params, c.algo, i) || !ca_can_try(&c, i, param->values[e], t->p, t->dev)) continue;
                    batch[n] = c;
                    batch[n++].params.v[i] = param->values[e];
                }
                if (n) CA_TRY(measure(t, batch, n));
            } while (e < param->count && !is_over(t));
            for (int k = 0; k < t->count; k++) { /* the best that differs in nothing else */
                struct candidate other = t->tried[k].c;
                if (other.algo != c.algo) continue;
                const bool itself = other.params.v[i] == c.params.v[i];
                settle(&other, &c.params, NULL);
                other.params.v[i] = c.params.v[i];
                if (!is_same(&other, &c) || t->tried[k].ms >= ms * (itself ? 1 : BETTER)) continue;
                gained |= !itself;
                ms = t->tried[k].ms;
                c.params = t->tried[k].c.params;
            }
        }
    }
done:
    return st;
}

/* Starts: each algorithm as its defaults and as planner would have it. */
static clattn_status start(struct tuning *t)
{
    struct candidate c[CA_MAX_CANDIDATES], starts[2 * CA_MAX_CANDIDATES];
    const size_t n = ca_ladder(t->p, t->dev, t->o->params, c);
    int count = 0;
    for (size_t k = 0; k < n && c[k].legal; k++) {
        if (t->starts && count == t->starts) break;
        if (t->o->algorithm ? strcmp(c[k].algo->name, t->o->algorithm) != 0 : c[k].cost_ms > WISE * c[0].cost_ms && k > 0) continue;
        struct candidate guess = c[k];
        memset(&guess.params, 0, sizeof guess.params);
        if (guess.algo->defaults) guess.algo->defaults(t->p, t->dev, &guess.params);
        if (!t->starts && !t->o->params && !is_same(&guess, &c[k]) && ca_can_try(&guess, 0, guess.params.v[0], t->p, t->dev)) starts[count++] = guess;
        starts[count++] = c[k];
    }
    CA_REQUIRE(count > 0, CLATTN_E_UNSUPPORTED, "%s%s would run %s on %s: see clattn explain", t->o->algorithm ? "no try of " : "no algorithm",
               t->o->algorithm ? t->o->algorithm : "", t->problem, t->dev->name);
    for (int k = 0; k < count; k += BATCH) {
        clattn_status st = measure(t, starts + k, count - k < BATCH ? count - k : BATCH);
        if (st != CLATTN_OK) return st;
    }
    for (int k = 0; k < count && t->best < 0; k++) { /* none runs: what differs in one parameter may */
        clattn_status st = climb(t, starts[k]);
        if (st != CLATTN_OK) return st;
    }
    CA_REQUIRE(t->best >= 0, CLATTN_E_UNSUPPORTED, "nothing that was tried runs %s on %s: %s", t->problem, t->dev->name, t->how);
    return CLATTN_OK;
}

/* A random place; false: none was found. */
static bool draw(struct tuning *t, const struct algo *algo, uint64_t number, struct candidate *c)
{
    for (uint64_t k = 0; k < 64; k++) {
        *c = t->tried[t->best].c;
        c->algo = algo;
        for (int i = 0; algo->params[i].name; i++)
            if (!ca_params_name(t->o->params, algo, i)) c->params.v[i] = algo->params[i].values[(size_t)(ca_philox_uniform(number, k, (uint64_t)i) * (double)algo->params[i].count)];
        if (algo->params[0].name && ca_can_try(c, 0, c->params.v[0], t->p, t->dev)) return true;
    }
    return false;
}

/* The best three once more, with the first, in turn: the fastest may have been lucky.  True when it was not, or nothing can be said. */
static bool confirm(struct tuning *t)
{
    int which[4] = { t->first }, n = 1;
    struct hearing h;
    for (int best; n < 4; which[n++] = best) {
        best = -1;
        for (int k = 0; k < t->count; k++) {
            const bool taken = k == t->first || (n > 1 && which[1] == k) || (n > 2 && which[2] == k);
            if (!taken && t->tried[k].ms < INFINITY && (best < 0 || t->tried[k].ms < t->tried[best].ms)) best = k;
        }
        if (best < 0) break;
    }
    if (n < 2 || t->tried[t->best].confirmed || run_helper(t, which, n, &h) != CA_RAN || !(h.ms[0] > 0)) return true;
    const double drift = t->tried[t->first].ms / h.ms[0]; /* all that is known of the problem stays comparable */
    for (int k = 1; k < n; k++) {
        struct try *x = &t->tried[which[k]];
        x->ms = h.ms[k] > 0 ? h.ms[k] * drift : INFINITY;
        x->confirmed = true;
        if (h.ms[k] > 0) remember(t, &x->c, x->ms, "", false);
    }
    t->best = t->first;
    for (int k = 0; k < t->count; k++)
        if (t->tried[k].ms < t->tried[t->best].ms) t->best = k;
    ca_wisdom_save();
    return t->tried[t->best].confirmed || t->best == t->first;
}

static uint64_t number_of_values(const struct tuning *t, const struct algo *algo, int param)
{
    return ca_params_name(t->o->params, algo, param) ? 1 : algo->params[param].count;
}

/* All combinations of its algorithm's values, shuffled, while there is time. */
static clattn_status sweep(struct tuning *t, const struct try *first)
{
    const struct algo *algo = first->c.algo;
    struct candidate batch[BATCH];
    uint64_t all = 1, step;
    int n = 0;
    clattn_status st = CLATTN_OK;
    for (int i = 0; algo->params[i].name; i++) all *= number_of_values(t, algo, i);
    for (step = (uint64_t)(0.618 * (double)all); step > 1; step--) { /* without a common divisor it goes through all of them */
        uint64_t a = all, b = step;
        while (b) { const uint64_t rest = a % b; a = b; b = rest; }
        if (a == 1) break;
    }
    for (uint64_t k = 0; k < all && !is_over(t); k++) {
        uint64_t number = all > 1 ? k * (step ? step : 1) % all : 0;
        struct candidate c = first->c;
        for (int i = 0; algo->params[i].name; number /= number_of_values(t, algo, i++))
            if (number_of_values(t, algo, i) > 1) c.params.v[i] = algo->params[i].values[number % algo->params[i].count];
        if (algo->params[0].name && ca_can_try(&c, 0, c.params.v[0], t->p, t->dev)) batch[n++] = c;
        if (n < BATCH && k + 1 < all) continue;
        CA_TRY(measure(t, batch, n));
        n = 0;
    }
done:
    return st;
}

static clattn_status search(struct tuning *t)
{
    clattn_status st;
    struct candidate c;
    CA_TRY(start(t));
    if (t->starts) goto done;
    const int starts = t->count;
    const struct try first = t->tried[t->best];
    if (t->o->exhaustive) CA_TRY(sweep(t, &first));
    CA_TRY(climb(t, first.c));
    for (int k = 0; k < starts && !is_over(t); k++)
        if (t->tried[k].c.algo != first.c.algo && t->tried[k].ms < NEAR * first.ms) CA_TRY(climb(t, t->tried[k].c));
    for (uint64_t number = 1; !is_over(t) && number < 64 && draw(t, t->tried[t->best].c.algo, number, &c); number++) {
        CA_TRY(measure(t, &c, 1));
        CA_TRY(climb(t, c));
    }
    for (int k = 0; k < 4 && t->new_tries && !confirm(t); k++) {}
done:
    return st;
}

clattn_status ca_tune(const struct device *dev, const struct inventory_entry *entry, const struct problem *p, const clattn_tune_options *o, int starts,
                      clattn_tune_result *result)
{
    struct tuning *t = calloc(1, sizeof *t);
    clattn_status st = CLATTN_OK;
    if (!t) return ca_no_memory(sizeof *t, "the tries of a tuning");
    *t = (struct tuning){ .dev = dev, .entry = entry, .p = p, .best = -1, .first = -1, .o = o, .starts = starts,
                          .end = ca_now() + (o->seconds > 0 ? o->seconds : USUAL_SECONDS) };
    if (ca_problem_print(p, t->problem, sizeof t->problem) >= sizeof t->problem)
        st = ca_fail(CLATTN_E_TOO_LARGE, "the problem's text is longer than %zu characters", sizeof t->problem - 1);
    if (st == CLATTN_OK) st = search(t);
    if (st == CLATTN_OK && result) {
        const struct try *best = &t->tried[t->best];
        result->tries = t->count;
        result->measured = t->new_tries;
        result->ms = best->ms;
        result->default_ms = t->tried[0].ms;
        snprintf(result->algorithm, sizeof result->algorithm, "%s", best->c.algo->name);
        ca_params_print(best->c.algo, &best->c.params, result->params, sizeof result->params);
    }
    free(t);
    return st;
}
