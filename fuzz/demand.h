/* What a fuzz target demands of the code under test. Where it does not hold, the reason is printed and the process
 * aborts, as fuzzers and their users expect. */
#ifndef CBN_FUZZ_DEMAND_H
#define CBN_FUZZ_DEMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CBN_DEMAND(condition, ...)                                                                                     \
  do {                                                                                                                 \
    if (!(condition)) cbn_fuzz_fail(__VA_ARGS__);                                                                      \
  } while (0)

_Noreturn void cbn_fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Demands that the message is one line, `NAME: rule: words` or `NAME:LINE:COLUMN: rule: words`, of one of the rules
 * (NULL at their end). The place is 0 where the message has none. */
typedef struct cbn_place {
  uint32_t line, column;
} cbn_place;
cbn_place cbn_demand_message(const char *text, const char *name, const char *const *rules);

/* A file in memory with those bytes; the caller closes it. */
int cbn_memory_file(const uint8_t *bytes, size_t size);

#endif
