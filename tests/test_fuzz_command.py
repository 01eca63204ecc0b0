#!/usr/bin/env python3
"""`convbn fuzz` and `convbn minimize` as people and scripts use them. The fuzzers are stand-ins that do one thing each, so that this
runs in every build; tests/test_fuzz_planted.sh runs the real ones."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CONVBN = pathlib.Path(os.environ["CONVBN"])
HOST = pathlib.Path(os.environ["CONVBN_HOST"])
ENGINES = pathlib.Path(os.environ["CONVBN_BUILD"]) / "lib/convbn"
FAST = ENGINES / "engines/fast.so"
PLANTED = ENGINES / "test-engines/planted.so"

STAND_IN = '''#!/usr/bin/env python3
import os, pathlib, signal, struct, sys, time
here = pathlib.Path(__file__).parent
behaviour = (here / "behaviour").read_text().split()
options = dict(a[1:].split("=", 1) for a in sys.argv[1:] if a.startswith("-") and "=" in a)
files = [pathlib.Path(a) for a in sys.argv[1:] if not a.startswith("-")]
report = """==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000011
READ of size 1 at 0x602000000011 thread T0
    #0 0x4f in __asan_memcpy (/x/y+0x1)
    #1 0x5f in cbn_npy_read harness/npy.c:10:3
    #2 0x6f in LLVMFuzzerTestOneInput fuzz/entry/libfuzzer.c:3:1
"""

def die():
    print(report, file=sys.stderr)
    sys.exit(77)

def count(runs):
    with open(os.environ["CONVBN_FUZZ_STATUS"], "r+b") as status:
        before = struct.unpack("<Q", status.read(8))[0]
        status.seek(0)
        status.write(struct.pack("<Q", before + runs))
        status.seek(24)
        status.write(struct.pack("<Q", "finding" in behaviour))

(here / ("line-%d" % os.getpid())).write_text("\\n".join(sys.argv[1:]))
if files[0].is_file():  # alone: to reproduce, or to shrink
    if "vanish" in behaviour or "aborts" not in behaviour and files[0].read_bytes()[:3] != b"bad":
        sys.exit(0)
    if "aborts" in behaviour:
        sys.exit("FINDING 0123456789abcdef: conv_forward x/reference mismatch f32 output row-tail rank stride\\n  words\\n"
                 "==1== ERROR: libFuzzer: deadly signal\\n    #0 0x4f in cbn_fuzz_problem fuzz/target_problem.c:1:1\\n")
    if "minimize_crash" in options:
        pathlib.Path(options["exact_artifact_path"]).write_bytes(b"bad")
        sys.exit(0)
    die()
if "fails" in behaviour:
    sys.exit("there is no such engine")
if "stubborn" in behaviour:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        time.sleep(1000)
if "floods" in behaviour:
    os.system("head -c 20000000 /dev/zero | tr '\\\\0' x >&2")
count(100)
name = "%d-%d" % (os.getpid(), time.monotonic_ns())
(files[0] / name).write_bytes(name.encode())
if "finding" in behaviour:
    out = pathlib.Path(os.environ["CONVBN_FUZZ_OUT"])
    (out / ".aside").write_bytes((here / ("rare" if "many" in behaviour else "seed")).read_bytes())
    (out / ".aside").rename(out / "00000000000000aa-0.seed")
if "many" in behaviour:  # of one sort, and one of another that looks like them
    genome = bytearray((here / "seed").read_bytes())
    for i in range(400):
        genome[52:54] = struct.pack("<H", i)  # the seed of the tensors' elements
        (out / ("00000000000000bb-%d.seed" % i)).write_bytes(genome)
if "crash" in behaviour or "vanish" in behaviour:
    path = pathlib.Path(options["artifact_prefix"] + "crash-" + name)
    path.write_bytes(b"bad and %d bytes more" % os.getpid())
    die()
if "killed" in behaviour:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(float(options["max_total_time"]) if "stubborn" not in behaviour else 1000)
'''

AFL = '''#!/usr/bin/env python3
import pathlib, sys, time
words = dict(zip(sys.argv[1:], sys.argv[2:]))
out = pathlib.Path(words["-o"]) / words["-M"]
assert list(pathlib.Path(words["-i"]).iterdir()) and pathlib.Path(words["-F"]).is_dir()
for folder in ("queue", "crashes", "hangs"):
    (out / folder).mkdir(parents=True, exist_ok=True)
(out / "queue/id:000000,time:0,execs:0,orig:zeros").write_bytes(b"from the corpus")
(out / "queue/id:000001,src:000000,time:5,execs:9,op:havoc").write_bytes(b"found by afl")
(out / "crashes/README.txt").write_text("words")
(out / "crashes/id:000000,sig:11").write_bytes(b"bad by afl")
time.sleep(float(words["-V"]))
'''


class Failed(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failed(*what)


class Ground:
    """A build of stand-ins, a folder to write to, and the program."""

    def __init__(self, behaviour="works", targets=("problem", "npy"), afl=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="convbn-fuzz-"))
        self.build = self.folder / "build"
        self.fuzzers = self.build / "lib/convbn/fuzzers"
        self.fuzzers.mkdir(parents=True)
        (self.build / "bin").mkdir()
        (self.build / "bin/convbn").symlink_to(CONVBN)
        (self.build / "bin/convbn-host").symlink_to(HOST)
        (self.build / "lib/convbn/engines").symlink_to(ENGINES / "engines")
        (self.fuzzers / "behaviour").write_text(behaviour)
        for target in targets:
            self.program(self.fuzzers / f"libfuzzer-{target}", STAND_IN)
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        for tool in ("python3", "sh", "head", "tr", "env"):
            (bin_folder / tool).symlink_to(shutil.which(tool))
        if afl:
            self.program(bin_folder / "afl-fuzz", AFL)
            self.program(self.fuzzers / "afl-npy", STAND_IN)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("CONVBN_")}
        self.environment |= {"CONVBN_FUZZERS": str(self.fuzzers), "PATH": str(bin_folder)}
        self.out = self.folder / "out"

    @staticmethod
    def program(path, text):
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *arguments):
        return subprocess.Popen([CONVBN, *map(str, arguments)], cwd=self.folder, env=self.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, code, *arguments, timeout=120):
        """Runs the program, which must end with that code; returns what it says."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise Failed("too long", arguments, out, err) from None
        check(process.returncode == code, f"exit {process.returncode}, not {code}", arguments, out, err)
        return out, err

    def fuzz(self, code, *arguments, **more):
        return self.run(code, "fuzz", "--out", self.out, *arguments, **more)

    def summary(self):
        return json.loads((self.out / "summary.json").read_text())

    def seed(self, text):
        """The genome of a case, a convolution that `planted:number` gets wrong."""
        case = self.folder / "case.yaml"
        case.write_text(text)
        self.run(0, "seed", case, "-o", self.fuzzers / "seed")
        return self.fuzzers / "seed"

    def processes(self):
        """Processes that were started in this folder and are left."""
        left = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if entry.name.isdigit() and str(self.folder).encode() in words:
                left.append(words)
        return left

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(50):
            if not self.processes():
                break
            time.sleep(0.1)
        left = self.processes()
        shutil.rmtree(self.folder, ignore_errors=True)
        check(not left, "processes are left", left)


WRONG = """format: 1
dialect: canonical
operator: conv
source: by hand
cases:
  - id: canonical/conv/planted
    comment: a stride and a dilation along W
    params: {out_channels: 2, kernel: [3, 3], stride: [1, 2], dilation: [1, 2], pad_begin: [1, 0]}
    tensors:
      input: {shape: [2, 3, 5, 9], fill: {kind: integers}}
      weight: {shape: [2, 3, 3, 3], fill: {kind: integers}}
    expect: {output: {shape: [2, 2, 4, 3]}}
"""
RIGHT = WRONG.replace("stride: [1, 2]", "stride: [1, 1]").replace("[2, 2, 4, 3]", "[2, 2, 4, 5]").replace("planted", "right")
NEITHER = bytes([8, 255, *[0] * 52, 29])  # a near miss: an entry of an axis that its input does not have
PLANTED_NUMBER = f"{PLANTED}:number={FAST}"


def test_usage():
    with Ground() as g:
        for arguments, words in (
                (("--target", "conv_foward"), "there is no target 'conv_foward'; did you mean 'conv_forward'?"),
                (("--time", "10x"), "--time must be a duration"), (("--time", "0"), "--time must be a duration"),
                (("--time", "m10"), "--time must be a duration"), (("--time", "5m1h"), "--time must be a duration"),
                (("--time", "-5s"), "--time must be a duration"), (("--time", "1e9d"), "--time must be a duration"),
                (("--time", ""), "--time must be a duration"),
                (("--runs", "0"), "--runs must be a whole number"), (("-j", "0"), "-j must be a whole number"),
                (("--seed", "x"), "--seed must be a whole number"), (("--timeout", "0"), "--timeout must be seconds"),
                (("npy",), "unexpected argument 'npy'"), (("--corpus", "nowhere"), "--corpus: nowhere: No such file"),
                (("--corpus", CONVBN), "is a file, and must be a folder")):
            out, err = g.fuzz(2, *arguments)
            check(words in err and out == "", arguments, err)
            check(not g.out.exists(), "a folder after a usage error")
        out, err = g.run(0, "fuzz", "--list")
        names = [line.split()[0] for line in out.splitlines()]
        check({"problem", "conv_forward", "batchnorm_program", "npy", "cases"} <= set(names) and err == "", out, err)


def test_no_fuzzers():
    with Ground(targets=()) as g:
        out, err = g.fuzz(3)
        check("there are no fuzzers in" in err and "./run-fuzz" in err, err)
        del g.environment["CONVBN_FUZZERS"]
        # A build of fuzzers has some beside the program.
        if not (ENGINES / "fuzzers").exists():
            out, err = g.fuzz(3)
            check("this build has no fuzzers" in err and "./run-fuzz" in err, err)
    with Ground(targets=("npy",)) as g:
        out, err = g.fuzz(3, "--target", "conv_forward")
        check("no program for these targets" in err, err)


def test_engines():
    with Ground() as g:
        for engine, words in (("nowhere", "there is no engine 'nowhere'"), ("./nowhere.so", "cannot be read"),
                              (f"{ENGINES}/test-engines/opens.so:abort", "SIGABRT"),
                              (f"{ENGINES}/test-engines/opens.so:hang", "no answer within 10 seconds"),
                              (f"{ENGINES}/test-engines/no_symbol.so", "cbn_engine_open")):
            out, err = g.fuzz(3, "--engine", engine)
            check(words in err and out == "", engine, err)


def test_out():
    with Ground() as g:
        g.out.write_text("")
        _, err = g.fuzz(2)
        check("is a file, and must be a folder" in err, err)
        g.out.unlink()
        g.out.mkdir()
        (g.out / "letter.txt").write_text("dear")
        _, err = g.fuzz(2)
        check("holds files, and they are not a fuzzing run's" in err, err)
        check([p.name for p in g.out.iterdir()] == ["letter.txt"], "something was written")
        _, err = g.run(2, "fuzz", "--out", "/proc/nowhere")
        check("/proc/nowhere: cannot make the folder" in err, err)
        _, err = g.run(2, "fuzz", "--out", "x" * 4000)
        check("is no name for a folder" in err, err)


def test_works_and_goes_on():
    with Ground() as g:
        out, err = g.fuzz(0, "--time", "10s", "-j", "1", "--seed", "7", "--json", "copy.json")
        check("0 findings" in out and "seed 7" in out, out)
        check("without AFL++" in err, err)
        s = g.summary()
        check(s == json.loads((g.folder / "copy.json").read_text()), "--json is another document")
        runs = {(t["target"], t["build"]): t["executions"] for t in s["tasks"]}
        check(s["executions"] == sum(runs.values()) >= 200 and runs["npy", "plain"] >= 100, runs)
        check(set(runs) == {("problem", "plain"), ("problem", "plain-portable"), ("npy", "plain")}, runs)
        check(s["seed"] == 7 and s["exit"] == 0 and 9.5 < s["seconds"] < 30, s)
        check(s["corpus"] == {t: len(list((g.out / "corpus" / t).iterdir())) for t in s["corpus"]}, s["corpus"])
        check(s["pairs"]["reached"] == 0 < s["pairs"]["possible"], "pairs")
        check((g.out / "pairs.txt").stat().st_size > 100 and not (g.out / "work").exists(), "files")
        lines = [p.read_text() for p in g.fuzzers.glob("line-*")]
        check(all("-timeout=10" in line and "-seed=" in line for line in lines), lines)
        # The same folder again: the corpus is there, and a line now and then tells of progress.
        before = s["corpus"]["npy"]
        out, err = g.fuzz(0, "--time", "12s", "-j", "2", "--target", "npy")
        check(g.summary()["corpus"]["npy"] > before and "pairs" not in g.summary(), g.summary())
        check(" runs, " in err and " left" in err, err)
        out, err = g.fuzz(0, "--time", "1s", "--quiet")
        check(err == "", err)


def test_runs():
    with Ground() as g:
        start = time.monotonic()
        g.fuzz(0, "--runs", "150", "-j", "1", "--target", "npy")
        check(150 <= g.summary()["executions"] <= 400 and time.monotonic() - start < 60, g.summary())


def test_corpus():
    with Ground() as g:
        corpus = g.folder / "corpus"
        (corpus / "npy").mkdir(parents=True)
        for i in range(3000):
            (corpus / "npy" / f"file {i}").write_bytes(b"%d" % i)
        (corpus / "npy/twin").write_bytes(b"7")
        (corpus / "npy/folder").mkdir()
        (corpus / "npy/dangling").symlink_to("nowhere")
        os.mkfifo(corpus / "npy/pipe")
        with open(corpus / "npy/long", "wb") as file:
            file.truncate(2 << 20)
        _, err = g.fuzz(0, "--time", "2s", "-j", "1", "--target", "npy", "--corpus", corpus)
        check("corpus/npy: 1 files cannot be read, or are longer" in err, err)
        check(3000 < g.summary()["corpus"]["npy"] < 3010, g.summary()["corpus"])
        check(len(list((corpus / "npy").iterdir())) == 3005, "the corpus was changed")
        _, err = g.fuzz(2, "--time", "1s", "--target", "npy", "--corpus", corpus / "npy")
        check("has no folder with the name of a target, such as" in err and "corpus/npy/npy" in err, err)
        (corpus / "problem").write_text("")
        _, err = g.fuzz(2, "--time", "1s", "--corpus", corpus)
        check("corpus/problem: cannot be read as a folder" in err, err)


def test_finding():
    with Ground("finding", targets=("problem",)) as g:
        g.seed(WRONG)
        out, _ = g.fuzz(1, "--time", "4s", "-j", "1", "--engine", PLANTED_NUMBER)
        s = g.summary()
        check(len(s["findings"]) == 1 and s["exit"] == 1, s["findings"])
        finding = s["findings"][0]
        check(finding["signature"] == "conv_forward planted/reference mismatch f32 output everywhere dilation stride", finding)
        check(finding["count"] >= 2 and finding["new"] and finding["state"] == "minimised", finding)
        check(0 < s["showed_something"] <= s["executions"] and "executions showed something" in out, s, out)
        check(out.count(finding["signature"]) == 2 and finding["replay"] in out, out)
        folder = pathlib.Path(finding["folder"])
        check({"bad.yaml", "bad.seed", "good.yaml", "inputs", "finding.json", "signature.txt", "replay.txt"} ==
              {p.name for p in folder.iterdir()}, list(folder.iterdir()))
        check([p.read_bytes() for p in (folder / "inputs").iterdir()] == [(g.fuzzers / "seed").read_bytes()], "inputs")
        check((folder / "signature.txt").read_text() == finding["signature"] + "\n", "signature.txt")
        check(json.loads((g.out / "findings.json").read_text())["findings"] == s["findings"], "findings.json")
        # The line that shows it again does; what it differs from in one parameter passes.
        check(subprocess.run(["sh", "-c", finding["replay"]], cwd=g.folder, env=g.environment | {"CONVBN_HOST": str(HOST)},
                             capture_output=True, check=False).returncode == 1, finding["replay"])
        g.run(0, "run", folder / "good.yaml", "--engine", PLANTED_NUMBER)
        # Seen again it is not new; a run that does not see it says so, and ends well.
        g.fuzz(1, "--time", "2s", "-j", "1", "--engine", PLANTED_NUMBER)
        again = g.summary()["findings"]
        check(len(again) == 1 and not again[0]["new"] and again[0]["count"] > finding["count"], again)
        # One whose minimisation had no time to end gives way to one that ends.
        again[0] |= {"finished": False, "state": "made smaller"}
        (folder / "finding.json").write_text(json.dumps(again[0]))
        smallest = (folder / "bad.yaml").read_text()
        (folder / "bad.yaml").write_text("larger")
        g.fuzz(1, "--time", "2s", "-j", "1", "--engine", PLANTED_NUMBER)
        better = g.summary()["findings"]
        check(len(better) == 1 and better[0]["finished"] and better[0]["state"] == "minimised", better)
        check(better[0]["count"] > again[0]["count"] and not better[0]["new"], better)
        check(better[0]["first_seen"] == finding["first_seen"] and better[0]["replay"] == finding["replay"], better)
        check((folder / "bad.yaml").read_text() == smallest and len(list((folder / "inputs").iterdir())) == 1, "files")
        (g.fuzzers / "behaviour").write_text("works")
        out, _ = g.fuzz(0, "--time", "1s", "-j", "1", "--engine", PLANTED_NUMBER)
        check("0 findings, 0 of them new; 1 of earlier runs not seen again" in out, out)


def test_near_miss():
    with Ground("finding", targets=("problem",)) as g:
        (g.fuzzers / "seed").write_bytes(NEITHER)
        engine = f"{ENGINES}/test-engines/wavers.so:"
        g.fuzz(1, "--time", "2s", "-j", "1", "--engine", engine)
        finding = g.summary()["findings"][0]
        folder = pathlib.Path(finding["folder"])
        check("parameter-length" in finding["signature"] and (folder / "input").read_bytes()[:55] == NEITHER, finding)
        check(finding["replay"] == f"{g.build}/bin/convbn minimize {folder}/input --engine {engine}", finding)


def test_rare():
    # A bug is not lost behind another that is met at every turn with problems of the same kind, type and layout.
    with Ground("finding many", targets=("problem",)) as g:
        g.seed(WRONG)
        wrong = (g.fuzzers / "seed").read_bytes()
        g.seed(RIGHT)
        (g.fuzzers / "rare").write_bytes(wrong)
        g.fuzz(1, "--time", "2s", "-j", "1", "--engine", PLANTED_NUMBER)
        s = g.summary()
        signatures = {f["signature"] for f in s["findings"]}
        check(signatures == {"problem reported, not reproduced",
                             "conv_forward planted/reference mismatch f32 output everywhere dilation stride"}, signatures)
        check(s["not_kept"] > 300, s)


def test_not_reproduced():
    with Ground("finding", targets=("problem",)) as g:
        g.seed(RIGHT)
        g.fuzz(1, "--time", "2s", "-j", "1", "--engine", PLANTED_NUMBER)
        found = g.summary()["findings"]
        check(len(found) == 1 and found[0]["signature"] == "problem reported, not reproduced", found)
        check((pathlib.Path(found[0]["folder"]) / "input").read_bytes() == (g.fuzzers / "seed").read_bytes(), found)
    with Ground("vanish", targets=("npy",)) as g:
        g.fuzz(1, "--time", "2s", "-j", "1")
        found = g.summary()["findings"]
        check([f["signature"] for f in found] == ["npy heap-buffer-overflow cbn_npy_read, not reproduced"], found)
        check("AddressSanitizer" in (pathlib.Path(found[0]["folder"]) / "report.txt").read_text(), "report")
    # The fuzzer's program alone shows it again, and says what.
    with Ground("finding aborts", targets=("problem",)) as g:
        g.seed(RIGHT)
        g.fuzz(1, "--time", "2s", "-j", "1", "--engine", PLANTED_NUMBER)
        found = g.summary()["findings"]
        check([f["signature"] for f in found] == ["conv_forward x/reference mismatch f32 output row-tail"], found)
        check("in the fuzzer's process only" in found[0]["state"], found)
    # Without libFuzzer's program nobody runs the input again, and nothing is said of that.
    with Ground(targets=(), afl=True) as g:
        g.fuzz(1, "--time", "3s", "-j", "1", "--target", "npy")
        found = g.summary()["findings"]
        check([f["signature"] for f in found] == ["npy died, not run again"], found)
        check("was not run alone" in found[0]["state"], found)


def test_crash():
    with Ground("crash", targets=("npy",)) as g:
        corpus = g.folder / "corpus/npy"
        corpus.mkdir(parents=True)
        (corpus / "seed").write_bytes(b"good")
        g.fuzz(1, "--time", "4s", "-j", "1", "--corpus", g.folder / "corpus")
        s = g.summary()
        check(len(s["findings"]) == 1, s["findings"])
        finding = s["findings"][0]
        check(finding["signature"] == "npy heap-buffer-overflow cbn_npy_read" and finding["count"] >= 2, finding)
        folder = pathlib.Path(finding["folder"])
        check((folder / "input").read_bytes() == b"bad" and finding["state"] == "minimised by libFuzzer", finding)
        check("heap-buffer-overflow" in (folder / "report.txt").read_text(), "report")
        check(finding["replay"] == f"{g.fuzzers}/libfuzzer-npy {folder}/input", finding["replay"])


def test_afl():
    with Ground(targets=("npy",), afl=True) as g:
        _, err = g.fuzz(1, "--time", "6s", "-j", "2")
        check("without AFL++" not in err, err)
        s = g.summary()
        check({t["build"] for t in s["tasks"] if t["slices"] > 0} == {"plain", "afl"}, s["tasks"])
        kept = [p.read_bytes() for p in (g.out / "corpus/npy").iterdir()]
        check(b"found by afl" in kept and b"from the corpus" not in kept, kept)
        check([f["signature"] for f in s["findings"]] == ["npy heap-buffer-overflow cbn_npy_read"], s["findings"])


def test_fuzzers_that_fail():
    with Ground("fails") as g:
        start = time.monotonic()
        _, err = g.fuzz(3, "--time", "100s", "-j", "1")
        check("npy does not start in the plain build" in err and "there is no such engine" in err, err)
        check("no fuzzer starts" in err and time.monotonic() - start < 60, err)
    with Ground("killed") as g:
        out, _ = g.fuzz(0, "--time", "4s", "-j", "1")
        check("ended without a word" in out and g.summary()["killed"] >= 2, out)
    with Ground("floods", targets=("npy",)) as g:
        g.fuzz(0, "--time", "3s", "-j", "1")
        check(g.summary()["executions"] >= 100, g.summary())


def wait_for(condition, what):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise Failed("never:", what)


def test_signals():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with Ground("finding stubborn", targets=("problem",)) as g:
            g.seed(WRONG)
            process = g.start("fuzz", "--out", g.out, "--time", "1h", "-j", "2", "--engine", PLANTED_NUMBER)
            wait_for(lambda: len(list(g.fuzzers.glob("line-*"))) == 2, "two fuzzers")
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
            check(process.returncode == 1 and "interrupted" in out and "1 finding, 1 of them new" in out, out, err)
            check(g.summary()["interrupted"], "interrupted")
    # What shows something is no clean run, though nobody has looked at it yet; the next run does.
    with Ground("finding", targets=("problem",)) as g:
        g.seed(RIGHT.replace("integers", "ones"))
        process = g.start("fuzz", "--out", g.out, "--time", "1h", "-j", "1", "--engine", f"{ENGINES}/test-engines/endless.so")
        wait_for(lambda: (g.out / "work/confirm-0").exists(), "a look at the input")
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        check(process.returncode == 1 and "0 findings, 0 of them new; 1 inputs that show something not looked at" in out, out, err)
        check(len(list((g.out / "raw").iterdir())) == 1 and g.summary()["exit"] == 1, "raw")
    # Not even when it is killed does it leave something running.
    with Ground("stubborn", targets=("problem",)) as g:
        process = g.start("fuzz", "--out", g.out, "--time", "1h", "-j", "1")
        wait_for(lambda: list(g.fuzzers.glob("line-*")), "a fuzzer")
        process.kill()
        process.communicate(timeout=60)
        wait_for(lambda: len(g.processes()) <= 1, "the fuzzer's end")
        for entry in pathlib.Path("/proc").glob("[0-9]*"):  # the stand-in's own child, of which nobody else knows
            if (entry / "cmdline").exists() and str(g.folder).encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        # What its fuzzers had shown and it had not taken, the next run does.
        work = g.out / "work/0"
        check((work / "task").read_text() in ("problem plain\n", "problem plain-portable\n"), "task")
        shutil.copy(g.seed(WRONG), work / "found/00000000000000aa-0.seed")
        (work / "artifacts/crash-0").write_bytes(b"bad")
        (g.fuzzers / "behaviour").write_text("works")
        g.fuzz(1, "--time", "1s", "--target", "problem", "--engine", PLANTED_NUMBER)
        signatures = {f["signature"] for f in g.summary()["findings"]}
        check("conv_forward planted/reference mismatch f32 output everywhere dilation stride" in signatures, signatures)
        check(len(signatures) == 2 and not (g.out / "work").exists(), signatures)


def test_lock():
    with Ground() as g:
        first = g.start("fuzz", "--out", g.out, "--time", "1h", "-j", "1")
        wait_for(lambda: list(g.fuzzers.glob("line-*")), "a fuzzer")
        _, err = g.fuzz(2, "--time", "1s")
        check(f"another run uses this folder (process {first.pid})" in err, err)
        first.terminate()
        first.communicate(timeout=60)


def test_full_disk():
    if os.geteuid() != 0:
        print("test_full_disk is left out: it needs root")
        return
    with Ground() as g:
        g.out.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", g.out], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            print("test_full_disk is left out: nothing can be mounted here")
            return
        try:
            g.fuzz(0, "--time", "1s", "-j", "1")
            with open(g.out / "corpus/ballast", "wb") as file:
                file.write(bytes(int(os.statvfs(g.out).f_bavail * 4096 - (200 << 10))))
            _, err = g.fuzz(2, "--time", "1s", "-j", "1")
            check("the disk is full" in err or "No space left" in err, err)
        finally:
            subprocess.run(["umount", g.out], check=True)


def test_minimize():
    with Ground() as g:
        seed = g.seed(WRONG)
        case = g.folder / "case.yaml"
        signature = "conv_forward planted/reference mismatch f32 output everywhere dilation stride"
        for file in (seed, case):
            out, err = g.run(1, "minimize", file, "--engine", PLANTED_NUMBER)
            check(out.startswith(signature + "\n") and err == "", out, err)
            folder = pathlib.Path(f"{file}.minimized")
            document = json.loads((folder / "finding.json").read_text())
            check(document["signature"] == signature and document["verdict"] == "mismatch" and document["finished"], document)
            check(document["parameter"] in ("stride[W]", "dilation[W]"), document)
            g.run(1, "run", folder / "bad.yaml", "--engine", PLANTED_NUMBER)
            g.run(0, "run", folder / "good.yaml", "--engine", PLANTED_NUMBER)
            g.run(0, "run", folder / "bad.yaml", "--engine", "fast")
        # The smallest problem is the smallest again.
        out, _ = g.run(1, "minimize", folder / "bad.seed", "--engine", PLANTED_NUMBER, "-o", g.folder / "again")
        check((g.folder / "again/bad.yaml").read_text() == (folder / "bad.yaml").read_text(), "it became another")
        out, _ = g.run(0, "minimize", seed)
        check("nothing to minimise: pass" in out, out)
        # A near miss that the engine computes: as a case the engine would not be asked.
        (g.folder / "miss.seed").write_bytes(bytes([0, 255]))
        (g.folder / "miss").mkdir()
        for name in ("bad.yaml", "bad.seed", "good.yaml"):
            (g.folder / "miss" / name).write_text("of another problem")
        out, _ = g.run(1, "minimize", "miss.seed", "--engine", f"{ENGINES}/test-engines/wavers.so:", "-o", "miss")
        check("stride-positive" in out and f"{CONVBN} minimize miss/bad.seed --engine" in out, out)
        check(all(b"of another" not in file.read_bytes() for file in (g.folder / "miss").iterdir()), "files of another problem")
        # One that neither bytes nor a case can say: the line names what there is.
        (g.folder / "miss.seed").write_bytes(NEITHER)
        out, _ = g.run(1, "minimize", "miss.seed", "--engine", f"{ENGINES}/test-engines/wavers.so:", "-o", "miss")
        check({p.name for p in (g.folder / "miss").iterdir()} == {"finding.json", "signature.txt", "replay.txt"}, out)
        check("parameter-length" in out and f"{CONVBN} minimize miss.seed --engine" in out, out)
        # An engine that dies, and one that hangs, where the first element is 1.
        case.write_text(RIGHT.replace("integers", "ones"))
        for engine, verdict, limits in (("segfault", "crash", ()), ("endless", "timeout", ("--timeout", "1", "--time", "4s"))):
            out, _ = g.run(1, "minimize", case, "--engine", f"{ENGINES}/test-engines/{engine}.so", *limits)
            check(out.startswith(f"conv_forward {engine}/reference {verdict} f32 - nowhere"), out)


def test_minimize_input():
    with Ground() as g:
        seed = g.seed(WRONG)
        (g.folder / "long.seed").write_bytes(bytes(65))
        (g.folder / "two.yaml").write_text(WRONG + WRONG.split("cases:\n")[1].replace("planted", "second"))
        (g.folder / "broken.yaml").write_text("format: [")
        for arguments, code, words in (
                ((), 2, "name a genome or a case file"), ((seed, seed), 2, "one file at a time"),
                (("nowhere",), 2, "nowhere: cannot be read"), ((g.folder,), 2, "is no regular file"),
                (("long.seed",), 2, "has 65 bytes, and a genome has at most 64"),
                (("two.yaml",), 2, "has 2 cases; name one with -k ID"),
                (("two.yaml", "-k", "x/y/z"), 2, "has no case 'x/y/z'"), (("broken.yaml",), 2, "broken.yaml"),
                ((seed, "--time", "x"), 2, "--time must be a duration"), ((seed, "--timeout", "-1"), 2, "--timeout must be"),
                ((seed, "--engine", "nowhere"), 3, "there is no engine 'nowhere'"),
                ((seed, "--engine", PLANTED_NUMBER, "-o", "case.yaml"), 2, "is a file, and must be a folder")):
            out, err = g.run(code, "minimize", *arguments)
            check(words in err, arguments, out, err)
        g.run(1, "minimize", "two.yaml", "-k", "canonical/conv/second", "--engine", PLANTED_NUMBER)


def main():
    names = sys.argv[1:] or [name for name in globals() if name.startswith("test_")]
    failed = 0
    for name in names:
        start = time.monotonic()
        try:
            globals()[name]()
        except Failed as why:
            failed += 1
            print(f"FAILED {name}:", *(str(a) for a in why.args), sep="\n  ")
        print(f"{name}: {time.monotonic() - start:.1f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
