/* A layer's tensors, from one framework's names and orders of axes into another's.
 *
 * The operator's order stands in between: each side's plan says where its axes are (dialects/layout.h). Elements keep
 * their types. */
#ifndef CBN_MIGRATION_WEIGHTS_H
#define CBN_MIGRATION_WEIGHTS_H

#include "core/error.h"
#include "harness/npz.h"
#include "migration/compare.h"

/* Makes a dense tensor of zeros as the plan's framework has it, and its view with the operator's axes. Released with
 * cbn_tensor_release. */
bool cbn_native_tensor(const cbn_plan *plan, int role, int32_t type, cbn_tensor *tensor, cbn_tensor *view,
                       cbn_error *error);

/* Moves the tensor with that role: a dense copy of `from`, which is dense and has the shape that `source` says, in the
 * order of axes of `target`. Released with cbn_tensor_release. */
bool cbn_weight_move(const cbn_plan *source, const cbn_plan *target, int role, const cbn_tensor *from, cbn_tensor *to,
                     cbn_error *error);

/* A view of the layer's dense tensor without the axis of 1 that the framework puts into it (framework.h); without one,
 * the tensor. */
cbn_tensor cbn_weight_without_unit_axis(const cbn_layer *layer, int role, const cbn_tensor *tensor);

/* Moves the layer's tensors in `from` (names of the source's framework, with or without a prefix that all share:
 * "conv1.weight", "conv1.bias") into `to` (the target's names, same prefix), which holds nothing before and is released
 * with cbn_npz_release. Tensors that `constants` (may be NULL) names are added, in the type of the first one. PyTorch's
 * count of calls, num_batches_tracked, is no tensor of the operator and stays behind. Unknown and missing names and
 * wrong shapes are errors; then there is nothing to release. */
bool cbn_weights_move(const cbn_layer *source, const cbn_plan *source_plan, const cbn_layer *target,
                      const cbn_plan *target_plan, const cbn_constants *constants, const cbn_npz *from, cbn_npz *to,
                      cbn_error *error);

#endif
