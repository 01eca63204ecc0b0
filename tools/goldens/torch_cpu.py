"""Imports torch without the CUDA libraries that its wheel is linked against."""

import ctypes
import sys
from pathlib import Path


def load_empty_libraries():
    """Loads the empty libraries (environment.py) first: the dynamic linker then takes them by their sonames."""
    directory = Path(sys.prefix) / "empty-cuda"
    for library in sorted(directory.glob("lib*.so*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


load_empty_libraries()

import torch  # noqa: E402

torch.set_num_threads(1)
