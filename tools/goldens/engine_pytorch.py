"""The real torch.nn layers."""

import numpy as np

from .torch_cpu import torch

NAME = f"PyTorch {torch.__version__.partition('+')[0]}, CPU"
LAYERS = {"nn.Conv2d": torch.nn.Conv2d, "nn.BatchNorm2d": torch.nn.BatchNorm2d}


def make(operator, params):
    """The layer; raises what its constructor raises."""
    return LAYERS[operator](**params)


def set_tensor(layer, name, values):
    """Replaces one parameter or running statistic."""
    target = getattr(layer, name, None)
    if target is None:
        raise ValueError(f"this layer has no {name}")
    if tuple(target.shape) != values.shape:
        raise ValueError(f"{name} has the shape {tuple(target.shape)}, the case gives {values.shape}")
    with torch.no_grad():
        target.copy_(torch.from_numpy(values.copy()))


def call(layer, mode, values, layout):
    """The output; raises what the call raises."""
    if mode is not None:
        layer.train(mode == "train")
    tensor = torch.from_numpy(values.copy())
    if layout == "channels_last" and tensor.dim() == 4:
        tensor = tensor.to(memory_format=torch.channels_last)
    with torch.no_grad():
        return np.ascontiguousarray(layer(tensor).numpy())


def statistics(layer):
    """The running statistics after the call, where there are any."""
    found = {name: getattr(layer, name, None) for name in ("running_mean", "running_var")}
    return {name: value.numpy().copy() for name, value in found.items() if value is not None}


def is_training(layer):
    """Whether the layer is in training mode."""
    return layer.training
