/* cli.c -- output, messages and the opening of a device, for all sub-commands. */
#include "cli/cli.h"
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "algo/algo.h"
#include "base/text.h"
#include "cli/progress.h"

void ca_cli_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    argp_parse(argp, argc, argv, 0, NULL, input);
}

/* Terminals obey control characters, and one message is one line: replace them in what came from files. */
static void tame(char *text, bool newlines)
{
    for (char *p = text; *p; p++) {
        if (*p == '\n') *p = newlines ? '\n' : ' ';
        else if ((unsigned char)*p < ' ' || *p == 127) *p = '?';
    }
}

void ca_cli_error(const char *format, ...)
{
    char text[9000];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    tame(text, false);
    ca_progress_wipe();
    fflush(stdout);
    fprintf(stderr, "clattn: %s\n", text);
}

const char *ca_cli_message(clattn_status st)
{
    const char *message = clattn_last_message();
    return message[0] ? message : clattn_status_name(st);
}

/* A compiler's log, or a list of devices, has lines of its own. */
void ca_cli_status(clattn_status st)
{
    char text[9000];
    snprintf(text, sizeof text, "%s", ca_cli_message(st));
    tame(text, true);
    ca_progress_wipe();
    fflush(stdout);
    fprintf(stderr, "clattn: %s\n", text);
}

int ca_cli_exit_code(clattn_status st)
{
    if (st == CLATTN_OK) return CA_EXIT_OK;
    if (st == CLATTN_E_UNSUPPORTED || st == CLATTN_E_TOO_LARGE) return CA_EXIT_SKIPPED;
    return st == CLATTN_E_ARGUMENT || st == CLATTN_E_NO_DEVICE ? CA_EXIT_BAD : CA_EXIT_FAILED;
}

int ca_cli_worse(int a, int b)
{
    static const int rank[4] = {[CA_EXIT_OK] = 0, [CA_EXIT_SKIPPED] = 1, [CA_EXIT_FAILED] = 2, [CA_EXIT_BAD] = 3};
    return rank[a] >= rank[b] ? a : b;
}

void ca_cli_print(const char *format, ...)
{
    char text[9000];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    tame(text, true);
    ca_progress_wipe();
    fputs(text, stdout);
}

bool ca_cli_utf8(void)
{
    locale_t mine = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    bool utf8 = mine && !strcmp(nl_langinfo_l(CODESET, mine), "UTF-8");
    if (mine) freelocale(mine);
    return utf8;
}

clattn_status ca_cli_open(const char *selector, clattn_context **ctx, clattn_device_info *info)
{
    ca_progress_begin("examining the devices of this machine (once)");
    clattn_status st = clattn_context_create(selector, ctx);
    ca_progress_end();
    if (st != CLATTN_OK) return st;
    memset(info, 0, sizeof *info);
    info->size = sizeof *info;
    st = clattn_context_device(*ctx, info);
    struct ca_text t = {info->selector, sizeof info->selector, 0};
    for (int k = 0; k < (*ctx)->members && (*ctx)->members > 1 && st == CLATTN_OK; k++) { /* the first, with the selector that names all */
        clattn_device_info one = {.size = sizeof one};
        st = clattn_context_device((*ctx)->member[k], &one);
        ca_text_put(&t, "%s%s@", k ? "," : "", one.selector);
    }
    return st;
}

bool ca_cli_algorithm_known(const char *name)
{
    char list[256] = "";
    if (ca_algo_find(name)) return true;
    for (unsigned i = 0; ca_algos[i]; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", ca_algos[i]->name);
    ca_cli_error("unknown algorithm %s; there are %s", name, list);
    return false;
}

const char *ca_cli_time(double seconds, char text[32])
{
    double value = seconds >= 1 ? seconds : seconds >= 1e-3 ? seconds * 1e3 : seconds * 1e6;
    snprintf(text, 32, "%.*f %s",
             value < 10    ? 2
             : value < 100 ? 1
                           : 0,
             value,
             seconds >= 1      ? "s"
             : seconds >= 1e-3 ? "ms"
                               : "us");
    return text;
}
