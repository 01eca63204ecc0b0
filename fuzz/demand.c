#include "fuzz/demand.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Noreturn void cbn_fuzz_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("fuzz target: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  abort();
}

/* Reads `:NUMBER` and moves behind it; 0 where there is none. */
static uint32_t take_number(const char **at) {
  char *end;
  if (**at != ':' || (*at)[1] < '1' || (*at)[1] > '9') return 0;
  const unsigned long number = strtoul(*at + 1, &end, 10);
  *at = end;
  return (uint32_t)number;
}

cbn_place cbn_demand_message(const char *text, const char *name, const char *const *rules) {
  const char *at = text + strlen(name);
  cbn_place place;
  CBN_DEMAND(strncmp(text, name, strlen(name)) == 0, "a message that does not begin with the file's name: %s", text);
  place.line = take_number(&at);
  place.column = place.line > 0 ? take_number(&at) : 0;
  CBN_DEMAND((place.line > 0) == (place.column > 0), "a message with a line and no column: %s", text);
  CBN_DEMAND(strncmp(at, ": ", 2) == 0, "a message without a rule: %s", text);
  const char *rule = at + 2;
  const size_t length = strcspn(rule, ":");
  while (*rules != NULL && !(strlen(*rules) == length && strncmp(*rules, rule, length) == 0)) rules++;
  CBN_DEMAND(*rules != NULL, "a message whose rule is unknown: %s", text);
  CBN_DEMAND(strncmp(rule + length, ": ", 2) == 0 && rule[length + 2] > ' ', "a message without words: %s", text);
  for (const char *c = text; *c != '\0'; c++)
    CBN_DEMAND((unsigned char)*c >= ' ' && *c != 0x7F, "a message with a control character: %s", text);
  return place;
}

int cbn_memory_file(const uint8_t *bytes, size_t size) {
  const int descriptor = memfd_create("fuzz", MFD_CLOEXEC);
  CBN_DEMAND(descriptor >= 0, "no file in memory can be made");
  for (size_t done = 0; done < size;) {
    const ssize_t count = write(descriptor, bytes + done, size - done);
    CBN_DEMAND(count > 0, "a file in memory cannot be written");
    done += (size_t)count;
  }
  lseek(descriptor, 0, SEEK_SET);
  return descriptor;
}
