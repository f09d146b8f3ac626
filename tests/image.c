/* image.c -- see image.h. */
#include "image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "attend.h"

static const struct { size_t width; uint32_t canary; } element[] = {
    [CLATTN_F32] = { 4, 0x7fc0dead }, [CLATTN_F16] = { 2, 0x7e5a }, [CLATTN_BF16] = { 2, 0x7fda },
    [IMAGE_I32] = { 4, 0x7fffffff }, [IMAGE_U8] = { 1, 1 }, /* of a mask: attend */
};
size_t image_width(int t) { return element[t].width; }
uint32_t image_canary(int t) { return element[t].canary; }
uint32_t image_canary_word(int t)
{
    return image_canary(t) * (image_width(t) == 1 ? 0x01010101u : image_width(t) == 2 ? 0x00010001u : 1u);
}

static uint32_t get_bits(const struct image *m, size_t e)
{
    uint32_t u = 0;
    memcpy(&u, m->bytes + e * image_width(m->dtype), image_width(m->dtype)); /* little-endian, like every device used */
    return u;
}
static void set_bits(struct image *m, size_t e, uint32_t u)
{
    memcpy(m->bytes + e * image_width(m->dtype), &u, image_width(m->dtype));
}

/* Written out here rather than taken from the library, whose conversions are under test too. */
static const struct { int exponent, mantissa; } format[] = {
    [CLATTN_F32] = { 8, 23 }, [CLATTN_F16] = { 5, 10 }, [CLATTN_BF16] = { 8, 7 },
};

/* X is a number of the type, an infinity or NaN. */
static uint32_t encode(int t, float x)
{
    if (t > CLATTN_BF16) return (uint32_t)(int32_t)x;
    int eb = format[t].exponent, mb = format[t].mantissa, bias = (1 << (eb - 1)) - 1, e;
    uint32_t sign = (uint32_t)(signbit(x) != 0) << (eb + mb), top = ((1u << eb) - 1) << mb;
    if (isnan(x)) return top | 1u << (mb - 1);
    if (isinf(x)) return sign | top;
    double m = frexp(fabs(x), &e); /* in [1/2, 1) */
    if (m == 0) return sign;
    if (e - 1 + bias <= 0) return sign | (uint32_t)ldexp(m, e - 1 + bias + mb); /* subnormal */
    return sign | (((uint32_t)(e - 1 + bias) << mb) + (uint32_t)ldexp(m - 0.5, mb + 1));
}

static float decode(int t, uint32_t u)
{
    if (t > CLATTN_BF16) return (float)(int32_t)u;
    int eb = format[t].exponent, mb = format[t].mantissa, bias = (1 << (eb - 1)) - 1;
    uint32_t m = u & ((1u << mb) - 1), e = u >> mb & ((1u << eb) - 1);
    double x = e == (1u << eb) - 1 ? (m ? NAN : INFINITY)
             : e ? ldexp((double)m + (double)(1u << mb), (int)e - bias - mb) : ldexp(m, 1 - bias - mb);
    return (float)(u >> (eb + mb) ? -x : x);
}

/* Visits every element: E is its place in the image, AT in the packed order. */
#define FOR_ELEMENTS(m, e, at) \
    for (size_t at = 0, e = 0, all_ = count(m); at < all_ && (e = place(m, at), 1); at++)
static size_t count(const struct image *m) { return (size_t)(m->n[0] * m->n[1] * m->n[2] * m->n[3]); }
static size_t place(const struct image *m, size_t at)
{
    int64_t rest = (int64_t)at, e = GUARD;
    for (int i = LEVELS - 1; i >= 0; i--) {
        e += rest % m->n[i] * m->stride[i];
        rest /= m->n[i];
    }
    return (size_t)e;
}

bool image_make(struct image *m, const float *values)
{
    int64_t last = -1;
    if (count(m)) {
        last = 0;
        for (int i = 0; i < LEVELS; i++) last += (m->n[i] - 1) * m->stride[i];
    }
    m->elements = (size_t)(last + 1) + 2 * GUARD;
    m->bytes = malloc(m->elements * image_width(m->dtype));
    if (!m->bytes) return false;
    for (size_t e = 0; e < m->elements; e++) set_bits(m, e, image_canary(m->dtype));
    if (values)
        FOR_ELEMENTS(m, e, at) set_bits(m, e, encode(m->dtype, values[at]));
    return true;
}

void *image_start(const struct image *m) { return m->bytes + GUARD * image_width(m->dtype); }
size_t image_offset(const struct image *m) { return GUARD * image_width(m->dtype); }
size_t image_bytes(const struct image *m) { return m->elements * image_width(m->dtype); }

size_t image_strays(const struct image *m)
{
    unsigned char *member = calloc(m->elements, 1);
    size_t stray = 0;
    if (!member) return m->elements;
    FOR_ELEMENTS(m, e, at) member[e] = 1;
    for (size_t e = 0; e < m->elements; e++) stray += !member[e] && get_bits(m, e) != image_canary(m->dtype);
    free(member);
    return stray;
}

/* The values of an output; a failure when one was not written, or a place between or around them was. */
float *image_read(const struct image *m, const char *name, const char *what)
{
    float *x = malloc((count(m) + 1) * sizeof *x);
    size_t missing = 0, stray = image_strays(m);
    if (!x) {
        wrong("no memory");
        return NULL;
    }
    FOR_ELEMENTS(m, e, at) {
        missing += get_bits(m, e) == image_canary(m->dtype);
        x[at] = decode(m->dtype, get_bits(m, e));
    }
    if (missing) wrong("%s: %zu elements of %s were not written", what, missing, name);
    if (stray) wrong("%s: %zu places between or around the elements of %s were written", what, stray, name);
    return x;
}
