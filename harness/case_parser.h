/* From the tree of values of a case file to its cases: keys, types, shapes. */
#ifndef CBN_HARNESS_CASE_PARSER_H
#define CBN_HARNESS_CASE_PARSER_H

#include "harness/cases.h"

typedef struct cbn_case_parser {
  cbn_arena *arena;
  const char *file; /* the path, for messages */
  const cbn_dialect *dialect;
  const cbn_dialect_operator *operator;
  const char *source; /* the file's */
  const cbn_value *const *cases;
  size_t case_count;
} cbn_case_parser;

/* Reads the file's own keys, sets `cases`. */
bool cbn_parse_header(cbn_case_parser *parser, const cbn_value *root, cbn_error *error);

/* Reads case number `i`. */
bool cbn_parse_case(const cbn_case_parser *parser, size_t i, cbn_case *golden, cbn_error *error);

#endif
