#!/usr/bin/env bash
# Holds running servers against their OpenAPI document: requests made of it, right and wrong ones, and every answer against
# what it says. Once with a server that asks nobody who they are, once with one that does.
# Usage: scripts/schemathesis.sh SERVER [OPTION...]   (the server's binary; options for `schemathesis run`)
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath "$1")
shift
root=$PWD
venv=$root/target/schemathesis
work=$(mktemp -d)
server=

finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# The environment is made anew when the list has changed.
if ! cmp -s scripts/schemathesis.txt "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement scripts/schemathesis.txt
    cp scripts/schemathesis.txt "$venv/installed.txt"
fi

# start OPTION...: starts the server with a new database and waits for the line that says where it listens.
start() {
    rm -f "$work"/sambad.db*
    # Nothing of the server before is read.
    : >"$work/stdout"
    "$binary" --listen 127.0.0.1:0 --database "sqlite:$work/sambad.db" --log error "$@" >"$work/stdout" 2>"$work/stderr" &
    server=$!
    for _ in $(seq 300); do
        url=$(grep -o 'http://[0-9.:]*' "$work/stdout" || true)
        [ -z "$url" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/stdout" "$work/stderr" >&2
    return 1
}

# The server must have nothing to tell at the level of errors, and stop well.
stop() {
    kill -TERM "$server"
    local status=0
    wait "$server" || status=$?
    server=
    cat "$work/stderr" >&2
    [ "$status" -eq 0 ] && [ ! -s "$work/stderr" ]
}

# In a folder that goes: what it remembers of a run would be tried first in the next, which is to be the same.
try() (
    cd "$work"
    "$venv/bin/schemathesis" --config-file "$root/scripts/schemathesis.toml" run "$url/api/openapi.json" --checks all \
        --warnings off --continue-on-failure "$@"
)

start
try "$@"
stop

"$binary" key generate "$work/keys" >/dev/null
start --auth token --auth-key "$work/keys"
token=$("$binary" token create --role service --role admin --auth-key "$work/keys" --database "sqlite:$work/sambad.db" | tail -1)
try --header "Authorization: Bearer $token" --max-examples 5 "$@"
stop
