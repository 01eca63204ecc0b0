/* TensorFlow's operators, by file: what dialects/tensorflow.c lists, and what they share. Sources: the documentation of
 * tf.nn; where it is silent or wrong, what TensorFlow 2.21.0 does on a CPU, eagerly and with its own kernels
 * (docs/framework-rules.md, in whose order the checks stand). */
#ifndef CBN_DIALECTS_TENSORFLOW_H
#define CBN_DIALECTS_TENSORFLOW_H

#include "dialects/parameters.h"

/* What TensorFlow raises: Python's own classes, and a class of tf.errors each for what an operator's kernel says. */
#define CBN_VALUE_ERROR "ValueError"
#define CBN_TYPE_ERROR "TypeError"
#define CBN_ATTRIBUTE_ERROR "AttributeError"
#define CBN_INDEX_ERROR "IndexError"
#define CBN_OVERFLOW_ERROR "OverflowError"
#define CBN_ZERO_DIVISION_ERROR "ZeroDivisionError"
#define CBN_INVALID_ARGUMENT "InvalidArgumentError"
#define CBN_UNIMPLEMENTED "UnimplementedError"
/* ... and what this dialect refuses though TensorFlow computes it. */
#define CBN_NOT_IMPLEMENTED "NotImplemented"

/* nn.conv1d, 2d, 3d and nn.conv1d_transpose, 2d, 3d. */
bool cbn_tensorflow_convolution(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                cbn_rejection *rejection);

/* nn.convolution. */
bool cbn_tensorflow_any_convolution(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                    cbn_rejection *rejection);

/* nn.depthwise_conv2d. */
bool cbn_tensorflow_depthwise(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                              cbn_rejection *rejection);

/* compat.v1.nn.fused_batch_norm. */
bool cbn_tensorflow_batchnorm(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                              cbn_rejection *rejection);

/* nn.batch_normalization. */
bool cbn_tensorflow_normalization(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                  cbn_rejection *rejection);

/* The parameter; NULL where it is left out, or None, which is the same to most. */
const cbn_value *cbn_tensorflow_given(const cbn_value *params, const char *name);

/* Do channels come last, by data_format? A name that begins with NC says that they do not, for each function that knows
 * it. */
bool cbn_tensorflow_channels_last(const cbn_value *params);

/* A text as an operator's attribute takes it: a TypeError for anything else. NULL where it is left out, or None. */
bool cbn_tensorflow_text(const cbn_value *params, const char *name, const char **text, cbn_rejection *rejection);

/* An integer as an operator's attribute takes it: a float loses its fraction, True is 1. */
bool cbn_tensorflow_int(const cbn_value *value, int64_t *result);

/* Refuses a parameter of the wrong type with a TypeError. */
bool cbn_tensorflow_reject_type(const char *name, const cbn_value *value, const char *wanted, cbn_rejection *rejection);

#endif
