/* Python's literals, and the reading of a text around them: where it is, and what is wrong there. */
#ifndef CBN_MIGRATION_LITERAL_H
#define CBN_MIGRATION_LITERAL_H

#include "core/error.h"
#include "core/value.h"

typedef struct cbn_reader {
  const char *text, *at;
  cbn_arena *arena; /* of the values */
  cbn_error *error;
} cbn_reader;

/* Sets the message `column N: ...` (`line L, column N: ...` behind the first line) of what is wrong at `at`; returns
 * false. */
bool cbn_reader_fail(const cbn_reader *reader, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Moves on over white space, line ends and comments. */
void cbn_reader_skip(cbn_reader *reader);

/* Skips, and takes that character where it is next. */
bool cbn_reader_takes(cbn_reader *reader, char c);

/* The length of the name, dots in it, that stands at `text`; 0 for none. */
size_t cbn_name_length(const char *text);

/* Skips, and reads a literal: None, True, False, an integer (in 64 bits), a real, float('nan'), a string, a tuple or
 * list of literals. Both make a list; parentheses around one literal without a comma are that literal. */
bool cbn_reader_literal(cbn_reader *reader, const cbn_value **value);

#endif
