"""Runs layers from their code as it stands, for tools/check-translations, in the environment of one framework: jobs are lines of JSON.

A job with "expected" is a translation: it takes the inputs and weights that are there and compares its results with those. One
without is a source: it draws its tensors, small integers, and writes them and its results.
"""

import ctypes
import json
import os
import pathlib
import re
import sys

os.environ.update(TF_ENABLE_ONEDNN_OPTS="0", TF_CPP_MIN_LOG_LEVEL="3", JAX_PLATFORMS="cpu", KERAS_BACKEND="tensorflow", GLOG_v="3")

import numpy as np  # noqa: E402

FRAMEWORK = sys.argv[1]
CODE = {"numpy": np}  # what the printed code sees
if FRAMEWORK == "torch":
    for library in sorted(pathlib.Path(sys.prefix, "empty-cuda").glob("lib*.so*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    import torch
    CODE["torch"] = torch
elif FRAMEWORK == "mindspore":
    import mindspore
    CODE["mindspore"] = mindspore
elif FRAMEWORK in ("tf", "keras"):
    import keras
    import tensorflow as tf
    CODE.update(tf=tf, keras=keras)
elif FRAMEWORK == "onnx":
    import onnx
    import onnx.numpy_helper
    import onnxruntime
    CODE["onnx"] = onnx
else:
    import flax.linen
    import jax
    CODE.update(jax=jax, flax=flax)
TENSOR = {"torch": lambda a: torch.tensor(a), "mindspore": lambda a: mindspore.Tensor(a), "onnx": np.asarray, "tf": lambda a: tf.constant(a),
          "keras": lambda a: tf.constant(a), "jax": lambda a: jax.numpy.asarray(a), "flax": lambda a: jax.numpy.asarray(a)}[FRAMEWORK]


def array(tensor):
    """A copy of what is in a tensor."""
    return np.array(tensor.detach() if FRAMEWORK == "torch" else tensor.asnumpy() if FRAMEWORK == "mindspore" else tensor)


def run_lines(lines, **names):
    """The names behind lines of code."""
    space = {**CODE, **names}
    for line in lines:
        exec(line, space)
    return space


class Function:
    """A function: its tensors are names in its call."""

    def __init__(self, job, given):
        del given
        self.job, self.own = job, {}

    def shapes(self):
        """Of its tensors."""
        return self.job["source"]["tensors"] if "source" in self.job else self.job["tensors"]

    def load(self, own):
        """Gives it its tensors."""
        self.own = dict(own)

    def __call__(self, given, training):
        space = run_lines(self.job["before"], x=TENSOR(given), **{name: TENSOR(value) for name, value in self.own.items()})
        result = eval(self.job["call"], space)
        if "fused_batch_norm" in self.job["call"] and "is_training=False" not in self.job["call"]:
            self.own.update(mean=array(result[1]), variance=array(result[2]))
        self.own.update({name: array(space[name]) for name in self.own if name.startswith("running_")})  # in their place
        space["y"] = result[0] if isinstance(result, (tuple, list)) else result
        return array(run_lines(self.job["behind"], **space)["y"])


class Node(Function):
    """A node of ONNX, with those around it, as a model."""

    def __call__(self, given, training):
        space, nodes = dict(CODE), []
        for line in [*self.job["before"], self.job["call"], *self.job["behind"]]:
            if " = " in line.split("(")[0]:
                exec(line, space)
            else:
                nodes.append(eval(line, space))
        helper, kind, opset = onnx.helper, onnx.TensorProto.FLOAT, re.search(r"# opset (\d+)", self.job["call"])
        node = next(one for one in nodes if one.op_type not in ("Pad", "Slice"))
        constants = [value for value in space.values() if isinstance(value, onnx.TensorProto)]
        constants += [onnx.numpy_helper.from_array(value, name) for name, value in self.own.items()]
        outputs = [nodes[-1].output[0], *node.output[1:]]
        graph = helper.make_graph(nodes, "layer", [helper.make_tensor_value_info(nodes[0].input[0], kind, given.shape)],
                                  [helper.make_tensor_value_info(name, kind, None) for name in outputs], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", int(opset[1]) if opset else 22)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        results = session.run(None, {nodes[0].input[0]: given})
        self.own.update(zip(node.input[3:], results[1:]))
        return results[0]


class Layer:
    """A layer of torch, mindspore, keras or flax."""

    def __init__(self, job, given):
        self.job, self.layer, self.variables = job, eval(job["call"], dict(CODE)), {}
        first = run_lines(job["before"], x=TENSOR(given))["x"]
        if FRAMEWORK == "keras":
            self.layer.build(first.shape)
        if FRAMEWORK == "flax":
            self.variables = jax.eval_shape(self.layer.init, jax.random.PRNGKey(0), first)

    def tensors(self):
        """Those that it has, by its names."""
        if FRAMEWORK == "torch":
            return {name: value for name, value in self.layer.state_dict().items() if name != "num_batches_tracked"}
        if FRAMEWORK == "mindspore":
            return {name: value for name, value in self.layer.parameters_and_names() if name != "num_batches_tracked"}
        if FRAMEWORK == "keras":
            return {value.name: value for value in self.layer.variables}
        return {name: value for group in self.variables.values() for name, value in group.items()}

    def shapes(self):
        """Of its tensors."""
        return {name: tuple(value.shape) for name, value in self.tensors().items()}

    @property
    def own(self):
        """Its tensors as they are."""
        return {name: array(value) for name, value in self.tensors().items()}

    def load(self, own):
        """Gives it its tensors: all, by its names, of its shapes."""
        if {name: value.shape for name, value in own.items()} != self.shapes():
            raise ValueError(f"has {self.shapes()}, is given { {name: value.shape for name, value in own.items()} }")
        if FRAMEWORK == "torch":
            self.layer.load_state_dict({name: TENSOR(value) for name, value in own.items()}, strict=False)
            if getattr(self.layer, "num_batches_tracked", None) is not None:
                self.layer.num_batches_tracked.zero_()
        elif FRAMEWORK == "flax":
            self.variables = {group: {name: TENSOR(own[name]) for name in names} for group, names in self.variables.items()}
        else:
            for name, value in self.tensors().items():
                (value.set_data if FRAMEWORK == "mindspore" else value.assign)(TENSOR(own[name]))

    def forward(self, given, training):
        """The layer alone."""
        if FRAMEWORK == "flax":
            result, changed = self.layer.apply(self.variables, given, mutable=["batch_stats"])
            self.variables = {**self.variables, **changed}
            return result
        if FRAMEWORK == "keras":
            return self.layer(given, training=training) if "BatchNorm" in self.job["call"] else self.layer(given)
        (self.layer.train if FRAMEWORK == "torch" else self.layer.set_train)(training)
        return self.layer(given)

    def __call__(self, given, training):
        space = run_lines(self.job["before"], x=TENSOR(given))
        return array(run_lines(self.job["behind"], x=None, y=self.forward(space["x"], training))["y"])


def reorder(tensor, order, back):
    """A tensor with its axes in the other framework's order, "NCHW -> NHWC", or in this one's."""
    if "->" not in order:
        return tensor
    here, there = order.split(" -> ")[:: -1 if back else 1]
    return np.transpose(tensor, [here.index(letter) for letter in there])


def difference(results, expected, statistics):
    """In what they differ; None for nothing. Results that the source does not have are no difference."""
    for name, value in results.items():
        sequence, kind, *own = name.split(".", 2)
        if own:
            name = f"{sequence}.{kind}.{statistics.get(own[0])}"
        if name not in expected or (own and sequence == "E"):
            continue
        other = expected[name]
        if other.shape != value.shape:
            return f"{name} has the shape {value.shape}, not {other.shape}"
        if not np.allclose(value, other, rtol=3e-4, atol=3e-4, equal_nan=True):
            return f"{name} differs by {np.max(np.abs(value - other))}"
    return None


def run(job):
    """None, or what is wrong."""
    job = {"before": [], "behind": [], "input_order": "", "output_order": "", **job}
    chance, source = np.random.default_rng(job.get("seed")), "expected" not in job
    if source:
        inputs = {str(i): chance.integers(-4, 5, job["input"]).astype(np.float32) for i in range(3)}
    else:
        inputs = {name: reorder(value, job["input_order"], False) for name, value in np.load(job["inputs"]).items()}
    function = re.match(r"tf\.|jax\.|torch\.nn\.functional|mindspore\.ops", job["call"])
    layer = (Node if FRAMEWORK == "onnx" else Function if function else Layer)(job, inputs["0"])
    if source:
        given = {name: chance.integers(1 if "var" in name else -3, 5, shape).astype(np.float32) for name, shape in layer.shapes().items()}
    else:
        given = dict(np.load(job["weights"])) if os.path.exists(job["weights"]) else {}
    results = {}
    for sequence in job["sequences"]:
        layer.load(given)
        for i, mode in enumerate(sequence):
            results[f"{sequence}.{i}"] = reorder(layer(inputs[str(i)], mode == "T"), job["output_order"], True)
        results.update({f"{sequence}.own.{name}": value for name, value in layer.own.items()})
    if not source:
        return difference(results, np.load(job["expected"]), {row["target"]: row["source"] for row in job["tensors"] if "running" in row["role"]})
    np.savez(job["inputs"], **inputs)
    np.savez(job["results"], **results)
    if given:
        np.savez(job["weights"], **given)
    return None


def main():
    """Answers each job with a line."""
    for line in sys.stdin:
        job = json.loads(line)
        try:
            error = run(job)
        except Exception as wrong:  # whatever a framework raises
            error = f"{type(wrong).__name__}: {wrong}"[:300]
        print(json.dumps({"id": job["id"], "error": error}), flush=True)


if __name__ == "__main__":
    main()
