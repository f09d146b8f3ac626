/* case.h -- a case: a folder with case.json and .npy files, read by the rows of menu.c and checked
 * whole, before it is asked whether this library computes it.
 *
 *     case.json -> attributes (attrs.c) -> tensors from disk (tensors.c) -> shapes agree (shape.c) -> op's own rules
 */
#ifndef CA_CLI_CASE_H
#define CA_CLI_CASE_H

#include <jansson.h>
#include "base/npy.h"
#include "cli/menu.h"

#define CA_CASE_MAX_TENSORS 64

struct case_tensor {
    const char *name;
    const struct slot_row *row;
    char *path;
    bool bf16;             /* stored as <u2 */
    struct ca_npy a;       /* an input's data; an output's, once computed */
    struct ca_npy want;    /* an output's expected data (--check) */
    double rtol, atol;     /* of an output */
};

/* Sizes that have a name, and who said so. */
struct case_size { char name[8]; int64_t value; const char *from; };

struct case_file {
    char path[4096];       /* the folder as given */
    char file[4096 + 16];  /* path/case.json, for messages */
    const char *name;      /* in messages: the case's name */
    char *folder;          /* the folder's own name, for --out */
    json_t *root, *attrs;
    const struct op_row *op;
    unsigned form;         /* W_ bits */
    struct case_tensor in[CA_CASE_MAX_TENSORS], out[CA_CASE_MAX_TENSORS]; /* in table order */
    unsigned num_in, num_out;
    struct case_size size[32];
    unsigned num_sizes;
};

/* Reads the folder PATH and checks everything; EXPECTED: the outputs' files too.  On failure the
 * message names file and field, and C needs only ca_case_free. */
clattn_status ca_case_read(const char *path, bool expected, struct case_file *c);
void ca_case_free(struct case_file *c);

/* NULL, or why the case is not computed yet. */
const char *ca_case_unsupported(const struct case_file *c, char *why, size_t size);

/* Fails with "path/case.json: FIELD: ..."; returns false. */
bool ca_case_bad(const struct case_file *c, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct case_tensor *ca_case_input(const struct case_file *c, const char *name);
struct case_tensor *ca_case_output(const struct case_file *c, const char *name);
/* The type that "out" takes: f2, u2 (bf16) or f4, of the first input listed. */
enum ca_npy_type ca_case_storage(const struct case_file *c);

/* attrs.c: attributes, by then known to be of the right type.  A missing one or null is FALLBACK. */
bool ca_case_attrs_valid(const struct case_file *c);
bool ca_case_has(const struct case_file *c, const char *attr);
bool ca_case_flag(const struct case_file *c, const char *attr);
int64_t ca_case_int(const struct case_file *c, const char *attr, int64_t fallback);
double ca_case_number(const struct case_file *c, const char *attr, double fallback);
const char *ca_case_word(const struct case_file *c, const char *attr, const char *fallback);
/* Is the value one that the row says is computed? */
bool ca_attr_works(const struct attr_row *row, const json_t *value);
const struct attr_row *ca_attr_row(const struct op_row *op, const char *name);
/* Does the pattern, or one that it is made of, have this type? */
bool ca_case_has_pattern(const struct case_file *c, const char *type);
/* The document in the file PATH, or NULL with a message. */
json_t *ca_json_load(const char *path);
/* A JSON number, or "inf", "-inf", "nan". */
bool ca_json_number(const json_t *value, double *number);
/* Does the list of words, divided by blanks or |, hold WORD? */
bool ca_word_in(const char *words, const char *word);

/* tensors.c: the steps of ca_case_read; false with a message. */
bool ca_case_inputs_read(struct case_file *c);
bool ca_case_outputs_listed(struct case_file *c);
bool ca_case_outputs_read(struct case_file *c, bool expected);

/* shape.c */
bool ca_size_set(struct case_file *c, const char *name, int64_t value, const char *from);
int64_t ca_size(const struct case_file *c, const char *name, int64_t fallback);
/* Does the array fit the row's shape?  Names new sizes; false with a message. */
bool ca_shape_fits(struct case_file *c, const struct case_tensor *t, const char *field, const struct ca_npy *a);

#endif
