#!/usr/bin/env bash
# cases/schema.json names every dialect and every operator that the program has.
set -euo pipefail
missing=0
while read -r name; do
  grep -q "\"$name\"" cases/schema.json || { echo "cases/schema.json does not name $name" >&2; missing=1; }
done < <("$CONVBN" dialects | sed -nE 's/^([a-z_]+)  \(.*/\1/p; s/^  ([A-Za-z0-9_.]+)\(.*/\1/p' | sort -u)
exit "$missing"
