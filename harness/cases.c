/* Loading: folders to files, files to cases. */
#include "harness/cases.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>
#include <xxhash.h>

#include "harness/case_parser.h"
#include "harness/yaml.h"

enum { ARENA_BYTES = 256 << 20, FOLDER_DEPTH = 32, ERRORS_A_FILE = 50 };

typedef struct case_entry {
  const cbn_case *golden;
  UT_hash_handle by_id;
} case_entry;

struct cbn_case_set {
  cbn_arena **arenas; /* one a file */
  size_t files;
  case_entry **entries;
  size_t count, capacity;
  case_entry *table;
  XXH64_hash_t hash;
};

typedef struct loader {
  cbn_case_set *set;
  cbn_problem_sink *sink;
  void *context;
  size_t problems;
} loader;

static void report(loader *l, const cbn_error *error) {
  l->problems++;
  l->sink(l->context, error->text);
}

cbn_case_set *cbn_cases_create(void) { return calloc(1, sizeof(cbn_case_set)); }

void cbn_cases_destroy(cbn_case_set *set) {
  if (set == NULL) return;
  HASH_CLEAR(by_id, set->table);
  for (size_t i = 0; i < set->count; i++) free(set->entries[i]);
  for (size_t i = 0; i < set->files; i++) cbn_arena_destroy(set->arenas[i]);
  free(set->entries);
  free(set->arenas);
  free(set);
}

size_t cbn_cases_count(const cbn_case_set *set) { return set->count; }
const cbn_case *cbn_cases_at(const cbn_case_set *set, size_t i) { return set->entries[i]->golden; }
size_t cbn_cases_files(const cbn_case_set *set) { return set->files; }

const cbn_case *cbn_cases_find(const cbn_case_set *set, const char *id) {
  case_entry *entry;
  HASH_FIND(by_id, set->table, id, strlen(id), entry);
  return entry == NULL ? NULL : entry->golden;
}

void cbn_cases_hash(const cbn_case_set *set, char text[17]) { snprintf(text, 17, "%016" PRIx64, (uint64_t)set->hash); }

/* ---------------------------------------------------------------------------------------------------- a file */

static bool add_case(cbn_case_set *set, const cbn_case *golden, cbn_error *error) {
  const cbn_case *twin = cbn_cases_find(set, golden->id);
  if (twin != NULL)
    CBN_FAIL(error, "%s:%" PRIu32 ":1: duplicate-id: the id %.200s is taken, by %s:%" PRIu32 "; ids are unique",
             golden->file, golden->line, golden->id, twin->file, twin->line);
  if (set->count == set->capacity) {
    const size_t capacity = set->capacity == 0 ? 256 : 2 * set->capacity;
    case_entry **entries = realloc(set->entries, capacity * sizeof *entries);
    CBN_CHECK(entries != NULL, error, "%s: memory: there is none left", golden->file);
    set->entries = entries;
    set->capacity = capacity;
  }
  case_entry *entry = calloc(1, sizeof *entry);
  CBN_CHECK(entry != NULL, error, "%s: memory: there is none left", golden->file);
  entry->golden = golden;
  HASH_ADD_KEYPTR(by_id, set->table, golden->id, strlen(golden->id), entry);
  set->entries[set->count++] = entry;
  return true;
}

static bool keep_arena(cbn_case_set *set, cbn_arena *arena) {
  cbn_arena **arenas = realloc(set->arenas, (set->files + 1) * sizeof *arenas);
  if (arenas == NULL) return false;
  set->arenas = arenas;
  set->arenas[set->files++] = arena;
  return true;
}

/* The hash of a set is that of its files' bytes and of the hash before. */
static void hash_file(cbn_case_set *set, const char *path) {
  FILE *file = fopen(path, "rb");
  XXH64_state_t *state = XXH64_createState();
  char buffer[65536];
  size_t length;
  if (file != NULL && state != NULL && XXH64_reset(state, set->hash) == XXH_OK) {
    while ((length = fread(buffer, 1, sizeof buffer, file)) > 0) XXH64_update(state, buffer, length);
    set->hash = XXH64_digest(state);
  }
  XXH64_freeState(state);
  if (file != NULL) fclose(file);
}

static void load_file(loader *l, const char *path) {
  cbn_error error;
  const cbn_value *root;
  cbn_case_parser parser = {.arena = cbn_arena_create(ARENA_BYTES)};
  if (parser.arena == NULL || !keep_arena(l->set, parser.arena)) {
    cbn_arena_destroy(parser.arena);
    cbn_error_set(&error, "%s: memory: there is none left", path);
    report(l, &error);
    return;
  }
  parser.file = cbn_arena_copy(parser.arena, path, strlen(path));
  if (parser.file == NULL || !cbn_yaml_load(path, &cbn_yaml_default_limits, parser.arena, &root, &error) ||
      !cbn_parse_header(&parser, root, &error)) {
    report(l, &error);
    return;
  }
  hash_file(l->set, path);
  size_t errors = 0;
  for (size_t i = 0; i < parser.case_count && errors < ERRORS_A_FILE; i++) {
    cbn_case *golden = cbn_arena_allocate(parser.arena, sizeof *golden);
    if (golden == NULL) cbn_error_set(&error, "%s: memory: the file needs more than it may", path);
    else if (cbn_parse_case(&parser, i, golden, &error) && add_case(l->set, golden, &error)) continue;
    report(l, &error);
    errors++;
  }
}

/* -------------------------------------------------------------------------------------------------- a folder */

bool cbn_cases_flags_file(const char *path, char found[PATH_MAX]) {
  char folder[PATH_MAX];
  struct stat status;
  if (realpath(path, folder) == NULL) return false;
  for (char *end = folder + strlen(folder); end != NULL; end = strrchr(folder, '/')) {
    *end = '\0';
    if (snprintf(found, PATH_MAX, "%s/flags.yaml", folder) < PATH_MAX && stat(found, &status) == 0) return true;
  }
  return false;
}

static bool is_case_file(const char *name) {
  const char *ending = strrchr(name, '.');
  return ending != NULL && (strcmp(ending, ".yaml") == 0 || strcmp(ending, ".yml") == 0) && name[0] != '.' &&
         strcmp(name, "flags.yaml") != 0;
}

/* Returns the number of case files met. */
static size_t load_folder(loader *l, const char *path, int depth) {
  cbn_error error;
  struct dirent **names;
  const int count = depth > FOLDER_DEPTH ? -1 : scandir(path, &names, NULL, alphasort);
  size_t met = 0;
  if (count < 0) {
    cbn_error_set(&error, "%s: folder: cannot read it: %s", path, depth > FOLDER_DEPTH ? "too deep" : strerror(errno));
    report(l, &error);
    return 1;
  }
  for (int i = 0; i < count; i++) {
    const char *name = names[i]->d_name;
    char *below = NULL;
    struct stat status;
    if (name[0] != '.' && asprintf(&below, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name) > 0) {
      if (lstat(below, &status) == 0 && S_ISDIR(status.st_mode)) {
        met += load_folder(l, below, depth + 1);
      } else if (is_case_file(name)) {
        load_file(l, below);
        met++;
      }
      free(below);
    }
    free(names[i]);
  }
  free(names);
  return met;
}

size_t cbn_cases_load(cbn_case_set *set, const char *path, cbn_problem_sink *sink, void *context) {
  loader l = {.set = set, .sink = sink, .context = context};
  struct stat status;
  cbn_error error;
  if (stat(path, &status) != 0) {
    cbn_yaml_refuse(&error, path, NULL, "file", "cannot read it: %s", strerror(errno));
    report(&l, &error);
  } else if (!S_ISDIR(status.st_mode)) {
    load_file(&l, path);
  } else if (load_folder(&l, path, 0) == 0) {
    cbn_error_set(&error, "%s: no-cases: the folder has no case files (*.yaml)", path);
    report(&l, &error);
  }
  return l.problems;
}

/* ----------------------------------------------------------------------------------------------- a collection */

static bool names_missing(const cbn_case_set *set, const cbn_expectation *e) {
  for (size_t n = 0; n < e->same_count; n++)
    if (cbn_cases_find(set, e->same_as[n]) == NULL) return true;
  for (size_t n = 0; n < e->differs_count; n++)
    if (cbn_cases_find(set, e->differs_from[n]) == NULL) return true;
  return false;
}

/* Do the cases name others that are not loaded? */
static bool needs_collection(const cbn_case_set *set) {
  for (size_t i = 0; i < cbn_cases_count(set); i++) {
    const cbn_case *golden = cbn_cases_at(set, i);
    for (size_t k = 0; k < golden->step_count; k++)
      if (names_missing(set, &golden->steps[k].expect)) return true;
    for (size_t k = 0; k < golden->claim_count; k++)
      if (names_missing(set, &golden->claims[k].expect)) return true;
  }
  return false;
}

static void ignore_problem(void *context, const char *line) {
  (void)context;
  (void)line;
}

cbn_case_set *cbn_cases_collection(const cbn_case_set *set, const char *path) {
  char flags[PATH_MAX];
  if (!needs_collection(set) || !cbn_cases_flags_file(path, flags)) return NULL;
  cbn_case_set *collection = cbn_cases_create();
  *strrchr(flags, '/') = '\0';
  if (collection != NULL) cbn_cases_load(collection, flags, ignore_problem, NULL);
  return collection;
}
