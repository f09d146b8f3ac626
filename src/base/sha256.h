/* sha256.h -- SHA-256, for names of cache files and to notice damage in them. */
#ifndef CA_SHA256_H
#define CA_SHA256_H

#include <stddef.h>

#define CA_SHA256_BYTES 32
void ca_sha256(const void *data, size_t size, unsigned char hash[CA_SHA256_BYTES]);
/* The same as 64 hexadecimal digits and a 0. */
void ca_sha256_hex(const void *data, size_t size, char hex[65]);

#endif
