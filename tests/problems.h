/* problems.h -- what the tests of src/problem share: a problem from a descriptor or a string, or the test fails; and
 * descriptors drawn at random (srand first), all of them legal. */
#ifndef PROBLEMS_H
#define PROBLEMS_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "base/status.h"
#include "problem/problem.h"

static inline struct problem made(const clattn_attention *a)
{
    struct problem p;
    ca_message_clear();
    ck_assert_msg(ca_problem_init(&p, a) == CLATTN_OK, "%s", ca_message());
    return p;
}

static inline struct problem parsed(const char *text)
{
    clattn_attention a;
    struct ca_lengths l;
    ca_message_clear();
    ck_assert_msg(ca_problem_parse_lengths(text, &a, &l) == CLATTN_OK, "%s: %s", text, ca_message());
    struct problem p = made(&a);
    ca_lengths_free(&l);
    return p;
}

static inline const char *printed(const struct problem *p)
{
    static char text[512];
    ck_assert_uint_lt(ca_problem_print(p, text, sizeof text), sizeof text);
    return text;
}

static inline bool same(const struct problem *a, const struct problem *b) { return memcmp(a, b, sizeof *a) == 0; }

static inline int64_t draw(int64_t least, int64_t most) { return least + rand() % (most - least + 1); }

static inline clattn_broadcast random_broadcast(const clattn_attention *a)
{
    clattn_broadcast t = { .shape = { draw(0, 1) ? 1 : a->batch, draw(0, 1) ? 1 : a->q_heads, draw(0, 1) ? 1 : a->q_len,
                                      draw(0, 1) ? 1 : a->kv_len } };
    if (t.shape[3] > 2 && draw(0, 1)) t.shape[3] = draw(2, (int)t.shape[3] - 1);
    if (draw(0, 2) == 0)
        for (int i = 0; i < 4; i++) t.stride[i] = draw(i == 3, 100);
    return t;
}

static inline clattn_attention random_attention(void)
{
    clattn_attention a;
    ca_attention_defaults(&a);
    a.dtype = (clattn_dtype)draw(0, 2);
    a.layout = (clattn_layout)draw(0, 1);
    a.batch = draw(0, 3);
    a.kv_heads = draw(1, 3);
    a.q_heads = a.kv_heads * draw(1, 3);
    a.q_len = draw(0, 20);
    a.kv_len = draw(0, 20);
    a.head_dim = draw(1, 9);
    a.v_dim = draw(0, 9);
    a.causal = (int)draw(0, 1);
    a.align = (clattn_align)draw(0, 2);
    if (a.align == CLATTN_OFFSET) a.q_offset = draw(-30, 30);
    a.window_left = draw(-1, 25);
    a.window_right = draw(-1, 25);
    if (draw(0, 2) == 0) a.scale = (double)draw(-1000, 1000) / 7;
    if (draw(0, 3) == 0) a.softcap = (double)draw(1, 1000) / 7;
    if (draw(0, 4) == 0) {
        a.layout = CLATTN_THD;
        a.q_total = draw(0, 60);
        a.kv_total = draw(0, 60);
    }
    if (draw(0, 4) == 0) {
        a.page_size = draw(1, 7);
        a.pages = draw(1, 30);
        a.kv_len = a.page_size * draw(0, 4);
        a.kv_total = 0;
    }
    if (draw(0, 4) == 0) {
        a.kv_format = (clattn_kv_format)draw(1, 4);
        if (a.kv_format >= CLATTN_KV_Q8_0) a.head_dim = 32, a.v_dim = 64;
        if (a.kv_format == CLATTN_KV_INT8 && a.layout != CLATTN_THD) {
            a.k_scale = (clattn_scale)draw(0, 2), a.v_scale = (clattn_scale)draw(0, 2);
            a.k_zero = (clattn_scale)draw(0, 2), a.v_zero = (clattn_scale)draw(0, 2);
        }
        if (a.kv_format == CLATTN_KV_FP8) a.k_scale = (clattn_scale)(3 * draw(0, 1)), a.v_scale = (clattn_scale)(3 * draw(0, 1));
    }
    if (draw(0, 4) == 0) {
        a.q_rope = 2 * draw(0, a.head_dim / 2), a.k_rope = 2 * draw(0, a.head_dim / 2);
        a.rope_interleaved = (int)draw(0, 1);
    } else if (draw(0, 4) == 0) {
        a.score = (clattn_score)draw(1, a.head_dim == 1 ? 3 : 2);
        if (a.score == CLATTN_ADDITIVE) a.score_ws = draw(0, 1), a.score_scale = (double)draw(1, 9) / 4;
        if (a.score == CLATTN_GENERAL) a.q_dim = draw(0, 9);
    }
    a.weights = (clattn_weights)(draw(0, 3) ? 0 : draw(1, 4));
    a.alibi = (clattn_alibi)(draw(0, 3) ? 0 : draw(1, 2));
    a.sinks = draw(0, 3) == 0;
    a.round_weights = a.dtype != CLATTN_F32 && draw(0, 1);
    if (draw(0, 3) == 0) a.dropout_p = (double)draw(1, 1000) / 1000, a.seed = (uint64_t)draw(0, 3), a.offset = (uint64_t)draw(0, 3);
    if (draw(0, 3) == 0) a.kv_lens = draw(0, (int)a.kv_len);
    if (a.kv_lens && !a.kv_format && (a.layout != CLATTN_THD || a.page_size) && draw(0, 1)) a.new_len = draw(0, (int)a.kv_len);
    if (draw(0, 3) == 0) a.bias = random_broadcast(&a);
    if (draw(0, 3) == 0) a.mask = random_broadcast(&a);
    if (draw(0, 3) == 0 && a.kv_format < CLATTN_KV_Q8_0) a.k = (clattn_strides){ draw(0, 9), draw(0, 99), draw(0, 999), draw(1, 9) };
    if (draw(0, 3) == 0 && a.v_dim < 10) a.out = (clattn_strides){ 400000, 8000, 80, draw(1, 8) };
    return a;
}

#endif
