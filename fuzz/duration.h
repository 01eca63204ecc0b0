/* Durations as people write them: 30s, 10m, 8h, 1h30m; a number alone is seconds. */
#ifndef CBN_FUZZ_DURATION_H
#define CBN_FUZZ_DURATION_H

#include <stdbool.h>
#include <stddef.h>

/* False unless `text` is a duration above 0 and of at most 1000 days. */
bool cbn_duration_parse(const char *text, double *seconds);

/* "42 s", "3 min 05 s", "2 h 10 min" */
void cbn_duration_print(double seconds, char *text, size_t size);

#endif
