/* fast/fast.h - the fast engine for callers that link it directly, without dlopen.
 *
 * It is an engine like any other: cbn_engine_open (convbn/engine.h) gives it, with the options
 *
 *   ""              the best instruction set that the processor has
 *   "isa=avx2"      AVX2 and FMA; NULL on a processor without them
 *   "isa=portable"  plain C
 *
 * What it computes: convolution and batch normalization in all directions and types; fast/README.md says what is
 * CBN_UNSUPPORTED. Memory beyond the tensors: at most CBN_FAST_WORKSPACE_LIMIT bytes in any call, in one allocation,
 * released before the call returns. A convolution of f16 or bf16 tensors has a second one, for their conversion: of at
 * most as many bytes, or what its weight and one image need in f32. */
#ifndef CBN_FAST_FAST_H
#define CBN_FAST_FAST_H

#include <convbn/engine.h>

#define CBN_FAST_WORKSPACE_LIMIT ((int64_t)64 << 20)

#endif
