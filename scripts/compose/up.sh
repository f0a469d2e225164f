#!/usr/bin/env bash
# `make up`: starts docker-compose.yml with secrets in .env, waits until everything is healthy, creates the first token, and prints
# the addresses.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/compose/env.sh
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# value NAME prints the value in .env; setting NAME the one that Compose uses, for which the shell takes precedence over .env.
value() { sed -n "s/^$1=//p" .env | tail -1; }
setting() { if [ -n "${!1+set}" ]; then echo "${!1}"; else value "$1"; fi; }

# Images of a release are pulled: building would give this checkout's images their tag.
case $(setting IMAGE_PULL) in
"" | never | build)
  build=--build
  # From the commit, so that the same commit builds the same images.
  VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
  REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
  CREATED=${CREATED:-$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo 1970-01-01T00:00:00Z)}
  export VERSION REVISION CREATED
  ;;
*) build=--no-build ;;
esac
docker compose up --detach "$build" --wait

# whisperer ARGUMENT... runs the command line with the token in .env. Compose's own messages are shown only if it fails.
whisperer() { docker compose run --rm --no-TTY whisperer "$@" 2>"$errors"; }

# failed WHAT prints why, and exits.
failed() {
  cat "$errors" >&2
  echo "up: $1" >&2
  exit 1
}

# create creates a token and writes it into .env.
create() {
  local said token
  said=$(whisperer --json token create first --role admin) || failed "cannot create the first token"
  token=$(sed -n 's/.*"token": "\(.*\)".*/\1/p' <<<"$said")
  [ -n "$token" ] || failed "token create printed no token"
  umask 077
  if grep -q '^ADMIN_TOKEN=' .env; then
    sed "s/^ADMIN_TOKEN=.*/ADMIN_TOKEN=$token/" .env >.env.new
  else # .env is from an earlier version
    { cat .env && echo "ADMIN_TOKEN=$token"; } >.env.new
  fi
  mv .env.new .env
}

unset ADMIN_TOKEN # only the one in .env counts
if [ -z "$(value ADMIN_TOKEN)" ]; then
  create
else
  code=0
  whisperer hook list >/dev/null || code=$?
  case $code in
  0) ;;
  4) create ;; # refused: it belongs to data that was removed
  *) failed "cannot check the token in .env with the API" ;;
  esac
fi
cat <<TEXT

Whisperer runs at http://$(docker compose port subscription-api 8080)
  console     http://$(docker compose port subscription-api 8080)/console/
  token       $(value ADMIN_TOKEN)   (role admin; also in .env)
  try it      docker compose run --rm whisperer hook list
  publish     nats req --server nats://$(docker compose port nats 4222) --user oms-default --password $(value NATS_PASSWORD_OMS_DEFAULT) \\
                oms.default.order.created '{"data": {"id": 1042}}'
  receive     on this machine: use http://host.docker.internal:9000/ as target URL
TEXT
