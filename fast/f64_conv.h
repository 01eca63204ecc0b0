/* fast/f64_conv.h - convolution in f64. */
#ifndef CBN_FAST_F64_CONV_H
#define CBN_FAST_F64_CONV_H

#include <convbn/engine.h>

/* Computes a valid call of f64 tensors in any direction, transposed or not, with any strides. No parameter may exceed
 * 2^40. Needs no memory; always CBN_OK. */
int cbn_fast_conv_f64(cbn_call *call);

#endif
