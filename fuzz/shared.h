/* What a fuzzer's process shares with `convbn fuzz`: a folder for findings and a small file in memory that both map.
 *
 * CONVBN_FUZZ_OUT names the folder: findings are written to it as SORT-NAME.seed (the genome; SORT: 16 hexadecimal
 * digits, the same for signatures that differ in their parameters alone), each at once whole (written aside, then
 * renamed). CONVBN_FUZZ_STATUS names the file. Without the folder a finding is printed and the process aborts; without
 * the file nobody else sees the counts. CONVBN_FUZZ_ENGINE names the engine: the path of a shared object, or nothing
 * for the one that is linked, either with `:OPTIONS` behind it. */
#ifndef CBN_FUZZ_SHARED_H
#define CBN_FUZZ_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

#include "diagnosis/signature.h"
#include "fuzz/targets.h"
#include "generator/pairs.h"

enum { CBN_FUZZ_PAIR_LIMIT = 1 << 16 };

/* The file: written by the fuzzers, several at a time, read by the one that shows it. */
typedef struct cbn_fuzz_status {
  _Atomic uint64_t runs, invalid, inconclusive, findings;
  _Atomic uint8_t pair[CBN_FUZZ_PAIR_LIMIT]; /* 1: reached */
} cbn_fuzz_status;

/* What the environment names. */
typedef struct cbn_fuzz_campaign {
  cbn_fuzz_status *status; /* the file's, else this process' own */
  const char *folder;      /* NULL: a finding ends the process */
  cbn_trial *trial;
  cbn_subject subject;
} cbn_fuzz_campaign;

/* Opens what the environment names and the target needs, once; before the first run. Exits with a message where it
 * cannot. */
void cbn_fuzz_open(const cbn_target *target);

/* What has been opened. */
const cbn_fuzz_campaign *cbn_fuzz_opened(void);

/* The semantic coverage of the run at hand: fuzzers count a new pair as progress. CBN_FUZZ_COUNTERS bytes, which the
 * fuzzer's runtime clears before each run; the entry point provides them, or leaves it at NULL where nobody looks. A pair
 * is number `pair % CBN_FUZZ_COUNTERS`. Fuzzers look at all of them after each run, so there are hardly more than pairs. */
enum { CBN_FUZZ_COUNTERS = 1 << 14 };
extern uint8_t *cbn_fuzz_counters;

/* In so many runs of this process a pair is shown; the entry point may lower it. */
extern uint32_t cbn_fuzz_shows;

#endif
