#!/usr/bin/env python3
"""Hostile and broken case files, run and linted by the real program.

Whatever the input: no crash, bounded time and memory, exit code 2, and on the standard error (lint: the standard output)
one line for each problem, `FILE:LINE:COLUMN: rule: what is wrong`, without a raw control character. Lint goes on with
the other files. Needs Python's standard library only; run by CTest with CONVBN in the environment.
"""

import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

CONVBN = os.environ.get("CONVBN", "build/release/bin/convbn")
SANITIZED = any(name in pathlib.Path(CONVBN).read_bytes() for name in (b"__asan_init", b"__ubsan_handle"))
ADDRESS_SPACE = 3 << 30  # of the program, where no sanitizer reserves terabytes
SECONDS = 60 if SANITIZED else 15
HEADER = "format: 1\ndialect: pytorch\noperator: nn.Conv2d\nsource: by hand\n"
CASE = """cases:
  - id: t/good
    comment: three doubled
    flags: [Doubling]
    params: {in_channels: 1, out_channels: 1, kernel_size: 1, bias: false}
    tensors:
      input:  {shape: [1, 1, 1, 3], values: [1, 2, 3]}
      weight: {shape: [1, 1, 1, 1], values: [2]}
    expect: {output: {shape: [1, 1, 1, 3], values: [2, 4, 6]}}
"""
GOOD = HEADER + CASE
STEPS = """format: 1
dialect: pytorch
operator: nn.BatchNorm2d
source: "PyTorch, a test"
recorded: 2026-01-01
cases:
  - id: t/steps
    comment: a program of two calls
    layout: channels_last
    source: by hand
    params: {num_features: 1, momentum: 0.25, eps: 0.25}
    tensors:
      weight: {shape: [1], values: [1]}
      bias: {shape: [1], fill: {kind: ones}}
      running_mean: {shape: [1], fill: {kind: integers, seed: 3, low: 0, high: 0}}
      running_var: {shape: [1], type: f32, values: [0x1p0]}
    steps:
      - {mode: eval, input: {shape: [2, 1, 1, 1], values: [[[[0]]], [[[1]]]]}, expect: {output: {shape: [2, 1, 1, 1]}}}
      - {mode: train, input: {shape: [2, 1, 1, 1], fill: {kind: impulse, index: [1, 0, 0, 0]}}, expect: {running_mean: {shape: [1]}}}
    documented:
      - {document: a page, claim: it says so, status: confirmed, by: reading}
    upstream:
      - {engine: one, note: wrong, observed: {rejected: {rule: input-rank, exception: ValueError, message: no}}}
"""
LINE = re.compile(r"^(?P<file>[^\n]*?)(:(?P<line>\d+):(?P<column>\d+))?: (?P<rule>[a-z][a-z-]*): (?P<text>.+)$")
# C0 but for newline and tab, DEL, C1, the bidirectional controls, line and paragraph separators, byte order mark.
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def limit():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


class BadInput(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.tree = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.tree, ignore_errors=True)
        (self.tree / "flags.yaml").write_text("Doubling: {summary: twice, effect: none}\n")

    def write(self, text, name="case.yaml"):
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def convbn(self, *arguments, seconds=SECONDS, user=None, limited=True):
        """Runs the program; it must end by itself, in time, without a signal, with clean output."""
        start = time.monotonic()
        try:
            ended = subprocess.run([CONVBN, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                                   timeout=seconds, preexec_fn=limit if limited else None, user=user, check=False)
        except subprocess.TimeoutExpired:
            self.fail(f"{arguments}: not finished after {seconds} s")
        self.elapsed = time.monotonic() - start
        out, err = ended.stdout.decode(errors="surrogateescape"), ended.stderr.decode(errors="surrogateescape")
        self.assertIn(ended.returncode, range(6), f"{arguments}: {ended.returncode}\n{out[-500:]}\n{err[-3000:]}")
        for text in out, err:
            raw = RAW.search(text)
            self.assertIsNone(raw, f"{arguments}: raw {raw and raw.group()!r} in {text[:400]!r}")
        return ended.returncode, out, err

    def refused(self, source, rule, place=None, words=(), name="case.yaml", path=None):
        """Both commands refuse the file with that rule as the only problem, `place` being (line, column)."""
        path = path or self.write(source, name)
        code, out, err = self.convbn("run", path)
        self.assertEqual((code, out), (2, ""), f"{source!r:.300}\n{err}")
        lines = err.splitlines()
        self.assertEqual(len(lines), 1, f"{source!r:.300}\n{err}")
        said = LINE.match(lines[0])
        self.assertTrue(said, err)
        self.assertEqual((said["file"][-300:], said["rule"]), (str(path)[-300:], rule), err)
        if place:
            self.assertEqual((int(said["line"]), int(said["column"])), place, err)
        for word in words:
            self.assertIn(word, said["text"])
        code, out, _ = self.convbn("lint", path)
        self.assertEqual(code, 2)
        self.assertIn(lines[0], out)
        return said["text"]

    # ------------------------------------------------------------------------------------------------------ syntax

    def test_what_is_right_is_right(self):
        """The cases that the other tests break are in order."""
        self.assertEqual(self.convbn("lint", self.write(GOOD))[:2], (0, "1 cases in 1 files: 0 problems\n"))
        self.assertEqual(self.convbn("run", self.write(GOOD))[0], 0)
        code, out, _ = self.convbn("lint", self.write(STEPS, "steps.yml"))
        self.assertEqual((code, out), (0, "1 cases in 1 files: 0 problems\n"))
        self.assertEqual(self.convbn("run", self.tree)[0], 0)

    def test_malformed_yaml(self):
        for source, rule, place in [
                ("a: [1, 2\n", "syntax", None),
                ("a: 'x\n", "syntax", None),
                ("\ta: 1\n", "syntax", (1, 1)),
                ("a: 1\n b: 2\n", "syntax", None),
                ("a: *nowhere\n", "alias", (1, 4)),
                ("", "empty", None),
                ("# a comment\n", "empty", None),
                ("---\na: 1\n---\nb: 2\n", "documents", None),
                ("a: 1\na: 2\n", "duplicate-key", (2, 1)),
                ("<<: {a: 1}\n", "merge-key", (1, 1)),
                ("a: !!python/object:os.system x\n", "tag", None),
                ("? [1]\n: 2\n", "key", None),
                ("&a [*a]\n", "alias", None),
                ("- 1\n", "type", (1, 1)),
                ("42\n", "type", (1, 1)),
        ]:
            with self.subTest(source=source):
                self.refused(source, rule, place)

    def test_bytes_that_are_no_text(self):
        for source in [b"\xff\xfe", b"\x00", b"format: 1\x00\n", b"format: \xc3\x28\n", b"a: \xed\xa0\x80\n", b"a: \xc0\x80\n",
                       b"a: \x1b[31m\n", b"a: \x7f\n", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), bytes(range(256)) * 40,
                       GOOD.encode("utf-16")[:-1]]:
            with self.subTest(source=source[:20]):
                self.refused(source, "syntax")

    def test_every_prefix_of_a_file(self):
        """Truncated files are refused, or (after a whole case) in order; never more than that."""
        step = 53 if SANITIZED else 13
        for whole in GOOD, STEPS:
            for length in range(0, len(whole), step):
                path = self.write(whole[:length])
                code, out, err = self.convbn("run", path)
                self.assertIn(code, (0, 1, 2), whole[:length])
                if code == 2:
                    self.assertEqual((len(err.splitlines()), out), (1, ""), whole[:length])
                    self.assertTrue(LINE.match(err.rstrip("\n")), err)

    def test_one_broken_byte_anywhere(self):
        """A byte of the file replaced: no crash, no silence."""
        step = 151 if SANITIZED else 29
        for at in range(0, len(STEPS), step):
            for byte in "{", "]", "'", "\x00", "-", "9":
                code, out, err = self.convbn("lint", self.write(STEPS[:at] + byte + STEPS[at + 1:]))
                self.assertIn(code, (0, 2))
                self.assertEqual(err, "")
                self.assertEqual(code == 0, out.endswith(" 0 problems\n"))

    # -------------------------------------------------------------------------------------------- keys and their types

    # Where each level of STEPS and GOOD begins, as a text that stands there once; the level's name in messages.
    LEVELS = [
        (STEPS, "format: 1\n", "stray: 1\nformat: 1\n"),
        (STEPS, "format: 1\n", 'format: 1\n"format\\0": 1\n'),
        (STEPS, "- id: t/steps", "- stray: 1\n    id: t/steps"),
        (STEPS, "tensors:\n", "tensors:\n      stray: {shape: [1], values: [1]}\n"),
        (STEPS, "weight: {", "weight: {stray: 1, "),
        (STEPS, "fill: {kind: ones", "fill: {stray: 1, kind: ones"),
        (STEPS, "fill: {kind: ones", "fill: {seed: 1, kind: ones"),
        (STEPS, "fill: {kind: integers", "fill: {bits: 1, kind: integers"),
        (STEPS, "{mode: eval", "{stray: 1, mode: eval"),
        (STEPS, "expect: {output: {", "expect: {stray: 1, output: {"),
        (STEPS, "expect: {output: {", "expect: {acceptable: {stray: 1}, output: {"),
        (STEPS, "{document: a page", "{stray: 1, document: a page"),
        (STEPS, "{engine: one", "{stray: 1, engine: one"),
        (STEPS, "{rule: input-rank", "{stray: 1, rule: input-rank"),
        (STEPS, "observed: {", "observed: {stray: 1, "),
        (STEPS, "expect: {output: {", "expect: {bias: {shape: [1]}, output: {"),
        (STEPS, "weight: {shape", "output: {shape: [1], values: [1]}\n      weight: {shape"),
    ]

    def test_unknown_keys_at_each_level(self):
        for whole, there, instead in self.LEVELS:
            with self.subTest(instead=instead):
                self.assertEqual(whole.count(there), 1)
                self.refused(whole.replace(there, instead), "unknown-key")

    def test_missing_keys(self):
        for whole, there, word in [
                (GOOD, "format: 1\n", "format"), (GOOD, "dialect: pytorch\n", "dialect"), (GOOD, "operator: nn.Conv2d\n", "operator"),
                (GOOD, "source: by hand\n", "source"), (GOOD, "    expect: {output: {shape: [1, 1, 1, 3], values: [2, 4, 6]}}\n", "expect"),
                (GOOD, "shape: [1, 1, 1, 1], ", "shape"), (STEPS, "document: a page, ", "document"), (STEPS, "claim: it says so, ", "claim"),
                (STEPS, "status: confirmed, ", "status"), (STEPS, ", by: reading", "by"), (STEPS, "engine: one, ", "engine"),
                (STEPS, "note: wrong, ", "note")]:
            with self.subTest(there=there):
                self.assertEqual(whole.count(there), 1)
                self.refused(whole.replace(there, ""), "missing-key", words=[f"'{word}'" if word != "shape" else word])
        self.refused(GOOD.replace("  - id: t/good\n    comment", "  - comment"), "missing-key", words=["'id'"])
        self.refused(HEADER, "no-cases")
        self.refused(HEADER + "cases: []\n", "no-cases")

    WRONG = ["null", "true", "7", "1.5", "text", "''", "[]", "[[]]", "{}", "[null]", "{a: 1}", ".nan", "99999999999999999999"]
    # A key with its value in GOOD or STEPS, and the wrong values above that are right there.
    KEYS = [
        (GOOD, "format: 1\n", []), (GOOD, "dialect: pytorch\n", []), (GOOD, "operator: nn.Conv2d\n", []),
        (GOOD, "source: by hand\n", ["text"]), (GOOD, "id: t/good\n", ["text"]), (GOOD, "comment: three doubled\n", ["text"]),
        (GOOD, "flags: [Doubling]\n", ["text", "''", "[]"]), (GOOD, "shape: [1, 1, 1, 1]", []), (GOOD, "values: [2]", []),
        (GOOD, "kernel_size: 1", ["true"]), (STEPS, "layout: channels_last\n", []),
        (STEPS, "mode: eval", []), (STEPS, "type: f32", []), (STEPS, "fill: {kind: ones}", []), (STEPS, "kind: ones", []),
        (STEPS, "seed: 3", ["7"]), (STEPS, "low: 0", []), (STEPS, "index: [1, 0, 0, 0]", []), (STEPS, "document: a page", ["text"]),
        (STEPS, "claim: it says so", ["text"]), (STEPS, "status: confirmed", []), (STEPS, "by: reading", ["text"]),
        (STEPS, "engine: one", ["text"]), (STEPS, "note: wrong", ["text"]), (STEPS, "rule: input-rank", []),
        (STEPS, "exception: ValueError", ["text"]), (STEPS, "message: no", ["text"]),
        (STEPS, "observed: {rejected: {rule: input-rank, exception: ValueError, message: no}}", []),
        (STEPS, "rejected: {rule: input-rank, exception: ValueError, message: no}", ["{}"]),
        (STEPS, "weight: {shape: [1], values: [1]}", []),
    ]

    def test_wrong_types_at_each_key(self):
        """Of the parameters the framework says what it takes: there the case is refuted. All else is refused."""
        for number, (whole, there, right) in enumerate(self.KEYS):
            self.assertEqual(whole.count(there), 1, there)
            key = there.split(":", maxsplit=1)[0]
            for wrong in self.WRONG[number % 3::3 if SANITIZED else 2]:  # from key to key others
                if wrong in right:
                    continue
                with self.subTest(key=key, wrong=wrong):
                    source = whole.replace(there, f"{key}: {wrong}" + ("\n" if there.endswith("\n") else ""))
                    code, out, err = self.convbn("run", self.write(source))
                    if key == "kernel_size":
                        self.assertIn(code, (1, 2), err)
                        continue
                    self.assertEqual((code, len(err.splitlines())), (2, 1), f"{source}\n{out}{err}")
                    said = LINE.match(err.rstrip("\n"))
                    self.assertTrue(said and said["line"], err)

    def test_maps_and_lists_of_the_wrong_type(self):
        head, tail = GOOD.split("cases:\n")
        for wrong in self.WRONG:
            with self.subTest(wrong=wrong):
                for source in (f"{head}cases: {wrong}\n", f"{head}cases: [{wrong}]\n", re.sub(r"params: {.*}", f"params: {wrong}", GOOD),
                               re.sub(r"tensors:\n.*\n.*\n", f"tensors: {wrong}\n", GOOD), re.sub(r"expect: {.*}", f"expect: {wrong}", GOOD),
                               re.sub(r"steps:\n.*\n.*\n", f"steps: {wrong}\n", STEPS),
                               re.sub(r"steps:\n.*\n.*\n", f"steps: [{wrong}]\n", STEPS),
                               re.sub(r"documented:\n.*\n", f"documented: [{wrong}]\n", STEPS),
                               re.sub(r"upstream:\n.*\n", f"upstream: [{wrong}]\n", STEPS)):
                    code, out, err = self.convbn("run", self.write(source))
                    if code == 1 and "params: {" in source:  # an empty map is a map: the layer lacks its parameters
                        self.assertIn("golden-refuted", out)
                        continue
                    self.assertEqual((code, len(err.splitlines())), (2, 1), f"{source}\n{out}{err}")
                    if out:  # the file was read, and a parameter is one that the layer does not have
                        self.assertIn("unknown-parameter", err)
        self.assertTrue(tail)

    # ----------------------------------------------------------------------------------------------------- programs

    def test_steps_that_change_what_cannot_change(self):
        norm = """format: 1
dialect: DIALECT
operator: nn.BatchNorm2d
source: by hand
cases:
  - id: t/t/program
    comment: a program
    params: {num_features: 1}
    tensors: {input: {shape: [1, 1, 1, 2], values: [1, 3]}}
    steps:
      - STEP
        expect: {output: {shape: [1, 1, 1, 2]}}
"""
        for dialect, step, rule, words in [
                ("pytorch", "params: {num_features: 2}", "params", ["num_features", "does not let"]),
                ("pytorch", "params: {affine: false}", "params", ["affine"]),
                ("pytorch", "params: [1]", "type", ["map"]),
                ("pytorch", "reset: 1", "type", ["reset"]),
                ("mindspore", "reset: true", "reset", ["no way to reset"]),
                ("mindspore", "params: {momentum: 0.5}", "params", ["momentum"]),
                ("pytorch", "tensors: {input: {shape: [1], values: [1]}}", "unknown-key", ["input"]),
                ("pytorch", "tensors: {running_mean: {shape: [2], values: [1, 2]}}", "shape", ["running_mean"]),
                ("pytorch", "tensors: {running_mean: {shape: [1], type: f64, values: [1]}}", "type", ["running_mean"]),
                ("pytorch", "load: {}", "unknown-key", ["load"]),
        ]:
            with self.subTest(dialect=dialect, step=step):
                source = norm.replace("DIALECT", dialect).replace("STEP", step)
                code, out, err = self.convbn("run", self.write(source))
                self.assertEqual((code, len(err.splitlines())), (2, 1), f"{out}{err}")
                self.assertIn(f": {rule}: ", err)
                for word in words:
                    self.assertIn(word, err)

    def test_gradients_without_a_grad_output(self):
        source = GOOD.replace("expect: {", "expect: {grad_input: {shape: [1, 1, 1, 3]}, ")
        self.assertNotEqual(source, GOOD)
        code, out, err = self.convbn("run", self.write(source))
        self.assertEqual((code, len(err.splitlines())), (2, 1), f"{out}{err}")
        self.assertIn("there is no 'grad_output'", err)

    def test_a_parameter_that_the_layer_does_not_have(self):
        source = GOOD.replace("kernel_size", "kernel_sise")
        self.assertNotEqual(source, GOOD)
        code, out, err = self.convbn("run", self.write(source))
        self.assertEqual((code, len(err.splitlines())), (2, 1), f"{out}{err}")
        line = 1 + source[:source.index("kernel_sise")].count("\n")
        self.assertIn(f":{line}:", err)
        self.assertIn("unknown-parameter: there is no parameter 'kernel_sise'", err)

    def test_in_place_convolution(self):
        source = GOOD.replace("    params:", "    in_place: true\n    params:")
        self.assertNotEqual(source, GOOD)
        code, out, err = self.convbn("run", self.write(source))
        self.assertEqual((code, len(err.splitlines())), (2, 1), f"{out}{err}")
        self.assertIn("only a batch normalization", err)

    # ------------------------------------------------------------------------------------------------ tensors and ids

    def test_tensors_that_do_not_fit(self):
        tensor = "input:  {shape: [1, 1, 1, 3], values: [1, 2, 3]}"
        for instead, rule, words in [
                ("", "missing-tensor", ["input"]),
                ("input: {shape: [1, 1, 1, 3]}", "missing-tensor", ["input"]),
                ("input: {shape: [1, 1, 1, 3], values: [1, 2]}", "value-count", ["3 elements, got 2"]),
                ("input: {shape: [1, 1, 1, 3], values: [1, 2, 3, 4]}", "value-count", ["got 4"]),
                ("input: {shape: [1, 1, 1, 3], values: []}", "value-count", ["got 0"]),
                ("input: {shape: [1, 1, 1, 3], values: [[[[1, 2]]]]}", "value-count", []),
                ("input: {shape: [1, 1, 1, 3], values: [[1, 2, 3]]}", "value-count", ["axis 1"]),
                ("input: {shape: [1, 1, 1, 3], values: [1, 2, [3]]}", "values", []),
                ("input: {shape: [1, 1, 1, 3], values: [1, 2, x]}", "values", ["string"]),
                ("input: {shape: [1, 1, 1, 3], values: [1, 2, true]}", "values", ["boolean"]),
                ("input: {shape: [1, 1, 1, 3], values: [1, 2, 3], fill: {kind: ones}}", "tensor", []),
                ("input: {shape: [1, 1, 1, 3], type: int8, values: [1, 2, 3]}", "tensor", []),
                (tensor + "\n      grad_output: {shape: [1, 1, 1, 3], type: f64, values: [1, 2, 3]}", "type", ["grad_output"]),
                (tensor + "\n      grad_output: {shape: [1, 1, 1, 2], values: [1, 2]}", "shape", ["grad_output"]),
                (tensor + "\n      grad_output: {shape: [1, 1, 1, 3]}", "missing-tensor", ["grad_output"]),
                ("input: {shape: [1, 1, 1, -3], values: [1, 2, 3]}", "shape", []),
                ("input: {shape: [], values: [1]}", "shape", []),
                ("input: {shape: [1, 1, 1, 1, 1, 1, 1, 1, 3], values: [1, 2, 3]}", "shape", ["9"]),
                ("input: {shape: [1, 1, 1, 3.0], values: [1, 2, 3]}", "shape", []),
                ("input: {shape: [1, 1, 1, 4611686018427387904], fill: {kind: ones}}", "shape", ["overflows"]),
                ("input: {shape: [1, 1, 1, 9223372036854775807], fill: {kind: ones}}", "shape", ["overflows"]),
                ("input: {shape: [1, 1, 1, 9223372036854775808], fill: {kind: ones}}", "shape", []),
                ("input: {shape: [1, 1, 1, -9223372036854775808], fill: {kind: ones}}", "shape", []),
                ("input: {shape: [1, 1, 4294967296, 4294967296], fill: {kind: ones}}", "shape", ["overflows"]),
                ("input: {shape: [0, 1, 4294967296, 4294967296], fill: {kind: ones}}", "shape", ["overflows"]),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: uniform}}", "fill", []),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: integers, low: 5}}", "fill", ["low"]),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: integers, low: -9223372036854775808, high: 9223372036854775807}}", "fill", []),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: integers, seed: -1}}", "fill", ["seed"]),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: exact, bits: 64}}", "fill", ["bits"]),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: exact, shift: 1024}}", "fill", ["shift"]),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: exact, density: .nan}}", "fill", ["density"]),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: impulse, index: [0, 0, 0, 3]}}", "fill", ["index"]),
                ("input: {shape: [1, 1, 1, 3], fill: {kind: impulse, index: [0, 0, 0]}}", "fill", ["index"]),
                ("input: {shape: [1, 1, 1, 3], npy: no.npy}", None, []),
                ("input: {npy: /etc/passwd}", None, []),
                ("input: {npy: ../case.npy}", None, []),
                ("input: {npy: short.npy}", None, []),
                ("input: {npy: random.npy}", None, []),
                ("input: {npy: .}", None, []),
                ("input: {npy: fifo.npy}", None, []),
                ("input: {npy: ''}", None, []),
                ("input: no.npy", None, []),
                ('input: "short.npy\\0x"', "type", ["input"]),
                ('input: {npy: "short.npy\\0x"}', "type", ["npy"]),
                ('input: {shape: [1, 1, 1, 3], type: "f32\\0x", values: [1, 2, 3]}', "tensor", ["f32"]),
                ('input: {shape: [1, 1, 1, 3], fill: {kind: "ones\\0x"}}', "fill", ["kind"]),
                ('input: {shape: [1, 1, 1, 3], fill: {kind: integers, "low\\0x": 1}}', "unknown-key", ["low"]),
                ('input: {shape: [1, 1, 1, 3], fill: {kind: impulse, "index\\0x": [0, 0, 0, 0]}}', "unknown-key", ["index"]),
                ('input: {shape: [1, 1, 1, 3], values: [1, 2, "3\\0x"]}', "values", ["string"]),
        ]:
            with self.subTest(instead=instead):
                header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 3), }"
                self.write(header.ljust(127) + b"\n" + b"\0" * 11, "short.npy")
                self.write(os.urandom(1000), "random.npy")
                if not (self.tree / "fifo.npy").exists():
                    os.mkfifo(self.tree / "fifo.npy")
                source = GOOD.replace(tensor, instead)
                code, out, err = self.convbn("run", self.write(source))
                lines = err.splitlines()
                self.assertEqual((code, len(lines)), (2, 1), f"{out}{err}")
                said = LINE.match(lines[0])
                self.assertTrue(said and said["line"], err)
                if rule:
                    self.assertEqual(said["rule"], rule, err)
                for word in words:
                    self.assertIn(word, said["text"])

    def test_huge_shapes_need_no_memory(self):
        """Everything is counted before it is allocated."""
        for shape, kernel, expected in [
                ("[1, 1, 1, 1152921504606846975]", 1, {2, 4}),
                ("[1, 1, 1000000, 1000000]", 1, {2, 4}),
                ("[1, 1, 1, 2000000000]", 1, {2, 4}),
                ("[0, 1, 1, 4611686018427387904]", 1, {5}),  # the fast engine takes no extent above 2^40
                ("[1, 1, 3, 3]", 1000000000, {1, 2}),
        ]:
            for large in [], ["--large"]:
                with self.subTest(shape=shape, large=large):
                    source = GOOD.replace("shape: [1, 1, 1, 3], values: [1, 2, 3]", f"shape: {shape}, fill: {{kind: ones}}", 1)
                    source = source.replace("kernel_size: 1", f"kernel_size: {kernel}")
                    code, _, err = self.convbn("run", self.write(source), *large)
                    self.assertIn(code, expected, err)
                    self.assertLess(self.elapsed, SECONDS)

    def test_channels_without_end(self):
        """Empty tensors with 2^62 channels: the vectors that have one value for each channel do not fit."""
        huge = 1 << 62
        conv = HEADER + f"""cases:
  - id: t/bias
    comment: no input channels, output channels without end
    params: {{in_channels: 0, out_channels: {huge}, kernel_size: 1}}
    tensors: {{input: {{shape: [0, 0, 1, 1], values: []}}, weight: {{shape: [1], values: [1]}}, bias: {{shape: [1], values: [1]}}}}
    expect: {{output: {{shape: [0, {huge}, 1, 1]}}}}
"""
        norm = f"""format: 1
dialect: mindspore
operator: nn.BatchNorm2d
source: by hand
cases:
  - id: t/channels
    comment: channels without end
    params: {{num_features: {huge}}}
    mode: train
    tensors: {{input: {{shape: [0, {huge}, 1, 1], values: []}}}}
    expect: {{rejected: {{rule: extent-overflow}}}}
"""
        for source in conv, norm:
            with self.subTest(source=source):
                path = self.write(source)
                for command in "run", "lint":
                    self.assertIn(self.convbn(command, path)[0], (0, 1, 2))

    def test_features_without_end(self):
        """An empty input has fewer channels than the layer, whose statistics are counted all the same."""
        for features in 200_000_000, 1 << 62:
            path = self.write(f"""format: 1
dialect: pytorch
operator: nn.BatchNorm2d
source: by hand
cases:
  - id: t/features
    comment: features without end
    params: {{num_features: {features}, affine: false}}
    tensors: {{input: {{shape: [0, 3, 2, 2], values: []}}}}
    expect: {{output: {{shape: [0, 3, 2, 2]}}}}
""")
            for command in "run", "lint":
                with self.subTest(features=features, command=command):
                    code, out, err = self.convbn(command, path)
                    self.assertEqual(code, 2, err)
                    self.assertIn(":6:1: memory-limit: t/features needs ", out if command == "lint" else err)

    def test_ids_are_unique(self):
        twice = GOOD + CASE.removeprefix("cases:\n")
        self.refused(twice, "duplicate-id", (14, 1), ["t/good", ":6"])
        self.write(GOOD, "folder/a.yaml")
        self.write(GOOD, "folder/b.yaml")
        code, out, err = self.convbn("run", self.tree / "folder")
        self.assertEqual((code, out), (2, ""))
        self.assertRegex(err, r"b\.yaml:6:1: duplicate-id: .*t/good.*a\.yaml:6")
        self.assertEqual(self.convbn("run", self.tree / "folder/a.yaml", self.tree / "folder/a.yaml")[0], 2)

    def test_ids_are_plain(self):
        for bad in "a b", "a(b", "ü", "a\\eb", "a\\u202eb", "x" * 201, "a\\nb", "$(x)", "a\\0b":
            with self.subTest(id=bad):
                self.refused(GOOD.replace("id: t/good", f'id: "{bad}"'), "id" if "\\0" not in bad else "type")
        self.assertEqual(self.convbn("run", self.write(GOOD.replace("t/good", "A/z-0_9.+" + "x" * 191)))[0], 0)

    def test_relations_name_cases(self):
        source = GOOD.replace("expect: {", "expect: {same_as: t/nowhere, ")
        code, out, _ = self.convbn("lint", self.write(source))
        self.assertEqual(code, 2)
        self.assertRegex(out, r"case\.yaml:6:1: relation: .*t/nowhere")
        self.assertEqual(self.convbn("run", self.write(source))[0], 1)

    # ------------------------------------------------------------------------------------------------ files, folders

    def test_paths_that_are_no_case_files(self):
        (self.tree / "empty").mkdir()
        (self.tree / "other").mkdir()
        self.write("not a case", "other/notes.txt")
        self.write(GOOD, "other/.hidden.yaml")
        fifo = self.tree / "fifo.yaml"
        os.mkfifo(fifo)
        (self.tree / "dangling.yaml").symlink_to("nowhere")
        (self.tree / "round.yaml").symlink_to("round.yaml")
        for path, rule in [(self.tree / "empty", "no-cases"), (self.tree / "other", "no-cases"), (self.tree / "missing", "file"),
                           (fifo, "file"), (self.tree / "dangling.yaml", "file"), (self.tree / "round.yaml", "file"),
                           (pathlib.Path("/dev/null"), "file"), (pathlib.Path("/dev/zero"), "file"),
                           (self.tree / "case.yaml/below", "file"), (pathlib.Path("/" + "x" * 5000), "file")]:
            with self.subTest(path=str(path)[:100]):
                self.refused("", rule, path=path)
        self.assertEqual(self.convbn("run", "")[0], 2)
        # In a folder such entries are named, and the rest is still read.
        self.write(GOOD, "good.yaml")
        code, out, _ = self.convbn("lint", self.tree)
        self.assertEqual(code, 2)
        for name in "fifo.yaml", "dangling.yaml", "round.yaml":
            self.assertIn(name, out)
        self.assertRegex(out, r"\n1 cases in \d+ files: [34] problems\n$")

    def test_a_folder_that_holds_itself(self):
        self.write(GOOD, "a/b/good.yaml")
        (self.tree / "a/b/again").symlink_to(self.tree / "a")
        (self.tree / "a/b/dot").symlink_to(".")
        self.assertEqual(self.convbn("lint", self.tree / "a")[:2], (0, "1 cases in 1 files: 0 problems\n"))

    def test_a_folder_of_folders(self):
        self.write(GOOD, "/".join(["d"] * 100).lstrip("/") + "/good.yaml")
        code, out, _ = self.convbn("lint", self.tree / "d")
        self.assertEqual(code, 2)
        self.assertIn("folder: ", out)

    def test_files_that_may_not_be_read(self):
        path = self.write(GOOD)
        path.chmod(0)
        user = None
        if os.geteuid() == 0:
            user = 65534
            self.tree.chmod(0o755)
            try:
                if subprocess.run([CONVBN, "--version"], user=user, capture_output=True, check=False).returncode != 0:
                    self.skipTest("another user cannot run the program")
            except (PermissionError, OSError):
                self.skipTest("root cannot become another user here")
        code, out, err = self.convbn("run", path, user=user)
        self.assertEqual((code, out, len(err.splitlines())), (2, "", 1), err)
        self.assertIn("ermission denied", err)

    def test_lint_goes_on_with_the_other_files(self):
        broken = {"a.yaml": "a: [", "b.yaml": "format: 2\n", "c.yaml": GOOD.replace("values: [2]", "values: [2, 2]"),
                  "d.yaml": GOOD.replace("[1, 2, 3]", "[1, 2, 4]").replace("t/good", "t/refuted"), "e.yaml": b"\xff"}
        for name, source in broken.items():
            self.write(source, name)
        self.write(GOOD, "z.yaml")
        code, out, err = self.convbn("lint", self.tree)
        self.assertEqual((code, err), (2, ""))
        for name, rule in [("a.yaml", "syntax"), ("b.yaml", ""), ("c.yaml", "value-count"), ("d.yaml", "expectation"), ("e.yaml", "syntax")]:
            self.assertRegex(out, rf"{name}:\d+:\d+: {rule}")
        self.assertNotIn("z.yaml", out)
        self.assertTrue(out.endswith("2 cases in 6 files: 5 problems\n"), out)

    # ---------------------------------------------------------------------------------------------------- too much

    def test_nesting_without_end(self):
        for source in "[" * 100000, "a: " + "[" * 100000, "{a: " * 100000, "- " * 100000 + "1", "[" * 100000 + "]" * 100000:
            with self.subTest(source=source[:8]):
                path = self.write(source)
                code, _, err = self.convbn("run", path)
                self.assertEqual((code, len(err.splitlines())), (2, 1))
                self.assertRegex(err, ": (depth|syntax): ")

    def test_aliases_that_multiply(self):
        """Nine aliases of nine aliases ... of nine words: 9^12 values in 600 bytes."""
        bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        for i in range(1, 12):
            bomb += f"a{i}: &a{i} [{', '.join(['*a%d' % (i - 1)] * 9)}]\n"
        self.refused(bomb, "values")
        self.refused(HEADER + "x: &x {a: *x}\n", "alias")

    def test_more_values_than_may_be(self):
        self.refused(f"a: [{'1,' * 2000001}1]\n", "values")

    def test_a_file_of_70_megabytes(self):
        path = self.tree / "big.yaml"
        with open(path, "wb") as file:
            file.write(GOOD.encode() + b"#")
            file.truncate(70 << 20)  # sparse
        self.refused("", "file-size", path=path)

    def test_twenty_thousand_cases(self):
        head, case = GOOD.split("cases:\n")
        many = head + "cases:\n" + "".join(case.replace("t/good", f"t/{i}").replace("[2, 4, 6]", f"[2, 4, {2 * i}]")
                                            .replace("[1, 2, 3]", f"[1, 2, {i}]") for i in range(20000))
        path = self.write(many)
        code, out, _ = self.convbn("run", path, "--list", seconds=2 * SECONDS, limited=False)
        self.assertEqual((code, len(out.splitlines())), (0, 20000))
        code, out, _ = self.convbn("lint", path, seconds=4 * SECONDS, limited=False)
        self.assertEqual((code, out), (0, "20000 cases in 1 files: 0 problems\n"))

    def test_many_problems_of_one_file_are_cut(self):
        head, case = GOOD.split("cases:\n")
        many = head + "cases:\n" + case.replace("values: [2]", "values: []") * 1000
        code, _, err = self.convbn("run", self.write(many))
        self.assertEqual((code, len(err.splitlines())), (2, 50))

    def test_long_texts_are_cut(self):
        long = "x" * 3000000
        for source in (GOOD.replace("three doubled", long), GOOD.replace("kernel_size: 1", f"{long}: 1"),
                       GOOD.replace("pytorch", long), GOOD.replace("Doubling", long), GOOD.replace("t/good", long),
                       GOOD.replace("kernel_size: 1", f"kernel_size: {long}"), f"{long}: 1\n"):
            code, out, err = self.convbn("run", self.write(source))
            self.assertIn(code, (0, 1, 2))
            self.assertLess(max(map(len, (out + err).splitlines()), default=0), 4096)

    # ------------------------------------------------------------------------------------------ characters that act

    ACTING = ["\\e[31mred", "\\e]0;title\\a", "\\u202eesrever", "\\u2066x", "a\\r\\nb", "\\x7f", "\\x9b31m", "\\u0085", "\\u2028", "\\b\\b\\b", "\\0"]

    def acts(self, source):
        for command in ["run"] if SANITIZED else ["run", "lint"]:
            self.convbn(command, self.write(source))

    def test_no_text_of_a_case_reaches_the_terminal_raw(self):
        """convbn() looks for raw control characters in whatever is printed."""
        refuted = GOOD.replace("[2, 4, 6]", "[2, 4, 7]")
        for text in self.ACTING[::3] if SANITIZED else self.ACTING:
            for there, key in [("three doubled", "comment"), ("by hand", "source"), ("pytorch", "dialect"), ("nn.Conv2d", "operator"),
                               ("Doubling", "flags"), ("t/good", "id"), ("kernel_size", "parameter"), ("bias: false", "value")]:
                with self.subTest(text=text, key=key):
                    quoted = f'"{text}"'
                    self.acts(refuted.replace(there, quoted if key != "value" else f"padding_mode: {quoted}"))
            for instead in (f'expect: {{rejected: {{rule: "{text}"}}}}', f'expect: {{rejected: {{exception: "{text}", message: "{text}"}}}}',
                            f'expect: {{same_as: "{text}"}}', f'expect: {{"{text}": 1}}', f'mode: "{text}"', f'layout: "{text}"'):
                with self.subTest(text=text, instead=instead):
                    self.acts(re.sub(r"expect: {.*}", lambda _, new=instead: new, GOOD))
            with self.subTest(text=text, key="npy"):
                self.acts(GOOD.replace("input:  {shape: [1, 1, 1, 3], values: [1, 2, 3]}", f'input: {{npy: "{text}"}}'))

    def test_no_file_name_reaches_the_terminal_raw(self):
        for name in "\x1b[31m.yaml", "a\nb.yaml", "\u202eesrever.yaml", "\x9b31m.yaml", "a\rb.yaml":
            for source in "a: [", GOOD.replace("[2, 4, 6]", "[2, 4, 7]"):
                with self.subTest(name=name, source=source[:8]):
                    path = self.write(source, name)
                    for command in "run", "lint":
                        self.convbn(command, path)
                    path.unlink()

    def test_no_path_or_expression_reaches_the_terminal_raw(self):
        path = self.write(GOOD)
        for arguments in (["run", path, "-k", "\x1b[31m ("], ["run", path, "--json", "/\x1b[31m/x"], ["run", path, "--engine", "\x1b[31m"],
                          ["run", path, "--engine", "/\u202ex.so"], ["run", "\x1b[31m"], ["lint", "/\u202ex"]):
            with self.subTest(arguments=arguments):
                self.assertIn(self.convbn(*arguments)[0], (2, 3))


if __name__ == "__main__":
    os.chdir(os.environ.get("CONVBN_SOURCE", "."))
    sys.tracebacklimit = 2
    unittest.main(argv=sys.argv, verbosity=1)
