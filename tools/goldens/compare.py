"""When two recordings agree.

Exact mode, where every partial sum is representable in the result's type whatever the order, demands the same bits.
Elsewhere another CPU may sum in another order: two values agree within ROUNDINGS roundings of the largest sum of
|products| that the layer can form, computed here in double from the case's own data. The roundings are those of the
result's own type: PyTorch sums f16 in f16 in some of its layers (a convolution's backward pass among them), so nothing
narrower holds for all. Of a narrow type fewer are allowed, because 32 of them would hide a wrong value: measured over
all cases, no f16 or bf16 result is more than 1.2 from the exact one (f32: 2), so two are less than 4 apart.
"""

import numpy as np

from .numbers import TYPES

ROUNDINGS = {"f64": 32, "f32": 32, "f16": 4, "bf16": 4}
MANTISSA = 53  # bits of a double


def quantum_bits(array):
    """The exponent of the coarsest power of two that divides every value; None where one is not finite."""
    values = np.abs(array[array != 0].astype(np.float64)).reshape(-1)
    if not np.all(np.isfinite(values)):
        return None
    if values.size == 0:
        return 0
    mantissa, exponent = np.frexp(values)
    integral = (mantissa * 2.0**MANTISSA).astype(np.int64)
    lowest = np.log2((integral & -integral).astype(np.float64)).astype(np.int64)
    return int(np.min(exponent - MANTISSA + lowest))


def magnitudes(array):
    """Absolute values in double; 0 for what is not finite."""
    values = np.abs(array.astype(np.float64))
    return np.where(np.isfinite(values), values, 0.0)


def largest(array):
    """The largest finite magnitude."""
    return float(magnitudes(array).max()) if array.size else 0.0


def rounding(kind):
    """How far two values of magnitude 1 may lie apart."""
    return ROUNDINGS[kind] * 2.0 ** -TYPES[kind].precision


def allowed(total, arrays, kind):
    """How far two sums of products may lie apart: `arrays` are the factors' groups, ((x, w), (b,)) for x w + b."""
    quanta = [[quantum_bits(array) for array in factors] for factors in arrays]
    if all(bit is not None for bits in quanta for bit in bits):
        if total <= 2.0 ** (TYPES[kind].precision + min(sum(bits) for bits in quanta)):
            return 0.0
    return rounding(kind) * total


def channel_sums(array, spatial):
    """The largest sum of magnitudes over one channel, batch and space; the batch axis may be missing."""
    by_channel = np.moveaxis(magnitudes(array), array.ndim - spatial - 1, 0)
    return float(by_channel.reshape(by_channel.shape[0], -1).sum(axis=1).max()) if array.size else 0.0


def sum_over_second(weight):
    """The largest sum of |w| that one entry of the weight's first axis has."""
    return float(magnitudes(weight).reshape(weight.shape[0], -1).sum(axis=1).max()) if weight.size else 0.0


def sum_over_first(weight, groups):
    """The largest sum of |w| that one channel of the weight's second axis has, within a group."""
    if not weight.size:
        return 0.0
    grouped = magnitudes(weight).reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    return float(grouped.sum(axis=(1, 3)).max())


def convolution_tolerances(shape, inputs, weight, bias, grad_output, kind):
    """{name: how far another CPU's value may lie}. `shape` has `transposed`, `groups`, `spatial`, and `repeats`:
    whether the padding reads an element of the input more than once."""
    forward, backward = sum_over_second(weight), sum_over_first(weight, shape["groups"])
    if shape["transposed"]:
        forward, backward = backward, forward
    total = largest(inputs) * forward + (largest(bias) if bias is not None else 0.0)
    result = {"output": allowed(total, ((inputs, weight), (bias,)) if bias is not None else ((inputs, weight),), kind)}
    if grad_output is None:
        return result
    g = channel_sums(grad_output, shape["spatial"])
    # each tap reads one input element at most once from each output position, so all positions are enough
    total = (g if shape["repeats"] else largest(grad_output)) * backward
    result["grad_input"] = allowed(total, ((grad_output, weight),), kind)
    products = min(largest(inputs) * g, largest(grad_output) * channel_sums(inputs, shape["spatial"])) \
        if shape["transposed"] else largest(inputs) * g
    result["grad_weight"] = allowed(products, ((inputs, grad_output),), kind)
    result["grad_bias"] = allowed(g, ((grad_output,),), kind)
    return result


def batchnorm_tolerances(inputs, tensors, eps, batch_statistics, grad_output, kinds):
    """The same of a batch normalization; `tensors` are the layer's before the call, all in double; `kinds` are the
    results' types by name."""
    axes = (0, *range(2, inputs.ndim))
    x = inputs.astype(np.float64)
    shape = (1, -1) + (1,) * (inputs.ndim - 2)
    ones = np.ones(x.shape[1])
    weight, bias = np.abs(tensors.get("weight", ones)), np.abs(tensors.get("bias", 0 * ones))
    old_mean, old_variance = tensors.get("running_mean", 0 * ones), tensors.get("running_var", ones)
    with np.errstate(all="ignore"):
        mean, variance = (x.mean(axis=axes), x.var(axis=axes)) if batch_statistics else (old_mean, old_variance)
        r = 1 / np.sqrt(np.abs(variance) + eps)
        size = np.abs(x).max(axis=axes)
        centred = r * (size + np.abs(mean))
        scales = {"output": (weight * centred + bias).reshape(shape), "running_mean": np.abs(old_mean) + size,
                  "running_var": np.abs(old_variance) + np.abs(variance) * 2 +
                                 size * size * 2.0 ** -TYPES[kinds["running_var"]].precision}
        if grad_output is not None:
            g = np.abs(grad_output.astype(np.float64))
            through = g.mean(axis=axes) * (1 + centred * centred) if batch_statistics else 0 * ones
            scales["grad_input"] = (weight * r * (g.max(axis=axes) + through)).reshape(shape)
            scales["grad_weight"], scales["grad_bias"] = g.sum(axis=axes) * centred, g.sum(axis=axes)
        return {name: rounding(kinds[name]) * scale for name, scale in scales.items()}


def apart(old, new, tolerance):
    """Where two arrays of one shape disagree; NaN and infinities must be the same."""
    old, new = old.astype(np.float64), new.astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (old == new) | (np.isnan(old) & np.isnan(new))
        return ~(same | (np.abs(old - new) <= tolerance))
