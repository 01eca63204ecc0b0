/* Arithmetic on extents that says when it leaves 63 bits. Each returns false on overflow and leaves *result unset. */
#ifndef CBN_CORE_CHECKED_H
#define CBN_CORE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool cbn_add(int64_t a, int64_t b, int64_t *result) { return !__builtin_add_overflow(a, b, result); }
static inline bool cbn_subtract(int64_t a, int64_t b, int64_t *result) { return !__builtin_sub_overflow(a, b, result); }
static inline bool cbn_multiply(int64_t a, int64_t b, int64_t *result) { return !__builtin_mul_overflow(a, b, result); }

#endif
