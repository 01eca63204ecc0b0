/* convbn/reference.h - the oracle: what the two operators compute, with a proven bound for every element.
 *
 * Slow and readable as the mathematics. Storage is f32, sums are f64. Every output element comes with its value and
 * with a bound on how far a correct implementation that works in f32 can be from it, in whatever order it adds, with
 * or without fused multiply-add (reference/conv.c and reference/batchnorm.c prove the bounds). The reference's own
 * rounding errors are in the bound.
 */
#ifndef CONVBN_REFERENCE_H
#define CONVBN_REFERENCE_H

#include <convbn/operator.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of an element besides value and bound. */
enum cbn_element_flags {
  /* Every admissible evaluation gives the same f32: bound 0. */
  CBN_EXACT = 1 << 0,
  /* An infinity of the value's sign is right too: |value| + bound reaches overflow. */
  CBN_OR_INFINITY = 1 << 1,
  /* NaN is right too: zero padding meets a weight that is not finite, and an engine may skip or multiply by zero. */
  CBN_OR_NAN = 1 << 2,
  /* Nothing can be said: partial sums may overflow, or rounding may make the variance vanish. */
  CBN_INCONCLUSIVE = 1 << 3
};

/* One tensor of results. Dense arrays in row-major logical order. An engine's element e is right if |e - value| <=
 * bound; a value that is NaN wants NaN, one that is infinite wants the same infinity. */
typedef struct cbn_expected {
  int32_t rank;
  int64_t extent[CBN_MAX_RANK];
  int64_t count;
  double *value;
  double *bound; /* for any admissible f32 evaluation, the reference's own error included */
  double *own;   /* the reference's own error: the exact result lies in value +- own */
  uint8_t *flags;
} cbn_expected;

/* Allocates for those extents, values 0, bounds 0. False without memory or where sizes overflow. */
bool cbn_expected_allocate(cbn_expected *expected, int32_t rank, const int64_t *extent);
void cbn_expected_release(cbn_expected *expected);

/* One element's answer. */
typedef struct cbn_interval {
  double value, bound, own;
  uint8_t flags;
} cbn_interval;

/* True if `actual`, an f32 result of an engine, is right. INCONCLUSIVE elements admit everything. */
bool cbn_interval_admits(const cbn_interval *interval, double actual);

/* |actual - value| / bound; 0 where actual is admitted by a flag or equal to value, infinity where bound is 0 and they
 * differ, or where one is NaN or infinite and the other is not. */
double cbn_interval_share(const cbn_interval *interval, double actual);

/* Element `i` of an expected tensor, read and written. */
cbn_interval cbn_expected_at(const cbn_expected *expected, int64_t i);
void cbn_expected_put(const cbn_expected *expected, int64_t i, cbn_interval interval);

/* Forward convolution, not transposed, of a valid problem: tensors f32, any strides, `bias` NULL without one. `arithmetic` is what
 * the judged engine declares (enum cbn_arithmetic bits). `output` has been allocated for the output's extents. False
 * without memory. With n products in an output element and B = |b| + sum |x w| over them, u = 2^-24, eta = 2^-149:
 *
 *   bound = gamma(n+1) B + (2n+1) eta / (1 - n u) + own,   gamma(k) = k u / (1 - k u),
 *
 * and 0 where every f32 partial sum is exactly representable (CBN_EXACT). */
bool cbn_reference_conv(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight, const cbn_tensor *bias,
                        uint32_t arithmetic, const cbn_expected *output);

/* The same at `count` output positions only, where the whole output is too large: all batch entries and output
 * channels at the spatial indices `position[i][0..spatial_rank-1]`. `columns` holds count * batch * out_channels
 * intervals. */
bool cbn_reference_conv_at(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight,
                           const cbn_tensor *bias, uint32_t arithmetic, int64_t count,
                           const int64_t (*position)[CBN_MAX_SPATIAL], cbn_interval *columns);

/* Forward batch normalization of a valid problem. `running_mean` and `running_var` are in and out: values and bounds
 * of what an engine holds before the call (bound 0 for statistics that were given) and after it, one for each
 * channel; NULL where the problem has none. `weight`, `bias` NULL where the problem has none. With L values a
 * channel, X = max |x|, M = gamma(L+7) X + (L/2+1) eta and h = 2.5 M sqrt(v) + M^2, statistics computed in two
 * passes or by Welford's method (in lanes, merged) are within dmu = M and dv = gamma(L+4) (v + h) + h + 8 eta of the
 * exact ones. With q = (dv + u e + eta)/(v+eps), e = |eps| where eps or v is below 0, else 0,, r = 1/sqrt(v+eps) and R = r/sqrt(1-q), an output g (x-mu)
 * r + b is bounded by
 *
 *   |g| R dmu + |g| |x-mu| r q / (2 (1-q)) + gamma(8) (|g| R (|x|+|mu|+dmu) + |b|) + eta (|x|+|mu|+dmu+|g|+3) + own,
 *
 * and a running statistic s' = (1-m) s + m c stat, c = 1 or L/(L-1), by
 *
 *   |1-m| ds + |m| c dstat + gamma(8) ((1+|m|) (|s|+ds) + |m| c (|stat|+dstat)) + 4 eta (1+|m|) + own.
 *
 * For engines that declare two passes M = gamma(L+1) mean|x| + 4 eta and h = M^2; those that flush subnormals have
 * larger underflow terms (reference/batchnorm.c). */
void cbn_reference_batchnorm(const cbn_batchnorm *batchnorm, const cbn_tensor *input, const cbn_tensor *weight,
                             const cbn_tensor *bias, const cbn_expected *running_mean, const cbn_expected *running_var,
                             uint32_t arithmetic, const cbn_expected *output);

#ifdef __cplusplus
}
#endif
#endif
