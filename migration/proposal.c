#include "migration/proposal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dialects/parameters.h"

const cbn_plan *cbn_wished_plan(const cbn_wish *wish) {
  return wish->evaluates ? &wish->evaluation : &wish->training[0];
}

cbn_wished_norm cbn_wished_batchnorm(const cbn_wish *wish) {
  const cbn_plan *plan = wish->trains ? &wish->training[0] : &wish->evaluation;
  const cbn_batchnorm *b = &plan->batchnorm;
  cbn_wished_norm norm = {
      .has_weight = b->has_weight != 0,
      .has_bias = b->has_bias != 0,
      .features = plan->features,
      .epsilon = b->epsilon,
      .new_weight = b->new_weight,
      .cumulative = wish->trains,
      .batch_in_training = !wish->trains || b->statistics == CBN_STATISTICS_BATCH,
      .batch_in_evaluation = wish->evaluates && wish->evaluation.batchnorm.statistics == CBN_STATISTICS_BATCH,
      .updates = !wish->trains || b->update_running != 0,
  };
  for (int k = 0; k < CBN_WISHED_STEPS; k++)
    norm.cumulative = norm.cumulative && wish->training[k].batchnorm.new_weight == 1 / (double)(k + 1);
  return norm;
}

bool cbn_wished_initial(const cbn_wish *wish, int role, double fallback, double *value) {
  const cbn_plan *plan = cbn_wished_plan(wish);
  *value = plan->initial[role];
  return plan->has_initial[role] && !(*value == fallback);
}

double cbn_short_real(double value) {
  char text[32];
  for (int digits = 1; digits <= 9; digits++) { /* 9 digits always read back in f32 */
    snprintf(text, sizeof text, "%.*g", digits, value);
    const double candidate = strtod(text, NULL);
    if ((float)candidate == (float)value && (candidate != 0) == (value != 0)) return candidate;
  }
  return value;
}

int64_t cbn_written_entry(const cbn_value *params, const char *name, size_t axis, int64_t fallback) {
  const cbn_value *value = cbn_value_get(params, name);
  if (value != NULL && value->kind == CBN_LIST)
    value = axis < value->as.list.count ? value->as.list.items[axis] : NULL;
  return value != NULL && value->kind == CBN_INTEGER ? value->as.integer : fallback;
}

double cbn_short_new_weight(double value) {
  char text[32];
  for (int digits = 1; digits <= 6; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    const double candidate = strtod(text, NULL);
    if ((float)(1 - candidate) == (float)(1 - value) && fabs(candidate - value) <= 1e-6 * fabs(value)) return candidate;
  }
  return cbn_short_real(value);
}

double cbn_old_weight(double new_weight) {
  const double old = 1 - new_weight;
  const double near[] = {old, nextafter(old, -INFINITY), nextafter(old, INFINITY)};
  for (int i = 0; i < 3; i++)
    if (1 - near[i] == new_weight) return near[i];
  return old;
}

void cbn_least_padding(const cbn_conv *conv, int64_t amount[CBN_MAX_SPATIAL]) {
  for (int a = 0; a < CBN_MAX_SPATIAL; a++)
    amount[a] = conv->pad_begin[a] < conv->pad_end[a] ? conv->pad_begin[a] : conv->pad_end[a];
}

void cbn_padding_before(const cbn_conv *conv, int64_t amount[CBN_MAX_SPATIAL],
                        int64_t output_padding[CBN_MAX_SPATIAL]) {
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) {
    amount[a] = conv->pad_begin[a];
    output_padding[a] =
        cbn_saturating_add(conv->output_padding[a], cbn_saturating_add(conv->pad_begin[a], -conv->pad_end[a]));
  }
  cbn_not_negative(output_padding, output_padding);
}

void cbn_dilated_padding(const cbn_conv *conv, int64_t begin[CBN_MAX_SPATIAL], int64_t end[CBN_MAX_SPATIAL]) {
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) {
    const int64_t reach = cbn_saturating_add(cbn_dilated_kernel(conv->kernel[a], conv->dilation[a]), -1);
    const int64_t behind = cbn_saturating_add(reach, conv->output_padding[a]);
    begin[a] = conv->transposed ? cbn_saturating_add(reach, -conv->pad_begin[a]) : conv->pad_begin[a];
    end[a] = conv->transposed ? cbn_saturating_add(behind, -conv->pad_end[a]) : conv->pad_end[a];
  }
}

void cbn_not_negative(const int64_t values[CBN_MAX_SPATIAL], int64_t result[CBN_MAX_SPATIAL]) {
  for (int a = 0; a < CBN_MAX_SPATIAL; a++) result[a] = values[a] > 0 ? values[a] : 0;
}

void cbn_operators_order(const cbn_dialect_operator *operator, const cbn_value * params, int32_t axes, cbn_plan *plan) {
  (void)operator,(void) params, (void)axes;
  const cbn_axis_order none = {0};
  plan->input_order = plan->weight_order = plan->output_order = none;
  plan->depthwise_weight = false;
}

void cbn_channels_at(const cbn_value *axis, int32_t axes, cbn_plan *plan) {
  const cbn_entries entries = cbn_as_entries(axis);
  const int32_t rank = axes + 2;
  double number = -1;
  if (entries.count == 1) cbn_as_number(entries.entry[0], &number);
  if (!(number >= -rank && number < rank)) return;
  const int channels = (int)number < 0 ? (int)number + rank : (int)number;
  int rest = 0; /* axes before, the channels left aside */
  plan->input_order.given = true;
  plan->input_order.place[1] = (uint8_t)channels;
  for (int at = 0; at < rank; at++) {
    if (at == channels) continue;
    plan->input_order.place[rest == 0 ? 0 : rest + 1] = (uint8_t)at;
    rest++;
  }
  plan->output_order = plan->input_order;
}

bool cbn_holds_tensors(const cbn_dialect_operator *operator) {
  (void)operator;
  return false;
}

bool cbn_takes_tensors(const cbn_dialect_operator *operator) {
  (void)operator;
  return true;
}
