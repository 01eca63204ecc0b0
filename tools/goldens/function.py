"""What engines of functions share: a function keeps its tensors for its calls, and nothing else between them."""


def tensors(function):
    """Its tensors by the cases' names."""
    return dict(function.own)


def load(function, name, tensor):
    """Gives it one of its tensors, of any shape: that it does not take it shows in the call."""
    function.own[name] = tensor


def assign(function, name, value):
    """Parameters are the call's."""
    del function, value
    raise ValueError(f"params: {name} of a function cannot be changed between calls")


def reset(function):
    """A function has no state."""
    del function
    raise ValueError("reset: a function has no initial statistics")
