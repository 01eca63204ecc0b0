"""A case of the dialect onnx as a model of one node, and what both of its engines share.

The input is the model's, with its shape; the layer's tensors are initializers, as in a model that was trained. A missing
tensor is a missing input, an attribute None one that is left out, an empty sequence INTS.
"""

import ml_dtypes
import numpy as np
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from .numbers import Tensor

DEFAULT_OPSET = 22
TRAINING_MODE = 14  # the operator set from which BatchNormalization has that attribute
IR_VERSION = 8
TYPES = {"f32": TensorProto.FLOAT, "f64": TensorProto.DOUBLE, "f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
STORAGE = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
INPUTS = {"weight": "W", "bias": "B", "running_mean": "mean", "running_var": "var"}
STATISTICS = ("running_mean", "running_var")


def to_array(tensor):
    """The array as ONNX has it."""
    return np.ascontiguousarray(tensor.values.reshape(tensor.values.shape).astype(STORAGE[tensor.type]))


def from_array(array):
    """What is in an array of an answer."""
    name = next(name for name, kind in STORAGE.items() if array.dtype == kind)
    return Tensor(name, np.array(array.astype(np.float32) if name == "bf16" else array, order="C"))


class Node:
    """One node with its tensors: what the recorder takes for a layer."""

    def __init__(self, operator, params, kind):
        self.operator, self.kind, self.own = operator, kind, {}
        self.opset = params.get("opset", DEFAULT_OPSET)
        self.attributes = {name: value for name, value in params.items() if name != "opset"}

    def trains(self, mode):
        """Whether the outputs of training are asked for: by the mode before training_mode was there, and with it."""
        if self.operator != "BatchNormalization":
            return False
        return mode == "train" or bool(self.attributes.get("training_mode", 0))

    def outputs(self, mode):
        """The names of the outputs that are asked for."""
        if not self.trains(mode):
            return ["Y"]
        saved = ["saved_mean", "saved_var"] if self.opset < TRAINING_MODE else []
        return ["Y", *STATISTICS, *saved]

    def model(self, given, mode):
        """The model; raises what onnx.helper raises."""
        ordered = [name for name in INPUTS if name in self.own]
        empty = {name: value for name, value in self.attributes.items() if value == ()}
        node = helper.make_node(self.operator, ["X", *(INPUTS[name] for name in ordered)], self.outputs(mode),
                                **{name: value for name, value in self.attributes.items() if name not in empty})
        node.attribute.extend(helper.make_attribute(name, [], attr_type=AttributeProto.INTS) for name in empty)
        rank = given.values.ndim
        described = [("Y", TYPES[given.type], rank), *((name, TYPES[self.kind], 1) for name in self.outputs(mode)[1:])]
        graph = helper.make_graph(
            [node], "case", [helper.make_tensor_value_info("X", TYPES[given.type], list(given.values.shape))],
            [helper.make_tensor_value_info(name, kind, [f"{name}{axis}" for axis in range(axes)])
             for name, kind, axes in described],
            [numpy_helper.from_array(to_array(self.own[name]), INPUTS[name]) for name in ordered])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR_VERSION)

    def keep(self, outputs):
        """{"output": Tensor} of an answer in the order of `outputs`; statistics, where there are some, stay in the node, in
        the type that the model declares, as a training loop hands them to the next call."""
        for name, array in zip(STATISTICS, outputs[1:]):
            if array is not None:
                self.own[name] = from_array(np.asarray(array).astype(STORAGE[self.kind]))
        return {"output": from_array(np.asarray(outputs[0]))}


def make(operator, params, kind):
    """The node. Nothing is refused before it is called."""
    return Node(operator, params, kind)


def tensors(node):
    """Its tensors by the cases' names."""
    return dict(node.own)


def load(node, name, tensor):
    """Gives it one of its tensors, of any shape: that a node does not take it shows in the call."""
    node.own[name] = tensor


def assign(node, name, value):
    """Attributes are the model's, and stay."""
    del node, value
    raise ValueError(f"params: {name} of a node cannot be changed between calls")


def reset(node):
    """A node has no state."""
    del node
    raise ValueError("reset: a node has no initial statistics")


def is_training(node):
    """Whether it hands out statistics, by its attribute; what the mode asks for shows in statistics that change."""
    return node.trains(None)
