"""The real mindspore.nn layers."""

import os

os.environ.setdefault("GLOG_v", "4")

import mindspore  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402

mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
mindspore.set_device("CPU")

NAME = f"MindSpore {mindspore.__version__}, CPU"
LAYERS = {"nn.Conv2d": nn.Conv2d, "nn.BatchNorm2d": nn.BatchNorm2d}
# a case's name -> the layer's own, for each kind of layer
NAMES = {
    nn.Conv2d: {"weight": "weight", "bias": "bias"},
    nn.BatchNorm2d: {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
}


def make(operator, params):
    """The layer; raises what its constructor raises."""
    return LAYERS[operator](**params)


def set_tensor(layer, name, values):
    """Replaces one parameter or running statistic."""
    target = getattr(layer, NAMES[type(layer)][name], None)
    if target is None:
        raise ValueError(f"this layer has no {name}")
    if tuple(target.shape) != values.shape:
        raise ValueError(f"{name} has the shape {tuple(target.shape)}, the case gives {values.shape}")
    target.set_data(mindspore.Tensor(values.copy()))


def call(layer, mode, values, layout):
    """The output; raises what the call raises. MindSpore has no choice of physical layout."""
    del layout
    if mode is not None:
        layer.set_train(mode == "train")
    return np.array(layer(mindspore.Tensor(values.copy())).asnumpy())


def statistics(layer):
    """The running statistics after the call, where there are any."""
    if not isinstance(layer, nn.BatchNorm2d):
        return {}
    return {"running_mean": layer.moving_mean.asnumpy().copy(), "running_var": layer.moving_variance.asnumpy().copy()}


def is_training(layer):
    """Whether the layer is in training mode."""
    return layer.training
