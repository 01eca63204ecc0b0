#!/usr/bin/env bash
# docs/equivalents.md names cases that exist: `operator/what` stands for `pytorch/operator/what`.
set -euo pipefail
missing=0
ids=$(grep -rhoE '^ +- id: +[^ ]+' cases --include='*.yaml' | awk '{print $3}' | sort -u)
while read -r name; do
  grep -qxE "(pytorch/)?$name" <<<"$ids" || { echo "docs/equivalents.md names $name, which is no case" >&2; missing=1; }
done < <(grep -oE "\`[a-z0-9]+(/[a-z0-9-]+){1,2}\`" docs/equivalents.md | tr -d "\`" | sort -u)
exit "$missing"
