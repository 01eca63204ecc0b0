#include "core/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cbn_value_kind_name(enum cbn_value_kind kind) {
  static const char *const names[] = {"null", "boolean", "integer", "real number", "string", "list", "map"};
  return names[kind];
}

bool cbn_value_is(const cbn_value *value, const char *text) {
  if (value == NULL || value->kind != CBN_STRING) return false;
  size_t length = strlen(text);
  return value->as.string.length == length && memcmp(value->as.string.text, text, length) == 0;
}

const cbn_value *cbn_value_get(const cbn_value *map, const char *key) {
  if (map == NULL || map->kind != CBN_MAP) return NULL;
  for (size_t i = 0; i < map->as.map.count; i++)
    if (cbn_value_is(map->as.map.keys[i], key)) return map->as.map.items[i];
  return NULL;
}

bool cbn_value_number(const cbn_value *value, double *number) {
  if (value == NULL) return false;
  if (value->kind == CBN_INTEGER) {
    *number = (double)value->as.integer;
    return true;
  }
  if (value->kind == CBN_REAL) {
    *number = value->as.real;
    return true;
  }
  return false;
}

/* ---- printing ---- */

/* A line that is written until it is full; `full` stops all work on what no longer fits. */
struct line {
  char *text;
  size_t size, length;
  bool full;
};

static void put(struct line *line, const char *bytes, size_t count) {
  if (line->full) return;
  size_t room = line->size - 1 - line->length;
  line->full = count > room;
  if (line->full) count = room;
  memcpy(line->text + line->length, bytes, count);
  line->length += count;
}

static void put_text(struct line *line, const char *text) { put(line, text, strlen(text)); }

__attribute__((format(printf, 2, 3))) static void put_format(struct line *line, const char *format, ...) {
  char text[64]; /* the longest: "-1.2345678901234567e-308" */
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  put_text(line, text);
}

static void put_real(struct line *line, double real) {
  if (isnan(real)) {
    put_text(line, ".nan");
  } else if (isinf(real)) {
    put_text(line, real < 0 ? "-.inf" : ".inf");
  } else {
    char text[32];
    for (int digits = 1; digits <= 17; digits++) { /* 17 digits always read back */
      snprintf(text, sizeof text, "%.*g", digits, real);
      if (strtod(text, NULL) == real) break;
    }
    put_text(line, text);
    if (strpbrk(text, ".e") == NULL) put_text(line, ".0"); /* or it would read back as an integer */
  }
}

/* Decodes the UTF-8 character at `bytes`; returns its length, 0 where there is none. */
static size_t decode_utf8(const char *bytes, size_t count, uint32_t *code) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char lead = (unsigned char)bytes[0];
  size_t length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
  if (length == 0 || length > count) return 0;
  *code = length == 1 ? lead : lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; i++) {
    unsigned char next = (unsigned char)bytes[i];
    if ((next & 0xC0) != 0x80) return 0;
    *code = *code << 6 | (next & 0x3F);
  }
  bool surrogate = *code >= 0xD800 && *code <= 0xDFFF;
  return *code >= least[length] && *code <= 0x10FFFF && !surrogate ? length : 0;
}

/* Whether a YAML reader takes the character for itself inside double quotes: no control, line break or byte order
 * mark, and no half of an escape. */
static bool stands_for_itself(uint32_t code) {
  if (code < 0x20 || code == '"' || code == '\\') return false;
  if (code >= 0x7F && code < 0xA0) return false;
  return code != 0x2028 && code != 0x2029 && code != 0xFEFF && code != 0xFFFE && code != 0xFFFF;
}

static void put_quoted(struct line *line, const char *text, size_t length) {
  put_text(line, "\"");
  for (size_t i = 0; i < length && !line->full;) {
    uint32_t code = (unsigned char)text[i];
    size_t width = decode_utf8(text + i, length - i, &code);
    if (width > 0 && stands_for_itself(code)) put(line, text + i, width);
    else if (width == 0) put_format(line, "\\x%02X", (unsigned char)text[i]); /* no UTF-8: the byte's number */
    else if (code == '\n') put_text(line, "\\n");
    else if (code == '\t') put_text(line, "\\t");
    else if (code == '"' || code == '\\') put_format(line, "\\%c", (char)code);
    else if (code < 0x100) put_format(line, "\\x%02" PRIX32, code);
    else put_format(line, "\\u%04" PRIX32, code);
    i += width > 0 ? width : 1;
  }
  put_text(line, "\"");
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* Whether the text may stand without quotes: words and names that no YAML reader takes for anything else, those of
 * YAML 1.1, to whom `yes` and `off` are booleans, included. */
static bool reads_back_plain(const char *text, size_t length) {
  static const char *const taken[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  if (length == 0 || !is_letter(text[0]) || text[length - 1] == ' ') return false;
  for (size_t i = 0; i < length; i++)
    if (text[i] == '\0' || (!is_letter(text[i]) && strchr("0123456789_./+- ", text[i]) == NULL)) return false;
  for (size_t t = 0; t < sizeof taken / sizeof *taken; t++) {
    size_t i = 0;
    while (i < length && taken[t][i] != '\0' && (text[i] | 0x20) == taken[t][i]) i++;
    if (i == length && taken[t][i] == '\0') return false;
  }
  return true;
}

static void put_string(struct line *line, const cbn_value *string) {
  const char *text = string->as.string.text;
  size_t length = string->as.string.length;
  if (reads_back_plain(text, length)) put(line, text, length);
  else put_quoted(line, text, length);
}

static void put_value(struct line *line, const cbn_value *value);

static void put_map(struct line *line, const cbn_value *map) {
  put_text(line, "{");
  for (size_t i = 0; i < map->as.map.count && !line->full; i++) {
    const cbn_value *key = map->as.map.keys[i];
    bool explicit = key->as.string.length > 128; /* readers look for the ':' of a simple key for 1024 characters */
    if (i > 0) put_text(line, ", ");
    if (explicit) put_text(line, "? ");
    put_string(line, key);
    put_text(line, explicit ? " : " : ": ");
    put_value(line, map->as.map.items[i]);
  }
  put_text(line, "}");
}

/* Recursion ends where the line is full: each level writes at least its bracket. */
static void put_value(struct line *line, const cbn_value *value) {
  if (line->full) return;
  switch (value->kind) {
  case CBN_NULL: put_text(line, "null"); break;
  case CBN_BOOLEAN: put_text(line, value->as.boolean ? "true" : "false"); break;
  case CBN_INTEGER: put_format(line, "%" PRId64, value->as.integer); break;
  case CBN_REAL: put_real(line, value->as.real); break;
  case CBN_STRING: put_string(line, value); break;
  case CBN_LIST:
    put_text(line, "[");
    for (size_t i = 0; i < value->as.list.count && !line->full; i++) {
      if (i > 0) put_text(line, ", ");
      put_value(line, value->as.list.items[i]);
    }
    put_text(line, "]");
    break;
  case CBN_MAP: put_map(line, value); break;
  }
}

size_t cbn_value_print(const cbn_value *value, char *text, size_t size) {
  if (size == 0) return 0;
  struct line line = {.text = text, .size = size};
  put_value(&line, value);
  if (line.full) {
    size_t dots = size - 1 < 3 ? size - 1 : 3, keep = size - 1 - dots;
    while (keep > 0 && ((unsigned char)text[keep] & 0xC0) == 0x80) keep--; /* never half a UTF-8 character */
    memset(text + keep, '.', dots);
    line.length = keep + dots;
  }
  text[line.length] = '\0';
  return line.length;
}

/* ---- arenas ---- */

#if defined __has_feature
#if __has_feature(address_sanitizer) && !defined __SANITIZE_ADDRESS__
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__ /* what was not handed out is poisoned, so that an overrun shows */
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum { ALIGNMENT = _Alignof(max_align_t), FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 20 };

struct chunk {
  struct chunk *next;
  size_t used, size; /* of `bytes` */
  _Alignas(max_align_t) unsigned char bytes[];
};

/* `chunks` begins with the one that small allocations come from. Limit and sum are of what malloc was asked for. */
struct cbn_arena {
  struct chunk *chunks;
  size_t limit, sum, next_size;
};

cbn_arena *cbn_arena_create(size_t limit_bytes) {
  cbn_arena *arena = calloc(1, sizeof *arena);
  if (arena != NULL) *arena = (cbn_arena){.limit = limit_bytes, .next_size = FIRST_CHUNK};
  return arena;
}

void cbn_arena_destroy(cbn_arena *arena) {
  if (arena == NULL) return;
  for (struct chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
    next = chunk->next;
    free(chunk);
  }
  free(arena);
}

static struct chunk *create_chunk(cbn_arena *arena, size_t size) {
  struct chunk *chunk = calloc(1, sizeof *chunk + size);
  if (chunk == NULL) return NULL;
  chunk->size = size;
  arena->sum += sizeof *chunk + size;
  ASAN_POISON_MEMORY_REGION(chunk->bytes, size);
  return chunk;
}

/* A chunk with room for `size` bytes: the first one, a new first one, or for a big allocation one of its own, behind
 * the first, whose rest stays in use. */
static struct chunk *chunk_with_room(cbn_arena *arena, size_t size) {
  struct chunk *first = arena->chunks;
  if (first != NULL && size <= first->size - first->used) return first;
  size_t left = arena->limit - arena->sum;
  if (left < sizeof *first || size > left - sizeof *first) return NULL;
  left -= sizeof *first;
  bool big = size > arena->next_size / 4;
  size_t wanted = big ? size : arena->next_size < left ? arena->next_size : left;
  struct chunk *chunk = create_chunk(arena, wanted);
  if (chunk == NULL) return NULL;
  if (big && first != NULL) {
    chunk->next = first->next;
    first->next = chunk;
  } else {
    chunk->next = first;
    arena->chunks = chunk;
  }
  if (!big && arena->next_size < LARGEST_CHUNK) arena->next_size *= 2;
  return chunk;
}

void *cbn_arena_allocate(cbn_arena *arena, size_t bytes) {
  if (bytes > SIZE_MAX - ALIGNMENT) return NULL;
  size_t size = bytes == 0 ? ALIGNMENT : (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  struct chunk *chunk = chunk_with_room(arena, size);
  if (chunk == NULL) return NULL;
  void *address = chunk->bytes + chunk->used;
  chunk->used += size;
  ASAN_UNPOISON_MEMORY_REGION(address, bytes);
  return address;
}

char *cbn_arena_copy(cbn_arena *arena, const char *text, size_t length) {
  if (length == SIZE_MAX) return NULL;
  char *copy = cbn_arena_allocate(arena, length + 1);
  if (copy != NULL && length > 0) memcpy(copy, text, length);
  return copy;
}
