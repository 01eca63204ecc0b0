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

/* Where the numbers of a type lie, by powers of two. */
typedef struct value_range {
  int bits, lowest, smallest,
      beyond; /* significant bits, smallest normal, smallest subnormal, first that is too large */
} value_range;

static inline value_range value_range_of(int32_t type) {
  static const value_range ranges[] = {[CBN_F32] = {24, -126, -149, 128},
                                       [CBN_F64] = {53, -1022, -1074, 1024},
                                       [CBN_F16] = {11, -14, -24, 16},
                                       [CBN_BF16] = {8, -126, -133, 128}};
  return ranges[type];
}

/* What the elements of one tensor share. */
typedef struct temperament {
  int temper;
  value_range range;
  double center, last;
  int exponent;
} temperament;

static inline temperament temperament_make(random_state *r, int temper, int32_t type) {
  temperament t = {.temper = temper, .range = value_range_of(type)};
  t.center = random_chance(r, 2) ? 1e4 : 100;
  t.center *= 1 + 0.1 * random_unit(r);
  t.exponent = (int)(type == CBN_F16 ? random_between(r, -6, 4) : random_between(r, -20, 20));
  return t;
}

static inline double special_value(random_state *r, value_range range) {
  const double tiny = ldexp(1, range.smallest), normal = ldexp(1, range.lowest), next = ldexp(1, 1 - range.bits);
  const double huge = ldexp(1, range.beyond - 1);
  const double values[] = {0,      -0.0,    1,        -1,       tiny,      -tiny, normal - tiny,
                           normal, -normal, 1 + next, 1 / next, huge,      -huge, huge * (2 - next),
                           2,      3,       -0.5,     INFINITY, -INFINITY, NAN};
  const int64_t count = (int64_t)(sizeof values / sizeof values[0]);
  return values[random_between(r, 0, random_chance(r, 4) ? count - 1 : 16)];
}

static inline double random_value(random_state *r, temperament *t) {
  const value_range range = t->range;
  const int half = range.lowest / 2, top = range.beyond / 2, wild = top < 40 ? top - 2 : 40;
  double v;
  switch (t->temper) {
  case TEMPER_INTEGERS: v = (double)random_between(r, -4, 4); break;
  case TEMPER_GRID: v = random_chance(r, 3) ? 0 : ldexp((double)random_between(r, -4095, 4095), t->exponent); break;
  case TEMPER_OFFSET: v = t->center + random_unit(r); break;
  case TEMPER_CONSTANT: v = random_chance(r, 5) ? t->center * (1 - ldexp(1, -range.bits)) : t->center; break;
  case TEMPER_CANCEL:
    v = random_chance(r, 2) ? random_unit(r) * 10 : -t->last * (1 + ldexp(random_unit(r), 4 - range.bits));
    break;
  case TEMPER_WORST:
    v = 1 + ldexp((double)random_between(r, 0, range.bits > 11 ? 63 : 7), 1 - range.bits);
    if (random_chance(r, 4)) v = -v;
    break;
  case TEMPER_WILD: v = random_scaled(r, -wild, wild); break;
  case TEMPER_TINY:
    v = random_scaled(r, half - (range.beyond > 16 ? 15 : 4), half + (range.beyond > 16 ? 3 : 1));
    break;
  case TEMPER_DENORMAL:
    v = random_chance(r, 8)
            ? 0
            : ldexp((double)random_between(r, 1, (1 << (range.bits > 15 ? 14 : range.bits - 1)) - 1), range.smallest);
    break;
  case TEMPER_SUBNORMAL:
    v = random_chance(r, 2) ? random_scaled(r, range.smallest + 1, range.lowest + 2) : random_unit(r);
    break;
  case TEMPER_HUGE_VALUES: v = random_scaled(r, range.beyond > 16 ? top - 4 : top - 3, top); break;
  case TEMPER_SPECIAL: v = special_value(r, range); break;
  default: v = random_normal(r); break;
  }
  t->last = v;
  return v;
}

static inline int32_t random_type(random_state *r) {
  return (int32_t)(random_chance(r, 2) ? CBN_F32 : random_between(r, CBN_F32, CBN_BF16));
}

/* ------------------------------------------------------------------------------------------------------- tensors */

enum { LAYOUT_CONTIGUOUS, LAYOUT_CHANNELS_LAST, LAYOUT_VIEW, LAYOUT_BROADCAST, LAYOUT_COUNT };

/* A tensor and the memory that it is a view of. Elements between those of the view are NaN. */
typedef struct test_tensor {
  cbn_tensor tensor;
  char *memory;
} test_tensor;

static inline bool test_tensor_make(test_tensor *t, random_state *r, int32_t type, int32_t rank, const int64_t *extent,
                                    int layout) {
  const enum cbn_layout order = layout == LAYOUT_CHANNELS_LAST ? CBN_CHANNELS_LAST : CBN_CONTIGUOUS;
  *t = (test_tensor){0};
  if (!cbn_tensor_describe(&t->tensor, type, rank, extent, order)) return false;
  int64_t origin = 0;
  const int64_t size = (int64_t)cbn_type_size(type);
  if (layout == LAYOUT_VIEW) {
    const int64_t factor = random_between(r, 2, 3);
    for (int32_t a = 0; a < rank; a++) t->tensor.stride[a] *= factor;
    origin = random_between(r, 0, 5);
  } else if (layout == LAYOUT_BROADCAST) {
    t->tensor.stride[random_between(r, 0, rank - 1)] = 0;
  }
  const size_t length = (size_t)((origin + 1) * size + cbn_tensor_bytes(&t->tensor));
  t->memory = malloc(length);
  if (t->memory == NULL) return false;
  memset(t->memory, 0xff, length); /* NaN in every type */
  t->tensor.data = t->memory + origin * size;
  return true;
}

static inline void test_tensor_fill(test_tensor *t, random_state *r, int temper) {
  temperament values = temperament_make(r, temper, t->tensor.type);
  const int64_t count = cbn_tensor_count(&t->tensor);
  for (int64_t i = 0; i < count; i++) cbn_tensor_set(&t->tensor, i, random_value(r, &values));
}

static inline void test_tensor_release(test_tensor *t) {
  free(t->memory);
  *t = (test_tensor){0};
}

/* A call's list of tensors: those that have memory. */
static inline void tensors_of(const test_tensor own[CBN_ROLE_COUNT], const cbn_tensor *list[CBN_ROLE_COUNT]) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) list[role] = own[role].memory != NULL ? &own[role].tensor : NULL;
}

static inline int random_layout(random_state *r) {
  return random_chance(r, 2) ? LAYOUT_CONTIGUOUS : (int)random_between(r, 0, LAYOUT_COUNT - 1);
}

/* --------------------------------------------------------------------------------------------------- convolution */

typedef struct conv_problem {
  uint64_t seed;
  cbn_conv conv;
  int32_t type;
  int temper[CBN_ROLE_COUNT];
  test_tensor own[CBN_ROLE_COUNT];
  const cbn_tensor *tensor[CBN_ROLE_COUNT];
} conv_problem;

static inline void random_padding(random_state *r, cbn_conv *c, int a) {
  if (c->padding_mode == CBN_PAD_ZEROS) {
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

static inline void random_axis(random_state *r, cbn_conv *c, int a, int64_t most) {
  c->input[a] = random_chance(r, 40) ? 0 : random_between(r, 1, most);
  c->kernel[a] = random_between(r, 1, random_chance(r, 8) ? 6 : 3);
  c->stride[a] = random_chance(r, 2) ? 1 : random_between(r, 1, 4);
  c->dilation[a] = random_chance(r, 2) ? 1 : random_between(r, 1, 3);
  random_padding(r, c, a);
  if (c->transposed) {
    const int64_t more = c->stride[a] > c->dilation[a] ? c->stride[a] : c->dilation[a];
    c->output_padding[a] = random_chance(r, 2) ? 0 : random_between(r, 0, more - 1);
  } else if (c->padding_mode == CBN_PAD_ZEROS) {
    c->input_dilation[a] = random_chance(r, 4) ? random_between(r, 1, 3) : 1;
  }
}

/* A valid convolution of any direction, up to a few thousand multiply-adds. */
static inline cbn_conv random_conv(random_state *r) {
  for (;;) {
    cbn_conv c = cbn_conv_make((int32_t)random_between(r, 1, CBN_MAX_SPATIAL));
    c.direction = random_chance(r, 3) ? CBN_FORWARD : (int32_t)random_between(r, CBN_FORWARD, CBN_GRAD_BIAS);
    c.transposed = random_chance(r, 3);
    c.padding_mode =
        (int32_t)(c.transposed || random_chance(r, 2) ? CBN_PAD_ZEROS
                                                      : random_between(r, CBN_PAD_ZEROS, CBN_PAD_CIRCULAR));
    c.groups = random_chance(r, 2) ? 1 : random_between(r, 1, 4);
    c.batch = random_chance(r, 40) ? 0 : random_between(r, 1, 2);
    c.in_channels = c.groups * (random_chance(r, 30) ? 0 : random_between(r, 1, 3));
    c.out_channels = c.groups * (random_chance(r, 40) ? 0 : random_between(r, 1, 2));
    c.has_bias = c.direction == CBN_GRAD_BIAS || random_chance(r, 2);
    for (int a = 0; a < c.spatial_rank; a++)
      random_axis(r, &c, a, c.spatial_rank == 1 ? 12 : c.spatial_rank == 2 ? 7 : 4);
    cbn_violation violation;
    if (cbn_conv_validate(&c, &violation) && cbn_conv_work(&c) <= 6000) return c;
  }
}

/* The role of what a direction computes. */
static inline int conv_result_role(const cbn_conv *c) {
  static const int roles[] = {CBN_ROLE_OUTPUT, CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS};
  return roles[c->direction];
}

/* Is a tensor of that role read? */
static inline bool conv_reads(const cbn_conv *c, int role) {
  switch (role) {
  case CBN_ROLE_INPUT: return c->direction == CBN_FORWARD || c->direction == CBN_GRAD_WEIGHT;
  case CBN_ROLE_WEIGHT: return c->direction == CBN_FORWARD || c->direction == CBN_GRAD_INPUT;
  case CBN_ROLE_BIAS: return c->direction == CBN_FORWARD && c->has_bias;
  case CBN_ROLE_GRAD_OUTPUT: return c->direction != CBN_FORWARD;
  default: return false;
  }
}

/* The tensors that p->conv reads, of the type and the tempers that p names. */
static inline bool conv_problem_fill(conv_problem *p, random_state *r) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (!conv_reads(&p->conv, role)) continue;
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(&p->conv, role, extent);
    if (!test_tensor_make(&p->own[role], r, p->type, rank, extent, random_layout(r))) return false;
    test_tensor_fill(&p->own[role], r, p->temper[role]);
  }
  tensors_of(p->own, p->tensor);
  return true;
}

/* `temper` for all tensors, or now and then for all but one. */
static inline void conv_problem_tempers(conv_problem *p, random_state *r, int temper) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    p->temper[role] = random_chance(r, 6) ? (int)random_between(r, 0, TEMPER_COUNT - 1) : temper;
}

static inline bool conv_problem_make(conv_problem *p, random_state *r, int temper) {
  p->conv = random_conv(r);
  p->type = random_type(r);
  conv_problem_tempers(p, r, temper);
  return conv_problem_fill(p, r);
}

static inline void conv_problem_release(conv_problem *p) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) test_tensor_release(&p->own[role]);
}

static inline void print_axes(const char *name, int32_t rank, const int64_t *values) {
  fprintf(stderr, " %s=", name);
  for (int32_t a = 0; a < rank; a++) fprintf(stderr, a == 0 ? "%" PRId64 : ",%" PRId64, values[a]);
}

static inline void conv_problem_print(const conv_problem *p) {
  const cbn_conv *c = &p->conv;
  fprintf(stderr,
          "CBN_TEST_SEED=%" PRIu64 " conv type=%s direction=%d transposed=%d n=%" PRId64 " in=%" PRId64 " out=%" PRId64
          " g=%" PRId64 " mode=%d bias=%d",
          p->seed, cbn_type_name(p->type), c->direction, c->transposed, c->batch, c->in_channels, c->out_channels,
          c->groups, c->padding_mode, c->has_bias);
  print_axes("x", c->spatial_rank, c->input);
  print_axes("k", c->spatial_rank, c->kernel);
  print_axes("s", c->spatial_rank, c->stride);
  print_axes("d", c->spatial_rank, c->dilation);
  print_axes("id", c->spatial_rank, c->input_dilation);
  print_axes("pb", c->spatial_rank, c->pad_begin);
  print_axes("pe", c->spatial_rank, c->pad_end);
  print_axes("op", c->spatial_rank, c->output_padding);
  fprintf(stderr, " values=%s,%s,%s,%s\n", temper_name(p->temper[CBN_ROLE_INPUT]),
          temper_name(p->temper[CBN_ROLE_WEIGHT]), temper_name(p->temper[CBN_ROLE_BIAS]),
          temper_name(p->temper[CBN_ROLE_GRAD_OUTPUT]));
}

/* ------------------------------------------------------------------------------------------- batch normalization */

typedef struct batchnorm_problem {
  uint64_t seed;
  cbn_batchnorm batchnorm;
  int32_t type, parameter_type;
  int temper;
  int64_t values; /* a channel */
  test_tensor own[CBN_ROLE_COUNT];
  const cbn_tensor *tensor[CBN_ROLE_COUNT];
} batchnorm_problem;

static inline bool batchnorm_reads(const cbn_batchnorm *b, int role) {
  const bool running = b->statistics == CBN_STATISTICS_RUNNING || b->update_running;
  switch (role) {
  case CBN_ROLE_INPUT: return true;
  case CBN_ROLE_WEIGHT: return b->has_weight;
  case CBN_ROLE_BIAS: return b->direction == CBN_FORWARD && b->has_bias;
  case CBN_ROLE_RUNNING_MEAN:
  case CBN_ROLE_RUNNING_VAR: return running;
  case CBN_ROLE_GRAD_OUTPUT: return b->direction != CBN_FORWARD;
  default: return false;
  }
}

/* The tensors of p->batchnorm; parameters and statistics of `other`. */
static inline bool batchnorm_problem_fill(batchnorm_problem *p, random_state *r, int other) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (!batchnorm_reads(&p->batchnorm, role)) continue;
    const bool large = role == CBN_ROLE_INPUT || role == CBN_ROLE_GRAD_OUTPUT;
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_batchnorm_extents(&p->batchnorm, role, extent);
    if (!test_tensor_make(&p->own[role], r, large ? p->type : p->parameter_type, rank, extent,
                          large ? random_layout(r) : LAYOUT_CONTIGUOUS))
      return false;
    test_tensor_fill(&p->own[role], r, role == CBN_ROLE_INPUT ? p->temper : other);
  }
  const cbn_tensor *variance = &p->own[CBN_ROLE_RUNNING_VAR].tensor;
  if (p->own[CBN_ROLE_RUNNING_VAR].memory != NULL)
    for (int64_t c = 0; c < p->batchnorm.channels; c++) cbn_tensor_set(variance, c, fabs(cbn_tensor_get(variance, c)));
  tensors_of(p->own, p->tensor);
  return true;
}

/* Up to `most` values a channel; above 750, thousands of them in one channel. */
static inline bool batchnorm_problem_make(batchnorm_problem *p, random_state *r, int temper, int64_t most,
                                          int32_t direction) {
  static const double epsilons[] = {1e-5, 1e-3, 0.25, 1e-12, 0, 1e-5, -0.0999, 1e-42},
                      weights[] = {0.1, 0.9, 0.5, 1, 0, 2, 0.01, -0.5};
  cbn_batchnorm *b = &p->batchnorm;
  *b = cbn_batchnorm_make((int32_t)random_between(r, 0, CBN_MAX_SPATIAL));
  b->direction = direction;
  b->batch = most > 750 ? random_between(r, 1000, most) : random_between(r, 1, 6);
  b->channels = most > 750 ? 1 : random_between(r, 1, 3);
  p->values = b->batch;
  for (int a = 0; a < b->spatial_rank; a++) {
    b->extent[a] = random_between(r, 1, 5);
    if (p->values * b->extent[a] > most) b->extent[a] = 1;
    p->values *= b->extent[a];
  }
  b->statistics = random_chance(r, 3) ? CBN_STATISTICS_RUNNING : CBN_STATISTICS_BATCH;
  b->update_running = direction == CBN_FORWARD && random_chance(r, 2);
  b->running_variance = random_chance(r, 2) ? CBN_VARIANCE_BIASED : CBN_VARIANCE_UNBIASED;
  b->has_weight = !random_chance(r, 4);
  b->has_bias = !random_chance(r, 4);
  b->epsilon = epsilons[random_between(r, 0, 7)];
  b->new_weight = weights[random_between(r, 0, 7)];
  p->temper = temper;
  p->type = p->parameter_type = random_type(r);
  if ((p->type == CBN_F16 || p->type == CBN_BF16) && random_chance(r, 2)) p->parameter_type = CBN_F32;
  return batchnorm_problem_fill(p, r, random_chance(r, 3) ? temper : TEMPER_NORMAL);
}

static inline void batchnorm_problem_release(batchnorm_problem *p) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) test_tensor_release(&p->own[role]);
}

/* Value of a per-channel tensor that may be absent. */
static inline double channel_value(const batchnorm_problem *p, int role, int64_t channel, double otherwise) {
  return p->tensor[role] != NULL ? cbn_tensor_get(p->tensor[role], channel) : otherwise;
}

/* The row-major position of value `i` of a channel. */
static inline int64_t channel_position(const batchnorm_problem *p, int64_t channel, int64_t i) {
  const int64_t inner = p->values / p->batchnorm.batch;
  return (i / inner * p->batchnorm.channels + channel) * inner + i % inner;
}

/* The values of one channel in row-major order. */
static inline void channel_values(const batchnorm_problem *p, int role, int64_t channel, double *x) {
  for (int64_t i = 0; i < p->values; i++) x[i] = cbn_tensor_get(p->tensor[role], channel_position(p, channel, i));
}

static inline void batchnorm_problem_print(const batchnorm_problem *p) {
  const cbn_batchnorm *b = &p->batchnorm;
  fprintf(stderr, "CBN_TEST_SEED=%" PRIu64 " batchnorm type=%s parameters=%s direction=%d n=%" PRId64 " c=%" PRId64,
          p->seed, cbn_type_name(p->type), cbn_type_name(p->parameter_type), b->direction, b->batch, b->channels);
  print_axes("x", b->spatial_rank, b->extent);
  fprintf(stderr, " statistics=%d update=%d unbiased=%d weight=%d bias=%d epsilon=%g new_weight=%g values=%s\n",
          b->statistics, b->update_running, b->running_variance, b->has_weight, b->has_bias, b->epsilon, b->new_weight,
          temper_name(p->temper));
}

#endif
