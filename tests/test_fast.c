/* tests/test_fast.c - fast/ against loops that are right by inspection: convolution as a direct sum in double and, bit
 * for bit, as the one chain of multiply-adds that fast/ promises; batch normalization as two passes in double, within
 * the bounds of two-pass statistics.
 *
 * Random problems have a number each. A failure prints the line that replays its problem alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/scratch.h"
#include "fast/fast.h"

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

/* ------------------------------------------------------------------------------------------------------ chance */

static const uint64_t first_seed = 20260101;

static uint64_t seeds(int *count) { return seeds_from(first_seed, count); }

#define FAIL_PROBLEM(seed, ...)                                                                                        \
  do {                                                                                                                 \
    print_error(__VA_ARGS__);                                                                                          \
    print_error("\nreplay: CBN_TEST_SEED=%" PRIu64 " test_fast\n", (uint64_t)(seed));                                  \
    fail();                                                                                                            \
  } while (0)

/* ----------------------------------------------------------------------------------------------------- tensors */

enum data { INTEGERS, UNIFORM, SPECIAL };

static float value_of(chance *r, enum data data) {
  static const float special[] = {0.0f, -0.0f,   1.0f,     -1.5f,  INFINITY, -INFINITY,
                                  NAN,  FLT_MAX, -FLT_MAX, 1e-40f, -1e-45f,  FLT_MIN};
  if (data == INTEGERS) return (float)between(r, -4, 4);
  if (data == UNIFORM || unit(r) < 0.9) return (float)(2 * unit(r) - 1);
  return special[between(r, 0, (int64_t)(sizeof special / sizeof special[0]) - 1)];
}

/* A tensor with its whole memory, gaps included. */
typedef struct holder {
  cbn_tensor t;
  float *memory;
  int64_t size;
} holder;

enum layout { CONTIGUOUS, LAST, GAPS, LAYOUTS };

static const float untouched = 12345.678f; /* what gaps and unwritten outputs hold */

/* Strides by layout; GAPS permutes the axes and leaves holes. */
static void make(holder *h, int32_t rank, const int64_t *extent, enum layout layout, chance *r) {
  *h = (holder){0};
  draw_strides(&h->t, CBN_F32, rank, extent, layout == LAST, layout == GAPS, 0, r);
  /* Exactly as long as its elements need, so that a sanitizer sees the first one too many. */
  int64_t last = 0;
  for (int i = 0; i < rank; i++) last += (extent[i] > 0 ? extent[i] - 1 : 0) * h->t.stride[i];
  h->size = last + 1;
  h->memory = malloc((size_t)h->size * sizeof *h->memory);
  assert_non_null(h->memory);
  for (int64_t i = 0; i < h->size; i++) h->memory[i] = untouched;
  h->t.data = h->memory;
}

static void drop(holder *h) {
  free(h->memory);
  *h = (holder){0};
}

/* Elements in row-major order, from or to a plain array. */
static float *at(const holder *h, int64_t index) {
  int64_t offset = 0;
  for (int i = h->t.rank - 1; i >= 0; i--) {
    offset += index % h->t.extent[i] * h->t.stride[i];
    index /= h->t.extent[i];
  }
  return h->memory + offset;
}

static int64_t count_of(const holder *h) {
  int64_t n = 1;
  for (int i = 0; i < h->t.rank; i++) n *= h->t.extent[i];
  return n;
}

static void load(const holder *h, const float *values) {
  for (int64_t i = 0, n = count_of(h); i < n; i++) *at(h, i) = values[i];
}

static float *numbers(int64_t count, enum data data, chance *r) {
  float *values = malloc((size_t)(count > 0 ? count : 1) * sizeof *values);
  assert_non_null(values);
  for (int64_t i = 0; i < count; i++) values[i] = value_of(r, data);
  return values;
}

static bool same_bits(float a, float b) { return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0; }

/* ------------------------------------------------------------------------------------------------ the oracle here */

/* One output of a convolution: exactly enough for integers in double, and as the chain of fast/. */
typedef struct direct {
  double sum;
  float fused, separate;
} direct;

static int64_t fold(int mode, int64_t extent, int64_t x) {
  while (x < 0 || x >= extent) {
    if (mode == CBN_PAD_ZEROS) return -1;
    if (mode == CBN_PAD_REPLICATE) x = x < 0 ? 0 : extent - 1;
    if (mode == CBN_PAD_CIRCULAR) x += x < 0 ? extent : -extent;
    if (mode == CBN_PAD_REFLECT) x = x < 0 ? -x : 2 * (extent - 1) - x;
  }
  return x;
}

/* Arrays are row-major; `position` is (n, o, p...). */
static direct convolve_at(const cbn_conv *c, const float *x, const float *w, const float *b, const int64_t *position) {
  const int rank = c->spatial_rank;
  const int64_t channels = c->in_channels / c->groups, group = position[1] / (c->out_channels / c->groups);
  int64_t taps = 1;
  for (int a = 0; a < rank; a++) taps *= c->kernel[a];
  direct y = {b ? (double)b[position[1]] : 0, b ? b[position[1]] : 0, b ? b[position[1]] : 0};
  for (int64_t i = 0; i < channels; i++) {
    for (int64_t t = 0; t < taps; t++) {
      int64_t offset = position[0] * c->in_channels + group * channels + i, tap[CBN_MAX_SPATIAL], rest = t;
      for (int a = rank - 1; a >= 0; a--) {
        tap[a] = rest % c->kernel[a];
        rest /= c->kernel[a];
      }
      bool zero = false;
      for (int a = 0; a < rank; a++) {
        const int64_t q = position[2 + a] * c->stride[a] + tap[a] * c->dilation[a] - c->pad_begin[a];
        const int64_t source = fold(c->padding_mode, c->input[a], q);
        zero = zero || source < 0;
        offset = offset * c->input[a] + source;
      }
      const float value = zero ? 0.0f : x[offset], weight = w[(position[1] * channels + i) * taps + t];
      y.sum += (double)value * (double)weight;
      y.fused = fmaf(weight, value, y.fused);
      y.separate = y.separate + weight * value;
    }
  }
  return y;
}

/* ------------------------------------------------------------------------------------------- running an engine */

static const char *const options[] = {"isa=avx2", "isa=portable"};
enum { ISAS = 2 };

static cbn_engine *open_isa(int isa) { return cbn_engine_open(CBN_ABI_VERSION, options[isa]); }

static int run_conv(cbn_engine *engine, const cbn_conv *conv, const cbn_tensor *x, const cbn_tensor *w,
                    const cbn_tensor *b, const cbn_tensor *y, int threads, char message[256]) {
  cbn_call call = {.struct_size = sizeof call, .operator_kind = CBN_OPERATOR_CONV, .conv = conv, .threads = threads};
  call.tensor[CBN_ROLE_INPUT] = x;
  call.tensor[CBN_ROLE_WEIGHT] = w;
  call.tensor[CBN_ROLE_BIAS] = b;
  call.tensor[CBN_ROLE_OUTPUT] = y;
  call.message = message;
  call.message_size = 256;
  message[0] = '\0';
  return engine->run(engine, &call);
}

/* A problem with its numbers and its expected outputs, in plain row-major arrays. */
typedef struct problem {
  uint64_t seed;
  cbn_conv conv;
  enum data data;
  int64_t extent[4][CBN_MAX_RANK]; /* input, weight, bias, output */
  int32_t rank[4];
  float *values[3];
  direct *expected;
  int64_t outputs;
} problem;

static void describe_conv(const cbn_conv *c, char text[320]) {
  int n = snprintf(text, 320, "n%" PRId64 " c%" PRId64 " o%" PRId64 " g%" PRId64 " mode%d bias%d", c->batch,
                   c->in_channels, c->out_channels, c->groups, c->padding_mode, c->has_bias);
  for (int a = 0; a < c->spatial_rank; a++)
    n += snprintf(text + n, (size_t)(320 - n),
                  " [i%" PRId64 " k%" PRId64 " s%" PRId64 " d%" PRId64 " p%" PRId64 ",%" PRId64 "]", c->input[a],
                  c->kernel[a], c->stride[a], c->dilation[a], c->pad_begin[a], c->pad_end[a]);
}

static void prepare(problem *p, chance *r) {
  static const int roles[4] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_OUTPUT};
  for (int i = 0; i < 4; i++) {
    p->rank[i] = cbn_conv_extents(&p->conv, roles[i], p->extent[i]);
    const int64_t count = p->rank[i] == 0 ? 0 : cbn_extent_product(p->rank[i], p->extent[i]);
    if (i == 3) p->outputs = count;
    else p->values[i] = numbers(count, p->data, r);
  }
  p->expected = malloc((size_t)(p->outputs + 1) * sizeof *p->expected);
  assert_non_null(p->expected);
  for (int64_t i = 0; i < p->outputs; i++) {
    int64_t position[CBN_MAX_RANK];
    cbn_unravel(p->rank[3], p->extent[3], i, position);
    p->expected[i] =
        convolve_at(&p->conv, p->values[0], p->values[1], p->conv.has_bias ? p->values[2] : NULL, position);
  }
}

static void release(problem *p) {
  for (int i = 0; i < 3; i++) free(p->values[i]);
  free(p->expected);
}

static void compare(const problem *p, const holder *y, int isa, const char *how) {
  char text[320];
  for (int64_t i = 0; i < p->outputs; i++) {
    const float actual = *at(y, i), chain = isa == 0 ? p->expected[i].fused : p->expected[i].separate;
    const bool exact = p->data != INTEGERS || (double)actual == p->expected[i].sum;
    if (exact && same_bits(actual, chain)) continue;
    describe_conv(&p->conv, text);
    FAIL_PROBLEM(p->seed, "%s %s\n%s: output %" PRId64 " is %a, chain %a, sum %g", options[isa], text, how, i,
                 (double)actual, (double)chain, p->expected[i].sum);
  }
  /* Gaps must have been left alone: as many elements differ from the filling as there are outputs at most. */
  int64_t written = 0;
  for (int64_t i = 0; i < y->size; i++) written += y->memory[i] != untouched;
  if (written > p->outputs) FAIL_PROBLEM(p->seed, "%s: %s: wrote between the outputs", options[isa], how);
}

/* Runs it with one layout for each tensor. */
static void check_layouts(const problem *p, int isa, enum layout in, enum layout weights, enum layout out, int threads,
                          chance *r) {
  cbn_engine *engine = open_isa(isa);
  if (!engine) return;
  holder x, w, b = {0}, y;
  char message[256], how[64];
  make(&x, p->rank[0], p->extent[0], in, r);
  make(&w, p->rank[1], p->extent[1], weights, r);
  make(&y, p->rank[3], p->extent[3], out, r);
  load(&x, p->values[0]);
  load(&w, p->values[1]);
  if (p->conv.has_bias) {
    make(&b, 1, p->extent[2], weights, r);
    load(&b, p->values[2]);
  }
  const int status = run_conv(engine, &p->conv, &x.t, &w.t, p->conv.has_bias ? &b.t : NULL, &y.t, threads, message);
  snprintf(how, sizeof how, "layouts %d %d %d, %d threads", (int)in, (int)weights, (int)out, threads);
  if (status != CBN_OK) FAIL_PROBLEM(p->seed, "%s: %s: status %d: %s", options[isa], how, status, message);
  compare(p, &y, isa, how);
  drop(&x);
  drop(&w);
  drop(&b);
  drop(&y);
  engine->close(engine);
}

static void check(problem *p, chance *r) {
  cbn_violation violation;
  if (!cbn_conv_validate(&p->conv, &violation)) FAIL_PROBLEM(p->seed, "invalid: %s", violation.message);
  prepare(p, r);
  for (int isa = 0; isa < ISAS; isa++) {
    check_layouts(p, isa, CONTIGUOUS, CONTIGUOUS, CONTIGUOUS, 1, r);
    check_layouts(p, isa, CONTIGUOUS, CONTIGUOUS, CONTIGUOUS, 2, r);
    check_layouts(p, isa, LAST, LAST, LAST, 2, r);
    check_layouts(p, isa, (enum layout)between(r, 0, LAYOUTS - 1), (enum layout)between(r, 0, LAYOUTS - 1),
                  (enum layout)between(r, 0, LAYOUTS - 1), 3, r);
    check_layouts(p, isa, GAPS, GAPS, GAPS, 1, r);
  }
  release(p);
}

/* ----------------------------------------------------------------------------------------------- random problems */

static void random_axis(cbn_conv *c, int a, chance *r, int64_t most) {
  const bool zeros = c->padding_mode == CBN_PAD_ZEROS;
  c->input[a] = between(r, zeros ? 0 : 1, most);
  c->kernel[a] = between(r, 1, between(r, 1, 5));
  c->stride[a] = between(r, 1, between(r, 1, 4));
  c->dilation[a] = between(r, 1, between(r, 1, 4));
  int64_t limit = zeros ? 4 : c->padding_mode == CBN_PAD_REFLECT ? c->input[a] - 1 : c->input[a];
  if (limit > 6) limit = 6;
  c->pad_begin[a] = between(r, zeros ? -2 : 0, limit);
  c->pad_end[a] = between(r, zeros ? -2 : 0, limit);
}

static cbn_conv random_conv(chance *r) {
  const int32_t rank = (int32_t)between(r, 1, 3);
  cbn_conv c = cbn_conv_make(rank);
  c.padding_mode = (int32_t)between(r, 0, 3);
  c.has_bias = (int32_t)between(r, 0, 1);
  c.batch = between(r, between(r, 0, 9) == 0 ? 0 : 1, 3);
  c.groups = between(r, 0, 1) ? 1 : between(r, 1, 20);
  c.in_channels = c.groups * (between(r, 0, 19) == 0 ? 0 : between(r, 1, between(r, 1, 9)));
  c.out_channels = c.groups * between(r, 0, 19) == 0 ? c.groups : c.groups * between(r, 1, between(r, 1, 14));
  if (between(r, 0, 3) == 0) c.in_channels = c.out_channels = c.groups; /* depthwise */
  for (int a = 0; a < rank; a++) random_axis(&c, a, r, rank == 1 ? 60 : rank == 2 ? 13 : 7);
  return c;
}

static void random_problems(int count, enum data data) {
  const uint64_t seed = seeds(&count);
  for (int i = 0; i < count; i++) {
    chance r = {seed + (uint64_t)i};
    problem p = {.seed = r.state, .conv = random_conv(&r), .data = data};
    check(&p, &r);
  }
}

static void test_conv_integers_exactly(void **state) {
  (void)state;
  random_problems(2500, INTEGERS);
}

static void test_conv_any_numbers_as_one_chain(void **state) {
  (void)state;
  random_problems(500, UNIFORM);
}

static void test_conv_special_values(void **state) {
  (void)state;
  random_problems(700, SPECIAL);
}

/* ------------------------------------------------------------------------------------------------ all directions */

/* Every direction of every convolution relates three tensors: the source and the result of a convolution that is not
 * transposed, and its weight. Two of them are given, and every triple of elements adds a product to the third. */
enum side { SOURCE, RESULT, WEIGHT, SIDES };

/* One wanted element: the sum, the sum of magnitudes, and how many products. */
typedef struct total {
  double sum, magnitude;
  int64_t terms;
} total;

typedef struct relation {
  uint64_t seed;
  cbn_conv conv;
  enum data data;
  int role[SIDES];
  enum side wanted;
  int32_t rank[SIDES];
  int64_t extent[SIDES][CBN_MAX_RANK];
  float *values[SIDES]; /* row-major; the wanted one is NULL */
  float *bias;          /* of the forward direction, or NULL */
  total *expected;
  int64_t results;
} relation;

static enum side wanted_side(const cbn_conv *c) {
  if (c->direction == CBN_GRAD_WEIGHT) return WEIGHT;
  return (c->direction == CBN_GRAD_INPUT) != (c->transposed != 0) ? SOURCE : RESULT;
}

static void add_product(relation *p, const int64_t index[SIDES]) {
  double product = 1;
  for (int side = 0; side < SIDES; side++) {
    if (side != (int)p->wanted) product *= (double)p->values[side][index[side]];
  }
  total *t = &p->expected[index[p->wanted]];
  t->sum += product;
  t->magnitude += fabs(product);
  t->terms++;
}

/* All taps of one result position and one pair of channels; `axis` counts up to the spatial rank. */
static void scatter_taps(relation *p, const int64_t *position, int axis, int64_t index[SIDES]) {
  const cbn_conv *c = &p->conv;
  if (axis == c->spatial_rank) {
    add_product(p, index);
    return;
  }
  const int64_t hole = c->input_dilation[axis], extent = p->extent[SOURCE][2 + axis];
  const int64_t holed = extent == 0 ? 0 : (extent - 1) * hole + 1;
  for (int64_t t = 0; t < c->kernel[axis]; t++) {
    const int64_t q = position[2 + axis] * c->stride[axis] + t * c->dilation[axis] - c->pad_begin[axis];
    const int64_t x = fold(c->padding_mode, holed, q);
    if (x < 0 || x % hole != 0) continue;
    int64_t deeper[SIDES] = {index[SOURCE] * extent + x / hole, index[RESULT], index[WEIGHT] * c->kernel[axis] + t};
    scatter_taps(p, position, axis + 1, deeper);
  }
}

static void scatter_all(relation *p) {
  const int64_t groups = p->conv.groups, channels = p->extent[SOURCE][1] / groups;
  const int64_t filters = p->extent[RESULT][1] / groups;
  const int64_t results = cbn_extent_product(p->rank[RESULT], p->extent[RESULT]);
  for (int64_t r = 0; r < results; r++) {
    int64_t position[CBN_MAX_RANK];
    cbn_unravel(p->rank[RESULT], p->extent[RESULT], r, position);
    for (int64_t i = 0; i < channels; i++) {
      const int64_t channel = position[1] / filters * channels + i;
      int64_t index[SIDES] = {position[0] * p->extent[SOURCE][1] + channel, r, position[1] * channels + i};
      scatter_taps(p, position, 0, index);
    }
  }
}

static void prepare_relation(relation *p, chance *r) {
  const cbn_conv *c = &p->conv;
  const int activation[2][2] = {{CBN_ROLE_INPUT, CBN_ROLE_OUTPUT}, {CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_OUTPUT}};
  p->wanted = wanted_side(c);
  /* Of the input's side the weight's gradient is given the input itself. */
  const bool forward = c->direction == CBN_FORWARD, input_is_gradient = c->direction == CBN_GRAD_INPUT;
  p->role[c->transposed ? RESULT : SOURCE] = activation[input_is_gradient][0];
  p->role[c->transposed ? SOURCE : RESULT] = activation[!forward][1];
  p->role[WEIGHT] = p->wanted == WEIGHT ? CBN_ROLE_GRAD_WEIGHT : CBN_ROLE_WEIGHT;
  for (int side = 0; side < SIDES; side++) {
    p->rank[side] = cbn_conv_extents(c, p->role[side], p->extent[side]);
    const int64_t count = cbn_extent_product(p->rank[side], p->extent[side]);
    if (side == (int)p->wanted) p->results = count;
    else p->values[side] = numbers(count, p->data, r);
  }
  p->expected = calloc((size_t)p->results + 1, sizeof *p->expected);
  assert_non_null(p->expected);
  if (forward && c->has_bias) p->bias = numbers(c->out_channels, p->data, r);
  for (int64_t i = 0; i < p->results && p->bias; i++) {
    int64_t position[CBN_MAX_RANK];
    cbn_unravel(p->rank[p->wanted], p->extent[p->wanted], i, position);
    p->expected[i].sum = (double)p->bias[position[1]];
    p->expected[i].magnitude = fabs(p->expected[i].sum);
  }
  scatter_all(p);
}

static void release_relation(relation *p) {
  for (int side = 0; side < SIDES; side++) free(p->values[side]);
  free(p->bias);
  free(p->expected);
}

static void describe_relation(const relation *p, char text[400]) {
  const cbn_conv *c = &p->conv;
  int n = snprintf(
      text, 400, "direction%d transposed%d n%" PRId64 " c%" PRId64 " o%" PRId64 " g%" PRId64 " mode%d bias%d",
      c->direction, c->transposed, c->batch, c->in_channels, c->out_channels, c->groups, c->padding_mode, c->has_bias);
  for (int a = 0; a < c->spatial_rank; a++)
    n += snprintf(text + n, (size_t)(400 - n),
                  " [i%" PRId64 " k%" PRId64 " s%" PRId64 " d%" PRId64 " e%" PRId64 " p%" PRId64 ",%" PRId64 "+%" PRId64
                  "]",
                  c->input[a], c->kernel[a], c->stride[a], c->dilation[a], c->input_dilation[a], c->pad_begin[a],
                  c->pad_end[a], c->output_padding[a]);
}

/* |error| <= gamma(n + 1) * magnitude: any order of summation, with or without fused multiply-add. */
static bool within_bound(const total *t, float actual, bool exact) {
  const double n = (double)t->terms + 1, unit_roundoff = 0x1p-24, error = fabs((double)actual - t->sum);
  return exact ? error == 0 : error <= n * unit_roundoff / (1 - n * unit_roundoff) * t->magnitude;
}

/* Runs it with one layout for each tensor; `first` gets the results and, if `compares`, has what they must be bit for
 * bit. */
static void check_relation_as(const relation *p, int isa, const enum layout layout[SIDES], int threads, float *first,
                              bool compares, chance *r) {
  cbn_engine *engine = open_isa(isa);
  if (!engine) return;
  holder h[SIDES], bias = {0};
  char text[400], message[256] = "";
  cbn_call call = {.struct_size = sizeof call, .operator_kind = CBN_OPERATOR_CONV, .conv = &p->conv};
  call.threads = threads;
  call.message = message;
  call.message_size = sizeof message;
  for (int side = 0; side < SIDES; side++) {
    make(&h[side], p->rank[side], p->extent[side], layout[side], r);
    if (side != (int)p->wanted) load(&h[side], p->values[side]);
    call.tensor[p->role[side]] = &h[side].t;
  }
  if (p->bias) {
    make(&bias, 1, &p->conv.out_channels, layout[WEIGHT], r);
    load(&bias, p->bias);
    call.tensor[CBN_ROLE_BIAS] = &bias.t;
  }
  describe_relation(p, text);
  const int status = engine->run(engine, &call);
  if (status != CBN_OK) FAIL_PROBLEM(p->seed, "%s %s: status %d: %s", options[isa], text, status, message);
  const holder *y = &h[p->wanted];
  for (int64_t i = 0; i < p->results; i++) {
    const float actual = *at(y, i);
    if (!within_bound(&p->expected[i], actual, p->data == INTEGERS))
      FAIL_PROBLEM(p->seed, "%s %s\nlayouts %d %d %d, %d threads: element %" PRId64 " is %a, not %a", options[isa],
                   text, (int)layout[0], (int)layout[1], (int)layout[2], threads, i, (double)actual,
                   p->expected[i].sum);
    if (compares && !same_bits(actual, first[i]))
      FAIL_PROBLEM(p->seed, "%s %s\nlayouts %d %d %d, %d threads: element %" PRId64 " is %a, before it was %a",
                   options[isa], text, (int)layout[0], (int)layout[1], (int)layout[2], threads, i, (double)actual,
                   (double)first[i]);
    first[i] = actual;
  }
  int64_t written = 0;
  for (int64_t i = 0; i < y->size; i++) written += y->memory[i] != untouched;
  if (written > p->results) FAIL_PROBLEM(p->seed, "%s %s: wrote between the results", options[isa], text);
  for (int side = 0; side < SIDES; side++) drop(&h[side]);
  drop(&bias);
  engine->close(engine);
}

/* A weight's gradient is the same for any number of threads in one layout, everything else in any layout. */
static void check_relation(relation *p, chance *r) {
  static const enum layout layouts[] = {CONTIGUOUS, CONTIGUOUS, LAST, LAST, GAPS, LAYOUTS};
  static const int threads[] = {1, 2, 3, 1, 1, 4};
  cbn_violation violation;
  if (!cbn_conv_validate(&p->conv, &violation)) FAIL_PROBLEM(p->seed, "invalid: %s", violation.message);
  prepare_relation(p, r);
  float *first = calloc((size_t)p->results + 1, sizeof *first);
  assert_non_null(first);
  for (int isa = 0; isa < ISAS; isa++) {
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
      enum layout layout[SIDES];
      for (int side = 0; side < SIDES; side++)
        layout[side] = layouts[i] == LAYOUTS ? (enum layout)between(r, 0, LAYOUTS - 1) : layouts[i];
      const bool compares = i > 0 && (p->wanted != WEIGHT || (layouts[i] == layouts[i - 1] && layouts[i] != GAPS));
      check_relation_as(p, isa, layout, threads[i], first, compares, r);
    }
  }
  free(first);
  release_relation(p);
}

static void random_relation_axis(cbn_conv *c, int a, chance *r, int64_t most) {
  random_axis(c, a, r, most);
  if (between(r, 0, 9) == 0) c->kernel[a] = between(r, 1, 2 * most); /* perhaps longer than the input */
  if (c->padding_mode != CBN_PAD_ZEROS) { /* cropped on one side, padded on the other, or on both */
    if (between(r, 0, 3) == 0) c->pad_begin[a] = between(r, -3, 0);
    if (between(r, 0, 3) == 0) c->pad_end[a] = between(r, -3, 0);
  } else if (!c->transposed) {
    c->input_dilation[a] = between(r, 1, between(r, 1, 4));
  }
  if (!c->transposed) return;
  const int64_t limit = c->stride[a] > c->dilation[a] ? c->stride[a] : c->dilation[a];
  c->output_padding[a] = between(r, 0, limit - 1);
}

static cbn_conv random_relation(chance *r) {
  cbn_conv c = random_conv(r);
  const int64_t most = c.spatial_rank == 1 ? 40 : c.spatial_rank == 2 ? 10 : 5;
  c.transposed = between(r, 0, 2) == 0;
  c.direction = (int32_t)between(r, CBN_FORWARD, CBN_GRAD_WEIGHT);
  if (c.transposed) c.padding_mode = CBN_PAD_ZEROS;
  for (int a = 0; a < c.spatial_rank; a++) random_relation_axis(&c, a, r, most);
  return c;
}

static void random_relations(int count, enum data data) {
  const uint64_t seed = seeds(&count);
  for (int i = 0; i < count; i++) {
    chance r = {seed + (uint64_t)i};
    relation p = {.seed = r.state, .conv = random_relation(&r), .data = data};
    check_relation(&p, &r);
  }
}

static void test_all_directions_integers_exactly(void **state) {
  (void)state;
  random_relations(6000, INTEGERS);
}

static void test_all_directions_within_the_bound(void **state) {
  (void)state;
  random_relations(1500, UNIFORM);
}

/* The gradient of the bias: a sum of every channel, in any layout, by any number of threads. */
static void check_grad_bias(uint64_t seed, const cbn_conv *conv, enum data data, chance *r) {
  int64_t extent[CBN_MAX_RANK], inner = 1;
  const int32_t rank = cbn_conv_extents(conv, CBN_ROLE_GRAD_OUTPUT, extent);
  const int64_t count = cbn_extent_product(rank, extent);
  for (int a = 2; a < rank; a++) inner *= extent[a];
  float *values = numbers(count, data, r);
  total *expected = calloc((size_t)conv->out_channels + 1, sizeof *expected);
  assert_non_null(expected);
  for (int64_t i = 0; i < count; i++) {
    total *t = &expected[i / inner % conv->out_channels];
    t->sum += (double)values[i];
    t->magnitude += fabs((double)values[i]);
    t->terms++;
  }
  for (int i = 0; i < ISAS * LAYOUTS; i++) {
    cbn_engine *engine = open_isa(i % ISAS);
    if (!engine) continue;
    holder g, b;
    make(&g, rank, extent, (enum layout)(i / ISAS), r);
    make(&b, 1, &conv->out_channels, (enum layout)(i / ISAS), r);
    load(&g, values);
    cbn_call call = {
        .struct_size = sizeof call, .operator_kind = CBN_OPERATOR_CONV, .conv = conv, .threads = 1 + i % 3};
    call.tensor[CBN_ROLE_GRAD_OUTPUT] = &g.t;
    call.tensor[CBN_ROLE_GRAD_BIAS] = &b.t;
    assert_int_equal(engine->run(engine, &call), CBN_OK);
    for (int64_t c = 0; c < conv->out_channels; c++) {
      if (!within_bound(&expected[c], *at(&b, c), data == INTEGERS))
        FAIL_PROBLEM(seed, "%s: layout %d: gradient %" PRId64 " of the bias is %a, not %a", options[i % ISAS], i / ISAS,
                     c, (double)*at(&b, c), expected[c].sum);
    }
    drop(&g);
    drop(&b);
    engine->close(engine);
  }
  free(values);
  free(expected);
}

static void test_gradient_of_the_bias(void **state) {
  (void)state;
  int count = 1000;
  const uint64_t seed = seeds(&count);
  for (int i = 0; i < count; i++) {
    chance r = {seed + (uint64_t)i};
    cbn_conv c = random_relation(&r);
    c.direction = CBN_GRAD_BIAS;
    c.has_bias = 1;
    check_grad_bias(seed + (uint64_t)i, &c, i % 2 ? UNIFORM : INTEGERS, &r);
  }
  static const int64_t large[][4] = {{1, 3, 700, 701}, {300, 20, 41, 43}, {2, 300, 90, 91}, {70000, 5, 2, 3}};
  for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
    chance r = {i};
    cbn_conv c = cbn_conv_make(2);
    c.direction = CBN_GRAD_BIAS;
    c.has_bias = 1;
    c.batch = large[i][0];
    c.in_channels = c.out_channels = large[i][1];
    c.input[0] = large[i][2];
    c.input[1] = large[i][3];
    check_grad_bias(i, &c, INTEGERS, &r);
  }
}

/* ----------------------------------------------------------------------------------- shapes that meet the blocks */

typedef struct shape {
  int64_t batch, channels, filters, groups, input[2], kernel[2], stride, dilation, pad;
} shape;

/* Tiles are 4 x 24; blocks 480 pixels by 288 steps of the reduction. */
static const shape edges[] = {
    {1, 3, 4, 1, {1, 23}, {1, 1}, 1, 1, 0},     {1, 3, 5, 1, {1, 24}, {1, 1}, 1, 1, 0},
    {1, 3, 9, 1, {1, 25}, {1, 1}, 1, 1, 0},     {2, 3, 11, 1, {3, 8}, {1, 1}, 1, 1, 0},
    {1, 1, 12, 1, {1, 240}, {1, 1}, 1, 1, 0},   {1, 1, 13, 1, {1, 241}, {1, 3}, 1, 1, 1},
    {1, 2, 9, 1, {3, 239}, {3, 3}, 1, 1, 1},    {1, 2, 16, 1, {2, 481}, {1, 2}, 1, 1, 0},
    {1, 255, 9, 1, {3, 3}, {1, 1}, 1, 1, 0},    {1, 256, 9, 1, {3, 3}, {1, 1}, 1, 1, 0},
    {1, 257, 9, 1, {3, 3}, {1, 1}, 1, 1, 0},    {1, 600, 3, 1, {5, 5}, {1, 1}, 2, 1, 0},
    {1, 30, 10, 1, {7, 7}, {3, 3}, 1, 1, 1},    {3, 29, 17, 1, {7, 7}, {3, 3}, 1, 1, 1},
    {1, 2, 9, 1, {20, 20}, {16, 16}, 1, 1, 2},  {1, 2, 9, 1, {30, 20}, {17, 17}, 1, 1, 2},
    {1, 2, 3, 1, {20, 30}, {18, 18}, 2, 1, 3},  {1, 2, 9, 1, {2, 700}, {1, 300}, 1, 1, 5},
    {1, 2, 9, 1, {2, 900}, {1, 257}, 3, 2, 5},  {1, 1, 3, 1, {700, 2}, {300, 1}, 1, 1, 4},
    {1, 2, 9, 1, {700, 2}, {300, 2}, 2, 1, 4},  {2, 3, 10, 1, {9, 9}, {3, 3}, 1, 40, 41},
    {2, 3, 10, 1, {9, 9}, {3, 3}, 50, 1, 90},   {1, 3, 9, 1, {31, 33}, {3, 3}, 4, 6, 6},
    {1, 4, 12, 1, {31, 33}, {3, 5}, 6, 4, 8},   {1, 3, 64, 1, {33, 35}, {7, 7}, 2, 1, 3},
    {1, 40, 40, 40, {19, 27}, {3, 3}, 1, 1, 1}, {2, 37, 37, 37, {11, 9}, {3, 3}, 2, 1, 1},
    {1, 24, 72, 24, {9, 9}, {5, 5}, 1, 1, 2},   {1, 32, 32, 8, {15, 17}, {3, 3}, 1, 1, 1},
    {1, 36, 54, 3, {12, 12}, {3, 3}, 1, 2, 2},  {1, 8, 140, 1, {5, 5}, {3, 3}, 1, 1, 1},
    {1, 8, 300, 1, {6, 6}, {1, 1}, 1, 1, 0},    {4, 8, 24, 1, {1, 1}, {1, 1}, 1, 1, 0},
    {1, 287, 9, 1, {3, 3}, {1, 1}, 1, 1, 0},    {1, 288, 9, 1, {3, 3}, {1, 1}, 1, 1, 0},
    {1, 289, 9, 1, {3, 3}, {1, 1}, 1, 1, 0},    {1, 33, 9, 1, {5, 5}, {3, 3}, 1, 1, 1},
    {1, 2, 9, 1, {2, 480}, {1, 3}, 1, 1, 1},    {1, 2, 9, 1, {2, 479}, {1, 3}, 1, 1, 1},
    {1, 2, 9, 1, {2, 961}, {2, 3}, 1, 1, 1},    {3, 2, 9, 1, {21, 24}, {3, 3}, 1, 1, 1},
    {250, 2, 9, 1, {1, 1}, {3, 3}, 1, 1, 1},    {130, 2, 9, 1, {2, 1}, {2, 1}, 1, 1, 0},
};

static cbn_conv conv_of(const shape *s) {
  cbn_conv c = cbn_conv_make(2);
  c.batch = s->batch;
  c.in_channels = s->channels;
  c.out_channels = s->filters;
  c.groups = s->groups;
  c.has_bias = 1;
  for (int a = 0; a < 2; a++) {
    c.input[a] = s->input[a];
    c.kernel[a] = s->kernel[a];
    c.stride[a] = s->stride;
    c.dilation[a] = s->dilation;
    c.pad_begin[a] = c.pad_end[a] = s->kernel[a] == 1 ? 0 : s->pad;
  }
  return c;
}

/* The gradients of such a convolution, and the transposed one of the same parameters where that is small. */
static void check_other_directions(const shape *s, uint64_t seed, enum data data) {
  chance r = {seed};
  relation gradient = {.seed = seed, .conv = conv_of(s), .data = data};
  gradient.conv.direction = CBN_GRAD_INPUT;
  relation learning = gradient, transposed = gradient;
  learning.conv.direction = CBN_GRAD_WEIGHT;
  transposed.conv.direction = CBN_FORWARD;
  transposed.conv.transposed = 1;
  check_relation(&gradient, &r);
  check_relation(&learning, &r);
  if (cbn_conv_output_extent(&transposed.conv, 0) * cbn_conv_output_extent(&transposed.conv, 1) < 1 << 16)
    check_relation(&transposed, &r);
}

static void test_conv_at_the_blocks_edges(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
    chance r = {i};
    problem p = {.seed = i, .conv = conv_of(&edges[i]), .data = INTEGERS};
    check(&p, &r);
    check_other_directions(&edges[i], i, INTEGERS);
  }
}

/* Kernels longer than what they meet: the adjoint takes them in sections. */
static void test_long_kernels(void **state) {
  (void)state;
  static const shape shapes[] = {
      {3, 5, 9, 1, {7, 7}, {7, 7}, 1, 1, 0},       {2, 6, 10, 2, {9, 12}, {9, 11}, 1, 1, 1},
      {1, 2, 3, 1, {40, 1}, {37, 1}, 1, 1, 0},     {1, 2, 3, 1, {1, 900}, {1, 890}, 2, 1, 3},
      {2, 3, 2, 1, {30, 30}, {8, 8}, 3, 3, 0},     {1, 4, 4, 4, {20, 21}, {16, 17}, 1, 1, 0},
      {1, 3, 12, 1, {32, 32}, {16, 16}, 16, 1, 0}, {1, 2, 3, 1, {25, 26}, {5, 5}, 7, 1, 0},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) check_other_directions(&shapes[i], i, INTEGERS);
}

/* Large enough for threads to start. */
static void test_conv_threads_leave_the_bits_alone(void **state) {
  (void)state;
  static const shape shapes[] = {
      {2, 16, 40, 1, {40, 40}, {3, 3}, 1, 1, 1},  {1, 96, 288, 1, {14, 14}, {1, 1}, 1, 1, 0},
      {1, 64, 64, 64, {90, 90}, {3, 3}, 1, 1, 1}, {1, 48, 48, 12, {60, 60}, {3, 3}, 2, 1, 1},
      {1, 64, 300, 1, {7, 7}, {3, 3}, 1, 1, 1},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    chance r = {i};
    problem p = {.seed = i, .conv = conv_of(&shapes[i]), .data = UNIFORM};
    check(&p, &r);
    check_other_directions(&shapes[i], i, UNIFORM);
  }
}

/* ------------------------------------------------------------------------------------------------------ the edge */

static void *const nowhere = (void *)(uintptr_t)64; /* never read: the allocation before fails */

/* A dense problem without memory for its tensors: what would the engine allocate? */
static size_t workspace_of(const cbn_conv *conv, enum cbn_layout layout, int threads) {
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, "");
  const bool forward = conv->direction == CBN_FORWARD, learns = conv->direction == CBN_GRAD_WEIGHT;
  const int roles[4] = {conv->direction == CBN_GRAD_INPUT ? CBN_ROLE_GRAD_INPUT : CBN_ROLE_INPUT,
                        learns ? CBN_ROLE_GRAD_WEIGHT : CBN_ROLE_WEIGHT,
                        forward ? CBN_ROLE_OUTPUT : CBN_ROLE_GRAD_OUTPUT, CBN_ROLE_BIAS};
  cbn_tensor t[4];
  char message[256] = "";
  cbn_call call = {.struct_size = sizeof call, .operator_kind = CBN_OPERATOR_CONV, .conv = conv, .threads = threads};
  call.message = message;
  call.message_size = sizeof message;
  for (int i = 0; i < (forward ? 4 : 3); i++) {
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(conv, roles[i], extent);
    assert_true(cbn_tensor_describe(&t[i], CBN_F32, rank, extent, layout));
    t[i].data = nowhere;
    call.tensor[roles[i]] = &t[i];
  }
  void *const scratch = cbn_scratch_take(cbn_scratch_room()); /* so that even a small workspace is allocated */
  memory.fail = true;
  memory.largest = 0;
  const int status = engine->run(engine, &call);
  memory.fail = false;
  cbn_scratch_give(scratch);
  assert_int_equal(status, CBN_ERROR);
  assert_non_null(strstr(message, "memory"));
  engine->close(engine);
  return memory.largest;
}

static void test_conv_workspace_is_bounded(void **state) {
  (void)state;
  static const shape large[] = {
      {1, 120, 240, 1, {1024, 640}, {4, 4}, 1, 1, 0},    {1, 64, 64, 1, {56, 56}, {3, 3}, 1, 1, 1},
      {1, 4096, 8192, 1, {64, 64}, {3, 3}, 1, 1, 1},     {8, 65536, 65536, 65536, {99, 99}, {5, 5}, 1, 1, 2},
      {1, 1, 1, 1, {1, 1 << 30}, {1, 1 << 20}, 1, 1, 0}, {1, 1, 1, 1, {1, 1 << 30}, {1, 1 << 10}, 1000, 1000, 0},
      {1, 1, 1, 1, {1 << 30, 1}, {1 << 20, 1}, 3, 7, 0}, {1, 1, 16, 1, {1 << 15, 1 << 15}, {64, 64}, 7, 5, 9},
      {1, 9000000, 4, 1, {1, 1}, {1, 1}, 1, 1, 0},       {1, 9, 9000000, 1, {10, 10}, {3, 3}, 1, 1, 0},
      {9, 3, 3, 1, {1 << 20, 1}, {3, 1}, 1, 1, 1},       {1, 10000000, 10000000, 10000000, {9, 9}, {3, 3}, 1, 1, 1},
  };
  for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
    cbn_conv conv = conv_of(&large[i]);
    for (int threads = 1; threads <= 512; threads *= 8) {
      for (conv.direction = CBN_FORWARD; conv.direction <= CBN_GRAD_WEIGHT; conv.direction++) {
        assert_in_range(workspace_of(&conv, CBN_CONTIGUOUS, threads), 1, CBN_FAST_WORKSPACE_LIMIT);
        assert_in_range(workspace_of(&conv, CBN_CHANNELS_LAST, threads), 1, CBN_FAST_WORKSPACE_LIMIT);
      }
    }
  }
}

static void test_open_knows_its_options(void **state) {
  (void)state;
  static const char *const refused[] = {"isa=", "isa=sse9", "isa", "avx2", "isa=portable,", "threads=2", " "};
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
    assert_null(cbn_engine_open(CBN_ABI_VERSION, refused[i]));
  assert_null(cbn_engine_open(CBN_ABI_VERSION + 1, ""));
  static const char *const taken[] = {"", "isa=portable"};
  for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
    cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, taken[i]);
    assert_non_null(engine);
    assert_string_equal(engine->name, "fast");
    engine->close(engine);
  }
}

static void test_says_what_it_does_not_do(void **state) {
  (void)state;
  float one = 1;
  cbn_tensor t = {.type = CBN_F32, .rank = 3, .extent = {1, 1, 1}, .stride = {1, 1, 1}, .data = &one}, y = t;
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, "");
  char message[256];
  cbn_conv plain = cbn_conv_make(1);
  plain.batch = plain.in_channels = plain.out_channels = plain.input[0] = 1;
  assert_int_equal(run_conv(engine, &plain, &t, &t, NULL, &y, 1, message), CBN_OK);
  cbn_conv c = plain;
  c.input_dilation[0] = ((int64_t)1 << 40) + 1;
  assert_int_equal(run_conv(engine, &c, &t, &t, NULL, &y, 1, message), CBN_UNSUPPORTED);
  assert_non_null(strstr(message, "2^40"));
  c = plain;
  c.stride[0] = 0;
  assert_int_equal(run_conv(engine, &c, &t, &t, NULL, &y, 1, message), CBN_REJECTED);
  assert_non_null(strstr(message, "stride"));
  assert_int_equal(run_conv(engine, &plain, NULL, &t, NULL, &y, 1, message), CBN_REJECTED);
  engine->close(engine);
}

/* --------------------------------------------------------------------------------------------- batch normalization */

typedef struct normalization {
  uint64_t seed;
  cbn_batchnorm b;
  int64_t values; /* a channel */
  float *x, *weight, *bias, *running_mean, *running_var;
} normalization;

static const double u = 0x1p-24; /* unit roundoff of f32 */
static double gamma_of(double n) { return n * u / (1 - n * u); }

/* What is known of one channel: statistics in double, their bounds for two passes in f32. */
typedef struct channel {
  double mean, var, dmean, dvar;
} channel;

static int64_t element_of(const normalization *p, int64_t c, int64_t l) {
  const int64_t plane = p->values / p->b.batch;
  return (l / plane * p->b.channels + c) * plane + l % plane;
}

static channel statistics_of(const normalization *p, int64_t c) {
  channel s = {0, 0, 0, 0};
  const double n = (double)p->values;
  double absolute = 0;
  for (int64_t l = 0; l < p->values; l++) {
    s.mean += (double)p->x[element_of(p, c, l)];
    absolute += fabs((double)p->x[element_of(p, c, l)]);
  }
  s.mean /= n;
  for (int64_t l = 0; l < p->values; l++) s.var += pow((double)p->x[element_of(p, c, l)] - s.mean, 2);
  s.var /= n;
  s.dmean = gamma_of(n + 1) * absolute / n;
  s.dvar = gamma_of(n + 4) * (s.var + s.dmean * s.dmean) + s.dmean * s.dmean;
  return s;
}

static double output_bound(const normalization *p, const channel *s, int64_t c, double x, double q) {
  const double g = p->weight ? (double)p->weight[c] : 1, b = p->bias ? (double)p->bias[c] : 0;
  const double r = 1 / sqrt(s->var + p->b.epsilon), R = r / sqrt(1 - q);
  return fabs(g) * R * s->dmean + fabs(g) * fabs(x - s->mean) * r * q / (2 * (1 - q)) +
         gamma_of(8) * (fabs(g) * R * (fabs(x) + fabs(s->mean) + s->dmean) + fabs(b)) + 0x1p-140;
}

static void check_running(const normalization *p, float before, float after, double statistic, double bound,
                          const char *name) {
  const double m = p->b.new_weight, expected = (1 - m) * (double)before + m * statistic;
  const double limit = fabs(m) * bound + gamma_of(8) * (1 + fabs(m)) * (fabs((double)before) + fabs(statistic) + bound);
  if (fabs((double)after - expected) > limit)
    FAIL_PROBLEM(p->seed, "%s: %g, expected %g within %g", name, (double)after, expected, limit);
}

static void check_normalized(const normalization *p, const holder *y, const holder *mean, const holder *var, int isa) {
  for (int64_t c = 0; c < p->b.channels; c++) {
    const channel batch = statistics_of(p, c);
    channel s = batch;
    if (p->b.statistics == CBN_STATISTICS_RUNNING)
      s = (channel){(double)p->running_mean[c], (double)p->running_var[c], 0, 0};
    const double q = s.dvar / (s.var + p->b.epsilon), n = (double)p->values;
    for (int64_t l = 0; l < p->values && q < 0.5; l++) {
      const double x = (double)p->x[element_of(p, c, l)], r = 1 / sqrt(s.var + p->b.epsilon);
      const double expected =
          (x - s.mean) * r * (p->weight ? (double)p->weight[c] : 1) + (p->bias ? (double)p->bias[c] : 0);
      const double actual = (double)*at(y, element_of(p, c, l)), bound = output_bound(p, &s, c, x, q);
      if (!(fabs(actual - expected) <= bound))
        FAIL_PROBLEM(p->seed, "%s: channel %" PRId64 " value %" PRId64 " is %.9g, expected %.9g within %g",
                     options[isa], c, l, actual, expected, bound);
    }
    if (!p->b.update_running) continue;
    const double correction = p->b.running_variance == CBN_VARIANCE_UNBIASED ? n / (n - 1) : 1;
    if (p->values == 1 && correction > 1) continue; /* 0/0 */
    check_running(p, p->running_mean[c], *at(mean, c), batch.mean, batch.dmean, "running mean");
    check_running(p, p->running_var[c], *at(var, c), correction * batch.var, correction * batch.dvar,
                  "running variance");
  }
}

/* Runs it and gives the output's bits in row-major order, for comparing runs. */
static float *normalize(const normalization *p, int isa, enum layout in, enum layout out, int threads, chance *r) {
  cbn_engine *engine = open_isa(isa);
  if (!engine) return NULL;
  holder x, y, parameter[4] = {{.size = 0}};
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_batchnorm_extents(&p->b, CBN_ROLE_INPUT, extent);
  cbn_call call = {
      .struct_size = sizeof call, .operator_kind = CBN_OPERATOR_BATCHNORM, .batchnorm = &p->b, .threads = threads};
  make(&x, rank, extent, in, r);
  make(&y, rank, extent, out, r);
  load(&x, p->x);
  call.tensor[CBN_ROLE_INPUT] = &x.t;
  call.tensor[CBN_ROLE_OUTPUT] = &y.t;
  const struct {
    int role;
    const float *values;
  } given[4] = {{CBN_ROLE_WEIGHT, p->weight},
                {CBN_ROLE_BIAS, p->bias},
                {CBN_ROLE_RUNNING_MEAN, p->running_mean},
                {CBN_ROLE_RUNNING_VAR, p->running_var}};
  for (int i = 0; i < 4; i++) {
    if (cbn_batchnorm_extents(&p->b, given[i].role, extent) == 0) continue;
    make(&parameter[i], 1, extent, in, r);
    load(&parameter[i], given[i].values);
    call.tensor[given[i].role] = &parameter[i].t;
  }
  if (engine->run(engine, &call) != CBN_OK) FAIL_PROBLEM(p->seed, "%s: not run", options[isa]);
  check_normalized(p, &y, &parameter[2], &parameter[3], isa);
  const int64_t count = count_of(&y);
  float *bits = malloc((size_t)(count + 1) * sizeof *bits);
  assert_non_null(bits);
  for (int64_t i = 0; i < count; i++) bits[i] = *at(&y, i);
  drop(&x);
  drop(&y);
  for (int i = 0; i < 4; i++) drop(&parameter[i]);
  engine->close(engine);
  return bits;
}

static void check_batchnorm(normalization *p, chance *r) {
  const int64_t count = p->values * p->b.channels;
  const double center = between(r, 0, 2) ? 0 : (double)between(r, -1000, 1000);
  p->x = numbers(count, UNIFORM, r);
  for (int64_t i = 0; i < count; i++) p->x[i] = (float)((double)p->x[i] + center);
  p->weight = p->b.has_weight ? numbers(p->b.channels, UNIFORM, r) : NULL;
  p->bias = p->b.has_bias ? numbers(p->b.channels, UNIFORM, r) : NULL;
  p->running_mean = numbers(p->b.channels, UNIFORM, r);
  p->running_var = numbers(p->b.channels, UNIFORM, r);
  for (int64_t c = 0; c < p->b.channels; c++) p->running_var[c] = fabsf(p->running_var[c]);
  for (int isa = 0; isa < ISAS; isa++) {
    for (int layout = 0; layout < LAYOUTS; layout++) {
      chance same = *r;
      float *one = normalize(p, isa, (enum layout)layout, (enum layout)layout, 1, r);
      *r = same;
      float *three = normalize(p, isa, (enum layout)layout, (enum layout)layout, 3, r);
      if (one && memcmp(one, three, (size_t)count * sizeof *one) != 0)
        FAIL_PROBLEM(p->seed, "%s: layout %d: three threads give other bits than one", options[isa], layout);
      free(one);
      free(three);
    }
    free(normalize(p, isa, LAST, CONTIGUOUS, 1, r));
    free(normalize(p, isa, CONTIGUOUS, GAPS, 1, r));
  }
  free(p->x);
  free(p->weight);
  free(p->bias);
  free(p->running_mean);
  free(p->running_var);
}

static void set_values(normalization *p) {
  p->values = p->b.batch;
  for (int a = 0; a < p->b.spatial_rank; a++) p->values *= p->b.extent[a];
}

static normalization random_batchnorm(chance *r) {
  normalization p = {.seed = r->state, .b = cbn_batchnorm_make((int32_t)between(r, 0, 3))};
  cbn_batchnorm *b = &p.b;
  b->statistics = (int32_t)between(r, 0, 1);
  b->update_running = (int32_t)between(r, 0, 1);
  b->running_variance = (int32_t)between(r, 0, 1);
  b->has_weight = (int32_t)between(r, 0, 1);
  b->has_bias = (int32_t)between(r, 0, 1);
  b->batch = between(r, 1, 5);
  b->channels = between(r, 1, between(r, 1, 70));
  for (int a = 0; a < b->spatial_rank; a++) b->extent[a] = between(r, 1, between(r, 1, 12));
  b->epsilon = between(r, 0, 1) ? 1e-5 : 0.25;
  b->new_weight = unit(r);
  set_values(&p);
  return p;
}

static void test_batchnorm_within_its_bound(void **state) {
  (void)state;
  int count = 600;
  const uint64_t seed = seeds(&count);
  for (int i = 0; i < count; i++) {
    chance r = {seed + (uint64_t)i};
    normalization p = random_batchnorm(&r);
    check_batchnorm(&p, &r);
  }
}

/* Pieces, parts and threads. */
static void test_batchnorm_large(void **state) {
  (void)state;
  static const int64_t shapes[][4] = {{3, 5, 120, 130}, {2, 70, 90, 61},  {1, 1, 300, 777}, {40, 33, 7, 7},
                                      {5, 300, 9, 31},  {70000, 3, 1, 1}, {1, 40000, 2, 1}};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    chance r = {i};
    normalization p = {.seed = i, .b = cbn_batchnorm_make(2)};
    p.b.statistics = CBN_STATISTICS_BATCH;
    p.b.update_running = 1;
    p.b.batch = shapes[i][0];
    p.b.channels = shapes[i][1];
    p.b.extent[0] = shapes[i][2];
    p.b.extent[1] = shapes[i][3];
    set_values(&p);
    check_batchnorm(&p, &r);
  }
}

/* v = 1/2 and epsilon = 1/2: every result is representable, and must be exact. */
static void test_batchnorm_exactly(void **state) {
  (void)state;
  float x[8] = {1, 2, 2, 3, 1, 2, 2, 3}, y[8], weight = 4, bias = -1, mean = 8, var = 4;
  cbn_batchnorm b = cbn_batchnorm_make(1);
  b.statistics = CBN_STATISTICS_BATCH;
  b.update_running = 1;
  b.running_variance = CBN_VARIANCE_BIASED;
  b.batch = 2;
  b.channels = 1;
  b.extent[0] = 4;
  b.epsilon = 0.5;
  b.new_weight = 0.25;
  const cbn_tensor tx = {.type = CBN_F32, .rank = 3, .extent = {2, 1, 4}, .stride = {4, 4, 1}, .data = x};
  cbn_tensor ty = tx;
  ty.data = y;
  cbn_tensor one[4];
  float *const parameters[4] = {&weight, &bias, &mean, &var};
  for (int i = 0; i < 4; i++)
    one[i] = (cbn_tensor){.type = CBN_F32, .rank = 1, .extent = {1}, .stride = {1}, .data = parameters[i]};
  for (int isa = 0; isa < ISAS; isa++) {
    cbn_engine *engine = open_isa(isa);
    if (!engine) continue;
    mean = 8;
    var = 4;
    cbn_call call = {
        .struct_size = sizeof call, .operator_kind = CBN_OPERATOR_BATCHNORM, .batchnorm = &b, .threads = 1};
    call.tensor[CBN_ROLE_INPUT] = &tx;
    call.tensor[CBN_ROLE_OUTPUT] = &ty;
    call.tensor[CBN_ROLE_WEIGHT] = &one[0];
    call.tensor[CBN_ROLE_BIAS] = &one[1];
    call.tensor[CBN_ROLE_RUNNING_MEAN] = &one[2];
    call.tensor[CBN_ROLE_RUNNING_VAR] = &one[3];
    assert_int_equal(engine->run(engine, &call), CBN_OK);
    /* mean 2, v = 1/2, v + 1/2 = 1: y = (x - 2) * 4 - 1. */
    for (int i = 0; i < 8; i++) assert_true(y[i] == (x[i] - 2) * 4 - 1);
    assert_true(mean == 6.5f);
    assert_true(var == 3.125f);
    engine->close(engine);
  }
}

/* An empty batch has no statistics; the running ones stay. */
static void test_batchnorm_empty(void **state) {
  (void)state;
  float mean = 3, var = 4;
  cbn_batchnorm b = cbn_batchnorm_make(1);
  b.statistics = CBN_STATISTICS_BATCH;
  b.update_running = 1;
  b.has_weight = b.has_bias = 0;
  b.channels = 1;
  b.extent[0] = 4;
  const cbn_tensor t = {.type = CBN_F32, .rank = 3, .extent = {0, 1, 4}, .stride = {4, 4, 1}};
  const cbn_tensor tm = {.type = CBN_F32, .rank = 1, .extent = {1}, .stride = {1}, .data = &mean};
  const cbn_tensor tv = {.type = CBN_F32, .rank = 1, .extent = {1}, .stride = {1}, .data = &var};
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, "");
  cbn_call call = {.struct_size = sizeof call, .operator_kind = CBN_OPERATOR_BATCHNORM, .batchnorm = &b, .threads = 1};
  call.tensor[CBN_ROLE_INPUT] = &t;
  call.tensor[CBN_ROLE_OUTPUT] = &t;
  call.tensor[CBN_ROLE_RUNNING_MEAN] = &tm;
  call.tensor[CBN_ROLE_RUNNING_VAR] = &tv;
  assert_int_equal(engine->run(engine, &call), CBN_OK);
  assert_true(mean == 3 && var == 4);
  engine->close(engine);
}

/* Infinities and NaN stay in their channel; an infinite batch still has its infinite mean. */
static void test_batchnorm_special_values(void **state) {
  (void)state;
  enum { N = 3 * 10000 };
  float *x = numbers(N, INTEGERS, &(chance){1}), *y = numbers(N, INTEGERS, &(chance){1});
  float mean[3] = {0, 0, 0}, var[3] = {1, 1, 1};
  x[5] = x[9999] = INFINITY;
  x[10005] = NAN;
  cbn_batchnorm b = cbn_batchnorm_make(1);
  b.statistics = CBN_STATISTICS_BATCH;
  b.update_running = 1;
  b.has_weight = b.has_bias = 0;
  b.batch = 1;
  b.channels = 3;
  b.extent[0] = 10000;
  const cbn_tensor tx = {.type = CBN_F32, .rank = 3, .extent = {1, 3, 10000}, .stride = {N, 10000, 1}, .data = x};
  cbn_tensor ty = tx;
  ty.data = y;
  const cbn_tensor tm = {.type = CBN_F32, .rank = 1, .extent = {3}, .stride = {1}, .data = mean};
  cbn_tensor tv = tm;
  tv.data = var;
  cbn_engine *engine = cbn_engine_open(CBN_ABI_VERSION, "");
  cbn_call call = {.struct_size = sizeof call, .operator_kind = CBN_OPERATOR_BATCHNORM, .batchnorm = &b, .threads = 1};
  call.tensor[CBN_ROLE_INPUT] = &tx;
  call.tensor[CBN_ROLE_OUTPUT] = &ty;
  call.tensor[CBN_ROLE_RUNNING_MEAN] = &tm;
  call.tensor[CBN_ROLE_RUNNING_VAR] = &tv;
  assert_int_equal(engine->run(engine, &call), CBN_OK);
  assert_true(isinf(mean[0]) && isnan(var[0]) && isnan(y[5]) && isnan(y[6]));
  assert_true(isnan(mean[1]) && isnan(var[1]) && isnan(y[10000]));
  for (int i = 20000; i < N; i++) assert_true(isfinite(y[i]));
  engine->close(engine);
  free(x);
  free(y);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_open_knows_its_options),
      cmocka_unit_test(test_says_what_it_does_not_do),
      cmocka_unit_test(test_conv_integers_exactly),
      cmocka_unit_test(test_conv_any_numbers_as_one_chain),
      cmocka_unit_test(test_conv_special_values),
      cmocka_unit_test(test_all_directions_integers_exactly),
      cmocka_unit_test(test_all_directions_within_the_bound),
      cmocka_unit_test(test_gradient_of_the_bias),
      cmocka_unit_test(test_conv_at_the_blocks_edges),
      cmocka_unit_test(test_long_kernels),
      cmocka_unit_test(test_conv_threads_leave_the_bits_alone),
      cmocka_unit_test(test_conv_workspace_is_bounded),
      cmocka_unit_test(test_batchnorm_within_its_bound),
      cmocka_unit_test(test_batchnorm_large),
      cmocka_unit_test(test_batchnorm_exactly),
      cmocka_unit_test(test_batchnorm_empty),
      cmocka_unit_test(test_batchnorm_special_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
