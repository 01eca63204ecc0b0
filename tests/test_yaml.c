/* tests/test_yaml.c - the reader of case files: the core schema, places, refusals and hostile files. Expectations are
 * written by hand after the YAML 1.2 specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness/yaml.h"
#include "tests/random_problem.h"

/* ---- allocation failures ---- */

static int allocations_left = -1; /* before one fails; negative: none fails */

static bool allocation_fails(void) {
  if (allocations_left == 0) return true;
  if (allocations_left > 0) allocations_left--;
  return false;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) { return allocation_fails() ? NULL : __real_malloc(size); }

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) { return allocation_fails() ? NULL : __real_calloc(count, size); }

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size) { return allocation_fails() ? NULL : __real_realloc(memory, size); }

/* ---- a disk that fails ---- */

static enum { READS, STUTTERS, FAILS } disk;

ssize_t __real_read(int descriptor, void *bytes, size_t count);
ssize_t __wrap_read(int descriptor, void *bytes, size_t count);
ssize_t __wrap_read(int descriptor, void *bytes, size_t count) {
  static int turn;
  if (disk == FAILS || (disk == STUTTERS && turn++ % 2 == 0)) {
    errno = disk == FAILS ? EIO : EINTR;
    return -1;
  }
  return __real_read(descriptor, bytes, disk == STUTTERS && count > 100 ? 100 : count);
}

/* ---- helpers ---- */

enum { AMPLE = 1 << 28 };

/* A parse and what came of it; `close_parse` after use. */
struct parse {
  cbn_arena *arena;
  const cbn_value *root; /* NULL where it was refused */
  cbn_error error;
};

static struct parse parse_with(const char *text, size_t length, const cbn_yaml_limits *limits, size_t memory) {
  struct parse parse = {.arena = cbn_arena_create(memory)};
  char *exact = malloc(length + 1); /* a copy without a byte behind it, so that an overrun shows */
  assert_non_null(exact);
  memcpy(exact, text, length);
  bool read = cbn_yaml_parse("f", length > 0 ? exact : NULL, length, limits, parse.arena, &parse.root, &parse.error);
  assert_int_equal(read, parse.root != NULL);
  free(exact);
  return parse;
}

static struct parse parse_text(const char *text) {
  return parse_with(text, strlen(text), &cbn_yaml_default_limits, AMPLE);
}

static void close_parse(struct parse *parse) { cbn_arena_destroy(parse->arena); }

/* Refuses with a message that begins with `begin` and holds `word`. */
static void assert_refused(struct parse *parse, const char *text, const char *begin, const char *word) {
  if (parse->root != NULL || strncmp(parse->error.text, begin, strlen(begin)) != 0 ||
      strstr(parse->error.text, word) == NULL)
    fail_msg("%.60s: expected %s ... %s, got %s", text, begin, word, parse->root ? "a tree" : parse->error.text);
  close_parse(parse);
}

static void assert_reads(const char *text, const char *printed) {
  struct parse parse = parse_text(text);
  if (parse.root == NULL) fail_msg("%s: %s", text, parse.error.text);
  char line[1024];
  cbn_value_print(parse.root, line, sizeof line);
  assert_string_equal(line, printed);
  close_parse(&parse);
}

static double seconds_used(void) {
  struct timespec now; /* of this process alone, so that a busy machine does not count */
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- the core schema ---- */

static void plain_scalars_follow_the_core_schema(void **state) {
  (void)state;
  static const struct {
    const char *text;
    enum cbn_value_kind kind;
  } scalars[] = {
      {"null", CBN_NULL},
      {"Null", CBN_NULL},
      {"NULL", CBN_NULL},
      {"~", CBN_NULL},
      {"--- ", CBN_NULL},
      {"nULL", CBN_STRING},
      {"'null'", CBN_STRING},
      {"\"~\"", CBN_STRING},
      {"true", CBN_BOOLEAN},
      {"True", CBN_BOOLEAN},
      {"TRUE", CBN_BOOLEAN},
      {"false", CBN_BOOLEAN},
      {"False", CBN_BOOLEAN},
      {"FALSE", CBN_BOOLEAN},
      {"tRUE", CBN_STRING},
      {"yes", CBN_STRING},
      {"off", CBN_STRING},
      {"y", CBN_STRING},
      {"'true'", CBN_STRING},
      {"0", CBN_INTEGER},
      {"-0", CBN_INTEGER},
      {"+12", CBN_INTEGER},
      {"007", CBN_INTEGER},
      {"0x1F", CBN_INTEGER},
      {"0o17", CBN_INTEGER},
      {"0o18", CBN_STRING},
      {"0o", CBN_STRING},
      {"0x", CBN_STRING},
      {"0xg", CBN_STRING},
      {"0X1F", CBN_STRING},
      {"0b11", CBN_STRING},
      {"1_000", CBN_STRING},
      {"1,000", CBN_STRING},
      {"12e", CBN_STRING},
      {"12e+", CBN_STRING},
      {"+", CBN_STRING},
      {"--1", CBN_STRING},
      {"+-1", CBN_STRING},
      {".", CBN_STRING},
      {"..", CBN_STRING},
      {"-.", CBN_STRING},
      {"1.2.3", CBN_STRING},
      {"1 2", CBN_STRING},
      {"1f", CBN_STRING},
      {"1.", CBN_REAL},
      {".5", CBN_REAL},
      {"-.5e-3", CBN_REAL},
      {"1e3", CBN_REAL},
      {"1E+3", CBN_REAL},
      {"0e0", CBN_REAL},
      {"e3", CBN_STRING},
      {".e3", CBN_STRING},
      {"0x1p0", CBN_REAL},
      {"0x1.", CBN_REAL},
      {"0x.8", CBN_REAL},
      {"-0x1.8P-3", CBN_REAL},
      {"0x.", CBN_STRING},
      {"0x.p1", CBN_STRING},
      {"0x1p", CBN_STRING},
      {"0x1.8p0x1", CBN_STRING},
      {".inf", CBN_REAL},
      {"-.Inf", CBN_REAL},
      {"+.INF", CBN_REAL},
      {".iNF", CBN_STRING},
      {"inf", CBN_STRING},
      {"nan", CBN_STRING},
      {".nan", CBN_REAL},
      {".NaN", CBN_REAL},
      {".NAN", CBN_REAL},
      {"-.nan", CBN_STRING},
      {"'1'", CBN_STRING},
      {"\"1.5\"", CBN_STRING},
      {"|\n  1", CBN_STRING},
      {">\n  true", CBN_STRING},
      {"2026-11-22", CBN_STRING},
      {"99999999999999999999", CBN_REAL},
      {"0xFFFFFFFFFFFFFFFF", CBN_REAL},
      {"0o7777777777777777777777", CBN_REAL},
  };
  for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
    struct parse parse = parse_text(scalars[i].text);
    if (parse.root == NULL || parse.root->kind != scalars[i].kind)
      fail_msg("%s: %s", scalars[i].text, parse.root ? cbn_value_kind_name(parse.root->kind) : parse.error.text);
    close_parse(&parse);
  }
}

static void integers_are_exact_or_nearest_reals(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t integer;
  } integers[] = {{"9223372036854775807", INT64_MAX},
                  {"-9223372036854775808", INT64_MIN},
                  {"0x7fffffffffffffff", INT64_MAX},
                  {"-0x8000000000000000", INT64_MIN},
                  {"0o777777777777777777777", INT64_MAX},
                  {"-0o1000000000000000000000", INT64_MIN},
                  {"0o17", 15},
                  {"+0x10", 16},
                  {"-012", -12},
                  {"0000000000000000000000000000005", 5}};
  for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
    struct parse parse = parse_text(integers[i].text);
    assert_non_null(parse.root);
    assert_int_equal(parse.root->kind, CBN_INTEGER);
    assert_true(parse.root->as.integer == integers[i].integer);
    close_parse(&parse);
  }
}

static void reals_are_the_nearest_doubles(void **state) {
  (void)state;
  static const struct {
    const char *text;
    double real;
  } reals[] = {
      {"9223372036854775808", 0x1p63},
      {"-9223372036854775809", -0x1p63},
      {"0x10000000000000000", 0x1p64},
      {"0o1000000000000000000000", 0x1p63},
      {"0o2000000000000000000000", 0x1p64},
      {"0o4000000000000000010000", 0x1p65}, /* half of the 2^13 between doubles: a tie to even */
      {"0o4000000000000000010001", 0x1p65 + 0x1p13},
      {"0o4000000000000000030000", 0x1p65 + 0x1p14},
      {"0.1", 0.1},
      {"1e-400", 0},
      {"0x1.8p-3", 0.1875},
      {"-0x.8p1", -1},
      {"0x1.fffffffffffffp1023", 0x1.fffffffffffffp1023},
      {"0x1p-1074", 0x1p-1074},
      {"1.7976931348623157e308", 0x1.fffffffffffffp1023},
      {"9007199254740993.0", 0x1p53}, /* 2^53 + 1: a tie to even */
      {".inf", INFINITY},
      {"-.inf", -INFINITY},
  };
  for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
    struct parse parse = parse_text(reals[i].text);
    assert_non_null(parse.root);
    assert_int_equal(parse.root->kind, CBN_REAL);
    if (parse.root->as.real != reals[i].real) fail_msg("%s: %a", reals[i].text, parse.root->as.real);
    close_parse(&parse);
  }
}

static void quotes_and_blocks_are_strings(void **state) {
  (void)state;
  assert_reads("\"a\\0b\\x41\\u00e9\\n\"", "\"a\\x00bA\xC3\xA9\\n\"");
  assert_reads("'it''s'", "\"it's\"");
  assert_reads("|\n  a\n  b\n", "\"a\\nb\\n\"");
  assert_reads(">-\n  a\n  b\n", "a b");
  assert_reads("a\n  b", "a b");
  struct parse parse = parse_text("\"a\\0b\"");
  assert_int_equal(parse.root->as.string.length, 3);
  assert_memory_equal(parse.root->as.string.text, "a\0b", 4);
  close_parse(&parse);
}

static void core_tags_are_applied(void **state) {
  (void)state;
  assert_reads("!!str 12", "\"12\"");
  assert_reads("!!str", "\"\"");
  assert_reads("!!str \"a\\0b\"", "\"a\\x00b\"");
  assert_reads("!!int \"12\"", "12");
  assert_reads("!!float 3", "3.0");
  assert_reads("!!float .inf", ".inf");
  assert_reads("!!bool 'true'", "true");
  assert_reads("!!null ''", "null");
  assert_reads("! '12'", "\"12\"");
  assert_reads("! 12", "\"12\""); /* the tag of what is not resolved */
  assert_reads("!!seq [!!map {}]", "[{}]");
  assert_reads("! [! {}]", "[{}]");
  assert_reads("!<tag:yaml.org,2002:int> 7", "7");
  assert_reads("%TAG !y! tag:yaml.org,2002:\n--- !y!str 1", "\"1\"");
}

static void lists_and_maps_nest(void **state) {
  (void)state;
  assert_reads("[]", "[]");
  assert_reads("{}", "{}");
  assert_reads("- 1\n- - 2\n  - 3\n-\n- a: b\n  c: {d: [e, 1.5]}\n", "[1, [2, 3], null, {a: b, c: {d: [e, 1.5]}}]");
  assert_reads("a:\n? b\n: 1\n", "{a: null, b: 1}");
  assert_reads("{a, b: , c: 1}", "{a: null, b: null, c: 1}");
  assert_reads("[a: 1]", "[{a: 1}]");
  assert_reads("\"1\": x\n'true': v\nnulls: z", "{\"1\": x, \"true\": v, nulls: z}");
  assert_reads("a: 1\nA: 2\n'': 3\naa: 4\nab: 5\nb: 6\n\"a\\0\": 7\n\"a\\0b\": 8", /* each another key */
               "{a: 1, A: 2, \"\": 3, aa: 4, ab: 5, b: 6, \"a\\x00\": 7, \"a\\x00b\": 8}");
  assert_reads("%YAML 1.2\n--- 1\n...\n# the end\n", "1");
  assert_reads(
      "\xEF\xBB\xBF"
      "a: 1",
      "{a: 1}");
  assert_reads("a: 1\r\nb: 2\r\n", "{a: 1, b: 2}");
}

static void aliases_are_shared(void **state) {
  (void)state;
  struct parse parse = parse_text("a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x\n*x : 1");
  assert_refused(&parse, "", "f:5:1: key: ", "integer");
  parse = parse_text("a: &x [1, 2]\nb: *x\nc: &x k\nd: *x\n*x : 1\n");
  assert_non_null(parse.root);
  assert_ptr_equal(cbn_value_get(parse.root, "a"), cbn_value_get(parse.root, "b"));
  assert_true(cbn_value_is(cbn_value_get(parse.root, "d"), "k")); /* the later anchor of that name */
  assert_int_equal(cbn_value_get(parse.root, "k")->as.integer, 1);
  assert_int_equal(cbn_value_get(parse.root, "d")->line, 3);
  close_parse(&parse);
  /* An anchor bound anew inside the value that has its name. */
  assert_reads("- &a [&a 1, *a]\n- *a", "[[1, 1], 1]");
}

static void values_know_their_places(void **state) {
  (void)state;
  struct parse parse = parse_text("# comment\nformat: 1\n\xC3\xA9: [10,  {k: v}]\n\"x\":\n  - &a y\n  - |\n    z\n");
  assert_non_null(parse.root);
  const struct {
    const cbn_value *value;
    uint32_t line, column;
  } places[] = {
      {parse.root, 2, 1},
      {cbn_value_get(parse.root, "format"), 2, 9},
      {parse.root->as.map.keys[1], 3, 1},
      {cbn_value_get(parse.root, "\xC3\xA9"), 3, 4}, /* columns count characters */
      {cbn_value_get(parse.root, "\xC3\xA9")->as.list.items[0], 3, 5},
      {cbn_value_get(parse.root, "\xC3\xA9")->as.list.items[1], 3, 10},
      {cbn_value_get(cbn_value_get(parse.root, "\xC3\xA9")->as.list.items[1], "k"), 3, 14},
      {cbn_value_get(parse.root, "x"), 5, 3},
      {cbn_value_get(parse.root, "x")->as.list.items[0], 5, 5}, /* an anchor belongs to its value */
      {cbn_value_get(parse.root, "x")->as.list.items[1], 6, 5},
  };
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    assert_int_equal(places[i].value->line, places[i].line);
    assert_int_equal(places[i].value->column, places[i].column);
  }
  close_parse(&parse);
}

/* ---- refusals ---- */

static const struct refusal {
  const char *text, *begin, *word;
} refusals[] = {
    {"", "f:1:1: empty: ", "write"},
    {"# only a comment\n", "f:1:1: empty: ", "write"},
    {"%YAML 1.2\n", "f:2:1: syntax: ", "document"},
    {"--- 1\n--- 2\n", "f:2:1: documents: ", "one document"},
    {"a: 1\n...\nb: 1\n", "f:3:1: syntax: ", "one document"},
    {"[1, 2", "f:1:6: syntax: ", "close the list with ']'"},
    {"a: [1, 2\nb: 3\n", "f:2:2: syntax: ", "close the list with ']'"},
    {"a: {b: 1\n", "f:2:1: syntax: ", "close the map with '}'"},
    {"a: {b: 1]", "f:1:9: syntax: ", "close the map with '}'"},
    {"a: ]", "f:1:4: syntax: ", "write a value"},
    {"a: 'b", "f:1:6: syntax: ", "close the quotes"},
    {"a: \"b\n...\n", "f:2:1: syntax: ", "close the quotes"},
    {"a: \"\\q\"", "f:1:5: syntax: ", "backslash"},
    {"a: \"\\xZZ\"", "f:1:7: syntax: ", "hexdecimal"}, /* libyaml's spelling */
    {"a: b: c", "f:1:5: syntax: ", "quote a text that holds ': '"},
    {"a: 1\n b: 2\n", "f:2:3: syntax: ", "mapping values"},
    {"a:\n  - 1\n - 2\n", "f:3:2: syntax: ", "begins in line 1, column 1"},
    {"- 1\nb: 2\n", "f:2:1: syntax: ", "align the entries"},
    {"a: 1\nb\n", "f:3:1: syntax: ", "write `key: value`"},
    {"a:\n\t- b\n", "f:2:1: syntax: ", "indent with spaces"},
    {"a: @b", "f:1:4: syntax: ", "quote a text"},
    {"a: `b`", "f:1:4: syntax: ", "quote a text"},
    {"a: %b", "f:1:4: syntax: ", "quote a text"},
    {"a: &", "f:1:5: syntax: ", "anchor"},
    {"a: *", "f:1:5: syntax: ", "alias"},
    {"a: &x *x", "f:1:7: syntax: ", "align the keys"},
    {"a: !e!x 1", "f:1:4: syntax: ", "leave the tag out"},
    {"%YAML 2.0\n--- 1", "f:1:1: syntax: ", "leave the %YAML line out"},
    {"a: \xFF", "f:1:4: syntax: invalid leading UTF-8 octet (FF)", "UTF-8"},
    {"a: 1\nb: '\xC3(", "f:2:6: syntax: invalid trailing UTF-8 octet", "UTF-8"},
    {"\xC3\xA9: \xE2\x82", "f:1:4: syntax: incomplete UTF-8 octet sequence", "UTF-8"},
    {"a: \xC0\x80", "f:1:4: syntax: ", "UTF-8"},
    {"a: \xED\xA0\x80", "f:1:4: syntax: ", "invalid Unicode character"},
    {"a: \x01", "f:1:4: syntax: control characters are not allowed (01)", "escape"},
    {"\xFF\xFE"
     "a",
     "f:1:1: syntax: ", "save the file as UTF-8"}, /* UTF-16 */
    {"a: 'b\xC2\x85 c", "f:2:3: syntax: ", "close the quotes"}, /* NEL, LS and PS end lines, as libyaml has it */
    {"a: 1 #\xE2\x80\xA8# \xE2\x80\xA9# \r\n# \rb: \xFF", "f:5:4: syntax: invalid leading UTF-8 octet (FF)", "UTF-8"},
    {"a: 1\na: 2\n", "f:2:1: duplicate-key: key a ", "once"},
    {"{b: 1, 'a b': 2, \"a b\": 3}", "f:1:18: duplicate-key: key a b ", "once"},
    {"a: {x: 1}\nb: {x: 1, y: 2, \"\\x78\": 3}\n", "f:2:17: duplicate-key: key x ", "once"},
    {"{'': 1, '': 2}", "f:1:9: duplicate-key: key \"\" ", "once"},
    {"1: x", "f:1:1: key: integer as a key", "quotes"},
    {"a: {1.5: x}", "f:1:5: key: real number as a key", "string"},
    {"true: x", "f:1:1: key: boolean as a key", "string"},
    {"~: x", "f:1:1: key: null as a key", "string"},
    {"{[a]: 1}", "f:1:2: key: list as a key", "string"},
    {"? {a: 1}\n: 1\n", "f:1:3: key: map as a key", "string"},
    {"<<: {a: 1}", "f:1:1: merge-key: ", "write the keys out"},
    {"a: 1e999", "f:1:4: number: \"1e999\" ", ".inf"},
    {"a: -0x1p1024", "f:1:4: number: ", ".inf"},
    {"a: *b", "f:1:4: alias: no anchor &b ", "write the value"},
    {"a: *b\nc: &b 1", "f:1:4: alias: no anchor &b ", "write the value"},
    {"&a [1, *a]", "f:1:8: alias: *a is inside", "finite"},
    {"&a {b: &c [*a]}", "f:1:12: alias: *a is inside", "finite"},
    {"a: !x 1", "f:1:4: tag: unknown tag \"!x\"", "leave it out"},
    {"a: !!binary aGk=", "f:1:4: tag: the tag !!binary", "leave it out"},
    {"a: !!python/object:os.system {}", "f:1:4: tag: ", "leave it out"},
    {"a: !!int x", "f:1:4: tag: the tag !!int", "leave it out"},
    {"a: !!int 1.5", "f:1:4: tag: the tag !!int", "leave it out"},
    {"a: !!int 99999999999999999999", "f:1:4: tag: the tag !!int", "leave it out"},
    {"a: !!int \"1\\02\"", "f:1:4: tag: the tag !!int", "leave it out"},
    {"a: !!float x", "f:1:4: tag: the tag !!float", "leave it out"},
    {"a: !!float 1e999", "f:1:4: tag: the tag !!float", "leave it out"},
    {"a: !!seq {}", "f:1:4: tag: the tag !!seq", "leave it out"},
    {"a: !!map []", "f:1:4: tag: the tag !!map", "leave it out"},
    {"a: !!seq 1", "f:1:4: tag: the tag !!seq", "leave it out"},
    {"a: !!set {b}", "f:1:4: tag: the tag !!set", "leave it out"},
};

static void refusals_name_place_rule_and_remedy(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    struct parse parse = parse_text(refusals[i].text);
    assert_refused(&parse, refusals[i].text, refusals[i].begin, refusals[i].word);
  }
  static const char with_nul[] = "a: 1\nb: \0";
  struct parse parse = parse_with(with_nul, sizeof with_nul - 1, &cbn_yaml_default_limits, AMPLE);
  assert_refused(&parse, "NUL", "f:2:4: syntax: control characters are not allowed (00)", "escape");
}

static void refuse_places_what_others_find(void **state) {
  (void)state;
  cbn_error error;
  cbn_value value = {.line = 3, .column = 7};
  assert_false(cbn_yaml_refuse(&error, "a/b.yaml", &value, "unknown-key", "%s; write %d", "no", 1));
  assert_string_equal(error.text, "a/b.yaml:3:7: unknown-key: no; write 1");
  cbn_yaml_refuse(&error, "a/b.yaml", NULL, "file", "gone");
  assert_string_equal(error.text, "a/b.yaml: file: gone");
  char path[3001], expected[500];
  memset(path, 'p', 3000);
  path[3000] = '\0';
  cbn_yaml_refuse(&error, path, &value, "rule", "end");
  snprintf(expected, sizeof expected, "...%s:3:7: rule: end", path + 2600);
  assert_string_equal(error.text, expected);
}

/* ---- limits ---- */

static void depth_is_limited(void **state) {
  (void)state;
  for (size_t depth = 60; depth <= 70; depth++) {
    char text[200] = "";
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    struct parse parse = parse_text(text);
    if (depth > 64) assert_refused(&parse, text, "f:1:65: depth: ", "64");
    else close_parse(&parse);
    assert_true(depth > 64 || parse.root != NULL);
  }
  cbn_yaml_limits none = {.file_bytes = 10, .depth = 0, .values = 1};
  struct parse parse = parse_with("1", 1, &none, AMPLE);
  assert_non_null(parse.root);
  close_parse(&parse);
  parse = parse_with("[]", 2, &none, AMPLE);
  assert_refused(&parse, "[]", "f:1:1: depth: ", "0");
}

/* An alias brings the levels of what it stands for: 40 + 40 are too many, and so are chains of them. */
static void aliases_deepen(void **state) {
  (void)state;
  char text[400] = "- &a ", *end = text + strlen(text);
  memset(end, '[', 40), memset(end + 40, ']', 40), strcpy(end += 80, "\n- ");
  end += strlen(end);
  size_t start = strlen(text);
  for (size_t around = 20; around <= 25; around++) {
    memset(text + start, '[', around), strcpy(text + start + around, "*a");
    memset(text + start + around + 2, ']', around), text[start + 2 * around + 2] = '\0';
    struct parse parse = parse_text(text); /* one list, `around` lists, 40 lists */
    if (1 + around + 40 > 64) assert_refused(&parse, text, "f:2:", "alias expanded");
    else close_parse(&parse);
  }
  char chain[2000] = "- &a0 []\n";
  for (int i = 1; i < 80; i++) snprintf(chain + strlen(chain), 40, "- &a%d [*a%d]\n", i, i - 1);
  struct parse parse = parse_text(chain); /* a_i has i + 1 levels, in a list */
  assert_refused(&parse, chain, "f:64:9: depth: ", "alias expanded");
}

static void a_hundred_thousand_brackets_are_refused_at_once(void **state) {
  (void)state;
  static const char *const units[] = {"[", "{a: ", "- ", "? ", "a: [", "&a [", "!!seq ["};
  enum { COUNT = 100000 };
  for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
    size_t length = strlen(units[u]);
    char *text = malloc(COUNT * length + 1);
    for (size_t i = 0; i < COUNT; i++) memcpy(text + i * length, units[u], length + 1);
    double start = seconds_used();
    struct parse parse = parse_text(text);
    assert_true(seconds_used() - start < 5);
    assert_refused(&parse, units[u], "f:1:", ": ");
    free(text);
  }
}

static void values_are_counted_with_their_expansions(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t values;
  } counts[] = {
      {"1", 1},
      {"[]", 1},
      {"[1, 2]", 3},
      {"{a: 1}", 3},
      {"{a: {b: 1}}", 5},
      {"[&a 1, *a]", 3},
      {"[&a [1, 2], *a, *a]", 10},
      {"[&a [1, 2], &b [*a, *a], *b]", 18},
      {"{a: &a {b: 1}, c: *a}", 9},
  };
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    for (size_t limit = 0; limit <= counts[i].values + 1; limit++) {
      cbn_yaml_limits limits = {.file_bytes = 100, .depth = 64, .values = limit};
      struct parse parse = parse_with(counts[i].text, strlen(counts[i].text), &limits, AMPLE);
      if (limit < counts[i].values) assert_refused(&parse, counts[i].text, "f:1:", ": values: more than ");
      else assert_non_null(parse.root), close_parse(&parse);
    }
}

static void alias_bombs_are_refused_fast(void **state) {
  (void)state;
  char text[2000] = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i <= 9; i++) {
    snprintf(text + strlen(text), 40, "a%d: &a%d [", i, i);
    for (int j = 0; j < 9; j++) snprintf(text + strlen(text), 20, "%s*a%d", j > 0 ? ", " : "", i - 1);
    strcat(text, "]\n");
  }
  double start = seconds_used();
  struct parse parse = parse_with(text, strlen(text), &cbn_yaml_default_limits, 1 << 20);
  assert_true(seconds_used() - start < 1);
  assert_refused(&parse, text, "f:7:", ": values: more than 2000000 values");

  /* Doubling on one line, and keys by alias. */
  char doubling[2000] = "[&a0 [1]";
  for (int i = 1; i <= 60; i++) snprintf(doubling + strlen(doubling), 40, ", &a%d [*a%d, *a%d]", i, i - 1, i - 1);
  parse = parse_text(doubling);
  assert_refused(&parse, doubling, "f:1:", ": values: ");
}

/* A million numbers: what a big tensor takes. */
static void a_million_numbers_fit_in_thrifty_memory(void **state) {
  (void)state;
  enum { COUNT = 1000000 };
  char *text = malloc(3 * COUNT + 2), *at = text;
  *at++ = '[';
  for (int i = 0; i < COUNT; i++, at += 3) memcpy(at, "7, ", 3);
  at[-2] = ']';
  double start = seconds_used();
  struct parse parse = parse_with(text, (size_t)(at - 1 - text), &cbn_yaml_default_limits, 52u * COUNT);
  assert_true(seconds_used() - start < 60);
  if (parse.root == NULL) fail_msg("%s", parse.error.text);
  assert_int_equal(parse.root->as.list.count, COUNT);
  for (size_t i = 0; i < COUNT; i++) assert_int_equal(parse.root->as.list.items[i]->as.integer, 7);
  assert_int_equal(parse.root->as.list.items[COUNT - 1]->column, 3 * COUNT - 1);
  close_parse(&parse);
  free(text);
}

/* Many keys that begin alike, many anchors: neither may cost its square. */
static void many_names_stay_fast(void **state) {
  (void)state;
  enum { COUNT = 100000 };
  char *text = malloc(128 * COUNT), *at = text;
  for (int i = 0; i < COUNT; i++) at += sprintf(at, "common-prefix-%d: &anchor-%d %d\n", i, i, i);
  for (int i = 0; i < COUNT; i++) at += sprintf(at, "alias-%d: *anchor-%d\n", i, i);
  double start = seconds_used();
  struct parse parse = parse_with(text, (size_t)(at - text), &cbn_yaml_default_limits, AMPLE);
  assert_true(seconds_used() - start < 30);
  assert_non_null(parse.root);
  for (int i = 0; i < COUNT; i++) assert_int_equal(parse.root->as.map.items[COUNT + i]->as.integer, i);
  close_parse(&parse);
  at += sprintf(at, "common-prefix-77777: 1\n");
  parse = parse_with(text, (size_t)(at - text), &cbn_yaml_default_limits, AMPLE);
  assert_refused(&parse, "many", "f:200001:1: duplicate-key: ", "common-prefix-77777");
  free(text);
}

/* One piece over and over: whatever it is, the time grows as the file. */
static void repetitions_stay_fast(void **state) {
  (void)state;
  static const struct {
    const char *begin, *unit;
  } table[] = {
      {"", "%TAG !a! b\n"}, {"--- 1\n...\n", "%TAG !a! b\n"},
      {"", "# comment\n"},  {"", "- \n"},
      {"", "? \n"},         {"", "- ? a\n"},
      {"", "- &a x\n"},     {"", "- {a: [b]}\n"},
      {"[", "a, "},         {"[", "{a: b}, "},
      {"[", "a\n"},         {"{", "a\n"},
      {"'", "''"},          {"'", "\n"},
      {"\"", "\\n"},        {"\"", "\\\n"},
      {"|\n", " a\n"},      {">\n", " a\n\n"},
      {"a: |\n", "\n"},     {"", "a "},
      {"", "a\n"},          {"", "a:"},
      {"!", "%25"},         {"", "!!str "},
      {"- ", " "},          {"", "\n"},
      {"", "\r"},           {"'", "\xC2\x85"},
      {"", "..."},          {"", "---\n"},
      {"- - - ", ": "},     {"[", "? "},
      {"&", "a"},           {"*", "a"},
      {"? ", "a\n"},        {"", "\xEF\xBB\xBF"},
  };
  enum { LENGTH = 300000 };
  static char text[LENGTH + 64];
  for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
    size_t begin = strlen(table[t].begin), unit = strlen(table[t].unit), length = begin;
    memcpy(text, table[t].begin, begin);
    for (; length < LENGTH; length += unit) memcpy(text + length, table[t].unit, unit);
    double start = seconds_used();
    struct parse parse = parse_with(text, length, &cbn_yaml_default_limits, AMPLE);
    if (seconds_used() - start > 5) fail_msg("%s%s: slow", table[t].begin, table[t].unit);
    close_parse(&parse);
  }
}

static void directives_are_limited(void **state) {
  (void)state;
  char text[4000] = "";
  for (int i = 0; i < 100; i++) snprintf(text + strlen(text), 40, "%%TAG !a%d! tag:yaml.org,2002:\n", i);
  size_t hundred = strlen(text);
  strcat(text, "--- !a99!str 1");
  assert_reads(text, "\"1\"");
  strcpy(text + hundred, "%TAG !b! c\n--- 1");
  struct parse parse = parse_text(text);
  assert_refused(&parse, "directives", "f:101:1: syntax: more than 100 lines begin with %", "leave the directives out");
}

/* ---- a case file, cut and broken in every way ---- */

static const char case_file[] =
    "# cases/mindspore/conv2d-same.yaml\n"
    "format: 1\n"
    "dialect: mindspore\n"
    "operator: nn.Conv2d\n"
    "source: \"MindSpore 2.10.0, CPU\"\n"
    "recorded: 2026-11-22\n"
    "cases:\n"
    "  - id: mindspore/conv2d/same-even-kernel\n"
    "    comment: 'with an odd total, the extra zero \xE2\x86\x92 to the right'\n"
    "    flags: [AsymmetricSame]\n"
    "    params: &params {in_channels: 1, out_channels: 1, kernel_size: [1, 2], eps: 1e-5, has_bias: !!bool false}\n"
    "    tensors:\n"
    "      input:  &input {shape: [1, 1, 1, 5], values: [1, -2.5, 0x1.8p-3, .nan, -.inf]}\n"
    "      weight: {shape: [1, 1, 1, 2], fill: {kind: integers, seed: 0x10, \"low\": -4, high: ~}}\n"
    "    documented:\n"
    "      - claim: >-\n"
    "          the kernel is\n"
    "          flipped\n"
    "        status: |\n"
    "          refuted\n"
    "    expect: {output: {shape: [1, 1, 1, 5], values: [21, 32, 43, 54, 5]}}\n"
    "  - id: mindspore/conv2d/again\n"
    "    params: *params\n"
    "    steps: [{mode: train, input: *input, ? expect : {rejected: {}}}]\n"
    "...\n";

static void a_case_file_reads(void **state) {
  (void)state;
  struct parse parse = parse_text(case_file);
  if (parse.root == NULL) fail_msg("%s", parse.error.text);
  const cbn_value *cases = cbn_value_get(parse.root, "cases"), *first = cases->as.list.items[0];
  char line[1024];
  cbn_value_print(cbn_value_get(first, "tensors"), line, sizeof line);
  assert_string_equal(line,
                      "{input: {shape: [1, 1, 1, 5], values: [1, -2.5, 0.1875, .nan, -.inf]}, weight: {shape: [1, 1, "
                      "1, 2], fill: {kind: integers, seed: 16, low: -4, high: null}}}");
  assert_ptr_equal(cbn_value_get(first, "params"), cbn_value_get(cases->as.list.items[1], "params"));
  assert_true(cbn_value_is(cbn_value_get(parse.root, "recorded"), "2026-11-22"));
  close_parse(&parse);
}

/* Whatever the bytes: a tree that prints as text which reads back to the same text, or one line that says why not. */
static void assert_sound(const char *text, size_t length, const char *what) {
  static char first[1 << 16], second[1 << 16];
  struct parse parse = parse_with(text, length, &cbn_yaml_default_limits, 1 << 22);
  if (parse.root == NULL) {
    assert_true(strncmp(parse.error.text, "f:", 2) == 0 && strchr(parse.error.text, '\n') == NULL);
    assert_non_null(strstr(parse.error.text, "; "));
  } else {
    size_t printed = cbn_value_print(parse.root, first, sizeof first);
    if (printed < sizeof first - 1) {
      struct parse again = parse_with(first, printed, &cbn_yaml_default_limits, 1 << 22);
      if (again.root == NULL) fail_msg("%s: %s does not read back: %s", what, first, again.error.text);
      cbn_value_print(again.root, second, sizeof second);
      assert_string_equal(first, second);
      close_parse(&again);
    }
  }
  close_parse(&parse);
}

static void every_truncation_is_sound(void **state) {
  (void)state;
  for (size_t length = 0; length < sizeof case_file; length++) assert_sound(case_file, length, "truncation");
}

/* Replaces, inserts, removes and repeats bytes, mostly those that mean something to YAML. */
static size_t mutate(random_state *random, char *text, size_t length, size_t room) {
  static const char interesting[] = "[]{}:,-?*&!|>'\"%@`#~ \t\n\r\\0x.e<=\x01\x7F\xC3\xE2\xFF\xEF\xBB\xBF\xC2\x85";
  for (int64_t edits = random_between(random, 1, 6); edits > 0 && length > 0; edits--) {
    size_t at = (size_t)random_between(random, 0, (int64_t)length - 1);
    size_t count = (size_t)random_between(random, 1, 24);
    char byte = random_chance(random, 4) ? (char)random_word(random)
                                         : interesting[random_between(random, 0, sizeof interesting - 1)];
    if (count > length - at) count = length - at;
    switch (random_between(random, 0, 3)) {
    case 0: text[at] = byte; break;
    case 1:
      if (length == room) break;
      memmove(text + at + 1, text + at, length++ - at);
      text[at] = byte;
      break;
    case 2:
      memmove(text + at, text + at + count, length - at - count);
      length -= count;
      break;
    default:
      if (count > room - length) break;
      memmove(text + at + count, text + at, length - at);
      length += count;
      break;
    }
  }
  return length;
}

static void random_mutations_are_sound(void **state) {
  (void)state;
  const uint64_t seed = test_seed(20261122);
  const int64_t count = test_count(5000);
  for (int64_t i = 0; i < count; i++) {
    random_state random = {seed + (uint64_t)i};
    char text[2 * sizeof case_file], what[80];
    memcpy(text, case_file, sizeof case_file);
    size_t length = mutate(&random, text, sizeof case_file - 1, sizeof text);
    snprintf(what, sizeof what, "CBN_TEST_SEED=%llu CBN_TEST_SCALE=0", (unsigned long long)(seed + (uint64_t)i));
    double start = seconds_used();
    assert_sound(text, length, what);
    if (seconds_used() - start > 5) fail_msg("%s: slow", what);
  }
}

static void any_memory_limit_is_kept(void **state) {
  (void)state;
  bool fits = false;
  for (size_t limit = 0; limit < 20000; limit += 13) {
    struct parse parse = parse_with(case_file, sizeof case_file - 1, &cbn_yaml_default_limits, limit);
    assert_true(!fits || parse.root != NULL); /* never refused where less was enough */
    fits = parse.root != NULL;
    if (!fits) assert_refused(&parse, "case file", "f:", ": memory: ");
    else close_parse(&parse);
  }
  assert_true(fits);
}

/* ---- files ---- */

static char folder[256];

static int make_folder(void **state) {
  (void)state;
  const char *temporary = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/convbn-yaml-XXXXXX", temporary != NULL ? temporary : "/tmp");
  return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
  (void)state;
  static const char *const names[] = {"case.yaml", "fifo", "sparse", "secret", "link", "folder"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    remove(path);
  }
  return rmdir(folder);
}

static const char *path_of(const char *name) {
  static char path[300];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static const char *write_file(const char *name, const char *text) {
  const char *path = path_of(name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
  return path;
}

static void assert_load_refused(const char *path, const char *word) {
  cbn_arena *arena = cbn_arena_create(AMPLE);
  const cbn_value *root = NULL;
  cbn_error error = {""};
  double start = seconds_used();
  assert_false(cbn_yaml_load(path, &cbn_yaml_default_limits, arena, &root, &error));
  assert_true(seconds_used() - start < 5);
  assert_null(root);
  if (strncmp(error.text, path, strlen(path)) != 0 || strstr(error.text, word) == NULL) fail_msg("%s", error.text);
  cbn_arena_destroy(arena);
}

static void files_load(void **state) {
  (void)state;
  cbn_arena *arena = cbn_arena_create(AMPLE);
  const cbn_value *root;
  cbn_error error;
  assert_true(cbn_yaml_load(write_file("case.yaml", case_file), &cbn_yaml_default_limits, arena, &root, &error));
  assert_int_equal(cbn_value_get(root, "cases")->as.list.count, 2);
  disk = STUTTERS; /* a hundred bytes at a time, with interruptions */
  assert_true(cbn_yaml_load(path_of("case.yaml"), &cbn_yaml_default_limits, arena, &root, &error));
  assert_int_equal(cbn_value_get(root, "cases")->as.list.count, 2);
  disk = FAILS;
  assert_load_refused(path_of("case.yaml"), ": file: cannot be read: Input/output error");
  disk = READS;
  cbn_arena_destroy(arena);
  assert_load_refused(write_file("case.yaml", "a: 1\na: 2"), ":2:1: duplicate-key: ");
  assert_load_refused(write_file("case.yaml", ""), ":1:1: empty: ");
}

static void what_is_no_file_is_refused(void **state) {
  (void)state;
  assert_load_refused(folder, ": file: is a folder; name a file");
  assert_load_refused(path_of("missing"), ": file: cannot be read: No such file");
  assert_load_refused("/dev/null", ": file: is no regular file");
  assert_load_refused("/dev/zero", ": file: is no regular file");
  assert_int_equal(mkfifo(path_of("fifo"), 0600), 0); /* without a writer: opening it must not wait */
  assert_load_refused(path_of("fifo"), ": file: is no regular file");
  assert_int_equal(symlink("link", path_of("link")), 0);
  assert_load_refused(path_of("link"), ": file: cannot be read: ");
  write_file("secret", "a: 1");
  assert_int_equal(chmod(path_of("secret"), 0), 0);
  if (geteuid() != 0) assert_load_refused(path_of("secret"), ": file: cannot be read: Permission denied");
}

/* 100 MB without a byte on the disk, and sizes about a limit. */
static void big_files_are_refused_before_they_are_read(void **state) {
  (void)state;
  const char *path = write_file("sparse", "a: 1");
  assert_int_equal(truncate(path, 100 * 1000 * 1000), 0);
  assert_load_refused(path, ": file-size: 100000000 bytes, more than 67108864; split the file");
  assert_int_equal(truncate(path, (64 << 20) + 1), 0);
  assert_load_refused(path, ": file-size: ");
  assert_int_equal(truncate(path, 64 << 20), 0); /* allowed, but NUL is no YAML */
  assert_load_refused(path, ":1:5: syntax: control characters");
  cbn_yaml_limits four = {.file_bytes = 4, .depth = 64, .values = 100};
  struct parse parse = parse_with("a: 1", 4, &four, AMPLE);
  assert_non_null(parse.root);
  close_parse(&parse);
  parse = parse_with("a: 11", 5, &four, AMPLE);
  assert_refused(&parse, "a: 11", "f: file-size: more than 4 bytes", "split");
}

/* A file whose size is not what reading it gives: those of /proc say that they are empty. */
static void files_that_change_are_refused(void **state) {
  (void)state;
  if (access("/proc/self/status", R_OK) != 0) skip();
  assert_load_refused("/proc/self/status", ": file: changed while it was read");
}

static void every_failed_allocation_is_reported(void **state) {
  (void)state;
  const char *path = write_file("case.yaml", case_file);
  bool loaded = false;
  int failures = 0;
  for (; !loaded; failures++) {
    cbn_arena *arena = cbn_arena_create(AMPLE);
    const cbn_value *root = NULL;
    cbn_error error = {""};
    allocations_left = failures;
    loaded = cbn_yaml_load(path, &cbn_yaml_default_limits, arena, &root, &error);
    allocations_left = -1;
    if (!loaded && strstr(error.text, ": memory: ") == NULL) fail_msg("allocation %d: %s", failures, error.text);
    cbn_arena_destroy(arena);
  }
  assert_in_range(failures, 5, 1000);
}

/* ---- printing, in turn with reading ---- */

static const cbn_value *random_tree(random_state *random, cbn_arena *arena, int depth);

static const cbn_value *random_string(random_state *random, cbn_arena *arena) {
  static const char *const pieces[] = {"a",
                                       "Z",
                                       "0",
                                       "true",
                                       "null",
                                       "-",
                                       ": ",
                                       "#",
                                       " ",
                                       "\n",
                                       "\t",
                                       "\\",
                                       "\"",
                                       "'",
                                       "[",
                                       "}",
                                       ",",
                                       "&x",
                                       "*x",
                                       "!",
                                       "%",
                                       "<<",
                                       "~",
                                       ".inf",
                                       "0x1",
                                       "\x7F",
                                       "\xC3\xA9",
                                       "\xE2\x80\xA8",
                                       "\xEF\xBB\xBF",
                                       "\xF0\x9F\x98\x80",
                                       "---",
                                       "...",
                                       "? ",
                                       "\r"};
  char text[4096] = "";
  int64_t count = random_chance(random, 20) ? 400 : random_between(random, 0, 6);
  for (int64_t i = 0; i < count; i++)
    strcat(text, pieces[random_between(random, 0, sizeof pieces / sizeof *pieces - 1)]);
  cbn_value *value = cbn_arena_allocate(arena, sizeof *value);
  value->kind = CBN_STRING;
  value->as.string.length = strlen(text);
  value->as.string.text = cbn_arena_copy(arena, text, strlen(text));
  return value;
}

static double random_double(random_state *random) {
  uint64_t bits = random_word(random);
  double real;
  memcpy(&real, &bits, sizeof real);
  return random_chance(random, 2) ? real : (double)random_between(random, -1000, 1000) / 8;
}

static bool has_key(const cbn_value *const *keys, size_t count, const cbn_value *key) {
  for (size_t i = 0; i < count; i++)
    if (cbn_value_is(keys[i], key->as.string.text)) return true;
  return false;
}

static void random_entries(random_state *random, cbn_arena *arena, int depth, cbn_value *value) {
  size_t count = (size_t)random_between(random, 0, 5);
  const cbn_value **keys = cbn_arena_allocate(arena, count * sizeof *keys);
  const cbn_value **items = cbn_arena_allocate(arena, count * sizeof *items);
  for (size_t i = 0; i < count; i++) {
    items[i] = random_tree(random, arena, depth - 1);
    do keys[i] = random_string(random, arena);
    while (has_key(keys, i, keys[i]));
  }
  if (value->kind == CBN_LIST) {
    value->as.list.items = items;
    value->as.list.count = count;
  } else {
    value->as.map.keys = keys;
    value->as.map.items = items;
    value->as.map.count = count;
  }
}

static const cbn_value *random_tree(random_state *random, cbn_arena *arena, int depth) {
  enum cbn_value_kind kind = (enum cbn_value_kind)random_between(random, CBN_NULL, depth > 0 ? CBN_MAP : CBN_STRING);
  if (kind == CBN_STRING) return random_string(random, arena);
  cbn_value *value = cbn_arena_allocate(arena, sizeof *value);
  value->kind = kind;
  if (kind == CBN_BOOLEAN) value->as.boolean = random_chance(random, 2);
  if (kind == CBN_INTEGER) value->as.integer = (int64_t)random_word(random);
  if (kind == CBN_REAL) value->as.real = random_double(random);
  if (kind == CBN_LIST || kind == CBN_MAP) random_entries(random, arena, depth, value);
  return value;
}

static bool same_tree(const cbn_value *a, const cbn_value *b) {
  if (a->kind != b->kind) return false;
  switch (a->kind) {
  case CBN_NULL: return true;
  case CBN_BOOLEAN: return a->as.boolean == b->as.boolean;
  case CBN_INTEGER: return a->as.integer == b->as.integer;
  case CBN_REAL:
    return isnan(a->as.real) ? isnan(b->as.real)
                             : a->as.real == b->as.real && !signbit(a->as.real) == !signbit(b->as.real);
  case CBN_STRING:
    return a->as.string.length == b->as.string.length &&
           memcmp(a->as.string.text, b->as.string.text, a->as.string.length) == 0;
  case CBN_LIST:
    if (a->as.list.count != b->as.list.count) return false;
    for (size_t i = 0; i < a->as.list.count; i++)
      if (!same_tree(a->as.list.items[i], b->as.list.items[i])) return false;
    return true;
  case CBN_MAP:
    if (a->as.map.count != b->as.map.count) return false;
    for (size_t i = 0; i < a->as.map.count; i++)
      if (!same_tree(a->as.map.keys[i], b->as.map.keys[i]) || !same_tree(a->as.map.items[i], b->as.map.items[i]))
        return false;
    return true;
  }
  return false;
}

static void what_is_printed_reads_back(void **state) {
  (void)state;
  static char text[1 << 20];
  const uint64_t seed = test_seed(7);
  const int64_t count = test_count(2000);
  for (int64_t i = 0; i < count; i++) {
    random_state random = {seed + (uint64_t)i};
    cbn_arena *arena = cbn_arena_create(AMPLE);
    const cbn_value *tree = random_tree(&random, arena, 4);
    size_t length = cbn_value_print(tree, text, sizeof text);
    assert_true(length < sizeof text - 1);
    struct parse parse = parse_with(text, length, &cbn_yaml_default_limits, AMPLE);
    if (parse.root == NULL || !same_tree(tree, parse.root))
      fail_msg("CBN_TEST_SEED=%llu CBN_TEST_SCALE=0: %s: %s", (unsigned long long)(seed + (uint64_t)i), text,
               parse.root ? "another tree" : parse.error.text);
    close_parse(&parse);
    cbn_arena_destroy(arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_scalars_follow_the_core_schema),
      cmocka_unit_test(integers_are_exact_or_nearest_reals),
      cmocka_unit_test(reals_are_the_nearest_doubles),
      cmocka_unit_test(quotes_and_blocks_are_strings),
      cmocka_unit_test(core_tags_are_applied),
      cmocka_unit_test(lists_and_maps_nest),
      cmocka_unit_test(aliases_are_shared),
      cmocka_unit_test(values_know_their_places),
      cmocka_unit_test(refusals_name_place_rule_and_remedy),
      cmocka_unit_test(refuse_places_what_others_find),
      cmocka_unit_test(depth_is_limited),
      cmocka_unit_test(aliases_deepen),
      cmocka_unit_test(a_hundred_thousand_brackets_are_refused_at_once),
      cmocka_unit_test(values_are_counted_with_their_expansions),
      cmocka_unit_test(alias_bombs_are_refused_fast),
      cmocka_unit_test(a_million_numbers_fit_in_thrifty_memory),
      cmocka_unit_test(many_names_stay_fast),
      cmocka_unit_test(repetitions_stay_fast),
      cmocka_unit_test(directives_are_limited),
      cmocka_unit_test(a_case_file_reads),
      cmocka_unit_test(every_truncation_is_sound),
      cmocka_unit_test(random_mutations_are_sound),
      cmocka_unit_test(any_memory_limit_is_kept),
      cmocka_unit_test(files_load),
      cmocka_unit_test(what_is_no_file_is_refused),
      cmocka_unit_test(big_files_are_refused_before_they_are_read),
      cmocka_unit_test(files_that_change_are_refused),
      cmocka_unit_test(every_failed_allocation_is_reported),
      cmocka_unit_test(what_is_printed_reads_back),
  };
  return cmocka_run_group_tests_name("yaml", tests, make_folder, remove_folder);
}
