# flagstream, from the lock that the tests run with.
#
#     docker build -t flagstream .
#     docker run --read-only --tmpfs /tmp -v flagstream:/var/lib/flagstream/data -p 8080:8080 flagstream
#
# Nothing but the volume is written. SIGTERM ends it within stop_timeout_s (8 s), before Docker's ten
# are over. It is process 1 and may be: it handles the signals itself, and waits for the processes
# that it starts; those start none.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY flagstream ./flagstream
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:${PYTHON}
ARG VERSION=0.1.0 REVISION=unknown
LABEL org.opencontainers.image.title="flagstream" \
      org.opencontainers.image.description="Feature flags and group state for B2B products, fed by the event stream" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# By number, so that an orchestrator can tell that it is not root, and a volume can be given to it.
RUN install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/flagstream/data
COPY --from=build /venv /venv
USER 10001:10001
WORKDIR /var/lib/flagstream
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    FLAGSTREAM_DATA_DIR=/var/lib/flagstream/data \
    FLAGSTREAM_HOST=0.0.0.0
VOLUME /var/lib/flagstream/data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('FLAGSTREAM_PORT', '8080')}/_liveness\", timeout=5)"]
ENTRYPOINT ["flagstream"]
CMD ["serve"]
