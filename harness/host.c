/* convbn-host: the process that an engine under test lives in. It loads one plug-in and answers one frame at a time
 * until it is told to stop or the program that started it is gone. docs/engine-protocol.md describes the
 * conversation. */
#define _GNU_SOURCE 1
#include <convbn/engine.h>
#include <convbn/tensor.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "harness/frames.h"
#include "harness/plug_in.h"

enum { FIRST_PRIVATE_DESCRIPTOR = 64, MESSAGE_SIZE = 512, EXIT_USAGE = 2, EXIT_CONVERSATION = 3 };

typedef struct host {
  int socket;
  pid_t self;
  unsigned char *memory; /* shared with the program; NULL before the first call */
  int64_t memory_size;
  cbn_engine *engine;
  char *options; /* the engine may keep a pointer to them */
  json_t *last;  /* the last run frame */
  cbn_frame_buffer buffer;
} host;

/* ---------------------------------------------------------------------------------------------------- the process */

/* A crash leaves no core file; if memory runs out, this process is the one to end. */
static void be_expendable(void) {
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  const int adjustment = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (adjustment < 0) return;
  (void)!write(adjustment, "1000", 4);
  close(adjustment);
}

/* Moves a descriptor to where engines do not expect one, and keeps it from the programs that they start. */
static int make_private(int descriptor) {
  const int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, FIRST_PRIVATE_DESCRIPTOR);
  if (moved >= 0) close(descriptor);
  return moved;
}

/* Lets the kernel kill this process group when the other end of the pipe closes, whatever the engine is doing then.
 * (The parent-death signal would come when the thread ends that started the process.) */
static void hold_lifeline(void) {
  struct stat status;
  if (fstat(CBN_LIFELINE_DESCRIPTOR, &status) != 0 || !S_ISFIFO(status.st_mode)) return;
  const int lifeline = make_private(CBN_LIFELINE_DESCRIPTOR);
  if (lifeline < 0) return;
  fcntl(lifeline, F_SETOWN, getpgrp() == getpid() ? -getpid() : getpid());
  fcntl(lifeline, F_SETSIG, SIGKILL);
  fcntl(lifeline, F_SETFL, O_RDONLY | O_ASYNC | O_NONBLOCK);
  struct pollfd hangup = {.fd = lifeline};
  if (poll(&hangup, 1, 0) == 1 && (hangup.revents & POLLHUP) != 0) _exit(0);
}

/* What an engine prints is of no interest to the conversation. */
static void silence_output(void) {
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null >= 0) dup2(null, STDOUT_FILENO);
  if (null > STDERR_FILENO) close(null);
}

/* --------------------------------------------------------------------------------------------------------- frames */

/* A text of the engine's, whatever its bytes. */
static json_t *text_to_json(const char *text, size_t most) {
  if (text == NULL) return json_string("");
  const size_t length = strnlen(text, most);
  json_t *string = json_stringn(text, length);
  if (string != NULL) return string;
  char ascii[1024];
  size_t kept = 0;
  for (; kept < length && kept < sizeof ascii; kept++)
    ascii[kept] = (unsigned char)text[kept] < 0x80 ? text[kept] : '?';
  return json_stringn(ascii, kept);
}

static json_t *reply(const json_t *request, const char *verb) {
  json_t *header = json_object();
  json_object_set_new(header, "verb", json_string(verb));
  json_object_set(header, "sequence", json_object_get(request, "sequence"));
  return header;
}

/* Sends the header and releases it. */
static void send_reply(const host *h, json_t *header) {
  if (!cbn_frame_send(h->socket, header, -1, 0)) _exit(EXIT_CONVERSATION);
  json_decref(header);
}

/* The next frame; NULL at the end of the conversation. */
static json_t *next_frame(host *h) {
  for (;;) {
    json_t *header;
    switch (cbn_frame_take(&h->buffer, &header)) {
    case CBN_FRAME_WHOLE: return header;
    case CBN_FRAME_BROKEN: return NULL;
    case CBN_FRAME_PARTIAL: break;
    }
    const ssize_t received = cbn_frame_receive(h->socket, &h->buffer, 0, true);
    if (received == 0 || (received < 0 && errno != EINTR)) return NULL;
  }
}

/* ---------------------------------------------------------------------------------------------------------- start */

static void start(host *h, const json_t *request) {
  cbn_error error = {.text = ""};
  const char *path = json_string_value(json_object_get(request, "engine"));
  const char *options = json_string_value(json_object_get(request, "options"));
  const bool same_protocol = json_integer_value(json_object_get(request, "protocol")) == CBN_PROTOCOL_VERSION;
  if (h->options == NULL) h->options = strdup(options != NULL ? options : "");
  bool loaded = false;
  if (!same_protocol) cbn_error_set(&error, "convbn-host speaks protocol %d only", CBN_PROTOCOL_VERSION);
  else if (path == NULL || h->options == NULL) cbn_error_set(&error, "no engine is named");
  else if (h->engine != NULL) cbn_error_set(&error, "an engine is loaded already");
  else loaded = cbn_plug_in_load(path, h->options, &h->engine, &error);
  if (!loaded) {
    json_t *failed = reply(request, CBN_VERB_FAILED);
    json_object_set_new(failed, "message", text_to_json(error.text, sizeof error.text));
    send_reply(h, failed);
    exit(0);
  }
  json_t *description = reply(request, CBN_VERB_DESCRIBE);
  json_object_set_new(description, "protocol", json_integer(CBN_PROTOCOL_VERSION));
  json_object_set_new(description, "name", text_to_json(h->engine->name, 1024));
  json_object_set_new(description, "version", text_to_json(h->engine->version, 1024));
  json_object_set_new(description, "description", text_to_json(h->engine->description, 1024));
  json_object_set_new(description, "arithmetic", json_integer(h->engine->arithmetic));
  const bool knows_abilities = h->engine->struct_size >= offsetof(cbn_engine, abilities) + sizeof h->engine->abilities;
  json_object_set_new(description, "abilities", json_integer(knows_abilities ? h->engine->abilities : 0));
  send_reply(h, description);
}

/* ---------------------------------------------------------------------------------------------------- environment */

/* What a call must leave as it was. Exception flags may change. */
typedef struct environment {
  fenv_t floating;
  int rounding;
  sigset_t signals;
} environment;

static void remember(environment *now) {
  fegetenv(&now->floating);
  now->rounding = fegetround();
  pthread_sigmask(SIG_SETMASK, NULL, &now->signals);
}

static void restore(const environment *before) {
  fesetenv(&before->floating);
  pthread_sigmask(SIG_SETMASK, &before->signals, NULL);
}

#if defined(__x86_64__)
static const char *changed_controls(const fenv_t *before, const fenv_t *after) {
  enum { DENORMALS_ARE_ZERO = 0x40, EXCEPTION_MASKS = 0x1f80, FLUSH_TO_ZERO = 0x8000 };
  const unsigned changed = before->__mxcsr ^ after->__mxcsr;
  if ((changed & FLUSH_TO_ZERO) != 0) return "flush to zero (MXCSR)";
  if ((changed & DENORMALS_ARE_ZERO) != 0) return "denormals are zero (MXCSR)";
  if ((changed & EXCEPTION_MASKS) != 0) return "the exception masks (MXCSR)";
  if (before->__control_word != after->__control_word) return "the x87 control word";
  if (before->__tags != after->__tags) return "the x87 registers, left occupied (emms is missing)";
  return "";
}
#elif defined(__aarch64__)
static const char *changed_controls(const fenv_t *before, const fenv_t *after) {
  return before->__fpcr != after->__fpcr ? "the control register FPCR" : "";
}
#else
static const char *changed_controls(const fenv_t *before, const fenv_t *after) {
  (void)before, (void)after;
  return "";
}
#endif

static const char *changed_environment(const environment *before, const environment *after) {
  if (before->rounding != after->rounding) return "the rounding mode";
  const char *controls = changed_controls(&before->floating, &after->floating);
  if (*controls != '\0') return controls;
  for (int signal = 1; signal < NSIG; signal++) {
    if (sigismember(&before->signals, signal) != sigismember(&after->signals, signal)) return "the signal mask";
  }
  return "";
}

/* ------------------------------------------------------------------------------------------------------------ run */

/* Maps the shared memory that came with the frame, if any did. */
static bool map_memory(host *h, const json_t *request) {
  if (h->buffer.descriptor < 0) return true;
  const int descriptor = h->buffer.descriptor;
  h->buffer.descriptor = -1;
  const int64_t size = json_integer_value(json_object_get(request, "memory"));
  struct stat status;
  if (h->memory != NULL) munmap(h->memory, (size_t)h->memory_size);
  h->memory = NULL;
  h->memory_size = 0;
  void *memory = MAP_FAILED;
  if (fstat(descriptor, &status) == 0 && size > 0 && status.st_size >= size) {
    memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  }
  close(descriptor);
  if (memory == MAP_FAILED) return false;
  h->memory = memory;
  h->memory_size = size;
  return true;
}

/* A call with the memory of all its parts. */
typedef struct problem {
  cbn_call call;
  cbn_conv conv;
  cbn_batchnorm batchnorm;
  cbn_tensor tensor[CBN_ROLE_COUNT];
  char message[MESSAGE_SIZE];
} problem;

static bool read_operator(problem *p, const json_t *request) {
  const char *kind = json_string_value(json_object_get(request, "operator"));
  const json_t *parameters = json_object_get(request, "parameters");
  if (kind == NULL) return false;
#define READ_OPERATOR(NAME, name, words)                                                                               \
  if (strcmp(kind, #name) == 0) {                                                                                      \
    p->call.operator_kind = CBN_OPERATOR_##NAME;                                                                       \
    p->call.name = &p->name;                                                                                           \
    return cbn_##name##_from_json(parameters, &p->name);                                                               \
  }
  CBN_OPERATORS(READ_OPERATOR)
#undef READ_OPERATOR
  return false;
}

static bool read_problem(const host *h, problem *p, const json_t *request) {
  p->call = (cbn_call){.struct_size = sizeof p->call, .message = p->message, .message_size = sizeof p->message};
  p->message[0] = '\0';
  p->call.threads = (int32_t)json_integer_value(json_object_get(request, "threads"));
  if (p->call.threads < 1 || !read_operator(p, request)) return false;
  const json_t *tensors = json_object_get(request, "tensors");
  size_t known = 0;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const json_t *array = json_object_get(tensors, cbn_role_name(role));
    int64_t offset;
    if (array == NULL) continue;
    if (!cbn_tensor_from_json(array, h->memory_size, &p->tensor[role], &offset)) return false;
    p->tensor[role].data = h->memory + offset;
    p->call.tensor[role] = &p->tensor[role];
    known++;
  }
  return known == json_object_size(tensors);
}

static double seconds_between(const struct timespec *from, const struct timespec *to) {
  return (double)(to->tv_sec - from->tv_sec) + 1e-9 * (double)(to->tv_nsec - from->tv_nsec);
}

/* Runs the problem of the run frame `described`, and answers `request`: that frame, or one that asks for it again. */
static void run(host *h, const json_t *request, const json_t *described) {
  static problem p;
  if (h->engine == NULL || described == NULL || !map_memory(h, request) || !read_problem(h, &p, described)) {
    fputs("convbn-host: a run frame that cannot be understood\n", stderr);
    exit(EXIT_CONVERSATION);
  }
  environment before, after;
  struct timespec from, to;
  remember(&before);
  clock_gettime(CLOCK_MONOTONIC, &from);
  const int status = h->engine->run(h->engine, &p.call);
  if (getpid() != h->self) _exit(0); /* a child that the engine left behind has nothing to say */
  clock_gettime(CLOCK_MONOTONIC, &to);
  remember(&after);
  restore(&before);

  const char *name = cbn_status_name(status);
  char message[MESSAGE_SIZE];
  if (name == NULL) snprintf(message, sizeof message, "it returned %d, which is no status", status);
  json_t *answer = reply(request, CBN_VERB_ANSWER);
  json_object_set_new(answer, "status", json_string(name != NULL ? name : cbn_status_name(CBN_ERROR)));
  json_object_set_new(answer, "message", text_to_json(name != NULL ? p.message : message, sizeof message));
  json_object_set_new(answer, "seconds", json_real(seconds_between(&from, &to)));
  json_object_set_new(answer, "environment", json_string(changed_environment(&before, &after)));
  send_reply(h, answer);
}

/* A function beyond the size that the engine states is none. */
#define HAS(ENGINE, FUNCTION)                                                                                          \
  ((ENGINE) != NULL && (ENGINE)->struct_size >= offsetof(cbn_engine, FUNCTION) + sizeof(ENGINE)->FUNCTION &&           \
   (ENGINE)->FUNCTION != NULL)

static void reset(host *h, const json_t *request) {
  if (HAS(h->engine, reset)) h->engine->reset(h->engine);
  send_reply(h, reply(request, CBN_VERB_DONE));
}

/* Answers one frame; false after the last. */
static bool answer_frame(host *h, json_t *request) {
  const char *verb = json_string_value(json_object_get(request, "verb"));
  if (verb == NULL || strcmp(verb, CBN_VERB_STOP) == 0) return false;
  if (strcmp(verb, CBN_VERB_START) == 0) start(h, request);
  else if (strcmp(verb, CBN_VERB_AGAIN) == 0) run(h, request, h->last);
  else if (strcmp(verb, CBN_VERB_RUN) == 0) {
    json_decref(h->last);
    h->last = json_incref(request);
    run(h, request, request);
  } else if (strcmp(verb, CBN_VERB_RESET) == 0) reset(h, request);
  else return false;
  return true;
}

int main(void) {
  struct stat status;
  if (fstat(CBN_FRAME_DESCRIPTOR, &status) != 0 || !S_ISSOCK(status.st_mode)) {
    fputs("convbn-host runs an engine for convbn, which starts it; see docs/engine-protocol.md\n", stderr);
    return EXIT_USAGE;
  }
  static host h = {.self = 0};
  h.self = getpid();
  be_expendable();
  hold_lifeline();
  silence_output();
  h.socket = make_private(CBN_FRAME_DESCRIPTOR);
  cbn_frame_buffer_clear(&h.buffer);
  for (bool more = true; more;) {
    json_t *request = next_frame(&h);
    if (request == NULL) break;
    more = answer_frame(&h, request);
    json_decref(request);
  }
  json_decref(h.last);
  if (HAS(h.engine, close)) h.engine->close(h.engine);
  return 0;
}
