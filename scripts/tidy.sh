#!/usr/bin/env bash
# Tidies the go.mod of every module of go.work. With --check it changes nothing, and fails if tidy would change
# something or if a module does not build without the workspace, which hides missing requirements.
# Modules require each other by the version of the next release, which no proxy has yet: a copy of go.mod replaces them by
# their folders, and not go.mod itself, because `go install` refuses replacements.
# With --version V it writes that version into all of them and into go.work, as the tagged commit needs it.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOWORK=off

root=$PWD work=$(mktemp -d) failed=0
trap 'rm -rf "$work"' EXIT
modules=$(sed -n 's|^[[:space:]]*\./\([a-z/-]*\)$|\1|p' go.work)
prefix=github.com/whisperer-oms/whisperer

if [ "${1:-}" = --version ]; then
  for module in $modules; do
    for other in $modules; do
      if grep -q "$prefix/$other v" "$module/go.mod"; then go -C "$module" mod edit -require "$prefix/$other@$2"; fi
    done
    old=$(sed -n "s|.*$prefix/$module \\(v[^ ]*\\) =>.*|\\1|p" go.work)
    [ -z "$old" ] || sed -i "s|\\($prefix/$module\\) $old =>|\\1 $2 =>|" go.work
  done
  exit
fi
for module in $modules; do
  copy=$work/${module//\//-}.mod
  cp "$module/go.mod" "$copy"
  cp "$module/go.sum" "${copy%.mod}.sum" 2>/dev/null || true # one without dependencies has none
  replace=() drop=()
  for other in $modules; do
    replace+=(-replace "$prefix/$other=$root/$other") drop+=(-dropreplace "$prefix/$other")
  done
  go mod edit "${replace[@]}" "$copy"
  if [ "${1:-}" = --check ]; then
    go -C "$module" vet -modfile "$copy" ./... || { echo "$module: does not build alone" >&2; failed=1; }
    go -C "$module" mod tidy -modfile "$copy" -diff || { echo "$module: go.mod is not tidy, run make tidy" >&2; failed=1; }
    continue
  fi
  go -C "$module" mod tidy -modfile "$copy"
  go mod edit "${drop[@]}" "$copy"
  cp "$copy" "$module/go.mod"
  [ ! -s "${copy%.mod}.sum" ] || cp "${copy%.mod}.sum" "$module/go.sum"
done
exit "$failed"
