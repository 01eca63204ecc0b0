"""The command line of tools/record-goldens. Standard library only: it runs before the environment exists."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import environment, plain_environment

ROOT = Path(__file__).resolve().parents[2]
DIALECTS = ("pytorch", "mindspore", "onnx", "tensorflow", "keras", "jax", "flax", "canonical")
DESCRIPTION = """\
Runs the golden cases in the real frameworks and writes their answers into the case files: the output, the running
statistics, the gradients where a case gives one of the output, or the exception. Only cases whose `source` names the
installed framework ("PyTorch 2.15.0, CPU", "MindSpore 2.10.0, CPU") are recorded; all else in the files stays. The
frameworks are installed into a virtual environment of their own (about 4 GB). The dialect onnx has two engines, in
build/goldens-onnx-venv: "ONNX Runtime 1.32.0, CPU" and "onnx 1.23.2, reference evaluator"; tensorflow has
"TensorFlow 2.21.0, CPU", in build/goldens-tensorflow-venv; keras has one for each backend, "Keras 3.15.1, TensorFlow 2.21.0,
CPU" there and "Keras 3.15.1, JAX 0.8.1, CPU" in build/goldens-keras-venv. jax has "JAX 0.10.2, CPU" and flax
"Flax 0.12.8, JAX 0.10.2, CPU", both in build/goldens-jax-venv. An `upstream` note of an engine
with the answer `observed: {}` is filled in. The dialect canonical has no framework: the source "by hand: exact rational
arithmetic" is computed here, with NumPy and the YAML library alone (build/goldens-plain-venv)."""
EPILOG = """\
Recording again leaves an empty diff: an old value that agrees with the new answer is kept, and the date changes only
with a value. Cases in exact mode (every partial sum representable) agree in every bit. Elsewhere, because another CPU
sums in another order, two values agree within 32 roundings (2^-24; f64 2^-53) of the largest sum of |products|, in f16
and bf16 within 4 (2^-11, 2^-8).

--check also compares cases that were written by hand or from a document with each engine of their dialect, and the
`upstream` answers of that engine.

exit status: 0 recorded, or no difference; 1 --check found differences; 2 usage, a bad case, or a case whose answer is
of another kind than it says; 3 the environment cannot be made."""


def parse(arguments):
    """The options."""
    parser = argparse.ArgumentParser(prog="tools/record-goldens", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="DIALECT|PATH",
                        help="pytorch, mindspore, onnx, tensorflow, keras, jax, flax, canonical, a case file or a folder of them (default: all of cases/)")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--large", action="store_true", help="with --check: the cases of many gigabytes too")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "goldens-venv", metavar="DIR",
                        help="the virtual environment (default: build/goldens-venv)")
    parser.add_argument("--fill-vectors", action="store_true", help="write tests/fill_vectors.txt and stop")
    return parser.parse_args(arguments)


def case_files(path):
    """The case files at a path: itself, or all below it."""
    if path.is_dir():
        return [found for found in sorted(path.rglob("*.yaml")) if found.name != "flags.yaml"]
    return [path]


def dialect_of(path):
    """The dialect that a case file names, or None."""
    match = re.search(r"^dialect:\s*(\S+)", path.read_text(), re.MULTILINE)
    return match.group(1) if match else None


def select(what):
    """{dialect: its case files} of the arguments."""
    dialects = [name for name in what if name in DIALECTS]
    paths = [Path(name) for name in what if name not in DIALECTS] or [ROOT / "cases"]
    selected = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"no dialect and no file is called {path}; the dialects are {', '.join(DIALECTS)}")
        for found in case_files(path):
            dialect = dialect_of(found)
            if dialect in DIALECTS and (not dialects or dialect in dialects):
                selected.setdefault(dialect, []).append(found)
    return selected


# To glibc: memory that malloc gives out is zero, so that a layer that leaves part of its result unwritten answers the
# same each time.
ZEROED_MEMORY = {"MALLOC_PERTURB_": "255", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


def run_module(python, module, arguments, backend=None):
    """Runs a module of this package in the environment. The hash order is fixed, for messages that print sets;
    what the frameworks say on standard error is shown only where the run breaks off."""
    variables = {**os.environ, **ZEROED_MEMORY, "PYTHONPATH": str(ROOT / "tools"), "PYTHONHASHSEED": "0",
                 "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **({"KERAS_BACKEND": backend} if backend else {})}
    with tempfile.TemporaryFile("w+") as noise:
        status = subprocess.run([str(python), "-m", f"goldens.{module}", *arguments], env=variables,
                                stderr=noise).returncode
        if status not in (0, 1, 2):
            noise.seek(0)
            print("".join(noise.readlines()[-15:]), file=sys.stderr, end="")
    return status


def interpreters(options, dialect):
    """{backend: the Python in which a dialect's answers are made}; the backend is None but for keras."""
    def say(text):
        print(text, flush=True)

    folder = options.venv.resolve().parent
    if dialect == "canonical":
        return {None: plain_environment.ensure(folder, say)}
    if dialect == "onnx":
        return {None: plain_environment.ensure_onnx(folder, say)}
    if dialect == "tensorflow":
        return {None: plain_environment.ensure_tensorflow(folder, say)}
    if dialect in ("jax", "flax"):
        return {None: plain_environment.ensure_jax(folder, say)}
    if dialect == "keras":
        return {"tensorflow": plain_environment.ensure_tensorflow(folder, say),
                "jax": plain_environment.ensure_keras(folder, say)}
    return {None: environment.ensure(options.venv.resolve(), say)}


def main(arguments=None):
    """The command; returns its exit status."""
    options = parse(arguments)
    try:
        selected = select(options.what)
    except FileNotFoundError as error:
        print(f"record-goldens: {error}", file=sys.stderr)
        return 2
    if not selected and not options.fill_vectors:
        print("record-goldens: no case file of these dialects is there", file=sys.stderr)
        return 2
    try:
        pythons = {dialect: interpreters(options, dialect)
                   for dialect in (["pytorch"] if options.fill_vectors else selected)}
    except environment.EnvironmentFailure as error:
        print(f"record-goldens: {error}", file=sys.stderr)
        return 3
    if options.fill_vectors:
        return run_module(pythons["pytorch"][None], "fill_vectors", [str(ROOT / "tests" / "fill_vectors.txt")])
    status = 0
    for dialect in [name for name in DIALECTS if name in selected]:
        flags = ["--check"] * options.check + ["--large"] * options.large
        for backend, python in pythons[dialect].items():
            found = run_module(python, "worker", [dialect, *flags, *map(str, selected[dialect])], backend)
            status = max(status, found if found in (0, 1, 2) else 3)
            if found not in (0, 1, 2):
                print(f"record-goldens: the run of {dialect} ended with status {found}", file=sys.stderr)
    return status
