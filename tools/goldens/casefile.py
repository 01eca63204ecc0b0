"""Case files: reading, tensors, and writing without a change to what was not recorded."""

import io
import math
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.representer import RoundTripRepresenter

from .fills import fill
from .numbers import TYPES, Tensor, flatten, round_to, to_float, to_text

FLOAT = "tag:yaml.org,2002:float"
LAYER_TENSORS = ("weight", "bias", "running_mean", "running_var")
LAYOUTS = {"channels_last": "channels_last", "NHWC": "channels_last", "strided": "strided"}


class CaseError(Exception):
    """A case that cannot be recorded as it is written."""


class Number(str):
    """A number in the exact text in which it is to be written."""


def represent_number(representer, number):
    """Writes a Number plain, with the tag that its text resolves to."""
    integral = number.lstrip("-").isdigit()
    return representer.represent_scalar("tag:yaml.org,2002:int" if integral else "tag:yaml.org,2002:float", str(number))


class Real(float):
    """A float of a file, which is written again as it stood there: ruamel.yaml writes the last digit of some anew, and
    wrong."""

    def __new__(cls, text):
        result = super().__new__(cls, to_float(text))
        result.text = text
        return result


class Representer(RoundTripRepresenter):
    """Round-trip, with Numbers and Reals."""


class Constructor(RoundTripConstructor):
    """Round-trip, with Reals."""


Representer.add_representer(Number, represent_number)
Representer.add_representer(Real, lambda representer, real: representer.represent_scalar(FLOAT, real.text))
Constructor.add_constructor(FLOAT, lambda constructor, node: Real(node.value))


def yaml():
    """The reader and writer of case files."""
    result = YAML()
    result.Representer, result.Constructor = Representer, Constructor
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


def tensor_description(tensor):
    """`{shape, values}` of a Tensor."""
    values = flow_seq([Number(to_text(value, tensor.type)) for value in tensor.values.reshape(-1)])
    return flow_map(shape=flow_seq([int(extent) for extent in tensor.values.shape]), values=values)


def shape_description(shape):
    """`{shape}` alone."""
    return flow_map(shape=flow_seq([int(extent) for extent in shape]))


def type_of(description):
    """The type that a tensor description states, or f32."""
    name = str(description.get("type", "f32"))
    if name not in TYPES:
        raise CaseError(f"no type is called {name}; the types are {', '.join(TYPES)}")
    return name


def read_tensor(description, role, folder: Path, kind=None):
    """The Tensor of a description, in a given type or its own, or None where it states a shape alone."""
    kind = kind or type_of(description)
    if "npy" in description:
        return Tensor(kind, round_to(kind, np.load(folder / str(description["npy"]))))
    shape = tuple(int(extent) for extent in description["shape"])
    if "fill" in description:
        return Tensor(kind, fill(role, shape, plain(description["fill"]), kind))
    if "values" not in description:
        return None
    values = round_to(kind, flatten(list(description["values"])))
    if values.size != math.prod(shape):
        raise CaseError(f"{role}: {values.size} values for the shape {list(shape)}")
    return Tensor(kind, values.reshape(shape))


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


class Step:
    """One call of a case, with what is done to the layer before it. `own` is the step's map; empty in a case without
    `steps`, whose `params` and `tensors` are the constructor's."""

    def __init__(self, node, own, otherwise, folder: Path):
        def read(role, given):
            return read_tensor(given[role], role, folder) if role in given else None

        self.node = node
        self.reset, self.params = bool(own.get("reset", False)), plain(own.get("params", {}))
        loaded = own.get("tensors", {}) or {}
        self.tensors = {role: read(role, loaded) for role in LAYER_TENSORS if role in loaded}
        self.mode = None if node.get("mode") is None else str(node["mode"])
        self.input = read("input", own if "input" in own else otherwise)
        self.grad_output = read("grad_output", own if "grad_output" in own else otherwise)


class Case:
    """One case of a document, with what the recorder needs to know of it."""

    def __init__(self, node, document, path: Path):
        self.node, self.path, self.folder = node, path, path.parent
        self.id = str(node["id"])
        self.dialect, self.operator = str(document["dialect"]), str(document["operator"])
        self.source = str(node.get("source", document.get("source", "")))
        self.params = plain(node.get("params", {}))
        self.layout = LAYOUTS.get(str(node.get("layout")), "contiguous")

    def recorded_by(self, engine: str) -> bool:
        """Whether this case's expectations are that engine's answers."""
        return self.source == engine

    def given(self):
        """The descriptions of the case's own tensors."""
        return self.node.get("tensors", {}) or {}

    def tensors(self):
        """The layer's tensors that the case gives."""
        given = self.given()
        return {str(role): read_tensor(given[role], str(role), self.folder) for role in given if role in LAYER_TENSORS}

    def layer_type(self):
        """The type of the layer's tensors: that in which the case gives any of them, else the first input's."""
        given = self.given()
        kinds = {type_of(given[role]) for role in given if role in LAYER_TENSORS}
        if len(kinds) > 1:
            raise CaseError(f"{self.id}: a layer's tensors have one type, the case gives {' and '.join(sorted(kinds))}")
        if kinds:
            return kinds.pop()
        inputs = [node["input"] for node in self.node.get("steps", []) if "input" in node]
        inputs += [given["input"]] if "input" in given else []
        return type_of(inputs[0]) if inputs else "f32"

    def nodes(self):
        """The node of each call: that of the case itself without `steps`."""
        return self.node.get("steps", [self.node])

    def steps(self):
        """Each call, in turn; its tensors are made when it is asked for."""
        for node in self.nodes():
            yield Step(node, {} if node is self.node else node, self.given(), self.folder)


def cases_of(document, path: Path):
    """Every case of a document."""
    return [Case(node, document, path) for node in document["cases"]]
