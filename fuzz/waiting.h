/* Inputs that showed something and wait to be looked at. A bug that is met at every turn gives thousands a second: of each
 * sort a few wait, the others are counted, and the sort that has been looked at least comes first. */
#ifndef CBN_FUZZ_WAITING_H
#define CBN_FUZZ_WAITING_H

#include "fuzz/builds.h"
#include "fuzz/crash_report.h"

typedef struct cbn_input {
  const cbn_target *target;
  const cbn_build *build;
  bool died;     /* the fuzzer's process did, with the words in the file's name and ".txt" */
  uint64_t says; /* the sort that the process has given the finding; 0 where it died */
  int sort;      /* inputs of one sort are probably of one cause */
  uint64_t hash; /* of its bytes */
  cbn_path file; /* in OUT/raw */
} cbn_input;

enum { CBN_WAITING_LIMIT = 256, CBN_WAITING_OF_A_SORT = 12, CBN_SORTS = 1 << 16 };

typedef struct cbn_waiting {
  cbn_path folder;
  int count;
  size_t dropped;
  cbn_input input[CBN_WAITING_LIMIT]; /* in the order of their arrival */
  int waiting[CBN_SORTS], looked_at[CBN_SORTS];
} cbn_waiting;

/* Takes up what waits in the folder. */
bool cbn_waiting_open(cbn_waiting *waiting, const char *folder, const cbn_builds *builds, cbn_error *error);

/* Reads the bytes of an input whose target, build, death and what the process says are known, a genome as its target
 * takes it, so that it means the same without the target; sets its hash and sort. To be freed; NULL where it cannot be
 * read. */
uint8_t *cbn_input_read(cbn_input *input, const char *path, size_t *size, cbn_error *error);

/* Writes such an input into the folder, or drops it where enough of its sort wait. `words` is NULL unless the process died.
 * False where it cannot be kept. */
bool cbn_waiting_add(cbn_waiting *waiting, cbn_input *input, const uint8_t *bytes, size_t size, const char *words,
                     cbn_error *error);

/* Takes out the next to be looked at, of a sort that has been looked at `most` times at most; false without. */
bool cbn_waiting_take(cbn_waiting *waiting, int most, cbn_input *input);

/* Puts back one that was taken out. */
void cbn_waiting_return(cbn_waiting *waiting, const cbn_input *input);

/* Removes the files of an input that was taken out. */
void cbn_input_remove(const cbn_input *input);

#endif
