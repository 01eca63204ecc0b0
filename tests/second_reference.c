/* The second reference: explicit padding, terms that meet, exact sums, bounds in MPFR. */
#include "tests/second_reference.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------------------- types */

/* Numbers of `bits` significant bits, normal from 2^lowest on and below 2^beyond. */
typedef struct number_format {
  int bits, lowest, beyond;
} number_format;

static number_format format_of(int32_t type) {
  static const number_format formats[] = {[CBN_F32] = {24, -126, 128},
                                          [CBN_F64] = {53, -1022, 1024},
                                          [CBN_F16] = {11, -14, 16},
                                          [CBN_BF16] = {8, -126, 128}};
  return formats[type];
}

int32_t second_working(int32_t type, uint32_t arithmetic) {
  if (type == CBN_F64 || (arithmetic & CBN_NARROW_SUMS) != 0) return type;
  return CBN_F32;
}

double second_roundoff(int32_t type) { return ldexp(1, -format_of(type).bits); }

double second_smallest(int32_t type) { return ldexp(1, format_of(type).lowest - format_of(type).bits + 1); }

double second_smallest_normal(int32_t type) { return ldexp(1, format_of(type).lowest); }

double second_largest(int32_t type) {
  const number_format f = format_of(type);
  return ldexp(2 - ldexp(1, 1 - f.bits), f.beyond - 1);
}

void second_overflow(mpfr_t limit, int32_t type) {
  const number_format f = format_of(type);
  mpfr_set_ui_2exp(limit, 1, f.beyond, MPFR_RNDN);
  mpfr_t half_step;
  mpfr_init2(half_step, 2);
  mpfr_set_ui_2exp(half_step, 1, f.beyond - f.bits - 1, MPFR_RNDN);
  mpfr_sub(limit, limit, half_step, MPFR_RNDN);
  mpfr_clear(half_step);
}

/* The distance between numbers of the format about 2^exponent <= |a| < 2^(exponent + 1), as its exponent. */
static int spacing(number_format f, int exponent) { return (exponent < f.lowest ? f.lowest : exponent) - f.bits + 1; }

double second_round(int32_t type, double a) {
  if (type == CBN_F64 || a == 0 || !isfinite(a)) return a;
  if (type == CBN_F32) return (double)(float)a;
  const number_format f = format_of(type);
  const int step = spacing(f, ilogb(a));
  /* a + 1.5 2^52 steps has a last place of one step */
  const double shift = ldexp(1.5, 52 + step);
  const double rounded = fabs(a) < ldexp(1, 50 + step) ? (a + shift) - shift : a;
  return fabs(rounded) >= ldexp(1, f.beyond) ? copysign(INFINITY, a) : copysign(rounded, a);
}

double second_round_exact(int32_t type, const mpfr_t a) {
  if (mpfr_zero_p(a)) return 0;
  const number_format f = format_of(type);
  const int step = spacing(f, (int)mpfr_get_exp(a) - 1);
  mpfr_t steps;
  mpfr_init2(steps, mpfr_get_prec(a));
  mpfr_mul_2si(steps, a, -step, MPFR_RNDN);
  mpfr_roundeven(steps, steps);
  mpfr_mul_2si(steps, steps, step, MPFR_RNDN);
  const double rounded = mpfr_get_d(steps, MPFR_RNDN);
  mpfr_clear(steps);
  return fabs(rounded) > second_largest(type) ? copysign(INFINITY, rounded) : rounded;
}

/* Sign, exponent, fraction, from their definition. */
double second_decode(int32_t type, uint16_t bits) {
  const number_format f = format_of(type);
  const int fraction_bits = f.bits - 1;
  const int fraction = bits & ((1 << fraction_bits) - 1),
            exponent = (bits >> fraction_bits) & ((1 << (15 - fraction_bits)) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 0) return sign * ldexp(fraction, f.lowest - fraction_bits);
  if (exponent == (1 << (15 - fraction_bits)) - 1) return fraction != 0 ? NAN : sign * INFINITY;
  return sign * ldexp(fraction + (1 << fraction_bits), f.lowest + exponent - 1 - fraction_bits);
}

double second_element(const cbn_tensor *tensor, int64_t index) {
  int64_t offset = 0;
  for (int a = tensor->rank - 1; a >= 0; a--) {
    offset += index % tensor->extent[a] * tensor->stride[a];
    index /= tensor->extent[a];
  }
  switch (tensor->type) {
  case CBN_F32: return (double)((const float *)tensor->data)[offset];
  case CBN_F64: return ((const double *)tensor->data)[offset];
  default: return second_decode(tensor->type, ((const uint16_t *)tensor->data)[offset]);
  }
}

bool second_is_subnormal(int32_t type, double a) { return a != 0 && fabs(a) < second_smallest_normal(type); }

/* -------------------------------------------------------------------------------------------------------- padding */

static int64_t product(const int64_t *extent, int from, int to) {
  int64_t p = 1;
  for (int a = from; a < to; a++) p *= extent[a];
  return p;
}

static int64_t positive_part(int64_t a) { return a > 0 ? a : 0; }

/* What stands along an axis: indices of the tensor, -1 for a zero that was put in. */
typedef struct slices {
  int64_t *item, length;
} slices;

static void append(slices *s, int64_t item) { s->item[s->length++] = item; }

static void append_from(slices *s, const slices *from, int64_t index) { append(s, index < 0 ? -1 : from->item[index]); }

/* The tensor itself with dilation - 1 zeros between neighbours. */
static bool dilated_slices(slices *s, int64_t extent, int64_t dilation) {
  *s = (slices){.item = malloc((size_t)(extent * dilation + 1) * sizeof *s->item)};
  for (int64_t j = 0; j < extent && s->item != NULL; j++) {
    for (int64_t gap = 1; gap < dilation && j > 0; gap++) append(s, -1);
    append(s, j);
  }
  return s->item != NULL;
}

/* numpy.pad along one axis, written as the list of what stands where. Reflect reads 1, 2, ... away from the edge; wrap
 * reads the opposite end; edge repeats. Then what is negative is cut off. */
static bool padded_slices(slices *s, const slices *from, int64_t begin, int64_t end, int mode) {
  const int64_t before = positive_part(begin), after = positive_part(end), extent = from->length;
  *s = (slices){.item = malloc((size_t)(before + extent + after + 1) * sizeof *s->item)};
  if (s->item == NULL) return false;
  for (int64_t j = before; j >= 1; j--) /* the element j places before the first */
    append_from(s, from,
                mode == CBN_PAD_REFLECT     ? j
                : mode == CBN_PAD_REPLICATE ? 0
                : mode == CBN_PAD_CIRCULAR  ? extent - j
                                            : -1);
  for (int64_t j = 0; j < extent; j++) append_from(s, from, j);
  for (int64_t j = 1; j <= after; j++) /* the element j places behind the last */
    append_from(s, from,
                mode == CBN_PAD_REFLECT     ? extent - 1 - j
                : mode == CBN_PAD_REPLICATE ? extent - 1
                : mode == CBN_PAD_CIRCULAR  ? j - 1
                                            : -1);
  const int64_t cut_front = positive_part(-begin);
  s->length = positive_part(s->length - cut_front - positive_part(-end));
  if (s->length > 0) memmove(s->item, s->item + cut_front, (size_t)s->length * sizeof *s->item);
  return true;
}

/* ------------------------------------------------------------------------------------------------------- meetings */

/* Along one axis, an element of the large tensor (the input, or what a transposed convolution puts out), a tap and an
 * element of the small one meet. `large` is -1 for padding and gaps; `small` is -1 where no window puts that tap
 * there. */
typedef struct meeting {
  int64_t large, tap, small;
} meeting;

typedef struct meetings {
  meeting *item;
  int64_t count, large, taps, small; /* extents of the three */
} meetings;

/* torch.nn.Conv2d's output extent, of an input that is padded already. */
static int64_t window_count(int64_t padded, int64_t kernel, int64_t dilation, int64_t stride) {
  int64_t windows = 0;
  for (int64_t start = 0; start + dilation * (kernel - 1) < padded; start += stride) windows++;
  return windows;
}

/* Each padded element, with each tap, enters the window that begins that far before it, if one does. */
static bool meet_along(meetings *m, const slices *padded, int64_t stride, int64_t dilation, bool with_misses) {
  m->item = malloc((size_t)(padded->length * m->taps + 1) * sizeof *m->item);
  if (m->item == NULL) return false;
  for (int64_t q = 0; q < padded->length; q++)
    for (int64_t t = 0; t < m->taps; t++) {
      const int64_t start = q - t * dilation;
      const bool window = start >= 0 && start % stride == 0 && start / stride < m->small;
      if (window || (with_misses && padded->item[q] >= 0))
        m->item[m->count++] = (meeting){padded->item[q], t, window ? start / stride : -1};
    }
  return true;
}

static bool axis_meetings(const cbn_conv *c, int axis, bool with_misses, meetings *m) {
  slices own, padded;
  *m = (meetings){.taps = c->kernel[axis], .large = c->input[axis], .small = c->input[axis]};
  if (c->transposed && c->input[axis] > 0)
    m->large = positive_part((c->input[axis] - 1) * c->stride[axis] - c->pad_begin[axis] - c->pad_end[axis] +
                             c->dilation[axis] * (c->kernel[axis] - 1) + c->output_padding[axis] + 1);
  if (!dilated_slices(&own, m->large, c->input_dilation[axis])) return false;
  bool done = padded_slices(&padded, &own, c->pad_begin[axis], c->pad_end[axis], c->padding_mode);
  if (done) {
    if (!c->transposed) m->small = window_count(padded.length, c->kernel[axis], c->dilation[axis], c->stride[axis]);
    done = meet_along(m, &padded, c->stride[axis], c->dilation[axis], with_misses);
    free(padded.item);
  }
  free(own.item);
  return done;
}

/* --------------------------------------------------------------------------------------------------------- terms */

enum target { TARGET_LARGE, TARGET_WEIGHT, TARGET_SMALL, TARGET_BIAS };

static enum target target_of(const cbn_conv *c) {
  switch (c->direction) {
  case CBN_GRAD_WEIGHT: return TARGET_WEIGHT;
  case CBN_GRAD_BIAS: return TARGET_BIAS;
  default: return (c->direction == CBN_FORWARD) == (c->transposed != 0) ? TARGET_LARGE : TARGET_SMALL;
  }
}

typedef struct scattering {
  const cbn_conv *conv;
  enum target target;
  meetings axis[CBN_MAX_SPATIAL];
  int64_t large_channels, small_channels, large_positions, small_positions, taps;
  double *large, *weight, *small; /* values; NULL for the target */
  meeting single;                 /* the one meeting along an axis that is not there */
  bool fill;                      /* else terms are only counted */
  second_conv *result;
} scattering;

static double *values_of(const cbn_tensor *t) {
  const int64_t count = product(t->extent, 0, t->rank);
  double *values = malloc((size_t)(count + 1) * sizeof *values);
  for (int64_t i = 0; i < count && values != NULL; i++) values[i] = second_element(t, i);
  return values;
}

static void deposit(const scattering *s, int64_t element, double x, double w) {
  second_terms *to = &s->result->element[element];
  if (s->fill) {
    to->x[to->count] = x;
    to->w[to->count] = w;
  }
  to->count++;
}

static void meets_zero(const scattering *s, int64_t element, double factor) {
  if (!isfinite(factor)) s->result->element[element].nonfinite_on_zero = true;
}

/* One meeting in all axes and channels; large or small is -1 as in `meeting`. */
static void meet(const scattering *s, int64_t large, int64_t weight, int64_t small) {
  switch (s->target) {
  case TARGET_SMALL:
    if (small >= 0 && large >= 0) deposit(s, small, s->large[large], s->weight[weight]);
    else if (small >= 0) meets_zero(s, small, s->weight[weight]);
    break;
  case TARGET_LARGE:
    /* may be computed as a convolution of the small tensor, with zeros put between and around its elements */
    if (small >= 0 && large >= 0) deposit(s, large, s->small[small], s->weight[weight]);
    else if (large >= 0) meets_zero(s, large, s->weight[weight]);
    break;
  default:
    if (small >= 0 && large >= 0) deposit(s, weight, s->large[large], s->small[small]);
    else if (small >= 0) meets_zero(s, weight, s->small[small]);
    break;
  }
}

/* All meetings of one batch entry and one pair of channels. */
static void scatter_channels(const scattering *s, int64_t n, int64_t small_channel, int64_t large_channel) {
  const meetings *a = s->axis;
  const int64_t large_base = (n * s->large_channels + large_channel) * s->large_positions;
  const int64_t small_base = (n * s->small_channels + small_channel) * s->small_positions;
  const int64_t in_group = s->large_channels / s->conv->groups;
  const int64_t weight_base = (small_channel * in_group + large_channel % in_group) * s->taps;
  for (int64_t i = 0; i < a[0].count; i++)
    for (int64_t j = 0; j < a[1].count; j++)
      for (int64_t k = 0; k < a[2].count; k++) {
        const meeting p = a[0].item[i], q = a[1].item[j], r = a[2].item[k];
        const bool large = p.large >= 0 && q.large >= 0 && r.large >= 0;
        const bool small = p.small >= 0 && q.small >= 0 && r.small >= 0;
        const int64_t tap = (p.tap * a[1].taps + q.tap) * a[2].taps + r.tap;
        meet(s, large ? large_base + (p.large * a[1].large + q.large) * a[2].large + r.large : -1, weight_base + tap,
             small ? small_base + (p.small * a[1].small + q.small) * a[2].small + r.small : -1);
      }
}

static bool any_nonfinite(const double *values, int64_t count) {
  for (int64_t i = 0; i < count && values != NULL; i++)
    if (!isfinite(values[i])) return true;
  return false;
}

/* Marks the elements of one batch entry and one pair of channels whose factors are not all finite. */
static void mark_nonfinite(const scattering *s, int64_t n, int64_t small_channel, int64_t large_channel) {
  const int64_t in_group = s->large_channels / s->conv->groups;
  const int64_t weights = (small_channel * in_group + large_channel % in_group) * s->taps;
  const int64_t large = (n * s->large_channels + large_channel) * s->large_positions;
  const int64_t small = (n * s->small_channels + small_channel) * s->small_positions;
  const bool near = (s->weight != NULL && any_nonfinite(s->weight + weights, s->taps)) ||
                    (s->target == TARGET_WEIGHT && (any_nonfinite(s->large + large, s->large_positions) ||
                                                    any_nonfinite(s->small + small, s->small_positions)));
  const int64_t from = s->target == TARGET_WEIGHT ? weights : s->target == TARGET_LARGE ? large : small;
  const int64_t count = s->target == TARGET_WEIGHT  ? s->taps
                        : s->target == TARGET_LARGE ? s->large_positions
                                                    : s->small_positions;
  for (int64_t i = 0; i < count && near; i++) s->result->element[from + i].nonfinite_near = true;
}

static void scatter_all(const scattering *s) {
  const int64_t small_group = s->small_channels / s->conv->groups, large_group = s->large_channels / s->conv->groups;
  for (int64_t n = 0; n < s->conv->batch; n++)
    for (int64_t o = 0; o < s->small_channels; o++)
      for (int64_t c = 0; c < large_group; c++) {
        scatter_channels(s, n, o, o / small_group * large_group + c);
        if (s->fill) mark_nonfinite(s, n, o, o / small_group * large_group + c);
      }
}

/* The bias' gradient: every element of grad_output, as a product with 1. */
static void scatter_bias_gradient(const scattering *s, const cbn_tensor *grad_output) {
  const int64_t inner = product(grad_output->extent, 2, grad_output->rank);
  const int64_t count = product(grad_output->extent, 0, grad_output->rank);
  for (int64_t i = 0; i < count; i++) deposit(s, i / inner % s->conv->out_channels, second_element(grad_output, i), 1);
}

/* Gives each element room for the terms that were counted. */
static bool lay_out(second_conv *r) {
  int64_t room = 1;
  for (int64_t i = 0; i < r->count; i++) room += 2 * r->element[i].count;
  r->factors = malloc((size_t)room * sizeof *r->factors);
  double *next = r->factors;
  for (int64_t i = 0; i < r->count && next != NULL; i++) {
    r->element[i].x = next;
    r->element[i].w = next + r->element[i].count;
    next += 2 * r->element[i].count;
    r->element[i].count = 0;
  }
  return r->factors != NULL;
}

static void result_extents(const scattering *s, second_conv *r) {
  const cbn_conv *c = s->conv;
  r->rank = s->target == TARGET_BIAS ? 1 : 2 + c->spatial_rank;
  r->extent[0] = s->target == TARGET_BIAS ? c->out_channels : s->target == TARGET_WEIGHT ? s->small_channels : c->batch;
  r->extent[1] = s->target == TARGET_WEIGHT  ? s->large_channels / c->groups
                 : s->target == TARGET_LARGE ? s->large_channels
                                             : s->small_channels;
  for (int a = 0; a < c->spatial_rank; a++)
    r->extent[2 + a] = s->target == TARGET_WEIGHT  ? s->axis[a].taps
                       : s->target == TARGET_LARGE ? s->axis[a].large
                                                   : s->axis[a].small;
  r->count = product(r->extent, 0, r->rank);
}

static void add_bias(const cbn_conv *conv, const cbn_tensor *bias, second_conv *r) {
  const int64_t positions = product(r->extent, 2, r->rank);
  for (int64_t i = 0; i < r->count; i++) {
    r->element[i].has_bias = true;
    r->element[i].bias = second_element(bias, i / positions % conv->out_channels);
  }
}

static void scatter(const scattering *s, const cbn_tensor *const tensor[CBN_ROLE_COUNT]) {
  if (s->target == TARGET_BIAS) scatter_bias_gradient(s, tensor[CBN_ROLE_GRAD_OUTPUT]);
  else scatter_all(s);
}

static bool prepare(scattering *s, const cbn_tensor *const tensor[CBN_ROLE_COUNT]) {
  const cbn_conv *c = s->conv;
  const cbn_tensor *input = tensor[CBN_ROLE_INPUT], *output = tensor[CBN_ROLE_GRAD_OUTPUT];
  s->target = target_of(c);
  s->large_channels = c->transposed ? c->out_channels : c->in_channels;
  s->small_channels = c->transposed ? c->in_channels : c->out_channels;
  bool all_finite = true;
  const cbn_tensor *of[] = {c->transposed ? output : input, tensor[CBN_ROLE_WEIGHT], c->transposed ? input : output};
  double **values[] = {&s->large, &s->weight, &s->small};
  for (int i = 0; i < 3; i++) {
    if (of[i] == NULL || s->target == TARGET_BIAS) continue;
    if ((*values[i] = values_of(of[i])) == NULL) return false;
    for (int64_t j = product(of[i]->extent, 0, of[i]->rank) - 1; j >= 0; j--)
      all_finite = all_finite && isfinite((*values[i])[j]);
  }
  s->large_positions = s->small_positions = s->taps = 1;
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) {
    if (a >= c->spatial_rank)
      s->axis[a] = (meetings){.item = &s->single, .count = 1, .large = 1, .taps = 1, .small = 1};
    else if (!axis_meetings(c, a, !all_finite, &s->axis[a])) return false;
    s->large_positions *= s->axis[a].large;
    s->small_positions *= s->axis[a].small;
    s->taps *= s->axis[a].taps;
  }
  return true;
}

bool second_conv_terms(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], second_conv *result) {
  scattering s = {.conv = conv, .result = result};
  *result = (second_conv){0};
  bool done = prepare(&s, tensor);
  if (done) {
    result_extents(&s, result);
    result->element = calloc((size_t)result->count + 1, sizeof *result->element);
    done = result->element != NULL;
  }
  if (done) {
    scatter(&s, tensor);
    done = lay_out(result);
  }
  if (done) {
    s.fill = true;
    scatter(&s, tensor);
    if (conv->direction == CBN_FORWARD && tensor[CBN_ROLE_BIAS] != NULL) add_bias(conv, tensor[CBN_ROLE_BIAS], result);
  }
  free(s.large);
  free(s.weight);
  free(s.small);
  for (int a = 0; a < conv->spatial_rank; a++) free(s.axis[a].item);
  if (!done) second_conv_release(result);
  return done;
}

void second_conv_release(second_conv *result) {
  free(result->element);
  free(result->factors);
  *result = (second_conv){0};
}

/* ----------------------------------------------------------------------------------------------------- exact sums */

void second_sum_init(second_sum *sum, int32_t type, int32_t working) {
  const mpfr_prec_t bits = type == CBN_F64 ? SECOND_EXACT_BITS_F64 : SECOND_EXACT_BITS;
  *sum = (second_sum){.type = type, .working = working};
  mpfr_inits2(bits, sum->value, sum->positive, sum->negative, sum->bias, sum->flushed, (mpfr_ptr)0);
  mpfr_init2(sum->term, 106);
}

void second_sum_clear(second_sum *sum) {
  mpfr_clears(sum->value, sum->positive, sum->negative, sum->bias, sum->flushed, sum->term, (mpfr_ptr)0);
}

/* The exponent of the lowest bit of a finite number that is not zero. */
static int lowest_bit(double a) {
  int exponent;
  const double mantissa = frexp(a, &exponent); /* 53 bits, all of them integer after scaling */
  int64_t bits = (int64_t)ldexp(fabs(mantissa), 53);
  for (exponent -= 53; bits % 2 == 0; bits /= 2) exponent++;
  return exponent;
}

/* One term: x w. */
static void add_term(second_sum *sum, double x, double w) {
  const bool subnormal = second_is_subnormal(sum->working, x) || second_is_subnormal(sum->working, w);
  if (isnan(x) || isnan(w) || (isinf(x) && w == 0) || (isinf(w) && x == 0)) {
    sum->nan = true;
  } else if (isinf(x) || isinf(w)) {
    if ((x > 0) == (w > 0)) sum->plus = true;
    else sum->minus = true;
    sum->flush_makes_nan |= subnormal;
  } else if (x != 0 && w != 0) {
    mpfr_set_d(sum->term, x, MPFR_RNDN);
    mpfr_mul_d(sum->term, sum->term, w, MPFR_RNDN);
    mpfr_add(sum->value, sum->value, sum->term, MPFR_RNDN);
    if (mpfr_sgn(sum->term) > 0) mpfr_add(sum->positive, sum->positive, sum->term, MPFR_RNDN);
    else mpfr_sub(sum->negative, sum->negative, sum->term, MPFR_RNDN);
    const int lowest = lowest_bit(x) + lowest_bit(w), exponent = (int)mpfr_get_exp(sum->term) - 1;
    if (subnormal) {
      mpfr_abs(sum->term, sum->term, MPFR_RNDN);
      mpfr_add(sum->flushed, sum->flushed, sum->term, MPFR_RNDN);
    }
    if (lowest < sum->grid) sum->grid = lowest;
    if (exponent < sum->smallest) sum->smallest = exponent;
    sum->subnormal |= subnormal;
    sum->nonzero++;
  }
}

void second_sum_evaluate(second_sum *sum, const second_terms *terms) {
  mpfr_set_zero(sum->value, 1);
  mpfr_set_zero(sum->positive, 1);
  mpfr_set_zero(sum->negative, 1);
  mpfr_set_zero(sum->bias, 1);
  mpfr_set_zero(sum->flushed, 1);
  sum->products = terms->count;
  sum->nonzero = 0;
  sum->grid = sum->smallest = SECOND_NO_GRID;
  sum->subnormal = sum->nan = sum->plus = sum->minus = sum->flush_makes_nan = false;
  for (int64_t i = 0; i < terms->count; i++) add_term(sum, terms->x[i], terms->w[i]);
  if (!terms->has_bias) return;
  add_term(sum, terms->bias, 1);
  if (isfinite(terms->bias)) mpfr_set_d(sum->bias, fabs(terms->bias), MPFR_RNDN);
}

int second_tensor_grid(const cbn_tensor *tensor) {
  int grid = SECOND_NO_GRID;
  const int64_t count = product(tensor->extent, 0, tensor->rank);
  for (int64_t i = 0; i < count; i++) {
    const double a = second_element(tensor, i);
    if (a == 0 || !isfinite(a)) continue;
    const int lowest = lowest_bit(a);
    if (lowest < grid) grid = lowest;
  }
  return grid;
}

bool second_tensor_has_subnormal(const cbn_tensor *tensor, int32_t working) {
  const int64_t count = product(tensor->extent, 0, tensor->rank);
  for (int64_t i = 0; i < count; i++)
    if (second_is_subnormal(working, second_element(tensor, i))) return true;
  return false;
}

/* --------------------------------------------------------------------------------------------------------- bounds */

/* gamma(n) = n u / (1 - n u): (1+u)^n - 1 and 1 - (1-u)^n are at most that. */
static void gamma_of(mpfr_t result, double n, double u) {
  mpfr_set_d(result, n * u, MPFR_RNDN); /* u is a power of two: exact */
  mpfr_div_d(result, result, 1 - n * u, MPFR_RNDN);
}

static double gamma_number(double n, double u) { return n * u / (1 - n * u); }

double second_factor_cut(int32_t type, uint32_t arithmetic) {
  if (type != CBN_F32) return 0;
  return (arithmetic & CBN_BF16_PRODUCTS) != 0 ? 0x1p-7 : (arithmetic & CBN_TF32_PRODUCTS) != 0 ? 0x1p-10 : 0;
}

/* Every term of the sum passes at most n + 1 roundings, one as a product and n as a summand of n + 1, so it is off by
 * gamma(n+1) of itself; a product that underflows is off by eta/2 and a sum in gradual underflow by nothing; flushing,
 * up to 2n results (and the stored one) each lose less than eta, grown by at most (1+u)^n <= 1/(1-nu); and a factor
 * that counts as zero loses its term. A factor that is cut to p bits keeps 1 - 2^(1-p) of itself at least; one that is
 * subnormal may have no bits left. */
void second_conv_bound(mpfr_t bound, const second_sum *sum, uint32_t arithmetic, bool bias_is_cut) {
  const int32_t working = second_working(sum->type, arithmetic);
  const bool flushes = (arithmetic & CBN_FLUSHES_SUBNORMALS) != 0;
  const double u = second_roundoff(working), n = (double)sum->products, c = second_factor_cut(sum->type, arithmetic);
  const double eta = flushes ? second_smallest_normal(working) : second_smallest(working);
  mpfr_t part, grown;
  mpfr_inits2(mpfr_get_prec(sum->value), part, grown, (mpfr_ptr)0);
  mpfr_add(bound, sum->positive, sum->negative, MPFR_RNDN);
  if (!mpfr_zero_p(bound)) {
    mpfr_set(grown, bound, MPFR_RNDN);
    if (!bias_is_cut) mpfr_sub(grown, grown, sum->bias, MPFR_RNDN);
    mpfr_mul_d(grown, grown, 2 * c + c * c, MPFR_RNDN); /* what cut factors change */
    mpfr_add(bound, bound, grown, MPFR_RNDN);
    gamma_of(part, n + 1, u);
    mpfr_mul(bound, bound, part, MPFR_RNDN);
    mpfr_add(bound, bound, grown, MPFR_RNDN);
    mpfr_set_d(part, 2 * n + 1, MPFR_RNDN);
    mpfr_mul_d(part, part, eta, MPFR_RNDN);
    mpfr_div_d(part, part, 1 - n * u, MPFR_RNDN);
    mpfr_add(bound, bound, part, MPFR_RNDN);
    if (flushes || (c > 0 && bias_is_cut)) mpfr_add(bound, bound, sum->flushed, MPFR_RNDN);
  }
  mpfr_clears(part, grown, (mpfr_ptr)0);
}

/* ------------------------------------------------------------------------------------------------------ statistics */

second_manner second_manner_of(int32_t type, uint32_t arithmetic, double underflow) {
  const int32_t working = second_working(type, arithmetic);
  const bool flushes = (arithmetic & CBN_FLUSHES_SUBNORMALS) != 0;
  return (second_manner){.u = second_roundoff(working),
                         .eta = flushes ? second_smallest_normal(working) : second_smallest(working),
                         .underflow = underflow,
                         .two_pass = (arithmetic & CBN_TWO_PASS_STATISTICS) != 0};
}

void second_statistics_init(second_statistics *s) {
  mpfr_inits2(SECOND_BITS, s->mean, s->variance, s->mean_error, s->variance_error, (mpfr_ptr)0);
}

void second_statistics_clear(second_statistics *s) {
  mpfr_clears(s->mean, s->variance, s->mean_error, s->variance_error, (mpfr_ptr)0);
}

/* mean, mean of squares around it, mean |x| and max |x|. */
static void moments(second_statistics *s, mpfr_t mean_magnitude, mpfr_t largest, const double *x, int64_t count) {
  mpfr_t d;
  mpfr_init2(d, SECOND_BITS);
  mpfr_set_zero(s->mean, 1);
  mpfr_set_zero(s->variance, 1);
  mpfr_set_zero(mean_magnitude, 1);
  mpfr_set_zero(largest, 1);
  for (int64_t i = 0; i < count; i++) {
    const double magnitude = fabs(x[i]);
    mpfr_add_d(s->mean, s->mean, x[i], MPFR_RNDN);
    mpfr_add_d(mean_magnitude, mean_magnitude, magnitude, MPFR_RNDN);
    if (mpfr_cmp_d(largest, magnitude) < 0) mpfr_set_d(largest, magnitude, MPFR_RNDN);
  }
  mpfr_div_d(s->mean, s->mean, (double)count, MPFR_RNDN);
  mpfr_div_d(mean_magnitude, mean_magnitude, (double)count, MPFR_RNDN);
  for (int64_t i = 0; i < count; i++) {
    mpfr_d_sub(d, x[i], s->mean, MPFR_RNDN);
    mpfr_sqr(d, d, MPFR_RNDN);
    mpfr_add(s->variance, s->variance, d, MPFR_RNDN);
  }
  mpfr_div_d(s->variance, s->variance, (double)count, MPFR_RNDN);
  mpfr_clear(d);
}

/* gamma(L+4) (v + h) + h: a mean that is off by d moves the mean of squares by h = d^2 (two passes), and the sum's own
 * roundings scale what is summed. */
static void variance_error(mpfr_t result, const mpfr_t variance, const mpfr_t h, int64_t count, double u) {
  mpfr_t g;
  mpfr_init2(g, SECOND_BITS);
  gamma_of(g, (double)count + 4, u);
  mpfr_add(result, variance, h, MPFR_RNDN);
  mpfr_mul(result, result, g, MPFR_RNDN);
  mpfr_add(result, result, h, MPFR_RNDN);
  mpfr_clear(g);
}

void second_statistics_of_batch(second_statistics *s, const double *x, int64_t count, const second_manner *manner) {
  const double underflow = manner->underflow * manner->eta, u = manner->u;
  mpfr_t mean_magnitude, m, h, other;
  mpfr_inits2(SECOND_BITS, mean_magnitude, m, h, other, (mpfr_ptr)0);
  moments(s, mean_magnitude, m, x, count);

  /* two passes */
  gamma_of(other, (double)count + 1, u);
  mpfr_mul(s->mean_error, mean_magnitude, other, MPFR_RNDN);
  mpfr_add_d(s->mean_error, s->mean_error, underflow, MPFR_RNDN);
  mpfr_sqr(h, s->mean_error, MPFR_RNDN);
  variance_error(s->variance_error, s->variance, h, count, u);

  /* Welford, lanes merged: M = gamma(L+7) max|x|, h = 2.5 M sqrt(v) + M^2 */
  if (!manner->two_pass) {
    gamma_of(other, (double)count + 7, u);
    mpfr_mul(m, m, other, MPFR_RNDN);
    mpfr_add_d(m, m, underflow, MPFR_RNDN);
    mpfr_max(s->mean_error, s->mean_error, m, MPFR_RNDN);
    mpfr_sqrt(h, s->variance, MPFR_RNDN);
    mpfr_mul(h, h, m, MPFR_RNDN);
    mpfr_mul_d(h, h, 2.5, MPFR_RNDN);
    mpfr_sqr(m, m, MPFR_RNDN);
    mpfr_add(h, h, m, MPFR_RNDN);
    variance_error(other, s->variance, h, count, u);
    mpfr_max(s->variance_error, s->variance_error, other, MPFR_RNDN);
  }
  mpfr_add_d(s->variance_error, s->variance_error, underflow, MPFR_RNDN);
  mpfr_clears(mean_magnitude, m, h, other, (mpfr_ptr)0);
}

/* |epsilon| where v + epsilon does not contain it: where one of the two is below 0. */
static double rounded_epsilon(const second_statistics *s, double epsilon) {
  return epsilon < 0 || mpfr_sgn(s->variance) < 0 ? fabs(epsilon) : 0;
}

/* v + epsilon and q = (dv + u e + eta) / (v + epsilon), the relative error of what stands under the root; true where it
 * is positive however it was computed. */
static bool under_the_root(mpfr_t sum, mpfr_t q, const second_statistics *s, double epsilon, const second_manner *m) {
  mpfr_add_d(sum, s->variance, epsilon, MPFR_RNDN);
  mpfr_add_d(q, s->variance_error, rounded_epsilon(s, epsilon) * m->u, MPFR_RNDN);
  mpfr_add_d(q, q, m->underflow * m->eta, MPFR_RNDN); /* an epsilon or a variance below the smallest normal */
  mpfr_div(q, q, sum, MPFR_RNDN);
  return mpfr_cmp_ui(sum, 0) > 0 && mpfr_cmp_ui(q, 1) < 0;
}

/* dy <= |g| R dmu + |g| |x-mu| r q/(2(1-q)) + gamma(8) (|g| R (|x| + |mu| + dmu) + |b|), with q = dv/(v+eps),
 * r = 1/sqrt(v+eps), R = r/sqrt(1-q): the variance that was computed lies between (1-q) and (1+q) times the right one,
 * (1-q)^(-1/2) - 1 <= q/(2(1-q)), and eight roundings separate the statistics from y, folded or not. Rounding epsilon
 * itself is one of them where epsilon <= v + epsilon; where either is below 0 it adds u |epsilon| to dv. */
bool second_normalise(mpfr_t value, mpfr_t bound, double x, const second_statistics *s, double epsilon, double weight,
                      double bias, const second_manner *m) {
  mpfr_t q, r, wide, part, g;
  mpfr_inits2(SECOND_BITS, q, r, wide, part, g, (mpfr_ptr)0);
  const bool conclusive = under_the_root(r, q, s, epsilon, m);
  mpfr_rec_sqrt(r, r, MPFR_RNDN);
  mpfr_d_sub(part, x, s->mean, MPFR_RNDN);
  mpfr_mul(part, part, r, MPFR_RNDN);
  mpfr_mul_d(part, part, weight, MPFR_RNDN);
  mpfr_add_d(value, part, bias, MPFR_RNDN);
  if (conclusive) {
    mpfr_ui_sub(g, 1, q, MPFR_RNDN);
    mpfr_sqrt(wide, g, MPFR_RNDN);
    mpfr_div(wide, r, wide, MPFR_RNDN);
    mpfr_mul_d(wide, wide, fabs(weight), MPFR_RNDN); /* |g| R */

    mpfr_abs(part, part, MPFR_RNDN); /* |g| |x-mu| r */
    mpfr_mul(part, part, q, MPFR_RNDN);
    mpfr_div(part, part, g, MPFR_RNDN);
    mpfr_div_ui(bound, part, 2, MPFR_RNDN);

    mpfr_mul(part, wide, s->mean_error, MPFR_RNDN);
    mpfr_add(bound, bound, part, MPFR_RNDN);

    mpfr_abs(part, s->mean, MPFR_RNDN);
    mpfr_add(part, part, s->mean_error, MPFR_RNDN);
    mpfr_add_d(part, part, fabs(x), MPFR_RNDN);
    mpfr_set(q, part, MPFR_RNDN); /* |x| + |mu| + dmu */
    mpfr_mul(part, part, wide, MPFR_RNDN);
    mpfr_add_d(part, part, fabs(bias), MPFR_RNDN);
    gamma_of(g, 8, m->u);
    mpfr_mul(part, part, g, MPFR_RNDN);
    mpfr_add(bound, bound, part, MPFR_RNDN);

    /* underflow: of x, mu, g, x - mu, r times it, g r, b, each carried on by what multiplies it */
    mpfr_add_ui(r, r, 1, MPFR_RNDN);
    mpfr_mul(part, q, r, MPFR_RNDN);
    mpfr_add(part, part, wide, MPFR_RNDN);
    mpfr_add_d(part, part, 1 + fabs(weight), MPFR_RNDN);
    mpfr_mul_d(part, part, m->underflow * m->eta, MPFR_RNDN);
    mpfr_add(bound, bound, part, MPFR_RNDN);
  }
  mpfr_clears(q, r, wide, part, g, (mpfr_ptr)0);
  return conclusive;
}

/* ds' <= |1-m| ds + |m| c dstat + gamma(8) ((1+|m|) (|s|+ds) + |m| c (|stat|+dstat)): in (1-m) s + m stat and in
 * s + m (stat - s) alike, s has factors of at most 1 + |m| and stat of |m| c, and passes fewer than eight roundings,
 * those of m, 1 - m and c among them. */
void second_running_update(mpfr_t running, mpfr_t error, double new_weight, double divisor_from, double divisor_to,
                           const mpfr_t statistic, const mpfr_t statistic_error, const second_manner *m) {
  const double w = fabs(new_weight);
  mpfr_t keep, c, part, all, kept;
  mpfr_inits2(SECOND_BITS, keep, c, part, all, kept, (mpfr_ptr)0);
  mpfr_set_d(c, divisor_from, MPFR_RNDN);
  mpfr_div_d(c, c, divisor_to, MPFR_RNDN);
  mpfr_set_d(keep, new_weight, MPFR_RNDN);
  mpfr_ui_sub(keep, 1, keep, MPFR_RNDN);

  mpfr_abs(all, statistic, MPFR_RNDN);
  mpfr_add(all, all, statistic_error, MPFR_RNDN);
  mpfr_mul(all, all, c, MPFR_RNDN);
  mpfr_mul_d(all, all, w, MPFR_RNDN); /* |m| c (|stat| + dstat) */
  mpfr_abs(kept, running, MPFR_RNDN);
  mpfr_add(kept, kept, error, MPFR_RNDN);
  mpfr_set_d(part, w, MPFR_RNDN);
  mpfr_add_ui(part, part, 1, MPFR_RNDN);
  mpfr_mul(kept, kept, part, MPFR_RNDN);
  mpfr_add(all, all, kept, MPFR_RNDN);
  gamma_of(part, 8, m->u);
  mpfr_mul(all, all, part, MPFR_RNDN);

  mpfr_abs(part, keep, MPFR_RNDN);
  mpfr_mul(error, error, part, MPFR_RNDN);
  mpfr_mul(part, c, statistic_error, MPFR_RNDN);
  mpfr_mul_d(part, part, w, MPFR_RNDN);
  mpfr_add(error, error, part, MPFR_RNDN);
  mpfr_add(error, error, all, MPFR_RNDN);
  mpfr_add_d(error, error, m->underflow * m->eta * (1 + w), MPFR_RNDN);

  mpfr_mul(running, running, keep, MPFR_RNDN);
  mpfr_mul(part, c, statistic, MPFR_RNDN);
  mpfr_mul_d(part, part, new_weight, MPFR_RNDN);
  mpfr_add(running, running, part, MPFR_RNDN);
  mpfr_clears(keep, c, part, all, kept, (mpfr_ptr)0);
}

/* ------------------------------------------------------------------------------------------------------- gradients */

bool second_gradients_init(second_gradients *g, int64_t count) {
  *g = (second_gradients){.count = count};
  const size_t n = (size_t)count + 1;
  g->input = malloc(n * sizeof *g->input);
  g->least_input = calloc(n, sizeof *g->least_input);
  g->most_input = calloc(n, sizeof *g->most_input);
  for (int64_t i = 0; i < count && g->input != NULL; i++) mpfr_init2(g->input[i], SECOND_BITS);
  mpfr_inits2(SECOND_BITS, g->weight, g->bias, (mpfr_ptr)0);
  if (g->input != NULL && g->least_input != NULL && g->most_input != NULL) return true;
  second_gradients_clear(g);
  return false;
}

void second_gradients_clear(second_gradients *g) {
  for (int64_t i = 0; i < g->count && g->input != NULL; i++) mpfr_clear(g->input[i]);
  mpfr_clears(g->weight, g->bias, (mpfr_ptr)0);
  free(g->input);
  free(g->least_input);
  free(g->most_input);
  *g = (second_gradients){0};
}

/* grad_bias = sum g, grad_weight = sum g (x - mu) r, and with statistics of the batch
 * grad_input = w r (g - sum g / L - (x - mu) r^2 sum g (x - mu) / L), else w r g. `dot` is sum g (x - mu). */
static void exact_gradients(second_gradients *out, mpfr_t dot, const double *x, const double *g, int64_t count,
                            const second_statistics *s, const mpfr_t r, bool batch, double weight) {
  mpfr_t d;
  mpfr_init2(d, SECOND_BITS);
  mpfr_set_zero(dot, 1);
  mpfr_set_zero(out->bias, 1);
  for (int64_t i = 0; i < count; i++) {
    mpfr_add_d(out->bias, out->bias, g[i], MPFR_RNDN);
    mpfr_d_sub(d, x[i], s->mean, MPFR_RNDN);
    mpfr_mul_d(d, d, g[i], MPFR_RNDN);
    mpfr_add(dot, dot, d, MPFR_RNDN);
  }
  mpfr_mul(out->weight, dot, r, MPFR_RNDN);
  for (int64_t i = 0; i < count; i++) {
    mpfr_set_d(out->input[i], g[i], MPFR_RNDN);
    if (batch) {
      mpfr_div_d(d, out->bias, (double)count, MPFR_RNDN);
      mpfr_sub(out->input[i], out->input[i], d, MPFR_RNDN);
      mpfr_d_sub(d, x[i], s->mean, MPFR_RNDN);
      mpfr_mul(d, d, r, MPFR_RNDN);
      mpfr_mul(d, d, out->weight, MPFR_RNDN);
      mpfr_div_d(d, d, (double)count, MPFR_RNDN);
      mpfr_sub(out->input[i], out->input[i], d, MPFR_RNDN);
    }
    mpfr_mul(out->input[i], out->input[i], r, MPFR_RNDN);
    mpfr_mul_d(out->input[i], out->input[i], weight, MPFR_RNDN);
  }
  mpfr_clear(d);
}

/* What the bounds are made of, in f64. */
typedef struct gradient_sizes {
  double r, wide, q; /* 1/sqrt(v+eps), r/sqrt(1-q), q */
  double mu, dmu;
  double sum, dot;     /* |sum g|, |sum g (x - mu)| */
  double all, all_dot; /* sum |g|, sum |g| (|x - mu| + dmu) */
  double all_far;      /* sum |g| (|x| + |mu| + dmu) */
} gradient_sizes;

/* The mean that was computed is off by at most dmu, the same for all of a channel, the reciprocal root by the factor
 * (1-q)^(-1/2) - 1 <= q/(2(1-q)), its square by 1/(1-q) - 1 = q/(1-q). Each product of a sum of L is rounded at most
 * L + 8 times from there, so
 *
 *   sum g (x - mu) is off by      |sum g| dmu + gamma(L+8) sum |g| (|x-mu| + dmu)
 *   the weight's gradient by      R times that, and |sum g (x-mu)| r q/(2(1-q))
 *   C = (x-mu) r^2 T / L by       dmu K + |x-mu| R^2 e_T / L + |x-mu| |T| r^2 / L q/(1-q) + gamma(8) (|x-mu| + dmu) K,
 *                                 with K = R^2 (|T| + e_T) / L
 *   grad_input by                 |w| R (gamma(L+1) mean|g| + e_C + gamma(8) (|g| + mean|g| + (|x-mu| + dmu) K))
 *                                 and |grad_input| q/(2(1-q))
 *
 * With the mean folded into a constant the roundings are of |x| + |mu| + dmu instead of |x-mu| + dmu: `most`, which for
 * simplicity takes sum |g| dmu and sum |g| |x-mu| q too. */
static double dot_error(const gradient_sizes *z, double count, double u, bool folded) {
  return (folded ? z->all : z->sum) * z->dmu + gamma_number(count + 8, u) * (folded ? z->all_far : z->all_dot);
}

static double weight_bound(const gradient_sizes *z, double count, double u, bool folded) {
  return z->wide * dot_error(z, count, u, folded) + (folded ? z->all_dot : z->dot) * z->r * z->q / (2 * (1 - z->q));
}

static double input_bound(const gradient_sizes *z, double count, double u, bool batch, bool folded, double x, double g,
                          double weight, double exact) {
  const double of_root = fabs(exact) * z->q / (2 * (1 - z->q));
  if (!batch) return of_root + gamma_number(8, u) * fabs(weight * g) * z->wide;
  const double error = dot_error(z, count, u, folded), d = fabs(x - z->mu);
  const double k = z->wide * z->wide * (z->dot + error) / count;
  const double spread = folded ? fabs(x) + fabs(z->mu) + z->dmu : d + z->dmu;
  const double of_term = z->dmu * k + d * z->wide * z->wide * error / count +
                         d * z->dot * z->r * z->r / count * z->q / (1 - z->q) + gamma_number(8, u) * spread * k;
  const double mean = z->all / count;
  return fabs(weight) * z->wide *
             (gamma_number(count + 1, u) * mean + of_term + gamma_number(8, u) * (fabs(g) + mean)) +
         of_root;
}

/* eta at every intermediate quantity, grown by whatever it may be multiplied with. */
static double underflow_part(const gradient_sizes *z, double x, double g, double weight, double count) {
  const double scale = (1 + z->wide) * (1 + z->wide) * (1 + fabs(weight));
  const double spread = 1 + fabs(x) + fabs(z->mu) + z->dmu;
  return scale * spread * (1 + fabs(g) + z->all) * (1 + z->wide * z->wide * (1 + z->all_dot)) * count;
}

bool second_gradients_of(second_gradients *out, const double *x, const double *g, int64_t count,
                         const second_statistics *s, bool batch, double epsilon, double weight,
                         const second_manner *m) {
  mpfr_t r, q, dot;
  mpfr_inits2(SECOND_BITS, r, q, dot, (mpfr_ptr)0);
  const bool conclusive = under_the_root(r, q, s, epsilon, m);
  mpfr_rec_sqrt(r, r, MPFR_RNDN);
  exact_gradients(out, dot, x, g, count, s, r, batch, weight);
  const double n = (double)count, eta = m->underflow * m->eta;
  double all = 0;
  for (int64_t i = 0; i < count; i++) all += fabs(g[i]);
  out->least_bias = gamma_number(n - 1, m->u) * all;
  out->most_bias = gamma_number(n + 1, m->u) * all + eta * (2 * n + 1);
  if (conclusive) {
    gradient_sizes z = {.r = mpfr_get_d(r, MPFR_RNDN), .q = mpfr_get_d(q, MPFR_RNDN), .all = all};
    out->q = z.q;
    z.wide = z.r / sqrt(1 - z.q);
    z.mu = mpfr_get_d(s->mean, MPFR_RNDN);
    z.dmu = mpfr_get_d(s->mean_error, MPFR_RNDN);
    z.sum = fabs(mpfr_get_d(out->bias, MPFR_RNDN));
    z.dot = fabs(mpfr_get_d(dot, MPFR_RNDN));
    double farthest = 0;
    for (int64_t i = 0; i < count; i++) {
      farthest = fmax(farthest, fabs(x[i]) + fabs(z.mu) + z.dmu);
      z.all_dot += fabs(g[i]) * (fabs(x[i] - z.mu) + z.dmu);
      z.all_far += fabs(g[i]) * (fabs(x[i]) + fabs(z.mu) + z.dmu);
    }

    const double lost = eta > 0 ? eta * (1 + z.all) * (1 + farthest) * (1 + z.wide) * (1 + z.wide) * n : 0;
    out->least_weight = weight_bound(&z, n, m->u, false);
    out->most_weight = weight_bound(&z, n, m->u, true) + lost;
    for (int64_t i = 0; i < count; i++) {
      const double exact = mpfr_get_d(out->input[i], MPFR_RNDN);
      out->least_input[i] = input_bound(&z, n, m->u, batch, false, x[i], g[i], weight, exact);
      out->most_input[i] = input_bound(&z, n, m->u, batch, true, x[i], g[i], weight, exact) +
                           (eta > 0 ? eta * underflow_part(&z, x[i], g[i], weight, n) : 0);
    }
  }
  mpfr_clears(r, q, dot, (mpfr_ptr)0);
  return conclusive;
}
