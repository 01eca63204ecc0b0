/* PyTorch's layers and functions, by file: what dialects/pytorch.c lists. Sources: the documentation of torch.nn,
 * version 2.15; where it is silent or wrong, what the wheel does (docs/framework-rules.md, in whose order the checks
 * stand). */
#ifndef CBN_DIALECTS_PYTORCH_H
#define CBN_DIALECTS_PYTORCH_H

#include "dialects/parameters.h"

/* What PyTorch raises. */
#define CBN_VALUE_ERROR "ValueError"
#define CBN_TYPE_ERROR "TypeError"
#define CBN_RUNTIME_ERROR "RuntimeError"
#define CBN_NOT_IMPLEMENTED_ERROR "NotImplementedError"
#define CBN_INDEX_ERROR "IndexError"

/* A number, `fallback` where the parameter is left out; false for what is no number. */
bool cbn_pytorch_number(const cbn_value *params, const char *name, double fallback, double *result);

/* nn.Conv1d, 2d, 3d and nn.ConvTranspose1d, 2d, 3d. */
bool cbn_pytorch_convolution(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                             cbn_rejection *rejection);

/* nn.functional.conv1d, 2d, 3d and nn.functional.conv_transpose1d, 2d, 3d. */
bool cbn_pytorch_convolution_function(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                      cbn_rejection *rejection);

/* nn.BatchNorm1d, 2d, 3d. */
bool cbn_pytorch_batchnorm(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                           cbn_rejection *rejection);

/* nn.functional.batch_norm. */
bool cbn_pytorch_batchnorm_function(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                                    cbn_rejection *rejection);

#endif
