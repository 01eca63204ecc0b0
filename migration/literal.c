#include "migration/literal.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTH = 16 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

bool cbn_reader_fail(const cbn_reader *reader, const char *at, const char *format, ...) {
  char what[900];
  size_t line = 1, column = 1;
  for (const char *c = reader->text; c < at; c++) {
    line += *c == '\n';
    if (*c == '\n') column = 1;
    else column += ((unsigned char)*c & 0xC0) != 0x80; /* characters of UTF-8, not bytes */
  }
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  if (line == 1) return cbn_error_set(reader->error, "column %zu: %s", column, what);
  return cbn_error_set(reader->error, "line %zu, column %zu: %s", line, column, what);
}

void cbn_reader_skip(cbn_reader *reader) {
  for (;;) {
    reader->at += strspn(reader->at, " \t\r\n\f\\");
    if (*reader->at != '#') return;
    reader->at += strcspn(reader->at, "\n");
  }
}

bool cbn_reader_takes(cbn_reader *reader, char c) {
  cbn_reader_skip(reader);
  const bool there = *reader->at == c;
  reader->at += there;
  return there;
}

size_t cbn_name_length(const char *text) {
  size_t length = 0;
  while (is_name_start(text[length])) {
    while (is_name_part(text[length])) length++;
    if (text[length] != '.' || !is_name_start(text[length + 1])) break;
    length++;
  }
  return length;
}

static bool fail_memory(const cbn_reader *reader) {
  return cbn_reader_fail(reader, reader->at, "there is no memory left");
}

static bool keep(cbn_reader *reader, cbn_value made, const cbn_value **value) {
  cbn_value *kept = cbn_arena_allocate(reader->arena, sizeof *kept);
  if (kept == NULL) return fail_memory(reader);
  *kept = made;
  *value = kept;
  return true;
}

/* ------------------------------------------------------------------------------------------------------- numbers */

/* The letters of a number, the sign of an exponent included. */
static size_t number_length(const char *text) {
  const bool prefixed = text[0] == '0' && text[1] != '\0' && strchr("xXoObB", text[1]) != NULL;
  size_t length = 0;
  while (is_name_part(text[length]) || text[length] == '.') {
    const bool exponent = !prefixed && (text[length] == 'e' || text[length] == 'E');
    length += exponent && (text[length + 1] == '+' || text[length + 1] == '-') ? 2 : 1;
  }
  return length;
}

/* Python's integer: digits of a base, all of them, no zero before others in base ten. False where it is none. */
static bool read_magnitude(const char *digits, uint64_t *magnitude, bool *fits) {
  static const struct {
    char letter;
    int base;
  } bases[] = {{'x', 16}, {'o', 8}, {'b', 2}};
  int base = 10;
  char *end;
  for (int i = 0; i < 3; i++)
    if (digits[0] == '0' && (digits[1] | 0x20) == bases[i].letter) base = bases[i].base;
  if (base != 10) digits += 2;
  if (!is_name_part(digits[0]) || (base == 10 && digits[0] == '0' && strspn(digits, "0") < strlen(digits)))
    return false;
  if (base == 16 && digits[0] == '0' && (digits[1] | 0x20) == 'x') return false; /* strtoull would take it once more */
  errno = 0;
  *magnitude = strtoull(digits, &end, base);
  *fits = errno == 0;
  return *end == '\0';
}

static bool read_number(cbn_reader *reader, bool negative, const cbn_value **value) {
  const char *begin = reader->at;
  const size_t length = number_length(begin);
  char *digits = cbn_arena_copy(reader->arena, begin, length), *end;
  const int shown = length < 40 ? (int)length : 40;
  uint64_t magnitude;
  bool fits;
  if (digits == NULL) return fail_memory(reader);
  size_t kept = 0;
  for (size_t i = 0; i < length; i++) /* an underscore stands between two digits */
    if (digits[i] != '_' || !is_name_part(digits[i + 1]) || digits[i + 1] == '_' || i == 0) digits[kept++] = digits[i];
  digits[kept] = '\0';
  reader->at += length;
  if (read_magnitude(digits, &magnitude, &fits)) {
    if (!fits || magnitude > (uint64_t)INT64_MAX + negative)
      return cbn_reader_fail(reader, begin, "the integer %.*s%s is beyond 64 bits", shown, begin,
                             length > 40 ? "..." : "");
    const int64_t integer = (int64_t)(negative ? 0 - magnitude : magnitude);
    return keep(reader, (cbn_value){.kind = CBN_INTEGER, .as.integer = integer}, value);
  }
  const double real = strtod(digits, &end);
  const bool hexadecimal = kept > 1 && (digits[1] | 0x20) == 'x';
  if (*end != '\0' || end == digits || hexadecimal || strpbrk(digits, ".eE") == NULL)
    return cbn_reader_fail(reader, begin, "%.*s is no number; write one as 3, -1, 0.1 or 1e-05", shown, begin);
  return keep(reader, (cbn_value){.kind = CBN_REAL, .as.real = negative ? -real : real}, value);
}

/* ------------------------------------------------------------------------------------------------------- strings */

/* Writes the character's UTF-8; returns how many bytes. */
static size_t put_utf8(uint32_t code, char *bytes) {
  if (code < 0x80) return bytes[0] = (char)code, 1;
  const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = length - 1; i > 0; i--, code >>= 6) bytes[i] = (char)(0x80 | (code & 0x3F));
  bytes[0] = (char)((0xF00u >> length & 0xFF) | code);
  return length;
}

/* What stands behind a backslash: reads it, writes its bytes. */
static bool read_escape(cbn_reader *reader, char *bytes, size_t *length) {
  static const char letters[] = "\\'\"abfnrtv", meanings[] = "\\'\"\a\b\f\n\r\t\v";
  const char *begin = reader->at++, letter = *reader->at;
  const char *known = letter == '\0' ? NULL : strchr(letters, letter);
  const int digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
  uint32_t code = 0;
  if (known != NULL) {
    bytes[(*length)++] = meanings[known - letters];
    reader->at++;
    return true;
  }
  if (digits == 0) return cbn_reader_fail(reader, begin, "this escape is not read; write the character itself");
  reader->at++;
  for (int i = 0; i < digits; i++, reader->at++) {
    const char *hexadecimal = "0123456789abcdef";
    const char *digit = is_name_part(*reader->at)
                            ? strchr(hexadecimal, is_digit(*reader->at) ? *reader->at : *reader->at | 0x20)
                            : NULL;
    if (digit == NULL) return cbn_reader_fail(reader, begin, "\\%c needs %d hexadecimal digits", letter, digits);
    code = code << 4 | (uint32_t)(digit - hexadecimal);
  }
  if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
    return cbn_reader_fail(reader, begin, "no parameter has that character");
  *length += put_utf8(code, bytes + *length);
  return true;
}

static bool read_string(cbn_reader *reader, const cbn_value **value) {
  const char *begin = reader->at, quote = *reader->at++;
  const char *stop = reader->at;
  while (*stop != '\0' && *stop != '\n' && *stop != quote) stop += *stop == '\\' && stop[1] != '\0' ? 2 : 1;
  if (*stop != quote) return cbn_reader_fail(reader, begin, "the string has no end; close it with %c", quote);
  char *bytes =
      cbn_arena_allocate(reader->arena, (size_t)(stop - begin)); /* an escape is longer than what it stands for */
  size_t length = 0;
  if (bytes == NULL) return fail_memory(reader);
  while (reader->at < stop) {
    if (*reader->at != '\\') bytes[length++] = *reader->at++;
    else if (!read_escape(reader, bytes, &length)) return false;
  }
  bytes[length] = '\0';
  reader->at = stop + 1;
  return keep(reader, (cbn_value){.kind = CBN_STRING, .as.string = {.text = bytes, .length = length}}, value);
}

/* ----------------------------------------------------------------------------------------------- words and lists */

static bool is_word(const char *name, size_t length, const char *word) {
  return strlen(word) == length && memcmp(name, word, length) == 0;
}

/* float('nan'), float('inf'), float('-inf'). */
static bool read_float_call(cbn_reader *reader, const char *begin, bool negative, const cbn_value **value) {
  static const struct {
    const char *name;
    double value;
  } words[] = {{"nan", NAN}, {"inf", INFINITY}, {"-inf", -INFINITY}, {"+inf", INFINITY}};
  const cbn_value *word;
  cbn_reader_takes(reader, '(');
  cbn_reader_skip(reader);
  if ((*reader->at == '\'' || *reader->at == '"') && read_string(reader, &word) && cbn_reader_takes(reader, ')'))
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
      if (cbn_value_is(word, words[i].name))
        return keep(reader, (cbn_value){.kind = CBN_REAL, .as.real = negative ? -words[i].value : words[i].value},
                    value);
  return cbn_reader_fail(reader, begin,
                         "only float('nan'), float('inf') and float('-inf') are read; write others as numbers");
}

static bool read_word(cbn_reader *reader, bool sign, bool negative, const cbn_value **value) {
  const char *begin = reader->at;
  const size_t length = cbn_name_length(begin);
  reader->at += length;
  if (is_word(begin, length, "float") && *reader->at == '(') return read_float_call(reader, begin, negative, value);
  if (!sign && is_word(begin, length, "None")) return keep(reader, (cbn_value){.kind = CBN_NULL}, value);
  if (!sign && (is_word(begin, length, "True") || is_word(begin, length, "False")))
    return keep(reader, (cbn_value){.kind = CBN_BOOLEAN, .as.boolean = *begin == 'T'}, value);
  if (*reader->at == '\'' || *reader->at == '"')
    return cbn_reader_fail(reader, begin, "a string with a prefix is not read; write it without the %.*s",
                           (int)(length < 8 ? length : 8), begin);
  return cbn_reader_fail(reader, begin,
                         "%.*s is no literal; write a number, a string, True, False, None, or a tuple of these",
                         (int)(length < 60 ? length : 60), begin);
}

static bool read_at_depth(cbn_reader *reader, int depth, const cbn_value **value);

/* Room for one more item, twice as much each time. */
static bool grow(cbn_reader *reader, const cbn_value ***items, size_t count) {
  if (count < 4 ? count != 0 : (count & (count - 1)) != 0) return true;
  const cbn_value **more = cbn_arena_allocate(reader->arena, (count == 0 ? 4 : 2 * count) * sizeof *more);
  if (more == NULL) return fail_memory(reader);
  if (count > 0) memcpy(more, *items, count * sizeof *more);
  *items = more;
  return true;
}

static bool read_items(cbn_reader *reader, int depth, const cbn_value **value) {
  const char *begin = reader->at;
  const char close = *begin == '(' ? ')' : ']';
  const cbn_value **items = NULL;
  size_t count = 0;
  bool comma = false;
  reader->at++;
  if (depth == MOST_DEPTH)
    return cbn_reader_fail(reader, begin, "this is nested more than %d deep; no parameter is", MOST_DEPTH);
  while (!cbn_reader_takes(reader, close)) {
    if (*reader->at == '\0')
      return cbn_reader_fail(reader, begin, "the '%c' has no end; close it with %c", *begin, close);
    if (count > 0 && !comma)
      return cbn_reader_fail(reader, reader->at, "',' or '%c' must stand between values, not '%.1s'", close,
                             reader->at);
    if (!grow(reader, &items, count) || !read_at_depth(reader, depth + 1, &items[count])) return false;
    count++;
    comma = cbn_reader_takes(reader, ',');
  }
  if (close == ')' && count == 1 && !comma) return *value = items[0], true;
  return keep(reader, (cbn_value){.kind = CBN_LIST, .as.list = {.items = items, .count = count}}, value);
}

static bool read_at_depth(cbn_reader *reader, int depth, const cbn_value **value) {
  cbn_reader_skip(reader);
  const char *begin = reader->at;
  const bool sign = *begin == '-' || *begin == '+';
  reader->at += sign;
  const char c = *reader->at;
  if (is_digit(c) || (c == '.' && is_digit(reader->at[1]))) return read_number(reader, *begin == '-', value);
  if (is_name_start(c)) return read_word(reader, sign, *begin == '-', value);
  if (!sign && (c == '\'' || c == '"')) return read_string(reader, value);
  if (!sign && (c == '(' || c == '[')) return read_items(reader, depth, value);
  if (c == '\0') return cbn_reader_fail(reader, begin, "a value is missing");
  return cbn_reader_fail(
      reader, begin, "no literal begins with '%.1s'; write a number, a string, True, False, None, or a tuple", begin);
}

bool cbn_reader_literal(cbn_reader *reader, const cbn_value **value) { return read_at_depth(reader, 0, value); }
