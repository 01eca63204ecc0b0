/* tests/second_reference.h - a second, independent opinion on every value and bound of the reference.
 *
 * Written from the frameworks' definitions alone, by other means than the first: the input is padded explicitly, one
 * axis at a time, into a list of what stands where (numpy.pad), and each padded element meets every tap that reads it.
 * Each such meeting of an input element, a weight and an output element is one term of all three directions: a
 * convolution is linear in both, so the chain rule gives the gradients from the same meetings. Sums are exact, and the
 * bounds are evaluated in MPFR from their formulas. Nothing of reference/ is seen but the public types. Sources:
 *   torch.nn.Conv1d..3d           out(N_i, C_j) = bias(C_j) + sum_k weight(C_j, k) * input(N_i, k), cross-correlation
 *   torch.nn.ConvTranspose1d..3d  "the gradient of Conv with respect to its input"; output_padding adds to one side
 *   numpy.pad                     modes constant, reflect, edge, wrap
 *   tf.nn.conv_general...         base (input) dilation: zeros between neighbours, before any padding
 *   torch.nn.BatchNorm1d..3d      y = (x - E[x]) / sqrt(Var[x] + eps) * gamma + beta, biased Var
 *   Ioffe and Szegedy 2015        the gradients of that, section 3
 *   IEEE 754-2019                 binary16, binary32, binary64; bfloat16 is binary32 without its lower half
 */
#ifndef CBN_TESTS_SECOND_REFERENCE_H
#define CBN_TESTS_SECOND_REFERENCE_H

#include <convbn/operator.h>
#include <mpfr.h>
#include <stdbool.h>

/* ------------------------------------------------------------------------------------------------------- types */

/* The type that an engine of those declared classes works in, for results of `type`. */
int32_t second_working(int32_t type, uint32_t arithmetic);

double second_roundoff(int32_t type); /* u: half the distance from 1 to the next number */
double second_smallest(int32_t type); /* eta: the smallest subnormal */
double second_smallest_normal(int32_t type);
double second_largest(int32_t type);              /* the largest finite number */
void second_overflow(mpfr_t limit, int32_t type); /* what rounds to infinity, from here on */
bool second_is_subnormal(int32_t type, double a);

/* To nearest, ties to even; beyond the largest number to infinity. */
double second_round(int32_t type, double a);
double second_round_exact(int32_t type, const mpfr_t a);

/* The number with those bits, f16 or bf16. */
double second_decode(int32_t type, uint16_t bits);

/* Element `index`, row-major, of a tensor of any type and strides. */
double second_element(const cbn_tensor *tensor, int64_t index);

/* ------------------------------------------------------------------------------------------------- convolution */

/* What enters one element of the result, before anything is added. */
typedef struct second_terms {
  int64_t count; /* products of elements of the tensors proper: padding and gaps add none */
  double *x, *w; /* their factors, in the order in which they arrived */
  bool has_bias;
  double bias;
  bool nonfinite_on_zero; /* a factor that is not finite meets a zero that padding or dilation puts in */
  bool nonfinite_near;    /* ... or could, as some engines pad and dilate: it is in the same channels */
} second_terms;

/* All elements of a convolution's result, row-major. */
typedef struct second_conv {
  int32_t rank;
  int64_t extent[CBN_MAX_RANK];
  int64_t count;
  second_terms *element;
  double *factors;
} second_conv;

/* The terms of a valid convolution in its direction. False without memory. */
bool second_conv_terms(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], second_conv *result);
void second_conv_release(second_conv *result);

/* Bits that hold any sum of fewer than 2^60 products of two finite f32, and of two f64. */
enum { SECOND_EXACT_BITS = 640, SECOND_EXACT_BITS_F64 = 4352 };

/* `second_sum.grid` where there is no term but zeros. */
enum { SECOND_NO_GRID = 1 << 20 };

/* The exact sums of one element. `value`, `positive`, ... are over the finite terms. */
typedef struct second_sum {
  int32_t type, working;
  mpfr_t value;    /* bias + sum x w */
  mpfr_t positive; /* the sum of the positive terms */
  mpfr_t negative; /* minus the sum of the negative terms; positive + negative = B = |bias| + sum |x w| */
  mpfr_t bias;     /* |bias| */
  mpfr_t flushed;  /* Z: sum of |x w| with a subnormal factor, and |bias| if subnormal */
  mpfr_t term;
  int64_t products;     /* n */
  int64_t nonzero;      /* terms that are not zero, bias included */
  int grid;             /* every term is a multiple of 2^grid; the largest such grid, SECOND_NO_GRID for no term */
  int smallest;         /* every term that is not zero is at least 2^smallest; SECOND_NO_GRID for none */
  bool subnormal;       /* some factor of a term that is not zero is subnormal */
  bool nan;             /* a term is NaN */
  bool plus, minus;     /* a term is that infinity */
  bool flush_makes_nan; /* a subnormal meets an infinity: NaN where subnormals count as zero */
} second_sum;

/* Of tensors of that type, and an engine that works in another: what is subnormal there counts as such. */
void second_sum_init(second_sum *sum, int32_t type, int32_t working);
void second_sum_clear(second_sum *sum);
void second_sum_evaluate(second_sum *sum, const second_terms *terms);

/* The largest relative change that the declared classes make to a factor: 0, 2^-10, 2^-7. */
double second_factor_cut(int32_t type, uint32_t arithmetic);

/* E = gamma(n+1) B + (2n+1) eta / (1 - n u) + Z, with Z only and eta the smallest normal number where subnormals are
 * flushed; with products of cut factors, B grows by (1+c)^2 and E by ((1+c)^2 - 1) B, with or without the bias' part
 * (an engine may append the bias to the weight). Before the rounding to a narrower type. Needs n u < 1/2. 0 where B is
 * 0. */
void second_conv_bound(mpfr_t bound, const second_sum *sum, uint32_t arithmetic, bool bias_is_cut);

/* The largest e such that every finite element is a multiple of 2^e; SECOND_NO_GRID for zeros only. */
int second_tensor_grid(const cbn_tensor *tensor);
bool second_tensor_has_subnormal(const cbn_tensor *tensor, int32_t working);

/* ----------------------------------------------------------------------------------------- batch normalization */

enum { SECOND_BITS = 512 };

/* How a batch normalization is evaluated. `underflow` counts how many eta are granted to every quantity (0: the formula
 * alone). */
typedef struct second_manner {
  double u, eta, underflow;
  bool two_pass;
} second_manner;

/* For results of `type` by an engine of those classes. */
second_manner second_manner_of(int32_t type, uint32_t arithmetic, double underflow);

/* One channel's statistics and the bounds of their evaluation. */
typedef struct second_statistics {
  mpfr_t mean, variance;             /* biased */
  mpfr_t mean_error, variance_error; /* dmu, dv */
} second_statistics;

void second_statistics_init(second_statistics *s);
void second_statistics_clear(second_statistics *s);

/* Of `count` >= 1 finite values; the errors are those of the stable class: of two passes and of Welford's recurrence,
 * the larger, or of two passes alone. */
void second_statistics_of_batch(second_statistics *s, const double *x, int64_t count, const second_manner *m);

/* y and the bound of its evaluation. False where q = (dv + u max(0, -epsilon)) / (v + epsilon) >= 1 or
 * v + epsilon <= 0: then `bound` is void. */
bool second_normalise(mpfr_t value, mpfr_t bound, double x, const second_statistics *s, double epsilon, double weight,
                      double bias, const second_manner *m);

/* running <- (1 - m) running + m c statistic, `error` carried; c = divisor_from / divisor_to (L / (L - 1), or 1). */
void second_running_update(mpfr_t running, mpfr_t error, double new_weight, double divisor_from, double divisor_to,
                           const mpfr_t statistic, const mpfr_t statistic_error, const second_manner *m);

/* One channel's gradients. Exact values, and bounds derived in second_reference.c, which are not the first reference's:
 * `least` for an engine that subtracts the mean before it multiplies, `most` for any, folded ones included. */
typedef struct second_gradients {
  int64_t count;
  mpfr_t weight, bias;
  mpfr_t *input;
  double q; /* of the variance: near 1 the bounds say little */
  double least_weight, most_weight, least_bias, most_bias;
  double *least_input, *most_input;
} second_gradients;

/* For `count` values a channel. False without memory. */
bool second_gradients_init(second_gradients *g, int64_t count);
void second_gradients_clear(second_gradients *g);

/* Of x with the gradients g of y; `batch` where the statistics are those of x itself. False where the variance may
 * vanish, as above: then the bounds are void. */
bool second_gradients_of(second_gradients *result, const double *x, const double *g, int64_t count,
                         const second_statistics *s, bool batch, double epsilon, double weight, const second_manner *m);

#endif
