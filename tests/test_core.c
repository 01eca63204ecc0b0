/* tests/test_core.c - tensors, 16-bit types, fills and the canonical operators. Extents and strides are worked out by
 * hand; conversions and the generator are written a second time here, with integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <convbn/fill.h>
#include <convbn/operator.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/halves.h"
#include "core/rules.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define P62 ((int64_t)1 << 62)

/* ----------------------------------------------------------------------------------------------------- tensors */

static void strides_follow_the_layout(void **state) {
  (void)state;
  static const struct {
    enum cbn_layout layout;
    int32_t rank;
    int64_t extent[CBN_MAX_RANK], stride[CBN_MAX_RANK];
  } rows[] = {
      {CBN_CONTIGUOUS, 1, {7}, {1}},
      {CBN_CONTIGUOUS, 4, {2, 3, 4, 5}, {60, 20, 5, 1}},
      {CBN_CONTIGUOUS, 5, {2, 3, 4, 5, 6}, {360, 120, 30, 6, 1}},
      {CBN_CHANNELS_LAST, 1, {7}, {1}},
      {CBN_CHANNELS_LAST, 2, {2, 3}, {3, 1}},
      {CBN_CHANNELS_LAST, 3, {2, 3, 5}, {15, 1, 3}},
      {CBN_CHANNELS_LAST, 4, {2, 3, 4, 5}, {60, 1, 15, 3}},
      {CBN_CHANNELS_LAST, 5, {2, 3, 4, 5, 6}, {360, 1, 90, 18, 3}},
      {CBN_PITCHED, 1, {7}, {1}},
      {CBN_PITCHED, 2, {2, 3}, {4, 1}},
      {CBN_PITCHED, 4, {2, 3, 4, 5}, {80, 1, 20, 4}},
      {CBN_PITCHED, 5, {2, 0, 4, 5, 6}, {240, 1, 60, 12, 2}},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    cbn_tensor t;
    assert_true(cbn_tensor_describe(&t, CBN_F32, rows[i].rank, rows[i].extent, rows[i].layout));
    assert_int_equal(t.type, CBN_F32);
    assert_int_equal(t.rank, rows[i].rank);
    assert_null(t.data);
    assert_memory_equal(t.extent, rows[i].extent, sizeof t.extent);
    assert_memory_equal(t.stride, rows[i].stride, sizeof t.stride);
  }
}

static void sizes_beyond_63_bits_are_refused(void **state) {
  (void)state;
  static const struct {
    int32_t type, rank;
    int64_t extent[CBN_MAX_RANK];
    bool described;
    int64_t product; /* -1: none */
  } rows[] = {
      {CBN_F16, 1, {P62 - 1}, true, P62 - 1},
      {CBN_F16, 1, {P62}, false, P62},
      {CBN_F32, 1, {P62 / 2 - 1}, true, P62 / 2 - 1},
      {CBN_F32, 1, {P62 / 2}, false, P62 / 2},
      {CBN_F64, 2, {P62 / 8, 2}, false, P62 / 4},
      {CBN_F64, 2, {P62 / 8, 1}, true, P62 / 8},
      {CBN_F32, 2, {P62, 2}, false, -1},
      {CBN_F32, 2, {(int64_t)3037000500, (int64_t)3037000500}, false, -1}, /* the first square beyond 2^63 */
      {CBN_F32, 2, {-1, 2}, false, -1},
      {CBN_F32, 2, {0, -1}, false, -1},
      {CBN_F32, 2, {INT64_MIN, INT64_MIN}, false, -1},
      {CBN_F32, 3, {P62, 0, 1}, true, 0},
      {CBN_F32, 3, {P62, 0, 2}, false, -1}, /* what a stride would be does not fit */
      {CBN_F32, 3, {2, 0, 4}, true, 0},
      {4, 1, {1}, false, 1},
      {-1, 1, {1}, false, 1},
      {CBN_F32, 0, {0}, false, 1},
      {CBN_F32, CBN_MAX_RANK + 1, {1, 1, 1, 1, 1}, false, 1},
  };
  for (size_t i = 0; i < COUNT(rows); i++)
    for (int layout = CBN_CONTIGUOUS; layout <= CBN_CHANNELS_LAST; layout++) {
      cbn_tensor t;
      const bool described =
          cbn_tensor_describe(&t, rows[i].type, rows[i].rank, rows[i].extent, (enum cbn_layout)layout);
      if (described != rows[i].described) fail_msg("row %zu is described: %d", i, described);
      if (rows[i].rank <= CBN_MAX_RANK) assert_int_equal(cbn_extent_product(rows[i].rank, rows[i].extent), rows[i].product);
    }
}

static void a_view_takes_memory_up_to_its_last_element(void **state) {
  (void)state;
  cbn_tensor t = {.type = CBN_F32, .rank = 2, .extent = {2, 3}, .stride = {10, 2}};
  assert_int_equal(cbn_tensor_count(&t), 6);
  assert_int_equal(cbn_tensor_bytes(&t), 60); /* the last element has offset 14 */
  assert_int_equal(cbn_tensor_offset(&t, 5), 14);
  assert_int_equal(cbn_tensor_offset(&t, 3), 10);
  t.extent[1] = 0;
  assert_int_equal(cbn_tensor_count(&t), 0);
  assert_int_equal(cbn_tensor_bytes(&t), 0);
  assert_true(cbn_tensor_allocate(&t)); /* one byte at least */
  assert_int_equal((uintptr_t)t.data % 64, 0);
  cbn_tensor_release(&t);
  assert_null(t.data);
}

static void positions_unravel_row_major(void **state) {
  (void)state;
  static const int64_t extent[] = {2, 3, 4};
  int64_t index[3], position = 0;
  for (int64_t i = 0; i < 2; i++)
    for (int64_t j = 0; j < 3; j++)
      for (int64_t k = 0; k < 4; k++, position++) {
        cbn_unravel(3, extent, position, index);
        assert_int_equal(index[0] * 100 + index[1] * 10 + index[2], i * 100 + j * 10 + k);
      }
}

/* Ranges of elements, of tensors with and without gaps, axes of extent 1 and axes that follow each other in memory. */
static void ranges_are_read_and_written_as_elements_are(void **state) {
  (void)state;
  static const struct {
    int32_t rank;
    int64_t extent[CBN_MAX_RANK], stride[CBN_MAX_RANK];
  } shapes[] = {
      {4, {2, 3, 2, 5}, {30, 10, 5, 1}},        /* contiguous */
      {4, {2, 3, 2, 5}, {30, 1, 15, 3}},        /* channels last */
      {4, {2, 3, 2, 5}, {67, 20, 10, 2}},       /* gaps */
      {5, {3, 1, 4, 1, 2}, {1, 999, 6, 999, 3}}, /* axes of one element, whose strides say nothing */
      {2, {3, 2}, {0, 1}},                      /* rows that are one */
      {3, {1, 1, 1}, {7, 7, 7}},
      {1, {9}, {4}},
      {3, {2, 0, 3}, {3, 3, 1}},
  };
  static const int32_t types[] = {CBN_F32, CBN_F64, CBN_F16, CBN_BF16};
  for (size_t s = 0; s < COUNT(shapes); s++)
    for (size_t type = 0; type < COUNT(types); type++) {
      cbn_tensor t = {.type = types[type], .rank = shapes[s].rank};
      memcpy(t.extent, shapes[s].extent, sizeof t.extent);
      memcpy(t.stride, shapes[s].stride, sizeof t.stride);
      const int64_t count = cbn_tensor_count(&t);
      const size_t bytes = (size_t)cbn_tensor_bytes(&t);
      cbn_tensor one_by_one = t;
      assert_true(cbn_tensor_allocate(&t) && cbn_tensor_allocate(&one_by_one));
      for (int64_t first = 0; first <= count; first++)
        for (int64_t many = 0; many <= count - first; many++) {
          double values[64], back[64];
          memset(t.data, 0x55, bytes);
          memset(one_by_one.data, 0x55, bytes);
          for (int64_t i = 0; i < many; i++) {
            values[i] = (double)(i + 1) + 0x1p-30; /* rounded as it is written, but for f64 */
            cbn_tensor_set(&one_by_one, first + i, values[i]);
          }
          cbn_tensor_write(&t, first, many, values);
          assert_memory_equal(t.data, one_by_one.data, bytes);
          cbn_tensor_read(&t, first, many, back);
          for (int64_t i = 0; i < many; i++) assert_true(back[i] == cbn_tensor_get(&t, first + i));
        }
      cbn_tensor_release(&t);
      cbn_tensor_release(&one_by_one);
    }
}

/* Every pair of layouts, one of them with gaps; elements keep their indices, gaps their bytes. */
static void copies_keep_indices_and_gaps(void **state) {
  (void)state;
  enum { N = 2, C = 3, H = 2, W = 5, LAYOUTS = 4 };
  static const int64_t extent[] = {N, C, H, W}, stride[LAYOUTS][4] = {
      {C * H * W, H * W, W, 1},                      /* NCHW */
      {C * H * W, 1, C * W, C},                      /* NHWC */
      {1, N, N * C * W, N * C},                      /* H, W, C, N */
      {C * H * 2 * W + 7, H * 2 * W, 2 * W, 2},      /* every second column of a wider image, batches apart */
  };
  static const int32_t types[] = {CBN_F32, CBN_F64, CBN_F16, CBN_BF16};
  for (size_t type = 0; type < COUNT(types); type++)
    for (int from = 0; from < LAYOUTS; from++)
      for (int to = 0; to < LAYOUTS; to++) {
        cbn_tensor a = {.type = types[type], .rank = 4}, b = {.type = types[type], .rank = 4};
        memcpy(a.extent, extent, sizeof extent);
        memcpy(b.extent, extent, sizeof extent);
        memcpy(a.stride, stride[from], sizeof stride[from]);
        memcpy(b.stride, stride[to], sizeof stride[to]);
        assert_true(cbn_tensor_allocate(&a) && cbn_tensor_allocate(&b));
        for (int64_t i = 0; i < N * C * H * W; i++) cbn_tensor_set(&a, i, (double)(i + 1)); /* 60 fits bf16 */
        const size_t bytes = (size_t)cbn_tensor_bytes(&b), size = cbn_type_size(types[type]);
        memset(b.data, 0xA5, bytes);
        cbn_tensor_copy(&b, &a);
        size_t written = 0;
        for (size_t e = 0; e < bytes / size; e++)
          written += memcmp((char *)b.data + e * size, "\xA5\xA5\xA5\xA5\xA5\xA5\xA5\xA5", size) != 0;
        assert_int_equal(written, N * C * H * W);
        for (int64_t n = 0; n < N; n++)
          for (int64_t c = 0; c < C; c++)
            for (int64_t h = 0; h < H; h++)
              for (int64_t w = 0; w < W; w++) {
                const int64_t i = ((n * C + c) * H + h) * W + w;
                assert_true(cbn_tensor_get(&b, i) == (double)(i + 1));
                assert_int_equal(cbn_tensor_offset(&b, i), n * b.stride[0] + c * b.stride[1] + h * b.stride[2] + w * b.stride[3]);
              }
        cbn_tensor_release(&a);
        cbn_tensor_release(&b);
      }
}

static void copies_of_nothing_touch_nothing(void **state) {
  (void)state;
  const cbn_tensor nothing = {.type = CBN_F32, .rank = 2, .extent = {0, 3}, .stride = {3, 1}};
  cbn_tensor_copy(&nothing, &nothing); /* its data is NULL */
}

static void types_and_roles_have_names(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int32_t type;
    size_t size;
  } types[] = {{"f32", CBN_F32, 4}, {"f64", CBN_F64, 8}, {"f16", CBN_F16, 2}, {"bf16", CBN_BF16, 2}};
  for (size_t i = 0; i < COUNT(types); i++) {
    assert_string_equal(cbn_type_name(types[i].type), types[i].name);
    assert_int_equal(cbn_type_by_name(types[i].name), types[i].type);
    assert_int_equal(cbn_type_size(types[i].type), types[i].size);
  }
  assert_int_equal(cbn_type_by_name("F32"), -1);
  assert_int_equal(cbn_type_by_name(""), -1);
  assert_null(cbn_type_name(4));
  assert_null(cbn_type_name(-1));
  assert_int_equal(cbn_type_size(4), 0);
  assert_string_equal(cbn_role_name(CBN_ROLE_INPUT), "input");
  assert_string_equal(cbn_role_name(CBN_ROLE_GRAD_BIAS), "grad_bias");
  assert_null(cbn_role_name(CBN_ROLE_COUNT));
  assert_null(cbn_role_name(-1));
}

/* -------------------------------------------------------------------------------------------------- 16-bit types */

/* A 16-bit format: bits of the fraction, bias of the exponent, and the conversions under test. */
typedef struct format {
  int fraction_bits, bias;
  double (*decode)(uint16_t);
  uint16_t (*encode)(double);
} format;

static const format formats[] = {{10, 15, cbn_f16_to_f64, cbn_f64_to_f16}, {7, 127, cbn_bf16_to_f64, cbn_f64_to_bf16}};

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static double of_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* The bits of the double with the value of a 16-bit encoding that is no NaN, by shifting alone. */
static uint64_t widened(const format *f, uint16_t bits) {
  const uint64_t sign = (uint64_t)(bits >> 15) << 63;
  uint64_t fraction = bits & ((1u << f->fraction_bits) - 1);
  int exponent = (bits & 0x7fff) >> f->fraction_bits;
  if (exponent == 2 * f->bias + 1) return sign | (uint64_t)0x7ff << 52;
  if (exponent == 0) {
    if (fraction == 0) return sign;
    for (exponent = 1; fraction >> f->fraction_bits == 0; exponent--) fraction <<= 1; /* normalised in the wider format */
    fraction &= (1u << f->fraction_bits) - 1;
  }
  return sign | (uint64_t)(exponent - f->bias + 1023) << 52 | fraction << (52 - f->fraction_bits);
}

static void each_encoding_decodes_and_returns(void **state) {
  (void)state;
  for (size_t k = 0; k < COUNT(formats); k++)
    for (uint32_t bits = 0; bits < 65536; bits++) {
      const format *f = &formats[k];
      const uint16_t infinity = (uint16_t)((2 * f->bias + 1) << f->fraction_bits);
      const double value = f->decode((uint16_t)bits);
      const uint16_t back = f->encode(value);
      if ((bits & 0x7fff) > infinity) { /* some NaN, quiet, of the same sign if it has kept it */
        assert_true(isnan(value));
        assert_true((back & 0x7fff) > infinity && (back >> (f->fraction_bits - 1) & 1));
      } else if (bits_of(value) != widened(f, (uint16_t)bits) || back != bits) {
        fail_msg("format %zu, %04x: %a, back %04x", k, bits, value, back);
      }
    }
}

/* Between each two neighbours a < b, of both signs, b = 2^(greatest exponent + 1) standing for infinity: the midpoint goes
 * to the even encoding, what is next to it on either side to the nearer one. This says all of rounding to nearest. */
static void between_neighbours_rounding_is_to_nearest_even(void **state) {
  (void)state;
  for (size_t k = 0; k < COUNT(formats); k++) {
    const format *f = &formats[k];
    const uint16_t infinity = (uint16_t)((2 * f->bias + 1) << f->fraction_bits);
    for (uint16_t low = 0; low < infinity; low++) {
      const uint16_t high = (uint16_t)(low + 1), even = low % 2 == 0 ? low : high;
      const double a = of_bits(widened(f, low));
      const double b = high == infinity ? of_bits((uint64_t)(f->bias + 1 + 1023) << 52) : of_bits(widened(f, high));
      const double middle = (a + b) / 2; /* exact: 13 bits at most */
      const struct {
        double value;
        uint16_t bits;
      } points[] = {{of_bits(bits_of(a) + 1), low},       {of_bits(bits_of(middle) - 1), low}, {middle, even},
                    {of_bits(bits_of(middle) + 1), high}, {of_bits(bits_of(b) - 1), high}};
      for (size_t i = 0; i < COUNT(points); i++) {
        const uint16_t positive = f->encode(points[i].value), negative = f->encode(-points[i].value);
        if (positive != points[i].bits || negative != (points[i].bits | 0x8000))
          fail_msg("format %zu: %a became %04x, its negative %04x; %04x is right", k, points[i].value, positive, negative,
                   points[i].bits);
      }
    }
  }
}

static void sixteen_bits_by_hand(void **state) {
  (void)state;
  static const struct {
    double value;
    uint16_t f16, bf16;
  } rows[] = {
      {0.0, 0x0000, 0x0000},      {-0.0, 0x8000, 0x8000},    {1.0, 0x3c00, 0x3f80},      {-2.0, 0xc000, 0xc000},
      {65504, 0x7bff, 0x4780},    {65519.99, 0x7bff, 0x4780}, {65520, 0x7c00, 0x4780},   {1e300, 0x7c00, 0x7f80},
      {INFINITY, 0x7c00, 0x7f80}, {-INFINITY, 0xfc00, 0xff80}, {0x1p-24, 0x0001, 0x3380}, {0x1p-25, 0x0000, 0x3300},
      {0x1.8p-25, 0x0001, 0x3340}, {0x1p-14, 0x0400, 0x3880}, {0x1p-126, 0x0000, 0x0080}, {0x1p-133, 0x0000, 0x0001},
      {0x1p-134, 0x0000, 0x0000}, {0x1.8p-134, 0x0000, 0x0001}, {0x1p-1074, 0x0000, 0x0000}, {3.140625, 0x4248, 0x4049},
      /* One rounding, not two: over f32 this would first become a tie and then go to even. */
      {1 + 0x1p-11 + 0x1p-40, 0x3c01, 0x3f80}, {1 + 0x1p-8 + 0x1p-40, 0x3c04, 0x3f81},
      {0x1.fep127, 0x7c00, 0x7f7f}, {0x1.ffp127, 0x7c00, 0x7f80}, {0x1.fefffp127, 0x7c00, 0x7f7f},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_int_equal(cbn_f64_to_f16(rows[i].value), rows[i].f16);
    assert_int_equal(cbn_f64_to_bf16(rows[i].value), rows[i].bf16);
  }
}

static void tensors_of_16_bits_round_when_written(void **state) {
  (void)state;
  uint16_t f16[2] = {0}, bf16[2] = {0};
  float f32[2] = {0};
  const cbn_tensor a = {.type = CBN_F16, .rank = 1, .extent = {2}, .stride = {1}, .data = f16};
  const cbn_tensor b = {.type = CBN_BF16, .rank = 1, .extent = {2}, .stride = {1}, .data = bf16};
  const cbn_tensor c = {.type = CBN_F32, .rank = 1, .extent = {2}, .stride = {1}, .data = f32};
  cbn_tensor_set(&a, 1, 2049); /* a tie between 2048 and 2050 */
  cbn_tensor_set(&b, 1, 257);  /* between 256 and 258 */
  cbn_tensor_set(&c, 1, 16777217);
  assert_true(cbn_tensor_get(&a, 1) == 2048 && cbn_tensor_get(&b, 1) == 256 && cbn_tensor_get(&c, 1) == 16777216);
  assert_int_equal(f16[1], 0x6800);
  assert_int_equal(bf16[1], 0x4380);
}

/* ------------------------------------------------------------------------------------------------------- fills */

/* Philox4x32-10, from the paper (Salmon et al. 2011). */
static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t k0 = key[0], k1 = key[1];
  memcpy(out, counter, 4 * sizeof *out);
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t a = (uint64_t)0xD2511F53u * out[0], b = (uint64_t)0xCD9E8D57u * out[2];
    const uint32_t next[4] = {(uint32_t)(b >> 32) ^ out[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ out[3] ^ k1, (uint32_t)a};
    memcpy(out, next, sizeof next);
  }
}

/* The known answers that the Random123 library comes with. */
static void philox_of_this_test_gives_the_known_answers(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], out[4];
  } known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < COUNT(known); i++) {
    uint32_t out[4];
    philox(known[i].counter, known[i].key, out);
    assert_memory_equal(out, known[i].out, sizeof out);
  }
}

/* `integers` from 0 to 2^32 - 1 shows r0 itself, `exact` with a density shows r1 by comparison, `normal` both. */
static void fills_draw_from_philox(void **state) {
  (void)state;
  static const uint64_t seeds[] = {0, 1, 0xffffffff, 0x100000000, 0x123456789abcdef0, UINT64_MAX};
  static const int64_t indices[] = {0, 1, 2, 1000, 0xffffffff, 0x100000000, (int64_t)1 << 40, INT64_MAX};
  for (size_t s = 0; s < COUNT(seeds); s++)
    for (size_t k = 0; k < COUNT(indices); k++)
      for (int role = 0; role < CBN_ROLE_OUTPUT; role++) {
        const uint64_t i = (uint64_t)indices[k];
        const uint32_t counter[4] = {(uint32_t)i, (uint32_t)(i >> 32), (uint32_t)role, 0};
        const uint32_t key[2] = {(uint32_t)seeds[s], (uint32_t)(seeds[s] >> 32)};
        uint32_t r[4];
        philox(counter, key, r);
        cbn_fill fill = cbn_fill_make(CBN_FILL_INTEGERS);
        fill.seed = seeds[s];
        fill.low = 0;
        fill.high = UINT32_MAX;
        assert_true(cbn_fill_element(&fill, role, indices[k]) == (double)r[0]);
        fill = cbn_fill_make(CBN_FILL_EXACT);
        fill.seed = seeds[s];
        fill.bits = 31;
        const double drawn = (double)((int64_t)(((uint64_t)r[0] * 0xffffffffu) >> 32) - 0x7fffffff);
        fill.density = (double)r[1] * 0x1p-32;
        assert_true(cbn_fill_element(&fill, role, indices[k]) == 0);
        fill.density = ((double)r[1] + 1) * 0x1p-32;
        assert_true(cbn_fill_element(&fill, role, indices[k]) == drawn);
        fill = cbn_fill_make(CBN_FILL_NORMAL);
        fill.seed = seeds[s];
        const double sum = (double)((r[0] & 0xffff) + (r[0] >> 16) + (r[1] & 0xffff) + (r[1] >> 16));
        assert_true(cbn_fill_element(&fill, role, indices[k]) == (sum - 131070) * (0.8660254037844386 / 32768));
      }
}

static void set_fill_parameter(cbn_fill *fill, const char *key, const char *text, const int64_t *extent, int rank) {
  const double number = strtod(text, NULL);
  if (strcmp(key, "seed") == 0) fill->seed = strtoull(text, NULL, 10);
  else if (strcmp(key, "low") == 0) fill->low = strtoll(text, NULL, 10);
  else if (strcmp(key, "high") == 0) fill->high = strtoll(text, NULL, 10);
  else if (strcmp(key, "bits") == 0) fill->bits = atoi(text);
  else if (strcmp(key, "shift") == 0) fill->shift = atoi(text);
  else if (strcmp(key, "density") == 0) fill->density = number;
  else if (strcmp(key, "mean") == 0) fill->mean = number;
  else if (strcmp(key, "scale") == 0) fill->scale = number;
  else if (strcmp(key, "start") == 0) fill->start = number;
  else if (strcmp(key, "step") == 0) fill->step = number;
  else if (strcmp(key, "value") == 0) fill->value = number;
  else if (strcmp(key, "index") == 0)
    for (int a = 0; a < rank; a++, text += strcspn(text, ":") + 1)
      fill->position = fill->position * extent[a] + strtoll(text, NULL, 10);
  else fail_msg("tests/fill_vectors.txt: what is %s?", key);
}

static int role_by_name(const char *name) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (strcmp(cbn_role_name(role), name) == 0) return role;
  return -1;
}

static void fills_give_the_vectors_of_another_implementation(void **state) {
  (void)state;
  FILE *file = fopen("tests/fill_vectors.txt", "r");
  char line[256], kind[32], parameters[160], role[32], shape[64];
  int64_t index;
  uint32_t expected, kinds = 0;
  size_t vectors = 0;
  if (file == NULL) fail_msg("tests/fill_vectors.txt: cannot be read; tests run in the source tree");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (line[0] == '#' || line[0] == '\n') continue;
    assert_int_equal(sscanf(line, "%31s %159s %31s %63s %" SCNd64 " %" SCNx32, kind, parameters, role, shape, &index, &expected), 6);
    int64_t extent[CBN_MAX_RANK];
    int rank = 0;
    for (char *text = shape; *text != '\0'; text += *text == 'x') extent[rank++] = strtoll(text, &text, 10);
    cbn_fill fill = cbn_fill_make((enum cbn_fill_kind)cbn_fill_by_name(kind));
    if (strcmp(parameters, "-") != 0)
      for (char *rest = parameters, *item; (item = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(item, '=');
        *value = '\0';
        set_fill_parameter(&fill, item, value + 1, extent, rank);
      }
    cbn_tensor t;
    assert_true(cbn_tensor_describe(&t, CBN_F32, rank, extent, CBN_CHANNELS_LAST) && cbn_tensor_allocate(&t));
    cbn_fill_tensor(&fill, role_by_name(role), &t);
    uint32_t got;
    memcpy(&got, (float *)t.data + cbn_tensor_offset(&t, index), sizeof got);
    const float wanted_value = (float)cbn_fill_element(&fill, role_by_name(role), index);
    assert_memory_equal(&wanted_value, &got, sizeof got);
    if (got != expected && !(isnan(wanted_value) && (expected & 0x7fffffff) > 0x7f800000)) fail_msg("%s: got %08x", line, got);
    cbn_tensor_release(&t);
    kinds |= 1u << fill.kind;
    vectors++;
  }
  fclose(file);
  assert_int_equal(kinds, (1u << CBN_FILL_COUNT) - 1);
  assert_true(vectors > 200);
}

/* Tensors of all sizes from none to some blocks of what is drawn at a time. */
static void tensors_are_filled_as_their_elements_are(void **state) {
  (void)state;
  static const int64_t counts[] = {0, 1, 2, 31, 32, 33, 63, 65, 255, 256, 257, 511, 512, 600, 1000};
  for (int kind = 0; kind < CBN_FILL_COUNT; kind++)
    for (size_t c = 0; c < COUNT(counts); c++) {
      cbn_fill fill = cbn_fill_make((enum cbn_fill_kind)kind);
      fill.seed = 0x123456789abcdefu + (uint64_t)kind;
      fill.bits = 20;
      fill.shift = -1074;
      fill.density = 0.5;
      fill.position = counts[c] / 2;
      fill.step = 0.1;
      fill.mean = 0.1;
      cbn_tensor t;
      assert_true(cbn_tensor_describe(&t, CBN_F64, 1, &counts[c], CBN_STRIDED) && cbn_tensor_allocate(&t));
      cbn_fill_tensor(&fill, CBN_ROLE_WEIGHT, &t);
      for (int64_t i = 0; i < counts[c]; i++) {
        const double wanted = cbn_fill_element(&fill, CBN_ROLE_WEIGHT, i), got = cbn_tensor_get(&t, i);
        assert_memory_equal(&got, &wanted, sizeof got);
      }
      cbn_tensor_release(&t);
    }
}

/* Multiples of the least subnormal, and of the greatest power of two: each drawn integer times exactly that. */
static void exact_fills_reach_both_ends_of_f64(void **state) {
  (void)state;
  static const int32_t shifts[] = {-1074, -1030, -1022, 0, 1003};
  cbn_fill fill = cbn_fill_make(CBN_FILL_EXACT), scaled = fill;
  for (size_t s = 0; s < COUNT(shifts); s++) {
    scaled.shift = shifts[s];
    for (int64_t i = 0; i < 100; i++)
      assert_true(cbn_fill_element(&scaled, 0, i) == ldexp(cbn_fill_element(&fill, 0, i), shifts[s]));
  }
}

static void fills_have_names(void **state) {
  (void)state;
  static const char *const names[] = {"integers", "exact", "normal", "impulse", "ramp", "ones", "special"};
  assert_int_equal(CBN_FILL_COUNT, COUNT(names));
  for (int kind = 0; kind < CBN_FILL_COUNT; kind++) {
    assert_string_equal(cbn_fill_name(kind), names[kind]);
    assert_int_equal(cbn_fill_by_name(names[kind]), kind);
  }
  assert_int_equal(cbn_fill_by_name("uniform"), -1);
  assert_null(cbn_fill_name(CBN_FILL_COUNT));
  assert_null(cbn_fill_name(-1));
}

/* ----------------------------------------------------------------------------------- operators written as text */

/* A field of cbn_conv or cbn_batchnorm by its short name. */
typedef struct field {
  const char *name;
  size_t offset;
  bool narrow; /* 32 bits */
} field;

#define WIDE(name, type, member) {name, offsetof(type, member), false}
#define NARROW(name, type, member) {name, offsetof(type, member), true}
#define SPATIAL_FIELD(letter, type, member)                                                                            \
  WIDE(letter "0", type, member[0]), WIDE(letter "1", type, member[1]), WIDE(letter "2", type, member[2])

static const field conv_fields[] = {
    NARROW("size", cbn_conv, struct_size),
    NARROW("rank", cbn_conv, spatial_rank),
    NARROW("direction", cbn_conv, direction),
    NARROW("transposed", cbn_conv, transposed),
    NARROW("mode", cbn_conv, padding_mode),
    NARROW("bias", cbn_conv, has_bias),
    WIDE("n", cbn_conv, batch),
    WIDE("c", cbn_conv, in_channels),
    WIDE("o", cbn_conv, out_channels),
    WIDE("g", cbn_conv, groups),
    SPATIAL_FIELD("i", cbn_conv, input),
    SPATIAL_FIELD("k", cbn_conv, kernel),
    SPATIAL_FIELD("s", cbn_conv, stride),
    SPATIAL_FIELD("d", cbn_conv, dilation),
    SPATIAL_FIELD("e", cbn_conv, input_dilation),
    SPATIAL_FIELD("p", cbn_conv, pad_begin),
    SPATIAL_FIELD("q", cbn_conv, pad_end),
    SPATIAL_FIELD("x", cbn_conv, output_padding),
    {NULL, 0, false}};

static const field batchnorm_fields[] = {
    NARROW("size", cbn_batchnorm, struct_size),
    NARROW("rank", cbn_batchnorm, spatial_rank),
    NARROW("direction", cbn_batchnorm, direction),
    NARROW("statistics", cbn_batchnorm, statistics),
    NARROW("update", cbn_batchnorm, update_running),
    NARROW("variance", cbn_batchnorm, running_variance),
    NARROW("weight", cbn_batchnorm, has_weight),
    NARROW("bias", cbn_batchnorm, has_bias),
    WIDE("n", cbn_batchnorm, batch),
    WIDE("c", cbn_batchnorm, channels),
    SPATIAL_FIELD("i", cbn_batchnorm, extent),
    {NULL, 0, false}};

/* Sets fields of an operator as the text says: `n=2 i0=5 i1=2^62`. */
static void set_fields(void *operator, const field *fields, const char *text) {
  char copy[512], *rest = copy, *item;
  snprintf(copy, sizeof copy, "%s", text);
  while ((item = strsep(&rest, " ")) != NULL) {
    char *value = strchr(item, '=');
    if (value == NULL) continue;
    *value++ = '\0';
    char *end;
    int64_t number = strtoll(value, &end, 10);
    if (*end == '^') number = (int64_t)1 << atoi(end + 1);
    if (*end == '^' && strchr(end, '-') != NULL) number -= atoi(strchr(end, '-') + 1);
    const field *f = fields;
    while (f->name != NULL && strcmp(f->name, item) != 0) f++;
    if (f->name == NULL) fail_msg("there is no field %s", item);
    const int32_t narrow = (int32_t)number;
    memcpy((char *)operator + f->offset, f->narrow ? (const void *)&narrow : &number, f->narrow ? sizeof narrow : sizeof number);
  }
}

/* A plane convolution of 2 x 4 x 9 x 9 by 3 x 3 in two groups, with what the texts say; where they make the rank another
 * one, entries beyond it are zero unless they say those too. */
static cbn_conv conv_of_both(const char *common, const char *text) {
  cbn_conv conv = cbn_conv_make(2);
  set_fields(&conv, conv_fields, "n=2 c=4 o=6 g=2 i0=9 i1=9 k0=3 k1=3");
  set_fields(&conv, conv_fields, common);
  set_fields(&conv, conv_fields, text);
  for (int a = conv.spatial_rank; a >= 0 && a < CBN_MAX_SPATIAL; a++)
    conv.input[a] = conv.kernel[a] = conv.stride[a] = conv.dilation[a] = conv.input_dilation[a] = 0;
  set_fields(&conv, conv_fields, common);
  set_fields(&conv, conv_fields, text);
  return conv;
}

static cbn_conv conv_of(const char *text) { return conv_of_both(text, ""); }

static void expect_conv_rule(const char *common, const char *text, const char *rule, const char *words) {
  const cbn_conv conv = conv_of_both(common, text);
  cbn_violation v = {.rule = -1};
  const bool valid = cbn_conv_validate(&conv, &v);
  if (valid) fail_msg("'%s %s' is valid, %s was expected", common, text, rule);
  if (strcmp(cbn_rule_name(v.rule), rule) != 0)
    fail_msg("'%s %s' breaks %s (%s), %s was expected", common, text, cbn_rule_name(v.rule), v.message, rule);
  if (strstr(v.message, words) == NULL) fail_msg("'%s': the message does not say '%s': %s", text, words, v.message);
}

static void expect_conv_valid(const char *common, const char *text) {
  const cbn_conv conv = conv_of_both(common, text);
  cbn_violation v;
  if (!cbn_conv_validate(&conv, &v)) fail_msg("'%s %s' is refused: %s", common, text, v.message);
}

static void each_convolution_rule_on_both_sides_of_its_edge(void **state) {
  (void)state;
  static const struct {
    const char *common, *inside, *outside, *rule, *words;
  } rows[] = {
      {"", "size=248", "size=55", "missing-parameter", "must be >= 56, where the groups end, got 55"}, /* 6*4 + 4*8 */
      {"", "rank=1", "rank=0", "spatial-rank", "got 0"},
      {"k2=1 s2=1 d2=1 e2=1", "rank=3", "rank=4", "spatial-rank", "got 4"},
      {"", "mode=0", "mode=-1", "padding-mode-unknown", "got -1"},
      {"", "mode=3", "mode=4", "padding-mode-unknown", "got 4"},
      {"", "direction=0", "direction=-1", "parameter-type", "got -1"},
      {"", "direction=3", "direction=4", "parameter-type", "got 4"},
      {"", "transposed=0", "transposed=-1", "parameter-type", "transposed must be 0 or 1, got -1"},
      {"", "transposed=1", "transposed=2", "parameter-type", "transposed must be 0 or 1, got 2"},
      {"", "bias=0", "bias=-3", "parameter-type", "has_bias must be 0 or 1, got -3"},
      {"", "bias=1", "bias=2", "parameter-type", "has_bias must be 0 or 1, got 2"},
      {"", "i2=0", "i2=1", "parameter-length", "input extent must be 0 beyond 2 spatial axes, got 1 in entry 2"},
      {"rank=1", "i1=0", "i1=-4", "parameter-length", "beyond 1 spatial axes, got -4 in entry 1"},
      {"", "k2=0", "k2=3", "parameter-length", "kernel must be 0"},
      {"", "s2=0", "s2=1", "parameter-length", "stride must be 0"},
      {"rank=1", "d1=0", "d1=1", "parameter-length", "dilation must be 0"},
      {"rank=1", "e2=0", "e2=1", "parameter-length", "input dilation must be 0"},
      {"", "p2=0", "p2=-1", "parameter-length", "pad_begin must be 0"},
      {"rank=1", "q1=0", "q1=2", "parameter-length", "pad_end must be 0"},
      {"transposed=1", "x2=0", "x2=1", "parameter-length", "output padding must be 0"},
      {"rank=3 k2=1 s2=1 d2=1 e2=1 i2=3", "p2=1", "rank=2 p2=1", "parameter-length", "got 3 in entry 2"},
      {"", "n=0", "n=-1", "extent-non-negative", "batch must be >= 0, got -1"},
      {"", "c=0", "c=-2", "extent-non-negative", "in_channels must be >= 0, got -2"},
      {"", "o=0", "o=-2", "extent-non-negative", "out_channels must be >= 0, got -2"},
      {"", "i0=0", "i0=-1", "extent-non-negative", "got -1 on axis H"},
      {"", "i1=0", "i1=-9223372036854775808", "extent-non-negative", "got -9223372036854775808 on axis W"},
      {"rank=3 i2=4 k2=1 s2=1 d2=1 e2=1", "i0=0", "i0=-1", "extent-non-negative", "got -1 on axis D"},
      {"", "g=1", "g=0", "groups-positive", "got 0"},
      {"", "g=1", "g=-2", "groups-positive", "got -2"},
      {"c=6", "g=2", "g=4", "groups-divide-in-channels", "got 4 and 6"},
      {"c=0", "g=2", "g=4", "groups-divide-out-channels", "got 4 and 6"},
      {"c=12", "g=6", "g=12", "groups-divide-out-channels", "got 12 and 6"},
      {"", "k0=1", "k0=0", "kernel-positive", "kernel must be >= 1, got 0 on axis H"},
      {"", "k1=1", "k1=-3", "kernel-positive", "got -3 on axis W"},
      {"", "s0=1", "s0=0", "stride-positive", "stride must be >= 1, got 0 on axis H"},
      {"", "s1=9223372036854775807", "s1=-1", "stride-positive", "got -1 on axis W"},
      {"", "d0=1", "d0=0", "dilation-positive", "dilation must be >= 1, got 0 on axis H"},
      {"", "d1=1", "d1=-1", "dilation-positive", "got -1 on axis W"},
      {"", "e0=1", "e0=0", "input-dilation-positive", "input dilation must be >= 1, got 0 on axis H"},
      {"", "e1=2", "e1=-1", "input-dilation-positive", "got -1 on axis W"},
      {"mode=1", "p0=8", "p0=9", "reflect-pad-less-than-input", "extent 9, got 9 on axis H"},
      {"mode=1", "q1=8", "q1=10", "reflect-pad-less-than-input", "extent 9, got 10 on axis W"},
      {"mode=1 i0=0", "p0=0", "p0=1", "reflect-pad-less-than-input", "extent 0, got 1 on axis H"},
      {"mode=3", "p0=9", "p0=10", "circular-pad-at-most-input", "extent 9, got 10 on axis H"},
      {"mode=3", "q1=9", "q1=10", "circular-pad-at-most-input", "got 10 on axis W"},
      {"mode=3 i0=0", "p0=0", "p0=1", "circular-pad-at-most-input", "extent 0, got 1 on axis H"},
      {"mode=2 i0=0", "p0=0", "p0=1", "replicate-needs-input", "extent 0 on axis H"},
      {"mode=2 i1=0", "q1=-1", "q1=1", "replicate-needs-input", "on axis W"},
      {"mode=2", "p0=1000", "p0=1000 transposed=1", "padding-mode-needs-plain-input", "transposed"},
      {"mode=1", "e1=1", "e1=2", "padding-mode-needs-plain-input", "got 2 on axis W"},
      {"mode=0", "e1=2 p0=100", "mode=3 p0=0 e1=2", "padding-mode-needs-plain-input", "got 2 on axis W"},
      {"transposed=1", "e1=1", "e1=2", "input-dilation-forward-only", "got 2 on axis W"},
      {"", "x0=0", "x0=1", "output-padding-range", "< 1, got 1 on axis H"},
      {"", "x1=0", "x1=-1", "output-padding-range", "got -1 on axis W"},
      {"transposed=1 s0=3", "x0=2", "x0=3", "output-padding-range", "< 3, got 3 on axis H"},
      {"transposed=1 d1=4", "x1=3", "x1=4", "output-padding-range", "< 4, got 4 on axis W"},
      {"transposed=1", "x0=0", "x0=1", "output-padding-range", "got 1 on axis H"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    expect_conv_valid(rows[i].common, rows[i].inside);
    expect_conv_rule(rows[i].common, rows[i].outside, rows[i].rule, rows[i].words);
  }
}

/* A line of one axis, batch 0 where only extents are to be large: nothing is allocated, strides must fit all the same. */
static void sizes_of_convolutions_are_counted_to_63_bits(void **state) {
  (void)state;
  static const struct {
    const char *common, *inside, *outside, *words;
  } rows[] = {
      {"rank=1 g=1 c=1 o=1 k0=1 n=1", "i0=2^60-1", "i0=2^60", "input"},
      {"rank=1 g=1 c=1 o=1 k0=1 n=0", "i0=2^62", "i0=2^62 c=2", "input"},
      {"rank=1 g=1 c=1 k0=1 n=0", "i0=2^62 o=1", "i0=2^62 o=2", "output"},
      {"rank=1 g=1 c=1 o=1 n=0 i0=4", "k0=2^60-1", "k0=2^60", "weight"},
      {"rank=1 g=1 c=1 o=1 n=0 i0=2^62 k0=1", "p0=2^61", "p0=2^62", "output"},
      {"rank=1 g=1 c=1 o=1 n=0 k0=3 i0=4", "d0=2^62-1", "d0=2^62", "output"},
      {"rank=1 g=1 c=1 o=1 n=0 k0=1", "e0=2^61 i0=3", "e0=2^62 i0=3", "output"},
      {"rank=1 g=1 c=1 o=1 n=0 k0=1 i0=2 transposed=1", "s0=2^61", "s0=9223372036854775807", "output"},
      {"rank=1 g=1 c=1 o=1 n=0 k0=1 i0=9", "p0=-9223372036854775808 q0=0", "p0=-9223372036854775808 q0=-10", "output"},
      {"g=1 c=2^20 o=1 n=2^20 k0=3 k1=3 p0=1 q0=1 p1=1 q1=1", "i0=1 i1=1", "i0=2^10 i1=2^10 o=4", "input"},
      {"g=1 n=1 i0=2^14 i1=2^14 k0=2^7 k1=2^7 o=2^10", "c=2^9", "c=2^12", "multiply-adds"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    expect_conv_valid(rows[i].common, rows[i].inside);
    expect_conv_rule(rows[i].common, rows[i].outside, "extent-overflow", rows[i].words);
  }
  expect_conv_valid("rank=1 g=1 n=0 c=0 k0=1 i0=1 bias=1", "o=2^60-1");
  expect_conv_rule("rank=1 g=1 n=0 c=0 k0=1 i0=1 bias=1", "o=2^60", "extent-overflow", "bias");
}

/* All rules broken at once; each line mends the one that speaks. */
static void convolution_rules_speak_in_their_order(void **state) {
  (void)state;
  static const struct {
    const char *rule, *mend;
  } rows[] = {
      {"missing-parameter", "size=248"},
      {"spatial-rank", "rank=2"},
      {"padding-mode-unknown", "mode=3"},
      {"parameter-type", "direction=0"},
      {"parameter-type", "transposed=1"},
      {"parameter-type", "bias=1"},
      {"parameter-length", "p2=0"},
      {"extent-non-negative", "n=2^20"},
      {"extent-non-negative", "c=5"},
      {"extent-non-negative", "o=7"},
      {"extent-non-negative", "i0=2^20"},
      {"extent-non-negative", "i1=2^20"},
      {"groups-positive", "g=2"},
      {"groups-divide-in-channels", "c=4"},
      {"groups-divide-out-channels", "o=6"},
      {"kernel-positive", "k0=3 k1=3"},
      {"stride-positive", "s0=1 s1=1"},
      {"dilation-positive", "d0=1 d1=1"},
      {"input-dilation-positive", "e0=2 e1=2"},
      {"input-dilation-forward-only", "transposed=0"},
      {"padding-mode-needs-plain-input", "e0=1 e1=1"},
      {"circular-pad-at-most-input", "p0=0 p1=0 q0=0 q1=0"},
      {"output-padding-range", "x0=0 x1=0"},
      {"extent-overflow", "n=1"},
  };
  cbn_violation v;
  cbn_conv conv = conv_of("size=0 rank=9 mode=9 direction=9 transposed=2 bias=2 p2=1 n=-1 c=-1 o=-1 g=0 i0=-1 i1=-1 k0=0 k1=0 s0=0 s1=0 d0=0 "
                          "d1=0 e0=0 e1=0 p0=2^40 p1=2^40 q0=2^40 q1=2^40 x0=9 x1=9");
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_false(cbn_conv_validate(&conv, &v));
    assert_string_equal(cbn_rule_name(v.rule), rows[i].rule);
    set_fields(&conv, conv_fields, rows[i].mend);
  }
  assert_true(cbn_conv_validate(&conv, &v));
}

static void convolutions_begin_neutral(void **state) {
  (void)state;
  for (int32_t rank = 1; rank <= CBN_MAX_SPATIAL; rank++) {
    const cbn_conv c = cbn_conv_make(rank);
    assert_int_equal(c.struct_size, sizeof c);
    assert_int_equal(c.spatial_rank, rank);
    assert_int_equal(c.groups, 1);
    for (int a = 0; a < CBN_MAX_SPATIAL; a++) {
      assert_int_equal(c.kernel[a] * 1000 + c.stride[a] * 100 + c.dilation[a] * 10 + c.input_dilation[a], a < rank ? 1111 : 0);
      assert_int_equal(c.pad_begin[a] | c.pad_end[a] | c.output_padding[a], 0);
    }
    assert_int_equal(c.has_bias | c.transposed | c.direction | c.padding_mode, 0);
  }
}

static void output_extents_by_hand(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t extent; /* of axis 0; the rank is 1 */
  } rows[] = {
      {"i0=9 k0=3", 7},
      {"i0=9 k0=3 s0=2", 4},
      {"i0=8 k0=3 s0=2", 3},
      {"i0=9 k0=3 d0=4", 1},
      {"i0=9 k0=3 d0=4 p0=1", 2},
      {"i0=8 k0=3 d0=4", 0},
      {"i0=5 k0=3 s0=2 p0=1 q0=1", 3},
      {"i0=5 k0=1 s0=9223372036854775807", 1},
      {"i0=5 k0=6 s0=2", 0}, /* floor(-1 / 2) + 1, not -1 / 2 + 1 */
      {"i0=5 k0=7", 0},
      {"i0=5 k0=1000 s0=3", 0},
      {"i0=5 k0=6 q0=1 s0=2", 1},
      {"i0=5 k0=1 p0=-1 q0=-2", 2},
      {"i0=5 k0=2 p0=-4", 0},
      {"i0=5 k0=1 p0=-7 q0=3", 1},
      {"i0=5 k0=1 p0=-6", 0},
      {"i0=0 k0=1", 0},
      {"i0=0 k0=2 p0=1 q0=1", 1},
      {"i0=0 k0=3 p0=1 q0=1", 0},
      {"i0=0 k0=1 p0=3 e0=5", 3}, /* nothing, dilated, is nothing */
      {"i0=5 k0=3 e0=2", 7},
      {"i0=1 k0=1 e0=100", 1},
      {"i0=3 k0=2 e0=3 s0=2 p0=1", 4}, /* 7 + 1 places, 7 windows */
      {"n=0 i0=2^62 k0=1 s0=2^62", 1},
      {"n=0 i0=2^62 k0=2 s0=2^61", 2},
      {"n=0 i0=2^62 k0=2^59", 4035225266123964417}, /* 2^62 - 2^59 + 1 */
      {"n=0 i0=2^62 p0=-4611686018427387904 k0=1", 0},
      {"transposed=1 i0=5 k0=3 s0=2 p0=1 q0=1 x0=1", 10},
      {"transposed=1 i0=5 k0=3 s0=2 p0=1 q0=1", 9},
      {"transposed=1 i0=4 k0=3", 6},
      {"transposed=1 i0=4 k0=3 d0=3", 10},
      {"transposed=1 i0=4 k0=3 d0=3 x0=2", 12},
      {"transposed=1 i0=1 k0=1 s0=7", 1},
      {"transposed=1 i0=1 k0=3 p0=2 q0=2", 0},
      {"transposed=1 i0=2 k0=2 p0=-1 q0=-1", 5},
      {"transposed=1 n=0 i0=2 k0=1 s0=2^61", 2305843009213693953},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    cbn_conv conv = conv_of("rank=1 g=1 c=1 o=1");
    cbn_violation v;
    int64_t extent[CBN_MAX_RANK];
    set_fields(&conv, conv_fields, rows[i].text);
    if (!cbn_conv_validate(&conv, &v)) fail_msg("%s: %s", rows[i].text, v.message);
    const int64_t got = cbn_conv_output_extent(&conv, 0);
    if (got != rows[i].extent) fail_msg("%s: %" PRId64 ", not %" PRId64, rows[i].text, got, rows[i].extent);
    assert_int_equal(cbn_conv_extents(&conv, CBN_ROLE_OUTPUT, extent), 3);
    assert_int_equal(extent[2], rows[i].extent);
  }
}

/* The output has one element for each place of the window that lies inside the padded input: count them. */
static void output_extents_count_the_windows(void **state) {
  (void)state;
  cbn_conv c = conv_of("rank=1 g=1 c=1 o=1 n=1");
  for (c.input[0] = 0; c.input[0] < 7; c.input[0]++)
    for (c.kernel[0] = 1; c.kernel[0] < 5; c.kernel[0]++)
      for (c.stride[0] = 1; c.stride[0] < 5; c.stride[0]++)
        for (c.dilation[0] = 1; c.dilation[0] < 4; c.dilation[0]++)
          for (c.input_dilation[0] = 1; c.input_dilation[0] < 4; c.input_dilation[0]++)
            for (c.pad_begin[0] = -3; c.pad_begin[0] < 4; c.pad_begin[0]++)
              for (c.pad_end[0] = -3; c.pad_end[0] < 4; c.pad_end[0]++) {
                int64_t last = -1 + c.pad_end[0], windows = 0; /* the last place of the padded input, the first being -pad_begin */
                for (int64_t i = 0; i < c.input[0]; i++) last += i == 0 ? 1 : c.input_dilation[0];
                for (int64_t at = -c.pad_begin[0]; at + (c.kernel[0] - 1) * c.dilation[0] <= last; at += c.stride[0]) windows++;
                assert_int_equal(cbn_conv_output_extent(&c, 0), windows);
              }
}

static void extents_of_each_tensor_of_a_convolution(void **state) {
  (void)state;
  int64_t e[CBN_MAX_RANK];
  cbn_conv c = conv_of("rank=3 i0=5 i1=6 i2=7 k0=1 k1=2 k2=3 s2=2 d2=1 e2=1 bias=1");
  static const struct {
    int role;
    int32_t rank;
    int64_t plain[CBN_MAX_RANK], transposed[CBN_MAX_RANK];
  } rows[] = {
      {CBN_ROLE_INPUT, 5, {2, 4, 5, 6, 7}, {2, 4, 5, 6, 7}},
      {CBN_ROLE_GRAD_INPUT, 5, {2, 4, 5, 6, 7}, {2, 4, 5, 6, 7}},
      {CBN_ROLE_WEIGHT, 5, {6, 2, 1, 2, 3}, {4, 3, 1, 2, 3}},
      {CBN_ROLE_GRAD_WEIGHT, 5, {6, 2, 1, 2, 3}, {4, 3, 1, 2, 3}},
      {CBN_ROLE_BIAS, 1, {6}, {6}},
      {CBN_ROLE_GRAD_BIAS, 1, {6}, {6}},
      {CBN_ROLE_OUTPUT, 5, {2, 6, 5, 5, 3}, {2, 6, 5, 7, 15}},
      {CBN_ROLE_GRAD_OUTPUT, 5, {2, 6, 5, 5, 3}, {2, 6, 5, 7, 15}},
      {CBN_ROLE_RUNNING_MEAN, 0, {0}, {0}},
      {CBN_ROLE_RUNNING_VAR, 0, {0}, {0}},
  };
  for (c.transposed = 0; c.transposed < 2; c.transposed++)
    for (size_t i = 0; i < COUNT(rows); i++) {
      assert_int_equal(cbn_conv_extents(&c, rows[i].role, e), rows[i].rank);
      assert_memory_equal(e, c.transposed ? rows[i].transposed : rows[i].plain, (size_t)rows[i].rank * sizeof *e);
    }
  c.has_bias = 0;
  assert_int_equal(cbn_conv_extents(&c, CBN_ROLE_BIAS, e), 0);
  c.transposed = 0;
  assert_int_equal(cbn_conv_work(&c), 2 * 6 * 5 * 5 * 3 * 2 * 6); /* output elements, channels of a group, kernel */
  c.transposed = 1;
  assert_int_equal(cbn_conv_work(&c), 2 * 4 * 5 * 6 * 7 * 3 * 6);
}

/* ---------------------------------------------------------------------------------------------- batch normalization */

/* As conv_of_both: 2 x 3 x 4 x 5. */
static cbn_batchnorm batchnorm_of_both(const char *common, const char *text) {
  cbn_batchnorm b = cbn_batchnorm_make(2);
  set_fields(&b, batchnorm_fields, "n=2 c=3 i0=4 i1=5");
  set_fields(&b, batchnorm_fields, common);
  set_fields(&b, batchnorm_fields, text);
  for (int a = b.spatial_rank; a >= 0 && a < CBN_MAX_SPATIAL; a++) b.extent[a] = 0;
  set_fields(&b, batchnorm_fields, common);
  set_fields(&b, batchnorm_fields, text);
  return b;
}

static cbn_batchnorm batchnorm_of(const char *text) { return batchnorm_of_both(text, ""); }

static void each_batchnorm_rule_on_both_sides_of_its_edge(void **state) {
  (void)state;
  static const struct {
    const char *common, *inside, *outside, *rule, *words;
  } rows[] = {
      {"", "size=88", "size=47", "missing-parameter", "must be >= 48, where the channels end, got 47"}, /* 8*4 + 2*8 */
      {"", "rank=0", "rank=-1", "spatial-rank", "got -1"},
      {"", "rank=3 i2=2", "rank=4 i2=2", "spatial-rank", "got 4"},
      {"", "direction=1", "direction=2", "parameter-type", "got 2"},
      {"", "direction=0", "direction=-1", "parameter-type", "got -1"},
      {"", "statistics=1", "statistics=7", "parameter-type", "statistics must be 0 or 1, got 7"},
      {"", "statistics=0", "statistics=-1", "parameter-type", "statistics must be 0 or 1, got -1"},
      {"", "update=1", "update=2", "parameter-type", "update_running must be 0 or 1, got 2"},
      {"", "update=0", "update=-1", "parameter-type", "update_running must be 0 or 1, got -1"},
      {"", "variance=1", "variance=5", "parameter-type", "running_variance must be 0 or 1, got 5"},
      {"", "variance=0", "variance=-1", "parameter-type", "running_variance must be 0 or 1, got -1"},
      {"", "weight=1", "weight=2", "parameter-type", "has_weight must be 0 or 1, got 2"},
      {"", "weight=0", "weight=-1", "parameter-type", "has_weight must be 0 or 1, got -1"},
      {"", "bias=1", "bias=2", "parameter-type", "has_bias must be 0 or 1, got 2"},
      {"", "bias=0", "bias=-3", "parameter-type", "has_bias must be 0 or 1, got -3"},
      {"", "i2=0", "i2=1", "parameter-length", "input extent must be 0 beyond 2 spatial axes, got 1 in entry 2"},
      {"rank=0", "i0=0", "i0=-1", "parameter-length", "beyond 0 spatial axes, got -1 in entry 0"},
      {"rank=3 i2=2", "i2=3", "rank=2", "parameter-length", "got 2 in entry 2"},
      {"", "n=0", "n=-1", "extent-non-negative", "batch must be >= 0, got -1"},
      {"", "c=0", "c=-5", "extent-non-negative", "channels must be >= 0, got -5"},
      {"", "i0=0", "i0=-1", "extent-non-negative", "got -1 on axis H"},
      {"", "i1=0", "i1=-7", "extent-non-negative", "got -7 on axis W"},
      {"c=1 i0=1 i1=1", "n=2^60-1", "n=2^60", "extent-overflow", "input"},
      {"n=0 i0=1 i1=1", "c=2^60-1", "c=2^60", "extent-overflow", ""}, /* the channels' own vectors */
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    const cbn_batchnorm inside = batchnorm_of_both(rows[i].common, rows[i].inside);
    const cbn_batchnorm outside = batchnorm_of_both(rows[i].common, rows[i].outside);
    cbn_violation v;
    if (!cbn_batchnorm_validate(&inside, &v)) fail_msg("'%s' is refused: %s", rows[i].inside, v.message);
    if (cbn_batchnorm_validate(&outside, &v)) fail_msg("'%s %s' is valid", rows[i].common, rows[i].outside);
    assert_string_equal(cbn_rule_name(v.rule), rows[i].rule);
    if (strstr(v.message, rows[i].words) == NULL)
      fail_msg("'%s': the message does not say '%s': %s", rows[i].outside, rows[i].words, v.message);
  }
}

static void any_epsilon_and_weight_are_valid(void **state) {
  (void)state;
  static const double numbers[] = {0, -1, INFINITY, -INFINITY, NAN, 0x1p-149};
  for (size_t i = 0; i < COUNT(numbers); i++) {
    cbn_batchnorm b = batchnorm_of("");
    cbn_violation v;
    b.epsilon = b.new_weight = numbers[i];
    assert_true(cbn_batchnorm_validate(&b, &v));
  }
}

static void extents_of_each_tensor_of_a_batchnorm(void **state) {
  (void)state;
  int64_t e[CBN_MAX_RANK];
  static const int64_t input[] = {2, 3, 4, 5};
  static const struct {
    const char *text;
    int weight, bias, statistics;
  } rows[] = {
      {"statistics=1 update=0", 1, 1, 1}, {"statistics=0 update=1", 1, 1, 1}, {"statistics=0 update=0", 1, 1, 0},
      {"weight=0", 0, 1, 1},              {"bias=0", 1, 0, 1},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    const cbn_batchnorm b = batchnorm_of(rows[i].text);
    static const int whole[] = {CBN_ROLE_INPUT, CBN_ROLE_OUTPUT, CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_OUTPUT};
    for (size_t k = 0; k < COUNT(whole); k++) {
      assert_int_equal(cbn_batchnorm_extents(&b, whole[k], e), 4);
      assert_memory_equal(e, input, sizeof input);
    }
    const struct {
      int role, rank;
    } vectors[] = {{CBN_ROLE_WEIGHT, rows[i].weight},           {CBN_ROLE_GRAD_WEIGHT, rows[i].weight},
                   {CBN_ROLE_BIAS, rows[i].bias},               {CBN_ROLE_GRAD_BIAS, rows[i].bias},
                   {CBN_ROLE_RUNNING_MEAN, rows[i].statistics}, {CBN_ROLE_RUNNING_VAR, rows[i].statistics}};
    for (size_t k = 0; k < COUNT(vectors); k++) {
      e[0] = 3;
      assert_int_equal(cbn_batchnorm_extents(&b, vectors[k].role, e), vectors[k].rank);
      assert_int_equal(e[0], 3);
    }
    assert_int_equal(cbn_batchnorm_work(&b), 120);
  }
}

static void batchnorms_begin_in_evaluation(void **state) {
  (void)state;
  const cbn_batchnorm b = cbn_batchnorm_make(2);
  assert_int_equal(b.struct_size, sizeof b);
  assert_int_equal(b.statistics, CBN_STATISTICS_RUNNING);
  assert_int_equal(b.has_weight + b.has_bias, 2);
  assert_int_equal(b.update_running, 0);
  assert_true(b.epsilon == 1e-5 && b.new_weight == 0.1);
}

/* ------------------------------------------------------------------------------------------------------- calls */

/* A call with dense tensors for each role that the text's roles name, all on the same memory. */
typedef struct made_call {
  cbn_call call;
  cbn_conv conv;
  cbn_batchnorm batchnorm;
  cbn_tensor tensor[CBN_ROLE_COUNT];
} made_call;

static float memory[1024];

static void make_call(made_call *m, bool conv, int32_t direction, const int *roles) {
  *m = (made_call){.conv = conv_of("bias=1"), .batchnorm = batchnorm_of("")};
  m->call = (cbn_call){.struct_size = sizeof m->call, .operator_kind = conv ? CBN_OPERATOR_CONV : CBN_OPERATOR_BATCHNORM,
                       .conv = conv ? &m->conv : NULL, .batchnorm = conv ? NULL : &m->batchnorm, .threads = 1};
  m->conv.direction = m->batchnorm.direction = direction;
  for (; *roles >= 0; roles++) {
    int64_t e[CBN_MAX_RANK];
    const int32_t rank = conv ? cbn_conv_extents(&m->conv, *roles, e) : cbn_batchnorm_extents(&m->batchnorm, *roles, e);
    assert_true(cbn_tensor_describe(&m->tensor[*roles], CBN_F32, rank, e, CBN_CONTIGUOUS));
    m->tensor[*roles].data = memory;
    m->call.tensor[*roles] = &m->tensor[*roles];
  }
}

static const char *call_rule(const made_call *m) {
  cbn_violation v = {.rule = -1};
  return cbn_call_validate(&m->call, &v) ? "valid" : cbn_rule_name(v.rule);
}

static const struct {
  bool conv;
  int32_t direction;
  int roles[10];
} whole_calls[] = {
    {true, CBN_FORWARD, {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_OUTPUT, -1}},
    {true, CBN_GRAD_INPUT, {CBN_ROLE_WEIGHT, CBN_ROLE_GRAD_OUTPUT, CBN_ROLE_GRAD_INPUT, -1}},
    {true, CBN_GRAD_WEIGHT, {CBN_ROLE_INPUT, CBN_ROLE_GRAD_OUTPUT, CBN_ROLE_GRAD_WEIGHT, -1}},
    {true, CBN_GRAD_BIAS, {CBN_ROLE_GRAD_OUTPUT, CBN_ROLE_GRAD_BIAS, -1}},
    {false, CBN_FORWARD, {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR,
                          CBN_ROLE_OUTPUT, -1}},
    {false, CBN_GRAD_INPUT, {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR,
                             CBN_ROLE_GRAD_OUTPUT, CBN_ROLE_GRAD_INPUT, CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS, -1}},
};

static void calls_have_their_tensors_and_no_others(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(whole_calls); i++) {
    made_call m;
    make_call(&m, whole_calls[i].conv, whole_calls[i].direction, whole_calls[i].roles);
    if (strcmp(call_rule(&m), "valid") != 0) fail_msg("call %zu: %s", i, call_rule(&m));
    for (int role = 0; role < CBN_ROLE_COUNT; role++) {
      const cbn_tensor *kept = m.call.tensor[role], other = {.type = CBN_F32, .rank = 1, .extent = {3}, .stride = {1}, .data = memory};
      m.call.tensor[role] = kept != NULL ? NULL : &other;
      if (strcmp(call_rule(&m), "valid") == 0) fail_msg("call %zu is valid with %s wrong", i, cbn_role_name(role));
      m.call.tensor[role] = kept;
    }
  }
}

static void tensors_of_calls_fit(void **state) {
  (void)state;
  static const struct {
    bool conv;
    int role;
    const char *rule;
  } rows[] = {
      {true, CBN_ROLE_INPUT, "input-rank"},          {true, CBN_ROLE_WEIGHT, "weight-shape"},
      {true, CBN_ROLE_BIAS, "bias-shape"},           {false, CBN_ROLE_WEIGHT, "statistics-shape"},
      {false, CBN_ROLE_BIAS, "statistics-shape"},    {false, CBN_ROLE_RUNNING_MEAN, "statistics-shape"},
      {false, CBN_ROLE_RUNNING_VAR, "statistics-shape"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    made_call m;
    make_call(&m, rows[i].conv, CBN_FORWARD, whole_calls[rows[i].conv ? 0 : 4].roles);
    cbn_tensor *t = &m.tensor[rows[i].role];
    t->extent[t->rank - 1]++;
    assert_string_equal(call_rule(&m), rows[i].rule);
    t->extent[t->rank - 1]--;
    t->rank--;
    assert_string_equal(call_rule(&m), rows[i].rule);
    t->rank++;
    t->type = CBN_BF16 + 1;
    assert_string_equal(call_rule(&m), "tensor-type");
    t->type = CBN_F32;
    assert_string_equal(call_rule(&m), "valid");
    t->data = NULL;
    assert_string_equal(call_rule(&m), "tensor-type");
  }
}

/* A convolution has one type; a batch normalization of f16 or bf16 may have parameters in f32. */
static void types_of_calls_go_together(void **state) {
  (void)state;
  static const struct {
    bool conv;
    int32_t activations, layer;
    const char *rule;
  } rows[] = {
      {true, CBN_F64, CBN_F64, "valid"},        {true, CBN_BF16, CBN_BF16, "valid"},
      {true, CBN_F16, CBN_F32, "tensor-type"},  {true, CBN_F32, CBN_F64, "tensor-type"},
      {false, CBN_F16, CBN_F16, "valid"},       {false, CBN_F16, CBN_F32, "valid"},
      {false, CBN_BF16, CBN_F32, "valid"},      {false, CBN_F32, CBN_F16, "tensor-type"},
      {false, CBN_F16, CBN_F64, "tensor-type"}, {false, CBN_F64, CBN_F32, "tensor-type"},
      {false, CBN_F16, CBN_BF16, "tensor-type"},
  };
  for (size_t i = 0; i < COUNT(rows); i++)
    for (size_t k = 0; k < COUNT(whole_calls); k++) {
      made_call m;
      if (whole_calls[k].conv != rows[i].conv || whole_calls[k].direction == CBN_GRAD_BIAS) continue;
      make_call(&m, rows[i].conv, whole_calls[k].direction, whole_calls[k].roles);
      for (int role = 0; role < CBN_ROLE_COUNT; role++) {
        const bool activation = role == CBN_ROLE_INPUT || role == CBN_ROLE_OUTPUT || role == CBN_ROLE_GRAD_OUTPUT ||
                                role == CBN_ROLE_GRAD_INPUT;
        m.tensor[role].type = activation ? rows[i].activations : rows[i].layer;
      }
      if (strcmp(call_rule(&m), rows[i].rule) != 0) fail_msg("row %zu, call %zu: %s", i, k, call_rule(&m));
      if (strcmp(rows[i].rule, "valid") != 0) continue;
      const int last = whole_calls[k].conv ? CBN_ROLE_WEIGHT : CBN_ROLE_RUNNING_VAR; /* one of them alone differs */
      if (m.call.tensor[last] == NULL) continue;
      m.tensor[last].type = rows[i].layer == CBN_F64 ? CBN_F32 : CBN_F64;
      assert_string_equal(call_rule(&m), "tensor-type");
    }
}

static void gradients_update_nothing(void **state) {
  (void)state;
  cbn_batchnorm b = batchnorm_of("");
  cbn_violation v;
  b.direction = CBN_GRAD_INPUT;
  b.update_running = 0;
  assert_true(cbn_batchnorm_validate(&b, &v));
  b.update_running = 1;
  assert_false(cbn_batchnorm_validate(&b, &v));
  assert_string_equal(cbn_rule_name(v.rule), "backward-updates-nothing");
}

static void arithmetic_classes_have_names(void **state) {
  (void)state;
  assert_string_equal(cbn_arithmetic_name(0), "flushes-subnormals");
  assert_string_equal(cbn_arithmetic_name(4), "bf16-products");
  assert_null(cbn_arithmetic_name(5));
  assert_null(cbn_arithmetic_name(-1));
}

/* ------------------------------------------------------------------------------------------------------ views */

/* Every second element of rows that are three longer: element (i, j) of a 3x4 tensor lies at 11 i + 2 j. */
static void a_strided_view_leaves_gaps(void **state) {
  (void)state;
  cbn_tensor t;
  assert_true(cbn_tensor_describe(&t, CBN_F32, 2, (int64_t[]){3, 4}, CBN_STRIDED));
  assert_int_equal(t.stride[1], 2);
  assert_int_equal(t.stride[0], 11);
  assert_int_equal(cbn_tensor_bytes(&t), (2 * 11 + 3 * 2 + 1) * 4);
  assert_true(cbn_tensor_describe(&t, CBN_F64, 1, (int64_t[]){5}, CBN_STRIDED));
  assert_int_equal(cbn_tensor_bytes(&t), 9 * 8);
  assert_false(cbn_tensor_describe(&t, CBN_F64, 1, (int64_t[]){INT64_MAX / 8}, CBN_STRIDED));
}

/* A tensor of one axis has gaps where others have them behind every axis; mixed, those that are used together differ. */
static void layouts_of_roles(void **state) {
  (void)state;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    assert_int_equal(cbn_role_layout(CBN_CONTIGUOUS, role, 1), CBN_CONTIGUOUS);
    assert_int_equal(cbn_role_layout(CBN_CHANNELS_LAST, role, 1), CBN_CONTIGUOUS);
    assert_int_equal(cbn_role_layout(CBN_PITCHED, role, 1), CBN_CONTIGUOUS);
    assert_int_equal(cbn_role_layout(CBN_STRIDED, role, 1), CBN_STRIDED);
    assert_int_equal(cbn_role_layout(CBN_PITCHED, role, 4), CBN_PITCHED);
    assert_int_equal(cbn_role_layout(CBN_STRIDED, role, 4), CBN_STRIDED);
  }
  static const int pairs[][2] = {{CBN_ROLE_WEIGHT, CBN_ROLE_BIAS},
                                 {CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR},
                                 {CBN_ROLE_GRAD_WEIGHT, CBN_ROLE_GRAD_BIAS}};
  for (size_t i = 0; i < COUNT(pairs); i++)
    assert_int_not_equal(cbn_role_layout(CBN_MIXED, pairs[i][0], 1), cbn_role_layout(CBN_MIXED, pairs[i][1], 1));
  assert_false(cbn_tensor_describe(&(cbn_tensor){0}, CBN_F64, 2, (int64_t[]){1, INT64_MAX / 8}, CBN_PITCHED));
}

static void values_round_to_their_type(void **state) {
  (void)state;
  assert_true(cbn_type_round(CBN_F64, 0.1) == 0.1);
  assert_true(cbn_type_round(CBN_F32, 0.1) == 0x1.99999ap-4);
  assert_true(cbn_type_round(CBN_F16, 0.1) == 0x1.998p-4);
  assert_true(cbn_type_round(CBN_BF16, 0.1) == 0x1.9ap-4);
  assert_true(cbn_type_round(CBN_F16, 65519.99) == 65504 && isinf(cbn_type_round(CBN_F16, 65520)));
  assert_true(cbn_type_round(CBN_F16, 0x1.8p-25) == 0x1p-24 && cbn_type_round(CBN_F16, 0x1p-25) == 0);
  assert_true(isnan(cbn_type_round(CBN_BF16, NAN)));
}

/* ------------------------------------------------------------------------------------------------------ folding */

/* Two channels, s = 4/sqrt(3+1) = 2 and 9/sqrt(8+1) = 3: w' = w s, b' = (b - mu) s + beta. */
static void folding_by_hand(void **state) {
  (void)state;
  for (int transposed = 0; transposed < 2; transposed++) {
    cbn_conv conv = cbn_conv_make(1);
    cbn_batchnorm norm = cbn_batchnorm_make(1);
    conv.transposed = transposed;
    conv.batch = 1;
    conv.in_channels = 2;
    conv.out_channels = norm.channels = 2;
    conv.input[0] = 4;
    conv.has_bias = 1;
    norm.epsilon = 1;
    float w[] = {1, 2, 3, 4}, b[] = {10, 20}, gamma[] = {4, 9}, beta[] = {100, 200}, mean[] = {1, 2}, var[] = {3, 8};
    cbn_tensor weight, vector;
    assert_true(cbn_tensor_describe(&weight, CBN_F32, 3, (int64_t[]){2, 2, 1}, CBN_CONTIGUOUS));
    assert_true(cbn_tensor_describe(&vector, CBN_F32, 1, (int64_t[]){2}, CBN_CONTIGUOUS));
    cbn_tensor of[5] = {vector, vector, vector, vector, vector};
    float *const data[] = {b, gamma, beta, mean, var};
    for (int i = 0; i < 5; i++) of[i].data = data[i];
    weight.data = w;
    const cbn_tensor *layer[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = &weight, [CBN_ROLE_BIAS] = &of[0]};
    const cbn_tensor *bn[CBN_ROLE_COUNT] = {[CBN_ROLE_WEIGHT] = &of[1], [CBN_ROLE_BIAS] = &of[2],
                                            [CBN_ROLE_RUNNING_MEAN] = &of[3], [CBN_ROLE_RUNNING_VAR] = &of[4]};
    cbn_violation v;
    assert_true(cbn_fold_batchnorm(&conv, layer, &norm, bn, &weight, &of[0], &v));
    const float plain[] = {2, 4, 9, 12}, adjoint[] = {2, 6, 6, 12}; /* s = 2, 3 of the outputs: rows, columns */
    for (int i = 0; i < 4; i++) assert_true(w[i] == (transposed ? adjoint[i] : plain[i]));
    assert_true(b[0] == 9 * 2 + 100 && b[1] == 18 * 3 + 200);
    var[1] = -1;
    assert_false(cbn_fold_batchnorm(&conv, layer, &norm, bn, &weight, &of[0], &v));
    assert_string_equal(cbn_rule_name(v.rule), "variance-positive");
    norm.channels = 3;
    assert_false(cbn_fold_batchnorm(&conv, layer, &norm, bn, &weight, &of[0], &v));
    assert_string_equal(cbn_rule_name(v.rule), "input-channels-mismatch");
    norm.statistics = CBN_STATISTICS_BATCH;
    assert_false(cbn_fold_batchnorm(&conv, layer, &norm, bn, &weight, &of[0], &v));
    assert_string_equal(cbn_rule_name(v.rule), "parameter-type");
  }
}

static void calls_describe_the_operator_that_they_name(void **state) {
  (void)state;
  made_call m;
  make_call(&m, true, CBN_FORWARD, whole_calls[0].roles);
  m.call.operator_kind = CBN_OPERATOR_BATCHNORM;
  assert_string_equal(call_rule(&m), "parameter-type");
  m.call.operator_kind = CBN_OPERATOR_COUNT;
  assert_string_equal(call_rule(&m), "parameter-type");
  m.call.operator_kind = -1;
  assert_string_equal(call_rule(&m), "parameter-type");
  m.call.operator_kind = CBN_OPERATOR_CONV;
  m.call.batchnorm = &m.batchnorm;
  assert_string_equal(call_rule(&m), "parameter-type");
  m.call.batchnorm = NULL;
  m.conv.stride[0] = 0;
  assert_string_equal(call_rule(&m), "stride-positive");
}

static void an_empty_tensor_needs_no_memory(void **state) {
  (void)state;
  made_call m = {.conv = conv_of("bias=1 n=0")};
  make_call(&m, true, CBN_FORWARD, whole_calls[0].roles);
  m.conv.batch = m.tensor[CBN_ROLE_INPUT].extent[0] = m.tensor[CBN_ROLE_OUTPUT].extent[0] = 0;
  m.tensor[CBN_ROLE_INPUT].data = m.tensor[CBN_ROLE_OUTPUT].data = NULL;
  assert_string_equal(call_rule(&m), "valid");
}

/* ------------------------------------------------------------------------------------------------------- rules */

static void rules_have_names_and_numbers(void **state) {
  (void)state;
  assert_int_equal(cbn_rule_count(), CBN_RULE_COUNT);
  for (int i = 0; i < cbn_rule_count(); i++) {
    assert_int_equal(cbn_rule_by_name(cbn_rule_name(i)), i); /* no two share a name */
    assert_true(strlen(cbn_rule_text(i)) > 10);
  }
  assert_string_equal(cbn_rule_name(CBN_RULE_STRIDE_POSITIVE), "stride-positive");
  assert_int_equal(cbn_rule_by_name("stride"), -1);
  assert_string_equal(cbn_rule_name(-1), "none");
  assert_string_equal(cbn_rule_text(CBN_RULE_COUNT), "");
}

static void checked_arithmetic_says_where_it_overflows(void **state) {
  (void)state;
  int64_t r = 0;
  assert_true(cbn_add(INT64_MAX - 1, 1, &r) && r == INT64_MAX);
  assert_false(cbn_add(INT64_MAX, 1, &r));
  assert_false(cbn_add(INT64_MIN, -1, &r));
  assert_true(cbn_subtract(-1, INT64_MAX, &r) && r == INT64_MIN);
  assert_false(cbn_subtract(0, INT64_MIN, &r));
  assert_true(cbn_multiply(P62, -2, &r) && r == INT64_MIN);
  assert_false(cbn_multiply(P62, 2, &r));
  assert_false(cbn_multiply(INT64_MIN, -1, &r));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(strides_follow_the_layout),
      cmocka_unit_test(sizes_beyond_63_bits_are_refused),
      cmocka_unit_test(a_view_takes_memory_up_to_its_last_element),
      cmocka_unit_test(positions_unravel_row_major),
      cmocka_unit_test(copies_keep_indices_and_gaps),
      cmocka_unit_test(copies_of_nothing_touch_nothing),
      cmocka_unit_test(ranges_are_read_and_written_as_elements_are),
      cmocka_unit_test(types_and_roles_have_names),
      cmocka_unit_test(each_encoding_decodes_and_returns),
      cmocka_unit_test(between_neighbours_rounding_is_to_nearest_even),
      cmocka_unit_test(sixteen_bits_by_hand),
      cmocka_unit_test(tensors_of_16_bits_round_when_written),
      cmocka_unit_test(philox_of_this_test_gives_the_known_answers),
      cmocka_unit_test(fills_draw_from_philox),
      cmocka_unit_test(fills_give_the_vectors_of_another_implementation),
      cmocka_unit_test(tensors_are_filled_as_their_elements_are),
      cmocka_unit_test(exact_fills_reach_both_ends_of_f64),
      cmocka_unit_test(fills_have_names),
      cmocka_unit_test(each_convolution_rule_on_both_sides_of_its_edge),
      cmocka_unit_test(sizes_of_convolutions_are_counted_to_63_bits),
      cmocka_unit_test(convolution_rules_speak_in_their_order),
      cmocka_unit_test(convolutions_begin_neutral),
      cmocka_unit_test(output_extents_by_hand),
      cmocka_unit_test(output_extents_count_the_windows),
      cmocka_unit_test(extents_of_each_tensor_of_a_convolution),
      cmocka_unit_test(each_batchnorm_rule_on_both_sides_of_its_edge),
      cmocka_unit_test(any_epsilon_and_weight_are_valid),
      cmocka_unit_test(extents_of_each_tensor_of_a_batchnorm),
      cmocka_unit_test(batchnorms_begin_in_evaluation),
      cmocka_unit_test(calls_have_their_tensors_and_no_others),
      cmocka_unit_test(tensors_of_calls_fit),
      cmocka_unit_test(calls_describe_the_operator_that_they_name),
      cmocka_unit_test(types_of_calls_go_together),
      cmocka_unit_test(gradients_update_nothing),
      cmocka_unit_test(arithmetic_classes_have_names),
      cmocka_unit_test(a_strided_view_leaves_gaps),
      cmocka_unit_test(layouts_of_roles),
      cmocka_unit_test(values_round_to_their_type),
      cmocka_unit_test(folding_by_hand),
      cmocka_unit_test(an_empty_tensor_needs_no_memory),
      cmocka_unit_test(rules_have_names_and_numbers),
      cmocka_unit_test(checked_arithmetic_says_where_it_overflows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
