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
#include <stdlib.h>
#include <string.h>

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

typedef struct problem {
  enum wanted wanted;
  int32_t type; /* of the result */
  int32_t rank;
  window window[CBN_MAX_SPATIAL];
  int64_t batch, groups;
  int64_t sources, results; /* channels of one group */
  factor a, b;
  const cbn_tensor *bias; /* what the sums begin with; NULL: 0 */
  arithmetic engine;
  wide grid;                   /* g above; 0 where there is none */
  wide factor_error;           /* f above */
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

/* Of the finite elements, which alone enter sums that can be exact: the largest power of two of which each is a
 * multiple (infinity for all zeros), and the largest magnitude. */
static wide grid_of(const double *value, int64_t count, wide *most) {
  wide grid = INFINITY;
  *most = 0;
  for (int64_t i = 0; i < count; i++) {
    const double x = value[i];
    if (!isfinite(x)) continue;
    *most = fmaxl(*most, fabsl((wide)x));
    if (x == 0 || fmodl(x, grid) == 0) continue;
    int exponent;
    const int64_t integer = (int64_t)ldexp(fabs(frexp(x, &exponent)), 53);
    grid = fminl(grid, ldexpl((wide)(integer & -integer), exponent - 53));
  }
  return grid;
}

/* The numbers of a tensor; 1 for NULL. */
static bool factor_open(factor *f, const cbn_tensor *tensor) {
  const int64_t count = tensor == NULL ? 1 : cbn_tensor_count(tensor);
  *f = (factor){.value = malloc((size_t)(count + 1) * sizeof *f->value), .grid = 1, .most = 1, .finite = true};
  if (f->value == NULL) return false;
  f->value[0] = 1;
  if (tensor == NULL) return true;
  cbn_tensor dense;
  cbn_tensor_describe(&dense, CBN_F64, tensor->rank, tensor->extent, CBN_CONTIGUOUS);
  memcpy(f->stride, dense.stride, sizeof f->stride);
  for (int64_t i = 0; i < count; i++) {
    f->value[i] = cbn_tensor_get(tensor, i);
    f->finite = f->finite && isfinite(f->value[i]);
  }
  f->grid = grid_of(f->value, count, &f->most);
  return true;
}

static void problem_close(problem *p) {
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) free(p->axis[a].a);
  free(p->a.value);
  free(p->b.value);
}

/* Memory for each axis' lists; one pair of offsets 0 on the axes that are not there. */
static bool allocate_pairs(problem *p) {
  for (int32_t a = 0; a < CBN_MAX_SPATIAL; a++) {
    const int32_t axis = a - (CBN_MAX_SPATIAL - p->rank);
    const int64_t most = axis >= 0 ? most_pairs(p, &p->window[axis]) : 1;
    int64_t *memory = calloc(3 * (size_t)most + 1, sizeof *memory);
    if (memory == NULL) return false;
    p->axis[a] = (pairs){.a = memory, .b = memory + most, .zero = memory + 2 * most, .related = 1};
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
    p->bias = conv->has_bias ? tensor[CBN_ROLE_BIAS] : NULL;
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

/* The grid of the sums, and whether reduced factors stay what they are. */
static void describe_factors(problem *p) {
  wide grid_bias = INFINITY, most;
  for (int64_t i = 0; p->bias != NULL && i < cbn_tensor_count(p->bias); i++) {
    const double b = cbn_tensor_get(p->bias, i);
    grid_bias = fminl(grid_bias, grid_of(&b, 1, &most));
  }
  p->grid = fminl(p->a.grid * p->b.grid, grid_bias);
  if (!(p->grid > 0)) p->grid = 0; /* a NaN from 0 * infinity too */
  const int bits = p->wanted == TOTAL ? 0 : p->engine.factor_bits;
  p->factor_error = bits > 0 ? ldexpl(1, 1 - bits) : 0;
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
                 .engine = engine_arithmetic(type, classes)};
  describe_windows(p, conv);
  if (choose_factors(p, conv, tensor) && allocate_pairs(p)) {
    describe_factors(p);
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
      for (int64_t j = 0; j < h->related; j++)
        for (int64_t k = 0; k < w->related; k++) {
          const int64_t a = r->a + c * r->a_step + d->a[i] + h->a[j] + w->a[k];
          const int64_t b = r->b + c * r->b_step + d->b[i] + h->b[j] + w->b[k];
          const wide product = (wide)p->a.value[a] * p->b.value[b];
          sum += product;
          magnitude += fabsl(product);
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
  const double bias = p->bias == NULL ? 0 : cbn_tensor_get(p->bias, second);
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
  return s->B <= ldexpl(p->grid, p->engine.precision) && p->grid >= p->engine.eta && s->B < p->engine.overflow &&
         s->Z == 0 && p->factors_fit && kept;
}

/* A finite sum's interval. */
static cbn_interval finite_interval(const problem *p, const sums *s) {
  const arithmetic *e = &p->engine;
  if (p->factors_overflow) return (cbn_interval){.value = (double)s->y, .flags = CBN_INCONCLUSIVE};
  if (is_exact(p, s)) {
    const double y = (double)s->y, value = cbn_type_round(p->type, y);
    return (cbn_interval){.value = value, .own = isfinite(value) ? fabs(value - y) : 0, .flags = CBN_EXACT};
  }
  const wide f = p->factor_error, nu = (s->n + 1) * e->u;
  if (nu >= 0.5L) return (cbn_interval){.value = (double)s->y, .flags = CBN_INCONCLUSIVE};
  const wide own = s->B <= ldexpl(p->grid, WIDE_BITS) ? 0 : gamma_of(s->n + 1, U_WIDE) * s->B;
  const wide cut = f * (2 + f) * (s->B + own - s->b), B = s->B + own + cut;
  const wide bound = gamma_of(s->n + 1, e->u) * B + cut + (2 * s->n + 1) * e->eta / (1 - s->n * e->u) + s->Z;
  cbn_interval r = stored(e, p->type, s->y, bound, own);
  const wide margin = 1 + 2 * nu; /* at least 1 + gamma(n+1) */
  const wide this_side = (B + fabsl(s->y)) / 2, other_side = (B - fabsl(s->y)) / 2 + own;
  if (other_side * margin >= e->overflow ||
      (!(r.flags & CBN_OR_INFINITY) && this_side * margin + (wide)r.bound >= e->overflow))
    r.flags = CBN_INCONCLUSIVE;
  return r;
}

static cbn_interval element(const problem *p, int64_t first, int64_t second) {
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
