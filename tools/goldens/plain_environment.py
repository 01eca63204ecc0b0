"""Makes the small virtual environment of the exact engine: NumPy and the YAML library, none of the frameworks."""

import re
import shutil
import sys
from pathlib import Path

from .environment import REQUIREMENTS, STAMP, python_of, run

PACKAGES = ("numpy", "ruamel.yaml")


def pinned():
    """The packages with the versions that requirements.txt pins."""
    lines = REQUIREMENTS.read_text().splitlines()
    return [line for line in lines if re.split("==", line)[0] in PACKAGES]


def ensure(directory: Path, say) -> Path:
    """Makes the environment where it is missing or stale; returns its interpreter. Raises EnvironmentFailure."""
    python, stamp, wanted = python_of(directory), directory / STAMP, "\n".join(pinned())
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    if stamp.exists():
        shutil.rmtree(directory)
    say(f"making {directory} (about 100 MB)")
    run([sys.executable, "-m", "venv", str(directory)], "making the virtual environment")
    run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", *pinned()],
        f"installing {' and '.join(PACKAGES)}")
    stamp.write_text(wanted)
    return python
