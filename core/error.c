#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The length of `text` without the first bytes of a UTF-8 character whose end was cut off. */
static size_t whole_characters(const char *text, size_t length) {
  size_t start = length;
  while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
  if (start == 0) return length;
  unsigned char lead = (unsigned char)text[start - 1];
  size_t announced = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return announced > length - start + 1 ? start - 1 : length;
}

/* The bytes of the character at `c` that would act on a terminal or turn the direction of a line: controls (C0, DEL,
 * C1), bidirectional controls, separators of lines, the byte order mark. 0 for any other. */
static size_t acting_bytes(const unsigned char *c) {
  if (c[0] < 0x20 || c[0] == 0x7F) return 1;
  if (c[0] == 0xC2 && c[1] >= 0x80 && c[1] <= 0x9F) return 2;
  if (c[0] == 0xD8 && c[1] == 0x9C) return 2;
  if (c[0] == 0xE2 && c[1] == 0x80 && (c[2] == 0x8E || c[2] == 0x8F || (c[2] >= 0xA8 && c[2] <= 0xAE))) return 3;
  if (c[0] == 0xE2 && c[1] == 0x81 && c[2] >= 0xA6 && c[2] <= 0xA9) return 3;
  return c[0] == 0xEF && c[1] == 0xBB && c[2] == 0xBF ? 3 : 0;
}

void cbn_make_inert(char *text) {
  for (char *c = text; *c != '\0';) {
    const size_t bytes = acting_bytes((const unsigned char *)c);
    if (bytes > 0) memset(c, '?', bytes);
    c += bytes > 0 ? bytes : 1;
  }
}

bool cbn_error_set(cbn_error *error, const char *format, ...) {
  char text[sizeof error->text]; /* apart, so that an argument may be the old message */
  va_list arguments;
  va_start(arguments, format);
  int wanted = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (wanted < 0) text[0] = '\0';
  size_t length = strlen(text);
  if (wanted >= (int)sizeof text) text[whole_characters(text, length)] = '\0';
  cbn_make_inert(text);
  memcpy(error->text, text, sizeof text);
  return false;
}
