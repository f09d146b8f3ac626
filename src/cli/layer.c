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

/* Leaves of a case what its weights depend on; they are its one output, after softmax. */
static void strip(struct case_file *c)
{
    static const struct slot_row weights = {.name = "weights", .kind = 's', .shape = "B Hq Nq _", .works = true};
    unsigned kept = 0;
    json_object_del(c->attrs, "dropout_p"); /* weights are before dropout */
    json_object_del(c->attrs, "weights_stage");
    for (unsigned i = 0; i < c->num_out; i++) {
        ca_npy_free(&c->out[i].want);
        free(c->out[i].path);
    }
    c->num_out = 1;
    c->out[0] = (struct case_tensor){.name = "weights", .row = &weights};
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

/* The weights [B,Hq,Nq,Nk] as the library computes them.  Changes C. */
static clattn_status case_weights(struct runner *r, struct case_file *c, struct ca_npy *w)
{
    clattn_status st;
    CA_REQUIRE(!strcmp(c->op->name, "attention"), CLATTN_E_UNSUPPORTED, "%s: only the weights of operation attention are computed",
               c->file);
    strip(c);
    if (ca_case_unsupported(c, r->reason, sizeof r->reason)) return refuse(r, c, CASE_SKIPPED);
    CA_TRY(ca_runner_open(r));
    int end = c->op->run(r, c);
    if (end != CASE_DONE) return refuse(r, c, end);
    *w = c->out[0].a;
    memset(&c->out[0].a, 0, sizeof c->out[0].a);
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
