#!/usr/bin/env python3
"""The HTML report, opened in a headless Chromium and compared with the results inside it.

  test_report.py                         a report of reports/sample-results.json, written by a small program around
                                         harness/report_html.c that a C compiler ($CC, cc) builds here
  test_report.py --writer PATH           the same, by a program that reads results and writes the report
  test_report.py --convbn PATH [--arguments 'run cases --engine x --html {html}']
                                         a report of a run: {html} is the file to write; without it,
                                         --html DIRECTORY is added, and every .html below is a report
  test_report.py REPORT.html ...         reports that exist
  test_report.py --measure 10000         times for a report of that many cases
  test_report.py --seal                  renews the hashes in the template's policy, and does nothing else

Exit code 0: all checks hold; 1: some do not; 77: skipped (CTest: SKIP_RETURN_CODE 77). Needs Python's standard library only.
"""

import argparse
import base64
import copy
import hashlib
import html.parser
import json
import math
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "reports" / "report.html"
SAMPLE = ROOT / "reports" / "sample-results.json"
SCHEMA = ROOT / "reports" / "results-schema.json"
CHUNK = 100      # rows that the page draws at a time
MAP_LIMIT = 64   # rows and columns of a map that it draws

WRITER = r"""
#include "harness/report_html.h"
#include <stdlib.h>
int main(void) {
  size_t length = 0, room = 1u << 20;
  char *text = malloc(room);
  while (text != NULL) {
    length += fread(text + length, 1, room - length, stdin);
    if (length < room) break;
    room *= 2;
    text = realloc(text, room);
  }
  cbn_error error;
  if (text == NULL) return 2;
  const bool written = cbn_report_html_write(stdout, text, length, &error);
  free(text);
  if (!written) fprintf(stderr, "%s\n", error.text);
  return written ? 0 : 1;
}
"""


# ---- Checks ----------------------------------------------------------------------------------------------------------

class Checks:
    def __init__(self):
        self.failed = 0
        self.held = 0

    def that(self, condition, name, detail=""):
        if condition:
            self.held += 1
        else:
            self.failed += 1
            print(f"FAILED: {name}" + (f": {detail}" if detail else ""), flush=True)
        return bool(condition)

    def equal(self, got, wanted, name):
        return self.that(got == wanted, name, f"got {str(got)[:300]}, expected {str(wanted)[:300]}")


# ---- HTML ------------------------------------------------------------------------------------------------------------

class Element:
    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children = tag, attributes, []

    def walk(self):
        stack = [self]
        while stack:
            e = stack.pop()
            yield e
            stack.extend(c for c in reversed(e.children) if isinstance(c, Element))

    def text(self):
        return "".join(c if isinstance(c, str) else c.text() for c in self.children)

    def classes(self):
        return (self.attributes.get("class") or "").split()

    def all(self, tag=None, name=None):
        return [e for e in self.walk() if (tag is None or e.tag == tag) and (name is None or name in e.classes())]

    def id(self, name):
        return next((e for e in self.walk() if e.attributes.get("id") == name), Element("missing", {}))


class Parser(html.parser.HTMLParser):
    VOID = {"meta", "link", "input", "br", "img", "hr", "embed", "base", "source"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = Element("#root", {})
        self.open = [self.root]
        self.comments = []

    def handle_starttag(self, tag, attrs):
        e = Element(tag, dict(attrs))
        self.open[-1].children.append(e)
        if tag not in self.VOID:
            self.open.append(e)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        for i in range(len(self.open) - 1, 0, -1):
            if self.open[i].tag == tag:
                del self.open[i:]
                break

    def handle_data(self, data):
        self.open[-1].children.append(data)

    def handle_comment(self, data):
        self.comments.append(data)


def parse(text):
    parser = Parser()
    parser.feed(text)
    parser.close()
    return parser.root


# ---- The policy ------------------------------------------------------------------------------------------------------

def digest(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def policy(text):
    styles = " ".join(digest(s) for s in re.findall(r"<style>(.*?)</style>", text, re.S))
    scripts = " ".join(digest(s) for s in re.findall(r"<script>(.*?)</script>", text, re.S))
    return f"default-src 'none'; style-src {styles}; script-src {scripts}; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"


def seal():
    text = TEMPLATE.read_text(encoding="utf-8")
    sealed, n = re.subn(r'(http-equiv="Content-Security-Policy" content=")[^"]*"', lambda m: m[1] + policy(text) + '"', text, count=1)
    if n != 1:
        sys.exit("the template has no content security policy")
    if sealed != text:
        TEMPLATE.write_text(sealed, encoding="utf-8")
    print("sealed" if sealed != text else "the hashes are right already")


# ---- JSON Schema, as far as the schema of results uses it ---------------------------------------------------------------

TYPES = {"object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list), "string": lambda v: isinstance(v, str),
         "boolean": lambda v: isinstance(v, bool), "null": lambda v: v is None,
         "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
         "integer": lambda v: isinstance(v, int) and not isinstance(v, bool)}
KEYWORDS = {"$schema", "$defs", "$ref", "title", "description", "type", "required", "properties", "additionalProperties", "items", "enum",
            "const", "anyOf", "minimum", "minItems", "maxItems"}


def violations(value, schema, top, where="results"):
    unknown = set(schema) - KEYWORDS
    if unknown:
        raise NotImplementedError(f"schema keywords {sorted(unknown)}")
    if "$ref" in schema:
        yield from violations(value, top["$defs"][schema["$ref"].removeprefix("#/$defs/")], top, where)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(TYPES[t](value) for t in types):
        yield f"{where}: {str(value)[:60]!r} is no {' or '.join(types)}"
        return
    same = lambda a, b: type(a) is type(b) and a == b
    if "const" in schema and not same(value, schema["const"]):
        yield f"{where}: must be {schema['const']!r}"
    if "enum" in schema and not any(same(value, v) for v in schema["enum"]):
        yield f"{where}: {str(value)[:60]!r} is none of {schema['enum']}"
    if "anyOf" in schema and all(any(True for _ in violations(value, s, top)) for s in schema["anyOf"]):
        yield f"{where}: {str(value)[:60]!r} fits no alternative"
    if "minimum" in schema and TYPES["number"](value) and value < schema["minimum"]:
        yield f"{where}: {value} is below {schema['minimum']}"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            yield f"{where}: {len(value)} items"
        if "items" in schema:
            for i, item in enumerate(value):
                yield from violations(item, schema["items"], top, f"{where}[{i}]")
    if isinstance(value, dict):
        for key in schema.get("required", []):
            if key not in value:
                yield f"{where}: lacks {key!r}"
        for key, item in value.items():
            if key in schema.get("properties", {}):
                yield from violations(item, schema["properties"][key], top, f"{where}.{key}")
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from violations(item, schema["additionalProperties"], top, f"{where}.{key}")


def results_violations(results):
    schema = json.loads(SCHEMA.read_text())
    yield from violations(results, schema, schema)
    for case in results.get("cases", []):
        for step in case.get("steps", []):
            for tensor in step.get("tensors", []):
                m = tensor.get("map")
                for key in ("expected", "actual", "share") if m else ():
                    if len(m[key]) != m["rows"] * m["columns"]:
                        yield f"{case['id']}: map.{key} has {len(m[key])} numbers for {m['rows']} x {m['columns']}"
    counts = {}
    for case in results.get("cases", []):
        counts[case.get("verdict")] = counts.get(case.get("verdict"), 0) + 1
    for verdict, n in results.get("summary", {}).items():
        if n != (len(results["cases"]) if verdict == "cases" else counts.get(verdict, 0)):
            yield f"summary.{verdict} is {n}"


# ---- Chromium --------------------------------------------------------------------------------------------------------

def browser():
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """The document that Chromium makes of a report, with what it wrote to its console."""

    def __init__(self, path, fragment=""):
        with tempfile.TemporaryDirectory(prefix="report-profile-") as profile:
            started = time.monotonic()
            done = subprocess.run(
                [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
                 "--disable-background-networking", "--disable-component-update", "--proxy-server=127.0.0.1:9", "--window-size=1200,900",
                 f"--user-data-dir={profile}", "--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom",
                 pathlib.Path(path).resolve().as_uri() + fragment],
                capture_output=True, timeout=180, check=False)
            self.seconds = time.monotonic() - started
        self.source = done.stdout.decode("utf-8", "replace")
        self.console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if ":CONSOLE" in line]
        self.document = parse(self.source)
        root = self.document.all("html")
        self.root = root[0].attributes if root else {}

    def report(self):
        return self.document.id("report")

    def visible(self):
        return "".join(e.text() for e in self.document.all("div", "page"))

    def rows(self):
        return self.document.all("tr", "row")

    def selected(self):
        return int(self.document.id("cases").attributes.get("data-selected", -1))


def fragment(**state):
    return "#" + urllib.parse.urlencode([(k, v) for k, values in state.items() for v in ([values] if isinstance(values, str) else values)])


# ---- What the page must show -----------------------------------------------------------------------------------------

UNSEEN = re.compile("[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
ADMITTED = set("""html head meta title style script body a div header span button main h1 h2 h3 h4 p noscript section ul li i b strong small
    input table thead tbody tr th td code dl dt dd figure figcaption svg defs pattern rect path text title footer kbd""".split())


def catalogue():
    found = re.findall(r'X\((\w+), "([^"]+)", (\w+), "([^"]+)"\)', (ROOT / "core" / "verdict.h").read_text())
    return [{"name": name, "weight": weight.lower(), "sentence": sentence} for _, name, weight, sentence in found]


def numeric(v):
    if isinstance(v, bool):
        return None
    if isinstance(v, (int, float)):
        return float(v)
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.get(v) if isinstance(v, str) else None


def maps_of(case):
    steps = case.get("steps")
    for step in steps if isinstance(steps, list) else []:
        for tensor in step.get("tensors", []) if isinstance(step, dict) else []:
            if isinstance(tensor, dict) and isinstance(tensor.get("map"), dict):
                rows, columns = tensor["map"]["rows"], tensor["map"]["columns"]
                if rows and columns:
                    yield tensor["map"], min(rows, MAP_LIMIT), min(columns, MAP_LIMIT)


def exceeds(v):
    return v is not None and (math.isnan(v) or v > 1)


def check_file(checks, path, name):
    """The file itself, without a browser. Returns its results."""
    text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    document = parse(text)
    content = [m.attributes.get("content") for m in document.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy"]
    checks.equal(content, [policy(text)], f"{name}: the policy names the style and the scripts (--seal renews it)")
    checks.that(text.index("Content-Security-Policy") < text.index("<style"), f"{name}: the policy comes first")
    checks.equal([s.attributes for s in document.all("script")],
                 [{}, {"type": "application/json", "id": "verdicts"}, {"type": "application/json", "id": "results"}, {}], f"{name}: its scripts")
    for e in document.walk():
        for key, value in e.attributes.items():
            checks.that(not key.startswith("on") and key not in ("src", "srcset", "style", "action", "data", "srcdoc"), f"{name}: attribute {key} of <{e.tag}>")
            if key in ("href", "xlink:href"):
                checks.that(value.startswith("#"), f"{name}: an external reference {value!r}")
    code = "".join(re.findall(r"<(?:script|style)>(.*?)</", text, re.S))
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "@import", "fetch(", "XMLHttpRequest", "url(h", "url(/"):
        checks.that(forbidden not in code, f"{name}: the page's own code has {forbidden}")
    raw = document.id("results").text()
    checks.that(not re.search("[<>&\u2028\u2029]", raw), f"{name}: the results are safe inside their element")
    checks.equal(json.loads(document.id("verdicts").text()), catalogue(), f"{name}: its catalogue is verdict.h")
    try:
        return json.loads(raw)
    except ValueError as error:
        checks.that(False, f"{name}: the results are JSON", str(error))
        return None


def check_inert(checks, page, name):
    """Whatever the data says, the document has the page's own elements only, and no character that hides."""
    checks.equal(page.console, [], f"{name}: the console is silent")
    checks.equal(page.root.get("data-errors"), "0", f"{name}: no script error")
    checks.that("data-owned" not in page.root, f"{name}: no script of the data ran")
    tags = {e.tag for e in page.document.walk()} - ADMITTED - {"#root", "!doctype"}
    checks.equal(tags, set(), f"{name}: elements that are not the page's")
    for e in page.document.walk():
        if e.tag in ("i", "b", "small", "strong"):
            checks.that("onerror" not in e.attributes, f"{name}: attributes of <{e.tag}>")
        if any(key.startswith("on") or key in ("src", "data", "srcdoc") for key in e.attributes):
            checks.that(False, f"{name}: attributes {list(e.attributes)} of <{e.tag}>")
        href = e.attributes.get("href")
        if href is not None and not href.startswith("#"):
            checks.that(False, f"{name}: the reference {href[:80]!r}")
        for key in ("title", "aria-label"):
            if UNSEEN.search(e.attributes.get(key) or ""):
                checks.that(False, f"{name}: {key} holds an invisible character", repr(e.attributes[key][:80]))
    hidden = UNSEEN.search(page.visible())
    checks.that(hidden is None, f"{name}: no invisible character in the text", repr(page.visible()[max(0, hidden.start() - 40):hidden.end() + 10]) if hidden else "")


def check_overview(checks, path, results, name):
    page = Page(path)
    check_inert(checks, page, name)
    checks.equal(page.root.get("data-state"), "ready", f"{name}: the page is ready")
    cases = results["cases"]
    counts = {}
    for case in cases:
        counts[case["verdict"]] = counts.get(case["verdict"], 0) + 1
    shown = {t.attributes["data-verdict"]: int(t.attributes["data-count"]) for t in page.document.all("a", "tile")}
    checks.equal(shown, counts, f"{name}: counts by verdict")
    checks.equal({t.attributes["data-verdict"]: re.sub(r"\D", "", t.all("strong")[0].text()) for t in page.document.all("a", "tile")},
                 {k: str(v) for k, v in counts.items()}, f"{name}: the counts that are read")
    checks.equal(page.selected(), len(cases), f"{name}: all cases are selected")
    rows = len(page.rows())
    checks.that(rows == len(cases) if len(cases) <= CHUNK else CHUNK <= rows <= 20 * CHUNK, f"{name}: rows", f"{rows} of {len(cases)}")
    checks.equal(len(page.document.all("tr", "detail-row")), 0, f"{name}: no detail before it is asked for")
    for case in cases:
        if len(cases) <= CHUNK:
            number = str(cases.index(case))
            checks.equal(len([r for r in page.rows() if r.attributes.get("data-case") == number]), 1, f"{name}: one row for case {number}")
    return page


def check_filters(checks, path, results, name):
    cases = results["cases"]
    if not cases:
        return
    verdicts = sorted({c["verdict"] for c in cases})[:2]
    page = Page(path, fragment(verdict=verdicts))
    wanted = sum(c["verdict"] in verdicts for c in cases)
    checks.equal(page.selected(), wanted, f"{name}: filter verdict={verdicts}")
    checks.equal({r.all("span", "badge")[0].text() for r in page.rows()} <= set(verdicts), True, f"{name}: verdicts of the filtered rows")
    pressed = [b.attributes.get("aria-pressed") for b in page.document.id("chips-verdict").all("button")]
    checks.equal(pressed.count("true"), len(verdicts), f"{name}: pressed chips")

    dialects = sorted({c["dialect"] for c in cases}, key=lambda d: sum(c["dialect"] == d for c in cases))
    page = Page(path, fragment(dialect=dialects[0]))
    checks.equal(page.selected(), sum(c["dialect"] == dialects[0] for c in cases), f"{name}: filter dialect={dialects[0]}")

    word = max((w for c in cases for w in re.findall(r"[a-z]{4,12}", c["comment"])), key=len, default="conv")
    dialect = cases[0]["dialect"]
    haystack = lambda c: "\n".join(text[:8000] for text in (c["id"], c["comment"], " ".join(c["flags"]), c["params"], c["verdict"],
                                                         c["dialect"] + " " + c["operator"], c["rule"] or "")).lower()
    page = Page(path, fragment(q=word, dialect=dialect, sort="-error"))
    wanted = [c for c in cases if word in haystack(c) and c["dialect"] == dialect]
    checks.equal(page.selected(), len(wanted), f"{name}: filter q={word} dialect={dialect}")

    operator = cases[0]["operator"]
    page = Page(path, fragment(operator=operator, sort="-error"))
    wanted = [(i, c) for i, c in enumerate(cases) if c["operator"] == operator]
    key = lambda v: -1 if v is None else sys.float_info.max if math.isnan(v) else min(v, sys.float_info.max)
    wanted.sort(key=lambda e: (-key(numeric(e[1]["error_over_bound"])), e[0]))
    order = [int(r.attributes["data-case"]) for r in page.rows()]
    checks.equal(order, [i for i, _ in wanted][:len(order)], f"{name}: order of sort=-error for {operator}")

    page = Page(path, fragment(q="no-case-has-this-word"))
    checks.equal((page.selected(), len(page.rows())), (0, 0), f"{name}: a filter that nothing passes")


def check_details(checks, path, results, name):
    cases, first = results["cases"], {}
    for i, case in enumerate(cases):
        first.setdefault(case["id"], i)
    known = [c for i, c in enumerate(cases) if first[c["id"]] == i]
    wanted = [c for c in known if list(maps_of(c))][:12] + [c for c in known if c["documented"] or c["upstream"]][:6] + known[-6:]
    wanted = list({c["id"]: c for c in wanted}.values())
    if not wanted:
        return
    page = Page(path, fragment(open=[c["id"] for c in wanted]))
    check_inert(checks, page, f"{name}, open")
    details = page.document.all("tr", "detail-row")
    checks.equal(len(details), len(wanted), f"{name}: open details")
    parent = {}
    for body in page.document.all("tbody"):
        for before, after in zip(body.children, body.children[1:]):
            if "detail-row" in after.classes():
                parent[int(before.attributes["data-case"])] = after
    for case in wanted:
        detail = parent.get(first[case["id"]])
        title = f"{name}: case {first[case['id']]}"
        if not checks.that(detail is not None, f"{title}: its detail is open"):
            continue
        maps = list(maps_of(case))
        svgs = detail.all("svg", "map")
        checks.equal(len(svgs), 3 * len(maps), f"{title}: maps")
        for i, (m, rows, columns) in enumerate(maps):
            three = svgs[3 * i:3 * i + 3]
            checks.equal([len(s.all("rect", "cell")) for s in three], [rows * columns] * 3, f"{title}: cells of map {i}")
            checks.that(all(s.attributes.get("aria-label") for s in three), f"{title}: alternatives of map {i}")
            shares = [numeric(v) for v in m["share"]] if isinstance(m["share"], list) else []
            over = [v for v in shares if exceeds(v)] if (rows, columns) == (m["rows"], m["columns"]) else None
            if over is not None and three:
                checks.equal(len(three[2].all("path", "cross")), len(over), f"{title}: crosses of map {i}")
                checks.equal([len(s.all("rect", "ring")) for s in three], [1 if over else 0] * 3, f"{title}: the worst element of map {i}")
        text = detail.text()
        plain = lambda s: isinstance(s, str) and s and len(s) < 4000 and not UNSEEN.search(s) and s.isascii() and s.isprintable()
        documented = [d for d in case["documented"] if isinstance(d, dict)] if isinstance(case["documented"], list) else []
        upstream = [u for u in case["upstream"] if isinstance(u, dict)] if isinstance(case["upstream"], list) else []
        for value in (case["sentence"], case["comment"], case["params"], case["source"], case["replay"], case["rule"],
                      *(d[k] for d in documented for k in ("document", "claim", "by", "expected", "observed")),
                      *(u[k] for u in upstream for k in ("engine", "note"))):
            if plain(value):
                checks.that(value in text, f"{title}: shows {value[:60]!r}")
        checks.equal(len(detail.all("div", "claim")), len(documented) + len(upstream), f"{title}: claims")
    return page


# ---- Results that try the page ---------------------------------------------------------------------------------------

def with_wrong_kinds(results):
    """A file whose values are of the wrong kinds: the page shows what it can and calls nothing of it a pass."""
    results = copy.deepcopy(results)
    case = copy.deepcopy(results["cases"][0])
    case.update({
        "id": "pytorch/conv2d/wrong-kinds", "verdict": "fabulous", "flags": [], "seconds": "soon", "line": -1, "documented": {"0": 1},
        "upstream": [None, 3, "x"], "error_over_bound": "lots", "layout": ["contiguous"], "work": "inf",
        "steps": [None, {"mode": 7, "tensors": [
            None,
            {"role": None, "shape": "2x2", "elements": "4", "outside": None, "inconclusive": [], "error_over_bound": {}, "worst": "[0]",
             "expected": "one", "actual": [], "bound": True,
             "map": {"axes": 4, "origin": "0", "rows": 2, "columns": 3, "expected": [1, "nan", None], "actual": "none",
                     "share": [0.5, "inf", "nan", True, {}, "-inf"]}},
            {"role": "empty", "shape": [0], "elements": 0, "outside": 0, "map": {"rows": 0, "columns": 0}},
            {"role": "huge", "map": {"rows": 100000, "columns": 100000, "expected": [], "actual": [], "share": []}}]}]})
    results["cases"].append(case)
    return results


def with_long_strings(results):
    results = copy.deepcopy(results)
    results["cases"] = results["cases"][:1]
    case = results["cases"][0]
    for key in ("comment", "sentence", "params", "source", "operator"):
        case[key] = "x" * 1_000_000
    case["flags"] = ["y" * 1_000_000] * 3
    return results


def repeated(results, n):
    cases = results["cases"]
    made = copy.copy(results)
    made["cases"] = []
    for i in range(n):
        case = dict(cases[i % len(cases)])
        case["id"] = f"{case['id'][:60]}/{i}"
        made["cases"].append(case)
    made["summary"] = {"cases": n}
    for verdict in catalogue():
        made["summary"][verdict["name"]] = sum(c["verdict"] == verdict["name"] for c in made["cases"])
    return made


# ---- Runs ------------------------------------------------------------------------------------------------------------

def build_writer(directory):
    compiler = shlex.split(os.environ.get("CC", "")) or [c for c in [shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")] if c]
    if not compiler:
        return None
    source, program = directory / "writer.c", directory / "writer"
    source.write_text(WRITER)
    subprocess.run([*compiler, "-std=c17", "-O1", "-D_POSIX_C_SOURCE=200809L", f"-I{ROOT}", f'-DCBN_REPORT_TEMPLATE="{TEMPLATE}"', str(source),
                    str(ROOT / "harness/report_html.c"), str(ROOT / "harness/embed.S"), str(ROOT / "core/error.c"), "-o", str(program)], check=True)
    return program


def write_report(writer, text, path):
    with open(path, "wb") as out:
        subprocess.run([str(writer)], input=text if isinstance(text, bytes) else text.encode(), stdout=out, check=True)
    return path


def check_report(checks, path, name):
    results = check_file(checks, path, name)
    if results is None:
        return None
    for violation in list(results_violations(results))[:10]:
        checks.that(False, f"{name}: the results have their schema", violation)
    check_overview(checks, path, results, name)
    check_filters(checks, path, results, name)
    check_details(checks, path, results, name)
    return results


def check_sample(checks, writer, directory):
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    path = write_report(writer, SAMPLE.read_bytes(), directory / "sample.html")
    embedded = check_report(checks, path, "sample")
    checks.equal(embedded, sample, "sample: the results inside are those given")

    # Written as raw UTF-8 instead of escapes, and with raw control characters that JSON forbids.
    raw = json.dumps(sample, ensure_ascii=False).encode("utf-8", "surrogatepass").replace(b"\xed\xa0\x80", b"\\ud800")
    path = write_report(writer, raw.replace(b"\\u0007", b"\x07").replace(b"\\u0000", b"\x00"), directory / "raw.html")
    checks.equal(check_file(checks, path, "raw"), sample, "raw: the results inside are those given")

    wrong = with_wrong_kinds(sample)
    path = write_report(writer, json.dumps(wrong), directory / "wrong.html")
    page = check_overview(checks, path, wrong, "wrong kinds")
    checks.equal(len(page.document.all("p", "notice")) > 1, True, "wrong kinds: the page says that summary and list differ")
    detail = check_details(checks, path, wrong, "wrong kinds")
    silent = [r for r in detail.document.all("div", "tensor") if "huge" in r.text()]
    fabulous = [r for r in page.rows() if "fabulous" in r.text()]
    checks.equal(len(fabulous), 1, "wrong kinds: the unknown verdict has its row")
    checks.that(fabulous and "bad" in fabulous[0].all("span", "badge")[0].classes(), "wrong kinds: an unknown verdict is no pass")
    checks.equal([e.text() for r in silent for e in r.all("span", "state")], ["no elements"], "wrong kinds: silence is no pass")

    long = with_long_strings(sample)
    path = write_report(writer, json.dumps(long), directory / "long.html")
    page = Page(path, fragment(open=long["cases"][0]["id"]))
    check_inert(checks, page, "long strings")
    checks.that("x" * 4001 not in page.visible() and "y" * 4001 not in page.visible(), "long strings: they are cut")
    checks.that(re.search("cut: 4.000 of 1.000.000 characters", page.visible()) is not None, "long strings: a note says so")

    many = repeated(sample, 10000)
    text = json.dumps(many)
    path = write_report(writer, text, directory / "many.html")
    page = check_overview(checks, path, many, "10000 cases")
    print(f"10000 cases: {len(text) / 1e6:.1f} MB, {len(page.rows())} rows drawn at first")

    for name, text, state in (("empty", json.dumps({**sample, "cases": [], "summary": {"cases": 0}}), "ready"), ("damaged", '{"format": 1, "cases": [', "refused"),
                              ("nothing", "", "refused"), ("no object", "[1]", "refused")):
        page = Page(write_report(writer, text, directory / f"{name.replace(' ', '-')}.html"))
        check_inert(checks, page, name)
        checks.equal(page.root.get("data-state"), state, f"{name}: state of the page")
    page = Page(TEMPLATE)
    check_inert(checks, page, "template")
    checks.equal(page.root.get("data-state"), "refused", "template: the page says that it holds no results")

    full = pathlib.Path("/dev/full")
    if full.exists():
        with open(full, "wb") as out:
            done = subprocess.run([str(writer)], input=SAMPLE.read_bytes(), stdout=out, stderr=subprocess.PIPE, check=False)
        checks.that(done.returncode == 1 and b"cannot write the HTML report" in done.stderr, "a full disk is an error", done.stderr[:200])


def check_lists(checks):
    names = [v["name"] for v in catalogue()]
    schema = json.loads(SCHEMA.read_text())
    checks.that(len(names) > 10, "verdict.h is read")
    checks.equal(schema["$defs"]["verdict"]["enum"], names, "the schema's verdicts are those of verdict.h")
    checks.equal(schema["properties"]["summary"]["required"], ["cases", *names], "the schema's summary counts every verdict")


def measure(writer, directory, n):
    results = repeated(json.loads(SAMPLE.read_text(encoding="utf-8")), n)
    text = json.dumps(results)
    path = write_report(writer, text, directory / "measured.html")
    with tempfile.TemporaryDirectory(prefix="report-profile-") as profile:
        for _ in range(3):
            done = subprocess.run([browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom", path.as_uri()],
                                  capture_output=True, check=True)
            root = parse(done.stdout.decode("utf-8", "replace")[:2000]).all("html")[0].attributes
            print(f"{n} cases, {len(text) / 1e6:.1f} MB: parsed in {root.get('data-parse-ms')} ms, drawn in {root.get('data-render-ms')} ms, "
                  f"first paint {root.get('data-paint-ms', '(after the load)')} ms")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("reports", nargs="*", type=pathlib.Path)
    arguments.add_argument("--writer", type=pathlib.Path)
    arguments.add_argument("--convbn", type=pathlib.Path)
    arguments.add_argument("--arguments", default=f"run {shlex.quote(str(ROOT / 'cases'))}")
    arguments.add_argument("--measure", type=int)
    arguments.add_argument("--seal", action="store_true")
    options = arguments.parse_args()
    if options.seal:
        seal()
        return 0
    if not browser():
        print("skipped: chromium not installed")
        return 77

    checks = Checks()
    check_lists(checks)
    with tempfile.TemporaryDirectory(prefix="report-test-") as name:
        directory = pathlib.Path(name)
        reports = list(options.reports)
        if options.convbn:
            target = directory / "run"
            target.mkdir()
            words = shlex.split(options.arguments)
            if not any("{html}" in w for w in words):
                words += ["--html", str(target)]
            done = subprocess.run([str(options.convbn), *(w.replace("{html}", str(target / "run.html")) for w in words)], check=False)
            checks.that(done.returncode in (0, 1, 5), "convbn run ... --html", f"exit code {done.returncode}")
            made = sorted(target.rglob("*.html"))
            checks.that(made, "convbn run ... --html writes a report")
            reports += made
        for path in reports:
            check_report(checks, path, path.name)
        if not reports and not options.convbn:
            writer = options.writer.resolve() if options.writer else build_writer(directory)
            if writer is None:
                print("skipped: no C compiler, and no --writer, --convbn or report given")
                return 77
            if options.measure:
                measure(writer, directory, options.measure)
                return 0
            check_sample(checks, writer, directory)
    print(f"{checks.held} checks hold, {checks.failed} do not")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
