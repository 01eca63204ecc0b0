#include "migration/signature.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "migration/literal.h"

/* A default; the canonical dialect writes truth as case files do. NULL for a text that is no literal. */
static const cbn_value *read_default(const char *text, cbn_arena *arena) {
  static const cbn_value truths[] = {{.kind = CBN_BOOLEAN, .as.boolean = false},
                                     {.kind = CBN_BOOLEAN, .as.boolean = true}};
  cbn_error ignored;
  cbn_reader reader = {.text = text, .at = text, .arena = arena, .error = &ignored};
  const cbn_value *value;
  if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) return &truths[text[0] == 't'];
  return cbn_reader_literal(&reader, &value) && (cbn_reader_skip(&reader), *reader.at == '\0') ? value : NULL;
}

/* The end of what begins at `text`: a comma or the end of the list, outside of quotes and brackets. */
static const char *end_of_parameter(const char *text) {
  int depth = 0;
  for (char quote = '\0'; *text != '\0'; text++) {
    if (quote != '\0') quote = *text == quote ? '\0' : quote;
    else if (*text == '\'' || *text == '"') quote = *text;
    else if (depth == 0 && (*text == ',' || *text == ')')) break;
    else depth += (*text == '(' || *text == '[') - (*text == ')' || *text == ']');
  }
  return text;
}

static bool copy(const char *begin, const char *end, char *text, size_t size) {
  const size_t length = (size_t)(end - begin);
  if (length == 0 || length >= size) return false;
  memcpy(text, begin, length);
  text[length] = '\0';
  return true;
}

static bool read_parameter(const char *begin, const char *end, cbn_arena *arena, cbn_parameter_info *info) {
  const char *equals = memchr(begin, '=', (size_t)(end - begin));
  info->required = equals == NULL;
  if (!copy(begin, equals == NULL ? end : equals, info->name, sizeof info->name)) return false;
  if (equals == NULL) return true;
  if (!copy(equals + 1, end, info->fallback_text, sizeof info->fallback_text)) return false;
  info->fallback = read_default(info->fallback_text, arena);
  return true;
}

bool cbn_signature_read(const cbn_dialect_operator *operator, cbn_arena * arena, cbn_signature *signature) {
  bool by_keyword = false;
  const char *at = operator->signature;
  *signature = (cbn_signature){0};
  if (at == NULL || *at != '(') return false;
  do {
    const char *begin = at + 1 + strspn(at + 1, " ");
    at = end_of_parameter(begin);
    if (*begin == '*') by_keyword = true;
    if (*begin == '*' || begin == at) continue;
    cbn_parameter_info *info = &signature->parameter[signature->count];
    if (signature->count == CBN_MAX_PARAMETERS || !read_parameter(begin, at, arena, info)) return false;
    info->by_keyword = by_keyword;
    signature->count++;
  } while (*at == ',');
  return strcmp(at, ")") == 0;
}

bool cbn_says_nothing(const char *name) {
  static const char *const names[] = {"device", "dtype", "param_dtype", "name"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

const cbn_parameter_info *cbn_signature_find(const cbn_signature *signature, const char *name) {
  for (int i = 0; i < signature->count; i++)
    if (strcmp(signature->parameter[i].name, name) == 0) return &signature->parameter[i];
  return NULL;
}

/* The rows of the usual table, one at a time: row[j] is the distance of what is read of `a` to the first j of `b`. */
size_t cbn_name_distance(const char *a, const char *b) {
  enum { LONGEST = 64 };
  const size_t n = strnlen(a, LONGEST), m = strnlen(b, LONGEST);
  size_t row[LONGEST];
  if (n == LONGEST || m == LONGEST) return SIZE_MAX;
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      const bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
      size_t least = diagonal + !same;
      if (row[j] + 1 < least) least = row[j] + 1;
      if (row[j - 1] + 1 < least) least = row[j - 1] + 1;
      diagonal = row[j];
      row[j] = least;
    }
  }
  return row[m] <= 1 + (n < m ? n : m) / 3 ? row[m] : SIZE_MAX;
}

const char *cbn_signature_nearest(const cbn_signature *signature, const char *name) {
  const char *nearest = NULL;
  size_t least = SIZE_MAX;
  for (int i = 0; i < signature->count; i++) {
    const size_t distance = cbn_name_distance(name, signature->parameter[i].name);
    if (distance >= least) continue;
    least = distance;
    nearest = signature->parameter[i].name;
  }
  return nearest;
}
