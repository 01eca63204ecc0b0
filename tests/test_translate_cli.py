#!/usr/bin/env python3
"""`convbn translate` as people use it: answers, code around the layer, weights moved and folded, bad input.

Needs Python's standard library only; run by CTest with CONVBN in the environment.
"""

import ast
import json
import math
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest
import zipfile

CONVBN = os.environ.get("CONVBN", "build/release/bin/convbn")


def translate(*arguments):
    """Exit code, standard output, standard error."""
    done = subprocess.run([CONVBN, "translate", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def answer(*arguments):
    """The answer as JSON gives it, and the exit code."""
    code, out, err = translate(*arguments, "--format", "json")
    if code == 2:
        raise AssertionError(err)
    return code, json.loads(out)


def npy(shape, values):
    """The bytes of an f32 .npy file."""
    head = str({"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(values)}f", *values)


def write_npz(path, tensors):
    with zipfile.ZipFile(path, "w") as archive:
        for name, (shape, values) in tensors.items():
            archive.writestr(name + ".npy", npy(shape, values))


def read_npz(path):
    tensors = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            size = struct.unpack("<H", data[8:10])[0]
            shape = ast.literal_eval(data[10 : 10 + size].decode().strip())["shape"]
            tensors[name.removesuffix(".npy")] = shape, struct.unpack(f"<{math.prod(shape)}f", data[10 + size :])
    return tensors


class Answers(unittest.TestCase):
    def test_exact(self):
        code, told = answer("torch.nn.Conv2d(16, 33, 3, stride=2, padding=1)", "mindspore.nn.Conv2d")
        self.assertEqual(code, 0)
        self.assertEqual(told["answer"], "exact")
        self.assertTrue(told["target"].startswith("mindspore.nn.Conv2d(16, 33, 3, stride=2, pad_mode='pad', padding=1,"))
        self.assertIn("has_bias=True", told["target"])
        self.assertIn("elements equal, in exact arithmetic, at input (2, 16, 5, 6)", told["verified"])

    def test_condition_and_counterexample(self):
        code, told = answer("torch.nn.Conv1d(2, 3, 3, stride=2, padding=1)", "mindspore.nn.Conv1d", "--input", "1x2x9")
        self.assertEqual((code, told["answer"]), (0, "exact"))
        code, told = answer("mindspore.nn.Conv1d(2, 3, 3, stride=2)", "torch.nn.Conv1d", "--input", "1,2,8")
        self.assertEqual((code, told["answer"], told["if"]), (0, "exact-if", "W mod 2 = 0"))
        self.assertEqual(told["before"], ["x = torch.nn.functional.pad(x, (0, 1))"])
        # SAME makes two windows of three elements, one zero on each side; one zero behind makes one
        self.assertEqual(told["reason"], "input (1, 2, 3): the output's extent on axis W is 1, not 2; "
                                         "the output is of (1, 3, 2) in the source, of (1, 3, 1) in the target")

    def test_strides_beyond_the_kernel(self):
        """At 9 both names pad nothing; at 71 SAME has ceil(71 / 70) = 2 windows and PyTorch floor(68 / 70) + 1 = 1."""
        for extent in (9, 71):
            code, a = answer("torch.nn.Conv1d(1, 1, 3, stride=70)", "keras", "--input", f"1x1x{extent}")
            self.assertEqual((code, a["answer"]), (0, "exact"))
            self.assertIn("padding='valid'", a["target"])
        _, a = answer("keras.layers.Conv1D(1, 3, strides=100, padding='same')", "torch", "--input", "1x50x1")
        self.assertEqual(a["answer"], "exact-if")
        self.assertIn("W = 50", a["if"])
        code, a = answer("torch.nn.Conv1d(1, 1, 3, stride=1000)", "keras", "--input", "1x1x9")  # parts from SAME at 1001
        self.assertEqual((code, a["answer"]), (0, "exact"))
        self.assertIn("padding='valid'", a["target"])
        _, a = answer("keras.layers.Conv1D(1, 3, strides=1000, padding='same')", "torch", "--input", "1x50x1")
        self.assertIn("W = 50", a["if"])

    def test_modes(self):
        layer = "torch.nn.BatchNorm2d(4)"
        self.assertEqual(answer(layer, "keras")[1]["answer"], "evaluation-only")
        code, told = answer(layer, "keras", "--mode", "train")
        self.assertEqual((code, told["answer"]), (1, "none"))
        self.assertIn("biased (divided by N), not unbiased (divided by N - 1); running_var(", told["reason"])
        self.assertEqual(answer(layer, "keras", "--mode", "eval")[1]["answer"], "exact")
        told = answer(layer, "tf.compat.v1.nn.fused_batch_norm")[1]
        self.assertEqual(told["answer"], "evaluation-only")
        self.assertTrue(any(note.startswith("in training another call is the same: ") and "is_training=True" in note
                            for note in told["notes"]), told["notes"])
        self.assertIn("biased (divided by N), not unbiased", answer(layer, "flax")[1]["reason"])
        told = answer(layer, "mindspore")[1]
        self.assertIn("a running statistic becomes 0.9 of the old and 0.1 of the batch's: momentum=0.1 there, momentum=0.9 here",
                      told["notes"])
        self.assertEqual([row["target"] for row in told["tensors"]], ["gamma", "beta", "moving_mean", "moving_variance"])

    def test_none(self):
        code, told = answer("torch.nn.Conv3d(4, 6, 3, groups=2)", "tensorflow")
        self.assertEqual((code, told["answer"], told["target"], told["verified"]), (1, "none", None, None))
        self.assertIn("(input-channels-mismatch, InvalidArgumentError)", told["reason"])

    def test_functions_take_shapes(self):
        told = answer("tf.nn.conv2d(x, w, 2, 'SAME')", "torch.nn.Conv2d", "--weight", "3x3x2x4", "--input", "1x8x8x2")[1]
        self.assertEqual((told["answer"], told["if"]), ("exact-if", "H mod 2 = 0 and W mod 2 = 0"))
        self.assertEqual(told["before"], ["x = torch.nn.functional.pad(x, (0, 1, 0, 1))"])
        self.assertEqual(told["tensors"], [{"role": "weight", "source": "filters", "target": "weight", "order": "HWIO -> OIHW"}])

    def test_text(self):
        code, out, err = translate("torch.nn.Conv1d(2, 3, 3)", "keras")
        self.assertEqual((code, err), (0, ""))
        self.assertNotIn("\x1b", out)
        words = [line.split()[0] for line in out.splitlines()]
        self.assertEqual(words[:4], ["answer", "layer", "input", "output"])
        self.assertIn("verified", words)
        self.assertIn("input     NCW -> NWC", out)
        self.assertIn("no --input was given", out)


class Cautions(unittest.TestCase):
    """What a framework's runtime refuses or gets wrong is proposed last, and said."""

    def test_amounts_before_auto_pad(self):
        told = answer("torch.nn.Conv2d(3, 4, 3, padding=1)", "onnx")[1]
        self.assertIn("pads=[1, 1, 1, 1]", told["target"])
        self.assertNotIn("auto_pad", told["target"])

    def test_same_with_a_dilation(self):  # which ONNX Runtime refuses
        layer = "mindspore.nn.Conv1d(3, 4, 2, stride=2, dilation=2)"
        told = answer(layer, "onnx", "--input", "1x3x9")[1]
        self.assertEqual(told["answer"], "exact-if")
        self.assertIn("pads=", told["target"])

    def test_nodes_that_train(self):
        told = answer("keras.layers.BatchNormalization()", "onnx")[1]
        self.assertEqual(told["answer"], "evaluation-only")
        self.assertIn("training_mode=0", told["target"])
        self.assertTrue(any("outputs=['Y', 'running_mean', 'running_var']" in note for note in told["notes"]), told["notes"])

    def test_output_padding_of_mindspore(self):  # whose added rows lack the bias
        told = answer("torch.nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1)", "mindspore")[1]
        self.assertEqual(told["answer"], "exact")
        self.assertNotIn("output_padding=1", told["target"])


class CodeAround(unittest.TestCase):
    """What is inserted, as each framework writes it; the extents of the padding are the source's own."""

    def lines(self, source, target, *more):
        told = answer(source, target, *more)[1]
        self.assertTrue(told["answer"].startswith("exact"), told)
        return told["before"], told["behind"]

    def test_paddings(self):
        asymmetric = "onnx.helper.make_node('Conv', inputs=['X', 'W'], outputs=['Y'], pads=[0, 1, 2, 3])", "--weight", "2x2x3x3"
        def padded(target):
            return self.lines(asymmetric[0], target, *asymmetric[1:])[0]
        self.assertEqual(padded("torch.nn.Conv2d"), ["x = torch.nn.functional.pad(x, (1, 3, 0, 2))"])
        self.assertEqual(padded("keras"), ["x = keras.ops.pad(x, ((0, 0), (0, 2), (1, 3), (0, 0)))"])
        reflected = "torch.nn.Conv2d(2, 2, 3, padding=(1, 2), padding_mode='reflect', bias=False)"
        self.assertEqual(self.lines(reflected, "tf")[0], ["x = tf.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]], mode='REFLECT')"])
        self.assertEqual(self.lines(reflected, "mindspore.nn.Conv2d")[0],
                         ["x = mindspore.ops.pad(x, (2, 2, 1, 1), mode='reflect')"])
        self.assertEqual(self.lines(reflected, "onnx")[0],
                         ["pads = onnx.numpy_helper.from_array(numpy.array([0, 0, 1, 2, 0, 0, 1, 2], dtype=numpy.int64), 'pads')",
                          "onnx.helper.make_node('Pad', ['x', 'pads'], ['X'], mode='reflect')"])
        replicated = "torch.nn.Conv1d(2, 2, 3, padding=2, padding_mode='replicate', bias=False)"
        self.assertEqual(self.lines(replicated, "tf")[0],
                         ["x = tf.concat([tf.repeat(x[:, :1], 2, axis=1), x, tf.repeat(x[:, -1:], 2, axis=1)], axis=1)"])
        circular = "torch.nn.Conv1d(2, 2, 3, padding=2, padding_mode='circular', bias=False)"
        self.assertEqual(self.lines(circular, "keras")[0], ["x = keras.ops.concatenate([x[:, -2:], x, x[:, :2]], axis=1)"])

    def test_croppings_and_biases(self):
        self.assertEqual(self.lines("mindspore.nn.Conv1dTranspose(2, 3, 4, stride=3)", "torch"), ([], ["y = y[:, :, :-1]"]))
        self.assertEqual(self.lines("torch.nn.Conv1d(2, 3, 3)", "tf.nn.conv1d"), ([], ["y = tf.nn.bias_add(y, bias)"]))


class Weights(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.source, self.target = pathlib.Path(self.folder.name, "in.npz"), pathlib.Path(self.folder.name, "out.npz")

    def test_moved(self):
        weight = [float(i) for i in range(2 * 3 * 2 * 4)]  # O, I, H, W
        write_npz(self.source, {"conv1.weight": ((2, 3, 2, 4), weight), "conv1.bias": ((2,), [5.0, 6.0])})
        code, out, err = translate("torch.nn.Conv2d(3, 2, (2, 4))", "keras", "--weights", self.source, self.target)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("weight -> kernel: OIHW -> HWIO", out)
        moved = read_npz(self.target)
        self.assertEqual(moved["conv1.bias"], ((2,), (5.0, 6.0)))
        shape, values = moved["conv1.kernel"]
        self.assertEqual(shape, (2, 4, 3, 2))
        for h in range(2):
            for w in range(4):
                for i in range(3):
                    for o in range(2):
                        self.assertEqual(values[((h * 4 + w) * 3 + i) * 2 + o], weight[((o * 3 + i) * 2 + h) * 4 + w])

    def test_tensors_as_mindspore_has_them(self):
        # measured: its layers of one axis keep an axis of 1 in the weight, BatchNorm3d its tensors behind the name bn2d
        weight = [float(i) for i in range(3 * 2 * 4)]
        write_npz(self.source, {"c.weight": ((3, 2, 1, 4), weight)})
        code, out, err = translate("mindspore.nn.Conv1d(2, 3, 4)", "torch", "--weights", self.source, self.target)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("weight -> weight: OI1W -> OIW", out)
        self.assertEqual(read_npz(self.target), {"c.weight": ((3, 2, 4), tuple(weight))})
        write_npz(self.source, {"weight": ((2, 3, 4), weight)})
        self.assertEqual(translate("torch.nn.ConvTranspose1d(2, 3, 4, bias=False)", "mindspore", "--weights", self.source, self.target)[0], 0)
        self.assertEqual(read_npz(self.target), {"weight": ((2, 3, 1, 4), tuple(weight))})
        tensors = [row["target"] for row in answer("torch.nn.BatchNorm3d(4)", "mindspore")[1]["tensors"]]
        self.assertEqual(tensors, ["bn2d.gamma", "bn2d.beta", "bn2d.moving_mean", "bn2d.moving_variance"])

    def test_folded(self):
        write_npz(self.source, {"conv.weight": ((2, 1, 2), [1.0, 2.0, 3.0, 4.0]), "bn.weight": ((2,), [2.0, 3.0]),
                                "bn.bias": ((2,), [10.0, 20.0]), "bn.running_mean": ((2,), [1.0, -1.0]),
                                "bn.running_var": ((2,), [3.0, 8.0])})
        code, out, err = translate("torch.nn.Conv1d(1, 2, 2, bias=False)", "keras", "--fold", "torch.nn.BatchNorm1d(2, eps=1)",
                                   "--weights", self.source, self.target)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("use_bias=True", out)
        moved = read_npz(self.target)  # the scales are 2 / sqrt(3 + 1) and 3 / sqrt(8 + 1): both 1
        self.assertEqual(moved["conv.kernel"], ((2, 1, 2), (1.0, 3.0, 2.0, 4.0)))
        self.assertEqual(moved["conv.bias"], ((2,), (10.0 - 1.0, 20.0 + 1.0)))

    def test_no_fold_in_training(self):
        code, out, err = translate("torch.nn.Conv2d(3, 8, 3)", "keras", "--fold", "torch.nn.BatchNorm2d(8)", "--mode", "train")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("a fold holds in evaluation only", err)

    def test_folded_into_a_bias_of_its_own(self):
        tensors = {"c.bias": ((1,), [3.0]), "c.weight": ((1, 1, 1), [5.0]), "n.weight": ((1,), [4.0]), "n.bias": ((1,), [1.0]),
                   "n.running_mean": ((1,), [1.0]), "n.running_var": ((1,), [3.0])}
        call = ("torch.nn.Conv1d(1, 1, 1)", "torch.nn.Conv1d", "--fold", "torch.nn.BatchNorm1d(1, eps=1)", "--weights", self.source,
                self.target)
        write_npz(self.source, tensors)
        self.assertEqual(translate(*call)[0], 0)  # the scale is 4 / sqrt(3 + 1)
        self.assertEqual(read_npz(self.target), {"c.weight": ((1, 1, 1), (10.0,)), "c.bias": ((1,), (5.0,))})
        self.target.unlink()
        for missing in tensors:
            write_npz(self.source, {name: value for name, value in tensors.items() if name != missing})
            code, _, err = translate(*call)
            self.assertEqual((code, len(err.splitlines())), (2, 1), missing)
            self.assertFalse(self.target.exists())

    def test_nothing_is_written_where_something_is_wrong(self):
        layer = "torch.nn.Conv2d(3, 2, (2, 4))"
        for tensors, word in (({"weight": ((2, 3, 2, 5), [0.0] * 60), "bias": ((2,), [0.0] * 2)}, "shape"),
                              ({"weight": ((2, 3, 2, 4), [0.0] * 48)}, "missing"),
                              ({"weight": ((2, 3, 2, 4), [0.0] * 48), "bias": ((2,), [0.0] * 2), "gamma": ((2,), [0.0] * 2)}, "gamma")):
            write_npz(self.source, tensors)
            code, _, err = translate(layer, "keras", "--weights", self.source, self.target)
            self.assertEqual(code, 2)
            self.assertIn(word, err)
            self.assertEqual(len(err.splitlines()), 1)
            self.assertFalse(self.target.exists())
        write_npz(self.source, {"weight": ((6, 2, 3, 3, 3), [0.0] * 324), "bias": ((6,), [0.0] * 6)})
        code, _, _ = translate("torch.nn.Conv3d(4, 6, 3, groups=2)", "tensorflow", "--weights", self.source, self.target)
        self.assertEqual(code, 1)
        self.assertFalse(self.target.exists())


def field(number, payload):
    """A field of a protobuf message: a number, or bytes."""
    def varint(value):
        out = b""
        while True:
            value, low = value >> 7, value & 127
            out += bytes([low | (128 if value else 0)])
            if not value:
                return out
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def onnx_model():
    """Conv_0 of 2 channels, 3 filters of 2 taps, stride 2, and a Relu behind it, of operator set 17."""
    ints = field(1, "strides") + field(8, 2) + field(20, 7)
    conv = b"".join(field(1, name) for name in "xwb") + field(2, "y") + field(3, "Conv_0") + field(4, "Conv") + field(5, ints)
    relu = field(1, "y") + field(2, "z") + field(3, "Relu_0") + field(4, "Relu")
    weight = b"".join(field(1, n) for n in (3, 2, 2)) + field(2, 1) + field(8, "w") + field(9, struct.pack("<12f", *range(12)))
    bias = field(1, 3) + field(2, 1) + field(8, "b") + field(9, struct.pack("<3f", 7, 8, 9))
    shape = b"".join(field(1, field(1, n)) for n in (1, 2, 9))
    x = field(1, "x") + field(2, field(1, field(1, 1) + field(2, shape)))
    graph = field(1, conv) + field(1, relu) + field(2, "g") + field(5, weight) + field(5, bias) + field(11, x)
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def test_onnx(self):
        model = self.path / "model.onnx"
        model.write_bytes(onnx_model())
        for source in (model, f"{model}:Conv_0"):
            code, told = answer(source, "torch", "--weights", "-", self.path / "out.npz")
            self.assertEqual((code, told["answer"], told["input"]), (0, "exact", "(1, 2, 9)"))
            self.assertTrue(told["target"].startswith("torch.nn.Conv1d(2, 3, 2, stride=2, padding='valid'"), told["target"])
            self.assertEqual(read_npz(self.path / "out.npz"), {"weight": ((3, 2, 2), tuple(map(float, range(12)))),
                                                               "bias": ((3,), (7.0, 8.0, 9.0))})
        for node, word in (("Relu_0", "Relu_0 is a Relu"), ("Conv_1", "no node Conv_1")):
            code, _, err = translate(f"{model}:{node}", "torch")
            self.assertEqual(code, 2)
            self.assertIn(word, err)

    def test_yaml(self):
        layer = self.path / "layer.yaml"
        layer.write_text("{dialect: tensorflow, operator: nn.conv1d, params: {stride: 2, padding: VALID}, weight: {shape: [3, 4, 5]}}")
        told = answer(layer, "torch.nn.Conv1d")[1]
        self.assertEqual(told["answer"], "exact")
        self.assertTrue(told["target"].startswith("torch.nn.Conv1d(4, 5, 3, stride=2"))


class BadInput(unittest.TestCase):
    def test_one_line_says_what_is_wrong(self):
        conv = "torch.nn.Conv2d(3, 8, 3)"
        for arguments, word in (((conv, "nothing"), "there is no dialect and no operator 'nothing'"),
                                ((conv, "torch.nn.Conv2D"), "did you mean torch.nn.Conv2d?"),
                                (("torch.nn.Conv2d(3, 8", "onnx"), "column"),
                                (("torch.nn.Conv2d(3, 8, 3, strid=2)", "onnx"), "stride"),
                                (("torch.nn.Conv2d(3, 8, 3, stride=2, padding='same')", "onnx"), "same-needs-unit-stride"),
                                ((conv, "onnx", "--input", "1x4x9x9"), "input-channels-mismatch"),
                                ((conv, "onnx", "--input", "1x4xq"), "no shape"),
                                ((conv, "onnx", "--input", "99999999999999999999"), "too large"),
                                ((conv, "onnx", "--weight", "3x3"), "takes no tensors"),
                                (("tf.nn.conv2d(x, w, 2, 'SAME')", "torch"), "--weight SHAPE"),
                                ((conv, "onnx", "--dialect", "none"), "there is no dialect"),
                                ((conv, "onnx", "--fold", conv), "--fold takes a batch normalization"),
                                ((conv, "onnx", "--fold", "torch.nn.BatchNorm2d(9)"), "refuses the convolution's output"),
                                ((conv, "onnx", "--weights", "-", "out.npz"), "ONNX file"),
                                ((conv, "onnx", "--weights", "/nonexistent.npz", "out.npz"), "/nonexistent.npz"),
                                (("/nonexistent.yaml", "onnx"), "/nonexistent.yaml"),
                                (("/nonexistent.onnx:a", "torch"), "/nonexistent.onnx")):
            with self.subTest(arguments):
                code, out, err = translate(*arguments)
                self.assertEqual((code, out), (2, ""))
                self.assertIn(word, err)
                self.assertEqual(len(err.splitlines()), 1, err)

    def test_usage(self):
        for arguments in ((), ("torch.nn.Conv2d(3, 8, 3)",), ("a", "b", "c"), ("a", "b", "--mode", "never"),
                          ("a", "b", "--type", "f8"), ("a", "b", "--format", "xml"), ("a", "b", "--weights", "in.npz")):
            self.assertEqual(translate(*arguments)[0], 2, arguments)


if __name__ == "__main__":
    unittest.main()
