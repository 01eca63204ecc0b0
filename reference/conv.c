/* Forward convolution as its definition reads, with a proven bound for every element.
 *
 *   y[n,o,p] = b[o] + sum over c, t of w[o,c,t] * x~[n, g(o)*C + c, q],    q = p*stride + t*dilation - pad_begin
 *
 * For each output position p the taps t are sorted once into those that read an input element and those that meet
 * zeros; every batch entry and output channel then sums over channels and taps in f64, in which a product of two f32
 * is exact.
 *
 * THE BOUND. Let n products enter an element, B = |b| + sum |x_i w_i|. An evaluation in f32, in any order, as any
 * tree, with or without fused multiply-add, takes each product through at most one rounding of its own and n
 * additions, the bias through at most n additions, and every rounding is a factor 1 + d with |d| <= u as long as
 * nothing underflows. So the result is b (1+t_0) + sum x_i w_i (1+t_i) with |t_i| <= gamma(n+1) [Higham, lemma 3.1],
 * and its error at most gamma(n+1) B. Sums cannot lose to underflow (a sum of two f32 below the smallest normal is
 * exact); a product, or a fused multiply-add, loses at most eta/2 in addition, and later roundings enlarge that by
 * at most 1 + gamma(n) = 1/(1 - n u); n of them stay below (2n+1) eta / (1 - n u). An accumulator wider than f32
 * errs less and rounds once to f32 at the end: a factor that gamma(n+1) contains, or eta/2, for which 2n+1 has room. An engine that flushes subnormals loses in addition whole terms with a subnormal
 * factor, Z = their sum of |x_i w_i|, and up to the smallest normal where eta stood.
 *
 * EXACTNESS. If every x is a multiple of a power of two g_x, every w of g_w, every b of g_b, then each partial sum
 * is a multiple of g = min(g_x g_w, g_b) and at most B in magnitude. If B <= 2^24 g, g >= eta (the smallest
 * normal where subnormals are flushed) and B is below overflow, all of them are representable in f32: no evaluation
 * rounds at all, and the bound is 0.
 *
 * THE REFERENCE'S OWN ERROR is that of n additions in f64: gamma_64(n) B, and none in the exact case.
 *
 * OVERFLOW. Partial sums lie between -N(1+gamma) and P(1+gamma), where P and N are the sums of the positive and of
 * the negative terms. If neither end reaches overflow nothing can happen; if only the end on y's side does, and |y|
 * + bound reaches it too, the only other result is the infinity of y's sign; else nothing can be said.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <convbn/reference.h>

#include "reference/rounding.h"

enum { OUTSIDE = -1 };

/* The index of the input element that stands at position q of the extended input along one axis, OUTSIDE for a zero. */
static int64_t source(const cbn_conv *conv, int axis, int64_t q) {
  const int64_t extent = conv->input[axis], hole = conv->input_dilation[axis];
  switch (conv->padding_mode) {
  case CBN_PAD_REFLECT:
    if (q < 0) q = -q;
    return q < extent ? q : 2 * (extent - 1) - q;
  case CBN_PAD_REPLICATE:
    if (q < 0) return 0;
    return q < extent ? q : extent - 1;
  case CBN_PAD_CIRCULAR: return (q + extent) % extent;
  default: return q >= 0 && q % hole == 0 && q / hole < extent ? q / hole : OUTSIDE;
  }
}

/* What does not change from element to element. */
typedef struct problem {
  const cbn_conv *conv;
  const cbn_tensor *input, *weight, *bias;
  uint32_t arithmetic;
  int64_t taps; /* kernel elements */
  double grid;  /* g above; 0 where there is none */
  bool weight_finite;
  int64_t *read_x, *read_w; /* offsets of the taps that read an input element, in input and weight ... */
  int64_t *zero_w;          /* ... and of those that meet a zero */
  int64_t reads, zeros;
} problem;

static double f32_at(const cbn_tensor *tensor, int64_t offset) { return (double)((const float *)tensor->data)[offset]; }

/* The largest power of two of which every element is a multiple; infinity for all zeros, 0 where one is not finite. */
static double grid_of(const cbn_tensor *tensor) {
  const int64_t count = tensor == NULL ? 0 : cbn_tensor_count(tensor);
  double grid = INFINITY;
  for (int64_t i = 0; i < count; i++) {
    const double x = cbn_tensor_get(tensor, i);
    if (!isfinite(x)) return 0;
    if (x == 0 || fmod(x, grid) == 0) continue;
    int exponent;
    const double significand = frexp(x, &exponent); /* 24 bits at most */
    const int64_t integer = (int64_t)ldexp(fabs(significand), 24);
    const double own = ldexp((double)(integer & -integer), exponent - 24);
    if (own < grid) grid = own;
  }
  return grid;
}

static bool all_finite(const cbn_tensor *tensor) {
  const int64_t count = cbn_tensor_count(tensor);
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(cbn_tensor_get(tensor, i))) return false;
  return true;
}

static void problem_close(problem *p) {
  free(p->read_x);
  free(p->read_w);
  free(p->zero_w);
}

static bool problem_open(problem *p, const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight,
                         const cbn_tensor *bias, uint32_t arithmetic) {
  assert(conv->direction == CBN_FORWARD && !conv->transposed);
  assert(input->type == CBN_F32 && weight->type == CBN_F32 && (bias == NULL || bias->type == CBN_F32));
  *p = (problem){.conv = conv, .input = input, .weight = weight, .bias = bias, .arithmetic = arithmetic};
  p->taps = cbn_extent_product(conv->spatial_rank, conv->kernel);
  p->grid = fmin(grid_of(input) * grid_of(weight), grid_of(bias));
  if (!(p->grid > 0)) p->grid = 0; /* a NaN from 0 * infinity too */
  p->weight_finite = all_finite(weight);
  const size_t bytes = ((size_t)p->taps + 1) * sizeof(int64_t);
  p->read_x = malloc(bytes);
  p->read_w = malloc(bytes);
  p->zero_w = malloc(bytes);
  if (p->read_x && p->read_w && p->zero_w) return true;
  problem_close(p);
  return false;
}

/* Sorts the kernel's taps at output position `position`. */
static void sort_taps(problem *p, const int64_t *position) {
  const cbn_conv *conv = p->conv;
  p->reads = p->zeros = 0;
  for (int64_t tap = 0; tap < p->taps; tap++) {
    int64_t t[CBN_MAX_SPATIAL], x = 0, w = 0;
    bool inside = true;
    cbn_unravel(conv->spatial_rank, conv->kernel, tap, t);
    for (int a = 0; a < conv->spatial_rank; a++) {
      const int64_t i = source(conv, a, position[a] * conv->stride[a] + t[a] * conv->dilation[a] - conv->pad_begin[a]);
      inside = inside && i != OUTSIDE;
      x += i * p->input->stride[2 + a];
      w += t[a] * p->weight->stride[2 + a];
    }
    if (inside) {
      p->read_x[p->reads] = x;
      p->read_w[p->reads++] = w;
    } else {
      p->zero_w[p->zeros++] = w;
    }
  }
}

/* The sums over the products of one element. */
typedef struct sums {
  double n;        /* products */
  double y, B;     /* sum of the terms and of their magnitudes, the bias included */
  double B_finite; /* B over the finite terms; computed where B is not finite */
  double Z;        /* sum of |x w| over terms with a subnormal factor; computed where the engine flushes them */
  bool or_nan;     /* a zero, or what an engine may take for one, meets a weight or input that is not finite */
} sums;

/* Offsets of the first element that output (n, o) reads in the input and of its filter in the weight. */
static int64_t input_base(const problem *p, int64_t n, int64_t o) {
  const int64_t group = o / (p->conv->out_channels / p->conv->groups);
  return n * p->input->stride[0] + group * (p->conv->in_channels / p->conv->groups) * p->input->stride[1];
}

static bool subnormal(double x) { return x != 0 && fabs(x) < NORMAL32; }

/* What only unusual elements need: B over finite terms, Z, and zeros that meet what is not finite. */
static void unusual_sums(const problem *p, int64_t n, int64_t o, bool flushes, sums *s) {
  const int64_t x = input_base(p, n, o), w = o * p->weight->stride[0];
  for (int64_t c = 0; c < p->weight->extent[1]; c++) {
    for (int64_t t = 0; t < p->reads; t++) {
      const double a = f32_at(p->input, x + c * p->input->stride[1] + p->read_x[t]);
      const double b = f32_at(p->weight, w + c * p->weight->stride[1] + p->read_w[t]);
      if (isfinite(a * b)) s->B_finite += fabs(a * b);
      if (flushes && (subnormal(a) || subnormal(b))) {
        s->Z += fabs(a * b);
        s->or_nan = s->or_nan || isinf(a * b);
      }
    }
    for (int64_t t = 0; t < p->zeros; t++)
      if (!isfinite(f32_at(p->weight, w + c * p->weight->stride[1] + p->zero_w[t]))) s->or_nan = true;
  }
}

static sums sum_products(const problem *p, int64_t n, int64_t o) {
  const double bias = p->bias == NULL ? 0 : f32_at(p->bias, o * p->bias->stride[0]);
  const int64_t x = input_base(p, n, o), w = o * p->weight->stride[0];
  sums s = {.n = (double)(p->weight->extent[1] * p->reads), .y = bias, .B = fabs(bias)};
  for (int64_t c = 0; c < p->weight->extent[1]; c++)
    for (int64_t t = 0; t < p->reads; t++) {
      const double product = f32_at(p->input, x + c * p->input->stride[1] + p->read_x[t]) *
                             f32_at(p->weight, w + c * p->weight->stride[1] + p->read_w[t]);
      s.y += product;
      s.B += fabs(product);
    }
  const bool flushes = p->arithmetic & CBN_FLUSHES_SUBNORMALS;
  if (!isfinite(s.B) || !p->weight_finite || flushes) {
    s.B_finite = isfinite(bias) ? fabs(bias) : 0;
    s.Z = flushes && subnormal(bias) ? fabs(bias) : 0;
    unusual_sums(p, n, o, flushes, &s);
  }
  return s;
}

/* A finite sum's interval. */
static cbn_interval finite_interval(const problem *p, const sums *s) {
  cbn_interval r = {.value = s->y};
  const double nu = (s->n + 1) * U32, eta = p->arithmetic & CBN_FLUSHES_SUBNORMALS ? NORMAL32 : ETA32;
  if (s->B == 0 || (s->B <= 0x1p24 * p->grid && p->grid >= eta && s->B < OVERFLOW32 && s->Z == 0)) {
    r.flags = CBN_EXACT;
    return r;
  }
  if (nu >= 0.5) {
    r.flags = CBN_INCONCLUSIVE;
    return r;
  }
  const double B = s->B * (1 + 2 * gamma_of(s->n + 1, U64)); /* the computed B errs as y does */
  r.own = rounded_up(gamma_of(s->n, U64) * B);
  r.bound = rounded_up(gamma_of(s->n + 1, U32) * B + (2 * s->n + 1) * eta / (1 - s->n * U32) + s->Z + r.own);
  const double margin = 1 + 2 * nu; /* at least 1 + gamma(n+1) */
  const double this_side = (B + fabs(s->y)) / 2, other_side = (B - fabs(s->y)) / 2 + r.own;
  if (fabs(s->y) + r.bound >= OVERFLOW32 && other_side * margin < OVERFLOW32) r.flags |= CBN_OR_INFINITY;
  else if (this_side * margin + r.bound >= OVERFLOW32) r.flags |= CBN_INCONCLUSIVE;
  return r;
}

static cbn_interval element(const problem *p, int64_t n, int64_t o) {
  const sums s = sum_products(p, n, o);
  cbn_interval r;
  if (isfinite(s.B)) {
    r = finite_interval(p, &s);
  } else {
    /* An infinity or NaN entered; finite terms that overflow on their own could still turn an infinity into NaN. */
    r = (cbn_interval){.value = s.y, .flags = isinf(s.y) && s.B_finite >= OVERFLOW32 / 2 ? CBN_INCONCLUSIVE : 0};
  }
  if (s.or_nan) r.flags |= CBN_OR_NAN;
  return r;
}

bool cbn_reference_conv_at(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight,
                           const cbn_tensor *bias, uint32_t arithmetic, int64_t count,
                           const int64_t (*position)[CBN_MAX_SPATIAL], cbn_interval *columns) {
  problem p;
  if (!problem_open(&p, conv, input, weight, bias, arithmetic)) return false;
  for (int64_t i = 0; i < count; i++) {
    sort_taps(&p, position[i]);
    for (int64_t n = 0; n < conv->batch; n++)
      for (int64_t o = 0; o < conv->out_channels; o++) *columns++ = element(&p, n, o);
  }
  problem_close(&p);
  return true;
}

bool cbn_reference_conv(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight, const cbn_tensor *bias,
                        uint32_t arithmetic, const cbn_expected *output) {
  problem p;
  if (!problem_open(&p, conv, input, weight, bias, arithmetic)) return false;
  const int64_t *extent = output->extent + 2;
  const int64_t positions = output->count > 0 ? cbn_extent_product(conv->spatial_rank, extent) : 0;
  for (int a = 0; a < conv->spatial_rank; a++) assert(extent[a] == cbn_conv_output_extent(conv, a));
  for (int64_t i = 0; i < positions; i++) {
    int64_t position[CBN_MAX_SPATIAL];
    cbn_unravel(conv->spatial_rank, extent, i, position);
    sort_taps(&p, position);
    for (int64_t n = 0; n < conv->batch; n++)
      for (int64_t o = 0; o < conv->out_channels; o++)
        cbn_expected_put(output, (n * conv->out_channels + o) * positions + i, element(&p, n, o));
  }
  problem_close(&p);
  return true;
}
