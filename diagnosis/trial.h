/* A trial: one generated problem, run by an engine and judged by the reference.
 *
 * The trial owns the tensors. It fills the inputs, poisons the outputs, hands the calls to the engine, one after the
 * other where the problem is a sequence, and looks at everything that an engine may do wrong in a call: the status, each
 * element of each result against the reference's interval, inputs that changed, elements that were not written, and
 * bytes around and between the elements of every buffer. Nothing is allocated once a trial has run its largest problem. */
#ifndef CBN_DIAGNOSIS_TRIAL_H
#define CBN_DIAGNOSIS_TRIAL_H

#include <convbn/reference.h>

#include "core/verdict.h"
#include "generator/generator.h"

/* What a call came to. `verdict` is CBN_VERDICT_PASS where the engine answered with `status`; else what happened to it
 * (crash, timeout, ...), if the engine is one that can be survived. */
typedef struct cbn_reply {
  enum cbn_verdict verdict;
  int status; /* enum cbn_status */
  int role;   /* the tensor that the verdict is about; -1 */
  int64_t element;
  char message[256];
} cbn_reply;

/* An engine, wherever it runs. */
typedef struct cbn_subject {
  const char *name;    /* "fast" */
  uint32_t arithmetic; /* enum cbn_arithmetic bits */
  uint32_t abilities;  /* enum cbn_ability bits */
  void (*run)(void *context, cbn_call *call, cbn_reply *reply);
  void *context;
} cbn_subject;

/* A subject for an engine in this process. */
cbn_subject cbn_subject_in_process(cbn_engine *engine);

/* What is wrong with an answer: the first call that is wrong, and there the first result in the order of roles. */
typedef struct cbn_finding {
  enum cbn_verdict verdict; /* CBN_VERDICT_PASS: nothing; UNSUPPORTED, INCONCLUSIVE: nothing was judged */
  int step;                 /* of a program; else 0 */
  int role;                 /* -1 where the verdict is about none */
  int64_t element;          /* row-major: the worst, of a mismatch */
  double actual;
  cbn_interval expected;
  int64_t wrong, count; /* of that tensor's elements */
  int32_t rank;
  int64_t extent[CBN_MAX_RANK];
  const uint8_t *is_wrong; /* of a mismatch: one byte for each element; the trial's own, until its next run */
  char message[256];       /* one line */
} cbn_finding;

typedef struct cbn_trial cbn_trial;

cbn_trial *cbn_trial_open(void); /* NULL without memory */
void cbn_trial_close(cbn_trial *trial);

/* Runs the problem, which need not be one that bytes give. True where there is a finding: a verdict that counts as bad.
 * A near miss must be refused, by validation and by the engine. False, with CBN_VERDICT_INCONCLUSIVE and a message, also where
 * there is no memory for the problem. */
bool cbn_trial_run(cbn_trial *trial, const cbn_generated *problem, const cbn_subject *subject, cbn_finding *finding);

#endif
