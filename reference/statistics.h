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

/* A way through its values in one tensor, by batch entry and row-major spatial position. */
enum { READ_AHEAD = 128 };
typedef struct reader {
  cbn_tensor values; /* the channel's alone */
  int64_t count, next;
  double ahead[READ_AHEAD];
} reader;

reader read_channel(const channel *ch, const cbn_tensor *tensor);
void read_ahead(reader *r);

static inline double next_value(reader *r) {
  if (r->next % READ_AHEAD == 0) read_ahead(r);
  return r->ahead[r->next++ % READ_AHEAD];
}

/* Mean and biased variance of the channel's values as an engine computes them. At least one value. */
statistics batch_statistics(const channel *ch, const cbn_tensor *input, const arithmetic *engine);

/* The statistics that normalise: of the batch, or those that the engine holds. An empty batch has none: INCONCLUSIVE. */
statistics used_statistics(const cbn_batchnorm *bn, const channel *ch, const cbn_tensor *input,
                           const cbn_expected *running_mean, const cbn_expected *running_var, const arithmetic *engine);

/* The running statistic that an engine holds. Where it may have overflowed when it was stored nothing can be said of
 * what is made of it. */
quantity held_statistic(const cbn_expected *statistic, int64_t c);

/* With a margin for the roundings on the way. */
static inline bool reaches_overflow(const arithmetic *a, wide magnitude) { return !(2 * magnitude < a->overflow); }

/* The numbers that normalise a channel as an engine, or the reference, has them: r = 1/sqrt(v + eps); R >= r' and dr >=
 * |r' - r| for every r' that it may have (infinite where v + eps may be 0 in it). */
typedef struct normaliser {
  const arithmetic *a;
  wide mu, dmu, v_eps, r, R, dr;
  wide gamma8, gamma20; /* of the arithmetic */
} normaliser;

normaliser engine_normaliser(const arithmetic *engine, const statistics *s, wide epsilon);
normaliser own_normaliser(const statistics *s, wide epsilon);

/* With the engine's mu' and r', (x - mu') r' is off by at most this, */
static inline wide disturbance(const normaliser *n, wide x) { return n->R * n->dmu + fabsl(x - n->mu) * n->dr; }
/* and its parts add up to at most this. */
static inline wide magnitude(const normaliser *n, wide x) { return n->R * (fabsl(x) + fabsl(n->mu) + n->dmu); }

/* What an engine's 1/sqrt(v + epsilon) is: a number; NaN, since v + epsilon is certainly negative, or NaN itself; or
 * not to be foretold. */
enum root { ROOT_REAL, ROOT_NOT_A_NUMBER, ROOT_OPEN };
enum root root_of(const arithmetic *a, const statistics *s, wide epsilon);

/* Element c of a parameter, `neutral` where there is none. */
double parameter_at(const cbn_tensor *tensor, int64_t c, double neutral);

#endif
