/* convbn-replay: runs targets over files and whole directories of them, without a fuzzer's runtime. */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/verdict.h"
#include "fuzz/shared.h"

typedef struct arguments {
  const cbn_target *target;
  char **paths;
  int path_count;
} arguments;

/* What is being replayed. A signal's handler has to know it, so there is one. */
static struct {
  const cbn_target *target; /* NULL: the path says which */
  char path[PATH_MAX];      /* of the file or directory at hand */
  uint64_t inputs, findings, skipped;
  bool misused; /* something could not be read, or has no target */
} replay;

static void complain(const char *why) {
  fprintf(stderr, "convbn-replay: %s: %s\n", replay.path, why);
  replay.misused = true;
}

/* -------------------------------------------------------------------------------------------------------- signals */

static sigjmp_buf after_finding;

/* A target that finds something prints it and aborts. */
static void go_on(int number) { siglongjmp(after_finding, number); }

static void say(const char *text) { (void)!write(STDERR_FILENO, text, strlen(text)); }

/* The process ends: which input it was is all that can still be said. */
static void tell_last(void) {
  say("convbn-replay: ended by ");
  say(replay.path);
  say("\n");
}

static void end(int number) {
  tell_last();
  signal(number, SIG_DFL);
  raise(number);
}

/* A sanitizer handles signals itself, which says more, and calls back when it ends the process. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void catch_signals(void) {
  static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
  struct sigaction before;
  if (__sanitizer_set_death_callback != NULL) __sanitizer_set_death_callback(tell_last);
  for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
    if (sigaction(fatal[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL) signal(fatal[i], end);
  signal(SIGABRT, go_on);
}

/* ------------------------------------------------------------------------------------------------------ one input */

/* The target that the path's directories name, as in corpus/TARGET/FILE; the last one. */
static const cbn_target *target_of_path(const char *path) {
  const cbn_target *found = NULL;
  for (const char *slash; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
    char name[64];
    if (slash - path >= (ptrdiff_t)sizeof name) continue;
    snprintf(name, sizeof name, "%.*s", (int)(slash - path), path);
    const cbn_target *target = cbn_target_by_name(name);
    if (target != NULL) found = target;
  }
  return found;
}

static const cbn_target *target_of_file(void) {
  char whole[PATH_MAX];
  if (replay.target != NULL) return replay.target;
  const cbn_target *target = target_of_path(replay.path);
  return target != NULL || realpath(replay.path, whole) == NULL ? target : target_of_path(whole);
}

static void run(const cbn_target *target, const uint8_t *bytes, size_t size) {
  cbn_fuzz_open(target);
  replay.inputs++;
  if (sigsetjmp(after_finding, 1) == 0) {
    cbn_target_run(target, bytes, size);
  } else {
    fprintf(stderr, "convbn-replay: %s: target %s has a finding\n", replay.path, target->name);
    replay.findings++;
  }
}

static bool read_whole(int file, uint8_t *bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t count = read(file, bytes + done, size - done);
    if (count == 0) errno = EIO; /* it has become shorter */
    if (count <= 0) return false;
    done += (size_t)count;
  }
  return true;
}

/* A file of a folder may belong to no target, as corpus/README.md does. The bytes have memory of exactly their size, so
 * that a sanitizer sees what reads beyond. */
static void run_file(int file, size_t size, bool is_argument) {
  const cbn_target *target = target_of_file();
  if (target == NULL) {
    if (is_argument) complain("no directory of the path is the name of a target; say which with --target");
    else replay.skipped++;
    return;
  }
  uint8_t *bytes = malloc(size);
  if (bytes == NULL && size > 0) complain("no memory for its bytes");
  else if (!read_whole(file, bytes, size)) complain(strerror(errno));
  else run(target, bytes, size);
  free(bytes);
}

/* ---------------------------------------------------------------------------------------------------- directories */

static void replay_path(bool is_argument);

/* Entry after entry, in the file system's order: however many there are, none is kept. */
static void run_directory(int file) {
  const size_t length = strlen(replay.path), room = sizeof replay.path - length;
  const char *slash = replay.path[length - 1] == '/' ? "" : "/";
  DIR *directory = fdopendir(file);
  if (directory == NULL) {
    complain(strerror(errno));
    close(file);
    return;
  }
  errno = 0;
  for (const struct dirent *entry; (entry = readdir(directory)) != NULL; errno = 0) {
    if (entry->d_name[0] == '.') continue;
    const int added = snprintf(replay.path + length, room, "%s%s", slash, entry->d_name);
    if (added < (int)room) replay_path(false);
    else complain("the path is too long");
    replay.path[length] = '\0';
  }
  if (errno != 0) complain(strerror(errno));
  closedir(directory);
}

/* Below an argument, links to directories are not followed, since they may lead back. What is neither a file nor a
 * directory is not waited for. */
static void replay_path(bool is_argument) {
  struct stat status, link;
  const int file = open(replay.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0 || fstat(file, &status) != 0) {
    complain(strerror(errno));
  } else if (S_ISREG(status.st_mode)) {
    run_file(file, (size_t)status.st_size, is_argument);
  } else if (!S_ISDIR(status.st_mode)) {
    if (is_argument) complain("neither a file nor a directory");
  } else if (is_argument || (lstat(replay.path, &link) == 0 && S_ISDIR(link.st_mode))) {
    run_directory(file);
    return; /* which has closed it */
  }
  if (file >= 0) close(file);
}

/* ------------------------------------------------------------------------------------------------------- program */

static const struct argp_option options[] = {
    {"target", 't', "TARGET", 0, "Run this target; without it the path says which: corpus/TARGET/...", 0},
    {"list", 'l', NULL, 0, "List the targets", 0},
    {0}};

static void list_targets(void) {
  for (int i = 0; i < cbn_target_count(); i++) printf("%-22s  %s\n", cbn_target_at(i)->name, cbn_target_at(i)->words);
}

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  switch (key) {
  case 't':
    a->target = cbn_target_by_name(text);
    if (a->target == NULL)
      argp_error(state, "there is no target '%s'; the nearest is '%s'", text, cbn_target_nearest(text));
    break;
  case 'l': list_targets(); exit(CBN_EXIT_EXPECTED);
  case ARGP_KEY_ARGS:
    a->paths = state->argv + state->next;
    a->path_count = state->argc - state->next;
    break;
  case ARGP_KEY_NO_ARGS: argp_error(state, "name files or directories, for instance corpus/"); break;
  default: return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PATH...",
    .doc =
        "Runs fuzz targets over files and directories of inputs, any number, any bytes, any length."
        "\vExit status: 0 nothing found; 1 findings; 2 usage, something could not be read, or every "
        "file was skipped."};

int main(int argc, char **argv) {
  arguments arguments = {0};
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &arguments);
  unsetenv("CONVBN_FUZZ_OUT"); /* the inputs of what is found are there already */
  replay.target = arguments.target;
  catch_signals();
  for (int i = 0; i < arguments.path_count; i++) {
    const int length = snprintf(replay.path, sizeof replay.path, "%s", arguments.paths[i]);
    if (length == 0) complain("an empty path");
    else if (length >= (int)sizeof replay.path) complain("the path is too long");
    else replay_path(true);
  }
  printf("%" PRIu64 " inputs replayed, %" PRIu64 " findings", replay.inputs, replay.findings);
  if (replay.skipped > 0) printf("; %" PRIu64 " skipped, in no directory of a target", replay.skipped);
  printf("\n");
  const bool all_skipped = replay.inputs == 0 && replay.skipped > 0;
  if (fflush(stdout) != 0 || replay.misused || all_skipped) return CBN_EXIT_USAGE;
  return replay.findings > 0 ? CBN_EXIT_DISCREPANCY : CBN_EXIT_EXPECTED;
}
