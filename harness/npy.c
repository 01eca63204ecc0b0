#include "harness/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/halves.h"
#include "harness/whole_file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are read and written as they lie in memory");

/* ---- element types ---- */

enum element { BOOLEAN, SIGNED, UNSIGNED, FLOATING };

static const struct dtype {
  const char *name;
  enum element element;
  int32_t own_type; /* what CBN_NPY_OWN_TYPE asks for */
  size_t size;
} dtypes[] = {
    {"<f2", FLOATING, CBN_F16, 2}, {"<f4", FLOATING, CBN_F32, 4}, {"<f8", FLOATING, CBN_F64, 8},
    {"|b1", BOOLEAN, CBN_F64, 1},  {"|i1", SIGNED, CBN_F64, 1},   {"<i2", SIGNED, CBN_F64, 2},
    {"<i4", SIGNED, CBN_F64, 4},   {"<i8", SIGNED, CBN_F64, 8},   {"|u1", UNSIGNED, CBN_F64, 1},
    {"<u2", UNSIGNED, CBN_F64, 2}, {"<u4", UNSIGNED, CBN_F64, 4}, {"<u8", UNSIGNED, CBN_F64, 8},
};

static const struct dtype *dtype_by_name(const char *name) {
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (strcmp(dtypes[i].name, name) == 0) return &dtypes[i];
  return NULL;
}

/* ---- the header: {'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), } ---- */

enum { HEADER_LIMIT = 10000 }; /* NumPy's own */

struct header {
  const struct dtype *dtype;
  bool fortran_order;
  int32_t rank;
  int64_t extent[CBN_MAX_RANK];
  int64_t length; /* of everything before the elements */
};

struct parser {
  const char *file, *begin, *at; /* ends with a NUL */
  cbn_error *error;
};

static bool fail_header(const struct parser *parser, const char *expected) {
  CBN_FAIL(parser->error,
           "%s: npy-header: %s is missing at character %zu of the header; write the file with numpy.save", parser->file,
           expected, (size_t)(parser->at - parser->begin) + 1);
}

static void skip_space(struct parser *parser) {
  while (*parser->at == ' ' || *parser->at == '\n') parser->at++;
}

/* Takes the text, if it stands here, and the space around it. */
static bool take(struct parser *parser, const char *text) {
  skip_space(parser);
  size_t length = strlen(text);
  if (strncmp(parser->at, text, length) != 0) return false;
  parser->at += length;
  skip_space(parser);
  return true;
}

/* Takes a quoted string without escapes. */
static bool take_string(struct parser *parser, char *string, size_t size, const char *expected) {
  char quote = *parser->at;
  if (quote != '\'' && quote != '"') return fail_header(parser, expected);
  const char *text = parser->at + 1;
  size_t length = 0;
  while (text[length] != quote && text[length] > ' ' && text[length] < 0x7F && text[length] != '\\') length++;
  if (text[length] != quote || length >= size) return fail_header(parser, expected);
  memcpy(string, text, length);
  string[length] = '\0';
  parser->at = text + length + 1;
  return true;
}

static bool take_dtype(struct parser *parser, struct header *header) {
  char name[24] = "a structured type";
  if (*parser->at != '[' && *parser->at != '(') CBN_FORWARD(take_string(parser, name, sizeof name, "a quoted type"));
  header->dtype = dtype_by_name(name);
  CBN_CHECK(header->dtype != NULL, parser->error,
            "%s: npy-type: the elements are %s; write <f2, <f4, <f8, |b1 or little-endian integers up to 8 bytes",
            parser->file, name);
  return true;
}

static bool take_order(struct parser *parser, struct header *header) {
  header->fortran_order = take(parser, "True");
  return header->fortran_order || take(parser, "False") || fail_header(parser, "True or False");
}

static bool take_extent(struct parser *parser, struct header *header) {
  const char *digits = parser->at;
  int64_t extent = 0;
  if (*digits < '0' || *digits > '9') return fail_header(parser, "an extent");
  for (; *parser->at >= '0' && *parser->at <= '9'; parser->at++)
    CBN_CHECK(cbn_multiply(extent, 10, &extent) && cbn_add(extent, *parser->at - '0', &extent), parser->error,
              "%s: npy-shape: extent %d is beyond 63 bits; write a smaller array", parser->file, header->rank);
  if (*digits == '0' && parser->at - digits > 1) {
    parser->at = digits;
    return fail_header(parser, "an extent without leading zeros");
  }
  CBN_CHECK(header->rank < CBN_MAX_RANK, parser->error, "%s: npy-shape: more than %d axes; reshape the array",
            parser->file, CBN_MAX_RANK);
  header->extent[header->rank++] = extent;
  return true;
}

/* Takes a tuple: (), (3,), (3, 4) or (3, 4,). */
static bool take_shape(struct parser *parser, struct header *header) {
  if (!take(parser, "(")) return fail_header(parser, "a shape such as (2, 3)");
  bool closed = take(parser, ")"), comma = true;
  while (!closed) {
    if (!comma) return fail_header(parser, "',' or ')'");
    CBN_FORWARD(take_extent(parser, header));
    comma = take(parser, ",");
    closed = (comma || header->rank > 1) && take(parser, ")");
  }
  return true;
}

static bool take_entry(struct parser *parser, struct header *header, bool seen[3]) {
  static const char *const keys[] = {"descr", "fortran_order", "shape"};
  static bool (*const takers[])(struct parser *, struct header *) = {take_dtype, take_order, take_shape};
  const char *expected = "'descr', 'fortran_order' or 'shape', each once,", *begin = parser->at;
  char key[16];
  CBN_FORWARD(take_string(parser, key, sizeof key, expected));
  size_t k = 0;
  while (k < 3 && strcmp(key, keys[k]) != 0) k++;
  if (k == 3 || seen[k]) {
    parser->at = begin;
    return fail_header(parser, expected);
  }
  seen[k] = true;
  if (!take(parser, ":")) return fail_header(parser, "':'");
  return takers[k](parser, header);
}

static bool parse_dictionary(struct parser *parser, size_t length, struct header *header) {
  bool seen[3] = {false};
  if (!take(parser, "{")) return fail_header(parser, "'{'");
  bool closed = take(parser, "}");
  while (!closed) {
    CBN_FORWARD(take_entry(parser, header, seen));
    bool comma = take(parser, ",");
    closed = take(parser, "}");
    if (!closed && !comma) return fail_header(parser, "',' or '}'");
  }
  if (!seen[0] || !seen[1] || !seen[2]) return fail_header(parser, "one of 'descr', 'fortran_order' and 'shape'");
  return parser->at == parser->begin + length || fail_header(parser, "the end");
}

/* ---- reading ---- */

struct source {
  const unsigned char *bytes; /* in memory; NULL: the file with that descriptor */
  int descriptor;
  const char *name;
  int64_t size;
  bool scalars; /* an array without axes gets one, of extent 1 */
  cbn_error *error;
};

static bool read_exactly(const struct source *source, void *bytes, size_t count, int64_t offset) {
  if (source->bytes != NULL) {
    CBN_CHECK((int64_t)count <= source->size - offset, source->error,
              "%s: npy-size: the file ends after %" PRId64 " bytes; write it whole", source->name, source->size);
    memcpy(bytes, source->bytes + offset, count);
    return true;
  }
  for (size_t done = 0; done < count;) {
    ssize_t got = pread(source->descriptor, (char *)bytes + done, count - done, (off_t)offset + (off_t)done);
    if (got < 0 && errno == EINTR) continue;
    CBN_CHECK(got >= 0, source->error, "%s: npy-file: cannot be read: %s", source->name, strerror(errno));
    CBN_CHECK(got > 0, source->error, "%s: npy-size: the file ends after %" PRId64 " bytes; write it whole",
              source->name, offset + (int64_t)done);
    done += (size_t)got;
  }
  return true;
}

static bool open_source(struct source *source) {
  struct stat status;
  CBN_CHECK(fstat(source->descriptor, &status) == 0, source->error, "%s: npy-file: cannot be read: %s", source->name,
            strerror(errno));
  CBN_CHECK(S_ISREG(status.st_mode), source->error, "%s: npy-file: is no regular file; name one", source->name);
  source->size = (int64_t)status.st_size;
  return true;
}

/* Magic, version, the header's length in two bytes (version 1) or four, the dictionary. */
static bool read_header(const struct source *source, struct header *header) {
  unsigned char start[12] = {0};
  CBN_FORWARD(read_exactly(source, start, 10, 0));
  CBN_CHECK(memcmp(start, "\x93NUMPY", 6) == 0, source->error,
            "%s: npy-header: does not begin as a .npy file; write it with numpy.save", source->name);
  CBN_CHECK(start[6] >= 1 && start[6] <= 3 && start[7] == 0, source->error,
            "%s: npy-header: version %d.%d; write version 1.0, 2.0 or 3.0", source->name, start[6], start[7]);
  bool wide = start[6] > 1;
  if (wide) CBN_FORWARD(read_exactly(source, start + 10, 2, 10));
  size_t length = (size_t)start[8] | (size_t)start[9] << 8 | (size_t)start[10] << 16 | (size_t)start[11] << 24;
  CBN_CHECK(length <= HEADER_LIMIT, source->error,
            "%s: npy-header: the header says it has %zu bytes, more than %d; write the file with numpy.save",
            source->name, length, HEADER_LIMIT);
  header->length = (wide ? 12 : 10) + (int64_t)length;
  char text[HEADER_LIMIT + 1];
  CBN_FORWARD(read_exactly(source, text, length, wide ? 12 : 10));
  text[length] = '\0';
  struct parser parser = {.file = source->name, .begin = text, .at = text, .error = source->error};
  return parse_dictionary(&parser, length, header);
}

/* Holds the shape against the file's size and the limit, then describes the tensor. */
static bool describe(const struct source *source, const struct header *header, int32_t type, int64_t limit_bytes,
                     cbn_tensor *tensor) {
  CBN_CHECK(header->rank > 0, source->error, "%s: npy-shape: the array has no axis; reshape it to (1,)", source->name);
  int64_t count = cbn_extent_product(header->rank, header->extent), bytes, needed, size;
  CBN_CHECK(
      count >= 0 && cbn_multiply(count, (int64_t)header->dtype->size, &bytes) && cbn_add(bytes, header->length, &size),
      source->error, "%s: npy-shape: the shape has more bytes than 63 bits count; write a smaller array", source->name);
  CBN_CHECK(size == source->size, source->error,
            "%s: npy-size: the file has %" PRId64 " bytes and its header asks for %" PRId64 "; write it whole",
            source->name, source->size, size);
  if (type == CBN_NPY_OWN_TYPE) type = header->dtype->own_type;
  CBN_CHECK(cbn_type_size(type) > 0 && cbn_multiply(count, (int64_t)cbn_type_size(type), &needed), source->error,
            "%s: npy-type: type number %d is none", source->name, type);
  CBN_CHECK(needed <= limit_bytes, source->error,
            "%s: npy-memory: the tensor takes %" PRId64 " bytes, and %" PRId64 " are left; write a smaller array",
            source->name, needed, limit_bytes);
  CBN_CHECK(cbn_tensor_describe(tensor, type, header->rank, header->extent, CBN_CONTIGUOUS), source->error,
            "%s: npy-shape: the strides overflow 63 bits; write a smaller array", source->name);
  return true;
}

static int64_t load_signed(const unsigned char *bytes, size_t size) {
  uint64_t bits = 0;
  memcpy(&bits, bytes, size);
  unsigned unused = 64 - 8 * (unsigned)size;
  return (int64_t)(bits << unused) >> unused; /* an arithmetic shift, which copies the sign */
}

static double load_float(const unsigned char *bytes, size_t size) {
  uint16_t half;
  float single;
  double number;
  switch (size) {
  case 2: memcpy(&half, bytes, size); return cbn_f16_to_f64(half);
  case 4: memcpy(&single, bytes, size); return (double)single;
  default: memcpy(&number, bytes, size); return number;
  }
}

/* Loads one element. An integer is a double exactly if it comes back from it; 2^63 and 2^64, to which the largest
 * integers round, would leave the integer type. */
static double load(const struct dtype *dtype, const unsigned char *bytes, bool *exact) {
  *exact = true;
  if (dtype->element == FLOATING) return load_float(bytes, dtype->size);
  if (dtype->element == SIGNED) {
    int64_t integer = load_signed(bytes, dtype->size);
    double value = (double)integer;
    *exact = value < 0x1p63 && (int64_t)value == integer;
    return value;
  }
  uint64_t integer = 0;
  memcpy(&integer, bytes, dtype->size);
  double value = (double)integer;
  *exact = value < 0x1p64 && (uint64_t)value == integer && (dtype->element != BOOLEAN || integer <= 1);
  return value;
}

static void print_element(const struct dtype *dtype, const unsigned char *bytes, char *text, size_t size) {
  uint64_t integer = 0;
  if (dtype->element == FLOATING) {
    snprintf(text, size, "%.17g", load_float(bytes, dtype->size));
  } else if (dtype->element == SIGNED) {
    snprintf(text, size, "%" PRId64, load_signed(bytes, dtype->size));
  } else {
    memcpy(&integer, bytes, dtype->size);
    snprintf(text, size, "%" PRIu64, integer);
  }
}

static bool fail_element(const struct source *source, const struct header *header, const unsigned char *bytes,
                         const int64_t *index, int32_t type) {
  char element[32], place[CBN_MAX_RANK * 22] = "";
  size_t length = 0;
  print_element(header->dtype, bytes, element, sizeof element);
  for (int32_t axis = 0; axis < header->rank; axis++)
    length += (size_t)snprintf(place + length, sizeof place - length, "%s%" PRId64, axis > 0 ? ", " : "", index[axis]);
  if (header->dtype->element == BOOLEAN)
    CBN_FAIL(source->error, "%s: npy-value: element [%s] is %s, no boolean; write 0 or 1", source->name, place,
             element);
  CBN_FAIL(source->error, "%s: npy-value: element [%s] is %s, which %s does not hold exactly; write a value it holds",
           source->name, place, element, cbn_type_name(type));
}

/* Steps to the next element in the order of the file, and keeps its row-major position. */
static void step(const struct header *header, const cbn_tensor *tensor, int64_t *index, int64_t *position) {
  for (int32_t i = 0; i < header->rank; i++) {
    int32_t axis = header->fortran_order ? i : header->rank - 1 - i;
    *position += tensor->stride[axis];
    if (++index[axis] < header->extent[axis]) return;
    *position -= tensor->stride[axis] * header->extent[axis];
    index[axis] = 0;
  }
}

static bool same_number(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* Reads the elements one by one, and each back from the tensor. */
static bool convert(const struct source *source, const struct header *header, const cbn_tensor *tensor) {
  unsigned char chunk[1 << 16]; /* a whole number of elements of any size */
  const cbn_tensor row = {.type = tensor->type, .rank = 1, .extent = {INT64_MAX}, .stride = {1}, .data = tensor->data};
  int64_t index[CBN_MAX_RANK] = {0}, position = 0, size = (int64_t)header->dtype->size;
  for (int64_t offset = header->length; offset < source->size; offset += (int64_t)sizeof chunk) {
    int64_t left = source->size - offset, count = left < (int64_t)sizeof chunk ? left : (int64_t)sizeof chunk;
    CBN_FORWARD(read_exactly(source, chunk, (size_t)count, offset));
    for (const unsigned char *bytes = chunk; bytes < chunk + count; bytes += size) {
      bool exact;
      double value = load(header->dtype, bytes, &exact);
      cbn_tensor_set(&row, position, value);
      if (!exact || !same_number(cbn_tensor_get(&row, position), value))
        return fail_element(source, header, bytes, index, tensor->type);
      step(header, tensor, index, &position);
    }
  }
  return true;
}

static bool read_elements(const struct source *source, const struct header *header, const cbn_tensor *tensor) {
  bool as_it_lies = header->dtype->element == FLOATING && header->dtype->own_type == tensor->type;
  if (as_it_lies && !header->fortran_order)
    return read_exactly(source, tensor->data, (size_t)(source->size - header->length), header->length);
  return convert(source, header, tensor);
}

static bool read_source(const struct source *source, int32_t type, int64_t limit_bytes, cbn_tensor *tensor) {
  struct header header = {0};
  cbn_tensor result;
  CBN_FORWARD(read_header(source, &header));
  if (source->scalars && header.rank == 0) header.extent[header.rank++] = 1;
  CBN_FORWARD(describe(source, &header, type, limit_bytes, &result));
  CBN_CHECK(cbn_tensor_allocate(&result), source->error,
            "%s: npy-memory: no memory for %" PRId64 " bytes; write a smaller array", source->name,
            cbn_tensor_bytes(&result));
  if (!read_elements(source, &header, &result)) {
    cbn_tensor_release(&result);
    return false;
  }
  *tensor = result;
  return true;
}

bool cbn_npy_read_open(int descriptor, const char *name, int32_t type, int64_t limit_bytes, cbn_tensor *tensor,
                       cbn_error *error) {
  struct source source = {.descriptor = descriptor, .name = name, .error = error};
  return open_source(&source) && read_source(&source, type, limit_bytes, tensor);
}

bool cbn_npy_read_memory(const void *bytes, size_t size, const char *name, int32_t type, int64_t limit_bytes,
                         cbn_tensor *tensor, cbn_error *error) {
  const struct source source = {.bytes = bytes, .name = name, .size = (int64_t)size, .scalars = true, .error = error};
  return read_source(&source, type, limit_bytes, tensor);
}

/* Whether the path stays below the folder that it is relative to. */
static bool stays_below(const char *name) {
  if (*name == '\0' || *name == '/') return false;
  for (const char *part = name; part != NULL; part = strchr(part, '/')) {
    if (*part == '/') part++;
    if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) return false;
  }
  return true;
}

bool cbn_npy_read(const char *case_file, const char *name, int32_t type, int64_t limit_bytes, cbn_tensor *tensor,
                  cbn_error *error) {
  CBN_CHECK(stays_below(name), error,
            "%.400s: npy-path: must be relative and without '..'; put the file beside the case file, or below it",
            *name != '\0' ? name : "''");
  const char *slash = strrchr(case_file, '/');
  int folder = slash != NULL ? (int)(slash - case_file) + 1 : 0;
  char *path;
  CBN_CHECK(asprintf(&path, "%.*s%s", folder, case_file, name) >= 0, error, "npy-memory: no memory for a path");
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* or a FIFO would make it wait */
  const char *shown = cbn_path_shown(path);
  bool read = descriptor >= 0 ? cbn_npy_read_open(descriptor, shown, type, limit_bytes, tensor, error)
                              : cbn_error_set(error, "%s: npy-file: cannot be read: %s", shown, strerror(errno));
  if (descriptor >= 0) close(descriptor);
  free(path);
  return read;
}

/* ---- writing ---- */

static bool write_header(FILE *file, const cbn_tensor *tensor) {
  const char *dtype = tensor->type == CBN_F64 ? "<f8" : tensor->type == CBN_F16 ? "<f2" : "<f4";
  char shape[CBN_MAX_RANK * 22] = "", text[512];
  size_t length = 0;
  for (int32_t axis = 0; axis < tensor->rank; axis++)
    length += (size_t)snprintf(shape + length, sizeof shape - length, axis > 0 ? " %" PRId64 "," : "%" PRId64 ",",
                               tensor->extent[axis]);
  if (tensor->rank > 1) shape[length - 1] = '\0'; /* as NumPy: a comma behind a single extent only */
  int used = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtype, shape);
  int padded = (10 + used + 1 + 63) / 64 * 64 - 10; /* the elements begin at a multiple of 64 */
  const unsigned char start[] = {
      0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(padded & 0xFF), (unsigned char)(padded >> 8)};
  return fwrite(start, 1, sizeof start, file) == sizeof start && fprintf(file, "%-*s\n", padded - 1, text) == padded;
}

static bool write_elements(FILE *file, const cbn_tensor *tensor) {
  size_t size = cbn_type_size(tensor->type);
  int64_t count = cbn_tensor_count(tensor);
  for (int64_t i = 0; i < count; i++) {
    float widened = tensor->type == CBN_BF16 ? (float)cbn_tensor_get(tensor, i) : 0;
    const void *element = &widened;
    if (tensor->type != CBN_BF16) element = (const char *)tensor->data + (size_t)cbn_tensor_offset(tensor, i) * size;
    size_t bytes = tensor->type != CBN_BF16 ? size : sizeof widened;
    if (fwrite(element, 1, bytes, file) != bytes) return false;
  }
  return true;
}

bool cbn_npy_write_open(FILE *file, const cbn_tensor *tensor) {
  return write_header(file, tensor) && write_elements(file, tensor);
}

static bool write_tensor(FILE *file, const void *tensor) { return cbn_npy_write_open(file, tensor); }

bool cbn_npy_write(const char *path, const cbn_tensor *tensor, cbn_error *error) {
  return cbn_whole_file_write(path, "npy", write_tensor, tensor, error);
}
