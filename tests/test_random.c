/* test_random.c -- random problems on the legal algorithms of the environment's device (one of them each where
 * that is slow), against the oracle.  CLATTN_SEED draws others, CLATTN_RANDOM says how many. */
#include "property.h"

static int pick(uint64_t *seed, const int *from, int n) { return from[draw_below(seed, n)]; }

/* Two in three have some; elsewhere than on the host in five sets only, since each is a set of kernels to build. */
static void random_features(uint64_t *seed, int32_t lens[4], struct shape *s)
{
    static const char *const axes[] = { "bhqk", "qk", "hqk", "bk", "k", "bhq", "h", "" };
    static const int sets[] = { 0, 0, 0, 1, 2 | 16, 4 | 8, 8 | 32, 63 };
    if (draw_below(seed, 4) == 0) s->dropout = draw_below(seed, 17) / 16.0, s->seed = draw_bits(seed), s->drop_offset = draw_bits(seed);
    int on = attend_is_host() ? draw_below(seed, 3) ? draw_below(seed, 64) : 0 : pick(seed, sets, 8);
    if (on & 1) s->softcap = 1 + draw_below(seed, 50);
    if (on & 2) s->bias = axes[draw_below(seed, 8)];
    if (on & 4) s->mask = axes[draw_below(seed, 8)];
    if (on & 8) s->alibi = (clattn_alibi)(1 + draw_below(seed, 2));
    s->sinks = (on & 16) != 0;
    for (int b = 0; b < 4; b++) lens[b] = draw_below(seed, s->Nk + 1);
    if (on & 32) s->lens = lens;
    if (s->Nk > 8) s->shorter = draw_below(seed, 4) ? 0 : draw_below(seed, s->Nk / 2);
}

static struct shape random_shape(uint64_t *seed, int32_t offsets[4], int32_t lens[4])
{
    static const int lengths[] = { 1, 2, 3, 7, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 96, 100, 127, 128, 129, 200 };
    static const int groups[] = { 1, 1, 2, 3, 4, 8 };
    int most = small_or(9, sizeof lengths / sizeof *lengths), kind = draw_below(seed, KINDS);
    bool any = attend_is_host(), rich = any || kind == 0; /* elsewhere a new kind of shape means new kernels to build */
    struct shape s = { .dtype = kinds[kind].dtype, .D = kinds[kind].D, .B = 1 + draw_below(seed, 4) };
    s.Hkv = 1 + draw_below(seed, 3);
    s.Hq = s.Hkv * pick(seed, groups, small_or(4, 6));
    s.Nq = draw_below(seed, 4) ? pick(seed, lengths, most) : 1 + draw_below(seed, 3);
    s.Nk = pick(seed, lengths, most);
    if (!any && s.Nq < 33) s.Nq = rich && s.Nq == 1 ? 1 : s.Nq + 32;
    if (!any && s.Nq == 1) s.Hq = 8 * s.Hkv;
    s.causal = draw_below(seed, 2);
    s.align = (clattn_align)draw_below(seed, rich ? 3 : 2);
    bool strided = any || (rich && s.Nq > 1 && s.align != CLATTN_OFFSET);
    s.memory = (enum memory)draw_below(seed, strided ? MEMORIES : GAPPED);
    if (s.align == CLATTN_OFFSET) s.q_offset = draw_below(seed, 150) - 50;
    if (s.align == CLATTN_OFFSET && draw_below(seed, 2)) {
        for (int b = 0; b < 4; b++) offsets[b] = draw_below(seed, 150) - 50;
        s.offsets = offsets;
    }
    s.window = draw_below(seed, 3) == 0;
    s.left = draw_below(seed, 3) ? draw_below(seed, 100) : -1;
    s.right = draw_below(seed, 3) ? draw_below(seed, 40) : -1;
    if (draw_below(seed, 3) == 0) s.scale = (1 + draw_below(seed, 40)) / 16.0;
    if (rich) random_features(seed, lens, &s);
    return shape_full(s);
}

START_TEST(test_random)
{
    const char *wanted = getenv("CLATTN_SEED"), *many = getenv("CLATTN_RANDOM"), *names[CA_MAX_CANDIDATES];
    uint64_t seed = wanted ? strtoull(wanted, NULL, 0) : 20250101 + (uint64_t)attend_context()->dev.kind;
    int count = many ? atoi(many) : 300;
    printf("%d random problems, CLATTN_SEED=%llu\n", count, (unsigned long long)seed);
    for (int n = 0; n < count; n++) {
        int32_t offsets[4], lens[4];
        struct shape s = random_shape(&seed, offsets, lens);
        struct data d;
        struct oracle o;
        struct result r;
        if (!data_draw(&s, draw_bits(&seed), &d)) break;
        size_t legal = attend_algos(&s, names);
        size_t from = 0, to = legal;
        if (attend_is_slow() && legal) from = (size_t)n % legal, to = from + 1;
        if (attend_oracle(&s, &d, &o)) {
            for (size_t i = from; i < to; i++) {
                if (!attend(&s, names[i], &d, &r)) continue;
                attend_judge(&s, names[i], &o, &r);
                result_free(&r);
            }
            oracle_free(&o);
        }
        data_free(&d);
    }
    finish();
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        { "random", test_random, 1 },
        { NULL, NULL, 0 },
    };
    return run_tests("random", tests);
}
