/* fast/convert.h - f16 and bf16 at the edge: values become f32 on the way in, and are rounded once on the way out. */
#ifndef CBN_FAST_CONVERT_H
#define CBN_FAST_CONVERT_H

#include "fast/kernels.h"

#include <convbn/tensor.h>

/* The element of that type at an offset, which counts elements. */
static inline void *cbn_fast_element(int32_t type, const void *data, int64_t offset) {
  return (char *)(uintptr_t)data + offset * (int64_t)cbn_type_size(type);
}

/* to[i] = from[i * step], i < count; `type` is f32, f16 or bf16. */
void cbn_fast_load(const cbn_convert_kernels *kernels, int32_t type, float *to, const void *from, int64_t step,
                   int64_t count);

/* to[i * step] = from[i], rounded to nearest even. */
void cbn_fast_store(const cbn_convert_kernels *kernels, int32_t type, void *to, int64_t step, const float *from,
                    int64_t count);

/* Computes the problem of the call, in f32. */
typedef int cbn_fast_run(const void *context, cbn_call *call);

/* Computes a valid convolution of f16 or bf16 tensors, in any direction, by `run`, which gets the same problem in f32:
 * as many images at a time as CBN_CONVERTED_BYTES hold converted, at least one. Parts of a gradient that
 * sums over the batch are added in f32, in the order of the batch. CBN_OK, what `run` answered, or CBN_ERROR without
 * memory. */
int cbn_fast_conv_converted(const cbn_convert_kernels *kernels, cbn_call *call, cbn_fast_run *run, const void *context);

#endif
