#define _GNU_SOURCE 1
#include "harness/call_memory.h"

#include <convbn/tensor.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/frames.h"

enum { ALIGNMENT = 64, MARGIN = 256 };
static const size_t keep_size = (size_t)64 << 20; /* more than this is given back after the call */

/* ------------------------------------------------------------------------------------------------ shared memory */

static bool create(cbn_shared_memory *memory, cbn_error *error) {
  memory->base = NULL;
  memory->size = 0;
  memory->descriptor = memfd_create("convbn", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CBN_CHECK(memory->descriptor >= 0, error, "no shared memory: memfd_create: %m");
  if (fcntl(memory->descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) == 0) return true;
  cbn_error_set(error, "shared memory cannot be sealed: %m");
  cbn_shared_memory_release(memory);
  return false;
}

bool cbn_shared_memory_reserve(cbn_shared_memory *memory, size_t size, cbn_error *error) {
  if (memory->descriptor < 0) CBN_FORWARD(create(memory, error));
  if (size <= memory->size) return true;
  size_t grown = memory->size > 0 ? memory->size : (size_t)1 << 16;
  while (grown < size && grown < keep_size) grown *= 2;
  if (grown < size) grown = (size + 0xffff) & ~(size_t)0xffff;
  CBN_CHECK(ftruncate(memory->descriptor, (off_t)grown) == 0, error, "no shared memory of %zu bytes: %m", grown);
  void *base = memory->base == NULL ? mmap(NULL, grown, PROT_READ | PROT_WRITE, MAP_SHARED, memory->descriptor, 0)
                                    : mremap(memory->base, memory->size, grown, MREMAP_MAYMOVE);
  CBN_CHECK(base != MAP_FAILED, error, "%zu bytes of shared memory cannot be mapped: %m", grown);
  memory->base = base;
  memory->size = grown;
  return true;
}

void cbn_shared_memory_trim(cbn_shared_memory *memory) {
  if (memory->size <= keep_size) return;
  /* A failure costs memory only. */
  (void)!fallocate(memory->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)keep_size,
                   (off_t)(memory->size - keep_size));
}

void cbn_shared_memory_release(cbn_shared_memory *memory) {
  if (memory->base != NULL) munmap(memory->base, memory->size);
  if (memory->descriptor >= 0) close(memory->descriptor);
  *memory = (cbn_shared_memory){.descriptor = -1};
}

/* ----------------------------------------------------------------------------------------------------- patterns */

/* Signalling NaNs, by type and pass. */
static uint64_t poison_for(const cbn_tensor *tensor, int pass) {
  static const uint64_t poison[][2] = {[CBN_F32] = {0x7fa5c3b1, 0xffb23d5c},
                                       [CBN_F64] = {0x7ff4a5c3b1d2e3f4, 0xfff25b3c4e2d1c0b},
                                       [CBN_F16] = {0x7d5a, 0xfcd3},
                                       [CBN_BF16] = {0x7fa5, 0xffb2}};
  return poison[tensor->type][pass];
}

/* Memory is read and written as unsigned integers through memcpy, whatever its declared type. */
#define PATTERN_FUNCTIONS(BITS)                                                                                        \
  static void fill_##BITS(unsigned char *to, int64_t count, uint##BITS##_t pattern) {                                  \
    for (int64_t i = 0; i < count; i++) memcpy(to + (size_t)i * sizeof pattern, &pattern, sizeof pattern);             \
  }                                                                                                                    \
  static int64_t find_##BITS(const unsigned char *in, int64_t count, uint##BITS##_t pattern) {                         \
    for (int64_t i = 0; i < count; i++) {                                                                              \
      uint##BITS##_t element;                                                                                          \
      memcpy(&element, in + (size_t)i * sizeof element, sizeof element);                                               \
      if (element == pattern) return i;                                                                                \
    }                                                                                                                  \
    return -1;                                                                                                         \
  }
PATTERN_FUNCTIONS(16)
PATTERN_FUNCTIONS(32)
PATTERN_FUNCTIONS(64)

static void fill_elements(unsigned char *to, int64_t count, size_t size, uint64_t pattern) {
  if (size == 2) fill_16(to, count, (uint16_t)pattern);
  else if (size == 4) fill_32(to, count, (uint32_t)pattern);
  else fill_64(to, count, pattern);
}

static int64_t find_element(const unsigned char *in, int64_t count, size_t size, uint64_t pattern) {
  if (size == 2) return find_16(in, count, (uint16_t)pattern);
  if (size == 4) return find_32(in, count, (uint32_t)pattern);
  return find_64(in, count, pattern);
}

/* The canary at an address: NaN in every type, so that what is read beyond a tensor shows; a function of the address
 * alone, so that pieces of any alignment agree; and of a period prime to the alignment, since arithmetic passes the
 * bits of a NaN on: what is computed from beyond an input and written beyond an output must not look untouched. */
static unsigned char canary_at(size_t address) {
  return address % 2 != 0 ? 0xff : (unsigned char)(0xc1 + address / 2 % 61);
}

static void fill_canary(unsigned char *base, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) base[i] = canary_at(i);
}

/* The first changed byte, `end` if there is none. */
static size_t find_changed(const unsigned char *base, size_t begin, size_t end) {
  size_t i = begin;
  while (i < end && base[i] == canary_at(i)) i++;
  return i;
}

/* --------------------------------------------------------------------------------------------------------- runs */

/* The elements of a tensor as runs of neighbours in memory: one run for a dense tensor, else one for each row or each
 * element. `offset` is the run's first element relative to the one with all indices zero. */
typedef struct runs {
  const cbn_tensor *tensor;
  int32_t axes; /* outer axes that are walked */
  int64_t index[CBN_MAX_RANK];
  int64_t offset, length;
  bool more;
} runs;

static runs runs_of(const cbn_place *place) {
  const cbn_tensor *tensor = place->tensor;
  const int64_t count = cbn_tensor_count(tensor);
  runs r = {.tensor = tensor, .axes = tensor->rank, .length = 1, .more = count > 0};
  if (place->dense) {
    r.axes = 0;
    r.length = count;
  } else if (tensor->stride[tensor->rank - 1] == 1) {
    r.axes = tensor->rank - 1;
    r.length = tensor->extent[r.axes];
  }
  return r;
}

static void runs_next(runs *r) {
  for (int32_t axis = r->axes - 1; axis >= 0; axis--) {
    r->offset += r->tensor->stride[axis];
    if (++r->index[axis] < r->tensor->extent[axis]) return;
    r->offset -= r->tensor->stride[axis] * r->tensor->extent[axis];
    r->index[axis] = 0;
  }
  r->more = false;
}

/* The axes from the largest stride to the smallest; axes of one element, whose stride means nothing, are last. */
static void sort_axes(const cbn_tensor *tensor, int32_t order[CBN_MAX_RANK]) {
  for (int32_t i = 0; i < tensor->rank; i++) {
    const int64_t stride = tensor->extent[i] > 1 ? tensor->stride[i] : 0;
    int32_t j = i;
    for (; j > 0; j--) {
      const int32_t before = order[j - 1];
      if ((tensor->extent[before] > 1 ? tensor->stride[before] : 0) >= stride) break;
      order[j] = before;
    }
    order[j] = i;
  }
}

static bool is_dense(const cbn_tensor *tensor) {
  int32_t order[CBN_MAX_RANK];
  sort_axes(tensor, order);
  int64_t stride = 1;
  for (int32_t i = tensor->rank - 1; i >= 0; i--) {
    if (tensor->extent[order[i]] <= 1) continue;
    if (tensor->stride[order[i]] != stride) return false;
    stride *= tensor->extent[order[i]];
  }
  return true;
}

/* The row-major position of element `within` of the run. */
static int64_t position_of(const runs *r, int64_t within) {
  const cbn_tensor *tensor = r->tensor;
  int64_t index[CBN_MAX_RANK] = {0};
  if (r->axes == 0) { /* one run of all: the offset says which indices */
    int32_t order[CBN_MAX_RANK];
    sort_axes(tensor, order);
    for (int32_t i = 0; i < tensor->rank; i++) {
      if (tensor->extent[order[i]] <= 1) continue;
      index[order[i]] = within / tensor->stride[order[i]];
      within %= tensor->stride[order[i]];
    }
  } else {
    memcpy(index, r->index, sizeof index);
    if (r->axes < tensor->rank) index[r->axes] = within;
  }
  int64_t position = 0;
  for (int32_t axis = 0; axis < tensor->rank; axis++) position = position * tensor->extent[axis] + index[axis];
  return position;
}

/* Where a run is: in shared memory, at the caller's, and in the buffer of what is updated in place. */
static size_t element_size(const cbn_place *place) { return cbn_type_size(place->tensor->type); }

static unsigned char *shared_run(const cbn_place *place, unsigned char *base, const runs *r) {
  return base + place->zero + r->offset * (int64_t)element_size(place);
}

static unsigned char *callers_run(const cbn_place *place, const runs *r) {
  return (unsigned char *)place->tensor->data + r->offset * (int64_t)element_size(place);
}

static unsigned char *updated_run(const cbn_place *place, unsigned char *updated, const runs *r) {
  return updated + (size_t)(r->offset - place->low) * element_size(place);
}

static const cbn_damage no_damage = {.verdict = CBN_VERDICT_PASS, .role = -1, .element = -1};

/* --------------------------------------------------------------------------------------------------------- plan */

/* The result that a call may put in the place of that role. */
static int result_of(int role) {
  return role == CBN_ROLE_INPUT ? CBN_ROLE_OUTPUT : role == CBN_ROLE_GRAD_OUTPUT ? CBN_ROLE_GRAD_INPUT : -1;
}

static bool is_in_place(int role, const cbn_call *call) {
  const int result = result_of(role);
  return result >= 0 && call->tensor[role] != NULL && call->tensor[result] != NULL &&
         call->tensor[role]->data != NULL && call->tensor[role]->data == call->tensor[result]->data;
}

const cbn_place *cbn_call_memory_place(const cbn_call_memory *plan, int role) {
  return &plan->place[plan->in_place[role] ? result_of(role) : role];
}

static enum cbn_use use_of(int role, const cbn_call *call) {
  for (int other = 0; other < CBN_ROLE_COUNT; other++)
    if (result_of(other) == role && is_in_place(other, call)) return CBN_USE_UPDATE;
  switch (role) {
  case CBN_ROLE_RUNNING_MEAN:
  case CBN_ROLE_RUNNING_VAR:
    return call->batchnorm != NULL && call->batchnorm->update_running != 0 ? CBN_USE_UPDATE : CBN_USE_READ;
  case CBN_ROLE_OUTPUT:
  case CBN_ROLE_GRAD_INPUT:
  case CBN_ROLE_GRAD_WEIGHT:
  case CBN_ROLE_GRAD_BIAS: return CBN_USE_WRITE;
  default: return CBN_USE_READ;
  }
}

bool cbn_call_memory_plan(cbn_call_memory *plan, const cbn_call *call, cbn_error *error) {
  *plan = (cbn_call_memory){0};
  const size_t most = (size_t)INT64_MAX / 4;
  size_t cursor = 0;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_tensor *tensor = call->tensor[role];
    plan->in_place[role] = is_in_place(role, call);
    if (tensor == NULL || plan->in_place[role]) continue;
    int64_t low, high;
    CBN_CHECK(cbn_tensor_reach(tensor, &low, &high), error, "the %s has a type, shape or strides that no memory has",
              cbn_role_name(role));
    CBN_CHECK(tensor->data != NULL || high < 0, error, "the %s has no memory", cbn_role_name(role));
    const size_t size = cbn_type_size(tensor->type), span = (size_t)(high - low + 1) * size;
    const size_t begin = (cursor + MARGIN + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    CBN_CHECK(begin < most && span < most - begin, error, "the call's tensors exceed every memory");
    cursor = begin + span;
    plan->place[role] = (cbn_place){.tensor = tensor,
                                    .use = use_of(role, call),
                                    .dense = is_dense(tensor),
                                    .low = low,
                                    .begin = begin,
                                    .end = cursor,
                                    .zero = begin + (size_t)-low * size};
    if (plan->place[role].use == CBN_USE_UPDATE) plan->updated_size += span;
  }
  plan->size = cursor + MARGIN;
  return true;
}

static void fill_place(const cbn_place *place, unsigned char *base, int pass) {
  const size_t size = element_size(place);
  if (!place->dense) fill_canary(base, place->begin, place->end);
  for (runs r = runs_of(place); r.more; runs_next(&r)) {
    unsigned char *to = shared_run(place, base, &r);
    if (place->use == CBN_USE_WRITE) fill_elements(to, r.length, size, poison_for(place->tensor, pass));
    else memcpy(to, callers_run(place, &r), (size_t)r.length * size);
  }
}

void cbn_call_memory_fill(const cbn_call_memory *plan, unsigned char *base, int pass) {
  size_t margin = 0;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_place *place = &plan->place[role];
    if (place->tensor == NULL) continue;
    fill_canary(base, margin, place->begin);
    fill_place(place, base, pass);
    margin = place->end;
  }
  fill_canary(base, margin, plan->size);
}

/* ------------------------------------------------------------------------------------------------------- checks */

/* A changed byte of a margin belongs to the nearer of the tensors beside it. */
static cbn_damage check_margins(const cbn_call_memory *plan, const unsigned char *base) {
  int before = -1;
  for (int role = 0; role <= CBN_ROLE_COUNT; role++) {
    if (role < CBN_ROLE_COUNT && plan->place[role].tensor == NULL) continue;
    const size_t begin = before < 0 ? 0 : plan->place[before].end;
    const size_t end = role < CBN_ROLE_COUNT ? plan->place[role].begin : plan->size;
    const size_t changed = find_changed(base, begin, end);
    if (changed < end) {
      const bool nearer_to_next = before < 0 || (role < CBN_ROLE_COUNT && end - changed < changed - begin);
      return (cbn_damage){CBN_VERDICT_OUT_OF_BOUNDS, nearer_to_next && role < CBN_ROLE_COUNT ? role : before, -1};
    }
    before = role;
  }
  return no_damage;
}

static int64_t first_difference(const unsigned char *a, const unsigned char *b, int64_t count, size_t size) {
  for (int64_t i = 0; i < count; i++) {
    if (memcmp(a + (size_t)i * size, b + (size_t)i * size, size) != 0) return i;
  }
  return -1;
}

static cbn_damage check_input(const cbn_place *place, int role, const unsigned char *base) {
  const size_t size = element_size(place);
  for (runs r = runs_of(place); r.more; runs_next(&r)) {
    const unsigned char *now = base + place->zero + r.offset * (int64_t)size, *before = callers_run(place, &r);
    if (memcmp(now, before, (size_t)r.length * size) == 0) continue;
    return (cbn_damage){CBN_VERDICT_INPUT_MODIFIED, role,
                        position_of(&r, first_difference(now, before, r.length, size))};
  }
  return no_damage;
}

cbn_damage cbn_call_memory_check(const cbn_call_memory *plan, const unsigned char *base) {
  cbn_damage damage = check_margins(plan, base);
  for (int role = 0; role < CBN_ROLE_COUNT && damage.verdict == CBN_VERDICT_PASS; role++) {
    const cbn_place *place = &plan->place[role];
    if (place->tensor != NULL && place->use == CBN_USE_READ) damage = check_input(place, role, base);
  }
  return damage;
}

/* The gaps of a strided output, its elements having been copied: with canaries in their stead all is canary. */
static cbn_damage check_gaps(const cbn_place *place, int role, unsigned char *base) {
  if (place->dense) return no_damage;
  for (runs r = runs_of(place); r.more; runs_next(&r)) {
    const size_t begin = (size_t)(shared_run(place, base, &r) - base);
    fill_canary(base, begin, begin + (size_t)r.length * element_size(place));
  }
  if (find_changed(base, place->begin, place->end) == place->end) return no_damage;
  return (cbn_damage){CBN_VERDICT_OUT_OF_BOUNDS, role, -1};
}

cbn_damage cbn_call_memory_collect(const cbn_call_memory *plan, unsigned char *base, unsigned char *updated) {
  cbn_damage damage = no_damage;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_place *place = &plan->place[role];
    if (place->tensor == NULL || place->use == CBN_USE_READ) continue;
    for (runs r = runs_of(place); r.more; runs_next(&r)) {
      unsigned char *to = place->use == CBN_USE_WRITE ? callers_run(place, &r) : updated_run(place, updated, &r);
      memcpy(to, shared_run(place, base, &r), (size_t)r.length * element_size(place));
    }
    const cbn_damage gaps = check_gaps(place, role, base);
    if (damage.verdict == CBN_VERDICT_PASS) damage = gaps;
    if (place->use == CBN_USE_UPDATE) updated += place->end - place->begin;
  }
  return damage;
}

cbn_damage cbn_call_memory_unwritten(const cbn_call_memory *plan) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_place *place = &plan->place[role];
    if (place->tensor == NULL || place->use != CBN_USE_WRITE) continue;
    for (runs r = runs_of(place); r.more; runs_next(&r)) {
      const int64_t found =
          find_element(callers_run(place, &r), r.length, element_size(place), poison_for(place->tensor, 0));
      if (found >= 0) return (cbn_damage){CBN_VERDICT_UNWRITTEN_OUTPUT, role, position_of(&r, found)};
    }
  }
  return no_damage;
}

/* Two runs' elements that differ somewhere. An unwritten one outranks the first that differs. */
static cbn_damage compare_run(const cbn_place *place, int role, const runs *r, const unsigned char *first,
                              const unsigned char *second) {
  const size_t size = element_size(place);
  uint64_t poison[2];
  for (int pass = 0; pass < 2; pass++)
    fill_elements((unsigned char *)&poison[pass], 1, size, poison_for(place->tensor, pass));
  cbn_damage damage = no_damage;
  for (int64_t i = 0; i < r->length; i++) {
    const unsigned char *a = first + (size_t)i * size, *b = second + (size_t)i * size;
    if (memcmp(a, b, size) == 0) continue;
    if (place->use == CBN_USE_WRITE && memcmp(a, &poison[0], size) == 0 && memcmp(b, &poison[1], size) == 0) {
      return (cbn_damage){CBN_VERDICT_UNWRITTEN_OUTPUT, role, position_of(r, i)};
    }
    if (damage.verdict == CBN_VERDICT_PASS)
      damage = (cbn_damage){CBN_VERDICT_NONDETERMINISTIC, role, position_of(r, i)};
  }
  return damage;
}

cbn_damage cbn_call_memory_compare(const cbn_call_memory *plan, const unsigned char *base,
                                   const unsigned char *updated) {
  cbn_damage damage = no_damage;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_place *place = &plan->place[role];
    if (place->tensor == NULL || place->use == CBN_USE_READ) continue;
    const size_t size = element_size(place);
    for (runs r = runs_of(place); r.more; runs_next(&r)) {
      const unsigned char *second = base + place->zero + r.offset * (int64_t)size;
      const unsigned char *first =
          place->use == CBN_USE_WRITE ? callers_run(place, &r) : updated + (size_t)(r.offset - place->low) * size;
      if (memcmp(first, second, (size_t)r.length * size) == 0) continue;
      const cbn_damage found = compare_run(place, role, &r, first, second);
      if (found.verdict == CBN_VERDICT_UNWRITTEN_OUTPUT) return found;
      if (damage.verdict == CBN_VERDICT_PASS) damage = found;
    }
    if (place->use == CBN_USE_UPDATE) updated += place->end - place->begin;
  }
  return damage;
}

void cbn_call_memory_deliver(const cbn_call_memory *plan, const unsigned char *updated) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_place *place = &plan->place[role];
    if (place->tensor == NULL || place->use != CBN_USE_UPDATE) continue;
    for (runs r = runs_of(place); r.more; runs_next(&r)) {
      memcpy(callers_run(place, &r), updated + (size_t)(r.offset - place->low) * element_size(place),
             (size_t)r.length * element_size(place));
    }
    updated += place->end - place->begin;
  }
}
