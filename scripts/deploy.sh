#!/usr/bin/env bash
# Checks the files of deploy/ with the programs that read them, or with a linter if the program cannot run here.
# sambad-server/tests/cluster tests the behaviour of the load balancers.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/need.sh
PATH=$PATH:/usr/sbin

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=$PWD/target/deploy

# The environment is made anew when the list has changed.
if ! cmp -s scripts/deploy.txt "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement scripts/deploy.txt
    cp scripts/deploy.txt "$venv/installed.txt"
fi

# check FILE COMMAND...: runs the command, and shows what it says if it fails.
check() {
    local file=$1
    shift
    if ! "$@" >"$work/said" 2>&1; then
        printf '%s: %s\n' "$file" "$*" >&2
        cat "$work/said" >&2
        return 1
    fi
    printf 'ok    %s (%s)\n' "$file" "$(basename "$1")"
}

# nginx looks its servers up when it starts; as the names are those of containers, they are known nowhere else.
nginx_reads() {
    sed 's/server one:4000/server 127.0.0.1:4000/; s/server two:4000/server 127.0.0.1:4001/' deploy/nginx.conf >"$work/nginx.conf"
    nginx -t -q -c "$work/nginx.conf" -g "pid $work/nginx.pid; error_log stderr warn;" -e stderr
}

# systemd wants the programs that a unit names to be there.
unit() {
    sed 's#/usr/local/bin/sambad-server#/bin/true#' deploy/sambad.service >"$work/sambad.service"
    systemd-analyze verify "$work/sambad.service" &&
        systemd-analyze security --offline=true --threshold=20 "$work/sambad.service"
}

# Every variable that a file sets is one that the server reads.
variables() {
    local name missing=0
    for name in $(grep -ohE 'SAMBAD_[A-Z_]+' deploy/Dockerfile deploy/compose.yaml deploy/sambad.service | sort -u); do
        [ "$name" != SAMBAD_ ] && [ "$name" != SAMBAD_POSTGRES_PASSWORD ] || continue
        grep -q "\[env: $name[]=]" sambad-server/tests/it/help.txt || { printf '%s is not a setting of the server\n' "$name" && missing=1; }
    done
    return "$missing"
}

need nginx nginx
need haproxy haproxy
need caddy caddy
check nginx.conf nginx_reads
check haproxy.cfg haproxy -c -f deploy/haproxy.cfg
check Caddyfile caddy validate --adapter caddyfile --config deploy/Caddyfile
check Caddyfile diff deploy/Caddyfile <(caddy fmt deploy/Caddyfile)
check compose.yaml "$venv/bin/python" scripts/deploy.py deploy/compose.yaml
check Dockerfile "$venv/bin/hadolint" deploy/Dockerfile
check 'variables of all files' variables
if command -v systemd-analyze >/dev/null; then
    check sambad.service unit
else
    printf 'skip  sambad.service (systemd-analyze is not installed)\n'
fi
