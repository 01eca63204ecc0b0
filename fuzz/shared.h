/* What a fuzzer's process shares with `convbn fuzz`: a folder for findings and a small file in memory that both map.
 *
 * CONVBN_FUZZ_OUT names the folder: findings are written to it as NAME.seed (the genome), each at once whole
 * (written aside, then renamed). CONVBN_FUZZ_STATUS names the file. Without them a finding is printed and the process aborts.
 * CONVBN_FUZZ_ENGINE names the engine: a path of a shared object, or nothing for the one that is linked, either with `:OPTIONS` behind
 * it. */
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

/* Opens what the environment names, once, before the first run. Exits with a message where it cannot. */
void cbn_fuzz_open(const cbn_target *target);

/* The semantic coverage of the run at hand: fuzzers count a new one as progress. cbn_pair_count() bytes, cleared by the
 * fuzzer's runtime (libFuzzer) or by cbn_fuzz_problem (others); the entry point provides it. */
extern uint8_t *cbn_fuzz_counters;

#endif
