/* test_npy.c -- .npy files: what is written is read back; whatever else a file may hold is refused with
 * the file's and the field's name, before memory of its size is taken. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/npy.h"
#include "suite.h"

static char folder[64], path[128];

static void make_folder(void)
{
    strcpy(folder, "/tmp/clattn-npy-XXXXXX");
    ck_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/a.npy", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

/* A file of the given version with this header text and so many bytes of data. */
static void put_file(int version, const char *header, size_t data)
{
    size_t n = strlen(header);
    unsigned char head[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0, (unsigned char)n,
                              (unsigned char)(n >> 8), (unsigned char)(n >> 16), (unsigned char)(n >> 24)};
    FILE *f = fopen(path, "wb");
    ck_assert(f != NULL);
    ck_assert(fwrite(head, 1, version == 1 ? 10 : 12, f) > 0);
    ck_assert(fwrite(header, 1, n, f) == n);
    for (size_t i = 0; i < data; i++) fputc((int)i & 255, f);
    ck_assert(fclose(f) == 0);
}

/* Reading must fail, and the message hold the path, the field and WORDS. */
static void refused(const char *words)
{
    struct ca_npy a;
    ca_message_clear();
    ck_assert_msg(ca_npy_read(path, "inputs.q", &a) != CLATTN_OK, "accepted; expected: %s", words);
    ck_assert(a.data == NULL);
    ck_assert_msg(strstr(ca_message(), path) && strstr(ca_message(), "inputs.q") && strstr(ca_message(), words),
                  "\"%s\" lacks \"%s\"", ca_message(), words);
}

START_TEST(round_trip)
{
    const int64_t shapes[][4] = {{2, 3, 4, 5}, {1, 0, 7, 2}, {9, 1, 1, 1}};
    for (int rank = 0; rank <= 4; rank++)
        for (int s = 0; s < 3; s++) {
            struct ca_npy a, b;
            ca_message_clear();
            ck_assert(ca_npy_alloc(&a, (enum ca_npy_type)_i, rank, shapes[s]) == CLATTN_OK);
            for (size_t i = 0; i < a.bytes; i++) ((unsigned char *)a.data)[i] = (unsigned char)(i * 37 + 1);
            ck_assert(ca_npy_write(path, &a) == CLATTN_OK);
            ck_assert_msg(ca_npy_read(path, "x", &b) == CLATTN_OK, "%s", ca_message());
            ck_assert(b.type == a.type && b.rank == rank && b.count == a.count && b.bytes == a.bytes && b.data);
            ck_assert(memcmp(a.shape, b.shape, sizeof a.shape) == 0);
            ck_assert(memcmp(a.data, b.data, a.bytes) == 0);
            ca_npy_free(&a);
            ca_npy_free(&b);
        }
}
END_TEST

START_TEST(written_as_numpy_does)
{
    struct ca_npy a;
    const int64_t shape[] = {3};
    char text[128];
    ck_assert(ca_npy_alloc(&a, CA_NPY_F4, 1, shape) == CLATTN_OK);
    ck_assert(ca_npy_write(path, &a) == CLATTN_OK);
    FILE *f = fopen(path, "rb");
    ck_assert(f && fread(text, 1, 128, f) == 128);
    ck_assert(fgetc(f) != EOF && fseek(f, 0, SEEK_END) == 0 && ftell(f) == 128 + 12);
    fclose(f);
    ck_assert(memcmp(text, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 64) ==
              0);
    ck_assert(text[127] == '\n');
    ca_npy_free(&a);
}
END_TEST

static const struct good { int version; const char *header; size_t data; int rank; } good[] = {
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24, 2},
    {2, "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }          \n", 12, 2},
    {1, "{'shape': (), 'descr': \"|b1\", 'fortran_order': False}", 1, 0},
    {1, "{'descr':'<i8','fortran_order':False,'shape':(4,)}", 32, 1},
    {1, "{'descr': '<u2', 'fortran_order': False, 'shape': (0, 5), }", 0, 2},
    {1, "{'descr': '|i1', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1)}", 1, 8},
};

START_TEST(accepts)
{
    struct ca_npy a;
    ca_message_clear();
    put_file(good[_i].version, good[_i].header, good[_i].data);
    ck_assert_msg(ca_npy_read(path, "x", &a) == CLATTN_OK, "%s", ca_message());
    ck_assert_int_eq(a.rank, good[_i].rank);
    ck_assert_uint_eq(a.bytes, good[_i].data);
    ck_assert_uint_eq((uintptr_t)a.data % 64, 0);
    ca_npy_free(&a);
}
END_TEST

#define F4(shape) "{'descr': '<f4', 'fortran_order': False, 'shape': " shape ", }"
static const struct bad { int version; const char *header; size_t data; const char *words; } bad[] = {
    {3, F4("(2,)"), 8, "version 3.0"},
    {1, F4("(2, 3)"), 23, "truncated"},
    {1, F4("(2, 3)"), 25, "too long"},
    {1, F4("(2, 3)"), 0, "truncated"},
    {1, F4("(1000000000000,)"), 16, "truncated"},
    {1, F4("(4611686018427387904, 2)"), 0, "overflows"},
    {1, F4("(0, 4611686018427387904, 4611686018427387904)"), 0, "overflows"},
    {1, F4("(99999999999999999999999,)"), 0, "not a size"},
    {1, F4("(-1,)"), 0, "not a size"},
    {1, F4("(2.0,)"), 8, "not a tuple of sizes"},
    {1, F4("(2)"), 8, "not a tuple of sizes"},
    {1, F4("2"), 8, "not a tuple"},
    {1, F4("(2, 3"), 24, "not"},
    {1, F4("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), 4, "more than 8 axes"},
    {1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, "Fortran"},
    {1, "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }", 24, "fortran_order"},
    {1, "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 8, ">f4"},
    {1, "{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", 16, "<c8"},
    {1, "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 16, "|O"},
    {1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "not a simple type"},
    {1, "{'descr': '<f4', 'fortran_order': False, }", 8, "shape is missing"},
    {1, "{'descr': '<f4', 'shape': (2,), }", 8, "fortran_order is missing"},
    {1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8, "twice"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", 8, "unknown key x"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x", 8, "something follows"},
    {1, "{'descr': '<f4' 'fortran_order': False, 'shape': (2,), }", 8, "no , or }"},
    {1, "", 8, "does not start"},
    {2, F4("(2,)"), 7, "truncated"},
};

START_TEST(refuses)
{
    put_file(bad[_i].version, bad[_i].header, bad[_i].data);
    refused(bad[_i].words);
}
END_TEST

/* A good file cut off after any number of bytes. */
START_TEST(truncated_anywhere)
{
    put_file(1, good[0].header, good[0].data);
    for (long n = 10 + (long)strlen(good[0].header) + 23; n >= 0; n--) {
        ck_assert(truncate(path, n) == 0);
        refused("truncated");
    }
}
END_TEST

START_TEST(not_npy)
{
    FILE *f = fopen(path, "wb");
    fputs("not a file of that kind, but long enough", f);
    fclose(f);
    refused("is not a .npy file");
    f = fopen(path, "wb"); /* a header that claims 4 GiB */
    fwrite("\x93NUMPY\x02\x00\xff\xff\xff\xff", 1, 12, f);
    fclose(f);
    refused("header of 4294967295 bytes");
    unlink(path);
    refused("No such file");
    ck_assert(mkfifo(path, 0600) == 0); /* must not wait for a writer */
    refused("regular file");
    unlink(path);
    snprintf(path, sizeof path, "%s", folder);
    refused("regular file");
    snprintf(path, sizeof path, "%s/a.npy", folder);
}
END_TEST

START_TEST(cannot_write)
{
    struct ca_npy a;
    ck_assert(ca_npy_alloc(&a, CA_NPY_F4, 0, NULL) == CLATTN_OK);
    ca_message_clear();
    ck_assert(ca_npy_write("/nonexistent/x.npy", &a) == CLATTN_E_IO);
    ck_assert(strstr(ca_message(), "/nonexistent/x.npy") != NULL);
    ca_message_clear();
    ck_assert(ca_npy_write("/dev/full", &a) == CLATTN_E_IO);
    ca_npy_free(&a);
    ca_message_clear();
    ck_assert(ca_npy_alloc(&a, CA_NPY_F8, 2, (const int64_t[]){INT64_MAX / 8, 16}) == CLATTN_E_TOO_LARGE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("npy");
    TCase *t = tcase_create("npy");
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_loop_test(t, round_trip, 0, CA_NPY_TYPES);
    tcase_add_test(t, written_as_numpy_does);
    tcase_add_loop_test(t, accepts, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(t, refuses, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(t, truncated_anywhere);
    tcase_add_test(t, not_npy);
    tcase_add_test(t, cannot_write);
    suite_add_tcase(s, t);
    return run_suite(s);
}
