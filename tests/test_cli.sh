#!/usr/bin/env bash
# The program as people and scripts use it: help, options, selection, reports, exit codes.
set -euo pipefail
cd -- "$CONVBN_SOURCE"
engines=$CONVBN_BUILD/lib/convbn/test-engines
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fail() {
  echo "line ${BASH_LINENO[0]}: $*"
  exit 1
}
equal() { [ "$1" = "$2" ] || { printf 'line %s:\n  got      %q\n  expected %q\n' "${BASH_LINENO[0]}" "$1" "$2"; exit 1; }; }
has() { [[ $1 == *"$2"* ]] || { printf 'line %s: %q is not in:\n%s\n' "${BASH_LINENO[0]}" "$2" "$1"; exit 1; }; }
lacks() { [[ $1 != *"$2"* ]] || { printf 'line %s: %q is in:\n%s\n' "${BASH_LINENO[0]}" "$2" "$1"; exit 1; }; }

# Runs the program; sets code, out, err.
convbn() {
  code=0
  "$CONVBN" "$@" >"$tree/out" 2>"$tree/err" </dev/null || code=$?
  out=$(cat "$tree/out")
  err=$(cat "$tree/err")
}
# The same, which must end with that code.
exits() {
  local expected=$1
  shift
  convbn "$@"
  [ "$code" = "$expected" ] || { printf 'line %s: convbn %s: exit %s, not %s\n%s\n%s\n' "${BASH_LINENO[0]}" "$*" "$code" "$expected" "${out:0:2000}" "$err"; exit 1; }
}

# A case file of one-by-one convolutions. A case is: id, weight, right output of input 1 2 3, flags.
header='format: 1
dialect: pytorch
operator: nn.Conv2d
source: by hand
cases:'
a_case() {
  printf -- '- {id: %s, comment: a test of the program, flags: [%s], params: {in_channels: 1, out_channels: 1, kernel_size: 1, bias: false},\n' "$1" "${4-}"
  printf '   tensors: {input: {shape: [1, 1, 1, 3], values: [1, 2, 3]}, weight: {shape: [1, 1, 1, 1], values: [%s]}},\n' "$2"
  printf '   expect: {output: {shape: [1, 1, 1, 3], values: [%s]}}}\n' "$3"
}
{ echo "$header"; a_case t/doubles 2 '2, 4, 6' Even; a_case t/triples 3 '3, 6, 9' Odd; a_case t/fourfold 4 '4, 8, 12' Even; } >"$tree/good.yaml"
{ echo "$header"; a_case t/refuted 2 '2, 4, 7'; } >"$tree/refuted.yaml"
{ echo "$header"; a_case t/bad 2 '2, 4'; } >"$tree/bad.yaml"
# Partial sums may overflow: nothing can be said of the output.
cat >"$tree/inconclusive.yaml" <<EOF2
$header
- id: t/overflows
  comment: partial sums overflow
  params: {in_channels: 3, out_channels: 1, kernel_size: 1, bias: false}
  tensors: {input: {shape: [1, 3, 1, 1], values: [3.0e+38, 3.0e+38, -3.0e+38]}, weight: {shape: [1, 3, 1, 1], values: [1, 1, 1]}}
  expect: {output: {shape: [1, 1, 1, 1]}}
EOF2
cat >"$tree/random.yaml" <<EOF2
$header
- id: t/random
  comment: drawn numbers
  params: {in_channels: 2, out_channels: 2, kernel_size: 3}
  tensors:
    input: {shape: [1, 2, 8, 8], fill: {kind: normal}}
    weight: {shape: [2, 2, 3, 3], fill: {kind: normal}}
    bias: {shape: [2], fill: {kind: normal}}
  expect: {output: {shape: [1, 2, 6, 6]}}
EOF2
cat >"$tree/large.yaml" <<EOF2
$header
- id: t/large
  comment: more than 2^30 multiply-adds
  params: {in_channels: 64, out_channels: 64, kernel_size: 3, bias: false}
  tensors: {input: {shape: [1, 64, 200, 200], fill: {kind: integers}}, weight: {shape: [64, 64, 3, 3], fill: {kind: integers}}}
  expect: {output: {shape: [1, 64, 198, 198]}}
EOF2

# --help of the program and of each command; what the program's own list says is what there is.
exits 0 --help
has "$out" "Usage: convbn COMMAND"
equal "$err" ""
commands=$(sed -nE 's/^  ([a-z]+) .*/\1/p' <<<"$out")
has " ${commands//$'\n'/ } " " run lint "
for command in $commands; do
  exits 0 "$command" --help
  has "$out" "Usage: convbn $command"
  equal "$err" ""
  exits 2 "$command" --no-such-option
  equal "$out" ""
  has "$err" "convbn $command: unrecognized option '--no-such-option'"
done
# The man page names each command and each option.
page=$(sed 's/\\-/-/g; s/\\f[A-Z]//g' docs/convbn.1)
for command in $commands; do
  grep -qxE "\.B $command" <<<"$page" || fail "docs/convbn.1 does not name the command $command"
  exits 0 "$command" --help
  words=$(grep -oE '^ +(-[a-zA-Z?][, ]|--[a-z-]+).*' <<<"$out" | grep -oE '(^| )--?[a-zA-Z?][a-z-]*' | tr -d ' ')
  has "$words" "--help"
  for word in $words; do
    grep -qE -- "(^|[ \"])$word([ \"=]|\$)" <<<"$page" || fail "docs/convbn.1 does not name the option $word of $command"
  done
done
exits 0 --version
[[ $out =~ ^convbn\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "$out"
for list in dialects rules verdicts; do
  exits 0 "$list"
  [ "$(wc -l <<<"$out")" -ge 4 ] || fail "$list: $out"
done
exits 0 engines
has "$out" "reference"
has "$out" "fast"

# Usage errors: one clear line, exit 2, nothing on the standard output.
for arguments in "" "nope" "run" "lint" "run -k" "run $tree/good.yaml -j 0" "run $tree/good.yaml -j x" "run $tree/good.yaml -j 1e3" \
  "run $tree/good.yaml --seed -1" "run $tree/good.yaml --seed 1x" "run $tree/good.yaml --seed 9223372036854775808" \
  "run $tree/good.yaml --timeout 0" "run $tree/good.yaml --timeout nan" "run $tree/good.yaml --timeout -1" \
  "run $tree/good.yaml --memory 0" "run $tree/good.yaml --memory 99999999999999999999" "run $tree/good.yaml --engine-memory -5" \
  "run $tree/good.yaml -k (" "run $tree/good.yaml -k and" "run $tree/nowhere.yaml"; do
  # shellcheck disable=SC2086 # words
  exits 2 $arguments
  equal "$out" ""
  [ -n "$err" ] || fail "'$arguments' says nothing"
done
exits 2 nope
equal "$err" "convbn: there is no command 'nope'; \`convbn --help\` lists them"
exits 2 run "$tree/good.yaml" -j 0
has "$err" "-j must be a whole number from 1 to 1024, got '0'"
exits 2 run "$tree/good.yaml" -k 'a b'
has "$err" "-k: column 3"

# A right engine; what -q and -v say.
exits 0 run "$tree/good.yaml"
has "$out" "3 cases: 3 pass, in "
lacks "$out" "t/doubles"
exits 0 run "$tree/good.yaml" --engine reference -v
equal "$(grep -c '^pass  *t/' <<<"$out")" 3
exits 0 run "$tree/good.yaml" -q
equal "$(wc -l <<<"$out")" 1
equal "$err" ""

# Selection: words anywhere in id, operator, dialect and flags.
listed() { exits 0 run "$tree/good.yaml" --list -k "$1"; equal "${out//$'\n'/ }" "$2"; }
exits 0 run "$tree/good.yaml" --list
equal "$out" $'t/doubles\nt/triples\nt/fourfold'
listed doubles t/doubles
listed 'DOUBLES or fourf' 't/doubles t/fourfold'
listed even 't/doubles t/fourfold'
listed 'not (even)' t/triples
listed 'conv2d and pytorch and not odd' 't/doubles t/fourfold'
listed '' 't/doubles t/triples t/fourfold'
exits 4 run "$tree/good.yaml" -k nothing-of-that-name
equal "$err" "convbn run: no case is selected"
exits 4 run "$tree/good.yaml" -k nothing-of-that-name --list
exits 4 run "$tree/large.yaml"
has "$err" "only large cases are selected (1); --large runs them"
exits 0 run "$tree/large.yaml" --list
equal "$out" "t/large  (large)"
exits 0 run "$tree/large.yaml" "$tree/good.yaml"
has "$out" "1 large cases left out; --large runs them"
exits 0 run "$tree/large.yaml" --large
has "$out" "1 cases: 1 pass"

# 1: the engine doubles whatever the weight is; one finding tells what, where and how to see it again.
wrong=$engines/honest.so:doubler
exits 1 run "$tree/good.yaml" --engine "$wrong" -j 1
has "$out" "3 cases: 1 pass, 2 mismatch,"
has "$out" "mismatch t/triples"
has "$out" "3 of 3 elements are outside their bounds; the worst, output[0,0,0,"
# The line runs the case again as it stands, also by the path of a program whose name needs quotes; where a script says
# that it started the program, the line names the script.
replay=$(sed -n 's/^  replay:  //p' <<<"$out" | head -n 1)
[[ $replay == "$CONVBN run "* ]] || fail "$replay"
has "$(eval "$replay" || true)" "1 cases: 0 pass, 1 mismatch,"
mkdir "$tree/it's here"
ln -s "$CONVBN" "$tree/it's here/convbn"
said=$("$tree/it's here/convbn" run "$tree/good.yaml" --engine "$wrong" --json "$tree/quoted.json" || true)
replay=$(sed -n 's/^  replay:  //p' <<<"$said" | head -n 1)
has "$(eval "$replay" || true)" "1 cases: 0 pass, 1 mismatch,"
has "$(cat "$tree/quoted.json")" "\"replay\": \"'$tree/it'\\\\''s here/convbn' run "
has "$(cat "$tree/quoted.json")" "\"command\": \"'$tree/it'\\\\''s here/convbn' run "
CONVBN_STARTED_AS="./run me" exits 1 run "$tree/good.yaml" --engine "$wrong"
has "$out" "  replay:  './run me' $tree/good.yaml -k t/triples --engine $wrong"
# A NaN has no sign.
cat >"$tree/nan.yaml" <<EOF2
$header
- id: t/infinities-meet
  comment: an infinity meets its opposite
  params: {in_channels: 2, out_channels: 1, kernel_size: 1, bias: false}
  tensors: {input: {shape: [1, 2, 1, 1], values: [.inf, -.inf]}, weight: {shape: [1, 2, 1, 1], values: [1, 1]}}
  expect: {output: {shape: [1, 1, 1, 1], values: [1]}}
EOF2
exits 1 run "$tree/nan.yaml" --engine "$wrong"
has "$out" "is inf where nan +- "
lacks "$out" "-nan"
exits 2 lint "$tree/nan.yaml"
has "$out" "the reference says nan +- "
lacks "$out" "-nan"
exits 1 run "$tree/good.yaml" --engine "$wrong" -q
equal "$(wc -l <<<"$out")" 1
# -x stops after the first.
exits 1 run "$tree/good.yaml" --engine "$wrong" -j 1 -x --json "$tree/x.json"
has "$out" "2 cases: 1 pass, 1 mismatch,"
lacks "$out" "t/fourfold"
exits 1 run "$tree/good.yaml" --engine "$engines/ends.so" -k doubles # its input begins with 1: abort
has "$out" "crash t/doubles"
# 1: the case contradicts the reference, whatever the engine does.
exits 1 run "$tree/refuted.yaml"
has "$out" "golden-refuted t/refuted"
has "$out" "output(0, 0, 0, 2) is stated as 7, the reference says 6 +- 0"
exits 2 lint "$tree/refuted.yaml"
# 2: a bad case; the others are not run.
exits 2 run "$tree/good.yaml" "$tree/bad.yaml"
has "$err" "$tree/bad.yaml:"
has "$err" "value-count"
# 3: the engine cannot start.
for engine in "$tree/no.so" "$tree/good.yaml" "$engines/opens.so:null" "$engines/opens.so:abort" "$engines/no_symbol.so" no-such-engine; do
  exits 3 run "$tree/good.yaml" --engine "$engine"
  equal "$(wc -l <<<"$err")" 1
  has "$err" "convbn run: "
  equal "$out" ""
done
# 5: only inconclusive.
exits 5 run "$tree/inconclusive.yaml"
has "$out" "1 cases: 0 pass, 1 inconclusive,"
# 2 > 3 > 1 > 5 > 4 > 0
exits 2 run "$tree/bad.yaml" "$tree/good.yaml" --engine "$tree/no.so"
exits 3 run "$tree/refuted.yaml" --engine "$tree/no.so"
exits 1 run "$tree/refuted.yaml" "$tree/inconclusive.yaml" "$tree/good.yaml"
exits 5 run "$tree/inconclusive.yaml" "$tree/good.yaml"

# Cases that are run side by side are told in their order.
exits 0 run cases/pytorch -k tile -v -j 1
order=$(sed -nE 's/^[a-z-]+ +([^ ]+\/[^ ]+)  .*/\1/p' <<<"$out")
exits 0 run cases/pytorch -k tile -v -j 7
equal "$(sed -nE 's/^[a-z-]+ +([^ ]+\/[^ ]+)  .*/\1/p' <<<"$out")" "$order"
[ "$(wc -l <<<"$order")" -gt 50 ] || fail "$order"

# JSON: as the schema says, counts that add up, the same again for the same seed and other numbers for another.
exits 1 run "$tree/good.yaml" "$tree/random.yaml" "$tree/inconclusive.yaml" "$tree/refuted.yaml" --engine reference --json "$tree/1.json" --html "$tree/report"
exits 1 run "$tree/good.yaml" "$tree/random.yaml" "$tree/inconclusive.yaml" "$tree/refuted.yaml" --engine reference --json "$tree/2.json" -j 3
for seed in 5 6; do
  for again in a b; do exits 0 run "$tree/random.yaml" --seed "$seed" --json "$tree/$seed$again.json"; done
done
exits 0 run "$tree/random.yaml" --json "$tree/0.json"
has "$(cat "$tree/report/index.html")" "t/refuted"
has "$(head -c 200 "$tree/report/index.html")" "<!doctype html>"
python3 - "$tree" <<'EOF2'
import json, sys

schema = json.load(open("reports/results-schema.json"))


def check(rule, value, at):
    """The part of JSON Schema that results-schema.json uses."""
    if "$ref" in rule:
        return check(schema["$defs"][rule["$ref"].rsplit("/", 1)[1]], value, at)
    if "anyOf" in rule:
        problems = [check(option, value, at) for option in rule["anyOf"]]
        return [] if any(p == [] for p in problems) else problems[0]
    problems = []
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
    wanted = rule.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(isinstance(value, kinds[k]) and (k in ("boolean",) or not isinstance(value, bool)) for k in wanted):
        return [f"{at}: {value!r} is no {wanted}"]
    if "const" in rule and value != rule["const"] or "enum" in rule and value not in rule["enum"]:
        problems.append(f"{at}: {value!r}")
    if "minimum" in rule and value < rule["minimum"]:
        problems.append(f"{at}: {value!r} is too small")
    if isinstance(value, dict):
        problems += [f"{at}: no {key}" for key in rule.get("required", []) if key not in value]
        for key, item in value.items():
            sub = rule.get("properties", {}).get(key, rule.get("additionalProperties", {}))
            if isinstance(sub, dict):
                problems += check(sub, item, f"{at}.{key}")
    if isinstance(value, list):
        for i, item in enumerate(value):
            problems += check(rule.get("items", {}), item, f"{at}[{i}]")
    return problems


def load(name):
    results = json.load(open(f"{sys.argv[1]}/{name}.json"), parse_constant=lambda word: sys.exit(f"{name}: {word}"))
    problems = check(schema, results, name)
    assert not problems, problems
    summary = dict(results["summary"])
    assert summary.pop("cases") == len(results["cases"]) == sum(summary.values()), summary
    for verdict, count in summary.items():
        assert count == sum(c["verdict"] == verdict for c in results["cases"]), (name, verdict)
    return results


def without_times(results):
    for case in results["cases"]:
        for key in [key for key in case if key.endswith("seconds")]:
            case.pop(key)
    return results["cases"]


first, second = load("1"), load("2")
assert [c["id"] for c in first["cases"]] == ["t/doubles", "t/triples", "t/fourfold", "t/random", "t/overflows", "t/refuted"]
assert [c["verdict"] for c in first["cases"]] == ["pass"] * 4 + ["inconclusive", "golden-refuted"], first["summary"]
assert first["environment"]["cases_hash"] == second["environment"]["cases_hash"]
assert first["environment"]["engine"]["spec"] == "reference" and first["environment"]["seed"] is None
assert second["environment"]["jobs"] == 3
assert without_times(first) == without_times(second)
seeded = {name: load(name) for name in ("5a", "5b", "6a", "6b", "0")}
assert seeded["5a"]["environment"]["seed"] == 5
assert "--seed 5" in seeded["5a"]["cases"][0]["replay"]
maps = {name: results["cases"][0]["steps"][0]["tensors"][0]["map"]["expected"] for name, results in seeded.items()}
assert maps["5a"] == maps["5b"] and maps["6a"] == maps["6b"]
assert maps["5a"] != maps["6a"] != maps["0"] != maps["5a"]
stopped = load("x")
assert [c["id"] for c in stopped["cases"]] == ["t/doubles", "t/triples"], stopped["summary"]
EOF2

# A report that cannot be written is exit 2 with one line, and is found before the work where the system says so.
touch "$tree/file"
for target in "$tree/file/below" "$tree/no/such/folder.json" "$tree" "" /proc/x; do
  exits 2 run "$tree/good.yaml" --json "$target" -q
  equal "$(wc -l <<<"$err")" 1
  [[ $target == /proc/x || -z $target ]] || equal "$out" "" # root may write to /proc, says access()
done
for target in "$tree/file" "$tree/file/below" "$tree/no/such/folder" "" /proc/x; do
  exits 2 run "$tree/good.yaml" --html "$target" -q
  equal "$(wc -l <<<"$err")" 1
  [[ $target == /proc/x || -z $target ]] || equal "$out" ""
done
# A device is written to, never replaced by a file: through links of this test's own, for whoever runs it may be root.
ln -s /dev/full "$tree/full"
ln -s /dev/null "$tree/null"
exits 2 run "$tree/good.yaml" --json "$tree/full" -q
equal "$(wc -l <<<"$err")" 1
has "$err" "$tree/full"
exits 0 run "$tree/good.yaml" --json "$tree/null" -q
[[ -c $tree/full && -c $tree/null ]] || fail "a link to a device was replaced"
# A file that was there is replaced as a whole; a failure leaves it as it was.
echo old >"$tree/kept.json"
exits 2 run "$tree/bad.yaml" --json "$tree/kept.json"
equal "$(cat "$tree/kept.json")" old
# Output that cannot be written is an error too.
code=0
"$CONVBN" run "$tree/good.yaml" >/dev/full 2>"$tree/err" || code=$?
equal "$code" 2
for command in "lint cases" rules dialects "run cases --list" --help; do
  code=0
  # shellcheck disable=SC2086 # words
  "$CONVBN" $command >/dev/full 2>"$tree/err" || code=$?
  [ "$code" = 2 ] || fail "convbn $command >/dev/full: exit $code"
done

# Colours: on a terminal, unless NO_COLOR or a dumb one says otherwise; never in a file.
python3 - "$CONVBN" "$tree/refuted.yaml" <<'EOF2'
import os, pty, sys


def on_a_terminal(**changes):
    """What the program writes to a pseudo-terminal."""
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")} | changes
    child, master = pty.fork()
    if child == 0:
        os.execve(sys.argv[1], [sys.argv[1], "run", sys.argv[2]], environment)
    text = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:
            break
        if not block:
            break
        text += block
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    return text


assert b"\x1b[1;31mgolden-refuted\x1b[0m" in on_a_terminal(TERM="xterm")
assert b"\x1b[1;31m" in on_a_terminal(TERM="xterm", NO_COLOR="")
for changes in {"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}:
    assert b"\x1b[1;31m" not in on_a_terminal(**changes) and b"\x1b[0m" not in on_a_terminal(**changes)
EOF2
exits 1 run "$tree/refuted.yaml"
lacks "$out$err" $'\e'

# What an engine is not made for: a line for each reason, not for each case; without a message there is no colon. With -v
# each case is told.
refusing="cases/pytorch -k batchnorm2d --engine $engines/truncates.so"
# shellcheck disable=SC2086 # words
exits 5 run $refusing
number=$(sed -nE 's/.* ([0-9]+) unsupported, in .*/\1/p' <<<"$out")
reasons=$(grep '^unsupported ' <<<"$out")
equal "$(wc -l <<<"$reasons")" 2
first=$(sed -nE '1s/^unsupported ([0-9]+) cases: the engine is not made for this \(for instance pytorch\/batchnorm2d\/[^ ]+\)$/\1/p' <<<"$reasons")
second=$(sed -nE '2s/^unsupported ([0-9]+) cases: the engine does not say that it can work in place \(for instance [^ ]+\)$/\1/p' <<<"$reasons")
[[ $first -gt $second && $((first + second)) = "$number" ]] || fail "$number: $reasons"
lacks "$out" "replay:"
# shellcheck disable=SC2086 # words
exits 5 run $refusing -v
equal "$(grep -cE '^unsupported pytorch/' <<<"$out")" "$number"
equal "$(grep -cE '^  the engine (is not made for this|does not say that it can work in place)$' <<<"$out")" "$number"
# shellcheck disable=SC2086 # words
exits 5 run $refusing -q
equal "$(wc -l <<<"$out")" 1

# A kernel that truncates is within its bounds, and suspicious; one that rounds is not.
exits 0 run cases/pytorch/conv2d-tiles.yaml -k tile-k-577-bounded --engine "$engines/truncates.so"
has "$out" "suspicious: output: errors point towards zero"
has "$out" "1 suspicious"
exits 0 run cases/pytorch/conv2d-tiles.yaml -k tile-k-577-bounded --engine fast
lacks "$out" "suspicious"

# upstream: the recorded wrong answers, as many as the cases have; of one engine; for machines.
exits 0 upstream cases
has "$out" "MindSpore 2.10.0, CPU"
has "$out" "the sum is rounded to f16 before the bias is added"
wrong=$(grep -rhoE '\bengine: ' cases --include='*.yaml' | wc -l) # nothing else in a case has an engine
has "$out" "$wrong wrong answers"
exits 0 upstream --engine pytorch cases
lacks "$out" "MindSpore"
exits 0 upstream --format json cases
equal "$(grep -c '"engine":' <<<"$out")" "$wrong"
exits 2 upstream --format xml cases
exits 2 upstream "$tree/nowhere.yaml"

# lint: in order, or not.
exits 0 lint cases
has "$out" ": 0 problems"
exits 2 lint "$tree/good.yaml" # its flags are explained nowhere
has "$out" "flag"
# A comment must be able to stand alone.
{ echo "$header"; a_case t/doubles 2 '2, 4, 6'; } >"$tree/comments.yaml"
exits 0 lint "$tree/comments.yaml"
sed 's/a test of the program/nine long/' "$tree/comments.yaml" >"$tree/short.yaml"
exits 2 lint "$tree/short.yaml"
has "$out" "$tree/short.yaml:6:1: comment: the comment of t/doubles is too short to stand alone"
sed 's/a test of the program/ten longer/' "$tree/comments.yaml" >"$tree/short.yaml"
exits 0 lint "$tree/short.yaml"
sed 's/a test of the program/... and in evaluation/' "$tree/comments.yaml" >"$tree/dots.yaml"
exits 2 lint "$tree/dots.yaml"
has "$out" "$tree/dots.yaml:6:1: comment: the comment of t/doubles goes on from another one"
# A stated value of which the reference can say nothing asserts nothing.
exits 0 lint "$tree/inconclusive.yaml"
sed 's/shape: \[1, 1, 1, 1\]}}$/shape: [1, 1, 1, 1], values: [7]}}/' "$tree/inconclusive.yaml" >"$tree/idle.yaml"
exits 2 lint "$tree/idle.yaml"
has "$out" "expectation: 1 of 1 elements stated for output assert nothing: the reference can say nothing of them"
