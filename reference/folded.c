/* A convolution and the batch normalization behind it, evaluated as one convolution with a folded weight and bias.
 *
 *   y = ((b + sum x w) - mu) s + beta,   s = g / sqrt(v + eps);       folded: w' = w s, b' = (b - mu) s + beta
 *
 * THE BOUND. An engine that folds in the working type has s up to 5 roundings (v + eps, halved by the root; root;
 * quotient, or a reciprocal and a product; epsilon itself), w' up to 6, b' up to 8 on each of its terms (difference,
 * product and sum besides s). Then n products and n additions: every term of y is a term of b s + sum x w s - mu s +
 * beta with at most n + 8 roundings, so the error is at most gamma(n+8) ((B + |b| + |mu|) |s| + |beta|), B = sum |x
 * w|. A narrower storage type rounds w' and b' once more, u_out (1 + gamma(n+8)) of the same sum, and the result as
 * any other. A w' that underflows loses eta/2, enlarged by |x|; flushed factors lose as much, enlarged by |x s| or |w
 * s|; s below the smallest normal loses eta/2, enlarged by B + |b| + |mu|; products of the convolution lose as ever.
 * Where s, w' or b' may overflow nothing can be said. Where an engine cuts the factors of products to k bits, f =
 * 2^(1-k), the products are off by (2f + f^2) B |s| more.
 */

#include "core/scratch.h"
#include "reference/arithmetic.h"

/* The channel's s, mu, and beta, and the bias before it. */
typedef struct fold {
  wide s, mu, beta, bias;
} fold;

static fold fold_of(const cbn_conv *conv, const cbn_tensor *bias, const cbn_batchnorm *b,
                    const cbn_tensor *const norm[CBN_ROLE_COUNT], int64_t o) {
  const wide v = cbn_tensor_get(norm[CBN_ROLE_RUNNING_VAR], o);
  return (fold){.s = (b->has_weight ? cbn_tensor_get(norm[CBN_ROLE_WEIGHT], o) : 1) / sqrtl(v + b->epsilon),
                .mu = cbn_tensor_get(norm[CBN_ROLE_RUNNING_MEAN], o),
                .beta = b->has_bias ? cbn_tensor_get(norm[CBN_ROLE_BIAS], o) : 0,
                .bias = conv->has_bias ? cbn_tensor_get(bias, o) : 0};
}

/* A tensor of the magnitudes of another one. */
static bool magnitudes_of(const cbn_tensor *from, cbn_tensor *to) {
  if (!cbn_tensor_describe(to, from->type, from->rank, from->extent, CBN_CONTIGUOUS) || !cbn_tensor_allocate(to))
    return false;
  const int64_t count = cbn_tensor_count(from);
  double *const values = cbn_scratch_take((size_t)count * sizeof *values);
  if (values == NULL) return false;
  cbn_tensor_read(from, 0, count, values);
  for (int64_t i = 0; i < count; i++) values[i] = fabs(values[i]);
  cbn_tensor_write(to, 0, count, values);
  cbn_scratch_give(values);
  return true;
}

static wide most_of(const cbn_tensor *magnitudes) {
  wide most = 0;
  for (int64_t i = 0; i < cbn_tensor_count(magnitudes); i++) most = fmaxl(most, cbn_tensor_get(magnitudes, i));
  return most;
}

/* The products an element sums, at most: padding included. */
static wide products(const cbn_conv *conv) {
  return (wide)(conv->in_channels / conv->groups) * (wide)cbn_extent_product(conv->spatial_rank, conv->kernel);
}

static cbn_interval folded(const arithmetic *e, int32_t type, wide n, const fold *channel, const cbn_interval *sum,
                           wide B, wide x, wide w) {
  const format *storage = &formats[type];
  const wide value = (sum->value + channel->bias - channel->mu) * channel->s + channel->beta;
  const wide terms = (B + fabsl(channel->bias) + fabsl(channel->mu)) * fabsl(channel->s) + fabsl(channel->beta);
  const wide f = e->factor_bits > 0 ? ldexpl(1, 1 - e->factor_bits) : 0, cut = f * (2 + f) * B * fabsl(channel->s);
  const wide narrow = storage->u > e->u ? storage->u * 2 * terms + storage->eta * (n * x + 1) : 0;
  const wide s = fabsl(channel->s), offset = fabsl(channel->bias) + fabsl(channel->mu);
  const wide lost = e->eta * (2 * n * x * (1 + s) + n * w * s + 2 * (B + offset) + 2 * n + 4);
  const wide vanished = f > 0 ? formats[CBN_F32].normal * n * (x + w * s) : 0; /* subnormal factors count as zero */
  const wide factor = f > 0 ? x : 0;                                           /* that may be rounded to infinity */
  const wide largest = fmaxl(fmaxl(w * s, factor), fmaxl(s, offset * s + fabsl(channel->beta))); /* of what is folded */
  const wide own = fabsl(channel->s) * sum->own + gamma_of(8, U_WIDE) * terms;
  const wide most = fminl(e->overflow, storage->overflow);
  if ((n + 8) * e->u >= 0.5L || !isfinite(terms) || 2 * terms + 2 * B >= e->overflow || 2 * largest >= most)
    return (cbn_interval){.value = (double)value, .flags = CBN_INCONCLUSIVE};
  return stored(e, type, value, gamma_of(n + 8, e->u) * (terms + cut) + cut + narrow + lost + vanished, own);
}

bool cbn_reference_folded(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], const cbn_batchnorm *b,
                          const cbn_tensor *const norm[CBN_ROLE_COUNT], uint32_t classes, const cbn_expected *output) {
  const int32_t type = tensor[CBN_ROLE_INPUT]->type;
  const arithmetic engine = engine_arithmetic(type, classes);
  const cbn_tensor *x = tensor[CBN_ROLE_INPUT], *w = tensor[CBN_ROLE_WEIGHT];
  cbn_tensor abs_x = {0}, abs_w = {0};
  cbn_expected sum = {0}, B = {0};
  cbn_conv plain = *conv;
  plain.has_bias = 0;
  const bool memory = magnitudes_of(x, &abs_x) && magnitudes_of(w, &abs_w) &&
                      cbn_expected_allocate(&sum, CBN_F64, output->rank, output->extent) &&
                      cbn_expected_allocate(&B, CBN_F64, output->rank, output->extent);
  const cbn_tensor *values[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = x, [CBN_ROLE_WEIGHT] = w};
  const cbn_tensor *magnitudes[CBN_ROLE_COUNT] = {[CBN_ROLE_INPUT] = &abs_x, [CBN_ROLE_WEIGHT] = &abs_w};
  const bool computed =
      memory && cbn_reference_conv(&plain, values, 0, &sum) && cbn_reference_conv(&plain, magnitudes, 0, &B);
  const wide most_x = computed ? most_of(&abs_x) : 0, most_w = computed ? most_of(&abs_w) : 0;
  const int64_t positions =
      computed && output->count > 0 ? cbn_extent_product(conv->spatial_rank, output->extent + 2) : 1;
  for (int64_t i = 0; computed && i < output->count; i++) {
    const fold f = fold_of(conv, tensor[CBN_ROLE_BIAS], b, norm, i / positions % conv->out_channels);
    const cbn_interval value = cbn_expected_at(&sum, i);
    cbn_expected_put(output, i,
                     folded(&engine, output->type, products(conv), &f, &value, B.value[i] + B.own[i], most_x, most_w));
  }
  cbn_tensor_release(&abs_x);
  cbn_tensor_release(&abs_w);
  cbn_expected_release(&sum);
  cbn_expected_release(&B);
  return computed;
}
