/* devices.c -- `clattn devices`: the ranked devices and the reasons. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/progress.h"
#include "plan/plan.h"
#include "runtime/device.h"
#include "runtime/inventory.h"

struct options { bool json, refresh; };

static const struct argp_option option_rows[] = {
    {"json", 'j', 0, 0, "print one JSON array instead of a table", 0},
    {"refresh", 'r', 0, 0, "examine the devices anew (after a driver was installed or repaired)", 0},
    {0, 0, 0, 0, 0, 0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'j': o->json = true; return 0;
    case 'r': o->refresh = true; return 0;
    case ARGP_KEY_ARG: argp_error(state, "%s: no argument is expected", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_rows, parse, 0,
    "Lists the devices of this machine, best first.\v"
    "The first look at a machine takes seconds: every device computes known answers and is timed on a small "
    "attention.  What was found is kept until a driver changes.  The selector in the last column is what --device "
    "and CLATTN_DEVICES take.",
    0, 0, 0};

static const char *selftest_word(int selftest) { return selftest > 0 ? "pass" : selftest == 0 ? "fail" : "skipped"; }

/* All devices; *LIST is the caller's. */
static clattn_status list_devices(clattn_device_info **list, size_t *count)
{
    clattn_status st;
    *list = NULL;
    ca_progress_begin("examining the devices of this machine (once)");
    CA_TRY(clattn_devices(NULL, count));
    *list = calloc(*count + 1, sizeof **list);
    if (!*list) {
        st = ca_no_memory((*count + 1) * sizeof **list, "the list of devices");
        goto done;
    }
    for (size_t i = 0; i < *count; i++) (*list)[i].size = sizeof **list;
    CA_TRY(clattn_devices(*list, count));
done:
    ca_progress_end();
    return st;
}

/* The selector is last, since it may be long; the reason has a line of its own. */
static void print_table(const clattn_device_info *list, size_t count)
{
    ca_cli_print("  %-14s %-9s %8s  %s\n", "CLASS", "SELF-TEST", "GFLOP/s", "SELECTOR");
    for (size_t i = 0; i < count; i++) {
        const clattn_device_info *d = &list[i];
        char rate[32] = "-";
        if (d->gflops > 0) snprintf(rate, sizeof rate, "%.1f", d->gflops);
        ca_cli_print("%c %-14s %-9s %8s  %s", d->chosen ? '*' : ' ', ca_class_name(d->device_class),
                     selftest_word(d->selftest), rate, d->selector);
        if (!strstr(d->selector, d->name)) ca_cli_print(" (%s)", d->name);
        ca_cli_print("\n");
        if (d->reason[0]) ca_cli_print("  %-14s %s\n", "", d->reason);
    }
}

static int print_json(const clattn_device_info *list, size_t count)
{
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        const clattn_device_info *d = &list[i];
        json_t *one =
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:f}", "selector", d->selector, "name", d->name,
                      "platform", d->platform, "driver", d->driver, "class", ca_class_name(d->device_class), "chosen",
                      d->chosen, "reason", d->reason, "selftest", selftest_word(d->selftest), "gflops", d->gflops);
        if (!one || json_array_append_new(all, one) != 0) {
            ca_cli_error("device %zu has a name that is not UTF-8", i);
            json_decref(all);
            return CA_EXIT_FAILED;
        }
    }
    json_dumpf(all, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(all);
    return CA_EXIT_OK;
}

clattn_status ca_cli_print_devices(void)
{
    clattn_device_info *list;
    size_t count = 0;
    clattn_status st = list_devices(&list, &count);
    if (st == CLATTN_OK) print_table(list, count);
    free(list);
    return st;
}

int ca_cmd_devices(int argc, char **argv)
{
    struct options o = {.json = false};
    const struct inventory *inv;
    clattn_device_info *list = NULL;
    size_t count = 0;
    clattn_status st = CLATTN_OK;
    int code = CA_EXIT_OK;
    ca_cli_parse(&argp, argc, argv, &o);
    ca_progress_begin("examining the devices of this machine");
    if (o.refresh) st = ca_inventory_all(ca_plan_trial, true, &inv);
    if (st == CLATTN_OK) st = list_devices(&list, &count);
    ca_progress_end();
    if (st == CLATTN_OK && ca_inventory_get(ca_plan_trial, false, &inv) == CLATTN_OK && inv->note[0])
        ca_cli_error("%s", inv->note);
    if (st != CLATTN_OK) {
        ca_cli_status(st);
        code = ca_cli_exit_code(st);
    } else if (o.json) {
        code = print_json(list, count);
    } else {
        print_table(list, count);
    }
    free(list);
    return code;
}
