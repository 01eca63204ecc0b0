"""Makes the small virtual environments: of the exact engine, NumPy and the YAML library, none of the frameworks; and of
ONNX, TensorFlow and JAX, whose wheels for a CPU are not large."""

import re
import shutil
import sys
from pathlib import Path

from .environment import HERE, REQUIREMENTS, STAMP, python_of, run

PACKAGES = ("numpy", "ruamel.yaml")
ONNX_REQUIREMENTS = HERE / "requirements-onnx.txt"
TENSORFLOW_REQUIREMENTS = HERE / "requirements-tensorflow.txt"
KERAS_REQUIREMENTS = HERE / "requirements-keras.txt"
JAX_REQUIREMENTS = HERE / "requirements-jax.txt"


def pinned(requirements=REQUIREMENTS, packages=None):
    """The packages with the versions that a list of requirements pins: all, or those named."""
    lines = [line for line in requirements.read_text().splitlines() if re.match("[A-Za-z]", line)]
    return [line for line in lines if packages is None or re.split("==", line)[0] in packages]


def make(directory: Path, wanted, size, say) -> Path:
    """Makes an environment of the packages `wanted` where it is missing or stale; returns its interpreter. Raises
    EnvironmentFailure."""
    python, stamp, content = python_of(directory), directory / STAMP, "\n".join(wanted)
    if python.exists() and stamp.exists() and stamp.read_text() == content:
        return python
    if stamp.exists():
        shutil.rmtree(directory)
    say(f"making {directory} (about {size})")
    run([sys.executable, "-m", "venv", str(directory)], "making the virtual environment")
    run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", *wanted],
        f"installing {', '.join(re.split('==', line)[0] for line in wanted)}")
    stamp.write_text(content)
    return python


def ensure(folder: Path, say) -> Path:
    """The interpreter of the exact engine's environment, in a folder of environments."""
    return make(folder / "goldens-plain-venv", pinned(packages=PACKAGES), "100 MB", say)


def ensure_onnx(folder: Path, say) -> Path:
    """That of ONNX."""
    return make(folder / "goldens-onnx-venv", pinned(ONNX_REQUIREMENTS), "250 MB", say)


def ensure_tensorflow(folder: Path, say) -> Path:
    """That of TensorFlow."""
    return make(folder / "goldens-tensorflow-venv", pinned(TENSORFLOW_REQUIREMENTS), "1.5 GB", say)


def ensure_keras(folder: Path, say) -> Path:
    """That of Keras on JAX; that of TensorFlow has Keras, too."""
    return make(folder / "goldens-keras-venv", pinned(KERAS_REQUIREMENTS), "600 MB", say)


def ensure_jax(folder: Path, say) -> Path:
    """That of JAX and Flax."""
    return make(folder / "goldens-jax-venv", pinned(JAX_REQUIREMENTS), "900 MB", say)
