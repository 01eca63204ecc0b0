/* Target json: operators and tensors as frames carry them. What is accepted becomes JSON and comes back the same; a
 * tensor that is accepted lies within its memory. */
#include <convbn/operator.h>
#include <math.h>
#include <string.h>

#include "fuzz/demand.h"
#include "fuzz/targets.h"
#include "harness/frames.h"

static void check_conv(const json_t *json) {
  cbn_conv conv, again;
  cbn_violation violation;
  if (!cbn_conv_from_json(json, &conv)) return;
  json_t *made = cbn_conv_to_json(&conv);
  CBN_DEMAND(cbn_conv_from_json(made, &again), "a convolution's JSON is refused");
  CBN_DEMAND(memcmp(&conv, &again, sizeof conv) == 0, "a convolution comes back from JSON as another one");
  json_decref(made);
  if (!cbn_conv_validate(&conv, &violation))
    CBN_DEMAND(cbn_rule_name(violation.rule) != NULL && violation.message[0] != '\0', "a violation of no rule");
}

static bool same_number(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static void check_batchnorm(const json_t *json) {
  cbn_batchnorm norm, again;
  cbn_violation violation;
  if (!cbn_batchnorm_from_json(json, &norm)) return;
  json_t *made = cbn_batchnorm_to_json(&norm);
  CBN_DEMAND(cbn_batchnorm_from_json(made, &again), "a batch normalization's JSON is refused");
  CBN_DEMAND(memcmp(&norm, &again, offsetof(cbn_batchnorm, epsilon)) == 0 && same_number(norm.epsilon, again.epsilon) &&
                 same_number(norm.new_weight, again.new_weight),
             "a batch normalization comes back from JSON as another one");
  json_decref(made);
  if (!cbn_batchnorm_validate(&norm, &violation))
    CBN_DEMAND(cbn_rule_name(violation.rule) != NULL && violation.message[0] != '\0', "a violation of no rule");
}

/* The bytes that the elements take, in numbers that hold any sum of 63-bit products. */
static void check_within(const cbn_tensor *tensor, int64_t offset, int64_t size) {
  __int128 first = offset, last = offset;
  const __int128 element = (__int128)cbn_type_size(tensor->type);
  CBN_DEMAND(element > 0 && tensor->rank >= 1 && tensor->rank <= CBN_MAX_RANK, "a tensor of no type or rank");
  CBN_DEMAND(offset % (int64_t)element == 0, "a tensor that is not aligned");
  bool empty = false;
  for (int32_t axis = 0; axis < tensor->rank; axis++) {
    const __int128 span = ((__int128)tensor->extent[axis] - 1) * tensor->stride[axis] * element;
    CBN_DEMAND(tensor->extent[axis] >= 0, "a tensor with an extent below 0");
    empty = empty || tensor->extent[axis] == 0;
    if (span < 0) first += span;
    else last += span;
  }
  if (empty) last = first = offset;
  else last += element;
  CBN_DEMAND(first >= 0 && last <= size, "a tensor that reaches beyond its memory");
}

static void check_tensor(const json_t *json, int64_t size) {
  cbn_tensor tensor, again;
  int64_t offset, offset_again;
  if (!cbn_tensor_from_json(json, size, &tensor, &offset)) return;
  CBN_DEMAND(tensor.data == NULL, "a tensor with memory of its own");
  check_within(&tensor, offset, size);
  json_t *made = cbn_tensor_to_json(&tensor, offset);
  CBN_DEMAND(cbn_tensor_from_json(made, size, &again, &offset_again), "a tensor's JSON is refused");
  CBN_DEMAND(offset == offset_again && memcmp(&tensor, &again, sizeof tensor) == 0,
             "a tensor comes back from JSON as another one");
  CBN_DEMAND(cbn_tensor_from_json(made, INT64_MAX, &again, &offset_again), "a tensor is refused in more memory");
  json_decref(made);
}

void cbn_fuzz_json(const cbn_target *target, const uint8_t *bytes, size_t size) {
  static const int64_t memories[] = {0, 64, 65536, INT64_MAX};
  (void)target;
  json_t *json = json_loadb((const char *)bytes, size, 0, NULL);
  if (json == NULL) return;
  check_conv(json);
  check_batchnorm(json);
  for (size_t i = 0; i < sizeof memories / sizeof *memories; i++) check_tensor(json, memories[i]);
  json_decref(json);
}
