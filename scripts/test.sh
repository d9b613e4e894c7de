#!/usr/bin/env bash
# Everything that is tested, on a machine that has only Rust: scripts/check.sh, examples in the documentation, the
# documentation itself, and the guide's flow against the real server, by curl and by the CLI.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/need.sh

work=$(mktemp -d)
server=
summary=()
current=

finish() {
    local status=$?
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
    printf '\n'
    [ ${#summary[@]} -eq 0 ] || printf '%s\n' "${summary[@]}"
    if [ "$status" -eq 0 ]; then
        printf 'PASS  %d s in all\n' "$SECONDS"
    else
        printf 'FAIL  %s\n' "$current"
    fi
}
trap finish EXIT

# step NAME COMMAND...: runs the command; its time goes into the summary.
step() {
    current=$1
    shift
    local begun=$SECONDS
    printf '\n== %s\n' "$current"
    "$@"
    summary+=("ok    $current ($((SECONDS - begun)) s)")
}

# need_subcommand NAME VERSION [OPTION...]: builds this version of a subcommand of cargo where it is missing.
need_subcommand() {
    local name=$1 version=$2
    shift 2
    # Some print their name before the version.
    [ "$(cargo "$name" --version 2>/dev/null | sed "s/^cargo-$name //")" = "$version" ] ||
        cargo install "cargo-$name" --version "$version" --locked --force "$@"
}

# Programs that the tests use beside Rust: curl for the flow, Chromium for pages, Node for the client of web pages, npm and
# Python for event-stream libraries, Python for schemathesis, load balancers in front of several servers, and those that the
# lines below name. scripts/with-services.sh installs PostgreSQL and Redis.
needs() {
    # procps has the programs kill, ps and pgrep.
    need git git && need openssl openssl && need ps procps
    need curl curl && need chromium chromium && need chromedriver chromium-driver && need node nodejs
    need npm npm
    # A second browser: only this one reports how a WebSocket was closed.
    need firefox-esr firefox-esr
    PATH=$PATH:/usr/sbin need nginx nginx && PATH=$PATH:/usr/sbin need haproxy haproxy && need caddy caddy
    # Its HTTP/2 client sends `Expect: 100-continue`, as no other does; the JDK runs a source file.
    need javac default-jdk-headless
    # Its library gives a process another clock.
    need faketime faketime
    # A pooler between servers and PostgreSQL.
    PATH=$PATH:/usr/sbin need pgbouncer pgbouncer
    need python3 python3 && python3 -c 'import ensurepip, venv' || need_package python3-venv
    # A test makes a network of its own: as root, or where every user can (kernel.unprivileged_userns_clone).
    PATH=$PATH:/usr/sbin need ip iproute2 && need unshare util-linux
    # Compiling takes two minutes of one core, once. Without default features it has no client for registries: none is needed.
    need_subcommand deny 0.20.2 --no-default-features
    # Builds the Debian package: two minutes of one core as well, once.
    need_subcommand deb 3.8.0 --no-default-features && need dpkg-shlibdeps dpkg-dev && need adduser adduser
    # Boots in a copy of the machine, to start the service that the package installs.
    need systemd-analyze systemd
}

# The policy is deny.toml. scripts/advisories.sh checks advisories, since their database has to be fetched.
dependencies() {
    cargo deny --all-features check --deny unmatched-skip --deny unnecessary-skip bans licenses sources
}

binaries() {
    cargo build --bin sambad-server --bin sambad-cli --bin sambad-bench
    target=$(cargo metadata --no-deps --format-version 1 | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)
}

# Node has a WebSocket since version 22, and behind a flag before; without one the client falls back. Both are tried.
client_for_pages() {
    local run=(env SAMBAD_TEST_SERVER="$target/debug/sambad-server" node)
    local flags=(--test --test-concurrency=4 --test-timeout=90000)
    if node --experimental-websocket --eval 0 2>/dev/null; then
        "${run[@]}" --experimental-websocket "${flags[@]}" sambad-server/web/tests/*.test.mjs
        "${run[@]}" --no-experimental-websocket "${flags[@]}" sambad-server/web/tests/*.test.mjs
    else
        "${run[@]}" "${flags[@]}" sambad-server/web/tests/*.test.mjs
    fi
}

# Starts the server on a free port with a database of its own, and waits for the line that names its address.
start_server() {
    "$target/debug/sambad-server" --listen 127.0.0.1:0 --database "sqlite:$work/sambad.db" >"$work/stdout" 2>"$work/stderr" &
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

stop_server() {
    kill -TERM "$server"
    local status=0
    wait "$server" || status=$?
    server=
    [ "$status" -eq 0 ] || { cat "$work/stderr" >&2 && return 1; }
}

step 'what tests use is there' needs
step 'dependencies: licences, bans, sources' dependencies
step 'files of deploy/' scripts/deploy.sh
step 'workflows and issue forms' scripts/workflows.sh
step 'npm package' scripts/npm.sh
step 'packages of all crates' scripts/package.sh --no-verify
step 'words of the documents' scripts/words.py
step 'format, lints, tests' scripts/check.sh
step 'examples in the documentation' cargo test --doc --workspace --all-features
step 'documentation' env RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --all-features --no-deps
step 'binaries' binaries
step 'guides and links' scripts/docs.sh
step 'Debian package' scripts/deb.sh debug
step 'client for web pages, in Node' client_for_pages
step 'event streams, by clients of others' scripts/third-party.sh "$target/debug/sambad-server"
step 'OpenAPI, by schemathesis' scripts/schemathesis.sh "$target/debug/sambad-server"
step 'OpenAPI and AsyncAPI, by linters' scripts/openapi.sh "$target/debug/sambad-server"
step 'server starts' start_server
step 'flow by curl' scripts/flow.sh "$url"
step 'flow by curl, on a server that was used' scripts/flow.sh "$url"
step 'flow by the CLI' "$target/debug/sambad-cli" --server "$url" flow
step 'server stops on SIGTERM' stop_server
