"""The layers of Keras on one backend, which KERAS_BACKEND names; engine_pytorch.py says what an engine module offers, and takes() which
cases are this backend's.

TensorFlow's own kernels are asked, as in engine_tensorflow.py. JAX computes f64 only where it is told to.
"""

import os

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import re  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402

from .casefile import CaseError  # noqa: E402
from .numbers import Tensor  # noqa: E402

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    VERSION = f"TensorFlow {tf.__version__}"
else:
    import jax
    VERSION = f"JAX {jax.__version__}"

keras.config.disable_traceback_filtering()  # which wraps what is raised in other words
NAME = f"Keras {keras.__version__}, {VERSION}, CPU"
TYPES = {"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16"}
TYPE_NAMES = {dtype: name for name, dtype in TYPES.items()}
OWN = {"weight": ("kernel", "gamma"), "bias": ("bias", "beta"), "running_mean": ("moving_mean",),
       "running_var": ("moving_variance",)}
ASSIGNABLE = ("epsilon", "momentum", "trainable")
# the node's name, and the operator's; the name of the n-th layer; an address
PLACES = ((r"\{\{function_node \S+\}\} ", ""), (r" \[Op:\w+\] name: *", ""), (r"(conv\w*|normalization)_\d+", r"\1"),
          (r" at 0x[0-9a-f]+", ""))


def takes(case):
    """Whether the case is one of this backend."""
    return case.params.get("backend", "tensorflow") == BACKEND


def is_normalization(layer):
    """Whether the layer keeps statistics."""
    return isinstance(layer, keras.layers.BatchNormalization)


def make(operator, params, kind):
    """The layer. Its tensors, which it makes in its first call, are given to it there."""
    cls = getattr(keras.layers, operator.removeprefix("layers."))
    layer = cls(**{name: value for name, value in params.items() if name != "backend"}, dtype=TYPES[kind])
    pending, build = {}, layer.build

    def build_and_load(shape):
        build(shape)
        for name, tensor in pending.items():
            load_built(layer, name, tensor)

    layer.__dict__["build"], layer.__dict__["pending"] = build_and_load, pending
    return layer


def to_keras(tensor):
    """A new tensor of the backend."""
    return keras.ops.cast(keras.ops.convert_to_tensor(tensor.values), TYPES[tensor.type])


def from_keras(tensor):
    """What is in a tensor or a variable."""
    name = TYPE_NAMES[keras.backend.standardize_dtype(tensor.dtype)]
    return Tensor(name, np.array(keras.ops.cast(tensor, "float32") if name == "bf16" else tensor, order="C"))


def variable(layer, name):
    """The variable that a case calls so, or None."""
    found = [getattr(layer, own, None) for own in OWN[name]]
    return next((value for value in found if value is not None), None)


def tensors(layer):
    """The layer's own tensors that it has; those that wait for it to be built, before."""
    if not layer.built:
        return dict(layer.pending)
    return {name: from_keras(variable(layer, name)) for name in OWN if variable(layer, name) is not None}


def load(layer, name, tensor):
    """Replaces one of them, or remembers it until there is something to replace."""
    if layer.built:
        load_built(layer, name, tensor)
    else:
        layer.pending[name] = tensor


def load_built(layer, name, tensor):
    """Replaces one of them."""
    target = variable(layer, name)
    if target is None:
        raise CaseError(f"this layer has no {name}")
    if tuple(target.shape) != tensor.values.shape:
        raise CaseError(f"{name} has the shape {tuple(target.shape)}, the case gives {tensor.values.shape}")
    target.assign(to_keras(tensor))


def assign(layer, name, value):
    """Sets an attribute that the layer reads in each call."""
    if not is_normalization(layer) or name not in ASSIGNABLE:
        raise ValueError(f"params: {name} of a living layer cannot be recorded; what can is {', '.join(ASSIGNABLE)} "
                         "of a batch normalization")
    setattr(layer, name, value)


def reset(layer):
    """There is no such thing."""
    del layer
    raise ValueError("reset: Keras' layers have no way to reset their statistics")


def order(case, rank):
    """Where batch, channels and spatial axes stand in the layer's activations of so many axes."""
    if case.operator == "layers.BatchNormalization":
        axis = int(case.params.get("axis", -1)) % rank
        rest = [a for a in range(rank) if a != axis]
        return (*rest[:1], axis, *rest[1:])
    first = str(case.params.get("data_format")).lower() == "channels_first"
    return tuple(range(rank)) if first else (0, rank - 1, *range(1, rank - 1))


def as_operator(case, name, values):
    """A tensor with channels second, a weight with (out, in/group) or (in, out) first."""
    if name == "weight" and "Depthwise" in case.operator:
        moved = np.moveaxis(values, (-2, -1), (0, 1))
        return moved.reshape(moved.shape[0] * moved.shape[1], 1, *moved.shape[2:])
    if name == "weight" and "Conv" in case.operator:
        return np.moveaxis(values, (-1, -2), (0, 1))
    if name not in ("input", "grad_output"):
        return values
    return values[np.newaxis] if values.ndim == 1 else values.transpose(order(case, values.ndim))


def as_function(case, tolerance):
    """A tolerance that broadcasts over the output, as the layer has it."""
    rank = np.ndim(tolerance)
    if len(case.given()["input"]["shape"]) == 1:
        return np.reshape(tolerance, -1)
    return np.transpose(tolerance, np.argsort(order(case, rank))) if rank > 1 else tolerance


def sources(layer, given):
    """{gradient: what it is with respect to}: the input, and what is trained."""
    own = {f"grad_{name}": variable(layer, name) for name in ("weight", "bias")}
    return {"grad_input": given, **{name: value for name, value in own.items() if value is not None and value.trainable}}


def check_gradient(output, grad_output):
    """That the gradient given is one of this output."""
    if (from_keras(output).type, tuple(output.shape)) != (grad_output.type, grad_output.values.shape):
        raise CaseError(f"grad_output is {grad_output.type} {list(grad_output.values.shape)}, the output is "
                        f"{from_keras(output).type} {list(output.shape)}")


def differentiate_tensorflow(layer, given, grad_output, options):
    """The output and the gradients."""
    with tf.GradientTape() as tape:
        tape.watch(given)
        output = layer(given, **options)
    check_gradient(output, grad_output)
    wanted = sources(layer, given)
    return output, dict(zip(wanted, tape.gradient(output, list(wanted.values()), to_keras(grad_output))))


def differentiate_jax(layer, given, grad_output, options):
    """The same: of the layer as a function of its variables, which it is once it is built."""
    if not layer.built:
        layer(given)
    own = [value.value for value in layer.trainable_variables]
    kept = [value.value for value in layer.non_trainable_variables]

    def function(values, inputs):
        return layer.stateless_call(values, kept, inputs, **options)

    output, gradient, kept = jax.vjp(function, own, given, has_aux=True)
    check_gradient(output, grad_output)
    for target, value in zip(layer.non_trainable_variables, kept):
        target.assign(value)
    of_own, of_input = gradient(to_keras(grad_output))
    found = {id(target): value for target, value in zip(layer.trainable_variables, of_own)}
    return output, {name: of_input if value is given else found[id(value)] for name, value in sources(layer, given).items()}


def compute(layer, mode, given, grad_output):
    """{name: Tensor} of the output and, where `grad_output` is given, of the gradients."""
    if not layer.built and given.type != TYPE_NAMES[layer.variable_dtype]:
        layer.dtype_policy = f"mixed_{TYPES[given.type]}"
    options = {"training": mode == "train"} if mode is not None and is_normalization(layer) else {}
    inputs = to_keras(given)
    if grad_output is None:
        return {"output": from_keras(layer(inputs, **options))}
    differentiate = differentiate_tensorflow if BACKEND == "tensorflow" else differentiate_jax
    output, gradients = differentiate(layer, inputs, grad_output, options)
    return {"output": from_keras(output), **{name: from_keras(value) for name, value in gradients.items()}}


def call(layer, mode, given, grad_output, layout):
    """The results; there is no physical layout but one."""
    del layout
    try:
        return compute(layer, mode, given, grad_output)
    except CaseError:
        raise
    except Exception as error:
        message = getattr(error, "message", str(error))
        for place, replacement in PLACES:
            message = re.sub(place, replacement, message)
        raise type(type(error).__name__, (Exception,), {})(message) from None


def is_training(layer):
    """Whether the layer's last call may have changed its statistics: recorder.py sees whether it did."""
    del layer
    return False
