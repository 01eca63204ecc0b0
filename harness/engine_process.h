/* An engine under test, in a process of its own: the program `convbn-host` is exec'd, loads the plug-in and answers
 * one call at a time over a socket; tensors lie in shared memory. Whatever the engine does costs one call, never
 * the run. */
#ifndef CBN_HARNESS_ENGINE_PROCESS_H
#define CBN_HARNESS_ENGINE_PROCESS_H

#include <convbn/engine.h>

#include "core/error.h"
#include "core/verdict.h"

typedef struct cbn_engine_process cbn_engine_process;

typedef struct cbn_engine_identity {
  char name[64], version[64], description[256];
  uint32_t arithmetic, abilities;
} cbn_engine_identity;

typedef struct cbn_engine_limits {
  int64_t memory_bytes; /* private memory that the engine may use beyond the call's tensors */
  double start_seconds; /* how long it may take to start and describe itself */
} cbn_engine_limits;

/* What came of one call. A changed environment, nondeterminism, unwritten outputs, modified inputs and writes out of
 * bounds outrank each other in this order. */
typedef struct cbn_engine_answer {
  enum cbn_status status;   /* meaningful where verdict is PASS: OK, UNSUPPORTED, REJECTED, ERROR */
  enum cbn_verdict verdict; /* PASS: it answered and kept to the rules; else CRASH, TIMEOUT, MEMORY_LIMIT,
                               OUT_OF_BOUNDS, INPUT_MODIFIED, UNWRITTEN_OUTPUT, NONDETERMINISTIC, FP_ENVIRONMENT;
                               INCONCLUSIVE where this program could not carry the call's tensors */
  char message[512];        /* one line: the engine's own words, or what happened ("killed by SIGSEGV") */
  int role;                 /* the tensor that verdict is about, and the row-major element; -1 where none */
  int64_t element;
  double seconds; /* of the engine's computation, as its process measured it; of two runs the shorter */
} cbn_engine_answer;

/* Starts an engine: a name (`fast`), or the path of a shared object if it holds a '/', either with `:OPTIONS`
 * behind it. NULL with one clear line where it cannot start: no such file, no symbol, another ABI, died, silent.
 * convbn-host is found beside this program, or where the environment's CONVBN_HOST says; named engines in
 * ../lib/convbn/engines, seen from its directory. A process serves one thread at a time; different processes, any
 * threads. */
cbn_engine_process *cbn_engine_start(const char *spec, const cbn_engine_limits *limits, cbn_error *error);

/* Ends the process, however it fares. NULL allowed. */
void cbn_engine_stop(cbn_engine_process *process);

const cbn_engine_identity *cbn_engine_identify(const cbn_engine_process *process);

/* Runs one call. Where the answer's status is CBN_OK and its verdict none of CRASH, TIMEOUT, MEMORY_LIMIT,
 * INCONCLUSIVE, outputs and the running statistics are written back into the call's own tensors; else outputs hold
 * nothing of meaning, and statistics are as before. With `repeat` the call is made twice, outputs poisoned
 * differently, and the answers compared bit by bit; `timeout_seconds` is for each. A dead engine is started anew by
 * the next call. The call need not be a valid one: only its tensors must have a type, a shape and memory. */
void cbn_engine_run(cbn_engine_process *process, const cbn_call *call, double timeout_seconds, bool repeat,
                    cbn_engine_answer *answer);

/* The names of the engines that come with the program, NULL at the end. */
const char *const *cbn_engine_names(void);

#endif
