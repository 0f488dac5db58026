# syncd without a lakeFS of its own: give it the address of yours, for example
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -v images:/srv/images:ro -v syncd:/var/lib/syncd \
#       -v ./syncd.toml:/etc/syncd/syncd.toml:ro syncd
# The base needs Debian's package tools, and Python 3.11 or newer with venv; both stages must use the same one.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.9
# drivers of databases: any of sqlite, postgres, mysql; web: the page. "" for CSV files alone, which makes the image half
# as large
ARG EXTRAS="postgres mysql web"
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
ENV UV_PROJECT_ENVIRONMENT=/opt/syncd \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY syncd syncd
RUN extras=; for extra in ${EXTRAS}; do extras="$extras --extra $extra"; done; \
    /opt/uv/bin/uv sync --frozen --no-dev --no-editable $extras --python "$(command -v python3)"
# what no process reads: descriptions of the other services of AWS, headers, tests, what Arrow has for networks
RUN cd /opt/syncd/lib/python3*/site-packages \
    && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -rf {} + \
    && rm -rf pyarrow/include pyarrow/tests pyarrow/src pyarrow/*.pyx pyarrow/*.pxi pyarrow/*.pxd sqlalchemy/testing \
        pyarrow/libarrow_*flight* pyarrow/_flight* pyarrow/libarrow_s3* pyarrow/_s3fs* pyarrow/_gcsfs* pyarrow/_azurefs* \
        pyarrow/_pyarrow_cpp_tests* \
    && /opt/syncd/bin/syncd --version

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="syncd" \
      org.opencontainers.image.description="Keeps every state of a folder of images as a named lakeFS snapshot" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# as process 1 it passes signals on from the first moment, and reaps what a notification command leaves behind: Python
# as process 1 would do neither
RUN command -v tini >/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*)
COPY --from=build /opt/syncd /opt/syncd
# a number, so that a cluster can tell that it is not root; it needs no name
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/syncd
ENV PATH=/opt/syncd/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/syncd \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/syncd
VOLUME /var/lib/syncd
STOPSIGNAL SIGTERM
# healthy: snapshots can be made. Docker's own "restart" does not look at it; syncd goes on by itself
HEALTHCHECK --interval=60s --timeout=20s --start-period=120s --retries=3 CMD ["syncd", "health"]
ENTRYPOINT ["tini", "--", "syncd"]
CMD ["run"]
