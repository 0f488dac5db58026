#!/bin/sh
# Makes .venv from uv.lock with nothing but a Python: finds or fetches uv, then lets uv install what the lock names.
# Run by `make setup`. Does nothing when .venv is up to date; an interrupted run is made good by the next one.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd -P)
uv_version=0.13.9      # fetched when there is none; any from uv_oldest on will do
uv_oldest=0.9          # as in pyproject.toml
uv_home=$root/.cache/uv-$uv_version
under_way=.cache/setup-under-way
made_from=.venv/.made-from

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Debian splits what Python needs to install anything from Python itself.
missing_venv() {
    fail "$python has neither pip nor venv, so nothing can be installed with it." \
        "Install them and try again. Debian, Ubuntu: sudo apt-get install -y python3-venv." \
        "A uv on PATH ($uv_oldest or newer) will do as well."
}

find_python() {
    seen=
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        found=$(command -v "$name") || continue
        version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.version_info >= (3, 11))' \
            2>/dev/null) || continue
        seen="$seen $found (${version% *})"
        if [ "${version#* }" = True ]; then
            "$found" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))' # outside any venv
            return
        fi
    done
    fail "syncd needs Python 3.11 or newer; found:${seen:- none}." \
        "Install one, or name it: make setup PYTHON=/path/to/python3"
}

# Prints the path of a uv that is new enough, if there is one already.
find_uv() {
    for uv in "$(command -v uv || true)" "$uv_home/uv"; do
        [ -n "$uv" ] && version=$("$uv" --version 2>/dev/null) || continue
        version=${version#uv }
        if [ "$(printf '%s\n' "$uv_oldest" "${version%% *}" | sort -V | head -n 1)" = "$uv_oldest" ]; then
            printf '%s\n' "$uv"
            return
        fi
    done
}

fetch_uv() {
    say "fetching uv $uv_version"
    work=$(mktemp -d .cache/fetch-XXXXXX)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM HUP
    if "$python" -m pip --version >/dev/null 2>&1; then
        installer=$python
    else
        "$python" -m venv "$work/venv" >/dev/null 2>&1 || install_venv
        installer=$work/venv/bin/python
    fi
    pip_install "$installer" || {
        certificates=$(system_certificates)
        [ -z "${PIP_CERT:-}" ] && [ -n "$certificates" ] && PIP_CERT=$certificates pip_install "$installer"
    } || fail "uv could not be fetched with pip; see above for why. Behind a proxy set HTTPS_PROXY, PIP_CERT and" \
        "PIP_INDEX_URL as for any other pip install, or put a uv on PATH."
    rm -rf "$uv_home"
    mv "$work/uv/bin" "$uv_home" # the rest is a Python package that nobody needs
    rm -rf "$work"
    trap - EXIT INT TERM HUP
}

# A person's settings for their own installs do not fit here; those for the index and certificates do.
pip_install() {
    rm -rf "$work/uv"
    PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$1" -m pip install --quiet --no-input --no-deps --only-binary :all: --target "$work/uv" "uv==$uv_version" >&2
}

system_certificates() { # an older pip trusts only those it brings
    for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
        if [ -s "$bundle" ]; then
            printf '%s\n' "$bundle"
            return
        fi
    done
}

install_venv() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || missing_venv
    case $python in /usr/bin/*) ;; *) missing_venv ;; esac # apt can only help its own Python
    package=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    say "this Python has no venv: installing $package with apt-get"
    {
        apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
    } >.cache/apt.log 2>&1 || { cat .cache/apt.log >&2; missing_venv; }
    rm -rf "$work/venv"
    "$python" -m venv "$work/venv" >&2 || missing_venv
}

python=$(find_python)
wanted=$(printf '%s\n' "$root" "$python" && cksum uv.lock pyproject.toml)
[ "$(cat "$made_from" 2>/dev/null)" = "$wanted" ] && [ -x .venv/bin/python ] && exit 0

mkdir -p .cache
if command -v flock >/dev/null; then # two makes at once: the second finds all done
    exec 9>.cache/setup.lock
    flock 9
    [ "$(cat "$made_from" 2>/dev/null)" = "$wanted" ] && [ -x .venv/bin/python ] && exit 0
fi

# Half a package looks like a whole one to uv, and an environment that was moved still points to its old place.
made_in=$(head -n 1 "$made_from" 2>/dev/null || true)
if [ -e "$under_way" ] || [ "${made_in:-$root}" != "$root" ]; then
    rm -rf .venv
fi

uv=$(find_uv)
if [ -z "$uv" ]; then
    fetch_uv
    uv=$(find_uv)
    [ -n "$uv" ] || fail "$uv_home/uv does not run on this machine. Put a uv on PATH."
fi

say "installing what uv.lock names into .venv"
unset VIRTUAL_ENV UV_PYTHON
: >"$under_way"
quiet=--quiet
[ -t 2 ] && quiet= # on a terminal the progress is shown
UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never \
    "$uv" sync $quiet --frozen --group dev --python "$python"
ln -sf "$uv" .venv/bin/uv # syncd fetches a Go compiler with it if it has to build lakeFS
printf '%s\n' "$wanted" >"$made_from"
rm -f "$under_way"
