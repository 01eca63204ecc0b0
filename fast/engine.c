/* fast/engine.c - the engine's edge: options, what is supported, validation. */
#include "fast/batchnorm.h"
#include "fast/conv.h"
#include "fast/convert.h"
#include "fast/f64_conv.h"
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
  char description[128];
} fast_engine;

/* Index arithmetic adds and multiplies a few of these without looking. */
static const int64_t LARGEST_PARAMETER = (int64_t)1 << 40, LARGEST_SPAN = (int64_t)1 << 60;

static int check_axis(cbn_call *call, int a) {
  const cbn_conv *conv = call->conv;
  const int64_t checked[] = {conv->input[a],   conv->kernel[a],         conv->stride[a],         conv->dilation[a],
                             conv->pad_end[a], conv->input_dilation[a], conv->output_padding[a], conv->pad_begin[a]};
  for (size_t i = 0; i < sizeof checked / sizeof checked[0]; i++) {
    if (checked[i] > LARGEST_PARAMETER || checked[i] < -LARGEST_PARAMETER)
      return cbn_fast_fail(call, CBN_UNSUPPORTED, "parameters must be at most 2^40, got %" PRId64 " on spatial axis %d",
                           checked[i], a);
  }
  /* Coordinates are sums of these three and a padding. */
  const int64_t output = cbn_conv_output_extent(conv, a);
  const int64_t wide = conv->transposed ? output : conv->input[a], narrow = conv->transposed ? conv->input[a] : output;
  if (wide > LARGEST_SPAN / conv->input_dilation[a] || narrow > LARGEST_SPAN / conv->stride[a] ||
      conv->kernel[a] > LARGEST_SPAN / conv->dilation[a])
    return cbn_fast_fail(call, CBN_UNSUPPORTED, "coordinates must be at most 2^60 on spatial axis %d", a);
  return CBN_OK;
}

/* The tensor that the call is for; NULL where a gradient is asked for that the problem does not have. */
static const cbn_tensor *result_of(const cbn_call *call) {
  static const int role[] = {[CBN_FORWARD] = CBN_ROLE_OUTPUT,
                             [CBN_GRAD_INPUT] = CBN_ROLE_GRAD_INPUT,
                             [CBN_GRAD_WEIGHT] = CBN_ROLE_GRAD_WEIGHT,
                             [CBN_GRAD_BIAS] = CBN_ROLE_GRAD_BIAS};
  return call->tensor[role[call->conv->direction]];
}

static int run_conv_f32(const void *context, cbn_call *call) {
  const fast_engine *fast = context;
  return cbn_fast_conv(fast->kernels.conv, call);
}

static int run_conv(const fast_engine *fast, cbn_call *call) {
  for (int a = 0; a < call->conv->spatial_rank; a++) {
    const int status = check_axis(call, a);
    if (status != CBN_OK) return status;
  }
  const cbn_tensor *result = result_of(call);
  if (!result || cbn_tensor_count(result) == 0) return CBN_OK;
  switch (result->type) {
  case CBN_F32: return run_conv_f32(fast, call);
  case CBN_F64: return cbn_fast_conv_f64(call);
  default: return cbn_fast_conv_converted(fast->kernels.convert, call, run_conv_f32, fast);
  }
}

static int run_batchnorm(const fast_engine *fast, cbn_call *call) {
  if (call->tensor[CBN_ROLE_INPUT]->type == CBN_F64) return cbn_fast_batchnorm_f64(call);
  return cbn_fast_batchnorm(&fast->kernels, call);
}

static int run(cbn_engine *engine, cbn_call *call) {
  const fast_engine *fast = engine->state;
  cbn_violation violation;
  if (!cbn_call_validate(call, &violation)) return cbn_fast_fail(call, CBN_REJECTED, "%s", violation.message);
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
           "blocked im2col GEMM and batch normalization, %s f32, %dx%d tiles; f16 and bf16 through f32; f64 plain C",
           kernels.isa, (int)CBN_MR, (int)CBN_NR);
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
      .abilities = CBN_IN_PLACE,
  };
  return &fast->engine;
}
