/* A libFuzzer program of one target, CBN_FUZZ_TARGET. With CBN_FUZZ_STRUCTURED its bytes are a genome, and mutations know
 * what genes mean; else they are libFuzzer's own. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/shared.h"
#include "generator/mutate.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const cbn_target *target;

#ifdef CBN_FUZZ_STRUCTURED

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t size_a, const uint8_t *b, size_t size_b, uint8_t *child,
                                 size_t most, unsigned seed);

/* libFuzzer looks at every byte of this section after each run, and clears them all before. It spends some time on each
 * that is not 0; a pair that it has met OFTEN is no rare one to it, and no more use. */
enum { OFTEN = 255 };
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[CBN_FUZZ_COUNTERS];

static size_t give(const uint8_t genome[CBN_GENOME_BYTES], uint8_t *bytes, size_t most) {
  const size_t size = most < CBN_GENOME_BYTES ? most : CBN_GENOME_BYTES;
  memcpy(bytes, genome, size);
  return size;
}

/* libFuzzer's own mutations of bytes are not mixed in: one in sixteen of them finds no pair more, one in four fewer. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed) {
  uint8_t genome[CBN_GENOME_BYTES];
  cbn_genome_take(bytes, size, target->kind, genome);
  cbn_mutate(genome, target->kind, seed);
  return give(genome, bytes, most);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t size_a, const uint8_t *b, size_t size_b, uint8_t *child,
                                 size_t most, unsigned seed) {
  uint8_t genome[3][CBN_GENOME_BYTES];
  cbn_genome_take(a, size_a, target->kind, genome[0]);
  cbn_genome_take(b, size_b, target->kind, genome[1]);
  cbn_splice(genome[0], genome[1], seed, genome[2]);
  return give(genome[2], child, most);
}

/* Options of libFuzzer that suit genomes, where the user has not given them: no bytes beyond a genome; no choice of
 * inputs by the rarity of what they reach, which costs a quarter of the speed and finds no more of the pairs; no search
 * for shorter inputs, since all have one length. */
static char option[][24] = {"-max_len=64", "-entropic=0", "-reduce_inputs=0"};
enum { OPTIONS = sizeof option / sizeof *option };
_Static_assert(CBN_GENOME_BYTES == 64, "-max_len is a genome's length");

static bool is_given(const char *wanted, int argc, char **argv) {
  const size_t length = strcspn(wanted, "=") + 1;
  for (int i = 1; i < argc; i++)
    if (strncmp(argv[i], wanted, length) == 0) return true;
  return false;
}

static void add_options(int *argc, char ***argv) {
  static char **arguments; /* libFuzzer keeps them */
  const int given = *argc;
  arguments = calloc((size_t)given + OPTIONS + 1, sizeof *arguments);
  if (arguments == NULL) return;
  memcpy(arguments, *argv, (size_t)given * sizeof *arguments);
  for (int i = 0; i < OPTIONS; i++)
    if (!is_given(option[i], given, *argv)) arguments[(*argc)++] = option[i];
  *argv = arguments;
}

#endif

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  target = cbn_target_by_name(CBN_FUZZ_TARGET);
  cbn_fuzz_open(target);
#ifdef CBN_FUZZ_STRUCTURED
  cbn_fuzz_counters = counters;
  cbn_fuzz_shows = OFTEN;
  add_options(argc, argv);
#else
  (void)argc;
  (void)argv;
#endif
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  cbn_target_run(target, bytes, size);
  return 0;
}
