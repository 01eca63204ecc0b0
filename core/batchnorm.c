/* The canonical batch normalization: what is valid, and the extents that follow. Definition in convbn/engine.h. */
#include <inttypes.h>
#include <string.h>

#include "core/violation.h"

cbn_batchnorm cbn_batchnorm_make(int32_t spatial_rank) {
  return (cbn_batchnorm){.struct_size = sizeof(cbn_batchnorm),
                         .spatial_rank = spatial_rank,
                         .statistics = CBN_STATISTICS_RUNNING,
                         .has_weight = 1,
                         .has_bias = 1,
                         .epsilon = 1e-5,
                         .new_weight = 0.1};
}

static int32_t input_extents(const cbn_batchnorm *b, int64_t *extent) {
  extent[0] = b->batch;
  extent[1] = b->channels;
  memcpy(extent + 2, b->extent, (size_t)b->spatial_rank * sizeof *extent);
  return 2 + b->spatial_rank;
}

/* Without everything up to the channels there is no problem to speak of. */
static bool check_size(const cbn_batchnorm *b, cbn_violation *v) {
  const size_t least = offsetof(cbn_batchnorm, channels) + sizeof b->channels;
  return b->struct_size >= least ||
         cbn_violate(v, CBN_RULE_MISSING_PARAMETER, "struct_size must be >= %zu, where the channels end, got %" PRIu32,
                     least, b->struct_size);
}

static bool check_modes(const cbn_batchnorm *b, cbn_violation *v) {
  if (b->spatial_rank < 0 || b->spatial_rank > CBN_MAX_SPATIAL)
    return cbn_violate(v, CBN_RULE_SPATIAL_RANK, "spatial rank must be 0 to 3, got %" PRId32, b->spatial_rank);
  if (b->direction != CBN_FORWARD && b->direction != CBN_GRAD_INPUT)
    return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "direction must be 0 or 1, got %" PRId32, b->direction);
  const struct {
    const char *name;
    int32_t value;
  } flags[] = {{"statistics", b->statistics},
               {"update_running", b->update_running},
               {"running_variance", b->running_variance},
               {"has_weight", b->has_weight},
               {"has_bias", b->has_bias}};
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
    if (flags[i].value < 0 || flags[i].value > 1)
      return cbn_violate(v, CBN_RULE_PARAMETER_TYPE, "%s must be 0 or 1, got %" PRId32, flags[i].name, flags[i].value);
  if (b->direction != CBN_FORWARD && b->update_running)
    return cbn_violate(v, CBN_RULE_BACKWARD_UPDATES_NOTHING,
                       "update_running must be 0 in the backward direction, got %" PRId32, b->update_running);
  return true;
}

static bool check_extents(const cbn_batchnorm *b, cbn_violation *v) {
  for (int a = b->spatial_rank; a < CBN_MAX_SPATIAL; a++)
    if (b->extent[a] != 0)
      return cbn_violate(v, CBN_RULE_PARAMETER_LENGTH,
                         "input extent must be 0 beyond %" PRId32 " spatial axes, got %" PRId64 " in entry %d",
                         b->spatial_rank, b->extent[a], a);
  if (b->batch < 0) return cbn_violate(v, CBN_RULE_EXTENT_NON_NEGATIVE, "batch must be >= 0, got %" PRId64, b->batch);
  if (b->channels < 0)
    return cbn_violate(v, CBN_RULE_EXTENT_NON_NEGATIVE, "channels must be >= 0, got %" PRId64, b->channels);
  for (int a = 0; a < b->spatial_rank; a++)
    if (b->extent[a] < 0)
      return cbn_violate(v, CBN_RULE_EXTENT_NON_NEGATIVE, "input extent must be >= 0, got %" PRId64 " on axis %c",
                         b->extent[a], cbn_axis_name(b->spatial_rank, a));
  return true;
}

static bool check_overflow(const cbn_batchnorm *b, cbn_violation *v) {
  int64_t extent[CBN_MAX_RANK];
  cbn_tensor described;
  if (!cbn_tensor_describe(&described, CBN_F64, input_extents(b, extent), extent, CBN_CONTIGUOUS))
    return cbn_violate(v, CBN_RULE_EXTENT_OVERFLOW, "the size of the input overflows 63 bits");
  if (!cbn_tensor_describe(&described, CBN_F64, 1, &b->channels, CBN_CONTIGUOUS)) /* an empty input has them too */
    return cbn_violate(v, CBN_RULE_EXTENT_OVERFLOW, "the number of channels overflows, got %" PRId64, b->channels);
  return true;
}

bool cbn_batchnorm_validate(const cbn_batchnorm *b, cbn_violation *v) {
  return check_size(b, v) && check_modes(b, v) && check_extents(b, v) && check_overflow(b, v);
}

int32_t cbn_batchnorm_extents(const cbn_batchnorm *b, int role, int64_t extent[CBN_MAX_RANK]) {
  switch (role) {
  case CBN_ROLE_INPUT:
  case CBN_ROLE_OUTPUT:
  case CBN_ROLE_GRAD_INPUT:
  case CBN_ROLE_GRAD_OUTPUT: return input_extents(b, extent);
  case CBN_ROLE_WEIGHT:
  case CBN_ROLE_GRAD_WEIGHT: extent[0] = b->channels; return b->has_weight ? 1 : 0;
  case CBN_ROLE_BIAS:
  case CBN_ROLE_GRAD_BIAS: extent[0] = b->channels; return b->has_bias ? 1 : 0;
  case CBN_ROLE_RUNNING_MEAN:
  case CBN_ROLE_RUNNING_VAR:
    extent[0] = b->channels;
    return b->statistics == CBN_STATISTICS_RUNNING || b->update_running ? 1 : 0;
  default: return 0;
  }
}

int64_t cbn_batchnorm_work(const cbn_batchnorm *b) {
  int64_t extent[CBN_MAX_RANK];
  return cbn_extent_product(input_extents(b, extent), extent);
}
