/* npy.h -- reads and writes NumPy's .npy files as CASES.md allows them: versions 1 and 2,
 * little-endian, C order.  Files are not trusted: a file is refused, with its name and the field it
 * stands for in the message, before anything of its size is allocated. */
#ifndef CA_NPY_H
#define CA_NPY_H

#include <stdbool.h>
#include "base/status.h"

enum ca_npy_type { CA_NPY_F4, CA_NPY_F2, CA_NPY_F8, CA_NPY_I4, CA_NPY_I8, CA_NPY_I1, CA_NPY_U1, CA_NPY_B1, CA_NPY_U2 };
#define CA_NPY_TYPES 9
#define CA_NPY_MAX_RANK 8

struct ca_npy {
    enum ca_npy_type type;
    int rank;
    int64_t shape[CA_NPY_MAX_RANK];
    size_t count, bytes;       /* elements, and bytes of data */
    void *data;                /* aligned to 64; not NULL once read or allocated, even when empty */
};

const char *ca_npy_name(enum ca_npy_type type);  /* "<f4" */
size_t ca_npy_size(enum ca_npy_type type);       /* bytes of an element */
/* "(2, 3)"; returns TEXT. */
const char *ca_npy_shape(const struct ca_npy *a, char *text, size_t size);

/* Reads PATH; FIELD ("inputs.q") is for the messages.  Errors: E_IO (cannot be read), E_ARGUMENT
 * (not an acceptable file), E_MEMORY; A is then empty. */
clattn_status ca_npy_read(const char *path, const char *field, struct ca_npy *a);

/* Sets A's type and shape and allocates zeroed data. */
clattn_status ca_npy_alloc(struct ca_npy *a, enum ca_npy_type type, int rank, const int64_t *shape);

/* Writes A to PATH (version 1). */
clattn_status ca_npy_write(const char *path, const struct ca_npy *a);

void ca_npy_free(struct ca_npy *a);

#endif
