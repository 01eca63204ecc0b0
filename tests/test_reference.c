/* The reference against the second reference: values, bounds and flags, over random small problems and by hand. */
#include <convbn/reference.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/random_problem.h"
#include "tests/second_reference.h"

#define SLACK 1e-6 /* of a bound: its evaluation in f64 */

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
  mpfr_init2(limit, mpfr_get_prec(b));
  mpfr_mul_d(limit, b, relative, MPFR_RNDU);
  mpfr_add(limit, limit, b, MPFR_RNDU);
  mpfr_add_d(limit, limit, absolute, MPFR_RNDU);
  const bool holds = mpfr_cmp(a, limit) <= 0;
  mpfr_clear(limit);
  return holds;
}

/* |i->value - exact| <= i->own (and rounding noise of the second reference itself, `noise`, and what a value below the
 * smallest f64 loses). */
static bool own_holds(const cbn_interval *i, const mpfr_t exact, double noise) {
  mpfr_t distance;
  mpfr_init2(distance, SECOND_EXACT_BITS_F64);
  mpfr_sub_d(distance, exact, i->value, MPFR_RNDN);
  mpfr_abs(distance, distance, MPFR_RNDN);
  mpfr_t limit;
  mpfr_init2(limit, SECOND_EXACT_BITS_F64);
  mpfr_set_d(limit, i->own, MPFR_RNDN);
  mpfr_mul_d(limit, limit, 1 + noise, MPFR_RNDN);
  mpfr_add_d(limit, limit, 0x1p-1072, MPFR_RNDN);
  const bool holds = mpfr_cmp(distance, limit) <= 0;
  mpfr_clear(limit);
  mpfr_clear(distance);
  return holds;
}

/* value +- bound holds exact +- e. */
static bool bound_holds(const cbn_interval *i, const mpfr_t exact, const mpfr_t e) {
  mpfr_t need;
  mpfr_init2(need, SECOND_EXACT_BITS_F64);
  mpfr_sub_d(need, exact, i->value, MPFR_RNDN);
  mpfr_abs(need, need, MPFR_RNDN);
  mpfr_add(need, need, e, MPFR_RNDN);
  mpfr_sub_d(need, need, 0x1p-1074, MPFR_RNDN);
  mpfr_mul_d(need, need, 1 - 0x1p-200, MPFR_RNDN);
  const bool holds = mpfr_cmp_d(need, i->bound) <= 0;
  mpfr_clear(need);
  return holds;
}

/* What a result is stored in and what an engine works in to get there. */
typedef struct number_types {
  int32_t stored, working;
  bool flushes;
} number_types;

static number_types types_of(int32_t stored, uint32_t arithmetic) {
  return (number_types){stored, second_working(stored, arithmetic), (arithmetic & CBN_FLUSHES_SUBNORMALS) != 0};
}

/* value + sign e, rounded as an engine stores it. */
static double stored_end(const mpfr_t value, const mpfr_t e, int sign, int32_t type) {
  mpfr_t end;
  mpfr_init2(end, SECOND_EXACT_BITS_F64);
  mpfr_mul_d(end, e, sign * (1 - SLACK), MPFR_RNDN);
  mpfr_add(end, end, value, MPFR_RNDN);
  const double stored = second_round_exact(type, end);
  mpfr_clear(end);
  return stored;
}

static bool narrows(number_types t) { return second_roundoff(t.stored) > second_roundoff(t.working); }

/* u (|value| + e) + eta, what the rounding to a narrower type may add to e; 0 where there is none. */
static double narrowing(const mpfr_t value, const mpfr_t e, number_types t) {
  if (!narrows(t)) return 0;
  return second_roundoff(t.stored) * (fabs(mpfr_get_d(value, MPFR_RNDN)) + mpfr_get_d(e, MPFR_RNDU)) +
         second_smallest(t.stored);
}

/* A conclusive, finite element against the exact value, an error `least` that must be admitted and one, `most`, beyond
 * which the bound is too wide; both before the rounding to a narrower type. */
static bool check_number(const char *what, int64_t at, const cbn_interval *i, const mpfr_t value, const mpfr_t least,
                         const mpfr_t most, double noise, number_types t) {
  const double v = mpfr_get_d(value, MPFR_RNDN);
  bool good = true;
  mpfr_t bound;
  mpfr_init2(bound, SECOND_EXACT_BITS);
  mpfr_set_d(bound, i->bound, MPFR_RNDN);
  for (int sign = -1; sign <= 1 && good && narrows(t); sign++)
    good = cbn_interval_admits(i, stored_end(value, least, sign, t.stored)) ||
           report("refuses what the formula allows, rounded", at, i, stored_end(value, least, sign, t.stored));
  if (good && isfinite(i->value)) {
    if (!own_holds(i, value, noise)) good = report("the exact value is outside value +- own", at, i, v);
    else if (!(i->own <= (t.stored == CBN_F64 ? 1 : SLACK) * i->bound))
      good = report("own is not small against bound", at, i, v);
    else if (!narrows(t) && !bound_holds(i, value, least))
      good = report("bound below the formula", at, i, mpfr_get_d(least, MPFR_RNDN));
    else if (!at_most(bound, most, t.stored == CBN_F64 ? 1e-2 : SLACK,
                      (t.stored == CBN_F64 ? 4 : 2) * i->own + (1 + SLACK) * narrowing(value, most, t) + 0x1p-1072))
      good = report("bound above the formula", at, i, mpfr_get_d(most, MPFR_RNDN) + narrowing(value, most, t));
  }
  mpfr_clear(bound);
  if (!good) fprintf(stderr, "(%s) ", what);
  return good;
}

/* --------------------------------------------------------------------------------------------------- convolution */

/* What of a problem all elements share. */
typedef struct conv_context {
  number_types types;
  uint32_t arithmetic;
  int grid;                   /* every product and the bias is a multiple of 2^grid */
  bool subnormal;             /* some element is */
  bool finite;                /* all elements are */
  bool may_round_to_infinity; /* some element, where factors are rounded to fewer bits */
  mpfr_t overflow;            /* of the working type */
} conv_context;

static bool all_finite(const cbn_tensor *t) {
  const int64_t count = cbn_tensor_count(t);
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(cbn_tensor_get(t, i))) return false;
  return true;
}

/* Is some finite element so large that rounding it to the bits that `cut` leaves makes it infinite? */
static bool rounds_to_infinity(const cbn_tensor *t, double cut) {
  const int64_t count = cbn_tensor_count(t);
  for (int64_t i = 0; i < count && cut > 0; i++) {
    const double a = fabs(cbn_tensor_get(t, i));
    if (isfinite(a) && a >= (2 - cut / 2) * 0x1p127) return true;
  }
  return false;
}

static void context_init(conv_context *k, const conv_problem *p, uint32_t arithmetic) {
  /* the bias' gradient is a sum of numbers, none of which is a factor */
  if (p->conv.direction == CBN_GRAD_BIAS) arithmetic &= ~(uint32_t)(CBN_TF32_PRODUCTS | CBN_BF16_PRODUCTS);
  *k = (conv_context){.types = types_of(p->type, arithmetic), .arithmetic = arithmetic, .finite = true};
  int products = 0, bias = SECOND_NO_GRID;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (p->tensor[role] == NULL) continue;
    const int grid = second_tensor_grid(p->tensor[role]);
    if (role == CBN_ROLE_BIAS) bias = grid;
    else products = grid == SECOND_NO_GRID || products == SECOND_NO_GRID ? SECOND_NO_GRID : products + grid;
    k->subnormal |= second_tensor_has_subnormal(p->tensor[role], k->types.working);
    k->finite &= all_finite(p->tensor[role]);
    k->may_round_to_infinity |= rounds_to_infinity(p->tensor[role], second_factor_cut(p->type, arithmetic));
  }
  k->grid = products < bias ? products : bias;
  mpfr_init2(k->overflow, SECOND_EXACT_BITS);
  second_overflow(k->overflow, k->types.working);
}

static int lowest_exponent(int32_t type) { return ilogb(second_smallest_normal(type)); }

/* No partial sum is subnormal but 0: all are multiples of the smallest normal number, or of one sign and at least
 * that. */
static bool sums_stay_normal(const second_sum *s, int grid, int32_t working) {
  const bool one_sign = mpfr_zero_p(s->positive) || mpfr_zero_p(s->negative);
  return grid >= lowest_exponent(working) || (one_sign && s->smallest >= lowest_exponent(working));
}

/* With all terms multiples of 2^grid and B <= 2^(p+grid), every partial sum has p bits, down to the smallest subnormal;
 * where subnormals are flushed, no factor and no partial sum may be one. */
static bool sums_are_exact(const second_sum *s, int grid, bool subnormal, const conv_context *k) {
  const number_types t = k->types;
  if (s->nonzero == 0) return true;
  if (grid < ilogb(second_smallest(t.working))) return false;
  if (t.flushes && (subnormal || !sums_stay_normal(s, grid, t.working))) return false;
  mpfr_t b;
  mpfr_init2(b, mpfr_get_prec(s->value));
  mpfr_add(b, s->positive, s->negative, MPFR_RNDN);
  bool exact = mpfr_cmp(b, k->overflow) < 0;
  mpfr_mul_2si(b, b, -grid, MPFR_RNDN);
  exact = exact && mpfr_cmp_d(b, 1 / second_roundoff(t.working)) <= 0;
  mpfr_clear(b);
  return exact;
}

/* Is no factor changed where products are taken of cut factors? */
static bool factors_fit(const second_terms *terms, const conv_context *k) {
  const double cut = second_factor_cut(k->types.stored, k->arithmetic);
  for (int64_t i = 0; i < terms->count && cut > 0; i++)
    for (int which = 0; which < 2; which++) {
      const double a = which == 0 ? terms->x[i] : terms->w[i];
      if (terms->x[i] == 0 || terms->w[i] == 0 || !isfinite(a)) continue;
      const double steps = a / ldexp(cut, ilogb(a));
      if (steps != rint(steps)) return false;
    }
  return true;
}

/* a + b >= limit * factor */
static bool reaches(const mpfr_t a, const mpfr_t b, const mpfr_t limit, double factor) {
  mpfr_t sum, reduced;
  mpfr_inits2(mpfr_get_prec(a), sum, reduced, (mpfr_ptr)0);
  mpfr_add(sum, a, b, MPFR_RNDN);
  mpfr_mul_d(reduced, limit, factor, MPFR_RNDN);
  const bool does = mpfr_cmp(sum, reduced) >= 0;
  mpfr_clears(sum, reduced, (mpfr_ptr)0);
  return does;
}

/* a - e >= overflow: an admissible order makes the partial sum `a` overflow. */
static bool overflows(const mpfr_t a, const mpfr_t e, const conv_context *k) {
  mpfr_t least;
  mpfr_init2(least, mpfr_get_prec(a));
  mpfr_sub(least, a, e, MPFR_RNDN);
  const bool does = mpfr_cmp(least, k->overflow) >= 0;
  mpfr_clear(least);
  return does;
}

static bool check_special(int64_t at, const second_sum *s, const mpfr_t e, const cbn_interval *i,
                          const conv_context *k) {
  const bool nan = s->nan || (s->plus && s->minus), flushes = k->types.flushes;
  if (i->flags & CBN_INCONCLUSIVE) {
    /* only the finite terms of the other sign can clash; deciding on any term within a factor of two is allowed */
    const bool overflow = reaches(s->negative, s->positive, k->overflow, 0.499999);
    return overflow || k->may_round_to_infinity || (flushes && s->flush_makes_nan) ||
           report("inconclusive without a reason", at, i,
                  nan       ? NAN
                  : s->plus ? INFINITY
                            : -INFINITY);
  }
  if (nan) return isnan(i->value) || report("should be NaN", at, i, NAN);
  if ((s->plus && overflows(s->negative, e, k)) || (s->minus && overflows(s->positive, e, k)))
    return report("an infinity meets an overflow: not inconclusive", at, i, NAN);
  if (flushes && s->flush_makes_nan && !(i->flags & CBN_OR_NAN))
    return report("a flushed subnormal times infinity is NaN: not flagged", at, i, NAN);
  const double infinity = s->plus ? INFINITY : -INFINITY;
  return i->value == infinity || report("should be infinite", at, i, infinity);
}

/* Overflow: true with *done set where nothing else is to be checked. */
static bool check_overflow(int64_t at, const second_sum *s, const mpfr_t e, const cbn_interval *i,
                           const conv_context *k, bool *done) {
  mpfr_t b, v, stored;
  mpfr_inits2(mpfr_get_prec(s->value), b, v, stored, (mpfr_ptr)0);
  mpfr_add(b, s->positive, s->negative, MPFR_RNDN);
  mpfr_abs(v, s->value, MPFR_RNDN);
  second_overflow(stored, k->types.stored);
  const bool possible = reaches(b, e, k->overflow, 1 - SLACK);
  const bool up = overflows(s->positive, e, k), down = overflows(s->negative, e, k);
  const bool same_sign_value = mpfr_sgn(s->value) > 0 ? up && !down : down && !up;
  const double u = second_roundoff(k->types.stored);
  const bool of_value = reaches(v, e, stored, 1), near_value = reaches(v, e, stored, 1 - SLACK - 2 * u);
  mpfr_clears(b, v, stored, (mpfr_ptr)0);
  *done = true;
  if (i->flags & CBN_INCONCLUSIVE)
    return possible || k->may_round_to_infinity || report("inconclusive without overflow", at, i, 0);
  const double infinity = mpfr_sgn(s->value) > 0 ? INFINITY : -INFINITY;
  if ((up || down) && !(same_sign_value && cbn_interval_admits(i, infinity)))
    return report("a partial sum may overflow: not inconclusive", at, i, INFINITY);
  if (of_value && !(i->flags & CBN_EXACT) && !cbn_interval_admits(i, infinity))
    return report("infinity is not admitted", at, i, INFINITY);
  if (!near_value && cbn_interval_admits(i, infinity)) return report("infinity is admitted without overflow", at, i, 0);
  if (cbn_interval_admits(i, -infinity)) return report("the other infinity is admitted", at, i, 0);
  *done = false;
  return true;
}

/* One term that is rounded once: nothing happens on the way in a wider type. */
static bool rounds_once(const second_sum *s, const conv_context *k) {
  return s->nonzero == 1 && !k->types.flushes &&
         (k->types.stored == k->types.working || s->grid >= ilogb(second_smallest(k->types.working)));
}

static double next_number(int32_t type, double a, double direction) {
  if (isinf(a)) return (a > 0) == (direction > 0) ? a : copysign(second_largest(type), a);
  double step = second_smallest(type), next;
  const double towards = direction > 0 ? 1 : -1;
  const double spacing = a == 0 ? step : ldexp(2 * second_roundoff(type), ilogb(a));
  if (spacing > step) step = spacing;
  next = second_round(type, a + towards * step / 2 * (1 + second_roundoff(type) * 4));
  return next == a ? second_round(type, a + towards * step) : next;
}

static bool check_exact(int64_t at, const second_sum *s, const second_terms *terms, const cbn_interval *i,
                        const conv_context *k) {
  const double stored = second_round_exact(k->types.stored, s->value);
  if (!factors_fit(terms, k)) return report("claimed exact, but factors are cut", at, i, stored);
  if (!sums_are_exact(s, s->grid, s->subnormal, k) && !rounds_once(s, k))
    return report("claimed exact, but sums round", at, i, stored);
  if (i->bound != 0) return report("exact, bound not 0", at, i, stored);
  if (!narrows(k->types) && isfinite(i->value) && !own_holds(i, s->value, 0))
    return report("outside value +- own", at, i, stored);
  return (cbn_interval_admits(i, stored) && !cbn_interval_admits(i, next_number(k->types.stored, stored, -stored)) &&
          (isinf(stored) || !cbn_interval_admits(i, next_number(k->types.stored, stored, stored)))) ||
         report("not the exact result, rounded once", at, i, stored);
}

/* n u >= 1/2 */
static bool too_many_products(const second_sum *s, const conv_context *k) {
  return (double)s->products * second_roundoff(k->types.working) >= 0.5;
}

static bool check_conv_finite(int64_t at, const second_sum *s, const second_terms *terms, const mpfr_t e,
                              const mpfr_t most, const conv_context *k, const cbn_interval *i) {
  bool done = false;
  if (!check_overflow(at, s, e, i, k, &done)) return false;
  if (done) return true;
  if (s->nonzero == 0 && (i->bound != 0 || i->value != 0)) return report("B = 0, but not exactly 0", at, i, 0);
  if (i->flags & CBN_EXACT) return check_exact(at, s, terms, i, k);
  if (k->finite && second_factor_cut(k->types.stored, k->arithmetic) == 0 &&
      (!k->types.flushes || k->grid >= lowest_exponent(k->types.working)) &&
      sums_are_exact(s, k->grid, k->subnormal, k))
    return report("exact by the tensors' grids, but not claimed", at, i, mpfr_get_d(s->value, MPFR_RNDN));
  return check_number("element", at, i, s->value, e, most, 0, k->types);
}

static bool check_conv_element(int64_t at, const second_sum *s, const second_terms *terms, const conv_context *k,
                               const cbn_interval *i) {
  if (too_many_products(s, k))
    return (i->flags & (CBN_INCONCLUSIVE | CBN_EXACT)) != 0 || s->nan || s->nonzero <= 1 ||
           report("too many products: not inconclusive", at, i, 0);
  mpfr_t e, most;
  mpfr_inits2(mpfr_get_prec(s->value), e, most, (mpfr_ptr)0);
  second_conv_bound(e, s, k->arithmetic, false);
  second_conv_bound(most, s, k->arithmetic, true);
  /* what cut factors add may be estimated by another percent */
  if (second_factor_cut(k->types.stored, k->arithmetic) > 0) mpfr_mul_d(most, most, 1.02, MPFR_RNDN);
  bool good;
  const bool may_vanish = (k->arithmetic & (CBN_FLUSHES_SUBNORMALS | CBN_TF32_PRODUCTS | CBN_BF16_PRODUCTS)) != 0;
  const bool nan = s->nan || (s->plus && s->minus) || (may_vanish && s->flush_makes_nan);
  const bool or_nan = (i->flags & CBN_OR_NAN) != 0;
  if ((or_nan ? !terms->nonfinite_near : terms->nonfinite_on_zero) && !nan && !(i->flags & CBN_INCONCLUSIVE))
    good = report("NaN admitted or not", at, i, terms->nonfinite_on_zero ? NAN : 0);
  else if (s->nan || s->plus || s->minus) good = check_special(at, s, e, i, k);
  else good = check_conv_finite(at, s, terms, e, most, k, i);
  mpfr_clears(e, most, (mpfr_ptr)0);
  return good;
}

static bool same_interval(const cbn_interval *a, const cbn_interval *b) {
  return memcmp(&a->value, &b->value, sizeof a->value) == 0 && memcmp(&a->bound, &b->bound, sizeof a->bound) == 0 &&
         memcmp(&a->own, &b->own, sizeof a->own) == 0 && a->flags == b->flags;
}

/* cbn_reference_conv_at gives what cbn_reference_conv gives. */
static bool check_column(const conv_problem *p, random_state *r, uint32_t arithmetic, const cbn_expected *whole) {
  if (whole->count == 0 || p->conv.direction == CBN_GRAD_BIAS) return true;
  const int64_t planes = whole->extent[0] * whole->extent[1];
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
  assert_true(cbn_reference_conv_at(&p->conv, p->tensor, arithmetic, p->type, COLUMNS,
                                    (const int64_t(*)[CBN_MAX_SPATIAL])position, columns));
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
  assert_true(second_conv_terms(&p->conv, p->tensor, &second));
  cbn_expected first;
  assert_true(cbn_expected_allocate(&first, p->type, second.rank, second.extent));
  int64_t extent[CBN_MAX_RANK];
  assert_int_equal(cbn_conv_extents(&p->conv, conv_result_role(&p->conv), extent), second.rank);
  assert_memory_equal(extent, second.extent, (size_t)second.rank * sizeof extent[0]);
  assert_true(cbn_reference_conv(&p->conv, p->tensor, arithmetic, &first));

  conv_context context;
  context_init(&context, p, arithmetic);
  second_sum sum;
  second_sum_init(&sum, p->type, context.types.working);
  bool good = true;
  for (int64_t i = 0; i < second.count && good; i++) {
    const cbn_interval interval = cbn_expected_at(&first, i);
    second_sum_evaluate(&sum, &second.element[i]);
    good = check_conv_element(i, &sum, &second.element[i], &context, &interval);
    (*elements)++;
  }
  good = good && check_column(p, r, arithmetic, &first);
  second_sum_clear(&sum);
  mpfr_clear(context.overflow);
  cbn_expected_release(&first);
  second_conv_release(&second);
  return good;
}

/* What an engine may declare for convolutions, plain more often than not. */
static uint32_t random_arithmetic(random_state *r) {
  uint32_t arithmetic = random_chance(r, 4) ? (uint32_t)CBN_FLUSHES_SUBNORMALS : 0;
  if (random_chance(r, 4)) arithmetic |= CBN_NARROW_SUMS;
  if (random_chance(r, 6)) arithmetic |= CBN_TF32_PRODUCTS;
  if (random_chance(r, 6)) arithmetic |= CBN_BF16_PRODUCTS;
  return arithmetic;
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
    const uint32_t arithmetic = random_arithmetic(&r);
    if (!check_conv(&p, &r, arithmetic, &elements)) {
      fprintf(stderr, "arithmetic=%u ", arithmetic);
      conv_problem_print(&p);
    }
    conv_problem_release(&p);
  }
  print_message("%" PRId64 " convolutions, %" PRId64 " elements\n", problems, elements);
  assert_int_equal(failures, 0);
}

/* A 1-d convolution of given values; the reference's answer for element 0. */
static cbn_interval conv_in(int32_t type, cbn_conv conv, const double *x, const double *w, const double *b,
                            uint32_t arithmetic) {
  conv_problem p = {.conv = conv, .type = type};
  random_state r = {0};
  const int first =
      conv.direction == CBN_FORWARD || conv.direction == CBN_GRAD_WEIGHT ? CBN_ROLE_INPUT : CBN_ROLE_GRAD_OUTPUT;
  cbn_violation violation;
  assert_true(cbn_conv_validate(&conv, &violation));
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (!conv_reads(&conv, role)) continue;
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(&conv, role, extent);
    assert_true(test_tensor_make(&p.own[role], &r, type, rank, extent, LAYOUT_CONTIGUOUS));
    const double *values = role == first ? x : role == CBN_ROLE_BIAS ? b : w;
    for (int64_t i = 0; i < cbn_tensor_count(&p.own[role].tensor); i++)
      cbn_tensor_set(&p.own[role].tensor, i, values[i]);
  }
  tensors_of(p.own, p.tensor);
  cbn_expected e;
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_conv_extents(&conv, conv_result_role(&conv), extent);
  assert_true(cbn_expected_allocate(&e, type, rank, extent));
  assert_true(cbn_reference_conv(&conv, p.tensor, arithmetic, &e));
  const cbn_interval i = cbn_expected_at(&e, 0);
  cbn_expected_release(&e);
  conv_problem_release(&p);
  return i;
}

static cbn_interval conv_by_hand(cbn_conv conv, const double *x, const double *w, const double *b,
                                 uint32_t arithmetic) {
  return conv_in(CBN_F32, conv, x, w, b, arithmetic);
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
  i = conv_by_hand(line(2, 2), (double[]){INFINITY, 1}, (double[]){0, 1}, NULL, 0);
  assert_true(isnan(i.value));
  i = conv_by_hand(line(2, 2), (double[]){INFINITY, -INFINITY}, (double[]){1, 1}, NULL, 0);
  assert_true(isnan(i.value));
  i = conv_by_hand(line(2, 2), (double[]){INFINITY, -5}, (double[]){-1, 1}, NULL, 0);
  assert_true(i.value == -INFINITY && cbn_interval_admits(&i, -INFINITY));
  assert_false(cbn_interval_admits(&i, INFINITY) || cbn_interval_admits(&i, NAN) || cbn_interval_admits(&i, -3e38));
  i = conv_by_hand(line(2, 2), (double[]){NAN, 0}, (double[]){0, 0}, NULL, 0);
  assert_true(isnan(i.value) && cbn_interval_admits(&i, NAN) && cbn_interval_admits(&i, -NAN));
  assert_false(cbn_interval_admits(&i, 0));

  /* a NaN weight over zero padding: 3 when skipped, NaN when multiplied; over a gap of the input dilation likewise */
  cbn_conv padded = line(2, 2);
  padded.pad_begin[0] = 1;
  i = conv_by_hand(padded, (double[]){3, 1}, (double[]){NAN, 1}, NULL, 0);
  assert_true((i.flags & CBN_OR_NAN) != 0 && i.value == 3);
  assert_true(cbn_interval_admits(&i, 3) && cbn_interval_admits(&i, NAN));
  assert_false(cbn_interval_admits(&i, 4));
  cbn_conv gaps = line(2, 3);
  gaps.input_dilation[0] = 2;
  i = conv_by_hand(gaps, (double[]){3, 1}, (double[]){1, -INFINITY, 1}, NULL, 0);
  assert_true((i.flags & CBN_OR_NAN) != 0 && i.value == 4);
  /* reflection puts no zeros */
  padded.padding_mode = CBN_PAD_REFLECT;
  i = conv_by_hand(padded, (double[]){3, 1}, (double[]){INFINITY, 1}, NULL, 0);
  assert_true((i.flags & CBN_OR_NAN) == 0 && i.value == INFINITY);

  /* flushing makes NaN of a subnormal times infinity */
  i = conv_by_hand(line(1, 1), (double[]){0x1p-130F}, (double[]){INFINITY}, NULL, CBN_FLUSHES_SUBNORMALS);
  assert_true(cbn_interval_admits(&i, NAN));
  i = conv_by_hand(line(1, 1), (double[]){0x1p-130F}, (double[]){INFINITY}, NULL, 0);
  assert_false(cbn_interval_admits(&i, NAN));
}

static void conv_overflow_by_hand(void **state) {
  (void)state;
  const double most = 0x1.fffffep127;
  cbn_interval i;
  i = conv_by_hand(line(2, 2), (double[]){most, most}, (double[]){1, 1}, NULL, 0);
  assert_true(cbn_interval_admits(&i, INFINITY));
  /* 2^128 - 2^128 + 1: infinity, minus infinity, NaN or 1 by the order */
  i = conv_by_hand(line(5, 5), (double[]){0x1p127F, 0x1p127F, -0x1p127F, -0x1p127F, 1}, (double[]){1, 1, 1, 1, 1}, NULL,
                   0);
  assert_true((i.flags & CBN_INCONCLUSIVE) != 0);
  /* an infinite term against finite terms that overflow to the other side */
  i = conv_by_hand(line(3, 3), (double[]){INFINITY, -most, -most}, (double[]){1, 1, 1}, NULL, 0);
  assert_true((i.flags & CBN_INCONCLUSIVE) != 0);
  /* the largest finite value alone does not overflow */
  i = conv_by_hand(line(1, 1), (double[]){most}, (double[]){1}, NULL, 0);
  assert_true(i.flags == CBN_EXACT && i.bound == 0);
  assert_false(cbn_interval_admits(&i, INFINITY));
  /* B <= 2^24 g with a g so large that B overflows is not exact */
  i = conv_by_hand(line(2, 2), (double[]){0x1p127F, 0x1p127F}, (double[]){1, 1}, NULL, 0);
  assert_false((i.flags & CBN_EXACT) != 0 && (i.flags & (CBN_OR_INFINITY | CBN_INCONCLUSIVE)) == 0);
}

static void conv_exactness_by_hand(void **state) {
  (void)state;
  cbn_interval i;
  cbn_conv with_bias = line(1, 1);
  with_bias.has_bias = 1;
  /* B = 2^24 exactly on the grid of 1; one more is not representable with an odd partial sum */
  i = conv_by_hand(with_bias, (double[]){16777215}, (double[]){1}, (double[]){1}, 0);
  assert_true((i.flags & CBN_EXACT) != 0 && i.bound == 0 && i.value == 16777216);
  i = conv_by_hand(with_bias, (double[]){16777215}, (double[]){1}, (double[]){2}, 0);
  assert_true((i.flags & CBN_EXACT) == 0 && i.bound > 0);
  /* no term but zeros */
  i = conv_by_hand(with_bias, (double[]){0}, (double[]){5}, (double[]){-0.0F}, 0);
  assert_true(i.value == 0 && i.bound == 0 && cbn_interval_admits(&i, -0.0) && cbn_interval_admits(&i, 0));
  assert_false(cbn_interval_admits(&i, 0x1p-149));
  /* an input that flushes although its product is normal */
  i = conv_by_hand(line(1, 1), (double[]){0x1p-130F}, (double[]){0x1p100F}, NULL, CBN_FLUSHES_SUBNORMALS);
  assert_true(cbn_interval_admits(&i, 0) && cbn_interval_admits(&i, 0x1p-30));
  i = conv_by_hand(line(1, 1), (double[]){0x1p-130F}, (double[]){0x1p100F}, NULL, 0);
  assert_true((i.flags & CBN_EXACT) != 0);
  assert_false(cbn_interval_admits(&i, 0));
  /* a product that flushes although its factors are normal */
  i = conv_by_hand(line(1, 1), (double[]){0x1p-100F}, (double[]){0x1p-40F}, NULL, CBN_FLUSHES_SUBNORMALS);
  assert_true(cbn_interval_admits(&i, 0) && cbn_interval_admits(&i, 0x1p-140));
  /* a product below the smallest subnormal is off its grid */
  i = conv_by_hand(with_bias, (double[]){0x1p-75F}, (double[]){0x1p-75F}, (double[]){1}, 0);
  assert_true(cbn_interval_admits(&i, 1));
}

static void conv_of_too_many_products_is_inconclusive(void **state) {
  (void)state;
  /* n u = 1/2 at n = 2^23, by broadcast strides: one element of memory */
  const cbn_conv c = line(INT64_C(1) << 23, INT64_C(1) << 23);
  float third = 1.0F / 3;
  cbn_tensor t = {.type = CBN_F32, .rank = 3, .extent = {1, 1, c.input[0]}, .stride = {0, 0, 0}, .data = &third};
  cbn_expected e;
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &t, [CBN_ROLE_WEIGHT] = &t};
  assert_true(cbn_expected_allocate(&e, CBN_F32, 3, (int64_t[]){1, 1, 1}));
  assert_true(cbn_reference_conv(&c, tensor, 0, &e));
  assert_true((e.flags[0] & CBN_INCONCLUSIVE) != 0);
  cbn_expected_release(&e);
}

/* ------------------------------------------------------------------------------------------- batch normalization */

static bool flags_are_inconclusive(uint8_t flags) { return (flags & CBN_INCONCLUSIVE) != 0; }

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
  uint32_t arithmetic;
  number_types types, parameter_types;
  second_manner least, most;
  carried *mean, *variance; /* a channel each; NULL without running statistics */
  cbn_expected running_mean, running_var, output, grad_weight, grad_bias;
  double *x, *g;
} batchnorm_check;

/* The bounds are of sums that do not overflow, and of so few values that the sums say something. */
static bool values_are_tame(const batchnorm_check *k, const double *x) {
  const int64_t count = k->problem->values;
  const double most = k->types.working == CBN_F16 ? 4 : 0x1p55;
  if (((double)count + 16) * k->least.u >= 0.25) return false;
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(x[i]) || fabs(x[i]) > most) return false;
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
    second_running_update(c->value, c->least, m, from, to, least->variance, least->variance_error, &k->least);
    second_running_update(again, c->most, m, from, to, most->variance, most->variance_error, &k->most);
  } else {
    second_running_update(c->value, c->least, m, from, to, least->mean, least->mean_error, &k->least);
    second_running_update(again, c->most, m, from, to, most->mean, most->mean_error, &k->most);
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
static bool may_overflow(const second_statistics *s, double x, double epsilon, double g, double b) {
  const double spread = fabs(x) + fabs(mpfr_get_d(s->mean, MPFR_RNDN)) + mpfr_get_d(s->mean_error, MPFR_RNDN);
  const double least = mpfr_get_d(s->variance, MPFR_RNDN) - mpfr_get_d(s->variance_error, MPFR_RNDN) + epsilon;
  const double r = 1 / sqrt(least), scale = fmax(fabs(g), 1);
  return !((1 + spread) * r * scale + fabs(b) < 0x1p125);
}

static bool parameters_are_tame(double g, double b) {
  return isfinite(g) && isfinite(b) && fabs(g) <= 0x1p60 && fabs(b) <= 0x1p100;
}

static bool check_outputs(batchnorm_check *k, int64_t channel, const channel_step *s) {
  const batchnorm_problem *p = k->problem;
  const double g = channel_value(p, CBN_ROLE_WEIGHT, channel, 1), b = channel_value(p, CBN_ROLE_BIAS, channel, 0);
  if (!parameters_are_tame(g, b) || !s->valid) return true;
  mpfr_t value, again, least, most;
  mpfr_inits2(SECOND_BITS, value, again, least, most, (mpfr_ptr)0);
  bool good = true;
  for (int64_t i = 0; i < p->values && good; i++) {
    const int64_t at = channel_position(p, channel, i);
    const cbn_interval interval = cbn_expected_at(&k->output, at);
    const double epsilon = p->batchnorm.epsilon;
    const bool conclusive = second_normalise(value, least, k->x[i], &s->least, epsilon, g, b, &k->least);
    const bool surely = second_normalise(again, most, k->x[i], &s->most, epsilon, g, b, &k->most);
    if (flags_are_inconclusive(interval.flags))
      good = !surely || may_overflow(&s->most, k->x[i], epsilon, g, b) || k->types.working == CBN_F16 ||
             report("inconclusive without a reason", at, &interval, mpfr_get_d(value, MPFR_RNDN));
    else if (!conclusive)
      good = (isnan(interval.value) && surely_negative(&s->least, epsilon)) ||
             report("the variance may vanish: not inconclusive", at, &interval, 0);
    else if (surely) good = check_number("output", at, &interval, value, least, most, 0x1p-40, k->types);
  }
  mpfr_clears(value, again, least, most, (mpfr_ptr)0);
  return good;
}

/* Statistics are stored in a type of their own, which rounds once more. */
static bool check_running_number(batchnorm_check *k, const char *what, int64_t channel, const cbn_interval *i,
                                 carried *c) {
  const bool narrow = k->parameter_types.working == CBN_F16;
  if (flags_are_inconclusive(i->flags)) {
    c->valid = false;
    return narrow || report("running statistic inconclusive", channel, i, mpfr_get_d(c->value, MPFR_RNDN));
  }
  if (!check_number(what, channel, i, c->value, c->least, c->most, 0x1p-40, k->parameter_types)) return false;
  mpfr_add_d(c->most, c->most, narrowing(c->value, c->most, k->parameter_types), MPFR_RNDU);
  /* an infinity may have been stored, and what comes of it is anybody's guess */
  const double largest = fabs(mpfr_get_d(c->value, MPFR_RNDN)) + mpfr_get_d(c->most, MPFR_RNDN);
  c->valid = largest < second_largest(k->parameter_types.stored);
  return true;
}

static bool check_running(batchnorm_check *k, int64_t channel) {
  const cbn_interval mean = cbn_expected_at(&k->running_mean, channel);
  const cbn_interval variance = cbn_expected_at(&k->running_var, channel);
  return check_running_number(k, "running mean", channel, &mean, &k->mean[channel]) &&
         check_running_number(k, "running variance", channel, &variance, &k->variance[channel]);
}

/* The statistics that normalise a channel, with the errors of what an engine holds. */
static void step_begin(batchnorm_check *k, int64_t channel, channel_step *step) {
  const batchnorm_problem *p = k->problem;
  const bool tame = values_are_tame(k, k->x);
  *step = (channel_step){.valid = tame};
  second_statistics_init(&step->least);
  second_statistics_init(&step->most);
  if (p->batchnorm.statistics == CBN_STATISTICS_RUNNING) {
    step->valid = tame && k->mean[channel].valid && k->variance[channel].valid;
    statistics_of_running(&step->least, &k->mean[channel], &k->variance[channel], false);
    statistics_of_running(&step->most, &k->mean[channel], &k->variance[channel], true);
  } else if (tame) {
    second_statistics_of_batch(&step->least, k->x, p->values, &k->least);
    second_statistics_of_batch(&step->most, k->x, p->values, &k->most);
  }
  /* 1/(1-q) magnifies what f64 makes of q */
  mpfr_mul_d(step->most.variance_error, step->most.variance_error, 1 + SLACK, MPFR_RNDN);
}

static void step_end(channel_step *step) {
  second_statistics_clear(&step->least);
  second_statistics_clear(&step->most);
}

/* What the running statistics of one channel become. */
static bool update_channel(batchnorm_check *k, int64_t channel) {
  const batchnorm_problem *p = k->problem;
  const bool unbiased = p->batchnorm.running_variance == CBN_VARIANCE_UNBIASED;
  const bool ours =
      values_are_tame(k, k->x) && k->mean[channel].valid && k->variance[channel].valid && !(unbiased && p->values == 1);
  k->mean[channel].valid = k->variance[channel].valid = ours;
  if (!ours) return true;
  second_statistics least, most;
  second_statistics_init(&least);
  second_statistics_init(&most);
  second_statistics_of_batch(&least, k->x, p->values, &k->least);
  second_statistics_of_batch(&most, k->x, p->values, &k->most);
  carried_update(k, &k->mean[channel], &least, &most, false, 1, 1);
  carried_update(k, &k->variance[channel], &least, &most, true, unbiased ? (double)p->values : 1,
                 unbiased ? (double)p->values - 1 : 1);
  second_statistics_clear(&least);
  second_statistics_clear(&most);
  return check_running(k, channel);
}

/* One channel after the reference has computed a step. */
static bool check_channel(batchnorm_check *k, int64_t channel) {
  channel_step step;
  channel_values(k->problem, CBN_ROLE_INPUT, channel, k->x);
  step_begin(k, channel, &step);
  bool good = check_outputs(k, channel, &step);
  step_end(&step);
  return good && (!k->problem->batchnorm.update_running || update_channel(k, channel));
}

static void check_begin(batchnorm_check *k, const batchnorm_problem *p, uint32_t arithmetic) {
  const int64_t channels = p->batchnorm.channels;
  const size_t n = (size_t)p->values + 1;
  *k = (batchnorm_check){
      .problem = p, .arithmetic = arithmetic, .x = calloc(n, sizeof(double)), .g = calloc(n, sizeof(double))};
  k->types = types_of(p->type, arithmetic);
  k->parameter_types = (number_types){p->parameter_type, k->types.working, k->types.flushes};
  k->least = second_manner_of(p->type, arithmetic, 0);
  k->most = second_manner_of(p->type, arithmetic, 16 * ((double)p->values + 16));
  assert_true(k->x != NULL && k->g != NULL);
  assert_true(
      cbn_expected_allocate(&k->output, p->type, p->tensor[CBN_ROLE_INPUT]->rank, p->tensor[CBN_ROLE_INPUT]->extent));
  assert_true(cbn_expected_allocate(&k->grad_weight, p->parameter_type, 1, &channels));
  assert_true(cbn_expected_allocate(&k->grad_bias, p->parameter_type, 1, &channels));
  if (p->tensor[CBN_ROLE_RUNNING_MEAN] == NULL) return;
  k->mean = calloc((size_t)channels, sizeof *k->mean);
  k->variance = calloc((size_t)channels, sizeof *k->variance);
  assert_true(k->mean != NULL && k->variance != NULL);
  assert_true(cbn_expected_allocate(&k->running_mean, p->parameter_type, 1, &channels));
  assert_true(cbn_expected_allocate(&k->running_var, p->parameter_type, 1, &channels));
  for (int64_t c = 0; c < channels; c++) {
    k->running_mean.value[c] = channel_value(p, CBN_ROLE_RUNNING_MEAN, c, 0);
    k->running_var.value[c] = channel_value(p, CBN_ROLE_RUNNING_VAR, c, 1);
    carried_init(&k->mean[c], k->running_mean.value[c]);
    carried_init(&k->variance[c], k->running_var.value[c]);
  }
}

static void check_end(batchnorm_check *k) {
  free(k->x);
  free(k->g);
  cbn_expected_release(&k->output);
  cbn_expected_release(&k->grad_weight);
  cbn_expected_release(&k->grad_bias);
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

static uint32_t random_norm_arithmetic(random_state *r) {
  uint32_t arithmetic = random_chance(r, 4) ? (uint32_t)CBN_FLUSHES_SUBNORMALS : 0;
  if (random_chance(r, 2)) arithmetic |= CBN_TWO_PASS_STATISTICS;
  if (random_chance(r, 4)) arithmetic |= CBN_NARROW_SUMS;
  return arithmetic;
}

/* Up to four steps on one set of running statistics, with fresh inputs. */
static bool check_batchnorm(batchnorm_problem *p, random_state *r, int64_t *elements) {
  batchnorm_check k;
  check_begin(&k, p, random_norm_arithmetic(r));
  bool good = true;
  for (int64_t step = random_between(r, 1, 4); step > 0 && good; step--) {
    const bool running = k.mean != NULL;
    cbn_reference_batchnorm(&p->batchnorm, p->tensor, running ? &k.running_mean : NULL, running ? &k.running_var : NULL,
                            k.arithmetic, &k.output);
    for (int64_t c = 0; c < p->batchnorm.channels && good; c++) good = check_channel(&k, c);
    *elements += k.output.count;
    test_tensor_fill(&p->own[CBN_ROLE_INPUT], r, p->temper);
    if (random_chance(r, 3) && running) p->batchnorm.statistics = (int32_t)random_between(r, 0, 1);
  }
  if (!good) fprintf(stderr, "arithmetic=%u ", k.arithmetic);
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
    assert_true(batchnorm_problem_make(&p, &r, temper, random_chance(&r, 8) ? 500 : 60, CBN_FORWARD));
    if (!check_batchnorm(&p, &r, &elements)) batchnorm_problem_print(&p);
    batchnorm_problem_release(&p);
  }
  print_message("%" PRId64 " batch normalizations, %" PRId64 " elements\n", problems, elements);
  assert_int_equal(failures, 0);
}

/* ------------------------------------------------------------------------------- batch normalization, the gradients */

/* How wide the first reference's bounds are beside the second's own derivation. */
typedef struct width {
  double least, most; /* the smallest first/least, the largest first/most */
} width;

static width widths[3];
static const char *const width_names[] = {"grad_input", "grad_weight", "grad_bias"};

/* The first's bounds are derived otherwise: none may be narrower than FEWEST times the second's least, nor wider than
 * MOST times its most. */
#define FEWEST 0.35
#define MOST 3.0

/* `q` above a half: the bounds are of little use, and only that they hold is asked. */
static bool check_gradient(int which, int64_t at, const cbn_interval *i, const mpfr_t value, double least, double most,
                           double q, number_types t) {
  const double v = mpfr_get_d(value, MPFR_RNDN);
  if (flags_are_inconclusive(i->flags)) return true;
  if (!isfinite(i->value))
    return cbn_interval_admits(i, second_round_exact(t.stored, value)) || report("not finite", at, i, v);
  if ((i->flags & CBN_EXACT) != 0)
    return (i->bound == 0 && cbn_interval_admits(i, second_round_exact(t.stored, value))) ||
           report("not the exact result, rounded once", at, i, v);
  if (!own_holds(i, value, 0x1p-40)) return report("the exact value is outside value +- own", at, i, v);
  mpfr_t e;
  mpfr_init2(e, 53);
  mpfr_set_d(e, most, MPFR_RNDN);
  const double rounding = narrowing(value, e, t) + i->own;
  mpfr_clear(e);
  if (q > 0.5) return true;
  if (least > 0 && i->bound / least < widths[which].least) widths[which].least = i->bound / least;
  if (i->bound > 2 * rounding && (i->bound - rounding) / most > widths[which].most)
    widths[which].most = (i->bound - rounding) / most;
  char what[80];
  snprintf(what, sizeof what, "%s: bound far from the second's", width_names[which]);
  return (i->bound >= FEWEST * least && i->bound <= MOST * most + rounding * (1 + SLACK) + i->own) ||
         report(what, at, i, i->bound < FEWEST * least ? least : most + rounding);
}

static bool check_gradients_of_channel(batchnorm_check *k, int64_t channel) {
  const batchnorm_problem *p = k->problem;
  const cbn_batchnorm *b = &p->batchnorm;
  const double weight = channel_value(p, CBN_ROLE_WEIGHT, channel, 1);
  channel_values(p, CBN_ROLE_INPUT, channel, k->x);
  channel_values(p, CBN_ROLE_GRAD_OUTPUT, channel, k->g);
  if (!values_are_tame(k, k->g) || !parameters_are_tame(weight, 0)) return true;
  channel_step step;
  second_gradients least, most;
  step_begin(k, channel, &step);
  assert_true(second_gradients_init(&least, p->values) && second_gradients_init(&most, p->values));
  bool good = true;
  if (step.valid) {
    const bool batch = b->statistics == CBN_STATISTICS_BATCH;
    const bool conclusive =
        second_gradients_of(&least, k->x, k->g, p->values, &step.least, batch, b->epsilon, weight, &k->least);
    const bool surely =
        second_gradients_of(&most, k->x, k->g, p->values, &step.most, batch, b->epsilon, weight, &k->most);
    for (int64_t i = 0; i < p->values && good; i++) {
      const int64_t at = channel_position(p, channel, i);
      const cbn_interval interval = cbn_expected_at(&k->output, at);
      if (!conclusive && !flags_are_inconclusive(interval.flags))
        good = isnan(interval.value) || report("the variance may vanish: not inconclusive", at, &interval, 0);
      else if (surely)
        good = check_gradient(0, at, &interval, least.input[i], least.least_input[i], most.most_input[i], most.q,
                              k->types);
    }
    const cbn_interval of_weight = cbn_expected_at(&k->grad_weight, channel),
                       of_bias = cbn_expected_at(&k->grad_bias, channel);
    if (good && surely && b->has_weight)
      good = check_gradient(1, channel, &of_weight, least.weight, least.least_weight, most.most_weight, most.q,
                            k->parameter_types);
    if (good && b->has_bias)
      good = check_gradient(2, channel, &of_bias, least.bias, least.least_bias, most.most_bias, 0, k->parameter_types);
  }
  second_gradients_clear(&least);
  second_gradients_clear(&most);
  step_end(&step);
  return good;
}

/* What an engine holds of running statistics may be off already. */
static void disturb_statistics(batchnorm_check *k, random_state *r) {
  for (int64_t c = 0; c < k->problem->batchnorm.channels && k->mean != NULL; c++) {
    const double mean = fabs(k->running_mean.value[c]) * 1e-4, variance = fabs(k->running_var.value[c]) * 1e-3;
    if (!random_chance(r, 3) || !isfinite(mean) || !isfinite(variance)) continue;
    k->running_mean.bound[c] = mean;
    k->running_var.bound[c] = variance;
    mpfr_set_d(k->mean[c].least, mean, MPFR_RNDN);
    mpfr_set_d(k->mean[c].most, mean, MPFR_RNDN);
    mpfr_set_d(k->variance[c].least, variance, MPFR_RNDN);
    mpfr_set_d(k->variance[c].most, variance, MPFR_RNDN);
  }
}

static bool check_gradients(batchnorm_problem *p, random_state *r, int64_t *elements) {
  batchnorm_check k;
  const cbn_batchnorm *b = &p->batchnorm;
  check_begin(&k, p, random_norm_arithmetic(r));
  disturb_statistics(&k, r);
  const bool running = k.mean != NULL;
  cbn_reference_batchnorm_backward(b, p->tensor, running ? &k.running_mean : NULL, running ? &k.running_var : NULL,
                                   k.arithmetic, &k.output, b->has_weight ? &k.grad_weight : NULL,
                                   b->has_bias ? &k.grad_bias : NULL);
  bool good = true;
  for (int64_t c = 0; c < b->channels && good; c++) good = check_gradients_of_channel(&k, c);
  *elements += k.output.count;
  if (!good) fprintf(stderr, "arithmetic=%u ", k.arithmetic);
  check_end(&k);
  return good;
}

static void gradients_of_batchnorm_agree_at_random(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(3000);
  int64_t elements = 0, problems = 0;
  failures = 0;
  for (int which = 0; which < 3; which++) widths[which] = (width){INFINITY, 0};
  for (int64_t i = 0; i < count && failures < 10; i++, problems++) {
    batchnorm_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    const int temper = (int)random_between(&r, 0, TEMPER_COUNT - 1);
    assert_true(batchnorm_problem_make(&p, &r, temper, random_chance(&r, 8) ? 500 : 60, CBN_GRAD_INPUT));
    if (!check_gradients(&p, &r, &elements)) batchnorm_problem_print(&p);
    batchnorm_problem_release(&p);
  }
  print_message("%" PRId64 " batch normalizations backward, %" PRId64 " elements\n", problems, elements);
  for (int which = 0; which < 3; which++)
    print_message("%-12s first/second bound from %.3g to %.3g\n", width_names[which], widths[which].least,
                  widths[which].most);
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
  assert_true(cbn_expected_allocate(&m, CBN_F32, 1, (int64_t[]){1}) &&
              cbn_expected_allocate(&v, CBN_F32, 1, (int64_t[]){1}) &&
              cbn_expected_allocate(&y, CBN_F32, 2, input.extent));
  m.value[0] = (double)mean;
  v.value[0] = (double)variance;
  const bool running = b.update_running || b.statistics == CBN_STATISTICS_RUNNING;
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &input,
                                              [CBN_ROLE_WEIGHT] = b.has_weight ? &g : NULL,
                                              [CBN_ROLE_BIAS] = b.has_bias ? &shift : NULL};
  cbn_reference_batchnorm(&b, tensor, running ? &m : NULL, running ? &v : NULL, arithmetic, &y);
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

/* ----------------------------------------------------------------------- what once was wrong in the first reference */

/* What is not finite in one channel says nothing of another one. */
static void nan_stays_in_its_channel(void **state) {
  (void)state;
  cbn_conv c = line(2, 1);
  c.in_channels = 2;
  c.direction = CBN_GRAD_WEIGHT;
  const float x[] = {1, 2, NAN, 1}, g[] = {1, 1};
  float copies[2][4];
  memcpy(copies[0], x, sizeof x);
  memcpy(copies[1], g, sizeof g);
  const cbn_tensor input = {.type = CBN_F32, .rank = 3, .extent = {1, 2, 2}, .stride = {4, 2, 1}, .data = copies[0]};
  const cbn_tensor gradient = {.type = CBN_F32, .rank = 3, .extent = {1, 1, 2}, .stride = {2, 2, 1}, .data = copies[1]};
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &input, [CBN_ROLE_GRAD_OUTPUT] = &gradient};
  cbn_expected e;
  assert_true(cbn_expected_allocate(&e, CBN_F32, 3, (int64_t[]){1, 2, 1}));
  assert_true(cbn_reference_conv(&c, tensor, 0, &e));
  const cbn_interval first = cbn_expected_at(&e, 0), second = cbn_expected_at(&e, 1);
  assert_true(cbn_interval_admits(&first, 3) && !cbn_interval_admits(&first, (double)NAN));
  assert_true(isnan(second.value));
  cbn_expected_release(&e);
}

/* Rounded to 11 or 8 bits, the largest f32 is infinite. */
static void cut_factors_may_become_infinite(void **state) {
  (void)state;
  const double most = 0x1.fffffep127;
  static const uint32_t classes[] = {CBN_TF32_PRODUCTS, CBN_BF16_PRODUCTS};
  for (int k = 0; k < 2; k++) {
    cbn_interval i = conv_by_hand(line(1, 1), (double[]){most}, (double[]){0x1p-20}, NULL, classes[k]);
    assert_true(cbn_interval_admits(&i, INFINITY));
    i = conv_by_hand(line(1, 1), (double[]){most}, (double[]){0}, NULL, classes[k]);
    assert_true(cbn_interval_admits(&i, (double)NAN));
    i = conv_by_hand(line(2, 2), (double[]){INFINITY, -most}, (double[]){1, 0x1p-20}, NULL, classes[k]);
    assert_true(cbn_interval_admits(&i, (double)NAN));
    /* what is a number of so few bits stays finite */
    i = conv_by_hand(line(1, 1), (double[]){0x1p127}, (double[]){0x1p-20}, NULL, classes[k]);
    assert_true(!cbn_interval_admits(&i, INFINITY) && cbn_interval_admits(&i, 0x1p107));
  }
}

/* A gradient of the bias in a type that holds so few bits that its sum says nothing. */
static void too_many_narrow_terms_are_inconclusive(void **state) {
  (void)state;
  static const int32_t types[] = {CBN_F16, CBN_BF16};
  for (int k = 0; k < 2; k++) {
    const int64_t count = types[k] == CBN_F16 ? 4096 : 512; /* L u = 2 */
    cbn_batchnorm b = cbn_batchnorm_make(0);
    b.batch = count;
    b.channels = 1;
    b.direction = CBN_GRAD_INPUT;
    b.statistics = CBN_STATISTICS_BATCH;
    random_state r = {1};
    test_tensor x;
    const int64_t extent[] = {count, 1}, one = 1;
    assert_true(test_tensor_make(&x, &r, types[k], 2, extent, LAYOUT_CONTIGUOUS));
    test_tensor_fill(&x, &r, TEMPER_NORMAL);
    float weight = 1;
    const cbn_tensor scale = {.type = CBN_F32, .rank = 1, .extent = {1}, .stride = {1}, .data = &weight};
    const cbn_tensor *tensor[CBN_ROLE_COUNT] = {
        [CBN_ROLE_INPUT] = &x.tensor, [CBN_ROLE_WEIGHT] = &scale, [CBN_ROLE_GRAD_OUTPUT] = &x.tensor};
    cbn_expected dx, dw, db;
    assert_true(cbn_expected_allocate(&dx, types[k], 2, extent) && cbn_expected_allocate(&dw, CBN_F32, 1, &one) &&
                cbn_expected_allocate(&db, CBN_F32, 1, &one));
    cbn_reference_batchnorm_backward(&b, tensor, NULL, NULL, CBN_NARROW_SUMS, &dx, &dw, &db);
    assert_true(flags_are_inconclusive(db.flags[0]) && flags_are_inconclusive(dw.flags[0]) &&
                flags_are_inconclusive(dx.flags[0]));
    cbn_expected_release(&dx);
    cbn_expected_release(&dw);
    cbn_expected_release(&db);
    test_tensor_release(&x);
  }
}

/* sum g (x - mu) overflows, though times r it would not. */
static void gradients_that_overflow_on_the_way(void **state) {
  (void)state;
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = 2;
  b.channels = 1;
  b.direction = CBN_GRAD_INPUT;
  b.has_bias = 0;
  float x[] = {0x1p100F, -0x1p100F}, g[] = {0x1p30F, -0x1p30F}, weight = 1;
  const cbn_tensor input = {.type = CBN_F32, .rank = 2, .extent = {2, 1}, .stride = {1, 1}, .data = x};
  const cbn_tensor gradient = {.type = CBN_F32, .rank = 2, .extent = {2, 1}, .stride = {1, 1}, .data = g};
  const cbn_tensor scale = {.type = CBN_F32, .rank = 1, .extent = {1}, .stride = {1}, .data = &weight};
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {
      [CBN_ROLE_INPUT] = &input, [CBN_ROLE_WEIGHT] = &scale, [CBN_ROLE_GRAD_OUTPUT] = &gradient};
  const int64_t one = 1;
  cbn_expected mean, variance, dx, dw;
  assert_true(cbn_expected_allocate(&mean, CBN_F32, 1, &one) && cbn_expected_allocate(&variance, CBN_F32, 1, &one) &&
              cbn_expected_allocate(&dw, CBN_F32, 1, &one) && cbn_expected_allocate(&dx, CBN_F32, 2, input.extent));
  variance.value[0] = 0x1p60;
  cbn_reference_batchnorm_backward(&b, tensor, &mean, &variance, 0, &dx, &dw, NULL);
  const cbn_interval i = cbn_expected_at(&dw, 0);
  assert_true(cbn_interval_admits(&i, INFINITY) && cbn_interval_admits(&i, 0x1p101));
  cbn_expected_release(&mean);
  cbn_expected_release(&variance);
  cbn_expected_release(&dx);
  cbn_expected_release(&dw);
}

/* A statistic that is stored as infinity, and then updated as s + m (stat - s), is NaN. */
static void an_infinite_statistic_may_become_nan(void **state) {
  (void)state;
  cbn_batchnorm b = training(2);
  b.channels = 1;
  b.new_weight = 0.5;
  random_state r = {1};
  test_tensor x;
  const int64_t one = 1;
  assert_true(test_tensor_make(&x, &r, CBN_F16, 2, (int64_t[]){2, 1}, LAYOUT_CONTIGUOUS));
  cbn_tensor_set(&x.tensor, 0, 1024);
  cbn_tensor_set(&x.tensor, 1, -1024); /* the variance is 2^20, half of it too large for f16 */
  b.has_weight = b.has_bias = 0;
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &x.tensor};
  cbn_expected y, mean, variance;
  assert_true(cbn_expected_allocate(&y, CBN_F16, 2, (int64_t[]){2, 1}) &&
              cbn_expected_allocate(&mean, CBN_F16, 1, &one) && cbn_expected_allocate(&variance, CBN_F16, 1, &one));
  cbn_reference_batchnorm(&b, tensor, &mean, &variance, 0, &y);
  cbn_interval i = cbn_expected_at(&variance, 0);
  assert_true(cbn_interval_admits(&i, INFINITY));
  cbn_reference_batchnorm(&b, tensor, &mean, &variance, 0, &y);
  i = cbn_expected_at(&variance, 0);
  assert_true(cbn_interval_admits(&i, (double)NAN) && cbn_interval_admits(&i, INFINITY));
  cbn_expected_release(&y);
  cbn_expected_release(&mean);
  cbn_expected_release(&variance);
  test_tensor_release(&x);
}

/* An infinite weight times a difference that an engine's own mean makes 0, or of either sign. */
static void an_infinite_weight_asks_for_the_sign_of_a_difference(void **state) {
  (void)state;
  const double inputs[2][6] = {{0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, {1, 3, 1, 3, 1, 3}};
  cbn_batchnorm b = training(6);
  b.channels = 1;
  b.update_running = b.has_bias = 0;
  random_state r = {1};
  test_tensor x, w;
  cbn_expected y;
  assert_true(test_tensor_make(&x, &r, CBN_F64, 2, (int64_t[]){6, 1}, LAYOUT_CONTIGUOUS) &&
              test_tensor_make(&w, &r, CBN_F64, 1, (int64_t[]){1}, LAYOUT_CONTIGUOUS) &&
              cbn_expected_allocate(&y, CBN_F64, 2, (int64_t[]){6, 1}));
  cbn_tensor_set(&w.tensor, 0, INFINITY);
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &x.tensor, [CBN_ROLE_WEIGHT] = &w.tensor};
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < 6; i++) cbn_tensor_set(&x.tensor, i, inputs[k][i]);
    cbn_reference_batchnorm(&b, tensor, NULL, NULL, 0, &y);
    const cbn_interval last = cbn_expected_at(&y, 5);
    assert_true(cbn_interval_admits(&last, INFINITY));
    assert_int_equal(cbn_interval_admits(&last, -INFINITY), k == 0);
    assert_int_equal(cbn_interval_admits(&last, 0.1), k == 0);
  }
  cbn_expected_release(&y);
  test_tensor_release(&x);
  test_tensor_release(&w);
}

/* An error bound that reaches beyond overflow on both sides leaves both infinities. */
static void a_wide_bound_admits_both_infinities(void **state) {
  (void)state;
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = b.channels = 1;
  b.epsilon = 0;
  b.has_weight = b.has_bias = 0;
  random_state r = {1};
  test_tensor x;
  const int64_t one = 1;
  assert_true(test_tensor_make(&x, &r, CBN_F16, 2, (int64_t[]){1, 1}, LAYOUT_CONTIGUOUS));
  cbn_tensor_set(&x.tensor, 0, 1);
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &x.tensor};
  cbn_expected y, mean, variance;
  assert_true(cbn_expected_allocate(&y, CBN_F16, 2, (int64_t[]){1, 1}) &&
              cbn_expected_allocate(&mean, CBN_F32, 1, &one) && cbn_expected_allocate(&variance, CBN_F32, 1, &one));
  mean.bound[0] = 1e6; /* the mean may be anything from -10^6 to 10^6 */
  variance.value[0] = 1;
  cbn_reference_batchnorm(&b, tensor, &mean, &variance, 0, &y);
  const cbn_interval i = cbn_expected_at(&y, 0);
  assert_true(cbn_interval_admits(&i, INFINITY) && cbn_interval_admits(&i, -INFINITY) && cbn_interval_admits(&i, 1));
  cbn_expected_release(&y);
  cbn_expected_release(&mean);
  cbn_expected_release(&variance);
  test_tensor_release(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(conv_agrees_at_random),
      cmocka_unit_test(conv_special_values_by_hand),
      cmocka_unit_test(conv_overflow_by_hand),
      cmocka_unit_test(conv_exactness_by_hand),
      cmocka_unit_test(conv_of_too_many_products_is_inconclusive),
      cmocka_unit_test(batchnorm_agrees_at_random),
      cmocka_unit_test(gradients_of_batchnorm_agree_at_random),
      cmocka_unit_test(batchnorm_by_definition),
      cmocka_unit_test(batchnorm_special_values_by_hand),
      cmocka_unit_test(batchnorm_negative_epsilon_by_hand),
      cmocka_unit_test(batchnorm_negative_variance_by_hand),
      cmocka_unit_test(batchnorm_underflow_by_hand),
      cmocka_unit_test(batchnorm_flushes_by_hand),
      cmocka_unit_test(batchnorm_overflow_on_the_way_by_hand),
      cmocka_unit_test(nan_stays_in_its_channel),
      cmocka_unit_test(cut_factors_may_become_infinite),
      cmocka_unit_test(too_many_narrow_terms_are_inconclusive),
      cmocka_unit_test(gradients_that_overflow_on_the_way),
      cmocka_unit_test(an_infinite_statistic_may_become_nan),
      cmocka_unit_test(an_infinite_weight_asks_for_the_sign_of_a_difference),
      cmocka_unit_test(a_wide_bound_admits_both_infinities),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
