"""The pages of differences: the same bytes each time, both forms with the same words, known facts of the frameworks' measured behaviour, and
nothing on them that no case, witness or search backs; and how tools/run-snippets reads and compares programs."""

import html
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ["CONVBN_SOURCE"])
sys.path.insert(0, str(SOURCE / "tools"))

from snippets.known import KNOWN, known_case  # noqa: E402
from snippets.pages import difference, programs_of  # noqa: E402


def write(folder, *arguments):
    """Runs `convbn differences` with both forms into a folder."""
    command = [os.environ["CONVBN"], "differences", *arguments, "--html", str(folder), "--markdown", str(folder)]
    subprocess.run(command, check=True, cwd=SOURCE)


def rows(text, heading):
    """The rows of the tables below a heading, as lists of cells."""
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL).group(1)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in section.splitlines()
            if line.startswith("| ")]


class Pages(unittest.TestCase):
    """Two pages, each made once."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cases = ["--cases", "cases/mindspore"]
        write(cls.path, "torch.nn.Conv2d", "mindspore.nn.Conv2d", *cases)
        write(cls.path, "torch.nn.BatchNorm2d", "mindspore.nn.BatchNorm2d", *cases)
        cls.conv = (cls.path / "torch.nn.Conv2d-mindspore.nn.Conv2d.md").read_text()
        cls.norm = (cls.path / "torch.nn.BatchNorm2d-mindspore.nn.BatchNorm2d.md").read_text()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_bytes(self):
        """Made again, every byte is the same."""
        with tempfile.TemporaryDirectory() as again:
            write(again, "torch.nn.Conv2d", "mindspore.nn.Conv2d", "--cases", "cases/mindspore")
            made = sorted(Path(again).iterdir())
            self.assertEqual([page.suffix for page in made], [".html", ".md"])
            for page in made:
                self.assertEqual(page.read_bytes(), (self.path / page.name).read_bytes())

    def test_forms(self):
        """HTML has the programs, their outputs and the cells that Markdown has."""
        page = (self.path / "torch.nn.Conv2d-mindspore.nn.Conv2d.html").read_text()
        words = html.unescape(re.sub(r"<[^>]*>", "", page))
        programs = programs_of(self.path / "torch.nn.Conv2d-mindspore.nn.Conv2d.md")
        self.assertGreater(len(programs), 10)
        for program in programs:
            self.assertIn(program.code, words)
            self.assertIn(program.expected, words)
        for line in rows(self.conv, "What documents say"):
            self.assertIn(line[3].strip("`"), words)
        self.assertNotIn("<script", page)
        self.assertNotRegex(page, r"(?:src|href)=\"(?!#)[^\"]*//")

    def test_verdicts(self):
        """Facts of docs/framework-rules.md, by hand."""
        verdict = {line[0]: line[3] for line in rows(self.conv, "Parameters")}
        self.assertIn("in values", verdict["bias"])
        self.assertIn("in shapes", verdict["padding"])
        self.assertIn("in values", verdict["padding mode"])
        for same in ("input channels", "output channels", "groups"):
            self.assertRegex(verdict[same], r"^agree in the region searched: [1-9]\d* pairs of layers, [1-9]\d* situations")
        for refused in ("stride", "dilation"):
            self.assertNotIn("in values", verdict[refused])
            self.assertNotIn("in shapes", verdict[refused])
        verdict = {line[0]: line[3] for line in rows(self.norm, "Parameters")}
        self.assertIn("in values", verdict["momentum"])
        self.assertIn("in values", verdict["statistics"])
        self.assertNotIn("in values", verdict["epsilon"])
        self.assertIn("agree", verdict["channels"])

    def test_links(self):
        """Each link to a heading has one."""
        for page in (self.conv, self.norm):
            anchors = {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")
                       for head in re.findall(r"^#+ (.*)$", page, re.MULTILINE)}
            links = re.findall(r"\]\(#([^)]*)\)", page)
            self.assertGreater(len(links), 2)
            self.assertLessEqual(set(links), anchors)

    def test_claims(self):
        """Refuted claims are told as such, with what is right in their place; every case that is named exists."""
        table = rows(self.conv, "What documents say")
        found = [line for line in table if "nn.Pad with paddings" in line[0]]
        self.assertEqual(len(found), 1)
        self.assertIn("right in shape only", found[0][1])
        found = [line for line in table if "padding can only be an int" in line[0]]
        self.assertTrue(found[0][1].startswith("refuted by MindSpore"))
        self.assertIn("torch.nn.Conv2d(", found[0][2])
        cases = "".join(path.read_text() for path in (SOURCE / "cases").rglob("*.yaml"))
        for page in (self.conv, self.norm):
            for heading in ("What documents say", "What is refused"):
                for line in rows(page, heading)[1:]:
                    for identifier in re.findall(r"`((?:pytorch|mindspore)/[^`]*)`", line[-1]):
                        self.assertIn(f"id: {identifier}\n", cases)

    def test_reflection(self):
        """With PyTorch's cases too, the claim about reflection gets the pad that keeps the channels."""
        with tempfile.TemporaryDirectory() as folder:
            write(folder, "torch.nn.Conv2d", "mindspore.nn.Conv2d")
            table = rows(next(Path(folder).glob("*.md")).read_text(), "What documents say")
        found = [line for line in table if "nn.Pad with paddings" in line[0]]
        self.assertIn("mindspore.ops.pad(x, (1, 1, 1, 1), mode='reflect')", found[0][2])
        self.assertTrue(any("fills the left and upper sides first" in line[0] and "refuted" in line[1] for line in table))

    def test_recipes(self):
        """By hand: what porters write."""
        table = {(line[0], line[1].startswith("`torch")): line for line in rows(self.conv, "Recipes")}
        self.assertEqual(table["defaults", True][1:],
                         ["`torch.nn.Conv2d(2, 4, 3)`", "exact",
                          "`mindspore.nn.Conv2d(2, 4, 3, pad_mode='valid', has_bias=True)`"])
        self.assertEqual(table["same, stride 2", False][2], "exact if H mod 2 = 1 and W mod 2 = 1")
        self.assertIn("padding=1", table["same, stride 2", False][3])
        norm = {(line[0], line[1].startswith("`torch")): line for line in rows(self.norm, "Recipes")}
        self.assertIn("momentum=0.01", norm["momentum 0.99", True][3])
        self.assertNotIn("momentum", norm["defaults", True][3])


class Programs(unittest.TestCase):
    """The reading and the comparison of tools/run-snippets."""

    def test_reading(self):
        """Pairs of blocks, with their lines and engines."""
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text("# t\n\n```python\nimport torch\n```\n\n```text\na (1,) 2\n```\n\n```python\nprint(1)\n```\n\nwords\n\n"
                            "````python\nimport onnx\nimport onnxruntime\n'```'\n````\n\n```text\nrefuses Fail\n```\n")
            found = programs_of(page)
        self.assertEqual([(p.line, p.engine, p.expected) for p in found],
                         [(3, "pytorch", "a (1,) 2\n"), (17, "onnx", "refuses Fail\n")])

    def test_comparison(self):
        """Shapes and names exactly, numbers nearly, refusals by their class."""
        same = (("output (1, 2) 1 2", "output (1, 2) 1 2"), ("output (1,) 1000000", "output (1,) 1000001"),
                ("output (1,) nan", "output (1,) nan"), ("output (2,) 0 1", "output (2,) 1e-6 1"),
                ("output (0,)", "output (0,)"), ("refuses ValueError", "refuses ValueError\n"),
                ("output (1,) inf", "output (1,) inf"))
        other = (("output (1, 2) 1 2", "output (2, 1) 1 2"), ("output (1,) 1", "output (1,) 1.00001"),
                 ("output (1,) nan", "output (1,) 1"), ("output (2,) 0 1", "output (2,) 1e-5 1"),
                 ("refuses ValueError", "refuses TypeError"), ("refuses ValueError", "output (1,) 1"),
                 ("output (1,) 1", ""), ("", "output (1,) 1"), ("output (1,) 1", "output (1,) 1\nrunning_mean (1,) 1"),
                 ("output (1,) inf", "output (1,) 1"), ("output (2,) 1 2", "output (2,) 1"))
        for expected, actual in same:
            self.assertIsNone(difference(expected, actual), (expected, actual))
        for expected, actual in other:
            self.assertIsNotNone(difference(expected, actual), (expected, actual))

    def test_known(self):
        """What is known is a case, and is no more than its own programs."""
        cases = "".join(path.read_text() for path in (SOURCE / "cases").rglob("*.yaml"))
        for _, _, case in KNOWN:
            self.assertIn(f"id: {case}\n", cases)
        self.assertIsNone(known_case("onnx", "make_node('Conv', inputs=['X'], auto_pad='SAME_UPPER', dilations=[1, 1])"))
        self.assertIsNotNone(known_case("onnx", "make_node('Conv', inputs=['X'], auto_pad='SAME_UPPER', dilations=[1, 2])"))
        self.assertIsNone(known_case("pytorch", "Conv2dTranspose(1, 1, output_padding=1)"))

    def test_command(self):
        """What cannot be run is said in one line; a framework that is not there is skipped."""
        tool = [sys.executable, str(SOURCE / "tools" / "run-snippets")]
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text("```python\nimport torch\n```\n\n```text\nrefuses E\n```\n")
            missing = subprocess.run([*tool, str(Path(folder) / "no")], capture_output=True, text=True, check=False)
            self.assertEqual((missing.returncode, missing.stderr.count("\n")), (2, 1))
            skipped = subprocess.run([*tool, str(page), "--environments", folder], capture_output=True, text=True, check=False)
            self.assertEqual(skipped.returncode, 2)
            self.assertIn("skipped: pytorch not installed", skipped.stdout)
            python = Path(folder) / "goldens-venv" / "bin"
            python.mkdir(parents=True)
            (python / "python").symlink_to(sys.executable)
            page.write_text("```python\nimport sys\nimport types\nsys.modules['torch'] = types.ModuleType('torch')\nimport torch\n"
                            "print('output (1,) 1')\n```\n\n```text\noutput (1,) 1\n```\n")
            good = subprocess.run([*tool, folder, "--environments", folder], capture_output=True, text=True, check=False)
            self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
            page.write_text(page.read_text().replace("```text\noutput (1,) 1", "```text\noutput (1,) 2"))
            bad = subprocess.run([*tool, folder, "--environments", folder], capture_output=True, text=True, check=False)
            self.assertEqual(bad.returncode, 1)
            self.assertIn("page.md:1: pytorch: output: value 0 is 1, not 2", bad.stdout)


if __name__ == "__main__":
    unittest.main()
