#!/bin/sh
# Writes what syncd is made of as dist/sbom.cdx.json (CycloneDX), from the lock with its hashes, and asks osv.dev for known
# vulnerabilities of it. Fails if there are some; where osv.dev cannot be reached, it says so and succeeds.
set -eu

cd "$(dirname "$0")/.."
uv=.venv/bin/uv
mkdir -p dist
$uv export --quiet --preview --frozen --no-dev --extra postgres --extra mysql --format cyclonedx1.5 \
    --output-file dist/sbom.cdx.json >/dev/null
printf 'audit: dist/sbom.cdx.json lists %s components\n' "$(grep -c '"bom-ref"' dist/sbom.cdx.json)"
if said=$($uv audit --preview --frozen --no-dev 2>&1); then
    printf '%s\n' "$said"
elif printf '%s' "$said" | grep -qiE 'error sending request|connect|dns|timed out|status code|forbidden'; then
    printf 'audit: osv.dev cannot be reached, so nothing is known of vulnerabilities: %s\n' \
        "$(printf '%s' "$said" | tail -n 1)"
else
    printf '%s\n' "$said" >&2
    exit 1
fi
