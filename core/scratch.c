#include "core/scratch.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/poison.h"

/* Each block follows a zone of ZONE bytes, out of bounds, that holds where the block before it began; one more zone is
 * the end of all. Ninety-nine in a hundred generated problems fit. */
enum { ZONE = 64, ARENA = 128 << 10 };

static _Thread_local struct {
  _Alignas(ZONE) unsigned char memory[ARENA];
  size_t used; /* up to where memory is taken */
  size_t last; /* where the block begins that was taken last, 0 if there is none */
  bool poisoned;
} arena;

static size_t rounded(size_t bytes) { return (bytes + ZONE - 1) / ZONE * ZONE; }

size_t cbn_scratch_room(void) { return arena.used + 2 * ZONE < ARENA ? ARENA - arena.used - 2 * ZONE : 0; }

static void *take_from_arena(size_t bytes) {
  if (CBN_ADDRESS_SANITIZER && !arena.poisoned) CBN_POISON(arena.memory, ARENA);
  arena.poisoned = true;
  unsigned char *const zone = arena.memory + arena.used, *const block = zone + ZONE;
  CBN_UNPOISON(zone, ZONE);
  memcpy(zone, &arena.last, sizeof arena.last);
  CBN_POISON(zone, ZONE);
  CBN_UNPOISON(block, bytes);
  if (CBN_ADDRESS_SANITIZER) memset(block, 0xbe, bytes); /* as the sanitizer's malloc: no zeros that nobody wrote */
  arena.last = arena.used + ZONE;
  arena.used = arena.last + rounded(bytes);
  return block;
}

void *cbn_scratch_take(size_t bytes) {
  if (bytes == 0) bytes = 1;
  if (bytes <= cbn_scratch_room()) return take_from_arena(bytes);
  return bytes <= SIZE_MAX - ZONE ? aligned_alloc(ZONE, rounded(bytes)) : NULL;
}

static bool is_of_arena(const void *memory) {
  const uintptr_t address = (uintptr_t)memory, begin = (uintptr_t)arena.memory;
  return address >= begin && address < begin + ARENA;
}

void cbn_scratch_give(void *memory) {
  if (!is_of_arena(memory)) {
    free(memory);
    return;
  }
  unsigned char *const block = memory, *const zone = block - ZONE;
  assert(arena.last > 0 && block == arena.memory + arena.last);
  CBN_UNPOISON(zone, ZONE);
  memcpy(&arena.last, zone, sizeof arena.last);
  arena.used = (size_t)(zone - arena.memory);
  CBN_POISON(zone, ARENA - arena.used);
}
