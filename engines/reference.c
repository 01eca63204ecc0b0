/* The reference as an engine: the oracle's values rounded to f32. It answers every problem that the reference computes,
 * takes any strides, and is as slow as the mathematics. */
#include <convbn/reference.h>

/* What the reference computes, rounded into the engine's tensor. */
static void round_to(const cbn_tensor *tensor, const cbn_expected *expected) {
  for (int64_t i = 0; i < expected->count; i++) cbn_tensor_set(tensor, i, expected->value[i]);
}

/* Running statistics as the reference takes them. */
static bool load_statistic(cbn_expected *expected, const cbn_tensor *tensor) {
  if (!cbn_expected_allocate(expected, tensor->rank, tensor->extent)) return false;
  for (int64_t i = 0; i < expected->count; i++) expected->value[i] = cbn_tensor_get(tensor, i);
  return true;
}

static int run_conv(const cbn_call *call, const cbn_expected *output) {
  const bool computed = cbn_reference_conv(call->conv, call->tensor[CBN_ROLE_INPUT], call->tensor[CBN_ROLE_WEIGHT],
                                           call->tensor[CBN_ROLE_BIAS], 0, output);
  return computed ? CBN_OK : CBN_ERROR;
}

static int run_batchnorm(const cbn_call *call, const cbn_expected *output) {
  const cbn_tensor *const statistic[] = {call->tensor[CBN_ROLE_RUNNING_MEAN], call->tensor[CBN_ROLE_RUNNING_VAR]};
  cbn_expected running[2] = {{.rank = 0}, {.rank = 0}};
  bool loaded = true;
  for (int i = 0; i < 2; i++) loaded = loaded && (statistic[i] == NULL || load_statistic(&running[i], statistic[i]));
  if (loaded) {
    cbn_reference_batchnorm(call->batchnorm, call->tensor[CBN_ROLE_INPUT], call->tensor[CBN_ROLE_WEIGHT],
                            call->tensor[CBN_ROLE_BIAS], statistic[0] != NULL ? &running[0] : NULL,
                            statistic[1] != NULL ? &running[1] : NULL, 0, output);
  }
  for (int i = 0; i < 2; i++) {
    if (loaded && statistic[i] != NULL && call->batchnorm->update_running) round_to(statistic[i], &running[i]);
    cbn_expected_release(&running[i]);
  }
  return loaded ? CBN_OK : CBN_ERROR;
}

static int say(const cbn_call *call, int status, const char *why) {
  if (call->message_size == 0) return status;
  uint32_t i = 0;
  for (; i + 1 < call->message_size && why[i] != '\0'; i++) call->message[i] = why[i];
  call->message[i] = '\0';
  return status;
}

static bool all_f32(const cbn_call *call) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (call->tensor[role] != NULL && call->tensor[role]->type != CBN_F32) return false;
  }
  return true;
}

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  cbn_violation violation;
  if (!cbn_call_validate(call, &violation)) return say(call, CBN_REJECTED, violation.message);
  const int32_t direction = call->conv != NULL ? call->conv->direction : call->batchnorm->direction;
  if (direction != CBN_FORWARD) return say(call, CBN_UNSUPPORTED, "the reference computes no gradients");
  if (call->conv != NULL && call->conv->transposed)
    return say(call, CBN_UNSUPPORTED, "the reference computes no transposed convolution");
  if (!all_f32(call)) return say(call, CBN_UNSUPPORTED, "the reference takes f32 only");
  const cbn_tensor *tensor = call->tensor[CBN_ROLE_OUTPUT];
  cbn_expected output;
  if (!cbn_expected_allocate(&output, tensor->rank, tensor->extent)) return say(call, CBN_ERROR, "no memory");
  const int status = call->conv != NULL ? run_conv(call, &output) : run_batchnorm(call, &output);
  if (status == CBN_OK) round_to(tensor, &output);
  cbn_expected_release(&output);
  return status == CBN_OK ? CBN_OK : say(call, status, "no memory");
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine,
                              .abi = CBN_ABI_VERSION,
                              .name = "reference",
                              .version = "1",
                              .description = "the reference in f64, rounded to f32",
                              .run = run};
  return abi == CBN_ABI_VERSION && *options == '\0' ? &engine : NULL;
}
