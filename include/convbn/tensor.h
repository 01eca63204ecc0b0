/* convbn/tensor.h - strided tensors: shapes, memory, elements. The struct itself is in convbn/engine.h. */
#ifndef CONVBN_TENSOR_H
#define CONVBN_TENSOR_H

#include <convbn/engine.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Physical orders of the logical axes (N, C, spatial...). */
enum cbn_layout {
  CBN_CONTIGUOUS = 0,   /* row-major: NCHW */
  CBN_CHANNELS_LAST = 1, /* NHWC: C runs fastest, then the spatial axes, then N */
  CBN_STRIDED = 2,       /* a view: row-major, every second element, with a gap of three behind each axis */
  CBN_MIXED = 3,         /* of a call, not of a tensor: each of its tensors has another one of the above */
  CBN_PITCHED = 4        /* channels last, with a gap of one behind the channels: pixels are C + 1 apart */
};

/* "contiguous", "channels_last", "strided", "mixed", "pitched". */
const char *cbn_layout_name(enum cbn_layout layout);

/* Bytes of one element; 0 for a number that is no type. */
size_t cbn_type_size(int32_t type);

/* "f32", "f64", "f16", "bf16"; NULL for a number that is no type. */
const char *cbn_type_name(int32_t type);

/* The type of that name, -1 if there is none. */
int32_t cbn_type_by_name(const char *name);

/* "input", "running_mean", ... */
const char *cbn_role_name(int role);

/* The number of elements, or -1 where the product overflows 63 bits or an extent is negative. */
int64_t cbn_extent_product(int32_t rank, const int64_t *extent);

/* The number of elements of a tensor whose extents are known to be valid. */
int64_t cbn_tensor_count(const cbn_tensor *tensor);

/* Describes a tensor without memory (data = NULL): extents as given, strides by `layout`. False where the byte
 * count overflows 63 bits, an extent is negative or the rank is none. */
bool cbn_tensor_describe(cbn_tensor *tensor, int32_t type, int32_t rank, const int64_t *extent, enum cbn_layout layout);

/* The number of bytes from the first to behind the last element of a tensor with non-negative strides. */
int64_t cbn_tensor_bytes(const cbn_tensor *tensor);

/* Allocates `data` for a described tensor, zeroed, 64-byte aligned, at least one byte. False without memory. Released
 * with cbn_tensor_release. */
bool cbn_tensor_allocate(cbn_tensor *tensor);
void cbn_tensor_release(cbn_tensor *tensor);

/* The offset in elements of the row-major logical position `index` (0 <= index < count). */
int64_t cbn_tensor_offset(const cbn_tensor *tensor, int64_t index);

/* Reads the element at an offset, counted in elements. */
double cbn_tensor_load(const cbn_tensor *tensor, int64_t offset);

/* `value` rounded to that type, to nearest even. */
double cbn_type_round(int32_t type, double value);

/* Reads and writes the element at row-major logical position `index`; writing rounds to nearest even. */
double cbn_tensor_get(const cbn_tensor *tensor, int64_t index);
void cbn_tensor_set(const cbn_tensor *tensor, int64_t index, double value);

/* The same for `count` elements from row-major logical position `first` on: `values[0]` is that of position `first`. */
void cbn_tensor_read(const cbn_tensor *tensor, int64_t first, int64_t count, double *values);
void cbn_tensor_write(const cbn_tensor *tensor, int64_t first, int64_t count, const double *values);

/* Copies the elements of `from` to `to`: same type and extents, any strides. */
void cbn_tensor_copy(const cbn_tensor *to, const cbn_tensor *from);

/* Splits a row-major logical position into indices, `index[0..rank-1]`. */
void cbn_unravel(int32_t rank, const int64_t *extent, int64_t position, int64_t *index);

#ifdef __cplusplus
}
#endif
#endif
