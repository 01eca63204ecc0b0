/* The element types: conversions of f16 and bf16 against their definition, at every number and between any two; storing
 * and reading through tensors; and what the reference calls exact, in each type. */
#include <convbn/reference.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/halves.h"
#include "tests/random_problem.h"
#include "tests/second_reference.h"

/* ---------------------------------------------------------------------------------------------------- conversions */

typedef struct half {
  int32_t type;
  double (*decode)(uint16_t bits);
  uint16_t (*encode)(double value);
  uint16_t infinity; /* its bits */
  double beyond;     /* what would follow the largest number */
} half;

static const half halves[] = {{CBN_F16, cbn_f16_to_f64, cbn_f64_to_f16, 0x7c00, 65536},
                              {CBN_BF16, cbn_bf16_to_f64, cbn_f64_to_bf16, 0x7f80, 0x1p128}};

/* A bfloat16 is the upper half of a binary32; a binary16 is taken apart by its definition. */
static double number_with_bits(const half *h, uint16_t bits) {
  if (h->type == CBN_F16) return second_decode(CBN_F16, bits);
  const uint32_t whole = (uint32_t)bits << 16;
  float number;
  memcpy(&number, &whole, sizeof number);
  return (double)number;
}

static void every_number_is_decoded(void **state) {
  (void)state;
  for (size_t k = 0; k < 2; k++) {
    const half *h = &halves[k];
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
      const double expected = number_with_bits(h, (uint16_t)bits), actual = h->decode((uint16_t)bits);
      if ((bits & 0x7fff) > h->infinity) {
        assert_true(isnan(actual) && isnan(expected));
        continue;
      }
      assert_true(actual == expected && signbit(actual) == signbit(expected));
      assert_true(second_decode(h->type, (uint16_t)bits) == expected);
      assert_int_equal(h->encode(actual), bits);
    }
    /* by hand */
    assert_true(h->decode(0x8000) == 0 && signbit(h->decode(0x8000)));
    assert_true(h->decode(h->infinity) == INFINITY && h->decode(h->infinity | 0x8000) == -INFINITY);
  }
  assert_true(cbn_f16_to_f64(0x3c00) == 1 && cbn_f16_to_f64(0x0001) == 0x1p-24 && cbn_f16_to_f64(0x7bff) == 65504);
  assert_true(cbn_bf16_to_f64(0x3f80) == 1 && cbn_bf16_to_f64(0x0001) == 0x1p-133 &&
              cbn_bf16_to_f64(0x7f7f) == 0x1.fep127);
}

/* The number that follows one with those bits: numbers of one sign are in the order of their bits. */
static double following(const half *h, uint16_t bits) {
  return bits + 1 == h->infinity ? h->beyond : number_with_bits(h, (uint16_t)(bits + 1));
}

/* Between a number and the next, all below the middle goes down, all above goes up, the middle to the even one. */
static void everything_between_is_rounded_once(void **state) {
  (void)state;
  random_state r = {test_seed(1)};
  for (size_t k = 0; k < 2; k++) {
    const half *h = &halves[k];
    for (uint16_t bits = 0; bits < h->infinity; bits++) {
      const double low = number_with_bits(h, bits), high = following(h, bits), middle = low + (high - low) / 2;
      const uint16_t even = bits % 2 == 0 ? bits : (uint16_t)(bits + 1);
      for (int sign = 0; sign <= 1; sign++) {
        const uint16_t mark = sign == 0 ? 0 : 0x8000;
        const double s = sign == 0 ? 1 : -1;
        assert_int_equal(h->encode(s * middle), even | mark);
        assert_int_equal(h->encode(s * nextafter(middle, 0)), bits | mark);
        assert_int_equal(h->encode(s * nextafter(middle, INFINITY)), (bits + 1) | mark);
        assert_int_equal(h->encode(s * nextafter(high, 0)), (bits + 1) | mark);
        assert_int_equal(h->encode(s * nextafter(low, INFINITY)), bits | mark);
        const double anywhere = low + (high - low) * (random_unit(&r) + 1) / 2;
        if (anywhere != middle) assert_int_equal(h->encode(s * anywhere), (anywhere < middle ? bits : bits + 1) | mark);
        assert_true(second_round(h->type, s * anywhere) == h->decode(h->encode(s * anywhere)));
      }
    }
  }
}

static void limits_are_kept(void **state) {
  (void)state;
  /* overflow */
  assert_int_equal(cbn_f64_to_f16(65504), 0x7bff);
  assert_int_equal(cbn_f64_to_f16(nextafter(65520, 0)), 0x7bff);
  assert_int_equal(cbn_f64_to_f16(65520), 0x7c00);
  assert_int_equal(cbn_f64_to_f16(-65520), 0xfc00);
  assert_int_equal(cbn_f64_to_f16(1e300), 0x7c00);
  assert_int_equal(cbn_f64_to_bf16(nextafter(0x1.ffp127, 0)), 0x7f7f);
  assert_int_equal(cbn_f64_to_bf16(0x1.ffp127), 0x7f80);
  assert_int_equal(cbn_f64_to_bf16(-1e300), 0xff80);
  /* underflow */
  assert_int_equal(cbn_f64_to_f16(0x1p-25), 0);
  assert_int_equal(cbn_f64_to_f16(nextafter(0x1p-25, 1)), 1);
  assert_int_equal(cbn_f64_to_f16(-0x1p-26), 0x8000);
  assert_int_equal(cbn_f64_to_bf16(0x1p-134), 0);
  assert_int_equal(cbn_f64_to_bf16(nextafter(0x1p-134, 1)), 1);
  assert_int_equal(cbn_f64_to_bf16(-0x1p-1074), 0x8000);
  /* the last subnormal and the first normal number */
  assert_int_equal(cbn_f64_to_f16(0x1p-14 - 0x1p-24), 0x03ff);
  assert_int_equal(cbn_f64_to_f16(0x1p-14 - 0x1p-25), 0x0400);
  assert_int_equal(cbn_f64_to_bf16(0x1p-126 - 0x1p-133), 0x007f);
  /* by way of f32 this would be rounded twice, first to the middle of two numbers */
  assert_int_equal(cbn_f64_to_f16(1 + 0x1p-11 + 0x1p-40), 0x3c01);
  assert_int_equal(cbn_f64_to_bf16(1 + 0x1p-8 + 0x1p-40), 0x3f81);
  /* NaN stays one, quiet */
  assert_true((cbn_f64_to_f16((double)NAN) & 0x7e00) == 0x7e00 && (cbn_f64_to_bf16((double)NAN) & 0x7fc0) == 0x7fc0);
}

/* ------------------------------------------------------------------------------------------------------- tensors */

static void tensors_store_and_read_every_type(void **state) {
  (void)state;
  random_state r = {test_seed(1)};
  static const size_t sizes[] = {[CBN_F32] = 4, [CBN_F64] = 8, [CBN_F16] = 2, [CBN_BF16] = 2};
  for (int32_t type = CBN_F32; type <= CBN_BF16; type++) {
    assert_int_equal(cbn_type_size(type), sizes[type]);
    assert_int_equal(cbn_type_by_name(cbn_type_name(type)), type);
    for (int layout = LAYOUT_CONTIGUOUS; layout <= LAYOUT_VIEW; layout++) {
      test_tensor t;
      double stored[2 * 3 * 4 * 5];
      assert_true(test_tensor_make(&t, &r, type, 4, (int64_t[]){2, 3, 4, 5}, layout));
      for (int64_t i = 0; i < 120; i++) {
        const double value = random_chance(&r, 2) ? random_scaled(&r, -30, 20) : random_scaled(&r, -200, 200);
        cbn_tensor_set(&t.tensor, i, value);
        stored[i] = second_round(type, value);
      }
      for (int64_t i = 0; i < 120; i++) {
        assert_true(cbn_tensor_get(&t.tensor, i) == stored[i]);
        assert_true(second_element(&t.tensor, i) == stored[i]);
      }
      test_tensor_release(&t);
    }
  }
}

/* --------------------------------------------------------------------------------------------- exactness by type */

enum { MOST_TERMS = 4 };

/* The reference's answer for sum x w + b. */
static cbn_interval dot(int32_t type, uint32_t arithmetic, int count, const double *x, const double *w, double b) {
  cbn_conv c = cbn_conv_make(1);
  c.batch = c.in_channels = c.out_channels = c.has_bias = 1;
  c.input[0] = c.kernel[0] = count;
  const int64_t extents[3] = {1, 1, count};
  random_state r = {0};
  test_tensor own[CBN_ROLE_COUNT] = {0};
  const cbn_tensor *tensor[CBN_ROLE_COUNT];
  assert_true(count <= MOST_TERMS);
  assert_true(test_tensor_make(&own[CBN_ROLE_INPUT], &r, type, 3, extents, LAYOUT_CONTIGUOUS) &&
              test_tensor_make(&own[CBN_ROLE_WEIGHT], &r, type, 3, extents, LAYOUT_CONTIGUOUS) &&
              test_tensor_make(&own[CBN_ROLE_BIAS], &r, type, 1, extents, LAYOUT_CONTIGUOUS));
  for (int i = 0; i < count; i++) {
    cbn_tensor_set(&own[CBN_ROLE_INPUT].tensor, i, x[i]);
    cbn_tensor_set(&own[CBN_ROLE_WEIGHT].tensor, i, w[i]);
    assert_true(cbn_tensor_get(&own[CBN_ROLE_INPUT].tensor, i) == x[i]);
    assert_true(cbn_tensor_get(&own[CBN_ROLE_WEIGHT].tensor, i) == w[i]);
  }
  cbn_tensor_set(&own[CBN_ROLE_BIAS].tensor, 0, b);
  tensors_of(own, tensor);
  cbn_expected e;
  assert_true(cbn_expected_allocate(&e, type, 3, (int64_t[]){1, 1, 1}));
  assert_true(cbn_reference_conv(&c, tensor, arithmetic, &e));
  const cbn_interval i = cbn_expected_at(&e, 0);
  cbn_expected_release(&e);
  for (int role = 0; role < CBN_ROLE_COUNT; role++) test_tensor_release(&own[role]);
  return i;
}

static bool is_exactly(cbn_interval i, double value) {
  return (i.flags & CBN_EXACT) != 0 && i.bound == 0 && cbn_interval_admits(&i, value) &&
         !cbn_interval_admits(&i, nextafter(value, INFINITY)) && !cbn_interval_admits(&i, nextafter(value, -INFINITY));
}

static bool is_not_exact(cbn_interval i) { return (i.flags & CBN_EXACT) == 0 && i.bound > 0; }

/* Sums of integers up to 2^p, p the precision of what they are added in, are exact; a step further they are not. */
static void sums_are_exact_up_to_the_precision(void **state) {
  (void)state;
  /* 4095 4097 + 1 = 2^24, (2^26 - 1) 2^27 + 2^27 = 2^53, 32 32 + 31 32 + 32 = 2^11, 8 16 + 15 8 + 8 = 2^8 */
  assert_true(is_exactly(dot(CBN_F32, 0, 2, (double[]){4095, 4095}, (double[]){4096, 1}, 1), 0x1p24));
  assert_true(is_not_exact(dot(CBN_F32, 0, 2, (double[]){4095, 4095}, (double[]){4096, 1}, 3)));
  assert_true(is_exactly(dot(CBN_F64, 0, 1, (double[]){0x1p26 - 1}, (double[]){0x1p27}, 0x1p27), 0x1p53));
  assert_true(is_not_exact(dot(CBN_F64, 0, 1, (double[]){0x1p26}, (double[]){0x1p27}, 1)));
  assert_true(is_exactly(dot(CBN_F16, CBN_NARROW_SUMS, 2, (double[]){32, 31}, (double[]){32, 32}, 32), 2048));
  assert_true(is_not_exact(dot(CBN_F16, CBN_NARROW_SUMS, 2, (double[]){32, 31}, (double[]){32, 32}, 33)));
  assert_true(is_exactly(dot(CBN_BF16, CBN_NARROW_SUMS, 2, (double[]){8, 15}, (double[]){16, 8}, 8), 256));
  assert_true(is_not_exact(dot(CBN_BF16, CBN_NARROW_SUMS, 2, (double[]){8, 15}, (double[]){16, 8}, 9)));
}

/* f16 and bf16 are summed in f32: the exact sum is rounded once. */
static void narrow_results_are_rounded_once(void **state) {
  (void)state;
  /* 2049 lies in the middle of 2048 and 2050, 2051 in that of 2050 and 2052 */
  assert_true(is_exactly(dot(CBN_F16, 0, 1, (double[]){32}, (double[]){64}, 1), 2048));
  assert_true(is_exactly(dot(CBN_F16, 0, 1, (double[]){32}, (double[]){64}, 3), 2052));
  assert_true(is_exactly(dot(CBN_F16, 0, 2, (double[]){32, 0x1p-6}, (double[]){64, 0x1p-6}, 1), 2050));
  assert_true(is_exactly(dot(CBN_BF16, 0, 1, (double[]){16}, (double[]){16}, 1), 256));
  assert_true(is_exactly(dot(CBN_BF16, 0, 1, (double[]){16}, (double[]){16}, 3), 260));
  assert_true(is_exactly(dot(CBN_BF16, 0, 2, (double[]){16, 0x1p-7}, (double[]){16, 0x1p-7}, 1), 258));
}

/* The sum of f16 overflows from 65520 on, when it is stored; on the way it may be larger. */
static void f16_overflows_when_it_is_stored(void **state) {
  (void)state;
  const double most = 65504;
  assert_true(is_exactly(dot(CBN_F16, 0, 2, (double[]){most, 15}, (double[]){1, 1}, 0), most));
  cbn_interval i = dot(CBN_F16, 0, 2, (double[]){most, 15}, (double[]){1, 1}, 1);
  assert_true(cbn_interval_admits(&i, INFINITY) && !cbn_interval_admits(&i, most) &&
              !cbn_interval_admits(&i, -INFINITY));
  i = dot(CBN_F16, 0, 2, (double[]){most, most}, (double[]){-1, -1}, 0);
  assert_true(cbn_interval_admits(&i, -INFINITY) && !cbn_interval_admits(&i, -most) &&
              !cbn_interval_admits(&i, INFINITY));
  assert_true(is_exactly(dot(CBN_F16, 0, 3, (double[]){most, most, most}, (double[]){1, 1, -1}, 0), most));
  /* added in f16 itself it may overflow on the way */
  i = dot(CBN_F16, CBN_NARROW_SUMS, 3, (double[]){most, most, most}, (double[]){1, 1, -1}, 0);
  assert_true((i.flags & CBN_INCONCLUSIVE) != 0);
  /* 65520 - 2^-20 is not a sum of f32, which may round it to 65520: both are right */
  i = dot(CBN_F16, 0, 3, (double[]){most, 0x1p-10, 16}, (double[]){1, -0x1p-10, 1}, 0);
  assert_true((i.flags & (CBN_EXACT | CBN_INCONCLUSIVE)) == 0 && cbn_interval_admits(&i, INFINITY) &&
              cbn_interval_admits(&i, most) && !cbn_interval_admits(&i, -INFINITY));
}

/* Subnormals of a narrow type are results like others: the rounding error is at most half the smallest. */
static void narrow_subnormals_round_to_the_smallest(void **state) {
  (void)state;
  assert_true(is_exactly(dot(CBN_F16, 0, 1, (double[]){0x1p-12}, (double[]){0x1p-12}, 0), 0x1p-24));
  assert_true(is_exactly(dot(CBN_F16, 0, 1, (double[]){0x1p-13}, (double[]){0x1p-12}, 0), 0));
  assert_true(is_exactly(dot(CBN_F16, 0, 1, (double[]){0x1.8p-13}, (double[]){0x1p-12}, 0), 0x1p-24));
  assert_true(is_exactly(dot(CBN_BF16, 0, 1, (double[]){0x1p-70}, (double[]){0x1p-63}, 0), 0x1p-133));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_number_is_decoded),
      cmocka_unit_test(everything_between_is_rounded_once),
      cmocka_unit_test(limits_are_kept),
      cmocka_unit_test(tensors_store_and_read_every_type),
      cmocka_unit_test(sums_are_exact_up_to_the_precision),
      cmocka_unit_test(narrow_results_are_rounded_once),
      cmocka_unit_test(f16_overflows_when_it_is_stored),
      cmocka_unit_test(narrow_subnormals_round_to_the_smallest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
