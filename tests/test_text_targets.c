/* The fuzz targets of texts: what is right passes, and each of their demands fails where the code under test is given a
 * bug that breaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz/case_text.h"
#include "fuzz/targets.h"
#include "harness/case_parser.h"
#include "harness/frames.h"
#include "harness/npz.h"
#include "harness/solution.h"
#include "harness/yaml.h"
#include "migration/call_text.h"
#include "migration/onnx_file.h"

/* -------------------------------------------------------------------------------------------------------- bugs */

/* One at a time; each function below has its own. */
static enum bug {
  NO_BUG,
  BROKEN_FRAMES_GO,
  PIECES_MATTER,
  FRAMES_CHANGE,
  DESCRIPTORS_GO,
  WRITES_CHANGE,
  WRITES_LITTER,
  LIMITS_GO,
  TYPES_CHANGE,
  REFUSALS_ARE_SILENT,
  FIELDS_GO,
  NUMBERS_CHANGE,
  MEMORY_GROWS,
  MESSAGES_CHANGE,
  MESSAGES_MISPLACE,
  RULES_ARE_NEW,
  MESSAGES_BREAK_LINES,
  VALUES_MISPLACE,
  VALUES_STAND_NOWHERE,
  TREES_CHANGE,
  PRINTS_CHANGE,
  PRINTS_BREAK,
  SOLUTIONS_CHANGE,
  PROBLEMS_CHANGE,
  MEMBERS_CHANGE,
  ARCHIVES_GROW,
  ARCHIVES_VARY,
  MEMBERS_ARE_SILENT,
  MODELS_CHANGE,
  WEIGHTS_CHANGE,
  PLACES_GO,
  CALLS_CHANGE,
  CALLS_ARE_SILENT
} bug;
static int calls; /* of the function with the bug */

enum cbn_frame_state __real_cbn_frame_take(cbn_frame_buffer *buffer, json_t **header);
enum cbn_frame_state __wrap_cbn_frame_take(cbn_frame_buffer *buffer, json_t **header);
enum cbn_frame_state __wrap_cbn_frame_take(cbn_frame_buffer *buffer, json_t **header) {
  if (bug == PIECES_MATTER && buffer->filled == 5) return *header = NULL, CBN_FRAME_BROKEN;
  const enum cbn_frame_state state = __real_cbn_frame_take(buffer, header);
  if (bug == BROKEN_FRAMES_GO && state == CBN_FRAME_BROKEN) buffer->filled = 0;
  return state;
}

bool __real_cbn_frame_send(int socket, const json_t *header, int descriptor, int flags);
bool __wrap_cbn_frame_send(int socket, const json_t *header, int descriptor, int flags);
bool __wrap_cbn_frame_send(int socket, const json_t *header, int descriptor, int flags) {
  if (bug == DESCRIPTORS_GO) descriptor = -1;
  if (bug != FRAMES_CHANGE) return __real_cbn_frame_send(socket, header, descriptor, flags);
  json_t *other = json_pack("{s:i}", "other", 1);
  const bool sent = __real_cbn_frame_send(socket, other, descriptor, flags);
  json_decref(other);
  return sent;
}

bool __real_cbn_npy_write(const char *path, const cbn_tensor *tensor, cbn_error *error);
bool __wrap_cbn_npy_write(const char *path, const cbn_tensor *tensor, cbn_error *error);
bool __wrap_cbn_npy_write(const char *path, const cbn_tensor *tensor, cbn_error *error) {
  char beside[200];
  snprintf(beside, sizeof beside, "%s.litter", path);
  const double element = cbn_tensor_get(tensor, 0);
  if (bug == WRITES_CHANGE) cbn_tensor_set(tensor, 0, element + 1);
  const bool written = __real_cbn_npy_write(path, tensor, error) &&
                       (bug != WRITES_LITTER || __real_cbn_npy_write(beside, tensor, error));
  cbn_tensor_set(tensor, 0, element);
  return written;
}

bool __real_cbn_npy_read_open(int descriptor, const char *name, int32_t type, int64_t limit, cbn_tensor *tensor,
                              cbn_error *error);
bool __wrap_cbn_npy_read_open(int descriptor, const char *name, int32_t type, int64_t limit, cbn_tensor *tensor,
                              cbn_error *error);
bool __wrap_cbn_npy_read_open(int descriptor, const char *name, int32_t type, int64_t limit, cbn_tensor *tensor,
                              cbn_error *error) {
  if (bug == LIMITS_GO) limit = INT64_MAX;
  const bool read = __real_cbn_npy_read_open(descriptor, name, type, limit, tensor, error);
  if (bug == REFUSALS_ARE_SILENT && !read) error->text[0] = '\0';
  if (bug == TYPES_CHANGE && read && type == CBN_F16) cbn_tensor_set(tensor, 0, 5);
  return read;
}

json_t *__real_cbn_conv_to_json(const cbn_conv *conv);
json_t *__wrap_cbn_conv_to_json(const cbn_conv *conv);
json_t *__wrap_cbn_conv_to_json(const cbn_conv *conv) {
  json_t *object = __real_cbn_conv_to_json(conv);
  if (bug == FIELDS_GO) json_object_del(object, "stride");
  return object;
}

bool __real_cbn_batchnorm_from_json(const json_t *object, cbn_batchnorm *norm);
bool __wrap_cbn_batchnorm_from_json(const json_t *object, cbn_batchnorm *norm);
bool __wrap_cbn_batchnorm_from_json(const json_t *object, cbn_batchnorm *norm) {
  const bool read = __real_cbn_batchnorm_from_json(object, norm);
  if (bug == NUMBERS_CHANGE) norm->epsilon += calls++;
  return read;
}

bool __real_cbn_tensor_from_json(const json_t *array, int64_t size, cbn_tensor *tensor, int64_t *offset);
bool __wrap_cbn_tensor_from_json(const json_t *array, int64_t size, cbn_tensor *tensor, int64_t *offset);
bool __wrap_cbn_tensor_from_json(const json_t *array, int64_t size, cbn_tensor *tensor, int64_t *offset) {
  return __real_cbn_tensor_from_json(array, bug == MEMORY_GROWS ? INT64_MAX : size, tensor, offset);
}

bool __real_cbn_yaml_parse(const char *name, const char *bytes, size_t length, const cbn_yaml_limits *limits,
                           cbn_arena *arena, const cbn_value **root, cbn_error *error);
bool __wrap_cbn_yaml_parse(const char *name, const char *bytes, size_t length, const cbn_yaml_limits *limits,
                           cbn_arena *arena, const cbn_value **root, cbn_error *error);
bool __wrap_cbn_yaml_parse(const char *name, const char *bytes, size_t length, const cbn_yaml_limits *limits,
                           cbn_arena *arena, const cbn_value **root, cbn_error *error) {
  if (!__real_cbn_yaml_parse(name, bytes, length, limits, arena, root, error)) {
    if (bug == MESSAGES_CHANGE) cbn_error_set(error, "%s:1:1: syntax: %d", name, calls++);
    if (bug == MESSAGES_MISPLACE) cbn_error_set(error, "%s:99:1: syntax: far", name);
    if (bug == RULES_ARE_NEW) cbn_error_set(error, "%s:1:1: novelty: new", name);
    if (bug == MESSAGES_BREAK_LINES) strcat(error->text, "\n");
    return false;
  }
  cbn_value *value = (cbn_value *)(uintptr_t)*root;
  if (bug == VALUES_MISPLACE) value->line += 1000;
  if (bug == VALUES_STAND_NOWHERE) value->column += 7; /* behind `format:` */
  if (bug == TREES_CHANGE && value->kind == CBN_MAP) value->as.map.count -= (size_t)(calls++ % 2);
  return true;
}

size_t __real_cbn_value_print(const cbn_value *value, char *text, size_t size);
size_t __wrap_cbn_value_print(const cbn_value *value, char *text, size_t size);
size_t __wrap_cbn_value_print(const cbn_value *value, char *text, size_t size) {
  const size_t length = __real_cbn_value_print(value, text, size);
  if (bug == PRINTS_CHANGE && strchr(text, '1') != NULL) *strchr(text, '1') = '2';
  if (bug == PRINTS_BREAK && length > 0) text[length - 1] = '"';
  return length;
}

bool __real_cbn_solutions_agree(const cbn_solution *a, const cbn_solution *b, cbn_error *why);
bool __wrap_cbn_solutions_agree(const cbn_solution *a, const cbn_solution *b, cbn_error *why);
bool __wrap_cbn_solutions_agree(const cbn_solution *a, const cbn_solution *b, cbn_error *why) {
  return bug == SOLUTIONS_CHANGE ? cbn_error_set(why, "they do") : __real_cbn_solutions_agree(a, b, why);
}

bool __real_cbn_problem_of_case(const cbn_case *golden, cbn_generated *problem, cbn_error *error);
bool __wrap_cbn_problem_of_case(const cbn_case *golden, cbn_generated *problem, cbn_error *error);
bool __wrap_cbn_problem_of_case(const cbn_case *golden, cbn_generated *problem, cbn_error *error) {
  const bool made = __real_cbn_problem_of_case(golden, problem, error);
  if (bug == PROBLEMS_CHANGE && made && calls++ > 0) problem->conv.groups++;
  return made;
}

bool __real_cbn_npz_read_memory(const char *name, const void *bytes, size_t size, int64_t limit, cbn_npz *npz,
                                cbn_error *error);
bool __wrap_cbn_npz_read_memory(const char *name, const void *bytes, size_t size, int64_t limit, cbn_npz *npz,
                                cbn_error *error);
bool __wrap_cbn_npz_read_memory(const char *name, const void *bytes, size_t size, int64_t limit, cbn_npz *npz,
                                cbn_error *error) {
  const bool read =
      __real_cbn_npz_read_memory(name, bytes, size, bug == ARCHIVES_GROW ? INT64_MAX / 2 : limit, npz, error);
  if (bug == MEMBERS_CHANGE && read) cbn_tensor_set(&npz->members[0].tensor, 0, calls++);
  if (bug == MEMBERS_ARE_SILENT && !read) cbn_error_set(error, "%s[a]: none", name);
  return read;
}

bool __real_cbn_npz_write_open(FILE *file, const cbn_npz *npz);
bool __wrap_cbn_npz_write_open(FILE *file, const cbn_npz *npz);
bool __wrap_cbn_npz_write_open(FILE *file, const cbn_npz *npz) {
  const bool written = __real_cbn_npz_write_open(file, npz);
  if (bug == ARCHIVES_VARY && calls++ > 0) putc('x', file);
  return written;
}

bool __real_cbn_onnx_file_parse(const char *name, const void *bytes, size_t size, cbn_arena *arena, cbn_onnx_file *file,
                                cbn_error *error);
bool __wrap_cbn_onnx_file_parse(const char *name, const void *bytes, size_t size, cbn_arena *arena, cbn_onnx_file *file,
                                cbn_error *error);
bool __wrap_cbn_onnx_file_parse(const char *name, const void *bytes, size_t size, cbn_arena *arena, cbn_onnx_file *file,
                                cbn_error *error) {
  const bool read = __real_cbn_onnx_file_parse(name, bytes, size, arena, file, error);
  if (bug == MODELS_CHANGE) file->opset += calls++;
  if (bug == WEIGHTS_CHANGE && read) cbn_tensor_set(&file->nodes[0].tensor[CBN_ROLE_WEIGHT], 0, calls++);
  if (bug == PLACES_GO && !read) cbn_error_set(error, "%s: byte 99: far", name);
  return read;
}

bool __real_cbn_call_read(const char *text, const cbn_dialect *dialect, cbn_arena *arena, cbn_layer *layer,
                          cbn_error *error);
bool __wrap_cbn_call_read(const char *text, const cbn_dialect *dialect, cbn_arena *arena, cbn_layer *layer,
                          cbn_error *error);
bool __wrap_cbn_call_read(const char *text, const cbn_dialect *dialect, cbn_arena *arena, cbn_layer *layer,
                          cbn_error *error) {
  const bool read = __real_cbn_call_read(text, dialect, arena, layer, error);
  return !read && bug == CALLS_ARE_SILENT ? cbn_error_set(error, "wrong") : read;
}

size_t __real_cbn_call_print(const cbn_layer *layer, bool whole, char *text, size_t size);
size_t __wrap_cbn_call_print(const cbn_layer *layer, bool whole, char *text, size_t size);
size_t __wrap_cbn_call_print(const cbn_layer *layer, bool whole, char *text, size_t size) {
  const size_t length = __real_cbn_call_print(layer, whole, text, size);
  if (bug == CALLS_CHANGE && strchr(text, '7') != NULL) *strchr(text, '7') = '8';
  return length;
}

/* ----------------------------------------------------------------------------------------------------- targets */

#define CASE                                                                                                           \
  "format: 1\ndialect: canonical\noperator: conv\nsource: by hand\ncases:\n- id: t/a\n  comment: three doubled\n"      \
  "  params: {out_channels: 1, kernel: [1]}\n"                                                                         \
  "  tensors: {input: {shape: [1, 1, 2], fill: {kind: ramp}}, weight: {shape: [1, 1, 1], fill: {kind: ones}}}\n"       \
  "  expect: {output: {shape: [1, 1, 2]}}\n"
/* One element, 1; and a beginning whose 70000 elements follow. */
#define NPY "\x93NUMPY\1\0\x3a\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n\0\0\x80\x3f"
#define LONG_NPY "\x93NUMPY\1\0\x3e\0{'descr': '|u1', 'fortran_order': False, 'shape': (70000,), }\n"
/* An archive of one element, 1; and one of 9000 zeros, deflated, which take 72000 bytes as f64. */
#define NPZ                                                                                                            \
  "PK\003\004\024\000\000\000\000\000\000\000!\000>\323\271\257E\000\000\000E\000\000\000\005\000\000"                 \
  "\000a.npy\223NUMPY\001\0007\000{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\000\000\200"                 \
  "\077PK\001\002\024\003\024\000\000\000\000\000\000\000!\000>\323\271\257E\000\000\000E\000\000\000"                 \
  "\005\000\000\000\000\000\000\000\000\000\000\000\200\001\000\000\000\000a.npyPK\005\006\000\000\000"                \
  "\000\001\000\001\0003\000\000\000h\000\000\000\000\000"
#define LONG_NPZ                                                                                                       \
  "PK\003\004\024\000\000\000\010\000\000\000!\000\032\235\264oe\000\000\000l#\000\000\005\000\000\000a"               \
  ".npy\355\3101\016\2020\030@\341r\023\266\037\022\206:\322\003\260iX\030\234Lc\177\303@\204\2640\211"                \
  "\247\340\302\324s\370\276\355\275\3436\\\373{a\234\371H\320\364\214\342J\331\267\2134\245\274\346"                  \
  "\270F\377~\3141\350\357w~J\232\177\032\375\242\271\253\326Z\333\324_\003\000\000\000\000\000\000\000"               \
  "\000\000\000\000\000\374\201\023PK\001\002\024\003\024\000\000\000\010\000\000\000!\000\032\235\264o"               \
  "e\000\000\000l#\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\000\000\000\000a.npy"               \
  "PK\005\006\000\000\000\000\001\000\001\0003\000\000\000\210\000\000\000\000\000"
/* Conv of x with w, of one element. */
#define ONNX                                                                                                           \
  "\010\010:$\012\017\012\001x\012\001w\022\001y\"\004Conv*\021\010\001\010\001\010\001\020\001B\001wJ"                \
  "\004\000\000\200\077B\002\020\021"
#define CALL "torch.nn.Conv2d(7, 2, 3)"
#define TWO_FRAMES "\2\0\0\0[]\2\0\0\0{}"
#define WHOLE "\xff\xff\xff\xff"
#define BYTEWISE "\0\0\0\0"
#define CONV "{\"spatial_rank\":1,\"stride\":[2],\"input\":[3]}"
#define NORM "{\"channels\":1,\"epsilon\":\"0x1p-3\",\"new_weight\":\"nan\"}"
#define TENSOR "[\"f32\",60,[2],[-15]]"

enum { LONG_SIZE = sizeof LONG_NPY - 1 + 70000 };
static const char long_npy[LONG_SIZE] = LONG_NPY;

static const struct bite {
  void (*run)(const cbn_target *, const uint8_t *, size_t);
  const char *bytes;
  size_t size;
  enum bug bug;
  const char *words;
} bites[] = {
#define BYTES(TEXT) (TEXT), sizeof(TEXT) - 1
    {cbn_fuzz_frames, BYTES(WHOLE TWO_FRAMES), BROKEN_FRAMES_GO, "something comes out behind a broken frame"},
    {cbn_fuzz_frames, BYTES(BYTEWISE "\2\0\0\0{}"), PIECES_MATTER, "depends on the pieces"},
    {cbn_fuzz_frames, BYTES(WHOLE "\2\0\0\0{}"), FRAMES_CHANGE, "a frame arrives as another one"},
    {cbn_fuzz_frames, BYTES(WHOLE "\2\0\0\0{}"), DESCRIPTORS_GO, "a descriptor is lost"},
    {cbn_fuzz_npy, BYTES(NPY), WRITES_CHANGE, "a file comes back as another one"},
    {cbn_fuzz_npy, BYTES(NPY), WRITES_LITTER, "writing leaves files beside its own"},
    {cbn_fuzz_npy, BYTES(NPY), TYPES_CHANGE, "depend on the type"},
    {cbn_fuzz_npy, BYTES("PK"), REFUSALS_ARE_SILENT, "does not begin with the file's name"},
    {cbn_fuzz_npy, long_npy, LONG_SIZE, LIMITS_GO, "beyond the limit"},
    {cbn_fuzz_json, BYTES(CONV), FIELDS_GO, "a convolution comes back from JSON as another one"},
    {cbn_fuzz_json, BYTES(NORM), NUMBERS_CHANGE, "a batch normalization comes back from JSON as another one"},
    {cbn_fuzz_json, BYTES(TENSOR), MEMORY_GROWS, "a tensor that reaches beyond its memory"},
    {cbn_fuzz_cases, BYTES("[1"), MESSAGES_CHANGE, "refused another way"},
    {cbn_fuzz_cases, BYTES("[1"), MESSAGES_MISPLACE, "a place outside the text"},
    {cbn_fuzz_cases, BYTES("[1"), RULES_ARE_NEW, "rule is unknown"},
    {cbn_fuzz_cases, BYTES("[1"), MESSAGES_BREAK_LINES, "control character"},
    {cbn_fuzz_cases, BYTES(CASE), VALUES_MISPLACE, "outside the text"},
    {cbn_fuzz_cases, BYTES(CASE), VALUES_STAND_NOWHERE, "where nothing stands"},
    {cbn_fuzz_cases, BYTES(CASE), TREES_CHANGE, "another tree the second time"},
    {cbn_fuzz_cases, BYTES(CASE), PRINTS_CHANGE, "a printed value reads as another one"},
    {cbn_fuzz_cases, BYTES(CASE), PRINTS_BREAK, "a printed value is refused"},
    {cbn_fuzz_cases, BYTES(CASE), SOLUTIONS_CHANGE, "t/a differs from itself"},
    {cbn_fuzz_cases, BYTES(CASE), PROBLEMS_CHANGE, "a case's problem comes back as another one"},
    {cbn_fuzz_npz, BYTES(NPZ), MEMBERS_CHANGE, "a member comes back as another one"},
    {cbn_fuzz_npz, BYTES(NPZ), ARCHIVES_VARY, "written in another way the second time"},
    {cbn_fuzz_npz, BYTES(LONG_NPZ), ARCHIVES_GROW, "tensors beyond the limit"},
    {cbn_fuzz_npz, BYTES("PK"), MEMBERS_ARE_SILENT, "a message about a member without a rule"},
    {cbn_fuzz_onnx, BYTES(ONNX), MODELS_CHANGE, "another model the second time"},
    {cbn_fuzz_onnx, BYTES(ONNX), WEIGHTS_CHANGE, "other weights the second time"},
    {cbn_fuzz_onnx, BYTES("#"), PLACES_GO, "a place outside the file"},
    {cbn_fuzz_call, BYTES(CALL), CALLS_CHANGE, "a call comes back as another one"},
    {cbn_fuzz_call, BYTES("1"), CALLS_ARE_SILENT, "a message without a place"},
};

/* Runs the target in a process of its own, with that bug; `said` is what it prints. Returns whether it aborts. */
static bool aborts(const struct bite *bite, enum bug planted, char *said, size_t size) {
  int ends[2], status;
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    bug = planted;
    bite->run(NULL, (const uint8_t *)bite->bytes, bite->size);
    _exit(0);
  }
  close(ends[1]);
  FILE *output = fdopen(ends[0], "r");
  assert_non_null(output);
  said[fread(said, 1, size - 1, output)] = '\0';
  fclose(output);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

static void every_demand_bites(void **state) {
  (void)state;
  char said[4096];
  for (size_t i = 0; i < sizeof bites / sizeof *bites; i++) {
    if (aborts(&bites[i], NO_BUG, said, sizeof said)) fail_msg("without a bug, number %zu says: %s", i, said);
    assert_string_equal(said, "");
    if (!aborts(&bites[i], bites[i].bug, said, sizeof said)) fail_msg("not found: %s", bites[i].words);
    if (strstr(said, bites[i].words) == NULL) fail_msg("expected: %s\ngot: %s", bites[i].words, said);
  }
}

/* ------------------------------------------------------------------------------------------------------ frames */

static void nothing_follows_a_broken_frame(void **state) {
  (void)state;
  static cbn_frame_buffer buffer;
  json_t *header;
  cbn_frame_buffer_clear(&buffer);
  memcpy(buffer.bytes, TWO_FRAMES, sizeof TWO_FRAMES - 1);
  buffer.filled = sizeof TWO_FRAMES - 1;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(cbn_frame_take(&buffer, &header), CBN_FRAME_BROKEN);
    assert_null(header);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_demand_bites),
      cmocka_unit_test(nothing_follows_a_broken_frame),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
