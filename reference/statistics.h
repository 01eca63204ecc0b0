/* A channel of a batch normalization and its statistics, for the forward and the backward direction. */
#ifndef CBN_REFERENCE_STATISTICS_H
#define CBN_REFERENCE_STATISTICS_H

#include "reference/arithmetic.h"

/* A number that an engine holds: exact value, the engine's possible error, the reference's own, flags. */
typedef struct quantity {
  wide value, bound, own;
  uint8_t flags;
} quantity;

typedef struct statistics {
  quantity mean, var;
} statistics;

/* A channel's values: in which of its tensors' second indices, and how many. */
typedef struct channel {
  int64_t c, batch, positions;
} channel;

/* Its value in batch entry n at spatial position `position`, row-major. */
double channel_value(const channel *ch, const cbn_tensor *tensor, int64_t n, int64_t position);

/* Mean and biased variance of the channel's values as an engine computes them. At least one value. */
statistics batch_statistics(const channel *ch, const cbn_tensor *input, const arithmetic *engine);

/* The statistics that normalise: of the batch, or those that the engine holds. An empty batch has none: INCONCLUSIVE. */
statistics used_statistics(const cbn_batchnorm *bn, const channel *ch, const cbn_tensor *input,
                           const cbn_expected *running_mean, const cbn_expected *running_var, const arithmetic *engine);

/* The running statistic that an engine holds. Where it may have overflowed when it was stored nothing can be said of what
 * is made of it. */
quantity held_statistic(const cbn_expected *statistic, int64_t c);

/* With a margin for the roundings on the way. */
static inline bool reaches_overflow(const arithmetic *a, wide magnitude) { return !(2 * magnitude < a->overflow); }

/* What may be wrong with v + epsilon, as a share of it: q of the bounds. `dv` is the error of v in that arithmetic. */
wide relative_error_of_variance(const arithmetic *a, wide v, wide dv, wide epsilon);

/* What an engine's 1/sqrt(v + epsilon) is: a number; NaN, since v + epsilon is certainly negative, or NaN itself; or not
 * to be foretold. */
enum root { ROOT_REAL, ROOT_NOT_A_NUMBER, ROOT_OPEN };
enum root root_of(const arithmetic *a, const statistics *s, wide epsilon);

/* Element c of a parameter, `neutral` where there is none. */
double parameter_at(const cbn_tensor *tensor, int64_t c, double neutral);

#endif
