/* test_garbage.c -- numbers in device memory that nobody can look at before they are used: lengths, offsets, beginnings of
 * sequences, tables of pages.  Whatever they are, nothing outside of the tensors is read or written; a simulator that
 * watches every access (tests/oclgrind.device) sees the reads too. */
#include "optional.h"
#include "property.h"

/* ------------------------------------------------------------- one by one */

static ca_int sizes[] = { 0, 1, 2, 7, 64, 1000, 1 << 20, 1 << 30 };
static ca_int values[] = { INT32_MIN, INT32_MIN + 1, -(1 << 30), -65, -1, 0, 1, 3, 63, 999, 1 << 20, (1 << 30) - 1, 1 << 30,
                           (1 << 30) + 1, INT32_MAX - 1, INT32_MAX };
#define ANY(list, state) (list)[draw_below(state, sizeof list / sizeof *list)]

/* Every sequence lies within the tensors, and tells of no more keys than there are. */
START_TEST(sequences_stay_within)
{
    uint64_t state = 5;
    for (int n = 0; n < 200000; n++) {
        ca_int cu_q[4], cu_k[4], lens[3], qoff[3], page[2] = { 0, 4 };
        for (int b = 0; b < 4; b++) cu_q[b] = ANY(values, &state), cu_k[b] = ANY(values, &state);
        for (int b = 0; b < 3; b++) lens[b] = ANY(values, &state), qoff[b] = ANY(values, &state);
        ca_args a = { .B = 3, .Nq = ANY(sizes, &state), .Nk = ANY(sizes, &state), .Tq = ANY(sizes, &state), .Tk = ANY(sizes, &state),
                      .bottom_right = draw_below(&state, 2), .has_qoff = draw_below(&state, 2), .page_size = ANY(page, &state) };
        bool ragged = draw_below(&state, 2), own = ragged && !a.page_size;
        ca_optional x = { .qoff = qoff, .lens = draw_below(&state, 2) ? lens : NULL, .cu_q = ragged ? cu_q : NULL,
                          .cu_k = own ? cu_k : NULL };
        a.new_len = x.lens && !own && draw_below(&state, 2) ? a.Nk : 0;
        for (int b = 0; b < 3; b++) {
            const ca_seq s = ca_seq_of(&a, &x, b);
            ck_assert_msg(s.Nq >= 0 && s.Nq <= a.Nq && s.Nk >= 0 && s.Nk <= a.Nk, "%d queries of %d, %d keys of %d", s.Nq, a.Nq,
                          s.Nk, a.Nk);
            if (ragged) ck_assert_msg(s.q_row >= 0 && s.q_row <= a.Tq - s.Nq, "%d rows from %d of %d", s.Nq, s.q_row, a.Tq);
            if (own) ck_assert_msg(s.k_row >= 0 && s.k_row <= a.Tk - s.Nk, "%d keys from %d of %d", s.Nk, s.k_row, a.Tk);
        }
    }
}
END_TEST

/* A tile is none (below 0), or begins where 32 bits can count: kernels go on with 32 bits. */
START_TEST(tiles_stay_within)
{
    enum { MANY = 1 << 15 };
    static const ca_int rows[] = { 1, 16, 64, 1 << 17 };
    ca_int *cu_q = malloc((MANY + 1) * sizeof *cu_q);
    uint64_t state = 6;
    ck_assert_ptr_nonnull(cu_q);
    for (int n = 0; n < 400; n++) {
        ca_args a = { .B = n % 2 ? MANY : 3, .Tq = ANY(sizes, &state) };
        ca_optional x = { .cu_q = cu_q };
        ca_int BM = ANY(rows, &state);
        for (int b = 0; b <= a.B; b++) cu_q[b] = ANY(values, &state);
        for (int m = 0; m < 200; m++) {
            ca_int tile, all = a.Tq / BM + a.B, number = m < 2 ? m * (all - 1) : draw_below(&state, all);
            ca_int b = ca_seq_of_tile(&a, &x, number, BM, &tile);
            ck_assert_msg(b >= 0 && b < a.B, "sequence %d of %d", b, a.B);
            ck_assert_msg(tile < 0 ? tile == -1 : (ca_long)tile * BM <= a.Tq, "tile %d of %d rows, %d rows in all", tile, BM, a.Tq);
        }
    }
    free(cu_q);
}
END_TEST

/* Nothing that is right is lost: each tile of each sequence has one number. */
START_TEST(every_tile_is_numbered)
{
    uint64_t state = 7;
    for (int n = 0; n < 2000; n++) {
        ca_int cu_q[9] = { draw_below(&state, 5) }, seen[9][64] = { { 0 } }, rows = 1 + draw_below(&state, 9);
        ca_args a = { .B = 1 + draw_below(&state, 8), .Nq = 40 };
        ca_optional x = { .cu_q = cu_q };
        for (int b = 0; b < a.B; b++) cu_q[b + 1] = cu_q[b] + draw_below(&state, draw_below(&state, 2) ? 40 : 2);
        a.Tq = cu_q[a.B] + draw_below(&state, 3);
        for (ca_int number = 0; number < a.Tq / rows + a.B; number++) {
            ca_int tile, b = ca_seq_of_tile(&a, &x, number, rows, &tile);
            if (tile >= 0 && tile < 64) seen[b][tile]++;
        }
        for (int b = 0; b < a.B; b++)
            for (int t = 0; t * rows < cu_q[b + 1] - cu_q[b]; t++)
                ck_assert_msg(seen[b][t] == 1, "tile %d of sequence %d came %d times", t, b, seen[b][t]);
    }
}
END_TEST

/* ------------------------------------------------------------ in kernels */

#define F32 .dtype = CLATTN_F32
#define H(q, kv) .Hq = q, .Hkv = kv
#define N(q, k) .Nq = q, .Nk = k
static const int32_t three[] = { 9, 4, 2 }, places[] = { 1, -4, 30 }, rows[] = { 3, 1, 2 }, pages[] = { 8, 4, 3 };
#define WINDOW(l, r) .window = 1, .left = l, .right = r
#define ODD .B = 3, .D = 8
#define WEIGHTS .weights = CLATTN_WEIGHTS_PROBS

/* Batch rows write only what is theirs: no race either. */
static const struct shape lengths[] = {
    { F32, ODD, H(2, 1), N(3, 9), .lens = three, .causal = 1, .align = CLATTN_OFFSET, .offsets = places, .sinks = 1 },
    { F32, ODD, H(4, 2), N(3, 9), .lens = three, WINDOW(2, 1), .bias = "bhqk", .mask = "bq", .shorter = 2, WEIGHTS },
    { F32, ODD, H(2, 1), N(2, 9), .lens = three, .new_len = 2, .causal = 1, .mask = "bqk" },
    { F32, ODD, H(2, 1), N(3, 9), .lens = three, .align = CLATTN_OFFSET, .offsets = places,
      PATTERN(UNION, .of = { LEAF(PREFIX), LEAF(DOCUMENT), LEAF(CSR, .degree = 2, .row_heads = 2, .edge_heads = 1), LEAF(RANDOM, .count = 3, .seed = 1) }) },
    { F32, ODD, H(2, 1), N(3, 9), .lens = three, .causal = 1, .align = CLATTN_OFFSET, .offsets = places,
      PATTERN(UNION, .of = { LEAF(BIGBIRD, .block = 2, .random = 1), LEAF(LSH, .rounds = 1, .buckets = 4), LEAF(BLOCK_TOP_K, .block = 2, .count = 1, .own = 1),
                             LEAF(INTERSECT, .of = { LEAF(NEIGHBORHOOD, .axes = 2, .grid = { 3, 3 }, .kernel = { 3, 1 }), LEAF(BLOCK_SPARSE, .block = 2) }) }) },
    { F32, ODD, H(2, 1), N(3, 9), .lens = three, .mod = 1, PATTERN(BLOCK_MASK, .block_size = { 2, 2 }, .list_batch = 2, .list_heads = 2) },
    { F32, ODD, H(2, 1), N(3, 9), .lens = three, .align = CLATTN_OFFSET, .offsets = places, PATTERN(TOP_P, .p = 0.5, .max = 3) },
};
/* Two may have the same page or the same rows: that is a race, and for nobody to mend. */
static const struct shape places_of_others[] = {
    { F32, ODD, H(2, 1), N(3, 8), .page = 2, .lens = pages, .new_len = 2, .causal = 1, WEIGHTS },
    { F32, ODD, H(2, 1), N(3, 9), .q_lens = rows, .lens = three, .causal = 1, .mask = "bhqk", WEIGHTS },
    { F32, ODD, H(4, 2), N(3, 8), .q_lens = rows, .page = 2, .lens = pages, .new_len = 2, WINDOW(3, 0), .bias = "bqk" },
};

/* Each kernel, tiles smaller than the lists are long. */
static const struct { const char *algo, *params; } hows[] = {
    { "lanes", "vl=4 qv=1 bk=4" }, { "split", "form=0 vl=4 rb=2 dk=16 part=4" },
    { "split", "form=1 rb=2 tx=4 ty=2 ki=1 part=4" }, { "rows", "w=4" }, { "tiled", "rm=1 rn=1 tx=4 ty=2 dc=4 vc=4 keepq=0" },
    { "tiled", NULL }, { "gemm", NULL }, { "gather", NULL },
};

static void fill_with_garbage(const struct shape *list, int count, int i)
{
    struct shape s = shape_full(list[i]);
    const char *names[CA_MAX_CANDIDATES];
    struct data d;
    ck_assert_int_lt(i, count);
    if (attend_is_host() || !data_draw(&s, 3, &d)) return; /* the host looks at what it is given */
    size_t legal = attend_algos(&s, names);
    for (size_t h = 0; h < sizeof hows / sizeof hows[0]; h++)
        for (size_t n = 0; n < legal; n++)
            if (!strcmp(names[n], hows[h].algo) && in_share((unsigned)h + (unsigned)i)) attend_garbage(&s, hows[h].algo, hows[h].params, &d, 100 * h + (uint64_t)i, small_or(2, 40));
    data_free(&d);
    finish();
}

#define COUNT(list) (int)(sizeof list / sizeof list[0])
START_TEST(any_lengths) { fill_with_garbage(lengths, COUNT(lengths), _i); } END_TEST
START_TEST(any_places) { fill_with_garbage(places_of_others, COUNT(places_of_others), _i); } END_TEST

int main(void)
{
    const struct test tests[] = {
        { "sequences_stay_within", sequences_stay_within, 1 },
        { "tiles_stay_within", tiles_stay_within, 1 },
        { "every_tile_is_numbered", every_tile_is_numbered, 1 },
        { "any_lengths", any_lengths, COUNT(lengths) },
        { "any_places", any_places, COUNT(places_of_others) },
        { NULL, NULL, 0 },
    };
    return run_tests("garbage", tests);
}
