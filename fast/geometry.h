/* fast/geometry.h - a convolution as this engine sees it: three spatial axes with their strides in memory, groups
 * apart, and where each tap of each output position reads. */
#ifndef CBN_FAST_GEOMETRY_H
#define CBN_FAST_GEOMETRY_H

#include <convbn/operator.h>

typedef struct cbn_fast_axis {
  int64_t input, output, kernel, stride, dilation, pad;
  int64_t input_step, weight_step, output_step; /* memory strides, in elements */
} cbn_fast_axis;

typedef struct cbn_fast_geometry {
  const float *input, *weight, *bias; /* bias NULL: zero */
  float *output;
  int64_t batch, groups;
  int64_t channels, filters; /* of one group: what is read, what is written */
  int padding_mode;
  cbn_fast_axis axis[CBN_MAX_SPATIAL]; /* D, H, W; axes that the problem does not have are of extent 1 */
  int64_t input_batch_step, input_channel_step;
  int64_t weight_filter_step, weight_channel_step, bias_step;
  int64_t output_batch_step, output_filter_step;
} cbn_fast_geometry;

/* Describes a valid, supported call. Neighbouring axes that the kernel does not look along and that lie densely in
 * memory become one, so that a 1x1 convolution reads and writes whole planes as single rows. */
void cbn_fast_geometry_of(cbn_fast_geometry *geometry, const cbn_call *call);

/* The input index that stands at coordinate `x` (output * stride + tap * dilation - pad; any integer) of an axis with
 * that extent, or -1 where a zero stands. */
int64_t cbn_fast_source(int padding_mode, int64_t extent, int64_t x);

#endif
