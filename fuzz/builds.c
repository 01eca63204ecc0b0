#include "fuzz/builds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

static const char *const flavours[] = {[CBN_PLAIN] = "plain", [CBN_SANITIZED] = "sanitized", [CBN_AFL] = "afl"};
static const char *const portable[] = {[CBN_PLAIN] = "plain-portable", [CBN_SANITIZED] = "sanitized-portable"};

bool cbn_build_is_portable(const cbn_build *build) {
  return build->flavour != CBN_AFL && build->name == portable[build->flavour];
}

void cbn_builds_choose(cbn_builds *builds, const char *engine) {
  const int found = builds->count;
  for (int i = 0; i < found; i++) {
    cbn_build *build = &builds->at[i];
    build->name = flavours[build->flavour];
    build->engine = engine != NULL ? engine : "fast";
    if (engine != NULL || build->flavour == CBN_AFL || builds->count == CBN_BUILD_LIMIT) continue;
    cbn_build *other = &builds->at[builds->count++];
    *other = *build;
    other->name = portable[build->flavour];
    other->engine = "fast:isa=portable";
  }
}

/* Does the program hold the text? A sanitizer's run-time is linked in and knows its own name. */
static bool holds(const char *path, const char *text) {
  struct stat status;
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  bool found = false;
  if (file >= 0 && fstat(file, &status) == 0 && status.st_size > 0) {
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes != MAP_FAILED) {
      found = memmem(bytes, (size_t)status.st_size, text, strlen(text)) != NULL;
      munmap(bytes, (size_t)status.st_size);
    }
  }
  if (file >= 0) close(file);
  return found;
}

static bool is_program(const cbn_path *path) {
  struct stat status;
  return stat(path->text, &status) == 0 && S_ISREG(status.st_mode) && access(path->text, X_OK) == 0;
}

static cbn_path program_of(const cbn_build *build, const char *fuzzer, const cbn_target *target) {
  return cbn_path_of("%s/%s-%s", build->fuzzers.text, fuzzer, target->name);
}

bool cbn_build_program(const cbn_build *build, const cbn_target *target, cbn_path *program) {
  *program = program_of(build, build->flavour == CBN_AFL ? "afl" : "libfuzzer", target);
  return is_program(program);
}

static bool has_command(const char *name) {
  char *paths = strdup(getenv("PATH") == NULL ? "" : getenv("PATH")), *rest = paths;
  bool found = false;
  for (char *folder; !found && (folder = strsep(&rest, ":")) != NULL;) {
    const cbn_path program = cbn_path_of("%s/%s", folder[0] == '\0' ? "." : folder, name);
    found = is_program(&program);
  }
  free(paths);
  return found;
}

/* Adds what the folder has; a folder may have programs for both fuzzers. */
static void add(cbn_builds *builds, const char *folder) {
  static const char *const fuzzers[] = {"libfuzzer", "afl"};
  for (int f = 0; f < 2; f++)
    for (int i = 0; i < cbn_target_count() && builds->count < CBN_BUILD_LIMIT; i++) {
      cbn_build build = {.fuzzers = cbn_path_of("%s", folder), .prefix = cbn_path_of("%s/../../..", folder)};
      const cbn_path program = program_of(&build, fuzzers[f], cbn_target_at(i));
      if (!is_program(&program)) continue;
      char *real = realpath(build.prefix.text, NULL);
      if (real != NULL) build.prefix = cbn_path_of("%s", real);
      free(real);
      build.flavour = f == 1 ? CBN_AFL : holds(program.text, "__asan_init") ? CBN_SANITIZED : CBN_PLAIN;
      builds->at[builds->count++] = build;
      if (f == 1) builds->has_afl = has_command("afl-fuzz");
      break;
    }
}

bool cbn_builds_find(cbn_builds *builds, cbn_error *error) {
  const char *named = getenv("CONVBN_FUZZERS");
  char own[PATH_MAX] = "";
  builds->count = 0;
  builds->has_afl = false;
  if (named == NULL || named[0] == '\0') {
    const ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    own[length > 0 ? length : 0] = '\0';
    if (strrchr(own, '/') != NULL) *strrchr(own, '/') = '\0';
    add(builds, cbn_path_of("%s/../lib/convbn/fuzzers", own).text);
    CBN_CHECK(builds->count > 0, error,
              "this build has no fuzzers; in the source tree, ./run-fuzz builds them and starts this command");
    return true;
  }
  char *folders = strdup(named), *rest = folders;
  for (char *folder; (folder = strsep(&rest, ":")) != NULL;)
    if (folder[0] != '\0') add(builds, folder);
  free(folders);
  CBN_CHECK(builds->count > 0, error,
            "there are no fuzzers in %s, which CONVBN_FUZZERS names; ./run-fuzz builds them and sets it", named);
  return true;
}

const cbn_build *cbn_builds_named(const cbn_builds *builds, const char *name, const cbn_target *target) {
  const cbn_build *best = NULL;
  cbn_path program;
  for (int i = 0; i < builds->count; i++) {
    const cbn_build *b = &builds->at[i];
    const bool same = strcmp(b->name, name) == 0;
    if ((same || best == NULL) && cbn_build_program(b, target, &program)) best = b;
  }
  return best;
}

const cbn_build *cbn_builds_for_replay(const cbn_builds *builds, const cbn_build *build, const cbn_target *target) {
  const cbn_build *best = NULL;
  cbn_path program;
  for (int i = 0; i < builds->count; i++) {
    const cbn_build *b = &builds->at[i];
    if (b->flavour == CBN_AFL || !cbn_build_program(b, target, &program)) continue;
    if (b == build) return b;
    if (best == NULL || (b->flavour == CBN_SANITIZED && strcmp(b->engine, build->engine) == 0)) best = b;
  }
  return best;
}

cbn_path cbn_build_engine(const cbn_build *build) {
  const char *engine = build->engine, *colon = strchrnul(engine, ':');
  const int length = (int)(colon - engine);
  if (strncmp(engine, "fast", 4) == 0 && length == 4) return cbn_path_of("%s", colon);
  if (memchr(engine, '/', (size_t)length) != NULL) return cbn_path_of("%s", engine);
  return cbn_path_of("%s/lib/convbn/engines/%.*s.so%s", build->prefix.text, length, engine, colon);
}
