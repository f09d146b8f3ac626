/* bench.c -- `clattn bench`: times problems on a device, next to what the machine could do at best. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "cli/cli.h"
#include "cli/linear.h"
#include "cli/mods.h"
#include "cli/peak.h"
#include "cli/progress.h"
#include "cli/sample.h"
#include "plan/group.h"
#include "problem/problem.h"

struct options {
    const char *selector;
    clattn_plan_options plan;
    bool json, no_limits;
    double seconds;    /* of repetitions per problem */
    uint64_t seed;
    char **problems;
    int num_problems;
};

enum { KEY_PARAMS = 256, KEY_SEED, KEY_TIME, KEY_MEASURE, KEY_NO_LIMITS };
static const struct argp_option option_rows[] = {
    {"device", 'd', "SELECTOR", 0, "time this device (default: the fastest)", 0},
    {"algo", 'a', "NAME", 0, "time this algorithm (default: the cheapest, see clattn explain)", 0},
    {"params", KEY_PARAMS, "TEXT", 0, "with these parameters, \"bm=64 bn=32\"", 0},
    {"measure", KEY_MEASURE, 0, 0, "measure the three cheapest algorithms first, where that was not done before, and take the fastest", 0},
    {"json", 'j', 0, 0, "print one JSON object a line", 0},
    {"no-limits", KEY_NO_LIMITS, 0, 0, "do not measure what the machine reaches at best: sooner, without shares of it", 0},
    {"seed", KEY_SEED, "N", 0, "of the random data (default 1)", 0},
    {"time", KEY_TIME, "SECONDS", 0, "repeat each problem for this long (default 1)", 0},
    {0, 0, 0, 0, 0, 0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    char *end = "";
    switch (key) {
    case 'd': o->selector = arg; return 0;
    case 'a': o->plan.algorithm = arg; return 0;
    case 'j': o->json = true; return 0;
    case KEY_PARAMS: o->plan.params = arg; return 0;
    case KEY_MEASURE: o->plan.measure = 1; return 0;
    case KEY_NO_LIMITS: o->no_limits = true; return 0;
    case KEY_SEED: o->seed = strtoull(arg, &end, 0); break;
    case KEY_TIME: o->seconds = strtod(arg, &end); break;
    case ARGP_KEY_ARGS:
        o->problems = state->argv + state->next;
        o->num_problems = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which problem?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
    if (end == arg || *end || !(o->seconds >= 0)) argp_error(state, "%s is not a number that fits", arg);
    return 0;
}

static const struct argp argp = {
    option_rows,
    parse,
    "PROBLEM...",
    "Times problems: TYPE bB hHq[/Hkv] qNq kNk dD[/Dv] and flags, as in \"f32 b1 h8 q2048 k2048 d64 causal\".\v"
    "Each problem is one argument.  What is timed is the execution on data that is where the device wants it: "
    "transfers "
    "to and from an OpenCL device are left out, as are planning and building.  The shares say how near that is to "
    "what the host's cores reach in f32 multiply-adds and in reading from main memory, measured beside it; "
    "a problem that fits the caches can exceed the latter.  GPUs have no such figures.",
    0,
    0,
    0};

/* ------------------------------------------------------------------- output */

struct result {
    const char *device;
    char problem[800], params[256], plan[4096];
    const char *algorithm;
    size_t workspace;
    const char *lengths;             /* of a ragged batch, " var=..." */
    struct timing time;
    double gflops, gbytes;           /* per second, at the median */
    double fma_share, read_share;    /* negative when unknown */
};

static json_t *share_json(double share) { return share < 0 ? json_null() : json_real(share); }

static bool print_json(const struct result *r)
{
    json_t *line = json_pack(
        "{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:o, s:o, s:I}", "problem", r->problem, "device", r->device,
        "algorithm", r->algorithm, "params", r->params, "median_ms", 1e3 * r->time.median, "min_ms",
        1e3 * r->time.least, "gflops", r->gflops, "gbytes_per_s", r->gbytes, "fma_share", share_json(r->fma_share),
        "bandwidth_share", share_json(r->read_share), "workspace_bytes", (json_int_t)r->workspace);
    if (!line) return false;
    json_dumpf(line, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(line);
    return true;
}

static void print_line(const struct result *r)
{
    char median[32], least[32], fma[32] = "", reading[32] = "";
    if (r->fma_share >= 0) snprintf(fma, sizeof fma, " (%.0f %%)", 100 * r->fma_share);
    if (r->read_share >= 0) snprintf(reading, sizeof reading, " (%.0f %%)", 100 * r->read_share);
    ca_cli_print("%s\n%s%s%s    median %s  min %s  %.*f GFLOP/s%s  %.*f GB/s%s  workspace %.1f MiB\n", r->plan,
                 r->lengths[0] ? "   " : "", r->lengths, r->lengths[0] ? "\n" : "",
                 ca_cli_time(r->time.median, median), ca_cli_time(r->time.least, least), r->gflops < 10 ? 2 : 1,
                 r->gflops, fma, r->gbytes < 10 ? 2 : 1, r->gbytes, reading,
                 (double)r->workspace / (1 << 20));
    fflush(stdout);
}

/* --------------------------------------------------------------- one problem */

/* The host's limits are a measure for the devices that are made of the host's cores.  They are taken before and after
 * each problem, and the best so far counts: other programs disturb. */
static void measure_peak(const struct options *o, const clattn_device_info *d, struct peak *peak)
{
    if (o->no_limits) return;
    if (d->device_class == CLATTN_CLASS_HOST || d->device_class == CLATTN_CLASS_CPU ||
        d->device_class == CLATTN_CLASS_SIMULATED)
        ca_peak_measure(peak);
}

/* Prints R, whose execution is FLOPS operations and moves BYTES. */
static clattn_status report(const struct options *o, const struct peak *peak, struct result *r, double flops, double bytes)
{
    r->gflops = 1e-9 * flops / r->time.median;
    r->gbytes = 1e-9 * bytes / r->time.median;
    if (peak->gflops > 0) r->fma_share = r->gflops / peak->gflops;
    if (peak->gbytes_per_s > 0) r->read_share = r->gbytes / peak->gbytes_per_s;
    if (!o->json) print_line(r);
    else if (!print_json(r)) return ca_fail(CLATTN_E_INTERNAL, "the result is not valid JSON");
    return CLATTN_OK;
}

static clattn_status bench_linear(const struct options *o, clattn_context *ctx, const clattn_device_info *device,
                                  struct peak *peak, const char *text)
{
    struct linear_sample s = {.ctx = NULL};
    struct ca_linear_form form;
    struct result r = {.device = device->selector, .lengths = "", .fma_share = -1, .read_share = -1};
    clattn_status st;
    CA_REQUIRE(!o->plan.algorithm && !o->plan.params, CLATTN_E_ARGUMENT, "a linear attention takes no --algo and no --params, but chunk=N");
    CA_TRY(ca_linear_sample_create(ctx, text, o->seed, &s));
    CA_TRY(ca_linear_plan(&s.call, &ctx->dev, 0, &form));
    measure_peak(o, device, peak);
    CA_TRY(ca_linear_sample_time(&s, o->seconds, &r.time));
    measure_peak(o, device, peak);
    snprintf(r.problem, sizeof r.problem, "%s", s.problem);
    snprintf(r.params, sizeof r.params, "%s", form.params);
    snprintf(r.plan, sizeof r.plan, "%s on %s: %s %s", s.problem, device->name, form.name, form.params);
    r.algorithm = form.name;
    r.workspace = form.workspace;
    CA_TRY(report(o, peak, &r, ca_linear_flops(&s.call), ca_linear_bytes(&s.call)));
done:
    ca_linear_sample_free(&s);
    return st;
}

static clattn_status bench(const struct options *o, clattn_context *ctx, const clattn_device_info *device,
                           struct peak *peak, const char *text)
{
    struct sample s = {.plan = NULL};
    struct cli_problem problem;
    struct result r = {.device = device->selector, .lengths = problem.lengths.text, .fma_share = -1, .read_share = -1};
    clattn_status st;
    ca_message_clear();
    if (ca_is_linear(text)) return bench_linear(o, ctx, device, peak, text);
    CA_TRY(ca_cli_problem(text, &problem));
    CA_TRY(ca_sample_create(ctx, &problem.a, &problem.lengths, &o->plan, NULL, o->seed, &s));
    measure_peak(o, device, peak);
    CA_TRY(ca_sample_time(&s, o->seconds, &r.time));
    measure_peak(o, device, peak);
    size_t n = ca_problem_print(s.p, r.problem, 512);
    snprintf(r.problem + n, sizeof r.problem - n, "%s", problem.lengths.text);
    ca_params_print(s.plan->algo, &s.plan->params, r.params, sizeof r.params);
    struct ca_text t = {r.plan, sizeof r.plan, 0};
    if (s.plan->group) ca_group_explain(s.plan, &t); /* the shares that they came to have, without the ladder */
    else ca_text_put(&t, "%.*s\n", (int)strcspn(s.plan->explain, "\n"), s.plan->explain);
    r.plan[strlen(r.plan) - 1] = 0;
    r.algorithm = s.plan->algo->name;
    r.workspace = s.plan->workspace;
    const struct problem expected = ca_problem_expected(s.p);
    CA_TRY(report(o, peak, &r, ca_sample_flops(&s), ca_problem_bytes(&expected)));
done:
    ca_sample_free(&s);
    ca_cli_problem_free(&problem);
    return st;
}

int ca_cmd_bench(int argc, char **argv)
{
    struct options o = {.plan.size = sizeof o.plan, .seconds = 1, .seed = 1};
    struct peak peak = {0};
    clattn_context *ctx = NULL;
    clattn_device_info device;
    int code = CA_EXIT_OK;
    ca_cli_parse(&argp, argc, argv, &o);
    if (o.plan.algorithm && !ca_cli_algorithm_known(o.plan.algorithm)) return CA_EXIT_BAD;
    clattn_status st = ca_cli_open(o.selector, &ctx, &device);
    if (st != CLATTN_OK) {
        ca_cli_status(st);
        return ca_cli_exit_code(st);
    }
    ca_progress_begin("timing");
    for (int i = 0; i < o.num_problems; i++) {
        ca_progress_say("%s", o.problems[i]);
        st = bench(&o, ctx, &device, &peak, o.problems[i]);
        if (st == CLATTN_OK) continue;
        ca_cli_error("%s: %s", o.problems[i], ca_cli_message(st));
        code = ca_cli_worse(code, ca_cli_exit_code(st));
    }
    ca_progress_end();
    if (!o.json && peak.gflops > 0)
        ca_cli_print("\nThe machine at best, %d thread%s: %.1f GFLOP/s f32 multiply-adds, %.1f GB/s reading.\n",
                     peak.threads, peak.threads == 1 ? "" : "s", peak.gflops, peak.gbytes_per_s);
    clattn_context_destroy(ctx);
    return code;
}
