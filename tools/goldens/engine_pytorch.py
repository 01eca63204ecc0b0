"""The real torch.nn layers, and the functions of torch.nn.functional. What an engine module offers to recorder.py:

NAME            as cases name it in `source`
make            a layer of that type; raises what its constructor raises
tensors         its parameters and running statistics by the cases' names
load            replaces one of them; a ValueError says why it cannot
assign          gives a living layer's parameter another value; a ValueError where the framework has no such thing
reset           statistics and count of calls as in a new layer; a ValueError where the framework has no such thing
call            the output and, with a gradient of it, the gradients; raises what the call raises, and a CaseError
                where the gradient given is none of this output
is_training     whether the layer is in training mode

Tensors come and go as numbers.Tensor.
"""

import numpy as np

from .casefile import CaseError
from .numbers import Tensor
from .torch_cpu import torch

NAME = f"PyTorch {torch.__version__.partition('+')[0]}, CPU"
OPERATORS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "BatchNorm1d",
             "BatchNorm2d", "BatchNorm3d")
LAYERS = {f"nn.{name}": getattr(torch.nn, name) for name in OPERATORS}
FUNCTIONS = "nn.functional."
TYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16}
TYPE_NAMES = {dtype: name for name, dtype in TYPES.items()}
OWN_TENSORS = ("weight", "bias", "running_mean", "running_var")
ASSIGNABLE = ("eps", "momentum")


class Function:
    """A function with its parameters and tensors: what the recorder takes for a layer."""

    def __init__(self, operator, params):
        self.name, self.params = operator.removeprefix(FUNCTIONS), params
        self.weight = self.bias = self.running_mean = self.running_var = None

    @property
    def training(self):
        """Whether it updates statistics."""
        return bool(self.params.get("training", False))

    def train(self, mode):
        """A parameter says it."""

    def __call__(self, given):
        function = getattr(torch.nn.functional, self.name)
        if self.name == "batch_norm":
            return function(given, self.running_mean, self.running_var, weight=self.weight, bias=self.bias, **self.params)
        tensors = {name: getattr(self, name) for name in ("weight", "bias") if getattr(self, name) is not None}
        return function(given, **tensors, **self.params)


def make(operator, params, kind):
    """The layer; f32 is the constructor's own default. Nothing of a function is refused before it is called."""
    if operator.startswith(FUNCTIONS):
        return Function(operator, params)
    return LAYERS[operator](**params, **({} if kind == "f32" else {"dtype": TYPES[kind]}))


def to_torch(tensor):
    """A new torch tensor."""
    return torch.from_numpy(tensor.values.copy()).to(TYPES[tensor.type])


def from_torch(tensor):
    """What is in a torch tensor."""
    name = TYPE_NAMES[tensor.dtype]
    tensor = tensor.detach()
    return Tensor(name, np.array((tensor.float() if name == "bf16" else tensor).numpy(), order="C"))


def tensors(layer):
    """The layer's own tensors that it has."""
    found = {name: getattr(layer, name, None) for name in OWN_TENSORS}
    return {name: from_torch(value) for name, value in found.items() if value is not None}


def load(layer, name, tensor):
    """Replaces one parameter or running statistic; to a function it gives one, of any shape."""
    if isinstance(layer, Function):
        setattr(layer, name, to_torch(tensor).requires_grad_(name in ("weight", "bias")))
        return
    target = getattr(layer, name, None)
    if target is None:
        raise ValueError(f"this layer has no {name}")
    if tuple(target.shape) != tensor.values.shape:
        raise ValueError(f"{name} has the shape {tuple(target.shape)}, the case gives {tensor.values.shape}")
    with torch.no_grad():
        target.copy_(to_torch(tensor))


def is_batch_norm(layer):
    """Whether the layer keeps running statistics, if it is told to."""
    return isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)


def spatial_axes(layer, given):
    """How many spatial axes the layer's input should have; a function that takes any number takes this input's."""
    name = layer.name if isinstance(layer, Function) else type(layer).__name__
    return int(name[-2]) if name[-1] == "d" else given.values.ndim - 2


def assign(layer, name, value):
    """Sets an attribute that the layer reads in each call."""
    if not is_batch_norm(layer) or name not in ASSIGNABLE:
        raise ValueError(f"params: {name} of a living layer cannot be recorded; what can is {', '.join(ASSIGNABLE)} "
                         "of a batch normalization")
    setattr(layer, name, value)


def reset(layer):
    """Statistics and their count as in a new layer."""
    if not is_batch_norm(layer):
        raise ValueError("reset: this layer has no running statistics")
    layer.reset_running_stats()


def arranged(tensor, spatial, layout):
    """The same tensor in another physical layout."""
    if layout == "strided":
        rows = torch.zeros(*tensor.shape[:-1], 2 * tensor.shape[-1] + 3, dtype=tensor.dtype)
        view = rows[..., :2 * tensor.shape[-1]:2]
        view.copy_(tensor)
        return view
    if layout != "channels_last" or tensor.dim() != spatial + 2 or spatial == 0:
        return tensor
    if spatial == 1:  # torch has no name for it
        return tensor.transpose(1, 2).contiguous().transpose(1, 2)
    return tensor.to(memory_format=torch.channels_last if spatial == 2 else torch.channels_last_3d)


def arrange_weight(layer, spatial, layout):
    """A convolution's weight in that layout."""
    if layer.weight is not None and layer.weight.dim() > 1:
        layer.weight.data = arranged(layer.weight.data, spatial, layout)


def call(layer, mode, given, grad_output, layout):
    """{name: Tensor} of the output and, where `grad_output` is given, of the gradients that the layer has."""
    spatial = spatial_axes(layer, given)
    if mode is not None:
        layer.train(mode == "train")
    arrange_weight(layer, spatial, layout)
    inputs = arranged(to_torch(given), spatial, layout)
    if grad_output is None:
        with torch.no_grad():
            return {"output": from_torch(layer(inputs))}
    inputs.requires_grad_(True)
    output = layer(inputs)
    if (TYPE_NAMES[output.dtype], tuple(output.shape)) != (grad_output.type, grad_output.values.shape):
        raise CaseError(f"grad_output is {grad_output.type} {list(grad_output.values.shape)}, the output is "
                        f"{TYPE_NAMES[output.dtype]} {list(output.shape)}")
    sources = {"grad_input": inputs, "grad_weight": layer.weight, "grad_bias": layer.bias}
    sources = {name: source for name, source in sources.items() if source is not None}
    gradients = torch.autograd.grad(output, list(sources.values()), arranged(to_torch(grad_output), spatial, layout))
    return {"output": from_torch(output), **{name: from_torch(value) for name, value in zip(sources, gradients)}}


def is_training(layer):
    """Whether the layer is in training mode."""
    return layer.training
