/* sha256.c -- SHA-256 by libsodium. */
#include "base/sha256.h"
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

void ca_sha256(const void *data, size_t size, unsigned char hash[CA_SHA256_BYTES])
{
    crypto_hash_sha256(hash, data, size);
}

void ca_sha256_hex(const void *data, size_t size, char hex[65])
{
    unsigned char hash[CA_SHA256_BYTES];
    ca_sha256(data, size, hash);
    sodium_bin2hex(hex, 65, hash, sizeof hash);
}
