/* What the small engines of this directory share: each does one thing that an engine must not do. Where they compute,
 * every element of the output is twice that of the input. */
#ifndef CBN_TESTS_HOSTILE_H
#define CBN_TESTS_HOSTILE_H

#include <convbn/engine.h>
#include <string.h>

static inline int64_t count_of(const cbn_tensor *tensor) {
  int64_t count = 1;
  for (int32_t axis = 0; axis < tensor->rank; axis++) count *= tensor->extent[axis];
  return count;
}

static inline float *element_of(const cbn_tensor *tensor, int64_t position) {
  float *element = tensor->data;
  for (int32_t axis = tensor->rank - 1; axis >= 0; axis--) {
    element += position % tensor->extent[axis] * tensor->stride[axis];
    position /= tensor->extent[axis];
  }
  return element;
}

static inline int compute(const cbn_call *call) {
  const cbn_tensor *input = call->tensor[CBN_ROLE_INPUT], *output = call->tensor[CBN_ROLE_OUTPUT];
  const int64_t count = count_of(output);
  for (int64_t i = 0; i < count; i++) *element_of(output, i) = 2 * *element_of(input, i);
  return CBN_OK;
}

/* The rest of a plug-in whose `run` is defined above. */
#define ENGINE(NAME)                                                                                                   \
  cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {                                                     \
    static cbn_engine engine = {.struct_size = sizeof engine,                                                          \
                                .abi = CBN_ABI_VERSION,                                                                \
                                .name = NAME,                                                                          \
                                .version = "1",                                                                        \
                                .description = "a test",                                                               \
                                .run = run};                                                                           \
    (void)options;                                                                                                     \
    return abi == CBN_ABI_VERSION ? &engine : NULL;                                                                    \
  }

#endif
