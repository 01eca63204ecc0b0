/* The constants of rounding-error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., ch. 2,
 * 3). */
#ifndef CBN_REFERENCE_ROUNDING_H
#define CBN_REFERENCE_ROUNDING_H

/* Unit roundoff, smallest subnormal, smallest normal, and where rounding to nearest reaches infinity. */
#define U32 0x1p-24
#define U64 0x1p-53
#define ETA32 0x1p-149
#define NORMAL32 0x1p-126
#define OVERFLOW32 (0x1p128 - 0x1p103)

/* n*u / (1 - n*u): the relative error of n roundings in a row is at most that. Needs n*u < 1. */
static inline double gamma_of(double n, double u) { return n * u / (1 - n * u); }

/* An upper bound of a positive quantity that took a few f64 roundings to compute (up to 2^12 of them). */
static inline double rounded_up(double x) { return x * (1 + 0x1p-40); }

#endif
