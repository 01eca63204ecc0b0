#!/usr/bin/env bash
# The replay of the fuzz targets: the whole seed corpus in this build, and what a folder of inputs may have in it.
# convbn-replay stands beside CONVBN, the program.
set -euo pipefail
cd -- "$CONVBN_SOURCE"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
replay=$(dirname "$CONVBN")/convbn-replay
as=()           # who runs it: a command in front of it
MOST_SECONDS=20 # of processor time, for the whole corpus

fail() {
  echo "line ${BASH_LINENO[0]}: $*"
  exit 1
}
has() { [[ $1 == *"$2"* ]] || { printf 'line %s: %q is not in:\n%s\n' "${BASH_LINENO[1]}" "$2" "$1"; exit 1; }; }

# Runs it; it must end in time with that code. Sets out, err and, in whole seconds of processor time, seconds.
replays() {
  local expected=$1 code=0 TIMEFORMAT='%U'
  shift
  { time timeout 300 "${as[@]}" "$replay" "$@" >"$tree.out" 2>"$tree.err" </dev/null || code=$?; } 2>"$tree.time"
  out=$(cat "$tree.out") err=$(cat "$tree.err") seconds=$(cut -d. -f1 "$tree.time")
  rm -f "$tree.out" "$tree.err" "$tree.time"
  [ "$code" = "$expected" ] || { printf 'line %s: convbn-replay %s: exit %s, not %s\n%s\n%s\n' "${BASH_LINENO[0]}" "$*" "$code" "$expected" "${out:0:2000}" "${err:0:4000}"; exit 1; }
}

# Every target has seeds, every seed is replayed, nothing is found.
replays 0 --list
targets=$(cut -d' ' -f1 <<<"$out")
[ "$(wc -w <<<"$targets")" -ge 10 ] || fail "few targets: $targets"
for target in $targets; do
  [ -n "$(ls "corpus/$target" 2>/dev/null)" ] || fail "there are no seeds in corpus/$target"
done
for folder in corpus/*/; do
  [[ " ${targets//$'\n'/ } " == *" $(basename "$folder") "* ]] || fail "$folder is of no target"
done
replays 0 corpus/
has "$out" "$(find corpus/*/ -type f | wc -l) inputs replayed, 0 findings; 1 skipped, in no directory of a target"
[ -z "$err" ] || fail "$err"
[ "$seconds" -lt "$MOST_SECONDS" ] || fail "the corpus takes $seconds seconds, more than $MOST_SECONDS"

# A name that is none.
replays 2 --target conv_foward corpus/conv_forward
has "$err" "there is no target 'conv_foward'; the nearest is 'conv_forward'"
replays 2 --target '' corpus/conv_forward
has "$err" "there is no target ''"
replays 2
has "$err" "name files or directories"

# Nothing at all, of any length, and noise; for each target.
: >"$tree/empty"
head -c 5000000 /dev/urandom >"$tree/noise"
for target in $targets; do
  replays 0 --target "$target" "$tree/empty" "$tree/noise"
  has "$out" "2 inputs replayed, 0 findings"
done

# Files that belong to no target.
replays 2 "$tree/empty"
has "$err" "empty: no directory of the path is the name of a target; say which with --target"
has "$out" "0 inputs replayed"
replays 2 "$tree" # nothing would be replayed
has "$out" "0 inputs replayed, 0 findings; 2 skipped, in no directory of a target"

# What is not there, no folder, or leads nowhere; what can be replayed is replayed.
replays 2 --target json "$tree/missing" "$tree/empty"
has "$err" "missing: No such file or directory"
has "$out" "1 inputs replayed, 0 findings"
replays 2 --target json "$tree/empty/"
has "$err" "Not a directory"
mkdir -p "$tree/json/below" "$tree/none"
echo '{}' >"$tree/json/below/good"
ln -s nowhere "$tree/json/dangling"
ln -s loop "$tree/json/loop"
ln -s . "$tree/json/again"
mkfifo "$tree/json/fifo"
replays 2 "$tree/json"
has "$err" "json/dangling: No such file or directory"
has "$err" "json/loop: Too many levels of symbolic links"
has "$out" "1 inputs replayed, 0 findings"
replays 2 --target json "$tree/json/fifo"
has "$err" "fifo: neither a file nor a directory"
replays 0 --target json "$tree/none"
has "$out" "0 inputs replayed, 0 findings"

# A file and a folder that may not be read; root, whom nobody refuses, becomes nobody.
mkdir "$tree/closed"
chmod 000 "$tree/empty" "$tree/closed"
chmod 755 "$tree"
[ "$(id -u)" != 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
if "${as[@]}" "$replay" --list >/dev/null 2>&1; then
  replays 2 --target json "$tree/empty" "$tree/closed"
  has "$err" "empty: Permission denied"
  has "$err" "closed: Permission denied"
fi
as=()

# Ten thousand files.
mkdir "$tree/many"
(cd "$tree/many" && seq 10000 | split -l 1 -a 4 -)
replays 0 --target json "$tree/many"
has "$out" "10000 inputs replayed, 0 findings"
