/* fast/f32_conv_avx2.c - convolution's inner loops for AVX2 and FMA. Compiled with -mavx2 -mfma, and reached only
 * through the table at the end, on processors that have them. */
#include "fast/kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

/* Loops of constant length over a few registers. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif
#define INLINE static inline __attribute__((always_inline))

/* Accumulators have names, not indices: an array of them is one that some compilers keep in memory. `mr` and `nv` are
 * constants wherever this is inlined, so what is beyond them vanishes. */
#define ROWS(X) X(0) X(1) X(2) X(3)

INLINE __m256 start_of(const cbn_tile_arguments *t, int i, int j) {
  return t->init ? _mm256_broadcast_ss(t->init + i) : _mm256_loadu_ps(t->c + i * t->ldc + j * CBN_VL);
}

INLINE void tile(int mr, int nv, bool indirect, const cbn_tile_arguments *t) {
  const float *a = t->a, *b = t->b;
  const int32_t *offset = t->offset;
  const int64_t lda = t->lda, ka = t->ka;
  const __m256 zero = _mm256_setzero_ps();
#define START(I)                                                                                                       \
  __m256 acc##I##0 = mr > I ? start_of(t, I, 0) : zero;                                                                \
  __m256 acc##I##1 = mr > I && nv > 1 ? start_of(t, I, 1) : zero;                                                      \
  __m256 acc##I##2 = mr > I && nv > 2 ? start_of(t, I, 2) : zero;
  ROWS(START)
#undef START
  for (int64_t k = t->k; k > 0; k--) {
    const float *row = indirect ? b + *offset++ : b;
    const __m256 pixels0 = _mm256_loadu_ps(row);
    const __m256 pixels1 = nv > 1 ? _mm256_loadu_ps(row + CBN_VL) : zero;
    const __m256 pixels2 = nv > 2 ? _mm256_loadu_ps(row + 2 * CBN_VL) : zero;
#define STEP(I)                                                                                                        \
  if (mr > I) {                                                                                                        \
    const __m256 weight = _mm256_broadcast_ss(a + I * lda);                                                            \
    acc##I##0 = _mm256_fmadd_ps(weight, pixels0, acc##I##0);                                                           \
    if (nv > 1) acc##I##1 = _mm256_fmadd_ps(weight, pixels1, acc##I##1);                                               \
    if (nv > 2) acc##I##2 = _mm256_fmadd_ps(weight, pixels2, acc##I##2);                                               \
  }
    ROWS(STEP)
#undef STEP
    a += ka;
    if (!indirect) b += CBN_NR;
  }
#define STORE(I)                                                                                                       \
  if (mr > I) {                                                                                                        \
    float *c = t->c + I * t->ldc;                                                                                      \
    _mm256_storeu_ps(c, acc##I##0);                                                                                    \
    if (nv > 1) _mm256_storeu_ps(c + CBN_VL, acc##I##1);                                                               \
    if (nv > 2) _mm256_storeu_ps(c + 2 * CBN_VL, acc##I##2);                                                           \
  }
  ROWS(STORE)
#undef STORE
}

#define TILE(MR, NV)                                                                                                   \
  static void f32_gemm_##MR##x##NV##v__avx2(const cbn_tile_arguments *t) { tile(MR, NV, false, t); }                   \
  static void f32_igemm_##MR##x##NV##v__avx2(const cbn_tile_arguments *t) { tile(MR, NV, true, t); }
CBN_FAST_TILES(TILE)
#undef TILE

#define VECTORS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* `vectors` vectors of one row at `first`; of the last one, if `masked`, only the mask's pixels exist. */
INLINE void row_vectors(int vectors, bool masked, const cbn_tile_arguments *t, int64_t first, __m256i mask) {
  float *c = t->c + first;
  const int whole = masked ? vectors - 1 : vectors;
  const __m256 zero = _mm256_setzero_ps();
#define START(V)                                                                                                       \
  __m256 acc##V = V >= vectors ? zero                                                                                  \
                  : t->init    ? _mm256_broadcast_ss(t->init)                                                          \
                  : V < whole  ? _mm256_loadu_ps(c + V * CBN_VL)                                                       \
                               : _mm256_maskload_ps(c + V * CBN_VL, mask);
  VECTORS(START)
#undef START
  const float *a = t->a, *b = t->b + first;
  for (int64_t k = 0; k < t->k; k++, a += t->ka) {
    const __m256 weight = _mm256_broadcast_ss(a);
    const float *row = b + t->offset[k];
#define STEP(V)                                                                                                        \
  if (V < vectors) acc##V = _mm256_fmadd_ps(weight, _mm256_loadu_ps(row + V * CBN_VL), acc##V);
    VECTORS(STEP)
#undef STEP
  }
#define STORE(V)                                                                                                       \
  if (V < whole) _mm256_storeu_ps(c + V * CBN_VL, acc##V);                                                             \
  else if (V < vectors) _mm256_maskstore_ps(c + V * CBN_VL, mask, acc##V);
  VECTORS(STORE)
#undef STORE
}

#define ROW_VECTORS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)

static void f32_row__avx2(const cbn_tile_arguments *t, int64_t count) {
  int64_t first = 0;
  const int64_t rest = count % CBN_VL;
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)rest), lane);
  for (; first + 64 <= count; first += 64) row_vectors(8, false, t, first, mask);
  switch ((count - first + CBN_VL - 1) / CBN_VL) {
#define ROW_CASE(V)                                                                                                    \
  case V:                                                                                                              \
    if (rest == 0) row_vectors(V, false, t, first, mask);                                                              \
    else row_vectors(V, true, t, first, mask);                                                                         \
    break;
    ROW_VECTORS(ROW_CASE)
#undef ROW_CASE
  default: break;
  }
}

/* Whole rows: 24 pixels in one piece, by far the most common panel. */
static void pack_whole(float *panel, int64_t count, const cbn_segment *s) {
  for (int64_t k = 0; k < count; k++, panel += CBN_NR) {
    const float *from = s->source + s->offset[k];
    UNROLL for (int j = 0; j < CBN_NV; j++) _mm256_storeu_ps(panel + j * CBN_VL, _mm256_loadu_ps(from + j * CBN_VL));
  }
}

/* A vector too many is written at each segment's end; the next segment, or the next row, overwrites it. */
static void f32_pack__avx2(float *panel, int64_t count, const cbn_segment *segment, int segments) {
  if (segments == 1 && segment->length == CBN_NR) {
    pack_whole(panel, count, segment);
    return;
  }
  for (int64_t k = 0; k < count; k++, panel += CBN_NR) {
    float *to = panel;
    for (int s = 0; s < segments; s++) {
      const float *from = segment[s].source + segment[s].offset[k];
      const int64_t length = segment[s].length;
      for (int64_t j = 0; j < length; j += CBN_VL) _mm256_storeu_ps(to + j, _mm256_loadu_ps(from + j));
      to += length;
    }
  }
}

static void copy_row(float *to, const float *from, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(to + i, _mm256_loadu_ps(from + i));
  for (; i < count; i++) to[i] = from[i];
}

/* Every second element of 16; the last pair is left to the scalar loop, since its odd half may not exist. */
static void copy_row_step2(float *to, const float *from, int64_t count) {
  int64_t i = 0;
  for (; i + 8 < count; i += 8) {
    const __m256 low = _mm256_loadu_ps(from + 2 * i), high = _mm256_loadu_ps(from + 2 * i + 8);
    const __m256 even = _mm256_shuffle_ps(low, high, 0x88); /* 0 2 8 10 | 4 6 12 14 */
    _mm256_storeu_ps(to + i, _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(even), 0xd8)));
  }
  for (; i < count; i++) to[i] = from[2 * i];
}

static void f32_stage_row__avx2(float *to, const float *from, int64_t step, int64_t count) {
  if (step == 1) {
    copy_row(to, from, count);
  } else if (step == 2) {
    copy_row_step2(to, from, count);
  } else {
    for (int64_t i = 0; i < count; i++) to[i] = from[i * step];
  }
}

/* 8 x 8 transposition: column c of the eight rows becomes to[c * pitch...]; the first `count` of them are stored. */
INLINE void transpose8(float *to, int64_t pitch, const float *const row[8], int64_t count) {
  __m256 r[8], s[8], t[8];
  UNROLL for (int i = 0; i < 4; i++) { /* rows i and i + 4 side by side */
    r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[i])), _mm_loadu_ps(row[i + 4]), 1);
    r[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[i] + 4)), _mm_loadu_ps(row[i + 4] + 4), 1);
  }
  UNROLL for (int h = 0; h < 8; h += 4) {
    s[h] = _mm256_unpacklo_ps(r[h], r[h + 1]);
    s[h + 1] = _mm256_unpackhi_ps(r[h], r[h + 1]);
    s[h + 2] = _mm256_unpacklo_ps(r[h + 2], r[h + 3]);
    s[h + 3] = _mm256_unpackhi_ps(r[h + 2], r[h + 3]);
  }
  UNROLL for (int h = 0; h < 8; h += 4) {
    t[h] = _mm256_shuffle_ps(s[h], s[h + 2], 0x44);
    t[h + 1] = _mm256_shuffle_ps(s[h], s[h + 2], 0xee);
    t[h + 2] = _mm256_shuffle_ps(s[h + 1], s[h + 3], 0x44);
    t[h + 3] = _mm256_shuffle_ps(s[h + 1], s[h + 3], 0xee);
  }
  if (count == 8) {
    UNROLL for (int i = 0; i < 8; i++) _mm256_storeu_ps(to + i * pitch, t[i]);
    return;
  }
#define STORE(I)                                                                                                       \
  if (I < count) _mm256_storeu_ps(to + I * pitch, t[I]);
  STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6)
#undef STORE
}

/* Rows of the panel beyond `rows` repeat the last one. */
static void f32_transpose__avx2(float *panel, const float *source, const int32_t *offset, int64_t rows,
                                int64_t length) {
  for (int64_t j = 0; j < rows; j += CBN_VL) {
    const float *row[CBN_VL];
    for (int64_t l = 0; l < CBN_VL; l++) row[l] = source + offset[j + l < rows ? j + l : rows - 1];
    float *to = panel + j;
    int64_t i = 0;
    for (; i + 8 <= length; i += 8, to += 8 * CBN_NR) {
      transpose8(to, CBN_NR, row, 8);
      UNROLL for (int l = 0; l < CBN_VL; l++) row[l] += 8;
    }
    if (i < length) transpose8(to, CBN_NR, row, length - i);
  }
}

static void f32_stage_columns__avx2(float *to, int64_t pitch, const float *from, int64_t step, int64_t count,
                                    int64_t channels) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    int64_t c = 0;
    const float *row[8];
    UNROLL for (int r = 0; r < 8; r++) row[r] = from + (i + r) * step;
    for (; c + 8 <= channels; c += 8) {
      transpose8(to + c * pitch + i, pitch, row, 8);
      UNROLL for (int r = 0; r < 8; r++) row[r] += 8;
    }
    for (; c < channels; c++) {
      for (int64_t r = i; r < i + 8; r++) to[c * pitch + r] = from[r * step + c];
    }
  }
  for (; i < count; i++) {
    for (int64_t c = 0; c < channels; c++) to[c * pitch + i] = from[i * step + c];
  }
}

/* Channels side by side, four of them: four pixels at a time through a 4 x 4 transposition. */
static void f32_gather__avx2(float *tile, const float *c, int64_t channel_stride, const int64_t *pixel, int64_t rows,
                             int64_t pixels) {
  int64_t j = 0;
  if (channel_stride == 1 && rows == CBN_MR) {
    for (; j + 4 <= pixels; j += 4) {
      __m128 p0 = _mm_loadu_ps(c + pixel[j]), p1 = _mm_loadu_ps(c + pixel[j + 1]);
      __m128 p2 = _mm_loadu_ps(c + pixel[j + 2]), p3 = _mm_loadu_ps(c + pixel[j + 3]);
      _MM_TRANSPOSE4_PS(p0, p1, p2, p3);
      _mm_storeu_ps(tile + j, p0);
      _mm_storeu_ps(tile + CBN_NR + j, p1);
      _mm_storeu_ps(tile + 2 * CBN_NR + j, p2);
      _mm_storeu_ps(tile + 3 * CBN_NR + j, p3);
    }
  }
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t q = j; q < pixels; q++) tile[i * CBN_NR + q] = c[i * channel_stride + pixel[q]];
  }
}

static void f32_scatter__avx2(float *c, const float *tile, int64_t channel_stride, const int64_t *pixel, int64_t rows,
                              int64_t pixels) {
  int64_t j = 0;
  if (channel_stride == 1 && rows == CBN_MR) {
    for (; j + 4 <= pixels; j += 4) {
      __m128 r0 = _mm_loadu_ps(tile + j), r1 = _mm_loadu_ps(tile + CBN_NR + j);
      __m128 r2 = _mm_loadu_ps(tile + 2 * CBN_NR + j), r3 = _mm_loadu_ps(tile + 3 * CBN_NR + j);
      _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
      _mm_storeu_ps(c + pixel[j], r0);
      _mm_storeu_ps(c + pixel[j + 1], r1);
      _mm_storeu_ps(c + pixel[j + 2], r2);
      _mm_storeu_ps(c + pixel[j + 3], r3);
    }
  }
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t q = j; q < pixels; q++) c[i * channel_stride + pixel[q]] = tile[i * CBN_NR + q];
  }
}

INLINE void depthwise_vectors(int vectors, float *y, const float *const *tap, int64_t taps, const float *weight,
                              const float *bias, int64_t channels, int64_t c) {
#define START(V) __m256 acc##V = V < vectors ? _mm256_loadu_ps(bias + c + V * CBN_VL) : _mm256_setzero_ps();
  ROWS(START)
#undef START
  for (int64_t t = 0; t < taps; t++) {
    const float *x = tap[t] + c, *w = weight + t * channels + c;
#define STEP(V)                                                                                                        \
  if (V < vectors) acc##V = _mm256_fmadd_ps(_mm256_loadu_ps(w + V * CBN_VL), _mm256_loadu_ps(x + V * CBN_VL), acc##V);
    ROWS(STEP)
#undef STEP
  }
#define STORE(V)                                                                                                       \
  if (V < vectors) _mm256_storeu_ps(y + c + V * CBN_VL, acc##V);
  ROWS(STORE)
#undef STORE
}

static void f32_depthwise__avx2(float *y, const float *const *tap, int64_t taps, const float *weight, const float *bias,
                                int64_t channels) {
  int64_t c = 0;
  for (; c + 32 <= channels; c += 32) depthwise_vectors(4, y, tap, taps, weight, bias, channels, c);
  for (; c + 8 <= channels; c += 8) depthwise_vectors(1, y, tap, taps, weight, bias, channels, c);
  for (; c < channels; c++) {
    float acc = bias[c];
    for (int64_t t = 0; t < taps; t++) acc = __builtin_fmaf(weight[t * channels + c], tap[t][c], acc);
    y[c] = acc;
  }
}

INLINE float sum_lanes(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

#define DOT_COLUMNS(X, I) X(I, 0) X(I, 1) X(I, 2) X(I, 3) X(I, 4) X(I, 5) X(I, 6) X(I, 7) X(I, 8)
#define DOT_TILE(X) DOT_COLUMNS(X, 0) DOT_COLUMNS(X, 1) DOT_COLUMNS(X, 2)
#define DOT_NINE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)

/* mr filters by nc rows of the matrix, of which `rows` exist; the others repeat the last one. */
INLINE void dot_tile(int mr, int nc, const cbn_dot_arguments *t, int64_t filter, int64_t first, int64_t rows) {
#define START(I, J) __m256 acc##I##J = _mm256_setzero_ps();
  DOT_TILE(START)
#undef START
  const int64_t whole = t->length / CBN_VL * CBN_VL, lda = t->lda;
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(t->length - whole)), lane);
  for (int64_t r = 0; r < t->rows; r++) {
    const float *a = t->a + filter * lda + r * t->length;
    const int32_t *offset = t->offset + r * t->count + first;
#define POINT(J) const float *b##J = t->b + (J < nc ? offset[J < rows ? J : rows - 1] : 0);
    DOT_NINE(POINT)
#undef POINT
#define WHOLE(P) _mm256_loadu_ps((P) + i)
#define MASKED(P) _mm256_maskload_ps((P) + whole, mask)
#define MULTIPLY(I, J)                                                                                                 \
  if (I < mr && J < nc) acc##I##J = _mm256_fmadd_ps(a##I, WHOLE(b##J), acc##I##J);
#define MULTIPLY_MASKED(I, J)                                                                                          \
  if (I < mr && J < nc) acc##I##J = _mm256_fmadd_ps(a##I, MASKED(b##J), acc##I##J);
    for (int64_t i = 0; i < whole; i += CBN_VL) {
      const __m256 a0 = WHOLE(a), a1 = mr > 1 ? WHOLE(a + lda) : a0, a2 = mr > 2 ? WHOLE(a + 2 * lda) : a0;
      DOT_TILE(MULTIPLY)
    }
    if (whole < t->length) {
      const __m256 a0 = MASKED(a), a1 = mr > 1 ? MASKED(a + lda) : a0, a2 = mr > 2 ? MASKED(a + 2 * lda) : a0;
      DOT_TILE(MULTIPLY_MASKED)
    }
#undef WHOLE
#undef MASKED
#undef MULTIPLY
#undef MULTIPLY_MASKED
  }
#define STORE(I, J)                                                                                                    \
  if (I < mr && J < nc && J < rows) t->c[(filter + I) * t->ldc + first + J] += sum_lanes(acc##I##J);
  DOT_TILE(STORE)
#undef STORE
}

/* Each sum in eight lanes through all rows, which are then added pairwise. */
static void f32_dot__avx2(const cbn_dot_arguments *t) {
  for (int64_t f = 0; f < t->filters;) {
    const int64_t filters = t->filters - f, step = filters == 1 ? 9 : filters == 2 ? 5 : 4;
    for (int64_t j = 0; j < t->count; j += step) {
      const int64_t rows = t->count - j < step ? t->count - j : step;
      if (filters == 1) dot_tile(1, 9, t, f, j, rows);
      else if (filters == 2) dot_tile(2, 5, t, f, j, rows);
      else dot_tile(3, 4, t, f, j, rows);
    }
    f += filters < 3 ? filters : 3;
  }
}

INLINE __m256d widen(const float *x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }

static double f32_sum_row__avx2(const float *x, int64_t step, int64_t count) {
  __m256d a = _mm256_setzero_pd(), b = a, c = a, d = a;
  int64_t i = 0;
  for (; step == 1 && i + 16 <= count; i += 16) {
    a = _mm256_add_pd(a, widen(x + i));
    b = _mm256_add_pd(b, widen(x + i + 4));
    c = _mm256_add_pd(c, widen(x + i + 8));
    d = _mm256_add_pd(d, widen(x + i + 12));
  }
  a = _mm256_add_pd(_mm256_add_pd(a, b), _mm256_add_pd(c, d));
  const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
  double sum = _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
  for (; i < count; i++) sum += (double)x[i * step];
  return sum;
}

static void f32_sum_columns__avx2(double *sum, const float *x, int64_t step, int64_t count, int64_t channels) {
  int64_t c = 0;
  for (; c + 16 <= channels; c += 16) {
    __m256d s[4];
    UNROLL for (int v = 0; v < 4; v++) s[v] = _mm256_loadu_pd(sum + c + 4 * v);
    for (int64_t i = 0; i < count; i++) {
      UNROLL for (int v = 0; v < 4; v++) s[v] = _mm256_add_pd(s[v], widen(x + i * step + c + 4 * v));
    }
    UNROLL for (int v = 0; v < 4; v++) _mm256_storeu_pd(sum + c + 4 * v, s[v]);
  }
  for (; c < channels; c++) {
    for (int64_t i = 0; i < count; i++) sum[c] += (double)x[i * step + c];
  }
}

#define GEMM(MR, NV) [MR - 1][NV - 1] = f32_gemm_##MR##x##NV##v__avx2,
#define IGEMM(MR, NV) [MR - 1][NV - 1] = f32_igemm_##MR##x##NV##v__avx2,
const cbn_conv_kernels cbn_conv_kernels_avx2 = {
    .gemm = {CBN_FAST_TILES(GEMM)},
    .igemm = {CBN_FAST_TILES(IGEMM)},
    .row = f32_row__avx2,
    .pack = f32_pack__avx2,
    .stage_row = f32_stage_row__avx2,
    .stage_columns = f32_stage_columns__avx2,
    .gather = f32_gather__avx2,
    .scatter = f32_scatter__avx2,
    .depthwise = f32_depthwise__avx2,
    .transpose = f32_transpose__avx2,
    .dot = f32_dot__avx2,
    .sum_row = f32_sum_row__avx2,
    .sum_columns = f32_sum_columns__avx2,
};
#endif
