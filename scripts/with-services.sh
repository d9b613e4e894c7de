#!/usr/bin/env bash
# Runs a command with a PostgreSQL and a Redis for tests, and exits with the command's exit code.
#
#   scripts/with-services.sh cargo nextest run -p sambad-core --all-features
#
# SAMBAD_TEST_POSTGRES_URL and SAMBAD_TEST_REDIS_URL give the URLs of existing servers. For each variable that is not set, the
# script starts a temporary server and sets the variable for the command. It uses the installed packages, or installs them
# (Debian, as root). The temporary servers keep no data, and stop with this script, even if it is killed.
set -euo pipefail
source "$(dirname "$0")/need.sh"

if [ $# -eq 0 ]; then
    printf 'usage: %s COMMAND [ARGUMENT...]\n' "$0" >&2
    exit 2
fi

say() {
    printf 'with-services: %s\n' "$*" >&2
}

# The newest one that is installed; Debian does not put it on the PATH.
find_postgres() {
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
    if command -v initdb >/dev/null && command -v postgres >/dev/null; then
        dirname "$(command -v initdb)"
    elif [ -x "$found/postgres" ]; then
        printf '%s\n' "$found"
    else
        return 1
    fi
}

# PostgreSQL refuses to run as root.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"
    else
        exec "$@"
    fi
}

# A port that is likely free: below those that the kernel hands out. Whoever finds it taken tries another.
any_port() {
    printf '%s\n' $((20000 + (RANDOM * 32768 + RANDOM) % 12000))
}

# start NAME READY COMMAND...: starts a server in the background, and waits until `READY` holds or it has ended.
start() {
    local name=$1 ready=$2
    shift 2
    ("$@") </dev/null >"$work/$name.log" 2>&1 &
    local pid=$!
    started[$pid]=$name
    for _ in $(seq 600); do
        ! $ready 2>/dev/null || return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    unset "started[$pid]"
    return 1
}

give_up() {
    say "$1 does not start:"
    cat "$work/$1.log" >&2
    exit 1
}

postgres_ready() {
    grep -q '^ready' "$work/postgres/postmaster.pid"
}

redis_ready() {
    grep -q 'Ready to accept connections' "$work/redis.log"
}

# Without fsync: nobody needs the data after a power cut, and what the tests of lost power ask is asked of an instance of
# their own. The password is there so that a wrong one is refused.
start_postgres() {
    local bin password port
    bin=$(find_postgres) || { need_package postgresql && bin=$(find_postgres); } || exit 1
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    mkdir "$work/postgres"
    printf '%s\n' "$password" >"$work/password"
    [ "$(id -u)" -ne 0 ] || chown postgres "$work/postgres" "$work/password"
    (as_postgres "$bin/initdb" --pgdata "$work/postgres" --username sambad --pwfile "$work/password" --auth scram-sha-256 \
        --encoding UTF8 --no-locale --no-sync) >"$work/postgres.log" 2>&1 || give_up postgres
    for _ in 1 2 3 4 5; do
        port=$(any_port)
        if start postgres postgres_ready as_postgres "$bin/postgres" -D "$work/postgres" -p "$port" \
            -c listen_addresses=127.0.0.1 -c unix_socket_directories="$work/postgres" -c max_connections=500 \
            -c fsync=off -c full_page_writes=off; then
            say "PostgreSQL of $bin on port $port"
            printf 'postgres://sambad:%s@127.0.0.1:%s/postgres\n' "$password" "$port"
            return
        fi
    done
    give_up postgres
}

start_redis() {
    local port
    need redis-server redis-server || exit 1
    for _ in 1 2 3 4 5; do
        port=$(any_port)
        if start redis redis_ready redis-server --bind 127.0.0.1 --port "$port" --save '' --appendonly no --dir "$work"; then
            say "Redis of $(command -v redis-server) on port $port"
            printf 'redis://127.0.0.1:%s\n' "$port"
            return
        fi
    done
    give_up redis
}

stop() {
    for pid in "${!started[@]}"; do
        # PostgreSQL: at once. Redis has nothing to save.
        kill -QUIT "$pid" 2>/dev/null || true
        [ "${started[$pid]}" = postgres ] || kill -KILL "$pid" 2>/dev/null || true
    done
    for pid in "${!started[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}

# Starts what is missing, says where it is, a line each, and waits for the end of its input: that is this script's end,
# whatever the cause. A trap in the script itself would not see SIGKILL.
keep() {
    trap '' INT TERM HUP
    work=$(mktemp -d)
    trap stop EXIT
    chmod 711 "$work"
    [ -n "${SAMBAD_TEST_POSTGRES_URL:-}" ] || start_postgres
    [ -n "${SAMBAD_TEST_REDIS_URL:-}" ] || start_redis
    printf 'done\n'
    read -r _ || true
}

declare -A started
coproc services { keep; }
keeper=$services_PID
input=${services[1]}
while true; do
    line=
    read -r line <&"${services[0]}" || true
    case $line in
        postgres:*) export SAMBAD_TEST_POSTGRES_URL=$line ;;
        redis:*) export SAMBAD_TEST_REDIS_URL=$line ;;
        done) break ;;
        *) exit 1 ;;
    esac
done

# In the background, because a trap waits for what is in the foreground. What runs there is deaf to Ctrl-C, so each signal
# that ends this script is passed on as the one that is heard.
"$@" <&0 &
command=$!
ended_by=
for signal in INT TERM HUP; do
    trap "ended_by=$signal; kill -TERM $command 2>/dev/null || true" "$signal"
done
status=0
while true; do
    wait "$command" && status=0 || status=$?
    kill -0 "$command" 2>/dev/null || break
done
[ -z "$ended_by" ] || status=$((128 + $(kill -l "$ended_by")))
exec {input}>&-
wait "$keeper" || true
exit "$status"
