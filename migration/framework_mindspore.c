/* MindSpore's layers, written: mindspore.nn; and what takes tensors: the functions of mindspore.ops, and its
 * primitives, which are made first and then called. mindspore.mint has PyTorch's layers and functions, by PyTorch's
 * names. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "dialects/layout.h"
#include "migration/proposal.h"

extern const cbn_dialect cbn_dialect_mindspore;
extern const cbn_framework cbn_framework_pytorch;

/* PyTorch's operator that stands behind one of mint; NULL for others. */
static const cbn_dialect_operator *torch_operator(const cbn_dialect_operator *operator) {
  static const char mint[] = "mint.";
  if (strncmp(operator->name, mint, strlen(mint)) != 0) return NULL;
  return cbn_dialect_find(cbn_framework_pytorch.dialect, operator->name + strlen(mint));
}

static bool is_of_ops(const cbn_dialect_operator *operator) { return strncmp(operator->name, "ops.", 4) == 0; }

static bool is_primitive(const cbn_dialect_operator *operator) {
  return is_of_ops(operator) && operator->name[4] >= 'A' && operator->name[4] <= 'Z';
}

static bool is_function(const cbn_dialect_operator *operator) { return is_of_ops(operator) && !is_primitive(operator); }

static bool takes_tensors(const cbn_dialect_operator *operator) {
  const cbn_dialect_operator *torch = torch_operator(operator);
  return torch != NULL ? cbn_framework_pytorch.takes_tensors(torch) : is_of_ops(operator);
}

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  static const char *const plain[CBN_ROLE_COUNT] = {
      [CBN_ROLE_INPUT] = "input", [CBN_ROLE_WEIGHT] = "weight", [CBN_ROLE_BIAS] = "bias"};
  static const char *const layer[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = "gamma",
                                                    [CBN_ROLE_BIAS] = "beta",
                                                    [CBN_ROLE_RUNNING_MEAN] = "moving_mean",
                                                    [CBN_ROLE_RUNNING_VAR] = "moving_variance"};
  static const char *const of_three_axes[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = "bn2d.gamma",
                                                            [CBN_ROLE_BIAS] = "bn2d.beta",
                                                            [CBN_ROLE_RUNNING_MEAN] = "bn2d.moving_mean",
                                                            [CBN_ROLE_RUNNING_VAR] = "bn2d.moving_variance"};
  static const char *const function[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = "input_x",
                                                       [CBN_ROLE_WEIGHT] = "weight",
                                                       [CBN_ROLE_BIAS] = "bias",
                                                       [CBN_ROLE_RUNNING_MEAN] = "running_mean",
                                                       [CBN_ROLE_RUNNING_VAR] = "running_var"};
  static const char *const primitive[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = "input_x",
                                                        [CBN_ROLE_WEIGHT] = "scale",
                                                        [CBN_ROLE_BIAS] = "bias",
                                                        [CBN_ROLE_RUNNING_MEAN] = "mean",
                                                        [CBN_ROLE_RUNNING_VAR] = "variance"};
  const cbn_dialect_operator *torch = torch_operator(operator);
  if (torch != NULL) return cbn_framework_pytorch.tensor_name(torch, role);
  if (operator->kind == CBN_OPERATOR_BATCHNORM)
    return is_primitive(operator)                          ? primitive[role]
           : is_function(operator)                         ? function[role]
           : strcmp(operator->name, "nn.BatchNorm3d") == 0 ? of_three_axes[role]
                                                           : layer[role];
  const bool absent =
      role == CBN_ROLE_BIAS ? is_primitive(operator) : role == CBN_ROLE_INPUT && !takes_tensors(operator);
  return absent ? NULL : plain[role];
}

static const int *arguments(const cbn_dialect_operator *operator) {
  static const int norm[] = {CBN_ROLE_INPUT,  CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR,
                             CBN_ROLE_WEIGHT, CBN_ROLE_BIAS,         -1};
  const cbn_dialect_operator *torch = torch_operator(operator);
  if (torch != NULL) return cbn_framework_pytorch.arguments(torch);
  return operator->kind == CBN_OPERATOR_BATCHNORM && is_function(operator) ? norm : NULL;
}

/* One primitive knows channels behind. */
static void orders(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan) {
  const cbn_value *format = cbn_value_get(params, "data_format");
  cbn_operators_order(operator, params, axes, plan);
  if (format != NULL && format->kind == CBN_STRING && strcasecmp(format->as.string.text, "NHWC") == 0)
    cbn_plan_channels_last(plan, axes);
}

static void write_initial(const cbn_wish *wish, int role, const char *name, double fallback, cbn_writer *writer) {
  double value;
  if (cbn_wished_initial(wish, role, fallback, &value)) cbn_write_real(writer, name, value);
}

/* One entry for all sides, or two for each axis; layers of one axis take one and nothing else. Functions take one for
 * each axis. */
static void write_amounts(const cbn_dialect_operator *operator, const int64_t * begin, const int64_t *end,
                          cbn_writer *writer) {
  const int32_t axes = operator->spatial_rank;
  int64_t sides[2 * CBN_MAX_SPATIAL];
  for (int32_t a = 0; a < axes; a++) {
    sides[2 * a] = begin[a];
    sides[2 * a + 1] = end[a];
  }
  if (is_function(operator)) cbn_write_entries(writer, "padding", axes, begin);
  else cbn_write_entries(writer, is_primitive(operator) ? "pad" : "padding", axes == 1 ? 1 : 2 * axes, sides);
}

/* Where both sides are padded alike: by the amount before, then by the lesser one. */
static bool write_padding(const cbn_dialect_operator *operator, const cbn_conv * c, int attempt, cbn_writer *writer) {
  static const int64_t nothing[CBN_MAX_SPATIAL] = {0};
  int64_t begin[CBN_MAX_SPATIAL], end[CBN_MAX_SPATIAL], least[CBN_MAX_SPATIAL];
  cbn_not_negative(c->pad_begin, begin);
  cbn_not_negative(c->pad_end, end);
  cbn_least_padding(c, least);
  cbn_not_negative(least, least);
  if (attempt > 4) return false;
  cbn_write_text(writer, "pad_mode", attempt == 0 ? "same" : attempt == 1 ? "valid" : "pad");
  if (attempt == 2) write_amounts(operator, begin, end, writer);
  if (attempt == 3) write_amounts(operator, least, least, writer);
  if (attempt == 4) write_amounts(operator, nothing, nothing, writer);
  return true;
}

/* A transposed primitive is told the shape of its output, that of the forward one's input. */
static void write_input_size(const cbn_conv *c, cbn_writer *writer) {
  int64_t size[CBN_MAX_RANK] = {c->batch, c->out_channels};
  for (int32_t a = 0; a < c->spatial_rank; a++) size[2 + a] = cbn_conv_output_extent(c, a);
  cbn_write_list(writer, "input_size", c->spatial_rank + 2, size);
}

static bool write_convolution(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                              cbn_writer *writer) {
  const cbn_conv *c = &cbn_wished_plan(wish)->conv;
  const int32_t axes = operator->spatial_rank;
  const bool layer = !takes_tensors(operator), function = is_function(operator);
  int64_t output_padding[CBN_MAX_SPATIAL];
  if (layer) cbn_write_integer(writer, "in_channels", c->in_channels);
  if (!function) cbn_write_integer(writer, layer ? "out_channels" : "out_channel", c->out_channels);
  if (!function) cbn_write_entries(writer, "kernel_size", axes, c->kernel);
  cbn_write_entries(writer, "stride", axes, c->stride);
  if (!write_padding(operator, c, attempt, writer)) return false;
  cbn_not_negative(c->output_padding, output_padding);
  if (operator->transposed && layer && axes> 1 && attempt> 1)
    cbn_write_entries(writer, "output_padding", axes, output_padding);
  cbn_write_entries(writer, "dilation", axes, c->dilation);
  cbn_write_integer(writer, function ? "groups" : "group", c->groups);
  if (operator->transposed && !layer) write_input_size(c, writer);
  if (!layer) return true;
  cbn_write_boolean(writer, "has_bias", c->has_bias);
  write_initial(wish, CBN_ROLE_WEIGHT, "weight_init", NAN, writer); /* random where nothing is said */
  if (c->has_bias) write_initial(wish, CBN_ROLE_BIAS, "bias_init", NAN, writer);
  return true;
}

/* What takes tensors trains or it does not, whoever calls it, and momentum weighs the batch. */
static bool write_batchnorm_function(bool primitive, const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  const bool exactly = attempt % 2 == 1;
  if (attempt >= (norm.batch_in_training == norm.batch_in_evaluation ? 2 : 4)) return false;
  cbn_write_boolean(writer, primitive ? "is_training" : "training", (attempt / 2 == 0) == norm.batch_in_evaluation);
  cbn_write_real(writer, primitive ? "epsilon" : "eps", exactly ? norm.epsilon : cbn_short_real(norm.epsilon));
  cbn_write_real(writer, "momentum", exactly ? norm.new_weight : cbn_short_new_weight(norm.new_weight));
  return true;
}

/* A layer's momentum weighs the old statistics. */
static bool write_batchnorm(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  const bool exactly = attempt == 1;
  const double momentum = cbn_old_weight(norm.new_weight);
  if (attempt > 1) return false;
  cbn_write_integer(writer, "num_features", norm.features);
  cbn_write_real(writer, "eps", exactly ? norm.epsilon : cbn_short_real(norm.epsilon));
  cbn_write_real(writer, "momentum", exactly ? momentum : cbn_short_real(momentum));
  cbn_write_boolean(writer, "affine", norm.has_weight || norm.has_bias);
  write_initial(wish, CBN_ROLE_WEIGHT, "gamma_init", 1, writer);
  write_initial(wish, CBN_ROLE_BIAS, "beta_init", 0, writer);
  write_initial(wish, CBN_ROLE_RUNNING_MEAN, "moving_mean_init", 0, writer);
  write_initial(wish, CBN_ROLE_RUNNING_VAR, "moving_var_init", 1, writer);
  if (norm.batch_in_training == norm.batch_in_evaluation)
    cbn_write_boolean(writer, "use_batch_statistics", norm.batch_in_training);
  else cbn_write_null(writer, "use_batch_statistics");
  return true;
}

static bool write_parameters(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                             cbn_writer *writer) {
  const cbn_dialect_operator *torch = torch_operator(operator);
  if (torch != NULL) return cbn_framework_pytorch.write(torch, wish, attempt, writer);
  if (operator->kind == CBN_OPERATOR_CONV) return write_convolution(operator, wish, attempt, writer);
  return takes_tensors(operator) ? write_batchnorm_function(is_primitive(operator), wish, attempt, writer)
                                 : write_batchnorm(wish, attempt, writer);
}

/* Layers of one axis are those of two, with an axis of 1. */
static bool unit_axis(const cbn_dialect_operator *operator) {
  return operator->kind == CBN_OPERATOR_CONV && operator->spatial_rank == 1 && strncmp(operator->name, "nn.", 3) == 0;
}

static const char *caution(const cbn_dialect_operator *operator, const cbn_value * params) {
  if (torch_operator(operator) != NULL && operator->kind == CBN_OPERATOR_CONV)
    return "MindSpore has the convolutions of mint on Ascend only: on a CPU no kernel is registered";
  if (strcmp(operator->name, "nn.Conv2dTranspose") == 0)
    for (size_t a = 0; a < 2; a++)
      if (cbn_written_entry(params, "output_padding", a, 0) != 0)
        return "MindSpore 2.10 leaves zeros in the rows of output_padding, where a bias or cropped values belong";
  return NULL;
}

const cbn_framework cbn_framework_mindspore = {.dialect = &cbn_dialect_mindspore,
                                               .module = "mindspore",
                                               .tensor_name = tensor_name,
                                               .takes_tensors = takes_tensors,
                                               .arguments = arguments,
                                               .calls_twice = is_primitive,
                                               .orders = orders,
                                               .write = write_parameters,
                                               .unit_axis = unit_axis,
                                               .caution = caution};
