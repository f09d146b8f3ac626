/* test_attention.c -- every legal algorithm on the device of the environment, over a list of shapes, against
 * the f64 oracle and its bound (oracle.h); with canaries, twice, and on cl_mem (attend.h).
 *
 * Kernels are specialised by dims and type, and building them is most of the time: the lists keep to few of
 * those and vary everything else.  A shape says whether it is for slow devices too, or for the host alone.
 * CLATTN_TURNS=N, for devices whose compiler is slow, takes one algorithm a shape, the next each time, beginning with number N, so
 * that other ones meet on other devices. */
#include "property.h"

static const int32_t mixed[] = { 0, -3, 40, -100 }, shifted[] = { 12, -1 };
static const int32_t some[] = { 65, 0, 31, 7 }, few[] = { 300, 1, 129, 0 }, two[] = { 9, 5 }, longer[] = { 700, 0, 231, 507 };
static const int32_t across[] = { 63, 0, 127, 191 }; /* two queries in different tiles of the oracle's */

#define F32 .dtype = CLATTN_F32
#define F16 .dtype = CLATTN_F16
#define BF16 .dtype = CLATTN_BF16
#define H(q, kv) .Hq = q, .Hkv = kv
#define N(q, k) .Nq = q, .Nk = k
#define D(q, v) .D = q, .Dv = v
#define WINDOW(l, r) .window = 1, .left = l, .right = r
#define BOTTOM .align = CLATTN_BOTTOM_RIGHT
#define TOP .align = CLATTN_TOP_LEFT
#define AT(o) .align = CLATTN_OFFSET, .q_offset = o
#define PER_BATCH(o) .align = CLATTN_OFFSET, .offsets = o
#define CAUSAL .causal = 1
#define SLOW .reach = EVERYWHERE
#define SPARE .reach = HOST
#define GROUPS .algo = "split", .params = "form=1 rb=4 part=128" /* the form that no CPU takes by itself */

/* Every kind of head dim and storage type. */
static const struct shape dims[] = {
    { F32, H(2, 1), N(65, 129), D(1, 1), CAUSAL },
    { BF16, H(4, 2), N(33, 65), D(3, 3), CAUSAL, SLOW },
    { F16, H(2, 1), N(65, 129), D(40, 40), CAUSAL, SLOW },
    { F32, H(2, 1), N(33, 65), D(64, 64), CAUSAL, SLOW },
    { F16, H(2, 2), N(129, 65), D(64, 64), SPARE },
    { BF16, H(2, 1), N(65, 129), D(64, 64), CAUSAL },
    { F32, H(2, 1), N(65, 129), D(65, 65), CAUSAL },
    { BF16, H(2, 1), N(65, 129), D(128, 128), CAUSAL },
    { F32, H(2, 1), N(65, 129), D(192, 128), CAUSAL },
    { F32, H(2, 1), N(33, 65), D(256, 256), CAUSAL },
    { F32, H(4, 1), N(17, 65), D(576, 512), CAUSAL },
    { F32, H(2, 1), N(65, 129), D(3, 3), CAUSAL, SPARE },
    { F32, H(2, 2), N(65, 129), D(40, 40), SPARE },
    { F32, H(2, 1), N(65, 129), D(128, 128), SPARE },
    { F16, H(2, 2), N(65, 129), D(128, 128), SPARE },
    { BF16, H(2, 1), N(65, 129), D(192, 128), SPARE },
    { F16, H(2, 1), N(33, 65), D(256, 256), CAUSAL },
    { F16, H(4, 1), N(17, 65), D(576, 512), CAUSAL, SPARE },
    { BF16, H(4, 1), N(17, 65), D(576, 512), SPARE },
    { F32, N(17, 65), D(3, 40), CAUSAL, SPARE },
    { F32, N(17, 65), D(40, 1), SPARE },
};

/* Lengths: tails of every tile, few queries and long keys, nothing at all. */
static const struct shape lengths[] = {
    { F32, .B = 2, H(2, 1), N(0, 5), D(64, 64), SLOW },
    { F32, .B = 2, H(2, 1), N(5, 0), D(64, 64), SLOW },
    { F32, N(0, 0), D(64, 64) },
    { F32, .B = -1, N(5, 5), D(64, 64), SLOW },
    { F32, .B = 3, H(8, 1), N(1, 1), D(64, 64) },
    { F32, .B = 2, H(8, 1), N(1, 2), D(64, 64), SLOW },
    { F32, .B = 2, H(4, 2), N(2, 1), D(64, 64), SPARE },
    { F32, .B = 2, H(16, 2), N(1, 300), D(64, 64), SLOW },
    { F32, .B = 2, H(8, 2), N(2, 300), D(64, 64), CAUSAL },
    { F32, H(2, 2), N(17, 63), D(64, 64), CAUSAL },
    { F32, H(2, 2), N(63, 17), D(64, 64), SLOW },
    { F32, H(2, 2), N(64, 64), D(64, 64), CAUSAL },
    { F32, H(2, 2), N(127, 128), D(64, 64) },
    { F32, H(2, 2), N(128, 127), D(64, 64), CAUSAL },
    { F32, H(2, 2), N(129, 129), D(64, 64) },
    { F32, N(300, 300), D(64, 64), CAUSAL },
    { F32, N(3, 400), D(64, 64), SLOW }, /* long for a work-item of llvmpipe (CA_QUIRK_ROUNDS) */
    { F32, .B = 3, H(8, 1), N(1, 1000), D(64, 64) },
    { F16, .B = 2, H(8, 1), N(1, 300), D(64, 64), SPARE },
    { F16, .B = 2, H(6, 2), N(37, 63), D(40, 40), SLOW },
    { BF16, .B = 2, H(8, 2), N(1, 300), D(64, 64), SPARE },
};

/* Heads, memory, scale. */
static const struct shape memories[] = {
    { F32, .B = 3, H(8, 8), N(37, 33), D(64, 64), CAUSAL },
    { F32, .B = 2, H(8, 2), N(37, 33), D(64, 64) },
    { F32, .B = 2, H(8, 1), N(37, 33), D(64, 64), CAUSAL },
    { F32, .B = 2, H(6, 3), N(33, 17), D(64, 64) },
    { F32, .memory = SWAPPED, .B = 2, H(6, 3), N(33, 65), D(64, 64), CAUSAL, SLOW },
    { F16, .memory = SWAPPED, .B = 2, H(6, 3), N(33, 65), D(40, 40) },
    { F32, .memory = GAPPED, .B = 2, H(4, 2), N(33, 65), D(64, 64), SLOW },
    { F16, .memory = GAPPED, .B = 2, H(4, 2), N(33, 65), D(40, 40), CAUSAL, SPARE },
    { BF16, .memory = GAPPED, .B = 2, H(4, 2), N(33, 65), D(64, 64), SPARE },
    { F32, .memory = SPREAD, .B = 2, H(4, 2), N(33, 65), D(64, 64), CAUSAL, SLOW },
    { F16, .memory = SPREAD, .B = 2, H(4, 2), N(33, 65), D(40, 40), SPARE },
    { F32, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(64, 64) },
    { BF16, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(64, 64), CAUSAL, SPARE },
    { F32, .memory = SHARED, .B = 3, H(4, 2), N(33, 65), D(64, 64), CAUSAL },
    { F32, .memory = GAPPED, .B = 2, H(16, 2), N(1, 300), D(64, 64) },
    { F32, .memory = SPREAD, .B = 2, H(16, 2), N(1, 300), D(64, 64), SPARE },
    { F32, H(2, 2), N(33, 65), D(64, 64), .scale = 1 },
    { F32, H(2, 2), N(33, 65), D(64, 64), .scale = -0.25, SLOW },
    { F32, H(2, 2), N(33, 65), D(64, 64), .scale = NAN },
    { F32, H(2, 2), N(33, 65), D(64, 64), .scale = 100, CAUSAL },
    { F16, H(2, 2), N(33, 65), D(40, 40), .scale = 3 },
};

/* Who sees whom. */
static const struct shape masks[] = {
    { F32, H(2, 1), N(65, 33), D(64, 64), CAUSAL, BOTTOM, SLOW }, /* the first 32 queries see nothing */
    { F32, H(2, 1), N(33, 65), D(64, 64), CAUSAL, TOP, SLOW },
    { F32, H(2, 1), N(65, 33), D(64, 64), CAUSAL, TOP },
    { F32, H(2, 1), N(33, 65), D(64, 64), CAUSAL, AT(7) },
    { F32, H(2, 1), N(65, 65), D(64, 64), CAUSAL, AT(-5), SLOW },
    { F32, H(2, 1), N(65, 65), D(64, 64), CAUSAL, AT(-1000) },
    { F32, H(2, 1), N(65, 65), D(64, 64), CAUSAL, AT(1000000) },
    { F32, .B = 4, H(2, 1), N(33, 65), D(64, 64), CAUSAL, PER_BATCH(mixed), SLOW },
    { F32, .B = 4, H(8, 1), N(1, 65), D(64, 64), CAUSAL, PER_BATCH(mixed) },
    { F16, .B = 2, H(2, 1), N(33, 65), D(40, 40), CAUSAL, PER_BATCH(shifted), SPARE },
    { F32, .B = 4, H(2, 1), N(33, 65), D(64, 64), PER_BATCH(mixed), WINDOW(9, 4) },
    { F32, H(2, 2), N(65, 65), D(64, 64), WINDOW(0, 0), SLOW },
    { F32, H(2, 2), N(129, 129), D(64, 64), WINDOW(3, 0) },
    { F32, H(2, 2), N(129, 129), D(64, 64), WINDOW(5, 70), SLOW },
    { F32, H(2, 2), N(129, 65), D(64, 64), WINDOW(-1, 4) },
    { F32, H(2, 2), N(65, 129), D(64, 64), WINDOW(7, -1) },
    { F32, H(2, 2), N(65, 129), D(64, 64), WINDOW(1000, 1000) },
    { F32, H(2, 2), N(300, 300), D(64, 64), CAUSAL, WINDOW(64, -1) },
    { F32, H(2, 2), N(65, 129), D(64, 64), CAUSAL, TOP, WINDOW(16, 3) },
    { F32, H(2, 2), N(65, 65), D(64, 64), WINDOW(2, 2), AT(-20) },
    { F32, H(2, 2), N(65, 65), D(64, 64), WINDOW(2, 2), AT(200) }, /* no key for anyone */
    { F32, H(16, 2), N(1, 300), D(64, 64), WINDOW(100, 0) },
    { F32, H(16, 2), N(1, 300), D(64, 64), AT(5), CAUSAL },
    { F32, H(2, 2), N(65, 65), D(64, 64), WINDOW(2147483646, 2147483646), AT(2147483647) },
    { F32, H(2, 2), N(65, 65), D(64, 64), CAUSAL, AT(-2147483647), WINDOW(2147483646, 0) },
    { F16, .B = 2, H(4, 2), N(33, 65), D(40, 40), WINDOW(8, 3), SLOW },
    { BF16, .B = 2, H(4, 2), N(65, 65), D(64, 64), CAUSAL, WINDOW(20, -1) },
};

/* What becomes of a score. */
static const struct shape scores[] = {
    { F32, H(2, 1), N(33, 65), D(64, 64), CAUSAL, .softcap = 2, SLOW },
    { F32, H(2, 2), N(33, 65), D(64, 64), .softcap = 0.125, .scale = -1 }, /* nearly all at the cap */
    { F32, H(2, 2), N(65, 65), D(64, 64), .softcap = 30, .scale = 4, WINDOW(20, 3) },
    { F32, H(2, 2), N(33, 33), D(64, 64), .softcap = 1e30 },
    { F32, .B = 4, H(8, 1), N(1, 300), D(64, 64), CAUSAL, PER_BATCH(mixed), .softcap = 3 },
    { F16, .B = 2, H(4, 2), N(33, 65), D(40, 40), CAUSAL, .softcap = 50 },
    { BF16, .memory = GAPPED, .B = 2, H(4, 2), N(33, 65), D(64, 64), .softcap = 5, .scale = 1 },

    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .bias = "bhqk", SLOW },
    { F32, .B = 2, H(4, 2), N(65, 129), D(64, 64), .bias = "qk", CAUSAL },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .bias = "bk", .shorter = 9 },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .bias = "hq" },
    { F32, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(64, 64), .bias = "hqk" },
    { F32, .memory = SPREAD, .B = 2, H(4, 2), N(33, 65), D(64, 64), .bias = "bhqk", .mask = "bqk", SPARE },
    { F32, .B = 2, H(8, 1), N(1, 300), D(64, 64), .bias = "bhqk", SLOW },
    { F16, .B = 2, H(4, 2), N(33, 65), D(40, 40), .bias = "bhqk", CAUSAL, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .mask = "bhqk", SLOW },
    { F32, .B = 2, H(4, 2), N(65, 300), D(64, 64), .mask = "bk", CAUSAL },
    { F32, .B = 2, H(4, 2), N(129, 129), D(64, 64), .mask = "qk", WINDOW(40, 9), .shorter = 20 },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .mask = "" },
    { F32, .memory = GAPPED, .B = 2, H(4, 2), N(33, 65), D(64, 64), .mask = "bhq" },
    { F32, .B = 2, H(8, 1), N(1, 300), D(64, 64), .mask = "bk", .shorter = 100 },
    { BF16, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(64, 64), .mask = "hqk", SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .alibi = CLATTN_ALIBI_HEAD, CAUSAL, SLOW },
    { F32, .B = 2, H(4, 2), N(65, 33), D(64, 64), .alibi = CLATTN_ALIBI_BATCH_HEAD, SPARE },
    { F32, .B = 4, H(8, 1), N(1, 300), D(64, 64), .alibi = CLATTN_ALIBI_HEAD, PER_BATCH(mixed) },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .sinks = 1, CAUSAL, TOP, SLOW },
    { F32, .B = 2, H(4, 2), N(65, 33), D(64, 64), .sinks = 1, CAUSAL }, /* rows with a sink and no key */
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), .sinks = 1, SLOW },
    { F32, .B = 2, H(4, 2), N(5, 0), D(64, 64), .sinks = 1, SLOW },
    { F16, .B = 2, H(4, 2), N(33, 65), D(40, 40), .sinks = 1, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .lens = some, CAUSAL, SLOW },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .lens = some, WINDOW(9, 4), TOP },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .lens = some, .alibi = CLATTN_ALIBI_HEAD, SPARE },
    { F32, .B = 4, H(8, 2), N(1, 300), D(64, 64), .lens = few, SLOW },
    { F32, .B = 4, H(8, 2), N(2, 300), D(64, 64), .lens = few, CAUSAL, WINDOW(100, -1), .sinks = 1 },
    { F16, .B = 4, H(4, 2), N(33, 65), D(40, 40), .lens = some, CAUSAL, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .lens = some, PER_BATCH(mixed), CAUSAL, .mask = "bqk" },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), CAUSAL, .softcap = 2, .bias = "hqk", .mask = "bk",
      .alibi = CLATTN_ALIBI_HEAD, .sinks = 1, .lens = two },
    { F32, .B = 2, H(8, 1), N(1, 300), D(64, 64), CAUSAL, .softcap = 2, .bias = "hqk", .mask = "bk",
      .alibi = CLATTN_ALIBI_HEAD, .sinks = 1, .lens = two },
};

static const int32_t q_some[] = { 33, 0, 5, 17 }, q_ones[] = { 1, 1, 0, 1 }, k_long[] = { 300, 0, 129, 7 }, q_tiny[] = { 3, 0, 2 },
                     k_tiny[] = { 5, 4, 0 }, grown[] = { 65, 3, 31, 7 };

/* Where keys and rows lie: ragged, in pages, appended to a cache. */
static const struct shape storages[] = {
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .q_lens = q_some, .lens = some, CAUSAL, SLOW },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .q_lens = q_some, .lens = some, WINDOW(9, 4), TOP },
    { F32, .memory = GAPPED, .B = 4, H(4, 2), N(33, 65), D(64, 64), .q_lens = q_some, .lens = some, .mask = "bqk", .sinks = 1 },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .q_lens = q_some, .lens = some, .bias = "hqk", .alibi = CLATTN_ALIBI_BATCH_HEAD, SPARE },
    { F32, .B = 4, H(8, 2), N(1, 300), D(64, 64), .q_lens = q_ones, .lens = k_long, CAUSAL, SLOW },
    { F16, .B = 4, H(4, 2), N(33, 65), D(40, 40), .q_lens = q_some, .lens = some, CAUSAL, SPARE },
    { BF16, .B = 4, H(4, 2), N(33, 65), D(64, 64), .q_lens = q_some, .lens = some, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .q_lens = q_some, .lens = some, PER_BATCH(mixed), CAUSAL, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 64), D(64, 64), .page = 16, CAUSAL, SLOW },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), .page = 16, .lens = some, CAUSAL },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .page = 1, .lens = some, WINDOW(9, 4), SPARE },
    { F32, .B = 4, H(8, 2), N(1, 300), D(64, 64), .page = 100, .lens = few, SLOW },
    { F32, .B = 4, H(8, 2), N(2, 300), D(64, 64), .page = 3, .lens = few, CAUSAL, .mask = "bk" },
    { F32, .B = 4, H(8, 2), N(1, 304), D(64, 64), .page = 16, .lens = few },
    { F32, .memory = GAPPED, .B = 4, H(4, 2), N(33, 80), D(64, 64), .page = 16, .lens = some, CAUSAL },
    { F32, .memory = SPREAD, .B = 4, H(4, 2), N(33, 80), D(64, 64), .page = 16, .lens = some, SPARE },
    { F16, .B = 4, H(4, 2), N(33, 80), D(40, 40), .page = 16, .lens = some, CAUSAL, SPARE },
    { BF16, .B = 4, H(8, 2), N(1, 304), D(64, 64), .page = 16, .lens = few, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), .q_lens = q_some, .page = 16, .lens = some, CAUSAL },
    { F32, .B = 4, H(8, 2), N(1, 304), D(64, 64), .q_lens = q_ones, .page = 16, .lens = few, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .lens = grown, .new_len = 3, CAUSAL, SLOW }, /* to the end of the first cache */
    { F32, .memory = SWAPPED, .B = 4, H(8, 2), N(1, 80), D(64, 64), .lens = grown, .new_len = 1, SPARE },
    { F32, .memory = GAPPED, .B = 4, H(4, 2), N(33, 80), D(64, 64), .page = 16, .lens = grown, .new_len = 3, CAUSAL },
    { F16, .B = 4, H(4, 2), N(33, 80), D(40, 40), .page = 1, .lens = grown, .new_len = 2, CAUSAL, SPARE },
    { BF16, .memory = TURNED, .B = 4, H(4, 2), N(33, 80), D(64, 64), .lens = grown, .new_len = 3, CAUSAL, SPARE },
};

#define DROPOUT(p) .dropout = p, .seed = 0x123456789abcdef, .drop_offset = 0xfedcba9876543
#define BY_KEY .scale_kind = CLATTN_SCALE_BY_KEY
#define BY_DIM .scale_kind = CLATTN_SCALE_BY_DIM
#define BY_HEAD .scale_kind = CLATTN_SCALE_BY_HEAD

/* Elements that are dequantised, or turned. */
static const struct shape elements[] = {
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .kv_format = CLATTN_KV_INT8, BY_KEY, CAUSAL, SLOW },
    { F32, .memory = SWAPPED, .B = 2, H(4, 2), N(33, 65), D(64, 32), .kv_format = CLATTN_KV_INT8, BY_DIM, SPARE },
    { F32, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(64, 64), .kv_format = CLATTN_KV_INT8, SPARE },
    { F16, .B = 4, H(8, 2), N(1, 80), D(40, 40), .kv_format = CLATTN_KV_INT8, BY_KEY, .page = 16, .lens = some },
    { F32, .memory = GAPPED, .B = 2, H(4, 2), N(33, 65), D(64, 64), .kv_format = CLATTN_KV_FP8, BY_HEAD, CAUSAL },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .kv_format = CLATTN_KV_FP8, SPARE },
    { F32, .B = 2, H(8, 2), N(2, 100), D(64, 64), .kv_format = CLATTN_KV_Q8_0, CAUSAL, SLOW },
    { BF16, .B = 4, H(4, 2), N(33, 80), D(64, 96), .kv_format = CLATTN_KV_Q8_0, .page = 16, .lens = some, SPARE },
    { F32, .memory = GAPPED, .B = 2, H(4, 2), N(33, 65), D(64, 64), .kv_format = CLATTN_KV_Q4_0, CAUSAL },
    { F32, .B = 2, H(8, 2), N(1, 100), D(96, 32), .kv_format = CLATTN_KV_Q4_0, SPARE },
    { F32, .B = 2, H(8, 2), N(2, 101), D(64, 48), .kv_format = CLATTN_KV_INT8, BY_KEY, .zeroless = 1, CAUSAL, SLOW },
    { F16, .memory = SWAPPED, .B = 4, H(8, 1), N(1, 80), D(48, 64), .kv_format = CLATTN_KV_INT8, BY_KEY, .zeroless = 1, .page = 5, .lens = some,
      .softcap = 3, .weights = CLATTN_WEIGHTS_PROBS },
    { F32, .memory = GAPPED, .B = 2, H(6, 2), N(1, 100), D(64, 64), .kv_format = CLATTN_KV_INT8, .mask = "bk", SPARE },
    { F32, .B = 4, H(4, 2), N(3, 80), D(64, 64), .kv_format = CLATTN_KV_Q8_0, .page = 2, .lens = some, .rope = 0, DROPOUT(0.25), SPARE },
    { F32, .B = 4, H(4, 2), N(3, 80), D(64, 64), .kv_format = CLATTN_KV_INT8, BY_KEY, .lens = grown, .new_len = 3, CAUSAL, SLOW },
    { F16, .B = 4, H(4, 2), N(1, 80), D(40, 24), .kv_format = CLATTN_KV_INT8, BY_DIM, .lens = grown, .new_len = 2, .page = 16, SPARE },
    { F32, .B = 4, H(4, 2), N(2, 80), D(64, 32), .kv_format = CLATTN_KV_INT8, BY_KEY, .lens = grown, .new_len = 2, .page = 16 },
    { F32, .memory = GAPPED, .B = 4, H(4, 2), N(2, 80), D(20, 20), .kv_format = CLATTN_KV_INT8, .lens = grown, .new_len = 2, SPARE },
    { F32, .B = 4, H(4, 2), N(2, 80), D(64, 64), .kv_format = CLATTN_KV_FP8, BY_HEAD, .lens = grown, .new_len = 2 },
    { F16, .B = 4, H(4, 2), N(2, 80), D(64, 32), .kv_format = CLATTN_KV_Q8_0, .lens = grown, .new_len = 2, .page = 16 },
    { F32, .memory = SWAPPED, .B = 4, H(4, 2), N(2, 80), D(32, 64), .kv_format = CLATTN_KV_Q4_0, .lens = grown, .new_len = 3 },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .rope = 64, CAUSAL, SLOW },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .rope = 32, .rope_pairs = 1, .mask = "bk" },
    { F16, .B = 2, H(8, 2), N(1, 65), D(40, 40), .rope = 40, SPARE },
    { F32, .memory = SPREAD, .B = 2, H(4, 2), N(33, 65), D(64, 64), .rope = 62, CAUSAL, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), .page = 16, .lens = some, .rope = 64, CAUSAL, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .rope = 64, .kv_format = CLATTN_KV_Q8_0, .weights = CLATTN_WEIGHTS_PROBS },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .rope = 64, .weights = CLATTN_WEIGHTS_RAW, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(20, 20), .score = CLATTN_ADDITIVE, .score_ws = 20, CAUSAL, SLOW },
    { F16, .memory = SPREAD, .B = 2, H(4, 2), N(17, 33), D(8, 8), .score = CLATTN_ADDITIVE, .score_ws = 1, .mask = "bk", SPARE },
    { F32, .B = 2, H(4, 2), N(3, 33), D(8, 8), .score = CLATTN_ADDITIVE, .weights = CLATTN_WEIGHTS_PROBS, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(20, 20), .score = CLATTN_GENERAL, .q_dim = 12, CAUSAL },
    { F32, .B = 2, H(4, 2), N(3, 33), D(8, 8), .score = CLATTN_GENERAL, .weights = CLATTN_WEIGHTS_RAW, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(1, 20), .score = CLATTN_GAT, CAUSAL, .softcap = 3 },
    { F32, .B = 2, H(8, 2), N(1, 100), D(1, 8), .score = CLATTN_GAT, .weights = CLATTN_WEIGHTS_PROBS, SPARE },
    { F32, .B = 2, H(4, 2), N(3, 20), D(1, 8), .score = CLATTN_GAT, .kv_format = CLATTN_KV_INT8, BY_DIM, SPARE },
    { F32, .B = 2, H(4, 2), N(3, 20), D(1, 8), .score = CLATTN_GAT, .lens = two, .new_len = 2, .weights = CLATTN_WEIGHTS_RAW, SPARE },
    { F32, .B = 2, H(4, 2), N(3, 20), D(1, 8), .score = CLATTN_GAT, .softcap = 2, .weights = CLATTN_WEIGHTS_CAPPED, SPARE },
    { F32, .B = 2, H(4, 2), N(3, 20), D(64, 64), .rope = 32, .lens = two, .new_len = 2, CAUSAL, SPARE }, /* the cache holds turned keys */
};

/* The weights, at each stage. */
static const struct shape weights[] = {
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .weights = CLATTN_WEIGHTS_PROBS, CAUSAL, SLOW },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .weights = CLATTN_WEIGHTS_RAW, CAUSAL, .softcap = 2 },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .weights = CLATTN_WEIGHTS_CAPPED, CAUSAL, .softcap = 2, .bias = "k" },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .weights = CLATTN_WEIGHTS_BIASED, CAUSAL, .softcap = 2, .bias = "bhqk", .mask = "k",
      .alibi = CLATTN_ALIBI_HEAD },
    { F32, .B = 2, H(4, 2), N(65, 33), D(64, 64), .weights = CLATTN_WEIGHTS_PROBS, CAUSAL, .sinks = 1 },
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), .weights = CLATTN_WEIGHTS_PROBS, .scale = 4 },
    { F16, .B = 2, H(4, 2), N(33, 65), D(40, 40), .weights = CLATTN_WEIGHTS_PROBS, .mask = "bqk", SPARE },
    { BF16, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(64, 64), .weights = CLATTN_WEIGHTS_BIASED, WINDOW(9, 4), SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), .page = 16, .lens = some, .weights = CLATTN_WEIGHTS_PROBS, CAUSAL },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .q_lens = q_some, .lens = some, .weights = CLATTN_WEIGHTS_PROBS, CAUSAL },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), .lens = grown, .new_len = 3, .weights = CLATTN_WEIGHTS_PROBS, CAUSAL, SPARE },
};

/* The user's functions. */
static const struct shape mods[] = {
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .mod = 1, CAUSAL, SLOW },
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), .mod = 1, .softcap = 3, .weights = CLATTN_WEIGHTS_PROBS },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), .mod = 1, .q_lens = q_some, .lens = some, .bias = "hk", SPARE },
    { F16, .B = 4, H(4, 2), N(33, 80), D(40, 40), .mod = 1, .page = 16, .lens = some, SPARE },
    { F32, H(2, 1), N(150, 700), D(64, 64), .tiles = TILES, SLOW },
    { F32, .B = 2, H(2, 1), N(150, 700), D(64, 64), .tiles = TILES, .mod = 1, .weights = CLATTN_WEIGHTS_PROBS },
    { F32, .B = 4, H(8, 2), N(2, 700), D(64, 64), .tiles = TILES, .lens = longer, PER_BATCH(across), CAUSAL, SLOW },
    { F32, .B = 4, H(4, 2), N(33, 700), D(64, 64), .tiles = TILES, .q_lens = q_some, .lens = longer, .mask = "k", .sinks = 1 },
    { F16, .B = 4, H(4, 2), N(33, 704), D(40, 40), .tiles = TILES, .page = 16, .lens = longer, PER_BATCH(mixed), WINDOW(300, 90) },
    { F32, N(130, 70), D(64, 64), .tiles = TILES, CAUSAL, SPARE },
    { F32, H(2, 1), N(150, 400), D(64, 64), .tiles = TILES_NONE },
    { F32, H(8, 2), N(2, 400), D(64, 64), .tiles = TILES_ALL, SLOW },
    { F32, H(2, 1), N(150, 400), D(64, 64), .tiles = TILES_ALL, .mod = 1 },
    { F32, H(8, 2), N(2, 400), D(64, 64), .tiles = TILES_NONE, .mod = 1, CAUSAL },
    { F32, .B = 4, H(8, 2), N(2, 700), D(64, 64), .tiles = TILES, .lens = longer, PER_BATCH(across), GROUPS },
    { F32, H(8, 2), N(2, 400), D(64, 64), .tiles = TILES_ALL, .mod = 1, GROUPS },
};
/* Two of which the second may know less about tiles: the bits are to be the same. */
static const struct shape tiled[][2] = {
#define BOTH(...) { { __VA_ARGS__, .tiles = TILES_UNTOLD }, { __VA_ARGS__, .tiles = TILES_SOME } }
    BOTH(F32, H(2, 1), N(150, 400), D(64, 64), CAUSAL),
    BOTH(F32, H(8, 2), N(2, 400), D(64, 64), .mod = 1),
    BOTH(F16, .B = 4, H(4, 2), N(33, 704), D(40, 40), .page = 16, .lens = longer),
};


/* Keys that all batch rows share, some of which are shorter than that; and parts of a fixed length. */
static const struct shape prefixes[] = {
    { F32, .B = 3, H(8, 2), N(1, 300), D(64, 64), .shared = 200, SLOW },
    { F32, .B = 4, H(4, 2), N(3, 300), D(64, 64), .shared = 250, .lens = few, CAUSAL },
    { F32, .B = 4, H(8, 2), N(1, 300), D(64, 64), .shared = 300, .lens = few, .split = 0, SPARE },
    { F16, .B = 4, H(8, 1), N(2, 80), D(40, 40), .shared = 48, .page = 16, .lens = some },
    { F32, .B = 4, H(8, 2), N(2, 300), D(64, 64), .shared = 129, .mask = "bqk", .sinks = 1, .alibi = CLATTN_ALIBI_BATCH_HEAD, .softcap = 3, PER_BATCH(mixed) },
    { F32, .B = 3, H(8, 2), N(2, 300), D(64, 64), .shared = 64, .mod = 1, SPARE },
    { F32, .B = 3, H(8, 2), N(2, 300), D(64, 64), .shared = 70, DROPOUT(0.25), WINDOW(250, 4), SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .shared = 33, CAUSAL, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), .split = 16, CAUSAL },
    { F16, .B = 4, H(8, 2), N(1, 300), D(40, 40), .split = 64, .lens = few, SLOW },
    { F32, .B = 4, H(4, 2), N(3, 300), D(64, 64), .split = 1024, .q_lens = (const int32_t[]){ 3, 1, 0, 2 }, .lens = k_long },
    { F32, .B = 2, H(2, 1), N(1, 300), D(8, 8), .split = 16, .lens = few }, /* more parts than the merge weighs at once, many empty */
};


/* Weights that are dropped, in numbers of keys that four divides and in others. */
static const struct shape dropouts[] = {
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), DROPOUT(0.25), CAUSAL, SLOW },
    { F32, .B = 2, H(4, 2), N(65, 300), D(64, 64), DROPOUT(0.5) },
    { F32, .B = 2, H(4, 2), N(33, 64), D(64, 64), DROPOUT(0.1), WINDOW(9, 4), SPARE },
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), DROPOUT(0.25), SLOW },
    { F32, .B = 2, H(8, 2), N(2, 303), D(64, 64), DROPOUT(0.75), CAUSAL, WINDOW(170, -1) },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), DROPOUT(1) },
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), DROPOUT(1), SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), DROPOUT(1e-9), SPARE },
    { F16, .B = 2, H(4, 2), N(33, 65), D(40, 40), DROPOUT(0.25), CAUSAL },
    { BF16, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(64, 64), DROPOUT(0.25), SPARE },
    { F16, .B = 2, H(8, 2), N(2, 300), D(40, 40), DROPOUT(0.25), SPARE },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), DROPOUT(0.25), .q_lens = q_some, .lens = some, CAUSAL },
    { F32, .B = 4, H(8, 2), N(3, 300), D(64, 64), DROPOUT(0.25), .q_lens = (const int32_t[]){ 3, 1, 0, 2 }, .lens = k_long },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), DROPOUT(0.25), .page = 16, .lens = some, CAUSAL },
    { F32, .B = 4, H(8, 2), N(2, 300), D(64, 64), DROPOUT(0.25), .page = 3, .lens = few, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), DROPOUT(0.25), .q_lens = q_some, .page = 16, .lens = some, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), DROPOUT(0.25), .lens = grown, .new_len = 3, .weights = CLATTN_WEIGHTS_PROBS, CAUSAL, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 65), D(64, 64), DROPOUT(0.25), .sinks = 1, .mask = "bqk", PER_BATCH(mixed), CAUSAL },
    { F32, .B = 2, H(8, 1), N(1, 300), D(64, 64), DROPOUT(0.25), .sinks = 1, .mask = "bk", .softcap = 2, .lens = two },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), DROPOUT(0.25), .kv_format = CLATTN_KV_Q8_0, .rope = 64, SPARE },
};

#define GRID1(n, w) .axes = 1, .grid = { n }, .kernel = { w }
#define GRID2(n0, n1, w0, w1) .axes = 2, .grid = { n0, n1 }, .kernel = { w0, w1 }
#define GRID3(n0, n1, n2, w0, w1, w2) .axes = 3, .grid = { n0, n1, n2 }, .kernel = { w0, w1, w2 }
#define TOKENS(n, ...) .num_tokens = n, .tokens = { __VA_ARGS__ }

static const int32_t q_many[] = { 150, 0, 70, 131 }, k_many[] = { 210, 0, 131, 97 }, apart[] = { 60, -20, 0, 130 };

/* Each type of pattern by place: over several tiles, with positions that are the keys' and others. */
static const struct shape patterns[] = {
    { F32, H(4, 2), N(150, 210), D(64, 64), PATTERN(STRIDED, .stride = 17), CAUSAL, SLOW },
    { F32, .B = 2, H(2, 1), N(150, 210), D(64, 64), PATTERN(STRIDED, .stride = 1), SPARE },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(STRIDED, .stride = 300), .q_lens = q_many, .lens = k_many, SPARE },
    { F16, .B = 4, H(4, 2), N(70, 210), D(40, 40), PATTERN(STRIDED, .stride = 7), PER_BATCH(apart), .lens = k_many, .page = 30, SPARE },
    { F32, H(2, 2), N(210, 210), D(64, 64), PATTERN(FIXED, .stride = 20, .summary = 3), CAUSAL },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(FIXED, .stride = 33, .summary = 1), .q_lens = q_many, .lens = k_many, WINDOW(90, 40), SPARE },
    { BF16, H(2, 1), N(33, 65), D(64, 64), PATTERN(FIXED, .stride = 5, .summary = 0), AT(-10), SPARE },
    { F32, H(2, 1), N(33, 65), D(64, 64), PATTERN(FIXED, .stride = 5, .summary = 5), SPARE },
    { F32, H(4, 2), N(210, 210), D(64, 64), PATTERN(DILATED, .width = 20, .dilation = { 3 }), SLOW },
    { F32, .B = 4, H(8, 2), N(2, 210), D(64, 64), PATTERN(DILATED, .width = 30, .dilation = { 4 }), .lens = k_many, CAUSAL },
    { F32, H(2, 1), N(150, 210), D(64, 64), PATTERN(DILATED, .width = 0), .sinks = 1, SPARE }, /* no key for anyone */
    { F32, H(2, 1), N(150, 210), D(64, 64), PATTERN(DILATED, .width = 50), TOP, .mask = "k", SPARE },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(RANDOM, .count = 24, .seed = 5), CAUSAL, SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(RANDOM, .count = 100, .seed = 123456789012345), .q_lens = q_many, .lens = k_many },
    { F32, .B = 4, H(8, 2), N(2, 210), D(64, 64), PATTERN(RANDOM, .count = 40), .lens = k_many, PER_BATCH(apart), SPARE },
    { F32, H(2, 1), N(33, 65), D(64, 64), PATTERN(RANDOM, .count = 4000, .seed = 3), SPARE },
    { F32, H(2, 1), N(33, 65), D(64, 64), PATTERN(RANDOM), SPARE },
    { F32, .B = 2, H(2, 1), N(20, 4200), D(64, 64), PATTERN(RANDOM, .count = 200, .seed = 8), WINDOW(2500, 900), SPARE }, /* the host goes by bands of keys */
    { F16, .B = 2, H(2, 1), N(33, 65), D(40, 40), PATTERN(RANDOM, .count = 9, .seed = 1), AT(-7), CAUSAL, .weights = CLATTN_WEIGHTS_PROBS, SPARE },
    { F32, H(4, 2), N(150, 210), D(64, 64), PATTERN(GLOBAL, TOKENS(4, 100, 3, 209, 100)), SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(GLOBAL, TOKENS(3, 90, 5, 1000)), .q_lens = q_many, .lens = k_many, CAUSAL, SPARE },
    { F32, H(2, 1), N(33, 65), D(64, 64), PATTERN(GLOBAL), SPARE },
    { F32, H(4, 2), N(210, 210), D(64, 64), PATTERN(BIGBIRD, .block = 16, .random = 3, .seed = 9, .globals = 1), CAUSAL, SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(BIGBIRD, .block = 13, .random = 4, .seed = 2, .globals = 2), .lens = k_many },
    { F32, .B = 2, H(8, 2), N(3, 210), D(64, 64), PATTERN(BIGBIRD, .block = 32, .random = 1, .seed = 2), SPARE },
    { BF16, .B = 4, H(2, 1), N(70, 210), D(64, 64), PATTERN(BIGBIRD, .block = 7, .random = 5, .seed = 4, .globals = 1), PER_BATCH(apart), .page = 30, SPARE },
    { F32, H(2, 1), N(33, 65), D(64, 64), PATTERN(BIGBIRD, .block = 8, .random = 100, .globals = 3), SPARE },
    { F32, H(2, 1), N(33, 65), D(64, 64), PATTERN(BIGBIRD, .block = 100, .random = 2, .globals = 3), SPARE }, /* more than there are */
    { F32, H(4, 2), N(210, 210), D(64, 64), PATTERN(LONGFORMER, .radius = 30, TOKENS(2, 0, 150)), SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(LONGFORMER, .radius = 0, TOKENS(1, 77)), .q_lens = q_many, .lens = k_many, CAUSAL, SPARE },
    { F32, H(4, 2), N(150, 210), D(64, 64), PATTERN(SINK_WINDOW, .window = 50, .sinks = 4), CAUSAL, SLOW },
    { F32, .B = 4, H(8, 2), N(1, 210), D(64, 64), PATTERN(SINK_WINDOW, .window = 20, .sinks = 4), .lens = k_many, .sinks = 1, .page = 30 },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(SINK_WINDOW, .window = 0, .sinks = 70), PER_BATCH(apart), SPARE },
    { F32, .B = 4, H(4, 2), N(150, 210), D(64, 64), PATTERN(PREFIX), .q_lens = q_many, .lens = k_many, SLOW },
    { F32, .B = 3, H(2, 1), N(70, 210), D(64, 64), PATTERN(PREFIX), TOP, WINDOW(-1, 90) },
    { F32, H(4, 2), N(150, 210), D(64, 64), PATTERN(CHUNKED, .chunk = 70), CAUSAL, SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(CHUNKED, .chunk = 9), PER_BATCH(apart), .bias = "hqk" },
    { F16, .memory = SWAPPED, .B = 2, H(2, 1), N(70, 210), D(40, 40), PATTERN(CHUNKED, .chunk = 1), .alibi = CLATTN_ALIBI_HEAD, SPARE },
    { F32, .B = 2, H(4, 2), N(210, 210), D(64, 64), PATTERN(DOCUMENT), CAUSAL, SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(DOCUMENT), .lens = k_many, PER_BATCH(apart) },
    { BF16, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(DOCUMENT), .q_lens = q_many, .lens = k_many, SPARE },
    { F32, H(4, 2), N(210, 210), D(64, 64), PATTERN(NEIGHBORHOOD, GRID1(210, 31)), SLOW },
    { F32, H(4, 2), N(210, 210), D(64, 64), PATTERN(NEIGHBORHOOD, GRID2(15, 14, 5, 7)), SLOW },
    { F32, .B = 2, H(2, 1), N(210, 210), D(64, 64), PATTERN(NEIGHBORHOOD, GRID3(5, 6, 7, 3, 3, 5), .causal = { 1, 0, 0 }) },
    { F32, H(2, 1), N(210, 210), D(64, 64), PATTERN(NEIGHBORHOOD, GRID2(14, 15, 3, 3), .dilation = { 4, 5 }) },
    { F32, H(2, 1), N(210, 210), D(64, 64), PATTERN(NEIGHBORHOOD, GRID2(14, 15, 5, 3), .dilation = { 2, 2 }, .causal = { 0, 1 }), SPARE },
    { F32, H(2, 1), N(210, 210), D(64, 64), PATTERN(NEIGHBORHOOD, GRID1(210, 21), .dilation = { 10 }, .causal = { 1 }), CAUSAL, SPARE },
    { F32, H(8, 2), N(2, 210), D(64, 64), PATTERN(NEIGHBORHOOD, GRID3(6, 7, 5, 3, 1, 5), .dilation = { 2, 7, 1 }), TOP, SPARE },
    { F32, H(2, 1), N(65, 65), D(64, 64), PATTERN(NEIGHBORHOOD, GRID2(5, 13, 5, 13)), AT(-9), SPARE },
    { F16, .B = 2, H(2, 1), N(210, 210), D(40, 40), PATTERN(NEIGHBORHOOD, GRID3(3, 7, 10, 3, 3, 9)), .sinks = 1, SPARE },
    { F32, H(4, 2), N(216, 216), D(64, 64), PATTERN(WINDOW2D, GRID2(12, 18, 4, 6), .shift = { 2, 3 }), SLOW },
    { F32, .B = 2, H(2, 1), N(216, 216), D(64, 64), PATTERN(WINDOW2D, GRID2(12, 18, 4, 6)), .bias = "hqk" },
    { F32, H(2, 1), N(100, 216), D(64, 64), PATTERN(WINDOW2D, GRID2(18, 12, 9, 2), .shift = { -4, 13 }), SPARE },
    { F32, H(4, 2), N(210, 210), D(64, 64), PATTERN(BLOCK_SPARSE, .block = 16, .layout = { 2 }), CAUSAL, SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(BLOCK_SPARSE, .block = 11), .q_lens = q_many, .lens = k_many },
    { F32, .B = 4, H(4, 2), N(70, 210), D(64, 64), PATTERN(BLOCK_SPARSE, .block = 32, .layout = { 2, 5, 4 }), PER_BATCH(apart), SPARE },
    { BF16, H(8, 2), N(1, 210), D(64, 64), PATTERN(BLOCK_SPARSE, .block = 3, .layout = { 2 }), SPARE },
    { F32, H(4, 2), N(150, 210), D(64, 64), PATTERN(CSR, .degree = 12), SLOW },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(CSR, .degree = 60, .row_heads = 2), CAUSAL },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(CSR, .degree = 25), .q_lens = q_many, .lens = k_many, SPARE },
    { F32, .B = 4, H(8, 2), N(3, 210), D(64, 64), PATTERN(CSR, .degree = 40), PER_BATCH(apart), .lens = k_many, .weights = CLATTN_WEIGHTS_BIASED, SPARE },
    { F16, H(2, 1), N(33, 65), D(40, 40), PATTERN(CSR, .degree = 0), SPARE },
    { BF16, H(4, 2), N(40, 4200), D(128, 120), PATTERN(CSR, .degree = 200), .softcap = 3, SPARE }, /* by bands */
    { F32, H(4, 2), N(150, 210), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 32, 40 }, .list_heads = 2) }, /* Mesa's compiler crashes on it */
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 16, 24 }, .list_batch = 2, .list_heads = 2), CAUSAL, .mod = 1 },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 11, 7 }, .list_batch = 2), .q_lens = q_many, .lens = k_many },
    { F32, .B = 4, H(8, 2), N(3, 210), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 1, 16 }, .list_heads = 2), PER_BATCH(apart), .lens = k_many, .mod = 1,
      .weights = CLATTN_WEIGHTS_BIASED, SPARE },
    { BF16, H(8, 2), N(1, 210), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 64, 3 }, .longest = { -1 }), .mod = 1, .page = 30, SPARE },
    { F16, .B = 2, H(2, 1), N(70, 129), D(40, 40), PATTERN(BLOCK_MASK, .block_size = { 16, 128 }, .longest = { 0, -1 }), .mod = 1, WINDOW(60, 9), SPARE },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 40, 1 }, .longest = { 3, 90 }), .mask = "bk", DROPOUT(0.25), SPARE },
    { F32, H(2, 1), N(33, 65), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 200, 200 }), AT(-10), .mod = 1, .bias = "hqk", SPARE },
    { F32, H(2, 1), N(33, 65), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 4, 9 }, .longest = { -1, -1 }), .sinks = 1, SPARE },
    { F32, .B = 4, H(8, 2), N(1, 300), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 1, 32 }, .list_batch = 2), .shared = 250, .lens = few, .mod = 1, SPARE },
    { F32, .B = 2, H(4, 2), N(5, 0), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 2, 2 }), SPARE },
    { F32, .B = 2, H(4, 2), N(0, 5), D(64, 64), PATTERN(BLOCK_MASK, .block_size = { 2, 2 }), SPARE },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(ADAPTIVE_SPAN, .ramp = 16), CAUSAL, SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(ADAPTIVE_SPAN, .ramp = 1), .q_lens = q_many, .lens = k_many },
    { F32, .B = 4, H(8, 2), N(2, 210), D(64, 64), PATTERN(ADAPTIVE_SPAN, .ramp = 64), PER_BATCH(apart), .softcap = 3, .sinks = 1, SPARE },
    { F16, H(2, 1), N(70, 129), D(40, 40), PATTERN(ADAPTIVE_SPAN, .ramp = 8), WINDOW(30, 9), .weights = CLATTN_WEIGHTS_PROBS, SPARE },
    { F32, H(4, 2), N(150, 210), D(64, 64), PATTERN(UNION, .of = { LEAF(STRIDED, .stride = 20), LEAF(GLOBAL, TOKENS(2, 7, 190)) }), WINDOW(-1, 0), SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), .q_lens = q_many, .lens = k_many,
      PATTERN(INTERSECT, .of = { LEAF(CHUNKED, .chunk = 50), LEAF(FIXED, .stride = 10, .summary = 2), LEAF(DILATED, .width = 40) }) },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), DROPOUT(0.25), .mask = "bk",
      PATTERN(UNION, .of = { LEAF(INTERSECT, .of = { LEAF(CHUNKED, .chunk = 64), LEAF(BLOCK_SPARSE, .block = 8, .layout = { 2 }) }),
                             LEAF(RANDOM, .count = 5, .seed = 8), LEAF(UNION, .of = { LEAF(CSR, .degree = 3), LEAF(GLOBAL, TOKENS(1, 66)) }),
                             LEAF(INTERSECT, .of = { LEAF(DOCUMENT), LEAF(DILATED, .width = 5, .dilation = { 3 }) }) }) },
    { F32, H(2, 1), N(150, 210), D(64, 64), PATTERN(INTERSECT, .of = { LEAF(STRIDED, .stride = 1) }), SPARE },
    { F32, H(8, 2), N(2, 210), D(64, 64), SPARE,
      PATTERN(UNION, .of = { LEAF(RANDOM, .count = 9, .seed = 1), LEAF(RANDOM, .count = 9, .seed = 2), LEAF(BIGBIRD, .block = 9, .random = 2, .seed = 7) }) },
    { F32, H(2, 1), N(33, 65), D(64, 64), SPARE, PATTERN(INTERSECT, .of = { LEAF(GLOBAL, TOKENS(1, 3)), LEAF(GLOBAL, TOKENS(1, 4)) }) },
    { F32, .B = 2, H(4, 2), N(5, 0), D(64, 64), PATTERN(STRIDED, .stride = 3), SPARE },
    { F32, .B = 2, H(4, 2), N(0, 5), D(64, 64), PATTERN(RANDOM, .count = 3), SPARE },
    { F32, .B = -1, N(5, 5), D(64, 64), PATTERN(PREFIX), SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(CHUNKED, .chunk = 20), .mod = 1, SPARE },
    { F32, .B = 2, H(2, 1), N(150, 700), D(64, 64), PATTERN(STRIDED, .stride = 90), .tiles = TILES, CAUSAL, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(DILATED, .width = 9, .dilation = { 2 }), .kv_format = CLATTN_KV_Q8_0, .rope = 64, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), PATTERN(SINK_WINDOW, .window = 20, .sinks = 3), .page = 16, .lens = grown, .new_len = 3, CAUSAL, SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), PATTERN(RANDOM, .count = 20, .seed = 4), .lens = grown, .new_len = 3, CAUSAL, SPARE },
    { F32, .B = 4, H(8, 2), N(1, 300), D(64, 64), PATTERN(STRIDED, .stride = 9), .shared = 250, .lens = few, SPARE },
    { F32, .B = 4, H(8, 2), N(1, 300), D(64, 64), PATTERN(FIXED, .stride = 25, .summary = 1), .split = 64, .lens = few, SPARE },
    { F32, .B = 2, H(4, 2), N(3, 60), D(1, 8), PATTERN(CSR, .degree = 5), .score = CLATTN_GAT, SPARE },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(CSR, .degree = 25, .edge_heads = 2), SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(CSR, .degree = 60, .edge_heads = 1), .q_lens = q_many, .lens = k_many, .softcap = 3, SPARE },
    { F32, .B = 4, H(8, 2), N(3, 210), D(64, 64), PATTERN(CSR, .degree = 40, .row_heads = 2, .edge_heads = 1), PER_BATCH(apart), .lens = k_many,
      .weights = CLATTN_WEIGHTS_BIASED, SPARE },
    { F16, .B = 2, H(4, 2), N(33, 65), D(40, 40), CAUSAL, .bias = "hqk", SPARE,
      PATTERN(UNION, .of = { LEAF(CHUNKED, .chunk = 9), LEAF(CSR, .degree = 6, .edge_heads = 2) }) },
    { F32, .B = 2, H(4, 2), N(3, 60), D(1, 8), PATTERN(CSR, .degree = 5, .edge_heads = 2), .score = CLATTN_GAT, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(20, 20), PATTERN(CHUNKED, .chunk = 9), .score = CLATTN_ADDITIVE, SPARE },
    { F32, H(1, 1), N(1, 3000), D(64, 64), PATTERN(STRIDED, .stride = 256), CAUSAL, SPARE },
};

/* What chooses: by hashes, by scores, by blocks; where a position decides which blocks there are, too. */
static const struct shape choices[] = {
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(LSH, .rounds = 2, .buckets = 8), CAUSAL, SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(LSH, .rounds = 1, .buckets = 2), .q_lens = q_many, .lens = k_many },
    { F16, .B = 2, H(8, 2), N(2, 210), D(40, 40), PATTERN(LSH, .rounds = 4, .buckets = 34), .page = 30, SPARE },
    { BF16, .memory = TURNED, .B = 2, H(2, 1), N(70, 129), D(64, 64), PATTERN(LSH, .rounds = 3, .buckets = 16), .lens = two, SPARE },
    { F32, .memory = SHARED, .B = 3, H(2, 1), N(33, 65), D(65, 64), PATTERN(LSH, .rounds = 2, .buckets = 6), SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), PATTERN(LSH, .rounds = 2, .buckets = 6), .lens = grown, .new_len = 3, SPARE },
    { F32, H(2, 1), N(150, 210), D(64, 64), .scale = 1, SPARE,
      PATTERN(INTERSECT, .of = { LEAF(LSH, .rounds = 2, .buckets = 4), LEAF(DILATED, .width = 60), LEAF(BLOCK_TOP_K, .block = 32, .count = 4) }) },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 16, .count = 3, .own = 1), CAUSAL, SLOW },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 16, .count = 3), CAUSAL },
    { F32, H(2, 2), N(300, 4096), D(16, 16), PATTERN(BLOCK_TOP_K, .block = 1, .count = 3) }, /* more rows than there is memory for their scores */
    { F32, H(6, 2), N(200, 1024), D(4, 4), PATTERN(BLOCK_TOP_K, .block = 1, .count = 900) }, /* or for who picked what */
    { F32, H(1, 1), N(150, 210), D(16, 16), PATTERN(LSH, .rounds = 2, .buckets = 8), CAUSAL }, /* four chunks on two cores */
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 13, .count = 4, .own = 1), .q_lens = q_many, .lens = k_many },
    { F32, .B = 4, H(2, 1), N(70, 210), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 30, .count = 2), .page = 30, .lens = k_many, PER_BATCH(apart), SPARE },
    { F32, .B = 4, H(2, 1), N(70, 210), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 8, .count = 5, .own = 1), .lens = k_many, PER_BATCH(apart), CAUSAL, SPARE },
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 32, .count = 2), CAUSAL }, /* the own block is out, though causality hides nothing */
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 32, .count = 2), WINDOW(-1, 0), SPARE }, /* that is not .causal */
    { F32, .B = 2, H(8, 2), N(2, 210), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 64, .count = 0, .own = 1), SPARE },
    { F32, .B = 2, H(8, 2), N(2, 210), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 7, .count = 100), .scale = -0.5, SPARE },
    { F16, .B = 2, H(4, 2), N(70, 129), D(40, 40), PATTERN(BLOCK_TOP_K, .block = 5, .count = 9, .own = 1), .softcap = 3, .bias = "hk", SPARE },
    { BF16, .memory = GAPPED, .B = 2, H(4, 2), N(70, 129), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 1, .count = 20), SPARE },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 6, .count = 4), .lens = grown, .new_len = 3, .rope = 32, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 80), D(64, 64), PATTERN(BLOCK_TOP_K, .block = 6, .count = 4), .kv_format = CLATTN_KV_Q8_0, SPARE },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(RANDOM, .count = 24, .seed = 5), WINDOW(-1, 0), SPARE }, /* drawn among all */
};

/* Those that look at final scores. */
static const struct shape best[] = {
    { F32, .B = 2, H(4, 2), N(70, 210), D(64, 64), PATTERN(TOP_K, .k = 12), CAUSAL, SLOW },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(TOP_K, .k = 70), .q_lens = q_many, .lens = k_many },
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), PATTERN(TOP_K, .k = 33) },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_K, .k = 5), .repeats = 9 }, /* ties, in each row */
    { F32, .B = 2, H(8, 2), N(2, 210), D(64, 64), PATTERN(TOP_K, .k = 40), .repeats = 50, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_K), .sinks = 1, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_K, .k = 65), WINDOW(9, 20), SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_K, .k = 7), .bias = "bhqk", .mask = "bk", .softcap = 3, .alibi = CLATTN_ALIBI_HEAD },
    { F16, .B = 2, H(4, 2), N(70, 129), D(40, 40), PATTERN(TOP_K, .k = 20), .page = 3, DROPOUT(0.25), SPARE },
    { BF16, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_K, .k = 9), .weights = CLATTN_WEIGHTS_PROBS, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_K, .k = 9), .kv_format = CLATTN_KV_Q8_0, .rope = 64, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(1, 8), PATTERN(TOP_K, .k = 6), .score = CLATTN_GAT, SPARE },
    { F32, .B = 2, H(4, 2), N(70, 210), D(64, 64), PATTERN(TOP_P, .p = 0.9), SLOW },
    { F32, .B = 2, H(4, 2), N(70, 210), D(64, 64), PATTERN(TOP_P, .p = 0.5, .max = 9), CAUSAL },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_P), .sinks = 1 }, /* p 0: no key */
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_P), .lens = two, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_P, .p = 1), CAUSAL },
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), PATTERN(TOP_P, .p = 1, .max = 4), SPARE },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(TOP_P, .p = 0.75), .q_lens = q_many, .lens = k_many, .scale = 1 },
    { F32, .B = 2, H(8, 2), N(1, 300), D(64, 64), PATTERN(TOP_P, .p = 0.95), .scale = 0.5, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_P, .p = 0.3, .max = 1), .mask = "bqk", SPARE },
    { F16, .B = 2, H(4, 2), N(70, 129), D(40, 40), PATTERN(TOP_P, .p = 0.8), .lens = two, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), PATTERN(TOP_P, .p = 0.6), .repeats = 9, WINDOW(20, 3), SPARE },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(HIERARCHICAL, .block = 16), CAUSAL, SLOW },
    { F32, .B = 2, H(4, 2), N(150, 210), D(64, 64), PATTERN(HIERARCHICAL, .block = 13) },
    { F32, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(HIERARCHICAL, .block = 40), .q_lens = q_many, .lens = k_many, CAUSAL },
    { F32, .B = 4, H(8, 2), N(2, 210), D(64, 64), PATTERN(HIERARCHICAL, .block = 32), .lens = k_many, PER_BATCH(apart), SPARE },
    { F16, .B = 2, H(4, 2), N(70, 129), D(40, 40), PATTERN(HIERARCHICAL, .block = 5), .sinks = 1, .softcap = 3, SPARE },
    { BF16, .memory = GAPPED, .B = 2, H(4, 2), N(70, 129), D(64, 32), PATTERN(HIERARCHICAL, .block = 1), CAUSAL, SPARE },
    { F32, .B = 2, H(4, 2), N(33, 60), D(64, 64), PATTERN(HIERARCHICAL, .block = 100), .page = 20, SPARE },
};

/* Every kernel and every mask once, with as little work as can be. */
static const struct shape tiny[] = {
    { F32, H(2, 1), N(5, 9), D(8, 8), CAUSAL, .reach = TINY },
    { F32, H(2, 1), N(9, 5), D(8, 8), CAUSAL, .reach = TINY },
    { F32, .memory = GAPPED, .B = 2, N(3, 6), D(8, 8), .reach = TINY },
    { F32, N(6, 6), D(8, 8), WINDOW(2, 1), .reach = TINY },
    { F32, H(4, 1), N(1, 35), D(8, 8), .reach = TINY },
    { F32, H(2, 1), N(5, 9), D(8, 8), CAUSAL, .algo = "tiled", .reach = TINY }, /* these as on a GPU, the others in small groups */
    { F32, H(2, 1), N(5, 9), D(8, 8), CAUSAL, .algo = "rows", .reach = TINY },
    { F32, H(2, 1), N(1, 300), D(8, 8), .algo = "split", .reach = TINY }, /* two parts */
    { F32, N(3, 0), D(8, 8), .reach = TINY },
    { F32, H(2, 1), N(5, 9), D(8, 8), CAUSAL, .softcap = 2, .reach = TINY },
    { F32, H(2, 1), N(1, 9), D(8, 8), .softcap = 2, .reach = TINY },
    { F32, .B = 2, H(2, 1), N(5, 9), D(8, 8), .softcap = 2, .bias = "bhqk", .mask = "qk", .alibi = CLATTN_ALIBI_HEAD, .sinks = 1,
      .lens = two, .shorter = 2, CAUSAL, .reach = TINY },
    { F32, .B = 2, H(2, 1), N(1, 9), D(8, 8), .softcap = 2, .bias = "bhqk", .mask = "bk", .alibi = CLATTN_ALIBI_HEAD, .sinks = 1,
      .lens = two, .reach = TINY },
    { F32, .B = 3, H(2, 1), N(3, 5), D(8, 8), .q_lens = q_tiny, .lens = k_tiny, CAUSAL, .reach = TINY },
    { F32, .B = 2, H(2, 1), N(3, 10), D(8, 8), .page = 2, .lens = two, .new_len = 2, .weights = CLATTN_WEIGHTS_PROBS, CAUSAL, .reach = TINY },
    { F32, .B = 2, H(2, 1), N(3, 5), D(32, 32), .kv_format = CLATTN_KV_Q4_0, .rope = 32, .reach = TINY },
    { F32, H(2, 1), N(1, 21), D(64, 32), .kv_format = CLATTN_KV_Q4_0, .reach = TINY }, /* as they are (ca_is_fused), and asked for ahead */
    { F32, H(2, 1), N(1, 21), D(16, 16), .kv_format = CLATTN_KV_INT8, BY_KEY, .zeroless = 1, .reach = TINY },
    { F32, .B = 2, H(2, 1), N(3, 5), D(5, 5), .score = CLATTN_ADDITIVE, .score_ws = 5, .reach = TINY },
    { F32, .B = 2, H(2, 1), N(3, 5), D(1, 5), .score = CLATTN_GAT, .reach = TINY },
    { F32, H(2, 1), N(3, 5), D(8, 8), .mod = 1, .reach = TINY },
    { F32, .B = 2, H(2, 1), N(5, 9), D(8, 8), DROPOUT(0.25), CAUSAL, .reach = TINY },
    { F32, H(2, 1), N(1, 35), D(8, 8), DROPOUT(0.25), .reach = TINY },
    { F32, H(2, 1), N(5, 205), D(8, 8), .tiles = TILES, .reach = TINY },
    { F32, H(2, 1), N(5, 9), D(8, 8), CAUSAL, .reach = TINY,
      PATTERN(UNION, .of = { LEAF(STRIDED, .stride = 3), LEAF(RANDOM, .count = 2, .seed = 1), LEAF(CSR, .degree = 1, .edge_heads = 2),
                             LEAF(BLOCK_SPARSE, .block = 2) }) },
    { F32, H(2, 1), N(1, 35), D(8, 8), .reach = TINY,
      PATTERN(UNION, .of = { LEAF(BIGBIRD, .block = 4, .random = 1), LEAF(LSH, .rounds = 1, .buckets = 4), LEAF(BLOCK_TOP_K, .block = 4, .count = 2) }) },
    { F32, .B = 2, H(2, 1), N(5, 9), D(8, 8), PATTERN(BLOCK_MASK, .block_size = { 2, 2 }, .list_batch = 2, .list_heads = 2), .mod = 1, .reach = TINY },
    { F32, H(2, 1), N(18, 18), D(8, 8), PATTERN(STRIDED, .stride = 2), CAUSAL, .algo = "lanes", .reach = TINY }, /* two passes */
    { F32, N(20, 20), D(8, 8), PATTERN(NEIGHBORHOOD, GRID2(5, 4, 3, 3)), .algo = "lanes", .reach = TINY },
    { F32, .memory = SPREAD, N(3, 5), D(5, 3), CAUSAL, .reach = TINY },
    { F16, .B = 2, N(3, 5), D(8, 8), CAUSAL, PER_BATCH(shifted), .reach = TINY },
    { BF16, .memory = GAPPED, N(5, 5), D(5, 3), .reach = TINY },
    { F32, H(2, 1), N(5, 9), D(8, 8), CAUSAL, .algo = "tiled", .params = "rm=1 rn=2 tx=4 ty=2 dc=4 vc=4 keepq=1 ahead=1", .reach = TINY },
    { F16, H(2, 1), N(5, 9), D(8, 8), CAUSAL, .rounded = 1, .algo = "matrix", .params = "layout=1 gx=2 gy=1 bn=16", .reach = TINY },
    { BF16, N(9, 5), D(5, 3), CAUSAL, .rounded = 1, .algo = "matrix", .params = "layout=2 gx=1 gy=1 bn=16", .reach = TINY }, /* layouts with vectors of 8 crash Oclgrind */
};

/* Chunks that are fetched ahead, into two buffers, and rows whose items shuffle, where they can. */
#define AHEAD .algo = "tiled", .params = "rm=2 rn=4 tx=8 ty=4 dc=16 vc=8 keepq=1 ahead=1"
#define SHUFFLED .algo = "tiled", .params = "rm=2 rn=4 tx=8 ty=4 dc=16 vc=8 keepq=1 shuffle=1"
static const struct shape buffers[] = {
    { F32, H(2, 1), N(65, 129), D(64, 64), CAUSAL, AHEAD },
    { F32, .B = 2, H(4, 2), N(33, 65), D(3, 5), AHEAD },
    { F16, .memory = GAPPED, H(2, 1), N(70, 200), D(128, 128), WINDOW(40, 3), AHEAD },
    { BF16, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(63, 64), .mask = "bqk", AHEAD },
    { F32, .B = 4, H(4, 2), N(33, 80), D(64, 96), .page = 16, .lens = some, .softcap = 3, .sinks = 1, AHEAD },
    { F32, .B = 4, H(4, 2), N(9, 80), D(40, 40), .q_lens = (const int32_t[]){ 9, 1, 0, 2 }, .lens = some, CAUSAL, AHEAD },
    { F32, .B = 2, H(4, 2), N(33, 65), D(64, 64), DROPOUT(0.25), AHEAD },
    { F32, .B = 2, H(4, 2), N(70, 129), D(64, 64), PATTERN(DILATED, .width = 15, .dilation = { 4 }), AHEAD },
    { F16, .B = 2, H(4, 2), N(9, 65), D(64, 64), .kv_format = CLATTN_KV_Q4_0, .rope = 32, AHEAD },
    { F32, H(2, 1), N(65, 129), D(64, 64), CAUSAL, SHUFFLED },
    { F16, .B = 4, H(4, 2), N(33, 80), D(40, 40), .lens = some, .softcap = 3, .sinks = 1, .mask = "bqk", SHUFFLED },
    { F32, H(2, 1), N(65, 129), D(64, 64), WINDOW(40, 3), .algo = "tiled", .params = "rm=2 rn=4 tx=16 ty=4 dc=16 vc=8 keepq=1 ahead=1 shuffle=1" },
};

/* Weights that may be rounded to the storage type. */
static const struct shape roundings[] = {
    { BF16, H(2, 1), N(65, 129), D(64, 64), CAUSAL, .rounded = 1 },
    { BF16, .B = 2, H(4, 2), N(33, 65), D(3, 5), .rounded = 1, SPARE },
    { BF16, .memory = GAPPED, H(2, 1), N(70, 200), D(128, 128), .rounded = 1, SPARE },
    { BF16, .memory = TURNED, .B = 2, H(4, 2), N(33, 65), D(63, 64), WINDOW(9, 4), .rounded = 1, SPARE },
    { BF16, .B = 4, H(8, 2), N(1, 300), D(64, 64), .lens = some, .rounded = 1, SPARE },
    { BF16, .B = 4, H(4, 2), N(33, 80), D(64, 96), .page = 16, .lens = some, .softcap = 3, .sinks = 1, .rounded = 1, SPARE },
    { BF16, .B = 2, H(4, 2), N(33, 65), D(64, 64), DROPOUT(0.25), .mask = "bqk", .rounded = 1, SPARE },
    { BF16, .B = 2, H(4, 2), N(70, 129), D(64, 64), PATTERN(DILATED, .width = 15, .dilation = { 4 }), .rounded = 1, SPARE },
    { BF16, .B = 4, H(2, 1), N(150, 210), D(64, 64), PATTERN(DOCUMENT), .q_lens = q_many, .lens = k_many, .bias = "hk", .rounded = 1, SPARE },
    { F16, H(2, 1), N(33, 65), D(64, 64), CAUSAL, .rounded = 1, SLOW }, /* for matrix from here on, which no list but this one has */
    { F16, .B = 2, H(4, 2), N(33, 65), D(40, 72), .rounded = 1 },
    { F16, .memory = GAPPED, H(2, 1), N(70, 200), D(128, 128), WINDOW(40, 9), TOP, .rounded = 1 },
    { F16, .memory = TURNED, .B = 2, H(4, 2), N(65, 33), D(17, 5), CAUSAL, .scale = 3, .rounded = 1 }, /* rows without a key */
    { F16, .B = 4, H(4, 2), N(33, 65), D(64, 64), CAUSAL, PER_BATCH(mixed), .alibi = CLATTN_ALIBI_HEAD, .rounded = 1 },
    { F16, .B = 4, H(4, 2), N(33, 65), D(64, 64), .lens = some, WINDOW(9, 4), .sinks = 1, .softcap = 3, .rounded = 1 },
    { F16, .B = 4, H(4, 2), N(33, 80), D(40, 40), .q_lens = q_some, .page = 16, .lens = some, CAUSAL, .rounded = 1 },
    { BF16, .B = 4, H(4, 2), N(33, 65), D(64, 64), .q_lens = q_some, .lens = some, CAUSAL, .rounded = 1 },
    { BF16, .memory = SPREAD, .B = 2, H(8, 1), N(3, 300), D(100, 128), .rounded = 1 },
    { BF16, .memory = GAPPED, .B = 4, H(4, 2), N(33, 80), D(64, 64), .page = 16, .lens = grown, .new_len = 3, .weights = CLATTN_WEIGHTS_PROBS, .rounded = 1 },
    { F32, H(2, 1), N(33, 65), D(64, 64), CAUSAL, .rounded = 1, SPARE },
};

#define LIST(name) { #name, name, sizeof name / sizeof *name }
static const struct list { const char *name; const struct shape *shape; int count; } lists[] = {
    LIST(dims), LIST(lengths), LIST(memories), LIST(masks), LIST(tiny), LIST(scores),
    LIST(storages), LIST(weights), LIST(elements), LIST(mods), LIST(dropouts), LIST(prefixes),
    LIST(patterns), LIST(choices), LIST(best), LIST(roundings), LIST(buffers),
};

/* For each algorithm: how often it ran, and the largest share of the bound that it used. */
static struct tally { const char *name; int runs; double worst; } tallies[CA_MAX_CANDIDATES];

static void count_run(const char *name, double excess)
{
    struct tally *t = tallies;
    while (t->name && strcmp(t->name, name)) t++;
    t->name = name;
    t->runs++;
    t->worst = fmax(t->worst, excess);
}

/* By all algorithms and by the planner's choice, or by one of these, number TURN. */
static void run_shape(const struct shape *given, int turn)
{
    struct shape s = shape_full(*given);
    const char *names[CA_MAX_CANDIDATES];
    struct data d;
    struct oracle o;
    struct result r;
    if (!data_draw(&s, 42, &d)) return;
    bool planned = s.reach != TINY && s.tiles < TILES_NONE && !s.algo; /* a simulator has time for each algorithm once */
    size_t n = attend_algos(&s, names), ways = n + planned;
    if (attend_oracle(&s, &d, &o)) {
        for (size_t k = 0; k < ways; k++) {
            size_t i = turn < 0 ? k : ((size_t)turn + k) % ways;
            const char *name = i >= n ? "the planner's choice" : s.algo ? names[i] : attend_small(names[i]);
            if (s.tiles >= TILES_NONE && !strcmp(name, "gemm")) continue; /* it asks no tile_class and is not misled */
            if (i < n ? attend_thoroughly(&s, name, &d, &r) : attend(&s, NULL, &d, &r)) count_run(name, attend_judge(&s, name, &o, &r));
            result_free(&r);
            if (turn >= 0) break;
        }
        oracle_free(&o);
    }
    data_free(&d);
}

/* Devices share shapes: each has kernels of its own, which takes compilers seconds. */
static void run_list(const struct list *l, int i)
{
    if (!attend_wants(&l->shape[i]) || !in_share((unsigned)i)) return;
    const char *turns = getenv("CLATTN_TURNS");
    run_shape(&l->shape[i], turns ? atoi(turns) + i : -1);
    int bad = failures();
    ck_assert_msg(bad == 0, "%s[%d]: %d failures", l->name, i, bad);
}

START_TEST(test_dims) { run_list(&lists[0], _i); } END_TEST
START_TEST(test_lengths) { run_list(&lists[1], _i); } END_TEST
START_TEST(test_memories) { run_list(&lists[2], _i); } END_TEST
START_TEST(test_masks) { run_list(&lists[3], _i); } END_TEST
START_TEST(test_tiny) { run_list(&lists[4], _i); } END_TEST
START_TEST(test_scores) { run_list(&lists[5], _i); } END_TEST
START_TEST(test_storages) { run_list(&lists[6], _i); } END_TEST
START_TEST(test_weights) { run_list(&lists[7], _i); } END_TEST
START_TEST(test_elements) { run_list(&lists[8], _i); } END_TEST
START_TEST(test_mods) { run_list(&lists[9], _i); } END_TEST
START_TEST(test_dropouts) { run_list(&lists[10], _i); } END_TEST
START_TEST(test_prefixes) { run_list(&lists[11], _i); } END_TEST

START_TEST(test_patterns) { run_list(&lists[12], _i); } END_TEST
START_TEST(test_choices) { run_list(&lists[13], _i); } END_TEST
START_TEST(test_best) { run_list(&lists[14], _i); } END_TEST
START_TEST(test_roundings) { run_list(&lists[15], _i); } END_TEST
START_TEST(test_buffers) { run_list(&lists[16], _i); } END_TEST

/* What a tile_class that knows nothing changes: nothing. */
START_TEST(test_unknowing)
{
    const struct shape s[2] = { shape_full(tiled[_i][0]), shape_full(tiled[_i][1]) };
    const char *names[CA_MAX_CANDIDATES];
    struct data d;
    if (!attend_wants(&s[0]) || !data_draw(&s[0], 42, &d)) return;
    size_t n = attend_algos(&s[0], names);
    for (size_t i = 0; i < n; i++) {
        struct result r[2];
        if (!in_share((unsigned)i + (unsigned)_i)) continue;
        bool ok = attend(&s[0], names[i], &d, &r[0]);
        if (attend(&s[1], names[i], &d, &r[1]) && ok) expect_same(&s[1], names[i], &r[0], &r[1], "other bits than without tile_class");
        result_free(&r[0]);
        result_free(&r[1]);
    }
    data_free(&d);
    ck_assert_int_eq(failures(), 0);
}
END_TEST

/* Every algorithm that the device could use did run. */
START_TEST(test_all_ran)
{
    for (struct tally *t = tallies; t->name; t++)
        printf("%-6s %3d problems, at most %.2f of the bound\n", t->name, t->runs, t->worst);
    ck_assert_msg(tallies[0].name != NULL, "nothing ran");
    if (getenv("CLATTN_REQUIRE_ALGOS")) { /* "lanes,rows": what this device has to have */
        char *wanted = strdup(getenv("CLATTN_REQUIRE_ALGOS"));
        for (char *name = strtok(wanted, ", "); name; name = strtok(NULL, ", ")) {
            bool ran = false;
            for (struct tally *t = tallies; t->name; t++) ran = ran || !strcmp(t->name, name);
            ck_assert_msg(ran, "%s ran nowhere", name);
        }
        free(wanted);
    }
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        { "dims", test_dims, lists[0].count }, { "lengths", test_lengths, lists[1].count },
        { "memories", test_memories, lists[2].count }, { "masks", test_masks, lists[3].count },
        { "tiny", test_tiny, lists[4].count }, { "scores", test_scores, lists[5].count },
        { "storages", test_storages, lists[6].count }, { "weights", test_weights, lists[7].count },
        { "elements", test_elements, lists[8].count }, { "mods", test_mods, lists[9].count },
        { "dropouts", test_dropouts, lists[10].count }, { "prefixes", test_prefixes, lists[11].count },
        { "patterns", test_patterns, lists[12].count }, { "choices", test_choices, lists[13].count },
        { "best", test_best, lists[14].count }, { "roundings", test_roundings, lists[15].count }, { "buffers", test_buffers, lists[16].count }, { "unknowing", test_unknowing, sizeof tiled / sizeof *tiled },
        { "all_ran", test_all_ran, 1 }, { NULL, NULL, 0 },
    };
    return run_tests("attention", tests);
}
