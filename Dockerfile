# One image for every process: `docker run agentfleet workers.steps`, `docker run agentfleet agentfleet.cli.main migrate`.
# Your agents: a Dockerfile `FROM agentfleet` that copies their package to /app, and AGENTFLEET_AGENTS naming it.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /app/.venv && python -m venv .venv
COPY requirements-runtime.lock ./
RUN /app/.venv/bin/python -m pip install --require-hashes -r requirements-runtime.lock
# hatchling is pinned in the developers' lock; this environment stays behind in the build stage.
COPY requirements.lock ./
RUN .venv/bin/python -m pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY agentfleet agentfleet
RUN .venv/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /app/.venv/bin/python -m pip install --no-deps dist/*.whl

FROM python:${PYTHON_VERSION}-slim
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin agentfleet
COPY --from=build /app/.venv /app/.venv
COPY workers /app/workers
WORKDIR /app
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8080
# Exec form: the process is the one that gets SIGTERM and drains. Health checks differ by process; compose.yaml has them.
ENTRYPOINT ["python", "-m"]
CMD ["workers.ingress"]
