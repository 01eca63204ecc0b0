"""The real layers of mindspore.nn and mindspore.mint.nn, and the functions and primitives of mindspore.ops;
engine_pytorch.py says what an engine module offers."""

import os

os.environ.setdefault("GLOG_v", "4")

import mindspore  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402

from .casefile import CaseError  # noqa: E402
from .numbers import Tensor  # noqa: E402

mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
mindspore.set_device("CPU")

NAME = f"MindSpore {mindspore.__version__}, CPU"
OPERATORS = ("Conv1d", "Conv2d", "Conv3d", "Conv1dTranspose", "Conv2dTranspose", "Conv3dTranspose", "BatchNorm1d",
             "BatchNorm2d", "BatchNorm3d")
MINT_OPERATORS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
LAYERS = {**{f"nn.{name}": getattr(nn, name) for name in OPERATORS},
          **{f"mint.nn.{name}": getattr(mindspore.mint.nn, name) for name in MINT_OPERATORS}}
TYPES = {"f32": mindspore.float32, "f64": mindspore.float64, "f16": mindspore.float16, "bf16": mindspore.bfloat16}
TYPE_NAMES = {dtype: name for name, dtype in TYPES.items()}
# a case's name -> the layer's own
CONVOLUTION_NAMES = {"weight": "weight", "bias": "bias"}
BATCHNORM_NAMES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
OWN_NAMES = ("weight", "bias", "running_mean", "running_var")
ONE_AXIS = (nn.Conv1d, nn.Conv1dTranspose)
# functions and primitives -> their tensors in the order in which they are handed over
FUNCTIONS = {"ops.conv1d": ("weight", "bias"), "ops.conv2d": ("weight", "bias"), "ops.conv3d": ("weight", "bias"),
             "ops.batch_norm": ("running_mean", "running_var", "weight", "bias"), "mint.nn.functional.conv2d": ("weight", "bias"),
             "mint.nn.functional.conv_transpose2d": ("weight", "bias"),
             "mint.nn.functional.batch_norm": ("running_mean", "running_var", "weight", "bias")}
PRIMITIVES = {"ops.Conv2D": ("weight",), "ops.Conv2DTranspose": ("weight",), "ops.Conv3D": ("weight",),
              "ops.BatchNorm": ("weight", "bias", "running_mean", "running_var")}


class Function(nn.Cell):
    """A function or a primitive with its parameters and tensors: what the recorder takes for a layer. A primitive is made
    where a user makes it, so that its constructor refuses like a layer's."""

    def __init__(self, operator, params):
        super().__init__()
        module, _, name = operator.rpartition(".")
        self.function, self.options = mindspore, params
        for part in (*module.split("."), name):
            self.function = getattr(self.function, part)
        self.order = FUNCTIONS.get(operator) or PRIMITIVES[operator]
        if operator in PRIMITIVES:
            own = {key: value for key, value in params.items() if key != "input_size"}
            self.function, self.options = self.function(**own), {}
        self.last = [params["input_size"]] if "input_size" in params else []

    def construct(self, inputs):
        """The output alone; what a normalization trains it writes into its tensors."""
        given = [getattr(self, name, None) for name in self.order]
        while given and given[-1] is None:
            given.pop()
        answer = self.function(inputs, *given, *self.last, **self.options)
        return answer[0] if isinstance(answer, tuple) else answer


def make(operator, params, kind):
    """The layer; f32 is the constructor's own default."""
    if operator not in LAYERS:
        return Function(operator, params)
    return LAYERS[operator](**params, **({} if kind == "f32" else {"dtype": TYPES[kind]}))


def to_mindspore(tensor):
    """A new MindSpore tensor."""
    return mindspore.Tensor(tensor.values.copy()).astype(TYPES[tensor.type])


def from_mindspore(tensor):
    """What is in a MindSpore tensor."""
    name = TYPE_NAMES[tensor.dtype]
    return Tensor(name, np.array((tensor.astype(mindspore.float32) if name == "bf16" else tensor).asnumpy()))


def is_batch_norm(layer):
    """Whether the layer keeps running statistics."""
    if isinstance(layer, Function):
        return "running_mean" in layer.order
    return not isinstance(layer, mindspore.mint.nn.layer.conv._Conv) and not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Conv1dTranspose, nn.Conv2dTranspose,
                                  nn.Conv3dTranspose))


def parameters(layer):
    """{a case's name: parameter}. nn.BatchNorm3d keeps its own in an inner nn.BatchNorm2d."""
    own_names = isinstance(layer, Function) or type(layer).__module__.startswith("mindspore.mint")
    names = dict(zip(OWN_NAMES, OWN_NAMES)) if own_names else BATCHNORM_NAMES if is_batch_norm(layer) else CONVOLUTION_NAMES
    owner = getattr(layer, "bn2d", layer)
    found = {name: getattr(owner, own, None) for name, own in names.items()}
    return {name: value for name, value in found.items() if isinstance(value, mindspore.Parameter)}


def as_case(layer, name, tensor):
    """A tensor as the cases write it: without the axis of extent 1 that the one-dimensional layers put into the weight,
    which their documentation and `weight_init` do not have."""
    one_axis = isinstance(layer, ONE_AXIS) and name in ("weight", "grad_weight")
    return Tensor(tensor.type, tensor.values.squeeze(2)) if one_axis else tensor


def tensors(layer):
    """The layer's own tensors that it has."""
    return {name: as_case(layer, name, from_mindspore(value)) for name, value in parameters(layer).items()}


def load(layer, name, tensor):
    """Replaces one parameter or running statistic; a function's tensors may have any shape."""
    if isinstance(layer, Function):
        setattr(layer, name, mindspore.Parameter(to_mindspore(tensor), name=name, requires_grad=name in CONVOLUTION_NAMES))
        return
    target = parameters(layer).get(name)
    if target is None:
        raise ValueError(f"this layer has no {name}")
    shape = as_case(layer, name, from_mindspore(target)).values.shape
    if shape != tensor.values.shape:
        raise ValueError(f"{name} has the shape {shape}, the case gives {tensor.values.shape}")
    target.set_data(to_mindspore(Tensor(tensor.type, tensor.values.reshape(target.shape))).astype(target.dtype))


def assign(layer, name, value):
    """What a call reads from the layer itself. momentum and eps it hands to its operator when it is made, and
    nn.BatchNorm3d hands everything to an inner layer."""
    if name != "use_batch_statistics" or not isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        raise ValueError(f"params: {name} of a living layer cannot be changed in MindSpore")
    layer.use_batch_statistics = value


def reset(layer):
    """There is no such thing."""
    del layer
    raise ValueError("reset: MindSpore's layers have no way to reset their statistics")


def gradients(layer, inputs, grad_output):
    """{name: tensor} of the output and of the gradients with respect to the input and to what is trained. The layer is
    called once: another call would update the statistics again."""
    trained = {name: value for name, value in parameters(layer).items()
               if name in CONVOLUTION_NAMES and value.requires_grad}

    def weighted(values):
        output = layer(values)
        if (TYPE_NAMES[output.dtype], tuple(output.shape)) != (grad_output.type, grad_output.values.shape):
            raise CaseError(f"grad_output is {grad_output.type} {list(grad_output.values.shape)}, the output is "
                            f"{TYPE_NAMES[output.dtype]} {list(output.shape)}")
        return (output * to_mindspore(grad_output)).sum(), output

    differentiate = mindspore.value_and_grad(weighted, 0, list(trained.values()) or None, has_aux=True)
    (_, output), found = differentiate(inputs)
    of_input, of_trained = found if trained else (found, ())
    return {"output": output, "grad_input": of_input,
            **{f"grad_{name}": value for name, value in zip(trained, of_trained)}}


def as_operator(case, name, values):
    """A tensor with channels second: ops.BatchNorm alone has a data_format that a CPU takes."""
    return np.moveaxis(values, -1, 1) if name in ("input", "grad_output") and has_channels_last(case) else values


def as_function(case, tolerance):
    """A tolerance that broadcasts over the output, as the operator has it."""
    return np.moveaxis(tolerance, 1, -1) if np.ndim(tolerance) > 1 and has_channels_last(case) else tolerance


def has_channels_last(case):
    """Whether the case's activations have their channels behind the axes of space."""
    return case.operator == "ops.BatchNorm" and case.params.get("data_format") == "NHWC"


def call(layer, mode, given, grad_output, layout):
    """{name: Tensor} of the output and, where `grad_output` is given, of the gradients. MindSpore has no choice of
    physical layout on a CPU."""
    del layout
    if mode is not None:
        layer.set_train(mode == "train")
    inputs = to_mindspore(given)
    results = {"output": layer(inputs)} if grad_output is None else gradients(layer, inputs, grad_output)
    return {name: as_case(layer, name, from_mindspore(value)) for name, value in results.items()}


def is_training(layer):
    """Whether the layer is in training mode, or a function told to train."""
    if isinstance(layer, Function):
        return layer.options.get("training") is True or getattr(layer.function, "is_training", None) is True
    return layer.training
