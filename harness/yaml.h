/* Case files: one YAML 1.2 document (core schema) as a tree of values, each with its line and column.
 *
 * What the core schema does not say: hexadecimal floats (`0x1.8p-3`) are real numbers, signs are allowed before `0x`
 * and `0o`, and an integer beyond 64 bits is a real number. Map keys are strings, each different; `<<` does not merge.
 * Aliases are shared, and counted as often as they are used. The text is UTF-8.
 *
 * Files may be hostile. Everything is counted before it is allocated: a file, a nesting or an expansion beyond the
 * limits is refused, and the tree takes no more than its arena allows. Besides the arena, reading takes a few
 * times the file's bytes, and at most 200 bytes for each value.
 *
 * A message is one line, `FILE:LINE:COLUMN: rule: what is wrong; what to write instead` (no line and column where the
 * file cannot be read at all). The rules: file, file-size, syntax, empty, documents, depth, values, memory, alias, tag,
 * key, duplicate-key, merge-key, number. */
#ifndef CBN_HARNESS_YAML_H
#define CBN_HARNESS_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/value.h"

typedef struct cbn_yaml_limits {
  size_t file_bytes;
  size_t depth;  /* of nested lists and maps, aliases expanded */
  size_t values; /* scalars, keys, lists and maps, aliases expanded */
} cbn_yaml_limits;

/* The limits of docs/cases.md: 64 MiB, 64 levels, 2 million values. */
extern const cbn_yaml_limits cbn_yaml_default_limits;

/* Reads a regular file. False with a message where it cannot be read or is refused; `*root` lives as long as the
 * arena, and after a failure what the arena holds is of no use. */
bool cbn_yaml_load(const char *path, const cbn_yaml_limits *limits, cbn_arena *arena, const cbn_value **root,
                   cbn_error *error);

/* The same for `length` bytes in memory; `name` stands for the path in messages. */
bool cbn_yaml_parse(const char *name, const char *bytes, size_t length, const cbn_yaml_limits *limits, cbn_arena *arena,
                    const cbn_value **root, cbn_error *error);

/* The number that a value is, or that a string in quotes is written as: JSON has no hexadecimal numbers. */
bool cbn_yaml_number(const cbn_value *value, double *number);

/* Sets the message `PATH:LINE:COLUMN: rule: ...` about a value, for those who read meaning into it (without line and
 * column where `at` is NULL or has no place). Of a path beyond 400 bytes, the last ones. Returns false. */
bool cbn_yaml_refuse(cbn_error *error, const char *path, const cbn_value *at, const char *rule, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
