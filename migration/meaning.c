#include "migration/meaning.h"

#include <string.h>

static const struct {
  const char *name, *text;
} meanings[] = {
#define ROW(NAME, name, text) {name, text},
    CBN_MEANINGS(ROW)
#undef ROW
};

const char *cbn_meaning_name(enum cbn_meaning meaning) { return meanings[meaning].name; }
const char *cbn_meaning_text(enum cbn_meaning meaning) { return meanings[meaning].text; }

/* The names, of any framework. A `padding` beside a padding rule is amounts alone; a `bias` of a batch normalization is
 * its shift. */
static const struct {
  const char *name;
  enum cbn_meaning meaning;
} names[] = {
    {"in_channels", CBN_MEANING_IN_CHANNELS},
    {"in_features", CBN_MEANING_IN_CHANNELS},
    {"out_channels", CBN_MEANING_OUT_CHANNELS},
    {"out_channel", CBN_MEANING_OUT_CHANNELS},
    {"out_features", CBN_MEANING_OUT_CHANNELS},
    {"filters", CBN_MEANING_OUT_CHANNELS},
    {"features", CBN_MEANING_OUT_CHANNELS},
    {"kernel_size", CBN_MEANING_KERNEL_SIZE},
    {"kernel_shape", CBN_MEANING_KERNEL_SIZE},
    {"kernel", CBN_MEANING_KERNEL_SIZE},
    {"stride", CBN_MEANING_STRIDE},
    {"strides", CBN_MEANING_STRIDE},
    {"window_strides", CBN_MEANING_STRIDE},
    {"padding", CBN_MEANING_PADDING},
    {"pads", CBN_MEANING_PADDING},
    {"pad", CBN_MEANING_PADDING},
    {"pad_list", CBN_MEANING_PADDING},
    {"pad_begin", CBN_MEANING_PADDING},
    {"pad_end", CBN_MEANING_PADDING},
    {"pad_mode", CBN_MEANING_PADDING_RULE},
    {"auto_pad", CBN_MEANING_PADDING_RULE},
    {"padding_mode", CBN_MEANING_PADDING_MODE},
    {"output_padding", CBN_MEANING_OUTPUT_PADDING},
    {"output_shape", CBN_MEANING_OUTPUT_SHAPE},
    {"input_size", CBN_MEANING_OUTPUT_SHAPE}, /* of a gradient's primitive: what its convolution had as input */
    {"dilation", CBN_MEANING_DILATION},
    {"dilations", CBN_MEANING_DILATION},
    {"dilation_rate", CBN_MEANING_DILATION},
    {"rhs_dilation", CBN_MEANING_DILATION},
    {"kernel_dilation", CBN_MEANING_DILATION},
    {"lhs_dilation", CBN_MEANING_INPUT_DILATION},
    {"input_dilation", CBN_MEANING_INPUT_DILATION},
    {"group", CBN_MEANING_GROUPS},
    {"groups", CBN_MEANING_GROUPS},
    {"feature_group_count", CBN_MEANING_GROUPS},
    {"depth_multiplier", CBN_MEANING_MULTIPLIER},
    {"has_bias", CBN_MEANING_BIAS},
    {"use_bias", CBN_MEANING_BIAS},
    {"bias", CBN_MEANING_BIAS},
    {"data_format", CBN_MEANING_DATA_FORMAT},
    {"axis", CBN_MEANING_DATA_FORMAT},
    {"dimension_numbers", CBN_MEANING_DATA_FORMAT},
    {"transpose_kernel", CBN_MEANING_KERNEL_TRANSPOSED},
    {"num_features", CBN_MEANING_CHANNELS},
    {"eps", CBN_MEANING_EPSILON},
    {"epsilon", CBN_MEANING_EPSILON},
    {"variance_epsilon", CBN_MEANING_EPSILON},
    {"momentum", CBN_MEANING_MOMENTUM},
    {"exponential_avg_factor", CBN_MEANING_MOMENTUM},
    {"new_weight", CBN_MEANING_MOMENTUM},
    {"affine", CBN_MEANING_SCALE},
    {"scale", CBN_MEANING_SCALE},
    {"use_scale", CBN_MEANING_SCALE},
    {"weight", CBN_MEANING_SCALE},
    {"center", CBN_MEANING_SHIFT},
    {"track_running_stats", CBN_MEANING_STATISTICS},
    {"use_batch_statistics", CBN_MEANING_STATISTICS},
    {"use_running_average", CBN_MEANING_STATISTICS},
    {"use_fast_variance", CBN_MEANING_OTHER},
    {"statistics", CBN_MEANING_STATISTICS},
    {"update_running", CBN_MEANING_STATISTICS},
    {"running_variance", CBN_MEANING_STATISTICS},
    {"training", CBN_MEANING_TRAINING},
    {"is_training", CBN_MEANING_TRAINING},
    {"training_mode", CBN_MEANING_TRAINING},
    {"trainable", CBN_MEANING_TRAINING},
    {"weight_init", CBN_MEANING_INITIAL},
    {"bias_init", CBN_MEANING_INITIAL},
    {"scale_init", CBN_MEANING_INITIAL},
    {"kernel_init", CBN_MEANING_INITIAL},
    {"gamma_init", CBN_MEANING_INITIAL},
    {"beta_init", CBN_MEANING_INITIAL},
    {"moving_mean_init", CBN_MEANING_INITIAL},
    {"moving_var_init", CBN_MEANING_INITIAL},
    {"kernel_initializer", CBN_MEANING_INITIAL},
    {"depthwise_initializer", CBN_MEANING_INITIAL},
    {"bias_initializer", CBN_MEANING_INITIAL},
    {"beta_initializer", CBN_MEANING_INITIAL},
    {"gamma_initializer", CBN_MEANING_INITIAL},
    {"moving_mean_initializer", CBN_MEANING_INITIAL},
    {"moving_variance_initializer", CBN_MEANING_INITIAL},
    {"opset", CBN_MEANING_OPSET},
    {"backend", CBN_MEANING_BACKEND},
    {"version", CBN_MEANING_OPSET},
    {"name", CBN_MEANING_OTHER},
    {"device", CBN_MEANING_OTHER},
    {"dtype", CBN_MEANING_OTHER},
    {"synchronized", CBN_MEANING_OTHER},
    {"renorm", CBN_MEANING_OTHER}, /* refused by name where it is asked for, as the two that belong to it */
    {"renorm_clipping", CBN_MEANING_OTHER},
    {"renorm_momentum", CBN_MEANING_OTHER},
    {"use_consistent_padding", CBN_MEANING_PADDING},
    {"force_float32_reductions", CBN_MEANING_OTHER},
    {"precision", CBN_MEANING_OTHER},
    {"preferred_element_type", CBN_MEANING_OTHER},
    {"batch_group_count", CBN_MEANING_OTHER},
    {"out_sharding", CBN_MEANING_OTHER},
    {"axis_name", CBN_MEANING_OTHER},
    {"axis_index_groups", CBN_MEANING_OTHER},
    {"mask", CBN_MEANING_OTHER},
    {"mode", CBN_MEANING_OTHER}, /* of a primitive: cross-correlation, and no other */
    {"param_dtype", CBN_MEANING_OTHER},
    {"transposed", CBN_MEANING_OTHER},
    {"direction", CBN_MEANING_OTHER},
    {"activation", CBN_MEANING_OTHER},
};

enum cbn_meaning cbn_meaning_of(const cbn_dialect_operator *operator, const char * parameter) {
  if (operator->kind == CBN_OPERATOR_BATCHNORM &&(strcmp(parameter, "bias") == 0 || strcmp(parameter, "use_bias") == 0))
    return CBN_MEANING_SHIFT;
  if (strstr(parameter, "_regularizer") != NULL || strstr(parameter, "_constraint") != NULL) return CBN_MEANING_OTHER;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(names[i].name, parameter) == 0) return names[i].meaning;
  return CBN_MEANING_COUNT;
}

const cbn_parameter_info *cbn_parameter_meaning(const cbn_dialect_operator *operator, const cbn_signature * signature,
                                                enum cbn_meaning meaning) {
  for (int i = 0; i < signature->count; i++)
    if (cbn_meaning_of(operator, signature->parameter[i].name) == meaning) return &signature->parameter[i];
  return NULL;
}
