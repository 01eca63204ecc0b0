/* The fuzzers' programs: which builds there are, and what each has.
 *
 * A build keeps them in lib/convbn/fuzzers: `libfuzzer-TARGET`, or `afl-TARGET` with `afl_mutator.so`; beside that, in bin/,
 * are its own `convbn` and `convbn-host`, with the same sanitizers. */
#ifndef CBN_FUZZ_BUILDS_H
#define CBN_FUZZ_BUILDS_H

#include "fuzz/folder.h"
#include "fuzz/job.h"
#include "fuzz/targets.h"

enum cbn_flavour { CBN_PLAIN, CBN_SANITIZED, CBN_AFL };

typedef struct cbn_build {
  enum cbn_flavour flavour;
  const char *name;   /* "plain", "sanitized-portable" */
  const char *engine; /* that its problems are run by, as people name it */
  cbn_path fuzzers;   /* the folder */
  cbn_path prefix;    /* of bin/ and lib/ */
} cbn_build;

enum { CBN_BUILD_LIMIT = 16 };

typedef struct cbn_builds {
  int count;
  cbn_build at[CBN_BUILD_LIMIT];
  bool has_afl; /* afl-fuzz is installed, and there are programs for it */
} cbn_builds;

/* Looks through the folders of the environment's CONVBN_FUZZERS or, without it, ../lib/convbn/fuzzers seen from this
 * program. False, with the command that builds some, where there are none. */
bool cbn_builds_find(cbn_builds *builds, cbn_error *error);

/* The program that fuzzes the target; false where the build has none. */
bool cbn_build_program(const cbn_build *build, const cbn_target *target, cbn_path *program);

/* The build of that name if it has a program of the target, else another that has; NULL without. */
const cbn_build *cbn_builds_named(const cbn_builds *builds, const char *name, const cbn_target *target);

/* The build whose libFuzzer program of the target shows best what is wrong with an input: `build` itself if it has one, else a
 * sanitized one, else any; NULL without. */
const cbn_build *cbn_builds_for_replay(const cbn_builds *builds, const cbn_build *build, const cbn_target *target);

/* Chooses the engine of all builds; NULL is `fast`, and libFuzzer's builds once more with its portable kernels, for
 * problems only. */
void cbn_builds_choose(cbn_builds *builds, const char *engine);

/* Is it one of those with the portable kernels? */
bool cbn_build_is_portable(const cbn_build *build);

/* What CONVBN_FUZZ_ENGINE is for the build's engine: nothing for `fast`, which is linked; the build's plug-in for another name; a
 * path as it is; options behind any of them. */
cbn_path cbn_build_engine(const cbn_build *build);

#endif
