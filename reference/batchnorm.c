/* Forward batch normalization as its definition reads, with a proven bound for every element.
 *
 *   mu = sum x / L,   v = sum (x - mu)^2 / L,   y = (x - mu) / sqrt(v + eps) * g + b
 *   s' = (1 - m) s + m c stat,   stat = mu or v,   c = 1 or L/(L-1)
 *
 * for each channel, L = values a channel; in evaluation mu and v are the running statistics.
 *
 * All bounds below are functions of a unit roundoff u and hold for any evaluation in an arithmetic with that u; with u = 2^-24 they
 * bound an engine, with u = 2^-53 this reference, whose own error is added. X = max |x|, gamma(n) = n u / (1 - n u).
 *
 * THE MEAN. In any order of summation, one division: error <= gamma(L) mean|x| (1+u) <= gamma(L+1) X. By Welford's update
 * m_k = m_(k-1) + (x_k - m_(k-1))/k in lanes that are merged, m = m_a + (m_b - m_a) n_b/(n_a+n_b) with n_b <= n_a: call
 * the error of the mean of n values e(n) u X to first order. A merge rounds the difference (at most 2X), the quotient, the
 * product and the sum: e(n) <= (n_a e(n_a) + n_b e(n_b))/n + 1 + 6 n_b/n, e(1) = 0 (Welford's update is n_b = 1). Then e(n) <=
 * n + 7: for n < 8 by running through the cases (the worst is e(7) <= 10.6), and for n >= 8 by induction, since the average of n_a + 7 and
 * n_b + 7 is n + 7 - 2 n_a n_b/n, and 2 n_a n_b/n - 6 n_b/n >= 1, concave in n_b, holds at both ends n_b = 1 and n_b = n/2. Second
 * order is inside gamma. So every method has |mu' - mu| <= M = gamma(L+7) X.
 *
 * THE VARIANCE. Two-pass about a mean that is off by d <= M: sum (x - mu')^2 / L = v + d^2 exactly; difference, square, L - 1
 * additions and the division round at most L + 4 times (the difference twice, squared): dv <= gamma(L+4) (v + d^2) + d^2.
 * Welford's products (x - m_(k-1))(x - m_k), and Chan's n_a n_b/n (m_b - m_a)^2 of merged lanes, carry means that are
 * each off by at most M: the sum of the exact products is L v; the perturbation is at most sum (|x - m_(k-1)| + |x - m_k|) M +
 * L M^2, and by Cauchy and Schwarz at most L (2 M sqrt(v) (1 + 1/4) + M^2) = L h, h = 2.5 M sqrt(v) + M^2. So
 * dv <= gamma(L+4) (v + h) + h, which contains the two-pass bound since M^2 <= h. Squares below the smallest normal lose at
 * most eta/2 each, their mean and its rounding less than 2 eta.
 *
 * NORMALISATION. Let q = dv/(v+eps) < 1, r = 1/sqrt(v+eps), R = r/sqrt(1-q) >= r'. With mu', r' in place of mu, r,
 * (x-mu')r' - (x-mu)r = (mu-mu')r' + (x-mu)(r'-r) is at most R dmu + |x-mu| r q/(2(1-q)), as 1/sqrt(1-q) - 1 <= q/(2(1-q)).
 * Roundings: (x-mu')*r'*g + b: epsilon and v + eps halved by the root 1, root 1, division 1, difference 1, two products 2, sum 1: 7. Folded,
 * x*s + (b - mu'*s), s = g*r': 3, s 1, product 1, difference 1, sum 1: 7. Each is a factor on terms that are at most |g| R (|x| +
 * |mu'|) + |b|; gamma(8) contains them. Products below the smallest normal lose eta/2 each, s enlarged by |x| + |mu'|, the unfolded
 * first product by |g|: eta (|x|+|mu|+dmu+|g|+3) in all.
 *
 * RUNNING STATISTICS. Given |s' - s| <= ds and the batch statistic's bound, the exact update carries |1-m| ds + |m| c dstat.
 * (1-m)*s + (m*c)*stat rounds m, 1-m, c (three operations), products and sum: at most 8 on each of (1+|m|)|s| and |m| c |stat|;
 * s + m*(c*stat - s) likewise on |s| + |m| (c |stat| + |s|). Products may lose 4 eta to underflow.
 *
 * OVERFLOW. Where sum |x| or sum (x-mu)^2 can reach overflow in f32, or a folded product can, nothing can be said.
 */
#include <assert.h>
#include <math.h>

#include <convbn/reference.h>

#include "reference/rounding.h"

/* A number that an engine holds: exact value, the engine's possible error, the reference's own, flags. */
typedef cbn_interval quantity;

/* A channel's values: where they lie, how many, and their sums. */
typedef struct channel {
  const cbn_tensor *input;
  int64_t c, batch, positions;
} channel;

static double value_at(const channel *ch, int64_t n, int64_t position) {
  int64_t index[CBN_MAX_RANK], offset = n * ch->input->stride[0] + ch->c * ch->input->stride[1];
  const int32_t spatial = ch->input->rank - 2;
  cbn_unravel(spatial, ch->input->extent + 2, position, index);
  for (int32_t a = 0; a < spatial; a++) offset += index[a] * ch->input->stride[2 + a];
  return (double)((const float *)ch->input->data)[offset];
}

typedef struct statistics {
  quantity mean, var;
} statistics;

/* The errors of mean and variance in an arithmetic with unit roundoff u (above). */
static double mean_error(double L, double u, double X) { return gamma_of(L + 7, u) * X; }

static double var_error(double L, double u, double eta, double X, double v) {
  const double M = mean_error(L, u, X), h = 2.5 * M * sqrt(v) + M * M;
  return gamma_of(L + 4, u) * (v + h) + h + 2 * eta;
}

static statistics batch_statistics(const channel *ch) {
  const double L = (double)(ch->batch * ch->positions);
  double sum = 0, magnitude = 0, X = 0, squares = 0;
  for (int64_t n = 0; n < ch->batch; n++)
    for (int64_t i = 0; i < ch->positions; i++) {
      const double x = value_at(ch, n, i);
      sum += x;
      magnitude += fabs(x);
      X = fmax(X, fabs(x));
    }
  const double mu = sum / L;
  for (int64_t n = 0; n < ch->batch; n++)
    for (int64_t i = 0; i < ch->positions; i++) {
      const double d = value_at(ch, n, i) - mu;
      squares += d * d;
    }
  const double v = squares / L;
  statistics s = {.mean = {.value = mu}, .var = {.value = v}};
  if (!isfinite(v)) { /* an infinity or NaN is in the channel: a sum keeps an infinity, Welford's mean becomes NaN */
    s.mean.flags = CBN_OR_NAN;
    return s;
  }
  s.mean.own = mean_error(L, U64, X);
  s.mean.bound = rounded_up(mean_error(L, U32, X) + s.mean.own);
  s.var.own = var_error(L, U64, 0, X, v);
  s.var.bound = rounded_up(var_error(L, U32, ETA32, X, v) + s.var.own);
  const double most = 2 * (L * (v + s.var.bound) + 4 * s.mean.bound * s.mean.bound);
  if ((L + 7) * U32 >= 0.5 || magnitude * 2 >= OVERFLOW32 || most >= OVERFLOW32)
    s.mean.flags = s.var.flags = CBN_INCONCLUSIVE;
  return s;
}

/* |g| R dmu + |g||x-mu| r q/(2(1-q)) + gamma(8)(|g| R (|x|+|mu|+dmu) + |b|) + underflow, infinity where q >= 1. */
static double normalised_error(double u, double eta, double x, double g, double b, double mu, double dmu,
                               double v_eps, double dv) {
  const double q = dv / v_eps, r = 1 / sqrt(v_eps);
  if (q >= 1) return INFINITY;
  const double R = r / sqrt(1 - q), reach = fabs(x) + fabs(mu) + dmu;
  return fabs(g) * R * dmu + fabs(g) * fabs(x - mu) * r * q / (2 * (1 - q)) +
         gamma_of(8, u) * (fabs(g) * R * reach + fabs(b)) + eta * (reach + fabs(g) + 3);
}

static cbn_interval normalise(double x, double g, double b, double epsilon, const statistics *s) {
  const double mu = s->mean.value, v = s->var.value, v_eps = v + epsilon;
  cbn_interval y = {.value = (x - mu) * (1 / sqrt(v_eps)) * g + b,
                    .flags = (s->mean.flags | s->var.flags) & (CBN_INCONCLUSIVE | CBN_OR_NAN)};
  if (isnan(y.value) && (v_eps > 0 || isnan(v_eps))) return y; /* what came in was not a number, or not finite */
  if (v < 0 && v_eps < -gamma_of(4, U32) * (fabs(v) + fabs(epsilon)) - s->var.bound) return y; /* NaN: a negative root */
  if (!(v_eps > 0) || (v < 0 && v_eps <= gamma_of(4, U32) * (fabs(v) + fabs(epsilon)))) {
    y.flags |= CBN_INCONCLUSIVE;
    return y;
  }
  if (!isfinite(y.value)) {
    y.flags |= CBN_OR_NAN; /* folded, an infinity may meet its opposite */
    return y;
  }
  y.own = normalised_error(U64, 0, x, g, b, mu, s->mean.own, v_eps, s->var.own);
  y.bound = rounded_up(normalised_error(U32, ETA32, x, g, b, mu, s->mean.bound, v_eps, s->var.bound) + y.own);
  const double q = s->var.bound / v_eps, R = 1 / sqrt(v_eps * (1 - q));
  const double folded = fabs(g) * fmax(1, R) * (fabs(x) + fabs(mu) + s->mean.bound) + fabs(b);
  if (!isfinite(y.bound) || (isfinite(v_eps) && 2 * v_eps >= OVERFLOW32) || folded * 2 >= OVERFLOW32) y.flags |= CBN_INCONCLUSIVE;
  return y;
}

/* |1-m| ds + |m| c dstat + gamma(8)((1+|m|)(|s|+ds) + |m| c (|stat|+dstat)) + 4 eta. */
static double updated_error(double u, double eta, double m, double c, double s, double ds, double stat, double dstat) {
  return fabs(1 - m) * ds + fabs(m) * c * dstat +
         gamma_of(8, u) * ((1 + fabs(m)) * (fabs(s) + ds) + fabs(m) * c * (fabs(stat) + dstat)) + 4 * eta;
}

/* A running statistic after the batch statistic `stat`, corrected by c, has entered with weight m. */
static cbn_interval updated(const cbn_interval *s, const quantity *stat, double m, double c) {
  cbn_interval r = {.value = (1 - m) * s->value + m * c * stat->value, .flags = s->flags | stat->flags};
  r.flags &= (uint8_t)~CBN_EXACT;
  if (!isfinite(r.value)) {
    r.flags |= CBN_OR_NAN; /* an infinity may meet its opposite, or 0, in one form of the sum and not in the other */
    return r;
  }
  r.own = updated_error(U64, 0, m, c, s->value, s->own, stat->value, stat->own);
  r.bound = rounded_up(updated_error(U32, ETA32, m, c, s->value, s->bound, stat->value, stat->bound) + r.own);
  const double most = (1 + fabs(m)) * fabs(s->value) + (1 + fabs(m)) * c * fabs(stat->value);
  if (2 * most >= OVERFLOW32) r.flags |= CBN_INCONCLUSIVE;
  return r;
}

/* L/(L-1) where the running variance is unbiased: infinite for one value, as the divisor L - 1 = 0 says. */
static double unbiased_factor(const cbn_batchnorm *bn, int64_t L) {
  return bn->running_variance == CBN_VARIANCE_UNBIASED && L > 0 ? (double)L / (double)(L - 1) : 1;
}

static double affine(const cbn_tensor *tensor, int64_t c, double neutral) {
  return tensor == NULL ? neutral : cbn_tensor_get(tensor, c);
}

static void normalise_channel(const cbn_batchnorm *bn, const channel *ch, double g, double b, const statistics *used,
                              const cbn_expected *output) {
  for (int64_t n = 0; n < ch->batch; n++)
    for (int64_t i = 0; i < ch->positions; i++)
      cbn_expected_put(output, (n * bn->channels + ch->c) * ch->positions + i,
                       normalise(value_at(ch, n, i), g, b, bn->epsilon, used));
}

void cbn_reference_batchnorm(const cbn_batchnorm *bn, const cbn_tensor *input, const cbn_tensor *weight,
                             const cbn_tensor *bias, const cbn_expected *running_mean, const cbn_expected *running_var,
                             uint32_t arithmetic, const cbn_expected *output) {
  assert(bn->direction == CBN_FORWARD && input->type == CBN_F32);
  (void)arithmetic;
  const int64_t positions = cbn_extent_product(bn->spatial_rank, bn->extent);
  const int64_t L = bn->batch * positions;
  for (int64_t c = 0; c < bn->channels; c++) {
    const channel ch = {.input = input, .c = c, .batch = bn->batch, .positions = positions};
    statistics batch = {0};
    if (L > 0 && (bn->statistics == CBN_STATISTICS_BATCH || bn->update_running)) batch = batch_statistics(&ch);
    statistics used = batch;
    if (bn->statistics == CBN_STATISTICS_RUNNING)
      used = (statistics){cbn_expected_at(running_mean, c), cbn_expected_at(running_var, c)};
    normalise_channel(bn, &ch, affine(weight, c, 1), affine(bias, c, 0), &used, output);
    if (bn->update_running) {
      const cbn_interval mean = cbn_expected_at(running_mean, c), var = cbn_expected_at(running_var, c);
      const double correction = unbiased_factor(bn, L);
      cbn_expected_put(running_mean, c, updated(&mean, &batch.mean, bn->new_weight, 1));
      cbn_expected_put(running_var, c, updated(&var, &batch.var, bn->new_weight, correction));
    }
  }
}
