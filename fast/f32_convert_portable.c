/* fast/f32_convert_portable.c - f16 and bf16 to and from f32 in plain C, by their bits. */
#include "fast/kernels.h"

#include <string.h>

/* Of the magnitude of an f32 as an integer: the order of magnitudes is that of integers. */
enum {
  F32_INFINITY = 0x7f800000,
  F16_OVERFLOW = 0x477ff000,  /* 65520, half-way between the greatest f16 and 2^16: from here on infinity */
  F16_NORMAL = 0x38800000,    /* 2^-14 */
  F16_UNDERFLOW = 0x33000000, /* 2^-25, half the smallest subnormal: up to here 0 */
  F16_REBIAS = (127 - 15) << 23
};

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float value_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* bits / 2^shift to nearest even, 1 <= shift <= 24; a carry out of the fraction moves into the exponent, as it must. */
static uint32_t shift_rounded(uint32_t bits, int shift) {
  const uint32_t half = (uint32_t)1 << (shift - 1);
  return (bits + half - 1 + (bits >> shift & 1)) >> shift;
}

static float widen_f16(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return value_of(sign | F32_INFINITY | (magnitude & 0x3ff) << 13);
  if (magnitude >= 0x400) return value_of(sign | ((magnitude << 13) + F16_REBIAS));
  const float subnormal = (float)magnitude * 0x1p-24f; /* exact */
  return sign ? -subnormal : subnormal;
}

static uint16_t narrow_f16(float value) {
  const uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffff;
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  uint32_t half;
  if (magnitude > F32_INFINITY) {
    half = 0x7e00 | (magnitude >> 13 & 0x3ff);
  } else if (magnitude >= F16_OVERFLOW) {
    half = 0x7c00;
  } else if (magnitude >= F16_NORMAL) {
    half = shift_rounded(magnitude - F16_REBIAS, 13);
  } else if (magnitude > F16_UNDERFLOW) {
    /* significand * 2^(exponent - 150), in units of 2^-24: exponent is 102 to 112 here. */
    half = shift_rounded((magnitude & 0x7fffff) | 0x800000, 126 - (int)(magnitude >> 23));
  } else {
    half = 0;
  }
  return (uint16_t)(sign | half);
}

static uint16_t narrow_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffff) > F32_INFINITY) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void f32_widen_f16__portable(float *to, const uint16_t *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = widen_f16(from[i]);
}

static void f32_widen_bf16__portable(float *to, const uint16_t *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = value_of((uint32_t)from[i] << 16);
}

static void f32_narrow_f16__portable(uint16_t *to, const float *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = narrow_f16(from[i]);
}

static void f32_narrow_bf16__portable(uint16_t *to, const float *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = narrow_bf16(from[i]);
}

const cbn_convert_kernels cbn_convert_kernels_portable = {
    .widen_f16 = f32_widen_f16__portable,
    .widen_bf16 = f32_widen_bf16__portable,
    .narrow_f16 = f32_narrow_f16__portable,
    .narrow_bf16 = f32_narrow_bf16__portable,
};
