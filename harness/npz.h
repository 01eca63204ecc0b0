/* NumPy's .npz files (numpy.savez, savez_compressed): a ZIP archive of .npy files, each a named tensor.
 *
 * Files may be hostile: every size and offset of the archive is held against the file before it is followed, members
 * lie apart from each other, a member is inflated (zlib) into as many bytes as its directory entry states, no more and
 * no fewer, and its checksum must be right; what it inflates to is read as npy.h reads files. Encrypted and split
 * archives and other methods of compression are refused by name. */
#ifndef CBN_HARNESS_NPZ_H
#define CBN_HARNESS_NPZ_H

#include "harness/npy.h"

enum { CBN_NPZ_MEMBERS = 65535 }; /* of an archive, at most */

typedef struct cbn_npz_member {
  char name[200];    /* without .npy */
  cbn_tensor tensor; /* of the file's own type (CBN_NPY_OWN_TYPE), dense */
} cbn_npz_member;

typedef struct cbn_npz {
  size_t count;
  cbn_npz_member *members; /* in the order of the archive's directory */
} cbn_npz;

/* Reads the archive; its tensors take at most `limit_bytes` together. A scalar becomes a tensor of one axis. Messages
 * about a member begin with `FILE[NAME]: `. Released with cbn_npz_release; on failure there is nothing to release. */
bool cbn_npz_read(const char *path, int64_t limit_bytes, cbn_npz *npz, cbn_error *error);
bool cbn_npz_read_memory(const char *name, const void *bytes, size_t size, int64_t limit_bytes, cbn_npz *npz,
                         cbn_error *error);

/* Adds a dense copy of the tensor; refused where the name is there already, is empty or too long. */
bool cbn_npz_add(cbn_npz *npz, const char *name, const cbn_tensor *tensor, cbn_error *error);

/* The tensor of that name, NULL where there is none. */
const cbn_tensor *cbn_npz_find(const cbn_npz *npz, const char *name);

/* Writes it uncompressed, the same bytes for the same tensors, each as cbn_npy_write does: bf16 as '<f4'. What was at
 * `path` stays as it was on failure. An archive that would come near 4 GiB is refused. */
bool cbn_npz_write(const char *path, const cbn_npz *npz, cbn_error *error);

/* The same at the end of an open file that holds nothing; false, with errno, where that fails. */
bool cbn_npz_write_open(FILE *file, const cbn_npz *npz);

void cbn_npz_release(cbn_npz *npz);

#endif
