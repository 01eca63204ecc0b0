"""The two operators of include/convbn/engine.h in exact rational arithmetic, written from that page alone.

No value is rounded before the last step, and then once, to nearest, ties to even. A convolution is one list of
products input * weight -> output, each added up where it belongs; a root is enclosed by integer square roots ever more
closely until both ends round to the same value. Running statistics go exact from call to call, and are rounded where
they are shown: what a program of calls must come to does not depend on where an engine rounds.

NumPy holds the arrays, it computes nothing. What a module like this offers to recorder.py is in engine_pytorch.py;
besides, EXACT says that no tolerance is wanted.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

from .casefile import CaseError
from .numbers import TYPES, Tensor

NAME = "by hand: exact rational arithmetic"
EXACT = True
OVERFLOW = {"f64": 1024, "f32": 128, "f16": 16, "bf16": 128}  # 2 to that is the first value beyond each type
MAX_BYTES = 2**63 - 1
MAX_SPATIAL = 3
ROOT_BITS = 256
STATISTICS = ("running_mean", "running_var")
CONV = {"out_channels": None, "kernel": None, "groups": 1, "stride": 1, "dilation": 1, "pad_begin": 0, "pad_end": 0,
        "input_dilation": 1, "transposed": False, "output_padding": 0, "padding_mode": "zeros", "bias": False,
        "direction": "forward"}
CONV_AXES = ("kernel", "stride", "dilation", "pad_begin", "pad_end", "input_dilation", "output_padding")
DIRECTIONS = ("forward", "grad_input", "grad_weight", "grad_bias")
MODES = ("zeros", "reflect", "replicate", "circular")
BATCHNORM = {"epsilon": 1e-5, "new_weight": 0.1, "statistics": None, "update_running": None,
             "running_variance": "biased", "weight": True, "bias": True, "direction": "forward"}
ASSIGNABLE = ("epsilon", "new_weight", "statistics", "update_running", "running_variance")


class violation(Exception):  # noqa: N801: the name by which the dialect raises it
    """A broken rule of the canonical operators."""


# ------------------------------------------------------------------------------------------------------- numbers


def nearest(kind, exact):
    """The value of a type nearest to a rational number, ties to even, as a float."""
    if exact == 0:
        return 0.0
    magnitude = abs(exact)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    quantum = max(exponent - TYPES[kind].precision + 1, TYPES[kind].smallest)
    steps = round(magnitude / Fraction(2) ** quantum)  # of a Fraction: half to even
    rounded = math.inf if steps * Fraction(2) ** quantum >= 2 ** OVERFLOW[kind] else math.ldexp(steps, quantum)
    return -rounded if exact < 0 else rounded


def inverse_root(square, bits):
    """Two rationals that enclose 1/sqrt(square), equal where it is rational."""
    top, bottom = math.isqrt(square.denominator), math.isqrt(square.numerator)
    if top * top == square.denominator and bottom * bottom == square.numerator:
        return Fraction(top, bottom), Fraction(top, bottom)
    floor = math.isqrt((square.denominator << 2 * bits) // square.numerator)
    return Fraction(floor, 1 << bits), Fraction(floor + 1, 1 << bits)


def nearest_with_root(kind, factor, square, term):
    """factor / sqrt(square) + term, rounded once."""
    if factor == 0:
        return nearest(kind, term)
    bits = ROOT_BITS
    while True:
        ends = {nearest(kind, factor * root + term) for root in inverse_root(square, bits)}
        if len(ends) == 1:
            return ends.pop()
        bits *= 2  # an irrational number is no tie, so this ends


def exact_values(tensor, what):
    """{index: Fraction} of a tensor."""
    values = tensor.values.reshape(-1).tolist()
    if not all(map(math.isfinite, values)):
        raise CaseError(f"exact arithmetic has no NaN and no infinity, {what} has one")
    return dict(zip(indices(tensor.values.shape), map(Fraction, values)))


def indices(shape):
    """Every index of a shape, row-major."""
    return itertools.product(*map(range, shape))


def tensor_of(kind, shape, values):
    """The Tensor of a shape whose elements are these floats, each one of that type."""
    return Tensor(kind, np.array(list(values), dtype=TYPES[kind].storage).reshape(shape))


# ---------------------------------------------------------------------------------------------------- parameters


def checked_names(params, defaults, required):
    """All parameters, given or by default."""
    for name in params:
        if name not in defaults:
            raise TypeError(f"there is no parameter '{name}'")
    for name in required:
        if name not in params:
            raise TypeError(f"the parameter '{name}' is missing")
    return {**defaults, **params}


def printed(value):
    """A parameter's value in a message."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(printed, value))}]" if isinstance(value, tuple) else str(value)


def is_integer(value):
    """An int that is no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def require(name, value, right, wanted):
    """Refuses a parameter of another type."""
    if not right:
        raise violation(f"{name} must be {wanted}, got {printed(value)}")


def check_direction(value, names):
    """A call's direction by its name."""
    if value not in names:
        raise violation(f"direction has no value {printed(value)}")


def asked(results, direction, names):
    """All results of a layer's call, or those of a call of one direction, by their names."""
    if direction == "forward":
        return results
    if direction not in results:
        raise CaseError(f"there is no {direction}: a gradient needs a grad_output, and the tensor that it is of")
    return {name: results[name] for name in names if name in results}


def axes_of(name, value, rank):
    """One integer for each axis, from such a list or from one for all."""
    if isinstance(value, tuple) and len(value) != rank:
        raise violation(f"{name} must have {rank} entries, got {len(value)}")
    values = value if isinstance(value, tuple) else (value,) * rank
    require(name, value, all(map(is_integer, values)), "integers")
    return values


def spatial_rank(shape, least):
    """How many axes are behind batch and channels."""
    if not least <= len(shape) - 2 <= MAX_SPATIAL:
        raise violation(f"the input must have {least + 2} to 5 axes, got {len(shape)}")
    return len(shape) - 2


def check_types(layer, given, mixed):
    """Tensors of one type, or f32 parameters beside a narrower input."""
    if given.type != layer.kind and not (mixed and given.type in ("f16", "bf16") and layer.kind == "f32"):
        raise violation(f"a layer of {layer.kind} does not take {given.type}")


# --------------------------------------------------------------------------------------------------- convolution


class Convolution:
    """A valid problem: the parameters by name, those of axes as tuples, and the extents of its tensors."""

    def __init__(self, params, shape):
        rank = spatial_rank(shape, 1)
        self.params = {name: axes_of(name, value, rank) if name in CONV_AXES else value
                       for name, value in params.items()}
        for name in ("out_channels", "groups"):
            require(name, params[name], is_integer(params[name]), "an integer")
        for name in ("transposed", "bias"):
            require(name, params[name], isinstance(params[name], bool), "true or false")
        check_direction(params["direction"], DIRECTIONS)
        if params["padding_mode"] not in MODES:
            raise violation(f"padding_mode has no value {printed(params['padding_mode'])}")
        self.batch, self.in_channels, *self.input = shape
        self.axes = range(rank)
        self.names = "DHW"[MAX_SPATIAL - rank:]
        self.check()
        self.output = [self.output_extent(a) for a in self.axes]
        self.check_sizes()

    def __getattr__(self, name):
        return self.params[name]

    def check(self):
        """The rules, in the order of include/convbn/operator.h."""
        if self.out_channels < 0:
            raise violation(f"out_channels must be >= 0, got {self.out_channels}")
        if self.groups < 1:
            raise violation(f"groups must be >= 1, got {self.groups}")
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups != 0:
                raise violation(f"groups must divide {name}, got {self.groups} and {channels}")
        for name in ("kernel", "stride", "dilation", "input_dilation"):
            for a in self.axes:
                if self.params[name][a] < 1:
                    raise violation(f"{name.replace('_', ' ')} must be >= 1, got {self.params[name][a]} on axis "
                                    f"{self.names[a]}")
        self.check_plain_input()
        for a in self.axes:
            self.check_padding(a, self.pad_begin[a])
            self.check_padding(a, self.pad_end[a])
        for a in self.axes:
            limit = max(self.stride[a], self.dilation[a]) if self.transposed else 1
            if not 0 <= self.output_padding[a] < limit:
                raise violation(f"output padding must be >= 0 and < {limit}, got {self.output_padding[a]} on axis "
                                f"{self.names[a]}")

    def check_plain_input(self):
        """Transposition and modes that read the input go with no input dilation, and not with each other."""
        reads = self.padding_mode != "zeros"
        where = "a transposed convolution" if self.transposed else "this padding mode"
        for a in self.axes:
            if (self.transposed or reads) and self.input_dilation[a] != 1:
                raise violation(f"input dilation must be 1 in {where}, got {self.input_dilation[a]} on axis "
                                f"{self.names[a]}")
        if self.transposed and reads:
            raise violation("a transposed convolution pads with zeros only")

    def check_padding(self, a, pad):
        """What a padding mode reads is there."""
        extent, axis = self.input[a], self.names[a]
        if self.padding_mode == "reflect" and pad > 0 and pad >= extent:
            raise violation(f"reflection padding must be < the input's extent {extent}, got {pad} on axis {axis}")
        if self.padding_mode == "circular" and pad > extent:
            raise violation(f"circular padding must be <= the input's extent {extent}, got {pad} on axis {axis}")
        if self.padding_mode == "replicate" and pad > 0 and extent == 0:
            raise violation(f"replication padding needs an input element, got extent 0 on axis {axis}")

    def check_sizes(self):
        """Every tensor fits into 63 bits of bytes, were it f64."""
        for name, shape in (("weight", self.weight_shape()), ("output", self.output_shape())):
            if 8 * math.prod(shape) > MAX_BYTES:
                raise violation(f"the size of the {name} overflows 63 bits")

    def weight_shape(self):
        """(out, in / groups, kernel...), transposed (in, out / groups, kernel...)."""
        near, far = (self.in_channels, self.out_channels) if self.transposed else (self.out_channels, self.in_channels)
        return (near, far // self.groups, *self.kernel)

    def output_shape(self):
        """(batch, out, extents...)."""
        return (self.batch, self.out_channels, *self.output)

    def padded_extent(self, a):
        """The axis' extent after input dilation and padding, which may be negative."""
        dilated = (self.input[a] - 1) * self.input_dilation[a] + 1 if self.input[a] else 0
        return dilated + self.pad_begin[a] + self.pad_end[a]

    def output_extent(self, a):
        """The number of positions along an axis."""
        reach = self.dilation[a] * (self.kernel[a] - 1)
        if self.transposed:
            whole = (self.input[a] - 1) * self.stride[a] + reach + 1 + self.output_padding[a]
            return max(0, whole - self.pad_begin[a] - self.pad_end[a]) if self.input[a] else 0
        return max(0, (self.padded_extent(a) - reach - 1) // self.stride[a] + 1)

    def source(self, a, place):
        """The input's index at a place of the extended axis, counted from the input's first; None for a zero."""
        extent = self.input[a]
        if self.padding_mode == "zeros":
            index, between = divmod(place, self.input_dilation[a])
            return index if between == 0 and 0 <= index < extent else None
        if self.padding_mode == "circular":
            return place % extent
        if self.padding_mode == "replicate":
            return min(max(place, 0), extent - 1)
        return abs(place) if place < extent else 2 * (extent - 1) - place

    def axis(self, a):
        """Every (input index, kernel index, output index) of an axis that meet in a product."""
        stride, dilation, begin = self.stride[a], self.dilation[a], self.pad_begin[a]
        if self.transposed:
            met = ((i, t, i * stride + t * dilation - begin) for i in range(self.input[a])
                   for t in range(self.kernel[a]))
            return [(i, t, p) for i, t, p in met if 0 <= p < self.output[a]]
        met = ((self.source(a, p * stride + t * dilation - begin), t, p) for p in range(self.output[a])
               for t in range(self.kernel[a]))
        return [(i, t, p) for i, t, p in met if i is not None]

    def products(self):
        """(input index, weight index, output index) of every product."""
        inputs, outputs = self.in_channels // self.groups, self.out_channels // self.groups
        places = [tuple(zip(*axes)) for axes in itertools.product(*map(self.axis, self.axes))]
        for n, g, c, o in indices((self.batch, self.groups, inputs, outputs)):
            channel, filter_ = g * inputs + c, g * outputs + o
            channels = (channel, o) if self.transposed else (filter_, c)
            for i, t, p in places:
                yield (n, channel, *i), (*channels, *t), (n, filter_, *p)


def summed(kind, shape, terms):
    """The Tensor of sums: each (index, product) is added where it belongs."""
    sums = {index: Fraction(0) for index in indices(shape)}
    for index, product in terms:
        sums[index] += product
    return tensor_of(kind, shape, (nearest(kind, value) for value in sums.values()))


def convolve(layer, given, grad_output):
    """{name: Tensor} of a convolution's call."""
    problem = Convolution(layer.params, given.values.shape)
    check_types(layer, given, False)
    biased, kind = problem.bias, given.type
    for name, shape in (("weight", problem.weight_shape()), ("bias", (problem.out_channels,))):
        if (name == "weight" or biased) and (name not in layer.own or layer.own[name].values.shape != shape):
            raise CaseError(f"the {name} must have the shape {list(shape)}")
    x, w = exact_values(given, "the input"), exact_values(layer.own["weight"], "the weight")
    b = exact_values(layer.own["bias"], "the bias") if biased else None
    products = list(problem.products())
    shape = problem.output_shape()
    constant = ((index, b[index[1:2]]) for index in indices(shape)) if biased else ()
    results = {"output": summed(kind, shape, itertools.chain(constant, ((p, x[i] * w[t]) for i, t, p in products)))}
    if grad_output is None:
        return asked(results, problem.direction, ())
    g = gradient_values(grad_output, kind, shape)
    results["grad_input"] = summed(kind, given.values.shape, ((i, w[t] * g[p]) for i, t, p in products))
    results["grad_weight"] = summed(kind, problem.weight_shape(), ((t, x[i] * g[p]) for i, t, p in products))
    if biased:
        results["grad_bias"] = summed(kind, shape[1:2], ((index[1:2], value) for index, value in g.items()))
    return asked(results, problem.direction, (problem.direction,))


def gradient_values(grad_output, kind, shape):
    """{index: Fraction} of a gradient that must be one of that output."""
    if (grad_output.type, grad_output.values.shape) != (kind, shape):
        raise CaseError(f"grad_output is {grad_output.type} {list(grad_output.values.shape)}, the output is {kind} "
                        f"{list(shape)}")
    return exact_values(grad_output, "grad_output")


# ------------------------------------------------------------------------------------------- batch normalization


def check_batchnorm(params):
    """The parameters' types."""
    for name in ("epsilon", "new_weight"):
        value = params[name]
        require(name, value, is_integer(value) or isinstance(value, float), "a number")
    for name, names in (("statistics", ("batch", "running", None)), ("running_variance", ("biased", "unbiased"))):
        if params[name] not in names:
            raise violation(f"{name} has no value {printed(params[name])}")
    for name in ("update_running", "weight", "bias"):
        value = params[name]
        require(name, value, isinstance(value, bool) or (name == "update_running" and value is None), "true or false")
    check_direction(params["direction"], DIRECTIONS[:2])
    if params["direction"] != "forward" and params["update_running"]:
        raise violation("update_running must be 0 in the backward direction, got 1")


def fill_in(layer, channels):
    """Initial values of the layer's tensors that nobody gave."""
    for name in ("weight", "bias"):
        if layer.params[name] and name not in layer.own:
            layer.own[name] = tensor_of(layer.kind, (channels,), [float(name == "weight")] * channels)
        if name in layer.own and layer.own[name].values.shape != (channels,):
            raise CaseError(f"{name} must have the shape {[channels]}")
    for name in STATISTICS:
        held = layer.statistics.setdefault(name, [Fraction(name == "running_var")] * channels)
        if len(held) != channels:
            raise CaseError(f"{name} must have the shape {[channels]}")


class Channel:
    """One channel: its values by index, the batch's statistics, and those that normalise it: `middle`, and `square`,
    the variance plus epsilon."""

    def __init__(self, c, x, held, params, batch):
        self.c, self.x = c, {index: value for index, value in x.items() if index[1] == c}
        self.count = len(self.x)
        self.mean = self.variance = Fraction(0)  # of no values: nothing reads them
        if self.count:
            self.mean = sum(self.x.values()) / self.count
            self.variance = sum((value - self.mean) ** 2 for value in self.x.values()) / self.count
        self.middle, variance = (self.mean, self.variance) if batch else (held[name][c] for name in STATISTICS)
        if self.count and None in (self.middle, variance):
            raise CaseError(f"the statistics of channel {c} are NaN: no exact result")
        self.square = variance + Fraction(params["epsilon"]) if self.count else Fraction(1)
        if self.square <= 0:
            raise CaseError(f"variance + epsilon is {float(self.square)} in channel {c}: no exact result")


def normalise(layer, mode, given, grad_output):
    """{name: Tensor} of a batch normalization's call; updates the layer's statistics."""
    shape, params = given.values.shape, layer.params
    spatial_rank(shape, 0)
    check_batchnorm(params)
    check_types(layer, given, True)
    fill_in(layer, shape[1])
    training = mode == "train"
    batch = training if params["statistics"] is None else params["statistics"] == "batch"
    forward = params["direction"] == "forward"
    layer.updates = training and forward if params["update_running"] is None else params["update_running"]
    x = exact_values(given, "the input")
    w = exact_values(layer.own["weight"], "the weight") if params["weight"] else {(c,): 1 for c in range(shape[1])}
    b = exact_values(layer.own["bias"], "the bias") if params["bias"] else {(c,): 0 for c in range(shape[1])}
    channels = [Channel(c, x, layer.statistics, params, batch) for c in range(shape[1])]
    values = {index: nearest_with_root(given.type, w[index[1:2]] * (x[index] - channels[index[1]].middle),
                                       channels[index[1]].square, b[index[1:2]]) for index in indices(shape)}
    results = {"output": tensor_of(given.type, shape, values.values())}
    if grad_output is not None:
        g = gradient_values(grad_output, given.type, shape)
        results.update(gradients(layer, shape, channels, batch, w, g, given.type))
    if layer.updates:
        update(layer, channels)
    return asked(results, params["direction"], DIRECTIONS)


def gradients(layer, shape, channels, batch, w, g, kind):
    """With r = 1/sqrt(square): z = (x - middle) r, so that z times a sum over z has r squared, which is rational."""
    inputs, weights, biases = {}, [], []
    for channel in channels:
        centred = {index: value - channel.middle for index, value in channel.x.items()}
        sum_g = sum((g[index] for index in centred), Fraction(0))
        sum_gx = sum((g[index] * value for index, value in centred.items()), Fraction(0))
        weights.append(nearest_with_root(layer.kind, sum_gx, channel.square, 0))
        biases.append(nearest(layer.kind, sum_g))
        for index, value in centred.items():
            inner = g[index]
            if batch:
                inner -= sum_g / channel.count + value * sum_gx / channel.square / channel.count
            inputs[index] = nearest_with_root(kind, w[channel.c,] * inner, channel.square, 0)
    results = {"grad_input": tensor_of(kind, shape, (inputs[index] for index in indices(shape)))}
    for name, values in (("weight", weights), ("bias", biases)):
        if layer.params[name]:
            results[f"grad_{name}"] = tensor_of(layer.kind, (len(values),), values)
    return results


def update(layer, channels):
    """(1 - new_weight) * running + new_weight * batch; None where one value has no unbiased variance."""
    share, unbiased = Fraction(layer.params["new_weight"]), layer.params["running_variance"] == "unbiased"
    if channels and channels[0].count == 0:
        raise CaseError("an empty batch has no statistics: what the running ones become is not defined")

    def moved(old, batch):
        return None if None in (old, batch) else (1 - share) * old + share * batch

    for channel in channels:
        c, spread = channel.c, channel.variance
        if unbiased:
            spread = spread * channel.count / (channel.count - 1) if channel.count > 1 else None
        for name, batch in zip(STATISTICS, (channel.mean, spread)):
            layer.statistics[name][c] = moved(layer.statistics[name][c], batch)


# ------------------------------------------------------------------------------------------- what recorder.py calls


class Layer:
    """An object with parameters, the tensors that it was given or made, and its running statistics: lists of Fractions,
    None for NaN."""

    def __init__(self, operator, params, kind):
        self.operator, self.params, self.kind = operator, params, kind
        self.own, self.statistics, self.updates = {}, {}, False


def make(operator, params, kind):
    """A layer; refuses names that the operator does not have."""
    defaults, required = (CONV, ("out_channels", "kernel")) if operator == "conv" else (BATCHNORM, ())
    return Layer(operator, checked_names(params, defaults, required), kind)


def tensors(layer):
    """What the layer holds; statistics rounded to its type."""
    held = {name: [math.nan if value is None else nearest(layer.kind, value) for value in values]
            for name, values in layer.statistics.items()}
    return {**layer.own, **{name: tensor_of(layer.kind, (len(values),), values) for name, values in held.items()}}


def load(layer, name, tensor):
    """Replaces one of the layer's tensors."""
    if layer.operator == "conv" and name in STATISTICS:
        raise ValueError(f"a convolution has no {name}")
    if layer.params.get(name, True) is False:
        raise ValueError(f"this layer has no {name}")
    if name in STATISTICS:
        layer.statistics[name] = list(exact_values(tensor, name).values())
    else:
        layer.own[name] = tensor


def assign(layer, name, value):
    """Gives a parameter another value."""
    if layer.operator == "conv" or name not in ASSIGNABLE:
        raise ValueError(f"params: {name} of a living layer cannot change; what can is {', '.join(ASSIGNABLE)} of a "
                         "batchnorm")
    layer.params[name] = value


def reset(layer):
    """Statistics as in a new layer: fill_in makes them anew."""
    if layer.operator == "conv":
        raise ValueError("reset: this layer has no running statistics")
    layer.statistics.clear()


def call(layer, mode, given, grad_output, layout):
    """{name: Tensor} of the output and the gradients; the layout in memory does not change them."""
    if layer.operator == "conv":
        return convolve(layer, given, grad_output)
    return normalise(layer, mode, given, grad_output)


def is_training(layer):
    """Whether the last call updated the statistics."""
    return layer.updates
