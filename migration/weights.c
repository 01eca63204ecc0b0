#include "migration/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dialects/layout.h"
#include "migration/framework.h"

/* A shape in a message. */
struct shown {
  char text[CBN_MAX_RANK * 22 + 3];
};

static struct shown show(int32_t rank, const int64_t *extent) {
  struct shown shown;
  size_t length = (size_t)snprintf(shown.text, sizeof shown.text, "(");
  for (int32_t a = 0; a < rank; a++)
    length +=
        (size_t)snprintf(shown.text + length, sizeof shown.text - length, "%s%" PRId64, a > 0 ? ", " : "", extent[a]);
  snprintf(shown.text + length, sizeof shown.text - length, ")");
  return shown;
}

static bool same_shape(const cbn_tensor *a, const cbn_tensor *b) {
  return a->rank == b->rank && memcmp(a->extent, b->extent, (size_t)a->rank * sizeof *a->extent) == 0;
}

bool cbn_native_tensor(const cbn_plan *plan, int role, int32_t type, cbn_tensor *tensor, cbn_tensor *view,
                        cbn_error *error) {
  int64_t extent[CBN_MAX_RANK];
  const int32_t rank = cbn_plan_native_extents(plan, role, extent);
  CBN_CHECK(cbn_tensor_describe(tensor, type, rank, extent, CBN_CONTIGUOUS) && cbn_tensor_allocate(tensor), error,
            "no memory for a %s of shape %s", cbn_role_name(role), show(rank, extent).text);
  *view = *tensor;
  CBN_CHECK(cbn_plan_view(plan, role, view), error, "a %s has another shape than its plan says", cbn_role_name(role));
  return true;
}

bool cbn_weight_move(const cbn_plan *source, const cbn_plan *target, int role, const cbn_tensor *from, cbn_tensor *to,
                     cbn_error *error) {
  int64_t extent[CBN_MAX_RANK];
  cbn_tensor view = *from, made, target_view;
  const int32_t rank = cbn_plan_native_extents(source, role, extent);
  CBN_CHECK(rank > 0 && cbn_plan_native_extents(target, role, (int64_t[CBN_MAX_RANK]){0}) > 0, error, "%s has no %s",
            rank > 0 ? "the target" : "the source", cbn_role_name(role));
  CBN_CHECK(cbn_plan_view(source, role, &view), error, "the %s has shape %s, and the layer's is %s",
            cbn_role_name(role), show(from->rank, from->extent).text, show(rank, extent).text);
  CBN_FORWARD(cbn_native_tensor(target, role, from->type, &made, &target_view, error));
  if (!same_shape(&view, &target_view)) {
    cbn_tensor_release(&made);
    CBN_FAIL(error, "the %s has shape %s in the source and %s in the target, in the operator's order",
             cbn_role_name(role), show(view.rank, view.extent).text, show(target_view.rank, target_view.extent).text);
  }
  cbn_tensor_copy(&target_view, &view);
  *to = made;
  return true;
}

/* ---- all of a layer ---- */

/* In the order in which they are written. */
static const int roles[] = {CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN, CBN_ROLE_RUNNING_VAR};
enum { ROLES = sizeof roles / sizeof *roles };

/* One of the two layers, as names and shapes. */
struct side {
  const cbn_layer *layer;
  const cbn_plan *plan;
  const char *name[CBN_ROLE_COUNT]; /* of the tensors that it has; NULL for others */
};

static bool has_tensor(const cbn_plan *plan, int role) {
  return cbn_plan_extents(plan, role, (int64_t[CBN_MAX_RANK]){0}) > 0;
}

static bool has_unit_axis(const cbn_layer *layer, int role) {
  const cbn_framework *framework = cbn_framework_of(layer->dialect);
  return role == CBN_ROLE_WEIGHT && framework->unit_axis != NULL && framework->unit_axis(layer->operator);
}

/* The dense tensor with other extents, as many elements. */
static void reshape(cbn_tensor *tensor, int32_t rank, const int64_t *extent) {
  cbn_tensor shaped;
  if (!cbn_tensor_describe(&shaped, tensor->type, rank, extent, CBN_CONTIGUOUS)) return;
  shaped.data = tensor->data;
  *tensor = shaped;
}

cbn_tensor cbn_weight_without_unit_axis(const cbn_layer *layer, int role, const cbn_tensor *tensor) {
  enum { AT = 2 };
  int64_t extent[CBN_MAX_RANK] = {0};
  cbn_tensor view = *tensor;
  if (!has_unit_axis(layer, role) || tensor->rank != AT + 2 || tensor->extent[AT] != 1) return view;
  memcpy(extent, tensor->extent, AT * sizeof *extent);
  extent[AT] = tensor->extent[AT + 1];
  reshape(&view, AT + 1, extent);
  return view;
}

static void put_unit_axis(const cbn_layer *layer, int role, cbn_tensor *tensor) {
  const int64_t extent[] = {tensor->extent[0], tensor->extent[1], 1, tensor->extent[2]};
  if (has_unit_axis(layer, role)) reshape(tensor, 4, extent);
}

/* What is added behind a layer has no name there. */
static const char *name_of(const cbn_layer *layer, int role) {
  const cbn_framework *framework = cbn_framework_of(layer->dialect);
  const char *name = framework != NULL ? framework->tensor_name(layer->operator, role) : NULL;
  return name == NULL && role == CBN_ROLE_BIAS && layer->adds_bias ? "bias" : name;
}

static bool open_side(struct side *side, const cbn_layer *layer, const cbn_plan *plan, cbn_error *error) {
  *side = (struct side){.layer = layer, .plan = plan};
  for (int i = 0; i < ROLES; i++) {
    const int role = roles[i];
    if (has_tensor(plan, role)) side->name[role] = name_of(layer, role);
    CBN_CHECK(side->name[role] != NULL || !has_tensor(plan, role), error, "%s of %s has no name for its %s",
              layer->operator->name, layer->dialect->name, cbn_role_name(role));
  }
  return true;
}

/* "weight, bias" */
static struct shown names_of(const struct side *side) {
  struct shown shown = {"nothing"};
  size_t length = 0;
  for (int i = 0; i < ROLES; i++)
    if (side->name[roles[i]] != NULL && length < sizeof shown.text)
      length += (size_t)snprintf(shown.text + length, sizeof shown.text - length, "%s%s", length > 0 ? ", " : "",
                                 side->name[roles[i]]);
  return shown;
}

static const char counter[] = "num_batches_tracked";

static bool is_counter(const struct side *side, const char *name) {
  return strcmp(name, counter) == 0 && strcmp(side->layer->dialect->name, "pytorch") == 0;
}

/* The role of the tensor whose name follows the prefix, CBN_ROLE_COUNT for none. */
static int role_of(const struct side *side, const char *name, const char *prefix, size_t length) {
  if (strncmp(name, prefix, length) != 0) return CBN_ROLE_COUNT;
  for (int i = 0; i < ROLES; i++)
    if (side->name[roles[i]] != NULL && strcmp(name + length, side->name[roles[i]]) == 0) return roles[i];
  return CBN_ROLE_COUNT;
}

/* Do all names begin with the prefix, and go on with that of a tensor? If not, `odd` is the first that does not. */
static bool prefix_fits(const struct side *side, const cbn_npz *from, const char *prefix, size_t length,
                        const char **odd) {
  for (size_t i = 0; i < from->count; i++) {
    *odd = from->members[i].name;
    if (role_of(side, *odd, prefix, length) < CBN_ROLE_COUNT) continue;
    if (strncmp(*odd, prefix, length) != 0 || !is_counter(side, *odd + length)) return false;
  }
  return true;
}

/* The end of the first name is that of a tensor; what stands before it is the prefix, if that fits all. */
static bool find_prefix(const struct side *side, const cbn_npz *from, size_t *length, cbn_error *error) {
  const char *first = from->count > 0 ? from->members[0].name : "", *odd = first;
  const size_t whole = strlen(first);
  *length = 0;
  for (int i = 0; i <= ROLES; i++) {
    const char *name = i < ROLES ? side->name[roles[i]] : is_counter(side, counter) ? counter : NULL;
    if (name == NULL || strlen(name) > whole || strcmp(first + whole - strlen(name), name) != 0) continue;
    *length = whole - strlen(name);
    if (prefix_fits(side, from, first, *length, &odd)) return true;
  }
  CBN_CHECK(from->count == 0, error, "'%s' is no tensor of %s, which has %s%s%s%.*s%s", odd,
            side->layer->operator->name, names_of(side).text, *length > 0 ? ", here behind '" : "", "", (int)*length,
            first, *length > 0 ? "'" : "");
  return true;
}

/* A tensor of the target's that the source does not have, filled. */
static bool add_constant(const struct side *target, int role, const cbn_constants *constants, int32_t type,
                         cbn_tensor *tensor, cbn_error *error) {
  cbn_tensor view;
  CBN_CHECK(constants != NULL && constants->needed[role], error, "%s has %s, and the source has none",
            target->layer->operator->name, target->name[role]);
  CBN_FORWARD(cbn_native_tensor(target->plan, role, type, tensor, &view, error));
  for (int64_t i = 0; i < cbn_tensor_count(tensor); i++) cbn_tensor_set(tensor, i, constants->value[role]);
  return true;
}

struct move {
  struct side source, target;
  const cbn_constants *constants;
  const cbn_npz *from;
  const char *prefix;
  size_t length; /* of the prefix */
};

static bool move_tensor(const struct move *move, int role, cbn_npz *to, cbn_error *error) {
  char name[2 * sizeof to->members->name];
  cbn_tensor tensor;
  const cbn_tensor *from = NULL, *any = NULL;
  for (size_t i = move->from->count; i-- > 0;) {
    const int other = role_of(&move->source, move->from->members[i].name, move->prefix, move->length);
    if (other < CBN_ROLE_COUNT) any = &move->from->members[i].tensor;
    if (other == role) from = any;
  }
  CBN_CHECK((from != NULL) == (move->source.name[role] != NULL), error, "'%.*s%s' is missing, which %s has",
            (int)move->length, move->prefix, move->source.name[role], move->source.layer->operator->name);
  CBN_CHECK(from == NULL || move->target.name[role] != NULL, error, "%s has no tensor for %s",
            move->target.layer->operator->name, move->source.name[role]);
  if (move->target.name[role] == NULL) return true;
  const int32_t type = any != NULL ? any->type : CBN_F32;
  if (from != NULL) {
    const cbn_tensor plain = cbn_weight_without_unit_axis(move->source.layer, role, from);
    CBN_FORWARD(cbn_weight_move(move->source.plan, move->target.plan, role, &plain, &tensor, error));
  } else {
    CBN_FORWARD(add_constant(&move->target, role, move->constants, type, &tensor, error));
  }
  put_unit_axis(move->target.layer, role, &tensor);
  snprintf(name, sizeof name, "%.*s%s", (int)move->length, move->prefix, move->target.name[role]);
  const bool added = cbn_npz_add(to, name, &tensor, error);
  cbn_tensor_release(&tensor);
  return added;
}

bool cbn_weights_move(const cbn_layer *source, const cbn_plan *source_plan, const cbn_layer *target,
                      const cbn_plan *target_plan, const cbn_constants *constants, const cbn_npz *from, cbn_npz *to,
                      cbn_error *error) {
  struct move move = {.constants = constants, .from = from, .prefix = from->count > 0 ? from->members[0].name : ""};
  *to = (cbn_npz){0};
  CBN_FORWARD(open_side(&move.source, source, source_plan, error));
  CBN_FORWARD(open_side(&move.target, target, target_plan, error));
  CBN_FORWARD(find_prefix(&move.source, from, &move.length, error));
  for (int i = 0; i < ROLES; i++) {
    if (move_tensor(&move, roles[i], to, error)) continue;
    cbn_npz_release(to);
    return false;
  }
  return true;
}
