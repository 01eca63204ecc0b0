/* Folding a batch normalization in evaluation into the convolution before it: the folded weight and bias against their
 * definition in MPFR, what does not fit together, and the reference of the two against the second one. That engines
 * which fold stay within its bound is the matter of tests/test_bounds.c. */
#include <convbn/reference.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/random_problem.h"
#include "tests/second_reference.h"

#define SLACK 1e-6

/* ------------------------------------------------------------------------------------------------------- problems */

/* A forward convolution and the batch normalization behind it. */
typedef struct pair {
  conv_problem conv;
  batchnorm_problem norm;
} pair;

static void pair_make(pair *p, random_state *r) {
  static const double epsilons[] = {1e-5, 1e-3, 0.25, 1e-12};
  static const int tempers[] = {TEMPER_INTEGERS, TEMPER_NORMAL, TEMPER_OFFSET,
                                TEMPER_CONSTANT, TEMPER_CANCEL, TEMPER_WILD};
  do p->conv.conv = random_conv(r);
  while (p->conv.conv.direction != CBN_FORWARD);
  p->conv.type = random_type(r);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) p->conv.temper[role] = tempers[random_between(r, 0, 5)];
  assert_true(conv_problem_fill(&p->conv, r));
  int64_t extent[CBN_MAX_RANK];
  cbn_conv_extents(&p->conv.conv, CBN_ROLE_OUTPUT, extent);
  cbn_batchnorm b = cbn_batchnorm_make(p->conv.conv.spatial_rank);
  b.batch = p->conv.conv.batch;
  b.channels = p->conv.conv.out_channels;
  for (int a = 0; a < b.spatial_rank; a++) b.extent[a] = extent[2 + a];
  b.epsilon = epsilons[random_between(r, 0, 3)];
  b.has_weight = !random_chance(r, 4);
  b.has_bias = !random_chance(r, 4);
  p->norm.batchnorm = b;
  p->norm.type = p->norm.parameter_type = p->conv.type;
  if ((p->conv.type == CBN_F16 || p->conv.type == CBN_BF16) && random_chance(r, 2)) p->norm.parameter_type = CBN_F32;
  assert_true(batchnorm_problem_fill(&p->norm, r, random_chance(r, 3) ? TEMPER_OFFSET : TEMPER_NORMAL));
}

static void pair_release(pair *p) {
  conv_problem_release(&p->conv);
  batchnorm_problem_release(&p->norm);
}

/* s = g / sqrt(v + eps) of an output channel. */
static void scale_of(mpfr_t scale, const batchnorm_problem *n, int64_t channel) {
  mpfr_set_d(scale, channel_value(n, CBN_ROLE_RUNNING_VAR, channel, 1), MPFR_RNDN);
  mpfr_add_d(scale, scale, n->batchnorm.epsilon, MPFR_RNDN);
  mpfr_rec_sqrt(scale, scale, MPFR_RNDN);
  mpfr_mul_d(scale, scale, channel_value(n, CBN_ROLE_WEIGHT, channel, 1), MPFR_RNDN);
}

/* The output channel of a weight's element. */
static int64_t channel_of_weight(const cbn_conv *c, const cbn_tensor *weight, int64_t element) {
  int64_t index[CBN_MAX_RANK];
  cbn_unravel(weight->rank, weight->extent, element, index);
  if (!c->transposed) return index[0];
  return index[0] / (c->in_channels / c->groups) * (c->out_channels / c->groups) + index[1];
}

/* ----------------------------------------------------------------------------------------------- weights and biases */

/* Computed in f64 from `sizes`, the magnitudes of what is added, and rounded once to the tensor's type. */
static bool near_enough(const cbn_tensor *t, int64_t i, const mpfr_t exact, double sizes) {
  const double stored = cbn_tensor_get(t, i), value = mpfr_get_d(exact, MPFR_RNDN);
  if (fabs(value) > second_largest(t->type) * (1 - 0x1p-10)) return fabs(stored) >= second_largest(t->type) * 0.99;
  mpfr_t d;
  mpfr_init2(d, SECOND_BITS);
  mpfr_sub_d(d, exact, stored, MPFR_RNDN);
  const double distance = fabs(mpfr_get_d(d, MPFR_RNDN)), in_f64 = 8 * 0x1p-53 * sizes;
  mpfr_clear(d);
  const double rounding = t->type == CBN_F64 ? 0 : second_roundoff(t->type) * (fabs(value) + in_f64);
  return distance <= in_f64 + rounding + second_smallest(t->type);
}

static bool check_folded_tensors(const pair *p, const cbn_tensor *const own[CBN_ROLE_COUNT], const cbn_tensor *weight,
                                 const cbn_tensor *bias) {
  const cbn_conv *c = &p->conv.conv;
  mpfr_t scale, exact;
  mpfr_inits2(SECOND_BITS, scale, exact, (mpfr_ptr)0);
  bool good = true;
  for (int64_t i = 0; i < cbn_tensor_count(weight) && good; i++) {
    scale_of(scale, &p->norm, channel_of_weight(c, weight, i));
    mpfr_mul_d(exact, scale, cbn_tensor_get(own[CBN_ROLE_WEIGHT], i), MPFR_RNDN);
    good = near_enough(weight, i, exact, fabs(mpfr_get_d(exact, MPFR_RNDN)));
  }
  for (int64_t o = 0; o < c->out_channels && good; o++) {
    const double b = own[CBN_ROLE_BIAS] != NULL ? cbn_tensor_get(own[CBN_ROLE_BIAS], o) : 0;
    const double mean = channel_value(&p->norm, CBN_ROLE_RUNNING_MEAN, o, 0);
    const double beta = channel_value(&p->norm, CBN_ROLE_BIAS, o, 0);
    scale_of(scale, &p->norm, o);
    mpfr_set_d(exact, b, MPFR_RNDN);
    mpfr_sub_d(exact, exact, mean, MPFR_RNDN);
    mpfr_mul(exact, exact, scale, MPFR_RNDN);
    mpfr_add_d(exact, exact, beta, MPFR_RNDN);
    good = near_enough(bias, o, exact, (fabs(b) + fabs(mean)) * fabs(mpfr_get_d(scale, MPFR_RNDN)) + fabs(beta));
  }
  mpfr_clears(scale, exact, (mpfr_ptr)0);
  return good;
}

static void folded_tensors_are_right(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(1500);
  for (int64_t i = 0; i < count; i++) {
    pair p = {.conv.seed = seed + (uint64_t)i};
    random_state r = {p.conv.seed};
    pair_make(&p, &r);
    const cbn_tensor *w = p.conv.tensor[CBN_ROLE_WEIGHT];
    /* into tensors of another type, or on top of the convolution's own */
    test_tensor weight, bias, kept_weight, kept_bias = {0};
    const int32_t type = random_chance(&r, 2) ? p.conv.type : random_type(&r);
    assert_true(test_tensor_make(&weight, &r, type, w->rank, w->extent, random_chance(&r, 2)));
    assert_true(test_tensor_make(&bias, &r, type, 1, &p.conv.conv.out_channels, LAYOUT_CONTIGUOUS));
    assert_true(test_tensor_make(&kept_weight, &r, p.conv.type, w->rank, w->extent, LAYOUT_CONTIGUOUS));
    cbn_tensor_copy(&kept_weight.tensor, w);
    const cbn_tensor *own[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = &kept_weight.tensor};
    cbn_violation violation;
    bool good = cbn_fold_batchnorm(&p.conv.conv, p.conv.tensor, &p.norm.batchnorm, p.norm.tensor, &weight.tensor,
                                   &bias.tensor, &violation);
    if (p.conv.tensor[CBN_ROLE_BIAS] != NULL) {
      assert_true(test_tensor_make(&kept_bias, &r, p.conv.type, 1, &p.conv.conv.out_channels, LAYOUT_CONTIGUOUS));
      cbn_tensor_copy(&kept_bias.tensor, p.conv.tensor[CBN_ROLE_BIAS]);
      own[CBN_ROLE_BIAS] = &kept_bias.tensor;
    }
    good = good && check_folded_tensors(&p, own, &weight.tensor, &bias.tensor);
    bool broadcast = false;
    for (int a = 0; a < w->rank; a++) broadcast = broadcast || w->stride[a] == 0;
    if (good && own[CBN_ROLE_BIAS] != NULL && !broadcast && p.conv.tensor[CBN_ROLE_BIAS]->stride[0] != 0)
      good = cbn_fold_batchnorm(&p.conv.conv, p.conv.tensor, &p.norm.batchnorm, p.norm.tensor, w,
                                p.conv.tensor[CBN_ROLE_BIAS], &violation) &&
             check_folded_tensors(&p, own, w, p.conv.tensor[CBN_ROLE_BIAS]);
    if (!good) conv_problem_print(&p.conv);
    assert_true(good);
    test_tensor_release(&weight);
    test_tensor_release(&bias);
    test_tensor_release(&kept_weight);
    test_tensor_release(&kept_bias);
    pair_release(&p);
  }
}

/* By hand: v + eps = 1/4, so s = 2 g. Two groups, transposed, so that channels stand on the weight's second axis. */
typedef struct by_hand {
  cbn_conv conv;
  cbn_batchnorm norm;
  cbn_tensor weight, bias, scale, shift, mean, variance, new_weight, new_bias;
  const cbn_tensor *tensor[CBN_ROLE_COUNT], *of_norm[CBN_ROLE_COUNT];
  float w[8], b[4], g[4], beta[4], mu[4], v[4], folded_w[8], folded_b[4];
} by_hand;

static cbn_tensor four(float *data) {
  return (cbn_tensor){.type = CBN_F32, .rank = 1, .extent = {4}, .stride = {1}, .data = data};
}

static void by_hand_make(by_hand *h) {
  *h = (by_hand){.conv = cbn_conv_make(1),
                 .norm = cbn_batchnorm_make(1),
                 .w = {1, 2, 3, 4, 5, 6, 7, 8},
                 .b = {1, 1, 1, 1},
                 .g = {1, 10, 100, 1000},
                 .beta = {1, 2, 3, 4},
                 .mu = {0, 1, 2, 3},
                 .v = {0.125F, 0.125F, 0.125F, 0.125F}};
  h->conv.batch = h->norm.batch = 1;
  h->conv.in_channels = h->conv.out_channels = h->norm.channels = 4;
  h->conv.groups = 2;
  h->conv.input[0] = h->conv.kernel[0] = h->norm.extent[0] = 1;
  h->conv.transposed = 1;
  h->conv.has_bias = 1;
  h->norm.epsilon = 0.125;
  h->weight = (cbn_tensor){.type = CBN_F32, .rank = 3, .extent = {4, 2, 1}, .stride = {2, 1, 1}, .data = h->w};
  h->new_weight = h->weight;
  h->new_weight.data = h->folded_w;
  h->bias = four(h->b);
  h->scale = four(h->g);
  h->shift = four(h->beta);
  h->mean = four(h->mu);
  h->variance = four(h->v);
  h->new_bias = four(h->folded_b);
  h->tensor[CBN_ROLE_WEIGHT] = &h->weight;
  h->tensor[CBN_ROLE_BIAS] = &h->bias;
  h->of_norm[CBN_ROLE_WEIGHT] = &h->scale;
  h->of_norm[CBN_ROLE_BIAS] = &h->shift;
  h->of_norm[CBN_ROLE_RUNNING_MEAN] = &h->mean;
  h->of_norm[CBN_ROLE_RUNNING_VAR] = &h->variance;
}

static bool by_hand_fold(const by_hand *h, cbn_violation *v) {
  *v = (cbn_violation){.rule = -1};
  return cbn_fold_batchnorm(&h->conv, h->tensor, &h->norm, h->of_norm, &h->new_weight, &h->new_bias, v);
}

static void expect_folded(const by_hand *h, const float weight[8], const float bias[4]) {
  cbn_violation v;
  if (!by_hand_fold(h, &v)) fail_msg("refused: %s", v.message);
  assert_memory_equal(h->folded_w, weight, sizeof h->folded_w);
  assert_memory_equal(h->folded_b, bias, sizeof h->folded_b);
}

/* Refused by that rule, in a sentence with those words, and nothing written. */
static void expect_refused(const by_hand *h, const char *rule, const char *words) {
  cbn_violation v;
  if (by_hand_fold(h, &v)) fail_msg("folded, %s (%s) was expected", rule, words);
  if (strcmp(cbn_rule_name(v.rule), rule) != 0)
    fail_msg("refused by %s (%s), %s was expected", cbn_rule_name(v.rule), v.message, rule);
  if (strstr(v.message, words) == NULL) fail_msg("the message does not say '%s': %s", words, v.message);
  static const float nothing[8] = {0};
  assert_memory_equal(h->folded_w, nothing, sizeof h->folded_w);
  assert_memory_equal(h->folded_b, nothing, sizeof h->folded_b);
}

static const float by_hand_weight[] = {2, 40, 6, 80, 1000, 12000, 1400, 16000};

static void folding_by_hand(void **state) {
  (void)state;
  by_hand h;
  by_hand_make(&h);
  expect_folded(&h, by_hand_weight, (const float[]){3, 2, -197, -3996});
}

/* A bias, scale or shift that the operators do not have is not looked at, be it there or not. */
static void only_what_the_operators_have_is_folded(void **state) {
  (void)state;
  static const float plain[] = {2, 4, 6, 8, 10, 12, 14, 16};
  static const struct {
    int32_t bias, weight, shift;
    const float *folded_weight;
    float folded_bias[4]; /* (b - mu) s + beta */
  } rows[] = {
      {1, 1, 1, by_hand_weight, {3, 2, -197, -3996}}, {0, 1, 1, by_hand_weight, {1, -18, -397, -5996}},
      {1, 0, 1, plain, {3, 2, 1, 0}},                 {1, 1, 0, by_hand_weight, {2, 0, -200, -4000}},
      {0, 0, 0, plain, {0, -2, -4, -6}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    for (int there = 0; there < 2; there++) {
      by_hand h;
      by_hand_make(&h);
      h.conv.has_bias = rows[i].bias;
      h.norm.has_weight = rows[i].weight;
      h.norm.has_bias = rows[i].shift;
      if (!there && !rows[i].bias) h.tensor[CBN_ROLE_BIAS] = NULL;
      if (!there && !rows[i].weight) h.of_norm[CBN_ROLE_WEIGHT] = NULL;
      if (!there && !rows[i].shift) h.of_norm[CBN_ROLE_BIAS] = NULL;
      expect_folded(&h, rows[i].folded_weight, rows[i].folded_bias);
    }
}

static void operators_that_do_not_fold_are_refused(void **state) {
  (void)state;
  by_hand h;
  by_hand_make(&h);
  h.norm.channels = 3;
  expect_refused(&h, "input-channels-mismatch", "has 3 channels, the convolution gives 4");
  by_hand_make(&h);
  h.norm.statistics = CBN_STATISTICS_BATCH;
  expect_refused(&h, "parameter-type", "only running statistics");
  by_hand_make(&h);
  h.norm.direction = CBN_GRAD_INPUT;
  expect_refused(&h, "parameter-type", "the batch normalization's direction must be 0 (forward), got 1");
  for (int32_t direction = CBN_GRAD_INPUT; direction <= CBN_GRAD_BIAS; direction++) {
    by_hand_make(&h);
    h.conv.direction = direction;
    char words[64];
    snprintf(words, sizeof words, "the convolution's direction must be 0 (forward), got %d", (int)direction);
    expect_refused(&h, "parameter-type", words);
  }
  by_hand_make(&h);
  h.conv.stride[0] = 0;
  expect_refused(&h, "stride-positive", "got 0");
  by_hand_make(&h);
  h.norm.batch = -1;
  expect_refused(&h, "extent-non-negative", "got -1");
  static const double epsilons[] = {-0.125, -1, (double)NAN};
  for (size_t i = 0; i < sizeof epsilons / sizeof epsilons[0]; i++) {
    by_hand_make(&h);
    h.norm.epsilon = epsilons[i];
    expect_refused(&h, "variance-positive", "in channel 0");
  }
  by_hand_make(&h);
  h.v[2] = NAN;
  expect_refused(&h, "variance-positive", "in channel 2");
}

static void each_tensor_that_does_not_fit_is_refused(void **state) {
  (void)state;
  by_hand h;
  const struct {
    const cbn_tensor **given; /* NULL: a result */
    cbn_tensor *tensor;
    const char *name, *rule;
  } rows[] = {
      {&h.tensor[CBN_ROLE_WEIGHT], &h.weight, "the convolution's weight", "weight-shape"},
      {&h.tensor[CBN_ROLE_BIAS], &h.bias, "the convolution's bias", "bias-shape"},
      {&h.of_norm[CBN_ROLE_WEIGHT], &h.scale, "the batch normalization's weight", "statistics-shape"},
      {&h.of_norm[CBN_ROLE_BIAS], &h.shift, "the batch normalization's bias", "statistics-shape"},
      {&h.of_norm[CBN_ROLE_RUNNING_MEAN], &h.mean, "the running_mean", "statistics-shape"},
      {&h.of_norm[CBN_ROLE_RUNNING_VAR], &h.variance, "the running_var", "statistics-shape"},
      {NULL, &h.new_weight, "the folded weight", "weight-shape"},
      {NULL, &h.new_bias, "the folded bias", "bias-shape"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char words[96];
    by_hand_make(&h);
    const int32_t rank = rows[i].tensor->rank;
    if (rows[i].given != NULL) {
      *rows[i].given = NULL;
      snprintf(words, sizeof words, "%s is missing", rows[i].name);
      expect_refused(&h, rows[i].rule, words);
    }
    for (int32_t a = 0; a < rank; a++)
      for (int more = -1; more <= 1; more += 2) {
        by_hand_make(&h);
        const int64_t right = rows[i].tensor->extent[a], wrong = right + more;
        rows[i].tensor->extent[a] = wrong;
        snprintf(words, sizeof words, "%s must have extent %" PRId64 " on axis %" PRId32 ", got %" PRId64, rows[i].name,
                 right, a, wrong);
        expect_refused(&h, rows[i].rule, words);
      }
    for (int32_t wrong = rank - 1; wrong <= rank + 1; wrong += 2) {
      by_hand_make(&h);
      rows[i].tensor->rank = wrong;
      snprintf(words, sizeof words, "%s must have %" PRId32 " axes, got %" PRId32, rows[i].name, rank, wrong);
      expect_refused(&h, rows[i].rule, words);
    }
    by_hand_make(&h);
    rows[i].tensor->type = CBN_BF16 + 1;
    snprintf(words, sizeof words, "%s has type 4, which is none", rows[i].name);
    expect_refused(&h, "tensor-type", words);
    by_hand_make(&h);
    rows[i].tensor->data = NULL;
    snprintf(words, sizeof words, "%s has no memory", rows[i].name);
    expect_refused(&h, "tensor-type", words);
  }
  cbn_violation v;
  by_hand_make(&h);
  assert_false(cbn_fold_batchnorm(&h.conv, h.tensor, &h.norm, h.of_norm, NULL, &h.new_bias, &v));
  assert_string_equal(v.message, "the folded weight is missing");
  assert_false(cbn_fold_batchnorm(&h.conv, h.tensor, &h.norm, h.of_norm, &h.new_weight, NULL, &v));
  assert_string_equal(v.message, "the folded bias is missing");
}

/* -------------------------------------------------------------------------------------------- the reference of both */

/* gamma(n+8) ((B + |b| + |mu|) |s| + |beta|), and what cut factors change, at least (2c - c^2) B |s|; at most
 * gamma(N+12) of it, N the whole window, and for a type narrower than what an engine works in, the folded weight and
 * bias stored in it. */
static double sizes_of(const second_sum *s, double scale, double mean, double beta) {
  const double all = mpfr_get_d(s->positive, MPFR_RNDN) + mpfr_get_d(s->negative, MPFR_RNDN);
  return (all + fabs(mean)) * scale + fabs(beta);
}

static double formula(const second_sum *s, double scale, double mean, double beta, double u, double cut,
                      int64_t window) {
  const double all = mpfr_get_d(s->positive, MPFR_RNDN) + mpfr_get_d(s->negative, MPFR_RNDN);
  const double products = (all - mpfr_get_d(s->bias, MPFR_RNDN)) * scale;
  const bool most = window > 0;
  const double n = (double)(most ? window + 12 : s->products + 8), gamma = n * u / (1 - n * u);
  const double changed = (most ? 2 * cut + cut * cut : 2 * cut - cut * cut) * products;
  return gamma * (sizes_of(s, scale, mean, beta) + (most ? changed : 0)) + changed;
}

static double largest_magnitude(const cbn_tensor *t) {
  double largest = 0;
  for (int64_t i = 0; i < cbn_tensor_count(t); i++) largest = fmax(largest, fabs(cbn_tensor_get(t, i)));
  return largest;
}

/* One element against the exact (sum + b - mu) s + beta. */
static bool check_element(const pair *p, int64_t channel, second_sum *s, const cbn_interval *i, uint32_t arithmetic) {
  const int32_t stored = p->conv.type, working = second_working(stored, arithmetic);
  const double u = second_roundoff(working), mean = channel_value(&p->norm, CBN_ROLE_RUNNING_MEAN, channel, 0);
  const double beta = channel_value(&p->norm, CBN_ROLE_BIAS, channel, 0);
  int64_t window = p->conv.conv.in_channels / p->conv.conv.groups;
  for (int a = 0; a < p->conv.conv.spatial_rank; a++) window *= p->conv.conv.kernel[a];
  if (window == 0) window = 1;
  if (((double)window + 12) * u >= 0.25) return true;
  mpfr_t scale, exact, end;
  mpfr_inits2(mpfr_get_prec(s->value), scale, exact, end, (mpfr_ptr)0);
  scale_of(scale, &p->norm, channel);
  mpfr_sub_d(exact, s->value, mean, MPFR_RNDN);
  mpfr_mul(exact, exact, scale, MPFR_RNDN);
  mpfr_add_d(exact, exact, beta, MPFR_RNDN);
  const double size = fabs(mpfr_get_d(scale, MPFR_RNDN)), cut = second_factor_cut(stored, arithmetic);
  const double least = formula(s, size, mean, beta, u, cut, 0), value = mpfr_get_d(exact, MPFR_RNDN);
  double most = formula(s, size, mean, beta, u, cut, window) * (cut > 0 ? 1.05 : 1 + SLACK);
  /* every quantity may underflow, and grow by what it is multiplied with; wild exponents are below 2^40 */
  const double eta = second_smallest(working);
  if (eta > 0x1p-200) most += eta * 0x1p50 * (1 + size) * ((double)s->products + 8) * (1 + fabs(mean)) / 0x1p10;
  if (stored != working) {
    most += 2 * second_roundoff(stored) * sizes_of(s, size, mean, beta) + second_smallest(stored) * 0x1p50;
    most += second_roundoff(stored) * (fabs(value) + most) + second_smallest(stored);
  }
  bool good = true;
  if ((i->flags & CBN_INCONCLUSIVE) != 0) {
    /* f16 overflows on the way, as a sum or as the folded weight */
    const double weight = largest_magnitude(p->conv.tensor[CBN_ROLE_WEIGHT]) * size;
    good = fabs(value) + most > 0x1p100 || working == CBN_F16 ||
           (stored == CBN_F16 && fmax(weight, sizes_of(s, size, mean, beta)) > 4096);
  } else if (isfinite(i->value)) {
    mpfr_sub_d(end, exact, i->value, MPFR_RNDN);
    const double distance = fabs(mpfr_get_d(end, MPFR_RNDN));
    good = distance <= i->own * (1 + SLACK) + 0x1p-1070 && i->bound <= most + 6 * i->own;
    if (stored == working) good = good && distance + least * (1 - SLACK) <= i->bound;
    for (int sign = -1; sign <= 1 && good && stored != working; sign++) {
      mpfr_set_d(end, sign * least * (1 - SLACK), MPFR_RNDN);
      mpfr_add(end, end, exact, MPFR_RNDN);
      good = cbn_interval_admits(i, second_round_exact(stored, end));
    }
  } else {
    good = cbn_interval_admits(i, second_round_exact(stored, exact));
  }
  if (!good)
    fprintf(stderr,
            "channel %" PRId64 ": value %.17g bound %.9g own %.3g flags %d, exact %.17g, bound %.9g to %.9g\n  ",
            channel, i->value, i->bound, i->own, i->flags, value, least, most);
  mpfr_clears(scale, exact, end, (mpfr_ptr)0);
  return good;
}

static bool check_pair(const pair *p, uint32_t arithmetic, int64_t *elements) {
  second_conv second;
  cbn_expected first;
  second_sum sum;
  assert_true(second_conv_terms(&p->conv.conv, p->conv.tensor, &second));
  assert_true(cbn_expected_allocate(&first, p->conv.type, second.rank, second.extent));
  assert_true(
      cbn_reference_folded(&p->conv.conv, p->conv.tensor, &p->norm.batchnorm, p->norm.tensor, arithmetic, &first));
  second_sum_init(&sum, p->conv.type, second_working(p->conv.type, arithmetic));
  int64_t inner = 1;
  for (int a = 2; a < second.rank; a++) inner *= second.extent[a];
  bool good = true;
  for (int64_t i = 0; i < second.count && good; i++, (*elements)++) {
    const cbn_interval interval = cbn_expected_at(&first, i);
    second_sum_evaluate(&sum, &second.element[i]);
    good = check_element(p, i / inner % p->conv.conv.out_channels, &sum, &interval, arithmetic);
  }
  second_sum_clear(&sum);
  cbn_expected_release(&first);
  second_conv_release(&second);
  return good;
}

static void folded_convolution_agrees_at_random(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(1500);
  int64_t elements = 0;
  for (int64_t i = 0; i < count; i++) {
    pair p = {.conv.seed = seed + (uint64_t)i};
    random_state r = {p.conv.seed};
    pair_make(&p, &r);
    static const uint32_t classes[] = {0, 0, CBN_NARROW_SUMS, CBN_TF32_PRODUCTS, CBN_BF16_PRODUCTS};
    const uint32_t arithmetic = classes[random_between(&r, 0, 4)];
    const bool good = check_pair(&p, arithmetic, &elements);
    if (!good) {
      fprintf(stderr, "arithmetic=%u ", arithmetic);
      conv_problem_print(&p.conv);
    }
    assert_true(good);
    pair_release(&p);
  }
  print_message("%" PRId64 " folded convolutions, %" PRId64 " elements\n", count, elements);
}

/* One product, behind it a batch normalization with mean 0, no shift and s = g, in f32. */
static cbn_interval fold_one(double x, double w, float g, uint32_t arithmetic) {
  float values[] = {(float)x, (float)w, g, 0, 1};
  cbn_tensor t[5];
  for (int i = 0; i < 5; i++)
    t[i] = (cbn_tensor){
        .type = CBN_F32, .rank = i < 2 ? 3 : 1, .extent = {1, 1, 1}, .stride = {1, 1, 1}, .data = &values[i]};
  cbn_conv c = cbn_conv_make(1);
  c.batch = c.in_channels = c.out_channels = c.input[0] = c.kernel[0] = 1;
  cbn_batchnorm n = cbn_batchnorm_make(1);
  n.batch = n.channels = n.extent[0] = 1;
  n.epsilon = 0;
  n.has_bias = 0;
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &t[0], [CBN_ROLE_WEIGHT] = &t[1]};
  const cbn_tensor *norm[CBN_ROLE_COUNT] = {
      [CBN_ROLE_WEIGHT] = &t[2], [CBN_ROLE_RUNNING_MEAN] = &t[3], [CBN_ROLE_RUNNING_VAR] = &t[4]};
  cbn_expected e;
  assert_true(cbn_expected_allocate(&e, CBN_F32, 3, (int64_t[]){1, 1, 1}));
  assert_true(cbn_reference_folded(&c, tensor, &n, norm, arithmetic, &e));
  const cbn_interval i = cbn_expected_at(&e, 0);
  cbn_expected_release(&e);
  return i;
}

/* What happens to the folded weight before it meets an input. */
static void the_folded_weight_may_overflow_or_vanish(void **state) {
  (void)state;
  cbn_interval i = fold_one(0x1p-100, 0x1p127, 4, 0);
  assert_true(cbn_interval_admits(&i, INFINITY) && cbn_interval_admits(&i, 0x1p29));
  i = fold_one(0, 0x1p127, 4, 0);
  assert_true(cbn_interval_admits(&i, (double)NAN));
  /* a product of 2^-149 and a half rounds to 0, and so does what is subnormal where it is flushed */
  i = fold_one(0x1p100, 0x1p-149, 0.5F, 0);
  assert_true(cbn_interval_admits(&i, 0));
  i = fold_one(0x1p100, 0x1p-130, 2, CBN_FLUSHES_SUBNORMALS);
  assert_true(cbn_interval_admits(&i, 0) && cbn_interval_admits(&i, 0x1p-29));
  /* 1 + 2^-11 has 12 bits: cut to 11 or rounded to even it is 1; x = 2^-140 keeps no bit of a pattern that is cut */
  i = fold_one(1 + 0x1p-11, 1, 1, CBN_TF32_PRODUCTS);
  assert_true(cbn_interval_admits(&i, 1));
  i = fold_one(1, 1 + 0x1p-8, 1, CBN_BF16_PRODUCTS);
  assert_true(cbn_interval_admits(&i, 1));
  i = fold_one(0x1p-140, 0x1p100, 1, CBN_TF32_PRODUCTS);
  assert_true(cbn_interval_admits(&i, 0) && cbn_interval_admits(&i, 0x1p-40) && (i.flags & CBN_INCONCLUSIVE) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(folded_tensors_are_right),
      cmocka_unit_test(folding_by_hand),
      cmocka_unit_test(only_what_the_operators_have_is_folded),
      cmocka_unit_test(operators_that_do_not_fold_are_refused),
      cmocka_unit_test(each_tensor_that_does_not_fit_is_refused),
      cmocka_unit_test(folded_convolution_agrees_at_random),
      cmocka_unit_test(the_folded_weight_may_overflow_or_vanish),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
