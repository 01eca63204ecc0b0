/* NumPy's .npy files (numpy.lib.format, versions 1.0, 2.0 and 3.0): one array of booleans, integers or floats.
 *
 * Files may be hostile: the header is read by a small parser of its own, its shape is held against the file's size
 * before anything is allocated, and every byte of the file must be accounted for. */
#ifndef CBN_HARNESS_NPY_H
#define CBN_HARNESS_NPY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <convbn/tensor.h>

#include "core/error.h"

/* Asks for the file's own type: f16, f32 and f64 as they are, booleans and integers as f64. */
enum { CBN_NPY_OWN_TYPE = -1 };

/* Reads `name`, a path relative to the folder of `case_file`: neither absolute nor with a `..` in it. The elements are
 * little-endian '<f2', '<f4', '<f8', '<i2', '<i4', '<i8', '<u2', '<u4', '<u8', '|i1', '|u1' or '|b1', of one to
 * CBN_MAX_RANK axes, in C or Fortran order; the tensor is dense and row-major, of `type` (enum cbn_type or
 * CBN_NPY_OWN_TYPE) and of at most `limit_bytes`. Every element must be one of that type exactly; a NaN stays a NaN.
 *
 * On success the caller releases the tensor with cbn_tensor_release. On failure there is nothing to release. */
bool cbn_npy_read(const char *case_file, const char *name, int32_t type, int64_t limit_bytes, cbn_tensor *tensor,
                  cbn_error *error);

/* The same from an open file, from its first byte; `name` is for messages, the descriptor stays open. */
bool cbn_npy_read_open(int descriptor, const char *name, int32_t type, int64_t limit_bytes, cbn_tensor *tensor,
                       cbn_error *error);

/* The same from a file that is in memory, where an array without axes, a scalar, is read with one of extent 1. */
bool cbn_npy_read_memory(const void *bytes, size_t size, const char *name, int32_t type, int64_t limit_bytes,
                         cbn_tensor *tensor, cbn_error *error);

/* Writes the tensor in version 1.0, C order: '<f4' for f32, '<f8' for f64, '<f2' for f16 ('<f4' for bf16, which NumPy
 * does not have). Replaces what was at `path`, which a failure leaves as it was; `PATH.partial` is in use meanwhile. */
bool cbn_npy_write(const char *path, const cbn_tensor *tensor, cbn_error *error);

/* The same at the end of an open file; false, with errno, where that fails. */
bool cbn_npy_write_open(FILE *file, const cbn_tensor *tensor);

#endif
