"""Writes tests/fill_vectors.txt: elements of every fill, for the check of other implementations."""

import sys
from pathlib import Path

import numpy as np

from .fills import fill
from .philox import check_known_answers

HEADER = """\
# Elements of the fills of docs/cases.md, as the golden recorder's NumPy implementation draws them.
# Written by tools/record-goldens --fill-vectors. One element a line:
# kind  parameters (key=value, comma-separated, - for none)  tensor  shape  flat index  f32 bits (hexadecimal)
"""
# kind, parameters, tensor, shape, flat indices
VECTORS = [
    ("integers", {}, "input", (40,), range(12)),
    ("integers", {"seed": 1}, "weight", (2, 3, 3), range(12)),
    ("integers", {"seed": 7, "low": 0, "high": 1}, "bias", (64,), (0, 1, 2, 3, 31, 32, 33, 63)),
    ("integers", {"seed": 4294967296, "low": -1000, "high": 1000}, "input", (5, 7), (0, 1, 2, 3, 4, 17, 33, 34)),
    ("integers", {"seed": 1311768467463790320, "low": 5, "high": 5}, "running_mean", (3,), range(3)),
    ("exact", {}, "input", (40,), range(10)),
    ("exact", {"seed": 3, "bits": 1, "density": 0.25}, "weight", (4, 9), range(16)),
    ("exact", {"seed": 11, "bits": 8, "shift": -6}, "running_var", (16,), range(10)),
    ("exact", {"seed": 5, "bits": 4, "shift": 10, "density": 0.5}, "grad_output", (2, 8), range(10)),
    ("normal", {}, "input", (3, 5), range(15)),
    ("normal", {"seed": 42}, "weight", (100,), (0, 1, 2, 50, 97, 98, 99)),
    ("normal", {"seed": 42, "mean": 10000, "scale": 0.5}, "input", (2, 3, 4, 5), (0, 1, 2, 3, 59, 60, 118, 119)),
    ("normal", {"seed": 9, "scale": 1.0e-20}, "bias", (9,), range(9)),
    ("normal", {"seed": 99999999999, "mean": 0.25, "scale": 3}, "running_mean", (8,), range(8)),
    ("impulse", {}, "input", (2, 3), range(6)),
    ("impulse", {"index": (1, 0, 2), "value": -2.5}, "weight", (2, 2, 3), range(12)),
    ("ramp", {}, "input", (6,), range(6)),
    ("ramp", {"start": -1, "step": 0.1}, "weight", (3, 5), range(15)),
    ("ramp", {"start": 16777215, "step": 1}, "input", (4,), range(4)),
    ("ones", {}, "bias", (3,), range(3)),
    ("special", {}, "input", (64,), range(24)),
    ("special", {"seed": 2}, "weight", (5, 5), range(16)),
    ("normal", {"seed": 1}, "input", (70000,), (65535, 65536, 69999)),
]


def text_of(parameters):
    """Parameters as the vectors write them."""
    def value(item):
        return ":".join(str(entry) for entry in item) if isinstance(item, tuple) else repr(item)
    return ",".join(f"{key}={value(item)}" for key, item in parameters.items()) or "-"


def lines():
    """Every line of the file, after its header."""
    for kind, parameters, tensor, shape, indices in VECTORS:
        values = fill(tensor, shape, {"kind": kind, **parameters}).reshape(-1)
        bits = np.ascontiguousarray(values).view(np.uint32)
        for index in indices:
            # every NaN is one value: written as the quiet NaN without a sign
            word = 0x7FC00000 if np.isnan(values[index]) else int(bits[index])
            yield f"{kind} {text_of(parameters)} {tensor} {'x'.join(map(str, shape))} {index} {word:08x}"


def write(path):
    """Writes the file; returns the number of vectors."""
    check_known_answers()
    found = list(lines())
    path.write_text(HEADER + "\n".join(found) + "\n")
    return len(found)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(f"{target}: {write(target)} vectors")
