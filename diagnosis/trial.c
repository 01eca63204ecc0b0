/* One generated problem against one engine. */
#include "diagnosis/trial.h"

#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "core/poison.h"

/* MARGIN: bytes before and behind each tensor. THREADS: three, where an engine finds a problem worth more than one. */
enum { MARGIN = 64, THREADS = 3 };

/* One tensor's memory: margin, elements with the gaps between them, margin. `before` is a copy of all of it from before
 * the call. It grows and never shrinks. */
typedef struct buffer {
  unsigned char *memory, *before;
  size_t capacity; /* of each */
  size_t span;     /* bytes from the first to behind the last element */
} buffer;

struct cbn_trial {
  buffer buffer[CBN_ROLE_COUNT];
  cbn_tensor tensor[CBN_ROLE_COUNT];
  cbn_expected expected[CBN_ROLE_COUNT];
  int64_t capacity[CBN_ROLE_COUNT]; /* elements that `expected` has room for */
  double *actual;                   /* the elements of the result that is judged ... */
  uint8_t *is_wrong;
  int64_t result_capacity; /* ... and how many there is room for, in both */
};

/* A signalling NaN in every lane: no arithmetic makes one, so an element that still holds it was not written. */
static uint64_t poison_of(int32_t type) {
  static const uint64_t poison[] = {[CBN_F32] = 0x7fa57fa57fa57fa5,
                                    [CBN_F64] = 0x7ff57ff57ff57ff5,
                                    [CBN_F16] = 0x7d5a7d5a7d5a7d5a,
                                    [CBN_BF16] = 0x7fa57fa57fa57fa5};
  return poison[type];
}

/* ------------------------------------------------------------------------------------------------------ memory */

cbn_trial *cbn_trial_open(void) { return calloc(1, sizeof(cbn_trial)); }

void cbn_trial_close(cbn_trial *t) {
  if (t == NULL) return;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    free(t->buffer[role].memory);
    free(t->buffer[role].before);
    cbn_expected_release(&t->expected[role]);
  }
  free(t->actual);
  free(t->is_wrong);
  free(t);
}

static bool reserve_buffer(buffer *b, size_t span) {
  const size_t size = (span + 2 * MARGIN + 63) / 64 * 64;
  b->span = span;
  if (size <= b->capacity) return true;
  free(b->memory);
  free(b->before);
  *b = (buffer){.memory = aligned_alloc(64, size), .before = malloc(size), .capacity = size, .span = span};
  if (b->memory != NULL && b->before != NULL) return true;
  free(b->memory);
  free(b->before);
  *b = (buffer){0};
  return false;
}

/* Room for the interval of every element of a result. */
static bool reserve_expected(cbn_trial *t, int role, const cbn_tensor *tensor) {
  cbn_expected *e = &t->expected[role];
  const int64_t count = cbn_tensor_count(tensor);
  if (count > t->capacity[role] || e->value == NULL) {
    cbn_expected_release(e);
    t->capacity[role] = 0;
    if (!cbn_expected_allocate(e, tensor->type, 1, &count)) return false;
    t->capacity[role] = count;
  }
  e->type = tensor->type;
  e->rank = tensor->rank;
  e->count = count;
  memcpy(e->extent, tensor->extent, sizeof e->extent);
  if (count <= t->result_capacity) return true;
  free(t->actual);
  free(t->is_wrong);
  t->actual = calloc((size_t)count, sizeof *t->actual);
  t->is_wrong = malloc((size_t)count);
  t->result_capacity = t->actual == NULL || t->is_wrong == NULL ? 0 : count;
  return t->result_capacity > 0;
}

/* Elements, gaps and margins, nothing more: what a larger problem has left behind them is not looked at. */
static void poison(const buffer *b, int32_t type) {
  const uint64_t pattern = poison_of(type);
  for (size_t i = 0; i < b->span + 2 * MARGIN; i += sizeof pattern) memcpy(b->memory + i, &pattern, sizeof pattern);
}

static bool is_statistic(int role) { return role == CBN_ROLE_RUNNING_MEAN || role == CBN_ROLE_RUNNING_VAR; }
static bool is_result(int role) { return role >= CBN_ROLE_OUTPUT; }
static bool is_of_layer(int role) {
  return role != CBN_ROLE_INPUT && role != CBN_ROLE_OUTPUT && role != CBN_ROLE_GRAD_OUTPUT &&
         role != CBN_ROLE_GRAD_INPUT;
}

/* ----------------------------------------------------------------------------------------------------- findings */

/* One problem on its way through the trial. */
typedef struct run {
  cbn_trial *trial;
  const cbn_generated *problem;
  const cbn_subject *subject;
  cbn_conv conv;
  cbn_batchnorm batchnorm;
  cbn_call call;
  bool in_place;
  bool owned[CBN_ROLE_COUNT];   /* the role's tensor is in its own buffer */
  bool written[CBN_ROLE_COUNT]; /* the engine may write it */
  bool reset;                   /* statistics begin as those of a new layer ... */
  bool kept[CBN_ROLE_COUNT];    /* ... unless a call has had them */
  bool has_elements, judged;    /* there was one; one was held against an interval that says something */
  cbn_finding *finding;
} run;

__attribute__((format(printf, 4, 5))) static void find(run *r, enum cbn_verdict verdict, int role, const char *format,
                                                       ...) {
  va_list arguments;
  r->finding->verdict = verdict;
  r->finding->role = role;
  va_start(arguments, format);
  vsnprintf(r->finding->message, sizeof r->finding->message, format, arguments);
  va_end(arguments);
}

static bool nothing_found(const run *r) { return r->finding->verdict == CBN_VERDICT_PASS; }

/* "output[0, 3, 2]" */
static void print_element(const cbn_finding *finding, char *text, size_t size) {
  int64_t index[CBN_MAX_RANK];
  size_t length = (size_t)snprintf(text, size, "%s[", cbn_role_name(finding->role));
  cbn_unravel(finding->rank, finding->extent, finding->element, index);
  for (int32_t a = 0; a < finding->rank && length < size; a++)
    length += (size_t)snprintf(text + length, size - length, "%s%" PRId64, a > 0 ? ", " : "", index[a]);
  if (length < size) snprintf(text + length, size - length, "]");
}

static void set_tensor(cbn_finding *finding, int role, int64_t element, const cbn_tensor *tensor) {
  finding->role = role;
  finding->element = element;
  finding->count = cbn_tensor_count(tensor);
  finding->rank = tensor->rank;
  memcpy(finding->extent, tensor->extent, sizeof finding->extent);
}

/* ---------------------------------------------------------------------------------------------------- one call */

/* Describes the tensor with that role and makes room for it. */
static bool describe(run *r, int role) {
  cbn_trial *t = r->trial;
  const cbn_generated *p = r->problem;
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_call_extents(&r->call, role, extent);
  cbn_tensor *tensor = &t->tensor[role];
  r->call.tensor[role] = NULL;
  r->owned[role] = false;
  if (rank == 0) return true;
  const int32_t type = is_of_layer(role) ? p->layer_type : p->type;
  if (!cbn_tensor_describe(tensor, type, rank, extent, cbn_role_layout(p->layout, role, rank))) return false;
  r->call.tensor[role] = tensor;
  if ((is_result(role) || is_statistic(role)) && !reserve_expected(t, role, tensor)) return false;
  if (r->in_place && cbn_in_place_of(role) >= 0) {
    *tensor = t->tensor[cbn_in_place_of(role)];
    return true;
  }
  buffer *b = &t->buffer[role];
  if (!reserve_buffer(b, (size_t)cbn_tensor_bytes(tensor))) return false;
  tensor->data = b->memory + MARGIN;
  r->owned[role] = true;
  return true;
}

/* A statistic as a new layer has it, as the problem gives it, or, once a call has had it, as that left it. */
static void fill_statistic(run *r, int role) {
  const cbn_tensor *tensor = r->call.tensor[role];
  cbn_expected *e = &r->trial->expected[role];
  if (r->kept[role]) return;
  r->kept[role] = true;
  poison(&r->trial->buffer[role], tensor->type);
  if (!r->reset) cbn_fill_tensor(&r->problem->fill[role], role, tensor);
  for (int64_t c = 0; c < e->count; c++) {
    if (r->reset) cbn_tensor_set(tensor, c, role == CBN_ROLE_RUNNING_VAR);
    cbn_expected_put(e, c, (cbn_interval){.value = cbn_tensor_get(tensor, c)});
  }
}

/* Everything is poison but what the call reads. */
static void fill(run *r, int role, int step) {
  const cbn_tensor *tensor = r->call.tensor[role];
  buffer *b = &r->trial->buffer[role];
  if (is_statistic(role)) {
    fill_statistic(r, role);
  } else {
    poison(b, tensor->type);
    cbn_fill input = r->problem->fill[role];
    if (role == CBN_ROLE_INPUT) input.seed += (uint64_t)step;
    if (!is_result(role)) cbn_fill_tensor(&input, role, tensor);
  }
  memcpy(b->before, b->memory, b->span + 2 * MARGIN);
  CBN_POISON(b->memory, MARGIN);
  CBN_POISON(b->memory + MARGIN + b->span, b->capacity - MARGIN - b->span);
}

/* What the reference says, before the engine may write over an input. */
static bool compute_expected(run *r) {
  cbn_trial *t = r->trial;
  const cbn_tensor *const *tensor = r->call.tensor;
  if (r->call.conv != NULL) {
    for (int role = CBN_ROLE_OUTPUT; role < CBN_ROLE_COUNT; role++)
      if (tensor[role] != NULL) return cbn_reference_conv(&r->conv, tensor, r->subject->arithmetic, &t->expected[role]);
    return true;
  }
  const cbn_expected *mean = tensor[CBN_ROLE_RUNNING_MEAN] ? &t->expected[CBN_ROLE_RUNNING_MEAN] : NULL;
  const cbn_expected *variance = tensor[CBN_ROLE_RUNNING_VAR] ? &t->expected[CBN_ROLE_RUNNING_VAR] : NULL;
  if (r->batchnorm.direction == CBN_FORWARD)
    cbn_reference_batchnorm(&r->batchnorm, tensor, mean, variance, r->subject->arithmetic,
                            &t->expected[CBN_ROLE_OUTPUT]);
  else
    cbn_reference_batchnorm_backward(&r->batchnorm, tensor, mean, variance, r->subject->arithmetic,
                                     &t->expected[CBN_ROLE_GRAD_INPUT],
                                     tensor[CBN_ROLE_GRAD_WEIGHT] ? &t->expected[CBN_ROLE_GRAD_WEIGHT] : NULL,
                                     tensor[CBN_ROLE_GRAD_BIAS] ? &t->expected[CBN_ROLE_GRAD_BIAS] : NULL);
  return true;
}

/* ------------------------------------------------------------------------------------------------------ judging */

static bool still_poisoned(const cbn_tensor *tensor, int64_t i) {
  const size_t size = cbn_type_size(tensor->type);
  const uint64_t poison = poison_of(tensor->type);
  return memcmp((const char *)tensor->data + (size_t)cbn_tensor_offset(tensor, i) * size, &poison, size) == 0;
}

/* A number to be printed: a NaN's sign says nothing. */
static double without_sign_of_nan(double x) { return isnan(x) ? fabs(x) : x; }

/* Every element of a result against its interval. */
static void judge_elements(run *r, int role) {
  cbn_finding *f = r->finding;
  const cbn_tensor *tensor = &r->trial->tensor[role];
  const cbn_expected *e = &r->trial->expected[role];
  double worst = 0;
  int64_t wrong = 0;
  cbn_tensor_read(tensor, 0, e->count, r->trial->actual);
  for (int64_t i = 0; i < e->count; i++) {
    const double actual = r->trial->actual[i];
    r->has_elements = true;
    r->judged = r->judged || !(e->flags[i] & CBN_INCONCLUSIVE);
    if (actual == e->value[i]) continue;
    const cbn_interval interval = cbn_expected_at(e, i);
    const double share = cbn_interval_share(&interval, actual);
    if (share <= 1) continue;
    if (wrong++ == 0) memset(r->trial->is_wrong, 0, (size_t)e->count);
    r->trial->is_wrong[i] = 1;
    if (share > worst || wrong == 1) {
      worst = share;
      set_tensor(f, role, i, tensor);
      f->actual = actual;
      f->expected = interval;
    }
  }
  if (wrong == 0) return;
  char element[96];
  f->wrong = wrong;
  f->is_wrong = r->trial->is_wrong;
  print_element(f, element, sizeof element);
  find(r, CBN_VERDICT_MISMATCH, role,
       "%s is %.9g, should be %.9g within %.3g; %" PRId64 " of %" PRId64 " elements are wrong", element,
       without_sign_of_nan(f->actual), without_sign_of_nan(f->expected.value), without_sign_of_nan(f->expected.bound),
       wrong, f->count);
}

static void check_written(run *r, int role) {
  const cbn_tensor *tensor = &r->trial->tensor[role];
  const int64_t count = r->trial->expected[role].count;
  cbn_tensor_read(tensor, 0, count, r->trial->actual);
  for (int64_t i = 0; i < count; i++)
    if (isnan(r->trial->actual[i]) && still_poisoned(tensor, i)) {
      char element[96];
      set_tensor(r->finding, role, i, tensor);
      print_element(r->finding, element, sizeof element);
      find(r, CBN_VERDICT_UNWRITTEN_OUTPUT, role, "%s was not written", element);
      return;
    }
}

/* Of the bytes around, between and of the elements those that the engine may not write are as they were. */
static void check_memory(run *r, int role) {
  const buffer *b = &r->trial->buffer[role];
  const cbn_tensor *tensor = &r->trial->tensor[role];
  cbn_tensor before = *tensor;
  before.data = b->before + MARGIN;
  if (r->written[role]) cbn_tensor_copy(&before, tensor);
  if (memcmp(b->memory, b->before, b->span + 2 * MARGIN) == 0) return;
  const size_t size = cbn_type_size(tensor->type);
  for (int64_t i = 0; i < cbn_tensor_count(tensor); i++) {
    const size_t at = (size_t)cbn_tensor_offset(tensor, i) * size;
    if (memcmp((const char *)tensor->data + at, (const char *)before.data + at, size) == 0) continue;
    char element[96];
    set_tensor(r->finding, role, i, tensor);
    print_element(r->finding, element, sizeof element);
    find(r, CBN_VERDICT_INPUT_MODIFIED, role, "%s was written", element);
    return;
  }
  find(r, CBN_VERDICT_OUT_OF_BOUNDS, role, "memory around or between the elements of %s was written",
       cbn_role_name(role));
}

/* Rounding mode, and where the processor has it, what becomes of subnormals and which exceptions trap. */
static unsigned environment(void) {
#if defined(__SSE2__)
  return (_mm_getcsr() & 0xffc0u) << 16 | (unsigned)fegetround();
#else
  return (unsigned)fegetround();
#endif
}

/* The status says that it was computed. */
static void judge(run *r) {
  for (int role = 0; role < CBN_ROLE_COUNT && nothing_found(r); role++)
    if (r->call.tensor[role] != NULL && is_result(role)) check_written(r, role);
  for (int role = 0; role < CBN_ROLE_COUNT && nothing_found(r); role++)
    if (r->call.tensor[role] != NULL && r->owned[role]) check_memory(r, role);
  for (int role = 0; role < CBN_ROLE_COUNT && nothing_found(r); role++)
    if (r->call.tensor[role] != NULL && (is_result(role) || is_statistic(role))) judge_elements(r, role);
}

static void run_subject(run *r) {
  cbn_reply reply = {.role = -1, .element = -1};
  char message[sizeof reply.message] = "";
  r->call.message = message;
  r->call.message_size = sizeof message;
  const unsigned before = environment();
  r->subject->run(r->subject->context, &r->call, &reply);
  const bool changed = environment() != before;
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (r->owned[role]) CBN_UNPOISON(r->trial->buffer[role].memory, r->trial->buffer[role].capacity);
  const char *words = reply.message[0] != '\0' ? reply.message : message[0] != '\0' ? message : "no reason given";
  if (reply.verdict != CBN_VERDICT_PASS) {
    find(r, reply.verdict, reply.role, "%s", words);
    r->finding->element = reply.element;
  } else if (reply.status == CBN_UNSUPPORTED) {
    find(r, CBN_VERDICT_UNSUPPORTED, -1, "%s", words);
  } else if (!r->problem->valid) {
    if (reply.status == CBN_OK) find(r, CBN_VERDICT_ACCEPTED_INVALID, -1, "a problem that is not valid was computed");
  } else if (reply.status == CBN_REJECTED) {
    find(r, CBN_VERDICT_REJECTED_VALID, -1, "%s", words);
  } else if (reply.status != CBN_OK) {
    find(r, CBN_VERDICT_CRASH, -1, "the engine failed: %s", words);
  } else if (changed) {
    find(r, CBN_VERDICT_FP_ENVIRONMENT, -1, "the floating-point environment was left changed");
  } else {
    judge(r);
  }
}

/* Makes the tensors of call number `step`. Inputs come before the results that may take their place. */
static bool prepare(run *r, int step) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (!describe(r, role)) return false;
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_tensor *tensor = r->call.tensor[role];
    r->written[role] = is_result(role) || (is_statistic(role) && r->batchnorm.update_running);
    const int place = cbn_in_place_of(role);
    if (r->in_place && tensor != NULL && place >= 0) r->written[place] = true;
    if (r->owned[role]) fill(r, role, step);
  }
  return true;
}

/* ----------------------------------------------------------------------------------------------------- sequences */

/* A near miss has no tensors: it must be refused by validation, and by the engine before it looks at any. */
static void run_near_miss(run *r) {
  cbn_violation violation;
  const bool valid = r->call.conv != NULL ? cbn_conv_validate(&r->conv, &violation)
                                          : cbn_batchnorm_validate(&r->batchnorm, &violation);
  if (valid) find(r, CBN_VERDICT_ACCEPTED_INVALID, -1, "validation takes a problem that is not valid");
  else run_subject(r);
}

/* A step of a program is a call with the program's layer in that mode. */
static void choose_step(run *r, int step) {
  const cbn_generated_step *s = &r->problem->step[step];
  if (r->problem->kind != CBN_GENERATED_BATCHNORM_PROGRAM) return;
  r->batchnorm = r->problem->batchnorm;
  r->batchnorm.new_weight = s->new_weight;
  if (s->reset) {
    r->reset = true;
    memset(r->kept, 0, sizeof r->kept);
  }
  if (s->train) return;
  r->batchnorm.statistics = CBN_STATISTICS_RUNNING;
  r->batchnorm.update_running = 0;
}

static bool run_steps(run *r) {
  for (int step = 0; step < r->problem->steps && nothing_found(r); step++) {
    r->finding->step = step;
    choose_step(r, step);
    if (!prepare(r, step) || !compute_expected(r)) return false;
    run_subject(r);
  }
  return true;
}

bool cbn_trial_run(cbn_trial *trial, const cbn_generated *problem, const cbn_subject *subject, cbn_finding *finding) {
  run r = {.trial = trial, .problem = problem, .subject = subject, .conv = problem->conv, .finding = finding};
  r.batchnorm = problem->batchnorm;
  r.in_place = problem->in_place && (subject->abilities & CBN_IN_PLACE) != 0;
  r.call = (cbn_call){.struct_size = sizeof r.call, .threads = THREADS};
  if (cbn_generated_is_conv(problem->kind)) {
    r.call.operator_kind = CBN_OPERATOR_CONV;
    r.call.conv = &r.conv;
  } else {
    r.call.operator_kind = CBN_OPERATOR_BATCHNORM;
    r.call.batchnorm = &r.batchnorm;
  }
  *finding = (cbn_finding){.role = -1, .element = -1};
  if (!problem->valid) run_near_miss(&r);
  else if (!run_steps(&r)) find(&r, CBN_VERDICT_INCONCLUSIVE, -1, "no memory for this problem");
  else if (nothing_found(&r) && !r.judged && r.has_elements)
    find(&r, CBN_VERDICT_INCONCLUSIVE, -1, "nothing can be said of any element");
  return cbn_verdict_weight_of(finding->verdict) == CBN_BAD;
}

/* ------------------------------------------------------------------------------------------------- in process */

static void run_in_process(void *context, cbn_call *call, cbn_reply *reply) {
  cbn_engine *engine = context;
  reply->status = engine->run(engine, call);
}

cbn_subject cbn_subject_in_process(cbn_engine *engine) {
  const bool knows_abilities = engine->struct_size >= offsetof(cbn_engine, abilities) + sizeof engine->abilities;
  return (cbn_subject){.name = engine->name,
                       .arithmetic = engine->arithmetic,
                       .abilities = knows_abilities ? engine->abilities : 0,
                       .run = run_in_process,
                       .context = engine};
}
