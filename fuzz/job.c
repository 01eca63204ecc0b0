#include "fuzz/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/clock.h"

void cbn_job_clear(cbn_job *job) {
  job->pid = 0;
  job->output = -1;
  job->words_size = 0;
  job->words[0] = '\0';
}

/* The child's part; this program has one thread, so that all of this is allowed after fork. */
static _Noreturn void become(const cbn_command_line *line, pid_t parent, int output) {
  sigset_t none;
  sigemptyset(&none);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, line->gentle ? SIGTERM : SIGKILL);
  if (getppid() != parent) _exit(127); /* died before it could be told */
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  for (const char *const *entry = line->environment; *entry != NULL; entry++) putenv((char *)(uintptr_t)*entry);
  execvp(line->argument[0], (char *const *)(uintptr_t)line->argument);
  fprintf(stderr, "%s: cannot be run: %s\n", line->argument[0], strerror(errno));
  _exit(127);
}

bool cbn_job_start(cbn_job *job, const cbn_command_line *line, cbn_error *error) {
  int ends[2];
  const pid_t parent = getpid();
  cbn_job_clear(job);
  CBN_CHECK(pipe2(ends, O_CLOEXEC) == 0, error, "no connection to a new process: %s", strerror(errno));
  fflush(NULL);
  job->pid = fork();
  if (job->pid == 0) become(line, parent, ends[1]);
  close(ends[1]);
  if (job->pid < 0) {
    job->pid = 0;
    close(ends[0]);
    CBN_FAIL(error, "%s: no new process: %s", line->argument[0], strerror(errno));
  }
  setpgid(job->pid, job->pid);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  job->output = ends[0];
  job->started = cbn_clock_seconds();
  return true;
}

void cbn_job_hear(cbn_job *job) {
  enum { READS = 64 }; /* one that never stops talking does not stop us */
  for (int i = 0; i < READS && job->output >= 0; i++) {
    if (job->words_size > CBN_JOB_WORDS / 2) { /* forget the older half */
      const size_t kept = CBN_JOB_WORDS / 2;
      memmove(job->words, job->words + job->words_size - kept, kept);
      job->words_size = kept;
    }
    const ssize_t heard = read(job->output, job->words + job->words_size, CBN_JOB_WORDS - 1 - job->words_size);
    if (heard == 0) {
      close(job->output);
      job->output = -1;
    }
    if (heard <= 0) return;
    for (ssize_t c = 0; c < heard; c++) /* a text ends where it ends */
      if (job->words[job->words_size + (size_t)c] == '\0') job->words[job->words_size + (size_t)c] = '?';
    job->words_size += (size_t)heard;
    job->words[job->words_size] = '\0';
  }
}

bool cbn_job_ended(cbn_job *job) {
  siginfo_t info = {.si_pid = 0};
  if (job->pid == 0 || (waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0))
    return false;
  kill(-job->pid, SIGKILL);
  if (waitpid(job->pid, &job->status, 0) < 0) job->status = -1;
  cbn_job_hear(job);
  if (job->output >= 0) close(job->output);
  job->output = -1;
  job->pid = 0;
  return true;
}

void cbn_job_signal(const cbn_job *job, int signal) {
  if (job->pid > 0) kill(-job->pid, signal);
}

void cbn_job_describe(const cbn_job *job, char *text, size_t size) {
  const char *name = WIFSIGNALED(job->status) ? sigabbrev_np(WTERMSIG(job->status)) : NULL;
  if (name != NULL) snprintf(text, size, "killed by SIG%s", name);
  else if (WIFSIGNALED(job->status)) snprintf(text, size, "killed by signal %d", WTERMSIG(job->status));
  else snprintf(text, size, "exited with status %d", WEXITSTATUS(job->status));
}
