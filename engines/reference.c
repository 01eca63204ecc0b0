/* The reference as an engine: the oracle's values rounded to the results' types. It answers every valid problem, takes
 * any strides, works in place, and is as slow as the mathematics. */
#include <convbn/reference.h>

/* What the reference computes, rounded into the engine's tensor. */
static void round_to(const cbn_tensor *tensor, const cbn_expected *expected) {
  for (int64_t i = 0; i < expected->count; i++) cbn_tensor_set(tensor, i, expected->value[i]);
}

/* Memory for the result with that role; none where the call has no such result. */
static bool allocate(const cbn_call *call, int role, cbn_expected *result) {
  const cbn_tensor *tensor = call->tensor[role];
  return tensor == NULL || cbn_expected_allocate(result, tensor->type, tensor->rank, tensor->extent);
}

/* Running statistics as the reference takes them. */
static bool load_statistic(const cbn_call *call, int role, cbn_expected *statistic) {
  if (!allocate(call, role, statistic)) return false;
  for (int64_t i = 0; i < statistic->count; i++) statistic->value[i] = cbn_tensor_get(call->tensor[role], i);
  return true;
}

static void finish(const cbn_call *call, int role, cbn_expected *result, bool computed) {
  if (computed && call->tensor[role] != NULL) round_to(call->tensor[role], result);
  cbn_expected_release(result);
}

static bool run_conv(const cbn_call *call) {
  static const int roles[] = {[CBN_FORWARD] = CBN_ROLE_OUTPUT,
                              [CBN_GRAD_INPUT] = CBN_ROLE_GRAD_INPUT,
                              [CBN_GRAD_WEIGHT] = CBN_ROLE_GRAD_WEIGHT,
                              [CBN_GRAD_BIAS] = CBN_ROLE_GRAD_BIAS};
  const int role = roles[call->conv->direction];
  cbn_expected result = {.rank = 0};
  const bool computed = allocate(call, role, &result) && cbn_reference_conv(call->conv, call->tensor, 0, &result);
  finish(call, role, &result, computed);
  return computed;
}

static bool run_batchnorm(const cbn_call *call) {
  const cbn_batchnorm *b = call->batchnorm;
  cbn_expected result[CBN_ROLE_COUNT] = {{.rank = 0}};
  bool memory = load_statistic(call, CBN_ROLE_RUNNING_MEAN, &result[CBN_ROLE_RUNNING_MEAN]) &&
                load_statistic(call, CBN_ROLE_RUNNING_VAR, &result[CBN_ROLE_RUNNING_VAR]);
  for (int role = CBN_ROLE_OUTPUT; role <= CBN_ROLE_GRAD_BIAS; role++)
    memory = memory && allocate(call, role, &result[role]);
  const cbn_expected *mean = &result[CBN_ROLE_RUNNING_MEAN], *var = &result[CBN_ROLE_RUNNING_VAR];
  if (memory && b->direction == CBN_FORWARD)
    cbn_reference_batchnorm(b, call->tensor, mean, var, 0, &result[CBN_ROLE_OUTPUT]);
  else if (memory)
    cbn_reference_batchnorm_backward(b, call->tensor, mean, var, 0, &result[CBN_ROLE_GRAD_INPUT],
                                     b->has_weight ? &result[CBN_ROLE_GRAD_WEIGHT] : NULL,
                                     b->has_bias ? &result[CBN_ROLE_GRAD_BIAS] : NULL);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const bool statistic = role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR;
    finish(call, role, &result[role], memory && result[role].rank > 0 && (!statistic || b->update_running));
  }
  return memory;
}

static int say(const cbn_call *call, int status, const char *why) {
  if (call->message_size == 0) return status;
  uint32_t i = 0;
  for (; i + 1 < call->message_size && why[i] != '\0'; i++) call->message[i] = why[i];
  call->message[i] = '\0';
  return status;
}

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  cbn_violation violation;
  if (!cbn_call_validate(call, &violation)) return say(call, CBN_REJECTED, violation.message);
  const bool computed = call->conv != NULL ? run_conv(call) : run_batchnorm(call);
  return computed ? CBN_OK : say(call, CBN_ERROR, "no memory");
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine,
                              .abi = CBN_ABI_VERSION,
                              .name = "reference",
                              .version = "2",
                              .description = "the reference in long double, rounded to the results' types",
                              .arithmetic = CBN_TWO_PASS_STATISTICS,
                              .run = run,
                              .abilities = CBN_IN_PLACE};
  return abi == CBN_ABI_VERSION && *options == '\0' ? &engine : NULL;
}
