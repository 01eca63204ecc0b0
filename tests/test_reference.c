/* The reference against the second reference: values, bounds and flags, over random small problems and by hand. */
#include <convbn/reference.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/random_problem.h"
#include "tests/second_reference.h"

#define OVERFLOW_THRESHOLD (0x1p128 - 0x1p103) /* rounds to infinity from here on */
#define SLACK 1e-6                             /* of a bound: its evaluation in f64 */

/* What a check found; the first few are printed with the problem's replay line. */
static int failures;

static bool report(const char *what, int64_t element, const cbn_interval *i, double expected) {
  if (failures < 10)
    fprintf(stderr, "element %" PRId64 ": %s; value %.17g bound %.17g own %.3g flags %d, expected %.17g\n  ", element,
            what, i->value, i->bound, i->own, i->flags, expected);
  failures++;
  return false;
}

/* a <= b (1 + relative) + absolute, of exact numbers. */
static bool at_most(const mpfr_t a, const mpfr_t b, double relative, double absolute) {
  mpfr_t limit;
  mpfr_init2(limit, SECOND_EXACT_BITS);
  mpfr_mul_d(limit, b, relative, MPFR_RNDU);
  mpfr_add(limit, limit, b, MPFR_RNDU);
  mpfr_add_d(limit, limit, absolute, MPFR_RNDU);
  const bool holds = mpfr_cmp(a, limit) <= 0;
  mpfr_clear(limit);
  return holds;
}

/* |i->value - exact| <= i->own (and rounding noise of the second reference itself, `noise`). */
static bool own_holds(const cbn_interval *i, const mpfr_t exact, double noise) {
  mpfr_t distance;
  mpfr_init2(distance, SECOND_EXACT_BITS);
  mpfr_sub_d(distance, exact, i->value, MPFR_RNDN);
  mpfr_abs(distance, distance, MPFR_RNDN);
  const bool holds = mpfr_cmp_d(distance, i->own * (1 + noise)) <= 0;
  mpfr_clear(distance);
  return holds;
}

/* value +- bound holds exact +- e. */
static bool bound_holds(const cbn_interval *i, const mpfr_t exact, const mpfr_t e) {
  mpfr_t need;
  mpfr_init2(need, SECOND_EXACT_BITS);
  mpfr_sub_d(need, exact, i->value, MPFR_RNDN);
  mpfr_abs(need, need, MPFR_RNDN);
  mpfr_add(need, need, e, MPFR_RNDN);
  mpfr_mul_d(need, need, 1 - 0x1p-200, MPFR_RNDN);
  const bool holds = mpfr_cmp_d(need, i->bound) <= 0;
  mpfr_clear(need);
  return holds;
}

/* --------------------------------------------------------------------------------------------------- convolution */

/* What of a problem all elements share. */
typedef struct conv_grids {
  int grid;       /* every product and the bias is a multiple of 2^grid */
  bool subnormal; /* some element is */
  bool finite;    /* all elements are */
} conv_grids;

static bool all_finite(const cbn_tensor *t) {
  const int64_t count = cbn_tensor_count(t);
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(cbn_tensor_get(t, i))) return false;
  return true;
}

static conv_grids grids_of(const conv_problem *p) {
  const cbn_tensor *bias = conv_problem_bias(p);
  const int x = second_tensor_grid(&p->input.tensor), w = second_tensor_grid(&p->weight.tensor);
  const int b = bias != NULL ? second_tensor_grid(bias) : SECOND_NO_GRID;
  const int xw = x == SECOND_NO_GRID || w == SECOND_NO_GRID ? SECOND_NO_GRID : x + w;
  return (conv_grids){
      .grid = xw < b ? xw : b,
      .subnormal = second_tensor_has_subnormal(&p->input.tensor) || second_tensor_has_subnormal(&p->weight.tensor) ||
                   (bias != NULL && second_tensor_has_subnormal(bias)),
      .finite = all_finite(&p->input.tensor) && all_finite(&p->weight.tensor) && (bias == NULL || all_finite(bias))};
}

/* No partial sum is subnormal but 0: all are multiples of 2^-126, or of one sign and at least 2^-126. */
static bool sums_stay_normal(const second_sum *s, int grid) {
  const bool one_sign = mpfr_zero_p(s->positive) || mpfr_zero_p(s->negative);
  return grid >= -126 || (one_sign && s->smallest >= 0x1p-126);
}

/* With all terms multiples of 2^grid and B <= 2^(24+grid), every partial sum is an f32, down to 2^-149; where
 * subnormals are flushed, no factor and no partial sum may be one. */
static bool sums_are_exact(const second_sum *s, int grid, bool subnormal, bool flushes) {
  if (s->nonzero == 0) return true;
  if (grid < -149 || (flushes && (subnormal || !sums_stay_normal(s, grid)))) return false;
  mpfr_t b;
  mpfr_init2(b, SECOND_EXACT_BITS);
  mpfr_add(b, s->positive, s->negative, MPFR_RNDN);
  bool exact = mpfr_cmp_d(b, OVERFLOW_THRESHOLD) < 0;
  mpfr_mul_2si(b, b, -grid, MPFR_RNDN);
  exact = exact && mpfr_cmp_d(b, 0x1p24) <= 0;
  mpfr_clear(b);
  return exact;
}

/* a + b >= limit */
static bool reaches(const mpfr_t a, const mpfr_t b, double limit) {
  mpfr_t sum;
  mpfr_init2(sum, SECOND_EXACT_BITS);
  mpfr_add(sum, a, b, MPFR_RNDN);
  const bool does = mpfr_cmp_d(sum, limit) >= 0;
  mpfr_clear(sum);
  return does;
}

/* a - e >= overflow: an admissible order makes the partial sum `a` overflow. */
static bool overflows(const mpfr_t a, const mpfr_t e) {
  mpfr_t least;
  mpfr_init2(least, SECOND_EXACT_BITS);
  mpfr_sub(least, a, e, MPFR_RNDN);
  const bool does = mpfr_cmp_d(least, OVERFLOW_THRESHOLD) >= 0;
  mpfr_clear(least);
  return does;
}

static bool check_special(int64_t at, const second_sum *s, const mpfr_t e, const cbn_interval *i, bool flushes) {
  const bool nan = s->nan || (s->plus && s->minus);
  if (i->flags & CBN_INCONCLUSIVE) {
    /* only the finite terms of the other sign can clash; deciding on any term within a factor of two is allowed */
    const bool overflow = reaches(s->negative, s->positive, 0.499999 * OVERFLOW_THRESHOLD);
    return overflow || (flushes && s->flush_makes_nan) ||
           report("inconclusive without a reason", at, i,
                  nan       ? NAN
                  : s->plus ? INFINITY
                            : -INFINITY);
  }
  if (nan) return isnan(i->value) || report("should be NaN", at, i, NAN);
  if ((s->plus && overflows(s->negative, e)) || (s->minus && overflows(s->positive, e)))
    return report("an infinity meets an overflow: not inconclusive", at, i, NAN);
  if (flushes && s->flush_makes_nan && !(i->flags & CBN_OR_NAN))
    return report("a flushed subnormal times infinity is NaN: not flagged", at, i, NAN);
  const double infinity = s->plus ? INFINITY : -INFINITY;
  return i->value == infinity || report("should be infinite", at, i, infinity);
}

/* Overflow: true with *done set where nothing else is to be checked. */
static bool check_overflow(int64_t at, const second_sum *s, const mpfr_t e, const cbn_interval *i, bool *done) {
  mpfr_t b, v;
  mpfr_inits2(SECOND_EXACT_BITS, b, v, (mpfr_ptr)0);
  mpfr_add(b, s->positive, s->negative, MPFR_RNDN);
  mpfr_abs(v, s->value, MPFR_RNDN);
  const bool possible = reaches(b, e, (1 - SLACK) * OVERFLOW_THRESHOLD);
  const bool up = overflows(s->positive, e), down = overflows(s->negative, e);
  const bool same_sign_value = mpfr_sgn(s->value) > 0 ? up && !down : down && !up;
  const bool of_value = reaches(v, e, OVERFLOW_THRESHOLD), near_value = reaches(v, e, (1 - SLACK) * 0x1.fffffep127);
  mpfr_clears(b, v, (mpfr_ptr)0);
  *done = true;
  if (i->flags & CBN_INCONCLUSIVE) return possible || report("inconclusive without overflow", at, i, 0);
  if ((up || down) && !(same_sign_value && (i->flags & CBN_OR_INFINITY)))
    return report("a partial sum may overflow: not inconclusive", at, i, INFINITY);
  if (of_value && !(i->flags & CBN_OR_INFINITY)) return report("infinity is not admitted", at, i, INFINITY);
  if ((i->flags & CBN_OR_INFINITY) && !near_value) return report("infinity is admitted without overflow", at, i, 0);
  *done = false;
  return true;
}

static double half_unit(double a) {
  const double magnitude = fabs(a) < 0x1p-126 ? 0x1p-126 : fabs(a);
  return ldexp(1, ilogb(magnitude) - 24);
}

static bool check_exact(int64_t at, const second_sum *s, const cbn_interval *i, bool flushes) {
  if (sums_are_exact(s, s->grid, s->subnormal, flushes))
    return (i->bound == 0 && i->own == 0) || report("exact, bound not 0", at, i, 0);
  if (s->nonzero > 1 || flushes) return report("claimed exact, but sums round", at, i, 0);
  /* a single term is rounded once */
  const double v = mpfr_get_d(s->value, MPFR_RNDN), rounding = fabs((double)(float)v - i->value);
  return (i->bound >= rounding && i->bound <= half_unit(v) * (1 + SLACK)) ||
         report("rounded once, bound is not half a unit", at, i, half_unit(v));
}

static bool check_conv_element(int64_t at, const second_sum *s, const second_terms *terms, const conv_grids *grids,
                               bool flushes, const cbn_interval *i) {
  mpfr_t e, bound;
  mpfr_inits2(SECOND_EXACT_BITS, e, bound, (mpfr_ptr)0);
  second_conv_bound(e, s, flushes);
  bool good, done = false;
  if (((i->flags & CBN_OR_NAN) != 0) != terms->nonfinite_on_zero && !s->nan && !(s->plus && s->minus) &&
      !(i->flags & CBN_INCONCLUSIVE) && !(flushes && s->flush_makes_nan)) {
    good = report("NaN admitted or not", at, i, terms->nonfinite_on_zero ? NAN : 0);
  } else if (s->nan || s->plus || s->minus) {
    good = check_special(at, s, e, i, flushes);
  } else {
    good = check_overflow(at, s, e, i, &done);
    if (good && !done) {
      const double v = mpfr_get_d(s->value, MPFR_RNDN);
      mpfr_set_d(bound, i->bound, MPFR_RNDN);
      if (!own_holds(i, s->value, 0)) good = report("the exact value is outside value +- own", at, i, v);
      else if (!(i->own <= SLACK * i->bound)) good = report("own is not small against bound", at, i, v);
      else if (s->nonzero == 0 && (i->bound != 0 || i->value != 0)) good = report("B = 0, but not exactly 0", at, i, 0);
      else if (!(i->flags & CBN_EXACT) && grids->finite && (!flushes || grids->grid >= -126) &&
               sums_are_exact(s, grids->grid, grids->subnormal, flushes))
        good = report("exact by the tensors' grids, but not claimed", at, i, v);
      else if (i->flags & CBN_EXACT) good = check_exact(at, s, i, flushes);
      else if (!bound_holds(i, s->value, e)) good = report("bound below the formula", at, i, mpfr_get_d(e, MPFR_RNDN));
      else if (!at_most(bound, e, SLACK, 2 * i->own))
        good = report("bound above the formula", at, i, mpfr_get_d(e, MPFR_RNDN));
    }
  }
  mpfr_clears(e, bound, (mpfr_ptr)0);
  return good;
}

static bool same_interval(const cbn_interval *a, const cbn_interval *b) {
  return memcmp(&a->value, &b->value, sizeof a->value) == 0 && memcmp(&a->bound, &b->bound, sizeof a->bound) == 0 &&
         memcmp(&a->own, &b->own, sizeof a->own) == 0 && a->flags == b->flags;
}

/* cbn_reference_conv_at gives what cbn_reference_conv gives. */
static bool check_column(const conv_problem *p, random_state *r, uint32_t arithmetic, const cbn_expected *whole) {
  const int64_t planes = p->conv.batch * p->conv.out_channels;
  if (whole->count == 0) return true;
  enum { COLUMNS = 2 };
  int64_t position[COLUMNS][CBN_MAX_SPATIAL] = {0}, flat[COLUMNS] = {0}, positions = 1;
  for (int a = 0; a < p->conv.spatial_rank; a++) {
    for (int j = 0; j < COLUMNS; j++) {
      position[j][a] = random_between(r, 0, whole->extent[2 + a] - 1);
      flat[j] = flat[j] * whole->extent[2 + a] + position[j][a];
    }
    positions *= whole->extent[2 + a];
  }
  cbn_interval *columns = calloc((size_t)(COLUMNS * planes), sizeof *columns);
  assert_non_null(columns);
  assert_true(cbn_reference_conv_at(&p->conv, &p->input.tensor, &p->weight.tensor, conv_problem_bias(p), arithmetic,
                                    COLUMNS, (const int64_t(*)[CBN_MAX_SPATIAL])position, columns));
  bool good = true;
  for (int64_t j = 0; j < COLUMNS * planes && good; j++) {
    const int64_t at = j % planes * positions + flat[j / planes];
    const cbn_interval i = cbn_expected_at(whole, at);
    good = same_interval(&i, &columns[j]) || report("the column differs from the whole", at, &columns[j], i.value);
  }
  free(columns);
  return good;
}

static bool check_conv(const conv_problem *p, random_state *r, uint32_t arithmetic, int64_t *elements) {
  second_conv second;
  assert_true(second_conv_scatter(&p->conv, &p->input.tensor, &p->weight.tensor, conv_problem_bias(p), &second));
  cbn_expected first;
  assert_true(cbn_expected_allocate(&first, second.rank, second.extent));
  int64_t extent[CBN_MAX_RANK];
  assert_int_equal(cbn_conv_extents(&p->conv, CBN_ROLE_OUTPUT, extent), second.rank);
  assert_memory_equal(extent, second.extent, (size_t)second.rank * sizeof extent[0]);
  assert_true(
      cbn_reference_conv(&p->conv, &p->input.tensor, &p->weight.tensor, conv_problem_bias(p), arithmetic, &first));

  const conv_grids grids = grids_of(p);
  const bool flushes = (arithmetic & CBN_FLUSHES_SUBNORMALS) != 0;
  second_sum sum;
  second_sum_init(&sum);
  bool good = true;
  for (int64_t i = 0; i < second.count && good; i++) {
    const cbn_interval interval = cbn_expected_at(&first, i);
    second_sum_evaluate(&sum, &second.element[i]);
    good = check_conv_element(i, &sum, &second.element[i], &grids, flushes, &interval);
    (*elements)++;
  }
  good = good && check_column(p, r, arithmetic, &first);
  second_sum_clear(&sum);
  cbn_expected_release(&first);
  second_conv_release(&second);
  return good;
}

static void conv_agrees_at_random(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(5000);
  int64_t elements = 0, problems = 0;
  failures = 0;
  for (int64_t i = 0; i < count && failures < 10; i++, problems++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    assert_true(conv_problem_make(&p, &r, (int)random_between(&r, 0, TEMPER_COUNT - 1)));
    const uint32_t arithmetic = random_chance(&r, 4) ? CBN_FLUSHES_SUBNORMALS : 0;
    if (!check_conv(&p, &r, arithmetic, &elements)) conv_problem_print(&p);
    conv_problem_release(&p);
  }
  print_message("%" PRId64 " convolutions, %" PRId64 " elements\n", problems, elements);
  assert_int_equal(failures, 0);
}

/* A 1-d convolution of given values; the reference's answer for output element 0. */
static cbn_interval conv_by_hand(cbn_conv conv, const float *x, const float *w, const float *b, uint32_t arithmetic) {
  conv_problem p = {.conv = conv};
  cbn_violation violation;
  assert_true(cbn_conv_validate(&conv, &violation));
  int64_t extent[CBN_MAX_RANK];
  random_state r = {0};
  int32_t rank = cbn_conv_extents(&conv, CBN_ROLE_INPUT, extent);
  assert_true(test_tensor_make(&p.input, &r, rank, extent, LAYOUT_CONTIGUOUS));
  memcpy(p.input.memory, x, (size_t)cbn_tensor_bytes(&p.input.tensor));
  rank = cbn_conv_extents(&conv, CBN_ROLE_WEIGHT, extent);
  assert_true(test_tensor_make(&p.weight, &r, rank, extent, LAYOUT_CONTIGUOUS));
  memcpy(p.weight.memory, w, (size_t)cbn_tensor_bytes(&p.weight.tensor));
  if (conv.has_bias) {
    rank = cbn_conv_extents(&conv, CBN_ROLE_BIAS, extent);
    assert_true(test_tensor_make(&p.bias, &r, rank, extent, LAYOUT_CONTIGUOUS));
    memcpy(p.bias.memory, b, (size_t)cbn_tensor_bytes(&p.bias.tensor));
  }
  cbn_expected e;
  rank = cbn_conv_extents(&conv, CBN_ROLE_OUTPUT, extent);
  assert_true(cbn_expected_allocate(&e, rank, extent));
  assert_true(cbn_reference_conv(&conv, &p.input.tensor, &p.weight.tensor, conv_problem_bias(&p), arithmetic, &e));
  const cbn_interval i = cbn_expected_at(&e, 0);
  cbn_expected_release(&e);
  conv_problem_release(&p);
  return i;
}

static cbn_conv line(int64_t extent, int64_t kernel) {
  cbn_conv c = cbn_conv_make(1);
  c.batch = c.in_channels = c.out_channels = 1;
  c.input[0] = extent;
  c.kernel[0] = kernel;
  return c;
}

static void conv_special_values_by_hand(void **state) {
  (void)state;
  cbn_interval i;
  /* infinity times zero, infinity minus infinity, an infinity alone */
  i = conv_by_hand(line(2, 2), (float[]){INFINITY, 1}, (float[]){0, 1}, NULL, 0);
  assert_true(isnan(i.value));
  i = conv_by_hand(line(2, 2), (float[]){INFINITY, -INFINITY}, (float[]){1, 1}, NULL, 0);
  assert_true(isnan(i.value));
  i = conv_by_hand(line(2, 2), (float[]){INFINITY, -5}, (float[]){-1, 1}, NULL, 0);
  assert_true(i.value == -INFINITY && cbn_interval_admits(&i, -INFINITY));
  assert_false(cbn_interval_admits(&i, INFINITY) || cbn_interval_admits(&i, NAN) || cbn_interval_admits(&i, -3e38));
  i = conv_by_hand(line(2, 2), (float[]){NAN, 0}, (float[]){0, 0}, NULL, 0);
  assert_true(isnan(i.value) && cbn_interval_admits(&i, NAN) && cbn_interval_admits(&i, -NAN));
  assert_false(cbn_interval_admits(&i, 0));

  /* a NaN weight over zero padding: 3 when skipped, NaN when multiplied; over a gap of the input dilation likewise */
  cbn_conv padded = line(2, 2);
  padded.pad_begin[0] = 1;
  i = conv_by_hand(padded, (float[]){3, 1}, (float[]){NAN, 1}, NULL, 0);
  assert_true((i.flags & CBN_OR_NAN) != 0 && i.value == 3);
  assert_true(cbn_interval_admits(&i, 3) && cbn_interval_admits(&i, NAN));
  assert_false(cbn_interval_admits(&i, 4));
  cbn_conv gaps = line(2, 3);
  gaps.input_dilation[0] = 2;
  i = conv_by_hand(gaps, (float[]){3, 1}, (float[]){1, -INFINITY, 1}, NULL, 0);
  assert_true((i.flags & CBN_OR_NAN) != 0 && i.value == 4);
  /* reflection puts no zeros */
  padded.padding_mode = CBN_PAD_REFLECT;
  i = conv_by_hand(padded, (float[]){3, 1}, (float[]){INFINITY, 1}, NULL, 0);
  assert_true((i.flags & CBN_OR_NAN) == 0 && i.value == INFINITY);

  /* flushing makes NaN of a subnormal times infinity */
  i = conv_by_hand(line(1, 1), (float[]){0x1p-130F}, (float[]){INFINITY}, NULL, CBN_FLUSHES_SUBNORMALS);
  assert_true(cbn_interval_admits(&i, NAN));
  i = conv_by_hand(line(1, 1), (float[]){0x1p-130F}, (float[]){INFINITY}, NULL, 0);
  assert_false(cbn_interval_admits(&i, NAN));
}

static void conv_overflow_by_hand(void **state) {
  (void)state;
  const float most = 0x1.fffffep127F;
  cbn_interval i;
  i = conv_by_hand(line(2, 2), (float[]){most, most}, (float[]){1, 1}, NULL, 0);
  assert_true(cbn_interval_admits(&i, INFINITY));
  /* 2^128 - 2^128 + 1: infinity, minus infinity, NaN or 1 by the order */
  i = conv_by_hand(line(5, 5), (float[]){0x1p127F, 0x1p127F, -0x1p127F, -0x1p127F, 1}, (float[]){1, 1, 1, 1, 1}, NULL,
                   0);
  assert_true((i.flags & CBN_INCONCLUSIVE) != 0);
  /* an infinite term against finite terms that overflow to the other side */
  i = conv_by_hand(line(3, 3), (float[]){INFINITY, -most, -most}, (float[]){1, 1, 1}, NULL, 0);
  assert_true((i.flags & CBN_INCONCLUSIVE) != 0);
  /* the largest finite value alone does not overflow */
  i = conv_by_hand(line(1, 1), (float[]){most}, (float[]){1}, NULL, 0);
  assert_true(i.flags == CBN_EXACT && i.bound == 0);
  assert_false(cbn_interval_admits(&i, INFINITY));
  /* B <= 2^24 g with a g so large that B overflows is not exact */
  i = conv_by_hand(line(2, 2), (float[]){0x1p127F, 0x1p127F}, (float[]){1, 1}, NULL, 0);
  assert_false((i.flags & CBN_EXACT) != 0 && (i.flags & (CBN_OR_INFINITY | CBN_INCONCLUSIVE)) == 0);
}

static void conv_exactness_by_hand(void **state) {
  (void)state;
  cbn_interval i;
  cbn_conv with_bias = line(1, 1);
  with_bias.has_bias = 1;
  /* B = 2^24 exactly on the grid of 1; one more is not representable with an odd partial sum */
  i = conv_by_hand(with_bias, (float[]){16777215}, (float[]){1}, (float[]){1}, 0);
  assert_true((i.flags & CBN_EXACT) != 0 && i.bound == 0 && i.value == 16777216);
  i = conv_by_hand(with_bias, (float[]){16777215}, (float[]){1}, (float[]){2}, 0);
  assert_true((i.flags & CBN_EXACT) == 0 && i.bound > 0);
  /* no term but zeros */
  i = conv_by_hand(with_bias, (float[]){0}, (float[]){5}, (float[]){-0.0F}, 0);
  assert_true(i.value == 0 && i.bound == 0 && cbn_interval_admits(&i, -0.0) && cbn_interval_admits(&i, 0));
  assert_false(cbn_interval_admits(&i, 0x1p-149));
  /* an input that flushes although its product is normal */
  i = conv_by_hand(line(1, 1), (float[]){0x1p-130F}, (float[]){0x1p100F}, NULL, CBN_FLUSHES_SUBNORMALS);
  assert_true(cbn_interval_admits(&i, 0) && cbn_interval_admits(&i, 0x1p-30));
  i = conv_by_hand(line(1, 1), (float[]){0x1p-130F}, (float[]){0x1p100F}, NULL, 0);
  assert_true((i.flags & CBN_EXACT) != 0);
  assert_false(cbn_interval_admits(&i, 0));
  /* a product that flushes although its factors are normal */
  i = conv_by_hand(line(1, 1), (float[]){0x1p-100F}, (float[]){0x1p-40F}, NULL, CBN_FLUSHES_SUBNORMALS);
  assert_true(cbn_interval_admits(&i, 0) && cbn_interval_admits(&i, 0x1p-140));
  /* a product below the smallest subnormal is off its grid */
  i = conv_by_hand(with_bias, (float[]){0x1p-75F}, (float[]){0x1p-75F}, (float[]){1}, 0);
  assert_true(cbn_interval_admits(&i, 1));
}

static void conv_of_too_many_products_is_inconclusive(void **state) {
  (void)state;
  /* n u = 1/2 at n = 2^23, by broadcast strides: one element of memory */
  const cbn_conv c = line(INT64_C(1) << 23, INT64_C(1) << 23);
  float third = 1.0F / 3;
  cbn_tensor t = {.type = CBN_F32, .rank = 3, .extent = {1, 1, c.input[0]}, .stride = {0, 0, 0}, .data = &third};
  cbn_expected e;
  assert_true(cbn_expected_allocate(&e, 3, (int64_t[]){1, 1, 1}));
  assert_true(cbn_reference_conv(&c, &t, &t, NULL, 0, &e));
  assert_true((e.flags[0] & CBN_INCONCLUSIVE) != 0);
  cbn_expected_release(&e);
}

/* ------------------------------------------------------------------------------------------- batch normalization */

static bool flags_are_inconclusive(uint8_t flags) { return (flags & CBN_INCONCLUSIVE) != 0; }

/* An element against the exact value, the bound's formula, and the formula with underflow granted generously. */
static bool check_batchnorm_number(const char *what, int64_t at, const cbn_interval *i, const mpfr_t value,
                                   const mpfr_t least, const mpfr_t most) {
  mpfr_t bound;
  mpfr_init2(bound, SECOND_BITS);
  mpfr_set_d(bound, i->bound, MPFR_RNDN);
  const double v = mpfr_get_d(value, MPFR_RNDN);
  bool good = true;
  if (!own_holds(i, value, 0x1p-40)) good = report("the exact value is outside value +- own", at, i, v);
  else if (!(i->own <= SLACK * i->bound)) good = report("own is not small against bound", at, i, v);
  else if (!(i->flags & CBN_EXACT) && !bound_holds(i, value, least))
    good = report("bound below the formula", at, i, mpfr_get_d(least, MPFR_RNDN));
  else if (!at_most(bound, most, SLACK, 2 * i->own))
    good = report("bound above the formula", at, i, mpfr_get_d(most, MPFR_RNDN));
  mpfr_clear(bound);
  if (!good) fprintf(stderr, "(%s) ", what);
  return good;
}

/* A running statistic as both references carry it. */
typedef struct carried {
  mpfr_t value, least, most; /* `least`, `most`: the error by the formula without and with underflow */
  bool valid;
} carried;

/* One channel of one step. */
typedef struct channel_step {
  second_statistics least, most; /* what normalises, with errors without and with underflow */
  bool valid;
} channel_step;

typedef struct batchnorm_check {
  const batchnorm_problem *problem;
  double eta, underflow;
  bool two_pass; /* what the engine declares */
  carried *mean, *variance; /* a channel each; NULL without running statistics */
  cbn_expected running_mean, running_var, output;
  float *x;
} batchnorm_check;

static bool values_are_tame(const float *x, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(x[i]) || fabsf(x[i]) > 0x1p55F) return false;
  return true;
}

static void carried_init(carried *c, double value) {
  mpfr_inits2(SECOND_BITS, c->value, c->least, c->most, (mpfr_ptr)0);
  mpfr_set_d(c->value, value, MPFR_RNDN);
  mpfr_set_zero(c->least, 1);
  mpfr_set_zero(c->most, 1);
  c->valid = isfinite(value) && fabs(value) < 0x1p100;
}

static void carried_clear(carried *c) { mpfr_clears(c->value, c->least, c->most, (mpfr_ptr)0); }

static void statistics_of_running(second_statistics *s, const carried *mean, const carried *variance, bool most) {
  mpfr_set(s->mean, mean->value, MPFR_RNDN);
  mpfr_set(s->variance, variance->value, MPFR_RNDN);
  mpfr_set(s->mean_error, most ? mean->most : mean->least, MPFR_RNDN);
  mpfr_set(s->variance_error, most ? variance->most : variance->least, MPFR_RNDN);
}

static void carried_update(const batchnorm_check *k, carried *c, const second_statistics *least,
                           const second_statistics *most, bool variance, double from, double to) {
  const double m = k->problem->batchnorm.new_weight;
  mpfr_t again;
  mpfr_init2(again, SECOND_BITS);
  mpfr_set(again, c->value, MPFR_RNDN);
  if (variance) {
    second_running_update(c->value, c->least, m, from, to, least->variance, least->variance_error, 0, k->eta);
    second_running_update(again, c->most, m, from, to, most->variance, most->variance_error, k->underflow, k->eta);
  } else {
    second_running_update(c->value, c->least, m, from, to, least->mean, least->mean_error, 0, k->eta);
    second_running_update(again, c->most, m, from, to, most->mean, most->mean_error, k->underflow, k->eta);
  }
  mpfr_clear(again);
}

/* v + epsilon + dv < 0: the root of it is NaN however v was computed. */
static bool surely_negative(const second_statistics *s, double epsilon) {
  mpfr_t largest;
  mpfr_init2(largest, SECOND_BITS);
  mpfr_add(largest, s->variance, s->variance_error, MPFR_RNDN);
  mpfr_add_d(largest, largest, epsilon, MPFR_RNDN);
  const bool negative = mpfr_sgn(largest) < 0;
  mpfr_clear(largest);
  return negative;
}

/* Some way of computing y, folded or not, comes near the largest f32 on its way. */
static bool may_overflow(const second_statistics *s, float x, double epsilon, float g, float b) {
  const double spread = fabs((double)x) + fabs(mpfr_get_d(s->mean, MPFR_RNDN)) + mpfr_get_d(s->mean_error, MPFR_RNDN);
  const double least = mpfr_get_d(s->variance, MPFR_RNDN) - mpfr_get_d(s->variance_error, MPFR_RNDN) + epsilon;
  const double r = 1 / sqrt(least), scale = fmax(fabs((double)g), 1);
  return !((1 + spread) * r * scale + fabs((double)b) < 0x1p125);
}

static bool check_outputs(batchnorm_check *k, int64_t channel, const channel_step *s) {
  const batchnorm_problem *p = k->problem;
  const float g = channel_value(&p->weight, channel, 1), b = channel_value(&p->bias, channel, 0);
  if (!isfinite(g) || !isfinite(b) || fabsf(g) > 0x1p60F || fabsf(b) > 0x1p100F || !s->valid) return true;
  mpfr_t value, again, least, most;
  mpfr_inits2(SECOND_BITS, value, again, least, most, (mpfr_ptr)0);
  bool good = true;
  for (int64_t i = 0; i < p->values && good; i++) {
    const int64_t at = channel_position(p, channel, i);
    const cbn_interval interval = cbn_expected_at(&k->output, at);
    const double epsilon = p->batchnorm.epsilon;
    const bool conclusive = second_normalise(value, least, k->x[i], &s->least, epsilon, g, b, 0, k->eta);
    const bool surely = second_normalise(again, most, k->x[i], &s->most, epsilon, g, b, k->underflow, k->eta);
    if (flags_are_inconclusive(interval.flags))
      good = !surely || may_overflow(&s->most, k->x[i], epsilon, g, b) ||
             report("inconclusive without a reason", at, &interval, mpfr_get_d(value, MPFR_RNDN));
    else if (!conclusive)
      good = (isnan(interval.value) && surely_negative(&s->least, epsilon)) ||
             report("the variance may vanish: not inconclusive", at, &interval, 0);
    else if (surely) good = check_batchnorm_number("output", at, &interval, value, least, most);
  }
  mpfr_clears(value, again, least, most, (mpfr_ptr)0);
  return good;
}

static bool check_running(batchnorm_check *k, int64_t channel, bool ours) {
  const cbn_interval mean = cbn_expected_at(&k->running_mean, channel);
  const cbn_interval variance = cbn_expected_at(&k->running_var, channel);
  if (!ours) return true;
  const carried *m = &k->mean[channel], *v = &k->variance[channel];
  if (flags_are_inconclusive(mean.flags)) return report("running mean inconclusive", channel, &mean, 0);
  if (flags_are_inconclusive(variance.flags)) return report("running variance inconclusive", channel, &variance, 0);
  return check_batchnorm_number("running mean", channel, &mean, m->value, m->least, m->most) &&
         check_batchnorm_number("running variance", channel, &variance, v->value, v->least, v->most);
}

/* One channel after the reference has computed a step. */
static bool check_channel(batchnorm_check *k, int64_t channel) {
  const batchnorm_problem *p = k->problem;
  const cbn_batchnorm *b = &p->batchnorm;
  channel_values(p, channel, k->x);
  const bool tame = values_are_tame(k->x, p->values), batch = b->statistics == CBN_STATISTICS_BATCH;
  second_statistics least, most;
  channel_step step = {.valid = tame};
  second_statistics_init(&step.least);
  second_statistics_init(&step.most);
  second_statistics_init(&least);
  second_statistics_init(&most);
  if (tame) {
    second_statistics_of_batch(&least, k->x, p->values, k->two_pass, 0, k->eta);
    second_statistics_of_batch(&most, k->x, p->values, k->two_pass, k->underflow, k->eta);
  }
  if (batch && tame) {
    second_statistics_of_batch(&step.least, k->x, p->values, k->two_pass, 0, k->eta);
    second_statistics_of_batch(&step.most, k->x, p->values, k->two_pass, k->underflow, k->eta);
    /* 1/(1-q) magnifies what f64 makes of q */
    mpfr_mul_d(step.most.variance_error, step.most.variance_error, 1 + SLACK, MPFR_RNDN);
  } else if (!batch) {
    step.valid = tame && k->mean[channel].valid && k->variance[channel].valid;
    statistics_of_running(&step.least, &k->mean[channel], &k->variance[channel], false);
    statistics_of_running(&step.most, &k->mean[channel], &k->variance[channel], true);
    mpfr_mul_d(step.most.variance_error, step.most.variance_error, 1 + SLACK, MPFR_RNDN);
  }
  bool good = check_outputs(k, channel, &step);
  if (good && b->update_running) {
    const bool unbiased = b->running_variance == CBN_VARIANCE_UNBIASED;
    const bool ours = tame && k->mean[channel].valid && k->variance[channel].valid && !(unbiased && p->values == 1);
    if (ours) {
      carried_update(k, &k->mean[channel], &least, &most, false, 1, 1);
      carried_update(k, &k->variance[channel], &least, &most, true, unbiased ? (double)p->values : 1,
                     unbiased ? (double)p->values - 1 : 1);
    }
    k->mean[channel].valid = k->variance[channel].valid = ours;
    good = check_running(k, channel, ours);
  }
  second_statistics_clear(&least);
  second_statistics_clear(&most);
  second_statistics_clear(&step.least);
  second_statistics_clear(&step.most);
  return good;
}

static void check_begin(batchnorm_check *k, const batchnorm_problem *p) {
  const int64_t channels = p->batchnorm.channels;
  *k = (batchnorm_check){.problem = p, .x = calloc((size_t)p->values + 1, sizeof(float))};
  assert_non_null(k->x);
  assert_true(cbn_expected_allocate(&k->output, p->input.tensor.rank, p->input.tensor.extent));
  if (p->running_mean.memory == NULL) return;
  k->mean = calloc((size_t)channels, sizeof *k->mean);
  k->variance = calloc((size_t)channels, sizeof *k->variance);
  assert_true(k->mean != NULL && k->variance != NULL);
  assert_true(cbn_expected_allocate(&k->running_mean, 1, &channels));
  assert_true(cbn_expected_allocate(&k->running_var, 1, &channels));
  for (int64_t c = 0; c < channels; c++) {
    k->running_mean.value[c] = cbn_tensor_get(&p->running_mean.tensor, c);
    k->running_var.value[c] = cbn_tensor_get(&p->running_var.tensor, c);
    carried_init(&k->mean[c], k->running_mean.value[c]);
    carried_init(&k->variance[c], k->running_var.value[c]);
  }
}

static void check_end(batchnorm_check *k) {
  free(k->x);
  cbn_expected_release(&k->output);
  if (k->mean == NULL) return;
  for (int64_t c = 0; c < k->problem->batchnorm.channels; c++) {
    carried_clear(&k->mean[c]);
    carried_clear(&k->variance[c]);
  }
  free(k->mean);
  free(k->variance);
  cbn_expected_release(&k->running_mean);
  cbn_expected_release(&k->running_var);
}

/* Up to four steps on one set of running statistics, with fresh inputs. */
static bool check_batchnorm(batchnorm_problem *p, random_state *r, int64_t *elements) {
  batchnorm_check k;
  check_begin(&k, p);
  const bool flushes = random_chance(r, 4);
  k.two_pass = random_chance(r, 2);
  const uint32_t arithmetic = (flushes ? (uint32_t)CBN_FLUSHES_SUBNORMALS : 0) | (k.two_pass ? (uint32_t)CBN_TWO_PASS_STATISTICS : 0);
  k.eta = flushes ? 0x1p-126 : 0x1p-149;
  k.underflow = 16 * ((double)p->values + 16);
  bool good = true;
  for (int64_t step = random_between(r, 1, 4); step > 0 && good; step--) {
    const bool running = p->running_mean.memory != NULL;
    cbn_reference_batchnorm(&p->batchnorm, &p->input.tensor, tensor_or_null(&p->weight), tensor_or_null(&p->bias),
                            running ? &k.running_mean : NULL, running ? &k.running_var : NULL, arithmetic, &k.output);
    for (int64_t c = 0; c < p->batchnorm.channels && good; c++) good = check_channel(&k, c);
    *elements += k.output.count;
    test_tensor_fill(&p->input, r, p->temper);
    if (random_chance(r, 3) && running) p->batchnorm.statistics = (int32_t)random_between(r, 0, 1);
  }
  check_end(&k);
  return good;
}

static void batchnorm_agrees_at_random(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(3000);
  int64_t elements = 0, problems = 0;
  failures = 0;
  for (int64_t i = 0; i < count && failures < 10; i++, problems++) {
    batchnorm_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    const int temper = (int)random_between(&r, 0, TEMPER_COUNT - 1);
    assert_true(batchnorm_problem_make(&p, &r, temper, random_chance(&r, 8) ? 500 : 60));
    if (!check_batchnorm(&p, &r, &elements)) batchnorm_problem_print(&p);
    batchnorm_problem_release(&p);
  }
  print_message("%" PRId64 " batch normalizations, %" PRId64 " elements\n", problems, elements);
  assert_int_equal(failures, 0);
}

/* One channel of values, statistics of the batch; the answer for element 0 and the running statistics. */
typedef struct answers {
  cbn_interval output, running_mean, running_var;
} answers;

static answers batchnorm_in(uint32_t arithmetic, cbn_batchnorm b, const float *x, float mean, float variance,
                            float weight, float bias) {
  b.channels = 1;
  float copy[64];
  assert_true(b.batch <= 64);
  memcpy(copy, x, (size_t)b.batch * sizeof *x);
  const cbn_tensor input = {.type = CBN_F32, .rank = 2, .extent = {b.batch, 1}, .stride = {1, 1}, .data = copy};
  const cbn_tensor g = {.type = CBN_F32, .rank = 1, .extent = {1}, .stride = {1}, .data = &weight};
  const cbn_tensor shift = {.type = CBN_F32, .rank = 1, .extent = {1}, .stride = {1}, .data = &bias};
  cbn_expected m, v, y;
  assert_true(cbn_expected_allocate(&m, 1, (int64_t[]){1}) && cbn_expected_allocate(&v, 1, (int64_t[]){1}) &&
              cbn_expected_allocate(&y, 2, input.extent));
  m.value[0] = (double)mean;
  v.value[0] = (double)variance;
  const bool running = b.update_running || b.statistics == CBN_STATISTICS_RUNNING;
  cbn_reference_batchnorm(&b, &input, b.has_weight ? &g : NULL, b.has_bias ? &shift : NULL, running ? &m : NULL,
                          running ? &v : NULL, arithmetic, &y);
  const answers a = {y.count > 0 ? cbn_expected_at(&y, 0) : (cbn_interval){0}, cbn_expected_at(&m, 0),
                     cbn_expected_at(&v, 0)};
  cbn_expected_release(&m);
  cbn_expected_release(&v);
  cbn_expected_release(&y);
  return a;
}

static answers batchnorm_by_hand(cbn_batchnorm b, const float *x, float mean, float variance, float weight,
                                 float bias) {
  return batchnorm_in(0, b, x, mean, variance, weight, bias);
}

static cbn_batchnorm training(int64_t batch) {
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = batch;
  b.statistics = CBN_STATISTICS_BATCH;
  b.update_running = 1;
  return b;
}

static void batchnorm_by_definition(void **state) {
  (void)state;
  /* mean 2, biased variance 3/4, unbiased 1; epsilon 1/4 makes the root 1 */
  cbn_batchnorm b = training(4);
  b.epsilon = 0.25;
  b.new_weight = 0.25;
  const float y[] = {3.5F, 1.5F, 1.5F, 1.5F};
  answers a = batchnorm_by_hand(b, y, 8, 8, 2, 5);
  assert_true(fabs(a.output.value - 8) <= a.output.own + 1e-15);
  assert_true(fabs(a.running_mean.value - 6.5) <= a.running_mean.own &&
              fabs(a.running_var.value - 6.1875) <= a.running_var.own);
  b.running_variance = CBN_VARIANCE_UNBIASED;
  a = batchnorm_by_hand(b, y, 8, 8, 2, 5);
  assert_true(fabs(a.running_var.value - 6.25) <= a.running_var.own);
  /* with the running statistics, before they are updated */
  b.statistics = CBN_STATISTICS_RUNNING;
  a = batchnorm_by_hand(b, y, 1.5F, 0.75F, 2, 5);
  assert_true(fabs(a.output.value - 9) <= a.output.own);
  assert_true(fabs(a.running_mean.value - 1.625) <= a.running_mean.own);
}

static bool wants_nan_or_nothing(const cbn_interval *i) { return isnan(i->value) || flags_are_inconclusive(i->flags); }

static void batchnorm_special_values_by_hand(void **state) {
  (void)state;
  answers a = batchnorm_by_hand(training(3), (float[]){1, NAN, 2}, 0, 1, 1, 0);
  assert_true(wants_nan_or_nothing(&a.output) && wants_nan_or_nothing(&a.running_mean) &&
              wants_nan_or_nothing(&a.running_var));
  /* an infinity in the batch: the sum's mean is infinite, Welford's may be NaN; the variance is NaN */
  a = batchnorm_by_hand(training(3), (float[]){1, INFINITY, 2}, 0, 1, 1, 0);
  assert_true(wants_nan_or_nothing(&a.output) && wants_nan_or_nothing(&a.running_var));
  assert_true(cbn_interval_admits(&a.running_mean, INFINITY) && cbn_interval_admits(&a.running_mean, NAN));
  /* one value: the unbiased variance is 0/0 */
  cbn_batchnorm one = training(1);
  one.running_variance = CBN_VARIANCE_UNBIASED;
  a = batchnorm_by_hand(one, (float[]){3}, 0, 1, 1, 7);
  assert_true(wants_nan_or_nothing(&a.running_var));
  assert_true(fabs(a.output.value - 7) <= a.output.bound && fabs(a.running_mean.value - 0.3) <= a.running_mean.bound);
  /* a variance that rounding makes vanish */
  cbn_batchnorm bare = training(2);
  bare.epsilon = 0;
  a = batchnorm_by_hand(bare, (float[]){5, 5}, 0, 1, 1, 0);
  assert_true(flags_are_inconclusive(a.output.flags));
  a = batchnorm_by_hand(bare, (float[]){10000, 10000.001F}, 0, 1, 1, 0);
  assert_true(flags_are_inconclusive(a.output.flags));
  /* below zero under the root */
  cbn_batchnorm evaluation = cbn_batchnorm_make(0);
  evaluation.batch = 1;
  evaluation.epsilon = -1;
  a = batchnorm_by_hand(evaluation, (float[]){5}, 0, 0.25F, 1, 0);
  assert_true(wants_nan_or_nothing(&a.output));
  /* an infinite input in evaluation stays infinite; a NaN parameter makes NaN */
  evaluation.epsilon = 1e-5;
  a = batchnorm_by_hand(evaluation, (float[]){-INFINITY}, 0, 1, 1, 0);
  assert_true(cbn_interval_admits(&a.output, -INFINITY));
  a = batchnorm_by_hand(evaluation, (float[]){1}, 0, 1, NAN, 0);
  assert_true(wants_nan_or_nothing(&a.output));
  /* squares that overflow */
  a = batchnorm_by_hand(training(2), (float[]){1e20F, -1e20F}, 0, 1, 1, 0);
  assert_true(flags_are_inconclusive(a.output.flags) && flags_are_inconclusive(a.running_var.flags));
  /* an empty batch has no elements and no statistics */
  a = batchnorm_by_hand(training(0), (float[]){0}, 0, 1, 1, 0);
  assert_true(wants_nan_or_nothing(&a.running_mean) && wants_nan_or_nothing(&a.running_var));
}

/* A negative epsilon under which v + epsilon is small: rounding epsilon to f32 counts u |epsilon| / (v + epsilon). */
static void batchnorm_negative_epsilon_by_hand(void **state) {
  (void)state;
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = 1;
  b.epsilon = -0.0999;
  const float variance = 0.1F;
  const answers a = batchnorm_by_hand(b, (float[]){1}, 0, variance, 1, 0);
  const double rounded = 1 / sqrt((double)(variance + (float)b.epsilon));
  assert_true(cbn_interval_admits(&a.output, (double)(float)rounded));
}

/* A variance below 0 under which v + epsilon is small: the same. */
static void batchnorm_negative_variance_by_hand(void **state) {
  (void)state;
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = 1;
  b.epsilon = 1.00000001;
  const float variance = -(1 - 0x1p-20F);
  const answers a = batchnorm_by_hand(b, (float[]){1}, 0, variance, 1, 0);
  assert_true(cbn_interval_admits(&a.output, (double)(1 / sqrtf(variance + (float)b.epsilon))));
}

static void batchnorm_underflow_by_hand(void **state) {
  (void)state;
  /* the mean of 1, 0 and 0 units of 2^-149 rounds to 0, and 1/sqrt(epsilon) = 10^6 magnifies the third that is lost */
  cbn_batchnorm b = training(3);
  b.epsilon = 1e-12;
  answers a = batchnorm_by_hand(b, (float[]){0x1p-149F, 0, 0}, 0, 1, 1, 0);
  assert_true(cbn_interval_admits(&a.output, (double)(0x1p-149F * (1 / sqrtf(1e-12F)))));
  /* Welford's mean of 0, 200, 200, ... units stands still where (200 - mean) / k rounds to 0 */
  float x[64], mean = 0;
  for (int i = 0; i < 64; i++) {
    x[i] = i == 0 ? 0 : 200 * 0x1p-149F;
    mean += (x[i] - mean) / (float)(i + 1);
  }
  b = training(64);
  b.new_weight = 1;
  a = batchnorm_by_hand(b, x, 0, 1, 1, 0);
  assert_true(cbn_interval_admits(&a.running_mean, (double)mean));
}

static void batchnorm_flushes_by_hand(void **state) {
  (void)state;
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = 1;
  /* an input that counts as zero */
  answers a = batchnorm_in(CBN_FLUSHES_SUBNORMALS, b, (float[]){0x1p-130F}, 0, 1, 1, 0);
  assert_true(cbn_interval_admits(&a.output, 0));
  a = batchnorm_in(0, b, (float[]){0x1p-130F}, 0, 1, 1, 0);
  assert_false(cbn_interval_admits(&a.output, 0));
  /* a variance that counts as zero */
  b.epsilon = 0;
  a = batchnorm_in(CBN_FLUSHES_SUBNORMALS, b, (float[]){1}, 0, 0x1p-130F, 1, 0);
  assert_true(cbn_interval_admits(&a.output, INFINITY));
}

static void batchnorm_overflow_on_the_way_by_hand(void **state) {
  (void)state;
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = 1;
  b.epsilon = 0.25;
  /* (x - mu) r = 2^128, then times 2^-149 */
  answers a = batchnorm_by_hand(b, (float[]){0x1p127F}, 0, 0, 0x1p-149F, 0);
  assert_true(cbn_interval_admits(&a.output, INFINITY));
  /* g r = 2^128, times 0 */
  a = batchnorm_by_hand(b, (float[]){0}, 0, 0, 0x1p127F, 3);
  assert_true(cbn_interval_admits(&a.output, NAN));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(conv_agrees_at_random),
      cmocka_unit_test(conv_special_values_by_hand),
      cmocka_unit_test(conv_overflow_by_hand),
      cmocka_unit_test(conv_exactness_by_hand),
      cmocka_unit_test(conv_of_too_many_products_is_inconclusive),
      cmocka_unit_test(batchnorm_agrees_at_random),
      cmocka_unit_test(batchnorm_by_definition),
      cmocka_unit_test(batchnorm_special_values_by_hand),
      cmocka_unit_test(batchnorm_negative_epsilon_by_hand),
      cmocka_unit_test(batchnorm_negative_variance_by_hand),
      cmocka_unit_test(batchnorm_underflow_by_hand),
      cmocka_unit_test(batchnorm_flushes_by_hand),
      cmocka_unit_test(batchnorm_overflow_on_the_way_by_hand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
