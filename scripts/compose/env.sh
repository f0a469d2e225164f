#!/usr/bin/env bash
# Writes .env for docker-compose.yml from .env.example, with new secrets, unless it exists.
#
#   scripts/compose/env.sh [FILE]
set -euo pipefail
cd "$(dirname "$0")/../.."
file=${1:-.env}
[ ! -e "$file" ] || exit 0
random() { head -c "$1" /dev/urandom; }
umask 077
# The address of this machine for containers, if Docker reports it; otherwise Docker's default.
gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}' 2>/dev/null || true)
while IFS= read -r line; do
  case $line in
  # The leading letter keeps nats-server from reading a password as a number.
  POSTGRES_PASSWORD= | NATS_PASSWORD_*=) line+=p$(random 16 | od -An -tx1 | tr -d ' \n') ;;
  WHISPERER_MASTER_KEY=) line+=$(random 32 | base64) ;;
  WHISPERER_EGRESS_ALLOW=*) [ -z "$gateway" ] || line=${line/172.17.0.1/$gateway} ;;
  esac
  printf '%s\n' "$line"
done <.env.example >"$file.new"
mv "$file.new" "$file"
echo "wrote $file with new secrets; existing data needs the secrets that it was created with" >&2
