/* tests/test_npy.c - .npy files, byte by byte after numpy.lib.format's description of the format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/npy.h"
#include "tests/random_problem.h"

/* ---- failures of the system ---- */

static enum { WORKS, NO_MEMORY, READ_FAILS, READ_STUTTERS, WRITE_FAILS, CLOSE_FAILS, RENAME_FAILS } weather;
static int writes_left; /* before one fails, in WRITE_FAILS */

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  return weather == NO_MEMORY ? NULL : __real_aligned_alloc(alignment, size);
}

ssize_t __real_pread(int descriptor, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int descriptor, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int descriptor, void *bytes, size_t count, off_t offset) {
  static int turn;
  if (weather == READ_FAILS || (weather == READ_STUTTERS && turn++ % 2 == 0)) {
    errno = weather == READ_FAILS ? EIO : EINTR;
    return -1;
  }
  return __real_pread(descriptor, bytes, weather == READ_STUTTERS ? 1 : count, offset);
}

/* What pread is where the compiler knows the buffer's size and checks it. */
ssize_t __wrap___pread_chk(int descriptor, void *bytes, size_t count, off_t offset, size_t size);
ssize_t __wrap___pread_chk(int descriptor, void *bytes, size_t count, off_t offset, size_t size) {
  assert_true(count <= size);
  return __wrap_pread(descriptor, bytes, count, offset);
}

size_t __real_fwrite(const void *bytes, size_t size, size_t count, FILE *file);
size_t __wrap_fwrite(const void *bytes, size_t size, size_t count, FILE *file);
size_t __wrap_fwrite(const void *bytes, size_t size, size_t count, FILE *file) {
  if (weather == WRITE_FAILS && writes_left-- == 0) {
    errno = ENOSPC;
    return 0;
  }
  return __real_fwrite(bytes, size, count, file);
}

int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);
int __wrap_fclose(FILE *file) {
  int result = __real_fclose(file);
  if (weather != CLOSE_FAILS) return result;
  errno = EDQUOT;
  return EOF;
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
  if (weather != RENAME_FAILS) return __real_rename(from, to);
  errno = EACCES;
  return -1;
}

/* ---- files in memory ---- */

/* The bytes of a file. */
struct bytes {
  unsigned char at[4096];
  size_t length;
};

static void add(struct bytes *file, const void *bytes, size_t count) {
  assert_true(file->length + count <= sizeof file->at);
  memcpy(file->at + file->length, bytes, count);
  file->length += count;
}

/* A file of the version with this dictionary, and these bytes for its elements. */
static struct bytes npy(int version, const char *dictionary, const void *elements, size_t count) {
  struct bytes file = {.length = 0};
  size_t length = strlen(dictionary);
  const unsigned char start[] = {
      0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0, (unsigned char)length, (unsigned char)(length >> 8),
      0,    0};
  add(&file, start, version == 1 ? 10 : 12);
  add(&file, dictionary, length);
  if (count > 0) add(&file, elements, count);
  return file;
}

/* Reads the bytes as a file; true with the tensor, or false with the error. */
static bool read_bytes(const struct bytes *file, int32_t type, int64_t limit, cbn_tensor *tensor, cbn_error *error) {
  int descriptor = memfd_create("npy", MFD_CLOEXEC);
  assert_true(descriptor >= 0);
  assert_int_equal(write(descriptor, file->at, file->length), file->length);
  bool read = cbn_npy_read_open(descriptor, "a.npy", type, limit, tensor, error);
  assert_int_equal(close(descriptor), 0);
  return read;
}

static cbn_tensor read_well(const struct bytes *file, int32_t type) {
  cbn_tensor tensor;
  cbn_error error;
  if (!read_bytes(file, type, 1 << 20, &tensor, &error)) fail_msg("%s", error.text);
  return tensor;
}

static void assert_refused(const struct bytes *file, int32_t type, const char *begin, const char *word) {
  cbn_tensor tensor;
  cbn_error error;
  if (read_bytes(file, type, 1 << 20, &tensor, &error)) {
    cbn_tensor_release(&tensor);
    fail_msg("%.*s: read, but expected %s", (int)file->length, (const char *)file->at, begin);
  }
  if (strncmp(error.text, "a.npy: ", 7) != 0 || strncmp(error.text + 7, begin, strlen(begin)) != 0 ||
      strstr(error.text, word) == NULL)
    fail_msg("expected %s ... %s, got %s", begin, word, error.text);
}

/* ---- what reads ---- */

static void assert_elements(const cbn_tensor *tensor, const double *expected, int64_t count) {
  assert_int_equal(cbn_tensor_count(tensor), count);
  for (int64_t i = 0; i < count; i++) {
    double got = cbn_tensor_get(tensor, i);
    if (got != expected[i] && !(isnan(got) && isnan(expected[i]))) fail_msg("element %d: %a", (int)i, got);
    if (signbit(got) != signbit(expected[i]) && !isnan(got)) fail_msg("element %d: sign", (int)i);
  }
}

static void every_type_reads(void **state) {
  (void)state;
  static const struct {
    const char *dtype, *elements;
    size_t size;
    int32_t own_type;
    double first, second;
  } types[] = {
      {"<f4", "\x00\x00\xC0\x3F\x00\x00\x80\xFF", 4, CBN_F32, 1.5, -INFINITY},
      {"<f8", "\0\0\0\0\0\0\xF8\x3F\0\0\0\0\0\0\0\x80", 8, CBN_F64, 1.5, -0.0},
      {"<f2", "\x00\x3E\x01\x00", 2, CBN_F16, 1.5, 0x1p-24},
      {"|b1", "\x01\x00", 1, CBN_F64, 1, 0},
      {"|i1", "\x80\x7F", 1, CBN_F64, -128, 127},
      {"|u1", "\x80\xFF", 1, CBN_F64, 128, 255},
      {"<i2", "\x00\x80\xFE\xFF", 2, CBN_F64, -32768, -2},
      {"<u2", "\x00\x80\xFE\xFF", 2, CBN_F64, 32768, 65534},
      {"<i4", "\x00\x00\x00\x80\x01\x02\x00\x00", 4, CBN_F64, -2147483648., 513},
      {"<u4", "\x00\x00\x00\x80\xFF\xFF\xFF\xFF", 4, CBN_F64, 2147483648., 4294967295.},
      {"<i8", "\0\0\0\0\0\0\0\x80\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8, CBN_F64, -0x1p63, -1},
      {"<u8", "\0\0\0\0\0\0\0\x80\x03\0\0\0\0\0\0\0", 8, CBN_F64, 0x1p63, 3},
  };
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    for (int version = 1; version <= 3; version++)
      for (int fortran = 0; fortran < 2; fortran++) {
        char dictionary[128];
        snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': %s, 'shape': (2,), }     \n",
                 types[i].dtype, fortran ? "True" : "False");
        struct bytes file = npy(version, dictionary, types[i].elements, 2 * types[i].size);
        cbn_tensor tensor = read_well(&file, CBN_NPY_OWN_TYPE);
        assert_int_equal(tensor.type, types[i].own_type);
        assert_int_equal(tensor.rank, 1);
        assert_int_equal(tensor.extent[0], 2);
        assert_elements(&tensor, (double[]){types[i].first, types[i].second}, 2);
        cbn_tensor_release(&tensor);
      }
}

/* The elements 0..5 of a (2, 3) array, and 0..23 of a (2, 3, 4) one: in Fortran order the first axis runs fastest. */
static void both_orders_read(void **state) {
  (void)state;
  unsigned char counting[24];
  for (unsigned char i = 0; i < 24; i++) counting[i] = i;
  struct bytes file = npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}", counting, 6);
  cbn_tensor tensor = read_well(&file, CBN_F32);
  assert_int_equal(tensor.type, CBN_F32);
  assert_elements(&tensor, (double[]){0, 1, 2, 3, 4, 5}, 6);
  cbn_tensor_release(&tensor);

  file = npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}", counting, 6);
  tensor = read_well(&file, CBN_F32);
  assert_elements(&tensor, (double[]){0, 2, 4, 1, 3, 5}, 6);
  cbn_tensor_release(&tensor);

  file = npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4)}", counting, 24);
  tensor = read_well(&file, CBN_F32);
  for (int64_t i = 0; i < 2; i++)
    for (int64_t j = 0; j < 3; j++)
      for (int64_t k = 0; k < 4; k++)
        assert_true(cbn_tensor_get(&tensor, (i * 3 + j) * 4 + k) == (double)(i + 2 * j + 6 * k));
  cbn_tensor_release(&tensor);

  const float floats[] = {1, 2, 3, 4};
  file = npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}", floats, sizeof floats);
  tensor = read_well(&file, CBN_NPY_OWN_TYPE);
  assert_elements(&tensor, (double[]){1, 3, 2, 4}, 4);
  cbn_tensor_release(&tensor);
}

static void dictionaries_read_as_python_would(void **state) {
  (void)state;
  static const char *const dictionaries[] = {
      "{'descr':'|u1','fortran_order':False,'shape':(1,2)}",
      "{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": (1, 2), }\n",
      "  { 'shape' : ( 1 , 2 , ) , 'descr' : '|u1' , 'fortran_order' : False }  \n",
      "{'fortran_order': False,\n 'shape': (1, 2),\n 'descr': '|u1'\n}\n\n",
  };
  for (size_t i = 0; i < sizeof dictionaries / sizeof *dictionaries; i++) {
    struct bytes file = npy(1, dictionaries[i], "\x05\x06", 2);
    cbn_tensor tensor = read_well(&file, CBN_F16);
    assert_int_equal(tensor.rank, 2);
    assert_int_equal(tensor.extent[0], 1);
    assert_int_equal(tensor.extent[1], 2);
    assert_elements(&tensor, (double[]){5, 6}, 2);
    cbn_tensor_release(&tensor);
  }
}

static void empty_arrays_read(void **state) {
  (void)state;
  struct bytes file = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0, 3)}", NULL, 0);
  cbn_tensor tensor = read_well(&file, CBN_NPY_OWN_TYPE);
  assert_int_equal(cbn_tensor_count(&tensor), 0);
  assert_int_equal(tensor.extent[2], 3);
  cbn_tensor_release(&tensor);
  file = npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (0,)}", NULL, 0);
  tensor = read_well(&file, CBN_BF16);
  cbn_tensor_release(&tensor);
}

/* ---- exact conversion ---- */

static void conversions_are_exact_or_refused(void **state) {
  (void)state;
  static const double f64s[] = {0.5, 0x1p-149, NAN, 0x1.000002p0, 0.1, INFINITY};
  static const int64_t i64s[] = {-(INT64_C(1) << 53), (INT64_C(1) << 53) + 1, INT64_MAX};
  static const uint64_t u64s[] = {UINT64_MAX, 1};
  static const float f32s[] = {0.5f, 65504, 65505, 0x1p-25f};
  static const unsigned char booleans[] = {0, 1, 2};
#define ONE(array, dtype, i)                                                                                           \
  npy(1, "{'descr': '" dtype "', 'fortran_order': False, 'shape': (1,)}", &(array)[i], sizeof(array)[0])
  static const struct {
    int array, index;
    int32_t type;
    const char *refusal; /* NULL: exact */
  } table[] = {
      {0, 0, CBN_F32, NULL},
      {0, 1, CBN_F32, NULL},
      {0, 2, CBN_F32, NULL},
      {0, 2, CBN_BF16, NULL},
      {0, 3, CBN_F32, NULL},
      {0, 3, CBN_F16, "element [0] is 1.0000001192092896, which f16"},
      {0, 4, CBN_F32, "element [0] is 0.10000000000000001, which f32"},
      {0, 4, CBN_F64, NULL},
      {0, 5, CBN_F16, NULL},
      {1, 0, CBN_F64, NULL},
      {1, 0, CBN_F32, NULL},
      {1, 1, CBN_F64, "element [0] is 9007199254740993, which f64"},
      {1, 2, CBN_F64, "element [0] is 9223372036854775807, which f64"},
      {2, 0, CBN_F64, "element [0] is 18446744073709551615, which f64"},
      {2, 1, CBN_F16, NULL},
      {3, 0, CBN_F16, NULL},
      {3, 1, CBN_F16, NULL},
      {3, 2, CBN_F16, "element [0] is 65505, which f16"},
      {3, 2, CBN_BF16, "element [0] is 65505, which bf16"},
      {3, 3, CBN_F16, "element [0] is 2.9802322387695312e-08, which f16"},
      {3, 3, CBN_F64, NULL},
      {4, 1, CBN_F32, NULL},
      {4, 2, CBN_F32, "element [0] is 2, no boolean"},
  };
  for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
    int i = table[t].index;
    struct bytes file = table[t].array == 0   ? ONE(f64s, "<f8", i)
                        : table[t].array == 1 ? ONE(i64s, "<i8", i)
                        : table[t].array == 2 ? ONE(u64s, "<u8", i)
                        : table[t].array == 3 ? ONE(f32s, "<f4", i)
                                              : ONE(booleans, "|b1", i);
    if (table[t].refusal != NULL) {
      assert_refused(&file, table[t].type, "npy-value: ", table[t].refusal);
    } else {
      cbn_tensor tensor = read_well(&file, table[t].type);
      assert_int_equal(tensor.type, table[t].type);
      cbn_tensor_release(&tensor);
    }
  }
}

static void the_first_inexact_element_is_named(void **state) {
  (void)state;
  const float floats[] = {1, 2, 3, 0.1f, 0.2f, 6};
  struct bytes file = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", floats, sizeof floats);
  assert_refused(&file, CBN_F16, "npy-value: ", "element [1, 0] is 0.10000000149011612");
  file = npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", floats, sizeof floats);
  assert_refused(&file, CBN_F16, "npy-value: ", "element [1, 1] is 0.10000000149011612");
}

/* ---- refusals ---- */

#define DICTIONARY(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape "}"

static void dictionaries_are_refused_with_a_place(void **state) {
  (void)state;
  static const struct {
    const char *dictionary, *begin, *word;
  } table[] = {
      {"", "npy-header: '{' is missing at character 1 ", "numpy.save"},
      {"{", "npy-header: 'descr', 'fortran_order' or 'shape', each once, is missing at character 2 ", "numpy.save"},
      {"{}", "npy-header: one of 'descr'", "character 3"},
      {"[]", "npy-header: '{' is missing at character 1 ", "numpy.save"},
      {"{'descr': '<f4', 'shape': (1,)}", "npy-header: one of 'descr'", "numpy.save"},
      {"{'descr': '<f4', 'descr': '<f4'}", "npy-header: 'descr', 'fortran_order' or 'shape', each once, ", "18"},
      {"{'extra': 1}", "npy-header: 'descr', 'fortran_order' or 'shape', each once, ", "character 2 "},
      {"{'descr' '<f4'}", "npy-header: ':' is missing at character 10 ", ""},
      {"{'descr': <f4}", "npy-header: a quoted type is missing at character 11 ", ""},
      {"{'descr': '<f4}", "npy-header: a quoted type is missing at character 11 ", ""},
      {"{'descr': '<\\x66'}", "npy-header: a quoted type is missing at character 11 ", ""},
      {"{'descr': '0123456789012345678901234'}", "npy-header: a quoted type is missing at character 11 ", ""},
      {"{'descr': '<f4' 'shape'", "npy-header: ',' or '}' is missing at character 17 ", ""},
      {DICTIONARY("'<f4'", "Maybe", "(1,)"), "npy-header: True or False is missing at character 35 ", ""},
      {DICTIONARY("'<f4'", "Falsely", "(1,)"), "npy-header: ',' or '}' is missing at character 40 ", ""},
      {DICTIONARY("'<f4'", "0", "(1,)"), "npy-header: True or False ", ""},
      {DICTIONARY("'<f4'", "False", "1"), "npy-header: a shape such as (2, 3) is missing at character 51 ", ""},
      {DICTIONARY("'<f4'", "False", "[1]"), "npy-header: a shape such as (2, 3) ", ""},
      {DICTIONARY("'<f4'", "False", "(1)"), "npy-header: ',' or ')' is missing at character 53 ", ""},
      {DICTIONARY("'<f4'", "False", "(,)"), "npy-header: an extent is missing at character 52 ", ""},
      {DICTIONARY("'<f4'", "False", "(1 2)"), "npy-header: ',' or ')' is missing at character 54 ", ""},
      {DICTIONARY("'<f4'", "False", "(1,, 2)"), "npy-header: an extent is missing at character 54 ", ""},
      {DICTIONARY("'<f4'", "False", "(-1,)"), "npy-header: an extent is missing at character 52 ", ""},
      {DICTIONARY("'<f4'", "False", "(+1,)"), "npy-header: an extent is missing at character 52 ", ""},
      {DICTIONARY("'<f4'", "False", "(01,)"), "npy-header: an extent without leading zeros ", "character 52 "},
      {DICTIONARY("'<f4'", "False", "(1L,)"), "npy-header: ',' or ')' ", ""},
      {DICTIONARY("'<f4'", "False", "(1.0,)"), "npy-header: ',' or ')' ", ""},
      {DICTIONARY("'<f4'", "False", "(1"), "npy-header: ',' or ')' ", ""},
      {DICTIONARY("'<f4'", "False", "(1,"), "npy-header: ", "missing"},
      {DICTIONARY("'<f4'", "False", "(1,)") "x", "npy-header: the end is missing at character 56 ", ""},
      {DICTIONARY("'<f4'", "False", "(1,)") ", {}", "npy-header: the end ", ""},
      {DICTIONARY("'<f4'", "False", "()"), "npy-shape: the array has no axis", "reshape"},
      {DICTIONARY("'<f4'", "False", "(1, 1, 1, 1, 1, 1)"), "npy-shape: more than 5 axes", "reshape"},
      {DICTIONARY("'<f4'", "False", "(9223372036854775808,)"), "npy-shape: extent 0 is beyond 63 bits", ""},
      {DICTIONARY("'<f4'", "False", "(1, 99999999999999999999999)"), "npy-shape: extent 1 is beyond", ""},
      {DICTIONARY("'<f4'", "False", "(9223372036854775807,)"), "npy-shape: the shape has more bytes", "smaller"},
      {DICTIONARY("'<f4'", "False", "(4294967296, 4294967296)"), "npy-shape: the shape has more bytes", ""},
      {DICTIONARY("'|u1'", "False", "(9223372036854775807,)"), "npy-shape: the shape has more bytes", ""},
      {DICTIONARY("'|u1'", "False", "(9223372036854775000,)"), "npy-size: the file has 87 bytes", ""},
      {DICTIONARY("'|u1'", "False", "(0, 4294967296, 4294967296)"), "npy-shape: the shape has more bytes", ""},
      {DICTIONARY("'>f4'", "False", "(1,)"), "npy-type: the elements are >f4", "little-endian"},
      {DICTIONARY("'=f4'", "False", "(1,)"), "npy-type: the elements are =f4", ""},
      {DICTIONARY("'<f16'", "False", "(1,)"), "npy-type: the elements are <f16", ""},
      {DICTIONARY("'<c8'", "False", "(1,)"), "npy-type: the elements are <c8", ""},
      {DICTIONARY("'|O'", "False", "(1,)"), "npy-type: the elements are |O", ""},
      {DICTIONARY("'<U4'", "False", "(1,)"), "npy-type: the elements are <U4", ""},
      {DICTIONARY("''", "False", "(1,)"), "npy-type: the elements are ", ""},
      {DICTIONARY("[('a', '<f4')]", "False", "(1,)"), "npy-type: the elements are a structured type", ""},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct bytes file = npy(1, table[i].dictionary, "\0\0\0\0", 4);
    assert_refused(&file, CBN_NPY_OWN_TYPE, table[i].begin, table[i].word);
  }
}

static void starts_are_refused(void **state) {
  (void)state;
  const char *dictionary = DICTIONARY("'|u1'", "False", "(1,)");
  struct bytes file = npy(1, dictionary, "\x07", 1);
  for (size_t i = 0; i < 6; i++) { /* each letter of the magic */
    struct bytes broken = file;
    broken.at[i] ^= 0x20;
    assert_refused(&broken, CBN_F32, "npy-header: does not begin as a .npy file", "numpy.save");
  }
  static const unsigned char versions[][2] = {{0, 0}, {4, 0}, {255, 0}, {1, 1}, {2, 9}};
  for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
    struct bytes broken = file;
    memcpy(broken.at + 6, versions[i], 2);
    assert_refused(&broken, CBN_F32, "npy-header: version ", "write version 1.0, 2.0 or 3.0");
  }
  struct bytes broken = file;
  broken.at[9] = 0xFF;
  assert_refused(&broken, CBN_F32, "npy-header: the header says it has 65", "more than 10000");
  broken = npy(2, dictionary, "\x07", 1);
  memset(broken.at + 8, 0xFF, 4);
  assert_refused(&broken, CBN_F32, "npy-header: the header says it has 4294967295 bytes", "numpy.save");
  broken = file;
  broken.at[8]++; /* the header swallows the element, which then is missing; it is no space either */
  assert_refused(&broken, CBN_F32, "npy-header: the end is missing", "");
  broken = npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}\n", "\x07", 1);
  broken.at[20] = '\0';
  assert_refused(&broken, CBN_F32, "npy-header: ", "missing");
  file.length = 0;
  assert_refused(&file, CBN_F32, "npy-size: the file ends after 0 bytes", "whole");
}

static void limits_and_types_are_checked_before_allocation(void **state) {
  (void)state;
  const unsigned char elements[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  struct bytes file = npy(1, DICTIONARY("'|u1'", "False", "(8,)"), elements, 8);
  cbn_tensor tensor;
  cbn_error error;
  assert_true(read_bytes(&file, CBN_F64, 64, &tensor, &error));
  cbn_tensor_release(&tensor);
  assert_false(read_bytes(&file, CBN_F64, 63, &tensor, &error));
  assert_string_equal(error.text,
                      "a.npy: npy-memory: the tensor takes 64 bytes, and 63 are left; write a smaller array");
  assert_refused(&file, 99, "npy-type: type number 99 is none", "");
  assert_refused(&file, -2, "npy-type: type number -2 is none", "");
}

static void every_truncation_and_addition_is_refused(void **state) {
  (void)state;
  const double doubles[] = {1, 2, 3, 4, 5, 6};
  for (int version = 1; version <= 3; version++)
    for (int32_t type = CBN_F32; type <= CBN_F64; type++) { /* converted and as it lies */
      struct bytes whole = npy(version, DICTIONARY("'<f8'", "False", "(2, 3)") "   \n", doubles, sizeof doubles);
      for (size_t length = 0; length < whole.length; length++) {
        struct bytes file = whole;
        file.length = length;
        assert_refused(&file, type, "npy-size: ", "write it whole");
      }
      add(&whole, "", 1);
      assert_refused(&whole, type, "npy-size: the file has ", "write it whole");
    }
}

/* Any bytes are read or refused with one line, and nothing leaks. */
static void random_mutations_are_sound(void **state) {
  (void)state;
  const float floats[] = {1, 2, 3, 4, 5, 6};
  const struct bytes whole = npy(1, DICTIONARY("'<f4'", "True", "(2, 3)") "   \n", floats, sizeof floats);
  const uint64_t seed = test_seed(11);
  const int64_t count = test_count(10000);
  for (int64_t i = 0; i < count; i++) {
    random_state random = {seed + (uint64_t)i};
    struct bytes file = whole;
    for (int64_t edits = random_between(&random, 1, 4); edits > 0; edits--) {
      size_t at = (size_t)random_between(&random, 0, (int64_t)file.length - 1);
      static const char interesting[] = "0123456789(),:'\"{}<>|fiubTrueFalse \n\x01\xFF";
      file.at[at] = random_chance(&random, 3)
                        ? (unsigned char)random_word(&random)
                        : (unsigned char)interesting[random_between(&random, 0, sizeof interesting - 1)];
    }
    if (random_chance(&random, 4)) file.length = (size_t)random_between(&random, 0, (int64_t)file.length);
    cbn_tensor tensor;
    cbn_error error = {""};
    if (read_bytes(&file, (int32_t)random_between(&random, -1, 3), 1 << 16, &tensor, &error)) {
      for (int64_t e = 0; e < cbn_tensor_count(&tensor); e++) (void)cbn_tensor_get(&tensor, e);
      cbn_tensor_release(&tensor);
    } else if (strncmp(error.text, "a.npy: npy-", 11) != 0) {
      fail_msg("CBN_TEST_SEED=%llu CBN_TEST_SCALE=0: %s", (unsigned long long)(seed + (uint64_t)i), error.text);
    }
  }
}

/* ---- folders ---- */

static char folder[256];

static int make_folder(void **state) {
  (void)state;
  const char *temporary = getenv("TMPDIR");
  char below[300];
  snprintf(folder, sizeof folder, "%s/convbn-npy-XXXXXX", temporary != NULL ? temporary : "/tmp");
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(below, sizeof below, "%s/below", folder);
  return mkdir(below, 0700);
}

static const char *path_of(const char *name) {
  static char path[400];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static int remove_folder(void **state) {
  (void)state;
  static const char *const names[] = {"a.npy", "below/a.npy", "fifo", "below", "..a.npy"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) remove(path_of(names[i]));
  return rmdir(folder); /* fails where a test left something behind */
}

static int back_to_work(void **state) {
  (void)state;
  weather = WORKS;
  return 0;
}

static void write_bytes(const char *name, const struct bytes *bytes) {
  FILE *file = fopen(path_of(name), "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes->at, 1, bytes->length, file), bytes->length);
  assert_int_equal(fclose(file), 0);
}

static void assert_not_found(const char *case_file, const char *name, const char *message) {
  cbn_tensor tensor;
  cbn_error error;
  assert_false(cbn_npy_read(case_file, name, CBN_F32, 1 << 20, &tensor, &error));
  if (strstr(error.text, message) == NULL) fail_msg("%s, %s: %s", case_file, name, error.text);
}

static void paths_are_relative_to_the_case_file(void **state) {
  (void)state;
  struct bytes file = npy(1, DICTIONARY("'|u1'", "False", "(1,)"), "\x07", 1);
  write_bytes("a.npy", &file);
  write_bytes("below/a.npy", &file);
  write_bytes("..a.npy", &file);
  char case_file[300];
  snprintf(case_file, sizeof case_file, "%s/case.yaml", folder); /* need not exist */
  static const char *const good[] = {"a.npy", "./a.npy", "below/a.npy", "below//a.npy", "..a.npy"};
  cbn_tensor tensor;
  cbn_error error;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    if (!cbn_npy_read(case_file, good[i], CBN_F32, 4, &tensor, &error)) fail_msg("%s", error.text);
    assert_elements(&tensor, (double[]){7}, 1);
    cbn_tensor_release(&tensor);
  }
  static const char *const bad[] = {"",         "/etc/passwd", "..",        "../a.npy", "below/../a.npy",
                                    "below/..", "./..",        "below//..", "//a.npy"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_not_found(case_file, bad[i], "npy-path: must be relative and without '..'; put the file beside");
  assert_not_found(case_file, "missing.npy", "missing.npy: npy-file: cannot be read: No such file");
  assert_not_found("case.yaml", "missing.npy", "missing.npy: npy-file: cannot be read: No such file");
  assert_not_found(case_file, "below", "/below: npy-file: is no regular file");
  assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
  assert_not_found(case_file, "fifo", "/fifo: npy-file: is no regular file");
  char name[5000];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_not_found(case_file, name, "npy-file: cannot be read: File name too long");
}

/* ---- writing ---- */

/* The whole file of a (2, 1) array, byte by byte: 10 bytes, the dictionary, spaces and a line feed up to 128. */
static void files_are_written_as_numpy_writes_them(void **state) {
  (void)state;
  float elements[] = {1.5f, -2};
  cbn_tensor tensor;
  cbn_error error;
  assert_true(cbn_tensor_describe(&tensor, CBN_F32, 2, (int64_t[]){2, 1}, CBN_CONTIGUOUS));
  tensor.data = elements;
  if (!cbn_npy_write(path_of("a.npy"), &tensor, &error)) fail_msg("%s", error.text);
  char expected[136];
  memset(expected, ' ', 128);
  memcpy(expected, "\x93NUMPY\x01\x00\x76\x00", 10);
  memcpy(expected + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }", 59);
  expected[127] = '\n';
  memcpy(expected + 128, "\x00\x00\xC0\x3F\x00\x00\x00\xC0", 8);
  unsigned char got[200];
  FILE *file = fopen(path_of("a.npy"), "rb");
  assert_non_null(file);
  assert_int_equal(fread(got, 1, sizeof got, file), 136);
  fclose(file);
  assert_memory_equal(got, expected, 136);
}

static void what_is_written_reads_back(void **state) {
  (void)state;
  static const struct {
    int32_t rank;
    int64_t extent[CBN_MAX_RANK];
  } shapes[] = {{1, {1}},       {1, {3}},       {2, {2, 3}}, {4, {2, 3, 2, 2}}, {5, {1, 2, 1, 3, 2}},
                {3, {2, 0, 3}}, {2, {500, 301}}};
  char case_file[300];
  snprintf(case_file, sizeof case_file, "%s/case.yaml", folder);
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int32_t type = CBN_F32; type <= CBN_BF16; type++)
      for (int layout = 0; layout < 2; layout++) {
        cbn_tensor tensor, back;
        cbn_error error;
        assert_true(cbn_tensor_describe(&tensor, type, shapes[s].rank, shapes[s].extent, (enum cbn_layout)layout));
        assert_true(cbn_tensor_allocate(&tensor));
        int64_t count = cbn_tensor_count(&tensor);
        for (int64_t i = 0; i < count; i++) cbn_tensor_set(&tensor, i, i % 5 == 3 ? NAN : (double)(i % 251) / 8 - 7);
        assert_true(cbn_npy_write(path_of("a.npy"), &tensor, &error));
        for (int32_t as = -1; as <= CBN_F64; as++) {
          if (!cbn_npy_read(case_file, "a.npy", as, 1 << 24, &back, &error)) fail_msg("%s", error.text);
          assert_int_equal(back.type, as >= 0 ? as : type == CBN_BF16 ? CBN_F32 : type);
          assert_int_equal(back.rank, tensor.rank);
          assert_memory_equal(back.extent, tensor.extent, sizeof back.extent);
          for (int64_t i = 0; i < count; i++) {
            double a = cbn_tensor_get(&tensor, i), b = cbn_tensor_get(&back, i);
            assert_true(a == b || (isnan(a) && isnan(b)));
          }
          cbn_tensor_release(&back);
        }
        cbn_tensor_release(&tensor);
      }
}

static void failures_of_the_system_are_reported(void **state) {
  (void)state;
  struct bytes file = npy(2, DICTIONARY("'<i2'", "True", "(2, 2)"), "\1\0\2\0\3\0\4\0", 8);
  cbn_tensor tensor;
  cbn_error error;
  weather = NO_MEMORY;
  assert_refused(&file, CBN_F32, "npy-memory: no memory for 16 bytes", "smaller");
  weather = READ_FAILS;
  assert_refused(&file, CBN_F32, "npy-file: cannot be read: Input/output error", "");
  weather = READ_STUTTERS; /* one byte at a time, with interruptions */
  tensor = read_well(&file, CBN_F32);
  assert_elements(&tensor, (double[]){1, 3, 2, 4}, 4);

  write_bytes("a.npy", &file); /* survives every failure */
  weather = CLOSE_FAILS;
  assert_false(cbn_npy_write(path_of("a.npy"), &tensor, &error));
  assert_non_null(strstr(error.text, "a.npy: npy-file: cannot be written: Disk quota exceeded"));
  weather = RENAME_FAILS;
  assert_false(cbn_npy_write(path_of("a.npy"), &tensor, &error));
  assert_non_null(strstr(error.text, "cannot be written: Permission denied"));
  weather = WRITE_FAILS;
  bool written = false;
  int writes = 0;
  for (; !written; writes++) {
    writes_left = writes;
    written = cbn_npy_write(path_of("below/a.npy"), &tensor, &error);
    assert_true(written || strstr(error.text, "cannot be written: No space left on device") != NULL);
    assert_int_not_equal(access(path_of("below/a.npy.partial"), F_OK), 0);
  }
  assert_int_equal(writes, 1 + 4 + 1); /* the start, four elements, and the one without failure */
  assert_false(cbn_npy_write(path_of("nowhere/a.npy"), &tensor, &error));
  assert_non_null(strstr(error.text, "nowhere/a.npy: npy-file: cannot be written: No such file"));
  cbn_tensor_release(&tensor);

  weather = WORKS;
  struct stat status;
  assert_int_equal(stat(path_of("a.npy"), &status), 0);
  assert_int_equal(status.st_size, file.length);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type_reads),
      cmocka_unit_test(both_orders_read),
      cmocka_unit_test(dictionaries_read_as_python_would),
      cmocka_unit_test(empty_arrays_read),
      cmocka_unit_test(conversions_are_exact_or_refused),
      cmocka_unit_test(the_first_inexact_element_is_named),
      cmocka_unit_test(dictionaries_are_refused_with_a_place),
      cmocka_unit_test(starts_are_refused),
      cmocka_unit_test(limits_and_types_are_checked_before_allocation),
      cmocka_unit_test(every_truncation_and_addition_is_refused),
      cmocka_unit_test(random_mutations_are_sound),
      cmocka_unit_test(paths_are_relative_to_the_case_file),
      cmocka_unit_test(files_are_written_as_numpy_writes_them),
      cmocka_unit_test(what_is_written_reads_back),
      cmocka_unit_test_teardown(failures_of_the_system_are_reported, back_to_work),
  };
  return cmocka_run_group_tests_name("npy", tests, make_folder, remove_folder);
}
