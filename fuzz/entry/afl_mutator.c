/* AFL++'s custom mutator, a library of its own: AFL_CUSTOM_MUTATOR_LIBRARY=afl_mutator.so. It mutates, splices and trims
 * genomes; CONVBN_FUZZ_TARGET names the kind of problem, anything else leaves it free.
 *
 * The functions are those that AFL++ looks up by name (its docs/custom_mutators.md, 4.04c); what the first one returns is
 * handed to the others. */
#include <stdlib.h>
#include <string.h>

#include "generator/mutate.h"

enum { SPLICES = 4 }; /* one mutant in so many is spliced first */

typedef struct mutator {
  uint64_t chance;
  int kind, which; /* the kind of problem, -1 for any; the last mutant's mutation */
  uint8_t mutant[CBN_GENOME_BYTES];
  uint8_t trimmed[CBN_GENOME_BYTES], plainer[CBN_GENOME_BYTES];
  int steps, step, candidate; /* of the trimming */
} mutator;

CBN_EXPORT mutator *afl_custom_init(void *afl, unsigned int seed);
CBN_EXPORT size_t afl_custom_fuzz(mutator *m, uint8_t *bytes, size_t size, uint8_t **mutant, uint8_t *other,
                                  size_t other_size, size_t most);
CBN_EXPORT const char *afl_custom_describe(mutator *m, size_t most);
CBN_EXPORT int32_t afl_custom_init_trim(mutator *m, uint8_t *bytes, size_t size);
CBN_EXPORT size_t afl_custom_trim(mutator *m, uint8_t **plainer);
CBN_EXPORT int32_t afl_custom_post_trim(mutator *m, uint8_t success);
CBN_EXPORT void afl_custom_deinit(mutator *m);

/* NULL, which AFL++ reports and stops at, where there is no memory. */
mutator *afl_custom_init(void *afl, unsigned int seed) {
  (void)afl;
  const char *target = getenv("CONVBN_FUZZ_TARGET");
  mutator *m = calloc(1, sizeof *m);
  if (m == NULL) return NULL;
  m->chance = (uint64_t)seed << 32;
  m->kind = target != NULL ? cbn_generated_kind_by_name(target) : -1;
  return m;
}

size_t afl_custom_fuzz(mutator *m, uint8_t *bytes, size_t size, uint8_t **mutant, uint8_t *other, size_t other_size,
                       size_t most) {
  cbn_genome_take(bytes, size, m->kind, m->mutant);
  if (other != NULL && m->chance % SPLICES == 0) {
    uint8_t first[CBN_GENOME_BYTES], second[CBN_GENOME_BYTES];
    memcpy(first, m->mutant, sizeof first);
    cbn_genome_take(other, other_size, m->kind, second);
    cbn_splice(first, second, ~m->chance, m->mutant);
  }
  m->which = cbn_mutate(m->mutant, m->kind, m->chance++);
  *mutant = m->mutant;
  return most < sizeof m->mutant ? most : sizeof m->mutant;
}

/* A part of the file's name of what is kept. */
const char *afl_custom_describe(mutator *m, size_t most) {
  const char *name = cbn_mutation_name(m->which);
  return strlen(name) <= most ? name : "";
}

/* Genes at the end that are 0 need no bytes. */
static size_t length_of(const uint8_t genome[CBN_GENOME_BYTES]) {
  size_t length = CBN_GENOME_BYTES;
  while (length > 1 && genome[length - 1] == 0) length--;
  return length;
}

/* How many steps trimming may take. After a step that succeeds, its genome is the one to make plainer, and the candidate
 * that had been next has its number; so there are never more steps than candidates at first. */
int32_t afl_custom_init_trim(mutator *m, uint8_t *bytes, size_t size) {
  cbn_genome_take(bytes, size, m->kind, m->trimmed);
  m->step = m->candidate = m->steps = 0;
  while (size > 0 && cbn_trim(m->trimmed, m->steps, m->plainer)) m->steps++;
  return m->steps;
}

/* Never longer than what is trimmed: AFL++ copies it back to where that lay. */
size_t afl_custom_trim(mutator *m, uint8_t **plainer) {
  cbn_trim(m->trimmed, m->candidate, m->plainer);
  *plainer = m->plainer;
  return length_of(m->plainer);
}

/* The number of the next step; the end where no candidate is left. */
int32_t afl_custom_post_trim(mutator *m, uint8_t success) {
  m->step++;
  if (success) memcpy(m->trimmed, m->plainer, sizeof m->trimmed);
  else m->candidate++;
  return cbn_trim(m->trimmed, m->candidate, m->plainer) ? m->step : m->steps;
}

void afl_custom_deinit(mutator *m) { free(m); }
