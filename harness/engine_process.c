/* The program's side of an engine's process: start it, talk to it, watch it, bury it. */
#define _GNU_SOURCE 1
#include "harness/engine_process.h"

#include <convbn/operator.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/call_memory.h"
#include "harness/child_process.h"
#include "harness/engine_list.h"
#include "harness/frames.h"

enum { LONGEST_SPEC = 8192 }; /* bytes of an engine's name and options */

struct cbn_engine_process {
  char *spec, *host, *path, *options;
  cbn_engine_limits limits;
  cbn_engine_identity identity;
  int64_t sequence; /* of the last request */
  cbn_shared_memory memory;
  bool knows_memory; /* the child has been sent the memory's descriptor as it is now */
  cbn_child child;
};

/* ---------------------------------------------------------------------------------------------------------- names */

const char *const *cbn_engine_names(void) {
  static const char *const names[] = {
#define NAME_ENTRY(name, sentence) #name,
      CBN_ENGINES(NAME_ENTRY)
#undef NAME_ENTRY
          NULL};
  return names;
}

/* The path of convbn-host: the environment's CONVBN_HOST, else beside this program. */
static bool find_host(char path[PATH_MAX], cbn_error *error) {
  const char *chosen = getenv("CONVBN_HOST");
  if (chosen != NULL && *chosen != '\0') {
    CBN_CHECK(snprintf(path, PATH_MAX, "%s", chosen) < PATH_MAX, error, "CONVBN_HOST is too long for a path");
    return true;
  }
  static const char program[] = "convbn-host";
  const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof program);
  CBN_CHECK(length > 0, error, "/proc/self/exe cannot be read: %m");
  path[length] = '\0';
  memcpy(strrchr(path, '/') + 1, program, sizeof program);
  return true;
}

static bool is_engine_name(const char *name) {
  for (const char *const *known = cbn_engine_names(); *known != NULL; known++) {
    if (strcmp(*known, name) == 0) return true;
  }
  return false;
}

/* The path of a named engine: ../lib/convbn/engines/NAME.so, seen from the host's directory. */
static bool find_engine(const char *host, const char *name, char path[PATH_MAX], cbn_error *error) {
  const char *slash = strrchr(host, '/');
  const int directory = slash != NULL ? (int)(slash - host) : 1;
  const int length =
      snprintf(path, PATH_MAX, "%.*s/../lib/convbn/engines/%s.so", directory, slash != NULL ? host : ".", name);
  CBN_CHECK(length < PATH_MAX, error, "engine '%.64s...': the name is too long", name);
  if (access(path, R_OK) == 0) return true;
  CBN_CHECK(!is_engine_name(name), error, "engine '%s' is not installed: there is no %s", name, path);
  char known[256] = "";
  for (const char *const *each = cbn_engine_names(); *each != NULL; each++) {
    const size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", *each);
  }
  CBN_FAIL(error,
           "there is no engine '%s': the program comes with %s; a shared object is named by a path that holds a '/'",
           name, known);
}

/* True for what fits into a frame. */
static bool is_text(const char *spec) {
  json_t *string = strlen(spec) <= LONGEST_SPEC ? json_string(spec) : NULL;
  const bool fits = string != NULL;
  json_decref(string);
  return fits;
}

/* Splits `NAME[:OPTIONS]` or `PATH[:OPTIONS]` at the first colon. */
static bool resolve(cbn_engine_process *process, const char *spec, cbn_error *error) {
  char host[PATH_MAX], path[PATH_MAX];
  CBN_FORWARD(find_host(host, error));
  CBN_CHECK(access(host, X_OK) == 0, error, "%.512s cannot be run: %m", host);
  const char *colon = strchrnul(spec, ':');
  const size_t length = (size_t)(colon - spec);
  CBN_CHECK(length > 0, error, "an engine is a name or the path of a shared object, not ''");
  CBN_CHECK(length < PATH_MAX - 1, error, "engine '%.64s...': the path is too long", spec);
  memcpy(path, spec, length);
  path[length] = '\0';
  if (strchr(path, '/') == NULL) {
    char name[PATH_MAX];
    memcpy(name, path, length + 1);
    CBN_FORWARD(find_engine(host, name, path, error));
  }
  CBN_CHECK(access(path, R_OK) == 0, error, "engine '%s' cannot be read: %m", path);
  CBN_CHECK(is_text(spec), error, "the name and the options of an engine are UTF-8 text of at most %d bytes",
            LONGEST_SPEC);
  process->spec = strdup(spec);
  process->host = strdup(host);
  process->path = strdup(path);
  process->options = strdup(*colon == ':' ? colon + 1 : "");
  CBN_CHECK(process->spec != NULL && process->host != NULL && process->path != NULL && process->options != NULL, error,
            "no memory");
  return true;
}

/* --------------------------------------------------------------------------------------------------- conversation */

/* A descendant of a child that has ended may still have the memory: the next child gets another. */
static void forget_memory(cbn_engine_process *process) {
  cbn_shared_memory_release(&process->memory);
  process->knows_memory = false;
}

static json_t *request(cbn_engine_process *process, const char *verb) {
  json_t *header = json_object();
  json_object_set_new_nocheck(header, "verb", json_string(verb));
  json_object_set_new_nocheck(header, "sequence", json_integer(++process->sequence));
  return header;
}

/* Sends a request, releases it, and waits for the answer to it. */
static enum cbn_outcome converse(cbn_engine_process *process, json_t *header, int descriptor, double timeout,
                                 json_t **answer) {
  /* A process that does not take the request has ended or will be late: the wait tells which. */
  cbn_frame_send(process->child.socket, header, descriptor, MSG_DONTWAIT);
  json_decref(header);
  const enum cbn_outcome outcome = cbn_child_await(&process->child, timeout, answer);
  if (outcome != CBN_ANSWERED) return outcome;
  const json_t *sequence = json_object_get(*answer, "sequence");
  if (json_is_integer(sequence) && json_integer_value(sequence) == process->sequence) return CBN_ANSWERED;
  json_decref(*answer);
  *answer = NULL;
  return CBN_GARBAGE;
}

/* Ends the child after such an outcome. */
static cbn_obituary end(cbn_engine_process *process, enum cbn_outcome outcome, double timeout) {
  const cbn_obituary obituary = cbn_child_end(&process->child, outcome, timeout);
  forget_memory(process);
  return obituary;
}

static bool says(const json_t *answer, const char *verb) {
  const char *said = json_string_value(json_object_get(answer, "verb"));
  return said != NULL && strcmp(said, verb) == 0;
}

/* Copies a text of the engine's: one line, cut to what fits. False where there is none. */
static bool copy_text(char *to, size_t size, const json_t *answer, const char *key) {
  const char *text = json_string_value(json_object_get(answer, key));
  if (text == NULL) return false;
  cbn_error line;
  cbn_error_set(&line, "%.*s", (int)size - 1, text);
  snprintf(to, size, "%.*s", (int)size - 1, line.text);
  return true;
}

/* A word of bits; 0 where the answer does not have it. */
static bool read_bits(const json_t *answer, const char *key, uint32_t *bits) {
  const json_t *value = json_object_get(answer, key);
  *bits = 0;
  if (value == NULL) return true;
  if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX) return false;
  *bits = (uint32_t)json_integer_value(value);
  return true;
}

static bool read_identity(const json_t *answer, cbn_engine_identity *identity) {
  return json_object_get(answer, "arithmetic") != NULL && read_bits(answer, "arithmetic", &identity->arithmetic) &&
         read_bits(answer, "abilities", &identity->abilities) &&
         copy_text(identity->name, sizeof identity->name, answer, "name") &&
         copy_text(identity->version, sizeof identity->version, answer, "version") &&
         copy_text(identity->description, sizeof identity->description, answer, "description");
}

/* Takes the answer to a start frame. */
static bool introduce(cbn_engine_process *process, const json_t *answer, cbn_error *error) {
  if (says(answer, CBN_VERB_FAILED)) {
    char reason[768];
    if (!copy_text(reason, sizeof reason, answer, "message")) *reason = '\0';
    CBN_FAIL(error, "engine '%.200s': %s", process->spec, reason);
  }
  CBN_CHECK(says(answer, CBN_VERB_DESCRIBE) && read_identity(answer, &process->identity), error,
            "engine '%.200s': its process spoke garbage", process->spec);
  int known = 0;
  while (cbn_arithmetic_name(known) != NULL) known++;
  CBN_CHECK(
      process->identity.arithmetic >> known == 0, error,
      "engine '%.200s' declares an arithmetic class that this program does not know and cannot judge (bits 0x%" PRIx32
      ")",
      process->spec, process->identity.arithmetic);
  return true;
}

/* Starts the process and hears its description. On failure nothing is left running. */
static bool launch(cbn_engine_process *process, cbn_error *error) {
  CBN_FORWARD(cbn_child_spawn(&process->child, process->host, error));
  json_t *header = request(process, CBN_VERB_START), *answer;
  json_object_set_new_nocheck(header, "protocol", json_integer(CBN_PROTOCOL_VERSION));
  json_object_set_new_nocheck(header, "engine", json_string(process->path));
  json_object_set_new_nocheck(header, "options", json_string(process->options));
  const double timeout = process->limits.start_seconds;
  const enum cbn_outcome outcome = converse(process, header, -1, timeout, &answer);
  if (outcome != CBN_ANSWERED) {
    const cbn_obituary obituary = end(process, outcome, timeout);
    CBN_FAIL(error, "engine '%.200s' does not start: %s", process->spec, obituary.text);
  }
  const bool introduced = introduce(process, answer, error);
  json_decref(answer);
  if (!introduced) cbn_child_bury(&process->child);
  return introduced;
}

/* ---------------------------------------------------------------------------------------------------------- calls */

static json_t *run_request(cbn_engine_process *process, const cbn_call *call, const cbn_call_memory *plan) {
  json_t *header = request(process, CBN_VERB_RUN), *tensors = json_object();
  const bool conv = call->conv != NULL;
  json_object_set_new_nocheck(header, "operator", json_string(conv ? "conv" : "batchnorm"));
  json_object_set_new_nocheck(header, "parameters",
                              conv ? cbn_conv_to_json(call->conv) : cbn_batchnorm_to_json(call->batchnorm));
  json_object_set_new_nocheck(header, "threads", json_integer(call->threads > 0 ? call->threads : 1));
  json_object_set_new_nocheck(header, "memory", json_integer((json_int_t)process->memory.size));
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_place *place = cbn_call_memory_place(plan, role);
    if (place->tensor == NULL) continue;
    json_object_set_new_nocheck(tensors, cbn_role_name(role), cbn_tensor_to_json(place->tensor, (int64_t)place->zero));
  }
  json_object_set_new_nocheck(header, "tensors", tensors);
  return header;
}

/* Takes the answer to a run frame: the status, the engine's words, its time, and a changed environment as a verdict. */
static bool read_run_answer(const json_t *frame, cbn_engine_answer *answer) {
  const char *status = json_string_value(json_object_get(frame, "status"));
  const json_t *seconds = json_object_get(frame, "seconds");
  char environment[128];
  if (!says(frame, CBN_VERB_ANSWER) || status == NULL || cbn_status_by_name(status) < 0 || !json_is_number(seconds) ||
      !copy_text(answer->message, sizeof answer->message, frame, "message") ||
      !copy_text(environment, sizeof environment, frame, "environment")) {
    return false;
  }
  answer->status = (enum cbn_status)cbn_status_by_name(status);
  answer->seconds = fmax(0, json_number_value(seconds));
  if (*environment != '\0') {
    answer->verdict = CBN_VERDICT_FP_ENVIRONMENT;
    snprintf(answer->message, sizeof answer->message, "the call leaves changed: %s", environment);
  }
  return true;
}

/* "output", or "output[0, 3]" where an element is known. */
static void name_place(char *text, size_t size, const cbn_call_memory *plan, const cbn_damage *damage) {
  const cbn_tensor *tensor = plan->place[damage->role].tensor;
  int used = snprintf(text, size, "%s", cbn_role_name(damage->role));
  if (damage->element < 0) return;
  int64_t index[CBN_MAX_RANK];
  cbn_unravel(tensor->rank, tensor->extent, damage->element, index);
  for (int32_t axis = 0; axis < tensor->rank; axis++) {
    used += snprintf(text + used, size - (size_t)used, "%s%" PRId64, axis == 0 ? "[" : ", ", index[axis]);
  }
  snprintf(text + used, size - (size_t)used, "]");
}

/* Ranks a damage above what the answer holds so far, and puts it in words. */
static void report(cbn_engine_answer *answer, const cbn_call_memory *plan, cbn_damage damage) {
  if (damage.verdict == CBN_VERDICT_PASS) return;
  answer->verdict = damage.verdict;
  answer->role = damage.role;
  answer->element = damage.element;
  const char *before = damage.verdict == CBN_VERDICT_OUT_OF_BOUNDS      ? "writes outside of "
                       : damage.verdict == CBN_VERDICT_INPUT_MODIFIED   ? "changes "
                       : damage.verdict == CBN_VERDICT_NONDETERMINISTIC ? "the same call gives different bits in "
                                                                        : "does not write ";
  char place[192] = "the tensors";
  if (damage.role >= 0) name_place(place, sizeof place, plan, &damage);
  snprintf(answer->message, sizeof answer->message, "%s%s", before, place);
}

/* One run of a planned and filled call, which `header` asks for. False where the process did not survive it. */
static bool run_once(cbn_engine_process *process, json_t *header, double timeout, cbn_engine_answer *answer) {
  const int descriptor = process->knows_memory ? -1 : process->memory.descriptor;
  json_t *frame;
  enum cbn_outcome outcome = converse(process, header, descriptor, timeout, &frame);
  if (outcome == CBN_ANSWERED && !read_run_answer(frame, answer)) outcome = CBN_GARBAGE;
  json_decref(frame);
  if (outcome == CBN_ANSWERED) {
    process->knows_memory = true;
    return true;
  }
  const cbn_obituary obituary = end(process, outcome, timeout);
  answer->status = CBN_ERROR;
  answer->verdict = obituary.verdict;
  snprintf(answer->message, sizeof answer->message, "%s", obituary.text);
  return false;
}

/* The second run, against the results of the first, which the caller's tensors and `updated` hold. */
static bool run_again(cbn_engine_process *process, const cbn_call_memory *plan, double timeout,
                      const unsigned char *updated, cbn_engine_answer *answer) {
  cbn_engine_answer second = *answer;
  cbn_call_memory_fill(plan, process->memory.base, 1);
  if (!run_once(process, request(process, CBN_VERB_AGAIN), timeout, &second)) {
    *answer = second;
    return false;
  }
  if (second.status != answer->status) {
    second.verdict = CBN_VERDICT_NONDETERMINISTIC;
    second.status = answer->status;
    snprintf(second.message, sizeof second.message, "the same call is answered '%s' and then not",
             cbn_status_name((int)answer->status));
  } else {
    report(&second, plan, cbn_call_memory_compare(plan, process->memory.base, updated));
    report(&second, plan, cbn_call_memory_check(plan, process->memory.base));
  }
  second.seconds = fmin(second.seconds, answer->seconds);
  *answer = second;
  return true;
}

/* Runs, checks and delivers. The later a check, the graver what it reports: it has the last word. */
static void run_planned(cbn_engine_process *process, const cbn_call *call, const cbn_call_memory *plan, double timeout,
                        bool repeat, unsigned char *updated, cbn_engine_answer *answer) {
  unsigned char *base = process->memory.base;
  process->child.words_size = 0;
  cbn_call_memory_fill(plan, base, 0);
  if (!run_once(process, run_request(process, call, plan), timeout, answer)) return;
  if (answer->status == CBN_OK) {
    const cbn_damage check = cbn_call_memory_check(plan, base), gaps = cbn_call_memory_collect(plan, base, updated);
    const bool clean =
        answer->verdict == CBN_VERDICT_PASS && check.verdict == CBN_VERDICT_PASS && gaps.verdict == CBN_VERDICT_PASS;
    if (clean && repeat) {
      if (!run_again(process, plan, timeout, updated, answer)) return;
    } else {
      report(answer, plan, cbn_call_memory_unwritten(plan));
      report(answer, plan, check);
      report(answer, plan, gaps);
    }
    cbn_call_memory_deliver(plan, updated);
  } else {
    report(answer, plan, cbn_call_memory_check(plan, base));
  }
  cbn_shared_memory_trim(&process->memory);
}

/* What the program itself lacks is not the engine's fault. */
static void give_up(cbn_engine_answer *answer, enum cbn_verdict verdict, const char *what) {
  answer->status = CBN_ERROR;
  answer->verdict = verdict;
  snprintf(answer->message, sizeof answer->message, "%.*s", (int)sizeof answer->message - 1, what);
}

void cbn_engine_run(cbn_engine_process *process, const cbn_call *call, double timeout_seconds, bool repeat,
                    cbn_engine_answer *answer) {
  *answer = (cbn_engine_answer){.status = CBN_ERROR, .verdict = CBN_VERDICT_PASS, .role = -1, .element = -1};
  cbn_error error;
  cbn_call_memory plan;
  if ((call->conv == NULL) == (call->batchnorm == NULL)) {
    give_up(answer, CBN_VERDICT_INCONCLUSIVE, "the call does not describe one operator");
    return;
  }
  if (!cbn_call_memory_plan(&plan, call, &error)) {
    give_up(answer, CBN_VERDICT_INCONCLUSIVE, error.text);
    return;
  }
  if (process->child.pid == 0 && !launch(process, &error)) {
    give_up(answer, CBN_VERDICT_CRASH, error.text);
    return;
  }
  const size_t mapped = process->memory.size;
  unsigned char *updated = malloc(plan.updated_size + 1);
  if (updated == NULL || !cbn_shared_memory_reserve(&process->memory, plan.size, &error)) {
    give_up(answer, CBN_VERDICT_INCONCLUSIVE, updated == NULL ? "no memory for the running statistics" : error.text);
  } else {
    if (process->memory.size != mapped) process->knows_memory = false;
    process->child.shared_bytes = (int64_t)process->memory.size;
    run_planned(process, call, &plan, timeout_seconds, repeat, updated, answer);
  }
  free(updated);
}

/* ----------------------------------------------------------------------------------------------- start and stop */

cbn_engine_process *cbn_engine_start(const char *spec, const cbn_engine_limits *limits, cbn_error *error) {
  cbn_engine_process *process = malloc(sizeof *process);
  if (process == NULL) {
    cbn_error_set(error, "no memory");
    return NULL;
  }
  memset(process, 0, offsetof(cbn_engine_process, child));
  cbn_child_clear(&process->child);
  process->memory.descriptor = -1;
  process->limits = *limits;
  process->child.memory_limit = limits->memory_bytes;
  if (resolve(process, spec, error) && launch(process, error)) return process;
  cbn_engine_stop(process);
  return NULL;
}

void cbn_engine_stop(cbn_engine_process *process) {
  if (process == NULL) return;
  if (process->child.pid > 0) {
    json_t *header = request(process, CBN_VERB_STOP);
    if (cbn_frame_send(process->child.socket, header, -1, MSG_DONTWAIT)) cbn_child_wait(&process->child);
    json_decref(header);
  }
  cbn_child_bury(&process->child);
  cbn_shared_memory_release(&process->memory);
  free(process->spec);
  free(process->host);
  free(process->path);
  free(process->options);
  free(process);
}

const cbn_engine_identity *cbn_engine_identify(const cbn_engine_process *process) { return &process->identity; }
