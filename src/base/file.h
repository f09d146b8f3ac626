/* file.h -- the cache folder and files in it, read and written safely.
 *
 * The folder is $CLATTN_CACHE_DIR, else $XDG_CACHE_HOME/clattn, else ~/.cache/clattn; never
 * one relative to the working directory.  A cached program for a CPU device is machine code, so the
 * folder and every file in it must belong to this user (or root) and be writable by nobody else, and no
 * symbolic link is followed; otherwise the cache is not used and a warning is logged once.
 * CLATTN_CACHE=off|ro|rw (default rw).  Off in set-user-id programs.
 * CLATTN_CACHE_MB (default 256) bounds it: files named program-* are deleted, oldest first.
 *
 * Files are immutable: they are written under another name and renamed, so a reader sees the old
 * one or the new one whole, also when several processes or machines share the folder. */
#ifndef CA_FILE_H
#define CA_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* NAME is a plain file name inside the cache folder: letters, digits, '-', '_', '.', not starting with '.'. */

/* Reads the whole file: *DATA is malloc'ed, ends with an extra 0 byte, and is the caller's.
 * False when there is none, it is larger than MAX, or it is not to be trusted (then it is deleted). */
bool ca_cache_read(const char *name, size_t max, char **data, size_t *size);

/* Writes or replaces the file.  False when the cache is off or read-only, or writing failed: the
 * caller goes on without. */
bool ca_cache_write(const char *name, const void *data, size_t size);

/* Would a write be tried?  For those who have work to do before. */
bool ca_cache_writable(void);

/* Deletes a file that turned out to be of no use; nothing happens when there is none. */
void ca_cache_remove(const char *name);

/* Reads at most SIZE - 1 bytes of a small file of the system ("/proc/cpuinfo"), ended by 0;
 * false and "" when it cannot be read. */
bool ca_file_peek(const char *path, char *text, size_t size);

#endif
