/* group.c -- one attention on several devices: each has a share of it, as large as the device is fast.
 *
 *     units    b0h0 | b0h1 | b0h2 | b1h0 | b1h1 | b1h2      the query heads of one KV head of one batch row
 *     shares   [------ A -------)[----- B -----)[- C -)     a border may lie within a unit, between two of its rows
 *
 * A share is a few boxes of batch rows, heads and rows, or, where there are few of these, all of them and some keys; each is a problem of its own
 * on the same tensors (problem/part.c) with a plan of its own.  What comes of some keys is merged by the log-sum-exp.  All devices work at once,
 * each in a thread; what they computed goes to the outputs only when all have it.  A device that fails is dropped for good and its share computed
 * by the others. */
#include "plan/group.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/text.h"

#define MAX_PIECES 5          /* of a share: rows of a unit, heads of a batch row, batch rows, heads, rows */
#define ROWS_TOGETHER 128     /* a border between rows lies at a multiple: a power of two, so that tiles are full, and no more than a sixteenth of all */
#define KEYS_TOGETHER 64      /* the same between keys */
#define FEW 2                 /* so many units for each device are too few: then keys are divided, unless there are rows to divide */
#define SMALL_MS 0.2          /* what one device does in that time is not worth the threads */
#define UNEVEN 1.07           /* devices that could be done so much sooner get other shares, */
#define MAX_CHANGES 16        /* but not for ever: what was measured is noisy */

struct piece {
    struct ca_part part;
    struct clattn_plan *plan;
};

struct share {
    clattn_context *ctx;
    double rate;              /* work in a unit of time, any: only their ratios matter; 0: none */
    double work;              /* of the whole */
    int count;
    struct piece piece[MAX_PIECES];
};

struct group {
    const clattn_context *ctx;
    pthread_rwlock_t lock;    /* shares change only while nothing is executed */
    char *algorithm, *params; /* as the user wanted them, or NULL */
    bool weighted;            /* rates are the user's */
    bool by_keys;             /* each share has some keys, for all rows */
    int members, changes;
    struct share share[CA_MAX_MEMBERS];
};

/* ---------------------------------------------------------------- borders */

/* A place in the order of all work: unit, row in it. */
struct border { int64_t unit, row; };

static struct ca_part rows_of(const struct problem *p, int64_t from, int64_t to)
{
    return (struct ca_part){ { 0, p->B }, { 0, p->Hkv }, { from, to }, { 0, p->Nk } };
}

/* The share of a unit's work that is in its first N rows. */
static double work_before(const struct problem *p, int64_t n)
{
    struct problem part;
    const struct ca_part first = rows_of(p, 0, n);
    ca_problem_part(p, &first, &part);
    double all = ca_problem_visible(p);
    return all > 0 ? ca_problem_visible(&part) / all : (double)n / (double)p->Nq;
}

/* Where the first SHARE of all work ends. */
static struct border border_at(const struct problem *p, double share)
{
    int64_t rows = ROWS_TOGETHER;
    while (rows > 1 && rows * 16 > p->Nq) rows /= 2;
    const int64_t units = p->B * p->Hkv, together = ca_problem_cuts_heads(p) ? 1 : p->Hkv;
    const double place = share * (double)units;
    struct border b = { (int64_t)place, 0 };
    if (!ca_problem_cuts_rows(p) || together > 1) {
        b.unit = (int64_t)(place / (double)together + 0.5) * together;
    } else {
        int64_t low = 0, high = ca_ceil_div(p->Nq, rows);
        while (high - low > 1) { /* the last one that is not beyond it */
            const int64_t middle = (low + high) / 2;
            if (work_before(p, middle * rows) <= place - (double)b.unit) low = middle;
            else high = middle;
        }
        const double below = place - (double)b.unit - work_before(p, low * rows);
        const double above = work_before(p, ca_min(high * rows, p->Nq)) - (place - (double)b.unit);
        b.row = (below <= above ? low : high) * rows;
        if (b.row >= p->Nq) b = (struct border){ b.unit + 1, 0 };
    }
    return b.unit >= units ? (struct border){ units, 0 } : b;
}

/* The boxes of all that lies between FROM and TO, into PART; returns how many. */
static int boxes(const struct problem *p, struct border from, struct border to, struct ca_part part[MAX_PIECES])
{
    int n = 0;
    while (from.unit < to.unit || from.row < to.row) {
        const int64_t b = from.unit / p->Hkv, h = from.unit % p->Hkv, units = to.unit - from.unit;
        struct ca_part *r = &part[n++];
        *r = (struct ca_part){ { b, b + 1 }, { h, h + 1 }, { from.row, p->Nq }, { 0, p->Nk } };
        if (from.row || !units) { /* some rows of one unit */
            if (!units) r->i[1] = to.row;
            from = units ? (struct border){ from.unit + 1, 0 } : to;
            continue;
        }
        if (h || units < p->Hkv) r->h[1] = ca_min(p->Hkv, h + units); /* some heads of one batch row */
        else *r = (struct ca_part){ { b, b + units / p->Hkv }, { 0, p->Hkv }, { 0, p->Nq }, { 0, p->Nk } };
        from.unit += (r->b[1] - r->b[0]) * (r->h[1] - r->h[0]);
    }
    return n;
}

/* The keys between the shares FROM and TO of all; none: 0. */
static int keys_of(const struct problem *p, double from, double to, struct ca_part *part)
{
    *part = rows_of(p, 0, p->Nq);
    part->j[0] = (int64_t)(from * (double)p->Nk / KEYS_TOGETHER + 0.5) * KEYS_TOGETHER;
    part->j[1] = to >= 1 ? p->Nk : (int64_t)(to * (double)p->Nk / KEYS_TOGETHER + 0.5) * KEYS_TOGETHER;
    return part->j[0] < part->j[1];
}

static bool divides_keys(const struct problem *p, int members)
{
    return p->B * p->Hkv < FEW * members && (!ca_problem_cuts_rows(p) || p->Nq < 16) && ca_problem_cuts_keys(p) && p->Nk >= 2 * KEYS_TOGETHER;
}

/* ----------------------------------------------------------------- shares */

static void empty_share(struct share *s)
{
    for (int k = 0; k < s->count; k++) ca_plan_destroy(s->piece[k].plan);
    s->count = 0;
    s->work = 0;
}

static bool works(const struct share *s) { return s->rate > 0 && !ca_context_dropped(s->ctx); }

/* Plans of S for PART. */
static clattn_status plan_pieces(const struct group *g, const struct problem *p, struct share *s, const struct ca_part *part, int count)
{
    clattn_status st = CLATTN_OK;
    for (s->count = 0; s->count < count; s->count++) {
        struct piece *x = &s->piece[s->count];
        struct problem q;
        x->part = part[s->count];
        ca_problem_part(p, &x->part, &q);
        if (g->by_keys) ca_packed_strides(&q, CA_OUT, CLATTN_BHSD, &q.o); /* to be merged */
        CA_TRY(ca_plan_create_alone(s->ctx, &q, g->algorithm, g->params, &x->plan));
    }
done:
    return st;
}

static clattn_status nobody_left(const struct group *g)
{
    char text[1024] = "";
    struct ca_text t = { text, sizeof text, 0 };
    for (int k = 0; k < g->members; k++) {
        const clattn_context *one = g->share[k].ctx;
        ca_text_put(&t, "; %s: %s", one->dev.name, ca_context_dropped(one) ? one->dropped : "it cannot plan this");
    }
    return ca_fail(CLATTN_E_NO_DEVICE, "none of the %d devices is left%s", g->members, text);
}

/* Shares by the rates of those that work; one that cannot plan its share gets none.  E_NO_DEVICE when nobody is left. */
static clattn_status divide(struct group *g, const struct problem *p)
{
    for (;;) {
        struct border from = { 0, 0 };
        double sum = 0, before = 0, since = 0;
        int failed = -1;
        for (int k = 0; k < g->members; k++) {
            empty_share(&g->share[k]);
            if (works(&g->share[k])) sum += g->share[k].rate;
        }
        if (!(sum > 0)) return nobody_left(g);
        for (int k = 0; k < g->members && failed < 0; k++) {
            struct share *s = &g->share[k];
            struct ca_part part[MAX_PIECES];
            if (!works(s)) continue;
            before += s->rate;
            const double till = before >= sum ? 1 : before / sum;
            const struct border to = before >= sum ? (struct border){ p->B * p->Hkv, 0 } : border_at(p, till);
            s->work = s->rate / sum;
            const int count = g->by_keys ? keys_of(p, since, till, part) : boxes(p, from, to, part);
            if (plan_pieces(g, p, s, part, count) != CLATTN_OK) failed = k;
            from = to;
            since = till;
        }
        if (failed < 0) return CLATTN_OK;
        ca_log(1, "%s has no share: %s", g->share[failed].ctx->dev.name, ca_message());
        ca_message_clear();
        g->share[failed].rate = 0;
    }
}

/* ------------------------------------------------------------------- runs */

/* One device's part of an execution. */
struct job {
    const struct group *g;
    const struct problem *p;
    const struct io *io;
    const struct share *share;
    struct ca_run run[MAX_PIECES];
    float *out[MAX_PIECES];   /* of keys that are to be merged */
    float *lse[MAX_PIECES];   /* and where the piece's rows of lse do not lie together in the whole's */
    int begun;
    double seconds;
    clattn_status st;
    char why[256];
    pthread_t thread;
    bool threaded;
};

/* The tensors of piece K as its own. */
static clattn_status piece_io(struct job *j, int k, struct io *io)
{
    const struct ca_part *r = &j->share->piece[k].part;
    const struct problem *own = &j->share->piece[k].plan->p;
    *io = (struct io){ 0 };
    for (int s = 0; s < CA_SLOTS; s++)
        if (j->io->t[s].host) io->t[s].host = (char *)j->io->t[s].host + ca_part_offset(j->p, own, r, (enum ca_slot)s);
    if (j->g->by_keys) io->t[CA_OUT].host = j->out[k] = malloc(ca_slot_bytes(own, CA_OUT));
    if (j->g->by_keys || (io->t[CA_LSE].host && !ca_part_is_slice(j->p, own, CA_LSE))) io->t[CA_LSE].host = j->lse[k] = malloc(ca_slot_bytes(own, CA_LSE));
    if (j->g->by_keys && (!j->out[k] || !j->lse[k])) return ca_no_memory(ca_slot_bytes(own, CA_OUT), "what some keys give");
    return io->t[CA_LSE].host || !j->io->t[CA_LSE].host ? CLATTN_OK : ca_no_memory(ca_slot_bytes(own, CA_LSE), "a part of lse");
}

static void *work(void *at)
{
    struct job *j = at;
    const double start = ca_now();
    clattn_status st = CLATTN_OK;
    ca_message_clear();
    while (j->begun < j->share->count) {
        const int k = j->begun;
        struct io io;
        CA_TRY(piece_io(j, k, &io));
        j->begun++; /* it is to be ended, also when it does not begin well */
        CA_TRY(ca_run_begin(j->share->piece[k].plan, &io, &j->run[k]));
    }
    for (int k = 0; k < j->begun; k++) CA_TRY(ca_run_wait(&j->run[k]));
done:
    j->seconds = ca_now() - start;
    j->st = st;
    if (st) snprintf(j->why, sizeof j->why, "%s", ca_message());
    ca_message_clear();
    return NULL;
}

/* Rows of the piece's lse back into the whole's. */
static void scatter_lse(const struct job *j, int k)
{
    const struct ca_part *r = &j->share->piece[k].part;
    const int64_t group = j->p->Hq / j->p->Hkv, rows = r->i[1] - r->i[0];
    const float *from = j->lse[k];
    for (int64_t b = r->b[0]; b < r->b[1]; b++)
        for (int64_t h = r->h[0] * group; h < r->h[1] * group; h++, from += rows)
            memcpy((float *)j->io->t[CA_LSE].host + (b * j->p->Hq + h) * j->p->Nq + r->i[0], from, (size_t)rows * sizeof *from);
}

/* With COMMIT what was computed goes to the outputs. */
static void finish(struct job *j, bool commit)
{
    for (int k = 0; k < j->begun; k++) {
        ca_run_end(&j->run[k], commit);
        if (commit && j->lse[k] && !j->g->by_keys) scatter_lse(j, k);
    }
}

/* What the shares' keys give, merged: out = sum of e^(lse_k - lse) out_k, lse the logarithm of the sum of e^lse_k. */
static void merge_row(const struct job *job, int members, int64_t row, const struct problem *p, float *out, float *lse)
{
    float top = -INFINITY, sum = 0;
    for (int m = 0; m < members; m++)
        if (job[m].lse[0] && !(job[m].lse[0][row] <= top)) top = job[m].lse[0][row]; /* a NaN stays */
    for (int64_t e = 0; e < p->Dv; e++) out[e * p->o.d] = 0;
    for (int m = 0; m < members && top != -INFINITY; m++)
        if (job[m].lse[0]) sum += expf(job[m].lse[0][row] - top);
    for (int m = 0; m < members && top != -INFINITY; m++) {
        if (!job[m].lse[0] || job[m].lse[0][row] == -INFINITY) continue; /* it has no key */
        const float weight = expf(job[m].lse[0][row] - top) / sum;
        for (int64_t e = 0; e < p->Dv; e++) out[e * p->o.d] += weight * job[m].out[0][row * p->Dv + e];
    }
    if (lse) *lse = top == -INFINITY ? top : top + logf(sum);
}

static void merge_keys(const struct job *job, int members, const struct problem *p, const struct io *io)
{
    float *out = io->t[CA_OUT].host, *lse = io->t[CA_LSE].host;
    for (int64_t row = 0; row < p->B * p->Hq * p->Nq; row++) {
        const int64_t b = row / p->Nq / p->Hq, h = row / p->Nq % p->Hq, i = row % p->Nq;
        merge_row(job, members, row, p, out + b * p->o.b + h * p->o.h + i * p->o.s, lse ? lse + row : NULL);
    }
}

/* Would other shares have been done sooner?  Then RATE are those that were seen. */
static bool is_uneven(const struct group *g, const struct job *job, double rate[CA_MAX_MEMBERS])
{
    double slowest = 0, sum = 0;
    if (g->weighted || g->changes >= MAX_CHANGES) return false;
    for (int k = 0; k < g->members; k++) {
        rate[k] = job[k].share->count ? job[k].share->work / job[k].seconds : 0;
        if (works(&g->share[k]) && !job[k].share->count) return false; /* too small a share to see how fast it is */
        if (job[k].share->count && job[k].seconds > slowest) slowest = job[k].seconds;
        sum += rate[k];
    }
    return slowest > SMALL_MS * 1e-3 && slowest * sum > UNEVEN;
}

/* All shares at once, each in a thread of its own but the last. */
static void run_all(const struct group *g, struct job *job)
{
    int last = -1;
    for (int k = 0; k < g->members; k++)
        if (job[k].share->count) last = k;
    for (int k = 0; k < last; k++)
        if (job[k].share->count) job[k].threaded = pthread_create(&job[k].thread, NULL, work, &job[k]) == 0;
    for (int k = 0; k < g->members; k++)
        if (job[k].share->count && !job[k].threaded) work(&job[k]);
    for (int k = 0; k < last; k++)
        if (job[k].threaded) pthread_join(job[k].thread, NULL);
}

/* False when a device failed: it is dropped. */
static bool all_did(const struct group *g, const struct job *job)
{
    bool all = true;
    for (int k = 0; k < g->members; k++) {
        if (job[k].st == CLATTN_OK) continue;
        all = false;
        ca_context_drop(g->share[k].ctx, job[k].why);
    }
    return all;
}

enum outcome { DONE, UNEVENLY, FAILED }; /* failed: the outputs are untouched, and the devices that failed are dropped */

static clattn_status run_once(const struct group *g, const struct problem *p, const struct io *io, enum outcome *outcome, double rate[CA_MAX_MEMBERS])
{
    struct job *job = calloc((size_t)g->members, sizeof *job);
    if (!job) return ca_no_memory((size_t)g->members * sizeof *job, "an execution on several devices");
    for (int k = 0; k < g->members; k++) {
        job[k].g = g;
        job[k].p = p;
        job[k].io = io;
        job[k].share = &g->share[k];
    }
    run_all(g, job);
    *outcome = !all_did(g, job) ? FAILED : is_uneven(g, job, rate) ? UNEVENLY : DONE;
    for (int k = 0; k < g->members; k++) finish(&job[k], *outcome != FAILED);
    if (g->by_keys && *outcome != FAILED) merge_keys(job, g->members, p, io);
    for (int k = 0; k < g->members; k++)
        for (int i = 0; i < MAX_PIECES; i++) {
            free(job[k].out[i]);
            free(job[k].lse[i]);
        }
    free(job);
    return CLATTN_OK;
}

/* Is there a device for all of the work? */
static bool is_current(const struct group *g)
{
    int sharing = 0;
    for (int k = 0; k < g->members; k++) {
        if (g->share[k].count && ca_context_dropped(g->share[k].ctx)) return false;
        sharing += g->share[k].count;
    }
    return sharing > 0;
}

/* RATE: NULL, or the new ones. */
static clattn_status divide_again(struct group *g, const struct problem *p, const double *rate)
{
    pthread_rwlock_wrlock(&g->lock);
    for (int k = 0; rate && k < g->members; k++) g->share[k].rate = rate[k];
    g->changes++;
    clattn_status st = divide(g, p);
    pthread_rwlock_unlock(&g->lock);
    return st;
}

clattn_status ca_group_run(const struct clattn_plan *plan, const struct io *io)
{
    struct group *g = plan->group;
    for (;;) { /* each round but the last loses a device */
        enum outcome outcome = FAILED;
        double rate[CA_MAX_MEMBERS];
        clattn_status st = CLATTN_OK;
        pthread_rwlock_rdlock(&g->lock);
        if (is_current(g)) st = run_once(g, &plan->p, io, &outcome, rate);
        pthread_rwlock_unlock(&g->lock);
        if (st || outcome == DONE) return st;
        st = divide_again(g, &plan->p, outcome == UNEVENLY ? rate : NULL);
        if (outcome == FAILED && st) return st;
        ca_message_clear(); /* there is a result, or there will be one */
        if (outcome == UNEVENLY) return CLATTN_OK;
    }
}

double ca_group_share(const struct clattn_plan *plan, int k)
{
    struct group *g = plan->group;
    pthread_rwlock_rdlock(&g->lock);
    const double work = g->share[k].work;
    pthread_rwlock_unlock(&g->lock);
    return work;
}

/* ------------------------------------------------------------------- plan */

void ca_group_destroy(struct group *g)
{
    if (!g) return;
    for (int k = 0; k < g->members; k++) empty_share(&g->share[k]);
    pthread_rwlock_destroy(&g->lock);
    free(g->algorithm);
    free(g->params);
    free(g);
}

static clattn_status copy_text(const char *from, char **to)
{
    *to = from ? strdup(from) : NULL;
    return from && !*to ? ca_no_memory(strlen(from) + 1, "a plan's options") : CLATTN_OK;
}

/* Rates by weight, or by what each would take for the whole; NULL: it cannot. */
static clattn_status new_group(const clattn_context *ctx, const struct problem *p, struct clattn_plan *const whole[CA_MAX_MEMBERS],
                               const char *algorithm, const char *params, struct group **group)
{
    struct group *g = calloc(1, sizeof *g);
    clattn_status st;
    if (!g) return ca_no_memory(sizeof *g, "a plan on several devices");
    if (pthread_rwlock_init(&g->lock, NULL)) {
        free(g);
        return ca_fail(CLATTN_E_MEMORY, "no memory for a lock");
    }
    g->ctx = ctx;
    g->members = ctx->members;
    g->weighted = ctx->weight[0] > 0;
    g->by_keys = divides_keys(p, g->members);
    for (int k = 0; k < g->members; k++) {
        g->share[k].ctx = ctx->member[k];
        g->share[k].rate = !whole[k] ? 0 : g->weighted ? ctx->weight[k] : isfinite(whole[k]->cost_ms) ? 1 / whole[k]->cost_ms : 1e-9;
    }
    CA_TRY(copy_text(algorithm, &g->algorithm));
    CA_TRY(copy_text(params, &g->params));
    *group = g;
    g = NULL;
done:
    ca_group_destroy(g);
    return st;
}

static void put_boxes(struct ca_text *t, const struct share *s)
{
    char params[256];
    for (int i = 0; i < s->count; i++) {
        const struct ca_part *r = &s->piece[i].part;
        const struct clattn_plan *plan = s->piece[i].plan;
        ca_params_print(plan->algo, &plan->params, params, sizeof params);
        ca_text_put(t, "\n    batch %lld-%lld, KV heads %lld-%lld, rows %lld-%lld, keys %lld-%lld: %s %s", (long long)r->b[0], (long long)r->b[1] - 1,
                    (long long)r->h[0], (long long)r->h[1] - 1, (long long)r->i[0], (long long)r->i[1] - 1, (long long)r->j[0], (long long)r->j[1] - 1,
                    plan->algo->name, params);
    }
}

/* One CPU has the same name on several platforms. */
static void put_device(struct ca_text *t, const clattn_context *one)
{
    ca_text_put(t, "%s (%s)", one->dev.name, ca_is_host(&one->dev) ? "host" : one->dev.platform_name);
}

static void put_devices(struct ca_text *t, const struct problem *p, const clattn_context *ctx)
{
    char problem[512];
    ca_problem_print(p, problem, sizeof problem);
    ca_text_put(t, "%s on ", problem);
    for (int k = 0; k < ctx->members; k++) {
        ca_text_put(t, "%s", k ? " + " : "");
        put_device(t, ctx->member[k]);
    }
}

void ca_group_explain(const struct clattn_plan *plan, struct ca_text *t)
{
    struct group *g = plan->group;
    put_devices(t, &plan->p, g->ctx);
    pthread_rwlock_rdlock(&g->lock);
    for (int k = 0; k < g->members; k++) {
        const struct share *s = &g->share[k];
        ca_text_put(t, "\n  ");
        put_device(t, s->ctx);
        ca_text_put(t, ": %.1f %% of the work, by %s", 100 * s->work, g->weighted ? "weight" : "speed");
        if (ca_context_dropped(s->ctx)) ca_text_put(t, ", dropped: %s", s->ctx->dropped);
        put_boxes(t, s);
    }
    pthread_rwlock_unlock(&g->lock);
    ca_text_put(t, "\n");
}

/* PLAN, of one device of several, says why it is alone. */
static clattn_status explain_alone(struct clattn_plan *plan, const clattn_context *ctx, const char *why)
{
    struct ca_text t = { NULL, 0, 0 };
    for (int written = 0; written < 2; written++) {
        put_devices(&t, &plan->p, ctx);
        ca_text_put(&t, ": on one alone, since %s\n%s", why, plan->explain);
        if (written) break;
        t = (struct ca_text){ malloc(t.length + 1), t.length + 1, 0 };
        if (!t.start) return ca_no_memory(t.size, "the plan's explanation");
    }
    free(plan->explain);
    plan->explain = t.start;
    return CLATTN_OK;
}

/* Plans of the whole on each device that can; the number of the fastest, with split_len of the first, or none and the last one's reason. */
static clattn_status plan_whole(clattn_context *ctx, const struct problem *p, const char *algorithm, const char *params,
                                struct clattn_plan *whole[CA_MAX_MEMBERS], int *best)
{
    clattn_status st = CLATTN_OK;
    *best = -1;
    for (int k = 0; k < ctx->members; k++) {
        clattn_context *one = ctx->member[k];
        if (ca_context_dropped(one)) {
            st = ca_fail(CLATTN_E_DEVICE_LOST, "%s was dropped: %s", one->dev.name, one->dropped);
            continue;
        }
        st = ca_plan_create_alone(one, p, algorithm, params, &whole[k]);
        if (st == CLATTN_E_MEMORY || st == CLATTN_E_FORKED || st == CLATTN_E_ARGUMENT) return st;
        if (st) ca_log(1, "%s takes no part: %s", one->dev.name, ca_message());
        else if (*best < 0 || (!p->split_len && whole[k]->cost_ms < whole[*best]->cost_ms)) *best = k;
    }
    if (*best < 0) return st;
    ca_message_clear();
    return CLATTN_OK;
}

clattn_status ca_group_plan(clattn_context *ctx, const struct problem *p, const char *algorithm, const char *params, struct clattn_plan **plan)
{
    struct clattn_plan *whole[CA_MAX_MEMBERS] = { NULL };
    struct group *g = NULL;
    const char *why = ca_problem_empty(p) ? "there is nothing to compute" : ca_problem_indivisible(p);
    clattn_status st;
    int best;
    CA_TRY(plan_whole(ctx, p, algorithm, params, whole, &best));
    if (!why && !(ctx->weight[0] > 0) && whole[best]->cost_ms < SMALL_MS) why = "it is small";
    if (!why) {
        CA_TRY(new_group(ctx, p, whole, algorithm, params, &g));
        CA_TRY(divide(g, p));
    }
    if (why) CA_TRY(explain_alone(whole[best], ctx, why));
    whole[best]->group = g;
    g = NULL;
    *plan = whole[best];
    whole[best] = NULL;
done:
    ca_group_destroy(g);
    for (int k = 0; k < ctx->members; k++) ca_plan_destroy(whole[k]);
    return st;
}
