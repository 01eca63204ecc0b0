/* tests/second_reference.h - a second, independent opinion on every value and bound of the reference.
 *
 * Written from the frameworks' definitions alone, by other means than the first: the input is padded explicitly, one
 * axis at a time, into a new tensor (numpy.pad), and each padded element is scattered into the outputs that it touches;
 * sums are exact, and the bounds are evaluated in MPFR from their formulas. Nothing of reference/ is seen but the
 * public types. Sources of the definitions:
 *   torch.nn.Conv2d          out(N_i, C_j) = bias(C_j) + sum_k weight(C_j, k) * input(N_i, k), cross-correlation
 *   numpy.pad                modes constant, reflect, edge, wrap
 *   torch.nn.BatchNorm2d     y = (x - E[x]) / sqrt(Var[x] + eps) * gamma + beta, biased Var
 *   tf.nn.conv_general...    base (input) dilation: zeros between neighbours, before any padding
 */
#ifndef CBN_TESTS_SECOND_REFERENCE_H
#define CBN_TESTS_SECOND_REFERENCE_H

#include <convbn/operator.h>
#include <mpfr.h>
#include <stdbool.h>

/* ------------------------------------------------------------------------------------------------- convolution */

/* What enters one output element, before anything is added. */
typedef struct second_terms {
  int64_t count; /* products of an element of the input proper: padding and gaps add none */
  float *x, *w;  /* their factors, in the order in which they arrived */
  bool has_bias;
  float bias;
  bool nonfinite_on_zero; /* a weight that is not finite meets a zero of the padding or of the input dilation */
} second_terms;

/* All output elements of a forward convolution, row-major. */
typedef struct second_conv {
  int32_t rank;
  int64_t extent[CBN_MAX_RANK];
  int64_t count;
  second_terms *element;
  float *factors;
} second_conv;

/* Scatters a valid, forward, not transposed convolution of f32 tensors. False without memory. */
bool second_conv_scatter(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight,
                         const cbn_tensor *bias, second_conv *result);
void second_conv_release(second_conv *result);

/* Bits that hold any sum of fewer than 2^60 products of two finite f32: they are multiples of 2^-298 below 2^256. */
enum { SECOND_EXACT_BITS = 640 };

/* `second_sum.grid` where there is no term but zeros. */
enum { SECOND_NO_GRID = 1 << 20 };

/* The exact sums of one element. `value`, `positive`, ... are over the finite terms. */
typedef struct second_sum {
  mpfr_t value;         /* bias + sum x w */
  mpfr_t positive;      /* the sum of the positive terms */
  mpfr_t negative;      /* minus the sum of the negative terms; positive + negative = B = |bias| + sum |x w| */
  mpfr_t flushed;       /* Z: sum of |x w| with a subnormal factor, and |bias| if subnormal */
  int64_t products;     /* n */
  int64_t nonzero;      /* terms that are not zero, bias included */
  int grid;             /* every term is a multiple of 2^grid; the largest such grid, SECOND_NO_GRID for no term */
  double smallest;      /* of the |terms| that are not zero; infinity for none */
  bool subnormal;       /* some factor of a term that is not zero is subnormal */
  bool nan;             /* a term is NaN */
  bool plus, minus;     /* a term is that infinity */
  bool flush_makes_nan; /* a subnormal meets an infinity: NaN where subnormals count as zero */
} second_sum;

void second_sum_init(second_sum *sum);
void second_sum_clear(second_sum *sum);
void second_sum_evaluate(second_sum *sum, const second_terms *terms);

/* E = gamma(n+1) B + (2n+1) eta / (1 - n u) + Z, with Z only and eta = 2^-126 where subnormals are flushed, else
 * 2^-149. Needs n u < 1/2. 0 where B is 0. */
void second_conv_bound(mpfr_t bound, const second_sum *sum, bool flushes);

/* The largest e such that every finite element is a multiple of 2^e; SECOND_NO_GRID for zeros only. */
int second_tensor_grid(const cbn_tensor *tensor);
bool second_tensor_has_subnormal(const cbn_tensor *tensor);

/* ----------------------------------------------------------------------------------------- batch normalization */

enum { SECOND_BITS = 256 };

/* One channel's statistics and the bounds of their f32 evaluation. */
typedef struct second_statistics {
  mpfr_t mean, variance;             /* biased */
  mpfr_t mean_error, variance_error; /* dmu, dv */
} second_statistics;

void second_statistics_init(second_statistics *s);
void second_statistics_clear(second_statistics *s);

/* Of `count` >= 1 finite values; the errors are those of the stable class: of two passes and of Welford's recurrence,
 * the larger, or of `two_pass` alone. `underflow` counts how many eta are granted to every quantity (0: the formula alone). */
void second_statistics_of_batch(second_statistics *s, const float *x, int64_t count, bool two_pass, double underflow,
                                double eta);

/* y and the bound of its evaluation. False where q = (dv + u max(0, -epsilon)) / (v + epsilon) >= 1 or
 * v + epsilon <= 0: then `bound` is void. */
bool second_normalise(mpfr_t value, mpfr_t bound, float x, const second_statistics *s, double epsilon, float weight,
                      float bias, double underflow, double eta);

/* running <- (1 - m) running + m c statistic, `error` carried; c = divisor_from / divisor_to (L / (L - 1), or 1). */
void second_running_update(mpfr_t running, mpfr_t error, double m, double divisor_from, double divisor_to,
                           const mpfr_t statistic, const mpfr_t statistic_error, double underflow, double eta);

#endif
