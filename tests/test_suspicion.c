/* What the statistical test says of clean kernels, which is nothing, and of kernels that truncate or compute in fewer
 * bits than they should while every element stays within its bound.
 *
 * Problems, data, kernels and intervals are made here from the definitions: sums in long double, bounds by the formulas
 * of convbn/reference.h. CBN_SUSPICION_TENSORS sets how many clean tensors are tried, CBN_TEST_SEED where to begin;
 * CBN_SUSPICION_POWER=1 prints the table of docs/statistical-test.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <convbn/operator.h>
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/suspicion.h"

_Static_assert(FLT_EVAL_METHOD == 0, "f32 operations must round to f32");

typedef long double wide;

/* ------------------------------------------------------------------------------------------------------ randomness */

typedef struct source {
  uint64_t state;
} source;

static uint64_t next(source *s) { /* SplitMix64 (Steele, Lea and Flood 2014) */
  uint64_t x = s->state += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

static double uniform(source *s) { return (double)(next(s) >> 11) * 0x1p-53; }

static int64_t between(source *s, int64_t low, int64_t high) {
  return low + (int64_t)(next(s) % (uint64_t)(high - low + 1));
}

static double normal(source *s) { return sqrt(-2 * log(1 - uniform(s))) * cos(6.283185307179586 * uniform(s)); }

static bool chance(source *s, int64_t one_in) { return between(s, 1, one_in) == 1; }

/* ------------------------------------------------------------------------------------------------------------ data */

#define DATA(X)                                                                                                        \
  X(STANDARD)                                                                                                          \
  X(NORMAL)                                                                                                            \
  X(POSITIVE)                                                                                                          \
  X(UNIFORM)                                                                                                           \
  X(OFFSET)                                                                                                            \
  X(RELU)                                                                                                              \
  X(SPREAD)                                                                                                            \
  X(INTEGERS)                                                                                                          \
  X(FEW)                                                                                                               \
  X(RAMP)                                                                                                              \
  X(SLOPE)                                                                                                             \
  X(CONSTANT)                                                                                                          \
  X(CONSTANT_CHANNELS)                                                                                                 \
  X(SOME_CONSTANT)                                                                                                     \
  X(POWERS)                                                                                                            \
  X(WAVE)                                                                                                              \
  X(TINY)                                                                                                              \
  X(SPECIAL)

enum data {
#define DATA_ENUM(NAME) NAME,
  DATA(DATA_ENUM)
#undef DATA_ENUM
      DATA_KINDS
};

static const char *const data_names[] = {
#define DATA_NAME(NAME) #NAME,
    DATA(DATA_NAME)
#undef DATA_NAME
};

/* What a kind of data has besides its elements. */
typedef struct shape_of_data {
  enum data kind;
  double scale, offset, step, constant[7];
} shape_of_data;

static shape_of_data draw_data(source *s, enum data kind) {
  shape_of_data d = {.kind = kind, .scale = exp(2 * normal(s))};
  d.offset = exp(12 * uniform(s) - 2);
  d.step = chance(s, 2) ? d.scale : exp(6 * uniform(s) - 6);
  for (int k = 0; k < 7; k++) d.constant[k] = normal(s);
  return d;
}

static double datum(source *s, const shape_of_data *d, int64_t i, int64_t channel) {
  static const double special[] = {NAN, INFINITY, -INFINITY, 0, 0x1p-149};
  switch (d->kind) {
  case STANDARD: return normal(s);
  case POSITIVE: return d->scale * fabs(normal(s));
  case UNIFORM: return d->scale * (0.5 + uniform(s));
  case OFFSET: return d->scale * (normal(s) + d->offset);
  case RELU: return d->scale * fmax(0, normal(s));
  case SPREAD: return normal(s) * exp(3 * normal(s));
  case INTEGERS: return (double)between(s, -8, 8);
  case FEW: return d->scale * d->constant[between(s, 0, 6)];
  case RAMP: return (double)i + 1;
  case SLOPE: return d->offset + (double)i * d->step;
  case CONSTANT: return d->constant[0];
  case CONSTANT_CHANNELS: return d->scale * sin((double)channel + d->constant[0]);
  case SOME_CONSTANT: return channel % 2 ? d->constant[channel % 7] : d->scale * normal(s);
  case POWERS: return ldexp(chance(s, 2) ? 1 : -1, (int)between(s, -5, 5));
  case WAVE: return d->scale * sin(0.05 * (double)i + d->constant[0]);
  case TINY: return 1e-38 * normal(s);
  case SPECIAL: return chance(s, 50) ? special[between(s, 0, 4)] : d->scale * normal(s);
  default: return d->scale * normal(s);
  }
}

static cbn_tensor make_tensor(int32_t type, int32_t rank, const int64_t *extent) {
  cbn_tensor t;
  assert_true(cbn_tensor_describe(&t, type, rank, extent, CBN_CONTIGUOUS) && cbn_tensor_allocate(&t));
  return t;
}

static void fill(source *s, const shape_of_data *d, const cbn_tensor *t) {
  const int64_t count = cbn_tensor_count(t);
  int64_t inner = 1;
  for (int32_t a = 2; a < t->rank; a++) inner *= t->extent[a];
  const int64_t channels = t->rank > 1 ? t->extent[1] : 1;
  for (int64_t i = 0; i < count; i++) cbn_tensor_set(t, i, datum(s, d, i, i / inner % channels));
}

static cbn_tensor draw_tensor(source *s, enum data kind, int32_t type, int32_t rank, const int64_t *extent) {
  const cbn_tensor t = make_tensor(type, rank, extent);
  const shape_of_data d = draw_data(s, kind);
  fill(s, &d, &t);
  return t;
}

/* ---------------------------------------------------------------------------------------------------- kernels: sums */

/* In which order, and in what, a kernel adds. */
#define ORDERS(X)                                                                                                      \
  X(CHAIN) X(CHAIN_FMA) X(REVERSED) X(PAIRWISE) X(LANES_8) X(LANES_16) X(BLOCKS_64) X(ASCENDING) X(DESCENDING) X(WIDER)

enum order {
#define ORDER_ENUM(NAME) NAME,
  ORDERS(ORDER_ENUM)
#undef ORDER_ENUM
      ORDER_COUNT
};

static const char *const order_names[] = {
#define ORDER_NAME(NAME) #NAME,
    ORDERS(ORDER_NAME)
#undef ORDER_NAME
};

static int ascending(const void *a, const void *b) {
  const double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
  return (x > y) - (x < y);
}

static void sort_terms(int64_t n, double *term, bool descending) {
  qsort(term, (size_t)n, sizeof *term, ascending);
  for (int64_t k = 0; descending && k < n / 2; k++) {
    const double t = term[k];
    term[k] = term[n - 1 - k];
    term[n - 1 - k] = t;
  }
}

/* start + sum of a*b in the arithmetic of T, in every order but WIDER; `work` has room for n. */
#define SUM_KERNEL(T, FMA)                                                                                             \
  static T pairwise_##T(int64_t n, const double *p) {                                                                  \
    if (n == 1) return (T)p[0];                                                                                        \
    const T left = pairwise_##T(n / 2, p), right = pairwise_##T(n - n / 2, p + n / 2);                                 \
    return left + right;                                                                                               \
  }                                                                                                                    \
                                                                                                                       \
  static T lanes_##T(int64_t n, const double *a, const double *b, T start, int width) {                                \
    T lane[16] = {start};                                                                                              \
    for (int64_t k = 0; k < n; k++) lane[k % width] = FMA((T)a[k], (T)b[k], lane[k % width]);                          \
    for (int step = width / 2; step > 0; step /= 2)                                                                    \
      for (int k = 0; k < step; k++) lane[k] += lane[k + step];                                                        \
    return lane[0];                                                                                                    \
  }                                                                                                                    \
                                                                                                                       \
  static T blocks_##T(int64_t n, const double *a, const double *b, T start) {                                          \
    T sum = start;                                                                                                     \
    for (int64_t k = 0; k < n; k += 64) {                                                                              \
      T block = 0;                                                                                                     \
      for (int64_t j = k; j < n && j < k + 64; j++) block = FMA((T)a[j], (T)b[j], block);                              \
      sum += block;                                                                                                    \
    }                                                                                                                  \
    return sum;                                                                                                        \
  }                                                                                                                    \
                                                                                                                       \
  static T sum_##T(enum order order, int64_t n, const double *a, const double *b, T start, double *work) {             \
    if (order == LANES_8 || order == LANES_16) return lanes_##T(n, a, b, start, order == LANES_8 ? 8 : 16);            \
    if (order == BLOCKS_64) return blocks_##T(n, a, b, start);                                                         \
    T sum = start;                                                                                                     \
    if (order == CHAIN_FMA) {                                                                                          \
      for (int64_t k = 0; k < n; k++) sum = FMA((T)a[k], (T)b[k], sum);                                                \
      return sum;                                                                                                      \
    }                                                                                                                  \
    for (int64_t k = 0; k < n; k++) work[k] = (T)a[k] * (T)b[k];                                                       \
    if (order == PAIRWISE) return n == 0 ? start : start + pairwise_##T(n, work);                                      \
    if (order == ASCENDING || order == DESCENDING) sort_terms(n, work, order == DESCENDING);                           \
    for (int64_t k = 0; k < n; k++) sum += (T)work[order == REVERSED ? n - 1 - k : k];                                 \
    return sum;                                                                                                        \
  }

SUM_KERNEL(float, fmaf)
SUM_KERNEL(double, fma)

static double wider_sum(int32_t work, int64_t n, const double *a, const double *b, double start) {
  double narrow = start;
  wide sum = start;
  for (int64_t k = 0; k < n; k++) {
    narrow += a[k] * b[k];
    sum += (wide)a[k] * b[k];
  }
  return work == CBN_F64 ? (double)sum : (double)(float)narrow;
}

/* Every operation rounded to a 16-bit type; f64 in between does no harm (53 >= 2*11 + 2). */
static double narrow_sum(int32_t type, int64_t n, const double *a, const double *b, double start) {
  double sum = start;
  for (int64_t k = 0; k < n; k++) sum = cbn_type_round(type, sum + cbn_type_round(type, a[k] * b[k]));
  return sum;
}

/* ------------------------------------------------------------------------------------------------ kernels: defects */

enum defect {
  NONE,
  TOWARD_ZERO,    /* all arithmetic truncates */
  DOWNWARD,       /* ... rounds down */
  TF32_ROUNDED,   /* factors rounded to 11 bits */
  TF32_CUT,       /* ... cut */
  BF16_ROUNDED,   /* factors rounded to 8 bits */
  THROUGH_F16,    /* the result, before it is stored, rounded to 11 bits */
  F16_ACCUMULATOR /* every partial sum rounded to 11 bits */
};

/* x with its significand rounded, or cut, to that many bits, any exponent. */
static double to_bits(double x, int bits, bool cut) {
  int power;
  const double significand = ldexp(frexp(x, &power), bits);
  return ldexp(cut ? trunc(significand) : nearbyint(significand), power - bits);
}

static double eleven_bit_sum(int64_t n, const double *a, const double *b, double start) {
  double sum = start;
  for (int64_t k = 0; k < n; k++) sum = to_bits(sum + (float)(a[k] * b[k]), 11, false);
  return sum;
}

/* A kernel: the order of its sums, the arithmetic, and what is wrong with it. */
typedef struct kernel {
  enum order order;
  enum defect defect;
  int32_t type; /* of the tensors */
  int32_t work; /* in which it adds */
  bool narrow;  /* in the tensors' 16-bit type */
} kernel;

/* Rounds a result to the tensors' type. */
static double store(const kernel *k, double x) {
  return cbn_type_round(k->type, k->defect == THROUGH_F16 ? to_bits(x, 11, false) : x);
}

static double reduced(const kernel *k, double x) {
  switch (k->defect) {
  case TF32_ROUNDED: return to_bits(x, 11, false);
  case TF32_CUT: return to_bits(x, 11, true);
  case BF16_ROUNDED: return to_bits(x, 8, false);
  default: return x;
  }
}

/* The rounding mode of the kernel's arithmetic. */
static void enter_kernel(const kernel *k) {
  if (k->defect == TOWARD_ZERO) fesetround(FE_TOWARDZERO);
  if (k->defect == DOWNWARD) fesetround(FE_DOWNWARD);
}

static void leave_kernel(void) { fesetround(FE_TONEAREST); }

/* start + sum of a*b; a and b are overwritten. `work` has room for n. */
static __attribute__((noinline)) double kernel_sum(const kernel *k, int64_t n, double *a, double *b, double start,
                                                   double *work) {
  if (k->narrow) return narrow_sum(k->type, n, a, b, start);
  if (k->defect == F16_ACCUMULATOR) return eleven_bit_sum(n, a, b, start);
  for (int64_t i = 0; i < n && k->defect >= TF32_ROUNDED; i++) {
    a[i] = reduced(k, a[i]);
    b[i] = reduced(k, b[i]);
  }
  enter_kernel(k);
  double sum;
  if (k->order == WIDER) sum = wider_sum(k->work, n, a, b, start);
  else if (k->work == CBN_F64) sum = sum_double(k->order, n, a, b, start, work);
  else sum = (double)sum_float(k->order, n, a, b, (float)start, work);
  leave_kernel();
  return store(k, sum);
}

/* ----------------------------------------------------------------------------------------------------- intervals */

static double unit_of(int32_t type) {
  return type == CBN_F64 ? 0x1p-53 : type == CBN_F32 ? 0x1p-24 : type == CBN_F16 ? 0x1p-11 : 0x1p-8;
}
static double least_of(int32_t type) {
  return type == CBN_F64 ? 0x1p-1074 : type == CBN_F32 ? 0x1p-149 : type == CBN_F16 ? 0x1p-24 : 0x1p-133;
}
static double greatest_of(int32_t type) {
  return type == CBN_F64 ? DBL_MAX : type == CBN_F16 ? 65504 : (double)FLT_MAX / 2;
}

static wide gamma_of(wide n, wide u) { return n * u / (1 - n * u); }

/* Adds what is common to all intervals: the value's own rounding, and that to a narrower type. */
static void put(const cbn_expected *expected, int64_t i, wide value, wide bound, wide own, int32_t work) {
  cbn_interval r = {.value = (double)value};
  own += 0x1p-53L * fabsl(value);
  bound += own;
  if (unit_of(expected->type) > unit_of(work))
    bound += unit_of(expected->type) * (fabsl(value) + bound) + least_of(expected->type);
  r.own = (double)(own * (1 + 0x1p-40L));
  r.bound = (double)(bound * (1 + 0x1p-40L));
  if (!(fabsl(value) + bound < greatest_of(expected->type))) r.flags = CBN_INCONCLUSIVE;
  cbn_expected_put(expected, i, r);
}

static cbn_expected make_expected(int32_t type, int32_t rank, const int64_t *extent) {
  cbn_expected e;
  assert_true(cbn_expected_allocate(&e, type, rank, extent));
  return e;
}

/* --------------------------------------------------------------------------------------------------- convolutions */

/* For every element of a result the factors of its products, in the order of the loops that find them. */
typedef struct products {
  int64_t elements, *begin; /* elements + 1 */
  double *a, *b;
  int64_t most; /* of one element */
} products;

typedef struct conv_problem {
  cbn_conv conv;
  cbn_tensor tensor[CBN_ROLE_COUNT];
  bool has[CBN_ROLE_COUNT];
  int result; /* role */
  products products;
} conv_problem;

static int64_t reflected(const cbn_conv *c, int axis, int64_t q, int64_t extent) {
  if (c->padding_mode == CBN_PAD_REFLECT) {
    if (q < 0) return -q;
    return q < extent ? q : 2 * extent - 2 - q;
  }
  if (c->padding_mode == CBN_PAD_REPLICATE) return q < 0 ? 0 : q < extent ? q : extent - 1;
  if (c->padding_mode == CBN_PAD_CIRCULAR) return (q + 8 * extent) % extent;
  const int64_t hole = c->input_dilation[axis];
  return q < 0 || q % hole != 0 || q / hole >= extent ? -1 : q / hole;
}

/* One product y += x * w of a convolution in all its directions: finds the factors by role and the element. */
typedef struct scatter {
  const conv_problem *p;
  int factor[2];
  bool counting;
} scatter;

static void scatter_product(const scatter *s, products *list, int64_t x, int64_t w, int64_t y) {
  /* The parts of input, weight and output of the forward problem. */
  const int64_t at[] = {[CBN_ROLE_INPUT] = x, [CBN_ROLE_WEIGHT] = w, [CBN_ROLE_GRAD_OUTPUT] = y};
  const int64_t element = s->p->result == CBN_ROLE_OUTPUT ? y : s->p->result == CBN_ROLE_GRAD_INPUT ? x : w;
  if (s->counting) {
    list->begin[element + 1]++;
    return;
  }
  const int64_t slot = list->begin[element]++;
  list->a[slot] = cbn_tensor_load(&s->p->tensor[s->factor[0]], at[s->factor[0]]);
  list->b[slot] = cbn_tensor_load(&s->p->tensor[s->factor[1]], at[s->factor[1]]);
}

/* All products of a two-dimensional convolution, transposed or not, from its definition: small is the side of which one
 * element's window lies in big. */
static void scatter_all(const scatter *s, products *list, const int64_t *input, const int64_t *output) {
  const cbn_conv *c = &s->p->conv;
  const int64_t *small = c->transposed ? input : output, *big = c->transposed ? output : input;
  const int64_t ci = c->in_channels / c->groups, co = c->out_channels / c->groups;
  const int64_t taps = c->kernel[0] * c->kernel[1];
  for (int64_t n = 0; n < c->batch; n++)
    for (int64_t o = 0; o < c->out_channels; o++)
      for (int64_t i = 0; i < ci; i++) {
        const int64_t group = o / co, in = group * ci + i;
        const int64_t w = (c->transposed ? in * co + o % co : o * ci + i) * taps;
        for (int64_t p = 0; p < small[0] * small[1]; p++)
          for (int64_t t = 0; t < taps; t++) {
            const int64_t h = reflected(
                c, 0, p / small[1] * c->stride[0] + t / c->kernel[1] * c->dilation[0] - c->pad_begin[0], big[0]);
            const int64_t v = reflected(
                c, 1, p % small[1] * c->stride[1] + t % c->kernel[1] * c->dilation[1] - c->pad_begin[1], big[1]);
            if (h < 0 || v < 0) continue;
            const int64_t q = h * big[1] + v;
            const int64_t x = (n * c->in_channels + in) * input[0] * input[1] + (c->transposed ? p : q);
            const int64_t y = (n * c->out_channels + o) * output[0] * output[1] + (c->transposed ? q : p);
            scatter_product(s, list, x, w + t, y);
          }
      }
}

/* Those of the bias' gradient: the elements of its channel times 1. */
static void list_channel_sums(conv_problem *p, const int64_t *output) {
  const int64_t plane = output[0] * output[1], channels = p->conv.out_channels, each = p->conv.batch * plane;
  products *list = &p->products;
  *list = (products){.elements = channels, .most = each};
  const size_t total = (size_t)(channels * each) + 1;
  list->begin = calloc((size_t)channels + 2, sizeof(int64_t));
  list->a = calloc(total, sizeof(double));
  list->b = calloc(total, sizeof(double));
  assert_true(list->begin != NULL && list->a != NULL && list->b != NULL);
  for (int64_t o = 0; o <= channels; o++) list->begin[o] = o * each;
  for (int64_t o = 0; o < channels; o++)
    for (int64_t k = 0; k < each; k++) {
      const int64_t at = (k / plane * channels + o) * plane + k % plane;
      list->a[o * each + k] = cbn_tensor_load(&p->tensor[CBN_ROLE_GRAD_OUTPUT], at);
      list->b[o * each + k] = 1;
    }
}

static void list_products(conv_problem *p) {
  products *list = &p->products;
  scatter s = {.p = p, .factor = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT}, .counting = true};
  if (p->result == CBN_ROLE_GRAD_INPUT) s.factor[0] = CBN_ROLE_GRAD_OUTPUT;
  if (p->result == CBN_ROLE_GRAD_WEIGHT) s.factor[1] = CBN_ROLE_GRAD_OUTPUT;
  int64_t input[CBN_MAX_RANK], output[CBN_MAX_RANK], extent[CBN_MAX_RANK];
  cbn_conv_extents(&p->conv, CBN_ROLE_INPUT, input);
  for (int a = 0; a < 2; a++) output[2 + a] = cbn_conv_output_extent(&p->conv, a);
  if (p->result == CBN_ROLE_GRAD_BIAS) {
    list_channel_sums(p, output + 2);
    return;
  }
  const int32_t rank = cbn_conv_extents(&p->conv, p->result, extent);
  list->elements = cbn_extent_product(rank, extent);
  list->begin = calloc((size_t)list->elements + 2, sizeof(int64_t));
  assert_non_null(list->begin);
  scatter_all(&s, list, input + 2, output + 2);
  for (int64_t e = 0; e < list->elements; e++) {
    if (list->begin[e + 1] > list->most) list->most = list->begin[e + 1];
    list->begin[e + 1] += list->begin[e];
  }
  const size_t total = (size_t)list->begin[list->elements] + 1;
  list->a = calloc(total, sizeof(double));
  list->b = calloc(total, sizeof(double));
  assert_true(list->a != NULL && list->b != NULL);
  s.counting = false;
  scatter_all(&s, list, input + 2, output + 2);
  memmove(list->begin + 1, list->begin, (size_t)list->elements * sizeof(int64_t));
  list->begin[0] = 0;
}

static const int directions[] = {CBN_ROLE_OUTPUT, CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS};

/* Draws the tensors that the problem has and lists the products. */
static void conv_data(source *s, conv_problem *p, int32_t type, enum data data, enum data weights) {
  const int wanted[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_GRAD_OUTPUT};
  p->result = directions[p->conv.direction];
  for (size_t k = 0; k < 4; k++) {
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(&p->conv, wanted[k], extent);
    if (rank == 0) continue;
    p->has[wanted[k]] = true;
    p->tensor[wanted[k]] = draw_tensor(s, k == 0 || k == 3 ? data : k == 2 ? NORMAL : weights, type, rank, extent);
  }
  list_products(p);
}

static void conv_release(conv_problem *p) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (p->has[role]) cbn_tensor_release(&p->tensor[role]);
  free(p->products.begin);
  free(p->products.a);
  free(p->products.b);
}

static double bias_of(const conv_problem *p, int64_t element) {
  if (!p->has[CBN_ROLE_BIAS] || p->result != CBN_ROLE_OUTPUT) return 0;
  const int64_t plane = cbn_conv_output_extent(&p->conv, 0) * cbn_conv_output_extent(&p->conv, 1);
  return cbn_tensor_get(&p->tensor[CBN_ROLE_BIAS], element / plane % p->conv.out_channels);
}

/* Is every partial sum a small multiple of one power of two? Then nothing rounds. */
static bool exact_sum(int64_t n, const double *a, const double *b, double start, wide B, int32_t work) {
  /* Sums up to B are exact on that and coarser grids. */
  const double grid = fmax(ldexp(1, ilogb((double)B * 2 * unit_of(work)) + 1), least_of(work));
  bool exact = fmod(start, grid) == 0;
  for (int64_t k = 0; k < n && exact; k++) exact = fmod(a[k] * b[k], grid) == 0;
  return exact;
}

static cbn_expected conv_expected(const conv_problem *p, int32_t type, int32_t work) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_conv_extents(&p->conv, p->result, extent);
  const cbn_expected expected = make_expected(type, rank, extent);
  const wide u = unit_of(work), uw = LDBL_EPSILON / 2;
  for (int64_t e = 0; e < expected.count; e++) {
    const int64_t begin = p->products.begin[e], n = p->products.begin[e + 1] - begin;
    const double *a = p->products.a + begin, *b = p->products.b + begin, bias = bias_of(p, e);
    wide y = bias, B = fabs(bias);
    for (int64_t k = 0; k < n; k++) {
      y += (wide)a[k] * b[k];
      B += fabsl((wide)a[k] * b[k]);
    }
    if (!(B < greatest_of(work) / 2))
      cbn_expected_put(&expected, e, (cbn_interval){.value = (double)y, .flags = CBN_INCONCLUSIVE});
    else if (B == 0 || (type != CBN_F64 && exact_sum(n, a, b, bias, B, work)))
      cbn_expected_put(&expected, e, (cbn_interval){.value = cbn_type_round(type, (double)y), .flags = CBN_EXACT});
    else
      put(&expected, e, y, gamma_of((wide)n + 1, u) * B + (2 * (wide)n + 1) * least_of(work) / (1 - (wide)n * u),
          gamma_of((wide)n + 1, uw) * B, work);
  }
  return expected;
}

static cbn_tensor conv_actual(const conv_problem *p, const kernel *k) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_conv_extents(&p->conv, p->result, extent);
  const cbn_tensor actual = make_tensor(k->type, rank, extent);
  const size_t room = (size_t)p->products.most + 1;
  double *a = calloc(room, sizeof(double)), *b = calloc(room, sizeof(double)), *work = calloc(room, sizeof(double));
  assert_true(a != NULL && b != NULL && work != NULL);
  for (int64_t e = 0; e < p->products.elements; e++) {
    const int64_t begin = p->products.begin[e], n = p->products.begin[e + 1] - begin;
    memcpy(a, p->products.a + begin, (size_t)n * sizeof(double));
    memcpy(b, p->products.b + begin, (size_t)n * sizeof(double));
    cbn_tensor_set(&actual, e, kernel_sum(k, n, a, b, bias_of(p, e), work));
  }
  free(a);
  free(b);
  free(work);
  return actual;
}

/* What the test says, and whether a bound was broken. */
typedef struct answer {
  cbn_suspicion suspicion;
  int64_t outside;
} answer;

static int64_t outside_bounds(const cbn_expected *expected, const cbn_tensor *actual) {
  int64_t outside = 0;
  for (int64_t i = 0; i < expected->count; i++) {
    const cbn_interval interval = cbn_expected_at(expected, i);
    outside += !cbn_interval_admits(&interval, cbn_tensor_get(actual, i));
  }
  return outside;
}

/* `arithmetic` is what the engine declares. */
static answer ask_conv_as(const conv_problem *p, const kernel *k, uint32_t arithmetic) {
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {NULL};
  for (int role = 0; role < CBN_ROLE_COUNT; role++) tensor[role] = p->has[role] ? &p->tensor[role] : NULL;
  cbn_expected expected = conv_expected(p, k->type, k->narrow ? k->type : k->work);
  cbn_tensor actual = conv_actual(p, k);
  answer r = {.outside = outside_bounds(&expected, &actual)};
  assert_true(cbn_suspect_conv(&p->conv, tensor, arithmetic, &expected, &actual, &r.suspicion));
  cbn_tensor_release(&actual);
  cbn_expected_release(&expected);
  return r;
}

static answer ask_conv(const conv_problem *p, const kernel *k) {
  return ask_conv_as(p, k, k->narrow ? CBN_NARROW_SUMS : 0);
}

/* -------------------------------------------------------------------------------------------- batch normalization */

/* How a kernel computes statistics and applies them. */
enum method { TWO_PASS, WELFORD, IN_F64, METHODS };
enum form { PLAIN, SCALED, FOLDED, FUSED, FORMS };

typedef struct norm_kernel {
  kernel sums; /* order, defect, type */
  enum method method;
  enum form form;
} norm_kernel;

typedef struct norm_problem {
  cbn_batchnorm batchnorm;
  int64_t values, inner; /* of a channel */
  bool training;
  cbn_tensor x, g, weight, bias, mean, variance;
} norm_problem;

static int64_t norm_position(const norm_problem *p, int64_t channel, int64_t k) {
  return (k / p->inner * p->batchnorm.channels + channel) * p->inner + k % p->inner;
}

static norm_problem norm_data(source *s, int64_t batch, int64_t channels, int64_t h, int64_t w, bool training,
                              bool backward, int32_t type, enum data data, enum data weights) {
  norm_problem p = {.batchnorm = cbn_batchnorm_make(2), .values = batch * h * w, .inner = h * w, .training = training};
  cbn_batchnorm *b = &p.batchnorm;
  b->batch = batch;
  b->channels = channels;
  b->extent[0] = h;
  b->extent[1] = w;
  b->statistics = training ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->direction = backward ? CBN_GRAD_INPUT : CBN_FORWARD;
  b->update_running = training && !backward;
  b->new_weight = 0.1;
  const int64_t extent[] = {batch, channels, h, w};
  p.x = draw_tensor(s, data, type, 4, extent);
  p.g = draw_tensor(s, chance(s, 4) || data == UNIFORM ? data : NORMAL, type, 4, extent);
  p.weight = draw_tensor(s, weights, CBN_F32, 1, &channels);
  p.bias = draw_tensor(s, weights == CONSTANT ? NORMAL : weights, CBN_F32, 1, &channels);
  p.mean = draw_tensor(s, weights == CONSTANT ? NORMAL : weights, CBN_F32, 1, &channels);
  p.variance = draw_tensor(s, UNIFORM, CBN_F32, 1, &channels);
  return p;
}

static void norm_release(norm_problem *p) {
  cbn_tensor_release(&p->x);
  cbn_tensor_release(&p->g);
  cbn_tensor_release(&p->weight);
  cbn_tensor_release(&p->bias);
  cbn_tensor_release(&p->mean);
  cbn_tensor_release(&p->variance);
}

/* One channel: its values, and room for what kernels need. */
typedef struct channel {
  int64_t L;
  double *x, *g, *ones, *work, *out;
  double weight, bias, mean, variance, epsilon; /* the running ones */
} channel;

static channel make_channel(int64_t L) {
  channel c = {.L = L};
  double *memory = calloc((size_t)L * 5 + 5, sizeof(double));
  assert_non_null(memory);
  c.x = memory;
  c.g = c.x + L;
  c.ones = c.g + L;
  c.work = c.ones + L;
  c.out = c.work + L;
  return c;
}

static void load_channel(const norm_problem *p, int64_t index, channel *c) {
  for (int64_t k = 0; k < c->L; k++) {
    c->x[k] = cbn_tensor_get(&p->x, norm_position(p, index, k));
    c->g[k] = cbn_tensor_get(&p->g, norm_position(p, index, k));
    c->ones[k] = 1;
  }
  c->weight = cbn_tensor_get(&p->weight, index);
  c->bias = cbn_tensor_get(&p->bias, index);
  c->mean = cbn_tensor_get(&p->mean, index);
  c->variance = cbn_tensor_get(&p->variance, index);
  c->epsilon = p->batchnorm.epsilon;
}

/* A sum in f32 in the kernel's order, in f64 where that is WIDER. */
static float channel_sum(const norm_kernel *k, int64_t L, const double *a, const double *b, double *work) {
  if (k->method == IN_F64 || k->sums.order == WIDER) return (float)wider_sum(CBN_F32, L, a, b, 0);
  return sum_float(k->sums.order, L, a, b, 0, work);
}

static void channel_statistics(const norm_kernel *k, const channel *c, float *mean, float *variance) {
  const float L = (float)c->L;
  if (k->method == WELFORD) {
    float m = 0, squares = 0;
    for (int64_t i = 0; i < c->L; i++) {
      const float x = (float)c->x[i], d = x - m;
      m += d / (float)(i + 1);
      squares += d * (x - m);
    }
    *mean = m;
    *variance = squares / L;
    return;
  }
  *mean = channel_sum(k, c->L, c->x, c->ones, c->work) / L;
  for (int64_t i = 0; i < c->L; i++) {
    const float d = (float)c->x[i] - *mean;
    c->out[i] = k->method == IN_F64 ? c->x[i] - (double)*mean : (double)d;
  }
  *variance = channel_sum(k, c->L, c->out, c->out, c->work) / L;
}

static void normalize_channel(const norm_kernel *k, const channel *c, float mean, float r) {
  const float g = (float)c->weight, b = (float)c->bias, s = g * r, t = b - mean * s;
  for (int64_t i = 0; i < c->L; i++) {
    const float x = (float)c->x[i];
    float y = (x - mean) * r * g + b;
    if (k->form == SCALED) y = (x - mean) * s + b;
    if (k->form == FOLDED) y = x * s + t;
    if (k->form == FUSED) y = fmaf(x, s, t);
    c->out[i] = (double)y;
  }
}

/* What a kernel has for a whole channel. */
typedef struct channel_results {
  float running_mean, running_var, grad_weight, grad_bias;
} channel_results;

static void channel_gradient(const norm_kernel *k, const channel *c, bool training, float mean, float r,
                             channel_results *results) {
  const float s = (float)c->weight * r, L = (float)c->L;
  for (int64_t i = 0; i < c->L; i++) {
    const float z = ((float)c->x[i] - mean) * r;
    c->out[i] = (double)z;
  }
  const float total = channel_sum(k, c->L, c->g, c->ones, c->work);
  const float product = channel_sum(k, c->L, c->g, c->out, c->work);
  results->grad_bias = total;
  results->grad_weight = product;
  for (int64_t i = 0; i < c->L; i++) {
    const float g = (float)c->g[i], z = (float)c->out[i];
    float y = s * (g - total / L - z * (product / L));
    if (k->form >= FOLDED) y = s / L * (L * g - total - z * product);
    if (!training) y = g * s;
    c->out[i] = (double)y;
  }
}

static __attribute__((noinline)) channel_results kernel_channel(const norm_kernel *k, const norm_problem *p,
                                                                const channel *c) {
  channel_results results = {0};
  const float weight = (float)p->batchnorm.new_weight;
  enter_kernel(&k->sums);
  float mean = (float)c->mean, variance = (float)c->variance;
  if (p->training) channel_statistics(k, c, &mean, &variance);
  results.running_mean = (1 - weight) * (float)c->mean + weight * mean;
  results.running_var = (1 - weight) * (float)c->variance + weight * variance;
  const float r = 1 / sqrtf(variance + (float)c->epsilon);
  if (p->batchnorm.direction == CBN_FORWARD) normalize_channel(k, c, mean, r);
  else channel_gradient(k, c, p->training, mean, r, &results);
  leave_kernel();
  return results;
}

/* Exact statistics, and how far those of an f32 kernel may be off. */
typedef struct exact_channel {
  wide mean, variance, r, R, dmu, dv, q, greatest;
} exact_channel;

static exact_channel exact_statistics(const norm_problem *p, const channel *c) {
  exact_channel e = {.mean = c->mean, .variance = c->variance};
  const wide L = c->L, u = 0x1p-24L;
  for (int64_t i = 0; i < c->L; i++) e.greatest = fmaxl(e.greatest, fabsl((wide)c->x[i]));
  if (p->training) {
    e.mean = e.variance = 0;
    for (int64_t i = 0; i < c->L; i++) e.mean += c->x[i] / L;
    for (int64_t i = 0; i < c->L; i++) e.variance += (c->x[i] - e.mean) * (c->x[i] - e.mean) / L;
    const wide M = gamma_of(L + 7, u) * e.greatest + (L / 2 + 1) * 0x1p-149L;
    const wide h = 2.5L * M * sqrtl(e.variance) + M * M;
    e.dmu = M;
    e.dv = gamma_of(L + 4, u) * (e.variance + h) + h + 8 * 0x1p-149L;
  }
  const wide epsilon = c->epsilon;
  e.q = (e.dv + u * epsilon + 0x1p-149L) / (e.variance + epsilon);
  e.r = 1 / sqrtl(e.variance + epsilon);
  e.R = e.r / sqrtl(1 - e.q);
  return e;
}

static void expect_forward(const norm_problem *p, const channel *c, int64_t index, const cbn_expected *expected) {
  const exact_channel e = exact_statistics(p, c);
  const wide g = c->weight;
  for (int64_t k = 0; k < c->L; k++) {
    const wide x = c->x[k], size = fabsl(x) + fabsl(e.mean) + e.dmu, y = g * (x - e.mean) * e.r + c->bias;
    const int64_t i = norm_position(p, index, k);
    const wide bound = fabsl(g) * e.R * e.dmu + fabsl(g * (x - e.mean)) * e.r * e.q / (2 * (1 - e.q)) +
                       gamma_of(8, 0x1p-24L) * (fabsl(g) * e.R * size + fabsl((wide)c->bias)) +
                       0x1p-149L * (size + fabsl(g) + 3);
    if (!isfinite(bound) || !(e.q < 1)) expected->flags[i] = CBN_INCONCLUSIVE;
    else put(expected, i, y, bound, 0x1p-60L * (fabsl(y) + fabsl(g) * e.r * size), CBN_F32);
  }
}

/* Means over a channel of g and of g z, of their magnitudes, and how far an f32 kernel's may be off. */
typedef struct gradient_means {
  wide A, B, magnitude, dA, dB;
} gradient_means;

static gradient_means exact_gradients(const channel *c, const exact_channel *e) {
  const wide L = c->L, u = 0x1p-24L, scale = e->q / (2 * (1 - e->q));
  gradient_means m = {0};
  wide size_B = 0;
  for (int64_t k = 0; k < c->L; k++) {
    const wide z = (c->x[k] - e->mean) * e->r, g = c->g[k],
               size = (fabsl((wide)c->x[k]) + fabsl(e->mean) + e->dmu) * e->R;
    m.A += g / L;
    m.B += g * z / L;
    m.magnitude += fabsl(g) / L;
    m.dB += fabsl(g) * (e->R * e->dmu + fabsl(z) * scale) / L;
    size_B += fabsl(g) * size / L;
  }
  m.dA = gamma_of(L + 2, u) * m.magnitude;
  m.dB += gamma_of(L + 8, u) * size_B;
  return m;
}

/* The gradient of the input: errors of A, z, B and r one after the other. */
static void expect_gradient(const norm_problem *p, const channel *c, int64_t index, const cbn_expected *expected) {
  const exact_channel e = exact_statistics(p, c);
  const wide u = 0x1p-24L, scale = e.q / (2 * (1 - e.q)), s = fabsl((wide)c->weight) * e.R;
  const gradient_means m = p->training ? exact_gradients(c, &e) : (gradient_means){0};
  for (int64_t k = 0; k < c->L; k++) {
    const wide z = p->training ? (c->x[k] - e.mean) * e.r : 0, g = c->g[k];
    const wide y = c->weight * e.r * (g - m.A - z * m.B), dz = p->training ? e.R * e.dmu + fabsl(z) * scale : 0;
    const wide size = p->training ? (fabsl((wide)c->x[k]) + fabsl(e.mean) + e.dmu) * e.R : 0;
    const wide terms = fabsl(g) + fabsl(m.A) + m.dA + size * (fabsl(m.B) + m.dB);
    const wide bound = s * (m.dA + fabsl(z) * m.dB + dz * (fabsl(m.B) + m.dB)) + fabsl(y) * scale +
                       gamma_of(10, u) * s * terms + 0x1p-140L;
    const int64_t i = norm_position(p, index, k);
    if (!isfinite(bound) || !(e.q < 1)) expected->flags[i] = CBN_INCONCLUSIVE;
    else put(expected, i, y, bound, 0x1p-58L * s * terms, CBN_F32);
  }
}

/* A result with one element a channel. */
static void expect_channel(const norm_problem *p, const channel *c, int64_t i, int role, const cbn_expected *expected) {
  const exact_channel e = exact_statistics(p, c);
  const gradient_means g = exact_gradients(c, &e);
  const bool mean = role == CBN_ROLE_RUNNING_MEAN;
  const wide L = c->L, m = p->batchnorm.new_weight, old = mean ? c->mean : c->variance;
  const wide fresh = mean ? e.mean : e.variance, off = mean ? e.dmu : e.dv, size = fabsl(fresh) + off;
  wide y = (1 - m) * old + m * fresh;
  wide bound = m * off + gamma_of(8, 0x1p-24L) * ((1 + m) * fabsl(old) + m * size) + 8 * 0x1p-149L;
  if (role == CBN_ROLE_GRAD_WEIGHT || role == CBN_ROLE_GRAD_BIAS) {
    y = L * (role == CBN_ROLE_GRAD_BIAS ? g.A : g.B);
    bound = L * (role == CBN_ROLE_GRAD_BIAS ? g.dA : g.dB) + 0x1p-140L;
  }
  if (!isfinite(bound) || !(e.q < 1)) expected->flags[i] = CBN_INCONCLUSIVE;
  else put(expected, i, y, bound, 0x1p-30L * bound, CBN_F32);
}

static double channel_result(const channel_results *r, int role) {
  switch (role) {
  case CBN_ROLE_RUNNING_MEAN: return (double)r->running_mean;
  case CBN_ROLE_RUNNING_VAR: return (double)r->running_var;
  case CBN_ROLE_GRAD_WEIGHT: return (double)r->grad_weight;
  default: return (double)r->grad_bias;
  }
}

static answer ask_norm(const norm_problem *p, const norm_kernel *k, int role) {
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &p->x,
                                              [CBN_ROLE_WEIGHT] = &p->weight,
                                              [CBN_ROLE_BIAS] = &p->bias,
                                              [CBN_ROLE_RUNNING_MEAN] = &p->mean,
                                              [CBN_ROLE_RUNNING_VAR] = &p->variance};
  const bool whole = role == CBN_ROLE_OUTPUT || role == CBN_ROLE_GRAD_INPUT;
  if (p->batchnorm.direction != CBN_FORWARD) tensor[CBN_ROLE_GRAD_OUTPUT] = &p->g;
  const int32_t type = whole ? p->x.type : CBN_F32, rank = whole ? 4 : 1;
  const int64_t *extent = whole ? p->x.extent : &p->batchnorm.channels;
  cbn_expected expected = make_expected(type, rank, extent);
  cbn_tensor actual = make_tensor(type, rank, extent);
  channel c = make_channel(p->values);
  for (int64_t index = 0; index < p->batchnorm.channels; index++) {
    load_channel(p, index, &c);
    if (role == CBN_ROLE_OUTPUT) expect_forward(p, &c, index, &expected);
    else if (whole) expect_gradient(p, &c, index, &expected);
    else expect_channel(p, &c, index, role, &expected);
    const channel_results results = kernel_channel(k, p, &c);
    if (!whole) cbn_tensor_set(&actual, index, channel_result(&results, role));
    for (int64_t i = 0; i < p->values && whole; i++)
      cbn_tensor_set(&actual, norm_position(p, index, i), store(&k->sums, c.out[i]));
  }
  answer r = {.outside = outside_bounds(&expected, &actual)};
  assert_true(cbn_suspect_batchnorm(&p->batchnorm, tensor, 0, role, &expected, &actual, &r.suspicion));
  free(c.x);
  cbn_tensor_release(&actual);
  cbn_expected_release(&expected);
  return r;
}

/* --------------------------------------------------------------------------------------------------- clean kernels */

static int32_t draw_type(source *s) {
  static const int32_t types[] = {CBN_F32, CBN_F32, CBN_F32, CBN_F16, CBN_BF16, CBN_F64};
  return types[between(s, 0, 5)];
}

/* Mostly data that a test is made on. */
static enum data draw_kind(source *s) {
  return chance(s, 2) ? (enum data)between(s, STANDARD, SPREAD) : (enum data)between(s, 0, DATA_KINDS - 1);
}

/* From 1 to some 10^5, evenly in the logarithm. */
static int64_t draw_size(source *s, double greatest) { return (int64_t)exp(uniform(s) * log(greatest)); }

/* A valid convolution of about `work` products. */
static cbn_conv draw_conv(source *s, double work) {
  for (;;) {
    cbn_conv c = cbn_conv_make(2);
    c.direction = (int32_t)(chance(s, 12) ? CBN_GRAD_BIAS : between(s, CBN_FORWARD, CBN_GRAD_WEIGHT));
    c.transposed = chance(s, 4);
    c.has_bias = c.direction == CBN_GRAD_BIAS || chance(s, 2);
    c.groups = chance(s, 4) ? between(s, 1, 8) : 1;
    c.batch = draw_size(s, 8);
    c.in_channels = c.groups * draw_size(s, 64);
    c.out_channels = c.groups * draw_size(s, 64);
    c.padding_mode = !c.transposed && chance(s, 3) ? (int32_t)between(s, 0, 3) : 0;
    for (int a = 0; a < 2; a++) {
      c.input[a] = draw_size(s, 100);
      c.kernel[a] = between(s, 1, 5);
      c.stride[a] = between(s, 1, 2);
      c.dilation[a] = between(s, 1, 2);
      c.input_dilation[a] = !c.transposed && c.padding_mode == 0 && chance(s, 6) ? 2 : 1;
      c.pad_begin[a] = between(s, 0, 2);
      c.pad_end[a] = between(s, 0, 2);
    }
    cbn_violation why;
    if (!cbn_conv_validate(&c, &why)) continue;
    const double size = (double)cbn_conv_work(&c);
    if (size >= work / 4 && size <= work * 4) return c;
  }
}

/* Describes what was found, on one line that replays it. */
static void describe(uint64_t seed, const char *what, enum order order, int data, int weights, int type,
                     const answer *r) {
  print_message("CBN_TEST_SEED=%" PRIu64 " %s order=%s data=%s/%s type=%s elements=%" PRId64 " outside=%" PRId64
                " %s\n",
                seed, what, order_names[order], data_names[data], data_names[weights], cbn_type_name(type),
                r->suspicion.elements, r->outside, r->suspicion.sentence);
}

/* How clean tensors fared. */
typedef struct tally {
  int64_t tensors, tested, silent, alarms, broken;
  double nearest; /* the largest statistic over its threshold */
} tally;

static void count_answer(tally *t, const answer *r) {
  t->tensors++;
  t->tested += r->suspicion.threshold > 0;
  t->silent += r->suspicion.sentence[0] != 0 && !r->suspicion.suspicious;
  t->alarms += r->suspicion.suspicious;
  t->broken += r->outside > 0;
  if (r->suspicion.threshold > 0) t->nearest = fmax(t->nearest, r->suspicion.statistic / r->suspicion.threshold);
}

static kernel draw_kernel(source *s, int32_t type) {
  kernel k = {.order = (enum order)between(s, 0, ORDER_COUNT - 1), .type = type};
  const bool half = type == CBN_F16 || type == CBN_BF16;
  k.work = half ? CBN_F32 : type;
  k.narrow = half && chance(s, 6);
  return k;
}

/* Products of a convolution: to 10^3, 10^5, seldom 10^6. */
static double draw_work(source *s) {
  if (chance(s, 6)) return (double)draw_size(s, 1e3);
  return 1e3 * (double)draw_size(s, chance(s, 20) ? 1e3 : 1e2);
}

static void clean_conv(uint64_t seed, tally *t) {
  source s = {seed};
  conv_problem p = {.conv = draw_conv(&s, draw_work(&s))};
  const enum data data = draw_kind(&s), weights = chance(&s, 3) ? draw_kind(&s) : NORMAL;
  const kernel k = draw_kernel(&s, draw_type(&s));
  conv_data(&s, &p, k.type, data, weights);
  const answer r = ask_conv(&p, &k);
  count_answer(t, &r);
  if (r.suspicion.suspicious || r.outside > 0)
    describe(seed, "convolution", k.order, (int)data, (int)weights, k.type, &r);
  conv_release(&p);
}

static void clean_norm(uint64_t seed, tally *t) {
  source s = {seed};
  const int32_t type = draw_type(&s);
  const enum data data = draw_kind(&s);
  norm_kernel k = {.sums = {.order = (enum order)between(&s, 0, ORDER_COUNT - 1),
                            .type = type == CBN_F64 ? CBN_F32 : type,
                            .work = CBN_F32}};
  k.method = (enum method)between(&s, 0, METHODS - 1);
  k.form = (enum form)between(&s, 0, FORMS - 1);
  const int64_t channels = draw_size(&s, 300), batch = draw_size(&s, 8);
  const int64_t h = draw_size(&s, 40), w = draw_size(&s, 40);
  const bool training = !chance(&s, 3), backward = chance(&s, 3), whole = !chance(&s, 4);
  int role = backward ? CBN_ROLE_GRAD_INPUT : CBN_ROLE_OUTPUT;
  if (backward && !whole) role = chance(&s, 2) ? CBN_ROLE_GRAD_WEIGHT : CBN_ROLE_GRAD_BIAS;
  if (training && !backward && !whole) role = chance(&s, 2) ? CBN_ROLE_RUNNING_MEAN : CBN_ROLE_RUNNING_VAR;
  norm_problem p =
      norm_data(&s, batch, channels, h, w, training, backward, k.sums.type, data, chance(&s, 3) ? CONSTANT : NORMAL);
  const answer r = ask_norm(&p, &k, role);
  count_answer(t, &r);
  if (r.suspicion.suspicious || r.outside > 0)
    describe(seed, "batch normalization", k.sums.order, (int)data, (int)data, k.sums.type, &r);
  norm_release(&p);
}

static int64_t from_environment(const char *name, int64_t otherwise) {
  const char *text = getenv(name);
  return text == NULL ? otherwise : (int64_t)strtoll(text, NULL, 10);
}

static void clean_tensors_raise_no_alarm(void **state) {
  (void)state;
  const int64_t count = from_environment("CBN_SUSPICION_TENSORS", 300);
  const uint64_t first = (uint64_t)from_environment("CBN_TEST_SEED", 1);
  tally conv = {0}, norm = {0};
  for (int64_t k = 0; k < count; k++) {
    if (k % 3 < 2) clean_conv(first + (uint64_t)k, &conv);
    else clean_norm(first + (uint64_t)k, &norm);
  }
  const tally all[] = {conv, norm};
  for (int k = 0; k < 2; k++)
    print_message("%s: %" PRId64 " clean tensors, %" PRId64 " tested, %" PRId64 " silent for a reason, %" PRId64
                  " alarms, largest statistic/threshold %.3f\n",
                  k == 0 ? "convolution" : "batch normalization", all[k].tensors, all[k].tested, all[k].silent,
                  all[k].alarms, all[k].nearest);
  assert_int_equal(conv.broken + norm.broken, 0);
  assert_int_equal(conv.alarms + norm.alarms, 0);
  /* Not by silence: a third of the convolutions and half of the normalizations drawn are tested, in the mean. */
  assert_true(count < 100 || (4 * conv.tested > conv.tensors && 4 * norm.tested > norm.tensors));
}

/* ------------------------------------------------------------------------------------------------ defective kernels */

/* A 3x3 convolution of `in` channels, 9*in products an element, with 16 output channels of side x side elements. */
static conv_problem square_conv(uint64_t seed, int64_t in, int64_t side, int32_t type, enum data data,
                                enum data weights) {
  source s = {seed};
  conv_problem p = {.conv = cbn_conv_make(2)};
  p.conv.batch = 1;
  p.conv.in_channels = in;
  p.conv.out_channels = 16;
  for (int a = 0; a < 2; a++) {
    p.conv.input[a] = side + 2;
    p.conv.kernel[a] = 3;
  }
  conv_data(&s, &p, type, data, weights);
  return p;
}

static kernel make_kernel(int32_t type, enum order order, enum defect defect) {
  return (kernel){.order = order, .defect = defect, .type = type, .work = type == CBN_F64 ? CBN_F64 : CBN_F32};
}

static bool one_of(int which, int a, int b) { return which == a || which == b; }

/* Defects that no bound sees, on ordinary sizes; the same kernels without the defect are clean. */
static void defects_within_the_bounds_are_seen(void **state) {
  (void)state;
  const struct {
    int64_t in, side;
    int32_t type;
    enum data data, weights;
    enum order order;
    enum defect defect;
    int which, or_which;
  } rows[] = {
      /* products of one sign: 27, 144, 1152 and 2304 of them */
      {3, 5, CBN_F32, UNIFORM, UNIFORM, CHAIN, TOWARD_ZERO, CBN_LEANING, CBN_TRUNCATING},
      {16, 4, CBN_F32, UNIFORM, UNIFORM, CHAIN_FMA, TOWARD_ZERO, CBN_LEANING, CBN_TRUNCATING},
      {128, 4, CBN_F32, POSITIVE, UNIFORM, LANES_8, TOWARD_ZERO, CBN_LEANING, CBN_TRUNCATING},
      {256, 4, CBN_F32, UNIFORM, POSITIVE, LANES_16, TOWARD_ZERO, CBN_LEANING, CBN_TRUNCATING},
      {3, 16, CBN_F32, UNIFORM, UNIFORM, WIDER, TOWARD_ZERO, CBN_LEANING, CBN_TRUNCATING},
      /* products of both signs */
      {3, 8, CBN_F32, NORMAL, NORMAL, CHAIN, TOWARD_ZERO, CBN_TRUNCATING, 0},
      {64, 8, CBN_F32, NORMAL, NORMAL, CHAIN_FMA, TOWARD_ZERO, CBN_TRUNCATING, 0},
      {256, 6, CBN_F32, NORMAL, NORMAL, REVERSED, TOWARD_ZERO, CBN_TRUNCATING, 0},
      {3, 5, CBN_F32, NORMAL, NORMAL, CHAIN, DOWNWARD, CBN_LEANING, 0},
      {256, 5, CBN_F32, NORMAL, NORMAL, CHAIN_FMA, DOWNWARD, CBN_LEANING, 0},
      {64, 12, CBN_F32, NORMAL, NORMAL, LANES_8, DOWNWARD, CBN_LEANING, 0},
      {3, 8, CBN_F64, NORMAL, NORMAL, CHAIN, DOWNWARD, CBN_LEANING, 0},
      /* fewer bits, where the bound has grown wide enough to hide them */
      {256, 4, CBN_F32, NORMAL, NORMAL, CHAIN_FMA, TF32_ROUNDED, CBN_TOO_LARGE, 0},
      {256, 4, CBN_F32, NORMAL, NORMAL, CHAIN_FMA, TF32_CUT, CBN_TRUNCATING, 0},
      {128, 8, CBN_F32, NORMAL, NORMAL, CHAIN_FMA, THROUGH_F16, CBN_TOO_LARGE, 0},
  };
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    conv_problem p = square_conv(k + 1, rows[k].in, rows[k].side, rows[k].type, rows[k].data, rows[k].weights);
    const kernel clean = make_kernel(rows[k].type, rows[k].order, NONE);
    const kernel defective = make_kernel(rows[k].type, rows[k].order, rows[k].defect);
    const answer quiet = ask_conv(&p, &clean), found = ask_conv(&p, &defective);
    if (quiet.suspicion.suspicious || quiet.suspicion.threshold == 0 || !found.suspicion.suspicious ||
        found.outside > 0 || !one_of(found.suspicion.which, rows[k].which, rows[k].or_which))
      fail_msg("row %zu: clean: %d %s; defective: %d, %" PRId64 " outside, %g of %g: %s", k, quiet.suspicion.suspicious,
               quiet.suspicion.sentence, found.suspicion.which, found.outside, found.suspicion.statistic,
               found.suspicion.threshold, found.suspicion.sentence);
    conv_release(&p);
  }
}

static void defects_of_normalizations_are_seen(void **state) {
  (void)state;
  const struct {
    int64_t batch, channels, side;
    bool training;
    int role;
    enum data data, weights;
    enum defect defect;
  } rows[] = {
      {4, 128, 12, true, CBN_ROLE_OUTPUT, UNIFORM, POSITIVE, TOWARD_ZERO},
      {4, 64, 24, true, CBN_ROLE_OUTPUT, UNIFORM, UNIFORM, DOWNWARD},
      {2, 4096, 3, false, CBN_ROLE_OUTPUT, STANDARD, STANDARD, DOWNWARD},
      {8, 8, 64, true, CBN_ROLE_OUTPUT, STANDARD, STANDARD, THROUGH_F16},
      {8, 8, 64, true, CBN_ROLE_GRAD_INPUT, STANDARD, STANDARD, THROUGH_F16},
      {4, 128, 12, true, CBN_ROLE_RUNNING_MEAN, UNIFORM, UNIFORM, TOWARD_ZERO},
      {4, 128, 12, true, CBN_ROLE_GRAD_BIAS, UNIFORM, UNIFORM, TOWARD_ZERO},
  };
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    source s = {k + 1};
    const bool backward = rows[k].role == CBN_ROLE_GRAD_INPUT || rows[k].role == CBN_ROLE_GRAD_BIAS;
    norm_problem p = norm_data(&s, rows[k].batch, rows[k].channels, rows[k].side, rows[k].side, rows[k].training,
                               backward, CBN_F32, rows[k].data, rows[k].weights);
    norm_kernel kernel = {.sums = make_kernel(CBN_F32, CHAIN, NONE), .method = TWO_PASS, .form = PLAIN};
    const answer quiet = ask_norm(&p, &kernel, rows[k].role);
    kernel.sums.defect = rows[k].defect;
    const answer found = ask_norm(&p, &kernel, rows[k].role);
    if (quiet.suspicion.suspicious || quiet.suspicion.threshold == 0 || !found.suspicion.suspicious ||
        found.outside > 0)
      fail_msg("row %zu: clean: %d %s; defective: %d, %" PRId64 " outside, %g of %g: %s", k, quiet.suspicion.suspicious,
               quiet.suspicion.sentence, found.suspicion.which, found.outside, found.suspicion.statistic,
               found.suspicion.threshold, found.suspicion.sentence);
    norm_release(&p);
  }
}

/* ---------------------------------------------------------------------------------------------- where it is silent */

/* Data on which roundings are no independent draws, kernels that declare that they cut, sums in which addends vanish:
 * no test, and the reason given. All kernels here truncate, so that a test would find something. */
static void it_says_why_it_is_silent(void **state) {
  (void)state;
  const struct {
    enum data data, weights;
    int32_t type;
    uint32_t arithmetic;
    int64_t in, side;
    const char *why;
  } rows[] = {
      {NORMAL, NORMAL, CBN_F32, 0, 16, 8, NULL},
      {INTEGERS, NORMAL, CBN_F32, 0, 16, 8, "the data have few distinct values"},
      {NORMAL, CONSTANT, CBN_F32, 0, 16, 8, "the data have few distinct values"},
      {CONSTANT_CHANNELS, NORMAL, CBN_F32, 0, 16, 8, "the data have few distinct values"},
      {SOME_CONSTANT, NORMAL, CBN_F32, 0, 16, 8, "the data are constant in part"},
      {RAMP, NORMAL, CBN_F32, 0, 16, 8, "the data are smooth"},
      {WAVE, NORMAL, CBN_F32, 0, 16, 8, "the data are smooth"},
      {SLOPE, NORMAL, CBN_F32, 0, 16, 8, "the data are smooth"},
      {NORMAL, NORMAL, CBN_F32, CBN_TF32_PRODUCTS, 16, 8, "the engine declares that it cuts factors, which may lean"},
      {NORMAL, NORMAL, CBN_F32, 0, 16, 1, "fewer than 46 elements round"},
      {NORMAL, NORMAL, CBN_BF16, CBN_NARROW_SUMS, 16, 8, "fewer than 46 elements round"},
  };
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    conv_problem p = square_conv(k + 1, rows[k].in, rows[k].side, rows[k].type, rows[k].data, rows[k].weights);
    kernel truncating = make_kernel(rows[k].type, CHAIN, TOWARD_ZERO);
    truncating.narrow = rows[k].arithmetic & CBN_NARROW_SUMS;
    const answer r = ask_conv_as(&p, &truncating, rows[k].arithmetic);
    char sentence[200] = "";
    if (rows[k].why != NULL) snprintf(sentence, sizeof sentence, "no statistical test: %s", rows[k].why);
    assert_int_equal(r.suspicion.suspicious, rows[k].why == NULL);
    assert_true(rows[k].why == NULL || r.suspicion.threshold == 0);
    if (rows[k].why != NULL) assert_string_equal(r.suspicion.sentence, sentence);
    conv_release(&p);
  }
}

/* An error outside its bound is the judge's affair, and no other element becomes suspicious by it. */
static void what_fails_is_not_suspicious(void **state) {
  (void)state;
  const int64_t extent[] = {1, 16, 8, 8};
  conv_problem p = square_conv(1, 3, 8, CBN_F32, NORMAL, NORMAL);
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {
      [CBN_ROLE_INPUT] = &p.tensor[CBN_ROLE_INPUT], [CBN_ROLE_WEIGHT] = &p.tensor[CBN_ROLE_WEIGHT]};
  cbn_expected expected = conv_expected(&p, CBN_F32, CBN_F32);
  cbn_tensor actual = make_tensor(CBN_F32, 4, extent);
  for (int64_t i = 0; i < expected.count; i++) cbn_tensor_set(&actual, i, expected.value[i] + 3 * expected.bound[i]);
  cbn_suspicion result;
  assert_true(cbn_suspect_conv(&p.conv, tensor, 0, &expected, &actual, &result));
  assert_false(result.suspicious);
  assert_int_equal(result.elements, 0);
  cbn_tensor_release(&actual);
  cbn_expected_release(&expected);
  conv_release(&p);
}

/* -------------------------------------------------------------------------------------------------------- power */

/* How often of `draws` problems a defect is seen, and how often some element is outside its bound. */
static void print_power(const char *name, enum order order, enum defect defect, enum data data) {
  static const int64_t channels[] = {3, 16, 64, 256}, sides[] = {2, 4, 8, 16};
  enum { DRAWS = 10 };
  print_message("| %s |", name);
  for (int c = 0; c < 4; c++) {
    print_message(" ");
    for (int k = 0; k < (c == 3 ? 3 : 4); k++) {
      int seen = 0, outside = 0;
      for (uint64_t draw = 0; draw < DRAWS; draw++) {
        conv_problem p = square_conv(1000 + draw, channels[c], sides[k], CBN_F32, data, data);
        const kernel defective = make_kernel(CBN_F32, order, defect);
        const answer r = ask_conv(&p, &defective);
        seen += r.suspicion.suspicious;
        outside += r.outside > 0;
        conv_release(&p);
      }
      assert_true(defect != NONE || seen == 0);
      print_message("%s%s%d", k > 0 ? ", " : "", outside > 0 ? "!" : "", seen);
    }
    print_message(" |");
  }
  print_message("\n");
}

/* The table of docs/statistical-test.md: of ten problems, seen; `!` where the bound sees some, too. */
static void table_of_power(void **state) {
  (void)state;
  static const struct {
    const char *name;
    enum order order;
    enum defect defect;
    enum data data;
  } rows[] = {
      {"clean", CHAIN_FMA, NONE, NORMAL},
      {"towards zero, chain, one sign", CHAIN, TOWARD_ZERO, UNIFORM},
      {"towards zero, 16 lanes, one sign", LANES_16, TOWARD_ZERO, UNIFORM},
      {"towards zero, pairwise, one sign", PAIRWISE, TOWARD_ZERO, UNIFORM},
      {"towards zero, exact sum, one sign", WIDER, TOWARD_ZERO, UNIFORM},
      {"towards zero, chain", CHAIN, TOWARD_ZERO, NORMAL},
      {"towards zero, 8 lanes", LANES_8, TOWARD_ZERO, NORMAL},
      {"towards zero, blocks of 64", BLOCKS_64, TOWARD_ZERO, NORMAL},
      {"towards zero, pairwise", PAIRWISE, TOWARD_ZERO, NORMAL},
      {"downward, chain", CHAIN, DOWNWARD, NORMAL},
      {"downward, 16 lanes", LANES_16, DOWNWARD, NORMAL},
      {"downward, pairwise", PAIRWISE, DOWNWARD, NORMAL},
      {"TF32 factors, rounded", CHAIN_FMA, TF32_ROUNDED, NORMAL},
      {"TF32 factors, cut, one sign", CHAIN_FMA, TF32_CUT, UNIFORM},
      {"bf16 factors, rounded", CHAIN_FMA, BF16_ROUNDED, NORMAL},
      {"result through f16", CHAIN_FMA, THROUGH_F16, NORMAL},
      {"f16 accumulator", CHAIN_FMA, F16_ACCUMULATOR, NORMAL},
  };
  if (from_environment("CBN_SUSPICION_POWER", 0) == 0) skip();
  print_message("| kernel | n = 27 | 144 | 576 | 2304 |\n|---|---|---|---|---|\n");
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
    print_power(rows[k].name, rows[k].order, rows[k].defect, rows[k].data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clean_tensors_raise_no_alarm),       cmocka_unit_test(defects_within_the_bounds_are_seen),
      cmocka_unit_test(defects_of_normalizations_are_seen), cmocka_unit_test(it_says_why_it_is_silent),
      cmocka_unit_test(what_fails_is_not_suspicious),       cmocka_unit_test(table_of_power),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
