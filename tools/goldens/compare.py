"""When two recordings agree.

Exact mode, where every partial sum is representable in f32 whatever the order, demands the same bits. Elsewhere another
CPU may sum in another order: two values agree within ROUNDINGS roundings of the largest sum of |products| that the
layer can form, computed here in double from the case's own data.
"""

import numpy as np

ROUNDINGS = 32
UNIT = 2.0**-24


def quantum_bits(array):
    """The exponent of the coarsest power of two that divides every value; None where one is not finite."""
    values = np.abs(array[array != 0].astype(np.float64)).reshape(-1)
    if not np.all(np.isfinite(values)):
        return None
    if values.size == 0:
        return 0
    mantissa, exponent = np.frexp(values)
    integral = (mantissa * 2.0**24).astype(np.int64)
    lowest = np.log2((integral & -integral).astype(np.float64)).astype(np.int64)
    return int(np.min(exponent - 24 + lowest))


def largest(array):
    """The largest finite magnitude."""
    values = np.abs(array.astype(np.float64)).reshape(-1)
    values = values[np.isfinite(values)]
    return float(values.max()) if values.size else 0.0


def convolution_sum(inputs, weight, bias):
    """An upper bound of |b| + sum |x w| over every output."""
    per_output = np.abs(weight.astype(np.float64).reshape(weight.shape[0], -1)) if weight.shape[0] else np.zeros((1, 1))
    per_output = np.where(np.isfinite(per_output), per_output, 0.0)
    total = largest(inputs) * (per_output.sum(axis=1).max() if per_output.size else 0.0)
    return total + (largest(bias) if bias is not None else 0.0)


def convolution_is_exact(inputs, weight, bias):
    """Whether no order of summation can round."""
    arrays = [inputs, weight] + ([bias] if bias is not None else [])
    bits = [quantum_bits(array) for array in arrays]
    if any(bit is None for bit in bits):
        return False
    quantum = min(bits[0] + bits[1], bits[2] if bias is not None else bits[0] + bits[1])
    return convolution_sum(inputs, weight, bias) <= 2.0 ** (24 + quantum)


def batchnorm_scales(inputs, tensors, eps, expected):
    """Per tensor name, the magnitude whose roundings an element may carry."""
    axes = (0, 2, 3)
    x = inputs.astype(np.float64)
    shape = (1, -1, 1, 1)
    ones = np.ones(x.shape[1])
    weight = np.abs(tensors.get("weight", ones).astype(np.float64))
    bias = np.abs(tensors.get("bias", 0 * ones).astype(np.float64))
    mean, variance = tensors.get("running_mean", 0 * ones), tensors.get("running_var", ones)
    if expected.get("batch_statistics") and x.size:
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
    with np.errstate(all="ignore"):
        r = 1 / np.sqrt(np.abs(variance.astype(np.float64)) + eps)
    size = np.abs(x).max(axis=axes) if x.size else 0 * ones
    output = (weight * r * (size + np.abs(mean)) + bias).reshape(shape)
    old_mean, old_var = tensors.get("running_mean", 0 * ones), tensors.get("running_var", ones)
    return {"output": output, "running_mean": np.abs(old_mean) + size,
            "running_var": np.abs(old_var) + np.abs(variance) * 2 + size * size * UNIT}


def agree(old, new, tolerance):
    """Whether each element of both is the same, or within the tolerance; NaN and infinities must be the same."""
    if old.shape != new.shape:
        return False
    old, new = old.astype(np.float64), new.astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (old == new) | (np.isnan(old) & np.isnan(new))
        close = np.abs(old - new) <= tolerance
    return bool(np.all(same | close))
