#!/usr/bin/env bash
# The shortest test of built programs, for platforms that run no more: the server starts, the command line plays the guide's
# flow against it, and the server stops on SIGTERM.
# Usage: scripts/smoke.sh FOLDER   (the folder that has sambad-server, sambad-cli and sambad-bench)
set -euo pipefail

folder=$(cd "$1" && pwd)
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

for program in sambad-server sambad-cli sambad-bench; do
    "$folder/$program" --version
done
"$folder/sambad-server" --listen 127.0.0.1:0 --database "sqlite:$work/sambad.db" >"$work/stdout" 2>"$work/stderr" &
server=$!
url=
for _ in $(seq 300); do
    url=$(grep -o 'http://[0-9.:]*' "$work/stdout" | head -n 1 || true)
    [ -z "$url" ] || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
[ -n "$url" ] || { cat "$work/stdout" "$work/stderr" >&2 && exit 1; }
"$folder/sambad-cli" --server "$url" flow
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
[ "$status" -eq 0 ] || { printf 'the server ended with %s\n' "$status" >&2 && cat "$work/stderr" >&2 && exit 1; }
printf 'ok    %s\n' "$folder"
