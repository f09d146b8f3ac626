/* npy.c -- .npy files.  Reading goes: open, magic, header text, descr and order and shape, then
 * the size that the shape needs is compared with the size of the file, and only then is memory taken. */
#define _GNU_SOURCE
#include "base/npy.h"
#include <errno.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/checked.h"

#define MAX_HEADER 65536

static const struct { char name[4]; size_t size; } types[CA_NPY_TYPES] = {
    [CA_NPY_F4] = {"<f4", 4}, [CA_NPY_F2] = {"<f2", 2}, [CA_NPY_F8] = {"<f8", 8},
    [CA_NPY_I4] = {"<i4", 4}, [CA_NPY_I8] = {"<i8", 8}, [CA_NPY_I1] = {"|i1", 1},
    [CA_NPY_U1] = {"|u1", 1}, [CA_NPY_B1] = {"|b1", 1}, [CA_NPY_U2] = {"<u2", 2},
};

const char *ca_npy_name(enum ca_npy_type type) { return types[type].name; }
size_t ca_npy_size(enum ca_npy_type type) { return types[type].size; }

const char *ca_npy_shape(const struct ca_npy *a, char *text, size_t size)
{
    size_t n = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < a->rank && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%lld", i ? ", " : "", (long long)a->shape[i]);
    if (n < size) snprintf(text + n, size - n, a->rank == 1 ? ",)" : ")");
    return text;
}

void ca_npy_free(struct ca_npy *a)
{
    free(a->data);
    memset(a, 0, sizeof *a);
}

/* Count and bytes of the shape; false when they overflow.  Zero axes do not hide an overflow. */
static bool measure(struct ca_npy *a)
{
    size_t limit = 1;
    a->count = 1;
    for (int i = 0; i < a->rank; i++) {
        if (a->shape[i] < 0 || (uint64_t)a->shape[i] > SIZE_MAX) return false;
        if (!ca_mul(limit, a->shape[i] ? (size_t)a->shape[i] : 1, &limit)) return false;
        a->count *= (size_t)a->shape[i];
    }
    return ca_mul(limit, types[a->type].size, &limit) && limit <= PTRDIFF_MAX - 64 &&
           ca_mul(a->count, types[a->type].size, &a->bytes);
}

static clattn_status take_memory(struct ca_npy *a, const char *what)
{
    size_t size = (a->bytes + 64) / 64 * 64;
    a->data = aligned_alloc(64, size);
    if (!a->data) return ca_no_memory(size, what);
    return CLATTN_OK;
}

clattn_status ca_npy_alloc(struct ca_npy *a, enum ca_npy_type type, int rank, const int64_t *shape)
{
    memset(a, 0, sizeof *a);
    CA_REQUIRE(rank >= 0 && rank <= CA_NPY_MAX_RANK, CLATTN_E_ARGUMENT, "rank %d is not within 0 ... %d", rank,
               CA_NPY_MAX_RANK);
    a->type = type;
    a->rank = rank;
    for (int i = 0; i < rank; i++) a->shape[i] = shape[i];
    CA_REQUIRE(measure(a), CLATTN_E_TOO_LARGE, "the size of an array overflows");
    clattn_status st = take_memory(a, "an array");
    if (st == CLATTN_OK) memset(a->data, 0, a->bytes);
    return st;
}

/* ------------------------------------------------------------------ reading */

struct reader {
    const char *path, *field;
    int fd;
    size_t size, used;     /* of the file, and read so far */
    const char *p, *end;   /* header text */
};

#define REFUSE(r, ...) return refuse(r, __VA_ARGS__)
__attribute__((format(printf, 2, 3)))
static clattn_status refuse(const struct reader *r, const char *format, ...)
{
    char why[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof why, format, ap);
    va_end(ap);
    return ca_fail(CLATTN_E_ARGUMENT, "%s: %s: %s", r->path, r->field, why);
}

static clattn_status read_bytes(struct reader *r, void *to, size_t bytes, const char *what)
{
    if (bytes > r->size - r->used)
        REFUSE(r, "truncated: its %s needs %zu bytes, %zu are left", what, bytes, r->size - r->used);
    for (size_t n = 0; n < bytes;) {
        ssize_t got = read(r->fd, (char *)to + n, bytes - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ca_fail(CLATTN_E_IO, "%s: %s: %s", r->path, r->field, strerror(errno));
        if (got == 0) REFUSE(r, "truncated while it was read");
        n += (size_t)got;
    }
    r->used += bytes;
    return CLATTN_OK;
}

/* Opens a regular file only: a pipe or a device could block or never end. */
static clattn_status open_file(struct reader *r)
{
    struct stat s;
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (r->fd < 0 || fstat(r->fd, &s) != 0)
        return ca_fail(CLATTN_E_IO, "%s: %s: %s", r->path, r->field, strerror(errno));
    if (!S_ISREG(s.st_mode)) REFUSE(r, "is not a regular file");
    r->size = (size_t)s.st_size;
    return CLATTN_OK;
}

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n')) r->p++;
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->p >= r->end || *r->p != c) return false;
    r->p++;
    return true;
}

/* A quoted word of at most SIZE - 1 characters. */
static bool take_word(struct reader *r, char *word, size_t size)
{
    skip_blanks(r);
    if (r->p >= r->end || (*r->p != '\'' && *r->p != '"')) return false;
    char quote = *r->p++;
    size_t n = 0;
    for (; r->p < r->end && *r->p != quote; r->p++) {
        if (n + 1 >= size || *r->p < ' ' || *r->p > '~') return false;
        word[n++] = *r->p;
    }
    word[n] = 0;
    return take(r, quote);
}

static bool take_text(struct reader *r, const char *text)
{
    size_t n = strlen(text);
    skip_blanks(r);
    if ((size_t)(r->end - r->p) < n || strncmp(r->p, text, n) != 0) return false;
    r->p += n;
    return true;
}

static bool take_number(struct reader *r, int64_t *value)
{
    skip_blanks(r);
    if (r->p >= r->end || *r->p < '0' || *r->p > '9') return false;
    for (*value = 0; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
        if (!ca_mul64(*value, 10, value) || !ca_add64(*value, *r->p - '0', value)) return false;
    return true;
}

static clattn_status parse_descr(struct reader *r, struct ca_npy *a)
{
    char word[32];
    if (!take_word(r, word, sizeof word)) REFUSE(r, "bad header: descr is not a simple type");
    for (int i = 0; i < CA_NPY_TYPES; i++)
        if (!strcmp(word, types[i].name)) {
            a->type = (enum ca_npy_type)i;
            return CLATTN_OK;
        }
    REFUSE(r, "type %s is not one of <f4 <f2 <f8 <i4 <i8 |i1 |u1 |b1 <u2", word);
}

static clattn_status parse_order(struct reader *r)
{
    if (take_text(r, "False")) return CLATTN_OK;
    if (take_text(r, "True")) REFUSE(r, "is in Fortran order; only C order is read");
    REFUSE(r, "bad header: fortran_order is neither True nor False");
}

static clattn_status parse_shape(struct reader *r, struct ca_npy *a)
{
    if (!take(r, '(')) REFUSE(r, "bad header: shape is not a tuple");
    for (a->rank = 0; !take(r, ')'); a->rank++) {
        if (a->rank == CA_NPY_MAX_RANK) REFUSE(r, "has more than %d axes", CA_NPY_MAX_RANK);
        if (!take_number(r, &a->shape[a->rank])) REFUSE(r, "bad header: axis %d of the shape is not a size", a->rank);
        if (!take(r, ',') && !(a->rank > 0 && r->p < r->end && *r->p == ')'))
            REFUSE(r, "bad header: the shape is not a tuple of sizes");
    }
    return CLATTN_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } with its keys in any order, each once. */
static clattn_status parse_header(struct reader *r, struct ca_npy *a)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    unsigned seen = 0;
    clattn_status st = CLATTN_OK;
    if (!take(r, '{')) REFUSE(r, "bad header: does not start with {");
    while (!take(r, '}')) {
        char key[32];
        unsigned k = 0;
        if (!take_word(r, key, sizeof key) || !take(r, ':')) REFUSE(r, "bad header: a key is missing");
        while (k < 3 && strcmp(key, keys[k]) != 0) k++;
        if (k == 3) REFUSE(r, "bad header: unknown key %s", key);
        if (seen & 1u << k) REFUSE(r, "bad header: %s stands there twice", key);
        seen |= 1u << k;
        st = k == 0 ? parse_descr(r, a) : k == 1 ? parse_order(r) : parse_shape(r, a);
        if (st != CLATTN_OK) return st;
        skip_blanks(r);
        if (!take(r, ',') && !(r->p < r->end && *r->p == '}')) REFUSE(r, "bad header: no , or } after %s", key);
    }
    skip_blanks(r);
    if (r->p != r->end) REFUSE(r, "bad header: something follows the }");
    if (seen != 7) REFUSE(r, "bad header: %s is missing", keys[seen & 1 ? seen & 2 ? 2 : 1 : 0]);
    return CLATTN_OK;
}

/* Magic, version and the header text, which the caller frees. */
static clattn_status read_header(struct reader *r, char **text)
{
    unsigned char head[12];
    size_t length;
    clattn_status st;
    CA_TRY(read_bytes(r, head, 8, "magic"));
    if (memcmp(head, "\x93NUMPY", 6) != 0) REFUSE(r, "is not a .npy file");
    if ((head[6] != 1 && head[6] != 2) || head[7] != 0)
        REFUSE(r, "is of .npy version %d.%d; 1.0 and 2.0 are read", head[6], head[7]);
    CA_TRY(read_bytes(r, head + 8, head[6] == 1 ? 2 : 4, "header"));
    length = head[8] | (size_t)head[9] << 8;
    if (head[6] == 2) length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (length > MAX_HEADER) REFUSE(r, "header of %zu bytes is longer than %d", length, MAX_HEADER);
    *text = malloc(length + 1);
    if (!*text) return ca_no_memory(length + 1, r->field);
    CA_TRY(read_bytes(r, *text, length, "header"));
    r->p = *text;
    r->end = *text + length;
done:
    return st;
}

clattn_status ca_npy_read(const char *path, const char *field, struct ca_npy *a)
{
    struct reader r = {.path = path, .field = field, .fd = -1};
    char *text = NULL, shape[256];
    clattn_status st;
    memset(a, 0, sizeof *a);
    CA_TRY(open_file(&r));
    CA_TRY(read_header(&r, &text));
    CA_TRY(parse_header(&r, a));
    if (!measure(a)) {
        st = refuse(&r, "shape %s overflows", ca_npy_shape(a, shape, sizeof shape));
        goto done;
    }
    if (a->bytes != r.size - r.used) {
        st = refuse(&r, "%s: shape %s of %s is %zu bytes of data, the file has %zu",
                    a->bytes > r.size - r.used ? "truncated" : "too long", ca_npy_shape(a, shape, sizeof shape),
                    ca_npy_name(a->type), a->bytes, r.size - r.used);
        goto done;
    }
    CA_TRY(take_memory(a, field));
    CA_TRY(read_bytes(&r, a->data, a->bytes, "data"));
done:
    if (r.fd >= 0) close(r.fd);
    free(text);
    if (st != CLATTN_OK) ca_npy_free(a);
    return st;
}

/* ------------------------------------------------------------------ writing */

clattn_status ca_npy_write(const char *path, const struct ca_npy *a)
{
    char shape[256], text[512];
    ca_npy_shape(a, shape, sizeof shape);
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                     ca_npy_name(a->type), shape);
    int length = (10 + n + 1 + 63) / 64 * 64 - 10; /* the data starts at a multiple of 64 */
    FILE *f = fopen(path, "wbe");
    CA_REQUIRE(f, CLATTN_E_IO, "%s: %s", path, strerror(errno));
    const unsigned char head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)length,
                                    (unsigned char)(length >> 8)};
    bool ok = fwrite(head, 1, 10, f) == 10 && fprintf(f, "%-*s\n", length - 1, text) == length &&
              fwrite(a->data, 1, a->bytes, f) == a->bytes;
    int code = errno;
    if (fclose(f) != 0 && ok) {
        ok = false;
        code = errno;
    }
    CA_REQUIRE(ok, CLATTN_E_IO, "%s: %s", path, strerror(code));
    return CLATTN_OK;
}
