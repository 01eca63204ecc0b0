/* Files and folders of a fuzzing run. */
#ifndef CBN_FUZZ_FOLDER_H
#define CBN_FUZZ_FOLDER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

enum { CBN_LONGEST_INPUT = 1 << 20 }; /* bytes of a fuzzer's input */

/* A path by value. One that would be too long is empty, which every system call refuses. */
typedef struct cbn_path {
  char text[PATH_MAX];
} cbn_path;

cbn_path cbn_path_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes the folder where there is none. */
bool cbn_folder_make(const char *path, cbn_error *error);

/* Removes the folder with everything in it; links are removed, not followed. */
void cbn_folder_remove(const char *path);

/* Tells of each regular file in the folder, until `visit` returns false. False where the folder cannot be read. */
typedef bool cbn_file_visitor(void *context, const char *path, const char *name, size_t size);
bool cbn_folder_visit(const char *path, cbn_file_visitor *visit, void *context);

/* Tells of each folder in the folder, by its name. */
typedef bool cbn_folder_visitor(void *context, const char *name);
bool cbn_folder_list(const char *path, cbn_folder_visitor *visit, void *context);

bool cbn_folder_is_empty(const char *path);

/* The regular files in the folder. */
size_t cbn_folder_count(const char *path);

typedef struct cbn_bytes {
  const uint8_t *bytes;
  size_t size;
} cbn_bytes;

/* The bytes of a regular file of at most `limit`, to be freed; NULL where it cannot be read. */
uint8_t *cbn_file_read(const char *path, size_t limit, size_t *size, cbn_error *error);

/* Copies an input to `folder` under the name that its content has there, so that a second copy is no second file. False where it
 * cannot be read or written. */
bool cbn_file_keep(const char *path, const char *folder);

#endif
