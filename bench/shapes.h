/* bench/shapes.h - what is measured, one list each. */
#ifndef CBN_BENCH_SHAPES_H
#define CBN_BENCH_SHAPES_H

/* X(batch, channels, height, width, filters, kernel height, kernel width, stride, pad, dilation, groups) */
#define BENCH_CONVS(X)                                                                                                 \
  X(1, 64, 56, 56, 64, 3, 3, 1, 1, 1, 1) /* the one that --check looks at */                                           \
  X(1, 3, 224, 224, 64, 7, 7, 2, 3, 1, 1)                                                                              \
  X(1, 64, 56, 56, 64, 1, 1, 1, 0, 1, 1)                                                                               \
  X(1, 64, 56, 56, 256, 1, 1, 1, 0, 1, 1)                                                                              \
  X(1, 256, 56, 56, 128, 1, 1, 2, 0, 1, 1)                                                                             \
  X(1, 128, 28, 28, 128, 3, 3, 1, 1, 1, 1)                                                                             \
  X(1, 256, 14, 14, 256, 3, 3, 1, 1, 1, 1)                                                                             \
  X(1, 512, 7, 7, 512, 3, 3, 1, 1, 1, 1)                                                                               \
  X(1, 512, 7, 7, 2048, 1, 1, 1, 0, 1, 1)                                                                              \
  X(1, 144, 56, 56, 144, 3, 3, 1, 1, 1, 144)                                                                           \
  X(1, 144, 56, 56, 144, 3, 3, 2, 1, 1, 144)                                                                           \
  X(1, 128, 56, 56, 128, 3, 3, 1, 1, 1, 32)                                                                            \
  X(1, 256, 33, 33, 256, 3, 3, 1, 2, 2, 1)                                                                             \
  X(1, 120, 1024, 640, 240, 4, 4, 1, 0, 1, 1)                                                                          \
  X(1, 3, 8, 8, 4, 3, 3, 1, 1, 1, 1)                                                                                   \
  X(2, 4, 5, 7, 6, 3, 2, 1, 1, 1, 2)

/* X(batch, channels, height, width) */
#define BENCH_BATCHNORMS(X) X(32, 64, 56, 56) X(8, 256, 14, 14) X(1, 3, 2, 2)

#endif
