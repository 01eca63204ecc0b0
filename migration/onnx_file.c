#include "migration/onnx_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/whole_file.h"

/* ---- the wire format of Protocol Buffers ---- */

/* A message, a text, packed numbers: bytes of the file. */
struct span {
  const unsigned char *at, *end;
};

struct reader {
  const char *name;
  const unsigned char *begin;
  cbn_arena *arena;
  cbn_error *error;
};

enum wire { VARINT, FIXED64, BYTES, GROUP, END_OF_GROUP, FIXED32 };
#define TAG(number, wire) ((uint64_t)(number) << 3 | (wire))

/* A field of a message; a tag of 0 is none. */
struct field {
  const unsigned char *at; /* its tag */
  uint64_t tag;            /* number and wire type: another type than the schema's is another field, unknown to us */
  uint64_t value;          /* of a number, its bits */
  struct span bytes;
};

__attribute__((format(printf, 3, 4))) static bool refuse(const struct reader *r, const unsigned char *at,
                                                         const char *format, ...) {
  char words[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  return cbn_error_set(r->error, "%s: byte %td: %s", r->name, at - r->begin, words);
}

static size_t length_of(struct span span) { return (size_t)(span.end - span.at); }

static bool take_varint(const struct reader *r, struct span *left, uint64_t *value) {
  const unsigned char *at = left->at;
  *value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (left->at == left->end) return refuse(r, at, "a number is cut off; write the file with onnx.save");
    const unsigned char byte = *left->at++;
    if (shift == 63 && byte > 1) break;
    *value |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) return true;
  }
  return refuse(r, at, "a number has more than 64 bits; write the file with onnx.save");
}

static bool take_bytes(const struct reader *r, struct span *left, uint64_t count, struct span *bytes) {
  if (count > length_of(*left))
    return refuse(r, left->at, "%" PRIu64 " bytes should follow and %zu do; write the file whole, with onnx.save",
                  count, length_of(*left));
  *bytes = (struct span){left->at, left->at + count};
  left->at += count;
  return true;
}

/* A number as its wire type has it: a varint, or the bits of a fixed one, little-endian as npy.c asserts. */
static bool take_number(const struct reader *r, enum wire wire, struct span *left, uint64_t *value) {
  struct span bytes = {left->at, left->at};
  if (wire == VARINT) return take_varint(r, left, value);
  *value = 0;
  CBN_FORWARD(take_bytes(r, left, wire == FIXED32 ? 4 : 8, &bytes));
  memcpy(value, bytes.at, length_of(bytes));
  return true;
}

static bool take_field(const struct reader *r, struct span *left, struct field *field) {
  *field = (struct field){.at = left->at};
  CBN_FORWARD(take_varint(r, left, &field->tag));
  if (field->tag >> 3 == 0 || field->tag > UINT32_MAX)
    return refuse(r, field->at, "no field has the number %" PRIu64 "; write the file with onnx.save", field->tag >> 3);
  const enum wire wire = field->tag & 7;
  switch (wire) {
  case VARINT:
  case FIXED32:
  case FIXED64: return take_number(r, wire, left, &field->value);
  case BYTES: return take_varint(r, left, &field->value) && take_bytes(r, left, field->value, &field->bytes);
  default:
    return refuse(r, field->at, "a field of wire type %d, which ONNX does not have; write the file with onnx.save",
                  (int)wire);
  }
}

/* The message's field with that tag; of several the last, as Protocol Buffers has it. */
static bool find(const struct reader *r, struct span message, uint64_t tag, struct field *found) {
  *found = (struct field){.at = message.at, .bytes = {message.at, message.at}};
  while (message.at < message.end) {
    struct field field;
    CBN_FORWARD(take_field(r, &message, &field));
    if (field.tag == tag) *found = field;
  }
  return true;
}

/* Counts the fields with that tag. */
static bool count_fields(const struct reader *r, struct span message, uint64_t tag, size_t *count) {
  *count = 0;
  while (message.at < message.end) {
    struct field field;
    CBN_FORWARD(take_field(r, &message, &field));
    *count += field.tag == tag;
  }
  return true;
}

/* The numbers of a repeated field, each a field of its own or packed in one: counted, and stored with `size` bytes each
 * where `to` is given. */
static bool collect(const struct reader *r, struct span message, uint32_t number, enum wire wire, void *to, size_t size,
                    size_t *count) {
  *count = 0;
  while (message.at < message.end) {
    struct field field;
    CBN_FORWARD(take_field(r, &message, &field));
    struct span packed = field.bytes;
    bool one = field.tag == TAG(number, wire);
    while (one || (field.tag == TAG(number, BYTES) && packed.at < packed.end)) {
      const unsigned char *at = one ? field.at : packed.at;
      uint64_t value = field.value;
      if (!one) CBN_FORWARD(take_number(r, wire, &packed, &value));
      if (size < 8 && value >> 8 * size != 0)
        return refuse(r, at, "%" PRIu64 " does not fit into %zu bits; write the file with onnx.save", value, 8 * size);
      if (to != NULL) memcpy((char *)to + *count * size, &value, size);
      ++*count;
      one = false;
    }
  }
  return true;
}

/* ---- texts ---- */

/* A span in a message, cut to what fits. */
struct shown {
  char text[48];
};

static void copy_text(struct span span, char *text, size_t size) {
  const size_t length = length_of(span), copied = length < size ? length : size - 1;
  memcpy(text, span.at, copied);
  text[copied] = '\0';
  if (copied < length) memcpy(text + copied - 3, "...", 3);
  cbn_make_inert(text);
}

static struct shown show(struct span span) {
  struct shown shown = {""};
  if (length_of(span) > 0) copy_text(span, shown.text, sizeof shown.text);
  return shown;
}

static bool is_text(struct span span, const char *text) {
  return length_of(span) == strlen(text) && memcmp(span.at, text, strlen(text)) == 0;
}

static bool is_standard(struct span domain) { return length_of(domain) == 0 || is_text(domain, "ai.onnx"); }

static int compare_spans(struct span a, struct span b) {
  const size_t least = length_of(a) < length_of(b) ? length_of(a) : length_of(b);
  const int order = least > 0 ? memcmp(a.at, b.at, least) : 0;
  return order != 0 ? order : (length_of(a) > length_of(b)) - (length_of(a) < length_of(b));
}

static bool no_memory(const struct reader *r, const unsigned char *at) {
  return refuse(r, at, "no memory for what begins here; cut the model into parts");
}

/* ---- the graph's names ---- */

/* What a name stands for: a TensorProto or a ValueInfoProto. */
struct named {
  struct span name, body;
  bool read;
  cbn_tensor tensor; /* once it is read */
};

struct names {
  size_t count;
  struct named *at; /* in the order of their names */
};

/* Of one name the first in the file comes first. */
static int by_name(const void *a, const void *b) {
  const struct named *first = a, *second = b;
  const int order = compare_spans(first->name, second->name);
  return order != 0 ? order : (first->body.at > second->body.at) - (first->body.at < second->body.at);
}

static struct named *lookup(const struct names *names, struct span name) {
  size_t low = 0, high = names->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (compare_spans(names->at[middle].name, name) < 0) low = middle + 1;
    else high = middle;
  }
  return low < names->count && compare_spans(names->at[low].name, name) == 0 ? &names->at[low] : NULL;
}

struct model {
  struct reader reader;
  const cbn_dialect *dialect; /* onnx */
  struct span graph;
  int64_t opset;
  struct names tensors, values;
};

enum graph_tag {
  GRAPH_NODE = TAG(1, BYTES),
  GRAPH_INITIALIZER = TAG(5, BYTES),
  GRAPH_INPUT = TAG(11, BYTES),
  GRAPH_OUTPUT = TAG(12, BYTES),
  GRAPH_VALUE = TAG(13, BYTES)
};

/* ---- nodes ---- */

enum { MOST_INPUTS = 5, MOST_OUTPUTS = 2 };

struct node {
  struct span body, name, type, domain;
  size_t inputs, outputs, attributes;
  struct span input[MOST_INPUTS], output[MOST_OUTPUTS];
};

static bool read_node(const struct reader *r, struct span body, struct node *node) {
  const struct span nothing = {body.at, body.at};
  struct span left = body;
  *node = (struct node){.body = body, .name = nothing, .type = nothing, .domain = nothing};
  for (int i = 0; i < MOST_INPUTS; i++) node->input[i] = nothing;
  for (int i = 0; i < MOST_OUTPUTS; i++) node->output[i] = nothing;
  while (left.at < left.end) {
    struct field field;
    CBN_FORWARD(take_field(r, &left, &field));
    switch (field.tag) {
    case TAG(1, BYTES):
      if (node->inputs < MOST_INPUTS) node->input[node->inputs] = field.bytes;
      node->inputs++;
      break;
    case TAG(2, BYTES):
      if (node->outputs < MOST_OUTPUTS) node->output[node->outputs] = field.bytes;
      node->outputs++;
      break;
    case TAG(3, BYTES): node->name = field.bytes; break;
    case TAG(4, BYTES): node->type = field.bytes; break;
    case TAG(5, BYTES): node->attributes++; break;
    case TAG(7, BYTES): node->domain = field.bytes; break;
    }
  }
  if (length_of(node->type) == 0) return refuse(r, body.at, "a node without op_type; write the file with onnx.save");
  return true;
}

/* The TensorProto of a Constant's `value`; none where the node is no Constant or has its value in another way. */
static bool constant_value(const struct reader *r, const struct node *node, struct span *value) {
  struct span left = node->body;
  *value = (struct span){left.at, left.at};
  if (!is_text(node->type, "Constant") || !is_standard(node->domain)) return true;
  while (left.at < left.end) {
    struct field field, name, tensor;
    CBN_FORWARD(take_field(r, &left, &field));
    if (field.tag != TAG(5, BYTES)) continue;
    CBN_FORWARD(find(r, field.bytes, TAG(1, BYTES), &name));
    CBN_FORWARD(find(r, field.bytes, TAG(5, BYTES), &tensor));
    if (is_text(name.bytes, "value")) *value = tensor.bytes;
  }
  return true;
}

/* ---- tensors ---- */

/* onnx.proto's TensorProto.DataType, and the field that has such a tensor's elements where raw_data does not. */
enum { FIELD_FLOAT = 4, FIELD_INT32 = 5, FIELD_DOUBLE = 10 };
static const struct data_type {
  int64_t number;
  int32_t type;
  uint32_t field;
  enum wire wire;
} data_types[] = {{1, CBN_F32, FIELD_FLOAT, FIXED32},
                  {10, CBN_F16, FIELD_INT32, VARINT},
                  {11, CBN_F64, FIELD_DOUBLE, FIXED64},
                  {16, CBN_BF16, FIELD_INT32, VARINT}};

static const struct data_type *data_type_of(uint64_t number) {
  for (size_t i = 0; i < sizeof data_types / sizeof *data_types; i++)
    if ((uint64_t)data_types[i].number == number) return &data_types[i];
  return NULL;
}

static const char *data_type_name(uint64_t number) {
  static const char *const names[] = {"undefined", "float",  "uint8",     "int8",       "uint16",  "int16",
                                      "int32",     "int64",  "string",    "bool",       "float16", "double",
                                      "uint32",    "uint64", "complex64", "complex128", "bfloat16"};
  return number < sizeof names / sizeof *names ? names[number] : "of a type of one byte or less";
}

/* Shape and type, without elements. */
static bool describe_tensor(const struct reader *r, struct span body, struct span name, const struct data_type **type,
                            cbn_tensor *tensor) {
  struct field found;
  int64_t extent[CBN_MAX_RANK];
  size_t rank;
  CBN_FORWARD(find(r, body, TAG(2, VARINT), &found));
  *type = data_type_of(found.value);
  if (*type == NULL)
    return refuse(r, found.at, "tensor '%s' is %s; float, double, float16 and bfloat16 are read", show(name).text,
                  data_type_name(found.value));
  CBN_FORWARD(collect(r, body, 1, VARINT, NULL, sizeof *extent, &rank));
  if (rank < 1 || rank > CBN_MAX_RANK)
    return refuse(r, body.at, "tensor '%s' has %zu axes; 1 to %d are read", show(name).text, rank, CBN_MAX_RANK);
  CBN_FORWARD(collect(r, body, 1, VARINT, extent, sizeof *extent, &rank));
  if (!cbn_tensor_describe(tensor, (*type)->type, (int32_t)rank, extent, CBN_CONTIGUOUS))
    return refuse(r, body.at, "tensor '%s' has a negative extent, or more bytes than 63 bits count", show(name).text);
  return true;
}

static bool check_inside(const struct reader *r, struct span body, struct span name) {
  struct field location, external, segment;
  CBN_FORWARD(find(r, body, TAG(14, VARINT), &location));
  CBN_FORWARD(find(r, body, TAG(13, BYTES), &external));
  CBN_FORWARD(find(r, body, TAG(3, BYTES), &segment));
  if (location.value != 0 || external.tag != 0)
    return refuse(r, external.tag != 0 ? external.at : location.at,
                  "the elements of tensor '%s' lie in another file; save the model with its data inside "
                  "(onnx.save without save_as_external_data)",
                  show(name).text);
  if (segment.tag != 0)
    return refuse(r, segment.at, "tensor '%s' is stored in segments; save it in one", show(name).text);
  return true;
}

static bool read_elements(const struct reader *r, struct span body, struct span name, const struct data_type *type,
                          cbn_tensor *tensor) {
  const size_t size = cbn_type_size(tensor->type);
  const uint64_t wanted = (uint64_t)cbn_tensor_count(tensor);
  struct field raw;
  size_t count;
  CBN_FORWARD(find(r, body, TAG(9, BYTES), &raw));
  CBN_FORWARD(collect(r, body, type->field, type->wire, NULL, size, &count));
  const size_t bytes = length_of(raw.bytes);
  if (bytes > 0 && count > 0)
    return refuse(r, raw.at, "tensor '%s' has its elements twice, as raw_data and as numbers", show(name).text);
  if (bytes > 0 ? bytes % size != 0 || bytes / size != wanted : count != wanted)
    return refuse(r, raw.at, "tensor '%s' has %" PRIu64 " elements and data for %zu; write the file with onnx.save",
                  show(name).text, wanted, bytes > 0 ? bytes / size : count);
  tensor->data = cbn_arena_allocate(r->arena, wanted * size);
  if (tensor->data == NULL) return no_memory(r, body.at);
  if (bytes > 0) memcpy(tensor->data, raw.bytes.at, bytes);
  return bytes > 0 || collect(r, body, type->field, type->wire, tensor->data, size, &count);
}

/* Reads the tensor when it is first asked for. */
static bool read_tensor(const struct reader *r, struct named *named) {
  const struct data_type *type;
  cbn_tensor tensor;
  if (named->read) return true;
  CBN_FORWARD(describe_tensor(r, named->body, named->name, &type, &tensor));
  CBN_FORWARD(check_inside(r, named->body, named->name));
  CBN_FORWARD(read_elements(r, named->body, named->name, type, &tensor));
  named->tensor = tensor;
  named->read = true;
  return true;
}

/* What a ValueInfoProto says of its tensor: the type, -1 where none of ours, and the shape, of rank -1 where none. */
struct stated {
  int32_t type;
  cbn_shape shape;
};

static bool read_shape(const struct reader *r, struct span dims, cbn_shape *shape) {
  shape->rank = 0;
  while (dims.at < dims.end) {
    struct field dim, extent;
    CBN_FORWARD(take_field(r, &dims, &dim));
    if (dim.tag != TAG(1, BYTES)) continue;
    CBN_FORWARD(find(r, dim.bytes, TAG(1, VARINT), &extent));
    if (shape->rank < CBN_MAX_NATIVE_RANK)
      shape->extent[shape->rank] = extent.tag == 0 || extent.value > INT64_MAX ? -1 : (int64_t)extent.value;
    shape->rank++;
  }
  if (shape->rank > CBN_MAX_NATIVE_RANK) shape->rank = -1;
  return true;
}

static bool read_stated(const struct model *model, struct span name, struct stated *stated) {
  const struct reader *r = &model->reader;
  const struct named *named = lookup(&model->values, name);
  *stated = (struct stated){.type = -1, .shape = {.rank = -1}};
  struct field type, tensor, element, shape;
  if (named == NULL) return true;
  CBN_FORWARD(find(r, named->body, TAG(2, BYTES), &type));
  CBN_FORWARD(find(r, type.bytes, TAG(1, BYTES), &tensor));
  CBN_FORWARD(find(r, tensor.bytes, TAG(1, VARINT), &element));
  CBN_FORWARD(find(r, tensor.bytes, TAG(2, BYTES), &shape));
  const struct data_type *known = data_type_of(element.value);
  if (known != NULL) stated->type = known->type;
  return shape.tag == 0 || read_shape(r, shape.bytes, &stated->shape);
}

/* ---- attributes ---- */

enum { MOST_ATTRIBUTES = 64, FLOAT = 1, INT = 2, STRING = 3, INTS = 7 }; /* of AttributeProto.AttributeType */

struct parameters {
  size_t count;
  const cbn_value *key[MOST_ATTRIBUTES + 1], *item[MOST_ATTRIBUTES + 1];
};

static cbn_value *new_value(const struct reader *r, enum cbn_value_kind kind) {
  cbn_value *value = cbn_arena_allocate(r->arena, sizeof *value);
  if (value != NULL) value->kind = kind;
  return value;
}

static cbn_value *new_integer(const struct reader *r, int64_t integer) {
  cbn_value *value = new_value(r, CBN_INTEGER);
  if (value != NULL) value->as.integer = integer;
  return value;
}

/* The shortest real that is that float: 1e-05, not 9.999999747378752e-06. */
static double shortest(float number) {
  char text[32];
  for (int digits = 1; digits <= 9; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, (double)number);
    if ((float)strtod(text, NULL) == number) return strtod(text, NULL);
  }
  return (double)number;
}

static cbn_value *new_real(const struct reader *r, uint64_t bits) {
  float number;
  cbn_value *value = new_value(r, CBN_REAL);
  memcpy(&number, &bits, sizeof number);
  if (value != NULL) value->as.real = shortest(number);
  return value;
}

static cbn_value *new_string(const struct reader *r, struct span text) {
  cbn_value *value = new_value(r, CBN_STRING);
  if (value == NULL) return NULL;
  value->as.string.length = length_of(text);
  value->as.string.text = cbn_arena_copy(r->arena, (const char *)text.at, length_of(text));
  return value->as.string.text != NULL ? value : NULL;
}

static bool read_ints(const struct reader *r, struct span attribute, cbn_value **list) {
  size_t count;
  CBN_FORWARD(collect(r, attribute, 8, VARINT, NULL, sizeof(int64_t), &count));
  int64_t *numbers = cbn_arena_allocate(r->arena, count * sizeof *numbers);
  const cbn_value **items = cbn_arena_allocate(r->arena, count * sizeof *items);
  *list = new_value(r, CBN_LIST);
  if (numbers == NULL || items == NULL || *list == NULL) return no_memory(r, attribute.at);
  CBN_FORWARD(collect(r, attribute, 8, VARINT, numbers, sizeof *numbers, &count));
  for (size_t i = 0; i < count; i++) {
    items[i] = new_integer(r, numbers[i]);
    if (items[i] == NULL) return no_memory(r, attribute.at);
  }
  (*list)->as.list.items = items;
  (*list)->as.list.count = count;
  return true;
}

/* The type that an attribute states; old files state none, and it is that of the value. */
static uint64_t attribute_type(const struct field *stated, const struct field *f, const struct field *i,
                               const struct field *s, size_t ints) {
  if (stated->tag != 0) return stated->value;
  return f->tag != 0 ? FLOAT : i->tag != 0 ? INT : s->tag != 0 ? STRING : ints > 0 ? INTS : 0;
}

static bool read_attribute_value(const struct reader *r, struct span attribute, struct span name,
                                 const cbn_value **value) {
  struct field type, f, i, s, reference;
  size_t ints;
  cbn_value *made = NULL;
  CBN_FORWARD(find(r, attribute, TAG(20, VARINT), &type));
  CBN_FORWARD(find(r, attribute, TAG(21, BYTES), &reference));
  CBN_FORWARD(find(r, attribute, TAG(2, FIXED32), &f));
  CBN_FORWARD(find(r, attribute, TAG(3, VARINT), &i));
  CBN_FORWARD(find(r, attribute, TAG(4, BYTES), &s));
  CBN_FORWARD(collect(r, attribute, 8, VARINT, NULL, sizeof(int64_t), &ints));
  if (reference.tag != 0)
    return refuse(r, reference.at, "attribute '%s' is a function's parameter; inline the functions", show(name).text);
  switch (attribute_type(&type, &f, &i, &s, ints)) {
  case FLOAT: made = new_real(r, f.value); break;
  case INT: made = new_integer(r, (int64_t)i.value); break;
  case STRING:
    if (memchr(s.bytes.at, '\0', length_of(s.bytes)) != NULL)
      return refuse(r, s.at, "attribute '%s' holds a NUL", show(name).text);
    made = new_string(r, s.bytes);
    break;
  case INTS: CBN_FORWARD(read_ints(r, attribute, &made)); break;
  default:
    return refuse(r, attribute.at, "attribute '%s' is no FLOAT, INT, STRING or INTS, as attributes of layers are",
                  show(name).text);
  }
  *value = made;
  return made != NULL || no_memory(r, attribute.at);
}

static bool add_parameter(const struct reader *r, struct parameters *parameters, struct span name,
                          const cbn_value *item) {
  for (size_t i = 0; i < parameters->count; i++)
    if (is_text(name, parameters->key[i]->as.string.text))
      return refuse(r, name.at, "attribute '%s' is there twice", show(name).text);
  parameters->key[parameters->count] = new_string(r, name);
  parameters->item[parameters->count] = item;
  return (item != NULL && parameters->key[parameters->count++] != NULL) || no_memory(r, name.at);
}

static bool read_attributes(const struct reader *r, const struct node *node, struct parameters *parameters) {
  struct span left = node->body;
  if (node->attributes > MOST_ATTRIBUTES)
    return refuse(r, left.at, "a node has %zu attributes, more than %d", node->attributes, MOST_ATTRIBUTES);
  while (left.at < left.end) {
    struct field field, name;
    const cbn_value *value = NULL;
    CBN_FORWARD(take_field(r, &left, &field));
    if (field.tag != TAG(5, BYTES)) continue;
    CBN_FORWARD(find(r, field.bytes, TAG(1, BYTES), &name));
    if (length_of(name.bytes) == 0 || memchr(name.bytes.at, '\0', length_of(name.bytes)) != NULL)
      return refuse(r, field.at, "an attribute without a name, or with a NUL in it");
    CBN_FORWARD(read_attribute_value(r, field.bytes, name.bytes, &value));
    CBN_FORWARD(add_parameter(r, parameters, name.bytes, value));
  }
  return true;
}

/* The attributes, with the model's operator set, as the dialect's parameters. */
static bool read_parameters(const struct model *model, const struct node *node, const cbn_value **params) {
  static const unsigned char opset[] = {'o', 'p', 's', 'e', 't'};
  const struct reader *r = &model->reader;
  struct parameters parameters = {.count = 0};
  CBN_FORWARD(add_parameter(r, &parameters, (struct span){opset, opset + sizeof opset}, new_integer(r, model->opset)));
  CBN_FORWARD(read_attributes(r, node, &parameters));
  const size_t bytes = parameters.count * sizeof *parameters.key;
  cbn_value *map = new_value(r, CBN_MAP);
  const cbn_value **keys = cbn_arena_allocate(r->arena, bytes), **items = cbn_arena_allocate(r->arena, bytes);
  if (map == NULL || keys == NULL || items == NULL) return no_memory(r, node->body.at);
  memcpy(keys, parameters.key, bytes);
  memcpy(items, parameters.item, bytes);
  map->as.map.keys = keys;
  map->as.map.items = items;
  map->as.map.count = parameters.count;
  *params = map;
  return true;
}

/* ---- layers ---- */

/* Of the node's inputs, in their order. */
static const int roles[MOST_INPUTS] = {CBN_ROLE_INPUT, CBN_ROLE_WEIGHT, CBN_ROLE_BIAS, CBN_ROLE_RUNNING_MEAN,
                                       CBN_ROLE_RUNNING_VAR};

static bool is_static(const cbn_shape *shape) {
  for (int32_t a = 0; a < shape->rank; a++)
    if (shape->extent[a] < 0) return false;
  return shape->rank > 0;
}

/* An input of the layer's own: a tensor of the file, else a shape that the graph states. */
static bool read_layer_tensor(const struct model *model, struct span name, int role, cbn_onnx_node_info *info) {
  struct named *named = lookup(&model->tensors, name);
  struct stated stated;
  if (length_of(name) == 0) return true; /* left out */
  if (named == NULL) {
    CBN_FORWARD(read_stated(model, name, &stated));
    if (is_static(&stated.shape)) info->layer.tensor[role] = stated.shape;
    return true;
  }
  CBN_FORWARD(read_tensor(&model->reader, named));
  info->tensor[role] = named->tensor;
  info->layer.tensor[role].rank = named->tensor.rank;
  memcpy(info->layer.tensor[role].extent, named->tensor.extent, sizeof named->tensor.extent);
  return true;
}

static bool read_layer(const struct model *model, const struct node *node, const cbn_dialect_operator *operator,
                       cbn_onnx_node_info * info) {
  const size_t most = operator->kind == CBN_OPERATOR_CONV ? 3 : MOST_INPUTS;
  struct stated stated;
  info->known = true;
  info->layer = (cbn_layer){.dialect = model->dialect, .operator= operator};
  if (node->inputs > most)
    return refuse(&model->reader, node->body.at, "%s '%s' has %zu inputs, and takes %zu", operator->name, info->name,
                  node->inputs, most);
  CBN_FORWARD(read_parameters(model, node, &info->layer.params));
  for (size_t i = 1; i < node->inputs; i++) CBN_FORWARD(read_layer_tensor(model, node->input[i], roles[i], info));
  info->trains = operator->kind == CBN_OPERATOR_BATCHNORM && length_of(node->output[1]) > 0;
  CBN_FORWARD(read_stated(model, node->input[0], &stated));
  info->has_input = stated.shape.rank >= 0;
  if (info->has_input) info->input = stated.shape;
  info->input_type = stated.type >= 0                         ? stated.type
                     : info->tensor[CBN_ROLE_WEIGHT].rank > 0 ? info->tensor[CBN_ROLE_WEIGHT].type
                                                              : -1;
  return true;
}

static bool read_info(const struct model *model, struct span body, cbn_onnx_node_info *info) {
  struct node node;
  CBN_FORWARD(read_node(&model->reader, body, &node));
  copy_text(length_of(node.name) > 0 ? node.name : node.output[0], info->name, sizeof info->name);
  copy_text(node.type, info->operator_type, sizeof info->operator_type);
  info->input_type = -1;
  if (!is_standard(node.domain)) return true;
  if (model->opset == 0)
    return refuse(&model->reader, body.at, "'%s' is a standard operator, and the model states no operator set of them",
                  info->operator_type);
  for (size_t i = 0; i < model->dialect->operator_count; i++)
    if (is_text(node.type, model->dialect->operators[i].name))
      return read_layer(model, &node, &model->dialect->operators[i], info);
  return true;
}

/* ---- the model ---- */

/* Adds a TensorProto or a ValueInfoProto, whose name is the field with that tag. */
static bool add_named(const struct reader *r, struct names *names, struct span body, uint64_t name_tag) {
  struct field name;
  CBN_FORWARD(find(r, body, name_tag, &name));
  names->at[names->count++] = (struct named){.name = name.bytes, .body = body};
  return true;
}

static bool add_constant(const struct reader *r, struct names *names, struct span body) {
  struct node node;
  struct span value;
  CBN_FORWARD(read_node(r, body, &node));
  CBN_FORWARD(constant_value(r, &node, &value));
  if (length_of(value) > 0 && length_of(node.output[0]) > 0)
    names->at[names->count++] = (struct named){.name = node.output[0], .body = value};
  return true;
}

static bool count_constants(const struct reader *r, struct span graph, size_t *count) {
  *count = 0;
  while (graph.at < graph.end) {
    struct field field;
    struct node node;
    CBN_FORWARD(take_field(r, &graph, &field));
    if (field.tag != GRAPH_NODE) continue;
    CBN_FORWARD(read_node(r, field.bytes, &node));
    *count += is_text(node.type, "Constant");
  }
  return true;
}

static bool make_room(const struct model *model, struct names *names, size_t count) {
  names->at = cbn_arena_allocate(model->reader.arena, count * sizeof *names->at);
  return names->at != NULL || no_memory(&model->reader, model->graph.at);
}

static bool sort_names(const struct model *model, struct names *names, bool unique) {
  if (names->count > 0) qsort(names->at, names->count, sizeof *names->at, by_name);
  for (size_t i = 1; unique && i < names->count; i++)
    if (compare_spans(names->at[i - 1].name, names->at[i].name) == 0)
      return refuse(&model->reader, names->at[i].body.at, "tensor '%s' is there twice", show(names->at[i].name).text);
  return true;
}

/* Collects what has a name: initializers and constants; inputs, outputs and what else the graph says of tensors. */
static bool read_names(struct model *model) {
  const struct reader *r = &model->reader;
  size_t initializers, constants, inputs, outputs, values;
  CBN_FORWARD(count_fields(r, model->graph, GRAPH_INITIALIZER, &initializers));
  CBN_FORWARD(count_fields(r, model->graph, GRAPH_INPUT, &inputs));
  CBN_FORWARD(count_fields(r, model->graph, GRAPH_OUTPUT, &outputs));
  CBN_FORWARD(count_fields(r, model->graph, GRAPH_VALUE, &values));
  CBN_FORWARD(count_constants(r, model->graph, &constants));
  CBN_FORWARD(make_room(model, &model->tensors, initializers + constants));
  CBN_FORWARD(make_room(model, &model->values, inputs + outputs + values));
  for (struct span left = model->graph; left.at < left.end;) {
    struct field field;
    CBN_FORWARD(take_field(r, &left, &field));
    switch (field.tag) {
    case GRAPH_NODE: CBN_FORWARD(add_constant(r, &model->tensors, field.bytes)); break;
    case GRAPH_INITIALIZER: CBN_FORWARD(add_named(r, &model->tensors, field.bytes, TAG(8, BYTES))); break;
    case GRAPH_INPUT:
    case GRAPH_OUTPUT:
    case GRAPH_VALUE: CBN_FORWARD(add_named(r, &model->values, field.bytes, TAG(1, BYTES))); break;
    }
  }
  return sort_names(model, &model->tensors, true) && sort_names(model, &model->values, false);
}

/* The version of an OperatorSetIdProto, if it is that of the standard operators. */
static bool read_opset(struct model *model, const struct field *import) {
  struct field domain, version;
  CBN_FORWARD(find(&model->reader, import->bytes, TAG(1, BYTES), &domain));
  CBN_FORWARD(find(&model->reader, import->bytes, TAG(2, VARINT), &version));
  if (!is_standard(domain.bytes)) return true;
  if ((int64_t)version.value < 1 || (model->opset != 0 && model->opset != (int64_t)version.value))
    return refuse(&model->reader, import->at, "operator set %" PRId64 " of the standard operators%s",
                  (int64_t)version.value, model->opset != 0 ? ", beside another one" : "");
  model->opset = (int64_t)version.value;
  return true;
}

/* Models of the format's first two versions state no operator set: it is 1. */
static bool read_model(struct model *model, struct span left) {
  enum { OPSETS_SINCE = 3 };
  const struct reader *r = &model->reader;
  uint64_t version = 0;
  struct span graph = {NULL, NULL};
  while (left.at < left.end) {
    struct field field;
    CBN_FORWARD(take_field(r, &left, &field));
    switch (field.tag) {
    case TAG(1, VARINT): version = field.value; break;
    case TAG(7, BYTES):
      if (graph.at != NULL) return refuse(r, field.at, "a second graph; write the file with onnx.save");
      graph = field.bytes;
      break;
    case TAG(8, BYTES): CBN_FORWARD(read_opset(model, &field)); break;
    }
  }
  if (version == 0 || graph.at == NULL)
    return refuse(r, left.end, "the end, and there was no %s: this is no ONNX model, or not a whole one",
                  version == 0 ? "ir_version" : "graph");
  if (version < OPSETS_SINCE && model->opset == 0) model->opset = 1;
  model->graph = graph;
  return true;
}

static bool read_infos(const struct model *model, cbn_onnx_file *file) {
  struct span left = model->graph;
  size_t count;
  CBN_FORWARD(count_fields(&model->reader, left, GRAPH_NODE, &count));
  file->nodes = cbn_arena_allocate(model->reader.arena, count * sizeof *file->nodes);
  if (file->nodes == NULL) return no_memory(&model->reader, left.at);
  while (left.at < left.end) {
    struct field field;
    CBN_FORWARD(take_field(&model->reader, &left, &field));
    if (field.tag == GRAPH_NODE) CBN_FORWARD(read_info(model, field.bytes, &file->nodes[file->count++]));
  }
  return true;
}

bool cbn_onnx_file_parse(const char *name, const void *bytes, size_t size, cbn_arena *arena, cbn_onnx_file *file,
                         cbn_error *error) {
  const unsigned char *begin = bytes;
  struct model model = {.reader = {.name = name, .begin = begin, .arena = arena, .error = error},
                        .dialect = cbn_dialect_by_name("onnx")};
  *file = (cbn_onnx_file){0};
  CBN_FORWARD(read_model(&model, (struct span){begin, begin + size}));
  CBN_FORWARD(read_names(&model));
  file->opset = model.opset;
  return read_infos(&model, file);
}

bool cbn_onnx_file_read(const char *path, cbn_arena *arena, cbn_onnx_file *file, cbn_error *error) {
  enum { LARGEST = INT32_MAX }; /* of a message of Protocol Buffers */
  size_t size;
  *file = (cbn_onnx_file){0};
  void *bytes = cbn_whole_file_read(path, "onnx", LARGEST, &size, error);
  if (bytes == NULL) return false;
  const bool read = cbn_onnx_file_parse(cbn_path_shown(path), bytes, size, arena, file, error);
  free(bytes);
  return read;
}
