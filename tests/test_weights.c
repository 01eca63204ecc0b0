/* tests/test_weights.c - weights from one framework's order of axes and names into another's: elements by hand, and by
 * the index that each element's value tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dialects/layout.h"
#include "migration/call_text.h"
#include "migration/weights.h"

static cbn_arena *arena;

static int open_arena(void **state) {
  (void)state;
  arena = cbn_arena_create(1 << 24);
  return arena == NULL;
}

static int close_arena(void **state) {
  (void)state;
  cbn_arena_destroy(arena);
  return 0;
}

/* ---- plans and tensors ---- */

static cbn_plan conv(int32_t axes, int64_t in, int64_t out, int64_t groups, bool transposed, const int64_t *kernel) {
  cbn_plan plan = {.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(axes)};
  plan.conv.batch = 1;
  plan.conv.in_channels = in;
  plan.conv.out_channels = out;
  plan.conv.groups = groups;
  plan.conv.transposed = transposed;
  for (int32_t a = 0; a < axes; a++) {
    plan.conv.input[a] = 8;
    plan.conv.kernel[a] = kernel[a];
  }
  return plan;
}
#define KERNEL(...)                                                                                                    \
  (const int64_t[]) { __VA_ARGS__ }

static cbn_tensor tensor_of(int32_t type, int32_t rank, const int64_t *extent) {
  cbn_tensor tensor;
  assert_true(cbn_tensor_describe(&tensor, type, rank, extent, CBN_CONTIGUOUS) && cbn_tensor_allocate(&tensor));
  return tensor;
}

/* 1, 2, 3, ... in the order of the memory. */
static cbn_tensor counting(int32_t type, int32_t rank, const int64_t *extent) {
  cbn_tensor tensor = tensor_of(type, rank, extent);
  for (int64_t i = 0; i < cbn_tensor_count(&tensor); i++) cbn_tensor_set(&tensor, i, (double)(i + 1));
  return tensor;
}

static void assert_tensor(const cbn_tensor *tensor, int32_t type, int32_t rank, const int64_t *extent,
                          const double *values) {
  assert_non_null(tensor);
  assert_int_equal(tensor->type, type);
  assert_int_equal(tensor->rank, rank);
  assert_memory_equal(tensor->extent, extent, (size_t)rank * sizeof *extent);
  for (int64_t i = 0; i < cbn_tensor_count(tensor); i++)
    if (cbn_tensor_get(tensor, i) != values[i]) fail_msg("element %d is %g", (int)i, cbn_tensor_get(tensor, i));
}

/* Moves 1, 2, 3, ..., of the shape that the source has, and back again. */
static void assert_moves(const cbn_plan *source, const cbn_plan *target, const double *values) {
  static const int32_t types[] = {CBN_F32, CBN_F64, CBN_F16, CBN_BF16};
  int64_t from_extent[CBN_MAX_RANK], to_extent[CBN_MAX_RANK];
  const int32_t from_rank = cbn_plan_native_extents(source, CBN_ROLE_WEIGHT, from_extent);
  const int32_t to_rank = cbn_plan_native_extents(target, CBN_ROLE_WEIGHT, to_extent);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    cbn_tensor from = counting(types[i], from_rank, from_extent), to, back;
    cbn_error error;
    double again[64];
    if (!cbn_weight_move(source, target, CBN_ROLE_WEIGHT, &from, &to, &error)) fail_msg("%s", error.text);
    assert_tensor(&to, types[i], to_rank, to_extent, values);
    if (!cbn_weight_move(target, source, CBN_ROLE_WEIGHT, &to, &back, &error)) fail_msg("%s", error.text);
    for (int k = 0; k < 64; k++) again[k] = k + 1;
    assert_tensor(&back, types[i], from_rank, from_extent, again);
    cbn_tensor_release(&from);
    cbn_tensor_release(&to);
    cbn_tensor_release(&back);
  }
}

/* ---- one weight ---- */

/* (out 2, in 2, kernel 2), [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], as (kernel, in, out): the first tap's are 1, 5 (of the
 * first input channel), 3, 7. */
static void a_kernel_comes_first(void **state) {
  (void)state;
  const cbn_plan source = conv(1, 2, 2, 1, false, KERNEL(2));
  cbn_plan target = source;
  cbn_plan_kernel_first(&target, 1);
  assert_moves(&source, &target, (const double[]){1, 5, 3, 7, 2, 6, 4, 8});
  assert_moves(&source, &source, (const double[]){1, 2, 3, 4, 5, 6, 7, 8});
  assert_moves(&target, &target, (const double[]){1, 2, 3, 4, 5, 6, 7, 8});
}

/* Two groups of one input channel and two output channels: (out 4, in 1, kernel 1 x 2) as (1, 2, in 1, out 4). */
static void a_grouped_weight_moves(void **state) {
  (void)state;
  const cbn_plan source = conv(2, 2, 4, 2, false, KERNEL(1, 2));
  cbn_plan target = source;
  cbn_plan_kernel_first(&target, 2);
  assert_moves(&source, &target, (const double[]){1, 3, 5, 7, 2, 4, 6, 8});
}

/* The same operator as a depthwise one, (1, 2, in 2, multiplier 2): output channel 2 is the first of the second input's.
 * Each tap has the four output channels in their order. */
static void a_depthwise_weight_moves(void **state) {
  (void)state;
  const cbn_plan source = conv(2, 2, 4, 2, false, KERNEL(1, 2));
  cbn_plan target = source;
  int64_t extent[CBN_MAX_RANK];
  cbn_plan_depthwise(&target, 2);
  assert_int_equal(cbn_plan_native_extents(&target, CBN_ROLE_WEIGHT, extent), 4);
  assert_memory_equal(extent, KERNEL(1, 2, 2, 2), 4 * sizeof *extent);
  assert_moves(&source, &target, (const double[]){1, 3, 5, 7, 2, 4, 6, 8});
}

/* Transposed: (in 2, out 3, kernel 2) as (kernel, out, in). */
static void a_transposed_weight_moves(void **state) {
  (void)state;
  const cbn_plan source = conv(1, 2, 3, 1, true, KERNEL(2));
  cbn_plan target = source;
  cbn_plan_kernel_first(&target, 1);
  assert_moves(&source, &target, (const double[]){1, 7, 3, 9, 5, 11, 2, 8, 4, 10, 6, 12});
}

/* Transposed, two groups of one output channel each: (in 4, out 1, kernel 2) as (kernel, out 1, in 4). */
static void a_grouped_transposed_weight_moves(void **state) {
  (void)state;
  const cbn_plan source = conv(1, 4, 2, 2, true, KERNEL(2));
  cbn_plan target = source;
  cbn_plan_kernel_first(&target, 1);
  assert_moves(&source, &target, (const double[]){1, 3, 5, 7, 2, 4, 6, 8});
}

/* Three axes: an element's digits are its indices, out, in, d, h, w. */
static void three_axes_move(void **state) {
  (void)state;
  const cbn_plan source = conv(3, 2, 3, 1, false, KERNEL(2, 3, 4));
  cbn_plan target = source;
  cbn_tensor from = tensor_of(CBN_F64, 5, KERNEL(3, 2, 2, 3, 4)), to;
  cbn_error error;
  int64_t index[CBN_MAX_RANK];
  cbn_plan_kernel_first(&target, 3);
  for (int64_t i = 0; i < cbn_tensor_count(&from); i++) {
    cbn_unravel(5, from.extent, i, index);
    cbn_tensor_set(&from, i, (double)(index[0] * 10000 + index[1] * 1000 + index[2] * 100 + index[3] * 10 + index[4]));
  }
  assert_true(cbn_weight_move(&source, &target, CBN_ROLE_WEIGHT, &from, &to, &error));
  assert_memory_equal(to.extent, KERNEL(2, 3, 4, 2, 3), 5 * sizeof *to.extent);
  for (int64_t i = 0; i < cbn_tensor_count(&to); i++) {
    cbn_unravel(5, to.extent, i, index);
    assert_true(cbn_tensor_get(&to, i) ==
                (double)(index[4] * 10000 + index[3] * 1000 + index[0] * 100 + index[1] * 10 + index[2]));
  }
  cbn_tensor_release(&from);
  cbn_tensor_release(&to);
}

static void assert_stays(const cbn_plan *source, const cbn_plan *target, int role, const cbn_tensor *from,
                         const char *words) {
  cbn_tensor to;
  cbn_error error;
  if (cbn_weight_move(source, target, role, from, &to, &error)) fail_msg("moved, but expected: %s", words);
  assert_string_equal(error.text, words);
}

static void other_shapes_stay(void **state) {
  (void)state;
  const cbn_plan plan = conv(1, 2, 3, 1, false, KERNEL(2)), wider = conv(1, 2, 4, 1, false, KERNEL(2));
  cbn_plan biased = plan;
  biased.conv.has_bias = 1;
  cbn_tensor from = counting(CBN_F32, 3, KERNEL(3, 2, 2)), other = counting(CBN_F32, 2, KERNEL(3, 4));
  assert_stays(&plan, &plan, CBN_ROLE_WEIGHT, &other, "the weight has shape (3, 4), and the layer's is (3, 2, 2)");
  assert_stays(&plan, &wider, CBN_ROLE_WEIGHT, &from,
               "the weight has shape (3, 2, 2) in the source and (4, 2, 2) in the target, in the operator's order");
  assert_stays(&plan, &biased, CBN_ROLE_BIAS, &from, "the source has no bias");
  assert_stays(&biased, &plan, CBN_ROLE_BIAS, &from, "the target has no bias");
  cbn_tensor_release(&from);
  cbn_tensor_release(&other);
}

/* ---- all of a layer ---- */

struct layer {
  cbn_layer layer;
  cbn_plan plan;
};

/* A call, asked with a small input of that many channels and axes. */
static struct layer layer_of(const char *call, int64_t channels, int32_t axes, const cbn_shape *weight) {
  struct layer l;
  cbn_error error;
  cbn_rejection rejection;
  cbn_situation situation = {.batch = 2, .channels = channels, .axes = axes, .extent = {8, 9, 10}};
  if (!cbn_call_read(call, NULL, arena, &l.layer, &error)) fail_msg("%s: %s", call, error.text);
  if (weight != NULL) l.layer.tensor[CBN_ROLE_WEIGHT] = *weight;
  if (!cbn_layer_plan(&l.layer, &situation, &l.plan, &rejection)) fail_msg("%s: %s", call, rejection.message);
  return l;
}

static void add(cbn_npz *npz, const char *name, int32_t type, int32_t rank, const int64_t *extent) {
  cbn_tensor tensor = counting(type, rank, extent);
  cbn_error error;
  if (!cbn_npz_add(npz, name, &tensor, &error)) fail_msg("%s", error.text);
  cbn_tensor_release(&tensor);
}

static cbn_npz move_well(const struct layer *source, const struct layer *target, const cbn_constants *constants,
                         const cbn_npz *from) {
  cbn_npz to;
  cbn_error error;
  if (!cbn_weights_move(&source->layer, &source->plan, &target->layer, &target->plan, constants, from, &to, &error))
    fail_msg("%s", error.text);
  return to;
}

static void assert_refused(const struct layer *source, const struct layer *target, const cbn_npz *from,
                           const char *words) {
  cbn_npz to;
  cbn_error error;
  if (cbn_weights_move(&source->layer, &source->plan, &target->layer, &target->plan, NULL, from, &to, &error))
    fail_msg("moved, but expected: %s", words);
  assert_string_equal(error.text, words);
  assert_int_equal(to.count, 0);
}

static const double one_to_eight[] = {1, 2, 3, 4, 5, 6, 7, 8};

/* With a prefix that all share, and the count of calls that is no tensor; in any order. */
static void a_normalization_moves(void **state) {
  (void)state;
  static const char *const prefixes[] = {"", "block.0.bn.", "weight"};
  static const char *const suffixes[][2] = {
      {"running_var", "moving_variance"}, {"weight", "gamma"}, {"bias", "beta"}, {"running_mean", "moving_mean"}};
  const struct layer source = layer_of("torch.nn.BatchNorm2d(3)", 3, 2, NULL);
  const struct layer target = layer_of("mindspore.nn.BatchNorm2d(3)", 3, 2, NULL);
  for (size_t p = 0; p < 3; p++)
    for (int counted = 0; counted < 2; counted++) {
      cbn_npz from = {0};
      char name[64];
      snprintf(name, sizeof name, "%snum_batches_tracked", prefixes[p]);
      if (counted) add(&from, name, CBN_F64, 1, KERNEL(1));
      for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s", prefixes[p], suffixes[i][0]);
        add(&from, name, CBN_F32, 1, KERNEL(3));
      }
      cbn_npz to = move_well(&source, &target, NULL, &from), back = move_well(&target, &source, NULL, &to);
      assert_int_equal(to.count, 4);
      assert_int_equal(back.count, 4);
      for (size_t i = 0; i < 4; i++)
        for (int side = 0; side < 2; side++) {
          snprintf(name, sizeof name, "%s%s", prefixes[p], suffixes[i][side]);
          assert_tensor(cbn_npz_find(side == 0 ? &back : &to, name), CBN_F32, 1, KERNEL(3), one_to_eight);
        }
      cbn_npz_release(&from);
      cbn_npz_release(&to);
      cbn_npz_release(&back);
    }
}

/* Into a function of TensorFlow, whose filters are (kernel, in, out). */
static void a_convolution_moves(void **state) {
  (void)state;
  const struct layer source = layer_of("torch.nn.Conv1d(2, 2, 2, bias=False)", 2, 1, NULL);
  const cbn_shape filters = {.rank = 3, .extent = {2, 2, 2}};
  const struct layer target = layer_of("tf.nn.conv1d(x, filters, stride=1, padding='VALID')", 2, 1, &filters);
  cbn_npz from = {0};
  add(&from, "conv1.weight", CBN_F64, 3, KERNEL(2, 2, 2));
  cbn_npz to = move_well(&source, &target, NULL, &from);
  assert_int_equal(to.count, 1);
  assert_tensor(cbn_npz_find(&to, "conv1.filters"), CBN_F64, 3, KERNEL(2, 2, 2),
                (const double[]){1, 5, 3, 7, 2, 6, 4, 8});
  cbn_npz_release(&from);
  cbn_npz_release(&to);
}

/* A scale of ones and a shift of zeros, in the type of what is there. */
static void constants_are_added(void **state) {
  (void)state;
  const struct layer source = layer_of("torch.nn.BatchNorm2d(2, affine=False)", 2, 2, NULL);
  const struct layer target = layer_of("torch.nn.BatchNorm2d(2)", 2, 2, NULL);
  const cbn_constants constants = {.needed = {[CBN_ROLE_WEIGHT] = true, [CBN_ROLE_BIAS] = true},
                                   .value = {[CBN_ROLE_WEIGHT] = 1}};
  cbn_npz from = {0};
  add(&from, "num_batches_tracked", CBN_F64, 1, KERNEL(1));
  add(&from, "running_mean", CBN_F16, 1, KERNEL(2));
  add(&from, "running_var", CBN_F16, 1, KERNEL(2));
  cbn_npz to = move_well(&source, &target, &constants, &from);
  assert_int_equal(to.count, 4);
  assert_tensor(cbn_npz_find(&to, "weight"), CBN_F16, 1, KERNEL(2), (const double[]){1, 1});
  assert_tensor(cbn_npz_find(&to, "bias"), CBN_F16, 1, KERNEL(2), (const double[]){0, 0});
  assert_tensor(cbn_npz_find(&to, "running_mean"), CBN_F16, 1, KERNEL(2), one_to_eight);
  cbn_npz_release(&to);
  assert_refused(&source, &target, &from, "nn.BatchNorm2d has weight, and the source has none");
  cbn_npz_release(&from);
}

static void wrong_names_are_refused(void **state) {
  (void)state;
  const struct layer source = layer_of("torch.nn.Conv1d(2, 2, 2)", 2, 1, NULL);
  const struct layer target = layer_of("mindspore.nn.Conv1d(2, 2, 2, has_bias=True)", 2, 1, NULL);
  const struct layer without = layer_of("torch.nn.Conv1d(2, 2, 2, bias=False)", 2, 1, NULL);
  cbn_npz from = {0};
  assert_refused(&source, &target, &from, "'weight' is missing, which nn.Conv1d has");
  add(&from, "conv1.weight", CBN_F32, 3, KERNEL(2, 2, 2));
  assert_refused(&source, &target, &from, "'conv1.bias' is missing, which nn.Conv1d has");
  add(&from, "conv2.bias", CBN_F32, 1, KERNEL(2));
  assert_refused(&source, &target, &from,
                 "'conv2.bias' is no tensor of nn.Conv1d, which has weight, bias, here behind 'conv1.'");
  cbn_npz_release(&from);
  add(&from, "weights", CBN_F32, 3, KERNEL(2, 2, 2));
  assert_refused(&source, &target, &from, "'weights' is no tensor of nn.Conv1d, which has weight, bias");
  cbn_npz_release(&from);
  add(&from, "weight", CBN_F32, 3, KERNEL(2, 2, 2));
  add(&from, "bias", CBN_F32, 1, KERNEL(2));
  assert_refused(&source, &without, &from, "nn.Conv1d has no tensor for bias");
  assert_refused(&without, &source, &from, "'bias' is no tensor of nn.Conv1d, which has weight");
  cbn_npz_release(&from);
  add(&from, "weight", CBN_F32, 3, KERNEL(2, 2, 2));
  add(&from, "bias", CBN_F32, 1, KERNEL(3));
  assert_refused(&source, &target, &from, "the bias has shape (3), and the layer's is (2)");
  cbn_npz_release(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_kernel_comes_first),
      cmocka_unit_test(a_grouped_weight_moves),
      cmocka_unit_test(a_depthwise_weight_moves),
      cmocka_unit_test(a_transposed_weight_moves),
      cmocka_unit_test(a_grouped_transposed_weight_moves),
      cmocka_unit_test(three_axes_move),
      cmocka_unit_test(other_shapes_stay),
      cmocka_unit_test(a_normalization_moves),
      cmocka_unit_test(a_convolution_moves),
      cmocka_unit_test(constants_are_added),
      cmocka_unit_test(wrong_names_are_refused),
  };
  return cmocka_run_group_tests(tests, open_arena, close_arena);
}
