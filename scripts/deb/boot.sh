#!/usr/bin/env bash
# Boots systemd in a copy of this machine and runs machine.sh there, with a package. The copy is this machine's files with an
# overlay in memory, in namespaces of its own: nothing of it outlives this script, and no service of this machine starts in it.
# Usage: scripts/deb/boot.sh FILE   (as root; cgroup v2 must be mounted, alone or beside v1)
# Exit code 77 means that this machine cannot boot a copy: nothing of the package has been tried.
set -euo pipefail

package=$(realpath "$1")
inside=$(realpath "$(dirname "$0")/machine.sh")
seconds=240

# unable REASON: ends the script, since this machine cannot boot a copy.
unable() {
    printf 'this machine cannot boot a copy of itself: %s\n' "$1" >&2
    exit 77
}

[ "$(id -u)" -eq 0 ] || unable 'only root can'
[ -x /lib/systemd/systemd ] || unable 'systemd is not installed'
reason=$(unshare --mount --pid --ipc --uts --cgroup --fork true 2>&1) || unable "$reason"
# The service has a user namespace (PrivateUsers=).
reason=$(unshare --user true 2>&1) || unable "$reason"
# A group that systemd sees as the root of all.
groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$groups" ] || unable 'cgroup v2 is not mounted'
group=$groups/sambad-deb-$$
reason=$(mkdir "$group" 2>&1) || unable "$reason"
work=$(mktemp -d)
finish() {
    # systemd leaves groups below its own; what was killed needs a moment to be gone.
    for _ in $(seq 100); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [ -d "$group" ] || break
        sleep 0.1
    done
    rm -rf "$work"
}
trap finish EXIT
: >"$work/output"
: >"$work/making"

# copy WORK PACKAGE SCRIPT: makes the copy, and becomes its systemd.
copy() {
    local work=$1 machine=$1/over/machine name
    mkdir "$work/over"
    mount -t tmpfs tmpfs "$work/over"
    mkdir "$work"/over/{upper,work,machine}
    mount -t overlay -o "lowerdir=/,upperdir=$work/over/upper,workdir=$work/over/work" overlay "$machine"
    mount -t proc proc "$machine/proc"
    # Settings of the kernel are this machine's.
    mount --bind "$machine/proc/sys" "$machine/proc/sys"
    mount -o remount,bind,ro "$machine/proc/sys"
    mount -t sysfs -o ro sysfs "$machine/sys"
    mount -t tmpfs tmpfs "$machine/sys/fs/cgroup"
    mount -t cgroup2 cgroup2 "$machine/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$machine/run"
    mount -t tmpfs tmpfs "$machine/tmp"
    mount -t tmpfs tmpfs "$machine/dev"
    for name in null zero full random urandom tty; do
        # A machine without a terminal has no tty.
        [ -e "/dev/$name" ] || continue
        touch "$machine/dev/$name"
        mount --bind "/dev/$name" "$machine/dev/$name"
    done
    mkdir "$machine"/dev/{pts,shm}
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$machine/dev/pts"
    ln -s pts/ptmx "$machine/dev/ptmx"
    mount -t tmpfs tmpfs "$machine/dev/shm"

    # Images of containers forbid packages to start and stop services. The copy does not.
    rm -f "$machine/usr/sbin/policy-rc.d"
    # Of this machine's services only the journal.
    : >"$machine/etc/fstab"
    rm -rf "$machine"/etc/systemd/system/*.wants
    find "$machine"/lib/systemd/system/*.wants/ -mindepth 1 ! -name 'systemd-journald*' -delete
    install --mode 700 "$3" "$machine/root/machine.sh"
    install --mode 644 "$2" "$machine/root/sambad.deb"
    touch "$machine/root/output"
    mount --bind "$work/output" "$machine/root/output"
    cat >"$machine/etc/systemd/system/sambad-test.service" <<'UNIT'
[Unit]
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=/root/machine.sh
ExecStopPost=/bin/systemctl exit
StandardOutput=append:/root/output
StandardError=append:/root/output
UNIT
    cd "$machine"
    mkdir -p oldroot
    pivot_root . oldroot
    umount -l /oldroot
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog \
        /lib/systemd/systemd --system --unit=sambad-test.service --show-status=0 --log-target=null </dev/null
}
export -f copy

# shellcheck disable=SC2016
timeout --signal=KILL "$seconds" unshare --mount --propagation private --pid --ipc --uts --fork --kill-child \
    bash -ec 'echo 0 >"$1/cgroup.procs"; shift; exec unshare --cgroup bash -euc "copy \"\$@\"" copy "$@"' \
    boot "$group" "$work" "$package" "$inside" >"$work/making" 2>&1 || true
cat "$work/output"
# The package is installed after this line: what fails before it is not the package's fault.
if ! grep -qx 'ok    systemd runs in the copy' "$work/output"; then
    unable "$(tail -n 5 "$work/making" | grep . || printf 'systemd did not start')"
fi
grep -qx 'ok    all' "$work/output" || {
    cat "$work/making" >&2
    grep -q '^FAIL ' "$work/output" || printf 'FAIL  the copy ended early, or ran for more than %s s\n' "$seconds" >&2
    exit 1
}
