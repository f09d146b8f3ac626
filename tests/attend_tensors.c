/* attend_tensors.c -- see attend_tensors.h. */
#include "attend_tensors.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Strides of the tensor as MEMORY wants it; GIVEN becomes what the caller passes (all 0: from the layout). */
static void lay_out(struct image *m, enum memory memory, bool is_kv, clattn_strides *given)
{
    int64_t H = m->n[1], N = m->n[2], D = m->n[3], *s = m->stride;
    bool explicit_strides = true;
    switch (memory) {
    case SWAPPED: s[3] = 1, s[1] = D, s[2] = H * D, s[0] = N * H * D, explicit_strides = false; break;
    case SHARED:
    case GAPPED: s[3] = 1, s[2] = D + 3, s[1] = N * s[2] + 5, s[0] = H * s[1] + 7; break;
    case SPREAD: s[3] = 2, s[2] = 2 * D + 1, s[1] = N * s[2] + 1, s[0] = H * s[1]; break;
    case TURNED: s[2] = 1, s[3] = N + 1, s[1] = D * s[3], s[0] = H * s[1] + 3; break;
    default: s[3] = 1, s[2] = D, s[1] = N * D, s[0] = H * N * D, explicit_strides = false;
    }
    if (memory == SHARED && is_kv) s[0] = 0;
    *given = explicit_strides ? (clattn_strides){ s[0], s[1], s[2], s[3] } : (clattn_strides){ 0, 0, 0, 0 };
}

static bool has_lens(const struct shape *s) { return s->lens && (!s->q_lens || s->page); }
static int sum(const int32_t *x, int n)
{
    int all = 0;
    for (int i = 0; i < n; i++) all += x[i];
    return all;
}

/* The oracle's functions, as the host calls them and as OpenCL C; DATA is this. */
static struct callback_data { const float *table; long keys; enum tiles tiles; } callback_data;
static float score_callback(void *data, float score, int b, int h, int i, int j)
{
    (void)b, (void)h;
    return score + 0.125f * (float)(i - j) + ((struct callback_data *)data)->table[j % 7];
}
static int mask_callback(void *data, int b, int h, int i, int j)
{
    (void)b, (void)h;
    return ((struct callback_data *)data)->tiles ? oracle_in_tiles(i, j) : (i + j) % 4 != 0;
}
static int tile_callback(void *data, int b, int h, int i0, int i1, int j0, int j1)
{
    const struct callback_data *c = data;
    (void)b, (void)h;
    if (i0 >= i1 || j0 < 0 || j0 >= j1 || j1 > c->keys) wrong("a tile of queries %d ... %d and keys %d ... %d", i0, i1, j0, j1);
    return c->tiles == TILES ? oracle_tile_class(i0, i1, j0, j1) : c->tiles == TILES_SOME ? 1 : c->tiles == TILES_NONE ? 0 : 2;
}

static const char mask_of_tiles[] = "int third = ((i + 64000) / 64 + j / 200) % 3;\n"
                                    "return third == 2 || (third == 1 && (i + j) % 4 != 0);\n";
static const char class_of_tiles[] = "int any = 0, all = 1;\n"
                                     "for (int row = (i0 + 64000) / 64; row <= (i1 + 63999) / 64; row++)\n"
                                     "    for (int column = j0 / 200; column <= (j1 - 1) / 200; column++) {\n"
                                     "        any |= (row + column) % 3 != 0;\n"
                                     "        all &= (row + column) % 3 == 2;\n"
                                     "    }\n"
                                     "return any == 0 ? 0 : all ? 2 : 1;\n";

static void describe_mods(const struct shape *s, clattn_attention *a)
{
    static const char *const classes[] = { [TILES] = class_of_tiles, [TILES_SOME] = "return 1;", [TILES_NONE] = "return 0;",
                                           [TILES_ALL] = "return 2;" };
    if (s->mod) {
        a->score_mod = "return score + gain * (i - j)\n + table[j % 7];";
        a->mod_buffers = "table", a->mod_lengths[0] = 7, a->mod_scalars = "gain=0.125";
        a->score_callback = score_callback;
    }
    if (s->mod || s->tiles) {
        a->mask_mod = s->tiles ? mask_of_tiles : "return (i + j) % 4 != 0;";
        a->mask_callback = mask_callback, a->callback_data = &callback_data;
    }
    if (s->tiles && classes[s->tiles]) a->tile_class = classes[s->tiles], a->tile_callback = tile_callback;
}

static void describe(const struct shape *s, clattn_attention *a)
{
    clattn_attention_init(a);
    a->dtype = s->dtype;
    a->layout = s->q_lens ? CLATTN_THD : s->memory == SWAPPED ? CLATTN_BSHD : CLATTN_BHSD;
    a->batch = s->B, a->q_heads = s->Hq, a->kv_heads = s->Hkv;
    a->q_len = s->Nq, a->kv_len = s->Nk, a->head_dim = s->D, a->v_dim = s->Dv;
    if (s->scale != 0) a->scale = shape_scale(s);
    a->softcap = s->softcap, a->round_weights = s->rounded;
    a->causal = s->causal, a->align = s->align;
    if (s->align == CLATTN_OFFSET) a->q_offset = s->q_offset;
    a->window_left = s->left, a->window_right = s->right;
    a->kv_format = s->kv_format, a->k_scale = a->v_scale = s->scale_kind;
    if (s->kv_format == CLATTN_KV_INT8 && !s->zeroless) a->k_zero = a->v_zero = s->scale_kind;
    a->score = s->score, a->score_ws = s->score_ws, a->q_dim = s->q_dim, a->score_scale = 0.75;
    describe_mods(s, a);
    a->q_rope = a->k_rope = s->rope, a->rope_interleaved = s->rope_pairs;
    a->new_len = s->new_len, a->weights = s->weights, a->shared_len = s->shared, a->split_len = s->split;
    a->kv_lens = has_lens(s) ? s->Nk : 0, a->alibi = s->alibi, a->sinks = s->sinks;
    a->dropout_p = s->dropout, a->seed = s->seed, a->offset = s->drop_offset;
}

void tensors_free(struct tensors *t)
{
    for (int i = 0; i < CA_SLOTS; i++) free(t->m[i].bytes);
    memset(t, 0, sizeof *t);
}

/* Pages: every second one is used, the last first. */
static int pages_of(const struct shape *s) { return 2 * s->B * (s->Nk / s->page) + 1; }
static int page_of(const struct shape *s, int b, int n) { return pages_of(s) - 2 - 2 * (b * (s->Nk / s->page) + n); }
static int keys_of(const struct shape *s, int b) { return s->lens ? s->lens[b] : s->Nk; }

/* Where row i of head h of batch row b, of N a head, lies in a ragged or paged tensor: number of the element in
 * [1][H][total] or [pages][H][page]; -1: nowhere. */
static long place_of(const struct shape *s, int slot, int heads, int b, int h, int i)
{
    bool kv = slot == CA_K || slot == CA_V;
    const int32_t *lens = kv ? s->lens : s->q_lens;
    if (kv && s->page)
        return i < keys_of(s, b) ? ((long)page_of(s, b, i / s->page) * heads + h) * s->page + i % s->page : -1;
    return i < lens[b] ? (long)h * sum(lens, s->B) + sum(lens, b) + i : -1;
}

/* The sizes of tensor SLOT, and its values from those of [B][heads][rows][dim]; NaN where there are none. */
static float *repack(const struct shape *s, int slot, const float *from, long n[4])
{
    const int heads = (int)n[1], rows = (int)n[2], dim = (int)n[3];
    bool kv = slot == CA_K || slot == CA_V;
    if (kv && s->page) n[0] = pages_of(s), n[2] = s->page;
    else n[0] = 1, n[2] = sum(kv ? s->lens : s->q_lens, s->B);
    size_t count = (size_t)(n[0] * n[1] * n[2] * n[3]);
    float *to = malloc((count + 1) * sizeof *to);
    for (size_t e = 0; to && e < count; e++) to[e] = kv && s->kv_format ? 127 : NAN;
    for (int b = 0; to && from && b < s->B; b++)
        for (int h = 0; h < heads; h++)
            for (int i = 0; i < rows; i++) {
                long at = place_of(s, slot, heads, b, h, i);
                if (at >= 0) memcpy(to + at * dim, from + (((long)b * heads + h) * rows + i) * dim, (size_t)dim * sizeof *to);
            }
    return to;
}

static bool make_image(struct tensors *t, int slot, int dtype, enum memory memory, const long n[4], const float *values,
                       clattn_strides *given)
{
    struct image *m = &t->m[slot];
    clattn_strides unused;
    *m = (struct image){ .dtype = dtype, .n = { n[0], n[1], n[2], n[3] } };
    lay_out(m, memory, slot == CA_K || slot == CA_V, given ? given : &unused);
    return image_make(m, values);
}

/* [n0][n1] numbers side by side. */
static bool make_list(struct tensors *t, int slot, int dtype, int n0, int n1, const float *values)
{
    return make_image(t, slot, dtype, PACKED, (const long[4]){ n0, n1, 1, 1 }, values, NULL);
}

static bool make_ints(struct tensors *t, int slot, int count, const int32_t *values)
{
    float *x = malloc(((size_t)count + 1) * sizeof *x);
    for (int i = 0; x && i < count; i++) x[i] = (float)values[i];
    bool ok = x && make_list(t, slot, IMAGE_I32, count, 1, x);
    free(x);
    return ok;
}

static bool make_broadcast(struct tensors *t, int slot, int dtype, const struct shape *s, const char *axes,
                           const float *values, clattn_broadcast *given)
{
    clattn_strides strides;
    long n[4];
    shape_broadcast(s, axes, n);
    bool ok = make_image(t, slot, dtype, s->memory == SWAPPED ? PACKED : s->memory, n, values, &strides);
    for (int i = 0; i < 4; i++) given->shape[i] = n[i];
    given->stride[0] = strides.batch, given->stride[1] = strides.head, given->stride[2] = strides.row;
    given->stride[3] = strides.dim;
    return ok;
}

/* Keys or values X without those that the execution appends (FIRST), or those alone (NEW). */
enum part { FIRST, NEW };
static float *cut_cache(const struct shape *s, const float *x, int dim, enum part part)
{
    int rows = part == NEW ? s->new_len : s->Nk;
    size_t n = (size_t)(s->B * s->Hkv) * (size_t)rows * (size_t)dim;
    float *to = malloc((n + 1) * sizeof *to);
    for (size_t e = 0; to && x && e < n; e++) {
        size_t m = e / (size_t)dim / (size_t)rows, d = e % (size_t)dim;
        int r = (int)(e / (size_t)dim % (size_t)rows), old = s->lens[m / (size_t)s->Hkv] - s->new_len;
        int j = part == NEW ? old + r : r;
        to[e] = part == FIRST && j >= old && j < old + s->new_len ? s->kv_format && dim > 1 ? 127 : NAN : x[(m * (size_t)s->Nk + (size_t)j) * (size_t)dim + d];
    }
    return to;
}

/* One of q, k, v, out and lse, from or for values [B][heads][rows][dim]. */
static bool make_main(struct tensors *t, int slot, const struct shape *s, int heads, int rows, int dim, const float *values,
                      clattn_strides *given)
{
    long n[4] = { s->B, heads, rows, dim };
    bool moved = s->q_lens || (s->page && (slot == CA_K || slot == CA_V));
    enum memory memory = slot == CA_LSE ? PACKED : moved && s->memory == PACKED ? SWAPPED : s->memory;
    int dtype = slot == CA_LSE ? CLATTN_F32 : s->kv_format && (slot == CA_K || slot == CA_V) ? IMAGE_U8 : (int)s->dtype;
    if (!moved) return make_image(t, slot, dtype, memory, n, values, given);
    float *x = repack(s, slot, values, n);
    bool ok = x && make_image(t, slot, dtype, memory, n, values ? x : NULL, given);
    free(x);
    return ok;
}

/* K or V, and the part of it that is appended, as it is in FRESH; AFTER: as the execution has to leave it. */
static bool make_cache(struct tensors *t, int slot, const struct shape *s, int dim, const float *values, int new_dim, const float *fresh,
                       clattn_strides *given, bool after)
{
    if (!s->new_len || after) return make_main(t, slot, s, s->Hkv, s->Nk, dim, values, given);
    const long n[4] = { s->B, s->Hkv, s->new_len, new_dim };
    float *first = cut_cache(s, values, dim, FIRST), *new = cut_cache(s, fresh, new_dim, NEW);
    enum memory memory = s->q_lens && s->memory == PACKED ? SWAPPED : s->memory; /* as CLATTN_THD packs */
    bool is_k = slot == CA_K;
    bool ok = first && new && make_main(t, slot, s, s->Hkv, s->Nk, dim, first, given) &&
              make_image(t, is_k ? CA_KNEW : CA_VNEW, (int)s->dtype, memory, n, new, is_k ? &t->a.k_new : &t->a.v_new);
    free(first);
    free(new);
    return ok;
}

/* Scales or zero points of K or V: those by key lie as their keys do, and those of new keys are made by the execution. */
static bool make_scales(struct tensors *t, int slot, const struct shape *s, int dims, const float *values, bool after)
{
    long n[4];
    shape_scales(s, dims, n);
    if (s->new_len && s->scale_kind == CLATTN_SCALE_BY_KEY && values && !after) {
        float *first = cut_cache(s, values, 1, FIRST);
        bool ok = first && make_scales(t, slot, s, dims, first, true);
        free(first);
        return ok;
    }
    if (!s->page || s->scale_kind != CLATTN_SCALE_BY_KEY || !values) return make_image(t, slot, CLATTN_F32, PACKED, n, values, NULL);
    const long pages[4] = { pages_of(s), s->page, s->Hkv, 1 };
    float *x = calloc((size_t)(pages[0] * pages[1] * pages[2]) + 1, sizeof *x);
    for (int e = 0; x && e < s->B * s->Hkv * s->Nk; e++) {
        int b = e / s->Nk / s->Hkv, h = e / s->Nk % s->Hkv, j = e % s->Nk;
        x[(page_of(s, b, j / s->page) * s->page + j % s->page) * s->Hkv + h] = values[e];
    }
    bool ok = x && make_image(t, slot, CLATTN_F32, PACKED, pages, x, NULL);
    free(x);
    return ok;
}

static bool make_elements(struct tensors *t, const struct shape *s, const struct data *d, bool after)
{
    const long q[4] = { 1, 1, s->Nq, s->rope / 2 }, k[4] = { 1, 1, s->new_len ? s->new_len : s->Nk, s->rope / 2 };
    bool ok = true;
    if (d->score_w || s->score == CLATTN_GENERAL || s->score_ws)
        ok = make_list(t, CA_SCOREW, CLATTN_F32, s->score == CLATTN_GENERAL ? s->q_dim ? s->q_dim : s->D : 1,
                       s->score == CLATTN_GENERAL ? s->D : s->score_ws, d->score_w);
    callback_data = (struct callback_data){ d->table, s->Nk, s->tiles };
    if (s->mod) ok = ok && make_list(t, CA_MOD, CLATTN_F32, 1, 7, d->table);
    if (s->score == CLATTN_GAT) ok = make_list(t, CA_LEAKS, CLATTN_F32, 1, s->Hq, d->leaks);
    if (s->kv_format && s->scale_kind)
        ok = make_scales(t, CA_KSCALE, s, s->D, d->k_scale, after) && make_scales(t, CA_VSCALE, s, s->Dv, d->v_scale, after);
    if (s->kv_format == CLATTN_KV_INT8 && s->scale_kind && !s->zeroless)
        ok = ok && make_scales(t, CA_KZERO, s, s->D, d->k_zero, after) && make_scales(t, CA_VZERO, s, s->Dv, d->v_zero, after);
    if (s->rope)
        ok = ok && make_image(t, CA_QCOS, CLATTN_F32, PACKED, q, d->q_cos, NULL) && make_image(t, CA_QSIN, CLATTN_F32, PACKED, q, d->q_sin, NULL) &&
             make_image(t, CA_KCOS, CLATTN_F32, PACKED, k, d->k_cos, NULL) && make_image(t, CA_KSIN, CLATTN_F32, PACKED, k, d->k_sin, NULL);
    return ok;
}

/* The tensors of the pattern. */
static bool make_pattern(struct tensors *t, const struct shape *s, const struct data *d)
{
    const struct oracle_pattern *layout = oracle_find(s->pattern, ORACLE_BLOCK_SPARSE), *csr = oracle_find(s->pattern, ORACLE_CSR),
                                *lsh = oracle_find(s->pattern, ORACLE_LSH);
    const int rows = csr && csr->row_heads > 1 ? s->Hq : 1;
    bool ok = true;
    t->a.pattern = pattern_describe(s, s->pattern, &t->room);
    if (d->prefix) ok = make_ints(t, CA_PREFIX_LENS, s->B, d->prefix);
    if (d->doc_ids) ok = ok && make_ints(t, CA_DOCS, s->B * s->Nk, d->doc_ids);
    if (d->layout) {
        long n[4] = { 1 };
        oracle_layout(layout, s->Hq, s->Nk, n + 1);
        ok = ok && make_image(t, CA_LAYOUT, IMAGE_U8, PACKED, n, d->layout, NULL);
    }
    if (d->row_ptr) ok = ok && make_ints(t, CA_ROWS, rows * (s->Nq + 1), d->row_ptr) && make_ints(t, CA_COLUMNS, (int)oracle_edges(csr, s->Hq, s->Nq), d->col_idx);
    if (d->edge_bias)
        ok = ok && make_list(t, CA_EDGES, CLATTN_F32, csr->edge_heads > 1 ? s->Hq : 1, (int)oracle_edges(csr, s->Hq, s->Nq), d->edge_bias);
    for (int full = 0; full < 2; full++) {
        long n[5];
        if (!d->count[full]) continue;
        oracle_block_lists(s->pattern, s->B, s->Hq, s->Nq, s->Nk, n);
        const int lists = (int)(n[0] * n[1] * n[2]);
        ok = ok && make_ints(t, full ? CA_FULL_BLOCKS : CA_KV_BLOCKS, lists, d->count[full]) &&
             make_ints(t, full ? CA_FULL_INDICES : CA_KV_INDICES, lists * (int)n[3 + full], d->blocks[full]);
    }
    if (d->rotations) ok = ok && make_image(t, CA_ROTATIONS, CLATTN_F32, PACKED, (const long[4]){ 1, lsh->rounds, s->D, lsh->buckets / 2 }, d->rotations, NULL);
    if (d->span) ok = ok && make_list(t, CA_SPANS, CLATTN_F32, 1, s->Hq, d->span);
    if (oracle_find(s->pattern, ORACLE_TOP_P)) ok = ok && make_image(t, CA_SPENT, IMAGE_I32, PACKED, (const long[4]){ s->B, s->Hq, s->Nq, 1 }, NULL, NULL);
    return ok;
}

static bool make_cu(struct tensors *t, int slot, int B, const int32_t *lens)
{
    int32_t *cu = malloc(((size_t)B + 1) * sizeof *cu);
    for (int b = 0; cu && b <= B; b++) cu[b] = sum(lens, b);
    bool ok = cu && make_ints(t, slot, B + 1, cu);
    free(cu);
    return ok;
}

static bool make_lens(struct tensors *t, const struct shape *s)
{
    int32_t *lens = malloc(((size_t)s->B + 1) * sizeof *lens);
    for (int b = 0; lens && b < s->B; b++) lens[b] = s->lens[b] - s->new_len;
    bool ok = lens && make_ints(t, CA_LENS, s->B, lens);
    free(lens);
    return ok;
}

static bool make_table(struct tensors *t, const struct shape *s)
{
    int width = s->Nk / s->page;
    int32_t *table = malloc(((size_t)(s->B * width) + 1) * sizeof *table);
    for (int n = 0; table && n < s->B * width; n++)
        table[n] = n % width * s->page < keys_of(s, n / width) ? page_of(s, n / width, n % width) : -1;
    bool ok = table && make_ints(t, CA_TABLE, s->B * width, table);
    free(table);
    return ok;
}

static bool make_tensors(struct tensors *t, const struct shape *s, const struct data *d, bool after)
{
    memset(t, 0, sizeof *t);
    describe(s, &t->a);
    if (s->q_lens) t->a.q_total = sum(s->q_lens, s->B), t->a.kv_total = s->page ? 0 : sum(s->lens, s->B);
    if (s->page) t->a.page_size = s->page, t->a.pages = pages_of(s);
    bool bytes = s->kv_format != CLATTN_KV_PLAIN;
    const float *unturned = s->rope ? d->k_before : d->k, *k = bytes ? d->k_bytes : s->new_len ? d->k : unturned; /* caches hold turned keys */
    bool ok = make_main(t, CA_Q, s, s->Hq, s->Nq, s->q_dim ? s->q_dim : s->D, s->rope ? d->q_before : d->q, &t->a.q) &&
              make_cache(t, CA_K, s, bytes ? shape_row_bytes(s, s->D) : s->D, k, s->D, bytes ? d->k_raw : unturned, &t->a.k, after) &&
              make_cache(t, CA_V, s, bytes ? shape_row_bytes(s, s->Dv) : s->Dv, bytes ? d->v_bytes : d->v, s->Dv, bytes ? d->v_raw : d->v, &t->a.v, after) &&
              make_elements(t, s, d, after) &&
              make_main(t, CA_OUT, s, s->Hq, s->Nq, s->Dv, NULL, &t->a.out) && make_main(t, CA_LSE, s, s->Hq, s->Nq, 1, NULL, NULL);
    if (s->q_lens) ok = ok && make_cu(t, CA_CUQ, s->B, s->q_lens);
    if (s->q_lens && !s->page) ok = ok && make_cu(t, CA_CUK, s->B, s->lens);
    if (s->page) ok = ok && make_table(t, s);
    if (s->offsets) ok = ok && make_ints(t, CA_QOFF, s->B, s->offsets);
    if (has_lens(s)) ok = ok && make_lens(t, s);
    if (s->weights)
        ok = ok && make_image(t, CA_WEIGHTS, CLATTN_F32, PACKED, (const long[4]){ s->B, s->Hq, s->Nq, s->Nk }, NULL, NULL);
    if (s->alibi)
        ok = ok && make_list(t, CA_SLOPES, CLATTN_F32, s->alibi == CLATTN_ALIBI_BATCH_HEAD ? s->B : 1, s->Hq, d->slopes);
    if (s->sinks) ok = ok && make_list(t, CA_SINKS, CLATTN_F32, 1, s->Hq, d->sinks);
    if (s->bias) ok = ok && make_broadcast(t, CA_BIAS, CLATTN_F32, s, s->bias, d->bias, &t->a.bias);
    if (s->mask) ok = ok && make_broadcast(t, CA_MASK, IMAGE_U8, s, s->mask, d->mask, &t->a.mask);
    if (s->pattern) ok = ok && make_pattern(t, s, d);
    if (!ok) wrong("no memory");
    return ok;
}

bool tensors_make(struct tensors *t, const struct shape *s, const struct data *d) { return make_tensors(t, s, d, false); }

/* New keys are in their places, and all else in the caches is as it was. */
void tensors_check_caches(const struct tensors *t, const struct shape *s, const struct data *d, const char *what)
{
    struct tensors want;
    if (!s->new_len) return;
    if (make_tensors(&want, s, d, true))
        for (int i = CA_K; i <= CA_VZERO; i++)
            if ((i <= CA_V || i >= CA_KSCALE) && t->m[i].bytes && memcmp(want.m[i].bytes, t->m[i].bytes, image_bytes(&t->m[i]))) wrong("%s: the cache %s is not as it should be", what, ca_slot_name[i]);
    tensors_free(&want);
}

/* Back to [B][H][Nq][dim], where rows that no sequence has stay NaN. */
float *tensors_unpack(const struct shape *s, float *x, int dim)
{
    if (!x || !s->q_lens) return x;
    float *to = malloc((shape_rows(s) * (size_t)dim + 1) * sizeof *to);
    for (size_t e = 0; to && e < shape_rows(s) * (size_t)dim; e++) to[e] = NAN;
    for (int r = 0; to && r < (int)shape_rows(s); r++) {
        long at = place_of(s, CA_Q, s->Hq, r / s->Nq / s->Hq, r / s->Nq % s->Hq, r % s->Nq);
        if (at >= 0) memcpy(to + (long)r * dim, x + at * dim, (size_t)dim * sizeof *to);
    }
    free(x);
    return to;
}
