/* Where wrong elements lie, and what findings have in common. */
#include "diagnosis/signature.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/violation.h"
#include "diagnosis/parameters.h"

static const struct {
  const char *name, *sentence;
} places[] = {
#define PLACE(NAME, name, sentence) {name, sentence},
    CBN_PLACES(PLACE)
#undef PLACE
};

const char *cbn_place_name(enum cbn_place place) { return places[place].name; }
const char *cbn_place_sentence(enum cbn_place place) { return places[place].sentence; }

/* ------------------------------------------------------------------------------------------------------- places */

enum { VECTOR = 8 };

/* What is asked of every element: `first` is a wrong one, with which others share a group, a channel or a tap. */
typedef struct tensor_places {
  const cbn_generated *problem;
  const cbn_finding *finding;
  int64_t first[CBN_MAX_RANK];
} tensor_places;

static uint32_t bit(enum cbn_place place, bool is_there) { return is_there ? UINT32_C(1) << place : 0; }

static bool in_tail(int64_t index, int64_t extent) { return index >= extent - extent % VECTOR; }

static bool is_weight(const tensor_places *t) {
  return cbn_generated_is_conv(t->problem->kind) && t->finding->role == CBN_ROLE_GRAD_WEIGHT;
}

/* Does a tap of element `r` of an axis meet what lies before the other tensor, or behind it? An output of a
 * convolution, and the input's gradient of a transposed one, read the other tensor at r * stride + t * dilation -
 * pad_begin; the input's gradient, and a transposed convolution's output, are read by element o of the other at o *
 * stride + t * dilation - pad_begin. */
static void reads_beyond(const cbn_conv *c, int a, int64_t r, bool *before, bool *behind) {
  const bool gathers = c->transposed == (c->direction == CBN_GRAD_INPUT);
  const int64_t reach = (c->kernel[a] - 1) * c->dilation[a];
  const int64_t output = cbn_conv_output_extent(c, a);
  const int64_t wide = c->transposed ? output : (c->input[a] - 1) * c->input_dilation[a] + 1;
  const int64_t narrow = ((c->transposed ? c->input[a] : output) - 1) * c->stride[a];
  if (gathers) {
    const int64_t at = r * c->stride[a] - c->pad_begin[a];
    *before = *before || at < 0;
    *behind = *behind || at + reach >= wide;
  } else {
    const int64_t at = r * c->input_dilation[a] + c->pad_begin[a];
    *before = *before || at - reach < 0;
    *behind = *behind || at > narrow;
  }
}

static uint32_t border_places(const tensor_places *t, const int64_t *index) {
  bool before = false, behind = false;
  for (int a = 0; a < t->problem->conv.spatial_rank; a++)
    reads_beyond(&t->problem->conv, a, index[2 + a], &before, &behind);
  return bit(CBN_PLACE_FIRST_BORDER, before) | bit(CBN_PLACE_LAST_BORDER, behind) |
         bit(CBN_PLACE_BORDER, before || behind) | bit(CBN_PLACE_INTERIOR, !before && !behind);
}

static uint32_t group_place(const tensor_places *t, int axis, const int64_t *index) {
  const int64_t each = t->finding->extent[axis] / t->problem->conv.groups;
  return bit(CBN_PLACE_GROUP, index[axis] / each == t->first[axis] / each);
}

/* Every place that the element lies in. */
static uint32_t places_of(const tensor_places *t, const int64_t *index) {
  const cbn_finding *f = t->finding;
  const bool conv = cbn_generated_is_conv(t->problem->kind), weight = is_weight(t);
  const int channels = f->rank == 1 || weight ? 0 : 1, last = f->rank - 1;
  uint32_t in = bit(CBN_PLACE_CHANNEL_TAIL, in_tail(index[channels], f->extent[channels])) |
                bit(CBN_PLACE_CHANNEL, index[channels] == t->first[channels]);
  if (last > 1) in |= bit(CBN_PLACE_ROW_TAIL, in_tail(index[last], f->extent[last]));
  if (conv) in |= group_place(t, channels, index);
  if (weight)
    return in | bit(CBN_PLACE_TAP, memcmp(index + 2, t->first + 2, (size_t)(f->rank - 2) * sizeof *index) == 0);
  if (f->rank == 1) return in;
  in |= bit(CBN_PLACE_LATER_IMAGES, index[0] > 0);
  return conv ? in | border_places(t, index) : in;
}

enum cbn_place cbn_place_of(const cbn_generated *problem, const cbn_finding *finding) {
  if (finding->verdict != CBN_VERDICT_MISMATCH || finding->is_wrong == NULL) return CBN_PLACE_NOWHERE;
  tensor_places t = {.problem = problem, .finding = finding};
  uint32_t of_wrong = UINT32_MAX, of_all = UINT32_MAX;
  if (finding->wrong == finding->count) return CBN_PLACE_EVERYWHERE;
  cbn_unravel(finding->rank, finding->extent, finding->element, t.first);
  for (int64_t i = 0; i < finding->count; i++) {
    int64_t index[CBN_MAX_RANK];
    cbn_unravel(finding->rank, finding->extent, i, index);
    const uint32_t in = places_of(&t, index);
    of_all &= in;
    if (finding->is_wrong[i]) of_wrong &= in;
  }
  for (enum cbn_place place = CBN_PLACE_CHANNEL_TAIL; place < CBN_PLACE_SCATTERED; place++)
    if (of_wrong & ~of_all & bit(place, true)) return place;
  return 4 * finding->wrong >= 3 * finding->count ? CBN_PLACE_EVERYWHERE : CBN_PLACE_SCATTERED;
}

/* --------------------------------------------------------------------------------------------------- signatures */

__attribute__((format(printf, 2, 3))) static void append(cbn_signature *signature, const char *format, ...) {
  const size_t length = strlen(signature->text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(signature->text + length, sizeof signature->text - length, format, arguments);
  va_end(arguments);
}

/* Where, or for a near miss why it is none that should be computed. */
static const char *place_or_rule(const cbn_generated *problem, const cbn_finding *finding) {
  cbn_violation violation;
  if (!problem->valid && !cbn_problem_validate(problem, &violation)) return cbn_rule_name(violation.rule);
  return cbn_place_name(cbn_place_of(problem, finding));
}

/* Small positive integers: what the minimizer gives every tensor where it can. */
static bool has_plain_data(const cbn_generated *problem) {
  for (int role = 0; role <= CBN_ROLE_GRAD_OUTPUT; role++) {
    const cbn_fill *fill = &problem->fill[role];
    const bool ramp = fill->kind == CBN_FILL_RAMP && fill->start == 1 && fill->step == 1;
    const bool integers = fill->kind == CBN_FILL_INTEGERS && fill->low > 0;
    if (!ramp && !integers && fill->kind != CBN_FILL_ONES && fill->kind != CBN_FILL_IMPULSE) return false;
  }
  return true;
}

static void append_parameters(const cbn_generated *problem, cbn_signature *signature) {
  cbn_parameter list[CBN_PARAMETER_LIMIT];
  const int count = cbn_parameters_of(problem, list);
  const char *before = "";
  if (cbn_generated_axes(problem) > cbn_generated_is_conv(problem->kind)) append(signature, " rank");
  for (int i = 0; i < count; i++) {
    const char *word = cbn_parameter_word(problem, list[i]);
    if (strcmp(word, before) != 0 && strcmp(word, "type") != 0) append(signature, " %s", word);
    before = word;
  }
  if (problem->steps > 1) append(signature, " steps");
  if (problem->valid && !has_plain_data(problem)) append(signature, " data");
}

size_t cbn_signature_sort_length(const char *text) {
  enum { WORDS = 6 };
  size_t length = 0;
  for (int words = 0; text[length] != '\0'; length++)
    if (text[length] == ' ' && ++words == WORDS) break;
  return length;
}

/* FNV-1a */
static uint64_t hash(const char *text) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (; *text != '\0'; text++) h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
  return h;
}

void cbn_signature_make(const cbn_generated *problem, const char *subject, const cbn_finding *finding,
                        cbn_signature *signature) {
  const bool has_role = finding->role >= 0 && finding->verdict != CBN_VERDICT_CRASH;
  signature->text[0] = '\0';
  append(signature, "%s %s/reference %s %s %s %s", cbn_generated_kind_name((int)problem->kind), subject,
         cbn_verdict_name(finding->verdict), cbn_type_name(problem->type),
         has_role ? cbn_role_name(finding->role) : "-", place_or_rule(problem, finding));
  append_parameters(problem, signature);
  snprintf(signature->id, sizeof signature->id, "%016" PRIx64, hash(signature->text));
}
