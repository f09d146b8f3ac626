/* cache.c -- program binaries on disk.  One immutable file per key:
 *
 *     "clattn program 1\n" | length of key | key | length of binary | binary | SHA-256 of all before
 *
 * The key is everything that the binary depends on, as text, stored whole and compared whole; its hash is only
 * the file's name.  The trailing hash finds damage, not malice: base/file.c sees to who may write here. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"
#include "runtime/program.h"

#define MAGIC "clattn program 1\n"
#define MAGIC_BYTES (sizeof MAGIC - 1)
#define OVERHEAD (MAGIC_BYTES + 2 * sizeof(uint64_t) + CA_SHA256_BYTES)
#define MAX_ENTRY ((size_t)64 << 20)

/* -------------------------------------------------------------------- key */

/* On a CPU the binary is machine code, which the same driver makes differently for another CPU of that name
 * (virtual machines hide features). */
static void put_cpu_features(struct ca_text *t)
{
    char info[16384];
    const char *line = NULL;
    if (ca_file_peek("/proc/cpuinfo", info, sizeof info)) {
        line = strstr(info, "\nflags");
        if (!line) line = strstr(info, "\nFeatures");
    }
    if (line) ca_text_put(t, "cpu %.*s\n", (int)strcspn(line + 1, "\n"), line + 1);
}

static void put_key(struct ca_text *t, const struct device *d, const struct ca_source *source, const char *options)
{
    ca_text_put(t, "library %d.%d.%d\n", CLATTN_VERSION_MAJOR, CLATTN_VERSION_MINOR, CLATTN_VERSION_PATCH);
    ca_text_put(t, "platform %s\nplatform version %s\n", d->platform_name, d->platform_version);
    ca_text_put(t, "device %s\nvendor %s\nversion %s\ndriver %s\nc version %s\naddress bits %u\n", d->name, d->vendor,
                d->version, d->driver, d->c_version, d->address_bits);
    if (ca_is_cpu_like(d)) put_cpu_features(t);
    ca_text_put(t, "options %s\nsource %s %zu\n%s", options, source->name, source->length, source->text);
}

clattn_status ca_cache_key_make(const struct device *dev, const struct ca_source *source, const char *options,
                                struct ca_cache_key *key)
{
    struct ca_text t = { NULL, 0, 0 };
    char hex[65];

    memset(key, 0, sizeof *key);
    put_key(&t, dev, source, options);
    size_t room = t.length + 1;
    t = (struct ca_text){ malloc(room), room, 0 };
    if (!t.start) return ca_no_memory(room, "the key of a cached program");
    put_key(&t, dev, source, options);
    key->text = t.start;
    key->length = strlen(t.start);
    ca_sha256_hex(key->text, key->length, hex);
    snprintf(key->name, sizeof key->name, "program-%s", hex);
    return CLATTN_OK;
}

void ca_cache_key_free(struct ca_cache_key *key)
{
    free(key->text);
    memset(key, 0, sizeof *key);
}

/* ------------------------------------------------------------------ entry */

/* Reads one length and as many bytes; false when the entry ends before. */
static bool take(const unsigned char **at, size_t *left, const unsigned char **bytes, size_t *size)
{
    uint64_t length;
    if (*left < sizeof length) return false;
    memcpy(&length, *at, sizeof length);
    if (length > *left - sizeof length) return false;
    *bytes = *at + sizeof length;
    *size = (size_t)length;
    *at = *bytes + length;
    *left -= sizeof length + (size_t)length;
    return true;
}

/* NULL when the entry is whole and KEY's; then BINARY points into it. */
static const char *open_entry(const unsigned char *entry, size_t size, const struct ca_cache_key *key,
                              const unsigned char **binary, size_t *binary_size)
{
    unsigned char hash[CA_SHA256_BYTES];
    const unsigned char *at, *text;
    size_t left, length;

    if (size < OVERHEAD || memcmp(entry, MAGIC, MAGIC_BYTES)) return "not a cached program";
    ca_sha256(entry, size - sizeof hash, hash);
    if (memcmp(entry + size - sizeof hash, hash, sizeof hash)) return "damaged";
    at = entry + MAGIC_BYTES;
    left = size - MAGIC_BYTES - sizeof hash;
    if (!take(&at, &left, &text, &length) || !take(&at, &left, binary, binary_size) || left) return "malformed";
    if (length != key->length || memcmp(text, key->text, length)) return "made for something else";
    return *binary_size ? NULL : "empty";
}

bool ca_cache_load(const struct ca_cache_key *key, unsigned char **binary, size_t *size)
{
    char *entry = NULL;
    size_t entry_size;
    const unsigned char *found;
    const char *why;

    *binary = NULL;
    if (!ca_cache_read(key->name, MAX_ENTRY, &entry, &entry_size)) return false;
    why = open_entry((const unsigned char *)entry, entry_size, key, &found, size);
    if (why) {
        ca_log(2, "cache entry %s is %s: removed", key->name, why);
        ca_cache_remove(key->name);
    } else {
        *binary = malloc(*size);
        if (*binary) memcpy(*binary, found, *size);
    }
    free(entry);
    return *binary != NULL;
}

static unsigned char *put(unsigned char *at, const void *bytes, size_t size)
{
    uint64_t length = size;
    memcpy(at, &length, sizeof length);
    memcpy(at + sizeof length, bytes, size);
    return at + sizeof length + size;
}

bool ca_cache_save(const struct ca_cache_key *key, const unsigned char *binary, size_t size)
{
    size_t total;
    if (!ca_add(OVERHEAD + key->length, size, &total) || total > MAX_ENTRY) return false;
    unsigned char *entry = malloc(total), *at = entry;
    if (!entry) return false;
    memcpy(at, MAGIC, MAGIC_BYTES);
    at = put(at + MAGIC_BYTES, key->text, key->length);
    at = put(at, binary, size);
    ca_sha256(entry, (size_t)(at - entry), at);
    bool ok = ca_cache_write(key->name, entry, total);
    free(entry);
    return ok;
}
