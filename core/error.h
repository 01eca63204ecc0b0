/* Errors are sentences. A function that can fail returns bool and fills a cbn_error; three macros and no more:
 *
 *   CBN_CHECK(condition, error, format, ...)  return false with a message unless the condition holds
 *   CBN_FORWARD(call)                         return false if the call did, whose message stands
 *   CBN_FAIL(error, format, ...)              return false with a message
 */
#ifndef CBN_CORE_ERROR_H
#define CBN_CORE_ERROR_H

#include <stdbool.h>

typedef struct cbn_error {
  char text[1024]; /* one line, without a newline at its end */
} cbn_error;

/* Replaces by '?' what would act on a terminal or turn the direction of a line: control and bidirectional
 * characters. */
void cbn_make_inert(char *text);

/* Formats the message, cut to what fits; what would act on a terminal becomes '?'. Returns false. */
bool cbn_error_set(cbn_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define CBN_FAIL(error, ...) return cbn_error_set((error), __VA_ARGS__)
#define CBN_CHECK(condition, error, ...)                                                                               \
  do {                                                                                                                 \
    if (!(condition)) CBN_FAIL((error), __VA_ARGS__);                                                                  \
  } while (0)
#define CBN_FORWARD(call)                                                                                              \
  do {                                                                                                                 \
    if (!(call)) return false;                                                                                         \
  } while (0)

#endif
