/* lanes.cl -- the OpenCL entry of the lane kernel: one work-item computes one query tile of one head; where rows pick groups of keys, a chunk of
 * a.split_len rows, NDRange {chunks} from a.first_part on.
 * For devices whose work-item is a thread with wide vectors: CPUs, and FPGAs' emulators.
 * Options: VL lanes per vector, QV vectors per row of scores, KB and DB register blocks, BK keys per tile,
 * DQK, DV, STORAGE, UNIT; USE_MAD where fma() is slow. */
#ifndef VL
#define VL 16
#endif
#ifndef QV
#define QV 4
#endif
#ifndef KB
#define KB 6
#endif
#ifndef DB
#define DB 4
#endif
#ifndef BK
#define BK 96
#endif
#ifndef DQK
#define DQK 64
#endif
#ifndef DV
#define DV DQK
#endif
#ifndef STORAGE
#define STORAGE 0
#endif
#ifndef UNIT
#define UNIT 1
#endif
#define FN(name) name
#include "args.h"
#include "dialect.h"
#include "flash.h"
#if GROUPED
#include "batch.h"
#include "grouped.h"
#endif
#if PASSES
#include "softmax.h"
#include "dropout.h"
#include "merge.h"
#endif
#if PASSES || GROUPED
#define STATES_PARAM , GLOBAL float *ws
#define STATES_OF(at) (ws + a.at)
#else
#define STATES_PARAM
#define STATES_OF(at) 0
#endif

LANE_KERNEL void attn_lanes(GLOBAL const stored *q, GLOBAL const stored *k, GLOBAL const stored *v, GLOBAL stored *o, GLOBAL float *lse STATES_PARAM,
                OPTIONAL_PARAMS, ca_args a)
{
    const ca_optional x = OPTIONAL;
    vf qT[DQK * QV], oT[DV * QV], p[BK * QV];
#if STORAGE == 0 && UNIT && !PAGED && !SPECIAL && !ORDERED
    float *unpacked = 0;
#else
    float unpacked[BK * (WHOLE(DQK) + WHOLE(DV))];
#endif
#if GROUPED
    const int rows = a.split_len, chunks = (a.Nq + rows - 1) / rows, n = a.first_part + (int)get_global_id(0), h = n / chunks % a.Hq;
    const int place = n % chunks, chunk = place % 2 ? place / 2 : chunks - 1 - place / 2; /* a long one and a short one of a causal attention */
    float made[WHOLE(DQK > DV ? DQK : DV)];
    vi picked[GROUPED * QV];
    ca_int before[GROUPED * BK];
    struct grouped t;
    t.qT = qT;
    t.oT = oT;
    t.p = p;
    t.picked = picked;
    t.made = made;
    t.unpacked = unpacked;
    t.before = before;
    grouped_chunk(&t, STATES_OF(ws_po) + get_global_id(0) * ca_chunk_words(rows, WHOLE(DV), a.Nk, FIRST_NODE(&x)), &a, rows, DV, FIRST_NODE(&x));
    grouped(&a, &x, q, k, v, o, lse, DQK, DV, n / chunks / a.Hq, h, chunk * rows, rows, &t, FIRST_NODE(&x));
#else
    int tiles = RAGGED ? a.Tq / (QV * VL) + a.B : (a.Nq + QV * VL - 1) / (QV * VL);
    /* The last tiles of a causal attention are the longest: start with them. */
    int tile = ORDERED ? (int)get_global_id(0) : tiles - 1 - (int)get_global_id(0), hb = get_global_id(1);
    flash(&a, &x, q, k, v, o, lse, STATES_OF(ws_po), STATES_OF(ws_pml), DQK, DV, tile, hb % a.Hq, hb / a.Hq, qT, oT, p, unpacked);
#endif
}
