/* Target npy: the bytes as a file. What is read is written and reads back the same, in every type that holds it;
 * a refusal says why. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/demand.h"
#include "fuzz/targets.h"
#include "harness/npy.h"

static const char *const rules[] = {"npy-file", "npy-header", "npy-type",  "npy-shape",
                                    "npy-size", "npy-memory", "npy-value", NULL};
enum { LIMIT_BYTES = 1 << 16, LARGEST_ELEMENT = 8 };
#define NAME "fuzz.npy"

/* Reads a file; false where it is refused. */
static bool read_file(int descriptor, int32_t type, cbn_tensor *tensor) {
  cbn_error error;
  if (cbn_npy_read_open(descriptor, NAME, type, LIMIT_BYTES, tensor, &error)) return true;
  const cbn_place place = cbn_demand_message(error.text, NAME, rules);
  CBN_DEMAND(place.line == 0, "a binary file has no lines: %s", error.text);
  return false;
}

static bool same_number(double a, double b) {
  return (a == b && signbit(a) == signbit(b)) || (isnan(a) && isnan(b)); /* a NaN's payload is not promised */
}

/* Do both have the same shape and elements, whatever their types? */
static bool same_elements(const cbn_tensor *a, const cbn_tensor *b) {
  if (a->rank != b->rank || memcmp(a->extent, b->extent, (size_t)a->rank * sizeof *a->extent) != 0) return false;
  for (int64_t i = 0; i < cbn_tensor_count(a); i++)
    if (!same_number(cbn_tensor_get(a, i), cbn_tensor_get(b, i))) return false;
  return true;
}

/* The same file by its name, as cases give it. */
static void check_by_name(int descriptor, const cbn_tensor *own) {
  char name[16];
  cbn_tensor named;
  cbn_error error;
  snprintf(name, sizeof name, "%d", descriptor);
  const bool read = cbn_npy_read("/proc/self/fd/case.yaml", name, CBN_NPY_OWN_TYPE, LIMIT_BYTES, &named, &error);
  CBN_DEMAND(read == (own != NULL), "a file is %s by its name alone", read ? "read" : "refused");
  if (!read) return;
  CBN_DEMAND(same_elements(&named, own), "a file's elements depend on how it is opened");
  cbn_tensor_release(&named);
}

/* Writes the tensor into a folder of its own and opens the file, which then has no name any more. */
static int write_file(const cbn_tensor *tensor) {
  char folder[] = "/dev/shm/convbn-fuzz-XXXXXX", path[sizeof folder + sizeof NAME];
  cbn_error error;
  if (access("/dev/shm", W_OK) != 0) strcpy(folder, "/tmp/convbn-fuzz-XXXXXX");
  CBN_DEMAND(mkdtemp(folder) != NULL, "no folder can be made in /dev/shm or /tmp");
  snprintf(path, sizeof path, "%s/%s", folder, NAME);
  CBN_DEMAND(cbn_npy_write(path, tensor, &error), "a tensor that was read is not written: %s", error.text);
  FILE *file = fopen(path, "rbe");
  CBN_DEMAND(file != NULL, "the file that was written is not there");
  const int descriptor = dup(fileno(file));
  fclose(file);
  unlink(path);
  CBN_DEMAND(rmdir(folder) == 0, "writing leaves files beside its own");
  return descriptor;
}

static void check_tensor(const cbn_tensor *tensor, size_t size) {
  int64_t bytes = (int64_t)cbn_type_size(tensor->type);
  CBN_DEMAND(tensor->rank >= 1 && tensor->rank <= CBN_MAX_RANK && bytes > 0, "a tensor of no rank or type");
  for (int32_t axis = tensor->rank - 1; axis >= 0; axis--) {
    CBN_DEMAND(tensor->extent[axis] >= 0, "an extent below 0");
    bytes *= tensor->extent[axis];
  }
  CBN_DEMAND(bytes <= LIMIT_BYTES, "a tensor of %lld bytes, beyond the limit", (long long)bytes);
  CBN_DEMAND(cbn_tensor_count(tensor) <= (int64_t)size, "more elements than the file has bytes");
}

static void check_round_trip(const cbn_tensor *tensor) {
  cbn_tensor again;
  const int descriptor = write_file(tensor);
  CBN_DEMAND(read_file(descriptor, tensor->type, &again), "a file that was written is refused");
  CBN_DEMAND(again.type == tensor->type && same_elements(tensor, &again), "a file comes back as another one");
  cbn_tensor_release(&again);
  close(descriptor);
}

void cbn_fuzz_npy(const cbn_target *target, const uint8_t *bytes, size_t size) {
  static const int32_t types[] = {CBN_F16, CBN_BF16, CBN_F32, CBN_F64};
  (void)target;
  const int descriptor = cbn_memory_file(bytes, size);
  cbn_tensor own, typed;
  const bool readable = read_file(descriptor, CBN_NPY_OWN_TYPE, &own);
  if (readable) {
    check_tensor(&own, size);
    check_round_trip(&own);
  }
  check_by_name(descriptor, readable ? &own : NULL);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (!read_file(descriptor, types[i], &typed)) continue;
    check_tensor(&typed, size);
    CBN_DEMAND(typed.type == types[i], "a tensor of another type than asked for");
    CBN_DEMAND(!readable || same_elements(&own, &typed), "a file's elements depend on the type that holds them");
    if (!readable || own.type != typed.type) check_round_trip(&typed);
    cbn_tensor_release(&typed);
  }
  if (readable) cbn_tensor_release(&own);
  close(descriptor);
}
