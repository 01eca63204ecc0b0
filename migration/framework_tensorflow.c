/* TensorFlow's functions, written: tf.nn. */
#include <string.h>

#include "dialects/layout.h"
#include "dialects/tensorflow.h"
#include "migration/proposal.h"

static bool is_called(const cbn_dialect_operator *operator, const char * name) {
  return strcmp(operator->name, name) == 0;
}
static bool is_depthwise(const cbn_dialect_operator *operator) { return is_called(operator, "nn.depthwise_conv2d"); }

/* It never trains. */
static bool is_arithmetic(const cbn_dialect_operator *operator) {
  return is_called(operator, "nn.batch_normalization");
}

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  static const char *const conv[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = "input", [CBN_ROLE_WEIGHT] = "filters"};
  static const char *const norm[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = "x",
                                                   [CBN_ROLE_WEIGHT] = "scale",
                                                   [CBN_ROLE_BIAS] = "offset",
                                                   [CBN_ROLE_RUNNING_MEAN] = "mean",
                                                   [CBN_ROLE_RUNNING_VAR] = "variance"};
  if (role == CBN_ROLE_WEIGHT && is_depthwise(operator)) return "filter";
  return operator->kind == CBN_OPERATOR_CONV ? conv[role] : norm[role];
}

static const int *arguments(const cbn_dialect_operator *operator) {
  static const int norm[] = {CBN_ROLE_INPUT, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR,
                             CBN_ROLE_BIAS,  CBN_ROLE_WEIGHT,       -1};
  return is_arithmetic(operator) ? norm : NULL;
}

static void orders(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan) {
  cbn_operators_order(operator, params, axes, plan);
  if (is_depthwise(operator)) cbn_plan_depthwise(plan, axes);
  else if (operator->kind == CBN_OPERATOR_CONV) cbn_plan_kernel_first(plan, axes);
  if (cbn_tensorflow_channels_last(params)) cbn_plan_channels_last(plan, axes);
}

/* A list of all axes of the input, channels last. */
static void write_all_axes(const char *name, int32_t axes, const int64_t *values, cbn_writer *writer) {
  int64_t all[CBN_MAX_SPATIAL + 2] = {[0] = 1};
  for (int32_t a = 0; a < axes; a++) all[a + 1] = values[a];
  all[axes + 1] = 1;
  cbn_write_list(writer, name, axes + 2, all);
}

/* Amounts can be given of two axes only. */
enum { PADDINGS = 3 };
static bool write_padding(const cbn_conv *c, int attempt, cbn_writer *writer) {
  int64_t begin[CBN_MAX_SPATIAL], end[CBN_MAX_SPATIAL];
  cbn_not_negative(c->pad_begin, begin);
  cbn_not_negative(c->pad_end, end);
  if (attempt == 0) cbn_write_text(writer, "padding", "SAME");
  else if (attempt == 1) cbn_write_text(writer, "padding", "VALID");
  else if (attempt == 2 && c->spatial_rank == 2)
    cbn_write_pairs(writer, "padding", 4, (const int64_t[]){0, begin[0], begin[1], 0},
                    (const int64_t[]){0, end[0], end[1], 0});
  else return false;
  return true;
}

/* nn.conv3d hands its lists to the operator behind it, which wants all entries; nn.depthwise_conv2d that of strides. */
static bool write_convolution(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                              cbn_writer *writer) {
  const cbn_conv *c = &cbn_wished_plan(wish)->conv;
  const int32_t axes = c->spatial_rank;
  const bool depthwise = is_depthwise(operator), lists = is_called(operator, "nn.conv3d");
  const char *const strides = is_called(operator, "nn.conv1d") ? "stride" : "strides";
  if (operator->transposed) {
    int64_t shape[CBN_MAX_RANK] = {[0] = c->batch};
    for (int32_t a = 0; a < axes; a++) shape[a + 1] = cbn_conv_output_extent(c, a);
    shape[axes + 1] = c->out_channels;
    if (attempt >= PADDINGS && axes == 2) cbn_write_list(writer, "output_shape", axes, shape + 1); /* for any batch */
    else cbn_write_list(writer, "output_shape", axes + 2, shape);
  }
  if (lists || depthwise) write_all_axes(strides, axes, c->stride, writer);
  else cbn_write_entries(writer, strides, axes, c->stride);
  if (!write_padding(c, operator->transposed && axes == 2 && attempt<2 * PADDINGS ? attempt % PADDINGS : attempt,
                     writer))
    return false;
  if (lists) write_all_axes("dilations", axes, c->dilation, writer);
  else if (depthwise) cbn_write_list(writer, "dilations", axes, c->dilation);
  else cbn_write_entries(writer, "dilations", axes, c->dilation);
  return true;
}

/* The function trains or it does not, whoever calls it. */
static bool write_batchnorm(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  if (attempt > 1 || (attempt == 1 && norm.batch_in_training == norm.batch_in_evaluation)) return false;
  cbn_write_real(writer, "epsilon", cbn_short_real(norm.epsilon));
  cbn_write_boolean(writer, "is_training", (attempt == 0) == norm.batch_in_evaluation);
  cbn_write_real(writer, "exponential_avg_factor", cbn_short_real(norm.new_weight));
  return true;
}

static bool write_arithmetic(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const double epsilon = cbn_wished_batchnorm(wish).epsilon;
  if (attempt > 1) return false;
  cbn_write_real(writer, "variance_epsilon", attempt == 1 ? epsilon : cbn_short_real(epsilon));
  return true;
}

static bool write_parameters(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                             cbn_writer *writer) {
  if (is_arithmetic(operator)) return write_arithmetic(wish, attempt, writer);
  return operator->kind == CBN_OPERATOR_CONV ? write_convolution(operator, wish, attempt, writer)
                                             : write_batchnorm(wish, attempt, writer);
}

extern const cbn_dialect cbn_dialect_tensorflow;
const cbn_framework cbn_framework_tensorflow = {.dialect = &cbn_dialect_tensorflow,
                                                .module = "tf",
                                                .tensor_name = tensor_name,
                                                .takes_tensors = cbn_takes_tensors,
                                                .arguments = arguments,
                                                .orders = orders,
                                                .write = write_parameters};
