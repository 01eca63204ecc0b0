/* An operator of a framework, as somebody names it on a command line. */
#ifndef CBN_MIGRATION_SIDE_H
#define CBN_MIGRATION_SIDE_H

#include "core/error.h"
#include "migration/framework.h"

typedef struct cbn_side {
  const cbn_dialect *dialect;
  const cbn_dialect_operator *operator;
} cbn_side;

/* `torch.nn.Conv2d`, `F.conv2d`: an operator with its module, also as usually abbreviated. */
bool cbn_side_read(const char *word, cbn_side *side, cbn_error *error);

/* Its name with its module, or with the dialect's name where there is none (onnx.Conv), cut to `size`. */
void cbn_side_name(const cbn_side *side, char *name, size_t size);

/* The dialect's first operator of the same kind, with so many axes if there is one, else with any number; without an operator where there is
 * none. */
cbn_side cbn_side_counterpart(const cbn_dialect *dialect, enum cbn_operator kind, bool transposed, int32_t axes);

/* How many spatial axes both are asked with: as many as both have; of two that have any number, 2. */
int32_t cbn_sides_axes(const cbn_side sides[2]);

/* Has the operator any number of axes? Those of a framework that has none of one axis and none of two. */
bool cbn_side_any_axes(const cbn_side *side);

#endif
