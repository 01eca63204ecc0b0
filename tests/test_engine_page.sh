#!/usr/bin/env bash
# The engine of docs/add-an-engine.md, as the page has it: it compiles, passes what it computes, and is caught when it pads
# from the wrong side.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fence=$(printf '\140\140\140')
sed -n "/^${fence}c\$/,/^${fence}\$/{/^${fence}/d;p}" docs/add-an-engine.md >"$folder/simple.c"
sed 's/pad_begin/pad_end/' "$folder/simple.c" >"$folder/wrong.c"
for name in simple wrong; do
  "${CC:-cc}" -std=c17 -O2 -Wall -Wextra -Werror -fPIC -shared -Iinclude -o "$folder/$name.so" "$folder/$name.c"
done

"$CONVBN" run cases/ -k "conv2d and not batchnorm" --engine "$folder/simple.so" --json "$folder/simple.json" -q
"$CONVBN" run cases/ -k "conv2d and not batchnorm" --engine "$folder/wrong.so" --json "$folder/wrong.json" -q && exit 1
count() { sed -nE "s/^ *\"$2\": ([0-9]+),?$/\1/p" "$folder/$1.json" | head -n 1; }
[ "$(count simple mismatch)" -eq 0 ] && [ "$(count simple unsupported)" -gt 50 ] && [ "$(count wrong mismatch)" -gt 20 ]
