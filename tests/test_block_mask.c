/* test_block_mask.c -- clattn_create_block_mask: the lists that it makes of a mask_mod, what it refuses, and that an attention with lists of causal
 * is causal attention, which asks mask_mod in partial blocks only. */
#define CLATTN_NONNULL(...) /* NULL is passed on purpose */
#include "api.h"
#include <math.h>

enum { B = 2, H = 2, NQ = 50, NK = 70, D = 16, QUERIES = 16, KEYS = 12, R = (NQ + QUERIES - 1) / QUERIES, C = (NK + KEYS - 1) / KEYS, ROWS = B * H * R,
       OFFSET = NK - NQ, CANARY = -99 };

static clattn_attention a;
static clattn_pattern pattern;
static int32_t count[2][ROWS], blocks[2][ROWS * C];

static int causal(void *data, int b, int h, int i, int j)
{
    (void)data, (void)b, (void)h;
    return j <= i;
}

static int apart(void *data, int b, int h, int i, int j)
{
    (void)data;
    return b == 0 ? j <= i : h == 0 && j < 20; /* of the second batch row, the first head alone */
}

static void set_up(void)
{
    clattn_attention_init(&a);
    a.batch = B, a.q_heads = H, a.q_len = NQ, a.kv_len = NK, a.head_dim = D;
    clattn_pattern_init(&pattern, CLATTN_BLOCK_MASK);
    pattern.block_size[0] = QUERIES, pattern.block_size[1] = KEYS;
    pattern.max_blocks = pattern.max_full_blocks = C;
    a.pattern = &pattern, a.mask_callback = causal;
    for (int full = 0; full < 2; full++) {
        for (int n = 0; n < ROWS; n++) count[full][n] = CANARY;
        for (int n = 0; n < ROWS * C; n++) blocks[full][n] = CANARY;
    }
}

static clattn_status create(void) { return clattn_create_block_mask(&a, count[0], blocks[0], count[1], blocks[1]); }

/* The class of block C of list R of head H of batch row B: of each pair. */
static int class_of(int b, int h, int r, int c)
{
    int seen = 0, all = 0;
    for (int i = r * QUERIES; i < (r + 1) * QUERIES && i < NQ; i++)
        for (int j = c * KEYS; j < (c + 1) * KEYS && j < NK; j++, all++) seen += a.mask_callback(NULL, b, h, i + OFFSET, j) != 0;
    return seen == 0 ? 0 : seen == all ? 2 : 1;
}

/* Lists hold the blocks of their class, ascending, and nothing is written behind them. */
static void lists_are_right(int batches, int heads, bool both)
{
    for (int row = 0; row < ROWS; row++)
        for (int full = 0; full < 2; full++) {
            const int most = (int)(full ? pattern.max_full_blocks : pattern.max_blocks), b = row / R / heads, h = row / R % heads;
            const int32_t *list = blocks[full] + row * most;
            int n = 0;
            bool there = b < batches && (both || !full);
            for (int c = 0; c < C && there; c++) {
                int class = class_of(b, h, row % R, c);
                if (both ? class != 1 + full : class == 0) continue;
                ck_assert_msg(n < most && list[n] == c, "b %d h %d r %d: block %d is not in list %d", b, h, row % R, c, full);
                n++;
            }
            ck_assert_int_eq(count[full][row], there ? n : CANARY);
            for (; n < most; n++) ck_assert_int_eq(list[n], CANARY);
        }
}

START_TEST(lists)
{
    set_up();
    WORKS(create());
    lists_are_right(1, 1, true);
    set_up();
    pattern.max_full_blocks = 0; /* all are partial */
    WORKS(clattn_create_block_mask(&a, count[0], blocks[0], NULL, NULL));
    lists_are_right(1, 1, false);
    set_up();
    pattern.list_batch = B, pattern.list_heads = H, a.mask_callback = apart;
    WORKS(create());
    lists_are_right(B, H, true);
    ck_assert_int_eq(count[0][ROWS - 1] + count[1][ROWS - 1], 0); /* nothing is seen */
    set_up();
    pattern.list_heads = H, pattern.max_blocks = 2; /* no more than the diagonal needs */
    WORKS(create());
    lists_are_right(1, H, true);
    set_up();
    a.q_len = 0;
    WORKS(create());
    ck_assert_int_eq(count[0][0], CANARY);
}
END_TEST

START_TEST(refusals)
{
    small_init(&s);
    set_up();
    FAILS(clattn_create_block_mask(NULL, count[0], blocks[0], count[1], blocks[1]), CLATTN_E_ARGUMENT, "a is NULL");
    FAILS(clattn_create_block_mask(&a, NULL, blocks[0], count[1], blocks[1]), CLATTN_E_ARGUMENT, "kv_num_blocks is NULL");
    FAILS(clattn_create_block_mask(&a, count[0], NULL, count[1], blocks[1]), CLATTN_E_ARGUMENT, "kv_indices is NULL");
    FAILS(clattn_create_block_mask(&a, count[0], blocks[0], NULL, blocks[1]), CLATTN_E_ARGUMENT, "full_kv_num_blocks is NULL");
    FAILS(clattn_create_block_mask(&a, count[0], blocks[0], count[1], NULL), CLATTN_E_ARGUMENT, "full_kv_indices is NULL");
    pattern.max_blocks = 1;
    FAILS(create(), CLATTN_E_TOO_LARGE, "list 0 of kv_indices needs more than the 1 blocks of max_blocks");
    pattern.max_blocks = C, pattern.max_full_blocks = 2;
    FAILS(create(), CLATTN_E_TOO_LARGE, "list 1 of full_kv_indices needs more than the 2 blocks of max_full_blocks");
    pattern.block_size[1] = 0;
    FAILS(create(), CLATTN_E_ARGUMENT, "block_mask: block_size[1] 0");
    set_up();
    a.mask_callback = NULL;
    FAILS(create(), CLATTN_E_ARGUMENT, "mask_callback is NULL");
    set_up();
    a.pattern = NULL;
    FAILS(create(), CLATTN_E_ARGUMENT, "the pattern is not CLATTN_BLOCK_MASK");
    set_up();
    a.kv_lens = NK;
    FAILS(create(), CLATTN_E_UNSUPPORTED, "CLATTN_BOTTOM_RIGHT");
    a.align = CLATTN_OFFSET, a.q_offset = OFFSET;
    WORKS(create());
    lists_are_right(1, 1, true);
}
END_TEST

/* ------------------------------------------------------------------ in use */

static float q[B * H * NQ * D], k[B * H * NK * D], v[B * H * NK * D], out[2][B * H * NQ * D], lse[2][B * H * NQ];

/* Asked where it need not be?  Of partial blocks alone the mask is not known. */
static int strays;
static int asked(void *data, int b, int h, int i, int j)
{
    if (class_of(b, h, (i - OFFSET) / QUERIES, j / KEYS) != 1)
#pragma omp atomic
        strays++;
    return causal(data, b, h, i, j);
}

START_TEST(causal_lists)
{
    static const char *const algorithms[] = { NULL, "host", "gather" };
    if (!open_context(_i)) return;
    set_up();
    WORKS(create());
    for (size_t e = 0; e < sizeof q / sizeof *q; e++) q[e] = (float)(e * 37 % 64) / 16 - 2;
    for (size_t e = 0; e < sizeof k / sizeof *k; e++) k[e] = (float)(e * 29 % 61) / 16 - 2, v[e] = (float)(e * 23 % 59) / 16 - 2;
    a.mask_mod = "return j <= i;";
    for (int n = 0; n < (_i == 0 ? 3 : 1); n++) {
        const clattn_plan_options options = { .size = sizeof options, .algorithm = algorithms[n] };
        for (int mine = 0; mine < 2; mine++) {
            clattn_attention one = a;
            if (!mine) one.pattern = NULL, one.mask_mod = NULL, one.mask_callback = NULL, one.causal = 1;
            clattn_pointers p = { .size = sizeof p, .q = q, .k = k, .v = v, .out = out[mine], .lse = lse[mine] };
            if (mine) p.kv_num_blocks = count[0], p.kv_indices = blocks[0], p.full_kv_num_blocks = count[1], p.full_kv_indices = blocks[1];
            if (mine && _i == 0) one.mask_callback = asked, strays = 0;
            if (!mine && algorithms[n] && !strcmp(algorithms[n], "gather")) continue; /* it needs a pattern */
            WORKS(clattn_plan_create(ctx, &one, &options, &plan));
            WORKS(clattn_execute_host(plan, &p));
            clattn_plan_destroy(plan);
            plan = NULL;
        }
        ck_assert_int_eq(strays, 0);
        for (int e = 0; e < B * H * NQ * D; e++) ck_assert_float_eq_tol(out[0][e], out[1][e], 4e-6f);
        for (int e = 0; e < B * H * NQ; e++) ck_assert_float_eq_tol(lse[0][e], lse[1][e], 4e-6f);
    }
    close_all();
}
END_TEST

static void add(TCase *t)
{
    tcase_add_test(t, lists);
    tcase_add_test(t, refusals);
    tcase_add_loop_test(t, causal_lists, 0, 2);
}

int main(void) { return run_api("block_mask", add); }
