/* A map of parameters being written. */
#include <string.h>

#include "migration/framework.h"

enum { MOST = 32 };

struct cbn_writer {
  cbn_arena *arena;
  bool failed; /* memory was short */
  size_t count;
  const cbn_value *keys[MOST], *items[MOST];
};

cbn_writer *cbn_writer_create(cbn_arena *arena) {
  cbn_writer *writer = cbn_arena_allocate(arena, sizeof *writer);
  if (writer != NULL) writer->arena = arena;
  return writer;
}

/* Keeps the value in the arena; NULL, and the writer has failed, without memory. */
static const cbn_value *keep(cbn_writer *writer, cbn_value value) {
  cbn_value *kept = cbn_arena_allocate(writer->arena, sizeof *kept);
  writer->failed = writer->failed || kept == NULL;
  if (kept != NULL) *kept = value;
  return kept;
}

static const cbn_value *keep_integer(cbn_writer *writer, int64_t value) {
  return keep(writer, (cbn_value){.kind = CBN_INTEGER, .as.integer = value});
}

static const cbn_value *keep_text(cbn_writer *writer, const char *text) {
  const size_t length = strlen(text);
  const char *copy = cbn_arena_copy(writer->arena, text, length);
  writer->failed = writer->failed || copy == NULL;
  return keep(writer, (cbn_value){.kind = CBN_STRING, .as.string = {.text = copy, .length = length}});
}

/* Room for the items of a list. */
static const cbn_value **make_items(cbn_writer *writer, int32_t count) {
  const cbn_value **items = cbn_arena_allocate(writer->arena, (size_t)count * sizeof *items);
  writer->failed = writer->failed || items == NULL;
  return items;
}

static const cbn_value *keep_list(cbn_writer *writer, int32_t count, const cbn_value *const *items) {
  return keep(writer, (cbn_value){.kind = CBN_LIST, .as.list = {.items = items, .count = (size_t)count}});
}

static const cbn_value *keep_integers(cbn_writer *writer, int32_t count, const int64_t *values) {
  const cbn_value **items = make_items(writer, count);
  for (int32_t i = 0; i < count && items != NULL; i++) items[i] = keep_integer(writer, values[i]);
  return keep_list(writer, count, items);
}

static void put(cbn_writer *writer, const char *name, const cbn_value *value) {
  writer->failed = writer->failed || writer->count == MOST;
  if (writer->failed) return;
  writer->keys[writer->count] = keep_text(writer, name);
  writer->items[writer->count++] = value;
}

void cbn_write_integer(cbn_writer *writer, const char *name, int64_t value) {
  put(writer, name, keep_integer(writer, value));
}

void cbn_write_real(cbn_writer *writer, const char *name, double value) {
  put(writer, name, keep(writer, (cbn_value){.kind = CBN_REAL, .as.real = value}));
}

void cbn_write_boolean(cbn_writer *writer, const char *name, bool value) {
  put(writer, name, keep(writer, (cbn_value){.kind = CBN_BOOLEAN, .as.boolean = value}));
}

void cbn_write_text(cbn_writer *writer, const char *name, const char *text) {
  put(writer, name, keep_text(writer, text));
}

void cbn_write_null(cbn_writer *writer, const char *name) { put(writer, name, keep(writer, (cbn_value){0})); }

void cbn_write_list(cbn_writer *writer, const char *name, int32_t count, const int64_t *values) {
  put(writer, name, keep_integers(writer, count, values));
}

void cbn_write_entries(cbn_writer *writer, const char *name, int32_t count, const int64_t *values) {
  bool equal = count > 0;
  for (int32_t i = 1; i < count; i++) equal = equal && values[i] == values[0];
  if (equal) cbn_write_integer(writer, name, values[0]);
  else cbn_write_list(writer, name, count, values);
}

void cbn_write_pairs(cbn_writer *writer, const char *name, int32_t count, const int64_t *first, const int64_t *second) {
  const cbn_value **items = make_items(writer, count);
  for (int32_t i = 0; i < count && items != NULL; i++)
    items[i] = keep_integers(writer, 2, (const int64_t[]){first[i], second[i]});
  put(writer, name, keep_list(writer, count, items));
}

void cbn_write_texts(cbn_writer *writer, const char *name, int32_t count, const char *const *texts) {
  const cbn_value **items = make_items(writer, count);
  for (int32_t i = 0; i < count && items != NULL; i++) items[i] = keep_text(writer, texts[i]);
  put(writer, name, keep_list(writer, count, items));
}

const cbn_value *cbn_writer_finish(cbn_writer *writer) {
  const size_t bytes = writer->count * sizeof writer->keys[0];
  const cbn_value **keys = cbn_arena_allocate(writer->arena, bytes), **items = cbn_arena_allocate(writer->arena, bytes);
  if (writer->failed || keys == NULL || items == NULL) return NULL;
  memcpy(keys, writer->keys, bytes);
  memcpy(items, writer->items, bytes);
  return keep(writer, (cbn_value){.kind = CBN_MAP, .as.map = {.keys = keys, .items = items, .count = writer->count}});
}
