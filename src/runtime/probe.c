/* probe.c -- looks at what OpenCL offers and tells it record by record (see probe.h).  Runs in the helper process,
 * where a driver may crash or hang without harm, or in this one. */
#define _GNU_SOURCE
#include "runtime/probe.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_PLATFORMS 64
#define HELPER_SECONDS 900 /* a helper whose parent died ends by itself */

/* Tells RECORD and frees it; NULL (no memory) is left out, and will be missed. */
static void tell(ca_emit_fn *emit, void *user, json_t *record)
{
    if (record) emit(user, record);
    json_decref(record);
}

/* ---- enumeration */

static clattn_status list_platforms(cl_platform_id ids[MAX_PLATFORMS], cl_uint *count)
{
    cl_int code = ca_cl.GetPlatformIDs(MAX_PLATFORMS, ids, count);
    if (code == -1001) *count = 0; /* CL_PLATFORM_NOT_FOUND_KHR: the loader's way to say "none" */
    else if (code != CL_SUCCESS) return ca_cl_fail(code, "clGetPlatformIDs", NULL);
    if (*count > MAX_PLATFORMS) *count = MAX_PLATFORMS;
    return CLATTN_OK;
}

static cl_int list_devices(cl_platform_id platform, cl_device_id ids[CA_MAX_DEVICES], cl_uint *count)
{
    cl_int code = ca_cl.GetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, CA_MAX_DEVICES, ids, count);
    if (code != CL_SUCCESS) *count = 0;
    if (*count > CA_MAX_DEVICES) *count = CA_MAX_DEVICES;
    return code;
}

static clattn_status query(cl_platform_id platform, cl_device_id id, int p, int n, struct device *d)
{
    clattn_status st = ca_device_query(platform, id, d);
    if (st) return st;
    d->platform_index = p;
    d->device_index = n;
    ca_device_tidy(d);
    return CLATTN_OK;
}

/* A failure here is a remark: the other platforms are looked at all the same. */
static void enumerate_platform(cl_platform_id platform, int p, ca_emit_fn *emit, void *user)
{
    struct device d = {.platform_name = "?"};
    cl_device_id ids[CA_MAX_DEVICES];
    cl_uint count = 0;
    ca_cl.GetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof d.platform_name - 1, d.platform_name, NULL);
    ca_device_tidy(&d);
    tell(emit, user, json_pack("{s:i, s:s}", "platform", p, "name", d.platform_name));

    cl_int code = list_devices(platform, ids, &count);
    if (count == 0 && (code == CL_SUCCESS || code == CL_DEVICE_NOT_FOUND))
        tell(emit, user, json_pack("{s:o}", "remark", json_sprintf("platform %s has no device", d.platform_name)));
    else if (count == 0)
        tell(emit, user, json_pack("{s:o}", "remark", json_sprintf("platform %s: clGetDeviceIDs: %s (%d)",
             d.platform_name, ca_cl_code_name(code) ? ca_cl_code_name(code) : "unknown code", (int)code)));
    for (cl_uint n = 0; n < count; n++) {
        if (query(platform, ids[n], p, (int)n, &d) == CLATTN_OK)
            tell(emit, user, json_pack("{s:o}", "device", ca_device_to_json(&d)));
        else
            tell(emit, user, json_pack("{s:o}", "remark", ca_json_text(ca_message())));
        ca_message_clear();
    }
}

clattn_status ca_probe_enumerate(unsigned long skip, ca_emit_fn *emit, void *user)
{
    cl_platform_id ids[MAX_PLATFORMS];
    cl_uint count = 0;
    clattn_status st = list_platforms(ids, &count);
    if (st) {
        tell(emit, user, json_pack("{s:o}", "remark", ca_json_text(ca_message())));
        ca_message_clear();
    }
    tell(emit, user, json_pack("{s:i}", "platforms", (int)count));
    for (cl_uint p = 0; p < count; p++)
        if (p >= 8 * sizeof skip || !(skip >> p & 1)) enumerate_platform(ids[p], (int)p, emit, user);
    return st;
}

clattn_status ca_probe_device(int platform, int device, struct device *d)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_device_id ids[CA_MAX_DEVICES];
    cl_uint count = 0;
    if (platform < 0) {
        ca_device_host(d);
        ca_device_tidy(d);
        return CLATTN_OK;
    }
    clattn_status st = list_platforms(platforms, &count);
    if (st) return st;
    CA_REQUIRE((cl_uint)platform < count, CLATTN_E_NO_DEVICE, "platform %d is gone, there are %u", platform, count);
    list_devices(platforms[platform], ids, &count);
    CA_REQUIRE(device >= 0 && (cl_uint)device < count, CLATTN_E_NO_DEVICE,
               "device %d of platform %d is gone, there are %u", device, platform, count);
    return query(platforms[platform], ids[device], platform, device, d);
}

/* ---- the helper process */

static void print_record(void *user, const json_t *record)
{
    char *line = json_dumps(record, JSON_COMPACT);
    if (line && strlen(line) < CA_RECORD_BYTES) dprintf(*(int *)user, "%s\n", line);
    free(line);
}

struct telling { ca_emit_fn *emit; void *user; };

static void print_step(void *user, int algo, const char *words)
{
    const struct telling *t = user;
    tell(t->emit, t->user, json_pack("{s:i, s:o}", "step", algo, "words", ca_json_text(words)));
}

static void try_device(ca_trial_fn *trial, int platform, int device, unsigned bad_algos, const char *ask, int out)
{
    struct telling telling = {print_record, &out};
    struct trial t = {.ask = ask, .bad_algos = bad_algos, .progress = print_step, .user = &telling};
    struct device d;
    print_step(&telling, -1, "opening it");
    if (ca_probe_device(platform, device, &d) == CLATTN_OK) trial(&d, &t);
    else snprintf(t.words, sizeof t.words, "%.250s", ca_message());
    tell(print_record, &out, json_pack("{s:o}", "trial", ca_trial_to_json(&t)));
}

/* Drivers print: what is not a record goes nowhere.  They crash, too: without leaving a core file. */
static int take_stdout(void)
{
    struct rlimit none = {1, 1}; /* not 0: 1 also stops a core handler that is a program */
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0) dup2(null, STDOUT_FILENO);
    if (null > STDERR_FILENO) close(null);
    setrlimit(RLIMIT_CORE, &none);
    alarm(HELPER_SECONDS);
    return out;
}

/* clattn-probe list [SKIP] | try PLATFORM DEVICE [BAD_ALGOS [ASK]] | tune PLATFORM DEVICE PROBLEM TRIES; PLATFORM -1 is the host. */
int ca_probe_main(ca_trial_fn *trial, ca_measure_fn *measure, int argc, char **argv)
{
    bool list = argc >= 2 && !strcmp(argv[1], "list"), try = argc >= 4 && !strcmp(argv[1], "try"), tune = argc == 6 && !strcmp(argv[1], "tune");
    if (!list && !try && !tune) {
        fprintf(stderr, "usage: clattn-probe list [SKIP] | try PLATFORM DEVICE [BAD_ALGOS [ASK]] | tune PLATFORM DEVICE PROBLEM TRIES\n"
                        "Examines OpenCL devices for libclattn, which starts it by itself.\n");
        return 2;
    }
    int out = take_stdout();
    if (out < 0) return 1;
    tell(print_record, &out, json_pack("{s:s}", "hello", clattn_version()));
    if (list) ca_probe_enumerate(argc > 2 ? strtoul(argv[2], NULL, 0) : 0, print_record, &out);
    else if (tune) {
        struct device d;
        if (ca_probe_device(atoi(argv[2]), atoi(argv[3]), &d) == CLATTN_OK) measure(&d, argv[4], argv[5], print_record, &out);
        else tell(print_record, &out, json_pack("{s:o}", "cannot", ca_json_text(ca_message())));
    } else try_device(trial, atoi(argv[2]), atoi(argv[3]), argc > 4 ? (unsigned)strtoul(argv[4], NULL, 0) : 0, argc > 5 ? argv[5] : NULL, out);
    tell(print_record, &out, json_pack("{s:b}", "done", 1));
    _exit(0); /* drivers' exit handlers crash, too */
}
