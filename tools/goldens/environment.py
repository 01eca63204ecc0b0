"""Makes the virtual environment in which the frameworks run. Standard library only.

The torch wheel of PyPI is linked against CUDA libraries of several gigabytes, none of which a CPU calls. Only the small
CUDA runtime, whose start-up code does run, is installed; each other library is replaced by one that defines the same
symbols and traps when one is called. They are built with the C compiler and loaded before torch (see `torch_cpu.py`).
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
STAMP = "goldens-stamp"

# soname -> the prefix of its symbols that carry no version
EMPTY_LIBRARIES = {
    "libcublas.so.13": None,
    "libcublasLt.so.13": None,
    "libcudnn.so.9": None,
    "libcufft.so.12": None,
    "libcusparse.so.12": None,
    "libnvrtc.so.13": None,
    "libcufile.so.0": "cuFile",
    "libcusparseLt.so.0": "cusparseLt",
    "libnccl.so.2": "nccl",
    "libnvshmem_host.so.3": "nvshmem",
}
# libraries whose symbol version is not their soname
VERSION_NAMES = {"NVSHMEM": "libnvshmem_host.so.3"}


class EnvironmentFailure(Exception):
    """The environment cannot be made; the text says why and what to do."""


def stamp_of(requirements: Path) -> str:
    """What the environment was made from: changes where it must be made again."""
    content = requirements.read_bytes() + Path(__file__).read_bytes()
    return hashlib.sha256(content).hexdigest()


def run(command, what):
    """Runs a command, and raises with its last lines where it fails."""
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError as error:
        raise EnvironmentFailure(f"{what}: {error.filename} is not installed") from error
    if result.returncode != 0:
        tail = "\n".join(result.stdout.strip().splitlines()[-8:])
        raise EnvironmentFailure(f"{what} failed (exit {result.returncode}):\n{tail}")
    return result.stdout


def python_of(directory: Path) -> Path:
    """The environment's interpreter."""
    return directory / "bin" / "python"


def site_packages(directory: Path) -> Path:
    """The environment's package folder."""
    found = sorted((directory / "lib").glob("python3*/site-packages"))
    if not found:
        raise EnvironmentFailure(f"{directory} has no site-packages folder")
    return found[0]


def undefined_symbols(torch_lib: Path):
    """(name, version or None) of every symbol that torch's libraries want from elsewhere."""
    libraries = [str(path) for path in sorted(torch_lib.glob("*.so"))]
    listing = run(["nm", "-D", "--undefined-only", *libraries], "listing the symbols of torch")
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) == 2:
            name, _, version = fields[1].partition("@")
            yield name, version.lstrip("@") or None


def symbols_by_library(torch_lib: Path):
    """soname -> {name: version or None} for the libraries that are replaced."""
    wanted = {soname: {} for soname in EMPTY_LIBRARIES}
    for name, version in undefined_symbols(torch_lib):
        if not re.fullmatch(r"\w+", name):
            continue
        soname = VERSION_NAMES.get(version, version)
        if soname in wanted:
            wanted[soname][name] = version
        elif version is None:
            for candidate, prefix in EMPTY_LIBRARIES.items():
                if prefix and name.startswith(prefix):
                    wanted[candidate].setdefault(name, None)
    return wanted


def build_empty_library(directory: Path, soname: str, symbols):
    """Builds one library whose functions trap."""
    source, script = directory / (soname + ".s"), directory / (soname + ".map")
    body = [".text"] + [f".globl {name}\n.type {name}, @function\n{name}:" for name in sorted(symbols)]
    source.write_text("\n".join(body + ["ud2", '.section .note.GNU-stack,"",@progbits', ""]))
    versions = {}
    for name, version in symbols.items():
        versions.setdefault(version, []).append(name)
    flags = []
    named = {version: names for version, names in versions.items() if version}
    if named:
        script.write_text("\n".join(f"{version} {{ global: {'; '.join(sorted(names))}; }};"
                                    for version, names in sorted(named.items())) + "\n")
        flags = [f"-Wl,--version-script={script}"]
    run([os.environ.get("CC", "cc"), "-shared", "-nostdlib", "-o", str(directory / soname), f"-Wl,-soname,{soname}",
         *flags, str(source)], f"building an empty {soname}")
    source.unlink()
    script.unlink(missing_ok=True)


def build_empty_libraries(directory: Path):
    """Replaces the CUDA libraries that torch names and never calls on a CPU."""
    target = directory / "empty-cuda"
    target.mkdir(exist_ok=True)
    for soname, symbols in symbols_by_library(site_packages(directory) / "torch" / "lib").items():
        build_empty_library(target, soname, symbols)


def ensure(directory: Path, say) -> Path:
    """Makes the environment where it is missing or stale; returns its interpreter."""
    python, stamp = python_of(directory), directory / STAMP
    if python.exists() and stamp.exists() and stamp.read_text() == stamp_of(REQUIREMENTS):
        return python
    if sys.version_info[:2] != (3, 11):
        raise EnvironmentFailure(f"Python 3.11 is wanted (mindspore 2.10.0 has wheels for it), this is "
                                f"{sys.version_info.major}.{sys.version_info.minor}; run it as python3.11 tools/record-goldens")
    if directory.exists() and not (directory / "pyvenv.cfg").exists() and any(directory.iterdir()):
        raise EnvironmentFailure(f"{directory} exists and is no virtual environment; give another with --venv")
    if stamp.exists() and directory.exists():
        shutil.rmtree(directory)
    say(f"making {directory} (about 4 GB, some minutes)")
    run([sys.executable, "-m", "venv", str(directory)], "making the virtual environment")
    run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check",
         "-r", str(REQUIREMENTS)], "installing the frameworks")
    say("replacing the CUDA libraries by empty ones")
    build_empty_libraries(directory)
    stamp.write_text(stamp_of(REQUIREMENTS))
    return python
