/* The statistical test. What follows is the derivation in short; docs/statistical-test.md has it at length, with
 * figures.
 *
 * MODEL. Every rounding is a factor 1 + d, |d| <= u, and the d of a tensor, in the order in which they are made, have
 * mean zero given those before (Connolly, Higham and Mary, SIAM J. Sci. Comput. 43, 2021). An element's error is then a
 * sum of martingale differences. One that lies within +-c given its past is sub-Gaussian of deviation c (Hoeffding's
 * lemma), and deviations of successive ones add in squares (Azuma). Nothing else is assumed of the distribution of a
 * rounding: its usual deviation is 0.4 of that, which is room for a model that holds less than exactly.
 *
 * CONVOLUTION. Addition passes errors on unchanged, so the error is the sum of d s over all roundings, s what was
 * rounded. Of n products with sum of magnitudes B, whatever the order, a partial sum lies between the sum of the
 * negative and that of the positive terms, so |s| <= (B + |y|)/2; n additions and products of which the squares add to
 * at most B^2 make
 *
 *   deviation^2 <= n (u (B + |y|)/2)^2 + (u B)^2,     u B <= (bound - storage) / (n+1).
 *
 * All elements of an output channel add the same bias. Where it has finer bits than what it is added to, these are lost
 * in the same way everywhere: the rounding of that addition, at most u (B + |y|)/2, is one draw of the channel's.
 *
 * BATCH NORMALIZATION. All elements of a channel share the errors of its statistics and of what is computed from them.
 * Two consequences. (1) Given those, a result is affine in x (backward: in x and g) with the same coefficients all over
 * the channel; removing the best fit of 1, x (and g) leaves the elements' own roundings, at most 8, each of at most
 * M = |g| r (|x| + |mean|) + |b| (backward: the sum of the terms' magnitudes): deviation sqrt(8) u M. (2) A lean must
 * be looked for among channels, each of which counts as one draw. Roundings that together contribute at most D, each at
 * most D/k, have squares that add to at most D^2/k: for the statistics of L values D is the bound and k = L+1, what is
 * computed from them is at most 8 roundings of M again. Where only the whole bound is known, k = 8, or L+1 for L < 7.
 *
 * Rounding to a narrower type is a draw of each element's own, of deviation u_out |y|.
 *
 * TESTS. With z an element's error over its deviation, N elements and a = CBN_SUSPICION_FALSE_ALARM:
 *   sum of z, and sum of sign(y) z:  beyond sqrt(2 ln(6/a) N) with probability below a/3 each (Azuma);
 *   sum of z^2:                      beyond N + 2 sqrt(N t) + 2 t, t = ln(3/a), with probability below a/3 (Hsu,
 *                                    Kakade and Zhang, Electron. Commun. Probab. 17, 2012).
 * The reference's own error is added to the thresholds.
 *
 * DRAWS THAT ARE NOT MANY. Equal data round equally: a thousand elements may be one draw. Therefore a finding must also
 * stand when everything that could be one draw counts as one: elements are put together in several ways (see `ways`), S
 * is the sum over such a cluster, and |sum S| must reach sqrt(2 ln(6/a)) sqrt(sum S^2), which for draws with symmetric
 * distributions has probability below a/3 by itself, and which takes at least 2 ln(6/a) > 45 clusters (Cauchy and
 * Schwarz). And no test is made on data that are smooth, constant in part or have few distinct values, and on sums of
 * which an addend is commonly lost whole (n u > 1/32): there roundings repeat within an element, or go the same way. */
#include "harness/suspicion.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference/arithmetic.h"

/* The type that an engine works in. */
static int32_t working_type(int32_t type, uint32_t arithmetic) {
  const bool half = type == CBN_F16 || type == CBN_BF16;
  return half && !(arithmetic & CBN_NARROW_SUMS) ? CBN_F32 : type;
}

/* ------------------------------------------------------------------------------------------ what is to be looked at */

/* A tensor's errors and their scales. */
typedef struct errors {
  const cbn_expected *expected;
  const cbn_tensor *actual;
  double *single;          /* deviation of an element's own errors; 0: the element is not looked at */
  double *shared;          /* ... of those that its channel has in common; NULL: there are none */
  int64_t channels, inner; /* element i belongs to channel (i / inner) % channels */
  double work_unit, unit;  /* unit roundoff of the arithmetic and of the stored type */
} errors;

static double error_of(const errors *e, int64_t i) { return cbn_tensor_get(e->actual, i) - e->expected->value[i]; }

static int64_t channel_of(const errors *e, int64_t i) { return i / e->inner % e->channels; }

static bool errors_open(errors *e, const cbn_expected *expected, const cbn_tensor *actual, int32_t work, bool shared) {
  *e = (errors){.expected = expected, .actual = actual, .channels = 1, .inner = 1};
  e->work_unit = (double)formats[work].u;
  e->unit = (double)formats[expected->type].u;
  if (expected->rank == 1) e->channels = expected->extent[0];
  if (expected->rank > 1) {
    e->channels = expected->extent[1];
    e->inner = cbn_extent_product(expected->rank - 2, expected->extent + 2);
  }
  const size_t elements = (size_t)expected->count + 1;
  e->single = calloc(elements, sizeof(double));
  e->shared = shared ? calloc(elements, sizeof(double)) : NULL;
  return e->single != NULL && (e->shared != NULL || !shared);
}

static void errors_close(errors *e) {
  free(e->single);
  free(e->shared);
}

/* What rounding to the stored type adds to an element's bound, at most; 0 where it is the arithmetic's own last
 * rounding. */
static double storage(const errors *e, double value) { return e->unit > e->work_unit ? e->unit * fabs(value) : 0; }

/* The bound without the rounding to the stored type, from stored() in reference/arithmetic.h; below 0 where that is
 * tighter than u |y|: then the element is not looked at. */
static double bound_of_sums(const errors *e, int64_t i) {
  return e->expected->bound[i] - storage(e, e->expected->value[i]);
}

/* Is there an error to look at? Not where nothing rounds, nothing can be said, underflow matters, or the judge has a
 * verdict anyway. */
static bool worth_a_look(const errors *e, int64_t i) {
  const cbn_interval interval = cbn_expected_at(e->expected, i);
  const double actual = cbn_tensor_get(e->actual, i);
  return interval.flags == 0 && isfinite(interval.value) && isfinite(actual) && isfinite(interval.bound) &&
         interval.bound > 0 && fabs(actual - interval.value) <= interval.bound &&
         fabs(interval.value) >= 2 * (double)formats[e->expected->type].normal;
}

/* Enters the deviations of one element, unless the reference is not exact enough to see errors of that size. */
static void enter(errors *e, int64_t i, double single, double shared) {
  const double value = e->expected->value[i];
  single = hypot(single, storage(e, value));
  if (e->expected->own[i] > hypot(single, shared) / 8) return;
  e->single[i] = single;
  if (e->shared != NULL) e->shared[i] = shared;
}

/* ------------------------------------------------------------------------------------------------------ clusters */

/* Ways to say which elements may be one draw. */
enum way {
  NEIGHBOURS, /* 256 runs of the row-major order: errors that drift */
  EQUAL,      /* the same significand: the same sum, or a power of two times it */
  CLOSE,      /* the same channel, and values within some deviations: the same roundings on the way */
  BETWEEN,    /* the same place between two numbers of the stored type, to three digits: a lattice */
  CHANNEL,    /* a channel's common errors */
  WAYS
};

enum test { MEAN, SIGNED, SQUARES, TESTS };

enum { CLUSTERS = 512, RUNS = 256 };

/* Sums over clusters, which are found by hashing: that two clusters fall together makes the test more silent. */
typedef struct clusters {
  double sum[TESTS][WAYS][CLUSTERS];
} clusters;

static uint64_t mixed(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

/* Of the significand, to 40 bits. */
static uint64_t equal_hash(double value) {
  int power;
  return mixed((uint64_t)llrint(ldexp(frexp(fabs(value), &power), 40)));
}

/* Of the value in units of the last place of a type with that unit roundoff, without its integral part. A double that
 * holds an f64 result does not say where between two of these the result is. */
static uint64_t between_hash(double value, double unit) {
  int power;
  if (unit < 0x1p-40) return equal_hash(value);
  return mixed((uint64_t)(0x1p10 * fmod(frexp(fabs(value), &power) / unit, 1)));
}

static uint64_t close_hash(double value, double deviation, int64_t channel) {
  int power;
  frexp(deviation, &power);
  const double steps = fmod(floor(ldexp(value, -power - 2)), 0x1p53);
  return mixed((uint64_t)(int64_t)steps ^ mixed((uint64_t)channel + mixed((uint64_t)(power + 5000))));
}

static void find_clusters(const errors *e, int64_t i, size_t cluster[WAYS]) {
  const double value = e->expected->value[i];
  cluster[NEIGHBOURS] = (size_t)((double)i / (double)e->expected->count * RUNS);
  cluster[EQUAL] = equal_hash(value) % CLUSTERS;
  cluster[CLOSE] = close_hash(value, e->single[i], channel_of(e, i)) % CLUSTERS;
  cluster[BETWEEN] = between_hash(value, e->unit) % CLUSTERS;
  cluster[CHANNEL] = mixed((uint64_t)channel_of(e, i)) % CLUSTERS;
}

static void add(clusters *c, enum test test, const size_t cluster[WAYS], double term) {
  for (int way = 0; way < WAYS; way++) c->sum[test][way][cluster[way]] += term;
}

/* |sum S| / sqrt(sum S^2), the least of all ways. */
static double carried(const clusters *c, enum test test, bool by_channel) {
  double least = INFINITY;
  for (int way = 0; way < WAYS; way++) {
    if (way == CHANNEL && !by_channel) continue;
    double sum = 0, squares = 0;
    for (int k = 0; k < CLUSTERS; k++) {
      sum += c->sum[test][way][k];
      squares += c->sum[test][way][k] * c->sum[test][way][k];
    }
    least = fmin(least, squares > 0 ? fabs(sum) / sqrt(squares) : 0);
  }
  return least;
}

/* ----------------------------------------------------------------------------------------------------- the tests */

/* sqrt(2 ln(6/a)) and ln(3/a). */
static double deviations(void) { return sqrt(2 * log(6 / CBN_SUSPICION_FALSE_ALARM)); }
static double exponent(void) { return log(3 / CBN_SUSPICION_FALSE_ALARM); }

/* Sums over the tensor that thresholds depend on. */
typedef struct totals {
  int64_t elements;
  double own; /* reference's own errors over the deviations */
  double own_squares;
  double single, shared; /* variances of the sum of z from elements' own errors and from channels' */
  double freedom;        /* elements less what was fitted */
  double sum[TESTS];
} totals;

/* The two sums that see a lean. */
static bool sum_leans(const errors *e, clusters *c, totals *t) {
  double *channel = calloc((size_t)e->channels, sizeof(double));
  if (channel == NULL) return false;
  for (int64_t i = 0; i < e->expected->count; i++) {
    if (e->single[i] == 0) continue;
    const double shared = e->shared == NULL ? 0 : e->shared[i], deviation = hypot(e->single[i], shared);
    const double z = error_of(e, i) / deviation;
    size_t cluster[WAYS];
    find_clusters(e, i, cluster);
    add(c, MEAN, cluster, z);
    add(c, SIGNED, cluster, e->expected->value[i] < 0 ? -z : z);
    t->sum[MEAN] += z;
    t->sum[SIGNED] += e->expected->value[i] < 0 ? -z : z;
    t->elements++;
    t->own += e->expected->own[i] / deviation;
    t->single += (e->single[i] / deviation) * (e->single[i] / deviation);
    channel[channel_of(e, i)] += shared / deviation;
  }
  for (int64_t k = 0; k < e->channels; k++) t->shared += channel[k] * channel[k];
  free(channel);
  return true;
}

/* One element's part in the sum of squares; `expectation` is 1, or less where something was fitted. */
static void add_square(const errors *e, clusters *c, totals *t, int64_t i, double z, double expectation) {
  size_t cluster[WAYS];
  find_clusters(e, i, cluster);
  add(c, SQUARES, cluster, z * z - expectation);
  t->sum[SQUARES] += z * z;
  t->freedom += expectation;
  const double own = e->expected->own[i] / e->single[i];
  t->own_squares += own * own;
}

static void sum_squares(const errors *e, clusters *c, totals *t) {
  for (int64_t i = 0; i < e->expected->count; i++)
    if (e->single[i] > 0) add_square(e, c, t, i, error_of(e, i) / e->single[i], 1);
}

/* A smoothly distributed value is rounded with a mean error of the second order: of density f, at most |f'/f| h^2/3 for
 * an interval of half-width h <= u |y|. A density that changes by its own size over a sixteenth of the value (a normal
 * one does four deviations from its mean) gives every z a mean of up to 16 u. */
static double mean_of_smooth(const errors *e) { return 16 * fmax(e->unit, e->work_unit); }

/* The finding in words: by how much on the average, of how much. */
static void explain(int test, double sum, double count, double threshold, cbn_suspicion *result) {
  static const char *const words[TESTS] = {
      "errors lean %s: their mean is %.2g deviations, by chance it is below %.2g",
      "errors point %s zero: their mean is %.2g deviations, by chance it is below %.2g",
      "errors are too %s: their mean square is %.2g deviations squared, by chance it is below %.2g"};
  const char *way = test == SQUARES ? "large"
                    : test == MEAN  ? sum > 0 ? "upwards" : "downwards"
                    : sum > 0       ? "away from"
                                    : "towards";
  snprintf(result->sentence, sizeof result->sentence, words[test], way, fabs(sum) / count, threshold / count);
}

/* Of the tests that find something, or of all, the one farthest from its threshold. */
static void decide(const errors *e, const clusters *c, const totals *t, cbn_suspicion *result) {
  const double n = (double)t->elements;
  const double chance = deviations() * sqrt(t->single + t->shared) + t->own + n * mean_of_smooth(e);
  const double size = t->freedom + 2 * sqrt(t->freedom * exponent()) + 2 * exponent();
  const double threshold[TESTS] = {chance, chance, pow(sqrt(size) + sqrt(t->own_squares), 2)};
  double largest = -1;
  result->elements = t->elements;
  for (int test = 0; test < TESTS; test++) {
    const double share = fabs(t->sum[test]) / threshold[test];
    const bool by_channel = test != SQUARES && t->shared > t->single;
    if (test == SQUARES && result->suspicious) break; /* errors that lean are large, too */
    const bool found = share > 1 && carried(c, (enum test)test, by_channel) >= deviations();
    if (found < result->suspicious || (found == result->suspicious && share <= largest)) continue;
    largest = share;
    result->suspicious = found;
    result->which = found ? CBN_LEANING + test : CBN_NOT_SUSPICIOUS;
    result->statistic = fabs(t->sum[test]);
    result->threshold = threshold[test];
    if (found) explain(test, t->sum[test], test == SQUARES ? t->freedom : n, threshold[test], result);
  }
}

/* ----------------------------------------------------------------------------------------------- where to be silent */

static bool silent(cbn_suspicion *result, const char *why) {
  snprintf(result->sentence, sizeof result->sentence, "no statistical test: %s", why);
  return true;
}

static int by_magnitude(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Do the elements repeat each other? Among up to 256 of them, spread over the tensor, less than half are distinct in
 * magnitude. Products with a zero do not round, so that convolutions leave zeros out of account. */
static bool few_values(const cbn_tensor *tensor, bool zeros_count) {
  enum { SAMPLE = 256, TRIES = 2048 };
  double seen[SAMPLE];
  size_t count = 0, distinct = 0;
  const int64_t elements = cbn_tensor_count(tensor);
  const int64_t tries = elements < TRIES ? elements : TRIES;
  for (int64_t k = 0; k < tries && count < SAMPLE; k++) {
    const int64_t i = elements <= TRIES ? k : (int64_t)(mixed((uint64_t)k) % (uint64_t)elements);
    const double x = fabs(cbn_tensor_get(tensor, i));
    if (x > 0 || (x == 0 && zeros_count)) seen[count++] = x; /* no NaN */
  }
  qsort(seen, count, sizeof *seen, by_magnitude);
  for (size_t k = 0; k < count; k++) distinct += k == 0 || seen[k] != seen[k - 1];
  return 2 * distinct < count;
}

/* Is an element the middle of its neighbours, compared with their distance, or to some units in the last place? True
 * where more than half of up to 1024 are, spread over the tensor: neighbouring elements, rows and channels of ramps,
 * slow waves and nearly constant data are summed with the same roundings. */
static bool smooth(const cbn_tensor *tensor) {
  enum { SAMPLE = 1024 };
  const int64_t triples = cbn_tensor_count(tensor) - 2;
  const int64_t count = triples < SAMPLE ? triples : SAMPLE;
  int64_t between = 0;
  for (int64_t k = 0; k < count; k++) {
    const int64_t i = triples <= SAMPLE ? k : (int64_t)(mixed((uint64_t)k) % (uint64_t)triples);
    const double a = cbn_tensor_get(tensor, i), b = cbn_tensor_get(tensor, i + 1), c = cbn_tensor_get(tensor, i + 2);
    between += fabs(a - 2 * b + c) <= fmax(fabs(c - a) / 8, 8 * (double)formats[tensor->type].u * fabs(b));
  }
  return count > 8 && 2 * between > count;
}

/* Is more than a sixteenth of up to 1024 pairs of neighbours equal, those of zeros left out? Constant channels among
 * others put the same terms, and so in part the same roundings, into all sums. */
static bool partly_constant(const cbn_tensor *tensor) {
  enum { SAMPLE = 1024 };
  const int64_t pairs = cbn_tensor_count(tensor) - 1;
  const int64_t count = pairs < SAMPLE ? pairs : SAMPLE;
  int64_t equal = 0;
  for (int64_t k = 0; k < count; k++) {
    const int64_t i = pairs <= SAMPLE ? k : (int64_t)(mixed((uint64_t)k) % (uint64_t)pairs);
    const double a = cbn_tensor_get(tensor, i);
    equal += a != 0 && a == cbn_tensor_get(tensor, i + 1);
  }
  return 16 * equal > count;
}

/* Why a sum over that tensor's elements is no case for a test, NULL if it is one. */
static const char *unfit(const cbn_tensor *tensor, bool zeros_count) {
  if (few_values(tensor, zeros_count)) return "the data have few distinct values";
  if (partly_constant(tensor)) return "the data are constant in part";
  return smooth(tensor) ? "the data are smooth" : NULL;
}

static bool has_subnormal(const cbn_tensor *tensor) {
  const int64_t elements = cbn_tensor_count(tensor);
  for (int64_t i = 0; i < elements; i++) {
    const double x = fabs(cbn_tensor_get(tensor, i));
    if (x > 0 && x < (double)formats[tensor->type].normal) return true;
  }
  return false;
}

/* Is there a reason, in the data or in what the engine declares, to make no test? */
static bool no_test(const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic, cbn_suspicion *result) {
  static const int roles[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_GRAD_OUTPUT};
  *result = (cbn_suspicion){0};
  if (arithmetic & (CBN_TF32_PRODUCTS | CBN_BF16_PRODUCTS))
    return silent(result, "the engine declares that it cuts factors, which may lean");
  for (size_t k = 0; k < sizeof roles / sizeof *roles; k++) {
    const cbn_tensor *t = tensor[roles[k]];
    if (t == NULL) continue;
    if ((arithmetic & CBN_FLUSHES_SUBNORMALS) && has_subnormal(t))
      return silent(result, "the engine declares that it flushes subnormals, and there are some");
  }
  return false;
}

/* What is common to both operators once deviations are known. */
static bool conclude(const errors *e, clusters *c, totals *t, cbn_suspicion *result) {
  if (!sum_leans(e, c, t)) return false;
  if ((double)t->elements < deviations() * deviations()) {
    result->elements = t->elements;
    return silent(result, "fewer than 46 elements round");
  }
  decide(e, c, t, result);
  return true;
}

/* -------------------------------------------------------------------------------------------------- convolutions */

/* How many products enter an element is a product over the axes. Along one of them a source index i, a tap t and a
 * result index p belong together where position p*stride + t*dilation - pad of the extended source holds element i;
 * `fixed` says which of the three an element of the wanted tensor holds. */
enum fixed { SOURCE, TAP, RESULT };

typedef struct axis {
  int64_t source, result, kernel, stride, dilation, hole, pad;
  int mode;
} axis;

static int64_t source_at(const axis *a, int64_t q) {
  switch (a->mode) {
  case CBN_PAD_REFLECT: return q < 0 ? -q : q < a->source ? q : 2 * (a->source - 1) - q;
  case CBN_PAD_REPLICATE: return q < 0 ? 0 : q < a->source ? q : a->source - 1;
  case CBN_PAD_CIRCULAR: return (q + a->source) % a->source;
  default: return q >= 0 && q % a->hole == 0 && q / a->hole < a->source ? q / a->hole : -1;
  }
}

static void count_pairs(const axis *a, enum fixed fixed, int64_t *count) {
  for (int64_t p = 0; p < a->result; p++)
    for (int64_t t = 0; t < a->kernel; t++) {
      const int64_t i = source_at(a, p * a->stride + t * a->dilation - a->pad);
      if (i >= 0) count[fixed == SOURCE ? i : fixed == TAP ? t : p]++;
    }
}

static axis axis_of(const cbn_conv *conv, int k) {
  const int64_t input = conv->input[k], output = cbn_conv_output_extent(conv, k);
  return (axis){.source = conv->transposed ? output : input,
                .result = conv->transposed ? input : output,
                .kernel = conv->kernel[k],
                .stride = conv->stride[k],
                .dilation = conv->dilation[k],
                .hole = conv->transposed ? 1 : conv->input_dilation[k],
                .pad = conv->pad_begin[k],
                .mode = conv->padding_mode};
}

static enum fixed fixed_by(const cbn_conv *conv) {
  if (conv->direction == CBN_GRAD_WEIGHT) return TAP;
  return (conv->direction == CBN_FORWARD) == !conv->transposed ? RESULT : SOURCE;
}

/* Products of one element apart from those of the spatial axes. */
static int64_t outer_products(const cbn_conv *conv) {
  switch (conv->direction) {
  case CBN_FORWARD: return conv->in_channels / conv->groups;
  case CBN_GRAD_INPUT: return conv->out_channels / conv->groups;
  default: return conv->batch;
  }
}

/* The products of every element, as counts along the spatial axes of the result; `count[k]` has the result's extent k +
 * 2 entries. False without memory. */
static bool count_products(const cbn_conv *conv, const cbn_expected *expected, int64_t *count[CBN_MAX_SPATIAL]) {
  if (conv->direction == CBN_GRAD_BIAS) return true;
  for (int k = 0; k < conv->spatial_rank; k++) {
    const axis a = axis_of(conv, k);
    count[k] = calloc((size_t)expected->extent[2 + k] + 1, sizeof(int64_t));
    if (count[k] == NULL) return false;
    count_pairs(&a, fixed_by(conv), count[k]);
  }
  return true;
}

static double products_at(const cbn_conv *conv, const cbn_expected *expected, int64_t *const count[CBN_MAX_SPATIAL],
                          int64_t i) {
  double n = (double)outer_products(conv);
  for (int k = conv->spatial_rank - 1; k >= 0; k--) {
    if (conv->direction == CBN_GRAD_BIAS) {
      n *= (double)cbn_conv_output_extent(conv, k);
    } else {
      n *= (double)count[k][i % expected->extent[2 + k]];
      i /= expected->extent[2 + k];
    }
  }
  return n;
}

/* Enters the deviations of a sum of n products, whatever its order, unless the model does not hold for it. */
static void enter_sum(errors *e, int64_t i, double n, double lost) {
  const double bound = bound_of_sums(e, i), u = e->work_unit;
  if (n < 1 || n * u > 0x1p-5 || !(bound > 0x1p10 * (2 * n + 1) * lost) || !worth_a_look(e, i)) return;
  const double uB = bound / (n + 1), partial = (uB + u * fabs(e->expected->value[i])) / 2;
  enter(e, i, sqrt(n * partial * partial + uB * uB), e->shared == NULL ? 0 : partial);
}

bool cbn_suspect_conv(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic,
                      const cbn_expected *expected, const cbn_tensor *actual, cbn_suspicion *result) {
  static const int factors[][2] = {[CBN_FORWARD] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT},
                                   [CBN_GRAD_INPUT] = {CBN_ROLE_GRAD_OUTPUT, CBN_ROLE_WEIGHT},
                                   [CBN_GRAD_WEIGHT] = {CBN_ROLE_INPUT, CBN_ROLE_GRAD_OUTPUT},
                                   [CBN_GRAD_BIAS] = {CBN_ROLE_GRAD_OUTPUT, CBN_ROLE_GRAD_OUTPUT}};
  if (no_test(tensor, arithmetic, result)) return true;
  for (int k = 0; k < 2; k++) {
    const char *why = unfit(tensor[factors[conv->direction][k]], false);
    if (why != NULL) return silent(result, why);
  }
  const int32_t work = working_type(expected->type, arithmetic);
  const double lost = arithmetic & CBN_FLUSHES_SUBNORMALS ? (double)formats[work].normal : (double)formats[work].eta;
  int64_t *count[CBN_MAX_SPATIAL] = {NULL};
  clusters *c = calloc(1, sizeof *c);
  errors e;
  const bool biased = conv->has_bias && conv->direction == CBN_FORWARD;
  const bool memory = errors_open(&e, expected, actual, work, biased) && c != NULL;
  bool done = memory && count_products(conv, expected, count);
  if (done) {
    totals t = {0};
    for (int64_t i = 0; i < expected->count; i++) enter_sum(&e, i, products_at(conv, expected, count, i), lost);
    sum_squares(&e, c, &t);
    done = conclude(&e, c, &t, result);
  }
  for (int k = 0; k < CBN_MAX_SPATIAL; k++) free(count[k]);
  errors_close(&e);
  free(c);
  return done;
}

/* ------------------------------------------------------------------------------------------- batch normalization */

/* What one channel is normalised with, in f64: good enough for scales. */
typedef struct channel_scale {
  double mean, r; /* mean, 1 / sqrt(variance + epsilon) */
  double weight, bias;
  double g, gz; /* backward, with the batch's statistics: means of the gradient and of its product with z */
} channel_scale;

typedef struct normalization {
  const cbn_batchnorm *batchnorm;
  const cbn_tensor *x, *g; /* g: backward */
  int64_t channels, inner, values;
  bool batch_statistics;
} normalization;

static int64_t position(const normalization *p, int64_t channel, int64_t k) {
  return (k / p->inner * p->channels + channel) * p->inner + k % p->inner;
}

static double element_or(const cbn_tensor *tensor, int64_t i, double otherwise) {
  return tensor == NULL ? otherwise : cbn_tensor_get(tensor, i);
}

static channel_scale scale_of(const normalization *p, const cbn_tensor *const tensor[CBN_ROLE_COUNT], int64_t channel) {
  channel_scale s = {.weight = element_or(tensor[CBN_ROLE_WEIGHT], channel, 1),
                     .bias = element_or(tensor[CBN_ROLE_BIAS], channel, 0)};
  const double L = (double)p->values;
  double variance = 0;
  if (!p->batch_statistics) {
    s.mean = element_or(tensor[CBN_ROLE_RUNNING_MEAN], channel, 0);
    s.r = 1 / sqrt(element_or(tensor[CBN_ROLE_RUNNING_VAR], channel, 1) + p->batchnorm->epsilon);
    return s;
  }
  for (int64_t k = 0; k < p->values; k++) s.mean += cbn_tensor_get(p->x, position(p, channel, k)) / L;
  for (int64_t k = 0; k < p->values; k++) {
    const double d = cbn_tensor_get(p->x, position(p, channel, k)) - s.mean;
    variance += d * d / L;
    if (p->g == NULL) continue;
    const double g = cbn_tensor_get(p->g, position(p, channel, k));
    s.g += g / L;
    s.gz += g * d / L;
  }
  s.r = 1 / sqrt(variance + p->batchnorm->epsilon);
  s.gz *= s.r;
  return s;
}

/* M: no intermediate result that is an element's own exceeds it. */
static double magnitude(const normalization *p, const channel_scale *s, double x, double g) {
  const double z = (fabs(x) + fabs(s->mean)) * s->r;
  if (p->g == NULL) return fabs(s->weight) * z + fabs(s->bias);
  return fabs(s->weight) * s->r * (fabs(g) + fabs(s->g) + z * fabs(s->gz));
}

/* The deviation of what a channel has in common, as a part of an element's bound: roundings of which none contributes
 * more than an eighth of the bound, or, among those of the batch's statistics, an (L+1)-th. */
static double part_of_bound(double values) { return 1 / sqrt(values < 7 ? values + 1 : 8); }

static double shared_deviation(const normalization *p, double bound, double single) {
  return p->batch_statistics ? hypot(bound / sqrt((double)p->values + 1), single) : bound / sqrt(8);
}

static void enter_channel(const normalization *p, const channel_scale *s, errors *e, int64_t channel) {
  for (int64_t k = 0; k < p->values; k++) {
    const int64_t i = position(p, channel, k);
    const double x = cbn_tensor_get(p->x, i), g = p->g == NULL ? 0 : cbn_tensor_get(p->g, i);
    const double single = sqrt(8) * e->work_unit * magnitude(p, s, x, g);
    if (!(single > 0x1p10 * (double)formats[CBN_F32].normal) || !isfinite(single) || !worth_a_look(e, i)) continue;
    if (bound_of_sums(e, i) > 0) enter(e, i, single, shared_deviation(p, bound_of_sums(e, i), single));
  }
}

/* Removes from v its component along b. */
static void remove_component(int64_t count, const double *b, double *v) {
  double along = 0, length = 0;
  for (int64_t k = 0; k < count; k++) {
    along += v[k] * b[k];
    length += b[k] * b[k];
  }
  for (int64_t k = 0; k < count && length > 0; k++) v[k] -= along / length * b[k];
}

static double squared_length(int64_t count, const double *v) {
  double length = 0;
  for (int64_t k = 0; k < count; k++) length += v[k] * v[k];
  return length;
}

/* Squares of a channel's errors once the best fit of 1, x and g is removed; all over the elements' own deviations.
 * `work` has room for four times the channel's values. */
static void add_residuals(const normalization *p, const channel_scale *s, const errors *e, int64_t channel,
                          double *work, clusters *c, totals *t) {
  enum { FITTED = 3 };
  double *v[FITTED + 1];
  for (int f = 0; f <= FITTED; f++) v[f] = work + f * p->values;
  int64_t count = 0;
  for (int64_t k = 0; k < p->values; k++) {
    const int64_t i = position(p, channel, k);
    if (e->single[i] == 0) continue;
    v[0][count] = 1 / e->single[i];
    v[1][count] = (cbn_tensor_get(p->x, i) - s->mean) / e->single[i];
    v[2][count] = p->g == NULL ? 0 : cbn_tensor_get(p->g, i) / e->single[i];
    v[FITTED][count++] = error_of(e, i) / e->single[i];
  }
  int fitted = 0;
  for (int f = 0; f <= FITTED; f++) {
    const double before = squared_length(count, v[f]);
    for (int again = 0; again < 2; again++) /* twice is enough (Kahan) */
      for (int b = 0; b < f; b++) remove_component(count, v[b], v[f]);
    const bool nothing_left = squared_length(count, v[f]) <= 0x1p-40 * before;
    if (f < FITTED && nothing_left) memset(v[f], 0, (size_t)count * sizeof(double));
    fitted += f < FITTED && !nothing_left;
  }
  if (count <= fitted) return;
  int64_t next = 0;
  for (int64_t k = 0; k < p->values; k++) {
    const int64_t i = position(p, channel, k);
    if (e->single[i] > 0) add_square(e, c, t, i, v[FITTED][next++], 1 - (double)fitted / (double)count);
  }
}

/* A result with the input's extents. */
static bool look_at_elements(const normalization *p, const cbn_tensor *const tensor[CBN_ROLE_COUNT], errors *e,
                             clusters *c, cbn_suspicion *result) {
  double *work = calloc((size_t)p->values + 1, 4 * sizeof(double));
  if (work == NULL) return false;
  totals t = {0};
  for (int64_t channel = 0; channel < p->channels; channel++) {
    const channel_scale s = scale_of(p, tensor, channel);
    enter_channel(p, &s, e, channel);
    add_residuals(p, &s, e, channel, work, c, &t);
  }
  free(work);
  return conclude(e, c, &t, result);
}

/* A result with one element a channel: each is a draw, its deviation a part of its bound. */
static bool look_at_channels(const normalization *p, errors *e, clusters *c, cbn_suspicion *result) {
  totals t = {0};
  const double part = part_of_bound((double)p->values);
  for (int64_t i = 0; i < e->expected->count; i++)
    if (worth_a_look(e, i) && bound_of_sums(e, i) > 0) enter(e, i, bound_of_sums(e, i) * part, 0);
  sum_squares(e, c, &t);
  return conclude(e, c, &t, result);
}

bool cbn_suspect_batchnorm(const cbn_batchnorm *batchnorm, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                           uint32_t arithmetic, int role, const cbn_expected *expected, const cbn_tensor *actual,
                           cbn_suspicion *result) {
  const bool backward = batchnorm->direction != CBN_FORWARD;
  const cbn_tensor *x = tensor[CBN_ROLE_INPUT];
  const normalization p = {.batchnorm = batchnorm,
                           .x = x,
                           .g = backward ? tensor[CBN_ROLE_GRAD_OUTPUT] : NULL,
                           .channels = batchnorm->channels,
                           .inner = cbn_extent_product(batchnorm->spatial_rank, batchnorm->extent),
                           .values = cbn_tensor_count(x) / (batchnorm->channels > 0 ? batchnorm->channels : 1),
                           .batch_statistics = batchnorm->statistics == CBN_STATISTICS_BATCH};
  if (no_test(tensor, arithmetic, result)) return true;
  const char *why = unfit(x, true);
  if (why == NULL && backward) why = unfit(p.g, true);
  if (why != NULL) return silent(result, why);
  const int32_t work = working_type(x->type, arithmetic);
  if ((double)p.values * (double)formats[work].u > 0x1p-5) return silent(result, "sums of so many values lose addends whole");
  clusters *c = calloc(1, sizeof *c);
  errors e;
  const bool whole = role == CBN_ROLE_OUTPUT || role == CBN_ROLE_GRAD_INPUT;
  bool done = errors_open(&e, expected, actual, work, whole) && c != NULL;
  if (done) done = whole ? look_at_elements(&p, tensor, &e, c, result) : look_at_channels(&p, &e, c, result);
  errors_close(&e);
  free(c);
  return done;
}
