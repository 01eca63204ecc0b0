/* Batch normalization in evaluation, folded into the convolution before it. */
#include <inttypes.h>
#include <math.h>

#include "core/violation.h"

static bool check_fold(const cbn_conv *conv, const cbn_batchnorm *b, cbn_violation *v) {
  if (!cbn_conv_validate(conv, v) || !cbn_batchnorm_validate(b, v)) return false;
  if (b->statistics != CBN_STATISTICS_RUNNING)
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "only running statistics can be folded, not a batch's");
  if (b->channels != conv->out_channels)
    return cbn_violate(v, CBN_RULE_INPUT_CHANNELS_MISMATCH,
                       "the batch normalization has %" PRId64 " channels, the convolution gives %" PRId64, b->channels,
                       conv->out_channels);
  return true;
}

static double element_or(const cbn_tensor *tensor, int64_t i, double otherwise) {
  return tensor == NULL ? otherwise : cbn_tensor_get(tensor, i);
}

/* Multiplies the part of the weight that output channel `o` is made with: filter o, or, transposed, the second axis'
 * entry o of every input channel of the group. */
static void scale_weight(const cbn_conv *conv, const cbn_tensor *from, int64_t o, double s, const cbn_tensor *to) {
  const int64_t taps = cbn_extent_product(conv->spatial_rank, conv->kernel);
  const int64_t outs = conv->out_channels / conv->groups, ins = conv->in_channels / conv->groups;
  for (int64_t c = 0; c < ins; c++)
    for (int64_t t = 0; t < taps; t++) {
      const int64_t filter = conv->transposed ? (o / outs * ins + c) * outs + o % outs : o * ins + c;
      cbn_tensor_set(to, filter * taps + t, cbn_tensor_get(from, filter * taps + t) * s);
    }
}

bool cbn_fold_batchnorm(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], const cbn_batchnorm *b,
                        const cbn_tensor *const norm[CBN_ROLE_COUNT], const cbn_tensor *weight, const cbn_tensor *bias,
                        cbn_violation *v) {
  if (!check_fold(conv, b, v)) return false;
  for (int64_t o = 0; o < conv->out_channels; o++) {
    const double v_eps = cbn_tensor_get(norm[CBN_ROLE_RUNNING_VAR], o) + b->epsilon;
    if (!(v_eps > 0))
      return cbn_violate(v, CBN_RULE_VARIANCE_POSITIVE,
                         "variance plus epsilon must be positive, got %g in channel %" PRId64, v_eps, o);
  }
  for (int64_t o = 0; o < conv->out_channels; o++) {
    const double mean = cbn_tensor_get(norm[CBN_ROLE_RUNNING_MEAN], o);
    const double s = element_or(norm[CBN_ROLE_WEIGHT], o, 1) /
                     sqrt(cbn_tensor_get(norm[CBN_ROLE_RUNNING_VAR], o) + b->epsilon);
    const double folded = (element_or(tensor[CBN_ROLE_BIAS], o, 0) - mean) * s + element_or(norm[CBN_ROLE_BIAS], o, 0);
    scale_weight(conv, tensor[CBN_ROLE_WEIGHT], o, s, weight);
    cbn_tensor_set(bias, o, folded);
  }
  return true;
}
