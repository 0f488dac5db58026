#!/bin/sh
# Builds the container image with buildah, on a Debian base made by debootstrap: without a daemon and without a registry.
# Prints the directory of its files and the file that describes it. Does nothing when it is up to date.
set -eu

cd "$(dirname "$0")/.."
project=$(pwd -P)
work=$project/.cache/container
base=$work/base
made_from=$work/made-from
packages=python3,python3-venv,ca-certificates,tini

say() { printf 'container image: %s\n' "$*" >&2; }

for tool in buildah debootstrap; do
    [ "$(id -u)" = 0 ] && command -v "$tool" >/dev/null || { say "needs root and $tool"; exit 1; }
done
mkdir -p "$work"
if command -v flock >/dev/null; then # two tests at once: the second finds all done
    exec 9>"$work/lock"
    flock 9
fi
. /etc/os-release
release=${VERSION_CODENAME:-stable}
code=$(find syncd Dockerfile .dockerignore pyproject.toml uv.lock -type f ! -name '*.pyc' -exec cksum {} + | sort | cksum)
if [ "$(cat "$made_from" 2>/dev/null)" = "$release $packages $code" ]; then
    printf '%s\n' "$work/root" "$work/config.json"
    exit
fi
rm -f "$made_from"

run() { buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"; }

if [ ! -e "$base.made" ]; then
    say "installing a Debian $release as its base"
    mirror=$(grep -hoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true)
    rm -rf "$base"
    debootstrap --variant=minbase --include="$packages" "$release" "$base" ${mirror:-} >&2
    for unread in var/cache/apt var/lib/apt/lists usr/share/doc usr/share/man usr/share/locale; do rm -rf "${base:?}/$unread"/*; done
    certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} # a company's may be among them
    if [ -r "$certificates" ]; then cp "$certificates" "$base/etc/ssl/certs/ca-certificates.crt"; fi
    : >"$base.made"
fi
say "building"
rm -rf "$work/storage" "$work/run" "$work/root"
container=$(run from scratch)
run add --quiet "$container" "$base" / >&2
run config --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$container"
run commit --quiet --rm "$container" localhost/base >&2
run bud --quiet --isolation chroot --format docker --layers=false --pull-never --build-arg BASE_IMAGE=localhost/base \
    --build-arg VERSION="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' syncd/__init__.py)" --tag localhost/syncd . >&2
run inspect --type image localhost/syncd >"$work/config.json"
container=$(run from --pull-never localhost/syncd)
cp -a "$(run mount "$container")" "$work/root"
rm -rf "$work/storage" "$work/run"
printf '%s' "$release $packages $code" >"$made_from"
printf '%s\n' "$work/root" "$work/config.json"
