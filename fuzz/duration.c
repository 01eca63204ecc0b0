#include "fuzz/duration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cbn_duration_parse(const char *text, double *seconds) {
  static const char letters[] = "dhms";
  static const double lengths[] = {86400, 3600, 60, 1};
  int smallest = -1; /* units go from large to small, each at most once */
  *seconds = 0;
  do {
    char *end;
    if (text[0] < '0' || text[0] > '9' || strncmp(text, "0x", 2) == 0) return false;
    const double number = strtod(text, &end);
    const char *letter = *end == '\0' ? letters + 3 : strchr(letters, *end);
    if (letter == NULL || letter - letters <= smallest || (*end == '\0' && smallest >= 0)) return false;
    smallest = (int)(letter - letters);
    *seconds += number * lengths[smallest];
    text = *end == '\0' ? end : end + 1;
  } while (*text != '\0');
  return *seconds > 0 && *seconds <= 1000 * lengths[0];
}

void cbn_duration_print(double seconds, char *text, size_t size) {
  const long s = lround(fmax(0, seconds));
  if (s < 60) snprintf(text, size, "%ld s", s);
  else if (s < 3600) snprintf(text, size, "%ld min %02ld s", s / 60, s % 60);
  else snprintf(text, size, "%ld h %02ld min", s / 3600, s / 60 % 60);
}
