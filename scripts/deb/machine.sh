#!/bin/bash
# Runs in the copy of a machine that boot.sh boots: installs the package, starts, kills, upgrades and stops the service, and
# removes the package again.
set -euo pipefail
cd /root
export LANG=C DEBIAN_FRONTEND=noninteractive
# boot.sh reads this line.
printf 'ok    systemd runs in the copy\n'

fail() {
    printf 'FAIL  %s\n' "$1"
    systemctl status --no-pager --lines=20 sambad.service || true
    exit 1
}
trap 'fail "line $LINENO"' ERR

expect() {
    [ "$2" = "$3" ] || fail "$1: $2, not $3"
    printf 'ok    %s\n' "$1"
}

# One that is free: the network is this machine's.
port=$(shuf --input-range=20000-30000 --head-count=1)
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
wait_until_alive() {
    local _
    for _ in $(seq 300); do
        ! curl --silent --fail --output /dev/null "http://127.0.0.1:$port/livez" || return 0
        sleep 0.1
    done
    fail 'the server is not alive'
}
process() { systemctl show --property MainPID --value sambad.service; }
files() { find /etc /usr /var -xdev -iname '*sambad*' ! -path '/var/lib/dpkg/*' ! -name sambad-test.service | sort; }

# A package of this name on this machine is in the copy as well.
dpkg --purge sambad >/dev/null 2>&1 || true
rm -rf /var/lib/sambad /etc/sambad
before=$(files)

dpkg --install sambad.deb
expect 'packages that it needs' "$(dpkg --audit)" ''
expect 'version' "$(sambad-cli --version)" "sambad-cli $(dpkg-query --show --showformat '${Version}' sambad | sed 's/-[^-]*$//')"
expect 'owner and mode of the data' "$(stat --format '%U %G %a' /var/lib/sambad)" 'sambad sambad 700'
expect 'settings' "$(dpkg-query --show --showformat '${Conffiles}' sambad | awk '{ print $1 }' | xargs)" /etc/sambad/sambad.toml
expect 'the service after the installation' "$(systemctl is-enabled sambad.service || true) $(systemctl is-active sambad.service || true)" 'disabled inactive'

# A port of its own, by the file of secrets.
printf 'SAMBAD_LISTEN=127.0.0.1:%s\n' "$port" >/etc/sambad/secrets
chmod 600 /etc/sambad/secrets
systemctl enable --quiet --now sambad.service
wait_until_alive
expect 'user of the server' "$(ps -o user= -p "$(process)")" sambad
sambad-cli --server "http://127.0.0.1:$port" user create +919876543210
expect 'owner and mode of the database' "$(stat --format '%U %a' /var/lib/sambad/sambad.db)" 'sambad 600'

# A server that is killed is started again.
killed=$(process)
kill -KILL "$killed"
until [ "$(process)" != "$killed" ] && [ "$(process)" != 0 ]; do sleep 0.1; done
wait_until_alive
printf 'ok    a killed server is started again\n'

# An upgrade restarts the server, and keeps settings and data.
printf '# changed\n' >>/etc/sambad/sambad.toml
old=$(process)
dpkg --install sambad.deb >/dev/null
[ "$(process)" != "$old" ] || fail 'the upgrade does not restart the server'
wait_until_alive
expect 'settings after an upgrade' "$(tail -n 1 /etc/sambad/sambad.toml)" '# changed'
expect 'users after an upgrade' "$(curl --silent "http://127.0.0.1:$port/api/users" | grep -o '"username":"[^"]*"')" '"username":"+919876543210"'

systemctl stop sambad.service
expect 'end after SIGTERM' "$(systemctl show --property Result,ExecMainStatus,ActiveState --value sambad.service | xargs)" 'success 0 inactive'
setpriv --reuid=sambad --regid=sambad --init-groups sambad-server check --config /etc/sambad/sambad.toml
systemctl start sambad.service
wait_until_alive

# What is left: data with the user that owns it, and what the administrator wrote.
dpkg --purge sambad
expect 'the server after the purge' "$(pgrep -u sambad || true)" ''
expect 'files after the purge' "$(comm -13 <(echo "$before") <(files) | grep -v '^/var/lib/sambad/sambad\.db' | xargs)" '/etc/sambad /var/lib/sambad'
expect 'data after the purge' "$(stat --format %U /var/lib/sambad/sambad.db) $(ls /etc/sambad)" 'sambad secrets'

# Without data, nothing is left.
rm -rf /var/lib/sambad /etc/sambad
dpkg --install sambad.deb >/dev/null
dpkg --purge sambad >/dev/null
expect 'files of a purge without data' "$(files)" "$before"
expect 'users of a purge without data' "$(getent passwd sambad || true)" ''
printf 'ok    all\n'
