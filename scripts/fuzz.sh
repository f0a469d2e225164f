#!/usr/bin/env bash
# Runs every Fuzz function of the workspace's tests for a while, one after the other: Go takes one at a time.
# An input that fails is written to the package's testdata/fuzz, where every later `go test` tries it again: commit it with what mends it.
# usage: scripts/fuzz.sh TIME [PART OF THE NAME]
set -euo pipefail
cd "$(dirname "$0")/.."
failed=() count=0
while IFS=: read -r file function; do
  case $function in *"${2:-}"*) ;; *) continue ;; esac
  count=$((count + 1))
  echo "--- $function in $(dirname "$file")"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$function\$" -fuzztime "$1" || failed+=("$function")
done < <(grep -roE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' pkg services proto migrations | sed 's/func //' | sort)
[ "$count" -gt 0 ] || failed+=("there is none")
[ "${#failed[@]}" = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
echo "$count functions, $1 each: nothing found"
