/* cli.h -- what the sub-commands of `clattn` share: their table, exit codes, output, and how
 * library failures become exit codes. */
#ifndef CA_CLI_H
#define CA_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include "clattn.h"

/* Done; something failed; bad use or a bad case among the cases; nothing failed but something was skipped. */
enum { CA_EXIT_OK = 0, CA_EXIT_FAILED = 1, CA_EXIT_BAD = 2, CA_EXIT_SKIPPED = 3 };

int ca_cmd_bench(int argc, char **argv);
int ca_cmd_compare(int argc, char **argv);
int ca_cmd_demo(int argc, char **argv);
int ca_cmd_devices(int argc, char **argv);
int ca_cmd_explain(int argc, char **argv);
int ca_cmd_inspect(int argc, char **argv);
int ca_cmd_run(int argc, char **argv);
int ca_cmd_selftest(int argc, char **argv);
int ca_cmd_tune(int argc, char **argv);

/* Parses the options of a sub-command; on a mistake argp prints it and leaves with CA_EXIT_BAD. */
void ca_cli_parse(const struct argp *argp, int argc, char **argv, void *input);

/* One line "clattn: ..." on standard error.  Control characters are replaced, since names come from files. */
void ca_cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The library's last message, or the status's name when there is none. */
void ca_cli_status(clattn_status st);
const char *ca_cli_message(clattn_status st);
int ca_cli_exit_code(clattn_status st);
/* The one to leave with: bad use stands above a failure, that above what is not supported. */
int ca_cli_worse(int a, int b);

/* printf on standard output, after the progress line is wiped; control characters other than newline are replaced. */
void ca_cli_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the terminal takes. */
bool ca_cli_utf8(void);

/* SELECTOR, or NULL for the automatic choice.  Shows progress, since the first look at a machine takes seconds. */
clattn_status ca_cli_open(const char *selector, clattn_context **ctx, clattn_device_info *info);
/* Prints the ranked devices with the reasons, as `clattn devices` does. */
clattn_status ca_cli_print_devices(void);

/* Is NAME an algorithm of this library?  If not, says which there are. */
bool ca_cli_algorithm_known(const char *name);

/* "12.3 us", "1.25 s". */
const char *ca_cli_time(double seconds, char text[32]);

#endif
