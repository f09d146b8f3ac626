/* mods.c -- a user's score_mod, mask_mod and tile_class: checked, and made into the text that stands before a kernel's,
 *
 *     #define SCORE_MOD 1
 *     #define MOD_ARGS(A, X) , (X)->mod[0] + (A)->mod_0[0]
 *     static inline float user_score_mod(float score, int b, int h, int i, int j, __global const float *table)
 *     { const float cap = 20.0f;
 *     #line 1 "score_mod"
 *     return cap * tanh(score / cap) + table[j];
 *     }
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/status.h"
#include "base/text.h"
#include "problem/problem.h"

_Static_assert(CA_MODS == CLATTN_MAX_MODS, "the header's number of buffers is the kernels'");

struct words { char word[8][64]; int count; };

/* Splits TEXT at blanks; each word begins as an identifier. */
static clattn_status split(const char *text, const char *field, int most, struct words *w)
{
    static const char blank[] = " \t\r\n,";
    w->count = 0;
    for (text = text ? text : ""; *(text += strspn(text, blank));) {
        size_t n = strcspn(text, blank);
        CA_REQUIRE(w->count < most, CLATTN_E_ARGUMENT, "%s holds more than %d", field, most);
        CA_REQUIRE(n < sizeof w->word[0] && (isalpha((unsigned char)*text) || *text == '_'), CLATTN_E_ARGUMENT,
                   "%s: \"%.60s\" is no name", field, text);
        memcpy(w->word[w->count], text, n);
        w->word[w->count++][n] = 0;
        text += n;
    }
    return CLATTN_OK;
}

static clattn_status check_name(const char *name, size_t length, const char *field)
{
    static const char *const taken[] = { "score", "b", "h", "i", "j", "i0", "i1", "j0", "j1" };
    for (size_t k = 0; k < length; k++)
        CA_REQUIRE(isalnum((unsigned char)name[k]) || name[k] == '_', CLATTN_E_ARGUMENT, "%s: \"%s\" is no name", field, name);
    for (size_t k = 0; k < sizeof taken / sizeof taken[0]; k++)
        CA_REQUIRE(strlen(taken[k]) != length || memcmp(taken[k], name, length), CLATTN_E_ARGUMENT,
                   "%s: \"%.*s\" is an argument already", field, (int)length, name);
    return CLATTN_OK;
}

static clattn_status put_scalars(struct ca_text *t, const struct words *scalars)
{
    clattn_status st = CLATTN_OK;
    for (int k = 0; k < scalars->count; k++) {
        const char *word = scalars->word[k];
        size_t n = strcspn(word, "=");
        char *end = NULL;
        double x = word[n] ? strtod(word + n + 1, &end) : 0;
        CA_REQUIRE(end && end != word + n + 1 && *end == 0 && isfinite((float)x), CLATTN_E_ARGUMENT,
                   "mod_scalars: \"%s\" is not name=number", word);
        CA_TRY(check_name(word, n, "mod_scalars"));
        ca_text_put(t, "const float %.*s = (float)%.9e;\n", (int)n, word, x);
    }
done:
    return st;
}

/* The functions with TEXT as their body. */
static clattn_status put_function(struct ca_text *t, const char *head, const char *name, const char *text, const struct words *buffers,
                                  const struct words *scalars)
{
    ca_text_put(t, "%s", head);
    for (int k = 0; k < buffers->count; k++) ca_text_put(t, ", __global const float *%s", buffers->word[k]);
    ca_text_put(t, ")\n{\n");
    clattn_status st = put_scalars(t, scalars);
    ca_text_put(t, "#line 1 \"%s\"\n%s\n}\n", name, text);
    return st;
}

static clattn_status put_text(struct ca_text *t, const clattn_attention *a, const struct words *buffers, const struct words *scalars)
{
    clattn_status st = CLATTN_OK;
    ca_text_put(t, "#define SCORE_MOD %d\n#define MASK_MOD %d\n#define TILE_CLASS %d\n#define MOD_ARGS(A, X) ",
                a->score_mod != NULL, a->mask_mod != NULL, a->tile_class != NULL);
    for (int k = 0; k < buffers->count; k++) ca_text_put(t, ", (X)->mod[%d] + (A)->mod_0[%d]", k, k);
    ca_text_put(t, "\n");
    if (a->score_mod)
        CA_TRY(put_function(t, "static inline float user_score_mod(float score, int b, int h, int i, int j", "score_mod", a->score_mod,
                            buffers, scalars));
    if (a->mask_mod)
        CA_TRY(put_function(t, "static inline int user_mask_mod(int b, int h, int i, int j", "mask_mod", a->mask_mod, buffers, scalars));
    if (a->tile_class)
        CA_TRY(put_function(t, "static inline int user_tile_class(int b, int h, int i0, int i1, int j0, int j1", "tile_class", a->tile_class,
                            buffers, scalars));
    CA_REQUIRE(t->length < t->size, CLATTN_E_TOO_LARGE, "score_mod, mask_mod and tile_class make a text of %zu characters, at most %zu fit",
               t->length, t->size - 1);
done:
    return st;
}

clattn_status ca_problem_mods(struct problem *p, const clattn_attention *a)
{
    struct words buffers, scalars;
    struct ca_text t = { p->mods, sizeof p->mods, 0 };
    clattn_status st;

    CA_TRY(split(a->mod_buffers, "mod_buffers", CA_MODS, &buffers));
    CA_TRY(split(a->mod_scalars, "mod_scalars", 8, &scalars));
    CA_REQUIRE(!a->tile_class || a->mask_mod, CLATTN_E_ARGUMENT, "tile_class needs mask_mod, whose mask it is");
    CA_REQUIRE(!a->tile_callback || a->mask_callback, CLATTN_E_ARGUMENT, "tile_callback needs mask_callback, whose mask it is");
    p->score_mod = a->score_mod != NULL;
    p->mask_mod = a->mask_mod != NULL;
    p->tile_class = a->tile_class != NULL;
    p->score_callback = a->score_callback;
    p->mask_callback = a->mask_callback;
    p->tile_callback = a->tile_callback;
    p->callback_data = a->score_callback || a->mask_callback ? a->callback_data : NULL;
    for (int k = 0; k < buffers.count; k++) {
        CA_TRY(check_name(buffers.word[k], strlen(buffers.word[k]), "mod_buffers"));
        CA_REQUIRE(a->mod_lengths[k] >= 1 && a->mod_lengths[k] <= INT32_MAX, CLATTN_E_ARGUMENT, "mod_lengths[%d] %lld is not in 1 ... %d",
                   k, (long long)a->mod_lengths[k], INT32_MAX);
        p->mod_lengths[k] = a->mod_lengths[k];
    }
    if (!a->score_mod && !a->mask_mod) return CLATTN_OK;
    locale_t before = ca_enter_c_locale();
    st = put_text(&t, a, &buffers, &scalars);
    uselocale(before);
done:
    return st;
}
