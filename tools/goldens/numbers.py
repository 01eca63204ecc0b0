"""f32 values as the shortest decimals that read back to the same bits."""

import math
import re

import numpy as np


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


def to_text(value):
    """The shortest decimal that rounds to this f32, in YAML's form."""
    value = np.float32(value)
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0"
    if 1e-4 <= abs(value) < 1e9:
        return np.format_float_positional(value, unique=True, trim="-")
    return np.format_float_scientific(value, unique=True, trim="0", exp_digits=2)


def flatten(values):
    """A flat list of floats from flat or nested sequences."""
    if isinstance(values, (list, tuple)):
        return [item for entry in values for item in flatten(entry)]
    return [to_float(values)]
