/* position.c -- what tells where tokens stand: rotary embedding and its tables, sinusoids, relative biases. */
#include "ops/ops.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/sized.h"

/* ---------------------------------------------------------------------- rope */

/* Those that are on the host can be looked at. */
static clattn_status check_positions(const struct ca_operand *ids, int64_t N, int64_t rows)
{
    const int32_t *p = ids->t.host;
    for (int64_t i = 0; p && i < ids->count; i++)
        CA_REQUIRE(p[i] >= 0 && p[i] < rows, CLATTN_E_ARGUMENT,
                   "position_ids[%lld][%lld] is %d, cos and sin have %lld rows", (long long)(i / N), (long long)(i % N),
                   (int)p[i], (long long)rows);
    return CLATTN_OK;
}

clattn_status ca_op_rope(struct ca_call *c, const clattn_tensor *x, const clattn_tensor *cos, const clattn_tensor *sin,
                         const clattn_tensor *position_ids, clattn_layout layout, bool interleaved,
                         const clattn_tensor *out)
{
    bool bshd = layout == CLATTN_BSHD;
    clattn_status st;
    ca_call_begin(c, &ca_k_rope);
    CA_REQUIRE(bshd || layout == CLATTN_BHSD, CLATTN_E_ARGUMENT, "layout %d is not a clattn_layout", (int)layout);
    CA_TRY(ca_operand(c, 0, "x", x, CA_FLOAT));
    CA_TRY(ca_operand(c, 1, "cos", cos, CA_FLOAT));
    CA_TRY(ca_operand(c, 2, "sin", sin, CA_FLOAT));
    CA_TRY(ca_operand(c, 3, "position_ids", position_ids, CA_INDICES | CA_OPTIONAL));
    CA_TRY(ca_operand(c, 4, "out", out, CA_OUTPUT));
    CA_REQUIRE(x->rank == 4, CLATTN_E_ARGUMENT, "x has rank %d, must have 4", x->rank);
    CA_REQUIRE(cos->rank == 2, CLATTN_E_ARGUMENT, "cos has rank %d, must have 2", cos->rank);
    CA_TRY(ca_shape_is(c, 2, 2, cos->shape, "as cos"));
    CA_TRY(ca_shape_is(c, 4, 4, x->shape, "as x"));
    int64_t B = x->shape[0], N = x->shape[bshd ? 1 : 2], H = x->shape[bshd ? 2 : 1];
    int64_t D = x->shape[3], pairs = cos->shape[1];
    CA_TRY(ca_shape_is(c, 3, 2, (const int64_t[]){ B, N }, "batch and length of x"));
    CA_REQUIRE(pairs <= D / 2, CLATTN_E_ARGUMENT, "cos has %lld pairs, rows of x have %lld elements", (long long)pairs,
               (long long)D);
    CA_REQUIRE(position_ids || N <= cos->shape[0], CLATTN_E_ARGUMENT,
               "x has %lld positions, cos and sin have %lld rows", (long long)N, (long long)cos->shape[0]);
    CA_TRY(check_positions(&c->o[3], N, cos->shape[0]));
    c->in_place = true;
    c->a.units = B * N * H * (D - pairs);
    memcpy(c->a.n, (const ca_long[]){ N, H, D, pairs, cos->shape[0] }, 5 * sizeof(ca_long));
    c->a.flag[0] = bshd;
    c->a.flag[1] = interleaved;
done:
    return st;
}

/* --------------------------------------------------------------- rope tables */

void ca_rope_defaults(clattn_rope_params *r)
{
    *r = (clattn_rope_params){ .size = sizeof *r };
}

static bool given(double x) { return x != 0 && !isnan(x); }
static double number_or(double x, double otherwise) { return given(x) ? x : otherwise; }

/* What the types work with, all defaults filled in. */
struct rope {
    const clattn_rope_params *r;
    int64_t P, reached;        /* pairs; the last position + 1 */
    double theta, factor, most, original; /* max_position_embeddings and original_... */
    float attention;
};

/* 0 when there can be no tables: check_rope says why. */
int64_t ca_rope_pairs(const clattn_rope_params *r)
{
    double dim = (double)r->dim * number_or(r->partial_rotary_factor, 1);
    return dim >= 0 && dim < INT32_MAX ? (int64_t)dim / 2 : 0;
}

static clattn_status check_rope(const clattn_rope_params *r, int64_t reached, struct rope *p)
{
    double share = number_or(r->partial_rotary_factor, 1);
    CA_REQUIRE((int)r->type >= CLATTN_ROPE_DEFAULT && r->type <= CLATTN_ROPE_LONGROPE, CLATTN_E_ARGUMENT,
               "type %d is not a clattn_rope_type", (int)r->type);
    CA_REQUIRE(share > 0 && share <= 1, CLATTN_E_ARGUMENT, "partial_rotary_factor %g is not within 0 ... 1", share);
    CA_REQUIRE(r->dim >= 0 && r->dim < INT32_MAX, CLATTN_E_ARGUMENT, "dim %lld is not within 0 ... %d",
               (long long)r->dim, INT32_MAX - 1);
    int64_t dim = (int64_t)((double)r->dim * share);
    CA_REQUIRE(dim % 2 == 0, CLATTN_E_ARGUMENT, "dim %lld times partial_rotary_factor %g are %lld, must be even",
               (long long)r->dim, share, (long long)dim);
    *p = (struct rope){
        .r = r, .P = dim / 2, .reached = reached, .theta = number_or(r->theta, 10000), .factor = r->factor,
        .attention = 1, .most = (double)r->max_position_embeddings,
    };
    p->original = number_or((double)r->original_max_position_embeddings, p->most);
    CA_REQUIRE(p->theta > 0 && p->theta < INFINITY, CLATTN_E_ARGUMENT, "theta %g is not a positive number", p->theta);
    bool ratio = r->type == CLATTN_ROPE_YARN || r->type == CLATTN_ROPE_LONGROPE;
    if (ratio && !given(p->factor) && given(p->original)) p->factor = p->most / p->original;
    CA_REQUIRE(r->type == CLATTN_ROPE_DEFAULT || p->factor > 0, CLATTN_E_ARGUMENT, "factor %g, must be above 0",
               p->factor);
    CA_REQUIRE(r->type == CLATTN_ROPE_DEFAULT || r->type == CLATTN_ROPE_LINEAR || p->original > 0, CLATTN_E_ARGUMENT,
               "max_position_embeddings %lld, original_max_position_embeddings %lld: one must be above 0",
               (long long)r->max_position_embeddings, (long long)r->original_max_position_embeddings);
    return CLATTN_OK;
}

/* theta^(2i / dim), rounded as torch does in f32. */
static float power(double theta, int64_t i, int64_t P)
{
    return (float)pow((double)(float)theta, (double)((float)(2 * i) / (float)(2 * P)));
}

static clattn_status plain(struct rope *p, float *inv)
{
    for (int64_t i = 0; i < p->P; i++) inv[i] = 1 / power(p->theta, i, p->P);
    return CLATTN_OK;
}

static clattn_status linear(struct rope *p, float *inv)
{
    for (int64_t i = 0; i < p->P; i++) inv[i] = 1 / power(p->theta, i, p->P) / (float)p->factor;
    return CLATTN_OK;
}

static clattn_status dynamic(struct rope *p, float *inv)
{
    double most = number_or(p->most, p->original), length = fmax((double)p->reached, most), dim = 2 * (double)p->P;
    CA_REQUIRE(p->P != 1, CLATTN_E_ARGUMENT, "dim 2: type dynamic needs at least 4 rotated dims");
    p->theta *= pow(p->factor * length / most - (p->factor - 1), dim / (dim - 2));
    return plain(p, inv);
}

/* Low dims turn often within the original length and stay, high ones are stretched, between them is a ramp. */
static clattn_status yarn(struct rope *p, float *inv)
{
    const clattn_rope_params *r = p->r;
    double rotations[2] = { number_or(r->beta_fast, 32), number_or(r->beta_slow, 1) }, end[2], dim = 2 * (double)p->P;
    for (int e = 0; e < 2; e++)
        end[e] = dim * log(p->original / (rotations[e] * 2 * M_PI)) / (2 * log(p->theta));
    double low = fmax(r->no_truncate ? end[0] : floor(end[0]), 0);
    double high = fmin(r->no_truncate ? end[1] : ceil(end[1]), dim - 1);
    if (low == high) high += 0.001;
    for (int64_t i = 0; i < p->P; i++) {
        float f = power(p->theta, i, p->P), ramp = ((float)i - (float)low) / (float)(high - low);
        float keep = 1 - fminf(fmaxf(ramp, 0), 1);
        inv[i] = 1 / ((float)p->factor * f) * (1 - keep) + 1 / f * keep;
    }
    double own = p->factor <= 1 ? 1 : 0.1 * log(p->factor) + 1;
    if (given(r->mscale) && given(r->mscale_all_dim) && p->factor > 1)
        own = (0.1 * r->mscale * log(p->factor) + 1) / (0.1 * r->mscale_all_dim * log(p->factor) + 1);
    p->attention = (float)number_or(r->attention_factor, own);
    return CLATTN_OK;
}

/* By wave length against the original length: short waves stay, long ones are stretched, between them it is smooth. */
static clattn_status llama3(struct rope *p, float *inv)
{
    double low = p->r->low_freq_factor, high = p->r->high_freq_factor;
    CA_REQUIRE(low > 0 && high > low, CLATTN_E_ARGUMENT,
               "low_freq_factor %g, high_freq_factor %g: must be 0 < low < high", low, high);
    for (int64_t i = 0; i < p->P; i++) {
        float f = 1 / power(p->theta, i, p->P), wave = (float)(2 * M_PI) / f, slow = f / (float)p->factor;
        float smooth = ((float)p->original / wave - (float)low) / (float)(high - low);
        inv[i] = wave > (float)(p->original / low)    ? slow
                 : wave < (float)(p->original / high) ? f
                                                      : (1 - smooth) * slow + smooth * f;
    }
    return CLATTN_OK;
}

static clattn_status longrope(struct rope *p, float *inv)
{
    bool beyond = (double)p->reached > p->original;
    const double *stretch = beyond ? p->r->long_factor : p->r->short_factor;
    const char *name = beyond ? "long_factor" : "short_factor";
    CA_REQUIRE(stretch, CLATTN_E_ARGUMENT, "%s is NULL", name);
    CA_REQUIRE(p->r->num_factors == (size_t)p->P, CLATTN_E_ARGUMENT, "%s has %zu numbers, must have %lld", name,
               p->r->num_factors, (long long)p->P);
    for (int64_t i = 0; i < p->P; i++) inv[i] = 1 / ((float)stretch[i] * power(p->theta, i, p->P));
    double own = p->factor <= 1 ? 1 : sqrt(1 + log(p->factor) / log(p->original));
    p->attention = (float)number_or(p->r->attention_factor, own);
    return CLATTN_OK;
}

/* OWNED floats for tables; E_TOO_LARGE, E_MEMORY. */
static clattn_status own_floats(struct ca_call *c, int64_t count, float **data)
{
    size_t bytes;
    CA_REQUIRE(ca_mul((size_t)count, sizeof(float), &bytes), CLATTN_E_TOO_LARGE, "%lld elements are too many",
               (long long)count);
    *data = c->owned = malloc(bytes ? bytes : 1);
    return *data ? CLATTN_OK : ca_no_memory(bytes, "a table");
}

/* The operands own ... of the call, converted to the caller's types; TABLE holds them one behind the other. */
static void convert_tables(struct ca_call *c, float *table, const int64_t count[3])
{
    for (int k = 0; k < 3; k++) {
        if (c->o[3 + k].name) ca_operand_own(c, k, CLATTN_F32, table, count[k]);
        c->a.n[5 + k] = c->o[3 + k].name ? count[k] : 0;
        c->a.units = ca_max(c->a.units, c->a.n[5 + k]);
        table += count[k];
    }
}

clattn_status ca_op_rope_tables(struct ca_call *c, const clattn_rope_params *rope, const clattn_tensor *inv_freq,
                                const clattn_tensor *cos_out, const clattn_tensor *sin_out)
{
    static clattn_status (*const types[])(struct rope *, float *) = { plain, linear, dynamic, yarn, llama3, longrope };
    struct rope p;
    float *table;
    const clattn_tensor *either = cos_out ? cos_out : sin_out;
    clattn_status st;
    ca_call_begin(c, &ca_k_convert);
    CA_REQUIRE(rope, CLATTN_E_ARGUMENT, "rope is NULL");
    CA_TRY(ca_check_size(rope, rope->size, sizeof *rope, "clattn_rope_params"));
    CA_TRY(ca_operand(c, 3, "inv_freq", inv_freq, CA_OUTPUT | CA_OPTIONAL));
    CA_TRY(ca_operand(c, 4, "cos", cos_out, CA_OUTPUT | CA_OPTIONAL));
    CA_TRY(ca_operand(c, 5, "sin", sin_out, CA_OUTPUT | CA_OPTIONAL));
    int64_t length = either && either->rank ? either->shape[0] : 0, reached;
    CA_REQUIRE(ca_add64(rope->start, length, &reached), CLATTN_E_ARGUMENT, "start %lld is too large",
               (long long)rope->start);
    CA_TRY(check_rope(rope, reached, &p));
    CA_TRY(ca_shape_is(c, 3, 1, &p.P, "half the rotated dims"));
    CA_TRY(ca_shape_is(c, 4, 2, (const int64_t[]){ length, p.P }, "length, half the rotated dims"));
    CA_TRY(ca_shape_is(c, 5, 2, (const int64_t[]){ length, p.P }, "length, half the rotated dims"));
    const int64_t count[3] = { p.P, length * p.P, length * p.P };
    CA_TRY(own_floats(c, p.P + 2 * length * p.P, &table));
    CA_TRY(types[rope->type](&p, table));
    float *cosine = table + p.P, *sine = cosine + length * p.P;
#pragma omp parallel for schedule(static) if (count[1] > 32768)
    for (int64_t e = 0; e < count[1]; e++) {
        float angle = (float)(rope->start + e / p.P) * table[e % p.P];
        cosine[e] = (float)cos(angle) * p.attention;
        sine[e] = (float)sin(angle) * p.attention;
    }
    convert_tables(c, table, count);
done:
    return st;
}

/* ------------------------------------------------------------------ sinusoids */

clattn_status ca_op_sinusoidal(struct ca_call *c, const clattn_tensor *table)
{
    float *t;
    clattn_status st;
    ca_call_begin(c, &ca_k_convert);
    CA_TRY(ca_operand(c, 3, "table", table, CA_OUTPUT));
    CA_REQUIRE(table->rank == 2, CLATTN_E_ARGUMENT, "table has rank %d, must have 2", table->rank);
    const int64_t dim = table->shape[1], count[3] = { c->o[3].count };
    CA_TRY(own_floats(c, count[0], &t));
#pragma omp parallel for schedule(static) if (count[0] > 32768)
    for (int64_t e = 0; e < count[0]; e++) {
        double column = (double)(e % dim), even = column - fmod(column, 2);
        double angle = (double)(e / dim) * pow(10000, -even / (double)dim);
        t[e] = (float)(column == even ? sin(angle) : cos(angle));
    }
    convert_tables(c, t, count);
done:
    return st;
}

/* ------------------------------------------------------------- relative biases */

clattn_status ca_op_relative_bias(struct ca_call *c, const clattn_tensor *table, const clattn_tensor *bias)
{
    clattn_status st;
    ca_call_begin(c, &ca_k_relative_bias);
    CA_TRY(ca_operand(c, 0, "table", table, CA_FLOAT));
    CA_TRY(ca_operand(c, 2, "bias", bias, CA_OUTPUT));
    CA_REQUIRE(table->rank == 2, CLATTN_E_ARGUMENT, "table has rank %d, must have 2", table->rank);
    CA_REQUIRE(table->shape[1] % 2 == 1, CLATTN_E_ARGUMENT, "table has %lld columns, must have 2 N - 1",
               (long long)table->shape[1]);
    int64_t N = (table->shape[1] + 1) / 2;
    CA_TRY(ca_shape_is(c, 2, 3, (const int64_t[]){ table->shape[0], N, N }, "heads, (columns + 1) / 2 of the table"));
    c->a.units = c->o[2].count;
    memcpy(c->a.n, (const ca_long[]){ N, N, table->shape[1], 1 }, 4 * sizeof(ca_long));
done:
    return st;
}

/* T5's bucket of a distance >= 0 among N.  Where its logarithm is a whole number rounding decides: it is done in f32,
 * as the models were trained, and on the host, so that every device has the same buckets. */
static int32_t bucket(int64_t distance, int64_t n, int64_t max_distance)
{
    int64_t exact = n / 2;
    if (distance < exact) return (int32_t)distance;
    float octaves = logf((float)distance / (float)exact) / (float)log((double)max_distance / (double)exact);
    return (int32_t)ca_min(exact + (int64_t)(octaves * (float)(n - exact)), n - 1);
}

clattn_status ca_op_t5_bias(struct ca_call *c, const clattn_tensor *table, bool bidirectional, int64_t max_distance,
                            const clattn_tensor *bias)
{
    clattn_status st;
    ca_call_begin(c, &ca_k_relative_bias);
    CA_TRY(ca_operand(c, 0, "table", table, CA_FLOAT));
    CA_TRY(ca_operand(c, 2, "bias", bias, CA_OUTPUT));
    CA_REQUIRE(table->rank == 2, CLATTN_E_ARGUMENT, "table has rank %d, must have 2", table->rank);
    CA_REQUIRE(bias->rank == 3, CLATTN_E_ARGUMENT, "bias has rank %d, must have 3", bias->rank);
    int64_t buckets = table->shape[0], H = table->shape[1], Q = bias->shape[1], K = bias->shape[2];
    int64_t n = bidirectional ? buckets / 2 : buckets, width = Q + K - 1;
    CA_TRY(ca_shape_is(c, 2, 3, (const int64_t[]){ H, Q, K }, "heads of the table, q_len, k_len"));
    CA_REQUIRE(n >= 2 && n < INT32_MAX / 2, CLATTN_E_ARGUMENT, "table has %lld buckets, needs at least %d",
               (long long)buckets, bidirectional ? 4 : 2);
    CA_REQUIRE(max_distance > n / 2, CLATTN_E_ARGUMENT, "max_distance %lld, must be above the %lld exact distances",
               (long long)max_distance, (long long)(n / 2));
    c->a.units = c->o[2].count;
    memcpy(c->a.n, (const ca_long[]){ Q, K, 1, H }, 4 * sizeof(ca_long));
    if (c->a.units == 0) return CLATTN_OK;
    float *list; /* of int32 */
    CA_TRY(own_floats(c, width, &list));
    for (int64_t i = 0; i < width; i++) {
        int64_t ahead = i - (Q - 1), distance = bidirectional && ahead > 0 ? ahead : ca_max(-ahead, 0);
        int32_t first = bidirectional && ahead > 0 ? (int32_t)n : 0;
        ((int32_t *)(void *)list)[i] = first + bucket(distance, n, max_distance);
    }
    ca_operand_own(c, 1, CLATTN_INT32, list, width);
done:
    return st;
}
