/* The canonical operators as a dialect: cbn_conv and cbn_batchnorm of convbn/engine.h, field by field, and no framework's
 * rules. For what no framework has, or none has alone: input dilation, cropping, padding that differs from side to side. */
#include <inttypes.h>
#include <string.h>

#include "dialects/parameters.h"

#define VIOLATION "violation"

static bool reject_type(const cbn_value *params, const char *name, const char *wanted, cbn_rejection *r) {
  return cbn_reject(r, CBN_RULE_PARAMETER_TYPE, VIOLATION, "%s must be %s, got %s", name, wanted,
                    cbn_printed_value(cbn_parameter(params, name)).text);
}

static bool read_integer(const cbn_value *params, const char *name, int64_t *result, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || cbn_as_integer(value, false, result) || reject_type(params, name, "an integer", r);
}

static bool read_flag(const cbn_value *params, const char *name, int32_t *result, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value == NULL) return true;
  *result = value->kind == CBN_BOOLEAN && value->as.boolean;
  return value->kind == CBN_BOOLEAN || reject_type(params, name, "true or false", r);
}

static bool read_number(const cbn_value *params, const char *name, double *result, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  return value == NULL || (value->kind != CBN_BOOLEAN && cbn_as_number(value, result)) ||
         reject_type(params, name, "a number", r);
}

/* One integer for each spatial axis, or one for all. */
static bool read_axes(const cbn_value *params, const char *name, int32_t rank, int64_t *values, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value == NULL) return true;
  const cbn_entries entries = cbn_as_entries(value);
  if (entries.sequence && entries.count != rank)
    return cbn_reject(r, CBN_RULE_PARAMETER_LENGTH, VIOLATION, "%s must have %" PRId32 " entries, got %d", name, rank,
                      entries.count);
  for (int32_t a = 0; a < rank; a++)
    if (!cbn_as_integer(entries.entry[entries.sequence ? a : 0], false, &values[a]))
      return reject_type(params, name, "integers", r);
  return true;
}

/* The number of the name that the parameter is; that behind the last for no name. */
static bool read_name(const cbn_value *params, const char *name, const char *const *names, enum cbn_rule rule,
                      int32_t *result, cbn_rejection *r) {
  const cbn_value *value = cbn_parameter(params, name);
  if (value == NULL) return true;
  for (*result = 0; names[*result] != NULL; ++*result)
    if (cbn_value_is(value, names[*result])) return true;
  return cbn_reject(r, rule, VIOLATION, "%s has no value %s", name, cbn_printed_value(value).text);
}

static bool check_types(const cbn_request *request, enum cbn_operator kind, cbn_rejection *r) {
  return cbn_types_go_together((int32_t)kind, request->input_type, request->layer_type) ||
         cbn_reject(r, CBN_RULE_TENSOR_TYPE, VIOLATION, "a layer of %s does not take %s",
                    cbn_type_name(request->layer_type), cbn_type_name(request->input_type));
}

static bool read_rank(const cbn_shape *input, int32_t least, int32_t *spatial_rank, cbn_rejection *r) {
  *spatial_rank = input->rank - 2;
  if (*spatial_rank >= least && *spatial_rank <= CBN_MAX_SPATIAL) return true;
  return cbn_reject(r, CBN_RULE_INPUT_RANK, VIOLATION, "the input must have %" PRId32 " to 5 axes, got %" PRId32,
                    least + 2, input->rank);
}

/* Of a layer's call, and of a call for one gradient alone. */
static const char *const directions[] = {"forward", "grad_input", "grad_weight", "grad_bias", NULL};

static const char *const padding_modes[] = {"zeros", "reflect", "replicate", "circular", NULL};

static bool plan_conv(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                      cbn_rejection *r) {
  static const char *const names[] = {"out_channels", "kernel",  "groups",         "stride",     "dilation",
                                      "pad_begin",    "pad_end", "input_dilation", "transposed", "output_padding",
                                      "padding_mode", "bias",    "direction",      NULL};
  const cbn_value *params = request->params;
  int32_t rank;
  (void)operator;
  if (!cbn_check_names(params, names, 2, r) || !read_rank(&request->input, 1, &rank, r)) return false;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_CONV, .conv = cbn_conv_make(rank)};
  cbn_conv *c = &plan->conv;
  c->batch = request->input.extent[0];
  c->in_channels = request->input.extent[1];
  memcpy(c->input, request->input.extent + 2, (size_t)rank * sizeof c->input[0]);
  return read_integer(params, "out_channels", &c->out_channels, r) && read_axes(params, "kernel", rank, c->kernel, r) &&
         read_integer(params, "groups", &c->groups, r) && read_axes(params, "stride", rank, c->stride, r) &&
         read_axes(params, "dilation", rank, c->dilation, r) && read_axes(params, "pad_begin", rank, c->pad_begin, r) &&
         read_axes(params, "pad_end", rank, c->pad_end, r) &&
         read_axes(params, "input_dilation", rank, c->input_dilation, r) &&
         read_flag(params, "transposed", &c->transposed, r) &&
         read_axes(params, "output_padding", rank, c->output_padding, r) &&
         read_flag(params, "bias", &c->has_bias, r) &&
         read_name(params, "direction", directions, CBN_RULE_PARAMETER_TYPE, &c->direction, r) &&
         read_name(params, "padding_mode", padding_modes, CBN_RULE_PADDING_MODE_UNKNOWN, &c->padding_mode, r) &&
         check_types(request, plan->kind, r) && cbn_forward_violation(plan, VIOLATION, r);
}

static const char *const gradients[] = {"forward", "grad_input", NULL};
static const char *const statistics[] = {"batch", "running", NULL};
static const char *const variances[] = {"biased", "unbiased", NULL};

/* Left out, the mode says whose statistics normalise, and whether they enter the running ones. */
static bool plan_batchnorm(const cbn_dialect_operator *operator, const cbn_request *request, cbn_plan *plan,
                           cbn_rejection *r) {
  static const char *const names[] = {"epsilon",          "new_weight", "statistics", "update_running",
                                      "running_variance", "weight",     "bias",       "direction", NULL};
  const cbn_value *params = request->params;
  int32_t rank;
  (void)operator;
  if (!cbn_check_names(params, names, 0, r) || !read_rank(&request->input, 0, &rank, r)) return false;
  *plan = (cbn_plan){.kind = CBN_OPERATOR_BATCHNORM, .batchnorm = cbn_batchnorm_make(rank)};
  cbn_batchnorm *b = &plan->batchnorm;
  b->batch = request->input.extent[0];
  b->channels = plan->features = request->input.extent[1];
  memcpy(b->extent, request->input.extent + 2, (size_t)rank * sizeof b->extent[0]);
  b->statistics = request->training ? CBN_STATISTICS_BATCH : CBN_STATISTICS_RUNNING;
  plan->has_initial[CBN_ROLE_WEIGHT] = plan->has_initial[CBN_ROLE_BIAS] = true;
  plan->has_initial[CBN_ROLE_RUNNING_MEAN] = plan->has_initial[CBN_ROLE_RUNNING_VAR] = true;
  plan->initial[CBN_ROLE_WEIGHT] = plan->initial[CBN_ROLE_RUNNING_VAR] = 1;
  if (!read_name(params, "direction", gradients, CBN_RULE_PARAMETER_TYPE, &b->direction, r)) return false;
  b->update_running = request->training && b->direction == CBN_FORWARD;
  return read_number(params, "epsilon", &b->epsilon, r) && read_number(params, "new_weight", &b->new_weight, r) &&
         read_name(params, "statistics", statistics, CBN_RULE_PARAMETER_TYPE, &b->statistics, r) &&
         read_flag(params, "update_running", &b->update_running, r) &&
         read_name(params, "running_variance", variances, CBN_RULE_PARAMETER_TYPE, &b->running_variance, r) &&
         read_flag(params, "weight", &b->has_weight, r) && read_flag(params, "bias", &b->has_bias, r) &&
         check_types(request, plan->kind, r) && cbn_forward_violation(plan, VIOLATION, r);
}

static const char *const batchnorm_changeable[] = {"epsilon",        "new_weight",       "statistics",
                                                   "update_running", "running_variance", NULL};

static const cbn_dialect_operator operators[] = {
    {.name = "conv",
     .kind = CBN_OPERATOR_CONV,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(out_channels, kernel, groups=1, stride=1, dilation=1, pad_begin=0, pad_end=0, input_dilation=1, "
                  "transposed=false, output_padding=0, padding_mode='zeros', bias=false, direction='forward')",
     .plan = plan_conv},
    {.name = "batchnorm",
     .kind = CBN_OPERATOR_BATCHNORM,
     .spatial_rank = CBN_MAX_SPATIAL,
     .signature = "(epsilon=1e-05, new_weight=0.1, statistics=by mode, update_running=by mode, "
                  "running_variance='biased', weight=true, bias=true, direction='forward')",
     .plan = plan_batchnorm,
     .changeable = batchnorm_changeable,
     .resets = true},
};

const cbn_dialect cbn_dialect_canonical = {.name = "canonical",
                                           .profile = "convbn/engine.h, ABI 1",
                                           .operators = operators,
                                           .operator_count = sizeof operators / sizeof operators[0]};
