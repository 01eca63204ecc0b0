/* fast/f32_convert_avx2.c - f16 (F16C) and bf16 (AVX2) to and from f32, eight at a time.
 * Compiled with -mavx2 -mf16c, and reached only through the table at the end, on processors that have them. */
#include "fast/kernels.h"

#if defined(__AVX2__) && defined(__F16C__)
#include <immintrin.h>
#include <string.h>

enum { VECTOR = 8 };

static inline void widen8_f16(float *to, const uint16_t *from) {
  _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from)));
}

static inline void widen8_bf16(float *to, const uint16_t *from) {
  const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from));
  _mm256_storeu_ps(to, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)));
}

static inline void narrow8_f16(uint16_t *to, const float *from) {
  const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm_storeu_si128((__m128i *)to, halves);
}

/* Adds just under a half, or a half where the last bit that stays is odd; a NaN is cut and made quiet instead. */
static inline void narrow8_bf16(uint16_t *to, const float *from) {
  const __m256 value = _mm256_loadu_ps(from);
  const __m256i bits = _mm256_castps_si256(value), upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  const __m256i halves = _mm256_blendv_epi8(rounded, quiet, nan);
  _mm_storeu_si128((__m128i *)to,
                   _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}

/* The last few go through a vector of their own. */
#define CBN_WIDEN(NAME)                                                                                                \
  static void f32_widen_##NAME##__avx2(float *to, const uint16_t *from, int64_t count) {                               \
    int64_t i = 0;                                                                                                     \
    for (; i + VECTOR <= count; i += VECTOR) widen8_##NAME(to + i, from + i);                                          \
    if (i == count) return;                                                                                            \
    uint16_t last[VECTOR] = {0};                                                                                       \
    float wide[VECTOR];                                                                                                \
    memcpy(last, from + i, (size_t)(count - i) * sizeof *from);                                                        \
    widen8_##NAME(wide, last);                                                                                         \
    memcpy(to + i, wide, (size_t)(count - i) * sizeof *to);                                                            \
  }

#define CBN_NARROW(NAME)                                                                                               \
  static void f32_narrow_##NAME##__avx2(uint16_t *to, const float *from, int64_t count) {                              \
    int64_t i = 0;                                                                                                     \
    for (; i + VECTOR <= count; i += VECTOR) narrow8_##NAME(to + i, from + i);                                         \
    if (i == count) return;                                                                                            \
    float last[VECTOR] = {0};                                                                                          \
    uint16_t narrow[VECTOR];                                                                                           \
    memcpy(last, from + i, (size_t)(count - i) * sizeof *from);                                                        \
    narrow8_##NAME(narrow, last);                                                                                      \
    memcpy(to + i, narrow, (size_t)(count - i) * sizeof *to);                                                          \
  }

CBN_WIDEN(f16)
CBN_WIDEN(bf16)
CBN_NARROW(f16)
CBN_NARROW(bf16)

const cbn_convert_kernels cbn_convert_kernels_avx2 = {
    .widen_f16 = f32_widen_f16__avx2,
    .widen_bf16 = f32_widen_bf16__avx2,
    .narrow_f16 = f32_narrow_f16__avx2,
    .narrow_bf16 = f32_narrow_bf16__avx2,
};
#endif
