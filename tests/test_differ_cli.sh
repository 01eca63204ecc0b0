#!/usr/bin/env bash
# `convbn differ` and `convbn differences` as people type them: answers, exit codes, and one line for each mistake.
set -u
failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# expect STATUS WORDS ARGUMENT...: the exit code, and words that the answer or, of a mistake, its one line has.
expect() {
  local status=$1 words=$2 got
  shift 2
  "$CONVBN" "$@" >"$scratch/out" 2>"$scratch/err"
  got=$?
  if [ "$got" != "$status" ]; then
    echo "convbn $*: exit $got, not $status"
    cat "$scratch/err"
    failed=1
  fi
  if ! cat "$scratch/out" "$scratch/err" | grep -qF -- "$words"; then
    echo "convbn $*: no '$words' in"
    head -20 "$scratch/out" "$scratch/err"
    failed=1
  fi
}

# refuse WORDS ARGUMENT...: exit 2, nothing on the standard output, a message of one line (argp adds where to look).
refuse() {
  expect 2 "$@"
  if [ -s "$scratch/out" ] || [ "$(sed '/^Try /,$d' "$scratch/err" | wc -l)" != 1 ]; then
    echo "convbn ${*:2}: more than one line"
    head -20 "$scratch/out" "$scratch/err"
    failed=1
  fi
}

conv="torch.nn.Conv2d(1, 1, 1, bias=False)"
expect 0 "no difference was found" differ "$conv" "mindspore.nn.Conv2d(1, 1, 1, pad_mode='valid')" --no-refusals
expect 1 "output(0, 0, 0, 0) is 6 in pytorch and 1 in mindspore" differ "torch.nn.Conv2d(1, 1, 1)" "mindspore.nn.Conv2d(1, 1, 1)"
expect 1 "mindspore refuses" differ "torch.nn.Conv2d(1, 1, 3, padding=1)" "mindspore.nn.Conv2d(1, 1, 3, padding=1)"
expect 1 "== bias" differ torch.nn.Conv2d mindspore.nn.Conv2d --each --genomes 0
expect 1 "momentum" differ torch mindspore BatchNorm2d -p momentum --no-refusals
expect 0 "no difference was found" differ torch.nn.BatchNorm2d mindspore.nn.BatchNorm2d -p eps --no-refusals --genomes 0
expect 0 "no difference was found" differ torch.nn.Conv1d torch.nn.Conv1d --genomes 0
expect 1 '"difference"' differ "torch.nn.Conv2d(1, 1, 1)" "mindspore.nn.Conv2d(1, 1, 1)" --format json

refuse "name two layers" differ
refuse "there is no operator 'torch.nn.Conv9d'" differ torch.nn.Conv9d mindspore.nn.Conv2d
refuse "there is no dialect 'caffe'" differ caffe torch Conv2d
refuse "have no operator 'Linear' in common" differ torch mindspore Linear
refuse "different operations" differ torch.nn.Conv2d mindspore.nn.BatchNorm2d
refuse "cannot be held against each other" differ "torch.nn.Conv2d(1, 1, 1)" mindspore.nn.Conv2d
refuse "cannot be held against each other" differ "torch.nn.Conv2d(1, 1, 1)" "torch.nn.BatchNorm2d(1)"
refuse "column" differ "torch.nn.Conv2d(1, 1" "mindspore.nn.Conv2d(1, 1, 1)"
refuse "has no parameter 'strides'; the nearest is stride" differ torch.nn.Conv2d mindspore.nn.Conv2d -p strides
refuse "--genomes" differ torch.nn.Conv2d mindspore.nn.Conv2d --genomes many
refuse "--axes" differ torch.nn.Conv2d mindspore.nn.Conv2d --axes 4
refuse "--format" differ "$conv" "$conv" --format xml

refuse "name two operators" differences
refuse "name two operators" differences torch.nn.Conv2d
refuse "there is no operator 'torch.nn.Conv9d'" differences torch.nn.Conv9d mindspore.nn.Conv2d
refuse "different operations" differences torch.nn.Conv2d mindspore.nn.BatchNorm2d
refuse "--all needs" differences --all
refuse "is too much" differences --all torch.nn.Conv2d --html "$scratch/pages"
refuse "--axes" differences torch.nn.Conv2d mindspore.nn.Conv2d --axes 3
refuse "cannot be made" differences torch.nn.Conv2d mindspore.nn.Conv2d --html "$scratch/no/such"
: >"$scratch/file"
refuse "cannot be made" differences torch.nn.Conv2d mindspore.nn.Conv2d --html "$scratch/file"
expect 2 "the cases cannot be read" differences torch.nn.Conv2d mindspore.nn.Conv2d --cases "$scratch/none"
exit $failed
