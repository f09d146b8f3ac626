/* compare.c -- `clattn compare`: how far approximations of attention are from it, and what they cost. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/checked.h"
#include "cli/approx.h"
#include "cli/cli.h"
#include "cli/plot.h"
#include "cli/progress.h"
#include "cli/run.h"

struct options {
    struct runner runner;
    bool json;
    const char *plot, *source;
    const char **with;
    size_t count;
    double seconds;
    uint64_t seed;
    int64_t rows;
};

enum { KEY_EXACT = 256, KEY_WITH, KEY_PLOT, KEY_SEED, KEY_TIME, KEY_ROWS };
static const struct argp_option option_rows[] = {
    {"with", KEY_WITH, "APPROXIMATION", 0, "an approximation, NAME:FIELD,... or NAME:FIELD=VALUE,...; give it as often as wanted", 0},
    {"exact", KEY_EXACT, "NAME", 0, "what they are compared with: dense (the default)", 0},
    {"device", 'd', "SELECTOR", 0, "compute on this device (default: the fastest)", 0},
    {"json", 'j', 0, 0, "print one JSON object a line", 0},
    {"plot", KEY_PLOT, "FILE.png", 0, "draw error against time", 0},
    {"rows", KEY_ROWS, "N", 0, "compare the weights of N rows of each head (default 64)", 0},
    {"seed", KEY_SEED, "N", 0, "of random data and projections (default 1)", 0},
    {"time", KEY_TIME, "SECONDS", 0, "repeat each for this long, the best counts (default 0.5)", 0},
    {0, 0, 0, 0, 0, 0}};

static void add(struct options *o, const char *text, struct argp_state *state)
{
    const char **with = realloc(o->with, (o->count + 1) * sizeof *with);
    if (!with) argp_failure(state, CA_EXIT_FAILED, 0, "no memory");
    o->with = with;
    o->with[o->count++] = text;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    char *end = "";
    switch (key) {
    case 'd': o->runner.selector = arg; return 0;
    case 'j': o->json = true; return 0;
    case KEY_WITH: add(o, arg, state); return 0;
    case KEY_PLOT: o->plot = arg; return 0;
    case KEY_EXACT:
        if (strcmp(arg, "dense") != 0) argp_error(state, "--exact %s: there is only dense", arg);
        return 0;
    case KEY_SEED: o->seed = strtoull(arg, &end, 0); break;
    case KEY_TIME: o->seconds = strtod(arg, &end); break;
    case KEY_ROWS: o->rows = strtoll(arg, &end, 10); break;
    case ARGP_KEY_ARG:
        if (o->source) argp_error(state, "one problem or case, not %s and %s", o->source, arg);
        o->source = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which problem or case?"); return 0;
    case ARGP_KEY_SUCCESS:
        if (!o->count) argp_error(state, "which approximations?  --with NAME, one of %s", ca_approx_names());
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
    if (end == arg || *end || !(o->seconds >= 0) || o->rows < 1) argp_error(state, "%s is not a number that fits", arg);
    return 0;
}

static const struct argp argp = {
    option_rows, parse, "PROBLEM|CASE",
    "Compares approximations of attention with attention itself: errors, time, memory.\v"
    "The problem is a string as for `clattn bench', or a folder with a case of operation attention.  Random data make "
    "attention nearly uniform, which nothing that looks at a few keys comes near: errors on a problem string tell little, "
    "those on a case with q, k and v of a real model are what to choose by.\n\n"
    "Approximations: window:LEFT,RIGHT; each pattern of problem strings, as sink_window:512,4, top_k:64 or "
    "lsh:rounds=4,buckets=64 (buckets of 64 keys by default); favor:m=256; linear:map=elu1 or another feature map; "
    "cosformer; linformer:p=256,e=mean or e=random; nystrom:landmarks=64.  Feature maps are normalised.  favor and taylor2 "
    "stand for e^(scale q.k), so that q and k are scaled before; the others take them as they are.  linformer's projection "
    "is learned in a model; here it is means of segments, or random.  lsh hashes q and k as they are: only directions "
    "count, and Reformer's keys are its queries.\n\n"
    "Errors: of the output |o' - o| / |o| (relative L2) and the largest difference; of the weights the mean over rows of "
    "half the sum of |w' - w| (total variation, 0 ... 1), on some rows of each head, evenly spread.  linformer and "
    "nystrom mix keys and have no weights.  Time is the best of some; memory is what is needed beyond q, k, v and "
    "the output.",
    0, 0, 0};

/* ------------------------------------------------------------------- output */

struct line { const char *name; struct approx_error error; double ms, median_ms, speed_up; size_t memory; };

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static clattn_status print_json(const struct line *l, const char *problem, const clattn_device_info *device)
{
    json_t *line = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:f, s:f, s:f, s:I}", "name", l->name, "problem", problem, "device", device->selector,
                             "relative_l2", number(l->error.relative), "largest", number(l->error.most), "weights_tv", number(l->error.weights),
                             "min_ms", l->ms, "median_ms", l->median_ms, "speed_up", l->speed_up, "memory_bytes", (json_int_t)l->memory);
    CA_REQUIRE(line, CLATTN_E_INTERNAL, "the result is not valid JSON");
    json_dumpf(line, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(line);
    return CLATTN_OK;
}

static void print_line(const struct line *l)
{
    char weights[32] = "-", time[32];
    if (!isnan(l->error.weights)) snprintf(weights, sizeof weights, "%.3g", l->error.weights);
    ca_cli_print("%-32s %9.3g %9.3g %9s %10s %9.3g %9.1f MiB\n", l->name, l->error.relative, l->error.most, weights,
                 ca_cli_time(1e-3 * l->ms, time), l->speed_up, (double)l->memory / (1 << 20));
    fflush(stdout);
}

static clattn_status draw(const struct options *o, const char *problem, const clattn_device_info *device, const struct line *l, size_t count)
{
    char title[768];
    struct ca_plot p = {.title = title, .x_label = "time, ms", .y_label = "error of the output, relative L2", .line = l[0].ms, .line_name = "exact"};
    struct ca_plot_point *point = calloc(count, sizeof *point);
    if (!point) return ca_no_memory(count * sizeof *point, "points");
    snprintf(title, sizeof title, "%s on %s", problem, device->name);
    for (size_t i = 1; i < count; i++)
        if (isfinite(l[i].error.relative)) point[p.count++] = (struct ca_plot_point){l[i].name, l[i].ms, fmax(l[i].error.relative, 1e-9)};
    p.point = point;
    clattn_status st = ca_plot_write(o->plot, &p);
    free(point);
    return st;
}

/* ------------------------------------------------------------------ the work */

/* Computes one, prints it and, in LINE, keeps what a plot needs. */
static clattn_status one(const struct options *o, const struct target *t, const char *problem, const char *text, struct approx *exact, struct line *l)
{
    struct approx x = {.out = NULL}, *to = text ? &x : exact;
    clattn_status st;
    ca_progress_say("%s", text ? text : "dense");
    ca_message_clear();
    CA_TRY(ca_approx_run(t, text, to));
    *l = (struct line){text ? text : "dense", ca_approx_error(t, exact, to), 1e3 * to->time.least, 1e3 * to->time.median,
                       exact->time.least / to->time.least, to->memory};
    if (o->json) CA_TRY(print_json(l, problem, &o->runner.device));
    else print_line(l);
done:
    ca_approx_free(&x);
    return st;
}

/* A code to leave with. */
static int compare(const struct options *o, const struct target *t, bool drawn)
{
    struct approx exact = {.out = NULL};
    struct line *line = calloc(o->count + 1, sizeof *line);
    size_t count = 0;
    char problem[512];
    int code = CA_EXIT_OK;
    clattn_status st = line ? CLATTN_OK : ca_no_memory((o->count + 1) * sizeof *line, "lines");
    if (st != CLATTN_OK) goto done;
    ca_problem_print(&t->p, problem, sizeof problem);
    if (!o->json)
        ca_cli_print("%s on %s\n%-32s %9s %9s %9s %10s %9s %13s\n", problem, o->runner.device.name, "", "rel. L2", "largest", "weights", "time",
                     "speed-up", "memory");
    CA_TRY(one(o, t, problem, NULL, &exact, &line[count++]));
    for (size_t i = 0; i < o->count; i++) {
        st = one(o, t, problem, o->with[i], &exact, &line[count]);
        count += st == CLATTN_OK;
        if (st == CLATTN_OK) continue;
        ca_cli_error("%s: %s", o->with[i], ca_cli_message(st)); /* does not stop the others */
        code = ca_cli_worse(code, ca_cli_exit_code(st));
    }
    st = CLATTN_OK;
    if (!o->json && !isnan(line[0].error.weights))
        ca_cli_print("\nWeights: total variation on %lld of %lld rows of each head.\n", (long long)t->rows, (long long)t->p.Nq);
    if (!o->json && drawn) ca_cli_print("Random data: attention is nearly uniform on them; compare a case of real q, k and v to choose.\n");
    ca_message_clear();
    if (o->plot) CA_TRY(draw(o, problem, &o->runner.device, line, count));
done:
    if (st != CLATTN_OK) ca_cli_status(st);
    ca_approx_free(&exact);
    free(line);
    return st == CLATTN_OK ? code : ca_cli_worse(code, ca_cli_exit_code(st));
}

static clattn_status set_target(const struct options *o, const clattn_attention *a, const struct ca_lengths *l, const void *const *given,
                                struct target *t)
{
    CA_REQUIRE(!a->pattern, CLATTN_E_ARGUMENT, "%s: has a pattern; give it as --with", o->source);
    clattn_status st = ca_target_init(t, o->runner.ctx, a, l, given, o->rows, o->seed);
    t->seconds = o->seconds;
    return st;
}

static int compare_problem(struct options *o)
{
    struct cli_problem problem;
    struct target t = {.ctx = NULL};
    clattn_status st = ca_cli_problem(o->source, &problem);
    int code = CA_EXIT_OK;
    if (st == CLATTN_OK) st = set_target(o, &problem.a, &problem.lengths, NULL, &t);
    if (st == CLATTN_OK) code = compare(o, &t, true);
    else {
        ca_cli_error("%s: %s", o->source, ca_cli_message(st));
        code = ca_cli_exit_code(st);
    }
    ca_target_free(&t);
    ca_cli_problem_free(&problem);
    return code;
}

static int compare_case(struct options *o)
{
    struct runner *r = &o->runner;
    struct case_file *c = calloc(1, sizeof *c);
    struct attention_case *w = calloc(1, sizeof *w);
    struct target t = {.ctx = NULL};
    clattn_status st = c && w ? ca_case_read(o->source, false, c) : ca_no_memory(sizeof *c + sizeof *w, "a case");
    int end = CASE_DONE, code = CA_EXIT_OK;
    if (st == CLATTN_OK && strcmp(c->op->name, "attention") != 0)
        st = ca_fail(CLATTN_E_UNSUPPORTED, "%s: is no case of operation attention", c->file);
    if (st == CLATTN_OK && ca_case_unsupported(c, r->reason, sizeof r->reason)) end = CASE_SKIPPED;
    else if (st == CLATTN_OK) end = ca_attention_take(r, c, w);
    if (end == CASE_SKIPPED) st = ca_fail(CLATTN_E_UNSUPPORTED, "%s: %s", c->file, r->reason);
    else if (end != CASE_DONE) st = end == CASE_BAD ? CLATTN_E_ARGUMENT : CLATTN_E_INTERNAL;
    if (st == CLATTN_OK) st = set_target(o, &w->a, NULL, w->data, &t);
    if (st == CLATTN_OK) code = compare(o, &t, false);
    else {
        ca_cli_error("%s", ca_cli_message(st));
        code = st == CLATTN_E_IO ? CA_EXIT_BAD : ca_cli_exit_code(st);
    }
    ca_target_free(&t);
    if (w) ca_attention_free(w);
    if (c) ca_case_free(c);
    free(w);
    free(c);
    return code;
}

int ca_cmd_compare(int argc, char **argv)
{
    struct options o = {.seconds = 0.5, .seed = 1, .rows = 64};
    struct stat s;
    int code = CA_EXIT_OK;
    clattn_status st = CLATTN_OK;
    ca_cli_parse(&argp, argc, argv, &o);
    for (size_t i = 0; st == CLATTN_OK && i < o.count; i++) st = ca_approx_known(o.with[i]);
    if (st == CLATTN_OK && o.plot) st = ca_plot_possible();
    if (st == CLATTN_OK) st = ca_runner_open(&o.runner);
    if (st != CLATTN_OK) {
        ca_cli_status(st);
        code = ca_cli_exit_code(st);
    } else {
        ca_progress_begin("comparing");
        code = stat(o.source, &s) == 0 && S_ISDIR(s.st_mode) ? compare_case(&o) : compare_problem(&o);
        ca_progress_end();
    }
    ca_runner_close(&o.runner);
    free(o.with);
    return code;
}
