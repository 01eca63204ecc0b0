/* The folder of fuzzing runs: made once, used by one run at a time, and its corpus.
 *
 *   OUT/lock            held while a run goes on; the sign that the folder is one of fuzzing runs
 *   OUT/corpus/TARGET/  inputs that reach something new; libFuzzer and AFL++ both read and feed it
 *   OUT/afl/TARGET/     AFL++'s own state
 *   OUT/work/           the running processes' folders; removed at the end
 *
 * and what fuzz/findings.h has. */
#ifndef CBN_FUZZ_OUT_FOLDER_H
#define CBN_FUZZ_OUT_FOLDER_H

#include "fuzz/folder.h"
#include "fuzz/targets.h"

/* Makes the folder, or takes one that an earlier run has made and that nobody else uses now. `lock` is to be closed at the
 * end. */
bool cbn_out_open(const char *out, int *lock, cbn_error *error);

/* False where hardly anything can be written any more. */
bool cbn_out_has_space(const char *out, cbn_error *error);

cbn_path cbn_out_corpus(const char *out, const cbn_target *target);

/* Copies the corpus that comes along, FROM/TARGET, if it is there: what is in it may be unreadable, or kill an engine at
 * every start, and then it is left out without a change to the original. `from` NULL: there is none. */
bool cbn_out_import(const char *out, const char *from, const cbn_target *target, cbn_error *error);

/* Takes the input at `path` out of the corpus: one that kills the process would do so at the beginning of each slice. */
void cbn_out_forget(const char *out, const cbn_target *target, const char *path);

#endif
