#include "harness/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

const cbn_yaml_limits cbn_yaml_default_limits = {.file_bytes = 64u << 20, .depth = 64, .values = 2000000};

/* ---- messages ---- */

__attribute__((format(printf, 6, 0))) static bool refuse(cbn_error *error, const char *path, size_t line, size_t column,
                                                         const char *rule, const char *format, va_list arguments) {
  enum { PATH_SHOWN = 400 };
  char what[sizeof error->text], place[64] = "";
  if (vsnprintf(what, sizeof what, format, arguments) < 0) what[0] = '\0';
  if (line > 0) snprintf(place, sizeof place, ":%zu:%zu", line, column);
  size_t length = strlen(path);
  bool cut = length > PATH_SHOWN;
  if (cut) path += length - PATH_SHOWN;
  return cbn_error_set(error, "%s%s%s: %s: %s", cut ? "..." : "", path, place, rule, what);
}

bool cbn_yaml_refuse(cbn_error *error, const char *path, const cbn_value *at, const char *rule, const char *format,
                     ...) {
  va_list arguments;
  va_start(arguments, format);
  refuse(error, path, at ? at->line : 0, at ? at->column : 0, rule, format, arguments);
  va_end(arguments);
  return false;
}

/* A short quotation of a text for a message. */
struct excerpt {
  char text[48];
};

static struct excerpt excerpt(const char *text, size_t length) {
  struct excerpt result;
  cbn_value value = {.kind = CBN_STRING, .as.string = {text, length}};
  cbn_value_print(&value, result.text, sizeof result.text);
  return result;
}

/* ---- sets of names ---- */

/* A crit-bit tree: a branch tells its two sides apart by one bit, the first in which any two names of it differ, so
 * that a search costs no more than the bits of the name, whatever names a hostile file chooses. The letters of a name
 * are its bytes with a ninth bit, and 0 behind its end. */
struct name {
  unsigned mask; /* of a branch: the bit; 0: a leaf */
  union {
    struct {
      size_t position;
      struct name *side[2];
    } branch;
    struct {
      const char *text;
      size_t length;
      struct anchor *anchor; /* of an anchor's name: what it stands for now */
    } leaf;
  } as;
};

static unsigned letter(const char *text, size_t length, size_t position) {
  return position < length ? 0x100u | (unsigned char)text[position] : 0;
}

static int side_of(const struct name *branch, const char *text, size_t length) {
  return (letter(text, length, branch->as.branch.position) & branch->mask) != 0;
}

/* The leaf that agrees with the name in all bits that the tree asks for; NULL in an empty one. */
static struct name *nearest_name(struct name *tree, const char *text, size_t length) {
  while (tree != NULL && tree->mask != 0) tree = tree->as.branch.side[side_of(tree, text, length)];
  return tree;
}

static struct name *find_name(struct name *tree, const char *text, size_t length) {
  struct name *near = nearest_name(tree, text, length);
  bool same = near != NULL && near->as.leaf.length == length && memcmp(near->as.leaf.text, text, length) == 0;
  return same ? near : NULL;
}

/* Adds a name that the tree does not hold; `text` stays where it is. NULL without memory. */
static struct name *add_name(struct name **tree, cbn_arena *arena, const char *text, size_t length) {
  struct name *leaf = cbn_arena_allocate(arena, sizeof *leaf);
  if (leaf == NULL) return NULL;
  leaf->as.leaf.text = text;
  leaf->as.leaf.length = length;
  const struct name *near = nearest_name(*tree, text, length);
  if (near == NULL) return *tree = leaf;

  struct name *branch = cbn_arena_allocate(arena, sizeof *branch);
  if (branch == NULL) return NULL;
  size_t position = 0;
  unsigned differing;
  while ((differing = letter(text, length, position) ^ letter(near->as.leaf.text, near->as.leaf.length, position)) == 0)
    position++; /* ends: the names differ, at the latest where the shorter one ends */
  unsigned mask = 0x100;
  while ((mask & differing) == 0) mask >>= 1;
  branch->mask = mask;
  branch->as.branch.position = position;

  struct name **link = tree; /* the branches on the way are ordered by position, then from the highest bit down */
  while ((*link)->mask != 0 &&
         ((*link)->as.branch.position < position || ((*link)->as.branch.position == position && (*link)->mask > mask)))
    link = &(*link)->as.branch.side[side_of(*link, text, length)];
  int side = side_of(branch, text, length);
  branch->as.branch.side[side] = leaf;
  branch->as.branch.side[!side] = *link;
  *link = branch;
  return leaf;
}

/* ---- plain scalars: the core schema ---- */

enum notation { NO_NUMBER, DECIMAL, OCTAL, HEXADECIMAL, DECIMAL_REAL, HEXADECIMAL_REAL };

static size_t count_digits(const char *text, const char *digits) { return strspn(text, digits); }

/* Which number the whole text (without its sign) is written as:
 *
 *   digits | 0o digits | 0x digits | a real: digits [. [digits]] [e exponent], or . digits; hexadecimal with p for e */
static enum notation notation_of(const char *text) {
  if (strncmp(text, "0o", 2) == 0) {
    size_t count = count_digits(text + 2, "01234567");
    return count > 0 && text[2 + count] == '\0' ? OCTAL : NO_NUMBER;
  }
  bool hexadecimal = strncmp(text, "0x", 2) == 0;
  const char *digits = hexadecimal ? "0123456789abcdefABCDEF" : "0123456789", *at = text + (hexadecimal ? 2 : 0);
  size_t whole = count_digits(at, digits), fraction = 0;
  bool real = false;
  at += whole;
  if (*at == '.') {
    real = true;
    fraction = count_digits(++at, digits);
    at += fraction;
  }
  if (whole + fraction == 0) return NO_NUMBER;
  if (*at != '\0' && strchr(hexadecimal ? "pP" : "eE", *at) != NULL) {
    real = true;
    at++;
    if (*at == '+' || *at == '-') at++;
    size_t exponent = count_digits(at, "0123456789");
    if (exponent == 0) return NO_NUMBER;
    at += exponent;
  }
  if (*at != '\0') return NO_NUMBER;
  if (real) return hexadecimal ? HEXADECIMAL_REAL : DECIMAL_REAL;
  return hexadecimal ? HEXADECIMAL : DECIMAL;
}

/* Octal digits as the nearest double: up to 62 leading bits, the lowest of them set where a bit behind them is, which
 * rounds as all bits would. */
static double octal_real(const char *digits) {
  uint64_t leading = 0;
  int exponent = 0;
  for (; *digits != '\0'; digits++) {
    uint64_t digit = (uint64_t)(*digits - '0');
    if (leading >> 59 == 0) {
      leading = leading << 3 | digit;
    } else {
      leading |= digit != 0;
      if (exponent < 4096) exponent += 3; /* beyond every double already */
    }
  }
  return ldexp((double)leading, exponent);
}

/* Reads the number; false where it is beyond the largest double. */
static bool read_number(enum notation notation, const char *text, cbn_value *value) {
  bool negative = *text == '-';
  if (*text == '-' || *text == '+') text++;
  if (notation != DECIMAL_REAL && notation != HEXADECIMAL_REAL) {
    const char *digits = notation == DECIMAL ? text : text + 2;
    errno = 0;
    uint64_t magnitude = strtoull(digits, NULL, notation == DECIMAL ? 10 : notation == OCTAL ? 8 : 16);
    if (errno == 0 && magnitude <= (uint64_t)INT64_MAX + negative) {
      value->kind = CBN_INTEGER;
      value->as.integer = (int64_t)(negative ? 0 - magnitude : magnitude);
      return true;
    }
  }
  double magnitude = notation == OCTAL ? octal_real(text + 2) : strtod(text, NULL);
  value->kind = CBN_REAL;
  value->as.real = negative ? -magnitude : magnitude;
  return !isinf(magnitude);
}

static bool is_one_of(const char *text, const char *const *words, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(text, words[i]) == 0) return true;
  return false;
}
#define IS_ONE_OF(text, ...)                                                                                           \
  is_one_of((text), (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* The value of a plain scalar; leaves a string alone. False where a number is beyond the largest double. */
static bool resolve(const char *text, cbn_value *value) {
  const char *magnitude = *text == '-' || *text == '+' ? text + 1 : text;
  enum notation notation = notation_of(magnitude);
  if (notation != NO_NUMBER) return read_number(notation, text, value);
  if (IS_ONE_OF(text, "", "~", "null", "Null", "NULL")) {
    value->kind = CBN_NULL;
  } else if (IS_ONE_OF(text, "true", "True", "TRUE", "false", "False", "FALSE")) {
    value->kind = CBN_BOOLEAN;
    value->as.boolean = *text == 't' || *text == 'T';
  } else if (IS_ONE_OF(magnitude, ".inf", ".Inf", ".INF")) {
    value->kind = CBN_REAL;
    value->as.real = *text == '-' ? -INFINITY : INFINITY;
  } else if (IS_ONE_OF(text, ".nan", ".NaN", ".NAN")) {
    value->kind = CBN_REAL;
    value->as.real = NAN;
  }
  return true;
}

bool cbn_yaml_number(const cbn_value *value, double *number) {
  cbn_value read = {.kind = CBN_NULL};
  if (value == NULL || value->kind != CBN_STRING) return cbn_value_number(value, number);
  return strlen(value->as.string.text) == value->as.string.length && resolve(value->as.string.text, &read) &&
         cbn_value_number(&read, number);
}

/* ---- the tree ---- */

/* What an anchor stands for: a value, how many values and levels it is when expanded. */
struct anchor {
  const cbn_value *value;
  size_t values, levels;
  bool open; /* its list or map has not ended yet */
};

/* A list or map that has not ended yet; its entries so far are on the stack from `base` on. */
struct level {
  cbn_value *value;
  size_t base, values_before, levels;
  struct name *keys;
  struct anchor *anchor; /* NULL without one */
};

struct reader {
  const char *path, *bytes;
  size_t length;
  cbn_yaml_limits limits;
  cbn_arena *arena, *scratch;
  cbn_error *error;
  yaml_parser_t parser;
  struct level *levels; /* limits.depth of them */
  size_t depth;
  const cbn_value **stack; /* entries of the open lists and maps; of a map, keys and values in turns */
  size_t stacked, stack_size;
  cbn_value *slab; /* values not handed out yet */
  size_t slab_left;
  size_t values; /* so far, aliases expanded */
  struct name *anchors;
  const cbn_value *root;
  bool ended;
};

__attribute__((format(printf, 4, 5))) static bool fail(struct reader *reader, yaml_mark_t mark, const char *rule,
                                                       const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  refuse(reader->error, reader->path, mark.line + 1, mark.column + 1, rule, format, arguments);
  va_end(arguments);
  return false;
}

static bool fail_memory(struct reader *reader, yaml_mark_t mark) {
  return fail(reader, mark, "memory", "the values take more memory than there is for them; split the file");
}

static bool count_values(struct reader *reader, yaml_mark_t mark, size_t values) {
  if (values > reader->limits.values - reader->values)
    return fail(reader, mark, "values",
                "more than %zu values, aliases counted as often as they are used; split the file or use a fill or an "
                ".npy file",
                reader->limits.values);
  reader->values += values;
  return true;
}

/* A new value with its place; NULL without memory. Values come in slabs, without an allocation's overhead. */
static cbn_value *create_value(struct reader *reader, yaml_mark_t mark) {
  enum { SLAB = 16 };
  if (reader->slab_left == 0) {
    reader->slab = cbn_arena_allocate(reader->arena, SLAB * sizeof *reader->slab);
    if (reader->slab == NULL) return NULL;
    reader->slab_left = SLAB;
  }
  reader->slab_left--;
  cbn_value *value = reader->slab++;
  value->line = (uint32_t)mark.line + 1;
  value->column = (uint32_t)mark.column + 1;
  return value;
}

static bool push(struct reader *reader, yaml_mark_t mark, const cbn_value *value) {
  if (reader->stacked == reader->stack_size) {
    size_t size = reader->stack_size == 0 ? 256 : reader->stack_size * 2; /* at most twice the limit of values */
    const cbn_value **stack = realloc(reader->stack, size * sizeof *stack);
    if (stack == NULL) return fail_memory(reader, mark);
    reader->stack = stack;
    reader->stack_size = size;
  }
  reader->stack[reader->stacked++] = value;
  return true;
}

static bool key_is_next(const struct reader *reader) {
  if (reader->depth == 0) return false;
  const struct level *level = &reader->levels[reader->depth - 1];
  return level->value->kind == CBN_MAP && (reader->stacked - level->base) % 2 == 0;
}

static bool add_key(struct reader *reader, yaml_mark_t mark, const cbn_value *key) {
  if (key->kind != CBN_STRING)
    return fail(reader, mark, "key", "%s as a key; write a string, in quotes if need be",
                cbn_value_kind_name(key->kind));
  struct level *level = &reader->levels[reader->depth - 1];
  const char *text = key->as.string.text;
  size_t length = key->as.string.length;
  if (find_name(level->keys, text, length) != NULL)
    return fail(reader, mark, "duplicate-key", "key %s stands twice in this map; write it once",
                excerpt(text, length).text);
  if (add_name(&level->keys, reader->scratch, text, length) == NULL) return fail_memory(reader, mark);
  return push(reader, mark, key);
}

/* Puts a finished value where it belongs: the document's root, a key or an entry of the innermost list or map. */
static bool add_value(struct reader *reader, yaml_mark_t mark, const cbn_value *value, size_t levels) {
  if (reader->depth == 0) {
    reader->root = value;
    return true;
  }
  struct level *parent = &reader->levels[reader->depth - 1];
  if (levels >= parent->levels) parent->levels = levels + 1;
  return key_is_next(reader) ? add_key(reader, mark, value) : push(reader, mark, value);
}

/* Binds the anchor's name, if there is one, to what it stands for from here on. */
static bool bind_anchor(struct reader *reader, yaml_mark_t mark, const yaml_char_t *name, struct anchor meaning,
                        struct anchor **bound) {
  if (bound != NULL) *bound = NULL;
  if (name == NULL) return true;
  const char *text = (const char *)name;
  size_t length = strlen(text);
  struct name *leaf = find_name(reader->anchors, text, length);
  if (leaf == NULL) {
    text = cbn_arena_copy(reader->scratch, text, length);
    if (text != NULL) leaf = add_name(&reader->anchors, reader->scratch, text, length);
    if (leaf == NULL) return fail_memory(reader, mark);
  }
  struct anchor *anchor = cbn_arena_allocate(reader->scratch, sizeof *anchor);
  if (anchor == NULL) return fail_memory(reader, mark);
  *anchor = meaning;
  leaf->as.leaf.anchor = anchor;
  if (bound != NULL) *bound = anchor;
  return true;
}

#define CORE_TAG "tag:yaml.org,2002:"

static bool fail_tag(struct reader *reader, yaml_mark_t mark, const char *tag) {
  if (strncmp(tag, CORE_TAG, strlen(CORE_TAG)) == 0)
    return fail(reader, mark, "tag", "the tag !!%.32s does not fit this value; leave it out", tag + strlen(CORE_TAG));
  return fail(reader, mark, "tag", "unknown tag %s; leave it out", excerpt(tag, strlen(tag)).text);
}

/* Gives a scalar the kind that its tag says; its text must be one of that kind. */
static bool apply_tag(struct reader *reader, yaml_mark_t mark, const char *tag, cbn_value *value) {
  static const struct {
    const char *tag;
    enum cbn_value_kind kind;
  } tags[] = {{CORE_TAG "null", CBN_NULL},
              {CORE_TAG "bool", CBN_BOOLEAN},
              {CORE_TAG "int", CBN_INTEGER},
              {CORE_TAG "float", CBN_REAL}};
  if (strcmp(tag, CORE_TAG "str") == 0 || strcmp(tag, "!") == 0) return true;
  const char *text = value->as.string.text;
  bool whole = strlen(text) == value->as.string.length; /* a string alone may hold a NUL */
  if (!whole || !resolve(text, value)) return fail_tag(reader, mark, tag);
  for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
    if (strcmp(tag, tags[i].tag) != 0) continue;
    if (tags[i].kind == CBN_REAL && value->kind == CBN_INTEGER) {
      value->kind = CBN_REAL;
      value->as.real = (double)value->as.integer;
    }
    if (value->kind == tags[i].kind) return true;
  }
  return fail_tag(reader, mark, tag);
}

static bool resolve_scalar(struct reader *reader, const yaml_event_t *event, cbn_value *value) {
  yaml_mark_t mark = event->start_mark;
  const char *text = (const char *)event->data.scalar.value, *tag = (const char *)event->data.scalar.tag;
  size_t length = event->data.scalar.length;
  bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  value->kind = CBN_STRING;
  value->as.string.text = text;
  value->as.string.length = length;
  if (tag != NULL) {
    CBN_FORWARD(apply_tag(reader, mark, tag, value));
  } else if (plain && !resolve(text, value)) {
    return fail(reader, mark, "number", "%s is beyond the largest double; write .inf for infinity",
                excerpt(text, length).text);
  }
  if (value->kind != CBN_STRING) return true;
  if (plain && strcmp(text, "<<") == 0 && key_is_next(reader))
    return fail(reader, mark, "merge-key", "YAML 1.2 does not merge maps; write the keys out");
  value->as.string.text = cbn_arena_copy(reader->arena, text, length);
  return value->as.string.text != NULL || fail_memory(reader, mark);
}

static bool take_scalar(struct reader *reader, const yaml_event_t *event) {
  yaml_mark_t mark = event->start_mark;
  CBN_FORWARD(count_values(reader, mark, 1));
  cbn_value *value = create_value(reader, mark);
  if (value == NULL) return fail_memory(reader, mark);
  CBN_FORWARD(resolve_scalar(reader, event, value));
  struct anchor meaning = {.value = value, .values = 1};
  CBN_FORWARD(bind_anchor(reader, mark, event->data.scalar.anchor, meaning, NULL));
  return add_value(reader, mark, value, 0);
}

static bool take_alias(struct reader *reader, const yaml_event_t *event) {
  yaml_mark_t mark = event->start_mark;
  const char *text = (const char *)event->data.alias.anchor;
  size_t length = strlen(text);
  const struct name *leaf = find_name(reader->anchors, text, length);
  if (leaf == NULL)
    return fail(reader, mark, "alias", "no anchor &%.40s stands before this alias; write the value itself", text);
  const struct anchor *anchor = leaf->as.leaf.anchor;
  if (anchor->open)
    return fail(reader, mark, "alias", "*%.40s is inside the value that it stands for; write a finite value", text);
  if (anchor->levels > reader->limits.depth - reader->depth)
    return fail(reader, mark, "depth", "lists and maps nest deeper than %zu levels with this alias expanded; nest less",
                reader->limits.depth);
  CBN_FORWARD(count_values(reader, mark, anchor->values));
  return add_value(reader, mark, anchor->value, anchor->levels);
}

static bool open_level(struct reader *reader, yaml_mark_t mark, enum cbn_value_kind kind, const yaml_char_t *tag,
                       const yaml_char_t *anchor) {
  const char *fitting = kind == CBN_LIST ? CORE_TAG "seq" : CORE_TAG "map";
  if (tag != NULL && strcmp((const char *)tag, fitting) != 0 && strcmp((const char *)tag, "!") != 0)
    return fail_tag(reader, mark, (const char *)tag);
  if (key_is_next(reader)) return fail(reader, mark, "key", "%s as a key; write a string", cbn_value_kind_name(kind));
  if (reader->depth == reader->limits.depth)
    return fail(reader, mark, "depth", "lists and maps nest deeper than %zu levels; nest less", reader->limits.depth);
  struct level level = {.base = reader->stacked, .values_before = reader->values, .levels = 1};
  CBN_FORWARD(count_values(reader, mark, 1));
  level.value = create_value(reader, mark);
  if (level.value == NULL) return fail_memory(reader, mark);
  level.value->kind = kind;
  CBN_FORWARD(bind_anchor(reader, mark, anchor, (struct anchor){.open = true}, &level.anchor));
  reader->levels[reader->depth++] = level;
  return true;
}

/* Moves every `step`-th of the level's stacked entries, from the `first` on, into an array of the arena. */
static const cbn_value **take_entries(struct reader *reader, const struct level *level, size_t first, size_t step) {
  size_t count = (reader->stacked - level->base) / step;
  const cbn_value **entries = cbn_arena_allocate(reader->arena, count * sizeof *entries);
  for (size_t i = 0; entries != NULL && i < count; i++) entries[i] = reader->stack[level->base + first + i * step];
  return entries;
}

static bool close_level(struct reader *reader, yaml_mark_t mark) {
  struct level *level = &reader->levels[reader->depth - 1];
  cbn_value *value = level->value;
  size_t entries = reader->stacked - level->base;
  if (value->kind == CBN_LIST) {
    value->as.list.count = entries;
    value->as.list.items = take_entries(reader, level, 0, 1);
    if (value->as.list.items == NULL) return fail_memory(reader, mark);
  } else {
    value->as.map.count = entries / 2;
    value->as.map.keys = take_entries(reader, level, 0, 2);
    value->as.map.items = take_entries(reader, level, 1, 2);
    if (value->as.map.keys == NULL || value->as.map.items == NULL) return fail_memory(reader, mark);
  }
  if (level->anchor != NULL)
    *level->anchor =
        (struct anchor){.value = value, .values = reader->values - level->values_before, .levels = level->levels};
  reader->stacked = level->base;
  reader->depth--;
  return add_value(reader, mark, value, level->levels);
}

static bool take_event(struct reader *reader, const yaml_event_t *event) {
  yaml_mark_t mark = event->start_mark;
  switch (event->type) {
  case YAML_SCALAR_EVENT: return take_scalar(reader, event);
  case YAML_ALIAS_EVENT: return take_alias(reader, event);
  case YAML_SEQUENCE_START_EVENT:
    return open_level(reader, mark, CBN_LIST, event->data.sequence_start.tag, event->data.sequence_start.anchor);
  case YAML_MAPPING_START_EVENT:
    return open_level(reader, mark, CBN_MAP, event->data.mapping_start.tag, event->data.mapping_start.anchor);
  case YAML_SEQUENCE_END_EVENT:
  case YAML_MAPPING_END_EVENT: return close_level(reader, mark);
  case YAML_DOCUMENT_START_EVENT:
    if (reader->root == NULL) return true;
    return fail(reader, mark, "documents", "a second document begins here; write one document a file");
  case YAML_STREAM_END_EVENT:
    reader->ended = true;
    if (reader->root != NULL) return true;
    return fail(reader, (yaml_mark_t){0}, "empty", "the file holds no document; write one");
  default: return true; /* begin of the stream, end of the document */
  }
}

/* ---- the text ---- */

/* Bytes of the line break that the text begins with, 0 if none: LF, CR, CRLF, and, for libyaml, NEL, LS and PS. */
static size_t break_width(const char *text, size_t length) {
  if (length >= 1 && *text == '\n') return 1;
  if (length >= 1 && *text == '\r') return length >= 2 && text[1] == '\n' ? 2 : 1;
  if (length >= 2 && memcmp(text, "\xC2\x85", 2) == 0) return 2;
  return length >= 3 && (memcmp(text, "\xE2\x80\xA8", 3) == 0 || memcmp(text, "\xE2\x80\xA9", 3) == 0) ? 3 : 0;
}

/* Line and column of a byte, counted in characters, as libyaml counts. */
static yaml_mark_t mark_of_byte(const char *bytes, size_t offset) {
  yaml_mark_t mark = {0};
  for (size_t i = 0; i < offset;) {
    const size_t width = break_width(bytes + i, offset - i);
    if (width > 0) {
      mark.line++;
      mark.column = 0;
    } else if (((unsigned char)bytes[i] & 0xC0) != 0x80) {
      mark.column++;
    }
    i += width > 0 ? width : 1;
  }
  return mark;
}

static const char *advice_about(const char *problem) {
  static const struct {
    const char *part, *advice;
  } advices[] = {
      {"',' or ']'", "separate the entries with ',' and close the list with ']'"},
      {"',' or '}'", "separate the entries with ',' and close the map with '}'"},
      {"mapping values are not allowed", "quote a text that holds ': ', or begin the map on a line of its own"},
      {"could not find expected ':'", "write `key: value`"},
      {"did not find expected key", "align the keys of the map"},
      {"'-' indicator", "align the entries of the list"},
      {"cannot start any token", "indent with spaces, and quote a text that begins so"},
      {"tab character", "indent with spaces"},
      {"end of stream", "close the quotes"},
      {"document indicator", "close the quotes"},
      {"unknown escape", "double the backslash, or use single quotes"},
      {"tag", "leave the tag out"},
      {"<document start>", "write one document, at the margin"},
      {"incompatible YAML", "leave the %YAML line out"},
      {"directive", "leave the line that begins with % out"},
      {"UTF-8", "save the file as UTF-8"},
      {"control characters", "write an escape such as \"\\x00\" in double quotes"},
      {"node content", "write a value"},
  };
  for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
    if (strstr(problem, advices[i].part) != NULL) return advices[i].advice;
  return "correct the YAML here";
}

/* Reports what libyaml refused, in its own words and with the advice. */
static bool fail_syntax(struct reader *reader) {
  const yaml_parser_t *parser = &reader->parser;
  const char *problem = parser->problem ? parser->problem : "cannot be read", *advice = advice_about(problem);
  if (parser->error == YAML_MEMORY_ERROR) return fail_memory(reader, parser->mark);
  if (parser->error == YAML_READER_ERROR) {
    size_t offset = parser->problem_offset < reader->length ? parser->problem_offset : reader->length;
    yaml_mark_t mark = mark_of_byte(reader->bytes, offset);
    if (parser->problem_value < 0) return fail(reader, mark, "syntax", "%s; %s", problem, advice);
    return fail(reader, mark, "syntax", "%s (%02X); %s", problem, (unsigned)parser->problem_value, advice);
  }
  yaml_mark_t mark = parser->problem_mark, end = mark_of_byte(reader->bytes, reader->length);
  if (mark.line > end.line) mark = end; /* libyaml ends the last line, even where the file does not */
  if (parser->context == NULL || strcmp(parser->context, "") == 0)
    return fail(reader, mark, "syntax", "%s; %s", problem, advice);
  return fail(reader, mark, "syntax", "%s %s that begins in line %zu, column %zu; %s", problem, parser->context,
              parser->context_mark.line + 1, parser->context_mark.column + 1, advice);
}

static bool read_events(struct reader *reader) {
  while (!reader->ended) {
    yaml_event_t event;
    if (!yaml_parser_parse(&reader->parser, &event)) return fail_syntax(reader);
    bool taken = take_event(reader, &event);
    yaml_event_delete(&event);
    CBN_FORWARD(taken);
  }
  return true;
}

/* Refuses a crowd of lines that begin with %: libyaml compares each directive with all before it. */
static bool check_directives(struct reader *reader) {
  enum { MOST = 100 };
  const char *line = reader->bytes, *end = line + reader->length;
  for (size_t count = 0; line < end;) {
    if (*line == '%' && ++count > MOST)
      return fail(reader, mark_of_byte(reader->bytes, (size_t)(line - reader->bytes)), "syntax",
                  "more than %d lines begin with %%; leave the directives out, and indent or quote text", MOST);
    while (line < end && *line != '\n' && *line != '\r') line++;
    line++;
  }
  return true;
}

static bool read_text(struct reader *reader) {
  CBN_FORWARD(check_directives(reader));
  if (!yaml_parser_initialize(&reader->parser)) return fail_memory(reader, (yaml_mark_t){0});
  yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING); /* or it would take UTF-16 as well */
  yaml_parser_set_input_string(&reader->parser, (const unsigned char *)reader->bytes, reader->length);
  bool read = read_events(reader);
  yaml_parser_delete(&reader->parser);
  return read;
}

/* Scratch memory: the levels, the anchors' names, and for a value its name and anchor. */
static cbn_arena *create_scratch(const cbn_yaml_limits *limits, size_t length) {
  const size_t per_value = 2 * sizeof(struct name) + sizeof(struct anchor) + 16, rest = 1u << 20;
  if (limits->values > SIZE_MAX / 4 / per_value || limits->depth > SIZE_MAX / 4 / sizeof(struct level)) return NULL;
  size_t bytes = limits->values * per_value + limits->depth * sizeof(struct level) + rest;
  return length < SIZE_MAX / 4 ? cbn_arena_create(bytes + length) : NULL;
}

bool cbn_yaml_parse(const char *name, const char *bytes, size_t length, const cbn_yaml_limits *limits, cbn_arena *arena,
                    const cbn_value **root, cbn_error *error) {
  if (length > limits->file_bytes)
    return cbn_yaml_refuse(error, name, NULL, "file-size", "more than %zu bytes; split the file", limits->file_bytes);
  if (length == 0) bytes = "";                                                       /* libyaml takes no null pointer */
  if (length >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) bytes += 3, length -= 3; /* a byte order mark */
  struct reader reader = {
      .path = name, .bytes = bytes, .length = length, .limits = *limits, .arena = arena, .error = error};
  reader.scratch = create_scratch(limits, length);
  if (reader.scratch != NULL) reader.levels = cbn_arena_allocate(reader.scratch, limits->depth * sizeof *reader.levels);
  bool read = reader.levels != NULL ? read_text(&reader) : fail_memory(&reader, (yaml_mark_t){0});
  free(reader.stack);
  cbn_arena_destroy(reader.scratch);
  if (read) *root = reader.root;
  return read;
}

/* ---- files ---- */

static bool check_file(int descriptor, const char *path, size_t limit, size_t *size, cbn_error *error) {
  struct stat status;
  if (fstat(descriptor, &status) != 0)
    return cbn_yaml_refuse(error, path, NULL, "file", "cannot be read: %s", strerror(errno));
  if (S_ISDIR(status.st_mode)) return cbn_yaml_refuse(error, path, NULL, "file", "is a folder; name a file");
  if (!S_ISREG(status.st_mode)) return cbn_yaml_refuse(error, path, NULL, "file", "is no regular file; name one");
  if ((uintmax_t)status.st_size > limit)
    return cbn_yaml_refuse(error, path, NULL, "file-size", "%jd bytes, more than %zu; split the file",
                           (intmax_t)status.st_size, limit);
  *size = (size_t)status.st_size;
  return true;
}

/* Reads `size` bytes and finds the end there; one byte of room beyond them shows a file that grew. */
static bool read_bytes(int descriptor, const char *path, char *bytes, size_t size, cbn_error *error) {
  size_t length = 0;
  while (length <= size) {
    ssize_t count = read(descriptor, bytes + length, size + 1 - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return cbn_yaml_refuse(error, path, NULL, "file", "cannot be read: %s", strerror(errno));
    if (count == 0) break;
    length += (size_t)count;
  }
  if (length != size) return cbn_yaml_refuse(error, path, NULL, "file", "changed while it was read; read it again");
  return true;
}

static bool load(int descriptor, const char *path, const cbn_yaml_limits *limits, cbn_arena *arena,
                 const cbn_value **root, cbn_error *error) {
  size_t size = 0;
  CBN_FORWARD(check_file(descriptor, path, limits->file_bytes, &size, error));
  char *bytes = malloc(size + 1);
  if (bytes == NULL) return cbn_yaml_refuse(error, path, NULL, "memory", "%zu bytes do not fit; split the file", size);
  bool loaded =
      read_bytes(descriptor, path, bytes, size, error) && cbn_yaml_parse(path, bytes, size, limits, arena, root, error);
  free(bytes);
  return loaded;
}

bool cbn_yaml_load(const char *path, const cbn_yaml_limits *limits, cbn_arena *arena, const cbn_value **root,
                   cbn_error *error) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* or a FIFO would make it wait */
  if (descriptor < 0) return cbn_yaml_refuse(error, path, NULL, "file", "cannot be read: %s", strerror(errno));
  bool loaded = load(descriptor, path, limits, arena, root, error);
  close(descriptor);
  return loaded;
}
