/* Keras' layers, by file: what dialects/keras.c lists, and what they share. Sources: the documentation of keras.layers;
 * where it is silent or wrong, what Keras 3.15.1 does on two of its backends, TensorFlow 2.21.0 and JAX 0.8.1, on a CPU
 * (docs/framework-rules.md, in whose order the checks stand). */
#ifndef CBN_DIALECTS_KERAS_H
#define CBN_DIALECTS_KERAS_H

#include "dialects/parameters.h"

/* What Keras and its backends raise: Python's own classes, and of TensorFlow those of tf.errors. */
#define CBN_VALUE_ERROR "ValueError"
#define CBN_TYPE_ERROR "TypeError"
#define CBN_ATTRIBUTE_ERROR "AttributeError"
#define CBN_INDEX_ERROR "IndexError"
#define CBN_OVERFLOW_ERROR "OverflowError"
#define CBN_KEY_ERROR "KeyError"
#define CBN_ZERO_DIVISION_ERROR "ZeroDivisionError"
#define CBN_INVALID_ARGUMENT "InvalidArgumentError"
#define CBN_UNIMPLEMENTED "UnimplementedError"
/* ... and what this dialect refuses though Keras computes it. */
#define CBN_NOT_IMPLEMENTED "NotImplemented"

/* layers.Conv1D, 2D, 3D, layers.Conv1DTranspose, 2D, 3D, layers.DepthwiseConv1D and 2D. */
bool cbn_keras_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                           cbn_rejection *rejection);

/* layers.BatchNormalization. */
bool cbn_keras_batchnorm(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                         cbn_rejection *rejection);

/* The names that every layer has, behind its own. */
#define CBN_KERAS_LAYER_NAMES                                                                                          \
  "activity_regularizer", "trainable", "dtype", "autocast", "name", "input_dim", "input_shape", "backend", NULL

/* What every layer's constructor has in common, before it looks at its own parameters. `names` are its own and those of
 * every layer, `required` of which, the leading ones, have no default. */
typedef struct cbn_keras_layer {
  const cbn_value *params;
  bool jax; /* the backend; else TensorFlow */
  bool trainable;
} cbn_keras_layer;
bool cbn_keras_make(const cbn_value *params, const char *const *names, int required, cbn_keras_layer *layer,
                    cbn_rejection *rejection);

/* The parameter; NULL where it is left out, or None. */
const cbn_value *cbn_keras_given(const cbn_value *params, const char *name);

/* Refuses what of these (NULL at the end) is given: what they ask for is another operator. */
bool cbn_keras_refuse(const cbn_value *params, const char *const *names, cbn_rejection *rejection);

/* An initializer of a tensor of `axes` axes, 0 where none is made. The plan learns of one that is a constant; another leaves the
 * tensor to the case. */
bool cbn_keras_initializer(const cbn_value *params, const char *name, const char *fallback, int axes, int role,
                           cbn_plan *plan, cbn_rejection *rejection);

#endif
