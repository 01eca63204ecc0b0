/* Batch statistics as their definition reads, with a proven bound.
 *
 *   mu = sum x / L,   v = sum (x - mu)^2 / L       for each channel, L = values a channel
 *
 * All bounds below are functions of an arithmetic: its unit roundoff u, and eta, what one operation may lose to
 * underflow besides. With those of the working type they bound an engine, with u of `wide` (and no underflow) this
 * reference, whose own error is added. X = max |x|, gamma(n) = n u / (1 - n u). Where subnormals are kept eta is the
 * smallest of them and only products and quotients lose (at most eta/2 each, sums nothing); where they are flushed eta
 * is the smallest normal, and every operation and operand may lose.
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
 * gamma(L+4) (v + d^2) + d^2. Welford's products (x - m_(k-1))(x - m_k), and Chan's n_a n_b/n (m_b - m_a)^2 of merged
 * lanes, carry means that are each off by at most M: the sum of the exact products is L v. Welford's are perturbed by
 * at most sum (|x - m_(k-1)| + |x - m_k|) M + L M^2; sum (x - m_k)^2 <= L v and, as k/(k-1) <= 2, sum (x - m_(k-1))^2
 * <= 2 L v, so by Cauchy and Schwarz by at most L ((1 + sqrt 2) M sqrt(v) + M^2) <= L h, h = 2.5 M sqrt(v) + M^2. A
 * merge to n values has weight w = n_a n_b/n and means whose errors add up to M n/L (to first order, as M is linear
 * in n), and is perturbed by w (2 |d| M n/L + (M n/L)^2), d = m_b - m_a. The exact merges' w d^2 add up to at most L
 * v, and w (n/L)^2 to at most L in a chain of lanes as in a tree (a geometric sum), so by Cauchy and Schwarz they
 * stay within L h too. So dv <= gamma(L+4) (v + h) + h, which contains the two-pass bound since M^2 <= h. An engine
 * that declares two passes is held to M = gamma(L+1) mean|x| + 4 eta and h = M^2. Squares below the smallest normal
 * lose at most eta each, their mean, its rounding and those of the merges less than 8 eta.
 *
 * VARIANCE PLUS EPSILON. An engine has v + eps up to a share q of it: the error of v; where eps or v is below 0 the
 * rounding of epsilon, u |eps|, which v + eps does not contain (elsewhere it counts as a rounding of the sum); and
 * the eta/2 by which an epsilon below the smallest normal is rounded, or 8 eta where operands are flushed. With r =
 * 1/sqrt(v+eps) and q < 1 an engine's exact root r' is at most R = r/sqrt(1-q), and |r' - r| <= dr = r q/(2(1-q)), as
 * 1/sqrt(1-q) - 1 <= q/(2(1-q)). With mu', r' in place of mu, r, (x-mu')r' - (x-mu)r = (mu-mu')r' + (x-mu)(r'-r) is
 * at most R dmu + |x-mu| dr.
 */
#include "reference/statistics.h"

reader read_channel(const channel *ch, const cbn_tensor *tensor) {
  reader r;
  r.values = *tensor;
  r.values.extent[1] = 1;
  r.values.data = (char *)tensor->data + (size_t)(ch->c * tensor->stride[1]) * cbn_type_size(tensor->type);
  r.count = ch->batch * ch->positions;
  r.next = 0;
  return r;
}

void read_ahead(reader *r) {
  const int64_t left = r->count - r->next;
  cbn_tensor_read(&r->values, r->next, left < READ_AHEAD ? left : READ_AHEAD, r->ahead);
}

double parameter_at(const cbn_tensor *tensor, int64_t c, double neutral) {
  return tensor == NULL ? neutral : cbn_tensor_get(tensor, c);
}

/* The errors of mean and variance (above) of L values, of magnitude X at most and A on average. */
static wide mean_error(const arithmetic *a, wide L, wide X, wide A) {
  if (a->two_pass) return gamma_of(L + 1, a->u) * A + 4 * a->eta;
  return gamma_of(L + 7, a->u) * X + (a->flushes ? 3 * L + 8 : L / 2 + 1) * a->eta;
}

static wide var_error(const arithmetic *a, wide L, wide M, wide v) {
  const wide h = (a->two_pass ? 0 : 2.5L * M * sqrtl(v)) + M * M;
  return gamma_of(L + 4, a->u) * (v + h) + h + 8 * a->eta;
}

statistics batch_statistics(const channel *ch, const cbn_tensor *input, const arithmetic *engine) {
  const int64_t values = ch->batch * ch->positions;
  const wide L = (wide)values;
  wide sum = 0, magnitude = 0, least = INFINITY, most = -INFINITY, squares = 0;
  reader once = read_channel(ch, input), again = once;
  for (int64_t i = 0; i < values; i++) {
    const wide x = next_value(&once);
    sum += x;
    magnitude += fabsl(x);
    least = x < least ? x : least;
    most = x > most ? x : most;
  }
  const wide mu = sum / L;
  for (int64_t i = 0; i < values; i++) {
    const wide d = next_value(&again) - mu;
    squares += d * d;
  }
  const wide v = squares / L, X = fmaxl(fabsl(least), fabsl(most));
  statistics s = {.mean = {.value = mu}, .var = {.value = v}};
  if (!isfinite(v)) { /* an infinity or NaN is in the channel: a sum keeps an infinity, Welford's mean becomes NaN */
    s.mean.flags = CBN_OR_NAN;
    return s;
  }
  if ((L + 7) * engine->u >= 0.5L) {
    s.mean.flags = s.var.flags = CBN_INCONCLUSIVE;
    return s;
  }
  const wide M = mean_error(engine, L, X, magnitude / L);
  s.mean.own = mean_error(&reference_arithmetic, L, X, magnitude / L);
  s.mean.bound = M + s.mean.own;
  s.var.own = var_error(&reference_arithmetic, L, s.mean.own, v);
  s.var.bound = var_error(engine, L, M, v) + s.var.own;
  const wide difference = most - least + 2 * s.mean.bound;
  if (reaches_overflow(engine, magnitude) || reaches_overflow(engine, difference * difference) ||
      reaches_overflow(engine, L * (v + s.var.bound)))
    s.mean.flags = s.var.flags = CBN_INCONCLUSIVE;
  return s;
}

quantity held_statistic(const cbn_expected *statistic, int64_t c) {
  const cbn_interval i = cbn_expected_at(statistic, c);
  const int flags = (i.flags & ~CBN_EXACT) | (i.flags & CBN_OR_INFINITY ? CBN_INCONCLUSIVE : 0);
  return (quantity){i.value, i.bound, i.own, (uint8_t)flags};
}

statistics used_statistics(const cbn_batchnorm *bn, const channel *ch, const cbn_tensor *input,
                           const cbn_expected *running_mean, const cbn_expected *running_var,
                           const arithmetic *engine) {
  if (bn->statistics == CBN_STATISTICS_RUNNING)
    return (statistics){held_statistic(running_mean, ch->c), held_statistic(running_var, ch->c)};
  if (ch->batch * ch->positions > 0) return batch_statistics(ch, input, engine);
  return (statistics){.mean.flags = CBN_INCONCLUSIVE, .var.flags = CBN_INCONCLUSIVE};
}

/* q above: dv is the error of v in that arithmetic. */
static wide relative_error(const arithmetic *a, wide v, wide dv, wide epsilon) {
  const wide rounded = epsilon < 0 || v < 0 ? fabsl(epsilon) : 0;
  return (dv + a->u * rounded + (a->flushes ? 8 : 1) * a->eta) / (v + epsilon);
}

static normaliser normaliser_of(const arithmetic *a, wide mu, wide dmu, wide v, wide dv, wide epsilon) {
  const wide q = relative_error(a, v, dv, epsilon), r = 1 / sqrtl(v + epsilon);
  return (normaliser){.a = a,
                      .mu = mu,
                      .dmu = dmu,
                      .v_eps = v + epsilon,
                      .r = r,
                      .R = q < 1 ? r / sqrtl(1 - q) : INFINITY,
                      .dr = q < 1 ? r * q / (2 * (1 - q)) : INFINITY,
                      .gamma8 = gamma_of(8, a->u),
                      .gamma20 = gamma_of(20, a->u)};
}

normaliser engine_normaliser(const arithmetic *engine, const statistics *s, wide epsilon) {
  return normaliser_of(engine, s->mean.value, s->mean.bound, s->var.value, s->var.bound, epsilon);
}

normaliser own_normaliser(const statistics *s, wide epsilon) {
  return normaliser_of(&reference_arithmetic, s->mean.value, s->mean.own, s->var.value, s->var.own, epsilon);
}

enum root root_of(const arithmetic *a, const statistics *s, wide epsilon) {
  const wide v = s->var.value, v_eps = v + epsilon;
  const wide open = gamma_of(4, a->u) * (fabsl(v) + fabsl(epsilon)) + s->var.bound; /* below, the sign is not certain */
  if (isnan(v_eps)) return ROOT_NOT_A_NUMBER;
  if (v < 0 && v_eps < -open) return ROOT_NOT_A_NUMBER;
  return v_eps > 0 && (v >= 0 || v_eps > open) ? ROOT_REAL : ROOT_OPEN;
}
