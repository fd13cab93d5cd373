# Built in one stage, run in another that holds Python and one virtual environment. No package in requirements/ needs a
# compiler, and --only-binary keeps it so.
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-deps --only-binary :all: -r requirements/build.txt
RUN python -m venv --without-pip /opt/onegate \
    && /opt/build/bin/python -m pip --python /opt/onegate/bin/python install --no-deps --only-binary :all: \
        -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY upstreams upstreams
COPY policies policies
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
    && /opt/build/bin/python -m pip --python /opt/onegate/bin/python install --no-deps /opt/wheels/*.whl \
    && /opt/build/bin/python -m pip --python /opt/onegate/bin/python check \
    && mkdir /opt/state

FROM python:3.11-slim
COPY --from=build /opt/onegate /opt/onegate
# The state directory: keys and pins. Mount a volume here to keep them over a new container.
COPY --from=build --chown=10001:10001 --chmod=700 /opt/state /var/lib/onegate
ENV PATH=/opt/onegate/bin:$PATH HOME=/var/lib/onegate PYTHONUNBUFFERED=1 ONEGATE_HEALTH_PORT=8080
WORKDIR /var/lib/onegate
USER 10001:10001
EXPOSE 8080
# Not urllib: it would ask the proxy named in the environment for this address.
HEALTHCHECK --interval=15s --timeout=3s --start-period=15s CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['ONEGATE_HEALTH_PORT']), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["onegate"]
CMD ["serve", "-c", "/etc/onegate/onegate.yaml", "--host", "0.0.0.0"]
