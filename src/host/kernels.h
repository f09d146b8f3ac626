/* kernels.h -- one storage type's kernels at one instruction-set level: the build compiles each of
 * flash_f32.c, flash_f16.c, flash_bf16.c once per level with -DISA=level. */
#include "host/tiles.h"

#define RB 16
#define DK 64
#define PACK RB
#include "decode.h"
#include "select.h"
#include "gather.h"
/* Up to three narrow tiles take less than a wide one. */
static int batch(const ca_args *A, const ca_optional *X, struct grouped *t, const ca_seq *seq, const stored *q, const stored *k, const stored *v, int D,
                 int Dv, int b, int h, int i0, const ca_int *row, int rows, const ca_int *list, int first, int keys, int round, int guarded, NODE_PARAMS)
{
    return (rows > 3 * VL ? batch_wide : batch_narrow)(A, X, t, seq, q, k, v, D, Dv, b, h, i0, row, rows, list, first, keys, round, guarded, NODE_ARGS);
}
#include "grouped.h"
#include "steps.h"
#include "prepare.h"

/* Bytes: the largest of what the three kernels cut out of it. */
static size_t scratch(const ca_args *a)
{
    size_t tile = tile_scratch(a), part = (RB * (size_t)(WHOLE(a->D) + WHOLE(a->Dv) + DK) + FEW * (size_t)WHOLE(a->D > a->Dv ? a->D : a->Dv)) * sizeof(float);
    return tile > part ? tile : part;
}

static void part_of_keys(HOST_PART_ARGS)
{
    vf *qv = scratch, *ov = qv + RB * (WHOLE(a->D) / VL);
    float *s = (float *)(ov + RB * (WHOLE(a->Dv) / VL));
    decode(a, x, q, k, v, po, pml, a->D, a->Dv, part, r0, hk, heads, b, qv, ov, s, s + RB * DK);
}

static void append_keys(const ca_args *a, const ca_optional *x, const void *k_new, const void *v_new, void *k, void *v, int b, int hk, int r)
{
    vf row[WHOLE(CA_MAX_DIM) / VL];
    append(a, x, k_new, v_new, k, v, a->D, a->Dv, b, hk, r, (float *)row);
}

static void weights_of(const ca_args *a, const ca_optional *x, const void *q, const void *k, float *weights, int b, int h, int i)
{
    vf qv[WHOLE(CA_MAX_DIM) / VL], s[DK / VL], key[WHOLE(CA_MAX_DIM) / VL]; /* no scratch that might be missing when the output is there already */
    weights_row(a, x, q, k, weights, a->D, b, h, i, qv, (float *)s, (float *)key);
}

/* Scores, or rows' sums and then their states. */
static size_t gather_bytes(const ca_args *a, const ca_optional *x, int rows, int band)
{
    if (ca_takes(x)) return (size_t)rows * (size_t)a->Nk * sizeof(float);
    return band < a->Nk ? (size_t)rows * ((size_t)WHOLE(a->Dv) * sizeof(float) + sizeof(struct row_state)) : 0;
}

static void gather_pack(const ca_args *a, const ca_optional *x, const void *q, const void *k, const void *v, void *o, float *lse, ca_int *spent,
                        int b, int h, int i, int rows, int band, void *memory)
{
    vf qv[PACK * WHOLE(CA_MAX_DIM) / VL], made[WHOLE(CA_MAX_DIM) / VL], ov[WHOLE(CA_MAX_DIM) / VL];
    const int several = band < a->Nk, EC = WHOLE(a->Dv) / VL;
    vf *sums = several ? memory : ov;
    struct row_state one, *r = several ? (struct row_state *)(sums + rows * EC) : &one;
    for (int n = 0; n < (several ? rows : 1); n++) r[n].o = sums + n * EC;
    gather_rows(a, x, q, k, v, o, lse, memory, spent, a->D, a->Dv, b, h, i, rows, band, r, qv, (float *)made);
}

/* Cuts MEMORY for ROWS rows, or with a null pointer just counts: its bytes. */
static size_t cut_grouped(struct grouped *t, float *memory, const ca_args *a, int rows, NODE_PARAMS)
{
    const size_t D = (size_t)WHOLE(a->D), Dv = (size_t)WHOLE(a->Dv), rounds = type == CA_LSH ? (size_t)n0 : 0, lanes = WIDE * VL;
    size_t size = 0;
#define CUT(name, type, count) t->name = memory ? (type *)(memory + size) : 0; size += count;
    CUT(qT, vf, lanes * D) CUT(oT, vf, lanes * Dv) CUT(p, vf, lanes * BK) CUT(picked, vi, lanes * rounds)
    CUT(made, float, D > Dv ? D : Dv) CUT(unpacked, float, BK * (D + Dv)) CUT(before, ca_int, rounds * BK)
#undef CUT
    if (memory) grouped_chunk(t, memory + size, a, rows, a->Dv, NODE_ARGS);
    return (size + (size_t)ca_chunk_words(rows, (ca_int)Dv, a->Nk, NODE_ARGS)) * sizeof(float);
}

static size_t grouped_bytes(const ca_args *a, const ca_optional *x, int rows)
{
    struct grouped t;
    return cut_grouped(&t, NULL, a, rows, FIRST_NODE(x));
}

static void grouped_rows_of(const ca_args *a, const ca_optional *x, const void *q, const void *k, const void *v, void *o, float *lse, int b, int h, int i,
                            int rows, void *memory)
{
    struct grouped t;
    cut_grouped(&t, memory, a, rows, FIRST_NODE(x));
    grouped(a, x, q, k, v, o, lse, a->D, a->Dv, b, h, i, rows, &t, FIRST_NODE(x));
}

static void prepare(const ca_args *a, const ca_optional *x, const ca_leaf *leaf, enum host_prepare what, ca_int *words, const void *from, int n, int rows)
{
    vf qv[AT_ONCE * WHOLE(CA_MAX_DIM) / VL];
    float row[WHOLE(CA_MAX_DIM)];
    for (int done; rows > 0; n += done, rows -= done) {
        done = 1;
        switch (what) {
        case HOST_BUCKET_Q:
        case HOST_BUCKET_K:
            if (rows >= AT_ONCE && bucket(a, x, leaf, words, from, what == HOST_BUCKET_K, a->D, n, AT_ONCE)) done = AT_ONCE;
            else bucket(a, x, leaf, words, from, what == HOST_BUCKET_K, a->D, n, 1);
            break;
        case HOST_CHOOSE:
            if (rows >= AT_ONCE && choose(a, x, leaf, words, from, a->D, n, qv, row, AT_ONCE)) done = AT_ONCE;
            else choose(a, x, leaf, words, from, a->D, n, qv, row, 1);
            break;
        case HOST_DRAW: draw(a, x, leaf, words, n); break;
        case HOST_MEAN_K: mean(a, x, leaf, words, from, 1, a->D, n, (float *)qv, row); break;
        case HOST_MEAN_V: mean(a, x, leaf, words, from, 0, a->Dv, n, (float *)qv, row); break;
        case HOST_SORT: sort(a, x, leaf, words, n); break;
        case HOST_LIST: list_blocks(x, leaf, words, n); break;
        }
    }
}

extern const struct host_kernels SYMBOL(ISA, TYPE);
const struct host_kernels SYMBOL(ISA, TYPE) = {
    .lanes = VL, .wide_rows = WIDE * VL, .narrow_rows = VL, .pack_rows = RB,
    .scratch = scratch, .wide = wide, .narrow = narrow, .part = part_of_keys,
    .append = append_keys, .weights = weights_of, .gather_bytes = gather_bytes, .gather = gather_pack, .grouped_bytes = grouped_bytes,
    .grouped = grouped_rows_of, .prepare = prepare,
};
