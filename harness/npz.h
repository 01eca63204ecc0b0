/* NumPy's .npz files (numpy.savez, savez_compressed): a ZIP archive of .npy files, each a named tensor.
 *
 * Files may be hostile: sizes and offsets of the archive are held against the file, a member is inflated (zlib) into as many bytes as its directory
 * entry states and no more, members are read by npy.h; limits on members, on their bytes and on all together. Encrypted, split and ZIP64
 * archives beyond the limits are refused by name. */
#ifndef CBN_HARNESS_NPZ_H
#define CBN_HARNESS_NPZ_H

#include "harness/npy.h"

typedef struct cbn_npz_member {
  char name[200];    /* without .npy */
  cbn_tensor tensor; /* of the file's own type, dense */
} cbn_npz_member;

typedef struct cbn_npz {
  size_t count;
  cbn_npz_member *members; /* in the file's order */
} cbn_npz;

bool cbn_npz_read(const char *path, int64_t limit_bytes, cbn_npz *npz, cbn_error *error);
bool cbn_npz_read_memory(const char *name, const void *bytes, size_t size, int64_t limit_bytes, cbn_npz *npz,
                         cbn_error *error);

/* Adds a copy of the tensor; refused where the name is there already. */
bool cbn_npz_add(cbn_npz *npz, const char *name, const cbn_tensor *tensor, cbn_error *error);
const cbn_tensor *cbn_npz_find(const cbn_npz *npz, const char *name);

/* Writes it uncompressed, as cbn_npy_write does: what was at `path` stays as it was on failure. */
bool cbn_npz_write(const char *path, const cbn_npz *npz, cbn_error *error);
void cbn_npz_release(cbn_npz *npz);

#endif
