/* What the files framework_NAME.c share: the wish as a writer of parameters asks for it. */
#ifndef CBN_MIGRATION_PROPOSAL_H
#define CBN_MIGRATION_PROPOSAL_H

#include "migration/framework.h"

/* A plan of the wish, for what does not depend on the mode. */
const cbn_plan *cbn_wished_plan(const cbn_wish *wish);

/* The wished batch normalization in both modes; a mode that the source does not accept is as in most frameworks. */
typedef struct cbn_wished_norm {
  bool has_weight, has_bias;
  int64_t features;
  double epsilon, new_weight;
  bool cumulative;          /* new_weight is 1/k in the k-th step */
  bool batch_in_training, batch_in_evaluation; /* the batch's statistics normalise */
  bool updates;             /* ... and enter the running ones, in training */
} cbn_wished_norm;
cbn_wished_norm cbn_wished_batchnorm(const cbn_wish *wish);

/* Does the wish give that tensor of the layer an initial value, and another than `fallback`? */
bool cbn_wished_initial(const cbn_wish *wish, int role, double fallback, double *value);

/* The shortest decimal that is the same number in f32, as a person would have written it. */
double cbn_short_real(double value);

/* The entry for that axis of a parameter that is a list of integers or one for all; else `fallback`. */
int64_t cbn_written_entry(const cbn_value *params, const char *name, size_t axis, int64_t fallback);

/* Of what weighs the batch's statistics: also where only the weight of the old ones is the same number in f32, 0.01 where
 * another framework keeps 0.99. */
double cbn_short_new_weight(double value);

/* What weighs the old statistics where `new_weight` weighs the batch's: 1 - result is new_weight, or nearest to it. */
double cbn_old_weight(double new_weight);

/* What can be padded of a convolution where both sides of an axis are padded alike: the lesser amount; ... */
void cbn_least_padding(const cbn_conv *conv, int64_t amount[CBN_MAX_SPATIAL]);

/* ... that before a transposed convolution, with the output padding that then makes the extents, or 0 where it were
 * less. */
void cbn_padding_before(const cbn_conv *conv, int64_t amount[CBN_MAX_SPATIAL], int64_t output_padding[CBN_MAX_SPATIAL]);

/* The padding of its dilated input that a convolution has; of a transposed one, that of the convolution of the dilated
 * input with the reversed kernel that it is. */
void cbn_dilated_padding(const cbn_conv *conv, int64_t begin[CBN_MAX_SPATIAL], int64_t end[CBN_MAX_SPATIAL]);

/* The numbers, 0 for negative ones. */
void cbn_not_negative(const int64_t values[CBN_MAX_SPATIAL], int64_t result[CBN_MAX_SPATIAL]);

/* For dialects that have the operator's own order of axes. */
void cbn_operators_order(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan);

/* For normalizations of an input whose channels stand at `axis`, counted from the first or, negative, from behind, by
 * default last; batch and spatial axes are the others. */
void cbn_channels_at(const cbn_value *axis, int32_t axes, cbn_plan *plan);

/* For frameworks of layers alone, which hold their tensors, and of functions alone, which take them. */
bool cbn_holds_tensors(const cbn_dialect_operator *operator);
bool cbn_takes_tensors(const cbn_dialect_operator *operator);

#endif
