/* JAX: the convolutions of jax.lax. Functions of two arrays, whose shapes say what elsewhere parameters do; the order of
 * the arrays' axes is a parameter. */
#include "dialects/jax.h"

#include <string.h>

const cbn_value *cbn_jax_given(const cbn_value *params, const char *name) {
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || value->kind == CBN_NULL ? NULL : value;
}

cbn_entries cbn_jax_entries(const cbn_value *value) {
  cbn_entries entries = cbn_as_entries(value);
  const bool text = value != NULL && value->kind == CBN_STRING;
  if (!text && (value == NULL || value->kind != CBN_MAP)) return entries;
  const size_t length = text ? value->as.string.length : value->as.map.count;
  entries.sequence = true;
  entries.count = length < CBN_MAX_NATIVE_RANK ? (int)length : CBN_MAX_NATIVE_RANK;
  for (int i = 0; i < entries.count; i++) entries.entry[i] = text ? value : value->as.map.keys[i];
  return entries;
}

cbn_entries cbn_jax_repeated(const cbn_value *value, int count) {
  static const cbn_value one = {.kind = CBN_INTEGER, .as.integer = 1};
  cbn_entries entries = {.sequence = true, .count = count < CBN_MAX_NATIVE_RANK ? count : CBN_MAX_NATIVE_RANK};
  for (int i = 0; i < entries.count; i++) entries.entry[i] = value == NULL ? &one : value;
  return entries;
}

int32_t cbn_jax_type(const cbn_value *value) {
  static const struct {
    const char *name;
    int32_t type;
  } known[] = {{"float32", CBN_F32},
               {"float64", CBN_F64},
               {"float", CBN_F64},
               {"float16", CBN_F16},
               {"bfloat16", CBN_BF16},
               {"int8", CBN_JAX_OTHER_TYPE},
               {"int16", CBN_JAX_OTHER_TYPE},
               {"int32", CBN_JAX_OTHER_TYPE},
               {"int64", CBN_JAX_OTHER_TYPE},
               {"complex64", CBN_JAX_OTHER_TYPE},
               {"complex128", CBN_JAX_OTHER_TYPE}};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (cbn_value_is(value, known[i].name)) return known[i].type;
  return -1;
}

bool cbn_jax_reject_type(const char *name, const cbn_value *value, const char *wanted, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_TYPE_ERROR, "%s must be %s, got %s", name, wanted,
                    cbn_printed_value(value).text);
}

bool cbn_jax_reject_length(const char *name, int wanted, int count, const char *exception, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, exception, "%s must have %d entries, got %d", name, wanted, count);
}

static const cbn_dialect_operator operators[] = {
    {.name = "lax.conv_general_dilated",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(window_strides, padding, lhs_dilation=None, rhs_dilation=None, dimension_numbers=None, "
                  "feature_group_count=1, batch_group_count=1, precision=None, preferred_element_type=None, "
                  "out_sharding=None)",
     .plan = cbn_jax_convolution},
    {.name = "lax.conv",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(window_strides, padding, precision=None, preferred_element_type=None)",
     .plan = cbn_jax_convolution},
    {.name = "lax.conv_with_general_padding",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(window_strides, padding, lhs_dilation, rhs_dilation, precision=None, preferred_element_type=None)",
     .plan = cbn_jax_convolution},
    {.name = "lax.conv_transpose",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .transposed = true,
     .signature = "(strides, padding, rhs_dilation=None, dimension_numbers=None, transpose_kernel=False, "
                  "precision=None, preferred_element_type=None, use_consistent_padding=False)",
     .plan = cbn_jax_transposed},
};

const cbn_dialect cbn_dialect_jax = {.name = "jax",
                                     .profile = "JAX 0.10.2, CPU, jax_enable_x64",
                                     .trains_by_default = true,
                                     .arithmetic = CBN_FLUSHES_SUBNORMALS,
                                     .operators = operators,
                                     .operator_count = sizeof operators / sizeof operators[0]};
