#!/bin/sh
# Makes .cache/systemd-root: a Debian with systemd, and syncd of this source installed in /opt/syncd as its unit says, for
# the tests that boot it. Prints its path. Needs root and debootstrap; does nothing when it is up to date.
set -eu

cd "$(dirname "$0")/.."
project=$(pwd -P)
root=$project/.cache/systemd-root
under_way=$root.under-way
made_from=$root.made-from
packages=systemd,systemd-sysv,dbus,python3,python3-venv

say() { printf 'systemd root: %s\n' "$*" >&2; }

[ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null || { say "needs root and debootstrap"; exit 1; }
. /etc/os-release
mirror=$(grep -hoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true)
base=$(printf '%s\n' "${VERSION_CODENAME:-stable}" "$packages" | cksum)
code=$(find syncd pyproject.toml uv.lock -type f ! -name '*.pyc' -exec cksum {} + | sort | cksum)

if command -v flock >/dev/null; then # two tests at once: the second finds all done
    mkdir -p .cache
    exec 9>"$root.lock"
    flock 9
fi
has() { [ "$(sed -n "$1p" "$made_from" 2>/dev/null)" = "$2" ]; }

if [ -e "$under_way" ] || ! has 1 "$base"; then
    say "installing a Debian ${VERSION_CODENAME:-stable}"
    rm -rf "$root" "$made_from"
    mkdir -p "$root"
    : >"$under_way"
    debootstrap --variant=minbase --include="$packages" "${VERSION_CODENAME:-stable}" "$root" ${mirror:-} >&2
    : >"$root/etc/machine-id"
    chroot "$root" groupadd images
    printf '%s\n' "$base" >"$made_from"
    rm -f "$under_way"
fi
if ! has 2 "$code"; then
    say "installing syncd into it"
    printf '%s\n' "$base" >"$made_from"
    uv=$(readlink -f .venv/bin/uv)
    cache=$("$uv" cache dir)
    rm -rf "$root/src" "$root/opt/syncd"
    mkdir -p "$root/src" "$root/uv-cache"
    tar -c --exclude='__pycache__' syncd pyproject.toml uv.lock README.md LICENSE | tar -x -C "$root/src"
    cp "$uv" "$root/usr/local/bin/uv"
    certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    if [ -r "$certificates" ]; then cp "$certificates" "$root/src/ca.crt"; fi
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    mount --bind "$cache" "$root/uv-cache"
    trap 'umount "$root/uv-cache"' EXIT
    # what says where packages come from is passed on as it is
    env -u VIRTUAL_ENV -u UV_PYTHON HOME=/root UV_CACHE_DIR=/uv-cache SSL_CERT_FILE=/src/ca.crt \
        UV_PROJECT_ENVIRONMENT=/opt/syncd UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 \
        chroot "$root" /usr/local/bin/uv sync --quiet --frozen --no-dev --no-editable --extra postgres --extra mysql --extra web \
        --project /src --python /usr/bin/python3 >&2
    umount "$root/uv-cache"
    trap - EXIT
    printf '%s\n' "$base" "$code" >"$made_from"
fi
printf '%s\n' "$root"
