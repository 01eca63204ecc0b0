/* fast/conv.h - convolution in all directions. */
#ifndef CBN_FAST_CONV_H
#define CBN_FAST_CONV_H

#include "fast/kernels.h"
#include "fast/plan.h"

/* A valid and supported call of f32 tensors, whose result is not empty. CBN_OK, or CBN_ERROR without memory. */
int cbn_fast_conv(const cbn_conv_kernels *kernels, cbn_call *call);

/* Bytes of workspace that a depthwise piece with the channels side by side in memory needs; 0 for any other piece. */
int64_t cbn_fast_depthwise_bytes(const cbn_fast_geometry *piece);

/* Computes such a piece. */
void cbn_fast_depthwise(const cbn_conv_kernels *kernels, const cbn_fast_geometry *piece, const cbn_call *call,
                        void *workspace);

/* The gradients of weight and bias. */
int cbn_fast_grad_weight(const cbn_conv_kernels *kernels, cbn_call *call);
int cbn_fast_grad_bias(const cbn_conv_kernels *kernels, cbn_call *call);

#endif
