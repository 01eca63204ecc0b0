#include "fuzz/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "harness/results.h"

cbn_path cbn_path_of(const char *format, ...) {
  cbn_path path;
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(path.text, sizeof path.text, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= sizeof path.text) path.text[0] = '\0';
  return path;
}

bool cbn_folder_make(const char *path, cbn_error *error) {
  struct stat status;
  if (mkdir(path, 0777) == 0) return true;
  const int cause = errno;
  if (cause == EEXIST && stat(path, &status) == 0) {
    CBN_CHECK(S_ISDIR(status.st_mode), error, "%s: is a file, and must be a folder", path);
    return true;
  }
  CBN_FAIL(error, "%s: cannot make the folder: %s", path, strerror(cause));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)status, (void)kind, (void)place;
  remove(path);
  return 0;
}

void cbn_folder_remove(const char *path) {
  enum { DESCRIPTORS = 16 };
  nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}

bool cbn_folder_visit(const char *path, cbn_file_visitor *visit, void *context) {
  DIR *folder = opendir(path);
  if (folder == NULL) return false;
  bool more = true;
  for (struct dirent *entry; more && (entry = readdir(folder)) != NULL;) {
    struct stat status;
    const cbn_path file = cbn_path_of("%s/%s", path, entry->d_name);
    if (stat(file.text, &status) == 0 && S_ISREG(status.st_mode))
      more = visit(context, file.text, entry->d_name, (size_t)status.st_size);
  }
  closedir(folder);
  return true;
}

bool cbn_folder_list(const char *path, cbn_folder_visitor *visit, void *context) {
  DIR *folder = opendir(path);
  if (folder == NULL) return false;
  bool more = true;
  for (struct dirent *entry; more && (entry = readdir(folder)) != NULL;) {
    struct stat status;
    const cbn_path inner = cbn_path_of("%s/%s", path, entry->d_name);
    if (entry->d_name[0] != '.' && stat(inner.text, &status) == 0 && S_ISDIR(status.st_mode))
      more = visit(context, entry->d_name);
  }
  closedir(folder);
  return true;
}

bool cbn_folder_is_empty(const char *path) {
  DIR *folder = opendir(path);
  size_t entries = 0;
  if (folder == NULL) return false;
  while (readdir(folder) != NULL) entries++;
  closedir(folder);
  return entries == 2; /* itself and the one above */
}

size_t cbn_folder_count(const char *path) {
  DIR *folder = opendir(path);
  size_t count = 0;
  if (folder == NULL) return 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) count += entry->d_type == DT_REG;
  closedir(folder);
  return count;
}

uint8_t *cbn_file_read(const char *path, size_t limit, size_t *size, cbn_error *error) {
  struct stat status;
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  uint8_t *bytes = NULL;
  *size = 0;
  if (file < 0 || fstat(file, &status) != 0) {
    cbn_error_set(error, "%s: cannot be read: %s", path, strerror(errno));
  } else if (!S_ISREG(status.st_mode)) {
    cbn_error_set(error, "%s: is no regular file", path);
  } else if ((uintmax_t)status.st_size > limit) {
    cbn_error_set(error, "%s: has %jd bytes, more than the %zu that are read", path, (intmax_t)status.st_size, limit);
  } else if ((bytes = malloc((size_t)status.st_size + 1)) == NULL) {
    cbn_error_set(error, "%s: no memory to read it", path);
  } else {
    const size_t whole = (size_t)status.st_size;
    ssize_t got = 1;
    while (got > 0 && *size < whole) {
      got = read(file, bytes + *size, whole - *size);
      if (got > 0) *size += (size_t)got;
    }
    if (got < 0) {
      cbn_error_set(error, "%s: cannot be read: %s", path, strerror(errno));
      free(bytes);
      bytes = NULL;
    }
  }
  if (file >= 0) close(file);
  return bytes;
}

bool cbn_file_keep(const char *path, const char *folder) {
  cbn_error error;
  size_t size;
  uint8_t *bytes = cbn_file_read(path, CBN_LONGEST_INPUT, &size, &error);
  if (bytes == NULL) return false;
  const cbn_path kept = cbn_path_of("%s/%016llx", folder, (unsigned long long)XXH3_64bits(bytes, size));
  const bool done = access(kept.text, F_OK) == 0 || cbn_write_file(kept.text, (const char *)bytes, size, &error);
  free(bytes);
  return done;
}
