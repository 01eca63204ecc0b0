/* A call's tensors in memory that two processes share: where they lie, what surrounds them, and what became of them.
 *
 * Each tensor keeps its strides. Inputs are copies. The elements of outputs hold a signalling NaN of a chosen payload
 * ("poison"), which no arithmetic produces, so that an element that still holds it was not written. All else, the
 * margins around the tensors and the gaps between the elements of strided ones, holds a canary. */
#ifndef CBN_HARNESS_CALL_MEMORY_H
#define CBN_HARNESS_CALL_MEMORY_H

#include <convbn/engine.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/verdict.h"

/* Shared memory that grows and never shrinks under a reader: a sealed memfd. */
typedef struct cbn_shared_memory {
  int descriptor; /* -1: none yet */
  unsigned char *base;
  size_t size;
} cbn_shared_memory;

bool cbn_shared_memory_reserve(cbn_shared_memory *memory, size_t size, cbn_error *error);

/* Gives the pages of an unusually large call back to the system. */
void cbn_shared_memory_trim(cbn_shared_memory *memory);
void cbn_shared_memory_release(cbn_shared_memory *memory);

/* What an engine may do to a tensor. */
enum cbn_use { CBN_USE_READ, CBN_USE_WRITE, CBN_USE_UPDATE };

typedef struct cbn_place {
  const cbn_tensor *tensor; /* the caller's; NULL for a role that the call does not have */
  enum cbn_use use;
  bool dense;        /* the elements fill their span: no gaps */
  int64_t low;       /* of the elements' offsets, relative to the one with all indices zero */
  size_t begin, end; /* the span's bytes */
  size_t zero;       /* where the element with all indices zero is */
} cbn_place;

/* In a call that works in place two roles are one tensor; the place is that of the result, which is updated. */
typedef struct cbn_call_memory {
  cbn_place place[CBN_ROLE_COUNT];
  bool in_place[CBN_ROLE_COUNT]; /* the role has the place of its result */
  size_t size;         /* bytes of shared memory that the call takes */
  size_t updated_size; /* bytes of all tensors that are updated in place */
} cbn_call_memory;

/* Lays the call's tensors out. False where one cannot be carried: an impossible type, rank, extent or stride. */
bool cbn_call_memory_plan(cbn_call_memory *plan, const cbn_call *call, cbn_error *error);

/* Where the tensor with that role lies. */
const cbn_place *cbn_call_memory_place(const cbn_call_memory *plan, int role);

/* Fills the shared memory for a run; `pass` is 0 or 1 and chooses the poison. */
void cbn_call_memory_fill(const cbn_call_memory *plan, unsigned char *base, int pass);

/* What is wrong, about which tensor and row-major element (-1: none in particular). */
typedef struct cbn_damage {
  enum cbn_verdict verdict; /* PASS: nothing */
  int role;
  int64_t element;
} cbn_damage;

/* The rules that hold whatever the engine answers: nothing beyond the tensors is changed, no input is. */
cbn_damage cbn_call_memory_check(const cbn_call_memory *plan, const unsigned char *base);

/* Copies the outputs of a run filled with pass 0 to the caller's tensors, and what is updated in place to `updated`
 * (updated_size bytes), and then looks for writes between the elements of strided outputs. */
cbn_damage cbn_call_memory_collect(const cbn_call_memory *plan, unsigned char *base, unsigned char *updated);

/* After that: an element of an output that still holds its poison. */
cbn_damage cbn_call_memory_unwritten(const cbn_call_memory *plan);

/* Compares the results of a run filled with pass 1 with the collected ones: an element that holds its poison both
 * times was not written; another difference is nondeterminism. */
cbn_damage cbn_call_memory_compare(const cbn_call_memory *plan, const unsigned char *base,
                                   const unsigned char *updated);

/* Copies what was updated in place from `updated` to the caller's tensors. */
void cbn_call_memory_deliver(const cbn_call_memory *plan, const unsigned char *updated);

#endif
