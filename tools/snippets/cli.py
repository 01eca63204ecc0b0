"""The command line of tools/run-snippets. Standard library only."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .known import known_case
from .pages import difference, programs_of

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = {"pytorch": "goldens-venv", "mindspore": "goldens-venv", "tensorflow": "goldens-tensorflow-venv",
                "keras-tensorflow": "goldens-tensorflow-venv", "keras-jax": "goldens-keras-venv",
                "jax": "goldens-jax-venv", "flax": "goldens-jax-venv", "onnx": "goldens-onnx-venv"}
DESCRIPTION = """\
Runs each python block of Markdown pages, as `convbn differences --markdown DIR` writes them, in the framework that it imports, and
compares what it prints with the text block behind it: names and shapes exactly, numbers within what printing seven
digits and some roundings of f32 leave open. The frameworks are those of tools/record-goldens, which makes their
environments; one that is not there is skipped."""
EPILOG = "An answer that is wrong as a case records it is told and does not count. exit status: 0 all that ran agree; 1 one does not; 2 usage, no page, no program, or nothing could be run."


def parse(arguments):
    """The options."""
    parser = argparse.ArgumentParser(prog="tools/run-snippets", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE|DIR", help="a Markdown page, or a folder of them")
    parser.add_argument("--engine", action="append", choices=sorted(ENVIRONMENTS), help="only this one's programs")
    parser.add_argument("--environments", type=Path, default=ROOT / "build", metavar="DIR",
                        help="the folder of the environments (default: build)")
    return parser.parse_args(arguments)


def read(paths):
    """All programs of the pages."""
    programs = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        for page in sorted(path.rglob("*.md")) if path.is_dir() else [path]:
            programs += programs_of(page)
    return programs


class Worker:
    """A process of a framework's Python that runs programs; it is started again where one ends it."""

    def __init__(self, python):
        self.python, self.process = python, None
        self.noise = tempfile.TemporaryFile("w+")

    def start(self):
        """A new process."""
        variables = {**os.environ, "PYTHONPATH": str(ROOT / "tools"), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1",
                     "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen([str(self.python), "-m", "snippets.worker"], env=variables, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.noise)

    def run(self, code):
        """What the program prints."""
        if self.process is None:
            self.start()
        try:
            self.process.stdin.write(json.dumps(code) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        status, self.process = self.process.wait(), None
        return f"the process ended with status {status}"

    def stop(self):
        """Lets it end."""
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()
        self.noise.close()


def run_engine(engine, programs, environments):
    """(programs run, those that answer otherwise); None where the framework is not installed."""
    python = environments / ENVIRONMENTS[engine] / "bin" / "python"
    if not python.exists():
        print(f"skipped: {engine} not installed")
        return None
    worker, answers, wrong, known = Worker(python), {}, 0, {}
    for program in programs:
        if program.code not in answers:
            answers[program.code] = worker.run(program.code)
        why = difference(program.expected, answers[program.code])
        case = known_case(engine, program.code) if why is not None else None
        if case is not None:
            known[case] = known.get(case, 0) + 1
        elif why is not None:
            wrong += 1
            print(f"{program.page}:{program.line}: {engine}: {why}")
    worker.stop()
    for case, count in sorted(known.items()):
        print(f"{engine}: {count} wrong answers that {case} records")
    print(f"{engine}: {len(programs)} programs, {len(answers)} different ones, {wrong} answer otherwise", flush=True)
    return len(programs), wrong


def main():
    """Runs what the command line says; returns the exit status."""
    options = parse(sys.argv[1:])
    try:
        programs = read(options.pages)
    except (OSError, UnicodeDecodeError) as error:
        print(f"tools/run-snippets: {error}", file=sys.stderr)
        return 2
    unknown = [program for program in programs if program.engine is None]
    for program in unknown:
        print(f"{program.page}:{program.line}: no framework that is known is imported")
    ran, wrong = 0, len(unknown)
    for engine in ENVIRONMENTS:
        own = [program for program in programs if program.engine == engine]
        if not own or (options.engine and engine not in options.engine):
            continue
        result = run_engine(engine, own, options.environments)
        if result is not None:
            ran, wrong = ran + result[0], wrong + result[1]
    if ran == 0:
        print("tools/run-snippets: no program was run", file=sys.stderr)
        return 2
    return 1 if wrong else 0
