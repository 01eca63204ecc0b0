/* The canonical operators, written: field by field. */
#include "migration/proposal.h"

static const char *const directions[] = {"forward", "grad_input", "grad_weight", "grad_bias"};

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  const bool statistic = role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR;
  if (statistic && operator->kind == CBN_OPERATOR_CONV) return NULL;
  return role == CBN_ROLE_WEIGHT || role == CBN_ROLE_BIAS || statistic ? cbn_role_name(role) : NULL;
}

static bool write_convolution(const cbn_conv *c, int attempt, cbn_writer *writer) {
  static const char *const modes[] = {[CBN_PAD_ZEROS] = "zeros",
                                      [CBN_PAD_REFLECT] = "reflect",
                                      [CBN_PAD_REPLICATE] = "replicate",
                                      [CBN_PAD_CIRCULAR] = "circular"};
  const int32_t axes = c->spatial_rank;
  cbn_write_integer(writer, "out_channels", c->out_channels);
  cbn_write_entries(writer, "kernel", axes, c->kernel);
  cbn_write_integer(writer, "groups", c->groups);
  cbn_write_entries(writer, "stride", axes, c->stride);
  cbn_write_entries(writer, "dilation", axes, c->dilation);
  cbn_write_entries(writer, "pad_begin", axes, c->pad_begin);
  cbn_write_entries(writer, "pad_end", axes, c->pad_end);
  cbn_write_entries(writer, "input_dilation", axes, c->input_dilation);
  cbn_write_boolean(writer, "transposed", c->transposed);
  cbn_write_entries(writer, "output_padding", axes, c->output_padding);
  cbn_write_text(writer, "padding_mode", modes[c->padding_mode]);
  cbn_write_boolean(writer, "bias", c->has_bias);
  cbn_write_text(writer, "direction", directions[c->direction]);
  return attempt == 0;
}

/* What differs between the modes is left to them. */
static bool write_batchnorm(const cbn_wish *wish, int attempt, cbn_writer *writer) {
  const cbn_wished_norm norm = cbn_wished_batchnorm(wish);
  const cbn_batchnorm *training = &wish->training[0].batchnorm, *evaluation = &wish->evaluation.batchnorm;
  const cbn_batchnorm *b = wish->trains ? training : evaluation;
  const bool one_mode = !wish->trains || !wish->evaluates;
  const bool exactly = attempt == 1;
  if (attempt > 1) return false;
  cbn_write_real(writer, "epsilon", exactly ? norm.epsilon : cbn_short_real(norm.epsilon));
  cbn_write_real(writer, "new_weight", exactly ? norm.new_weight : cbn_short_real(norm.new_weight));
  if (one_mode || training->statistics == evaluation->statistics)
    cbn_write_text(writer, "statistics", b->statistics == CBN_STATISTICS_BATCH ? "batch" : "running");
  if (one_mode || training->update_running == evaluation->update_running)
    cbn_write_boolean(writer, "update_running", b->update_running);
  cbn_write_text(writer, "running_variance", b->running_variance == CBN_VARIANCE_BIASED ? "biased" : "unbiased");
  cbn_write_boolean(writer, "weight", b->has_weight);
  cbn_write_boolean(writer, "bias", b->has_bias);
  cbn_write_text(writer, "direction", directions[b->direction]);
  return true;
}

static bool write_parameters(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                             cbn_writer *writer) {
  return operator->kind == CBN_OPERATOR_CONV ? write_convolution(&cbn_wished_plan(wish)->conv, attempt, writer)
                                             : write_batchnorm(wish, attempt, writer);
}

extern const cbn_dialect cbn_dialect_canonical;
const cbn_framework cbn_framework_canonical = {.dialect = &cbn_dialect_canonical,
                                               .module = "convbn",
                                               .tensor_name = tensor_name,
                                               .takes_tensors = cbn_holds_tensors,
                                               .orders = cbn_operators_order,
                                               .write = write_parameters};
