/* convbn/reference.h - the oracle: what the two operators compute, with a proven bound for every element.
 *
 * Slow and readable as the mathematics. Every element of a result comes with its value and with a bound on how far a
 * correct implementation can be from it that works in the type that its storage asks for (f64 for f64; f32 for f32, f16
 * and bf16) and rounds the result once to its own type, in whatever order it adds, with or without fused multiply-add.
 * What an engine declares of its arithmetic widens or narrows the bounds. reference/conv.c, reference/batchnorm.c and
 * reference/backward.c prove them. The reference's own rounding errors are in the bound.
 */
#ifndef CONVBN_REFERENCE_H
#define CONVBN_REFERENCE_H

#include <convbn/operator.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of an element besides value and bound. */
enum cbn_element_flags {
  /* Every admissible evaluation gives the same result: bound 0. */
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
  int32_t type; /* enum cbn_type: of what an engine stores */
  int32_t rank;
  int64_t extent[CBN_MAX_RANK];
  int64_t count;
  double *value;
  double *bound; /* for any admissible evaluation, the reference's own error included */
  double *own;   /* the reference's own error: the exact result lies in value +- own */
  uint8_t *flags;
} cbn_expected;

/* Allocates for those extents, values 0, bounds 0. False without memory or where sizes overflow. */
bool cbn_expected_allocate(cbn_expected *expected, int32_t type, int32_t rank, const int64_t *extent);
void cbn_expected_release(cbn_expected *expected);

/* One element's answer. */
typedef struct cbn_interval {
  double value, bound, own;
  uint8_t flags;
} cbn_interval;

/* True if `actual`, a result of an engine, is right. INCONCLUSIVE elements admit everything. */
bool cbn_interval_admits(const cbn_interval *interval, double actual);

/* |actual - value| / bound; 0 where actual is admitted by a flag or equal to value, infinity where bound is 0 and they
 * differ, or where one is NaN or infinite and the other is not. */
double cbn_interval_share(const cbn_interval *interval, double actual);

/* Element `i` of an expected tensor, read and written. */
cbn_interval cbn_expected_at(const cbn_expected *expected, int64_t i);
void cbn_expected_put(const cbn_expected *expected, int64_t i, cbn_interval interval);

/* In what follows `tensor[role]` are a call's tensors (f32, f64, f16, bf16, any strides; NULL where the problem has
 * none), `arithmetic` what the judged engine declares (enum cbn_arithmetic bits), and u, eta unit roundoff and
 * smallest subnormal of the type that it works in. */

/* A valid convolution in its direction, transposed or not. `result` has been allocated for the output, grad_input,
 * grad_weight or grad_bias. False without memory. With n products in an element and B the sum of their magnitudes and
 * of the bias,
 *
 *   bound = gamma(n+1) B + (2n+1) eta / (1 - n u) + own,   gamma(k) = k u / (1 - k u),
 *
 * plus the rounding to a narrower type, and 0 where every partial sum is exactly representable (CBN_EXACT). */
bool cbn_reference_conv(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic,
                        const cbn_expected *result);

/* The same at `count` spatial positions of the result only, where the whole is too large: `columns` holds count times
 * the result's first two extents (batch and channels, or those of a weight). `type` is the result's. Not for the bias'
 * gradient. */
bool cbn_reference_conv_at(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic,
                           int32_t type, int64_t count, const int64_t (*position)[CBN_MAX_SPATIAL],
                           cbn_interval *columns);

/* Forward batch normalization of a valid problem. `running_mean` and `running_var` are in and out: values and bounds
 * of what an engine holds before the call (bound 0 for statistics that were given) and after it, one for each
 * channel; NULL where the problem has none. With L values a
 * channel, X = max |x|, M = gamma(L+7) X + (L/2+1) eta and h = 2.5 M sqrt(v) + M^2, statistics computed in two
 * passes or by Welford's method (in lanes, merged) are within dmu = M and dv = gamma(L+4) (v + h) + h + 8 eta of the
 * exact ones. With q = (dv + u e + eta)/(v+eps), e = |eps| where eps or v is below 0, else 0, r = 1/sqrt(v+eps) and
 * R = r/sqrt(1-q), an output g (x-mu) r + b is bounded by
 *
 *   |g| R dmu + |g| |x-mu| r q / (2 (1-q)) + gamma(8) (|g| R (|x|+|mu|+dmu) + |b|) + eta (|x|+|mu|+dmu+|g|+3) + own,
 *
 * and a running statistic s' = (1-m) s + m c stat, c = 1 or L/(L-1), by
 *
 *   |1-m| ds + |m| c dstat + gamma(8) ((1+|m|) (|s|+ds) + |m| c (|stat|+dstat)) + 4 eta (1+|m|) + own,
 *
 * plus the rounding to a narrower type. For engines that declare two passes M = gamma(L+1) mean|x| + 4 eta and h = M^2;
 * those that flush subnormals have larger underflow terms (reference/batchnorm.c). */
void cbn_reference_batchnorm(const cbn_batchnorm *batchnorm, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                             const cbn_expected *running_mean, const cbn_expected *running_var, uint32_t arithmetic,
                             const cbn_expected *output);

/* Its gradients. `running_mean` and `running_var` are what an engine holds, read where they normalised; `grad_weight`,
 * `grad_bias` NULL where the problem has no weight or bias. The bounds are in reference/backward.c. */
void cbn_reference_batchnorm_backward(const cbn_batchnorm *batchnorm, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                                      const cbn_expected *running_mean, const cbn_expected *running_var,
                                      uint32_t arithmetic, const cbn_expected *grad_input,
                                      const cbn_expected *grad_weight, const cbn_expected *grad_bias);

/* A convolution followed by a batch normalization in evaluation: the exact result of the two, and a bound for an engine
 * that evaluates one convolution with the folded weight and bias of cbn_fold_batchnorm, computed in the working type
 * and stored in that of the tensors (for f16 and bf16 two more roundings of the sum below).
 * `norm` has WEIGHT, BIAS (NULL where there is none), RUNNING_MEAN and RUNNING_VAR. With s = g / sqrt(v+eps), n = the
 * products of a whole filter and B = sum |x w|,
 *
 *   bound = gamma(n+8) ((B + |b| + |mu|) |s| + |beta|) + underflow + own
 *
 * (reference/folded.c). False without memory. */
bool cbn_reference_folded(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                          const cbn_batchnorm *batchnorm, const cbn_tensor *const norm[CBN_ROLE_COUNT],
                          uint32_t arithmetic, const cbn_expected *output);

#ifdef __cplusplus
}
#endif
#endif
