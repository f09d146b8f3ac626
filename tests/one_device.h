/* one_device.h -- fixture of tests on the first device that the loader shows; faults are made by replacing
 * entries of ca_cl.  OpenCL does not survive fork(): each test runs in a process of its own (Check's fork mode)
 * and opens the device there, the parent never touches it. */
#ifndef ONE_DEVICE_H
#define ONE_DEVICE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/launch.h"
#include "suite.h"

/* In place of the library's own kernels. */
#define TEXT(name, text) { name, text, sizeof text - 1 }
const struct ca_source ca_sources[] = {
    TEXT("count", "__kernel void count(__global int *hits, int width, int height)\n"
                  "{\n"
                  "    hits[get_global_id(0) + width * (get_global_id(1) + height * get_global_id(2))] += STEP;\n"
                  "}\n"
                  "__kernel void second(__global int *hits) { hits[get_global_id(0)] = STEP; }\n"),
    TEXT("broken", "#line 70 \"broken.cl\"\n__kernel void f(__global int *x) { x[0] = no_such_name; }\n"),
    { NULL, NULL, 0 }
};
#define OPTIONS "-DSTEP=1"

static char scratch[64]; /* one cache for all tests: what a test must see built has options of its own */
static struct ca_opencl real;
static struct device dev;
static clattn_context *ctx;

static inline void first_device(cl_platform_id *platform, cl_device_id *id)
{
    cl_uint n = 0;
    *id = NULL;
    if (ca_cl.GetPlatformIDs(1, platform, &n) != CL_SUCCESS || n == 0) return;
    if (ca_cl.GetDeviceIDs(*platform, CL_DEVICE_TYPE_ALL, 1, id, &n) != CL_SUCCESS || n == 0) *id = NULL;
}

static inline void setup(void)
{
    cl_platform_id platform;
    cl_device_id id;
    real = ca_cl;
    first_device(&platform, &id);
    ck_assert_int_eq(ca_device_query(platform, id, &dev), CLATTN_OK);
    ck_assert_msg(ca_context_open(&dev, &ctx) == CLATTN_OK, "%s", ca_message());
}

static inline void teardown(void) { ca_context_close(ctx); }

#define OK(call) do { \
    clattn_status st_ = (call); \
    ck_assert_msg(st_ == CLATTN_OK, "%d: %s", st_, ca_message()); } while (0)
/* The call fails with this status and a message that contains WORDS. */
#define FAILS(call, status, words) do { \
    ca_message_clear(); \
    ck_assert_int_eq((call), (status)); \
    ck_assert_msg(strstr(ca_message(), words) != NULL, "'%s' is not in: %s", words, ca_message()); \
    ca_message_clear(); } while (0)

__attribute__((unused)) static cl_int must_not_be_called(void) { _exit(9); }

static inline bool has_device(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        cl_platform_id platform;
        cl_device_id id;
        first_device(&platform, &id);
        _exit(id ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs a suite of one case, T's; 77 when there is no device. */
static inline int run_on_device(const char *name, TCase *t)
{
    char command[128];
    if (!has_device()) {
        printf("%s: skipped, the loader shows no OpenCL device\n", name);
        return 77;
    }
    strcpy(scratch, "/tmp/clattn-test-XXXXXX");
    if (!mkdtemp(scratch)) return perror(scratch), 1;
    setenv("CLATTN_CACHE_DIR", scratch, 1);
    unsetenv("CLATTN_CACHE");
    unsetenv("CLATTN_MAX_LAUNCH_MS");
    unsetenv("CLATTN_TIMEOUT_MS");
    unsetenv("CK_FORK");
    Suite *s = suite_create(name);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    suite_add_tcase(s, t);
    int failed = run_suite(s);
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return failed != 0 || system(command) != 0;
}

#endif
