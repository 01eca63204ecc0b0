#include "harness/results.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PROGRAM "convbn " CBN_VERSION

void cbn_shell_quote(const char *word, char *text, size_t size) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_-+=:,./";
  if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
    snprintf(text, size, "%s", word);
    return;
  }
  size_t length = 0;
  if (length + 1 < size) text[length++] = '\'';
  for (; *word != '\0' && length + 6 < size; word++) {
    if (*word == '\'') length += (size_t)snprintf(text + length, size - length, "'\\''");
    else text[length++] = *word;
  }
  if (length + 1 < size) text[length++] = '\'';
  text[length] = '\0';
}

void cbn_print_program(char *text, size_t size) {
  const char *script = getenv("CONVBN_STARTED_AS");
  const bool by_script = script != NULL && script[0] != '\0';
  cbn_shell_quote(by_script ? script : program_invocation_name, text, size);
  const size_t length = strlen(text);
  if (!by_script) snprintf(text + length, size - length, " run");
}

void cbn_replay_line(const cbn_case *golden, const char *engine, uint64_t seed, char *text, size_t size) {
  char program[512], file[512], name[512], id[512];
  cbn_print_program(program, sizeof program);
  cbn_shell_quote(golden->file, file, sizeof file);
  cbn_shell_quote(golden->id, id, sizeof id);
  cbn_shell_quote(engine, name, sizeof name);
  const int length = snprintf(text, size, "%s %s -k %s --engine %s%s", program, file, id, name,
                              cbn_case_is_large(golden) ? " --large" : "");
  if (seed != 0 && length > 0 && (size_t)length < size)
    snprintf(text + length, size - (size_t)length, " --seed %llu", (unsigned long long)seed);
}

/* ------------------------------------------------------------------------------------------------------ numbers */

/* JSON has no infinities and no NaN: they are strings. */
static json_t *number(double x) {
  if (isnan(x)) return json_string("nan");
  if (isinf(x)) return json_string(x > 0 ? "inf" : "-inf");
  return json_real(x);
}

static json_t *optional(double x) { return isnan(x) ? json_null() : number(x); }

/* Text of any bytes; what is not UTF-8 becomes '?'. */
static json_t *text_of(const char *text) {
  if (text == NULL) return json_null();
  json_t *string = json_string(text);
  if (string != NULL) return string;
  char *clean = strdup(text);
  for (char *c = clean; clean != NULL && *c != '\0'; c++)
    if (*c & 0x80) *c = '?';
  string = clean != NULL ? json_string(clean) : NULL;
  free(clean);
  return string;
}

static json_t *numbers(const double *values, int count) {
  json_t *array = json_array();
  for (int i = 0; i < count; i++) json_array_append_new(array, number(values[i]));
  return array;
}

static json_t *integers(const int64_t *values, int32_t count) {
  json_t *array = json_array();
  for (int32_t i = 0; i < count; i++) json_array_append_new(array, json_integer(values[i]));
  return array;
}

/* ------------------------------------------------------------------------------------------------------- cases */

static json_t *map_json(const cbn_map *map) {
  if (map == NULL) return json_null();
  const int cells = map->rows * map->columns;
  return json_pack("{s:o, s:o, s:i, s:i, s:o, s:o, s:o}", "axes", text_of(map->axes), "origin",
                   integers(map->origin, 2), "rows", map->rows, "columns", map->columns, "expected",
                   numbers(map->expected, cells), "actual", numbers(map->actual, cells), "share",
                   numbers(map->share, cells));
}

static json_t *tensor_json(const cbn_tensor_result *t) {
  const bool any = t->elements > 0;
  return json_pack("{s:s, s:o, s:I, s:I, s:I, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "role", cbn_role_name(t->role),
                   "shape", integers(t->shape.extent, t->shape.rank), "elements", (json_int_t)t->elements, "outside",
                   (json_int_t)t->outside, "inconclusive", (json_int_t)t->inconclusive, "sampled", t->sampled,
                   "error_over_bound", any ? number(t->share) : json_null(), "worst",
                   any ? integers(t->worst, t->shape.rank) : json_null(), "expected",
                   any ? number(t->expected) : json_null(), "actual", any ? number(t->actual) : json_null(), "bound",
                   any ? number(t->bound) : json_null(), "suspicion",
                   t->suspicion.suspicious ? text_of(t->suspicion.sentence) : json_null(), "map", map_json(t->map));
}

static json_t *steps_json(const cbn_case_result *r) {
  json_t *steps = json_array();
  for (size_t i = 0; r->steps != NULL && i < r->golden->step_count; i++) {
    json_t *tensors = json_array();
    for (int k = 0; k < r->steps[i].tensor_count; k++)
      json_array_append_new(tensors, tensor_json(&r->steps[i].tensor[k]));
    json_array_append_new(steps, json_pack("{s:o, s:o}", "mode", text_of(r->steps[i].mode), "tensors", tensors));
  }
  return steps;
}

static json_t *claims_json(const cbn_case_result *r) {
  json_t *claims = json_array();
  for (size_t i = 0; r->claims_checked && i < r->golden->claim_count; i++) {
    const cbn_claim *claim = &r->golden->claims[i];
    json_array_append_new(
        claims, json_pack("{s:o, s:o, s:s, s:o, s:b, s:o, s:o}", "document", text_of(claim->document), "claim",
                          text_of(claim->text), "status", claim->refuted ? "refuted" : "confirmed", "by",
                          text_of(claim->by), "holds", r->claims[i].holds, "expected", text_of(r->claims[i].expected),
                          "observed", text_of(r->claims[i].observed)));
  }
  return claims;
}

static json_t *upstream_json(const cbn_case_result *r) {
  json_t *notes = json_array();
  for (size_t i = 0; r->claims_checked && i < r->golden->upstream_count; i++)
    json_array_append_new(notes, json_pack("{s:o, s:o, s:b}", "engine", text_of(r->golden->upstream[i].engine), "note",
                                           text_of(r->golden->upstream[i].note), "holds", r->upstream_holds[i]));
  return notes;
}

static json_t *flags_json(const cbn_case *golden) {
  json_t *flags = json_array();
  for (size_t i = 0; i < golden->flag_count; i++) json_array_append_new(flags, text_of(golden->flags[i]));
  return flags;
}

static json_t *case_json(const cbn_case_result *r, const cbn_provenance *provenance) {
  const cbn_case *g = r->golden;
  char params[2000] = "{}", replay[CBN_REPLAY_BYTES];
  if (g->params != NULL) cbn_value_print(g->params, params, sizeof params);
  cbn_replay_line(g, provenance->engine, provenance->seed, replay, sizeof replay);
  return json_pack(
      "{s:o, s:o, s:i, s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:f, s:f, s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:s, s:b, "
      "s:I, s:o, "
      "s:o, s:o}",
      "id", text_of(g->id), "file", text_of(g->file), "line", (int)g->line, "dialect", g->dialect->name, "operator",
      g->operator->name, "source", text_of(g->source), "comment", text_of(g->comment), "flags", flags_json(g),
      "verdict", cbn_verdict_name(r->verdict), "sentence", text_of(r->sentence), "error_over_bound", optional(r->share),
      "seconds", r->seconds, "engine_seconds", r->engine_seconds, "partly", r->partly, "suspicious", r->suspicious,
      "vacuous", r->vacuous, "exact", r->exact, "rule", text_of(r->rule), "params", text_of(params), "replay",
      text_of(replay), "layout", cbn_layout_name(g->layout), "in_place", g->in_place, "work", (json_int_t)r->work,
      "documented", claims_json(r), "upstream", upstream_json(r), "steps", steps_json(r));
}

/* -------------------------------------------------------------------------------------------------------- run */

static json_t *summary_json(const cbn_run *run) {
  json_int_t counts[CBN_VERDICT_COUNT] = {0}, cases = 0;
  for (size_t i = 0; i < run->count; i++) {
    if (run->results[i].golden == NULL) continue;
    counts[run->results[i].verdict]++;
    cases++;
  }
  json_t *summary = json_pack("{s:I}", "cases", cases);
  for (int v = 0; v < CBN_VERDICT_COUNT; v++)
    json_object_set_new(summary, cbn_verdict_name((enum cbn_verdict)v), json_integer(counts[v]));
  return summary;
}

/* "AMD EPYC ...", as the kernel says. */
static void processor_name(char *text, size_t size) {
  snprintf(text, size, "unknown");
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[512];
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
    colon[strcspn(colon, "\n")] = '\0';
    snprintf(text, size, "%s", colon + 1 + strspn(colon + 1, " "));
    break;
  }
  if (file != NULL) fclose(file);
}

/* The names of the arithmetic classes that an engine declares. */
static json_t *arithmetic_json(uint32_t classes) {
  json_t *names = json_array();
  for (int bit = 0; cbn_arithmetic_name(bit) != NULL; bit++)
    if (classes >> bit & 1) json_array_append_new(names, json_string(cbn_arithmetic_name(bit)));
  return names;
}

static json_t *environment_json(const cbn_run *run, const cbn_provenance *p) {
  char processor[256], system[512];
  struct utsname name;
  processor_name(processor, sizeof processor);
  snprintf(system, sizeof system, "unknown");
  if (uname(&name) == 0)
    snprintf(system, sizeof system, "%.80s %.120s %.80s", name.sysname, name.release, name.machine);
  json_t *engine = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", text_of(run->identity.name), "version",
                             text_of(run->identity.version), "description", text_of(run->identity.description), "spec",
                             text_of(p->engine), "arithmetic", arithmetic_json(run->identity.arithmetic),
                             "zero_padding", text_of(cbn_run_zero_padding(run)));
  return json_pack("{s:s, s:o, s:s, s:f, s:o, s:o, s:s, s:i, s:o, s:o, s:s}", "program", PROGRAM, "engine", engine,
                   "started", p->started, "seconds", run->seconds, "cpu", text_of(processor), "os", text_of(system),
                   "compiler", __VERSION__, "jobs", p->jobs, "seed",
                   p->seed == 0 ? json_null() : json_integer((json_int_t)p->seed), "command", text_of(p->command),
                   "cases_hash", p->cases_hash);
}

json_t *cbn_results_json(const cbn_run *run, const cbn_provenance *provenance) {
  json_t *cases = json_array();
  for (size_t i = 0; i < run->count; i++)
    if (run->results[i].golden != NULL) json_array_append_new(cases, case_json(&run->results[i], provenance));
  return json_pack("{s:i, s:o, s:o, s:o}", "format", 1, "summary", summary_json(run), "environment",
                   environment_json(run, provenance), "cases", cases);
}

bool cbn_write_file(const char *path, const char *text, size_t length, cbn_error *error) {
  char partial[4096];
  struct stat status;
  const bool special =
      stat(path, &status) == 0 && !S_ISREG(status.st_mode); /* a device or a pipe: written to, not replaced */
  CBN_CHECK(snprintf(partial, sizeof partial, "%s%s", path, special ? "" : ".partial") < (int)sizeof partial, error,
            "%.200s: the path is too long", path);
  FILE *file = fopen(partial, "wb");
  CBN_CHECK(file != NULL, error, "%s: cannot write it: %s", path, strerror(errno));
  bool written = fwrite(text, 1, length, file) == length && fflush(file) == 0;
  int cause = errno;
  written = fclose(file) == 0 && written;
  if (written && (special || rename(partial, path) == 0)) return true;
  if (written) cause = errno;
  if (!special) unlink(partial);
  CBN_FAIL(error, "%s: cannot write it: %s", path, strerror(cause));
}
