#!/usr/bin/env bash
# Makes sure that this machine has what the tests and `make run` need besides Go: the PostgreSQL server's binaries
# (initdb, postgres), which they start privately. On Debian and Ubuntu root gets them installed; anybody else is
# told the command. Not needed where a database is given by URL, or where tests are told to use Docker.
set -euo pipefail

for given in WHISPERER_DATABASE_URL WHISPERER_TEST_DATABASE_URL; do
  [ -z "${!given:-}" ] || exit 0
done
[ "${WHISPERER_TEST_ENV:-}" != docker ] || exit 0

# The places where pkg/localpg looks; the server is often not on PATH.
has_postgres() {
  local dir
  for dir in ${WHISPERER_PGBIN:-} "$(pg_config --bindir 2>/dev/null || true)" ${PATH//:/ } /usr/lib/postgresql/*/bin \
    /usr/pgsql-*/bin /usr/lib/postgresql*/bin /usr/libexec/postgresql* /opt/homebrew/opt/postgresql*/bin \
    /usr/local/opt/postgresql*/bin /Applications/Postgres.app/Contents/Versions/*/bin /usr/local/pgsql/bin; do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then return 0; fi
  done
  return 1
}

has_postgres && exit 0

command='install the PostgreSQL server, version 15 or newer'
if command -v apt-get >/dev/null; then command='apt-get install -y --no-install-recommends postgresql'
elif command -v dnf >/dev/null; then command='dnf install -y postgresql-server'
elif command -v apk >/dev/null; then command='apk add postgresql'
elif command -v pacman >/dev/null; then command='pacman -S postgresql'
elif command -v brew >/dev/null; then command='brew install postgresql@17'
fi

if [[ $command = apt-get* && $(id -u) = 0 ]]; then
  echo "deps: installing PostgreSQL ($command)" >&2
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # the command is words
  $command </dev/null >&2 || { apt-get update </dev/null >&2; $command </dev/null >&2; }
  has_postgres && exit 0
fi

echo "deps: the PostgreSQL server's binaries are missing. Get them by:" >&2
case $command in
apt-get* | dnf* | pacman* | apk*) echo "    sudo $command" >&2 ;;
*) echo "    $command" >&2 ;;
esac
echo "or point WHISPERER_PGBIN at the folder that holds initdb and postgres." >&2
exit 1
