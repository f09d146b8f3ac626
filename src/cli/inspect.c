/* inspect.c -- `clattn inspect`: what the heads of attention layers do, told from their weights: in a table or in
 * JSON lines, as pictures, and by attention rollout through the layers. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/checked.h"
#include "base/status.h"
#include "cli/cli.h"
#include "cli/heatmap.h"
#include "cli/layer.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/weights_stats.h"

/* ------------------------------------------------------------------ options */

struct options {
    struct runner runner;
    bool expected, json, plot;
    const char *heatmap, *mask, *out;
    int64_t top, distance, layer, batch, head; /* negative: not given */
    struct ca_look look;
    char **paths;
    int num_paths;
};

enum { KEY_EXPECTED = 256, KEY_TOP, KEY_DISTANCE, KEY_LAYER, KEY_BATCH, KEY_HEAD, KEY_HEATMAP, KEY_MASK, KEY_LOG, KEY_MEAN,
       KEY_PLOT, KEY_COLOR };
static const struct argp_option option_rows[] = {
    {"device", 'd', "SELECTOR", 0, "compute the weights of cases on this device (default: the fastest)", 0},
    {"expected", KEY_EXPECTED, 0, 0, "take a case's expected output weights as they are, compute nothing", 0},
    {"layer", KEY_LAYER, "N", 0, "look at this layer alone: the place of its argument, from 0", 0},
    {"batch", KEY_BATCH, "N", 0, "look at this batch row alone", 0},
    {"head", KEY_HEAD, "N", 0, "look at this head alone", 0},
    {"top", KEY_TOP, "K", 0, "the share of the K heaviest keys, 1 ... 64 (default 5)", 0},
    {"distance", KEY_DISTANCE, "N", 0, "far is more than N keys (default 128, or a quarter of the keys)", 0},
    {"json", 'j', 0, 0, "print one JSON object a line", 0},
    {"out", 'o', "FILE.npy", 0, "write the matrices of attention rollout, (batch, query, token)", 0},
    {"heatmap", KEY_HEATMAP, "FILE.png", 0, "write a picture of all heads; further layers to FILE-2.png ...", 0},
    {"mask", KEY_MASK, "FILE.png", 0, "draw which keys each query of a PROBLEM sees", 0},
    {"plot", KEY_PLOT, 0, 0, "draw each head in the terminal", 0},
    {"log", KEY_LOG, 0, 0, "pictures on a logarithmic scale", 0},
    {"mean", KEY_MEAN, 0, 0, "pictures of large matrices show means, not maxima", 0},
    {"color", KEY_COLOR, "WHEN", OPTION_ARG_OPTIONAL, "plot in colours: auto (on a terminal), always, never", 0},
    {0, 0, 0, 0, 0, 0}};

static bool colour_wanted(const char *when, struct argp_state *state)
{
    const char *term = getenv("TERM");
    if (!when || !strcmp(when, "always")) return true;
    if (strcmp(when, "auto") != 0 && strcmp(when, "never") != 0)
        argp_error(state, "--color=%s: must be auto, always or never", when);
    return *when == 'a' && isatty(STDOUT_FILENO) && !ca_getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

static int64_t number(const char *arg, int64_t least, int64_t most, struct argp_state *state)
{
    char *end;
    long long n = strtoll(arg, &end, 10);
    if (end == arg || *end || n < least || n > most)
        argp_error(state, "%s is not a number within %" PRId64 " ... %" PRId64, arg, least, most);
    return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'd': o->runner.selector = arg; return 0;
    case 'j': o->json = true; return 0;
    case 'o': o->out = arg; return 0;
    case KEY_EXPECTED: o->expected = true; return 0;
    case KEY_TOP: o->top = number(arg, 1, CA_WEIGHTS_MAX_TOP, state); return 0;
    case KEY_DISTANCE: o->distance = number(arg, 0, INT32_MAX, state); return 0;
    case KEY_LAYER: o->layer = number(arg, 0, INT32_MAX, state); return 0;
    case KEY_BATCH: o->batch = number(arg, 0, INT32_MAX, state); return 0;
    case KEY_HEAD: o->head = number(arg, 0, INT32_MAX, state); return 0;
    case KEY_HEATMAP: o->heatmap = arg; return 0;
    case KEY_MASK: o->mask = arg; return 0;
    case KEY_LOG: o->look.log = true; return 0;
    case KEY_MEAN: o->look.mean = true; return 0;
    case KEY_PLOT: o->plot = true; return 0;
    case KEY_COLOR: o->look.colour = colour_wanted(arg, state); return 0;
    case ARGP_KEY_INIT: o->look.colour = colour_wanted("auto", state); return 0;
    case ARGP_KEY_ARGS:
        o->paths = state->argv + state->next;
        o->num_paths = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which weights?"); return 0;
    case ARGP_KEY_SUCCESS:
        if (o->layer >= o->num_paths)
            argp_error(state, "--layer %" PRId64 ": there are layers 0 ... %d", o->layer, o->num_paths - 1);
        if (o->mask && (o->num_paths > 1 || o->json || o->out || o->heatmap || o->expected))
            argp_error(state, "--mask: is for one problem, and without --json, --out, --heatmap and --expected");
        if (o->json && o->plot) argp_error(state, "--plot draws where --json prints");
        if (o->out && (o->num_paths < 2 || o->layer >= 0))
            argp_error(state, "--out: rollout needs more than one layer");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_rows, parse, "FILE.npy|CASE...\n--mask=FILE.png PROBLEM",
    "Tells what attention heads do, from their weights.\v"
    "Each argument is one layer: a .npy file with weights [batch, heads, queries, keys], [heads, queries, keys] or "
    "[queries, keys], or a case of operation attention, whose weights are computed.  Each row is divided by its sum "
    "first; \"of max\" is the share of the entropy in what it could be, the logarithm of the number of keys "
    "with a weight above 0.  With more than one layer of square weights the last lines are attention rollout (Abnar "
    "& Zuidema 2020): the tokens of the input that reach the last row.\n\n"
    "With --mask the argument is a problem string, as for `clattn bench': a row of the picture is a query, a bright cell a "
    "key that it sees.  What depends on data is drawn for random ones.",
    0, 0, 0};

/* ---------------------------------------------------------------- selection */

/* Of the matrices of a layer those that were selected, batch rows before heads. */
struct selection { int64_t b0, h0, B, H; const float **matrix; };

static clattn_status select_matrices(const struct options *o, const struct ca_layer *l, const char *path,
                                     struct selection *s)
{
    CA_REQUIRE(o->batch < l->B, CLATTN_E_ARGUMENT, "%s: --batch %" PRId64 ": there are %" PRId64 " batch rows", path,
               o->batch, l->B);
    CA_REQUIRE(o->head < l->H, CLATTN_E_ARGUMENT, "%s: --head %" PRId64 ": there are %" PRId64 " heads", path, o->head,
               l->H);
    *s = (struct selection){.b0 = ca_max(o->batch, 0), .h0 = ca_max(o->head, 0)};
    s->B = o->batch < 0 ? l->B : 1;
    s->H = o->head < 0 ? l->H : 1;
    s->matrix = calloc((size_t)(s->B * s->H), sizeof *s->matrix);
    if (!s->matrix) return ca_no_memory((size_t)(s->B * s->H), "matrices");
    for (int64_t n = 0; n < s->B * s->H; n++)
        s->matrix[n] = (float *)l->w.data + ((s->b0 + n / s->H) * l->H + s->h0 + n % s->H) * l->Nq * l->Nk;
    return CLATTN_OK;
}

/* A line for each matrix, and their mean. */
static clattn_status report(const struct options *o, const struct ca_layer *l, const struct selection *s, int layer)
{
    struct ca_report r = {.layer = layer, .name = o->paths[layer], .k = o->top};
    struct ca_weights_stats all = {0};
    clattn_status st = CLATTN_OK;
    r.distance = o->distance >= 0 ? o->distance : ca_min(128, l->Nk / 4);
    if (!o->json && layer > 0 && o->layer < 0) ca_cli_print("\n");
    if (!o->json) ca_report_header(&r, l);
    for (int64_t n = 0; st == CLATTN_OK && n < s->B * s->H; n++) {
        r.batch = s->b0 + n / s->H;
        r.head = s->h0 + n % s->H;
        memset(&r.s, 0, sizeof r.s);
        ca_weights_add(&r.s, s->matrix[n], l->Nq, l->Nk, r.k, r.distance);
        ca_weights_merge(&all, &r.s);
        st = ca_report_line(o->json, &r);
    }
    r.batch = r.head = -1;
    r.s = all;
    return st == CLATTN_OK ? ca_report_line(o->json, &r) : st;
}

/* ----------------------------------------------------------------- pictures */

/* A line of tiles for each batch row, or a square of one's heads. */
static clattn_status write_tiles(const char *path, const struct ca_layer *l, const struct selection *s, struct ca_look *look)
{
    int64_t across = s->H;
    if (s->B == 1)
        for (across = 1; across * across < s->H;) across++;
    return ca_heatmap_write(path, s->matrix, s->B * s->H, across, l->Nq, l->Nk, look);
}

/* FILE.png, FILE-2.png, ... */
static clattn_status write_heatmap(const struct options *o, const struct ca_layer *l, const struct selection *s,
                                   int nth)
{
    size_t length = strlen(o->heatmap), end = length > 4 && !strcmp(o->heatmap + length - 4, ".png") ? 4 : 0;
    struct ca_look look = o->look;
    char *path, suffix[24] = "";
    if (nth > 1) snprintf(suffix, sizeof suffix, "-%d", nth);
    if (asprintf(&path, "%.*s%s%s", (int)(length - end), o->heatmap, suffix, o->heatmap + length - end) < 0)
        return ca_no_memory(length, "a path");
    clattn_status st = write_tiles(path, l, s, &look);
    if (st == CLATTN_OK && !o->json)
        ca_cli_print("%s: the brightest is %.3g %%\n", path, 100 * look.max);
    free(path);
    return st;
}

static clattn_status write_mask(const struct options *o, const struct ca_layer *l, const struct selection *s)
{
    struct ca_look look = o->look;
    double seen = 0, pairs = (double)(s->B * s->H) * (double)l->Nq * (double)l->Nk;
    look.max = 1;
    look.side = 128;
    for (int64_t n = 0; n < s->B * s->H; n++)
        for (int64_t e = 0; e < l->Nq * l->Nk; e++) seen += (double)s->matrix[n][e];
    clattn_status st = write_tiles(o->mask, l, s, &look);
    if (st == CLATTN_OK) ca_cli_print("%s: %.3g %% of %.0f pairs\n", o->mask, 100 * seen / pairs, pairs);
    return st;
}

static clattn_status plot(const struct options *o, const struct ca_layer *l, const struct selection *s)
{
    clattn_status st = CLATTN_OK;
    for (int64_t n = 0; st == CLATTN_OK && n < s->B * s->H; n++) {
        struct ca_look look = o->look;
        ca_cli_print("\nBatch row %" PRId64 ", head %" PRId64 ".  A row shows where one token looks.\n",
                     s->b0 + n / s->H, s->h0 + n % s->H);
        st = ca_heatmap_print(s->matrix[n], l->Nq, l->Nk, &look);
    }
    return st;
}

/* ------------------------------------------------------------------ rollout */

/* ROLL [B][N][N] after LAYERS layers, until ST and WHY tell that it cannot be. */
struct rollout { int layers; int64_t b0, B, N; double *roll; clattn_status st; char why[1024]; };

static void give_up(struct rollout *t, clattn_status st)
{
    if (t->st == CLATTN_OK) snprintf(t->why, sizeof t->why, "%s", ca_cli_message(st));
    t->st = st;
}

static clattn_status add_to_rollout(struct rollout *t, const struct ca_layer *l, const struct selection *s,
                                    const char *path)
{
    size_t n = (size_t)(s->B * l->Nq * l->Nq);
    CA_REQUIRE(l->Nq == l->Nk, CLATTN_E_ARGUMENT,
               "%s: rollout needs as many keys as queries, not %" PRId64 " and %" PRId64, path, l->Nk, l->Nq);
    CA_REQUIRE(!t->layers || (t->N == l->Nq && t->B == s->B), CLATTN_E_ARGUMENT,
               "%s: rollout needs layers of one shape, not batch %" PRId64 " of %" PRId64 " tokens after %" PRId64
               " of %" PRId64, path, s->B, l->Nq, t->B, t->N);
    if (!t->roll) t->roll = calloc(n, sizeof *t->roll);
    if (!t->roll) return ca_no_memory(n * sizeof *t->roll, "rollout");
    t->b0 = s->b0;
    t->B = s->B;
    t->N = l->Nq;
    for (int64_t b = 0; b < s->B; b++)
        if (!ca_rollout_step(t->roll + b * t->N * t->N, s->matrix + b * s->H, s->H, t->N, t->layers == 0))
            return ca_no_memory(n * sizeof *t->roll, "rollout");
    t->layers++;
    return CLATTN_OK;
}

static clattn_status write_rollout(const char *path, const struct rollout *t)
{
    struct ca_npy a;
    clattn_status st = ca_npy_alloc(&a, CA_NPY_F4, 3, (const int64_t[]){t->B, t->N, t->N});
    for (size_t n = 0; st == CLATTN_OK && n < a.count; n++) ((float *)a.data)[n] = (float)t->roll[n];
    if (st == CLATTN_OK) st = ca_npy_write(path, &a);
    ca_npy_free(&a);
    return st;
}

static clattn_status finish_rollout(const struct options *o, const struct rollout *t)
{
    clattn_status st = CLATTN_OK;
    ca_message_clear();
    if (t->st != CLATTN_OK) {
        if (o->out) return ca_fail(t->st, "--out: %s", t->why);
        if (!o->json) ca_cli_print("\nNo rollout: %s\n", t->why);
        return CLATTN_OK;
    }
    for (int64_t b = 0; st == CLATTN_OK && b < t->B; b++)
        st = ca_report_rollout(o->json, t->layers, t->b0 + b, t->roll + ((b + 1) * t->N - 1) * t->N, t->N, o->top);
    return st == CLATTN_OK && o->out ? write_rollout(o->out, t) : st;
}

/* ------------------------------------------------------------------ command */

static clattn_status inspect(struct options *o, int i, struct rollout *t)
{
    struct ca_layer l;
    struct selection s = {.matrix = NULL};
    clattn_status st;
    memset(&l, 0, sizeof l);
    CA_TRY(o->mask ? ca_layer_of_mask(&o->runner, o->paths[i], &l) : ca_layer_read(&o->runner, o->paths[i], o->expected, &l));
    CA_TRY(select_matrices(o, &l, o->paths[i], &s));
    CA_TRY(o->mask ? write_mask(o, &l, &s) : report(o, &l, &s, i));
    if (o->heatmap) CA_TRY(write_heatmap(o, &l, &s, o->layer < 0 ? i + 1 : 1));
    if (o->plot) CA_TRY(plot(o, &l, &s));
    if (o->num_paths > 1 && t->st == CLATTN_OK) {
        clattn_status rolled = add_to_rollout(t, &l, &s, o->paths[i]);
        if (rolled != CLATTN_OK) give_up(t, rolled);
    }
done:
    ca_layer_free(&l);
    free(s.matrix);
    return st;
}

int ca_cmd_inspect(int argc, char **argv)
{
    struct options o = {.top = 5, .distance = -1, .layer = -1, .batch = -1, .head = -1};
    struct rollout t = {.roll = NULL};
    int code = CA_EXIT_OK;
    clattn_status st;
    ca_cli_parse(&argp, argc, argv, &o);
    ca_progress_begin("inspecting");
    for (int i = 0; i < o.num_paths; i++) {
        if (o.layer >= 0 && i != o.layer) continue;
        ca_progress_say("%d of %d, %s", i + 1, o.num_paths, o.paths[i]);
        st = inspect(&o, i, &t);
        if (st == CLATTN_OK) continue;
        ca_cli_error("%s", ca_cli_message(st)); /* a bad layer does not stop the others */
        code = ca_cli_worse(code, ca_cli_exit_code(st));
        give_up(&t, st);
    }
    st = o.num_paths > 1 && o.layer < 0 ? finish_rollout(&o, &t) : CLATTN_OK;
    if (st != CLATTN_OK) {
        ca_cli_error("%s", ca_cli_message(st));
        code = ca_cli_worse(code, ca_cli_exit_code(st));
    }
    ca_progress_end();
    free(t.roll);
    ca_runner_close(&o.runner);
    return code;
}
