/* PyTorch's layers and functions, written: torch.nn and torch.nn.functional. */
#include <string.h>

#include "migration/proposal.h"

static bool is_function(const cbn_dialect_operator *operator) {
  return strncmp(operator->name, "nn.functional.", strlen("nn.functional.")) == 0;
}

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  static const char *const names[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = "input",
                                                    [CBN_ROLE_WEIGHT] = "weight",
                                                    [CBN_ROLE_BIAS] = "bias",
                                                    [CBN_ROLE_RUNNING_MEAN] = "running_mean",
                                                    [CBN_ROLE_RUNNING_VAR] = "running_var"};
  const bool statistic = role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR;
  if ((statistic && operator->kind == CBN_OPERATOR_CONV) || (role == CBN_ROLE_INPUT && !is_function(operator)))
    return NULL;
  return names[role];
}

static const int *arguments(const cbn_dialect_operator *operator) {
  static const int norm[] = {CBN_ROLE_INPUT,  CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR,
                             CBN_ROLE_WEIGHT, CBN_ROLE_BIAS,         -1};
  return operator->kind == CBN_OPERATOR_BATCHNORM ? norm : NULL;
}

/* What a function is told by the shapes of its tensors. */
static void write_shapes(const cbn_conv *c, cbn_writer *writer) {
  cbn_write_integer(writer, "in_channels", c->in_channels);
  cbn_write_integer(writer, "out_channels", c->out_channels);
  cbn_write_entries(writer, "kernel_size", c->spatial_rank, c->kernel);
  cbn_write_boolean(writer, "bias", c->has_bias);
}

static bool write_forward(const cbn_conv *c, bool function, int attempt, cbn_writer *writer) {
  static const char *const modes[] = {[CBN_PAD_ZEROS] = "zeros",
                                      [CBN_PAD_REFLECT] = "reflect",
                                      [CBN_PAD_REPLICATE] = "replicate",
                                      [CBN_PAD_CIRCULAR] = "circular"};
  const int32_t axes = c->spatial_rank;
  int64_t amount[CBN_MAX_SPATIAL];
  cbn_least_padding(c, amount);
  if (!function) write_shapes(c, writer);
  cbn_write_entries(writer, "stride", axes, c->stride);
  switch (attempt) {
  case 0: cbn_write_text(writer, "padding", "same"); break;
  case 1: cbn_write_text(writer, "padding", "valid"); break;
  case 2: cbn_write_entries(writer, "padding", axes, amount); break;
  case 3: cbn_write_integer(writer, "padding", 0); break;
  default: return false;
  }
  cbn_write_entries(writer, "dilation", axes, c->dilation);
  cbn_write_integer(writer, "groups", c->groups);
  if (!function) cbn_write_text(writer, "padding_mode", modes[c->padding_mode]);
  return true;
}

static bool write_transposed(const cbn_conv *c, bool function, int attempt, cbn_writer *writer) {
  const int32_t axes = c->spatial_rank;
  int64_t amount[CBN_MAX_SPATIAL], output_padding[CBN_MAX_SPATIAL];
  cbn_not_negative(c->output_padding, output_padding);
  switch (attempt) {
  case 0: cbn_padding_before(c, amount, output_padding); break;
  case 1: cbn_least_padding(c, amount); break;
  case 2: cbn_not_negative((const int64_t[CBN_MAX_SPATIAL]){0}, amount); break;
  default: return false;
  }
  if (!function) write_shapes(c, writer);
  cbn_write_entries(writer, "stride", axes, c->stride);
  cbn_write_entries(writer, "padding", axes, amount);
  cbn_write_entries(writer, "output_padding", axes, output_padding);
  cbn_write_integer(writer, "groups", c->groups);
  cbn_write_entries(writer, "dilation", axes, c->dilation);
  return true;
}

/* A layer that keeps statistics uses them in evaluation; one that does not never updates any. */
static bool write_batchnorm(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  const bool exactly = attempt % 2 == 1;
  const bool tracks = (attempt / 2 == 0) != norm.batch_in_evaluation;
  if (attempt >= 4) return false;
  cbn_write_integer(writer, "num_features", norm.features);
  cbn_write_real(writer, "eps", exactly ? norm.epsilon : cbn_short_real(norm.epsilon));
  if (norm.cumulative) cbn_write_null(writer, "momentum");
  else cbn_write_real(writer, "momentum", exactly ? norm.new_weight : cbn_short_new_weight(norm.new_weight));
  cbn_write_boolean(writer, "affine", norm.has_weight || norm.has_bias);
  cbn_write_boolean(writer, "track_running_stats", tracks);
  if (norm.has_weight && !norm.has_bias) cbn_write_boolean(writer, "bias", false);
  return true;
}

/* The function trains or it does not, whoever calls it. */
static bool write_batchnorm_function(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  const bool exactly = attempt % 2 == 1;
  if (attempt >= (norm.batch_in_training == norm.batch_in_evaluation ? 2 : 4)) return false;
  cbn_write_boolean(writer, "training", (attempt / 2 == 0) == norm.batch_in_evaluation);
  cbn_write_real(writer, "momentum", exactly ? norm.new_weight : cbn_short_new_weight(norm.new_weight));
  cbn_write_real(writer, "eps", exactly ? norm.epsilon : cbn_short_real(norm.epsilon));
  return true;
}

static bool write_parameters(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                             cbn_writer *writer) {
  const cbn_conv *c = &cbn_wished_plan(wish)->conv;
  const bool function = is_function(operator);
  if (operator->kind == CBN_OPERATOR_BATCHNORM)
    return function ? write_batchnorm_function(wish, attempt, writer) : write_batchnorm(wish, attempt, writer);
  return operator->transposed ? write_transposed(c, function, attempt, writer)
                              : write_forward(c, function, attempt, writer);
}

extern const cbn_dialect cbn_dialect_pytorch;
const cbn_framework cbn_framework_pytorch = {.dialect = &cbn_dialect_pytorch,
                                             .module = "torch",
                                             .tensor_name = tensor_name,
                                             .takes_tensors = is_function,
                                             .arguments = arguments,
                                             .orders = cbn_operators_order,
                                             .write = write_parameters};
