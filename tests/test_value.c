/* tests/test_value.c - errors, values and arenas. Expectations are written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/value.h"

/* ---- what stands between the arena and its memory ---- */

static size_t asked_bytes;   /* since the test began */
static int allocations_left; /* before one fails; negative: none fails */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) {
  if (allocations_left == 0 || size > SIZE_MAX / 2) return NULL; /* the latter would end a sanitized program */
  if (allocations_left > 0) allocations_left--;
  asked_bytes += count * size;
  return __real_calloc(count, size);
}

static int reset_allocations(void **state) {
  (void)state;
  asked_bytes = 0;
  allocations_left = -1;
  return 0;
}

/* ---- errors ---- */

static void error_formats_one_line(void **state) {
  (void)state;
  cbn_error error;
  assert_false(cbn_error_set(&error, "stride must be >= 1, got %d", 0));
  assert_string_equal(error.text, "stride must be >= 1, got 0");
  cbn_error_set(&error, "a\nb\tc\x7F\x01%s", "\r\xC3\xA9");
  assert_string_equal(error.text, "a?b?c???\xC3\xA9");
}

static void error_may_quote_itself(void **state) {
  (void)state;
  cbn_error error;
  cbn_error_set(&error, "inner");
  cbn_error_set(&error, "outer: %s", error.text);
  assert_string_equal(error.text, "outer: inner");
}

/* Cut where it is full, but never inside a UTF-8 character: e with an acute accent has two bytes, an emoji four. */
static void error_is_cut_to_what_fits(void **state) {
  (void)state;
  static const struct {
    size_t ascii;
    const char *tail;
    size_t kept;
  } cuts[] = {
      {1022, "a", 1023},
      {1023, "", 1023},
      {1023, "a", 1023},
      {1022, "\xC3\xA9", 1022},
      {1021, "\xC3\xA9", 1023},
      {1020, "\xF0\x9F\x98\x80", 1020},
      {1021, "\xF0\x9F\x98\x80", 1021},
      {1022, "\xF0\x9F\x98\x80", 1022},
      {1019, "\xF0\x9F\x98\x80", 1023},
  };
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
    char text[2048];
    memset(text, 'x', cuts[i].ascii);
    strcpy(text + cuts[i].ascii, cuts[i].tail);
    cbn_error error;
    cbn_error_set(&error, "%s", text);
    assert_int_equal(strlen(error.text), cuts[i].kept);
    assert_memory_equal(error.text, text, cuts[i].kept);
  }
}

static bool check_positive(int number, cbn_error *error) {
  CBN_CHECK(number > 0, error, "%d is not positive", number);
  return true;
}

static bool check_both(int a, int b, cbn_error *error) {
  CBN_FORWARD(check_positive(a, error));
  CBN_FORWARD(check_positive(b, error));
  if (a == b) CBN_FAIL(error, "both are %d", a);
  return true;
}

static void macros_check_forward_and_fail(void **state) {
  (void)state;
  cbn_error error = {"untouched"};
  assert_true(check_both(1, 2, &error));
  assert_string_equal(error.text, "untouched");
  assert_false(check_both(1, -2, &error));
  assert_string_equal(error.text, "-2 is not positive");
  assert_false(check_both(3, 3, &error));
  assert_string_equal(error.text, "both are 3");
}

/* ---- values ---- */

#define STRING(literal) ((cbn_value){.kind = CBN_STRING, .as.string = {(literal), sizeof(literal) - 1}})

static void values_answer_questions(void **state) {
  (void)state;
  cbn_value stride = STRING("stride"), zero = STRING("a\0b"), two = {.kind = CBN_INTEGER, .as.integer = 2},
            half = {.kind = CBN_REAL, .as.real = 0.5};
  const cbn_value *keys[] = {&zero, &stride}, *items[] = {&half, &two};
  cbn_value map = {.kind = CBN_MAP, .as.map = {keys, items, 2}};
  double number = -1;
  assert_ptr_equal(cbn_value_get(&map, "stride"), &two);
  assert_null(cbn_value_get(&map, "strid"));
  assert_null(cbn_value_get(&map, "strides"));
  assert_null(cbn_value_get(&map, "a")); /* which is not "a\0b" */
  assert_null(cbn_value_get(&two, "stride"));
  assert_null(cbn_value_get(NULL, "stride"));
  assert_true(cbn_value_is(&stride, "stride"));
  assert_false(cbn_value_is(&zero, "a"));
  assert_false(cbn_value_is(&two, "2"));
  assert_false(cbn_value_is(NULL, "2"));
  assert_true(cbn_value_number(&two, &number) && number == 2);
  assert_true(cbn_value_number(&half, &number) && number == 0.5);
  assert_false(cbn_value_number(&stride, &number));
  assert_false(cbn_value_number(NULL, &number));
  assert_string_equal(cbn_value_kind_name(CBN_NULL), "null");
  assert_string_equal(cbn_value_kind_name(CBN_REAL), "real number");
  assert_string_equal(cbn_value_kind_name(CBN_MAP), "map");
}

static void assert_prints(const cbn_value *value, const char *expected) {
  char text[256];
  assert_int_equal(cbn_value_print(value, text, sizeof text), strlen(expected));
  assert_string_equal(text, expected);
}

static void numbers_print_as_they_read_back(void **state) {
  (void)state;
  static const struct {
    double real;
    const char *text;
  } reals[] = {{0, "0.0"},
               {-0.0, "-0.0"},
               {1, "1.0"},
               {0.1, "0.1"},
               {-1.5, "-1.5"},
               {1e100, "1e+100"},
               {1 / 3., "0.3333333333333333"},
               {0x1p-1074, "5e-324"},
               {INFINITY, ".inf"},
               {-INFINITY, "-.inf"},
               {NAN, ".nan"},
               {1e15, "1e+15"},
               {123456789, "123456789.0"}};
  for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
    assert_prints(&(cbn_value){.kind = CBN_REAL, .as.real = reals[i].real}, reals[i].text);
  assert_prints(&(cbn_value){.kind = CBN_INTEGER, .as.integer = INT64_MIN}, "-9223372036854775808");
  assert_prints(&(cbn_value){.kind = CBN_BOOLEAN, .as.boolean = true}, "true");
  assert_prints(&(cbn_value){.kind = CBN_NULL}, "null");
}

static void strings_print_as_they_read_back(void **state) {
  (void)state;
  static const struct {
    cbn_value string;
    const char *text;
  } strings[] = {
      {{.kind = CBN_STRING, .as.string = {"", 0}}, "\"\""},
      {{.kind = CBN_STRING, .as.string = {"same", 4}}, "same"},
      {{.kind = CBN_STRING, .as.string = {"nn.Conv2d", 9}}, "nn.Conv2d"},
      {{.kind = CBN_STRING, .as.string = {"by hand", 7}}, "by hand"},
      {{.kind = CBN_STRING, .as.string = {"end ", 4}}, "\"end \""},
      {{.kind = CBN_STRING, .as.string = {"true", 4}}, "\"true\""},
      {{.kind = CBN_STRING, .as.string = {"Null", 4}}, "\"Null\""},
      {{.kind = CBN_STRING, .as.string = {"yes", 3}}, "\"yes\""},
      {{.kind = CBN_STRING, .as.string = {"12", 2}}, "\"12\""},
      {{.kind = CBN_STRING, .as.string = {".inf", 4}}, "\".inf\""},
      {{.kind = CBN_STRING, .as.string = {"a: b", 4}}, "\"a: b\""},
      {{.kind = CBN_STRING, .as.string = {"a,b", 3}}, "\"a,b\""},
      {{.kind = CBN_STRING, .as.string = {"\"\\\n\t\0", 5}}, "\"\\\"\\\\\\n\\t\\x00\""},
      {{.kind = CBN_STRING, .as.string = {"\xC3\xA9", 2}}, "\"\xC3\xA9\""},
      {{.kind = CBN_STRING, .as.string = {"\xC2\x85", 2}}, "\"\\x85\""},       /* next line */
      {{.kind = CBN_STRING, .as.string = {"\xE2\x80\xA8", 3}}, "\"\\u2028\""}, /* line separator */
      {{.kind = CBN_STRING, .as.string = {"\xF0\x9F\x98\x80", 4}}, "\"\xF0\x9F\x98\x80\""},
      {{.kind = CBN_STRING, .as.string = {"\xC3(", 2}}, "\"\\xC3(\""}, /* no UTF-8 */
      {{.kind = CBN_STRING, .as.string = {"\xCA\x0A", 2}}, "\"\\xCA\\n\""},
      {{.kind = CBN_STRING, .as.string = {"\xC0\x80", 2}}, "\"\\xC0\\x80\""},          /* overlong */
      {{.kind = CBN_STRING, .as.string = {"\xED\xA0\x80", 3}}, "\"\\xED\\xA0\\x80\""}, /* surrogate */
      {{.kind = CBN_STRING, .as.string = {"\xF0\x9F\x98", 3}}, "\"\\xF0\\x9F\\x98\""}, /* cut off */
  };
  for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) assert_prints(&strings[i].string, strings[i].text);
}

static void lists_and_maps_print_in_flow_style(void **state) {
  (void)state;
  cbn_value one = {.kind = CBN_INTEGER, .as.integer = 1}, two = {.kind = CBN_INTEGER, .as.integer = 2},
            no = {.kind = CBN_BOOLEAN}, kernel = STRING("kernel_size"), bias = STRING("bias");
  cbn_value empty_list = {.kind = CBN_LIST}, empty_map = {.kind = CBN_MAP};
  const cbn_value *numbers[] = {&one, &two};
  cbn_value list = {.kind = CBN_LIST, .as.list = {numbers, 2}};
  const cbn_value *keys[] = {&kernel, &bias}, *items[] = {&list, &no};
  cbn_value map = {.kind = CBN_MAP, .as.map = {keys, items, 2}};
  assert_prints(&map, "{kernel_size: [1, 2], bias: false}");
  assert_prints(&empty_list, "[]");
  assert_prints(&empty_map, "{}");

  char long_key[200];
  memset(long_key, 'k', sizeof long_key);
  cbn_value key = {.kind = CBN_STRING, .as.string = {long_key, sizeof long_key}};
  const cbn_value *long_keys[] = {&key}, *ones[] = {&one};
  cbn_value long_map = {.kind = CBN_MAP, .as.map = {long_keys, ones, 1}};
  char text[300], expected[300];
  snprintf(expected, sizeof expected, "{? %.200s : 1}", long_key);
  cbn_value_print(&long_map, text, sizeof text);
  assert_string_equal(text, expected);
}

/* At each size the text is a prefix that ends with "...", and no byte behind the size is touched. */
static void printing_is_cut_to_its_size(void **state) {
  (void)state;
  const char *whole = "[a, \"\xC3\xA9\xC3\xA9\", 12]";
  cbn_value a = STRING("a"), accents = STRING("\xC3\xA9\xC3\xA9"), twelve = {.kind = CBN_INTEGER, .as.integer = 12};
  const cbn_value *items[] = {&a, &accents, &twelve};
  cbn_value list = {.kind = CBN_LIST, .as.list = {items, 3}};
  for (size_t size = 0; size <= strlen(whole); size++) {
    char text[32];
    memset(text, '#', sizeof text);
    size_t length = cbn_value_print(&list, text, size);
    assert_int_equal(text[size], '#');
    if (size == 0) continue;
    assert_int_equal(length, strlen(text));
    assert_true(length < size && length + 2 > size - 1); /* at most one byte less, of a half character */
    size_t dots = length < 3 ? length : 3;
    assert_memory_equal(text, whole, length - dots);
    assert_memory_equal(text + length - dots, "...", dots);
  }
  char text[32];
  assert_int_equal(cbn_value_print(&list, text, strlen(whole) + 1), strlen(whole));
  assert_string_equal(text, whole);
}

/* A list of itself nine times over, a hundred levels deep, is more than could ever be written. */
static void printing_a_bomb_ends_where_the_line_is_full(void **state) {
  (void)state;
  enum { LEVELS = 100, WIDTH = 9 };
  cbn_value levels[LEVELS + 1] = {{.kind = CBN_NULL}};
  const cbn_value *items[LEVELS][WIDTH];
  for (int level = 0; level < LEVELS; level++) {
    for (int i = 0; i < WIDTH; i++) items[level][i] = &levels[level];
    levels[level + 1] = (cbn_value){.kind = CBN_LIST, .as.list = {items[level], WIDTH}};
  }
  char text[4096];
  assert_int_equal(cbn_value_print(&levels[LEVELS], text, sizeof text), sizeof text - 1);
}

/* ---- arenas ---- */

static void arena_gives_zeroed_aligned_memory(void **state) {
  (void)state;
  cbn_arena *arena = cbn_arena_create(16 << 20);
  assert_non_null(arena);
  unsigned char *last = NULL;
  for (size_t bytes = 0; bytes < 3000; bytes += 7) {
    unsigned char *memory = cbn_arena_allocate(arena, bytes);
    assert_non_null(memory);
    assert_ptr_not_equal(memory, last);
    assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
    for (size_t i = 0; i < bytes; i++) assert_int_equal(memory[i], 0);
    memset(memory, 0xAA, bytes); /* what overlapped would show in a later one */
    last = memory;
  }
  char *copy = cbn_arena_copy(arena, "a\0bc", 3);
  assert_memory_equal(copy, "a\0b", 4);
  assert_string_equal(cbn_arena_copy(arena, "", 0), "");
  cbn_arena_destroy(arena);
  cbn_arena_destroy(NULL);
}

/* All that the arena ever asks for, its own head aside, stays within the limit. */
static void arena_keeps_its_limit(void **state) {
  (void)state;
  static const size_t limits[] = {0, 1, 15, 16, 31, 32, 47, 48, 49, 100, 4096, 5000, 100000, 3 << 20};
  static const size_t sizes[] = {1, 16, 100, 1000, 5000, 70000};
  for (size_t l = 0; l < sizeof limits / sizeof *limits; l++)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
      cbn_arena *arena = cbn_arena_create(limits[l]);
      asked_bytes = 0;
      size_t given = 0;
      while (cbn_arena_allocate(arena, sizes[s]) != NULL) given += sizes[s];
      assert_true(asked_bytes <= limits[l]);
      assert_true(given <= asked_bytes);
      size_t waste = 1200 + (sizes[s] < 16 ? limits[l] : limits[l] / 2) + sizes[s]; /* roundings, heads, rests */
      assert_true(given + waste >= limits[l]);
      cbn_arena_destroy(arena);
    }
}

static void arena_refuses_sizes_that_overflow(void **state) {
  (void)state;
  cbn_arena *arena = cbn_arena_create(SIZE_MAX);
  for (size_t bytes = SIZE_MAX; bytes > SIZE_MAX - 70; bytes--) assert_null(cbn_arena_allocate(arena, bytes));
  assert_null(cbn_arena_copy(arena, "", SIZE_MAX));
  assert_null(cbn_arena_copy(arena, "", SIZE_MAX - 1));
  assert_non_null(cbn_arena_allocate(arena, 1));
  cbn_arena_destroy(arena);
}

static void arena_survives_failed_allocations(void **state) {
  (void)state;
  allocations_left = 0;
  assert_null(cbn_arena_create(1000));
  for (int before = 1; before < 8; before++) {
    allocations_left = before;
    cbn_arena *arena = cbn_arena_create(1 << 20);
    assert_non_null(arena);
    int given = 0;
    while (cbn_arena_allocate(arena, 900) != NULL) given++;
    assert_true(before == 1 ? given == 0 : given > 0);
    allocations_left = -1;
    assert_non_null(cbn_arena_allocate(arena, 900)); /* and goes on when there is memory again */
    cbn_arena_destroy(arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(error_formats_one_line, reset_allocations),
      cmocka_unit_test_setup(error_may_quote_itself, reset_allocations),
      cmocka_unit_test_setup(error_is_cut_to_what_fits, reset_allocations),
      cmocka_unit_test_setup(macros_check_forward_and_fail, reset_allocations),
      cmocka_unit_test_setup(values_answer_questions, reset_allocations),
      cmocka_unit_test_setup(numbers_print_as_they_read_back, reset_allocations),
      cmocka_unit_test_setup(strings_print_as_they_read_back, reset_allocations),
      cmocka_unit_test_setup(lists_and_maps_print_in_flow_style, reset_allocations),
      cmocka_unit_test_setup(printing_is_cut_to_its_size, reset_allocations),
      cmocka_unit_test_setup(printing_a_bomb_ends_where_the_line_is_full, reset_allocations),
      cmocka_unit_test_setup(arena_gives_zeroed_aligned_memory, reset_allocations),
      cmocka_unit_test_setup(arena_keeps_its_limit, reset_allocations),
      cmocka_unit_test_setup(arena_refuses_sizes_that_overflow, reset_allocations),
      cmocka_unit_test_setup(arena_survives_failed_allocations, reset_allocations),
  };
  allocations_left = -1;
  return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
