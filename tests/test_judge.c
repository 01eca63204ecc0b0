/* tests/test_judge.c - what the judge sees: every single wrong element, channels that changed places, NaN, and nothing in
 * a right output. The right outputs are computed here, from the definition, in integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <convbn/fill.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/judge.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --------------------------------------------------------------------------------------------------- intervals */

static void intervals_admit_what_they_say(void **state) {
  (void)state;
  static const double beside = 1 + 0x1p-52;
  const struct {
    double value, bound;
    unsigned flags;
    double actual;
    bool admitted;
    double share;
  } rows[] = {
      /* both ends of an interval, and beyond */
      {1, 0.5, 0, 1.5, true, 1},
      {1, 0.5, 0, 0.5, true, 1},
      {1, 0.5, 0, 1.25, true, 0.5},
      {1, 0.5, 0, 1, true, 0},
      {1, 0.5, 0, 1.5 * beside, false, 1 + 0x1p-51},
      {1, 0.5, 0, 2, false, 2},
      /* no width */
      {3, 0, CBN_EXACT, 3, true, 0},
      {3, 0, CBN_EXACT, 3 * beside, false, INFINITY},
      {3, 0, 0, -3, false, INFINITY},
      /* signed zeros are one number */
      {0.0, 0, CBN_EXACT, -0.0, true, 0},
      {-0.0, 0, CBN_EXACT, 0.0, true, 0},
      {-0.0, 0, CBN_EXACT, 0x1p-149, false, INFINITY},
      /* NaN wants NaN, whichever */
      {NAN, 0, 0, NAN, true, 0},
      {NAN, 0, 0, -NAN, true, 0},
      {NAN, 1, 0, 0, false, INFINITY},
      {NAN, 1, 0, INFINITY, false, INFINITY},
      {1, 1e300, 0, NAN, false, INFINITY},
      {INFINITY, 0, 0, NAN, false, INFINITY},
      /* an infinity wants the same */
      {INFINITY, 0, 0, INFINITY, true, 0},
      {INFINITY, 0, 0, -INFINITY, false, INFINITY},
      {-INFINITY, 0, 0, -INFINITY, true, 0},
      {INFINITY, 1, 0, 3e38, false, INFINITY},
      {3e38, 1e300, 0, INFINITY, false, INFINITY},
      {3e38, INFINITY, 0, INFINITY, false, INFINITY},
      /* an infinity of the value's sign, too */
      {3e38, 1e30, CBN_OR_INFINITY, INFINITY, true, 0},
      {3e38, 1e30, CBN_OR_INFINITY, -INFINITY, false, INFINITY},
      {-3e38, 1e30, CBN_OR_INFINITY, -INFINITY, true, 0},
      {3e38, 1e30, CBN_OR_INFINITY, 3e38, true, 0},
      {3e38, 1e30, CBN_OR_INFINITY, 2e38, false, 1e8},
      {3e38, 1e30, CBN_OR_INFINITY, NAN, false, INFINITY},
      /* NaN, too */
      {5, 0, CBN_OR_NAN, NAN, true, 0},
      {5, 0, CBN_OR_NAN, 5, true, 0},
      {5, 0, CBN_OR_NAN, 6, false, INFINITY},
      {INFINITY, 0, CBN_OR_NAN, NAN, true, 0},
      {INFINITY, 0, CBN_OR_NAN, -INFINITY, false, INFINITY},
      /* nothing can be said */
      {5, 0, CBN_INCONCLUSIVE, 6, true, 0},
      {5, 0, CBN_INCONCLUSIVE, NAN, true, 0},
      {NAN, 0, CBN_INCONCLUSIVE, 1, true, 0},
      {INFINITY, 0, CBN_INCONCLUSIVE, -INFINITY, true, 0},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    const cbn_interval interval = {.value = rows[i].value, .bound = rows[i].bound, .flags = (uint8_t)rows[i].flags};
    const bool admitted = cbn_interval_admits(&interval, rows[i].actual);
    const double share = cbn_interval_share(&interval, rows[i].actual);
    const bool close = share == rows[i].share || fabs(share - rows[i].share) <= 1e-9 * fabs(rows[i].share);
    if (admitted != rows[i].admitted || !close)
      fail_msg("%g +- %g, flags %u, actual %g: admitted %d, share %.17g", rows[i].value, rows[i].bound, rows[i].flags,
               rows[i].actual, admitted, share);
  }
}

/* A bound that is itself nothing to go by must not admit anything but equality. */
static void a_bound_that_is_nan_admits_nothing(void **state) {
  (void)state;
  const cbn_interval interval = {.value = 1, .bound = NAN};
  assert_false(cbn_interval_admits(&interval, 2));
  assert_true(cbn_interval_admits(&interval, 1));
}

/* ----------------------------------------------------------------------------------------------- whole tensors */

static void make(cbn_tensor *t, int32_t rank, const int64_t *extent, enum cbn_layout layout) {
  assert_true(cbn_tensor_describe(t, CBN_F32, rank, extent, layout) && cbn_tensor_allocate(t));
}

/* 2 x 3 x 4 x 5, element i is i, bound 1/4. */
typedef struct whole {
  cbn_expected expected;
  cbn_tensor actual;
  cbn_shape native;
} whole;

static whole make_whole(enum cbn_layout layout) {
  static const int64_t extent[] = {2, 3, 4, 5};
  whole w = {.native = {.rank = 4, .extent = {2, 3, 4, 5}}};
  assert_true(cbn_expected_allocate(&w.expected, CBN_F32, 4, extent));
  make(&w.actual, 4, extent, layout);
  for (int64_t i = 0; i < 120; i++) {
    w.expected.value[i] = (double)i;
    w.expected.bound[i] = 0.25;
    cbn_tensor_set(&w.actual, i, (double)i);
  }
  return w;
}

static void release_whole(whole *w) {
  cbn_expected_release(&w->expected);
  cbn_tensor_release(&w->actual);
}

static void each_wrong_element_is_seen_and_found(void **state) {
  (void)state;
  static const double wrong[] = {0.375, -0.375, 1e30, INFINITY, -INFINITY, NAN};
  for (int layout = CBN_CONTIGUOUS; layout <= CBN_CHANNELS_LAST; layout++) {
    whole w = make_whole((enum cbn_layout)layout);
    for (int64_t i = 0; i < 120; i++)
      for (size_t k = 0; k < COUNT(wrong); k++) {
        cbn_tensor_result r;
        cbn_tensor_set(&w.actual, i, (double)i + wrong[k]);
        cbn_judge_tensor(CBN_ROLE_OUTPUT, &w.native, 2, &w.expected, &w.actual, false, &r);
        assert_int_equal(r.role, CBN_ROLE_OUTPUT);
        assert_int_equal(r.elements, 120);
        assert_int_equal(r.outside, 1);
        assert_int_equal(r.inconclusive, 0);
        assert_int_equal(((r.worst[0] * 3 + r.worst[1]) * 4 + r.worst[2]) * 5 + r.worst[3], i);
        assert_true(r.expected == (double)i && r.bound == 0.25);
        assert_true(k == 5 ? isnan(r.actual) : r.actual == (double)(float)((double)i + wrong[k]));
        assert_true(k > 2 ? r.share == INFINITY : r.share > 1.4);
        assert_null(r.map);
        assert_false(r.sampled);
        cbn_tensor_set(&w.actual, i, (double)i);
      }
    release_whole(&w);
  }
}

static void a_right_tensor_passes(void **state) {
  (void)state;
  whole w = make_whole(CBN_CHANNELS_LAST);
  cbn_tensor_result r;
  cbn_tensor_set(&w.actual, 77, 77.125);
  cbn_tensor_set(&w.actual, 78, 77.75); /* on the edge */
  cbn_judge_tensor(CBN_ROLE_OUTPUT, &w.native, 2, &w.expected, &w.actual, false, &r);
  assert_int_equal(r.outside, 0);
  assert_true(r.share == 1);
  assert_int_equal(r.worst[3], 78 % 5);
  release_whole(&w);
}

static void inconclusive_elements_are_counted_apart(void **state) {
  (void)state;
  whole w = make_whole(CBN_CONTIGUOUS);
  cbn_tensor_result r;
  for (int64_t i = 0; i < 7; i++) {
    w.expected.flags[3 * i] = CBN_INCONCLUSIVE;
    cbn_tensor_set(&w.actual, 3 * i, NAN);
  }
  cbn_judge_tensor(CBN_ROLE_OUTPUT, &w.native, 2, &w.expected, &w.actual, false, &r);
  assert_int_equal(r.elements, 120);
  assert_int_equal(r.inconclusive, 7);
  assert_int_equal(r.outside, 0);
  assert_true(r.share == 0);
  release_whole(&w);
}

static void the_worst_of_many_is_kept(void **state) {
  (void)state;
  whole w = make_whole(CBN_CONTIGUOUS);
  cbn_tensor_result r;
  cbn_tensor_set(&w.actual, 0, 2);
  cbn_tensor_set(&w.actual, 64, 67); /* [1, 0, 0, 4], 12 bounds */
  cbn_tensor_set(&w.actual, 119, 121);
  cbn_judge_tensor(CBN_ROLE_OUTPUT, &w.native, 2, &w.expected, &w.actual, false, &r);
  assert_int_equal(r.outside, 3);
  assert_true(r.share == 12 && r.expected == 64 && r.actual == 67);
  assert_int_equal(r.worst[0] * 1000 + r.worst[1] * 100 + r.worst[2] * 10 + r.worst[3], 1004);
  release_whole(&w);
}

static void an_empty_tensor_has_nothing_wrong(void **state) {
  (void)state;
  static const int64_t extent[] = {0, 3, 4, 5};
  const cbn_shape native = {.rank = 4, .extent = {0, 3, 4, 5}};
  cbn_expected expected;
  cbn_tensor actual;
  cbn_tensor_result r;
  assert_true(cbn_expected_allocate(&expected, CBN_F32, 4, extent));
  make(&actual, 4, extent, CBN_CONTIGUOUS);
  cbn_judge_tensor(CBN_ROLE_OUTPUT, &native, 2, &expected, &actual, true, &r);
  assert_int_equal(r.elements + r.outside, 0);
  assert_null(r.map);
  cbn_expected_release(&expected);
  cbn_tensor_release(&actual);
}

/* The worst element lies in the window, the window in its plane; values are those of the plane. */
static void the_map_is_a_window_around_the_worst(void **state) {
  (void)state;
  enum { ROWS = 40, COLUMNS = 30 };
  static const int64_t extent[] = {1, 2, ROWS, COLUMNS};
  static const struct {
    int64_t row, column, origin_row, origin_column;
  } rows[] = {{0, 0, 0, 0}, {39, 29, 16, 6}, {20, 15, 8, 3}, {12, 12, 0, 0}, {13, 19, 1, 6}};
  for (size_t i = 0; i < COUNT(rows); i++)
    for (int unbatched = 0; unbatched < 2; unbatched++) {
      const cbn_shape with_batch = {.rank = 4, .extent = {1, 2, ROWS, COLUMNS}};
      const cbn_shape without = {.rank = 3, .extent = {2, ROWS, COLUMNS}};
      cbn_expected expected;
      cbn_tensor actual;
      cbn_tensor_result r;
      assert_true(cbn_expected_allocate(&expected, CBN_F32, 4, extent));
      make(&actual, 4, extent, CBN_CHANNELS_LAST);
      for (int64_t k = 0; k < 2 * ROWS * COLUMNS; k++) {
        expected.value[k] = (double)k;
        expected.bound[k] = 1;
        cbn_tensor_set(&actual, k, (double)k);
      }
      const int64_t worst = (ROWS + rows[i].row) * COLUMNS + rows[i].column;
      cbn_tensor_set(&actual, worst, (double)worst + 8);
      cbn_judge_tensor(CBN_ROLE_OUTPUT, unbatched ? &without : &with_batch, 2, &expected, &actual, true, &r);
      assert_non_null(r.map);
      assert_string_equal(r.map->axes, unbatched ? "H x W at c=1" : "H x W at n=0, c=1");
      assert_int_equal(r.worst[unbatched ? 0 : 1], 1);
      assert_int_equal(r.map->rows, CBN_MAP_EXTENT);
      assert_int_equal(r.map->columns, CBN_MAP_EXTENT);
      assert_int_equal(r.map->origin[0], rows[i].origin_row);
      assert_int_equal(r.map->origin[1], rows[i].origin_column);
      for (int64_t row = 0; row < CBN_MAP_EXTENT; row++)
        for (int64_t column = 0; column < CBN_MAP_EXTENT; column++) {
          const int64_t cell = row * CBN_MAP_EXTENT + column;
          const int64_t k = (ROWS + r.map->origin[0] + row) * COLUMNS + r.map->origin[1] + column;
          assert_true(r.map->expected[cell] == (double)k);
          assert_true(r.map->actual[cell] == (double)(k == worst ? k + 8 : k));
          assert_true(r.map->share[cell] == (k == worst ? 8 : 0));
        }
      free(r.map);
      cbn_expected_release(&expected);
      cbn_tensor_release(&actual);
    }
}

/* ------------------------------------------------------------------------------------------------ large outputs */

/* A convolution of integers, its right output computed from the definition. */
typedef struct problem {
  cbn_conv conv;
  cbn_tensor input, weight, bias, output;
  cbn_shape native;
} problem;

static double weight_or_input(const cbn_tensor *t, int64_t a, int64_t b, int64_t h, int64_t w) {
  return cbn_tensor_get(t, ((a * t->extent[1] + b) * t->extent[2] + h) * t->extent[3] + w);
}

/* y[n,o,p] = b[o] + sum of w[o,c,t] x[n, g(o) C + c, p s + t d - pad]. All numbers are small integers: exact. */
static void compute_output(const problem *p) {
  const cbn_conv *c = &p->conv;
  const int64_t channels = c->in_channels / c->groups, share = c->out_channels / c->groups;
  int64_t at = 0;
  for (int64_t n = 0; n < c->batch; n++)
    for (int64_t o = 0; o < c->out_channels; o++)
      for (int64_t h = 0; h < p->output.extent[2]; h++)
        for (int64_t w = 0; w < p->output.extent[3]; w++) {
          double sum = c->has_bias ? cbn_tensor_get(&p->bias, o) : 0;
          for (int64_t i = 0; i < channels; i++)
            for (int64_t y = 0; y < c->kernel[0]; y++)
              for (int64_t x = 0; x < c->kernel[1]; x++) {
                const int64_t row = h * c->stride[0] + y * c->dilation[0] - c->pad_begin[0];
                const int64_t column = w * c->stride[1] + x * c->dilation[1] - c->pad_begin[1];
                if (row < 0 || row >= c->input[0] || column < 0 || column >= c->input[1]) continue;
                sum += weight_or_input(&p->weight, o, i, y, x) *
                       weight_or_input(&p->input, n, o / share * channels + i, row, column);
              }
          cbn_tensor_set(&p->output, at++, sum);
        }
}

/* The same transposed: y[n,o,i s + t d - pad] += w[c,o,t] x[n,c,i]. */
static void compute_transposed(const problem *p) {
  const cbn_conv *c = &p->conv;
  const int64_t channels = c->in_channels / c->groups, share = c->out_channels / c->groups;
  const int64_t *e = p->output.extent;
  for (int64_t k = 0; k < e[0] * e[1] * e[2] * e[3]; k++)
    cbn_tensor_set(&p->output, k, c->has_bias ? cbn_tensor_get(&p->bias, k / (e[2] * e[3]) % e[1]) : 0);
  for (int64_t n = 0; n < c->batch; n++)
    for (int64_t i = 0; i < c->in_channels; i++)
      for (int64_t h = 0; h < c->input[0]; h++)
        for (int64_t w = 0; w < c->input[1]; w++)
          for (int64_t o = 0; o < share; o++)
            for (int64_t t = 0; t < c->kernel[0] * c->kernel[1]; t++) {
              const int64_t y = t / c->kernel[1], x = t % c->kernel[1];
              const int64_t row = h * c->stride[0] + y * c->dilation[0] - c->pad_begin[0];
              const int64_t column = w * c->stride[1] + x * c->dilation[1] - c->pad_begin[1];
              if (row < 0 || row >= e[2] || column < 0 || column >= e[3]) continue;
              const int64_t at = ((n * e[1] + i / channels * share + o) * e[2] + row) * e[3] + column;
              cbn_tensor_set(&p->output, at, cbn_tensor_get(&p->output, at) +
                                                 weight_or_input(&p->weight, i, o, y, x) *
                                                     weight_or_input(&p->input, n, i, h, w));
            }
}

static void make_problem(problem *p, cbn_conv conv, enum cbn_fill_kind kind, enum cbn_layout layout) {
  *p = (problem){.conv = conv};
  int64_t e[CBN_MAX_RANK];
  make(&p->input, cbn_conv_extents(&conv, CBN_ROLE_INPUT, e), e, CBN_CONTIGUOUS);
  make(&p->weight, cbn_conv_extents(&conv, CBN_ROLE_WEIGHT, e), e, CBN_CONTIGUOUS);
  if (conv.has_bias) make(&p->bias, cbn_conv_extents(&conv, CBN_ROLE_BIAS, e), e, CBN_CONTIGUOUS);
  p->native.rank = cbn_conv_extents(&conv, CBN_ROLE_OUTPUT, e);
  memcpy(p->native.extent, e, sizeof e);
  make(&p->output, p->native.rank, e, layout);
  const cbn_fill fill = cbn_fill_make(kind);
  cbn_fill_tensor(&fill, CBN_ROLE_INPUT, &p->input);
  cbn_fill_tensor(&fill, CBN_ROLE_WEIGHT, &p->weight);
  if (conv.has_bias) cbn_fill_tensor(&fill, CBN_ROLE_BIAS, &p->bias);
  if (conv.transposed) compute_transposed(p);
  else compute_output(p);
}

static void release_problem(problem *p) {
  cbn_tensor_release(&p->input);
  cbn_tensor_release(&p->weight);
  cbn_tensor_release(&p->bias);
  cbn_tensor_release(&p->output);
}

static cbn_conv grouped(void) {
  cbn_conv c = cbn_conv_make(2);
  c.batch = 2;
  c.in_channels = 4;
  c.out_channels = 6;
  c.groups = 2;
  c.has_bias = 1;
  c.input[0] = 9;
  c.input[1] = 11;
  c.kernel[0] = c.kernel[1] = 3;
  c.stride[1] = 2;
  c.pad_begin[0] = c.pad_begin[1] = c.pad_end[1] = 1;
  return c;
}

/* Judges; the verdict is whether anything lies outside. */
static cbn_tensor_result judge(const problem *p, bool *exact) {
  cbn_tensor_result r;
  *exact = false;
  const cbn_tensor *tensor[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &p->input,
                                              [CBN_ROLE_WEIGHT] = &p->weight,
                                              [CBN_ROLE_BIAS] = p->conv.has_bias ? &p->bias : NULL,
                                              [CBN_ROLE_OUTPUT] = &p->output};
  assert_true(cbn_judge_large(&p->conv, tensor, 0, 1, &p->native, &r, exact));
  assert_true(r.sampled);
  assert_int_equal(r.role, CBN_ROLE_OUTPUT);
  assert_null(r.map);
  return r;
}

static bool is_seen(const problem *p) {
  bool exact;
  return judge(p, &exact).outside > 0;
}

static void a_right_large_output_passes(void **state) {
  (void)state;
  for (int layout = CBN_CONTIGUOUS; layout <= CBN_CHANNELS_LAST; layout++)
    for (int bias = 0; bias < 2; bias++) {
      cbn_conv conv = grouped();
      problem p;
      bool exact;
      conv.has_bias = bias;
      make_problem(&p, conv, CBN_FILL_INTEGERS, (enum cbn_layout)layout);
      const cbn_tensor_result r = judge(&p, &exact);
      assert_true(exact);
      assert_int_equal(r.outside, 0);
      assert_true(r.share == 0);
      assert_true(r.elements >= 2 * 2 * p.output.extent[2] * p.output.extent[3]); /* batches, groups, places */
      release_problem(&p);
    }
}

/* Each element in turn, off by the least that an integer can be, by the least that an f32 can be, and not a number. */
static void each_wrong_element_of_a_large_output_is_seen(void **state) {
  (void)state;
  for (int variant = 0; variant < 4; variant++) {
    const enum cbn_layout layout = variant % 2 ? CBN_CHANNELS_LAST : CBN_CONTIGUOUS;
    cbn_conv conv = grouped();
    conv.transposed = variant / 2;
    problem p;
    make_problem(&p, conv, CBN_FILL_INTEGERS, layout);
    const int64_t count = cbn_tensor_count(&p.output);
    for (int64_t i = 0; i < count; i++) {
      const double right = cbn_tensor_get(&p.output, i);
      const double wrong[] = {right + 1, (double)nextafterf((float)right, 1e30f), NAN, INFINITY};
      for (size_t k = 0; k < COUNT(wrong); k++) {
        if (layout == CBN_CHANNELS_LAST && k > 0) continue;
        cbn_tensor_set(&p.output, i, wrong[k]);
        if (!is_seen(&p)) fail_msg("element %d, %a for %a, is not seen", (int)i, wrong[k], right);
      }
      cbn_tensor_set(&p.output, i, right);
    }
    assert_false(is_seen(&p));
    release_problem(&p);
  }
}

static void swap_channels(const problem *p, int64_t a, int64_t b) {
  const int64_t plane = p->output.extent[2] * p->output.extent[3];
  for (int64_t n = 0; n < p->conv.batch; n++)
    for (int64_t i = 0; i < plane; i++) {
      const int64_t first = (n * p->conv.out_channels + a) * plane + i,
                    second = (n * p->conv.out_channels + b) * plane + i;
      const double kept = cbn_tensor_get(&p->output, first);
      cbn_tensor_set(&p->output, first, cbn_tensor_get(&p->output, second));
      cbn_tensor_set(&p->output, second, kept);
    }
}

/* The plain sum over channels does not change; the weighted one does. */
static void channels_that_changed_places_are_seen(void **state) {
  (void)state;
  problem p;
  make_problem(&p, grouped(), CBN_FILL_INTEGERS, CBN_CONTIGUOUS);
  for (int64_t a = 0; a < p.conv.out_channels; a++)
    for (int64_t b = a + 1; b < p.conv.out_channels; b++) {
      swap_channels(&p, a, b);
      if (!is_seen(&p)) fail_msg("channels %d and %d changed places unseen", (int)a, (int)b);
      swap_channels(&p, a, b);
    }
  assert_false(is_seen(&p));
  release_problem(&p);
}

/* Two elements of one place, in different channels, whose errors cancel in the plain sum. */
static void errors_that_cancel_are_seen(void **state) {
  (void)state;
  problem p;
  make_problem(&p, grouped(), CBN_FILL_INTEGERS, CBN_CONTIGUOUS);
  const int64_t plane = p.output.extent[2] * p.output.extent[3];
  for (int64_t i = 0; i < plane; i++) {
    cbn_tensor_set(&p.output, i, cbn_tensor_get(&p.output, i) + 1);
    cbn_tensor_set(&p.output, i + plane, cbn_tensor_get(&p.output, i + plane) - 1);
    assert_true(is_seen(&p));
    cbn_tensor_set(&p.output, i, cbn_tensor_get(&p.output, i) - 1);
    cbn_tensor_set(&p.output, i + plane, cbn_tensor_get(&p.output, i + plane) + 1);
  }
  release_problem(&p);
}

/* Outputs that are right for another problem: groups taken in another order, a bias that is left out, padding on the
 * other side, the kernel flipped, batches exchanged. */
static void outputs_of_another_problem_are_seen(void **state) {
  (void)state;
  problem p, other;
  make_problem(&p, grouped(), CBN_FILL_INTEGERS, CBN_CONTIGUOUS);
  const int64_t half = cbn_tensor_count(&p.input) / 4, count = cbn_tensor_count(&p.output);
  const size_t bytes = (size_t)count * sizeof(float);
  float *right = malloc(bytes);
  assert_non_null(right);
  memcpy(right, p.output.data, bytes);
  for (int what = 0; what < 5; what++) {
    make_problem(&other, grouped(), CBN_FILL_INTEGERS, CBN_CONTIGUOUS);
    if (what == 0) /* each group reads the other's channels: halves of the input's channels exchanged, batch by batch */
      for (int64_t n = 0; n < 2; n++)
        for (int64_t i = 0; i < half; i++) {
          cbn_tensor_set(&other.input, 2 * n * half + i, cbn_tensor_get(&p.input, (2 * n + 1) * half + i));
          cbn_tensor_set(&other.input, (2 * n + 1) * half + i, cbn_tensor_get(&p.input, 2 * n * half + i));
        }
    if (what == 1) other.conv.has_bias = 0;
    if (what == 2) other.conv.pad_begin[0] = 0, other.conv.pad_end[0] = 1;
    if (what == 3) /* each filter back to front */
      for (int64_t i = 0; i < cbn_tensor_count(&p.weight); i++)
        cbn_tensor_set(&other.weight, i / 9 * 9 + 8 - i % 9, cbn_tensor_get(&p.weight, i));
    if (what == 4)
      for (int64_t i = 0; i < 4 * half; i++)
        cbn_tensor_set(&other.input, (i + 2 * half) % (4 * half), cbn_tensor_get(&p.input, i));
    compute_output(&other);
    cbn_tensor_copy(&p.output, &other.output);
    if (!is_seen(&p)) fail_msg("the output of problem %d is not seen", what);
    release_problem(&other);
  }
  memcpy(p.output.data, right, bytes);
  assert_false(is_seen(&p));
  free(right);
  release_problem(&p);
}

/* The sums are a proof only where every number is an integer and every sum is exact; else samples judge alone. */
static void data_that_are_no_small_integers_are_sampled(void **state) {
  (void)state;
  problem p;
  bool exact;
  make_problem(&p, grouped(), CBN_FILL_INTEGERS, CBN_CONTIGUOUS);
  static const double values[] = {0.5, 0x1p22, NAN, INFINITY};
  for (size_t k = 0; k < COUNT(values); k++) {
    const double kept = cbn_tensor_get(&p.input, 0);
    cbn_tensor_set(&p.input, 0, values[k]);
    judge(&p, &exact);
    assert_false(exact);
    cbn_tensor_set(&p.input, 0, kept);
  }
  judge(&p, &exact);
  assert_true(exact);
  release_problem(&p);
}

/* Corners and borders are sampled, in every channel and batch. */
static void corners_of_real_data_are_sampled(void **state) {
  (void)state;
  problem p;
  bool exact;
  make_problem(&p, grouped(), CBN_FILL_INTEGERS, CBN_CONTIGUOUS);
  for (int64_t i = 0; i < cbn_tensor_count(&p.input); i++)
    cbn_tensor_set(&p.input, i, cbn_tensor_get(&p.input, i) / 8 + 0x1p-6);
  compute_output(&p); /* multiples of 2^-6: still exact */
  assert_false(is_seen(&p));
  const int64_t rows = p.output.extent[2], columns = p.output.extent[3];
  for (int64_t channel = 0; channel < p.conv.batch * p.conv.out_channels; channel++)
    for (int corner = 0; corner < 4; corner++) {
      const int64_t i = (channel * rows + (corner / 2 ? rows - 1 : 0)) * columns + (corner % 2 ? columns - 1 : 0);
      const double right = cbn_tensor_get(&p.output, i);
      cbn_tensor_set(&p.output, i, right + 1);
      const cbn_tensor_result r = judge(&p, &exact);
      assert_false(exact);
      assert_true(r.outside > 0 && r.expected == right && r.actual == right + 1);
      assert_int_equal(((r.worst[0] * 6 + r.worst[1]) * rows + r.worst[2]) * columns + r.worst[3], i);
      cbn_tensor_set(&p.output, i, right);
    }
  release_problem(&p);
}

static void an_empty_large_output_is_right(void **state) {
  (void)state;
  cbn_conv conv = grouped();
  problem p;
  bool exact;
  conv.input[0] = 1;
  conv.pad_begin[0] = 0;
  make_problem(&p, conv, CBN_FILL_INTEGERS, CBN_CONTIGUOUS);
  assert_int_equal(cbn_tensor_count(&p.output), 0);
  assert_int_equal(judge(&p, &exact).outside, 0);
  release_problem(&p);
}

/* More channels than the weights of the second sum have values (61): neighbours still differ. */
static void neighbours_among_many_channels_are_told_apart(void **state) {
  (void)state;
  cbn_conv conv = grouped();
  problem p;
  conv.batch = conv.groups = 1;
  conv.in_channels = 1;
  conv.out_channels = 70;
  conv.input[0] = conv.input[1] = 5;
  make_problem(&p, conv, CBN_FILL_INTEGERS, CBN_CONTIGUOUS);
  for (int64_t a = 0; a + 1 < 70; a++) {
    swap_channels(&p, a, a + 1);
    if (!is_seen(&p)) fail_msg("channels %d and %d changed places unseen", (int)a, (int)a + 1);
    swap_channels(&p, a, a + 1);
  }
  swap_channels(&p, 0, 61); /* of the same weight: the samples see it */
  assert_true(is_seen(&p));
  release_problem(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(intervals_admit_what_they_say),
      cmocka_unit_test(a_bound_that_is_nan_admits_nothing),
      cmocka_unit_test(each_wrong_element_is_seen_and_found),
      cmocka_unit_test(a_right_tensor_passes),
      cmocka_unit_test(inconclusive_elements_are_counted_apart),
      cmocka_unit_test(the_worst_of_many_is_kept),
      cmocka_unit_test(an_empty_tensor_has_nothing_wrong),
      cmocka_unit_test(the_map_is_a_window_around_the_worst),
      cmocka_unit_test(a_right_large_output_passes),
      cmocka_unit_test(each_wrong_element_of_a_large_output_is_seen),
      cmocka_unit_test(channels_that_changed_places_are_seen),
      cmocka_unit_test(errors_that_cancel_are_seen),
      cmocka_unit_test(outputs_of_another_problem_are_seen),
      cmocka_unit_test(data_that_are_no_small_integers_are_sampled),
      cmocka_unit_test(corners_of_real_data_are_sampled),
      cmocka_unit_test(an_empty_large_output_is_right),
      cmocka_unit_test(neighbours_among_many_channels_are_told_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
