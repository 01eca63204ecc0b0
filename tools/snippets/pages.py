"""Reads the programs out of Markdown pages, and holds two outputs against each other. Standard library only."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

PAIR = re.compile(r"^(`{3,})python\n(.*?)^\1\n+^(`{3,})text\n(.*?)^\3$", re.MULTILINE | re.DOTALL)

# %.7g keeps a value within 5 of its eighth digit, on both sides: 1e-6 of itself. An engine in f32 may err by some roundings
# of 2^-24 of the largest number that went into a result, for which the tensor's largest stands: 32 of them, 2e-6.
OF_VALUE = 1e-6
OF_LARGEST = 2e-6


@dataclass
class Program:
    """A python block and the text block behind it."""
    page: str
    line: int
    code: str
    expected: str

    @property
    def engine(self):
        """The framework that it imports, of Keras with the backend; None for none that is known."""
        if re.search(r"^import keras$", self.code, re.MULTILINE):
            backend = re.search(r"'KERAS_BACKEND'\] = '(\w+)'", self.code)
            return f"keras-{backend.group(1)}" if backend else None
        for module, engine in (("flax", "flax"), ("jax", "jax"), ("torch", "pytorch"), ("mindspore", "mindspore"),
                               ("tensorflow as tf", "tensorflow"), ("onnxruntime", "onnx")):
            if re.search(rf"^import {module}$", self.code, re.MULTILINE):
                return engine
        return None


def programs_of(path: Path):
    """The programs of a page, in their order."""
    text = path.read_text(encoding="utf-8")
    return [Program(path.name, text.count("\n", 0, match.start()) + 1, match.group(2), match.group(4))
            for match in PAIR.finditer(text)]


def parse(line):
    """(name, shape, values) of a line `output (1, 2) 3 4`; None for another, as `refuses ValueError`."""
    match = re.fullmatch(r"(\w+) (\([\d, ]*\))((?: \S+)*)", line.strip())
    if match is None:
        return None
    try:
        return match.group(1), match.group(2), [float(word) for word in match.group(3).split()]
    except ValueError:
        return None


def near(a, b, largest):
    """Whether two printed numbers may be one result."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if math.isinf(a) or math.isinf(b):
        return a == b
    return abs(a - b) <= OF_VALUE * abs(a) + OF_LARGEST * largest


def difference(expected, actual):
    """Where two outputs part, in a sentence; None where they do not. Names, order and shapes must be the same."""
    wanted, got = expected.strip().splitlines(), actual.strip().splitlines()
    for i in range(max(len(wanted), len(got))):
        if i >= len(wanted) or i >= len(got):
            return f"{len(got)} lines, not {len(wanted)}"
        a, b = parse(wanted[i]), parse(got[i])
        if a is None or b is None:
            if wanted[i] != got[i]:
                return f"'{got[i][:120]}', not '{wanted[i][:120]}'"
            continue
        if a[:2] != b[:2] or len(a[2]) != len(b[2]):
            return f"{b[0]} {b[1]}, not {a[0]} {a[1]}"
        largest = max((abs(value) for value in a[2] if math.isfinite(value)), default=0)
        for k, (x, y) in enumerate(zip(a[2], b[2])):
            if not near(x, y, largest):
                return f"{a[0]}: value {k} is {y:.7g}, not {x:.7g}"
    return None
