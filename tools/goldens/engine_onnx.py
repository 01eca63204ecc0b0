"""ONNX Runtime on a CPU, with what engine_pytorch.py says that an engine module offers."""

import re

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as raised

from .casefile import CaseError
from .onnx_model import assign, is_training, load, make, reset, tensors, to_array  # noqa: F401: the module's interface

NAME = f"ONNX Runtime {onnxruntime.__version__}, CPU"
STATUSES = tuple(getattr(raised, name) for name in (
    "Fail", "InvalidArgument", "NoSuchFile", "NoModel", "EngineError", "RuntimeException", "InvalidProtobuf",
    "NotImplemented", "InvalidGraph", "EPFail"))
# where in the runtime's own source a check stands, the status that the class says already, and the node once more
PLACES = (r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", r"Exception during initialization: ",
          r"/onnxruntime_src/\S+:\d+ .*?\)( \[with [^\]]*\])? ", r"Non-zero status code returned while running ",
          r"\w+\.cc:\d+ \w+ ", r"This is an invalid model\. In Node, .*? , Error ")


def shortened(message):
    """The message without them."""
    for place in PLACES:
        message = re.sub(place, "", message)
    return message


def session(model):
    """The loaded model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def kills(node, given):
    """Whether the runtime is killed: it divides by a group of 0 where there are no channels, and reads where nothing is in a ConvTranspose of three axes, one of them empty."""
    extents = given.values.shape
    return (node.operator == "Conv" and node.attributes.get("group") == 0 and extents[1:2] == (0,) or
            node.operator == "ConvTranspose" and len(extents) == 5 and 0 in extents[2:])


def call(node, mode, given, grad_output, layout):
    """{"output": Tensor}; the statistics are the node's afterwards. There is no physical layout but one."""
    del layout
    if grad_output is not None:
        raise CaseError("ONNX Runtime computes no gradients")
    model = node.model(given, mode)
    if kills(node, given):
        raise CaseError("ONNX Runtime is killed by this call")
    try:
        return node.keep(session(model).run(None, {"X": to_array(given)}))
    except STATUSES as error:
        raise type(error)(shortened(str(error))) from None
