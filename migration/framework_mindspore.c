/* MindSpore's layers, written: mindspore.nn. */
#include <math.h>

#include "migration/proposal.h"

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  static const char *const conv[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = "weight", [CBN_ROLE_BIAS] = "bias"};
  static const char *const norm[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = "gamma",
                                                   [CBN_ROLE_BIAS] = "beta",
                                                   [CBN_ROLE_RUNNING_MEAN] = "moving_mean",
                                                   [CBN_ROLE_RUNNING_VAR] = "moving_variance"};
  return operator->kind == CBN_OPERATOR_CONV ? conv[role] : norm[role];
}

static void write_initial(const cbn_wish *wish, int role, const char *name, double fallback, cbn_writer *writer) {
  double value;
  if (cbn_wished_initial(wish, role, fallback, &value)) cbn_write_real(writer, name, value);
}

/* One entry for all sides, or two for each axis; of one axis, one and nothing else. */
static void write_amounts(int32_t axes, const int64_t *begin, const int64_t *end, cbn_writer *writer) {
  int64_t sides[2 * CBN_MAX_SPATIAL];
  for (int32_t a = 0; a < axes; a++) {
    sides[2 * a] = begin[a];
    sides[2 * a + 1] = end[a];
  }
  cbn_write_entries(writer, "padding", axes == 1 ? 1 : 2 * axes, sides);
}

/* Of one axis, both sides are padded alike: by the amount before, then by the lesser one. */
static bool write_padding(const cbn_conv *c, int32_t axes, int attempt, cbn_writer *writer) {
  static const int64_t nothing[CBN_MAX_SPATIAL] = {0};
  int64_t begin[CBN_MAX_SPATIAL], end[CBN_MAX_SPATIAL], least[CBN_MAX_SPATIAL];
  cbn_not_negative(c->pad_begin, begin);
  cbn_not_negative(c->pad_end, end);
  cbn_least_padding(c, least);
  cbn_not_negative(least, least);
  if (attempt > 4) return false;
  cbn_write_text(writer, "pad_mode", attempt == 0 ? "same" : attempt == 1 ? "valid" : "pad");
  if (attempt == 2) write_amounts(axes, begin, end, writer);
  if (attempt == 3) write_amounts(axes, least, least, writer);
  if (attempt == 4) write_amounts(axes, nothing, nothing, writer);
  return true;
}

static bool write_convolution(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                              cbn_writer *writer) {
  const cbn_conv *c = &cbn_wished_plan(wish)->conv;
  const int32_t axes = operator->spatial_rank;
  int64_t output_padding[CBN_MAX_SPATIAL];
  cbn_write_integer(writer, "in_channels", c->in_channels);
  cbn_write_integer(writer, "out_channels", c->out_channels);
  cbn_write_entries(writer, "kernel_size", axes, c->kernel);
  cbn_write_entries(writer, "stride", axes, c->stride);
  if (!write_padding(c, axes, attempt, writer)) return false;
  cbn_not_negative(c->output_padding, output_padding);
  if (operator->transposed && axes > 1 && attempt > 1)
    cbn_write_entries(writer, "output_padding", axes, output_padding);
  cbn_write_entries(writer, "dilation", axes, c->dilation);
  cbn_write_integer(writer, "group", c->groups);
  cbn_write_boolean(writer, "has_bias", c->has_bias);
  write_initial(wish, CBN_ROLE_WEIGHT, "weight_init", NAN, writer); /* random where nothing is said */
  if (c->has_bias) write_initial(wish, CBN_ROLE_BIAS, "bias_init", NAN, writer);
  return true;
}

/* momentum weighs the old statistics. */
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
  return operator->kind == CBN_OPERATOR_CONV ? write_convolution(operator, wish, attempt, writer)
                                             : write_batchnorm(wish, attempt, writer);
}

extern const cbn_dialect cbn_dialect_mindspore;
const cbn_framework cbn_framework_mindspore = {.dialect = &cbn_dialect_mindspore,
                                               .module = "mindspore",
                                               .tensor_name = tensor_name,
                                               .takes_tensors = cbn_holds_tensors,
                                               .orders = cbn_operators_order,
                                               .write = write_parameters};
