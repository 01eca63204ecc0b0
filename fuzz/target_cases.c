/* Target cases: any text as a case file. A refusal is one line at a place inside the text, by a known rule; a tree has
 * its values at places where they stand, prints as text that reads back to it, and comes out the same each time; cases
 * become problems and cases again where they can, small ones are linted and solved. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/case_text.h"
#include "fuzz/demand.h"
#include "fuzz/targets.h"
#include "harness/case_parser.h"
#include "harness/lint.h"
#include "harness/solution.h"
#include "harness/yaml.h"

/* The rules of reading, of parsing, of solving, of linting. */
static const char *const rules[] = {"file-size",
                                    "syntax",
                                    "empty",
                                    "documents",
                                    "depth",
                                    "values",
                                    "memory",
                                    "alias",
                                    "tag",
                                    "key",
                                    "duplicate-key",
                                    "merge-key",
                                    "number",
                                    "type",
                                    "unknown-key",
                                    "missing-key",
                                    "unknown-rule",
                                    "acceptable",
                                    "expect",
                                    "mode",
                                    "missing-tensor",
                                    "reset",
                                    "params",
                                    "steps",
                                    "status",
                                    "layout",
                                    "in-place",
                                    "id",
                                    "format",
                                    "dialect",
                                    "operator",
                                    "no-cases",
                                    "shape",
                                    "value-count",
                                    "fill",
                                    "tensor",
                                    "npy",
                                    "memory-limit",
                                    "large",
                                    "unknown-parameter",
                                    "duplicate-id",
                                    "flag",
                                    "relation",
                                    "comment",
                                    "expectation",
                                    "twin",
                                    "problem",
                                    NULL};

static const cbn_yaml_limits limits = {.file_bytes = 1 << 16, .depth = 16, .values = 4096};
enum { ARENA_BYTES = 4 << 20, PRINTED_BYTES = 1 << 18, SOLVED_BYTES = 1 << 20, SOLVED_WORK = 20000 };
#define NAME "fuzz.yaml"

/* -------------------------------------------------------------------------------------------------- places */

/* A text and where its lines begin. */
struct text {
  const char *bytes;
  size_t size, lines, *begin;
};

/* Bytes of the line break that begins here, 0 if none does: libyaml counts NEL, LS and PS as breaks, too. */
static size_t break_at(const struct text *text, size_t i) {
  unsigned char at[3] = {0};
  for (size_t k = 0; k < 3 && i + k < text->size; k++) at[k] = (unsigned char)text->bytes[i + k];
  if (at[0] == '\r' && at[1] == '\n') return 2;
  if (at[0] == '\n' || at[0] == '\r') return 1;
  if (at[0] == 0xC2 && at[1] == 0x85) return 2;
  return at[0] == 0xE2 && at[1] == 0x80 && (at[2] == 0xA8 || at[2] == 0xA9) ? 3 : 0;
}

static struct text open_text(const uint8_t *bytes, size_t size) {
  struct text text = {.bytes = (const char *)bytes, .size = size, .lines = 1};
  if (size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) text.bytes += 3, text.size -= 3; /* a byte order mark */
  text.begin = malloc((size + 1) * sizeof *text.begin);
  CBN_DEMAND(text.begin != NULL, "there is no memory left");
  text.begin[0] = 0;
  for (size_t i = 0; i < text.size;) {
    const size_t width = break_at(&text, i);
    i += width > 0 ? width : 1;
    if (width > 0) text.begin[text.lines++] = i;
  }
  return text;
}

/* The byte at a place: a position from 0 to the text's size, one beyond it where the text has no such place. libyaml ends
 * the last line, even where the text does not, and lets what is left out stand behind it. */
static size_t byte_at(const struct text *text, uint32_t line, uint32_t column) {
  if (line == text->lines + 1 && column == 1) return text->size;
  if (line < 1 || line > text->lines) return text->size + 1;
  size_t i = text->begin[line - 1];
  for (; column > 1 && i < text->size && break_at(text, i) == 0; column--) {
    i++;
    while (i < text->size && ((unsigned char)text->bytes[i] & 0xC0) == 0x80) i++;
  }
  return column == 1 ? i : text->size + 1;
}

/* ------------------------------------------------------------------------------------------------- messages */

static void check_message(const struct text *text, const cbn_error *error) {
  const cbn_place place = cbn_demand_message(error->text, NAME, rules);
  CBN_DEMAND(place.line == 0 || byte_at(text, place.line, place.column) <= text->size,
             "a message about a place outside the text: %s", error->text);
}

/* ---------------------------------------------------------------------------------------------------- trees */

/* A value stands where its first character is; what is left out stands where it would. */
static void check_places(const struct text *text, const cbn_value *value) {
  const size_t at = byte_at(text, value->line, value->column);
  const bool left_out = value->kind == CBN_NULL || (value->kind == CBN_STRING && value->as.string.length == 0);
  CBN_DEMAND(at <= text->size, "a %s at %u:%u, outside the text", cbn_value_kind_name(value->kind), value->line,
             value->column);
  CBN_DEMAND(left_out || (at < text->size && (unsigned char)text->bytes[at] > ' '),
             "a %s at %u:%u, where nothing stands", cbn_value_kind_name(value->kind), value->line, value->column);
  for (size_t i = 0; value->kind == CBN_LIST && i < value->as.list.count; i++)
    check_places(text, value->as.list.items[i]);
  for (size_t i = 0; value->kind == CBN_MAP && i < value->as.map.count; i++) {
    check_places(text, value->as.map.keys[i]);
    check_places(text, value->as.map.items[i]);
  }
}

static bool same_real(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static bool same_values(const cbn_value *a, const cbn_value *b, bool places);

static bool same_items(const cbn_value *const *a, const cbn_value *const *b, size_t count, bool places) {
  for (size_t i = 0; i < count; i++)
    if (!same_values(a[i], b[i], places)) return false;
  return true;
}

static bool same_values(const cbn_value *a, const cbn_value *b, bool places) {
  if (a->kind != b->kind || (places && (a->line != b->line || a->column != b->column))) return false;
  switch (a->kind) {
  case CBN_NULL: return true;
  case CBN_BOOLEAN: return a->as.boolean == b->as.boolean;
  case CBN_INTEGER: return a->as.integer == b->as.integer;
  case CBN_REAL: return same_real(a->as.real, b->as.real);
  case CBN_STRING:
    return a->as.string.length == b->as.string.length &&
           memcmp(a->as.string.text, b->as.string.text, a->as.string.length + 1) == 0;
  case CBN_LIST:
    return a->as.list.count == b->as.list.count &&
           same_items(a->as.list.items, b->as.list.items, a->as.list.count, places);
  case CBN_MAP:
    return a->as.map.count == b->as.map.count && same_items(a->as.map.keys, b->as.map.keys, a->as.map.count, places) &&
           same_items(a->as.map.items, b->as.map.items, a->as.map.count, places);
  }
  return false;
}

static cbn_arena *create_arena(void) {
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  CBN_DEMAND(arena != NULL, "there is no memory left");
  return arena;
}

/* Reads the text a second time: the same tree or the same message. */
static void check_again(const char *bytes, size_t size, const cbn_value *root, const cbn_error *error) {
  cbn_arena *arena = create_arena();
  const cbn_value *again;
  cbn_error other;
  if (!cbn_yaml_parse(NAME, bytes, size, &limits, arena, &again, &other))
    CBN_DEMAND(root == NULL && strcmp(error->text, other.text) == 0, "refused another way: %s", other.text);
  else CBN_DEMAND(root != NULL && same_values(root, again, true), "a text reads as another tree the second time");
  cbn_arena_destroy(arena);
}

/* Prints the tree, unless it is too long, and reads it back. */
static void check_printed(const cbn_value *root) {
  char *text = malloc(PRINTED_BYTES);
  CBN_DEMAND(text != NULL, "there is no memory left");
  const size_t length = cbn_value_print(root, text, PRINTED_BYTES);
  CBN_DEMAND(length < PRINTED_BYTES && text[length] == '\0', "a printed value is longer than its space");
  if (length + 8 < PRINTED_BYTES) {
    cbn_arena *arena = create_arena();
    const cbn_value *again;
    cbn_error error;
    const cbn_yaml_limits wider = {.file_bytes = PRINTED_BYTES, .depth = limits.depth, .values = limits.values};
    CBN_DEMAND(cbn_yaml_parse(NAME, text, length, &wider, arena, &again, &error), "a printed value is refused: %s",
               error.text);
    CBN_DEMAND(same_values(root, again, false), "a printed value reads as another one");
    cbn_arena_destroy(arena);
  }
  free(text);
}

/* ---------------------------------------------------------------------------------------------------- cases */

static bool is_npy(const cbn_tensor_source *source) { return source != NULL && source->content == CBN_CONTENT_NPY; }

static bool expects_npy(const cbn_expectation *expect) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (is_npy(expect->tensor[role])) return true;
  return false;
}

/* Multiply-adds of a step, all directions. */
static int64_t step_work(const cbn_case *golden, const cbn_step *step) {
  cbn_solved_step solved;
  if (!cbn_step_plan(golden, step, 0, &step->input->shape, &solved)) {
    const cbn_rejection *r = &solved.rejection;
    CBN_DEMAND(cbn_rule_name((int)r->rule) != NULL && r->exception != NULL && r->message[0] != 0,
               "a rejection that says nothing");
    return 0;
  }
  return solved.plan.kind == CBN_OPERATOR_CONV ? cbn_conv_work(&solved.plan.conv)
                                               : cbn_batchnorm_work(&solved.plan.batchnorm);
}

/* Does the case need no file, and little time? */
static bool is_small(const cbn_case *golden) {
  int64_t work = 0;
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (is_npy(golden->tensor[role])) return false;
  for (size_t i = 0; i < golden->step_count; i++) {
    const cbn_step *step = &golden->steps[i];
    if (is_npy(step->input) || is_npy(step->grad_output) || expects_npy(&step->expect)) return false;
    for (int role = 0; role < CBN_ROLE_COUNT; role++)
      if (is_npy(step->load[role])) return false;
    const int64_t more = step_work(golden, step);
    if (more > SOLVED_WORK - work) return false;
    work += more;
  }
  return true;
}

/* Solves the case within its memory: a message, or a solution that agrees with itself. */
static void check_solution(const struct text *text, const cbn_case *golden) {
  const cbn_solve_options options = {.arithmetic = cbn_stated_arithmetic(golden), .memory_bytes = SOLVED_BYTES};
  cbn_solution solution;
  cbn_error error;
  if (!cbn_solve(golden, &options, &solution, &error)) {
    check_message(text, &error);
  } else {
    CBN_DEMAND(solution.count == golden->step_count && solution.work <= SOLVED_WORK && !solution.large,
               "the work of %s is not what its plan says", golden->id);
    CBN_DEMAND(cbn_solutions_agree(&solution, &solution, &error), "%s differs from itself: %s", golden->id, error.text);
    for (size_t i = 0; i < solution.count; i++)
      if (!cbn_expectation_holds(golden, &golden->steps[i].expect, &solution, i, golden->by_hand, true, &error))
        CBN_DEMAND(error.text[0] != '\0', "an expectation does not hold, and nothing says why");
  }
  cbn_solution_release(&solution);
}

/* The problem of the case, if it has one, as a case, and that one's problem. */
static void check_problem(const struct text *text, const cbn_case *golden) {
  cbn_generated problem, again;
  cbn_error error;
  cbn_case_parser parser = {.arena = create_arena(), .file = NAME};
  const cbn_value *root;
  cbn_case other;
  char *written = NULL;
  size_t length = 0;
  if (!cbn_problem_of_case(golden, &problem, &error)) {
    check_message(text, &error);
  } else if (cbn_case_possible(&problem, &error)) {
    FILE *file = open_memstream(&written, &length);
    CBN_DEMAND(file != NULL && cbn_case_write(file, &problem, NULL, NULL) && fclose(file) == 0, "no case is written");
    CBN_DEMAND(cbn_yaml_parse(NAME, written, length, &limits, parser.arena, &root, &error) &&
                   cbn_parse_header(&parser, root, &error) && cbn_parse_case(&parser, 0, &other, &error) &&
                   cbn_problem_of_case(&other, &again, &error),
               "a case's problem makes no case: %s\n%s", error.text, written);
    CBN_DEMAND(cbn_generated_equal(&problem, &again), "a case's problem comes back as another one:\n%s", written);
    free(written);
  }
  cbn_arena_destroy(parser.arena);
}

static void check_line(void *context, const char *line) { cbn_demand_message(line, context, rules); }

/* The whole way of a file, with what compares its cases. */
static void check_lint(const struct text *text) {
  char path[32];
  const int descriptor = cbn_memory_file((const uint8_t *)text->bytes, text->size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  cbn_case_set *set = cbn_cases_create();
  CBN_DEMAND(set != NULL, "there is no memory left");
  cbn_cases_load(set, path, check_line, path);
  cbn_lint(set, set, path, false, SOLVED_BYTES, check_line, path);
  cbn_cases_destroy(set);
  close(descriptor);
}

static void check_cases(const struct text *text, const cbn_value *root, cbn_arena *arena) {
  cbn_case_parser parser = {.arena = arena, .file = NAME};
  cbn_error error;
  bool small = true;
  if (!cbn_parse_header(&parser, root, &error)) {
    check_message(text, &error);
    return;
  }
  for (size_t i = 0; i < parser.case_count; i++) {
    cbn_case golden;
    if (!cbn_parse_case(&parser, i, &golden, &error)) {
      check_message(text, &error);
      continue;
    }
    CBN_DEMAND(byte_at(text, golden.line, 1) <= text->size, "a case that begins outside the text");
    check_problem(text, &golden);
    if (is_small(&golden)) check_solution(text, &golden);
    else small = false;
  }
  if (small) check_lint(text);
}

void cbn_fuzz_cases(const cbn_target *target, const uint8_t *bytes, size_t size) {
  struct text text = open_text(bytes, size);
  cbn_arena *arena = create_arena();
  const cbn_value *root = NULL;
  cbn_error error;
  (void)target;
  const bool read = cbn_yaml_parse(NAME, (const char *)bytes, size, &limits, arena, &root, &error);
  check_again((const char *)bytes, size, root, &error);
  if (read) {
    check_places(&text, root);
    check_printed(root);
    check_cases(&text, root, arena);
  } else {
    check_message(&text, &error);
  }
  cbn_arena_destroy(arena);
  free(text.begin);
}
