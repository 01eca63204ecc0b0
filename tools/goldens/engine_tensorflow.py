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
from .numbers import Tensor  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

NAME = f"TensorFlow {tf.__version__}, CPU"
TYPES = {"f32": tf.float32, "f64": tf.float64, "f16": tf.float16, "bf16": tf.bfloat16}
TYPE_NAMES = {dtype: name for name, dtype in TYPES.items()}
NORMALIZATION = "compat.v1.nn.fused_batch_norm"
STATISTICS = {"running_mean": "mean", "running_var": "variance"}
# the node's name, and the operator's
PLACES = (r"\{\{function_node \S+\}\} ", r" \[Op:\w+\] name: *")


class Function:
    """A function with its parameters and tensors: what the recorder takes for a layer."""

    def __init__(self, operator, params):
        self.operator, self.params, self.own = operator, params, {}
        self.function = tf
        for name in operator.split("."):
            self.function = getattr(self.function, name)

    def normalize(self, given):
        """The output; the statistics stay here, for the next call."""
        statistics = {native: to_tensorflow(self.own[name]) for name, native in STATISTICS.items() if name in self.own}
        answer = self.function(given, to_tensorflow(self.own["weight"]), to_tensorflow(self.own["bias"]), **statistics,
                               **self.params)
        self.own.update({name: from_tensorflow(value) for name, value in zip(STATISTICS, answer[1:])})
        return answer[0]

    def __call__(self, given):
        if self.operator == NORMALIZATION:
            return self.normalize(given)
        return self.function(given, to_tensorflow(self.own["weight"]), **self.params)


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


def tensors(function):
    """Its tensors by the cases' names."""
    return dict(function.own)


def load(function, name, tensor):
    """Gives it one of its tensors, of any shape: that it does not take it shows in the call."""
    function.own[name] = tensor


def assign(function, name, value):
    """Parameters are the call's."""
    del function, value
    raise ValueError(f"params: {name} of a function cannot be changed between calls")


def reset(function):
    """A function has no state."""
    del function
    raise ValueError("reset: a function has no initial statistics")


def is_training(function):
    """Whether it hands out new statistics."""
    return function.operator == NORMALIZATION and function.params.get("is_training") in (True, None)


def as_operator(case, name, values):
    """A tensor with channels second, a weight with (out, in/group) or (in, out/group) first."""
    last = not str(case.params.get("data_format", "N..C")).startswith("NC")
    if name == "weight" and case.operator != NORMALIZATION:
        return np.moveaxis(values, (-1, -2), (0, 1))
    return np.moveaxis(values, -1, 1) if name in ("input", "grad_output") and last else values


def as_function(case, tolerance):
    """A tolerance that broadcasts over the output, as the function has it."""
    last = not str(case.params.get("data_format", "N..C")).startswith("NC")
    return np.moveaxis(tolerance, 1, -1) if np.ndim(tolerance) > 1 and last else tolerance


def call(function, mode, given, grad_output, layout):
    """{"output": Tensor}; there is no physical layout but one, and is_training says what the mode would."""
    del mode, layout
    if grad_output is not None:
        raise CaseError("the gradients of TensorFlow are not recorded")
    try:
        return {"output": from_tensorflow(function(to_tensorflow(given)))}
    except tf.errors.OpError as error:
        message = error.message
        for place in PLACES:
            message = re.sub(place, "", message)
        raise type(error)(None, None, message) from None
