#!/usr/bin/env bash
# Tidies the go.mod of every module of go.work. With --check it changes nothing, and fails where tidy would change
# something or where a module does not build without the workspace, which hides a missing requirement.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOWORK=off

failed=0
for module in $(sed -n 's|^[[:space:]]*\(\./[a-z/-]*\)$|\1|p' go.work); do
  if [ "${1:-}" != --check ]; then
    go -C "$module" mod tidy
    continue
  fi
  go -C "$module" mod tidy -diff || { echo "$module: go.mod is not tidy, run make tidy" >&2; failed=1; }
  go -C "$module" vet ./... || { echo "$module: does not build alone (GOWORK=off)" >&2; failed=1; }
done
exit "$failed"
