/* The list of frameworks as a table, and the names by which programs call them. */
#include "migration/framework.h"

#include <stdio.h>
#include <string.h>

#define DECLARE(name) extern const cbn_framework cbn_framework_##name;
CBN_FRAMEWORKS(DECLARE)
#undef DECLARE

const cbn_framework *const *cbn_frameworks(void) {
  static const cbn_framework *const table[] = {
#define ENTRY(name) &cbn_framework_##name,
      CBN_FRAMEWORKS(ENTRY)
#undef ENTRY
          NULL};
  return table;
}

const cbn_framework *cbn_framework_of(const cbn_dialect *dialect) {
  for (const cbn_framework *const *framework = cbn_frameworks(); *framework != NULL; framework++)
    if ((*framework)->dialect == dialect) return *framework;
  return NULL;
}

/* As programs import them; each name ends with a dot. */
static const struct {
  const char *abbreviation, *whole;
} abbreviations[] = {
    {"F.", "torch.nn.functional."}, {"ms.", "mindspore."},
    {"msnn.", "mindspore.nn."},     {"tensorflow.keras.", "keras."},
    {"tensorflow.", "tf."},         {"tf.keras.", "keras."},
    {"lax.", "jax.lax."},           {"linen.", "flax.linen."},
    {"nnx.", "flax.nnx."},
};

void cbn_framework_unabbreviate(const char *name, char *text, size_t size) {
  const char *whole = "", *rest = name;
  for (size_t i = 0; i < sizeof abbreviations / sizeof abbreviations[0]; i++) {
    const size_t length = strlen(abbreviations[i].abbreviation);
    if (strncmp(name, abbreviations[i].abbreviation, length) != 0 || name + length <= rest) continue;
    whole = abbreviations[i].whole;
    rest = name + length;
  }
  snprintf(text, size, "%s%s", whole, rest);
}

const cbn_framework *cbn_framework_by_module(const char *text) {
  const cbn_framework *found = NULL;
  size_t longest = 0;
  char whole[128];
  cbn_framework_unabbreviate(text, whole, sizeof whole);
  for (const cbn_framework *const *framework = cbn_frameworks(); *framework != NULL; framework++) {
    const size_t length = strlen((*framework)->module);
    if (length <= longest || strncmp(whole, (*framework)->module, length) != 0) continue;
    if (whole[length] != '\0' && whole[length] != '.') continue;
    found = *framework;
    longest = length;
  }
  return found;
}

void cbn_framework_full_name(const cbn_framework *framework, const cbn_dialect_operator *operator, char * name,
                             size_t size) {
  snprintf(name, size, "%s%s%s", framework->module, framework->module[0] != '\0' ? "." : "", operator->name);
}
