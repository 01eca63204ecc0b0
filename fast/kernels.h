/* fast/kernels.h - the inner loops, one table for each instruction set. fast/README.md decodes the names.
 *
 * Everything above these loops (geometry, packing order, threads) is written once and does not know which table runs.
 */
#ifndef CBN_FAST_KERNELS_H
#define CBN_FAST_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* A register tile is CBN_MR output channels by CBN_NR output pixels, the latter in vectors of CBN_VL. 4 x 24 takes
 * 12 accumulators, 3 vectors of pixels and one broadcast weight: the 16 registers of AVX2, and 7 loads for 12 FMAs. */
enum { CBN_MR = 4, CBN_VL = 8, CBN_NV = 3, CBN_NR = CBN_VL * CBN_NV };

/* Tiles: rows x vectors. Declaration, dispatch and tests run over this list. */
#define CBN_FAST_TILES(X)                                                                                              \
  X(1, 1) X(1, 2) X(1, 3) X(2, 1) X(2, 2) X(2, 3) X(3, 1) X(3, 2) X(3, 3) X(4, 1) X(4, 2) X(4, 3)

/* One tile of c += a * b, each element as one chain in the order of k:
 *   c[i*ldc + j] = fma(a[i*lda + k*ka], b_k[j], ...), starting from init[i], or from c itself where init is NULL.
 * b_k is b + k * CBN_NR (gemm: a packed panel) or b + offset[k] (igemm: rows of the staged input, read in place). The
 * portable kernels round product and sum separately. */
typedef struct cbn_tile_arguments {
  int64_t k;
  const float *a;
  int64_t lda, ka;
  const float *b;
  const int32_t *offset; /* igemm only */
  float *c;
  int64_t ldc;
  const float *init;
} cbn_tile_arguments;

typedef void cbn_tile_kernel(const cbn_tile_arguments *arguments);

/* The same for one filter and `count` pixels of one row in place, whatever their number. */
typedef void cbn_row_kernel(const cbn_tile_arguments *arguments, int64_t count);

/* Part of a panel row: `length` pixels that stand side by side in the staged input, at source + offset[k]. */
typedef struct cbn_segment {
  const float *source;
  const int32_t *offset;
  int64_t length;
} cbn_segment;

/* Packs a panel: for every k < count, the segments one behind the other to panel + k * CBN_NR. Reads up to CBN_VL - 1
 * elements behind a segment's end and writes up to as many behind the panel's last segment; lanes that no segment
 * covers hold no particular value. */
typedef void cbn_pack_kernel(float *panel, int64_t count, const cbn_segment *segment, int segments);

/* The transposed panel: panel[i * CBN_NR + j] = source[offset[j] + i], i < length, j < rows <= CBN_NR. Reads and writes
 * past the ends as pack does. */
typedef void cbn_transpose_kernel(float *panel, const float *source, const int32_t *offset, int64_t rows,
                                  int64_t length);

/* Products along the pixels: c[f * ldc + j] += the sum over r < rows and i < length of a[f * lda + r * length + i] *
 * b[offset[r * count + j] + i], f < filters, j < count. Which sums are made before they are added is the instruction
 * set's, and depends on the arguments' sizes alone. */
typedef struct cbn_dot_arguments {
  int64_t rows, length;
  const float *a;
  int64_t lda, filters;
  const float *b;
  const int32_t *offset;
  int64_t count;
  float *c;
  int64_t ldc;
} cbn_dot_arguments;

typedef void cbn_dot_kernel(const cbn_dot_arguments *arguments);

/* The sum in f64 of x[i * step], i < count; and, for each of the channels side by side, sum[c] += that of
 * x[i * step + c]. */
typedef double cbn_sum_row_kernel(const float *x, int64_t step, int64_t count);
typedef void cbn_sum_columns_kernel(double *sum, const float *x, int64_t step, int64_t count, int64_t channels);

/* to[i] = from[i * step], i < count. */
typedef void cbn_stage_row_kernel(float *to, const float *from, int64_t step, int64_t count);

/* to[c * pitch + i] = from[i * step + c], i < count, c < channels: reads pixels whose channels are neighbours. */
typedef void cbn_stage_columns_kernel(float *to, int64_t pitch, const float *from, int64_t step, int64_t count,
                                      int64_t channels);

/* Copies a tile that is not contiguous in the output from it (gather) or to it (scatter): tile[i * CBN_NR + j] and
 * c[i * channel_stride + pixel[j]], i < rows, j < pixels. */
typedef void cbn_gather_kernel(float *tile, const float *c, int64_t channel_stride, const int64_t *pixel, int64_t rows,
                               int64_t pixels);
typedef void cbn_scatter_kernel(float *c, const float *tile, int64_t channel_stride, const int64_t *pixel, int64_t rows,
                                int64_t pixels);

/* y[c] = fma chain over t of weight[t * channels + c] * tap[t][c], from bias[c]: one output pixel of a depthwise
 * convolution with the channels side by side. */
typedef void cbn_depthwise_kernel(float *y, const float *const *tap, int64_t taps, const float *weight,
                                  const float *bias, int64_t channels);

/* Moments of values x: how many, their sum, and the sum of squared deviations from a center; of a backward pass also
 * the sum of g, and of g times the deviations. */
typedef struct cbn_moments {
  double count, sum, squares;
  double gradient, product;
} cbn_moments;

enum { CBN_LANES = 16 }; /* channels that the column kernel takes together: a cache line of a pixel */

/* Two passes in f64 over `count` >= 1 neighbouring values, the second about their mean; meant for pieces that stay in
 * L1. Gradient and product are 0. */
typedef void cbn_moments_row_kernel(cbn_moments *moments, const float *x, int64_t count);

/* The same for CBN_LANES channels side by side: value i of lane c is x[i * step + c]; moments[c] is the lane's. */
typedef void cbn_moments_columns_kernel(cbn_moments *moments, const float *x, int64_t step, int64_t count);

/* The same with g: about `*center`, the sum then 0, or about the values' own mean where center is NULL. */
typedef void cbn_comoments_row_kernel(cbn_moments *moments, const float *x, const float *g, int64_t count,
                                      const double *center);

/* CBN_LANES channels, one center each, or NULL. */
typedef void cbn_comoments_columns_kernel(cbn_moments *moments, const float *x, int64_t x_step, const float *g,
                                          int64_t g_step, int64_t count, const double *center);

/* One channel's factors: y = ((x - mean) * scale) * weight + bias, the last two steps fused where the ISA has FMA;
 * scale = 1/sqrt(var + epsilon). */
typedef struct cbn_factors {
  float mean, scale, weight, bias;
} cbn_factors;

/* One channel, `count` values in a row. */
typedef void cbn_normalize_row_kernel(float *y, const float *x, int64_t count, const cbn_factors *factors);

/* `channels` channels side by side, their factors in four arrays. */
typedef void cbn_normalize_columns_kernel(float *y, const float *x, int64_t channels, const float *mean,
                                          const float *scale, const float *weight, const float *bias);

/* One channel's factors of grad_input = ((g - gradient) - ((x - mean) * scale) * product) * slope, the second
 * difference fused where the ISA has FMA: gradient = sum g / L, product = sum g z / L, slope = weight * scale. */
typedef struct cbn_gradient_factors {
  float mean, scale, gradient, product, slope;
} cbn_gradient_factors;

typedef void cbn_gradient_row_kernel(float *y, const float *x, const float *g, int64_t count,
                                     const cbn_gradient_factors *factors);
typedef void cbn_gradient_columns_kernel(float *y, const float *x, const float *g, int64_t channels, const float *mean,
                                         const float *scale, const float *gradient, const float *product,
                                         const float *slope);

/* y = g * slope: grad_input where the running statistics normalised. */
typedef void cbn_scale_row_kernel(float *y, const float *g, int64_t count, float slope);
typedef void cbn_scale_columns_kernel(float *y, const float *g, int64_t channels, const float *slope);

/* `count` neighbours converted; to 16 bits in one rounding to nearest even: overflow to infinity, NaN to a quiet NaN,
 * subnormals kept. */
typedef void cbn_widen_kernel(float *to, const uint16_t *from, int64_t count);
typedef void cbn_narrow_kernel(uint16_t *to, const float *from, int64_t count);

typedef struct cbn_conv_kernels {
  cbn_tile_kernel *gemm[CBN_MR][CBN_NV];
  cbn_tile_kernel *igemm[CBN_MR][CBN_NV];
  cbn_row_kernel *row;
  cbn_pack_kernel *pack;
  cbn_stage_row_kernel *stage_row;
  cbn_stage_columns_kernel *stage_columns;
  cbn_gather_kernel *gather;
  cbn_scatter_kernel *scatter;
  cbn_depthwise_kernel *depthwise;
  cbn_transpose_kernel *transpose;
  cbn_dot_kernel *dot;
  cbn_sum_row_kernel *sum_row;
  cbn_sum_columns_kernel *sum_columns;
} cbn_conv_kernels;

typedef struct cbn_batchnorm_kernels {
  cbn_moments_row_kernel *moments_row;
  cbn_moments_columns_kernel *moments_columns;
  cbn_normalize_row_kernel *normalize_row;
  cbn_normalize_columns_kernel *normalize_columns;
  cbn_comoments_row_kernel *comoments_row;
  cbn_comoments_columns_kernel *comoments_columns;
  cbn_gradient_row_kernel *gradient_row;
  cbn_gradient_columns_kernel *gradient_columns;
  cbn_scale_row_kernel *scale_row;
  cbn_scale_columns_kernel *scale_columns;
} cbn_batchnorm_kernels;

typedef struct cbn_convert_kernels {
  cbn_widen_kernel *widen_f16, *widen_bf16;
  cbn_narrow_kernel *narrow_f16, *narrow_bf16;
} cbn_convert_kernels;

/* The instruction sets, best first. */
#define CBN_FAST_ISAS(X) X(avx2) X(portable)

#define CBN_FAST_TABLES(NAME)                                                                                          \
  extern const cbn_conv_kernels cbn_conv_kernels_##NAME;                                                               \
  extern const cbn_batchnorm_kernels cbn_batchnorm_kernels_##NAME;                                                     \
  extern const cbn_convert_kernels cbn_convert_kernels_##NAME;
CBN_FAST_ISAS(CBN_FAST_TABLES)
#undef CBN_FAST_TABLES

typedef struct cbn_fast_kernels {
  const char *isa;
  const cbn_conv_kernels *conv;
  const cbn_batchnorm_kernels *batchnorm;
  const cbn_convert_kernels *convert;
} cbn_fast_kernels;

/* Finds the tables of that name, or the best ones for ""; false if there are none or this processor lacks them. */
bool cbn_fast_kernels_by_name(const char *isa, cbn_fast_kernels *kernels);

#endif
