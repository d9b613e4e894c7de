#!/usr/bin/env bash
# Checks running servers against their OpenAPI document with schemathesis: it generates valid and invalid requests from the
# document, and compares each response with the document. One server requires authentication, one does not.
# Usage: scripts/schemathesis.sh SERVER [OPTION...]   (the server's binary; options for `schemathesis run`)
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")/.."

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

# The environment is created again when the list has changed.
if ! cmp -s scripts/schemathesis.txt "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement scripts/schemathesis.txt
    cp scripts/schemathesis.txt "$venv/installed.txt"
fi

# start OPTION...: starts the server with a new database, and waits for the line with its address.
start() {
    rm -f "$work"/sambad.db*
    # The address of the previous server must not be read.
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

# The server must log no errors, and exit with 0.
stop() {
    kill -TERM "$server"
    local status=0
    wait "$server" || status=$?
    server=
    cat "$work/stderr" >&2
    [ "$status" -eq 0 ] && [ ! -s "$work/stderr" ]
}

# In a temporary folder: schemathesis stores failures there and tries them first in the next run, but all runs must be equal.
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
