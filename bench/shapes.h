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

/* Transposed: X(batch, channels, height, width, filters, kernel, stride, pad, output padding, groups) */
#define BENCH_TRANSPOSED_CONVS(X)                                                                                      \
  X(1, 64, 56, 56, 64, 3, 1, 1, 0, 1)                                                                                  \
  X(1, 64, 56, 56, 64, 3, 2, 1, 1, 1)                                                                                  \
  X(1, 64, 28, 28, 64, 4, 2, 1, 0, 1)                                                                                  \
  X(1, 128, 28, 28, 64, 2, 2, 0, 0, 1)                                                                                 \
  X(1, 96, 14, 14, 3, 16, 16, 0, 0, 1)                                                                                 \
  X(1, 4, 4, 4, 3, 3, 2, 1, 1, 1)

/* 1-d: X(batch, channels, width, filters, kernel, stride, pad, dilation, groups) */
#define BENCH_CONVS_1D(X)                                                                                              \
  X(8, 128, 512, 128, 3, 1, 1, 1, 1)                                                                                   \
  X(1, 80, 3000, 384, 3, 2, 1, 1, 1)                                                                                   \
  X(1, 256, 4000, 256, 31, 1, 15, 1, 256)                                                                              \
  X(1, 64, 16000, 64, 3, 1, 64, 64, 1)

/* 3-d, cubic kernels: X(batch, channels, depth, height, width, filters, kernel, stride, pad, dilation, groups) */
#define BENCH_CONVS_3D(X)                                                                                              \
  X(1, 32, 16, 28, 28, 32, 3, 1, 1, 1, 1)                                                                              \
  X(1, 3, 16, 112, 112, 64, 3, 2, 1, 1, 1)                                                                             \
  X(1, 2, 4, 5, 6, 3, 3, 1, 1, 1, 1)

/* X(batch, channels, height, width) */
#define BENCH_BATCHNORMS(X) X(32, 64, 56, 56) X(8, 256, 14, 14) X(1, 3, 2, 2)

#endif
