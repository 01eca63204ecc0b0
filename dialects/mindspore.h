/* MindSpore's layers, by file: what dialects/mindspore.c lists, and what they share. Sources: the documentation of
 * mindspore.nn, version 2.10; where it is silent or wrong, what the wheel does on a CPU (docs/framework-rules.md, in
 * whose order the checks stand). */
#ifndef CBN_DIALECTS_MINDSPORE_H
#define CBN_DIALECTS_MINDSPORE_H

#include "dialects/parameters.h"

/* What MindSpore raises. */
#define CBN_VALUE_ERROR "ValueError"
#define CBN_TYPE_ERROR "TypeError"
#define CBN_RUNTIME_ERROR "RuntimeError"
#define CBN_ZERO_DIVISION_ERROR "ZeroDivisionError"

/* nn.Conv1d, 2d, 3d and nn.Conv1dTranspose, 2d, 3d. */
bool cbn_mindspore_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                               cbn_rejection *rejection);

/* mindspore.ops: conv1d, conv2d, conv3d, and the primitives behind them, Conv2D, Conv3D. */
bool cbn_mindspore_function(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                            cbn_rejection *rejection);
bool cbn_mindspore_primitive(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                             cbn_rejection *rejection);

/* ... and Conv2DTranspose. */
bool cbn_mindspore_transposed_primitive(const cbn_dialect_operator *operator, const cbn_request * request,
                                        cbn_plan *plan, cbn_rejection *rejection);

/* mindspore.ops: batch_norm and BatchNorm. */
bool cbn_mindspore_batchnorm_function(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                                      cbn_rejection *rejection);

/* mindspore.mint: the layers, and the functions behind them. */
bool cbn_mindspore_mint_layer(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                              cbn_rejection *rejection);
bool cbn_mindspore_mint_function(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                                 cbn_rejection *rejection);

/* nn.BatchNorm1d, 2d, 3d. */
bool cbn_mindspore_batchnorm(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                             cbn_rejection *rejection);

/* A convolution that is constructed: what a call is checked against. */
enum cbn_mindspore_pad_mode { CBN_MINDSPORE_SAME, CBN_MINDSPORE_VALID, CBN_MINDSPORE_PAD };
typedef struct cbn_mindspore_conv {
  const cbn_value *params;
  int32_t spatial_rank;
  bool transposed;
  enum cbn_mindspore_pad_mode pad_mode;
  cbn_entries padding, output_padding;
  int64_t pad[2 * CBN_MAX_SPATIAL]; /* begin and end of each axis, outermost first */
  int64_t in_channels, out_channels;
} cbn_mindspore_conv;

/* Types and number of axes of a call's input ... */
bool cbn_mindspore_check_input(const cbn_mindspore_conv *layer, const cbn_request *request, int64_t groups,
                               cbn_rejection *rejection);

/* ... of one that is not transposed, the channels, as many in a group as the layer has: all that the framework looks at
 * at first ... */
bool cbn_mindspore_check_channels(const cbn_mindspore_conv *layer, const cbn_request *request, int64_t groups,
                                  cbn_rejection *rejection);

/* ... and all that follows; kernel, stride, dilation and groups stand in the plan already. */
bool cbn_mindspore_call(const cbn_mindspore_conv *layer, const cbn_request *request, cbn_plan *plan,
                        cbn_rejection *rejection);

/* An axis without elements, which a kernel shorter than the stride does not take. */
bool cbn_mindspore_check_empty_axes(const cbn_conv *conv, cbn_rejection *rejection);

/* Python's `channels % group`, which takes any number. */
bool cbn_mindspore_divides(const char *name, double channels, double group, enum cbn_rule rule,
                           cbn_rejection *rejection);

/* A batch normalization's epsilon: a float whose f32 rounding is in (0, 1]. */
bool cbn_mindspore_epsilon(const cbn_value *params, const char *name, double *epsilon, cbn_rejection *rejection);

/* The types that a batch normalization takes, of its input or its layer. */
bool cbn_mindspore_normalized_type(const char *what, int32_t type, cbn_rejection *rejection);

/* An int in the framework's strict sense, no bool; `fallback` where it is left out. */
bool cbn_mindspore_int(const cbn_value *params, const char *name, int64_t fallback, int64_t *result);

/* A bool and nothing else. */
bool cbn_mindspore_bool(const cbn_value *params, const char *name, bool fallback, bool *result);

/* Refuses a parameter of the wrong type with a TypeError. */
bool cbn_mindspore_reject_type(const cbn_value *params, const char *name, const char *wanted, cbn_rejection *rejection);

/* NCHW or, where `volumes`, NCDHW; NHWC is for GPUs. */
bool cbn_mindspore_data_format(const cbn_value *params, bool volumes, cbn_rejection *rejection);

/* Reads an initializer: a number or a constant's name gives the tensor's value, the random ones leave it to the case.
 * `axes`: the tensor has several axes, as some initializers need. */
bool cbn_mindspore_initializer(const cbn_value *params, const char *name, bool axes, int role, cbn_plan *plan,
                               cbn_rejection *rejection);

#endif
