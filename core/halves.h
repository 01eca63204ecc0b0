/* Conversions between binary64 and the two 16-bit types: to nearest, ties to even, overflow to infinity, NaN to a quiet
 * NaN, subnormals kept; each in one rounding (a detour over binary32 would round twice). */
#ifndef CBN_CORE_HALVES_H
#define CBN_CORE_HALVES_H

#include <stdint.h>

double cbn_f16_to_f64(uint16_t bits);
double cbn_bf16_to_f64(uint16_t bits);
uint16_t cbn_f64_to_f16(double value);
uint16_t cbn_f64_to_bf16(double value);

#endif
