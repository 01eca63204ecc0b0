/* A child process that speaks frames: spawned in a process group of its own, watched while it computes, and buried with
 * all that it left behind. Safe in programs of many threads; each child belongs to one thread at a time. */
#ifndef CBN_HARNESS_CHILD_PROCESS_H
#define CBN_HARNESS_CHILD_PROCESS_H

#include <stdint.h>

#include "core/error.h"
#include "harness/frames.h"
#include "core/verdict.h"

enum { CBN_LAST_WORDS = 2048 }; /* bytes of a child's standard error that are kept */

typedef struct cbn_child {
  pid_t pid;            /* also its process group; 0: none is running */
  int socket;           /* frames; these four are -1 where there is none */
  int lifeline;         /* held open, never written */
  int errors;           /* the child's standard error */
  int status;           /* /proc/PID/status */
  int64_t memory_limit; /* private bytes; 0 or less: none. The owner sets this and the next */
  int64_t shared_bytes; /* how much shared memory the child has been lent */
  int64_t used;         /* private bytes at the last look */
  int64_t oom_kills;    /* of the system before the child was started, -1 if unknown */
  size_t words_size;
  char words[CBN_LAST_WORDS];
  cbn_frame_buffer buffer;
} cbn_child;

/* No process; to be called once before all else. */
void cbn_child_clear(cbn_child *child);

/* Runs the program at `path` with the frame socket and the lifeline as its descriptors 3 and 4. On failure nothing is
 * left. */
bool cbn_child_spawn(cbn_child *child, const char *path, cbn_error *error);

/* What waiting for a frame came to: one that is well-formed; the end of the process or of the connection; the deadline;
 * too much memory; bytes that are no frame. */
enum cbn_outcome { CBN_ANSWERED, CBN_ENDED, CBN_LATE, CBN_HUNGRY, CBN_GARBAGE };

/* Waits for a frame. `answer` is a new reference if there is one, else NULL. */
enum cbn_outcome cbn_child_await(cbn_child *child, double timeout_seconds, json_t **answer);

/* How a child came to its end. */
typedef struct cbn_obituary {
  enum cbn_verdict verdict; /* CRASH, TIMEOUT, MEMORY_LIMIT */
  char text[512];
} cbn_obituary;

/* Ends the child after an outcome other than CBN_ANSWERED and says what happened. */
cbn_obituary cbn_child_end(cbn_child *child, enum cbn_outcome outcome, double timeout_seconds);

/* Waits for a child that has been told to stop, for a grace period; false if it still runs. */
bool cbn_child_wait(cbn_child *child);

/* Kills what is left of the child and its group, reaps it and closes the connections. Returns its wait status, -1 if
 * there was none to be had. */
int cbn_child_bury(cbn_child *child);

#endif
