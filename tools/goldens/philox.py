"""Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011), in NumPy."""

import numpy as np

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

# counter, key, result: the known answers published with Random123 (tests/kat_vectors, philox4x32 10)
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


def philox4x32(counter, key):
    """Four words for each counter: `counter` is four arrays (or numbers) of 32-bit words, `key` two numbers."""
    words = [np.atleast_1d(np.asarray(word, dtype=np.uint64)) for word in counter]
    c0, c1, c2, c3 = np.broadcast_arrays(*words)
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(ROUNDS):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = ((product1 >> HALF) ^ c1 ^ np.uint64(k0), product1 & LOW,
                          (product0 >> HALF) ^ c3 ^ np.uint64(k1), product0 & LOW)
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def check_known_answers():
    """Raises where this is not Philox4x32-10."""
    for counter, key, expected in KNOWN_ANSWERS:
        words = tuple(int(word[0]) for word in philox4x32(counter, key))
        if words != expected:
            raise AssertionError(f"Philox4x32-10 of counter {counter}, key {key}: {words}, not {expected}")
