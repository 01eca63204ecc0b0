/* Forward batch normalization as its definition reads, with a proven bound for every element.
 *
 *   mu = sum x / L,   v = sum (x - mu)^2 / L,   y = (x - mu) / sqrt(v + eps) * g + b
 *   s' = (1 - m) s + m c stat,   stat = mu or v,   c = 1 or L/(L-1)
 *
 * for each channel, L = values a channel; in evaluation mu and v are the running statistics.
 *
 * All bounds below are functions of an arithmetic: its unit roundoff u, and eta, what one operation may lose to
 * underflow besides. With u = 2^-24 they bound an engine, with u = 2^-53 (and no underflow) this reference, whose
 * own error is added. X = max |x|, gamma(n) = n u / (1 - n u). Where subnormals are kept eta is the smallest of
 * them, 2^-149, and only products and quotients lose (at most eta/2 each, sums nothing); where they are flushed eta
 * is the smallest normal, 2^-126, and every operation and operand may lose.
 *
 * THE MEAN. In any order of summation, one division: error <= gamma(L) mean|x| (1+u) <= gamma(L+1) X. By Welford's
 * update m_k = m_(k-1) + (x_k - m_(k-1))/k in lanes that are merged, m = m_a + (m_b - m_a) n_b/(n_a+n_b) with n_b <=
 * n_a: call the error of the mean of n values e(n) u X to first order. A merge rounds the difference (at most 2X),
 * the quotient, the product and the sum: e(n) <= (n_a e(n_a) + n_b e(n_b))/n + 1 + 6 n_b/n, e(1) = 0 (Welford's
 * update is n_b = 1). Then e(n) <= n + 7: for n < 8 by running through the cases (the worst is e(7) <= 10.6), and
 * for n >= 8 by induction, since the average of n_a + 7 and n_b + 7 is n + 7 - 2 n_a n_b/n, and 2 n_a n_b/n - 6
 * n_b/n >= 1, concave in n_b, holds at both ends n_b = 1 and n_b = n/2. Second order is inside gamma. A quotient
 * that underflows in step k is off by eta/2, which reaches the mean with weight k/L: (L+1)/4 eta in all, and the
 * merges' products as much again; flushing loses up to three eta a step. So every method has
 * |mu' - mu| <= M = gamma(L+7) X + w(L) eta, w(L) = L/2 + 1, or 3L + 8 with flushing.
 *
 * THE VARIANCE. Two-pass about a mean that is off by d <= M: sum (x - mu')^2 / L = v + d^2 exactly; difference,
 * square, L - 1 additions and the division round at most L + 4 times (the difference twice, squared): dv <=
 * gamma(L+4) (v + d^2) + d^2. Welford's products (x - m_(k-1))(x - m_k), and Chan's n_a n_b/n (m_b - m_a)^2 of
 * merged lanes, carry means that are each off by at most M: the sum of the exact products is L v. Welford's are perturbed
 * by at most sum (|x - m_(k-1)| + |x - m_k|) M + L M^2; sum (x - m_k)^2 <= L v and, as k/(k-1) <= 2, sum (x - m_(k-1))^2
 * <= 2 L v, so by Cauchy and Schwarz by at most L ((1 + sqrt 2) M sqrt(v) + M^2) <= L h, h = 2.5 M sqrt(v) + M^2. A merge
 * to n values has weight w = n_a n_b/n and means whose errors add up to M n/L (to first order, as M is linear in n), and is
 * perturbed by w (2 |d| M n/L + (M n/L)^2), d = m_b - m_a. The exact merges' w d^2 add up to at most L v, and w (n/L)^2
 * to at most L in a chain of lanes as in a tree (a geometric sum), so by Cauchy and Schwarz they stay within L h too. So dv <= gamma(L+4) (v + h) + h, which contains the two-pass bound since M^2
 * <= h. An engine that declares two passes is held to M = gamma(L+1) mean|x| + 4 eta and h = M^2. Squares below the
 * smallest normal lose at most eta each, their mean, its rounding and those of the merges less than 8 eta.
 *
 * NORMALISATION. Let q = dv/(v+eps) < 1, r = 1/sqrt(v+eps), R = r/sqrt(1-q) >= r'. With mu', r' in place of mu, r,
 * (x-mu')r' - (x-mu)r = (mu-mu')r' + (x-mu)(r'-r) is at most R dmu + |x-mu| r q/(2(1-q)), as 1/sqrt(1-q) - 1 <=
 * q/(2(1-q)). Roundings: (x-mu')*r'*g + b: epsilon and v + eps halved by the root 1, root 1, division 1, difference
 * 1, two products 2, sum 1: 7. Folded, x*s + (b - mu'*s), s = g*r': 3, s 1, product 1, difference 1, sum 1: 7. Each
 * is a factor on terms that are at most |g| R (|x| + |mu'|) + |b|; gamma(8) contains them. Where eps or v is below
 * 0, epsilon is rounded by u |eps|, which v + eps does not contain: it enters q. So does the eta/2 by which an epsilon below the smallest normal is rounded. Products below the smallest normal
 * lose eta/2 each, s enlarged by |x| + |mu'|, the unfolded first product by |g|: eta (|x|+|mu|+dmu+|g|+3) in all.
 * Flushed operands lose as much again, enlarged by R, and 8 eta of v + eps: they enter q too.
 *
 * RUNNING STATISTICS. Given |s' - s| <= ds and the batch statistic's bound, the exact update carries |1-m| ds + |m|
 * c dstat. (1-m)*s + (m*c)*stat rounds m, 1-m, c (three operations), products and sum: at most 8 on each of
 * (1+|m|)|s| and |m| c |stat|; s + m*(c*stat - s) likewise on |s| + |m| (c |stat| + |s|). Products and sums below
 * the smallest normal lose 4 eta (1+|m|), an m there eta (|s| + c |stat|).
 *
 * OVERFLOW. Where sum |x|, the square of a difference, sum (x-mu)^2, a difference, or a product of any of the forms
 * above can reach overflow in f32, nothing can be said.
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

/* How an engine, or this reference, computes. */
typedef struct arithmetic {
  double u, eta;
  bool flushes, two_pass;
} arithmetic;

static const arithmetic in_f64 = {.u = U64, .two_pass = true};

static arithmetic of_engine(uint32_t classes) {
  const bool flushes = classes & CBN_FLUSHES_SUBNORMALS;
  return (arithmetic){
      .u = U32, .eta = flushes ? NORMAL32 : ETA32, .flushes = flushes, .two_pass = classes & CBN_TWO_PASS_STATISTICS};
}

/* The errors of mean and variance (above) of L values, of magnitude X at most and A on average. */
static double mean_error(const arithmetic *a, double L, double X, double A) {
  if (a->two_pass) return gamma_of(L + 1, a->u) * A + 4 * a->eta;
  return gamma_of(L + 7, a->u) * X + (a->flushes ? 3 * L + 8 : L / 2 + 1) * a->eta;
}

static double var_error(const arithmetic *a, double L, double M, double v) {
  const double h = (a->two_pass ? 0 : 2.5 * M * sqrt(v)) + M * M;
  return gamma_of(L + 4, a->u) * (v + h) + h + 8 * a->eta;
}

/* With a margin for the roundings on the way. */
static bool reaches_overflow(double magnitude) { return !(2 * magnitude < OVERFLOW32); }

static statistics batch_statistics(const channel *ch, const arithmetic *engine) {
  const double L = (double)(ch->batch * ch->positions);
  double sum = 0, magnitude = 0, least = INFINITY, most = -INFINITY, squares = 0;
  for (int64_t n = 0; n < ch->batch; n++)
    for (int64_t i = 0; i < ch->positions; i++) {
      const double x = value_at(ch, n, i);
      sum += x;
      magnitude += fabs(x);
      least = fmin(least, x);
      most = fmax(most, x);
    }
  const double mu = sum / L;
  for (int64_t n = 0; n < ch->batch; n++)
    for (int64_t i = 0; i < ch->positions; i++) {
      const double d = value_at(ch, n, i) - mu;
      squares += d * d;
    }
  const double v = squares / L, X = fmax(fabs(least), fabs(most));
  statistics s = {.mean = {.value = mu}, .var = {.value = v}};
  if (!isfinite(v)) { /* an infinity or NaN is in the channel: a sum keeps an infinity, Welford's mean becomes NaN */
    s.mean.flags = CBN_OR_NAN;
    return s;
  }
  const double M = mean_error(engine, L, X, magnitude / L);
  s.mean.own = mean_error(&in_f64, L, X, magnitude / L);
  s.mean.bound = rounded_up(M + s.mean.own);
  s.var.own = var_error(&in_f64, L, s.mean.own, v);
  s.var.bound = rounded_up(var_error(engine, L, M, v) + s.var.own);
  const double difference = most - least + 2 * s.mean.bound;
  if ((L + 7) * U32 >= 0.5 || reaches_overflow(magnitude) || reaches_overflow(difference * difference) ||
      reaches_overflow(L * (v + s.var.bound)))
    s.mean.flags = s.var.flags = CBN_INCONCLUSIVE;
  return s;
}

/* The operands of a normalisation, with the errors of the statistics in some arithmetic. */
typedef struct operands {
  double x, g, b, mu, dmu, v_eps, epsilon, dv;
} operands;

/* q above: what may be wrong with v + epsilon, as a share of it. */
static double relative_error(const arithmetic *a, const operands *o) {
  const double rounded = o->epsilon < 0 || o->v_eps < o->epsilon ? fabs(o->epsilon) : 0; /* not part of v + epsilon */
  return (o->dv + a->u * rounded + (a->flushes ? 8 : 1) * a->eta) / o->v_eps;
}

/* |g| R dmu + |g||x-mu| r q/(2(1-q)) + gamma(8)(|g| R (|x|+|mu|+dmu) + |b|) + underflow, infinity where q >= 1. */
static double normalised_error(const arithmetic *a, const operands *o) {
  const double q = relative_error(a, o), r = 1 / sqrt(o->v_eps);
  if (!(q < 1)) return INFINITY;
  const double R = r / sqrt(1 - q), g = fabs(o->g), reach = fabs(o->x) + fabs(o->mu) + o->dmu;
  const double flushed = a->flushes ? a->eta * R * (reach + 8 * g) + 3 * a->eta : 0;
  return g * R * o->dmu + g * fabs(o->x - o->mu) * r * q / (2 * (1 - q)) +
         gamma_of(8, a->u) * (g * R * reach + fabs(o->b)) + a->eta * (reach + g + 3) + flushed;
}

/* May a difference or product on the way to y overflow, in any of the forms? */
static bool may_overflow(const arithmetic *a, const operands *o) {
  const double R = 1 / sqrt(o->v_eps * (1 - relative_error(a, o))), g = fabs(o->g);
  const double reach = fabs(o->x) + fabs(o->mu) + o->dmu;
  return reaches_overflow(reach) || reaches_overflow(reach * R) || reaches_overflow(g * R) ||
         reaches_overflow(g * R * reach + fabs(o->b)) || (isfinite(o->v_eps) && reaches_overflow(o->v_eps));
}

static cbn_interval normalise(const arithmetic *engine, double x, double g, double b, double epsilon,
                              const statistics *s) {
  const double mu = s->mean.value, v = s->var.value, v_eps = v + epsilon;
  cbn_interval y = {.value = (x - mu) * (1 / sqrt(v_eps)) * g + b,
                    .flags = (s->mean.flags | s->var.flags) & (CBN_INCONCLUSIVE | CBN_OR_NAN)};
  const double least =
      gamma_of(4, U32) * (fabs(v) + fabs(epsilon)) + s->var.bound; /* below it, the sign of v + eps is open */
  if (isnan(y.value) && (v_eps > 0 || isnan(v_eps))) return y;     /* what came in was not a number, or not finite */
  if (v < 0 && v_eps < -least) return y;                           /* NaN: the root of a negative number */
  if (!(v_eps > 0) || (v < 0 && v_eps <= least)) {
    y.flags |= CBN_INCONCLUSIVE;
    return y;
  }
  if (!isfinite(y.value)) {
    y.flags |= CBN_OR_NAN; /* folded, an infinity may meet its opposite */
    return y;
  }
  const operands own = {x, g, b, mu, s->mean.own, v_eps, 0, s->var.own};
  const operands engines = {x, g, b, mu, s->mean.bound, v_eps, epsilon, s->var.bound};
  y.own = normalised_error(&in_f64, &own);
  y.bound = rounded_up(normalised_error(engine, &engines) + y.own);
  if (!isfinite(y.bound) || may_overflow(engine, &engines)) y.flags |= CBN_INCONCLUSIVE;
  return y;
}

/* |1-m| ds + |m| c dstat + gamma(8)((1+|m|)(|s|+ds) + |m| c (|stat|+dstat)) + underflow. */
static double updated_error(const arithmetic *a, double m, double c, double s, double ds, double stat, double dstat) {
  const double lost_of_m = m != 0 && fabs(m) < NORMAL32 ? a->eta : 0;
  return fabs(1 - m) * ds + fabs(m) * c * dstat +
         gamma_of(8, a->u) * ((1 + fabs(m)) * (fabs(s) + ds) + fabs(m) * c * (fabs(stat) + dstat)) +
         a->eta * 4 * (1 + fabs(m)) + lost_of_m * (fabs(s) + c * fabs(stat));
}

/* A running statistic after the batch statistic `stat`, corrected by c, has entered with weight m. */
static cbn_interval updated(const arithmetic *engine, const cbn_interval *s, const quantity *stat, double m, double c) {
  cbn_interval r = {.value = (1 - m) * s->value + m * c * stat->value, .flags = s->flags | stat->flags};
  r.flags &= (uint8_t)~CBN_EXACT;
  if (!isfinite(r.value)) {
    r.flags |= CBN_OR_NAN; /* an infinity may meet its opposite, or 0, in one form of the sum and not in the other */
    return r;
  }
  r.own = updated_error(&in_f64, m, c, s->value, s->own, stat->value, stat->own);
  r.bound = rounded_up(updated_error(engine, m, c, s->value, s->bound, stat->value, stat->bound) + r.own);
  if (reaches_overflow((1 + fabs(m)) * (fabs(s->value) + s->bound + c * (fabs(stat->value) + stat->bound))))
    r.flags |= CBN_INCONCLUSIVE;
  return r;
}

/* L/(L-1) where the running variance is unbiased: infinite for one value, as the divisor L - 1 = 0 says. */
static double unbiased_factor(const cbn_batchnorm *bn, int64_t L) {
  return bn->running_variance == CBN_VARIANCE_UNBIASED && L > 0 ? (double)L / (double)(L - 1) : 1;
}

static double affine(const cbn_tensor *tensor, int64_t c, double neutral) {
  return tensor == NULL ? neutral : cbn_tensor_get(tensor, c);
}

static void normalise_channel(const cbn_batchnorm *bn, const arithmetic *engine, const channel *ch, double g, double b,
                              const statistics *used, const cbn_expected *output) {
  for (int64_t n = 0; n < ch->batch; n++)
    for (int64_t i = 0; i < ch->positions; i++)
      cbn_expected_put(output, (n * bn->channels + ch->c) * ch->positions + i,
                       normalise(engine, value_at(ch, n, i), g, b, bn->epsilon, used));
}

void cbn_reference_batchnorm(const cbn_batchnorm *bn, const cbn_tensor *input, const cbn_tensor *weight,
                             const cbn_tensor *bias, const cbn_expected *running_mean, const cbn_expected *running_var,
                             uint32_t classes, const cbn_expected *output) {
  assert(bn->direction == CBN_FORWARD && input->type == CBN_F32);
  const arithmetic engine = of_engine(classes);
  const int64_t positions = cbn_extent_product(bn->spatial_rank, bn->extent);
  const int64_t L = bn->batch * positions;
  for (int64_t c = 0; c < bn->channels; c++) {
    const channel ch = {.input = input, .c = c, .batch = bn->batch, .positions = positions};
    statistics batch = {.mean.flags = CBN_INCONCLUSIVE,
                        .var.flags = CBN_INCONCLUSIVE}; /* of an empty batch: undefined */
    if (L > 0 && (bn->statistics == CBN_STATISTICS_BATCH || bn->update_running)) batch = batch_statistics(&ch, &engine);
    statistics used = batch;
    if (bn->statistics == CBN_STATISTICS_RUNNING)
      used = (statistics){cbn_expected_at(running_mean, c), cbn_expected_at(running_var, c)};
    normalise_channel(bn, &engine, &ch, affine(weight, c, 1), affine(bias, c, 0), &used, output);
    if (bn->update_running) {
      const cbn_interval mean = cbn_expected_at(running_mean, c), var = cbn_expected_at(running_var, c);
      const double correction = unbiased_factor(bn, L);
      cbn_expected_put(running_mean, c, updated(&engine, &mean, &batch.mean, bn->new_weight, 1));
      cbn_expected_put(running_var, c, updated(&engine, &var, &batch.var, bn->new_weight, correction));
    }
  }
}
