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

bool cbn_error_set(cbn_error *error, const char *format, ...) {
  char text[sizeof error->text]; /* apart, so that an argument may be the old message */
  va_list arguments;
  va_start(arguments, format);
  int wanted = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (wanted < 0) text[0] = '\0';
  size_t length = strlen(text);
  if (wanted >= (int)sizeof text) text[whole_characters(text, length)] = '\0';
  for (char *c = text; *c; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = '?';
  memcpy(error->text, text, sizeof text);
  return false;
}
