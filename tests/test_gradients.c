/* Identities that need no second opinion: a gradient is the adjoint of the map that it is the gradient of, maps are
 * linear, and a convolution can be taken apart in several ways. With integers every sum is exact, so the identities
 * hold to the bit. Batch normalization is not linear: its gradients are compared with difference quotients in MPFR. */
#include <convbn/reference.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/random_problem.h"
#include "tests/second_reference.h"

/* -------------------------------------------------------------------------------------------------------- helpers */

/* The reference's result for p->conv in another direction, of other tensors. */
static cbn_expected result_of(const cbn_conv *conv, int32_t direction, int32_t type,
                              const cbn_tensor *const tensor[CBN_ROLE_COUNT]) {
  cbn_conv c = *conv;
  c.direction = direction;
  const cbn_tensor *read[CBN_ROLE_COUNT];
  for (int role = 0; role < CBN_ROLE_COUNT; role++) read[role] = conv_reads(&c, role) ? tensor[role] : NULL;
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_conv_extents(&c, conv_result_role(&c), extent);
  cbn_expected e;
  assert_true(cbn_expected_allocate(&e, type, rank, extent));
  assert_true(cbn_reference_conv(&c, read, 0, &e));
  return e;
}

/* A convolution with all tensors that any of its directions reads: integers from -`most` to `most`. */
static void integer_problem(conv_problem *p, random_state *r, int32_t type, int64_t most) {
  p->conv = random_conv(r);
  p->conv.has_bias = 1;
  p->type = type;
  static const int roles[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_GRAD_OUTPUT};
  for (int i = 0; i < 4; i++) {
    cbn_conv c = p->conv;
    c.direction = roles[i] == CBN_ROLE_GRAD_OUTPUT ? CBN_GRAD_WEIGHT : CBN_FORWARD;
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(&c, roles[i], extent);
    test_tensor *t = &p->own[roles[i]];
    int layout = random_layout(r);
    if (layout == LAYOUT_BROADCAST) layout = LAYOUT_VIEW; /* the elements must be free to differ */
    assert_true(test_tensor_make(t, r, type, rank, extent, layout));
    for (int64_t k = 0; k < cbn_tensor_count(&t->tensor); k++)
      cbn_tensor_set(&t->tensor, k, (double)random_between(r, -most, most));
  }
  tensors_of(p->own, p->tensor);
}

/* All elements are said to be exact, and are integers that the type holds. */
static bool exact_integers(const cbn_expected *e, double limit) {
  for (int64_t i = 0; i < e->count; i++)
    if ((e->flags[i] & CBN_EXACT) == 0 || e->bound[i] != 0 || e->value[i] != rint(e->value[i]) ||
        fabs(e->value[i]) > limit)
      return false;
  return true;
}

static bool small_integers(const cbn_expected *e, double limit) {
  for (int64_t i = 0; i < e->count; i++)
    if (fabs(e->value[i]) > limit) return false;
  return true;
}

/* sum a b, of integers. */
static int64_t inner_product(const cbn_expected *a, const cbn_tensor *b) {
  int64_t sum = 0;
  assert_int_equal(a->count, cbn_tensor_count(b));
  for (int64_t i = 0; i < a->count; i++) sum += (int64_t)a->value[i] * (int64_t)cbn_tensor_get(b, i);
  return sum;
}

static bool same_intervals(const cbn_expected *a, int64_t i, const cbn_expected *b, int64_t j) {
  return a->value[i] == b->value[j] && a->bound[i] == b->bound[j] && a->own[i] == b->own[j] &&
         a->flags[i] == b->flags[j];
}

/* ------------------------------------------------------------------------------------------------------- adjoints */

/* <conv(x, w) + b, g> = <x, dx> + <b, db> = <w, dw> + <b, db>, with dx of (g, w), dw of (x, g), db of g. */
static void gradients_are_adjoints(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(4000);
  int64_t compared = 0, with_terms = 0;
  for (int64_t i = 0; i < count; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    const int32_t type = random_type(&r);
    const bool narrow = type == CBN_F16 || type == CBN_BF16;
    integer_problem(&p, &r, type, narrow ? 1 : 4);
    cbn_expected e[4];
    for (int direction = 0; direction < 4; direction++) e[direction] = result_of(&p.conv, direction, type, p.tensor);
    bool fits = true;
    for (int k = 0; k < 4; k++) fits = fits && small_integers(&e[k], narrow ? 256 : 0x1p24);
    if (fits) {
      const int64_t forward = inner_product(&e[CBN_FORWARD], p.tensor[CBN_ROLE_GRAD_OUTPUT]);
      const int64_t by_bias = inner_product(&e[CBN_GRAD_BIAS], p.tensor[CBN_ROLE_BIAS]);
      const int64_t by_input = inner_product(&e[CBN_GRAD_INPUT], p.tensor[CBN_ROLE_INPUT]);
      const int64_t by_weight = inner_product(&e[CBN_GRAD_WEIGHT], p.tensor[CBN_ROLE_WEIGHT]);
      bool good = forward == by_input + by_bias && forward == by_weight + by_bias;
      for (int k = 0; k < 4; k++) good = good && exact_integers(&e[k], narrow ? 256 : 0x1p24);
      if (!good) {
        fprintf(stderr, "<y,g> %" PRId64 " <x,dx> %" PRId64 " <w,dw> %" PRId64 " <b,db> %" PRId64 " ", forward,
                by_input, by_weight, by_bias);
        conv_problem_print(&p);
      }
      assert_true(good);
      compared++;
      with_terms += by_weight != 0;
    }
    for (int k = 0; k < 4; k++) cbn_expected_release(&e[k]);
    conv_problem_release(&p);
  }
  print_message("%" PRId64 " adjoint identities, %" PRId64 " of them not 0\n", compared, with_terms);
  assert_true(compared > count / 2 && with_terms > compared / 2);
}

/* (L(x + 1) - L(x - 1)) / 2 with L = sum y g is the gradient: L is linear in each tensor. */
static void gradients_are_difference_quotients(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(800);
  static const int of_role[] = {
      [CBN_GRAD_INPUT] = CBN_ROLE_INPUT, [CBN_GRAD_WEIGHT] = CBN_ROLE_WEIGHT, [CBN_GRAD_BIAS] = CBN_ROLE_BIAS};
  for (int64_t i = 0; i < count; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    integer_problem(&p, &r, CBN_F32, 4);
    const int32_t direction = (int32_t)random_between(&r, CBN_GRAD_INPUT, CBN_GRAD_BIAS);
    const cbn_tensor *of = p.tensor[of_role[direction]];
    const int64_t elements = cbn_tensor_count(of);
    cbn_expected gradient = result_of(&p.conv, direction, CBN_F32, p.tensor);
    if (elements > 0) {
      const int64_t at = random_between(&r, 0, elements - 1);
      const double center = cbn_tensor_get(of, at);
      int64_t loss[2];
      for (int side = 0; side < 2; side++) {
        cbn_tensor_set(of, at, center + (side == 0 ? -1 : 1));
        cbn_expected y = result_of(&p.conv, CBN_FORWARD, CBN_F32, p.tensor);
        loss[side] = inner_product(&y, p.tensor[CBN_ROLE_GRAD_OUTPUT]);
        cbn_expected_release(&y);
      }
      if ((double)(loss[1] - loss[0]) != 2 * gradient.value[at]) conv_problem_print(&p);
      assert_true((double)(loss[1] - loss[0]) == 2 * gradient.value[at]);
    }
    cbn_expected_release(&gradient);
    conv_problem_release(&p);
  }
}

/* ----------------------------------------------------------------------------------------------------- linearity */

/* conv(x + 3 z, w) = conv(x, w) + 3 conv(z, w) without a bias, in every direction and in its first tensor. */
static void results_are_linear(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(800);
  for (int64_t i = 0; i < count; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    integer_problem(&p, &r, CBN_F32, 4);
    p.conv.has_bias = 0;
    const int32_t direction = (int32_t)random_between(&r, CBN_FORWARD, CBN_GRAD_WEIGHT);
    const cbn_tensor *of = p.tensor[direction == CBN_GRAD_INPUT ? CBN_ROLE_GRAD_OUTPUT : CBN_ROLE_INPUT];
    cbn_expected y[3];
    double *first = malloc(((size_t)cbn_tensor_count(of) + 1) * sizeof *first);
    assert_non_null(first);
    for (int64_t k = 0; k < cbn_tensor_count(of); k++) first[k] = cbn_tensor_get(of, k);
    y[0] = result_of(&p.conv, direction, CBN_F32, p.tensor);
    for (int64_t k = 0; k < cbn_tensor_count(of); k++) cbn_tensor_set(of, k, (double)random_between(&r, -4, 4));
    y[1] = result_of(&p.conv, direction, CBN_F32, p.tensor);
    for (int64_t k = 0; k < cbn_tensor_count(of); k++) cbn_tensor_set(of, k, first[k] + 3 * cbn_tensor_get(of, k));
    y[2] = result_of(&p.conv, direction, CBN_F32, p.tensor);
    for (int64_t k = 0; k < y[0].count; k++) {
      if (y[2].value[k] != y[0].value[k] + 3 * y[1].value[k]) conv_problem_print(&p);
      assert_true(y[2].value[k] == y[0].value[k] + 3 * y[1].value[k]);
    }
    for (int k = 0; k < 3; k++) cbn_expected_release(&y[k]);
    free(first);
    conv_problem_release(&p);
  }
}

/* --------------------------------------------------------------------------------- one convolution as another one */

/* A transposed convolution is the gradient of the convolution whose output is its input. */
static void transposed_is_the_gradient_of_input(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(6000);
  int64_t compared = 0;
  for (int64_t i = 0; i < count; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    integer_problem(&p, &r, CBN_F32, 4);
    if (p.conv.transposed) {
      p.conv.has_bias = 0;
      cbn_expected y = result_of(&p.conv, CBN_FORWARD, CBN_F32, p.tensor);
      cbn_conv c = p.conv;
      c.transposed = 0;
      c.in_channels = p.conv.out_channels;
      c.out_channels = p.conv.in_channels;
      memcpy(c.input, y.extent + 2, (size_t)c.spatial_rank * sizeof c.input[0]);
      memset(c.output_padding, 0, sizeof c.output_padding);
      int64_t extent[CBN_MAX_RANK];
      cbn_violation violation;
      /* output padding of a whole stride makes the other's output longer: then it is the gradient of a part of it */
      if (cbn_conv_validate(&c, &violation) && cbn_conv_extents(&c, CBN_ROLE_OUTPUT, extent) > 0 &&
          memcmp(extent + 2, p.conv.input, (size_t)c.spatial_rank * sizeof extent[0]) == 0) {
        const cbn_tensor *tensor[CBN_ROLE_COUNT] = {
            [CBN_ROLE_WEIGHT] = p.tensor[CBN_ROLE_WEIGHT], [CBN_ROLE_GRAD_OUTPUT] = p.tensor[CBN_ROLE_INPUT]};
        cbn_expected dx = result_of(&c, CBN_GRAD_INPUT, CBN_F32, tensor);
        assert_int_equal(dx.count, y.count);
        for (int64_t k = 0; k < y.count; k++) {
          if (!same_intervals(&dx, k, &y, k)) conv_problem_print(&p);
          assert_true(same_intervals(&dx, k, &y, k));
        }
        cbn_expected_release(&dx);
        compared++;
      }
      cbn_expected_release(&y);
    }
    conv_problem_release(&p);
  }
  print_message("%" PRId64 " transposed convolutions\n", compared);
  assert_true(compared > count / 10);
}

/* With a kernel of one element and stride 1, y[n,o,p] = b[o] + sum over c of w[o,c] x[n,c,p]. */
static void one_by_one_is_a_matrix_product(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(300);
  for (int64_t i = 0; i < count; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    cbn_conv c = cbn_conv_make((int32_t)random_between(&r, 1, 3));
    c.batch = random_between(&r, 1, 3);
    c.in_channels = random_between(&r, 1, 9);
    c.out_channels = random_between(&r, 1, 9);
    c.has_bias = 1;
    int64_t positions = 1;
    for (int a = 0; a < c.spatial_rank; a++) {
      c.kernel[a] = 1;
      positions *= c.input[a] = random_between(&r, 1, 4);
    }
    p.conv = c;
    p.type = CBN_F64;
    assert_true(conv_problem_fill(&p, &r)); /* all tempers are 0: integers */
    cbn_expected y = result_of(&c, CBN_FORWARD, CBN_F64, p.tensor);
    for (int64_t n = 0; n < c.batch; n++)
      for (int64_t o = 0; o < c.out_channels; o++)
        for (int64_t q = 0; q < positions; q++) {
          double sum = cbn_tensor_get(p.tensor[CBN_ROLE_BIAS], o);
          for (int64_t k = 0; k < c.in_channels; k++)
            sum += cbn_tensor_get(p.tensor[CBN_ROLE_WEIGHT], o * c.in_channels + k) *
                   cbn_tensor_get(p.tensor[CBN_ROLE_INPUT], (n * c.in_channels + k) * positions + q);
          assert_true(y.value[(n * c.out_channels + o) * positions + q] == sum);
        }
    cbn_expected_release(&y);
    conv_problem_release(&p);
  }
}

/* Where element j of a padded axis comes from, -1 for a zero: numpy.pad's words as a function of j. */
static int64_t padded_source(int64_t j, int64_t extent, int mode) {
  if (j >= 0 && j < extent) return j;
  switch (mode) {
  case CBN_PAD_REFLECT: return j < 0 ? -j : 2 * (extent - 1) - j;
  case CBN_PAD_REPLICATE: return j < 0 ? 0 : extent - 1;
  case CBN_PAD_CIRCULAR: return j < 0 ? j + extent : j - extent;
  default: return -1;
  }
}

/* The input, padded and dilated into a tensor of its own. */
static void pad_explicitly(const conv_problem *p, random_state *r, const cbn_conv *plain, test_tensor *padded) {
  int64_t extent[CBN_MAX_RANK], index[CBN_MAX_RANK];
  const cbn_tensor *x = p->tensor[CBN_ROLE_INPUT];
  const int32_t rank = cbn_conv_extents(plain, CBN_ROLE_INPUT, extent);
  assert_true(test_tensor_make(padded, r, p->type, rank, extent, LAYOUT_CONTIGUOUS));
  for (int64_t i = 0; i < cbn_tensor_count(&padded->tensor); i++) {
    cbn_unravel(rank, extent, i, index);
    bool zero = false;
    int64_t from = index[0] * x->extent[1] + index[1];
    for (int a = 0; a < p->conv.spatial_rank && !zero; a++) {
      const int64_t gaps = p->conv.input_dilation[a], dilated = (p->conv.input[a] - 1) * gaps + 1;
      const int64_t j =
          padded_source(index[2 + a] - p->conv.pad_begin[a], p->conv.input[a] > 0 ? dilated : 0, p->conv.padding_mode);
      zero = j < 0 || j % gaps != 0;
      from = from * p->conv.input[a] + j / gaps;
    }
    cbn_tensor_set(&padded->tensor, i, zero ? 0 : cbn_tensor_get(x, from));
  }
}

static void padding_is_explicit_padding(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(2000);
  int64_t compared = 0;
  for (int64_t i = 0; i < count; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    integer_problem(&p, &r, CBN_F32, 4);
    cbn_conv plain = p.conv;
    bool possible = !p.conv.transposed;
    for (int a = 0; a < plain.spatial_rank; a++) {
      const int64_t dilated = plain.input[a] > 0 ? (plain.input[a] - 1) * plain.input_dilation[a] + 1 : 0;
      plain.input[a] = dilated + plain.pad_begin[a] + plain.pad_end[a];
      possible = possible && plain.input[a] >= 0;
      plain.pad_begin[a] = plain.pad_end[a] = 0;
      plain.input_dilation[a] = 1;
    }
    plain.padding_mode = CBN_PAD_ZEROS;
    if (possible) {
      test_tensor padded;
      pad_explicitly(&p, &r, &plain, &padded);
      const cbn_tensor *tensor[CBN_ROLE_COUNT];
      memcpy(tensor, p.tensor, sizeof tensor);
      tensor[CBN_ROLE_INPUT] = &padded.tensor;
      for (int32_t direction = CBN_FORWARD; direction <= CBN_GRAD_WEIGHT; direction += CBN_GRAD_WEIGHT) {
        cbn_expected y = result_of(&p.conv, direction, CBN_F32, p.tensor);
        cbn_expected z = result_of(&plain, direction, CBN_F32, tensor);
        assert_int_equal(y.count, z.count);
        for (int64_t k = 0; k < y.count; k++) {
          if (y.value[k] != z.value[k]) conv_problem_print(&p);
          assert_true(y.value[k] == z.value[k]);
        }
        cbn_expected_release(&y);
        cbn_expected_release(&z);
      }
      test_tensor_release(&padded);
      compared++;
    }
    conv_problem_release(&p);
  }
  assert_true(compared > count / 3);
}

/* ------------------------------------------------------------------------------------------------------ splitting */

/* Indices from `from` on, `count` of them, along one axis. */
static cbn_tensor part_of(const cbn_tensor *t, int axis, int64_t from, int64_t count) {
  cbn_tensor part = *t;
  part.data = (char *)t->data + from * t->stride[axis] * (int64_t)cbn_type_size(t->type);
  part.extent[axis] = count;
  return part;
}

/* The same but for exactness, which is decided for whole tensors: a part of one may be on a coarser grid. */
static bool same_but_for_exactness(const cbn_expected *a, int64_t i, const cbn_expected *b, int64_t j) {
  if (((a->flags[i] | b->flags[j]) & CBN_EXACT) == 0) /* a grid may make the sums of one of them free of error, too */
    return a->value[i] == b->value[j] && a->flags[i] == b->flags[j] &&
           fabs(a->bound[i] - b->bound[j]) <= 2 * fabs(a->own[i] - b->own[j]) + 0x1p-40 * a->bound[i];
  return (a->flags[i] | CBN_EXACT) == (b->flags[j] | CBN_EXACT) &&
         fabs(a->value[i] - b->value[j]) <= a->bound[i] + b->bound[j];
}

/* One group, or one entry of the batch, by itself: every value, bound and flag is the same. */
static bool same_as_part(const conv_problem *p, int32_t direction, const cbn_expected *whole, bool by_group,
                         int64_t which) {
  cbn_conv c = p->conv;
  cbn_tensor part[CBN_ROLE_COUNT];
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {0};
  const int64_t in = c.in_channels / c.groups, out = c.out_channels / c.groups;
  const int result = conv_result_role(&(cbn_conv){.direction = direction});
  if (by_group) {
    c.in_channels = in;
    c.out_channels = out;
    c.groups = 1;
  } else {
    c.batch = 1;
  }
  int axis = 0;
  int64_t from = 0, length = 0;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const bool input = role == CBN_ROLE_INPUT || role == CBN_ROLE_GRAD_INPUT;
    const bool output = role == CBN_ROLE_OUTPUT || role == CBN_ROLE_GRAD_OUTPUT;
    const bool weight = role == CBN_ROLE_WEIGHT || role == CBN_ROLE_GRAD_WEIGHT;
    const int64_t channels = input ? in : weight ? (c.transposed ? in : out) : out;
    const bool whole_tensor = !by_group && !input && !output;
    const int along = by_group && (input || output) ? 1 : 0;
    const int64_t begin = by_group ? which * channels : which, size = by_group ? channels : 1;
    if (role == result) {
      axis = along;
      from = whole_tensor ? 0 : begin;
      length = whole_tensor ? whole->extent[0] : size;
    }
    if (p->tensor[role] == NULL) continue;
    part[role] = whole_tensor ? *p->tensor[role] : part_of(p->tensor[role], along, begin, size);
    tensor[role] = &part[role];
  }
  cbn_expected e = result_of(&c, direction, p->type, tensor);
  int64_t inner = 1;
  for (int a = axis + 1; a < whole->rank; a++) inner *= whole->extent[a];
  bool good = true;
  for (int64_t i = 0; i < e.count && good; i++) {
    const int64_t outer = i / (length * inner), rest = i % (length * inner);
    good = same_but_for_exactness(&e, i, whole, outer * whole->extent[axis] * inner + from * inner + rest);
  }
  cbn_expected_release(&e);
  return good;
}

static void groups_and_batches_can_be_split(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(1500);
  for (int64_t i = 0; i < count; i++) {
    conv_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    integer_problem(&p, &r, CBN_F32, 4);
    for (int role = 0; role < CBN_ROLE_COUNT; role++)
      if (p.own[role].memory != NULL && random_chance(&r, 2)) test_tensor_fill(&p.own[role], &r, TEMPER_NORMAL);
    for (int32_t direction = CBN_FORWARD; direction <= CBN_GRAD_BIAS; direction++) {
      cbn_expected whole = result_of(&p.conv, direction, CBN_F32, p.tensor);
      bool good = true;
      for (int64_t g = 0; g < p.conv.groups && good; g++) good = same_as_part(&p, direction, &whole, true, g);
      /* the sum over the batch does not split */
      for (int64_t n = 0; n < p.conv.batch && good && direction <= CBN_GRAD_INPUT; n++)
        good = same_as_part(&p, direction, &whole, false, n);
      if (!good) {
        fprintf(stderr, "direction %d ", direction);
        conv_problem_print(&p);
      }
      assert_true(good);
      cbn_expected_release(&whole);
    }
    conv_problem_release(&p);
  }
}

/* ------------------------------------------------------------------------------------------- batch normalization */

/* sum g y of one channel, y from its definition. */
static void channel_loss(mpfr_t loss, mpfr_t *x, const double *g, int64_t count, mpfr_t weight, mpfr_t bias,
                         const batchnorm_problem *p, int64_t channel) {
  mpfr_t mean, variance, d;
  mpfr_inits2(SECOND_BITS, mean, variance, d, (mpfr_ptr)0);
  if (p->batchnorm.statistics == CBN_STATISTICS_RUNNING) {
    mpfr_set_d(mean, channel_value(p, CBN_ROLE_RUNNING_MEAN, channel, 0), MPFR_RNDN);
    mpfr_set_d(variance, channel_value(p, CBN_ROLE_RUNNING_VAR, channel, 1), MPFR_RNDN);
  } else {
    mpfr_set_zero(mean, 1);
    mpfr_set_zero(variance, 1);
    for (int64_t i = 0; i < count; i++) mpfr_add(mean, mean, x[i], MPFR_RNDN);
    mpfr_div_d(mean, mean, (double)count, MPFR_RNDN);
    for (int64_t i = 0; i < count; i++) {
      mpfr_sub(d, x[i], mean, MPFR_RNDN);
      mpfr_sqr(d, d, MPFR_RNDN);
      mpfr_add(variance, variance, d, MPFR_RNDN);
    }
    mpfr_div_d(variance, variance, (double)count, MPFR_RNDN);
  }
  mpfr_add_d(variance, variance, p->batchnorm.epsilon, MPFR_RNDN);
  mpfr_sqrt(variance, variance, MPFR_RNDN);
  mpfr_set_zero(loss, 1);
  for (int64_t i = 0; i < count; i++) {
    mpfr_sub(d, x[i], mean, MPFR_RNDN);
    mpfr_div(d, d, variance, MPFR_RNDN);
    mpfr_mul(d, d, weight, MPFR_RNDN);
    mpfr_add(d, d, bias, MPFR_RNDN);
    mpfr_mul_d(d, d, g[i], MPFR_RNDN);
    mpfr_add(loss, loss, d, MPFR_RNDN);
  }
  mpfr_clears(mean, variance, d, (mpfr_ptr)0);
}

/* |quotient - value| <= own, and what the quotient itself is off by. */
static bool near_quotient(const cbn_expected *e, int64_t at, const mpfr_t quotient) {
  const cbn_interval i = cbn_expected_at(e, at);
  mpfr_t d;
  mpfr_init2(d, SECOND_BITS);
  mpfr_sub_d(d, quotient, i.value, MPFR_RNDN);
  const double distance = fabs(mpfr_get_d(d, MPFR_RNDN));
  mpfr_clear(d);
  const bool good = (i.flags & CBN_INCONCLUSIVE) == 0 && distance <= i.own * (1 + 0x1p-30) + 0x1p-100;
  if (!good)
    fprintf(stderr, "element %" PRId64 ": value %.17g own %.3g flags %d, difference quotient %.17g\n  ", at, i.value,
            i.own, i.flags, mpfr_get_d(quotient, MPFR_RNDN));
  return good;
}

/* One channel: which = 0 to count - 1 varies x, then the weight, then the bias. */
static bool check_channel(const batchnorm_problem *p, int64_t channel, const cbn_expected *grad_input,
                          const cbn_expected *grad_weight, const cbn_expected *grad_bias) {
  const int64_t count = p->values;
  const size_t n = (size_t)count + 2;
  double *values = malloc(n * sizeof *values), *g = malloc(n * sizeof *g);
  mpfr_t *x = malloc(n * sizeof *x), loss[2], step;
  assert_true(values != NULL && g != NULL && x != NULL);
  channel_values(p, CBN_ROLE_INPUT, channel, values);
  channel_values(p, CBN_ROLE_GRAD_OUTPUT, channel, g);
  values[count] = channel_value(p, CBN_ROLE_WEIGHT, channel, 1);
  values[count + 1] = 0.5;
  for (size_t i = 0; i < n; i++) mpfr_init2(x[i], SECOND_BITS);
  for (size_t i = 0; i < n; i++) mpfr_set_d(x[i], values[i], MPFR_RNDN);
  mpfr_inits2(SECOND_BITS, loss[0], loss[1], step, (mpfr_ptr)0);
  bool good = true;
  for (int64_t which = 0; which < count + 2 && good; which++) {
    for (int side = 0; side < 2; side++) {
      mpfr_set_d(step, side == 0 ? -0x1p-90 : 0x1p-90, MPFR_RNDN);
      mpfr_add_d(x[which], step, values[which], MPFR_RNDN);
      channel_loss(loss[side], x, g, count, x[count], x[count + 1], p, channel);
    }
    mpfr_set_d(x[which], values[which], MPFR_RNDN);
    mpfr_sub(loss[1], loss[1], loss[0], MPFR_RNDN);
    mpfr_mul_2si(loss[1], loss[1], 89, MPFR_RNDN);
    if (which < count) good = near_quotient(grad_input, channel_position(p, channel, which), loss[1]);
    else if (which == count) good = !p->batchnorm.has_weight || near_quotient(grad_weight, channel, loss[1]);
    else good = !p->batchnorm.has_bias || near_quotient(grad_bias, channel, loss[1]);
  }
  for (size_t i = 0; i < n; i++) mpfr_clear(x[i]);
  mpfr_clears(loss[0], loss[1], step, (mpfr_ptr)0);
  free(values);
  free(g);
  free(x);
  return good;
}

/* Central differences of step 2^-90 err by 2^-180 of the third derivative. */
static void batchnorm_gradients_are_difference_quotients(void **state) {
  (void)state;
  const uint64_t seed = test_seed(1);
  const int64_t count = test_count(400);
  for (int64_t i = 0; i < count; i++) {
    batchnorm_problem p = {.seed = seed + (uint64_t)i};
    random_state r = {p.seed};
    assert_true(
        batchnorm_problem_make(&p, &r, random_chance(&r, 2) ? TEMPER_NORMAL : TEMPER_INTEGERS, 24, CBN_GRAD_INPUT));
    cbn_batchnorm *b = &p.batchnorm;
    b->epsilon = 0.25;
    const bool running = b->statistics == CBN_STATISTICS_RUNNING;
    cbn_expected mean, variance, grad_input, grad_weight, grad_bias;
    assert_true(
        cbn_expected_allocate(&mean, p.parameter_type, 1, &b->channels) &&
        cbn_expected_allocate(&variance, p.parameter_type, 1, &b->channels) &&
        cbn_expected_allocate(&grad_weight, p.parameter_type, 1, &b->channels) &&
        cbn_expected_allocate(&grad_bias, p.parameter_type, 1, &b->channels) &&
        cbn_expected_allocate(&grad_input, p.type, p.tensor[CBN_ROLE_INPUT]->rank, p.tensor[CBN_ROLE_INPUT]->extent));
    for (int64_t c = 0; c < b->channels; c++) {
      mean.value[c] = channel_value(&p, CBN_ROLE_RUNNING_MEAN, c, 0);
      variance.value[c] = channel_value(&p, CBN_ROLE_RUNNING_VAR, c, 1);
    }
    cbn_reference_batchnorm_backward(b, p.tensor, running ? &mean : NULL, running ? &variance : NULL, 0, &grad_input,
                                     b->has_weight ? &grad_weight : NULL, b->has_bias ? &grad_bias : NULL);
    for (int64_t c = 0; c < b->channels; c++) {
      const bool good = check_channel(&p, c, &grad_input, &grad_weight, &grad_bias);
      if (!good) batchnorm_problem_print(&p);
      assert_true(good);
    }
    cbn_expected_release(&mean);
    cbn_expected_release(&variance);
    cbn_expected_release(&grad_input);
    cbn_expected_release(&grad_weight);
    cbn_expected_release(&grad_bias);
    batchnorm_problem_release(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gradients_are_adjoints),
      cmocka_unit_test(gradients_are_difference_quotients),
      cmocka_unit_test(results_are_linear),
      cmocka_unit_test(transposed_is_the_gradient_of_input),
      cmocka_unit_test(one_by_one_is_a_matrix_product),
      cmocka_unit_test(padding_is_explicit_padding),
      cmocka_unit_test(groups_and_batches_can_be_split),
      cmocka_unit_test(batchnorm_gradients_are_difference_quotients),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
