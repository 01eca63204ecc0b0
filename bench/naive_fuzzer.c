/* bench/naive_fuzzer.c - the fuzzer that one writes first: the same problems, a convolution of floats in straightforward
 * loops, and no oracle, so that it finds crashes only. bench/fuzz-speed compares. */
#include <convbn/fill.h>
#include <convbn/operator.h>
#include <stdlib.h>
#include <string.h>

#include "generator/generator.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A problem of three axes; those that it does not have are of extent 1. */
typedef struct naive {
  int64_t batch, groups, in, out; /* channels of a group */
  int64_t input[3], kernel[3], output[3], stride[3], dilation[3], holes[3], pad[3];
  int32_t mode;
} naive;

static naive naive_of(const cbn_conv *c) {
  naive n = {.batch = c->batch,
             .groups = c->groups,
             .in = c->in_channels / c->groups,
             .out = c->out_channels / c->groups,
             .mode = c->padding_mode};
  for (int i = 0; i < 3; i++) {
    const int a = i - (3 - c->spatial_rank);
    n.input[i] = a < 0 ? 1 : c->input[a];
    n.kernel[i] = a < 0 ? 1 : c->kernel[a];
    n.output[i] = a < 0 ? 1 : cbn_conv_output_extent(c, a);
    n.stride[i] = a < 0 ? 1 : c->stride[a];
    n.dilation[i] = a < 0 ? 1 : c->dilation[a];
    n.holes[i] = a < 0 ? 1 : c->input_dilation[a];
    n.pad[i] = a < 0 ? 0 : c->pad_begin[a];
  }
  return n;
}

/* The element that output position `p` reads with tap `t`; -1 in the padding. */
static int64_t source(const naive *n, int a, int64_t p, int64_t t) {
  const int64_t extent = n->input[a], last = extent - 1, i = p * n->stride[a] + t * n->dilation[a] - n->pad[a];
  switch (n->mode) {
  case CBN_PAD_REFLECT: return i < 0 ? -i : i > last ? 2 * last - i : i;
  case CBN_PAD_REPLICATE: return i < 0 ? 0 : i > last ? last : i;
  case CBN_PAD_CIRCULAR: return (i % extent + extent) % extent;
  default: return i < 0 || i % n->holes[a] != 0 || i / n->holes[a] > last ? -1 : i / n->holes[a];
  }
}

static float element(const naive *n, const float *x, const float *w, int64_t p0, int64_t p1, int64_t p2) {
  const int64_t plane = n->input[0] * n->input[1] * n->input[2];
  float sum = 0;
  for (int64_t c = 0; c < n->in; c++, x += plane)
    for (int64_t t0 = 0; t0 < n->kernel[0]; t0++)
      for (int64_t t1 = 0; t1 < n->kernel[1]; t1++)
        for (int64_t t2 = 0; t2 < n->kernel[2]; t2++, w++) {
          const int64_t i0 = source(n, 0, p0, t0), i1 = source(n, 1, p1, t1), i2 = source(n, 2, p2, t2);
          if (i0 >= 0 && i1 >= 0 && i2 >= 0) sum += *w * x[(i0 * n->input[1] + i1) * n->input[2] + i2];
        }
  return sum;
}

static void convolve(const naive *n, const float *x, const float *w, const float *bias, float *y) {
  const int64_t plane = n->input[0] * n->input[1] * n->input[2], taps = n->kernel[0] * n->kernel[1] * n->kernel[2];
  for (int64_t b = 0; b < n->batch; b++)
    for (int64_t g = 0; g < n->groups; g++)
      for (int64_t o = g * n->out; o < (g + 1) * n->out; o++)
        for (int64_t p0 = 0; p0 < n->output[0]; p0++)
          for (int64_t p1 = 0; p1 < n->output[1]; p1++)
            for (int64_t p2 = 0; p2 < n->output[2]; p2++)
              *y++ = (bias != NULL ? bias[o] : 0) +
                     element(n, x + (b * n->groups + g) * n->in * plane, w + o * n->in * taps, p0, p1, p2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const int roles[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_OUTPUT};
  uint8_t genome[CBN_GENOME_BYTES] = {0};
  cbn_tensor tensor[CBN_ROLE_COUNT] = {0};
  cbn_generated problem;
  memcpy(genome, bytes, size < sizeof genome ? size : sizeof genome);
  genome[CBN_GENE_KIND] = CBN_GENERATED_CONV_FORWARD;
  cbn_generate(genome, sizeof genome, &problem);
  if (!problem.valid) return 0;
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    cbn_tensor *t = &tensor[roles[i]];
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(&problem.conv, roles[i], extent);
    if (rank == 0) continue;
    if (!cbn_tensor_describe(t, CBN_F32, rank, extent, CBN_CONTIGUOUS) || !cbn_tensor_allocate(t)) abort();
    if (roles[i] != CBN_ROLE_OUTPUT) cbn_fill_tensor(&problem.fill[roles[i]], roles[i], t);
  }
  const naive n = naive_of(&problem.conv);
  convolve(&n, tensor[CBN_ROLE_INPUT].data, tensor[CBN_ROLE_WEIGHT].data, tensor[CBN_ROLE_BIAS].data,
           tensor[CBN_ROLE_OUTPUT].data);
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) cbn_tensor_release(&tensor[roles[i]]);
  return 0;
}
