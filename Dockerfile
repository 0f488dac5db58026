# syncd without a lakeFS of its own: give it the address of yours, for example
#   docker run -v images:/srv/images:ro -v syncd:/var/lib/syncd -v ./syncd.toml:/etc/syncd/syncd.toml:ro syncd
# The base needs Python 3.11 or newer with venv; both stages must use the same one.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
ENV UV_PROJECT_ENVIRONMENT=/opt/syncd \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1
WORKDIR /src
# the libraries change less often than the code: a layer of their own
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-install-project --python "$(command -v python3)"
COPY README.md LICENSE ./
COPY syncd syncd
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-editable --python "$(command -v python3)" \
    && /opt/syncd/bin/syncd --version

FROM ${BASE_IMAGE}
COPY --from=build /opt/syncd /opt/syncd
# a number, so that a cluster can tell that it is not root; it needs no name
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/syncd
ENV PATH=/opt/syncd/bin:$PATH \
    HOME=/var/lib/syncd \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/syncd
VOLUME /var/lib/syncd
STOPSIGNAL SIGTERM
ENTRYPOINT ["syncd"]
CMD ["run"]
