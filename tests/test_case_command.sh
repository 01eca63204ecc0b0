#!/usr/bin/env bash
# `convbn case` and `convbn seed`: bytes to a case file and back, and what they say of bad input.
set -euo pipefail
cd -- "$CONVBN_SOURCE"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fail() { echo "line ${BASH_LINENO[0]}: $*"; exit 1; }
equal() { [ "$1" = "$2" ] || { printf 'line %s:\n  got      %q\n  expected %q\n' "${BASH_LINENO[0]}" "$1" "$2"; exit 1; }; }
has() { [[ $1 == *"$2"* ]] || { printf 'line %s: %q is not in:\n%s\n' "${BASH_LINENO[0]}" "$2" "$1"; exit 1; }; }

# Runs the program, which must end with that code; sets out, err.
exits() {
  local expected=$1 code=0
  shift
  "$CONVBN" "$@" >"$tree/out" 2>"$tree/err" </dev/null || code=$?
  out=$(tr -d '\0' <"$tree/out")
  err=$(cat "$tree/err")
  [ "$code" = "$expected" ] || { printf 'line %s: convbn %s: exit %s, not %s\n%s\n%s\n' "${BASH_LINENO[0]}" "$*" "$code" "$expected" "${out:0:2000}" "$err"; exit 1; }
}
# A file of bytes, given in decimal.
bytes() {
  local file=$1 byte
  shift
  for byte in "$@"; do printf '%b' "\\x$(printf %02x "$byte")"; done >"$tree/$file"
}

# The smallest problem is that of no bytes, of zeros, and of any number of them.
smallest='format: 1
dialect: canonical
operator: conv
source: generated, with shapes and rules alone
cases:
  - id: a/b/c
    comment: the smallest problem
    params: {out_channels: 1, kernel: 1}
    tensors:
      input: {shape: [1, 1, 1, 1], fill: {kind: integers}}
      weight: {shape: [1, 1, 1, 1], fill: {kind: integers}}
    expect: {output: {shape: [1, 1, 1, 1]}}'
: >"$tree/empty"
head -c 64 /dev/zero >"$tree/zeros"
{ cat "$tree/zeros"; echo beyond a genome; } >"$tree/long"
for file in empty zeros long; do
  exits 0 case --id a/b/c --comment 'the smallest problem' "$tree/$file"
  equal "$out" "$smallest"
  equal "$err" ""
done
equal "$("$CONVBN" case --id a/b/c --comment 'the smallest problem' - <"$tree/zeros")" "$smallest"
equal "$(printf '00 00\n0' | tr -d '\n' | "$CONVBN" case --hex - 2>&1)" "convbn case: -: half a byte at the end: 5 hexadecimal digits"
equal "$(printf '0000 00\n' | "$CONVBN" case --id a/b/c --comment 'the smallest problem' --hex -)" "$smallest"

# Bytes, case, bytes: the least bytes of the same problem, from both forms; the file is in order and runs.
bytes conv 2 0 0 0 2 0 0 1 1 2 3 0 1 0 8 9 0 2 2 0 1 0 0 0 1 0 0 0 0 1 1 0 1 0 0
bytes norm 10 0 1 13 0 0 1 1 0 4 0 0 0 0 0 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 3 2 1 0 2 8 0 14 200 0 0 1 2 3 0 77 1
for name in conv norm; do
  exits 0 case -o "$tree/$name.yaml" "$tree/$name"
  equal "$out$err" ""
  exits 0 lint "$tree/$name.yaml"
  exits 0 run "$tree/$name.yaml" --engine reference
  exits 0 seed "$tree/$name.yaml" -o "$tree/$name.seed"
  equal "$(stat -c %s "$tree/$name.seed")" 64
  exits 0 case "$tree/$name.seed"
  equal "$out" "$(cat "$tree/$name.yaml")"
  exits 0 seed --hex "$tree/$name.yaml"
  equal "$out" "$(od -An -v -tx1 "$tree/$name.seed" | tr -d ' \n')"
  equal "$("$CONVBN" case --hex - <"$tree/out")" "$(cat "$tree/$name.yaml")"
done
has "$(cat "$tree/conv.yaml")" "direction: grad_weight"
has "$(cat "$tree/norm.yaml")" "- mode: train"

# The direction that is asked for is the only one that runs, and the only one that is judged.
exits 0 run "$tree/conv.yaml" --engine reference --json "$tree/conv.json"
equal "$(grep -oE '"role": *"[a-z_]+"' "$tree/conv.json" | sort -u | tr -d ' \n')" '"role":"grad_weight"'

# A case of one direction has no other results, and needs a grad_output.
sed 's/expect: .*/expect: {output: {shape: [1]}}/' "$tree/conv.yaml" >"$tree/output.yaml"
exits 2 lint "$tree/output.yaml"
has "$out" "expectation: the call has no output"
sed '/^      grad_output/d; s/expect: .*/expect: {rejected: {}}/' "$tree/conv.yaml" >"$tree/alone.yaml"
exits 2 lint "$tree/alone.yaml"
has "$out" "missing-tensor: the tensor 'grad_output' of canonical/conv/"

# Several genomes are several cases of one file; the same problem twice is one; two operators are two files.
exits 0 case "$tree/empty" "$tree/conv" "$tree/zeros" -o "$tree/several.yaml"
equal "$err" "convbn case: $tree/zeros: the same problem as $tree/empty, left out"
equal "$(grep -c '  - id: ' "$tree/several.yaml")" 2
exits 0 lint "$tree/several.yaml"
exits 2 seed "$tree/several.yaml"
equal "$err" "convbn seed: $tree/several.yaml: has 2 cases; name one with -k ID"
exits 2 seed "$tree/several.yaml" -k a/b/c
equal "$err" "convbn seed: $tree/several.yaml: has no case of that id"
id=$(sed -n 's/^  - id: //p' "$tree/conv.yaml")
exits 0 seed "$tree/several.yaml" -k "$id" -o "$tree/again"
cmp "$tree/again" "$tree/conv.seed"
rm "$tree/several.yaml"
exits 2 case "$tree/conv" "$tree/norm" -o "$tree/several.yaml"
equal "$err" "convbn case: $tree/norm: a file has one operator; give convolutions and batch normalizations apart"
[ ! -e "$tree/several.yaml" ] || fail "something was written"

# Near misses: refused by their rule, or no case at all.
bytes stride 0 244
exits 0 case "$tree/stride" -o "$tree/stride.yaml"
has "$(cat "$tree/stride.yaml")" "expect: {rejected: {rule: stride-positive}}"
has "$(cat "$tree/stride.yaml")" 'comment: "a near miss of conv_forward: stride must be >= 1, got 0 on axis W"'
exits 0 lint "$tree/stride.yaml"
exits 0 seed "$tree/stride.yaml" --hex
equal "${out:0:4}" "00f4"
mapfile -t zeros < <(yes 0 | head -52)
bytes batch 0 253 "${zeros[@]}" 10 # the last gene says what is missed
exits 2 case "$tree/batch"
equal "$out" ""
equal "$err" "convbn case: $tree/batch: no tensor has a negative extent: batch must be >= 0, got -1"

# What cannot be read or written.
exits 2 case "$tree"
equal "$err" "convbn case: $tree: Is a directory"
exits 2 case "$tree/nowhere"
equal "$err" "convbn case: $tree/nowhere: No such file or directory"
if [ "$(id -u)" != 0 ]; then
  chmod 000 "$tree/batch"
  exits 2 case "$tree/batch"
  equal "$err" "convbn case: $tree/batch: Permission denied"
fi
exits 2 case --hex "$tree/conv.yaml"
equal "$err" "convbn case: $tree/conv.yaml: o is no hexadecimal digit"
exits 2 case "$tree/zeros" -o "$tree/no/where"
equal "$err" "convbn case: $tree/no/where: No such file or directory"
exits 2 case --id nameless "$tree/zeros"
has "$err" "an id is three words"
exits 2 case --id a/b/c "$tree/zeros" "$tree/conv"
has "$err" "one id is not for several cases"
exits 2 case
has "$err" "name a file"
exits 2 seed
has "$err" "name a file"
exits 2 seed "$tree/conv.yaml" "$tree/norm.yaml"
has "$err" "one case file at a time"
exits 2 seed "$tree/nowhere.yaml"
has "$err" "nowhere.yaml"

# Cases that are no problems, and problems that no bytes give: file, line and what it is.
case_of() { sed "s/input: .*/$1/; s/out_channels: 1/out_channels: ${2-1}/; s/weight: {shape: \[1/weight: {shape: [${2-1}/; s/output: {shape: \[1, 1/output: {shape: [1, ${2-1}/" <<<"$smallest" >"$tree/case.yaml"; }
case_of 'input: {shape: [1, 1, 1, 1], values: [1]}'
exits 2 seed "$tree/case.yaml"
equal "$err" "$tree/case.yaml:10:14: problem: a problem's tensors are fills, and input is none"
case_of 'input: {shape: [1, 1, 1, 1], fill: {kind: integers, low: -77}}'
exits 2 seed "$tree/case.yaml"
equal "$err" "$tree/case.yaml:6:1: seed: no bytes give a/b/c: input"
case_of 'input: {shape: [1, 1, 1, 1], fill: {kind: integers}}' 99
exits 2 seed "$tree/case.yaml"
equal "$err" "$tree/case.yaml:6:1: seed: no bytes give a/b/c: out_channels"
case_of 'input: {shape: [1, 1, 1, 1], fill: {kind: what}}'
exits 2 seed "$tree/case.yaml"
has "$err" "$tree/case.yaml:10:"
echo "${smallest/    params/    flags: [NobodyKnows]
    params}" >"$tree/case.yaml"
exits 0 seed "$tree/case.yaml" --hex # flags are left behind
equal "$out" "$(printf '0%.0s' {1..128})"
