/* kernel-configs.c -- prints every kernel configuration that the planner would take on a GPU, for perf/gpu-table:
 * representative problems on made-up GPUs, through the table of algorithms, so that a new one is included.
 *
 *     [@TARGETS] [+private=BYTES] FILE.cl KERNEL,KERNEL... OPTIONS     one line each, none twice
 *
 * clattn-kernels DIR: where a user's functions stand before a kernel, the text is written to DIR/mods-FILE.cl. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include <stdlib.h>
#include <string.h>
#include "algo/algo.h"
#include "host/host.h"
#include "ops/ops.h"

/* Made-up GPUs: what these vendors' allow, and for AMD what an older driver allows.  A demanded sub-group is an
 * Intel matter.  What only features and patterns add is compiled for the oldest chip alone, which has the fewest registers. */
static const struct gpu { const char *targets, *oldest; cl_uint subgroup_min; cl_ulong local_bytes; size_t max_group; cl_uint matrix, shuffle; } gpus[] = {
    { "@amd", "@gfx906", 0, 32768, 256, 0, 3 },    { "@amd", "@gfx906", 0, 65536, 1024, 0, 3 },
    { "@nvidia", "@sm_75", 0, 49152, 1024, 0, 2 }, { "@skl,tgllp,dg2-g10", "@skl", 8, 65536, 256, 0, 1 },
    { "@pvc", "@pvc", 16, 131072, 1024, 0, 1 },
};

/* Those with matrix engines, and their layouts (cl/fragment.h); gfx90a's f16 stands for gfx940's. */
static const struct gpu engines[] = {
    { "@sm_80,sm_90", NULL, 0, 49152, 1024, 1, 2 }, { "@gfx90a", NULL, 0, 32768, 256, 2, 3 }, { "@gfx1100", NULL, 0, 65536, 1024, 5, 3 },
    { "@dg2-g10", NULL, 8, 65536, 512, 3, 1 },      { "@pvc", NULL, 16, 131072, 1024, 4, 1 },
};

/* Dims, and which forms: bit t is clattn_dtype t, APART is f16 with the dims of q apart and a q_offset; the others are f32,
 * FEATURES with all that a score can go through, PLACES a ragged batch in pages, ELEMENTS quantised and turned keys, then the
 * scores that are no products, MODS the user's functions. */
enum { APART = 8, FEATURES = 16, PLACES = 32, ELEMENTS = 64, ADDITIVE = 128, GENERAL = 256, GAT = 512, MODS = 1024, LAST = MODS };
static const struct { int64_t D, Dv; int forms; } dims[] = {
    { 64, 64, 7 | FEATURES | ELEMENTS | ADDITIVE | GENERAL }, { 128, 128, 3 | FEATURES | PLACES | MODS },
    { 256, 256, 1 }, { 576, 512, 1 | APART }, { 40, 40, 1 }, { 1, 64, GAT },
};
static const char *folder; /* for texts with the user's functions */

static char **lines;
static size_t count;

static void put(const char *line)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(lines[i], line)) return;
    char **more = realloc(lines, (count + 1) * sizeof *more), *copy = strdup(line);
    if (!more || !copy) exit(2);
    lines = more;
    lines[count++] = copy;
    puts(line);
}

static void fake_device(const struct gpu *g, struct device *d)
{
    memset(d, 0, sizeof *d);
    d->id = (cl_device_id)d; /* not the host */
    d->type = CL_DEVICE_TYPE_GPU;
    d->kind = CLATTN_CLASS_DGPU;
    d->compute_units = 32;
    d->clock_mhz = 1000;
    d->address_bits = 64;
    d->vector_width = 1;
    d->subgroup_min = g->subgroup_min;
    d->shuffle = g->shuffle;
    d->matrix_f16 = d->matrix_bf16 = g->matrix;
    d->max_group = d->max_items[0] = d->max_items[1] = d->max_items[2] = g->max_group;
    d->local_bytes = g->local_bytes;
    d->global_bytes = (cl_ulong)8 << 30;
    d->max_alloc = (cl_ulong)2 << 30;
    d->local_is_real = d->little_endian = d->available = d->has_compiler = true;
}

static const struct ca_source *source(const char *name)
{
    const struct ca_source *s = ca_sources;
    while (s->name && strcmp(s->name, name)) s++;
    return s->name ? s : NULL;
}

/* The next kernel's head in a text: "__kernel", or a name for that and its attributes. */
static const char *next_kernel(const char *at)
{
    while ((at = strchr(at, '\n'))) {
        at++;
        if (!strncmp(at, "__kernel", 8) || !strncmp(at, "LANE_KERNEL", 11)) return at;
    }
    return NULL;
}

/* Every kernel in the text but those whose names end in _lanes: they keep their tiles in private memory, which suits CPU-like devices
 * alone, and so do tiles in several passes, whose merge is that of split.cl.  TAG tells one user's or pattern's text from another. */
static void put_kernels(const struct gpu *g, const char *targets, const char *text, const struct problem *p, const char *tag, const char *options)
{
    const struct ca_source *s = source(text);
    char line[1024], path[512], name[64], names[256] = "";
    if (!s) {
        fprintf(stderr, "no text cl/%s.cl\n", text);
        exit(1);
    }
    for (const char *at = s->text; (at = next_kernel(at));) {
        at = strstr(at, "void ");
        if (!at || sscanf(at, "void %63[A-Za-z0-9_]", name) != 1) break;
        size_t n = strlen(name);
        if ((n > 6 && !strcmp(name + n - 6, "_lanes")) || (!strcmp(name, "attn_split_merge") && strcmp(text, "split"))) continue;
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", names[0] ? "," : "", name);
    }
    if (!names[0]) return;
    snprintf(path, sizeof path, "%s%s%s%s.cl", p->mods[0] ? folder : "", p->mods[0] ? "/mods-" : "", p->mods[0] ? tag : "", text);
    if (p->mods[0]) {
        FILE *f = fopen(path, "w");
        if (!f || fprintf(f, "%s\n#include \"%s.cl\"\n", p->mods, text) < 0 || fclose(f)) {
            perror(path);
            exit(1);
        }
    }
    /* gather keeps a row of q, one of out and a list: at home on a CPU, as its cost says.  So does what prepares: in registers, but for Intel's compiler. */
    const char *private = !strcmp(text, "gather") ? "+private=2048 " : !strcmp(text, "prepare") && g->subgroup_min ? "+private=512 " : "";
    /* LLVM 15 gives gfx11 128 of its 256 registers: what it spills must fit the others.  gpu-table counts those bytes twice, as spilled and as private. */
    if (g->matrix == 5) private = "+private=1024 ";
    snprintf(line, sizeof line, "%s %s%s %s %s", targets, private, path, names, options);
    put(line);
}

static clattn_status read_problem(const char *text, struct problem *p)
{
    clattn_attention a;
    struct ca_lengths l;
    clattn_status st;
    CA_TRY(ca_problem_parse_lengths(text, &a, &l));
    st = ca_problem_init(p, &a);
    ca_lengths_free(&l);
done:
    return st;
}

static void put_problem(const struct gpu *g, const char *targets, const struct problem *p)
{
    struct device dev;
    fake_device(g, &dev);
    for (const struct algo *const *a = ca_algos; *a; a++) {
        struct params t = { { 0 } };
        char why[128], options[512] = "";
        if (!(*a)->source || (*a)->legal(p, &dev, why)) continue;
        if ((*a)->defaults) (*a)->defaults(p, &dev, &t);
        if ((*a)->check && (*a)->check(p, &dev, &t, why)) continue;
        if ((*a)->options) (*a)->options(p, &dev, &t, options, sizeof options);
        put_kernels(g, targets, (*a)->source, p, "", options);
    }
}

static clattn_status put_form(const struct gpu *g, int64_t D, int64_t Dv, int form)
{
    enum { QUERIES = 1024, KEYS = 1024, HEADS = 8 };
    clattn_attention a;
    struct problem p;
    clattn_attention_init(&a);
    a.dtype = form == APART ? CLATTN_F16 : form == 4 ? CLATTN_BF16 : form == 2 ? CLATTN_F16 : CLATTN_F32;
    a.batch = 2;
    a.q_heads = a.kv_heads = HEADS;
    a.q_len = QUERIES;
    a.kv_len = KEYS;
    a.head_dim = D;
    a.v_dim = Dv;
    if (form == APART) {
        a.q = (clattn_strides){ HEADS * D * QUERIES, D * QUERIES, 1, QUERIES };
        a.align = CLATTN_OFFSET;
    }
    if (form == FEATURES) {
        a.softcap = 30;
        a.alibi = CLATTN_ALIBI_HEAD;
        a.sinks = 1;
        a.dropout_p = 0.1;
        a.kv_lens = KEYS;
        a.bias = a.mask = (clattn_broadcast){ .shape = { 1, HEADS, QUERIES, KEYS } };
    }
    if (form == PLACES) {
        a.layout = CLATTN_THD;
        a.q_total = QUERIES;
        a.page_size = 16;
        a.pages = 2 * KEYS / 16;
        a.kv_lens = KEYS;
    }
    if (form == ELEMENTS) {
        a.kv_format = CLATTN_KV_INT8;
        a.k_scale = a.v_scale = a.k_zero = a.v_zero = CLATTN_SCALE_BY_KEY;
        a.q_rope = a.k_rope = D;
    }
    if (form == ADDITIVE) a.score_ws = D;
    if (form >= ADDITIVE && form <= GAT) a.score = form == ADDITIVE ? CLATTN_ADDITIVE : form == GENERAL ? CLATTN_GENERAL : CLATTN_GAT;
    if (form == MODS) {
        a.score_mod = "return score + gain * (i - j) + table[j % 7];";
        a.mask_mod = "return (i + j) % 4 != 0;";
        a.mod_buffers = "table", a.mod_lengths[0] = 7, a.mod_scalars = "gain=0.125";
    }
    clattn_status st = ca_problem_init(&p, &a);
    if (st == CLATTN_OK) put_problem(g, form >= FEATURES ? g->oldest : g->targets, &p);
    return st;
}

/* The operations around attention: rows with an item each, and shared by a group. */
static void put_ops(void)
{
    char line[128];
    for (const struct ca_kernel *const *k = ca_op_kernels; *k; k++)
        for (int lanes = 1; lanes <= ((*k)->shared ? 64 : 1); lanes += 63) {
            snprintf(line, sizeof line, "%s.cl %s -DLANES=%d", (*k)->source, (*k)->name, lanes);
            put(line);
        }
}

static const struct algo *algo(const char *name)
{
    const struct algo *const *a = ca_algos;
    while (strcmp((*a)->name, name)) a++;
    return *a;
}

/* An algorithm's kernels for a problem's text, with parameters T, or the defaults where that is NULL. */
static clattn_status put_text(const struct gpu *g, const char *name, const char *text, const struct params *t)
{
    const struct algo *a = algo(name);
    struct device dev;
    struct problem p;
    struct params usual = { { 0 } };
    char why[128], options[512];
    clattn_status st;
    fake_device(g, &dev);
    CA_TRY(read_problem(text, &p));
    const char *reason = a->legal(&p, &dev, why);
    if (!t && !reason) a->defaults(&p, &dev, &usual);
    if (!t) t = &usual;
    if (!reason) reason = a->check(&p, &dev, t, why);
    CA_REQUIRE(!reason, CLATTN_E_INTERNAL, "%s: %s", text, reason);
    a->options(&p, &dev, t, options, sizeof options);
    put_kernels(g, g->targets, a->source, &p, "", options);
done:
    return st;
}

/* Those that only take weights which may be rounded, on GPUs with an engine for them. */
static clattn_status put_matrix(const struct gpu *g)
{
    static const char *const problems[] = {
        "f16 b2 h8 q1024 k1024 d64 rounded", "bf16 b2 h8 q1024 k1024 d64 rounded", "f16 b2 h8 q1024 k1024 d128 causal rounded",
        "bf16 b2 h8 q1024 k1024 d128 rounded", "f16 b2 h8 q1024 k1024 d40 rounded", "bf16 b2 h8 q1024 k1024 d128 softcap=30 alibi sinks lens=1000 rounded",
        "f16 b2 h8 q1024 k1024 d64 softcap=30 alibi sinks rounded", "bf16 b2 h8 q1024 k1024 d128 kv=paged16 lens=1000 rounded",
        "f16 b2 h8 q1024 k1024 d128 total=1024,2048 causal softcap=30 alibi sinks rounded",
    };
    clattn_status st = CLATTN_OK;
    for (size_t n = 0; n < sizeof problems / sizeof *problems && st == CLATTN_OK; n++) st = put_text(g, "matrix", problems[n], NULL);
    return st;
}

/* tiled with two buffers and with shuffles, which the tuner tries.  What is on its way takes so many registers that four rows an item spill where D is
 * 128; and Intel's larger sub-groups have fewer for an item. */
static clattn_status put_tried(const struct gpu *g)
{
    const int tx = g->subgroup_min ? (int)g->subgroup_min : 16;
    const struct { const char *problem; struct params t; } forms[] = {
        { "f32 b2 h8 q1024 k1024 d64", { { 4, 4, 16, 8, 16, 16, 1, 1 } } }, { "f16 b2 h8 q1024 k1024 d64", { { 4, 4, 16, 8, 16, 16, 1, 1 } } },
        { "f32 b2 h8 q1024 k1024 d128", { { 2, 4, 16, 8, 16, 16, 1, 1 } } }, { "f32 b2 h8 q1024 k1024 d64", { { 2, 4, tx, 8, 16, 16, 1, 0, 1 } } },
        { "f16 b2 h8 q1024 k1024 d64", { { 2, 4, tx, 8, 16, 16, 1, 1, 1 } } },
    };
    clattn_status st = CLATTN_OK;
    for (size_t n = 0; n < sizeof forms / sizeof *forms && st == CLATTN_OK; n++) st = put_text(g, "tiled", forms[n].problem, &forms[n].t);
    return st;
}

/* The kernels that a pattern alone has: gather, by what it does with keys, and what makes a pattern's words. */
static clattn_status put_patterns(const struct gpu *g)
{
    static const struct { const char *tag, *problem; } forms[] = {
        { "listed-", "f32 b2 h8 q1024 k1024 d64 pattern=dilated:64,3" }, { "taken-", "f32 b2 h8 q1024 k1024 d64 pattern=top_k:24" },
        { "means-", "f32 b2 h8 q1024 k1024 d64 pattern=hierarchical:64" }, { "own-", "f32 b2 h8 q1024 k1024 d64 pattern=random:24" },
        { "hashed-", "f32 b2 h8 q1024 k1024 d64 pattern=lsh:16,4" },
    };
    const struct algo *gather = algo("gather");
    struct device dev;
    clattn_status st = CLATTN_OK;
    fake_device(g, &dev);
    for (size_t n = 0; n < sizeof forms / sizeof *forms; n++) {
        struct problem p;
        struct params t = { { 0 } };
        char options[512];
        CA_TRY(read_problem(forms[n].problem, &p));
        gather->defaults(&p, &dev, &t);
        gather->options(&p, &dev, &t, options, sizeof options);
        put_kernels(g, g->oldest, gather->source, &p, forms[n].tag, options);
        for (int what = HOST_DRAW; what <= HOST_LIST && n == 0; what++) {
            ca_prepare_options(&p, &dev, what, options, sizeof options);
            put_kernels(g, g->oldest, "prepare", &p, forms[n].tag, options);
        }
    }
done:
    return st;
}

/* Linear attention, in its chunked and its recurrent form.  Not for Intel yet, whose compiler takes 32 lanes and spills. */
static clattn_status put_linear(const struct gpu *g)
{
    enum { B = 2, H = 8, T = 1024, D = 64 };
    static const struct { int rule, map, chunk; } forms[] = {
        { CLATTN_RULE_LINEAR, CLATTN_MAP_TAYLOR2, 0 }, { CLATTN_RULE_GATED_DELTA, CLATTN_MAP_IDENTITY, 0 }, { CLATTN_RULE_GATED_DELTA, CLATTN_MAP_IDENTITY, 1 },
    };
    const clattn_tensor x = { .size = sizeof x, .rank = 4, .shape = { B, H, T, D }, .host = (void *)64 };
    const clattn_tensor gates = { .size = sizeof x, .rank = 3, .shape = { B, H, T }, .host = (void *)64 };
    struct device dev;
    clattn_status st = CLATTN_OK;
    fake_device(g, &dev);
    for (size_t n = 0; n < sizeof forms / sizeof *forms; n++) {
        clattn_linear l;
        struct ca_call c;
        struct ca_linear_form form;
        char line[512];
        ca_linear_defaults(&l);
        l.rule = (clattn_update_rule)forms[n].rule, l.map = (clattn_feature_map)forms[n].map, l.chunk = forms[n].chunk;
        l.normalize = l.map != CLATTN_MAP_IDENTITY;
        const clattn_linear_tensors t = { .size = sizeof t, .q = &x, .k = &x, .v = &x, .g = l.rule == CLATTN_RULE_LINEAR ? NULL : &gates,
                                          .beta = l.rule == CLATTN_RULE_GATED_DELTA ? &gates : NULL, .out = &x };
        CA_TRY(ca_op_linear(&c, &l, &t));
        st = ca_linear_plan(&c, &dev, 0, &form);
        ca_call_free(&c);
        if (st) break;
        snprintf(line, sizeof line, "%s linear.cl linear_attention %s", g->targets, form.options);
        put(line);
    }
done:
    return st;
}

int main(int argc, char **argv)
{
    folder = argc > 1 ? argv[1] : NULL;
    put_ops();
    for (const struct gpu *g = gpus; g < gpus + sizeof gpus / sizeof *gpus; g++)
        for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
            for (int form = 1; form <= (folder ? LAST : MODS / 2); form *= 2)
                if (dims[i].forms & form && put_form(g, dims[i].D, dims[i].Dv, form) != CLATTN_OK) {
                    fprintf(stderr, "%s\n", ca_message());
                    return 1;
                }
    for (const struct gpu *g = gpus; g < gpus + sizeof gpus / sizeof *gpus; g++)
        if ((folder && put_patterns(g) != CLATTN_OK) || put_tried(g) != CLATTN_OK || (!g->subgroup_min && put_linear(g) != CLATTN_OK)) {
            fprintf(stderr, "%s\n", ca_message());
            return 1;
        }
    for (const struct gpu *g = engines; g < engines + sizeof engines / sizeof *engines; g++)
        if (put_matrix(g) != CLATTN_OK) {
            fprintf(stderr, "%s\n", ca_message());
            return 1;
        }
    for (size_t i = 0; i < count; i++) free(lines[i]);
    free(lines);
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
