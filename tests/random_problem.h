/* tests/random_problem.h - random small problems for the tests of the reference: operators, tensors in any layout, and
 * values of every temper. A problem is a function of one seed; the line that a failure prints replays it. */
#ifndef CBN_TESTS_RANDOM_PROBLEM_H
#define CBN_TESTS_RANDOM_PROBLEM_H

#include <convbn/operator.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------- random numbers */

/* SplitMix64 (Steele, Lea and Flood 2014). */
typedef struct random_state {
  uint64_t state;
} random_state;

static inline uint64_t random_word(random_state *r) {
  uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* Uniform in low to high, both included. */
static inline int64_t random_between(random_state *r, int64_t low, int64_t high) {
  return low + (int64_t)((random_word(r) >> 11) % (uint64_t)(high - low + 1));
}

static inline bool random_chance(random_state *r, int64_t one_in) { return random_between(r, 1, one_in) == 1; }

/* Uniform in [-1, 1). */
static inline double random_unit(random_state *r) { return (double)(random_word(r) >> 11) * 0x1p-52 - 1; }

/* About normal, in [-3, 3). One draw a statement, here as everywhere: C leaves the order within one open. */
static inline double random_normal(random_state *r) {
  double sum = random_unit(r);
  sum += random_unit(r);
  return sum + random_unit(r);
}

/* Uniform in [-1, 1) times a power of two with an exponent from low to high. */
static inline double random_scaled(random_state *r, int64_t low, int64_t high) {
  const double unit = random_unit(r);
  return ldexp(unit, (int)random_between(r, low, high));
}

/* The seed to start from: CBN_TEST_SEED or `standard`. Problem i of a test has the seed that follows it by i. */
static inline uint64_t test_seed(uint64_t standard) {
  const char *text = getenv("CBN_TEST_SEED");
  return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : standard;
}

/* How many problems: `standard` times CBN_TEST_SCALE (1 by default), at least one. */
static inline int64_t test_count(int64_t standard) {
  const char *text = getenv("CBN_TEST_SCALE");
  const double scale = text != NULL && *text != '\0' ? strtod(text, NULL) : 1;
  const double count = (double)standard * scale;
  return count >= 1 ? (int64_t)count : 1;
}

/* -------------------------------------------------------------------------------------------------------- values */

#define TEMPERS(X)                                                                                                     \
  X(INTEGERS, "integers")   /* -4 to 4 */                                                                              \
  X(GRID, "grid")           /* up to 12 bits on a random power of two, many zeros */                                   \
  X(NORMAL, "normal")       /* about 1 */                                                                              \
  X(OFFSET, "offset")       /* a large mean, small deviations */                                                       \
  X(CONSTANT, "constant")   /* nearly: one value, now and then an ulp off */                                           \
  X(CANCEL, "cancel")       /* pairs that almost cancel */                                                             \
  X(WORST, "worst")         /* mantissas just above a power of two, where roundings are largest */                     \
  X(WILD, "wild")           /* exponents from -40 to 40 */                                                             \
  X(TINY, "tiny")           /* products near the smallest normal */                                                    \
  X(DENORMAL, "denormal")   /* up to 14 bits, all subnormal */                                                         \
  X(SUBNORMAL, "subnormal") /* subnormal beside normal */                                                              \
  X(HUGE_VALUES, "huge")    /* products and squares near overflow */                                                   \
  X(SPECIAL, "special")     /* zeros, infinities, NaN, limits */

enum temper {
#define TEMPER_ENUM(NAME, name) TEMPER_##NAME,
  TEMPERS(TEMPER_ENUM)
#undef TEMPER_ENUM
      TEMPER_COUNT
};

static inline const char *temper_name(int temper) {
  static const char *const names[] = {
#define TEMPER_NAME(NAME, name) name,
      TEMPERS(TEMPER_NAME)
#undef TEMPER_NAME
  };
  return names[temper];
}

/* What the elements of one tensor share. */
typedef struct temperament {
  int temper;
  double center, last;
  int exponent;
} temperament;

static inline temperament temperament_make(random_state *r, int temper) {
  temperament t = {.temper = temper};
  t.center = random_chance(r, 2) ? 1e4 : 100;
  t.center *= 1 + 0.1 * random_unit(r);
  t.exponent = (int)random_between(r, -20, 20);
  return t;
}

static inline double special_value(random_state *r) {
  static const double values[] = {0,        -0.0,      1,           -1,        0x1p-149, -0x1p-149, 0x1p-126 - 0x1p-149,
                                  0x1p-126, -0x1p-126, 1 + 0x1p-23, 0x1p24,    0x1p127,  -0x1p127,  2,
                                  3,        -0.5,      INFINITY,    -INFINITY, NAN};
  const int64_t count = (int64_t)(sizeof values / sizeof values[0]);
  return values[random_between(r, 0, random_chance(r, 4) ? count - 1 : 15)];
}

static inline float random_value(random_state *r, temperament *t) {
  double v;
  switch (t->temper) {
  case TEMPER_INTEGERS: v = (double)random_between(r, -4, 4); break;
  case TEMPER_GRID: v = random_chance(r, 3) ? 0 : ldexp((double)random_between(r, -4095, 4095), t->exponent); break;
  case TEMPER_OFFSET: v = t->center + random_unit(r); break;
  case TEMPER_CONSTANT: v = random_chance(r, 5) ? (double)nextafterf((float)t->center, 0.0F) : t->center; break;
  case TEMPER_CANCEL: v = random_chance(r, 2) ? random_unit(r) * 10 : -t->last * (1 + 0x1p-20 * random_unit(r)); break;
  case TEMPER_WORST:
    v = 1 + ldexp((double)random_between(r, 0, 63), -23);
    if (random_chance(r, 4)) v = -v;
    break;
  case TEMPER_WILD: v = random_scaled(r, -40, 40); break;
  case TEMPER_TINY: v = random_scaled(r, -78, -60); break;
  case TEMPER_DENORMAL: v = ldexp((double)(random_chance(r, 8) ? 0 : random_between(r, 1, 16383)), -149); break;
  case TEMPER_SUBNORMAL: v = random_chance(r, 2) ? random_scaled(r, -148, -124) : random_unit(r); break;
  case TEMPER_HUGE_VALUES: v = random_scaled(r, 60, 64); break;
  case TEMPER_SPECIAL: v = special_value(r); break;
  default: v = random_normal(r); break;
  }
  t->last = v;
  return (float)v;
}

/* ------------------------------------------------------------------------------------------------------- tensors */

enum { LAYOUT_CONTIGUOUS, LAYOUT_CHANNELS_LAST, LAYOUT_VIEW, LAYOUT_BROADCAST, LAYOUT_COUNT };

/* An f32 tensor and the memory that it is a view of. Elements between those of the view are NaN. */
typedef struct test_tensor {
  cbn_tensor tensor;
  float *memory;
} test_tensor;

static inline bool test_tensor_make(test_tensor *t, random_state *r, int32_t rank, const int64_t *extent, int layout) {
  const enum cbn_layout order = layout == LAYOUT_CHANNELS_LAST ? CBN_CHANNELS_LAST : CBN_CONTIGUOUS;
  *t = (test_tensor){0};
  if (!cbn_tensor_describe(&t->tensor, CBN_F32, rank, extent, order)) return false;
  int64_t origin = 0, length = 1;
  if (layout == LAYOUT_VIEW) {
    const int64_t factor = random_between(r, 2, 3);
    for (int32_t a = 0; a < rank; a++) t->tensor.stride[a] *= factor;
    origin = random_between(r, 0, 5);
  } else if (layout == LAYOUT_BROADCAST) {
    t->tensor.stride[random_between(r, 0, rank - 1)] = 0;
  }
  length += origin + cbn_tensor_bytes(&t->tensor) / (int64_t)sizeof *t->memory;
  t->memory = malloc((size_t)length * sizeof *t->memory);
  if (t->memory == NULL) return false;
  for (int64_t i = 0; i < length; i++) t->memory[i] = NAN;
  t->tensor.data = t->memory + origin;
  return true;
}

static inline void test_tensor_fill(test_tensor *t, random_state *r, int temper) {
  temperament values = temperament_make(r, temper);
  const int64_t count = cbn_tensor_count(&t->tensor);
  for (int64_t i = 0; i < count; i++) cbn_tensor_set(&t->tensor, i, (double)random_value(r, &values));
}

static inline void test_tensor_release(test_tensor *t) {
  free(t->memory);
  *t = (test_tensor){0};
}

static inline int random_layout(random_state *r) {
  return random_chance(r, 2) ? LAYOUT_CONTIGUOUS : (int)random_between(r, 0, LAYOUT_COUNT - 1);
}

/* --------------------------------------------------------------------------------------------------- convolution */

typedef struct conv_problem {
  uint64_t seed;
  cbn_conv conv;
  int temper_input, temper_weight, temper_bias;
  test_tensor input, weight, bias;
} conv_problem;

static inline void random_axis(random_state *r, cbn_conv *c, int a, int64_t most) {
  c->input[a] = random_chance(r, 40) ? 0 : random_between(r, 1, most);
  c->kernel[a] = random_between(r, 1, random_chance(r, 8) ? 6 : 3);
  c->stride[a] = random_chance(r, 2) ? 1 : random_between(r, 1, 4);
  c->dilation[a] = random_chance(r, 2) ? 1 : random_between(r, 1, 3);
  if (c->padding_mode == CBN_PAD_ZEROS) {
    c->input_dilation[a] = random_chance(r, 4) ? random_between(r, 1, 3) : 1;
    const int64_t low = random_chance(r, 4) ? -3 : 0;
    c->pad_begin[a] = random_chance(r, 3) ? 0 : random_between(r, low, 4);
    c->pad_end[a] = random_chance(r, 3) ? 0 : random_between(r, low, 4);
  } else {
    const int64_t limit = c->padding_mode == CBN_PAD_REFLECT    ? (c->input[a] > 0 ? c->input[a] - 1 : 0)
                          : c->padding_mode == CBN_PAD_CIRCULAR ? c->input[a]
                                                                : (c->input[a] > 0 ? 5 : 0);
    c->pad_begin[a] = random_between(r, 0, limit);
    c->pad_end[a] = random_between(r, 0, limit);
  }
}

/* A valid forward convolution, up to a few thousand multiply-adds. */
static inline cbn_conv random_conv(random_state *r) {
  for (;;) {
    cbn_conv c = cbn_conv_make((int32_t)random_between(r, 1, CBN_MAX_SPATIAL));
    c.padding_mode =
        (int32_t)(random_chance(r, 2) ? CBN_PAD_ZEROS : random_between(r, CBN_PAD_ZEROS, CBN_PAD_CIRCULAR));
    c.groups = random_chance(r, 2) ? 1 : random_between(r, 1, 4);
    c.batch = random_chance(r, 40) ? 0 : random_between(r, 1, 2);
    c.in_channels = c.groups * (random_chance(r, 30) ? 0 : random_between(r, 1, 3));
    c.out_channels = c.groups * (random_chance(r, 40) ? 0 : random_between(r, 1, 2));
    c.has_bias = random_chance(r, 2);
    for (int a = 0; a < c.spatial_rank; a++)
      random_axis(r, &c, a, c.spatial_rank == 1 ? 12 : c.spatial_rank == 2 ? 7 : 4);
    cbn_violation violation;
    if (cbn_conv_validate(&c, &violation) && cbn_conv_work(&c) <= 6000) return c;
  }
}

static inline bool conv_tensor_make(const conv_problem *p, random_state *r, int role, int temper, test_tensor *t) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_conv_extents(&p->conv, role, extent);
  if (!test_tensor_make(t, r, rank, extent, random_layout(r))) return false;
  test_tensor_fill(t, r, temper);
  return true;
}

/* The tensors of p->conv, of the tempers that p names. */
static inline bool conv_problem_fill(conv_problem *p, random_state *r) {
  return conv_tensor_make(p, r, CBN_ROLE_INPUT, p->temper_input, &p->input) &&
         conv_tensor_make(p, r, CBN_ROLE_WEIGHT, p->temper_weight, &p->weight) &&
         (!p->conv.has_bias || conv_tensor_make(p, r, CBN_ROLE_BIAS, p->temper_bias, &p->bias));
}

/* `temper` for both factors, or now and then any two. */
static inline bool conv_problem_make(conv_problem *p, random_state *r, int temper) {
  p->conv = random_conv(r);
  p->temper_input = p->temper_weight = p->temper_bias = temper;
  if (random_chance(r, 4)) p->temper_weight = (int)random_between(r, 0, TEMPER_COUNT - 1);
  if (random_chance(r, 4)) p->temper_bias = (int)random_between(r, 0, TEMPER_COUNT - 1);
  return conv_problem_fill(p, r);
}

static inline void conv_problem_release(conv_problem *p) {
  test_tensor_release(&p->input);
  test_tensor_release(&p->weight);
  test_tensor_release(&p->bias);
}

static inline const cbn_tensor *conv_problem_bias(const conv_problem *p) {
  return p->conv.has_bias ? &p->bias.tensor : NULL;
}

static inline void print_axes(const char *name, int32_t rank, const int64_t *values) {
  fprintf(stderr, " %s=", name);
  for (int32_t a = 0; a < rank; a++) fprintf(stderr, a == 0 ? "%" PRId64 : ",%" PRId64, values[a]);
}

static inline void conv_problem_print(const conv_problem *p) {
  const cbn_conv *c = &p->conv;
  fprintf(stderr,
          "CBN_TEST_SEED=%" PRIu64 " conv n=%" PRId64 " in=%" PRId64 " out=%" PRId64 " g=%" PRId64 " mode=%d bias=%d",
          p->seed, c->batch, c->in_channels, c->out_channels, c->groups, c->padding_mode, c->has_bias);
  print_axes("x", c->spatial_rank, c->input);
  print_axes("k", c->spatial_rank, c->kernel);
  print_axes("s", c->spatial_rank, c->stride);
  print_axes("d", c->spatial_rank, c->dilation);
  print_axes("id", c->spatial_rank, c->input_dilation);
  print_axes("pb", c->spatial_rank, c->pad_begin);
  print_axes("pe", c->spatial_rank, c->pad_end);
  fprintf(stderr, " values=%s,%s,%s\n", temper_name(p->temper_input), temper_name(p->temper_weight),
          temper_name(p->temper_bias));
}

/* ------------------------------------------------------------------------------------------- batch normalization */

typedef struct batchnorm_problem {
  uint64_t seed;
  cbn_batchnorm batchnorm;
  int temper;
  int64_t values; /* a channel */
  test_tensor input, weight, bias, running_mean, running_var;
} batchnorm_problem;

static inline bool batchnorm_tensor_make(const batchnorm_problem *p, random_state *r, int role, int temper,
                                         test_tensor *t) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_batchnorm_extents(&p->batchnorm, role, extent);
  if (rank == 0) return true;
  if (!test_tensor_make(t, r, rank, extent, role == CBN_ROLE_INPUT ? random_layout(r) : LAYOUT_CONTIGUOUS))
    return false;
  test_tensor_fill(t, r, temper);
  return true;
}

/* Up to `most` values a channel; above 750, thousands of them in one channel. */
static inline bool batchnorm_problem_make(batchnorm_problem *p, random_state *r, int temper, int64_t most) {
  static const double epsilons[] = {1e-5, 1e-3, 0.25, 1e-12, 0, 1e-5, -0.0999, 1e-42},
                      weights[] = {0.1, 0.9, 0.5, 1, 0, 2, 0.01, -0.5};
  cbn_batchnorm *b = &p->batchnorm;
  *b = cbn_batchnorm_make((int32_t)random_between(r, 0, CBN_MAX_SPATIAL));
  b->batch = most > 750 ? random_between(r, 1000, most) : random_between(r, 1, 6);
  b->channels = most > 750 ? 1 : random_between(r, 1, 3);
  p->values = b->batch;
  for (int a = 0; a < b->spatial_rank; a++) {
    b->extent[a] = random_between(r, 1, 5);
    if (p->values * b->extent[a] > most) b->extent[a] = 1;
    p->values *= b->extent[a];
  }
  b->statistics = random_chance(r, 3) ? CBN_STATISTICS_RUNNING : CBN_STATISTICS_BATCH;
  b->update_running = random_chance(r, 2);
  b->running_variance = random_chance(r, 2) ? CBN_VARIANCE_BIASED : CBN_VARIANCE_UNBIASED;
  b->has_weight = !random_chance(r, 4);
  b->has_bias = !random_chance(r, 4);
  b->epsilon = epsilons[random_between(r, 0, 7)];
  b->new_weight = weights[random_between(r, 0, 7)];
  p->temper = temper;
  const int other = random_chance(r, 3) ? temper : TEMPER_NORMAL;
  if (!batchnorm_tensor_make(p, r, CBN_ROLE_INPUT, temper, &p->input) ||
      !batchnorm_tensor_make(p, r, CBN_ROLE_WEIGHT, other, &p->weight) ||
      !batchnorm_tensor_make(p, r, CBN_ROLE_BIAS, other, &p->bias) ||
      !batchnorm_tensor_make(p, r, CBN_ROLE_RUNNING_MEAN, other, &p->running_mean) ||
      !batchnorm_tensor_make(p, r, CBN_ROLE_RUNNING_VAR, other, &p->running_var))
    return false;
  if (p->running_var.memory != NULL)
    for (int64_t c = 0; c < b->channels; c++)
      cbn_tensor_set(&p->running_var.tensor, c, fabs(cbn_tensor_get(&p->running_var.tensor, c)));
  return true;
}

static inline void batchnorm_problem_release(batchnorm_problem *p) {
  test_tensor_release(&p->input);
  test_tensor_release(&p->weight);
  test_tensor_release(&p->bias);
  test_tensor_release(&p->running_mean);
  test_tensor_release(&p->running_var);
}

static inline const cbn_tensor *tensor_or_null(const test_tensor *t) { return t->memory != NULL ? &t->tensor : NULL; }

/* Value of a per-channel tensor that may be absent. */
static inline float channel_value(const test_tensor *t, int64_t channel, float otherwise) {
  return t->memory != NULL ? (float)cbn_tensor_get(&t->tensor, channel) : otherwise;
}

/* The row-major position of value `i` of a channel. */
static inline int64_t channel_position(const batchnorm_problem *p, int64_t channel, int64_t i) {
  const int64_t inner = p->values / p->batchnorm.batch;
  return (i / inner * p->batchnorm.channels + channel) * inner + i % inner;
}

/* The values of one channel in row-major order. */
static inline void channel_values(const batchnorm_problem *p, int64_t channel, float *x) {
  for (int64_t i = 0; i < p->values; i++)
    x[i] = (float)cbn_tensor_get(&p->input.tensor, channel_position(p, channel, i));
}

static inline void batchnorm_problem_print(const batchnorm_problem *p) {
  const cbn_batchnorm *b = &p->batchnorm;
  fprintf(stderr, "CBN_TEST_SEED=%" PRIu64 " batchnorm n=%" PRId64 " c=%" PRId64, p->seed, b->batch, b->channels);
  print_axes("x", b->spatial_rank, b->extent);
  fprintf(stderr, " statistics=%d update=%d unbiased=%d weight=%d bias=%d epsilon=%g new_weight=%g values=%s\n",
          b->statistics, b->update_running, b->running_variance, b->has_weight, b->has_bias, b->epsilon, b->new_weight,
          temper_name(p->temper));
}

#endif
