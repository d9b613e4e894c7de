#!/usr/bin/env bash
# Checks the OpenAPI and AsyncAPI documents of running servers with linters from npm: swagger-parser, Redocly CLI and Spectral.
# One server requires authentication, one does not. Warnings count as errors.
# The linters are installed below target/, in the versions of scripts/openapi/package-lock.json, and need no network after that.
# Usage: scripts/openapi.sh SERVER   (the server's binary)
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")/.."

lists=$PWD/scripts/openapi
# npm confuses a folder behind a link with a package.
installed=$(realpath -m target)/openapi
work=$(mktemp -d)
server=
# No telemetry, and no check for updates.
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npm_config_update_notifier=false

finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# The linters are installed again when the list has changed.
if ! cmp -s "$lists/package-lock.json" "$installed/package-lock.json"; then
    rm -rf "$installed" "$installed.new"
    mkdir -p "$installed.new"
    cp "$lists"/package.json "$lists"/package-lock.json "$installed.new"
    npm ci --prefix "$installed.new" --ignore-scripts --no-audit --no-fund --loglevel=error
    mv -T "$installed.new" "$installed"
fi
# Node finds packages beside the file that imports them.
cp "$lists"/validate.mjs "$lists"/redocly.yaml "$lists"/spectral.yaml "$installed"

# lint NAME OPTION...: starts a server with these options, and lints both of its documents.
lint() {
    local name=$1 url=
    shift
    : >"$work/stdout"
    "$binary" --listen 127.0.0.1:0 --database "sqlite:$work/$name.db" --log error "$@" >"$work/stdout" 2>"$work/stderr" &
    server=$!
    for _ in $(seq 300); do
        url=$(grep -o 'http://[0-9.:]*' "$work/stdout" || true)
        [ -z "$url" ] || break
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    [ -n "$url" ] || { cat "$work/stdout" "$work/stderr" >&2 && return 1; }
    mkdir "$work/$name"
    curl -sSf "$url/api/openapi.json" -o "$work/$name/openapi.json"
    curl -sSf "$url/api/asyncapi.json" -o "$work/$name/asyncapi.json"
    kill "$server" && wait "$server"
    server=

    cd "$work/$name"
    node "$installed/validate.mjs" openapi.json
    "$installed/node_modules/.bin/redocly" lint --config "$installed/redocly.yaml" openapi.json
    "$installed/node_modules/.bin/spectral" lint --ruleset "$installed/spectral.yaml" --fail-severity warn openapi.json asyncapi.json
    cd - >/dev/null
}

"$binary" key generate "$work/keys" >/dev/null
lint open
lint guarded --auth token --auth-key "$work/keys"
