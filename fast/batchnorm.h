/* fast/batchnorm.h - forward batch normalization. */
#ifndef CBN_FAST_BATCHNORM_H
#define CBN_FAST_BATCHNORM_H

#include "fast/kernels.h"

#include <convbn/engine.h>

/* Takes a valid call of f32 tensors; CBN_OK, or CBN_ERROR without memory. An empty batch writes nothing: it has no
 * statistics, so the running ones stay as they are. */
int cbn_fast_batchnorm(const cbn_batchnorm_kernels *kernels, cbn_call *call);

#endif
