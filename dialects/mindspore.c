/* MindSpore: mindspore.nn.Conv2d and mindspore.nn.BatchNorm2d.
 *
 * Sources: the documentation of both layers, version 2.10; where it is silent or wrong, what the wheel does on a CPU
 * (docs/framework-rules.md, in whose order the checks stand). */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "dialects/parameters.h"

#define VALUE "ValueError"
#define TYPE "TypeError"
#define RUNTIME "RuntimeError"

enum { SPATIAL = 2 };

/* An int in the framework's strict sense: no bool. */
static bool strict_int(const cbn_value *params, const char *name, int64_t fallback, int64_t *result) {
  *result = fallback;
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || cbn_as_integer(value, false, result);
}

static bool reject_type(const cbn_value *params, const char *name, const char *wanted, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, TYPE, "%s must be %s, got %s", name, wanted,
                    cbn_printed_value(cbn_parameter(params, name)).text);
}

static bool truth_or(const cbn_value *params, const char *name, bool fallback, bool *result) {
  const cbn_value *value = cbn_parameter(params, name);
  *result = value == NULL ? fallback : value->kind == CBN_BOOLEAN && value->as.boolean;
  return value == NULL || value->kind == CBN_BOOLEAN;
}

/* ---------------------------------------------------------------------------------------------- initializers */

enum initializer { CONSTANT, RANDOM, NEEDS_AXES, NEEDS_ARGUMENT };

/* The initializers by name, compared without case. */
static const struct {
  const char *name;
  enum initializer kind;
  double value;
} initializers[] = {
    {"ones", CONSTANT, 1},
    {"one", CONSTANT, 1},
    {"zeros", CONSTANT, 0},
    {"zero", CONSTANT, 0},
    {"normal", RANDOM, 0},
    {"uniform", RANDOM, 0},
    {"truncatednormal", RANDOM, 0},
    {"xavieruniform", NEEDS_AXES, 0},
    {"xavier_uniform", NEEDS_AXES, 0},
    {"xaviernormal", NEEDS_AXES, 0},
    {"xavier_normal", NEEDS_AXES, 0},
    {"heuniform", NEEDS_AXES, 0},
    {"he_uniform", NEEDS_AXES, 0},
    {"henormal", NEEDS_AXES, 0},
    {"he_normal", NEEDS_AXES, 0},
    {"variancescaling", NEEDS_AXES, 0},
    {"orthogonal", NEEDS_AXES, 0},
    {"dirac", NEEDS_AXES, 0},
    {"sparse", NEEDS_ARGUMENT, 0},
};

/* Reads an initializer: a number or a constant's name gives the tensor's value, the random ones leave it to the
 * case. */
static bool read_initializer(const cbn_value *params, const char *name, bool axes, int role, cbn_plan *plan,
                             cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value == NULL) return true;
  if (cbn_as_number(value, &plan->initial[role])) return plan->has_initial[role] = true;
  if (value->kind != CBN_STRING) return reject_type(params, name, "a number or an initializer's name", r);
  for (size_t i = 0; i < sizeof initializers / sizeof initializers[0]; i++) {
    const enum initializer kind = initializers[i].kind;
    if (strcasecmp(value->as.string.text, initializers[i].name) != 0 || (kind == NEEDS_AXES && !axes)) continue;
    if (kind == NEEDS_ARGUMENT) return reject_type(params, name, "an initializer that needs no argument", r);
    plan->has_initial[role] = kind == CONSTANT;
    plan->initial[role] = initializers[i].value;
    return true;
  }
  return cbn_reject(r, CBN_RULE_INITIALIZER_UNKNOWN, VALUE, "%s: there is no initializer %s here", name,
                    cbn_printed_value(value).text);
}

/* ------------------------------------------------------------------------------------------------- nn.Conv2d */

static const char *const conv_names[] = {"in_channels", "out_channels", "kernel_size", "stride",   "pad_mode",
                                         "padding",     "dilation",     "group",       "has_bias", "weight_init",
                                         "bias_init",   "data_format",  "dtype",       NULL};

enum pad_mode { SAME, VALID, PAD };

typedef struct layer {
  const cbn_value *params;
  enum pad_mode pad_mode;
  int64_t pad[2 * SPATIAL]; /* top, bottom, left, right */
  int64_t in_channels, out_channels;
} layer;

/* An int, or a tuple of two. */
static bool read_pair(const cbn_value *params, const char *name, int64_t values[SPATIAL], cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value == NULL) return true;
  const cbn_entries entries = cbn_as_entries(value);
  for (int i = 0; i < entries.count; i++) {
    int64_t entry;
    if (!cbn_as_integer(entries.entry[i], false, &entry))
      return reject_type(params, name, "an int or a tuple of ints", r);
    if (i < SPATIAL) values[i] = entry;
  }
  if (entries.sequence && entries.count != SPATIAL)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, TYPE, "%s must have 2 entries, got %d", name, entries.count);
  if (!entries.sequence) values[1] = values[0];
  return true;
}

/* What Python's `%` accepts: every number. */
static bool is_number(const cbn_value *params, const char *name) {
  double ignored;
  return cbn_as_number(cbn_parameter(params, name), &ignored);
}

static bool read_groups(const layer *l, cbn_conv *c, cbn_rejection *r) {
  double in, out;
  if (!strict_int(l->params, "group", 1, &c->groups)) return reject_type(l->params, "group", "an int", r);
  if (c->groups <= 0)
    return cbn_reject(r, CBN_RULE_GROUPS_POSITIVE, VALUE, "group must be positive, got %" PRId64, c->groups);
  if (!is_number(l->params, "in_channels")) return reject_type(l->params, "in_channels", "an int", r);
  if (!is_number(l->params, "out_channels")) return reject_type(l->params, "out_channels", "an int", r);
  cbn_as_number(cbn_parameter(l->params, "in_channels"), &in);
  cbn_as_number(cbn_parameter(l->params, "out_channels"), &out);
  if (fmod(in, (double)c->groups) != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_IN_CHANNELS, VALUE, "group %" PRId64 " must divide in_channels %g",
                      c->groups, in);
  if (fmod(out, (double)c->groups) != 0)
    return cbn_reject(r, CBN_RULE_GROUPS_DIVIDE_OUT_CHANNELS, VALUE, "group %" PRId64 " must divide out_channels %g",
                      c->groups, out);
  return true;
}

static bool read_channels(layer *l, cbn_rejection *r) {
  if (!strict_int(l->params, "in_channels", 0, &l->in_channels))
    return reject_type(l->params, "in_channels", "an int", r);
  if (l->in_channels <= 0)
    return cbn_reject(r, CBN_RULE_IN_CHANNELS_POSITIVE, VALUE, "in_channels must be positive, got %" PRId64,
                      l->in_channels);
  if (!strict_int(l->params, "out_channels", 0, &l->out_channels))
    return reject_type(l->params, "out_channels", "an int", r);
  if (l->out_channels <= 0)
    return cbn_reject(r, CBN_RULE_OUT_CHANNELS_POSITIVE, VALUE, "out_channels must be positive, got %" PRId64,
                      l->out_channels);
  return true;
}

/* NHWC is for GPUs; NCDHW passes this check of a two-dimensional layer and is refused at the end. */
static bool check_data_format(const cbn_value *params, bool volumes, cbn_rejection *r) {
  const cbn_value *format = cbn_parameter(params, "data_format");
  if (format == NULL || cbn_value_is(format, "NCHW") || (volumes && cbn_value_is(format, "NCDHW"))) return true;
  return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, VALUE, "data_format must be 'NCHW' on a CPU, got %s",
                    cbn_printed_value(format).text);
}

static bool check_padding_entries(const cbn_entries *padding, const cbn_value *params, cbn_rejection *r) {
  for (int i = 0; i < padding->count; i++) {
    int64_t entry;
    if (!cbn_as_integer(padding->entry[i], false, &entry))
      return reject_type(params, "padding", "an int or a tuple of ints", r);
    if (entry < 0)
      return cbn_reject(r, CBN_RULE_PADDING_NON_NEGATIVE, VALUE, "padding must not be negative, got %" PRId64, entry);
  }
  return true;
}

static bool check_positive(const int64_t *values, const char *name, enum cbn_rule rule, cbn_rejection *r) {
  for (int a = 0; a < SPATIAL; a++)
    if (values[a] <= 0)
      return cbn_reject(r, rule, VALUE, "%s must be positive, got %" PRId64 " on axis %c", name, values[a], "HW"[a]);
  return true;
}

static bool read_pad_mode(layer *l, const cbn_entries *padding, cbn_rejection *r) {
  static const char *const names[] = {[SAME] = "same", [VALID] = "valid", [PAD] = "pad"};
  const cbn_value *mode = cbn_parameter(l->params, "pad_mode");
  if (mode != NULL && mode->kind != CBN_STRING) return reject_type(l->params, "pad_mode", "a string", r);
  if (padding->sequence && padding->count != 2 * SPATIAL)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, VALUE, "padding must be an int or have 4 entries, got %d",
                      padding->count);
  for (l->pad_mode = SAME; mode != NULL && !cbn_value_is(mode, names[l->pad_mode]); l->pad_mode++)
    if (l->pad_mode == PAD)
      return cbn_reject(r, CBN_RULE_PADDING_MODE_UNKNOWN, VALUE, "pad_mode must be 'same', 'valid' or 'pad', got %s",
                        cbn_printed_value(mode).text);
  for (int i = 0; i < 2 * SPATIAL; i++) {
    cbn_as_integer(padding->entry[i % padding->count], false, &l->pad[i]);
    if (l->pad_mode != PAD && l->pad[i] != 0)
      return cbn_reject(r, CBN_RULE_PADDING_MUST_BE_ZERO, VALUE, "padding must be 0 with pad_mode '%s', got %" PRId64,
                        names[l->pad_mode], l->pad[i]);
  }
  return true;
}

static bool construct(layer *l, cbn_plan *plan, cbn_rejection *r) {
  const cbn_value zero = {.kind = CBN_INTEGER}, *params = l->params;
  cbn_conv *c = &plan->conv;
  bool has_bias = false;
  if (!cbn_check_names(params, conv_names, 3, r) || !read_pair(params, "kernel_size", c->kernel, r) ||
      !read_pair(params, "stride", c->stride, r) || !read_pair(params, "dilation", c->dilation, r) ||
      !read_groups(l, c, r) || !read_channels(l, r) || !check_data_format(params, true, r))
    return false;
  const cbn_value *padding = cbn_parameter(params, "padding");
  const cbn_entries entries = cbn_as_entries(padding != NULL ? padding : &zero);
  if (!check_padding_entries(&entries, params, r) ||
      !check_positive(c->kernel, "kernel_size", CBN_RULE_KERNEL_POSITIVE, r) ||
      !check_positive(c->stride, "stride", CBN_RULE_STRIDE_POSITIVE, r) ||
      !check_positive(c->dilation, "dilation", CBN_RULE_DILATION_POSITIVE, r))
    return false;
  const cbn_value *weight_init = cbn_parameter(params, "weight_init"), *bias_init = cbn_parameter(params, "bias_init");
  if (weight_init != NULL && weight_init->kind != CBN_NULL &&
      !read_initializer(params, "weight_init", true, CBN_ROLE_WEIGHT, plan, r))
    return false;
  if (!truth_or(params, "has_bias", false, &has_bias)) return reject_type(params, "has_bias", "a bool", r);
  if (has_bias && bias_init != NULL && bias_init->kind != CBN_NULL &&
      !read_initializer(params, "bias_init", false, CBN_ROLE_BIAS, plan, r))
    return false;
  c->has_bias = has_bias;
  if (!read_pad_mode(l, &entries, r)) return false;
  if (cbn_value_is(cbn_parameter(params, "data_format"), "NCDHW"))
    return cbn_reject(r, CBN_RULE_TENSOR_FORMAT, VALUE, "data_format 'NCDHW' is for three spatial axes");
  return true;
}

/* `same`: ceil(input / stride) outputs, zeros as they need, half of them before, the odd one behind. */
static void pad_same(cbn_conv *c) {
  for (int a = 0; a < SPATIAL; a++) {
    const int64_t out = c->input[a] / c->stride[a] + (c->input[a] % c->stride[a] != 0);
    const int64_t reach = cbn_saturating_add(cbn_saturating_multiply(out - 1, c->stride[a]),
                                             cbn_dilated_kernel(c->kernel[a], c->dilation[a]));
    const int64_t total = out > 0 && reach > c->input[a] ? reach - c->input[a] : 0;
    c->pad_begin[a] = total / 2;
    c->pad_end[a] = total - c->pad_begin[a];
  }
}

/* `same` on an empty axis: no output, which the engine takes only where the dilated kernel is at least as long as
 * the stride. */
static bool check_empty_axes(const cbn_conv *c, cbn_rejection *r) {
  for (int a = 0; a < SPATIAL; a++)
    if (c->input[a] == 0 && cbn_dilated_kernel(c->kernel[a], c->dilation[a]) < c->stride[a])
      return cbn_reject(r, CBN_RULE_INPUT_EXTENT_POSITIVE, RUNTIME,
                        "the input's extent is 0 on axis %c, and the stride %" PRId64 " exceeds the dilated kernel",
                        "HW"[a], c -> stride[a]);
  return true;
}

/* A kernel that exceeds the padded input. The first check forgets the dilation; the second looks at the output
 * extent E = floor((P - D) / stride) + 1 for what it can tell, and lets P - D = -stride through, with an empty
 * output. */
static bool check_kernel_fits(const cbn_conv *c, cbn_rejection *r) {
  int64_t padded[SPATIAL], excess[SPATIAL];
  for (int a = 0; a < SPATIAL; a++) {
    padded[a] = cbn_saturating_add(cbn_saturating_add(c->input[a], c->pad_begin[a]), c->pad_end[a]);
    excess[a] = cbn_dilated_kernel(c->kernel[a], c->dilation[a]) - padded[a];
    if (padded[a] < c->kernel[a])
      return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, VALUE,
                        "the kernel's extent %" PRId64 " exceeds the padded input's %" PRId64 " on axis %c",
                        c->kernel[a], padded[a], "HW"[a]);
  }
  for (int pass = 0; pass < 2; pass++)
    for (int a = 0; a < SPATIAL; a++) {
      /* E <= -2, E = -1 and E = 0 in terms of the excess D - P > 0 */
      const bool far = excess[a] > cbn_saturating_multiply(2, c->stride[a]);
      const bool near = excess[a] > 0 && excess[a] != c->stride[a];
      if (pass == 0 ? far : near)
        return cbn_reject(r, CBN_RULE_KERNEL_EXCEEDS_INPUT, pass == 0 ? VALUE : RUNTIME,
                          "the dilated kernel exceeds the padded input's extent %" PRId64 " by %" PRId64 " on axis %c",
                          padded[a], excess[a], "HW"[a]);
    }
  return true;
}

static bool reject_channels(const cbn_conv *c, const layer *l, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, RUNTIME,
                    "the input has %" PRId64 " channels, in_channels is %" PRId64, c->in_channels, l->in_channels);
}

static bool plan_conv2d(const cbn_request *request, cbn_plan *plan, cbn_rejection *r) {
  layer l = {.params = request->params};
  const cbn_shape *input = &request->input;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(SPATIAL)};
  cbn_conv *c = &plan->conv;
  if (!construct(&l, plan, r)) return false;
  if (input->rank != 4)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, VALUE, "the input must have 4 axes, got %d", (int)input->rank);
  c->batch = input->extent[0];
  c->in_channels = input->extent[1];
  c->out_channels = l.out_channels;
  memcpy(c->input, input->extent + 2, SPATIAL * sizeof c->input[0]);
  const bool same_groups =
      c->in_channels / c->groups == l.in_channels / c->groups; /* all that the first check looks at */
  if (!same_groups) return reject_channels(c, &l, r);
  if (l.pad_mode == SAME) {
    pad_same(c);
  } else {
    for (int a = 0; a < SPATIAL; a++) {
      c->pad_begin[a] = l.pad[2 * a];
      c->pad_end[a] = l.pad[2 * a + 1];
    }
    if (!check_kernel_fits(c, r)) return false;
  }
  if (c->in_channels != l.in_channels) return reject_channels(c, &l, r);
  if (l.pad_mode == SAME && !check_empty_axes(c, r)) return false;
  return cbn_forward_violation(plan, RUNTIME, r);
}

/* -------------------------------------------------------------------------------------------- nn.BatchNorm2d */

static const char *const norm_names[] = {"num_features",
                                         "eps",
                                         "momentum",
                                         "affine",
                                         "gamma_init",
                                         "beta_init",
                                         "moving_mean_init",
                                         "moving_var_init",
                                         "use_batch_statistics",
                                         "data_format",
                                         "dtype",
                                         NULL};

/* Whose statistics normalise: the mode's own (None), always the batch's, never. */
enum batch_statistics { BY_MODE, ALWAYS, NEVER };

static bool read_batch_statistics(const cbn_value *params, enum batch_statistics *which, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, "use_batch_statistics");
  *which = BY_MODE;
  if (value == NULL || value->kind == CBN_NULL) return true;
  if (value->kind != CBN_BOOLEAN)
    return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, VALUE, "use_batch_statistics must be a bool or None, got %s",
                      cbn_printed_value(value).text);
  *which = value->as.boolean ? ALWAYS : NEVER;
  return true;
}

static bool construct_norm(const cbn_value *params, cbn_plan *plan, int64_t *features, double *momentum,
                           enum batch_statistics *which, cbn_rejection *r) {
  static const struct {
    const char *name;
    int role;
    double fallback;
  } tensors[] = {{"moving_mean_init", CBN_ROLE_RUNNING_MEAN, 0},
                 {"moving_var_init", CBN_ROLE_RUNNING_VAR, 1},
                 {"gamma_init", CBN_ROLE_WEIGHT, 1},
                 {"beta_init", CBN_ROLE_BIAS, 0}};
  bool ignored;
  if (!cbn_check_names(params, norm_names, 1, r)) return false;
  if (!strict_int(params, "num_features", 0, features)) return reject_type(params, "num_features", "an int", r);
  if (*features < 1)
    return cbn_reject(r, CBN_RULE_NUM_FEATURES_POSITIVE, VALUE, "num_features must be at least 1, got %" PRId64,
                      *features);
  if (cbn_parameter(params, "momentum") != NULL && !cbn_as_number(cbn_parameter(params, "momentum"), momentum))
    return reject_type(params, "momentum", "a number", r);
  if (*momentum < 0 || *momentum > 1)
    return cbn_reject(r, CBN_RULE_MOMENTUM_RANGE, VALUE, "momentum must be in [0, 1], got %g", *momentum);
  if (!check_data_format(params, false, r) || !read_batch_statistics(params, which, r)) return false;
  for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
    plan->has_initial[tensors[i].role] = true;
    plan->initial[tensors[i].role] = tensors[i].fallback;
    if (!read_initializer(params, tensors[i].name, false, tensors[i].role, plan, r)) return false;
    if (tensors[i].role == CBN_ROLE_WEIGHT &&
        !truth_or(params, "affine", true, &ignored)) /* gamma is the first to be trained */
      return reject_type(params, "affine", "a bool", r);
  }
  return true;
}

/* A float whose f32 rounding is in (0, 1]. */
static bool read_epsilon(const cbn_value *params, double *epsilon, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, "eps");
  if (value != NULL && value->kind != CBN_REAL) return reject_type(params, "eps", "a float", r);
  if (value != NULL) *epsilon = value->as.real;
  const float rounded = (float)*epsilon;
  if (!(rounded > 0 && rounded <= 1))
    return cbn_reject(r, CBN_RULE_EPSILON_RANGE, VALUE, "eps must be in (0, 1], got %g", *epsilon);
  return true;
}

static bool plan_batchnorm2d(const cbn_request *request, cbn_plan *plan, cbn_rejection *r) {
  const cbn_shape *input = &request->input;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM, .batchnorm = cbn_batchnorm_make(SPATIAL)};
  cbn_batchnorm *b = &plan->batchnorm;
  int64_t features;
  double momentum = 0.9; /* weighs the old statistics */
  enum batch_statistics which = BY_MODE;
  if (!construct_norm(request->params, plan, &features, &momentum, &which, r)) return false;
  if (input->rank != 4)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, VALUE, "the input must have 4 axes, got %d", (int)input->rank);
  if (!read_epsilon(request->params, &b->epsilon, r)) return false;
  const bool batch = which == ALWAYS || (which == BY_MODE && request->training);
  if (batch && isnan(momentum)) return cbn_reject(r, CBN_RULE_MOMENTUM_RANGE, VALUE, "momentum is NaN");
  if (input->extent[1] != features)
    return cbn_reject(r, CBN_RULE_INPUT_CHANNELS_MISMATCH, VALUE,
                      "the input has %" PRId64 " channels, num_features is %" PRId64, input->extent[1], features);
  b->batch = input->extent[0];
  b->channels = plan->features = features;
  memcpy(b->extent, input->extent + 2, SPATIAL * sizeof b->extent[0]);
  b->statistics = batch ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  b->update_running = batch;
  b->running_variance = CBN_VARIANCE_UNBIASED;
  b->new_weight = 1 - momentum;
  return cbn_forward_violation(plan, RUNTIME, r);
}

static const cbn_dialect_operator operators[] = {
    {"nn.Conv2d", CBN_OPERATOR_CONV,
     "(in_channels, out_channels, kernel_size, stride=1, pad_mode='same', padding=0, dilation=1, group=1, "
     "has_bias=False, "
     "weight_init=None, bias_init=None, data_format='NCHW')",
     plan_conv2d},
    {"nn.BatchNorm2d", CBN_OPERATOR_BATCHNORM,
     "(num_features, eps=1e-05, momentum=0.9, affine=True, gamma_init='ones', beta_init='zeros', "
     "moving_mean_init='zeros', moving_var_init='ones', use_batch_statistics=None, data_format='NCHW')",
     plan_batchnorm2d},
};

const cbn_dialect cbn_dialect_mindspore = {.name = "mindspore",
                                           .profile = "MindSpore 2.10.0, CPU",
                                           .trains_by_default = false,
                                           .arithmetic = CBN_FLUSHES_SUBNORMALS,
                                           .operators = operators,
                                           .operator_count = sizeof operators / sizeof operators[0]};
