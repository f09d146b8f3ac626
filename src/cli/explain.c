/* explain.c -- `clattn explain`: the planner's ladder for a problem on a device. */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/linear.h"
#include "cli/mods.h"
#include "plan/group.h"
#include "problem/problem.h"

struct options {
    const char *selector;
    bool json, params;
    char text[4096];   /* the problem: all arguments, joined by blanks */
};

static const struct argp_option option_rows[] = {
    {"device", 'd', "SELECTOR", 0, "explain for this device (default: the fastest)", 0},
    {"json", 'j', 0, 0, "print one JSON object instead of a table", 0},
    {"params", 'p', 0, 0, "also what the parameters are, and which values can be tried", 0},
    {0, 0, 0, 0, 0, 0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    size_t n = strlen(o->text);
    switch (key) {
    case 'd': o->selector = arg; return 0;
    case 'j': o->json = true; return 0;
    case 'p': o->params = true; return 0;
    case ARGP_KEY_ARG:
        if (n + strlen(arg) + 2 > sizeof o->text) argp_error(state, "the problem is too long");
        else snprintf(o->text + n, sizeof o->text - n, "%s%s", n ? " " : "", arg);
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which problem?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_rows,
    parse,
    "PROBLEM",
    "Shows every algorithm for a problem, cheapest first: predicted time and parameters, or why it would not be "
    "right.\v"
    "A problem is TYPE bB hHq[/Hkv] qNq kNk dD[/Dv] and flags, as in \"f16 b2 h32/8 q1 k4096 d128 causal\".",
    0,
    0,
    0};

static void print_table(const char *problem, const clattn_device_info *device, const struct candidate *c, size_t count)
{
    char params[256], cost[32];
    ca_cli_print("%s\non %s (%s)\n\n  %-10s %10s  %s\n", problem, device->name, device->selector, "ALGORITHM", "COST",
                 "PARAMETERS, OR WHY NOT");
    for (size_t i = 0; i < count; i++) {
        if (!c[i].legal) {
            ca_cli_print("  %-10s %10s  %s\n", c[i].algo->name, "-", c[i].reason);
            continue;
        }
        ca_params_print(c[i].algo, &c[i].params, params, sizeof params);
        ca_cli_print("%c %-10s %10s  %s%s(%s%s)\n", i ? ' ' : '*', c[i].algo->name,
                     isfinite(c[i].cost_ms) ? ca_cli_time(1e-3 * c[i].cost_ms, cost) : "never", params,
                     params[0] ? " " : "", c[i].source, c[i].origin);
    }
}

static void print_params(const struct candidate *c, size_t count, const struct problem *p, const struct device *dev)
{
    ca_cli_print("\n  %-10s %-6s %5s  %s\n", "ALGORITHM", "PARAM", "VALUE", "WHAT IT IS [WHAT CAN BE TRIED, THE OTHERS AS THEY ARE]");
    for (size_t i = 0; i < count; i++)
        for (int k = 0; c[i].legal && c[i].algo->params[k].name; k++) {
            const struct param *param = &c[i].algo->params[k];
            ca_cli_print("  %-10s %-6s %5d  %s [", k ? "" : c[i].algo->name, param->name, c[i].params.v[k], param->meaning);
            const char *between = "";
            for (size_t e = 0; e < param->count; e++) {
                if (!ca_can_try(&c[i], k, param->values[e], p, dev)) continue;
                ca_cli_print("%s%d", between, param->values[e]);
                between = " ";
            }
            ca_cli_print("]\n");
        }
}

static json_t *params_json(const struct candidate *c, const struct problem *p, const struct device *dev)
{
    json_t *list = json_array();
    for (int k = 0; c->legal && c->algo->params[k].name; k++) {
        const struct param *param = &c->algo->params[k];
        json_t *values = json_array();
        for (size_t e = 0; e < param->count; e++)
            if (ca_can_try(c, k, param->values[e], p, dev)) json_array_append_new(values, json_integer(param->values[e]));
        json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:o}", "name", param->name, "value", c->params.v[k], "meaning", param->meaning, "values", values));
    }
    return list;
}

static json_t *candidate_json(const struct candidate *c)
{
    char params[256] = "", source[sizeof c->origin + 16];
    if (c->legal) ca_params_print(c->algo, &c->params, params, sizeof params);
    snprintf(source, sizeof source, "%s%s", c->source ? c->source : "default", c->origin);
    return json_pack("{s:s, s:b, s:s, s:o, s:s, s:s}", "algorithm", c->algo->name, "legal", c->legal, "reason",
                     c->legal ? "" : c->reason, "cost_ms",
                     c->legal && isfinite(c->cost_ms) ? json_real(c->cost_ms) : json_null(), "params", params, "source",
                     source);
}

/* Of several devices: who has which share of PLAN. */
static json_t *shares_json(const clattn_context *ctx, const clattn_plan *plan)
{
    json_t *list = json_array();
    for (int k = 0; k < ctx->members; k++)
        json_array_append_new(list, json_pack("{s:s, s:f}", "device", ctx->member[k]->dev.name, "share",
                                              plan->group ? ca_group_share(plan, k) : (double)(plan->ctx == ctx->member[k])));
    return list;
}

/* P: with what the parameters are; NULL: without. */
static int print_json(const char *problem, const clattn_device_info *device, const struct candidate *c, size_t count, const struct problem *p,
                      const clattn_context *ctx, const clattn_plan *plan)
{
    json_t *list = json_array(), *all;
    for (size_t i = 0; i < count; i++) {
        json_t *one = candidate_json(&c[i]);
        if (p && one) json_object_set_new(one, "parameters", params_json(&c[i], p, &ctx->dev));
        json_array_append_new(list, one);
    }
    all = json_pack("{s:s, s:s, s:o}", "problem", problem, "device", device->selector, "algorithms", list);
    if (all && plan) json_object_set_new(all, "shares", shares_json(ctx, plan));
    if (!all) {
        ca_cli_error("the explanation is not valid JSON");
        return CA_EXIT_FAILED;
    }
    json_dumpf(all, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(all);
    return CA_EXIT_OK;
}

/* The two forms of a linear attention, the chosen one first. */
static clattn_status explain_linear(const struct options *o, int *code)
{
    struct linear_sample s = {.ctx = NULL};
    struct ca_linear_form form[2];
    clattn_context *ctx = NULL;
    clattn_device_info device;
    char cost[32];
    clattn_status st;
    CA_REQUIRE(!o->params, CLATTN_E_ARGUMENT, "a linear attention has no --params, but chunk=N");
    CA_TRY(ca_linear_sample_create(NULL, o->text, 1, &s));
    CA_TRY(ca_cli_open(o->selector, &ctx, &device));
    CA_TRY(ca_linear_plan(&s.call, &ctx->dev, 0, &form[0]));
    bool chunked = !strcmp(form[0].name, "chunked");
    clattn_status other = ca_linear_plan(&s.call, &ctx->dev, chunked ? 1 : 64, &form[1]);
    const char *why = other == CLATTN_OK ? "not chosen" : ca_cli_message(other), *name = chunked ? "recurrent" : "chunked";
    if (!o->json) {
        ca_cli_print("%s\non %s (%s)\n\n  %-10s %10s  %s\n", s.problem, device.name, device.selector, "FORM", "COST", "PARAMETERS, OR WHY NOT");
        ca_cli_print("* %-10s %10s  %s (%s)\n", form[0].name, ca_cli_time(1e-3 * form[0].cost_ms, cost), form[0].params, form[0].reason);
        if (other == CLATTN_OK) ca_cli_print("  %-10s %10s  %s\n", name, ca_cli_time(1e-3 * form[1].cost_ms, cost), form[1].params);
        else ca_cli_print("  %-10s %10s  %s\n", name, "-", why);
    } else {
#define FORM "{s:s, s:b, s:s, s:o, s:s, s:s}"
        json_t *all = json_pack("{s:s, s:s, s:[" FORM "," FORM "]}", "problem", s.problem, "device", device.selector, "algorithms",
            "algorithm", form[0].name, "legal", 1, "reason", form[0].reason, "cost_ms", json_real(form[0].cost_ms), "params", form[0].params,
            "source", "default", "algorithm", name, "legal", other == CLATTN_OK, "reason", why, "cost_ms",
            other == CLATTN_OK ? json_real(form[1].cost_ms) : json_null(), "params", other == CLATTN_OK ? form[1].params : "", "source", "default");
        if (all) json_dumpf(all, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(all);
    }
    if (other != CLATTN_OK) ca_message_clear();
    *code = CA_EXIT_OK;
done:
    clattn_context_destroy(ctx);
    ca_linear_sample_free(&s);
    return st;
}

int ca_cmd_explain(int argc, char **argv)
{
    struct options o = {.selector = NULL};
    struct candidate c[CA_MAX_CANDIDATES];
    clattn_context *ctx = NULL;
    clattn_device_info device;
    struct cli_problem problem;
    struct problem p;
    clattn_plan *plan = NULL;
    char text[512], words[8192];
    int code = CA_EXIT_OK;
    clattn_status st;
    ca_cli_parse(&argp, argc, argv, &o);
    problem = (struct cli_problem){.mods = NULL};
    if (ca_is_linear(o.text)) {
        CA_TRY(explain_linear(&o, &code));
        return code;
    }
    CA_TRY(ca_cli_problem(o.text, &problem));
    CA_TRY(ca_problem_init(&p, &problem.a));
    CA_TRY(ca_cli_open(o.selector, &ctx, &device));
    if (ctx->members > 1) CA_TRY(clattn_plan_create(ctx, &problem.a, NULL, &plan));
    if (plan && !o.json) {
        clattn_plan_explain(plan, words, sizeof words);
        ca_cli_print("%s", words);
        goto done;
    }
    size_t count = ca_ladder(&p, &ctx->dev, NULL, c);
    ca_problem_print(&p, text, sizeof text);
    if (o.json) code = print_json(text, &device, c, count, o.params ? &p : NULL, ctx, plan);
    else print_table(text, &device, c, count);
    if (!o.json && o.params) print_params(c, count, &p, &ctx->dev);
done:
    clattn_plan_destroy(plan);
    clattn_context_destroy(ctx);
    ca_cli_problem_free(&problem);
    if (st != CLATTN_OK) ca_cli_status(st);
    return st == CLATTN_OK ? code : ca_cli_exit_code(st);
}
