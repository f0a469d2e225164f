#!/usr/bin/env bash
# Fails when something that a machine writes differs from what is there: Go format, protobuf format and lint,
# generated Go, the reference of the
# command line, go.mod and go.sum. Changes nothing. `make fmt generate tidy` mends most of what it finds.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/bin:$PATH"

modules=$(sed -n 's|^[[:space:]]*\(\./[a-z/-]*\)$|\1|p' go.work)
failed=0
complain() { echo "verify: $*" >&2; failed=1; }

# shellcheck disable=SC2086 # one word per module
unformatted=$(gofumpt -l $modules)
[ -z "$unformatted" ] || complain "not formatted (make fmt):"$'\n'"$unformatted"

buf format --diff --exit-code proto || complain "protobuf is not formatted (make fmt)"
buf lint proto || complain "protobuf breaks the rules of proto/buf.yaml"

generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
(cd proto && buf generate --output "$generated")
while IFS= read -r file; do
  diff -u "proto/$file" "$generated/$file" || complain "proto/$file is not what its .proto generates (make generate)"
done < <({ cd proto && find . -name '*.pb.go'; cd "$generated" && find . -name '*.pb.go'; } | sort -u)

go test ./services/whisperer/internal/cli -run 'TestReference|TestManPage' -count 1 >/dev/null ||
  complain "docs/cli.md is not what the commands say (go test ./services/whisperer/internal/cli -run TestReference -update)"

scripts/tidy.sh --check || complain "modules are not in order"
exit "$failed"
