/* The order of axes in which a framework has the operator's tensors: what a plan says of it, applied. */
#ifndef CBN_DIALECTS_LAYOUT_H
#define CBN_DIALECTS_LAYOUT_H

#include "dialects/dialect.h"

/* Inputs, outputs and their gradients: what has a batch axis. */
bool cbn_is_activation(int role);

/* The extents of the plan's tensor with that role in the operator's order; returns its rank, 0 where there is none. */
int32_t cbn_plan_extents(const cbn_plan *plan, int role, int64_t extent[CBN_MAX_RANK]);

/* The same as the framework has it, without a batch axis that the dialect does not have. */
int32_t cbn_plan_native_extents(const cbn_plan *plan, int role, int64_t extent[CBN_MAX_RANK]);

/* Has the framework that tensor's axes in another order? */
bool cbn_plan_reorders(const cbn_plan *plan, int role);

/* Makes of a tensor as the framework has it, dense, a view with the operator's axes. False, and the tensor as it was, where it has
 * another shape than the plan says. */
bool cbn_plan_view(const cbn_plan *plan, int role, cbn_tensor *tensor);

/* For dialects whose convolutions and normalizations of `axes` spatial axes have channels behind them (NHWC), in input and output,
 * ... */
void cbn_plan_channels_last(cbn_plan *plan, int32_t axes);

/* ... and whose weights have the kernel in front: (kernel, input channels, output channels) for the operator's
 * (output, input, kernel), the first two exchanged. */
void cbn_plan_kernel_first(cbn_plan *plan, int32_t axes);

/* ... or, depthwise, (kernel, input channels, multiplier). */
void cbn_plan_depthwise(cbn_plan *plan, int32_t axes);

/* Are they the same in every field? The structs themselves have padding. */
bool cbn_plans_are_same(const cbn_plan *a, const cbn_plan *b);

#endif
