/* test_tensors.c -- the optional tensors of an attention as a user may get them wrong: missing, not wanted, too small,
 * misaligned, overlapping what is written, holding numbers that cannot be.  Each is told in words, nothing is written,
 * and the same plan then gives the answer that it gave before. */
#include "api.h"

enum { DENSE, RAGGED, PAGED, GRAPH, LISTS, FORMS };

static char *memory[CA_SLOTS];     /* each of the plan's tensors; NULL: it takes none */
static char *before[CA_SLOTS], *answer[CA_SLOTS];
static size_t bytes[CA_SLOTS];

static clattn_attention form(int which)
{
    clattn_attention a;
    static clattn_pattern pattern;
    clattn_attention_init(&a);
    a.batch = 2, a.q_heads = 4, a.kv_heads = 2, a.q_len = 4, a.kv_len = 8, a.head_dim = 8, a.causal = 1;
    a.weights = CLATTN_WEIGHTS_PROBS;
    if (which == DENSE || which == PAGED) a.kv_lens = 4, a.new_len = 2;
    if (which == RAGGED) a.layout = CLATTN_THD, a.q_total = 6, a.kv_total = 12;
    if (which == PAGED) a.page_size = 2, a.pages = 9;
    if (which == GRAPH || which == LISTS) {
        clattn_pattern_init(&pattern, which == GRAPH ? CLATTN_CSR : CLATTN_BLOCK_MASK);
        pattern.edges = 12;
        pattern.block_size[0] = 2, pattern.block_size[1] = 3, pattern.list_heads = 4, pattern.max_blocks = 2, pattern.max_full_blocks = 1;
        a.pattern = &pattern;
    }
    if (which != DENSE) return a;
    a.align = CLATTN_OFFSET, a.alibi = CLATTN_ALIBI_BATCH_HEAD, a.sinks = 1;
    a.bias.shape[0] = 1, a.bias.shape[1] = 4, a.bias.shape[2] = 4, a.bias.shape[3] = 8;
    a.mask.shape[0] = 2, a.mask.shape[1] = 1, a.mask.shape[2] = 4, a.mask.shape[3] = 7;
    return a;
}

static const int32_t lens[] = { 3, 4 }, offsets[] = { 1, -1 }, cu_q[] = { 0, 4, 6 }, cu_k[] = { 0, 8, 12 };
static const int32_t table[] = { 8, 0, 5, -1, 2, 7, 1, -1 };
static const int32_t row_ptr[] = { 0, 3, 3, 7, 12 }, col_idx[] = { 0, 3, 7, 1, 2, 2, 6, 0, 1, 4, 5, 7 };
static const int32_t counts[] = { 1, 2, 0, 1, 2, 1, 1, 0 }, blocks[] = { 0, 9, 2, 1, -1, -1, 1, 0, 2, 2, 0, 5, 1, 1, 7, 7 };
static const int32_t full_counts[] = { 0, 1, 1, 0, 0, 0, 1, 1 }, full_blocks[] = { 9, 0, 2, -5, 3, 3, 1, 0 };
static const struct { int slot; const void *from; } lists[] = {
    { CA_ROWS, row_ptr }, { CA_COLUMNS, col_idx }, { CA_KV_BLOCKS, counts }, { CA_KV_INDICES, blocks }, { CA_FULL_BLOCKS, full_counts },
    { CA_FULL_INDICES, full_blocks },
    { CA_LENS, lens }, { CA_QOFF, offsets }, { CA_CUQ, cu_q }, { CA_CUK, cu_k }, { CA_TABLE, table },
};

/* Inputs get numbers, outputs and what is behind the keys a pattern. */
static void fill_tensors(void)
{
    for (int n = 0; n < CA_SLOTS; n++) {
        if (!memory[n]) continue;
        memset(memory[n], 0x5a, bytes[n]);
        for (size_t e = 0; n != CA_MASK && !ca_slot_is_output((enum ca_slot)n) && e < bytes[n] / 4; e++)
            ((float *)memory[n])[e] = (float)(e * 37 % 64) / 32 - 1;
    }
    for (size_t n = 0; n < sizeof lists / sizeof lists[0]; n++)
        if (memory[lists[n].slot]) memcpy(memory[lists[n].slot], lists[n].from, bytes[lists[n].slot]);
}

static clattn_pointers pointers_to(char *const m[CA_SLOTS])
{
    return (clattn_pointers){
        .size = sizeof(clattn_pointers), .q = m[CA_Q], .k = m[CA_K], .v = m[CA_V], .out = m[CA_OUT], .lse = (float *)m[CA_LSE],
        .q_offset = (int32_t *)m[CA_QOFF], .kv_lens = (int32_t *)m[CA_LENS], .alibi_slopes = (float *)m[CA_SLOPES],
        .sinks = (float *)m[CA_SINKS], .bias = (float *)m[CA_BIAS], .mask = (uint8_t *)m[CA_MASK],
        .cu_seqlens_q = (int32_t *)m[CA_CUQ], .cu_seqlens_k = (int32_t *)m[CA_CUK], .block_table = (int32_t *)m[CA_TABLE],
        .k_new = m[CA_KNEW], .v_new = m[CA_VNEW], .weights = (float *)m[CA_WEIGHTS],
        .k_scale = (float *)m[CA_KSCALE], .v_scale = (float *)m[CA_VSCALE], .k_zero = (float *)m[CA_KZERO],
        .v_zero = (float *)m[CA_VZERO], .q_rope_cos = (float *)m[CA_QCOS], .q_rope_sin = (float *)m[CA_QSIN],
        .k_rope_cos = (float *)m[CA_KCOS], .k_rope_sin = (float *)m[CA_KSIN], .score_w = (float *)m[CA_SCOREW],
        .leaks = (float *)m[CA_LEAKS], .mods = { (float *)m[CA_MOD], (float *)m[CA_MOD + 1], (float *)m[CA_MOD + 2], (float *)m[CA_MOD + 3] },
        .prefix = (int32_t *)m[CA_PREFIX_LENS], .doc_ids = (int32_t *)m[CA_DOCS], .block_layout = (uint8_t *)m[CA_LAYOUT],
        .row_ptr = (int32_t *)m[CA_ROWS], .col_idx = (int32_t *)m[CA_COLUMNS], .edge_bias = (float *)m[CA_EDGES], .kv_num_blocks = (int32_t *)m[CA_KV_BLOCKS],
        .kv_indices = (int32_t *)m[CA_KV_INDICES], .full_kv_num_blocks = (int32_t *)m[CA_FULL_BLOCKS], .full_kv_indices = (int32_t *)m[CA_FULL_INDICES], .rotations = (float *)m[CA_ROTATIONS],
        .span = (float *)m[CA_SPANS], .spent = (int32_t *)m[CA_SPENT],
    };
}

static void answers(void)
{
    fill_tensors();
    clattn_pointers p = pointers_to(memory);
    WORKS(clattn_execute_host(plan, &p));
    for (int n = 0; n < CA_SLOTS; n++)
        if (memory[n]) ck_assert_msg(!memcmp(memory[n], answer[n], bytes[n]), "another %s than before", ca_slot_name[n]);
    fill_tensors();
}

/* As a loop's number counts: each form on the host and on a device. */
static bool open_form(int i)
{
    if (!open_context(i / FORMS)) return false;
    clattn_attention a = form(i % FORMS);
    WORKS(clattn_plan_create(ctx, &a, NULL, &plan));
    for (int n = 0; n < CA_SLOTS; n++) {
        bytes[n] = ca_slot_unwanted(&plan->p, (enum ca_slot)n) ? 0 : ca_slot_bytes(&plan->p, (enum ca_slot)n);
        if (!bytes[n]) continue;
        memory[n] = malloc(bytes[n]), before[n] = malloc(bytes[n]), answer[n] = malloc(bytes[n]);
        ck_assert(memory[n] && before[n] && answer[n]);
    }
    fill_tensors();
    for (int n = 0; n < CA_SLOTS; n++)
        if (memory[n]) memcpy(before[n], memory[n], bytes[n]);
    clattn_pointers p = pointers_to(memory);
    WORKS(clattn_execute_host(plan, &p));
    for (int n = 0; n < CA_SLOTS; n++)
        if (memory[n]) memcpy(answer[n], memory[n], bytes[n]);
    ck_assert(memcmp(memory[CA_OUT], before[CA_OUT], bytes[CA_OUT]) && memcmp(memory[CA_WEIGHTS], before[CA_WEIGHTS], bytes[CA_WEIGHTS]));
    if (plan->p.new_len) ck_assert(memcmp(memory[CA_K], before[CA_K], bytes[CA_K]));
    fill_tensors();
    return true;
}

static void close_form(void)
{
    for (int n = 0; n < CA_SLOTS; n++) {
        free(memory[n]), free(before[n]), free(answer[n]);
        memory[n] = before[n] = answer[n] = NULL;
    }
    close_all();
}

/* The call with M in place of memory is refused in these WORDS, and wrote nothing. */
static void refused(char *const m[CA_SLOTS], const char *words)
{
    clattn_pointers p = pointers_to(m);
    clattn_status st = clattn_execute_host(plan, &p);
    ck_assert_msg(st == CLATTN_E_ARGUMENT, "%s, not \"%s\": %s", clattn_status_name(st), words, clattn_last_message());
    ck_assert_msg(strstr(clattn_last_message(), words) != NULL, "\"%s\" lacks \"%s\"", clattn_last_message(), words);
    for (int n = 0; n < CA_SLOTS; n++)
        if (memory[n]) ck_assert_msg(!memcmp(memory[n], before[n], bytes[n]), "%s: %s was written", words, ca_slot_name[n]);
}

static bool is_written(int n) { return ca_slot_is_output((enum ca_slot)n) || (plan->p.new_len && (n == CA_K || n == CA_V)); }
/* k and v may share memory even where they are written. */
static bool may_meet(int n, int o) { return (!is_written(n) && !is_written(o)) || (n == CA_K && o == CA_V) || (n == CA_V && o == CA_K); }

/* The refusal of tensor N at AT names it and one that it meets there: what AT is the beginning of, or what lies behind that. */
static bool names_overlap(int n, const char *at)
{
    char words[80], reverse[80];
    for (int o = 0; o < CA_SLOTS; o++) {
        if (o == n || !memory[o] || may_meet(n, o) || at >= memory[o] + bytes[o] || memory[o] >= at + bytes[n]) continue;
        snprintf(words, sizeof words, "%s overlaps %s", ca_slot_name[n], ca_slot_name[o]);
        snprintf(reverse, sizeof reverse, "%s overlaps %s", ca_slot_name[o], ca_slot_name[n]);
        if (strstr(clattn_last_message(), words) || strstr(clattn_last_message(), reverse)) return true;
    }
    return false;
}

START_TEST(pointers)
{
    char words[80];
    if (!open_form(_i)) return;
    for (int n = 0; n < CA_SLOTS; n++) {
        if (n == CA_PATTERN) continue; /* no field has it */
        char *m[CA_SLOTS];
        memcpy(m, memory, sizeof m);
        if (!memory[n]) { /* it wants none */
            m[n] = answer[CA_OUT];
            snprintf(words, sizeof words, "%s is given, but the plan's", ca_slot_name[n]);
            refused(m, words);
            continue;
        }
        m[n] = NULL;
        snprintf(words, sizeof words, "%s is NULL, needs %zu bytes", ca_slot_name[n], bytes[n]);
        if (!ca_slot_is_optional((enum ca_slot)n)) refused(m, words);
        m[n] = memory[n] + 1;
        snprintf(words, sizeof words, "%s at address", ca_slot_name[n]);
        if (n != CA_MASK) refused(m, words);
        for (int o = 0; o < CA_SLOTS; o++) {
            if (o == n || !memory[o] || may_meet(n, o)) continue;
            m[n] = memory[o];
            refused(m, "overlaps");
            ck_assert_msg(names_overlap(n, m[n]), "%s on %s: %s", ca_slot_name[n], ca_slot_name[o], clattn_last_message());
        }
    }
    answers();
    close_form();
}
END_TEST

/* Numbers that cannot be. */
static const struct { int form, slot, index; int32_t value; const char *words; } wrong_values[] = {
    { DENSE, CA_LENS, 0, -1, "kv_lens[0] is -1, not in 0 ... 6" },
    { DENSE, CA_LENS, 1, 7, "kv_lens[1] is 7, not in 0 ... 6" },
    { DENSE, CA_LENS, 1, INT32_MIN, "kv_lens[1] is -2147483648" },
    { PAGED, CA_LENS, 1, INT32_MAX, "kv_lens[1] is 2147483647" },
    { RAGGED, CA_CUQ, 0, -1, "cu_seqlens_q[0] is -1, below 0" },
    { RAGGED, CA_CUQ, 1, 5, "cu_seqlens_q[1] is 5, 5 behind the one before; the longest length is 4" },
    { RAGGED, CA_CUQ, 1, INT32_MIN, "cu_seqlens_q[1] is -2147483648, below 0 before it" },
    { RAGGED, CA_CUQ, 2, 3, "cu_seqlens_q[2] is 3, below 4 before it" },
    { RAGGED, CA_CUQ, 2, 7, "cu_seqlens_q[2] is 7, beyond the 6 rows" },
    { RAGGED, CA_CUQ, 2, INT32_MAX, "cu_seqlens_q[2] is 2147483647" },
    { RAGGED, CA_CUK, 0, INT32_MIN, "cu_seqlens_k[0] is -2147483648, below 0" },
    { RAGGED, CA_CUK, 1, 9, "cu_seqlens_k[1] is 9, 9 behind the one before; the longest length is 8" },
    { RAGGED, CA_CUK, 2, 7, "cu_seqlens_k[2] is 7, below 8 before it" },
    { RAGGED, CA_CUK, 2, 13, "cu_seqlens_k[2] is 13, beyond the 12 rows" },
    { PAGED, CA_TABLE, 0, -1, "block_table[0][0] is -1, but is needed; there are 9 pages" },
    { PAGED, CA_TABLE, 2, -1, "block_table[0][2] is -1, but is needed" }, /* for new keys */
    { PAGED, CA_TABLE, 6, -1, "block_table[1][2] is -1, but is needed" },
    { PAGED, CA_TABLE, 3, -2, "block_table[0][3] is -2;" }, /* not needed, but no way to say so */
    { PAGED, CA_TABLE, 7, 9, "block_table[1][3] is 9;" },
    { PAGED, CA_TABLE, 5, INT32_MAX, "block_table[1][1] is 2147483647" },
    { PAGED, CA_TABLE, 5, INT32_MIN, "block_table[1][1] is -2147483648" },
    { GRAPH, CA_ROWS, 0, -1, "row_ptr[0] is -1, not in 0 ... 12" },
    { GRAPH, CA_ROWS, 2, 2, "row_ptr[2] is 2, below 3 before it" },
    { GRAPH, CA_ROWS, 4, 13, "row_ptr[4] is 13, not in 0 ... 12" },
    { GRAPH, CA_ROWS, 1, INT32_MIN, "row_ptr[1] is -2147483648" },
    { GRAPH, CA_COLUMNS, 1, 8, "col_idx[1] is 8, not in 0 ... 7" },
    { GRAPH, CA_COLUMNS, 3, -1, "col_idx[3] is -1, not in 0 ... 7" },
    { GRAPH, CA_COLUMNS, 5, 1, "col_idx[5] is 1, below 2 before it in its row" },
    { LISTS, CA_KV_BLOCKS, 3, 3, "kv_num_blocks[3] is 3, not in 0 ... 2" },
    { LISTS, CA_KV_BLOCKS, 7, -1, "kv_num_blocks[7] is -1, not in 0 ... 2" },
    { LISTS, CA_KV_INDICES, 2, 3, "kv_indices[2] is 3, not in 0 ... 2" },
    { LISTS, CA_KV_INDICES, 6, INT32_MIN, "kv_indices[6] is -2147483648" },
    { LISTS, CA_FULL_BLOCKS, 1, 2, "full_kv_num_blocks[1] is 2, not in 0 ... 1" },
    { LISTS, CA_FULL_INDICES, 6, -1, "full_kv_indices[6] is -1, not in 0 ... 2" },
};

START_TEST(values)
{
    if (!open_form(_i)) return;
    for (size_t n = 0; n < sizeof wrong_values / sizeof wrong_values[0]; n++) {
        int slot = wrong_values[n].slot;
        if (wrong_values[n].form != _i % FORMS) continue;
        ((int32_t *)memory[slot])[wrong_values[n].index] = wrong_values[n].value;
        memcpy(before[slot], memory[slot], bytes[slot]);
        refused(memory, wrong_values[n].words);
        fill_tensors();
        memcpy(before[slot], memory[slot], bytes[slot]);
        if (n % 4 == 0) answers();
    }
    answers();
    close_form();
}
END_TEST

/* ----------------------------------------------------------- device memory */

static cl_mem mem[CA_SLOTS];

static clattn_buffers buffers_of(const clattn_buffer b[CA_SLOTS])
{
    return (clattn_buffers){
        .size = sizeof(clattn_buffers), .q = b[CA_Q], .k = b[CA_K], .v = b[CA_V], .out = b[CA_OUT], .lse = b[CA_LSE],
        .q_offset = b[CA_QOFF], .kv_lens = b[CA_LENS], .alibi_slopes = b[CA_SLOPES], .sinks = b[CA_SINKS], .bias = b[CA_BIAS],
        .mask = b[CA_MASK], .cu_seqlens_q = b[CA_CUQ], .cu_seqlens_k = b[CA_CUK], .block_table = b[CA_TABLE],
        .k_new = b[CA_KNEW], .v_new = b[CA_VNEW], .weights = b[CA_WEIGHTS], .k_scale = b[CA_KSCALE], .v_scale = b[CA_VSCALE],
        .k_zero = b[CA_KZERO], .v_zero = b[CA_VZERO], .q_rope_cos = b[CA_QCOS], .q_rope_sin = b[CA_QSIN], .k_rope_cos = b[CA_KCOS],
        .k_rope_sin = b[CA_KSIN], .score_w = b[CA_SCOREW], .leaks = b[CA_LEAKS],
        .mods = { b[CA_MOD], b[CA_MOD + 1], b[CA_MOD + 2], b[CA_MOD + 3] },
        .prefix = b[CA_PREFIX_LENS], .doc_ids = b[CA_DOCS], .block_layout = b[CA_LAYOUT], .row_ptr = b[CA_ROWS], .col_idx = b[CA_COLUMNS], .edge_bias = b[CA_EDGES],
        .kv_num_blocks = b[CA_KV_BLOCKS], .kv_indices = b[CA_KV_INDICES], .full_kv_num_blocks = b[CA_FULL_BLOCKS], .full_kv_indices = b[CA_FULL_INDICES],
        .rotations = b[CA_ROTATIONS], .span = b[CA_SPANS], .spent = b[CA_SPENT],
    };
}

static void same_in_buffers(char *const want[CA_SLOTS], const char *when, cl_event after)
{
    for (int n = 0; n < CA_SLOTS; n++) {
        char *back = mem[n] ? malloc(bytes[n]) : NULL;
        if (!mem[n]) continue;
        ck_assert_int_eq(ca_cl.EnqueueReadBuffer(ctx->queue, mem[n], CL_TRUE, 0, bytes[n], back, after != NULL, after ? &after : NULL,
                                                 NULL), CL_SUCCESS);
        ck_assert_msg(!memcmp(back, want[n], bytes[n]), "%s: another %s", when, ca_slot_name[n]);
        free(back);
    }
}

static void refused_buffers(const clattn_buffer list[CA_SLOTS], const char *words)
{
    cl_event event = NULL;
    clattn_buffers b = buffers_of(list);
    clattn_status st = clattn_execute(plan, NULL, &b, 0, NULL, &event);
    ck_assert_msg(st == CLATTN_E_ARGUMENT, "%s, not \"%s\": %s", clattn_status_name(st), words, clattn_last_message());
    ck_assert_msg(strstr(clattn_last_message(), words) != NULL, "\"%s\" lacks \"%s\"", clattn_last_message(), words);
    ck_assert_ptr_null(event);
}

START_TEST(buffers)
{
    char words[80];
    cl_int code;
    cl_event event = NULL;
    clattn_buffer good[CA_SLOTS] = { { NULL, 0 } }, b[CA_SLOTS];
    if (!open_form(FORMS + _i)) return;
    for (int n = 0; n < CA_SLOTS; n++) {
        if (!memory[n]) continue;
        good[n].mem = mem[n] = ca_cl.CreateBuffer(ctx->context, CL_MEM_READ_WRITE, bytes[n], NULL, &code);
        ck_assert_int_eq(code, CL_SUCCESS);
        ck_assert_int_eq(ca_cl.EnqueueWriteBuffer(ctx->queue, mem[n], CL_TRUE, 0, bytes[n], memory[n], 0, NULL, NULL), CL_SUCCESS);
    }
    for (int n = 0; n < CA_SLOTS; n++) {
        if (n == CA_PATTERN) continue; /* no field has it */
        size_t width = ca_slot_size(&plan->p, (enum ca_slot)n);
        memcpy(b, good, sizeof b);
        if (!memory[n]) {
            b[n] = good[CA_Q];
            snprintf(words, sizeof words, "%s is given, but the plan's", ca_slot_name[n]);
            refused_buffers(b, words);
            continue;
        }
        b[n].mem = NULL;
        snprintf(words, sizeof words, "%s is NULL, needs %zu bytes", ca_slot_name[n], bytes[n]);
        if (!ca_slot_is_optional((enum ca_slot)n)) refused_buffers(b, words);
        b[n] = (clattn_buffer){ mem[n], width };
        snprintf(words, sizeof words, "%s needs %zu bytes at offset %zu, its buffer has %zu", ca_slot_name[n], bytes[n], width, bytes[n]);
        refused_buffers(b, words);
        b[n].offset = SIZE_MAX - width + 1;
        snprintf(words, sizeof words, "%s needs", ca_slot_name[n]);
        refused_buffers(b, words);
        b[n].offset = 1;
        snprintf(words, sizeof words, "%s at offset 1 is not", ca_slot_name[n]);
        if (width > 1) refused_buffers(b, words);
        for (int o = 0; o < CA_SLOTS; o++) {
            if (o == n || !memory[o] || may_meet(n, o)) continue;
            b[n] = good[o];
            refused_buffers(b, "overlaps");
        }
    }
    same_in_buffers(before, "after refusals", NULL);
    clattn_buffers right = buffers_of(good);
    WORKS(clattn_execute(plan, NULL, &right, 0, NULL, &event));
    same_in_buffers(answer, "after right use", event);
    ca_cl.ReleaseEvent(event);
    for (int n = 0; n < CA_SLOTS; n++)
        if (mem[n]) ca_cl.ReleaseMemObject(mem[n]);
    close_form();
}
END_TEST

static void add(TCase *t)
{
    tcase_add_loop_test(t, pointers, 0, 2 * FORMS);
    tcase_add_loop_test(t, values, 0, 2 * FORMS);
    tcase_add_loop_test(t, buffers, 0, FORMS);
}

int main(void) { return run_api("tensors", add); }
