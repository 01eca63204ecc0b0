"""The reference evaluator of the specification, in the wheel onnx; with what engine_pytorch.py says that an engine module
offers. It computes and checks next to nothing, so that its answers count and its refusals do not."""

import warnings

import onnx
from onnx.reference import ReferenceEvaluator

from .casefile import CaseError
from .onnx_model import assign, is_training, load, make, reset, tensors, to_array  # noqa: F401: the module's interface

NAME = f"onnx {onnx.__version__}, reference evaluator"
REFUSES = False


def call(node, mode, given, grad_output, layout):
    """{"output": Tensor}; the statistics are the node's afterwards."""
    del layout
    if grad_output is not None:
        raise CaseError("onnx computes no gradients")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return node.keep(ReferenceEvaluator(node.model(given, mode)).run(None, {"X": to_array(given)}))
