/* Two layers run on the same numbers: what a translation is verified by, and what its counterexamples show.
 *
 * Each side gets tensors as its own framework has them: inputs and weights of small integers in the source's order
 * of axes, moved into the target's; the target's input is padded and its output cropped element by element, not by
 * a plan's arithmetic. What comes out are the reference's values, in doubles. */
#ifndef CBN_MIGRATION_RUN_BOTH_H
#define CBN_MIGRATION_RUN_BOTH_H

#include "core/error.h"
#include "migration/compare.h"

/* A layer, what stands around it, and whose tensors it has. */
typedef struct cbn_run_plan {
  const cbn_layer *source, *target;
  const cbn_surroundings *around; /* the target */
  cbn_constants constants;        /* of tensors that the source has not */
  cbn_situation at;               /* its mode and count of calls are those of the last call */
  uint64_t seed;                  /* of the numbers */
  bool tiny;                      /* multiples of 2^-30, and no variance, in place of integers */
} cbn_run_plan;

typedef struct cbn_run_result {
  int64_t elements;   /* compared, of all calls: outputs and running statistics */
  int64_t unequal;    /* of them */
  bool within_bounds; /* what is unequal is within the proven bounds of an engine of that type */
  bool shapes_differ; /* of the outputs; nothing else is compared then */
  /* The first difference, beyond the bounds if there is such a one: where, and what both have. */
  int role;
  int32_t rank;
  int64_t index[CBN_MAX_RANK];
  double source_value, target_value;
  int64_t source_extent[CBN_MAX_RANK], target_extent[CBN_MAX_RANK]; /* in the operator's order */
} cbn_run_result;

/* Calls both `trained` times in training and then once as the situation says (a convolution: once), and compares
 * after each call. False where one refuses or memory is short. */
bool cbn_run_both(const cbn_run_plan *plan, cbn_run_result *result, cbn_error *error);

#endif
