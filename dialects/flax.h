/* Flax's layers, by file: what dialects/flax.c lists. Sources: flax.linen's documentation; where it is silent, what Flax 0.12.8
 * on JAX 0.10.2 does (docs/framework-rules.md, in whose order the checks stand). The convolution behind the layers is JAX's. */
#ifndef CBN_DIALECTS_FLAX_H
#define CBN_DIALECTS_FLAX_H

#include "dialects/jax.h"

#define CBN_PARAMETER_SHAPE_ERROR "ScopeParamShapeError"

/* linen.Conv and linen.ConvTranspose. */
bool cbn_flax_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                          cbn_rejection *rejection);
bool cbn_flax_transposed(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                         cbn_rejection *rejection);

/* linen.BatchNorm. */
bool cbn_flax_batchnorm(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                        cbn_rejection *rejection);

/* `dtype`, which says the result's type: refused where it is another than the input's. */
bool cbn_flax_check_result(const cbn_request *request, cbn_rejection *rejection);

/* `param_dtype` is that of the layer's tensors. */
bool cbn_flax_check_parameters(const cbn_request *request, cbn_rejection *rejection);

#endif
