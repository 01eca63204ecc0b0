/* Short-lived memory of a thread, last in, first out: what a small problem needs costs no allocation.
 *
 * Small blocks come from memory that belongs to the thread; larger ones, and those for which nothing is left there,
 * from aligned_alloc. A block is given back by the thread that took it, before those that it took earlier. Its content
 * is whatever was there. Under AddressSanitizer all that is not taken is out of bounds, and so are at least 64 bytes
 * before and behind each block. */
#ifndef CBN_CORE_SCRATCH_H
#define CBN_CORE_SCRATCH_H

#include <stddef.h>

/* `bytes` bytes, 64-byte aligned; NULL without memory. */
void *cbn_scratch_take(size_t bytes);

/* Gives back the block that was taken last; NULL allowed. */
void cbn_scratch_give(void *memory);

/* The largest block that can be taken now without an allocation. 0: none; 0 bytes are allocated then, too. */
size_t cbn_scratch_room(void);

#endif
