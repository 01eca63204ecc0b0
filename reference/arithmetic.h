/* The arithmetics that bounds speak of: storage types, the type that an engine works in, and the constants of
 * rounding-error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., ch. 2, 3). */
#ifndef CBN_REFERENCE_ARITHMETIC_H
#define CBN_REFERENCE_ARITHMETIC_H

#include <assert.h>
#include <float.h>
#include <math.h>

#include <convbn/reference.h>

/* What the reference computes in: at least 64 significant bits, and the exponents of f64 and more. Its roundings are
 * 2^-11 of those of an engine that works in f64, 2^-40 of those in f32. */
typedef long double wide;
static_assert(LDBL_MANT_DIG >= 64 && LDBL_MAX_EXP > DBL_MAX_EXP, "the reference needs a long double wider than f64");
#define U_WIDE (LDBL_EPSILON / 2)
#define WIDE_BITS 64 /* what it has at least */

/* A floating-point format: unit roundoff, smallest subnormal, smallest normal, where rounding to nearest reaches
 * infinity, significant bits. */
typedef struct format {
  wide u, eta, normal, overflow;
  int precision;
} format;

static const format formats[] = {
    [CBN_F32] = {0x1p-24L, 0x1p-149L, 0x1p-126L, 0x1p128L - 0x1p103L, 24},
    [CBN_F64] = {0x1p-53L, 0x1p-1074L, 0x1p-1022L, 0x1.fffffffffffff8p1023L, 53},
    [CBN_F16] = {0x1p-11L, 0x1p-24L, 0x1p-14L, 65520, 11},
    [CBN_BF16] = {0x1p-8L, 0x1p-133L, 0x1p-126L, 0x1p128L - 0x1p119L, 8},
};

/* How a judged engine, or this reference, computes with tensors of one type. */
typedef struct arithmetic {
  wide u, eta;     /* of the working type; eta is what one operation may lose to underflow: the smallest subnormal,
                        * or the smallest normal where subnormals are flushed */
  wide normal;     /* of the working type: the smallest one */
  wide overflow;   /* of the working type */
  int precision;   /* of partial sums */
  int factor_bits; /* to which the factors of a convolution's products are cut; 0: they are not */
  bool flushes, two_pass;
} arithmetic;

static inline arithmetic engine_arithmetic(int32_t type, uint32_t classes) {
  const bool half = type == CBN_F16 || type == CBN_BF16, flushes = classes & CBN_FLUSHES_SUBNORMALS;
  const format *working = &formats[half && !(classes & CBN_NARROW_SUMS) ? CBN_F32 : type];
  const int factor_bits = type != CBN_F32 ? 0 : classes & CBN_BF16_PRODUCTS ? 8 : classes & CBN_TF32_PRODUCTS ? 11 : 0;
  return (arithmetic){.u = working->u,
                      .eta = flushes ? working->normal : working->eta,
                      .normal = working->normal,
                      .overflow = working->overflow,
                      .precision = working->precision,
                      .factor_bits = factor_bits,
                      .flushes = flushes,
                      .two_pass = classes & CBN_TWO_PASS_STATISTICS};
}

/* The reference itself: no underflow, sums divided by L. */
static const arithmetic reference_arithmetic = {.u = U_WIDE, .overflow = LDBL_MAX, .two_pass = true};

/* n*u / (1 - n*u): the relative error of n roundings in a row is at most that. Needs n*u < 1. */
static inline wide gamma_of(wide n, wide u) { return n * u / (1 - n * u); }

/* An upper bound of a positive quantity that took a few roundings to compute (up to 2^12 of them), as a double. */
static inline double rounded_up(wide x) { return (double)(x * (1 + 0x1p-40L)); }

/* The interval of a result that an engine computes within `bound` of `value` and rounds once to `type` if its working
 * type is wider: u_out (|y| + E) more, or the smallest subnormal there. `own` is the error of `value`, to which
 * comes what the double that holds it is off by. An infinity is right too where the end of the interval overflows. */
static inline cbn_interval stored(const arithmetic *engine, int32_t type, wide value, wide bound, wide own) {
  const format *storage = &formats[type];
  cbn_interval r = {.value = (double)value};
  own += fabsl(value - (wide)r.value);
  bound += own;
  if (storage->u > engine->u) bound += storage->u * (fabsl(value) + bound) + storage->eta;
  r.own = rounded_up(own);
  r.bound = rounded_up(bound);
  if (fabsl(value) + bound >= storage->overflow) r.flags = CBN_OR_INFINITY;
  if (bound - fabsl(value) >= storage->overflow) r.flags = CBN_INCONCLUSIVE; /* both infinities are */
  return r;
}

#endif
