/* attend_run.c -- the part of attend.h that runs something: on host pointers, and on cl_mem. */
#include "attend.h"
#include <stdlib.h>
#include <string.h>
#include "image.h"

/* ------------------------------------------------------------ tensors of a shape */

/* One image a slot of the library's; a tensor that the shape has not has no bytes.  TIGHT: on cl_mem without the guards. */
struct tensors { struct image m[CA_SLOTS]; clattn_attention a; bool tight; };

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

/* The oracle's functions, as the host calls them; DATA is where the table's address is. */
static const float *callback_table;
static float score_callback(void *data, float score, int b, int h, int i, int j)
{
    (void)b, (void)h;
    const float *table = *(const float **)data;
    return score + 0.125f * (float)(i - j) + table[j % 7];
}
static int mask_callback(void *data, int b, int h, int i, int j)
{
    (void)data, (void)b, (void)h;
    return (i + j) % 4 != 0;
}

static void describe(const struct shape *s, clattn_attention *a)
{
    clattn_attention_init(a);
    a->dtype = s->dtype;
    a->layout = s->q_lens ? CLATTN_THD : s->memory == SWAPPED ? CLATTN_BSHD : CLATTN_BHSD;
    a->batch = s->B, a->q_heads = s->Hq, a->kv_heads = s->Hkv;
    a->q_len = s->Nq, a->kv_len = s->Nk, a->head_dim = s->D, a->v_dim = s->Dv;
    if (s->scale != 0) a->scale = shape_scale(s);
    a->softcap = s->softcap;
    a->causal = s->causal, a->align = s->align;
    if (s->align == CLATTN_OFFSET) a->q_offset = s->q_offset;
    a->window_left = s->left, a->window_right = s->right;
    a->kv_format = s->kv_format, a->k_scale = a->v_scale = s->scale_kind;
    if (s->kv_format == CLATTN_KV_INT8) a->k_zero = a->v_zero = s->scale_kind;
    a->score = s->score, a->score_ws = s->score_ws, a->q_dim = s->q_dim, a->score_scale = 0.75;
    if (s->mod) {
        a->score_mod = "return score + gain * (i - j)\n + table[j % 7];";
        a->mask_mod = "return (i + j) % 4 != 0;";
        a->mod_buffers = "table", a->mod_lengths[0] = 7, a->mod_scalars = "gain=0.125";
        a->score_callback = score_callback, a->mask_callback = mask_callback, a->callback_data = &callback_table;
    }
    a->q_rope = a->k_rope = s->rope, a->rope_interleaved = s->rope_pairs;
    a->new_len = s->new_len, a->weights = s->weights;
    a->kv_lens = has_lens(s) ? s->Nk : 0, a->alibi = s->alibi, a->sinks = s->sinks;
}

static void tensors_free(struct tensors *t)
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
        to[e] = part == FIRST && j >= old && j < old + s->new_len ? NAN : x[(m * (size_t)s->Nk + (size_t)j) * (size_t)dim + d];
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

/* K or V, and the part of it that is appended; AFTER: as the execution has to leave it. */
static bool make_cache(struct tensors *t, int slot, const struct shape *s, int dim, const float *values, clattn_strides *given, bool after)
{
    if (!s->new_len || after) return make_main(t, slot, s, s->Hkv, s->Nk, dim, values, given);
    const long n[4] = { s->B, s->Hkv, s->new_len, dim };
    float *first = cut_cache(s, values, dim, FIRST), *new = cut_cache(s, values, dim, NEW);
    bool is_k = slot == CA_K;
    bool ok = first && new && make_main(t, slot, s, s->Hkv, s->Nk, dim, first, given) &&
              make_image(t, is_k ? CA_KNEW : CA_VNEW, (int)s->dtype, s->memory, n, new, is_k ? &t->a.k_new : &t->a.v_new);
    free(first);
    free(new);
    return ok;
}

/* Scales or zero points of K or V: those by key lie as their keys do. */
static bool make_scales(struct tensors *t, int slot, const struct shape *s, int dims, const float *values)
{
    long n[4];
    shape_scales(s, dims, n);
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

static bool make_elements(struct tensors *t, const struct shape *s, const struct data *d)
{
    const long q[4] = { 1, 1, s->Nq, s->rope / 2 }, k[4] = { 1, 1, s->Nk, s->rope / 2 };
    bool ok = true;
    if (d->score_w || s->score == CLATTN_GENERAL || s->score_ws)
        ok = make_list(t, CA_SCOREW, CLATTN_F32, s->score == CLATTN_GENERAL ? s->q_dim ? s->q_dim : s->D : 1,
                       s->score == CLATTN_GENERAL ? s->D : s->score_ws, d->score_w);
    callback_table = d->table;
    if (s->mod) ok = ok && make_list(t, CA_MOD, CLATTN_F32, 1, 7, d->table);
    if (s->score == CLATTN_GAT) ok = make_list(t, CA_LEAKS, CLATTN_F32, 1, s->Hq, d->leaks);
    if (s->kv_format && s->scale_kind)
        ok = make_scales(t, CA_KSCALE, s, s->D, d->k_scale) && make_scales(t, CA_VSCALE, s, s->Dv, d->v_scale);
    if (s->kv_format == CLATTN_KV_INT8 && s->scale_kind)
        ok = ok && make_scales(t, CA_KZERO, s, s->D, d->k_zero) && make_scales(t, CA_VZERO, s, s->Dv, d->v_zero);
    if (s->rope)
        ok = ok && make_image(t, CA_QCOS, CLATTN_F32, PACKED, q, d->q_cos, NULL) && make_image(t, CA_QSIN, CLATTN_F32, PACKED, q, d->q_sin, NULL) &&
             make_image(t, CA_KCOS, CLATTN_F32, PACKED, k, d->k_cos, NULL) && make_image(t, CA_KSIN, CLATTN_F32, PACKED, k, d->k_sin, NULL);
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
    bool ok = make_main(t, CA_Q, s, s->Hq, s->Nq, s->q_dim ? s->q_dim : s->D, s->rope ? d->q_before : d->q, &t->a.q) &&
              make_cache(t, CA_K, s, bytes ? shape_row_bytes(s, s->D) : s->D, bytes ? d->k_bytes : s->rope ? d->k_before : d->k, &t->a.k, after) &&
              make_cache(t, CA_V, s, bytes ? shape_row_bytes(s, s->Dv) : s->Dv, bytes ? d->v_bytes : d->v, &t->a.v, after) &&
              make_elements(t, s, d) &&
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
    if (!ok) wrong("no memory");
    return ok;
}

static bool tensors_make(struct tensors *t, const struct shape *s, const struct data *d) { return make_tensors(t, s, d, false); }

/* New keys are in their places, and all else in the caches is as it was. */
static void check_caches(const struct tensors *t, const struct shape *s, const struct data *d, const char *what)
{
    struct tensors want;
    if (!s->new_len) return;
    if (make_tensors(&want, s, d, true))
        for (int i = CA_K; i <= CA_V; i++)
            if (memcmp(want.m[i].bytes, t->m[i].bytes, image_bytes(&t->m[i]))) wrong("%s: the cache %s is not as it should be", what, ca_slot_name[i]);
    tensors_free(&want);
}

/* ----------------------------------------------------------------- the device */

static clattn_context *context;

static bool is_oclgrind(void)
{
    const char *selected = getenv("CLATTN_DEVICES");
    return selected && strstr(selected, "Oclgrind");
}

/* Oclgrind numbers buffers and uses a released one's number again, but its shadow of what is initialised keeps the
 * size of the first (Uninitialized.cpp, kernelBegin): what lies beyond, however often written, is reported as
 * uninitialised.  So there no buffer is given back before the end. */
static cl_int keep(cl_mem m) { return m ? CL_SUCCESS : CL_INVALID_MEM_OBJECT; }

clattn_context *attend_context(void)
{
    if (context) return context;
    if (is_oclgrind()) ca_cl.ReleaseMemObject = keep;
    clattn_status st = clattn_context_create(NULL, &context);
    if (st) {
        printf("no device: %s: %s\n", clattn_status_name(st), clattn_last_message());
        exit(EXIT_FAILURE);
    }
    /* PoCL, asked for a binary, compiles each of our many programs once more; it has a cache of its own. */
    if (strstr(context->dev.platform_name, "Portable")) context->dev.quirks |= CA_QUIRK_NO_BINARY;
    printf("on %s (%s)%s\n", context->dev.name, context->dev.platform_name,
           attend_is_slow() ? ", small shapes only" : "");
    return context;
}

bool attend_is_slow(void) { return attend_context()->dev.quirks & CA_QUIRK_SLOW; }

bool attend_is_host(void) { return ca_is_host(&attend_context()->dev); }

bool attend_wants(const struct shape *s)
{
    if (attend_is_host()) return true;
    if (is_oclgrind()) return s->reach == TINY;
    return attend_is_slow() ? s->reach == EVERYWHERE : s->reach <= EVERYWHERE;
}

void attend_close(void)
{
    clattn_context_destroy(context);
    context = NULL;
}

size_t attend_algos(const struct shape *s, const char *names[CA_MAX_CANDIDATES])
{
    struct tensors t = { 0 };
    struct data none = { .q = NULL };
    struct problem p;
    struct candidate c[CA_MAX_CANDIDATES];
    size_t n = 0, legal = 0;
    if (tensors_make(&t, s, &none)) {
        if (ca_problem_init(&p, &t.a) == CLATTN_OK) n = ca_ladder(&p, &attend_context()->dev, c);
        else wrong("not a problem: %s", ca_message());
    }
    const char *only = getenv("CLATTN_ALGO"); /* to look at one algorithm alone */
    for (size_t i = 0; i < n; i++)
        if (c[i].legal && (!only || !strcmp(only, c[i].algo->name))) names[legal++] = c[i].algo->name;
    if (!legal && !only) {
        char text[200];
        shape_print(s, text);
        wrong("%s: no algorithm is legal", text);
    }
    tensors_free(&t);
    return legal;
}

/* ------------------------------------------------------------------- execution */

static bool call_ok(clattn_status st, const char *call, const char *what)
{
    if (st) wrong("%s: %s: %s: %s", what, call, clattn_status_name(st), clattn_last_message());
    if (st == CLATTN_E_TIMEOUT || st == CLATTN_E_DEVICE_LOST) exit(EXIT_FAILURE); /* nothing would work any more */
    return st == CLATTN_OK;
}

static clattn_plan *make_plan(const struct tensors *t, const char *algo, const char *params, const char *what)
{
    clattn_plan *plan = NULL;
    clattn_plan_options o = { .size = sizeof o, .algorithm = algo, .params = params };
    return call_ok(clattn_plan_create(attend_context(), &t->a, &o, &plan), "clattn_plan_create", what) ? plan : NULL;
}

static void *start_of(const struct tensors *t, int slot) { return t->m[slot].bytes ? image_start(&t->m[slot]) : NULL; }
static bool is_input(const struct tensors *t, int slot) { return t->m[slot].bytes && !ca_slot_is_output((enum ca_slot)slot); }
static bool must_stay(const struct tensors *t, int slot)
{
    return is_input(t, slot) && !(t->a.new_len && (slot == CA_K || slot == CA_V));
}

/* One execution on host pointers: T's outputs are filled; its inputs must stay as they are. */
static bool run_host(clattn_plan *plan, struct tensors *t, const char *what)
{
    clattn_pointers p = { sizeof p, start_of(t, CA_Q), start_of(t, CA_K), start_of(t, CA_V), start_of(t, CA_OUT),
                          start_of(t, CA_LSE), start_of(t, CA_QOFF), start_of(t, CA_LENS), start_of(t, CA_SLOPES),
                          start_of(t, CA_SINKS), start_of(t, CA_BIAS), start_of(t, CA_MASK), start_of(t, CA_CUQ),
                          start_of(t, CA_CUK), start_of(t, CA_TABLE), start_of(t, CA_KNEW), start_of(t, CA_VNEW),
                          start_of(t, CA_WEIGHTS), start_of(t, CA_KSCALE), start_of(t, CA_VSCALE), start_of(t, CA_KZERO),
                          start_of(t, CA_VZERO), start_of(t, CA_QCOS), start_of(t, CA_QSIN), start_of(t, CA_KCOS), start_of(t, CA_KSIN),
                          start_of(t, CA_SCOREW), start_of(t, CA_LEAKS), { start_of(t, CA_MOD) } };
    unsigned char *before[CA_SLOTS] = { NULL };
    for (int i = 0; i < CA_SLOTS; i++)
        if (is_input(t, i) && (before[i] = malloc(image_bytes(&t->m[i])))) memcpy(before[i], t->m[i].bytes, image_bytes(&t->m[i]));
    bool ok = call_ok(clattn_execute_host(plan, &p), "clattn_execute_host", what);
    for (int i = 0; i < CA_SLOTS; i++) {
        if (must_stay(t, i) && (!before[i] || memcmp(before[i], t->m[i].bytes, image_bytes(&t->m[i]))))
            wrong("%s: the input %s was changed", what, ca_slot_name[i]);
        free(before[i]);
    }
    return ok;
}

/* Back to [B][H][Nq][dim], where rows that no sequence has stay NaN. */
static float *unpack(const struct shape *s, float *x, int dim)
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

static bool read_result(const struct shape *s, const struct data *d, const struct tensors *t, const char *what, struct result *r)
{
    r->out = unpack(s, image_read(&t->m[CA_OUT], "out", what), s->Dv);
    r->lse = unpack(s, image_read(&t->m[CA_LSE], "lse", what), 1);
    r->weights = s->weights ? image_read(&t->m[CA_WEIGHTS], "weights", what) : NULL;
    check_caches(t, s, d, what);
    return r->out && r->lse && (r->weights || !s->weights);
}

static void name_it(const struct shape *s, const char *algo, char what[240])
{
    char text[200];
    shape_print(s, text);
    snprintf(what, 240, "%s: %s", text, algo ? algo : "chosen");
}

bool attend(const struct shape *s, const char *algo, const struct data *d, struct result *r)
{
    char what[240];
    struct tensors t;
    clattn_plan *plan = NULL;
    *r = (struct result){ .out = NULL };
    name_it(s, algo, what);
    bool ok = tensors_make(&t, s, d) && (plan = make_plan(&t, algo, NULL, what)) && run_host(plan, &t, what) &&
              read_result(s, d, &t, what, r);
    if (!ok) result_free(r);
    clattn_plan_destroy(plan);
    tensors_free(&t);
    return ok;
}

/* ------------------------------------------------------------------- on cl_mem */

static bool same_bits(const struct tensors *a, const struct tensors *b, const char *which, const char *what)
{
    bool same = true;
    for (int i = 0; i < CA_SLOTS; i++) {
        if (!ca_slot_is_output((enum ca_slot)i) || !a->m[i].bytes || !memcmp(a->m[i].bytes, b->m[i].bytes, image_bytes(&a->m[i]))) continue;
        wrong("%s: %s: other bits in %s", what, which, ca_slot_name[i]);
        same = false;
    }
    return same;
}

static bool cl_ok(cl_int code, const char *call, const char *what)
{
    if (code) wrong("%s: %s: %d", what, call, code);
    return code == CL_SUCCESS;
}

/* Buffers, queues and events of one execution on cl_mem.  Two queues: the plan works on one, which is
 * out of order where the device has that, the test moves data on the other. */
struct cl_run {
    cl_command_queue work, move;
    cl_mem mem[CA_SLOTS], workspace;
    cl_event gate, done, written[CA_SLOTS];
    cl_uint num_written;
    size_t workspace_bytes;
};

enum { WORKSPACE_OFFSET = 256, WORKSPACE_GUARD = 1024 };
static size_t workspace_offset(const struct tensors *t) { return t->tight ? 0 : WORKSPACE_OFFSET; }

/* The part of an image that is on the device. */
static size_t held_from(const struct tensors *t, int slot) { return t->tight ? image_offset(&t->m[slot]) : 0; }
static size_t held_bytes(const struct tensors *t, int slot) { return image_bytes(&t->m[slot]) - 2 * held_from(t, slot); }

/* A buffer of BYTES filled with canaries of type T. */
static cl_mem make_buffer(struct cl_run *r, int t, size_t bytes, const char *what)
{
    cl_int code;
    uint32_t *fill = malloc(bytes + 4), word = image_canary_word(t);
    cl_mem mem = NULL;
    for (size_t i = 0; fill && i < bytes / 4 + 1; i++) fill[i] = word;
    if (fill) {
        mem = clCreateBuffer(attend_context()->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
        if (mem) code = clEnqueueWriteBuffer(r->move, mem, CL_TRUE, 0, bytes, fill, 0, NULL, NULL);
        cl_ok(code, "clCreateBuffer", what);
    }
    free(fill);
    return mem;
}

static bool cl_prepare(struct cl_run *r, const struct tensors *t, const clattn_plan *plan,
                       const char *what)
{
    clattn_context *c = attend_context();
    cl_command_queue_properties can = 0;
    cl_int code;
    clGetDeviceInfo(c->dev.id, CL_DEVICE_QUEUE_PROPERTIES, sizeof can, &can, NULL);
    r->work = clCreateCommandQueue(c->context, c->dev.id, can & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    if (!cl_ok(code, "clCreateCommandQueue", what)) return false;
    r->move = clCreateCommandQueue(c->context, c->dev.id, 0, &code);
    if (!cl_ok(code, "clCreateCommandQueue", what)) return false;
    r->gate = clCreateUserEvent(c->context, &code);
    if (!cl_ok(code, "clCreateUserEvent", what)) return false;
    for (int i = 0; i < CA_SLOTS; i++)
        if (t->m[i].bytes && !(r->mem[i] = make_buffer(r, t->m[i].dtype, held_bytes(t, i), what))) return false;
    r->workspace_bytes = clattn_plan_workspace(plan);
    if (r->workspace_bytes)
        r->workspace = make_buffer(r, CLATTN_F32, r->workspace_bytes + (t->tight ? 0 : WORKSPACE_OFFSET + WORKSPACE_GUARD), what);
    return !r->workspace_bytes || r->workspace;
}

static void cl_release(struct cl_run *r)
{
    for (int i = 0; i < CA_SLOTS; i++)
        if (r->mem[i]) ca_cl.ReleaseMemObject(r->mem[i]);
    if (r->workspace) ca_cl.ReleaseMemObject(r->workspace);
    if (r->gate) clReleaseEvent(r->gate);
    if (r->done) clReleaseEvent(r->done);
    for (cl_uint i = 0; i < r->num_written; i++) clReleaseEvent(r->written[i]);
    /* Intel's CPU runtime deadlocks when an out-of-order queue is released while its last command, whose event is
     * complete, is being cleared away by a worker. */
    if (r->work) clFinish(r->work);
    if (r->work) clReleaseCommandQueue(r->work);
    if (r->move) clReleaseCommandQueue(r->move);
}

/* Enqueues the writing of the inputs behind the gate; their events are what the plan waits for.  (Whole buffers: Oclgrind
 * forgets what a partial write leaves out.) */
static bool cl_write_inputs(struct cl_run *r, const struct tensors *t, const char *what)
{
    for (int i = 0; i < CA_SLOTS; i++)
        if (is_input(t, i) &&
            (!cl_ok(clEnqueueWriteBuffer(r->move, r->mem[i], CL_FALSE, 0, held_bytes(t, i), t->m[i].bytes + held_from(t, i), 1,
                                         &r->gate, &r->written[r->num_written]), "clEnqueueWriteBuffer", what) || !++r->num_written))
            return false;
    return true;
}

/* What lies before and behind the workspace must stay. */
static void check_workspace(struct cl_run *r, const char *what)
{
    size_t n = r->workspace_bytes, all = WORKSPACE_OFFSET + n + WORKSPACE_GUARD, stray = 0;
    uint32_t *back = malloc(all), want = image_canary(CLATTN_F32);
    if (!back || !cl_ok(clEnqueueReadBuffer(r->move, r->workspace, CL_TRUE, 0, all, back, 0, NULL, NULL), "read", what))
        goto done;
    for (size_t e = 0; e < all; e++)
        if (e < WORKSPACE_OFFSET || e >= WORKSPACE_OFFSET + n)
            stray += ((unsigned char *)back)[e] != ((unsigned char *)&want)[e % 4];
    if (stray) wrong("%s: %zu bytes around the workspace were written", what, stray);
done:
    free(back);
}

/* Executes PLAN behind the writing of its inputs behind a closed gate, opens it, waits for the plan's event alone. */
static bool run_cl(const clattn_plan *plan, struct tensors *t, bool own_workspace,
                   const char *what)
{
    struct cl_run r = { 0 };
    clattn_buffers b = { .size = sizeof b };
    clattn_buffer *slot[CA_SLOTS] = {
        [CA_Q] = &b.q, [CA_K] = &b.k, [CA_V] = &b.v, [CA_OUT] = &b.out, [CA_LSE] = &b.lse, [CA_QOFF] = &b.q_offset,
        [CA_LENS] = &b.kv_lens, [CA_SLOPES] = &b.alibi_slopes, [CA_SINKS] = &b.sinks, [CA_BIAS] = &b.bias, [CA_MASK] = &b.mask,
        [CA_CUQ] = &b.cu_seqlens_q, [CA_CUK] = &b.cu_seqlens_k, [CA_TABLE] = &b.block_table, [CA_KSCALE] = &b.k_scale,
        [CA_VSCALE] = &b.v_scale, [CA_KZERO] = &b.k_zero, [CA_VZERO] = &b.v_zero, [CA_QCOS] = &b.q_rope_cos,
        [CA_QSIN] = &b.q_rope_sin, [CA_KCOS] = &b.k_rope_cos, [CA_KSIN] = &b.k_rope_sin, [CA_SCOREW] = &b.score_w,
        [CA_LEAKS] = &b.leaks, [CA_MOD] = &b.mods[0], [CA_MOD + 1] = &b.mods[1], [CA_MOD + 2] = &b.mods[2], [CA_MOD + 3] = &b.mods[3], [CA_KNEW] = &b.k_new,
        [CA_VNEW] = &b.v_new, [CA_WEIGHTS] = &b.weights,
    };
    cl_int state = CL_COMPLETE;
    bool ok = false, open = is_oclgrind(); /* where clFlush waits for what was enqueued, a closed gate is for ever */
    if (!cl_prepare(&r, t, plan, what)) goto done;
    for (int i = 0; i < CA_SLOTS; i++)
        if (r.mem[i]) *slot[i] = (clattn_buffer){ r.mem[i], image_offset(&t->m[i]) - held_from(t, i) };
    if (own_workspace) b.workspace = (clattn_buffer){ r.workspace, workspace_offset(t) };
    if (!cl_write_inputs(&r, t, what)) goto done;
    if (open && !cl_ok(clSetUserEventStatus(r.gate, CL_COMPLETE), "clSetUserEventStatus", what)) goto done;
    if (!call_ok(clattn_execute(plan, r.work, &b, r.num_written, r.written, &r.done), "clattn_execute", what)) goto done;
    if (!r.done) {
        wrong("%s: clattn_execute gave no event", what);
        goto done;
    }
    clGetEventInfo(r.done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
    if (state == CL_COMPLETE && !open) wrong("%s: the event was complete before what it has to wait for", what);
    clFlush(r.move);
    clFlush(r.work);
    if ((!open && !cl_ok(clSetUserEventStatus(r.gate, CL_COMPLETE), "clSetUserEventStatus", what)) ||
        !cl_ok(clWaitForEvents(1, &r.done), "clWaitForEvents", what)) goto done;
    for (int i = 0; i < CA_SLOTS; i++) { /* the inputs' images take what is there now: they must stay too */
        unsigned char *held = t->m[i].bytes + held_from(t, i), *back = t->m[i].bytes ? malloc(held_bytes(t, i)) : NULL;
        if (!t->m[i].bytes) continue;
        if (!back || !cl_ok(clEnqueueReadBuffer(r.move, r.mem[i], CL_TRUE, 0, held_bytes(t, i), back, 0, NULL, NULL),
                            "clEnqueueReadBuffer", what)) {
            free(back);
            goto done;
        }
        if (must_stay(t, i) && memcmp(back, held, held_bytes(t, i)))
            wrong("%s: the input %s was changed", what, ca_slot_name[i]);
        memcpy(held, back, held_bytes(t, i));
        free(back);
    }
    if (own_workspace && r.workspace && !t->tight) check_workspace(&r, what);
    ok = true;
done:
    if (!ok && r.gate && !open) clSetUserEventStatus(r.gate, -1);
    if (r.move) clFinish(r.move);
    cl_release(&r);
    return ok;
}

bool attend_thoroughly(const struct shape *s, const char *algo, const struct data *d, struct result *r)
{
    char what[240];
    struct tensors first, again = { 0 };
    clattn_plan *plan = NULL;
    bool ok = false;
    *r = (struct result){ .out = NULL };
    name_it(s, algo, what);
    if (!tensors_make(&first, s, d) || !(plan = make_plan(&first, algo, NULL, what)) || !run_host(plan, &first, what) ||
        !read_result(s, d, &first, what, r)) goto done;
    if (!is_oclgrind()) { /* there a minute is dear, and once more the same is seen on cl_mem */
        if (!tensors_make(&again, s, d) || !run_host(plan, &again, what)) goto done;
        same_bits(&first, &again, "a second execution", what);
    }
    for (int own_workspace = 0; own_workspace < 2 && !attend_is_host(); own_workspace++) {
        if (own_workspace && !clattn_plan_workspace(plan)) break;
        tensors_free(&again);
        if (!tensors_make(&again, s, d) || !run_cl(plan, &again, own_workspace, what)) goto done;
        same_bits(&first, &again, "on cl_mem", what);
    }
    ok = true;
done:
    if (!ok) result_free(r);
    clattn_plan_destroy(plan);
    tensors_free(&first);
    tensors_free(&again);
    return ok;
}

/* ------------------------------------------------------------------- garbage */

static int32_t garbage(uint64_t *state, int round)
{
    static const int32_t extreme[] = { INT32_MIN, INT32_MIN + 1, -1, 0, INT32_MAX - 1, INT32_MAX, 1 << 30, -(1 << 30) };
    int kind = round % 4 == 0 ? 0 : draw_below(state, 6); /* now and then nothing that makes sense */
    return kind == 0 ? (int32_t)draw_bits(state) : kind == 1 ? extreme[draw_below(state, 8)] : draw_below(state, 16) - 2;
}

static void put_garbage(struct tensors *t, uint64_t *state, int round)
{
    static const int slots[] = { CA_QOFF, CA_LENS, CA_CUQ, CA_CUK, CA_TABLE };
    for (size_t n = 0; n < sizeof slots / sizeof slots[0]; n++) {
        struct image *m = &t->m[slots[n]];
        int32_t *x = m->bytes ? image_start(m) : NULL; /* of so many elements, side by side */
        for (size_t e = 0; x && e < m->elements - 2 * GUARD; e++) x[e] = garbage(state, round);
    }
}

void attend_garbage(const struct shape *s, const char *algo, const char *params, const struct data *d, uint64_t seed,
                    int times)
{
    char what[240 + 100];
    struct tensors t = { .tight = false };
    clattn_plan *plan = NULL;
    name_it(s, algo, what);
    snprintf(what + strlen(what), 100, " %s", params ? params : "");
    for (int round = 0; round < times; round++) {
        if (!tensors_make(&t, s, d)) break;
        if (!plan && !(plan = make_plan(&t, algo, params, what))) break;
        put_garbage(&t, &seed, round);
        t.tight = is_oclgrind() || round % 2 == 1;
        if (!run_cl(plan, &t, true, what)) break;
        for (int i = 0; i < CA_SLOTS; i++)
            if (t.m[i].bytes && image_strays(&t.m[i]))
                wrong("%s, garbage %d: %zu places around %s were written", what, round, image_strays(&t.m[i]), ca_slot_name[i]);
        tensors_free(&t);
    }
    clattn_plan_destroy(plan);
    tensors_free(&t);
}
