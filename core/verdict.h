/* Verdicts: one list, used by every part (runner, reports, exit code, documentation). */
#ifndef CBN_CORE_VERDICT_H
#define CBN_CORE_VERDICT_H

/* Name, text, what the verdict counts as, and one sentence for people. */
#define CBN_VERDICTS(X)                                                                                                \
  X(PASS, "pass", GOOD, "every element is within its bound")                                                           \
  X(MISMATCH, "mismatch", BAD, "an element is outside its bound, or the shape differs")                                \
  X(REJECTED_VALID, "rejected-valid", BAD, "the engine refuses a problem that is valid")                               \
  X(ACCEPTED_INVALID, "accepted-invalid", BAD, "the engine computes a problem that must be refused")                   \
  X(UNWRITTEN_OUTPUT, "unwritten-output", BAD, "the engine leaves elements of an output unwritten")                    \
  X(INPUT_MODIFIED, "input-modified", BAD, "the engine writes to an input")                                            \
  X(OUT_OF_BOUNDS, "out-of-bounds", BAD, "the engine touches memory beyond a buffer")                                  \
  X(NONDETERMINISTIC, "nondeterministic", BAD, "the same call gives different bits")                                   \
  X(FP_ENVIRONMENT, "fp-environment", BAD, "the engine leaves the floating-point environment changed")                 \
  X(CRASH, "crash", BAD, "the engine's process died, or the engine failed")                                                                      \
  X(TIMEOUT, "timeout", BAD, "the engine did not answer in time")                                                      \
  X(MEMORY_LIMIT, "memory-limit", BAD, "the engine used more memory than it may")                                      \
  X(UNSUPPORTED, "unsupported", NEUTRAL, "the engine says that it is not made for this problem")                       \
  X(INCONCLUSIVE, "inconclusive", UNDECIDED, "overflow or a vanishing variance makes the case meaningless")            \
  X(GOLDEN_REFUTED, "golden-refuted", BAD, "the case's own expectation contradicts the reference")

enum cbn_verdict {
#define CBN_VERDICT_ENUM(NAME, text, weight, sentence) CBN_VERDICT_##NAME,
  CBN_VERDICTS(CBN_VERDICT_ENUM)
#undef CBN_VERDICT_ENUM
      CBN_VERDICT_COUNT
};

enum cbn_verdict_weight { CBN_GOOD, CBN_BAD, CBN_NEUTRAL, CBN_UNDECIDED };

const char *cbn_verdict_name(enum cbn_verdict verdict);
const char *cbn_verdict_sentence(enum cbn_verdict verdict);
enum cbn_verdict_weight cbn_verdict_weight_of(enum cbn_verdict verdict);

/* Exit codes of the program, and how they outrank each other: 2 > 3 > 1 > 5 > 4 > 0. */
enum cbn_exit {
  CBN_EXIT_EXPECTED = 0,
  CBN_EXIT_DISCREPANCY = 1,
  CBN_EXIT_USAGE = 2,
  CBN_EXIT_ENGINE = 3,
  CBN_EXIT_NOTHING_SELECTED = 4,
  CBN_EXIT_INCONCLUSIVE = 5
};
int cbn_exit_worse(int a, int b);

#endif
