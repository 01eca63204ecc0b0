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
  moments->count = (double)count;
  moments->sum = sum_row(x, count);
  moments->squares = squares_row(x, count, moments->sum / (double)count);
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
  for (int c = 0; c < CBN_LANES; c++) moments[c] = (cbn_moments){(double)count, sum[c], squares[c]};
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

const cbn_batchnorm_kernels cbn_batchnorm_kernels_portable = {
    .moments_row = f32_moments_row__portable,
    .moments_columns = f32_moments_columns__portable,
    .normalize_row = f32_normalize_row__portable,
    .normalize_columns = f32_normalize_columns__portable,
};
