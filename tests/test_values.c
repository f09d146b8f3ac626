/* test_values.c -- special values on every legal algorithm of the environment's device: what lies behind a mask never
 * matters, a NaN that is seen is never lost, and where the exact result is a number of the type, it comes out. */
#include "base/half.h"
#include "property.h"

/* Does query i see key j?  By mask or bias over [Nq][Nk] or [Nk], by kv_lens, or by causality from the top left. */
static bool sees(const struct shape *s, const struct data *d, int b, int i, int j)
{
    const char *axes = s->mask ? s->mask : s->bias;
    size_t at = axes && strchr(axes, 'q') ? (size_t)(i * s->Nk + j) : (size_t)j;
    if (s->lens && j >= s->lens[b]) return false;
    if (s->mask) return d->mask[at] != 0;
    if (s->bias) return d->bias[at] != -INFINITY;
    if (s->window) return j >= i + s->q_offset - s->left && j <= i + s->q_offset + s->right;
    return !s->causal || j <= i;
}

static bool seen_by_any(const struct shape *s, const struct data *d, int b, int j)
{
    for (int i = 0; i < s->Nq; i++)
        if (sees(s, d, b, i, j)) return true;
    return false;
}

/* Lets row J of matrix M of keys or values hold X throughout: quantised ones by their scale, or their blocks' scales. */
static void hold(const struct shape *s, float *rows, float *bytes, float *scale, int m, int j, int dims, float x)
{
    if (!s->kv_format) fill(row_of(rows, m, s->Nk, dims, j), (size_t)dims, x);
    else if (s->scale_kind) scale[m * s->Nk + j] = x;
    else {
        int width = shape_row_bytes(s, dims), block = width / (dims / 32), half = ca_f32_to_f16(x);
        float *row = row_of(bytes, m, s->Nk, width, j);
        for (int at = 0; at < width; at += block) row[at] = (float)(half & 255), row[at + 1] = (float)(half >> 8);
    }
}

/* Keys that no query sees may hold anything. */
static void poison_unseen(const struct shape *s, const char *algo, struct data *d)
{
    const float huge = s->dtype == CLATTN_F16 ? 65504 : 0x1.fep127f, poison[] = { NAN, INFINITY, -INFINITY, huge };
    struct result clean, r;
    if (!solve(s, algo, d, &clean)) return;
    for (size_t n = 0; n < 3 * sizeof poison / sizeof *poison; n++) {
        float x = poison[n / 3];
        for (int m = 0; m < s->B * s->Hkv; m++)
            for (int j = 0; j < s->Nk; j++) {
                if (seen_by_any(s, d, m / s->Hkv, j)) continue;
                hold(s, d->k, d->k_bytes, d->k_scale, m, j, s->D, n % 3 != 1 ? x : 0.5f);
                hold(s, d->v, d->v_bytes, d->v_scale, m, j, s->Dv, n % 3 != 0 ? x : 0.5f);
            }
        if (!solve(s, algo, d, &r)) break;
        expect_same(s, algo, &r, &clean, n % 3 == 0 ? "a masked key leaks" : n % 3 == 1 ? "a masked value leaks"
                                                                           : "a masked key and value leak");
        result_free(&r);
    }
    result_free(&clean);
}

/* The same by the algorithm that only takes weights which may be rounded. */
static void on_matrix(struct shape s, void (*test)(const struct shape *s, const char *algo, struct data *d))
{
    if (s.dtype == CLATTN_F32 || attend_is_slow()) return;
    s.rounded = 1, s.algo = "matrix";
    on_every_algo(s, test);
}

START_TEST(test_poison_unseen)
{
    struct shape s = base(_i);
    s.causal = 1, s.align = CLATTN_TOP_LEFT;
    on_every_algo(s, poison_unseen);
    s.Nq = 5;
    on_every_algo(s, poison_unseen);
    on_matrix(s, poison_unseen);
    s.causal = 0, s.window = 1, s.left = 4, s.right = 2, s.align = CLATTN_OFFSET, s.q_offset = 20;
    on_every_algo(s, poison_unseen);
    on_matrix(s, poison_unseen);
    if (attend_is_host()) { /* rows that pick groups of keys, some behind the mask: it goes through them in a way of its own */
        s.Nq = base(_i).Nq, s.causal = 1, s.window = 0, s.align = CLATTN_TOP_LEFT;
        s.pattern = LEAF(LSH, .rounds = 2, .buckets = 4);
        on_every_algo(s, poison_unseen);
        s.pattern = LEAF(BLOCK_TOP_K, .block = 16, .count = 2, .own = 1);
        on_every_algo(s, poison_unseen);
    }
    if (_i == 0 && !attend_is_slow()) {
        static const int32_t lens[] = { 40, 0 };
        struct shape kinds_of[3] = { base(0), base(0), base(0) };
        kinds_of[0].mask = kinds_of[1].bias = "k", kinds_of[2].lens = lens;
        for (int n = 0; n < 6; n++) {
            if (n >= 3) kinds_of[n - 3].Nq = 5; /* split's too */
            on_every_algo(kinds_of[n % 3], poison_unseen);
        }
        for (int format = CLATTN_KV_INT8; format <= CLATTN_KV_Q4_0; format++) { /* those that cl/decode.h reads as they are */
            if (format == CLATTN_KV_FP8) continue;
            struct shape q = base(0);
            q.kv_format = (clattn_kv_format)format, q.zeroless = 1;
            q.scale_kind = format == CLATTN_KV_INT8 ? CLATTN_SCALE_BY_KEY : CLATTN_NO_SCALE;
            q.Nq = 2, q.mask = "k"; /* not causality, which ends the keys before */
            on_every_algo(q, poison_unseen);
        }
    }
    finish();
}
END_TEST

/* Row R of the result: with SAME the bits of CLEAN, else NaN throughout (in column COLUMN only, when that is >= 0). */
static bool row_is(const struct shape *s, const struct result *r, const struct result *clean, size_t row, bool same,
                   int column)
{
    bool right = true;
    for (int e = 0; e < s->Dv; e++) {
        size_t at = row * (size_t)s->Dv + (size_t)e;
        bool keeps = same || (column >= 0 && e != column);
        right = right && (keeps ? !memcmp(&r->out[at], &clean->out[at], sizeof(float)) : isnan(r->out[at]));
    }
    bool lse_keeps = same || column >= 0;
    return right && (lse_keeps ? !memcmp(&r->lse[row], &clean->lse[row], sizeof(float)) : isnan(r->lse[row]));
}

/* A NaN reaches the rows that see it and no other: in one key, one element of V, one query. */
static void poison_seen(const struct shape *s, const char *algo, struct data *d)
{
    int bad = s->Nk / 3, query = bad % s->Nq, group = s->Hq / s->Hkv, column = s->Dv / 2;
    struct result clean, r;
    float *const at[] = { row_of(d->k, 1, s->Nk, s->D, bad), row_of(d->v, 1, s->Nk, s->Dv, bad) + column,
                          row_of(d->q, group, s->Nq, s->D, query) };
    static const char *const what[] = { "a NaN in K", "a NaN in V", "a NaN in Q" };
    if (!solve(s, algo, d, &clean)) return;
    for (int n = 0; n < 3; n++) {
        float keep = *at[n];
        bool right = true;
        *at[n] = NAN;
        if (!solve(s, algo, d, &r)) break;
        *at[n] = keep;
        for (size_t row = 0; row < shape_rows(s); row++) {
            int i = (int)(row % (size_t)s->Nq), h = (int)(row / (size_t)s->Nq); /* h counts through the batch */
            bool hit = n == 2 ? h == group && i == query : h / group == 1 && sees(s, d, 0, i, bad);
            right = right && row_is(s, &r, &clean, row, !hit, n == 1 ? column : -1);
        }
        expect(right, s, algo, what[n]);
        result_free(&r);
    }
    result_free(&clean);
}

START_TEST(test_poison_seen)
{
    struct shape s = base(_i);
    s.causal = 1, s.align = CLATTN_TOP_LEFT, s.Nk = s.Nq;
    on_every_algo(s, poison_seen);
    on_matrix(s, poison_seen);
    if (_i == 0 && !attend_is_slow()) { /* a cap makes a finite number of what was infinite: masks come after it */
        s.softcap = 2;
        on_every_algo(s, poison_seen);
        struct shape m = base(0);
        m.Nk = m.Nq;
        m.mask = "qk";
        on_every_algo(m, poison_seen);
        m.mask = NULL, m.bias = "qk";
        on_every_algo(m, poison_seen);
        s.softcap = 0, s.dropout = 0.9; /* a weight that is dropped is 0, and 0 NaN is NaN: its key is seen */
        on_every_algo(s, poison_seen);
        s.Nq = 2;
        on_every_algo(s, poison_seen);
    }
    finish();
}
END_TEST

/* Scores so far apart that one weight is 1 and all others vanish: out is that row of V, bit for bit. */
static void one_hot(const struct shape *s, const char *algo, struct data *d)
{
    struct result r;
    uint64_t seed = 11;
    bool right = true;
    fill(d->q, shape_rows(s) * (size_t)s->D, 0);
    fill(d->k, k_count(s), 0);
    for (int m = 0; m < s->B * s->Hkv; m++) /* key j is unit vector j mod D, the later copies turned away */
        for (int j = 0; j < s->Nk; j++) row_of(d->k, m, s->Nk, s->D, j)[j % s->D] = j < s->D ? 1 : -1;
    int *pick = malloc(shape_rows(s) * sizeof *pick);
    for (size_t row = 0; pick && row < shape_rows(s); row++) {
        pick[row] = draw_below(&seed, s->D < s->Nk ? s->D : s->Nk);
        d->q[row * (size_t)s->D + (size_t)pick[row]] = 1;
    }
    if (pick && solve(s, algo, d, &r)) {
        for (size_t row = 0; row < shape_rows(s); row++) {
            int kv = kv_head(s, row);
            right = right && !memcmp(r.out + row * (size_t)s->Dv, row_of(d->v, kv, s->Nk, s->Dv, pick[row]),
                                     (size_t)s->Dv * sizeof(float)) && near(r.lse[row], shape_scale(s), 0x1p-22);
        }
        expect(right, s, algo, "a one-hot row is not that row of V");
        result_free(&r);
    }
    free(pick);
}

START_TEST(test_one_hot)
{
    struct shape s = base(_i);
    s.scale = 10000;
    on_every_algo(s, one_hot);
    s.scale = 300;
    on_every_algo(s, one_hot);
    on_matrix(s, one_hot);
    finish();
}
END_TEST

/* Equal scores, a power of two of keys, values that are multiples of 1/8: the mean is exact. */
static void uniform(const struct shape *s, const char *algo, struct data *d)
{
    struct result r;
    fill(d->q, shape_rows(s) * (size_t)s->D, 0);
    make_eighths(d->v, v_count(s), 12);
    if (!solve(s, algo, d, &r)) return;
    bool right = true, lse = true;
    for (size_t row = 0; row < shape_rows(s); row++) {
        int kv = kv_head(s, row);
        for (int e = 0; e < s->Dv; e++) {
            double sum = 0;
            for (int j = 0; j < s->Nk; j++) sum += row_of(d->v, kv, s->Nk, s->Dv, j)[e];
            right = right && r.out[row * (size_t)s->Dv + (size_t)e] ==
                                 (float)oracle_round((enum oracle_type)s->dtype, sum / s->Nk);
        }
        lse = lse && near(r.lse[row], log(s->Nk), 0x1p-22);
    }
    expect(right, s, algo, "the mean of equal weights is not exact");
    expect(lse, s, algo, "lse of equal weights is not log n");
    result_free(&r);
}

START_TEST(test_uniform)
{
    struct shape s = base(_i);
    s.Nk = small_or(32, 128);
    on_every_algo(s, uniform);
    s.Nk = 1;
    on_every_algo(s, uniform);
    s.Nk = 2, s.Nq = 1;
    on_every_algo(s, uniform);
    finish();
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        { "poison_unseen", test_poison_unseen, KINDS }, { "poison_seen", test_poison_seen, KINDS },
        { "one_hot", test_one_hot, KINDS }, { "uniform", test_uniform, KINDS },
        { NULL, NULL, 0 },
    };
    return run_tests("values", tests);
}
