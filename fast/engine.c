/* fast/engine.c - the engine's edge: options, what is supported, validation. */
#include "fast/batchnorm.h"
#include "fast/conv.h"
#include "fast/fast.h"
#include "fast/workspace.h"

#include <convbn/operator.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fast_engine {
  cbn_engine engine;
  cbn_fast_kernels kernels;
  char description[96];
} fast_engine;

/* Index arithmetic adds and multiplies a few of these without looking. */
static const int64_t LARGEST_PARAMETER = (int64_t)1 << 40;

static int check_types(cbn_call *call) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    if (call->tensor[role] && call->tensor[role]->type != CBN_F32)
      return cbn_fast_fail(call, CBN_UNSUPPORTED, "tensors must be f32, the %s is %s", cbn_role_name(role),
                           cbn_type_name(call->tensor[role]->type));
  }
  return CBN_OK;
}

static int check_axis(cbn_call *call, int a) {
  const cbn_conv *conv = call->conv;
  if (conv->input_dilation[a] != 1)
    return cbn_fast_fail(call, CBN_UNSUPPORTED, "input dilation must be 1, got %" PRId64 " on spatial axis %d",
                         conv->input_dilation[a], a);
  const int64_t checked[] = {conv->input[a],    conv->kernel[a],    conv->stride[a],
                             conv->dilation[a], conv->pad_begin[a], conv->pad_end[a]};
  for (size_t i = 0; i < sizeof checked / sizeof checked[0]; i++) {
    if (checked[i] > LARGEST_PARAMETER || checked[i] < -LARGEST_PARAMETER)
      return cbn_fast_fail(call, CBN_UNSUPPORTED, "parameters must be at most 2^40, got %" PRId64 " on spatial axis %d",
                           checked[i], a);
  }
  return CBN_OK;
}

static int run_conv(const fast_engine *fast, cbn_call *call) {
  const cbn_conv *conv = call->conv;
  if (conv->direction != CBN_FORWARD || conv->transposed)
    return cbn_fast_fail(call, CBN_UNSUPPORTED, "convolution must be forward and not transposed");
  for (int a = 0; a < conv->spatial_rank; a++) {
    const int status = check_axis(call, a);
    if (status != CBN_OK) return status;
  }
  if (cbn_tensor_count(call->tensor[CBN_ROLE_OUTPUT]) == 0) return CBN_OK;
  return cbn_fast_conv(fast->kernels.conv, call);
}

static int run_batchnorm(const fast_engine *fast, cbn_call *call) {
  if (call->batchnorm->direction != CBN_FORWARD)
    return cbn_fast_fail(call, CBN_UNSUPPORTED, "batch normalization must be forward");
  return cbn_fast_batchnorm(fast->kernels.batchnorm, call);
}

static int run(cbn_engine *engine, cbn_call *call) {
  const fast_engine *fast = engine->state;
  cbn_violation violation;
  if (!cbn_call_validate(call, &violation)) return cbn_fast_fail(call, CBN_REJECTED, "%s", violation.message);
  const int status = check_types(call);
  if (status != CBN_OK) return status;
  return call->operator_kind == CBN_OPERATOR_CONV ? run_conv(fast, call) : run_batchnorm(fast, call);
}

static void close(cbn_engine *engine) { free(engine->state); }

static const char *isa_of(const char *options) {
  if (!options || options[0] == '\0') return "";
  return strncmp(options, "isa=", 4) == 0 && options[4] != '\0' ? options + 4 : NULL;
}

CBN_EXPORT cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  const char *isa = isa_of(options);
  cbn_fast_kernels kernels;
  if (abi != CBN_ABI_VERSION || !isa || !cbn_fast_kernels_by_name(isa, &kernels)) return NULL;
  fast_engine *fast = calloc(1, sizeof *fast);
  if (!fast) return NULL;
  fast->kernels = kernels;
  snprintf(fast->description, sizeof fast->description,
           "blocked im2col GEMM and batch normalization, %s f32, %dx%d tiles", kernels.isa, (int)CBN_MR, (int)CBN_NR);
  fast->engine = (cbn_engine){
      .struct_size = sizeof fast->engine,
      .abi = CBN_ABI_VERSION,
      .name = "fast",
      .version = "1",
      .description = fast->description,
      .arithmetic = CBN_TWO_PASS_STATISTICS,
      .state = fast,
      .run = run,
      .close = close,
  };
  return &fast->engine;
}
