/* fast/f32_conv_portable.c - convolution's inner loops in plain C: the same tiles and packing as everywhere, for the
 * compiler to vectorise as it can. Products and sums round separately, so the bits are the same on every machine. */
#include "fast/kernels.h"

#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define INLINE static inline __attribute__((always_inline))

INLINE void tile(int mr, int nv, bool indirect, const cbn_tile_arguments *t) {
  const int width = nv * CBN_VL;
  float acc[CBN_MR][CBN_NR];
  for (int i = 0; i < mr; i++) {
    for (int j = 0; j < width; j++) acc[i][j] = t->init ? t->init[i] : t->c[i * t->ldc + j];
  }
  const float *a = t->a;
  for (int64_t k = 0; k < t->k; k++, a += t->ka) {
    const float *row = t->b + (indirect ? t->offset[k] : k * CBN_NR);
    for (int i = 0; i < mr; i++) {
      const float weight = a[i * t->lda];
      for (int j = 0; j < width; j++) {
        const float product = weight * row[j];
        acc[i][j] += product;
      }
    }
  }
  for (int i = 0; i < mr; i++) {
    for (int j = 0; j < width; j++) t->c[i * t->ldc + j] = acc[i][j];
  }
}

#define TILE(MR, NV)                                                                                                   \
  static void f32_gemm_##MR##x##NV##v__portable(const cbn_tile_arguments *t) { tile(MR, NV, false, t); }               \
  static void f32_igemm_##MR##x##NV##v__portable(const cbn_tile_arguments *t) { tile(MR, NV, true, t); }
CBN_FAST_TILES(TILE)
#undef TILE

static void f32_row__portable(const cbn_tile_arguments *t, int64_t count) {
  for (int64_t first = 0; first < count; first += CBN_NR) {
    const int64_t width = count - first < CBN_NR ? count - first : CBN_NR;
    float acc[CBN_NR];
    for (int64_t j = 0; j < width; j++) acc[j] = t->init ? t->init[0] : t->c[first + j];
    for (int64_t k = 0; k < t->k; k++) {
      const float *row = t->b + t->offset[k] + first, weight = t->a[k * t->ka];
      for (int64_t j = 0; j < width; j++) {
        const float product = weight * row[j];
        acc[j] += product;
      }
    }
    for (int64_t j = 0; j < width; j++) t->c[first + j] = acc[j];
  }
}

static void f32_pack__portable(float *panel, int64_t count, const cbn_segment *segment, int segments) {
  for (int64_t k = 0; k < count; k++, panel += CBN_NR) {
    float *to = panel;
    for (int s = 0; s < segments; s++) {
      memcpy(to, segment[s].source + segment[s].offset[k], (size_t)segment[s].length * sizeof *to);
      to += segment[s].length;
    }
  }
}

static void f32_stage_row__portable(float *to, const float *from, int64_t step, int64_t count) {
  if (step == 1) {
    memcpy(to, from, (size_t)count * sizeof *to);
  } else {
    for (int64_t i = 0; i < count; i++) to[i] = from[i * step];
  }
}

static void f32_stage_columns__portable(float *to, int64_t pitch, const float *from, int64_t step, int64_t count,
                                        int64_t channels) {
  for (int64_t i = 0; i < count; i++) {
    for (int64_t c = 0; c < channels; c++) to[c * pitch + i] = from[i * step + c];
  }
}

static void f32_gather__portable(float *tile, const float *c, int64_t channel_stride, const int64_t *pixel,
                                 int64_t rows, int64_t pixels) {
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < pixels; j++) tile[i * CBN_NR + j] = c[i * channel_stride + pixel[j]];
  }
}

static void f32_scatter__portable(float *c, const float *tile, int64_t channel_stride, const int64_t *pixel,
                                  int64_t rows, int64_t pixels) {
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < pixels; j++) c[i * channel_stride + pixel[j]] = tile[i * CBN_NR + j];
  }
}

static void f32_depthwise__portable(float *y, const float *const *tap, int64_t taps, const float *weight,
                                    const float *bias, int64_t channels) {
  for (int64_t c = 0; c < channels; c += CBN_VL) {
    float acc[CBN_VL];
    const int64_t width = channels - c < CBN_VL ? channels - c : CBN_VL;
    for (int64_t j = 0; j < width; j++) acc[j] = bias[c + j];
    for (int64_t t = 0; t < taps; t++) {
      const float *x = tap[t] + c, *w = weight + t * channels + c;
      for (int64_t j = 0; j < width; j++) {
        const float product = w[j] * x[j];
        acc[j] += product;
      }
    }
    for (int64_t j = 0; j < width; j++) y[c + j] = acc[j];
  }
}

static void f32_transpose__portable(float *panel, const float *source, const int32_t *offset, int64_t rows,
                                    int64_t length) {
  for (int64_t i = 0; i < length; i++) {
    for (int64_t j = 0; j < rows; j++) panel[i * CBN_NR + j] = source[offset[j] + i];
  }
}

/* Each sum in CBN_VL lanes, which are added in their order. */
static void f32_dot__portable(const cbn_dot_arguments *t) {
  for (int64_t f = 0; f < t->filters; f++) {
    for (int64_t j = 0; j < t->count; j++) {
      float lane[CBN_VL] = {0};
      for (int64_t r = 0; r < t->rows; r++) {
        const float *a = t->a + f * t->lda + r * t->length, *b = t->b + t->offset[r * t->count + j];
        int64_t i = 0;
        for (; i + CBN_VL <= t->length; i += CBN_VL) {
          for (int l = 0; l < CBN_VL; l++) {
            const float product = a[i + l] * b[i + l];
            lane[l] += product;
          }
        }
        for (int l = 0; i < t->length; i++, l++) {
          const float product = a[i] * b[i];
          lane[l] += product;
        }
      }
      float sum = 0;
      for (int l = 0; l < CBN_VL; l++) sum += lane[l];
      t->c[f * t->ldc + j] += sum;
    }
  }
}

static double f32_sum_row__portable(const float *x, int64_t step, int64_t count) {
  double lane[CBN_VL] = {0};
  int64_t i = 0;
  for (; i + CBN_VL <= count; i += CBN_VL) {
    for (int l = 0; l < CBN_VL; l++) lane[l] += (double)x[(i + l) * step];
  }
  double sum = 0;
  for (int l = 0; l < CBN_VL; l++) sum += lane[l];
  for (; i < count; i++) sum += (double)x[i * step];
  return sum;
}

static void f32_sum_columns__portable(double *sum, const float *x, int64_t step, int64_t count, int64_t channels) {
  for (int64_t i = 0; i < count; i++) {
    for (int64_t c = 0; c < channels; c++) sum[c] += (double)x[i * step + c];
  }
}

#define GEMM(MR, NV) [MR - 1][NV - 1] = f32_gemm_##MR##x##NV##v__portable,
#define IGEMM(MR, NV) [MR - 1][NV - 1] = f32_igemm_##MR##x##NV##v__portable,
const cbn_conv_kernels cbn_conv_kernels_portable = {
    .gemm = {CBN_FAST_TILES(GEMM)},
    .igemm = {CBN_FAST_TILES(IGEMM)},
    .row = f32_row__portable,
    .pack = f32_pack__portable,
    .stage_row = f32_stage_row__portable,
    .stage_columns = f32_stage_columns__portable,
    .gather = f32_gather__portable,
    .scatter = f32_scatter__portable,
    .depthwise = f32_depthwise__portable,
    .transpose = f32_transpose__portable,
    .dot = f32_dot__portable,
    .sum_row = f32_sum_row__portable,
    .sum_columns = f32_sum_columns__portable,
};
