/* `convbn differ`: the smallest witness on which two layers, or two operators, part. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/verdict.h"
#include "dialects/layout.h"
#include "harness/commands.h"
#include "migration/call_text.h"
#include "migration/differ.h"
#include "migration/side.h"

enum { ARENA_BYTES = 1 << 30, SHOWN_ELEMENTS = 64 };

typedef struct arguments {
  const char *words[3];
  int count;
  const char *parameter, *dialect;
  bool each, json;
  int64_t seed, genomes, axes; /* axes 0: as many as both have */
  cbn_search search;
} arguments;

enum { KEY_EACH = 256, KEY_SEED, KEY_GENOMES, KEY_NO_REFUSALS, KEY_FORMAT, KEY_DIALECT, KEY_AXES };

static bool read_count(const char *text, int64_t *count) {
  char *end;
  errno = 0;
  *count = strtoll(text, &end, 10);
  return errno == 0 && end != text && *end == '\0' && *count >= 0;
}

static error_t parse(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  switch (key) {
  case 'p': a->parameter = text; break;
  case KEY_EACH: a->each = true; break;
  case KEY_SEED:
    if (!read_count(text, &a->seed)) argp_error(state, "--seed must be a whole number from 0 on, got '%s'", text);
    break;
  case KEY_GENOMES:
    if (!read_count(text, &a->genomes)) argp_error(state, "--genomes must be a whole number from 0 on, got '%s'", text);
    break;
  case KEY_AXES:
    if (!read_count(text, &a->axes) || a->axes < 1 || a->axes > CBN_MAX_SPATIAL)
      argp_error(state, "--axes must be 1, 2 or 3, got '%s'", text);
    break;
  case KEY_NO_REFUSALS: a->search.partings = CBN_PART_RESULTS; break;
  case KEY_DIALECT: a->dialect = text; break;
  case KEY_FORMAT:
    a->json = strcmp(text, "json") == 0;
    if (!a->json && strcmp(text, "text") != 0) argp_error(state, "--format is text or json, got '%s'", text);
    break;
  case ARGP_KEY_ARG:
    if (a->count == 3)
      argp_error(state, "two layers, two operators, or two dialects and an operator: '%s' is too much", text);
    else a->words[a->count++] = text;
    break;
  case ARGP_KEY_END:
    if (a->count < 2) argp_error(state, "name two layers, two operators, or two dialects and an operator");
    break;
  default: return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

static const struct argp_option options[] = {
    {"parameter", 'p', "NAME", 0, "Only differences by this parameter of the first operator, all others alike", 0},
    {"each", KEY_EACH, NULL, 0, "The smallest witness for each parameter, not only of all", 0},
    {"no-refusals", KEY_NO_REFUSALS, NULL, 0, "What only one of them refuses is no difference", 0},
    {"genomes", KEY_GENOMES, "N", 0, "Draw N problems (default 50) after every small one has been asked", 0},
    {"seed", KEY_SEED, "N", 0, "Of these (default 0)", 0},
    {"axes", KEY_AXES, "N", 0, "Spatial axes, of operators that have any number (default: as many as both have)", 0},
    {"dialect", KEY_DIALECT, "NAME", 0, "Of calls without a module", 0},
    {"format", KEY_FORMAT, "FORMAT", 0, "text (the default) or json", 0},
    {0}};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "CALL CALL\nOPERATOR OPERATOR\nDIALECT DIALECT OPERATOR",
    .doc =
        "Finds the smallest input, and for operators the smallest parameters, on which two frameworks part: in "
        "results, in "
        "shapes, or because one refuses. Operators get equal values under the names that each has for them, as in a "
        "program "
        "that is ported by its parameters' names; all others are given so that both agree.\n\n"
        "  convbn differ \"torch.nn.Conv2d(1, 1, 2, padding='same')\" \"mindspore.nn.Conv2d(1, 1, 2)\"\n"
        "  convbn differ torch.nn.Conv2d mindspore.nn.Conv2d --each\n"
        "  convbn differ pytorch keras Conv2d"
        "\vExit status: 0 no difference was found (the region searched is printed); 1 they differ; 2 bad input."};

/* ---------------------------------------------------------------------------------------------------------- words */

static const char *last_part(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot == NULL ? name : dot + 1;
}

/* The dialect by its name or its module's. */
static bool read_dialect(const char *word, const cbn_dialect **dialect, cbn_error *error) {
  *dialect = cbn_dialect_by_name(word);
  for (const cbn_framework *const *f = cbn_frameworks(); *dialect == NULL && *f != NULL; f++)
    if (strcmp((*f)->module, word) == 0) *dialect = (*f)->dialect;
  return *dialect != NULL || cbn_error_set(error, "there is no dialect '%.100s'; `convbn dialects` lists them", word);
}

static const cbn_dialect_operator *by_last_part(const cbn_dialect *dialect, const char *word) {
  for (size_t i = 0; i < dialect->operator_count; i++)
    if (strcmp(dialect->operators[i].name, word) == 0 ||
        strcasecmp(last_part(dialect->operators[i].name), last_part(word)) == 0)
      return &dialect->operators[i];
  return NULL;
}

static bool read_sides(const arguments *a, cbn_side sides[2], cbn_error *error) {
  if (a->count == 2)
    return cbn_side_read(a->words[0], &sides[0], error) && cbn_side_read(a->words[1], &sides[1], error);
  if (!read_dialect(a->words[0], &sides[0].dialect, error) || !read_dialect(a->words[1], &sides[1].dialect, error))
    return false;
  for (int s = 0; s < 2; s++) sides[s].operator = by_last_part(sides[s].dialect, a->words[2]);
  for (int s = 0; s < 2; s++)
    if (sides[s].operator == NULL && sides[1 - s].operator != NULL)
      sides[s] = cbn_side_counterpart(sides[s].dialect, sides[1 - s].operator->kind, sides[1 - s].operator->transposed,
                                      sides[1 - s].operator->spatial_rank);
  return (sides[0].operator != NULL && sides[1].operator != NULL) ||
         cbn_error_set(error, "%s and %s have no operator '%.100s' in common; `convbn dialects` lists theirs",
                       sides[0].dialect->name, sides[1].dialect->name, a->words[2]);
}

/* --------------------------------------------------------------------------------------------------------- output */

static void print_value(double value) {
  char text[32];
  snprintf(text, sizeof text, "%.7g", value);
  fputs(isnan(value) ? "nan" : text, stdout);
}

static void print_shape(int32_t rank, const int64_t *extent) {
  putchar('(');
  for (int32_t a = 0; a < rank; a++) printf("%s%" PRId64, a > 0 ? ", " : "", extent[a]);
  putchar(')');
}

static void print_tensor(const char *name, const cbn_tensor *tensor) {
  const int64_t count = cbn_tensor_count(tensor);
  printf("  %-13s", name);
  print_shape(tensor->rank, tensor->extent);
  putchar(':');
  for (int64_t i = 0; i < count && i < SHOWN_ELEMENTS; i++) {
    putchar(' ');
    print_value(cbn_tensor_get(tensor, i));
  }
  puts(count > SHOWN_ELEMENTS ? " ..." : "");
}

static void print_answer(const cbn_layer *layer, const cbn_answer *answer) {
  static const int roles[] = {CBN_ROLE_OUTPUT, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
  printf("%s:\n", layer->dialect->name);
  if (answer->rejected) {
    printf("  refuses: %s: %s\n  rule: %s\n", answer->rejection.exception, answer->rejection.message,
           cbn_rule_name((int)answer->rejection.rule));
    return;
  }
  for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
    const cbn_expected *e = &answer->result[roles[i]];
    if (e->rank == 0) continue;
    printf("  %-13s", cbn_role_name(roles[i]));
    print_shape(e->rank, e->extent);
    putchar(':');
    for (int64_t k = 0; k < e->count && k < SHOWN_ELEMENTS; k++) {
      putchar(' ');
      print_value(e->value[k]);
    }
    puts(e->count > SHOWN_ELEMENTS ? " ..." : "");
  }
}

static void print_witness(const cbn_witness *w) {
  char call[2048];
  printf("they differ: %s\n\n", w->sentence);
  cbn_call_print(&w->a, false, call, sizeof call);
  puts(call);
  cbn_call_print(&w->b, false, call, sizeof call);
  printf("%s\n\n%s", call,
         w->at.training                             ? "in training"
         : w->a.operator->kind == CBN_OPERATOR_CONV ? "given"
                                                    : "in evaluation");
  if (w->at.training && w->at.trained > 0)
    printf(", in the call after %" PRId64 " with inputs that are less by 1 each", w->at.trained);
  puts(", axes in the order (batch, channels, spatial):");
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (w->tensor[role].rank > 0) print_tensor(cbn_role_name(role), &w->tensor[role]);
  print_answer(&w->a, &w->of_a);
  print_answer(&w->b, &w->of_b);
}

static json_t *json_of_values(int64_t count, const double *values) {
  json_t *list = json_array();
  for (int64_t i = 0; i < count; i++)
    json_array_append_new(list, isfinite(values[i]) ? json_real(values[i])
                                                    : json_string(isnan(values[i]) ? "nan"
                                                                  : values[i] > 0  ? "inf"
                                                                                   : "-inf"));
  return list;
}

static json_t *json_of_extents(int32_t rank, const int64_t *extent) {
  json_t *list = json_array();
  for (int32_t a = 0; a < rank; a++) json_array_append_new(list, json_integer(extent[a]));
  return list;
}

static json_t *json_of_answer(const cbn_layer *layer, const cbn_answer *answer) {
  char call[2048];
  cbn_call_print(layer, false, call, sizeof call);
  json_t *object = json_pack("{s:s, s:s}", "dialect", layer->dialect->name, "call", call);
  if (answer->rejected) {
    json_object_set_new(object, "rejected",
                        json_pack("{s:s, s:s, s:s}", "rule", cbn_rule_name((int)answer->rejection.rule), "exception",
                                  answer->rejection.exception, "message", answer->rejection.message));
    return object;
  }
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_expected *e = &answer->result[role];
    if (e->rank > 0)
      json_object_set_new(object, cbn_role_name(role),
                          json_pack("{s:o, s:o}", "shape", json_of_extents(e->rank, e->extent), "values",
                                    json_of_values(e->count, e->value)));
  }
  return object;
}

static json_t *json_of_witness(const cbn_witness *w) {
  json_t *tensors = json_object();
  for (int role = 0; role < CBN_ROLE_COUNT; role++) {
    const cbn_tensor *t = &w->tensor[role];
    if (t->rank == 0) continue;
    json_t *values = json_array();
    for (int64_t i = 0; i < cbn_tensor_count(t); i++) json_array_append_new(values, json_real(cbn_tensor_get(t, i)));
    json_object_set_new(tensors, cbn_role_name(role),
                        json_pack("{s:o, s:o}", "shape", json_of_extents(t->rank, t->extent), "values", values));
  }
  return json_pack("{s:s, s:b, s:I, s:o, s:o, s:o}", "difference", w->sentence, "training", w->at.training, "trained",
                   (json_int_t)w->at.trained, "tensors", tensors, "a", json_of_answer(&w->a, &w->of_a), "b",
                   json_of_answer(&w->b, &w->of_b));
}

static void print_region(const arguments *a, const cbn_search *search, bool operators) {
  if (search->layers == 0) {
    puts("nothing to ask: the first has no value of it that the second has a name for");
    return;
  }
  printf("no difference was found: %" PRId64 " pairs of layers in %" PRId64 " situations, extents up to %" PRId64,
         search->layers, search->situations, search->largest_extent);
  if (operators)
    printf(", kernels up to %" PRId64 " and %" PRId64 " problems drawn from seed %" PRId64, search->largest_kernel,
           a->genomes, a->seed);
  puts("");
}

static json_t *json_of_region(const arguments *a, const cbn_search *search) {
  return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "layers", (json_int_t)search->layers, "situations",
                   (json_int_t)search->situations, "largest_extent", (json_int_t)search->largest_extent,
                   "largest_kernel", (json_int_t)search->largest_kernel, "genomes", (json_int_t)a->genomes, "seed",
                   (json_int_t)a->seed);
}

/* Tells one search; returns the exit code. */
static int tell(const arguments *a, bool differs, const char *parameter, const cbn_search *search,
                cbn_witness *witness) {
  if (a->json) {
    json_t *object = json_pack("{s:b, s:o}", "differ", differs, "searched", json_of_region(a, search));
    if (parameter != NULL) json_object_set_new(object, "parameter", json_string(parameter));
    if (differs) json_object_set_new(object, "witness", json_of_witness(witness));
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
  } else {
    if (parameter != NULL) printf("== %s\n", parameter);
    if (differs) print_witness(witness);
    else print_region(a, search, a->count == 3 || strchr(a->words[0], '(') == NULL);
    if (parameter != NULL) putchar('\n');
  }
  if (differs) cbn_witness_release(witness);
  return differs ? CBN_EXIT_DISCREPANCY : CBN_EXIT_EXPECTED;
}

/* -------------------------------------------------------------------------------------------------------- searches */

static int differ_calls(const arguments *a, cbn_arena *arena, cbn_error *error) {
  const cbn_dialect *dialect = NULL;
  cbn_layer layers[2];
  cbn_search search = a->search;
  cbn_witness witness;
  cbn_situation at;
  cbn_rejection rejection;
  if (a->dialect != NULL && !read_dialect(a->dialect, &dialect, error)) return CBN_EXIT_USAGE;
  for (int s = 0; s < 2; s++)
    if (!cbn_call_read(a->words[s], dialect, arena, &layers[s], error)) return CBN_EXIT_USAGE;
  if (layers[0].operator->kind != layers[1].operator->kind) {
    cbn_error_set(error, "a convolution and a batch normalization cannot be held against each other");
    return CBN_EXIT_USAGE;
  }
  if (!cbn_layer_find_situation(&layers[0], &at, &rejection) &&
      !cbn_layer_find_situation(&layers[1], &at, &rejection)) {
    cbn_error_set(error, "neither accepts any input that was tried: %s: %s", rejection.exception, rejection.message);
    return CBN_EXIT_USAGE;
  }
  const bool differs = cbn_differ_layers(&layers[0], &layers[1], &search, &witness);
  return tell(a, differs, NULL, &search, &witness);
}

static bool has_meaning(const cbn_dialect_operator *operator, enum cbn_meaning meaning, cbn_arena *arena) {
  cbn_signature signature;
  if (!cbn_signature_read(operator, arena, &signature)) return false;
  for (int i = 0; i < signature.count; i++)
    if (cbn_meanings_join(cbn_meaning_of(operator, signature.parameter[i].name), meaning)) return true;
  return false;
}

static int search_once(const arguments *a, cbn_starts *const starts[2], enum cbn_meaning meaning, const char *name) {
  cbn_search search = a->search;
  cbn_witness witness[CBN_PARTINGS];
  const unsigned found = cbn_differ_operators(starts[0], starts[1], meaning, &search, witness);
  for (int p = 0; p < CBN_PARTINGS; p++)
    if (found >> p & 1) return tell(a, true, name, &search, &witness[p]);
  return tell(a, false, name, &search, NULL);
}

static int differ_operators(const arguments *a, cbn_arena *arena, cbn_error *error) {
  cbn_side sides[2];
  if (!read_sides(a, sides, error)) return CBN_EXIT_USAGE;
  if (sides[0].operator->kind != sides[1].operator->kind ||
      sides[0].operator->transposed != sides[1].operator->transposed) {
    cbn_error_set(error, "%s and %s are different operations", sides[0].operator->name, sides[1].operator->name);
    return CBN_EXIT_USAGE;
  }
  enum cbn_meaning only = CBN_MEANING_COUNT;
  if (a->parameter != NULL) {
    cbn_signature signature;
    if (!cbn_signature_read(sides[0].operator, arena, &signature)) return CBN_EXIT_USAGE;
    for (int i = 0; i < signature.count && only == CBN_MEANING_COUNT; i++)
      if (strcmp(signature.parameter[i].name, a->parameter) == 0)
        only = cbn_meaning_of(sides[0].operator, a->parameter);
    if (only == CBN_MEANING_COUNT) {
      const char *near = cbn_signature_nearest(&signature, a->parameter);
      cbn_error_set(error, "%s has no parameter '%.60s'%s%s", sides[0].operator->name, a->parameter,
                    near != NULL ? "; the nearest is " : "", near != NULL ? near : "");
      return CBN_EXIT_USAGE;
    }
  }
  const int32_t axes = cbn_sides_axes(sides);
  cbn_starts *starts[2];
  for (int s = 0; s < 2; s++) {
    starts[s] = cbn_starts_create(sides[s].dialect, sides[s].operator, a->axes > 0 ? (int32_t)a->axes : axes,
                                  (uint64_t)a->seed, a->genomes, arena);
    if (starts[s] == NULL) return CBN_EXIT_USAGE;
  }
  if (!a->each) return search_once(a, starts, only, NULL);
  int code = CBN_EXIT_EXPECTED;
  for (int m = 0; m < CBN_MEANING_OTHER; m++) {
    if (m == CBN_MEANING_PADDING_RULE) continue; /* with the amounts */
    if (!has_meaning(sides[0].operator, (enum cbn_meaning)m, arena) &&
        !has_meaning(sides[1].operator, (enum cbn_meaning)m, arena))
      continue;
    const int one = search_once(a, starts, (enum cbn_meaning)m, cbn_meaning_name((enum cbn_meaning)m));
    if (one > code) code = one;
  }
  return code;
}

int cbn_command_differ(int argc, char **argv) {
  arguments a = {.genomes = 50, .search = {.partings = CBN_PART_ANYHOW, .first = true}};
  cbn_error error = {0};
  argp_err_exit_status = CBN_EXIT_USAGE;
  argp_parse(&argp, argc, argv, 0, NULL, &a);
  cbn_arena *arena = cbn_arena_create(ARENA_BYTES);
  if (arena == NULL) cbn_error_set(&error, "%s", strerror(ENOMEM));
  const bool calls = strchr(a.words[0], '(') != NULL;
  int code = CBN_EXIT_USAGE;
  if (arena != NULL && calls != (strchr(a.words[1], '(') != NULL))
    cbn_error_set(&error, "two calls, or two operators: one of each cannot be held against each other");
  else if (arena != NULL && calls && a.count == 3)
    cbn_error_set(&error, "two calls are enough: '%.60s' is too much", a.words[2]);
  else if (arena != NULL) code = calls ? differ_calls(&a, arena, &error) : differ_operators(&a, arena, &error);
  if (error.text[0] != '\0') fprintf(stderr, "%s: %s\n", argv[0], error.text);
  if (fflush(stdout) != 0) code = CBN_EXIT_USAGE;
  cbn_arena_destroy(arena);
  return code;
}
