/* Forward batch normalization as its definition reads, with a proven bound for every element.
 *
 *   y = (x - mu) / sqrt(v + eps) * g + b,     s' = (1 - m) s + m c stat,   stat = mu or v,   c = 1 or L/(L-1)
 *
 * for each channel, L = values a channel; in evaluation mu and v are the running statistics. Errors of mu, dmu, and of
 * v, dv: reference/statistics.c.
 *
 * NORMALISATION. An engine has mu and r = 1/sqrt(v+eps) up to dmu and dr, r' <= R (reference/statistics.c).
 * Roundings: (x-mu')*r'*g + b: epsilon and v + eps halved by the root 1, root 1, division 1, difference 1, two
 * products 2, sum 1: 7. Folded, x*s + (b - mu'*s), s = g*r': 3, s 1, product 1, difference 1, sum 1: 7. Each is a
 * factor on terms that are at most |g| R (|x| + |mu'|) + |b|; gamma(8) contains them. Products below the smallest
 * normal lose eta/2 each, s enlarged by |x| + |mu'|, the unfolded first product by |g|: eta (|x|+|mu|+dmu+|g|+3) in
 * all. Flushed operands lose as much again, enlarged by R, and 8 eta of v + eps, which enter q. The rounding to a
 * narrower storage type is added last (stored()).
 *
 * RUNNING STATISTICS. Given |s' - s| <= ds and the batch statistic's bound, the exact update carries |1-m| ds + |m|
 * c dstat. (1-m)*s + (m*c)*stat rounds m, 1-m, c (three operations), products and sum: at most 8 on each of
 * (1+|m|)|s| and |m| c |stat|; s + m*(c*stat - s) likewise on |s| + |m| (c |stat| + |s|). Products and sums below
 * the smallest normal lose 4 eta (1+|m|), an m there eta (|s| + c |stat|).
 *
 * OVERFLOW. Where sum |x|, the square of a difference, sum (x-mu)^2, a difference, or a product of any of the forms
 * above can reach overflow in the working type, nothing can be said.
 */
#include "reference/statistics.h"

/* |g| (R dmu + |x-mu| dr) + gamma(8)(|g| R (|x|+|mu|+dmu) + |b|) + underflow. */
static wide normalised_error(const normaliser *n, wide x, wide g, wide b) {
  const wide k = fabsl(g), reach = fabsl(x) + fabsl(n->mu) + n->dmu;
  const wide flushed = n->a->flushes ? n->a->eta * n->R * (reach + 8 * k) + 3 * n->a->eta : 0;
  return k * disturbance(n, x) + n->gamma8 * (k * magnitude(n, x) + fabsl(b)) + n->a->eta * (reach + k + 3) + flushed;
}

/* May a difference or product on the way to y overflow, in any of the forms? */
static bool may_overflow(const normaliser *n, wide x, wide g, wide b) {
  const wide k = fabsl(g), difference = fabsl(x) + fabsl(n->mu) + n->dmu;
  return reaches_overflow(n->a, difference) || reaches_overflow(n->a, magnitude(n, x)) ||
         reaches_overflow(n->a, k * n->R) || reaches_overflow(n->a, k * magnitude(n, x) + fabsl(b)) ||
         (isfinite(n->v_eps) && reaches_overflow(n->a, n->v_eps));
}

/* What normalises a channel. */
typedef struct channel_normaliser {
  normaliser engine, own;
  enum root root;
  uint8_t flags; /* of the statistics */
  wide g, b;
} channel_normaliser;

/* Times an infinite g, x - mu' gives an infinity of its sign, or NaN where it is 0: an engine's mean decides. */
static bool mean_decides(const channel_normaliser *ch, wide x) {
  const wide dmu = ch->engine.dmu + ch->own.dmu;
  return isinf(ch->g) && dmu > 0 && fabsl(x - ch->own.mu) <= dmu;
}

static cbn_interval normalise(const channel_normaliser *ch, int32_t type, wide x) {
  const wide value = (x - ch->own.mu) * ch->own.r * ch->g + ch->b;
  cbn_interval y = {.value = (double)value, .flags = ch->flags & (CBN_INCONCLUSIVE | CBN_OR_NAN)};
  switch (ch->root) {
  case ROOT_OPEN: y.flags |= CBN_INCONCLUSIVE; return y;
  case ROOT_NOT_A_NUMBER: return y;
  case ROOT_REAL: break;
  }
  if (mean_decides(ch, x)) {
    y.flags |= CBN_INCONCLUSIVE;
    return y;
  }
  if (isnan(value)) return y; /* what came in was not a number, or not finite */
  if (!isfinite(value)) {
    const bool vanishes = fabsl(ch->g) * ch->own.r < ch->engine.a->normal;             /* 0 times infinity */
    if (vanishes || may_overflow(&ch->engine, 0, ch->g, ch->b)) y.flags |= CBN_OR_NAN; /* folded, it may meet another */
    return y;
  }
  const wide bound = normalised_error(&ch->engine, x, ch->g, ch->b);
  const uint8_t flags = y.flags;
  y = stored(ch->engine.a, type, value, bound, normalised_error(&ch->own, x, ch->g, ch->b));
  y.flags |= flags;
  if (!isfinite(y.bound) || may_overflow(&ch->engine, x, ch->g, ch->b)) y.flags |= CBN_INCONCLUSIVE;
  return y;
}

/* |1-m| ds + |m| c dstat + gamma(8)((1+|m|)(|s|+ds) + |m| c (|stat|+dstat)) + underflow. */
static wide updated_error(const arithmetic *a, wide m, wide c, wide s, wide ds, wide stat, wide dstat) {
  const wide lost_of_m = m != 0 && fabsl(m) < a->normal ? a->eta : 0;
  return fabsl(1 - m) * ds + fabsl(m) * c * dstat +
         gamma_of(8, a->u) * ((1 + fabsl(m)) * (fabsl(s) + ds) + fabsl(m) * c * (fabsl(stat) + dstat)) +
         a->eta * 4 * (1 + fabsl(m)) + lost_of_m * (fabsl(s) + c * fabsl(stat));
}

/* A running statistic after the batch statistic `stat`, corrected by c, has entered with weight m. */
static cbn_interval updated(const arithmetic *engine, int32_t type, const quantity *s, const quantity *stat, wide m,
                            wide c) {
  const wide value = (1 - m) * s->value + m * c * stat->value;
  const uint8_t flags = s->flags | stat->flags;
  if (!isfinite(value)) /* an infinity may meet its opposite, or 0, in one form of the sum and not in the other */
    return (cbn_interval){.value = (double)value, .flags = flags | CBN_OR_NAN};
  const wide own = updated_error(&reference_arithmetic, m, c, s->value, s->own, stat->value, stat->own);
  const wide bound = updated_error(engine, m, c, s->value, s->bound, stat->value, stat->bound);
  cbn_interval r = stored(engine, type, value, bound, own);
  r.flags |= flags;
  if (reaches_overflow(engine, (1 + fabsl(m)) * (fabsl(s->value) + s->bound + c * (fabsl(stat->value) + stat->bound))))
    r.flags |= CBN_INCONCLUSIVE;
  return r;
}

/* L/(L-1) where the running variance is unbiased: infinite for one value, as the divisor L - 1 = 0 says. */
static wide unbiased_factor(const cbn_batchnorm *bn, int64_t L) {
  return bn->running_variance == CBN_VARIANCE_UNBIASED && L > 0 ? (wide)L / (wide)(L - 1) : 1;
}

static void update(const cbn_batchnorm *bn, const arithmetic *engine, const channel *ch, const statistics *batch,
                   const cbn_expected *running_mean, const cbn_expected *running_var) {
  const quantity mean = held_statistic(running_mean, ch->c), var = held_statistic(running_var, ch->c);
  const wide correction = unbiased_factor(bn, ch->batch * ch->positions);
  cbn_expected_put(running_mean, ch->c, updated(engine, running_mean->type, &mean, &batch->mean, bn->new_weight, 1));
  cbn_expected_put(running_var, ch->c,
                   updated(engine, running_var->type, &var, &batch->var, bn->new_weight, correction));
}

void cbn_reference_batchnorm(const cbn_batchnorm *bn, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                             const cbn_expected *running_mean, const cbn_expected *running_var, uint32_t classes,
                             const cbn_expected *output) {
  assert(bn->direction == CBN_FORWARD);
  const cbn_tensor *input = tensor[CBN_ROLE_INPUT];
  const arithmetic engine = engine_arithmetic(input->type, classes);
  const int64_t positions = cbn_extent_product(bn->spatial_rank, bn->extent);
  for (int64_t c = 0; c < bn->channels; c++) {
    const channel ch = {.c = c, .batch = bn->batch, .positions = positions};
    const statistics used = used_statistics(bn, &ch, input, running_mean, running_var, &engine);
    const channel_normaliser n = {.engine = engine_normaliser(&engine, &used, bn->epsilon),
                                  .own = own_normaliser(&used, bn->epsilon),
                                  .root = root_of(&engine, &used, bn->epsilon),
                                  .flags = used.mean.flags | used.var.flags,
                                  .g = parameter_at(tensor[CBN_ROLE_WEIGHT], c, 1),
                                  .b = parameter_at(tensor[CBN_ROLE_BIAS], c, 0)};
    reader x = read_channel(&ch, input);
    for (int64_t batch = 0; batch < bn->batch; batch++)
      for (int64_t i = 0; i < positions; i++)
        cbn_expected_put(output, (batch * bn->channels + c) * positions + i,
                         normalise(&n, output->type, next_value(&x)));
    if (!bn->update_running) continue;
    cbn_batchnorm of_batch = *bn;
    of_batch.statistics = CBN_STATISTICS_BATCH;
    const statistics batch = used_statistics(&of_batch, &ch, input, NULL, NULL, &engine);
    update(bn, &engine, &ch, &batch, running_mean, running_var);
  }
}
