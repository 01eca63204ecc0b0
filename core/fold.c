/* Batch normalization in evaluation, folded into the convolution before it. */
#include <inttypes.h>
#include <math.h>

#include "core/violation.h"

static bool check_operators(const cbn_conv *conv, const cbn_batchnorm *b, cbn_violation *v) {
  if (!cbn_conv_validate(conv, v) || !cbn_batchnorm_validate(b, v)) return false;
  if (conv->direction != CBN_FORWARD)
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "the convolution's direction must be 0 (forward), got %" PRId32,
                       conv->direction);
  if (b->direction != CBN_FORWARD)
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE,
                       "the batch normalization's direction must be 0 (forward), got %" PRId32, b->direction);
  if (b->statistics != CBN_STATISTICS_RUNNING)
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "only running statistics can be folded, not a batch's");
  if (b->channels != conv->out_channels)
    return cbn_violate(v, CBN_RULE_INPUT_CHANNELS_MISMATCH,
                       "the batch normalization has %" PRId64 " channels, the convolution gives %" PRId64, b->channels,
                       conv->out_channels);
  return true;
}

/* All that is read and written; what the operators do not have is not looked at. */
static bool check_tensors(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], const cbn_batchnorm *b,
                          const cbn_tensor *const norm[CBN_ROLE_COUNT], const cbn_tensor *weight,
                          const cbn_tensor *bias, cbn_violation *v) {
  int64_t filter[CBN_MAX_RANK];
  const int32_t rank = cbn_conv_extents(conv, CBN_ROLE_WEIGHT, filter);
  if (!cbn_check_tensor(tensor[CBN_ROLE_WEIGHT], "convolution's weight", CBN_RULE_WEIGHT_SHAPE, rank, filter, v) ||
      !cbn_check_tensor(weight, "folded weight", CBN_RULE_WEIGHT_SHAPE, rank, filter, v))
    return false;
  const struct {
    bool taken;
    const cbn_tensor *tensor;
    const char *name;
    enum cbn_rule rule;
  } vectors[] = {
      {conv->has_bias, tensor[CBN_ROLE_BIAS], "convolution's bias", CBN_RULE_BIAS_SHAPE},
      {true, bias, "folded bias", CBN_RULE_BIAS_SHAPE},
      {b->has_weight, norm[CBN_ROLE_WEIGHT], "batch normalization's weight", CBN_RULE_STATISTICS_SHAPE},
      {b->has_bias, norm[CBN_ROLE_BIAS], "batch normalization's bias", CBN_RULE_STATISTICS_SHAPE},
      {true, norm[CBN_ROLE_RUNNING_MEAN], "running_mean", CBN_RULE_STATISTICS_SHAPE},
      {true, norm[CBN_ROLE_RUNNING_VAR], "running_var", CBN_RULE_STATISTICS_SHAPE},
  };
  for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
    if (vectors[i].taken &&
        !cbn_check_tensor(vectors[i].tensor, vectors[i].name, vectors[i].rule, 1, &conv->out_channels, v))
      return false;
  return true;
}

static double element_or(bool has, const cbn_tensor *tensor, int64_t i, double otherwise) {
  return has ? cbn_tensor_get(tensor, i) : otherwise;
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
  if (!check_operators(conv, b, v) || !check_tensors(conv, tensor, b, norm, weight, bias, v)) return false;
  for (int64_t o = 0; o < conv->out_channels; o++) {
    const double v_eps = cbn_tensor_get(norm[CBN_ROLE_RUNNING_VAR], o) + b->epsilon;
    if (!(v_eps > 0))
      return cbn_violate(v, CBN_RULE_VARIANCE_POSITIVE,
                         "variance plus epsilon must be positive, got %g in channel %" PRId64, v_eps, o);
  }
  for (int64_t o = 0; o < conv->out_channels; o++) {
    const double mean = cbn_tensor_get(norm[CBN_ROLE_RUNNING_MEAN], o);
    const double s = element_or(b->has_weight, norm[CBN_ROLE_WEIGHT], o, 1) /
                     sqrt(cbn_tensor_get(norm[CBN_ROLE_RUNNING_VAR], o) + b->epsilon);
    const double before = element_or(conv->has_bias, tensor[CBN_ROLE_BIAS], o, 0);
    const double folded = (before - mean) * s + element_or(b->has_bias, norm[CBN_ROLE_BIAS], o, 0);
    scale_weight(conv, tensor[CBN_ROLE_WEIGHT], o, s, weight);
    cbn_tensor_set(bias, o, folded);
  }
  return true;
}
