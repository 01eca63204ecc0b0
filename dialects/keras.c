/* Keras: the convolutions, transposed and depthwise ones, and the batch normalization of keras.layers.
 *
 * A layer learns of its input's channels in its first call. What computes it, and refuses some of it, is a backend, which the
 * parameter `backend` names as keras.backend.backend() does; Keras itself has no such parameter. */
#include "dialects/keras.h"

#include <string.h>

const cbn_value *cbn_keras_given(const cbn_value *params, const char *name) {
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || value->kind == CBN_NULL ? NULL : value;
}

bool cbn_keras_refuse(const cbn_value *params, const char *const *names, cbn_rejection *r) {
  for (; *names != NULL; names++)
    if (cbn_keras_given(params, *names) != NULL && !cbn_value_is(cbn_parameter(params, *names), "linear"))
      return cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED, "%s is not known here, got %s", *names,
                        cbn_printed_value(cbn_parameter(params, *names)).text);
  return true;
}

static bool read_backend(const cbn_value *params, bool *jax, cbn_rejection *r) {
  const cbn_value *backend = cbn_parameter(params, "backend");
  *jax = cbn_value_is(backend, "jax");
  return backend == NULL || *jax || cbn_value_is(backend, "tensorflow") ||
         cbn_reject(r, CBN_RULE_FRAMEWORK_LIMIT, CBN_NOT_IMPLEMENTED, "backend must be tensorflow or jax, got %s",
                    cbn_printed_value(backend).text);
}

static bool check_name(const cbn_value *params, cbn_rejection *r) {
  const cbn_value *name = cbn_keras_given(params, "name");
  return name == NULL || (name->kind == CBN_STRING && strchr(name->as.string.text, '/') == NULL) ||
         cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, "name must be a string without /, got %s",
                    cbn_printed_value(name).text);
}

bool cbn_keras_make(const cbn_value *params, const char *const *names, int required, cbn_keras_layer *layer,
                    cbn_rejection *r) {
  static const char *const refused[] = {"dtype", "activity_regularizer", "input_dim", "input_shape", NULL};
  const cbn_value *trainable = cbn_parameter(params, "trainable");
  *layer = (cbn_keras_layer){.params = params, .trainable = cbn_as_truth(trainable, true)};
  for (int i = 0; i < required; i++)
    if (cbn_parameter(params, names[i]) == NULL)
      return cbn_reject(r, CBN_RULE_MISSING_PARAMETER, CBN_TYPE_ERROR, "the parameter '%s' is missing", names[i]);
  if (!read_backend(params, &layer->jax, r) || !check_name(params, r) || !cbn_keras_refuse(params, refused, r))
    return false;
  if (!cbn_check_names(params, names, 0, r)) {
    r->exception = CBN_VALUE_ERROR;
    return false;
  }
  return trainable == NULL || trainable->kind == CBN_BOOLEAN ||
         cbn_reject(r, CBN_RULE_PARAMETER_TYPE, CBN_VALUE_ERROR, "trainable must be a boolean, got %s",
                    cbn_printed_value(trainable).text);
}

static bool is_among(const char *text, const char *const *names) {
  for (; *names != NULL; names++)
    if (strcmp(text, *names) == 0) return true;
  return false;
}

bool cbn_keras_initializer(const cbn_value *params, const char *name, const char *fallback, int axes, int role,
                           cbn_plan *plan, cbn_rejection *r) {
  static const char *const zeros[] = {"zeros", "zero", "Zeros", NULL}, *const ones[] = {"ones", "one", "Ones", NULL};
  static const char *const constants[] = {"constant", "Constant", NULL};
  static const char *const matrices[] = {"orthogonal", "Orthogonal", "OrthogonalInitializer", NULL};
  static const char *const squares[] = {"identity", "Identity", "IdentityInitializer", NULL}; /* of two axes alone */
  static const char *const drawn[] = {"glorot_normal",
                                      "glorot_uniform",
                                      "he_normal",
                                      "he_uniform",
                                      "lecun_normal",
                                      "lecun_uniform",
                                      "random_normal",
                                      "random_uniform",
                                      "truncated_normal",
                                      "normal",
                                      "uniform",
                                      "variance_scaling",
                                      "GlorotNormal",
                                      "GlorotUniform",
                                      "HeNormal",
                                      "HeUniform",
                                      "LecunNormal",
                                      "LecunUniform",
                                      "RandomNormal",
                                      "RandomUniform",
                                      "TruncatedNormal",
                                      "VarianceScaling",
                                      NULL};
  const cbn_value *value = cbn_parameter(params, name);
  if (value != NULL && value->kind == CBN_NULL) return true; /* the same as glorot_uniform */
  const char *text = value == NULL ? fallback : value->kind == CBN_STRING ? value->as.string.text : "";
  if (is_among(text, constants))
    return cbn_reject(r, CBN_RULE_INITIALIZER_UNKNOWN, CBN_KEY_ERROR, "%s: a constant by name has no value", name);
  plan->has_initial[role] = is_among(text, zeros) || is_among(text, ones);
  plan->initial[role] = is_among(text, ones);
  return plan->has_initial[role] || is_among(text, drawn) || (axes != 1 && is_among(text, matrices)) ||
         (axes == 0 && is_among(text, squares)) ||
         cbn_reject(r, CBN_RULE_INITIALIZER_UNKNOWN, CBN_VALUE_ERROR, "%s is no initializer of a tensor of %d axes: %s",
                    name, axes, cbn_printed_value(value).text);
}

#define SHARED                                                                                                         \
  "activation=None, use_bias=True, kernel_initializer='glorot_uniform', bias_initializer='zeros', "                    \
  "kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None, "                \
  "bias_constraint=None, trainable=True, backend='tensorflow')"
#define CONVOLUTION(axes)                                                                                              \
  {                                                                                                                    \
    .name = "layers.Conv" #axes "D", .kind = CBN_OPERATOR_CONV, .spatial_rank = axes,                                  \
    .signature =                                                                                                       \
        "(filters, kernel_size, strides=1, padding='valid', data_format=None, dilation_rate=1, groups=1, " SHARED,     \
    .plan = cbn_keras_convolution                                                                                      \
  }
#define TRANSPOSED(axes)                                                                                               \
  {                                                                                                                    \
    .name = "layers.Conv" #axes "DTranspose", .kind = CBN_OPERATOR_CONV, .spatial_rank = axes, .transposed = true,     \
    .signature =                                                                                                       \
        "(filters, kernel_size, strides=1, padding='valid', output_padding=None, data_format=None, "                   \
        "dilation_rate=1, " SHARED,                                                                                    \
    .plan = cbn_keras_convolution                                                                                      \
  }
#define DEPTHWISE(axes)                                                                                                \
  {                                                                                                                    \
    .name = "layers.DepthwiseConv" #axes "D", .kind = CBN_OPERATOR_CONV, .spatial_rank = axes,                         \
    .signature =                                                                                                       \
        "(kernel_size, strides=1, padding='valid', depth_multiplier=1, data_format=None, dilation_rate=1, "            \
        "activation=None, use_bias=True, depthwise_initializer='glorot_uniform', bias_initializer='zeros', "           \
        "depthwise_regularizer=None, bias_regularizer=None, activity_regularizer=None, "                               \
        "depthwise_constraint=None, bias_constraint=None, trainable=True, backend='tensorflow')",                      \
    .plan = cbn_keras_convolution                                                                                      \
  }

/* A layer reads these at every call. */
static const char *const batchnorm_changeable[] = {"epsilon", "momentum", "trainable", NULL};

static const cbn_dialect_operator operators[] = {
    CONVOLUTION(1),
    CONVOLUTION(2),
    CONVOLUTION(3),
    TRANSPOSED(1),
    TRANSPOSED(2),
    TRANSPOSED(3),
    DEPTHWISE(1),
    DEPTHWISE(2),
    {.name = "layers.BatchNormalization",
     .kind = CBN_OPERATOR_BATCHNORM,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(axis=-1, momentum=0.99, epsilon=0.001, center=True, scale=True, beta_initializer='zeros', "
                  "gamma_initializer='ones', moving_mean_initializer='zeros', moving_variance_initializer='ones', "
                  "beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None, "
                  "renorm=False, renorm_clipping=None, renorm_momentum=0.99, synchronized=False, trainable=True, "
                  "backend='tensorflow')",
     .plan = cbn_keras_batchnorm,
     .changeable = batchnorm_changeable},
};

const cbn_dialect cbn_dialect_keras = {
    .name = "keras",
    .profile = "Keras 3.15.1, TensorFlow 2.21.0 with TF_ENABLE_ONEDNN_OPTS=0 or JAX 0.8.1, CPU",
    .trains_by_default = false,
    .arithmetic = CBN_NARROW_SUMS, /* f16 and bf16: the bias is added to what is rounded */
    .operators = operators,
    .operator_count = sizeof operators / sizeof operators[0]};
