/* Frames: what the program and an engine's process say to each other. A frame is a length (32 bits, little-endian)
 * and as many bytes of JSON, one object; docs/engine-protocol.md lists the objects. Both sides use this file. */
#ifndef CBN_HARNESS_FRAMES_H
#define CBN_HARNESS_FRAMES_H

#include <convbn/engine.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define CBN_PROTOCOL_VERSION 1
#define CBN_FRAME_LIMIT 65536 /* bytes of JSON in one frame, at most */

/* The descriptors that a worker is started with: the frames, and a pipe that hangs up when the program is gone. */
enum { CBN_FRAME_DESCRIPTOR = 3, CBN_LIFELINE_DESCRIPTOR = 4 };

/* Verbs of the program, and the answers to them. */
#define CBN_VERB_START "start"
#define CBN_VERB_DESCRIBE "describe"
#define CBN_VERB_FAILED "failed"
#define CBN_VERB_RUN "run"
#define CBN_VERB_AGAIN "again"
#define CBN_VERB_ANSWER "answer"
#define CBN_VERB_RESET "reset"
#define CBN_VERB_DONE "done"
#define CBN_VERB_STOP "stop"

/* "ok", "unsupported", "rejected", "error"; NULL for a number that is no status. */
const char *cbn_status_name(int status);

/* The status of that name, -1 if there is none. */
int cbn_status_by_name(const char *name);

/* Bytes that have arrived and are not yet a whole frame. It never grows: a frame that would not fit is broken. */
typedef struct cbn_frame_buffer {
  size_t filled;
  int descriptor; /* the one that came with the bytes, -1 if none; whoever takes it sets -1 */
  unsigned char bytes[4 + CBN_FRAME_LIMIT];
} cbn_frame_buffer;

void cbn_frame_buffer_clear(cbn_frame_buffer *buffer);

/* Reads once from the socket: the number of bytes, 0 at the end, -1 with errno. Descriptors are taken if
 * `with_descriptor`, else the kernel drops them. */
ssize_t cbn_frame_receive(int socket, cbn_frame_buffer *buffer, int flags, bool with_descriptor);

enum cbn_frame_state { CBN_FRAME_PARTIAL, CBN_FRAME_WHOLE, CBN_FRAME_BROKEN };

/* Takes the first frame out of the buffer. `header` is a new reference if the frame is whole: a JSON object. A broken
 * frame stays, and nothing comes out behind it. */
enum cbn_frame_state cbn_frame_take(cbn_frame_buffer *buffer, json_t **header);

/* Sends a frame, with a descriptor beside its first byte unless that is -1. False where the header is NULL or too
 * long, or the socket takes less than all of it. Never raises SIGPIPE. */
bool cbn_frame_send(int socket, const json_t *header, int descriptor, int flags);

/* The operators as JSON objects whose keys are the names of the fields. What is zero is left out: fields, and the
 * ends of arrays. Doubles are hexadecimal strings, so that every value passes unchanged. From JSON: false where a
 * field has another type or does not fit. */
json_t *cbn_conv_to_json(const cbn_conv *conv);
bool cbn_conv_from_json(const json_t *object, cbn_conv *conv);
json_t *cbn_batchnorm_to_json(const cbn_batchnorm *batchnorm);
bool cbn_batchnorm_from_json(const json_t *object, cbn_batchnorm *batchnorm);

/* A tensor whose element with all indices zero lies `offset` bytes into the shared memory, as an array: type,
 * offset, extents, strides. From JSON: `data` is NULL, type, rank and extents are valid, and the elements lie
 * within `size` bytes of shared memory. */
json_t *cbn_tensor_to_json(const cbn_tensor *tensor, int64_t offset);
bool cbn_tensor_from_json(const json_t *array, int64_t size, cbn_tensor *tensor, int64_t *offset);

/* The offsets, in elements, of the lowest and the highest element relative to the one with all indices zero; a tensor
 * without elements has 0 and -1. False where type, rank, extents or strides are impossible, or the bytes overflow. */
bool cbn_tensor_reach(const cbn_tensor *tensor, int64_t *low, int64_t *high);

#endif
