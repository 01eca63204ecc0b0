/* Layers of several frameworks asked in one situation, inputs read as situations, and inputs found for those who
 * name none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dialects/layout.h"
#include "migration/call_text.h"

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

static cbn_layer read(const char *text) {
  cbn_layer layer;
  cbn_error error = {""};
  if (!cbn_call_read(text, NULL, arena, &layer, &error)) fail_msg("%s: %s", text, error.text);
  return layer;
}

static void give(cbn_layer *layer, int role, int32_t rank, const int64_t *extent) {
  layer->tensor[role] = (cbn_shape){.rank = rank};
  memcpy(layer->tensor[role].extent, extent, (size_t)rank * sizeof *extent);
}

/* Batch 2, 3 channels, 8 x 9 elements, in three frameworks' orders: one operator. */
static void one_situation_in_every_order(void **state) {
  (void)state;
  const cbn_situation s = {.batch = 2, .channels = 3, .axes = 2, .extent = {8, 9}};
  cbn_layer layers[] = {read("torch.nn.Conv2d(3, 4, 3, padding=1, bias=False)"),
                        read("keras.layers.Conv2D(4, 3, padding='same', use_bias=False)"),
                        read("tf.nn.conv2d(x, w, 1, 'SAME')")};
  give(&layers[2], CBN_ROLE_WEIGHT, 4, (const int64_t[]){3, 3, 3, 4});
  for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
    cbn_plan plan;
    cbn_rejection rejection;
    if (!cbn_layer_plan(&layers[i], &s, &plan, &rejection)) fail_msg("%zu: %s", i, rejection.message);
    assert_int_equal(plan.conv.batch, 2);
    assert_int_equal(plan.conv.in_channels, 3);
    assert_int_equal(plan.conv.input[0], 8);
    assert_int_equal(plan.conv.input[1], 9);
    assert_int_equal(cbn_conv_output_extent(&plan.conv, 0), 8);
    assert_int_equal(cbn_conv_output_extent(&plan.conv, 1), 9);
  }
}

/* An input without a batch of three spatial axes has four, and so has one of two with a batch. */
static void what_is_read_otherwise_is_refused(void **state) {
  (void)state;
  const cbn_layer layer = read("torch.nn.Conv3d(3, 4, 2)");
  cbn_situation s = {.batch = 3, .channels = 3, .axes = 2, .extent = {8, 9}};
  cbn_plan plan;
  cbn_rejection rejection;
  assert_false(cbn_layer_plan(&layer, &s, &plan, &rejection));
  assert_int_equal(rejection.rule, CBN_RULE_INPUT_RANK);
  s = (cbn_situation){.batch = 1, .channels = 3, .axes = 3, .extent = {7, 8, 9}, .unbatched = true};
  assert_true(cbn_layer_plan(&layer, &s, &plan, &rejection));
  assert_true(plan.unbatched);
}

static void a_bias_that_is_added(void **state) {
  (void)state;
  cbn_layer layer = read("torch.nn.Conv1d(3, 4, 2, bias=False)");
  const cbn_situation s = {.batch = 1, .channels = 3, .axes = 1, .extent = {8}};
  cbn_plan plan;
  cbn_rejection rejection;
  assert_true(cbn_layer_plan(&layer, &s, &plan, &rejection));
  assert_int_equal(plan.conv.has_bias, 0);
  layer.adds_bias = true;
  assert_true(cbn_layer_plan(&layer, &s, &plan, &rejection));
  assert_int_equal(plan.conv.has_bias, 1);
}

/* A call, an input's shape, and what it is. */
static void inputs_are_situations(void **state) {
  (void)state;
  static const struct {
    const char *call;
    cbn_shape input;
    bool unbatched;
    int64_t batch, channels;
    int32_t axes;
    int64_t extent[CBN_MAX_SPATIAL];
  } rows[] = {
      {"torch.nn.Conv2d(3, 4, 2)", {4, {5, 3, 7, 8}}, false, 5, 3, 2, {7, 8}},
      {"torch.nn.Conv2d(3, 4, 2)", {3, {3, 7, 8}}, true, 1, 3, 2, {7, 8}},
      {"keras.layers.Conv2D(4, 2)", {4, {5, 7, 8, 3}}, false, 5, 3, 2, {7, 8}},
      {"torch.nn.BatchNorm1d(3)", {2, {5, 3}}, false, 5, 3, 0, {0}},
      {"torch.nn.BatchNorm1d(3)", {3, {5, 3, 6}}, false, 5, 3, 1, {6}},
      /* refused, for it has other channels: read all the same, so that the layer itself says why */
      {"torch.nn.Conv2d(3, 4, 2)", {4, {5, 6, 7, 8}}, false, 5, 6, 2, {7, 8}},
      {"torch.nn.Conv2d(3, 4, 2)", {3, {6, 7, 8}}, true, 1, 6, 2, {7, 8}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const cbn_layer layer = read(rows[i].call);
    cbn_situation s;
    assert_true(cbn_layer_situation(&layer, &rows[i].input, &s));
    assert_int_equal(s.unbatched, rows[i].unbatched);
    assert_int_equal(s.batch, rows[i].batch);
    assert_int_equal(s.channels, rows[i].channels);
    assert_int_equal(s.axes, rows[i].axes);
    assert_memory_equal(s.extent, rows[i].extent, sizeof s.extent);
  }
  const cbn_layer layer = read("torch.nn.Conv2d(3, 4, 2)");
  cbn_situation s;
  assert_false(cbn_layer_situation(&layer, &(cbn_shape){.rank = 1, .extent = {3}}, &s));
}

/* Layers whose inputs are not to be guessed: wide kernels, outputs of a stated shape. */
static void inputs_are_found(void **state) {
  (void)state;
  static const struct {
    const char *call;
    cbn_shape weight;
    int64_t channels; /* 0: any */
  } rows[] = {
      {"torch.nn.Conv2d(17, 4, (1, 9), dilation=(1, 50))", {0}, 17},
      {"torch.nn.Conv3d(3, 4, 2)", {0}, 3},
      {"torch.nn.ConvTranspose1d(3, 4, 7, padding=20)", {0}, 3},
      {"torch.nn.BatchNorm3d(5)", {0}, 5},
      {"torch.nn.Conv2d(3, 4, 3, padding=30, padding_mode='reflect')", {0}, 3},
      {"keras.layers.Conv1D(4, 3, groups=2)", {0}, 0},
      {"tf.nn.conv2d(x, w, 2, 'VALID')", {4, {5, 5, 6, 8}}, 6},
      {"tf.nn.conv2d_transpose(x, w, (3, 28, 32, 6), 2)", {4, {5, 5, 6, 8}}, 8},
      {"onnx.helper.make_node('Conv', inputs=['X', 'W'], outputs=['Y'], group=2)", {4, {8, 3, 5, 5}}, 6},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    cbn_layer layer = read(rows[i].call);
    cbn_situation s;
    cbn_plan plan;
    cbn_rejection rejection = {.message = ""};
    int64_t extent[CBN_MAX_RANK];
    layer.tensor[CBN_ROLE_WEIGHT] = rows[i].weight;
    if (!cbn_layer_find_situation(&layer, &s, &rejection)) fail_msg("%s: %s", rows[i].call, rejection.message);
    assert_true(cbn_layer_plan(&layer, &s, &plan, &rejection));
    assert_true(cbn_extent_product(cbn_plan_extents(&plan, CBN_ROLE_OUTPUT, extent), extent) > 0);
    if (rows[i].channels != 0) assert_int_equal(s.channels, rows[i].channels);
  }
  cbn_situation s;
  cbn_rejection rejection;
  const cbn_layer none = read("torch.nn.Conv2d(3, 4, 3, stride=0)");
  assert_false(cbn_layer_find_situation(&none, &s, &rejection));
  assert_int_equal(rejection.rule, CBN_RULE_STRIDE_POSITIVE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_situation_in_every_order),
      cmocka_unit_test(what_is_read_otherwise_is_refused),
      cmocka_unit_test(a_bias_that_is_added),
      cmocka_unit_test(inputs_are_situations),
      cmocka_unit_test(inputs_are_found),
  };
  return cmocka_run_group_tests(tests, open_arena, close_arena);
}
