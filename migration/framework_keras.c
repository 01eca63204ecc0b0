/* Keras' layers, written: keras.layers. */
#include <string.h>
#include <strings.h>

#include "dialects/layout.h"
#include "dialects/parameters.h"
#include "migration/proposal.h"

static bool is_depthwise(const cbn_dialect_operator *operator) { return strstr(operator->name, "Depthwise") != NULL; }

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  static const char *const conv[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = "kernel", [CBN_ROLE_BIAS] = "bias"};
  static const char *const norm[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = "gamma",
                                                   [CBN_ROLE_BIAS] = "beta",
                                                   [CBN_ROLE_RUNNING_MEAN] = "moving_mean",
                                                   [CBN_ROLE_RUNNING_VAR] = "moving_variance"};
  return operator->kind == CBN_OPERATOR_CONV ? conv[role] : norm[role];
}

static void orders(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan) {
  const cbn_value *format = cbn_value_get(params, "data_format");
  const bool first =
      format != NULL && format->kind == CBN_STRING && strcasecmp(format->as.string.text, "channels_first") == 0;
  cbn_operators_order(operator, params, axes, plan);
  if (operator->kind == CBN_OPERATOR_BATCHNORM) {
    cbn_channels_at(cbn_value_get(params, "axis"), axes, plan);
    return;
  }
  if (!first) cbn_plan_channels_last(plan, axes);
  if (is_depthwise(operator)) cbn_plan_depthwise(plan, axes);
  else cbn_plan_kernel_first(plan, axes);
}

/* Tensors of zeros or of ones, whatever is default. */
static void write_initial(const cbn_wish *wish, int role, const char *name, double fallback, cbn_writer *writer) {
  double value;
  if (cbn_wished_initial(wish, role, fallback, &value) && (value == 0 || value == 1))
    cbn_write_text(writer, name, value == 0 ? "zeros" : "ones");
}

/* Padding by name, of transposed layers first without, then with an output padding that makes the extents. */
static bool write_padding(const cbn_dialect_operator *operator, const cbn_conv * c, int attempt, cbn_writer *writer) {
  static const char *const names[] = {"same", "valid", "causal"};
  const int count = operator->transposed ? 4 : operator->spatial_rank == 1 && !is_depthwise(operator) ? 3 : 2;
  int64_t output_padding[CBN_MAX_SPATIAL];
  if (attempt >= count) return false;
  cbn_write_text(writer, "padding", names[operator->transposed ? attempt % 2 : attempt]);
  if (!operator->transposed || attempt<2) return true;
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) {
    const int64_t kernel = cbn_dilated_kernel(c->kernel[a], c->dilation[a]),
                  even = attempt == 2 ? kernel - kernel % 2 : 0;
    const int64_t padding = cbn_saturating_add(c->pad_begin[a], c->pad_end[a]);
    output_padding[a] = cbn_saturating_add(cbn_saturating_add(even, c->output_padding[a]), -padding);
  }
  cbn_not_negative(output_padding, output_padding);
  cbn_write_entries(writer, "output_padding", operator->spatial_rank, output_padding);
  return true;
}

static bool write_convolution(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                              cbn_writer *writer) {
  const cbn_conv *c = &cbn_wished_plan(wish)->conv;
  const int32_t axes = operator->spatial_rank;
  const bool depthwise = is_depthwise(operator);
  if (!depthwise) cbn_write_integer(writer, "filters", c->out_channels);
  cbn_write_entries(writer, "kernel_size", axes, c->kernel);
  cbn_write_entries(writer, "strides", axes, c->stride);
  if (!write_padding(operator, c, attempt, writer)) return false;
  if (depthwise && c->in_channels > 0) cbn_write_integer(writer, "depth_multiplier", c->out_channels / c->in_channels);
  cbn_write_entries(writer, "dilation_rate", axes, c->dilation);
  if (!depthwise && !operator->transposed) cbn_write_integer(writer, "groups", c->groups);
  cbn_write_boolean(writer, "use_bias", c->has_bias);
  write_initial(wish, CBN_ROLE_WEIGHT, depthwise ? "depthwise_initializer" : "kernel_initializer", -1, writer);
  write_initial(wish, CBN_ROLE_BIAS, "bias_initializer", 0, writer);
  return true;
}

/* momentum weighs the old statistics. A layer that is not trainable uses the running ones in training, too. */
static bool write_batchnorm(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  const double momentum = cbn_old_weight(norm.new_weight);
  const bool exactly = attempt == 1;
  if (attempt > 1) return false;
  cbn_write_real(writer, "momentum", exactly ? momentum : cbn_short_real(momentum));
  cbn_write_real(writer, "epsilon", exactly ? norm.epsilon : cbn_short_real(norm.epsilon));
  cbn_write_boolean(writer, "center", norm.has_bias);
  cbn_write_boolean(writer, "scale", norm.has_weight);
  write_initial(wish, CBN_ROLE_BIAS, "beta_initializer", 0, writer);
  write_initial(wish, CBN_ROLE_WEIGHT, "gamma_initializer", 1, writer);
  write_initial(wish, CBN_ROLE_RUNNING_MEAN, "moving_mean_initializer", 0, writer);
  write_initial(wish, CBN_ROLE_RUNNING_VAR, "moving_variance_initializer", 1, writer);
  if (!norm.batch_in_training) cbn_write_boolean(writer, "trainable", false);
  return true;
}

/* Each way with TensorFlow behind Keras, then with JAX, which refuses less. */
static bool write_parameters(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                             cbn_writer *writer) {
  if (attempt % 2 == 1) cbn_write_text(writer, "backend", "jax");
  return operator->kind == CBN_OPERATOR_CONV ? write_convolution(operator, wish, attempt / 2, writer)
                                             : write_batchnorm(wish, attempt / 2, writer);
}

extern const cbn_dialect cbn_dialect_keras;
const cbn_framework cbn_framework_keras = {.dialect = &cbn_dialect_keras,
                                           .module = "keras",
                                           .tensor_name = tensor_name,
                                           .takes_tensors = cbn_holds_tensors,
                                           .aside = "backend",
                                           .orders = orders,
                                           .write = write_parameters};
