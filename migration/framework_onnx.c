/* ONNX's operators, written: the attributes of a node. */
#include <string.h>

#include "dialects/parameters.h"
#include "migration/proposal.h"

/* Up to this operator set a batch normalization trains where the outputs of training are asked for. */
enum { TRAINS_BY_OUTPUTS = 13 };

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  static const char *const conv[CBN_ROLE_COUNT] = {
      [CBN_ROLE_INPUT] = "X", [CBN_ROLE_WEIGHT] = "W", [CBN_ROLE_BIAS] = "B"};
  static const char *const norm[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = "X",
                                                   [CBN_ROLE_WEIGHT] = "scale",
                                                   [CBN_ROLE_BIAS] = "B",
                                                   [CBN_ROLE_RUNNING_MEAN] = "mean",
                                                   [CBN_ROLE_RUNNING_VAR] = "var"};
  return operator->kind == CBN_OPERATOR_CONV ? conv[role] : norm[role];
}

/* All amounts before, then all behind. */
static void write_pads(int32_t axes, const int64_t *begin, const int64_t *end, cbn_writer *writer) {
  int64_t pads[2 * CBN_MAX_SPATIAL];
  memcpy(pads, begin, (size_t)axes * sizeof *pads);
  memcpy(pads + axes, end, (size_t)axes * sizeof *pads);
  cbn_write_list(writer, "pads", 2 * axes, pads);
}

/* By amounts first: auto_pad is deprecated, and its names are where runtimes differ. */
static bool write_padding(const cbn_conv *c, int attempt, cbn_writer *writer) {
  static const char *const names[] = {"SAME_UPPER", "SAME_LOWER"};
  static const int64_t nothing[CBN_MAX_SPATIAL] = {0};
  int64_t begin[CBN_MAX_SPATIAL], end[CBN_MAX_SPATIAL];
  cbn_not_negative(c->pad_begin, begin);
  cbn_not_negative(c->pad_end, end);
  if (attempt == 0) write_pads(c->spatial_rank, begin, end, writer);
  else if (attempt == 1) write_pads(c->spatial_rank, nothing, nothing, writer);
  else if (attempt < 4) cbn_write_text(writer, "auto_pad", names[attempt - 2]);
  return attempt < 4;
}

/* By the extents of the output, at this input, which may be longer than what no padding makes. */
static bool write_output_shape(const cbn_conv *c, int attempt, cbn_writer *writer) {
  static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER"};
  int64_t extent[CBN_MAX_SPATIAL];
  if (attempt > 2) return false;
  for (int32_t a = 0; a < c->spatial_rank; a++) extent[a] = cbn_conv_output_extent(c, a);
  cbn_write_text(writer, "auto_pad", names[attempt]);
  cbn_write_list(writer, "output_shape", c->spatial_rank, extent);
  return true;
}

static bool write_convolution(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                              cbn_writer *writer) {
  const cbn_conv *c = &cbn_wished_plan(wish)->conv;
  int64_t output_padding[CBN_MAX_SPATIAL];
  cbn_not_negative(c->output_padding, output_padding);
  for (int32_t a = 0; attempt == 0 && a < c->spatial_rank; a++) /* what pads cannot add */
    if (c->pad_end[a] < 0) output_padding[a] = cbn_saturating_add(output_padding[a], -c->pad_end[a]);
  if (!write_padding(c, attempt, writer) && !(operator->transposed && write_output_shape(c, attempt - 4, writer)))
    return false;
  cbn_write_list(writer, "dilations", c->spatial_rank, c->dilation);
  cbn_write_integer(writer, "group", c->groups);
  cbn_write_list(writer, "kernel_shape", c->spatial_rank, c->kernel);
  cbn_write_list(writer, "strides", c->spatial_rank, c->stride);
  if (operator->transposed) cbn_write_list(writer, "output_padding", c->spatial_rank, output_padding);
  return true;
}

/* momentum weighs the old statistics. A node trains or it does not, but for those of old operator sets. */
static bool write_batchnorm(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  if (attempt > 2 || (attempt > 0 && norm.batch_in_training == norm.batch_in_evaluation)) return false;
  cbn_write_real(writer, "epsilon", cbn_short_real(norm.epsilon));
  cbn_write_real(writer, "momentum", cbn_short_real(cbn_old_weight(norm.new_weight)));
  if (attempt == 2) cbn_write_integer(writer, "opset", TRAINS_BY_OUTPUTS);
  else cbn_write_integer(writer, "training_mode", (attempt == 0) == norm.batch_in_evaluation);
  return true;
}

static bool write_parameters(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                             cbn_writer *writer) {
  return operator->kind == CBN_OPERATOR_CONV ? write_convolution(operator, wish, attempt, writer)
                                             : write_batchnorm(wish, attempt, writer);
}

/* Lists have as many entries as W has axes, pads do not go together with auto_pad, and
 * old operator sets have no training_mode. */
static bool hides(const cbn_dialect_operator *operator, const cbn_value * params, const char *name) {
  static const char *const hidden[] = {"dilations", "strides", "pads", "output_padding"};
  const cbn_value *opset = cbn_value_get(params, "opset");
  (void)operator;
  for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
    if (strcmp(name, hidden[i]) == 0) return true;
  return strcmp(name, "training_mode") == 0 && opset != NULL && opset->kind == CBN_INTEGER &&
         opset->as.integer <= TRAINS_BY_OUTPUTS;
}

/* Of a node as it is written above. */
static const char *caution(const cbn_dialect_operator *operator, const cbn_value * params) {
  const cbn_value *opset = cbn_value_get(params, "opset"), *auto_pad = cbn_value_get(params, "auto_pad");
  const cbn_value *kernel = cbn_value_get(params, "kernel_shape");
  if (operator->kind == CBN_OPERATOR_BATCHNORM)
    return opset == NULL ? NULL
                         : "the node of operator set 13 evaluates; it trains with "
                           "outputs=['Y', 'mean', 'var', 'saved_mean', 'saved_var'], which ONNX Runtime refuses";
  if (auto_pad == NULL || !(cbn_value_is(auto_pad, "SAME_UPPER") || cbn_value_is(auto_pad, "SAME_LOWER"))) return NULL;
  for (size_t a = 0; kernel != NULL && a < kernel->as.list.count; a++) {
    const int64_t dilation = cbn_written_entry(params, "dilations", a, 1);
    const int64_t reach = cbn_dilated_kernel(cbn_written_entry(params, "kernel_shape", a, 1), dilation);
    if (!operator->transposed && dilation != 1)
      return "ONNX Runtime refuses auto_pad SAME with a dilation; onnx.reference takes it";
    if (operator->transposed &&
        cbn_written_entry(params, "strides", a, 1) > reach + cbn_written_entry(params, "output_padding", a, 0))
      return "ONNX Runtime makes a shorter output than the specification where a stride is longer than the kernel";
  }
  return NULL;
}

extern const cbn_dialect cbn_dialect_onnx;
const cbn_framework cbn_framework_onnx = {.dialect = &cbn_dialect_onnx,
                                          .module = "",
                                          .tensor_name = tensor_name,
                                          .takes_tensors = cbn_takes_tensors,
                                          .aside = "opset",
                                          .orders = cbn_operators_order,
                                          .write = write_parameters,
                                          .hides = hides,
                                          .caution = caution};
