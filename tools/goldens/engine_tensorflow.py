"""The functions of tf.nn, with what engine_pytorch.py says that an engine module offers.

TensorFlow's own kernels are asked, not those of oneDNN, which take their place on some CPUs and not on others: they refuse
other calls, and end the process in some.
"""

import os

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import re  # noqa: E402

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from .casefile import CaseError  # noqa: E402
from .function import assign, load, reset, tensors  # noqa: E402,F401
from .numbers import Tensor  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

NAME = f"TensorFlow {tf.__version__}, CPU"
TYPES = {"f32": tf.float32, "f64": tf.float64, "f16": tf.float16, "bf16": tf.bfloat16}
TYPE_NAMES = {dtype: name for name, dtype in TYPES.items()}
FUSED, PLAIN, DEPTHWISE = "compat.v1.nn.fused_batch_norm", "nn.batch_normalization", "nn.depthwise_conv2d"
STATISTICS = {"running_mean": "mean", "running_var": "variance"}
ARGUMENTS = {**STATISTICS, "bias": "offset", "weight": "scale"}
GRADIENTS = {"grad_weight": "weight", "grad_bias": "bias"}
# the node's name, and the operator's
PLACES = (r"\{\{function_node \S+\}\} ", r" \[Op:\w+\] name: *")


class Function:
    """A function with its parameters and tensors: what the recorder takes for a layer."""

    def __init__(self, operator, params):
        self.operator, self.params, self.own = operator, params, {}
        self.function = tf
        for name in operator.split("."):
            self.function = getattr(self.function, name)

    def normalize(self, given, own):
        """The output; the statistics stay here, for the next call."""
        statistics = {native: own[name] for name, native in STATISTICS.items() if name in own}
        answer = self.function(given, own["weight"], own["bias"], **statistics, **self.params)
        self.own.update({name: from_tensorflow(value) for name, value in zip(STATISTICS, answer[1:])})
        return answer[0]

    def __call__(self, given, own):
        """The output, with the function's tensors as TensorFlow has them."""
        if self.operator == FUSED:
            return self.normalize(given, own)
        if self.operator == PLAIN:
            return self.function(given, **{native: own.get(name) for name, native in ARGUMENTS.items()}, **self.params)
        return self.function(given, *[own[name] for name in ("weight",) if name in own], **self.params)


def to_tensorflow(tensor):
    """A new TensorFlow tensor."""
    return tf.cast(tf.constant(tensor.values), TYPES[tensor.type])


def from_tensorflow(tensor):
    """What is in a TensorFlow tensor."""
    name = TYPE_NAMES[tensor.dtype]
    return Tensor(name, np.array(tf.cast(tensor, tf.float32) if name == "bf16" else tensor, order="C"))


def make(operator, params, kind):
    """The function. Nothing is refused before it is called."""
    del kind
    return Function(operator, params)


def is_training(function):
    """Whether it hands out new statistics."""
    return function.operator == FUSED and function.params.get("is_training") in (True, None)


def as_operator(case, name, values):
    """A tensor with channels second, a weight with (out, in/group) or (in, out/group) first."""
    last = not str(case.params.get("data_format", "N..C")).startswith("NC")
    if name == "weight" and case.operator == DEPTHWISE:
        return np.moveaxis(values.reshape(*values.shape[:2], 1, -1), (-1, -2), (0, 1))
    if name == "weight" and case.operator not in (FUSED, PLAIN):
        return np.moveaxis(values, (-1, -2), (0, 1))
    return np.moveaxis(values, -1, 1) if name in ("input", "grad_output") and last else values


def as_function(case, tolerance):
    """A tolerance that broadcasts over the output, as the function has it."""
    last = not str(case.params.get("data_format", "N..C")).startswith("NC")
    return np.moveaxis(tolerance, 1, -1) if np.ndim(tolerance) > 1 and last else tolerance


def call(function, mode, given, grad_output, layout):
    """{name: Tensor} of the output and, where `grad_output` is given, of the gradients; there is no physical layout but one,
    and is_training says what the mode would."""
    del mode, layout
    inputs = to_tensorflow(given)
    own = {name: to_tensorflow(tensor) for name, tensor in function.own.items()}
    sources = {"grad_input": inputs, **{name: own[role] for name, role in GRADIENTS.items() if role in own}}
    try:
        with tf.GradientTape() as tape:
            tape.watch(list(sources.values()))
            output = function(inputs, own)
        results = {"output": output}
        if grad_output is not None:
            results.update(tape.gradient(output, sources, as_gradient(output, grad_output)))
    except tf.errors.OpError as error:
        message = error.message
        for place in PLACES:
            message = re.sub(place, "", message)
        raise type(error)(None, None, message) from None
    return {name: from_tensorflow(value) for name, value in results.items()}


def as_gradient(output, grad_output):
    """The output's gradient as a TensorFlow tensor."""
    if (TYPE_NAMES[output.dtype], tuple(output.shape)) != (grad_output.type, grad_output.values.shape):
        raise CaseError(f"grad_output is {grad_output.type} {list(grad_output.values.shape)}, the output is "
                        f"{TYPE_NAMES[output.dtype]} {list(output.shape)}")
    return to_tensorflow(grad_output)
