/* tests/test_fast_types.c - f16, bf16 and f64 in fast/: conversions at every value and every rounding boundary, and
 * convolutions in every direction against their definition in long double. core/halves.h, on which the tests of tensors
 * rely, is checked here by a method of its own: neighbours, and the points half-way between them.
 *
 * Random problems have a number each. A failure prints the line that replays its problem alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/halves.h"
#include "core/scratch.h"
#include "fast/fast.h"
#include "fast/kernels.h"

#include <convbn/operator.h>

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/chance.h"

/* ------------------------------------------------------------------------------- memory, watched and made to fail */

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static struct {
  size_t largest;
  bool fail;
} memory;

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  if (size > memory.largest) memory.largest = size;
  return memory.fail ? NULL : __real_aligned_alloc(alignment, size);
}

static void *allocated(size_t bytes) {
  void *block = malloc(bytes > 0 ? bytes : 1);
  assert_non_null(block);
  return block;
}

/* ------------------------------------------------------------------------------------------------- conversions */

static const char *const isas[] = {"avx2", "portable"};
enum { ISAS = 2, PATTERNS = 1 << 16 };

/* One of the two formats, and who converts it. */
typedef struct format {
  const char *name;
  int fraction_bits, bias;
  double (*decode)(uint16_t bits);
  uint16_t (*encode)(double value);
} format;

static const format formats[] = {
    {"f16", 10, 15, cbn_f16_to_f64, cbn_f64_to_f16},
    {"bf16", 7, 127, cbn_bf16_to_f64, cbn_f64_to_bf16},
};
enum { FORMATS = 2 };

static uint16_t infinity_of(const format *f) { return (uint16_t)((2 * f->bias + 1) << f->fraction_bits); }
static bool is_nan(const format *f, uint16_t bits) { return (bits & 0x7fff) > infinity_of(f); }

/* The value of a finite magnitude by the formula of IEEE 754, section 3.4; what would follow the greatest is what
 * overflow is measured against. */
static double value_of(const format *f, uint16_t magnitude) {
  const int exponent = magnitude >> f->fraction_bits, fraction = magnitude & ((1 << f->fraction_bits) - 1);
  const double one = exponent > 0 ? 1.0 : 0.0;
  return (one + (double)fraction * pow(2, -f->fraction_bits)) * pow(2, (exponent > 0 ? exponent : 1) - f->bias);
}

static void test_core_decodes(void **state) {
  (void)state;
  for (int k = 0; k < FORMATS; k++) {
    const format *f = &formats[k];
    for (int32_t i = 0; i < PATTERNS; i++) {
      const uint16_t bits = (uint16_t)i, magnitude = bits & 0x7fff;
      const double value = f->decode(bits);
      if (is_nan(f, bits)) {
        assert_true(isnan(value));
        assert_true(is_nan(f, f->encode(value)));
        continue;
      }
      const double expected = magnitude == infinity_of(f) ? INFINITY : value_of(f, magnitude);
      assert_true(fabs(value) == expected && !signbit(value) == !(bits & 0x8000));
      assert_int_equal(f->encode(value), bits);
    }
  }
}

static void assert_encodes(const format *f, double magnitude, uint16_t bits) {
  assert_int_equal(f->encode(magnitude), bits);
  assert_int_equal(f->encode(-magnitude), bits | 0x8000);
}

/* Half-way between neighbours, which are neighbours as integers too: to the even one. The nearest f64 beside that point
 * lies beyond every f32, so that rounding twice would be seen. */
static void test_core_encodes_to_nearest_even(void **state) {
  (void)state;
  for (int k = 0; k < FORMATS; k++) {
    const format *f = &formats[k];
    for (uint16_t low = 0; low < infinity_of(f); low++) {
      const uint16_t high = (uint16_t)(low + 1);
      const double below = value_of(f, low), above = value_of(f, high), middle = (below + above) / 2;
      assert_encodes(f, middle, low % 2 == 0 ? low : high);
      assert_encodes(f, nextafter(middle, below), low);
      assert_encodes(f, nextafter(middle, above), high);
      assert_encodes(f, below + (above - below) / 4, low);
    }
    assert_encodes(f, DBL_MAX, infinity_of(f));
    assert_encodes(f, INFINITY, infinity_of(f));
    assert_encodes(f, 0, 0);
    assert_encodes(f, DBL_TRUE_MIN, 0);
    assert_true(is_nan(f, f->encode(NAN)) && is_nan(f, f->encode(-NAN)));
  }
}

typedef struct kernel_pair {
  cbn_widen_kernel *widen;
  cbn_narrow_kernel *narrow;
} kernel_pair;

static bool kernels_of(int isa, int k, kernel_pair *pair) {
  cbn_fast_kernels kernels;
  if (!cbn_fast_kernels_by_name(isas[isa], &kernels)) return false;
  const cbn_convert_kernels *c = kernels.convert;
  *pair = k == 0 ? (kernel_pair){c->widen_f16, c->narrow_f16} : (kernel_pair){c->widen_bf16, c->narrow_bf16};
  return true;
}

static void test_kernels_widen_every_value(void **state) {
  (void)state;
  static uint16_t halves[PATTERNS], back[PATTERNS];
  static float wide[PATTERNS];
  for (int32_t i = 0; i < PATTERNS; i++) halves[i] = (uint16_t)i;
  for (int k = 0; k < FORMATS; k++) {
    const format *f = &formats[k];
    for (int isa = 0; isa < ISAS; isa++) {
      kernel_pair kernel;
      if (!kernels_of(isa, k, &kernel)) continue;
      kernel.widen(wide, halves, PATTERNS);
      kernel.narrow(back, wide, PATTERNS);
      for (int32_t i = 0; i < PATTERNS; i++) {
        if (is_nan(f, halves[i])) {
          assert_true(isnan(wide[i]) && is_nan(f, back[i]));
          continue;
        }
        assert_true((double)wide[i] == f->decode(halves[i]) && !signbit(wide[i]) == !(halves[i] & 0x8000));
        assert_int_equal(back[i], halves[i]);
      }
    }
  }
}

static void test_kernels_narrow_at_every_boundary(void **state) {
  (void)state;
  for (int k = 0; k < FORMATS; k++) {
    const format *f = &formats[k];
    for (int isa = 0; isa < ISAS; isa++) {
      kernel_pair kernel;
      if (!kernels_of(isa, k, &kernel)) continue;
      for (uint16_t low = 0; low < infinity_of(f); low++) {
        const uint16_t high = (uint16_t)(low + 1), even = low % 2 == 0 ? low : high;
        /* f32's own smallest subnormal is a quarter of bf16's boundary at most; its greatest is beyond the last one. */
        const float middle = (float)((value_of(f, low) + value_of(f, high)) / 2);
        const float values[] = {middle,  nextafterf(middle, 0),  nextafterf(middle, INFINITY),
                                -middle, -nextafterf(middle, 0), -nextafterf(middle, INFINITY)};
        const uint16_t expected[] = {even, low, high, even | 0x8000, low | 0x8000, high | 0x8000};
        uint16_t narrow[6];
        kernel.narrow(narrow, values, 6);
        assert_memory_equal(narrow, expected, sizeof narrow);
      }
    }
  }
}

/* A walk through all of f32, NaN included, in lengths that are no multiple of a vector. */
static void test_kernels_narrow_as_core_does(void **state) {
  (void)state;
  enum { MOST = 61 };
  float values[MOST];
  uint16_t narrow[MOST + 1];
  uint32_t bits = 0;
  for (int64_t round = 0; round < 60000; round++) {
    const int count = (int)(round % MOST) + 1;
    for (int i = 0; i < count; i++) {
      bits += 2291 + 2 * (uint32_t)(round % 7); /* about once around */
      memcpy(&values[i], &bits, sizeof bits);
    }
    for (int k = 0; k < FORMATS; k++) {
      for (int isa = 0; isa < ISAS; isa++) {
        kernel_pair kernel;
        if (!kernels_of(isa, k, &kernel)) continue;
        narrow[count] = 0x1234;
        kernel.narrow(narrow, values, count);
        for (int i = 0; i < count; i++) {
          const uint16_t expected = formats[k].encode((double)values[i]);
          assert_true(narrow[i] == expected || (isnan(values[i]) && is_nan(&formats[k], narrow[i])));
        }
        assert_int_equal(narrow[count], 0x1234);
      }
    }
  }
}

/* ------------------------------------------------------------------------------------------------------ chance */

static const uint64_t first_seed = 20260801;

static uint64_t seeds(int *count) { return seeds_from(first_seed, count); }

/* ----------------------------------------------------------------------------------------------------- tensors */

enum layout { CONTIGUOUS, LAST, GAPS, LAYOUTS };

static const uint16_t untouched = 0x5bad;

/* A tensor with its whole memory: as long as its elements need, gaps included. */
static void make(cbn_tensor *t, int32_t type, int32_t rank, const int64_t *extent, enum layout layout, chance *r) {
  draw_strides(t, type, rank, extent, layout == LAST, layout == GAPS, 0, r);
  const int64_t bytes = cbn_tensor_bytes(t);
  t->data = bytes > 0 ? allocated((size_t)bytes) : NULL;
  for (int64_t i = 0; i < bytes / 2; i++) ((uint16_t *)t->data)[i] = untouched;
}

/* The 16-bit words of memory that belong to no element are as `make` left them. */
static bool gaps_untouched(const cbn_tensor *t) {
  const size_t bytes = (size_t)cbn_tensor_bytes(t), size = cbn_type_size(t->type);
  unsigned char *copy = allocated(bytes);
  if (bytes > 0) memcpy(copy, t->data, bytes);
  for (int64_t i = 0, n = cbn_tensor_count(t); i < n; i++) {
    for (size_t b = 0; b < size; b += sizeof untouched)
      memcpy(copy + (size_t)cbn_tensor_offset(t, i) * size + b, &untouched, sizeof untouched);
  }
  bool same = true;
  for (size_t i = 0; i < bytes; i += sizeof untouched)
    same = same && memcmp(copy + i, &untouched, sizeof untouched) == 0;
  free(copy);
  return same;
}

/* ------------------------------------------------------------------------------------------------- convolutions */

typedef struct problem {
  uint64_t seed;
  cbn_conv conv;
  int32_t type;
  bool integers;
  double *array[CBN_ROLE_COUNT]; /* row-major, representable in the type */
  int64_t count[CBN_ROLE_COUNT];
} problem;

/* An element of a result: its exact value up to long double, the sum of the magnitudes and the number of products. */
typedef struct sum {
  long double value, magnitude;
  int64_t terms;
} sum;

static void print_problem(const problem *p) {
  const cbn_conv *c = &p->conv;
  print_error("\n%s, direction %d, transposed %d, mode %d, batch %" PRId64 ", channels %" PRId64 " to %" PRId64
              ", groups %" PRId64,
              cbn_type_name(p->type), (int)c->direction, (int)c->transposed, (int)c->padding_mode, c->batch,
              c->in_channels, c->out_channels, c->groups);
  for (int a = 0; a < c->spatial_rank; a++)
    print_error("\n  input %" PRId64 " kernel %" PRId64 " stride %" PRId64 " dilation %" PRId64 " / %" PRId64
                " pad %" PRId64 " %" PRId64 " output padding %" PRId64,
                c->input[a], c->kernel[a], c->stride[a], c->dilation[a], c->input_dilation[a], c->pad_begin[a],
                c->pad_end[a], c->output_padding[a]);
  print_error("\nreplay: CBN_TEST_SEED=%" PRIu64 " test_fast_types\n", p->seed);
}

#define FAIL_PROBLEM(p, ...)                                                                                           \
  do {                                                                                                                 \
    print_error(__VA_ARGS__);                                                                                          \
    print_problem(p);                                                                                                  \
    fail();                                                                                                            \
  } while (0)

/* Steps of x into the input until it is inside, mode by mode; -1: a zero of the padding. */
static int64_t walked_inside(int mode, int64_t extent, int64_t x) {
  while (x < 0 || x >= extent) {
    if (mode == CBN_PAD_ZEROS) return -1;
    if (mode == CBN_PAD_REPLICATE) x += x < 0 ? 1 : -1;
    if (mode == CBN_PAD_CIRCULAR) x += x < 0 ? extent : -extent;
    if (mode == CBN_PAD_REFLECT) x = x < 0 ? -x : 2 * (extent - 1) - x;
  }
  return x;
}

static int64_t flat(int32_t rank, const int64_t *extent, const int64_t *index) {
  int64_t position = 0;
  for (int i = 0; i < rank; i++) position = position * extent[i] + index[i];
  return position;
}

static void add(sum *s, double a, double b) {
  s->value += (long double)a * (long double)b;
  s->magnitude += fabsl((long double)a * (long double)b);
  s->terms++;
}

/* Which role the problem asks for. */
static int target_of(const problem *p) {
  static const int role[] = {CBN_ROLE_OUTPUT, CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS};
  return role[p->conv.direction];
}

/* A pair of an element of the side that is read through padding (`wide`) and one of the other, met by one weight. A
 * plain convolution's wide side is its input; zeros of the padding (wide -1) contribute nothing to finite numbers. */
static void add_meeting(const problem *p, sum *result, int64_t wide, int64_t narrow, int64_t weight) {
  if (wide < 0) return;
  const int64_t input = p->conv.transposed ? narrow : wide, output = p->conv.transposed ? wide : narrow;
  switch (p->conv.direction) {
  case CBN_FORWARD: add(&result[output], p->array[CBN_ROLE_INPUT][input], p->array[CBN_ROLE_WEIGHT][weight]); break;
  case CBN_GRAD_INPUT:
    add(&result[input], p->array[CBN_ROLE_GRAD_OUTPUT][output], p->array[CBN_ROLE_WEIGHT][weight]);
    break;
  default: add(&result[weight], p->array[CBN_ROLE_INPUT][input], p->array[CBN_ROLE_GRAD_OUTPUT][output]); break;
  }
}

/* Walks over every narrow element and every tap of its weight, once. */
static void add_products(const problem *p, sum *result) {
  const cbn_conv *c = &p->conv;
  const int rank = c->spatial_rank;
  int64_t wide[CBN_MAX_RANK], narrow[CBN_MAX_RANK], weight[CBN_MAX_RANK];
  cbn_conv_extents(c, c->transposed ? CBN_ROLE_OUTPUT : CBN_ROLE_INPUT, wide);
  cbn_conv_extents(c, c->transposed ? CBN_ROLE_INPUT : CBN_ROLE_OUTPUT, narrow);
  cbn_conv_extents(c, CBN_ROLE_WEIGHT, weight);
  const int64_t positions = cbn_extent_product(rank + 2, narrow), taps = cbn_extent_product(rank + 1, weight + 1);
  const int64_t per_group = narrow[1] / c->groups;
  for (int64_t i = 0; i < positions; i++) {
    int64_t at[CBN_MAX_RANK];
    cbn_unravel(rank + 2, narrow, i, at);
    for (int64_t k = 0; k < taps; k++) {
      int64_t tap[CBN_MAX_RANK], there[CBN_MAX_RANK] = {at[0]};
      cbn_unravel(rank + 1, weight + 1, k, tap);
      there[1] = at[1] / per_group * weight[1] + tap[0];
      bool zero = false;
      for (int a = 0; a < rank; a++) {
        const int64_t spread = (wide[2 + a] - 1) * c->input_dilation[a] + 1;
        const int64_t x = at[2 + a] * c->stride[a] + tap[1 + a] * c->dilation[a] - c->pad_begin[a];
        const int64_t inside = wide[2 + a] > 0 ? walked_inside(c->padding_mode, spread, x) : -1;
        zero = zero || inside < 0 || inside % c->input_dilation[a] != 0;
        there[2 + a] = inside / c->input_dilation[a];
      }
      add_meeting(p, result, zero ? -1 : flat(rank + 2, wide, there), i, at[1] * taps + k);
    }
  }
}

static void add_biases(const problem *p, sum *result) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_conv_extents(&p->conv, CBN_ROLE_OUTPUT, extent);
  for (int64_t i = 0, n = cbn_extent_product(rank, extent); i < n; i++) {
    int64_t at[CBN_MAX_RANK];
    cbn_unravel(rank, extent, i, at);
    if (p->conv.direction == CBN_GRAD_BIAS) add(&result[at[1]], p->array[CBN_ROLE_GRAD_OUTPUT][i], 1);
    if (p->conv.direction == CBN_FORWARD && p->conv.has_bias) add(&result[i], p->array[CBN_ROLE_BIAS][at[1]], 1);
  }
}

static sum *solve(const problem *p) {
  const int64_t count = p->count[target_of(p)];
  sum *result = allocated((size_t)count * sizeof *result);
  for (int64_t i = 0; i < count; i++) result[i] = (sum){0, 0, 0};
  if (p->conv.direction != CBN_GRAD_BIAS) add_products(p, result);
  add_biases(p, result);
  return result;
}

/* ------------------------------------------------------------------------------------------------- running it */

static double rounded(int32_t type, double value) {
  switch (type) {
  case CBN_F32: return (double)(float)value;
  case CBN_F16: return cbn_f16_to_f64(cbn_f64_to_f16(value));
  case CBN_BF16: return cbn_bf16_to_f64(cbn_f64_to_bf16(value));
  default: return value;
  }
}

static bool takes_part(const cbn_conv *conv, int role) {
  switch (role) {
  case CBN_ROLE_INPUT: return conv->direction == CBN_FORWARD || conv->direction == CBN_GRAD_WEIGHT;
  case CBN_ROLE_WEIGHT: return conv->direction == CBN_FORWARD || conv->direction == CBN_GRAD_INPUT;
  case CBN_ROLE_BIAS: return conv->direction == CBN_FORWARD;
  case CBN_ROLE_GRAD_OUTPUT: return conv->direction != CBN_FORWARD;
  default: return false;
  }
}

static void fill(problem *p, chance *r) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(&p->conv, role, extent);
    p->count[role] = rank > 0 ? cbn_extent_product(rank, extent) : 0;
    if (rank == 0 || !takes_part(&p->conv, role)) continue;
    p->array[role] = allocated((size_t)p->count[role] * sizeof(double));
    for (int64_t i = 0; i < p->count[role]; i++)
      p->array[role][i] = p->integers ? (double)between(r, -4, 4) : rounded(p->type, 2 * unit(r) - 1);
  }
}

static void clear(problem *p) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) free(p->array[role]);
}

/* The result in row-major order; NULL where the processor lacks the instruction set. */
static double *run(const problem *p, int isa, const enum layout layout[3], int threads) {
  char option[32], message[256] = "";
  snprintf(option, sizeof option, "isa=%s", isas[isa]);
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, option);
  if (!engine) return NULL;
  chance r = {p->seed ^ 0x5eed};
  cbn_tensor tensor[CBN_ROLE_COUNT];
  const int target = target_of(p);
  cbn_call call = {.struct_size = sizeof call,
                   .operator_kind = CBN_OPERATOR_CONV,
                   .conv = &p->conv,
                   .threads = threads,
                   .message_size = sizeof message,
                   .message = message};
  for (int role = 0, k = 0; role < CBN_ROLE_COUNT; role++) {
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(&p->conv, role, extent);
    if (rank == 0 || (role != target && !takes_part(&p->conv, role))) continue;
    make(&tensor[role], p->type, rank, extent, layout[k++ % 3], &r);
    for (int64_t i = 0; i < p->count[role] && role != target; i++) cbn_tensor_set(&tensor[role], i, p->array[role][i]);
    call.tensor[role] = &tensor[role];
  }
  const int status = engine->run(engine, &call);
  if (status != CBN_OK) FAIL_PROBLEM(p, "isa=%s: status %d, %s", isas[isa], status, message);
  double *values = allocated((size_t)p->count[target] * sizeof *values);
  for (int64_t i = 0; i < p->count[target]; i++) values[i] = cbn_tensor_get(&tensor[target], i);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (!call.tensor[role]) continue;
    for (int64_t i = 0; i < p->count[role] && role != target; i++) {
      if (cbn_tensor_get(&tensor[role], i) != p->array[role][i])
        FAIL_PROBLEM(p, "the %s was written", cbn_role_name(role));
    }
    if (!gaps_untouched(&tensor[role])) FAIL_PROBLEM(p, "gaps of the %s were written", cbn_role_name(role));
    free(tensor[role].data);
  }
  engine->close(engine);
  return values;
}

static double bound_of(const problem *p, const sum *exact) {
  const double u = p->type == CBN_F64 ? 0x1p-53 : 0x1p-24, n = (double)exact->terms + 2;
  const double error = n * u / (1 - n * u) * (double)exact->magnitude;
  const double last = p->type == CBN_F16 ? 0x1p-11 : p->type == CBN_BF16 ? 0x1p-8 : 0;
  return error + last * (fabs((double)exact->value) + error) + (p->type == CBN_F16 ? 0x1p-25 : 0x1p-134);
}

static void check(const problem *p, const sum *exact, const double *values, int isa) {
  for (int64_t i = 0; i < p->count[target_of(p)]; i++) {
    const double bound = p->integers ? 0 : bound_of(p, &exact[i]);
    const long double expected = p->integers ? (long double)rounded(p->type, (double)exact[i].value) : exact[i].value;
    if (!(fabsl((long double)values[i] - expected) <= (long double)bound))
      FAIL_PROBLEM(p, "isa=%s: element %" PRId64 " is %.17g, expected %.17Lg within %g", isas[isa], i, values[i],
                   expected, bound);
  }
}

static void random_axis(cbn_conv *c, int a, chance *r) {
  c->input[a] = between(r, 1, between(r, 1, 8));
  c->kernel[a] = between(r, 1, 3);
  c->stride[a] = between(r, 1, 3);
  c->dilation[a] = between(r, 1, 2);
  if (!c->transposed && c->padding_mode == CBN_PAD_ZEROS && between(r, 0, 3) == 0)
    c->input_dilation[a] = between(r, 1, 3);
  c->pad_begin[a] = between(r, -1, 3);
  c->pad_end[a] = between(r, -1, 3);
  if (c->transposed)
    c->output_padding[a] = between(r, 0, (c->stride[a] > c->dilation[a] ? c->stride[a] : c->dilation[a]) - 1);
  if (c->padding_mode == CBN_PAD_ZEROS) return;
  const int64_t most = c->padding_mode == CBN_PAD_REFLECT ? c->input[a] - 1 : c->input[a];
  c->pad_begin[a] = c->pad_begin[a] > most ? most : c->pad_begin[a] < 0 ? 0 : c->pad_begin[a];
  c->pad_end[a] = c->pad_end[a] > most ? most : c->pad_end[a] < 0 ? 0 : c->pad_end[a];
}

static problem random_problem(uint64_t seed, chance *r) {
  static const int32_t drawn[] = {CBN_F64, CBN_F64, CBN_F16, CBN_BF16};
  problem p = {.seed = seed, .conv = cbn_conv_make((int32_t)between(r, 1, 3)), .type = drawn[between(r, 0, 3)]};
  cbn_conv *c = &p.conv;
  p.integers = between(r, 0, 1);
  c->direction = (int32_t)between(r, CBN_FORWARD, CBN_GRAD_BIAS);
  c->transposed = (int32_t)between(r, 0, 1);
  c->padding_mode = c->transposed ? CBN_PAD_ZEROS : (int32_t)between(r, 0, 3);
  c->has_bias = c->direction == CBN_GRAD_BIAS || between(r, 0, 1);
  c->batch = between(r, 0, 9) ? between(r, 1, 3) : 0;
  c->groups = between(r, 1, 3);
  c->in_channels = c->groups * between(r, 1, 3);
  c->out_channels = c->groups * between(r, 1, 3);
  for (int a = 0; a < c->spatial_rank; a++) random_axis(c, a, r);
  return p;
}

static void test_random_convolutions(void **state) {
  (void)state;
  int count = 6000;
  const uint64_t seed = seeds(&count);
  for (int i = 0; i < count; i++) {
    chance r = {seed + (uint64_t)i};
    problem p = random_problem(seed + (uint64_t)i, &r);
    cbn_violation violation;
    if (!cbn_conv_validate(&p.conv, &violation))
      FAIL_PROBLEM(&p, "the test draws a bad problem: %s", violation.message);
    fill(&p, &r);
    sum *exact = solve(&p);
    for (int isa = 0; isa < ISAS; isa++) {
      for (int k = 0; k < 3; k++) {
        enum layout layout[3];
        for (int j = 0; j < 3; j++) layout[j] = k < 2 ? (enum layout)k : (enum layout)between(&r, 0, LAYOUTS - 1);
        double *values = run(&p, isa, layout, 1);
        if (values) check(&p, exact, values, isa);
        free(values);
      }
    }
    free(exact);
    clear(&p);
  }
}

/* Long rows go in chunks, large problems to several threads, which change no bit. */
static void test_long_rows(void **state) {
  (void)state;
  for (int direction = CBN_FORWARD; direction <= CBN_GRAD_BIAS; direction++) {
    for (int k = 0; k < 6; k++) {
      const int transposed = k % 2;
      chance r = {(uint64_t)direction};
      problem p = {.seed = 1, .conv = cbn_conv_make(1), .type = CBN_F64 + k / 2};
      p.conv.direction = direction;
      p.conv.transposed = transposed;
      p.conv.has_bias = 1;
      p.conv.batch = 2;
      p.conv.in_channels = 8;
      p.conv.out_channels = 12;
      p.conv.groups = 2;
      p.conv.input[0] = 5000;
      p.conv.kernel[0] = 5;
      p.conv.stride[0] = 2;
      p.conv.pad_begin[0] = p.conv.pad_end[0] = 3;
      fill(&p, &r);
      sum *exact = solve(&p);
      for (int isa = 0; isa < ISAS; isa++) {
        double *one = run(&p, isa, (enum layout[]){GAPS, LAST, GAPS}, 1);
        double *two = run(&p, isa, (enum layout[]){GAPS, LAST, GAPS}, 2);
        if (one) check(&p, exact, two, isa);
        assert_true(!one || memcmp(one, two, (size_t)p.count[target_of(&p)] * sizeof *one) == 0);
        free(one);
        free(two);
      }
      free(exact);
      clear(&p);
    }
  }
}

/* A product that f32 cannot hold: f64 is computed in f64. */
static void test_f64_is_f64(void **state) {
  (void)state;
  double x = 1 + 0x1p-30, w = 1 - 0x1p-30, y = 0;
  const cbn_tensor tx = {.type = CBN_F64, .rank = 3, .extent = {1, 1, 1}, .stride = {1, 1, 1}, .data = &x};
  cbn_tensor tw = tx, ty = tx;
  tw.data = &w;
  ty.data = &y;
  cbn_conv conv = cbn_conv_make(1);
  conv.batch = conv.in_channels = conv.out_channels = conv.input[0] = 1;
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, "");
  cbn_call call = {.struct_size = sizeof call, .operator_kind = CBN_OPERATOR_CONV, .conv = &conv, .threads = 1};
  call.tensor[CBN_ROLE_INPUT] = &tx;
  call.tensor[CBN_ROLE_WEIGHT] = &tw;
  call.tensor[CBN_ROLE_OUTPUT] = &ty;
  assert_int_equal(engine->run(engine, &call), CBN_OK);
  assert_true(y == 1 - 0x1p-60 || y == 1); /* 1 - 2^-60 rounds to 1 */
  x = 1 + 0x1p-30;
  w = 1 + 0x1p-20;
  assert_int_equal(engine->run(engine, &call), CBN_OK);
  assert_true(y == 1 + 0x1p-20 + 0x1p-30 + 0x1p-50);
  engine->close(engine);
}

/* Sixteen images of 4 MiB in f32, and as much again of the other side: parts of the batch, within the limit. A
 * depthwise 1 x 1 convolution of small integers, whose results are known without a sum. */
static void test_parts_of_a_batch(void **state) {
  (void)state;
  enum { BATCH = 16, CHANNELS = 4, EXTENT = 512, PLANE = EXTENT * EXTENT };
  for (int32_t type = CBN_F16; type <= CBN_BF16; type++) {
    for (int direction = CBN_FORWARD; direction <= CBN_GRAD_BIAS; direction++) {
      problem p = {.seed = 1, .conv = cbn_conv_make(2), .type = type, .integers = true};
      p.conv.direction = direction;
      p.conv.has_bias = 1;
      p.conv.batch = BATCH;
      p.conv.in_channels = p.conv.out_channels = p.conv.groups = CHANNELS;
      p.conv.input[0] = p.conv.input[1] = EXTENT;
      fill(&p, &(chance){1});
      const int64_t count = (int64_t)BATCH * CHANNELS * PLANE;
      /* Sums that every f32 holds, and no two parts alike. */
      for (int64_t i = 0; i < count; i++) {
        if (p.array[CBN_ROLE_INPUT]) p.array[CBN_ROLE_INPUT][i] = (double)(i % 7 - 3);
        if (p.array[CBN_ROLE_GRAD_OUTPUT]) p.array[CBN_ROLE_GRAD_OUTPUT][i] = i % 1013 == 5 || i % 7001 < 9 ? 1 : 0;
      }
      memory.largest = 0;
      double *values = run(&p, direction % ISAS, (enum layout[]){CONTIGUOUS, CONTIGUOUS, CONTIGUOUS}, 2);
      if (!values) continue;
      assert_in_range(memory.largest, 1, CBN_FAST_WORKSPACE_LIMIT);
      double sums[CHANNELS] = {0};
      const double *x = p.array[CBN_ROLE_INPUT], *g = p.array[CBN_ROLE_GRAD_OUTPUT], *w = p.array[CBN_ROLE_WEIGHT];
      for (int64_t i = 0; i < count; i++) {
        const int64_t c = i / PLANE % CHANNELS;
        if (direction == CBN_FORWARD) assert_true(values[i] == x[i] * w[c] + p.array[CBN_ROLE_BIAS][c]);
        if (direction == CBN_GRAD_INPUT) assert_true(values[i] == g[i] * w[c]);
        if (direction == CBN_GRAD_WEIGHT) sums[c] += x[i] * g[i];
        if (direction == CBN_GRAD_BIAS) sums[c] += g[i];
      }
      for (int c = 0; c < CHANNELS && direction >= CBN_GRAD_WEIGHT; c++)
        assert_true(values[c] == rounded(type, sums[c]) && sums[c] != 0);
      free(values);
      clear(&p);
    }
  }
}

static void test_without_memory(void **state) {
  (void)state;
  uint16_t one = 0x3c00;
  const cbn_tensor t = {.type = CBN_F16, .rank = 3, .extent = {1, 1, 1}, .stride = {1, 1, 1}, .data = &one};
  cbn_conv conv = cbn_conv_make(1);
  conv.batch = conv.in_channels = conv.out_channels = conv.input[0] = 1;
  char message[128] = "";
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, "");
  cbn_call call = {.struct_size = sizeof call,
                   .operator_kind = CBN_OPERATOR_CONV,
                   .conv = &conv,
                   .threads = 1,
                   .message_size = sizeof message,
                   .message = message};
  call.tensor[CBN_ROLE_INPUT] = call.tensor[CBN_ROLE_WEIGHT] = call.tensor[CBN_ROLE_OUTPUT] = &t;
  void *const scratch = cbn_scratch_take(cbn_scratch_room()); /* so that even a small workspace is allocated */
  memory.fail = true;
  const int status = engine->run(engine, &call);
  memory.fail = false;
  cbn_scratch_give(scratch);
  assert_int_equal(status, CBN_ERROR);
  assert_non_null(strstr(message, "memory"));
  engine->close(engine);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_core_decodes),
      cmocka_unit_test(test_core_encodes_to_nearest_even),
      cmocka_unit_test(test_kernels_widen_every_value),
      cmocka_unit_test(test_kernels_narrow_at_every_boundary),
      cmocka_unit_test(test_kernels_narrow_as_core_does),
      cmocka_unit_test(test_f64_is_f64),
      cmocka_unit_test(test_random_convolutions),
      cmocka_unit_test(test_long_rows),
      cmocka_unit_test(test_parts_of_a_batch),
      cmocka_unit_test(test_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
