/* fast/f32_batchnorm_avx2.c - batch normalization's inner loops for AVX2 and FMA; sums in f64, the rest in f32.
 * Compiled with -mavx2 -mfma, and reached only through the table at the end, on processors that have them. */
#include "fast/kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <stddef.h>

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
  *moments = (cbn_moments){.count = (double)count, .sum = sum_row(x, count)};
  moments->squares = squares_row(x, count, moments->sum / (double)count);
}

/* Four values, or four channels: squared deviations, gradients, their products. */
typedef struct triple {
  __m256d squares, gradient, product;
} triple;

static inline void add_triple(triple *t, const float *x, const float *g, __m256d mean) {
  const __m256d d = _mm256_sub_pd(widen(x), mean), gradient = widen(g);
  t->squares = _mm256_fmadd_pd(d, d, t->squares);
  t->gradient = _mm256_add_pd(t->gradient, gradient);
  t->product = _mm256_fmadd_pd(gradient, d, t->product);
}

static void f32_comoments_row__avx2(cbn_moments *moments, const float *x, const float *g, int64_t count,
                                    const double *center) {
  const double sum = center ? 0 : sum_row(x, count);
  const double mean = center ? *center : sum / (double)count;
  const __m256d zero = _mm256_setzero_pd(), means = _mm256_set1_pd(mean);
  triple t0 = {zero, zero, zero}, t1 = t0, t2 = t0;
  int64_t i = 0;
  for (; i + 12 <= count; i += 12) {
    add_triple(&t0, x + i, g + i, means);
    add_triple(&t1, x + i + 4, g + i + 4, means);
    add_triple(&t2, x + i + 8, g + i + 8, means);
  }
  for (; i + 4 <= count; i += 4) add_triple(&t0, x + i, g + i, means);
  *moments = (cbn_moments){
      .count = (double)count,
      .sum = sum,
      .squares = sum4(_mm256_add_pd(_mm256_add_pd(t0.squares, t1.squares), t2.squares)),
      .gradient = sum4(_mm256_add_pd(_mm256_add_pd(t0.gradient, t1.gradient), t2.gradient)),
      .product = sum4(_mm256_add_pd(_mm256_add_pd(t0.product, t1.product), t2.product)),
  };
  for (; i < count; i++) {
    const double d = (double)x[i] - mean;
    moments->squares = __builtin_fma(d, d, moments->squares);
    moments->gradient += (double)g[i];
    moments->product = __builtin_fma((double)g[i], d, moments->product);
  }
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
  for (int c = 0; c < CBN_LANES; c++) {
    moments[c] = (cbn_moments){.count = (double)count, .sum = sum[c], .squares = squares[c]};
  }
}

/* Eight channels: two triples and two centers are as much as the registers hold. */
static void comoments8(cbn_moments *moments, const float *x, int64_t x_step, const float *g, int64_t g_step,
                       int64_t count, const double *center) {
  enum { EIGHT = 8 };
  const __m256d zero = _mm256_setzero_pd(), n = _mm256_set1_pd((double)count);
  __m256d s0 = zero, s1 = zero;
  for (int64_t i = 0; i < count && !center; i++) {
    s0 = _mm256_add_pd(s0, widen(x + i * x_step));
    s1 = _mm256_add_pd(s1, widen(x + i * x_step + 4));
  }
  const __m256d m0 = center ? _mm256_loadu_pd(center) : _mm256_div_pd(s0, n);
  const __m256d m1 = center ? _mm256_loadu_pd(center + 4) : _mm256_div_pd(s1, n);
  triple t0 = {zero, zero, zero}, t1 = t0;
  for (int64_t i = 0; i < count; i++) {
    add_triple(&t0, x + i * x_step, g + i * g_step, m0);
    add_triple(&t1, x + i * x_step + 4, g + i * g_step + 4, m1);
  }
  double sum[EIGHT], squares[EIGHT], gradient[EIGHT], product[EIGHT];
  _mm256_storeu_pd(sum, s0);
  _mm256_storeu_pd(sum + 4, s1);
  _mm256_storeu_pd(squares, t0.squares);
  _mm256_storeu_pd(squares + 4, t1.squares);
  _mm256_storeu_pd(gradient, t0.gradient);
  _mm256_storeu_pd(gradient + 4, t1.gradient);
  _mm256_storeu_pd(product, t0.product);
  _mm256_storeu_pd(product + 4, t1.product);
  for (int c = 0; c < EIGHT; c++)
    moments[c] = (cbn_moments){(double)count, sum[c], squares[c], gradient[c], product[c]};
}

static void f32_comoments_columns__avx2(cbn_moments *moments, const float *x, int64_t x_step, const float *g,
                                        int64_t g_step, int64_t count, const double *center) {
  for (int c = 0; c < CBN_LANES; c += 8)
    comoments8(moments + c, x + c, x_step, g + c, g_step, count, center ? center + c : NULL);
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

static inline __m256 gradient8(const float *x, const float *g, __m256 mean, __m256 scale, __m256 gradient,
                               __m256 product, __m256 slope) {
  const __m256 z = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x), mean), scale);
  const __m256 centered = _mm256_sub_ps(_mm256_loadu_ps(g), gradient);
  return _mm256_mul_ps(_mm256_fnmadd_ps(z, product, centered), slope);
}

static void f32_gradient_row__avx2(float *y, const float *x, const float *g, int64_t count,
                                   const cbn_gradient_factors *f) {
  const __m256 m = _mm256_set1_ps(f->mean), s = _mm256_set1_ps(f->scale), a = _mm256_set1_ps(f->gradient);
  const __m256 b = _mm256_set1_ps(f->product), k = _mm256_set1_ps(f->slope);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256 y0 = gradient8(x + i, g + i, m, s, a, b, k), y1 = gradient8(x + i + 8, g + i + 8, m, s, a, b, k);
    _mm256_storeu_ps(y + i, y0);
    _mm256_storeu_ps(y + i + 8, y1);
  }
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, gradient8(x + i, g + i, m, s, a, b, k));
  for (; i < count; i++)
    y[i] = __builtin_fmaf(-((x[i] - f->mean) * f->scale), f->product, g[i] - f->gradient) * f->slope;
}

static void f32_gradient_columns__avx2(float *y, const float *x, const float *g, int64_t channels, const float *mean,
                                       const float *scale, const float *gradient, const float *product,
                                       const float *slope) {
  int64_t c = 0;
  for (; c + 8 <= channels; c += 8) {
    _mm256_storeu_ps(
        y + c, gradient8(x + c, g + c, _mm256_loadu_ps(mean + c), _mm256_loadu_ps(scale + c),
                         _mm256_loadu_ps(gradient + c), _mm256_loadu_ps(product + c), _mm256_loadu_ps(slope + c)));
  }
  for (; c < channels; c++)
    y[c] = __builtin_fmaf(-((x[c] - mean[c]) * scale[c]), product[c], g[c] - gradient[c]) * slope[c];
}

static void f32_scale_row__avx2(float *y, const float *g, int64_t count, float slope) {
  const __m256 k = _mm256_set1_ps(slope);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(g + i), k));
  for (; i < count; i++) y[i] = g[i] * slope;
}

static void f32_scale_columns__avx2(float *y, const float *g, int64_t channels, const float *slope) {
  int64_t c = 0;
  for (; c + 8 <= channels; c += 8)
    _mm256_storeu_ps(y + c, _mm256_mul_ps(_mm256_loadu_ps(g + c), _mm256_loadu_ps(slope + c)));
  for (; c < channels; c++) y[c] = g[c] * slope[c];
}

const cbn_batchnorm_kernels cbn_batchnorm_kernels_avx2 = {
    .moments_row = f32_moments_row__avx2,
    .moments_columns = f32_moments_columns__avx2,
    .normalize_row = f32_normalize_row__avx2,
    .normalize_columns = f32_normalize_columns__avx2,
    .comoments_row = f32_comoments_row__avx2,
    .comoments_columns = f32_comoments_columns__avx2,
    .gradient_row = f32_gradient_row__avx2,
    .gradient_columns = f32_gradient_columns__avx2,
    .scale_row = f32_scale_row__avx2,
    .scale_columns = f32_scale_columns__avx2,
};
#endif
