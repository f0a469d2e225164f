#!/usr/bin/env bash
# Runs every Fuzz function of the workspace for a while, two at a time, each on one processor: `go test` fuzzes one function per run.
# A failing input is written to the package's testdata/fuzz, where every later `go test` tries it again: commit it with the fix.
# usage: scripts/fuzz.sh TIME [PART OF THE NAME]
set -euo pipefail
cd "$(dirname "$0")/.."
failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
export failed time=$1

# one FILE:FUNCTION runs a function, and prints its output at the end, so that the output of two does not mix.
one() {
  local directory function=${1##*:} verdict=ok said
  directory=./$(dirname "${1%%:*}")
  said=$(go test "$directory" -run '^$' -fuzz "^$function\$" -fuzztime "$time" -fuzzminimizetime 1s -parallel 1 2>&1) || verdict=FAILED
  # Before 1.27, Go may report the end of the fuzzing time as a failure (https://go.dev/issue/75804).
  [[ $said != *"--- FAIL: $function ("*$'s)\n    context deadline exceeded\nFAIL\n'* ]] || verdict="ok, out of time"
  printf '%s\n' "--- $function in $directory: $verdict" "$said"
  [ "${verdict%%,*}" = ok ] || echo "$function" >>"$failed"
}
export -f one

list=$(grep -roE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' pkg services proto migrations | sed 's/func //' | grep ":.*${2:-}" | sort || true)
[ -n "$list" ] || { echo "failed: no such function"; exit 1; }
xargs -P 2 -I '{}' bash -c 'one "$1"' - '{}' <<<"$list"
[ ! -s "$failed" ] || { echo "failed: $(sort "$failed" | xargs)"; exit 1; }
echo "$(wc -l <<<"$list") functions, $time each: nothing found"
