#include "fuzz/out_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LEAST_FREE_KIB = 256 }; /* of the disk */

bool cbn_out_open(const char *out, int *lock, cbn_error *error) {
  const cbn_path file = cbn_path_of("%s/lock", out);
  char owner[32] = "";
  CBN_CHECK(strlen(out) > 0 && strlen(out) < PATH_MAX / 2, error, "--out: '%.100s' is no name for a folder", out);
  CBN_FORWARD(cbn_folder_make(out, error));
  CBN_CHECK(access(file.text, F_OK) == 0 || cbn_folder_is_empty(out), error,
            "%s: holds files, and they are not a fuzzing run's; name another folder", out);
  *lock = open(file.text, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  CBN_CHECK(*lock >= 0, error, "%s: cannot be written: %s", file.text, strerror(errno));
  if (flock(*lock, LOCK_EX | LOCK_NB) != 0) {
    const ssize_t length = pread(*lock, owner, sizeof owner - 1, 0);
    owner[length > 0 ? strcspn(owner, "\n") : 0] = '\0';
    CBN_FAIL(error, "%s: another run uses this folder (process %s)", out, owner);
  }
  const int length = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
  CBN_CHECK(ftruncate(*lock, 0) == 0 && pwrite(*lock, owner, (size_t)length, 0) == length, error,
            "%s: cannot be written: %s", file.text, strerror(errno));
  static const char *const folders[] = {"corpus", "afl", "work"};
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
    CBN_FORWARD(cbn_folder_make(cbn_path_of("%s/%s", out, folders[i]).text, error));
  return true;
}

bool cbn_out_has_space(const char *out, cbn_error *error) {
  struct statvfs disk;
  CBN_CHECK(statvfs(out, &disk) == 0, error, "%s: cannot be read: %s", out, strerror(errno));
  CBN_CHECK(disk.f_bavail * (disk.f_frsize / 1024) >= LEAST_FREE_KIB, error, "%s: the disk is full", out);
  return true;
}

/* --------------------------------------------------------------------------------------------------------- corpus */

cbn_path cbn_out_corpus(const char *out, const cbn_target *target) {
  return cbn_path_of("%s/corpus/%s", out, target->name);
}

typedef struct copying {
  cbn_path to;
  size_t unreadable;
} copying;

static bool import_one(void *context, const char *path, const char *name, size_t size) {
  copying *k = context;
  (void)name, (void)size;
  k->unreadable += !cbn_file_keep(path, k->to.text);
  return true;
}

bool cbn_out_import(const char *out, const char *corpus, const cbn_target *target, cbn_error *error) {
  copying k = {.to = cbn_out_corpus(out, target)};
  CBN_FORWARD(cbn_folder_make(k.to.text, error));
  if (corpus == NULL) return true;
  const cbn_path from = cbn_path_of("%s/%s", corpus, target->name);
  struct stat status;
  if (stat(from.text, &status) != 0 && errno == ENOENT) return true;
  CBN_CHECK(cbn_folder_visit(from.text, import_one, &k), error, "%s: cannot be read as a folder: %s", from.text,
            strerror(errno));
  if (k.unreadable > 0)
    fprintf(stderr, "%s: %zu files cannot be read, or are longer than %d bytes, and are left out\n", from.text,
            k.unreadable, CBN_LONGEST_INPUT);
  return true;
}

static bool is_same(void *context, const char *path, const char *name, size_t size) {
  const cbn_bytes *wanted = context;
  cbn_error error;
  size_t read = 0;
  (void)name;
  if (size != wanted->size) return true;
  uint8_t *bytes = cbn_file_read(path, size, &read, &error);
  if (bytes != NULL && read == size && memcmp(bytes, wanted->bytes, size) == 0) unlink(path);
  free(bytes);
  return true;
}

void cbn_out_forget(const char *out, const cbn_target *target, const char *path) {
  cbn_error error;
  cbn_bytes input;
  uint8_t *bytes = cbn_file_read(path, CBN_LONGEST_INPUT, &input.size, &error);
  input.bytes = bytes;
  if (bytes != NULL) cbn_folder_visit(cbn_out_corpus(out, target).text, is_same, &input);
  free(bytes);
}
