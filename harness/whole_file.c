#include "harness/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *cbn_path_shown(const char *path) {
  enum { SHOWN = 400 };
  const size_t length = strlen(path);
  return length > SHOWN ? path + length - SHOWN : path;
}

/* ---- reading ---- */

static bool read_bytes(int descriptor, char *bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t got = pread(descriptor, bytes + done, size - done, (off_t)done);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = EIO; /* it has become shorter */
    if (got <= 0) return false;
    done += (size_t)got;
  }
  return true;
}

static void *read_open(int descriptor, const char *path, const char *kind, size_t limit, size_t *size,
                       cbn_error *error) {
  struct stat status;
  char *bytes = NULL;
  if (fstat(descriptor, &status) != 0) {
    cbn_error_set(error, "%s: %s-file: cannot be read: %s", path, kind, strerror(errno));
  } else if (!S_ISREG(status.st_mode)) {
    cbn_error_set(error, "%s: %s-file: is no regular file; name one", path, kind);
  } else if ((uintmax_t)status.st_size > limit) {
    cbn_error_set(error, "%s: %s-file: has %jd bytes, more than %zu; split it", path, kind, (intmax_t)status.st_size,
                  limit);
  } else {
    *size = (size_t)status.st_size;
    bytes = malloc(*size + 1);
    if (bytes == NULL || !read_bytes(descriptor, bytes, *size)) {
      cbn_error_set(error, "%s: %s-file: cannot be read: %s", path, kind, strerror(errno));
      free(bytes);
      bytes = NULL;
    }
  }
  return bytes;
}

void *cbn_whole_file_read(const char *path, const char *kind, size_t limit, size_t *size, cbn_error *error) {
  const char *shown = cbn_path_shown(path);
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* or a FIFO would make it wait */
  if (descriptor < 0) {
    cbn_error_set(error, "%s: %s-file: cannot be read: %s", shown, kind, strerror(errno));
    return NULL;
  }
  void *bytes = read_open(descriptor, shown, kind, limit, size, error);
  close(descriptor);
  return bytes;
}

/* ---- writing ---- */

static bool write_partial(const char *path, const char *partial, const char *kind, cbn_file_writer *write,
                          const void *context, cbn_error *error) {
  FILE *file = fopen(partial, "wbe");
  CBN_CHECK(file != NULL, error, "%s: %s-file: cannot be written: %s", cbn_path_shown(path), kind, strerror(errno));
  bool written = write(file, context);
  int reason = errno;
  if (fclose(file) != 0 && written) {
    written = false;
    reason = errno;
  }
  if (written && rename(partial, path) == 0) return true;
  if (written) reason = errno;
  unlink(partial);
  CBN_FAIL(error, "%s: %s-file: cannot be written: %s", cbn_path_shown(path), kind, strerror(reason));
}

bool cbn_whole_file_write(const char *path, const char *kind, cbn_file_writer *write, const void *context,
                          cbn_error *error) {
  char *partial;
  CBN_CHECK(asprintf(&partial, "%s.partial", path) >= 0, error, "%s-memory: no memory for a path", kind);
  const bool written = write_partial(path, partial, kind, write, context, error);
  free(partial);
  return written;
}
