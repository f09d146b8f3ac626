/* helper.c -- runs one helper process and reads its records, with a deadline.  It must do so inside any program:
 * many threads, SIGCHLD ignored or handled by others, standard input and output closed. */
#define _GNU_SOURCE
#include "runtime/probe.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/text.h"

#define MAX_ARGS 8
#define MAX_RECORDS 1024     /* more than any helper prints */
#define MAX_TRIAL_SECONDS 600

extern char **environ;

/* NULL: no helper is wanted. */
static const char *helper_path(void)
{
    const char *path = ca_getenv("CLATTN_PROBE");
    if (!path) return CA_PROBE_PATH;
    return path[0] == '/' ? path : NULL;
}

/* ---- start */

/* A pipe whose ends are not 0, 1 or 2, which are free in a program that closed them. */
static bool make_pipe(int end[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC)) return false;
    for (int i = 0; i < 2; i++) {
        end[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 3);
        close(low[i]);
    }
    if (end[0] >= 0 && end[1] >= 0) return true;
    for (int i = 0; i < 2; i++)
        if (end[i] >= 0) close(end[i]);
    return false;
}

/* The environment with OCL_ICD_VENDORS=ICD; only the array and that text are ours: free both. */
static char **child_environment(const char *icd, char **setting)
{
    static const char name[] = "OCL_ICD_VENDORS=";
    size_t n = 0, out = 0;
    while (environ && environ[n]) n++;
    char **env = calloc(n + 2, sizeof *env);
    *setting = NULL;
    if (!env) return NULL;
    for (size_t i = 0; i < n; i++)
        if (!icd || (strncmp(environ[i], name, sizeof name - 1) && strncmp(environ[i], "OPENCL_VENDOR_PATH=", 19)))
            env[out++] = environ[i];
    if (icd && asprintf(setting, "%s%s", name, icd) < 0) {
        *setting = NULL;
        free(env);
        return NULL;
    }
    env[out] = *setting;
    return env;
}

/* Signals as in a fresh process, and a process group of its own, so that compilers that a driver starts end with it. */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int e = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    if (!e) e = posix_spawnattr_setsigdefault(attr, &all);
    if (!e) e = posix_spawnattr_setsigmask(attr, &none);
    return e ? e : posix_spawnattr_setpgroup(attr, 0);
}

static int set_files(posix_spawn_file_actions_t *files, int out)
{
    int e = posix_spawn_file_actions_adddup2(files, out, STDOUT_FILENO);
    if (!e) e = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!e && !ca_getenv("CLATTN_LOG"))
        e = posix_spawn_file_actions_addopen(files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
    if (!e) e = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
#endif
    return e;
}

/* 0, or an errno. */
static int start(const char *path, const char *const *args, const char *icd, int out, pid_t *pid)
{
    const char *argv[MAX_ARGS + 2] = {"clattn-probe"};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    char *setting = NULL, **env = child_environment(icd, &setting);
    int e = env ? 0 : ENOMEM;
    for (int i = 0; i < MAX_ARGS && args[i]; i++) argv[i + 1] = args[i];
    if (!e) e = posix_spawnattr_init(&attr);
    if (e) goto done;
    e = posix_spawn_file_actions_init(&files);
    if (!e) {
        e = set_attributes(&attr);
        if (!e) e = set_files(&files, out);
        if (!e) e = posix_spawn(pid, path, &files, &attr, (char *const *)argv, env);
        posix_spawn_file_actions_destroy(&files);
    }
    posix_spawnattr_destroy(&attr);
done:
    free(setting);
    free(env);
    return e;
}

/* ---- end */

/* Kills the whole group, but only while PID is certainly ours: if SIGCHLD is ignored, or somebody else waits for all
 * children, a dead helper's number may by now be another process's. */
static void kill_helper(pid_t pid)
{
    siginfo_t info;
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0) kill(-pid, SIGKILL);
}

/* Waits for the helper, whose output has ended or is of no more use.  False when others took its status. */
static bool reap(pid_t pid, int patience_ms, int *status)
{
    double end = ca_now() + 1e-3 * patience_ms;
    bool killed = false;
    for (;;) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid) break;
        if (got < 0 && errno != EINTR) return false;
        if (!killed && ca_now() > end) {
            kill_helper(pid);
            killed = true;
        }
        poll(NULL, 0, 2);
    }
    return true;
}

/* ---- read */

struct reading {
    ca_emit_fn *emit;
    void *user;
    char line[CA_RECORD_BYTES];
    size_t length, records;
    bool hello, done, garbage;
};

static void take_line(struct reading *r)
{
    json_error_t error;
    json_t *record = json_loadb(r->line, r->length, JSON_REJECT_DUPLICATES, &error);
    const char *hello = json_string_value(json_object_get(record, "hello"));
    if (!json_is_object(record) || ++r->records > MAX_RECORDS || (!hello && !r->hello))
        r->garbage = true;
    else if (hello)
        r->hello = !strcmp(hello, clattn_version());
    else if (json_object_get(record, "done"))
        r->done = true;
    else
        r->emit(r->user, record);
    json_decref(record);
    r->length = 0;
}

static void take_bytes(struct reading *r, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && !r->garbage && !r->done; i++) {
        if (bytes[i] == '\n') take_line(r);
        else if (r->length < sizeof r->line) r->line[r->length++] = bytes[i];
        else r->garbage = true;
    }
}

/* Reads to the end of the records; false when STEP_MS passed without any. */
static bool read_records(int fd, int step_ms, struct reading *r)
{
    double step = 1e-3 * step_ms, now = ca_now(), last = now + MAX_TRIAL_SECONDS, end = now + step;
    size_t seen = 0;
    while (!r->done && !r->garbage) {
        char bytes[4096];
        struct pollfd p = {fd, POLLIN, 0};
        now = ca_now();
        if (r->records > seen) { /* a sign of progress, for as long as the whole takes */
            seen = r->records;
            end = now + step;
        }
        double left = (end < last ? end : last) - now;
        if (left <= 0) return false;
        int ready = poll(&p, 1, left < 3600 ? (int)(left * 1e3) + 1 : 3600000);
        if (ready < 0 && errno != EINTR) return true;
        if (ready <= 0) continue;
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return true;
        take_bytes(r, bytes, (size_t)n);
    }
    return true;
}

/* ---- all */

static void tell_end(bool known, int status, char how[128])
{
    if (!known) snprintf(how, 128, "it ended early");
    else if (WIFSIGNALED(status)) snprintf(how, 128, "signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else snprintf(how, 128, "it ended early with status %d", WEXITSTATUS(status));
}

enum ca_outcome ca_helper_run(const char *const *args, const char *icd, int step_ms, ca_emit_fn *emit, void *user,
                              char how[128])
{
    const char *path = helper_path();
    struct reading *r = NULL;
    enum ca_outcome outcome = CA_MISSING;
    int end[2] = {-1, -1}, status = 0;
    pid_t pid = 0;

    snprintf(how, 128, "CLATTN_PROBE");
    if (!path) return CA_MISSING;
    r = calloc(1, sizeof *r);
    if (!r || !make_pipe(end)) {
        snprintf(how, 128, "%s", strerror(r ? errno : ENOMEM));
        free(r);
        return CA_MISSING;
    }
    r->emit = emit;
    r->user = user;
    int e = start(path, args, icd, end[1], &pid);
    close(end[1]);
    if (e) {
        snprintf(how, 128, "%.80s: %.40s", path, strerror(e));
        goto done;
    }
    bool in_time = read_records(end[0], step_ms, r);
    if (!in_time || r->garbage) kill_helper(pid);
    bool known = reap(pid, 2000, &status);
    if (r->garbage) {
        outcome = CA_BROKEN;
        snprintf(how, 128, "%.70s printed what is no record, or more than %d", path, MAX_RECORDS);
    } else if (!r->hello) {
        outcome = CA_BROKEN;
        if (in_time) tell_end(known, status, how);
        else snprintf(how, 128, "%.80s said nothing in %g s", path, 1e-3 * step_ms);
    } else if (!in_time) {
        outcome = CA_HUNG;
        snprintf(how, 128, "no answer in %g s", 1e-3 * step_ms);
    } else if (!r->done) {
        outcome = CA_CRASHED;
        tell_end(known, status, how);
    } else {
        outcome = CA_RAN;
    }
done:
    close(end[0]);
    free(r);
    return outcome;
}

enum ca_outcome ca_helper_on(const struct inventory_entry *e, const char *what, const char *first, const char *second, int step_ms, ca_emit_fn *emit,
                             void *user, char how[128])
{
    char platform[16], device[16];
    snprintf(platform, sizeof platform, "%d", e->dev.kind == CLATTN_CLASS_HOST ? -1 : e->dev.platform_index);
    snprintf(device, sizeof device, "%d", e->dev.device_index);
    return ca_helper_run((const char *[]){what, platform, device, first, second, NULL}, e->icd[0] ? e->icd : NULL, step_ms, emit, user, how);
}
