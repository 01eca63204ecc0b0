/* Comparing what an engine wrote with what the reference says. */
#ifndef CBN_HARNESS_JUDGE_H
#define CBN_HARNESS_JUDGE_H

#include "harness/evaluation.h"

/* Judges every element of `actual` (any strides) by the reference's interval. With `maps` a window around the worst
 * element is kept. `native` is the shape as the dialect gives it, whose last `spatial_rank` axes are spatial. */
void cbn_judge_tensor(int role, const cbn_shape *native, int32_t spatial_rank, const cbn_expected *expected,
                      const cbn_tensor *actual, bool maps, cbn_tensor_result *result);

/* Judges a forward convolution's output that is too large for a whole reference. `tensor` are the call's, output
 * included.
 *
 * With integers small enough that every engine's sum is exact, y[n,o,p] summed over the output channels of a group,
 * and summed with a different weight for each channel, is the convolution with the summed filters, exactly, at every
 * position p: any single wrong element shows, and so do channels in a wrong order. In addition, and alone where the
 * data are not integers, all channels of sampled positions are judged one by one: corners, borders and positions
 * drawn from `seed`. */
bool cbn_judge_large(const cbn_conv *conv, const cbn_tensor *const tensor[CBN_ROLE_COUNT], uint32_t arithmetic,
                     uint64_t seed, const cbn_shape *native, cbn_tensor_result *result, bool *exact);

#endif
