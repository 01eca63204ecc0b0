"""The reproducible fills of docs/cases.md, written from that page alone."""

import math

import numpy as np

from .numbers import TYPES, round_to
from .philox import philox4x32

TENSOR_NUMBERS = {"input": 0, "weight": 1, "bias": 2, "running_mean": 3, "running_var": 4, "grad_output": 5}
TWO32 = 4294967296.0
CHUNK = 1 << 20  # elements drawn at a time, to bound the memory
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0**-149, -(2.0**-149), 2.0**-126 - 2.0**-149, 2.0**-126, -(2.0**-126),
           1.0 + 2.0**-23, 2.0**24, 2.0**127, -(2.0**127), math.inf, -math.inf, math.nan]
PARAMETERS = {
    "integers": {"seed": 0, "low": -4, "high": 4},
    "exact": {"seed": 0, "bits": 3, "shift": 0, "density": 1},
    "normal": {"seed": 0, "mean": 0, "scale": 1},
    "impulse": {"index": None, "value": 1},
    "ramp": {"start": 0, "step": 1},
    "ones": {},
    "special": {"seed": 0},
}


def words(tensor, seed, first, count):
    """The four words of `count` elements of a tensor, from element `first` on."""
    index = np.arange(first, first + count, dtype=np.uint64)
    counter = (index & np.uint64(0xFFFFFFFF), index >> np.uint64(32), TENSOR_NUMBERS[tensor], 0)
    return philox4x32(counter, (seed % 2**32, seed // 2**32))


def draw_integers(r0, low, high):
    """Integers from low to high."""
    return low + np.floor(r0.astype(np.float64) * (high - low + 1.0) / TWO32)


def impulse(shape, parameters, name):
    """One value, and zeros."""
    result = np.zeros(shape, dtype=TYPES[name].storage)
    result[tuple(parameters["index"] or [0] * len(shape))] = round_to(name, parameters["value"])
    return result


def elements(tensor, first, count, kind, parameters):
    """`count` elements in double from element `first` on, before the one rounding to the tensor's type."""
    if kind == "ones":
        return np.ones(count)
    if kind == "ramp":
        return parameters["start"] + parameters["step"] * np.arange(first, first + count, dtype=np.float64)
    r0, r1, _, _ = words(tensor, parameters["seed"], first, count)
    if kind == "integers":
        return draw_integers(r0, parameters["low"], parameters["high"])
    if kind == "exact":
        bound = 2.0 ** parameters["bits"] - 1.0
        drawn = draw_integers(r0, -bound, bound) * 2.0 ** parameters["shift"]
        return np.where(r1.astype(np.float64) >= parameters["density"] * TWO32, 0.0, drawn)
    if kind == "normal":
        half, mask = np.uint64(16), np.uint64(0xFFFF)
        total = ((r0 & mask) + (r0 >> half) + (r1 & mask) + (r1 >> half)).astype(np.float64)
        return parameters["mean"] + parameters["scale"] * ((total - 131070.0) * (0.8660254037844386 / 32768.0))
    if kind == "special":
        return np.array(SPECIAL)[np.floor(r0.astype(np.float64) * 16.0 / TWO32).astype(np.int64)]
    raise ValueError(f"no fill is called {kind!r}")


def fill(tensor, shape, description, name="f32"):
    """The array of a case's `fill`, in that type."""
    given = dict(description)
    kind = given.pop("kind")
    if kind not in PARAMETERS:
        raise ValueError(f"no fill is called {kind!r}; the fills are {', '.join(PARAMETERS)}")
    unknown = set(given) - set(PARAMETERS[kind])
    if unknown:
        raise ValueError(f"the fill {kind!r} has no parameter {sorted(unknown)[0]!r}")
    parameters = {**PARAMETERS[kind], **given}
    if kind == "impulse":
        return impulse(shape, parameters, name)
    result = np.empty(math.prod(shape), dtype=TYPES[name].storage)
    for first in range(0, result.size, CHUNK):
        part = result[first:first + CHUNK]
        part[:] = round_to(name, elements(tensor, first, part.size, kind, parameters))
    return result.reshape(shape)
