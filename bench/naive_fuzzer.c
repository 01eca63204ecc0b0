/* bench/naive_fuzzer.c - what a fuzzer would cost that only looks for crashes: the same problems, and a convolution in
 * straightforward loops, without a reference, without any look at the result. bench/fuzz-speed compares. */
#include <convbn/fill.h>
#include <convbn/operator.h>
#include <stdlib.h>
#include <string.h>

#include "generator/generator.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* The element that output position `p` reads with tap `t` along axis `a`; -1 in the padding. */
static int64_t source(const cbn_conv *c, int a, int64_t p, int64_t t) {
  const int64_t extent = c->input[a], last = extent - 1;
  int64_t i = p * c->stride[a] + t * c->dilation[a] - c->pad_begin[a];
  switch (c->padding_mode) {
  case CBN_PAD_REFLECT:
    if (i < 0) i = -i;
    return i > last ? 2 * last - i : i;
  case CBN_PAD_REPLICATE: return i < 0 ? 0 : i > last ? last : i;
  case CBN_PAD_CIRCULAR: return (i % extent + extent) % extent;
  default:
    if (i % c->input_dilation[a] != 0) return -1;
    i /= c->input_dilation[a];
    return i > last ? -1 : i;
  }
}

/* Offsets of an element: its image, its channel, and its place among `extent`. */
static int64_t offset_of(const cbn_tensor *t, int64_t n, int64_t c, const int64_t place[CBN_MAX_SPATIAL]) {
  int64_t offset = n * t->stride[0] + c * t->stride[1];
  for (int a = 0; a < t->rank - 2; a++) offset += place[a] * t->stride[2 + a];
  return offset;
}

static double element(const cbn_conv *c, const cbn_tensor *tensor, int64_t n, int64_t o,
                      const int64_t p[CBN_MAX_SPATIAL]) {
  const cbn_tensor *x = &tensor[CBN_ROLE_INPUT], *w = &tensor[CBN_ROLE_WEIGHT];
  const int64_t channels = c->in_channels / c->groups, group = o / (c->out_channels / c->groups);
  const int64_t taps = cbn_extent_product(c->spatial_rank, c->kernel);
  double sum = c->has_bias ? cbn_tensor_load(&tensor[CBN_ROLE_BIAS], o * tensor[CBN_ROLE_BIAS].stride[0]) : 0;
  for (int64_t tap = 0; tap < taps; tap++) {
    int64_t t[CBN_MAX_SPATIAL], i[CBN_MAX_SPATIAL];
    bool inside = true;
    cbn_unravel(c->spatial_rank, c->kernel, tap, t);
    for (int a = 0; a < c->spatial_rank; a++) inside = (i[a] = source(c, a, p[a], t[a])) >= 0 && inside;
    for (int64_t k = 0; inside && k < channels; k++)
      sum += cbn_tensor_load(x, offset_of(x, n, group * channels + k, i)) * cbn_tensor_load(w, offset_of(w, o, k, t));
  }
  return sum;
}

static void convolve(const cbn_conv *c, const cbn_tensor *tensor) {
  const cbn_tensor *y = &tensor[CBN_ROLE_OUTPUT];
  const int64_t count = cbn_tensor_count(y);
  for (int64_t e = 0; e < count; e++) {
    int64_t index[CBN_MAX_RANK];
    cbn_unravel(y->rank, y->extent, e, index);
    cbn_tensor_set(y, e, element(c, tensor, index[0], index[1], index + 2));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const int roles[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_OUTPUT};
  uint8_t genome[CBN_GENOME_BYTES] = {0};
  cbn_tensor tensor[CBN_ROLE_COUNT] = {0};
  cbn_generated problem;
  bool has_memory = true;
  memcpy(genome, bytes, size < sizeof genome ? size : sizeof genome);
  genome[CBN_GENE_KIND] = CBN_GENERATED_CONV_FORWARD;
  cbn_generate(genome, sizeof genome, &problem);
  if (!problem.valid) return 0;
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    const int role = roles[i];
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_conv_extents(&problem.conv, role, extent);
    if (rank == 0) continue;
    has_memory = cbn_tensor_describe(&tensor[role], problem.type, rank, extent,
                                     cbn_role_layout(problem.layout, role, rank)) &&
                 cbn_tensor_allocate(&tensor[role]) && has_memory;
    if (has_memory && role != CBN_ROLE_OUTPUT) cbn_fill_tensor(&problem.fill[role], role, &tensor[role]);
  }
  if (has_memory) convolve(&problem.conv, tensor);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) cbn_tensor_release(&tensor[role]);
  return 0;
}
