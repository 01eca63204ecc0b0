#include "fuzz/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "generator/mutate.h"
#include "harness/results.h"

/* What the process says of a finding that it survives. Of a problem that killed it: what operator, of what type, in
 * what layout; of a text: the target. */
static int sort_of(const cbn_input *input, const uint8_t *bytes, size_t size) {
  uint64_t words[2] = {input->says, input->died};
  if (input->says == 0 && input->target->structured) {
    cbn_generated problem;
    cbn_generate(bytes, size, &problem);
    words[0] =
        (((unsigned)problem.kind * 8 + (unsigned)problem.type) * 8 + (unsigned)problem.layout) * 2 + problem.valid;
  }
  const char *name = input->target->name;
  return (int)(XXH3_64bits_withSeed(words, sizeof words, XXH3_64bits(name, strlen(name))) % CBN_SORTS);
}

uint8_t *cbn_input_read(cbn_input *input, const char *path, size_t *size, cbn_error *error) {
  uint8_t *bytes = cbn_file_read(path, CBN_LONGEST_INPUT, size, error), genome[CBN_GENOME_BYTES];
  if (bytes == NULL) return NULL;
  if (input->target->structured) {
    cbn_genome_take(bytes, *size, input->target->kind, genome);
    uint8_t *whole = realloc(bytes, sizeof genome);
    if (whole == NULL) {
      cbn_error_set(error, "%s: no memory to read it", path);
      free(bytes);
      return NULL;
    }
    bytes = memcpy(whole, genome, sizeof genome);
    *size = sizeof genome;
  }
  input->hash = XXH3_64bits(bytes, *size);
  input->sort = sort_of(input, bytes, *size);
  return bytes;
}

static void remember(cbn_waiting *w, const cbn_input *input) {
  w->input[w->count++] = *input;
  w->waiting[input->sort]++;
}

/* The file of an earlier run: TARGET.FLAVOUR.SAYS.HASH. Where its build is no longer there, another of the target serves. */
typedef struct reopening {
  cbn_waiting *waiting;
  const cbn_builds *builds;
} reopening;

static bool reopen(void *context, const char *path, const char *name, size_t file_size) {
  const reopening *r = context;
  char target[64], flavour[32];
  unsigned long long says, hash;
  int length = 0;
  cbn_error error;
  size_t size;
  (void)file_size;
  if (r->waiting->count == CBN_WAITING_LIMIT) return false;
  if (sscanf(name, "%63[^.].%31[^.].%16llx.%16llx%n", target, flavour, &says, &hash, &length) != 4 ||
      name[length] != '\0')
    return true;
  cbn_input input = {.target = cbn_target_by_name(target), .says = says, .file = cbn_path_of("%s", path)};
  if (input.target != NULL) input.build = cbn_builds_named(r->builds, flavour, input.target);
  input.died = access(cbn_path_of("%s.txt", path).text, F_OK) == 0;
  uint8_t *bytes = input.build != NULL ? cbn_input_read(&input, path, &size, &error) : NULL;
  if (bytes != NULL) remember(r->waiting, &input);
  free(bytes);
  return true;
}

bool cbn_waiting_open(cbn_waiting *w, const char *folder, const cbn_builds *builds, cbn_error *error) {
  memset(w, 0, sizeof *w);
  w->folder = cbn_path_of("%s", folder);
  CBN_FORWARD(cbn_folder_make(folder, error));
  CBN_CHECK(cbn_folder_visit(folder, reopen, &(reopening){w, builds}), error, "%s: cannot be read", folder);
  return true;
}

bool cbn_waiting_add(cbn_waiting *w, cbn_input *input, const uint8_t *bytes, size_t size, const char *words,
                     cbn_error *error) {
  input->file = cbn_path_of("%s/%s.%s.%016llx.%016llx", w->folder.text, input->target->name, input->build->name,
                            (unsigned long long)input->says, (unsigned long long)input->hash);
  if (w->waiting[input->sort] >= CBN_WAITING_OF_A_SORT || w->count == CBN_WAITING_LIMIT) {
    w->dropped++;
    return true;
  }
  if (access(input->file.text, F_OK) == 0) return true; /* it waits, or is looked at */
  if (words != NULL)
    CBN_FORWARD(cbn_write_file(cbn_path_of("%s.txt", input->file.text).text, words, strlen(words), error));
  CBN_FORWARD(cbn_write_file(input->file.text, (const char *)bytes, size, error));
  remember(w, input);
  return true;
}

bool cbn_waiting_take(cbn_waiting *w, int most, cbn_input *input) {
  int best = -1;
  for (int i = 0; i < w->count; i++) {
    const int looked_at = w->looked_at[w->input[i].sort];
    if (looked_at <= most && (best < 0 || looked_at < w->looked_at[w->input[best].sort])) best = i;
  }
  if (best < 0) return false;
  *input = w->input[best];
  w->count--;
  memmove(w->input + best, w->input + best + 1, (size_t)(w->count - best) * sizeof *w->input);
  w->waiting[input->sort]--;
  w->looked_at[input->sort]++;
  return true;
}

void cbn_waiting_return(cbn_waiting *w, const cbn_input *input) {
  if (w->count < CBN_WAITING_LIMIT) remember(w, input);
}

void cbn_input_remove(const cbn_input *input) {
  unlink(input->file.text);
  unlink(cbn_path_of("%s.txt", input->file.text).text);
}
