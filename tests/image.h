/* image.h -- the memory of one tensor in a test: GUARD elements before and behind, the tensor between them at its
 * strides, and a canary in every place that is not the tensor's.  The canary is a NaN: reading one is seen in
 * the result, as writing one is seen in the image; outputs start as canaries throughout.  GUARD is odd:
 * no tensor starts at an address that is aligned to more than its element. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "clattn.h"

enum { GUARD = 67, LEVELS = 4 };

/* What elements may be besides a clattn_dtype. */
enum { IMAGE_I32 = CLATTN_BF16 + 1, IMAGE_U8 };

struct image {
    int dtype;
    int64_t n[LEVELS], stride[LEVELS]; /* batch, head, row, dim */
    size_t elements;                   /* with both guards */
    unsigned char *bytes;
};

size_t image_width(int t);
uint32_t image_canary(int t);

/* The canary as it fills four bytes. */
uint32_t image_canary_word(int t);

/* Allocates and fills M, whose dtype, n and stride are set; VALUES are packed, NULL for an output. */
bool image_make(struct image *m, const float *values);
void *image_start(const struct image *m);      /* of the tensor */
size_t image_offset(const struct image *m);    /* of the tensor, in bytes */
size_t image_bytes(const struct image *m);     /* of everything */
/* Places written that are not the tensor's. */
size_t image_strays(const struct image *m);
/* The values of an output, packed; counts a failure when one was not written, or a place that is not the
 * tensor's was. */
float *image_read(const struct image *m, const char *name, const char *what);

#endif
