/* Writing a layer back: whatever a dialect makes of a layer's parameters, the framework's file finds parameters again
 * that mean the same, for every valid case and for drawn layers of every operator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "chance.h"
#include "dialects/layout.h"
#include "harness/cases.h"
#include "harness/solution.h"
#include "migration/call_text.h"
#include "migration/framework.h"
#include "migration/proposal.h"
#include "migration/signature.h"

enum { ARENA_BYTES = 1 << 20, MOST_ATTEMPTS = 64, FIRST_TENSOR = CBN_ROLE_WEIGHT, LAST_TENSOR = CBN_ROLE_RUNNING_VAR };

/* ---------------------------------------------------------------------------------------- layers asked in all modes */

/* The wish that a layer is, at one input; false where it accepts neither mode. */
static bool ask(const cbn_layer *layer, const cbn_situation *at, cbn_wish *wish) {
  cbn_situation s = *at;
  cbn_rejection ignored;
  *wish = (cbn_wish){.input_type = at->input_type, .layer_type = at->layer_type};
  s.training = false;
  s.trained = 0;
  wish->evaluates = cbn_layer_plan(layer, &s, &wish->evaluation, &ignored);
  s.training = wish->trains = true;
  for (; s.trained < CBN_WISHED_STEPS; s.trained++)
    wish->trains = wish->trains && cbn_layer_plan(layer, &s, &wish->training[s.trained], &ignored);
  return wish->evaluates || wish->trains;
}

/* The same but for orders of axes. A tensor of random values may begin with any. */
static bool same_plan(const cbn_plan *wished, const cbn_plan *plan) {
  const bool conv = wished->kind == CBN_OPERATOR_CONV;
  if (plan->kind != wished->kind || plan->features != wished->features || plan->unbatched != wished->unbatched)
    return false;
  if (conv ? memcmp(&wished->conv, &plan->conv, sizeof plan->conv) != 0
           : memcmp(&wished->batchnorm, &plan->batchnorm, sizeof plan->batchnorm) != 0)
    return false;
  for (int role = FIRST_TENSOR; role <= LAST_TENSOR; role++) {
    const bool has =
        plan->has_initial[role] && memcmp(&plan->initial[role], &wished->initial[role], sizeof(double)) == 0;
    if (wished->has_initial[role] && !has) return false;
  }
  return true;
}

static bool same_wish(const cbn_wish *a, const cbn_wish *b) {
  if (a->trains != b->trains || a->evaluates != b->evaluates) return false;
  if (a->evaluates && !same_plan(&a->evaluation, &b->evaluation)) return false;
  for (int k = 0; k < CBN_WISHED_STEPS && a->trains; k++)
    if (!same_plan(&a->training[k], &b->training[k])) return false;
  return true;
}

/* The attempt-th layer of that operator, its tensors of the shapes that the wish has; those of `like`. */
static bool propose(const cbn_dialect *dialect, const cbn_dialect_operator *operator, const cbn_wish * wish,
                    const bool like[CBN_ROLE_COUNT], int attempt, cbn_arena *arena, cbn_layer *layer) {
  const cbn_framework *framework = cbn_framework_of(dialect);
  cbn_plan plan = *cbn_wished_plan(wish);
  cbn_writer *writer = cbn_writer_create(arena);
  assert_non_null(writer);
  if (!framework->write(operator, wish, attempt, writer)) return false;
  *layer = (cbn_layer){.dialect = dialect, .operator= operator, .params = cbn_writer_finish(writer)};
  assert_non_null(layer->params);
  const bool conv = plan.kind == CBN_OPERATOR_CONV;
  framework->orders(operator, layer->params, conv ? plan.conv.spatial_rank : plan.batchnorm.spatial_rank, &plan);
  for (int role = FIRST_TENSOR; role <= LAST_TENSOR && framework->takes_tensors(operator); role++) {
    if (!like[role]) continue;
    layer->tensor[role].rank = conv ? cbn_plan_native_extents(&plan, role, layer->tensor[role].extent) : 1;
    if (!conv) layer->tensor[role].extent[0] = plan.batchnorm.channels;
  }
  return true;
}

/* Is there an attempt, in the layer's own operator, that is the same? */
static bool comes_back(const cbn_layer *layer, const cbn_situation *at) {
  bool like[CBN_ROLE_COUNT], found = false;
  cbn_wish wish, again;
  if (!ask(layer, at, &wish)) return true;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) like[role] = layer->tensor[role].rank > 0;
  for (int attempt = 0; !found && attempt < MOST_ATTEMPTS; attempt++) {
    cbn_layer written;
    cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
    assert_non_null(arena);
    const bool proposed = propose(layer->dialect, layer->operator, & wish, like, attempt, arena, &written);
    found = proposed && ask(&written, at, &again) && same_wish(&wish, &again);
    cbn_arena_destroy(arena);
    if (!proposed) break;
  }
  return found;
}

/* ------------------------------------------------------------------------------------------------------------ cases */

/* Valid cases whose parameters say what no writer here says. */
static const struct {
  const char *id, *reason;
} exceptions[] = {
    {"tensorflow/convolution/dilations-float",
     "without a dilation the function takes pairs for padding only if one is written as 1.5"},
    {"pytorch/conv1d/empty-batch-dilation-zero",
     "a dilation of 0, of an empty batch alone: its plan has a padding instead"},
};

static bool is_exception(const char *id) {
  for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
    if (strcmp(exceptions[i].id, id) == 0) return true;
  return false;
}

static void print_problem(void *context, const char *line) {
  (void)context;
  print_error("%s\n", line);
}

static cbn_layer layer_of(const cbn_case *golden, const cbn_step *step) {
  static const cbn_value none = {.kind = CBN_MAP};
  cbn_layer layer = {
      .dialect = golden->dialect, .operator= golden->operator, .params = step->params != NULL ? step->params : & none };
  for (int role = FIRST_TENSOR; role <= LAST_TENSOR; role++)
    if (golden->tensor[role] != NULL && golden->tensor[role]->has_shape)
      layer.tensor[role] = golden->tensor[role]->shape;
  return layer;
}

static int place(const cbn_axis_order *order, int32_t a) { return order->given ? order->place[a] : a; }

static void check_orders(const cbn_case *golden, const cbn_layer *layer, const cbn_plan *plan) {
  const int32_t axes = plan->kind == CBN_OPERATOR_CONV ? plan->conv.spatial_rank : plan->batchnorm.spatial_rank;
  cbn_plan said = {.kind = plan->kind};
  cbn_framework_of(layer->dialect)->orders(layer->operator, layer->params, axes, &said);
  bool same = said.depthwise_weight == plan->depthwise_weight;
  for (int32_t a = 0; a < axes + 2 && !plan->unbatched; a++)
    same = same && place(&said.input_order, a) == place(&plan->input_order, a) &&
           place(&said.output_order, a) == place(&plan->output_order, a) &&
           (plan->kind == CBN_OPERATOR_BATCHNORM || place(&said.weight_order, a) == place(&plan->weight_order, a));
  if (!same) fail_msg("%s: the framework says another order of axes than the plan", golden->id);
}

static void every_case_comes_back(void **state) {
  (void)state;
  cbn_case_set *set = cbn_cases_create();
  assert_non_null(set);
  assert_int_equal(cbn_cases_load(set, "cases", print_problem, NULL), 0);
  size_t accepted = 0, lost = 0;
  for (size_t i = 0; i < cbn_cases_count(set); i++) {
    const cbn_case *golden = cbn_cases_at(set, i);
    bool back = true;
    for (size_t k = 0; k < golden->step_count; k++) {
      const cbn_step *step = &golden->steps[k];
      const cbn_layer layer = layer_of(golden, step);
      cbn_solved_step solved = {0};
      cbn_situation at;
      if (!step->input->has_shape || !cbn_step_plan(golden, step, 0, &step->input->shape, &solved)) continue;
      check_orders(golden, &layer, &solved.plan);
      assert_true(cbn_layer_situation(&layer, &step->input->shape, &at));
      at.input_type = solved.input_type;
      at.layer_type = solved.layer_type;
      accepted++;
      back = back && comes_back(&layer, &at);
    }
    if (back == !is_exception(golden->id)) continue;
    char text[512];
    const cbn_layer layer = layer_of(golden, &golden->steps[0]);
    cbn_call_print(&layer, false, text, sizeof text);
    print_error("%s %s: %s\n", golden->id, back ? "is an exception no longer" : "does not come back", text);
    lost++;
  }
  print_message("%zu calls of %zu cases\n", accepted, cbn_cases_count(set));
  assert_int_equal(lost, 0);
  assert_true(accepted > 1000);
  cbn_cases_destroy(set);
}

/* ----------------------------------------------------------------------------------------------------- drawn layers */

static int64_t draw_small(chance *r, int64_t low, int64_t high) {
  return next(r) % 3 == 0 ? between(r, low, high) : low;
}

static void draw_conv(int32_t axes, bool transposed, cbn_plan *plan, chance *r) {
  cbn_conv *c = &plan->conv;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(axes)};
  c->transposed = transposed;
  c->batch = between(r, 1, 3);
  const bool plain = next(r) % 2 == 0; /* some frameworks refuse much */
  c->groups = plain ? 1 : draw_small(r, 1, 3);
  c->in_channels = c->groups * draw_small(r, 1, 3);
  c->out_channels = (next(r) % 2 == 0 ? c->in_channels : c->groups) * between(r, 1, 3);
  c->has_bias = next(r) % 2 == 0;
  c->padding_mode = next(r) % 4 == 0 ? (int32_t)between(r, 0, 3) : CBN_PAD_ZEROS;
  const bool uneven = next(r) % 2 == 0;
  for (int32_t a = 0; a < axes; a++) {
    c->input[a] = between(r, 3, 12);
    c->kernel[a] = between(r, 1, 4);
    c->stride[a] = draw_small(r, 1, 3);
    c->dilation[a] = plain ? 1 : draw_small(r, 1, 3);
    c->pad_begin[a] = draw_small(r, 0, 3);
    c->pad_end[a] = uneven ? draw_small(r, 0, 3) : c->pad_begin[a];
    c->output_padding[a] = transposed && !plain ? draw_small(r, 0, 2) : 0;
  }
}

static double draw_momentum(chance *r) {
  static const double usual[] = {0.1, 0.01, 0.05, 1, 0, 0.5, 0.001};
  return next(r) % 3 == 0 ? unit(r) : usual[next(r) % (sizeof usual / sizeof usual[0])];
}

static void draw_norm(int32_t axes, cbn_wish *wish, chance *r) {
  static const double usual[] = {1e-5, 1e-3, 1e-12, 0.25};
  const double new_weight = draw_momentum(r), epsilon = next(r) % 3 == 0 ? unit(r) : usual[next(r) % 4];
  const bool cumulative = next(r) % 8 == 0, always = next(r) % 4 == 0, never = next(r) % 4 == 0;
  cbn_plan plan = {.kind = CBN_OPERATOR_BATCHNORM, .batchnorm = cbn_batchnorm_make(axes)};
  cbn_batchnorm *b = &plan.batchnorm;
  b->batch = between(r, 2, 4);
  b->channels = plan.features = between(r, 1, 4);
  for (int32_t a = 0; a < axes; a++) b->extent[a] = between(r, 1, 6);
  b->epsilon = epsilon;
  b->running_variance = next(r) % 2 == 0;
  b->has_weight = next(r) % 4 != 0;
  b->has_bias = next(r) % 4 != 0;
  for (int role = FIRST_TENSOR; role <= LAST_TENSOR && next(r) % 2 == 0; role++) {
    plan.has_initial[role] = true;
    plan.initial[role] = next(r) % 2 == 0;
  }
  wish->evaluation = plan;
  wish->evaluation.batchnorm.statistics = always ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  wish->evaluation.batchnorm.new_weight = cumulative ? 1 : new_weight;
  for (int k = 0; k < CBN_WISHED_STEPS; k++) {
    wish->training[k] = plan;
    wish->training[k].batchnorm.statistics = never ? CBN_STATISTICS_RUNNING : CBN_STATISTICS_BATCH;
    wish->training[k].batchnorm.update_running = !never;
    wish->training[k].batchnorm.new_weight = cumulative ? 1 / (double)(k + 1) : new_weight;
  }
}

static void draw_wish(const cbn_dialect_operator *operator, cbn_wish * wish, chance *r) {
  const bool any = operator->spatial_rank == CBN_MAX_SPATIAL; /* most that take three take fewer */
  const int32_t axes = any && next(r) % 2 == 0 ? (int32_t)between(r, 1, 3) : operator->spatial_rank;
  *wish = (cbn_wish){.trains = true, .evaluates = true};
  if (operator->kind == CBN_OPERATOR_BATCHNORM) {
    draw_norm(axes, wish, r);
    return;
  }
  draw_conv(axes, operator->transposed, &wish->evaluation, r);
  for (int k = 0; k < CBN_WISHED_STEPS; k++) wish->training[k] = wish->evaluation;
}

static cbn_situation situation_of(const cbn_plan *plan) {
  int64_t extent[CBN_MAX_RANK];
  cbn_situation s = {.input_type = CBN_F32, .layer_type = CBN_F32};
  s.axes = cbn_plan_extents(plan, CBN_ROLE_INPUT, extent) - 2;
  s.batch = extent[0];
  s.channels = extent[1];
  memcpy(s.extent, extent + 2, (size_t)s.axes * sizeof extent[0]);
  return s;
}

/* A wish drawn at random is written in every way; each layer that the dialect accepts then comes back. */
static int check_drawn(const cbn_dialect *dialect, const cbn_dialect_operator *operator, chance * r) {
  bool like[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = true, [CBN_ROLE_RUNNING_MEAN] = true, [CBN_ROLE_RUNNING_VAR] = true};
  cbn_wish wish, accepted;
  int count = 0;
  draw_wish(operator, & wish, r);
  like[CBN_ROLE_RUNNING_MEAN] = like[CBN_ROLE_RUNNING_VAR] = operator->kind == CBN_OPERATOR_BATCHNORM;
  like[CBN_ROLE_BIAS] = operator->kind == CBN_OPERATOR_BATCHNORM || next(r) % 2 == 0;
  const cbn_situation at = situation_of(&wish.evaluation);
  for (int attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    cbn_layer layer;
    cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
    assert_non_null(arena);
    const bool proposed = propose(dialect, operator, & wish, like, attempt, arena, &layer);
    const bool asked = proposed && ask(&layer, &at, &accepted);
    count += asked;
    if (asked && !comes_back(&layer, &at)) {
      char text[512];
      cbn_call_print(&layer, false, text, sizeof text);
      fail_msg("does not come back: %s", text);
    }
    cbn_arena_destroy(arena);
    if (!proposed) break;
  }
  return count;
}

static void drawn_layers_come_back(void **state) {
  enum { LEAST_ACCEPTED = 20 };
  (void)state;
  int draws = 1000;
  chance r = {seeds_from(1, &draws)};
  for (const cbn_dialect *const *dialect = cbn_dialects(); *dialect != NULL; dialect++)
    for (size_t i = 0; i < (*dialect)->operator_count; i++) {
      int count = 0;
      for (int k = 0; k < draws; k++) count += check_drawn(*dialect, &(*dialect)->operators[i], &r);
      if (draws > 1 && count < LEAST_ACCEPTED)
        fail_msg("%s %s accepts %d of %d drawn layers only", (*dialect)->name, (*dialect)->operators[i].name, count,
                 draws);
    }
}

/* -------------------------------------------------------------------------------------------------------- the lists */

static void every_dialect_has_a_framework(void **state) {
  (void)state;
  for (const cbn_dialect *const *dialect = cbn_dialects(); *dialect != NULL; dialect++) {
    const cbn_framework *framework = cbn_framework_of(*dialect);
    if (framework == NULL) fail_msg("the dialect %s is not in CBN_FRAMEWORKS", (*dialect)->name);
    for (size_t i = 0; i < (*dialect)->operator_count; i++) {
      const cbn_dialect_operator *operator= &(*dialect)->operators[i];
      assert_non_null(framework->tensor_name(operator, CBN_ROLE_WEIGHT));
      assert_int_equal(framework->tensor_name(operator, CBN_ROLE_INPUT) != NULL, framework->takes_tensors(operator));
      assert_int_equal(
          framework->tensor_name(operator, CBN_ROLE_RUNNING_VAR) != NULL, operator->kind == CBN_OPERATOR_BATCHNORM);
      assert_null(framework->tensor_name(operator, CBN_ROLE_OUTPUT));
    }
  }
}

static void every_signature_is_read(void **state) {
  (void)state;
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  for (const cbn_dialect *const *dialect = cbn_dialects(); *dialect != NULL; dialect++)
    for (size_t i = 0; i < (*dialect)->operator_count; i++) {
      const cbn_dialect_operator *operator= &(*dialect)->operators[i];
      cbn_signature signature;
      if (!cbn_signature_read(operator, arena, &signature))
        fail_msg("%s: this signature is not read: %s", operator->name, operator->signature);
      assert_true(signature.count > 0);
      bool optional = false;
      for (int k = 0; k < signature.count; k++) { /* as Python wants it, required ones come first */
        const cbn_parameter_info *info = &signature.parameter[k];
        assert_false(optional && info->required && !info->by_keyword);
        optional = !info->required;
        assert_int_equal(info->required, info->fallback_text[0] == '\0');
        assert_ptr_equal(cbn_signature_find(&signature, info->name), info);
        const bool words = strncmp(info->fallback_text, "of ", 3) == 0 || strncmp(info->fallback_text, "by ", 3) == 0 ||
                           strcmp(info->name, "param_dtype") == 0; /* the name of a type */
        assert_int_equal(info->fallback == NULL, info->required || words);
      }
    }
  cbn_arena_destroy(arena);
}

static void a_signature_is_taken_apart(void **state) {
  (void)state;
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  const cbn_dialect_operator made = {.name = "f", .signature = "(a, b=(1, 'x,y)'), *, c=None, d=of W)"};
  cbn_signature s;
  assert_true(cbn_signature_read(&made, arena, &s));
  assert_int_equal(s.count, 4);
  assert_true(s.parameter[0].required);
  assert_string_equal(s.parameter[1].fallback_text, "(1, 'x,y)')");
  assert_int_equal(s.parameter[1].fallback->as.list.count, 2);
  assert_true(cbn_value_is(s.parameter[1].fallback->as.list.items[1], "x,y)"));
  assert_false(s.parameter[1].by_keyword);
  assert_true(s.parameter[2].by_keyword);
  assert_int_equal(s.parameter[2].fallback->kind, CBN_NULL);
  assert_null(s.parameter[3].fallback);
  assert_string_equal(s.parameter[3].fallback_text, "of W");
  const char *const wrong[] = {"", "a, b", "(a", "(a='x", "(a, =1)", "(a)b"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    const cbn_dialect_operator bad = {.name = "f", .signature = wrong[i]};
    assert_false(cbn_signature_read(&bad, arena, &s));
  }
  cbn_arena_destroy(arena);
}

static void names_are_near(void **state) {
  (void)state;
  assert_int_equal(cbn_name_distance("stride", "stride"), 0);
  assert_int_equal(cbn_name_distance("stride", "strides"), 1);
  assert_int_equal(cbn_name_distance("kernal_size", "kernel_size"), 1);
  assert_int_equal(cbn_name_distance("nn.conv2D", "nn.Conv2d"), 0);
  assert_true(cbn_name_distance("stride", "padding") == SIZE_MAX);
  assert_true(cbn_name_distance("", "padding") == SIZE_MAX);
}

static void modules_are_known(void **state) {
  static const struct {
    const char *text, *dialect;
  } rows[] = {{"torch", "pytorch"},
              {"torch.nn.Conv2d(1)", "pytorch"},
              {"F.conv2d", "pytorch"},
              {"mindspore.nn", "mindspore"},
              {"ms.nn.Conv2d", "mindspore"},
              {"tf.nn.conv2d", "tensorflow"},
              {"tf.keras.layers", "keras"},
              {"tensorflow.keras.layers.Conv2D", "keras"},
              {"tensorflow.nn.conv2d", "tensorflow"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const cbn_framework *framework = cbn_framework_by_module(rows[i].text);
    if (framework == NULL) fail_msg("%s is of no framework", rows[i].text);
    assert_string_equal(framework->dialect->name, rows[i].dialect);
  }
  assert_null(cbn_framework_by_module("torchvision.ops"));
  assert_null(cbn_framework_by_module("nn.Conv2d"));
  assert_null(cbn_framework_by_module(""));
}

/* -------------------------------------------------------------------------------------------- proposals, to be read */

/* A layer at an input; the operator that it is written as; all proposals, a line each. */
static void proposals_are_as_a_person_writes_them(void **state) {
  static const struct {
    const char *source;
    cbn_shape input, weight;
    const char *dialect, *operator, * texts;
  } rows[] = {
      {"mindspore.nn.BatchNorm2d(3)",
       {4, {2, 3, 4, 5}},
       {0},
       "pytorch",
       "nn.BatchNorm2d",
       "torch.nn.BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
       "torch.nn.BatchNorm2d(3, eps=1e-05, momentum=0.09999999999999998, affine=True, track_running_stats=True)\n"
       "torch.nn.BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=False)\n"
       "torch.nn.BatchNorm2d(3, eps=1e-05, momentum=0.09999999999999998, affine=True, track_running_stats=False)\n"},
      {"torch.nn.BatchNorm2d(3, momentum=0.1, affine=False)",
       {4, {2, 3, 4, 5}},
       {0},
       "mindspore",
       "nn.BatchNorm2d",
       "mindspore.nn.BatchNorm2d(3, eps=1e-05, momentum=0.9, affine=False, use_batch_statistics=None)\n"
       "mindspore.nn.BatchNorm2d(3, eps=1e-05, momentum=0.9, affine=False, use_batch_statistics=None)\n"},
      {"torch.nn.BatchNorm2d(3, eps=1e-3)",
       {4, {2, 3, 4, 5}},
       {0},
       "onnx",
       "BatchNormalization",
       "onnx.helper.make_node('BatchNormalization', inputs=['X'], outputs=['Y'], epsilon=0.001, momentum=0.9, "
       "training_mode=0)\n"
       "onnx.helper.make_node('BatchNormalization', inputs=['X'], outputs=['Y', 'running_mean', 'running_var'], "
       "epsilon=0.001, momentum=0.9, training_mode=1)\n"
       "onnx.helper.make_node('BatchNormalization', inputs=['X'], outputs=['Y'], epsilon=0.001, momentum=0.9)  # opset "
       "13\n"},
      {"tf.compat.v1.nn.fused_batch_norm(x, g, b, m, v, is_training=False)",
       {4, {2, 4, 5, 3}},
       {1, {3}},
       "canonical",
       "batchnorm",
       "convbn.batchnorm(epsilon=0.001, new_weight=1.0, statistics='running', update_running=False, "
       "running_variance='unbiased', "
       "weight=True, bias=True, direction='forward')\n"
       "convbn.batchnorm(epsilon=0.0010000000474974513, new_weight=1.0, statistics='running', update_running=False, "
       "running_variance='unbiased', weight=True, bias=True, direction='forward')\n"},
      {"torch.nn.BatchNorm1d(3, momentum=None)",
       {3, {2, 3, 4}},
       {0},
       "pytorch",
       "nn.BatchNorm1d",
       "torch.nn.BatchNorm1d(3, eps=1e-05, momentum=None, affine=True, track_running_stats=True)\n"
       "torch.nn.BatchNorm1d(3, eps=1e-05, momentum=None, affine=True, track_running_stats=True)\n"
       "torch.nn.BatchNorm1d(3, eps=1e-05, momentum=None, affine=True, track_running_stats=False)\n"
       "torch.nn.BatchNorm1d(3, eps=1e-05, momentum=None, affine=True, track_running_stats=False)\n"},
      {"torch.nn.BatchNorm2d(3, eps=1e-5)",
       {4, {2, 3, 4, 5}},
       {0},
       "keras",
       "layers.BatchNormalization",
       "keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-05, center=True, scale=True)\n"
       "keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-05, center=True, scale=True)  # backend 'jax'\n"
       "keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-05, center=True, scale=True)\n"
       "keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-05, center=True, scale=True)  # backend 'jax'\n"},
      {"tf.nn.conv2d(x, w, 2, 'SAME')",
       {4, {1, 6, 7, 4}},
       {4, {3, 3, 2, 8}},
       "pytorch",
       "nn.Conv2d",
       "torch.nn.Conv2d(4, 8, 3, stride=2, padding='same', dilation=1, groups=2, bias=False, padding_mode='zeros')\n"
       "torch.nn.Conv2d(4, 8, 3, stride=2, padding='valid', dilation=1, groups=2, bias=False, padding_mode='zeros')\n"
       "torch.nn.Conv2d(4, 8, 3, stride=2, padding=(0, 1), dilation=1, groups=2, bias=False, padding_mode='zeros')\n"
       "torch.nn.Conv2d(4, 8, 3, stride=2, padding=0, dilation=1, groups=2, bias=False, padding_mode='zeros')\n"},
      {"tf.nn.conv2d(x, w, 2, 'SAME')",
       {4, {1, 6, 7, 4}},
       {4, {3, 3, 2, 8}},
       "mindspore",
       "nn.Conv2d",
       "mindspore.nn.Conv2d(4, 8, 3, stride=2, pad_mode='same', dilation=1, group=2, has_bias=False)\n"
       "mindspore.nn.Conv2d(4, 8, 3, stride=2, pad_mode='valid', dilation=1, group=2, has_bias=False)\n"
       "mindspore.nn.Conv2d(4, 8, 3, stride=2, pad_mode='pad', padding=(0, 1, 1, 1), dilation=1, group=2, "
       "has_bias=False)\n"
       "mindspore.nn.Conv2d(4, 8, 3, stride=2, pad_mode='pad', padding=(0, 0, 1, 1), dilation=1, group=2, "
       "has_bias=False)\n"
       "mindspore.nn.Conv2d(4, 8, 3, stride=2, pad_mode='pad', padding=0, dilation=1, group=2, has_bias=False)\n"},
      {"make_node('ConvTranspose', ['X', 'W'], ['Y'], strides=[2], pads=[1, 0])",
       {3, {1, 4, 5}},
       {3, {4, 2, 3}},
       "pytorch",
       "nn.ConvTranspose1d",
       "torch.nn.ConvTranspose1d(4, 2, 3, stride=2, padding=1, output_padding=1, groups=1, bias=False, dilation=1)\n"
       "torch.nn.ConvTranspose1d(4, 2, 3, stride=2, padding=0, output_padding=0, groups=1, bias=False, dilation=1)\n"
       "torch.nn.ConvTranspose1d(4, 2, 3, stride=2, padding=0, output_padding=0, groups=1, bias=False, dilation=1)\n"},
      {"torch.nn.ConvTranspose1d(4, 2, 3, stride=2, padding=1)",
       {3, {1, 4, 5}},
       {0},
       "jax",
       "lax.conv_transpose",
       "jax.lax.conv_transpose(lhs, rhs, (2,), 'SAME', rhs_dilation=(1,), transpose_kernel=True)\n"
       "jax.lax.conv_transpose(lhs, rhs, (2,), 'VALID', rhs_dilation=(1,), transpose_kernel=True)\n"
       "jax.lax.conv_transpose(lhs, rhs, (2,), ((1, 1),), rhs_dilation=(1,), transpose_kernel=True)\n"
       "jax.lax.conv_transpose(lhs, rhs, (2,), ((0, 0),), rhs_dilation=(1,), transpose_kernel=True)\n"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
    const cbn_dialect *dialect = cbn_dialect_by_name(rows[i].dialect);
    const bool like[CBN_ROLE_COUNT] = {false};
    char texts[4096] = "";
    cbn_layer source, target;
    cbn_situation at;
    cbn_wish wish;
    cbn_error error;
    if (!cbn_call_read(rows[i].source, NULL, arena, &source, &error)) fail_msg("%s: %s", rows[i].source, error.text);
    for (int role = FIRST_TENSOR; role <= LAST_TENSOR; role++)
      if (source.tensor[role].rank != 0) source.tensor[role] = rows[i].weight;
    assert_true(cbn_layer_situation(&source, &rows[i].input, &at));
    if (!ask(&source, &at, &wish)) fail_msg("%s accepts nothing", rows[i].source);
    const cbn_dialect_operator *operator= cbn_dialect_find(dialect, rows[i].operator);
    for (int attempt = 0; propose(dialect, operator, & wish, like, attempt, arena, &target); attempt++) {
      const size_t length = strlen(texts);
      cbn_call_print(&target, false, texts + length, sizeof texts - length - 1);
      strcat(texts, "\n");
    }
    if (strcmp(texts, rows[i].texts) != 0) fail_msg("%s as %s:\n%s", rows[i].source, rows[i].operator, texts);
    cbn_arena_destroy(arena);
  }
}

/* ---------------------------------------------------------------------------------------------------------- numbers */

static void numbers_are_as_a_person_writes_them(void **state) {
  (void)state;
  assert_true(cbn_short_real(0.1) == 0.1);
  assert_true(cbn_short_real(1 - 0.9) == 0.1);
  assert_true(cbn_short_real((double)0.9f) == 0.9);
  assert_true(cbn_short_real((double)1e-5f) == 1e-5);
  assert_true(cbn_short_real(1e-300) == 1e-300); /* 0 in f32, and is not 0 */
  assert_true(cbn_short_real(0) == 0);
  assert_true(cbn_short_real(1e300) == 1e300);
  assert_true(cbn_old_weight(0.1) == 0.9);
  assert_true(cbn_old_weight(1 - 0.99) == 0.99);
  assert_true(cbn_old_weight(1) == 0);
  chance r = {7};
  for (int i = 0; i < 100000; i++) {
    const double momentum = unit(&r), new_weight = 1 - momentum;
    assert_true(1 - cbn_old_weight(new_weight) == new_weight);
    assert_true((float)cbn_short_real(momentum) == (float)momentum);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_dialect_has_a_framework),
      cmocka_unit_test(every_signature_is_read),
      cmocka_unit_test(a_signature_is_taken_apart),
      cmocka_unit_test(names_are_near),
      cmocka_unit_test(modules_are_known),
      cmocka_unit_test(proposals_are_as_a_person_writes_them),
      cmocka_unit_test(numbers_are_as_a_person_writes_them),
      cmocka_unit_test(every_case_comes_back),
      cmocka_unit_test(drawn_layers_come_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
