#!/usr/bin/env bash
# Fails if formatting or a generated file is not up to date: Go and protobuf format, protobuf lint, generated Go, the command line's
# reference, go.mod and go.sum. It changes nothing. `make fmt generate tidy` fixes most of what it finds.
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
  diff -u "proto/$file" "$generated/$file" || complain "proto/$file is not up to date with its .proto (make generate)"
done < <({ cd proto && find . -name '*.pb.go'; cd "$generated" && find . -name '*.pb.go'; } | sort -u)

go test ./services/whisperer/internal/cli -run 'TestReference|TestManPage' -count 1 >/dev/null ||
  complain "docs/cli.md is not up to date with the commands (go test ./services/whisperer/internal/cli -run TestReference -update)"

scripts/tidy.sh --check || complain "modules are not tidy, or do not build alone (make tidy)"
exit "$failed"
