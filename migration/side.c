#include "migration/side.h"

#include <stdio.h>
#include <string.h>

bool cbn_side_read(const char *word, cbn_side *side, cbn_error *error) {
  char name[256];
  cbn_framework_unabbreviate(word, name, sizeof name);
  for (const cbn_framework *const *f = cbn_frameworks(); *f != NULL; f++)
    for (size_t i = 0; i < (*f)->dialect->operator_count; i++) {
      const cbn_side this = {(*f)->dialect, &(*f)->dialect->operators[i]};
      char full[128];
      cbn_side_name(&this, full, sizeof full);
      if (strcmp(full, name) != 0 && ((*f)->module[0] != '\0' || strcmp(this.operator->name, name) != 0)) continue;
      *side = this;
      return true;
    }
  return cbn_error_set(
      error, "there is no operator '%.100s'; `convbn dialects` lists them, with their modules in front", word);
}

void cbn_side_name(const cbn_side *side, char *name, size_t size) {
  const char *module = cbn_framework_of(side->dialect)->module;
  snprintf(name, size, "%s.%s", module[0] != '\0' ? module : side->dialect->name, side->operator->name);
}

cbn_side cbn_side_counterpart(const cbn_dialect *dialect, enum cbn_operator kind, bool transposed, int32_t axes) {
  cbn_side found = {.dialect = dialect};
  for (size_t i = 0; i < dialect->operator_count; i++) {
    const cbn_dialect_operator *o = &dialect->operators[i];
    if (o->kind != kind || o->transposed != transposed) continue;
    if (o->spatial_rank == axes) return (cbn_side){dialect, o};
    if (found.operator == NULL && o->spatial_rank == CBN_MAX_SPATIAL) found.operator = o;
  }
  return found;
}

bool cbn_side_any_axes(const cbn_side *side) {
  if (side->operator->spatial_rank < CBN_MAX_SPATIAL) return false;
  const cbn_side two =
      cbn_side_counterpart(side->dialect, side->operator->kind, side->operator->transposed, CBN_MAX_SPATIAL - 1);
  return two.operator->spatial_rank == CBN_MAX_SPATIAL;
}

int32_t cbn_sides_axes(const cbn_side sides[2]) {
  if (cbn_side_any_axes(&sides[0]) && cbn_side_any_axes(&sides[1])) return 2;
  return sides[0].operator->spatial_rank < sides[1].operator->spatial_rank ? sides[0].operator->spatial_rank
                                                                           : sides[1].operator->spatial_rank;
}
