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

/* nn.BatchNorm1d, 2d, 3d. */
bool cbn_mindspore_batchnorm(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                             cbn_rejection *rejection);

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
