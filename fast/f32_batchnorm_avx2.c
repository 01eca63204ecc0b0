/* fast/f32_batchnorm_avx2.c - batch normalization's inner loops for AVX2 and FMA; sums in f64, the rest in f32.
 * Compiled with -mavx2 -mfma, and reached only through the table at the end, on processors that have them. */
#include "fast/kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

static inline __m256d widen(const float *x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }

static inline double sum4(__m256d v) {
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/* Four sums run side by side, to hide the latency of an addition. */
static double sum_row(const float *x, int64_t count) {
  __m256d s0 = _mm256_setzero_pd(), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    s0 = _mm256_add_pd(s0, widen(x + i));
    s1 = _mm256_add_pd(s1, widen(x + i + 4));
    s2 = _mm256_add_pd(s2, widen(x + i + 8));
    s3 = _mm256_add_pd(s3, widen(x + i + 12));
  }
  for (; i + 4 <= count; i += 4) s0 = _mm256_add_pd(s0, widen(x + i));
  double sum = sum4(_mm256_add_pd(_mm256_add_pd(s0, s1), _mm256_add_pd(s2, s3)));
  for (; i < count; i++) sum += (double)x[i];
  return sum;
}

static inline __m256d add_square(__m256d s, const float *x, __m256d mean) {
  const __m256d d = _mm256_sub_pd(widen(x), mean);
  return _mm256_fmadd_pd(d, d, s);
}

static double squares_row(const float *x, int64_t count, double center) {
  const __m256d mean = _mm256_set1_pd(center);
  __m256d s0 = _mm256_setzero_pd(), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    s0 = add_square(s0, x + i, mean);
    s1 = add_square(s1, x + i + 4, mean);
    s2 = add_square(s2, x + i + 8, mean);
    s3 = add_square(s3, x + i + 12, mean);
  }
  for (; i + 4 <= count; i += 4) s0 = add_square(s0, x + i, mean);
  double sum = sum4(_mm256_add_pd(_mm256_add_pd(s0, s1), _mm256_add_pd(s2, s3)));
  for (; i < count; i++) sum = __builtin_fma((double)x[i] - center, (double)x[i] - center, sum);
  return sum;
}

static void f32_moments_row__avx2(cbn_moments *moments, const float *x, int64_t count) {
  moments->count = (double)count;
  moments->sum = sum_row(x, count);
  moments->squares = squares_row(x, count, moments->sum / (double)count);
}

static inline void store4(double *to, __m256d a, __m256d b, __m256d c, __m256d d) {
  _mm256_storeu_pd(to, a);
  _mm256_storeu_pd(to + 4, b);
  _mm256_storeu_pd(to + 8, c);
  _mm256_storeu_pd(to + 12, d);
}

/* Sixteen channels are one cache line of a pixel, and four vectors of f64. */
static void f32_moments_columns__avx2(cbn_moments *moments, const float *x, int64_t step, int64_t count) {
  __m256d s0 = _mm256_setzero_pd(), s1 = s0, s2 = s0, s3 = s0;
  for (int64_t i = 0; i < count; i++) {
    const float *row = x + i * step;
    s0 = _mm256_add_pd(s0, widen(row));
    s1 = _mm256_add_pd(s1, widen(row + 4));
    s2 = _mm256_add_pd(s2, widen(row + 8));
    s3 = _mm256_add_pd(s3, widen(row + 12));
  }
  const __m256d n = _mm256_set1_pd((double)count);
  const __m256d m0 = _mm256_div_pd(s0, n), m1 = _mm256_div_pd(s1, n);
  const __m256d m2 = _mm256_div_pd(s2, n), m3 = _mm256_div_pd(s3, n);
  double sum[CBN_LANES], squares[CBN_LANES];
  store4(sum, s0, s1, s2, s3);
  s0 = s1 = s2 = s3 = _mm256_setzero_pd();
  for (int64_t i = 0; i < count; i++) {
    const float *row = x + i * step;
    s0 = add_square(s0, row, m0);
    s1 = add_square(s1, row + 4, m1);
    s2 = add_square(s2, row + 8, m2);
    s3 = add_square(s3, row + 12, m3);
  }
  store4(squares, s0, s1, s2, s3);
  for (int c = 0; c < CBN_LANES; c++) moments[c] = (cbn_moments){(double)count, sum[c], squares[c]};
}

static inline __m256 normalize8(const float *x, __m256 mean, __m256 scale, __m256 weight, __m256 bias) {
  return _mm256_fmadd_ps(_mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x), mean), scale), weight, bias);
}

static void f32_normalize_row__avx2(float *y, const float *x, int64_t count, const cbn_factors *f) {
  const __m256 m = _mm256_set1_ps(f->mean), s = _mm256_set1_ps(f->scale);
  const __m256 w = _mm256_set1_ps(f->weight), b = _mm256_set1_ps(f->bias);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256 y0 = normalize8(x + i, m, s, w, b), y1 = normalize8(x + i + 8, m, s, w, b);
    _mm256_storeu_ps(y + i, y0);
    _mm256_storeu_ps(y + i + 8, y1);
  }
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, normalize8(x + i, m, s, w, b));
  for (; i < count; i++) y[i] = __builtin_fmaf((x[i] - f->mean) * f->scale, f->weight, f->bias);
}

static void f32_normalize_columns__avx2(float *y, const float *x, int64_t channels, const float *mean,
                                        const float *scale, const float *weight, const float *bias) {
  int64_t c = 0;
  for (; c + 8 <= channels; c += 8) {
    _mm256_storeu_ps(y + c, normalize8(x + c, _mm256_loadu_ps(mean + c), _mm256_loadu_ps(scale + c),
                                       _mm256_loadu_ps(weight + c), _mm256_loadu_ps(bias + c)));
  }
  for (; c < channels; c++) y[c] = __builtin_fmaf((x[c] - mean[c]) * scale[c], weight[c], bias[c]);
}

const cbn_batchnorm_kernels cbn_batchnorm_kernels_avx2 = {
    .moments_row = f32_moments_row__avx2,
    .moments_columns = f32_moments_columns__avx2,
    .normalize_row = f32_normalize_row__avx2,
    .normalize_columns = f32_normalize_columns__avx2,
};
#endif
