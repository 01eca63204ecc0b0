/* fast/f32_batchnorm_portable.c - batch normalization's inner loops in plain C; sums in f64, the rest in f32. */
#include "fast/kernels.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* Sums run in eight lanes, so that a compiler may vectorise what it must not reorder. */
enum { SUMS = 8 };

static double fold(const double sum[SUMS]) {
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static double sum_row(const float *x, int64_t count) {
  double sum[SUMS] = {0};
  int64_t i = 0;
  for (; i + SUMS <= count; i += SUMS) {
    for (int l = 0; l < SUMS; l++) sum[l] += (double)x[i + l];
  }
  for (; i < count; i++) sum[i % SUMS] += (double)x[i];
  return fold(sum);
}

static double squares_row(const float *x, int64_t count, double mean) {
  double sum[SUMS] = {0};
  int64_t i = 0;
  for (; i + SUMS <= count; i += SUMS) {
    for (int l = 0; l < SUMS; l++) {
      const double d = (double)x[i + l] - mean;
      sum[l] += d * d;
    }
  }
  for (; i < count; i++) sum[i % SUMS] += ((double)x[i] - mean) * ((double)x[i] - mean);
  return fold(sum);
}

static void f32_moments_row__portable(cbn_moments *moments, const float *x, int64_t count) {
  *moments = (cbn_moments){.count = (double)count, .sum = sum_row(x, count)};
  moments->squares = squares_row(x, count, moments->sum / (double)count);
}

static void f32_comoments_row__portable(cbn_moments *moments, const float *x, const float *g, int64_t count,
                                        const double *center) {
  *moments = (cbn_moments){.count = (double)count, .sum = center ? 0 : sum_row(x, count)};
  const double mean = center ? *center : moments->sum / (double)count;
  double squares[SUMS] = {0}, gradient[SUMS] = {0}, product[SUMS] = {0};
  int64_t i = 0;
  for (; i + SUMS <= count; i += SUMS) {
    for (int l = 0; l < SUMS; l++) {
      const double d = (double)x[i + l] - mean;
      squares[l] += d * d;
      gradient[l] += (double)g[i + l];
      product[l] += (double)g[i + l] * d;
    }
  }
  for (; i < count; i++) {
    const double d = (double)x[i] - mean;
    squares[i % SUMS] += d * d;
    gradient[i % SUMS] += (double)g[i];
    product[i % SUMS] += (double)g[i] * d;
  }
  moments->squares = fold(squares);
  moments->gradient = fold(gradient);
  moments->product = fold(product);
}

static void f32_moments_columns__portable(cbn_moments *moments, const float *x, int64_t step, int64_t count) {
  double sum[CBN_LANES] = {0}, squares[CBN_LANES] = {0};
  for (int64_t i = 0; i < count; i++) {
    for (int c = 0; c < CBN_LANES; c++) sum[c] += (double)x[i * step + c];
  }
  for (int64_t i = 0; i < count; i++) {
    for (int c = 0; c < CBN_LANES; c++) {
      const double d = (double)x[i * step + c] - sum[c] / (double)count;
      squares[c] += d * d;
    }
  }
  for (int c = 0; c < CBN_LANES; c++) {
    moments[c] = (cbn_moments){.count = (double)count, .sum = sum[c], .squares = squares[c]};
  }
}

static void f32_comoments_columns__portable(cbn_moments *moments, const float *x, int64_t x_step, const float *g,
                                            int64_t g_step, int64_t count, const double *center) {
  double sum[CBN_LANES] = {0}, mean[CBN_LANES];
  for (int64_t i = 0; i < count && !center; i++) {
    for (int c = 0; c < CBN_LANES; c++) sum[c] += (double)x[i * x_step + c];
  }
  for (int c = 0; c < CBN_LANES; c++) {
    mean[c] = center ? center[c] : sum[c] / (double)count;
    moments[c] = (cbn_moments){.count = (double)count, .sum = sum[c]};
  }
  for (int64_t i = 0; i < count; i++) {
    for (int c = 0; c < CBN_LANES; c++) {
      const double d = (double)x[i * x_step + c] - mean[c], gradient = (double)g[i * g_step + c];
      moments[c].squares += d * d;
      moments[c].gradient += gradient;
      moments[c].product += gradient * d;
    }
  }
}

static void f32_normalize_row__portable(float *y, const float *x, int64_t count, const cbn_factors *f) {
  for (int64_t i = 0; i < count; i++) {
    const float product = (x[i] - f->mean) * f->scale * f->weight;
    y[i] = product + f->bias;
  }
}

static void f32_normalize_columns__portable(float *y, const float *x, int64_t channels, const float *mean,
                                            const float *scale, const float *weight, const float *bias) {
  for (int64_t c = 0; c < channels; c++) {
    const float product = (x[c] - mean[c]) * scale[c] * weight[c];
    y[c] = product + bias[c];
  }
}

static void f32_gradient_row__portable(float *y, const float *x, const float *g, int64_t count,
                                       const cbn_gradient_factors *f) {
  for (int64_t i = 0; i < count; i++) {
    const float product = (x[i] - f->mean) * f->scale * f->product;
    y[i] = (g[i] - f->gradient - product) * f->slope;
  }
}

static void f32_gradient_columns__portable(float *y, const float *x, const float *g, int64_t channels,
                                           const float *mean, const float *scale, const float *gradient,
                                           const float *product, const float *slope) {
  for (int64_t c = 0; c < channels; c++) {
    const float along = (x[c] - mean[c]) * scale[c] * product[c];
    y[c] = (g[c] - gradient[c] - along) * slope[c];
  }
}

static void f32_scale_row__portable(float *y, const float *g, int64_t count, float slope) {
  for (int64_t i = 0; i < count; i++) y[i] = g[i] * slope;
}

static void f32_scale_columns__portable(float *y, const float *g, int64_t channels, const float *slope) {
  for (int64_t c = 0; c < channels; c++) y[c] = g[c] * slope[c];
}

const cbn_batchnorm_kernels cbn_batchnorm_kernels_portable = {
    .moments_row = f32_moments_row__portable,
    .moments_columns = f32_moments_columns__portable,
    .normalize_row = f32_normalize_row__portable,
    .normalize_columns = f32_normalize_columns__portable,
    .comoments_row = f32_comoments_row__portable,
    .comoments_columns = f32_comoments_columns__portable,
    .gradient_row = f32_gradient_row__portable,
    .gradient_columns = f32_gradient_columns__portable,
    .scale_row = f32_scale_row__portable,
    .scale_columns = f32_scale_columns__portable,
};
