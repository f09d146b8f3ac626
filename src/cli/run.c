/* run.c -- `clattn run`: reads cases, runs them on one device, compares or writes the outputs. */
#define _GNU_SOURCE
#include "cli/run.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/progress.h"

/* ------------------------------------------------------------------- runner */

clattn_status ca_runner_open(struct runner *r)
{
    return r->ctx ? CLATTN_OK : ca_cli_open(r->selector, &r->ctx, &r->device);
}

void ca_runner_close(struct runner *r)
{
    for (size_t i = 0; i < r->num_plans; i++) clattn_plan_destroy(r->plans[i].plan);
    free(r->plans);
    clattn_context_destroy(r->ctx);
    memset(r, 0, sizeof *r);
}

clattn_status ca_runner_plan(struct runner *r, const clattn_attention *a, clattn_plan **plan)
{
    const clattn_plan_options options = {.size = sizeof options, .algorithm = r->algorithm};
    struct problem p;
    clattn_status st = ca_runner_open(r);
    if (st == CLATTN_OK) st = ca_problem_init(&p, a);
    if (st != CLATTN_OK) return st;
    for (size_t i = 0; i < r->num_plans; i++)
        if (memcmp(&p, &r->plans[i].p, sizeof p) == 0) {
            *plan = r->plans[i].plan;
            return CLATTN_OK;
        }
    struct kept_plan *plans = realloc(r->plans, (r->num_plans + 1) * sizeof *plans);
    if (!plans) return ca_no_memory((r->num_plans + 1) * sizeof *plans, "plans");
    r->plans = plans;
    st = clattn_plan_create(r->ctx, a, &options, plan);
    if (st == CLATTN_OK) r->plans[r->num_plans++] = (struct kept_plan){p, *plan};
    return st;
}

int ca_runner_outcome(struct runner *r, clattn_status st)
{
    if (st == CLATTN_OK) return CASE_DONE;
    if (st == CLATTN_E_ARGUMENT) return CASE_BAD;
    if (st != CLATTN_E_UNSUPPORTED && st != CLATTN_E_TOO_LARGE) return CASE_FAILED;
    snprintf(r->reason, sizeof r->reason, "%s", ca_cli_message(st));
    return CASE_SKIPPED;
}

/* ------------------------------------------------------------------ options */

struct options {
    struct runner runner;
    const char *out;
    bool check, verbose;
    char **cases;
    int num_cases;
    int count[4];   /* by outcome */
};

static const struct argp_option option_rows[] = {
    {"device", 'd', "SELECTOR", 0, "run on this device (default: the fastest; see clattn devices)", 0},
    {"algo", 'a', "NAME", 0, "run this algorithm (see clattn explain)", 0},
    {"out", 'o', "DIR", 0, "write the outputs to DIR/<case>/<output>.npy", 0},
    {"check", 'c', 0, 0, "compare the outputs with the expected ones", 0},
    {0, 0, 0, 0, 0, 0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'd': o->runner.selector = arg; return 0;
    case 'a': o->runner.algorithm = arg; return 0;
    case 'o': o->out = arg; return 0;
    case 'c': o->check = true; return 0;
    case ARGP_KEY_ARGS:
        o->cases = state->argv + state->next;
        o->num_cases = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which case?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_rows, parse, "CASE...",
    "Runs cases: folders with a case.json and .npy files, each one operation with its inputs.\v"
    "With --check each output is compared with the expected file, |a-b| <= atol + rtol |b|, one line for each, and "
    "the last line counts the cases.  A case that cannot be computed is skipped with its reason; a bad case is "
    "reported and does not stop the others.\n\n"
    "Exit status: 0 done and all passed, 1 something failed, 2 bad use or a bad case, 3 nothing failed but "
    "something was skipped.",
    0, 0, 0};

/* ------------------------------------------------------------------- output */

static bool make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return true;
    ca_cli_error("%s: %s", path, strerror(errno));
    return false;
}

/* DIR/<case folder's name>/<output>.npy */
static bool write_outputs(const struct options *o, const struct case_file *c)
{
    char path[8192];
    bool ok = make_folder(o->out);
    snprintf(path, sizeof path, "%s/%s", o->out, c->folder);
    ok = ok && make_folder(path);
    for (unsigned i = 0; ok && i < c->num_out; i++) {
        snprintf(path, sizeof path, "%s/%s/%s.npy", o->out, c->folder, c->out[i].name);
        clattn_status st = ca_npy_write(path, &c->out[i].a);
        if (st != CLATTN_OK) ca_cli_status(st);
        ok = st == CLATTN_OK;
    }
    return ok;
}

static bool check_outputs(const struct case_file *c)
{
    bool all = true;
    for (unsigned i = 0; i < c->num_out; i++) {
        const struct case_tensor *t = &c->out[i];
        struct difference d;
        bool ok = ca_compare(&t->a, &t->want, t->rtol, t->atol, &d);
        ca_cli_print("%s: %s: largest error %.3g absolute, %.3g relative: %s", c->name, t->name, d.absolute,
                     d.relative, ok ? "ok" : "FAIL");
        if (!ok) ca_cli_print(" (%zu of %zu beyond %g + %g |b|)", d.wrong, d.total, t->atol, t->rtol);
        ca_cli_print("\n");
        all = all && ok;
    }
    return all;
}

static int run_case(struct options *o, struct case_file *c, const char *path)
{
    struct runner *r = &o->runner;
    clattn_status st = ca_case_read(path, o->check, c);
    if (st != CLATTN_OK) {
        ca_cli_error("%s", ca_cli_message(st)); /* one line, whatever the case's names hold */
        return CASE_BAD;
    }
    int end = CASE_SKIPPED;
    double start = ca_now();
    r->reason[0] = 0;
    if (!ca_case_unsupported(c, r->reason, sizeof r->reason)) end = c->op->run(r, c);
    if (end == CASE_SKIPPED) ca_cli_print("%s: skipped: %s\n", c->name, r->reason);
    if (end == CASE_FAILED || end == CASE_BAD)
        ca_cli_error("%s: %s", c->file, ca_cli_message(CLATTN_E_INTERNAL));
    if (end == CASE_FAILED && o->check) ca_cli_print("%s: FAIL\n", c->name);
    if (end != CASE_DONE) return end;
    char time[32];
    ca_cli_time(ca_now() - start, time);
    if (o->out && !write_outputs(o, c)) return CASE_FAILED;
    if (o->check) return check_outputs(c) ? CASE_DONE : CASE_FAILED;
    ca_cli_print("%s: done in %s on %s\n", c->name, time, r->device.name[0] ? r->device.name : "the host");
    return CASE_DONE;
}

/* A bad case stands above a failed one, and that above a skipped one. */
static int exit_code(const int count[4])
{
    return count[CASE_BAD] ? CA_EXIT_BAD : count[CASE_FAILED] ? CA_EXIT_FAILED
         : count[CASE_SKIPPED] ? CA_EXIT_SKIPPED : CA_EXIT_OK;
}

int ca_cmd_run(int argc, char **argv)
{
    struct options o = {.cases = NULL};
    ca_cli_parse(&argp, argc, argv, &o);
    if (o.runner.algorithm && !ca_cli_algorithm_known(o.runner.algorithm)) return CA_EXIT_BAD;
    struct case_file *c = calloc(1, sizeof *c);
    /* A selector that fits nothing is bad use, whatever the cases are. */
    bool named = o.runner.selector || ca_getenv("CLATTN_DEVICES");
    clattn_status st = !c ? ca_no_memory(sizeof *c, "a case") : named ? ca_runner_open(&o.runner) : CLATTN_OK;
    if (st != CLATTN_OK) {
        ca_cli_status(st);
        free(c);
        return ca_cli_exit_code(st);
    }
    ca_progress_begin("running cases");
    for (int i = 0; i < o.num_cases; i++) {
        ca_progress_say("%d of %d, %s", i + 1, o.num_cases, o.cases[i]);
        o.count[run_case(&o, c, o.cases[i])]++;
        ca_case_free(c);
    }
    ca_progress_end();
    if (o.check)
        ca_cli_print("%d passed, %d failed, %d skipped\n", o.count[CASE_DONE], o.count[CASE_FAILED],
                     o.count[CASE_SKIPPED]);
    ca_runner_close(&o.runner);
    free(c);
    return exit_code(o.count);
}
