"""The layers of flax.linen on JAX, with what engine_pytorch.py says that an engine module offers.

A layer of Flax keeps nothing: its tensors are variables that each call gets, and a call in training hands out new statistics.
"""

from .engine_jax import from_jax, jax, to_jax, without_numbers_of_other_types  # first: it says how JAX starts

import flax  # noqa: E402
import flax.linen  # noqa: E402
import numpy as np  # noqa: E402

from .numbers import Tensor, round_to

NAME = f"Flax {flax.__version__}, JAX {jax.__version__}, CPU"
DTYPES = {"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16"}
PLACES = {"running_mean": ("batch_stats", "mean"), "running_var": ("batch_stats", "var"), "bias": ("params", "bias")}
NORMALIZATION = "linen.BatchNorm"


class Layer:
    """A layer with its variables."""

    def __init__(self, operator, params, kind):
        self.operator, self.kind = operator, kind
        self.params = {"param_dtype": DTYPES[kind], **params}
        self.own = {}
        self.module()

    def module(self):
        """The layer of the parameters that it has now."""
        return getattr(flax.linen, self.operator.removeprefix("linen."))(**self.params)

    def place(self, name):
        """The variable's collection and name."""
        if name == "weight":
            return "params", "scale" if self.operator == NORMALIZATION else "kernel"
        return PLACES[name]

    def trains(self):
        """Whether a call makes statistics."""
        return self.operator == NORMALIZATION and not self.params.get("use_running_average")


def make(operator, params, kind):
    """The layer."""
    return Layer(operator, params, kind)


def tensors(layer):
    """Its tensors by the cases' names."""
    return dict(layer.own)


def load(layer, name, tensor):
    """Gives it one of its tensors, of any shape: that it does not take it shows in the call."""
    layer.own[name] = tensor


def assign(layer, name, value):
    """A layer is made anew for each call: its variables stay."""
    if layer.operator != NORMALIZATION or name not in ("use_running_average", "momentum", "epsilon"):
        raise ValueError(f"params: {name} of {layer.operator} cannot be changed between calls")
    layer.params[name] = value


def reset(layer):
    """Takes the statistics away, for the next call to make new ones."""
    if layer.operator != NORMALIZATION:
        raise ValueError("reset: the layer has no statistics")
    for name in ("running_mean", "running_var"):
        layer.own.pop(name, None)


def is_training(layer):
    """Whether it hands out new statistics."""
    return layer.trains()


def as_operator(case, name, values):
    """A tensor with channels second, a weight with its channels first."""
    if name not in ("input", "weight") or name == "weight" and values.ndim == 1:
        return values
    if case.operator == NORMALIZATION:
        if values.ndim < 2:
            return values[None]
        axis = case.params.get("axis", -1)
        return np.moveaxis(values, axis if isinstance(axis, int) else axis[0], 1)
    return np.moveaxis(values, (-1, -2), (0, 1)) if name == "weight" else np.moveaxis(values, -1, values.ndim - 1 - spatial(case))


def spatial(case):
    """How many spatial axes the kernel has."""
    size = case.params["kernel_size"]
    return 1 if isinstance(size, int) else len(size)


def as_function(case, tolerance):
    """A tolerance that broadcasts over the output, as the layer has it."""
    if np.ndim(tolerance) < 2 or case.operator != NORMALIZATION:
        return tolerance
    axis = case.params.get("axis", -1)
    return np.moveaxis(tolerance, 1, axis if isinstance(axis, int) else axis[0])


def complete(layer, given):
    """The statistics, and what scales and shifts, are those of a new layer where the case gives none."""
    if layer.operator != NORMALIZATION or given.values.ndim == 0:
        return
    axis = layer.params.get("axis", -1)
    axis = axis[0] if isinstance(axis, tuple) and axis else axis
    if not isinstance(axis, int) or not -given.values.ndim <= axis < given.values.ndim:
        return
    channels = given.values.shape[axis]
    wanted = {"running_mean": 0, "running_var": 1}
    wanted.update({"weight": 1} if layer.params.get("use_scale", True) else {})
    wanted.update({"bias": 0} if layer.params.get("use_bias", True) else {})
    for name, value in wanted.items():
        layer.own.setdefault(name, Tensor(layer.kind, round_to(layer.kind, np.full(channels, float(value)))))


def call(layer, mode, given, grad_output, layout):
    """{"output": Tensor} and the gradients; the statistics stay in the layer."""
    del mode, layout
    complete(layer, given)
    params, fixed = {}, {}
    for name, tensor in layer.own.items():
        collection, native = layer.place(name)
        (params if collection == "params" else fixed)[native] = to_jax(tensor)
    odd = not without_numbers_of_other_types({name: value for name, value in layer.params.items()
                                              if not name.startswith(("use_", "momentum", "epsilon", "transpose_"))})
    if odd:
        jax.clear_caches()

    def forward(array, own):
        variables = {"params": own, **({"batch_stats": fixed} if fixed else {})}
        if layer.trains():
            output, changed = layer.module().apply(variables, array, mutable=["batch_stats"])
            return output, changed["batch_stats"]
        return layer.module().apply(variables, array), fixed

    try:
        if grad_output is None:
            output, statistics = forward(to_jax(given), params)
            results = {"output": from_jax(output)}
        else:
            output, pull, statistics = jax.vjp(forward, to_jax(given), params, has_aux=True)
            of_input, of_own = pull(to_jax(grad_output))
            results = {"output": from_jax(output), "grad_input": from_jax(of_input)}
            names = {layer.place(name)[1]: f"grad_{name}" for name in ("weight", "bias")}
            results.update({names[native]: from_jax(array) for native, array in of_own.items()})
    finally:
        if odd:
            jax.clear_caches()
    for name in ("running_mean", "running_var"):
        if PLACES[name][1] in statistics:
            layer.own[name] = from_jax(statistics[PLACES[name][1]])
    return results
