#define _GNU_SOURCE 1
#include "harness/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/clock.h"

enum {
  TICK_MILLISECONDS = 20,   /* between two looks at the process while it computes */
  GRACE_MILLISECONDS = 1000 /* for a process that has been told to stop, or that has closed its end */
};

/* ---------------------------------------------------------------------------------------------------------- spawn */

void cbn_child_clear(cbn_child *child) {
  memset(child, 0, offsetof(cbn_child, buffer));
  child->socket = child->lifeline = child->errors = child->status = -1;
  cbn_frame_buffer_clear(&child->buffer);
}

static void close_descriptor(int *descriptor) {
  if (*descriptor >= 0) close(*descriptor);
  *descriptor = -1;
}

/* Moves a descriptor out of the way of those that the child is to have. */
static int above_standard(int descriptor) {
  if (descriptor < 0) return -1;
  const int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, CBN_LIFELINE_DESCRIPTOR + 1);
  close(descriptor);
  return moved;
}

/* The child's ends of what it is connected by. */
typedef struct child_ends {
  int socket, lifeline, errors;
} child_ends;

static bool connect_child(cbn_child *child, child_ends *ends, cbn_error *error) {
  int frames[2] = {-1, -1}, lifeline[2] = {-1, -1}, errors[2] = {-1, -1};
  const bool connected = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, frames) == 0 &&
                         pipe2(lifeline, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0;
  if (!connected) cbn_error_set(error, "no connection to a new process: %m");
  child->socket = frames[0];
  child->lifeline = lifeline[1];
  child->errors = errors[0];
  *ends = (child_ends){above_standard(frames[1]), above_standard(lifeline[0]), above_standard(errors[1])};
  if (!connected) return false;
  CBN_CHECK(
      ends->socket >= 0 && ends->lifeline >= 0 && ends->errors >= 0 && fcntl(child->errors, F_SETFL, O_NONBLOCK) == 0,
      error, "no connection to a new process: %m");
  return true;
}

static int arrange_descriptors(posix_spawn_file_actions_t *actions, const child_ends *ends) {
  int failure = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (failure == 0) failure = posix_spawn_file_actions_adddup2(actions, ends->errors, STDOUT_FILENO);
  if (failure == 0) failure = posix_spawn_file_actions_adddup2(actions, ends->errors, STDERR_FILENO);
  if (failure == 0) failure = posix_spawn_file_actions_adddup2(actions, ends->socket, CBN_FRAME_DESCRIPTOR);
  if (failure == 0) failure = posix_spawn_file_actions_adddup2(actions, ends->lifeline, CBN_LIFELINE_DESCRIPTOR);
  return failure;
}

/* Its own process group, no signal blocked or ignored. */
static int arrange_signals(posix_spawnattr_t *attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(attributes, &none);
  posix_spawnattr_setsigdefault(attributes, &all);
  posix_spawnattr_setpgroup(attributes, 0);
  return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(cbn_child *child, const char *path, const child_ends *ends) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  char *const arguments[] = {(char *)(uintptr_t)path, NULL};
  int failure = posix_spawn_file_actions_init(&actions);
  if (failure != 0) return failure;
  failure = posix_spawnattr_init(&attributes);
  if (failure == 0) {
    failure = arrange_descriptors(&actions, ends);
    if (failure == 0) failure = arrange_signals(&attributes);
    if (failure == 0) failure = posix_spawn(&child->pid, path, &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) child->pid = 0;
  return failure;
}

/* How often the system has killed a process for want of memory; -1 if it does not say. */
static int64_t count_oom_kills(void) {
  int64_t kills = -1;
  FILE *file = fopen("/proc/vmstat", "re");
  if (file == NULL) return kills;
  char line[128];
  while (fgets(line, sizeof line, file) != NULL && sscanf(line, "oom_kill %" SCNd64, &kills) != 1) continue;
  fclose(file);
  return kills;
}

bool cbn_child_spawn(cbn_child *child, const char *path, cbn_error *error) {
  child_ends ends;
  bool spawned = connect_child(child, &ends, error);
  if (spawned) {
    child->oom_kills = count_oom_kills();
    const int failure = spawn(child, path, &ends);
    if (failure != 0) spawned = cbn_error_set(error, "%s cannot be run: %s", path, strerror(failure));
  }
  close_descriptor(&ends.socket);
  close_descriptor(&ends.lifeline);
  close_descriptor(&ends.errors);
  if (!spawned) {
    cbn_child_bury(child);
    return false;
  }
  char status[64];
  snprintf(status, sizeof status, "/proc/%d/status", (int)child->pid);
  child->status = open(status, O_RDONLY | O_CLOEXEC);
  child->words_size = 0;
  child->used = 0;
  cbn_frame_buffer_clear(&child->buffer);
  return true;
}

/* --------------------------------------------------------------------------------------------------- observation */

/* Milliseconds until `deadline`, rounded up, at most one tick. */
static int milliseconds_until(double deadline) {
  const double left = ceil((deadline - cbn_clock_seconds()) * 1e3);
  return left <= 0 ? 0 : left < TICK_MILLISECONDS ? (int)left : TICK_MILLISECONDS;
}

/* Keeps the last of what the child prints on its standard error; reads a bounded amount. */
static void hear(cbn_child *child) {
  enum { READS = 16 };
  for (int i = 0; i < READS && child->errors >= 0; i++) {
    if (child->words_size > CBN_LAST_WORDS / 2) { /* forget the older half */
      const size_t kept = CBN_LAST_WORDS / 2;
      memmove(child->words, child->words + child->words_size - kept, kept);
      child->words_size = kept;
    }
    const ssize_t heard = read(child->errors, child->words + child->words_size, CBN_LAST_WORDS - child->words_size);
    if (heard == 0) close_descriptor(&child->errors);
    if (heard <= 0) return;
    child->words_size += (size_t)heard;
  }
}

/* The value of a line `Name:  123 kB` in bytes, 0 if there is none. */
static int64_t kibibytes(const char *text, const char *name) {
  const char *line = strstr(text, name);
  return line == NULL ? 0 : 1024 * strtoll(line + strlen(name), NULL, 10);
}

/* Looks how much private memory the child uses: anonymous pages, and shared ones beyond what it was lent. */
static void measure(cbn_child *child) {
  char text[4096];
  const ssize_t length = child->status < 0 ? -1 : pread(child->status, text, sizeof text - 1, 0);
  if (length <= 0) return;
  text[length] = '\0';
  const int64_t shared = kibibytes(text, "\nRssShmem:") - child->shared_bytes;
  child->used = kibibytes(text, "\nRssAnon:") + (shared > 0 ? shared : 0);
}

static bool has_ended(const cbn_child *child) {
  siginfo_t info = {.si_pid = 0};
  return waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

/* Reads what has arrived; false if that is not a whole frame yet. */
static bool read_frame(cbn_child *child, enum cbn_outcome *outcome, json_t **answer) {
  const ssize_t received = cbn_frame_receive(child->socket, &child->buffer, MSG_DONTWAIT, false);
  *outcome = CBN_ENDED;
  if (received == 0) return true;
  if (received < 0) return errno != EAGAIN && errno != EINTR;
  const enum cbn_frame_state state = cbn_frame_take(&child->buffer, answer);
  *outcome = state == CBN_FRAME_WHOLE ? CBN_ANSWERED : CBN_GARBAGE;
  return state != CBN_FRAME_PARTIAL;
}

enum cbn_outcome cbn_child_await(cbn_child *child, double timeout_seconds, json_t **answer) {
  const double start = cbn_clock_seconds(), deadline = start + timeout_seconds;
  double next_look = start + 1e-3 * TICK_MILLISECONDS;
  *answer = NULL;
  for (;;) {
    struct pollfd ready[] = {{.fd = child->socket, .events = POLLIN}, {.fd = child->errors, .events = POLLIN}};
    const int events = poll(ready, 2, milliseconds_until(deadline));
    const bool spoken = events > 0 && ready[0].revents != 0;
    if (events > 0 && ready[1].revents != 0) hear(child);
    enum cbn_outcome outcome;
    if (spoken && read_frame(child, &outcome, answer)) return outcome;
    const double time = cbn_clock_seconds();
    if (time >= deadline) return CBN_LATE;
    if (time < next_look) continue;
    next_look = time + 1e-3 * TICK_MILLISECONDS;
    measure(child);
    if (child->memory_limit > 0 && child->used > child->memory_limit) return CBN_HUNGRY;
    /* A child of the child may hold the connection open. */
    if (!spoken && has_ended(child)) return CBN_ENDED;
  }
}

/* -------------------------------------------------------------------------------------------------------- the end */

bool cbn_child_wait(cbn_child *child) {
  const double deadline = cbn_clock_seconds() + 1e-3 * GRACE_MILLISECONDS;
  for (long pause = 50000; !has_ended(child); pause = pause < 5000000 ? 2 * pause : pause) {
    if (cbn_clock_seconds() >= deadline) return false;
    hear(child);
    nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
  }
  return true;
}

int cbn_child_bury(cbn_child *child) {
  int status = -1;
  if (child->pid > 0) {
    kill(-child->pid, SIGKILL);
    kill(child->pid, SIGKILL);
    pid_t reaped;
    do {
      reaped = waitpid(child->pid, &status, 0);
    } while (reaped < 0 && errno == EINTR);
    if (reaped < 0) status = -1;
  }
  hear(child);
  child->pid = 0;
  close_descriptor(&child->socket);
  close_descriptor(&child->lifeline);
  close_descriptor(&child->errors);
  close_descriptor(&child->status);
  return status;
}

/* The last line that says something, the sanitizers' summary if there is one. Cuts `text` into lines. */
static const char *last_line(char *text) {
  const char *last = "";
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
    for (char *c = line; *c != '\0'; c++) {
      if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    }
    if (strncmp(line, "SUMMARY: ", 9) == 0) return line;
    if (line[strspn(line, " ?")] != '\0') last = line;
  }
  return last;
}

/* Did the child end for want of memory, as far as one can know? */
static bool starved(const cbn_child *child, int status) {
  const int64_t limit = child->memory_limit;
  if (limit > 0 && child->used > limit - limit / 8) return true;
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) return false;
  return (limit > 0 && child->used > limit / 2) || count_oom_kills() != child->oom_kills;
}

static void describe_status(char *text, size_t size, int status) {
  const char *signal = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
  if (signal != NULL) snprintf(text, size, "killed by SIG%s", signal);
  else if (WIFSIGNALED(status)) snprintf(text, size, "killed by signal %d", WTERMSIG(status));
  else snprintf(text, size, "exited with status %d without an answer", WEXITSTATUS(status));
}

/* Buries a child that has closed its connection or ended. */
static cbn_obituary end_closed(cbn_child *child) {
  cbn_obituary o = {.verdict = CBN_VERDICT_CRASH};
  char how[128] = "closed its connection without an answer";
  const bool ended = cbn_child_wait(child);
  const int status = cbn_child_bury(child);
  if (ended && status != -1) {
    describe_status(how, sizeof how, status);
    if (starved(child, status)) {
      o.verdict = CBN_VERDICT_MEMORY_LIMIT;
      strcat(how, ", short of memory");
    }
  }
  char words[CBN_LAST_WORDS + 1];
  memcpy(words, child->words, child->words_size);
  words[child->words_size] = '\0';
  const char *last = last_line(words);
  if (*last == '\0') snprintf(o.text, sizeof o.text, "%s", how);
  else snprintf(o.text, sizeof o.text, "%s; its last words: %.300s", how, last);
  return o;
}

cbn_obituary cbn_child_end(cbn_child *child, enum cbn_outcome outcome, double timeout_seconds) {
  if (outcome == CBN_ENDED) return end_closed(child);
  const double mebibyte = 1 << 20;
  cbn_obituary o = {.verdict = CBN_VERDICT_CRASH};
  cbn_child_bury(child);
  if (outcome == CBN_LATE) {
    o.verdict = CBN_VERDICT_TIMEOUT;
    snprintf(o.text, sizeof o.text, "no answer within %g seconds", timeout_seconds);
  } else if (outcome == CBN_HUNGRY) {
    o.verdict = CBN_VERDICT_MEMORY_LIMIT;
    snprintf(o.text, sizeof o.text, "uses %.0f MiB of memory, the limit is %.0f MiB", (double)child->used / mebibyte,
             (double)child->memory_limit / mebibyte);
  } else {
    snprintf(o.text, sizeof o.text, "the engine's process spoke garbage");
  }
  return o;
}
