#include "migration/differ.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <convbn/reference.h>

#include "dialects/layout.h"
#include "dialects/parameters.h"
#include "generator/generator.h"
#include "migration/framework.h"
#include "migration/translate.h"

/* ------------------------------------------------------------------------------------------------------ answers */

/* In this order two answers are held against each other. */
static const int result_roles[] = {CBN_ROLE_OUTPUT, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
static const int given_roles[] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN,
                                  CBN_ROLE_RUNNING_VAR};
enum {
  RESULT_ROLES = sizeof result_roles / sizeof result_roles[0],
  GIVEN_ROLES = sizeof given_roles / sizeof given_roles[0]
};

void cbn_witness_release(cbn_witness *witness) {
  for (int role = 0; role < CBN_ROLE_COUNT; role++) cbn_tensor_release(&witness->tensor[role]);
  for (int i = 0; i < RESULT_ROLES; i++) {
    cbn_expected_release(&witness->of_a.result[result_roles[i]]);
    cbn_expected_release(&witness->of_b.result[result_roles[i]]);
  }
  *witness = (cbn_witness){0};
}

/* Element i of what both get. Input elements are counted, a kernel's are powers of ten, so that a sum shows its terms. */
static double element(int role, int64_t i) {
  switch (role) {
  case CBN_ROLE_INPUT: return (double)(i % 97 + 1);
  case CBN_ROLE_WEIGHT: return pow(10, (double)(i % 4));
  case CBN_ROLE_BIAS: return (double)(5 + i % 3);
  case CBN_ROLE_RUNNING_MEAN: return (double)(1 + i % 5);
  default: return 4;
  }
}

/* Makes the tensor of a plan, where it has it and no plan before has made it. False without memory. */
static bool give(const cbn_plan *plan, int role, int32_t type, cbn_tensor *tensor) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(plan, role, extent);
  if (rank == 0 || tensor->rank > 0) return true;
  if (!cbn_tensor_describe(tensor, type, rank, extent, CBN_CONTIGUOUS) || !cbn_tensor_allocate(tensor)) return false;
  const int64_t count = cbn_tensor_count(tensor);
  for (int64_t i = 0; i < count; i++) cbn_tensor_set(tensor, i, element(role, i));
  return true;
}

/* The input of the k-th call, from 0: each is greater by 1 than the one before. */
static void renew_input(cbn_tensor *input, int64_t k) {
  const int64_t count = input->rank > 0 ? cbn_tensor_count(input) : 0;
  for (int64_t i = 0; i < count; i++) cbn_tensor_set(input, i, element(CBN_ROLE_INPUT, i) + (double)k);
}

static bool same_extents(const cbn_tensor *tensor, int32_t rank, const int64_t *extent) {
  return tensor->rank == rank && memcmp(tensor->extent, extent, (size_t)rank * sizeof *extent) == 0;
}

/* The tensors as a call of the plan gets them: those that it has. False where one has another shape. */
static bool take(const cbn_plan *plan, const cbn_witness *witness, const cbn_tensor *tensor[CBN_ROLE_COUNT],
                 int *other) {
  for (int i = 0; i < GIVEN_ROLES; i++) {
    int64_t extent[CBN_MAX_RANK];
    const int32_t rank = cbn_plan_extents(plan, given_roles[i], extent);
    if (rank == 0) continue;
    *other = given_roles[i];
    if (!same_extents(&witness->tensor[given_roles[i]], rank, extent)) return false;
    tensor[given_roles[i]] = &witness->tensor[given_roles[i]];
  }
  return true;
}

static bool allocate(cbn_expected *expected, const cbn_plan *plan, int role, int32_t type) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_extents(plan, role, extent);
  return rank == 0 || expected->rank > 0 || cbn_expected_allocate(expected, type, rank, extent);
}

/* The statistics before the first step. */
static void set_statistics(const cbn_tensor *given, cbn_expected *held) {
  for (int64_t i = 0; i < held->count; i++)
    cbn_expected_put(held, i, (cbn_interval){.value = cbn_tensor_get(given, i)});
}

/* Computes one call: the output, and what becomes of the statistics. False without memory. */
static bool compute(const cbn_plan *plan, const cbn_tensor *const tensor[CBN_ROLE_COUNT], const cbn_situation *at,
                    bool first, cbn_answer *answer) {
  cbn_expected *output = &answer->result[CBN_ROLE_OUTPUT], *mean = &answer->result[CBN_ROLE_RUNNING_MEAN],
               *var = &answer->result[CBN_ROLE_RUNNING_VAR];
  if (!allocate(output, plan, CBN_ROLE_OUTPUT, at->input_type)) return false;
  if (plan->kind == CBN_OPERATOR_CONV) return cbn_reference_conv(&plan->conv, tensor, 0, output);
  if (!allocate(mean, plan, CBN_ROLE_RUNNING_MEAN, at->layer_type) ||
      !allocate(var, plan, CBN_ROLE_RUNNING_VAR, at->layer_type))
    return false;
  if (first && mean->rank > 0) set_statistics(tensor[CBN_ROLE_RUNNING_MEAN], mean);
  if (first && var->rank > 0) set_statistics(tensor[CBN_ROLE_RUNNING_VAR], var);
  cbn_reference_batchnorm(&plan->batchnorm, tensor, mean->rank > 0 ? mean : NULL, var->rank > 0 ? var : NULL, 0,
                          output);
  return true;
}

/* One side's whole answer: the steps in training before the situation, then its own. The first refusal is the answer. */
static bool answer_of(const cbn_layer *layer, const cbn_situation *at, cbn_witness *witness, cbn_answer *answer,
                      int *other_shape) {
  cbn_situation step = *at;
  *other_shape = -1;
  for (step.trained = at->training ? 0 : at->trained; step.trained <= at->trained; step.trained++) {
    const cbn_tensor *tensor[CBN_ROLE_COUNT] = {0};
    const bool first = answer->steps++ == 0;
    answer->rejected = !cbn_layer_plan(layer, &step, &answer->plan, &answer->rejection);
    if (answer->rejected) return true;
    for (int i = 0; i < GIVEN_ROLES; i++)
      if (!give(&answer->plan, given_roles[i], given_roles[i] == CBN_ROLE_INPUT ? at->input_type : at->layer_type,
                &witness->tensor[given_roles[i]]))
        return false;
    renew_input(&witness->tensor[CBN_ROLE_INPUT], at->training ? step.trained : 0);
    if (!take(&answer->plan, witness, tensor, other_shape)) return true;
    *other_shape = -1;
    if (!compute(&answer->plan, tensor, at, first, answer)) return false;
  }
  return true;
}

/* --------------------------------------------------------------------------------------------------- comparison */

static void print_extents(int32_t rank, const int64_t *extent, char *text, size_t size) {
  size_t length = (size_t)snprintf(text, size, "(");
  for (int32_t a = 0; a < rank && length < size; a++)
    length += (size_t)snprintf(text + length, size - length, "%s%" PRId64, a > 0 ? ", " : "", extent[a]);
  if (length < size) snprintf(text + length, size - length, ")");
}

/* A side, told from the other. */
static const char *label(const cbn_witness *w, bool second) {
  const cbn_layer *layer = second ? &w->b : &w->a;
  if (w->a.dialect != w->b.dialect) return layer->dialect->name;
  return w->a.operator != w->b.operator ? layer->operator->name : second ? "the second" : "the first";
}

static void say_refusal(cbn_witness *w) {
  const bool second = w->of_b.rejected;
  const cbn_rejection *r = second ? &w->of_b.rejection : &w->of_a.rejection;
  w->parting = second ? CBN_PART_SECOND_REFUSES : CBN_PART_FIRST_REFUSES;
  snprintf(w->sentence, sizeof w->sentence, "%s refuses (%s, %s: %.160s)", label(w, second), r->exception,
           cbn_rule_name((int)r->rule), r->message);
}

/* Do no two values, one of each, lie in both intervals? */
static bool apart(const cbn_interval *a, const cbn_interval *b) {
  if ((a->flags | b->flags) & (CBN_INCONCLUSIVE | CBN_OR_NAN | CBN_OR_INFINITY)) return false;
  if (isnan(a->value) || isnan(b->value)) return isnan(a->value) != isnan(b->value);
  return a->value != b->value && fabs(a->value - b->value) > a->bound + b->bound;
}

static bool results_differ(cbn_witness *w, int role) {
  const cbn_expected *a = &w->of_a.result[role], *b = &w->of_b.result[role];
  char of_a[96], of_b[96];
  if (a->rank == 0 || b->rank == 0) return false;
  w->role = role;
  w->parting = CBN_PART_SHAPES;
  if (a->rank != b->rank || memcmp(a->extent, b->extent, (size_t)a->rank * sizeof a->extent[0]) != 0) {
    print_extents(a->rank, a->extent, of_a, sizeof of_a);
    print_extents(b->rank, b->extent, of_b, sizeof of_b);
    snprintf(w->sentence, sizeof w->sentence, "the shape of %s is %s in %s and %s in %s", cbn_role_name(role), of_a,
             label(w, false), of_b, label(w, true));
    return true;
  }
  for (int64_t i = 0; i < a->count; i++) {
    const cbn_interval x = cbn_expected_at(a, i), y = cbn_expected_at(b, i);
    int64_t index[CBN_MAX_RANK];
    if (!apart(&x, &y)) continue;
    cbn_unravel(a->rank, a->extent, i, index);
    print_extents(a->rank, index, of_a, sizeof of_a);
    w->index = i;
    w->parting = CBN_PART_VALUES;
    snprintf(w->sentence, sizeof w->sentence, "%s%s is %.9g in %s and %.9g in %s", cbn_role_name(role), of_a, x.value,
             label(w, false), y.value, label(w, true));
    return true;
  }
  return false;
}

/* Ways to differ, as bits: a result's role, a given tensor's, and these. */
enum { FIRST_REFUSES = 1 << CBN_ROLE_COUNT, SECOND_REFUSES = 2 << CBN_ROLE_COUNT };

/* The ways that do not count where these partings do. */
static int ignored_ways(unsigned partings) {
  return (partings >> CBN_PART_FIRST_REFUSES & 1 ? 0 : FIRST_REFUSES) |
         (partings >> CBN_PART_SECOND_REFUSES & 1 ? 0 : SECOND_REFUSES);
}

/* Says how the answers differ, in the first way that is not among `ignored`; returns all ways. */
static int differ(cbn_witness *w, int ignored, int other_of_a, int other_of_b) {
  const int other = other_of_a >= 0 ? other_of_a : other_of_b;
  int ways = 0;
  w->role = -1;
  w->index = -1;
  if (w->of_a.rejected || w->of_b.rejected) {
    if (w->of_a.rejected != w->of_b.rejected) ways = w->of_a.rejected ? FIRST_REFUSES : SECOND_REFUSES;
    if (ways & ~ignored) say_refusal(w);
    return ways;
  }
  if (other >= 0) {
    w->role = other;
    w->parting = CBN_PART_SHAPES;
    snprintf(w->sentence, sizeof w->sentence, "the %s has another shape in %s than in %s", cbn_role_name(other),
             label(w, true), label(w, false));
    return 1 << other;
  }
  for (int i = RESULT_ROLES - 1; i >= 0; i--) {
    const int way = 1 << result_roles[i];
    cbn_witness before = *w;
    if (!results_differ(w, result_roles[i])) continue;
    ways |= way;
    if (way & ignored) *w = before;
  }
  return ways;
}

static bool same_operator(const cbn_plan *a, const cbn_plan *b) {
  return a->kind == b->kind &&
         (a->kind == CBN_OPERATOR_CONV ? memcmp(&a->conv, &b->conv, sizeof a->conv) == 0
                                       : memcmp(&a->batchnorm, &b->batchnorm, sizeof a->batchnorm) == 0);
}

bool cbn_is_limit(const cbn_rejection *rejection) { return strcmp(rejection->exception, "NotImplemented") == 0; }

/* What plans alone say: nothing that counts can part them there, for all steps' operators are the same, both refuse, or
 * they part in a way that is not sought, or beyond a dialect's limits. */
static bool is_settled(const cbn_layer *a, const cbn_layer *b, const cbn_situation *at, unsigned partings) {
  cbn_situation step = *at;
  for (step.trained = at->training ? 0 : at->trained; step.trained <= at->trained; step.trained++) {
    cbn_plan plan[2];
    cbn_rejection first, second;
    int64_t extent[2][CBN_MAX_RANK];
    const bool of_a = cbn_layer_plan(a, &step, &plan[0], &first), of_b = cbn_layer_plan(b, &step, &plan[1], &second);
    if ((!of_a && (!of_b || cbn_is_limit(&first))) || (!of_b && cbn_is_limit(&second))) return true;
    if (!of_a || !of_b) return !(partings >> (of_a ? CBN_PART_SECOND_REFUSES : CBN_PART_FIRST_REFUSES) & 1);
    const int32_t rank = cbn_plan_extents(&plan[0], CBN_ROLE_OUTPUT, extent[0]);
    if (cbn_plan_extents(&plan[1], CBN_ROLE_OUTPUT, extent[1]) != rank ||
        memcmp(extent[0], extent[1], (size_t)rank * sizeof extent[0][0]) != 0)
      return !(partings >> CBN_PART_SHAPES & 1);
    if (!same_operator(&plan[0], &plan[1])) return false;
  }
  return true;
}

/* Asks both; -1 without memory, with nothing to release. */
static int ask(const cbn_layer *a, const cbn_layer *b, const cbn_situation *at, int ignored, cbn_witness *witness) {
  int other_of_a, other_of_b = -1;
  *witness = (cbn_witness){.a = *a, .b = *b, .at = *at};
  if (!answer_of(a, at, witness, &witness->of_a, &other_of_a) ||
      !answer_of(b, at, witness, &witness->of_b, &other_of_b)) {
    cbn_witness_release(witness);
    return -1;
  }
  return differ(witness, ignored, other_of_a, other_of_b);
}

bool cbn_ask_both(const cbn_layer *a, const cbn_layer *b, const cbn_situation *at, unsigned partings,
                  cbn_witness *witness, bool *failed) {
  const int ignored = ignored_ways(partings), ways = ask(a, b, at, ignored, witness);
  *failed = ways < 0;
  return !*failed && (ways & ~ignored) != 0 && (partings >> witness->parting & 1);
}

/* ---------------------------------------------------------------------------------------------------- situations */

/* All extents up to these, and then equal ones. */
enum { EVERY_EXTENT_OF_ONE = 12, EVERY_EXTENT_OF_TWO = 5, EVERY_EXTENT_OF_THREE = 3, LARGEST_EXTENT = 12 };
enum { LARGEST_NORMALIZED = 4 }; /* a normalization sees how many values there are, not where */

typedef struct extents {
  int64_t of[CBN_MAX_SPATIAL], product;
  bool equal;
} extents;

static int by_product(const void *a, const void *b) {
  const extents *x = a, *y = b;
  if (x->product != y->product) return x->product < y->product ? -1 : 1;
  return memcmp(x->of, y->of, sizeof x->of);
}

enum { MOST_EXTENTS = 512, MOST_STRIDE = 64 };

/* Extents of so many axes, smallest first; returns how many. */
static int list_extents(enum cbn_operator kind, int32_t axes, extents list[MOST_EXTENTS]) {
  static const int64_t every[] = {1, EVERY_EXTENT_OF_ONE, EVERY_EXTENT_OF_TWO, EVERY_EXTENT_OF_THREE};
  const bool norm = kind == CBN_OPERATOR_BATCHNORM;
  int count = 0;
  int64_t total = 1;
  for (int32_t a = 0; a < axes; a++) total *= every[axes];
  for (int64_t i = 0; i < total; i++) {
    extents e = {.product = 1, .equal = true};
    int64_t rest = i;
    for (int32_t a = 0; a < axes; a++, rest /= every[axes]) {
      e.product *= e.of[a] = rest % every[axes] + 1;
      e.equal = e.equal && e.of[a] == e.of[0];
    }
    if (!norm || e.product <= LARGEST_NORMALIZED) list[count++] = e;
  }
  for (int64_t n = every[axes] + 1; axes > 0 && !norm && n <= LARGEST_EXTENT; n++) {
    extents e = {.product = 1, .equal = true};
    for (int32_t a = 0; a < axes; a++) e.product *= e.of[a] = n;
    list[count++] = e;
  }
  qsort(list, (size_t)count, sizeof *list, by_product);
  return count;
}

/* What is asked at each size, smallest first. */
static const struct {
  int64_t batch;
  bool unbatched, training;
  int64_t trained;
} asked[] = {{1, false, false, 0}, {1, false, true, 0}, {2, false, false, 0}, {2, false, true, 0},
             {2, false, true, 1},  {2, false, true, 2}, {1, true, false, 0}};
enum { ASKED = sizeof asked / sizeof asked[0] };

/* Of convolutions, batches of two and inputs without a batch where all extents are equal. */
static bool is_worth_asking(enum cbn_operator kind, int which, const extents *e) {
  if (kind == CBN_OPERATOR_BATCHNORM) return !asked[which].unbatched;
  return !asked[which].training && (e->equal || (asked[which].batch == 1 && !asked[which].unbatched));
}

/* What is sought, and what was found of it: of each parting the first. */
typedef struct hunt {
  cbn_search *search;
  unsigned wanted, found; /* bits */
  cbn_witness *witness;   /* of each parting */
} hunt;

typedef struct change_of_both change_of_both;
static bool blames_another(const change_of_both *change, const cbn_layer layers[2], const cbn_situation *at);
static void leave_defaults(const change_of_both *change, cbn_layer *layer, const cbn_situation *at);

/* The ways in which both differ there that were not there before the change; with a witness to be released unless it is
 * -1. */
static int ask_for_new(const cbn_layer layers[2], const cbn_layer *agreed, const cbn_situation *at, unsigned partings,
                       cbn_witness *witness) {
  const int ignored = ignored_ways(partings), ways = ask(&layers[0], &layers[1], at, ignored, witness);
  if (ways < 0 || (ways & ~ignored) == 0 || agreed == NULL) return ways < 0 ? ways : ways & ~ignored;
  cbn_witness_release(witness);
  const int before = ask(&agreed[0], &agreed[1], at, 0, witness);
  if (before < 0) return before;
  if ((ways & ~ignored & ~before) == 0) return 0;
  cbn_witness_release(witness);
  const int again = ask(&layers[0], &layers[1], at, ignored | before, witness);
  return again < 0 ? again : again & ~ignored & ~before;
}

/* The largest stride of a convolution that one of them accepts at the start. */
static int64_t stride_of(const cbn_layer layers[2], const cbn_situation *start) {
  int64_t stride = 1;
  for (int side = 0; side < 2; side++) {
    cbn_plan plan;
    cbn_rejection ignored;
    if (!cbn_layer_plan(&layers[side], start, &plan, &ignored) || plan.kind != CBN_OPERATOR_CONV) continue;
    for (int32_t a = 0; a < start->axes; a++)
      if (plan.conv.stride[a] > stride) stride = plan.conv.stride[a];
  }
  return stride < MOST_STRIDE ? stride : MOST_STRIDE;
}

/* Adds, of layers whose kernels or strides are larger than what is on the list, the extents up to two strides around those at the
 * start, which one of them accepts. Returns how many there are now. */
static int add_extents(const cbn_layer layers[2], const cbn_situation *start, extents list[MOST_EXTENTS], int count) {
  const int64_t around = 2 * stride_of(layers, start);
  int64_t largest = 0;
  for (int32_t a = 0; a < start->axes; a++)
    if (start->extent[a] > largest) largest = start->extent[a];
  if (layers[0].operator->kind != CBN_OPERATOR_CONV || largest + around <= LARGEST_EXTENT) return count;
  for (int64_t k = -around; k <= around && count < MOST_EXTENTS; k++) {
    extents e = {.product = 1};
    for (int32_t a = 0; a < start->axes; a++) {
      e.of[a] = start->extent[a] + k;
      e.product = e.of[a] > 0 ? cbn_saturating_multiply(e.product, e.of[a]) : 0;
    }
    if (e.product > 0) list[count++] = e;
  }
  qsort(list, (size_t)count, sizeof *list, by_product);
  return count;
}

/* Looks for the smallest situations, of the axes of `at`, in which both layers differ in a way in which those that agreed before
 * the change (NULL: none) do not. */
static void search_situations(const cbn_layer layers[2], const cbn_layer *agreed, const change_of_both *change,
                              const cbn_situation *start, hunt *h) {
  extents list[MOST_EXTENTS];
  cbn_situation at = *start;
  const enum cbn_operator kind = layers[0].operator->kind;
  const int count = add_extents(layers, start, list, list_extents(kind, at.axes, list));
  h->search->layers++;
  for (int i = 0; i < count * ASKED && h->wanted != 0; i++) {
    const int which = i % ASKED;
    const extents *e = &list[i / ASKED];
    cbn_witness witness;
    if (!is_worth_asking(kind, which, e)) continue;
    at.batch = asked[which].batch;
    at.unbatched = asked[which].unbatched;
    at.training = asked[which].training;
    at.trained = asked[which].trained;
    memcpy(at.extent, e->of, sizeof at.extent);
    h->search->situations++;
    for (int axis = 0; axis < at.axes; axis++)
      if (at.extent[axis] > h->search->largest_extent) h->search->largest_extent = at.extent[axis];
    if (is_settled(&layers[0], &layers[1], &at, h->wanted)) continue;
    const int ways = ask_for_new(layers, agreed, &at, h->search->partings, &witness);
    const unsigned bit = ways > 0 ? 1u << witness.parting : 0;
    const bool blameless = (bit & h->wanted) != 0 && change != NULL && blames_another(change, layers, &at);
    if ((bit & h->wanted) != 0 && !blameless) {
      for (int side = 0; side < 2 && change != NULL; side++)
        leave_defaults(change, side == 0 ? &witness.a : &witness.b, &at);
      h->witness[witness.parting] = witness;
      h->found |= bit;
      h->wanted = h->search->first ? 0 : h->wanted & ~bit;
    } else if (ways >= 0) {
      cbn_witness_release(&witness);
    }
    if (blameless) return;
  }
}

bool cbn_differ_layers(const cbn_layer *a, const cbn_layer *b, cbn_search *search, cbn_witness *witness) {
  const cbn_layer layers[2] = {*a, *b};
  cbn_witness found[CBN_PARTINGS];
  cbn_search one = *search;
  cbn_situation at;
  cbn_rejection ignored;
  one.first = true;
  hunt h = {.search = &one, .wanted = search->partings, .witness = found};
  if (cbn_layer_find_situation(a, &at, &ignored) || cbn_layer_find_situation(b, &at, &ignored))
    search_situations(layers, NULL, NULL, &at, &h);
  one.first = search->first;
  *search = one;
  for (int p = 0; p < CBN_PARTINGS; p++)
    if (h.found >> p & 1) *witness = found[p];
  return h.found != 0;
}

/* ----------------------------------------------------------------------------------------------------------- ports */

static bool is_padding(enum cbn_meaning meaning) {
  return meaning == CBN_MEANING_PADDING || meaning == CBN_MEANING_PADDING_RULE;
}

bool cbn_meanings_join(enum cbn_meaning a, enum cbn_meaning b) { return a == b || (is_padding(a) && is_padding(b)); }

/* Where the value of a parameter with that meaning goes: rules and amounts are one parameter here and two there. */
static const cbn_parameter_info *target_of(const cbn_dialect_operator *operator, const cbn_signature *signature,
                                           enum cbn_meaning meaning, const cbn_value *value) {
  const cbn_parameter_info *amounts = cbn_parameter_meaning(operator, signature, CBN_MEANING_PADDING),
                           *rule = cbn_parameter_meaning(operator, signature, CBN_MEANING_PADDING_RULE);
  if (!is_padding(meaning)) return cbn_parameter_meaning(operator, signature, meaning);
  return value->kind == CBN_STRING && rule != NULL ? rule : amounts;
}

/* A map with one entry changed: `value` NULL takes it out. NULL without memory. */
static const cbn_value *with_entry(const cbn_value *map, const char *name, const cbn_value *value, cbn_arena *arena) {
  const size_t count = map == NULL ? 0 : map->as.map.count;
  cbn_value *made = cbn_arena_allocate(arena, sizeof *made), *key = cbn_arena_allocate(arena, sizeof *key);
  const cbn_value **keys = cbn_arena_allocate(arena, (count + 1) * sizeof *keys),
                  **items = cbn_arena_allocate(arena, (count + 1) * sizeof *items);
  if (made == NULL || key == NULL || keys == NULL || items == NULL) return NULL;
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (cbn_value_is(map->as.map.keys[i], name)) continue;
    keys[kept] = map->as.map.keys[i];
    items[kept++] = map->as.map.items[i];
  }
  if (value != NULL) {
    *key = (cbn_value){.kind = CBN_STRING, .as.string = {name, strlen(name)}};
    keys[kept] = key;
    items[kept++] = value;
  }
  *made = (cbn_value){.kind = CBN_MAP, .as.map = {keys, items, kept}};
  return made;
}

/* Gives `layer` the value that `of` has under the meaning, or its default where it has none, by its own name. */
static bool port_meaning(const cbn_layer *of, enum cbn_meaning meaning, const cbn_signature *signature,
                         cbn_arena *arena, cbn_layer *layer) {
  for (int i = 0; i < signature->count; i++) {
    const char *name = signature->parameter[i].name;
    const enum cbn_meaning own = cbn_meaning_of(layer->operator, name);
    if (!cbn_meanings_join(own, meaning)) continue;
    layer->params = with_entry(layer->params, name, NULL, arena);
    if (layer->params == NULL) return false;
  }
  for (size_t i = 0; of->params != NULL && i < of->params->as.map.count; i++) {
    const cbn_value *value = of->params->as.map.items[i];
    const enum cbn_meaning its = cbn_meaning_of(of->operator, of->params->as.map.keys[i]->as.string.text);
    if (!cbn_meanings_join(its, meaning)) continue;
    const cbn_parameter_info *target = target_of(layer->operator, signature, its, value);
    if (target == NULL) continue;
    char *name = cbn_arena_copy(arena, target->name, strlen(target->name));
    layer->params = name == NULL ? NULL : with_entry(layer->params, name, value, arena);
    if (layer->params == NULL) return false;
  }
  return true;
}

bool cbn_port_by_name(const cbn_layer *layer, const cbn_dialect *dialect, const cbn_dialect_operator *operator,
                      cbn_arena *arena, cbn_layer *ported) {
  cbn_signature signature;
  cbn_layer made = {.dialect = dialect, .operator = operator};
  if (!cbn_signature_read(operator, arena, &signature)) return false;
  for (int m = 0; m < CBN_MEANING_COUNT; m++)
    if (!is_padding((enum cbn_meaning)m) || m == CBN_MEANING_PADDING)
      if (!port_meaning(layer, (enum cbn_meaning)m, &signature, arena, &made)) return false;
  memcpy(made.tensor, ported->tensor, sizeof made.tensor);
  *ported = made;
  return true;
}

#define TEXT(words)                                                                                                    \
  {                                                                                                                    \
    .kind = CBN_STRING, .as.string = { words, sizeof words - 1 }                                                       \
  }
#define REAL(number)                                                                                                   \
  { .kind = CBN_REAL, .as.real = number }
#define INTEGER(number)                                                                                                \
  { .kind = CBN_INTEGER, .as.integer = number }
#define TRUE_OR_FALSE                                                                                                  \
  {.kind = CBN_BOOLEAN, .as.boolean = true}, { .kind = CBN_BOOLEAN }
#define NONE                                                                                                           \
  { .kind = CBN_NULL }

/* Values that some framework knows under the meaning, beside those that the bases have: names first. */
static const cbn_value *values_of(enum cbn_meaning meaning, int *count) {
  static const cbn_value one = INTEGER(1), two = INTEGER(2);
  static const cbn_value *const one_item[] = {&one}, *const two_items[] = {&one, &two};
  static const cbn_value paddings[] = {TEXT("valid"),
                                       TEXT("same"),
                                       TEXT("VALID"),
                                       TEXT("SAME"),
                                       TEXT("SAME_UPPER"),
                                       TEXT("SAME_LOWER"),
                                       TEXT("causal"),
                                       TEXT("CAUSAL"),
                                       INTEGER(1),
                                       INTEGER(-1),
                                       {.kind = CBN_LIST, .as.list = {one_item, 1}},
                                       {.kind = CBN_LIST, .as.list = {two_items, 2}}};
  static const cbn_value modes[] = {TEXT("zeros"), TEXT("reflect"), TEXT("replicate"), TEXT("circular")};
  static const cbn_value epsilons[] = {REAL(0.0), REAL(1.0), REAL(2.0), REAL(-1.0)};
  static const cbn_value momenta[] = {REAL(0.0), REAL(0.5), REAL(1.0), REAL(2.0), NONE};
  static const cbn_value flags[] = {TRUE_OR_FALSE, NONE};
  static const cbn_value numbers[] = {INTEGER(0),
                                      INTEGER(1),
                                      INTEGER(2),
                                      {.kind = CBN_LIST, .as.list = {one_item, 1}},
                                      {.kind = CBN_LIST, .as.list = {two_items, 2}}};
#define VALUES(list) (*count = (int)(sizeof list / sizeof list[0]), list)
  switch (meaning) {
  case CBN_MEANING_PADDING:
  case CBN_MEANING_PADDING_RULE: return VALUES(paddings);
  case CBN_MEANING_PADDING_MODE: return VALUES(modes);
  case CBN_MEANING_EPSILON: return VALUES(epsilons);
  case CBN_MEANING_MOMENTUM: return VALUES(momenta);
  case CBN_MEANING_BIAS:
  case CBN_MEANING_SCALE:
  case CBN_MEANING_SHIFT:
  case CBN_MEANING_STATISTICS: return VALUES(flags);
  case CBN_MEANING_KERNEL_SIZE:
  case CBN_MEANING_STRIDE:
  case CBN_MEANING_DILATION:
  case CBN_MEANING_OUTPUT_PADDING:
  case CBN_MEANING_GROUPS: return VALUES(numbers);
  default: *count = 0; return NULL;
  }
#undef VALUES
}

bool cbn_layer_keep_required(cbn_layer *layer, cbn_arena *arena) {
  cbn_signature signature;
  if (!cbn_signature_read(layer->operator, arena, &signature)) return false;
  for (int i = 0; i < signature.count; i++) {
    if (signature.parameter[i].required) continue;
    layer->params = with_entry(layer->params, signature.parameter[i].name, NULL, arena);
    if (layer->params == NULL) return false;
  }
  return true;
}

static bool equal_values(const cbn_value *a, const cbn_value *b) {
  char of_a[256], of_b[256];
  if (b == NULL) return false;
  if (a->kind == CBN_LIST && b->kind != CBN_LIST) { /* one entry for each axis, all alike */
    for (size_t i = 0; i < a->as.list.count; i++)
      if (!equal_values(a->as.list.items[i], b)) return false;
    return a->as.list.count > 0;
  }
  cbn_value_print(a, of_a, sizeof of_a);
  cbn_value_print(b, of_b, sizeof of_b);
  return strcmp(of_a, of_b) == 0;
}

/* Do they mean the same in both modes, or are both refused by one rule? */
static bool plans_are_equal(const cbn_layer *a, const cbn_layer *b, const cbn_situation *at) {
  cbn_situation s = *at;
  for (int mode = 0; mode < 2; mode++) {
    cbn_plan of_a = {0}, of_b = {0};
    cbn_rejection first = {.rule = CBN_RULE_COUNT}, second = {.rule = CBN_RULE_COUNT};
    s.training = mode == 1;
    if (cbn_layer_plan(a, &s, &of_a, &first) != cbn_layer_plan(b, &s, &of_b, &second) || first.rule != second.rule)
      return false;
    if (first.rule == CBN_RULE_COUNT && !same_operator(&of_a, &of_b)) return false;
  }
  return true;
}

void cbn_layer_leave_defaults(cbn_layer *layer, const cbn_situation *at, enum cbn_meaning but, cbn_arena *arena) {
  cbn_signature signature;
  cbn_layer left = *layer;
  if (!cbn_signature_read(layer->operator, arena, &signature)) return;
  for (int i = 0; i < signature.count && left.params != NULL; i++) {
    const cbn_parameter_info *info = &signature.parameter[i];
    const cbn_value *value = cbn_value_get(left.params, info->name);
    if (value == NULL || info->required || !equal_values(value, info->fallback) ||
        cbn_meanings_join(cbn_meaning_of(layer->operator, info->name), but))
      continue;
    left.params = with_entry(left.params, info->name, NULL, arena);
  }
  if (left.params != NULL && plans_are_equal(layer, &left, at)) *layer = left;
}

bool cbn_layer_set(cbn_layer *layer, enum cbn_meaning meaning, const cbn_value *value, cbn_arena *arena) {
  cbn_signature signature;
  if (!cbn_signature_read(layer->operator, arena, &signature)) return false;
  const cbn_parameter_info *info = target_of(layer->operator, &signature, meaning, value);
  char *name = info == NULL ? NULL : cbn_arena_copy(arena, info->name, strlen(info->name));
  if (name == NULL) return false;
  layer->params = with_entry(layer->params, name, value, arena);
  return layer->params != NULL;
}

bool cbn_layer_name_padding(cbn_layer *layer, const cbn_situation *at, const char *name, cbn_arena *arena) {
  cbn_signature signature;
  const cbn_layer nothing = {.operator = layer->operator};
  int count;
  const cbn_value *values = values_of(CBN_MEANING_PADDING, &count);
  if (!cbn_signature_read(layer->operator, arena, &signature)) return false;
  for (int i = 0; i < count; i++) {
    cbn_layer named = *layer;
    cbn_plan plan;
    cbn_rejection ignored;
    if (values[i].kind != CBN_STRING || strncasecmp(values[i].as.string.text, name, strlen(name)) != 0) continue;
    if (!port_meaning(&nothing, CBN_MEANING_PADDING, &signature, arena, &named) ||
        !cbn_layer_set(&named, CBN_MEANING_PADDING, &values[i], arena) || !cbn_whole_plan(&named, at, &plan, &ignored))
      continue;
    *layer = named;
    return true;
  }
  return false;
}

/* --------------------------------------------------------------------------------------------------- operators */

/* A layer in the operator's own terms, which both sides translate, so that they agree before one parameter is changed. */
typedef struct base {
  int64_t kernel, stride, dilation, padding, groups, output_padding, cost;
  bool flag; /* a bias; of a batch normalization: no scale and no shift */
  double epsilon, new_weight;
} base;

enum { MOST_BASES = 256, MOST_CHOICES = 3 };

static int by_cost(const void *a, const void *b) {
  const base *x = a, *y = b;
  return x->cost != y->cost ? (x->cost < y->cost ? -1 : 1) : memcmp(x, y, offsetof(base, cost));
}

/* Of convolutions, those in which at most three parameters are not the simplest: a fourth is what is changed. */
static int list_bases(enum cbn_operator kind, bool transposed, base list[MOST_BASES]) {
  int count = 0;
  for (int i = 0; i < 3 * 2 * 2 * 2 * 2 * 2 * 2; i++) {
    base b = {.kernel = i % 3 + 1,
              .stride = i / 3 % 2 + 1,
              .dilation = i / 6 % 2 + 1,
              .padding = i / 12 % 2,
              .groups = i / 24 % 2 + 1,
              .flag = i / 48 % 2 == 1,
              .output_padding = i / 96,
              .epsilon = i / 3 % 2 ? 0.5 : 1e-5,
              .new_weight = i % 3 == 0   ? 0.1
                            : i % 3 == 1 ? 0.25
                                         : 1};
    b.cost = b.kernel + b.stride + b.dilation + b.padding + b.groups + b.output_padding + b.flag;
    const bool is_norm = kind == CBN_OPERATOR_BATCHNORM;
    const int64_t choices =
        (b.kernel > 1) + (b.stride > 1) + (b.dilation > 1) + b.padding + (b.groups > 1) + b.flag + b.output_padding;
    if (is_norm ? b.dilation > 1 || b.padding > 0 || b.groups > 1 || b.output_padding > 0
                : choices > MOST_CHOICES || (b.output_padding > 0 && (!transposed || b.output_padding >= b.stride)))
      continue;
    list[count++] = b;
  }
  qsort(list, (size_t)count, sizeof *list, by_cost);
  return count;
}

static const cbn_value *write_conv(const cbn_conv *c, cbn_arena *arena) {
  static const char *const modes[] = {"zeros", "reflect", "replicate", "circular"};
  cbn_writer *w = cbn_writer_create(arena);
  if (w == NULL) return NULL;
  cbn_write_integer(w, "out_channels", c->out_channels);
  cbn_write_entries(w, "kernel", c->spatial_rank, c->kernel);
  cbn_write_integer(w, "groups", c->groups);
  cbn_write_entries(w, "stride", c->spatial_rank, c->stride);
  cbn_write_entries(w, "dilation", c->spatial_rank, c->dilation);
  cbn_write_entries(w, "pad_begin", c->spatial_rank, c->pad_begin);
  cbn_write_entries(w, "pad_end", c->spatial_rank, c->pad_end);
  cbn_write_entries(w, "input_dilation", c->spatial_rank, c->input_dilation);
  cbn_write_boolean(w, "transposed", c->transposed != 0);
  cbn_write_entries(w, "output_padding", c->spatial_rank, c->output_padding);
  cbn_write_text(w, "padding_mode", modes[c->padding_mode]);
  cbn_write_boolean(w, "bias", c->has_bias != 0);
  return cbn_writer_finish(w);
}

static const cbn_value *write_norm(const cbn_batchnorm *b, cbn_arena *arena) {
  cbn_writer *w = cbn_writer_create(arena);
  if (w == NULL) return NULL;
  cbn_write_real(w, "epsilon", b->epsilon);
  cbn_write_real(w, "new_weight", b->new_weight);
  cbn_write_boolean(w, "weight", b->has_weight != 0);
  cbn_write_boolean(w, "bias", b->has_bias != 0);
  cbn_write_text(w, "running_variance", b->running_variance == CBN_VARIANCE_UNBIASED ? "unbiased" : "biased");
  return cbn_writer_finish(w);
}

static cbn_conv conv_of(const base *b, int32_t axes, bool transposed) {
  cbn_conv c = cbn_conv_make(axes);
  c.batch = 1;
  c.in_channels = c.out_channels = c.groups = b->groups;
  c.has_bias = b->flag;
  c.transposed = transposed;
  for (int32_t a = 0; a < axes; a++) {
    c.kernel[a] = b->kernel;
    c.stride[a] = b->stride;
    c.dilation[a] = b->dilation;
    c.pad_begin[a] = c.pad_end[a] = b->padding;
    c.output_padding[a] = b->output_padding;
    c.input[a] = b->dilation * (b->kernel - 1) + b->stride + 1;
  }
  return c;
}

static cbn_batchnorm norm_of(const base *b, int32_t axes) {
  cbn_batchnorm n = cbn_batchnorm_make(axes);
  n.batch = 2;
  n.channels = 1;
  for (int32_t a = 0; a < axes; a++) n.extent[a] = 2;
  n.epsilon = b->epsilon;
  n.new_weight = b->new_weight;
  n.has_weight = n.has_bias = !b->flag;
  n.running_variance = CBN_VARIANCE_UNBIASED;
  return n;
}

static cbn_situation situation_of(int32_t axes, int64_t batch, int64_t channels, const int64_t *extent) {
  cbn_situation at = {.batch = batch, .channels = channels, .axes = axes};
  memcpy(at.extent, extent, (size_t)axes * sizeof *extent);
  return at;
}

/* The problem that the generator makes of bytes counted from the seed, if it is one that two frameworks can be asked. */
static bool draw(const cbn_dialect_operator *operator, uint64_t seed, int64_t i, int32_t axes, cbn_generated *problem) {
  uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)i;
  uint8_t bytes[CBN_GENOME_BYTES];
  for (size_t k = 0; k < sizeof bytes; k++) { /* splitmix64 */
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    bytes[k] = (uint8_t)(z >> 56);
  }
  bytes[CBN_GENE_KIND] = operator->kind == CBN_OPERATOR_BATCHNORM ? CBN_GENERATED_BATCHNORM_TRAIN
                         : operator->transposed                   ? CBN_GENERATED_TRANSPOSED_FORWARD
                                                                  : CBN_GENERATED_CONV_FORWARD;
  bytes[CBN_GENE_NEAR_MISS] = bytes[CBN_GENE_SIZE] = 0;
  cbn_generate(bytes, sizeof bytes, problem);
  return problem->valid && cbn_generated_axes(problem) == axes;
}

/* One layer to start from, translated when it is first asked for. */
typedef struct start {
  const cbn_value *params; /* in the operator's own terms */
  cbn_situation at;
  int64_t kernel;
  bool asked, there;
  cbn_layer layer;
} start;

struct cbn_starts {
  const cbn_dialect *dialect;
  const cbn_dialect_operator *operator;
  cbn_signature signature;
  cbn_arena *arena;
  int64_t count;
  start *list;
};

static void add_start(cbn_starts *s, int32_t axes, const cbn_conv *c, const cbn_batchnorm *n) {
  start *added = &s->list[s->count];
  if (s->operator->kind == CBN_OPERATOR_CONV)
    *added = (start){.params = write_conv(c, s->arena), .at = situation_of(axes, c->batch, c->in_channels, c->input)};
  else *added = (start){.params = write_norm(n, s->arena), .at = situation_of(axes, n->batch, n->channels, n->extent)};
  for (int32_t a = 0; a < axes && s->operator->kind == CBN_OPERATOR_CONV; a++)
    if (c->kernel[a] > added->kernel) added->kernel = c->kernel[a];
  if (added->params != NULL) s->count++;
}

cbn_starts *cbn_starts_create(const cbn_dialect *dialect, const cbn_dialect_operator *operator, int32_t axes,
                              uint64_t seed, int64_t genomes, cbn_arena *arena) {
  base bases[MOST_BASES];
  cbn_starts *s = cbn_arena_allocate(arena, sizeof *s);
  const int simple = list_bases(operator->kind, operator->transposed, bases);
  if (s == NULL) return NULL;
  *s = (cbn_starts){.dialect = dialect, .operator = operator, .arena = arena};
  s->list = cbn_arena_allocate(arena, (size_t)(simple + genomes) * sizeof *s->list);
  if (s->list == NULL || !cbn_signature_read(operator, arena, &s->signature)) return NULL;
  for (int i = 0; i < simple; i++) {
    const cbn_conv c = conv_of(&bases[i], axes, operator->transposed);
    const cbn_batchnorm n = norm_of(&bases[i], axes);
    add_start(s, axes, &c, &n);
  }
  for (int64_t i = 0; i < genomes; i++) {
    cbn_generated problem;
    if (draw(operator, seed, i, axes, &problem)) add_start(s, axes, &problem.conv, &problem.batchnorm);
  }
  return s;
}

/* A layer in the operator's own terms as one of the framework, nothing put around it. False where it has none. */
static bool write_layer(const cbn_value *params, const cbn_situation *at, const cbn_dialect *dialect,
                        const cbn_dialect_operator *operator, cbn_arena *arena, cbn_layer *layer) {
  const cbn_dialect *canonical = cbn_dialect_by_name("canonical");
  const char *name = operator->kind == CBN_OPERATOR_CONV ? "conv" : "batchnorm";
  const cbn_layer own = {.dialect = canonical, .operator = cbn_dialect_find(canonical, name), .params = params};
  cbn_plan plan;
  cbn_rejection ignored;
  cbn_translation translation;
  cbn_error error;
  if (params == NULL || !cbn_layer_plan(&own, at, &plan, &ignored) ||
      !cbn_translate(&own, at, CBN_BOTH_MODES, dialect, operator, arena, &translation, &error) ||
      translation.kind == CBN_TRANSLATION_NONE || translation.inserts)
    return false;
  *layer = translation.target;
  return true;
}

bool cbn_layer_of_conv(const cbn_conv *c, const cbn_dialect *dialect, const cbn_dialect_operator *operator,
                       cbn_arena *arena, cbn_layer *layer) {
  const cbn_situation at = situation_of(c->spatial_rank, c->batch, c->in_channels, c->input);
  return write_layer(write_conv(c, arena), &at, dialect, operator, arena, layer);
}

/* The i-th start as a layer of the framework; NULL where it has none. */
static const cbn_layer *start_of(cbn_starts *s, int64_t i) {
  start *one = &s->list[i];
  if (!one->asked) one->there = write_layer(one->params, &one->at, s->dialect, s->operator, s->arena, &one->layer);
  one->asked = true;
  return one->there ? &one->layer : NULL;
}

const cbn_layer *cbn_starts_simplest(cbn_starts *starts, cbn_situation *at) {
  for (int64_t i = 0; i < starts->count; i++) {
    const cbn_layer *layer = start_of(starts, i);
    if (layer == NULL) continue;
    *at = starts->list[i].at;
    return layer;
  }
  return NULL;
}

/* Both sides of a search. */
typedef struct pair {
  cbn_starts *side[2];
  cbn_arena *arena;
} pair;

static bool has_entry(const cbn_layer *layer, enum cbn_meaning meaning) {
  for (size_t i = 0; layer->params != NULL && i < layer->params->as.map.count; i++) {
    const enum cbn_meaning its = cbn_meaning_of(layer->operator, layer->params->as.map.keys[i]->as.string.text);
    if (cbn_meanings_join(its, meaning)) return true;
  }
  return false;
}

/* Takes every parameter with the meaning away. */
static bool leave_out(const pair *p, int side, enum cbn_meaning meaning, cbn_layer *layer) {
  const cbn_layer nothing = {.operator = layer->operator};
  return port_meaning(&nothing, meaning, &p->side[side]->signature, p->arena, layer);
}

static bool is_required(const cbn_signature *signature, const cbn_dialect_operator *operator,
                        enum cbn_meaning meaning) {
  for (int i = 0; i < signature->count; i++)
    if (signature->parameter[i].required &&
        cbn_meanings_join(cbn_meaning_of(operator, signature->parameter[i].name), meaning))
      return true;
  return false;
}

/* The attempt-th change of what both have under the meaning: left out in both, unless it must be said; the first's value, in the second by its
 * name; each known value in both. False behind the last; `made` false where there is nothing to ask. */
static bool change(const pair *p, enum cbn_meaning meaning, int attempt, cbn_layer layers[2], bool *made) {
  *made = false;
  if (attempt == 0) {
    *made = !is_required(&p->side[0]->signature, layers[0].operator, meaning) &&
            !is_required(&p->side[1]->signature, layers[1].operator, meaning) &&
            (has_entry(&layers[0], meaning) || has_entry(&layers[1], meaning)) &&
            leave_out(p, 0, meaning, &layers[0]) && leave_out(p, 1, meaning, &layers[1]);
    return true;
  }
  if (attempt == 1) {
    *made = has_entry(&layers[0], meaning) &&
            port_meaning(&layers[0], meaning, &p->side[1]->signature, p->arena, &layers[1]);
    return true;
  }
  int count;
  const cbn_value *values = values_of(meaning, &count);
  if (attempt - 2 >= count) return false;
  const cbn_value *value = &values[attempt - 2];
  const cbn_parameter_info *first = target_of(p->side[0]->operator, &p->side[0]->signature, meaning, value);
  if (first == NULL || !leave_out(p, 0, meaning, &layers[0])) return true;
  layers[0].params = with_entry(layers[0].params, first->name, value, p->arena);
  *made = layers[0].params != NULL && port_meaning(&layers[0], meaning, &p->side[1]->signature, p->arena, &layers[1]);
  return true;
}

/* The values of all parameters with the meaning, as text. */
static void print_meaning(const cbn_layer *layer, enum cbn_meaning meaning, char *text, size_t size) {
  size_t length = 0;
  text[0] = '\0';
  for (size_t i = 0; layer->params != NULL && i < layer->params->as.map.count && length + 1 < size; i++) {
    const char *name = layer->params->as.map.keys[i]->as.string.text;
    const enum cbn_meaning its = cbn_meaning_of(layer->operator, name);
    if (!cbn_meanings_join(its, meaning)) continue;
    length += (size_t)snprintf(text + length, size - length, "%s=", name);
    if (length < size) length += cbn_value_print(layer->params->as.map.items[i], text + length, size - length);
  }
}

/* Gives a function the tensors that the first's plan has, where they are its arguments. */
static void give_shapes(const cbn_layer *first, const cbn_situation *at, cbn_layer *second) {
  const cbn_framework *framework = cbn_framework_of(second->dialect);
  cbn_plan plan;
  cbn_rejection ignored;
  if (!framework->takes_tensors(second->operator) || !cbn_whole_plan(first, at, &plan, &ignored)) return;
  plan.input_order = plan.output_order = plan.weight_order = (cbn_axis_order){0};
  plan.depthwise_weight = false;
  framework->orders(second->operator, second->params, at->axes, &plan);
  for (int role = CBN_ROLE_WEIGHT; role <= CBN_ROLE_RUNNING_VAR; role++)
    if (framework->tensor_name(second->operator, role) != NULL)
      second->tensor[role].rank = cbn_plan_native_extents(&plan, role, second->tensor[role].extent);
}

/* A parameter that was changed, and where. */
struct change_of_both {
  const pair *pair;
  enum cbn_meaning meaning;
  cbn_situation base;
};

/* Has a translation of one into the other's framework what the other has under the meaning? Then it is another parameter
 * that parts them, which was chosen to agree before this one was changed. */
static bool translation_keeps(const change_of_both *c, const cbn_layer *from, const cbn_layer *to,
                              const cbn_situation *at) {
  cbn_plan plan;
  cbn_rejection ignored;
  cbn_translation translation;
  cbn_error error;
  char ported[256], translated[256];
  cbn_situation accepted = *at;
  if (!cbn_whole_plan(from, &accepted, &plan, &ignored)) accepted = c->base;
  if (!cbn_whole_plan(from, &accepted, &plan, &ignored) && !cbn_layer_find_situation(from, &accepted, &ignored))
    return false;
  if (!cbn_translate(from, &accepted, CBN_BOTH_MODES, to->dialect, to->operator, c->pair->arena, &translation,
                     &error) ||
      translation.kind != CBN_TRANSLATION_EXACT || translation.inserts)
    return false;
  print_meaning(to, c->meaning, ported, sizeof ported);
  print_meaning(&translation.target, c->meaning, translated, sizeof translated);
  return strcmp(ported, translated) == 0;
}

static bool blames_another(const change_of_both *c, const cbn_layer layers[2], const cbn_situation *at) {
  return translation_keeps(c, &layers[0], &layers[1], at) || translation_keeps(c, &layers[1], &layers[0], at);
}

static void leave_defaults(const change_of_both *change, cbn_layer *layer, const cbn_situation *at) {
  cbn_layer_leave_defaults(layer, at, change->meaning, change->pair->arena);
}

/* All changes of one start, under one meaning or each. */
static void search_changes(const pair *p, int64_t i, enum cbn_meaning meaning, hunt *h) {
  const cbn_layer *a = start_of(p->side[0], i), *b = a == NULL ? NULL : start_of(p->side[1], i);
  const int first = meaning == CBN_MEANING_COUNT ? 0 : (int)meaning;
  const int last = meaning == CBN_MEANING_COUNT ? CBN_MEANING_COUNT - 1 : (int)meaning;
  if (b == NULL) return;
  const cbn_layer agreed[2] = {*a, *b};
  for (int m = first; m <= last; m++) {
    const change_of_both cause = {p, (enum cbn_meaning)m, p->side[0]->list[i].at};
    for (int attempt = 0; h->wanted != 0; attempt++) {
      cbn_layer changed[2] = {agreed[0], agreed[1]};
      bool made;
      if (!change(p, cause.meaning, attempt, changed, &made)) break;
      if (!made) continue;
      give_shapes(&changed[0], &cause.base, &changed[1]);
      search_situations(changed, agreed, &cause, &cause.base, h);
    }
  }
}

unsigned cbn_differ_operators(cbn_starts *a, cbn_starts *b, enum cbn_meaning meaning, cbn_search *search,
                              cbn_witness witness[CBN_PARTINGS]) {
  const pair p = {{a, b}, a->arena};
  hunt h = {.search = search, .wanted = search->partings, .witness = witness};
  const int64_t count = a->count < b->count ? a->count : b->count;
  for (int64_t i = 0; i < count && h.wanted != 0; i++) {
    if (a->list[i].kernel > search->largest_kernel) search->largest_kernel = a->list[i].kernel;
    search_changes(&p, i, meaning, &h);
  }
  return h.found;
}
