#!/bin/sh
# Makes sure that the tests find a real PostgreSQL, a real MariaDB, a browser, strace to make system calls fail, and
# what boots a systemd of their own. Installs them where apt-get and root are at hand, without starting anything: each
# test session runs private servers of its own. Elsewhere it says how, and succeeds.
set -eu

install='apt-get install -y --no-install-recommends postgresql mariadb-server strace systemd-container debootstrap prometheus buildah chromium'
policy=/usr/sbin/policy-rc.d

say() { printf 'test tools: %s\n' "$*" >&2; }

have_postgres() {
    for binary in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$binary" ] && return
    done
    command -v initdb >/dev/null 2>&1
}

have_mariadb() {
    PATH=$PATH:/usr/sbin command -v mariadbd >/dev/null 2>&1 && command -v mariadb-install-db >/dev/null 2>&1
}

missing=
have_postgres || missing="$missing PostgreSQL"
have_mariadb || missing="$missing MariaDB"
for tool in strace systemd-nspawn debootstrap promtool buildah chromium; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say "missing:$missing. Tests that need them are skipped (under CI they fail). Install them with:"
    say "    sudo $install"
    exit 0
fi

say "installing what is missing:$missing"
if [ ! -e "$policy" ]; then # asked by Debian's packages before they start a service; 101: do not
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
$install </dev/null
