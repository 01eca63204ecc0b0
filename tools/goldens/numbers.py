"""The element types: rounding to them, and the shortest decimals that read back to the same bits."""

import math
import re
from typing import NamedTuple

import numpy as np


class Tensor(NamedTuple):
    """An array with its element type, for which NumPy has no name in one case: bf16 values are stored in f32."""

    type: str
    values: np.ndarray


class Format(NamedTuple):
    """An element type: where NumPy stores it, its significant bits, and its smallest subnormal as a power of two."""

    storage: type
    precision: int
    smallest: int


TYPES = {"f64": Format(np.float64, 53, -1074), "f32": Format(np.float32, 24, -149),
         "f16": Format(np.float16, 11, -24), "bf16": Format(np.float32, 8, -133)}
BF16_OVERFLOW = 2.0**128


def round_to(name, values):
    """Doubles, rounded once to the nearest of a type, ties to even; the array that stores them."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if name != "bf16":
            return values.astype(TYPES[name].storage)
        _, exponent = np.frexp(values)
        quantum = np.ldexp(1.0, np.maximum(exponent - TYPES[name].precision, TYPES[name].smallest))
        rounded = np.rint(values / quantum) * quantum
        rounded = np.where(np.abs(rounded) >= BF16_OVERFLOW, np.copysign(np.inf, values), rounded)
        return np.where(np.isfinite(values), rounded, values).astype(np.float32)


def to_float(value):
    """A case's number: a decimal, a hexadecimal float, .nan, .inf."""
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no number")
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value).strip()
    if re.fullmatch(r"[-+]?0[xX].*", text):
        return float.fromhex(text)
    if text.lower().lstrip("+-") in (".nan", ".inf"):
        return float(text.replace(".", "", 1))
    return float(text)


def shortest_bf16(value):
    """The double with the fewest decimal digits that rounds to this bf16 value: 4 digits tell all of them apart."""
    for digits in range(1, 4):
        candidate = float(f"{value:.{digits - 1}e}")
        if round_to("bf16", candidate) == value:
            return candidate
    return float(f"{value:.3e}")


def to_text(value, name="f32"):
    """The shortest decimal that rounds to this value of a type, in YAML's form."""
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0"
    value = np.float64(shortest_bf16(float(value))) if name == "bf16" else TYPES[name].storage(value)
    if 1e-4 <= abs(value) < 1e9:
        return np.format_float_positional(value, unique=True, trim="-")
    return np.format_float_scientific(value, unique=True, trim="0", exp_digits=2)


def flatten(values):
    """A flat list of floats from flat or nested sequences."""
    if isinstance(values, (list, tuple)):
        return [item for entry in values for item in flatten(entry)]
    return [to_float(values)]
