/* The list of verdicts as a table. */
#include "core/verdict.h"

static const struct {
  const char *name, *sentence;
  enum cbn_verdict_weight weight;
} verdicts[] = {
#define VERDICT(NAME, name, weight, sentence) {name, sentence, CBN_##weight},
    CBN_VERDICTS(VERDICT)
#undef VERDICT
};

const char *cbn_verdict_name(enum cbn_verdict verdict) { return verdicts[verdict].name; }
const char *cbn_verdict_sentence(enum cbn_verdict verdict) { return verdicts[verdict].sentence; }
enum cbn_verdict_weight cbn_verdict_weight_of(enum cbn_verdict verdict) { return verdicts[verdict].weight; }

int cbn_exit_worse(int a, int b) {
  static const int rank[] = {CBN_EXIT_USAGE, CBN_EXIT_ENGINE, CBN_EXIT_DISCREPANCY, CBN_EXIT_INCONCLUSIVE,
                             CBN_EXIT_NOTHING_SELECTED};
  for (int i = 0; i < (int)(sizeof rank / sizeof rank[0]); i++)
    if (a == rank[i] || b == rank[i]) return rank[i];
  return CBN_EXIT_EXPECTED;
}
