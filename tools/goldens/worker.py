"""One framework's part of a run: reads case files, records or checks. Started by cli.py in the environment."""

import argparse
import datetime
import importlib
import math
import sys
import traceback
from pathlib import Path

from . import recorder
from .casefile import CaseError, cases_of, dump, load

LARGE = 20_000_000
ENGINES = {"pytorch": ("engine_pytorch",), "mindspore": ("engine_mindspore",), "canonical": ("engine_canonical",),
           "onnx": ("engine_onnx", "engine_onnx_reference"), "tensorflow": ("engine_tensorflow",),
           "keras": ("engine_keras",), "jax": ("engine_jax",), "flax": ("engine_flax",)}


def size_of(case):
    """The number of input elements of the case's calls."""
    inputs = [step["input"] for step in case.node.get("steps", []) if "input" in step]
    tensors = case.node.get("tensors", {}) or {}
    inputs += [tensors["input"]] if "input" in tensors else []
    return sum(math.prod(int(extent) for extent in one["shape"]) for one in inputs if "shape" in one)


def record_file(path, document, cases, engines, say):
    """Records every case of a file that one of these engines is the source of, and then what the others are noted to answer.
    Returns the number of errors."""
    errors, changed, recorded = 0, 0, 0
    for case in cases:
        try:
            for engine in engines:
                if case.recorded_by(engine.NAME):
                    changed += recorder.record(case, engine)
                    recorded += 1
            for engine in engines:
                changed += recorder.record_observed(case, engine)
        except CaseError as error:
            errors += 1
            say(f"  error: {error}")
    if changed:
        position = list(document).index("source") + 1
        document.pop("recorded", None)
        document.insert(position, "recorded", datetime.date.today())
    text = dump(document)
    if text != path.read_text():
        path.write_text(text)
    say(f"{path}: {recorded} recorded, {changed} changed, {errors} errors")
    return errors


def check_file(path, cases, engines, large, say):
    """Compares every case of a file with the engines. Returns the number of differences."""
    differences = skipped = 0
    for case in cases:
        if size_of(case) > LARGE and not large:
            skipped += 1
            continue
        for engine in engines:
            try:
                reasons = recorder.check(case, engine)
            except CaseError as error:
                reasons = [str(error)]
            for reason in reasons:
                differences += 1
                say(f"  {case.id} ({case.source}){f' by {engine.NAME}' if len(engines) > 1 else ''}: {reason}")
    say(f"{path}: {len(cases) - skipped} checked, {differences} differences" +
        (f", {skipped} large ones skipped (--large)" if skipped else ""))
    return differences


def main():
    """Exit 0 as expected, 1 differences, 2 bad cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dialect", choices=ENGINES)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("paths", nargs="+", type=Path)
    options = parser.parse_args()
    engines = [importlib.import_module(f".{name}", __package__) for name in ENGINES[options.dialect]]

    def say(text):
        print(text, flush=True)

    failures = 0
    for path in options.paths:
        try:
            document = load(path)
            cases = [case for case in cases_of(document, path)
                     if all(getattr(engine, "takes", lambda _: True)(case) for engine in engines)]
        except (CaseError, KeyError) as error:
            say(f"{path}: {error}")
            return 2
        if options.check:
            failures += check_file(path, cases, engines, options.large, say)
        else:
            failures += record_file(path, document, cases, engines, say)
    if not failures:
        return 0
    return 1 if options.check else 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(3)
