/* plan.c -- making, describing and executing plans. */
#include "api/api.h"
#include "base/text.h"
#include "plan/group.h"
#include <string.h>

clattn_status clattn_plan_create(clattn_context *ctx, const clattn_attention *a, const clattn_plan_options *options,
                                 clattn_plan **plan)
{
    struct problem p;
    clattn_status st;
    CA_ENTER();
    CA_GIVEN(ctx);
    CA_GIVEN(a);
    CA_GIVEN(plan);
    if (options) CA_TRY(ca_check_size(options, options->size, sizeof *options, "clattn_plan_options"));
    CA_TRY(ca_problem_init(&p, a));
    if (options && options->measure && !options->algorithm && !options->params) {
        const clattn_tune_options o = { .size = sizeof o };
        CA_TRY(ca_tune_for(ctx, &p, &o, 3, NULL));
    }
    CA_TRY(ca_plan_create(ctx, &p, options ? options->algorithm : NULL, options ? options->params : NULL, plan));
done:
    return st;
}

size_t clattn_plan_explain(const clattn_plan *plan, char *text, size_t size)
{
    struct ca_text t = { text, text ? size : 0, 0 };
    if (t.size) text[0] = 0;
    if (plan && plan->group) ca_group_explain(plan, &t);
    if (plan) ca_text_put(&t, "%s", plan->explain);
    return t.length;
}

size_t clattn_plan_workspace(const clattn_plan *plan) { return plan ? plan->workspace : 0; }
void clattn_plan_destroy(clattn_plan *plan) { ca_plan_destroy(plan); }

/* ----------------------------------------------------------------- execute */

static struct tensor from_buffer(clattn_buffer b) { return (struct tensor){ .mem = b.mem, .offset = b.offset }; }

clattn_status clattn_execute(const clattn_plan *plan, cl_command_queue queue, const clattn_buffers *buffers,
                             uint32_t num_events, const cl_event *wait_list, cl_event *event)
{
    struct chain c = { .queue = queue, .num_wait = num_events, .wait = wait_list };
    clattn_status st;

    CA_ENTER();
    CA_GIVEN(plan);
    CA_GIVEN(buffers);
    CA_REQUIRE(!num_events == !wait_list, CLATTN_E_ARGUMENT, "num_events is %u, but wait_list is %s",
               (unsigned)num_events, wait_list ? "not NULL" : "NULL");
    CA_TRY(ca_check_size(buffers, buffers->size, sizeof *buffers, "clattn_buffers"));
    struct io io = { .t = {
        [CA_Q] = from_buffer(buffers->q), [CA_K] = from_buffer(buffers->k), [CA_V] = from_buffer(buffers->v),
        [CA_OUT] = from_buffer(buffers->out), [CA_LSE] = from_buffer(buffers->lse),
        [CA_QOFF] = from_buffer(buffers->q_offset), [CA_LENS] = from_buffer(buffers->kv_lens),
        [CA_SLOPES] = from_buffer(buffers->alibi_slopes), [CA_SINKS] = from_buffer(buffers->sinks),
        [CA_BIAS] = from_buffer(buffers->bias), [CA_MASK] = from_buffer(buffers->mask),
        [CA_CUQ] = from_buffer(buffers->cu_seqlens_q), [CA_CUK] = from_buffer(buffers->cu_seqlens_k),
        [CA_TABLE] = from_buffer(buffers->block_table), [CA_KNEW] = from_buffer(buffers->k_new),
        [CA_VNEW] = from_buffer(buffers->v_new), [CA_WEIGHTS] = from_buffer(buffers->weights),
        [CA_KSCALE] = from_buffer(buffers->k_scale), [CA_VSCALE] = from_buffer(buffers->v_scale),
        [CA_KZERO] = from_buffer(buffers->k_zero), [CA_VZERO] = from_buffer(buffers->v_zero),
        [CA_QCOS] = from_buffer(buffers->q_rope_cos), [CA_QSIN] = from_buffer(buffers->q_rope_sin),
        [CA_KCOS] = from_buffer(buffers->k_rope_cos), [CA_KSIN] = from_buffer(buffers->k_rope_sin),
        [CA_SCOREW] = from_buffer(buffers->score_w), [CA_LEAKS] = from_buffer(buffers->leaks),
        [CA_MOD] = from_buffer(buffers->mods[0]), [CA_MOD + 1] = from_buffer(buffers->mods[1]), [CA_MOD + 2] = from_buffer(buffers->mods[2]),
        [CA_MOD + 3] = from_buffer(buffers->mods[3]), [CA_PREFIX_LENS] = from_buffer(buffers->prefix),
        [CA_DOCS] = from_buffer(buffers->doc_ids), [CA_LAYOUT] = from_buffer(buffers->block_layout),
        [CA_ROWS] = from_buffer(buffers->row_ptr), [CA_COLUMNS] = from_buffer(buffers->col_idx),
        [CA_EDGES] = from_buffer(buffers->edge_bias),
        [CA_KV_BLOCKS] = from_buffer(buffers->kv_num_blocks), [CA_KV_INDICES] = from_buffer(buffers->kv_indices),
        [CA_FULL_BLOCKS] = from_buffer(buffers->full_kv_num_blocks), [CA_FULL_INDICES] = from_buffer(buffers->full_kv_indices),
        [CA_ROTATIONS] = from_buffer(buffers->rotations), [CA_SPANS] = from_buffer(buffers->span), [CA_SPENT] = from_buffer(buffers->spent),
    }, .workspace = from_buffer(buffers->workspace) };
    CA_TRY(ca_plan_enqueue(plan, &io, &c));
    if (event) { /* the caller's from now on */
        *event = c.last;
        c.last = NULL;
    }
done:
    ca_chain_release(&c);
    return st;
}

static struct tensor from_pointer(const void *p) { return (struct tensor){ .host = (void *)(uintptr_t)p }; }

clattn_status ca_run_pointers(const clattn_plan *plan, const clattn_pointers *pointers)
{
    clattn_status st;
    CA_TRY(ca_check_size(pointers, pointers->size, sizeof *pointers, "clattn_pointers"));
    struct io io = { .t = {
        [CA_Q] = from_pointer(pointers->q), [CA_K] = from_pointer(pointers->k), [CA_V] = from_pointer(pointers->v),
        [CA_OUT] = from_pointer(pointers->out), [CA_LSE] = from_pointer(pointers->lse),
        [CA_QOFF] = from_pointer(pointers->q_offset), [CA_LENS] = from_pointer(pointers->kv_lens),
        [CA_SLOPES] = from_pointer(pointers->alibi_slopes), [CA_SINKS] = from_pointer(pointers->sinks),
        [CA_BIAS] = from_pointer(pointers->bias), [CA_MASK] = from_pointer(pointers->mask),
        [CA_CUQ] = from_pointer(pointers->cu_seqlens_q), [CA_CUK] = from_pointer(pointers->cu_seqlens_k),
        [CA_TABLE] = from_pointer(pointers->block_table), [CA_KNEW] = from_pointer(pointers->k_new),
        [CA_VNEW] = from_pointer(pointers->v_new), [CA_WEIGHTS] = from_pointer(pointers->weights),
        [CA_KSCALE] = from_pointer(pointers->k_scale), [CA_VSCALE] = from_pointer(pointers->v_scale),
        [CA_KZERO] = from_pointer(pointers->k_zero), [CA_VZERO] = from_pointer(pointers->v_zero),
        [CA_QCOS] = from_pointer(pointers->q_rope_cos), [CA_QSIN] = from_pointer(pointers->q_rope_sin),
        [CA_KCOS] = from_pointer(pointers->k_rope_cos), [CA_KSIN] = from_pointer(pointers->k_rope_sin),
        [CA_SCOREW] = from_pointer(pointers->score_w), [CA_LEAKS] = from_pointer(pointers->leaks),
        [CA_MOD] = from_pointer(pointers->mods[0]), [CA_MOD + 1] = from_pointer(pointers->mods[1]), [CA_MOD + 2] = from_pointer(pointers->mods[2]),
        [CA_MOD + 3] = from_pointer(pointers->mods[3]), [CA_PREFIX_LENS] = from_pointer(pointers->prefix),
        [CA_DOCS] = from_pointer(pointers->doc_ids), [CA_LAYOUT] = from_pointer(pointers->block_layout),
        [CA_ROWS] = from_pointer(pointers->row_ptr), [CA_COLUMNS] = from_pointer(pointers->col_idx),
        [CA_EDGES] = from_pointer(pointers->edge_bias),
        [CA_KV_BLOCKS] = from_pointer(pointers->kv_num_blocks), [CA_KV_INDICES] = from_pointer(pointers->kv_indices),
        [CA_FULL_BLOCKS] = from_pointer(pointers->full_kv_num_blocks), [CA_FULL_INDICES] = from_pointer(pointers->full_kv_indices),
        [CA_ROTATIONS] = from_pointer(pointers->rotations), [CA_SPANS] = from_pointer(pointers->span), [CA_SPENT] = from_pointer(pointers->spent),
    } };
    CA_TRY(ca_plan_run_host(plan, &io));
done:
    return st;
}

clattn_status clattn_execute_host(const clattn_plan *plan, const clattn_pointers *pointers)
{
    CA_ENTER();
    CA_GIVEN(plan);
    CA_GIVEN(pointers);
    return ca_run_pointers(plan, pointers);
}
