/* Strided tensors: shapes, memory, elements. */
#include <convbn/tensor.h>

#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/halves.h"

static const struct {
  const char *name;
  size_t size;
} types[] = {
    [CBN_F32] = {"f32", 4},
    [CBN_F64] = {"f64", 8},
    [CBN_F16] = {"f16", 2},
    [CBN_BF16] = {"bf16", 2},
};
enum { TYPES = sizeof types / sizeof types[0] };

const char *cbn_layout_name(enum cbn_layout layout) {
  static const char *const names[] = {[CBN_CONTIGUOUS] = "contiguous",
                                      [CBN_CHANNELS_LAST] = "channels_last",
                                      [CBN_STRIDED] = "strided",
                                      [CBN_MIXED] = "mixed",
                                      [CBN_PITCHED] = "pitched"};
  return names[layout];
}

size_t cbn_type_size(int32_t type) { return type >= 0 && type < TYPES ? types[type].size : 0; }

const char *cbn_type_name(int32_t type) { return type >= 0 && type < TYPES ? types[type].name : NULL; }

int32_t cbn_type_by_name(const char *name) {
  for (int32_t type = 0; type < TYPES; type++)
    if (strcmp(types[type].name, name) == 0) return type;
  return -1;
}

const char *cbn_role_name(int role) {
  static const char *const names[] = {
#define ROLE_NAME(NAME, name) #name,
      CBN_ROLES(ROLE_NAME)
#undef ROLE_NAME
  };
  return role >= 0 && role < CBN_ROLE_COUNT ? names[role] : NULL;
}

int64_t cbn_extent_product(int32_t rank, const int64_t *extent) {
  int64_t product = 1;
  bool empty = false;
  for (int32_t a = 0; a < rank; a++) {
    if (extent[a] < 0) return -1;
    if (extent[a] == 0) empty = true;
    else if (!cbn_multiply(product, extent[a], &product)) return -1;
  }
  return empty ? 0 : product;
}

int64_t cbn_tensor_count(const cbn_tensor *tensor) { return cbn_extent_product(tensor->rank, tensor->extent); }

bool cbn_tensor_describe(cbn_tensor *tensor, int32_t type, int32_t rank, const int64_t *extent,
                         enum cbn_layout layout) {
  const int64_t count = rank >= 1 && rank <= CBN_MAX_RANK ? cbn_extent_product(rank, extent) : -1;
  int64_t bytes;
  if (count < 0 || cbn_type_size(type) == 0 || !cbn_multiply(count, (int64_t)cbn_type_size(type), &bytes)) return false;
  *tensor = (cbn_tensor){.type = type, .rank = rank};
  memcpy(tensor->extent, extent, (size_t)rank * sizeof *extent);
  int64_t stride = 1; /* extents of 0 count as 1 here, so that strides stay positive and, as the rest fits, fit too */
  const bool pitched = layout == CBN_PITCHED && rank >= 2;
  const bool channels_last = pitched || (layout == CBN_CHANNELS_LAST && rank >= 2);
  if (channels_last) {
    tensor->stride[1] = 1;
    stride = extent[1] > 0 ? extent[1] : 1;
    if (pitched && !cbn_add(stride, 1, &stride)) return false;
  }
  if (layout == CBN_STRIDED) stride = 2;
  for (int32_t a = rank - 1; a >= 0; a--) {
    if (channels_last && a == 1) continue;
    tensor->stride[a] = stride;
    if (extent[a] > 0 && !cbn_multiply(stride, extent[a], &stride)) return false;
    if (layout == CBN_STRIDED && !cbn_add(stride, 3, &stride)) return false; /* no two axes are one */
  }
  return (layout != CBN_STRIDED && !pitched) || cbn_multiply(stride, (int64_t)cbn_type_size(type), &bytes);
}

int64_t cbn_tensor_bytes(const cbn_tensor *tensor) {
  if (cbn_tensor_count(tensor) <= 0) return 0;
  int64_t last = 0;
  for (int32_t a = 0; a < tensor->rank; a++) last += (tensor->extent[a] - 1) * tensor->stride[a];
  return (last + 1) * (int64_t)cbn_type_size(tensor->type);
}

bool cbn_tensor_allocate(cbn_tensor *tensor) {
  const size_t alignment = 64;
  const size_t bytes = ((size_t)cbn_tensor_bytes(tensor) / alignment + 1) * alignment;
  tensor->data = aligned_alloc(alignment, bytes);
  if (tensor->data != NULL) memset(tensor->data, 0, bytes);
  return tensor->data != NULL;
}

void cbn_tensor_release(cbn_tensor *tensor) {
  free(tensor->data);
  tensor->data = NULL;
}

void cbn_unravel(int32_t rank, const int64_t *extent, int64_t position, int64_t *index) {
  for (int32_t a = rank - 1; a >= 0; a--) {
    index[a] = position % extent[a];
    position /= extent[a];
  }
}

int64_t cbn_tensor_offset(const cbn_tensor *tensor, int64_t index) {
  int64_t offset = 0;
  for (int32_t a = tensor->rank - 1; a >= 0; a--) {
    offset += index % tensor->extent[a] * tensor->stride[a];
    index /= tensor->extent[a];
  }
  return offset;
}

static double load(int32_t type, const void *data, int64_t offset) {
  switch (type) {
  case CBN_F32: return (double)((const float *)data)[offset];
  case CBN_F64: return ((const double *)data)[offset];
  case CBN_F16: return cbn_f16_to_f64(((const uint16_t *)data)[offset]);
  default: return cbn_bf16_to_f64(((const uint16_t *)data)[offset]);
  }
}

static void store(int32_t type, void *data, int64_t offset, double value) {
  switch (type) {
  case CBN_F32: ((float *)data)[offset] = (float)value; break;
  case CBN_F64: ((double *)data)[offset] = value; break;
  case CBN_F16: ((uint16_t *)data)[offset] = cbn_f64_to_f16(value); break;
  default: ((uint16_t *)data)[offset] = cbn_f64_to_bf16(value); break;
  }
}

double cbn_tensor_load(const cbn_tensor *tensor, int64_t offset) { return load(tensor->type, tensor->data, offset); }

double cbn_type_round(int32_t type, double value) {
  uint64_t element = 0;
  store(type, &element, 0, value);
  return load(type, &element, 0);
}

double cbn_tensor_get(const cbn_tensor *tensor, int64_t index) {
  return load(tensor->type, tensor->data, cbn_tensor_offset(tensor, index));
}

void cbn_tensor_set(const cbn_tensor *tensor, int64_t index, double value) {
  store(tensor->type, tensor->data, cbn_tensor_offset(tensor, index), value);
}

/* ---- many elements in a row ---- */

/* A way through a tensor in row-major order, a row at a time: axes that follow each other in memory are one. */
typedef struct walk {
  int32_t rank;
  int64_t extent[CBN_MAX_RANK], stride[CBN_MAX_RANK], index[CBN_MAX_RANK];
  int64_t offset; /* of the element that comes next */
} walk;

static walk walk_from(const cbn_tensor *tensor, int64_t first) {
  walk w = {.rank = 1, .extent = {1}};
  for (int32_t a = 0; a < tensor->rank; a++) {
    const int64_t extent = tensor->extent[a], stride = tensor->stride[a];
    if (extent == 1) continue;
    int32_t last = w.rank - 1;
    const bool follows = w.stride[last] == extent * stride;
    if (w.extent[last] == 1) w.extent[last] = extent;
    else if (follows) w.extent[last] *= extent;
    else w.extent[++last] = extent;
    w.stride[last] = stride;
    w.rank = last + 1;
  }
  for (int32_t a = w.rank - 1; a >= 0 && first > 0; a--) {
    w.index[a] = first % w.extent[a];
    w.offset += w.index[a] * w.stride[a];
    first /= w.extent[a];
  }
  return w;
}

/* How many of `most` elements are left in the row. */
static int64_t row_length(const walk *w, int64_t most) {
  const int64_t left = w->extent[w->rank - 1] - w->index[w->rank - 1];
  return left < most ? left : most;
}

/* Goes on by `count` elements of the row; at its end to the next row, as an odometer does. */
static void advance(walk *w, int64_t count) {
  for (int32_t a = w->rank - 1; a >= 0; a--) {
    w->index[a] += count;
    w->offset += count * w->stride[a];
    if (w->index[a] < w->extent[a]) return;
    w->offset -= w->extent[a] * w->stride[a];
    w->index[a] = 0;
    count = 1;
  }
}

static void load_row(int32_t type, const void *data, int64_t offset, int64_t stride, int64_t count, double *values) {
  switch (type) {
  case CBN_F32:
    for (int64_t i = 0; i < count; i++) values[i] = load(CBN_F32, data, offset + i * stride);
    break;
  case CBN_F64:
    for (int64_t i = 0; i < count; i++) values[i] = load(CBN_F64, data, offset + i * stride);
    break;
  default:
    for (int64_t i = 0; i < count; i++) values[i] = load(type, data, offset + i * stride);
  }
}

static void store_row(int32_t type, void *data, int64_t offset, int64_t stride, int64_t count, const double *values) {
  switch (type) {
  case CBN_F32:
    for (int64_t i = 0; i < count; i++) store(CBN_F32, data, offset + i * stride, values[i]);
    break;
  case CBN_F64:
    for (int64_t i = 0; i < count; i++) store(CBN_F64, data, offset + i * stride, values[i]);
    break;
  default:
    for (int64_t i = 0; i < count; i++) store(type, data, offset + i * stride, values[i]);
  }
}

void cbn_tensor_read(const cbn_tensor *tensor, int64_t first, int64_t count, double *values) {
  walk w = walk_from(tensor, first);
  while (count > 0) {
    const int64_t row = row_length(&w, count);
    load_row(tensor->type, tensor->data, w.offset, w.stride[w.rank - 1], row, values);
    advance(&w, row);
    values += row;
    count -= row;
  }
}

void cbn_tensor_write(const cbn_tensor *tensor, int64_t first, int64_t count, const double *values) {
  walk w = walk_from(tensor, first);
  while (count > 0) {
    const int64_t row = row_length(&w, count);
    store_row(tensor->type, tensor->data, w.offset, w.stride[w.rank - 1], row, values);
    advance(&w, row);
    values += row;
    count -= row;
  }
}

static bool same_strides(const cbn_tensor *a, const cbn_tensor *b) {
  return memcmp(a->stride, b->stride, (size_t)a->rank * sizeof a->stride[0]) == 0;
}

/* True where the elements fill their memory without gaps. */
static bool is_dense(const cbn_tensor *tensor) {
  return cbn_tensor_bytes(tensor) == cbn_tensor_count(tensor) * (int64_t)cbn_type_size(tensor->type);
}

void cbn_tensor_copy(const cbn_tensor *to, const cbn_tensor *from) {
  const int64_t count = cbn_tensor_count(from);
  const size_t size = cbn_type_size(from->type);
  if (count == 0) return;
  if (same_strides(to, from) && is_dense(from)) {
    memcpy(to->data, from->data, (size_t)cbn_tensor_bytes(from));
    return;
  }
  int64_t index[CBN_MAX_RANK] = {0}, target = 0, source = 0;
  for (int64_t i = 0; i < count; i++) {
    memcpy((char *)to->data + (size_t)target * size, (const char *)from->data + (size_t)source * size, size);
    for (int32_t a = to->rank - 1; a >= 0; a--) { /* an odometer over the indices, both offsets kept in step */
      target += to->stride[a];
      source += from->stride[a];
      if (++index[a] < to->extent[a]) break;
      target -= to->stride[a] * to->extent[a];
      source -= from->stride[a] * from->extent[a];
      index[a] = 0;
    }
  }
}
