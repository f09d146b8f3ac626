/* peak.c -- measures the machine's limits.
 *
 * Multiply-adds: a chain of 14 independent accumulators per thread, more than latency times ports on any
 * current core; written in assembly where it can be, since what is wanted is the machine's limit and not the
 * compiler's.  Reading: each thread goes once through its part of a large array. */
#define _GNU_SOURCE
#include "cli/peak.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include "base/clock.h"
#include "cli/memory.h"
#include "host/host.h"

/* A kernel does TIMES rounds; the operations of one round. */
struct kernel { void (*run)(long times); double flops; };

#if defined(__x86_64__)
#define FMA(r, n) "vfmadd231ps %%" r "14,%%" r "15,%%" r n "\n\t"
#define ROUND(r) FMA(r, "0") FMA(r, "1") FMA(r, "2") FMA(r, "3") FMA(r, "4") FMA(r, "5") FMA(r, "6") FMA(r, "7") \
    FMA(r, "8") FMA(r, "9") FMA(r, "10") FMA(r, "11") FMA(r, "12") FMA(r, "13")
#define ZERO(n) "vxorps %%xmm" n ",%%xmm" n ",%%xmm" n "\n\t"
#define ZEROS ZERO("0") ZERO("1") ZERO("2") ZERO("3") ZERO("4") ZERO("5") ZERO("6") ZERO("7") \
    ZERO("8") ZERO("9") ZERO("10") ZERO("11") ZERO("12") ZERO("13") ZERO("14") ZERO("15")
#define LOOP(r) __asm__ volatile(ZEROS "1:\n\t" ROUND(r) ROUND(r) "dec %0\n\tjnz 1b\n\tvzeroupper" : "+r"(times) : \
    : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15", "cc")
__attribute__((target("avx512f"))) static void run_avx512(long times) { LOOP("zmm"); }
__attribute__((target("avx2,fma"))) static void run_avx2(long times) { LOOP("ymm"); }
#endif

/* GNU C vectors of 16 bytes: SSE, NEON, or whatever the compiler makes of them. */
typedef float quad __attribute__((vector_size(16)));
static volatile float one = 1.0f, sink;

static void run_generic(long times)
{
    quad x = {one, one, one, one}, y = x * 0.5f, a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
    for (long i = 0; i < times; i++) {
        a = a * x + y, b = b * x + y, c = c * x + y, d = d * x + y;
        e = e * x + y, f = f * x + y, g = g * x + y, h = h * x + y;
    }
    a += b + c + d + e + f + g + h;
    sink = a[0] + a[1] + a[2] + a[3];
}

static struct kernel choose(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return (struct kernel){run_avx512, 2 * 14 * 16 * 2};
    if (__builtin_cpu_supports("fma")) return (struct kernel){run_avx2, 2 * 14 * 8 * 2};
#endif
    return (struct kernel){run_generic, 8 * 4 * 2};
}

/* Seconds that all threads need for TIMES rounds each. */
static double time_kernel(const struct kernel *k, int threads, long times)
{
    double start = ca_now();
    (void)threads;
#pragma omp parallel num_threads(threads)
    k->run(times);
    return ca_now() - start;
}

static double measure_flops(int threads)
{
    struct kernel k = choose();
    long times = 1 << 18;
    double best = 0, seconds = time_kernel(&k, threads, times); /* wakes the threads */
    while (seconds < 8e-3 && times < 1L << 40) seconds = time_kernel(&k, threads, times *= 2);
    for (int i = 0; i < 6; i++) {
        seconds = time_kernel(&k, threads, times);
        best = fmax(best, 1e-9 * k.flops * (double)times * threads / seconds);
    }
    return best;
}

/* ----------------------------------------------------------------- reading */

typedef uint64_t words __attribute__((vector_size(64)));

typedef uint64_t reader(const words *p, size_t count);

static inline __attribute__((always_inline)) uint64_t read_words(const words *p, size_t count)
{
    words a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i + 4 <= count; i += 4) a ^= p[i], b ^= p[i + 1], c ^= p[i + 2], d ^= p[i + 3];
    a ^= b ^ c ^ d;
    return a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}

static uint64_t read_generic(const words *p, size_t count) { return read_words(p, count); }
#if defined(__x86_64__) /* wider loads keep more lines in flight */
__attribute__((target("avx512f"))) static uint64_t read_avx512(const words *p, size_t count)
{
    return read_words(p, count);
}
__attribute__((target("avx2"))) static uint64_t read_avx2(const words *p, size_t count) { return read_words(p, count); }
#endif

static reader *choose_reader(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return read_avx512;
    if (__builtin_cpu_supports("avx2")) return read_avx2;
#endif
    return read_generic;
}

static double time_reading(reader *read_part, const words *p, size_t count, int threads)
{
    uint64_t sum = 0;
    double start = ca_now();
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(^ : sum)
    for (int t = 0; t < threads; t++) {
        size_t part = count / (size_t)threads;
        sum ^= read_part(p + part * (size_t)t, part);
    }
    double seconds = ca_now() - start;
    sink = (float)sum;
    return seconds;
}

/* Much more than the caches hold, and not much of the memory. */
static size_t array_bytes(void)
{
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE), pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    double wanted = fmax(256e6, cache > 0 ? 2.0 * (double)cache : 0), most = 0.25 * (double)pages * (double)page;
    return (size_t)(pages > 0 && wanted > most ? most : wanted) / sizeof(words) * sizeof(words);
}

static double measure_reading(int threads)
{
    size_t bytes = array_bytes(), count = bytes / sizeof(words);
    words *p = bytes ? ca_large_alloc(bytes) : NULL;
    double best = 0;
    if (!p) return 0;
    /* Touch the pages by the threads that will read them. */
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t i = 0; i < count; i++) p[i] = (words){i};
    for (int i = 0; i < 4; i++)
        best = fmax(best, 1e-9 * (double)bytes / time_reading(choose_reader(), p, count, threads));
    free(p);
    return best;
}

void ca_peak_measure(struct peak *p)
{
    p->threads = ca_host_threads();
    p->gflops = fmax(p->gflops, measure_flops(p->threads));
    p->gbytes_per_s = fmax(p->gbytes_per_s, measure_reading(p->threads));
}
