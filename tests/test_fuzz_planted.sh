#!/usr/bin/env bash
# The real fuzzers find planted bugs in seconds: a wrong number, a crash, a hang; each is one finding, minimised. Runs where
# the build has fuzzers, or CONVBN_FUZZERS names some.
set -euo pipefail
cd -- "$CONVBN_SOURCE"
export CONVBN_FUZZERS=${CONVBN_FUZZERS:-$CONVBN_BUILD/lib/convbn/fuzzers}
if ! compgen -G "${CONVBN_FUZZERS%%:*}/libfuzzer-*" >/dev/null; then
  echo "no fuzzers in $CONVBN_FUZZERS: presets fuzz-plain and fuzz have them"
  exit 77
fi
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
engine=$CONVBN_BUILD/lib/convbn/test-engines/planted.so
fast=$CONVBN_BUILD/lib/convbn/engines/fast.so

# planted BUG TARGET SIGNATURE [OPTION...]: fuzzing the target finds the bug, as one finding of that signature.
planted() {
  local bug=$1 target=$2 signature=$3 code=0 out=$tree/$1
  shift 3
  "$CONVBN" fuzz --target "$target" --engine "$engine:$bug=$fast" --out "$out" --time 12s -j 1 "$@" >"$tree/said" 2>&1 || code=$?
  python3 - "$code" "$signature" "$out/summary.json" <<'END' || { cat "$tree/said"; exit 1; }
import json, re, sys
code, signature, file = sys.argv[1:]
found = json.load(open(file))["findings"]
assert code == "1", f"exit {code}"
assert len(found) == 1 and re.fullmatch(signature, found[0]["signature"]), [f["signature"] for f in found]
assert found[0]["first_seen_seconds"] < 60 and found[0]["state"] == "minimised", found
END
  local finding=("$out"/findings/*)
  code=0
  "$CONVBN" run "${finding[0]}/bad.yaml" --engine "$engine:$bug=$fast" --timeout 2 --quiet >"$tree/said" || code=$?
  [ "$code" -eq 1 ] || { echo "bad.yaml of $bug: exit $code" && cat "$tree/said" && exit 1; }
  "$CONVBN" run "${finding[0]}/good.yaml" --engine "$engine:$bug=$fast" --quiet
}

planted number conv_forward 'conv_forward planted/reference mismatch f32 output everywhere dilation stride'
planted crash conv_grad_weight 'conv_grad_weight planted/reference crash f32 - nowhere .*'
planted hang batchnorm_train 'batchnorm_train planted/reference timeout f32 - nowhere .*' --timeout 1

# Without a bug nothing is found in texts, whose targets no engine has to do with.
"$CONVBN" fuzz --target npy --target frames --out "$tree/texts" --time 5s -j 1 --corpus "$CONVBN_SOURCE/corpus"
