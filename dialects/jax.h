/* JAX's convolutions, by file: what dialects/jax.c lists, and what Flax's layers make of them. Sources: the documentation
 * of jax.lax; where it is silent, what JAX 0.10.2 does on a CPU (docs/framework-rules.md, in whose order the checks
 * stand). */
#ifndef CBN_DIALECTS_JAX_H
#define CBN_DIALECTS_JAX_H

#include "dialects/parameters.h"

#define CBN_VALUE_ERROR "ValueError"
#define CBN_TYPE_ERROR "TypeError"
#define CBN_ASSERTION_ERROR "AssertionError"
#define CBN_INDEX_ERROR "IndexError"
/* What a dialect refuses though the framework computes it. */
#define CBN_NOT_IMPLEMENTED "NotImplemented"

/* One call of lax.conv_general_dilated. */
typedef struct cbn_jax_call {
  const cbn_request *request; /* for the tensors' types */
  int32_t axes;               /* spatial ones */
  cbn_shape lhs, rhs;
  uint8_t lhs_spec[CBN_MAX_NATIVE_RANK]; /* where batch, channels and the spatial axes stand */
  uint8_t rhs_spec[CBN_MAX_NATIVE_RANK]; /* output channels, input channels, kernel */
  uint8_t out_spec[CBN_MAX_NATIVE_RANK];
  cbn_entries strides, lhs_dilation, rhs_dilation;
  const char *padding; /* its name; NULL where there are pairs */
  int pair_count;
  int64_t pairs[CBN_MAX_NATIVE_RANK][2];
  const cbn_value *groups, *batch_groups, *precision, *preferred; /* NULL: the default */
  bool flipped; /* the kernel is reversed and its channels exchanged: the gradient of a convolution */
} cbn_jax_call;

/* lax.conv_general_dilated, conv and conv_with_general_padding; lax.conv_transpose. */
bool cbn_jax_convolution(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                         cbn_rejection *rejection);
bool cbn_jax_transposed(const cbn_dialect_operator *operator, const cbn_request * request, cbn_plan *plan,
                        cbn_rejection *rejection);

/* Sets the plan's orders of axes, and nothing else, as dimension_numbers say; what is refused sets nothing. */
void cbn_jax_orders(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan);

/* The call itself: what stands behind dimension_numbers. */
bool cbn_jax_plan(cbn_jax_call *call, cbn_plan *plan, cbn_rejection *rejection);

/* The same after lax.conv_transpose has made pairs of SAME and VALID; `lhs_dilation` has its strides. */
bool cbn_jax_plan_transposed(cbn_jax_call *call, cbn_plan *plan, cbn_rejection *rejection);

/* Channels behind the spatial axes, and the kernel in front of its channels. */
void cbn_jax_channels_last(cbn_jax_call *call);

/* What Python sees when it goes through the value: a text has letters, a map its keys. */
cbn_entries cbn_jax_entries(const cbn_value *value);

/* The same value `count` times; 1 where it is NULL. */
cbn_entries cbn_jax_repeated(const cbn_value *value, int count);

/* The parameter; NULL where it is left out, or None. */
const cbn_value *cbn_jax_given(const cbn_value *params, const char *name);

/* The element type of that name: enum cbn_type, CBN_JAX_OTHER_TYPE for a type that is no float of this program, or -1. */
enum { CBN_JAX_OTHER_TYPE = 100 };
int32_t cbn_jax_type(const cbn_value *value);

bool cbn_jax_reject_type(const char *name, const cbn_value *value, const char *wanted, cbn_rejection *rejection);
bool cbn_jax_reject_length(const char *name, int wanted, int count, const char *exception, cbn_rejection *rejection);

#endif
