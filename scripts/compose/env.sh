#!/usr/bin/env bash
# Writes .env for docker-compose.yml from .env.example with secrets of its own, where there is none yet.
#
#   scripts/compose/env.sh [FILE]
set -euo pipefail
cd "$(dirname "$0")/../.."
file=${1:-.env}
[ ! -e "$file" ] || exit 0
random() { head -c "$1" /dev/urandom; }
umask 077
# The address of this machine for containers, where Docker says it; else what Docker has by default.
gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}' 2>/dev/null || true)
while IFS= read -r line; do
  case $line in
  # A letter in front: nats-server would take some passwords for numbers.
  POSTGRES_PASSWORD= | NATS_PASSWORD_*=) line+=p$(random 16 | od -An -tx1 | tr -d ' \n') ;;
  WHISPERER_MASTER_KEY=) line+=$(random 32 | base64) ;;
  WHISPERER_EGRESS_ALLOW=*) [ -z "$gateway" ] || line=${line/172.17.0.1/$gateway} ;;
  esac
  printf '%s\n' "$line"
done <.env.example >"$file.new"
mv "$file.new" "$file"
echo "wrote $file with new secrets; data that was made with others needs those" >&2
