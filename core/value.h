/* Values of parameters and case files: what YAML, JSON and constructor calls have in common, each with its place.
 *
 * A tree (aliases make it a directed acyclic graph) that lives in an arena and is released as a whole. */
#ifndef CBN_CORE_VALUE_H
#define CBN_CORE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cbn_value_kind { CBN_NULL, CBN_BOOLEAN, CBN_INTEGER, CBN_REAL, CBN_STRING, CBN_LIST, CBN_MAP };

typedef struct cbn_value cbn_value;
struct cbn_value {
  enum cbn_value_kind kind;
  uint32_t line, column; /* of its first character, from 1; 0 where it has no place */
  union {
    bool boolean;
    int64_t integer;
    double real;
    struct {
      const char *text; /* NUL-terminated; may hold any other byte */
      size_t length;
    } string;
    struct {
      const cbn_value *const *items;
      size_t count;
    } list;
    struct {
      const cbn_value *const *keys; /* strings, each different */
      const cbn_value *const *items;
      size_t count;
    } map;
  } as;
};

/* "null", "boolean", "integer", "real number", "string", "list", "map". */
const char *cbn_value_kind_name(enum cbn_value_kind kind);

/* The value under `key` of a map; NULL where the map has no such key or `map` is NULL. */
const cbn_value *cbn_value_get(const cbn_value *map, const char *key);

/* True for a string equal to `text`. */
bool cbn_value_is(const cbn_value *value, const char *text);

/* The number of an INTEGER or REAL; false for anything else. */
bool cbn_value_number(const cbn_value *value, double *number);

/* Writes the value as one line of YAML flow text that reads back to it (`{kernel_size: [1, 2], bias: false}`), cut to
 * `size` with "..." at its end. Returns the length written. */
size_t cbn_value_print(const cbn_value *value, char *text, size_t size);

/* An arena: allocations that are released together. */
typedef struct cbn_arena cbn_arena;
cbn_arena *cbn_arena_create(size_t limit_bytes); /* NULL without memory */
void cbn_arena_destroy(cbn_arena *arena);        /* NULL allowed */
/* Zeroed, aligned for any type; NULL without memory or beyond the limit. */
void *cbn_arena_allocate(cbn_arena *arena, size_t bytes);
/* A NUL-terminated copy. */
char *cbn_arena_copy(cbn_arena *arena, const char *text, size_t length);

#endif
