/* A right convolution (two spatial axes, forward, f32, zeros) whose every rounding is towards zero: within the bounds, and
 * yet a kernel that nobody wants. */
#include <fenv.h>

#include "hostile.h"

static float element(const cbn_tensor *tensor, int64_t a, int64_t b, int64_t c, int64_t d) {
  const int64_t *s = tensor->stride;
  return ((const float *)tensor->data)[a * s[0] + b * s[1] + c * s[2] + d * s[3]];
}

static float output_at(const cbn_call *call, int64_t n, int64_t o, int64_t h, int64_t w) {
  const cbn_conv *c = call->conv;
  const int64_t channels = c->in_channels / c->groups, first = o / (c->out_channels / c->groups) * channels;
  volatile float sum = call->tensor[CBN_ROLE_BIAS] != NULL ? *element_of(call->tensor[CBN_ROLE_BIAS], o) : 0;
  for (int64_t i = 0; i < channels; i++)
    for (int64_t t = 0; t < c->kernel[0] * c->kernel[1]; t++) {
      const int64_t u = t / c->kernel[1], v = t % c->kernel[1];
      const int64_t y = h * c->stride[0] + u * c->dilation[0] - c->pad_begin[0];
      const int64_t x = w * c->stride[1] + v * c->dilation[1] - c->pad_begin[1];
      if (y < 0 || y >= c->input[0] || x < 0 || x >= c->input[1]) continue;
      volatile float product = element(call->tensor[CBN_ROLE_INPUT], n, first + i, y, x) *
                               element(call->tensor[CBN_ROLE_WEIGHT], o, i, u, v);
      sum = sum + product;
    }
  return sum;
}

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  const cbn_conv *c = call->conv;
  if (c == NULL || c->direction != CBN_FORWARD || c->transposed || c->spatial_rank != 2 ||
      c->padding_mode != CBN_PAD_ZEROS || c->input_dilation[0] * c->input_dilation[1] != 1 ||
      call->tensor[CBN_ROLE_INPUT]->type != CBN_F32)
    return CBN_UNSUPPORTED;
  const cbn_tensor *output = call->tensor[CBN_ROLE_OUTPUT];
  const int64_t *e = output->extent, count = count_of(output);
  fesetround(FE_TOWARDZERO);
  for (int64_t i = 0; i < count; i++)
    *element_of(output, i) =
        output_at(call, i / (e[1] * e[2] * e[3]), i / (e[2] * e[3]) % e[1], i / e[3] % e[2], i % e[3]);
  fesetround(FE_TONEAREST);
  return CBN_OK;
}

ENGINE("truncates")
