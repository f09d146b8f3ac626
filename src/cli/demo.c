/* demo.c -- `clattn demo`: attention on the queries, keys and values of a real sentence, on the device that
 * is chosen automatically, checked against the known result; and a picture of what one head looks at. */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/heatmap.h"
#include "cli/run.h"
#include "cli/sample.h"
#include "cli/weights_stats.h"
#include "problem/problem.h"

#define EXAMPLE "examples/data/minilm_layer0"

struct options { const char *selector, *data; int head; };

enum { KEY_DATA = 256, KEY_HEAD };
static const struct argp_option option_rows[] = {
    {"device", 'd', "SELECTOR", 0, "use this device (default: the fastest)", 0},
    {"head", KEY_HEAD, "N", 0, "show the weights of this head (default: the most decided one)", 0},
    {"data", KEY_DATA, "CASE", 0, "use another case of operation attention, with k as long as q", 0},
    {0, 0, 0, 0, 0, 0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    char *end;
    switch (key) {
    case 'd': o->selector = arg; return 0;
    case KEY_DATA: o->data = arg; return 0;
    case KEY_HEAD:
        o->head = (int)strtol(arg, &end, 10);
        if (end == arg || *end || o->head < 0) argp_error(state, "%s is not the number of a head", arg);
        return 0;
    case ARGP_KEY_ARG: argp_error(state, "%s: no argument is expected", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_rows, parse, 0,
    "Runs the attention of a real sentence (first layer of all-MiniLM-L6-v2) on the best device, compares it with the "
    "known result, and shows what a head looks at.", 0, 0, 0};

/* ----------------------------------------------------------- finding the data */

/* DIR/EXAMPLE of the folder that holds this program or of one above it: the command runs from a build tree. */
static bool find_beside_program(char *path, size_t size)
{
    char self[3072];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return false;
    self[n] = 0;
    for (int up = 0; up < 6; up++) {
        char *slash = strrchr(self, '/');
        if (!slash) return false;
        *slash = 0;
        snprintf(path, size, "%s/" EXAMPLE "/case.json", self);
        if (access(path, R_OK) == 0) {
            snprintf(path, size, "%s/" EXAMPLE, self);
            return true;
        }
    }
    return false;
}

static bool find_data(const struct options *o, char *path, size_t size)
{
    snprintf(path, size, "%s", o->data ? o->data : EXAMPLE);
    if (o->data || access(EXAMPLE "/case.json", R_OK) == 0 || find_beside_program(path, size)) return true;
    snprintf(path, size, "%s", CA_DATA_PATH "/minilm_layer0"); /* installed */
    if (access(path, R_OK) == 0) return true;
    ca_cli_error("the demo's data, " EXAMPLE ", is not found; name it with --data");
    return false;
}

/* ----------------------------------------------------------------- the weights */

struct weights { int heads, tokens; float *w; }; /* [heads][tokens][tokens], of the first batch row */

/* softmax(q k^T / sqrt(D)) in plain C: small, and kept apart from what it is shown beside. */
static bool compute_weights(const struct case_file *c, struct weights *s)
{
    const struct ca_npy *q = &ca_case_input(c, "q")->a, *k = &ca_case_input(c, "k")->a;
    size_t H = (size_t)ca_size(c, "Hq", 0), group = H / (size_t)ca_size(c, "Hkv", 1);
    size_t N = (size_t)ca_size(c, "Nq", 0), D = (size_t)ca_size(c, "D", 0);
    bool causal = ca_case_flag(c, "causal");
    double scale = ca_case_number(c, "scale", 1 / sqrt((double)D));
    *s = (struct weights){(int)H, (int)N, calloc(H * N * N, sizeof(float))};
    if (!s->w) return false;
    for (size_t h = 0; h < H; h++)
        for (size_t i = 0; i < N; i++) {
            float *row = s->w + (h * N + i) * N;
            double most = -INFINITY, sum = 0;
            for (size_t j = 0; j < N; j++) {
                double score = 0;
                for (size_t d = 0; d < D; d++)
                    score += ca_npy_get(q, (h * N + i) * D + d) * ca_npy_get(k, (h / group * N + j) * D + d);
                row[j] = causal && j > i ? -INFINITY : (float)(scale * score);
                most = fmax(most, row[j]);
            }
            for (size_t j = 0; j < N; j++) sum += row[j] = (float)exp(row[j] - most);
            for (size_t j = 0; j < N; j++) row[j] = (float)(row[j] / sum);
        }
    return true;
}

static float weight(const struct weights *s, int h, int i, int j)
{
    return s->w[((size_t)h * s->tokens + i) * s->tokens + j];
}

/* The head whose rows are the most concentrated: the least entropy. */
static int most_decided(const struct weights *s)
{
    int best = 0;
    double least = INFINITY;
    for (int h = 0; h < s->heads; h++) {
        struct ca_weights_stats stats = {0};
        ca_weights_add(&stats, s->w + (size_t)h * s->tokens * s->tokens, s->tokens, s->tokens, 1, 0);
        if (stats.entropy < least) {
            least = stats.entropy;
            best = h;
        }
    }
    return best;
}

/* In one sentence: a fixed distance that takes most of the weight, or the token that takes the most. */
static void print_summary(const struct weights *s, int h)
{
    static const char *const where[] = {"the second before it", "the one before it", "itself", "the one after it"};
    int n = s->tokens, favourite = 0;
    double share[4] = {0}, most = 0;
    for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            sum += weight(s, h, i, j) / n;
            if (j - i >= -2 && j - i <= 1) share[j - i + 2] += weight(s, h, i, j) / n;
        }
        if (sum > most) {
            most = sum;
            favourite = j;
        }
    }
    for (int d = 0; d < 4; d++)
        if (share[d] > 0.5) {
            ca_cli_print("Each token looks at %s: %.0f %% of the weight.\n", where[d], 100 * share[d]);
            return;
        }
    ca_cli_print("Token %d is looked at most: %.0f %% of the weight.\n", favourite, 100 * most);
}

static clattn_status print_map(const struct weights *s, int h)
{
    struct ca_look look = {.max = 1};
    ca_cli_print("\nHead %d of %d.  A row shows where one token looks.  ", h, s->heads);
    print_summary(s, h);
    return ca_heatmap_print(s->w + (size_t)h * s->tokens * s->tokens, s->tokens, s->tokens, &look);
}

/* ------------------------------------------------------------------ the parts */

/* Runs the case and compares; a CA_EXIT code. */
static int run_and_compare(struct runner *r, struct case_file *c)
{
    struct difference d;
    struct case_tensor *out = ca_case_output(c, "out");
    r->reason[0] = 0;
    int end = ca_case_unsupported(c, r->reason, sizeof r->reason) ? CASE_SKIPPED : c->op->run(r, c);
    if (end != CASE_DONE) {
        ca_cli_error("%s: %s", c->name, end == CASE_SKIPPED ? r->reason : ca_cli_message(CLATTN_E_INTERNAL));
        return end == CASE_SKIPPED ? CA_EXIT_SKIPPED : end == CASE_BAD ? CA_EXIT_BAD : CA_EXIT_FAILED;
    }
    if (!out) return CA_EXIT_OK;
    bool ok = ca_compare(&out->a, &out->want, out->rtol, out->atol, &d);
    ca_cli_print("  largest difference from the expected output: %.2g, %s\n", d.absolute, ok ? "ok" : "WRONG");
    return ok ? CA_EXIT_OK : CA_EXIT_FAILED;
}

/* How fast N tokens of the case's shape are. */
static clattn_status print_speed(struct runner *r, const struct case_file *c, int64_t tokens)
{
    struct sample s;
    struct timing time;
    clattn_attention a;
    char text[32];
    clattn_attention_init(&a);
    a.q_heads = ca_size(c, "Hq", 1);
    a.kv_heads = ca_size(c, "Hkv", 1);
    a.q_len = a.kv_len = tokens;
    a.head_dim = ca_size(c, "D", 1);
    a.v_dim = ca_size(c, "Dv", 1);
    a.causal = ca_case_flag(c, "causal");
    clattn_status st = ca_sample_create(r->ctx, &a, NULL, NULL, NULL, 1, &s);
    if (st == CLATTN_OK) st = ca_sample_time(&s, 0.3, &time);
    if (st == CLATTN_OK)
        ca_cli_print("  %5lld tokens: %9s, %6.*f GFLOP/s with algorithm %s\n", (long long)tokens,
                     ca_cli_time(time.median, text), 1, 1e-9 * ca_problem_flops(s.p) / time.median, s.plan->algo->name);
    ca_sample_free(&s);
    return st;
}

static int show(struct options *o, struct runner *r, struct case_file *c)
{
    struct weights s;
    int code;
    clattn_status st = ca_cli_print_devices();
    if (st == CLATTN_OK) st = ca_runner_open(r);
    if (st != CLATTN_OK) goto failed;
    ca_cli_print("\nAttention of a real sentence: %lld tokens, %lld heads of %lld, on %s\n  (%s)\n",
                 (long long)ca_size(c, "Nq", 0), (long long)ca_size(c, "Hq", 0), (long long)ca_size(c, "D", 0),
                 r->device.name, r->device.reason);
    code = run_and_compare(r, c);
    if (code != CA_EXIT_OK) return code;
    if ((st = print_speed(r, c, ca_size(c, "Nq", 0))) != CLATTN_OK) goto failed;
    if ((st = print_speed(r, c, 1024)) != CLATTN_OK) goto failed;
    if (!compute_weights(c, &s)) return CA_EXIT_FAILED;
    if (o->head >= s.heads) {
        ca_cli_error("head %d: there are heads 0 ... %d", o->head, s.heads - 1);
        code = CA_EXIT_BAD;
    } else {
        st = print_map(&s, o->head >= 0 ? o->head : most_decided(&s));
    }
    free(s.w);
    if (st == CLATTN_OK) return code;
failed:
    ca_cli_status(st);
    return ca_cli_exit_code(st);
}

/* The picture needs BHSD and as many keys as queries. */
static bool fits(const struct case_file *c)
{
    bool ok = !strcmp(c->op->name, "attention") && c->form == 0 && ca_size(c, "Nq", 0) == ca_size(c, "Nk", -1) &&
              ca_size(c, "B", 0) > 0 && ca_size(c, "Hq", 0) > 0 && ca_size(c, "Nq", 0) > 0 &&
              ca_size(c, "Nq", 0) <= 4096;
    if (!ok) ca_cli_error("%s: the demo needs an attention in layout BHSD with as many keys as queries", c->path);
    return ok;
}

int ca_cmd_demo(int argc, char **argv)
{
    struct options o = {.head = -1};
    struct runner r = {.selector = NULL};
    char path[4096];
    int code = CA_EXIT_BAD;
    ca_cli_parse(&argp, argc, argv, &o);
    r.selector = o.selector;
    struct case_file *c = calloc(1, sizeof *c);
    if (!c || !find_data(&o, path, sizeof path)) goto done;
    if (ca_case_read(path, true, c) != CLATTN_OK) ca_cli_error("%s", ca_cli_message(CLATTN_E_ARGUMENT));
    else if (fits(c)) code = show(&o, &r, c);
    if (code == CA_EXIT_OK)
        ca_cli_print("\nNext: clattn demo --head 8         another head\n"
                     "      clattn bench \"f32 b1 h8 q2048 k2048 d64 causal\"\n"
                     "      clattn explain \"f16 b2 h32/8 q1 k4096 d128\"\n"
                     "      examples/attention.c         the same from C\n");
done:
    if (c) ca_case_free(c);
    free(c);
    ca_runner_close(&r);
    return code;
}
