/* What a fuzzing run has found: inputs as the fuzzers leave them become findings, confirmed and minimised by other
 * processes while the fuzzers go on, one folder for each signature.
 *
 *   OUT/raw/         inputs that wait to be looked at
 *   OUT/findings/ID/ finding.json, signature.txt, replay.txt, inputs/ (a few of those that showed it), and of a problem
 *                    seed, bad.yaml, good.yaml; else input and report.txt */
#ifndef CBN_FUZZ_FINDINGS_H
#define CBN_FUZZ_FINDINGS_H

#include <jansson.h>

#include "fuzz/builds.h"

typedef struct cbn_findings cbn_findings;

typedef struct cbn_findings_options {
  const char *out, *engine;
  const cbn_builds *builds;
  double timeout_seconds; /* for one execution */
  int jobs;               /* processes at a time */
  bool quiet;             /* new ones are not told */
} cbn_findings_options;

/* Takes up what an earlier run has left in the folder. NULL where it cannot be read or written. */
cbn_findings *cbn_findings_open(const cbn_findings_options *options, cbn_error *error);
void cbn_findings_close(cbn_findings *findings);

/* An input that showed something, to be moved away from `path`. `words` is what the process said before it died of it,
 * NULL where it reported the finding and went on; then it `says` of what sort that is. */
void cbn_findings_add(cbn_findings *findings, const cbn_target *target, const cbn_build *build, const char *path,
                      const char *words, uint64_t says);

/* Starts, hears and ends the processes that look at inputs; to be called often. False where nothing runs and nothing is left to
 * look at. While the fuzzers run, inputs of sorts that have been looked at get a share of the time only; afterwards all are looked
 * at or, in haste, those that are likely to be new. */
enum cbn_effort { CBN_BESIDE, CBN_ALL, CBN_LIKELY_NEW };
bool cbn_findings_step(cbn_findings *findings, enum cbn_effort effort);

/* Gives up what runs; its inputs stay in OUT/raw. */
void cbn_findings_stop(cbn_findings *findings);

/* What has been seen since the folder was opened: findings, those of them that are new, inputs that wait. */
typedef struct cbn_findings_count {
  int seen, fresh, older; /* older: of earlier runs, not seen in this one */
  int waiting;
  size_t dropped; /* inputs like those that already waited */
} cbn_findings_count;
cbn_findings_count cbn_findings_counted(const cbn_findings *findings);

/* Descriptors on which a process is about to say something, for poll; returns how many. */
enum { CBN_FINDINGS_JOBS = 8 };
int cbn_findings_descriptors(const cbn_findings *findings, int descriptor[CBN_FINDINGS_JOBS]);

/* All of them, those seen in this run first; a new reference. */
json_t *cbn_findings_json(const cbn_findings *findings);

/* A text of a finding's document, "" if there is none. */
const char *cbn_finding_text(const json_t *finding, const char *key);

/* Could everything be written? If not, why. */
bool cbn_findings_kept(const cbn_findings *findings, cbn_error *error);

#endif
