/* Tries to break the reference's bounds: evaluations in every type, order and grouping that a correct implementation
 * could choose, and in some that only an adversary would, must stay inside; twice the bound must always be refused.
 *
 * The table that this prints is the largest error/bound seen for each operator, direction, type and declared class
 * (docs/bounds.md). CBN_TEST_SCALE multiplies the number of problems. Compile with -ffp-contract=off. */
#include <convbn/reference.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <float.h>

#include "tests/random_problem.h"
#include "tests/second_reference.h"

_Static_assert(FLT_EVAL_METHOD == 0, "f64 operations must round to f64");

/* --------------------------------------------------------------------------------------------- what has been seen */

#define KINDS(X)                                                                                                       \
  X(CONV, "convolution")                                                                                               \
  X(CONV_GRAD_INPUT, "convolution, grad_input")                                                                        \
  X(CONV_GRAD_WEIGHT, "convolution, grad_weight")                                                                      \
  X(CONV_GRAD_BIAS, "convolution, grad_bias")                                                                          \
  X(TRANSPOSED, "transposed convolution")                                                                              \
  X(TRANSPOSED_GRAD_INPUT, "transposed, grad_input")                                                                   \
  X(TRANSPOSED_GRAD_WEIGHT, "transposed, grad_weight")                                                                 \
  X(TRANSPOSED_GRAD_BIAS, "transposed, grad_bias")                                                                     \
  X(CONV_MANY, "any, more than 100 products")                                                                          \
  X(TWO_PASS, "training output, two passes")                                                                           \
  X(WELFORD, "training output, Welford")                                                                               \
  X(MERGED, "training output, Welford in lanes")                                                                       \
  X(EVALUATION, "evaluation output")                                                                                   \
  X(RUNNING_MEAN, "running mean")                                                                                      \
  X(RUNNING_VARIANCE, "running variance")                                                                              \
  X(TRAINING_GRAD_INPUT, "training, grad_input")                                                                       \
  X(EVALUATION_GRAD_INPUT, "evaluation, grad_input")                                                                   \
  X(NORM_GRAD_WEIGHT, "batch norm, grad_weight")                                                                       \
  X(NORM_GRAD_BIAS, "batch norm, grad_bias")                                                                           \
  X(FOLDED, "folded convolution")

enum kind {
#define KIND_ENUM(NAME, name) KIND_##NAME,
  KINDS(KIND_ENUM)
#undef KIND_ENUM
      KIND_COUNT
};

static const char *const kind_names[] = {
#define KIND_NAME(NAME, name) name,
    KINDS(KIND_NAME)
#undef KIND_NAME
};

/* The columns: a type in plain arithmetic, then what was declared; the first that applies. */
enum { COLUMN_FLUSHED = CBN_BF16 + 1, COLUMN_TF32, COLUMN_BF16_PRODUCTS, COLUMN_NARROW, COLUMN_COUNT };

static const char *const column_names[] = {"f32", "f64", "f16", "bf16", "flushed", "tf32", "bf16-products", "narrow"};

static int column_of(int32_t type, uint32_t arithmetic) {
  if ((arithmetic & CBN_FLUSHES_SUBNORMALS) != 0) return COLUMN_FLUSHED;
  if (second_working(type, arithmetic) == CBN_F16 || second_working(type, arithmetic) == CBN_BF16) return COLUMN_NARROW;
  if (second_factor_cut(type, arithmetic) == 0x1p-7) return COLUMN_BF16_PRODUCTS;
  return second_factor_cut(type, arithmetic) > 0 ? COLUMN_TF32 : type;
}

typedef struct seen {
  double worst;
  int64_t evaluations, inconclusive;
} seen;

static seen table[KIND_COUNT][COLUMN_COUNT];
static int column; /* of the problem that is attacked */
static int failures;
enum { FAILURES_SHOWN = 10 };

/* A result that is right, moved by more than 2 bounds, is refused: the bound hides no error of that size. */
static bool sees_two_bounds(const cbn_interval *i, double actual) {
  if (!isfinite(actual) || !isfinite(i->value) || !isfinite(i->bound)) return true;
  for (int sign = -1; sign <= 1; sign += 2) {
    double moved = actual + sign * 2 * i->bound;
    for (int step = 0; step < 2; step++) moved = nextafter(moved, sign * (double)INFINITY);
    if (isfinite(moved) && cbn_interval_admits(i, moved)) return false;
  }
  return true;
}

/* Files one result; false (and the first few are printed) where it lies outside. */
static bool file_result(enum kind kind, const cbn_interval *i, double actual, const char *how, int64_t element) {
  seen *s = &table[kind][column];
  s->evaluations++;
  if ((i->flags & CBN_INCONCLUSIVE) != 0) {
    s->inconclusive++;
    return true;
  }
  const double share = cbn_interval_share(i, actual);
  if (!cbn_interval_admits(i, actual) || !(share <= 1) || !sees_two_bounds(i, actual)) {
    if (failures++ < FAILURES_SHOWN)
      fprintf(stderr, "%s, element %" PRId64 " by %s: %.17g outside %.17g +- %.9g (own %.3g), share %.9g, flags %d\n  ",
              kind_names[kind], element, how, actual, i->value, i->bound, i->own, share, i->flags);
    return false;
  }
  if (share > s->worst) s->worst = share;
  return true;
}

/* The next number of the type away from `value`, beyond `value` + `distance`. */
static double beyond(int32_t type, double value, double distance) {
  const double sign = distance < 0 ? -1 : 1;
  double actual = second_round(type, value + distance);
  double step = fmax(second_smallest(type), second_roundoff(type) * fabs(actual));
  if (isinf(actual)) return copysign(INFINITY, distance);
  while (!(actual * sign > (value + distance) * sign)) {
    actual = second_round(type, actual + sign * step);
    step *= 2;
  }
  return actual;
}

/* A number beyond value +- 2 bound is refused, on both sides, and so is what is not finite. */
static bool refuses_twice_the_bound(const cbn_interval *i, int32_t type, int64_t element) {
  if ((i->flags & CBN_INCONCLUSIVE) != 0) return true;
  bool good = (i->flags & CBN_OR_NAN) != 0 || isnan(i->value) || !cbn_interval_admits(i, (double)NAN);
  if (!isfinite(i->value)) {
    good = good && !cbn_interval_admits(i, 1) && (i->value == INFINITY || !cbn_interval_admits(i, INFINITY)) &&
           (i->value == -INFINITY || !cbn_interval_admits(i, -INFINITY));
  } else {
    for (int sign = -1; sign <= 1; sign += 2) {
      const double actual = beyond(type, i->value, sign * 2 * i->bound);
      if (isinf(actual) && (i->flags & CBN_OR_INFINITY) != 0) continue;
      good = good && !cbn_interval_admits(i, actual);
    }
  }
  if (!good && failures++ < FAILURES_SHOWN)
    fprintf(stderr, "element %" PRId64 ": %.17g +- %.9g flags %d admits too much\n  ", element, i->value, i->bound,
            i->flags);
  return good;
}

static void print_table(int from, int to) {
  for (int k = from; k <= to; k++)
    for (int c = 0; c < COLUMN_COUNT; c++)
      if (table[k][c].evaluations > 0)
        print_message("%-34s %-13s %9" PRId64 " evaluations, %8" PRId64 " inconclusive, worst error/bound %.4f\n",
                      kind_names[k], column_names[c], table[k][c].evaluations, table[k][c].inconclusive,
                      table[k][c].worst);
}

/* ---------------------------------------------------------------------------------------------------- arithmetic */

/* How one evaluation computes. */
typedef struct arithmetic {
  int32_t working, stored;
  bool flush, fused;
  double normal;      /* the working type's smallest */
  uint32_t keep_bits; /* mask of what is kept of a factor's f32 bits; 0 for all */
  bool round_factors; /* before they are masked; else they are cut */
} arithmetic;

static arithmetic random_manner_of_arithmetic(random_state *r, int32_t stored, uint32_t declared) {
  arithmetic m = {.working = second_working(stored, declared), .stored = stored};
  m.flush = (declared & CBN_FLUSHES_SUBNORMALS) != 0;
  m.fused = random_chance(r, 2);
  m.normal = second_smallest_normal(m.working);
  const double cut = second_factor_cut(stored, declared);
  if (cut > 0) m.keep_bits = cut == 0x1p-7 ? 0xffff0000U : 0xffffe000U;
  m.round_factors = random_chance(r, 2);
  return m;
}

/* An exact or doubly rounded result of f64 to the working type; for f32, f64 has bits enough that rounding twice is
 * rounding once (Figueroa 1995). */
static inline double fit(const arithmetic *m, double a) {
  return m->working == CBN_F64 ? a : m->working == CBN_F32 ? (double)(float)a : second_round(m->working, a);
}

static inline double keep(const arithmetic *m, double a) { return m->flush && fabs(a) < m->normal ? 0 * a : a; }
static inline double add(const arithmetic *m, double a, double b) { return keep(m, fit(m, keep(m, a) + keep(m, b))); }
static inline double sub(const arithmetic *m, double a, double b) { return keep(m, fit(m, keep(m, a) - keep(m, b))); }
static inline double mul(const arithmetic *m, double a, double b) { return keep(m, fit(m, keep(m, a) * keep(m, b))); }
static inline double quotient(const arithmetic *m, double a, double b) {
  return keep(m, fit(m, keep(m, a) / keep(m, b)));
}
static inline double root(const arithmetic *m, double a) { return fit(m, sqrt(keep(m, a))); }

/* a b + c, fused or not. */
static inline double multiply_add(const arithmetic *m, double a, double b, double c) {
  if (!m->fused) return add(m, mul(m, a, b), c);
  const double p = keep(m, a), q = keep(m, b), s = keep(m, c);
  return keep(m, m->working == CBN_F32 ? (double)fmaf((float)p, (float)q, (float)s) : fit(m, fma(p, q, s)));
}

/* A tensor's element as it is read, a factor as it enters a product, a result as it is stored. */
static inline double read_element(const arithmetic *m, double a) { return keep(m, fit(m, a)); }

static inline double read_factor(const arithmetic *m, double a) {
  a = read_element(m, a);
  if (m->keep_bits == 0 || !isfinite(a)) return a;
  const float narrow = (float)a;
  uint32_t bits;
  memcpy(&bits, &narrow, sizeof bits);
  if (m->round_factors) bits += (~m->keep_bits >> 1) + ((bits & (~m->keep_bits + 1)) != 0);
  bits &= m->keep_bits;
  float cut;
  memcpy(&cut, &bits, sizeof cut);
  return (double)cut;
}

static inline double stored_as(const arithmetic *m, int32_t type, double a) { return second_round(type, keep(m, a)); }

static inline double store(const arithmetic *m, double a) { return stored_as(m, m->stored, a); }

/* -------------------------------------------------------------------------------------------------------- sums */

enum { REDUCE_SEQUENCE, REDUCE_TREE, REDUCE_8_LANES, REDUCE_16_LANES, REDUCE_BLOCKS, REDUCE_COUNT };

/* sum x w from `from` in steps of `step`, onto `sum`. */
static double sequence(const arithmetic *m, const double *x, const double *w, int64_t from, int64_t to, int64_t step,
                       double sum) {
  for (int64_t i = from; i < to; i += step) sum = multiply_add(m, x[i], w[i], sum);
  return sum;
}

static double tree(const arithmetic *m, const double *x, const double *w, int64_t from, int64_t to) {
  if (to - from == 1) return mul(m, x[from], w[from]);
  const int64_t middle = from + (to - from) / 2;
  return add(m, tree(m, x, w, from, middle), tree(m, x, w, middle, to));
}

static double lanes(const arithmetic *m, const double *x, const double *w, int64_t n, int count, bool in_tree) {
  double lane[16];
  for (int l = 0; l < count; l++) lane[l] = sequence(m, x, w, l, n, count, 0);
  if (in_tree) {
    for (int half = count / 2; half >= 1; half /= 2)
      for (int l = 0; l < half; l++) lane[l] = add(m, lane[l], lane[l + half]);
    return lane[0];
  }
  double sum = 0;
  for (int l = 0; l < count; l++) sum = add(m, sum, lane[l]);
  return sum;
}

/* sum x w + bias with one way of grouping. */
static double reduce(const arithmetic *m, random_state *r, int how, const double *x, const double *w, int64_t n,
                     bool has_bias, double bias) {
  const bool first = random_chance(r, 2);
  double sum = has_bias && first ? bias : 0;
  if (n > 0) {
    const int64_t block = INT64_C(1) << random_between(r, 1, 8);
    switch (how) {
    case REDUCE_TREE: sum = add(m, sum, tree(m, x, w, 0, n)); break;
    case REDUCE_8_LANES: sum = add(m, lanes(m, x, w, n, 8, random_chance(r, 2)), sum); break;
    case REDUCE_16_LANES: sum = add(m, lanes(m, x, w, n, 16, random_chance(r, 2)), sum); break;
    case REDUCE_BLOCKS:
      for (int64_t k = 0; k < n; k += block)
        sum = add(m, sum, sequence(m, x, w, k, k + block < n ? k + block : n, 1, 0));
      break;
    default: sum = sequence(m, x, w, 0, n, 1, sum); break;
    }
  }
  return has_bias && !first ? add(m, sum, bias) : keep(m, sum);
}

/* The same in a wider type, rounded once: a wider accumulator is admissible. */
static double in_wider(const second_terms *t, int32_t stored) {
  long double sum = t->has_bias ? (long double)t->bias : 0;
  for (int64_t i = 0; i < t->count; i++) sum += (long double)t->x[i] * (long double)t->w[i];
  return second_round(stored, (double)sum);
}

/* ------------------------------------------------------------------------------------------------------- orders */

#define ORDERS(X)                                                                                                      \
  X(FORWARD, "forward")                                                                                                \
  X(BACKWARD, "backward")                                                                                              \
  X(SHUFFLED, "shuffled")                                                                                              \
  X(ASCENDING, "ascending")                                                                                            \
  X(DESCENDING, "descending")                                                                                          \
  X(POSITIVE_FIRST, "positive first")                                                                                  \
  X(GREEDY_UP, "greedy up")                                                                                            \
  X(GREEDY_DOWN, "greedy down")

enum order {
#define ORDER_ENUM(NAME, name) ORDER_##NAME,
  ORDERS(ORDER_ENUM)
#undef ORDER_ENUM
      ORDER_COUNT
};

static const char *const order_names[] = {
#define ORDER_NAME(NAME, name) name,
    ORDERS(ORDER_NAME)
#undef ORDER_NAME
};

typedef struct factor_pair {
  double key, x, w;
} factor_pair;

static int by_key(const void *a, const void *b) {
  const double p = ((const factor_pair *)a)->key, q = ((const factor_pair *)b)->key;
  return (p > q) - (p < q);
}

/* Picks, one after the other, the term whose rounding errs furthest in one direction. */
static void order_greedily(const arithmetic *m, factor_pair *p, int64_t n, double start, double direction) {
  double sum = start;
  for (int64_t i = 0; i < n; i++) {
    int64_t best = i;
    double furthest = -INFINITY;
    for (int64_t j = i; j < n; j++) {
      const long double exact = (long double)sum + (long double)p[j].x * (long double)p[j].w;
      const double error = direction * (double)((long double)multiply_add(m, p[j].x, p[j].w, sum) - exact);
      if (error > furthest) {
        furthest = error;
        best = j;
      }
    }
    const factor_pair chosen = p[best];
    p[best] = p[i];
    p[i] = chosen;
    sum = multiply_add(m, chosen.x, chosen.w, sum);
  }
}

static void put_in_order(const arithmetic *m, random_state *r, enum order order, factor_pair *p, int64_t n,
                         double start) {
  switch (order) {
  case ORDER_GREEDY_UP: order_greedily(m, p, n < 32 ? n : 32, start, 1); return;
  case ORDER_GREEDY_DOWN: order_greedily(m, p, n < 32 ? n : 32, start, -1); return;
  case ORDER_FORWARD: return;
  default: break;
  }
  for (int64_t i = 0; i < n; i++) {
    const double term = p[i].x * p[i].w;
    p[i].key = order == ORDER_BACKWARD     ? -(double)i
               : order == ORDER_SHUFFLED   ? random_unit(r)
               : order == ORDER_ASCENDING  ? fabs(term)
               : order == ORDER_DESCENDING ? -fabs(term)
                                           : (term > 0 ? 0 : 1);
    if (isnan(p[i].key)) p[i].key = 0;
  }
  qsort(p, (size_t)n, sizeof *p, by_key);
}

/* -------------------------------------------------------------------------------------------------- convolution */

static enum kind conv_kind(const cbn_conv *c, int64_t n) {
  if (n > 100) return KIND_CONV_MANY;
  return (enum kind)((c->transposed ? KIND_TRANSPOSED : KIND_CONV) + c->direction);
}

/* Memory for one element's factors, reordered. */
typedef struct workspace {
  factor_pair *pair;
  double *x, *w;
} workspace;

static workspace workspace_make(int64_t n) {
  const workspace s = {malloc((size_t)(n + 1) * sizeof *s.pair), malloc((size_t)(n + 1) * sizeof *s.x),
                       malloc((size_t)(n + 1) * sizeof *s.w)};
  assert_true(s.pair != NULL && s.x != NULL && s.w != NULL);
  return s;
}

static void workspace_release(workspace s) {
  free(s.pair);
  free(s.x);
  free(s.w);
}

/* The element's terms in one order, each factor as the arithmetic reads it. */
static void lay_in_order(const arithmetic *m, random_state *r, enum order order, const second_terms *t, double bias,
                         workspace s) {
  for (int64_t j = 0; j < t->count; j++)
    s.pair[j] = (factor_pair){.x = read_factor(m, t->x[j]), .w = read_factor(m, t->w[j])};
  put_in_order(m, r, order, s.pair, t->count, bias);
  for (int64_t j = 0; j < t->count; j++) {
    s.x[j] = s.pair[j].x;
    s.w[j] = s.pair[j].w;
  }
}

static bool attack_element(random_state *r, const conv_problem *p, const second_terms *t, const cbn_interval *i,
                           uint32_t declared, int64_t at, workspace s) {
  const enum kind kind = conv_kind(&p->conv, t->count);
  bool good = refuses_twice_the_bound(i, p->type, at);
  const int orders = t->count <= 1 ? ORDER_BACKWARD : ORDER_COUNT, ways = t->count <= 1 ? 2 : REDUCE_COUNT;
  for (int order = 0; order < orders && good; order++) {
    arithmetic m = random_manner_of_arithmetic(r, p->type, declared);
    if (p->conv.direction == CBN_GRAD_BIAS) m.keep_bits = 0; /* a sum of numbers has no factors */
    const double bias = t->has_bias ? read_element(&m, t->bias) : 0;
    lay_in_order(&m, r, (enum order)order, t, bias, s);
    for (int how = 0; how < ways && good; how++) {
      const double sum = reduce(&m, r, how, s.x, s.w, t->count, t->has_bias, bias);
      good = file_result(kind, i, store(&m, sum), order_names[order], at);
      m.fused = !m.fused;
    }
  }
  if (good && (declared & CBN_FLUSHES_SUBNORMALS) == 0)
    good = file_result(kind, i, in_wider(t, p->type), "a wider type", at);
  /* multiplying by the zeros that skipping leaves out */
  if (good && t->nonfinite_on_zero) good = file_result(kind, i, (double)NAN, "multiplied zeros", at);
  return good;
}

static bool attack_conv(const conv_problem *p, random_state *r, uint32_t declared) {
  second_conv second;
  cbn_expected first;
  column = column_of(p->type, declared);
  assert_true(second_conv_terms(&p->conv, p->tensor, &second));
  assert_true(cbn_expected_allocate(&first, p->type, second.rank, second.extent));
  assert_true(cbn_reference_conv(&p->conv, p->tensor, declared, &first));
  int64_t most = 0;
  for (int64_t i = 0; i < second.count; i++)
    if (second.element[i].count > most) most = second.element[i].count;
  const workspace s = workspace_make(most);
  bool good = true;
  /* at most some thirty elements of one problem */
  const int64_t step = second.count / 30 + 1;
  for (int64_t i = random_between(r, 0, step - 1); i < second.count && good; i += step) {
    const cbn_interval interval = cbn_expected_at(&first, i);
    good = attack_element(r, p, &second.element[i], &interval, declared, i, s);
  }
  workspace_release(s);
  cbn_expected_release(&first);
  second_conv_release(&second);
  return good;
}

/* One position, many channels: up to some two thousand products. */
static bool deep_problem(conv_problem *p, random_state *r, int temper) {
  cbn_conv c = cbn_conv_make(1);
  c.batch = 1;
  c.in_channels = random_between(r, 40, 700);
  c.out_channels = 1;
  c.input[0] = c.kernel[0] = 3;
  c.has_bias = random_chance(r, 2);
  p->conv = c;
  p->type = random_type(r);
  conv_problem_tempers(p, r, temper);
  if (random_chance(r, 2)) p->temper[CBN_ROLE_WEIGHT] = TEMPER_CONSTANT;
  return conv_problem_fill(p, r);
}

/* What an engine declares: mostly nothing, else mostly one class. */
static uint32_t random_declaration(random_state *r) {
  static const uint32_t classes[] = {CBN_FLUSHES_SUBNORMALS, CBN_NARROW_SUMS, CBN_TF32_PRODUCTS, CBN_BF16_PRODUCTS};
  uint32_t declared = random_chance(r, 2) ? 0 : classes[random_between(r, 0, 3)];
  if (random_chance(r, 8)) declared |= classes[random_between(r, 0, 3)];
  return declared;
}

static void convolution_stays_within_bounds(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(10000);
  failures = 0;
  for (int64_t i = 0; i < count && failures < FAILURES_SHOWN; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    const int temper = (int)random_between(&r, 0, TEMPER_COUNT - 1);
    assert_true(random_chance(&r, 12) ? deep_problem(&p, &r, temper) : conv_problem_make(&p, &r, temper));
    const uint32_t declared = random_declaration(&r);
    if (!attack_conv(&p, &r, declared)) {
      fprintf(stderr, "declared=%u ", declared);
      conv_problem_print(&p);
    }
    conv_problem_release(&p);
  }
  print_table(KIND_CONV, KIND_CONV_MANY);
  assert_int_equal(failures, 0);
}

/* ----------------------------------------------------------------------------------- batch normalization's engine */

enum { METHOD_TWO_PASS, METHOD_WELFORD, METHOD_MERGED, METHOD_DOUBLE, METHOD_COUNT };
enum { NORMALISE_STEPS, NORMALISE_SCALED, NORMALISE_DIVIDED, NORMALISE_FOLDED, NORMALISE_COUNT };

/* How the gradients are grouped: with sum g (x - mu) first, as PyTorch does; with (x - mu) r first; the same over a
 * common divisor; as a linear function of g and x. */
enum { BACKWARD_FACTORED, BACKWARD_NORMALISED, BACKWARD_COMMON, BACKWARD_LINEAR, BACKWARD_COUNT };

/* One way to compute a batch normalization. */
typedef struct manner {
  arithmetic m;
  int32_t parameter_type;
  int method, reduction, normalise, backward;
  int lane_count;
  bool reciprocal;    /* multiply by 1/L instead of dividing by L */
  bool tree;          /* merge lanes in a tree */
  bool scale_divides; /* g / sqrt instead of g * (1 / sqrt) */
  bool difference;    /* s + m (stat - s) instead of (1-m) s + m stat */
  int unbiased_form;
  uint64_t seed;
} manner;

static manner random_manner(random_state *r, const batchnorm_problem *p, uint32_t declared) {
  manner a = {.m = random_manner_of_arithmetic(r, p->type, declared), .parameter_type = p->parameter_type};
  a.method = (int)random_between(r, 0, a.m.flush ? METHOD_MERGED : METHOD_DOUBLE);
  if ((declared & CBN_TWO_PASS_STATISTICS) != 0) a.method = METHOD_TWO_PASS;
  a.reduction = (int)random_between(r, 0, REDUCE_COUNT - 1);
  a.normalise = (int)random_between(r, 0, NORMALISE_COUNT - 1);
  a.backward = (int)random_between(r, 0, BACKWARD_COUNT - 1);
  a.lane_count = 1 << random_between(r, 1, 4);
  a.reciprocal = random_chance(r, 2);
  a.tree = random_chance(r, 2);
  a.scale_divides = random_chance(r, 2);
  a.difference = random_chance(r, 2);
  a.unbiased_form = (int)random_between(r, 0, 2);
  a.seed = random_word(r);
  return a;
}

/* Statistics as an engine holds them. */
typedef struct moments {
  double mean, squares; /* the sum of squared deviations */
  int64_t count;
} moments;

static double number_of(const manner *a, int64_t count) { return fit(&a->m, (double)count); }

static double divided(const manner *a, double sum, int64_t by) {
  return a->reciprocal ? mul(&a->m, sum, quotient(&a->m, 1, number_of(a, by))) : quotient(&a->m, sum, number_of(a, by));
}

static moments two_passes(const manner *a, const double *x, int64_t n, double *deviation, const double *ones) {
  random_state r = {a->seed};
  moments s = {.count = n};
  s.mean = divided(a, reduce(&a->m, &r, a->reduction, x, ones, n, false, 0), n);
  for (int64_t i = 0; i < n; i++) deviation[i] = sub(&a->m, x[i], s.mean);
  s.squares = reduce(&a->m, &r, a->reduction, deviation, deviation, n, false, 0);
  return s;
}

static moments welford(const manner *a, const double *x, int64_t from, int64_t n, int64_t step) {
  const arithmetic *m = &a->m;
  moments s = {0};
  for (int64_t i = from; i < n; i += step) {
    const double before = sub(m, x[i], s.mean);
    s.count++;
    s.mean = a->reciprocal ? multiply_add(m, before, quotient(m, 1, number_of(a, s.count)), s.mean)
                           : add(m, s.mean, quotient(m, before, number_of(a, s.count)));
    s.squares = multiply_add(m, before, sub(m, x[i], s.mean), s.squares);
  }
  return s;
}

/* Chan, Golub and LeVeque 1979. */
static moments merged(const manner *a, moments p, moments q) {
  if (p.count == 0) return q;
  if (q.count == 0) return p;
  const arithmetic *m = &a->m;
  const double count = number_of(a, p.count + q.count), delta = sub(m, q.mean, p.mean);
  const double share = quotient(m, number_of(a, q.count), count);
  moments s = {.count = p.count + q.count};
  s.mean = multiply_add(m, delta, share, p.mean);
  s.squares = multiply_add(m, mul(m, delta, delta), mul(m, number_of(a, p.count), share), add(m, p.squares, q.squares));
  return s;
}

static moments welford_in_lanes(const manner *a, const double *x, int64_t n) {
  moments lane[16] = {{0}};
  for (int l = 0; l < a->lane_count; l++) lane[l] = welford(a, x, l, n, a->lane_count);
  if (a->tree) {
    for (int half = a->lane_count / 2; half >= 1; half /= 2)
      for (int l = 0; l < half; l++) lane[l] = merged(a, lane[l], lane[l + half]);
    return lane[0];
  }
  moments s = lane[0];
  for (int l = 1; l < a->lane_count; l++) s = merged(a, s, lane[l]);
  return s;
}

static moments in_wider_type(const manner *a, const double *x, int64_t n) {
  long double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; i++) sum += (long double)x[i];
  const long double mean = sum / (long double)n;
  for (int64_t i = 0; i < n; i++) squares += ((long double)x[i] - mean) * ((long double)x[i] - mean);
  return (moments){.mean = fit(&a->m, (double)mean), .squares = fit(&a->m, (double)squares), .count = n};
}

/* An epsilon or a momentum as the engine's arithmetic holds it. */
static double parameter(const manner *a, double value) { return fit(&a->m, value); }

static double normalised(const manner *a, double x, double mean, double variance, double epsilon, double g, double b) {
  const arithmetic *m = &a->m;
  const double deviation = root(m, add(m, variance, epsilon)), r = quotient(m, 1, deviation);
  const double scale = a->scale_divides ? quotient(m, g, deviation) : mul(m, g, r);
  switch (a->normalise) {
  case NORMALISE_SCALED: return multiply_add(m, sub(m, x, mean), scale, b);
  case NORMALISE_DIVIDED: return multiply_add(m, quotient(m, sub(m, x, mean), deviation), g, b);
  case NORMALISE_FOLDED: return multiply_add(m, x, scale, multiply_add(m, -mean, scale, b));
  default: return multiply_add(m, mul(m, sub(m, x, mean), r), g, b);
  }
}

static double updated(const manner *a, double running, double statistic, double new_weight) {
  const arithmetic *m = &a->m;
  const double w = parameter(a, new_weight);
  double s;
  if (a->difference) s = multiply_add(m, w, sub(m, statistic, running), running);
  else s = multiply_add(m, running, a->tree ? sub(m, 1, w) : parameter(a, 1 - new_weight), mul(m, w, statistic));
  return stored_as(m, a->parameter_type, s);
}

static double unbiased_variance(const manner *a, const moments *s, double biased) {
  const double n = number_of(a, s->count), less = number_of(a, s->count - 1);
  return a->unbiased_form == 0   ? quotient(&a->m, s->squares, less)
         : a->unbiased_form == 1 ? mul(&a->m, biased, quotient(&a->m, n, less))
                                 : quotient(&a->m, mul(&a->m, biased, n), less);
}

/* -------------------------------------------------------------------------------------- batch normalization, steps */

enum { STEPS = 4, MANNERS = 16 };

/* What the reference says of each step, and the inputs. */
typedef struct history {
  int steps;
  test_tensor input[STEPS];
  int32_t statistics[STEPS];
  cbn_expected output[STEPS], mean[STEPS], variance[STEPS];
} history;

static void history_make(history *h, batchnorm_problem *p, random_state *r, uint32_t declared) {
  const bool running = p->tensor[CBN_ROLE_RUNNING_MEAN] != NULL;
  const cbn_tensor *like = p->tensor[CBN_ROLE_INPUT];
  cbn_expected mean = {0}, variance = {0};
  *h = (history){.steps = running && p->values < 200 ? (int)random_between(r, 1, STEPS) : 1};
  if (running) {
    assert_true(cbn_expected_allocate(&mean, p->parameter_type, 1, &p->batchnorm.channels));
    assert_true(cbn_expected_allocate(&variance, p->parameter_type, 1, &p->batchnorm.channels));
    for (int64_t c = 0; c < p->batchnorm.channels; c++) {
      mean.value[c] = channel_value(p, CBN_ROLE_RUNNING_MEAN, c, 0);
      variance.value[c] = channel_value(p, CBN_ROLE_RUNNING_VAR, c, 1);
    }
  }
  for (int s = 0; s < h->steps; s++) {
    assert_true(test_tensor_make(&h->input[s], r, p->type, like->rank, like->extent, LAYOUT_CONTIGUOUS));
    test_tensor_fill(&h->input[s], r, p->temper);
    h->statistics[s] =
        running ? (int32_t)(random_chance(r, 3) ? CBN_STATISTICS_RUNNING : CBN_STATISTICS_BATCH) : CBN_STATISTICS_BATCH;
    p->batchnorm.statistics = h->statistics[s];
    p->batchnorm.update_running = running;
    assert_true(cbn_expected_allocate(&h->output[s], p->type, like->rank, like->extent));
    const cbn_tensor *tensor[CBN_ROLE_COUNT];
    memcpy(tensor, p->tensor, sizeof tensor);
    tensor[CBN_ROLE_INPUT] = &h->input[s].tensor;
    cbn_reference_batchnorm(&p->batchnorm, tensor, running ? &mean : NULL, running ? &variance : NULL, declared,
                            &h->output[s]);
    if (!running) continue;
    assert_true(cbn_expected_allocate(&h->mean[s], p->parameter_type, 1, &p->batchnorm.channels));
    assert_true(cbn_expected_allocate(&h->variance[s], p->parameter_type, 1, &p->batchnorm.channels));
    for (int64_t c = 0; c < p->batchnorm.channels; c++) {
      cbn_expected_put(&h->mean[s], c, cbn_expected_at(&mean, c));
      cbn_expected_put(&h->variance[s], c, cbn_expected_at(&variance, c));
    }
  }
  if (!running) return;
  cbn_expected_release(&mean);
  cbn_expected_release(&variance);
}

static void history_release(history *h, bool running) {
  for (int s = 0; s < h->steps; s++) {
    test_tensor_release(&h->input[s]);
    cbn_expected_release(&h->output[s]);
    if (!running) continue;
    cbn_expected_release(&h->mean[s]);
    cbn_expected_release(&h->variance[s]);
  }
}

/* One channel's values and what is made of them. */
typedef struct lines {
  double *x, *g, *deviation, *ones;
} lines;

static lines lines_make(int64_t count) {
  const size_t n = (size_t)count + 1;
  const lines l = {malloc(n * sizeof *l.x), malloc(n * sizeof *l.g), malloc(n * sizeof *l.deviation),
                   malloc(n * sizeof *l.ones)};
  assert_true(l.x != NULL && l.g != NULL && l.deviation != NULL && l.ones != NULL);
  for (size_t i = 0; i < n; i++) l.ones[i] = 1;
  return l;
}

static void lines_release(lines l) {
  free(l.x);
  free(l.g);
  free(l.deviation);
  free(l.ones);
}

static void read_line(const manner *a, const batchnorm_problem *p, const cbn_tensor *t, int64_t channel, double *to) {
  for (int64_t i = 0; i < p->values; i++)
    to[i] = read_element(&a->m, cbn_tensor_get(t, channel_position(p, channel, i)));
}

static moments statistics_by(const manner *a, int64_t n, lines l) {
  switch (a->method) {
  case METHOD_TWO_PASS: return two_passes(a, l.x, n, l.deviation, l.ones);
  case METHOD_WELFORD: return welford(a, l.x, 0, n, 1);
  case METHOD_MERGED: return welford_in_lanes(a, l.x, n);
  default: return in_wider_type(a, l.x, n);
  }
}

static const char *manner_name(const manner *a) {
  static const char *const names[METHOD_COUNT][NORMALISE_COUNT] = {
      {"two passes, steps", "two passes, scaled", "two passes, divided", "two passes, folded"},
      {"Welford, steps", "Welford, scaled", "Welford, divided", "Welford, folded"},
      {"merged Welford, steps", "merged Welford, scaled", "merged Welford, divided", "merged Welford, folded"},
      {"wide statistics, steps", "wide statistics, scaled", "wide statistics, divided", "wide statistics, folded"},
  };
  return names[a->method][a->normalise];
}

/* A per-channel parameter as the engine holds it: in its own type, sums in a narrow one notwithstanding. */
static double held(const manner *a, const batchnorm_problem *p, int role, int64_t channel, double otherwise) {
  return keep(&a->m, channel_value(p, role, channel, otherwise));
}

/* One channel through all steps in one manner. */
static bool attack_channel(const batchnorm_problem *p, const history *h, int64_t channel, const manner *a, lines l) {
  const double g = held(a, p, CBN_ROLE_WEIGHT, channel, 1), b = held(a, p, CBN_ROLE_BIAS, channel, 0);
  double mean = channel_value(p, CBN_ROLE_RUNNING_MEAN, channel, 0);
  double variance = channel_value(p, CBN_ROLE_RUNNING_VAR, channel, 1);
  const enum kind of_method = a->method == METHOD_WELFORD  ? KIND_WELFORD
                              : a->method == METHOD_MERGED ? KIND_MERGED
                                                           : KIND_TWO_PASS;
  bool good = true;
  for (int s = 0; s < h->steps && good; s++) {
    read_line(a, p, &h->input[s].tensor, channel, l.x);
    const moments of_batch = statistics_by(a, p->values, l);
    const double biased = divided(a, of_batch.squares, p->values);
    const bool batch = h->statistics[s] == CBN_STATISTICS_BATCH;
    const double m = batch ? of_batch.mean : keep(&a->m, mean), v = batch ? biased : keep(&a->m, variance);
    for (int64_t i = 0; i < p->values && good; i += p->values / 50 + 1) {
      const int64_t at = channel_position(p, channel, i);
      const cbn_interval interval = cbn_expected_at(&h->output[s], at);
      const double y = normalised(a, l.x[i], m, v, parameter(a, p->batchnorm.epsilon), g, b);
      good = file_result(batch ? of_method : KIND_EVALUATION, &interval, store(&a->m, y), manner_name(a), at);
    }
    if (p->tensor[CBN_ROLE_RUNNING_MEAN] == NULL || !good) continue;
    const bool unbiased = p->batchnorm.running_variance == CBN_VARIANCE_UNBIASED;
    const double statistic = unbiased ? unbiased_variance(a, &of_batch, biased) : biased;
    mean = updated(a, mean, of_batch.mean, p->batchnorm.new_weight);
    variance = updated(a, variance, statistic, p->batchnorm.new_weight);
    const cbn_interval of_mean = cbn_expected_at(&h->mean[s], channel),
                       of_variance = cbn_expected_at(&h->variance[s], channel);
    good = file_result(KIND_RUNNING_MEAN, &of_mean, mean, manner_name(a), channel) &&
           file_result(KIND_RUNNING_VARIANCE, &of_variance, variance, manner_name(a), channel);
  }
  return good;
}

static bool refuses_everywhere(const cbn_expected *e) {
  bool good = true;
  for (int64_t i = 0; i < e->count && good; i += e->count / 50 + 1) {
    const cbn_interval interval = cbn_expected_at(e, i);
    good = refuses_twice_the_bound(&interval, e->type, i);
  }
  return good;
}

static bool attack_batchnorm(batchnorm_problem *p, random_state *r, uint32_t declared) {
  const bool running = p->tensor[CBN_ROLE_RUNNING_MEAN] != NULL;
  history h;
  column = column_of(p->type, declared);
  history_make(&h, p, r, declared);
  const lines l = lines_make(p->values);
  bool good = true;
  for (int s = 0; s < h.steps && good; s++)
    good = refuses_everywhere(&h.output[s]) &&
           (!running || (refuses_everywhere(&h.mean[s]) && refuses_everywhere(&h.variance[s])));
  for (int i = 0; i < MANNERS && good; i++) {
    const manner a = random_manner(r, p, declared);
    for (int64_t c = 0; c < p->batchnorm.channels && good; c++) good = attack_channel(p, &h, c, &a, l);
  }
  lines_release(l);
  history_release(&h, running);
  return good;
}

static uint32_t random_norm_declaration(random_state *r) {
  return (random_chance(r, 4) ? (uint32_t)CBN_FLUSHES_SUBNORMALS : 0) |
         (random_chance(r, 3) ? (uint32_t)CBN_TWO_PASS_STATISTICS : 0) |
         (random_chance(r, 3) ? (uint32_t)CBN_NARROW_SUMS : 0);
}

static int64_t random_size(random_state *r) { return random_chance(r, 300) ? 20000 : random_chance(r, 4) ? 750 : 40; }

static void batchnorm_stays_within_bounds(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(8000);
  failures = 0;
  for (int64_t i = 0; i < count && failures < FAILURES_SHOWN; i++) {
    batchnorm_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    const int temper = (int)random_between(&r, 0, TEMPER_COUNT - 1);
    assert_true(batchnorm_problem_make(&p, &r, temper, random_size(&r), CBN_FORWARD));
    const uint32_t declared = random_norm_declaration(&r);
    if (!attack_batchnorm(&p, &r, declared)) {
      fprintf(stderr, "declared=%u ", declared);
      batchnorm_problem_print(&p);
    }
    batchnorm_problem_release(&p);
  }
  print_table(KIND_TWO_PASS, KIND_RUNNING_VARIANCE);
  assert_int_equal(failures, 0);
}

/* ---------------------------------------------------------------------------------- batch normalization, gradients */

static const char *const backward_names[] = {"factored", "normalised", "over a common divisor", "linear in g and x"};

/* What an engine computes of one channel before its elements. */
typedef struct channel_sums {
  double mean, r, weight;
  double of_g, dot, of_gz; /* sum g, sum g (x - mean), sum g z */
  int64_t count;
  bool batch;
} channel_sums;

static channel_sums sums_of_channel(const manner *a, lines l, int64_t n, double mean, double variance, double epsilon,
                                    double weight, bool batch) {
  const arithmetic *m = &a->m;
  random_state r = {a->seed};
  channel_sums s = {.mean = mean, .weight = weight, .count = n, .batch = batch};
  s.r = quotient(m, 1, root(m, add(m, variance, epsilon)));
  s.of_g = reduce(m, &r, a->reduction, l.g, l.ones, n, false, 0);
  for (int64_t i = 0; i < n; i++) l.deviation[i] = sub(m, l.x[i], mean);
  if (a->backward == BACKWARD_NORMALISED || a->backward == BACKWARD_COMMON) {
    for (int64_t i = 0; i < n; i++) l.deviation[i] = mul(m, l.deviation[i], s.r);
    s.of_gz = reduce(m, &r, a->reduction, l.g, l.deviation, n, false, 0);
  } else {
    s.dot = reduce(m, &r, a->reduction, l.g, l.deviation, n, false, 0);
    s.of_gz = mul(m, s.dot, s.r);
  }
  return s;
}

static double input_gradient(const manner *a, const channel_sums *s, double x, double g) {
  const arithmetic *m = &a->m;
  const double scale = mul(m, s->weight, s->r), d = sub(m, x, s->mean);
  if (!s->batch) return a->scale_divides ? mul(m, mul(m, g, s->weight), s->r) : mul(m, g, scale);
  const double mean_g = divided(a, s->of_g, s->count);
  switch (a->backward) {
  case BACKWARD_FACTORED: {
    const double k = divided(a, mul(m, mul(m, s->dot, s->r), s->r), s->count);
    if (a->difference) return mul(m, mul(m, sub(m, sub(m, g, mean_g), mul(m, d, k)), s->r), s->weight);
    return mul(m, sub(m, multiply_add(m, -d, k, g), mean_g), scale);
  }
  case BACKWARD_NORMALISED: {
    const double k = divided(a, s->of_gz, s->count);
    return mul(m, scale, sub(m, sub(m, g, mean_g), mul(m, mul(m, d, s->r), k)));
  }
  case BACKWARD_COMMON: {
    const double n = number_of(a, s->count);
    const double sum = sub(m, sub(m, mul(m, n, g), s->of_g), mul(m, mul(m, d, s->r), s->of_gz));
    return mul(m, divided(a, scale, s->count), sum);
  }
  default: {
    const double of_x = -mul(m, scale, divided(a, mul(m, s->of_gz, s->r), s->count));
    const double constant = -multiply_add(m, of_x, s->mean, mul(m, scale, mean_g));
    return a->difference ? add(m, multiply_add(m, of_x, x, constant), mul(m, scale, g))
                         : multiply_add(m, scale, g, multiply_add(m, of_x, x, constant));
  }
  }
}

/* What the reference says of a batch normalization's gradients, and the statistics it was given. */
typedef struct gradients {
  cbn_expected mean, variance, input, weight, bias;
} gradients;

static void gradients_make(gradients *e, const batchnorm_problem *p, random_state *r, uint32_t declared) {
  const cbn_batchnorm *b = &p->batchnorm;
  const bool running = b->statistics == CBN_STATISTICS_RUNNING, blurred = random_chance(r, 3);
  const cbn_tensor *like = p->tensor[CBN_ROLE_INPUT];
  assert_true(cbn_expected_allocate(&e->mean, p->parameter_type, 1, &b->channels) &&
              cbn_expected_allocate(&e->variance, p->parameter_type, 1, &b->channels) &&
              cbn_expected_allocate(&e->weight, p->parameter_type, 1, &b->channels) &&
              cbn_expected_allocate(&e->bias, p->parameter_type, 1, &b->channels) &&
              cbn_expected_allocate(&e->input, p->type, like->rank, like->extent));
  for (int64_t c = 0; c < b->channels && running; c++) {
    e->mean.value[c] = channel_value(p, CBN_ROLE_RUNNING_MEAN, c, 0);
    e->variance.value[c] = channel_value(p, CBN_ROLE_RUNNING_VAR, c, 1);
    if (!blurred || !isfinite(e->mean.value[c]) || !isfinite(e->variance.value[c])) continue;
    e->mean.bound[c] = fabs(e->mean.value[c]) * 0x1p-6;
    e->variance.bound[c] = fabs(e->variance.value[c]) * 0x1p-7;
  }
  cbn_reference_batchnorm_backward(b, p->tensor, running ? &e->mean : NULL, running ? &e->variance : NULL, declared,
                                   &e->input, b->has_weight ? &e->weight : NULL, b->has_bias ? &e->bias : NULL);
}

static void gradients_release(gradients *e) {
  cbn_expected_release(&e->mean);
  cbn_expected_release(&e->variance);
  cbn_expected_release(&e->input);
  cbn_expected_release(&e->weight);
  cbn_expected_release(&e->bias);
}

/* A number of the parameters' type within the bound of a statistic. */
static double statistic_within(random_state *r, const cbn_expected *e, int64_t channel) {
  const double value = e->value[channel], bound = e->bound[channel];
  const double end = random_chance(r, 2) ? random_unit(r) : random_chance(r, 2) ? 1 : -1;
  const double held_value = second_round(e->type, value + bound * end);
  return fabs(held_value - value) <= bound ? held_value : value;
}

static bool attack_gradients_of_channel(const batchnorm_problem *p, const gradients *e, int64_t channel,
                                        random_state *r, const manner *a, lines l) {
  const cbn_batchnorm *b = &p->batchnorm;
  const bool batch = b->statistics == CBN_STATISTICS_BATCH;
  read_line(a, p, p->tensor[CBN_ROLE_INPUT], channel, l.x);
  read_line(a, p, p->tensor[CBN_ROLE_GRAD_OUTPUT], channel, l.g);
  double mean, variance;
  if (batch) {
    const moments of_batch = statistics_by(a, p->values, l);
    mean = of_batch.mean;
    variance = divided(a, of_batch.squares, p->values);
  } else {
    mean = keep(&a->m, statistic_within(r, &e->mean, channel));
    variance = keep(&a->m, statistic_within(r, &e->variance, channel));
  }
  const channel_sums s = sums_of_channel(a, l, p->values, mean, variance, parameter(a, b->epsilon),
                                         held(a, p, CBN_ROLE_WEIGHT, channel, 1), batch);
  const cbn_interval of_weight = cbn_expected_at(&e->weight, channel), of_bias = cbn_expected_at(&e->bias, channel);
  const char *how = backward_names[a->backward];
  bool good = !b->has_weight || file_result(KIND_NORM_GRAD_WEIGHT, &of_weight,
                                            stored_as(&a->m, p->parameter_type, s.of_gz), how, channel);
  good = good && (!b->has_bias || file_result(KIND_NORM_GRAD_BIAS, &of_bias,
                                              stored_as(&a->m, p->parameter_type, s.of_g), how, channel));
  for (int64_t i = 0; i < p->values && good; i += p->values / 50 + 1) {
    const int64_t at = channel_position(p, channel, i);
    const cbn_interval interval = cbn_expected_at(&e->input, at);
    const double dx = store(&a->m, input_gradient(a, &s, l.x[i], l.g[i]));
    good = file_result(batch ? KIND_TRAINING_GRAD_INPUT : KIND_EVALUATION_GRAD_INPUT, &interval, dx, how, at);
  }
  return good;
}

static bool attack_gradients(const batchnorm_problem *p, random_state *r, uint32_t declared) {
  gradients e = {0};
  column = column_of(p->type, declared);
  gradients_make(&e, p, r, declared);
  const lines l = lines_make(p->values);
  bool good = refuses_everywhere(&e.input) && (!p->batchnorm.has_weight || refuses_everywhere(&e.weight)) &&
              (!p->batchnorm.has_bias || refuses_everywhere(&e.bias));
  for (int i = 0; i < MANNERS && good; i++) {
    const manner a = random_manner(r, p, declared);
    for (int64_t c = 0; c < p->batchnorm.channels && good; c++) good = attack_gradients_of_channel(p, &e, c, r, &a, l);
  }
  lines_release(l);
  gradients_release(&e);
  return good;
}

static void gradients_of_batchnorm_stay_within_bounds(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(10000);
  failures = 0;
  for (int64_t i = 0; i < count && failures < FAILURES_SHOWN; i++) {
    batchnorm_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    const int temper = (int)random_between(&r, 0, TEMPER_COUNT - 1);
    assert_true(batchnorm_problem_make(&p, &r, temper, random_size(&r), CBN_GRAD_INPUT));
    const uint32_t declared = random_norm_declaration(&r);
    if (!attack_gradients(&p, &r, declared)) {
      fprintf(stderr, "declared=%u ", declared);
      batchnorm_problem_print(&p);
    }
    batchnorm_problem_release(&p);
  }
  print_table(KIND_TRAINING_GRAD_INPUT, KIND_NORM_GRAD_BIAS);
  assert_int_equal(failures, 0);
}

/* ---------------------------------------------------------------------------------------------- folded convolution */

/* An element of a convolution with the folded weight and bias, computed as the arithmetic does. */
static double folded_element(const arithmetic *m, random_state *r, const second_terms *t, workspace s, double scale,
                             double mean, double beta) {
  for (int64_t j = 0; j < t->count; j++) {
    s.x[j] = read_factor(m, t->x[j]);
    s.w[j] = read_factor(m, mul(m, read_element(m, t->w[j]), scale));
  }
  const double bias = t->has_bias ? read_element(m, t->bias) : 0;
  const double shift = multiply_add(m, sub(m, bias, mean), scale, beta);
  return reduce(m, r, (int)random_between(r, 0, REDUCE_COUNT - 1), s.x, s.w, t->count, true, shift);
}

/* The batch normalization behind a convolution: channels, extents and parameters. */
static void norm_behind(batchnorm_problem *n, random_state *r, const conv_problem *p, const int64_t *extent) {
  static const double epsilons[] = {1e-5, 1e-3, 0.25, 1e-12};
  cbn_batchnorm b = cbn_batchnorm_make(p->conv.spatial_rank);
  b.batch = p->conv.batch;
  b.channels = p->conv.out_channels;
  for (int a = 0; a < b.spatial_rank; a++) b.extent[a] = extent[2 + a];
  b.epsilon = epsilons[random_between(r, 0, 3)];
  b.has_weight = !random_chance(r, 4);
  b.has_bias = !random_chance(r, 4);
  n->batchnorm = b;
  n->type = n->parameter_type = p->type;
  if ((p->type == CBN_F16 || p->type == CBN_BF16) && random_chance(r, 2)) n->parameter_type = CBN_F32;
  n->temper = TEMPER_NORMAL;
  assert_true(batchnorm_problem_fill(n, r, random_chance(r, 4) ? TEMPER_OFFSET : TEMPER_NORMAL));
}

static bool attack_folded(const conv_problem *p, random_state *r, uint32_t declared) {
  second_conv second;
  cbn_expected first;
  batchnorm_problem n = {0};
  column = column_of(p->type, declared);
  assert_true(second_conv_terms(&p->conv, p->tensor, &second));
  norm_behind(&n, r, p, second.extent);
  assert_true(cbn_expected_allocate(&first, p->type, second.rank, second.extent));
  assert_true(cbn_reference_folded(&p->conv, p->tensor, &n.batchnorm, n.tensor, declared, &first));
  int64_t most = 0, inner = 1;
  for (int64_t i = 0; i < second.count; i++)
    if (second.element[i].count > most) most = second.element[i].count;
  for (int a = 2; a < second.rank; a++) inner *= second.extent[a];
  const workspace s = workspace_make(most);
  bool good = true;
  const int64_t step = second.count / 30 + 1;
  for (int64_t i = random_between(r, 0, step - 1); i < second.count && good; i += step) {
    const cbn_interval interval = cbn_expected_at(&first, i);
    const int64_t channel = i / inner % p->conv.out_channels;
    good = refuses_twice_the_bound(&interval, p->type, i);
    for (int way = 0; way < 8 && good; way++) {
      const manner a = {.m = random_manner_of_arithmetic(r, p->type, declared), .parameter_type = n.parameter_type};
      const double g = held(&a, &n, CBN_ROLE_WEIGHT, channel, 1), beta = held(&a, &n, CBN_ROLE_BIAS, channel, 0);
      const double mean = held(&a, &n, CBN_ROLE_RUNNING_MEAN, channel, 0);
      const double variance = held(&a, &n, CBN_ROLE_RUNNING_VAR, channel, 1);
      const double deviation = root(&a.m, add(&a.m, variance, parameter(&a, n.batchnorm.epsilon)));
      const double scale =
          random_chance(r, 2) ? quotient(&a.m, g, deviation) : mul(&a.m, g, quotient(&a.m, 1, deviation));
      const double y = folded_element(&a.m, r, &second.element[i], s, scale, mean, beta);
      good = file_result(KIND_FOLDED, &interval, store(&a.m, y), "the folded weight", i);
    }
  }
  workspace_release(s);
  cbn_expected_release(&first);
  batchnorm_problem_release(&n);
  second_conv_release(&second);
  return good;
}

static void folded_convolution_stays_within_bounds(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(5000);
  failures = 0;
  for (int64_t i = 0; i < count && failures < FAILURES_SHOWN; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    do p.conv = random_conv(&r);
    while (p.conv.direction != CBN_FORWARD);
    p.type = random_type(&r);
    conv_problem_tempers(&p, &r, (int)random_between(&r, 0, TEMPER_COUNT - 1));
    assert_true(conv_problem_fill(&p, &r));
    const uint32_t declared = random_declaration(&r);
    if (!attack_folded(&p, &r, declared)) {
      fprintf(stderr, "declared=%u ", declared);
      conv_problem_print(&p);
    }
    conv_problem_release(&p);
  }
  print_table(KIND_FOLDED, KIND_FOLDED);
  assert_int_equal(failures, 0);
}

/* ------------------------------------------------------------------------------------------------ single questions */

enum { VALUES = 32 };

/* The answers for one channel of VALUES values. */
static void reference_of(const cbn_batchnorm *b, float *x, float *mean, float *variance, cbn_interval *output) {
  const cbn_tensor input = {.type = CBN_F32, .rank = 2, .extent = {VALUES, 1}, .stride = {1, 1}, .data = x};
  cbn_expected y, m = {0}, v = {0};
  assert_true(cbn_expected_allocate(&y, CBN_F32, 2, input.extent) &&
              cbn_expected_allocate(&m, CBN_F32, 1, &b->channels) &&
              cbn_expected_allocate(&v, CBN_F32, 1, &b->channels));
  m.value[0] = (double)*mean;
  v.value[0] = (double)*variance;
  const bool running = b->statistics == CBN_STATISTICS_RUNNING;
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &input};
  cbn_reference_batchnorm(b, tensor, running ? &m : NULL, running ? &v : NULL, 0, &y);
  for (int64_t i = 0; i < VALUES; i++) output[i] = cbn_expected_at(&y, i);
  cbn_expected_release(&y);
  cbn_expected_release(&m);
  cbn_expected_release(&v);
}

/* Normal deviations about 10^4. */
static void offset_values(float *x, uint64_t seed) {
  random_state r = {seed};
  for (int i = 0; i < VALUES; i++) x[i] = (float)(1e4 + random_normal(&r));
}

/* E[x^2] - E[x]^2 belongs to the class that is named unstable; at an offset of 10^4 the stable bound must tell it
 * apart, for every one of many inputs. */
static void one_pass_variance_is_seen(void **state) {
  (void)state;
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = VALUES;
  b.channels = 1;
  b.has_weight = b.has_bias = 0;
  b.statistics = CBN_STATISTICS_BATCH;
  const uint64_t seed = test_seed(1);
  for (uint64_t k = 0; k < 100; k++) {
    float x[VALUES], sum = 0, squares = 0, none = 0;
    cbn_interval expected[VALUES];
    offset_values(x, seed + k);
    reference_of(&b, x, &none, &none, expected);
    for (int i = 0; i < VALUES; i++) {
      sum += x[i];
      squares += x[i] * x[i];
    }
    const float mean = sum / VALUES, variance = fmaxf(squares / VALUES - mean * mean, 0);
    const float r = 1 / sqrtf(variance + (float)b.epsilon);
    bool refused = false;
    for (int i = 0; i < VALUES; i++) {
      assert_int_equal(expected[i].flags & CBN_INCONCLUSIVE, 0);
      refused = refused || !cbn_interval_admits(&expected[i], (double)((x[i] - mean) * r));
    }
    if (!refused)
      fprintf(stderr, "CBN_TEST_SEED=%" PRIu64 " one-pass variance %g is admitted\n", seed + k, (double)variance);
    assert_true(refused);
  }
}

/* An epsilon or a weight beyond f32, or an epsilon that takes most of the variance away, rounds in every engine. */
static void rounded_parameters_are_admitted(void **state) {
  (void)state;
  cbn_batchnorm b = cbn_batchnorm_make(0);
  b.batch = VALUES;
  b.channels = 1;
  b.has_weight = b.has_bias = 0;
  static const double epsilons[] = {1e39, -0.0999, -0.09999999, 1e-46, 3e-45, 1e-40};
  static const float variances[] = {0.1F, 0.1F, 0.1F, 0, 1e-45F, 0};
  float x[VALUES], mean = 0;
  for (int i = 0; i < VALUES; i++) x[i] = ldexpf((float)(i - 7), -20);
  for (size_t k = 0; k < sizeof epsilons / sizeof epsilons[0]; k++) {
    cbn_interval expected[VALUES];
    float variance = variances[k];
    b.epsilon = epsilons[k];
    reference_of(&b, x, &mean, &variance, expected);
    for (int i = 0; i < VALUES; i++) {
      const float y = x[i] * (1 / sqrtf(variance + (float)b.epsilon));
      if (!cbn_interval_admits(&expected[i], (double)y))
        fprintf(stderr, "epsilon %g variance %g x %g: %.9g outside %.17g +- %.9g flags %d\n", epsilons[k],
                (double)variance, (double)x[i], (double)y, expected[i].value, expected[i].bound, expected[i].flags);
      assert_true(cbn_interval_admits(&expected[i], (double)y));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(convolution_stays_within_bounds),
      cmocka_unit_test(batchnorm_stays_within_bounds),
      cmocka_unit_test(gradients_of_batchnorm_stay_within_bounds),
      cmocka_unit_test(folded_convolution_stays_within_bounds),
      cmocka_unit_test(one_pass_variance_is_seen),
      cmocka_unit_test(rounded_parameters_are_admitted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
