/* Files that are read and written as a whole. */
#ifndef CBN_HARNESS_WHOLE_FILE_H
#define CBN_HARNESS_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/error.h"

/* The bytes of a regular file of at most `limit` bytes, to be freed; NULL with the message `PATH: KIND-file: why`. */
void *cbn_whole_file_read(const char *path, const char *kind, size_t limit, size_t *size, cbn_error *error);

/* Writes a file beside the path, `PATH.partial`, and renames it, so that a failure leaves what was there as it was.
 * `write` gets `context` and returns false, with errno, where it fails. */
typedef bool cbn_file_writer(FILE *file, const void *context);
bool cbn_whole_file_write(const char *path, const char *kind, cbn_file_writer *write, const void *context,
                          cbn_error *error);

/* The end of a path, for messages: of a long one the last characters, which say more than the first. */
const char *cbn_path_shown(const char *path);

#endif
