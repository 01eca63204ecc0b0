/* Flax' layers, written: flax.linen. */
#include "dialects/layout.h"
#include "migration/proposal.h"

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  static const char *const conv[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = "kernel", [CBN_ROLE_BIAS] = "bias"};
  static const char *const norm[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = "scale",
                                                   [CBN_ROLE_BIAS] = "bias",
                                                   [CBN_ROLE_RUNNING_MEAN] = "mean",
                                                   [CBN_ROLE_RUNNING_VAR] = "var"};
  return operator->kind == CBN_OPERATOR_CONV ? conv[role] : norm[role];
}

static void orders(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan) {
  cbn_operators_order(operator, params, axes, plan);
  if (operator->kind == CBN_OPERATOR_BATCHNORM) {
    cbn_channels_at(cbn_value_get(params, "axis"), axes, plan);
    return;
  }
  cbn_plan_channels_last(plan, axes);
  cbn_plan_kernel_first(plan, axes);
}

/* Each name, the amounts, nothing. The first two names are all that a transposed layer has. */
static bool write_padding(const cbn_conv *c, bool transposed, int attempt, cbn_writer *writer) {
  static const int64_t nothing[CBN_MAX_SPATIAL] = {0};
  static const char *const names[] = {"SAME", "VALID", "SAME_LOWER", "CIRCULAR", "REFLECT", "CAUSAL"};
  const int named = transposed ? 2 : c->spatial_rank == 1 ? 6 : 5;
  int64_t begin[CBN_MAX_SPATIAL], end[CBN_MAX_SPATIAL];
  cbn_dilated_padding(c, begin, end);
  if (attempt < named) cbn_write_text(writer, "padding", names[attempt]);
  else if (attempt == named) cbn_write_pairs(writer, "padding", c->spatial_rank, begin, end);
  else if (attempt == named + 1) cbn_write_pairs(writer, "padding", c->spatial_rank, nothing, nothing);
  return attempt <= named + 1;
}

/* A transposed layer that transposes its kernel is the transposed convolution, others convolve a dilated input. */
static bool write_convolution(const cbn_conv *c, bool transposed, int attempt, cbn_writer *writer) {
  const int32_t axes = c->spatial_rank;
  cbn_write_integer(writer, "features", c->out_channels);
  cbn_write_list(writer, "kernel_size", axes, c->kernel);
  cbn_write_list(writer, "strides", axes, transposed && !c->transposed ? c->input_dilation : c->stride);
  if (!write_padding(c, transposed, attempt, writer)) return false;
  if (!transposed) cbn_write_list(writer, "input_dilation", axes, c->input_dilation);
  cbn_write_list(writer, "kernel_dilation", axes, c->dilation);
  if (!transposed) cbn_write_integer(writer, "feature_group_count", c->groups);
  cbn_write_boolean(writer, "use_bias", c->has_bias);
  if (transposed) cbn_write_boolean(writer, "transpose_kernel", c->transposed);
  return true;
}

/* momentum weighs the old statistics. The layer trains or it does not, as it is told. */
static bool write_batchnorm(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  const double momentum = cbn_old_weight(norm.new_weight);
  const bool exactly = attempt % 2 == 1;
  if (attempt >= (norm.batch_in_training == norm.batch_in_evaluation ? 2 : 4)) return false;
  cbn_write_boolean(writer, "use_running_average", (attempt / 2 == 0) != norm.batch_in_evaluation);
  cbn_write_real(writer, "momentum", exactly ? momentum : cbn_short_real(momentum));
  cbn_write_real(writer, "epsilon", exactly ? norm.epsilon : cbn_short_real(norm.epsilon));
  cbn_write_boolean(writer, "use_bias", norm.has_bias);
  cbn_write_boolean(writer, "use_scale", norm.has_weight);
  return true;
}

static bool write_parameters(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                             cbn_writer *writer) {
  static const char *const types[] = {
      [CBN_F32] = "float32", [CBN_F64] = "float64", [CBN_F16] = "float16", [CBN_BF16] = "bfloat16"};
  if (wish->input_type != wish->layer_type) /* else the result has the wider of the two */
    cbn_write_text(writer, "dtype", types[wish->input_type]);
  if (operator->kind == CBN_OPERATOR_BATCHNORM) return write_batchnorm(wish, attempt, writer);
  return write_convolution(&cbn_wished_plan(wish)->conv, operator->transposed, attempt, writer);
}

extern const cbn_dialect cbn_dialect_flax;
const cbn_framework cbn_framework_flax = {.dialect = &cbn_dialect_flax,
                                          .module = "flax",
                                          .tensor_name = tensor_name,
                                          .takes_tensors = cbn_holds_tensors,
                                          .orders = orders,
                                          .write = write_parameters};
