/* test_cache.c -- the cache folder and the entries in it: what is damaged, foreign or open to others is never
 * used, and never harms.  Needs no device. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "runtime/program.h"
#include "suite.h"

const struct ca_source ca_sources[] = { { "tiny", "kernel void f() {}", 18 }, { NULL, NULL, 0 } };

static char folder[256], scratch[128];

/* Each test has a fresh place; FOLDER does not exist yet. */
static void setup(void)
{
    strcpy(scratch, "/tmp/clattn-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    snprintf(folder, sizeof folder, "%s/deep/cache", scratch);
    setenv("CLATTN_CACHE_DIR", folder, 1);
    unsetenv("CLATTN_CACHE");
    umask(0);
}

static void teardown(void)
{
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    ck_assert_int_eq(system(command), 0);
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static bool readable(const char *name)
{
    char *data;
    size_t size;
    bool ok = ca_cache_read(name, 1000, &data, &size);
    if (ok) ck_assert(size == 3 && !memcmp(data, "abc", 4));
    else ck_assert(!data && !size);
    free(data);
    return ok;
}

static bool exists(const char *name)
{
    struct stat s;
    return lstat(path_of(name), &s) == 0;
}

/* ------------------------------------------------------------------ folder */

START_TEST(round_trip)
{
    struct stat s;
    ck_assert(!readable("a"));
    ck_assert(!exists("a"));
    ck_assert(ca_cache_write("a", "abc", 3));
    ck_assert(readable("a"));
    ck_assert(stat(folder, &s) == 0 && (s.st_mode & 0777) == 0700);
    ck_assert(stat(path_of("a"), &s) == 0 && (s.st_mode & 0777) == 0600);
    ca_cache_remove("a");
    ck_assert(!exists("a"));
    ca_cache_remove("a");
}
END_TEST

START_TEST(names)
{
    ck_assert(!ca_cache_write("../a", "abc", 3));
    ck_assert(!ca_cache_write(".a", "abc", 3));
    ck_assert(!ca_cache_write("", "abc", 3));
    ck_assert(!ca_cache_write("a/b", "abc", 3));
    ck_assert(!readable("../a"));
}
END_TEST

START_TEST(modes)
{
    setenv("CLATTN_CACHE", "ro", 1);
    ck_assert(!ca_cache_write("a", "abc", 3));
    ck_assert(access(folder, F_OK) != 0);
    setenv("CLATTN_CACHE", "rw", 1);
    ck_assert(ca_cache_write("a", "abc", 3));
    setenv("CLATTN_CACHE", "ro", 1);
    ck_assert(readable("a"));
    ca_cache_remove("a");
    ck_assert(readable("a"));
    setenv("CLATTN_CACHE", "off", 1);
    ck_assert(!readable("a"));
    setenv("CLATTN_CACHE", "nonsense", 1);
    ck_assert(!readable("a"));
    ck_assert(!ca_cache_write("a", "abc", 3));
}
END_TEST

START_TEST(places)
{
    unsetenv("CLATTN_CACHE_DIR");
    setenv("XDG_CACHE_HOME", scratch, 1);
    setenv("HOME", "/nonexistent", 1);
    ck_assert(ca_cache_write("a", "abc", 3));
    snprintf(folder, sizeof folder, "%s/clattn", scratch);
    ck_assert(exists("a"));
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", scratch, 1);
    ck_assert(ca_cache_write("b", "abc", 3));
    snprintf(folder, sizeof folder, "%s/.cache/clattn", scratch);
    ck_assert(exists("b"));
    unsetenv("HOME");
    ck_assert(!ca_cache_write("c", "abc", 3));
    ck_assert_int_eq(chdir(scratch), 0);
    setenv("CLATTN_CACHE_DIR", "here", 1);
    ck_assert(!ca_cache_write("c", "abc", 3));
    ck_assert(access("here", F_OK) != 0);
}
END_TEST

START_TEST(open_folder_is_refused)
{
    ck_assert(ca_cache_write("a", "abc", 3));
    static const mode_t open[] = { 0777, 0770, 0702, 01777 };
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        ck_assert_int_eq(chmod(folder, open[i]), 0);
        ck_assert(!readable("a"));
        ck_assert(!ca_cache_write("b", "abc", 3));
        ck_assert(exists("a") && !exists("b"));
    }
    ck_assert_int_eq(chmod(folder, 0755), 0); /* others may look */
    ck_assert(readable("a"));
}
END_TEST

START_TEST(foreign_owner_is_refused)
{
    if (geteuid() != 0) return; /* only root can give files away */
    ck_assert(ca_cache_write("a", "abc", 3));
    ck_assert(ca_cache_write("b", "abc", 3));
    ck_assert_int_eq(chown(path_of("a"), 12345, 12345), 0);
    ck_assert(!readable("a"));
    ck_assert(!exists("a"));
    ck_assert(readable("b"));
    ck_assert_int_eq(chown(folder, 12345, 12345), 0);
    ck_assert(!readable("b"));
    ck_assert(exists("b"));
}
END_TEST

START_TEST(links_and_pipes_are_refused)
{
    char other[300], moved[300];
    ck_assert(ca_cache_write("a", "abc", 3));
    snprintf(other, sizeof other, "%s/other", scratch);
    FILE *f = fopen(other, "w");
    ck_assert(f && fputs("abc", f) >= 0 && fclose(f) == 0);
    ck_assert_int_eq(symlink(other, path_of("link")), 0);
    ck_assert(!readable("link"));
    ck_assert(!exists("link"));
    ck_assert_int_eq(symlink(other, path_of("link")), 0);
    ck_assert(ca_cache_write("link", "xyz", 3)); /* replaces the link, not what it points to */
    ck_assert_int_eq(symlink(other, path_of("c")), 0);
    ca_cache_remove("c");
    ck_assert(access(other, F_OK) == 0);
    struct stat s;
    ck_assert(lstat(path_of("link"), &s) == 0 && S_ISREG(s.st_mode));
    ck_assert(stat(other, &s) == 0 && s.st_size == 3);
    ck_assert_int_eq(mkfifo(path_of("pipe"), 0600), 0);
    ck_assert(!readable("pipe"));
    ck_assert_int_eq(chmod(path_of("a"), 0620), 0);
    ck_assert(!readable("a"));

    snprintf(moved, sizeof moved, "%s/moved", scratch);
    ck_assert(ca_cache_write("a", "abc", 3));
    ck_assert(rename(folder, moved) == 0 && symlink(moved, folder) == 0);
    ck_assert(!readable("a"));
    ck_assert(!ca_cache_write("b", "abc", 3));
}
END_TEST

START_TEST(size_limit)
{
    char *data;
    size_t size;
    ck_assert(ca_cache_write("a", "abc", 3));
    ck_assert(!ca_cache_read("a", 2, &data, &size));
    ck_assert(ca_cache_write("empty", "", 0));
    ck_assert(ca_cache_read("empty", 2, &data, &size));
    ck_assert(size == 0 && data[0] == 0);
    free(data);
}
END_TEST

START_TEST(bounded)
{
    char data[100] = "", name[32];
    struct timespec pause = { 0, 20000000 };
    setenv("CLATTN_CACHE_MB", "0.0005", 1); /* 524 bytes */
    ck_assert(ca_cache_write("inventory", data, sizeof data));
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "program-%d", i);
        ck_assert(ca_cache_write(name, data, sizeof data));
        nanosleep(&pause, NULL);
    }
    ck_assert(exists("inventory"));
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "program-%d", i);
        ck_assert_int_eq(exists(name), i >= 4);
    }
}
END_TEST

/* ----------------------------------------------------------------- entries */

static const struct device gpu = { .id = (cl_device_id)&gpu, .type = CL_DEVICE_TYPE_GPU, .name = "G", .driver = "1" };

static struct ca_cache_key make_key(const struct device *d, const char *options)
{
    struct ca_cache_key key;
    ck_assert_int_eq(ca_cache_key_make(d, ca_sources, options, &key), CLATTN_OK);
    return key;
}

static bool loads(const struct ca_cache_key *key)
{
    unsigned char *binary;
    size_t size;
    bool ok = ca_cache_load(key, &binary, &size);
    if (ok) ck_assert(size == 6 && !memcmp(binary, "binary", 6));
    free(binary);
    return ok;
}

static void overwrite(const char *name, const char *data, size_t size)
{
    ck_assert(ca_cache_write(name, data, size));
}

START_TEST(each_damage_is_noticed)
{
    struct ca_cache_key key = make_key(&gpu, "-D X=1");
    char *entry;
    size_t size;
    ck_assert(!loads(&key));
    ck_assert(ca_cache_save(&key, (const unsigned char *)"binary", 6));
    ck_assert(loads(&key));
    ck_assert(ca_cache_read(key.name, 4096, &entry, &size));
    for (size_t n = 0; n < size; n++) {
        overwrite(key.name, entry, n);
        ck_assert_msg(!loads(&key), "truncated to %zu of %zu bytes", n, size);
        ck_assert(!exists(key.name));
    }
    for (size_t n = 0; n < size; n++) {
        entry[n] ^= 1 << n % 8;
        overwrite(key.name, entry, size);
        ck_assert_msg(!loads(&key), "byte %zu of %zu flipped", n, size);
        ck_assert(!exists(key.name));
        entry[n] ^= 1 << n % 8;
    }
    overwrite(key.name, entry, size + 1); /* the 0 that is always behind */
    ck_assert(!loads(&key));
    overwrite(key.name, entry, size);
    ck_assert(loads(&key));
    free(entry);
    ca_cache_key_free(&key);
}
END_TEST

/* Whatever the file's name says, the stored key decides. */
START_TEST(key_is_compared_whole)
{
    struct ca_cache_key a = make_key(&gpu, "-D X=1"), b = make_key(&gpu, "-D X=2");
    char *entry;
    size_t size;
    ck_assert_str_ne(a.name, b.name);
    ck_assert(ca_cache_save(&a, (const unsigned char *)"binary", 6));
    ck_assert(ca_cache_read(a.name, 4096, &entry, &size));
    overwrite(b.name, entry, size);
    ck_assert(!loads(&b));
    ck_assert(!exists(b.name));
    ck_assert(loads(&a));
    free(entry);
    ca_cache_key_free(&a);
    ca_cache_key_free(&b);
}
END_TEST

START_TEST(key_has_what_matters)
{
    struct device other[6];
    struct ca_cache_key a = make_key(&gpu, "");
    for (int i = 0; i < 6; i++) other[i] = gpu;
    strcpy(other[0].name, "H");
    strcpy(other[1].driver, "2");
    strcpy(other[2].platform_name, "P");
    strcpy(other[3].platform_version, "P");
    strcpy(other[4].version, "P");
    other[5].type = CL_DEVICE_TYPE_CPU; /* the CPU's features come in */
    for (int i = 0; i < 6; i++) {
        struct ca_cache_key b = make_key(&other[i], "");
        ck_assert_msg(strcmp(a.name, b.name) != 0, "difference %d", i);
        ca_cache_key_free(&b);
    }
    ca_cache_key_free(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cache");
    TCase *t = tcase_create("cache");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, names);
    tcase_add_test(t, modes);
    tcase_add_test(t, places);
    tcase_add_test(t, open_folder_is_refused);
    tcase_add_test(t, foreign_owner_is_refused);
    tcase_add_test(t, links_and_pipes_are_refused);
    tcase_add_test(t, size_limit);
    tcase_add_test(t, bounded);
    tcase_add_test(t, each_damage_is_noticed);
    tcase_add_test(t, key_is_compared_whole);
    tcase_add_test(t, key_has_what_matters);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return run_suite(s);
}
