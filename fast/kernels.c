/* fast/kernels.c - which kernels run is decided here, at run time, from what the processor says. */
#include "fast/kernels.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* Not every compiler's __builtin_cpu_supports knows it. */
static bool has_f16c(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool has_avx2(cbn_fast_kernels *kernels) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return false;
  *kernels =
      (cbn_fast_kernels){"avx2", &cbn_conv_kernels_avx2, &cbn_batchnorm_kernels_avx2, &cbn_convert_kernels_avx2};
  return true;
}
#else
static bool has_avx2(cbn_fast_kernels *kernels) {
  (void)kernels;
  return false;
}
#endif

static bool has_portable(cbn_fast_kernels *kernels) {
  *kernels = (cbn_fast_kernels){"portable", &cbn_conv_kernels_portable, &cbn_batchnorm_kernels_portable,
                                &cbn_convert_kernels_portable};
  return true;
}

bool cbn_fast_kernels_by_name(const char *isa, cbn_fast_kernels *kernels) {
#define CBN_FAST_TRY(NAME)                                                                                             \
  if ((isa[0] == '\0' || strcmp(isa, #NAME) == 0) && has_##NAME(kernels)) return true;
  CBN_FAST_ISAS(CBN_FAST_TRY)
#undef CBN_FAST_TRY
  return false;
}
