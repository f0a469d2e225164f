#!/usr/bin/env bash
# Starts docker-compose.yml with secrets in .env, waits until everything is healthy, makes the first token and says where
# everything is: `make up`.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/compose/env.sh
docker compose up --detach --build --wait
whisperer() { docker compose run --rm --no-TTY whisperer "$@"; }
value() { sed -n "s/^$1=//p" .env | tail -1; }

# A token of .env may be of data that is no more.
if [ -z "$(value WHISPERER_TOKEN)" ] || ! whisperer hook list >/dev/null 2>&1; then
  token=$(whisperer --json token create first --role admin 2>/dev/null | sed -n 's/.*"token": "\(.*\)".*/\1/p')
  umask 077
  sed "s/^WHISPERER_TOKEN=.*/WHISPERER_TOKEN=$token/" .env >.env.new
  mv .env.new .env
fi
cat <<TEXT

Whisperer runs at http://$(docker compose port subscription-api 8080)
  console     http://$(docker compose port subscription-api 8080)/console/
  token       $(value WHISPERER_TOKEN)   (an admin's; it is in .env)
  try it      docker compose run --rm whisperer hook list
  publish     nats req --server nats://$(docker compose port nats 4222) --user oms-default --password $(value NATS_PASSWORD_OMS_DEFAULT) \\
                oms.default.order.created '{"data": {"id": 1042}}'
  receive     on this machine: http://host.docker.internal:9000/ as target URL
TEXT
