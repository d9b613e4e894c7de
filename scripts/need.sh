# Installs missing packages that a script needs, if it has the permission. Other scripts source this file.

# need COMMAND PACKAGE: installs the package if the command is missing.
need() {
    command -v "$1" >/dev/null || need_package "$2"
}

# No service of a package is started by its installation: whoever needs one starts one of their own.
need_package() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        printf '%s is not installed: install it and run the script again\n' "$1" >&2
        return 1
    fi
    printf 'installing %s\n' "$1" >&2
    local policy=/usr/sbin/policy-rc.d written=
    if [ ! -e "$policy" ]; then
        written=$policy
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    local status=0
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$1"; } >&2 || status=$?
    [ -z "$written" ] || rm -f "$written"
    return "$status"
}
