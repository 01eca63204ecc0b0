#include "migration/layer.h"

#include <inttypes.h>
#include <string.h>

#include "dialects/layout.h"
#include "dialects/parameters.h"
#include "migration/framework.h"

/* ------------------------------------------------------------------------------------------------------- plans */

static cbn_request request_of(const cbn_layer *layer, const cbn_situation *s) {
  cbn_request request = {.params = layer->params,
                         .input_type = s->input_type,
                         .layer_type = s->layer_type,
                         .training = s->training,
                         .trained = s->trained};
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    if (layer->tensor[role].rank > 0) request.layer[role] = &layer->tensor[role];
  return request;
}

/* The situation's input as the framework has it. */
static cbn_shape native_input(const cbn_layer *layer, const cbn_situation *s) {
  const int drop = s->unbatched;
  cbn_plan orders = {.kind = layer->operator->kind};
  cbn_shape shape = {.rank = s->axes + 2 - drop};
  cbn_framework_of(layer->dialect)->orders(layer->operator, layer->params, s->axes, &orders);
  for (int32_t a = 0; a < s->axes + 2; a++) {
    const int at = (orders.input_order.given ? orders.input_order.place[a] : a) - drop;
    if (at >= 0) shape.extent[at] = a == 0 ? s->batch : a == 1 ? s->channels : s->extent[a - 2];
  }
  return shape;
}

static int32_t axes_of(const cbn_plan *plan) {
  return plan->kind == CBN_OPERATOR_CONV ? plan->conv.spatial_rank : plan->batchnorm.spatial_rank;
}

bool cbn_layer_plan(const cbn_layer *layer, const cbn_situation *s, cbn_plan *plan, cbn_rejection *r) {
  cbn_request request = request_of(layer, s);
  request.input = native_input(layer, s);
  if (!layer->operator->plan(layer->operator, &request, plan, r)) return false;
  if (plan->unbatched != s->unbatched || axes_of(plan) != s->axes)
    return cbn_reject(r, CBN_RULE_INPUT_RANK, "", "an input of %" PRId32 " axes has %" PRId32 " spatial ones here%s",
                      request.input.rank, axes_of(plan), plan->unbatched ? " and no batch" : "");
  if (layer->adds_bias && plan->kind == CBN_OPERATOR_CONV) plan->conv.has_bias = 1;
  return true;
}

/* -------------------------------------------------------------------------------------------- inputs as they are */

/* The dialect itself says what the axes of an input are that it takes. */
static bool read_from_plan(const cbn_layer *layer, const cbn_shape *input, cbn_situation *s) {
  cbn_request request = request_of(layer, s);
  int64_t extent[CBN_MAX_RANK];
  cbn_plan plan;
  cbn_rejection ignored;
  request.input = *input;
  if (!layer->operator->plan(layer->operator, &request, &plan, &ignored)) return false;
  cbn_plan_extents(&plan, CBN_ROLE_INPUT, extent);
  s->unbatched = plan.unbatched;
  s->axes = axes_of(&plan);
  s->batch = extent[0];
  s->channels = extent[1];
  memcpy(s->extent, extent + 2, (size_t)s->axes * sizeof extent[0]);
  return true;
}

/* Of an input that is refused: a batch axis in front, unless one axis is missing for it. */
static bool read_from_order(const cbn_layer *layer, const cbn_shape *input, cbn_situation *s) {
  cbn_plan orders = {.kind = layer->operator->kind};
  const bool fixed = layer->operator->spatial_rank < CBN_MAX_SPATIAL, conv = orders.kind == CBN_OPERATOR_CONV;
  s->axes = input->rank - 2;
  s->unbatched = conv && fixed && s->axes == layer->operator->spatial_rank - 1;
  s->axes += s->unbatched;
  if (s->axes < conv || s->axes > CBN_MAX_SPATIAL) return false;
  cbn_framework_of(layer->dialect)->orders(layer->operator, layer->params, s->axes, &orders);
  s->batch = 1;
  for (int32_t a = 0; a < s->axes + 2; a++) {
    const int at = (orders.input_order.given ? orders.input_order.place[a] : a) - s->unbatched;
    if (at >= 0) *(a == 0 ? &s->batch : a == 1 ? &s->channels : &s->extent[a - 2]) = input->extent[at];
  }
  return true;
}

bool cbn_layer_situation(const cbn_layer *layer, const cbn_shape *input, cbn_situation *s) {
  *s = (cbn_situation){.input_type = CBN_F32, .layer_type = CBN_F32};
  return read_from_plan(layer, input, s) || read_from_order(layer, input, s);
}

/* ----------------------------------------------------------------------------------------------- inputs to be found */

/* Numbers that stand in the layer's parameters and shapes, from small to large: channels, and the extents and the
 * batch of those that state the shape of their output, are among them. */
enum { MOST_NUMBERS = 40, LARGEST_NUMBER = 1 << 16, MOST_PLANS = 400000 };
typedef struct numbers {
  int count;
  int64_t value[MOST_NUMBERS];
} numbers;

static void note(numbers *n, int64_t value) {
  int at = n->count;
  if (value < 1 || value > LARGEST_NUMBER) return;
  for (int i = 0; i < n->count; i++)
    if (n->value[i] == value) return;
  if (n->count == MOST_NUMBERS) return;
  for (; at > 0 && n->value[at - 1] > value; at--) n->value[at] = n->value[at - 1];
  n->value[at] = value;
  n->count++;
}

static void note_value(numbers *n, const cbn_value *value) {
  if (value == NULL) return;
  if (value->kind == CBN_INTEGER) note(n, value->as.integer);
  for (size_t i = 0; value->kind == CBN_LIST && i < value->as.list.count; i++) note_value(n, value->as.list.items[i]);
  for (size_t i = 0; value->kind == CBN_MAP && i < value->as.map.count; i++) note_value(n, value->as.map.items[i]);
}

static int64_t integer_or(const cbn_layer *layer, const char *name, int64_t fallback) {
  int64_t result = fallback;
  return cbn_as_integer(cbn_parameter(layer->params, name), false, &result) ? result : fallback;
}

/* A call that is sought. */
typedef struct seeker {
  const cbn_layer *layer;
  cbn_situation s;
  numbers stated, channels;
  int64_t plans;
  bool found;               /* one that gives fewer elements than are wanted */
  cbn_situation fallback;   /* this one */
  bool other_channels;      /* the last refusal was for them */
  bool settled;             /* the refusal below stands: what other numbers of axes are refused for says less */
  cbn_rejection *rejection; /* the last that is not for the number of axes, if there is one */
} seeker;

enum { WANTED_ELEMENTS = 3 };

/* Is this one taken, with enough elements on each axis? */
static bool suits(seeker *k) {
  int64_t extent[CBN_MAX_RANK];
  cbn_plan plan;
  cbn_rejection rejection;
  k->plans++;
  k->other_channels = false;
  if (!cbn_layer_plan(k->layer, &k->s, &plan, &rejection)) {
    k->other_channels = rejection.rule == CBN_RULE_INPUT_CHANNELS_MISMATCH;
    const bool says_more = k->rejection->rule == CBN_RULE_COUNT || rejection.rule != CBN_RULE_INPUT_RANK;
    if (says_more && !k->settled) *k->rejection = rejection;
    return false;
  }
  const int32_t rank = cbn_plan_extents(&plan, CBN_ROLE_OUTPUT, extent);
  int64_t least = WANTED_ELEMENTS;
  for (int32_t a = 2; a < rank; a++) least = extent[a] < least ? extent[a] : least;
  if (!k->found && least > 0) k->fallback = k->s;
  k->found = k->found || least > 0;
  return least >= WANTED_ELEMENTS;
}

/* Extents one apart, longer and longer. */
static bool climb(seeker *k) {
  for (int64_t base = 4; base <= LARGEST_NUMBER; base += 1 + base / 32) {
    for (int32_t a = 0; a < k->s.axes; a++) k->s.extent[a] = base + a;
    if (suits(k)) return true;
    if (k->other_channels) return false;
    if (k->s.axes == 0) return false;
  }
  return false;
}

/* Every combination of what is stated, for those whose output has a shape of its own. */
static bool combine(seeker *k, const numbers *extents, int32_t axis) {
  if (axis == k->s.axes) return suits(k);
  for (int i = 0; i < extents->count && k->plans < MOST_PLANS; i++) {
    k->s.extent[axis] = extents->value[i];
    if (combine(k, extents, axis + 1)) return true;
  }
  return false;
}

static bool seek_stated(seeker *k) {
  numbers extents = k->stated, batches = k->stated;
  for (int i = 0; i < k->stated.count; i++)
    for (int j = 0; j < k->stated.count && k->stated.value[j] <= 8; j++)
      note(&extents, (k->stated.value[i] + k->stated.value[j] - 1) / k->stated.value[j]);
  note(&batches, 1);
  for (int b = 0; b < batches.count; b++)
    for (int c = 0; c < k->channels.count; c++) {
      k->s.batch = batches.value[b];
      k->s.channels = k->channels.value[c];
      if (combine(k, &extents, 0)) return true;
    }
  return false;
}

static bool seek_free(seeker *k) {
  for (k->s.batch = 2; k->s.batch >= 1; k->s.batch--)
    for (int c = 0; c < k->channels.count; c++) {
      k->s.channels = k->channels.value[c];
      if (climb(k)) return true;
    }
  return false;
}

static seeker seeker_of(const cbn_layer *layer, cbn_rejection *rejection) {
  seeker k = {.layer = layer, .rejection = rejection, .s = {.input_type = CBN_F32, .layer_type = CBN_F32}};
  const int64_t groups = integer_or(layer, "group", integer_or(layer, "groups", 1));
  const int64_t own = integer_or(layer, "in_channels", integer_or(layer, "num_features", 0));
  note_value(&k.stated, layer->params);
  for (int role = 0; role < CBN_ROLE_COUNT; role++)
    for (int32_t a = 0; a < layer->tensor[role].rank; a++) {
      note(&k.stated, layer->tensor[role].extent[a]);
      note(&k.channels, cbn_saturating_multiply(layer->tensor[role].extent[a], groups));
    }
  for (int i = 0; i < k.stated.count && own == 0; i++) note(&k.channels, k.stated.value[i]);
  if (own > 0) k.channels = (numbers){.count = 1, .value = {own}};
  for (int64_t c = 1; c <= 4 && k.channels.count == 0; c++) note(&k.channels, c);
  return k;
}

bool cbn_layer_find_situation(const cbn_layer *layer, cbn_situation *situation, cbn_rejection *rejection) {
  static const int32_t any_axes[] = {2, 1, 3, 0};
  *rejection = (cbn_rejection){.rule = CBN_RULE_COUNT, .exception = ""};
  seeker k = seeker_of(layer, rejection);
  for (int stated = 0; stated < 2; stated++)
    for (int i = -1; i < 4; i++) {
      k.s.axes = i < 0 ? layer->operator->spatial_rank : any_axes[i];
      if (i < 0 && k.s.axes == CBN_MAX_SPATIAL) continue; /* many are all that have so many axes at most */
      if (stated ? seek_stated(&k) : seek_free(&k)) {
        *situation = k.s;
        return true;
      }
      if (k.found) {
        *situation = k.fallback;
        return true;
      }
      k.settled = rejection->rule != CBN_RULE_COUNT && rejection->rule != CBN_RULE_INPUT_RANK;
    }
  return false;
}
