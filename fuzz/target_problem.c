/* Targets of problems: an engine's answer against the reference's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/shared.h"
#include "generator/mutate.h"

/* Findings of one sort have the same signature but for its parameters, of which a problem that has not been minimised has
 * too many. Those of sorts beyond the limit count as the last one's. */
enum { SORTS = 512, ALL_OF_THE_FIRST = 4 };

/* FNV-1a (Fowler, Noll, Vo): the same genome has the same name, whichever process finds it. */
static uint64_t hash_of(const uint8_t *bytes, size_t size) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 0x100000001b3;
  return hash;
}

static uint64_t sort_of(const char *signature) {
  return hash_of((const uint8_t *)signature, cbn_signature_sort_length(signature));
}

/* Is the finding to be written? Of each sort the first few are, then those that double their number: a bug that is met at
 * every turn fills no disk, and what comes later is written all the same. All are counted. */
static bool is_wanted(uint64_t sort) {
  static uint64_t sorts[SORTS], found[SORTS];
  static int count;
  int i = 0;
  while (i < count && sorts[i] != sort) i++;
  if (i == count && count < SORTS) sorts[count++] = sort;
  const uint64_t number = ++found[i < SORTS ? i : SORTS - 1];
  return number <= ALL_OF_THE_FIRST || (number & (number - 1)) == 0;
}

static bool write_whole(const char *path, const uint8_t genome[CBN_GENOME_BYTES]) {
  const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return false;
  const bool written = write(file, genome, CBN_GENOME_BYTES) == CBN_GENOME_BYTES;
  return close(file) == 0 && written;
}

static bool write_seed(const char *folder, uint64_t sort, const uint8_t genome[CBN_GENOME_BYTES]) {
  char name[64], path[PATH_MAX], aside[PATH_MAX];
  snprintf(name, sizeof name, "%016llx-%016llx", (unsigned long long)sort,
           (unsigned long long)hash_of(genome, CBN_GENOME_BYTES));
  const int length = snprintf(path, sizeof path, "%s/%s.seed", folder, name);
  const int aside_length = snprintf(aside, sizeof aside, "%s/.%s.%ld", folder, name, (long)getpid());
  if (length >= (int)sizeof path || aside_length >= (int)sizeof aside) return false;
  return write_whole(aside, genome) && rename(aside, path) == 0;
}

static void print(const cbn_signature *signature, const cbn_finding *finding, const uint8_t genome[CBN_GENOME_BYTES]) {
  fprintf(stderr, "FINDING %s: %s\n  %s\n  genome ", signature->id, signature->text, finding->message);
  for (int i = 0; i < CBN_GENOME_BYTES; i++) fprintf(stderr, "%02x", genome[i]);
  fputc('\n', stderr);
}

/* What cannot be written must not be lost: the fuzzer keeps the bytes of a process that aborts. */
static void tell(const cbn_generated *problem, const cbn_finding *finding, const uint8_t genome[CBN_GENOME_BYTES]) {
  const cbn_fuzz_campaign *campaign = cbn_fuzz_opened();
  cbn_signature signature;
  cbn_signature_make(problem, campaign->subject.name, finding, &signature);
  if (campaign->folder != NULL) {
    const uint64_t sort = sort_of(signature.text);
    if (!is_wanted(sort) || write_seed(campaign->folder, sort, genome)) return;
    fprintf(stderr, "%s: %s\n", campaign->folder, strerror(errno));
  }
  print(&signature, finding, genome);
  abort();
}

static void count(_Atomic uint64_t *counter) { atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); }

static void show(int pair) {
  static uint32_t shown[CBN_FUZZ_PAIR_LIMIT];
  if (cbn_fuzz_counters == NULL || shown[pair] >= cbn_fuzz_shows) return;
  cbn_fuzz_counters[pair % CBN_FUZZ_COUNTERS] = 1;
  shown[pair]++;
}

/* The status is written once only: a line that several processes write would go to and fro between their processors. */
static void reach(void *context, int pair) {
  cbn_fuzz_status *status = context;
  show(pair);
  if (atomic_load_explicit(&status->pair[pair], memory_order_relaxed) == 0)
    atomic_store_explicit(&status->pair[pair], 1, memory_order_relaxed);
}

void cbn_fuzz_problem(const cbn_target *target, const uint8_t *bytes, size_t size) {
  const cbn_fuzz_campaign *campaign = cbn_fuzz_opened();
  cbn_fuzz_status *status = campaign->status;
  uint8_t genome[CBN_GENOME_BYTES];
  cbn_generated problem;
  cbn_finding finding;
  cbn_genome_take(bytes, size, target->kind, genome);
  cbn_generate(genome, sizeof genome, &problem);
  cbn_pairs_of(&problem, reach, status);
  const bool found = cbn_trial_run(campaign->trial, &problem, &campaign->subject, &finding);
  if (!problem.valid) count(&status->invalid);
  if (finding.verdict == CBN_VERDICT_INCONCLUSIVE) count(&status->inconclusive);
  if (!found) return;
  count(&status->findings);
  tell(&problem, &finding, genome);
}
