#!/usr/bin/env bash
# Tests with a real container engine what the README promises for containers: it builds the images, starts them with
# docker-compose.yml, publishes events at a steady rate while it kills, restarts, scales and replaces workers, NATS nodes and
# PostgreSQL, and counts the webhooks that arrive. It fails if one was lost, and removes everything that it created.
#
#   scripts/containers.sh [single] [literal] [cluster] [backup] [tests]
#
# Without arguments it runs all parts. literal is `make up` and the commands that the documentation gives after it, backup the commands
# of the chapter on backups, and tests runs the tests of the database and of NATS on containers.
#
# RATE (100) is events per second, and SECONDS_EACH (20) the length of each step; BUILD=no uses the existing images …:proof. If no
# registry can be reached, run scripts/compose/offline-images.sh first.
# shellcheck disable=SC2317 # functions are called by name
set -euo pipefail
cd "$(dirname "$0")/.."

export RATE=${RATE:-100} SECONDS_EACH=${SECONDS_EACH:-20}
export COMPOSE_PROJECT_NAME=whisperer-proof VERSION=${VERSION:-proof} IMAGE_TAG=proof
images=ghcr.io/whisperer-oms/whisperer
export API_PORT=${API_PORT:-18080} NATS_PORT=${NATS_PORT:-14222}
work=$(mktemp -d)
# Secrets of its own, whatever .env has; and the receiver is a container beside the others.
scripts/compose/env.sh "$work/env" 2>/dev/null
set -a
# shellcheck disable=SC1091 # it was just written
. "$work/env"
export WHISPERER_EGRESS_ALLOW=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16 WHISPERER_EGRESS_PORTS=80,443,9000
set +a
files=(-f docker-compose.yml)
failed=0

compose() { docker compose "${files[@]}" "$@"; }

finish() {
  compose --profile cli down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || true
  docker rm -f whisperer-proof-load >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

wrong() {
  echo "containers: $*" >&2
  failed=1
}

# up starts everything and makes the token that the load is published with.
up() {
  compose up --detach --no-build --wait --quiet-pull >"$work/up.log" 2>&1 || { cat "$work/up.log" >&2; exit 1; }
  ADMIN_TOKEN=$(compose run --rm --no-TTY whisperer --json token create proof --role admin 2>"$work/up.log" |
    sed -n 's/.*"token": "\(.*\)".*/\1/p') || { cat "$work/up.log" >&2; exit 1; }
  export ADMIN_TOKEN
}

# step NAME COMMAND...: publishes for a while, runs the command in the middle of it, and counts.
step() {
  local name=$1 result=$work/result status=0
  shift
  compose run --detach --no-TTY --name whisperer-proof-load whisperer --json bench installation --rate "$RATE" \
    --duration "${SECONDS_EACH}s" --hooks 2 --listen :9000 --receiver-url http://whisperer-proof-load:9000 --settle 90s >/dev/null 2>&1
  sleep "$((SECONDS_EACH / 3))"
  "$@" >"$work/step.log" 2>&1 || { wrong "$name: $*"; tail -20 "$work/step.log" >&2; }
  status=$(docker wait whisperer-proof-load)
  docker logs whisperer-proof-load >"$result" 2>"$work/complaints"
  docker rm whisperer-proof-load >/dev/null
  if [ "$status" != 0 ]; then
    wrong "$name: exit code $status"
    tail -5 "$work/complaints" >&2
  fi
  printf '%-34s accepted %5s  webhooks %5s of %5s  lost %s  repeated %s  calls again %s  p50 %s ms  p99 %s ms  max %s ms\n' "$name" \
    "$(number accepted)" "$(number received)" "$(number expected)" "$(number lost)" "$(number repeated)" "$(number refused)" \
    "$(number p50)" "$(number p99)" "$(number max)"
}

number() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$work/result" | head -1; }

workers() { compose ps --quiet delivery-worker; }

kill_worker() { docker kill --signal KILL "$(workers | head -1)"; }

restart_postgres() { compose restart --timeout 10 postgres; }

# replace_workers starts new workers beside the old ones, then stops these one after the other; then the API.
replace_workers() {
  local old count
  old=$(workers)
  count=$(wc -w <<<"$old")
  docker tag "$images/delivery-worker:proof" "$images/delivery-worker:proof-next"
  docker tag "$images/subscription-api:proof" "$images/subscription-api:proof-next"
  IMAGE_TAG=proof-next compose up --detach --no-build --no-deps --no-recreate --wait --scale delivery-worker=$((2 * count)) delivery-worker
  for id in $old; do
    docker stop --time 30 "$id"
    docker rm "$id"
  done
  IMAGE_TAG=proof-next compose up --detach --no-build --no-deps --wait subscription-api
}

kill_node() {
  docker kill --signal KILL "$(compose ps --quiet "$1")"
  sleep 5
  compose up --detach --no-recreate --wait "$1"
}

# hardened checks how the containers run.
hardened() {
  local service id
  for service in subscription-api delivery-worker; do
    id=$(compose ps --quiet "$service" | head -1)
    [ "$(docker inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.State.Health.Status}}' "$id")" = 'true 65532:65532 healthy' ] ||
      wrong "$service is not read-only, not without root, or not healthy"
    [ "$(docker inspect --format '{{index .Config.Labels "io.whisperer.sbom"}}' "$id")" = /usr/share/sbom/ ] || wrong "$service does not say where its SBOM is"
    docker cp "$id:/usr/share/sbom/$service.cdx.json" "$work/" || wrong "$service has no SBOM"
    grep -q '"bomFormat": "CycloneDX"' "$work/$service.cdx.json" || wrong "$service has no SBOM"
  done
  docker images --filter reference="$images/*:proof" --format '{{.Repository}} {{.Size}}'
}

single() {
  files=(-f docker-compose.yml)
  say "one machine: docker-compose.yml, $RATE events a second to two hooks"
  up
  hardened
  step "nothing happens" true
  step "one worker becomes four" compose up --detach --no-recreate --wait --scale delivery-worker=4 delivery-worker
  step "a worker of four is killed" kill_worker
  step "PostgreSQL is restarted" restart_postgres
  step "workers and API are replaced" replace_workers
  compose --profile cli down --volumes --timeout 5 >/dev/null 2>&1
}

# built prints the images that were built here, and containers those that there are, running or not.
built() { docker images --no-trunc --filter reference="$images/*:local" --format '{{.Repository}} {{.ID}}' | sort; }
containers() { docker compose ps --all --no-trunc --quiet | sort; }

# typed types the documentation's commands after `make up`, as a person does: in a checkout without .env, with no variable set that
# says which images. None may build, pull or replace anything.
typed() {
  local commands command code limit before after
  unset VERSION IMAGE_TAG IMAGE_PULL ADMIN_TOKEN MAKEFLAGS MAKEOVERRIDES MAKELEVEL WHISPERER_MASTER_KEY WHISPERER_EGRESS_ALLOW WHISPERER_EGRESS_PORTS \
    POSTGRES_PASSWORD NATS_PASSWORD_WHISPERER NATS_PASSWORD_OPERATOR NATS_PASSWORD_OMS_DEFAULT
  cd "$work/checkout" || return 1
  make up >"$work/typed.log" 2>&1 || { cat "$work/typed.log" >&2; wrong "make up"; return 1; }
  built >"$work/images"
  containers >"$work/containers"
  [ -s "$work/images" ] && [ -s "$work/containers" ] || wrong "make up built or started nothing"
  mapfile -t commands < <(scripts/compose/commands.sh --plain)
  [ "${#commands[@]}" -gt 5 ] || wrong "the documentation prints ${#commands[@]} commands"
  for command in "${commands[@]}"; do
    code=0
    limit=180
    [[ $command != *--follow* ]] || limit=10
    timeout "$limit" bash -c "$command" </dev/null >"$work/typed.log" 2>&1 || code=$?
    case $code:$command in
    0:* | 124:*--follow* | 1:*doctor) ;; # the doctor may find something
    *) wrong "$command: exit code $code"; tail -20 "$work/typed.log" >&2 ;;
    esac
    built >"$work/images.now"
    containers >"$work/containers.now"
    before=$(cat "$work/images") after=$(cat "$work/images.now")
    [ "$before" = "$after" ] || wrong "$command made other images"
    [ -z "$(comm -23 "$work/containers" "$work/containers.now")" ] || wrong "$command replaced containers"
    echo "$command"
  done
  return "$failed"
}

literal() {
  say "make up, and the commands that the documentation prints"
  git clone --quiet . "$work/checkout"
  # What is not committed, too.
  git ls-files -z --modified --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -c | tar -C "$work/checkout" -x
  (typed) || failed=1
  files=(-f docker-compose.yml)
  compose --profile cli down --volumes --timeout 5 >/dev/null 2>&1
}

cluster() {
  files=(-f docker-compose.yml -f scripts/compose/cluster.yml)
  say "three NATS nodes and three workers: scripts/compose/cluster.yml, $RATE events a second to two hooks"
  up
  step "nothing happens" true
  step "a NATS node is killed" kill_node nats-2
  step "the node everybody asks is killed" kill_node nats
  compose --profile cli down --volumes --timeout 5 >/dev/null 2>&1
}

# manual prints the commands that the manual gives in a block of this name.
manual() { sed -n "/^\`\`\`sh $1\$/,/^\`\`\`\$/p" docs/operations.md | sed '1d;$d'; }

# backup runs the manual's backup while there is something to keep, and its restoring into volumes that are new.
backup() {
  files=(-f docker-compose.yml)
  say "backup and restore, by the manual's commands"
  up
  compose run --rm --no-TTY whisperer hook create --event-type 'order.*' --target-url https://example.com/kept --secret secret >/dev/null 2>&1
  compose run --rm --no-TTY whisperer event publish --type order.created --id kept --data '{}' >/dev/null 2>&1
  # As a person types them, in a folder of their own for what they write.
  BACKUP=$work/backup
  export BACKUP
  manual "compose backup" >"$work/backup.sh"
  manual "compose restore" >"$work/restore.sh"
  for script in backup restore; do
    [ -s "$work/$script.sh" ] || wrong "the manual has no block: compose $script"
    bash -euo pipefail "$work/$script.sh" >"$work/$script.log" 2>&1 || { wrong "$script"; tail -20 "$work/$script.log" >&2; }
  done
  compose run --rm --no-TTY whisperer hook list 2>/dev/null | grep https://example.com/kept >/dev/null || wrong "the hook was not restored"
  compose run --rm --no-TTY nats-cli stream get OMS 1 2>/dev/null | grep kept >/dev/null || wrong "the event log was not restored"
  compose --profile cli down --volumes --timeout 5 >/dev/null 2>&1
}

tests() {
  say "tests on containers"
  WHISPERER_TEST_ENV=docker go test -count 1 ./services/internal/bus ./services/internal/store || wrong "tests on containers"
}

if [ "${BUILD:-yes}" = yes ]; then
  say "images"
  compose --profile cli build >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" >&2; exit 1; }
fi
[ $# -gt 0 ] || set -- single literal cluster backup tests
for part; do
  case $part in
  single | literal | cluster | backup | tests) "$part" ;;
  *) echo "$part is none of: single literal cluster backup tests" >&2; exit 2 ;;
  esac
done
exit "$failed"
