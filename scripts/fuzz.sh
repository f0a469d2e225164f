#!/usr/bin/env bash
# Runs every Fuzz function of the workspace's tests for a while, two at a time, each on one processor: Go takes one function a run.
# An input that fails is written to the package's testdata/fuzz, where every later `go test` tries it again: commit it with what mends it.
# usage: scripts/fuzz.sh TIME [PART OF THE NAME]
set -euo pipefail
cd "$(dirname "$0")/.."
failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
export failed time=$1

# one FILE:FUNCTION: runs a function, and shows what it said when it has ended, so that two do not talk at once.
one() {
  local directory function=${1##*:} verdict=ok said
  directory=./$(dirname "${1%%:*}")
  said=$(go test "$directory" -run '^$' -fuzz "^$function\$" -fuzztime "$time" -fuzzminimizetime 1s -parallel 1 2>&1) || verdict=FAILED
  # Before 1.27 Go may tell of the end of the time as of a failure, with nothing that failed (https://go.dev/issue/75804).
  [[ $said != *"--- FAIL: $function ("*$'s)\n    context deadline exceeded\nFAIL\n'* ]] || verdict="ok, out of time"
  printf '%s\n' "--- $function in $directory: $verdict" "$said"
  [ "${verdict%%,*}" = ok ] || echo "$function" >>"$failed"
}
export -f one

list=$(grep -roE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' pkg services proto migrations | sed 's/func //' | grep ":.*${2:-}" | sort || true)
[ -n "$list" ] || { echo "failed: there is no such function"; exit 1; }
xargs -P 2 -I '{}' bash -c 'one "$1"' - '{}' <<<"$list"
[ ! -s "$failed" ] || { echo "failed: $(sort "$failed" | xargs)"; exit 1; }
echo "$(wc -l <<<"$list") functions, $time each: nothing found"
