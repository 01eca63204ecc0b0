/* The second reference: explicit padding, scatter, exact sums, bounds in MPFR. */
#include "tests/second_reference.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------- explicit padding */

/* A dense row-major tensor that remembers which elements the input owns and which are zeros that were put in. */
typedef struct grid_tensor {
  int32_t rank;
  int64_t extent[CBN_MAX_RANK];
  float *value;
  uint8_t *owned;
} grid_tensor;

static void grid_release(grid_tensor *t) {
  free(t->value);
  free(t->owned);
  t->value = NULL;
  t->owned = NULL;
}

static int64_t product(const int64_t *extent, int from, int to) {
  int64_t p = 1;
  for (int a = from; a < to; a++) p *= extent[a];
  return p;
}

static bool grid_make(grid_tensor *t, int32_t rank, const int64_t *extent) {
  *t = (grid_tensor){.rank = rank};
  memcpy(t->extent, extent, (size_t)rank * sizeof *extent);
  const size_t count = (size_t)product(extent, 0, rank) + 1;
  t->value = calloc(count, sizeof *t->value);
  t->owned = calloc(count, sizeof *t->owned);
  if (t->value != NULL && t->owned != NULL) return true;
  grid_release(t);
  return false;
}

static bool grid_of_tensor(grid_tensor *t, const cbn_tensor *from) {
  if (!grid_make(t, from->rank, from->extent)) return false;
  int64_t index[CBN_MAX_RANK] = {0};
  const int64_t count = product(from->extent, 0, from->rank);
  for (int64_t i = 0; i < count; i++) {
    int64_t offset = 0;
    for (int a = 0; a < from->rank; a++) offset += index[a] * from->stride[a];
    t->value[i] = ((const float *)from->data)[offset];
    t->owned[i] = 1;
    for (int a = from->rank - 1; a >= 0 && ++index[a] == from->extent[a]; a--) index[a] = 0;
  }
  return true;
}

/* Rebuilds `t` along one axis: slice j of the result is slice source[j] of `t`, for -1 zeros that `t` does not own. */
static bool take(grid_tensor *t, int axis, const int64_t *source, int64_t length) {
  grid_tensor r;
  int64_t extent[CBN_MAX_RANK];
  memcpy(extent, t->extent, sizeof extent);
  extent[axis] = length;
  if (!grid_make(&r, t->rank, extent)) return false;
  const int64_t outer = product(extent, 0, axis), inner = product(extent, axis + 1, t->rank), old = t->extent[axis];
  for (int64_t o = 0; o < outer; o++)
    for (int64_t j = 0; j < length; j++) {
      if (source[j] < 0) continue;
      const int64_t to = (o * length + j) * inner, from = (o * old + source[j]) * inner;
      memcpy(r.value + to, t->value + from, (size_t)inner * sizeof *r.value);
      memcpy(r.owned + to, t->owned + from, (size_t)inner * sizeof *r.owned);
    }
  grid_release(t);
  *t = r;
  return true;
}

/* A list of slices to take; 0 elements to begin with. */
typedef struct slices {
  int64_t *item, length;
} slices;

static void append(slices *s, int64_t item) { s->item[s->length++] = item; }

/* numpy.pad along one axis of `extent` elements, written as the list of what stands where. Reflect reads 1, 2, ... away
 * from the edge; wrap reads the opposite end; edge repeats. */
static void pad_slices(slices *s, int64_t extent, int64_t before, int64_t after, int mode) {
  for (int64_t j = before; j >= 1; j--) /* the element j places before the first */
    append(s, mode == CBN_PAD_REFLECT ? j : mode == CBN_PAD_REPLICATE ? 0 : mode == CBN_PAD_CIRCULAR ? extent - j : -1);
  for (int64_t j = 0; j < extent; j++) append(s, j);
  for (int64_t j = 1; j <= after; j++) /* the element j places behind the last */
    append(s, mode == CBN_PAD_REFLECT     ? extent - 1 - j
              : mode == CBN_PAD_REPLICATE ? extent - 1
              : mode == CBN_PAD_CIRCULAR  ? j - 1
                                          : -1);
}

static int64_t positive_part(int64_t a) { return a > 0 ? a : 0; }

/* Pads by what is positive, then cuts off what is negative. */
static bool pad_axis(grid_tensor *t, int axis, int64_t begin, int64_t end, int mode) {
  const int64_t before = positive_part(begin), after = positive_part(end), extent = t->extent[axis];
  slices s = {.item = malloc((size_t)(before + extent + after + 1) * sizeof *s.item)};
  if (s.item == NULL) return false;
  pad_slices(&s, extent, before, after, mode);
  const int64_t cut_front = positive_part(-begin), cut_back = positive_part(-end);
  const int64_t left = positive_part(s.length - cut_front - cut_back);
  const bool done = take(t, axis, left > 0 ? s.item + cut_front : s.item, left);
  free(s.item);
  return done;
}

/* Puts dilation - 1 zeros between neighbours. */
static bool dilate_axis(grid_tensor *t, int axis, int64_t dilation) {
  const int64_t extent = t->extent[axis];
  slices s = {.item = malloc((size_t)(extent * dilation + 1) * sizeof *s.item)};
  if (s.item == NULL) return false;
  for (int64_t j = 0; j < extent; j++) {
    if (j > 0)
      for (int64_t gap = 1; gap < dilation; gap++) append(&s, -1);
    append(&s, j);
  }
  const bool done = take(t, axis, s.item, s.length);
  free(s.item);
  return done;
}

static bool padded_input(const cbn_conv *conv, const cbn_tensor *input, grid_tensor *padded) {
  if (!grid_of_tensor(padded, input)) return false;
  for (int a = 0; a < conv->spatial_rank; a++)
    if (!dilate_axis(padded, 2 + a, conv->input_dilation[a]) ||
        !pad_axis(padded, 2 + a, conv->pad_begin[a], conv->pad_end[a], conv->padding_mode)) {
      grid_release(padded);
      return false;
    }
  return true;
}

/* -------------------------------------------------------------------------------------------------------- scatter */

/* torch.nn.Conv2d's output extent, of an input that is padded already. */
static int64_t window_count(int64_t padded, int64_t kernel, int64_t dilation, int64_t stride) {
  int64_t windows = 0;
  for (int64_t start = 0; start + dilation * (kernel - 1) < padded; start += stride) windows++;
  return windows;
}

static void result_extents(const cbn_conv *conv, const grid_tensor *padded, second_conv *r) {
  r->rank = 2 + conv->spatial_rank;
  r->extent[0] = conv->batch;
  r->extent[1] = conv->out_channels;
  for (int a = 0; a < conv->spatial_rank; a++) {
    r->extent[2 + a] = window_count(padded->extent[2 + a], conv->kernel[a], conv->dilation[a], conv->stride[a]);
    assert(r->extent[2 + a] == cbn_conv_output_extent(conv, a));
  }
  r->count = product(r->extent, 0, r->rank);
}

/* Lays the terms' memory out: each element has room for every product of its window. */
static bool result_allocate(const cbn_conv *conv, second_conv *r) {
  const int64_t room = conv->in_channels / conv->groups * product(conv->kernel, 0, conv->spatial_rank);
  r->element = calloc((size_t)r->count + 1, sizeof *r->element);
  r->factors = malloc((size_t)(2 * room * r->count + 1) * sizeof *r->factors);
  if (r->element == NULL || r->factors == NULL) {
    second_conv_release(r);
    return false;
  }
  for (int64_t i = 0; i < r->count; i++) {
    r->element[i].x = r->factors + 2 * room * i;
    r->element[i].w = r->factors + 2 * room * i + room;
  }
  return true;
}

/* One product arrives at an element. */
static void deposit(second_terms *to, float x, float w, bool owned) {
  if (!owned) {
    if (!isfinite(w)) to->nonfinite_on_zero = true;
    return;
  }
  to->x[to->count] = x;
  to->w[to->count] = w;
  to->count++;
}

/* The spatial position of the one output that padded position `at` enters through tap `tap`; -1 if there is none. */
static int64_t output_touched(const cbn_conv *conv, const second_conv *r, const int64_t *at, const int64_t *tap) {
  int64_t position = 0;
  for (int a = 0; a < conv->spatial_rank; a++) {
    const int64_t start = at[a] - tap[a] * conv->dilation[a]; /* where that window begins */
    if (start < 0 || start % conv->stride[a] != 0 || start / conv->stride[a] >= r->extent[2 + a]) return -1;
    position = position * r->extent[2 + a] + start / conv->stride[a];
  }
  return position;
}

/* Scatters the element of batch entry n and input channel c at padded position `at`. */
static void scatter_element(const cbn_conv *conv, const grid_tensor *weight, second_conv *r, int64_t n, int64_t c,
                            const int64_t *at, float x, bool owned) {
  const int spatial = conv->spatial_rank;
  const int64_t in_group = conv->in_channels / conv->groups, out_group = conv->out_channels / conv->groups;
  const int64_t group = c / in_group, taps = product(conv->kernel, 0, spatial);
  const int64_t positions = product(r->extent, 2, r->rank);
  int64_t tap[CBN_MAX_SPATIAL] = {0};
  for (int64_t t = 0; t < taps; t++) {
    const int64_t p = output_touched(conv, r, at, tap);
    for (int64_t o = group * out_group; p >= 0 && o < (group + 1) * out_group; o++)
      deposit(&r->element[(n * conv->out_channels + o) * positions + p], x,
              weight->value[(o * in_group + c % in_group) * taps + t], owned);
    for (int a = spatial - 1; a >= 0 && ++tap[a] == conv->kernel[a]; a--) tap[a] = 0;
  }
}

static void scatter_all(const cbn_conv *conv, const grid_tensor *padded, const grid_tensor *weight, second_conv *r) {
  const int spatial = conv->spatial_rank;
  const int64_t positions = product(padded->extent, 2, padded->rank);
  for (int64_t plane = 0; plane < conv->batch * conv->in_channels; plane++) {
    int64_t at[CBN_MAX_SPATIAL] = {0};
    for (int64_t i = 0; i < positions; i++) {
      scatter_element(conv, weight, r, plane / conv->in_channels, plane % conv->in_channels, at,
                      padded->value[plane * positions + i], padded->owned[plane * positions + i] != 0);
      for (int a = spatial - 1; a >= 0 && ++at[a] == padded->extent[2 + a]; a--) at[a] = 0;
    }
  }
}

static void add_bias(const cbn_conv *conv, const grid_tensor *bias, second_conv *r) {
  const int64_t positions = product(r->extent, 2, r->rank);
  for (int64_t i = 0; i < r->count; i++) {
    r->element[i].has_bias = true;
    r->element[i].bias = bias->value[i / positions % conv->out_channels];
  }
}

bool second_conv_scatter(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight,
                         const cbn_tensor *bias, second_conv *result) {
  grid_tensor padded = {0}, w = {0}, b = {0};
  *result = (second_conv){0};
  bool done =
      padded_input(conv, input, &padded) && grid_of_tensor(&w, weight) && (bias == NULL || grid_of_tensor(&b, bias));
  if (done) {
    result_extents(conv, &padded, result);
    done = result_allocate(conv, result);
  }
  if (done) {
    scatter_all(conv, &padded, &w, result);
    if (bias != NULL) add_bias(conv, &b, result);
  }
  grid_release(&padded);
  grid_release(&w);
  grid_release(&b);
  return done;
}

void second_conv_release(second_conv *result) {
  free(result->element);
  free(result->factors);
  *result = (second_conv){0};
}

/* ----------------------------------------------------------------------------------------------------- exact sums */

void second_sum_init(second_sum *sum) {
  *sum = (second_sum){0};
  mpfr_inits2(SECOND_EXACT_BITS, sum->value, sum->positive, sum->negative, sum->flushed, (mpfr_ptr)0);
}

void second_sum_clear(second_sum *sum) {
  mpfr_clears(sum->value, sum->positive, sum->negative, sum->flushed, (mpfr_ptr)0);
}

static bool is_subnormal(float a) { return fpclassify(a) == FP_SUBNORMAL; }

/* The exponent of the lowest bit of a finite number that is not zero. */
static int lowest_bit(double a) {
  int exponent;
  const double mantissa = frexp(a, &exponent); /* 53 bits, all of them integer after scaling */
  int64_t bits = (int64_t)ldexp(fabs(mantissa), 53);
  for (exponent -= 53; bits % 2 == 0; bits /= 2) exponent++;
  return exponent;
}

/* One term: a product of two f32 (exact in f64) or the bias. */
static void add_term(second_sum *sum, double term, bool subnormal) {
  if (isnan(term)) {
    sum->nan = true;
  } else if (isinf(term)) {
    if (term > 0) sum->plus = true;
    else sum->minus = true;
  } else if (term != 0) {
    mpfr_add_d(sum->value, sum->value, term, MPFR_RNDN);
    if (term > 0) mpfr_add_d(sum->positive, sum->positive, term, MPFR_RNDN);
    else mpfr_sub_d(sum->negative, sum->negative, term, MPFR_RNDN);
    if (subnormal) mpfr_add_d(sum->flushed, sum->flushed, fabs(term), MPFR_RNDN);
    const int lowest = lowest_bit(term);
    if (lowest < sum->grid) sum->grid = lowest;
    if (fabs(term) < sum->smallest) sum->smallest = fabs(term);
    sum->subnormal |= subnormal;
    sum->nonzero++;
  }
}

void second_sum_evaluate(second_sum *sum, const second_terms *terms) {
  mpfr_set_zero(sum->value, 1);
  mpfr_set_zero(sum->positive, 1);
  mpfr_set_zero(sum->negative, 1);
  mpfr_set_zero(sum->flushed, 1);
  sum->products = terms->count;
  sum->nonzero = 0;
  sum->grid = SECOND_NO_GRID;
  sum->smallest = INFINITY;
  sum->subnormal = sum->nan = sum->plus = sum->minus = sum->flush_makes_nan = false;
  for (int64_t i = 0; i < terms->count; i++) {
    const float x = terms->x[i], w = terms->w[i];
    add_term(sum, (double)x * (double)w, is_subnormal(x) || is_subnormal(w));
    if ((isinf(x) && is_subnormal(w)) || (isinf(w) && is_subnormal(x))) sum->flush_makes_nan = true;
  }
  if (terms->has_bias) add_term(sum, (double)terms->bias, is_subnormal(terms->bias));
}

int second_tensor_grid(const cbn_tensor *tensor) {
  int grid = SECOND_NO_GRID;
  const int64_t count = cbn_tensor_count(tensor);
  for (int64_t i = 0; i < count; i++) {
    const double a = cbn_tensor_get(tensor, i);
    if (a == 0 || !isfinite(a)) continue;
    const int lowest = lowest_bit(a);
    if (lowest < grid) grid = lowest;
  }
  return grid;
}

bool second_tensor_has_subnormal(const cbn_tensor *tensor) {
  const int64_t count = cbn_tensor_count(tensor);
  for (int64_t i = 0; i < count; i++)
    if (is_subnormal((float)cbn_tensor_get(tensor, i))) return true;
  return false;
}

/* --------------------------------------------------------------------------------------------------------- bounds */

/* gamma(n) = n u / (1 - n u), u = 2^-24: (1+u)^n - 1 and 1 - (1-u)^n are at most that. */
static void gamma_of(mpfr_t result, double n) {
  const double nu = n * 0x1p-24; /* exact */
  mpfr_set_d(result, nu, MPFR_RNDN);
  mpfr_div_d(result, result, 1 - nu, MPFR_RNDN);
}

/* Every term of the sum passes at most n + 1 roundings, one as a product and n as a summand of n + 1, so it is off by
 * gamma(n+1) of itself; a product that underflows is off by eta/2 and a sum in gradual underflow by nothing; flushing,
 * up to 2n results (and the stored one) each lose less than eta, grown by at most (1+u)^n <= 1/(1-nu); and a factor
 * that counts as zero loses its term. */
void second_conv_bound(mpfr_t bound, const second_sum *sum, bool flushes) {
  mpfr_t part;
  mpfr_init2(part, SECOND_EXACT_BITS);
  const double n = (double)sum->products;
  mpfr_add(bound, sum->positive, sum->negative, MPFR_RNDN);
  if (!mpfr_zero_p(bound)) {
    gamma_of(part, n + 1);
    mpfr_mul(bound, bound, part, MPFR_RNDN);
    mpfr_set_d(part, (2 * n + 1) * (flushes ? 0x1p-126 : 0x1p-149), MPFR_RNDN);
    mpfr_div_d(part, part, 1 - n * 0x1p-24, MPFR_RNDN);
    mpfr_add(bound, bound, part, MPFR_RNDN);
    if (flushes) mpfr_add(bound, bound, sum->flushed, MPFR_RNDN);
  }
  mpfr_clear(part);
}

void second_statistics_init(second_statistics *s) {
  mpfr_inits2(SECOND_BITS, s->mean, s->variance, s->mean_error, s->variance_error, (mpfr_ptr)0);
}

void second_statistics_clear(second_statistics *s) {
  mpfr_clears(s->mean, s->variance, s->mean_error, s->variance_error, (mpfr_ptr)0);
}

/* mean, mean of squares around it, mean |x| and max |x|. */
static void moments(second_statistics *s, mpfr_t mean_magnitude, mpfr_t largest, const float *x, int64_t count) {
  mpfr_t d;
  mpfr_init2(d, SECOND_BITS);
  mpfr_set_zero(s->mean, 1);
  mpfr_set_zero(s->variance, 1);
  mpfr_set_zero(mean_magnitude, 1);
  mpfr_set_zero(largest, 1);
  for (int64_t i = 0; i < count; i++) {
    const double magnitude = fabs((double)x[i]);
    mpfr_add_d(s->mean, s->mean, (double)x[i], MPFR_RNDN);
    mpfr_add_d(mean_magnitude, mean_magnitude, magnitude, MPFR_RNDN);
    if (mpfr_cmp_d(largest, magnitude) < 0) mpfr_set_d(largest, magnitude, MPFR_RNDN);
  }
  mpfr_div_d(s->mean, s->mean, (double)count, MPFR_RNDN);
  mpfr_div_d(mean_magnitude, mean_magnitude, (double)count, MPFR_RNDN);
  for (int64_t i = 0; i < count; i++) {
    mpfr_d_sub(d, (double)x[i], s->mean, MPFR_RNDN);
    mpfr_sqr(d, d, MPFR_RNDN);
    mpfr_add(s->variance, s->variance, d, MPFR_RNDN);
  }
  mpfr_div_d(s->variance, s->variance, (double)count, MPFR_RNDN);
  mpfr_clear(d);
}

/* gamma(L+4) (v + h) + h: a mean that is off by d moves the mean of squares by h = d^2 (two passes), and the sum's own
 * roundings scale what is summed. */
static void variance_error(mpfr_t result, const mpfr_t variance, const mpfr_t h, int64_t count) {
  mpfr_t g;
  mpfr_init2(g, SECOND_BITS);
  gamma_of(g, (double)count + 4);
  mpfr_add(result, variance, h, MPFR_RNDN);
  mpfr_mul(result, result, g, MPFR_RNDN);
  mpfr_add(result, result, h, MPFR_RNDN);
  mpfr_clear(g);
}

void second_statistics_of_batch(second_statistics *s, const float *x, int64_t count, bool two_pass, double underflow,
                                double eta) {
  mpfr_t mean_magnitude, m, h, other;
  mpfr_inits2(SECOND_BITS, mean_magnitude, m, h, other, (mpfr_ptr)0);
  moments(s, mean_magnitude, m, x, count);

  /* two passes */
  gamma_of(other, (double)count + 1);
  mpfr_mul(s->mean_error, mean_magnitude, other, MPFR_RNDN);
  mpfr_add_d(s->mean_error, s->mean_error, underflow * eta, MPFR_RNDN);
  mpfr_sqr(h, s->mean_error, MPFR_RNDN);
  variance_error(s->variance_error, s->variance, h, count);

  /* Welford, lanes merged: M = gamma(L+7) max|x|, h = 2.5 M sqrt(v) + M^2 */
  if (!two_pass) {
    gamma_of(other, (double)count + 7);
    mpfr_mul(m, m, other, MPFR_RNDN);
    mpfr_add_d(m, m, underflow * eta, MPFR_RNDN);
    mpfr_max(s->mean_error, s->mean_error, m, MPFR_RNDN);
    mpfr_sqrt(h, s->variance, MPFR_RNDN);
    mpfr_mul(h, h, m, MPFR_RNDN);
    mpfr_mul_d(h, h, 2.5, MPFR_RNDN);
    mpfr_sqr(m, m, MPFR_RNDN);
    mpfr_add(h, h, m, MPFR_RNDN);
    variance_error(other, s->variance, h, count);
    mpfr_max(s->variance_error, s->variance_error, other, MPFR_RNDN);
  }
  mpfr_add_d(s->variance_error, s->variance_error, underflow * eta, MPFR_RNDN);
  mpfr_clears(mean_magnitude, m, h, other, (mpfr_ptr)0);
}

/* |epsilon| where v + epsilon does not contain it: where one of the two is below 0. */
static double rounded_epsilon(const second_statistics *s, double epsilon) {
  return epsilon < 0 || mpfr_sgn(s->variance) < 0 ? fabs(epsilon) : 0;
}

/* dy <= |g| R dmu + |g| |x-mu| r q/(2(1-q)) + gamma(8) (|g| R (|x| + |mu| + dmu) + |b|), with q = dv/(v+eps),
 * r = 1/sqrt(v+eps), R = r/sqrt(1-q): the variance that was computed lies between (1-q) and (1+q) times the right one,
 * (1-q)^(-1/2) - 1 <= q/(2(1-q)), and eight roundings separate the statistics from y, folded or not. Rounding epsilon
 * itself is one of them where epsilon <= v + epsilon; where either is below 0 it adds u |epsilon| to dv. */
bool second_normalise(mpfr_t value, mpfr_t bound, float x, const second_statistics *s, double epsilon, float weight,
                      float bias, double underflow, double eta) {
  mpfr_t q, r, wide, part, g;
  mpfr_inits2(SECOND_BITS, q, r, wide, part, g, (mpfr_ptr)0);
  mpfr_add_d(r, s->variance, epsilon, MPFR_RNDN);
  mpfr_add_d(q, s->variance_error, rounded_epsilon(s, epsilon) * 0x1p-24, MPFR_RNDN);
  mpfr_add_d(q, q, underflow * eta, MPFR_RNDN); /* an epsilon or a variance below the smallest normal */
  mpfr_div(q, q, r, MPFR_RNDN);
  const bool conclusive = mpfr_cmp_ui(r, 0) > 0 && mpfr_cmp_ui(q, 1) < 0;
  mpfr_rec_sqrt(r, r, MPFR_RNDN);
  mpfr_d_sub(part, (double)x, s->mean, MPFR_RNDN);
  mpfr_mul(part, part, r, MPFR_RNDN);
  mpfr_mul_d(part, part, (double)weight, MPFR_RNDN);
  mpfr_add_d(value, part, (double)bias, MPFR_RNDN);
  if (conclusive) {
    mpfr_ui_sub(g, 1, q, MPFR_RNDN);
    mpfr_sqrt(wide, g, MPFR_RNDN);
    mpfr_div(wide, r, wide, MPFR_RNDN);
    mpfr_mul_d(wide, wide, fabs((double)weight), MPFR_RNDN); /* |g| R */

    mpfr_abs(part, part, MPFR_RNDN); /* |g| |x-mu| r */
    mpfr_mul(part, part, q, MPFR_RNDN);
    mpfr_div(part, part, g, MPFR_RNDN);
    mpfr_div_ui(bound, part, 2, MPFR_RNDN);

    mpfr_mul(part, wide, s->mean_error, MPFR_RNDN);
    mpfr_add(bound, bound, part, MPFR_RNDN);

    mpfr_abs(part, s->mean, MPFR_RNDN);
    mpfr_add(part, part, s->mean_error, MPFR_RNDN);
    mpfr_add_d(part, part, fabs((double)x), MPFR_RNDN);
    mpfr_set(q, part, MPFR_RNDN); /* |x| + |mu| + dmu */
    mpfr_mul(part, part, wide, MPFR_RNDN);
    mpfr_add_d(part, part, fabs((double)bias), MPFR_RNDN);
    gamma_of(g, 8);
    mpfr_mul(part, part, g, MPFR_RNDN);
    mpfr_add(bound, bound, part, MPFR_RNDN);

    /* underflow: of x, mu, g, x - mu, r times it, g r, b, each carried on by what multiplies it */
    mpfr_add_ui(r, r, 1, MPFR_RNDN);
    mpfr_mul(part, q, r, MPFR_RNDN);
    mpfr_add(part, part, wide, MPFR_RNDN);
    mpfr_add_d(part, part, 1 + fabs((double)weight), MPFR_RNDN);
    mpfr_mul_d(part, part, underflow * eta, MPFR_RNDN);
    mpfr_add(bound, bound, part, MPFR_RNDN);
  }
  mpfr_clears(q, r, wide, part, g, (mpfr_ptr)0);
  return conclusive;
}

/* ds' <= |1-m| ds + |m| c dstat + gamma(8) ((1+|m|) (|s|+ds) + |m| c (|stat|+dstat)): in (1-m) s + m stat and in
 * s + m (stat - s) alike, s has factors of at most 1 + |m| and stat of |m| c, and passes fewer than eight roundings,
 * those of m, 1 - m and c among them. */
void second_running_update(mpfr_t running, mpfr_t error, double m, double divisor_from, double divisor_to,
                           const mpfr_t statistic, const mpfr_t statistic_error, double underflow, double eta) {
  mpfr_t keep, c, part, all;
  mpfr_inits2(SECOND_BITS, keep, c, part, all, (mpfr_ptr)0);
  mpfr_set_d(c, divisor_from, MPFR_RNDN);
  mpfr_div_d(c, c, divisor_to, MPFR_RNDN);
  mpfr_set_d(keep, m, MPFR_RNDN);
  mpfr_ui_sub(keep, 1, keep, MPFR_RNDN);

  mpfr_abs(all, statistic, MPFR_RNDN);
  mpfr_add(all, all, statistic_error, MPFR_RNDN);
  mpfr_mul(all, all, c, MPFR_RNDN);
  mpfr_mul_d(all, all, fabs(m), MPFR_RNDN); /* |m| c (|stat| + dstat) */
  mpfr_t kept;
  mpfr_init2(kept, SECOND_BITS);
  mpfr_abs(kept, running, MPFR_RNDN);
  mpfr_add(kept, kept, error, MPFR_RNDN);
  mpfr_set_d(part, fabs(m), MPFR_RNDN);
  mpfr_add_ui(part, part, 1, MPFR_RNDN);
  mpfr_mul(kept, kept, part, MPFR_RNDN);
  mpfr_add(all, all, kept, MPFR_RNDN);
  mpfr_clear(kept);
  gamma_of(part, 8);
  mpfr_mul(all, all, part, MPFR_RNDN);

  mpfr_abs(part, keep, MPFR_RNDN);
  mpfr_mul(error, error, part, MPFR_RNDN);
  mpfr_mul(part, c, statistic_error, MPFR_RNDN);
  mpfr_mul_d(part, part, fabs(m), MPFR_RNDN);
  mpfr_add(error, error, part, MPFR_RNDN);
  mpfr_add(error, error, all, MPFR_RNDN);
  mpfr_add_d(error, error, underflow * eta * (1 + fabs(m)), MPFR_RNDN);

  mpfr_mul(running, running, keep, MPFR_RNDN);
  mpfr_mul(part, c, statistic, MPFR_RNDN);
  mpfr_mul_d(part, part, m, MPFR_RNDN);
  mpfr_add(running, running, part, MPFR_RNDN);
  mpfr_clears(keep, c, part, all, (mpfr_ptr)0);
}
