/* The list of dialects as a table. */
#include <string.h>

#include "dialects/dialect.h"

#define DECLARE(name) extern const cbn_dialect cbn_dialect_##name;
CBN_DIALECTS(DECLARE)
#undef DECLARE

const cbn_dialect *const *cbn_dialects(void) {
  static const cbn_dialect *const table[] = {
#define ENTRY(name) &cbn_dialect_##name,
      CBN_DIALECTS(ENTRY)
#undef ENTRY
          NULL};
  return table;
}

const cbn_dialect *cbn_dialect_by_name(const char *name) {
  for (const cbn_dialect *const *dialect = cbn_dialects(); *dialect != NULL; dialect++)
    if (strcmp((*dialect)->name, name) == 0) return *dialect;
  return NULL;
}

const cbn_dialect_operator *cbn_dialect_find(const cbn_dialect *dialect, const char *operator_name) {
  for (size_t i = 0; i < dialect->operator_count; i++)
    if (strcmp(dialect->operators[i].name, operator_name) == 0) return &dialect->operators[i];
  return NULL;
}
