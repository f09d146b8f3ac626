/* file.c -- the cache folder: where it is, whether it can be trusted, and its files. */
#define _GNU_SOURCE
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/status.h"

enum mode { OFF, READ_ONLY, READ_WRITE };

/* The first problem of a process is told; the same one at every build would only be noise. */
static void warn_once(const char *path, const char *why)
{
    static atomic_bool warned;
    if (!atomic_exchange(&warned, true)) ca_log(1, "the cache is not used: %s %s", path, why);
}

static enum mode cache_mode(void)
{
    const char *wanted = ca_getenv("CLATTN_CACHE");
    if (getauxval(AT_SECURE)) return OFF;
    if (!wanted || !strcmp(wanted, "rw")) return READ_WRITE;
    if (!strcmp(wanted, "ro")) return READ_ONLY;
    if (strcmp(wanted, "off")) warn_once("CLATTN_CACHE", "must be off, ro or rw");
    return OFF;
}

static bool cache_path(char path[PATH_MAX])
{
    static const struct { const char *variable, *below; } places[] = {
        { "CLATTN_CACHE_DIR", "" }, { "XDG_CACHE_HOME", "/clattn" }, { "HOME", "/.cache/clattn" },
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *root = ca_getenv(places[i].variable);
        if (!root) continue;
        if (root[0] != '/') {
            warn_once(places[i].variable, "is not an absolute path");
            return false;
        }
        return snprintf(path, PATH_MAX, "%s%s", root, places[i].below) < PATH_MAX;
    }
    return false;
}

/* mkdir -p, private. */
static void make_folders(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    mkdir(path, 0700);
}

/* Belongs to us or to root, and nobody else can change it. */
static bool is_ours(const struct stat *s)
{
    return (s->st_uid == geteuid() || s->st_uid == 0) && !(s->st_mode & (S_IWGRP | S_IWOTH));
}

/* The folder's descriptor, -1 when there is none that can be trusted. */
static int open_folder(enum mode mode)
{
    char path[PATH_MAX];
    struct stat s;
    if (mode == OFF || !cache_path(path)) return -1;
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(path, flags);
    if (fd < 0 && errno == ENOENT && mode == READ_WRITE) {
        make_folders(path);
        fd = open(path, flags);
    }
    if (fd < 0) {
        if (errno != ENOENT) warn_once(path, strerror(errno));
        return -1;
    }
    if (fstat(fd, &s) == 0 && is_ours(&s)) return fd;
    warn_once(path, "belongs to, or can be changed by, somebody else");
    close(fd);
    return -1;
}

static bool is_plain_name(const char *name)
{
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return name[0] && name[0] != '.' && !name[good] && good < 200;
}

static bool read_all(int fd, char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, data + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

static bool write_all(int fd, const char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = write(fd, data + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        at += (size_t)n;
    }
    return true;
}

/* A file that is a link, a pipe or somebody else's has no business here: CHECKED gets its state. */
static int open_trusted(int folder, const char *name, enum mode mode, struct stat *checked)
{
    /* Without O_NONBLOCK, opening a pipe would wait for a writer. */
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, checked) == 0 && S_ISREG(checked->st_mode) && is_ours(checked)) return fd;
    if (fd < 0 && errno == ENOENT) return -1;
    ca_log(1, "cache file %s is not a file of ours: not read", name);
    if (mode == READ_WRITE) unlinkat(folder, name, 0);
    if (fd >= 0) close(fd);
    return -1;
}

bool ca_cache_read(const char *name, size_t max, char **data, size_t *size)
{
    enum mode mode = cache_mode();
    int folder = open_folder(mode), fd = -1;
    char *all = NULL;
    struct stat s;
    bool ok = false;

    *data = NULL;
    *size = 0;
    if (folder < 0 || !is_plain_name(name)) goto done;
    fd = open_trusted(folder, name, mode, &s);
    if (fd < 0 || s.st_size < 0 || (size_t)s.st_size > max) goto done;
    all = malloc((size_t)s.st_size + 1);
    if (!all || !read_all(fd, all, (size_t)s.st_size)) goto done;
    all[s.st_size] = 0;
    *data = all;
    *size = (size_t)s.st_size;
    all = NULL;
    ok = true;
done:
    free(all);
    if (fd >= 0) close(fd);
    if (folder >= 0) close(folder);
    return ok;
}

bool ca_cache_writable(void)
{
    int folder = cache_mode() == READ_WRITE ? open_folder(READ_WRITE) : -1;
    if (folder >= 0) close(folder);
    return folder >= 0;
}

/* ------------------------------------------------------------------- bound */

static double limit_bytes(void)
{
    const char *text = ca_getenv("CLATTN_CACHE_MB");
    char *end;
    double mb = text ? strtod(text, &end) : -1;
    return 1048576.0 * (text && end != text && *end == 0 && mb >= 0 ? mb : 256);
}

struct census { double bytes; char oldest[256]; struct timespec when; };

static void count_file(int folder, const char *name, struct census *c)
{
    struct stat s;
    if (fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) || !S_ISREG(s.st_mode)) return;
    /* What a process that died while writing left behind. */
    if (name[0] == '.' && s.st_mtim.tv_sec + 3600 < time(NULL)) unlinkat(folder, name, 0);
    c->bytes += (double)s.st_size;
    if (strncmp(name, "program-", 8)) return;
    if (c->oldest[0] && (s.st_mtim.tv_sec > c->when.tv_sec ||
                         (s.st_mtim.tv_sec == c->when.tv_sec && s.st_mtim.tv_nsec >= c->when.tv_nsec))) return;
    snprintf(c->oldest, sizeof c->oldest, "%s", name);
    c->when = s.st_mtim;
}

/* Deletes the oldest program if the folder is too large; false when nothing is to be done. */
static bool trim_one(int folder)
{
    struct census c = { 0, "", { 0, 0 } };
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    if (!list) {
        if (copy >= 0) close(copy);
        return false;
    }
    for (struct dirent *e; (e = readdir(list));) count_file(folder, e->d_name, &c);
    closedir(list);
    return c.bytes > limit_bytes() && c.oldest[0] && unlinkat(folder, c.oldest, 0) == 0;
}

/* ------------------------------------------------------------------- write */

bool ca_cache_write(const char *name, const void *data, size_t size)
{
    enum mode mode = cache_mode();
    int folder = -1, fd = -1;
    char temporary[256] = "";
    unsigned long long dice = 0;
    bool ok = false;

    if (mode != READ_WRITE || !is_plain_name(name)) goto done;
    folder = open_folder(mode);
    if (folder < 0 || getrandom(&dice, sizeof dice, 0) != sizeof dice) goto done;
    snprintf(temporary, sizeof temporary, ".%s.%016llx", name, dice);
    fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) goto done;
    ok = write_all(fd, data, size) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    ok = ok && renameat(folder, temporary, folder, name) == 0;
    if (!ok) unlinkat(folder, temporary, 0);
    /* A few at a time are enough: one is written at a time. */
    for (int i = 0; ok && i < 4 && trim_one(folder); i++) continue;
done:
    if (!ok && mode == READ_WRITE) ca_log(2, "cache file %s was not written: %s", name, strerror(errno));
    if (folder >= 0) close(folder);
    return ok;
}

void ca_cache_remove(const char *name)
{
    enum mode mode = cache_mode();
    int folder = mode == READ_WRITE ? open_folder(mode) : -1;
    if (folder < 0) return;
    if (is_plain_name(name)) unlinkat(folder, name, 0);
    close(folder);
}

bool ca_file_peek(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t at = 0;
    ssize_t n = -1;
    text[0] = 0;
    if (fd < 0) return false;
    while (at + 1 < size && (n = read(fd, text + at, size - 1 - at)) != 0) {
        if (n < 0 && errno != EINTR) break;
        if (n > 0) at += (size_t)n;
    }
    text[at] = 0;
    close(fd);
    return n >= 0;
}
