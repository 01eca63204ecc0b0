"""Case files: reading, tensors, and writing without a change to what was not recorded."""

import io
import math
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from .fills import fill
from .numbers import flatten, to_text

CONVOLUTION_TENSORS = ("weight", "bias")
BATCHNORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


class CaseError(Exception):
    """A case that cannot be recorded as it is written."""


class Number(str):
    """A number in the exact text in which it is to be written."""


def represent_number(representer, number):
    """Writes a Number plain, with the tag that its text resolves to."""
    integral = number.lstrip("-").isdigit()
    return representer.represent_scalar("tag:yaml.org,2002:int" if integral else "tag:yaml.org,2002:float", str(number))


class Representer(RoundTripRepresenter):
    """Round-trip, with Numbers."""


Representer.add_representer(Number, represent_number)


def yaml():
    """The reader and writer of case files."""
    result = YAML()
    result.Representer = Representer
    result.width = 118
    result.indent(mapping=2, sequence=4, offset=2)
    result.preserve_quotes = True
    return result


def load(path: Path):
    """The document of a case file."""
    try:
        return yaml().load(path.read_text())
    except Exception as error:
        raise CaseError(f"{path}: {error}") from error


def dump(document) -> str:
    """The text of a document."""
    stream = io.StringIO()
    yaml().dump(document, stream)
    return stream.getvalue()


def flow_map(**entries):
    """A mapping on one line."""
    result = CommentedMap(entries)
    result.fa.set_flow_style()
    return result


def flow_seq(items):
    """A sequence on one line."""
    result = CommentedSeq(items)
    result.fa.set_flow_style()
    return result


def tensor_description(array):
    """`{shape, values}` of an array."""
    array = np.asarray(array)
    values = flow_seq([Number(to_text(value)) for value in array.reshape(-1)])
    return flow_map(shape=flow_seq([int(extent) for extent in array.shape]), values=values)


def shape_description(shape):
    """`{shape}` alone."""
    return flow_map(shape=flow_seq([int(extent) for extent in shape]))


def read_tensor(description, name, folder: Path):
    """The f32 array of a tensor description, or None where it states a shape alone."""
    if "npy" in description:
        return np.load(folder / str(description["npy"])).astype(np.float32)
    shape = tuple(int(extent) for extent in description["shape"])
    if "fill" in description:
        return fill(name, shape, plain(description["fill"]))
    if "values" not in description:
        return None
    values = np.array(flatten(list(description["values"])), dtype=np.float64).astype(np.float32)
    if values.size != math.prod(shape):
        raise CaseError(f"{name}: {values.size} values for the shape {list(shape)}")
    return values.reshape(shape)


def plain(node):
    """Ordinary Python values; sequences become tuples, as the frameworks' parameters want them."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return tuple(plain(value) for value in node)
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        return int(node)
    if isinstance(node, float):
        return float(node)
    return str(node)


class Case:
    """One case of a document, with what the recorder needs to know of it."""

    def __init__(self, node, document, path: Path):
        self.node, self.path, self.folder = node, path, path.parent
        self.id = str(node["id"])
        self.dialect, self.operator = str(document["dialect"]), str(document["operator"])
        self.source = str(node.get("source", document.get("source", "")))
        self.params = plain(node.get("params", {}))
        self.layout = "channels_last" if node.get("layout") in ("channels_last", "NHWC") else "contiguous"

    def recorded_by(self, engine: str) -> bool:
        """Whether this case's expectations are that engine's answers."""
        return self.source == engine

    def tensors(self):
        """Parameter tensors that the case gives."""
        given = self.node.get("tensors", {}) or {}
        return {str(name): read_tensor(given[name], str(name), self.folder)
                for name in given if name in BATCHNORM_TENSORS}

    def calls(self):
        """(mode or None, input, node that holds `expect`) of each call."""
        given = self.node.get("tensors", {}) or {}
        nodes = self.node.get("steps", [self.node])
        described = [node.get("input", given.get("input")) for node in nodes]
        inputs = [None if one is None else read_tensor(one, "input", self.folder) for one in described]
        return [(node.get("mode"), values, node) for node, values in zip(nodes, inputs)]


def cases_of(document, path: Path):
    """Every case of a document."""
    return [Case(node, document, path) for node in document["cases"]]
