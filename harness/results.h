/* A run as JSON: the one source of every report (docs/results.md, reports/results-schema.json). */
#ifndef CBN_HARNESS_RESULTS_H
#define CBN_HARNESS_RESULTS_H

#include <jansson.h>

#include "harness/runner.h"

/* What the results say of where they come from. */
typedef struct cbn_provenance {
  const char *command;    /* as typed */
  const char *engine;     /* as asked for */
  const char *started;    /* ISO 8601, UTC */
  const char *cases_hash;
  int jobs;
  uint64_t seed;
} cbn_provenance;

/* The document, owned by the caller; NULL without memory. */
json_t *cbn_results_json(const cbn_run *run, const cbn_provenance *provenance);

/* How `convbn run` was started, quoted for a shell: by the script that says so in CONVBN_STARTED_AS, or by the
 * program's own path and the command. */
void cbn_print_program(char *text, size_t size);

/* The command that runs one case again, by the path that the program was started by. */
enum { CBN_REPLAY_BYTES = 2200 };
void cbn_replay_line(const cbn_case *golden, const char *engine, uint64_t seed, char *text, size_t size);

/* Quotes a word for a POSIX shell where it needs it. */
void cbn_shell_quote(const char *word, char *text, size_t size);

/* Writes the document's text to a file: whole or not at all. */
bool cbn_write_file(const char *path, const char *text, size_t length, cbn_error *error);

#endif
