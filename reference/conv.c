/* Convolution in all its directions as the definition reads, with a proven bound for every element.
 *
 * A convolution of x, the source, by w gives y, the result:
 *
 *   y[n,o,p] = b[o] + sum over c, t of w[o,c,t] * x~[n, g(o)*C + c, q],    q = p*stride + t*dilation - pad_begin.
 *
 * Along each axis that is a relation between a source index i, a tap t and a result index p: position q of the
 * extended source holds element i. The relation is written once (source_index); what is wanted decides which of the
 * three stays fixed, and over which pairs of the other two the products run:
 *
 *   RESULT   y[n,o,p]  = b[o] + sum over c and the pairs (i, t) related to p of   x[n,c,i] * w[o,c,t]
 *   SOURCE   dx[n,c,i] =        sum over o and the pairs (p, t) related to i of   g[n,o,p] * w[o,c,t]
 *   FILTER   dw[o,c,t] =        sum over n and the pairs (i, p) related to t of   x[n,c,i] * g[n,o,p]
 *   TOTAL    db[o]     =        sum over n and all p of                           g[n,o,p] * 1
 *
 * A transposed convolution is SOURCE of the convolution whose source is its output, plus a bias; its gradient with
 * respect to the input is RESULT, to the weight FILTER with the parts of x and g exchanged.
 *
 * Sums run in long double (`wide`): exact products for all types but f64.
 *
 * THE BOUND. Let n products enter an element, B = |b| + sum |x_i w_i|. An evaluation in the working type, in any
 * order, as any tree, with or without fused multiply-add, takes each product through at most one rounding of its own
 * and n additions, the bias through at most n additions, and every rounding is a factor 1 + d with |d| <= u as long
 * as nothing underflows. So the result is b (1+t_0) + sum x_i w_i (1+t_i) with |t_i| <= gamma(n+1) [Higham, lemma
 * 3.1], and its error at most gamma(n+1) B. Sums cannot lose to underflow (a sum of two floats below the smallest
 * normal is exact); a product, or a fused multiply-add, loses at most eta/2 in addition, and later roundings enlarge
 * that by at most 1 + gamma(n) = 1/(1 - n u); n of them stay below (2n+1) eta / (1 - n u). An accumulator wider than
 * the working type errs less and rounds once at the end: a factor that gamma(n+1) contains, or eta/2, for which 2n+1
 * has room. An engine that flushes subnormals loses in addition whole terms with a subnormal factor, Z = their sum of
 * |x_i w_i|, and up to the smallest normal where eta stood. The rounding to a narrower storage type is added last
 * (stored()).
 *
 * REDUCED PRODUCTS. Where an engine declares that it rounds or cuts factors to k bits first, each factor of a product
 * is a factor 1 + d, |d| <= f = 2^(1-k), and a subnormal one may vanish (it enters Z): the exact sum of the products
 * that are added is off by at most (2f + f^2) (B - |b|), by which B is larger, too. Where
 * a factor may be rounded to infinity nothing can be said.
 *
 * EXACTNESS. If every x is a multiple of a power of two g_x, every w of g_w, every b of g_b, then each partial sum is
 * a multiple of g = min(g_x g_w, g_b) and at most B in magnitude. If B <= 2^p g, with p the bits of a partial sum, g
 * >= eta (the smallest normal where subnormals are flushed) and B is below overflow, all of them are representable:
 * no evaluation rounds before the result is stored, and the bound is 0 about the sum rounded to its type. Factors
 * that are reduced to k bits stay what they are if they are at most 2^k times their grid.
 *
 * THE REFERENCE'S OWN ERROR is that of n products and additions in wide arithmetic, gamma_wide(n+1) B, or none where
 * B <= 2^64 g, and that of the double that holds the value.
 *
 * OVERFLOW. Partial sums lie between -N(1+gamma) and P(1+gamma), where P and N are the sums of the positive and of
 * the negative terms. If neither end reaches overflow nothing can happen; if only the end on y's side does, and |y|
 * + bound reaches it too, the only other result is the infinity of y's sign; else nothing can be said.
 */
#include <string.h>

#include "core/scratch.h"
#include "reference/arithmetic.h"

enum { OUTSIDE = -1 };

enum wanted { RESULT, SOURCE, FILTER, TOTAL };

/* One spatial axis of the underlying, not transposed, convolution. */
typedef struct window {
  int64_t source, result, kernel; /* extents */
  int64_t stride, dilation, hole, pad;
  int mode;
} window;

/* One axis' pairs for one wanted index, as offsets in the two factors, and what of the second factor meets a zero. */
typedef struct pairs {
  int64_t *a, *b, *zero;
  int64_t related, zeros;
} pairs;

/* A factor's numbers, dense and row-major, which f64 holds exactly whatever the type. */
typedef struct factor {
  double *value;
  int64_t stride[CBN_MAX_RANK]; /* 0: the one number stands for all */
  wide grid, most;              /* see grid_of */
  bool finite;
} factor;

/* What the bounds of a sum of n products have in common. */
typedef struct rounding {
  wide n;           /* -1 before the first sum */
  wide nu;          /* (n+1) u */
  wide engine, own; /* gamma(n+1) of the engine and of this reference */
  wide underflow;   /* (2n+1) eta / (1 - n u) */
} rounding;

typedef struct problem {
  enum wanted wanted;
  int32_t type; /* of the result */
  int32_t rank;
  window window[CBN_MAX_SPATIAL];
  int64_t batch, groups;
  int64_t sources, results; /* channels of one group */
  factor a, b;
  double *bias; /* what the sums begin with; NULL: 0 */
  arithmetic engine;
  rounding rounding;           /* of the sum before */
  wide grid;                   /* g above; 0 where there is none */
  wide exact, exact_wide;      /* 2^p g: sums up to there are exact in the engine, in this reference */
  wide factor_error, cut;      /* f and 2f + f^2 above */
  bool factors_fit;            /* reduced to factor_bits, they stay what they are */
  bool factors_overflow;       /* reduced, one of them may become infinite */
  pairs axis[CBN_MAX_SPATIAL]; /* D, H, W; those that the problem does not have hold one pair of offsets 0 */
} problem;

/* The source index that stands at position q of the extended source along an axis, OUTSIDE for a zero. */
static int64_t source_index(const window *w, int64_t q) {
  switch (w->mode) {
  case CBN_PAD_REFLECT:
    if (q < 0) q = -q;
    return q < w->source ? q : 2 * (w->source - 1) - q;
  case CBN_PAD_REPLICATE:
    if (q < 0) return 0;
    return q < w->source ? q : w->source - 1;
  case CBN_PAD_CIRCULAR: return (q + w->source) % w->source;
  default: return q >= 0 && q % w->hole == 0 && q / w->hole < w->source ? q / w->hole : OUTSIDE;
  }
}

/* The position that result p reads through tap t. */
static int64_t position_read(const window *w, int64_t p, int64_t t) { return p * w->stride + t * w->dilation - w->pad; }

/* The result that reads position q through tap t, OUTSIDE if none does. */
static int64_t result_index(const window *w, int64_t q, int64_t t) {
  const int64_t distance = q + w->pad - t * w->dilation;
  return distance >= 0 && distance % w->stride == 0 && distance / w->stride < w->result ? distance / w->stride
                                                                                        : OUTSIDE;
}

/* Of spatial axis `axis`, which are the last ones of D, H, W. */
static pairs *pairs_of(problem *p, int32_t axis) { return &p->axis[CBN_MAX_SPATIAL - p->rank + axis]; }

/* Indices a and b of the two factors along an axis; a is OUTSIDE where b meets a zero. */
static void put_pair(problem *p, int32_t axis, int64_t a, int64_t b) {
  pairs *list = pairs_of(p, axis);
  const int64_t b_offset = b * p->b.stride[2 + axis];
  if (a == OUTSIDE) {
    list->zero[list->zeros++] = b_offset;
  } else {
    list->a[list->related] = a * p->a.stride[2 + axis];
    list->b[list->related++] = b_offset;
  }
}

/* The pairs related to index k of what is wanted. */
static void relate(problem *p, int32_t axis, int64_t k) {
  const window *w = &p->window[axis];
  pairs_of(p, axis)->related = pairs_of(p, axis)->zeros = 0;
  switch (p->wanted) {
  case RESULT:
    for (int64_t t = 0; t < w->kernel; t++) put_pair(p, axis, source_index(w, position_read(w, k, t)), t);
    break;
  case FILTER:
    for (int64_t o = 0; o < w->result; o++) put_pair(p, axis, source_index(w, position_read(w, o, k)), o);
    break;
  case SOURCE:
    if (w->mode == CBN_PAD_ZEROS) { /* element k stands at one position */
      for (int64_t t = 0; t < w->kernel; t++) put_pair(p, axis, result_index(w, k * w->hole, t), t);
      break;
    }
    for (int64_t t = 0; t < w->kernel; t++) { /* at one or more, to be searched for; what else t meets may be zeros */
      put_pair(p, axis, OUTSIDE, t);
      for (int64_t o = 0; o < w->result; o++)
        if (source_index(w, position_read(w, o, t)) == k) put_pair(p, axis, o, t);
    }
    break;
  case TOTAL:
    for (int64_t o = 0; o < w->result; o++) put_pair(p, axis, o, 0);
    break;
  }
}

/* The longest list of an axis. */
static int64_t most_pairs(const problem *p, const window *w) {
  if (p->wanted == FILTER || p->wanted == TOTAL) return w->result;
  return p->wanted == SOURCE && w->mode != CBN_PAD_ZEROS ? w->result * w->kernel + w->kernel : w->kernel;
}

/* --------------------------------------------------------------------------------------------------- opening */

/* The exponent of the lowest bit that is set in a finite double other than 0. */
static int lowest_bit(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  const int field = (int)(bits >> 52 & 0x7ff);
  uint64_t significand = bits & ((UINT64_C(1) << 52) - 1); /* times 2^-1074, or 2^(field-1075) with its hidden bit */
  if (field > 0) significand |= UINT64_C(1) << 52;
  return __builtin_ctzll(significand) + (field > 0 ? field - 1075 : -1074);
}

/* Of the finite elements, which alone enter sums that can be exact: the largest power of two of which each is a
 * multiple (infinity for all zeros), and the largest magnitude. */
static wide grid_of(const double *value, int64_t count, wide *most) {
  const int none = DBL_MAX_EXP;
  int lowest = none;
  double largest = 0;
  for (int64_t i = 0; i < count; i++) {
    const double x = fabs(value[i]);
    if (!isfinite(x) || x == 0) continue;
    if (x > largest) largest = x;
    const int bit = lowest_bit(x);
    if (bit < lowest) lowest = bit;
  }
  *most = largest;
  return lowest == none ? INFINITY : ldexpl(1, lowest);
}

/* All numbers of a tensor, to be given back; NULL without memory. */
static double *numbers_of(const cbn_tensor *tensor) {
  const int64_t count = cbn_tensor_count(tensor);
  double *const value = cbn_scratch_take((size_t)count * sizeof *value);
  if (value != NULL) cbn_tensor_read(tensor, 0, count, value);
  return value;
}

/* The numbers of a tensor; 1 for NULL. */
static bool factor_open(factor *f, const cbn_tensor *tensor) {
  *f = (factor){.grid = 1, .most = 1, .finite = true};
  if (tensor == NULL) {
    f->value = cbn_scratch_take(sizeof *f->value);
    if (f->value != NULL) f->value[0] = 1;
    return f->value != NULL;
  }
  f->value = numbers_of(tensor);
  if (f->value == NULL) return false;
  cbn_tensor dense;
  cbn_tensor_describe(&dense, CBN_F64, tensor->rank, tensor->extent, CBN_CONTIGUOUS);
  memcpy(f->stride, dense.stride, sizeof f->stride);
  const int64_t count = cbn_tensor_count(tensor);
  for (int64_t i = 0; i < count; i++) f->finite = f->finite && isfinite(f->value[i]);
  f->grid = grid_of(f->value, count, &f->most);
  return true;
}

/* Memory goes back in the order opposite to problem_open's. */
static void problem_close(problem *p) {
  for (int a = CBN_MAX_SPATIAL - 1; a >= 0; a--) cbn_scratch_give(p->axis[a].a);
  cbn_scratch_give(p->bias);
  cbn_scratch_give(p->b.value);
  cbn_scratch_give(p->a.value);
}

/* Memory for each axis' lists; one pair of offsets 0 on the axes that are not there. */
static bool allocate_pairs(problem *p) {
  for (int32_t a = 0; a < CBN_MAX_SPATIAL; a++) {
    const int32_t axis = a - (CBN_MAX_SPATIAL - p->rank);
    const int64_t most = axis >= 0 ? most_pairs(p, &p->window[axis]) : 1;
    int64_t *memory = cbn_scratch_take(3 * (size_t)most * sizeof *memory);
    if (memory == NULL) return false;
    p->axis[a] = (pairs){.a = memory, .b = memory + most, .zero = memory + 2 * most, .related = 1};
    if (axis < 0) memory[0] = memory[1] = 0;
  }
  return true;
}

static void describe_windows(problem *p, const cbn_conv *conv) {
  for (int a = 0; a < conv->spatial_rank; a++) {
    const int64_t output = cbn_conv_output_extent(conv, a);
    p->window[a] = (window){.source = conv->transposed ? output : conv->input[a],
                            .result = conv->transposed ? conv->input[a] : output,
                            .kernel = conv->kernel[a],
                            .stride = conv->stride[a],
                            .dilation = conv->dilation[a],
                            .hole = conv->input_dilation[a],
                            .pad = conv->pad_begin[a],
                            .mode = conv->padding_mode};
  }
}

/* What is wanted, and the two factors, as the directions say. */
static bool choose_factors(problem *p, const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT]) {
  const cbn_tensor *x = tensor[CBN_ROLE_INPUT], *w = tensor[CBN_ROLE_WEIGHT], *g = tensor[CBN_ROLE_GRAD_OUTPUT];
  switch (conv->direction) {
  case CBN_FORWARD:
    p->wanted = conv->transposed ? SOURCE : RESULT;
    return factor_open(&p->a, x) && factor_open(&p->b, w);
  case CBN_GRAD_INPUT:
    p->wanted = conv->transposed ? RESULT : SOURCE;
    return factor_open(&p->a, g) && factor_open(&p->b, w);
  case CBN_GRAD_WEIGHT:
    p->wanted = FILTER;
    return factor_open(&p->a, conv->transposed ? g : x) && factor_open(&p->b, conv->transposed ? x : g);
  default:
    p->wanted = TOTAL;
    for (int a = 0; a < p->rank; a++) p->window[a].result = cbn_conv_output_extent(conv, a); /* whichever side it is */
    return factor_open(&p->a, g) && factor_open(&p->b, NULL);
  }
}

/* The bias, where the problem has one. */
static bool bias_open(problem *p, const cbn_conv *conv, const cbn_tensor *bias) {
  if (conv->direction != CBN_FORWARD || !conv->has_bias) return true;
  p->bias = numbers_of(bias);
  return p->bias != NULL;
}

/* The grid of the sums, and whether reduced factors stay what they are. */
static void describe_factors(problem *p, int64_t biases) {
  wide most;
  const wide grid_bias = p->bias == NULL ? INFINITY : grid_of(p->bias, biases, &most);
  p->grid = fminl(p->a.grid * p->b.grid, grid_bias);
  if (!(p->grid > 0)) p->grid = 0; /* a NaN from 0 * infinity too */
  p->exact = ldexpl(p->grid, p->engine.precision);
  p->exact_wide = ldexpl(p->grid, WIDE_BITS);
  const int bits = p->wanted == TOTAL ? 0 : p->engine.factor_bits;
  p->factor_error = bits > 0 ? ldexpl(1, 1 - bits) : 0;
  p->cut = p->factor_error * (2 + p->factor_error);
  p->factors_overflow = bits > 0 && fmaxl(p->a.most, p->b.most) * (1 + p->factor_error) >= p->engine.overflow;
  p->factors_fit = bits == 0 || (p->a.most <= ldexpl(p->a.grid, bits) && p->b.most <= ldexpl(p->b.grid, bits));
}

static bool problem_open(problem *p, const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                         uint32_t classes, int32_t type) {
  const int64_t in = conv->in_channels / conv->groups, out = conv->out_channels / conv->groups;
  *p = (problem){.type = type,
                 .rank = conv->spatial_rank,
                 .batch = conv->batch,
                 .groups = conv->groups,
                 .sources = conv->transposed ? out : in,
                 .results = conv->transposed ? in : out,
                 .engine = engine_arithmetic(type, classes),
                 .rounding = {.n = -1}};
  describe_windows(p, conv);
  if (choose_factors(p, conv, tensor) && bias_open(p, conv, tensor[CBN_ROLE_BIAS]) && allocate_pairs(p)) {
    describe_factors(p, conv->out_channels);
    return true;
  }
  problem_close(p);
  return false;
}

/* ------------------------------------------------------------------------------------------------------ sums */

/* Where the products of one element lie: `count` channels, or batch entries, from offsets `a` and `b` on. */
typedef struct run {
  int64_t a, b, a_step, b_step, count;
} run;

/* Of the element at the first two indices of what is wanted: (n, o), (n, c), (o, c) and (-, o). */
static run products_of(const problem *p, int64_t first, int64_t second) {
  const int64_t *as = p->a.stride, *bs = p->b.stride;
  switch (p->wanted) {
  case RESULT: {
    const int64_t group = second / p->results;
    return (run){first * as[0] + group * p->sources * as[1], second * bs[0], as[1], bs[1], p->sources};
  }
  case SOURCE: {
    const int64_t group = second / p->sources, o = group * p->results;
    return (run){first * as[0] + o * as[1], o * bs[0] + second % p->sources * bs[1], as[1], bs[0], p->results};
  }
  case FILTER: {
    const int64_t c = first / p->results * p->sources + second;
    return (run){c * as[1], first * bs[1], as[0], bs[0], p->batch};
  }
  default: return (run){second * as[1], 0, as[0], 0, p->batch};
  }
}

/* The sums over the products of one element. */
typedef struct sums {
  wide n;        /* products */
  wide y, B, b;  /* sum of the terms and of their magnitudes, the bias included; the bias' magnitude */
  wide B_finite; /* B over the finite terms */
  wide Z;        /* sum of |x w| over terms with a subnormal factor, where the engine may drop them */
  bool or_nan;   /* a zero, or what an engine may take for one, meets what is not finite */
} sums;

static void add_products(const problem *p, const run *r, sums *s) {
  const pairs *d = &p->axis[0], *h = &p->axis[1], *w = &p->axis[2];
  wide sum = s->y, magnitude = s->B;
  for (int64_t c = 0; c < r->count; c++)
    for (int64_t i = 0; i < d->related; i++)
      for (int64_t j = 0; j < h->related; j++) {
        const double *a = p->a.value + r->a + c * r->a_step + d->a[i] + h->a[j];
        const double *b = p->b.value + r->b + c * r->b_step + d->b[i] + h->b[j];
        for (int64_t k = 0; k < w->related; k++) {
          const wide product = (wide)a[w->a[k]] * b[w->b[k]];
          sum += product;
          magnitude += fabsl(product);
        }
      }
  s->y = sum;
  s->B = magnitude;
}

/* Of the i-th offset of an axis in the second factor, related ones first, those that meet zeros behind. */
static int64_t second_offset(const pairs *list, int64_t i) {
  return i < list->related ? list->b[i] : list->zero[i - list->related];
}

/* Does an element of the second factor that meets a zero fail to be finite? */
static bool zeros_meet_infinity(const problem *p, const run *r) {
  const pairs *d = &p->axis[0], *h = &p->axis[1], *w = &p->axis[2];
  if (p->b.finite) return false;
  for (int64_t c = 0; c < r->count; c++)
    for (int64_t i = 0; i < d->related + d->zeros; i++)
      for (int64_t j = 0; j < h->related + h->zeros; j++)
        for (int64_t k = 0; k < w->related + w->zeros; k++) {
          const bool meets_zero = i >= d->related || j >= h->related || k >= w->related;
          const int64_t b = r->b + c * r->b_step + second_offset(d, i) + second_offset(h, j) + second_offset(w, k);
          if (meets_zero && !isfinite(p->b.value[b])) return true;
        }
  return false;
}

/* A gradient of the weight may be had as a convolution by g with zeros between its elements: any x of the channel may
 * meet one. */
static bool gaps_meet_infinity(const problem *p, const run *r) {
  int64_t plane = 1;
  bool gaps = false;
  for (int32_t a = 0; a < p->rank; a++) {
    plane *= p->window[a].source;
    gaps = gaps || p->window[a].stride > 1;
  }
  for (int64_t n = 0; p->wanted == FILTER && gaps && !p->a.finite && n < r->count; n++)
    for (int64_t i = 0; i < plane; i++)
      if (!isfinite(p->a.value[r->a + n * r->a_step + i])) return true;
  return false;
}

/* May an engine take the value for zero, because it is subnormal? */
static bool may_vanish(const problem *p, double x) {
  return (p->engine.flushes || p->factor_error > 0) && x != 0 && fabsl((wide)x) < p->engine.normal;
}

/* What only unusual elements need: B over finite terms, and terms that may vanish. */
static void unusual_products(const problem *p, const run *r, sums *s) {
  const pairs *d = &p->axis[0], *h = &p->axis[1], *w = &p->axis[2];
  for (int64_t c = 0; c < r->count; c++)
    for (int64_t i = 0; i < d->related; i++)
      for (int64_t j = 0; j < h->related; j++)
        for (int64_t k = 0; k < w->related; k++) {
          const double x = p->a.value[r->a + c * r->a_step + d->a[i] + h->a[j] + w->a[k]];
          const double y = p->b.value[r->b + c * r->b_step + d->b[i] + h->b[j] + w->b[k]];
          const wide product = fabsl((wide)x * y);
          if (isfinite(product)) s->B_finite += product;
          if (!may_vanish(p, x) && !may_vanish(p, y)) continue;
          if (isfinite(product)) s->Z += product;
          else s->or_nan = true;
        }
}

static sums sum_products(const problem *p, int64_t first, int64_t second) {
  const pairs *d = &p->axis[0], *h = &p->axis[1], *w = &p->axis[2];
  const run r = products_of(p, first, second);
  const double bias = p->bias == NULL ? 0 : p->bias[second];
  sums s = {.n = (wide)r.count * (wide)d->related * (wide)h->related * (wide)w->related,
            .y = bias,
            .B = fabs(bias),
            .b = fabs(bias)};
  add_products(p, &r, &s);
  if (!isfinite(s.B) || p->engine.flushes || p->factor_error > 0) {
    s.B_finite = isfinite(bias) ? fabs(bias) : 0;
    s.Z = p->engine.flushes && may_vanish(p, bias) ? fabs(bias) : 0;
    unusual_products(p, &r, &s);
  }
  if (zeros_meet_infinity(p, &r) || gaps_meet_infinity(p, &r)) s.or_nan = true;
  return s;
}

/* --------------------------------------------------------------------------------------------------- intervals */

static bool is_exact(const problem *p, const sums *s) {
  if (s->B == 0) return true;
  const bool kept = !p->engine.flushes || fabsl(s->y) >= p->engine.normal || s->y == 0;
  return s->B <= p->exact && p->grid >= p->engine.eta && s->B < p->engine.overflow && s->Z == 0 && p->factors_fit &&
         kept;
}

static rounding rounding_of(const arithmetic *e, wide n) {
  return (rounding){.n = n,
                    .nu = (n + 1) * e->u,
                    .engine = gamma_of(n + 1, e->u),
                    .own = gamma_of(n + 1, U_WIDE),
                    .underflow = (2 * n + 1) * e->eta / (1 - n * e->u)};
}

/* A finite sum's interval. */
static cbn_interval finite_interval(problem *p, const sums *s) {
  const arithmetic *e = &p->engine;
  if (p->factors_overflow) return (cbn_interval){.value = (double)s->y, .flags = CBN_INCONCLUSIVE};
  if (is_exact(p, s)) {
    const double y = (double)s->y, value = cbn_type_round(p->type, y);
    return (cbn_interval){.value = value, .own = isfinite(value) ? fabs(value - y) : 0, .flags = CBN_EXACT};
  }
  if (s->n != p->rounding.n) p->rounding = rounding_of(e, s->n); /* neighbours have as many products, mostly */
  const wide nu = p->rounding.nu;
  if (nu >= 0.5L) return (cbn_interval){.value = (double)s->y, .flags = CBN_INCONCLUSIVE};
  const wide own = s->B <= p->exact_wide ? 0 : p->rounding.own * s->B;
  const wide cut = p->cut * (s->B + own - s->b), B = s->B + own + cut;
  const wide bound = p->rounding.engine * B + cut + p->rounding.underflow + s->Z;
  cbn_interval r = stored(e, p->type, s->y, bound, own);
  const wide margin = 1 + 2 * nu; /* at least 1 + gamma(n+1) */
  const wide this_side = (B + fabsl(s->y)) / 2, other_side = (B - fabsl(s->y)) / 2 + own;
  if (other_side * margin >= e->overflow ||
      (!(r.flags & CBN_OR_INFINITY) && this_side * margin + (wide)r.bound >= e->overflow))
    r.flags = CBN_INCONCLUSIVE;
  return r;
}

static cbn_interval element(problem *p, int64_t first, int64_t second) {
  const sums s = sum_products(p, first, second);
  cbn_interval r;
  if (isfinite(s.B)) {
    r = finite_interval(p, &s);
  } else {
    /* An infinity or NaN entered; finite terms that overflow on their own could still turn an infinity into NaN. */
    const bool overflows = isinf(s.y) && (s.B_finite >= p->engine.overflow / 2 || p->factors_overflow);
    r = (cbn_interval){.value = (double)s.y, .flags = overflows ? CBN_INCONCLUSIVE : 0};
  }
  if (s.or_nan) r.flags |= CBN_OR_NAN;
  return r;
}

/* ----------------------------------------------------------------------------------------------------- results */

static const int result_role[] = {[CBN_FORWARD] = CBN_ROLE_OUTPUT,
                                  [CBN_GRAD_INPUT] = CBN_ROLE_GRAD_INPUT,
                                  [CBN_GRAD_WEIGHT] = CBN_ROLE_GRAD_WEIGHT,
                                  [CBN_GRAD_BIAS] = CBN_ROLE_GRAD_BIAS};

bool cbn_reference_conv_at(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t classes,
                           int32_t type, int64_t count, const int64_t (*position)[CBN_MAX_SPATIAL],
                           cbn_interval *columns) {
  assert(conv->direction != CBN_GRAD_BIAS);
  problem p;
  int64_t extent[CBN_MAX_RANK];
  if (!problem_open(&p, conv, tensor, classes, type)) return false;
  cbn_conv_extents(conv, result_role[conv->direction], extent);
  for (int64_t i = 0; i < count; i++) {
    for (int32_t a = 0; a < p.rank; a++) relate(&p, a, position[i][a]);
    for (int64_t first = 0; first < extent[0]; first++)
      for (int64_t second = 0; second < extent[1]; second++) *columns++ = element(&p, first, second);
  }
  problem_close(&p);
  return true;
}

/* The bias' gradient: one sum for each output channel. */
static void fill_totals(problem *p, const cbn_expected *result) {
  for (int32_t a = 0; a < p->rank; a++) relate(p, a, 0);
  for (int64_t o = 0; o < result->count; o++) cbn_expected_put(result, o, element(p, 0, o));
}

static void fill(problem *p, const cbn_expected *result) {
  const int64_t *extent = result->extent, positions = cbn_extent_product(p->rank, extent + 2);
  int64_t at[CBN_MAX_SPATIAL], before[CBN_MAX_SPATIAL] = {-1, -1, -1};
  for (int64_t i = 0; i < positions; i++) {
    cbn_unravel(p->rank, extent + 2, i, at);
    for (int32_t a = 0; a < p->rank; a++) {
      if (at[a] != before[a]) relate(p, a, at[a]);
      before[a] = at[a];
    }
    for (int64_t first = 0; first < extent[0]; first++)
      for (int64_t second = 0; second < extent[1]; second++)
        cbn_expected_put(result, (first * extent[1] + second) * positions + i, element(p, first, second));
  }
}

bool cbn_reference_conv(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t classes,
                        const cbn_expected *result) {
  problem p;
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_conv_extents(conv, result_role[conv->direction], extent);
  assert(rank == result->rank && memcmp(extent, result->extent, (size_t)rank * sizeof *extent) == 0);
  if (!problem_open(&p, conv, tensor, classes, result->type)) return false;
  if (result->count > 0 && p.wanted == TOTAL) fill_totals(&p, result);
  else if (result->count > 0) fill(&p, result);
  problem_close(&p);
  return true;
}
