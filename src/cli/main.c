/* main.c -- the `clattn` command: finds the sub-command in the table and hands over. */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"devices", ca_cmd_devices, "list the devices, best first, and why each was or was not chosen"},
    {"demo", ca_cmd_demo, "run attention on a real sentence and show what it looks at"},
    {"run", ca_cmd_run, "run cases (folders with a case.json) and compare their outputs"},
    {"bench", ca_cmd_bench, "time problems, \"f32 b1 h8 q2048 k2048 d64 causal\""},
    {"compare", ca_cmd_compare, "compare approximations of attention with it: error, time, memory"},
    {"explain", ca_cmd_explain, "show every algorithm for a problem: its cost, or why it is refused"},
    {"inspect", ca_cmd_inspect, "tell and draw what attention heads do, from their weights"},
    {"selftest", ca_cmd_selftest, "compute known answers on the devices"},
    {"tune", ca_cmd_tune, "find fast parameters for problems on a device"},
};
#define NUM_COMMANDS (sizeof commands / sizeof commands[0])

struct top { const struct command *command; int first; };

/* The list of commands goes into the text of --help. */
static char *filter(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC) return (char *)text;
    char *all = malloc(2048);
    size_t n = 0;
    if (!all) return (char *)text;
    n += (size_t)snprintf(all, 2048, "Commands:\n");
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        n += (size_t)snprintf(all + n, 2048 - n, "  %-9s %s\n", commands[i].name, commands[i].summary);
    snprintf(
        all + n, 2048 - n,
        "\nTry `clattn COMMAND --help', and `man clattn' for problem strings, device selectors and the environment.");
    return all;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct top *t = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < NUM_COMMANDS; i++)
            if (!strcmp(arg, commands[i].name)) t->command = &commands[i];
        if (!t->command) argp_error(state, "unknown command %s", arg);
        t->first = state->next - 1;
        state->next = state->argc; /* the rest is the sub-command's */
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which command?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    0, parse, "COMMAND [ARGUMENT...]", "Attention on whatever compute device this machine has.\v", 0, filter, 0};

int main(int argc, char **argv)
{
    struct top t = {.command = NULL};
    char name[64];
    static char version[64];
    snprintf(version, sizeof version, "clattn %s", clattn_version());
    argp_program_version = version;
    argp_err_exit_status = CA_EXIT_BAD;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &t);
    if (!t.command) return CA_EXIT_BAD; /* argp has said why */
    snprintf(name, sizeof name, "clattn %s", t.command->name);
    argv[t.first] = name;
    int code = t.command->run(argc - t.first, argv + t.first);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("clattn: standard output");
        return CA_EXIT_FAILED;
    }
    return code;
}
