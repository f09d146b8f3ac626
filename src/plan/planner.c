/* planner.c -- from a problem to a plan: every algorithm of the table is asked whether it is right, with which
 * parameters and at what cost; the cheapest that builds is taken.  No algorithm is named here. */
#include "plan/plan.h"
#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "plan/group.h"
#include "plan/staging.h"
#include "plan/wisdom.h"

#define CA_MAX_OPTIONS 2048 /* bytes of build options */
#define FAILED "it failed its self-test on this device"

/* ------------------------------------------------------------- parameters */

size_t ca_params_print(const struct algo *algo, const struct params *t, char *text, size_t size)
{
    struct ca_text out = { text, size, 0 };
    if (size) text[0] = 0;
    for (int i = 0; algo->params[i].name; i++) ca_text_put(&out, "%s%s=%d", i ? " " : "", algo->params[i].name, t->v[i]);
    return out.length;
}

/* One "name=value" of a parameter text. */
struct setting { const char *name; size_t length; int value; };

/* Reads the setting at *TEXT, which it moves behind; 0 at the end, -1 when there is none. */
static int next_setting(const char **text, struct setting *s)
{
    const char *at = *text + strspn(*text, " \t\n");
    char *end;
    if (!*at) return 0;
    s->name = at;
    s->length = strcspn(at, "= \t\n");
    at += s->length;
    if (s->length == 0 || at[0] != '=' || !(isdigit((unsigned char)at[1]) || at[1] == '-')) return -1;
    long value = strtol(at + 1, &end, 10);
    if (value > INT_MAX || value < INT_MIN || (*end && !isspace((unsigned char)*end))) return -1;
    s->value = (int)value;
    *text = end;
    return 1;
}

clattn_status ca_params_check(const char *params)
{
    struct setting s;
    int more = 1;
    const char *at = params;
    while (params && more > 0) {
        more = next_setting(&at, &s);
        CA_REQUIRE(more >= 0, CLATTN_E_ARGUMENT, "params \"%s\": \"name=integer\" expected at \"%s\"", params, at);
    }
    return CLATTN_OK;
}

static int param_index(const struct algo *algo, const struct setting *s)
{
    for (int i = 0; algo->params[i].name; i++)
        if (strlen(algo->params[i].name) == s->length && memcmp(algo->params[i].name, s->name, s->length) == 0) return i;
    return -1;
}

bool ca_params_name(const char *params, const struct algo *algo, int param)
{
    struct setting s;
    while (params && next_setting(&params, &s) > 0)
        if (param_index(algo, &s) == param) return true;
    return false;
}

/* ----------------------------------------------------------------- ladder */

__attribute__((format(printf, 2, 3)))
static void refuse(struct candidate *c, const char *format, ...)
{
    va_list ap;
    c->legal = false;
    va_start(ap, format);
    vsnprintf(c->reason, sizeof c->reason, format, ap);
    va_end(ap);
    for (char *s = c->reason; *s; s++) /* a compiler's log has many lines, a rung has one */
        if (*s == '\n' || *s == '\r') *s = ' ';
}

/* Sets the parameters that PARAMS, "vl=16 qv=4", names; SOURCE is whose word that is.  C is refused when it lacks one of them. */
static void apply_params(struct candidate *c, const char *params, const char *source)
{
    struct setting s;
    while (params && next_setting(&params, &s) > 0) {
        int i = param_index(c->algo, &s);
        if (i < 0) {
            refuse(c, "it has no parameter %.*s", (int)s.length, s.name);
            c->no_param = true;
            return;
        }
        c->params.v[i] = s.value;
        c->source = source;
    }
}

/* The algorithm's workspace and, on a device, behind it the pattern's words. */
static size_t workspace_of(const struct candidate *c, const struct problem *p, const struct device *dev, size_t *pattern_at)
{
    size_t own = c->algo->workspace ? c->algo->workspace(p, dev, &c->params) : 0, words = ca_is_host(dev) ? 0 : ca_prepare_bytes(p);
    *pattern_at = own > SIZE_MAX - 256 ? SIZE_MAX : (own + 255) / 256 * 256;
    return !words ? own : *pattern_at > SIZE_MAX - words ? SIZE_MAX : *pattern_at + words;
}

/* The user's functions are text for OpenCL and callbacks for the host. */
static const char *mods_reason(const struct problem *p, const struct device *dev, char why[128])
{
    const struct { bool text, callback; const char *no_callback, *no_text; } mods[] = {
        { p->score_mod, p->score_callback, "score_mod needs score_callback", "score_callback needs score_mod" },
        { p->mask_mod, p->mask_callback, "mask_mod needs mask_callback", "mask_callback needs mask_mod" },
        { p->tile_class, p->tile_callback, "tile_class needs tile_callback", "tile_callback needs tile_class" },
    };
    for (size_t i = 0; i < sizeof mods / sizeof *mods; i++) {
        bool missing = ca_is_host(dev) ? mods[i].text && !mods[i].callback : mods[i].callback && !mods[i].text;
        if (missing && ca_is_host(dev)) snprintf(why, 128, "the host compiles no OpenCL C: %s there", mods[i].no_callback);
        else if (missing) snprintf(why, 128, "an OpenCL device calls no C functions: %s there", mods[i].no_text);
        if (missing) return why;
    }
    return NULL;
}

/* Would it run with these parameters?  Else it is refused. */
static bool suits(struct candidate *c, const struct problem *p, const struct device *dev)
{
    char why[128] = "";
    const char *reason = c->algo->check ? c->algo->check(p, dev, &c->params, why) : NULL;
    double rounds = !reason && dev->quirks & CA_QUIRK_ROUNDS && c->algo->rounds ? c->algo->rounds(p, &c->params) : 0;
    size_t unused, bytes = reason ? 0 : workspace_of(c, p, dev, &unused);
    if (reason) refuse(c, "%s", reason);
    else if (rounds > CA_MAX_ROUNDS)
        refuse(c, "a work-item may take %.0f rounds of its loops, the device ends it after %d", rounds, CA_MAX_ROUNDS);
    else if (!ca_is_host(dev) && dev->max_alloc && bytes > dev->max_alloc)
        refuse(c, "its workspace of %zu bytes exceeds the device's largest buffer of %llu", bytes, (unsigned long long)dev->max_alloc);
    return c->legal;
}

bool ca_can_try(const struct candidate *c, int param, int value, const struct problem *p, const struct device *dev)
{
    struct candidate other = *c;
    other.params.v[param] = value;
    return suits(&other, p, dev);
}

struct fitting { struct candidate c; const struct problem *p; const struct device *dev; };

static bool fits(void *user, const char *params)
{
    struct fitting f = *(const struct fitting *)user;
    apply_params(&f.c, params, "wisdom");
    return f.c.legal && suits(&f.c, f.p, f.dev);
}

/* Takes over what was measured; returns the milliseconds, 0 when they are not known. */
static double recall(struct candidate *c, const struct problem *p, const struct device *dev)
{
    struct fitting f = { *c, p, dev };
    struct wisdom w;
    if (!ca_wisdom_find(p, dev, c->algo->name, fits, &f, &w)) return 0;
    apply_params(c, w.params, w.shipped ? "shipped" : "wisdom");
    snprintf(c->origin, sizeof c->origin, ": %s on %s", w.problem, w.device);
    return w.ms;
}

/* Asks algorithm number INDEX all there is to ask. */
static void judge(struct candidate *c, unsigned index, const struct problem *p, const struct device *dev,
                  const char *params)
{
    char why[128] = "";
    const struct algo *algo = c->algo;
    const char *reason = algo->legal(p, dev, why);

    c->legal = true;
    c->source = "default";
    c->cost_ms = INFINITY;
    if (index < 32 && dev->bad_algos >> index & 1) reason = FAILED;
    if (!reason && p->split_len && !algo->cuts_keys) reason = "it does not cut the keys: split_len wants that";
    if (!reason && !algo->lists_keys && ca_problem_lists(p)) reason = "the pattern chooses keys by their scores, or has means for keys";
    if (!reason) reason = mods_reason(p, dev, why);
    if (reason) {
        refuse(c, "%s", reason);
        return;
    }
    if (algo->defaults) algo->defaults(p, dev, &c->params);
    double cost = recall(c, p, dev);
    apply_params(c, params, "user");
    if (!c->legal || !suits(c, p, dev)) return;
    c->guess_ms = algo->cost(p, dev, &c->params);
    c->measured = cost > 0 && strcmp(c->source, "user") != 0;
    if (!c->measured) cost = c->guess_ms;
    if (cost >= 0) c->cost_ms = cost;
}

/* A guess knows neither what a launch takes nor what else runs on the device: those of what was not measured become as much longer, or shorter, as
 * the fastest that was turned out to be. */
static void level(struct candidate *c, size_t n)
{
    const struct candidate *best = NULL;
    for (size_t k = 0; k < n; k++)
        if (c[k].legal && c[k].measured && c[k].guess_ms > 0 && (!best || c[k].cost_ms < best->cost_ms)) best = &c[k];
    for (size_t k = 0; best && k < n; k++)
        if (c[k].legal && !c[k].measured) c[k].cost_ms *= best->cost_ms / best->guess_ms;
}

static bool goes_before(const struct candidate *a, const struct candidate *b)
{
    if (a->legal != b->legal) return a->legal;
    return a->legal && a->cost_ms < b->cost_ms;
}

size_t ca_ladder(const struct problem *p, const struct device *dev, const char *params, struct candidate c[CA_MAX_CANDIDATES])
{
    size_t n = 0;
    for (; ca_algos[n] && n < CA_MAX_CANDIDATES; n++) {
        c[n] = (struct candidate){ .algo = ca_algos[n] };
        judge(&c[n], (unsigned)n, p, dev, params);
    }
    level(c, n);
    for (size_t i = 1; i < n; i++) {
        const struct candidate one = c[i];
        size_t place = i;
        for (; place > 0 && goes_before(&one, &c[place - 1]); place--) c[place] = c[place - 1];
        c[place] = one;
    }
    return n;
}

/* ---------------------------------------------------------------- explain */

static void put_problem(struct ca_text *t, const struct problem *p)
{
    char text[512];
    ca_problem_print(p, text, sizeof text);
    ca_text_put(t, "%s", text);
}

static void put_params(struct ca_text *t, const struct candidate *c)
{
    char text[256];
    ca_params_print(c->algo, &c->params, text, sizeof text);
    if (text[0]) ca_text_put(t, " %s", text);
}

/* The text of clattn_plan_explain; CHOSEN is a rung of the ladder. */
static void put_explanation(struct ca_text *t, const struct clattn_plan *plan, const struct candidate *chosen,
                            const struct candidate *c, size_t n)
{
    put_problem(t, &plan->p);
    ca_text_put(t, " on %s: %s", plan->ctx->dev.name, plan->algo->name);
    put_params(t, chosen);
    ca_text_put(t, "\n");
    for (size_t i = 0; i < n; i++) {
        ca_text_put(t, "  %-8s ", c[i].algo->name);
        if (!c[i].legal) {
            ca_text_put(t, "no: %s\n", c[i].reason);
            continue;
        }
        ca_text_put(t, "%.3g ms", c[i].cost_ms);
        put_params(t, &c[i]);
        ca_text_put(t, " (%s%s)%s\n", c[i].source, strcmp(c[i].source, "user") ? c[i].origin : "", &c[i] == chosen ? " <- chosen" : "");
    }
}

/* Measures, then fills. */
static clattn_status make_explanation(struct clattn_plan *plan, const struct candidate *chosen,
                                      const struct candidate *c, size_t n)
{
    struct ca_text t = { NULL, 0, 0 };
    put_explanation(&t, plan, chosen, c, n);
    t = (struct ca_text){ malloc(t.length + 1), t.length + 1, 0 };
    if (!t.start) return ca_no_memory(t.size, "the plan's explanation");
    put_explanation(&t, plan, chosen, c, n);
    plan->explain = t.start;
    return CLATTN_OK;
}

/* ----------------------------------------------------------------- create */

/* Makes PLAN a plan of candidate C: its program, if it has one.  On failure PLAN has no program. */
static clattn_status build(struct clattn_plan *plan, const struct candidate *c)
{
    const struct device *dev = &plan->ctx->dev;
    char options[CA_MAX_OPTIONS] = "";

    plan->algo = c->algo;
    plan->params = c->params;
    plan->source = c->source;
    plan->cost_ms = c->cost_ms;
    plan->program = NULL;
    plan->workspace = workspace_of(c, &plan->p, dev, &plan->pattern_at);
    if (!c->algo->source || ca_is_host(dev)) return CLATTN_OK;
    if (c->algo->options) c->algo->options(&plan->p, dev, &c->params, options, sizeof options);
    CA_REQUIRE(strlen(options) < sizeof options - 1, CLATTN_E_INTERNAL, "the build options of %s are too long",
               c->algo->name);
    return ca_program_get_with(plan->ctx, c->algo->source, plan->p.mods, options, &plan->program);
}

/* A failure that another algorithm would not cure. */
static bool is_final(clattn_status st)
{
    static const clattn_status list[] = { CLATTN_E_MEMORY, CLATTN_E_DEVICE_LOST, CLATTN_E_TIMEOUT, CLATTN_E_FORKED };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (st == list[i]) return true;
    return false;
}

static clattn_status all_refused(const struct problem *p, const struct device *dev, const struct candidate *c, size_t n)
{
    char text[4096] = "";
    struct ca_text t = { text, sizeof text, 0 };
    put_problem(&t, p);
    ca_text_put(&t, " on %s: no algorithm", dev->name);
    for (size_t i = 0; i < n; i++) ca_text_put(&t, "; %s: %s", c[i].algo->name, c[i].reason);
    return ca_fail(CLATTN_E_UNSUPPORTED, "%s", text);
}

/* The cheapest that builds; a build that fails is noted on its rung. */
static clattn_status build_cheapest(struct clattn_plan *plan, struct candidate *c, size_t n, struct candidate **chosen)
{
    clattn_status st;
    for (size_t i = 0; i < n && c[i].legal; i++) {
        if (!ca_trial_vouches(plan->ctx, &plan->p, &c[i])) {
            refuse(&c[i], FAILED);
            continue;
        }
        st = build(plan, &c[i]);
        *chosen = &c[i];
        if (st == CLATTN_OK || is_final(st)) return st;
        if (st == CLATTN_E_BUILD && (plan->p.score_mod || plan->p.mask_mod)) return st; /* the user's text: the log is the answer */
        refuse(&c[i], "%s", ca_message());
        ca_message_clear();
        ca_log(1, "%s is passed over: %s", c[i].algo->name, c[i].reason);
    }
    return all_refused(&plan->p, &plan->ctx->dev, c, n);
}

static clattn_status build_named(struct clattn_plan *plan, const char *name, struct candidate *c, size_t n,
                                 struct candidate **chosen)
{
    char names[512] = "";
    struct ca_text t = { names, sizeof names, 0 };
    for (size_t i = 0; i < n; i++) {
        ca_text_put(&t, "%s%s", i ? ", " : "", c[i].algo->name);
        if (strcmp(c[i].algo->name, name) != 0) continue;
        *chosen = &c[i];
        CA_REQUIRE(c[i].legal, c[i].no_param ? CLATTN_E_ARGUMENT : CLATTN_E_UNSUPPORTED, "algorithm %s on %s: %s", name, plan->ctx->dev.name, c[i].reason);
        return build(plan, &c[i]);
    }
    return ca_fail(CLATTN_E_ARGUMENT, "algorithm \"%s\" is none of: %s", name, names);
}

clattn_status ca_plan_create(clattn_context *ctx, const struct problem *p, const char *algorithm, const char *params, struct clattn_plan **plan)
{
    return ctx->members > 1 ? ca_group_plan(ctx, p, algorithm, params, plan) : ca_plan_create_alone(ctx, p, algorithm, params, plan);
}

clattn_status ca_plan_create_alone(clattn_context *ctx, const struct problem *p, const char *algorithm, const char *params, struct clattn_plan **plan)
{
    struct candidate c[CA_MAX_CANDIDATES], *chosen = NULL;
    struct clattn_plan *pl = NULL;
    struct device dev; /* as it is known now: other threads may have algorithms tested */
    clattn_status st;
    size_t n;

    CA_TRY(ca_context_alive(ctx));
    CA_TRY(ca_params_check(params));
    pl = calloc(1, sizeof *pl);
    if (!pl) {
        st = ca_no_memory(sizeof *pl, "a plan");
        goto done;
    }
    pl->ctx = ctx;
    pl->p = *p;
    pthread_mutex_lock(&ctx->lock);
    dev = ctx->dev;
    pthread_mutex_unlock(&ctx->lock);
    n = ca_ladder(p, &dev, params, c);
    if (algorithm) CA_TRY(build_named(pl, algorithm, c, n, &chosen));
    else CA_TRY(build_cheapest(pl, c, n, &chosen));
    CA_TRY(ca_steps_build(pl));
    CA_TRY(ca_prepare_build(pl));
    if (!ca_is_host(&ctx->dev)) CA_TRY(ca_staging_create(&pl->staging));
    else {
        CA_TRY(ca_spare_create(&pl->spare));
        CA_TRY(ca_spare_create(&pl->spare_words));
    }
    CA_TRY(make_explanation(pl, chosen, c, n));
    ca_log(2, "%.*s", (int)strcspn(pl->explain, "\n"), pl->explain);
    *plan = pl;
    pl = NULL;
done:
    ca_plan_destroy(pl);
    return st;
}

void ca_plan_destroy(struct clattn_plan *plan)
{
    if (!plan) return;
    ca_group_destroy(plan->group);
    ca_staging_destroy(plan->ctx, plan->staging);
    ca_buffer_release(plan->ctx, plan->constants);
    ca_spare_destroy(plan->spare);
    ca_spare_destroy(plan->spare_words);
    free(plan->words);
    free(plan->explain);
    free(plan);
}
