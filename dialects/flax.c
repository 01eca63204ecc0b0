/* Flax: the layers of flax.linen. */
#include "dialects/flax.h"

static bool reject_result(const cbn_value *value, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED,
                    "a result of another type than the input's is not "
                    "implemented here, got dtype %s",
                    cbn_printed_value(value).text);
}

bool cbn_flax_check_result(const cbn_request *request, cbn_rejection *r) {
  const cbn_value *value = cbn_jax_given(request->params, "dtype");
  if (value == NULL && request->input_type == request->layer_type) return true;
  if (value != NULL && cbn_jax_type(value) < 0) return cbn_jax_reject_type("dtype", value, "a type", r);
  return (value != NULL && cbn_jax_type(value) == request->input_type) || reject_result(value, r);
}

bool cbn_flax_check_parameters(const cbn_request *request, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(request->params, "param_dtype");
  if (value == NULL) return true;
  if (value->kind != CBN_STRING || cbn_jax_type(value) < 0)
    return cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED,
                      "param_dtype must be the name of a type here, got %s", cbn_printed_value(value).text);
  return cbn_jax_type(value) == request->layer_type ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, CBN_NOT_IMPLEMENTED,
                    "param_dtype other than the type of the layer's tensors is not implemented here");
}

static const char *const changeable[] = {"use_running_average", "momentum", "epsilon", NULL};

static const cbn_dialect_operator operators[] = {
    {.name = "linen.Conv",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(features, kernel_size, strides=1, padding='SAME', input_dilation=1, kernel_dilation=1, "
                  "feature_group_count=1, use_bias=True, dtype=None, param_dtype=float32, precision=None)",
     .plan = cbn_flax_convolution},
    {.name = "linen.ConvTranspose",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .transposed = true,
     .signature =
         "(features, kernel_size, strides=None, padding='SAME', kernel_dilation=None, use_bias=True, dtype=None, "
         "param_dtype=float32, precision=None, transpose_kernel=False, preferred_element_type=None)",
     .plan = cbn_flax_transposed},
    {.name = "linen.BatchNorm",
     .kind = CBN_OPERATOR_BATCHNORM,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(use_running_average=None, axis=-1, momentum=0.99, epsilon=1e-05, dtype=None, param_dtype=float32, "
                  "use_bias=True, use_scale=True, axis_name=None, axis_index_groups=None, use_fast_variance=True, "
                  "force_float32_reductions=True)",
     .plan = cbn_flax_batchnorm,
     .changeable = changeable,
     .resets = true},
};

const cbn_dialect cbn_dialect_flax = {
    .name = "flax",
    .profile = "Flax 0.12.8, JAX 0.10.2, CPU, jax_enable_x64",
    .trains_by_default = true,
    .arithmetic = CBN_FLUSHES_SUBNORMALS,
    .operators = operators,
    .operator_count = sizeof operators / sizeof operators[0]};
