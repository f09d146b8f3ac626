/* measure.c -- see measure.h. */
#include "probe/measure.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "cli/sample.h"
#include "plan/plan.h"
#include "runtime/launch.h"
#include "runtime/opencl.h"

#define MAX_TRIES 16
#define GUARD 4096           /* bytes before and behind the output that nobody may touch */
#define SEED 1
#define SHORT 0.002          /* a run is as many executions as take so long: clocks and starts of threads are coarser */
#define RUNS 7               /* of each try, in turn; and on while all have had SECONDS */
#define MAX_RUNS 128
#define SECONDS 0.1
#define HOPELESS 4.0         /* what takes so many times the best after two runs has no more: cores that are shared can halve their speed for a while */

struct attempt { struct sample s; bool good; int repeats, runs; double ms[MAX_RUNS], least; }; /* of each round it took part in, from the first on */

struct bench {
    clattn_context *ctx;
    clattn_attention a;
    struct ca_lengths lengths;
    struct sample sample;     /* the tensors, and the plan of the reference */
    cl_mem out;               /* on a device, with its guards */
    uint8_t *bytes, *read;    /* on the host: it, or a copy of it */
    size_t size;              /* without guards */
    float *wanted;            /* the host's result */
    ca_emit_fn *emit;
    void *user;
};

static void tell(const struct bench *b, json_t *record)
{
    if (record) b->emit(b->user, record);
    json_decref(record);
}

/* Runs A on NaN, and holds its result and the guards against what they must be. */
static bool is_right(const struct bench *b, struct attempt *a, char why[128])
{
    const clattn_dtype type = b->sample.p->dtype;
    const int64_t n = (int64_t)(b->size / ca_dtype_size(type));
    const double bound = type == CLATTN_F32 ? 1e-4 : type == CLATTN_F16 ? 4e-3 : 3e-2; /* of values about 1 */
    const size_t all = b->size + 2 * GUARD;
    clattn_status st;
    memset(b->bytes, 0xff, all);
    if (b->out) CA_TRY(CA_CL(EnqueueWriteBuffer, b->ctx->queue, b->out, CL_TRUE, 0, all, b->bytes, 0, NULL, NULL));
    CA_TRY(ca_sample_run(&a->s, true));
    if (b->out) CA_TRY(CA_CL(EnqueueReadBuffer, b->ctx->queue, b->out, CL_TRUE, 0, all, b->bytes, 0, NULL, NULL));
    for (size_t k = 0; k < GUARD; k++)
        if (b->bytes[k] != 0xff || b->bytes[GUARD + b->size + k] != 0xff) {
            snprintf(why, 128, "it wrote outside the output");
            return false;
        }
    for (int64_t k = 0; k < n; k++) {
        const float x = ca_element(type, b->bytes + GUARD, k), y = b->wanted[k];
        if (!(fabs(x - y) <= bound * fmax(1, fabs(y))) && !(isnan(x) && isnan(y))) {
            snprintf(why, 128, "element %lld of the result is %g, the host's %g", (long long)k, x, y);
            return false;
        }
    }
    return true;
done:
    snprintf(why, 128, "%.127s", st != CLATTN_OK ? ca_message() : "");
    ca_message_clear();
    return false;
}

/* What the host makes of it. */
static clattn_status make_reference(struct bench *b)
{
    clattn_context *host = NULL;
    struct device dev;
    struct sample s = { .plan = NULL };
    const clattn_plan_options plain = { .size = sizeof plain };
    clattn_status st;
    CA_TRY(ca_probe_device(-1, -1, &dev));
    CA_TRY(ca_context_open(&dev, &host));
    CA_TRY(ca_sample_create(host, &b->a, &b->lengths, &plain, NULL, SEED, &s));
    CA_TRY(ca_sample_run(&s, true));
    const int64_t n = (int64_t)ca_slot_elements(s.p, CA_OUT);
    b->wanted = malloc((size_t)n * sizeof *b->wanted + 1);
    if (!b->wanted) {
        st = ca_no_memory((size_t)n * sizeof *b->wanted, "the host's result");
        goto done;
    }
    for (int64_t k = 0; k < n; k++) b->wanted[k] = ca_element(s.p->dtype, s.host[CA_OUT], k);
done:
    ca_sample_free(&s);
    ca_context_close(host);
    return st;
}

static clattn_status prepare(struct bench *b, const struct device *dev, const char *problem)
{
    const clattn_plan_options plain = { .size = sizeof plain };
    clattn_status st;
    cl_int code;
    CA_TRY(ca_problem_parse_lengths(problem, &b->a, &b->lengths));
    CA_TRY(make_reference(b));
    CA_TRY(ca_context_open(dev, &b->ctx));
    CA_TRY(ca_sample_create(b->ctx, &b->a, &b->lengths, &plain, NULL, SEED, &b->sample));
    b->size = ca_slot_bytes(b->sample.p, CA_OUT);
    b->bytes = aligned_alloc(GUARD, (b->size + 3 * GUARD - 1) / GUARD * GUARD);
    if (!b->bytes) {
        st = ca_no_memory(b->size + 2 * GUARD, "the output");
        goto done;
    }
    if (ca_is_host(&b->ctx->dev)) goto done;
    b->out = ca_cl.CreateBuffer(b->ctx->context, CL_MEM_READ_WRITE, b->size + 2 * GUARD, NULL, &code);
    if (code != CL_SUCCESS) st = ca_cl_fail(code, "clCreateBuffer", "output");
done:
    return st;
}

/* Plans the try TEXT, "ALGORITHM PARAMS", and looks at its result. */
static bool begin(struct bench *b, const char *text, struct attempt *a, char why[128])
{
    char algorithm[32] = "";
    const size_t name = strcspn(text, " ");
    const clattn_plan_options options = { .size = sizeof options, .algorithm = algorithm, .params = text + name + (text[name] == ' ') };
    clattn_status st;
    snprintf(algorithm, sizeof algorithm, "%.*s", (int)name, text);
    CA_TRY(ca_sample_replan(&b->sample, &b->a, &options, &a->s));
    a->s.mem[CA_OUT] = b->out;
    a->s.out_offset = GUARD;
    if (ca_is_host(&b->ctx->dev)) a->s.host[CA_OUT] = b->bytes + GUARD;
    return is_right(b, a, why);
done:
    snprintf(why, 128, "%.127s", ca_message());
    ca_message_clear();
    return false;
}

/* Milliseconds of an execution, of as many as take long enough; negative when one fails. */
static double time_once(const struct attempt *a)
{
    const double from = ca_now();
    for (int k = 0; k < a->repeats; k++)
        if (ca_sample_run(&a->s, true) != CLATTN_OK) return -1;
    return 1e3 * (ca_now() - from) / a->repeats;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A's time to REFERENCE's: the middle of the rounds' ratios.  (Where something else runs on the cores, clean rounds are rare, and the least time is
 * a matter of luck; but the two of a round met the same.) */
static double ratio(const struct attempt *a, const struct attempt *reference)
{
    double r[MAX_RUNS];
    const int n = a->runs < reference->runs ? a->runs : reference->runs;
    for (int k = 0; k < n; k++) r[k] = a->ms[k] / reference->ms[k];
    qsort(r, (size_t)n, sizeof *r, compare);
    return n % 2 ? r[n / 2] : (r[n / 2 - 1] + r[n / 2]) / 2;
}

static void time_all(const struct bench *b, struct attempt *a, int n)
{
    double best = INFINITY, from = 0, told = 0;
    int good = 0;
    const struct attempt *reference = NULL; /* the first that runs */
    for (int k = 0; k < n; k++) good += a[k].good;
    for (int round = 0; round <= RUNS || (round < MAX_RUNS && ca_now() - from < SECONDS * good); round++) { /* the first warms */
        if (round == 1) from = ca_now();
        for (int k = 0; k < n; k++) {
            if (!a[k].good || (round > 2 && a[k].least > HOPELESS * best)) continue;
            const double ms = time_once(&a[k]);
            if (ms < 0) {
                a[k].good = false;
                tell(b, json_pack("{s:i, s:o}", "failed", k, "words", ca_json_text(ca_message())));
                ca_message_clear();
                continue;
            }
            a[k].repeats = (int)fmin(1000, 1 + SHORT / fmax(1e-3 * ms, 1e-7)); /* the first run is slow, and so may be any */
            if (round == 0) continue;
            a[k].ms[a[k].runs++] = ms;
            a[k].least = a[k].runs == 1 ? ms : fmin(a[k].least, ms);
            best = fmin(best, a[k].least);
        }
        if (ca_now() - told > 1) { /* a sign of progress */
            tell(b, json_pack("{s:s}", "remark", "timing"));
            told = ca_now();
        }
    }
    for (int k = 0; k < n; k++) {
        if (!a[k].good) continue;
        if (!reference) reference = &a[k];
        tell(b, json_pack("{s:i, s:f}", "timed", k, "ms", reference->least * ratio(&a[k], reference)));
    }
}

void ca_measure(const struct device *dev, const char *problem, const char *tries, ca_emit_fn *emit, void *user)
{
    struct bench b = { .emit = emit, .user = user };
    static struct attempt attempt[MAX_TRIES]; /* large; the process does this once */
    int n = 0;
    if (prepare(&b, dev, problem) != CLATTN_OK) {
        tell(&b, json_pack("{s:o}", "cannot", ca_json_text(ca_message())));
        return;
    }
    for (const char *at = tries; *at && n < MAX_TRIES; n++) {
        char text[512], why[128] = "";
        const size_t length = strcspn(at, ";");
        snprintf(text, sizeof text, "%.*s", (int)length, at);
        at += length + (at[length] == ';');
        tell(&b, json_pack("{s:i, s:o}", "step", n, "words", ca_json_text(text)));
        attempt[n].repeats = 1;
        attempt[n].good = begin(&b, text, &attempt[n], why);
        if (!attempt[n].good) tell(&b, json_pack("{s:i, s:o}", "failed", n, "words", ca_json_text(why)));
    }
    time_all(&b, attempt, n);
    /* The process ends here: nothing is given back. */
}
