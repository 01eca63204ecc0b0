/* fast/batchnorm.h - batch normalization, forward and backward. */
#ifndef CBN_FAST_BATCHNORM_H
#define CBN_FAST_BATCHNORM_H

#include "fast/kernels.h"

#include <convbn/engine.h>

/* Both take a valid call of either direction and give CBN_OK, or CBN_ERROR without memory. The result may be the input
 * (forward) or grad_output (backward), the same view. An empty batch has no statistics: forward, the running ones stay
 * as they are; backward, grad_weight and grad_bias are 0. */

/* f32, f16 and bf16, in f32 with sums in f64. */
int cbn_fast_batchnorm(const cbn_fast_kernels *kernels, cbn_call *call);

/* f64. */
int cbn_fast_batchnorm_f64(cbn_call *call);

#endif
