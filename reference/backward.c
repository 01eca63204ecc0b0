/* The gradients of batch normalization, with a proven bound for every element.
 *
 * With z = (x - mu) r, r = 1/sqrt(v + eps), L values a channel, g = grad_output and w the weight (Ioffe and Szegedy
 * 2015, section 3; sums over the channel):
 *
 *   grad_bias = S1 = sum g,    grad_weight = S2 = sum g z,
 *   grad_input = w r (g - S1/L - z S2/L)   with the batch's statistics,   w r g   with the running ones.
 *
 * An engine has mu and r up to dmu and dr, r' <= R (reference/statistics.c), so its exact z' would be off by D = R
 * dmu + |x-mu| dr, and its parts are at most Z = R (|x| + |mu| + dmu). Let A1 = sum |g|, A2 = sum |g| Z, A3 = sum Z.
 *
 * SUMS. S1 takes L - 1 additions: e1 = gamma(L) A1. S2, as sum g*((x-mu)*r), (sum g*(x-mu))*r or (sum g*x - mu*S1)*r:
 * the engine's mu' and r' are the same for all of a channel, so that with them it is off by |(r'-r) sum g (x-mu) + r'
 * (mu-mu') S1| <= dr |S2|/r + R dmu |S1| =: E; r' is rounded 3 times (v + eps, halved by the root; root; division),
 * and besides a term takes one difference, at most two products, L additions and one more difference: L + 8 factors
 * on terms of at most |g| Z in all. e2 = E + gamma(L+8) A2.
 *
 * GRAD_INPUT, as (g - S1/L - (x-mu)*k)*r*w, k = S2*r/L, or a*g + b*x + c with a = w*r, b = -a*S2*r/L, c = -a*S1/L -
 * b*mu, and the like. With T1 = |S1| + e1 and T2 = |S2| + e2 the exact value of the engine's operands is off by at
 * most
 *
 *   |w| (dr |g - S1/L - z S2/L| + R (e1 + D T2 + |z| e2) / L),
 *
 * and no term takes more than 20 roundings (k: two r' of 3, two products, a quotient; the difference, its product, the
 * outer r', two products, two sums), each on at most |w| R (|g| + T1/L + Z T2/L). With running statistics |w| |g| dr +
 * gamma(8) |w| R |g|.
 *
 * UNDERFLOW. In the sums each of at most three products a term loses eta/2, enlarged by |g|, R or Z at most; flushed,
 * operands and sums lose eta as well: eta (1+R) (A1 + A3 + 4 L + 4). In grad_input a lost eta is enlarged by at most
 * (1+|w|) (1+R)^2 (|g| + (T1+T2)/L + |x| + |mu| + dmu + 1), 8 times, and, where w*r/L comes first, by L |g| + T1 + Z
 * T2.
 *
 * OVERFLOW. Where one of the magnitudes above can reach overflow in the working type, nothing can be said.
 */
#include "reference/statistics.h"

/* What one channel's sums came to. */
typedef struct sums {
  wide L, S1, S2, A1, A2, A3;
  wide G, most;      /* max |g|, max Z */
  wide finite;       /* sum |g| over the finite ones */
  bool not_a_number; /* a NaN is among g */
  wide e1, e2;       /* the errors of S1 and S2 */
} sums;

static wide lost_in_sums(const normaliser *w, const sums *s) {
  return w->a->eta * (1 + w->R) * (s->A1 + s->A3 + 4 * s->L + 4);
}

/* e1 and e2 above. */
static wide bias_error(const normaliser *w, const sums *s) {
  return gamma_of(s->L, w->a->u) * s->A1 + (w->a->flushes ? 2 * s->L * w->a->eta : 0);
}

static wide weight_error(const normaliser *w, const sums *s) {
  const wide disturbed = w->dr * fabsl(s->S2) / w->r + w->R * w->dmu * fabsl(s->S1);
  return disturbed + gamma_of(s->L + 8, w->a->u) * s->A2 + lost_in_sums(w, s);
}

static sums sum_channel(const normaliser *w, const channel *ch, const cbn_tensor *input, const cbn_tensor *grad) {
  sums s = {.L = (wide)(ch->batch * ch->positions)};
  reader xs = read_channel(ch, input), gs = read_channel(ch, grad);
  for (int64_t i = 0; i < ch->batch * ch->positions; i++) {
    const wide x = next_value(&xs), g = next_value(&gs), Z = magnitude(w, x), size = fabsl(g);
    s.S1 += g;
    s.S2 += g * ((x - w->mu) * w->r);
    s.A1 += size;
    s.A2 += size * Z;
    s.A3 += Z;
    s.G = size > s.G ? size : s.G;
    s.most = Z > s.most ? Z : s.most;
    if (isfinite(g)) s.finite += size;
    s.not_a_number = s.not_a_number || isnan(g);
  }
  s.e1 = bias_error(w, &s);
  s.e2 = weight_error(w, &s);
  return s;
}

/* The error of grad_input at one element, with the batch's statistics and with the running ones. */
static wide batch_error(const normaliser *w, const sums *s, wide weight, wide x, wide g) {
  const wide e1 = s->e1, e2 = s->e2, T1 = fabsl(s->S1) + e1, T2 = fabsl(s->S2) + e2;
  const wide z = (x - w->mu) * w->r, D = disturbance(w, x), Z = magnitude(w, x), k = fabsl(weight);
  const wide lost = 8 * w->a->eta * (1 + k) * (1 + w->R) * (1 + w->R) *
                        (fabsl(g) + (T1 + T2) / s->L + fabsl(x) + fabsl(w->mu) + w->dmu + 1) +
                    w->a->eta * (s->L * fabsl(g) + T1 + Z * T2);
  return k * (w->dr * fabsl(g - s->S1 / s->L - z * s->S2 / s->L) + w->R * (e1 + D * T2 + fabsl(z) * e2) / s->L) +
         w->gamma20 * k * w->R * (fabsl(g) + T1 / s->L + Z * T2 / s->L) + lost;
}

static wide running_error(const normaliser *w, wide weight, wide g) {
  const wide k = fabsl(weight);
  return k * fabsl(g) * w->dr + w->gamma8 * k * w->R * fabsl(g) + 8 * w->a->eta * (1 + k) * (1 + w->R) * (fabsl(g) + 1);
}

/* One channel's problem. */
typedef struct backward {
  bool batch; /* the batch's statistics normalised */
  wide weight;
  normaliser own, engine;
  sums own_sums, sums; /* they differ in what is said of magnitudes and disturbances */
} backward;

/* May anything on the way overflow? */
static bool may_overflow(const backward *b) {
  const normaliser *w = &b->engine;
  const sums *s = &b->sums;
  const wide T = s->A1 + s->A2 + s->e2, most = (1 + w->R) * (1 + w->R) * (1 + fabsl(b->weight));
  const bool in_sums = (isfinite(w->v_eps) && reaches_overflow(w->a, w->v_eps)) ||
                       reaches_overflow(w->a, s->A2 / w->R) || reaches_overflow(w->a, T) ||
                       reaches_overflow(w->a, s->A3);
  return in_sums || (b->batch && (reaches_overflow(w->a, most) || reaches_overflow(w->a, most * T) ||
                                  reaches_overflow(w->a, s->L * s->G + T + s->most * T)));
}

/* What can be said where not every number is one: NaN where each form gives it, else nothing. */
static cbn_interval not_finite(bool not_a_number) {
  return (cbn_interval){.value = NAN, .flags = not_a_number ? 0 : CBN_INCONCLUSIVE};
}

static cbn_interval bias_gradient(const backward *b, int32_t type) {
  const sums *s = &b->sums;
  if (s->L * b->engine.a->u >= 0.5L) return (cbn_interval){.value = (double)s->S1, .flags = CBN_INCONCLUSIVE};
  if (!isfinite(s->A1)) /* finite terms that overflow on their own could turn an infinity into NaN */
    return (cbn_interval){.value = (double)s->S1,
                          .flags = isinf(s->S1) && reaches_overflow(b->engine.a, s->finite) ? CBN_INCONCLUSIVE : 0};
  cbn_interval r = stored(b->engine.a, type, s->S1, s->e1, b->own_sums.e1);
  if (reaches_overflow(b->engine.a, s->A1)) r.flags = CBN_INCONCLUSIVE;
  return r;
}

static cbn_interval weight_gradient(const backward *b, int32_t type) {
  return stored(b->engine.a, type, b->own_sums.S2, b->sums.e2, b->own_sums.e2);
}

static cbn_interval batch_gradient(const backward *b, int32_t type, wide x, wide g) {
  const normaliser *w = &b->own;
  const sums *s = &b->own_sums;
  const wide z = (x - w->mu) * w->r;
  return stored(b->engine.a, type, b->weight * w->r * (g - s->S1 / s->L - z * s->S2 / s->L),
                batch_error(&b->engine, &b->sums, b->weight, x, g), batch_error(w, s, b->weight, x, g));
}

/* A product of the element's own numbers alone: infinities stay where they are. */
static cbn_interval running_gradient(const backward *b, int32_t type, wide g) {
  const wide value = b->weight * b->own.r * g, R = b->engine.R, k = 1 + fabsl(b->weight);
  if (!isfinite(value)) { /* NaN too where w*r may become infinite, or 0 */
    const wide factor = fabsl(b->weight) * R;
    const bool certain = isnan(value) || (factor > b->engine.a->normal && !reaches_overflow(b->engine.a, k * (1 + R)));
    return (cbn_interval){.value = (double)value, .flags = certain ? 0 : CBN_OR_NAN};
  }
  cbn_interval r =
      stored(b->engine.a, type, value, running_error(&b->engine, b->weight, g), running_error(&b->own, b->weight, g));
  const bool root_overflows = isfinite(b->engine.v_eps) && reaches_overflow(b->engine.a, b->engine.v_eps);
  if (root_overflows || reaches_overflow(b->engine.a, k * (1 + R) * (1 + fabsl(g)))) r.flags = CBN_INCONCLUSIVE;
  return r;
}

static void channel_gradients(const cbn_batchnorm *bn, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                              const channel *ch, const statistics *used, const arithmetic *engine,
                              const cbn_expected *grad_input, const cbn_expected *grad_weight,
                              const cbn_expected *grad_bias) {
  const cbn_tensor *x = tensor[CBN_ROLE_INPUT], *g = tensor[CBN_ROLE_GRAD_OUTPUT];
  backward b = {.batch = bn->statistics == CBN_STATISTICS_BATCH,
                .weight = parameter_at(tensor[CBN_ROLE_WEIGHT], ch->c, 1),
                .own = own_normaliser(used, bn->epsilon),
                .engine = engine_normaliser(engine, used, bn->epsilon)};
  b.own_sums = sum_channel(&b.own, ch, x, g);
  b.sums = sum_channel(&b.engine, ch, x, g);
  const enum root root = root_of(engine, used, bn->epsilon);
  const bool no_root = root == ROOT_NOT_A_NUMBER;
  const bool open = root == ROOT_OPEN || (used->mean.flags | used->var.flags) & CBN_INCONCLUSIVE ||
                    (b.sums.L + 20) * engine->u >= 0.5L;
  const bool decided = !open && !no_root && isfinite(b.sums.A1) && isfinite(b.sums.A2) && !may_overflow(&b);
  if (grad_bias != NULL) cbn_expected_put(grad_bias, ch->c, bias_gradient(&b, grad_bias->type));
  if (grad_weight != NULL)
    cbn_expected_put(grad_weight, ch->c,
                     decided ? weight_gradient(&b, grad_weight->type) : not_finite(no_root || b.sums.not_a_number));
  reader xs = read_channel(ch, x), gs = read_channel(ch, g);
  for (int64_t batch = 0; batch < ch->batch; batch++)
    for (int64_t i = 0; i < ch->positions; i++) {
      const wide gi = next_value(&gs), xi = next_value(&xs);
      cbn_interval r = not_finite(no_root || (b.batch && isnan(b.sums.S1)));
      if (!b.batch && !open && !no_root) r = running_gradient(&b, grad_input->type, gi);
      else if (b.batch && decided) r = batch_gradient(&b, grad_input->type, xi, gi);
      cbn_expected_put(grad_input, (batch * bn->channels + ch->c) * ch->positions + i, r);
    }
}

void cbn_reference_batchnorm_backward(const cbn_batchnorm *bn, const cbn_tensor *const tensor[CBN_ROLE_COUNT],
                                      const cbn_expected *running_mean, const cbn_expected *running_var,
                                      uint32_t classes, const cbn_expected *grad_input, const cbn_expected *grad_weight,
                                      const cbn_expected *grad_bias) {
  assert(bn->direction == CBN_GRAD_INPUT);
  const cbn_tensor *input = tensor[CBN_ROLE_INPUT];
  const arithmetic engine = engine_arithmetic(input->type, classes);
  const int64_t positions = cbn_extent_product(bn->spatial_rank, bn->extent);
  for (int64_t c = 0; c < bn->channels; c++) {
    const channel ch = {.c = c, .batch = bn->batch, .positions = positions};
    if (ch.batch * ch.positions == 0) { /* empty sums */
      const cbn_interval zero = {.flags = CBN_EXACT};
      if (grad_weight != NULL) cbn_expected_put(grad_weight, c, zero);
      if (grad_bias != NULL) cbn_expected_put(grad_bias, c, zero);
      continue;
    }
    const statistics used = used_statistics(bn, &ch, input, running_mean, running_var, &engine);
    channel_gradients(bn, tensor, &ch, &used, &engine, grad_input, grad_weight, grad_bias);
  }
}
