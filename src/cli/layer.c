/* layer.c -- reads attention weights, or computes those of a case. */
#define _GNU_SOURCE
#include "cli/layer.h"
#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/checked.h"
#include "cli/cli.h"
#include "problem/problem.h"

/* ------------------------------------------------------------------ a case */

/* Leaves of a case what its weights depend on, with f32 storage; output `out` alone. */
static clattn_status strip(struct case_file *c)
{
    static const struct slot_row out = {.name = "out", .kind = 'f', .shape = "...", .works = true};
    unsigned kept = 0;
    json_object_del(c->attrs, "dropout_p"); /* weights are before dropout */
    for (unsigned i = 0; i < c->num_out; i++) {
        ca_npy_free(&c->out[i].want);
        free(c->out[i].path);
    }
    c->num_out = 1;
    c->out[0] = (struct case_tensor){.name = "out", .row = &out};
    for (unsigned i = 0; i < c->num_in; i++) {
        struct case_tensor *t = &c->in[i];
        if (!strcmp(t->name, "dout") || !strcmp(t->name, "dlse")) {
            ca_npy_free(&t->a);
            free(t->path);
        } else {
            c->in[kept++] = *t;
        }
    }
    c->num_in = kept;
    for (unsigned i = 0; i < c->num_in; i++) {
        struct ca_npy wide, *a = &c->in[i].a;
        if (a->type != CA_NPY_F2 && a->type != CA_NPY_F8 && a->type != CA_NPY_U2) continue;
        clattn_status st = ca_npy_convert(a, CA_NPY_F4, &wide);
        if (st != CLATTN_OK) return st;
        ca_npy_free(a);
        *a = wide;
    }
    return CLATTN_OK;
}

/* Makes v columns FIRST ... FIRST + N - 1 of the identity. */
static clattn_status set_values(struct case_file *c, int64_t first, int64_t n)
{
    int64_t B = ca_size(c, "B", 0), H = ca_size(c, "Hkv", 0), Nk = ca_size(c, "Nk", 0);
    const int64_t bhsd[4] = {B, H, Nk, n}, bshd[4] = {B, Nk, H, n}, flat[3] = {B, Nk, H * n};
    struct ca_npy *v = &ca_case_input(c, "v")->a;
    ca_npy_free(v);
    clattn_status st = ca_npy_alloc(v, CA_NPY_F4, c->form & W_FLAT ? 3 : 4,
                                    c->form & W_FLAT ? flat : c->form & W_BSHD ? bshd : bhsd);
    if (st != CLATTN_OK) return st;
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t e = 0; e < n; e++) {
                int64_t row = c->form & W_BSHD ? (b * Nk + first + e) * H + h : (b * H + h) * Nk + first + e;
                ((float *)v->data)[row * n + e] = 1;
            }
    for (unsigned i = 0; i < c->num_sizes; i++)
        if (!strcmp(c->size[i].name, "Dv")) c->size[i].value = n;
    return CLATTN_OK;
}

/* Output `out` becomes columns FIRST ... of W. */
static void take_columns(struct case_file *c, int64_t first, int64_t n, struct ca_npy *w)
{
    int64_t H = w->shape[1], Nq = w->shape[2], Nk = w->shape[3];
    const float *out = ca_case_output(c, "out")->a.data;
    for (int64_t b = 0; b < w->shape[0]; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t i = 0; i < Nq; i++) {
                int64_t row = c->form & W_BSHD ? (b * Nq + i) * H + h : (b * H + h) * Nq + i;
                memcpy((float *)w->data + ((b * H + h) * Nq + i) * Nk + first, out + row * n, (size_t)n * sizeof *out);
            }
    ca_npy_free(&ca_case_output(c, "out")->a);
}

static clattn_status refuse(const struct runner *r, const struct case_file *c, int outcome)
{
    char why[8192];
    snprintf(why, sizeof why, "%s", outcome == CASE_SKIPPED ? r->reason : ca_cli_message(CLATTN_E_INTERNAL));
    ca_message_clear();
    return ca_fail(outcome == CASE_SKIPPED ? CLATTN_E_UNSUPPORTED
                   : outcome == CASE_BAD   ? CLATTN_E_ARGUMENT
                                           : CLATTN_E_INTERNAL,
                   "%s: %s", c->file, why);
}

/* The weights [B,Hq,Nq,Nk] as the library computes them: P v for v = the identity is P.  As many columns at a time
 * as v may have.  Changes C. */
static clattn_status case_weights(struct runner *r, struct case_file *c, struct ca_npy *w)
{
    const int64_t shape[4] = {ca_size(c, "B", 0), ca_size(c, "Hq", 0), ca_size(c, "Nq", 0), ca_size(c, "Nk", 0)};
    clattn_status st;
    CA_TRY(strip(c));
    if (ca_case_unsupported(c, r->reason, sizeof r->reason)) return refuse(r, c, CASE_SKIPPED);
    CA_REQUIRE(!strcmp(c->op->name, "attention") && !(c->form & (W_THD | W_PAGED | W_QUANT)) &&
                   !ca_case_input(c, "k_new"),
               CLATTN_E_UNSUPPORTED, "%s: only the weights of operation attention on plain tensors are computed",
               c->file);
    CA_TRY(ca_runner_open(r));
    CA_TRY(ca_npy_alloc(w, CA_NPY_F4, 4, shape));
    for (int64_t j = 0; j < shape[3]; j += CA_MAX_DIM) {
        int64_t n = ca_min(CA_MAX_DIM, shape[3] - j);
        CA_TRY(set_values(c, j, n));
        int end = c->op->run(r, c);
        if (end != CASE_DONE) return refuse(r, c, end);
        take_columns(c, j, n, w);
    }
done:
    return st;
}

static clattn_status expected_weights(struct case_file *c, struct ca_npy *w)
{
    struct case_tensor *t = ca_case_output(c, "weights");
    const char *stage = ca_case_word(c, "weights_stage", "probs");
    if (!t) ca_case_bad(c, "outputs.weights", "is missing, and --expected reads it");
    else if (strcmp(stage, "probs") != 0) ca_case_bad(c, "attrs.weights_stage", "is %s, must be probs", stage);
    else {
        *w = t->want;
        memset(&t->want, 0, sizeof t->want);
        return CLATTN_OK;
    }
    return CLATTN_E_ARGUMENT;
}

static clattn_status read_case(struct runner *r, const char *path, bool expected, struct ca_npy *w)
{
    struct case_file *c = calloc(1, sizeof *c);
    if (!c) return ca_no_memory(sizeof *c, "a case");
    clattn_status st = ca_case_read(path, expected, c);
    if (st == CLATTN_OK) st = expected ? expected_weights(c, w) : case_weights(r, c, w);
    ca_case_free(c);
    free(c);
    return st;
}

/* ----------------------------------------------------------------- a layer */

/* The first element that is no weight, or count. */
static size_t find_bad(const struct ca_npy *w)
{
    size_t n = 0;
    for (double x; n < w->count && (x = ca_npy_get(w, n)) >= 0 && x <= (double)FLT_MAX;) n++;
    return n;
}

/* "(0, 2, 1)": where element N is. */
static const char *place(const struct ca_npy *w, size_t n, char *text, size_t size)
{
    struct ca_npy at = *w;
    for (int i = w->rank - 1; i >= 0; i--) {
        at.shape[i] = (int64_t)(n % (size_t)w->shape[i]);
        n /= (size_t)w->shape[i];
    }
    return ca_npy_shape(&at, text, size);
}

static clattn_status check(const struct ca_npy *w, const char *path)
{
    char where[256];
    CA_REQUIRE(w->rank >= 2 && w->rank <= 4, CLATTN_E_ARGUMENT, "%s: weights: rank %d, must be 2, 3 or 4", path,
               w->rank);
    CA_REQUIRE(w->type == CA_NPY_F2 || w->type == CA_NPY_F4 || w->type == CA_NPY_F8, CLATTN_E_ARGUMENT,
               "%s: weights: type %s, must be <f2, <f4 or <f8", path, ca_npy_name(w->type));
    CA_REQUIRE(w->count > 0, CLATTN_E_ARGUMENT, "%s: weights: shape %s holds none", path,
               ca_npy_shape(w, where, sizeof where));
    size_t bad = find_bad(w);
    CA_REQUIRE(bad == w->count, CLATTN_E_ARGUMENT, "%s: weights: element %s is %g, must be finite and not negative",
               path, place(w, bad, where, sizeof where), ca_npy_get(w, bad));
    return CLATTN_OK;
}

clattn_status ca_layer_read(struct runner *r, const char *path, bool expected, struct ca_layer *l)
{
    struct stat s;
    struct ca_npy narrow;
    clattn_status st;
    memset(l, 0, sizeof *l);
    ca_message_clear();
    CA_TRY(stat(path, &s) == 0 && S_ISDIR(s.st_mode) ? read_case(r, path, expected, &l->w)
                                                     : ca_npy_read(path, "weights", &l->w));
    CA_TRY(check(&l->w, path));
    const int64_t *shape = l->w.shape + l->w.rank;
    l->B = l->w.rank > 3 ? shape[-4] : 1;
    l->H = l->w.rank > 2 ? shape[-3] : 1;
    l->Nq = shape[-2];
    l->Nk = shape[-1];
    if (l->w.type == CA_NPY_F4) return CLATTN_OK;
    CA_TRY(ca_npy_convert(&l->w, CA_NPY_F4, &narrow));
    ca_npy_free(&l->w);
    l->w = narrow;
done:
    return st == CLATTN_E_IO ? CLATTN_E_ARGUMENT : st; /* a file that is not there is bad use */
}

void ca_layer_free(struct ca_layer *l) { ca_npy_free(&l->w); }
