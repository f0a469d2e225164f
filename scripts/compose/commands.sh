#!/usr/bin/env bash
# Prints the `docker compose` commands in our documentation and messages: file, tab, command, tab, and `whole`, or `cut` if a
# quotation mark ends the part that is read.
#
#   scripts/compose/commands.sh [--plain]
#
# With --plain it prints only commands, each once, that can be typed unchanged while an installation runs: whole, with no
# flag before Compose's command, and none that removes containers.
set -euo pipefail
cd "$(dirname "$0")/../.."
files=(README.md Makefile docker-compose.yml .env.example scripts/compose/up.sh scripts/compose/cluster.yml
  docs/*.md docs/decisions/*.md .github/*.md services/whisperer/internal/doctor/*.go)
# \047 is an apostrophe; a dot belongs to a command only before a letter.
LC_ALL=C awk '{
  while (sub(/\\$/, " ") && (getline more) > 0) $0 = $0 more
  while (match($0, /docker compose ([^`"\047;|&),#.]|\.[a-z])*/)) {
    command = substr($0, RSTART, RLENGTH)
    after = substr($0, RSTART + RLENGTH, 1)
    $0 = substr($0, RSTART + RLENGTH)
    sub(/ *$/, "", command)
    print FILENAME "\t" command "\t" (after == "\"" || after == "\047" ? "cut" : "whole")
  }
}' "${files[@]}" |
  if [ "${1:-}" = --plain ]; then
    awk -F '\t' '$3 == "whole" && $2 !~ /^docker compose (-|down)|…/ && !seen[$2]++ {print $2}'
  else
    cat
  fi
