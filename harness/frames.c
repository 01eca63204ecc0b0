#include "harness/frames.h"

#include <convbn/tensor.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------- status */

static const char *const status_names[] = {
    [CBN_OK] = "ok", [CBN_UNSUPPORTED] = "unsupported", [CBN_REJECTED] = "rejected", [CBN_ERROR] = "error"};
enum { STATUS_COUNT = sizeof status_names / sizeof *status_names };

const char *cbn_status_name(int status) { return status >= 0 && status < STATUS_COUNT ? status_names[status] : NULL; }

int cbn_status_by_name(const char *name) {
  for (int status = 0; status < STATUS_COUNT; status++) {
    if (strcmp(status_names[status], name) == 0) return status;
  }
  return -1;
}

/* ------------------------------------------------------------------------------------------------------- frames */

void cbn_frame_buffer_clear(cbn_frame_buffer *buffer) {
  buffer->filled = 0;
  buffer->descriptor = -1;
}

/* Keeps one descriptor that came with a message and closes any other. */
static void keep_descriptor(struct msghdr *message, cbn_frame_buffer *buffer) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = CMSG_NXTHDR(message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(control) + i * sizeof descriptor, sizeof descriptor);
      if (buffer->descriptor >= 0) close(buffer->descriptor);
      buffer->descriptor = descriptor;
    }
  }
}

ssize_t cbn_frame_receive(int socket, cbn_frame_buffer *buffer, int flags, bool with_descriptor) {
  struct iovec part = {.iov_base = buffer->bytes + buffer->filled, .iov_len = sizeof buffer->bytes - buffer->filled};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (with_descriptor) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
  }
  const ssize_t received = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  if (received < 0) return received;
  if (with_descriptor) keep_descriptor(&message, buffer);
  buffer->filled += (size_t)received;
  return received;
}

enum cbn_frame_state cbn_frame_take(cbn_frame_buffer *buffer, json_t **header) {
  *header = NULL;
  if (buffer->filled < 4) return CBN_FRAME_PARTIAL;
  const unsigned char *b = buffer->bytes;
  const size_t length = (size_t)b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16 | (size_t)b[3] << 24;
  if (length < 2 || length > CBN_FRAME_LIMIT) return CBN_FRAME_BROKEN;
  if (buffer->filled < 4 + length) return CBN_FRAME_PARTIAL;
  *header = json_loadb((const char *)b + 4, length, 0, NULL);
  if (!json_is_object(*header)) { /* it stays, so that nothing comes out behind it */
    json_decref(*header);
    *header = NULL;
    return CBN_FRAME_BROKEN;
  }
  buffer->filled -= 4 + length;
  memmove(buffer->bytes, buffer->bytes + 4 + length, buffer->filled);
  return CBN_FRAME_WHOLE;
}

static bool send_bytes(int socket, void *bytes, size_t size, int descriptor, int flags) {
  struct iovec part = {.iov_base = bytes, .iov_len = size};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {.bytes = {0}};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (descriptor >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == (ssize_t)size;
}

bool cbn_frame_send(int socket, const json_t *header, int descriptor, int flags) {
  unsigned char bytes[4 + 8192];
  unsigned char *frame = bytes;
  size_t length = json_dumpb(header, (char *)frame + 4, sizeof bytes - 4, JSON_COMPACT);
  if (length == 0 || length > CBN_FRAME_LIMIT) return false;
  if (length > sizeof bytes - 4) {
    frame = malloc(4 + length);
    if (frame == NULL) return false;
    length = json_dumpb(header, (char *)frame + 4, length, JSON_COMPACT);
  }
  for (int i = 0; i < 4; i++) frame[i] = (unsigned char)(length >> (8 * i));
  const bool sent = send_bytes(socket, frame, 4 + length, descriptor, flags);
  if (frame != bytes) free(frame);
  return sent;
}

/* ---------------------------------------------------------------------------------------------------- operators */

/* One list of fields for each operator drives both directions. */
enum field_kind { INT32, INT64, DOUBLE, AXES };
typedef struct field {
  const char *name;
  size_t offset;
  enum field_kind kind;
} field;

#define CONV_FIELD(NAME, KIND)                                                                                         \
  { #NAME, offsetof(cbn_conv, NAME), KIND }
static const field conv_fields[] = {
    CONV_FIELD(spatial_rank, INT32), CONV_FIELD(direction, INT32),     CONV_FIELD(transposed, INT32),
    CONV_FIELD(padding_mode, INT32), CONV_FIELD(has_bias, INT32),      CONV_FIELD(batch, INT64),
    CONV_FIELD(in_channels, INT64),  CONV_FIELD(out_channels, INT64),  CONV_FIELD(groups, INT64),
    CONV_FIELD(input, AXES),         CONV_FIELD(kernel, AXES),         CONV_FIELD(stride, AXES),
    CONV_FIELD(dilation, AXES),      CONV_FIELD(input_dilation, AXES), CONV_FIELD(pad_begin, AXES),
    CONV_FIELD(pad_end, AXES),       CONV_FIELD(output_padding, AXES)};

#define BATCHNORM_FIELD(NAME, KIND)                                                                                    \
  { #NAME, offsetof(cbn_batchnorm, NAME), KIND }
static const field batchnorm_fields[] = {
    BATCHNORM_FIELD(spatial_rank, INT32),     BATCHNORM_FIELD(direction, INT32),
    BATCHNORM_FIELD(statistics, INT32),       BATCHNORM_FIELD(update_running, INT32),
    BATCHNORM_FIELD(running_variance, INT32), BATCHNORM_FIELD(has_weight, INT32),
    BATCHNORM_FIELD(has_bias, INT32),         BATCHNORM_FIELD(batch, INT64),
    BATCHNORM_FIELD(channels, INT64),         BATCHNORM_FIELD(extent, AXES),
    BATCHNORM_FIELD(epsilon, DOUBLE),         BATCHNORM_FIELD(new_weight, DOUBLE)};

#define COUNT_OF(ARRAY) (sizeof(ARRAY) / sizeof *(ARRAY))

static json_t *integers_to_json(const int64_t *values, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(array, json_integer(values[i]));
  return array;
}

/* Reads all of an array of at most `most` integers. */
static bool integers_from_json(const json_t *array, int64_t *values, size_t most) {
  const size_t count = json_array_size(array);
  if (!json_is_array(array) || count > most) return false;
  for (size_t i = 0; i < count; i++) {
    const json_t *value = json_array_get(array, i);
    if (!json_is_integer(value)) return false;
    values[i] = json_integer_value(value);
  }
  return true;
}

/* An integer times a power of two: no decimal point, which a locale might spell otherwise. */
static json_t *double_to_json(double value) {
  if (isnan(value)) return json_string("nan");
  if (isinf(value)) return json_string(value < 0 ? "-inf" : "inf");
  int exponent;
  const long long mantissa = (long long)ldexp(frexp(fabs(value), &exponent), 53);
  char text[64];
  snprintf(text, sizeof text, "%s0x%llxp%d", signbit(value) ? "-" : "", (unsigned long long)mantissa, exponent - 53);
  return json_string(text);
}

static bool double_from_json(const json_t *object, double *value) {
  const char *text = json_string_value(object);
  if (text == NULL || *text == '\0') return false;
  char *end;
  *value = strtod(text, &end);
  return *end == '\0';
}

/* NULL for zero. */
static json_t *field_to_json(const field *f, const char *from) {
  int32_t small = 0;
  int64_t axes[CBN_MAX_SPATIAL] = {0};
  double real = 0;
  size_t count = CBN_MAX_SPATIAL;
  switch (f->kind) {
  case INT32: memcpy(&small, from + f->offset, sizeof small); return small == 0 ? NULL : json_integer(small);
  case INT64: memcpy(axes, from + f->offset, sizeof *axes); return *axes == 0 ? NULL : json_integer(*axes);
  case AXES:
    memcpy(axes, from + f->offset, sizeof axes);
    while (count > 0 && axes[count - 1] == 0) count--;
    return count == 0 ? NULL : integers_to_json(axes, count);
  case DOUBLE: memcpy(&real, from + f->offset, sizeof real); return double_to_json(real);
  }
  return NULL;
}

static bool field_from_json(const field *f, const json_t *value, char *to) {
  int64_t integers[CBN_MAX_SPATIAL] = {0};
  double real;
  int32_t small;
  switch (f->kind) {
  case DOUBLE:
    if (!double_from_json(value, &real)) return false;
    memcpy(to + f->offset, &real, sizeof real);
    return true;
  case AXES:
    if (!integers_from_json(value, integers, CBN_MAX_SPATIAL)) return false;
    memcpy(to + f->offset, integers, sizeof integers);
    return true;
  case INT64:
    integers[0] = json_integer_value(value);
    memcpy(to + f->offset, integers, sizeof *integers);
    return json_is_integer(value);
  case INT32:
    small = (int32_t)json_integer_value(value);
    memcpy(to + f->offset, &small, sizeof small);
    return json_is_integer(value) && small == json_integer_value(value);
  }
  return false;
}

static json_t *fields_to_json(const field *fields, size_t count, const void *from) {
  json_t *object = json_object();
  for (size_t i = 0; i < count; i++) {
    json_t *value = field_to_json(&fields[i], from);
    if (value != NULL) json_object_set_new_nocheck(object, fields[i].name, value);
  }
  return object;
}

static bool fields_from_json(const field *fields, size_t count, const json_t *object, void *to) {
  for (size_t i = 0; i < count; i++) {
    const json_t *value = json_object_get(object, fields[i].name);
    if (value != NULL && !field_from_json(&fields[i], value, to)) return false;
  }
  return json_is_object(object);
}

json_t *cbn_conv_to_json(const cbn_conv *conv) { return fields_to_json(conv_fields, COUNT_OF(conv_fields), conv); }

bool cbn_conv_from_json(const json_t *object, cbn_conv *conv) {
  *conv = (cbn_conv){.struct_size = sizeof *conv};
  return fields_from_json(conv_fields, COUNT_OF(conv_fields), object, conv);
}

json_t *cbn_batchnorm_to_json(const cbn_batchnorm *batchnorm) {
  return fields_to_json(batchnorm_fields, COUNT_OF(batchnorm_fields), batchnorm);
}

bool cbn_batchnorm_from_json(const json_t *object, cbn_batchnorm *batchnorm) {
  *batchnorm = (cbn_batchnorm){.struct_size = sizeof *batchnorm};
  return fields_from_json(batchnorm_fields, COUNT_OF(batchnorm_fields), object, batchnorm);
}

/* ------------------------------------------------------------------------------------------------------ tensors */

json_t *cbn_tensor_to_json(const cbn_tensor *tensor, int64_t offset) {
  json_t *array = json_array();
  json_array_append_new(array, json_string(cbn_type_name(tensor->type)));
  json_array_append_new(array, json_integer(offset));
  json_array_append_new(array, integers_to_json(tensor->extent, (size_t)tensor->rank));
  json_array_append_new(array, integers_to_json(tensor->stride, (size_t)tensor->rank));
  return array;
}

bool cbn_tensor_reach(const cbn_tensor *tensor, int64_t *low, int64_t *high) {
  *low = 0;
  *high = -1;
  if (cbn_type_size(tensor->type) == 0 || tensor->rank < 1 || tensor->rank > CBN_MAX_RANK) return false;
  const int64_t count = cbn_extent_product(tensor->rank, tensor->extent);
  if (count <= 0) return count == 0;
  *high = 0;
  for (int32_t axis = 0; axis < tensor->rank; axis++) {
    int64_t span;
    if (__builtin_mul_overflow(tensor->extent[axis] - 1, tensor->stride[axis], &span)) return false;
    int64_t *side = span < 0 ? low : high;
    if (__builtin_add_overflow(*side, span, side)) return false;
  }
  const int64_t most = INT64_MAX / 64;
  return *low > -most && *high < most;
}

/* Reads what the JSON says, without a look at what it means. */
static bool read_tensor(const json_t *array, cbn_tensor *tensor, int64_t *offset) {
  const char *type = json_string_value(json_array_get(array, 0));
  const json_t *place = json_array_get(array, 1), *extent = json_array_get(array, 2),
               *stride = json_array_get(array, 3);
  const size_t rank = json_array_size(extent);
  if (type == NULL || !json_is_integer(place) || rank < 1 || json_array_size(stride) != rank) return false;
  *tensor = (cbn_tensor){.type = cbn_type_by_name(type), .rank = (int32_t)rank};
  *offset = json_integer_value(place);
  return tensor->type >= 0 && integers_from_json(extent, tensor->extent, CBN_MAX_RANK) &&
         integers_from_json(stride, tensor->stride, CBN_MAX_RANK);
}

bool cbn_tensor_from_json(const json_t *array, int64_t size, cbn_tensor *tensor, int64_t *offset) {
  int64_t low, high;
  if (!read_tensor(array, tensor, offset) || !cbn_tensor_reach(tensor, &low, &high)) return false;
  const int64_t element = (int64_t)cbn_type_size(tensor->type);
  if (*offset < 0 || *offset > size || *offset % element != 0) return false;
  return *offset + low * element >= 0 && (high + 1) * element <= size - *offset;
}
