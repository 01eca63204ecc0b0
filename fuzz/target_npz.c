/* Target npz: the bytes as an archive. What is read keeps to the limit, is written, and reads back the same; it is written
 * the same each time; a refusal says why. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/demand.h"
#include "fuzz/targets.h"
#include "harness/npz.h"

static const char *const archive_rules[] = {"npz-archive",  "npz-member", "npz-method", "npz-size",
                                            "npz-checksum", "npz-memory", NULL};
static const char *const member_rules[] = {"npz-archive", "npz-member", "npz-method", "npz-size",  "npz-checksum",
                                           "npz-memory",  "npy-header", "npy-type",   "npy-shape", "npy-size",
                                           "npy-memory",  "npy-value",  NULL};
enum { LIMIT_BYTES = 1 << 16 };
#define NAME "fuzz.npz"

/* Does one of the rules stand here? */
static bool is_rule(const char *text) {
  for (const char *const *rule = member_rules; *rule != NULL; rule++)
    if (strncmp(text, *rule, strlen(*rule)) == 0 && text[strlen(*rule)] == ':') return true;
  return false;
}

/* A message about a member begins with `FILE[NAME]: rule: `, and the name may have brackets. */
static void check_message(const char *text) {
  char name[sizeof((cbn_error *)0)->text];
  const char *end = text;
  if (strncmp(text, NAME "[", strlen(NAME "[")) != 0) {
    cbn_demand_message(text, NAME, archive_rules);
    return;
  }
  do {
    end = strstr(end + 1, "]: ");
    CBN_DEMAND(end != NULL, "a message about a member without a rule: %s", text);
  } while (!is_rule(end + 3));
  snprintf(name, sizeof name, "%.*s", (int)(end + 1 - text), text);
  cbn_demand_message(text, name, member_rules);
}

static bool read_archive(const void *bytes, size_t size, cbn_npz *npz) {
  cbn_error error;
  if (cbn_npz_read_memory(NAME, bytes, size, LIMIT_BYTES, npz, &error)) return true;
  CBN_DEMAND(npz->count == 0 && npz->members == NULL, "an archive that is refused leaves tensors");
  check_message(error.text);
  return false;
}

static void check_members(const cbn_npz *npz) {
  int64_t left = LIMIT_BYTES;
  for (size_t i = 0; i < npz->count; i++) {
    const cbn_npz_member *member = &npz->members[i];
    CBN_DEMAND(strlen(member->name) < sizeof member->name && member->name[0] != '\0', "a member without a name");
    CBN_DEMAND(cbn_npz_find(npz, member->name) == &member->tensor, "two members of one name");
    left -= cbn_tensor_bytes(&member->tensor);
  }
  CBN_DEMAND(left >= 0, "tensors beyond the limit");
}

static bool same_number(double a, double b) {
  return (a == b && signbit(a) == signbit(b)) || (isnan(a) && isnan(b)); /* a NaN's payload is not promised */
}

static bool same_members(const cbn_npz_member *a, const cbn_npz_member *b) {
  const cbn_tensor *x = &a->tensor, *y = &b->tensor;
  if (strcmp(a->name, b->name) != 0 || x->type != y->type || x->rank != y->rank) return false;
  if (memcmp(x->extent, y->extent, (size_t)x->rank * sizeof *x->extent) != 0) return false;
  for (int64_t i = 0; i < cbn_tensor_count(x); i++)
    if (!same_number(cbn_tensor_get(x, i), cbn_tensor_get(y, i))) return false;
  return true;
}

struct written {
  char *bytes;
  size_t size;
};

static struct written write_archive(const cbn_npz *npz) {
  struct written written = {0};
  FILE *file = open_memstream(&written.bytes, &written.size);
  CBN_DEMAND(file != NULL && cbn_npz_write_open(file, npz), "tensors that were read are not written");
  fclose(file);
  return written;
}

void cbn_fuzz_npz(const cbn_target *target, const uint8_t *bytes, size_t size) {
  cbn_npz npz, again;
  (void)target;
  if (!read_archive(bytes, size, &npz)) return;
  check_members(&npz);
  const struct written first = write_archive(&npz);
  CBN_DEMAND(read_archive(first.bytes, first.size, &again), "an archive that was written is refused");
  CBN_DEMAND(again.count == npz.count, "an archive comes back with other members");
  for (size_t i = 0; i < npz.count; i++)
    CBN_DEMAND(same_members(&npz.members[i], &again.members[i]), "a member comes back as another one");
  const struct written second = write_archive(&again);
  CBN_DEMAND(first.size == second.size && memcmp(first.bytes, second.bytes, first.size) == 0,
             "the same tensors are written in another way the second time");
  free(first.bytes);
  free(second.bytes);
  cbn_npz_release(&npz);
  cbn_npz_release(&again);
}
