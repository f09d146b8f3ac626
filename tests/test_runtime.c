/* test_runtime.c -- devices, contexts, programs and kernels. */
#define _GNU_SOURCE
#include "one_device.h"

/* ------------------------------------------------------------------ device */

START_TEST(device_facts)
{
    ck_assert(dev.name[0] && dev.platform_name[0] && dev.c_version[0]);
    ck_assert(dev.vector_width >= 1 && dev.compute_units >= 1 && dev.max_group >= 1 && dev.max_items[0] >= 1);
    ck_assert(dev.global_bytes > 0 && dev.max_alloc > 0);
    ck_assert_ptr_null(ca_device_refusal(&dev));
    struct device host;
    ca_device_host(&host);
    ck_assert(ca_is_host(&host) && ca_is_cpu_like(&host) && host.name[0] && host.compute_units >= 1);
    ck_assert(host.vector_width >= 4 && host.global_bytes > 1 << 20);
    ck_assert_ptr_null(ca_device_refusal(&host));
    ck_assert_str_eq(ca_class_name(host.kind), "host");
    ck_assert_str_eq(ca_class_name((clattn_class)77), "unknown");
}
END_TEST

static cl_int mute_device(cl_device_id id, cl_device_info what, size_t size, void *value, size_t *got)
{
    if (what == CL_DEVICE_TYPE || what == CL_DEVICE_AVAILABLE || what == CL_DEVICE_COMPILER_AVAILABLE)
        return real.GetDeviceInfo(id, what, size, value, got);
    return CL_INVALID_VALUE;
}

START_TEST(device_that_tells_nothing)
{
    struct device d;
    ca_cl.GetDeviceInfo = mute_device;
    OK(ca_device_query(dev.platform, dev.id, &d));
    ca_cl = real;
    ck_assert(d.vector_width == 1 && d.compute_units == 1 && d.max_group == 1 && !d.has_fp16 && !d.local_bytes);
    ck_assert_ptr_nonnull(ca_device_refusal(&d));
}
END_TEST

/* A GPU of this name, with these extensions, this compute capability and these sub-groups. */
static struct engine { const char *name, *extensions; cl_uint capability; size_t subgroups[2]; cl_uint f16, bf16, shuffle; } engine;

static cl_int engine_device(cl_device_id id, cl_device_info what, size_t size, void *value, size_t *got)
{
    const cl_device_type gpu = CL_DEVICE_TYPE_GPU;
    const struct { cl_device_info what; const void *fact; size_t bytes; } facts[] = {
        { CL_DEVICE_TYPE, &gpu, sizeof gpu }, { CL_DEVICE_NAME, engine.name, strlen(engine.name) + 1 },
        { CL_DEVICE_EXTENSIONS, engine.extensions, strlen(engine.extensions) + 1 },
        { 0x4000 /* CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV */, &engine.capability, sizeof engine.capability },
        { 0x4108 /* CL_DEVICE_SUB_GROUP_SIZES_INTEL */, engine.subgroups, sizeof engine.subgroups },
    };
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        if (facts[i].what != what) continue;
        if (got) *got = facts[i].bytes;
        if (value) memcpy(value, facts[i].fact, facts[i].bytes < size ? facts[i].bytes : size);
        return CL_SUCCESS;
    }
    return real.GetDeviceInfo(id, what, size, value, got);
}

START_TEST(matrix_engines)
{
    static const struct engine engines[] = {
        { "NVIDIA A100", "cl_nv_device_attribute_query", 8, { 0, 0 }, 1, 1, 2 },
        { "Tesla T4", "cl_nv_device_attribute_query", 7, { 0, 0 }, 0, 0, 2 },
        { "gfx906:sramecc+:xnack-", "cl_khr_fp16", 0, { 0, 0 }, 0, 0, 3 },
        { "gfx90a:sramecc+:xnack-", "cl_khr_fp16", 0, { 0, 0 }, 0, 2, 3 }, /* it flushes subnormal f16 */
        { "gfx942:sramecc+:xnack-", "cl_khr_fp16", 0, { 0, 0 }, 2, 2, 3 },
        { "gfx1030", "cl_khr_fp16", 0, { 0, 0 }, 0, 0, 3 },
        { "gfx1100", "cl_khr_fp16", 0, { 0, 0 }, 5, 5, 3 },
        { "gfx1201", "cl_khr_fp16", 0, { 0, 0 }, 0, 0, 3 }, /* fragments of another kind */
        { "Intel(R) Arc(TM)", "cl_intel_subgroup_matrix_multiply_accumulate cl_intel_required_subgroup_size", 0, { 8, 16 }, 3, 3, 0 },
        { "Intel(R) Data Center GPU Max", "cl_intel_subgroup_matrix_multiply_accumulate cl_intel_required_subgroup_size", 0, { 16, 32 }, 4, 4, 0 },
        { "Intel(R) UHD Graphics", "cl_intel_required_subgroup_size", 0, { 8, 16 }, 0, 0, 0 },
        { "Intel(R) UHD Graphics", "cl_intel_required_subgroup_size cl_intel_subgroups", 0, { 8, 16 }, 0, 0, 1 },
        { "Quadro P400", "cl_nv_device_attribute_query", 6, { 0, 0 }, 0, 0, 0 },
    };
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        struct device d;
        engine = engines[i];
        ca_cl.GetDeviceInfo = engine_device;
        OK(ca_device_query(dev.platform, dev.id, &d));
        ca_cl = real;
        ck_assert_msg(d.matrix_f16 == engine.f16 && d.matrix_bf16 == engine.bf16 && d.shuffle == engine.shuffle, "%s: %u, %u, %u", engine.name, d.matrix_f16,
                      d.matrix_bf16, d.shuffle);
    }
}
END_TEST

START_TEST(quirk_table)
{
    static const struct { const char *platform, *name; unsigned flags; } rows[] = {
        { "Clover", "AMD", CA_QUIRK_REFUSE },
        { "Oclgrind", "Oclgrind Simulator", CA_QUIRK_SIMULATED | CA_QUIRK_SLOW | CA_QUIRK_NO_BINARY | CA_QUIRK_COPY },
        { "Intel(R) FPGA Emulation Platform for OpenCL(TM)", "Intel(R) FPGA Emulation Device",
          CA_QUIRK_SIMULATED },
        { "Intel(R) OpenCL", "Intel(R) Xeon(R) Processor", 0 },
        { "Intel(R) OpenCL HD Graphics", "Intel(R) UHD Graphics", 0 },
        { "rusticl", "llvmpipe (LLVM 15.0.6, 256 bits)",
          CA_QUIRK_SIMULATED | CA_QUIRK_SLOW | CA_QUIRK_NO_BINARY | CA_QUIRK_ROUNDS },
        { "rusticl", "AMD Radeon", CA_QUIRK_NO_BINARY },
        { "Portable Computing Language", "pthread-x", CA_QUIRK_LATE_BINARY },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct device d = { .id = dev.id };
        strcpy(d.platform_name, rows[i].platform);
        strcpy(d.name, rows[i].name);
        ca_device_quirks(&d);
        ck_assert_uint_eq(d.quirks, rows[i].flags);
        ck_assert_int_eq(d.quirk_reason[0] != 0, rows[i].flags != 0);
        setenv("CLATTN_QUIRKS", "off", 1);
        ca_device_quirks(&d);
        ck_assert(d.quirks == 0 && !d.quirk_reason[0]);
        unsetenv("CLATTN_QUIRKS");
    }
}
END_TEST

/* ----------------------------------------------------------------- context */

START_TEST(wrap_foreign_objects)
{
    clattn_context *other;
    OK(ca_context_wrap(NULL, NULL, ctx->queue, &other));
    ck_assert(other->context == ctx->context && other->dev.id == dev.id && other->queue == ctx->queue);
    ca_context_close(other);
    OK(ca_context_wrap(ctx->context, dev.id, NULL, &other));
    ck_assert(other->queue && other->queue != ctx->queue);
    OK(ca_context_check_queue(ctx, other->queue));
    ca_context_close(other);
    FAILS(ca_context_wrap(NULL, NULL, NULL, &other), CLATTN_E_ARGUMENT, "NULL");
    clattn_context *second;
    OK(ca_context_open(&dev, &second));
    FAILS(ca_context_wrap(second->context, dev.id, ctx->queue, &other), CLATTN_E_ARGUMENT, "another context");
    FAILS(ca_context_check_queue(ctx, second->queue), CLATTN_E_ARGUMENT, "queue");
    ck_assert_ptr_null(other);
    ca_context_close(second);
}
END_TEST

START_TEST(refused_device)
{
    clattn_context *other;
    struct device d = dev;
    d.quirks = CA_QUIRK_REFUSE;
    strcpy(d.quirk_reason, "it is purple");
    FAILS(ca_context_open(&d, &other), CLATTN_E_NO_DEVICE, "it is purple");
    d = dev;
    d.has_compiler = false;
    FAILS(ca_context_open(&d, &other), CLATTN_E_NO_DEVICE, "compiler");
}
END_TEST

START_TEST(forked_child)
{
    struct program *p;
    OK(ca_program_get(ctx, "count", OPTIONS, &p));
    pid_t child = fork();
    if (child == 0) {
        ca_cl.ReleaseContext = (void *)must_not_be_called;
        ca_cl.ReleaseCommandQueue = (void *)must_not_be_called;
        ca_cl.ReleaseProgram = (void *)must_not_be_called;
        ca_cl.ReleaseKernel = (void *)must_not_be_called;
        int good = ca_context_alive(ctx) == CLATTN_E_FORKED && ca_program_get(ctx, "count", "", &p) == CLATTN_E_FORKED;
        ca_context_close(ctx);
        _exit(good ? 0 : 8);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(ca_context_alive(ctx));
}
END_TEST

/* ---------------------------------------------------------------- programs */

/* _i 1: kept on disk when the context closes. */
START_TEST(program_from_memory_and_disk)
{
    struct program *a, *b;
    clattn_context *second;
    const bool disk = !(dev.quirks & CA_QUIRK_NO_BINARY);
    const char *two = _i ? "-DSTEP=12" : "-DSTEP=2", *three = _i ? "-DSTEP=13" : "-DSTEP=3";
    ctx->dev.quirks = (ctx->dev.quirks & ~(unsigned)CA_QUIRK_LATE_BINARY) | (_i ? CA_QUIRK_LATE_BINARY : 0);
    OK(ca_program_get(ctx, "count", two, &a));
    OK(ca_program_get(ctx, "count", two, &b));
    ck_assert_ptr_eq(a, b);
    OK(ca_program_get(ctx, "count", three, &b));
    ck_assert_ptr_ne(a, b);
    ck_assert(ctx->builds == 2 && ctx->cache_hits == 0);
    for (int closed = 0; closed < 2; closed++) {
        const bool there = disk && (!_i || closed);
        if (closed) ca_context_close(ctx);
        OK(ca_context_open(&dev, &second));
        second->dev.quirks |= _i ? CA_QUIRK_LATE_BINARY : 0;
        OK(ca_program_get(second, "count", closed ? three : two, &b));
        ck_assert(second->builds == !there && second->cache_hits == there);
        if (closed) ctx = second; /* the fixture's to close */
        else ca_context_close(second);
    }
}
END_TEST

/* A whole entry whose binary is nonsense: drivers answer with any code. */
START_TEST(useless_binary)
{
    if (dev.quirks & CA_QUIRK_NO_BINARY) return;
    struct program *p;
    struct ca_cache_key key;
    unsigned char *binary;
    size_t size;
    static const unsigned char junk[] = "this is no program binary of any driver, sorry";
    OK(ca_cache_key_make(&dev, &ca_sources[0], "-cl-std=CL1.2 -DSTEP=4", &key));
    ck_assert(ca_cache_save(&key, junk, sizeof junk));
    ctx->dev.quirks &= ~(unsigned)CA_QUIRK_LATE_BINARY;
    OK(ca_program_get(ctx, "count", "-DSTEP=4", &p));
    ck_assert(ctx->builds == 1 && ctx->cache_hits == 0);
    ck_assert_str_eq(ca_message(), "");
    ck_assert(ca_cache_load(&key, &binary, &size));
    ck_assert(size != sizeof junk);
    free(binary);
    ca_cache_key_free(&key);
}
END_TEST

START_TEST(broken_source)
{
    struct program *p;
    FAILS(ca_program_get(ctx, "broken", "", &p), CLATTN_E_BUILD, "no_such_name");
    if (!strstr(dev.platform_name, "Oclgrind")) /* which does not heed #line */
        FAILS(ca_program_get(ctx, "broken", "", &p), CLATTN_E_BUILD, "70");
    FAILS(ca_program_get(ctx, "missing", "", &p), CLATTN_E_INTERNAL, "missing");
    ck_assert_ptr_null(ctx->programs);
    OK(ca_program_get(ctx, "count", OPTIONS, &p));
    cl_kernel k;
    FAILS(ca_kernel_take(ctx, p, "third", &k), CLATTN_E_INTERNAL, "third");
}
END_TEST

static cl_int failing_build(cl_program p, cl_uint n, const cl_device_id *d, const char *o,
                            void(CL_CALLBACK *notify)(cl_program, void *), void *data)
{
    (void)p, (void)n, (void)d, (void)o, (void)notify, (void)data;
    return CL_BUILD_PROGRAM_FAILURE;
}

static cl_int long_log(cl_program p, cl_device_id d, cl_program_build_info what, size_t size, void *value, size_t *got)
{
    const size_t length = 3000000;
    (void)p, (void)d, (void)what;
    if (got) *got = length + 1;
    if (value && size > length) {
        memset(value, 'x', length);
        memcpy((char *)value + length - 8, "the end", 8);
    }
    return CL_SUCCESS;
}

START_TEST(build_failure_with_a_long_log)
{
    struct program *p;
    ca_cl.BuildProgram = failing_build;
    ca_cl.GetProgramBuildInfo = long_log;
    FAILS(ca_program_get(ctx, "count", "-DSTEP=5", &p), CLATTN_E_BUILD, "the end");
    ca_cl = real;
    OK(ca_program_get(ctx, "count", "-DSTEP=5", &p));
}
END_TEST

static cl_kernel failing_kernel(cl_program p, const char *name, cl_int *code)
{
    (void)p, (void)name;
    *code = CL_INVALID_KERNEL_DEFINITION;
    return NULL;
}

START_TEST(kernel_failure)
{
    struct program *p;
    ca_cl.CreateKernel = failing_kernel;
    FAILS(ca_program_get(ctx, "count", OPTIONS, &p), CL_INVALID_KERNEL_DEFINITION, "KERNEL_DEFINITION (-47)");
    ca_cl = real;
    ck_assert_ptr_null(ctx->programs);
    OK(ca_program_get(ctx, "count", OPTIONS, &p));
}
END_TEST

START_TEST(kernels_are_lent)
{
    struct program *p;
    cl_kernel k[20];
    size_t group;
    OK(ca_program_get(ctx, "count", OPTIONS, &p));
    for (int i = 0; i < 20; i++) {
        OK(ca_kernel_take(ctx, p, "second", &k[i]));
        for (int j = 0; j < i; j++) ck_assert_ptr_ne(k[i], k[j]);
    }
    for (int i = 0; i < 20; i++) ca_kernel_give(ctx, p, "second", k[i]);
    OK(ca_kernel_max_group(ctx, p, "second", &group));
    ck_assert_uint_ge(group, 1);
}
END_TEST

static void *get_program(void *result)
{
    return ca_program_get(ctx, "count", "-DSTEP=6", result) == CLATTN_OK ? NULL : "failed";
}

START_TEST(threads_building_the_same)
{
    pthread_t thread[4];
    struct program *p[4];
    for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, get_program, &p[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(thread[i], &failed), 0);
        ck_assert_ptr_null(failed);
        ck_assert_ptr_eq(p[i], p[0]);
    }
}
END_TEST

/* ------------------------------------------------------------------- codes */

START_TEST(code_names)
{
    ck_assert_str_eq(ca_cl_code_name(CL_OUT_OF_RESOURCES), "CL_OUT_OF_RESOURCES");
    ck_assert_ptr_null(ca_cl_code_name(-1234));
    FAILS(ca_cl_fail(-5, "clFinish", NULL), -5, "clFinish: CL_OUT_OF_RESOURCES (-5)");
    FAILS(ca_cl_fail(999, "clCreateContext", "X"), CL_OUT_OF_RESOURCES, "clCreateContext (X): unknown code (999)");
    FAILS(ca_cl_fail(-9999, "clFinish", NULL), CLATTN_E_DEVICE_LOST, "-9999");
    ck_assert(ca_cl_code_is_lost(-36) && !ca_cl_code_is_lost(-5));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("runtime");
    tcase_add_test(t, device_facts);
    tcase_add_test(t, device_that_tells_nothing);
    tcase_add_test(t, matrix_engines);
    tcase_add_test(t, quirk_table);
    tcase_add_test(t, wrap_foreign_objects);
    tcase_add_test(t, refused_device);
    tcase_add_test(t, forked_child);
    tcase_add_loop_test(t, program_from_memory_and_disk, 0, 2);
    tcase_add_test(t, useless_binary);
    tcase_add_test(t, broken_source);
    tcase_add_test(t, build_failure_with_a_long_log);
    tcase_add_test(t, kernel_failure);
    tcase_add_test(t, kernels_are_lent);
    tcase_add_test(t, threads_building_the_same);
    tcase_add_test(t, code_names);
    return run_on_device("runtime", t);
}
