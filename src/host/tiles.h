/* tiles.h -- the host's tiles of query rows (cl/flash.h), wide and narrow, for the storage and the level that the file including it is compiled for. */
#include "host/host.h"
#include "problem/problem.h"

/* Vector width and register blocks by level; found by perf/sweep. */
#if defined(__AVX512F__)
#define VL 16
#ifndef KB
#define KB 6
#define DB 4
#define WIDE 4
#endif
#elif defined(__AVX2__)
#define VL 8
#define KB 6
#define DB 6
#define WIDE 2
#elif defined(__aarch64__)
#define VL 4
#define KB 6
#define DB 4
#define WIDE 4
#else
#define VL 4
#define KB 4
#define DB 4
#define WIDE 2
#endif
#ifndef BK
#define BK 96
#endif
#include "host/dialect.h"
#if PAIRS
#undef IS_SPECIAL
#define IS_SPECIAL(A) 0 /* only q, k and v as they are stored */
#endif

/* Two copies of the tile kernel: WIDE vectors of rows, and one for short queries. */
#define QV WIDE
#define FN(name) name##_wide
#include "flash.h"
#if !PAIRS
#include "batch.h"
#endif
#undef QV
#undef FN
#undef KB
#undef DB
#define QV 1
#define KB 8
#define DB 8
#define FN(name) name##_narrow
#include "flash.h"
#if !PAIRS
#include "batch.h"
#endif

/* Bytes. */
static size_t tile_scratch(const ca_args *a)
{
    return ((size_t)(a->D + a->Dv + BK) * WIDE * VL + (size_t)BK * (WHOLE(a->D) + WHOLE(a->Dv))) * sizeof(float);
}

static void wide(HOST_TILE_ARGS)
{
    vf *qT = scratch, *oT = qT + a->D * WIDE, *p = oT + a->Dv * WIDE;
    flash_wide(a, x, q, k, v, o, lse, po, pml, a->D, a->Dv, tile, h, b, qT, oT, p, (float *)(p + BK * WIDE));
}

static void narrow(HOST_TILE_ARGS)
{
    vf *qT = scratch, *oT = qT + a->D, *p = oT + a->Dv;
    flash_narrow(a, x, q, k, v, o, lse, po, pml, a->D, a->Dv, tile, h, b, qT, oT, p, (float *)(p + BK));
}

#define SYMBOL_(isa, type) ca_host_##isa##_##type
#define SYMBOL(isa, type) SYMBOL_(isa, type)
