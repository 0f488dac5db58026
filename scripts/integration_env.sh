#!/bin/sh
# Makes .cache/envs/NAME from uv.lock: syncd with what .venv has not, since it is large and does not all go together: one
# of the extras airflow, prefect and torch, or the group examples. Prints the path of its python. Does nothing when it is
# up to date; an interrupted run is made good by the next one.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd -P)

say() { printf 'integration environment: %s\n' "$*" >&2; }

case ${1-} in
    airflow | prefect | torch) kind=--extra ;;
    examples) kind=--group ;;
    *) say "name one of airflow, prefect, torch and examples"; exit 2 ;;
esac
name=$1
environment=.cache/envs/$name
under_way=$environment.under-way
made_from=$environment.made-from

[ -x .venv/bin/uv ] || scripts/bootstrap.sh # brings uv, and says which Python it is
uv=.venv/bin/uv
python=$(.venv/bin/python -c 'import sys; print(sys._base_executable)')
wanted=$(printf '%s\n' "$root" "$python" && cksum uv.lock pyproject.toml "scripts/$(basename "$0")")
up_to_date() { [ "$(cat "$made_from" 2>/dev/null)" = "$wanted" ] && [ -x "$environment/bin/python" ]; }

if ! up_to_date; then
    mkdir -p .cache/envs
    if command -v flock >/dev/null; then # two tests at once: the second finds all done
        exec 9>"$environment.lock"
        flock 9
    fi
fi
if ! up_to_date; then
    # half a package looks like a whole one to uv, and an environment that was moved points to its old place
    made_in=$(head -n 1 "$made_from" 2>/dev/null || true)
    if [ -e "$under_way" ] || [ "${made_in:-$root}" != "$root" ]; then
        rm -rf "$environment"
    fi
    say "installing what uv.lock names for $name into $environment"
    unset VIRTUAL_ENV UV_PYTHON
    : >"$under_way"
    UV_PROJECT_ENVIRONMENT=$environment UV_PYTHON_DOWNLOADS=never "$uv" sync --quiet --frozen \
        --no-default-groups --extra parquet "$kind" "$name" --python "$python" >&2
    printf '%s\n' "$wanted" >"$made_from"
    rm -f "$under_way"
fi
printf '%s\n' "$root/$environment/bin/python"
