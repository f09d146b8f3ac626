/* tune.c -- `clattn tune`: finds fast parameters for problems on a device, and moves what was found from machine to machine. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"
#include "cli/linear.h"
#include "cli/mods.h"
#include "cli/plot.h"
#include "cli/progress.h"

/* Where none is named: long and short, causal, decoding. */
static char *usual[] = { "f32 b1 h8 q2048 k2048 d64", "f32 b1 h8 q2048 k2048 d128 causal", "f32 b8 h12 q128 k128 d64", "f32 b1 h32/8 q1 k4096 d128",
                         "f16 b1 h8 q2048 k2048 d64" };

struct options {
    const char *selector, *algorithm, *params, *import, *plot;
    bool export, exhaustive;
    double seconds;    /* of each problem */
    char **problems;
    int num_problems;
};

enum { KEY_EXPORT = 256, KEY_IMPORT, KEY_PLOT, KEY_EXHAUSTIVE, KEY_PARAMS };
static const struct argp_option option_rows[] = {
    {"device", 'd', "SELECTOR", 0, "tune this device (default: the fastest)", 0},
    {"algo", 'a', "NAME", 0, "try this algorithm alone (default: all that may be wise)", 0},
    {"params", KEY_PARAMS, "TEXT", 0, "keep these values of parameters, \"bk=96 vl=16\"", 0},
    {"budget", 'b', "SECONDS", 0, "search each problem for so long (default 60)", 0},
    {"exhaustive", KEY_EXHAUSTIVE, 0, 0, "try all combinations, as far as the time goes, to see what the search would miss", 0},
    {"export", KEY_EXPORT, 0, 0, "print what is known, a line for the best of each device, problem and algorithm, and tune only what is named", 0},
    {"import", KEY_IMPORT, "FILE", 0, "take over such lines (-: standard input), and tune only what is named", 0},
    {"plot", KEY_PLOT, "FILE.png", 0, "draw the tries of one problem and the best so far", 0},
    {0, 0, 0, 0, 0, 0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    char *end;
    switch (key) {
    case 'd': o->selector = arg; return 0;
    case 'b':
        o->seconds = strtod(arg, &end);
        if (end == arg || *end || !(o->seconds > 0 && o->seconds < 1e6)) argp_error(state, "%s seconds: more than 0 are needed", arg);
        return 0;
    case 'a': o->algorithm = arg; return 0;
    case KEY_PARAMS: o->params = arg; return 0;
    case KEY_EXPORT: o->export = true; return 0;
    case KEY_EXHAUSTIVE: o->exhaustive = true; return 0;
    case KEY_IMPORT: o->import = arg; return 0;
    case KEY_PLOT: o->plot = arg; return 0;
    case ARGP_KEY_ARGS:
        o->problems = state->argv + state->next;
        o->num_problems = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        if (o->plot && o->num_problems != 1) argp_error(state, "--plot draws one problem, not %d", o->num_problems);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_rows,
    parse,
    "[PROBLEM...]",
    "Finds fast parameters for PROBLEMs (default: a few usual ones) on a device by measuring, in a helper process.\v"
    "What is found is kept in the cache, and plans use it from then on, for problems near the ones tuned too; `clattn explain' says where a plan's "
    "parameters come from.  A search that is broken off goes on where it was.  --export prints lines that --import takes elsewhere.",
    0,
    0,
    0};

/* ----------------------------------------------------------------- import, export */

static int import(const char *name)
{
    FILE *f = strcmp(name, "-") ? fopen(name, "r") : stdin;
    char *text = NULL;
    size_t size = 0, records = 0;
    if (!f || (getdelim(&text, &size, 0, f) < 0 && ferror(f))) {
        ca_cli_error("cannot read %s", name);
        if (f && f != stdin) fclose(f);
        free(text);
        return CA_EXIT_BAD;
    }
    if (f != stdin) fclose(f);
    clattn_status st = clattn_wisdom_import(text ? text : "", &records);
    free(text);
    if (st != CLATTN_OK) ca_cli_status(st);
    else if (!records) ca_cli_error("%s holds no record of a measurement", name);
    if (st != CLATTN_OK || !records) return CA_EXIT_FAILED;
    fprintf(stderr, "%zu record%s taken over\n", records, records == 1 ? "" : "s");
    if (!ca_cache_writable()) ca_cli_error("there is no cache to keep them in (CLATTN_CACHE_DIR): they end with this command");
    return CA_EXIT_OK;
}

static int export(void)
{
    size_t length = clattn_wisdom_export(NULL, 0);
    char *text = malloc(length + 1);
    if (!text) return CA_EXIT_FAILED;
    clattn_wisdom_export(text, length + 1);
    ca_cli_print("%s", text);
    if (!length) ca_cli_error("nothing has been measured yet: try `clattn tune'");
    free(text);
    return CA_EXIT_OK;
}

/* ----------------------------------------------------------------- tuning */

#define MAX_POINTS 512
/* How the best time came down. */
struct course { struct ca_plot_point point[MAX_POINTS]; char name[MAX_POINTS][300]; size_t count; };

static void say(void *user, const clattn_tune_step *step)
{
    struct course *c = user;
    char text[32];
    if (!step->best[0]) {
        ca_progress_say("%s: %d tried", step->problem, step->tries);
        return;
    }
    ca_progress_say("%s: %d tried, %s %s", step->problem, step->tries, step->best, ca_cli_time(1e-3 * step->best_ms, text));
    if (c->count == MAX_POINTS || !isfinite(step->ms)) return;
    if (!strcmp(step->tried, step->best)) snprintf(c->name[c->count], sizeof c->name[0], "%s", step->best);
    c->point[c->count] = (struct ca_plot_point){ c->name[c->count], step->tries, step->ms };
    c->count++;
}

static clattn_status tune(const struct options *o, clattn_context *ctx, const char *text)
{
    static struct course course; /* large */
    clattn_tune_options options = { .size = sizeof options, .seconds = o->seconds, .progress = say, .user = &course,
                                    .exhaustive = o->exhaustive, .algorithm = o->algorithm, .params = o->params };
    clattn_tune_result r = { .size = sizeof r };
    struct cli_problem problem;
    char before[32], gain[64] = "without which it does not run", after[32];
    clattn_status st;
    memset(&course, 0, sizeof course);
    if (ca_is_linear(text)) return ca_fail(CLATTN_E_UNSUPPORTED, "a linear attention has no parameters to tune but chunk=N");
    st = ca_cli_problem(text, &problem);
    if (st == CLATTN_OK) {
        ca_progress_say("%s", text);
        st = clattn_tune(ctx, &problem.a, &options, &r);
    }
    ca_cli_problem_free(&problem);
    if (st != CLATTN_OK) return st;
    if (isfinite(r.default_ms)) snprintf(gain, sizeof gain, "before %s (%.2f times as fast)", ca_cli_time(1e-3 * r.default_ms, before), r.default_ms / r.ms);
    ca_cli_print("%s\n    %s %s\n    %s, %s; %d tried, %d of them now\n", text, r.algorithm, r.params,
                 ca_cli_time(1e-3 * r.ms, after), gain, r.tries, r.measured);
    if (!o->plot) return CLATTN_OK;
    const struct ca_plot plot = { .title = text, .x_label = "tries", .y_label = "time, ms", .point = course.point, .count = course.count, .joined = true };
    return ca_plot_write(o->plot, &plot);
}

int ca_cmd_tune(int argc, char **argv)
{
    struct options o = { .seconds = 60 };
    clattn_context *ctx = NULL;
    clattn_device_info device;
    int code = CA_EXIT_OK;
    ca_cli_parse(&argp, argc, argv, &o);
    if (o.algorithm && !ca_cli_algorithm_known(o.algorithm)) return CA_EXIT_BAD;
    if (o.import) code = import(o.import);
    if (!o.num_problems && !o.import && !o.export) {
        o.problems = usual;
        o.num_problems = sizeof usual / sizeof *usual;
    }
    if (o.num_problems && code == CA_EXIT_OK) {
        clattn_status st = o.plot ? ca_plot_possible() : CLATTN_OK;
        if (st == CLATTN_OK) st = ca_cli_open(o.selector, &ctx, &device);
        if (st != CLATTN_OK) {
            ca_cli_status(st);
            return ca_cli_exit_code(st);
        }
        if (!ca_cache_writable()) ca_cli_error("there is no cache to keep the result in (CLATTN_CACHE_DIR)");
        ca_progress_begin("tuning");
        for (int i = 0; i < o.num_problems; i++) {
            st = tune(&o, ctx, o.problems[i]);
            if (st == CLATTN_OK) continue;
            ca_cli_error("%s: %s", o.problems[i], ca_cli_message(st));
            code = ca_cli_worse(code, ca_cli_exit_code(st));
        }
        ca_progress_end();
        clattn_context_destroy(ctx);
    }
    if (o.export) code = ca_cli_worse(code, export());
    return code;
}
