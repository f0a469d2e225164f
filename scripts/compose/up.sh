#!/usr/bin/env bash
# Starts docker-compose.yml with secrets in .env, waits until everything is healthy, makes the first token and says where
# everything is: `make up`.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/compose/env.sh
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# value NAME: what .env says. setting NAME: what compose goes by, for which the shell comes before .env.
value() { sed -n "s/^$1=//p" .env | tail -1; }
setting() { if [ -n "${!1+set}" ]; then echo "${!1}"; else value "$1"; fi; }

# A release's images are pulled; building would put this checkout under their tag.
case $(setting IMAGE_PULL) in
"" | never | build)
  build=--build
  # Of the commit, so that the same commit makes the same images.
  VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
  REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
  CREATED=${CREATED:-$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo 1970-01-01T00:00:00Z)}
  export VERSION REVISION CREATED
  ;;
*) build=--no-build ;;
esac
docker compose up --detach "$build" --wait

# whisperer ARGUMENT...: the command line with the token of .env. What compose says beside it is for when it fails.
whisperer() { docker compose run --rm --no-TTY whisperer "$@" 2>"$errors"; }

# failed WHAT: says why and ends.
failed() {
  cat "$errors" >&2
  echo "up: $1" >&2
  exit 1
}

# create makes a token and writes it into .env.
create() {
  local said token
  said=$(whisperer --json token create first --role admin) || failed "the first token could not be created"
  token=$(sed -n 's/.*"token": "\(.*\)".*/\1/p' <<<"$said")
  [ -n "$token" ] || failed "creating the first token printed none"
  umask 077
  if grep -q '^ADMIN_TOKEN=' .env; then
    sed "s/^ADMIN_TOKEN=.*/ADMIN_TOKEN=$token/" .env >.env.new
  else # it was written for a version before
    { cat .env && echo "ADMIN_TOKEN=$token"; } >.env.new
  fi
  mv .env.new .env
}

unset ADMIN_TOKEN # that of .env is meant
if [ -z "$(value ADMIN_TOKEN)" ]; then
  create
else
  code=0
  whisperer hook list >/dev/null || code=$?
  case $code in
  0) ;;
  4) create ;; # refused: it is of data that is no more
  *) failed "the API could not be asked whether it knows the token of .env" ;;
  esac
fi
cat <<TEXT

Whisperer runs at http://$(docker compose port subscription-api 8080)
  console     http://$(docker compose port subscription-api 8080)/console/
  token       $(value ADMIN_TOKEN)   (an admin's; it is in .env)
  try it      docker compose run --rm whisperer hook list
  publish     nats req --server nats://$(docker compose port nats 4222) --user oms-default --password $(value NATS_PASSWORD_OMS_DEFAULT) \\
                oms.default.order.created '{"data": {"id": 1042}}'
  receive     on this machine: http://host.docker.internal:9000/ as target URL
TEXT
