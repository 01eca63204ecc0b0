/* When two layers are the same: what of a plan is not seen, what stands around a layer, and conditions on extents,
 * held against both layers run on integers at every extent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "migration/call_text.h"
#include "migration/run_both.h"

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

/* ---------------------------------------------------------------------------------------------------------- plans */

static cbn_plan convolution(void) {
  cbn_plan plan = {.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(1)};
  plan.conv.batch = plan.conv.in_channels = plan.conv.out_channels = 1;
  plan.conv.input[0] = 6;
  plan.conv.kernel[0] = 3;
  plan.conv.stride[0] = 2;
  return plan;
}

static bool agree(const cbn_plan *a, const cbn_plan *b) { return cbn_plans_agree(a, b, CBN_F32, NULL, NULL, 0); }

static void what_is_not_seen(void **state) {
  (void)state;
  const cbn_plan plan = convolution();
  cbn_plan other = plan;
  other.conv.pad_end[0] = 1; /* windows at 0 and 2 end at 4, and one at 4 ends at 6: it is read then */
  assert_false(agree(&plan, &other));
  other = plan;
  other.conv.input[0] = 7; /* windows at 0, 2, 4 */
  cbn_plan longer = other;
  longer.conv.pad_end[0] = 1; /* read by none */
  assert_true(agree(&other, &longer));
  longer.conv.padding_mode = CBN_PAD_REPLICATE;
  assert_true(agree(&other, &longer));
  longer.conv.pad_end[0] = 2; /* read by one more */
  assert_false(agree(&other, &longer));
  other = longer;
  other.conv.padding_mode = CBN_PAD_ZEROS;
  assert_false(agree(&other, &longer));
  other = plan;
  other.conv.stride[0] = 1;
  assert_false(agree(&plan, &other));
  cbn_plan one = plan, single = plan; /* a single window: no stride */
  one.conv.input[0] = single.conv.input[0] = 3;
  single.conv.stride[0] = 5;
  assert_true(agree(&one, &single));
  one = single = plan; /* a single tap: no dilation */
  one.conv.kernel[0] = single.conv.kernel[0] = 1;
  single.conv.dilation[0] = 4;
  assert_true(agree(&one, &single));
}

static void a_bias_of_zeros_is_none(void **state) {
  (void)state;
  const cbn_plan plan = convolution();
  cbn_plan biased = plan;
  cbn_constants constants = {0};
  char why[128];
  biased.conv.has_bias = 1;
  assert_true(cbn_plans_agree(&plan, &biased, CBN_F32, &constants, why, sizeof why));
  assert_true(constants.needed[CBN_ROLE_BIAS]);
  assert_true(constants.value[CBN_ROLE_BIAS] == 0);
  assert_false(cbn_plans_agree(&biased, &plan, CBN_F32, NULL, why, sizeof why));
  assert_string_equal(why, "there is no bias");
}

static void numbers_kept_in_f32(void **state) {
  (void)state;
  cbn_plan plan = {.kind = CBN_OPERATOR_BATCHNORM, .batchnorm = cbn_batchnorm_make(1)}, other;
  plan.batchnorm.batch = plan.batchnorm.channels = plan.batchnorm.extent[0] = 2;
  plan.batchnorm.update_running = 1;
  plan.batchnorm.new_weight = 0.1;
  other = plan;
  other.batchnorm.epsilon = (double)(float)plan.batchnorm.epsilon;
  other.batchnorm.new_weight = 1 - (double)0.9f;
  cbn_constants constants = {0};
  assert_true(cbn_plans_agree(&plan, &other, CBN_F32, &constants, NULL, 0));
  assert_true(constants.rounded);
  assert_false(cbn_plans_agree(&plan, &other, CBN_F64, NULL, NULL, 0));
  other = plan;
  other.batchnorm.running_variance = 1 - plan.batchnorm.running_variance;
  assert_false(agree(&plan, &other));
  plan.batchnorm.new_weight = other.batchnorm.new_weight = 0; /* what enters with no weight */
  assert_true(agree(&plan, &other));
}

/* Cropping what the layer then pads with zeros is not less padding. */
static void what_cannot_be_said_is_not_said(void **state) {
  (void)state;
  const cbn_layer layer = read("torch.nn.Conv1d(1, 1, 3, padding=2)");
  const cbn_situation s = {.batch = 1, .channels = 1, .axes = 1, .extent = {9}};
  const cbn_surroundings crops = {.pad_begin = {-1}}, pads = {.pad_begin = {1}},
                         reflects = {.padding_mode = CBN_PAD_REFLECT, .pad_begin = {1}};
  cbn_plan plan;
  cbn_rejection rejection;
  assert_false(cbn_surrounded_plan(&layer, &crops, &s, &plan, &rejection));
  assert_int_equal(rejection.rule, CBN_RULE_COUNT);
  assert_false(cbn_surrounded_plan(&layer, &reflects, &s, &plan, &rejection));
  assert_int_equal(rejection.rule, CBN_RULE_COUNT);
  assert_true(cbn_surrounded_plan(&layer, &pads, &s, &plan, &rejection));
  assert_int_equal(plan.conv.pad_begin[0], 3);
  assert_int_equal(plan.conv.input[0], 9);
}

/* ----------------------------------------------------------------------------------------------------- conditions */

/* Two layers, what stands around the second, the extents at hand, and the condition, from the frameworks' own
 * formulas. */
typedef struct row {
  const char *a, *b;
  cbn_surroundings around;
  cbn_situation at;
  const char *condition; /* NULL: not at hand */
} row;

static const row rows[] = {
    /* SAME of stride 2: one zero in all where 2 divides the extent, behind; else one on each side */
    {"torch.nn.Conv2d(2, 2, 3, stride=2, padding=1, bias=False)",
     "mindspore.nn.Conv2d(2, 2, 3, stride=2)",
     {0},
     {.batch = 2, .channels = 2, .axes = 2, .extent = {7, 9}},
     "H mod 2 = 1 and W mod 2 = 1"},
    {"mindspore.nn.Conv1d(2, 2, 3, stride=2)",
     "torch.nn.Conv1d(2, 2, 3, stride=2, bias=False)",
     {.pad_end = {1}},
     {.batch = 2, .channels = 2, .axes = 1, .extent = {8}},
     "W mod 2 = 0"},
    /* of stride 3: none, or one on each side, or one behind */
    {"mindspore.nn.Conv1d(2, 2, 3, stride=3)",
     "torch.nn.Conv1d(2, 2, 3, stride=3, bias=False)",
     {.pad_end = {1}},
     {.batch = 2, .channels = 2, .axes = 1, .extent = {8}},
     "W mod 3 is not 1"},
    /* TensorFlow's VALID gives nothing for a kernel of one more than the input; PyTorch refuses it */
    {"torch.nn.Conv1d(2, 2, 3, bias=False)",
     "mindspore.nn.Conv1d(2, 2, 3, pad_mode='valid')",
     {0},
     {.batch = 2, .channels = 2, .axes = 1, .extent = {8}},
     ""},
    {"torch.nn.Conv1d(2, 2, 3, bias=False)",
     "torch.nn.Conv1d(2, 2, 3, padding=2, padding_mode='reflect', bias=False)",
     {.crop_begin = {2}, .crop_end = {2}},
     {.batch = 2, .channels = 2, .axes = 1, .extent = {8}},
     ""},
    {"torch.nn.Conv1d(2, 2, 1, padding=3, bias=False)",
     "torch.nn.Conv1d(2, 2, 1, bias=False)",
     {.padding_mode = CBN_PAD_REFLECT, .pad_begin = {3}, .pad_end = {3}},
     {.batch = 2, .channels = 2, .axes = 1, .extent = {8}},
     NULL},
    {"torch.nn.Conv1d(2, 2, 3, stride=2, bias=False)",
     "torch.nn.Conv1d(2, 2, 3, bias=False)",
     {0},
     {.batch = 2, .channels = 2, .axes = 1, .extent = {3}},
     "W <= 3"}, /* a single window; shorter ones both refuse */
};

/* Do both give the same at these extents, run on integers? -1 where the first refuses. */
static int run_at(const row *r, const cbn_layer *a, const cbn_layer *b, const cbn_situation *s) {
  const cbn_run_plan run = {.source = a, .target = b, .around = &r->around, .at = *s, .seed = 3};
  const cbn_situation inner = cbn_surrounded_situation(&r->around, s);
  cbn_run_result result;
  cbn_plan plan;
  cbn_rejection rejection;
  cbn_error error = {""};
  if (!cbn_layer_plan(a, s, &plan, &rejection)) return -1;
  if (!cbn_layer_plan(b, &inner, &plan, &rejection)) return 0;
  if (!cbn_run_both(&run, &result, &error)) fail_msg("%s", error.text);
  return !result.shapes_differ && result.unequal == 0;
}

static void conditions_are_those_of_the_formulas(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const row *r = &rows[i];
    const cbn_layer a = read(r->a), b = read(r->b);
    cbn_comparison c;
    char text[256];
    cbn_compare(&a, &b, &r->around, &r->at, CBN_BOTH_MODES, &c);
    assert_int_equal(c.agreement == CBN_AGREE_NEVER, r->condition == NULL);
    if (r->condition == NULL) continue;
    cbn_predicates_print(&c, r->at.axes, text, sizeof text);
    assert_string_equal(text, r->condition);
    cbn_situation s = r->at;
    for (s.extent[0] = 1; s.extent[0] <= 25; s.extent[0]++)
      for (s.extent[1] = 1; s.extent[1] <= (s.axes == 2 ? 12 : 1); s.extent[1]++) {
        const bool holds =
            cbn_predicate_holds(&c.extent[0], s.extent[0]) && cbn_predicate_holds(&c.extent[1], s.extent[1]);
        const int same = run_at(r, &a, &b, &s);
        if (same >= 0 && same != holds) fail_msg("%s and %s at %d, %d", r->a, r->b, (int)s.extent[0], (int)s.extent[1]);
      }
  }
}

static void modes_are_told_apart(void **state) {
  (void)state;
  const cbn_situation at = {.batch = 2, .channels = 3, .axes = 2, .extent = {4, 5}};
  const cbn_surroundings nothing = {0};
  const cbn_layer layer = read("torch.nn.BatchNorm2d(3)"),
                  other = read("keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-05)");
  const cbn_layer untracked = read("torch.nn.BatchNorm2d(3, track_running_stats=False)");
  const cbn_layer batch = read("mindspore.nn.BatchNorm2d(3, use_batch_statistics=True)");
  cbn_comparison c;
  cbn_compare(&layer, &other, &nothing, &at, CBN_BOTH_MODES, &c);
  assert_int_equal(c.agreement, CBN_AGREE_EVALUATION);
  assert_true(c.where.training);
  cbn_compare(&layer, &other, &nothing, &at, CBN_EVALUATION, &c);
  assert_int_equal(c.agreement, CBN_AGREE_ALWAYS);
  cbn_compare(&layer, &other, &nothing, &at, CBN_TRAINING, &c);
  assert_int_equal(c.agreement, CBN_AGREE_NEVER);
  /* statistics that are kept and never read, for one that has none */
  cbn_compare(&untracked, &batch, &nothing, &at, CBN_BOTH_MODES, &c);
  assert_int_equal(c.agreement, CBN_AGREE_ALWAYS);
  assert_true(c.constants.needed[CBN_ROLE_RUNNING_VAR]);
  cbn_compare(&batch, &untracked, &nothing, &at, CBN_BOTH_MODES, &c);
  assert_int_equal(c.agreement, CBN_AGREE_NEVER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_not_seen),
      cmocka_unit_test(a_bias_of_zeros_is_none),
      cmocka_unit_test(numbers_kept_in_f32),
      cmocka_unit_test(what_cannot_be_said_is_not_said),
      cmocka_unit_test(conditions_are_those_of_the_formulas),
      cmocka_unit_test(modes_are_told_apart),
  };
  return cmocka_run_group_tests(tests, open_arena, close_arena);
}
