/* isa.c -- which level of the host's kernels this CPU runs. */
#include "host/host.h"
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include "base/status.h"
#include "base/text.h"
#include "config.h"

#define LEVEL(isa) \
    extern const struct host_kernels ca_host_##isa##_f32, ca_host_##isa##_f16, ca_host_##isa##_bf16; \
    extern const struct host_linear ca_host_##isa##_linear;
#define ROW(isa) { &ca_host_##isa##_f32, &ca_host_##isa##_f16, &ca_host_##isa##_bf16 }, &ca_host_##isa##_linear
LEVEL(generic)
extern const struct host_kernels ca_host_generic_pairs, ca_host_bf16_pairs;
static int always(void) { return 1; }
#ifdef ISA_X86
LEVEL(v3) LEVEL(v4)
/* The levels of the x86-64 psABI, as far as the kernels use them; v2 is not faster than what every x86-64 has. */
static int has_v3(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"); }
static int has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Best first; the last one always runs. */
static const struct { struct host_isa isa; int (*runs)(void); } levels[] = {
#ifdef ISA_X86
    { { "x86-64-v4", ROW(v4) }, has_v4 },
    { { "x86-64-v3", ROW(v3) }, has_v3 },
#endif
    { { "generic", ROW(generic) }, always },
};

const struct host_isa *ca_host_isa(void)
{
    const char *wanted = ca_getenv("CLATTN_ISA");
    const struct host_isa *best = NULL;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (!levels[i].runs()) continue;
        if (!best) best = &levels[i].isa;
        if (!wanted || !strcmp(wanted, levels[i].isa.name)) return &levels[i].isa;
    }
    return best;
}

const struct host_kernels *ca_host_pairs(bool *fast)
{
    *fast = false;
#ifdef ISA_X86
    *fast = ca_host_isa() == &levels[0].isa && __builtin_cpu_supports("avx512bf16");
    if (*fast) return &ca_host_bf16_pairs;
#endif
#ifdef __AVX512BF16__
    *fast = true; /* CFLAGS say so, and the twin is none */
#endif
    return &ca_host_generic_pairs;
}

clattn_status ca_host_check(void)
{
    const char *wanted = ca_getenv("CLATTN_ISA");
    char names[64] = "";
    struct ca_text text = { names, sizeof names, 0 };
    if (!wanted || !strcmp(wanted, ca_host_isa()->name)) return CLATTN_OK;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (levels[i].runs()) ca_text_put(&text, "%s%s", text.length ? ", " : "", levels[i].isa.name);
    return ca_fail(CLATTN_E_ARGUMENT, "CLATTN_ISA is \"%s\"; this CPU runs: %s", wanted, names);
}

int ca_host_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

int ca_host_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}
