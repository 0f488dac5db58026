#!/bin/sh
# Runs a command while what the tests need is made ready beside it: the lakeFS server (built once), the databases and
# tools they start, the environments of the integrations, a Debian with systemd, the container image. Ends once both are
# done, with what failed.
set -eu

cd "$(dirname "$0")/.."
log=.cache/prepare.log

mkdir -p .cache
printf 'test: making lakeFS and other programs ready meanwhile; see %s\n' "$log" >&2
(
    if [ -n "${CI:-}" ]; then scripts/audit.sh; fi # a vulnerability that became known today is no fault of one's change
    .venv/bin/syncd lakefs path
    scripts/test_tools.sh
    for name in airflow prefect examples; do
        scripts/integration_env.sh "$name"
    done
    if [ "$(id -u)" = 0 ]; then # else their tests are skipped
        scripts/systemd_root.sh
        scripts/container_image.sh
    fi
) >"$log" 2>&1 &
preparing=$!
trap 'kill "$preparing" 2>/dev/null || true' EXIT

"$@"

if ! wait "$preparing"; then
    cat "$log" >&2
    exit 1
fi
trap - EXIT
grep 'test tools:' "$log" >&2 || true # such as what to install by hand
