#!/usr/bin/env bash
# Installs a package in a copy of this machine, starts the installed server as its unit does, stops it, and removes the package.
# scripts/deb.sh runs it in namespaces of its own: nothing of it outlives this script.
# Usage: scripts/deb-install.sh FILE
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

# The copy is what is written over this machine's files, in memory.
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
mkdir "$work"/{upper,work,machine}
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" overlay "$work/machine"
machine=$work/machine
mount -t proc proc "$machine/proc"
mount --rbind /dev "$machine/dev"
cp "$1" "$machine/tmp/sambad.deb"
in_copy() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C DEBIAN_FRONTEND=noninteractive chroot "$machine" "$@"; }

fail() {
    printf 'FAIL  %s\n' "$1" >&2
    cat "$work/stdout" "$work/stderr" >&2 2>/dev/null || true
    exit 1
}

expect() {
    [ "$2" = "$3" ] || fail "$1: $2, not $3"
    printf 'ok    %s\n' "$1"
}

# A package of this name on this machine is in the copy as well.
in_copy dpkg --purge sambad >/dev/null 2>&1 || true
rm -rf "$machine/var/lib/sambad" "$machine/etc/sambad"
in_copy dpkg --install /tmp/sambad.deb
expect 'packages that it needs' "$(in_copy dpkg --audit)" ''
expect 'version' "$(in_copy sambad-cli --version)" "sambad-cli $(in_copy dpkg-query --show --showformat '${Version}' sambad | sed 's/-[^-]*$//')"
expect 'owner and mode of the data' "$(in_copy stat --format '%U %G %a' /var/lib/sambad)" 'sambad sambad 700'
expect 'settings' "$(in_copy dpkg-query --show --showformat '${Conffiles}' sambad | awk '{ print $1 }' | xargs)" /etc/sambad/sambad.toml

# What the unit says, as systemd is not the first process here.
unit=$machine/usr/lib/systemd/system/sambad.service
value() { sed -n "s/^$1=//p" "$unit"; }
read -ra start <<<"$(value ExecStart)"
run_as=(setpriv "--reuid=$(value User)" "--regid=$(value Group)" --init-groups --no-new-privs --bounding-set=-all)
# Its file of secrets: here the port, so that no other server is in the way.
printf 'SAMBAD_LISTEN=127.0.0.1:0\n' >"$machine/etc/sambad/secrets"
chmod 600 "$machine/etc/sambad/secrets"

start_server() {
    : >"$work/stdout"
    env -i $(cat "$machine/etc/sambad/secrets") PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$machine" "${run_as[@]}" \
        sh -c 'umask "$1"; cd "$2"; shift 2; exec "$@"' start "$(value UMask)" "$(value WorkingDirectory)" "${start[@]}" \
        >"$work/stdout" 2>"$work/stderr" &
    server=$!
    for _ in $(seq 300); do
        url=$(grep -o 'http://[0-9.:]*' "$work/stdout" | head -n 1 || true)
        [ -z "$url" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    fail 'the installed server does not start'
}

stop_server() {
    local status=0
    kill -TERM "$server"
    wait "$server" || status=$?
    expect 'exit code after SIGTERM' "$status" 0
}

start_server
expect 'GET /livez' "$(curl --silent --output /dev/null --write-out '%{http_code}' "$url/livez")" 200
in_copy sambad-cli --server "$url" user create +919876543210
expect 'owner and mode of the database' "$(in_copy stat --format '%U %a' /var/lib/sambad/sambad.db)" 'sambad 600'
stop_server

# An upgrade keeps settings and data.
printf '# changed\n' >>"$machine/etc/sambad/sambad.toml"
in_copy dpkg --install /tmp/sambad.deb >/dev/null
expect 'settings after an upgrade' "$(in_copy tail -n 1 /etc/sambad/sambad.toml)" '# changed'
in_copy "${run_as[@]}" sambad-server check --config /etc/sambad/sambad.toml
start_server
expect 'users after an upgrade' "$(curl --silent "$url/api/users" | grep -o '"username":"[^"]*"')" '"username":"+919876543210"'
stop_server

# What is left: data, the user that owns it, what the administrator wrote, and dpkg's own records.
in_copy dpkg --purge sambad
left() { (cd "$work/upper" && find . -type f | sed 's/^\.//' | grep -vE '^/(tmp/sambad\.deb|var/(lib/dpkg|log|cache)/|etc/(\.pwd\.lock|passwd|group|shadow|gshadow|subuid|subgid)|run/)' | sort | xargs); }
expect 'files after the purge' "$(left | tr ' ' '\n' | grep -v '^/var/lib/sambad/sambad\.db')" /etc/sambad/secrets
expect 'data after the purge' "$(in_copy ls /var/lib/sambad/sambad.db)" /var/lib/sambad/sambad.db
expect 'owner of the data after the purge' "$(in_copy stat --format %U /var/lib/sambad)" sambad

# Without data, nothing is left.
rm -rf "$machine/var/lib/sambad" "$machine/etc/sambad"
in_copy dpkg --install /tmp/sambad.deb >/dev/null
in_copy dpkg --purge sambad >/dev/null
expect 'files of a purge without data' "$(left)" ''
expect 'users of a purge without data' "$(in_copy getent passwd sambad || true)" ''
