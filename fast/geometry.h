/* fast/geometry.h - what this engine computes: a correlation of three spatial axes with their strides in memory, groups
 * apart, and where each tap of each output position reads. Every direction of every convolution is made of such
 * (fast/pieces.h). */
#ifndef CBN_FAST_GEOMETRY_H
#define CBN_FAST_GEOMETRY_H

#include <convbn/operator.h>

typedef struct cbn_fast_axis {
  int64_t input, output, kernel, stride, dilation, pad;
  int64_t input_step, weight_step, output_step; /* memory strides, in elements */
} cbn_fast_axis;

/* output = bias + weight * input, or output += weight * input; or, where grad_weight is not NULL, grad_weight = the sum
 * over all output positions of gradient * input, the gradient being laid out as the output would be. */
typedef struct cbn_fast_geometry {
  const float *input, *weight, *bias; /* bias NULL: zero */
  float *output;
  const float *gradient;
  float *grad_weight;
  bool accumulates;
  int64_t batch, groups;
  int64_t channels, filters; /* of one group: what is read, what is written */
  int padding_mode;
  cbn_fast_axis axis[CBN_MAX_SPATIAL]; /* D, H, W; axes that the problem does not have are of extent 1 */
  int64_t input_batch_step, input_channel_step;
  int64_t weight_group_step, weight_filter_step, weight_channel_step, bias_step;
  int64_t output_batch_step, output_filter_step;
} cbn_fast_geometry;

/* The axis of a problem that has none. */
extern const cbn_fast_axis cbn_fast_unit_axis;

/* Makes one axis of neighbouring axes that the kernel does not look along and that lie densely in memory, so that a 1x1
 * convolution reads and writes whole planes as single rows. */
void cbn_fast_merge_axes(cbn_fast_axis axis[CBN_MAX_SPATIAL]);

/* Multiply-adds, zeros included; about 2^62 where there are more. */
int64_t cbn_fast_work(const cbn_fast_geometry *geometry);

/* The input index that stands at coordinate `x` (output * stride + tap * dilation - pad; any integer) of an axis with
 * that extent, or -1 where a zero stands. */
int64_t cbn_fast_source(int padding_mode, int64_t extent, int64_t x);

#endif
