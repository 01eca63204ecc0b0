/* The engines that come with the program: one list. Name, and one sentence for people. Each is a shared object of that
 * name in lib/convbn/engines, beside the folder of the program. */
#ifndef CBN_HARNESS_ENGINE_LIST_H
#define CBN_HARNESS_ENGINE_LIST_H

#define CBN_ENGINES(X)                                                                                                 \
  X(reference, "the oracle itself, rounded to f32: slow, right by definition")                                         \
  X(fast, "the project's own AVX2 implementation")

#endif
