/* test_inventory.c -- looking for devices when everything goes wrong: helpers that hang, crash or babble, drivers that
 * abort or hang when loaded, algorithms that crash, hostile cache files, awkward host programs.  This program is also
 * the helper: started with arguments it does what clattn-probe does, with a made-up trial that $FAKE_TRIAL directs. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "runtime/probe.h"
#include "suite.h"

static char folder[64]; /* of this test: holds cache/, vendors/, helper, *.so */
static const struct inventory *inv;

/* ---- the made-up trial: "crash", "crash 3", "hang 2", "fail", "unsure" or nothing */

static int asked; /* in this process */

static void fake_trial(const struct device *dev, struct trial *t)
{
    const char *fake = getenv("FAKE_TRIAL");
    char what[16] = "";
    int algo = -1;
    if (fake) sscanf(fake, "%15s %d", what, &algo);
    bool tried = algo < 0 || !(t->bad_algos >> algo & 1);
    if (t->progress && algo >= 0 && tried) t->progress(t->user, algo, "doom: f32 q1");
    if (!strcmp(what, "crash") && tried) abort();
    if (!strcmp(what, "hang") && tried) for (;;) pause();
    asked += t->ask != NULL;
    t->passed = t->ask && strcmp(t->ask, "f16 d64/64 four of=4") ? 0 : !strcmp(what, "unsure") ? -1 : strcmp(what, "fail") != 0;
    t->gflops = dev->kind == CLATTN_CLASS_HOST ? 10 : 20;
    if (t->passed == 0) strcpy(t->words, "rows: f16 q1: error 0.3 exceeds 1e-3");
}

/* ---- the scene */

static char *path(const char *name)
{
    static char text[4][PATH_MAX];
    static int next;
    next = (next + 1) % 4;
    snprintf(text[next], sizeof text[next], "%s/%s", folder, name);
    return text[next];
}

static void write_file(const char *name, const char *text, size_t size, mode_t mode)
{
    FILE *f = fopen(path(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path(name), mode), 0);
}

static void write_text(const char *name, const char *text, mode_t mode) { write_file(name, text, strlen(text), mode); }

static void setup(void)
{
    char self[PATH_MAX] = "";
    strcpy(folder, "/tmp/clattn-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(mkdir(path("cache"), 0700) | mkdir(path("vendors"), 0700), 0);
    ck_assert_int_gt((int)readlink("/proc/self/exe", self, sizeof self - 1), 0);
    setenv("CLATTN_CACHE_DIR", path("cache"), 1);
    setenv("OCL_ICD_VENDORS", path("vendors"), 1);
    setenv("CLATTN_PROBE", self, 1);
    setenv("CLATTN_PROBE_MS", "2000", 1);
    unsetenv("CLATTN_CACHE");
    unsetenv("CLATTN_QUIRKS");
    unsetenv("FAKE_TRIAL");
    unsetenv("OPENCL_LAYERS");
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void get(void) { ck_assert_msg(!ca_inventory_all(fake_trial, false, &inv), "%s", ca_message()); }

/* As another process would: what it finds is its own affair. */
static void get_elsewhere(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) _exit(ca_inventory_all(fake_trial, false, &inv) != CLATTN_OK);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static const struct inventory_entry *by_platform(const char *name)
{
    for (size_t i = 0; i < inv->count; i++)
        if (strstr(inv->entry[i].dev.platform_name, name)) return &inv->entry[i];
    return NULL;
}

/* The host alone, usable, and chosen. */
static void expect_host_only(void)
{
    ck_assert_uint_eq(inv->count, 1);
    ck_assert_str_eq(inv->entry[0].selector, "host");
    ck_assert_msg(inv->entry[0].usable && inv->entry[0].chosen, "%s", inv->entry[0].reason);
}

static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

/* ---- helpers */

START_TEST(nothing_but_the_host)
{
    int files = open_files();
    get();
    expect_host_only();
    ck_assert_str_eq(inv->note, "");
    ck_assert_str_eq(inv->entry[0].reason, "chosen: fastest measured, 10.0 GFLOP/s");
    ck_assert(!inv->in_process && !inv->cached);
    ck_assert_int_eq(open_files(), files);
    ck_assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD); /* no zombie */
}
END_TEST

static const struct { const char *script, *note; } helpers[] = {
    {"sleep 100", "said nothing in 0.5 s"},
    {"kill -SEGV $$", "signal 11"},
    {"exit 3", "status 3"},
    {"echo Hello, world; sleep 100", "printed what is no record"},
    {"head -c 100000 /dev/zero", "printed what is no record"},
    {"yes | head -c 1000000", "printed what is no record"},
    {"while :; do echo '{\"hello\": \"9.9.9\"}'; done", ""},
    {"echo '{\"hello\": \"9.9.9\"}'; echo '{\"done\": true}'", "no record"},
    {"echo '[[[[[[]'", "no record"},
    {"trap '' TERM INT HUP; printf '{\"hello\"'; sleep 100", "said nothing"},
    {"sleep 100 & sleep 100", "said nothing"},
};

START_TEST(bad_helper)
{
    char text[300];
    int files = open_files();
    double start = ca_now();
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", helpers[_i].script);
    write_text("helper", text, 0755);
    setenv("CLATTN_PROBE", path("helper"), 1);
    setenv("CLATTN_PROBE_MS", "500", 1);
    get();
    expect_host_only();
    ck_assert_msg(inv->note[0] && strstr(inv->note, helpers[_i].note), "\"%s\" lacks \"%s\"", inv->note,
                  helpers[_i].note);
    ck_assert(ca_now() - start < 15);
    ck_assert_int_eq(open_files(), files);
    ck_assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    ck_assert_int_gt((int)inv->expires, 0); /* not for ever */
}
END_TEST

/* A true one that prints half of what it should: its last words are missing, or torn. */
START_TEST(half_a_helper)
{
    char text[PATH_MAX + 100];
    snprintf(text, sizeof text, "#!/bin/sh\nexec '%s' \"$@\" | head -n %d\n", getenv("CLATTN_PROBE"), _i);
    if (_i == 0) snprintf(text, sizeof text, "#!/bin/sh\n'%s' \"$@\" | head -c 40\n", getenv("CLATTN_PROBE"));
    write_text("helper", text, 0755);
    setenv("CLATTN_PROBE", path("helper"), 1);
    get();
    ck_assert_uint_eq(inv->count, 1);
    ck_assert_msg(inv->note[0] || !inv->entry[0].usable, "half an answer was taken for a whole");
}
END_TEST

START_TEST(no_helper)
{
    setenv("CLATTN_PROBE", _i ? "/nonexistent/clattn-probe" : "inprocess", 1);
    get();
    expect_host_only();
    ck_assert(inv->in_process);
    ck_assert_msg(strstr(inv->note, _i ? "/nonexistent/clattn-probe: No such file" : "CLATTN_PROBE"), "%s", inv->note);
}
END_TEST

/* ---- awkward host programs */

START_TEST(awkward_program)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t all;
    ck_assert_int_eq(sigaction(SIGCHLD, &ignore, NULL), 0);
    ck_assert_int_eq(sigaction(SIGALRM, &ignore, NULL), 0);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    close(0);
    close(1);
    if (_i) close(2);
    get();
    expect_host_only();
    ck_assert_str_eq(inv->note, "");
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
    signal(SIGCHLD, SIG_DFL); /* for the teardown */
}
END_TEST

static void *get_it(void *at)
{
    if (ca_inventory_all(fake_trial, false, at)) *(const struct inventory **)at = NULL;
    return NULL;
}

START_TEST(many_threads)
{
    pthread_t thread[8];
    const struct inventory *got[8] = {NULL};
    for (int i = 0; i < 8; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, get_it, &got[i]), 0);
    for (int i = 0; i < 8; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < 8; i++) ck_assert(got[i] && got[i] == got[0]);
}
END_TEST

/* ---- trials that crash */

START_TEST(algorithm_crashes)
{
    setenv("FAKE_TRIAL", _i ? "hang 2" : "crash 3", 1);
    setenv("CLATTN_PROBE_MS", "300", 1);
    get();
    expect_host_only();
    ck_assert_uint_eq(inv->entry[0].dev.bad_algos, _i ? 1u << 2 : 1u << 3);
    ck_assert_msg(strstr(inv->entry[0].reason, _i ? "doom: f32 q1: no answer in 3.6 s" : "doom: f32 q1: signal 6"),
                  "%s", inv->entry[0].reason);
    ck_assert(_i ? inv->expires > 0 : inv->expires == 0);
}
END_TEST

START_TEST(device_crashes)
{
    struct ca_choice c;
    setenv("FAKE_TRIAL", _i ? "fail" : "crash", 1);
    get();
    ck_assert_uint_eq(inv->count, 1);
    ck_assert(!inv->entry[0].usable && inv->entry[0].selftest == 0);
    ck_assert_msg(strstr(inv->entry[0].reason, _i ? "error 0.3" : "signal 6"), "%s", inv->entry[0].reason);
    ck_assert_int_eq(ca_select(inv, NULL, &c), CLATTN_E_NO_DEVICE);
}
END_TEST

/* ---- the cache */

/* The one inventory in the cache: its name below the folder. */
static const char *cache_file(void)
{
    static char name[PATH_MAX];
    struct dirent *e;
    DIR *d = opendir(path("cache"));
    name[0] = 0;
    while ((e = readdir(d)))
        if (!strncmp(e->d_name, "inventory-", 10)) snprintf(name, sizeof name, "cache/%.200s", e->d_name);
    closedir(d);
    ck_assert_msg(name[0], "no inventory in the cache");
    return name;
}

static char *read_cache(void)
{
    char *text = calloc(1, 1 << 16);
    FILE *f = fopen(path(cache_file()), "r");
    ck_assert(f && text && fread(text, 1, (1 << 16) - 1, f) > 100);
    fclose(f);
    return text;
}

START_TEST(cache_serves)
{
    get_elsewhere();
    setenv("CLATTN_PROBE_MS", "1999", 1); /* no part of the fingerprint */
    get();
    ck_assert(inv->cached);
    expect_host_only();
    const struct inventory *first = inv;
    ck_assert_int_eq(ca_inventory_all(fake_trial, true, &inv), CLATTN_OK);
    ck_assert(inv != first && !inv->cached && first->entry[0].usable);
}
END_TEST

/* What a fingerprint holds makes another inventory. */
START_TEST(cache_is_for_one_state)
{
    static const char *const change[] = {"RUSTICL_ENABLE", "CLATTN_QUIRKS", "icd", "touch"};
    write_text("vendors/none.icd", "libclattn-no-such-driver.so", 0600);
    get_elsewhere();
    if (_i < 2) setenv(change[_i], "off", 1);
    else
        write_text("vendors/none.icd", _i == 2 ? "libclattn-no-such-driver.so.2" : "libclattn-no-such-driver.so", 0600);
    get();
    ck_assert(!inv->cached);
}
END_TEST

static void hostile(const char *text, size_t size, const char *what)
{
    int status;
    write_file(cache_file(), text, size, 0600);
    pid_t pid = fork();
    if (pid == 0) {
        if (ca_inventory_all(fake_trial, false, &inv)) _exit(1);
        _exit(inv->cached ? 2 : inv->count != 1 || !inv->entry[0].usable ? 3 : 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %#x", what, status);
    char *after = read_cache();
    ck_assert_msg(strstr(after, "\"fingerprint\""), "%s: not rebuilt", what);
    free(after);
}

START_TEST(cache_truncated)
{
    get_elsewhere();
    char *text = read_cache();
    size_t size = strlen(text);
    for (size_t n = 0; n < size; n += 1 + size / 23) hostile(text, n, "truncated");
    hostile(text, size - 1, "without its last byte");
    free(text);
}
END_TEST

static const struct { const char *from, *to;
} mutations[] = {
    {"\"format\": 2", "\"format\": 3"},
    {"\"format\": 2", "\"format\": \"2\""},
    {"\"format\": 2", "\"format\": 99999999999999999999999999"},
    {"\"expires\": 0", "\"expires\": -1"},
    {"\"expires\": 0", "\"expires\": 1"},
    {"\"expires\": 0", "\"expires\": 1e400"},
    {"\"expires\": 0", "\"expires\": []"},
    {"\"devices\": [", "\"devices\": {\"a\": ["},
    {"\"devices\": [", "\"device\": ["},
    {"\"devices\": [", "\"devices\": [[], "},
    {"\"devices\": [", "\"devices\": [{}, "},
    {"\"kind\": 0", "\"kind\": 6"},
    {"\"kind\": 0", "\"kind\": -1"},
    {"\"kind\": 0", "\"kind\": 3"},
    {"\"kind\": 0", "\"kind\": 0, \"kind\": 0"},
    {"\"kind\": 0", "\"kind\": 4294967296"},
    {"\"gflops\": 10.0", "\"gflops\": -1.0"},
    {"\"gflops\": 10.0", "\"gflops\": 1e30"},
    {"\"gflops\": 10.0", "\"gflops\": null"},
    {"\"selftest\": 1", "\"selftest\": 2"},
    {"\"selftest\": 1", "\"selftest\": true"},
    {"\"platform_index\": -1", "\"platform_index\": -99999999999"},
    {"\"vector_width\":", "\"vector_width\": 0, \"x\":"},
    {"\"platform_name\": \"host\"", "\"platform_name\": 7"},
    {"\"platform_name\": \"host\"", "\"platform_name\": \"a\\u0000b\""},
    {"\"fingerprint\": \"", "\"fingerprint\": \"0"},
    {"{", "[{"},
    {"{", "\xff{"},
};

START_TEST(cache_hostile)
{
    get_elsewhere();
    char *text = read_cache(), *changed = calloc(1, 1 << 17), *at = strstr(text, mutations[_i].from);
    ck_assert_msg(at, "no %s in %s", mutations[_i].from, text);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, mutations[_i].to, at + strlen(mutations[_i].from));
    hostile(changed, strlen(changed), mutations[_i].to);
    free(changed);
    free(text);
}
END_TEST

START_TEST(cache_absurd)
{
    get_elsewhere();
    char *text = read_cache(), *big = malloc(1 << 21);
    memset(big, '[', 1 << 21);
    hostile(big, 100000, "deeply nested");
    hostile(big, 1 << 21, "too large");
    memset(big, 0, 1000);
    hostile(big, 1000, "zeros");
    /* many devices, each of them well-formed */
    char *first = strchr(strstr(text, "\"devices\": [") + 12, '{'), *last = strrchr(text, ']');
    int n = sprintf(big, "%.*s", (int)(first - text), text);
    for (int i = 0; i < 100; i++) n += sprintf(big + n, "%s%.*s", i ? "," : "", (int)(last - first), first);
    n += sprintf(big + n, "%s", last);
    hostile(big, (size_t)n, "a hundred hosts");
    /* none */
    n = sprintf(big, "%.*s%s", (int)(first - text), text, last);
    hostile(big, (size_t)n, "no host");
    free(big);
    free(text);
}
END_TEST

START_TEST(records_round_trip)
{
    struct device a, b;
    ca_device_host(&a);
    a.max_alloc = UINT64_MAX; /* becomes the largest that JSON has */
    strcpy(a.vendor, "\xc3(\x01 \"quoted\"");
    ca_device_tidy(&a);
    json_t *j = ca_device_to_json(&a);
    ck_assert_ptr_nonnull(j);
    ck_assert(ca_device_from_json(j, &b));
    ck_assert_uint_eq(b.max_alloc, INT64_MAX);
    ck_assert_str_eq(b.vendor, "?(? \"quoted\"");
    ck_assert(a.compute_units == b.compute_units && a.global_bytes == b.global_bytes && !strcmp(a.name, b.name));
    json_decref(j);
}
END_TEST

/* ---- real drivers: PoCL beside one that fails when it is loaded */

/* A driver that does BODY when the loader asks it for its platforms. */
static void bad_driver(const char *name, const char *body)
{
    char command[PATH_MAX * 2], icd[64];
    const char *cc = getenv("CC");
    snprintf(command, sizeof command, "echo '#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
             "void *clGetExtensionFunctionAddress(const char *n) { (void)n; %s; return 0; }' | "
             "%s -x c -shared -fPIC -o '%s/%s.so' -", body, cc ? cc : "cc", folder, name);
    ck_assert_msg(system(command) == 0, "%s", command);
    snprintf(command, sizeof command, "%s/%s.so\n", folder, name);
    snprintf(icd, sizeof icd, "vendors/%s.icd", name);
    write_text(icd, command, 0600);
}

/* False, said aloud, when it is not installed. */
static bool pocl(void)
{
    static const char *const sonames[] = {"libpocl.so.2", "libpocl.so.3"};
    char record[256] = "";
    for (size_t i = 0; i < 2; i++) {
        write_text("vendors/pocl.icd", sonames[i], 0600);
        char command[PATH_MAX + 100];
        snprintf(command, sizeof command, "'%s' list | grep -c '\"device\"'", getenv("CLATTN_PROBE"));
        FILE *f = popen(command, "r");
        if (f && fgets(record, sizeof record, f) && atoi(record) > 0) return pclose(f), true;
        if (f) pclose(f);
    }
    fprintf(stderr, "test_inventory: skipped a test, since PoCL is not installed\n");
    ck_assert_msg(!getenv("CLATTN_REQUIRE_DEVICES") || strcmp(getenv("CLATTN_REQUIRE_DEVICES"), "1"),
                  "PoCL is missing");
    return false;
}

static void expect_live_pocl(void)
{
    struct device live;
    const struct inventory_entry *e = by_platform("Portable");
    struct ca_choice c;
    ck_assert_msg(e && e->usable, "no PoCL; note: %s", inv->note);
    ck_assert_int_eq(ca_select(inv, "portable:*", &c), CLATTN_OK);
    ck_assert(c.entry[0] == e);
    ck_assert_msg(!ca_inventory_open(e, &live), "%s", ca_message());
    ck_assert(live.id && live.platform && live.gflops == 20);
    ck_assert_str_eq(live.name, e->dev.name);
    ck_assert_str_eq(getenv("OCL_ICD_VENDORS"), path("vendors"));
}

START_TEST(healthy_driver)
{
    if (!pocl()) return;
    get();
    ck_assert_uint_eq(inv->count, 2);
    ck_assert(by_platform("Portable")->chosen);
    ck_assert_str_eq(by_platform("Portable")->icd, "");
    expect_live_pocl();
}
END_TEST

START_TEST(driver_fails_to_load)
{
    static const struct { const char *body, *how; } rows[] = {
        {"abort()", "signal 6"}, {"kill(getpid(), SIGKILL)", "signal 9"}, {"_exit(0)", "ended early with status 0"},
        {"for (;;) pause()", "no answer in 2 s"},
    };
    if (!pocl()) return;
    bad_driver("guilty", rows[_i].body);
    bad_driver("innocent", "");
    get();
    ck_assert_msg(strstr(inv->note, path("vendors/guilty.icd")) && strstr(inv->note, rows[_i].how), "%s", inv->note);
    ck_assert_msg(strstr(inv->note, "guilty.so"), "%s", inv->note);
    ck_assert_msg(!strstr(inv->note, "innocent"), "%s", inv->note);
    ck_assert_str_eq(by_platform("Portable")->icd, path("vendors/pocl.icd"));
    expect_live_pocl();
}
END_TEST

/* Each alone is fine; together they crash. */
START_TEST(drivers_that_do_not_get_on)
{
    if (!pocl()) return;
    bad_driver("one", "if (getenv(\"LOADED\")) abort(); setenv(\"LOADED\", \"1\", 1)");
    bad_driver("two", "if (getenv(\"LOADED\")) abort(); setenv(\"LOADED\", \"1\", 1)");
    get();
    ck_assert_msg(strstr(inv->note, "each is loaded alone"), "%s", inv->note);
    expect_live_pocl();
}
END_TEST

START_TEST(driver_was_replaced)
{
    struct device live;
    if (!pocl()) return;
    get_elsewhere();
    char *text = read_cache(), *changed = calloc(1, 1 << 17), *at = strstr(text, "\"platform_name\": \"Portable");
    at = strstr(at, "\"driver\": \"") + 11;
    sprintf(changed, "%.*solder-%s", (int)(at - text), text, at);
    write_text(cache_file(), changed, 0600);
    get();
    ck_assert(inv->cached);
    const struct inventory_entry *e = by_platform("Portable");
    ck_assert(!strncmp(e->dev.driver, "older-", 6));
    ck_assert_msg(!ca_inventory_open(e, &live), "%s", ca_message());
    ck_assert(live.id && live.gflops == 20 && strncmp(live.driver, "older-", 6));
    get();
    ck_assert(!inv->cached && strncmp(by_platform("Portable")->dev.driver, "older-", 6));
    ck_assert(ca_inventory_find(inv, &live) == by_platform("Portable"));
    free(changed);
    free(text);
}
END_TEST

/* Devices are examined when they are needed, and that is remembered: _i 0, 1 one that is simulated, 2, 3 another. */
START_TEST(examined_when_needed)
{
    struct device live;
    const bool simulated = _i < 2, fails = _i % 2;
    char changed[1 << 15], *text, *at, *end, selector[200];
    if (!pocl()) return;
    get_elsewhere();
    text = read_cache();
    at = strstr(text, "\"kind\": 1");
    ck_assert_ptr_nonnull(at);
    end = strstr(at, "\"selftest\": 1");
    ck_assert_int_lt(snprintf(changed, sizeof changed, "%.*s\"kind\": %d%.*s\"selftest\": -1%s", (int)(at - text), text, simulated ? 5 : 1,
                              (int)(end - at - 9), at + 9, end + 13), sizeof changed);
    write_text(cache_file(), changed, 0600);
    if (fails) setenv("FAKE_TRIAL", "fail", 1);
    ck_assert_int_eq(ca_inventory_get(fake_trial, false, &inv), CLATTN_OK);
    const struct inventory_entry *e = by_platform("Portable"), *now = e;
    ck_assert(inv->cached && e->selftest == -1 && e->usable && e->chosen == !simulated);
    snprintf(selector, sizeof selector, "%s", e->selector);
    ck_assert_int_eq(ca_inventory_look(&now, &inv), CLATTN_OK);
    ck_assert(now == by_platform("Portable") && now != e && e->selftest == -1);
    ck_assert(now->selftest == !fails && now->usable == !fails && now->chosen == (!simulated && !fails));
    ck_assert_str_eq(now->selector, selector);
    if (fails) ck_assert_msg(strstr(now->reason, "error 0.3"), "%s", now->reason);
    ck_assert_int_eq(ca_inventory_open(now, &live), CLATTN_OK);
    ck_assert(live.gflops == 20);
    free(text);
    text = read_cache();
    ck_assert_ptr_null(strstr(text, "\"selftest\": -1"));
    free(text);
}
END_TEST

/* What is asked of one algorithm is asked once, by the helper where that can; then by this process, where it must. */
START_TEST(asks)
{
    static const struct { const char *fake; bool good, bad; int asked_here; const char *verdict; } rows[] = {
        {"", true, false, 0, ""}, {"fail", false, true, 0, "error 0.3"}, {"crash 4", false, true, 0, "doom: f32 q1: signal 6"},
        {"hang 4", false, true, 0, "no answer"}, {"unsure", false, false, 1, ""},
    };
    struct device live, again;
    const struct inventory_entry *e;
    if (!pocl()) return;
    setenv("CLATTN_PROBE_MS", "300", 1);
    get();
    ck_assert_int_eq(ca_inventory_open(by_platform("Portable"), &live), CLATTN_OK);
    ck_assert(!live.tested[CLATTN_F16] && !live.bad_algos);
    setenv("FAKE_TRIAL", rows[_i].fake, 1);
    asked = 0;
    again = live;
    ca_inventory_ask(fake_trial, &live, 4, CLATTN_F16, "f16 d64/64 four of=4");
    ck_assert_int_eq(asked, rows[_i].asked_here);
    ck_assert(live.tested[CLATTN_F16] == (rows[_i].good ? 1u << 4 : 0) && live.bad_algos == (rows[_i].bad ? 1u << 4 : 0));
    ck_assert(!live.tested[CLATTN_F32] && !live.tested[CLATTN_BF16]);
    get();
    e = by_platform("Portable");
    ck_assert(e->selftest == 1 && e->usable && e->dev.tested[CLATTN_F16] == live.tested[CLATTN_F16] && e->dev.bad_algos == live.bad_algos);
    ck_assert_msg(strstr(e->reason, rows[_i].verdict), "%s", e->reason);
    setenv("FAKE_TRIAL", "crash 4", 1); /* nobody is asked again, in this process or another one */
    ca_inventory_ask(fake_trial, &again, 4, CLATTN_F16, "f16 d64/64 four of=4");
    if (rows[_i].good || rows[_i].bad) ck_assert(again.tested[CLATTN_F16] == live.tested[CLATTN_F16] && again.bad_algos == live.bad_algos);
    char *text = read_cache();
    ck_assert((strstr(text, "\"tested1\": 16") != NULL) == rows[_i].good);
    free(text);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

int main(int argc, char **argv)
{
    if (argc > 1) return ca_probe_main(fake_trial, NULL, argc, argv);
    Suite *s = suite_create("inventory");
    TCase *t = tcase_create("inventory");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, nothing_but_the_host);
    tcase_add_loop_test(t, bad_helper, 0, COUNT(helpers));
    tcase_add_loop_test(t, half_a_helper, 0, 4);
    tcase_add_loop_test(t, no_helper, 0, 2);
    tcase_add_loop_test(t, awkward_program, 0, 2);
    tcase_add_test(t, many_threads);
    tcase_add_loop_test(t, algorithm_crashes, 0, 2);
    tcase_add_loop_test(t, device_crashes, 0, 2);
    tcase_add_test(t, cache_serves);
    tcase_add_loop_test(t, cache_is_for_one_state, 0, 4);
    tcase_add_test(t, cache_truncated);
    tcase_add_loop_test(t, cache_hostile, 0, COUNT(mutations));
    tcase_add_test(t, cache_absurd);
    tcase_add_test(t, records_round_trip);
    tcase_add_test(t, healthy_driver);
    tcase_add_loop_test(t, driver_fails_to_load, 0, 4);
    tcase_add_test(t, drivers_that_do_not_get_on);
    tcase_add_test(t, driver_was_replaced);
    tcase_add_loop_test(t, examined_when_needed, 0, 4);
    tcase_add_loop_test(t, asks, 0, 5);
    suite_add_tcase(s, t);
    return run_suite(s);
}
