/* Target frames: a stream as the other side may send it. The first four bytes are the sizes of the pieces in which it
 * arrives, by turns; which frames come out does not depend on them, and nothing comes out behind a broken one. A frame
 * that came out is sent and arrives the same. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/demand.h"
#include "fuzz/targets.h"
#include "harness/frames.h"

enum { PIECES = 4, SENT_AGAIN = 8 };

/* What has come out of a stream so far. */
struct received {
  cbn_frame_buffer buffer;
  json_t *frames; /* an array */
  bool broken;
};

static struct received *create_received(void) {
  struct received *received = malloc(sizeof *received);
  CBN_DEMAND(received != NULL, "there is no memory left");
  cbn_frame_buffer_clear(&received->buffer);
  received->frames = json_array();
  received->broken = false;
  return received;
}

static void destroy_received(struct received *received) {
  json_decref(received->frames);
  free(received);
}

static void take_frames(struct received *received) {
  json_t *header;
  enum cbn_frame_state state;
  while ((state = cbn_frame_take(&received->buffer, &header)) == CBN_FRAME_WHOLE) {
    CBN_DEMAND(json_is_object(header), "a frame that is no object");
    CBN_DEMAND(json_array_append_new(received->frames, header) == 0, "there is no memory left");
  }
  CBN_DEMAND(header == NULL, "a header beside a frame that is not whole");
  received->broken = state == CBN_FRAME_BROKEN;
  if (!received->broken) return;
  CBN_DEMAND(cbn_frame_take(&received->buffer, &header) == CBN_FRAME_BROKEN,
             "something comes out behind a broken frame");
}

/* The stream in one piece, as far as the buffer holds it. */
static struct received *receive_whole(const uint8_t *bytes, size_t size) {
  struct received *received = create_received();
  cbn_frame_buffer *buffer = &received->buffer;
  while (size > 0 && !received->broken) {
    const size_t room = sizeof buffer->bytes - buffer->filled, count = size < room ? size : room;
    CBN_DEMAND(room > 0, "a full buffer that holds no frame");
    memcpy(buffer->bytes + buffer->filled, bytes, count);
    buffer->filled += count;
    bytes += count;
    size -= count;
    take_frames(received);
  }
  return received;
}

/* The stream through a socket. */
static struct received *receive_pieces(const int ends[2], const uint8_t pieces[PIECES], const uint8_t *bytes,
                                       size_t size) {
  struct received *received = create_received();
  const size_t least = 1 + size / 1024;
  for (size_t done = 0, turn = 0; done < size && !received->broken; turn++) {
    const size_t wanted = least + pieces[turn % PIECES], left = size - done, count = wanted < left ? wanted : left;
    CBN_DEMAND(send(ends[0], bytes + done, count, 0) == (ssize_t)count, "the socket is full");
    done += count;
    for (size_t arrived = 0; arrived < count && !received->broken;) {
      const ssize_t got = cbn_frame_receive(ends[1], &received->buffer, MSG_DONTWAIT, turn % 2 == 0);
      CBN_DEMAND(got > 0, "bytes that were sent do not arrive");
      arrived += (size_t)got;
      take_frames(received);
    }
  }
  return received;
}

/* Sends a frame, with a descriptor beside it, and receives it. */
static void send_again(const int ends[2], const json_t *frame, bool with_descriptor) {
  struct received *received = create_received();
  const size_t length = json_dumpb(frame, NULL, 0, JSON_COMPACT);
  const bool sent = cbn_frame_send(ends[0], frame, ends[0], MSG_DONTWAIT);
  CBN_DEMAND(sent == (length <= CBN_FRAME_LIMIT), "a frame of %zu bytes is%s sent", length, sent ? "" : " not");
  while (sent && json_array_size(received->frames) == 0) {
    CBN_DEMAND(cbn_frame_receive(ends[1], &received->buffer, MSG_DONTWAIT, with_descriptor) > 0,
               "a frame that was sent does not arrive");
    take_frames(received);
    CBN_DEMAND(!received->broken, "a frame that was sent arrives broken");
  }
  if (sent) {
    CBN_DEMAND(json_equal(json_array_get(received->frames, 0), frame), "a frame arrives as another one");
    CBN_DEMAND((received->buffer.descriptor >= 0) == with_descriptor, "a descriptor is lost, or arrives unasked");
    CBN_DEMAND(received->buffer.filled == 0, "more arrives than was sent");
  }
  if (received->buffer.descriptor >= 0) close(received->buffer.descriptor);
  destroy_received(received);
}

void cbn_fuzz_frames(const cbn_target *target, const uint8_t *bytes, size_t size) {
  uint8_t pieces[PIECES] = {0};
  int ends[2];
  (void)target;
  if (size < PIECES) return;
  memcpy(pieces, bytes, PIECES);
  bytes += PIECES;
  size -= PIECES;
  CBN_DEMAND(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "no sockets can be made");
  struct received *whole = receive_whole(bytes, size);
  for (size_t i = 0; i < json_array_size(whole->frames) && i < SENT_AGAIN; i++)
    send_again(ends, json_array_get(whole->frames, i), i % 2 == 0);
  struct received *in_pieces = receive_pieces(ends, pieces, bytes, size);
  CBN_DEMAND(json_equal(whole->frames, in_pieces->frames) && whole->broken == in_pieces->broken,
             "what comes out depends on the pieces: %zu frames and %zu", json_array_size(whole->frames),
             json_array_size(in_pieces->frames));
  destroy_received(in_pieces);
  destroy_received(whole);
  close(ends[0]);
  close(ends[1]);
}
