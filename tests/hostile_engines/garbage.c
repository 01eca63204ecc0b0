/* Writes to every descriptor that is a socket, as the options say, and then computes or ends. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *what;

static void say(const void *bytes, size_t size) {
  for (int descriptor = 3; descriptor < 1024; descriptor++) (void)!send(descriptor, bytes, size, MSG_NOSIGNAL);
}

static void say_frame(const char *json) {
  char frame[1024];
  const size_t length = strlen(json);
  const char prefix[] = {(char)(length & 0xff), (char)(length >> 8), 0, 0};
  memcpy(frame, prefix, 4);
  memcpy(frame + 4, json, length);
  say(frame, 4 + length);
}

static int run(cbn_engine *engine, cbn_call *call) {
  (void)engine;
  if (*element_of(call->tensor[CBN_ROLE_INPUT], 0) != 1) return compute(call);
  if (strcmp(what, "random") == 0) {
    srand(1);
    for (int i = 0; i < 1000; i++) {
      unsigned char bytes[256];
      for (size_t b = 0; b < sizeof bytes; b++) bytes[b] = (unsigned char)(rand() >> 7);
      for (int descriptor = 3; descriptor < 1024; descriptor++) (void)!write(descriptor, bytes, sizeof bytes);
    }
  }
  if (strcmp(what, "zero") == 0) say("\0\0\0\0", 4);
  if (strcmp(what, "huge") == 0) say("\xff\xff\xff\xff{", 5);
  if (strcmp(what, "truncated") == 0) say("\x40\0\0\0{\"verb\"", 11), _exit(0);
  if (strcmp(what, "stalled") == 0) {
    say("\x40\0\0\0{\"verb\"", 11);
    for (;;) pause();
  }
  if (strcmp(what, "array") == 0) say_frame("[1, 2]");
  if (strcmp(what, "empty") == 0) say_frame("{}");
  if (strcmp(what, "sequence") == 0)
    say_frame(
        "{\"verb\":\"answer\",\"sequence\":99,\"status\":\"ok\",\"message\":\"\",\"seconds\":1,\"environment\":\"\"}");
  if (strcmp(what, "types") == 0)
    say_frame("{\"verb\":[],\"sequence\":2,\"status\":1,\"message\":{},\"seconds\":\"1\",\"environment\":null}");
  if (strcmp(what, "status") == 0)
    say_frame(
        "{\"verb\":\"answer\",\"sequence\":2,\"status\":\"splendid\",\"message\":\"\",\"seconds\":1,\"environment\":"
        "\"\"}");
  if (strcmp(what, "deep") == 0) {
    static char deep[4 + 60000] = {(char)(60000 & 0xff), (char)(60000 >> 8), 0, 0};
    memset(deep + 4, '[', 60000);
    say(deep, sizeof deep);
  }
  return compute(call);
}

cbn_engine *cbn_engine_open(uint32_t abi, const char *options) {
  static cbn_engine engine = {.struct_size = sizeof engine, .name = "garbage", .run = run};
  engine.abi = abi;
  what = options;
  return &engine;
}
