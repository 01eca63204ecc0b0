/* convbn/operator.h - the canonical operators: validation, output extents, work. The structs are in convbn/engine.h. */
#ifndef CONVBN_OPERATOR_H
#define CONVBN_OPERATOR_H

#include <convbn/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A broken rule: its number and name in the list of rules, and a sentence that names the value
 * (`stride must be >= 1, got 0 on axis H`). */
typedef struct cbn_violation {
  int rule; /* index into the list of rules */
  char message[256];
} cbn_violation;

/* The list of rules (core/rules.h): how many, their names and what they say; the number of a name or -1. */
int cbn_rule_count(void);
const char *cbn_rule_name(int rule);
const char *cbn_rule_text(int rule);
int cbn_rule_by_name(const char *name);

/* A convolution with every parameter at its neutral value: stride, dilation, input dilation, groups 1, no padding. */
cbn_conv cbn_conv_make(int32_t spatial_rank);

/* True if the problem is one that the definition in convbn/engine.h gives a meaning; else says which rule it breaks.
 * Zero batch, channels and extents are valid (an empty sum is 0), and so is a kernel that exceeds the input (an empty
 * output). Checks in this order: struct_size (the groups are within), rank, modes and flags, entries beyond the spatial
 * axes (0), extents, groups, kernel and strides, padding, output padding, overflow of every tensor's size and of the
 * number of multiply-adds. */
bool cbn_conv_validate(const cbn_conv *conv, cbn_violation *violation);

/* The output's extent along spatial axis `axis` of a convolution that has passed cbn_conv_validate. */
int64_t cbn_conv_output_extent(const cbn_conv *conv, int axis);

/* The extents of the tensor with that role (INPUT, WEIGHT, BIAS, OUTPUT and the gradients, which have the extents of
 * what they are gradients of); returns its rank, 0 where the problem has no such tensor. Valid problems only. */
int32_t cbn_conv_extents(const cbn_conv *conv, int role, int64_t extent[CBN_MAX_RANK]);

/* Multiply-adds of a valid problem, padding included: batch * output elements * in_channels/groups * kernel
 * elements. */
int64_t cbn_conv_work(const cbn_conv *conv);

/* A batch normalization in evaluation with the running statistics, affine, epsilon 1e-5, new_weight 0.1. */
cbn_batchnorm cbn_batchnorm_make(int32_t spatial_rank);

/* True if the problem has a meaning; else says which rule it breaks. An empty batch is valid. Epsilon and new_weight
 * may be any double, NaN too: PyTorch takes NaN and infinity for both, and IEEE arithmetic gives each a result (also
 * where v + epsilon is not positive). What a framework refuses is its dialect's rule. */
bool cbn_batchnorm_validate(const cbn_batchnorm *batchnorm, cbn_violation *violation);

/* As cbn_conv_extents. */
int32_t cbn_batchnorm_extents(const cbn_batchnorm *batchnorm, int role, int64_t extent[CBN_MAX_RANK]);

/* Elements of a valid problem's input. */
int64_t cbn_batchnorm_work(const cbn_batchnorm *batchnorm);

/* Folds a batch normalization that uses the running statistics into the convolution before it: with s = g /
 * sqrt(v+eps) of each output channel, weight' = weight * s and bias' = (bias - mean) * s + beta. `tensor` has the
 * convolution's WEIGHT and, where has_bias says so, BIAS; `norm` the RUNNING_MEAN and RUNNING_VAR and, where
 * has_weight and has_bias say so, WEIGHT and BIAS; no other one is looked at. Computed in f64, rounded to the types
 * of `weight` and `bias`, which have the extents of the weight and of (out_channels) and may be the convolution's
 * own. The folded convolution has a bias. False, with the rule and nothing written, where an operator is invalid or
 * not forward, the two do not fit together (other channels, batch statistics), a tensor is missing or has other
 * extents, or a variance with epsilon is not positive. */
bool cbn_fold_batchnorm(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                        const cbn_batchnorm *batchnorm, const cbn_tensor *const norm[CBN_ROLE_COUNT],
                        const cbn_tensor *weight, const cbn_tensor *bias, cbn_violation *violation);

/* The name of an arithmetic class by its bit, NULL for a bit that is none. */
const char *cbn_arithmetic_name(int bit);

/* May a call have activations and a layer's own tensors of those types? As convbn/engine.h says of each operator. */
bool cbn_types_go_together(int32_t operator_kind, int32_t activations, int32_t layer);

/* The extents of the tensor with that role in a call of a valid problem, by its direction; returns its rank, 0 where
 * the call has no such tensor. */
int32_t cbn_call_extents(const cbn_call *call, int role, int64_t extent[CBN_MAX_RANK]);

/* The layout of the tensor with that role in a call of `layout`: the call's, or, mixed, each another than those it is
 * used with. A tensor of one axis is strided or else contiguous. */
enum cbn_layout cbn_role_layout(enum cbn_layout layout, int role, int32_t rank);

/* The role whose tensor a result may be, where an engine works in place (CBN_IN_PLACE); -1 for all others. */
int cbn_in_place_of(int role);

/* True if every tensor that the problem has is in `call` with the right extents, memory, and types that go together (as
 * convbn/engine.h says), and no other one is; else the broken rule. For engines' edges. */
bool cbn_call_validate(const cbn_call *call, cbn_violation *violation);

#ifdef __cplusplus
}
#endif
#endif
