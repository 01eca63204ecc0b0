#include "fuzz/targets.h"

#include <limits.h>
#include <string.h>

#include "generator/generator.h"

static const cbn_target targets[] = {
#define KIND_TARGET(NAME, name, words) {#name, words, CBN_GENERATED_##NAME, true, true},
    CBN_GENERATED_KINDS(KIND_TARGET)
#undef KIND_TARGET
#define OTHER_TARGET(name, structured, problems, words) {#name, words, -1, structured, problems},
        CBN_OTHER_TARGETS(OTHER_TARGET)
#undef OTHER_TARGET
};
enum { TARGETS = sizeof targets / sizeof *targets };

int cbn_target_count(void) { return TARGETS; }

const cbn_target *cbn_target_at(int i) { return i >= 0 && i < TARGETS ? &targets[i] : NULL; }

const cbn_target *cbn_target_by_name(const char *name) {
  for (int i = 0; i < TARGETS; i++)
    if (strcmp(targets[i].name, name) == 0) return &targets[i];
  return NULL;
}

/* How many characters must be put in, taken out or exchanged to make `b` of `a` (Levenshtein 1966). What stands behind
 * the first LONGEST characters of `b` counts as not there. */
static int edits_between(const char *a, const char *b) {
  enum { LONGEST = 63 };
  const int length = (int)strnlen(b, LONGEST);
  int row[LONGEST + 1];
  for (int j = 0; j <= length; j++) row[j] = j;
  for (int i = 1; a[i - 1] != '\0'; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= length; j++) {
      int fewest = diagonal + (a[i - 1] != b[j - 1]);
      if (row[j] + 1 < fewest) fewest = row[j] + 1;
      if (row[j - 1] + 1 < fewest) fewest = row[j - 1] + 1;
      diagonal = row[j];
      row[j] = fewest;
    }
  }
  return row[length];
}

const char *cbn_target_nearest(const char *name) {
  const char *nearest = NULL;
  int fewest = INT_MAX;
  for (int i = 0; i < TARGETS; i++) {
    const int edits = edits_between(targets[i].name, name);
    if (edits >= fewest) continue;
    fewest = edits;
    nearest = targets[i].name;
  }
  return nearest;
}
