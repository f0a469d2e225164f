#!/bin/sh
# The entrypoint of the stand-in that offline-images.sh makes. Of the official image's it knows POSTGRES_USER,
# POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD and the folder of init scripts; like
# the official one it starts the server twice on the first boot, because tools wait for the second readiness line.
set -eu

case "${1:-}" in -*) set -- postgres "$@" ;; esac
[ "${1:-}" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /run/postgresql
  chown postgres:postgres "$PGDATA" /run/postgresql
  chmod 700 "$PGDATA"
  # By its path: busybox's shell would run its own applet of this name.
  exec /usr/bin/setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
[ ! -s "$PGDATA/PG_VERSION" ] || exec "$@"

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
  echo "set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust" >&2
  exit 1
fi

if [ -n "${POSTGRES_PASSWORD:-}" ]; then
  printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
  # shellcheck disable=SC2086 # the arguments are words
  initdb -D "$PGDATA" -U "$user" -E UTF8 --locale=C.UTF-8 --no-sync --pwfile=/tmp/password ${POSTGRES_INITDB_ARGS:-}
  rm /tmp/password
else
  # shellcheck disable=SC2086
  initdb -D "$PGDATA" -U "$user" -E UTF8 --locale=C.UTF-8 --no-sync ${POSTGRES_INITDB_ARGS:-}
fi
printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
[ "$database" = postgres ] || createdb -U "$user" "$database"
for script in /docker-entrypoint-initdb.d/*; do
  # shellcheck disable=SC1090 # a user's script
  case "$script" in
  *.sh) . "$script" ;;
  *.sql) psql -v ON_ERROR_STOP=1 -U "$user" -d "$database" -f "$script" ;;
  esac
done
pg_ctl -D "$PGDATA" -m fast -w stop
printf '\nPostgreSQL init process complete; ready for start up.\n\n'
exec "$@"
