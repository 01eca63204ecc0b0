"""The convolutions of jax.lax on a CPU, with what engine_pytorch.py says that an engine module offers."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from .casefile import CaseError  # noqa: E402
from .function import assign, load, reset, tensors  # noqa: E402,F401
from .numbers import Tensor  # noqa: E402

NAME = f"JAX {jax.__version__}, CPU"
TYPES = {"f32": jnp.float32, "f64": jnp.float64, "f16": jnp.float16, "bf16": jnp.bfloat16}
TYPE_NAMES = {np.dtype(dtype): name for name, dtype in TYPES.items()}
DEFAULT_FORMAT = {3: ("NHC", "HIO", "NHC"), 4: ("NHWC", "HWIO", "NHWC"), 5: ("NHWDC", "HWDIO", "NHWDC")}


class Function:
    """A function with its parameters and its weight: what the recorder takes for a layer."""

    def __init__(self, operator, params):
        self.operator, self.params, self.own = operator, params, {}
        self.function = jax
        for name in operator.split("."):
            self.function = getattr(self.function, name)

    def __call__(self, given, weight):
        return self.function(given, weight, **self.params)


def to_jax(tensor):
    """A new array."""
    return jnp.asarray(np.asarray(tensor.values).astype(TYPES[tensor.type]))


def from_jax(array):
    """What is in an array."""
    name = TYPE_NAMES[np.dtype(array.dtype)]
    values = np.asarray(array)
    return Tensor(name, np.array(values.astype(np.float32) if name == "bf16" else values, order="C"))


def make(operator, params, kind):
    """The function. Nothing is refused before it is called."""
    del kind
    return Function(operator, params)


def is_training(function):
    """It has no statistics."""
    del function
    return False


def as_operator(case, name, values):
    """A tensor with batch and channels first, a weight with its channels first."""
    formats = case.params.get("dimension_numbers")
    if formats is None and case.operator == "lax.conv_transpose":
        formats = DEFAULT_FORMAT[values.ndim]
    if formats is None:
        return values
    spec, first = (formats[1], "OI") if name == "weight" else (formats[0], "NC")
    spec = formats[2] if name == "grad_output" else spec
    return np.moveaxis(values, [spec.index(letter) for letter in first], (0, 1))


def as_function(case, tolerance):
    """A tolerance is one number: it depends on no channel."""
    del case
    return tolerance


def without_numbers_of_other_types(params):
    """Whether no parameter is a bool or a float: those are equal to ints, and JAX keeps what it compiled for either."""
    def plain(value):
        return all(map(plain, value)) if isinstance(value, tuple) else not isinstance(value, (bool, float))
    return all(map(plain, params.values()))


def call(function, mode, given, grad_output, layout):
    """{"output": Tensor} and the gradients; there is no physical layout but one."""
    del mode, layout
    if "weight" not in function.own:
        raise CaseError("the function needs a weight")
    if not without_numbers_of_other_types(function.params):
        jax.clear_caches()
    try:
        arrays = to_jax(given), to_jax(function.own["weight"])
        if grad_output is None:
            return {"output": from_jax(function(*arrays))}
        output, pull = jax.vjp(function, *arrays)
        of_input, of_weight = pull(to_jax(grad_output))
        return {"output": from_jax(output), "grad_input": from_jax(of_input), "grad_weight": from_jax(of_weight)}
    finally:
        if not without_numbers_of_other_types(function.params):
            jax.clear_caches()
