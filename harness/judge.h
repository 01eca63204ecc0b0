/* Comparing what an engine wrote with what the reference says. */
#ifndef CBN_HARNESS_JUDGE_H
#define CBN_HARNESS_JUDGE_H

#include "harness/evaluation.h"

/* Judges every element of `actual` (any strides) by the reference's interval. With `maps` a window around the worst
 * element is kept. `native` is the shape as the dialect gives it. */
void cbn_judge_tensor(int role, const cbn_shape *native, const cbn_expected *expected, const cbn_tensor *actual,
                      bool maps, cbn_tensor_result *result);

/* Judges a convolution's output that is too large for a whole reference.
 *
 * With integers small enough that every engine's sum is exact, y[n,o,p] summed over the output channels of a group,
 * and summed with a different weight for each channel, is the convolution with the summed filters, exactly, at every
 * position p: any single wrong element shows, and so do channels in a wrong order. In addition, and alone where the
 * data are not integers, all channels of sampled positions are judged one by one: corners, borders and positions
 * drawn from `seed`. */
bool cbn_judge_large(const cbn_conv *conv, const cbn_tensor *input, const cbn_tensor *weight, const cbn_tensor *bias,
                     uint32_t arithmetic, uint64_t seed, const cbn_shape *native, const cbn_tensor *actual,
                     cbn_tensor_result *result, bool *exact);

#endif
