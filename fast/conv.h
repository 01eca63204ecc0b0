/* fast/conv.h - forward convolution. Both take a valid call of f32 tensors with an output that is not empty. */
#ifndef CBN_FAST_CONV_H
#define CBN_FAST_CONV_H

#include "fast/kernels.h"
#include "fast/plan.h"

/* CBN_OK, or CBN_ERROR without memory. Blocked im2col and matrix product. */
int cbn_fast_conv(const cbn_conv_kernels *kernels, cbn_call *call);

/* Depthwise with the channels side by side in memory: true and the status where the problem is of that kind. */
bool cbn_fast_depthwise(const cbn_conv_kernels *kernels, const cbn_fast_geometry *geometry, cbn_call *call,
                        int *status);

#endif
