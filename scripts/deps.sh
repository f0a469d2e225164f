#!/usr/bin/env bash
# Makes sure that this machine has what the tests and `make run` need besides Go: the PostgreSQL server's binaries
# (initdb, postgres), of which they start their own server, and for tests Chromium, PgBouncer, and Node.js with npm. For root on
# Debian and Ubuntu it installs them; for others it prints the command. `deps.sh run` leaves out what only tests need. PostgreSQL
# is not needed if a database is given by URL, or if tests use Docker.
set -euo pipefail

# install_by COMMAND runs the command if that needs no question: as root, with apt.
install_by() {
  [[ $1 = apt-get* && $(id -u) = 0 ]] || return 1
  echo "deps: installing ($1)" >&2
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # the command is words
  $1 </dev/null >&2 || { apt-get update </dev/null >&2 && $1 </dev/null >&2; }
}

# tell WHAT COMMAND OTHERWISE prints what a person has to do.
tell() {
  echo "deps: $1. To install it:" >&2
  case $2 in
  apt-get* | dnf* | pacman* | apk*) echo "    sudo $2" >&2 ;;
  *) echo "    $2" >&2 ;;
  esac
  echo "or $3." >&2
}

# installs APT DNF APK PACMAN BREW OTHERWISE prints the command that installs a package with this machine's package manager; the
# arguments are the package's names. It prints OTHERWISE if there is no known package manager.
installs() {
  if command -v apt-get >/dev/null; then echo "apt-get install -y --no-install-recommends $1"
  elif command -v dnf >/dev/null; then echo "dnf install -y $2"
  elif command -v apk >/dev/null; then echo "apk add $3"
  elif command -v pacman >/dev/null; then echo "pacman -S $4"
  elif command -v brew >/dev/null; then echo "brew install $5"
  else echo "$6"
  fi
}

needs_postgres() {
  local given
  for given in WHISPERER_DATABASE_URL WHISPERER_TEST_DATABASE_URL; do
    [ -z "${!given:-}" ] || return 1
  done
  [ "${WHISPERER_TEST_ENV:-}" != docker ]
}

# The places where services/internal/localpg looks; the server is often not on PATH.
has_postgres() {
  local dir
  for dir in ${WHISPERER_PGBIN:-} "$(pg_config --bindir 2>/dev/null || true)" ${PATH//:/ } /usr/lib/postgresql/*/bin \
    /usr/pgsql-*/bin /usr/lib/postgresql*/bin /usr/libexec/postgresql* /opt/homebrew/opt/postgresql*/bin \
    /usr/local/opt/postgresql*/bin /Applications/Postgres.app/Contents/Versions/*/bin /usr/local/pgsql/bin; do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then return 0; fi
  done
  return 1
}

get_postgres() {
  local command
  command=$(installs postgresql postgresql-server postgresql postgresql postgresql@17 \
    'install the PostgreSQL server, version 15 or newer')
  install_by "$command" || true
  has_postgres && return 0
  tell "the PostgreSQL server's binaries are missing" "$command" \
    'point WHISPERER_PGBIN at the folder that holds initdb and postgres'
  return 1
}

# The places where the console's tests look.
has_chromium() {
  local name
  for name in ${CHROME_BIN:-} chromium chromium-browser google-chrome google-chrome-stable \
    '/Applications/Chromium.app/Contents/MacOS/Chromium' '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'; do
    if command -v "$name" >/dev/null; then return 0; fi
  done
  return 1
}

get_chromium() {
  local command
  command=$(installs chromium chromium chromium chromium '--cask chromium' 'install Chromium or Chrome')
  install_by "$command" || true
  has_chromium && return 0
  tell "Chromium is missing, so the console's browser tests will fail" "$command" 'point CHROME_BIN at a Chromium or Chrome'
  [ "${CI:-}" != true ] # the other tests do not need it
}

# Tests run the services behind it.
has_pgbouncer() { command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; }

get_pgbouncer() {
  local command
  command=$(installs pgbouncer pgbouncer pgbouncer pgbouncer pgbouncer 'install PgBouncer')
  install_by "$command" || true
  has_pgbouncer && return 0
  tell "PgBouncer is missing, so the tests behind it will fail" "$command" 'put pgbouncer on PATH'
  [ "${CI:-}" != true ] # the other tests do not need it
}

# Tests call the API with clients from npm.
has_npm() { command -v node >/dev/null && command -v npm >/dev/null; }

get_npm() {
  local command
  command=$(installs 'nodejs npm' 'nodejs npm' 'nodejs npm' 'nodejs npm' node 'install Node.js, 20 or newer, with npm')
  install_by "$command" || true
  has_npm && return 0
  tell "Node.js with npm is missing, so the tests of foreign clients will be skipped" "$command" 'put node and npm on PATH'
  [ "${CI:-}" != true ] # the other tests do not need it
}

if needs_postgres && ! has_postgres; then get_postgres; fi
if [ "${1:-}" != run ] && ! has_chromium; then get_chromium; fi
if [ "${1:-}" != run ] && ! has_pgbouncer; then get_pgbouncer; fi
if [ "${1:-}" != run ] && ! has_npm; then get_npm; fi
