#include "core/halves.h"

#include <math.h>

/* A binary interchange format of 16 bits: `precision` significant bits (hidden one included), exponents from
 * `least`. */
typedef struct format {
  int precision, least_exponent, greatest_exponent;
} format;

static const format f16 = {11, -14, 15}, bf16 = {8, -126, 127};

static double decode(const format *f, uint16_t bits) {
  const int fraction_bits = f->precision - 1;
  const int exponent_field = (bits & 0x7fff) >> fraction_bits;
  const double fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int bias = f->greatest_exponent;
  if (exponent_field == 2 * bias + 1) return fraction != 0 ? NAN : sign * INFINITY;
  if (exponent_field == 0) return sign * ldexp(fraction, f->least_exponent - fraction_bits);
  return sign * ldexp(fraction + (double)(1 << fraction_bits), exponent_field - bias - fraction_bits);
}

static uint16_t encode(const format *f, double value) {
  const int fraction_bits = f->precision - 1;
  const uint16_t sign = signbit(value) ? 0x8000 : 0;
  const uint16_t infinity = (uint16_t)((2 * f->greatest_exponent + 1) << fraction_bits);
  if (isnan(value)) return (uint16_t)(sign | infinity | (1 << (fraction_bits - 1)));
  if (isinf(value)) return sign | infinity;
  int exponent;
  frexp(value, &exponent);
  exponent--; /* |value| in [2^exponent, 2^(exponent+1)) */
  if (value == 0 || exponent < f->least_exponent) exponent = f->least_exponent;
  /* In units of the last place the significand is an integer after rounding; rint rounds to nearest even, and carries
   * into the exponent field by itself. */
  const double significand = rint(ldexp(fabs(value), fraction_bits - exponent));
  if (exponent > f->greatest_exponent) return sign | infinity;
  const int field = exponent - f->least_exponent; /* the hidden bit, where present, adds the missing 1 */
  const uint32_t magnitude = ((uint32_t)field << fraction_bits) + (uint32_t)significand;
  return (uint16_t)(sign | (magnitude >= infinity ? infinity : magnitude));
}

double cbn_f16_to_f64(uint16_t bits) { return decode(&f16, bits); }
double cbn_bf16_to_f64(uint16_t bits) { return decode(&bf16, bits); }
uint16_t cbn_f64_to_f16(double value) { return encode(&f16, value); }
uint16_t cbn_f64_to_bf16(double value) { return encode(&bf16, value); }
