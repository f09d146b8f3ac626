/* string.c -- problem strings, "f16 b2 h32/8 q1 k4096 d128 causal win=1024,0": one line that bench, explain, tests and
 * bug reports share.  Tokens come in any order; what is left out keeps its default (f32, b1, h1).  Every token is a
 * row of one of the tables below.
 *
 * bias=BHQK and mask=BHQK name the axes that are not of size 1; bias=BHQK:40 ends after 40 keys.  alibi=BH is alibi with
 * slopes of their own for each batch row.  total=TQ,TK makes it ragged, q and k being the longest lengths; kv=paged16 has
 * as many pages as are needed unless pages= says how many; new=N keys are appended; shared=N and split=N are
 * shared_len and split_len; weights=STAGE.  dropout=P comes with seed=N
 * and offset=N, 0 by default.  "mod" is printed where
 * there are functions of the user's, which no string holds: the command reads them from mod=FILE.
 *
 * var=uniform:LEAST,MOST makes it ragged with lengths drawn by Philox with seed=, the same each time; var=5,17,300 lists them.  They
 * are those of the keys, and of the queries unless q tells how many each batch row has.  Such a string has no k, since the
 * longest is drawn; it may have one together with total=, as a printed problem has, and then all must agree.
 *
 * pattern=TYPE:FIELD,... is a sparsity pattern (pattern_string.c has the notation); share=S is the share of the blocks of a random
 * layout, or the second field of block_sparse.  What of a pattern is in tensors is drawn by those who need it.
 *
 * Beyond the flags that name attributes, biasstride= and maskstride= as well as qstride=, kstride=, vstride= and ostride= give a
 * tensor's strides, BATCH,HEAD,ROW,DIM (or KEY) in elements, so that every problem has a string. */
#define _GNU_SOURCE
#include "problem/problem.h"
#include <ctype.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/status.h"
#include "base/text.h"
#include "philox.h"

#define MAX_TOKEN 8192
#define MAX_VAR 256

/* A program may have set a locale that writes 0,5: numbers here are always the C locale's. */
static locale_t c_locale;
static void make_c_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }
locale_t ca_enter_c_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    return uselocale(c_locale); /* with 0, only asks */
}

/* ---------------------------------------------------------------- parsing */

/* Reads a decimal integer at *S, which it moves; false when there is none or it does not fit. */
bool ca_read_int(const char **s, int64_t *value)
{
    bool minus = **s == '-';
    const char *digit = *s + minus;
    int64_t n = 0;
    if (!isdigit((unsigned char)*digit)) return false;
    for (; isdigit((unsigned char)*digit); digit++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *digit - '0', &n)) return false;
    *s = digit;
    *value = minus ? -n : n;
    return true;
}

/* Reads COUNT integers with SEPARATOR between them, and nothing behind. */
static bool read_ints(const char *s, char separator, int64_t *value, int count)
{
    for (int i = 0; i < count; i++)
        if ((i > 0 && *s++ != separator) || !ca_read_int(&s, &value[i])) return false;
    return *s == 0;
}

static bool set_causal(clattn_attention *a, const char *value)
{
    (void)value;
    a->causal = 1;
    return true;
}

static bool set_align(clattn_attention *a, const char *value)
{
    if (strcmp(value, "top_left") == 0) a->align = CLATTN_TOP_LEFT;
    else if (strcmp(value, "bottom_right") == 0) a->align = CLATTN_BOTTOM_RIGHT;
    else if (strncmp(value, "offset:", 7) == 0 && read_ints(value + 7, ',', &a->q_offset, 1)) a->align = CLATTN_OFFSET;
    else return false;
    return true;
}

static bool set_window(clattn_attention *a, const char *value)
{
    int64_t w[2];
    if (!read_ints(value, ',', w, 2)) return false;
    a->window_left = w[0];
    a->window_right = w[1];
    return true;
}

static bool set_layout(clattn_attention *a, const char *value)
{
    if (strcmp(value, "bhsd") == 0) a->layout = CLATTN_BHSD;
    else if (strcmp(value, "bshd") == 0) a->layout = CLATTN_BSHD;
    else return false;
    return true;
}

static bool set_number(double *number, const char *value)
{
    char *end;
    *number = strtod(value, &end);
    return end != value && *end == 0 && isfinite(*number) && !isspace((unsigned char)value[0]);
}
static bool set_scale(clattn_attention *a, const char *value) { return set_number(&a->scale, value); }
static bool set_softcap(clattn_attention *a, const char *value) { return set_number(&a->softcap, value); }

static bool set_strides(clattn_strides *s, const char *value)
{
    int64_t v[4];
    if (!read_ints(value, ',', v, 4)) return false;
    *s = (clattn_strides){ v[0], v[1], v[2], v[3] };
    return true;
}
static bool set_qstride(clattn_attention *a, const char *value) { return set_strides(&a->q, value); }
static bool set_kstride(clattn_attention *a, const char *value) { return set_strides(&a->k, value); }
static bool set_vstride(clattn_attention *a, const char *value) { return set_strides(&a->v, value); }
static bool set_ostride(clattn_attention *a, const char *value) { return set_strides(&a->out, value); }

static bool set_knewstride(clattn_attention *a, const char *value) { return set_strides(&a->k_new, value); }
static bool set_vnewstride(clattn_attention *a, const char *value) { return set_strides(&a->v_new, value); }

static bool set_alibi(clattn_attention *a, const char *value)
{
    a->alibi = value[0] ? CLATTN_ALIBI_BATCH_HEAD : CLATTN_ALIBI_HEAD;
    return value[0] == 0 || strcmp(value, "BH") == 0;
}
static bool set_sinks(clattn_attention *a, const char *value)
{
    (void)value;
    a->sinks = 1;
    return true;
}
static bool set_rounded(clattn_attention *a, const char *value)
{
    (void)value;
    a->round_weights = 1;
    return true;
}
static bool set_dropout(clattn_attention *a, const char *value) { return set_number(&a->dropout_p, value); }

bool ca_read_unsigned(const char **s, uint64_t *value)
{
    *value = 0;
    if (!isdigit((unsigned char)**s)) return false;
    for (; isdigit((unsigned char)**s); (*s)++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, (uint64_t)(**s - '0'), value)) return false;
    return true;
}
static bool set_seed(clattn_attention *a, const char *value) { return ca_read_unsigned(&value, &a->seed) && !*value; }
static bool set_offset(clattn_attention *a, const char *value) { return ca_read_unsigned(&value, &a->offset) && !*value; }

static bool set_lens(clattn_attention *a, const char *value) { return read_ints(value, ',', &a->kv_lens, 1) && a->kv_lens > 0; }

/* Letters of BHQK, each at most once and in this order; an axis that is named has size FULL until all sizes are known. */
#define FULL -1
static bool set_axes(clattn_broadcast *t, const char *value)
{
    static const char letters[] = "BHQK";
    for (int i = 0; i < 4; i++) {
        t->shape[i] = *value == letters[i] ? FULL : 1;
        value += *value == letters[i];
    }
    return *value == 0 || (*value == ':' && t->shape[3] == FULL && read_ints(value + 1, ',', &t->shape[3], 1) && t->shape[3] >= 0);
}
static bool set_bias(clattn_attention *a, const char *value) { return set_axes(&a->bias, value); }
static bool set_mask(clattn_attention *a, const char *value) { return set_axes(&a->mask, value); }
static bool set_biasstride(clattn_attention *a, const char *value) { return read_ints(value, ',', a->bias.stride, 4); }
static bool set_maskstride(clattn_attention *a, const char *value) { return read_ints(value, ',', a->mask.stride, 4); }

/* Formats with the scales that are usual for them; kvscale= gives others. */
static const struct kv_word { const char *name; clattn_kv_format format; clattn_scale scale; } kv_words[] = {
    { "int8", CLATTN_KV_INT8, CLATTN_SCALE_BY_KEY }, { "int8c", CLATTN_KV_INT8, CLATTN_SCALE_BY_DIM },
    { "fp8", CLATTN_KV_FP8, CLATTN_SCALE_BY_HEAD }, { "q8_0", CLATTN_KV_Q8_0, CLATTN_NO_SCALE },
    { "q4_0", CLATTN_KV_Q4_0, CLATTN_NO_SCALE },
};
#define NUM_KV_WORDS (sizeof kv_words / sizeof kv_words[0])

/* Words joined by +: pagedN, a format. */
static bool set_kv(clattn_attention *a, const char *value)
{
    while (*value) {
        char word[32];
        size_t n = strcspn(value, "+"), i = 0;
        if (n == 0 || n >= sizeof word) return false;
        memcpy(word, value, n);
        word[n] = 0;
        value += n + (value[n] == '+');
        if (strncmp(word, "paged", 5) == 0) {
            if (a->page_size || !read_ints(word + 5, ',', &a->page_size, 1) || a->page_size <= 0) return false;
            continue;
        }
        while (i < NUM_KV_WORDS && strcmp(word, kv_words[i].name) != 0) i++;
        if (i == NUM_KV_WORDS || a->kv_format) return false;
        a->kv_format = kv_words[i].format;
        a->k_scale = a->v_scale = kv_words[i].scale;
    }
    return a->page_size || a->kv_format;
}
static bool set_kvscale(clattn_attention *a, const char *value)
{
    int64_t kind[4];
    if (!read_ints(value, ',', kind, 4)) return false;
    for (int i = 0; i < 4; i++)
        if (kind[i] < 0 || kind[i] > CLATTN_SCALE_BY_HEAD) return false;
    a->k_scale = (clattn_scale)kind[0], a->v_scale = (clattn_scale)kind[1];
    a->k_zero = (clattn_scale)kind[2], a->v_zero = (clattn_scale)kind[3];
    return true;
}

/* "rope": all dims of q and k; "rope=64,64" or "rope=64,64,pairs". */
#define ALL_DIMS -1
static bool set_rope(clattn_attention *a, const char *value)
{
    a->q_rope = a->k_rope = ALL_DIMS;
    if (!*value) return true;
    if (!ca_read_int(&value, &a->q_rope) || *value++ != ',' || !ca_read_int(&value, &a->k_rope)) return false;
    a->rope_interleaved = strcmp(value, ",pairs") == 0;
    return a->q_rope >= 0 && a->k_rope >= 0 && (*value == 0 || a->rope_interleaved);
}

static const char *const score_names[] = { "dot", "additive", "general", "gat" };
/* "additive" (a weight for each dim) or "additive:WS,SCALE"; "general" or "general:QDIM"; "gat". */
static bool set_score(clattn_attention *a, const char *value)
{
    size_t n = strcspn(value, ":");
    for (int i = CLATTN_ADDITIVE; i <= CLATTN_GAT; i++)
        if (strlen(score_names[i]) == n && strncmp(value, score_names[i], n) == 0) a->score = (clattn_score)i;
    value += n;
    if (a->score == CLATTN_ADDITIVE) a->score_ws = ALL_DIMS;
    if (a->score == CLATTN_DOT || *value == 0) return a->score != CLATTN_DOT;
    value++;
    if (a->score == CLATTN_GENERAL) return read_ints(value, ',', &a->q_dim, 1);
    return a->score == CLATTN_ADDITIVE && ca_read_int(&value, &a->score_ws) && *value++ == ',' && set_number(&a->score_scale, value);
}

static bool set_pages(clattn_attention *a, const char *value) { return read_ints(value, ',', &a->pages, 1); }
static bool set_shared(clattn_attention *a, const char *value) { return read_ints(value, ',', &a->shared_len, 1); }
static bool set_split(clattn_attention *a, const char *value) { return read_ints(value, ',', &a->split_len, 1); }
static bool set_new(clattn_attention *a, const char *value) { return read_ints(value, ',', &a->new_len, 1); }
static bool set_total(clattn_attention *a, const char *value)
{
    int64_t t[2];
    if (!read_ints(value, ',', t, 2)) return false;
    a->layout = CLATTN_THD;
    a->q_total = t[0];
    a->kv_total = t[1];
    return true;
}

/* The lengths that VALUE tells: of a list sets COUNT.  LENS NULL: only looks. */
static bool read_lengths(const char *value, uint64_t seed, int64_t *count, int32_t *lens)
{
    int64_t range[2], n = 0;
    if (strncmp(value, "uniform:", 8) == 0) {
        if (!read_ints(value + 8, ',', range, 2) || range[0] < 0 || range[0] > range[1] || range[1] > CA_MAX_LEN) return false;
        for (int64_t b = 0; lens && b < *count; b++)
            lens[b] = (int32_t)(range[0] + (int64_t)((double)ca_philox_uniform(seed, 0, (uint64_t)b) * (double)(range[1] - range[0] + 1)));
        return true;
    }
    for (;; value++) {
        int64_t x;
        if (!ca_read_int(&value, &x) || x < 0 || x > CA_MAX_LEN || (*value && *value != ',')) return false;
        if (lens) lens[n] = (int32_t)x;
        n++;
        if (!*value) break;
    }
    *count = n;
    return true;
}
static bool set_var(clattn_attention *a, const char *value)
{
    int64_t count;
    a->layout = CLATTN_THD;
    return read_lengths(value, 0, &count, NULL);
}

static bool set_pattern(clattn_attention *a, const char *value) /* by parse_flag, which can tell what is wrong */
{
    (void)a, (void)value;
    return true;
}
static bool set_share(clattn_attention *a, const char *value)
{
    double share;
    (void)a;
    return set_number(&share, value) && share >= 0 && share <= 1;
}

static const char *const stages[] = { "none", "raw", "capped", "biased", "probs" };
static bool set_weights(clattn_attention *a, const char *value)
{
    for (int i = CLATTN_WEIGHTS_RAW; i <= CLATTN_WEIGHTS_PROBS; i++)
        if (strcmp(value, stages[i]) == 0) a->weights = (clattn_weights)i;
    return a->weights != CLATTN_NO_WEIGHTS;
}

static void complete_axes(const clattn_attention *a, clattn_broadcast *t)
{
    const int64_t full[4] = { a->batch, a->q_heads, a->q_len, a->kv_len };
    for (int i = 0; i < 4; i++)
        if (t->shape[i] == FULL) t->shape[i] = full[i];
}

/* Flags; those without a function are words of the grammar that this version cannot compute. */
enum takes { VALUE, NOTHING, EITHER };
static const struct flag { const char *name; bool (*set)(clattn_attention *a, const char *value); enum takes takes; } flags[] = {
    { "causal", set_causal, NOTHING },
    { "align", set_align, VALUE },
    { "win", set_window, VALUE },
    { "scale", set_scale, VALUE },
    { "softcap", set_softcap, VALUE },
    { "alibi", set_alibi, EITHER },
    { "bias", set_bias, VALUE },
    { "mask", set_mask, VALUE },
    { "sinks", set_sinks, NOTHING },
    { "rounded", set_rounded, NOTHING },
    { "dropout", set_dropout, VALUE },
    { "seed", set_seed, VALUE },
    { "offset", set_offset, VALUE },
    { "lens", set_lens, VALUE },
    { "total", set_total, VALUE },
    { "kv", set_kv, VALUE },
    { "kvscale", set_kvscale, VALUE },
    { "rope", set_rope, EITHER },
    { "score", set_score, VALUE },
    { "pages", set_pages, VALUE },
    { "new", set_new, VALUE }, { "shared", set_shared, VALUE }, { "split", set_split, VALUE },
    { "weights", set_weights, VALUE },
    { "layout", set_layout, VALUE },
    { "qstride", set_qstride, VALUE },
    { "kstride", set_kstride, VALUE },
    { "vstride", set_vstride, VALUE },
    { "ostride", set_ostride, VALUE },
    { "knewstride", set_knewstride, VALUE },
    { "vnewstride", set_vnewstride, VALUE },
    { "biasstride", set_biasstride, VALUE },
    { "maskstride", set_maskstride, VALUE },
    { "var", set_var, VALUE }, { "mod", NULL, EITHER },
    { "pattern", set_pattern, VALUE }, { "share", set_share, VALUE }, { "rule", NULL, VALUE }, { "map", NULL, VALUE }, { "chunk", NULL, VALUE },
};
#define NUM_FLAGS (sizeof flags / sizeof flags[0])

/* Operations that the grammar has and this version has not. */
static const char *const other_ops[] = {
    "linear", "linear_attention", "backward", "linformer", "nystrom", "mamba2_ssd", "rope", "rope_tables", "layer_norm",
    "rms_norm", "softmax", "log_softmax", "gelu", "silu", "sinusoidal", "relative_bias", "cache_scatter", "causal_conv",
    "merge", "multi_head_attention", "transformer_layer",
};
#define NUM_OTHER_OPS (sizeof other_ops / sizeof other_ops[0])

/* What was seen so far, so that nothing is said twice. */
struct parse { clattn_attention *a; bool op, type, size[128], flag[NUM_FLAGS]; char var[MAX_VAR]; double share; struct ca_tree *tree; };

static clattn_status once(bool *seen, const char *token)
{
    CA_REQUIRE(!*seen, CLATTN_E_ARGUMENT, "problem string: \"%s\" repeats or contradicts an earlier token", token);
    *seen = true;
    return CLATTN_OK;
}

/* A letter and one number, or two with a slash: b2 h32/8 q1 k4096 n128 d128/64. */
static clattn_status parse_size(struct parse *ps, const char *token)
{
    clattn_attention *a = ps->a;
    int64_t *const first[128] = { ['b'] = &a->batch, ['h'] = &a->q_heads, ['q'] = &a->q_len, ['k'] = &a->kv_len,
                                  ['n'] = &a->q_len, ['d'] = &a->head_dim };
    int64_t *const second[128] = { ['h'] = &a->kv_heads, ['d'] = &a->v_dim };
    char letter = token[0];
    clattn_status st;
    CA_TRY(once(&ps->size[(int)letter], token));
    if (letter == 'n') {
        CA_TRY(once(&ps->size['q'], token));
        CA_TRY(once(&ps->size['k'], token));
    }
    const char *s = token + 1;
    bool good = ca_read_int(&s, first[(int)letter]);
    if (good && *s == '/' && second[(int)letter])
        good = (s++, ca_read_int(&s, second[(int)letter])) && *second[(int)letter] > 0;
    CA_REQUIRE(good && *s == 0, CLATTN_E_ARGUMENT, "problem string: \"%s\" is not a number after %c", token, letter);
    if (letter == 'n') a->kv_len = a->q_len;
done:
    return st;
}

static clattn_status parse_flag(struct parse *ps, const char *token, const struct flag *f)
{
    const char *equals = strchr(token, '=');
    clattn_status st;
    CA_REQUIRE(strcmp(f->name, "mod") != 0, CLATTN_E_UNSUPPORTED, "problem string: \"%s\": the user's functions are no part of a "
               "string, and only one mod=FILE is read, by the command clattn", token);
    CA_REQUIRE(f->set, CLATTN_E_UNSUPPORTED, "problem string: \"%s\" is not supported by this version", token);
    CA_TRY(once(&ps->flag[f - flags], token));
    CA_REQUIRE(f->takes == EITHER || (f->takes == NOTHING) == !equals, CLATTN_E_ARGUMENT, "problem string: \"%s\" %s", token,
               f->takes == NOTHING ? "takes no value" : "needs a value");
    CA_REQUIRE(f->set(ps->a, equals ? equals + 1 : ""), CLATTN_E_ARGUMENT,
               "problem string: the value of \"%s\" is wrong, or not known to this version", token);
    CA_REQUIRE(f->set != set_var || strlen(equals + 1) < MAX_VAR, CLATTN_E_ARGUMENT, "problem string: \"%.32s...\" has more than %d characters", token,
               MAX_VAR);
    if (f->set == set_var) strcpy(ps->var, equals + 1);
    if (f->set == set_share) ps->share = strtod(equals + 1, NULL);
    if (f->set == set_pattern) {
        if (!(ps->tree = malloc(sizeof *ps->tree))) return ca_no_memory(sizeof *ps->tree, "a pattern");
        st = ca_pattern_parse(equals + 1, ps->tree);
    }
done:
    return st;
}

static clattn_status parse_token(struct parse *ps, const char *token)
{
    clattn_status st;
    size_t name = strcspn(token, "=");
    for (int t = CLATTN_F32; t <= CLATTN_BF16; t++)
        if (strcmp(token, ca_dtype_name((clattn_dtype)t)) == 0) {
            ps->a->dtype = (clattn_dtype)t;
            return once(&ps->type, token);
        }
    if (strchr("bhqknd", token[0]) && (isdigit((unsigned char)token[1]) || token[1] == '-')) return parse_size(ps, token);
    for (size_t i = 0; i < NUM_FLAGS; i++)
        if (strlen(flags[i].name) == name && strncmp(token, flags[i].name, name) == 0)
            return parse_flag(ps, token, &flags[i]);
    if (strcmp(token, "attention") == 0) return once(&ps->op, token);
    for (size_t i = 0; i < NUM_OTHER_OPS; i++)
        CA_REQUIRE(strcmp(token, other_ops[i]) != 0, CLATTN_E_UNSUPPORTED,
                   "problem string: operation \"%s\" is not supported by this version", token);
    st = ca_fail(CLATTN_E_ARGUMENT, "problem string: unknown token \"%s\"", token);
    return st;
}

/* The lengths of "var=", and the sizes that follow from them. */
static clattn_status make_lengths(const struct parse *ps, clattn_attention *a, struct ca_lengths *l)
{
    int64_t n = a->batch, sum = 0, longest = 0;
    bool total = a->q_total || a->kv_total;
    read_lengths(ps->var, a->seed, &n, NULL);
    if (!ps->size['b']) a->batch = n;
    CA_REQUIRE(n == a->batch && n >= 0, CLATTN_E_ARGUMENT, "problem string: var has %" PRId64 " lengths, the batch %" PRId64 " rows", n, a->batch);
    CA_REQUIRE(total || (!ps->size['k'] && !a->kv_lens), CLATTN_E_ARGUMENT, "problem string: k or lens= contradicts var=%s", ps->var);
    if (!(l->q = calloc((size_t)n + 1, sizeof *l->q)) || !(l->k = calloc((size_t)n + 1, sizeof *l->k)))
        return ca_no_memory(((size_t)n + 1) * sizeof *l->q, "lengths");
    l->count = n;
    read_lengths(ps->var, a->seed, &n, l->k);
    for (int64_t b = 0; b < n; b++) {
        sum += l->k[b];
        longest = ca_max(longest, l->k[b]);
    }
    bool vary = total ? a->q_total == sum && longest <= a->q_len : !ps->size['q'];
    const clattn_attention given = *a;
    if (!total) {
        a->kv_len = a->page_size ? ca_round_up(longest, a->page_size) : longest;
        a->kv_lens = a->page_size ? ca_max(sum / ca_max(n, 1), 1) : 0; /* to expect */
        if (vary) a->q_len = longest;
    }
    a->q_total = vary ? sum : n * a->q_len;
    a->kv_total = a->page_size ? 0 : sum;
    CA_REQUIRE(!total || (given.q_total == a->q_total && given.kv_total == a->kv_total && longest <= a->kv_len),
               CLATTN_E_ARGUMENT, "problem string: total=%" PRId64 ",%" PRId64 " or k does not agree with var=%s, whose lengths are %" PRId64
               " together and %" PRId64 " at most", given.q_total, given.kv_total, ps->var, sum, longest);
    for (int64_t b = 0; b < n; b++) l->q[b] = vary ? l->k[b] : (int32_t)a->q_len;
    int length = snprintf(l->text, sizeof l->text, " var=%s", ps->var);
    if (a->seed && !a->dropout_p) snprintf(l->text + length, sizeof l->text - (size_t)length, " seed=%" PRIu64, a->seed);
    return CLATTN_OK;
}

void ca_lengths_free(struct ca_lengths *l)
{
    free(l->q);
    free(l->k);
    if (l->tree) {
        free(l->tree->row_ptr);
        free(l->tree->col_idx);
    }
    free(l->tree);
    *l = (struct ca_lengths){ .count = 0 };
}

clattn_status ca_problem_parse(const char *text, clattn_attention *a)
{
    struct ca_lengths l;
    clattn_status st = ca_problem_parse_lengths(text, a, &l);
    if (st == CLATTN_OK && l.tree) st = ca_fail(CLATTN_E_UNSUPPORTED, "problem string: pattern= is not supported here");
    ca_lengths_free(&l);
    return st;
}

clattn_status ca_problem_parse_lengths(const char *text, clattn_attention *a, struct ca_lengths *l)
{
    static const char blank[] = " \t\r\n";
    struct parse ps = { .a = a, .share = -1 };
    char token[MAX_TOKEN];
    clattn_status st = CLATTN_OK;
    locale_t before = ca_enter_c_locale();

    *l = (struct ca_lengths){ .count = 0 };
    ca_attention_defaults(a);
    for (text += strspn(text, blank); *text; text += strspn(text, blank)) {
        size_t length = strcspn(text, blank);
        if (length >= sizeof token) {
            st = ca_fail(CLATTN_E_ARGUMENT, "problem string: token of %zu characters \"%.32s...\"", length, text);
            goto done;
        }
        memcpy(token, text, length);
        token[length] = 0;
        CA_TRY(parse_token(&ps, token));
        text += length;
    }
    for (const char *need = "qkd"; *need; need++)
        if (!ps.size[(int)*need] && (!ps.var[0] || *need == 'd')) {
            st = ca_fail(CLATTN_E_ARGUMENT, "problem string: %c is missing", *need);
            goto done;
        }
    if (ps.var[0]) CA_TRY(make_lengths(&ps, a, l));
    if (a->page_size && !a->pages) a->pages = a->batch * (a->kv_len / a->page_size) > 0 ? a->batch * (a->kv_len / a->page_size) : 1;
    if (a->q_rope == ALL_DIMS) a->q_rope = a->k_rope = a->head_dim;
    if (a->score_ws == ALL_DIMS) a->score_ws = a->head_dim;
    complete_axes(a, &a->bias);
    complete_axes(a, &a->mask);
    if (ps.tree && ps.share >= 0) ps.tree->share = ps.share;
    if (ps.tree) ca_tree_complete(ps.tree, a);
    if (ps.tree && a->seed && !a->dropout_p && !ps.var[0])
        snprintf(l->text, sizeof l->text, " seed=%" PRIu64, a->seed);
    if (ps.tree && ps.tree->share != CA_USUAL_SHARE)
        snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), " share=%.9g", ps.tree->share);
done:
    l->tree = ps.tree;
    uselocale(before);
    return st;
}

/* --------------------------------------------------------------- printing */

static bool same_strides(const struct ca_strides *a, const struct ca_strides *b)
{
    return a->b == b->b && a->h == b->h && a->s == b->s && a->d == b->d;
}

/* Nothing for packed BHSD, "layout=bshd" when that says it all, else the strides of each tensor that departs.  A ragged
 * problem's layout is THD, and pages lie as [pages][page_size][kv_heads][dim]. */
static void put_strides(struct ca_text *t, const struct problem *p)
{
    static const struct { const char *name; enum ca_slot slot; } rows[] = {
        { "q", CA_Q }, { "k", CA_K }, { "v", CA_V }, { "o", CA_OUT }, { "knew", CA_KNEW }, { "vnew", CA_VNEW },
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    const struct ca_strides *mine[ROWS] = { &p->q, &p->k, &p->v, &p->o, &p->kn, &p->vn };
    bool differ[2][ROWS], any[2] = { false, false };
    for (int layout = 0; layout < 2; layout++)
        for (int i = 0; i < ROWS; i++) {
            bool paged = p->page_size && (rows[i].slot == CA_K || rows[i].slot == CA_V);
            struct ca_strides packed;
            differ[layout][i] = !ca_packed_strides(p, rows[i].slot, p->ragged || paged ? CLATTN_BSHD : (clattn_layout)layout, &packed) ||
                                !same_strides(mine[i], &packed);
            any[layout] = any[layout] || differ[layout][i];
        }
    if (any[CLATTN_BHSD] && !any[CLATTN_BSHD]) ca_text_put(t, " layout=bshd");
    else for (int i = 0; i < ROWS; i++)
        if (differ[CLATTN_BHSD][i])
            ca_text_put(t, " %sstride=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, rows[i].name, mine[i]->b, mine[i]->h,
                        mine[i]->s, mine[i]->d);
}

/* " bias=BHQK", with what departs from a packed tensor of full length. */
static void put_broadcast(struct ca_text *t, const struct problem *p, const char *name, const struct ca_broadcast *x)
{
    const int64_t stride[4] = { x->b, x->h, x->i, x->j }, full[4] = { p->B, p->Hq, p->Nq, x->cols };
    int64_t next = 1;
    bool packed = true;
    if (!x->on) return;
    ca_text_put(t, " %s=%s%s%s%s", name, x->b ? "B" : "", x->h ? "H" : "", x->i ? "Q" : "", x->j ? "K" : "");
    if (x->j && x->cols != p->Nk) ca_text_put(t, ":%" PRId64, x->cols);
    for (int i = 3; i >= 0; i--) {
        if (!stride[i]) continue;
        packed = packed && stride[i] == next;
        next *= full[i];
    }
    if (!packed) ca_text_put(t, " %sstride=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, name, x->b, x->h, x->i, x->j);
}

/* " kv=paged16+int8", and where its scales are not those that go with the word. */
static void put_kv(struct ca_text *t, const struct problem *p)
{
    const struct kv_word *w = NULL;
    if (!p->page_size && !p->kv_format) return;
    ca_text_put(t, " kv=");
    if (p->page_size) ca_text_put(t, "paged%" PRId64 "%s", p->page_size, p->kv_format ? "+" : "");
    for (size_t i = 0; i < NUM_KV_WORDS; i++)
        if (p->kv_format == kv_words[i].format && (!w || p->k_scale == kv_words[i].scale)) w = &kv_words[i];
    if (w) ca_text_put(t, "%s", w->name);
    if (w && (p->k_scale != w->scale || p->v_scale != w->scale || p->k_zero || p->v_zero))
        ca_text_put(t, " kvscale=%d,%d,%d,%d", (int)p->k_scale, (int)p->v_scale, (int)p->k_zero, (int)p->v_zero);
}

static void put_score(struct ca_text *t, const struct problem *p)
{
    if (p->q_rot || p->k_rot) ca_text_put(t, " rope=%" PRId64 ",%" PRId64 "%s", p->q_rot, p->k_rot, p->rope_pairs ? ",pairs" : "");
    if (p->score) ca_text_put(t, " score=%s", score_names[p->score]);
    if (p->score == CLATTN_ADDITIVE) ca_text_put(t, ":%" PRId64 ",%.9g", p->score_ws, (double)p->score_scale);
    if (p->score == CLATTN_GENERAL && p->Dq != p->Dk) ca_text_put(t, ":%" PRId64, p->Dq);
    if (p->score_mod || p->mask_mod || p->score_callback || p->mask_callback) ca_text_put(t, " mod");
}

static void put_dropout(struct ca_text *t, const struct problem *p)
{
    char number[32];
    if (p->dropout == 0) return;
    snprintf(number, sizeof number, "%.15g", p->dropout);
    if (strtod(number, NULL) != p->dropout) snprintf(number, sizeof number, "%.17g", p->dropout);
    ca_text_put(t, " dropout=%s", number);
    if (p->seed) ca_text_put(t, " seed=%" PRIu64, p->seed);
    if (p->drop_offset) ca_text_put(t, " offset=%" PRIu64, p->drop_offset);
}

size_t ca_problem_print(const struct problem *p, char *text, size_t size)
{
    struct ca_text t = { text, size, 0 };
    locale_t before = ca_enter_c_locale();

    ca_text_put(&t, "%s b%" PRId64 " h%" PRId64, ca_dtype_name(p->dtype), p->B, p->Hq);
    if (p->Hkv != p->Hq) ca_text_put(&t, "/%" PRId64, p->Hkv);
    ca_text_put(&t, " q%" PRId64 " k%" PRId64 " d%" PRId64, p->Nq, p->Nk, p->Dk);
    if (p->Dv != p->Dk) ca_text_put(&t, "/%" PRId64, p->Dv);
    const int pattern = ca_pattern_causality(p);
    const bool causal = pattern > 0 || (pattern == 0 && p->right == 0);
    if (causal) ca_text_put(&t, " causal");
    if (p->has_qoff) ca_text_put(&t, " align=offset:%" PRId32, p->offset);
    else if ((p->left != CA_UNLIMITED || p->right != CA_UNLIMITED || p->has_alibi || p->pattern.num_nodes) &&
             (p->lens || p->ragged ? !p->bottom_right : p->offset != p->Nk - p->Nq))
        ca_text_put(&t, " align=top_left");
    if (p->left != CA_UNLIMITED || (p->right != CA_UNLIMITED && !causal))
        ca_text_put(&t, " win=%" PRId64 ",%" PRId64, p->left == CA_UNLIMITED ? (int64_t)-1 : (int64_t)p->left,
                    p->right == CA_UNLIMITED || causal ? (int64_t)-1 : (int64_t)p->right);
    if (p->scale != (float)(p->score ? 1 : 1 / sqrt((double)p->D))) ca_text_put(&t, " scale=%.9g", (double)p->scale);
    if (p->softcap != 0) ca_text_put(&t, " softcap=%.9g", (double)p->softcap);
    if (p->has_alibi) ca_text_put(&t, p->slopes_b ? " alibi=BH" : " alibi");
    put_broadcast(&t, p, "bias", &p->bias);
    put_broadcast(&t, p, "mask", &p->mask);
    if (p->has_sinks) ca_text_put(&t, " sinks");
    if (p->round_weights) ca_text_put(&t, " rounded");
    put_dropout(&t, p);
    if (p->lens) ca_text_put(&t, " lens=%" PRId64, p->lens);
    if (p->ragged) ca_text_put(&t, " total=%" PRId64 ",%" PRId64, p->Tq, p->Tk);
    put_kv(&t, p);
    if (p->page_size && p->pages != ca_max(p->B * (p->Nk / p->page_size), 1)) ca_text_put(&t, " pages=%" PRId64, p->pages);
    if (p->new_len) ca_text_put(&t, " new=%" PRId64, p->new_len);
    if (p->shared_len) ca_text_put(&t, " shared=%" PRId64, p->shared_len);
    if (p->split_len) ca_text_put(&t, " split=%" PRId64, p->split_len);
    if (p->weights) ca_text_put(&t, " weights=%s", stages[p->weights]);
    put_score(&t, p);
    ca_pattern_print(p, &t);
    put_strides(&t, p);
    uselocale(before);
    return t.length;
}
