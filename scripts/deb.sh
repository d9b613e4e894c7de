#!/usr/bin/env bash
# Builds the Debian package and checks it. As root, it also installs the package in a copy of this machine, where systemd starts
# and stops the service: what is installed on this machine itself does not change. A machine that cannot boot such a copy skips
# this part, unless SAMBAD_DEB_BOOT is `required`.
# Usage: scripts/deb.sh release   builds the binaries first
#        scripts/deb.sh debug     takes the binaries of the last debug build, as scripts/test.sh does
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    debug) profile=dev options=(--fast) ;;
    release) profile=release options=() ;;
    *) sed -n '/^# Usage/,/^#  /p' "$0" >&2 && exit 2 ;;
esac
folder=$1
staged=$PWD/target/deb
target=$(cargo metadata --no-deps --format-version 1 | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)

# change FILE TEXT OTHER: replaces a line, which the file must have once.
change() {
    [ "$(grep -cxF -- "$2" "$1")" -eq 1 ] || { printf '%s: not one line "%s"\n' "$1" "$2" >&2 && return 1; }
    LINE=$2 OTHER=$3 awk '$0 == ENVIRON["LINE"] { print ENVIRON["OTHER"]; next } { print }' "$1" >"$1.new"
    mv "$1.new" "$1"
}

# The unit and the settings of deploy/, with the paths of the package.
stage() {
    local cli=$target/$folder/sambad-cli
    rm -rf "$staged"
    mkdir -p "$staged"
    {
        printf '# Settings are in /etc/sambad/sambad.toml. Secrets are in /etc/sambad/secrets, which only root needs to read,\n'
        printf '# as lines such as `PGPASSWORD=secret`. `systemctl edit sambad` adds to this unit.\n\n'
        sed -n '/^\[Unit\]$/,$p' deploy/sambad.service
    } >"$staged/sambad.service"
    change "$staged/sambad.service" 'ExecStart=/usr/local/bin/sambad-server --config /etc/sambad/sambad.toml' \
        'ExecStart=/usr/bin/sambad-server --config /etc/sambad/sambad.toml'
    {
        printf '# These settings are those of the service: restart it after a change. Commands need them as well:\n'
        printf '# sudo -u sambad sambad-server check --config /etc/sambad/sambad.toml\n\n'
        cat deploy/sambad.toml
    } >"$staged/sambad.toml"
    change "$staged/sambad.toml" '#database = "sqlite:sambad.db"' 'database = "sqlite:/var/lib/sambad/sambad.db"'
    for shell in bash zsh fish; do
        env -i "$cli" completions "$shell" >"$staged/sambad-cli.$shell"
    done
    gzip --best --no-name --to-stdout CHANGELOG.md >"$staged/changelog.gz"
    # The package's own changelog, in Debian's form: one entry, which names the project's.
    local release maintainer
    release=$(sed -n 's/^## \([0-9].*\) - \(.*\)/\1 \2/p' CHANGELOG.md | head -n 1)
    maintainer=$(sed -n 's/^maintainer = "\(.*\)"/\1/p' sambad-server/Cargo.toml)
    printf 'sambad (%s-1) unstable; urgency=medium\n\n  * See changelog.gz in this folder.\n\n -- %s  %s\n' \
        "${release% *}" "$maintainer" "$(LC_ALL=C date --utc --rfc-email --date "${release#* }")" >"$staged/changelog"
}

# systemd wants the programs that a unit names to be there.
unit() {
    sed 's#/usr/bin/sambad-server#/bin/true#; s/^User=.*/User=nobody/; s/^Group=.*/Group=nogroup/' "$staged/sambad.service" >"$staged/verify.service"
    systemd-analyze verify "$staged/verify.service"
    systemd-analyze security --offline=true --threshold=20 "$staged/verify.service" >/dev/null
    rm "$staged/verify.service"
}

[ "$folder" = debug ] || cargo build --release --locked --bin sambad-server --bin sambad-cli --bin sambad-bench
stage
if command -v systemd-analyze >/dev/null; then
    unit
    printf 'ok    sambad.service\n'
fi
cargo deb --quiet --package sambad-server --no-build --profile "$profile" "${options[@]}" --output "$staged/"
package=$(echo "$staged"/sambad_*.deb)
dpkg-deb --info "$package"
dpkg-deb --contents "$package"
sh -n deploy/debian/postinst && sh -n deploy/debian/prerm && sh -n deploy/debian/postrm
# Not installed for this alone: it brings a hundred packages.
if command -v lintian >/dev/null; then
    lintian --fail-on error --suppress-tags statically-linked-binary "$package"
fi

status=0
scripts/deb/boot.sh "$package" || status=$?
if [ "$status" -eq 77 ] && [ "${SAMBAD_DEB_BOOT:-}" != required ]; then
    printf 'skip  the package was built and not installed\n'
    exit 0
fi
exit "$status"
