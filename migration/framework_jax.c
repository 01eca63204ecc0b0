/* JAX's convolutions, written: jax.lax. */
#include <string.h>

#include "dialects/jax.h"
#include "migration/proposal.h"

static bool is_general(const cbn_dialect_operator *operator) {
  return strcmp(operator->name, "lax.conv_general_dilated") == 0;
}

static const char *tensor_name(const cbn_dialect_operator *operator, int role) {
  (void)operator;
  return role == CBN_ROLE_INPUT ? "lhs" : role == CBN_ROLE_WEIGHT ? "rhs" : NULL;
}

static void orders(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan) {
  cbn_operators_order(operator, params, axes, plan);
  cbn_jax_orders(operator, params, axes, plan);
}

static bool write_padding(bool lower, const cbn_conv *c, const int64_t *begin, const int64_t *end, int attempt,
                          cbn_writer *writer) {
  static const int64_t nothing[CBN_MAX_SPATIAL] = {0};
  static const char *const names[] = {"SAME", "VALID", "SAME_LOWER"};
  const int named = lower ? 3 : 2;
  if (attempt < named) cbn_write_text(writer, "padding", names[attempt]);
  else if (attempt == named) cbn_write_pairs(writer, "padding", c->spatial_rank, begin, end);
  else if (attempt == named + 1) cbn_write_pairs(writer, "padding", c->spatial_rank, nothing, nothing);
  return attempt <= named + 1;
}

static bool write_forward(const cbn_dialect_operator *operator, const cbn_conv * c, int attempt, cbn_writer *writer) {
  cbn_write_list(writer, "window_strides", c->spatial_rank, c->stride);
  if (!write_padding(true, c, c->pad_begin, c->pad_end, attempt, writer)) return false;
  if (strcmp(operator->name, "lax.conv") == 0) return true;
  cbn_write_list(writer, "lhs_dilation", c->spatial_rank, c->input_dilation);
  cbn_write_list(writer, "rhs_dilation", c->spatial_rank, c->dilation);
  if (is_general(operator)) cbn_write_integer(writer, "feature_group_count", c->groups);
  return true;
}

/* With the kernel transposed it is the transposed convolution, else a convolution of a dilated input. */
static bool write_transposed(const cbn_conv *c, int attempt, cbn_writer *writer) {
  int64_t begin[CBN_MAX_SPATIAL], end[CBN_MAX_SPATIAL];
  cbn_dilated_padding(c, begin, end);
  cbn_write_list(writer, "strides", c->spatial_rank, c->transposed ? c->stride : c->input_dilation);
  if (!write_padding(false, c, begin, end, attempt, writer)) return false;
  cbn_write_list(writer, "rhs_dilation", c->spatial_rank, c->dilation);
  cbn_write_boolean(writer, "transpose_kernel", c->transposed);
  return true;
}

static bool write_parameters(const cbn_dialect_operator *operator, const cbn_wish * wish, int attempt,
                             cbn_writer *writer) {
  const cbn_conv *c = &cbn_wished_plan(wish)->conv;
  return operator->transposed ? write_transposed(c, attempt, writer) : write_forward(operator, c, attempt, writer);
}

extern const cbn_dialect cbn_dialect_jax;
const cbn_framework cbn_framework_jax = {.dialect = &cbn_dialect_jax,
                                         .module = "jax",
                                         .tensor_name = tensor_name,
                                         .takes_tensors = cbn_takes_tensors,
                                         .orders = orders,
                                         .write = write_parameters};
