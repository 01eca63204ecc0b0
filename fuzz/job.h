/* A child process of a fuzzing run: its own process group, its output caught, its last words kept. It does not outlive
 * this program. */
#ifndef CBN_FUZZ_JOB_H
#define CBN_FUZZ_JOB_H

#include <stddef.h>
#include <sys/types.h>

#include "core/error.h"

enum { CBN_JOB_WORDS = 1 << 16, CBN_JOB_ARGUMENTS = 40 };

typedef struct cbn_job {
  pid_t pid;      /* also its process group; 0: none is running */
  int output;     /* of its standard output and error; -1 */
  double started; /* cbn_clock_seconds */
  int status;     /* of a job that has ended, as waitpid gives it */
  size_t words_size;
  char words[CBN_JOB_WORDS]; /* a text: the last that it said */
} cbn_job;

/* What is to be run. */
typedef struct cbn_command_line {
  const char *argument[CBN_JOB_ARGUMENTS];    /* NULL at the end */
  const char *environment[CBN_JOB_ARGUMENTS]; /* NAME=VALUE, or NAME for one that is to be unset; NULL at the end */
  bool gentle;                                /* dies of SIGTERM when this program dies, else of SIGKILL */
} cbn_command_line;

void cbn_job_clear(cbn_job *job);
bool cbn_job_start(cbn_job *job, const cbn_command_line *line, cbn_error *error);

/* Reads what the job has said meanwhile. Does not wait. */
void cbn_job_hear(cbn_job *job);

/* True once, when the job has ended: what is left of its group is killed. Does not wait. */
bool cbn_job_ended(cbn_job *job);

/* To all of its group, if it runs. */
void cbn_job_signal(const cbn_job *job, int signal);

/* "killed by SIGSEGV", "exited with status 77" */
void cbn_job_describe(const cbn_job *job, char *text, size_t size);

#endif
