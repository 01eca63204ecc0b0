/* tests/test_select.c - selections: the language, its refusals, and random expressions against a second evaluator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/select.h"
#include "tests/random_problem.h"

/* ---- no allocation while matching ---- */

static int allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
  allocations++;
  return __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) {
  allocations++;
  return __real_calloc(count, size);
}

static const char *const texts[] = {"mindspore/conv2d/same-even-kernel", "nn.Conv2d", "MindSpore", "AsymmetricSame"};
enum { TEXTS = sizeof texts / sizeof *texts };

/* 1 selected, 0 not selected, -1 refused with the message in `error`. */
static int select_with(const char *expression, const char *const *of, size_t count, cbn_error *error) {
  cbn_arena *arena = cbn_arena_create(1 << 24);
  const cbn_select *select;
  int selected = -1;
  if (cbn_select_compile(expression, arena, &select, error)) {
    int before = allocations;
    selected = cbn_select_match(select, of, count);
    assert_int_equal(allocations, before);
  }
  cbn_arena_destroy(arena);
  return selected;
}

static void words_and_operators_select(void **state) {
  (void)state;
  static const struct {
    const char *expression;
    int selected;
  } table[] = {
      {"", 1},
      {" \t\n", 1},
      {"conv2d", 1},
      {"CONV2D", 1},
      {"Conv3d", 0},
      {"nn.conv2d", 1},
      {"asymmetric", 1},
      {"mindspore/conv2d/same-even-kernel", 1},
      {"mindspore/conv2d/same-even-kernels", 0},
      {"kernelnn", 0}, /* no word reaches over two texts */
      {"even-k", 1},
      {"not even", 0},
      {"not odd", 1},
      {"not not even", 1},
      {"not not not even", 0},
      {"even and odd", 0},
      {"even or odd", 1},
      {"odd or even and odd", 0},
      {"even or odd and odd", 1}, /* and binds closer than or */
      {"(even or odd) and odd", 0},
      {"not odd and even", 1}, /* not binds closer than and */
      {"not (odd and even)", 1},
      {"not even or even", 1},
      {"not (even or even)", 0},
      {"odd or odd or odd or even", 1},
      {"even and even and odd or even", 1},
      {"(even)", 1},
      {"((even))and(same)", 1},
      {"not(odd)", 1},
      {"AND", 0}, /* a word, in capitals */
      {"or-", 0}, /* words too */
      {"notodd", 0},
      {"mindspore and not (conv3d or batch)", 1},
      {"\xC3\xA9", 0},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    cbn_error error = {""};
    if (select_with(table[i].expression, texts, TEXTS, &error) != table[i].selected)
      fail_msg("%s: not %d %s", table[i].expression, table[i].selected, error.text);
  }
}

static void no_text_holds_no_word(void **state) {
  (void)state;
  cbn_error error;
  const char *const empty[] = {"", ""};
  assert_int_equal(select_with("a", texts, 0, &error), 0);
  assert_int_equal(select_with("not a", texts, 0, &error), 1);
  assert_int_equal(select_with("", texts, 0, &error), 1);
  assert_int_equal(select_with("a", empty, 2, &error), 0);
}

static void refusals_name_the_column(void **state) {
  (void)state;
  static const struct {
    const char *expression, *message;
  } table[] = {
      {"and", "-k: column 1: a word is missing before 'and'; write a word, 'not' or '('"},
      {"a and", "-k: column 6: a word is missing at the end; write a word, 'not' or '('"},
      {"a and or b", "-k: column 7: a word is missing before 'or'; write a word, 'not' or '('"},
      {"not", "-k: column 4: a word is missing at the end; write a word, 'not' or '('"},
      {"a not b", "-k: column 3: an 'and' or 'or' is missing before 'not'; write one"},
      {"a b", "-k: column 3: an 'and' or 'or' is missing before 'b'; write one"},
      {"a (b)", "-k: column 3: an 'and' or 'or' is missing before '('; write one"},
      {"()", "-k: column 2: a word is missing before ')'; write a word, 'not' or '('"},
      {"(a", "-k: column 3: a ')', 'and' or 'or' is missing at the end; write one"},
      {"(a b)", "-k: column 4: a ')', 'and' or 'or' is missing before 'b'; write one"},
      {"a)", "-k: column 2: a '(' is missing before ')'; write it, or leave the ')' out"},
      {")", "-k: column 1: a word is missing before ')'; write a word, 'not' or '('"},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    cbn_error error;
    assert_int_equal(select_with(table[i].expression, texts, TEXTS, &error), -1);
    assert_string_equal(error.text, table[i].message);
  }
}

/* The deepest nesting with the most that can wait for its right side: at each level an `or` and an `and`. */
static void nesting_is_limited(void **state) {
  (void)state;
  for (int depth = CBN_SELECT_DEPTH - 1; depth <= CBN_SELECT_DEPTH + 1; depth++) {
    char expression[1000] = "";
    for (int i = 0; i < depth; i++) strcat(expression, "odd or even and (");
    strcat(expression, "odd or even and not odd");
    for (int i = 0; i < depth; i++) strcat(expression, ")");
    cbn_error error = {""};
    int expected = depth > CBN_SELECT_DEPTH ? -1 : 1;
    assert_int_equal(select_with(expression, texts, TEXTS, &error), expected);
    if (expected < 0) assert_non_null(strstr(error.text, "too many parentheses"));
  }
}

static void long_expressions_compile(void **state) {
  (void)state;
  enum { COUNT = 100000 };
  cbn_error error;
  char *text = malloc(COUNT * 8), *at = text;
  for (int i = 0; i < COUNT; i++, at += 4) memcpy(at, "not ", 4);
  strcpy(at, "even");
  assert_int_equal(select_with(text, texts, TEXTS, &error), 1);
  at = text;
  for (int i = 0; i < COUNT; i++, at += 7) memcpy(at, "odd or ", 7);
  strcpy(at, "even");
  assert_int_equal(select_with(text, texts, TEXTS, &error), 1);
  memset(text, '(', COUNT);
  text[COUNT] = '\0';
  assert_int_equal(select_with(text, texts, TEXTS, &error), -1);
  memset(text, 'w', COUNT);
  assert_int_equal(select_with(text, texts, TEXTS, &error), 0);
  text[3] = ')';
  assert_int_equal(select_with(text, texts, TEXTS, &error), -1);
  text[3] = ' ';
  assert_int_equal(select_with(text, texts, TEXTS, &error), -1); /* a long word, shortened in the message */
  free(text);
}

static void any_memory_limit_is_kept(void **state) {
  (void)state;
  bool fits = false;
  for (size_t limit = 0; limit < 1000; limit++) {
    cbn_arena *arena = cbn_arena_create(limit);
    const cbn_select *select;
    cbn_error error;
    bool compiled = cbn_select_compile("a and not (b or c)", arena, &select, &error);
    assert_true(compiled || !fits);
    if (!compiled) assert_non_null(strstr(error.text, "no memory"));
    fits = compiled;
    cbn_arena_destroy(arena);
  }
  assert_true(fits);
}

/* ---- a second evaluator: it writes random trees as text, so that it need not read any ---- */

/* Appends a random expression whose operators bind at least as `binding` says (0 or, 1 and, 2 not); returns its value
 * where the words "t0".."t9" are true and "f0".."f9" false. */
static bool write_random(random_state *random, char *text, int binding, int depth) {
  char *end = text + strlen(text);
  int64_t choice = depth > 0 ? random_between(random, 0, 4) : 0;
  if (choice == 1 && binding <= 0) {
    bool left = write_random(random, text, 0, depth - 1);
    strcat(text, "  or ");
    return write_random(random, text, 1, depth - 1) || left;
  }
  if (choice == 2 && binding <= 1) {
    bool left = write_random(random, text, 1, depth - 1);
    strcat(text, " and\t");
    return write_random(random, text, 2, depth - 1) && left;
  }
  if (choice == 3) {
    strcat(text, "not ");
    return !write_random(random, text, 2, depth - 1);
  }
  if (choice > 0) {
    strcat(text, "(");
    bool inner = write_random(random, text, 0, depth - 1);
    strcat(text, ")");
    return inner;
  }
  bool truth = random_chance(random, 2);
  snprintf(end, 3, "%c%d", truth ? 't' : 'f', (int)random_between(random, 0, 9));
  return truth;
}

static void random_expressions_agree(void **state) {
  (void)state;
  static const char *const truths[] = {"T0 T1 T2 T3 T4", "t5-t6-t7", "xT8t9"};
  const uint64_t seed = test_seed(3);
  const int64_t count = test_count(20000);
  for (int64_t i = 0; i < count; i++) {
    random_state random = {seed + (uint64_t)i};
    char text[8192] = "";
    cbn_error error = {""};
    bool expected = write_random(&random, text, 0, 8);
    if (select_with(text, truths, 3, &error) != expected)
      fail_msg("CBN_TEST_SEED=%llu CBN_TEST_SCALE=0: %s: %s", (unsigned long long)(seed + (uint64_t)i), text,
               error.text);
  }
}

/* Any bytes compile or are refused. */
static void random_bytes_are_sound(void **state) {
  (void)state;
  static const char *const pieces[] = {"and", "or", "not", "(", ")", " ", "a", "even", "\xFF", "\t", "AND", "nota"};
  const uint64_t seed = test_seed(4);
  const int64_t count = test_count(20000);
  for (int64_t i = 0; i < count; i++) {
    random_state random = {seed + (uint64_t)i};
    char text[256] = "";
    for (int64_t n = random_between(&random, 0, 16); n > 0; n--)
      strcat(strcat(text, pieces[random_between(&random, 0, sizeof pieces / sizeof *pieces - 1)]),
             random_chance(&random, 2) ? " " : "");
    cbn_error error = {""};
    if (select_with(text, texts, TEXTS, &error) < 0 && strncmp(error.text, "-k: column ", 11) != 0)
      fail_msg("%s: %s", text, error.text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_and_operators_select), cmocka_unit_test(no_text_holds_no_word),
      cmocka_unit_test(refusals_name_the_column),   cmocka_unit_test(nesting_is_limited),
      cmocka_unit_test(long_expressions_compile),   cmocka_unit_test(any_memory_limit_is_kept),
      cmocka_unit_test(random_expressions_agree),   cmocka_unit_test(random_bytes_are_sound),
  };
  return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
