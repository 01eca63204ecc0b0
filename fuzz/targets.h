/* The fuzz targets: one list. Each is a pure function of its bytes that must not crash, hang, leak, or disagree with the
 * reference. A fuzzer's program has one target, chosen when it is compiled; the replay program has all. */
#ifndef CBN_FUZZ_TARGETS_H
#define CBN_FUZZ_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The targets that are not a kind of problem: name, whether its bytes are a genome, whether it runs an engine, what it
 * does. Function cbn_fuzz_NAME. */
#define CBN_OTHER_TARGETS(X)                                                                                           \
  X(problem, true, true, "a problem of any kind: fast against the reference")                                          \
  X(round_trip, true, false, "a problem to a case file, through the loader and the dialect, and back")                 \
  X(dialects, false, false, "native parameters through every dialect: accepted and valid, or refused by a rule")       \
  X(cases, false, false, "the case loader: any text as a case file")                                                   \
  X(npy, false, false, "the reader of NPY files")                                                                      \
  X(frames, false, false, "the frames between the program and an engine's process")                                    \
  X(json, false, false, "operators and tensors from JSON, and back")                                                   \
  X(npz, false, false, "the reader of NPZ archives, and their writer")                                                 \
  X(onnx, false, false, "the reader of ONNX files")                                                                    \
  X(call, false, false, "the reader of constructor calls, and their writer")

typedef struct cbn_target cbn_target;
struct cbn_target {
  const char *name, *words;
  int kind;        /* of its problems: enum cbn_generated_kind, -1 for any */
  bool structured; /* its bytes are a genome */
  bool problems;   /* it runs an engine */
};

/* The list: a target for each kind of problem (generator/generator.h) and the others above. */
int cbn_target_count(void);
const cbn_target *cbn_target_at(int i);
const cbn_target *cbn_target_by_name(const char *name); /* NULL if there is none */
const char *cbn_target_nearest(const char *name);       /* the name that is meant, probably */

/* Runs the target on the bytes, and counts it. */
void cbn_target_run(const cbn_target *target, const uint8_t *bytes, size_t size);

/* Functions of the list. */
void cbn_fuzz_problem(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_round_trip(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_dialects(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_cases(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_npy(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_frames(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_json(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_npz(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_onnx(const cbn_target *target, const uint8_t *bytes, size_t size);
void cbn_fuzz_call(const cbn_target *target, const uint8_t *bytes, size_t size);

#endif
