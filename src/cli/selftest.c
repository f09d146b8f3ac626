/* selftest.c -- `clattn selftest`: every algorithm computes known answers, on one device or on all. */
#include "cli/cli.h"
#include "cli/progress.h"
#include "plan/plan.h"
#include "runtime/inventory.h"

struct options { const char *selector; };

static const struct argp_option option_rows[] = {
    {"device", 'd', "SELECTOR", 0, "test this device (default: all of them)", 0}, {0, 0, 0, 0, 0, 0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'd': o->selector = arg; return 0;
    case ARGP_KEY_ARG: argp_error(state, "%s: no argument is expected", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_rows, parse, 0,
    "Computes known answers with every algorithm that a device can run.\v"
    "Without --device each usable device is tested, also those that are never chosen automatically.  "
    "Exit status: 0 all passed, 1 one failed, 2 bad use.",
    0, 0, 0};

static void show_step(void *user, int algorithm, const char *words)
{
    (void)algorithm;
    ca_progress_say("%s, %s", (const char *)user, words);
}

/* True when the device passed. */
static bool test(const struct device *dev, const char *selector)
{
    struct trial t = {.thorough = true, .progress = show_step, .user = (void *)dev->name};
    ca_progress_begin("self-test");
    ca_plan_trial(dev, &t);
    ca_progress_end();
    if (t.passed > 0)
        ca_cli_print("%s: pass (%.1f GFLOP/s)%s%s\n", selector, t.gflops, t.words[0] ? ", but " : "", t.words);
    else ca_cli_print("%s: FAIL: %s\n", selector, t.words);
    return t.passed > 0;
}

static clattn_status test_all(const struct inventory *inv, int *failures)
{
    struct device dev;
    for (size_t i = 0; i < inv->count; i++) {
        const struct inventory_entry *e = &inv->entry[i];
        if (!e->usable && e->selftest != 0) {
            ca_cli_print("%s: skipped: %s\n", e->selector, e->reason);
            continue;
        }
        ca_message_clear();
        if (ca_inventory_open(e, &dev) == CLATTN_OK) {
            *failures += !test(&dev, e->selector);
        } else {
            ca_cli_print("%s: FAIL: %s\n", e->selector, clattn_last_message());
            ++*failures;
        }
    }
    return CLATTN_OK;
}

int ca_cmd_selftest(int argc, char **argv)
{
    struct options o = {.selector = NULL};
    const struct inventory *inv;
    clattn_context *ctx = NULL;
    clattn_device_info info;
    int failures = 0;
    clattn_status st;
    ca_cli_parse(&argp, argc, argv, &o);
    if (o.selector) {
        CA_TRY(ca_cli_open(o.selector, &ctx, &info));
        failures = !test(&ctx->dev, info.selector);
    } else {
        ca_progress_begin("examining the devices of this machine (once)");
        st = ca_inventory_all(ca_plan_trial, false, &inv);
        ca_progress_end();
        if (st == CLATTN_OK) st = test_all(inv, &failures);
    }
done:
    clattn_context_destroy(ctx);
    if (st != CLATTN_OK) ca_cli_status(st);
    return st != CLATTN_OK ? ca_cli_exit_code(st) : failures ? CA_EXIT_FAILED : CA_EXIT_OK;
}
