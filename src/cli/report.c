/* report.c -- the lines of `clattn inspect`. */
#include "cli/report.h"
#include <inttypes.h>
#include <stdio.h>
#include "cli/cli.h"

void ca_report_header(const struct ca_report *r, const struct ca_layer *l)
{
    char top[24], beyond[40];
    snprintf(top, sizeof top, "top %" PRId64, r->k);
    snprintf(beyond, sizeof beyond, "beyond %" PRId64, r->distance);
    ca_cli_print("layer %d, %s: batch %" PRId64 ", heads %" PRId64 ", queries %" PRId64 ", keys %" PRId64 "\n",
                 r->layer, r->name, l->B, l->H, l->Nq, l->Nk);
    ca_cli_print("%6s %5s %8s %7s %7s %7s %9s %7s %11s %9s %8s %7s %7s %7s\n", "batch", "head", "entropy", "of max",
                 "top 1", top, "diagonal", "first", beyond, "collapsed", "uniform", "no key", "sum", "not 1");
}

static void print_row(const struct ca_report *r)
{
    const struct ca_weights_stats *s = &r->s;
    const double share[] = {s->share, s->top1, s->topk, s->diagonal, s->first, s->beyond}, n = (double)s->keyed;
    static const int width[] = {5, 5, 5, 7, 5, 9};
    if (r->head < 0) ca_cli_print("%12s", "mean");
    else ca_cli_print("%6" PRId64 " %5" PRId64, r->batch, r->head);
    if (s->keyed) ca_cli_print(" %8.3f", s->entropy / n);
    else ca_cli_print(" %8s", "-");
    for (int i = 0; i < 6; i++)
        if (s->keyed) ca_cli_print(" %*.1f %%", width[i], 100 * share[i] / n);
        else ca_cli_print(" %*s", width[i] + 2, "-");
    ca_cli_print(" %9" PRId64 " %8" PRId64 " %7" PRId64, s->collapsed, s->uniform, s->rows - s->keyed);
    if (s->keyed) ca_cli_print(" %7.4f %7" PRId64 "\n", s->sum / n, s->off);
    else ca_cli_print(" %7s %7" PRId64 "\n", "-", s->off);
}

static json_t *mean(double sum, int64_t n) { return n ? json_real(sum / (double)n) : json_null(); }
static json_t *place(int64_t i) { return i < 0 ? json_null() : json_integer(i); }

static clattn_status print_object(json_t *line)
{
    CA_REQUIRE(line, CLATTN_E_INTERNAL, "the result is not valid JSON");
    json_dumpf(line, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(line);
    return CLATTN_OK;
}

clattn_status ca_report_line(bool json, const struct ca_report *r)
{
    const struct ca_weights_stats *s = &r->s;
    const int64_t n = s->keyed;
    if (json)
        return print_object(json_pack(
            "{s:i, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I}", "layer",
            r->layer, "name", r->name, "batch", place(r->batch), "head", place(r->head), "rows", (json_int_t)s->rows,
            "no_key", (json_int_t)(s->rows - n), "collapsed", (json_int_t)s->collapsed, "uniform",
            (json_int_t)s->uniform, "sum_not_1", (json_int_t)s->off, "sum", mean(s->sum, n), "entropy",
            mean(s->entropy, n), "entropy_share", mean(s->share, n), "top_1", mean(s->top1, n), "top_k",
            mean(s->topk, n), "k", (json_int_t)r->k, "diagonal", mean(s->diagonal, n), "first", mean(s->first, n),
            "beyond", mean(s->beyond, n), "distance", (json_int_t)r->distance));
    print_row(r);
    return CLATTN_OK;
}

clattn_status ca_report_rollout(bool json, int layers, int64_t batch, const double *row, int64_t N, int64_t k)
{
    int64_t token[CA_WEIGHTS_MAX_TOP], count = ca_top(row, N, k, token);
    if (json) {
        json_t *tokens = json_array(), *shares = json_array();
        for (int64_t n = 0; n < count; n++) {
            json_array_append_new(tokens, json_integer(token[n]));
            json_array_append_new(shares, json_real(row[token[n]]));
        }
        return print_object(json_pack("{s:i, s:I, s:o, s:o}", "rollout", layers, "batch", (json_int_t)batch, "tokens",
                                      tokens, "shares", shares));
    }
    ca_cli_print("\nRollout through %d layers, batch row %" PRId64 ": the last row is made of\n", layers, batch);
    for (int64_t n = 0; n < count; n++)
        ca_cli_print("  token %5" PRId64 " %5.1f %%\n", token[n], 100 * row[token[n]]);
    return CLATTN_OK;
}
