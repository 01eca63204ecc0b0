#include "harness/tensor_parser.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "harness/npy.h"
#include "harness/yaml.h"

#define REFUSE(at, rule, ...) return cbn_yaml_refuse(error, file, (at), (rule), __VA_ARGS__)

/* The whole string, NULL for what is none: a name has no NUL in it, behind which it would be cut. */
static const char *text_of(const cbn_value *value) {
  if (value == NULL || value->kind != CBN_STRING || strlen(value->as.string.text) != value->as.string.length)
    return NULL;
  return value->as.string.text;
}

static bool read_shape(const char *file, const cbn_value *node, const char *name, cbn_shape *shape, cbn_error *error) {
  if (node->kind != CBN_LIST) REFUSE(node, "shape", "the shape of '%s' must be a list of extents", name);
  if (node->as.list.count == 0 || node->as.list.count > CBN_MAX_NATIVE_RANK)
    REFUSE(node, "shape", "the shape of '%s' must have 1 to %d extents, got %zu", name, CBN_MAX_NATIVE_RANK,
           node->as.list.count);
  shape->rank = (int32_t)node->as.list.count;
  for (int32_t a = 0; a < shape->rank; a++) {
    const cbn_value *extent = node->as.list.items[a];
    if (extent->kind != CBN_INTEGER || extent->as.integer < 0)
      REFUSE(extent, "shape", "an extent of '%s' must be an integer >= 0", name);
    shape->extent[a] = extent->as.integer;
  }
  const int64_t count = cbn_extent_product(shape->rank, shape->extent);
  if (count < 0 || count > INT64_MAX / 8) REFUSE(node, "shape", "the size of '%s' overflows", name);
  return true;
}

/* A list of numbers, or of such lists, as deep and as long as the shape says from axis `axis` on. */
static bool check_nested(const char *file, const cbn_value *list, const char *name, const cbn_shape *shape,
                         int32_t axis, cbn_error *error) {
  double ignored;
  if (list->kind != CBN_LIST) REFUSE(list, "values", "the values of '%s' must be nested as its shape or flat", name);
  if ((int64_t)list->as.list.count != shape->extent[axis])
    REFUSE(list, "value-count", "'%s' has extent %" PRId64 " on axis %d, got %zu values", name, shape->extent[axis],
           (int)axis, list->as.list.count);
  for (size_t i = 0; i < list->as.list.count; i++) {
    const cbn_value *item = list->as.list.items[i];
    if (axis + 1 < shape->rank) {
      if (!check_nested(file, item, name, shape, axis + 1, error)) return false;
    } else if (!cbn_yaml_number(item, &ignored)) {
      REFUSE(item, "values", "a value of '%s' must be a number, got a %s", name, cbn_value_kind_name(item->kind));
    }
  }
  return true;
}

static bool is_flat(const cbn_value *list) {
  return list->as.list.count == 0 || list->as.list.items[0]->kind != CBN_LIST;
}

static bool check_values(const char *file, const cbn_value *values, const char *name, const cbn_shape *shape,
                         cbn_error *error) {
  if (values->kind != CBN_LIST) REFUSE(values, "values", "the values of '%s' must be a list", name);
  if (!is_flat(values)) return check_nested(file, values, name, shape, 0, error);
  const cbn_shape flat = {.rank = 1, .extent = {cbn_extent_product(shape->rank, shape->extent)}};
  if ((int64_t)values->as.list.count != flat.extent[0])
    REFUSE(values, "value-count", "the shape of '%s' has %" PRId64 " elements, got %zu values", name, flat.extent[0],
           values->as.list.count);
  return check_nested(file, values, name, &flat, 0, error);
}

/* ------------------------------------------------------------------------------------------------------ fills */

/* The parameters of the fills: their key, to which fills they belong, and where the number goes. */
enum {
  BIT_INTEGERS = 1 << CBN_FILL_INTEGERS,
  BIT_EXACT = 1 << CBN_FILL_EXACT,
  BIT_NORMAL = 1 << CBN_FILL_NORMAL,
  BIT_IMPULSE = 1 << CBN_FILL_IMPULSE,
  BIT_RAMP = 1 << CBN_FILL_RAMP,
  BIT_SPECIAL = 1 << CBN_FILL_SPECIAL
};

static bool read_fill_integer(const char *file, const cbn_value *item, const char *key, cbn_fill *fill,
                              cbn_error *error) {
  if (item->kind != CBN_INTEGER) REFUSE(item, "fill", "'%s' must be an integer", key);
  const int64_t n = item->as.integer;
  if (strcmp(key, "seed") == 0) {
    if (n < 0) REFUSE(item, "fill", "'seed' must be >= 0");
    fill->seed = (uint64_t)n;
  } else if (strcmp(key, "low") == 0) {
    fill->low = n;
  } else if (strcmp(key, "high") == 0) {
    fill->high = n;
  } else if (strcmp(key, "bits") == 0) {
    if (n < 0 || n > 31) REFUSE(item, "fill", "'bits' must be 0 to 31");
    fill->bits = (int32_t)n;
  } else {
    if (n < -1074 || n > 1023) REFUSE(item, "fill", "'shift' must be -1074 to 1023");
    fill->shift = (int32_t)n;
  }
  return true;
}

static bool read_fill_position(const char *file, const cbn_value *item, const cbn_shape *shape, cbn_fill *fill,
                               cbn_error *error) {
  if (item->kind != CBN_LIST || item->as.list.count != (size_t)shape->rank)
    REFUSE(item, "fill", "'index' must have one entry for each axis");
  for (int32_t a = 0; a < shape->rank; a++) {
    const cbn_value *entry = item->as.list.items[a];
    if (entry->kind != CBN_INTEGER || entry->as.integer < 0 || entry->as.integer >= shape->extent[a])
      REFUSE(entry, "fill", "'index' must lie inside the shape");
    fill->position = fill->position * shape->extent[a] + entry->as.integer;
  }
  return true;
}

static bool read_fill_parameter(const char *file, const cbn_value *key, const cbn_value *item, const cbn_shape *shape,
                                cbn_fill *fill, cbn_error *error) {
  const struct {
    const char *name;
    int fills;
    double *real; /* NULL: an integer */
  } parameters[] = {
      {"seed", BIT_INTEGERS | BIT_EXACT | BIT_NORMAL | BIT_SPECIAL, NULL},
      {"low", BIT_INTEGERS, NULL},
      {"high", BIT_INTEGERS, NULL},
      {"bits", BIT_EXACT, NULL},
      {"shift", BIT_EXACT, NULL},
      {"density", BIT_EXACT, &fill->density},
      {"mean", BIT_NORMAL, &fill->mean},
      {"scale", BIT_NORMAL, &fill->scale},
      {"value", BIT_IMPULSE, &fill->value},
      {"start", BIT_RAMP, &fill->start},
      {"step", BIT_RAMP, &fill->step},
  };
  const char *name = key->as.string.text;
  if (cbn_value_is(key, "index") && fill->kind == CBN_FILL_IMPULSE)
    return read_fill_position(file, item, shape, fill, error);
  for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
    if (!cbn_value_is(key, parameters[i].name) || (parameters[i].fills & (1 << fill->kind)) == 0) continue;
    if (parameters[i].real == NULL) return read_fill_integer(file, item, name, fill, error);
    if (!cbn_yaml_number(item, parameters[i].real)) REFUSE(item, "fill", "'%s' must be a number", name);
    return true;
  }
  REFUSE(key, "unknown-key", "the fill '%s' has no parameter '%.60s'", cbn_fill_name(fill->kind), name);
}

static bool read_fill(const char *file, const cbn_value *node, const cbn_shape *shape, cbn_fill *fill,
                      cbn_error *error) {
  const cbn_value *kind = cbn_value_get(node->kind == CBN_MAP ? node : NULL, "kind");
  const int number = text_of(kind) != NULL ? cbn_fill_by_name(text_of(kind)) : -1;
  if (number < 0)
    REFUSE(kind != NULL ? kind : node, "fill",
           "a fill is a map with a 'kind': integers, exact, normal, impulse, ramp, ones or special");
  *fill = cbn_fill_make((enum cbn_fill_kind)number);
  for (size_t i = 0; i < node->as.map.count; i++) {
    const cbn_value *key = node->as.map.keys[i];
    if (!cbn_value_is(key, "kind") && !read_fill_parameter(file, key, node->as.map.items[i], shape, fill, error))
      return false;
  }
  const int64_t limit = (int64_t)1 << 53; /* what a double holds exactly */
  if (fill->low > fill->high || fill->low < -limit || fill->high > limit || fill->high - fill->low >= (int64_t)1 << 32)
    REFUSE(node, "fill", "'low' must be <= 'high', both within 2^53, less than 2^32 apart");
  if (!(fill->density >= 0 && fill->density <= 1)) REFUSE(node, "fill", "'density' must be 0 to 1");
  return true;
}

/* ---------------------------------------------------------------------------------------------------- tensors */

static bool check_tensor_keys(const char *file, const cbn_value *node, const char *name, cbn_error *error) {
  static const char *const keys[] = {"shape", "values", "fill", "npy", "type"};
  for (size_t i = 0; i < node->as.map.count; i++) {
    bool known = false;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
      known = known || cbn_value_is(node->as.map.keys[i], keys[k]);
    if (!known)
      REFUSE(node->as.map.keys[i], "unknown-key", "the tensor '%s' has no key '%.60s'", name,
             node->as.map.keys[i]->as.string.text);
  }
  return true;
}

bool cbn_parse_tensor(const char *file, const cbn_value *node, const char *name, cbn_tensor_source *source,
                      cbn_error *error) {
  *source = (cbn_tensor_source){.node = node, .type = CBN_F32};
  if (text_of(node) != NULL) { /* the short form: a file's name */
    source->content = CBN_CONTENT_NPY;
    source->npy = text_of(node);
    return true;
  }
  if (node->kind != CBN_MAP) REFUSE(node, "type", "the tensor '%s' must be a map or a .npy file's name", name);
  if (!check_tensor_keys(file, node, name, error)) return false;
  const cbn_value *shape = cbn_value_get(node, "shape"), *values = cbn_value_get(node, "values");
  const cbn_value *fill = cbn_value_get(node, "fill"), *npy = cbn_value_get(node, "npy"),
                  *type = cbn_value_get(node, "type");
  if ((values != NULL) + (fill != NULL) + (npy != NULL) > 1)
    REFUSE(node, "tensor", "the tensor '%s' must have one of values, fill and npy", name);
  if (type != NULL && (text_of(type) == NULL || (source->type = cbn_type_by_name(text_of(type))) < 0))
    REFUSE(type, "tensor", "the type of '%s' must be f32, f64, f16 or bf16", name);
  source->has_type = type != NULL;
  source->has_shape = shape != NULL;
  if (shape == NULL && npy == NULL) REFUSE(node, "missing-key", "the tensor '%s' has no shape", name);
  if (shape != NULL && !read_shape(file, shape, name, &source->shape, error)) return false;
  if (npy != NULL) {
    if (text_of(npy) == NULL) REFUSE(npy, "type", "'npy' must be a file's name");
    source->content = CBN_CONTENT_NPY;
    source->npy = text_of(npy);
  } else if (values != NULL) {
    source->content = CBN_CONTENT_VALUES;
    source->values = values;
    return check_values(file, values, name, &source->shape, error);
  } else if (fill != NULL) {
    source->content = CBN_CONTENT_FILL;
    return read_fill(file, fill, &source->shape, &source->fill, error);
  }
  return true;
}

/* Writes the numbers of a flat or nested list from element `next` on; returns the element behind them. */
static int64_t set_values(const cbn_value *list, const cbn_tensor *tensor, int64_t next) {
  for (size_t i = 0; i < list->as.list.count; i++) {
    const cbn_value *item = list->as.list.items[i];
    double number = 0;
    if (item->kind == CBN_LIST) next = set_values(item, tensor, next);
    else if (cbn_yaml_number(item, &number)) cbn_tensor_set(tensor, next++, number);
  }
  return next;
}

static bool same_shape(const cbn_tensor *tensor, const cbn_shape *shape) {
  return tensor->rank == shape->rank &&
         memcmp(tensor->extent, shape->extent, (size_t)shape->rank * sizeof shape->extent[0]) == 0;
}

bool cbn_source_materialise(const cbn_tensor_source *source, const char *file, int role, uint64_t seed,
                            int64_t limit_bytes, cbn_tensor *tensor, cbn_error *error) {
  if (source->content == CBN_CONTENT_NPY) {
    if (!cbn_npy_read(file, source->npy, source->type, limit_bytes, tensor, error)) {
      const cbn_error why = *error;
      REFUSE(source->node, "npy", "%s", why.text);
    }
    if (!source->has_shape || same_shape(tensor, &source->shape)) return true;
    cbn_tensor_release(tensor);
    REFUSE(source->node, "shape", "the file %.100s has another shape than the case says", source->npy);
  }
  if (source->shape.rank > CBN_MAX_RANK) REFUSE(source->node, "shape", "a tensor has at most %d axes", CBN_MAX_RANK);
  if (!cbn_tensor_describe(tensor, source->type, source->shape.rank, source->shape.extent, CBN_CONTIGUOUS) ||
      cbn_tensor_bytes(tensor) > limit_bytes)
    REFUSE(source->node, "memory-limit",
           "the tensor '%s' is larger than the limit of %" PRId64 " bytes; raise it with --memory", cbn_role_name(role),
           limit_bytes);
  if (!cbn_tensor_allocate(tensor))
    REFUSE(source->node, "memory", "there is none left for the tensor '%s'", cbn_role_name(role));
  if (source->content == CBN_CONTENT_VALUES) {
    set_values(source->values, tensor, 0);
  } else {
    cbn_fill fill = source->fill;
    if (seed != 0) fill.seed ^= seed * 0x9e3779b97f4a7c15u;
    cbn_fill_tensor(&fill, role, tensor);
  }
  return true;
}
